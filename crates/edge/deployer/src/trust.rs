//! Whom the core believes: signatures of documents and recipes, and no step back (SEC-154, security 8.2).
//!
//! The keys stand at `system.deploymentPublicKey`, where no deployment writes: the public key that `marram core provision`
//! hands out, or a list of such keys while one takes the place of another. Without them every document is taken, as in the
//! original.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use marram_deploy::{
    DOCUMENT_TYPE, DeploymentDocument, DetailedStatus, ErrorCode, Failure, RECIPE_TYPE, SIGNATURE_MEMBER, canonical,
    group_key, pre_authentication, recipe_statement,
};
use marram_edge_ports::{Nucleus, PortError, Resolved};
use serde_json::{Value, json};

use crate::prepare::Refusal;
use crate::{Inner, fault};

/// Where the keys are.
const KEYS: [&str; 2] = ["system", "deploymentPublicKey"];
/// Most keys, and most signatures of an envelope (our limit).
const MAX_KEYS: usize = 8;
/// Bytes of a public key.
const KEY_BYTES: usize = 32;
/// Where the newest document of each target is remembered.
const NEWEST: [&str; 4] = ["services", "DeploymentService", "runtime", "NewestDocuments"];

/// Why something is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Untrusted {
    #[error("system.deploymentPublicKey is not a base64 Ed25519 key")]
    Setting,
    #[error("it bears no signature")]
    Unsigned,
    #[error("its signature cannot be read")]
    Malformed,
    #[error("it is signed with a key that this core does not trust")]
    UnknownKey,
    #[error("it was changed after it was signed")]
    Altered,
}

struct Key {
    id: String,
    bytes: Vec<u8>,
}

/// The keys of this core.
pub(crate) struct Trust(Result<Vec<Key>, Untrusted>);

impl Trust {
    pub fn read(nucleus: &dyn Nucleus) -> Self {
        let texts = match nucleus.get(&KEYS) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(all)) => all,
            Some(one) => vec![one],
        };
        let read = |text: &Value| {
            let bytes = STANDARD.decode(text.as_str()?.trim()).ok().filter(|bytes| bytes.len() == KEY_BYTES)?;
            Some(Key { id: hex(digest::digest(&digest::SHA256, &bytes).as_ref()), bytes })
        };
        // A key that cannot be read must not turn the check off.
        if texts.len() > MAX_KEYS {
            return Self(Err(Untrusted::Setting));
        }
        Self(texts.iter().map(|text| read(text).ok_or(Untrusted::Setting)).collect())
    }

    /// Whether anything is checked at all.
    pub fn is_demanded(&self) -> bool {
        self.0.as_ref().map_or(true, |keys| !keys.is_empty())
    }

    /// Whether `envelope` signs `payload` with one of the keys.
    fn check(&self, envelope: Option<&Value>, payload_type: &str, payload: &Value) -> Result<(), Untrusted> {
        let keys = self.0.as_ref().map_err(|error| *error)?;
        if keys.is_empty() {
            return Ok(());
        }
        let envelope = envelope.filter(|envelope| !envelope.is_null()).ok_or(Untrusted::Unsigned)?;
        if envelope.get("payloadType").and_then(Value::as_str) != Some(payload_type) {
            return Err(Untrusted::Malformed);
        }
        let signatures = envelope.get("signatures").and_then(Value::as_array).ok_or(Untrusted::Malformed)?;
        let signed = pre_authentication(payload_type, canonical(payload).as_bytes());
        let mut worst = Untrusted::Unsigned;
        for signature in signatures.iter().take(MAX_KEYS) {
            let text = |member: &str| signature.get(member).and_then(Value::as_str);
            let (Some(id), Some(bytes)) = (text("keyid"), text("sig").and_then(|text| STANDARD.decode(text).ok()))
            else {
                worst = Untrusted::Malformed;
                continue;
            };
            let Some(key) = keys.iter().find(|key| key.id == id) else {
                worst = Untrusted::UnknownKey;
                continue;
            };
            match UnparsedPublicKey::new(&ED25519, &key.bytes).verify(&signed, &bytes) {
                Ok(()) => return Ok(()),
                Err(_) => worst = Untrusted::Altered,
            }
        }
        Err(worst)
    }

    fn check_document(&self, document: &Value) -> Result<(), Untrusted> {
        if !self.is_demanded() {
            return Ok(());
        }
        let mut payload = document.as_object().cloned().ok_or(Untrusted::Unsigned)?;
        let envelope = payload.remove(SIGNATURE_MEMBER);
        self.check(envelope.as_ref(), DOCUMENT_TYPE, &Value::Object(payload))
    }

    /// Whether the control plane vouches for a recipe under its name and version.
    ///
    /// # Errors
    /// It does not.
    pub fn check_recipe(&self, resolved: &Resolved) -> Result<(), Failure> {
        if !self.is_demanded() {
            return Ok(());
        }
        let sha256 = STANDARD.encode(digest::digest(&digest::SHA256, &resolved.recipe));
        let statement = recipe_statement(&resolved.arn, &resolved.name, &resolved.version, &sha256);
        self.check(resolved.signature.as_ref(), RECIPE_TYPE, &statement).map_err(|why| {
            let cause = format!("the recipe of {} {} is refused: {why}", resolved.name, resolved.version);
            Failure::of(&[ErrorCode::CloudApiError, ErrorCode::ResolveComponentCandidatesBadResponse], cause)
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn refused(why: impl std::fmt::Display) -> Refusal {
    Failure::new(ErrorCode::DeploymentDocumentNotValid, format!("the deployment document is refused: {why}")).into()
}

/// The last document of a target: what comes before it is not taken any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Newest {
    target: String,
    order: (i64, u64),
}

/// Judges a document before anything of it is used: signature, addressee, age.
///
/// # Errors
/// How it is refused.
pub(crate) fn judge(inner: &Inner, document: &Value) -> Result<Option<Newest>, Refusal> {
    let trust = Trust::read(inner.ports.nucleus.as_ref());
    if !trust.is_demanded() {
        return Ok(None);
    }
    trust.check_document(document).map_err(refused)?;
    let document = DeploymentDocument::from_value(document).map_err(|error| fault::document(&error))?;
    let target = group_key(&document.configuration_arn)
        .ok_or_else(|| refused(format_args!("{} names no target", document.configuration_arn)))?;
    if let Some(thing) = target.strip_prefix("thing/")
        && thing != inner.settings.thing_name
    {
        return Err(refused(format_args!("it is for {thing}")));
    }
    let order = (document.creation_timestamp, revision(&document.configuration_arn));
    let path = [NEWEST[0], NEWEST[1], NEWEST[2], NEWEST[3], &target];
    let known = inner.ports.nucleus.get(&path).and_then(|value| {
        let number = |key: &str| value.get(key)?.as_i64();
        Some((number("timestamp")?, number("revision")?.try_into().ok()?))
    });
    if known.is_some_and(|known| order < known) {
        let cause = format!("a newer deployment of {target} was seen");
        let failure = Failure::new(ErrorCode::RejectedStaleDeployment, cause);
        return Err(Refusal { failure, detailed: DetailedStatus::Rejected });
    }
    Ok(Some(Newest { target, order }))
}

/// Looks at a stored or fetched document again, by signature only.
///
/// # Errors
/// How it is refused.
pub(crate) fn judge_again(inner: &Inner, document: &Value) -> Result<(), Refusal> {
    Trust::read(inner.ports.nucleus.as_ref()).check_document(document).map_err(refused)
}

/// Remembers a document as the newest of its target.
pub(crate) async fn remember(inner: &Inner, newest: &Newest) -> Result<(), PortError> {
    let path = [NEWEST[0], NEWEST[1], NEWEST[2], NEWEST[3], &newest.target];
    let (timestamp, revision) = newest.order;
    inner.ports.disk.step("newest document").await;
    inner.ports.nucleus.put(&path, json!({ "timestamp": timestamp, "revision": revision })).await
}

/// Entry of the fuzz target: nobody but the holder of the key signs a document that is believed.
pub fn fuzz_envelope(data: &[u8]) {
    let Ok(document) = serde_json::from_slice::<Value>(data) else { return };
    // The key of RFC 8032, section 7.1, test 1.
    let bytes = STANDARD.decode("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=").unwrap_or_default();
    let key = Key { id: hex(digest::digest(&digest::SHA256, &bytes).as_ref()), bytes };
    assert!(Trust(Ok(vec![key])).check_document(&document).is_err(), "a forged document is believed");
    if let Some(arn) = document.get("configurationArn").and_then(Value::as_str) {
        let _ = (revision(arn), group_key(arn));
    }
}

/// `...:configuration:thing/name:7` gives 7.
fn revision(arn: &str) -> u64 {
    arn.rsplit(':').next().and_then(|last| last.parse().ok()).unwrap_or(0)
}
