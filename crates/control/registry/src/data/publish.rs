//! `Publish`: a message sent over HTTPS.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use marram_aws_api::ApiError;
use marram_broker::Message;
use marram_identity::{CallContext, ConditionValues, Need};
use marram_mqtt::{PublishProperties, QoS, Topic};
use serde_json::{Value, json};
use smol_str::SmolStr;

use super::{DataService, PublishError};
use crate::input::Input;
use crate::realm::{Realm, shown};

/// Bytes of all user properties of a message (CP 5.2).
const MAX_USER_PROPERTIES: usize = 8192;
/// Longest message expiry, in seconds (CP 5.2).
const MAX_EXPIRY_SECS: i64 = 604_800;

/// Publishes with `iot:Publish` on the topic, and `iot:RetainPublish` as well when retained.
pub(super) async fn publish(service: &DataService, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let topic = input.required("topic")?;
    let retain = input.flag("retain");
    let arn = realm.arn(format_args!("topic/{topic}"));
    let need = |action| Need { action, resource: &arn, conditions: ConditionValues::new() };
    let mut needs = vec![need("iot:Publish")];
    if retain {
        needs.push(need("iot:RetainPublish"));
    }
    drop(ctx.authorize_all(needs)?);
    let message = message(&input, topic, retain)?;
    service.messages().publish(&realm, message).await.map_err(|error| match error {
        PublishError::Refused(why) => ApiError::invalid_request(why),
        PublishError::Throttled(_) => ApiError::throttling(1),
        PublishError::Unavailable => ApiError::internal(),
    })?;
    Ok(json!({}))
}

fn message(input: &Input, topic: &str, retain: bool) -> Result<Message, ApiError> {
    let invalid = |what: &str| ApiError::invalid_request(format!("Invalid {what}"));
    // Reserved topics belong to services; those that accept requests do so over MQTT or by operations of their own.
    if topic.starts_with('$') {
        return Err(ApiError::invalid_request(format!("Topic {} is reserved", shown(topic))));
    }
    let topic = Topic::new(topic).map_err(|_| invalid("topic"))?;
    let payload = match input.text("payload") {
        None => Bytes::new(),
        Some(text) => STANDARD.decode(text).map_err(|_| invalid("payload"))?.into(),
    };
    let qos = if input.integer("qos") == Some(1) { QoS::AtLeastOnce } else { QoS::AtMostOnce };
    let mut properties = PublishProperties {
        payload_is_utf8: input.text("payloadFormatIndicator").map(|text| text == "UTF8_DATA"),
        content_type: input.text("contentType").map(SmolStr::from),
        ..PublishProperties::default()
    };
    if let Some(text) = input.text("responseTopic") {
        Topic::new(text).map_err(|_| invalid("responseTopic"))?;
        properties.response_topic = Some(text.into());
    }
    if let Some(text) = input.text("correlationData") {
        properties.correlation_data = Some(STANDARD.decode(text).map_err(|_| invalid("correlationData"))?.into());
    }
    // 0 means none; longer ones are lowered, as the broker does.
    if let Some(seconds) = input.integer("messageExpiry").filter(|seconds| *seconds != 0) {
        let seconds = u32::try_from(seconds.min(MAX_EXPIRY_SECS)).map_err(|_| invalid("messageExpiry"))?;
        properties.message_expiry_secs = Some(seconds);
    }
    if let Some(text) = input.text("userProperties") {
        properties.user_properties = user_properties(text).ok_or_else(|| invalid("userProperties"))?;
    }
    let message = Message::new(topic, payload).with_qos(qos);
    let message = message.with_properties(properties);
    Ok(if retain { message.retained() } else { message })
}

/// `[{"key": "value"}, ..]`, in order; a key may come again.
fn user_properties(text: &str) -> Option<Vec<(SmolStr, SmolStr)>> {
    if text.len() > 2 * MAX_USER_PROPERTIES {
        return None;
    }
    let Ok(Value::Array(list)) = serde_json::from_str(text) else { return None };
    let mut pairs = Vec::new();
    let mut length = 0;
    for item in list {
        let Value::Object(item) = item else { return None };
        for (key, value) in item {
            let value = value.as_str()?;
            length += key.len() + value.len();
            pairs.push((key.into(), value.into()));
        }
    }
    (length <= MAX_USER_PROPERTIES).then_some(pairs)
}
