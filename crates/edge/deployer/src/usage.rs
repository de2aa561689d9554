//! Who fills the disk: what components hold in their work folders, their `/tmp` and their logs.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::reserve::Space;

/// Files and folders that are looked at, at most: on a full disk of a million files the answer is a good guess.
const LOOKS_MAX: usize = 200_000;
/// Components that a sentence names.
const NAMED: usize = 3;
/// What holds less is not worth a word, bytes.
const WORTH_BYTES: u64 = 256 * 1024;
/// The core's own log among those of components.
const OWN_LOG: &str = "greengrass";

/// What a component holds on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Which.
    pub component: String,
    /// Bytes in its work folder.
    pub work: u64,
    /// Bytes in what is its `/tmp`.
    pub private: u64,
    /// Bytes of its logs.
    pub logs: u64,
}

impl Holding {
    /// All of it, bytes.
    pub fn total(&self) -> u64 {
        self.work + self.private + self.logs
    }

    /// `com.example.A (work folder 51.2 MB, logs 1.0 MB)`.
    pub fn words(&self) -> String {
        let parts = [("work folder", self.work), ("/tmp", self.private), ("logs", self.logs)];
        let parts = parts.into_iter().filter(|(_, bytes)| *bytes >= WORTH_BYTES);
        let parts: Vec<_> = parts.map(|(what, bytes)| format!("{what} {}", shown(bytes))).collect();
        format!("{} ({})", self.component, parts.join(", "))
    }
}

/// What each component below `root` holds, the most first, those left out that hold next to nothing. Reads the file system: call it off
/// the event loop.
pub fn holdings(root: &Path) -> Vec<Holding> {
    let mut looks = LOOKS_MAX;
    let mut all: BTreeMap<String, Holding> = BTreeMap::new();
    let mut add = |component: String, place: fn(&mut Holding) -> &mut u64, bytes: u64| {
        let empty = || Holding { component: component.clone(), work: 0, private: 0, logs: 0 };
        *place(all.entry(component.clone()).or_insert_with(empty)) += bytes;
    };
    for (folder, place) in
        [("work", (|one| &mut one.work) as fn(&mut Holding) -> &mut u64), ("private", |one| &mut one.private)]
    {
        for entry in fs::read_dir(root.join(folder)).into_iter().flatten().flatten() {
            add(entry.file_name().to_string_lossy().into_owned(), place, held(entry.path(), &mut looks));
        }
    }
    for entry in fs::read_dir(root.join("logs")).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let (Some(component), Ok(facts)) = (writer(&name), entry.metadata()) {
            add(component.to_owned(), |one| &mut one.logs, facts.blocks() * 512);
        }
    }
    let mut all: Vec<Holding> = all.into_values().filter(|one| one.total() >= WORTH_BYTES).collect();
    all.sort_by_key(|one| std::cmp::Reverse(one.total()));
    all
}

/// Bytes that a file or a folder takes up; links and other file systems are not entered.
fn held(path: PathBuf, looks: &mut usize) -> u64 {
    let Ok(top) = path.symlink_metadata() else { return 0 };
    let (mut bytes, mut open) = (0, vec![(path, top.clone())]);
    while let Some((path, facts)) = open.pop() {
        bytes += facts.blocks() * 512;
        if !facts.is_dir() {
            continue;
        }
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            if *looks == 0 {
                return bytes;
            }
            *looks -= 1;
            if let Ok(facts) = entry.metadata()
                && facts.dev() == top.dev()
            {
                open.push((entry.path(), facts));
            }
        }
    }
    bytes
}

/// Whose log a file is: `<component>.log`, or `<component>_yyyy_MM_dd_HH_<i>.log` (CR 7.7).
fn writer(file: &str) -> Option<&str> {
    let base = file.strip_suffix(".log")?;
    let parts: Vec<&str> = base.rsplitn(6, '_').collect();
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let base = match parts.split_last() {
        Some((component, numbers)) if numbers.len() == 5 && numbers.iter().all(is_number) => component,
        _ => base,
    };
    Some(if base == OWN_LOG { "the core" } else { base })
}

/// What is wrong with a full disk.
pub(crate) fn sentence(root: &Path, space: &Space) -> String {
    let holders = most(&holdings(root));
    let files = space.files.filter(|files| *files < 1000).map(|files| format!(", {files} files can be made"));
    let (free, total) = (shown(space.free), shown(space.total));
    let place = place(root);
    format!("the disk is full: {place} has {free} of {total} free{}{holders}", files.unwrap_or_default())
}

/// `; most is held by A (...), B (...)`, or nothing.
pub fn most(holdings: &[Holding]) -> String {
    let named: Vec<_> = holdings.iter().take(NAMED).map(Holding::words).collect();
    if named.is_empty() { String::new() } else { format!("; most is held by {}", named.join(", ")) }
}

/// The file system that `path` lies on: `/var (ext4)`.
pub fn place(path: &Path) -> String {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounts = text.lines().filter_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        let at = mount.split(' ').nth(4)?.replace("\\040", " ");
        Some((at, source.split(' ').next()?))
    });
    // Of mounts at the same place the last one is seen.
    let found = mounts.filter(|(at, _)| path.starts_with(at)).max_by_key(|(at, _)| at.len());
    found.map_or_else(|| path.display().to_string(), |(at, kind)| format!("{at} ({kind})"))
}

/// `51.2 MB`.
pub fn shown(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match UNITS.into_iter().find(|(size, _)| bytes >= *size) {
        Some((size, unit)) => format!("{:.1} {unit}", bytes as f64 / size as f64),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CR 7.7, 9.1: work folders, `/tmp` and logs, those moved aside included, are counted for their component; links lead nowhere.
    #[test]
    fn what_a_component_holds_is_found() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, kib: usize| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![7; kib * 1024]).unwrap();
        };
        write("work/com.a/deep/er/file", 600);
        write("private/com.a/tmp/x", 300);
        write("logs/com.b_x.log", 200);
        write("logs/com.b_x_2026_07_20_10_1.log", 200);
        write("work/com.c/small", 8);
        write("elsewhere", 2000);
        std::os::unix::fs::symlink("../../elsewhere", root.path().join("work/com.c/link")).unwrap();
        let found = holdings(root.path());
        let names: Vec<&str> = found.iter().map(|one| one.component.as_str()).collect();
        assert_eq!(names, ["com.a", "com.b_x"], "{found:?}");
        assert!(found[0].work >= 600 * 1024 && found[0].private >= 300 * 1024 && found[0].logs == 0, "{found:?}");
        assert!(found[1].logs >= 400 * 1024, "{found:?}");
        assert!(most(&found).starts_with("; most is held by com.a (work folder "), "{}", most(&found));
        assert_eq!(shown(51_200_000), "51.2 MB");
    }
}
