//! Thing-group deployments through IoT jobs in their own namespace (CR 4.3).

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{admit, connected, due, is_online, jittered, publish, reconnected, subscribe};
use crate::record::{Source, Stage};
use crate::store::sha256_base64;
use crate::{Inner, local, lock, trust};

/// Namespace of deployment jobs.
pub(crate) const NAMESPACE: &str = "namespace-aws-gg-deployment";

/// Listens for ever.
pub(crate) async fn run(inner: &Inner) {
    if !is_online(inner) {
        std::future::pending::<()>().await;
    }
    let thing = &inner.settings.thing_name;
    let base = format!("$aws/things/{thing}/jobs");
    let mut connection = inner.ports.messages.connection();
    connected(&mut connection).await;
    let mut notify = subscribe(inner, &format!("{base}/notify-{NAMESPACE}")).await;
    let mut next = subscribe(inner, &format!("{base}/$next/{NAMESPACE}/get/accepted")).await;
    let mut is_done = ask(inner, &base).await;
    let mut again: Option<Instant> = None;
    loop {
        if !is_done {
            again = Some(Instant::now() + jittered(inner));
        }
        is_done = tokio::select! {
            () = reconnected(&mut connection) => ask(inner, &base).await,
            () = due(again), if again.is_some() => {
                again = None;
                ask(inner, &base).await
            }
            message = notify.messages.recv() => match message {
                Some(message) => notified(inner, &base, &message.payload).await,
                None => {
                    notify = subscribe(inner, &format!("{base}/notify-{NAMESPACE}")).await;
                    true
                }
            },
            message = next.messages.recv() => match message {
                Some(message) => take(inner, &message.payload).await,
                None => {
                    next = subscribe(inner, &format!("{base}/$next/{NAMESPACE}/get/accepted")).await;
                    true
                }
            },
        };
    }
}

/// Asks for the next job. False: the question was not kept, a full disk for example, so it must be asked again.
async fn ask(inner: &Inner, base: &str) -> bool {
    let request = json!({
        "jobId": "$next", "thingName": inner.settings.thing_name, "includeJobDocument": true,
        "clientToken": uuid::Uuid::new_v4().to_string(),
    });
    let asked = publish(inner, &format!("{base}/$next/{NAMESPACE}/get"), &request).await;
    if let Err(error) = &asked {
        tracing::warn!(%error, "the next deployment job cannot be asked for");
    }
    asked.is_ok()
}

/// The list of jobs changed: nothing there means the current one was taken back.
async fn notified(inner: &Inner, base: &str, payload: &[u8]) -> bool {
    let Ok(message) = serde_json::from_slice::<Value>(payload) else { return true };
    let jobs = message.get("jobs").and_then(Value::as_object);
    let empty = jobs.is_some_and(|jobs| jobs.values().all(|list| list.as_array().is_none_or(Vec::is_empty)));
    if !empty {
        return ask(inner, base).await;
    }
    let open: Vec<String> = lock(&inner.ledger)
        .all()
        .filter(|record| matches!(record.source, Source::Job { .. }) && record.stage != Stage::Done)
        .map(|record| record.key.clone())
        .collect();
    for key in open {
        if let Err(error) = local::cancel(inner, &key).await {
            tracing::info!(%error, key, "a removed job's deployment goes on");
        }
    }
    true
}

/// False: there is a job that could not be kept, so it must be asked for again.
async fn take(inner: &Inner, payload: &[u8]) -> bool {
    let Ok(message) = serde_json::from_slice::<Value>(payload) else { return true };
    let Some(execution) = message.get("execution").filter(|execution| execution.is_object()) else { return true };
    let Some(job_id) = execution.get("jobId").and_then(Value::as_str) else { return true };
    let queued_at = execution.get("queuedAt").and_then(Value::as_i64).unwrap_or(0);
    let source = Source::Job { job_id: job_id.to_owned(), queued_at };
    let document = execution.get("jobDocument").cloned().unwrap_or(Value::Null);
    // some planes send the document as a text
    let document = match document {
        Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        other => other,
    };
    let bytes = document.to_string().into_bytes();
    let sha256 = sha256_base64(&bytes);
    let known = lock(&inner.ledger)
        .all()
        .find(|record| record.source == source && record.is_of(&sha256))
        .map(|record| record.key.clone());
    if let Some(key) = known {
        // the control plane missed how it ended: tell it again
        let is_done = lock(&inner.ledger).get(&key).is_some_and(|record| record.stage == Stage::Done);
        if is_done && inner.update(&key, |record| record.unreported = true).await.is_ok() {
            inner.reports.notify_one();
        }
        return true;
    }
    // Before anything of it is used.
    let verdict = trust::judge(inner, &document);
    let text = |key: &str| {
        let map = document.as_object();
        let value = map.and_then(|map| map.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)));
        value.and_then(|(_, value)| value.as_str()).unwrap_or_default().to_owned()
    };
    let (id, arn) = (text("deploymentId"), text("configurationArn"));
    let id = if id.is_empty() { job_id.to_owned() } else { id };
    let key = uuid::Uuid::new_v4().to_string();
    let record = local::new_record(&key, &id, source, &arn, inner.now());
    if let Err(error) = admit(inner, record, bytes, verdict).await {
        tracing::error!(%error, job_id, "a deployment job cannot be kept; it is asked for again");
        return false;
    }
    true
}
