//! The verbs: each is a file below; this one dispatches and turns errors into one line and an exit code.

mod account;
pub mod audit_log;
pub mod core;
pub mod env;
pub mod flow;
pub mod tdm;
mod up;

use std::process::ExitCode;

use crate::cli::{Arguments, LogFormat, Verb};

/// Wrong arguments or input: the user can fix it and try again.
pub const EXIT_USAGE: u8 = 2;
/// Something in the environment: port in use, data directory locked, disk full.
pub const EXIT_ENVIRONMENT: u8 = 3;

/// Runs the verb.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let format = match arguments.log_format {
        LogFormat::Text => marram_obs::LogFormat::Text,
        LogFormat::Json => marram_obs::LogFormat::Json,
    };
    marram_obs::init_log(format, &arguments.log)?;
    match arguments.verb {
        Verb::Up(flags) => up::up(&flags),
        Verb::Serve(flags) => up::serve(&flags),
        Verb::Env(flags) => env::run(&flags),
        Verb::Account(verb) => account::run(&verb),
        Verb::Core(verb) => core::run(&verb),
        Verb::AuditLog(verb) => audit_log::run(&verb),
        Verb::Flow(verb) => flow::run(&verb),
        Verb::Tdm(verb) => tdm::run(&verb),
        Verb::Demo(verb) => crate::demo::run(&verb),
    }
}

/// The chain of causes as one line.
pub fn one_line(error: &anyhow::Error) -> String {
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

/// A setting that cannot be used: the user can correct it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// The exit code an error stands for.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    let usage = error.chain().any(|cause| cause.is::<UsageError>() || cause.is::<toml::de::Error>());
    let environment = error.chain().any(|cause| {
        cause.is::<std::io::Error>() || cause.is::<marram_store::StoreError>() || cause.is::<marram_audit::AuditError>()
    });
    match (usage, environment) {
        (true, _) => EXIT_USAGE,
        (false, true) => EXIT_ENVIRONMENT,
        (false, false) => 1,
    }
}
