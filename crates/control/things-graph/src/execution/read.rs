//! `SearchFlowExecutions`, `ListFlowExecutionMessages` (TG 6.9, 6.10, 9.5).

use marram_aws_api::ApiError;
use marram_flow::Time;
use marram_flow_runtime::HistoryError;
use marram_flow_runtime::history::Search;
use marram_identity::CallContext;
use marram_types::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::input::read;
use crate::instance;
use crate::realm::Realm;
use crate::service::ThingsGraph;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SearchExecutions {
    system_instance_id: String,
    flow_execution_id: Option<String>,
    start_time: Option<f64>,
    end_time: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMessages {
    flow_execution_id: String,
}

/// `SearchFlowExecutions`: of one deployment, newest first.
pub(crate) fn search(service: &ThingsGraph, ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let request: SearchExecutions = read(input)?;
    let realm = Realm::of(ctx);
    let (urn, found, _grant) = instance::authorized_target(ctx, &realm, &request.system_instance_id)?;
    let page = service.inner.tokens.page(ctx, input)?;
    // Keyset position: creation time and id of the last one shown.
    let after = page.after.as_deref().and_then(|after| after.split_once(' '));
    let after = after.and_then(|(time, id)| Some((Time(time.parse().ok()?), id)));
    let search = Search {
        deployment: urn.as_str(),
        execution: request.flow_execution_id.as_deref(),
        start: request.start_time.map(moment).transpose()?,
        end: request.end_time.map(moment).transpose()?,
        after,
        limit: u32::try_from(page.fetch()).unwrap_or(u32::MAX),
    };
    let (account, region) = (realm.account.as_str(), realm.region.as_str());
    let rows = service.inner.history.search(account, region, &search).map_err(broken)?;
    if found.is_none() && rows.is_empty() {
        // The history survives the deployment, which is then known by its executions alone.
        let any = Search { deployment: urn.as_str(), limit: 1, ..Search::default() };
        if service.inner.history.search(account, region, &any).map_err(broken)?.is_empty() {
            return Err(instance::not_found(&urn));
        }
    }
    let rows = rows.into_iter().map(|row| {
        let summary = json!({
            "flowExecutionId": row.execution.as_str(),
            "status": row.status.as_str(),
            "systemInstanceId": row.deployment.as_str(),
            "flowTemplateId": row.flow.as_str(),
            "createdAt": seconds(row.created),
            "updatedAt": seconds(row.updated),
        });
        (format!("{} {}", row.created.0, row.execution), summary)
    });
    Ok(page.answer("summaries", rows.collect()))
}

/// `ListFlowExecutionMessages`: oldest first.
pub(crate) fn messages(service: &ThingsGraph, ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let _grant = ctx.authorize(ctx.operation.iam_action, "*", |_| {})?;
    let request: ListMessages = read(input)?;
    let realm = Realm::of(ctx);
    let page = service.inner.tokens.page(ctx, input)?;
    let after = page.after.as_deref().and_then(|after| after.parse().ok()).unwrap_or(0);
    let limit = u32::try_from(page.fetch()).unwrap_or(u32::MAX);
    let execution = &request.flow_execution_id;
    let (account, region) = (realm.account.as_str(), realm.region.as_str());
    let rows = service.inner.history.messages(account, region, execution, after, limit).map_err(broken)?;
    let rows = rows.ok_or_else(|| ApiError::not_found("The flow execution does not exist"))?;
    let rows = rows.into_iter().map(|row| {
        let message = json!({
            "messageId": row.seq.to_string(),
            "eventType": row.event_type.as_str(),
            "timestamp": seconds(row.at),
            "payload": row.payload,
        });
        (row.seq.to_string(), message)
    });
    Ok(page.answer("messages", rows.collect()))
}

fn moment(seconds: f64) -> Result<Time, ApiError> {
    let time = Timestamp::from_epoch_seconds(seconds);
    let time = time.map_err(|_| ApiError::invalid_request("startTime and endTime must be times"))?;
    Ok(Time(time.as_micros().div_euclid(1_000)))
}

fn seconds(time: Time) -> f64 {
    Timestamp::from_micros(time.0.saturating_mul(1_000)).epoch_seconds()
}

fn broken(error: HistoryError) -> ApiError {
    tracing::error!(%error, "the history could not be read");
    ApiError::internal()
}
