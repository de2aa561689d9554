//! The key that signs deployment documents and the recipes they lead to (SEC-154): DSSE with Ed25519.
//!
//! What is signed, and how it is written, stands in `marram_deploy::signature`: cores read it there.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use marram_deploy::{DOCUMENT_TYPE, RECIPE_TYPE, SIGNATURE_MEMBER, canonical, pre_authentication, recipe_statement};
use serde_json::{Map, Value, json};

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
        let envelope = self.envelope(DOCUMENT_TYPE, &Value::Object(document.clone()));
        document.insert(SIGNATURE_MEMBER.to_owned(), envelope);
    }

    /// The envelope that goes with a recipe: it binds the text to its ARN, name and version.
    pub(crate) fn sign_recipe(&self, arn: &str, name: &str, version: &str, recipe: &[u8]) -> Value {
        let sha256 = STANDARD.encode(digest::digest(&digest::SHA256, recipe));
        self.envelope(RECIPE_TYPE, &recipe_statement(arn, name, version, &sha256))
    }

    fn envelope(&self, payload_type: &str, payload: &Value) -> Value {
        self.envelope_of(payload_type, canonical(payload).as_bytes())
    }

    /// A signature without an envelope.
    pub(crate) fn bare(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }

    /// The same for a payload that is signed as it is.
    pub(crate) fn envelope_of(&self, payload_type: &str, payload: &[u8]) -> Value {
        let signature = self.pair.sign(&pre_authentication(payload_type, payload));
        json!({
            "payloadType": payload_type,
            "signatures": [{"keyid": self.id, "sig": STANDARD.encode(signature.as_ref())}],
        })
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
            public.verify(&pre_authentication(DOCUMENT_TYPE, payload.as_bytes()), &signature).is_ok()
        };
        assert!(holds(r#"{"a": 1, "b": {"x": "ä", "y": [1, 2]}}"#));
        assert!(!holds(r#"{"a": 2, "b": {"x": "ä", "y": [1, 2]}}"#));
    }
}
