//! Configuration of the component `aws.greengrass.crypto.Pkcs11Provider`.

use std::path::{Path, PathBuf};

use marram_types::SecretString;
use serde_json::Value;

/// A PIN that stands in the service manager's credentials: `credential:<name>` (CR 9.2: never in the configuration in clear).
const CREDENTIAL: &str = "credential:";

/// Which library, which slot, which PIN.
#[derive(Debug, Clone)]
pub struct Pkcs11Settings {
    /// `name`: for the log.
    pub name: String,
    /// `library`: absolute path of the PKCS#11 library.
    pub library: PathBuf,
    /// `slot`: the slot's id, not its index.
    pub slot: u64,
    /// `userPin`: the PIN.
    pub user_pin: SecretString,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A required member is missing or of the wrong type.
    #[error("{0} is missing or of the wrong type")]
    Member(&'static str),
    /// The library's path is relative.
    #[error("library must be an absolute path")]
    RelativeLibrary,
    /// The credential is not there.
    #[error("cannot read the credential {name}: {source}")]
    Credential {
        /// Its name.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// No credentials are handed to this process.
    #[error("userPin names a credential, and the service manager hands none over")]
    NoCredentials,
}

impl Pkcs11Settings {
    /// Reads the component's configuration. `credentials` is the directory of the service manager's credentials
    /// (`CREDENTIALS_DIRECTORY`).
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn from_configuration(configuration: &Value, credentials: Option<&Path>) -> Result<Self, SettingsError> {
        let text = |member: &'static str| {
            configuration
                .get(member)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .ok_or(SettingsError::Member(member))
        };
        let library = PathBuf::from(text("library")?);
        if !library.is_absolute() {
            return Err(SettingsError::RelativeLibrary);
        }
        let slot = match configuration.get("slot") {
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) => text.parse().ok(),
            _ => None,
        };
        // Numbers are what people write for a PIN of digits.
        let pin = match configuration.get("userPin") {
            Some(Value::Number(number)) => number.to_string(),
            _ => text("userPin")?.to_owned(),
        };
        let user_pin = match pin.strip_prefix(CREDENTIAL) {
            None => {
                tracing::warn!("userPin stands in the configuration in clear; use credential:<name>");
                SecretString::new(pin)
            }
            Some(name) => credential(name, credentials)?,
        };
        Ok(Self { name: text("name")?.to_owned(), library, slot: slot.ok_or(SettingsError::Member("slot"))?, user_pin })
    }
}

fn credential(name: &str, credentials: Option<&Path>) -> Result<SecretString, SettingsError> {
    let folder = credentials.ok_or(SettingsError::NoCredentials)?;
    let bad = |source| SettingsError::Credential { name: name.to_owned(), source };
    if name.is_empty() || name.contains('/') || name == ".." {
        return Err(bad(std::io::ErrorKind::InvalidInput.into()));
    }
    let text = std::fs::read_to_string(folder.join(name)).map_err(bad)?;
    Ok(SecretString::new(text.trim_end_matches(['\r', '\n'])))
}
