//! A cgroup per component: limits, pause, and a kill that nothing escapes (CR 2.11).
//!
//! Groups live in `<own cgroup of the core>/marram-<id>/c.<component>` of the version 2 hierarchy, also where only
//! grouping, freezing and killing are possible because the controllers belong to version 1; then a group of the same name
//! in each of those holds the limits. A core that may not write there works with sessions and resource limits instead.

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
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// What a group holds by itself; the rest is left to resource limits of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Held {
    pub(crate) memory: bool,
    pub(crate) pids: bool,
}

const CONTROLLERS: [&str; 4] = ["cpu", "memory", "pids", "io"];
/// Controllers of version 1 that limits need.
const LEGACY: [&str; 3] = ["memory", "cpu", "pids"];
/// A process in the middle of a system call stands still when that is over; it is not waited for longer than this.
const FREEZE_PATIENCE: Duration = Duration::from_millis(50);
const CPU_PERIOD_DEFAULT_MICROS: f64 = 100_000.0;

/// The groups of one core.
#[derive(Debug)]
pub(crate) struct Cgroups {
    base: PathBuf,
    /// `base` as `/proc/<pid>/cgroup` shows it.
    shown: String,
    /// Bases in version 1 hierarchies.
    legacy: Vec<PathBuf>,
}

/// The group of one component.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    dir: PathBuf,
    legacy: Vec<PathBuf>,
}

impl Cgroups {
    /// Makes the base group; none where the hierarchy is missing or not ours to write.
    pub(crate) fn open(id: &str) -> Option<Self> {
        let hierarchies = procfs::Hierarchies::read().ok()?;
        let (mount, own) = hierarchies.unified()?;
        let own = own.trim_end_matches('/');
        let parent = PathBuf::from(format!("{mount}{own}"));
        let shown = format!("{own}/marram-{id}");
        let base = parent.join(format!("marram-{id}"));
        make(&base).ok()?;
        [&parent, &base].into_iter().for_each(|dir| delegate(dir));
        let legacy = |controller: &&str| {
            let base = PathBuf::from(hierarchies.legacy(controller)?).join(format!("marram-{id}"));
            make(&base).ok().map(|()| base)
        };
        let missing = |controller: &&&str| !base.join(first_file(controller)).exists();
        let legacy = LEGACY.iter().filter(missing).filter_map(legacy).collect();
        Some(Self { base, shown, legacy })
    }

    /// All base groups, that of version 2 first.
    pub(crate) fn bases(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(&self.base).chain(&self.legacy).map(PathBuf::as_path)
    }

    /// Lets the processes of all components stand still, or go on; one that was frozen for itself stays so. Answers once they do.
    pub(crate) fn freeze(&self, frozen: bool) -> io::Result<()> {
        fs::write(self.base.join("cgroup.freeze"), if frozen { "1" } else { "0" })?;
        let stands = || {
            let events = fs::read_to_string(self.base.join("cgroup.events")).unwrap_or_default();
            events.lines().any(|line| line == "frozen 1")
        };
        let start = Instant::now();
        while frozen && !stands() && start.elapsed() < FREEZE_PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// What groups hold on this host.
    pub(crate) fn held(&self) -> Held {
        let has = |file: &str| self.bases().any(|base| base.join(file).exists());
        Held { memory: has("memory.max") || has("memory.limit_in_bytes"), pids: has("pids.max") }
    }

    /// The group of a component, made when missing.
    pub(crate) fn enter(&self, component: &str) -> io::Result<Group> {
        let group = self.group(component);
        std::iter::once(&group.dir).chain(&group.legacy).try_for_each(|dir| make(dir))?;
        Ok(group)
    }

    pub(crate) fn group(&self, component: &str) -> Group {
        // The prefix keeps component names apart from the kernel's own files.
        let name = format!("c.{component}");
        Group { dir: self.base.join(&name), legacy: self.legacy.iter().map(|base| base.join(&name)).collect() }
    }

    /// The component whose group a process is in.
    pub(crate) fn component_of(&self, pid: u32) -> Option<String> {
        let path = procfs::cgroup(&pid.to_string())?;
        let rest = path.strip_prefix(&self.shown)?.strip_prefix("/c.")?;
        Some(rest.split('/').next()?.to_owned())
    }
}

/// Gives the controllers of a group to the groups below it. Each write holds up the whole hierarchy for up to a millisecond, so none is made
/// without need. One that is refused (version 1 has the controller, or the core itself sits in the group) only costs its limits.
fn delegate(dir: &Path) {
    let words = |file: &str| fs::read_to_string(dir.join(file)).unwrap_or_default();
    let (there, given) = (words("cgroup.controllers"), words("cgroup.subtree_control"));
    let has = |words: &str, controller: &str| words.split_ascii_whitespace().any(|word| word == controller);
    for controller in CONTROLLERS.iter().filter(|name| has(&there, name) && !has(&given, name)) {
        let _ = fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// Kills everything below a base group that an earlier core left behind, and removes it.
pub(crate) fn sweep(base: &Path, patience: Duration) {
    if !base.is_dir() {
        return;
    }
    let group = Group { dir: base.to_owned(), legacy: Vec::new() };
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
    /// What a process writes itself into.
    pub(crate) fn procs_files(&self) -> Vec<PathBuf> {
        std::iter::once(&self.dir).chain(&self.legacy).map(|dir| dir.join("cgroup.procs")).collect()
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

    /// Applies limits; answers what is held by the group (else the process' own limits must do it).
    pub(crate) fn limit(&self, limits: ResourceLimits) -> io::Result<Held> {
        let mut held = Held::default();
        if let Some(file) = self.file("cpu.max") {
            let period = fs::read_to_string(&file)
                .ok()
                .and_then(|text| text.split_ascii_whitespace().nth(1)?.parse::<f64>().ok())
                .unwrap_or(CPU_PERIOD_DEFAULT_MICROS);
            let quota = limits.cpus.map_or("max".to_owned(), |cpus| format!("{:.0}", (period * cpus).round()));
            fs::write(&file, format!("{quota} {period:.0}"))?;
        } else if let Some(file) = self.file("cpu.cfs_quota_us") {
            let period = fs::read_to_string(file.with_file_name("cpu.cfs_period_us"))
                .ok()
                .and_then(|text| text.trim().parse::<f64>().ok())
                .unwrap_or(CPU_PERIOD_DEFAULT_MICROS);
            fs::write(&file, limits.cpus.map_or("-1".to_owned(), |cpus| format!("{:.0}", (period * cpus).round())))?;
        } else if limits.cpus.is_some() {
            tracing::warn!(cgroup = %self.dir.display(), "no cpu controller: the limit on processors has no effect");
        }
        if let Some(file) = self.file("pids.max") {
            fs::write(file, limits.pids.map_or("max".to_owned(), |pids| pids.to_string()))?;
            held.pids = true;
        }
        let bytes = limits.memory_kb.map(|kb| kb.saturating_mul(1024).to_string());
        if let Some(file) = self.file("memory.max") {
            fs::write(&file, bytes.as_deref().unwrap_or("max"))?;
            // The component dies as a whole, so its end is seen and told instead of leaving half of it hanging.
            fs::write(file.with_file_name("memory.oom.group"), "1")?;
            held.memory = true;
        } else if let Some(file) = self.file("memory.limit_in_bytes") {
            fs::write(file, bytes.as_deref().unwrap_or("-1"))?;
            held.memory = true;
        }
        Ok(held)
    }

    /// Processes killed for want of memory so far.
    pub(crate) fn oom_kills(&self) -> u64 {
        let Some(file) = self.file("memory.events").or_else(|| self.file("memory.oom_control")) else { return 0 };
        let events = fs::read_to_string(file).unwrap_or_default();
        events.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).unwrap_or(0)
    }

    /// The place of a file in whichever hierarchy has it.
    fn file(&self, name: &str) -> Option<PathBuf> {
        std::iter::once(&self.dir).chain(&self.legacy).map(|dir| dir.join(name)).find(|file| file.exists())
    }

    /// Removes the group and those below; what still holds processes stays.
    pub(crate) fn remove(&self) {
        remove(&self.dir);
        self.legacy.iter().for_each(|dir| remove(dir));
    }
}

/// A file that tells whether version 2 has a controller here.
fn first_file(controller: &str) -> &'static str {
    match controller {
        "memory" => "memory.max",
        "cpu" => "cpu.max",
        _ => "pids.max",
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
