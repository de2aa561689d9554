//! Temporary credentials: a sealed token says all there is to know, a derived secret is kept nowhere.
//!
//! A session dies with its expiry, with its revocation, and with the user or role it came from: the token holds that
//! entity's unique id, and an entity made anew under the same name has another. Session policies are too long for a
//! token and are kept by key id. Source: control-plane-api.md section 2.5.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use marram_authz::{Policy, PolicyKind};
use marram_sigv4::Credentials;
use marram_types::{AccountId, SecretString, Timestamp, random_base32};
use serde::{Deserialize, Serialize};

use crate::keyring::{Keyring, Purpose};

/// Longest token, since it has to fit in MQTT URLs (control-plane-api.md section 2.5).
pub(crate) const MAX_TOKEN_CHARS: usize = 2048;
/// Characters after `ASIA` in a key id (control-plane-api.md section 3.1).
const KEY_ID_CHARS: usize = 16;

/// Whose session it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Issuer {
    /// The account's root.
    #[serde(rename = "a")]
    Root,
    /// A user: folded name and unique id.
    #[serde(rename = "u")]
    User(String, String),
    /// A role: folded name, unique id, and the session's name.
    #[serde(rename = "r")]
    Role(String, String, String),
}

impl Issuer {
    pub(crate) fn id(&self) -> &str {
        match self {
            Issuer::Root => "root",
            Issuer::User(_, id) | Issuer::Role(_, id, _) => id,
        }
    }
}

/// What a token says. Member names are short because the token has to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    #[serde(rename = "a")]
    pub account: AccountId,
    #[serde(rename = "i")]
    pub issuer: Issuer,
    /// Seconds since the epoch.
    #[serde(rename = "b")]
    pub began: i64,
    #[serde(rename = "e")]
    pub expires: i64,
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub mfa_at: Option<i64>,
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub source_identity: Option<String>,
    #[serde(rename = "t", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Keys of tags that pass on to sessions begun from this one.
    #[serde(rename = "x", default, skip_serializing_if = "Vec::is_empty")]
    pub transitive: Vec<String>,
    /// Condition keys of the session.
    #[serde(rename = "f", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, String>,
    /// The session was begun with policies, which are kept by key id.
    #[serde(rename = "p", default, skip_serializing_if = "std::ops::Not::not")]
    pub has_policies: bool,
}

/// Credentials just made.
#[derive(Clone, Debug)]
pub struct TemporaryCredentials {
    /// Key id `ASIA…`, secret and token.
    pub credentials: Credentials,
    /// When they end.
    pub expires: Timestamp,
}

/// The token would be longer than [`MAX_TOKEN_CHARS`].
#[derive(Debug)]
pub(crate) struct TooLong {
    pub percent: u64,
}

impl Claims {
    /// Makes credentials of these claims; also answers how full the token is, in percent.
    pub(crate) fn issue(&self, keyring: &Keyring) -> Result<(TemporaryCredentials, u64), TooLong> {
        let access_key_id = format!("ASIA{}", random_base32(KEY_ID_CHARS));
        let plain = serde_json::to_vec(self).expect("claims are strings, numbers and maps with string keys");
        let token = URL_SAFE_NO_PAD.encode(keyring.seal(Purpose::Session, access_key_id.as_bytes(), &plain));
        let percent = (token.len() * 100 / MAX_TOKEN_CHARS) as u64;
        if token.len() > MAX_TOKEN_CHARS {
            return Err(TooLong { percent });
        }
        let secret: SecretString = keyring.session_secret(&access_key_id);
        let credentials = Credentials { access_key_id, secret, session_token: Some(token) };
        Ok((TemporaryCredentials { credentials, expires: Timestamp::from_secs(self.expires) }, percent))
    }

    /// Opens a token that belongs to this key id. Expiry and revocation are the caller's to check.
    pub(crate) fn open(keyring: &Keyring, access_key_id: &str, token: &str) -> Option<Claims> {
        if token.len() > MAX_TOKEN_CHARS {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(token).ok()?;
        let plain = keyring.open_sealed(Purpose::Session, access_key_id.as_bytes(), &sealed)?;
        serde_json::from_slice(&plain).ok()
    }
}

/// Session policies of one key.
#[derive(Clone, Debug)]
pub(crate) struct KeptSession {
    pub policies: Arc<[Arc<Policy>]>,
    pub revoked: bool,
    pub expires: Timestamp,
}

/// Policy documents of a session as they are stored: name and text.
pub(crate) type SessionDocuments = Vec<(String, String)>;

/// Compiles the documents of a session; `None` when one is not a policy.
pub(crate) fn compile_documents(documents: &SessionDocuments) -> Option<Arc<[Arc<Policy>]>> {
    let compiled: Result<Vec<Arc<Policy>>, _> =
        documents.iter().map(|(id, text)| Policy::parse(PolicyKind::Identity, id, text).map(Arc::new)).collect();
    compiled.ok().map(Into::into)
}
