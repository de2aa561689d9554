//! The command line.

use std::path::PathBuf;

use clap::{Args, Command, CommandFactory, Parser, Subcommand, ValueEnum};

/// The edge runtime: components, IPC, deployments, local broker, flows.
#[derive(Debug, Parser)]
#[command(name = "marram-core", version, propagate_version = true)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// All verbs for the help text, those that others take (`main`) included.
pub(crate) fn command() -> Command {
    let arguments =
        |name: &'static str| clap::Arg::new(name).trailing_var_arg(true).allow_hyphen_values(true).num_args(0..);
    let loader = Command::new("loader")
        .about("Keeps a core running, with the flags of `run`, and goes back when an update of it does not hold")
        .arg(arguments("FLAGS"));
    let cli =
        Command::new("cli").about("The command line of the original, `greengrass-cli`").arg(arguments("ARGUMENTS"));
    Arguments::command().subcommand(loader).subcommands(marram_core_cli::core_commands()).subcommand(cli)
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Runs the core in the foreground until SIGTERM.
    Run(Run),
    /// Writes the systemd unit of a core.
    Install(Install),
}

/// Flags of `install`.
#[derive(Debug, Args)]
pub(crate) struct Install {
    /// Root directory of the core; made when missing.
    #[arg(long, default_value = "/var/lib/marram-core")]
    pub(crate) root: PathBuf,
    /// Configuration merged at the first start.
    #[arg(long, default_value = "/etc/marram-core/config.yaml")]
    pub(crate) init_config: PathBuf,
    /// File to write.
    #[arg(long, default_value = "/etc/systemd/system/marram-core.service")]
    pub(crate) unit: PathBuf,
    /// Enable and start it.
    #[arg(long)]
    pub(crate) enable: bool,
}

/// Flags of `run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Root directory; made when missing.
    #[arg(long)]
    pub(crate) root: PathBuf,
    /// Configuration merged at the first start only.
    #[arg(long, visible_alias = "init")]
    pub(crate) init_config: Option<PathBuf>,
    /// Merge the file of `--init-config` again: its endpoints or certificates are newer than what is stored.
    #[arg(long, requires = "init_config")]
    pub(crate) update_config: bool,
    /// Configuration that replaces everything.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// Stop when standard input closes: the program that started this one is gone.
    #[arg(long)]
    pub(crate) until_stdin_closes: bool,
    /// How the core's own log lines on standard error look.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// Level of the core's own log.
    #[arg(long, env = "MARRAM_LOG", default_value = "info")]
    pub(crate) log: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
