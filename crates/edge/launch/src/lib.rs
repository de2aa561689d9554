//! What the launcher of component processes does to itself before it becomes the component (SEC-130, SEC-138).
//!
//! The core starts `marram-jail` with the [`Bounds`] as arguments; that small single-threaded program joins the cgroup,
//! opens a session, lowers its limits, gives up its user, groups and privileges, in this order, and then executes the
//! script. Whatever cannot be applied stops the start: exit code [`REFUSED`], one line on standard error. Nothing secret
//! stands in the arguments; the environment is passed through as the core made it.
//!
//! Not here: choosing user and limits (`marram-supervisor`).

mod bounds;
mod enter;

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

pub use bounds::{Bounds, BoundsError, Identity, Limit};
pub use enter::EnterError;

/// Exit code of a launcher that could not bind itself, or found nothing to execute.
pub const REFUSED: u8 = 125;

/// The whole program: `arguments` without the program's name. Answers only when the start failed.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let failure = match Bounds::from_arguments(arguments) {
        Ok((bounds, command)) => run(&bounds, &command),
        Err(error) => error.to_string(),
    };
    eprintln!("marram-jail: {failure}");
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
