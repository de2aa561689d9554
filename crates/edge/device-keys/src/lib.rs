//! Device keys behind PKCS#11 (`aws.greengrass.crypto.Pkcs11Provider`, core-components.md section 11).
//!
//! ```text
//! privateKeyPath: pkcs11:object=<label>;type=private ─> KeyUri ─> Provider::key ─> TokenKey: marram_tls::RemoteKey
//! certificateFilePath: pkcs11:object=<label>;type=cert ─────────> Provider::certificate_pem
//! ```
//!
//! The key never leaves the token. What the secret store needs of it is a value only the key can produce
//! ([`TokenKey::wrapping_key`]), with RSA and EC keys alike.

mod key;
mod provider;
mod settings;
mod trial;
mod uri;

pub use key::TokenKey;
pub use provider::{Provider, Said, TokenError};
pub use settings::{Pkcs11Settings, SettingsError};
pub use trial::{Trial, try_out};
pub use uri::{KeyUri, ObjectType, UriError};
