//! Where cloud deployments come from.

pub(crate) mod jobs;
pub(crate) mod shadow;

use std::time::Duration;

use bytes::Bytes;
use marram_edge_ports::{CloudPublish, CloudSubscription, PortError};
use serde_json::Value;

use crate::prepare::Refusal;
use crate::record::{News, Record, Stage, path_of};
use crate::store::sha256_base64;
use crate::{Inner, local, lock, trust};

/// In whose name messages are sent: quotas and circuit breakers are per owner.
const OWNER: &str = "DeploymentService";
/// What is not answered is said again after twice the time, so often.
const MOST_DOUBLINGS: u32 = 5;

/// Queues a document that was judged, or reports at once how it is refused.
pub(crate) async fn admit(
    inner: &Inner,
    mut record: Record,
    document: Vec<u8>,
    verdict: Result<Option<trust::Newest>, Refusal>,
) -> Result<(), PortError> {
    let refusal = match verdict {
        Ok(newest) => {
            // Before the document is kept: a crash between the two brings the same document again, and it is not older.
            if let Some(newest) = newest {
                trust::remember(inner, &newest).await?;
            }
            return local::enqueue(inner, record, document).await;
        }
        Err(refusal) => refusal,
    };
    tracing::warn!(deployment = record.id, failure = %refusal.failure, "a deployment is refused");
    record.refused = Some(sha256_base64(&document));
    record.stage = Stage::Done;
    record.status = refusal.detailed.status().as_str().to_owned();
    record.detailed = refusal.detailed.as_str().to_owned();
    record.failure = Some(refusal.failure.report().into());
    record.unreported = true;
    let key = record.key.clone();
    let record = lock(&inner.ledger).add(record);
    inner.ports.disk.step("record").await;
    if let Err(error) = inner.ports.nucleus.put(&path_of(&key), record.to_text().into()).await {
        lock(&inner.ledger).forget(&key);
        return Err(error);
    }
    // Nobody may be listening.
    let _ = inner.news.send(News::Ended(Box::new(record.outcome())));
    inner.reports.notify_one();
    Ok(())
}

/// Subscribes with QoS 1, again and again until it holds (CR 4.3).
pub(crate) async fn subscribe(inner: &Inner, filter: &str) -> CloudSubscription {
    loop {
        match inner.ports.messages.subscribe(OWNER, filter, 1).await {
            Ok(subscription) => return subscription,
            Err(error) => {
                tracing::info!(%error, filter, "a subscription of deployments is tried again");
                tokio::time::sleep(jittered(inner)).await;
            }
        }
    }
}

/// Publishes with QoS 1.
pub(crate) async fn publish(inner: &Inner, topic: &str, payload: &Value) -> Result<(), PortError> {
    let payload = if payload.is_null() { Bytes::new() } else { payload.to_string().into_bytes().into() };
    let message = CloudPublish { topic: topic.to_owned(), qos: 1, payload, ..CloudPublish::default() };
    inner.ports.messages.publish(OWNER, message).await
}

/// Resolves at once when the line is up, else when it comes up; at later calls with each change to up.
pub(crate) async fn connected(connection: &mut tokio::sync::watch::Receiver<bool>) {
    loop {
        if *connection.borrow_and_update() {
            return;
        }
        if connection.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Resolves when the line went down and came up again.
pub(crate) async fn reconnected(connection: &mut tokio::sync::watch::Receiver<bool>) {
    loop {
        if connection.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        if *connection.borrow_and_update() {
            return;
        }
    }
}

/// Resolves at `at`; the caller looks whether there is one.
pub(crate) async fn due(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// A tenth of the retry time, give or take.
pub(crate) fn jittered(inner: &Inner) -> Duration {
    scattered(inner.settings.pace.retry * 3 / 20)
}

/// How long an answer is waited for when the `unanswered` before it in a row did not come: a control plane that is slow is not
/// asked by a whole fleet again and again, and not by all of it at the same moment.
pub(crate) fn patience(inner: &Inner, unanswered: u32) -> Duration {
    let pause = inner.settings.pace.report * 2u32.pow(unanswered.min(MOST_DOUBLINGS));
    pause / 2 + scattered(pause)
}

/// Between a half and the whole of `pause`: cores of a site do not knock together.
pub(crate) fn scattered(pause: Duration) -> Duration {
    let random = u32::from(uuid::Uuid::new_v4().as_bytes()[0]);
    pause / 2 + pause * random / 510
}

/// Whether there is a cloud to listen to at all. Its line may come up late: a key in a token may not be there at the start.
pub(crate) fn is_online(inner: &Inner) -> bool {
    !inner.settings.thing_name.is_empty()
}
