//! Job requests over MQTT.
//!
//! Requests of one thing are worked off one after the other. Answers go to subscribers, and to the session that asked even
//! without a subscription (CP 5.8).

use std::sync::Arc;

use bytes::Bytes;
use marram_aws_api::ApiError;
use marram_broker::{Interception, Interceptor, Message, Origin, Reply};
use marram_identity::CallError;
use marram_job::{JobError, JobRef, JobTopic, Request as JobRequest, RequestKind, client_token};
use marram_mqtt::QoS;
use marram_registry::{Lanes, Realm};
use marram_types::Timestamp;
use serde_json::Value;

use crate::device::{DeviceError, DocumentAs, Queue};
use crate::jobs::Jobs;
use crate::notice::message;

/// Answers publishes on job topics. The policy has allowed the publish.
pub struct JobTopics {
    jobs: Jobs,
    lanes: Lanes<Request>,
}

struct Request {
    realm: Realm,
    /// Where answers go: the request's topic, to which `/accepted` or `/rejected` is added.
    topic: String,
    asked: JobTopic,
    body: Bytes,
    reply: Arc<dyn Reply>,
}

impl JobTopics {
    /// The topics of these jobs; starts the workers, so call it inside the runtime.
    pub fn start(jobs: Jobs) -> Arc<Self> {
        let worker = jobs.clone();
        let lanes = Lanes::start(move |request: Request| {
            let jobs = worker.clone();
            Box::pin(async move { request.run(&jobs).await })
        });
        Arc::new(Self { jobs, lanes })
    }
}

impl Interceptor for JobTopics {
    fn publish(&self, origin: Origin, published: &Message) -> Interception {
        let Some(asked) = JobTopic::parse(&published.topic) else { return Interception::Unknown };
        let partition = self.jobs.identity().partition();
        let Some(realm) = Realm::of_tenant(partition, origin.authority.tenant()) else { return Interception::Unknown };
        let key = (realm.clone(), asked.thing.clone());
        let request = Request {
            realm,
            topic: published.topic.to_string(),
            asked,
            body: Bytes::copy_from_slice(&published.payload),
            reply: origin.reply,
        };
        match self.lanes.send(&key, request, published.qos > QoS::AtMostOnce) {
            Ok(interception) => interception,
            Err(request) => {
                request.reject(&self.jobs, &JobError::Throttled, self.jobs.identity().now());
                Interception::Consumed
            }
        }
    }
}

impl Request {
    async fn run(self, jobs: &Jobs) {
        let now = jobs.identity().now();
        match self.work(jobs, now).await {
            Ok(mut answer) => {
                answer["timestamp"] = now.as_secs().into();
                if let Some(token) = client_token(&self.body) {
                    answer["clientToken"] = token;
                }
                self.answer(jobs, "accepted", &answer);
            }
            Err(error) => {
                let error = match error {
                    DeviceError::Job(error) => error,
                    DeviceError::Call(error) => {
                        tracing::error!(%error, topic = %self.topic, "a job request failed");
                        JobError::Internal
                    }
                };
                self.reject(jobs, &error, now);
            }
        }
    }

    async fn work(&self, jobs: &Jobs, now: Timestamp) -> Result<Value, DeviceError> {
        let request = JobRequest::parse(&self.body)?;
        let system = jobs.system(&self.realm);
        let JobTopic { thing, namespace, kind } = self.asked.clone();
        let realm = self.realm.clone();
        let read = |ask: &dyn Fn(&Queue<'_>, &marram_store::Snapshot<'_>) -> Result<Value, DeviceError>| {
            let queue = Queue {
                jobs,
                realm: &realm,
                thing: thing.as_str(),
                namespace: &namespace,
                document: DocumentAs::Json,
                now,
            };
            // Refusals are values here: the store passes failures of its own only.
            system.read(|snapshot| match ask(&queue, snapshot) {
                Err(DeviceError::Call(error)) => Err(error),
                decided => Ok(decided),
            })
        };
        match kind {
            RequestKind::Pending => read(&|queue, snapshot| queue.list(snapshot))?,
            RequestKind::Describe(job) => {
                let asked = request.describe()?;
                let id = match &job {
                    JobRef::Next => None,
                    JobRef::Id(id) => Some(id.as_str()),
                };
                read(&|queue, snapshot| queue.describe(snapshot, id, &asked))?
            }
            RequestKind::StartNext => {
                let asked = request.start_next()?;
                self.write(jobs, now, move |queue, tx| queue.start_next(tx, asked)).await
            }
            RequestKind::Update(id) => {
                let asked = request.update()?;
                self.write(jobs, now, move |queue, tx| queue.update(tx, id.as_str(), asked)).await
            }
        }
    }

    /// A change of data in the device's own name: its topic policy decided, and a report is no audit event (CP 10.2).
    async fn write(
        &self,
        jobs: &Jobs,
        now: Timestamp,
        change: impl FnOnce(&Queue<'_>, &mut marram_store::Tx<'_>) -> Result<Value, DeviceError> + Send + 'static,
    ) -> Result<Value, DeviceError> {
        let (realm, JobTopic { thing, namespace, .. }) = (self.realm.clone(), self.asked.clone());
        let (jobs, system) = (jobs.clone(), jobs.system(&self.realm));
        let decided = system.commit_unrecorded(move |tx| {
            let queue = Queue {
                jobs: &jobs,
                realm: &realm,
                thing: thing.as_str(),
                namespace: &namespace,
                document: DocumentAs::Json,
                now,
            };
            // A refusal comes before the first statement that changes something, so that nothing has to be undone.
            match change(&queue, tx) {
                Err(DeviceError::Call(error)) => Err(error),
                decided => Ok(decided),
            }
        });
        decided.await.map_err(|error: ApiError| DeviceError::Call(CallError::from(error)))?
    }

    fn reject(&self, jobs: &Jobs, error: &JobError, now: Timestamp) {
        let token = client_token(&self.body);
        self.answer(jobs, "rejected", &error.rejected(now.as_secs(), token.as_ref()));
    }

    fn answer(&self, jobs: &Jobs, kind: &str, body: &Value) {
        let Some(message) = message(&format!("{}/{kind}", self.topic), body) else { return };
        jobs.outbox().publish(&self.realm, message.clone());
        jobs.outbox().reply(Arc::clone(&self.reply), message);
    }
}
