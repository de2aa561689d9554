//! IPC: publish to subscriber, latency, GetConfiguration, memory of connections and subscriptions, bad neighbours.
//!
//! ```text
//! marram-bench ipc all                                    every mode against a door of ours in a child process, and the limit
//! marram-bench ipc publish --window 256
//! marram-bench ipc latency --socket /greengrass/v2/ipc.socket --token TOKEN [--pid PID]
//! ```
//!
//! `spool` and `chatter` need a real core: they are what components of tools/bench-edge run.
//!
//! The limit is a tokio server that does nothing but split frames by their length and answer prepared bytes.

mod limit;
mod load;
mod many;
mod serve;
mod spool;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use serde_json::{Value, json};

#[derive(Parser)]
#[command(name = "marram-bench ipc")]
struct Cli {
    #[command(subcommand)]
    mode: Mode,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand, Clone, Copy, PartialEq)]
enum Mode {
    /// Every mode below, and the limit of the first three.
    All,
    /// One publisher, one subscriber, saturated.
    Publish,
    /// One message at a time.
    Latency,
    /// GetConfiguration with `--window` requests under way (16 unless given).
    Getconfig,
    /// Memory of idle connections.
    Connections,
    /// Memory of subscriptions.
    Subscriptions,
    /// Latency of a reader beside one that stopped reading.
    Stalled,
    /// Clients that subscribe and vanish.
    Leavers,
    /// PublishToIoTCore with QoS 1 and `--window` requests under way (256 unless given): what the core takes durably.
    Spool,
    /// A modest component: two local messages and one for the control plane a second, until it is ended.
    Chatter,
    /// The server under test; started by the other modes.
    #[command(hide = true)]
    Serve,
}

#[derive(clap::Args, Clone)]
struct Options {
    /// The socket of a server to test instead of ours.
    #[arg(long, global = true)]
    socket: Option<PathBuf>,
    /// A token it accepts; the component must be allowed to publish and subscribe on `bench/*`.
    #[arg(long, global = true, default_value = "bench-token")]
    token: String,
    /// Process whose memory is read; ours is known.
    #[arg(long, global = true)]
    pid: Option<u32>,
    /// Requests under way; 256 for `publish` and 16 for `getconfig` unless given.
    #[arg(long, global = true)]
    window: Option<usize>,
    /// Seconds of measurement, after a half of warming up.
    #[arg(long, global = true, default_value_t = 4)]
    seconds: u64,
    /// Connections, subscriptions or leavers of the modes that count them.
    #[arg(long, global = true)]
    count: Option<usize>,
    /// Measure the least possible server instead of ours.
    #[arg(long, global = true)]
    limit: bool,
}

/// Runs one mode; one JSON line per result.
pub fn run(args: &[String]) -> anyhow::Result<()> {
    let cli = Cli::try_parse_from(std::iter::once("ipc".to_owned()).chain(args.iter().cloned()))?;
    match cli.mode {
        Mode::Serve => serve::run(&cli.options),
        Mode::All => {
            for mode in [Mode::Publish, Mode::Latency, Mode::Getconfig] {
                one(mode, &Options { limit: true, ..cli.options.clone() })?;
                one(mode, &cli.options)?;
            }
            for mode in [Mode::Connections, Mode::Subscriptions, Mode::Stalled, Mode::Leavers] {
                one(mode, &cli.options)?;
            }
            Ok(())
        }
        mode => one(mode, &cli.options),
    }
}

/// Where a mode runs: our child process or somebody else's core.
struct Target {
    name: &'static str,
    socket: PathBuf,
    token: String,
    pid: Option<u32>,
    _ours: Option<serve::Child>,
}

impl Target {
    fn find(options: &Options) -> anyhow::Result<Self> {
        let token = options.token.clone();
        if let Some(socket) = options.socket.clone() {
            return Ok(Self { name: "target", socket, token, pid: options.pid, _ours: None });
        }
        let child = serve::Child::start(options.limit)?;
        let name = if options.limit { "limit" } else { "marram" };
        Ok(Self { name, socket: child.socket.clone(), token, pid: Some(child.pid()), _ours: Some(child) })
    }

    fn connect(&self) -> anyhow::Result<wire::Client> {
        wire::Client::connect(&self.socket, &self.token)
    }

    /// Proportional memory of the server in bytes.
    fn memory(&self) -> Option<u64> {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid?)).ok()?;
        let kib = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?.trim().strip_suffix("kB")?.trim().parse();
        kib.ok().map(|kib: u64| kib * 1024)
    }

    /// Processor seconds the server used so far.
    fn processor_seconds(&self) -> Option<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid?)).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
        Some(ticks / 100.0)
    }
}

fn one(mode: Mode, options: &Options) -> anyhow::Result<()> {
    let target = Target::find(options)?;
    let (name, result) = match mode {
        Mode::Publish => ("publish", load::publish(&target, options)?),
        Mode::Latency => ("latency", load::latency(&target, options)?),
        Mode::Getconfig => ("getconfig", load::get_configuration(&target, options)?),
        Mode::Connections => ("connections", many::connections(&target, options)?),
        Mode::Subscriptions => ("subscriptions", many::subscriptions(&target, options)?),
        Mode::Stalled => ("stalled", many::stalled(&target, options)?),
        Mode::Leavers => ("leavers", many::leavers(&target, options)?),
        Mode::Spool => ("spool", spool::spool(&target, options)?),
        Mode::Chatter => ("chatter", spool::chatter(&target)?),
        Mode::All | Mode::Serve => unreachable!("handled by run"),
    };
    let mut line = json!({"bench": "ipc", "mode": name, "target": target.name});
    if let Some(memory) = target.memory() {
        line["pss_kib"] = (memory / 1024).into();
    }
    if let (Value::Object(line), Value::Object(result)) = (&mut line, result) {
        line.extend(result);
    }
    println!("{line}");
    Ok(())
}

/// How long anything but the measurement itself may take.
const PATIENCE: Duration = Duration::from_secs(30);
