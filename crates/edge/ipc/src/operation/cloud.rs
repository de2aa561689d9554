//! Messages from and to the control plane's broker (CR 6.8, 7.6).

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use marram_edge_ports::{CloudMessage, CloudPublish, PortError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::input::{Blob, blob, parse, required, required_text};
use super::{Answer, Call, Feed, Handled, json as write};
use crate::topics::MAX_TOPIC;

const SERVICE: &str = "aws.greengrass.ipc.mqttproxy";

#[derive(Deserialize, Serialize)]
struct UserProperty {
    key: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Publish {
    topic_name: Option<String>,
    qos: Option<String>,
    payload: Option<String>,
    retain: Option<bool>,
    user_properties: Option<Vec<UserProperty>>,
    message_expiry_interval_seconds: Option<u64>,
    correlation_data: Option<String>,
    response_topic: Option<String>,
    payload_format: Option<String>,
    content_type: Option<String>,
}

fn qos(text: Option<String>) -> Result<u8, PortError> {
    match required(text, "qos")?.as_str() {
        "0" => Ok(0),
        "1" => Ok(1),
        other => Err(PortError::InvalidArguments(format!("QoS `{other}` is not 0 or 1"))),
    }
}

pub(super) fn publish(call: &mut Call<'_>) -> Handled {
    let request: Publish = parse(call.payload)?;
    let topic = required_text(request.topic_name, "topicName")?;
    if topic.len() > MAX_TOPIC || topic.contains(['+', '#']) {
        let message = "the topic of a message must not be too long or hold wildcards";
        return Err(PortError::InvalidArguments(message.to_owned()));
    }
    let payload_is_text = match request.payload_format.as_deref() {
        None => None,
        Some("0") => Some(false),
        Some("1") => Some(true),
        Some(other) => return Err(PortError::InvalidArguments(format!("payload format `{other}` is not 0 or 1"))),
    };
    let expiry = match request.message_expiry_interval_seconds.map(u32::try_from) {
        None => None,
        Some(Ok(seconds)) => Some(seconds),
        Some(Err(_)) => {
            return Err(PortError::InvalidArguments("`messageExpiryIntervalSeconds` is out of range".to_owned()));
        }
    };
    let message = CloudPublish {
        qos: qos(request.qos)?,
        payload: request.payload.map_or(Ok(Bytes::new()), |text| blob(&text, "payload"))?,
        retain: request.retain.unwrap_or(false),
        user_properties: request.user_properties.unwrap_or_default().into_iter().map(|p| (p.key, p.value)).collect(),
        message_expiry_seconds: expiry,
        correlation_data: request.correlation_data.map(|text| blob(&text, "correlationData")).transpose()?,
        response_topic: request.response_topic,
        payload_is_text,
        content_type: request.content_type,
        topic,
    };
    call.authorize(SERVICE, Some(&message.topic))?;
    let port = call.port(&call.door.ports.cloud)?;
    let owner = call.caller.name.clone();
    Ok(Answer::Later(Box::pin(async move {
        port.publish(&owner, message).await?;
        Ok(b"{}".to_vec())
    })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subscribe {
    topic_name: Option<String>,
    qos: Option<String>,
}

pub(super) fn subscribe(call: &mut Call<'_>) -> Handled {
    let request: Subscribe = parse(call.payload)?;
    let filter: Arc<str> = required_text(request.topic_name, "topicName")?.into();
    if filter.len() > MAX_TOPIC {
        return Err(PortError::InvalidArguments("the topic filter is too long".to_owned()));
    }
    let qos = qos(request.qos)?;
    call.authorize(SERVICE, Some(&filter))?;
    let port = call.port(&call.door.ports.cloud)?;
    let owner = call.caller.name.clone();
    let wanted = Arc::clone(&filter);
    let feed = Box::pin(async move {
        let subscription = port.subscribe(&owner, &wanted, qos).await?;
        // The guard lives as long as the stream and unsubscribes with it.
        let feed: Feed = Box::pin(stream::unfold(subscription, |mut subscription| async move {
            let message = subscription.messages.recv().await?;
            Some((event(&message), subscription))
        }));
        Ok(feed)
    });
    Ok(Answer::FeedLater { resource: filter, feed })
}

fn event(message: &CloudMessage) -> Vec<u8> {
    let mut members = Map::from_iter([
        ("topicName".to_owned(), json!(message.topic)),
        ("payload".to_owned(), json!(Blob(&message.payload))),
    ]);
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            members.insert(name.to_owned(), value);
        }
    };
    add("retain", message.retain.then_some(Value::Bool(true)));
    let properties: Vec<_> = message.user_properties.iter().map(|(k, v)| json!({"key": k, "value": v})).collect();
    add("userProperties", (!properties.is_empty()).then_some(Value::Array(properties)));
    add("messageExpiryIntervalSeconds", message.message_expiry_seconds.map(Value::from));
    add("correlationData", message.correlation_data.as_deref().map(|data| json!(Blob(data))));
    add("responseTopic", message.response_topic.as_deref().map(Value::from));
    add("payloadFormat", message.payload_is_text.map(|text| if text { "1" } else { "0" }.into()));
    add("contentType", message.content_type.as_deref().map(Value::from));
    json!({"message": members}).to_string().into_bytes()
}

pub(super) fn connection_status(call: &mut Call<'_>) -> Handled {
    parse::<Map<String, Value>>(call.payload)?;
    let connection = call.port(&call.door.ports.cloud)?.connection();
    // The first event tells the present state.
    let feed = stream::unfold((connection, true), |(mut connection, first)| async move {
        if !first {
            connection.changed().await.ok()?;
        }
        let status = if *connection.borrow_and_update() { "CONNECTED" } else { "DISCONNECTED" };
        let event = write(&json!({"connectionStatusEvent": {"status": status}})).ok()?;
        Some((event, (connection, false)))
    });
    Ok(Answer::Feed { resource: "".into(), feed: Box::pin(feed) })
}
