//! Errors of ports and documents as failures of a deployment (CR 4.11).

use marram_deploy::{DocumentError, ErrorCode, Failure};
use marram_edge_ports::{DataPlaneError, PortError};
use marram_recipe::ArtifactUriError;

use ErrorCode as C;

/// Which call of the data plane failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Resolve,
    LargeDocument,
    ArtifactUrl,
    ArtifactSize,
    ArtifactDownload,
    S3Size,
    S3Download,
}

/// A failed call of the data plane.
pub(crate) fn data_plane(call: Call, error: &DataPlaneError) -> Failure {
    let text = error.to_string();
    let general: &[C] = match call {
        Call::Resolve => &[C::CloudApiError],
        Call::LargeDocument => &[C::DownloadDeploymentDocumentError],
        Call::ArtifactUrl | Call::ArtifactDownload => &[C::ArtifactDownloadError, C::DownloadGreengrassArtifactError],
        Call::ArtifactSize => &[C::ArtifactDownloadError, C::GetGreengrassArtifactSizeError],
        Call::S3Size | Call::S3Download => &[C::ArtifactDownloadError, C::S3Error],
    };
    let specific: Vec<C> = match error {
        DataPlaneError::Unreachable(_) | DataPlaneError::NotConfigured => vec![C::NetworkError],
        DataPlaneError::Malformed(_) if call == Call::Resolve => vec![C::ResolveComponentCandidatesBadResponse],
        DataPlaneError::Malformed(_) if call == Call::ArtifactSize => vec![C::GreengrassArtifactSizeNotFound],
        DataPlaneError::Malformed(_) => vec![C::HttpRequestError],
        DataPlaneError::Disk { path, reason } => {
            let full = reason.contains("No space") || reason.contains("os error 28") || reason.contains("limit");
            let code = if full { C::DiskSpaceCritical } else { C::IoWriteError };
            return Failure::of(
                &[C::ArtifactDownloadError, C::IoError, code],
                format!("cannot write {}: {reason}", path.display()),
            );
        }
        DataPlaneError::Answered { status, message, .. } => answered(call, *status, message),
    };
    let codes: Vec<C> = general.iter().copied().chain(specific).collect();
    Failure::of(&codes, text)
}

fn answered(call: Call, status: u16, message: &str) -> Vec<C> {
    let s3 = matches!(call, Call::S3Size | Call::S3Download);
    match (status, call) {
        (404, Call::Resolve) if message.contains("claim platform") || message.contains("no usable version") => {
            vec![C::NoAvailableComponentVersion]
        }
        (403, Call::Resolve) => vec![C::AccessDenied, C::ResolveComponentCandidatesAccessDenied],
        (403, Call::LargeDocument) => vec![C::AccessDenied, C::GetDeploymentConfigurationAccessDenied],
        (403, Call::ArtifactUrl | Call::ArtifactSize | Call::ArtifactDownload) => {
            vec![C::AccessDenied, C::GetComponentVersionArtifactAccessDenied]
        }
        (403, Call::S3Size) => vec![C::S3AccessDenied, C::S3HeadObjectAccessDenied],
        (403, Call::S3Download) => vec![C::S3AccessDenied, C::S3GetObjectAccessDenied],
        (404, Call::S3Size) => vec![C::S3ResourceNotFound, C::S3HeadObjectResourceNotFound],
        (404, Call::S3Download) => vec![C::S3ResourceNotFound, C::S3GetObjectResourceNotFound],
        (400, _) if s3 => vec![C::S3BadRequest],
        (500.., _) if s3 => vec![C::S3ServerError],
        (404, _) => vec![C::ResourceNotFound],
        (400, _) => vec![C::BadRequest],
        (409, _) => vec![C::ConflictedRequest],
        (429, _) => vec![C::ThrottlingError],
        (500.., _) => vec![C::ServerError],
        _ => vec![C::HttpRequestError],
    }
}

/// A document that cannot be used.
pub(crate) fn document(error: &DocumentError) -> Failure {
    let code = match error {
        DocumentError::Parse(_) => C::DeploymentDocumentParseError,
        DocumentError::TooLarge(_) => C::DeploymentDocumentSizeExceeded,
        _ => C::DeploymentDocumentNotValid,
    };
    Failure::new(code, error.to_string())
}

/// An artifact's URI that is no place.
pub(crate) fn artifact_uri(component: &str, error: &ArtifactUriError) -> Failure {
    let code = match error {
        ArtifactUriError::Empty => C::EmptyArtifactUri,
        ArtifactUriError::NoScheme(_) => C::EmptyArtifactScheme,
        ArtifactUriError::UnsupportedScheme(_) => C::UnsupportedArtifactScheme,
        ArtifactUriError::S3(_) => C::S3ArtifactUriNotValid,
        ArtifactUriError::Docker(_) => C::DockerArtifactUriNotValid,
        _ => C::ArtifactUriNotValid,
    };
    Failure::new(code, format!("component {component}: {error}"))
}

/// The nucleus refused or its store failed.
pub(crate) fn nucleus(error: &PortError) -> Failure {
    Failure::of(&[C::ComponentUpdateError, C::IoError], error.to_string())
}
