//! Reading templates: `Get`, `GetRevisions`, `Search` of flows and systems (TG 9.3).

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::params;
use marram_types::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Kind, Template, authorized_target, not_found, revision, summary, uses};
use crate::input::{Filter, passes, read};
use crate::realm::{Realm, urn};
use crate::service::ThingsGraph;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Get {
    id: String,
    revision_number: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct Search {
    #[serde(default)]
    filters: Vec<Filter>,
}

/// `GetFlowTemplate`, `GetSystemTemplate`.
pub(crate) fn get(_: &ThingsGraph, ctx: &CallContext, kind: Kind, input: &Value) -> Result<Value, ApiError> {
    let request: Get = read(input)?;
    let realm = Realm::of(ctx);
    let (urn, template, _grant) = authorized_target(ctx, &realm, kind, &request.id)?;
    let template = template.ok_or_else(|| not_found(&urn))?;
    let number = request.revision_number.unwrap_or(template.revision);
    let found = ctx.read(|s| revision(s, &realm, kind, &urn, number))?;
    let found = found.ok_or_else(|| ApiError::not_found(format!("{urn} has no revision {number}")))?;
    Ok(json!({ "description": {
        "summary": summary(&realm, &template.id, found.number, template.created),
        "definition": { "language": "GRAPHQL", "text": found.definition },
        "validatedNamespaceVersion": found.version,
    }}))
}

/// `GetFlowTemplateRevisions`, `GetSystemTemplateRevisions`: newest first.
pub(crate) fn revisions(
    service: &ThingsGraph,
    ctx: &CallContext,
    kind: Kind,
    input: &Value,
) -> Result<Value, ApiError> {
    let request: Get = read(input)?;
    let realm = Realm::of(ctx);
    let (urn, template, _grant) = authorized_target(ctx, &realm, kind, &request.id)?;
    let template = template.ok_or_else(|| not_found(&urn))?;
    let page = service.inner.tokens.page(ctx, input)?;
    let below = page.after.as_deref().and_then(|after| after.parse().ok()).unwrap_or(i64::MAX);
    let rows = ctx.read(|s| {
        s.query_all(
            "SELECT revision, created_at FROM tg_template_revision
             WHERE account = $1 AND region = $2 AND kind = $3 AND urn_key = $4 AND revision < $5
             ORDER BY revision DESC LIMIT $6",
            params![realm.account, realm.region, kind.as_str(), urn.key(), below, page.fetch()],
            |row| Ok::<_, CallError>((row.get::<i64>(0)?, row.get::<Timestamp>(1)?)),
        )
    })?;
    let summaries = rows.into_iter();
    let summaries =
        summaries.map(|(number, created)| (number.to_string(), summary(&realm, &template.id, number, created)));
    Ok(page.answer("summaries", summaries.collect()))
}

/// `SearchFlowTemplates`, `SearchSystemTemplates`: by URN ascending, deprecated ones included.
pub(crate) fn search(service: &ThingsGraph, ctx: &CallContext, kind: Kind, input: &Value) -> Result<Value, ApiError> {
    let _grant = ctx.authorize(ctx.operation.iam_action, "*", |_| {})?;
    let request: Search = read(input)?;
    let realm = Realm::of(ctx);
    for filter in &request.filters {
        if filter.name != kind.filter() {
            return Err(ApiError::invalid_request(format!("The filter {} is not known here", filter.name)));
        }
        for value in &filter.value {
            urn(value)?;
        }
    }
    let page = service.inner.tokens.page(ctx, input)?;
    let rows = ctx.read(|s| {
        let mut rows = Vec::new();
        s.query_each(
            "SELECT id, revision, deprecated, created_at FROM tg_template
             WHERE account = $1 AND region = $2 AND kind = $3 AND urn_key > $4 ORDER BY urn_key",
            params![realm.account, realm.region, kind.as_str(), page.after_text()],
            |row| {
                let template: Template = Template {
                    id: row.parse(0)?,
                    revision: row.get(1)?,
                    is_deprecated: row.get(2)?,
                    created: row.get(3)?,
                };
                let used = if request.filters.is_empty() { Vec::new() } else { uses(s, &realm, kind, &template.id)? };
                if passes(&request.filters, |_, value| urn(value).is_ok_and(|wanted| used.contains(&wanted))) {
                    let summary = summary(&realm, &template.id, template.revision, template.created);
                    rows.push((template.id.key().to_owned(), summary));
                }
                Ok::<_, CallError>(rows.len() <= page.limit)
            },
        )?;
        Ok(rows)
    })?;
    Ok(page.answer("summaries", rows))
}
