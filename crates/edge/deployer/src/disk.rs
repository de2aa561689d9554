//! Files: written whole or not at all.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use marram_deploy::{ErrorCode, Failure};
use marram_edge_ports::Room;

/// A future of this seam.
pub type Step<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Durable steps of the deployer, so that a test can end time before any of them or fill the disk.
pub trait Disk: Send + Sync {
    /// Called before each durable step; an ordinary disk does nothing here.
    fn step<'a>(&'a self, _what: &'static str) -> Step<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Writes `bytes` to `path`: after a crash the file is the old one or the new one.
    fn write<'a>(&'a self, path: &'a Path, bytes: Bytes) -> Step<'a, std::io::Result<()>>;

    /// Bytes that can still be written below `path`.
    fn free_bytes(&self, path: &Path) -> u64;
}

/// A disk that uses the room which the core keeps when there is no other.
pub(crate) struct Roomy {
    pub disk: Arc<dyn Disk>,
    pub room: Arc<dyn Room>,
}

impl Disk for Roomy {
    fn step<'a>(&'a self, what: &'static str) -> Step<'a, ()> {
        self.disk.step(what)
    }

    fn write<'a>(&'a self, path: &'a Path, bytes: Bytes) -> Step<'a, std::io::Result<()>> {
        Box::pin(async move {
            match self.disk.write(path, bytes.clone()).await {
                Err(error) if is_full(&error) => match self.room.open() {
                    Some(_open) => self.disk.write(path, bytes).await,
                    None => Err(error),
                },
                done => done,
            }
        })
    }

    fn free_bytes(&self, path: &Path) -> u64 {
        self.disk.free_bytes(path).saturating_add(self.room.kept_bytes())
    }
}

/// Makes a folder, in the room that the core keeps if need be.
pub(crate) fn make_folder(room: &dyn Room, path: &Path) -> std::io::Result<()> {
    match std::fs::create_dir_all(path) {
        Err(error) if is_full(&error) => match room.open() {
            Some(_open) => std::fs::create_dir_all(path),
            None => Err(error),
        },
        done => done,
    }
}

/// Whether a write failed because there is no room.
fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

/// The real one.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileDisk;

impl Disk for FileDisk {
    fn write<'a>(&'a self, path: &'a Path, bytes: Bytes) -> Step<'a, std::io::Result<()>> {
        let path = path.to_owned();
        Box::pin(async move { blocking(move || write_whole(&path, &bytes)).await })
    }

    fn free_bytes(&self, path: &Path) -> u64 {
        rustix::fs::statvfs(path).map_or(0, |facts| facts.f_bavail.saturating_mul(facts.f_frsize))
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
    let written = std::fs::File::create(&part).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written {
        // Half of it would only make the disk fuller.
        let _ = std::fs::remove_file(&part);
        return Err(error);
    }
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
    let code = if is_full(error) { ErrorCode::DiskSpaceCritical } else { ErrorCode::IoWriteError };
    Failure::of(&[ErrorCode::IoError, code], format!("cannot write {}: {error}", path.display()))
}

/// A failed read as a deployment's failure.
pub(crate) fn read_failure(path: &Path, error: &std::io::Error) -> Failure {
    Failure::of(&[ErrorCode::IoError, ErrorCode::IoReadError], format!("cannot read {}: {error}", path.display()))
}
