//! Deprecating and deleting templates (TG 7.7, 9.3).

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::params;
use serde_json::{Value, json};

use super::{Kind, authorized_target, find, not_found};
use crate::input::{ById, read};
use crate::realm::Realm;
use crate::service::ThingsGraph;

/// `DeprecateFlowTemplate`, `DeprecateSystemTemplate`: irreversible, idempotent.
pub(crate) async fn deprecate(
    _: &ThingsGraph,
    ctx: &CallContext,
    kind: Kind,
    input: &Value,
) -> Result<Value, ApiError> {
    let request: ById = read(input)?;
    let realm = Realm::of(ctx);
    let (urn, _, grant) = authorized_target(ctx, &realm, kind, request.id()?)?;
    ctx.commit(grant, move |tx| {
        let changed = tx.execute(
            "UPDATE tg_template SET deprecated = 1 WHERE account = $1 AND region = $2 AND kind = $3 AND urn_key = $4",
            params![realm.account, realm.region, kind.as_str(), urn.key()],
        )?;
        if changed == 0 { Err(not_found(&urn).into()) } else { Ok(json!({})) }
    })
    .await
}

/// `DeleteFlowTemplate`, `DeleteSystemTemplate`: deprecated ones only; an unknown one is a success.
pub(crate) async fn delete(_: &ThingsGraph, ctx: &CallContext, kind: Kind, input: &Value) -> Result<Value, ApiError> {
    let request: ById = read(input)?;
    let realm = Realm::of(ctx);
    let (urn, _, grant) = authorized_target(ctx, &realm, kind, request.id()?)?;
    ctx.commit(grant, move |tx| {
        let Some(template) = find(tx, &realm, kind, &urn)? else { return Ok(json!({})) };
        if !template.is_deprecated {
            return Err(ApiError::invalid_request(format!("{urn} must be deprecated first")).into());
        }
        // Only a deploy under way holds a template; running deployments live on their snapshots.
        let busy = tx.query_all(
            "SELECT dependencies FROM tg_instance WHERE account = $1 AND region = $2
             AND status IN ('BOOTSTRAP', 'DEPLOY_IN_PROGRESS')",
            params![realm.account, realm.region],
            |row| Ok::<_, CallError>(row.get::<String>(0)?),
        )?;
        let is_used = |dependencies: &String| {
            serde_json::from_str::<Value>(dependencies).ok().and_then(|list| {
                let ids = list
                    .as_array()?
                    .iter()
                    .filter_map(|entry| entry.get("id")?.as_str())
                    .any(|id| id.eq_ignore_ascii_case(urn.as_str()));
                Some(ids)
            })
        };
        if busy.iter().any(|dependencies| is_used(dependencies).unwrap_or(true)) {
            return Err(ApiError::in_use(format!("A deployment that uses {urn} is in progress")).into());
        }
        for table in ["tg_template", "tg_template_revision", "tg_template_use"] {
            tx.execute(
                &format!("DELETE FROM {table} WHERE account = $1 AND region = $2 AND kind = $3 AND urn_key = $4"),
                params![realm.account, realm.region, kind.as_str(), urn.key()],
            )?;
        }
        Ok(json!({}))
    })
    .await
}
