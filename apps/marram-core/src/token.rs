//! The device's identity: certificate and key in files, or in a PKCS#11 token (CC 11).

pub(crate) mod trial;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use marram_device_keys::{KeyUri, ObjectType, Pkcs11Settings, Provider, TokenError, TokenKey};
use marram_edge_ports::Nucleus;
use marram_nucleus::NucleusHandle;
use marram_secret_store::{DeviceKeyFile, RootError, SealingRoot};
use marram_tls::{RemoteIdentity, RemoteKey};
use marram_types::SecretBytes;
use marram_uplink::{DeviceTls, Proxy, Road};
use serde_json::Value;

/// The component whose configuration names library, slot and PIN.
const PROVIDER: &str = "aws.greengrass.crypto.Pkcs11Provider";

/// Finds keys and certificates, wherever they are. A cheap clone; the token is opened once, and one that refused its PIN not again.
#[derive(Clone)]
pub(crate) struct DeviceIdentity {
    nucleus: NucleusHandle,
    opened: Arc<Mutex<Option<(Value, Result<Provider, Arc<TokenError>>)>>>,
}

impl DeviceIdentity {
    pub(crate) fn new(nucleus: &NucleusHandle) -> Self {
        Self { nucleus: nucleus.clone(), opened: Arc::default() }
    }

    /// What the provider is configured with: another one means another identity.
    pub(crate) fn configuration(&self) -> Value {
        self.nucleus.get(&["services", PROVIDER, "configuration"]).unwrap_or_default()
    }

    /// A way to the control plane that shows this identity.
    ///
    /// # Errors
    /// A file cannot be read or used; the token is not there, or holds no such key.
    pub(crate) fn road(&self, key: &str, certificate: &str, root: &str, proxy: Option<Proxy>) -> anyhow::Result<Road> {
        let roots_pem = read_file(root)?;
        if !KeyUri::is_uri(key) {
            let tls = DeviceTls { roots_pem, chain_pem: self.certificate(certificate)?, key_pem: read_file(key)? };
            return Road::new(&tls, proxy).context("certificate, key or root cannot be used");
        }
        let (key, chain_pem) = if KeyUri::is_uri(certificate) {
            let certificate = KeyUri::parse(certificate, ObjectType::Certificate).context("certificateFilePath")?;
            self.provider()?.identity(&key_uri(key)?, &certificate)?
        } else {
            (self.token_key(key)?, read_file(certificate)?)
        };
        let identity = RemoteIdentity { chain_pem, key: Arc::new(key) };
        Road::with_remote_identity(&roots_pem, &identity, proxy).context("certificate or root cannot be used")
    }

    /// What secrets are sealed with: the device's key.
    ///
    /// # Errors
    /// As [`DeviceIdentity::road`].
    pub(crate) fn sealing_root(&self, key: &str) -> anyhow::Result<Arc<dyn SealingRoot>> {
        if KeyUri::is_uri(key) {
            return Ok(Arc::new(TokenRoot(self.token_key(key)?)));
        }
        Ok(Arc::new(DeviceKeyFile::open(&path_of(key))?))
    }

    /// The key in the token that a `pkcs11:` URI names.
    ///
    /// # Errors
    /// As [`DeviceIdentity::road`].
    pub(crate) fn remote_key(&self, uri: &str) -> anyhow::Result<Arc<dyn RemoteKey>> {
        Ok(Arc::new(self.token_key(uri)?))
    }

    fn certificate(&self, name: &str) -> anyhow::Result<String> {
        if !KeyUri::is_uri(name) {
            return read_file(name);
        }
        let uri = KeyUri::parse(name, ObjectType::Certificate).context("certificateFilePath")?;
        Ok(self.provider()?.certificate_pem(&uri)?)
    }

    fn token_key(&self, uri: &str) -> anyhow::Result<TokenKey> {
        Ok(self.provider()?.key(&key_uri(uri)?)?)
    }

    /// The open token; opened anew when its configuration is another.
    fn provider(&self) -> anyhow::Result<Provider> {
        let configuration = self.configuration();
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((before, outcome)) = &*opened
            && *before == configuration
        {
            return Ok(outcome.clone()?);
        }
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        let settings = Pkcs11Settings::from_configuration(&configuration, credentials.as_deref())
            .with_context(|| format!("configuration of {PROVIDER}"))?;
        let outcome = Provider::open(&settings).map_err(Arc::new);
        *opened = match &outcome {
            Err(error) if !matches!(**error, TokenError::Pin(_)) => None,
            _ => Some((configuration, outcome.clone())),
        };
        Ok(outcome?)
    }
}

fn key_uri(text: &str) -> anyhow::Result<KeyUri> {
    KeyUri::parse(text, ObjectType::Private).context("privateKeyPath")
}

/// A key in the token as the root of sealing.
struct TokenRoot(TokenKey);

impl SealingRoot for TokenRoot {
    fn derive(&self, salt: &[u8; 32]) -> Result<SecretBytes, RootError> {
        self.0.wrapping_key(salt).map_err(|error| RootError::Hardware(error.to_string()))
    }
}

/// The path of a file named as a path or a `file:` URL.
pub(crate) fn path_of(name: &str) -> PathBuf {
    PathBuf::from(name.strip_prefix("file://").or_else(|| name.strip_prefix("file:")).unwrap_or(name))
}

fn read_file(name: &str) -> anyhow::Result<String> {
    let path: &Path = &path_of(name);
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
