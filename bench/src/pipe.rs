//! `pipe`: messages through whatever turns one MQTT topic into another: a flow of ours, or Node-RED behind a broker.
//!
//! ```text
//! marram-bench pipe --target HOST:PORT --certs DIR --from box/motion --to box/display --qos 1 --name marram
//! ```
//!
//! A publisher and a subscriber, a connection each, on one thread. Throughput keeps a window of messages under way;
//! latency has one under way, from before the publish to after the receipt. `first` publishes until something arrives.
//! Whoever is measured is set up before; `tools/bench` does it for ours and for Node-RED.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde_json::{Value, json};

use crate::mqtt::Target;
use crate::mqtt::wire::{Wire, publish_bytes};

/// How long a message may take before it counts as lost.
const LOST: Duration = Duration::from_secs(2);
/// How long `first` waits, for the broker and for the message.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two attempts of `first`.
const AGAIN: Duration = Duration::from_millis(2);
/// Warming up before each measurement.
const WARM_UP: Duration = Duration::from_secs(1);

/// Messages through a pipe.
#[derive(Parser)]
#[command(name = "pipe")]
struct Options {
    /// The broker.
    #[arg(long)]
    target: SocketAddr,
    /// Folder with `ca.pem`, `device.pem`, `device.key`; without it the broker is spoken to in plain text.
    #[arg(long)]
    certs: Option<PathBuf>,
    /// Topic to publish on.
    #[arg(long)]
    from: String,
    /// Topic the pipe answers on.
    #[arg(long)]
    to: String,
    /// What is published.
    #[arg(long, default_value = r#"{"on":true,"id":"m1"}"#)]
    payload: String,
    /// Quality of service of both ends, 0 or 1.
    #[arg(long, default_value_t = 0)]
    qos: u8,
    /// What the pipe is called in the results.
    #[arg(long, default_value = "pipe")]
    name: String,
    /// Process of the pipe, whose memory is read at the end.
    #[arg(long)]
    pid: Option<u32>,
    /// What to measure: throughput, latency, first.
    #[arg(long, value_delimiter = ',', default_value = "throughput,latency")]
    what: Vec<String>,
    /// Messages under way at most, for throughput.
    #[arg(long, default_value_t = 500)]
    window: u64,
    /// Seconds per measurement.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
}

/// Runs the family; one JSON line per result.
pub fn run(args: &[String]) -> Result<()> {
    let options = Options::parse_from(std::iter::once("pipe".to_owned()).chain(args.iter().cloned()));
    ensure!(options.qos < 2, "QoS is 0 or 1");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let target = Target::at(options.target, options.certs.as_deref())?;
        for what in &options.what {
            let result = match what.as_str() {
                "throughput" => throughput(&mut Pipe::open(&target, &options).await?, &options).await?,
                "latency" => latency(&mut Pipe::open(&target, &options).await?, &options).await?,
                "first" => first(&target, &options).await?,
                other => anyhow::bail!("nothing called {other}; there are: throughput, latency, first"),
            };
            let mut line = json!({"bench": format!("pipe-{what}"), "target": options.name, "qos": options.qos,
                "tls": options.certs.is_some()});
            if let (Value::Object(line), Value::Object(result)) = (&mut line, result) {
                line.extend(result);
            }
            if let Some(pss) = options.pid.and_then(pss_mib) {
                line["pss_mib"] = pss.into();
            }
            println!("{line}");
        }
        Ok(())
    })
}

/// Proportional memory of a process, MiB with one decimal.
fn pss_mib(pid: u32) -> Option<f64> {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find(|line| line.starts_with("Pss:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some((kib / 102.4).round() / 10.0)
}

/// Both ends.
struct Pipe {
    publisher: Wire,
    subscriber: Wire,
    /// One PUBLISH; at QoS 1 its packet id is patched in.
    message: Vec<u8>,
    id_at: Option<usize>,
    next_id: u16,
    sent: u64,
    received: u64,
    lost: u64,
}

impl Pipe {
    async fn open(target: &Target, options: &Options) -> Result<Self> {
        let mut subscriber = Wire::connect(target, "pipe-to").await?;
        subscriber.subscribe(&options.to, options.qos).await?;
        let publisher = Wire::connect(target, "pipe-from").await?;
        let message = publish_bytes(&options.from, options.payload.as_bytes(), options.qos)?.to_vec();
        // One length byte up to 127 bytes of remaining length, two above; then the topic.
        let header = if message[1] & 0x80 == 0 { 2 } else { 3 };
        let id_at = (options.qos == 1).then_some(header + 2 + options.from.len());
        Ok(Self { publisher, subscriber, message, id_at, next_id: 0, sent: 0, received: 0, lost: 0 })
    }

    fn under_way(&self) -> u64 {
        (self.sent - self.lost).saturating_sub(self.received)
    }

    async fn send(&mut self, count: u64) -> Result<()> {
        for _ in 0..count {
            let start = self.publisher.out.len();
            self.publisher.out.extend_from_slice(&self.message);
            if let Some(at) = self.id_at {
                self.next_id = self.next_id % u16::MAX + 1;
                self.publisher.out[start + at..start + at + 2].copy_from_slice(&self.next_id.to_be_bytes());
            }
        }
        self.sent += count;
        Ok(self.publisher.flush().await?)
    }

    /// Waits for messages or acknowledgements; what takes too long counts as lost.
    async fn receive(&mut self, patience: Duration) -> Result<()> {
        let (publisher, subscriber) = (&mut self.publisher, &mut self.subscriber);
        let acknowledged = self.id_at.is_some();
        tokio::select! {
            biased;
            filled = subscriber.fill() => {
                filled.context("the subscriber's connection")?;
                self.received += self.subscriber.take_messages()?;
                if !self.subscriber.out.is_empty() {
                    self.subscriber.flush().await?;
                }
            }
            filled = publisher.fill(), if acknowledged => {
                filled.context("the publisher's connection")?;
                self.publisher.take_acks()?;
            }
            () = tokio::time::sleep(patience) => self.lost += self.under_way(),
        }
        Ok(())
    }

    /// Keeps `window` messages under way; answers those received and the time.
    async fn flow(&mut self, window: u64, time: Duration) -> Result<(u64, Duration)> {
        let (start, before) = (Instant::now(), self.received);
        while start.elapsed() < time {
            let room = window.saturating_sub(self.under_way());
            // In halves, so that messages are written in groups.
            if room >= window / 2 {
                self.send(room).await?;
            }
            self.receive(LOST).await?;
        }
        Ok((self.received - before, start.elapsed()))
    }

    /// Takes what is still under way, so that the next measurement does not find it.
    async fn drain(&mut self) -> Result<()> {
        while self.under_way() > 0 {
            self.receive(LOST).await?;
        }
        Ok(())
    }
}

async fn throughput(pipe: &mut Pipe, options: &Options) -> Result<Value> {
    pipe.flow(options.window, WARM_UP).await?;
    let (received, took) = pipe.flow(options.window, Duration::from_secs_f64(options.seconds)).await?;
    pipe.drain().await?;
    let rate = (received as f64 / took.as_secs_f64()).round();
    Ok(json!({"messages_per_s": rate, "window": options.window, "lost": pipe.lost}))
}

async fn latency(pipe: &mut Pipe, options: &Options) -> Result<Value> {
    let mut times = Vec::new();
    for time in [WARM_UP, Duration::from_secs_f64(options.seconds)] {
        times.clear();
        let start = Instant::now();
        while start.elapsed() < time {
            let sent = Instant::now();
            pipe.send(1).await?;
            while pipe.under_way() > 0 {
                pipe.receive(LOST).await?;
            }
            times.push(sent.elapsed());
        }
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_nanos() as f64 / 1_000.0;
    Ok(json!({"p50_us": at(0.5), "p99_us": at(0.99), "messages": times.len(), "lost": pipe.lost}))
}

/// Publishes until something arrives, trying to connect as long as nothing listens.
async fn first(target: &Target, options: &Options) -> Result<Value> {
    let start = Instant::now();
    let mut pipe = loop {
        match Pipe::open(target, options).await {
            Ok(pipe) => break pipe,
            Err(error) => ensure!(start.elapsed() < PATIENCE, "no broker: {error}"),
        }
        tokio::time::sleep(AGAIN).await;
    };
    let mut tries = 0;
    while pipe.received == 0 {
        ensure!(start.elapsed() < PATIENCE, "nothing came through the pipe");
        pipe.send(1).await?;
        tries += 1;
        let until = Instant::now() + AGAIN;
        while pipe.received == 0 && Instant::now() < until {
            pipe.receive(until - Instant::now()).await?;
        }
    }
    let took = start.elapsed();
    pipe.drain().await?;
    Ok(json!({"ms": took.as_secs_f64() * 1_000.0, "tries": tries}))
}
