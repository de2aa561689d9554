//! The life of the process: start, ready, stop.

use std::ffi::OsString;
use std::io::Write;
use std::time::Instant;

use anyhow::Context;
use marram_deployer::Restart;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{LogFormat, Run};
use crate::compose::Core;
use crate::root::RootError;

/// Wrong arguments or input: the user can fix it and try again.
const EXIT_USAGE: u8 = 2;
/// Something in the environment: root in use, unreadable or exposed, disk full.
const EXIT_ENVIRONMENT: u8 = 3;

/// A deployment wants the runtime to be started again (CR 4.10).
const EXIT_RESTART: u8 = 100;
/// A deployment wants the device to be rebooted.
const EXIT_REBOOT: u8 = 101;

/// Threads that blocking file work may use at once; they end when idle.
const BLOCKING_THREADS: usize = 4;

/// Stack of a blocking thread; only touched pages count.
const BLOCKING_STACK_BYTES: usize = 256 * 1024;

/// Stack of the thread that watches standard input.
const STDIN_STACK_BYTES: usize = 64 * 1024;

/// Something outside the program stands in the way.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct EnvironmentError(pub(crate) String);

/// Runs until SIGTERM or SIGINT; answers the exit code.
pub(crate) fn run(flags: &Run) -> anyhow::Result<u8> {
    let began = Instant::now();
    let format = match flags.log_format {
        LogFormat::Text => marram_obs::LogFormat::Text,
        LogFormat::Json => marram_obs::LogFormat::Json,
    };
    marram_obs::init_log(format, &flags.log)?;
    let open_files = raise_descriptors();
    crate::program::tie_to_loader()?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_stack_size(BLOCKING_STACK_BYTES)
        .build()
        .context("cannot start the async runtime")?
        .block_on(live(flags, began, open_files))
}

/// Every component is a connection: the soft limit of open files is raised as far as it may be. Answers what it was: programs
/// that use `select`, or close all descriptors one by one, count on a low one.
fn raise_descriptors() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return None;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, limit = limit.current, "the limit of open files stays");
        return None;
    }
    limit.current
}

/// Undoes [`raise_descriptors`] for a program that takes the place of this one.
fn lower_descriptors(open_files: Option<u64>) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Some(current) = open_files else { return };
    let maximum = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum }) {
        tracing::warn!(%error, "the limit of open files stays raised");
    }
}

async fn live(flags: &Run, began: Instant, open_files: Option<u64>) -> anyhow::Result<u8> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    // A limit on file sizes is a full disk to the one who writes, not the end of the program.
    let _file_too_large =
        signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).context("cannot listen for SIGXFSZ")?;
    let core = Core::start(flags, open_files).await?;
    tell_ready(&core, began)?;
    core.start_components().await;
    let (mut restart, mut provisioned) = (core.restart.clone(), core.provisioned.clone());
    let code = tokio::select! {
        _ = terminate.recv() => 0,
        _ = interrupt.recv() => 0,
        () = stdin_closes(), if flags.until_stdin_closes => 0,
        Ok(_) = provisioned.wait_for(|provisioned| *provisioned) => {
            tracing::info!("starting anew with the new identity");
            core.close().await;
            lower_descriptors(open_files);
            return Err(start_anew().into());
        }
        Ok(wish) = restart.wait_for(Option::is_some) => match *wish {
            Some(Restart::Device) => EXIT_REBOOT,
            _ => EXIT_RESTART,
        },
    };
    tracing::info!(code, "stopping");
    core.close().await;
    Ok(code)
}

/// Puts this program in its own place, with the arguments it was given; answers why that is not possible.
fn start_anew() -> EnvironmentError {
    use std::os::unix::process::CommandExt;
    let error = match std::env::current_exe() {
        Ok(program) => std::process::Command::new(program).args(later_arguments(std::env::args_os().skip(1))).exec(),
        Err(error) => error,
    };
    EnvironmentError(format!("cannot start anew: {error}"))
}

/// What is not for the first start only: configuration files would take the new identity away again.
fn later_arguments(all: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut skips_value = false;
    for argument in all {
        let text = argument.to_string_lossy();
        if std::mem::take(&mut skips_value) || text.starts_with("--config=") || text == "--update-config" {
            continue;
        }
        if text == "--config" {
            skips_value = true;
            continue;
        }
        kept.push(argument);
    }
    kept
}

/// Resolves when standard input is at its end.
async fn stdin_closes() {
    let (done, closed) = tokio::sync::oneshot::channel();
    let read = move || {
        // What is written there has no meaning; only its end has.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = done.send(());
    };
    match std::thread::Builder::new().name("stdin".to_owned()).stack_size(STDIN_STACK_BYTES).spawn(read) {
        Ok(_) => drop(closed.await),
        Err(error) => {
            tracing::warn!(%error, "standard input is not watched");
            std::future::pending().await
        }
    }
}

/// One JSON line on standard output once components could connect.
fn tell_ready(core: &Core, began: Instant) -> anyhow::Result<()> {
    let line = json!({
        "ready": true,
        "root": core.root,
        "ipcSocket": core.ipc_socket,
        "pid": std::process::id(),
        "startMillis": began.elapsed().as_secs_f64() * 1000.0,
    });
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("cannot write to standard output")
}

/// The chain of causes as one line, none repeated.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if line.ends_with(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text.replace('\n', " "));
    }
    line
}

/// The exit code an error stands for.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    use marram_nucleus::configuration::{ConfigurationError, ImportFileError};
    let usage = error.chain().any(|cause| cause.is::<ImportFileError>() || cause.is::<marram_obs::LogError>());
    let environment = error.chain().any(|cause| {
        cause.is::<EnvironmentError>()
            || cause.is::<RootError>()
            || cause.is::<ConfigurationError>()
            || cause.is::<marram_supervisor::SupervisorError>()
            || cause.is::<std::io::Error>()
    });
    match (usage, environment) {
        (true, _) => EXIT_USAGE,
        (false, true) => EXIT_ENVIRONMENT,
        (false, false) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CR 5.5: a core that starts anew keeps its identity, whatever it was started with.
    #[test]
    fn a_later_start_reads_no_configuration_file() {
        let all =
            ["run", "--root", "r", "--config", "c", "--update-config", "--init-config=i", "--config=d", "--log", "x"];
        let kept = later_arguments(all.into_iter().map(OsString::from));
        assert_eq!(kept, ["run", "--root", "r", "--init-config=i", "--log", "x"]);
    }
}
