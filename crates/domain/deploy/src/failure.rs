//! Error codes of deployments, their types, and the stack that is reported (CR 4.11).

use std::fmt;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident: $($variant:ident = $text:literal),+ $(,)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)]
        pub enum $name {
            $($variant),+
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word of the wire.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// Whose trouble it is.
    ErrorType:
    NoType = "NONE",
    RequestError = "REQUEST_ERROR",
    PermissionError = "PERMISSION_ERROR",
    NetworkError = "NETWORK_ERROR",
    HttpError = "HTTP_ERROR",
    ServerError = "SERVER_ERROR",
    DeviceError = "DEVICE_ERROR",
    ComponentRecipeError = "COMPONENT_RECIPE_ERROR",
    DependencyError = "DEPENDENCY_ERROR",
    CloudServiceError = "CLOUD_SERVICE_ERROR",
    NucleusError = "NUCLEUS_ERROR",
    ComponentError = "COMPONENT_ERROR",
    AwsComponentError = "AWS_COMPONENT_ERROR",
    UserComponentError = "USER_COMPONENT_ERROR",
    UnknownError = "UNKNOWN_ERROR",
}

words! {
    /// What went wrong.
    ErrorCode:
    DeploymentFailure = "DEPLOYMENT_FAILURE",
    DeploymentRejected = "DEPLOYMENT_REJECTED",
    DeploymentInterrupted = "DEPLOYMENT_INTERRUPTED",
    ArtifactDownloadError = "ARTIFACT_DOWNLOAD_ERROR",
    NoAvailableComponentVersion = "NO_AVAILABLE_COMPONENT_VERSION",
    ComponentPackageLoadingError = "COMPONENT_PACKAGE_LOADING_ERROR",
    RejectedStaleDeployment = "REJECTED_STALE_DEPLOYMENT",
    CloudApiError = "CLOUD_API_ERROR",
    IoError = "IO_ERROR",
    IoMappingError = "IO_MAPPING_ERROR",
    DeploymentDocumentNotValid = "DEPLOYMENT_DOCUMENT_NOT_VALID",
    EmptyDeploymentRequest = "EMPTY_DEPLOYMENT_REQUEST",
    DeploymentDocumentParseError = "DEPLOYMENT_DOCUMENT_PARSE_ERROR",
    ComponentMetadataNotValid = "COMPONENT_METADATA_NOT_VALID_IN_DEPLOYMENT",
    ComponentUpdateError = "COMPONENT_UPDATE_ERROR",
    ComponentBroken = "COMPONENT_BROKEN",
    RemoveComponentError = "REMOVE_COMPONENT_ERROR",
    ComponentBootstrapTimeout = "COMPONENT_BOOTSTRAP_TIMEOUT",
    ComponentBootstrapError = "COMPONENT_BOOTSTRAP_ERROR",
    ComponentConfigurationNotValid = "COMPONENT_CONFIGURATION_NOT_VALID",
    NucleusMissingRequiredCapabilities = "NUCLEUS_MISSING_REQUIRED_CAPABILITIES",
    ComponentCircularDependency = "COMPONENT_CIRCULAR_DEPENDENCY_ERROR",
    UnauthorizedNucleusMinorVersionUpdate = "UNAUTHORIZED_NUCLEUS_MINOR_VERSION_UPDATE",
    MissingDockerApplicationManager = "MISSING_DOCKER_APPLICATION_MANAGER",
    MissingTokenExchangeService = "MISSING_TOKEN_EXCHANGE_SERVICE",
    ComponentVersionRequirementsNotMet = "COMPONENT_VERSION_REQUIREMENTS_NOT_MET",
    MultipleNucleusResolved = "MULTIPLE_NUCLEUS_RESOLVED_ERROR",
    ThrottlingError = "THROTTLING_ERROR",
    ConflictedRequest = "CONFLICTED_REQUEST",
    ResourceNotFound = "RESOURCE_NOT_FOUND",
    RunWithConfigNotValid = "RUN_WITH_CONFIG_NOT_VALID",
    UnsupportedRegion = "UNSUPPORTED_REGION",
    IotCredEndpointFormatNotValid = "IOT_CRED_ENDPOINT_FORMAT_NOT_VALID",
    IotDataEndpointFormatNotValid = "IOT_DATA_ENDPOINT_FORMAT_NOT_VALID",
    S3HeadObjectResourceNotFound = "S3_HEAD_OBJECT_RESOURCE_NOT_FOUND",
    S3GetBucketLocationResourceNotFound = "S3_GET_BUCKET_LOCATION_RESOURCE_NOT_FOUND",
    S3GetObjectResourceNotFound = "S3_GET_OBJECT_RESOURCE_NOT_FOUND",
    AccessDenied = "ACCESS_DENIED",
    GetDeploymentConfigurationAccessDenied = "GET_DEPLOYMENT_CONFIGURATION_ACCESS_DENIED",
    GetComponentVersionArtifactAccessDenied = "GET_COMPONENT_VERSION_ARTIFACT_ACCESS_DENIED",
    ResolveComponentCandidatesAccessDenied = "RESOLVE_COMPONENT_CANDIDATES_ACCESS_DENIED",
    MissingMqttConnectPolicy = "MISSING_MQTT_CONNECT_POLICY",
    CredentialEndpointAuthFailure = "CREDENTIAL_ENDPOINT_AUTH_FAILURE",
    GetEcrCredentialError = "GET_ECR_CREDENTIAL_ERROR",
    UserNotAuthorizedForDocker = "USER_NOT_AUTHORIZED_FOR_DOCKER",
    S3AccessDenied = "S3_ACCESS_DENIED",
    S3HeadObjectAccessDenied = "S3_HEAD_OBJECT_ACCESS_DENIED",
    S3GetBucketLocationAccessDenied = "S3_GET_BUCKET_LOCATION_ACCESS_DENIED",
    S3GetObjectAccessDenied = "S3_GET_OBJECT_ACCESS_DENIED",
    NetworkError = "NETWORK_ERROR",
    MqttConnectionFailed = "MQTT_CONNECTION_FAILED",
    TlsHandshakeFailure = "TLS_HANDSHAKE_FAILURE",
    HttpRequestError = "HTTP_REQUEST_ERROR",
    DownloadDeploymentDocumentError = "DOWNLOAD_DEPLOYMENT_DOCUMENT_ERROR",
    GetGreengrassArtifactSizeError = "GET_GREENGRASS_ARTIFACT_SIZE_ERROR",
    DownloadGreengrassArtifactError = "DOWNLOAD_GREENGRASS_ARTIFACT_ERROR",
    ServerError = "SERVER_ERROR",
    CredentialEndpointServerError = "CREDENTIAL_ENDPOINT_SERVER_ERROR",
    S3ServerError = "S3_SERVER_ERROR",
    IoWriteError = "IO_WRITE_ERROR",
    IoReadError = "IO_READ_ERROR",
    DiskSpaceCritical = "DISK_SPACE_CRITICAL",
    IoFileAttributeError = "IO_FILE_ATTRIBUTE_ERROR",
    SetPermissionError = "SET_PERMISSION_ERROR",
    IoUnzipError = "IO_UNZIP_ERROR",
    LocalRecipeNotFound = "LOCAL_RECIPE_NOT_FOUND",
    LocalRecipeCorrupted = "LOCAL_RECIPE_CORRUPTED",
    LocalRecipeMetadataNotFound = "LOCAL_RECIPE_METADATA_NOT_FOUND",
    HashingAlgorithmUnavailable = "HASHING_ALGORITHM_UNAVAILABLE",
    LaunchDirectoryCorrupted = "LAUNCH_DIRECTORY_CORRUPTED",
    DeviceConfigNotValidForArtifactDownload = "DEVICE_CONFIG_NOT_VALID_FOR_ARTIFACT_DOWNLOAD",
    RecipeParseError = "RECIPE_PARSE_ERROR",
    RecipeMetadataParseError = "RECIPE_METADATA_PARSE_ERROR",
    ArtifactUriNotValid = "ARTIFACT_URI_NOT_VALID",
    S3ArtifactUriNotValid = "S3_ARTIFACT_URI_NOT_VALID",
    DockerArtifactUriNotValid = "DOCKER_ARTIFACT_URI_NOT_VALID",
    EmptyArtifactUri = "EMPTY_ARTIFACT_URI",
    EmptyArtifactScheme = "EMPTY_ARTIFACT_SCHEME",
    UnsupportedArtifactScheme = "UNSUPPORTED_ARTIFACT_SCHEME",
    RecipeMissingManifest = "RECIPE_MISSING_MANIFEST",
    RecipeMissingArtifactHashAlgorithm = "RECIPE_MISSING_ARTIFACT_HASH_ALGORITHM",
    ArtifactChecksumMismatch = "ARTIFACT_CHECKSUM_MISMATCH",
    ComponentDependencyNotValid = "COMPONENT_DEPENDENCY_NOT_VALID",
    ConfigInterpolateError = "CONFIG_INTERPOLATE_ERROR",
    ComponentVersionNotValid = "COMPONENT_VERSION_NOT_VALID",
    DockerError = "DOCKER_ERROR",
    DockerServiceUnavailable = "DOCKER_SERVICE_UNAVAILABLE",
    DockerImageQueryError = "DOCKER_IMAGE_QUERY_ERROR",
    DockerLoginError = "DOCKER_LOGIN_ERROR",
    DockerPullError = "DOCKER_PULL_ERROR",
    DockerImageNotValid = "DOCKER_IMAGE_NOT_VALID",
    S3Error = "S3_ERROR",
    S3ResourceNotFound = "S3_RESOURCE_NOT_FOUND",
    S3BadRequest = "S3_BAD_REQUEST",
    ResolveComponentCandidatesBadResponse = "RESOLVE_COMPONENT_CANDIDATES_BAD_RESPONSE",
    DeploymentDocumentSizeExceeded = "DEPLOYMENT_DOCUMENT_SIZE_EXCEEDED",
    GreengrassArtifactSizeNotFound = "GREENGRASS_ARTIFACT_SIZE_NOT_FOUND",
    BadRequest = "BAD_REQUEST",
    NucleusVersionNotFound = "NUCLEUS_VERSION_NOT_FOUND",
    NucleusRestartFailure = "NUCLEUS_RESTART_FAILURE",
    ComponentLoadFailure = "COMPONENT_LOAD_FAILURE",
    DeploymentTypeNotValid = "DEPLOYMENT_TYPE_NOT_VALID",
    CustomPluginNotSupported = "CUSTOM_PLUGIN_NOT_SUPPORTED",
}

impl ErrorCode {
    /// The type of the code; the enum lists the codes in the order of their types.
    pub fn error_type(self) -> ErrorType {
        use ErrorCode as C;
        match self {
            code if code <= C::ComponentConfigurationNotValid => ErrorType::NoType,
            code if code <= C::S3GetObjectResourceNotFound => ErrorType::RequestError,
            code if code <= C::S3GetObjectAccessDenied => ErrorType::PermissionError,
            code if code <= C::TlsHandshakeFailure => ErrorType::NetworkError,
            code if code <= C::DownloadGreengrassArtifactError => ErrorType::HttpError,
            code if code <= C::S3ServerError => ErrorType::ServerError,
            code if code <= C::DeviceConfigNotValidForArtifactDownload => ErrorType::DeviceError,
            code if code <= C::ComponentVersionNotValid => ErrorType::ComponentRecipeError,
            code if code <= C::S3BadRequest => ErrorType::DependencyError,
            code if code <= C::GreengrassArtifactSizeNotFound => ErrorType::CloudServiceError,
            code if code <= C::ComponentLoadFailure => ErrorType::NucleusError,
            C::DeploymentTypeNotValid => ErrorType::UnknownError,
            _ => ErrorType::UserComponentError,
        }
    }
}

/// Why a deployment failed: codes from the first seen place outward, and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct Failure {
    /// From general to specific, without the leading `DEPLOYMENT_FAILURE`.
    pub codes: Vec<ErrorCode>,
    /// Further types that no code carries (whose component broke).
    pub types: Vec<ErrorType>,
    /// What happened, for people.
    pub cause: String,
}

/// A failure as it is reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureReport {
    /// Codes from general to specific.
    pub stack: Vec<&'static str>,
    /// Union of the codes' types.
    pub types: Vec<&'static str>,
    /// A sentence.
    pub cause: String,
}

impl Failure {
    /// With one code.
    pub fn new(code: ErrorCode, cause: impl Into<String>) -> Self {
        Self { codes: vec![code], types: Vec::new(), cause: cause.into() }
    }

    /// With codes from general to specific.
    pub fn of(codes: &[ErrorCode], cause: impl Into<String>) -> Self {
        Self { codes: codes.to_vec(), types: Vec::new(), cause: cause.into() }
    }

    /// The same, seen from further out.
    #[must_use]
    pub fn within(mut self, code: ErrorCode) -> Self {
        self.codes.insert(0, code);
        self
    }

    /// A component that broke after the change (CR 4.9).
    pub fn broken(component: &str, reason: Option<&str>) -> Self {
        let owner =
            if component.starts_with("aws.") { ErrorType::AwsComponentError } else { ErrorType::UserComponentError };
        let cause = match reason {
            Some(reason) => format!("component {component} broke: {reason}"),
            None => format!("component {component} broke"),
        };
        Self { codes: vec![ErrorCode::ComponentUpdateError, ErrorCode::ComponentBroken], types: vec![owner], cause }
    }

    /// As reported: headed by `DEPLOYMENT_FAILURE` (or `DEPLOYMENT_REJECTED`), types without repeats.
    pub fn report(&self) -> FailureReport {
        let rejected = self.codes.contains(&ErrorCode::RejectedStaleDeployment);
        let head = if rejected { ErrorCode::DeploymentRejected } else { ErrorCode::DeploymentFailure };
        let mut codes: Vec<ErrorCode> = vec![head];
        codes.extend(self.codes.iter().filter(|code| **code != head));
        let mut types: Vec<&'static str> = Vec::new();
        for kind in codes.iter().map(|code| code.error_type()).chain(self.types.iter().copied()) {
            if kind != ErrorType::NoType && !types.contains(&kind.as_str()) {
                types.push(kind.as_str());
            }
        }
        FailureReport { stack: codes.iter().map(|code| code.as_str()).collect(), types, cause: self.cause.clone() }
    }
}
