//! The durable configuration tree of a core (CR 3).
//!
//! The tree lives in memory; each write changes it, puts the changed places into one SQLite transaction, and is acknowledged
//! and told to watchers once that is on disk. Writers take turns; readers never wait for the disk. A write that the disk
//! refuses is taken back by reading the tree anew.
//!
//! Not here: the rules of merging (`marram-configuration`), what a change asks of a component ([`crate::reaction`]).

mod bounds;
mod dump;
mod generations;
mod import;
mod rows;
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use marram_configuration::{Change, ChangeKind, Tree};
use marram_edge_ports::Room;
use marram_store::{Store, StoreError, StoreOptions};
use marram_types::Sparse;
use serde_json::Value;
use smol_str::SmolStr;
use tokio::sync::Notify;

pub use dump::redacted;
pub use import::{ImportFileError, first_tree, merge_file, read_file};

use watch::Watchers;

/// 2 MiB of write-ahead log: on a full disk it has to do with the room that the core keeps.
const LOG_PAGES: u32 = 512;

/// Why the configuration could not be opened or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigurationError {
    /// The file.
    #[error("configuration store {dir}: {source}")]
    Store {
        /// Its directory.
        dir: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// A row is not what was written.
    #[error("configuration store {dir}: the row of {path} cannot be read")]
    Row {
        /// Its directory.
        dir: PathBuf,
        /// The row's place.
        path: String,
    },
}

/// The tree, its file, and who wants to know.
#[derive(Debug)]
pub struct ConfigurationStore {
    dir: PathBuf,
    store: Store,
    tree: RwLock<Tree>,
    /// Held while a write goes to disk.
    turn: tokio::sync::Mutex<()>,
    watchers: Watchers,
    /// Kept for what the core itself writes.
    room: OnceLock<Arc<dyn Room>>,
    /// What was logged of the dump.
    told: Mutex<Sparse>,
    /// Told after each durable change, for the dump.
    changed: Notify,
}

impl ConfigurationStore {
    /// Opens or creates the store in `dir` (0700). A damaged file is moved aside and the newest good copy takes its place.
    ///
    /// # Errors
    /// [`ConfigurationError`]; `Store(Locked)` when another core runs on it.
    pub fn open(dir: &Path) -> Result<Self, ConfigurationError> {
        let damage = match Self::open_file(dir) {
            Err(
                error @ (ConfigurationError::Row { .. }
                | ConfigurationError::Store { source: StoreError::Corrupt(_), .. }),
            ) => error,
            other => return other,
        };
        let Some(copy) = generations::newest(dir) else { return Err(damage) };
        tracing::error!(error = %damage, "configuration restored from its newest good copy");
        generations::set_aside(dir).map_err(|error| ConfigurationError::Store {
            dir: dir.to_owned(),
            source: StoreError::Io(error.to_string()),
        })?;
        let mut opened = Self::open_file(dir)?;
        let operations = rows::everything(&copy);
        // The caller may be inside a runtime, where a thread must not block on the writer.
        let store = &opened.store;
        let written = std::thread::scope(|scope| {
            scope.spawn(move || store.write_blocking(move |tx| rows::apply(tx, &operations))).join()
        });
        written
            .unwrap_or(Err(StoreError::Panicked))
            .map_err(|source| ConfigurationError::Store { dir: dir.to_owned(), source })?;
        opened.watchers = Watchers::new(&copy);
        opened.tree = RwLock::new(copy);
        Ok(opened)
    }

    fn open_file(dir: &Path) -> Result<Self, ConfigurationError> {
        // One connection of each kind and little cache: the tree is in memory, the file is read once.
        let options = StoreOptions {
            read_connections: 0,
            read_cache_kib: 64,
            write_cache_kib: 128,
            queue: 64,
            max_bytes: None,
            log_pages: LOG_PAGES,
        };
        let failed = |source| ConfigurationError::Store { dir: dir.to_owned(), source };
        let (store, tree) = Store::open_and_read(dir, options, rows::MIGRATIONS, rows::read).map_err(failed)?;
        let tree = tree.map_err(|path| ConfigurationError::Row { dir: dir.to_owned(), path })?;
        let watchers = Watchers::new(&tree);
        Ok(Self {
            dir: dir.to_owned(),
            store,
            tree: RwLock::new(tree),
            turn: tokio::sync::Mutex::new(()),
            room: OnceLock::new(),
            told: Mutex::default(),
            watchers,
            changed: Notify::new(),
        })
    }

    /// From now on the core's own writes use the room that it keeps when the disk is full. The first call counts.
    pub fn keep_room(&self, room: Arc<dyn Room>) {
        // A second room would be that of another core.
        let _ = self.room.set(room);
    }

    /// The room for the core's own writes, when the disk has no other.
    pub(crate) fn room_in_need(&self) -> Option<&Arc<dyn Room>> {
        self.room.get().filter(|room| room.is_full())
    }

    /// The tree as it is; keep the guard short.
    pub fn tree(&self) -> RwLockReadGuard<'_, Tree> {
        self.tree.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing was ever written.
    pub fn is_empty(&self) -> bool {
        self.tree().root().is_empty()
    }

    /// Plain JSON of what is at `path`.
    pub fn read(&self, path: &[&str]) -> Option<Value> {
        self.tree().read(path)
    }

    /// Runs `write`; what it changed is durable, and watchers know, when the future resolves. A write that answers an error
    /// must not have changed the tree.
    ///
    /// # Errors
    /// What `write` answered, or the disk did; then the tree is as before.
    pub async fn write<T, E>(&self, write: impl FnOnce(&mut Tree) -> Result<(T, Vec<Change>), E>) -> Result<T, E>
    where
        E: From<ConfigurationError>,
    {
        self.change(write, true).await
    }

    /// [`ConfigurationStore::write`] on behalf of a component: what the core keeps for itself is not for it.
    ///
    /// # Errors
    /// As there.
    pub async fn write_of_component<T, E>(
        &self,
        write: impl FnOnce(&mut Tree) -> Result<(T, Vec<Change>), E>,
    ) -> Result<T, E>
    where
        E: From<ConfigurationError>,
    {
        self.change(write, false).await
    }

    async fn change<T, E>(
        &self,
        write: impl FnOnce(&mut Tree) -> Result<(T, Vec<Change>), E>,
        is_own: bool,
    ) -> Result<T, E>
    where
        E: From<ConfigurationError>,
    {
        let _turn = self.turn.lock().await;
        let (answer, changes, operations) = {
            let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
            let (answer, changes) = write(&mut tree)?;
            let operations = rows::operations(&tree, &changes);
            (answer, changes, operations)
        };
        self.commit(operations, is_own).await?;
        self.tell(&changes);
        Ok(answer)
    }

    /// Puts another tree in the place of this one; watchers learn what `changes` says.
    ///
    /// # Errors
    /// The disk refused; then the tree is as before.
    pub async fn replace(&self, replace: impl FnOnce(&mut Tree) -> Vec<Change>) -> Result<(), ConfigurationError> {
        let _turn = self.turn.lock().await;
        let (changes, operations) = {
            let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
            let changes = replace(&mut tree);
            // Times move without a change of their own here, so everything is written.
            (changes, rows::everything(&tree))
        };
        self.commit(operations, true).await?;
        self.watchers.tell(&changes);
        self.watchers.refresh_rights(&self.tree());
        self.changed.notify_one();
        Ok(())
    }

    /// Changes of a component's configuration at or below `path` from now on.
    pub fn watch(
        &self,
        component: &str,
        path: &[SmolStr],
    ) -> tokio::sync::mpsc::Receiver<marram_edge_ports::ChangedPath> {
        self.watchers.add(component, path)
    }

    /// `accessControl` of every component.
    pub fn access_control(&self) -> tokio::sync::watch::Receiver<Arc<BTreeMap<SmolStr, Value>>> {
        self.watchers.access_control()
    }

    /// Keeps `effectiveConfig.yaml` and the good copies up to date until dropped: at once, then 5 s after a change; a copy
    /// every ten minutes at most, written by another thread because it waits for the disk.
    pub async fn keep_dump(&self) {
        let mut copied: Option<tokio::time::Instant> = None;
        loop {
            let changed = self.changed.notified();
            self.dump();
            if copied.is_none_or(|at| at.elapsed() >= generations::INTERVAL) {
                copied = Some(tokio::time::Instant::now());
                let copy = self.copy();
                // A panic in there is reported by the runtime; the next copy is tried all the same.
                let _ = tokio::task::spawn_blocking(copy).await;
            }
            changed.await;
            tokio::time::sleep(dump::DEBOUNCE).await;
        }
    }

    /// The work of writing a good copy of the tree, of which the newest three are kept.
    fn copy(&self) -> impl FnOnce() + Send + 'static {
        let (dir, text) = (self.dir.clone(), self.tree().to_timed_value().to_string());
        move || {
            if let Err(error) = generations::save(&dir, &text) {
                tracing::warn!(%error, "cannot write a copy of the configuration");
            }
        }
    }

    /// Writes `effectiveConfig.yaml`: for people, secrets redacted, never read back.
    pub fn dump(&self) {
        let value = redacted(self.tree().to_public_value());
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match dump::write(&self.dir, &value) {
            Ok(()) => told.is_over(),
            Err(error) if told.is_worth_telling(&error.to_string()) => {
                tracing::warn!(%error, "cannot write effectiveConfig.yaml");
            }
            Err(_) => {}
        }
    }

    /// Commits what is queued and closes the file.
    pub fn close(&self) {
        self.store.close();
    }

    async fn commit(&self, operations: Vec<rows::Operation>, is_own: bool) -> Result<(), ConfigurationError> {
        if operations.is_empty() {
            return Ok(());
        }
        let operations = Arc::new(operations);
        let write = || {
            let operations = Arc::clone(&operations);
            self.store.write(move |tx| rows::apply(tx, &operations))
        };
        let mut done = write().await;
        if is_own
            && matches!(done, Err(StoreError::NoSpace | StoreError::Io(_)))
            && let Some(_open) = self.room.get().and_then(|room| room.open())
        {
            done = write().await;
        }
        if let Err(source) = done {
            match self.store.read(rows::read) {
                Ok(Ok(stored)) => *self.tree.write().unwrap_or_else(PoisonError::into_inner) = stored,
                Ok(Err(path)) => tracing::error!(path, "the configuration in memory is ahead of a damaged disk"),
                Err(error) => tracing::error!(%error, "the configuration in memory is ahead of the disk"),
            }
            return Err(ConfigurationError::Store { dir: self.dir.clone(), source });
        }
        Ok(())
    }

    fn tell(&self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        self.watchers.tell(changes);
        if changes.iter().any(Watchers::may_change_rights) {
            self.watchers.refresh_rights(&self.tree());
        }
        if changes.iter().any(|change| change.kind != ChangeKind::TimestampUpdated) {
            self.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
