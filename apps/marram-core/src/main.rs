//! `marram-core`: the edge runtime in one small process.
//!
//! Only wiring lives here: arguments (`cli`), the root directory (`root`), the parts and their order (`compose`), the life of
//! the process (`run`). Called as `marram-jail`, or with `jail` as first argument, it is the launcher of component processes.

mod cli;
mod compose;
mod root;
mod run;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    if Path::new(&name).file_name() == Some(OsStr::new("marram-jail")) {
        return marram_launch::main(arguments);
    }
    if std::env::args_os().nth(1).as_deref() == Some(OsStr::new("jail")) {
        return marram_launch::main(arguments.skip(1));
    }
    let outcome = match cli::Arguments::parse().verb {
        cli::Verb::Run(flags) => run::run(&flags),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("marram-core: {}", run::one_line(&error));
            ExitCode::from(run::exit_code(&error))
        }
    }
}
