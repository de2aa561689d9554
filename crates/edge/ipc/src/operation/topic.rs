//! `PublishToTopic`, `SubscribeToTopic` (CR 6.10).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use marram_edge_ports::{CallerKind, PortError, ShadowOperation};
use marram_eventstream::FrameError;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::input::{Text, parse, required};
use super::{Answer, Call, Handled, Operation};
use crate::server::Door;
use crate::subscription::Event;
use crate::topics::{MAX_TOPIC, check_filter};

const SERVICE: &str = "aws.greengrass.ipc.pubsub";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Publish<'a> {
    #[serde(borrow)]
    topic: Option<Text<'a>>,
    #[serde(borrow)]
    publish_message: Option<Message<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    #[serde(borrow)]
    json_message: Option<JsonMessage<'a>>,
    #[serde(borrow)]
    binary_message: Option<BinaryMessage<'a>>,
}

#[derive(Deserialize)]
struct JsonMessage<'a> {
    /// Checked for syntax and handed on as it is.
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct BinaryMessage<'a> {
    #[serde(borrow)]
    message: Option<Text<'a>>,
}

pub(super) fn publish(call: &mut Call<'_>) -> Handled {
    let request: Publish<'_> = parse(call.payload)?;
    let topic = &*required(request.topic, "topic")?.0;
    if topic.is_empty() || topic.len() > MAX_TOPIC || topic.contains(['+', '#', '*']) {
        let message = "the topic of a message must not be empty, too long or hold `+`, `#` or `*`";
        return Err(PortError::InvalidArguments(message.to_owned()));
    }
    let message = required(request.publish_message, "publishMessage")?;
    let (kind, text) = match (message.json_message, message.binary_message) {
        (Some(json), None) => {
            let text = required(json.message, "message")?.get();
            if !text.starts_with('{') {
                return Err(PortError::InvalidArguments("`message` of a JSON message must be an object".to_owned()));
            }
            ("jsonMessage", MessageText::Json(text))
        }
        (None, Some(binary)) => {
            let text = required(binary.message, "message")?.0;
            check_base64(&text)?;
            ("binaryMessage", MessageText::Binary(text))
        }
        _ => {
            let message = "`publishMessage` must hold either `jsonMessage` or `binaryMessage`";
            return Err(PortError::InvalidArguments(message.to_owned()));
        }
    };
    call.authorize(SERVICE, Some(topic))?;
    let receivers = deliver(call.door, call.body, topic, kind, &text, &call.caller.name);
    let receivers =
        receivers.map_err(|error| PortError::InvalidArguments(format!("the message cannot be delivered: {error}")))?;
    call.door.counters.publish(receivers);
    ask_shadow(call, topic, &text)?;
    Ok(Answer::Empty)
}

/// Queues a message for everybody who subscribed; answers how many they are. `from` is who published it.
fn deliver(
    door: &Door,
    body: &mut Vec<u8>,
    topic: &str,
    kind: &str,
    text: &MessageText<'_>,
    from: &str,
) -> Result<u64, FrameError> {
    // Encoded for the first receiver, shared by the others; without receivers nothing is encoded.
    let mut event: Option<Event> = None;
    let (mut receivers, mut too_long) = (0, None);
    door.topics.each(topic, |subscription| {
        if subscription.others_only && subscription.connection.caller_name() == from {
            return;
        }
        receivers += 1;
        if event.is_none() && too_long.is_none() {
            write_event(body, kind, text, topic);
            let mut frame = Vec::with_capacity(body.len() + 256);
            match door.shapes.event(Operation::SubscribeToTopic).write(&mut frame, 0, body) {
                Ok(()) => event = Some(frame.into()),
                Err(error) => too_long = Some(error),
            }
        }
        if let Some(event) = &event {
            door.counters.dropped(subscription.push(event));
        }
    });
    too_long.map_or(Ok(receivers), Err)
}

/// Hands a message of the core itself to local subscribers, as bytes.
pub(crate) fn publish_own(door: &Door, from: &str, topic: &str, payload: &[u8]) {
    let text = MessageText::Binary(STANDARD.encode(payload).into());
    match deliver(door, &mut Vec::new(), topic, "binaryMessage", &text, from) {
        Ok(receivers) => door.counters.publish(receivers),
        Err(error) => tracing::warn!(%error, topic, "a message of the core cannot be delivered"),
    }
}

/// A message to a topic of a shadow is a request, once its publisher may act on that shadow (CC 3.2).
fn ask_shadow(call: &Call<'_>, topic: &str, text: &MessageText<'_>) -> Result<(), PortError> {
    if !topic.starts_with("$aws/things/") {
        return Ok(());
    }
    let Some(port) = call.door.ports.shadows.clone() else { return Ok(()) };
    let Some(request) = port.request_of(topic) else { return Ok(()) };
    let operation = match request.operation {
        ShadowOperation::Get => Operation::GetThingShadow,
        ShadowOperation::Update => Operation::UpdateThingShadow,
        ShadowOperation::Delete => Operation::DeleteThingShadow,
    };
    // Who commands the core may change its shadows too.
    let allowed = call.caller.kind == CallerKind::Operator
        || call.door.authorize(call.caller, "aws.greengrass.ShadowManager", operation, Some(&request.resource)).is_ok();
    let payload = match text {
        MessageText::Json(text) => text.as_bytes().to_vec(),
        MessageText::Binary(text) => {
            STANDARD.decode(text.as_bytes()).map_err(|error| PortError::InvalidArguments(error.to_string()))?
        }
    };
    let topic = topic.to_owned();
    tokio::spawn(async move {
        if let Err(error) = port.request(&topic, payload.into(), allowed).await {
            tracing::debug!(%error, topic, "a message to a shadow has no effect");
        }
    });
    Ok(())
}

enum MessageText<'a> {
    Json(&'a str),
    Binary(std::borrow::Cow<'a, str>),
}

/// `{"jsonMessage":{"message":{...},"context":{"topic":"a/b"}}}`
fn write_event(body: &mut Vec<u8>, kind: &str, text: &MessageText<'_>, topic: &str) {
    body.clear();
    body.extend_from_slice(b"{\"");
    body.extend_from_slice(kind.as_bytes());
    body.extend_from_slice(b"\":{\"message\":");
    match text {
        MessageText::Json(text) => body.extend_from_slice(text.as_bytes()),
        MessageText::Binary(text) => {
            // Checked base64 needs no escapes.
            body.push(b'"');
            body.extend_from_slice(text.as_bytes());
            body.push(b'"');
        }
    }
    body.extend_from_slice(b",\"context\":{\"topic\":");
    serde_json::to_writer(&mut *body, topic).expect("text can be written to memory");
    body.extend_from_slice(b"}}}");
}

/// Whether the text is base64, without keeping what it says.
fn check_base64(text: &str) -> Result<(), PortError> {
    // Multiples of four characters decode by themselves, so a small buffer does.
    let mut buffer = [0; 768];
    let mut pieces = text.as_bytes().chunks(1024).peekable();
    while let Some(piece) = pieces.next() {
        let whole = pieces.peek().is_none() || !piece.contains(&b'=');
        if !whole || STANDARD.decode_slice(piece, &mut buffer).is_err() {
            return Err(PortError::InvalidArguments("`message` of a binary message is not base64".to_owned()));
        }
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subscribe<'a> {
    #[serde(borrow)]
    topic: Option<Text<'a>>,
    #[serde(borrow)]
    receive_mode: Option<Text<'a>>,
}

pub(super) fn subscribe(call: &mut Call<'_>) -> Handled {
    let request: Subscribe<'_> = parse(call.payload)?;
    let filter = &*required(request.topic, "topic")?.0;
    let wild = check_filter(filter).map_err(|problem| PortError::InvalidArguments(problem.to_owned()))?;
    let others_only = match request.receive_mode.as_ref().map(|mode| &*mode.0) {
        None => wild,
        Some("RECEIVE_ALL_MESSAGES") => false,
        Some("RECEIVE_MESSAGES_FROM_OTHERS") => true,
        Some(other) => return Err(PortError::InvalidArguments(format!("receive mode `{other}` does not exist"))),
    };
    call.authorize(SERVICE, Some(filter))?;
    let filter: Arc<str> = filter.into();
    call.body.extend_from_slice(b"{\"topicName\":");
    serde_json::to_writer(&mut *call.body, &*filter).expect("text can be written to memory");
    call.body.push(b'}');
    Ok(Answer::Topic { filter, others_only })
}
