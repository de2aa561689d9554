//! `UpdateCertificate`: changes the state; live sessions of a certificate that is no longer ACTIVE end within seconds.

use marram_aws_api::ApiError;
use marram_identity::CallContext;
use marram_store::params;
use serde_json::{Value, json};

use super::{ACTIVE, INACTIVE, REVOKED, read_id, resource, state_error, status};
use crate::change::Change;
use crate::input::Input;
use crate::realm::{Realm, shown};
use crate::service::Registry;

/// Sets the state. Setting the one it has is accepted; nothing leads out of REVOKED.
pub(crate) async fn update_certificate(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let id = read_id(&input, "certificateId")?;
    let grant = ctx.authorize(ctx.operation.iam_action, &realm.arn(resource(&id)), |_| ())?;
    let wanted = match input.required("newStatus")? {
        ACTIVE => ACTIVE,
        INACTIVE => INACTIVE,
        REVOKED => REVOKED,
        other => {
            return Err(ApiError::invalid_request(format!("Certificates cannot be set to {}", shown(other))));
        }
    };
    let (changes, now) = (registry.changes().clone(), ctx.now);
    ctx.commit(grant, move |tx| {
        let current = status(tx, &realm, &id)?;
        if current == wanted {
            return Ok(json!({}));
        }
        if current == REVOKED {
            return Err(state_error(format!("Certificate {id} is revoked for good")).into());
        }
        tx.execute(
            "UPDATE iot_certificate SET status = $4, customer_version = customer_version + 1, generation = $5,
                 modified_at = $6
             WHERE account = $1 AND region = $2 AND id = $3",
            params![realm.account, realm.region, id, wanted, uuid::Uuid::new_v4().to_string(), now],
        )?;
        changes.announce(tx, Change::Certificate(realm, id));
        Ok(json!({}))
    })
    .await
}
