//! Provisioning requests over MQTT, in JSON and in CBOR (CP 5.10).

use std::sync::Arc;

use bytes::Bytes;
use marram_broker::{Interception, Interceptor, Message, Origin, Reply};
use marram_mqtt::{QoS, Topic};
use marram_registry::{Lanes, Realm};
use serde_json::{Value, json};

use crate::cbor::{from_cbor, to_cbor};
use crate::fleet::{Asker, FleetError};
use crate::provisioning::Provisioning;

/// Largest request: a signing request of 8 KiB DER and a hundred parameters.
const MAX_BODY: usize = 64 * 1024;

/// What a topic asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    CreateKeys,
    CreateFromRequest,
    Provision(String),
}

/// How a topic's payloads are written: its last level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Json,
    Cbor,
}

/// Answers publishes on provisioning topics. The policy has allowed the publish. Answers go to the session that asked alone:
/// claims share their certificate, and the topics name nobody.
pub struct ProvisioningTopics {
    provisioning: Provisioning,
    lanes: Lanes<Request>,
}

struct Request {
    asked: Asked,
    encoding: Encoding,
    asker: Asker,
    topic: String,
    body: Bytes,
    reply: Arc<dyn Reply>,
}

impl ProvisioningTopics {
    /// The topics; starts the workers, so call it inside the runtime.
    pub fn start(provisioning: Provisioning) -> Arc<Self> {
        let worker = provisioning.clone();
        let lanes = Lanes::start(move |request: Request| {
            let provisioning = worker.clone();
            Box::pin(async move { request.run(&provisioning).await })
        });
        Arc::new(Self { provisioning, lanes })
    }
}

/// Reads a request topic.
fn parse(topic: &str) -> Option<(Asked, Encoding)> {
    let (topic, encoding) = match topic.rsplit_once('/')? {
        (topic, "json") => (topic, Encoding::Json),
        (topic, "cbor") => (topic, Encoding::Cbor),
        _ => return None,
    };
    let asked = match topic.split('/').collect::<Vec<_>>().as_slice() {
        ["$aws", "certificates", "create"] => Asked::CreateKeys,
        ["$aws", "certificates", "create-from-csr"] => Asked::CreateFromRequest,
        ["$aws", "provisioning-templates", name, "provision"] => {
            let name = name.parse::<marram_types::ProvisioningTemplateName>().ok()?;
            Asked::Provision(name.as_str().to_owned())
        }
        _ => return None,
    };
    Some((asked, encoding))
}

impl Encoding {
    fn read(self, body: &[u8]) -> Result<Value, FleetError> {
        match self {
            Self::Json => match serde_json::from_slice(body) {
                Ok(Value::Object(members)) => Ok(Value::Object(members)),
                _ => Err(FleetError::invalid("The payload is not a JSON object")),
            },
            Self::Cbor => match from_cbor(body) {
                Ok(members) => Ok(Value::Object(members)),
                Err(error) => Err(FleetError::invalid(format!("The request is refused: {error}"))),
            },
        }
    }

    fn write(self, body: &Value) -> Vec<u8> {
        match self {
            Self::Json => body.to_string().into_bytes(),
            Self::Cbor => to_cbor(body),
        }
    }
}

impl Interceptor for ProvisioningTopics {
    fn publish(&self, origin: Origin, published: &Message) -> Interception {
        let Some((asked, encoding)) = parse(&published.topic) else { return Interception::Unknown };
        let partition = self.provisioning.identity().partition();
        let Some(realm) = Realm::of_tenant(partition, origin.authority.tenant()) else { return Interception::Unknown };
        let asker = Asker { realm, principal: origin.authority.principal().to_owned() };
        let subject = (asker.realm.clone(), origin.client_id.as_str().to_owned());
        let request = Request {
            asked,
            encoding,
            asker,
            topic: published.topic.to_string(),
            body: Bytes::copy_from_slice(&published.payload),
            reply: origin.reply,
        };
        match self.lanes.send(&subject, request, published.qos > QoS::AtMostOnce) {
            Ok(interception) => interception,
            Err(request) => {
                let error = FleetError { status: 429, code: "Throttled", message: "Too many requests wait".to_owned() };
                request.answer(Err(error));
                Interception::Consumed
            }
        }
    }
}

impl Request {
    async fn run(self, provisioning: &Provisioning) {
        let answer = self.work(provisioning).await;
        self.answer(answer);
    }

    async fn work(&self, provisioning: &Provisioning) -> Result<Value, FleetError> {
        let body = match self.body.len() {
            0 => json!({}),
            1..=MAX_BODY => self.encoding.read(&self.body)?,
            _ => return Err(FleetError::invalid("The payload is too large")),
        };
        match &self.asked {
            Asked::CreateKeys => provisioning.create_keys(&self.asker).await,
            Asked::CreateFromRequest => provisioning.create_from_request(&self.asker, &body).await,
            Asked::Provision(template) => provisioning.provision(&self.asker, template, &body).await,
        }
    }

    fn answer(&self, answer: Result<Value, FleetError>) {
        let (kind, body) = match answer {
            Ok(body) => ("accepted", body),
            Err(error) => {
                tracing::info!(topic = %self.topic, code = error.code, message = %error.message, "provisioning refused");
                let body = json!({"statusCode": error.status, "errorCode": error.code, "errorMessage": error.message});
                ("rejected", body)
            }
        };
        let Ok(topic) = Topic::new(&format!("{}/{kind}", self.topic)) else { return };
        self.reply.deliver_privately(Message::new(topic, self.encoding.write(&body)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CP 5.10: the three request topics in both encodings; answers and other encodings are none.
    #[test]
    fn request_topics() {
        let table = [
            ("$aws/certificates/create/json", Some((Asked::CreateKeys, Encoding::Json))),
            ("$aws/certificates/create/cbor", Some((Asked::CreateKeys, Encoding::Cbor))),
            ("$aws/certificates/create-from-csr/json", Some((Asked::CreateFromRequest, Encoding::Json))),
            ("$aws/certificates/create-from-csr/cbor", Some((Asked::CreateFromRequest, Encoding::Cbor))),
            (
                "$aws/provisioning-templates/fleet-1/provision/json",
                Some((Asked::Provision("fleet-1".to_owned()), Encoding::Json)),
            ),
            (
                "$aws/provisioning-templates/fleet-1/provision/cbor",
                Some((Asked::Provision("fleet-1".to_owned()), Encoding::Cbor)),
            ),
            ("$aws/certificates/create/json/accepted", None),
            ("$aws/certificates/create/cbor/accepted", None),
            ("$aws/certificates/create/xml", None),
            ("$aws/certificates/create", None),
            ("$aws/provisioning-templates/a b/provision/json", None),
            ("$aws/provisioning-templates//provision/json", None),
        ];
        for (topic, wanted) in table {
            assert_eq!(parse(topic), wanted, "{topic}");
        }
    }
}
