//! Where cloud deployments come from.

pub(crate) mod jobs;
pub(crate) mod shadow;

use std::time::Duration;

use bytes::Bytes;
use marram_edge_ports::{CloudPublish, CloudSubscription, PortError};
use serde_json::Value;

use crate::Inner;

/// In whose name messages are sent: quotas and circuit breakers are per owner.
const OWNER: &str = "DeploymentService";

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

/// A tenth of the retry time, give or take: cores of a site do not knock together.
fn jittered(inner: &Inner) -> Duration {
    let base = inner.settings.pace.retry / 10;
    let random = u32::from(uuid::Uuid::new_v4().as_bytes()[0]);
    base / 2 + base * random / 255
}

/// Whether there is a cloud to listen to at all.
pub(crate) fn is_online(inner: &Inner) -> bool {
    !inner.settings.thing_name.is_empty() && inner.ports.data_plane.is_configured()
}
