//! The last good copies of the tree, for the day the database file is damaged (CR 3.7).
//!
//! A copy is one file: the SHA-256 of the tree as JSON with times, then that JSON. The newest whole one is taken.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use marram_configuration::Tree;

/// Copies kept.
const KEPT: usize = 3;

/// At most one copy in this time: a component that writes its configuration all day does not wear out the flash.
pub(super) const INTERVAL: Duration = Duration::from_secs(600);

/// Writes a copy, a tree as JSON with times, durably; removes the oldest beyond three.
pub(super) fn save(dir: &Path, text: &str) -> io::Result<()> {
    let folder = folder(dir);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let present = numbers(&folder)?;
    let number = present.last().map_or(1, |last| last + 1);
    let fresh = folder.join("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(format!("{}\n{text}", checksum(text)).as_bytes())?;
    file.sync_all()?;
    fs::rename(fresh, folder.join(number.to_string()))?;
    for old in present.iter().rev().skip(KEPT - 1) {
        fs::remove_file(folder.join(old.to_string()))?;
    }
    Ok(())
}

/// The newest whole copy.
pub(super) fn newest(dir: &Path) -> Option<Tree> {
    let folder = folder(dir);
    numbers(&folder).ok()?.into_iter().rev().find_map(|number| {
        let text = fs::read_to_string(folder.join(number.to_string())).ok()?;
        let (sum, text) = text.split_once('\n')?;
        if sum != checksum(text) {
            return None;
        }
        Tree::from_timed_value(&serde_json::from_str(text).ok()?).ok()
    })
}

/// Moves a damaged database out of the way, for people to look at.
pub(super) fn set_aside(dir: &Path) -> io::Result<()> {
    for name in ["marram.db", "marram.db-wal", "marram.db-shm"] {
        match fs::rename(dir.join(name), dir.join(format!("{name}.damaged"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn folder(dir: &Path) -> PathBuf {
    dir.join("generations")
}

/// Numbers of the copies, ascending.
fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let entries = fs::read_dir(folder)?.flatten();
    let mut numbers: Vec<u64> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn checksum(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
