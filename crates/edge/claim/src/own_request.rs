//! An operator's own request and its key, looked at before anything is asked for: a certificate is issued once, and a key that does not
//! fit it, or that a core does not start with (CR 9.1), would be found when the claim is spent.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use marram_pki::{Hash, KeyKind, PublicKey, SignatureAlgorithm, SigningRequest};
use marram_tls::{RemoteKey, SignatureScheme, public_key_of};

use crate::error::ClaimError;

const REQUEST: &str = "csrPath";
const KEY: &str = "csrPrivateKeyPath";

/// Finds the key that a URI names, in a token.
pub type FindKey = Box<dyn Fn(&str) -> Result<Arc<dyn RemoteKey>, String> + Send + Sync>;

/// What stands where a key is named that is in a token.
const TOKEN: &str = "pkcs11:";

/// The text of the request, when it and its key are good.
///
/// # Errors
/// [`ClaimError::OwnRequest`].
pub(crate) fn checked(request: &Path, key: &Path, find_key: Option<&FindKey>) -> Result<String, ClaimError> {
    let bad = |member, what: String, remedy: &str| ClaimError::OwnRequest { member, what, remedy: remedy.to_owned() };
    let path = request.display();
    let text = fs::read_to_string(request)
        .map_err(|error| bad(REQUEST, format!("{path} cannot be read: {error}"), "put the request there"))?;
    let wanted = SigningRequest::from_pem(&text).map_err(|error| {
        bad(REQUEST, format!("{path}: {error}"), "put a PKCS#10 request there (PEM), signed with its own key")
    })?;
    let wanted = wanted.public_key();
    let name = key.to_string_lossy();
    let is_in_token = name.get(..TOKEN.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(TOKEN));
    let fits = if is_in_token { fits_in_token(&name, wanted, find_key) } else { fits_in_file(key, wanted) };
    match fits {
        Ok(true) => Ok(text),
        Ok(false) => {
            let what = format!("{name} is not the key of the request {path} ({REQUEST})");
            Err(bad(KEY, what, "name the key that the request was made with, or make the request anew"))
        }
        Err((what, remedy)) => Err(ClaimError::OwnRequest { member: KEY, what, remedy }),
    }
}

/// What is wrong with a key, and what to do.
type Fault = (String, String);

/// Whether the file holds the private half of `wanted`, for its owner alone.
fn fits_in_file(key: &Path, wanted: &PublicKey) -> Result<bool, Fault> {
    let path = key.display();
    let missing =
        |error| (format!("{path} cannot be read: {error}"), "put the private key of the request there".to_owned());
    let mode = fs::metadata(key).map_err(missing)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let what = format!("{path} can be read by others (mode {mode:04o})");
        return Err((what, "run `chmod go-rwx` on it and check who read it".to_owned()));
    }
    let text = fs::read_to_string(key).map_err(missing)?;
    let public = public_key_of(&text).map_err(|error| {
        (
            format!("{path} is no private key that can be used: {error}"),
            "put the private key of the request there (PEM)".to_owned(),
        )
    })?;
    Ok(public == wanted.spki_der())
}

/// Whether the token's key signs what `wanted` takes.
fn fits_in_token(uri: &str, wanted: &PublicKey, find_key: Option<&FindKey>) -> Result<bool, Fault> {
    let remedy = || "see to the token and to the configuration of aws.greengrass.crypto.Pkcs11Provider".to_owned();
    let fault = |error| (format!("{uri} cannot be used: {error}"), remedy());
    let key = find_key.ok_or_else(|| fault("this core has no tokens".to_owned()))?(uri).map_err(fault)?;
    let (scheme, algorithm) = match wanted.kind() {
        KeyKind::Rsa { .. } => (SignatureScheme::RsaPkcs1Sha256, SignatureAlgorithm::RsaPkcs1(Hash::Sha256)),
        KeyKind::EcP256 => (SignatureScheme::EcdsaP256Sha256, SignatureAlgorithm::Ecdsa(Hash::Sha256)),
        KeyKind::EcP384 => (SignatureScheme::EcdsaP384Sha384, SignatureAlgorithm::Ecdsa(Hash::Sha384)),
        KeyKind::EcP521 => return Ok(false),
    };
    if !key.schemes().contains(&scheme) {
        return Ok(false);
    }
    let message = [b"marram claim: whose key is it? ".as_slice(), &marram_types::random_bytes::<32>()].concat();
    let signature = key.sign(scheme, &message).map_err(fault)?;
    Ok(wanted.verify(algorithm, &message, &signature).is_ok())
}
