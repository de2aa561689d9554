//! The job operations of `iot` (CP 4.2, 4.7): the table from operation to function.

mod create;
mod document;
mod event;
mod execution;
mod job;
mod list;
mod template;

use marram_aws_api::{ApiError, Operation, ServiceId};
use marram_identity::{BoxFuture, CallContext, ConditionValues, Grant, Need, Service};
use marram_registry::{Realm, Tags, tag_pairs, tags_of};
use serde_json::{Map, Value};

use crate::jobs::Jobs;

/// Items of a page when the caller names no number.
const DEFAULT_PAGE: i64 = 50;
/// Members of `CreateJob` that are kept as they are and shown by `DescribeJob`.
const CONFIG: [&str; 10] = [
    "description",
    "documentSource",
    "presignedUrlConfig",
    "jobExecutionsRolloutConfig",
    "abortConfig",
    "timeoutConfig",
    "jobExecutionsRetryConfig",
    "documentParameters",
    "jobTemplateArn",
    "schedulingConfig",
];

/// Answers the job operations of the table `iot`.
#[derive(Clone, Debug)]
pub struct JobsService {
    jobs: Jobs,
}

impl JobsService {
    /// The operations on these jobs.
    pub fn new(jobs: Jobs) -> Self {
        Self { jobs }
    }
}

marram_identity::operations! {
    Jobs, Value;
    "CreateJob" => create::create_job,
    "AssociateTargetsWithJob" => create::associate_targets_with_job,
    "DescribeJob" => job::describe_job,
    "GetJobDocument" => job::get_job_document,
    "UpdateJob" => job::update_job,
    "CancelJob" => job::cancel_job,
    "DeleteJob" => job::delete_job,
    "ListJobs" => list::list_jobs,
    "ListJobExecutionsForJob" => list::list_job_executions_for_job,
    "ListJobExecutionsForThing" => list::list_job_executions_for_thing,
    "DescribeJobExecution" => execution::describe_job_execution,
    "CancelJobExecution" => execution::cancel_job_execution,
    "DeleteJobExecution" => execution::delete_job_execution,
    "DescribeEventConfigurations" => event::describe_event_configurations,
    "UpdateEventConfigurations" => event::update_event_configurations,
    "CreateJobTemplate" => template::create_job_template,
    "DescribeJobTemplate" => template::describe_job_template,
    "ListJobTemplates" => template::list_job_templates,
    "DeleteJobTemplate" => template::delete_job_template,
    "DescribeManagedJobTemplate" => template::describe_managed_job_template,
    "ListManagedJobTemplates" => template::list_managed_job_templates,
}

impl Service for JobsService {
    fn id(&self) -> ServiceId {
        ServiceId::Iot
    }

    fn offers(&self, operation: &'static Operation) -> bool {
        operation.service == ServiceId::Iot && OFFERED.contains(&operation.name)
    }

    fn call<'a>(
        &'a self,
        ctx: &'a CallContext,
        operation: &'static Operation,
        input: Value,
    ) -> BoxFuture<'a, Result<Value, ApiError>> {
        answer(&self.jobs, ctx, operation.name, input)
    }
}

/// A member that must be there and parse.
fn parse<T: std::str::FromStr>(input: &Value, member: &str) -> Result<T, ApiError> {
    let text = input[member].as_str().unwrap_or_default();
    text.parse().map_err(|_| ApiError::invalid_request(format!("Invalid {member}")))
}

/// The members of a request that are kept as they are.
fn config_of(input: &Value) -> Map<String, Value> {
    let kept = CONFIG.into_iter().filter_map(|name| {
        let value = input.get(name).filter(|value| !value.is_null())?;
        Some((name.to_owned(), value.clone()))
    });
    kept.collect()
}

fn job_arn(realm: &Realm, id: &str) -> String {
    realm.arn(format_args!("job/{id}"))
}

/// Asks for a job that may carry tags, and for further resources of the same action.
fn authorize_job(ctx: &CallContext, realm: &Realm, id: &str, further: &[String]) -> Result<Grant, ApiError> {
    authorize_tagged(ctx, realm, &format!("job/{id}"), further)
}

fn authorize_tagged(ctx: &CallContext, realm: &Realm, resource: &str, further: &[String]) -> Result<Grant, ApiError> {
    let action = ctx.operation.iam_action;
    let tags = ctx.read(|snapshot| tags_of(snapshot, realm, resource))?;
    let mut conditions = ConditionValues::new();
    conditions.resource_tags(tag_pairs(&tags));
    let arn = realm.arn(resource);
    let mut needs = vec![Need { action, resource: &arn, conditions }];
    needs.extend(further.iter().map(|arn| Need { action, resource: arn, conditions: ConditionValues::new() }));
    ctx.authorize_all(needs)
}

/// As [`authorize_tagged`] for a resource that is to be made with `tags`.
fn authorize_new(
    ctx: &CallContext,
    realm: &Realm,
    resource: &str,
    tags: &Tags,
    further: &[String],
) -> Result<Grant, ApiError> {
    let action = ctx.operation.iam_action;
    let mut conditions = ConditionValues::new();
    conditions.request_tags(tag_pairs(tags));
    let arn = realm.arn(resource);
    let mut needs = vec![Need { action, resource: &arn, conditions }];
    needs.extend(further.iter().map(|arn| Need { action, resource: arn, conditions: ConditionValues::new() }));
    ctx.authorize_all(needs)
}

/// A page of a list: where it starts and how long it is.
struct Page {
    after: String,
    limit: usize,
    filter: String,
}

impl Page {
    /// Reads `nextToken` and `maxResults`; `filter` is everything that narrows the list.
    fn read(ctx: &CallContext, input: &Value, filter: String) -> Result<Self, ApiError> {
        let after = match input["nextToken"].as_str().filter(|token| !token.is_empty()) {
            Some(token) => ctx.open_page_token(&filter, token)?,
            None => String::new(),
        };
        let limit = input["maxResults"].as_i64().unwrap_or(DEFAULT_PAGE).clamp(1, 250);
        Ok(Self { after, limit: usize::try_from(limit).unwrap_or(1), filter })
    }

    /// The answer from at least one row more than the page holds, if there is one; each row with its key.
    fn answer(&self, ctx: &CallContext, member: &str, mut rows: Vec<(String, Value)>) -> Value {
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let mut answer = Map::new();
        if let Some((key, _)) = rows.last().filter(|_| more) {
            answer.insert("nextToken".to_owned(), ctx.page_token(&self.filter, key).into());
        }
        answer.insert(member.to_owned(), rows.into_iter().map(|(_, row)| row).collect());
        Value::Object(answer)
    }
}
