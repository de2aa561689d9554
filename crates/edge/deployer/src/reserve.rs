//! Room on the disk that the core keeps for itself, and whether there is any other (CR 4.8).
//!
//! The reserve is a folder of files of a fixed size in the root. A write of the core's own that the disk refuses opens it: the files go,
//! components stand still, the write is tried again, and what it left is made into files again before components go on. So nobody but the
//! core ever has that room, however hard a component tries to fill it. Files rather than one file, because a disk can run out of inodes
//! as well.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use marram_edge_ports::Room;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use tokio::sync::watch;

use crate::{lock, usage};

/// The reserve's folder in the root.
const FOLDER: &str = ".reserve";
/// Together they hold the records, configuration and reports of some deployments.
const FILES: usize = 16;
const FILE_BYTES: u64 = 512 * 1024;
/// What a file system gives at least.
const PAGE_BYTES: u64 = 4096;
/// At most this part of what is free is kept.
const SHARE: u64 = 4;
/// Fewer free bytes than this, and the disk is full.
const SCARCE_BYTES: u64 = 1024 * 1024;
/// Fewer free inodes than this, and it is full as well.
const SCARCE_FILES: u64 = 16;
/// So many free bytes, and it is not full any more.
const EASE_BYTES: u64 = 4 * SCARCE_BYTES;
/// Between two looks at the disk.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Looks between two tries to make the reserve whole.
const MEND_EVERY: u32 = 12;

/// What the file system of the root says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes of the file system.
    pub total: u64,
    /// Bytes that can be written, without the reserve.
    pub free: u64,
    /// Files that can be made; none where the file system does not count them.
    pub files: Option<u64>,
}

impl Space {
    /// Asks the file system of `path`; none when it does not answer.
    pub fn of(path: &Path) -> Option<Self> {
        let facts = statvfs(path).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(facts.f_frsize);
        let files = (facts.f_files > 0).then_some(facts.f_favail);
        Some(Self { total: bytes(facts.f_blocks), free: bytes(facts.f_bavail), files })
    }

    /// Whether nothing more can be written.
    pub fn is_full(&self) -> bool {
        self.free < SCARCE_BYTES || self.lacks_files()
    }

    fn lacks_files(&self) -> bool {
        self.files.is_some_and(|files| files < SCARCE_FILES)
    }

    /// Whether there is room again after it was full.
    fn is_eased(&self) -> bool {
        self.free >= EASE_BYTES && self.files.is_none_or(|files| files >= 4 * SCARCE_FILES)
    }
}

type Still = Box<dyn Fn(bool) + Send + Sync>;

/// The reserve of one root; a cheap clone.
#[derive(Clone)]
pub struct Reserve {
    inner: Arc<Inner>,
}

struct Inner {
    root: PathBuf,
    /// How often it is open now, and how many files it had.
    open: Mutex<(usize, usize)>,
    /// Lets components stand still, or go on.
    still: OnceLock<Still>,
    trouble: watch::Sender<Option<String>>,
}

impl std::fmt::Debug for Reserve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reserve").field("root", &self.inner.root).finish_non_exhaustive()
    }
}

impl Reserve {
    /// Of a root that is there already; nothing is written yet.
    pub fn new(root: &Path) -> Self {
        let inner = Inner {
            root: root.to_owned(),
            open: Mutex::default(),
            still: OnceLock::new(),
            trouble: watch::Sender::new(None),
        };
        Self { inner: Arc::new(inner) }
    }

    /// How components are kept from writing while the reserve is open. The first call counts.
    pub fn set_still(&self, still: impl Fn(bool) + Send + Sync + 'static) {
        // There is one supervisor.
        let _ = self.inner.still.set(Box::new(still));
    }

    /// Takes back what a life of this core that ended in the middle of a write had given up. Before components run: they would take it.
    pub fn restore(&self) {
        let open = lock(&self.inner.open);
        let known = (0..FILES).filter(|number| self.inner.file(*number).exists()).count();
        if open.0 == 0 && self.inner.kept_bytes() < known as u64 * FILE_BYTES {
            self.inner.fill(known);
        }
    }

    /// What the file system says; the reserve counts as used.
    pub fn space(&self) -> Option<Space> {
        let _closed = lock(&self.inner.open);
        Space::of(&self.inner.root)
    }

    /// A sentence while the disk is full.
    pub fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.inner.trouble.subscribe()
    }

    /// Keeps the reserve and looks at the disk, for ever.
    pub async fn keep(&self) {
        let mut looks = 0;
        loop {
            let has_changed = self.look().await;
            if has_changed || looks % MEND_EVERY == 0 {
                let inner = Arc::clone(&self.inner);
                // A panic in there is reported by the runtime.
                let _ = tokio::task::spawn_blocking(move || inner.mend()).await;
            }
            looks += 1;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Tells when the disk is full, and when it is no more; answers whether that changed.
    async fn look(&self) -> bool {
        let Some(space) = self.space() else { return false };
        let was_full = self.inner.trouble.borrow().is_some();
        if !was_full && space.is_full() {
            let root = self.inner.root.clone();
            let words = tokio::task::spawn_blocking(move || usage::sentence(&root, &space)).await;
            let words = words.unwrap_or_else(|_| "the disk is full".to_owned());
            tracing::error!("{words}; the core goes on with the room that it keeps for itself");
            self.inner.trouble.send_replace(Some(words));
            true
        } else if was_full && space.is_eased() {
            tracing::info!(free = space.free, "there is room on the disk again");
            self.inner.trouble.send_replace(None);
            true
        } else {
            false
        }
    }
}

impl Room for Reserve {
    fn is_full(&self) -> bool {
        let open = lock(&self.inner.open);
        open.0 > 0 || Space::of(&self.inner.root).is_some_and(|space| space.is_full())
    }

    fn kept_bytes(&self) -> u64 {
        self.inner.kept_bytes()
    }

    fn open(&self) -> Option<Box<dyn Send>> {
        let mut open = lock(&self.inner.open);
        if open.0 == 0 {
            let files = self.inner.files();
            if files.is_empty() || !Space::of(&self.inner.root)?.is_full() {
                return None;
            }
            self.inner.stand_still(true);
            open.1 = files.len();
            // An empty file tells a later life of this core what there was; where inodes are short it must not stay.
            let space = Space::of(&self.inner.root);
            let lacks_files = space.is_some_and(|space| space.lacks_files());
            files.iter().for_each(|(file, _)| drop(if lacks_files { fs::remove_file(file) } else { empty(file) }));
        }
        open.0 += 1;
        Some(Box::new(Opened { inner: Arc::clone(&self.inner) }))
    }
}

/// While it lives the room is there for whoever writes.
struct Opened {
    inner: Arc<Inner>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        let mut open = lock(&self.inner.open);
        open.0 -= 1;
        if open.0 == 0 {
            self.inner.fill(open.1);
            self.inner.stand_still(false);
        }
    }
}

impl Inner {
    fn stand_still(&self, still: bool) {
        if let Some(all) = self.still.get() {
            all(still);
        }
    }

    /// Files of the reserve that hold room, with their bytes.
    fn files(&self) -> Vec<(PathBuf, u64)> {
        let sized = |file: PathBuf| file.metadata().ok().map(|facts| (file, facts.len()));
        (0..FILES).filter_map(|number| sized(self.file(number))).filter(|(_, bytes)| *bytes > 0).collect()
    }

    fn file(&self, number: usize) -> PathBuf {
        self.root.join(FOLDER).join(number.to_string())
    }

    fn kept_bytes(&self) -> u64 {
        self.files().iter().map(|(_, bytes)| bytes).sum()
    }

    /// Makes the reserve as large as what is free allows.
    fn mend(&self) {
        let open = lock(&self.open);
        if open.0 > 0 {
            return;
        }
        let Some(space) = Space::of(&self.root).filter(Space::is_eased) else { return };
        let kept = self.kept_bytes();
        let most = space.free.saturating_add(kept) / SHARE / FILE_BYTES;
        let wanted = FILES.min(usize::try_from(most).unwrap_or(FILES));
        if kept < wanted as u64 * FILE_BYTES {
            self.fill(wanted);
        }
    }

    /// Makes the first `wanted` files whole, or as long as there is room.
    fn fill(&self, wanted: usize) {
        let folder = self.root.join(FOLDER);
        if let Err(error) = DirBuilder::new().mode(0o700).create(&folder)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            tracing::debug!(%error, "no room can be kept for the core's own writes");
            return;
        }
        for number in 0..wanted {
            match occupy(&self.file(number)) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::debug!(%error, "less room is kept for the core's own writes");
                    return;
                }
            }
        }
    }
}

/// Gives up the room of a file, not its name.
fn empty(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).truncate(true).open(path).map(drop)
}

/// Makes a file as long as it ought to be, or as there is room for, to the last page: what is left would be taken by others. Answers whether
/// it is whole.
fn occupy(path: &Path) -> io::Result<bool> {
    let file: File = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let mut bytes = file.metadata()?.len();
    let mut step = FILE_BYTES.saturating_sub(bytes);
    while step >= PAGE_BYTES {
        let taken = match fallocate(&file, FallocateFlags::empty(), bytes, step) {
            Err(rustix::io::Errno::OPNOTSUPP) => file.write_all_at(&vec![0; step as usize], bytes),
            done => done.map_err(io::Error::from),
        };
        match taken {
            Ok(()) => {
                bytes += step;
                step = step.min(FILE_BYTES - bytes);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                step = step / 2 / PAGE_BYTES * PAGE_BYTES;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(bytes >= FILE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CR 4.8: of a disk with room a quarter at most is kept, in whole files, and what was taken by others is not taken again.
    #[test]
    fn the_reserve_is_kept_and_not_given_up_without_need() {
        let root = tempfile::tempdir().unwrap();
        let reserve = Reserve::new(root.path());
        assert_eq!(reserve.kept_bytes(), 0);
        reserve.inner.mend();
        let kept = reserve.kept_bytes();
        let most = Space::of(root.path()).unwrap().free / SHARE + kept;
        assert!(kept > 0 && kept <= FILES as u64 * FILE_BYTES && kept <= most, "{kept}");
        assert!(!reserve.is_full());
        assert!(reserve.open().is_none(), "given up although there is room");
        assert_eq!(reserve.kept_bytes(), kept);
        fs::remove_file(reserve.inner.file(0)).unwrap();
        fs::write(reserve.inner.file(1), "torn").unwrap();
        assert_eq!(reserve.kept_bytes(), kept - 2 * FILE_BYTES + 4);
        reserve.inner.mend();
        assert_eq!(reserve.kept_bytes(), kept);
        empty(&reserve.inner.file(0)).unwrap();
        let later = Reserve::new(root.path());
        assert_eq!(later.kept_bytes(), kept - FILE_BYTES);
        later.restore();
        assert_eq!(later.kept_bytes(), kept);
    }
}
