//! `CreateFlowTemplate`, `CreateSystemTemplate`: revision 1 of a new template (TG 7.7, 9.3).

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::params;
use marram_tdm::model::RoleKind;
use serde_json::{Value, json};

use super::{Accepted, Definition, Kind, find, insert_revision, summary};
use crate::input::read;
use crate::language;
use crate::realm::Realm;
use crate::service::ThingsGraph;

pub(crate) async fn create(
    service: &ThingsGraph,
    ctx: &CallContext,
    kind: Kind,
    input: &Value,
) -> Result<Value, ApiError> {
    let grant = ctx.authorize(ctx.operation.iam_action, "*", |_| {})?;
    let request: Definition = read(input)?;
    let realm = Realm::of(ctx);
    let accepted = accept(service, ctx, &realm, kind, request).await?;
    let now = ctx.now;
    let most = match kind {
        Kind::Flow => service.inner.quotas.flows,
        Kind::System => service.inner.quotas.systems,
    };
    ctx.commit(grant, move |tx| {
        if find(tx, &realm, kind, &accepted.urn)?.is_some() {
            return Err(ApiError::already_exists(format!("{} already exists", accepted.urn)).into());
        }
        let count: i64 = tx.query_one(
            "SELECT COUNT(*) FROM tg_template WHERE account = $1 AND region = $2 AND kind = $3",
            params![realm.account, realm.region, kind.as_str()],
            |row| Ok::<_, CallError>(row.get(0)?),
        )?;
        if count >= most {
            return Err(ApiError::limit_exceeded(format!("At most {most} {} templates", kind.as_str())).into());
        }
        tx.execute(
            "INSERT INTO tg_template (account, region, kind, urn_key, id, revision, deprecated, created_at)
             VALUES ($1, $2, $3, $4, $5, 1, 0, $6)",
            params![realm.account, realm.region, kind.as_str(), accepted.urn.key(), accepted.urn.as_str(), now],
        )?;
        insert_revision(tx, &realm, kind, &accepted, 1, now)?;
        Ok(json!({ "summary": summary(&realm, &accepted.urn, 1, now) }))
    })
    .await
}

/// Checks a document against the namespace version the caller names, or the latest.
pub(super) async fn accept(
    service: &ThingsGraph,
    ctx: &CallContext,
    realm: &Realm,
    kind: Kind,
    request: Definition,
) -> Result<Accepted, ApiError> {
    let pinned = request.compatible_namespace_version;
    let view = ctx.read(|s| service.inner.catalog.view(s, realm, pinned))?;
    let text = request.definition.text;
    let version = view.version;
    let (service, checked_realm) = (service.clone(), realm.clone());
    // Checking a large document takes a while: not on a thread that serves connections.
    let checked = tokio::task::spawn_blocking(move || {
        let checked = match kind {
            Kind::Flow => language::flow(&text, &view, &checked_realm).map(|flow| {
                let uses = flow.device_models().into_iter().cloned().collect();
                (flow.id, uses)
            }),
            Kind::System => service.inner.store.read(|s| {
                let templates = language::Templates::new(s, &checked_realm, &view);
                Ok::<_, CallError>(language::system(&text, &templates, &checked_realm).map(|system| {
                    let uses = system.roles.iter().filter_map(|role| match &role.kind {
                        RoleKind::Flow(used) | RoleKind::System(used) => Some(used.clone()),
                        _ => None,
                    });
                    let uses = uses.collect();
                    (system.id, uses)
                }))
            })?,
        };
        Ok::<_, CallError>(checked.map(|(urn, uses): (_, Vec<_>)| Accepted {
            urn,
            uses,
            definition: text,
            version,
            is_pinned: pinned.is_some(),
        }))
    })
    .await
    .map_err(|_| ApiError::internal())?;
    checked?.map_err(language::refusal)
}
