//! Status of cloud deployments, told until it is acknowledged (CR 4.1, 4.3, 4.4).

use std::time::Duration;

use marram_deploy::{DetailedStatus, FailureReport, NUCLEUS_VERSION, StatusDetails, status_details};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::endpoints;
use crate::record::{Record, Source};
use crate::source::{connected, is_online, jobs, patience, publish, shadow, subscribe};
use crate::{Inner, lock};

/// What became of a report.
enum Answer {
    Accepted,
    /// The receiver will never take it: the job is gone, or not this thing's any more.
    Refused,
    /// Not now.
    Again,
}

/// Reports for ever, the oldest first. One that is not answered waits twice as long each time: behind a full spool an answer takes its
/// time, and the same words once more would make it longer.
pub(crate) async fn run(inner: &Inner) {
    if !is_online(inner) {
        std::future::pending::<()>().await;
    }
    let mut connection = inner.ports.messages.connection();
    let mut unanswered = 0u32;
    loop {
        let next =
            lock(&inner.ledger).all().filter(|record| record.unreported).min_by_key(|record| record.sequence).cloned();
        let Some(record) = next else {
            inner.reports.notified().await;
            continue;
        };
        connected(&mut connection).await;
        let patience = patience(inner, unanswered);
        let answer = match &record.source {
            Source::Job { job_id, .. } => report_job(inner, &record, job_id, patience).await,
            Source::Shadow => report_shadow(inner, &record, patience).await,
            Source::Local => Answer::Accepted,
        };
        match answer {
            Answer::Again => {
                unanswered = unanswered.saturating_add(1);
                tokio::time::sleep(inner.settings.pace.poll).await;
            }
            Answer::Accepted | Answer::Refused => {
                unanswered = 0;
                let told = |now: &mut Record| {
                    // it may have moved on meanwhile; then the new status is told as well
                    if now.status == record.status && now.detailed == record.detailed {
                        now.unreported = false;
                    }
                };
                if inner.update(&record.key, told).await.is_err() {
                    tokio::time::sleep(inner.settings.pace.poll).await;
                }
            }
        }
    }
}

fn details(record: &Record) -> Option<StatusDetails> {
    let failure = record.failure.as_ref().map(|failure| FailureReport {
        stack: known(&failure.stack, marram_deploy::ErrorCode::ALL, marram_deploy::ErrorCode::as_str),
        types: known(&failure.types, marram_deploy::ErrorType::ALL, marram_deploy::ErrorType::as_str),
        cause: failure.cause.clone(),
    });
    Some(status_details(record.detailed()?, failure.as_ref()))
}

fn known<T: Copy>(words: &[String], all: &[T], word: fn(T) -> &'static str) -> Vec<&'static str> {
    words.iter().filter_map(|text| all.iter().map(|one| word(*one)).find(|one| one == text)).collect()
}

async fn report_job(inner: &Inner, record: &Record, job_id: &str, patience: Duration) -> Answer {
    let topic = format!("$aws/things/{}/jobs/{job_id}/{}/update", inner.settings.thing_name, jobs::NAMESPACE);
    let mut accepted = subscribe(inner, &format!("{topic}/accepted")).await;
    let mut rejected = subscribe(inner, &format!("{topic}/rejected")).await;
    // jobs know no cancellation by the device: the cloud that took it back does not listen any more
    if record.status() == marram_deploy::DeploymentStatus::Canceled {
        return Answer::Accepted;
    }
    let source = endpoints::source_of(inner, record);
    let details = details(record).map(|details| details.job).unwrap_or_default();
    let token = uuid::Uuid::new_v4().to_string();
    let update = json!({"status": record.status, "statusDetails": details, "clientToken": token});
    if let Some(before) = source {
        endpoints::tell(inner, before, topic, &update).await;
        return Answer::Accepted;
    }
    if let Err(error) = publish(inner, &topic, &update).await {
        tracing::info!(%error, job_id, "a job's status is told later");
        return Answer::Again;
    }
    let answer = timeout(patience, async {
        loop {
            let (message, is_taken) = tokio::select! {
                message = accepted.messages.recv() => (message?, true),
                message = rejected.messages.recv() => (message?, false),
            };
            // a late answer to an earlier report says nothing about this one
            if is_answer_to(&message.payload, &token) {
                return Some((!is_taken).then_some(message.payload));
            }
        }
    });
    match answer.await {
        Ok(Some(None)) => Answer::Accepted,
        Ok(Some(Some(payload))) => {
            let code = serde_json::from_slice::<Value>(&payload).ok();
            let code = code.as_ref().and_then(|value| value.get("code")?.as_str()).unwrap_or_default();
            tracing::warn!(job_id, code, "the control plane does not take a job's status");
            match code {
                "ResourceNotFound" | "TerminalStateReached" | "InvalidStateTransition" | "VersionMismatch" => {
                    Answer::Refused
                }
                _ => Answer::Again,
            }
        }
        _ => Answer::Again,
    }
}

/// Whether an answer names the request's token.
fn is_answer_to(payload: &[u8], token: &str) -> bool {
    let answer = serde_json::from_slice::<Value>(payload).unwrap_or_default();
    answer.get("clientToken").and_then(Value::as_str) == Some(token)
}

async fn report_shadow(inner: &Inner, record: &Record, patience: Duration) -> Answer {
    let topic = format!("{}/update", shadow::base(inner));
    let mut accepted = subscribe(inner, &format!("{topic}/accepted")).await;
    let mut rejected = subscribe(inner, &format!("{topic}/rejected")).await;
    let empty = || status_details(DetailedStatus::Successful, None).shadow;
    let mut details = details(record).map_or_else(empty, |details| details.shadow);
    if record.detailed.is_empty() {
        details["detailedStatus"] = json!("");
    }
    let token = uuid::Uuid::new_v4().to_string();
    let mut update = json!({
        "state": {"reported": {
            "fleetConfigurationArnForStatus": record.arn,
            "status": record.status,
            "statusDetails": details,
            "ggcVersion": NUCLEUS_VERSION,
        }},
        "clientToken": token,
    });
    if let Some(before) = endpoints::source_of(inner, record) {
        endpoints::tell(inner, before, topic, &update).await;
        return Answer::Accepted;
    }
    let version = lock(&inner.shadow_version).seen;
    if let Some(version) = version {
        update["version"] = json!(version);
    }
    if publish(inner, &topic, &update).await.is_err() {
        return Answer::Again;
    }
    let ours = |payload: &[u8]| is_answer_to(payload, &token);
    let answer = timeout(patience, async {
        loop {
            tokio::select! {
                message = accepted.messages.recv() => match message {
                    Some(message) if ours(&message.payload) => return Answer::Accepted,
                    Some(_) => {}
                    None => return Answer::Again,
                },
                message = rejected.messages.recv() => match message {
                    Some(message) if ours(&message.payload) => {
                        // most likely the version moved on: fetch it, then tell again
                        shadow::ask(inner).await;
                        return Answer::Again;
                    }
                    Some(_) => {}
                    None => return Answer::Again,
                },
            }
        }
    });
    answer.await.unwrap_or(Answer::Again)
}
