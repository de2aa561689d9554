//! A deployment on its way to a core: compressed, hashed, signed (TG 7.3, 7.6).
//!
//! A package is a small JSON object that stands in the configuration of the core's flow component:
//! `{"format": 1, "id", "snapshot", "sha256", "signature"}`. `snapshot` is the base64 of the deflated JSON of a
//! [`Deployment`]; `sha256` is of that JSON, before compression; `signature` is Ed25519 over [`signed_bytes`]. A core that
//! knows keys refuses what none of them signed ([`Trust`]).

use std::io::{Read as _, Write as _};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde_json::{Value as Json, json};

use crate::spec::Deployment;

/// The form this program writes and reads.
pub const FORMAT: u64 = 1;
/// Longest text of a deployment, bytes: what a hostile package may unfold to.
pub const MAX_TEXT_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of a public key.
const PUBLIC_KEY_BYTES: usize = 32;

/// Why a package was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// A member is missing or of the wrong kind.
    #[error("the package is malformed: {0}")]
    Malformed(&'static str),
    /// Written by a later program.
    #[error("the package has format {0}, this core reads {FORMAT}")]
    Format(u64),
    /// It unfolds to more than [`MAX_TEXT_BYTES`].
    #[error("the deployment is larger than {MAX_TEXT_BYTES} bytes")]
    TooLarge,
    /// What it holds is not what was hashed.
    #[error("the hash of the deployment does not match")]
    Hash,
    /// Keys are known and none signed it.
    #[error("the deployment is not signed by a known deployment key")]
    Signature,
    /// The text is no deployment of this program.
    #[error("the deployment cannot be read: {0}")]
    Unreadable(String),
    /// The key is not usable.
    #[error("the deployment key cannot be used")]
    Key,
}

/// The control plane's key for packages.
pub struct DeploymentKey {
    pair: Ed25519KeyPair,
}

impl std::fmt::Debug for DeploymentKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("DeploymentKey").field("public", &self.public()).finish_non_exhaustive()
    }
}

impl DeploymentKey {
    /// A new key and its PKCS#8 form, to be kept secret.
    ///
    /// # Errors
    /// [`PackageError::Key`].
    pub fn generate() -> Result<(Self, Vec<u8>), PackageError> {
        let random = aws_lc_rs::rand::SystemRandom::new();
        let document = Ed25519KeyPair::generate_pkcs8(&random).map_err(|_| PackageError::Key)?;
        Ok((Self::load(document.as_ref())?, document.as_ref().to_vec()))
    }

    /// A key from its PKCS#8 form.
    ///
    /// # Errors
    /// [`PackageError::Key`].
    pub fn load(pkcs8: &[u8]) -> Result<Self, PackageError> {
        Ok(Self { pair: Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| PackageError::Key)? })
    }

    /// What cores need to know of it.
    pub fn public(&self) -> TrustedKey {
        TrustedKey(self.pair.public_key().as_ref().to_vec())
    }

    /// The signature of a detached text, raw.
    pub fn sign(&self, text: &[u8]) -> Vec<u8> {
        self.pair.sign(text).as_ref().to_vec()
    }
}

/// The public half of a [`DeploymentKey`]; its text is hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey(Vec<u8>);

impl std::fmt::Display for TrustedKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&hex::encode(&self.0))
    }
}

impl std::str::FromStr for TrustedKey {
    type Err = PackageError;

    fn from_str(text: &str) -> Result<Self, PackageError> {
        let bytes = hex::decode(text.trim()).map_err(|_| PackageError::Key)?;
        if bytes.len() == PUBLIC_KEY_BYTES { Ok(Self(bytes)) } else { Err(PackageError::Key) }
    }
}

impl TrustedKey {
    /// A key from its base64 form, as `marram core provision` hands it out.
    ///
    /// # Errors
    /// [`PackageError::Key`].
    pub fn from_base64(text: &str) -> Result<Self, PackageError> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| PackageError::Key)?;
        if bytes.len() == PUBLIC_KEY_BYTES { Ok(Self(bytes)) } else { Err(PackageError::Key) }
    }
}

/// What a reader demands of a package.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trust {
    /// That it is whole.
    #[default]
    Whole,
    /// That one of these keys signed it; without any key nothing is believed.
    Signed(Vec<TrustedKey>),
}

/// What is signed: a word that ties the signature to its purpose, then the hash.
pub fn signed_bytes(sha256: &[u8]) -> Vec<u8> {
    [b"marram flow package 1\n".as_slice(), sha256].concat()
}

/// Packs a deployment.
///
/// # Errors
/// [`PackageError::TooLarge`], [`PackageError::Unreadable`] when it has no JSON form.
pub fn seal(deployment: &Deployment, key: Option<&DeploymentKey>) -> Result<Json, PackageError> {
    let text = serde_json::to_vec(deployment).map_err(|error| PackageError::Unreadable(error.to_string()))?;
    if text.len() > MAX_TEXT_BYTES {
        return Err(PackageError::TooLarge);
    }
    let hash = digest(&SHA256, &text);
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    let packed = encoder.write_all(&text).and_then(|()| encoder.finish());
    let packed = packed.map_err(|error| PackageError::Unreadable(error.to_string()))?;
    let mut package = json!({
        "format": FORMAT,
        "id": deployment.id(),
        "snapshot": STANDARD.encode(packed),
        "sha256": hex::encode(hash),
    });
    if let Some(key) = key {
        package["signature"] = STANDARD.encode(key.sign(&signed_bytes(hash.as_ref()))).into();
    }
    Ok(package)
}

/// The bytes whose signature belongs into a package that [`seal`] made without a key, by [`put_signature`].
pub fn unsigned_bytes(package: &Json) -> Option<Vec<u8>> {
    hex::decode(claimed_hash(package)?).ok().map(|hash| signed_bytes(&hash))
}

/// Puts the signature of [`unsigned_bytes`] into a package.
pub fn put_signature(package: &mut Json, signature: &[u8]) {
    package["signature"] = STANDARD.encode(signature).into();
}

/// Whether a package bears a signature, whosever it is.
pub fn is_signed(package: &Json) -> bool {
    package.get("signature").is_some_and(|signature| !signature.is_null())
}

/// The `sha256` a package claims, lower-case; for telling packages apart without opening them.
pub fn claimed_hash(package: &Json) -> Option<&str> {
    package.get("sha256")?.as_str()
}

/// Opens a package: shape, size, hash, signature when `trust` demands one, then content.
///
/// # Errors
/// [`PackageError`].
pub fn open(package: &Json, trust: &Trust) -> Result<Deployment, PackageError> {
    let member = |name: &'static str| package.get(name).and_then(Json::as_str).ok_or(PackageError::Malformed(name));
    // Configuration trees may have turned the number into a double.
    let format = package.get("format").and_then(Json::as_f64).ok_or(PackageError::Malformed("format"))?;
    if format != FORMAT as f64 {
        return Err(PackageError::Format(format as u64));
    }
    let claimed = hex::decode(member("sha256")?).map_err(|_| PackageError::Malformed("sha256"))?;
    let packed = STANDARD.decode(member("snapshot")?).map_err(|_| PackageError::Malformed("snapshot"))?;
    let mut text = Vec::new();
    let limit = MAX_TEXT_BYTES as u64 + 1;
    let unfolded = DeflateDecoder::new(packed.as_slice()).take(limit).read_to_end(&mut text);
    unfolded.map_err(|_| PackageError::Malformed("snapshot"))?;
    if text.len() > MAX_TEXT_BYTES {
        return Err(PackageError::TooLarge);
    }
    let hash = digest(&SHA256, &text);
    if hash.as_ref() != claimed {
        return Err(PackageError::Hash);
    }
    if let Trust::Signed(trusted) = trust {
        let signature = member("signature").map_err(|_| PackageError::Signature)?;
        let signature = STANDARD.decode(signature).map_err(|_| PackageError::Signature)?;
        let message = signed_bytes(hash.as_ref());
        let fits = |key: &TrustedKey| UnparsedPublicKey::new(&ED25519, &key.0).verify(&message, &signature).is_ok();
        if !trusted.iter().any(fits) {
            return Err(PackageError::Signature);
        }
    }
    let deployment: Deployment =
        serde_json::from_slice(&text).map_err(|error| PackageError::Unreadable(error.to_string()))?;
    if !member("id")?.eq_ignore_ascii_case(deployment.id()) {
        return Err(PackageError::Malformed("id"));
    }
    Ok(deployment)
}
