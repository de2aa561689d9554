//! Messages for the control plane: how many a core takes durably, and the traffic of a modest component.

use std::time::{Duration, Instant};

use marram_eventstream::client::Session;
use serde_json::{Value, json};

use super::wire::{TOPIC, publish_payload, publish_template};
use super::{Options, Target};

/// Before the measurement starts.
const WARM_UP: Duration = Duration::from_millis(500);
/// Local messages of `chatter`, a second; half as many go to the control plane.
const CHATTER_PER_SECOND: u32 = 2;

fn cloud_payload() -> Vec<u8> {
    // "{\"celsius\":21.5}" in base64
    let topic = format!("{}/bench/temperature", std::env::var("AWS_IOT_THING_NAME").unwrap_or_default());
    json!({"topicName": topic, "qos": "1", "payload": "eyJjZWxzaXVzIjoyMS41fQ=="}).to_string().into_bytes()
}

/// Publishes with a window of unanswered requests until the time is over or the core refuses.
pub fn spool(target: &Target, options: &Options) -> anyhow::Result<Value> {
    let window = options.window.unwrap_or(256);
    let mut client = target.connect()?;
    let (template, payload) = (Session::request_template("aws.greengrass#PublishToIoTCore")?, cloud_payload());
    client.call("aws.greengrass#PublishToIoTCore", &payload)?;
    let start = Instant::now();
    let (mut open, mut accepted) = (0, 0_u64);
    let mut measured = None;
    loop {
        while open < window {
            client.request(&template, &payload)?;
            open += 1;
        }
        client.flush()?;
        // each answer is looked at: a full spool refuses, and a refusal is not a message
        client.response()?;
        (open, accepted) = (open - 1, accepted + 1);
        let now = start.elapsed();
        match measured {
            None if now >= WARM_UP => measured = Some((now, accepted)),
            Some((from, before)) if now >= WARM_UP + Duration::from_secs(options.seconds) => {
                let rate = (accepted - before) as f64 / (now - from).as_secs_f64();
                return Ok(json!({"window": window, "accepted_per_second": rate as u64}));
            }
            _ => {}
        }
    }
}

/// Publishes slowly until the core ends this process.
pub fn chatter(target: &Target) -> anyhow::Result<Value> {
    let (mut reader, mut writer) = (target.connect()?, target.connect()?);
    reader.subscribe(TOPIC)?;
    let (local, cloud) = (publish_template()?, Session::request_template("aws.greengrass#PublishToIoTCore")?);
    for number in 0_u64.. {
        writer.request(&local, &publish_payload())?;
        if number % 2 == 0 {
            writer.request(&cloud, &cloud_payload())?;
        }
        writer.flush()?;
        writer.response()?;
        if number % 2 == 0 {
            writer.response()?;
        }
        reader.take_frames()?;
        std::thread::sleep(Duration::from_secs(1) / CHATTER_PER_SECOND);
    }
    Ok(Value::Null)
}
