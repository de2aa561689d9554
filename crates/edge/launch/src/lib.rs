//! What the launcher of component processes does to itself before it becomes the component (SEC-130, SEC-138).
//!
//! The core starts `marram-jail` with the [`Bounds`] as arguments; that small single-threaded program joins its cgroups,
//! opens a session, lowers its limits, leaves the host's network where one of its own is asked for (its sockets go to the core,
//! and no process stays behind), covers public folders with private ones, gives up its user, groups and privileges,
//! then files and system calls it has no business with, in this order, and then executes the script. Whatever cannot be
//! applied stops the start: exit code [`REFUSED`], one line on standard error. Nothing secret stands in the arguments; the
//! environment is passed through as the core made it. `marram-jail --probe` tries each layer and says what this host
//! offers ([`Offer`]).
//!
//! Not here: choosing users, paths and limits (`marram-supervisor`).

// The standard macros panic when the reader is gone.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod bounds;
mod enter;
mod files;
mod handover;
mod mounts;
mod network;
mod privileges;
mod probe;
mod syscalls;

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

pub use bounds::{Bounds, BoundsError, Files, Identity, Limit, Mounting, Network, Syscalls};
pub use enter::EnterError;
pub use handover::{Handover, Inside, receive};
pub use probe::Offer;

/// Exit code of a launcher that could not bind itself, or found nothing to execute.
pub const REFUSED: u8 = 125;

/// The argument that asks what the host offers.
pub const PROBE: &str = "--probe";

/// The argument that asks whether components can have networks apart from the host's: answers nothing, or why not.
pub const PROBE_NETWORK: &str = "--probe-network";

/// The whole program: `arguments` without the program's name. Answers only when the start failed.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter().peekable();
    if arguments.peek().is_some_and(|first| first == PROBE) {
        // Whoever asked and went away needs no answer.
        let _ = writeln!(std::io::stdout(), "{}", probe::probe());
        return ExitCode::SUCCESS;
    }
    if arguments.peek().is_some_and(|first| first == PROBE_NETWORK) {
        let _ = writeln!(std::io::stdout(), "{}", probe::probe_network().err().unwrap_or_default());
        return ExitCode::SUCCESS;
    }
    let failure = match Bounds::from_arguments(arguments) {
        Ok((bounds, command)) => run(&bounds, &command),
        Err(error) => error.to_string(),
    };
    let _ = writeln!(std::io::stderr(), "marram-jail: {failure}");
    ExitCode::from(REFUSED)
}

fn run(bounds: &Bounds, command: &[OsString]) -> String {
    if let Err(error) = enter::enter(bounds) {
        return error.to_string();
    }
    match command {
        [program, arguments @ ..] => {
            let error = Command::new(program).args(arguments).exec();
            format!("cannot execute {}: {error}", program.display())
        }
        [] => "no command given".to_owned(),
    }
}
