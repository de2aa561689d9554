//! The secrets in memory: versions by secret, labels by version.

use std::collections::BTreeMap;

use marram_edge_ports::SecretPayload;
use zeroize::Zeroizing;

use crate::source::Fetched;
use marram_parts::is_suffix;

/// A value, wiped when it goes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) is_text: bool,
    pub(crate) bytes: Zeroizing<Vec<u8>>,
}

/// A version of a secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) id: String,
    pub(crate) stages: Vec<String>,
    pub(crate) created_millis: i64,
    pub(crate) value: Value,
}

/// A secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret {
    /// As the control plane names it, with the random characters.
    pub(crate) arn: String,
    pub(crate) name: String,
    pub(crate) versions: Vec<Version>,
}

/// Secrets by their configured ARN.
#[derive(Default)]
pub(crate) struct Kept(pub(crate) BTreeMap<String, Secret>);

impl Value {
    pub(crate) fn payload(&self) -> SecretPayload {
        match (self.is_text, std::str::from_utf8(&self.bytes)) {
            (true, Ok(text)) => SecretPayload::Text(text.to_owned()),
            _ => SecretPayload::Binary(bytes::Bytes::copy_from_slice(&self.bytes)),
        }
    }
}

impl Secret {
    pub(crate) fn by_id(&self, id: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.id == id)
    }

    pub(crate) fn by_stage(&self, stage: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.stages.iter().any(|known| known == stage))
    }

    /// Takes in a version. Its labels leave the others; a version without labels goes. True when anything changed.
    fn take(&mut self, version: Version) -> bool {
        if self.by_id(&version.id) == Some(&version) {
            return false;
        }
        for other in &mut self.versions {
            other.stages.retain(|stage| !version.stages.contains(stage));
        }
        self.versions.retain(|other| other.id != version.id && !other.stages.is_empty());
        self.versions.push(version);
        true
    }
}

impl Kept {
    /// Takes in what was fetched for the secret configured as `configured`; true when anything changed.
    pub(crate) fn take(&mut self, configured: &str, fetched: Fetched) -> bool {
        let version = Version {
            id: fetched.version_id,
            stages: fetched.stages,
            created_millis: fetched.created_millis,
            value: fetched.value,
        };
        match self.0.get_mut(configured) {
            // The same ARN: one deleted and made again has another.
            Some(secret) if secret.arn == fetched.arn => secret.take(version),
            _ => {
                let secret = Secret { arn: fetched.arn, name: fetched.name, versions: vec![version] };
                self.0.insert(configured.to_owned(), secret);
                true
            }
        }
    }

    /// The configured ARN among `configured` that a name or ARN stands for.
    pub(crate) fn resolve<'c>(&self, id: &str, configured: impl Iterator<Item = &'c str> + Clone) -> Option<&'c str> {
        configured
            .clone()
            .find(|arn| *arn == id)
            .or_else(|| {
                configured
                    .clone()
                    .find(|arn| self.0.get(*arn).is_some_and(|secret| secret.arn == id || secret.name == id))
            })
            .or_else(|| {
                configured.clone().find(|arn| {
                    let name = arn.splitn(7, ':').nth(6).unwrap_or_default();
                    name == id || name.strip_prefix(id).is_some_and(is_suffix)
                })
            })
            // An ARN with the random characters where the configuration leaves them out, or the other way round.
            .or_else(|| {
                configured.clone().find(|arn| {
                    id.strip_prefix(*arn).is_some_and(is_suffix) || arn.strip_prefix(id).is_some_and(is_suffix)
                })
            })
    }
}
