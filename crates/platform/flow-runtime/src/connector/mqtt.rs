//! MQTT: publish, and the first message on the response topic after it (TG 10.2).
//!
//! The protocol has no correlation id, so per response topic one request is outstanding at a time, first come first
//! served, across all deployments of the runtime. A [`Lane`] is such a topic: its subscription, its queue (the fair
//! lock), and whoever waits for the next message.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use marram_flow::request::Publish;
use marram_flow::{Fault, Reply, Stage, fault};
use marram_obs::Counter;
use smol_str::SmolStr;
use tokio::sync::{Semaphore, oneshot};

use super::{Job, port_fault};
use crate::port::{FlowPrincipal, Incoming, MessagePort, Outgoing, Pending, PortError, Subscription};

pub(crate) struct MqttConnector {
    messages: Arc<dyn MessagePort>,
    lanes: Mutex<HashMap<LaneKey, Weak<Lane>>>,
    /// Messages on response topics nobody waited for.
    unexpected: Counter,
}

/// Account, region, response topic.
type LaneKey = (SmolStr, SmolStr, SmolStr);

/// A response topic.
pub(crate) struct Lane {
    /// The subscription once made; whoever holds the lock is the one whose request is outstanding.
    turn: tokio::sync::Mutex<Option<Subscription>>,
    waiting: Arc<Mutex<Option<oneshot::Sender<Bytes>>>>,
}

/// Forgets the waiter when a request is given up, so that a late response is dropped.
struct Outstanding<'a>(&'a Mutex<Option<oneshot::Sender<Bytes>>>);

impl Drop for Outstanding<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl MqttConnector {
    pub fn new(messages: Arc<dyn MessagePort>, unexpected: Counter) -> Self {
        Self { messages, lanes: Mutex::default(), unexpected }
    }

    pub fn messages(&self) -> &Arc<dyn MessagePort> {
        &self.messages
    }

    /// The message of a publish.
    pub fn message(publish: &Publish) -> Outgoing {
        Outgoing {
            topic: publish.topic.clone(),
            payload: Bytes::copy_from_slice(&publish.payload),
            at_least_once: true,
        }
    }

    /// A publish without response, as a future of its own that may be polled anywhere.
    pub fn publish(
        &self,
        principal: &Arc<FlowPrincipal>,
        publish: &Publish,
    ) -> Pending<'static, Result<(), PortError>> {
        let (messages, principal, message) =
            (Arc::clone(&self.messages), Arc::clone(principal), Self::message(publish));
        Box::pin(async move { messages.publish(&principal, message).await })
    }

    /// The lane of `topic`; it lives as long as somebody holds it.
    pub fn lane(&self, account: &SmolStr, region: &SmolStr, topic: &SmolStr) -> Arc<Lane> {
        let key = (account.clone(), region.clone(), topic.clone());
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(&key).and_then(Weak::upgrade) {
            return lane;
        }
        lanes.retain(|_, lane| lane.strong_count() > 0);
        let lane = Arc::new(Lane { turn: tokio::sync::Mutex::new(None), waiting: Arc::default() });
        lanes.insert(key, Arc::downgrade(&lane));
        lane
    }

    pub async fn perform(&self, workers: &Semaphore, job: &Job, publish: &Publish) -> Result<Reply, Fault> {
        let Some(reply_topic) = &publish.reply_topic else {
            let _worker = workers.acquire().await;
            (job.progress)(Stage::Started);
            self.send(job, publish).await?;
            return Ok(Reply::Empty);
        };
        let lane = self.lane(&job.principal.account, &job.principal.region, reply_topic);
        let mut turn = lane.turn.lock().await;
        let _worker = workers.acquire().await;
        (job.progress)(Stage::Started);
        if turn.is_none() {
            let (waiting, unexpected) = (Arc::clone(&lane.waiting), self.unexpected.clone());
            let deliver = Arc::new(move |message: Incoming| {
                if message.retained {
                    return;
                }
                match waiting.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    Some(waiter) => drop(waiter.send(message.payload)),
                    None => drop(unexpected.inc()),
                }
            });
            let subscribed = self.messages.subscribe(&job.principal, reply_topic.clone(), deliver).await;
            *turn = Some(subscribed.map_err(|error| port_fault(&error, reply_topic))?);
        }
        let (sender, receiver) = oneshot::channel();
        let outstanding = Outstanding(&lane.waiting);
        *lane.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        self.send(job, publish).await?;
        (job.progress)(Stage::Accepted);
        let payload = receiver.await.map_err(|_| Fault::new(fault::TASK_FAILED, "the response topic closed"))?;
        drop(outstanding);
        if payload.len() > marram_flow::MAX_MQTT_PAYLOAD_BYTES {
            let message = format!("a response of {} bytes exceeds 128 KiB", payload.len());
            return Err(Fault::new(fault::PAYLOAD_INVALID, message));
        }
        Ok(Reply::Payload(payload.to_vec()))
    }

    async fn send(&self, job: &Job, publish: &Publish) -> Result<(), Fault> {
        let sent = self.messages.publish(&job.principal, Self::message(publish)).await;
        sent.map_err(|error| port_fault(&error, &publish.topic))
    }
}
