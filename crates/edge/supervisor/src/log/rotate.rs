//! Moving full log files aside and removing the oldest.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use marram_types::Timestamp;

use super::base;

/// Opens a log file for appending, readable by its owner alone. A symbolic link is not followed.
pub(super) fn private(path: &Path) -> io::Result<File> {
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(no_follow).open(path)
}

/// `2026_07_20_10`, the hour in the name of a file that was moved aside; UTC.
pub(super) fn hour(now: Timestamp) -> String {
    now.rfc3339().get(..13).unwrap_or_default().replace(['-', 'T'], "_")
}

/// Renames `path` to `<base>_<hour>_<i>.log` with the next free number.
pub(super) fn aside(path: &Path, hour: &str) -> io::Result<()> {
    let next = rotated(path)?
        .into_iter()
        .filter_map(|(file, ..)| {
            let (prefix, number) = base(&file).rsplit_once('_')?;
            prefix.ends_with(hour).then(|| number.parse::<u64>().ok())?
        })
        .max()
        .map_or(0, |highest| highest + 1);
    fs::rename(path, path.with_file_name(format!("{}_{hour}_{next}.log", base(path))))
}

/// Removes the oldest moved files until what remains, and one file being written, fit into `total` bytes.
pub(super) fn trim(path: &Path, total: u64) -> io::Result<()> {
    let mut files = rotated(path)?;
    files.sort_by(|(file_a, at_a, _), (file_b, at_b, _)| at_a.cmp(at_b).then_with(|| file_a.cmp(file_b)));
    let mut bytes: u64 = files.iter().map(|(_, _, bytes)| bytes).sum();
    for (file, _, size) in files {
        if bytes <= total {
            break;
        }
        fs::remove_file(file)?;
        bytes -= size;
    }
    Ok(())
}

/// The moved files of `path` with their times and sizes.
fn rotated(path: &Path) -> io::Result<Vec<(PathBuf, SystemTime, u64)>> {
    let prefix = format!("{}_", base(path));
    let mut files = Vec::new();
    for entry in fs::read_dir(path.parent().unwrap_or(Path::new(".")))? {
        let entry = entry?;
        let file = entry.path();
        // `a_b` is another component than `a`: only a date and a number may follow the prefix.
        let is_date =
            |rest: &str| rest.split('_').count() == 5 && rest.split('_').all(|part| part.parse::<u64>().is_ok());
        if base(&file).strip_prefix(&prefix).is_some_and(is_date) {
            let found = entry.metadata()?;
            files.push((file, found.modified()?, found.len()));
        }
    }
    Ok(files)
}
