//! A configuration of the provider, tried before it counts (CC 11).
//!
//! A token knows a process that is logged in, and takes any other PIN from it without a look. So a PIN is tried in a process of its own,
//! which ends afterwards: [`try_out`] is what that process does, once.

use std::path::Path;

use cryptoki::error::{Error, RvError};
use marram_pki::{Certificate, Hash, SignatureAlgorithm, pem};
use marram_tls::{RemoteKey, SignatureScheme};
use serde_json::Value;

use crate::key::TokenKey;
use crate::provider::{Provider, Said, TokenError};
use crate::settings::Pkcs11Settings;
use crate::uri::{KeyUri, ObjectType};

/// What the key signs to prove that it is the certificate's.
const PROOF: &[u8] = b"marram: a token is tried";

/// What is tried: the provider's configuration, and the identity that it leads to.
#[derive(Debug, Clone)]
pub struct Trial<'a> {
    /// Configuration of the provider.
    pub configuration: &'a Value,
    /// Folder of the service manager's credentials (`CREDENTIALS_DIRECTORY`).
    pub credentials: Option<&'a Path>,
    /// `privateKeyPath`, where it is a `pkcs11:` URI.
    pub key: Option<&'a str>,
    /// `certificateFilePath` where it is a `pkcs11:` URI, else the certificate itself, PEM.
    pub certificate: &'a str,
}

/// Loads the library, logs in, once, and uses the device's key. Answers the certificate, PEM, where the token holds it.
///
/// # Errors
/// Why the token cannot be used, for people; the PIN is not in it.
pub fn try_out(trial: &Trial<'_>) -> Result<Option<String>, String> {
    let settings = Pkcs11Settings::from_configuration(trial.configuration, trial.credentials)
        .map_err(|error| error.to_string())?;
    if !settings.library.exists() {
        return Err(format!("there is no library {}", settings.library.display()));
    }
    let explained = |error| explain(error, settings.slot);
    let provider = Provider::open(&settings).map_err(explained)?;
    let Some(key) = trial.key else { return Ok(None) };
    let named = |kind: &'static str| move |error| format!("{kind}: {error}");
    let key = KeyUri::parse(key, ObjectType::Private).map_err(named("privateKeyPath"))?;
    if !KeyUri::is_uri(trial.certificate) {
        let key = provider.key(&key).map_err(explained)?;
        return prove(&key, trial.certificate).map(|()| None);
    }
    let certificate =
        KeyUri::parse(trial.certificate, ObjectType::Certificate).map_err(named("certificateFilePath"))?;
    let (key, certificate) = provider.identity(&key, &certificate).map_err(explained)?;
    prove(&key, &certificate)?;
    Ok(Some(certificate))
}

/// The key is the one that the certificate was issued for.
fn prove(key: &TokenKey, certificate: &str) -> Result<(), String> {
    let unreadable = |error| format!("the certificate cannot be read: {error}");
    let chain = pem::certificates(certificate).map_err(unreadable)?;
    let leaf = chain.first().ok_or_else(|| "there is no certificate".to_owned())?;
    let certificate = Certificate::from_der(leaf).map_err(unreadable)?;
    let (scheme, algorithm) = match key.schemes().first() {
        Some(SignatureScheme::EcdsaP256Sha256) => {
            (SignatureScheme::EcdsaP256Sha256, SignatureAlgorithm::Ecdsa(Hash::Sha256))
        }
        Some(SignatureScheme::EcdsaP384Sha384) => {
            (SignatureScheme::EcdsaP384Sha384, SignatureAlgorithm::Ecdsa(Hash::Sha384))
        }
        _ => (SignatureScheme::RsaPkcs1Sha256, SignatureAlgorithm::RsaPkcs1(Hash::Sha256)),
    };
    let signature = key.sign(scheme, PROOF).map_err(|error| format!("the key in the token does not sign: {error}"))?;
    let proven = certificate.public_key().verify(algorithm, PROOF, &signature);
    proven.map_err(|_| "the key in the token is not the one that the certificate was issued for".to_owned())
}

/// The token's own words are for programmers.
fn explain(error: TokenError, slot: u64) -> String {
    match &error {
        TokenError::Pin(said) => match said.0 {
            Error::Pkcs11(RvError::PinLocked, _) => "the token is locked: too many wrong PINs".to_owned(),
            Error::Pkcs11(RvError::PinExpired, _) => "the token wants another PIN: this one has expired".to_owned(),
            _ => "the token does not take userPin (it was tried once, because tokens lock)".to_owned(),
        },
        TokenError::Token { said: Said(Error::Pkcs11(RvError::SlotIdInvalid, _)), .. } => {
            format!("the library knows no slot {slot}")
        }
        TokenError::Token {
            said: Said(Error::Pkcs11(RvError::TokenNotPresent | RvError::TokenNotRecognized, _)),
            ..
        } => format!("there is no token in slot {slot}"),
        _ => error.to_string(),
    }
}
