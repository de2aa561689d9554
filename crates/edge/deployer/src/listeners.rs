//! Components' say in deployments: deferring updates (CR 4.8), judging configurations (CR 3.6).

use std::collections::BTreeMap;
use std::time::Duration;

use marram_deploy::{ErrorCode, Failure};
use marram_edge_ports::{ComponentUpdate, PortError, ValidationRequest};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::{Inner, lock};

/// News that a component may leave unread before it loses them.
const BACKLOG: usize = 16;

/// An answer that is waited for: of which deployment, and where it goes.
struct Question<T> {
    deployment_id: String,
    answer: oneshot::Sender<T>,
}

/// A verdict: fine, or rejected with the component's words.
type Verdict = Result<(), Option<String>>;

/// Who listens, and whose answers are waited for.
#[derive(Default)]
pub(crate) struct Listeners {
    updates: BTreeMap<String, Vec<mpsc::Sender<ComponentUpdate>>>,
    validations: BTreeMap<String, Vec<mpsc::Sender<ValidationRequest>>>,
    deferrals: BTreeMap<String, Question<i64>>,
    verdicts: BTreeMap<String, Question<Verdict>>,
}

fn subscribe<T>(all: &mut BTreeMap<String, Vec<mpsc::Sender<T>>>, component: &str) -> mpsc::Receiver<T> {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    let channels = all.entry(component.to_owned()).or_default();
    channels.retain(|sender| !sender.is_closed());
    channels.push(sender);
    receiver
}

/// Sends to every channel of a component; whether any of them is alive.
fn tell<T: Clone>(all: &mut BTreeMap<String, Vec<mpsc::Sender<T>>>, component: &str, news: &T) -> bool {
    let Some(channels) = all.get_mut(component) else { return false };
    channels.retain(|sender| !sender.is_closed());
    for channel in channels.iter() {
        if channel.try_send(news.clone()).is_err() {
            tracing::warn!(component, "a listener of deployments does not read its news");
        }
    }
    !channels.is_empty()
}

impl Listeners {
    pub fn component_updates(&mut self, component: &str) -> mpsc::Receiver<ComponentUpdate> {
        subscribe(&mut self.updates, component)
    }

    pub fn validations(&mut self, component: &str) -> mpsc::Receiver<ValidationRequest> {
        subscribe(&mut self.validations, component)
    }

    /// A component's answer to a pre-update event.
    pub fn defer(&mut self, component: &str, deployment_id: &str, recheck_after_ms: i64) -> Result<(), PortError> {
        if !self.updates.get(component).is_some_and(|channels| channels.iter().any(|sender| !sender.is_closed())) {
            let message = format!("component {component} is not subscribed to component updates");
            return Err(PortError::InvalidArguments(message));
        }
        match self.deferrals.remove(component) {
            Some(question) if question.deployment_id == deployment_id => {
                question.answer.send(recheck_after_ms.max(0)).map_err(|_| late())
            }
            Some(question) => {
                self.deferrals.insert(component.to_owned(), question);
                Err(PortError::InvalidArguments(format!("deployment {deployment_id} does not ask {component}")))
            }
            None => Err(late()),
        }
    }

    /// A component's verdict on a configuration.
    pub fn report_validity(&mut self, component: &str, deployment_id: &str, verdict: Verdict) -> Result<(), PortError> {
        let nothing = || {
            let message = "validation request either timed out or was never made";
            PortError::InvalidArguments(message.to_owned())
        };
        match self.verdicts.remove(component) {
            Some(question) if question.deployment_id == deployment_id => {
                question.answer.send(verdict).map_err(|_| nothing())
            }
            Some(question) => {
                self.verdicts.insert(component.to_owned(), question);
                Err(nothing())
            }
            None => Err(nothing()),
        }
    }
}

fn late() -> PortError {
    PortError::service("Time limit to respond to PreComponentUpdateEvent exceeded")
}

/// After this they are asked again, whatever they said: one that takes microseconds for milliseconds is not to stop updates for years.
const LONGEST_DEFERRAL: Duration = Duration::from_secs(24 * 3_600);

/// Asks every listening component until none defers any more. No answer in time is consent.
pub(crate) async fn ask_to_update(inner: &Inner, deployment_id: &str, restarting: bool, timeout: Duration) {
    loop {
        let start = Instant::now();
        let mut answers = Vec::new();
        {
            let mut listeners = lock(&inner.listeners);
            let names: Vec<String> = listeners.updates.keys().cloned().collect();
            let news = ComponentUpdate::Pre { deployment_id: deployment_id.to_owned(), restarting };
            for name in names {
                if tell(&mut listeners.updates, &name, &news) {
                    let (answer, receiver) = oneshot::channel();
                    let question = Question { deployment_id: deployment_id.to_owned(), answer };
                    listeners.deferrals.insert(name.clone(), question);
                    answers.push((name, receiver));
                }
            }
        }
        let (mut defer_ms, mut who) = (0, Vec::new());
        for (name, receiver) in answers {
            inner.waiting(format!("the answer of {name} to the update"));
            if let Ok(Ok(recheck)) = tokio::time::timeout_at(start + timeout, receiver).await {
                defer_ms = defer_ms.max(recheck);
                if recheck > 0 {
                    who.push(name);
                }
            }
        }
        lock(&inner.listeners).deferrals.clear();
        if defer_ms == 0 {
            inner.waiting_over();
            return;
        }
        inner.waiting(format!("{}, deferring the update by {defer_ms} ms", who.join(", ")));
        tokio::time::sleep_until(start + Duration::from_millis(defer_ms.unsigned_abs()).min(LONGEST_DEFERRAL)).await;
    }
}

/// Tells every listening component that it is over.
pub(crate) fn tell_done(inner: &Inner, deployment_id: &str) {
    let mut listeners = lock(&inner.listeners);
    let names: Vec<String> = listeners.updates.keys().cloned().collect();
    for name in names {
        tell(&mut listeners.updates, &name, &ComponentUpdate::Post { deployment_id: deployment_id.to_owned() });
    }
}

/// Lets components judge their new configurations, all at once and under one limit.
pub(crate) async fn validate(
    inner: &Inner,
    deployment_id: &str,
    configurations: Vec<(String, Value)>,
    timeout: Duration,
) -> Result<(), Failure> {
    let deadline = Instant::now() + timeout;
    let mut answers = Vec::new();
    {
        let mut listeners = lock(&inner.listeners);
        for (name, configuration) in configurations {
            let request = ValidationRequest { configuration, deployment_id: deployment_id.to_owned() };
            if tell(&mut listeners.validations, &name, &request) {
                let (answer, receiver) = oneshot::channel();
                listeners.verdicts.insert(name.clone(), Question { deployment_id: deployment_id.to_owned(), answer });
                answers.push((name, receiver));
            }
        }
    }
    let mut refused = None;
    for (name, receiver) in answers {
        inner.waiting(format!("the verdict of {name} on its configuration"));
        let cause = match tokio::time::timeout_at(deadline, receiver).await {
            Ok(Ok(Ok(()))) => continue,
            Ok(Ok(Err(message))) => {
                format!("component {name} rejects its configuration: {}", message.unwrap_or_default())
            }
            _ => format!("component {name} did not judge its configuration in time"),
        };
        refused.get_or_insert(Failure::new(ErrorCode::ComponentConfigurationNotValid, cause));
    }
    lock(&inner.listeners).verdicts.clear();
    inner.waiting_over();
    refused.map_or(Ok(()), Err)
}
