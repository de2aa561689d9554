//! `DescribeEventConfigurations` and `UpdateEventConfigurations`: which events an account asks for (CP 4.9).

use marram_aws_api::ApiError;
use marram_identity::CallContext;
use marram_registry::Realm;
use marram_store::params;
use serde_json::{Map, Value, json};

use crate::event::{Asked, configuration};
use crate::jobs::Jobs;

/// Kinds of events that are published here.
const OFFERED: [&str; 2] = ["JOB", "JOB_EXECUTION"];
/// Kinds that are not: they can be switched off, and are.
const NEVER: [&str; 9] = [
    "CA_CERTIFICATE",
    "CERTIFICATE",
    "POLICY",
    "THING",
    "THING_GROUP",
    "THING_GROUP_HIERARCHY",
    "THING_GROUP_MEMBERSHIP",
    "THING_TYPE",
    "THING_TYPE_ASSOCIATION",
];

pub(super) async fn describe_event_configurations(_: &Jobs, ctx: &CallContext, _: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| ())?);
    let found = ctx.read(|snapshot| configuration(snapshot, &realm))?;
    let asked = found.map_or_else(Asked::default, |found| found.asked);
    let mut kinds = Map::new();
    for (name, enabled) in [(OFFERED[0], asked.jobs), (OFFERED[1], asked.executions)] {
        kinds.insert(name.to_owned(), json!({"Enabled": enabled}));
    }
    kinds.extend(NEVER.iter().map(|name| ((*name).to_owned(), json!({"Enabled": false}))));
    let mut answer = json!({"eventConfigurations": kinds});
    if let Some(found) = found {
        answer["creationDate"] = found.created_at.epoch_seconds().into();
        answer["lastModifiedDate"] = found.updated_at.epoch_seconds().into();
    }
    Ok(answer)
}

/// Kinds that are not named stay as they are.
pub(super) async fn update_event_configurations(_: &Jobs, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let grant = ctx.authorize(ctx.operation.iam_action, "*", |_| ())?;
    let mut wanted: [Option<bool>; 2] = [None; 2];
    for (kind, configuration) in input["eventConfigurations"].as_object().into_iter().flatten() {
        let enabled = configuration["Enabled"].as_bool().unwrap_or(false);
        match OFFERED.iter().position(|name| name == kind) {
            Some(index) => wanted[index] = Some(enabled),
            None if enabled => {
                return Err(ApiError::invalid_request(format!(
                    "Events of {} are not supported by this endpoint",
                    marram_registry::shown(kind)
                )));
            }
            None => {}
        }
    }
    let now = ctx.now;
    ctx.commit(grant, move |tx| {
        let known = configuration(tx, &realm)?.map_or_else(Asked::default, |known| known.asked);
        let (jobs, executions) = (wanted[0].unwrap_or(known.jobs), wanted[1].unwrap_or(known.executions));
        tx.execute(
            "INSERT INTO iot_job_event (account, region, jobs, executions, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $5)
             ON CONFLICT (account, region) DO UPDATE SET jobs = $3, executions = $4, updated_at = $5",
            params![realm.account, realm.region, jobs, executions, now],
        )?;
        Ok(json!({}))
    })
    .await
}
