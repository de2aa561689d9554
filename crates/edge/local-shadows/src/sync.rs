//! Shadows of a core and those of the control plane, kept in agreement (core-components.md section 3.5).
//!
//! ```text
//! changes here ──────────────> pending: one entry per shadow ──> round ──> cloud, this side, what was agreed
//! update/accepted, deletes ──>            (a set, not a log)
//! line up, start, settings ──>
//! ```
//!
//! Where a thing is synchronised with all of its named shadows, "look at the names" is pending like a shadow: both sides' names
//! become pending shadows. New ones on either side are heard of as changes are.
//!
//! What is pending need not survive: a shadow whose version is not the one that was agreed is pending again at the next start.

mod apart;
mod merge;
mod round;
mod side;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use marram_edge_ports::{CloudMessages, CloudShadows, DataPlaneError};
use marram_parts::{Direction, RESERVED, SHADOWS_MAX, SyncSettings, SyncedShadow};
use marram_shadow::{ShadowTopic, TopicBase};
use marram_types::ThingName;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::shadows::Shadows;
pub use apart::Apart;
pub(crate) use apart::Ledger;
use round::{Gate, Reason, Round, RoundError};

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

/// What there is to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Task {
    /// Bring a shadow into agreement.
    Agree(TopicBase),
    /// Look which named shadows a thing has on either side.
    Names(ThingName),
}

/// The shadows that the settings mean.
struct Wanted {
    listed: HashSet<TopicBase>,
    /// All named shadows of these things.
    whole: HashSet<ThingName>,
}

impl Wanted {
    fn of(settings: &SyncSettings) -> Self {
        let listed = settings.shadows.iter().filter_map(SyncedShadow::base).collect();
        Self { listed, whole: settings.whole.iter().filter_map(|thing| thing.parse().ok()).collect() }
    }

    fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.whole.is_empty()
    }

    fn holds(&self, id: &TopicBase) -> bool {
        let is_named = || id.name.as_ref().is_some_and(|name| name.as_str() != RESERVED);
        self.listed.contains(id) || self.whole.contains(&id.thing) && is_named()
    }

    fn holds_task(&self, task: &Task) -> bool {
        match task {
            Task::Agree(id) => self.holds(id),
            Task::Names(thing) => self.whole.contains(thing),
        }
    }

    /// Topics of both kinds of news from the cloud, `operation` of either.
    fn filters(&self, operation: &str) -> Vec<String> {
        let suffix = format!("{operation}/accepted");
        let whole = self.whole.iter().map(|thing| format!("$aws/things/{thing}/shadow/name/+/{suffix}"));
        let covered = |id: &TopicBase| id.name.is_some() && self.whole.contains(&id.thing);
        let listed = self.listed.iter().filter(|id| !covered(id)).map(|id| id.topic(&suffix));
        whole.chain(listed).collect()
    }
}

/// A task that is due.
#[derive(Debug, Clone, Copy)]
struct Due {
    reason: Reason,
    at: Instant,
    failures: u32,
    /// Refused for what the shadow holds: a change may help, from then on.
    change_helps: Option<Instant>,
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
    pending: HashMap<Task, Due>,
    gate: Gate,
    /// What the periods of `periodic` are counted from.
    began: Instant,
}

impl Sync {
    /// With the same settings until dropped.
    async fn run(&mut self, settings: &SyncSettings, connection: &mut watch::Receiver<bool>) {
        let wanted = Wanted::of(settings);
        self.pending.retain(|task, _| wanted.holds_task(task));
        self.shadows.ledger().retain(|id| wanted.holds(id));
        self.began = Instant::now();
        let (sender, mut heard) = mpsc::channel(QUEUE);
        // They end with this set.
        let _listeners = match settings.direction {
            Direction::DeviceToCloud => JoinSet::new(),
            _ => self.listen(&wanted, &sender),
        };
        if wanted.is_empty() {
            return std::future::pending().await;
        }
        let mut online = *connection.borrow_and_update();
        if online {
            self.all_due(&wanted);
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
                        self.all_due(&wanted);
                    }
                    online = up;
                }
                ids = self.shadows.changed().take() => {
                    for id in ids.into_iter().filter(|id| wanted.holds(id)) {
                        self.add(Task::Agree(id), Reason::Local);
                    }
                }
                Some((id, version)) = heard.recv() => {
                    if wanted.holds(&id) && self.is_news(&id, version) {
                        self.add(Task::Agree(id), Reason::Full);
                    }
                }
                () = wait(next.as_ref().map(|(at, _)| *at)) => {
                    if let Some((_, task)) = next {
                        self.work(&task, settings).await;
                    }
                }
            }
        }
    }

    /// One listener for each topic; what it hears goes to `heard` with its version, none for a deletion.
    fn listen(&self, wanted: &Wanted, heard: &mpsc::Sender<(TopicBase, Option<u64>)>) -> JoinSet<()> {
        let mut listeners = JoinSet::new();
        let filters =
            |operation: &'static str| wanted.filters(operation).into_iter().map(move |filter| (filter, operation));
        for (filter, operation) in filters("update").chain(filters("delete")) {
            let (messages, heard) = (Arc::clone(&self.messages), heard.clone());
            listeners.spawn(async move {
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
                        let request = message.topic.strip_suffix("/accepted").and_then(ShadowTopic::parse);
                        let Some(ShadowTopic { base: id, .. }) = request else { continue };
                        let body: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
                        let version = body["version"].as_u64().filter(|_| operation == "update");
                        if heard.send((id, version)).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
        listeners
    }

    fn all_due(&mut self, wanted: &Wanted) {
        let listed = wanted.listed.iter().cloned().map(Task::Agree);
        for task in listed.chain(wanted.whole.iter().cloned().map(Task::Names)) {
            self.pending.remove(&task);
            self.add(task, Reason::Full);
        }
    }

    fn add(&mut self, task: Task, reason: Reason) {
        let new = Due { reason, at: Instant::now(), failures: 0, change_helps: None };
        self.pending
            .entry(task)
            .and_modify(|due| {
                due.reason = due.reason.max(reason);
                // Trouble of the network is not over by a change, nor is a right given by it.
                if due.failures == 0 {
                    due.at = new.at;
                } else if let Some(from) = due.change_helps {
                    due.at = due.at.min(from.max(new.at));
                }
            })
            .or_insert(new);
    }

    /// Whether a message tells more than is known: our own updates come back.
    fn is_news(&self, id: &TopicBase, version: Option<u64>) -> bool {
        let Some(version) = version else { return true };
        let agreed = self.shadows.here(id, true).ok().and_then(|here| here.agreed);
        agreed.is_none_or(|agreed| version != agreed.cloud_version)
    }

    /// What is due next, and when.
    fn due(&self, settings: &SyncSettings) -> Option<(Instant, Task)> {
        let (task, due) = self.pending.iter().min_by_key(|(_, due)| due.at)?;
        let at = match settings.every {
            None => due.at,
            // At the end of its period; what is due at the start is due at once.
            Some(every) => {
                let periods = due.at.saturating_duration_since(self.began).as_secs_f64() / every.as_secs_f64();
                self.began + every.mul_f64(periods.ceil())
            }
        };
        Some((at, task.clone()))
    }

    async fn work(&mut self, task: &Task, settings: &SyncSettings) {
        let Some(due) = self.pending.get(task).copied() else { return };
        // It stays pending until it is done: whoever drops this future finds it there.
        let outcome = match task {
            Task::Agree(id) => {
                let (shadows, cloud) = (&self.shadows, self.cloud.as_ref());
                Round { shadows, cloud, settings, gate: &mut self.gate, id }.run(due.reason).await
            }
            Task::Names(thing) => self.find_names(thing, settings).await,
        };
        match outcome {
            Ok(()) => {
                if let Task::Agree(id) = task {
                    self.shadows.ledger().agreed(id);
                }
                self.pending.remove(task);
            }
            Err(error) => {
                let failures = due.failures + 1;
                let pause = match &error {
                    RoundError::Busy => Duration::ZERO,
                    RoundError::TooLarge { .. } => REFUSED,
                    RoundError::Cloud(DataPlaneError::Answered { .. }) if !is_passing(&error) => REFUSED,
                    _ => (TROUBLE.0 * 2_u32.saturating_pow(failures.min(8) - 1)).min(TROUBLE.1),
                };
                let again_in_secs = pause.as_secs();
                match task {
                    Task::Agree(id) => {
                        self.shadows.ledger().refused(id, &error, self.shadows.clock().now());
                        tracing::warn!(%error, shadow = %id, again_in_secs, "a shadow is not synchronised");
                    }
                    Task::Names(thing) => {
                        tracing::warn!(%error, %thing, again_in_secs, "the cloud's named shadows cannot be listed");
                    }
                }
                let now = Instant::now();
                let change_helps = matches!(error, RoundError::TooLarge { .. }).then_some(now + TROUBLE.0);
                let due = Due { reason: Reason::Full, at: now + pause, failures, change_helps };
                self.pending.insert(task.clone(), due);
            }
        }
    }

    /// Makes every named shadow of `thing` due. Those here do not wait for the cloud's list.
    async fn find_names(&mut self, thing: &ThingName, settings: &SyncSettings) -> Result<(), RoundError> {
        let here = self.shadows.names_here(thing, i64::try_from(SHADOWS_MAX).unwrap_or(i64::MAX))?;
        self.add_names(thing, &here);
        self.gate.pass(settings.rate).await;
        let there = self.cloud.names(thing.as_str(), SHADOWS_MAX).await?;
        if there.len() == SHADOWS_MAX {
            tracing::warn!(%thing, limit = SHADOWS_MAX, "further shadows are synchronised only when they change");
        }
        self.add_names(thing, &there);
        Ok(())
    }

    fn add_names(&mut self, thing: &ThingName, names: &[String]) {
        for name in names.iter().filter(|name| *name != RESERVED).filter_map(|name| name.parse().ok()) {
            self.add(Task::Agree(TopicBase { thing: thing.clone(), name: Some(name) }), Reason::Full);
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
