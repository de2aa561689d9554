//! `DeleteSystemInstance`: forgets what is not in the target (TG 7.5).

use std::sync::Arc;

use marram_aws_api::ApiError;
use marram_identity::CallContext;
use marram_store::params;
use serde_json::{Value, json};

use super::{Status, authorized_target, find};
use crate::edge;
use crate::input::{ById, read};
use crate::realm::Realm;
use crate::service::ThingsGraph;

pub(crate) async fn delete(service: &ThingsGraph, ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let request: ById = read(input)?;
    let realm = Realm::of(ctx);
    let (urn, instance, grant) = authorized_target(ctx, &realm, request.id()?)?;
    let lock = service.instance_lock(&realm, urn.key());
    let _serial = lock.lock().await;
    // A redeploy that failed may have left the snapshot before it running.
    let named = instance.map_or_else(|| urn.clone(), |instance| instance.id);
    let is_running = service.is_deployed(&named);
    let (port, things) = (service.inner.greengrass.get().cloned(), Arc::clone(&service.inner.things));
    ctx.commit(grant, move |tx| {
        let Some(instance) = find(tx, &realm, &urn)? else { return Ok(json!({})) };
        let is_idle = match instance.status {
            Status::NotDeployed | Status::DeletedInTarget => true,
            Status::Failed => !is_running && !instance.is_in_target,
            _ => false,
        };
        if instance.status == Status::PendingDelete {
            let holders = match &port {
                Some(port) => edge::holders(tx, &**port, &*things, &realm, &instance)?,
                None => Vec::new(),
            };
            if !holders.is_empty() {
                let message = format!(
                    "{urn} is PENDING_DELETE until {} told that it is gone; for a core that does not come back take its thing out of the group",
                    holders.join(", ")
                );
                return Err(ApiError::in_use(message).into());
            }
        } else if !is_idle {
            return Err(ApiError::in_use(format!("{urn} is {}: undeploy it first", instance.status.as_str())).into());
        }
        for table in ["tg_instance", "tg_tag"] {
            tx.execute(
                &format!("DELETE FROM {table} WHERE account = $1 AND region = $2 AND urn_key = $3"),
                params![realm.account, realm.region, urn.key()],
            )?;
        }
        Ok(json!({}))
    })
    .await
}
