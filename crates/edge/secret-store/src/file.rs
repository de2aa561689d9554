//! The sealed file: written whole, in place of the old one, with a fresh data key each time.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use marram_types::{random_bytes, random_fill};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::kept::{Kept, Secret, Value, Version};
use crate::root::{KEY_BYTES, RootError, SealingRoot};

/// Format of the file.
const FORMAT: u32 = 1;
const FILE: &str = "secrets.sealed";
const WRAPPED_FOR: &[u8] = b"marram secret store: data key";

/// Why the kept secrets could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The disk.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not ours, was changed, or belongs to another device key.
    #[error("the kept secrets cannot be opened with this device key")]
    Sealed,
    /// The device key.
    #[error(transparent)]
    Root(#[from] RootError),
}

#[derive(Serialize, Deserialize)]
struct Vault {
    format: u32,
    salt: String,
    key: String,
    secrets: Vec<SealedSecret>,
}

#[derive(Serialize, Deserialize)]
struct SealedSecret {
    /// As configured.
    configured: String,
    #[serde(flatten)]
    facts: Facts,
    sealed: String,
}

/// What is readable beside the sealed value, and bound to it: changing any of it makes the value unreadable.
#[derive(Serialize, Deserialize)]
struct Facts {
    arn: String,
    name: String,
    version: String,
    stages: Vec<String>,
    created: i64,
    text: bool,
}

/// Reads what is kept in `dir`; nothing when there is no file yet.
pub(crate) fn load(dir: &Path, root: &dyn SealingRoot) -> Result<Kept, VaultError> {
    let path = dir.join(FILE);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::default()),
        Err(source) => return Err(VaultError::Io { path, source }),
    };
    let vault: Vault = serde_json::from_slice(&bytes).map_err(|_| VaultError::Sealed)?;
    let salt: [u8; KEY_BYTES] = decode(&vault.salt)?.try_into().map_err(|_| VaultError::Sealed)?;
    if vault.format != FORMAT {
        return Err(VaultError::Sealed);
    }
    let wrapping = root.derive(&salt)?;
    let data_key = open(wrapping.expose(), WRAPPED_FOR, &decode(&vault.key)?)?;
    let mut kept = Kept::default();
    for entry in vault.secrets {
        let bytes = open(&data_key, &bound(&entry.facts), &decode(&entry.sealed)?)?;
        let Facts { arn, name, version, stages, created, text } = entry.facts;
        let value = Value { is_text: text, bytes };
        let version = Version { id: version, stages, created_millis: created, value };
        kept.0
            .entry(entry.configured)
            .or_insert_with(|| Secret { arn, name, versions: Vec::new() })
            .versions
            .push(version);
    }
    Ok(kept)
}

/// The text of the file for `kept`.
pub(crate) fn seal(kept: &Kept, root: &dyn SealingRoot) -> Result<Vec<u8>, VaultError> {
    let salt: [u8; KEY_BYTES] = random_bytes();
    let mut data_key = Zeroizing::new([0; KEY_BYTES]);
    random_fill(data_key.as_mut());
    let wrapping = root.derive(&salt)?;
    let mut secrets = Vec::new();
    for (configured, secret) in &kept.0 {
        for version in &secret.versions {
            let facts = Facts {
                arn: secret.arn.clone(),
                name: secret.name.clone(),
                version: version.id.clone(),
                stages: version.stages.clone(),
                created: version.created_millis,
                text: version.value.is_text,
            };
            let sealed = STANDARD.encode(close(data_key.as_ref(), &bound(&facts), &version.value.bytes));
            secrets.push(SealedSecret { configured: configured.clone(), facts, sealed });
        }
    }
    let key = STANDARD.encode(close(wrapping.expose(), WRAPPED_FOR, data_key.as_ref()));
    let vault = Vault { format: FORMAT, salt: STANDARD.encode(salt), key, secrets };
    Ok(serde_json::to_vec(&vault).expect("texts and numbers can be written"))
}

/// Puts `bytes` in the file's place; whole or not at all, power may go at any moment.
pub(crate) fn write(dir: &Path, bytes: &[u8]) -> Result<(), VaultError> {
    let path = dir.join(FILE);
    let fresh = dir.join(format!("{FILE}.new"));
    let io = |source| VaultError::Io { path: path.clone(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh).map_err(io)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io)?;
    fs::rename(&fresh, &path).map_err(io)?;
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)
}

/// Facts as bytes that no other facts have.
fn bound(facts: &Facts) -> Vec<u8> {
    serde_json::to_vec(facts).expect("texts and numbers can be written")
}

fn cipher(key: &[u8]) -> Result<LessSafeKey, VaultError> {
    UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).map_err(|_| VaultError::Sealed)
}

fn close(key: &[u8], bound: &[u8], plain: &[u8]) -> Vec<u8> {
    let nonce: [u8; NONCE_LEN] = random_bytes();
    let mut sealed = plain.to_vec();
    cipher(key)
        .expect("keys have 32 bytes")
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(bound), &mut sealed)
        .expect("secrets are far below the limit of AES-GCM");
    let mut out = nonce.to_vec();
    out.append(&mut sealed);
    out
}

fn open(key: &[u8], bound: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let (nonce, body) = sealed.split_at_checked(NONCE_LEN).ok_or(VaultError::Sealed)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::Sealed)?;
    let mut body = Zeroizing::new(body.to_vec());
    let length = cipher(key)?.open_in_place(nonce, Aad::from(bound), &mut body).map_err(|_| VaultError::Sealed)?.len();
    body.truncate(length);
    Ok(body)
}

fn decode(text: &str) -> Result<Vec<u8>, VaultError> {
    STANDARD.decode(text).map_err(|_| VaultError::Sealed)
}
