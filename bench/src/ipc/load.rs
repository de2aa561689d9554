//! One publisher and one reader: saturated, one at a time; GetConfiguration with a window.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use marram_eventstream::client::Session;
use serde_json::{Value, json};

use super::wire::{TOPIC, publish_payload, publish_template};
use super::{Options, Target};

/// Before the measurement starts.
const WARM_UP: Duration = Duration::from_millis(500);

fn rate(count: u64, over: Duration) -> u64 {
    (count as f64 / over.as_secs_f64()) as u64
}

/// Publishes with a window of unanswered requests; counts what the subscriber gets.
pub fn publish(target: &Target, options: &Options) -> anyhow::Result<Value> {
    let window = options.window.unwrap_or(256);
    let (mut reader, mut writer) = (target.connect()?, target.connect()?);
    reader.subscribe(TOPIC)?;
    let (received, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (count, ended) = (Arc::clone(&received), Arc::clone(&stop));
    reader.socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    let reading = std::thread::spawn(move || {
        while !ended.load(Ordering::Relaxed) {
            if let Ok(frames) = reader.take_frames() {
                count.fetch_add(frames as u64, Ordering::Relaxed);
            }
        }
    });
    let (template, payload) = (publish_template()?, publish_payload());
    let start = Instant::now();
    let (mut open, mut published) = (0, 0_u64);
    let mut measured = None;
    loop {
        while open < window {
            writer.request(&template, &payload)?;
            open += 1;
        }
        writer.flush()?;
        let answered = writer.take_frames()?;
        open -= answered;
        published += answered as u64;
        let now = start.elapsed();
        match &measured {
            None if now >= WARM_UP => {
                measured = Some((now, published, received.load(Ordering::Relaxed), target.processor_seconds()));
            }
            Some((from, published_before, before, cpu)) if now >= WARM_UP + Duration::from_secs(options.seconds) => {
                let over = now - *from;
                let delivered = received.load(Ordering::Relaxed) - before;
                let published = published - published_before;
                let cpu = target.processor_seconds().zip(*cpu).map(|(now, then)| (now - then) / over.as_secs_f64());
                stop.store(true, Ordering::Relaxed);
                reading.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?;
                return Ok(json!({
                    "window": window,
                    "published_per_second": rate(published, over),
                    "delivered_per_second": rate(delivered, over),
                    "lost": published.saturating_sub(delivered),
                    "server_cpu": cpu,
                }));
            }
            _ => {}
        }
    }
}

/// From the publisher's write to the subscriber's read, one message at a time.
pub fn latency(target: &Target, options: &Options) -> anyhow::Result<Value> {
    let (mut reader, mut writer) = (target.connect()?, target.connect()?);
    reader.subscribe(TOPIC)?;
    let (template, payload) = (publish_template()?, publish_payload());
    let start = Instant::now();
    let mut samples = Vec::new();
    while start.elapsed() < WARM_UP + Duration::from_secs(options.seconds) {
        writer.request(&template, &payload)?;
        let sent = Instant::now();
        writer.flush()?;
        reader.take_frames()?;
        let took = sent.elapsed();
        writer.take_frames()?;
        if start.elapsed() > WARM_UP {
            samples.push(took);
        }
    }
    Ok(percentiles(&mut samples))
}

/// Percentiles in microseconds.
pub fn percentiles(samples: &mut [Duration]) -> Value {
    samples.sort_unstable();
    let at = |part: f64| {
        let index = ((samples.len() as f64 * part) as usize).min(samples.len().saturating_sub(1));
        samples.get(index).map(|sample| sample.as_nanos() as f64 / 1000.0)
    };
    json!({"samples": samples.len(), "p50_us": at(0.5), "p99_us": at(0.99), "p999_us": at(0.999)})
}

/// GetConfiguration with a window of unanswered requests.
pub fn get_configuration(target: &Target, options: &Options) -> anyhow::Result<Value> {
    let window = options.window.unwrap_or(16);
    let mut client = target.connect()?;
    let template = Session::request_template("aws.greengrass#GetConfiguration")?;
    let payload = br#"{"keyPath":["sampling","rate"]}"#;
    client.call("aws.greengrass#GetConfiguration", payload)?;
    let start = Instant::now();
    let (mut open, mut answered) = (0, 0_u64);
    let mut measured = None;
    loop {
        while open < window {
            client.request(&template, payload)?;
            open += 1;
        }
        client.flush()?;
        let count = client.take_frames()?;
        open -= count;
        answered += count as u64;
        let now = start.elapsed();
        match measured {
            None if now >= WARM_UP => measured = Some((now, answered)),
            Some((from, before)) if now >= WARM_UP + Duration::from_secs(options.seconds) => {
                return Ok(json!({"window": window, "per_second": rate(answered - before, now - from)}));
            }
            _ => {}
        }
    }
}
