//! MQTT: deliveries per second, latency, memory of idle connections, connects per second; ours or any broker.
//!
//! ```text
//! marram-bench mqtt all                          every mode against a broker of ours in a child process
//! marram-bench mqtt one-to-one --qos 1 --tls     one mode
//! marram-bench mqtt fan-out --target 127.0.0.1:1883 --pid 4711
//! marram-bench mqtt certs --out DIR              CA, server and device certificates for a peer's configuration
//! marram-bench mqtt idle --target HOST:PORT --pid PID --certs DIR
//! ```

mod latency;
mod load;
mod many;
mod serve;
pub(crate) mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use serde_json::{Value, json};

#[derive(Parser)]
#[command(name = "marram-bench mqtt")]
struct Cli {
    #[command(subcommand)]
    mode: Mode,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand, Clone, Copy)]
enum Mode {
    /// Every mode below, TCP and mTLS.
    All,
    /// One publisher, one subscriber.
    OneToOne,
    /// One publisher, 50 subscribers.
    FanOut,
    /// 50 publishers, one subscriber.
    FanIn,
    /// One message at a time, 10,000 per second.
    Latency,
    /// Memory of idle mTLS connections with one subscription each.
    Idle,
    /// mTLS connects per second, and the time of one.
    Connects,
    /// Writes certificates for a peer's configuration.
    Certs,
    /// The broker under test; started by the other modes.
    #[command(hide = true)]
    Serve,
}

#[derive(clap::Args, Clone)]
struct Options {
    /// A broker to test instead of ours.
    #[arg(long, global = true)]
    target: Option<SocketAddr>,
    /// What the target is called in the results.
    #[arg(long, global = true, default_value = "target")]
    name: String,
    /// Process whose memory is read; ours is known.
    #[arg(long, global = true)]
    pid: Option<u32>,
    /// Folder with `ca.pem`, `device.pem` and `device.key` for a target with TLS.
    #[arg(long, global = true)]
    certs: Option<PathBuf>,
    /// Where `certs` writes.
    #[arg(long, global = true)]
    out: Option<PathBuf>,
    /// Quality of service, 0 or 1.
    #[arg(long, global = true, default_value_t = 0)]
    qos: u8,
    /// Speak TLS with a client certificate.
    #[arg(long, global = true)]
    tls: bool,
    /// Bytes of a payload.
    #[arg(long, global = true, default_value_t = 64)]
    payload: usize,
    /// QoS 1 messages a publisher keeps unacknowledged.
    #[arg(long, global = true, default_value_t = 100)]
    window: usize,
    /// Seconds of measurement, after one of warming up.
    #[arg(long, global = true, default_value_t = 5)]
    seconds: u64,
    /// Connections of `idle`, `connects`.
    #[arg(long, global = true, default_value_t = 3000)]
    connections: usize,
    /// Threads of the load generator.
    #[arg(long, global = true, default_value_t = 2)]
    threads: usize,
    /// The device's key is RSA-2048 instead of P-256; signing with it costs the generator more than all the rest.
    #[arg(long, global = true)]
    rsa: bool,
    /// `connects` against the least possible server instead of our broker: the limit of handshakes on this machine.
    #[arg(long, global = true)]
    limit: bool,
    /// Threads of our broker.
    #[arg(long, global = true, default_value_t = 2)]
    broker_threads: usize,
}

/// Runs one mode; one JSON line per result.
pub fn run(args: &[String]) -> anyhow::Result<()> {
    let cli = Cli::try_parse_from(std::iter::once("mqtt".to_owned()).chain(args.iter().cloned()))?;
    let options = &cli.options;
    anyhow::ensure!(options.qos < 2, "QoS is 0 or 1");
    match cli.mode {
        Mode::Serve => serve::run(options.out.as_deref().context("--out")?, options),
        Mode::Certs => {
            serve::write_certificates(options.out.as_deref().context("--out names the folder")?, options.rsa)
        }
        Mode::All => all(options),
        mode => one(mode, options),
    }
}

fn all(options: &Options) -> anyhow::Result<()> {
    let with = |qos, tls| Options { qos, tls, ..options.clone() };
    for (mode, qos, tls) in [
        (Mode::OneToOne, 0, false),
        (Mode::OneToOne, 1, false),
        (Mode::OneToOne, 1, true),
        (Mode::FanOut, 0, false),
        (Mode::FanOut, 1, false),
        (Mode::FanIn, 1, false),
        (Mode::Latency, 0, false),
        (Mode::Idle, 0, true),
        (Mode::Connects, 0, true),
    ] {
        one(mode, &with(qos, tls))?;
    }
    one(Mode::Connects, &Options { limit: true, ..with(0, true) })
}

/// Where a mode runs: our child process or somebody else's broker.
pub(crate) struct Target {
    name: String,
    address: SocketAddr,
    pid: Option<u32>,
    tls: Option<marram_tls::Connector>,
    _ours: Option<serve::Child>,
}

impl Target {
    fn find(mode: Mode, options: &Options) -> anyhow::Result<Self> {
        let tls = options.tls || matches!(mode, Mode::Idle | Mode::Connects);
        if let Some(address) = options.target {
            let certs = options.certs.as_deref();
            let tls = if tls { Some(serve::connector(certs.context("--certs is needed for TLS")?)?) } else { None };
            return Ok(Self { name: options.name.clone(), address, pid: options.pid, tls, _ours: None });
        }
        let child = serve::Child::start(tls, options)?;
        let connector = if tls { Some(serve::connector(child.folder())?) } else { None };
        let name = if options.limit { "limit" } else { "marram" }.to_owned();
        Ok(Self { name, address: child.address, pid: Some(child.pid()), tls: connector, _ours: Some(child) })
    }

    /// A broker that runs already; with a folder of certificates it is spoken to over TLS.
    pub(crate) fn at(address: SocketAddr, certs: Option<&std::path::Path>) -> anyhow::Result<Self> {
        let tls = certs.map(serve::connector).transpose()?;
        Ok(Self { name: "target".to_owned(), address, pid: None, tls, _ours: None })
    }

    /// Processor time of the broker so far, seconds.
    fn cpu(&self) -> Option<f64> {
        cpu_of(&self.pid?.to_string())
    }

    /// Resident memory of the broker in KiB, and its highest since the start.
    fn memory(&self) -> Option<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid?)).ok()?;
        let field = |name: &str| {
            status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.trim().parse().ok())
        };
        Some((field("VmRSS:")?, field("VmHWM:")?))
    }
}

/// Processor time of a process, user and system, in seconds.
fn cpu_of(pid: &str) -> Option<f64> {
    /// `sysconf(_SC_CLK_TCK)` on every Linux.
    const TICKS_PER_SEC: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold spaces; user and system time are fields 14 and 15 of the whole.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / TICKS_PER_SEC)
}

fn one(mode: Mode, options: &Options) -> anyhow::Result<()> {
    let target = Target::find(mode, options)?;
    let (name, result) = match mode {
        Mode::OneToOne => ("1:1", load::run(&target, options, 1, 1)?),
        Mode::FanOut => ("fan-out 1:50", load::run(&target, options, 1, 50)?),
        Mode::FanIn => ("fan-in 50:1", load::run(&target, options, 50, 1)?),
        Mode::Latency => ("latency 10k/s", latency::run(&target, options)?),
        Mode::Idle => ("idle mTLS", many::idle(&target, options)?),
        Mode::Connects => ("connects mTLS", many::connects(&target, options)?),
        Mode::All | Mode::Certs | Mode::Serve => unreachable!("handled by run"),
    };
    let mut line = json!({
        "bench": "mqtt",
        "mode": name,
        "target": target.name,
        "tls": target.tls.is_some(),
    });
    if let Some((rss, peak)) = target.memory() {
        line["rss_kib"] = rss.into();
        line["peak_rss_kib"] = peak.into();
    }
    if let (Value::Object(line), Value::Object(result)) = (&mut line, result) {
        line.extend(result);
    }
    println!("{line}");
    Ok(())
}

/// How long anything but the measurement itself may take.
const PATIENCE: Duration = Duration::from_secs(30);
