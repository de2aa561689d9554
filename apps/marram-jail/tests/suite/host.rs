//! A core's folders and supervisor around the real launcher.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use marram_supervisor::{Launcher, LogSettings, Logs, ResourceLimits, RunAs, StepEnd, StepLaunch, Supervisor, Users};

/// A core's folders and its supervisor.
pub struct Host {
    pub dir: tempfile::TempDir,
    pub supervisor: Supervisor,
}

/// What the kernel lets a core use.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Means {
    Cgroups,
    Sessions,
}

pub const BOTH: [Means; 2] = [Means::Cgroups, Means::Sessions];

pub fn supervisor(root: &Path, means: Means) -> Supervisor {
    let launcher =
        Launcher { program: PathBuf::from(env!("CARGO_BIN_EXE_marram-jail")), arguments: Vec::new(), open_files: None };
    let logs = Arc::new(Logs::new(LogSettings::new(root.join("logs"))));
    let id = root.file_name().unwrap().to_str().unwrap().trim_start_matches('.').to_owned();
    match means {
        Means::Cgroups => Supervisor::new(launcher, logs, &id, &root.join("processes")).unwrap(),
        Means::Sessions => Supervisor::without_cgroups(launcher, logs, &root.join("processes")).unwrap(),
    }
}

impl Host {
    pub fn new() -> Self {
        Self::with(Means::Cgroups)
    }

    pub fn with(means: Means) -> Self {
        // Outside of `/tmp`, which sandboxes cover.
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { supervisor: supervisor(dir.path(), means), dir }
    }

    pub fn launch(&self, component: &str, step: &'static str, script: &str) -> StepLaunch {
        StepLaunch {
            component: component.into(),
            step,
            script: script.to_owned(),
            shell: "sh".to_owned(),
            user: user(),
            environment: vec![("PATH".into(), "/usr/bin:/bin".into()), ("SVCUID".into(), "t0ken".into())],
            work_dir: self.dir.path().join(component),
            timeout: None,
            limits: ResourceLimits::default(),
            no_new_privileges: true,
            sandbox: None,
        }
    }

    pub async fn run(&self, launch: StepLaunch) -> StepEnd {
        self.supervisor.start(launch).unwrap().wait().await
    }

    pub fn log(&self, component: &str) -> String {
        fs::read_to_string(self.dir.path().join(format!("logs/{component}.log"))).unwrap_or_default()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // A test that failed half-way leaves nothing behind either.
        drop(supervisor(self.dir.path(), Means::Cgroups));
    }
}

/// `nobody` where the test may become it, else the test's own user.
pub fn user() -> RunAs {
    let configured = if rustix::process::geteuid().is_root() { Some("nobody") } else { None };
    Users::default().resolve(&[configured], false).unwrap()
}

/// Waits for a file that a script writes, and answers the process ids in it.
pub async fn pids(file: &Path, count: usize) -> Vec<u32> {
    let start = Instant::now();
    loop {
        let text = fs::read_to_string(file).unwrap_or_default();
        let pids: Vec<u32> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        if pids.len() >= count {
            return pids;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{} holds {text:?}", file.display());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// Those of `pids` that outlive their killing: the kernel may take a moment.
pub async fn survivors(pids: &[u32]) -> Vec<u32> {
    let start = Instant::now();
    loop {
        let left: Vec<u32> = pids.iter().copied().filter(|pid| is_alive(*pid)).collect();
        if left.is_empty() || start.elapsed() > Duration::from_secs(30) {
            return left;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
