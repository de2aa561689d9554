//! Many connections, many subscriptions, and neighbours that behave badly.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::load::percentiles;
use super::wire::{Client, TOPIC, publish_payload, publish_template};
use super::{Options, Target, serve};

/// Memory per connection, and the latency beside all of them.
pub fn connections(target: &Target, options: &Options) -> anyhow::Result<Value> {
    serve::allow_many_files()?;
    let count = options.count.unwrap_or(10_000);
    let before = target.memory();
    let start = Instant::now();
    let clients: Vec<Client> = (0..count).map(|_| target.connect()).collect::<Result<_, _>>()?;
    let took = start.elapsed();
    let after = target.memory();
    let mut latency = paced(target, Duration::from_secs(2))?;
    latency["connections"] = clients.len().into();
    latency["connects_per_second"] = ((count as f64 / took.as_secs_f64()) as u64).into();
    latency["bytes_each"] = after.zip(before).map(|(now, then)| now.saturating_sub(then) / count as u64).into();
    Ok(latency)
}

/// Memory per subscription, each on a topic of its own, ten thousand to a connection.
pub fn subscriptions(target: &Target, options: &Options) -> anyhow::Result<Value> {
    let count = options.count.unwrap_or(100_000);
    let mut clients = Vec::new();
    for _ in 0..count.div_ceil(10_000) {
        let mut client = target.connect()?;
        client.subscribe("bench/warm")?;
        clients.push(client);
    }
    let before = target.memory();
    let start = Instant::now();
    for number in 0..count {
        clients[number / 10_000].subscribe(&format!("bench/d/{number:06}/t"))?;
    }
    let took = start.elapsed();
    let after = target.memory();
    let mut latency = paced(target, Duration::from_secs(2))?;
    latency["subscriptions"] = count.into();
    latency["subscribes_per_second"] = ((count as f64 / took.as_secs_f64()) as u64).into();
    latency["bytes_each"] = after.zip(before).map(|(now, then)| now.saturating_sub(then) / count as u64).into();
    Ok(latency)
}

/// Latency at 2,000 messages per second.
fn paced(target: &Target, over: Duration) -> anyhow::Result<Value> {
    let (mut reader, mut writer) = (target.connect()?, target.connect()?);
    reader.subscribe(TOPIC)?;
    let (template, payload) = (publish_template()?, publish_payload());
    let mut samples = Vec::new();
    let start = Instant::now();
    let mut due = start;
    while start.elapsed() < over {
        due += Duration::from_micros(500);
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        writer.request(&template, &payload)?;
        let sent = Instant::now();
        writer.flush()?;
        reader.take_frames()?;
        samples.push(sent.elapsed());
        writer.take_frames()?;
    }
    Ok(percentiles(&mut samples))
}

/// Latency without, then with a subscriber of the same topic that never reads.
pub fn stalled(target: &Target, _options: &Options) -> anyhow::Result<Value> {
    let alone = paced(target, Duration::from_secs(4))?;
    let mut sleeper = target.connect()?;
    sleeper.subscribe(TOPIC)?;
    // Its queue is full before the measurement starts.
    let mut writer = target.connect()?;
    let (template, payload) = (publish_template()?, publish_payload());
    for _ in 0..400 {
        for _ in 0..50 {
            writer.request(&template, &payload)?;
        }
        writer.flush()?;
        let mut open = 50;
        while open > 0 {
            open -= writer.take_frames()?;
        }
    }
    let beside = paced(target, Duration::from_secs(4))?;
    Ok(json!({"alone": alone, "beside_a_stalled_one": beside}))
}

/// Clients that subscribe, get messages they never read, and vanish.
pub fn leavers(target: &Target, options: &Options) -> anyhow::Result<Value> {
    let count = options.count.unwrap_or(100_000);
    let (template, payload) = (publish_template()?, publish_payload());
    let mut writer = target.connect()?;
    let start = Instant::now();
    for number in 0..count {
        let mut leaver = target.connect()?;
        leaver.subscribe(TOPIC)?;
        if number % 2 == 0 {
            leaver.request(&template, &payload)?;
            leaver.flush()?;
        }
        if number % 16 == 0 {
            writer.request(&template, &payload)?;
            writer.flush()?;
            writer.response()?;
        }
    }
    let took = start.elapsed();
    let latency = paced(target, Duration::from_secs(1))?;
    Ok(json!({"leavers": count, "per_second": (count as f64 / took.as_secs_f64()) as u64, "afterwards": latency}))
}
