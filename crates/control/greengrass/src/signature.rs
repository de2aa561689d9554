//! The signature of deployment documents (SEC-154): DSSE with Ed25519, in a member of its own that other runtimes ignore.
//!
//! The document stays what it is; `marramSignature` holds `payloadType` and `signatures[{keyid, sig}]`. The payload is
//! detached: it is the [`canonical`] form of the document without that member, so a verifier needs nothing but the document and
//! the public key. What is signed is DSSE's pre-authentication encoding of type and payload.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// The member of a document that holds its signature.
pub const SIGNATURE_MEMBER: &str = "marramSignature";
/// The DSSE payload type of a deployment document.
pub const PAYLOAD_TYPE: &str = "application/vnd.marram.deployment+json";

/// Why there is no deployment key.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentKeyError {
    /// The file cannot be read or written.
    #[error("the deployment key cannot be read or written")]
    File(#[from] io::Error),
    /// The file holds something else.
    #[error("the deployment key is not an Ed25519 key in PKCS#8")]
    Unreadable,
}

/// The key that signs the deployment documents of the installation.
#[derive(Debug)]
pub struct DeploymentKey {
    pair: Ed25519KeyPair,
    id: String,
}

impl DeploymentKey {
    /// Reads the key, or makes one when there is none; only the owner may read the file.
    ///
    /// # Errors
    /// [`DeploymentKeyError`].
    pub fn open(path: &Path) -> Result<DeploymentKey, DeploymentKeyError> {
        let der = match fs::read(path) {
            Ok(der) => der,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let pair = Ed25519KeyPair::generate().map_err(|_| DeploymentKeyError::Unreadable)?;
                let der = pair.to_pkcs8().map_err(|_| DeploymentKeyError::Unreadable)?.as_ref().to_vec();
                let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
                file.write_all(&der)?;
                file.sync_all()?;
                der
            }
            Err(error) => return Err(error.into()),
        };
        let pair = Ed25519KeyPair::from_pkcs8(&der).map_err(|_| DeploymentKeyError::Unreadable)?;
        let id = hex::encode(digest::digest(&digest::SHA256, pair.public_key().as_ref()));
        Ok(DeploymentKey { pair, id })
    }

    /// SHA-256 of the public key, lower-case hex.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The 32 bytes of the public key, base64: what cores are given.
    pub fn public_key(&self) -> String {
        STANDARD.encode(self.pair.public_key().as_ref())
    }

    /// Adds the signature to a document.
    pub(crate) fn sign(&self, document: &mut Map<String, Value>) {
        document.remove(SIGNATURE_MEMBER);
        let payload = canonical(&Value::Object(document.clone()));
        let signature = self.pair.sign(&pre_authentication(PAYLOAD_TYPE, payload.as_bytes()));
        let envelope = json!({
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": self.id, "sig": STANDARD.encode(signature.as_ref())}],
        });
        document.insert(SIGNATURE_MEMBER.to_owned(), envelope);
    }
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

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    /// SEC-154: the signature holds over the document whatever the order of its members, the key survives a restart, and a
    /// changed document does not pass.
    #[test]
    fn documents_are_signed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deployment.key");
        DeploymentKey::open(&path).unwrap();
        let key = DeploymentKey::open(&path).unwrap();
        let mut document = json!({"b": {"y": [1, 2], "x": "ä"}, "a": 1}).as_object().unwrap().clone();
        key.sign(&mut document);
        let envelope = document.remove(SIGNATURE_MEMBER).unwrap();
        assert_eq!(envelope["signatures"][0]["keyid"], key.id());
        let signature = STANDARD.decode(envelope["signatures"][0]["sig"].as_str().unwrap()).unwrap();
        let public = UnparsedPublicKey::new(&ED25519, STANDARD.decode(key.public_key()).unwrap());
        let holds = |text: &str| {
            let payload = canonical(&serde_json::from_str(text).unwrap());
            public.verify(&pre_authentication(PAYLOAD_TYPE, payload.as_bytes()), &signature).is_ok()
        };
        assert!(holds(r#"{"a": 1, "b": {"x": "ä", "y": [1, 2]}}"#));
        assert!(!holds(r#"{"a": 2, "b": {"x": "ä", "y": [1, 2]}}"#));
    }
}
