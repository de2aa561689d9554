//! `api`: signed registry calls over kept connections, start-up time and memory; side by side with a peer.
//!
//! Our endpoint and keys come from the environment that `marram env` prints (`AWS_ENDPOINT_URL`, `AWS_CA_BUNDLE`,
//! `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_DEFAULT_REGION`). Each client signs each request
//! and waits for its answer before the next one.

mod client;
mod process;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use serde_json::json;

use client::{Connection, Keys, Target};

/// Calls of the registry, start-up and memory.
#[derive(Parser)]
#[command(name = "api")]
struct Options {
    /// Operations, in order: describe, create, list.
    #[arg(long, value_delimiter = ',', default_value = "describe,create,list")]
    ops: Vec<String>,
    /// Connections, each with one call under way.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Seconds measured per operation, after one second of warming up.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Things that must exist before reads are measured; missing ones are created.
    #[arg(long, default_value_t = 1000)]
    things: u64,
    /// `maxResults` of ListThings.
    #[arg(long, default_value_t = 25)]
    page: u32,
    /// A peer's URL (`http://` or `https://` with the same roots), measured in the same run.
    #[arg(long)]
    peer: Option<String>,
    /// What the peer is called in the results.
    #[arg(long, default_value = "peer")]
    peer_name: String,
    /// Measure the peer alone.
    #[arg(long)]
    peer_only: bool,
    /// Command whose start-up time and memory are measured instead; it is ended afterwards.
    #[arg(long)]
    start: Option<String>,
    /// When the command is ready: `stdout` (its first line) or a URL that answers 200.
    #[arg(long, default_value = "stdout")]
    ready: String,
    /// Milliseconds between readiness and the memory reading.
    #[arg(long, default_value_t = 500)]
    settle_ms: u64,
    /// How often the command is started.
    #[arg(long, default_value_t = 3)]
    starts: u32,
}

/// Runs the family; one JSON line per result.
pub fn run(arguments: &[String]) -> Result<()> {
    let options = Options::parse_from(std::iter::once("api".to_owned()).chain(arguments.iter().cloned()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        if let Some(command) = &options.start {
            for _ in 0..options.starts {
                process::measure(command, &options.ready, Duration::from_millis(options.settle_ms)).await?;
            }
            return Ok(());
        }
        let mut targets = Vec::new();
        if !options.peer_only {
            targets.push(Target::from_environment("marram")?);
        }
        if let Some(url) = &options.peer {
            targets.push(Target::new(&options.peer_name, url, Keys::from_environment_or_dummy())?);
        }
        if targets.is_empty() {
            bail!("--peer-only needs --peer URL");
        }
        let run = format!("b{:x}", std::process::id());
        for target in &targets {
            populate(target, &options).await?;
        }
        for op in &options.ops {
            for target in &targets {
                measure(target, op, &run, &options).await?;
            }
        }
        Ok(())
    })
}

/// Name of the thing with a number, shared by all runs, so that a second run finds the first one's.
fn existing(number: u64) -> String {
    format!("bench-{number:07}")
}

/// Makes sure that `--things` things exist.
async fn populate(target: &Target, options: &Options) -> Result<()> {
    let mut probe = target.connect().await?;
    if options.things == 0 || exists(&mut probe, options.things - 1).await? {
        return Ok(());
    }
    let mut first_missing = 0;
    let mut last = options.things - 1;
    // Things are made in order, so the boundary can be found by halving.
    while first_missing < last {
        let middle = first_missing + (last - first_missing) / 2;
        if exists(&mut probe, middle).await? { first_missing = middle + 1 } else { last = middle }
    }
    let started = Instant::now();
    let mut workers = tokio::task::JoinSet::new();
    let step = options.clients as u64;
    for worker in 0..step {
        let mut connection = target.connect().await?;
        // The boundary may lie up to one round of workers off: creation of an existing thing is harmless.
        let from = first_missing.saturating_sub(step) + worker;
        let until = options.things;
        workers.spawn(async move {
            for number in (from..until).step_by(step as usize) {
                let status = connection.call("POST", &format!("/things/{}", existing(number)), b"{}").await?;
                if status != 200 && status != 409 {
                    bail!("CreateThing answered {status}: {}", connection.body_text());
                }
            }
            Ok(())
        });
    }
    while let Some(done) = workers.join_next().await {
        done??;
    }
    let made = options.things - first_missing;
    let per_second = made as f64 / started.elapsed().as_secs_f64();
    print(
        json!({"bench": "api", "target": target.name(), "op": "populate", "made": made, "per_second": round(per_second)}),
    );
    Ok(())
}

async fn exists(connection: &mut Connection, number: u64) -> Result<bool> {
    match connection.call("GET", &format!("/things/{}", existing(number)), b"").await? {
        200 => Ok(true),
        404 => Ok(false),
        status => bail!("DescribeThing answered {status}: {}", connection.body_text()),
    }
}

/// What one client saw.
struct Seen {
    /// Microseconds per call within the measured time.
    micros: Vec<u32>,
    errors: u64,
}

async fn measure(target: &Target, op: &str, run: &str, options: &Options) -> Result<()> {
    let warm = Duration::from_secs(1);
    let length = Duration::from_secs_f64(options.seconds);
    let begin = Instant::now() + warm;
    let end = begin + length;
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..options.clients {
        let mut connection = target.connect().await.with_context(|| format!("connect to {}", target.name()))?;
        let make = maker(op, client as u64, run, options)?;
        clients.spawn(async move {
            let mut seen = Seen { micros: Vec::with_capacity(1 << 18), errors: 0 };
            for number in 0u64.. {
                let (method, path, body) = make(number);
                let sent = Instant::now();
                if sent >= end {
                    break;
                }
                let status = connection.call(method, &path, body).await?;
                if sent >= begin {
                    seen.micros.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
                    seen.errors += u64::from(status != 200);
                }
            }
            Ok::<Seen, anyhow::Error>(seen)
        });
    }
    let mut micros = Vec::new();
    let mut errors = 0;
    while let Some(done) = clients.join_next().await {
        let seen = done??;
        micros.extend(seen.micros);
        errors += seen.errors;
    }
    micros.sort_unstable();
    let at =
        |share: f64| micros.get(((micros.len() as f64 * share) as usize).min(micros.len().saturating_sub(1))).copied();
    print(json!({
        "bench": "api",
        "target": target.name(),
        "op": operation_name(op),
        "clients": options.clients,
        "things": options.things,
        "seconds": options.seconds,
        "calls": micros.len(),
        "errors": errors,
        "per_second": round(micros.len() as f64 / options.seconds),
        "p50_us": at(0.5),
        "p99_us": at(0.99),
    }));
    Ok(())
}

/// Method, path and body of a client's n-th call.
type Make = Box<dyn Fn(u64) -> (&'static str, String, &'static [u8]) + Send>;

fn maker(op: &str, client: u64, run: &str, options: &Options) -> Result<Make> {
    let things = options.things.max(1);
    let page = options.page;
    let run = run.to_owned();
    Ok(match op {
        "describe" => Box::new(move |number| {
            // A stride that is prime to the usual counts visits all things without order.
            let thing = (number * 7919 + client * 104_729) % things;
            ("GET", format!("/things/{}", existing(thing)), b"")
        }),
        "create" => Box::new(move |number| ("POST", format!("/things/{run}-{client}-{number}"), b"{}")),
        "list" => Box::new(move |_| ("GET", format!("/things?maxResults={page}"), b"")),
        other => bail!("no operation {other}; there are: describe, create, list"),
    })
}

fn operation_name(op: &str) -> &'static str {
    match op {
        "describe" => "DescribeThing",
        "create" => "CreateThing",
        _ => "ListThings",
    }
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn print(line: serde_json::Value) {
    println!("{line}");
}
