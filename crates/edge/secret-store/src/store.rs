//! The store: what is asked, what is fetched, what is kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use marram_edge_ports::{Later, PortError, SecretAnswer, SecretQuery, Secrets};
use smol_str::SmolStr;
use tokio::sync::Notify;

use crate::file::{self, VaultError};
use crate::kept::{Kept, Secret};
use crate::root::SealingRoot;
use crate::source::{Source, SourceError};
use marram_parts::{CURRENT, SecretSettings};

/// First and longest time until what failed is tried again.
const RETRY: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(600));

/// The secrets of one core.
pub struct SecretStore {
    dir: PathBuf,
    root: RwLock<Arc<dyn SealingRoot>>,
    source: RwLock<Arc<Source>>,
    state: RwLock<State>,
    /// Held while the file is written.
    saving: tokio::sync::Mutex<()>,
    /// One request to the control plane at a time.
    asking: tokio::sync::Mutex<()>,
    /// Requests that wait for their turn, the one under way included.
    waiting: AtomicUsize,
    reconfigured: Notify,
    /// Secrets that were denied when they were last asked for, and the words of the answer.
    denied: Mutex<BTreeMap<SmolStr, String>>,
}

struct State {
    settings: SecretSettings,
    kept: Kept,
}

impl SecretStore {
    /// Opens what is kept in `dir`, `<root>/work/aws.greengrass.SecretManager` (made 0700 when first needed). A file that
    /// this device key cannot open is given up with a warning; its secrets are fetched again.
    ///
    /// # Errors
    /// The disk or the device key; [`VaultError`].
    pub fn open(
        dir: &Path,
        root: Arc<dyn SealingRoot>,
        source: Source,
        settings: SecretSettings,
    ) -> Result<Self, VaultError> {
        let mut kept = match file::load(dir, root.as_ref()) {
            Err(error @ VaultError::Sealed) => {
                tracing::warn!(%error, "secrets will be fetched again");
                Kept::default()
            }
            loaded => loaded?,
        };
        drop_unconfigured(&mut kept, &settings);
        Ok(Self {
            dir: dir.to_owned(),
            root: RwLock::new(root),
            source: RwLock::new(Arc::new(source)),
            state: RwLock::new(State { settings, kept }),
            saving: tokio::sync::Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            waiting: AtomicUsize::new(0),
            reconfigured: Notify::new(),
            denied: Mutex::default(),
        })
    }

    /// Configured secrets that the core's role may not read, as of the last time they were asked for, with the answer's words.
    pub fn denied(&self) -> Vec<(SmolStr, String)> {
        let denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.read();
        let is_listed = |arn: &SmolStr| state.settings.secrets.iter().any(|entry| entry.arn == *arn);
        denied.iter().filter(|(arn, _)| is_listed(arn)).map(|(arn, words)| (arn.clone(), words.clone())).collect()
    }

    /// Other settings: secrets that are no longer listed are dropped, [`SecretStore::keep_fresh`] refreshes at once.
    pub fn configure(&self, settings: SecretSettings) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        drop_unconfigured(&mut state.kept, &settings);
        state.settings = settings;
        drop(state);
        self.reconfigured.notify_one();
    }

    /// Another control plane, or other trust.
    pub fn set_source(&self, source: Source) {
        *self.source.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(source);
        self.reconfigured.notify_one();
    }

    /// Another device key: what is kept is sealed for it from now on.
    ///
    /// # Errors
    /// The disk or the new key.
    pub async fn set_root(&self, root: Arc<dyn SealingRoot>) -> Result<(), VaultError> {
        *self.root.write().unwrap_or_else(PoisonError::into_inner) = root;
        self.save().await
    }

    /// Fetches every configured secret and label once; answers how many requests failed. What failed keeps its old value.
    ///
    /// # Errors
    /// What was fetched could not be written; it is used meanwhile.
    pub async fn refresh(&self) -> Result<usize, VaultError> {
        let entries = self.read().settings.secrets.clone();
        let (mut failed, mut changed) = (0, false);
        'all: for entry in entries {
            for label in &entry.labels {
                match self.fetch(&entry.arn, label).await {
                    Ok(is_new) => changed |= is_new,
                    Err(error) => {
                        failed += 1;
                        tracing::warn!(%error, secret = %entry.arn, label, "a secret was not fetched");
                        if !error.is_of_this_secret() {
                            // The others would fare no better, and each would wait for its time to be over.
                            break 'all;
                        }
                    }
                }
            }
        }
        if changed || !self.read().kept.0.is_empty() {
            // A fresh data key at every refresh, whether or not a value is new.
            self.save().await?;
        }
        Ok(failed)
    }

    /// Refreshes now, when the settings change, every `periodicRefreshIntervalMin`, and again soon after something failed;
    /// until dropped.
    pub async fn keep_fresh(&self) {
        let mut pause = RETRY.0;
        loop {
            let reconfigured = self.reconfigured.notified();
            let is_complete = match self.refresh().await {
                Ok(failed) => failed == 0,
                Err(error) => {
                    tracing::error!(%error, "secrets are not kept over a restart");
                    false
                }
            };
            let mut every = self.read().settings.refresh_every;
            if is_complete {
                pause = RETRY.0;
            } else {
                every = Some(every.map_or(pause, |every| every.min(pause)));
                pause = (pause * 2).min(RETRY.1);
            }
            match every {
                None => reconfigured.await,
                Some(every) => {
                    // Whichever comes first; both mean the same.
                    let _ = tokio::time::timeout(every, reconfigured).await;
                }
            }
        }
    }

    async fn answer(&self, query: SecretQuery) -> Result<SecretAnswer, PortError> {
        if query.secret_id.is_empty() {
            return Err(PortError::InvalidArguments("SecretId absent in the request".to_owned()));
        }
        if query.version_id.is_some() && query.version_stage.is_some() {
            return Err(PortError::InvalidArguments("Both versionId and Stage are set in the request".to_owned()));
        }
        let configured = self.resolve(&query.secret_id).ok_or_else(|| missing(&query.secret_id, "Secret not found"))?;
        if let Some(id) = &query.version_id {
            return self
                .look(&configured, |secret| secret.by_id(id).map(|version| answer_of(secret, version)))
                .ok_or_else(|| missing(&query.secret_id, &format!("Version Id {id} not found for secret")));
        }
        let stage = query.version_stage.as_deref().unwrap_or(CURRENT);
        let cached =
            || self.look(&configured, |secret| secret.by_stage(stage).map(|version| answer_of(secret, version)));
        let kept = cached();
        let may_ask = self
            .read()
            .settings
            .secrets
            .iter()
            .any(|entry| entry.arn == configured && entry.labels.iter().any(|label| label == stage));
        if may_ask && (query.refresh || kept.is_none()) {
            match self.fetch_queued(&configured, stage).await? {
                Ok(()) => {}
                Err(error) if kept.is_some() => {
                    tracing::warn!(%error, secret = %configured, "the kept value is used");
                    return kept.ok_or_else(|| PortError::service("a kept value is there"));
                }
                Err(error) if error.is_missing() => {}
                Err(error) => return Err(PortError::service(format!("Unable to fetch the secret: {error}"))),
            }
        }
        cached().ok_or_else(|| missing(&query.secret_id, &format!("Version stage {stage} not found for secret")))
    }

    /// Fetches when there is a place in the queue, and keeps what came.
    async fn fetch_queued(&self, configured: &str, stage: &str) -> Result<Result<(), SourceError>, PortError> {
        let most = self.read().settings.queue;
        let _place = Place::take(&self.waiting, most).ok_or_else(|| PortError::service("Unable to queue request"))?;
        match self.fetch(configured, stage).await {
            Ok(is_new) => {
                if is_new {
                    let unsaved = |error: VaultError| {
                        tracing::error!(%error, "a fetched secret is not kept");
                        PortError::service("Unable to keep the fetched secret")
                    };
                    self.save().await.map_err(unsaved)?;
                }
                Ok(Ok(()))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    /// Fetches into memory; true when it is news.
    async fn fetch(&self, configured: &str, stage: &str) -> Result<bool, SourceError> {
        let _turn = self.asking.lock().await;
        let source = Arc::clone(&self.source.read().unwrap_or_else(PoisonError::into_inner));
        let fetched = source.fetch(configured, stage).await;
        self.note(configured, fetched.as_ref().err());
        let fetched = fetched?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        // It may have been dropped from the configuration meanwhile.
        let wanted = state.settings.secrets.iter().any(|entry| entry.arn == configured);
        Ok(wanted && state.kept.take(configured, fetched))
    }

    /// What an answer says of the core's right to a secret; without an answer, what was said before.
    fn note(&self, configured: &str, error: Option<&SourceError>) {
        let mut denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            Some(error) if error.is_denied() => drop(denied.insert(configured.into(), error.to_string())),
            Some(error) if !error.is_of_this_secret() => {}
            _ => drop(denied.remove(configured)),
        }
    }

    async fn save(&self) -> Result<(), VaultError> {
        let _turn = self.saving.lock().await;
        let root = Arc::clone(&self.root.read().unwrap_or_else(PoisonError::into_inner));
        let snapshot = Kept(self.read().kept.0.clone());
        let dir = self.dir.clone();
        // A hardware token takes its time, and so does the disk.
        let written = tokio::task::spawn_blocking(move || {
            let bytes = file::seal(&snapshot, root.as_ref())?;
            file::write(&dir, &bytes)
        });
        written.await.unwrap_or(Err(VaultError::Sealed))
    }

    fn resolve(&self, id: &str) -> Option<String> {
        let state = self.read();
        let configured = state.settings.secrets.iter().map(|entry| entry.arn.as_str());
        state.kept.resolve(id, configured).map(str::to_owned)
    }

    fn look<T>(&self, configured: &str, pick: impl FnOnce(&Secret) -> Option<T>) -> Option<T> {
        self.read().kept.0.get(configured).and_then(pick)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Secrets for SecretStore {
    fn arn_of(&self, secret_id: &str) -> Result<SmolStr, PortError> {
        let configured = self.resolve(secret_id).ok_or_else(|| missing(secret_id, "Secret not found"))?;
        Ok(self.look(&configured, |secret| Some(SmolStr::new(&secret.arn))).unwrap_or_else(|| configured.into()))
    }

    fn get(&self, query: SecretQuery) -> Later<'_, SecretAnswer> {
        Box::pin(self.answer(query))
    }
}

impl std::fmt::Debug for SecretStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretStore").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// A place in the queue of requests.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, most: usize) -> Option<Self> {
        if waiting.fetch_add(1, Ordering::AcqRel) < most {
            return Some(Self(waiting));
        }
        waiting.fetch_sub(1, Ordering::AcqRel);
        None
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn drop_unconfigured(kept: &mut Kept, settings: &SecretSettings) {
    kept.0.retain(|arn, _| settings.secrets.iter().any(|entry| entry.arn == *arn));
}

fn answer_of(secret: &Secret, version: &crate::kept::Version) -> SecretAnswer {
    SecretAnswer {
        arn: secret.arn.clone(),
        version_id: version.id.clone(),
        version_stages: version.stages.clone(),
        value: version.value.payload(),
    }
}

fn missing(id: &str, message: &str) -> PortError {
    PortError::ResourceNotFound {
        message: format!("{message} {id}"),
        resource_type: Some("secret".to_owned()),
        resource_name: Some(id.to_owned()),
    }
}
