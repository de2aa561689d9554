//! What never enters the log, whatever the caller passed: secrets by name or look, and very long texts.

use serde_json::{Value, json};

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

/// A copy of `value` that may be logged.
pub(crate) fn redact(value: Value) -> Value {
    walk(value, 0)
}

fn walk(value: Value, depth: usize) -> Value {
    if depth > MAX_DEPTH {
        return HIDDEN.into();
    }
    match value {
        Value::Object(members) => members
            .into_iter()
            .map(|(name, member)| {
                let secret = !member.is_null() && SECRET_MEMBERS.contains(&name.to_ascii_lowercase().as_str());
                let member = if secret { HIDDEN.into() } else { walk(member, depth + 1) };
                (name, member)
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(|item| walk(item, depth + 1)).collect(),
        Value::String(text) if text.contains("PRIVATE KEY-----") => HIDDEN.into(),
        Value::String(text) if text.len() > MAX_TEXT_BYTES => {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
            json!({"sha256": hex::encode(digest), "length": text.len()})
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CP 10.2, TG 11.8: secrets by name and by look are hidden, long texts become their digest.
    #[test]
    fn secrets_and_long_texts_do_not_enter() {
        let long = "x".repeat(MAX_TEXT_BYTES + 1);
        let redacted = redact(json!({
            "keyPair": {"PublicKey": "p", "PrivateKey": "s"},
            "credentials": [{"SecretAccessKey": "s", "sessionToken": null}],
            "note": "-----BEGIN EC PRIVATE KEY-----",
            "definition": {"text": long},
            "fits": "y".repeat(MAX_TEXT_BYTES),
        }));
        assert_eq!(redacted["keyPair"], json!({"PublicKey": "p", "PrivateKey": HIDDEN}));
        assert_eq!(redacted["credentials"], json!([{"SecretAccessKey": HIDDEN, "sessionToken": null}]));
        assert_eq!(redacted["note"], HIDDEN);
        assert_eq!(redacted["definition"]["text"]["length"], MAX_TEXT_BYTES + 1);
        assert_eq!(redacted["definition"]["text"]["sha256"].as_str().map(str::len), Some(64));
        assert_eq!(redacted["fits"].as_str().map(str::len), Some(MAX_TEXT_BYTES));
    }
}
