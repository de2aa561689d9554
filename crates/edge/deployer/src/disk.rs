//! Files: written whole or not at all.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use marram_deploy::{ErrorCode, Failure};

/// A future of this seam.
pub type Step<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Durable steps of the deployer, so that a test can end time before any of them or fill the disk.
pub trait Disk: Send + Sync {
    /// Called before each durable step; an ordinary disk does nothing here.
    fn step<'a>(&'a self, _what: &'static str) -> Step<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Writes `bytes` to `path`: after a crash the file is the old one or the new one.
    fn write<'a>(&'a self, path: &'a Path, bytes: Vec<u8>) -> Step<'a, std::io::Result<()>>;

    /// Bytes that can still be written below `path`.
    fn free_bytes(&self, path: &Path) -> u64;

    /// Sets room in `root` aside for the core's own writes, unless it is there already or room is short.
    fn keep_reserve(&self, _root: &Path) {}

    /// Gives that room up after a write failed. True: the disk is full and there was something to give up, so a write may succeed now.
    fn give_up_reserve(&self, _root: &Path) -> bool {
        false
    }
}

/// The reserve's file in the root.
const RESERVE: &str = ".reserve";
/// Holds the records, configuration and reports of a deployment several times over.
const RESERVE_BYTES: u64 = 8 * 1024 * 1024;
/// Free bytes from which the reserve is taken: what is left lies above the bound of `DISK_SPACE_CRITICAL` (20 MiB).
const RESERVE_FROM: u64 = 4 * RESERVE_BYTES;
/// Fewer free bytes than this, and a write that failed is held to have failed for want of room.
const SCARCE: u64 = 1024 * 1024;
/// Between two looks whether there is room for the reserve again.
const RESERVE_EVERY: std::time::Duration = std::time::Duration::from_secs(60);

/// Keeps the reserve, for ever.
pub(crate) async fn keep_reserve(inner: &crate::Inner) {
    loop {
        let (disk, root) = (inner.ports.disk.clone(), inner.settings.root.clone());
        blocking(move || disk.keep_reserve(&root)).await;
        tokio::time::sleep(RESERVE_EVERY).await;
    }
}

/// Called after a durable write failed: makes room from the reserve if the disk is full. True: there is room now.
pub(crate) async fn make_room(inner: &crate::Inner) -> bool {
    let (disk, root) = (inner.ports.disk.clone(), inner.settings.root.clone());
    let made = blocking(move || disk.give_up_reserve(&root)).await;
    if made {
        tracing::error!("the disk is full: the room kept for the core's own writes is given up");
    }
    made
}

/// The real one.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileDisk;

impl Disk for FileDisk {
    fn write<'a>(&'a self, path: &'a Path, bytes: Vec<u8>) -> Step<'a, std::io::Result<()>> {
        let path = path.to_owned();
        Box::pin(async move { blocking(move || write_whole(&path, &bytes)).await })
    }

    fn free_bytes(&self, path: &Path) -> u64 {
        rustix::fs::statvfs(path).map_or(0, |facts| facts.f_bavail.saturating_mul(facts.f_frsize))
    }

    fn keep_reserve(&self, root: &Path) {
        let path = root.join(RESERVE);
        if path.metadata().is_ok_and(|facts| facts.len() == RESERVE_BYTES) || self.free_bytes(root) < RESERVE_FROM {
            return;
        }
        let kept = std::fs::File::create(&path)
            .and_then(|file| Ok(rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, RESERVE_BYTES)?));
        if let Err(error) = kept {
            tracing::debug!(%error, "no room can be set aside for the core's own writes");
            let _ = std::fs::remove_file(&path);
        }
    }

    fn give_up_reserve(&self, root: &Path) -> bool {
        self.free_bytes(root) < SCARCE && std::fs::remove_file(root.join(RESERVE)).is_ok()
    }
}

/// File work goes one after the other: a canceled deployment's last write ends before the next one's first begins.
static LANE: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Runs file work beside the event loop. It runs to its end also when nobody waits for it any more.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let in_lane = move || {
        let _lane = crate::lock(&LANE);
        work()
    };
    match tokio::task::spawn_blocking(in_lane).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // the runtime is going down: nobody waits for the answer
            Err(_) => std::future::pending().await,
        },
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let part = part_of(path);
    let mut file = std::fs::File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    rename_durably(&part, path)
}

/// Renames and makes the folder's entry durable.
pub(crate) fn rename_durably(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::rename(from, to)?;
    match to.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Name of a file that is not finished yet.
pub(crate) fn part_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}

/// A failed write as a deployment's failure.
pub(crate) fn write_failure(path: &Path, error: &std::io::Error) -> Failure {
    let full = matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
    let code = if full { ErrorCode::DiskSpaceCritical } else { ErrorCode::IoWriteError };
    Failure::of(&[ErrorCode::IoError, code], format!("cannot write {}: {error}", path.display()))
}

/// A failed read as a deployment's failure.
pub(crate) fn read_failure(path: &Path, error: &std::io::Error) -> Failure {
    Failure::of(&[ErrorCode::IoError, ErrorCode::IoReadError], format!("cannot read {}: {error}", path.display()))
}
