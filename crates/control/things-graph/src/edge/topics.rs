//! What cores publish: `$aws/things/{thing}/thingsgraph/history` and `.../deployments` (TG 6.10, 7.5).
//!
//! The policy of the connection already said that it speaks for this thing. A thing adds to the history of a deployment,
//! and to its status, only when it is a core of that deployment's target.

use std::sync::Arc;

use bytes::Bytes;
use marram_broker::{Interception, Interceptor, Message, Origin, Reply};
use marram_flow_runtime::HistorySink;
use marram_flow_runtime::replica::{self, Accepted, Page, Report};
use marram_identity::CallError;
use marram_mqtt::{QoS, ReasonCode, Topic};
use marram_registry::Lanes;
use smol_str::SmolStr;

use super::report;
use crate::realm::Realm;
use crate::service::ThingsGraph;

/// Answers the family `$aws/things/{thing}/thingsgraph/...`.
#[derive(Debug)]
pub struct CoreTopics {
    service: ThingsGraph,
    lanes: Lanes<Request>,
}

enum Kind {
    History(Arc<dyn Reply>),
    Deployments,
}

struct Request {
    realm: Realm,
    thing: SmolStr,
    kind: Kind,
    body: Bytes,
}

impl CoreTopics {
    /// Starts the workers, so call it inside the runtime.
    pub fn start(service: ThingsGraph) -> Arc<Self> {
        let worker = service.clone();
        let lanes = Lanes::start(move |request: Request| {
            let worker = worker.clone();
            Box::pin(async move { request.run(&worker).await })
        });
        Arc::new(Self { service, lanes })
    }
}

impl Interceptor for CoreTopics {
    fn publish(&self, origin: Origin, message: &Message) -> Interception {
        let partition = self.service.inner.identity.partition();
        let Some(place) = marram_registry::Realm::of_tenant(partition, origin.authority.tenant()) else {
            return Interception::Unknown;
        };
        let realm = Realm::from(&place);
        let levels: Vec<&str> = message.topic.split('/').collect();
        let (thing, kind) = match levels.as_slice() {
            ["$aws", "things", thing, "thingsgraph", "history"] => (*thing, Kind::History(origin.reply)),
            ["$aws", "things", thing, "thingsgraph", "deployments"] => (*thing, Kind::Deployments),
            _ => return Interception::Unknown,
        };
        let thing = SmolStr::new(thing);
        let body = Bytes::copy_from_slice(&message.payload);
        let request = Request { realm: realm.clone(), thing: thing.clone(), kind, body };
        let taken = self.lanes.send(&(realm, thing), request, message.qos > QoS::AtMostOnce);
        // A core that finds its lane full is told so and sends again.
        taken.unwrap_or_else(|_| Interception::Pending(Box::pin(std::future::ready(ReasonCode::QUOTA_EXCEEDED))))
    }
}

impl Request {
    async fn run(self, service: &ThingsGraph) {
        let thing = self.thing.clone();
        let done = match &self.kind {
            Kind::History(reply) => self.history(service, reply).await,
            Kind::Deployments => self.deployments(service).await,
        };
        if let Err(reason) = done {
            tracing::warn!(%thing, %reason, "what a core says of its flows is not taken");
        }
    }

    async fn history(&self, service: &ThingsGraph, reply: &Arc<dyn Reply>) -> Result<(), String> {
        let mut page: Page = serde_json::from_slice(&self.body).map_err(|error| error.to_string())?;
        let accepted = Accepted { stream: std::mem::take(&mut page.stream), through: page.through };
        let port = service.inner.greengrass.get().ok_or("no cores are served")?;
        service
            .inner
            .store
            .read(|s| {
                for entry in &mut page.executions {
                    let known = report::deployment_of_core(s, &**port, &self.realm, &entry.deployment, &self.thing)?;
                    match known {
                        Some(known) => entry.deployment = known.id.as_str().into(),
                        // Without an id it is left out, and still accepted: sending it again would not help.
                        None => entry.id = SmolStr::default(),
                    }
                }
                Ok::<_, CallError>(())
            })
            .map_err(|error| error.to_string())?;
        let strangers = page.executions.iter().filter(|entry| entry.id.is_empty()).count();
        if strangers > 0 || page.dropped > 0 {
            tracing::warn!(thing = %self.thing, strangers, dropped = page.dropped, "a core's flow history has gaps");
        }
        let batch = page.into_batch(self.realm.account.as_str(), self.realm.region.as_str());
        if !batch.executions.is_empty() {
            service.inner.history.write(batch).await?;
        }
        let topic = Topic::new(&replica::accepted_topic(&self.thing)).map_err(|error| error.to_string())?;
        let body = serde_json::to_vec(&accepted).map_err(|error| error.to_string())?;
        // Nobody publishes it: a core that subscribed to its answers gets them this way only.
        reply.deliver_privately(Message::new(topic, body).with_qos(QoS::AtLeastOnce));
        Ok(())
    }

    async fn deployments(&self, service: &ThingsGraph) -> Result<(), String> {
        let report: Report = serde_json::from_slice(&self.body).map_err(|error| error.to_string())?;
        let port = service.inner.greengrass.get().ok_or("no cores are served")?.clone();
        let things = Arc::clone(&service.inner.things);
        let (realm, thing, now) = (self.realm.clone(), self.thing.clone(), service.now());
        service
            .system(&self.realm)
            .commit_unrecorded(move |tx| report::apply(tx, &*port, &*things, &realm, &thing, &report, now))
            .await
            .map_err(|error| error.to_string())
    }
}
