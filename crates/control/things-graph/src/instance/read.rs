//! `GetSystemInstance`, `SearchSystemInstances` (TG 9.4).

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::params;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{COLUMN_COUNT, COLUMNS, authorized_target, not_found, read_row, summary};
use crate::input::{ById, Filter, passes, read};
use crate::realm::{Realm, urn};
use crate::service::ThingsGraph;

#[derive(Debug, Deserialize)]
struct Search {
    #[serde(default)]
    filters: Vec<Filter>,
}

/// `GetSystemInstance`.
pub(crate) fn get(_: &ThingsGraph, ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let request: ById = read(input)?;
    let realm = Realm::of(ctx);
    let (urn, instance, _grant) = authorized_target(ctx, &realm, request.id()?)?;
    let instance = instance.ok_or_else(|| not_found(&urn))?;
    let mut description = json!({
        "summary": summary(&realm, &instance),
        "definition": { "language": "GRAPHQL", "text": instance.definition },
        "validatedNamespaceVersion": instance.version,
        "validatedDependencyRevisions": instance.dependencies,
    });
    if let Some(metrics) = instance.metrics {
        description["metricsConfiguration"] = metrics;
    }
    if let Some(role) = instance.role_arn {
        description["flowActionsRoleArn"] = role.into();
    }
    if let Some(group) = instance.group {
        description["s3BucketName"] = group.bucket.into();
    }
    Ok(json!({ "description": description }))
}

/// `SearchSystemInstances`: by URN ascending.
pub(crate) fn search(service: &ThingsGraph, ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let _grant = ctx.authorize(ctx.operation.iam_action, "*", |_| {})?;
    let request: Search = read(input)?;
    let realm = Realm::of(ctx);
    let page = service.inner.tokens.page(ctx, input)?;
    let rows = ctx.read(|s| {
        let mut rows = Vec::new();
        s.query_each(
            &format!(
                "SELECT {COLUMNS}, system_key FROM tg_instance
                 WHERE account = $1 AND region = $2 AND urn_key > $3 ORDER BY urn_key"
            ),
            params![realm.account, realm.region, page.after_text()],
            |row| {
                let (instance, system) = (read_row(row)?, row.text(COLUMN_COUNT)?);
                let matches = |name: &str, value: &str| match name {
                    "SYSTEM_TEMPLATE_ID" => urn(value).is_ok_and(|wanted| wanted.key() == system),
                    "STATUS" => instance.status.as_str() == value,
                    "GREENGRASS_GROUP_NAME" => instance.group.as_ref().is_some_and(|group| group.name == value),
                    _ => false,
                };
                if passes(&request.filters, matches) {
                    rows.push((instance.id.key().to_owned(), summary(&realm, &instance)));
                }
                Ok::<_, CallError>(rows.len() <= page.limit)
            },
        )?;
        Ok(rows)
    })?;
    Ok(page.answer("summaries", rows))
}
