//! The service `iot-jobs-data`: a thing's own view of its jobs, over HTTPS.

use marram_aws_api::{ApiError, Operation, ServiceId};
use marram_identity::{BoxFuture, CallContext, CallError, Service};
use marram_job::{JobError, JobRef, Namespace, Request};
use marram_registry::Realm;
use marram_types::{JobId, ThingName};
use serde_json::Value;

use crate::device::{DeviceError, DocumentAs, Queue};
use crate::jobs::Jobs;

/// Answers the operations of a thing's default queue.
#[derive(Clone, Debug)]
pub struct JobsDataService {
    jobs: Jobs,
}

impl JobsDataService {
    /// The operations on these jobs.
    pub fn new(jobs: Jobs) -> Self {
        Self { jobs }
    }

    async fn answer(&self, ctx: &CallContext, name: &str, input: Value) -> Result<Value, ApiError> {
        let realm = Realm::of(ctx);
        let thing: ThingName = parse(&input, "thingName")?;
        let job = match name {
            "DescribeJobExecution" | "UpdateJobExecution" => Some(job_ref(&input)?),
            _ => None,
        };
        let grant =
            ctx.authorize(ctx.operation.iam_action, &realm.arn(format_args!("thing/{thing}")), |conditions| {
                if let Some(JobRef::Id(id)) = &job {
                    conditions.set("iot:JobId", id.as_str());
                }
            })?;
        let request = Request::of(&input);
        let (jobs, now) = (self.jobs.clone(), ctx.now);
        let namespace = Namespace::default_queue();
        let queue = Queue {
            jobs: &jobs,
            realm: &realm,
            thing: thing.as_str(),
            namespace: &namespace,
            document: DocumentAs::Text,
            now,
        };
        match name {
            "GetPendingJobExecutions" => {
                drop(grant);
                Ok(ctx.read(|snapshot| queue.list(snapshot).map_err(call_error))?)
            }
            "DescribeJobExecution" => {
                drop(grant);
                let asked = request.describe().map_err(|error| api(&error))?;
                let id = match &job {
                    Some(JobRef::Id(id)) => Some(id.as_str()),
                    _ => None,
                };
                Ok(ctx.read(|snapshot| queue.describe(snapshot, id, &asked).map_err(call_error))?)
            }
            "StartNextPendingJobExecution" => {
                let asked = request.start_next().map_err(|error| api(&error))?;
                let (realm, thing) = (realm.clone(), thing.clone());
                ctx.commit(grant, move |tx| {
                    let queue = Queue {
                        jobs: &jobs,
                        realm: &realm,
                        thing: thing.as_str(),
                        namespace: &namespace,
                        document: DocumentAs::Text,
                        now,
                    };
                    queue.start_next(tx, asked).map_err(call_error)
                })
                .await
            }
            "UpdateJobExecution" => {
                let asked = request.update().map_err(|error| api(&error))?;
                let Some(JobRef::Id(id)) = job else {
                    return Err(ApiError::invalid_request("An update names its job"));
                };
                let (realm, thing) = (realm.clone(), thing.clone());
                ctx.commit(grant, move |tx| {
                    let queue = Queue {
                        jobs: &jobs,
                        realm: &realm,
                        thing: thing.as_str(),
                        namespace: &namespace,
                        document: DocumentAs::Text,
                        now,
                    };
                    queue.update(tx, id.as_str(), asked).map_err(call_error)
                })
                .await
            }
            other => Err(ApiError::not_supported(other)),
        }
    }
}

fn job_ref(input: &Value) -> Result<JobRef, ApiError> {
    match input["jobId"].as_str() {
        Some("$next") => Ok(JobRef::Next),
        _ => parse::<JobId>(input, "jobId").map(JobRef::Id),
    }
}

fn parse<T: std::str::FromStr>(input: &Value, member: &str) -> Result<T, ApiError> {
    let text = input[member].as_str().unwrap_or_default();
    text.parse().map_err(|_| ApiError::invalid_request(format!("Invalid {member}")))
}

/// The modelled exception of a refusal.
pub(crate) fn api(error: &JobError) -> ApiError {
    let (code, status) = error.exception();
    ApiError::new(code, status, error.to_string())
}

fn call_error(error: DeviceError) -> CallError {
    match error {
        DeviceError::Job(error) => api(&error).into(),
        DeviceError::Call(error) => error,
    }
}

impl Service for JobsDataService {
    fn id(&self) -> ServiceId {
        ServiceId::IotJobsData
    }

    fn offers(&self, operation: &'static Operation) -> bool {
        operation.service == ServiceId::IotJobsData
            && matches!(
                operation.name,
                "GetPendingJobExecutions"
                    | "StartNextPendingJobExecution"
                    | "DescribeJobExecution"
                    | "UpdateJobExecution"
            )
    }

    fn call<'a>(
        &'a self,
        ctx: &'a CallContext,
        operation: &'static Operation,
        input: Value,
    ) -> BoxFuture<'a, Result<Value, ApiError>> {
        Box::pin(async move { self.answer(ctx, operation.name, input).await })
    }
}
