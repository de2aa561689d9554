//! `UpdateFlowTemplate`, `UpdateSystemTemplate`: one more revision (TG 7.7, 9.3).

use marram_aws_api::ApiError;
use marram_identity::CallContext;
use marram_store::params;
use serde_json::{Value, json};

use super::create::accept;
use super::{Definition, Kind, authorized_target, find, insert_revision, not_found, summary};
use crate::input::read;
use crate::realm::Realm;
use crate::service::ThingsGraph;

pub(crate) async fn update(
    service: &ThingsGraph,
    ctx: &CallContext,
    kind: Kind,
    input: &Value,
) -> Result<Value, ApiError> {
    let request: Definition = read(input)?;
    let realm = Realm::of(ctx);
    let id = request.id.as_deref().ok_or_else(|| ApiError::invalid_request("id is required"))?;
    let (urn, template, grant) = authorized_target(ctx, &realm, kind, id)?;
    if template.is_none() {
        return Err(not_found(&urn));
    }
    let accepted = accept(service, ctx, &realm, kind, request).await?;
    if accepted.urn != urn {
        return Err(ApiError::invalid_request(format!("The document defines {}, not {urn}", accepted.urn)));
    }
    let now = ctx.now;
    ctx.commit(grant, move |tx| {
        let template = find(tx, &realm, kind, &urn)?.ok_or_else(|| not_found(&urn))?;
        if template.is_deprecated {
            return Err(ApiError::invalid_request(format!("TDM5005: {urn} is deprecated")).into());
        }
        let number = template.revision + 1;
        tx.execute(
            "UPDATE tg_template SET revision = $5, id = $6
             WHERE account = $1 AND region = $2 AND kind = $3 AND urn_key = $4",
            params![realm.account, realm.region, kind.as_str(), urn.key(), number, accepted.urn.as_str()],
        )?;
        insert_revision(tx, &realm, kind, &accepted, number, now)?;
        Ok(json!({ "summary": summary(&realm, &accepted.urn, number, template.created) }))
    })
    .await
}
