//! Who else wants to know: greengrass follows its deployments' jobs.

use marram_identity::CallError;
use marram_job::{ExecutionStatus, JobStatus, Namespace, StatusDetails};
use marram_registry::Realm;
use marram_store::Tx;
use marram_types::Timestamp;

/// An execution that came into being or changed.
#[derive(Debug, Clone)]
pub struct ExecutionChange<'a> {
    /// Its job.
    pub job: &'a str,
    /// Its thing.
    pub thing: &'a str,
    /// Which attempt, from 1.
    pub number: i64,
    /// Its queue.
    pub namespace: &'a Namespace,
    /// Its status now.
    pub status: ExecutionStatus,
    /// What the device told last.
    pub details: &'a StatusDetails,
    /// When.
    pub at: Timestamp,
}

/// A job whose status changed.
#[derive(Debug, Clone)]
pub struct JobChange<'a> {
    /// The job.
    pub job: &'a str,
    /// Its queue.
    pub namespace: &'a Namespace,
    /// Its status now.
    pub status: JobStatus,
    /// When.
    pub at: Timestamp,
}

/// A thing that is no target of a continuous job any more, after its execution had ended.
#[derive(Debug, Clone)]
pub struct TargetLeft<'a> {
    /// The job.
    pub job: &'a str,
    /// The thing.
    pub thing: &'a str,
    /// The job's queue.
    pub namespace: &'a Namespace,
}

/// Hears of changes inside their transaction: what it stores stands or falls with them. An error undoes the change.
pub trait JobWatch: Send + Sync {
    /// An execution changed.
    ///
    /// # Errors
    /// The store's.
    fn on_execution_changed(
        &self,
        tx: &mut Tx<'_>,
        realm: &Realm,
        change: &ExecutionChange<'_>,
    ) -> Result<(), CallError>;

    /// A job changed.
    ///
    /// # Errors
    /// The store's.
    fn on_job_changed(&self, tx: &mut Tx<'_>, realm: &Realm, change: &JobChange<'_>) -> Result<(), CallError>;

    /// A thing left a job that it had ended. Of one that it had not ended, [`JobWatch::on_execution_changed`] tells.
    ///
    /// # Errors
    /// The store's.
    fn on_target_left(&self, _: &mut Tx<'_>, _: &Realm, _: &TargetLeft<'_>) -> Result<(), CallError> {
        Ok(())
    }
}
