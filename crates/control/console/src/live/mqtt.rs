//! `live/mqtt`: messages as they are published, those the person may receive.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use marram_aws_api::ApiError;
use marram_broker::{ConnectAttributes, Decision, LocalClient, Received, SessionAuthority, Tenant};
use marram_http::ResponseBody;
use marram_mqtt::{QoS, TopicFilter};
use serde_json::{Value, json};

use crate::console::Console;
use crate::door::Person;
use crate::fault;
use crate::live::{Events, Watcher, heart};
use crate::request::Asked;

/// Name of the streams' clients inside the broker.
const CLIENT_NAME: &str = "console";

/// What the person's own policies say, asked by the broker for each topic and remembered until identities change.
struct PersonAuthority {
    tenant: Tenant,
    /// `arn:aws:iot:us-east-1:000000000000`.
    prefix: String,
    watcher: Watcher,
}

impl PersonAuthority {
    fn decide(&self, action: &str, kind: &str, name: &str) -> Decision {
        let resource = format!("{}:{kind}/{name}", self.prefix);
        if self.watcher.may(action, &resource) { Decision::Allow } else { Decision::Deny }
    }
}

impl SessionAuthority for PersonAuthority {
    fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    fn principal(&self) -> &str {
        CLIENT_NAME
    }

    fn version(&self) -> u64 {
        self.watcher.console.inner.identity.version()
    }

    fn connect(&self, _: &str, _: ConnectAttributes) -> Decision {
        Decision::Deny
    }

    fn publish(&self, _: &str, _: bool) -> Decision {
        Decision::Deny
    }

    fn subscribe(&self, filter: &str) -> Decision {
        self.decide("iot:Subscribe", "topicfilter", filter)
    }

    fn receive(&self, topic: &str) -> Decision {
        self.decide("iot:Receive", "topic", topic)
    }
}

impl Console {
    /// Streams what is published below `filter`; retained messages of an exact topic come first.
    pub(crate) fn live_mqtt(&self, asked: &Asked<'_>, person: &Person) -> Result<ResponseBody, ApiError> {
        let text = asked.query("filter").ok_or_else(|| fault::invalid("filter", "filter must be a topic filter."))?;
        let filter = TopicFilter::new(&text)
            .map_err(|error| fault::invalid("filter", format!("The filter is wrong: {error}.")))?;
        if filter.shared().is_some() {
            return Err(fault::invalid("filter", "A shared subscription would take messages away from its members."));
        }
        let context = self.context(asked, person)?;
        let prefix = format!("arn:{}:iot:{}:{}", context.partition, context.region, context.account);
        for (action, resource) in [
            ("iot:Subscribe", format!("{prefix}:topicfilter/{text}")),
            ("iot:Receive", format!("{prefix}:topic/{text}")),
        ] {
            if !context.may(action, &resource, |_| {}) {
                return Err(ApiError::not_authorized(&person.principal.arn, action, &resource, false));
            }
        }
        let (watcher, events, body) = self.open_stream(asked, person)?;
        let tenant = Tenant::new(&format!("{}/{}", context.account, context.region));
        let authority = Arc::new(PersonAuthority { tenant, prefix, watcher });
        let client = self.inner.options.broker.local_client(CLIENT_NAME, Arc::clone(&authority) as _);
        client.subscribe(&filter, QoS::AtLeastOnce).map_err(|error| fault::invalid("filter", format!("{error}.")))?;
        tokio::spawn(run(client, authority, text, events));
        Ok(body)
    }
}

async fn run(mut client: LocalClient, authority: Arc<PersonAuthority>, filter: String, mut events: Events) {
    let mut heart = heart().await;
    let mut received = Vec::new();
    loop {
        tokio::select! {
            () = client.recv_many(&mut received) => {
                for message in received.drain(..) {
                    events.add("message", &describe(&message, authority.watcher.console.now().epoch_seconds()));
                }
                events.flush();
            }
            _ = heart.tick() => {
                if !events.beat() || !authority.subscribe(&filter).is_allow() {
                    return;
                }
            }
            () = events.pieces.closed() => return,
            () = authority.watcher.over() => return,
        }
    }
}

fn describe(received: &Received, at: f64) -> Value {
    let message = &received.message;
    json!({
        "topic": message.topic.as_str(),
        "payload": STANDARD.encode(&message.payload),
        "qos": if received.qos == QoS::AtMostOnce { 0 } else { 1 },
        "retained": received.retain,
        "at": at,
    })
}
