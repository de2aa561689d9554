//! What is signed of a deployment (SEC-154): DSSE envelopes in a member of their own that other runtimes ignore.
//!
//! ```text
//! deployment key -> document (exact versions of the roots, configuration) -> recipe by recipe -> digests of artifacts
//! ```
//!
//! A signed object stays what it is; its `marramSignature` holds `payloadType` and `signatures[{keyid, sig}]`. The payload is
//! detached: it is the [`canonical`] form of the object without that member. What is signed is DSSE's pre-authentication
//! encoding of type and payload. A recipe's envelope stands beside the recipe and covers [`recipe_statement`].

use serde_json::{Value, json};

/// The member that holds an envelope.
pub const SIGNATURE_MEMBER: &str = "marramSignature";
/// The DSSE payload type of a deployment document.
pub const DOCUMENT_TYPE: &str = "application/vnd.marram.deployment+json";
/// The DSSE payload type of a recipe statement.
pub const RECIPE_TYPE: &str = "application/vnd.marram.recipe+json";

/// What is signed for a recipe that is handed out; `sha256` is the digest of its bytes, base64.
pub fn recipe_statement(arn: &str, name: &str, version: &str, sha256: &str) -> Value {
    json!({ "arn": arn, "componentName": name, "componentVersion": version, "recipeSha256": sha256 })
}

/// DSSE's PAE: `DSSEv1 {len type} {type} {len payload} {payload}`.
pub fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// JSON without blanks, members sorted by the bytes of their names at every level.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort_unstable();
            let parts: Vec<String> = names
                .into_iter()
                .map(|name| format!("{}:{}", Value::from(name.as_str()), canonical(&members[name.as_str()])))
                .collect();
            format!("{{{}}}", parts.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        plain => plain.to_string(),
    }
}
