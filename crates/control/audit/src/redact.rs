//! What never enters the log, whatever the caller passed: secrets by name or look, and very long texts.

use serde_json::{Value, json};

use crate::canonical::{write_members, write_string, write_value};

/// Stands where a secret stood (control-plane-api.md 10.2).
pub const HIDDEN: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";

/// Texts over 100 KiB are replaced by their SHA-256 and length (things-graph.md 11.8).
const MAX_TEXT_BYTES: usize = 100 << 10;

/// Member names, lower case, whose values are secret in any of our APIs. Models mark most of them as sensitive and the
/// front door hides those; this is the second line.
const SECRET_MEMBERS: &[&str] = &[
    "privatekey",
    "secretaccesskey",
    "sessiontoken",
    "secretstring",
    "secretbinary",
    "password",
    "passcode",
    "tokencode",
    "webidentitytoken",
    "samlassertion",
    "certificateownershiptoken",
];

/// Shallower than any request can be (security.md 12.2: JSON depth 64); deeper values are hidden.
const MAX_DEPTH: usize = 128;

/// Writes the canonical text of `value` as it may be logged.
pub(crate) fn write_redacted(text: &mut String, value: &Value) {
    walk(text, value, 0);
}

/// As [`write_redacted`], of a text.
pub(crate) fn write_redacted_text(text: &mut String, string: &str) {
    if string.contains("PRIVATE KEY-----") {
        write_string(text, HIDDEN);
    } else if string.len() > MAX_TEXT_BYTES {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, string.as_bytes());
        write_value(text, &json!({"length": string.len(), "sha256": hex::encode(digest)}));
    } else {
        write_string(text, string);
    }
}

fn walk(text: &mut String, value: &Value, depth: usize) {
    if depth > MAX_DEPTH {
        return write_string(text, HIDDEN);
    }
    match value {
        Value::Object(members) => write_members(text, members, |text, name, member| {
            if !member.is_null() && is_secret(name) {
                write_string(text, HIDDEN);
            } else {
                walk(text, member, depth + 1);
            }
        }),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                walk(text, item, depth + 1);
            }
            text.push(']');
        }
        Value::String(string) => write_redacted_text(text, string),
        plain => write_value(text, plain),
    }
}

fn is_secret(name: &str) -> bool {
    SECRET_MEMBERS.iter().any(|secret| secret.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CP 10.2, TG 11.8: secrets by name and by look are hidden, long texts become their digest.
    #[test]
    fn secrets_and_long_texts_do_not_enter() {
        let long = "x".repeat(MAX_TEXT_BYTES + 1);
        let mut text = String::new();
        let value = json!({
            "keyPair": {"PublicKey": "p", "PrivateKey": "s"},
            "credentials": [{"SecretAccessKey": "s", "sessionToken": null}],
            "note": "-----BEGIN EC PRIVATE KEY-----",
            "definition": {"text": long},
            "fits": "y".repeat(MAX_TEXT_BYTES),
        });
        write_redacted(&mut text, &value);
        let redacted: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(redacted["keyPair"], json!({"PublicKey": "p", "PrivateKey": HIDDEN}));
        assert_eq!(redacted["credentials"], json!([{"SecretAccessKey": HIDDEN, "sessionToken": null}]));
        assert_eq!(redacted["note"], HIDDEN);
        assert_eq!(redacted["definition"]["text"]["length"], MAX_TEXT_BYTES + 1);
        assert_eq!(redacted["definition"]["text"]["sha256"].as_str().map(str::len), Some(64));
        assert_eq!(redacted["fits"].as_str().map(str::len), Some(MAX_TEXT_BYTES));
    }
}
