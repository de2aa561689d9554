//! The `marram` program: control plane, command line and demo in one binary.
//!
//! Only wiring lives here: arguments become settings (`cli`, `settings`), settings become a running stack
//! (`compose`), and each verb is a file under `command/`. The rules of the product are in the crates below.

// The standard macros panic when the reader is gone.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod adapter;
mod admin;
mod administrator;
mod cli;
mod command;
mod compose;
mod core_policy;
mod core_role;
mod data_dir;
mod demo;
mod local_core;
mod provision;
mod settings;

use clap::Parser;
use marram_obs::errln;

/// Settings stand in `.cargo/config.toml`: few arenas, and what is free goes back to the system within half a second.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    let arguments = cli::Arguments::parse();
    match command::run(arguments) {
        Ok(code) => code,
        Err(error) => {
            // One clear line: the chain of causes without repeating any of them.
            errln!("marram: {}", command::one_line(&error));
            std::process::ExitCode::from(command::exit_code(&error))
        }
    }
}
