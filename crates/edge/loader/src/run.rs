//! Starting the core, again and again, as its exit codes and the trial ask for.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use marram_obs::errln;
use rustix::process::{Pid, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::alts::{Alts, Trial};

/// Tells a core which process started it.
pub const LOADER_VARIABLE: &str = "MARRAM_LOADER";

/// Exit codes of a core (CR 4.10): start me again, reboot the device; wrong arguments, unusable environment.
const RESTART: i32 = 100;
const REBOOT: i32 = 101;
const USAGE: i32 = 2;
const ENVIRONMENT: i32 = 3;

/// Starts in an unusable environment: a core that was killed a moment ago still holds the root.
const TRIES_MAX: u32 = 5;

/// Starts that a program on trial has, those included that a power cut ended.
const STARTS_MAX: u32 = 3;
/// Between a crash and the next start; doubled each time up to the second, back to the first after a run that lasted.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
const LASTED: Duration = Duration::from_secs(60);

/// What to run.
#[derive(Debug, Clone)]
pub struct Loader {
    /// Root of the core.
    pub root: PathBuf,
    /// The installed program, absolute.
    pub installed: PathBuf,
    /// Arguments of the core.
    pub arguments: Vec<OsString>,
    /// The command that reboots the device.
    pub reboot: Vec<OsString>,
}

enum Next {
    Ended(ExitStatus),
    /// The core was asked to end and did.
    Stopped(ExitStatus),
    Late,
    Unstarted(io::Error),
}

/// Runs the core until it is asked to stop or cannot run; answers the exit code.
///
/// # Errors
/// `alts` cannot be written, signals cannot be listened for.
pub async fn run(loader: &Loader) -> io::Result<u8> {
    let mut signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let alts = Alts::new(&loader.root);
    let mut pause = PAUSE.0;
    let mut tries = 1;
    loop {
        alts.prepare(&loader.installed)?;
        alts.turn()?;
        let mut trial = alts.trial();
        if let Some(trial) = &mut trial {
            if trial.starts >= STARTS_MAX {
                give_up(&alts, trial, &format!("it ended {STARTS_MAX} times before it was up"))?;
                continue;
            }
            trial.starts += 1;
            alts.keep(trial)?;
        }
        let began = tokio::time::Instant::now();
        let next = live(loader, &alts, trial.as_ref(), &mut signals).await;
        let on_trial = alts.trial();
        match next {
            Next::Stopped(status) => return Ok(code(status)),
            Next::Late => {
                if let Some(trial) = on_trial {
                    give_up(&alts, &trial, &format!("it was not up within {} s", trial.limit.as_secs()))?;
                }
                continue;
            }
            Next::Ended(status) => match status.code() {
                Some(RESTART) => continue,
                Some(REBOOT) => return reboot(&loader.reboot).await.map(|()| REBOOT as u8),
                _ if on_trial.is_some() => errln!("marram-loader: the core on trial ended: {status}"),
                Some(0) => return Ok(0),
                Some(USAGE) => return Ok(code(status)),
                Some(ENVIRONMENT) if tries >= TRIES_MAX => return Ok(code(status)),
                Some(ENVIRONMENT) => tries += 1,
                _ => errln!("marram-loader: the core ended: {status}"),
            },
            Next::Unstarted(error) => match on_trial {
                Some(trial) => {
                    give_up(&alts, &trial, &format!("it cannot be started: {error}"))?;
                    continue;
                }
                None => return Err(error),
            },
        }
        if began.elapsed() > LASTED || on_trial.is_some() {
            (pause, tries) = (PAUSE.0, 1);
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = signals.0.recv() => return Ok(0),
            _ = signals.1.recv() => return Ok(0),
        }
        pause = (pause * 2).min(PAUSE.1);
    }
}

fn give_up(alts: &Alts, trial: &Trial, reason: &str) -> io::Result<()> {
    errln!("marram-loader: {} is given up: {reason}", trial.name);
    alts.go_back(&trial.name, reason)
}

async fn live(loader: &Loader, alts: &Alts, trial: Option<&Trial>, signals: &mut (Signal, Signal)) -> Next {
    let mut command = Command::new(alts.program());
    command.args(&loader.arguments).env(LOADER_VARIABLE, std::process::id().to_string());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Next::Unstarted(error),
    };
    let limit = trial.map(|trial| trial.limit);
    tokio::select! {
        status = child.wait() => ended(status),
        () = stop_asked(signals) => {
            end(&child);
            match child.wait().await {
                Ok(status) => Next::Stopped(status),
                Err(error) => Next::Unstarted(error),
            }
        }
        () = expires(alts, limit) => {
            let _ = child.kill().await;
            Next::Late
        }
    }
}

fn ended(status: io::Result<ExitStatus>) -> Next {
    match status {
        Ok(status) => Next::Ended(status),
        Err(error) => Next::Unstarted(error),
    }
}

async fn stop_asked(signals: &mut (Signal, Signal)) {
    tokio::select! {
        _ = signals.0.recv() => {}
        _ = signals.1.recv() => {}
    }
}

/// Comes when the limit is over and the program did not confirm itself.
async fn expires(alts: &Alts, limit: Option<Duration>) {
    if let Some(limit) = limit {
        tokio::time::sleep(limit).await;
        if alts.trial().is_some() {
            return;
        }
    }
    std::future::pending().await
}

/// Asks the core to stop in order; it takes as long as its components need.
fn end(child: &Child) {
    if let Some(pid) = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
        // One that is gone needs no signal.
        let _ = kill_process(pid, rustix::process::Signal::TERM);
    }
}

async fn reboot(command: &[OsString]) -> io::Result<()> {
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    let status = Command::new(program).args(arguments).status().await?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("the reboot command ended: {status}"))) }
}

/// As a shell tells it.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}
