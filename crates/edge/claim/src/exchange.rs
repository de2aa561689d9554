//! Questions over MQTT with the claim certificate: one topic, an answer on `accepted` or `rejected`.

use std::time::Duration;

use marram_mqtt::{Connect, Publish, QoS, Topic, TopicFilter, Version};
use marram_mqtt_net::Client;
use marram_uplink::{DeviceTls, Purpose, Road};
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::ClaimError;
use crate::files::read;
use crate::settings::ClaimSettings;

/// Time for one answer.
const ANSWER: Duration = Duration::from_secs(30);
/// Time for network, proxy and TLS.
const REACH: Duration = Duration::from_secs(30);
const KEEP_ALIVE_SECS: u16 = 60;

/// A connection of the claim.
pub(crate) struct Exchange {
    client: Client,
}

impl Exchange {
    pub(crate) async fn open(settings: &ClaimSettings, client_id: &str) -> Result<Self, ClaimError> {
        let tls = DeviceTls {
            roots_pem: read(&settings.root_ca)?,
            chain_pem: read(&settings.claim_certificate)?,
            key_pem: read(&settings.claim_key)?,
        };
        let road = Road::new(&tls, settings.proxy.clone())?;
        let stream = timeout(REACH, road.open(Purpose::Mqtt, &settings.data_endpoint, settings.mqtt_port)).await;
        let stream = stream.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut)).flatten();
        let connect = Connect { keep_alive_secs: KEEP_ALIVE_SECS, ..Connect::new(Version::V4, client_id) };
        Ok(Self { client: Client::over(stream.map_err(ClaimError::Road)?, connect).await? })
    }

    /// Asks on `topic`.
    pub(crate) async fn ask(&mut self, topic: &str, question: &Value) -> Result<Value, ClaimError> {
        let bad = || ClaimError::Topic(topic.to_owned());
        let (accepted, rejected) = (format!("{topic}/accepted"), format!("{topic}/rejected"));
        for filter in [&accepted, &rejected] {
            let filter = TopicFilter::new(filter).map_err(|_| bad())?;
            self.client.subscribe(filter, QoS::AtLeastOnce).await?;
        }
        let asked = Topic::new(topic).map_err(|_| bad())?;
        let publish = Publish { qos: QoS::AtLeastOnce, ..Publish::new(asked, question.to_string()) };
        let until = Instant::now() + ANSWER;
        let no_answer = || ClaimError::NoAnswer { topic: topic.to_owned(), seconds: ANSWER.as_secs() };
        timeout_at(until, self.client.publish(publish)).await.map_err(|_| no_answer())??;
        loop {
            let message = timeout_at(until, self.client.recv()).await.map_err(|_| no_answer())?;
            let message = message.ok_or(marram_mqtt_net::ClientError::Closed)?;
            let Some(heard) = message.topic.as_ref().map(ToString::to_string) else { continue };
            let unusable = || ClaimError::Answer { topic: topic.to_owned() };
            if heard == accepted {
                return serde_json::from_slice(&message.payload).map_err(|_| unusable());
            }
            if heard == rejected {
                let body: Value = serde_json::from_slice(&message.payload).map_err(|_| unusable())?;
                let text = |member: &str| body[member].as_str().unwrap_or_default().chars().take(256).collect();
                return Err(ClaimError::Refused {
                    topic: topic.to_owned(),
                    code: text("errorCode"),
                    message: text("errorMessage"),
                });
            }
        }
    }

    pub(crate) async fn close(self) {
        self.client.disconnect().await;
    }
}
