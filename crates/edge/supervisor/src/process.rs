//! One lifecycle step as a process: how it is asked for, how it ended.

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use smol_str::SmolStr;
use tokio::io::AsyncReadExt;
use tokio::process::Child;
use tokio::time::timeout;

use crate::cgroup::ResourceLimits;
use crate::line::Lines;
use crate::log::{ComponentLog, Level};
use crate::sandbox::{Sandbox, SandboxError};
use crate::supervisor::Supervisor;
use crate::user::RunAs;

/// Read from a pipe at once; each step holds two of these.
const READ_BYTES: usize = 2048;

/// How long the end of a step waits for the last of its output, which a process left running may hold open.
const OUTPUT_PATIENCE: Duration = Duration::from_millis(500);
/// After so long without output, lines that were too many are told of.
const SILENCE: Duration = Duration::from_secs(1);

/// A step to run.
#[derive(Debug, Clone)]
pub struct StepLaunch {
    /// Whose.
    pub component: SmolStr,
    /// `install`, `run`, ...
    pub step: &'static str,
    /// Given to the shell as one argument.
    pub script: String,
    /// `sh`.
    pub shell: String,
    /// As whom.
    pub user: RunAs,
    /// The whole environment.
    pub environment: Vec<(String, String)>,
    /// `<root>/work/<component>`; made 0700 when missing.
    pub work_dir: PathBuf,
    /// After it the process and what it started are killed.
    pub timeout: Option<Duration>,
    /// Of the component.
    pub limits: ResourceLimits,
    /// Setuid programs do not raise privileges.
    pub no_new_privileges: bool,
    /// What it may reach; none leaves that to users and groups.
    pub sandbox: Option<Sandbox>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepEnd {
    /// With an exit code.
    Exited(i32),
    /// By a signal.
    Signaled(i32),
    /// The component's memory limit was reached.
    OutOfMemory,
    /// Its time was over; it was killed.
    TimedOut,
}

/// Why a step could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The work directory cannot be made.
    #[error("work directory {dir}: {source}")]
    WorkDir {
        /// Where.
        dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The component cannot be held as it should.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The way into the component's network cannot be made.
    #[error("the component's network: {0}")]
    Network(std::io::Error),
    /// The launcher cannot be started.
    #[error("launcher: {0}")]
    Spawn(std::io::Error),
}

/// A running step. Dropping it does not end the process.
#[derive(Debug)]
pub struct StepProcess {
    pub(crate) supervisor: Supervisor,
    pub(crate) launch: Arc<StepLaunch>,
    pub(crate) child: Child,
    pub(crate) pid: u32,
    pub(crate) oom_kills: u64,
    /// Held open as long as the process lives (CR 2.8).
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) output: [tokio::task::JoinHandle<()>; 2],
}

impl StepProcess {
    /// Process id of the step's session leader.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for the end; kills the step when its time is over.
    pub async fn wait(mut self) -> StepEnd {
        let end = match self.launch.timeout {
            None => self.child.wait().await,
            Some(limit) => match timeout(limit, self.child.wait()).await {
                Ok(end) => end,
                Err(_) => {
                    self.supervisor.kill_session(self.pid).await;
                    let _ = self.child.wait().await;
                    return StepEnd::TimedOut;
                }
            },
        };
        drop(self.stdin.take());
        let [out, err] = &mut self.output;
        let _ = timeout(OUTPUT_PATIENCE, async { tokio::join!(out, err) }).await;
        match end {
            Ok(status) => self.classify(status),
            Err(error) => {
                tracing::error!(component = %self.launch.component, %error, "cannot wait for a process");
                StepEnd::Exited(-1)
            }
        }
    }

    fn classify(&self, status: ExitStatus) -> StepEnd {
        let out_of_memory = !status.success() && self.supervisor.oom_kills(&self.launch.component) > self.oom_kills;
        match (status.code(), status.signal()) {
            _ if out_of_memory => StepEnd::OutOfMemory,
            (Some(code), _) => StepEnd::Exited(code),
            (None, signal) => StepEnd::Signaled(signal.unwrap_or(0)),
        }
    }
}

/// Copies a pipe into the component's log until it ends.
pub(crate) async fn copy_output(
    mut pipe: impl AsyncReadExt + Unpin,
    log: Arc<ComponentLog>,
    level: Level,
    event: &'static str,
    script: String,
) {
    let mut lines = Lines::default();
    let mut buffer = [0; READ_BYTES];
    loop {
        let read = pipe.read(&mut buffer);
        let read = match log.is_dropping() {
            true => match timeout(SILENCE, read).await {
                Ok(read) => read,
                Err(_) => {
                    log.pause();
                    continue;
                }
            },
            false => read.await,
        };
        let Ok(count @ 1..) = read else { break };
        lines.feed(&buffer[..count], |line| log.output(level, event, &script, line));
    }
    lines.finish(|line| log.output(level, event, &script, line));
    log.pause();
}
