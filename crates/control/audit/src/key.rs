//! The Ed25519 key that signs checkpoints, in files of its own, apart from every API key.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::audit::AuditError;

/// Name of the key in signed notes.
pub(crate) const KEY_NAME: &str = "marram-audit";

/// Signature type Ed25519 in signed notes.
const ED25519_TYPE: u8 = 1;

const PRIVATE_FILE: &str = "checkpoint-key.pk8";
const PUBLIC_FILE: &str = "checkpoint-key.pub";

/// The signing key.
#[derive(Debug)]
pub struct AuditKey {
    pair: Ed25519KeyPair,
}

/// The verifying key: `marram-audit+<hash>+<base64>`, the verifier-key form of signed notes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    bytes: Vec<u8>,
}

impl AuditKey {
    /// Reads the key of `dir`, or makes one (0600) and writes its public half beside it.
    ///
    /// # Errors
    /// The file system's, or a key file that is not a key.
    pub fn load_or_create(dir: &Path) -> Result<Self, AuditError> {
        let private = dir.join(PRIVATE_FILE);
        let io = |error| AuditError::File { path: private.clone(), error };
        let der = if private.exists() {
            fs::read(&private).map_err(io)?
        } else {
            let pair = Ed25519KeyPair::generate().map_err(|_| AuditError::Key)?;
            let der = pair.to_pkcs8().map_err(|_| AuditError::Key)?.as_ref().to_vec();
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&private).map_err(io)?;
            file.write_all(&der).and_then(|()| file.sync_all()).map_err(io)?;
            der
        };
        let key = Self { pair: Ed25519KeyPair::from_pkcs8(&der).map_err(|_| AuditError::Key)? };
        let public = dir.join(PUBLIC_FILE);
        if !public.exists() {
            fs::write(&public, format!("{}\n", key.public()))
                .map_err(|error| AuditError::File { path: public, error })?;
        }
        Ok(key)
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey { bytes: self.pair.public_key().as_ref().to_vec() }
    }

    /// The signature of a note's text, as it stands behind the key's name.
    pub(crate) fn sign_note(&self, text: &str) -> String {
        let mut blob = self.public().hash().to_vec();
        blob.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        STANDARD.encode(blob)
    }
}

impl PublicKey {
    /// Reads the public key of `dir`.
    ///
    /// # Errors
    /// The file system's, or a file that is not a key.
    pub fn load(dir: &Path) -> Result<Self, AuditError> {
        let path = dir.join(PUBLIC_FILE);
        let text = fs::read_to_string(&path).map_err(|error| AuditError::File { path, error })?;
        Self::parse(text.trim())
    }

    /// Reads `marram-audit+<hash>+<base64>`.
    ///
    /// # Errors
    /// [`AuditError::Key`] for anything else, or when the hash is not that of the key.
    pub fn parse(text: &str) -> Result<Self, AuditError> {
        let rest = text.strip_prefix(KEY_NAME).and_then(|rest| rest.strip_prefix('+')).ok_or(AuditError::Key)?;
        let (hash, blob) = rest.split_once('+').ok_or(AuditError::Key)?;
        let blob = STANDARD.decode(blob).map_err(|_| AuditError::Key)?;
        let (&kind, bytes) = blob.split_first().ok_or(AuditError::Key)?;
        let key = Self { bytes: bytes.to_vec() };
        let well_formed = kind == ED25519_TYPE && bytes.len() == 32 && hash == hex::encode(key.hash());
        well_formed.then_some(key).ok_or(AuditError::Key)
    }

    /// Whether `signature` (base64 of key hash and signature) signs `text` under this key.
    pub(crate) fn verifies(&self, text: &str, signature: &str) -> bool {
        STANDARD.decode(signature).is_ok_and(|blob| {
            blob.strip_prefix(&self.hash()).is_some_and(|signature| {
                UnparsedPublicKey::new(&ED25519, &self.bytes).verify(text.as_bytes(), signature).is_ok()
            })
        })
    }

    fn hash(&self) -> [u8; 4] {
        let mut named = format!("{KEY_NAME}\n").into_bytes();
        named.push(ED25519_TYPE);
        named.extend_from_slice(&self.bytes);
        digest(&SHA256, &named).as_ref()[..4].try_into().expect("a SHA-256 has 4 bytes")
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut blob = vec![ED25519_TYPE];
        blob.extend_from_slice(&self.bytes);
        write!(f, "{KEY_NAME}+{}+{}", hex::encode(self.hash()), STANDARD.encode(blob))
    }
}
