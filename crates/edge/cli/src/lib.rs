//! The command line of a core: `greengrass-cli` (CR 7.1) and the verbs of `marram-core` that ask the running core.
//!
//! Everything goes over the IPC socket with the token of the operator's file (CR 7.2), except `logs`, which reads files.
//! Exit codes: 0 success, 1 failure, 2 usage. Data on standard output, words on standard error.

// The standard macros panic when the reader is gone.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod client;
mod component;
mod core;
mod deployment;
mod log;
mod log_order;
mod message;
mod syslog;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser, Subcommand};
use marram_obs::errln;

pub use client::{CliError, Client};

/// Name under which the program is `greengrass-cli`.
pub const CLI_NAME: &str = "greengrass-cli";

#[derive(Parser)]
#[command(name = "greengrass-cli", version, about = "Talks to the core on this machine")]
struct Cli {
    /// Root folder of the core.
    #[arg(long = "ggcRootPath", global = true, value_name = "DIR")]
    root: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Deployments that are made on this machine.
    #[command(subcommand)]
    Deployment(deployment::Verb),
    /// Components of the core.
    #[command(subcommand)]
    Component(component::Verb),
    /// Logs of the core and its components.
    #[command(subcommand)]
    Logs(log::Verb),
    /// A password for the local debug console.
    GetDebugPassword,
    /// Messages of the control plane's broker.
    #[command(subcommand)]
    Iotcore(message::CloudVerb),
    /// Messages between components.
    #[command(subcommand)]
    Pubsub(message::LocalVerb),
}

#[derive(Parser)]
#[command(name = "marram-core", version, about = "Asks the core on this machine")]
struct Core {
    /// Root folder of the core.
    #[arg(long, global = true, value_name = "DIR", env = "MARRAM_CORE_ROOT")]
    root: Option<PathBuf>,
    #[command(subcommand)]
    command: core::Verb,
}

/// Whether a program of this path is called as `greengrass-cli`.
pub fn is_cli_name(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name == CLI_NAME)
}

/// The verbs of `marram-core` that [`run_core`] takes.
pub const CORE_VERBS: &[&str] = &["status", "logs", "config", "why", "doctor", "sandbox"];

/// [`CORE_VERBS`] as a help text lists them.
pub fn core_commands() -> Vec<clap::Command> {
    Core::command().get_subcommands().cloned().collect()
}

/// `greengrass-cli ARGUMENTS...`, the program's own path first; answers the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().map(long_flag).collect();
    let program = arguments.first().map(PathBuf::from).unwrap_or_default();
    match Cli::try_parse_from(arguments) {
        Ok(cli) => {
            let root = cli.root.unwrap_or_else(|| default_root(&program, is_root));
            let connect = || Client::connect(&root);
            finish(match cli.command {
                Command::Deployment(verb) => connect().and_then(|mut client| deployment::run(&mut client, verb)),
                Command::Component(verb) => connect().and_then(|mut client| component::run(&mut client, verb)),
                Command::Logs(verb) => log::run(&root, verb),
                Command::GetDebugPassword => connect().and_then(|mut client| core::debug_password(&mut client)),
                Command::Iotcore(verb) => connect().and_then(|mut client| message::cloud(&mut client, verb)),
                Command::Pubsub(verb) => connect().and_then(|mut client| message::local(&mut client, verb)),
            })
        }
        Err(error) => usage(&error),
    }
}

/// Entry of the fuzz target: a command line of any words, one a line, as far as it goes without a core.
pub fn fuzz_arguments(text: &str) {
    let arguments = std::iter::once(CLI_NAME).chain(text.lines()).map(|word| long_flag(word.into()));
    if let Ok(Cli { command: Command::Deployment(verb), .. }) = Cli::try_parse_from(arguments) {
        deployment::fuzz(&verb);
    }
}

/// `marram-core status|logs|config|why|doctor|sandbox`, the program's own path first; answers the exit code.
pub fn run_core(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().map(long_flag).collect();
    let program = arguments.first().map(PathBuf::from).unwrap_or_default();
    match Core::try_parse_from(arguments) {
        Ok(core) => finish(core::run(&core.root.unwrap_or_else(|| default_root(&program, is_root)), core.command)),
        Err(error) => usage(&error),
    }
}

fn finish(result: Result<(), CliError>) -> u8 {
    match result {
        Ok(()) => 0,
        Err(CliError::Usage(message)) => {
            errln!("{message}");
            2
        }
        Err(error) => {
            errln!("{error}");
            1
        }
    }
}

fn usage(error: &clap::Error) -> u8 {
    // Help and version go to standard output and are no failure.
    let _ = error.print();
    if error.use_stderr() { 2 } else { 0 }
}

/// The flags of several letters behind one dash that the original has (CR 7.1).
fn long_flag(argument: OsString) -> OsString {
    let long = match argument.to_str() {
        Some("-fp") => "--failure-handling-policy",
        Some("-lf") => "--log-file",
        Some("-ld") => "--log-dir",
        Some("-fol") => "--follow",
        Some("-nc") => "--no-color",
        _ => return argument,
    };
    long.into()
}

/// Where cores usually have their root: the original's place, and that of our package.
const USUAL_ROOTS: [&str; 2] = ["/greengrass/v2", "/var/lib/marram-core"];

/// The root that a link `<root>/bin/greengrass-cli` belongs to, else the first usual one that is there.
fn default_root(program: &Path, is_root: impl Fn(&Path) -> bool) -> PathBuf {
    let folder = program.parent().filter(|folder| folder.file_name().is_some_and(|name| name == "bin"));
    let own = folder.and_then(Path::parent).filter(|root| root.is_absolute());
    let found = own.into_iter().chain(USUAL_ROOTS.map(Path::new)).find(|root| is_root(root));
    found.unwrap_or(Path::new(USUAL_ROOTS[0])).to_owned()
}

/// Whether a core started here once.
fn is_root(folder: &Path) -> bool {
    folder.join(client::TOKENS).is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        let words = std::iter::once("greengrass-cli").chain(line.split_whitespace());
        Cli::try_parse_from(words.map(OsString::from).map(long_flag))
    }

    /// CR 7.1: every command with its options, long and short, is understood.
    #[test]
    fn every_command_is_understood() {
        for line in [
            "deployment create -m a=1.0.0 --merge b=2.0.0 --remove c -g group -r recipes -a artifacts -fp ROLLBACK",
            "deployment create --groupId g --recipeDir r --artifactDir a --failure-handling-policy DO_NOTHING",
            "deployment create --runWith a:posixUser=u:g --systemLimits {} -c {} ",
            "deployment create --update-config {} --ggcRootPath /r",
            "deployment status -i id",
            "deployment list",
            "deployment cancel -i id",
            "--ggcRootPath /r component list",
            "component details -n a",
            "component restart -n a,b",
            "component stop --names a",
            "logs get -lf a.log -ld dir -t 1h, -f level=ERROR -b 1 -a 2 -m 5 -fol -nc -v -s",
            "logs list-log-files -ld dir",
            "logs list-keywords",
            "get-debug-password",
            "iotcore pub -t a -m hello -q 1",
            "iotcore sub -t a/# -q 0",
            "pubsub pub -t a -m {}",
            "pubsub sub -t a/+",
        ] {
            parse(line).map(drop).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
        assert_eq!(run(["greengrass-cli", "deployment", "status"].map(OsString::from)), 2);
        assert_eq!(run(["greengrass-cli", "--version"].map(OsString::from)), 0);
    }

    /// CR 7.1: a link in `<root>/bin` knows its root.
    #[test]
    fn the_root_is_found_from_the_link() {
        let of = |program: &str, roots: &'static [&str]| {
            default_root(Path::new(program), |folder| roots.iter().any(|root| folder == Path::new(root)))
        };
        let (original, package) = (USUAL_ROOTS[0], USUAL_ROOTS[1]);
        for (program, roots, expected) in [
            ("/x/bin/greengrass-cli", &["/x", "/greengrass/v2"] as &[&str], "/x"),
            ("/usr/bin/greengrass-cli", &["/var/lib/marram-core"], package),
            ("greengrass-cli", &["/var/lib/marram-core", "/greengrass/v2"], original),
            ("bin/greengrass-cli", &["bin", "/var/lib/marram-core"], package),
            ("marram-core", &[], original),
        ] {
            assert_eq!(of(program, roots), Path::new(expected), "{program}");
        }
    }
}
