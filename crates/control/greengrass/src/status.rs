//! What cores report over MQTT: fleet status, telemetry, and the state of their deployment shadow (control-plane-api 7.3, 7.4).

mod apply;
mod chunk;
mod lost;

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use marram_broker::{Interception, Interceptor, Message, Origin, Reply};
use marram_identity::CallError;
use marram_mqtt::{QoS, Topic};
use marram_registry::{Lanes, Realm};
use marram_store::params;
use serde_json::Value;

use crate::Greengrass;
use crate::core::find;
use crate::deployment::{SHADOW_NAME, hand_over};
use crate::service::ACTOR;

/// `runtime` of a core that tells all when it is asked.
const RUNTIME: &str = "marram";

/// `trigger` of the message with which a core starts.
const LAUNCH: &str = "NUCLEUS_LAUNCH";

/// Answers publishes on `$aws/things/{thing}/greengrass..` and looks on at updates of deployment shadows.
pub struct StatusTopics {
    greengrass: Greengrass,
    lanes: Lanes<Report>,
    shadows: Arc<dyn Interceptor>,
}

enum Kind {
    /// `greengrassv2/health/json`
    Fleet,
    /// `greengrass/health/json`
    Telemetry,
    /// An update of the deployment shadow, answered by the shadows themselves.
    Shadow,
}

struct Report {
    realm: Realm,
    thing: String,
    kind: Kind,
    body: Bytes,
    reply: Arc<dyn Reply>,
}

impl std::fmt::Debug for StatusTopics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StatusTopics")
    }
}

impl StatusTopics {
    /// The topics; updates of shadows go on to `shadows`. Starts the workers, so call it inside the runtime.
    pub fn start(greengrass: Greengrass, shadows: Arc<dyn Interceptor>) -> Arc<StatusTopics> {
        let worker = greengrass.clone();
        let chunks = Arc::new(Mutex::new(chunk::Chunks::default()));
        let lanes = Lanes::start(move |report: Report| {
            let (greengrass, chunks) = (worker.clone(), Arc::clone(&chunks));
            Box::pin(async move { report.run(&greengrass, &chunks).await })
        });
        Arc::new(StatusTopics { greengrass, lanes, shadows })
    }

    fn report(&self, origin: &Origin, message: &Message) -> Option<Report> {
        let partition = self.greengrass.parts.identity.partition();
        let realm = Realm::of_tenant(partition, origin.authority.tenant())?;
        let levels: Vec<&str> = message.topic.split('/').collect();
        let (thing, kind) = match levels.as_slice() {
            ["$aws", "things", thing, "greengrassv2", "health", "json"] => (*thing, Kind::Fleet),
            ["$aws", "things", thing, "greengrass", "health", "json"] => (*thing, Kind::Telemetry),
            ["$aws", "things", thing, "shadow", "name", name, "update"] if *name == SHADOW_NAME => {
                (*thing, Kind::Shadow)
            }
            _ => return None,
        };
        let (body, reply) = (Bytes::copy_from_slice(&message.payload), Arc::clone(&origin.reply));
        Some(Report { realm, thing: thing.to_owned(), kind, body, reply })
    }
}

impl Interceptor for StatusTopics {
    fn publish(&self, origin: Origin, message: &Message) -> Interception {
        let report = self.report(&origin, message);
        let is_shadow = message.topic.split('/').nth(3) == Some("shadow");
        match report {
            Some(report) => {
                let key = (report.realm.clone(), report.thing.clone());
                let acknowledged = message.qos > QoS::AtMostOnce && !is_shadow;
                let taken = self.lanes.send(&key, report, acknowledged);
                match taken {
                    _ if is_shadow => self.shadows.publish(origin, message),
                    Ok(interception) => interception,
                    // Reports come again; one that finds its lane full is let go.
                    Err(_) => Interception::Consumed,
                }
            }
            None if is_shadow => self.shadows.publish(origin, message),
            None => Interception::Unknown,
        }
    }
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

impl Report {
    async fn run(self, greengrass: &Greengrass, chunks: &Mutex<chunk::Chunks>) {
        let Ok(body) = serde_json::from_slice::<Value>(&self.body) else {
            tracing::debug!(thing = self.thing, "a report of a core is not JSON");
            return;
        };
        let system = greengrass.parts.identity.system(ACTOR, self.realm.account.clone(), self.realm.region.clone());
        let now = system.now();
        let (realm, thing) = (self.realm.clone(), self.thing.clone());
        let done = match self.kind {
            Kind::Fleet => {
                let whole = {
                    let mut chunks = chunks.lock().unwrap_or_else(PoisonError::into_inner);
                    chunks.take((self.realm, self.thing.clone()), body)
                };
                let Some(status) = whole else { return };
                // Originals do not know the question; they tell all when they start, and once a day.
                let answers = status["runtime"] == RUNTIME;
                let service = greengrass.clone();
                let done = system
                    .commit_unrecorded(move |tx| {
                        let standing = apply::fleet_status(tx, &realm, &thing, &status, now)?;
                        if answers && text(&status, "trigger") == LAUNCH {
                            lost::give_again(&service, tx, &realm, &thing, &status, now)?;
                        }
                        if find(tx, &realm, &thing)?.is_some_and(|core| core.listens_to_jobs()) {
                            hand_over(&service, tx, &realm, &thing, now)?;
                        }
                        Ok(standing)
                    })
                    .await;
                if answers && matches!(done, Ok(apply::Standing::Partial)) {
                    let topic = format!("$aws/things/{}/greengrassv2/health/json/request", self.thing);
                    if let Ok(topic) = Topic::new(&topic) {
                        self.reply.deliver_privately(Message::new(topic, Bytes::new()));
                    }
                }
                done.map(drop)
            }
            Kind::Telemetry => {
                let text = body.to_string();
                system
                    .commit_unrecorded(move |tx| {
                        tx.execute(
                            "UPDATE gg_core SET telemetry = $4 WHERE account = $1 AND region = $2 AND thing = $3",
                            params![realm.account, realm.region, thing, text],
                        )?;
                        Ok::<_, CallError>(())
                    })
                    .await
            }
            Kind::Shadow => {
                let reported = body["state"]["reported"].clone();
                if !reported.is_object() {
                    return;
                }
                system.commit_unrecorded(move |tx| apply::shadow_report(tx, &realm, &thing, &reported, now)).await
            }
        };
        if let Err(error) = done {
            tracing::error!(%error, "a report of a core could not be kept");
        }
    }
}
