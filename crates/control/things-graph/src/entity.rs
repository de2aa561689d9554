//! `GetEntities`, `SearchEntities` (TG 9.2).

use marram_aws_api::ApiError;
use marram_identity::CallContext;
use marram_tdm::model::{Entity, Metatype};
use marram_types::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::input::{Filter, passes, read};
use crate::realm::{Realm, urn};
use crate::service::ThingsGraph;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GetEntities {
    ids: Vec<String>,
    namespace_version: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SearchEntities {
    entity_types: Vec<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    namespace_version: Option<i64>,
}

/// `GetEntities`: definitions in the order of the ids.
pub(crate) fn get(service: &ThingsGraph, ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let _grant = ctx.authorize(ctx.operation.iam_action, "*", |_| {})?;
    let request: GetEntities = read(input)?;
    let realm = Realm::of(ctx);
    let ids = request.ids.iter().map(|id| urn(id)).collect::<Result<Vec<_>, _>>()?;
    for id in &ids {
        if matches!(id.metatype(), Metatype::Workflow | Metatype::System | Metatype::Deployment) {
            return Err(ApiError::invalid_request(format!("{id} is not an entity")));
        }
    }
    let view = ctx.read(|s| service.inner.catalog.view(s, &realm, request.namespace_version))?;
    let mut descriptions = Vec::with_capacity(ids.len());
    for id in &ids {
        let Some((entity, created)) = view.find(id) else {
            return Err(ApiError::not_found(format!("Entity {id} does not exist")));
        };
        descriptions.push(describe(&realm, entity, created));
    }
    Ok(json!({ "descriptions": descriptions }))
}

/// `SearchEntities`: the private namespace and the public one it tracks, by URN ascending.
pub(crate) fn search(service: &ThingsGraph, ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let _grant = ctx.authorize(ctx.operation.iam_action, "*", |_| {})?;
    let request: SearchEntities = read(input)?;
    let realm = Realm::of(ctx);
    if request.entity_types.is_empty() {
        return Err(ApiError::invalid_request("entityTypes must name at least one type"));
    }
    let page = service.inner.tokens.page(ctx, input)?;
    let view = ctx.read(|s| service.inner.catalog.view(s, &realm, request.namespace_version))?;
    // Both models are in URN order; one merge of the two keeps it.
    let mut all: Vec<&std::sync::Arc<Entity>> = view.own.model.entities().chain(view.public.model.entities()).collect();
    all.sort_by(|left, right| left.id.cmp(&right.id));
    let rows = all
        .into_iter()
        .filter(|entity| entity.id.key() > page.after_text())
        .filter(|entity| request.entity_types.iter().any(|kind| kind == entity.entity_type()))
        .filter(|entity| passes(&request.filters, |name, value| matches(entity, name, value)))
        .take(page.limit + 1)
        .map(|entity| {
            let created = view.find(&entity.id).map_or(Timestamp::from_micros(0), |(_, created)| created);
            (entity.id.key().to_owned(), describe(&realm, entity, created))
        });
    Ok(page.answer("descriptions", rows.collect()))
}

fn matches(entity: &Entity, filter: &str, value: &str) -> bool {
    match filter {
        "NAME" => {
            let value = value.to_ascii_lowercase();
            let contains = |name: &str| name.to_ascii_lowercase().contains(&value);
            contains(&entity.name) || contains(entity.id.name())
        }
        "NAMESPACE" => is_path_prefix(entity.id.namespace(), value),
        "SEMANTIC_TYPE_PATH" => is_path_prefix(entity.id.path(), value),
        "REFERENCED_ENTITY_ID" => urn(value).is_ok_and(|id| entity.references.contains(&id)),
        _ => false,
    }
}

/// Whether `prefix` is `path` or the whole segments it begins with.
fn is_path_prefix(path: &str, prefix: &str) -> bool {
    let (path, prefix) = (path.to_ascii_lowercase(), prefix.to_ascii_lowercase());
    path.strip_prefix(prefix.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn describe(realm: &Realm, entity: &Entity, created: Timestamp) -> Value {
    json!({
        "id": entity.id.as_str(),
        "arn": realm.arn(&entity.id),
        "type": entity.entity_type(),
        "createdAt": created.epoch_seconds(),
        "definition": { "language": "GRAPHQL", "text": entity.source },
    })
}
