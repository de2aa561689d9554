//! The trace of an execution: typed, numbered, rendered once to compact JSON (TG 6.9, 11.5).
//!
//! Rendering costs more than the step it describes, so the engine only does it for a [`Sink`](crate::Sink) that asks
//! (`TRACE`): a host journals inputs and renders the trace later by replaying them. The sequence number advances
//! either way, so a message keeps its id however often it is rendered.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{Time, fault::floor_boundary};

/// Longest payload of a message, in bytes (TG 6.9).
pub const MAX_PAYLOAD_BYTES: usize = 32 * 1024;

/// What stands in place of a secret.
pub const REDACTED: &str = "***";

/// A secret shorter than this is redacted only where it is the whole value: inside text it would match by chance.
const MIN_SECRET_SUBSTRING_BYTES: usize = 4;

/// One line of the trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Position in the execution, from 1 without gaps; its decimal text is the `messageId`.
    pub seq: u64,
    /// What happened.
    pub event_type: EventType,
    /// When.
    pub at: Time,
    /// Compact JSON, at most 32 KiB, secrets redacted.
    pub payload: String,
}

macro_rules! event_types {
    ($($(#[$doc:meta])* $variant:ident = $wire:literal,)+) => {
        /// `FlowExecutionEventType` of the API: the 17 values of TG 6.9.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum EventType { $($(#[$doc])* #[serde(rename = $wire)] $variant,)+ }

        impl EventType {
            /// Every value, in the order of TG 6.9.
            pub const ALL: &[EventType] = &[$(EventType::$variant,)+];

            /// The name on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(EventType::$variant => $wire,)+ }
            }
        }
    };
}

event_types! {
    /// A trigger or a manual start queued the execution.
    StartFlowExecutionTask = "START_FLOW_EXECUTION_TASK",
    /// The scheduler created the state.
    ExecutionStarted = "EXECUTION_STARTED",
    /// The scheduler looked for ready steps and found some.
    ScheduleNextReadyStepsTask = "SCHEDULE_NEXT_READY_STEPS_TASK",
    /// A step activated and its condition is true.
    StepStarted = "STEP_STARTED",
    /// An attempt was queued to a worker.
    ActivityScheduled = "ACTIVITY_SCHEDULED",
    /// A worker took it.
    ActivityStarted = "ACTIVITY_STARTED",
    /// The request left for the device or service.
    ThingActionTask = "THING_ACTION_TASK",
    /// The transport accepted it.
    AcknowledgeTaskMessage = "ACKNOWLEDGE_TASK_MESSAGE",
    /// The response was decoded.
    ThingActionTaskSucceeded = "THING_ACTION_TASK_SUCCEEDED",
    /// The request or its response failed.
    ThingActionTaskFailed = "THING_ACTION_TASK_FAILED",
    /// The value was coerced and assigned.
    ActivitySucceeded = "ACTIVITY_SUCCEEDED",
    /// One attempt failed.
    ActivityFailed = "ACTIVITY_FAILED",
    /// After OnSuccess and `outEvent`.
    StepSucceeded = "STEP_SUCCEEDED",
    /// After retries were exhausted, caught or not.
    StepFailed = "STEP_FAILED",
    /// Terminal.
    ExecutionSucceeded = "EXECUTION_SUCCEEDED",
    /// Terminal.
    ExecutionFailed = "EXECUTION_FAILED",
    /// Terminal.
    ExecutionAborted = "EXECUTION_ABORTED",
}

impl EventType {
    /// Whether no message of the execution follows.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::ExecutionSucceeded | Self::ExecutionFailed | Self::ExecutionAborted)
    }
}

/// Renders `payload`: secrets out, then at most [`MAX_PAYLOAD_BYTES`].
pub(crate) fn render(mut payload: Json, secrets: &[Json]) -> String {
    if !secrets.is_empty() {
        redact(&mut payload, secrets);
    }
    let text = payload.to_string();
    if text.len() <= MAX_PAYLOAD_BYTES {
        return text;
    }
    for (bytes, members) in [(8_192, 1_024), (2_048, 256), (512, 64), (128, 16), (32, 8), (16, 4)] {
        let mut cut = payload.clone();
        shrink(&mut cut, bytes, members);
        if let Json::Object(fields) = &mut cut {
            fields.insert("truncated".into(), Json::Bool(true));
        }
        let text = cut.to_string();
        if text.len() <= MAX_PAYLOAD_BYTES {
            return text;
        }
    }
    r#"{"truncated":true}"#.to_owned()
}

/// Cuts every string to `bytes` and every list or object to `members`.
fn shrink(value: &mut Json, bytes: usize, members: usize) {
    match value {
        Json::String(text) => text.truncate(floor_boundary(text, bytes)),
        Json::Array(items) => {
            items.truncate(members);
            items.iter_mut().for_each(|item| shrink(item, bytes, members));
        }
        Json::Object(fields) => {
            if fields.len() > members {
                let surplus: Vec<String> = fields.keys().skip(members).cloned().collect();
                surplus.iter().for_each(|key| drop(fields.remove(key)));
            }
            fields.values_mut().for_each(|field| shrink(field, bytes, members));
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

/// Replaces every leaf that is, or as text contains, one of `secrets`.
fn redact(value: &mut Json, secrets: &[Json]) {
    match value {
        Json::String(text) => {
            for secret in secrets {
                match secret {
                    Json::String(secret) if secret.is_empty() => {}
                    Json::String(secret) if secret.len() < MIN_SECRET_SUBSTRING_BYTES => {
                        if text == secret {
                            *text = REDACTED.to_owned();
                        }
                    }
                    Json::String(secret) => {
                        for form in [secret.clone(), percent_encode(secret), json_escape(secret)] {
                            if text.contains(&form) {
                                *text = text.replace(&form, REDACTED);
                            }
                        }
                    }
                    other => {
                        let form = other.to_string();
                        if form.len() >= MIN_SECRET_SUBSTRING_BYTES && text.contains(&form) || *text == form {
                            *text = text.replace(&form, REDACTED);
                        }
                    }
                }
            }
            if let Some(query) = text.find("X-Amz-Signature=").and_then(|_| text.find('?')) {
                text.truncate(query + 1);
                text.push_str(REDACTED);
            }
        }
        Json::Array(items) => items.iter_mut().for_each(|item| redact(item, secrets)),
        Json::Object(fields) => fields.values_mut().for_each(|field| redact(field, secrets)),
        Json::Null | Json::Bool(_) => {}
        Json::Number(_) => {
            if secrets.contains(value) {
                *value = Json::String(REDACTED.to_owned());
            }
        }
    }
}

/// The spelling of `text` inside a URL (RFC 3986 unreserved characters stay).
pub(crate) fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            use std::fmt::Write as _;
            write!(out, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    out
}

fn json_escape(text: &str) -> String {
    let quoted = Json::String(text.to_owned()).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// TG 6.9: a payload never exceeds 32 KiB and says when it was cut.
    #[test]
    fn long_payload_is_cut_and_marked() {
        for big in [
            json!({"stepName": "a", "result": "é".repeat(40_000)}),
            json!({"stepName": "a", "result": vec![1.25; 20_000]}),
            json!({"stepName": "a", "result": (0..9_000).map(|i| (format!("k{i}"), i.into())).collect::<serde_json::Map<_, _>>()}),
            json!({"stepName": "a", "result": vec![vec!["x".repeat(50); 200]; 200]}),
        ] {
            let text = render(big, &[]);
            assert!(text.len() <= MAX_PAYLOAD_BYTES);
            let back: Json = serde_json::from_str(&text).unwrap();
            assert_eq!(back["truncated"], true);
            assert_eq!(back["stepName"], "a");
        }
        assert_eq!(render(json!({"a": 1}), &[]), r#"{"a":1}"#);
    }

    /// TG 11.5: a secret value appears in no message, neither alone, inside text, nor encoded.
    #[test]
    fn secrets_leave_no_trace() {
        let secrets = [json!("pa\"ss/word"), json!("ab"), json!(123_456)];
        let payload = json!({
            "inputs": {"plain": "pa\"ss/word", "inside": "Bearer pa\"ss/word!", "url": "https://h/?k=pa%22ss%2Fword",
                       "text": "{\"k\":\"pa\\\"ss/word\"}", "short": "ab", "number": 123_456, "embedded": "pin=123456"},
            "kept": ["cab", 12, "pass"],
            "signed": "https://h/o?X-Amz-Date=1&X-Amz-Signature=beef",
        });
        let text = render(payload, &secrets);
        for leak in ["pa\\\"ss", "pa%22", "\"ab\"", "123456", "beef"] {
            assert!(!text.contains(leak), "{leak} in {text}");
        }
        assert!(text.contains(r#""kept":["cab",12,"pass"]"#), "{text}");
    }
}
