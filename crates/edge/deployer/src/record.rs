//! What is remembered of each deployment, so that any run can go on where another was killed.
//!
//! A record is one text leaf below `services/DeploymentService/runtime/Deployments`; its document, activation and
//! snapshot are files below `deployments/<key>/`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use marram_deploy::{DeploymentStatus, DetailedStatus, FailureReport};
use marram_edge_ports::{DeploymentRecord, DeploymentSource, KnownDeployment, Nucleus};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use smol_str::SmolStr;

/// Finished records that are remembered beside those still to be reported (our limit).
const MAX_REMEMBERED: usize = 50;

/// Where a deployment came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Source {
    /// A job, by id and the moment it was queued.
    Job { job_id: String, queued_at: i64 },
    /// The named shadow.
    Shadow,
    /// The device itself.
    Local,
}

/// How far it is. Every stage can be repeated from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// Waits for its turn.
    Queued,
    /// Nothing of the core was touched yet.
    Preparing,
    /// Bootstrap steps run; the tree is still the old one.
    Bootstrapping,
    /// The new tree is being applied.
    Activating,
    /// The old tree is being restored.
    RollingBack,
    /// Over.
    Done,
}

/// A failure as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub(crate) struct StoredFailure {
    pub stack: Vec<String>,
    pub types: Vec<String>,
    pub cause: String,
}

impl From<FailureReport> for StoredFailure {
    fn from(report: FailureReport) -> Self {
        let owned = |all: Vec<&str>| all.into_iter().map(str::to_owned).collect();
        Self { stack: owned(report.stack), types: owned(report.types), cause: report.cause }
    }
}

/// One deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Unique on this core.
    pub key: String,
    /// Place in the queue.
    pub sequence: u64,
    /// Id shown to users.
    pub id: String,
    pub source: Source,
    /// ARN of the configuration; empty for local ones.
    pub arn: String,
    /// Milliseconds.
    pub created_on: i64,
    pub stage: Stage,
    /// Word of the status.
    pub status: String,
    /// Word of the detailed status; empty while it runs.
    pub detailed: String,
    pub failure: Option<StoredFailure>,
    /// The present status was not acknowledged by the source yet.
    pub unreported: bool,
    /// Bootstrap steps that have run.
    pub bootstrapped: Vec<String>,
    /// A restart that is part of the stage was asked for already.
    pub restarted: bool,
    /// It was taken back in the middle of its activation: it ends in the old state.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub canceled: bool,
    /// It was taken back in the middle of its rollback: what does not come up again is waited for no longer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub abandoned: bool,
    /// The document was not believed: its SHA-256. Whoever it claims to be, a true one is not mistaken for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// What its success left as it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Record {
    pub fn status(&self) -> DeploymentStatus {
        DeploymentStatus::from_word(&self.status).unwrap_or(DeploymentStatus::Failed)
    }

    pub fn detailed(&self) -> Option<DetailedStatus> {
        DetailedStatus::from_word(&self.detailed)
    }

    /// Whether a document that came again is the one of this record.
    pub fn is_of(&self, document_sha256: &str) -> bool {
        self.refused.as_ref().is_none_or(|refused| refused == document_sha256)
    }

    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("a record is plain data")
    }

    /// As IPC shows it.
    pub fn shown(&self, waiting_for: Option<String>) -> DeploymentRecord {
        let failure = self.failure.clone().unwrap_or_default();
        DeploymentRecord {
            id: self.id.clone(),
            status: self.status(),
            created_on: self.created_on,
            detailed_status: self.detailed.clone(),
            error_stack: failure.stack,
            error_types: failure.types,
            failure_cause: Some(failure.cause).filter(|cause| !cause.is_empty()),
            waiting_for,
            notes: self.notes.clone(),
        }
    }
}

/// Kind of an ended deployment, as the fleet status triggers it (CR 4.13).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeSource {
    /// `THING_GROUP_DEPLOYMENT`.
    ThingGroup,
    /// `THING_DEPLOYMENT`.
    Thing,
    /// `LOCAL_DEPLOYMENT`.
    Local,
}

/// A deployment and how it stands; of those that are told by `news`, how it ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Where it came from.
    pub source: OutcomeSource,
    /// ARN of the configuration; empty for local ones.
    pub configuration_arn: String,
    /// How it ended.
    pub record: DeploymentRecord,
    /// Root components it left as they were.
    pub unchanged_roots: Vec<SmolStr>,
    /// Components it took away.
    pub removed: Vec<SmolStr>,
}

/// What is told of deployments as it happens.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// One is being worked on; after a restart in its middle it is told again.
    Began,
    /// One is over.
    Ended(Box<Outcome>),
    /// The control plane was put back to an earlier state: it knows less of this core than it was told.
    WentBack,
}

impl Record {
    /// As operators are told.
    pub fn known(&self, waiting_for: Option<String>) -> KnownDeployment {
        let (source, job_id) = match &self.source {
            Source::Local => (DeploymentSource::Local, None),
            Source::Shadow => (DeploymentSource::Thing, None),
            Source::Job { job_id, .. } => (DeploymentSource::ThingGroup, Some(job_id.clone())),
        };
        let configuration_arn = Some(self.arn.clone()).filter(|arn| !arn.is_empty());
        KnownDeployment { source, configuration_arn, job_id, record: self.shown(waiting_for) }
    }

    pub fn outcome(&self) -> Outcome {
        let source = match &self.source {
            Source::Local => OutcomeSource::Local,
            Source::Job { .. } => OutcomeSource::ThingGroup,
            Source::Shadow => OutcomeSource::Thing,
        };
        Outcome {
            source,
            configuration_arn: self.arn.clone(),
            record: self.shown(None),
            unchanged_roots: Vec::new(),
            removed: Vec::new(),
        }
    }
}

/// All records.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    records: BTreeMap<String, Record>,
    next_sequence: u64,
}

const PLACE: [&str; 4] = ["services", "DeploymentService", "runtime", "Deployments"];

/// Place of a record in the tree.
pub(crate) fn path_of(key: &str) -> [&str; 5] {
    let [a, b, c, d] = PLACE;
    [a, b, c, d, key]
}

/// Folder of a deployment's files.
pub(crate) fn folder_of(root: &Path, key: &str) -> PathBuf {
    root.join("deployments").join(key)
}

impl Ledger {
    pub fn read(nucleus: &dyn Nucleus) -> Self {
        let stored = nucleus.get(&PLACE);
        let records: BTreeMap<String, Record> = stored
            .as_ref()
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(_, value)| serde_json::from_str::<Record>(value.as_str()?).ok())
            .map(|record| (record.key.clone(), record))
            .collect();
        let next_sequence = records.values().map(|record| record.sequence + 1).max().unwrap_or(0);
        Self { records, next_sequence }
    }

    pub fn get(&self, key: &str) -> Option<&Record> {
        self.records.get(key)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Record> {
        self.records.get_mut(key)
    }

    pub fn all(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// Adds a record with the next place in the queue; it is not durable yet.
    pub fn add(&mut self, mut record: Record) -> Record {
        record.sequence = self.next_sequence;
        self.next_sequence += 1;
        self.records.insert(record.key.clone(), record.clone());
        record
    }

    pub fn forget(&mut self, key: &str) {
        self.records.remove(key);
    }

    /// What to work on: an interrupted one first, else the longest waiting.
    pub fn next(&self) -> Option<&Record> {
        let order = |record: &&Record| (record.stage == Stage::Queued, record.sequence);
        self.records.values().filter(|record| record.stage != Stage::Done).min_by_key(order)
    }

    pub fn queued(&self) -> usize {
        self.records.values().filter(|record| record.stage == Stage::Queued).count()
    }

    /// Keys of finished and reported records beyond those worth remembering, oldest first.
    pub fn surplus(&self) -> Vec<String> {
        let mut over: Vec<&Record> =
            self.records.values().filter(|record| record.stage == Stage::Done && !record.unreported).collect();
        over.sort_by_key(|record| record.sequence);
        let count = over.len().saturating_sub(MAX_REMEMBERED);
        over.into_iter().take(count).map(|record| record.key.clone()).collect()
    }

    /// All records as the tree keeps them.
    pub fn to_value(&self) -> Value {
        Value::Object(self.records.iter().map(|(key, record)| (key.clone(), record.to_text().into())).collect())
    }
}

/// Place of all records, for writing them as a whole.
pub(crate) fn place() -> [&'static str; 4] {
    PLACE
}
