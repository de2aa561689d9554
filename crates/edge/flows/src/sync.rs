//! The way up: pages of history one after the other, reports of deployments when they change (TG 6.10, 7.5).
//!
//! Nothing is handed to the uplink while there is no line: its spool is for messages that have no other home. A page is
//! repeated until the control plane says it is stored; the position moves only then.

use std::sync::Arc;
use std::time::Duration;

use marram_edge_ports::{CloudMessages, CloudPublish, CloudSubscription};
use marram_flow_runtime::replica::{self, Accepted, Report};
use smol_str::SmolStr;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::COMPONENT;
use crate::history::LocalHistory;

/// How long a page waits for its answer at first; doubled each time it is repeated.
const ANSWER_FIRST: Duration = Duration::from_secs(10);
/// How long it waits at most.
const ANSWER_MOST: Duration = Duration::from_secs(300);
/// Pause after the uplink or the store refused.
const RETRY: Duration = Duration::from_secs(5);

/// Waits until there is a line; `false`: there never will be again.
async fn line_is_up(connection: &mut watch::Receiver<bool>) -> bool {
    connection.wait_for(|up| *up).await.is_ok()
}

fn message(topic: String, payload: Vec<u8>) -> CloudPublish {
    CloudPublish {
        topic,
        qos: 1,
        payload: payload.into(),
        content_type: Some("application/json".to_owned()),
        ..CloudPublish::default()
    }
}

/// Sends history up until the line is gone for good.
pub(crate) async fn history(cloud: Arc<dyn CloudMessages>, thing: SmolStr, history: LocalHistory) {
    let mut connection = cloud.connection();
    let mut answers: Option<CloudSubscription> = None;
    let mut patience = ANSWER_FIRST;
    while line_is_up(&mut connection).await {
        let page = match history.page() {
            Ok(Some(page)) => page,
            Ok(None) => {
                history.news().await;
                continue;
            }
            Err(error) => {
                tracing::warn!(%error, "the flow history cannot be read");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        if answers.is_none() {
            match cloud.subscribe(COMPONENT, &replica::accepted_topic(&thing), 1).await {
                Ok(subscription) => answers = Some(subscription),
                Err(error) => {
                    tracing::warn!(%error, "cannot hear whether flow history was accepted");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            }
        }
        let Some(subscription) = &mut answers else { continue };
        let payload = serde_json::to_vec(&page).unwrap_or_default();
        if let Err(error) = cloud.publish(COMPONENT, message(replica::history_topic(&thing), payload)).await {
            tracing::warn!(%error, "flow history cannot be sent");
            tokio::time::sleep(RETRY).await;
            continue;
        }
        let accepted = accepted(subscription, &mut connection, &page.stream, page.through, patience).await;
        match accepted {
            Answer::Through(through) => {
                patience = ANSWER_FIRST;
                if let Err(error) = history.accept(&page.stream, through).await {
                    tracing::warn!(%error, "the position of the flow history cannot be kept");
                    tokio::time::sleep(RETRY).await;
                }
            }
            Answer::None => {
                patience = (patience * 2).min(ANSWER_MOST);
                tracing::info!(through = page.through, "flow history was not accepted in time and is sent again");
            }
            Answer::Closed => answers = None,
        }
    }
}

enum Answer {
    Through(u64),
    None,
    Closed,
}

/// Waits for the answer to a page. A cut line ends the wait: the page goes again when it is back.
async fn accepted(
    subscription: &mut CloudSubscription,
    connection: &mut watch::Receiver<bool>,
    stream: &str,
    through: u64,
    patience: Duration,
) -> Answer {
    let deadline = Instant::now() + patience;
    loop {
        tokio::select! {
            answer = subscription.messages.recv() => {
                let Some(answer) = answer else { return Answer::Closed };
                let read = serde_json::from_slice::<Accepted>(&answer.payload);
                // An answer to an earlier sending of the same numbers says as much.
                if let Ok(accepted) = read && accepted.stream == stream && accepted.through >= through {
                    return Answer::Through(accepted.through);
                }
            }
            down = connection.wait_for(|up| !*up) => {
                return if down.is_ok() { Answer::None } else { Answer::Closed };
            }
            () = tokio::time::sleep_until(deadline) => return Answer::None,
        }
    }
}

/// Sends the newest report whenever it changed or the line is back.
pub(crate) async fn reports(
    cloud: Arc<dyn CloudMessages>,
    thing: SmolStr,
    mut reports: watch::Receiver<Option<Arc<Report>>>,
) {
    let mut connection = cloud.connection();
    while line_is_up(&mut connection).await {
        let report = reports.borrow_and_update().clone();
        if let Some(report) = report {
            let payload = serde_json::to_vec(&*report).unwrap_or_default();
            if let Err(error) = cloud.publish(COMPONENT, message(replica::deployments_topic(&thing), payload)).await {
                tracing::warn!(%error, "the state of flows cannot be reported");
                tokio::time::sleep(RETRY).await;
                reports.mark_changed();
                continue;
            }
        }
        tokio::select! {
            changed = reports.changed() => if changed.is_err() { return },
            down = connection.wait_for(|up| !*up) => if down.is_err() { return },
        }
    }
}
