//! What `/proc` tells about processes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A process as `/proc/<pid>/stat` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) session: u32,
    /// Clock ticks since boot; tells a process from a later one with the same id.
    pub(crate) started: u64,
    /// Ended, but not yet waited for.
    pub(crate) zombie: bool,
    /// Stopped by a signal.
    pub(crate) stopped: bool,
}

pub(crate) fn stat(pid: u32) -> Option<Stat> {
    parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// All processes that can be seen.
pub(crate) fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// The path below the cgroup v2 root, `/a/b`.
pub(crate) fn cgroup(pid: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    unified_path(&text).map(str::to_owned)
}

/// The cgroup hierarchies of this process, as read once.
pub(crate) struct Hierarchies {
    groups: String,
    mounts: String,
}

impl Hierarchies {
    pub(crate) fn read() -> io::Result<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup")?;
        Ok(Self { groups, mounts: fs::read_to_string("/proc/self/mountinfo")? })
    }

    /// Where the version 2 hierarchy is mounted, and the path of this process' own group in it, `/a/b`.
    pub(crate) fn unified(&self) -> Option<(&str, &str)> {
        let mount = self.mounts.lines().find_map(|line| {
            let (mount, source) = line.split_once(" - ")?;
            let path = mount.split(' ').nth(4)?;
            (source.starts_with("cgroup2 ") && Path::new(path).is_absolute()).then_some(path)
        })?;
        Some((mount, unified_path(&self.groups)?))
    }

    /// The folder of this process' own group in the version 1 hierarchy of a controller.
    pub(crate) fn legacy(&self, controller: &str) -> Option<String> {
        let has = |list: &str| list.split(',').any(|word| word == controller);
        let own = self.groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            has(controllers).then_some(path)
        })?;
        self.mounts.lines().find_map(|line| {
            let (mount, source) = line.split_once(" - ")?;
            let mut fields = mount.split(' ').skip(3);
            let (root, path) = (fields.next()?, fields.next()?);
            let options = source.strip_prefix("cgroup ")?.split(' ').next_back()?;
            // In a container the mount shows only what lies below its root.
            let below = if root == "/" { own } else { own.strip_prefix(root)? };
            has(options).then(|| format!("{path}{}", below.trim_end_matches('/')))
        })
    }
}

fn unified_path(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| line.strip_prefix("0::"))
}

/// System call filters of a process (`Seccomp_filters`, Linux 5.9).
pub(crate) fn filters(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("Seccomp_filters:"))?.trim().parse().ok()
}

/// The program that a process runs.
pub(crate) fn program(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// Differs after each boot.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

fn parse(pid: u32, text: &str) -> Option<Stat> {
    // The program's name stands in parentheses and may itself hold spaces and parentheses.
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    let started = fields.nth(15)?.parse().ok()?;
    Some(Stat { pid, parent, session, started, zombie: matches!(state, "Z" | "X"), stopped: state == "T" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_cannot_forge_its_session() {
        let text = "7 (a) S 1 7 9 0 -1 (b) Z 3 7 8 0 -1 4194560 9 0 0 0 0 0 0 0 20 0 1 0 1234 5 6";
        let expected = Stat { pid: 7, parent: 3, session: 8, started: 1234, zombie: true, stopped: false };
        assert_eq!(parse(7, text), Some(expected));
        let own = stat(std::process::id()).unwrap();
        assert!(!own.zombie && own.started > 0);
        assert_eq!(own.parent, rustix::process::getppid().unwrap().as_raw_nonzero().get().cast_unsigned());
    }
}
