//! When the control plane is told what (CR 4.13).
//!
//! Messages about deployments are spooled and survive an outage; all others are made anew when the line is back, because by
//! then they would be old. During a deployment state changes wait, except that a component fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use marram_edge_ports::{
    CloudMessages, CloudPublish, ComponentDetails, ComponentState, Components, DeploymentReport, DeploymentReports,
    Nucleus, PortError, StateChange,
};
use marram_types::{SharedClock, Sparse};
use serde_json::{Value, json};
use smol_str::SmolStr;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::message::{Content, CoreFacts, Trigger, component, encode, removed};

/// Shortest time between two messages.
const PACE: Duration = Duration::from_secs(3);
/// What cannot be sent is tried again after this long.
const AGAIN: Duration = Duration::from_secs(15);
/// A line that was away shorter than this, with nothing changed, is not worth a message.
const SHORT_OUTAGE: Duration = Duration::from_secs(60);
/// Shortest cadence.
const CADENCE_MIN: Duration = Duration::from_secs(60);
/// Whose name the messages bear in the spool.
const OWNER: &str = "FleetStatusService";
/// The component that this program as a whole is.
const NUCLEUS: &str = "aws.greengrass.Nucleus";
/// Where the sequence number is kept.
const SEQUENCE: &[&str] = &["services", "FleetStatusService", "runtime", "sequenceNumber"];

/// What the reporter holds.
pub struct FleetStatusParts {
    /// What runs.
    pub components: Arc<dyn Components>,
    /// Keeps the sequence number, knows groups and changes.
    pub nucleus: Arc<dyn Nucleus>,
    /// The line.
    pub cloud: Arc<dyn CloudMessages>,
    /// The core.
    pub facts: watch::Receiver<CoreFacts>,
    /// `fleetStatus.periodicStatusPublishIntervalSeconds`.
    pub cadence: watch::Receiver<Duration>,
    /// A sentence while the disk is full: the device is UNHEALTHY then.
    pub trouble: watch::Receiver<Option<String>>,
    /// Time.
    pub clock: SharedClock,
}

enum News {
    Reconfigured,
    Asked,
    Started,
    Ended(Box<DeploymentReport>),
}

/// The handle: told about deployments.
#[derive(Clone)]
pub struct FleetStatus {
    news: mpsc::UnboundedSender<News>,
}

impl FleetStatus {
    /// Starts reporting.
    pub fn start(parts: FleetStatusParts) -> Self {
        let (news, receiver) = mpsc::unbounded_channel();
        let changes = parts.nucleus.changes();
        let connection = parts.cloud.connection();
        let reporter = Reporter {
            parts,
            changed: BTreeSet::new(),
            gone: BTreeSet::new(),
            failed: BTreeSet::new(),
            parts_told: BTreeMap::new(),
            deploying: false,
            next: Instant::now(),
            launched: false,
            reconfigured: false,
            asked: false,
            troubled: None,
            sequence: 0,
            told: Sparse::default(),
        };
        tokio::spawn(reporter.run(receiver, changes, connection));
        FleetStatus { news }
    }
}

impl FleetStatus {
    /// Endpoints, thing or proxy are others now: everything is told once the line is up.
    pub fn reconfigured(&self) {
        // A reporter that ended with the runtime needs no news.
        let _ = self.news.send(News::Reconfigured);
    }
}

impl FleetStatus {
    /// The control plane does not know this core's components, or forgot them: everything is told.
    pub fn asked(&self) {
        // A reporter that ended with the runtime needs no news.
        let _ = self.news.send(News::Asked);
    }
}

impl DeploymentReports for FleetStatus {
    fn deployment_started(&self) {
        // A reporter that ended with the runtime needs no news.
        let _ = self.news.send(News::Started);
    }

    fn deployment_ended(&self, report: DeploymentReport) {
        let _ = self.news.send(News::Ended(Box::new(report)));
    }

    fn control_plane_went_back(&self) {
        self.asked();
    }
}

struct Reporter {
    parts: FleetStatusParts,
    /// Components whose state changed since the last message.
    changed: BTreeSet<SmolStr>,
    /// Components that are gone since then.
    gone: BTreeSet<SmolStr>,
    /// Components that failed and are not yet reported.
    failed: BTreeSet<SmolStr>,
    /// Parts of the runtime as they were told last: they announce no changes.
    parts_told: BTreeMap<SmolStr, String>,
    deploying: bool,
    next: Instant,
    launched: bool,
    /// Another line than before, which was not told yet.
    reconfigured: bool,
    /// Everything was asked for, and not told yet.
    asked: bool,
    /// The device's own trouble as it was told last.
    troubled: Option<String>,
    /// Of the last message; the store may not take it.
    sequence: u64,
    /// Messages that cannot be sent.
    told: Sparse,
}

impl Reporter {
    async fn run(
        mut self,
        mut news: mpsc::UnboundedReceiver<News>,
        mut changes: broadcast::Receiver<StateChange>,
        mut connection: watch::Receiver<bool>,
    ) {
        let mut online = *connection.borrow_and_update();
        let mut lost_at: Option<Instant> = None;
        let mut cadence = Instant::now() + jitter(self.cadence());
        if online {
            self.launch().await;
        }
        loop {
            let due = online && self.launched && self.wants_to_speak();
            tokio::select! {
                // News of deployments first: they say whether the changes behind them may be told.
                biased;
                piece = news.recv() => match piece {
                    None => return,
                    Some(News::Reconfigured) => {
                        self.reconfigured = true;
                        if online && self.launched {
                            self.tell(Trigger::Reconfigured, None).await;
                        }
                    }
                    Some(News::Asked) => self.asked = true,
                    Some(News::Started) => self.deploying = true,
                    Some(News::Ended(report)) => {
                        self.deploying = false;
                        self.deployment(*report).await;
                    }
                },
                change = changes.recv() => match change {
                    Ok(change) => self.note(&change),
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        self.changed.extend(self.shown().into_iter().map(|details| details.name));
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                changed = connection.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let up = *connection.borrow_and_update();
                    if up && !online {
                        if self.launched && self.reconfigured {
                            self.tell(Trigger::Reconfigured, None).await;
                        } else if self.launched {
                            let long = lost_at.is_some_and(|at| at.elapsed() >= SHORT_OUTAGE);
                            if long || !self.changed.is_empty() {
                                self.tell(Trigger::Reconnect, None).await;
                            }
                        } else {
                            self.launch().await;
                        }
                    } else if !up && online {
                        lost_at = Some(Instant::now());
                    }
                    online = up;
                },
                // However often it is asked: no sooner than the pace, and a deployment in between is not cut in two.
                () = sleep_until(self.next), if online && self.launched && self.asked && !self.deploying => {
                    self.tell(Trigger::Cadence, None).await;
                }
                // What ails the whole device is told also while a deployment runs: it may be why that does not end.
                changed = self.parts.trouble.changed() => if changed.is_err() {
                    return;
                },
                () = sleep_until(self.next), if online && self.launched && self.trouble_to_tell().is_some() => {
                    if let Some(trigger) = self.trouble_to_tell() {
                        self.tell(trigger, None).await;
                    }
                }
                () = sleep_until(self.next), if due => self.tell(Trigger::StatusChange, None).await,
                () = sleep_until(cadence) => {
                    cadence = Instant::now() + self.cadence();
                    if online && !self.deploying {
                        self.tell(Trigger::Cadence, None).await;
                    }
                }
                changed = self.parts.cadence.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    cadence = Instant::now() + jitter(self.cadence());
                }
            }
        }
    }

    fn cadence(&self) -> Duration {
        (*self.parts.cadence.borrow()).max(CADENCE_MIN)
    }

    /// How to tell that the device's own trouble is not what was told. Its end takes the core off the list, so all is told.
    fn trouble_to_tell(&self) -> Option<Trigger> {
        let trouble = self.parts.trouble.borrow();
        match *trouble != self.troubled {
            true if trouble.is_some() => Some(Trigger::StatusChange),
            true if !self.deploying => Some(Trigger::Cadence),
            _ => None,
        }
    }

    async fn launch(&mut self) {
        self.launched = true;
        self.tell(Trigger::Launch, None).await;
    }

    fn note(&mut self, change: &StateChange) {
        match change.to {
            ComponentState::Uninstalled => {
                self.changed.remove(&change.component);
                self.gone.insert(change.component.clone());
            }
            ComponentState::Errored | ComponentState::Broken => {
                self.failed.insert(change.component.clone());
                self.changed.insert(change.component.clone());
            }
            _ => {
                self.changed.insert(change.component.clone());
            }
        }
    }

    /// A failure is told at once; other changes once all has settled, and never during a deployment.
    fn wants_to_speak(&self) -> bool {
        if !self.failed.is_empty() {
            return true;
        }
        !self.deploying
            && (!self.changed.is_empty() || !self.gone.is_empty())
            && self.shown().iter().all(|details| {
                self.parts
                    .nucleus
                    .state(&details.name)
                    .is_none_or(|(state, reached)| reached || state == ComponentState::Broken)
            })
    }

    /// Components, also those that this program is itself (core components 1.1). Its inner services have no version and are not listed
    /// (CR 4.13).
    fn shown(&self) -> Vec<ComponentDetails> {
        let all = self.parts.components.list().into_iter();
        all.filter(|details| !details.builtin || !details.version.is_empty()).collect()
    }

    async fn deployment(&mut self, report: DeploymentReport) {
        self.gone.extend(report.removed.iter().cloned());
        self.tell(Trigger::Deployment(report.source), Some(report)).await;
    }

    async fn tell(&mut self, trigger: Trigger, report: Option<DeploymentReport>) {
        let mut all = self.shown();
        let trouble = self.parts.trouble.borrow().clone();
        let healthy = trouble.is_none() && all.iter().all(|details| details.state != ComponentState::Broken);
        if let Some(trouble) = &trouble {
            ail(&mut all, trouble);
        }
        let only_failed = trigger == Trigger::StatusChange && self.deploying;
        let (mut components, mut parts) = (Vec::new(), BTreeMap::new());
        for details in &all {
            let shown = component(details, &self.arns(&details.name));
            let noted = if only_failed { &self.failed } else { &self.changed };
            let mut is_told = trigger.is_complete() || noted.contains(&details.name);
            if details.builtin {
                let text = shown.to_string();
                is_told |= !only_failed && self.parts_told.get(&details.name) != Some(&text);
                is_told |= trouble.is_some() && details.name == NUCLEUS;
                parts.insert(details.name.clone(), text);
            }
            if is_told {
                components.push(shown);
            }
        }
        if !only_failed {
            let gone: BTreeSet<&SmolStr> = self.gone.iter().chain(self.parts_told.keys()).collect();
            let gone = gone.into_iter().filter(|name| !all.iter().any(|details| details.name == **name));
            components.extend(gone.map(removed));
        }
        let facts = self.parts.facts.borrow().clone();
        let kept = self.parts.nucleus.get(SEQUENCE).and_then(|value| value.as_u64()).unwrap_or(0);
        let sequence = kept.max(self.sequence) + 1;
        // On a full disk it goes on from memory: the little room that there is has better uses. A start is believed with any number.
        if trouble.is_none()
            && let Err(error) = self.parts.nucleus.put(SEQUENCE, json!(sequence)).await
        {
            self.complain(&error, "the sequence number of the fleet status cannot be kept");
        }
        self.sequence = sequence;
        let content = Content { trigger, healthy, components, report };
        for text in encode(&facts, &content, sequence, self.parts.clock.now().as_millis()) {
            let message = CloudPublish {
                topic: format!("$aws/things/{}/greengrassv2/health/json", facts.thing),
                qos: 1,
                payload: text.into_bytes().into(),
                ..CloudPublish::default()
            };
            if let Err(error) = self.parts.cloud.publish(OWNER, message).await {
                self.complain(&error, "the fleet status cannot be sent");
                self.next = Instant::now() + AGAIN;
                return;
            }
        }
        self.next = Instant::now() + PACE;
        if trouble.is_some() || trigger.is_complete() {
            self.troubled = trouble;
        }
        if matches!(trigger, Trigger::Launch | Trigger::Reconfigured) {
            self.reconfigured = false;
        }
        if trigger.is_complete() {
            self.asked = false;
        }
        self.failed.clear();
        if !only_failed {
            self.changed.clear();
            self.gone.clear();
            self.parts_told = parts;
        }
    }

    fn complain(&mut self, error: &PortError, what: &str) {
        if self.told.is_worth_telling(&format!("{what}: {error}")) {
            tracing::warn!(%error, "{what}");
        }
    }

    /// Deployments that a component belongs to.
    fn arns(&self, name: &str) -> Vec<String> {
        let mut arns = Vec::new();
        if let Some(groups) = self.parts.nucleus.get(&["services", "DeploymentService", "ComponentToGroups", name]) {
            collect_arns(&groups, &mut arns);
        }
        arns.sort();
        arns.dedup();
        arns
    }
}

/// What ails the whole device stands beside the core itself.
fn ail(all: &mut [ComponentDetails], trouble: &str) {
    if let Some(core) = all.iter_mut().find(|details| details.name == NUCLEUS) {
        core.state = ComponentState::Errored;
        core.status_codes = vec!["DISK_SPACE_CRITICAL"];
        core.status_reason = Some(trouble.to_owned());
    }
}

fn collect_arns(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) if text.starts_with("arn:") => into.push(text.clone()),
        Value::Array(all) => all.iter().for_each(|one| collect_arns(one, into)),
        Value::Object(all) => all.values().for_each(|one| collect_arns(one, into)),
        _ => {}
    }
}

/// Somewhere in the first period, so that a fleet does not speak in step.
fn jitter(period: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    period.mul_f64((RandomState::new().hash_one(0_u8) % 1000) as f64 / 1000.0)
}
