//! Shadows of a core and those of the control plane, kept in agreement (core-components.md section 3.5).
//!
//! ```text
//! changes here ──────────────> pending: one entry per shadow ──> round ──> cloud, this side, what was agreed
//! update/accepted, deletes ──>            (a set, not a log)
//! line up, start, settings ──>
//! ```
//!
//! What is pending need not survive: a shadow whose version is not the one that was agreed is pending again at the next start.

mod merge;
mod round;
mod settings;
mod side;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use marram_edge_ports::{CloudMessages, CloudShadows, DataPlaneError};
use marram_shadow::TopicBase;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::shadows::Shadows;
use round::{Gate, Reason, Round, RoundError};
pub use settings::{Direction, SyncSettings, SyncedShadow};

/// In whose name the line is used.
const OWNER: &str = "aws.greengrass.ShadowManager";
/// First and longest pause after network trouble, and how often it is doubled.
const TROUBLE: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(60));
/// Pause after a refusal that only a person can change: rights, size.
const REFUSED: Duration = Duration::from_secs(120);
/// Pause after a subscription was refused.
const SUBSCRIBE_AGAIN: Duration = Duration::from_secs(10);
/// Messages of the cloud that may wait.
const QUEUE: usize = 256;

/// A shadow that is due.
#[derive(Debug, Clone, Copy)]
struct Due {
    reason: Reason,
    at: Instant,
    failures: u32,
}

/// Keeps shadows in agreement until dropped; `settings` may change at any time.
pub async fn synchronize(
    shadows: Shadows,
    cloud: Arc<dyn CloudShadows>,
    messages: Arc<dyn CloudMessages>,
    mut settings: watch::Receiver<SyncSettings>,
) {
    let mut connection = messages.connection();
    let mut sync = Sync { shadows, cloud, messages, pending: HashMap::new(), gate: Gate::new(), began: Instant::now() };
    loop {
        let now = settings.borrow_and_update().clone();
        tokio::select! {
            () = sync.run(&now, &mut connection) => {}
            changed = settings.changed() => if changed.is_err() {
                return sync.run(&now, &mut connection).await;
            },
        }
    }
}

struct Sync {
    shadows: Shadows,
    cloud: Arc<dyn CloudShadows>,
    messages: Arc<dyn CloudMessages>,
    pending: HashMap<TopicBase, Due>,
    gate: Gate,
    /// What the periods of `periodic` are counted from.
    began: Instant,
}

impl Sync {
    /// With the same settings until dropped.
    async fn run(&mut self, settings: &SyncSettings, connection: &mut watch::Receiver<bool>) {
        let all: HashSet<TopicBase> = settings.shadows.iter().filter_map(SyncedShadow::base).collect();
        self.pending.retain(|id, _| all.contains(id));
        self.began = Instant::now();
        let (sender, mut heard) = mpsc::channel(QUEUE);
        // They end with this set.
        let _listeners = match settings.direction {
            Direction::DeviceToCloud => JoinSet::new(),
            _ => self.listen(&all, &sender),
        };
        if all.is_empty() {
            return std::future::pending().await;
        }
        let mut online = *connection.borrow_and_update();
        if online {
            self.all_due(&all);
        }
        loop {
            let next = self.due(settings).filter(|_| online);
            tokio::select! {
                biased;
                changed = connection.changed() => {
                    if changed.is_err() {
                        return std::future::pending().await;
                    }
                    let up = *connection.borrow_and_update();
                    if up && !online {
                        self.all_due(&all);
                    }
                    online = up;
                }
                ids = self.shadows.changed().take() => {
                    for id in ids.into_iter().filter(|id| all.contains(id)) {
                        self.add(id, Reason::Local);
                    }
                }
                Some((id, version)) = heard.recv() => {
                    if self.is_news(&id, version) {
                        self.add(id, Reason::Full);
                    }
                }
                () = wait(next.as_ref().map(|(at, _)| *at)) => {
                    if let Some((_, id)) = next {
                        self.round(&id, settings).await;
                    }
                }
            }
        }
    }

    /// One listener for both topics of each shadow; what it hears goes to `heard` with its version, none for a deletion.
    fn listen(&self, all: &HashSet<TopicBase>, heard: &mpsc::Sender<(TopicBase, Option<u64>)>) -> JoinSet<()> {
        let mut listeners = JoinSet::new();
        for (id, operation) in all.iter().flat_map(|id| [(id, "update"), (id, "delete")]) {
            let (id, messages, heard) = (id.clone(), Arc::clone(&self.messages), heard.clone());
            listeners.spawn(async move {
                let filter = id.topic(format_args!("{operation}/accepted"));
                loop {
                    let mut subscription = match messages.subscribe(OWNER, &filter, 1).await {
                        Ok(subscription) => subscription,
                        Err(error) => {
                            tracing::info!(%error, filter, "a subscription of shadows is tried again");
                            sleep(SUBSCRIBE_AGAIN).await;
                            continue;
                        }
                    };
                    while let Some(message) = subscription.messages.recv().await {
                        let body: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
                        let version = body["version"].as_u64().filter(|_| operation == "update");
                        if heard.send((id.clone(), version)).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
        listeners
    }

    fn all_due(&mut self, all: &HashSet<TopicBase>) {
        for id in all {
            self.pending.remove(id);
            self.add(id.clone(), Reason::Full);
        }
    }

    fn add(&mut self, id: TopicBase, reason: Reason) {
        let new = Due { reason, at: Instant::now(), failures: 0 };
        self.pending
            .entry(id)
            .and_modify(|due| {
                due.reason = due.reason.max(reason);
                // A new change is a reason to try what failed before; trouble of the network is not over by it.
                if due.failures == 0 {
                    due.at = new.at;
                }
            })
            .or_insert(new);
    }

    /// Whether a message tells more than is known: our own updates come back.
    fn is_news(&self, id: &TopicBase, version: Option<u64>) -> bool {
        let Some(version) = version else { return true };
        let agreed = self.shadows.here(id, true).ok().and_then(|here| here.agreed);
        agreed.is_none_or(|agreed| version > agreed.cloud_version)
    }

    /// What is due next, and when.
    fn due(&self, settings: &SyncSettings) -> Option<(Instant, TopicBase)> {
        let (id, due) = self.pending.iter().min_by_key(|(_, due)| due.at)?;
        let at = match settings.every {
            None => due.at,
            // At the end of its period; what is due at the start is due at once.
            Some(every) => {
                let periods = due.at.saturating_duration_since(self.began).as_secs_f64() / every.as_secs_f64();
                self.began + every.mul_f64(periods.ceil())
            }
        };
        Some((at, id.clone()))
    }

    async fn round(&mut self, id: &TopicBase, settings: &SyncSettings) {
        let Some(due) = self.pending.get(id).copied() else { return };
        let mut round =
            Round { shadows: &self.shadows, cloud: self.cloud.as_ref(), settings, gate: &mut self.gate, id };
        // It stays pending until it is done: whoever drops this future finds it there.
        let outcome = round.run(due.reason).await;
        match outcome {
            Ok(()) => drop(self.pending.remove(id)),
            Err(error) => {
                let failures = due.failures + 1;
                let pause = match &error {
                    RoundError::Busy => Duration::ZERO,
                    RoundError::Cloud(DataPlaneError::Answered { .. }) if !is_passing(&error) => REFUSED,
                    _ => (TROUBLE.0 * 2_u32.saturating_pow(failures.min(8) - 1)).min(TROUBLE.1),
                };
                tracing::warn!(%error, shadow = %id, again_in_secs = pause.as_secs(), "a shadow is not synchronised");
                let due = Due { reason: Reason::Full, at: Instant::now() + pause, failures };
                self.pending.insert(id.clone(), due);
            }
        }
    }
}

fn is_passing(error: &RoundError) -> bool {
    matches!(error, RoundError::Cloud(error) if error.is_retryable())
}

async fn wait(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
