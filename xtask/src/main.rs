//! Developer tasks: code generation, checks, distribution.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod codegen;
mod spec_coverage;

#[derive(Parser)]
#[command(name = "xtask", about = "Developer tasks of the Marram workspace")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Write the operation and shape tables of `wire/aws-api` from AWS service models in JSON form.
    Codegen {
        /// Folder with `SERVICE/VERSION/service-2.json[.gz]`; the `data` folder of the installed botocore by default.
        #[arg(long)]
        models: Option<PathBuf>,
        /// Write nothing; fail when the committed tables differ from what the models say.
        #[arg(long)]
        check: bool,
    },
    /// Every numbered requirement is cited by a test.
    SpecCoverage,
}

fn main() -> ExitCode {
    let outcome = match Args::parse().task {
        Task::Codegen { models, check } => codegen::run(models, check),
        Task::SpecCoverage => spec_coverage::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
