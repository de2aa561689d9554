//! The command line: verbs and flags, as the start contract names them.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Marram: the open, self-hosted home for devices at the edge.
#[derive(Debug, Parser)]
#[command(name = "marram", version, propagate_version = true)]
pub struct Arguments {
    /// How log lines on standard error look.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Log level: error, warn, info, debug, trace, or a list such as `info,marram_broker=debug`.
    #[arg(long, global = true, env = "MARRAM_LOG", default_value = "info")]
    pub log: String,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Everything on this machine: control plane and demo devices, in the foreground.
    Up(Up),
    /// The control plane alone, from a configuration file.
    Serve(Serve),
    /// Print `export` lines so that aws, boto3 and mosquitto clients work at once.
    Env(DataOnly),
    /// Accounts (tenants).
    #[command(subcommand)]
    Account(Account),
    /// Edge cores.
    #[command(subcommand)]
    Core(crate::command::core::CoreVerb),
    /// The audit log.
    #[command(subcommand)]
    AuditLog(crate::command::audit_log::AuditLog),
    /// Flows.
    #[command(subcommand)]
    Flow(crate::command::flow::FlowVerb),
    /// TDM documents.
    #[command(subcommand)]
    Tdm(crate::command::tdm::Tdm),
    /// The processes that the demo is made of.
    #[command(subcommand)]
    Demo(crate::demo::DemoVerb),
}

/// Flags of `marram up`.
#[derive(Clone, Debug, Args)]
pub struct Up {
    /// Where everything is kept; made on first start.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// API and console listener. Port 0 picks a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443")]
    pub api: SocketAddr,
    /// Device HTTPS listener (client certificates).
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8444")]
    pub device_api: SocketAddr,
    /// MQTT listener (client certificates).
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8883")]
    pub mqtt: SocketAddr,
    /// A name or address clients use; goes into the server certificate. May be repeated.
    #[arg(long = "host", value_name = "NAME")]
    pub hosts: Vec<String>,
    /// Region of this installation.
    #[arg(long, default_value = "us-east-1")]
    pub region: String,
    /// The first account's id.
    #[arg(long, default_value = "000000000000")]
    pub account: String,
    /// Enforce metering quotas as the original service does; limits that protect are always on.
    #[arg(long, value_enum, default_value_t = Quotas::Off)]
    pub quotas: Quotas,
    /// Do not run a local core.
    #[arg(long)]
    pub no_core: bool,
    /// Do not run the demo devices and flows.
    #[arg(long)]
    pub no_demo: bool,
    /// Do not draw the live view on the terminal.
    #[arg(long)]
    pub no_view: bool,
}

/// Whether metering quotas are enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Quotas {
    /// No metering.
    Off,
    /// The documented rates of the original.
    Aws,
}

/// Flags of `marram serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// A data directory and nothing else.
#[derive(Debug, Args)]
pub struct DataOnly {
    /// The data directory of a running or stopped installation.
    #[arg(long, value_name = "DIR", default_value = "var", env = "MARRAM_DATA")]
    pub data: PathBuf,
}

/// Verbs of `marram account`.
#[derive(Debug, Subcommand)]
pub enum Account {
    /// A further account: prints its id and an administrator's access key, once.
    Create(AccountCreate),
    /// Print a link with which a user makes a passkey, or sets a password and a second factor, for the console: once, within 15
    /// minutes. What the user signed in with before is gone then.
    ConsoleLink(ConsoleLink),
}

/// Flags of `marram account console-link`.
#[derive(Debug, Args)]
pub struct ConsoleLink {
    /// IAM user; the administrator unless said otherwise.
    #[arg(long, value_name = "NAME", default_value = "administrator")]
    pub user: String,
    /// The user's account; the first one unless said otherwise.
    #[arg(long, value_name = "ID")]
    pub account: Option<String>,
    /// The data directory of the running installation.
    #[arg(long, value_name = "DIR", default_value = "var", env = "MARRAM_DATA")]
    pub data: PathBuf,
}

/// Flags of `marram account create`.
#[derive(Debug, Args)]
pub struct AccountCreate {
    /// The account's name.
    pub name: String,
    /// The data directory of the installation (running or stopped).
    #[arg(long, value_name = "DIR", default_value = "var", env = "MARRAM_DATA")]
    pub data: PathBuf,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    pub json: bool,
}
