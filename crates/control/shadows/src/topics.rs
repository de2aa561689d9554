//! Shadow requests over MQTT.
//!
//! Requests of one thing are worked off one after the other, in the order they came.

use std::sync::Arc;

use bytes::Bytes;
use marram_aws_api::ApiError;
use marram_broker::{Interception, Interceptor, Message, Origin};
use marram_mqtt::QoS;
use marram_registry::{Lanes, Realm};
use marram_shadow::{Operation, ShadowError, ShadowTopic, Update, client_token};
use serde_json::{Value, json};

use crate::error::api;
use crate::flight::Flight;
use crate::shadows::{Shadows, message};

/// Answers publishes on shadow topics. The policy has allowed the publish.
pub struct ShadowTopics {
    shadows: Shadows,
    lanes: Lanes<Request>,
}

struct Request {
    realm: Realm,
    topic: ShadowTopic,
    body: Bytes,
    /// Counted until the request is done.
    _flight: Flight,
}

impl ShadowTopics {
    /// The topics of these shadows; starts the workers, so call it inside the runtime.
    pub fn start(shadows: Shadows) -> Arc<Self> {
        let worker = shadows.clone();
        let lanes = Lanes::start(move |request: Request| {
            let shadows = worker.clone();
            Box::pin(async move { request.run(&shadows).await })
        });
        Arc::new(Self { shadows, lanes })
    }
}

impl Interceptor for ShadowTopics {
    fn publish(&self, origin: Origin, published: &Message) -> Interception {
        let Some(topic) = ShadowTopic::parse(&published.topic) else { return Interception::Unknown };
        let partition = self.shadows.identity().partition();
        let Some(realm) = Realm::of_tenant(partition, origin.authority.tenant()) else { return Interception::Unknown };
        let _flight = match self.shadows.enter(&realm, &topic.base.thing) {
            Ok(flight) => flight,
            Err(error) => return self.refuse(&realm, &topic, &published.payload, &error),
        };
        let subject = (realm.clone(), topic.base.thing.clone());
        let request = Request { realm, topic, body: Bytes::copy_from_slice(&published.payload), _flight };
        match self.lanes.send(&subject, request, published.qos > QoS::AtMostOnce) {
            Ok(interception) => interception,
            Err(Request { realm, topic, body, .. }) => {
                self.refuse(&realm, &topic, &body, &api(&ShadowError::TooManyRequests))
            }
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
        let Self { realm, topic, body, _flight } = self;
        if let Err(error) = work(shadows, &realm, &topic, &body).await {
            reject(shadows, &realm, &topic, &body, &error);
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
