//! A cgroup per component: limits, pause, and a kill that nothing escapes (CR 2.11).
//!
//! Groups live in `<own cgroup of the core>/marram-<id>/c.<component>` of the version 2 hierarchy, also where only
//! grouping, freezing and killing are possible because the controllers belong to version 1. A core that may not write
//! there works with sessions and resource limits instead.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::procfs;

/// Limits of a component; none is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ResourceLimits {
    /// Kilobytes of memory.
    pub memory_kb: Option<u64>,
    /// Processors, whole and parts.
    pub cpus: Option<f64>,
}

const CONTROLLERS: [&str; 4] = ["+cpu", "+memory", "+pids", "+io"];
const CPU_PERIOD_DEFAULT_MICROS: f64 = 100_000.0;

/// The groups of one core.
#[derive(Debug)]
pub(crate) struct Cgroups {
    base: PathBuf,
    /// `base` as `/proc/<pid>/cgroup` shows it.
    shown: String,
}

/// The group of one component.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    dir: PathBuf,
}

impl Cgroups {
    /// Makes the base group; none where the hierarchy is missing or not ours to write.
    pub(crate) fn open(id: &str) -> Option<Self> {
        let mount = procfs::cgroup_mount()?;
        let own = procfs::cgroup("self")?;
        let own = own.trim_end_matches('/');
        let parent = PathBuf::from(format!("{mount}{own}"));
        let shown = format!("{own}/marram-{id}");
        let base = parent.join(format!("marram-{id}"));
        make(&base).ok()?;
        // Refused controllers (version 1 has them, or the core itself sits in the parent) only cost the limits.
        for dir in [&parent, &base] {
            for controller in CONTROLLERS {
                let _ = fs::write(dir.join("cgroup.subtree_control"), controller);
            }
        }
        Some(Self { base, shown })
    }

    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    /// The group of a component, made when missing.
    pub(crate) fn enter(&self, component: &str) -> io::Result<Group> {
        let group = self.group(component);
        make(&group.dir)?;
        Ok(group)
    }

    pub(crate) fn group(&self, component: &str) -> Group {
        // The prefix keeps component names apart from the kernel's own files.
        Group { dir: self.base.join(format!("c.{component}")) }
    }

    /// The component whose group a process is in.
    pub(crate) fn component_of(&self, pid: u32) -> Option<String> {
        let path = procfs::cgroup(&pid.to_string())?;
        let rest = path.strip_prefix(&self.shown)?.strip_prefix("/c.")?;
        Some(rest.split('/').next()?.to_owned())
    }
}

/// Kills everything below a base group that an earlier core left behind, and removes it.
pub(crate) fn sweep(base: &Path, patience: Duration) {
    if !base.is_dir() {
        return;
    }
    let group = Group { dir: base.to_owned() };
    if group.populated() {
        tracing::warn!(cgroup = %base.display(), "killing processes that an earlier run left behind");
        group.kill();
        let start = Instant::now();
        while group.populated() && start.elapsed() < patience {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    group.remove();
}

impl Group {
    pub(crate) fn procs_file(&self) -> PathBuf {
        self.dir.join("cgroup.procs")
    }

    pub(crate) fn exists(&self) -> bool {
        self.dir.is_dir()
    }

    /// Processes of the group and the groups that its processes made below it.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let mut pids = Vec::new();
        collect(&self.dir, &mut pids);
        pids
    }

    pub(crate) fn populated(&self) -> bool {
        let events = fs::read_to_string(self.dir.join("cgroup.events")).unwrap_or_default();
        events.lines().any(|line| line == "populated 1")
    }

    pub(crate) fn kill(&self) {
        if fs::write(self.dir.join("cgroup.kill"), "1").is_err() {
            // Before Linux 5.14. A frozen group cannot fork away between the two lines.
            let _ = self.freeze(true);
            for pid in self.pids() {
                crate::children::signal(pid, rustix::process::Signal::KILL);
            }
            let _ = self.freeze(false);
        }
    }

    pub(crate) fn freeze(&self, frozen: bool) -> io::Result<()> {
        fs::write(self.dir.join("cgroup.freeze"), if frozen { "1" } else { "0" })
    }

    /// Applies limits; answers whether memory is held by the group (else the process' own limit must do it).
    pub(crate) fn limit(&self, limits: ResourceLimits) -> io::Result<bool> {
        let cpu_max = self.dir.join("cpu.max");
        if cpu_max.exists() {
            let period = fs::read_to_string(&cpu_max)
                .ok()
                .and_then(|text| text.split_ascii_whitespace().nth(1)?.parse::<f64>().ok())
                .unwrap_or(CPU_PERIOD_DEFAULT_MICROS);
            let quota = limits.cpus.map_or("max".to_owned(), |cpus| format!("{:.0}", (period * cpus).round()));
            fs::write(&cpu_max, format!("{quota} {period:.0}"))?;
        } else if limits.cpus.is_some() {
            tracing::warn!(cgroup = %self.dir.display(), "no cpu controller: the limit on processors has no effect");
        }
        let memory_max = self.dir.join("memory.max");
        if !memory_max.exists() {
            return Ok(false);
        }
        let bytes = limits.memory_kb.map_or("max".to_owned(), |kb| kb.saturating_mul(1024).to_string());
        fs::write(memory_max, bytes)?;
        // The component dies as a whole, so its end is seen and told instead of leaving half of it hanging.
        fs::write(self.dir.join("memory.oom.group"), "1")?;
        Ok(true)
    }

    /// Processes killed for want of memory so far.
    pub(crate) fn oom_kills(&self) -> u64 {
        let events = fs::read_to_string(self.dir.join("memory.events")).unwrap_or_default();
        events.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).unwrap_or(0)
    }

    /// Removes the group and those below; what still holds processes stays.
    pub(crate) fn remove(&self) {
        remove(&self.dir);
    }
}

fn make(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn below(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}

fn collect(dir: &Path, pids: &mut Vec<u32>) {
    let procs = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    pids.extend(procs.lines().filter_map(|line| line.parse::<u32>().ok()));
    below(dir).for_each(|child| collect(&child, pids));
}

fn remove(dir: &Path) {
    below(dir).for_each(|child| remove(&child));
    let _ = fs::remove_dir(dir);
}
