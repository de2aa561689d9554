//! Deployments on a core: sources, queue, artifacts, activation, rollback, reports.
//!
//! [`Deployer::open`] reads what is remembered, [`Deployer::run`] works until it is dropped: kill the process at any
//! point and the next run ends the deployment in the old or in the new state and reports the truth. What makes that so:
//! a deployment's [`record::Record`] names its stage, every stage can be repeated, and files appear by renaming.
//!
//! ```text
//! source/jobs, source/shadow, local   where deployments come from          (CR 4.3, 4.4, 4.5)
//! trust       signatures, addressee, no step back                           (SEC-154)
//! worker      one deployment at a time                                     (CR 4.1)
//! prepare     document -> groups -> resolve -> artifacts -> trees          (CR 4.8, phases 1 to 7)
//! listeners   components' say: defer, validate                             (CR 3.6, 4.8)
//! activate    bootstrap, apply, wait, remove, roll back                    (CR 4.9, 4.10)
//! altered     components whose files are not in order, left alone          (CR 4.9, SEC-157)
//! patience    what ends the wait for components                            (CR 10.3)
//! check       settings that cannot be what was meant                       (CR 6.9, 7.5)
//! endpoints   another control plane, another way to it: tried, settled        (CR 4.10)
//! token       another token, another PIN for it: tried                     (CC 11)
//! update      the program of the runtime itself                           (CR 4.10)
//! report      status to jobs and shadow until it is acknowledged           (CR 4.1)
//! reserve     room for the core's own writes on a full disk                (CR 4.8)
//! relief      a deployment that fills the disk                             (CR 4.8)
//! usage       who fills it
//! kept        values that a deployment wished otherwise                (CR 3.3)
//! integrity   are files those that were taken in? asked before each start  (CR 1.6, SEC-157)
//! scrub       the same of everything, now and then                         (SEC-157)
//! store/      recipes, artifacts, local imports, retention                 (CR 1.6, 4.12)
//! ```

mod activate;
mod altered;
mod check;
mod disk;
mod endpoints;
mod fault;
mod integrity;
mod kept;
mod listeners;
mod local;
mod patience;
mod prepare;
mod record;
mod relief;
mod report;
mod reserve;
mod scrub;
mod settings;
mod source;
mod store;
mod token;
mod trust;
mod update;
mod usage;
mod worker;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use marram_edge_ports::PortError;
use marram_types::Sparse;
use smol_str::SmolStr;
use tokio::sync::{Notify, broadcast, watch};

pub use disk::{Disk, FileDisk};
pub use endpoints::Switching;
pub use record::{News, Outcome, OutcomeSource};
pub use reserve::{Reserve, Space};
pub use settings::{EndpointError, Endpoints, KeyToken, Pace, Ports, Program, Restart, Settings};
pub use store::unzip::fuzz_archive;
pub use trust::fuzz_envelope;
pub use usage::{Holding, holdings, most, place, shown};

/// Deployments of one core; a cheap clone.
#[derive(Clone)]
pub struct Deployer {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub settings: Settings,
    pub ports: Ports,
    /// That of the ports, with the room that the core keeps: not for artifacts.
    pub disk: Arc<dyn Disk>,
    pub ledger: Mutex<record::Ledger>,
    pub listeners: Mutex<listeners::Listeners>,
    pub current: Mutex<Option<Current>>,
    /// Something was queued or canceled.
    pub work: Notify,
    /// Something is to be reported.
    pub reports: Notify,
    pub shadow_version: Mutex<source::shadow::Versions>,
    pub news: broadcast::Sender<News>,
    /// What was logged of a deployment that fails.
    pub told: Mutex<Sparse>,
    /// What was logged of questions to the control plane, and answers, that cannot be kept.
    pub told_source: Mutex<Sparse>,
    /// Components whose files are not those that were taken in.
    pub tampered: Mutex<BTreeMap<SmolStr, String>>,
    pub watch: integrity::Watch,
}

/// The deployment in work.
pub(crate) struct Current {
    pub key: String,
    pub cancel: watch::Sender<bool>,
    /// Still before activation.
    pub cancelable: bool,
    /// Network trouble is waited out for ever; a local deployment has somebody waiting for its answer instead.
    pub patient: bool,
    pub waiting_for: Option<String>,
}

/// Why a deployer cannot start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A folder of the root cannot be made.
    #[error("cannot make {path}: {reason}")]
    Folder {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
}

impl Deployer {
    /// Reads what is remembered of earlier deployments and makes the folders of CR 9.1 that are missing.
    ///
    /// # Errors
    /// A folder cannot be made.
    pub fn open(settings: Settings, ports: Ports) -> Result<Self, OpenError> {
        store::make_folders(&settings.root)?;
        let ledger = record::Ledger::read(ports.nucleus.as_ref());
        let disk = Arc::new(disk::Roomy { disk: Arc::clone(&ports.disk), room: Arc::clone(&ports.room) });
        let inner = Inner {
            settings,
            disk,
            ports,
            ledger: Mutex::new(ledger),
            listeners: Mutex::default(),
            current: Mutex::new(None),
            work: Notify::new(),
            reports: Notify::new(),
            shadow_version: Mutex::default(),
            news: broadcast::channel(64).0,
            told: Mutex::default(),
            told_source: Mutex::default(),
            tampered: Mutex::default(),
            watch: integrity::Watch::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Works until dropped: takes deployments from their sources, carries them out, reports.
    pub async fn run(&self) {
        let inner = &self.inner;
        tokio::join!(
            worker::run(inner),
            report::run(inner),
            source::jobs::run(inner),
            source::shadow::run(inner),
            scrub::run(inner),
        );
    }

    /// Beginnings and ends of deployments from now on, for the fleet status.
    pub fn news(&self) -> broadcast::Receiver<News> {
        self.inner.news.subscribe()
    }

    /// Every deployment that is remembered, the oldest first; cloud deployments as well as local ones.
    pub fn deployments(&self) -> Vec<Outcome> {
        let ledger = lock(&self.inner.ledger);
        let mut all: Vec<&record::Record> = ledger.all().collect();
        all.sort_by_key(|record| record.sequence);
        all.into_iter().map(record::Record::outcome).collect()
    }

    /// Components whose artifacts or recipe are not as they were taken in (SEC-157), each with a sentence, as far as was looked.
    pub fn tampered(&self) -> Vec<(SmolStr, String)> {
        lock(&self.inner.tampered).iter().map(|(name, what)| (name.clone(), what.clone())).collect()
    }

    /// Whether documents of the control plane must be signed with a key this core was given.
    pub fn is_signature_demanded(&self) -> bool {
        trust::Trust::read(self.inner.ports.nucleus.as_ref()).is_demanded()
    }

    /// A change of the control plane that is under way, or the last one if it did not succeed.
    pub fn switching(&self) -> Option<Switching> {
        endpoints::standing(&self.inner)
    }

    /// What the deployment in work waits for: its id and a sentence.
    pub fn waiting_for(&self) -> Option<(String, String)> {
        let current = lock(&self.inner.current);
        let current = current.as_ref()?;
        let id = lock(&self.inner.ledger).get(&current.key)?.id.clone();
        Some((id, current.waiting_for.clone()?))
    }
}

impl Inner {
    pub fn now(&self) -> i64 {
        (self.ports.clock)()
    }

    /// Tells `why` what is being waited for.
    pub fn waiting(&self, what: impl Into<String>) {
        if let Some(current) = lock(&self.current).as_mut() {
            current.waiting_for = Some(what.into());
        }
    }

    pub fn waiting_over(&self) {
        if let Some(current) = lock(&self.current).as_mut() {
            current.waiting_for = None;
        }
    }

    /// Changes a record and makes the change durable. What cannot be written did not happen: the record is as before, so whoever
    /// works on it takes it up again.
    pub async fn update(&self, key: &str, change: impl FnOnce(&mut record::Record)) -> Result<(), PortError> {
        let (before, after) = {
            let mut ledger = lock(&self.ledger);
            let Some(record) = ledger.get_mut(key) else { return Ok(()) };
            let before = record.clone();
            change(record);
            (before, record.clone())
        };
        self.ports.disk.step("record").await;
        let written = self.ports.nucleus.put(&record::path_of(key), after.to_text().into()).await;
        if written.is_err() {
            let mut ledger = lock(&self.ledger);
            if let Some(record) = ledger.get_mut(key).filter(|record| **record == after) {
                *record = before;
            }
        }
        written
    }

    /// A setting of the nucleus (CR 7.5).
    pub fn setting(&self, path: &[&str]) -> Option<serde_json::Value> {
        let mut full = vec!["services", marram_deploy::NUCLEUS, "configuration"];
        full.extend_from_slice(path);
        self.ports.nucleus.get(&full)
    }
}

/// A lock that outlives a panic elsewhere: what it guards is always whole between statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
