//! `marram-core`: the edge runtime in one small process.
//!
//! Only wiring lives here: arguments (`cli`), the root directory (`root`), the parts and their order (`compose`), the life of
//! the process (`run`). Called as `marram-jail`, or with `jail` as first argument, it is the launcher of component processes;
//! with `loader` it keeps a core running and goes back when an update does not hold;
//! with `token-trial` it tries a token for the core that started it;
//! called as `greengrass-cli`, or with `cli`, it is the command line, and verbs such as `status` ask the running core.

// The standard macros panic when the reader is gone.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod claim;
mod cli;
mod cloud;
mod compose;
mod debug;
mod deployments;
mod doctor;
mod door;
mod field;
mod initial;
mod install;
mod local;
mod program;
mod root;
mod run;
mod token;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use clap::FromArgMatches as _;
use marram_obs::errln;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    if Path::new(&name).file_name() == Some(OsStr::new("marram-jail")) {
        return marram_launch::main(arguments);
    }
    if std::env::args_os().nth(1).as_deref() == Some(OsStr::new("jail")) {
        return marram_launch::main(arguments.skip(1));
    }
    if std::env::args_os().nth(1).as_deref() == Some(OsStr::new("loader")) {
        return program::main(arguments.skip(1));
    }
    if marram_core_cli::is_cli_name(Path::new(&name)) {
        return marram_core_cli::run(std::env::args_os()).into();
    }
    match std::env::args_os().nth(1).as_deref().and_then(OsStr::to_str) {
        Some(token::trial::VERB) => return token::trial::main(),
        Some("cli") => return marram_core_cli::run(std::iter::once(name).chain(arguments.skip(1))).into(),
        Some(verb) if marram_core_cli::CORE_VERBS.contains(&verb) => {
            return marram_core_cli::run_core(std::env::args_os()).into();
        }
        _ => {}
    }
    let matches = cli::command().get_matches();
    // The verbs that only stand in the help text were taken above.
    let arguments = cli::Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let outcome = match arguments.verb {
        cli::Verb::Run(flags) => run::run(&flags),
        cli::Verb::Install(flags) => install::install(&flags).map(|()| 0),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            errln!("marram-core: {}", run::one_line(&error));
            ExitCode::from(run::exit_code(&error))
        }
    }
}
