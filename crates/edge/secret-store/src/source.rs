//! `secretsmanager:GetSecretValue`, signed with the credentials of the core's role.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use marram_edge_ports::{Credentials, CredentialsError};
use marram_http::{Client, ClientRequest, HeaderMap, HeaderName, HeaderValue, Method, Uri};
use marram_sigv4::{AmzTime, PayloadHash, Signer, ToSign};
use marram_types::{SecretString, SharedClock};
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use crate::kept::Value;

/// Time for one answer.
const ANSWER: Duration = Duration::from_secs(30);
/// Tries of one request (core-components.md section 5.2).
const TRIES: u32 = 3;
/// Pause before the second try; doubled before each further one.
const PAUSE: Duration = Duration::from_millis(200);
/// Largest value, bytes (control-plane-api.md section 9.2).
const VALUE_MAX: usize = 65_536;
const TARGET: &str = "secretsmanager.GetSecretValue";
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// Where secrets come from.
#[derive(Debug, Clone)]
pub struct SourceSettings {
    /// A client that trusts the control plane.
    pub client: Client,
    /// `https://host[:port]`.
    pub endpoint: String,
    /// Region that requests are signed for.
    pub region: String,
}

/// Why a secret could not be fetched. Carries no value and no credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// No control plane is configured.
    #[error("no control plane is configured")]
    NotConfigured,
    /// No credentials of the core's role.
    #[error("no credentials: {0}")]
    Credentials(CredentialsError),
    /// No line or no answer in time.
    #[error("the control plane cannot be reached: {0}")]
    Unreachable(String),
    /// It answered an error.
    #[error("the control plane answered {status} {code}")]
    Answered {
        /// HTTP status.
        status: u16,
        /// Error name.
        code: String,
    },
    /// It answered something that cannot be read.
    #[error("the control plane's answer cannot be read: {0}")]
    Malformed(&'static str),
}

impl SourceError {
    fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Answered { status, code } => *status >= 500 || *status == 429 || code.contains("Throttl"),
            _ => false,
        }
    }

    /// Another secret may still be had.
    pub(crate) fn is_of_this_secret(&self) -> bool {
        matches!(self, Self::Answered { status, .. } if *status < 500) || matches!(self, Self::Malformed(_))
    }

    /// The core's role may not read it.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Self::Answered { status, code } if *status == 403 || code.starts_with("AccessDenied"))
    }

    /// The secret, or the version asked for, does not exist.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Answered { code, .. } if code == "ResourceNotFoundException")
    }
}

/// A fetched version.
pub struct Fetched {
    pub(crate) arn: String,
    pub(crate) name: String,
    pub(crate) version_id: String,
    pub(crate) stages: Vec<String>,
    pub(crate) created_millis: i64,
    pub(crate) value: Value,
}

impl std::fmt::Debug for Fetched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetched").field("arn", &self.arn).field("version_id", &self.version_id).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(rename = "ARN")]
    arn: String,
    name: String,
    version_id: String,
    #[serde(default)]
    version_stages: Vec<String>,
    created_date: f64,
    secret_string: Option<String>,
    secret_binary: Option<String>,
}

#[derive(Deserialize, Default)]
struct Problem {
    #[serde(rename = "__type", default)]
    kind: String,
}

/// Where secrets come from at the moment; none without a control plane.
pub type Wherefrom = Arc<dyn Fn() -> Option<SourceSettings> + Send + Sync>;

/// Asks the control plane for secrets.
pub struct Source {
    wherefrom: Wherefrom,
    credentials: Arc<dyn Credentials>,
    clock: SharedClock,
}

impl Source {
    /// A source; while there are no settings requests answer [`SourceError::NotConfigured`].
    pub fn new(wherefrom: Wherefrom, credentials: Arc<dyn Credentials>, clock: SharedClock) -> Self {
        Self { wherefrom, credentials, clock }
    }

    /// The version of the secret that carries `stage`.
    ///
    /// # Errors
    /// [`SourceError`] of the last of three tries.
    pub async fn fetch(&self, arn: &str, stage: &str) -> Result<Fetched, SourceError> {
        let settings = &(self.wherefrom)().ok_or(SourceError::NotConfigured)?;
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            match self.ask(settings, arn, stage).await {
                Err(error) if error.is_retryable() => tracing::debug!(%error, arn, "asking for a secret again"),
                outcome => return outcome,
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        self.ask(settings, arn, stage).await
    }

    async fn ask(&self, settings: &SourceSettings, arn: &str, stage: &str) -> Result<Fetched, SourceError> {
        let credentials = self.credentials.credentials(None).await.map_err(SourceError::Credentials)?;
        let signer = marram_sigv4::Credentials {
            access_key_id: credentials.access_key_id,
            secret: SecretString::new(credentials.secret_access_key),
            session_token: Some(credentials.session_token),
        };
        let url = format!("{}/", settings.endpoint.trim_end_matches('/'));
        let url: Uri = url.parse().map_err(|_| SourceError::Malformed("the endpoint is not a URL"))?;
        let host = url.authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default();
        let body = json!({"SecretId": arn, "VersionStage": stage}).to_string();
        let now = AmzTime::from_epoch(self.clock.now().as_secs())
            .ok_or(SourceError::Malformed("the clock is out of range"))?;
        let signed: &[(&str, &[u8])] = &[
            ("host", host.as_bytes()),
            ("content-type", CONTENT_TYPE.as_bytes()),
            ("x-amz-target", TARGET.as_bytes()),
        ];
        let to_sign =
            ToSign { method: "POST", target: "/", headers: signed, payload: PayloadHash::Of(body.as_bytes()) };
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static("content-type"), HeaderValue::from_static(CONTENT_TYPE));
        headers.insert(HeaderName::from_static("x-amz-target"), HeaderValue::from_static(TARGET));
        let signer = Signer { credentials: &signer, region: &settings.region, service: "secretsmanager" };
        for (name, value) in signer.sign(&to_sign, &now) {
            let value = HeaderValue::try_from(value).map_err(|_| SourceError::Malformed("a signature is not text"))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        let request = ClientRequest { method: Method::POST, url, headers, body: Bytes::from(body) };
        let response =
            settings.client.send(request, ANSWER).await.map_err(|error| SourceError::Unreachable(error.to_string()))?;
        if !response.status.is_success() {
            let problem: Problem = serde_json::from_slice(&response.body).unwrap_or_default();
            let code = problem.kind.rsplit('#').next().unwrap_or_default().to_owned();
            return Err(SourceError::Answered { status: response.status.as_u16(), code });
        }
        read(&response.body)
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

/// Reads an answer. What goes wrong is named without repeating any of it.
fn read(body: &[u8]) -> Result<Fetched, SourceError> {
    let answer: Answer = serde_json::from_slice(body).map_err(|_| SourceError::Malformed("members are missing"))?;
    if answer.version_stages.is_empty() {
        return Err(SourceError::Malformed("the version has no stage"));
    }
    let value = match (answer.secret_string, answer.secret_binary) {
        (Some(text), _) => Value { is_text: true, bytes: Zeroizing::new(text.into_bytes()) },
        (None, Some(text)) => {
            let text = Zeroizing::new(text);
            let bytes =
                STANDARD.decode(text.as_bytes()).map_err(|_| SourceError::Malformed("the value is not base64"))?;
            Value { is_text: false, bytes: Zeroizing::new(bytes) }
        }
        (None, None) => return Err(SourceError::Malformed("there is no value")),
    };
    if value.bytes.len() > VALUE_MAX {
        return Err(SourceError::Malformed("the value is too large"));
    }
    Ok(Fetched {
        arn: answer.arn,
        name: answer.name,
        version_id: answer.version_id,
        stages: answer.version_stages,
        created_millis: (answer.created_date * 1000.0) as i64,
        value,
    })
}
