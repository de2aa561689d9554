//! Shadow requests over MQTT.
//!
//! Requests of one thing are worked off one after the other, in the order they came: each lane is a queue with one worker,
//! and a thing always takes the same lane.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use marram_aws_api::ApiError;
use marram_broker::{Interception, Interceptor, Message, Origin};
use marram_mqtt::{QoS, ReasonCode};
use marram_registry::Realm;
use marram_shadow::{Operation, ShadowError, ShadowTopic, TopicBase, Update, client_token};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::error::api;
use crate::flight::Flight;
use crate::shadows::{Shadows, message};

/// Lanes: transactions of shadows that wait for the disk together.
const LANES: usize = 64;
/// Requests that wait in a lane; further ones are refused with 429.
const LANE_LENGTH: usize = 256;

/// Answers publishes on shadow topics. The policy has allowed the publish.
pub struct ShadowTopics {
    shadows: Shadows,
    lanes: Vec<mpsc::Sender<Request>>,
}

struct Request {
    realm: Realm,
    topic: ShadowTopic,
    body: Bytes,
    done: Option<oneshot::Sender<()>>,
    _flight: Flight,
}

impl ShadowTopics {
    /// The topics of these shadows; starts the workers, so call it inside the runtime.
    pub fn start(shadows: Shadows) -> Arc<Self> {
        let lanes = (0..LANES)
            .map(|_| {
                let (lane, mut requests) = mpsc::channel::<Request>(LANE_LENGTH);
                let shadows = shadows.clone();
                tokio::spawn(async move {
                    while let Some(request) = requests.recv().await {
                        request.run(&shadows).await;
                    }
                });
                lane
            })
            .collect();
        Arc::new(Self { shadows, lanes })
    }

    fn lane(&self, realm: &Realm, base: &TopicBase) -> &mpsc::Sender<Request> {
        let mut hasher = DefaultHasher::new();
        (realm, &base.thing).hash(&mut hasher);
        &self.lanes[usize::try_from(hasher.finish() % LANES as u64).unwrap_or(0)]
    }
}

impl Interceptor for ShadowTopics {
    fn publish(&self, origin: Origin, published: &Message) -> Interception {
        let Some(topic) = ShadowTopic::parse(&published.topic) else { return Interception::Unknown };
        let partition = self.shadows.identity().partition();
        let Some(realm) = Realm::of_tenant(partition, origin.authority.tenant()) else { return Interception::Unknown };
        let flight = match self.shadows.enter(&realm, &topic.base.thing) {
            Ok(flight) => flight,
            Err(error) => return self.refuse(&realm, &topic, &published.payload, &error),
        };
        let (done, finished) = match published.qos {
            QoS::AtMostOnce => (None, None),
            _ => {
                let (done, finished) = oneshot::channel();
                (Some(done), Some(finished))
            }
        };
        let (base, operation) = (topic.base.clone(), topic.operation);
        let body = Bytes::copy_from_slice(&published.payload);
        let request = Request { realm: realm.clone(), topic, body, done, _flight: flight };
        if self.lane(&realm, &base).try_send(request).is_err() {
            let topic = ShadowTopic { base, operation };
            return self.refuse(&realm, &topic, &published.payload, &api(&ShadowError::TooManyRequests));
        }
        match finished {
            None => Interception::Consumed,
            // The PUBACK comes with the decision: what it changed is durable by then.
            Some(finished) => Interception::Pending(Box::pin(async move {
                match finished.await {
                    Ok(()) => ReasonCode::SUCCESS,
                    Err(_) => ReasonCode::UNSPECIFIED_ERROR,
                }
            })),
        }
    }
}

impl ShadowTopics {
    fn refuse(&self, realm: &Realm, topic: &ShadowTopic, body: &[u8], error: &ApiError) -> Interception {
        reject(&self.shadows, realm, topic, body, error);
        Interception::Consumed
    }
}

impl Request {
    async fn run(self, shadows: &Shadows) {
        let Self { realm, topic, body, done, _flight } = self;
        if let Err(error) = work(shadows, &realm, &topic, &body).await {
            reject(shadows, &realm, &topic, &body, &error);
        }
        if let Some(done) = done {
            // The connection may be gone; then nobody waits.
            let _: Result<(), ()> = done.send(());
        }
    }
}

async fn work(shadows: &Shadows, realm: &Realm, topic: &ShadowTopic, body: &[u8]) -> Result<(), ApiError> {
    let base = &topic.base;
    match topic.operation {
        Operation::Update => {
            let update = Update::parse(body, shadows.limits()).map_err(|error| api(&error))?;
            shadows.apply(realm, base, update).await.map(drop)
        }
        Operation::Delete => {
            let token = client_token(body).map_err(|error| api(&error))?;
            shadows.remove(realm, base, token).await.map(drop)
        }
        Operation::Get => {
            let token = client_token(body).map_err(|error| api(&error))?;
            let mut document = shadows.get(realm, base)?;
            if let Some(token) = token {
                document["clientToken"] = token.into();
            }
            if let Some(message) = message(base, "get/accepted", &document) {
                shadows.outbox().publish(realm, message);
            }
            Ok(())
        }
    }
}

/// `rejected`: code, text, and the token where the request had one.
fn reject(shadows: &Shadows, realm: &Realm, topic: &ShadowTopic, body: &[u8], error: &ApiError) {
    let internal = error.status >= 500;
    let message_text = if internal { ShadowError::Internal.to_string() } else { error.message.clone() };
    let mut answer = json!({
        "code": if internal { 500 } else { error.status },
        "message": message_text,
        "timestamp": shadows.identity().now().as_secs(),
    });
    let token = serde_json::from_slice::<Value>(body).ok().and_then(|body| body.get("clientToken").cloned());
    if let Some(Value::String(token)) = token.filter(|token| token.as_str().is_some_and(|token| token.len() <= 64)) {
        answer["clientToken"] = token.into();
    }
    if let Some(message) = message(&topic.base, &format!("{}/rejected", topic.operation.as_str()), &answer) {
        shadows.outbox().publish(realm, message);
    }
}
