//! `marram demo device`: a device of the getting-started lobby (things-graph.md 7.9), connected with its certificate.
//!
//! | kind | does |
//! | --- | --- |
//! | `motion-sensor` | publishes `{"isMotionDetected": true}` to `<thing>/motion` every 10 s |
//! | `camera` | answers each message on `<thing>/capture` with `{"lastClickedImage": "<uri>"}` on `<thing>/capture/finished` |
//! | `screen` | shows what arrives on `<thing>/display` as `{"imageUri": "<uri>"}` |
//!
//! Client id and topic prefix are the thing name, QoS 0. Each event is one JSON line on standard output.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use marram_mqtt::{Connect, Publish, QoS, Version};
use marram_mqtt_net::{Client, ClientOptions};
use marram_tls::{ClientIdentity, Connector};
use serde_json::{Value, json};

/// How often the sensor sees something (things-graph.md 7.9).
const MOTION_INTERVAL: Duration = Duration::from_secs(10);

/// When it sees something first.
const MOTION_FIRST: Duration = Duration::from_millis(500);

/// Waits between connection attempts: doubled each time up to the second.
const RECONNECT_FIRST: Duration = Duration::from_millis(200);
const RECONNECT_MAX: Duration = Duration::from_secs(10);

/// Longest text a screen repeats on standard output.
const SHOWN_CHARS: usize = 200;

/// Flags of `marram demo device`.
#[derive(Debug, Args)]
pub struct Device {
    /// What it is.
    #[arg(long, value_enum)]
    pub kind: Kind,
    /// Thing name, client id and topic prefix.
    #[arg(long, value_name = "NAME")]
    pub thing: String,
    /// MQTT endpoint, `host:port`; the host is checked against the server's certificate.
    #[arg(long, value_name = "HOST:PORT")]
    pub endpoint: String,
    /// Root certificate, PEM.
    #[arg(long, value_name = "FILE")]
    pub ca: PathBuf,
    /// The device's certificate, PEM.
    #[arg(long, value_name = "FILE")]
    pub cert: PathBuf,
    /// The device's private key, PEM.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Exit when standard input is closed, so that it does not outlive whoever started it.
    #[arg(long)]
    pub until_stdin_closes: bool,
}

/// The kinds of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Sees something every ten seconds.
    MotionSensor,
    /// Takes pictures when asked.
    Camera,
    /// Shows pictures.
    Screen,
}

/// Runs the device until it is stopped. The client connects again whenever the connection is lost.
pub async fn run(flags: &Device) -> anyhow::Result<()> {
    let options = options(flags)?;
    tokio::select! {
        ended = serve(flags, &options) => ended,
        () = super::stdin_closed(flags.until_stdin_closes) => Ok(()),
    }
}

fn options(flags: &Device) -> anyhow::Result<ClientOptions> {
    let read =
        |path: &PathBuf| std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    let (host, port) = flags.endpoint.rsplit_once(':').context("--endpoint is host:port")?;
    let tls = Connector::new(marram_tls::ClientOptions {
        roots_pem: read(&flags.ca)?,
        identity: Some(ClientIdentity { chain_pem: read(&flags.cert)?, key_pem: read(&flags.key)? }),
        alpn: Vec::new(),
    })
    .context("the certificates cannot be used")?;
    Ok(ClientOptions {
        host: host.to_owned(),
        port: port.parse().context("--endpoint is host:port")?,
        tls: Some(tls),
        connect: Connect::new(Version::V4, flags.thing.as_str()),
    })
}

async fn serve(flags: &Device, options: &ClientOptions) -> anyhow::Result<()> {
    let mut behaviour = Behaviour::new(flags.kind, &flags.thing);
    let mut client = connect(options).await;
    if let Some(filter) = behaviour.listens_to() {
        client
            .subscribe(filter.parse()?, QoS::AtMostOnce)
            .await
            .with_context(|| format!("cannot subscribe to {filter}"))?;
    }
    super::say(&json!({"event": "connected"}));
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + MOTION_FIRST, MOTION_INTERVAL);
    loop {
        let deed = tokio::select! {
            message = client.recv() => match message {
                Some(message) => message.topic.and_then(|topic| behaviour.hear(&topic, &message.payload)),
                None => anyhow::bail!("the client was closed"),
            },
            _ = tick.tick() => behaviour.tick(),
        };
        let Some(deed) = deed else { continue };
        if let Some((topic, payload)) = deed.publish {
            client.publish(Publish::new(topic.parse()?, payload.to_string())).await?;
        }
        super::say(&deed.event);
    }
}

/// Tries until a connection is made, ever more slowly.
async fn connect(options: &ClientOptions) -> Client {
    let mut wait = RECONNECT_FIRST;
    loop {
        match Client::connect(options.clone()).await {
            Ok(client) => return client,
            Err(error) => super::say(&json!({"event": "disconnected", "why": error.to_string()})),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RECONNECT_MAX);
    }
}

/// What a device does, without its connection.
#[derive(Debug)]
struct Behaviour {
    kind: Kind,
    thing: String,
    pictures: u64,
}

/// One thing a device does.
#[derive(Debug, PartialEq)]
struct Deed {
    publish: Option<(String, Value)>,
    event: Value,
}

impl Behaviour {
    fn new(kind: Kind, thing: &str) -> Self {
        Self { kind, thing: thing.to_owned(), pictures: 0 }
    }

    fn topic(&self, suffix: &str) -> String {
        format!("{}/{suffix}", self.thing)
    }

    fn listens_to(&self) -> Option<String> {
        match self.kind {
            Kind::MotionSensor => None,
            Kind::Camera => Some(self.topic("capture")),
            Kind::Screen => Some(self.topic("display")),
        }
    }

    fn tick(&mut self) -> Option<Deed> {
        (self.kind == Kind::MotionSensor).then(|| Deed {
            publish: Some((self.topic("motion"), json!({"isMotionDetected": true}))),
            event: json!({"event": "motion"}),
        })
    }

    fn hear(&mut self, topic: &str, payload: &[u8]) -> Option<Deed> {
        if self.listens_to().as_deref() != Some(topic) {
            return None;
        }
        match self.kind {
            Kind::MotionSensor => None,
            Kind::Camera => {
                self.pictures += 1;
                let uri = format!("demo://{}/picture-{:05}.jpg", self.thing, self.pictures);
                Some(Deed {
                    publish: Some((self.topic("capture/finished"), json!({"lastClickedImage": uri}))),
                    event: json!({"event": "captured", "uri": uri}),
                })
            }
            Kind::Screen => {
                let uri = serde_json::from_slice::<Value>(payload).ok()?["imageUri"].as_str()?.to_owned();
                let uri: String = uri.chars().take(SHOWN_CHARS).collect();
                Some(Deed { publish: None, event: json!({"event": "displayed", "uri": uri}) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TG 7.9: topics and payloads of the three devices.
    #[test]
    fn devices_behave_as_the_getting_started_ones() {
        let mut sensor = Behaviour::new(Kind::MotionSensor, "s");
        let motion = sensor.tick().and_then(|deed| deed.publish);
        assert_eq!(motion, Some(("s/motion".to_owned(), json!({"isMotionDetected": true}))));
        assert_eq!(sensor.listens_to(), None);

        let mut camera = Behaviour::new(Kind::Camera, "c");
        assert_eq!(camera.listens_to().as_deref(), Some("c/capture"));
        let picture = camera.hear("c/capture", b"{}").and_then(|deed| deed.publish);
        let uri = "demo://c/picture-00001.jpg";
        assert_eq!(picture, Some(("c/capture/finished".to_owned(), json!({"lastClickedImage": uri}))));
        assert_eq!(camera.hear("other/capture", b"{}"), None);
        assert_eq!(camera.tick(), None);

        let mut screen = Behaviour::new(Kind::Screen, "d");
        let shown = screen.hear("d/display", br#"{"imageUri":"demo://x"}"#);
        assert_eq!(shown, Some(Deed { publish: None, event: json!({"event": "displayed", "uri": "demo://x"}) }));
        for malformed in [&b"{}"[..], b"not json", br#"{"imageUri":7}"#] {
            assert_eq!(screen.hear("d/display", malformed), None);
        }
    }
}
