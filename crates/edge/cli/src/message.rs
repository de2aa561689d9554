//! `iotcore pub|sub`, `pubsub pub|sub`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use marram_obs::outln;
use serde_json::{Value, json};

use crate::client::{CliError, Client};

#[derive(Subcommand)]
pub(crate) enum CloudVerb {
    /// Publishes a message.
    Pub {
        #[arg(short, long)]
        topic: String,
        #[arg(short, long, default_value = "")]
        message: String,
        #[arg(short, long, default_value = "0", value_parser = ["0", "1"])]
        qos: String,
    },
    /// Prints messages until interrupted.
    Sub {
        #[arg(short, long)]
        topic: String,
        #[arg(short, long, default_value = "0", value_parser = ["0", "1"])]
        qos: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum LocalVerb {
    /// Publishes a message; a JSON object goes as JSON, anything else as bytes.
    Pub {
        #[arg(short, long)]
        topic: String,
        #[arg(short, long, default_value = "")]
        message: String,
    },
    /// Prints messages until interrupted.
    Sub {
        #[arg(short, long)]
        topic: String,
    },
}

pub(crate) fn cloud(client: &mut Client, verb: CloudVerb) -> Result<(), CliError> {
    match verb {
        CloudVerb::Pub { topic, message, qos } => {
            let request = json!({"topicName": topic, "qos": qos, "payload": STANDARD.encode(message)});
            client.call("PublishToIoTCore", &request).map(drop)
        }
        CloudVerb::Sub { topic, qos } => {
            client.call("SubscribeToIoTCore", &json!({"topicName": topic, "qos": qos}))?;
            loop {
                let event = client.message()?;
                let message = &event["message"];
                print(&message["topicName"], &decoded(&message["payload"]));
            }
        }
    }
}

pub(crate) fn local(client: &mut Client, verb: LocalVerb) -> Result<(), CliError> {
    match verb {
        LocalVerb::Pub { topic, message } => {
            let message = match serde_json::from_str::<Value>(&message) {
                Ok(object @ Value::Object(_)) => json!({"jsonMessage": {"message": object}}),
                _ => json!({"binaryMessage": {"message": STANDARD.encode(message)}}),
            };
            client.call("PublishToTopic", &json!({"topic": topic, "publishMessage": message})).map(drop)
        }
        LocalVerb::Sub { topic } => {
            // Another command of the operator is the same caller to the core, which hides a caller's own messages behind wildcards.
            client.call("SubscribeToTopic", &json!({"topic": topic, "receiveMode": "RECEIVE_ALL_MESSAGES"}))?;
            loop {
                let event = client.message()?;
                let (json, binary) = (&event["jsonMessage"], &event["binaryMessage"]);
                if json.is_object() {
                    print(&json["context"]["topic"], &json["message"].to_string());
                } else {
                    print(&binary["context"]["topic"], &decoded(&binary["message"]));
                }
            }
        }
    }
}

fn decoded(blob: &Value) -> String {
    let bytes = STANDARD.decode(blob.as_str().unwrap_or_default()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn print(topic: &Value, text: &str) {
    outln!("{}: {text}", topic.as_str().unwrap_or_default());
}
