//! Reports of cores, written down.

use marram_identity::CallError;
use marram_registry::{Realm, find_thing};
use marram_store::{Tx, params};
use marram_types::Timestamp;
use serde_json::{Value, json};

use super::{LAUNCH, text};
use crate::deployment::{Deployment, find, find_by_configuration};
use crate::watch::{Report, end, record, texts, word_for};

/// States a component can be in (control-plane-api 7.4).
const STATES: [&str; 8] = ["NEW", "INSTALLED", "STARTING", "RUNNING", "STOPPING", "ERRORED", "BROKEN", "FINISHED"];

/// At most `limit` characters: what devices say has a bound here.
fn short(text: &str, limit: usize) -> String {
    text.chars().take(limit).collect()
}

/// Whether a core is shown after its report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// As far as it told.
    Known,
    /// It told a part, and the whole is not known: of a new core, or one that was deleted while it ran, which is not shown until it told
    /// all; or messages before it are missing, as when this control plane was put back to an earlier state.
    Partial,
}

/// A fleet status message (control-plane-api 7.4). A COMPLETE one replaces the list of components, a PARTIAL one adds to it.
pub(super) fn fleet_status(
    tx: &mut Tx<'_>,
    realm: &Realm,
    thing: &str,
    status: &Value,
    now: Timestamp,
) -> Result<Standing, CallError> {
    if find_thing(tx, realm, thing)?.is_none() {
        return Ok(Standing::Known);
    }
    let last = tx.query_opt(
        "SELECT sequence FROM gg_core WHERE account = $1 AND region = $2 AND thing = $3",
        params![realm.account, realm.region, thing],
        |row| Ok::<_, CallError>(row.get::<i64>(0)?),
    )?;
    let sequence = status["sequenceNumber"].as_i64().unwrap_or(0);
    let complete = text(status, "messageType") == "COMPLETE"
        || (status["messageType"].is_null() && matches!(text(status, "trigger"), "NUCLEUS_LAUNCH" | "CADENCE"));
    // A nucleus that starts counts from the beginning again.
    let launched = complete && matches!(text(status, "trigger"), LAUNCH | "NETWORK_RECONFIGURE" | "");
    if last.is_some_and(|last| sequence <= last) && !launched {
        return Ok(Standing::Known);
    }
    let information = &status["deploymentInformation"];
    if last.is_none() && !complete {
        if information.is_object() {
            from_information(tx, realm, thing, information, now)?;
        }
        return Ok(Standing::Partial);
    }
    let is_next = complete || last.is_none_or(|last| sequence <= last.saturating_add(1));
    let overall = if text(status, "overallDeviceStatus") == "UNHEALTHY" { "UNHEALTHY" } else { "HEALTHY" };
    let runtime = match text(status, "runtime") {
        "" => "aws_nucleus_classic",
        given => given,
    };
    tx.execute(
        "INSERT INTO gg_core (account, region, thing, version, platform, architecture, runtime, status, sequence, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (account, region, thing) DO UPDATE SET version = excluded.version, platform = excluded.platform,
         architecture = excluded.architecture, runtime = excluded.runtime, status = excluded.status,
         sequence = excluded.sequence, updated_at = excluded.updated_at",
        params![
            realm.account,
            realm.region,
            thing,
            short(text(status, "ggcVersion"), 255),
            short(text(status, "platform"), 255),
            short(text(status, "architecture"), 255),
            short(runtime, 255),
            overall,
            sequence,
            now
        ],
    )?;
    if complete {
        tx.execute(
            "DELETE FROM gg_installed WHERE account = $1 AND region = $2 AND thing = $3",
            params![realm.account, realm.region, thing],
        )?;
    }
    let reported = status["timestamp"].as_i64().map_or(now, Timestamp::from_millis);
    for component in status["components"].as_array().into_iter().flatten() {
        installed(tx, realm, thing, component, reported)?;
    }
    if information.is_object() {
        from_information(tx, realm, thing, information, now)?;
    }
    Ok(if is_next { Standing::Known } else { Standing::Partial })
}

fn installed(tx: &mut Tx<'_>, realm: &Realm, thing: &str, component: &Value, at: Timestamp) -> Result<(), CallError> {
    let name = short(text(component, "componentName"), 128);
    let state = text(component, "status");
    if name.is_empty() {
        return Ok(());
    }
    if !STATES.contains(&state) {
        // UNINSTALLED, and words that are none of ours.
        tx.execute(
            "DELETE FROM gg_installed WHERE account = $1 AND region = $2 AND thing = $3 AND component = $4",
            params![realm.account, realm.region, thing, name],
        )?;
        return Ok(());
    }
    let arns = texts(&component["fleetConfigArns"]);
    let mut source = None;
    for arn in &arns {
        if let Some(found) = find_by_configuration(tx, realm, arn)? {
            source = Some(found.id);
        }
    }
    let source = source.unwrap_or_else(|| "LOCAL".to_owned());
    let details = &component["componentStatusDetails"];
    let reason = match text(details, "statusReason") {
        "" => text(component, "statusDetails"),
        reason => reason,
    };
    tx.execute(
        "INSERT INTO gg_installed (account, region, thing, component, version, state, details, codes, root, source,
             changed_at, reported_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)
         ON CONFLICT (account, region, thing, component) DO UPDATE SET version = excluded.version,
         details = excluded.details, codes = excluded.codes, root = excluded.root, source = excluded.source,
         reported_at = excluded.reported_at,
         changed_at = CASE WHEN gg_installed.state = excluded.state THEN gg_installed.changed_at ELSE excluded.changed_at END,
         state = excluded.state",
        params![
            realm.account,
            realm.region,
            thing,
            name,
            short(text(component, "version"), 64),
            state,
            short(reason, 1000),
            json!(texts(&details["statusCodes"])).to_string(),
            component["isRoot"].as_bool().unwrap_or(false),
            source,
            at
        ],
    )?;
    Ok(())
}

/// `deploymentInformation` of a fleet status message.
fn from_information(
    tx: &mut Tx<'_>,
    realm: &Realm,
    thing: &str,
    information: &Value,
    now: Timestamp,
) -> Result<(), CallError> {
    let arn = text(information, "fleetConfigurationArnForStatus");
    let found = match find_by_configuration(tx, realm, arn)? {
        Some(found) => Some(found),
        None => find(tx, realm, text(information, "deploymentId"))?,
    };
    let Some(deployment) = found else { return Ok(()) };
    settle(tx, realm, thing, &deployment, information, now)
}

/// `state.reported` of the deployment shadow (control-plane-api 7.3).
pub(super) fn shadow_report(
    tx: &mut Tx<'_>,
    realm: &Realm,
    thing: &str,
    reported: &Value,
    now: Timestamp,
) -> Result<(), CallError> {
    let arn = text(reported, "fleetConfigurationArnForStatus");
    let Some(deployment) = find_by_configuration(tx, realm, arn)? else { return Ok(()) };
    settle(tx, realm, thing, &deployment, reported, now)
}

/// Whether a core said how a deployment ended. It tells that in two ways, shadow and fleet status, of which one may overtake the other: what
/// arrives of its beginning after that is old.
fn is_over(tx: &mut Tx<'_>, realm: &Realm, thing: &str, deployment: &Deployment) -> Result<bool, CallError> {
    let status = tx.query_opt(
        "SELECT status FROM gg_effective WHERE account = $1 AND region = $2 AND thing = $3 AND deployment = $4",
        params![realm.account, realm.region, thing, deployment.id],
        |row| Ok::<_, CallError>(row.get::<String>(0)?),
    )?;
    Ok(status.is_some_and(|status| !matches!(status.as_str(), "IN_PROGRESS" | "QUEUED")))
}

/// What a core says of a deployment. One to a thing ends with it: that is the word of the device (design, deployment status).
fn settle(
    tx: &mut Tx<'_>,
    realm: &Realm,
    thing: &str,
    deployment: &Deployment,
    report: &Value,
    now: Timestamp,
) -> Result<(), CallError> {
    let status = text(report, "status");
    let known = ["IN_PROGRESS", "QUEUED", "SUCCEEDED", "FAILED", "CANCELED", "REJECTED", "TIMED_OUT", "COMPLETED"]
        .contains(&status);
    if !known {
        return Ok(());
    }
    if matches!(status, "IN_PROGRESS" | "QUEUED") && is_over(tx, realm, thing, deployment)? {
        return Ok(());
    }
    let status = word_for(deployment, status);
    let details = &report["statusDetails"];
    let reason = match text(details, "failureCause") {
        "" => text(details, "detailedStatus"),
        cause => cause,
    };
    let reason = short(reason, 1000);
    let entry = Report {
        thing,
        deployment: &deployment.id,
        status,
        reason: &reason,
        stack: texts(&details["errorStack"]),
        types: texts(&details["errorTypes"]),
        at: now,
    };
    record(tx, realm, &entry)?;
    end(tx, realm, deployment, thing, status)
}
