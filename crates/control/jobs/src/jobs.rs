//! The handle of the jobs service: what other services call.

use std::sync::{Arc, PoisonError, RwLock};

use marram_aws_api::ApiError;
use marram_identity::{CallError, Identity, SystemContext};
use marram_job::{Counts, JobConfig, JobStatus, MAX_DOCUMENT_CHARS, Namespace, Window};
use marram_objects::Objects;
use marram_registry::{Outbox, Realm};
use marram_store::{Snapshot, Tx, params};
use marram_types::{JobId, Timestamp};
use serde_json::Value;
use tokio::sync::Notify;

use crate::delivery::Presigner;
use crate::row::{self, ExecutionRow, JobRow};
use crate::watch::JobWatch;
use crate::work::Work;

/// Who works when no caller of the API does.
pub(crate) const ACTOR: &str = "iot.amazonaws.com";
/// Targets of a job (CP 10.4).
const MAX_TARGETS: usize = 100;
/// Executions handed out by the transaction that creates an unthrottled job; the rest follows in the background.
pub(crate) const BATCH: i64 = 500;

/// A job to create.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// 1 to 64 of `a-zA-Z0-9_-`, unique in account and region.
    pub id: JobId,
    /// Its queue.
    pub namespace: Namespace,
    /// ARNs of things and thing groups, at most 100.
    pub targets: Vec<String>,
    /// Things that join a target group later get it too, those that leave lose it.
    pub continuous: bool,
    /// What devices get: JSON text of at most 32,768 characters.
    pub document: String,
    /// The document before its parameters were filled in, where that is another text.
    pub unfilled: Option<String>,
    /// Members of `CreateJob` about its course: `jobExecutionsRolloutConfig`, `abortConfig`, `timeoutConfig`,
    /// `jobExecutionsRetryConfig`, `description`, .. as they stand there. An empty object for none.
    pub config: Value,
    /// When the roll-out begins; at once when absent.
    pub start_at: Option<Timestamp>,
    /// When it ends.
    pub end_at: Option<Timestamp>,
}

/// How a job is called off.
#[derive(Debug, Clone, Default)]
pub struct CancelJob {
    /// End executions in progress too.
    pub force: bool,
    /// Why, as a code.
    pub reason_code: Option<String>,
    /// Why, in words.
    pub comment: Option<String>,
}

/// Jobs of every account. A cheap clone.
#[derive(Clone)]
pub struct Jobs {
    inner: Arc<Inner>,
}

struct Inner {
    identity: Identity,
    outbox: Outbox,
    presigner: Presigner,
    watches: RwLock<Arc<[Arc<dyn JobWatch>]>>,
    /// Something may be due earlier than was known.
    pub(crate) wake: Notify,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Jobs")
    }
}

impl Jobs {
    /// Jobs whose messages go through `outbox` and whose documents may come from `objects` or name objects there; the tables
    /// must have been migrated ([`crate::MIGRATIONS`]). Spawn [`Jobs::run`] once.
    pub fn new(identity: Identity, outbox: Outbox, objects: Objects) -> Self {
        let watches = RwLock::new(Arc::from(Vec::new()));
        let presigner = Presigner::new(objects);
        Self { inner: Arc::new(Inner { identity, outbox, presigner, watches, wake: Notify::new() }) }
    }

    /// From now on `watch` hears of every change, inside its transaction.
    pub fn watch(&self, watch: Arc<dyn JobWatch>) {
        let mut watches = self.inner.watches.write().unwrap_or_else(PoisonError::into_inner);
        *watches = watches.iter().cloned().chain([watch]).collect();
    }

    /// Creates a job in the name of a service.
    ///
    /// # Errors
    /// `ResourceAlreadyExistsException`, `InvalidRequestException`, `ResourceNotFoundException` for unknown targets.
    pub async fn create(&self, realm: &Realm, job: NewJob) -> Result<JobRow, ApiError> {
        let (jobs, at) = (self.clone(), realm.clone());
        self.write(realm, "CreateJob", move |tx, now| jobs.create_in(tx, &at, &job, now)).await
    }

    /// As [`Jobs::create`], inside a transaction of the caller's.
    ///
    /// # Errors
    /// As [`Jobs::create`].
    pub fn create_in(&self, tx: &mut Tx<'_>, realm: &Realm, job: &NewJob, now: Timestamp) -> Result<JobRow, CallError> {
        check(realm, job)?;
        let windows = JobConfig::read(&job.config).map_err(ApiError::invalid_request)?.windows;
        let closed = !windows.is_empty() && !windows.iter().any(|window| window.is_open(now));
        if closed && Window::next_opening(&windows, now).is_none() {
            return Err(ApiError::invalid_request("The maintenance windows never open.").into());
        }
        let status = match job.start_at {
            Some(start) if start > now => JobStatus::Scheduled,
            _ if closed => JobStatus::Scheduled,
            _ => JobStatus::InProgress,
        };
        let targets = serde_json::to_string(&job.targets).map_err(|_| ApiError::internal())?;
        let inserted = tx.execute(
            "INSERT INTO iot_job (account, region, id, namespace, status, continuous, targets, document, config,
                 force_canceled, start_at, end_at, rolled_at, wake_at, created_at, updated_at, unfilled)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, $11, $12, $12, $12, $12, $13)
             ON CONFLICT (account, region, id) DO NOTHING",
            params![
                realm.account,
                realm.region,
                job.id,
                job.namespace.as_str(),
                status.as_str(),
                job.continuous,
                targets,
                job.document,
                job.config.to_string(),
                job.start_at,
                job.end_at,
                now,
                job.unfilled
            ],
        )?;
        if inserted == 0 {
            let arn = realm.arn(format_args!("job/{}", job.id));
            return Err(ApiError::already_exists(format!("Job {} already exists.", job.id))
                .with("resourceId", job.id.as_str())
                .with("resourceArn", arn)
                .into());
        }
        let row = row::get_job(tx, realm, job.id.as_str())?;
        let mut work = Work::begin(self, tx, realm, now);
        work.set_status(&row, status)?;
        work.add_targets(&row, &job.targets)?;
        if status == JobStatus::InProgress {
            work.advance(&row)?;
        }
        work.finish()?;
        self.wake_after(tx);
        row::get_job(tx, realm, job.id.as_str())
    }

    /// Calls a job off in the name of a service.
    ///
    /// # Errors
    /// `ResourceNotFoundException`, `InvalidRequestException` when it has ended.
    pub async fn cancel(&self, realm: &Realm, id: &str, how: CancelJob) -> Result<(), ApiError> {
        let (jobs, at, id) = (self.clone(), realm.clone(), id.to_owned());
        self.write(realm, "CancelJob", move |tx, now| jobs.cancel_in(tx, &at, &id, &how, now)).await
    }

    /// As [`Jobs::cancel`], inside a transaction of the caller's.
    ///
    /// # Errors
    /// As [`Jobs::cancel`].
    pub fn cancel_in(
        &self,
        tx: &mut Tx<'_>,
        realm: &Realm,
        id: &str,
        how: &CancelJob,
        now: Timestamp,
    ) -> Result<(), CallError> {
        let job = row::get_job(tx, realm, id)?;
        if !matches!(job.status, JobStatus::InProgress | JobStatus::Scheduled) {
            return Err(ApiError::invalid_request(format!(
                "Job {id} is {}, so it cannot be canceled.",
                job.status.as_str()
            ))
            .into());
        }
        tx.execute(
            "UPDATE iot_job SET force_canceled = $4, reason_code = $5, comment = $6
             WHERE account = $1 AND region = $2 AND id = $3",
            params![realm.account, realm.region, id, how.force, how.reason_code, how.comment],
        )?;
        // With what was just said about it.
        let job = row::get_job(tx, realm, id)?;
        let mut work = Work::begin(self, tx, realm, now);
        work.cancel(&job, how.force)?;
        work.finish()
    }

    /// Deletes a job with its executions, in the name of a service.
    ///
    /// # Errors
    /// `ResourceNotFoundException`; `InvalidStateTransitionException` when it has not ended and `force` is not set.
    pub async fn delete(&self, realm: &Realm, id: &str, force: bool) -> Result<(), ApiError> {
        let (jobs, at, id) = (self.clone(), realm.clone(), id.to_owned());
        self.write(realm, "DeleteJob", move |tx, now| jobs.delete_in(tx, &at, &id, force, now)).await
    }

    /// As [`Jobs::delete`], inside a transaction of the caller's. Things hear that their queue changed.
    ///
    /// # Errors
    /// As [`Jobs::delete`].
    pub fn delete_in(
        &self,
        tx: &mut Tx<'_>,
        realm: &Realm,
        id: &str,
        force: bool,
        now: Timestamp,
    ) -> Result<(), CallError> {
        let job = row::get_job(tx, realm, id)?;
        let ended = matches!(job.status, JobStatus::Canceled | JobStatus::Completed);
        let counts = row::counts(tx, realm, id)?;
        if !force && (!ended || counts.open() > 0) {
            return Err(ApiError::new(
                "InvalidStateTransitionException",
                409,
                format!("Job {id} has not ended, so it can be deleted by force only."),
            )
            .into());
        }
        let mut work = Work::begin(self, tx, realm, now);
        work.forget_waiting(id)?;
        work.end_open(id, true)?;
        work.set_status(&job, JobStatus::DeletionInProgress)?;
        work.forget_targets(id)?;
        work.announce(&job, "deleted")?;
        work.finish()?;
        for table in ["iot_job_execution", "iot_job_count", "iot_job_waiting"] {
            let sql = format!("DELETE FROM {table} WHERE account = $1 AND region = $2 AND job = $3");
            tx.execute(&sql, params![realm.account, realm.region, id])?;
        }
        tx.execute(
            "DELETE FROM iot_job WHERE account = $1 AND region = $2 AND id = $3",
            params![realm.account, realm.region, id],
        )?;
        Ok(())
    }

    /// A job; `None` when there is none by that id.
    ///
    /// # Errors
    /// The store's.
    pub fn find(&self, snapshot: &Snapshot<'_>, realm: &Realm, id: &str) -> Result<Option<JobRow>, CallError> {
        row::find_job(snapshot, realm, id)
    }

    /// How many things are where with a job.
    ///
    /// # Errors
    /// The store's.
    pub fn counts(&self, snapshot: &Snapshot<'_>, realm: &Realm, id: &str) -> Result<Counts, CallError> {
        row::counts(snapshot, realm, id)
    }

    /// The latest attempt of a thing; `None` when the job has none for it.
    ///
    /// # Errors
    /// The store's.
    pub fn find_execution(
        &self,
        snapshot: &Snapshot<'_>,
        realm: &Realm,
        id: &str,
        thing: &str,
    ) -> Result<Option<ExecutionRow>, CallError> {
        row::find_execution(snapshot, realm, id, thing, None)
    }

    pub(crate) fn watches(&self) -> Arc<[Arc<dyn JobWatch>]> {
        Arc::clone(&self.inner.watches.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.inner.outbox
    }

    pub(crate) fn presigner(&self) -> &Presigner {
        &self.inner.presigner
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    pub(crate) fn wake(&self) -> &Notify {
        &self.inner.wake
    }

    /// The clockwork looks again once this transaction is durable.
    pub(crate) fn wake_after(&self, tx: &mut Tx<'_>) {
        let inner = Arc::clone(&self.inner);
        tx.after_commit(move || inner.wake.notify_one());
    }

    pub(crate) fn system(&self, realm: &Realm) -> SystemContext {
        self.inner.identity.system(ACTOR, realm.account.clone(), realm.region.clone())
    }

    async fn write<T: Send + 'static>(
        &self,
        realm: &Realm,
        event: &'static str,
        write: impl FnOnce(&mut Tx<'_>, Timestamp) -> Result<T, CallError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let system = self.system(realm);
        let now = system.now();
        system.commit(event, move |tx| write(tx, now)).await
    }
}

/// What the model does not say about a new job.
fn check(realm: &Realm, job: &NewJob) -> Result<(), ApiError> {
    if job.targets.is_empty() || job.targets.len() > MAX_TARGETS {
        return Err(ApiError::invalid_request(format!("A job has from 1 to {MAX_TARGETS} targets.")));
    }
    for target in &job.targets {
        target_resource(realm, target)?;
    }
    if job.document.is_empty() || job.document.chars().count() > MAX_DOCUMENT_CHARS {
        return Err(ApiError::invalid_request(format!(
            "A job document has from 1 to {MAX_DOCUMENT_CHARS} characters."
        )));
    }
    if serde_json::from_str::<serde::de::IgnoredAny>(&job.document).is_err() {
        return Err(ApiError::invalid_request("The job document is not JSON."));
    }
    JobConfig::read(&job.config).map_err(ApiError::invalid_request)?;
    Ok(())
}

/// `thing/{name}` or `thinggroup/{name}` of a target's ARN.
pub(crate) fn target_resource<'t>(realm: &Realm, target: &'t str) -> Result<&'t str, ApiError> {
    let prefix = realm.arn("");
    let resource = target.strip_prefix(prefix.as_str());
    resource
        .filter(|resource| resource.starts_with("thing/") || resource.starts_with("thinggroup/"))
        .ok_or_else(|| ApiError::invalid_request(format!("Invalid target ARN: {}", marram_registry::shown(target))))
}
