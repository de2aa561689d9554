//! `GetRetainedMessage` and `ListRetainedMessages`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use marram_aws_api::ApiError;
use marram_broker::Message;
use marram_identity::CallContext;
use marram_mqtt::QoS;
use serde_json::{Value, json};

use super::DataService;
use crate::input::Input;
use crate::page::Style;
use crate::realm::{Realm, shown};

/// The retained message of a topic with its payload.
pub(super) async fn get_retained_message(
    service: &DataService,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let topic = input.required("topic")?;
    drop(ctx.authorize(ctx.operation.iam_action, &realm.arn(format_args!("topic/{topic}")), |_| ())?);
    let message = service
        .messages()
        .retained(&realm, topic)
        .ok_or_else(|| ApiError::not_found(format!("No retained message on topic {}", shown(topic))))?;
    let mut answer = json!({
        "topic": message.topic.as_str(),
        "payload": STANDARD.encode(&message.payload),
        "qos": qos(&message),
        "lastModifiedTime": accepted_at(ctx, &message),
    });
    let user = message.properties.as_ref().map_or(&[][..], |properties| &properties.user_properties[..]);
    if !user.is_empty() {
        let list: Vec<Value> = user.iter().map(|(key, value)| json!({key.as_str(): value.as_str()})).collect();
        answer["userProperties"] = STANDARD.encode(Value::from(list).to_string()).into();
    }
    Ok(answer)
}

/// Retained messages by topic, without payloads.
pub(super) async fn list_retained_messages(
    service: &DataService,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| ())?);
    let realm = Realm::of(ctx);
    let page = service.tokens().page(ctx, &input, Style::NextToken, &[])?;
    let messages = service.messages().retained_after(&realm, page.after(0), page.limit + 1);
    let rows = messages
        .iter()
        .map(|message| {
            let item = json!({
                "topic": message.topic.as_str(),
                "payloadSize": message.payload.len(),
                "qos": qos(message),
                "lastModifiedTime": accepted_at(ctx, message),
            });
            ([message.topic.as_str().to_owned()], item)
        })
        .collect();
    Ok(page.answer("retainedTopics", rows))
}

fn qos(message: &Message) -> i64 {
    if message.qos == QoS::AtLeastOnce { 1 } else { 0 }
}

/// Milliseconds since the epoch.
fn accepted_at(ctx: &CallContext, message: &Message) -> i64 {
    ctx.now.saturating_sub(message.at.elapsed()).as_millis()
}
