//! The core under its loader, and the loader itself (core-runtime 4.10).

use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use marram_deployer::Program;
use marram_loader::{Alts, LOADER_VARIABLE, Loader};
use marram_obs::errln;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// Ends this process with its loader. Without one it does nothing.
///
/// # Errors
/// The loader is gone already.
pub(crate) fn tie_to_loader() -> anyhow::Result<()> {
    let Some(loader) = std::env::var_os(LOADER_VARIABLE) else { return Ok(()) };
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot tie this process to its loader")?;
    let parent = getppid().map(|pid| pid.as_raw_nonzero().get().to_string());
    if loader.to_str().map(str::to_owned) != parent {
        bail!("the loader is gone");
    }
    Ok(())
}

/// The program as the deployer sees it; none without a loader.
pub(crate) fn under_loader(root: &Path, ipc_socket: &Path) -> Option<Arc<dyn Program>> {
    std::env::var_os(LOADER_VARIABLE)?;
    let alts = Alts::new(root);
    let running = std::env::current_exe().ok().and_then(|program| alts.place_of(&program));
    Some(Arc::new(OwnProgram { running, alts, socket: ipc_socket.to_owned() }))
}

struct OwnProgram {
    alts: Alts,
    running: Option<String>,
    socket: PathBuf,
}

impl Program for OwnProgram {
    fn running(&self) -> Option<String> {
        self.running.clone()
    }
    fn previous(&self) -> Option<String> {
        self.alts.old()
    }
    fn install(&self, name: &str, file: &Path) -> io::Result<()> {
        self.alts.install(name, file)
    }
    fn turn_to(&self, name: &str, limit: Duration) -> io::Result<()> {
        self.alts.turn_to(name, limit)
    }
    fn confirm(&self) -> io::Result<()> {
        self.alts.confirm()
    }
    fn returned(&self, name: &str) -> Option<String> {
        self.alts.returned(name)
    }
    fn give_up(&self, name: &str, reason: &str) -> io::Result<()> {
        self.alts.give_up(name, reason)
    }
    fn free(&self) -> io::Result<()> {
        self.alts.free()
    }
    fn is_up(&self) -> bool {
        // A path that is too long for an address is reached through its folder (CR 6.1).
        let (Some(folder), Some(name)) = (self.socket.parent(), self.socket.file_name()) else { return false };
        let connect = || {
            use std::os::fd::AsRawFd;
            let folder = std::fs::File::open(folder)?;
            UnixStream::connect(PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name))
        };
        connect().is_ok()
    }
}

/// `marram-core loader --root ROOT ...`: keeps `marram-core run --root ROOT ...` running.
pub(crate) fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match load(arguments.collect()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            errln!("marram-loader: {}", crate::run::one_line(&error));
            ExitCode::FAILURE
        }
    }
}

fn load(given: Vec<OsString>) -> anyhow::Result<u8> {
    let root = root_of(&given).context("--root is missing")?;
    let loader = Loader {
        root: std::path::absolute(root).context("--root cannot be made absolute")?,
        installed: std::env::current_exe().context("cannot find the path of this program")?,
        arguments: std::iter::once(OsString::from("run")).chain(given).collect(),
        reboot: vec!["reboot".into()],
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.context("cannot start the async runtime")?.block_on(marram_loader::run(&loader))?)
}

fn root_of(arguments: &[OsString]) -> Option<PathBuf> {
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if word == "--root" {
            return words.next().map(PathBuf::from);
        }
        if let Some(root) = word.to_str().and_then(|word| word.strip_prefix("--root=")) {
            return Some(PathBuf::from(root));
        }
    }
    None
}
