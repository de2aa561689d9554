//! The root of sealing: where the key that wraps the data key comes from.

use std::path::Path;

use aws_lc_rs::hkdf;
use marram_types::SecretBytes;

/// Bytes of a wrapping key, of a salt and of a data key.
pub(crate) const KEY_BYTES: usize = 32;

/// Why a root has no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootError {
    /// The key file cannot be read.
    #[error("cannot read the device key {path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It holds no private key.
    #[error("{path} holds no private key in PEM")]
    NoKey {
        /// Which.
        path: String,
    },
    /// The token or other hardware refused.
    #[error("the device key cannot be used: {0}")]
    Hardware(String),
}

/// Derives wrapping keys from the device's identity. The same salt gives the same key for as long as the device key lives.
pub trait SealingRoot: Send + Sync {
    /// A wrapping key for `salt`; may take as long as a hardware token does.
    ///
    /// # Errors
    /// [`RootError`].
    fn derive(&self, salt: &[u8; 32]) -> Result<SecretBytes, RootError>;
}

/// A device key in a file: HKDF-SHA-256 over the key's own bytes, so RSA and EC keys serve alike.
pub struct DeviceKeyFile {
    key: SecretBytes,
}

impl DeviceKeyFile {
    /// Reads the key.
    ///
    /// # Errors
    /// [`RootError::File`], [`RootError::NoKey`].
    pub fn open(path: &Path) -> Result<Self, RootError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| RootError::File { path: shown.clone(), source })?;
        let text = zeroize::Zeroizing::new(text);
        Self::from_pem(&text).ok_or(RootError::NoKey { path: shown })
    }

    /// A key from its PEM text; none when there is no private key in it.
    pub fn from_pem(text: &str) -> Option<Self> {
        use base64::Engine;
        let begin = text.find("-----BEGIN ")?;
        let (label, rest) = text[begin + 11..].split_once("-----")?;
        if !label.ends_with("PRIVATE KEY") {
            // An EC file may open with its parameters.
            return Self::from_pem(&rest[rest.find("-----BEGIN ")?..]);
        }
        let (body, _) = rest.split_once("-----END ")?;
        let body: zeroize::Zeroizing<String> =
            zeroize::Zeroizing::new(body.chars().filter(|c| !c.is_ascii_whitespace()).collect());
        let bytes = base64::engine::general_purpose::STANDARD.decode(body.as_bytes()).ok()?;
        (!bytes.is_empty()).then(|| Self { key: SecretBytes::new(bytes) })
    }
}

impl SealingRoot for DeviceKeyFile {
    fn derive(&self, salt: &[u8; 32]) -> Result<SecretBytes, RootError> {
        Ok(expand(self.key.expose(), salt))
    }
}

impl std::fmt::Debug for DeviceKeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeviceKeyFile")
    }
}

struct Length;

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

/// HKDF-SHA-256 of `material`.
fn expand(material: &[u8], salt: &[u8]) -> SecretBytes {
    let mut key = vec![0; KEY_BYTES];
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(material)
        .expand(&[b"marram secret store: wrapping key"], Length)
        .and_then(|okm| okm.fill(&mut key))
        .expect("32 bytes are within what HKDF-SHA-256 gives");
    SecretBytes::new(key)
}
