//! Where artifacts come from: the URI schemes of CR 1.6.

use std::str::FromStr;

use crate::name::is_file_name;

/// A place of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArtifactUri {
    /// `s3://bucket/key`.
    S3 {
        /// Bucket.
        bucket: String,
        /// Key, not empty.
        key: String,
    },
    /// `greengrass:...`: through `GetComponentVersionArtifact`.
    Greengrass {
        /// The scheme-specific part, which is the artifact's name in that call.
        name: String,
    },
    /// `docker:...`.
    Docker(DockerImage),
}

/// A container image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerImage {
    /// Registry host, none for Docker Hub.
    pub registry: Option<String>,
    /// Repository path.
    pub repository: String,
    /// `:tag`.
    pub tag: Option<String>,
    /// `@sha256:...`.
    pub digest: Option<String>,
}

impl DockerImage {
    /// A private registry of the cloud provider, which needs credentials of the token exchange.
    pub fn is_private_ecr(&self) -> bool {
        self.registry.as_deref().is_some_and(|host| host.contains("dkr.ecr") && host.contains("amazonaws"))
    }
}

/// Why a URI is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactUriError {
    /// `EMPTY_ARTIFACT_URI`.
    #[error("the artifact's URI is empty")]
    Empty,
    /// `EMPTY_ARTIFACT_SCHEME`.
    #[error("the artifact's URI `{0}` has no scheme")]
    NoScheme(String),
    /// `UNSUPPORTED_ARTIFACT_SCHEME`.
    #[error("artifacts of the scheme `{0}` are not supported")]
    UnsupportedScheme(String),
    /// `S3_ARTIFACT_URI_NOT_VALID`.
    #[error("`{0}` is not s3://BUCKET/KEY with a file name at its end")]
    S3(String),
    /// `DOCKER_ARTIFACT_URI_NOT_VALID`.
    #[error("`{0}` is not docker:IMAGE[:TAG|@DIGEST]")]
    Docker(String),
    /// `ARTIFACT_URI_NOT_VALID`.
    #[error("`{0}` does not end in a file name")]
    Malformed(String),
}

impl ArtifactUri {
    /// Name of the file in the artifact store: the last segment. None for images.
    pub fn file_name(&self) -> Option<&str> {
        match self {
            Self::S3 { key: path, .. } | Self::Greengrass { name: path } => path.rsplit('/').next(),
            Self::Docker(_) => None,
        }
    }
}

impl FromStr for ArtifactUri {
    type Err = ArtifactUriError;

    fn from_str(text: &str) -> Result<Self, ArtifactUriError> {
        if text.trim().is_empty() {
            return Err(ArtifactUriError::Empty);
        }
        let scheme_of = |(scheme, rest): (&'_ str, &'_ str)| {
            let plain = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
            plain.then(|| (scheme.to_ascii_lowercase(), rest.to_owned()))
        };
        let (scheme, rest) =
            text.split_once(':').and_then(scheme_of).ok_or_else(|| ArtifactUriError::NoScheme(text.to_owned()))?;
        match scheme.as_str() {
            "s3" => {
                let (bucket, key) = rest
                    .strip_prefix("//")
                    .and_then(|rest| rest.split_once('/'))
                    .filter(|(bucket, key)| is_bucket(bucket) && is_file_name(last(key)))
                    .ok_or_else(|| ArtifactUriError::S3(text.to_owned()))?;
                Ok(Self::S3 { bucket: bucket.to_owned(), key: key.to_owned() })
            }
            "greengrass" if is_file_name(last(&rest)) && !rest.contains('\0') => Ok(Self::Greengrass { name: rest }),
            "greengrass" => Err(ArtifactUriError::Malformed(text.to_owned())),
            "docker" => image(&rest).map(Self::Docker).ok_or_else(|| ArtifactUriError::Docker(text.to_owned())),
            _ => Err(ArtifactUriError::UnsupportedScheme(scheme)),
        }
    }
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Wider than a store's own rule: local recipes keep placeholders such as `BUCKET_NAME`, whose files lie on the device.
fn is_bucket(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

fn image(text: &str) -> Option<DockerImage> {
    let (text, digest) = match text.split_once('@') {
        Some((text, digest)) => (text, Some(digest)),
        None => (text, None),
    };
    let is_host = |part: &str| part.contains(['.', ':']) || part == "localhost";
    let (registry, path) = match text.split_once('/') {
        Some((host, path)) if is_host(host) => (Some(host), path),
        _ => (None, text),
    };
    let (repository, tag) = match path.split_once(':') {
        Some((repository, tag)) => (repository, Some(tag)),
        None => (path, None),
    };
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let part_is_good =
        |part: &str| !part.is_empty() && !part.bytes().any(|byte| byte.is_ascii_uppercase() || !word(byte));
    let repository_is_good = repository.split('/').all(part_is_good);
    let tag_is_good = tag.is_none_or(|tag| (1..=128).contains(&tag.len()) && tag.bytes().all(word));
    let digest_is_good = digest.is_none_or(|digest| {
        digest
            .split_once(':')
            .is_some_and(|(_, hex)| hex.len() >= 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
    });
    let registry_is_good = registry.is_none_or(|host| host.bytes().all(|byte| word(byte) || byte == b':'));
    (repository_is_good && tag_is_good && digest_is_good && registry_is_good).then(|| DockerImage {
        registry: registry.map(str::to_owned),
        repository: repository.to_owned(),
        tag: tag.map(str::to_owned),
        digest: digest.map(str::to_owned),
    })
}
