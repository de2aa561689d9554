//! Whether the files of a component version are those that were taken in: asked before each start of one of its scripts (CR 1.6, SEC-157).
//!
//! The first look in a core's life reads every file. Later ones compare length, inode and times of the last change, which whoever writes
//! to a file changes, and read again when any differs. Files are read in slices by turns, so that a small component does not wait for
//! one that is a gigabyte. Files that appeared beside the known ones, such as those an interpreter leaves, do not matter.
//!
//! What is known lies in `packages/recipes`, which is the core's alone: the recipe's digests, those of files that came without one, and
//! the list of what was unpacked. What an older core unpacked has no such list; it is made from the archive, whose digest is known.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use marram_deploy::Failure;
use marram_edge_ports::{Files, FilesError, Later};
use marram_version::Version;
use smol_str::SmolStr;
use tokio::sync::Semaphore;

use crate::store::{algorithm_of, artifacts, recipes, unpacked};
use crate::{Deployer, Inner, lock, prepare};

/// Bytes that are read before others get their turn.
const SLICE: u64 = 8 * 1024 * 1024;
/// Slices that are read at the same time: most of the threads for blocking work stay free.
const SLICES_AT_ONCE: usize = 2;
/// The longest tick of file times that kernels have: changes within one cannot be told from each other.
const TICK: Duration = Duration::from_millis(20);

/// What was found good before.
pub(crate) struct Watch {
    good: Mutex<BTreeMap<SmolStr, Facts>>,
    turns: Mutex<BTreeMap<SmolStr, Arc<tokio::sync::Mutex<()>>>>,
    slices: Semaphore,
}

impl Default for Watch {
    fn default() -> Self {
        Self { good: Mutex::default(), turns: Mutex::default(), slices: Semaphore::new(SLICES_AT_ONCE) }
    }
}

impl Watch {
    /// Nothing is known to be good any more: a medium that loses bits changes no times.
    pub fn forget(&self) {
        lock(&self.good).clear();
    }

    /// Held while files of a component are looked at, or replaced together with what is known of them.
    pub async fn turn(&self, component: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = Arc::clone(lock(&self.turns).entry(component.into()).or_default());
        turn.lock_owned().await
    }
}

/// A file and the digest it must have.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub path: PathBuf,
    /// Java name.
    pub algorithm: String,
    /// None for a file that nothing is known of yet.
    pub digest: Option<String>,
}

/// A digest over what tells whether files were touched, and the time of the last change among them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Facts {
    digest: Vec<u8>,
    changed: Duration,
}

impl Facts {
    /// Whether a change after these were taken would show in them.
    fn are_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.changed.saturating_add(TICK) < now
    }
}

impl Files for Deployer {
    fn verify<'a>(&'a self, component: &'a str, version: &'a str) -> Later<'a, (), FilesError> {
        Box::pin(verify(&self.inner, component, version))
    }
}

/// Looks, and lets the doctor know.
pub(crate) async fn verify(inner: &Inner, component: &str, version: &str) -> Result<(), FilesError> {
    if marram_deploy::builtin(component).is_some() {
        return Ok(());
    }
    let _turn = inner.watch.turn(component).await;
    let verdict = look(inner, component, version).await;
    let mut tampered = lock(&inner.tampered);
    match &verdict {
        Ok(()) => drop(tampered.remove(component)),
        Err(error) => {
            let before = tampered.insert(component.into(), error.to_string());
            if before.as_ref() != Some(&error.to_string()) {
                tracing::error!(component, version, %error, "files of a component are not those that were taken in");
            }
        }
    }
    verdict
}

async fn look(inner: &Inner, component: &str, version: &str) -> Result<(), FilesError> {
    let root = &inner.settings.root;
    let metadata = recipes::metadata(root, component, version);
    if metadata.is_none() && !recipes::recipe_path(root, component, version).exists() {
        // it was not taken in from a recipe but written into the configuration: there are no files
        return Ok(());
    }
    let is_local = metadata.is_some_and(|metadata| metadata.component_version_arn.is_none());
    let remedy = match is_local {
        true => artifacts::GIVE_AGAIN,
        false => "deploy it again, which fetches it anew",
    };
    let changed = |what: &dyn std::fmt::Display| FilesError::Changed(format!("{what}; {remedy}"));
    let of_recipe = |failure: Failure| changed(&failure.cause);
    let number: Version = version.parse().map_err(|_| changed(&format_args!("{version} is no version")))?;
    let recipe = recipes::load(root, component, &number).map_err(of_recipe)?;
    let Some(manifest) = recipe.manifest_for(&prepare::platform(inner)) else { return Ok(()) };
    let (mut files, archives) = artifacts::expected(inner, &recipe, manifest).map_err(of_recipe)?;
    let mut records = unpacked::read(root, component, version);
    let is_listed = |archive: &artifacts::Archive| {
        records.get(&archive.file).is_some_and(|record| Some(&record.archive) == archive.digest.as_ref())
    };
    let (listed, unlisted): (Vec<_>, Vec<_>) = archives.into_iter().partition(is_listed);
    files.extend(listed.iter().flat_map(|archive| records[&archive.file].expected(&archive.folder)));

    let unreadable = |path: &PathBuf, error: &std::io::Error| {
        let shown = path.strip_prefix(root).unwrap_or(path).display();
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => changed(&format_args!("{shown} is gone")),
            _ if is_no_file(error) => changed(&format_args!("{shown} is no plain file any more")),
            _ => FilesError::Unreadable(format!("{shown} cannot be read: {error}")),
        }
    };
    let failed = |(path, error): (PathBuf, std::io::Error)| unreadable(&path, &error);
    let mut facts = facts_of(&files).await.map_err(failed)?;
    if lock(&inner.watch.good).get(component).is_some_and(|good| good.digest == facts.digest) {
        return Ok(());
    }
    if !facts.are_settled() {
        tokio::time::sleep(TICK).await;
        facts = facts_of(&files).await.map_err(failed)?;
    }
    lock(&inner.watch.good).remove(component);
    let is_settled = facts.are_settled();
    let compare = |files: &[Expected], found: &[String]| {
        for (file, found) in files.iter().zip(found) {
            if let Some(wanted) = file.digest.as_ref().filter(|wanted| *wanted != found) {
                let shown = file.path.strip_prefix(root).unwrap_or(&file.path).display();
                return Err(changed(&format_args!(
                    "{shown} has another content than it came with ({} {found} instead of {wanted})",
                    file.algorithm
                )));
            }
        }
        Ok(())
    };
    let found = digests(inner, files.clone()).await.map_err(failed)?;
    compare(&files, &found)?;
    let mut is_known = unlisted.is_empty();
    for (file, digest) in files.iter().zip(&found).filter(|(file, _)| file.digest.is_none()) {
        is_known = false;
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        artifacts::remember(inner, component, version, &name, digest)
            .await
            .map_err(|failure| FilesError::Unreadable(failure.cause))?;
    }
    for archive in unlisted {
        let path = archive.path.clone();
        let listed = tokio::task::spawn_blocking(move || crate::store::unzip::list(&path)).await;
        let listed = match listed {
            Ok(Ok(listed)) => listed,
            Ok(Err(error)) => return Err(changed(&format_args!("{} cannot be unpacked: {error}", archive.file))),
            Err(_) => return Err(FilesError::Unreadable(format!("{} was not read to its end", archive.file))),
        };
        let digest = files.iter().zip(&found).find(|(file, _)| file.path == archive.path).map(|(_, found)| found);
        let record = unpacked::Record { archive: digest.cloned().unwrap_or_default(), files: listed };
        let inside: Vec<Expected> = record.expected(&archive.folder).collect();
        facts_of(&inside).await.map_err(failed)?;
        let found = digests(inner, inside.clone()).await.map_err(failed)?;
        compare(&inside, &found)?;
        records.insert(archive.file, record);
        unpacked::write(inner.disk.as_ref(), root, component, version, &records)
            .await
            .map_err(|failure| FilesError::Unreadable(failure.cause))?;
    }
    if is_known && is_settled && facts_of(&files).await.map_err(failed)? == facts {
        lock(&inner.watch.good).insert(component.into(), facts);
    }
    Ok(())
}

type Trouble = (PathBuf, std::io::Error);

fn is_no_file(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::InvalidInput || error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

/// What stands about the files without opening them. `InvalidInput` is told of what is no plain file.
async fn facts_of(files: &[Expected]) -> Result<Facts, Trouble> {
    let files = files.to_vec();
    let look = move || {
        let (mut context, mut changed) = (Context::new(&SHA256), Duration::ZERO);
        for file in files {
            let facts = match std::fs::symlink_metadata(&file.path) {
                Ok(facts) if facts.is_file() => facts,
                Ok(_) => return Err((file.path, ErrorKind::InvalidInput.into())),
                Err(error) => return Err((file.path, error)),
            };
            let seconds = |secs: i64, nanos: i64| {
                Duration::new(u64::try_from(secs).unwrap_or(0), u32::try_from(nanos).unwrap_or(0))
            };
            changed = changed.max(seconds(facts.ctime(), facts.ctime_nsec()));
            let line = format!(
                "{}\0{}\0{:?}\0{} {} {} {} {} {} {}\0",
                file.path.display(),
                file.algorithm,
                file.digest,
                facts.len(),
                facts.dev(),
                facts.ino(),
                facts.mtime(),
                facts.mtime_nsec(),
                facts.ctime(),
                facts.ctime_nsec()
            );
            context.update(line.as_bytes());
        }
        Ok(Facts { digest: context.finish().as_ref().to_vec(), changed })
    };
    beside(look).await
}

/// Digests of files, one slice after the other.
async fn digests(inner: &Inner, files: Vec<Expected>) -> Result<Vec<String>, Trouble> {
    let mut reading = Reading { files: files.into_iter(), open: None, found: Vec::new() };
    loop {
        // the semaphore lives as long as the deployer and is never closed
        let Ok(_slice) = inner.watch.slices.acquire().await else { return Ok(reading.found) };
        let (back, done) = beside(move || {
            let done = reading.go_on(SLICE);
            (reading, done)
        })
        .await;
        reading = back;
        if done? {
            return Ok(reading.found);
        }
    }
}

/// File work that does not write, and so need not wait for that which does.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // the runtime is going down: nobody waits for the answer
            Err(_) => std::future::pending().await,
        },
    }
}

struct Reading {
    files: std::vec::IntoIter<Expected>,
    open: Option<(PathBuf, File, Context)>,
    found: Vec<String>,
}

impl Reading {
    /// Reads about `budget` bytes; true when all is read.
    fn go_on(&mut self, budget: u64) -> Result<bool, Trouble> {
        let mut buffer = vec![0; 64 * 1024];
        let mut left = budget;
        while left > 0 {
            let (path, mut file, mut context) = match self.open.take() {
                Some(open) => open,
                None => {
                    let Some(next) = self.files.next() else { return Ok(true) };
                    let context = algorithm_of(&next.algorithm).map(Context::new);
                    let context = context.ok_or_else(|| (next.path.clone(), ErrorKind::Unsupported.into()))?;
                    // neither a link nor a pipe that took its place may lead elsewhere, or hold this up
                    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
                    let file = File::options()
                        .read(true)
                        .custom_flags(i32::try_from(flags.bits()).unwrap_or(0))
                        .open(&next.path);
                    (next.path.clone(), file.map_err(|error| (next.path, error))?, context)
                }
            };
            match file.read(&mut buffer) {
                Ok(0) => {
                    self.found.push(STANDARD.encode(context.finish()));
                    // opening costs as well
                    left = left.saturating_sub(4096);
                }
                Ok(read) => {
                    context.update(&buffer[..read]);
                    left = left.saturating_sub(read as u64);
                    self.open = Some((path, file, context));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => self.open = Some((path, file, context)),
                Err(error) => return Err((path, error)),
            }
        }
        Ok(false)
    }
}
