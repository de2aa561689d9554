//! The credentials provider, asked once for many (CR 5.4, 8.2).
//!
//! What differs from the original on purpose: an error of the connection is forgotten as soon as the line is up again, and
//! credentials that are still valid are handed out while the upstream is in trouble.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use marram_edge_ports::{AwsCredentials, Credentials, CredentialsError, Later};
use marram_http::{Client, ClientRequest, HeaderMap, HeaderName, HeaderValue, Method, Uri};
use marram_types::{SharedClock, Timestamp};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Credentials are fetched anew this long before they end.
const EARLY: Duration = Duration::from_secs(300);
/// First and longest pause after a failed connection.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Longest error text that is passed on, bytes.
const ERROR_TEXT_MAX: usize = 1024;

/// How long errors are believed (`credentialRetryInSec`).
#[derive(Debug, Clone, Copy)]
pub struct Believed {
    /// A refusal (4xx).
    pub refusal: Duration,
    /// Trouble of the server (5xx).
    pub trouble: Duration,
}

impl Default for Believed {
    fn default() -> Self {
        Believed { refusal: Duration::from_secs(120), trouble: Duration::from_secs(60) }
    }
}

/// Whom to ask.
#[derive(Debug, Clone)]
pub struct UpstreamSettings {
    /// A client that shows the device's certificate.
    pub client: Client,
    /// `https://host:port` of the credentials provider.
    pub endpoint: String,
    /// Role alias.
    pub role_alias: String,
    /// Thing name.
    pub thing: String,
    /// `credentialEndpointTimeoutMs`.
    pub timeout: Duration,
    /// How long errors are believed.
    pub believed: Believed,
}

#[derive(Default)]
struct Cache {
    credentials: Option<(AwsCredentials, Timestamp)>,
    error: Option<(CredentialsError, Instant, bool)>,
    pause: Duration,
}

/// Credentials of the core's role.
pub struct Upstream {
    settings: RwLock<Option<UpstreamSettings>>,
    /// Held while asking: others wait for the same answer.
    cache: Mutex<Cache>,
    clock: SharedClock,
}

#[derive(Deserialize)]
struct Answer {
    credentials: Inner,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inner {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: String,
}

impl Upstream {
    /// An upstream; without settings every request is refused as not configured.
    pub fn new(settings: Option<UpstreamSettings>, clock: SharedClock) -> Arc<Self> {
        Arc::new(Upstream { settings: RwLock::new(settings), cache: Mutex::default(), clock })
    }

    /// Other settings: nothing of what is kept holds any more.
    pub async fn reconfigure(&self, settings: Option<UpstreamSettings>) {
        let mut cache = self.cache.lock().await;
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
        *cache = Cache::default();
    }

    /// The line is up: errors of the connection are forgotten.
    pub async fn line_is_up(&self) {
        let mut cache = self.cache.lock().await;
        if cache.error.as_ref().is_some_and(|(_, _, of_connection)| *of_connection) {
            cache.error = None;
        }
        cache.pause = Duration::ZERO;
    }

    async fn ask(&self, settings: &UpstreamSettings) -> Result<(AwsCredentials, Timestamp), CredentialsError> {
        let alias = utf8_percent_encode(&settings.role_alias, NON_ALPHANUMERIC);
        let url = format!("{}/role-aliases/{alias}/credentials", settings.endpoint.trim_end_matches('/'));
        let url: Uri = url.parse().map_err(|_| CredentialsError::Unavailable(format!("{url} is not a URL")))?;
        let mut headers = HeaderMap::new();
        let thing = HeaderValue::from_str(&settings.thing)
            .map_err(|_| CredentialsError::Unavailable("the thing name cannot be sent".to_owned()))?;
        headers.insert(HeaderName::from_static("x-amzn-iot-thingname"), thing);
        let request = ClientRequest { method: Method::GET, url, headers, body: Bytes::new() };
        let response = settings.client.send(request, settings.timeout).await.map_err(|error| {
            CredentialsError::Unavailable(format!("the credentials provider cannot be reached: {error}"))
        })?;
        if !response.status.is_success() {
            let text = &response.body[..response.body.len().min(ERROR_TEXT_MAX)];
            let body = String::from_utf8_lossy(text).into_owned();
            return Err(CredentialsError::Answered { status: response.status.as_u16(), body });
        }
        let unreadable = |what: &str| {
            CredentialsError::Unavailable(format!("the credentials provider's answer cannot be used: {what}"))
        };
        let answer: Answer = serde_json::from_slice(&response.body).map_err(|error| unreadable(&error.to_string()))?;
        let inner = answer.credentials;
        let expiration =
            Timestamp::parse_rfc3339(&inner.expiration).map_err(|_| unreadable("expiration is not a time"))?;
        if expiration <= self.clock.now() {
            return Err(unreadable("it has expired"));
        }
        let credentials = AwsCredentials {
            access_key_id: inner.access_key_id,
            secret_access_key: inner.secret_access_key,
            session_token: inner.session_token,
            expiration: inner.expiration,
        };
        Ok((credentials, expiration))
    }
}

impl Credentials for Upstream {
    fn credentials<'a>(&'a self, _: Option<&'a str>) -> Later<'a, AwsCredentials, CredentialsError> {
        Box::pin(async move {
            let mut cache = self.cache.lock().await;
            let settings = self.settings.read().unwrap_or_else(PoisonError::into_inner).clone();
            let settings = settings.ok_or(CredentialsError::NotConfigured)?;
            let now = self.clock.now();
            if let Some((credentials, expiration)) = &cache.credentials
                && now.saturating_add(EARLY) < *expiration
            {
                return Ok(credentials.clone());
            }
            let still_good = cache
                .credentials
                .as_ref()
                .filter(|(_, expiration)| now < *expiration)
                .map(|(credentials, _)| credentials.clone());
            if let Some((error, until, _)) = &cache.error
                && Instant::now() < *until
            {
                return still_good.ok_or_else(|| error.clone());
            }
            match self.ask(&settings).await {
                Ok((credentials, expiration)) => {
                    *cache = Cache { credentials: Some((credentials.clone(), expiration)), ..Cache::default() };
                    Ok(credentials)
                }
                Err(error) => {
                    tracing::warn!(%error, "no credentials");
                    let (kept, of_connection) = match &error {
                        CredentialsError::Answered { status, .. } if *status < 500 => {
                            (settings.believed.refusal, false)
                        }
                        CredentialsError::Answered { .. } => (settings.believed.trouble, false),
                        _ => {
                            cache.pause = (cache.pause * 2).clamp(BACKOFF.0, BACKOFF.1);
                            (cache.pause, true)
                        }
                    };
                    cache.error = Some((error.clone(), Instant::now() + kept, of_connection));
                    still_good.ok_or(error)
                }
            }
        })
    }
}
