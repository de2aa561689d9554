//! Why an activity failed, and which `errorEquals` clauses that satisfies (TG 6.5).

use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, format_smolstr};

/// An attempt exceeded its timeout.
pub const TIMEOUT: &str = "TG.Timeout";
/// The base class of every failure of an activity except a timeout.
pub const TASK_FAILED: &str = "TG.TaskFailed";
/// The flow role or the edge policy refused the effect.
pub const PERMISSION: &str = "TG.Permission";
/// A template, topic, URL or encoding produced something that must not be sent.
pub const REQUEST_INVALID: &str = "TG.RequestInvalid";
/// A response that cannot be decoded or violates its property.
pub const PAYLOAD_INVALID: &str = "TG.PayloadInvalid";
/// The thing a step addresses is bound to no role of the deployment (TG 6.4).
pub const DEVICE_NOT_BOUND: &str = "TG.DeviceNotBound";
/// The Modbus server answered with an exception code.
pub const MODBUS_EXCEPTION: &str = "TG.ModbusException";
/// The Modbus server did not answer.
pub const MODBUS_IO: &str = "TG.ModbusIO";
/// The runtime stopped while the activity was in flight.
pub const RUNTIME_RESTARTED: &str = "TG.RuntimeRestarted";
/// An expression could not be evaluated.
pub const EXPRESSION_ERROR: &str = "TG.ExpressionError";
/// A value cannot become the property it is assigned to.
pub const TYPE_ERROR: &str = "TG.TypeError";
/// No rule of a mapping matched.
pub const MAPPING_GAP: &str = "TG.MappingGap";
/// An activation cap was reached (TG 6.3).
pub const LOOP_LIMIT: &str = "TG.LoopLimit";

/// The longest `ErrorMessage` kept, in bytes: it is bound in expressions and copied to several messages.
const MAX_MESSAGE_BYTES: usize = 2_048;

/// A failure: a name that clauses match on and a sentence for the reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// `Error` in expressions, e.g. `TG.Timeout`, `TG.Http.404`.
    pub name: SmolStr,
    /// `ErrorMessage` in expressions; at most 2 KiB.
    pub message: String,
}

impl Fault {
    /// A failure called `name`; an overlong `message` is cut at a character boundary.
    pub fn new(name: impl Into<SmolStr>, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.truncate(floor_boundary(&message, MAX_MESSAGE_BYTES));
        Self { name: name.into(), message }
    }

    /// The failure of an HTTP answer with `status` >= 400, `TG.Http.<status>`.
    pub fn http(status: u16, message: impl Into<String>) -> Self {
        Self::new(format_smolstr!("TG.Http.{status}"), message)
    }

    /// The failure a function returned, `TG.Function.<errorType>`.
    pub fn function(error_type: &str, message: impl Into<String>) -> Self {
        Self::new(format_smolstr!("TG.Function.{error_type}"), message)
    }
}

/// The largest index `<= at` that does not split a character of `text`.
pub(crate) fn floor_boundary(text: &str, at: usize) -> usize {
    if at >= text.len() {
        return text.len();
    }
    (0..=at).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

/// Whether the `errorEquals` entry `pattern` covers the error `name` (TG 6.5): exact and case-sensitive,
/// `States.*` synonyms, the wildcards `States.ALL` and `TG.TaskFailed` (all but timeouts), the classes `TG.Http.4xx`, `TG.Http.5xx`.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (canonical(pattern), canonical(name));
    match pattern {
        "States.ALL" => true,
        TASK_FAILED => name != TIMEOUT,
        "TG.Http.4xx" => is_http_class(name, b'4'),
        "TG.Http.5xx" => is_http_class(name, b'5'),
        _ => pattern == name,
    }
}

/// `States.Timeout` and `TG.Timeout` are one name; so are the other two pairs of TG 6.5.
fn canonical(name: &str) -> &str {
    match name {
        "States.Timeout" => TIMEOUT,
        "States.TaskFailed" => TASK_FAILED,
        "States.Permissions" => PERMISSION,
        other => other,
    }
}

fn is_http_class(name: &str, class: u8) -> bool {
    let Some(code) = name.strip_prefix("TG.Http.").map(str::as_bytes) else { return false };
    code.len() == 3 && code[0] == class && code[1..].iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TG 6.5: matching of `errorEquals`.
    #[test]
    fn error_equals_follows_the_table() {
        let table: &[(&str, &str, bool)] = &[
            ("TG.Timeout", "TG.Timeout", true),
            ("States.Timeout", "TG.Timeout", true),
            ("TG.Timeout", "States.Timeout", true),
            ("tg.timeout", "TG.Timeout", false),
            ("States.ALL", "TG.Timeout", true),
            ("States.ALL", "anything", true),
            ("TG.TaskFailed", "TG.ModbusIO", true),
            ("States.TaskFailed", "TG.Function.Oops", true),
            ("TG.TaskFailed", "TG.Timeout", false),
            ("States.Permissions", "TG.Permission", true),
            ("TG.Http.404", "TG.Http.404", true),
            ("TG.Http.404", "TG.Http.403", false),
            ("TG.Http.4xx", "TG.Http.404", true),
            ("TG.Http.4xx", "TG.Http.500", false),
            ("TG.Http.5xx", "TG.Http.503", true),
            ("TG.Http.4xx", "TG.Http.4xxx", false),
            ("TG.Http", "TG.Http.404", false),
            ("TG.Function.Oops", "TG.Function.Oops", true),
        ];
        for &(pattern, name, wanted) in table {
            assert_eq!(matches(pattern, name), wanted, "errorEquals [{pattern}] against {name}");
        }
    }
}
