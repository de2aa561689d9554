//! `api`: signed registry calls over kept connections, start-up time and memory; side by side with a peer.
//!
//! Our endpoint and keys come from the environment that `marram env` prints (`AWS_ENDPOINT_URL`, `AWS_CA_BUNDLE`,
//! `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_DEFAULT_REGION`). Each client waits for
//! the answer before its next request. Requests are signed before the clock starts, so that the machine they share is the
//! server's; results tell what clients and server took of it.

mod client;
mod limit;
mod process;
mod timing;

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
    /// Threads of the clients.
    #[arg(long, default_value_t = 1)]
    client_threads: usize,
    /// Process of the server, for its processor time and memory.
    #[arg(long)]
    pid: Option<u32>,
    /// Measure the constant server in the same run.
    #[arg(long)]
    limit: bool,
    /// Be the constant server.
    #[arg(long, hide = true)]
    serve_constant: bool,
    /// Compare the time of refusals instead: a thing nobody has and one of another account.
    #[arg(long)]
    timing: bool,
    /// Calls of each kind that `--timing` makes.
    #[arg(long, default_value_t = 50_000)]
    timing_calls: usize,
    /// Things that must exist before reads are measured; missing ones are created.
    #[arg(long, default_value_t = 1000)]
    things: u64,
    /// Connections that create missing things: many share a commit of the server.
    #[arg(long, default_value_t = 64)]
    populate_clients: u64,
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
    if options.serve_constant {
        return limit::run();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
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
        if options.timing {
            return timing::run(&targets[0], options.timing_calls).await;
        }
        for target in &targets {
            populate(target, &options).await?;
        }
        let constant = if options.limit { Some(limit::Limit::start()?) } else { None };
        for op in &options.ops {
            for target in &targets {
                let pid = options.pid.filter(|_| target.name() == "marram");
                measure(target, op, &run, &options, pid)?;
            }
        }
        if let Some((process, target)) = &constant {
            measure(target, "describe", &run, &options, Some(process.pid()))?;
        }
        if let Some(kib) = options.pid.and_then(process::pss_kib) {
            print(json!({"bench": "api", "target": "marram", "op": "memory after load", "pss_kib": kib}));
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
    let step = options.populate_clients.max(1);
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

/// Most requests that a client signs ahead; a read is sent again and again, a creation is signed on the way beyond it.
const SIGNED_AHEAD: u64 = 20_000;

/// What the clients of one thread are told and answer.
struct Lane<'o> {
    target: &'o Target,
    op: &'o str,
    run: &'o str,
    options: &'o Options,
    /// Numbers of its clients.
    clients: Vec<usize>,
    /// Passed by every thread when its requests are signed.
    ready: &'o std::sync::Barrier,
}

impl Lane<'_> {
    fn work(&self) -> Result<Vec<Seen>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let tasks = tokio::task::LocalSet::new();
        let prepared = runtime.block_on(async {
            let mut prepared = Vec::new();
            for client in &self.clients {
                prepared.push(self.prepare(*client).await?);
            }
            Ok::<_, anyhow::Error>(prepared)
        });
        self.ready.wait();
        let begin = Instant::now() + Duration::from_secs(1);
        let end = begin + Duration::from_secs_f64(self.options.seconds);
        tasks.block_on(&runtime, async {
            let clients: Vec<_> = prepared?
                .into_iter()
                .map(|(connection, requests, make)| {
                    tokio::task::spawn_local(drive(connection, requests, make, begin, end))
                })
                .collect();
            let mut seen = Vec::new();
            for client in clients {
                seen.push(client.await??);
            }
            Ok(seen)
        })
    }

    /// A connection, its first requests signed, and how to make more (of creations).
    async fn prepare(&self, client: usize) -> Result<(Connection, Vec<Vec<u8>>, Option<Make>)> {
        let connection = self.target.connect().await.with_context(|| format!("connect to {}", self.target.name()))?;
        let make = maker(self.op, client as u64, self.run, self.options)?;
        let distinct = match self.op {
            "describe" => self.options.things.clamp(1, SIGNED_AHEAD / 4),
            "create" => SIGNED_AHEAD,
            _ => 1,
        };
        let requests = (0..distinct)
            .map(|number| {
                let (method, path, body) = make(number);
                connection.sign(method, &path, body)
            })
            .collect::<Result<Vec<_>>>()?;
        Ok((connection, requests, (self.op == "create").then_some(make)))
    }
}

/// One client: a request, its answer, the next request.
async fn drive(
    mut connection: Connection,
    requests: Vec<Vec<u8>>,
    make: Option<Make>,
    begin: Instant,
    end: Instant,
) -> Result<Seen> {
    let mut seen = Seen { micros: Vec::with_capacity(1 << 18), errors: 0 };
    for number in 0u64.. {
        let mut made = Vec::new();
        let request = match (requests.get(number as usize), &make) {
            (Some(request), _) => request,
            (None, None) => &requests[number as usize % requests.len()],
            (None, Some(make)) => {
                let (method, path, body) = make(number);
                made.extend(connection.sign(method, &path, body)?);
                &made
            }
        };
        let sent = Instant::now();
        if sent >= end {
            break;
        }
        let status = connection.exchange(request).await?;
        if sent >= begin {
            seen.micros.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
            seen.errors += u64::from(status != 200);
        }
    }
    Ok(seen)
}

fn measure(target: &Target, op: &str, run: &str, options: &Options, pid: Option<u32>) -> Result<()> {
    let threads = options.client_threads.clamp(1, options.clients.max(1));
    let ready = std::sync::Barrier::new(threads + 1);
    let (seen, processor) = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..threads)
            .map(|thread| {
                let clients = (thread..options.clients).step_by(threads).collect();
                let lane = Lane { target, op, run, options, clients, ready: &ready };
                scope.spawn(move || lane.work())
            })
            .collect();
        ready.wait();
        let own = std::process::id();
        // The warm-up second is left out, as in the calls.
        std::thread::sleep(Duration::from_secs(1));
        let before = (process::processor_seconds(own), pid.and_then(process::processor_seconds));
        std::thread::sleep(Duration::from_secs_f64(options.seconds));
        let after = (process::processor_seconds(own), pid.and_then(process::processor_seconds));
        let mut seen = Vec::new();
        for lane in lanes {
            seen.extend(lane.join().map_err(|_| anyhow::anyhow!("a client panicked"))??);
        }
        Ok::<_, anyhow::Error>((seen, (span(before.0, after.0), span(before.1, after.1))))
    })?;
    let mut micros = Vec::new();
    let mut errors = 0;
    for seen in seen {
        micros.extend(seen.micros);
        errors += seen.errors;
    }
    micros.sort_unstable();
    let at =
        |share: f64| micros.get(((micros.len() as f64 * share) as usize).min(micros.len().saturating_sub(1))).copied();
    let each = |seconds: Option<f64>| seconds.map(|seconds| round(seconds * 1e6 / micros.len().max(1) as f64));
    print(json!({
        "bench": "api",
        "target": target.name(),
        "op": if target.name() == "limit" { "constant" } else { operation_name(op) },
        "clients": options.clients,
        "things": options.things,
        "seconds": options.seconds,
        "calls": micros.len(),
        "errors": errors,
        "per_second": round(micros.len() as f64 / options.seconds),
        "p50_us": at(0.5),
        "p99_us": at(0.99),
        "client_cpu_us": each(processor.0),
        "server_cpu_us": each(processor.1),
    }));
    Ok(())
}

fn span(before: Option<f64>, after: Option<f64>) -> Option<f64> {
    Some(after? - before?)
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
