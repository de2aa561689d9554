//! The door: start a step, stop a component, pause it, tell whose a process is.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, lchown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use marram_egress::{Ledger, Local};
use marram_launch::{Bounds, Limit, Offer};
use rustix::process::Signal;
use smol_str::SmolStr;
use tokio::process::Command;

use crate::cgroup::{Cgroups, Group, Held, ResourceLimits};
use crate::children::{Sessions, signal, sweep_recorded};
use crate::log::{ComponentLog, Level, Logs};
use crate::networks::Networks;
use crate::process::{StartError, StepLaunch, StepProcess, copy_output};
use crate::procfs;
use crate::sandbox::{self, SandboxError};

/// Between SIGTERM and SIGKILL, and again until the core gives up waiting (CR 2.8).
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// How often a dying component is looked at, at first and at most.
const POLL_MIN: Duration = Duration::from_millis(2);
const POLL_MAX: Duration = Duration::from_millis(50);

/// The program that binds itself and becomes the component.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// Absolute path.
    pub program: PathBuf,
    /// Arguments before the bounds, when another program answers as launcher.
    pub arguments: Vec<OsString>,
    /// The soft limit of open files that components have; none: the core's own, which it did not raise.
    pub open_files: Option<u64>,
}

impl Launcher {
    /// Asks the launcher what this host offers. One that cannot answer offers nothing, and says so when it is used.
    fn probe(&self) -> Offer {
        match self.ask(marram_launch::PROBE) {
            Ok(answer) => Offer::parse(&answer).unwrap_or_default(),
            Err(error) => {
                tracing::error!(program = %self.program.display(), %error, "the launcher cannot be started");
                Offer::default()
            }
        }
    }

    /// Why this host has no networks for components.
    pub(crate) fn probe_network(&self) -> Option<String> {
        let obstacle = match self.ask(marram_launch::PROBE_NETWORK) {
            Ok(answer) => answer.trim().to_owned(),
            Err(error) => format!("the launcher cannot be started: {error}"),
        };
        Some(obstacle).filter(|obstacle| !obstacle.is_empty())
    }

    fn ask(&self, question: &str) -> io::Result<String> {
        let output = std::process::Command::new(&self.program)
            .args(&self.arguments)
            .arg(question)
            .env_clear()
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Ends what an earlier run with this record left behind, as [`Supervisor::new`] does, before anything is written. Blocks until it is dead.
pub fn sweep(record: &Path) {
    sweep_recorded(record, STOP_PATIENCE);
}

/// A supervisor could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep the record of processes {file}: {source}")]
pub struct SupervisorError {
    /// The record.
    pub file: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Starts and ends the processes of all components; a cheap clone.
#[derive(Debug, Clone)]
pub struct Supervisor {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    launcher: Launcher,
    logs: Arc<Logs>,
    cgroups: Option<Cgroups>,
    sessions: Sessions,
    /// Asked for when it is first needed: a process takes longer than the rest of a core's start.
    offer: OnceLock<Offer>,
    networks: Arc<Networks>,
    /// Processes that [`Supervisor::stand_still`] stopped.
    stopped: Mutex<Vec<u32>>,
}

impl Supervisor {
    /// `id` names this core among those of the host; `record` is a file in a private directory. Blocks until what an
    /// earlier run with the same record left behind is dead.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn new(launcher: Launcher, logs: Arc<Logs>, id: &str, record: &Path) -> Result<Self, SupervisorError> {
        sweep_recorded(record, STOP_PATIENCE);
        let cgroups = Cgroups::open(id);
        if cgroups.is_none() {
            tracing::info!("no cgroup can be written: components are held by sessions and resource limits");
        }
        Self::with(launcher, logs, cgroups, record)
    }

    /// As [`Supervisor::new`], with sessions and resource limits alone, also where cgroups could be written.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn without_cgroups(launcher: Launcher, logs: Arc<Logs>, record: &Path) -> Result<Self, SupervisorError> {
        sweep_recorded(record, STOP_PATIENCE);
        Self::with(launcher, logs, None, record)
    }

    fn with(
        launcher: Launcher,
        logs: Arc<Logs>,
        cgroups: Option<Cgroups>,
        record: &Path,
    ) -> Result<Self, SupervisorError> {
        let sessions = Sessions::open(record.to_owned(), cgroups.iter().flat_map(Cgroups::bases))
            .map_err(|source| SupervisorError { file: record.to_owned(), source })?;
        Ok(Self {
            inner: Arc::new(Inner {
                launcher,
                logs,
                cgroups,
                sessions,
                offer: OnceLock::new(),
                networks: Arc::default(),
                stopped: Mutex::default(),
            }),
        })
    }

    /// What the host offers to sandboxes. The first caller waits for a short process, and what is missing is logged then.
    pub fn offer(&self) -> Offer {
        *self.inner.offer.get_or_init(|| {
            let offer = self.inner.launcher.probe();
            let lacking = sandbox::lacking(offer);
            if !lacking.is_empty() {
                tracing::warn!(lacking = lacking.join(", "), "components run in sandboxes with layers missing");
            }
            offer
        })
    }

    /// Why components that declare where they connect cannot be held to it, and do not start; none: they can. The first caller waits
    /// for a short process.
    pub fn network_obstacle(&self) -> Option<&str> {
        self.inner.networks.obstacle(&self.inner.launcher)
    }

    /// A service of the core that components with networks of their own find at their loopback, when they are promised it.
    pub fn serve_inside(&self, local: Local) {
        self.inner.networks.serve(local);
    }

    /// What a component used of its network, if it has one of its own.
    pub fn ledger(&self, component: &str) -> Option<Arc<Ledger>> {
        self.inner.networks.ledger(component)
    }

    /// Whether limits on memory, and on processes, are held by cgroups.
    pub fn holds(&self) -> (bool, bool) {
        let held = self.inner.cgroups.as_ref().map(Cgroups::held).unwrap_or_default();
        (held.memory, held.pids)
    }

    /// The logs of components.
    pub fn logs(&self) -> &Logs {
        &self.inner.logs
    }

    /// Whether components have cgroups (else sessions and resource limits).
    pub fn has_cgroups(&self) -> bool {
        self.inner.cgroups.is_some()
    }

    /// Starts a step. Call it on the thread that lives as long as the core: its end would end the process.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(&self, launch: StepLaunch) -> Result<StepProcess, StartError> {
        if !is_plain(&launch.component) {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "the component's name is no name of a folder");
            return Err(StartError::WorkDir { dir: launch.work_dir.clone(), source });
        }
        give_artifacts(&launch);
        prepare_work_dir(&launch).map_err(|source| StartError::WorkDir { dir: launch.work_dir.clone(), source })?;
        let mut bounds = Bounds {
            no_new_privileges: launch.no_new_privileges,
            dies_with: Some(std::process::id()),
            limits: vec![(Limit::Core, 0)],
            soft_files: self.inner.launcher.open_files,
            ..Bounds::default()
        };
        let own = rustix::process::geteuid().as_raw();
        if own == 0 {
            bounds.identity = Some(launch.user.identity.clone());
        }
        let group = self.enter_group(&launch.component, launch.limits);
        let held = match &group {
            Some((group, held)) => {
                bounds.cgroups = group.procs_files();
                *held
            }
            None => Held::default(),
        };
        if let Some(kb) = launch.limits.memory_kb.filter(|_| !held.memory) {
            bounds.limits.push((Limit::Data, kb.saturating_mul(1024)));
        }
        let egress = launch.sandbox.as_ref().and_then(|sandbox| sandbox.egress.as_ref());
        let entry = match egress {
            None => None,
            Some(egress) => {
                if let Some(obstacle) = self.network_obstacle() {
                    return Err(SandboxError::Network(obstacle.to_owned()).into());
                }
                Some(self.inner.networks.entry(&launch.component, egress).map_err(StartError::Network)?)
            }
        };
        let network = entry.as_ref().map(|(_, entry)| entry.network.clone());
        let replaced = sandbox::apply(&launch, self.offer(), own, network, &mut bounds)?;
        let environment = launch.environment.iter().filter(|(name, _)| replaced.iter().all(|(other, _)| other != name));
        let launcher = &self.inner.launcher;
        let (stdin, entry) = match entry {
            Some((stdin, entry)) => (stdin, Some(entry)),
            None => (Stdio::piped(), None),
        };
        let mut child = Command::new(&launcher.program)
            .args(&launcher.arguments)
            .args(bounds.to_arguments())
            .args([&launch.shell, "-c", &launch.script])
            .env_clear()
            .envs(environment.map(|(name, value)| (name, value)))
            .envs(replaced.iter().map(|(name, value)| (name, value)))
            .current_dir(&launch.work_dir)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(StartError::Spawn)?;
        let pid = child.id().unwrap_or(0);
        self.inner.sessions.add(&launch.component, pid);
        let log = self.inner.logs.of(&launch.component);
        let script = script_name(&launch);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let output = [
            copy(stdout, &log, Level::Info, "stdout", script.clone()),
            copy(stderr, &log, Level::Warn, "stderr", script),
        ];
        let stdin = match (entry, egress) {
            (Some(entry), Some(egress)) => {
                Some(self.inner.networks.await_sockets(&launch.component, egress, entry, &self.inner.logs))
            }
            _ => child.stdin.take().and_then(|stdin| stdin.into_owned_fd().ok()),
        };
        Ok(StepProcess {
            supervisor: self.clone(),
            pid,
            oom_kills: group.map_or(0, |(group, _)| group.oom_kills()),
            stdin,
            child,
            output,
            launch: Arc::new(launch),
        })
    }

    /// Ends every process of a component: SIGTERM, five seconds, SIGKILL (CR 2.8). Answers whether all are gone.
    pub async fn stop(&self, component: &str) -> bool {
        let group = self.group(component);
        if let Some(group) = &group {
            let _ = group.freeze(false);
        }
        let pids = self.members(component);
        if !pids.is_empty() {
            for pid in &pids {
                signal(*pid, Signal::TERM);
                // A stopped process takes its SIGTERM only once it runs again.
                signal(*pid, Signal::CONT);
            }
            if !self.gone(|| self.members(component), STOP_PATIENCE, |_| {}).await {
                tracing::warn!(%component, "killing processes that did not end within 5 s");
                if let Some(group) = &group {
                    group.kill();
                }
                let kill = |pids: &[u32]| pids.iter().for_each(|pid| signal(*pid, Signal::KILL));
                if !self.gone(|| self.members(component), STOP_PATIENCE, kill).await {
                    return false;
                }
            }
        }
        self.inner.sessions.remove(component);
        self.inner.networks.close(component);
        if let Some(group) = group {
            group.remove();
        }
        true
    }

    /// Whether any process of a component is alive.
    pub fn is_alive(&self, component: &str) -> bool {
        !self.members(component).is_empty()
    }

    /// Whether the processes of a component have a system call filter that the core itself has not; none when there is no process, or
    /// the kernel does not tell. One that the launcher still prepares is not asked.
    pub fn is_sandboxed(&self, component: &str) -> Option<bool> {
        if !self.offer().syscalls {
            return None;
        }
        let own = procfs::filters(std::process::id())?;
        let launcher = fs::canonicalize(&self.inner.launcher.program).ok();
        let preparing = [launcher, procfs::program(std::process::id())];
        let runs = |pid: &u32| procfs::program(*pid).is_some_and(|program| !preparing.contains(&Some(program)));
        let found: Vec<bool> = self
            .members(component)
            .into_iter()
            .filter(runs)
            .filter_map(|pid| Some(procfs::filters(pid)? > own))
            .collect();
        (!found.is_empty()).then(|| found.into_iter().all(|held| held))
    }

    /// Freezes or thaws a component's processes.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn set_frozen(&self, component: &str, frozen: bool) -> io::Result<()> {
        match self.group(component) {
            Some(group) => group.freeze(frozen),
            None => {
                let word = if frozen { Signal::STOP } else { Signal::CONT };
                self.members(component).into_iter().for_each(|pid| signal(pid, word));
                Ok(())
            }
        }
    }

    /// Lets the processes of all components stand still for a moment, or go on; those that are paused stay so.
    pub fn stand_still(&self, still: bool) {
        if let Some(groups) = &self.inner.cgroups {
            if let Err(error) = groups.freeze(still) {
                tracing::debug!(%error, still, "components cannot be frozen together");
            }
            return;
        }
        let mut stopped = self.inner.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        if still {
            let moving = self.inner.sessions.moving();
            moving.iter().for_each(|pid| signal(*pid, Signal::STOP));
            stopped.extend(moving);
        } else {
            stopped.drain(..).for_each(|pid| signal(pid, Signal::CONT));
        }
    }

    /// Applies limits to a component that runs.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn set_limits(&self, component: &str, limits: ResourceLimits) -> io::Result<()> {
        self.group(component).map_or(Ok(()), |group| group.limit(limits).map(drop))
    }

    /// The component that a process belongs to, by the kernel's word (SEC-133).
    pub fn owner_of(&self, pid: u32) -> Option<SmolStr> {
        match &self.inner.cgroups {
            Some(groups) => groups.component_of(pid).map(SmolStr::from),
            None => self.inner.sessions.component_of(pid),
        }
    }

    /// Removes what is left of a component that was removed.
    pub fn forget(&self, component: &str) {
        self.inner.sessions.remove(component);
        self.inner.networks.forget(component);
        self.inner.logs.forget(component);
        if let Some(group) = self.group(component) {
            group.remove();
        }
    }

    pub(crate) fn oom_kills(&self, component: &str) -> u64 {
        self.group(component).map_or(0, |group| group.oom_kills())
    }

    /// Ends one step of a component that may have others.
    pub(crate) async fn kill_session(&self, leader: u32) {
        let members = || self.inner.sessions.members_of(leader);
        members().into_iter().for_each(|pid| signal(pid, Signal::TERM));
        if !self.gone(members, STOP_PATIENCE, |_| {}).await {
            let kill = |pids: &[u32]| pids.iter().for_each(|pid| signal(*pid, Signal::KILL));
            self.gone(members, STOP_PATIENCE, kill).await;
        }
    }

    fn enter_group(&self, component: &str, limits: ResourceLimits) -> Option<(Group, Held)> {
        let groups = self.inner.cgroups.as_ref()?;
        let entered = groups.enter(component).and_then(|group| Ok((group.clone(), group.limit(limits)?)));
        match entered {
            Ok(entered) => Some(entered),
            Err(error) => {
                tracing::warn!(%component, %error, "the component's cgroup cannot be set up");
                None
            }
        }
    }

    fn group(&self, component: &str) -> Option<Group> {
        Some(self.inner.cgroups.as_ref()?.group(component)).filter(Group::exists)
    }

    /// Members of the group and of the sessions: either finds what the other may miss.
    fn members(&self, component: &str) -> Vec<u32> {
        let mut pids = self.group(component).filter(Group::populated).map_or(Vec::new(), |group| group.pids());
        let by_session = self.inner.sessions.members(component);
        pids.retain(|pid| !by_session.contains(pid));
        pids.extend(by_session);
        pids
    }

    async fn gone(&self, members: impl Fn() -> Vec<u32>, patience: Duration, each: impl Fn(&[u32])) -> bool {
        let start = Instant::now();
        let mut pause = POLL_MIN;
        loop {
            let left = members();
            if left.is_empty() {
                return true;
            }
            if start.elapsed() >= patience {
                return false;
            }
            each(&left);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(POLL_MAX);
        }
    }
}

/// `services.<name>.lifecycle.<step>.Script`, the name that log lines carry.
fn script_name(launch: &StepLaunch) -> String {
    format!("services.{}.lifecycle.{}.Script", launch.component, launch.step)
}

fn copy(
    pipe: Option<impl tokio::io::AsyncReadExt + Unpin + Send + 'static>,
    log: &Arc<ComponentLog>,
    level: Level,
    event: &'static str,
    script: String,
) -> tokio::task::JoinHandle<()> {
    let log = Arc::clone(log);
    tokio::spawn(async move {
        if let Some(pipe) = pipe {
            copy_output(pipe, log, level, event, script).await;
        }
    })
}

/// Whether a component's name, wherever it came from, is one visible folder below whatever it is joined to. The rules of names are
/// checked long before; here they are what keeps folders of the core from being handed out.
fn is_plain(component: &str) -> bool {
    !component.is_empty() && !component.starts_with(['.', '-']) && !component.contains(['/', '\0'])
}

/// Whether `dir` is what it seems: one step below its parent, and no link to elsewhere. Before it is made, and again when it is there.
fn is_strictly_below(dir: &Path) -> bool {
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else { return false };
    // `x/.` has the parts of `x`
    let as_written = dir.as_os_str().as_encoded_bytes().ends_with(name.as_encoded_bytes());
    let Ok(parent) = parent.canonicalize() else { return false };
    as_written
        && dir
            .canonicalize()
            .map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |found| found == parent.join(name))
}

/// Makes the work directory 0700 for the run-as user; when the user changed, what the old one owned goes to the new one.
fn prepare_work_dir(launch: &StepLaunch) -> io::Result<()> {
    let dir = &launch.work_dir;
    let outside = || io::Error::new(io::ErrorKind::InvalidInput, "is not a folder of the component's own");
    if !is_strictly_below(dir) {
        return Err(outside());
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = dir.symlink_metadata()?;
    if !found.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "is not a directory"));
    }
    if !is_strictly_below(dir) {
        return Err(outside());
    }
    let wanted = &launch.user.identity;
    // Privileged steps of a component leave the directory with its user.
    let privileged = wanted.uid == 0 && launch.step != "run";
    if rustix::process::geteuid().is_root() && found.uid() != wanted.uid && !(privileged && found.uid() != 0) {
        give(dir, found.uid(), wanted.uid, wanted.gid)?;
    }
    Ok(())
}

/// The component's group may read its artifacts, which stay the core's own (CR 1.6: the owner is the user of the component).
fn give_artifacts(launch: &StepLaunch) {
    let folders =
        launch.sandbox.iter().flat_map(|sandbox| &sandbox.artifacts).filter(|_| rustix::process::geteuid().is_root());
    // The first group that all components of their own user share, else the user's.
    let identity = &launch.user.identity;
    let shared = launch.sandbox.as_ref().is_some_and(|sandbox| sandbox.own_user);
    let gid = identity.groups.first().copied().filter(|_| shared).unwrap_or(identity.gid);
    for folder in folders.filter(|folder| is_strictly_below(folder)) {
        if let Err(error) = hand_to_group(folder, gid) {
            tracing::warn!(folder = %folder.display(), %error, "artifacts cannot be given to the component's group");
        }
    }
}

fn hand_to_group(path: &Path, gid: u32) -> io::Result<()> {
    let found = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if found.uid() != 0 || found.is_symlink() {
        return Ok(());
    }
    if found.gid() != gid {
        lchown(path, None, Some(gid))?;
    }
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            hand_to_group(&entry?.path(), gid)?;
        }
    }
    Ok(())
}

/// Only what `from` owned changes hands, and links are not followed: a planted link cannot give away other files.
fn give(path: &Path, from: u32, uid: u32, gid: u32) -> io::Result<()> {
    let found = path.symlink_metadata()?;
    if found.uid() != from {
        return Ok(());
    }
    // Another name of a file outside would change hands with it.
    if found.is_file() && found.nlink() > 1 {
        return Ok(());
    }
    lchown(path, Some(uid), Some(gid))?;
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), from, uid, gid)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEC-157: a folder is handed out only when it lies one step below its parent, whatever the component is called and whatever was put
    /// there.
    #[test]
    fn only_folders_below_their_parent_are_handed_out() {
        let root = tempfile::tempdir().unwrap();
        let work = root.path().join("work");
        for folder in ["work/com.example.A", "config"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        std::os::unix::fs::symlink("../config", work.join("link")).unwrap();
        for (name, good) in [
            ("com.example.A", true),
            ("new", true),
            ("..", false),
            (".", false),
            ("link", false),
            ("none/x", false),
            ("", false),
        ] {
            assert_eq!(is_strictly_below(&work.join(name)), good, "{name}");
        }
        for (name, good) in [
            ("a", true),
            ("a..b", true),
            ("..", false),
            (".", false),
            (".a", false),
            ("-x", false),
            ("a/b", false),
            ("", false),
        ] {
            assert_eq!(is_plain(name), good, "{name}");
        }
    }
}
