//! The credentials provider, asked once for many (CR 5.4, 8.2).
//!
//! Each component has a session of its own, marked with its name and narrowed by its policy, and the core has one (SEC-134). Nobody
//! else's session is ever handed out: who asks is the caller's to know.
//!
//! What differs from the original on purpose: an error of the connection is forgotten as soon as the line is up again, and
//! credentials that are still valid are handed out while the upstream is in trouble.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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

/// Tells the control plane for which component a session is: condition key `marram:Component`, name of the session. One that does not
/// know it, like AWS, begins an ordinary session of the role.
const SESSION_FOR: HeaderName = HeaderName::from_static("x-marram-session-for");
/// The component's session policy, base64.
const SESSION_POLICY: HeaderName = HeaderName::from_static("x-marram-session-policy");
/// Components whose sessions are kept; beyond it the one that was asked for longest ago is asked for anew.
const SESSIONS_MAX: usize = 256;

/// What narrows a component's session: an IAM document, none, or why its configuration says neither. Asked at every request.
pub type SessionPolicies = Arc<dyn Fn(&str) -> Result<Option<String>, String> + Send + Sync>;

/// What is known of one session.
#[derive(Default)]
struct Cache {
    credentials: Option<(AwsCredentials, Timestamp)>,
    error: Option<(CredentialsError, Instant)>,
    /// What narrowed it.
    policy: Option<String>,
}

/// The session of one component, or of the core itself.
struct Session {
    /// Held while asking: others wait for the same answer.
    cache: Mutex<Cache>,
    generation: u64,
}

#[derive(Default)]
struct Inside {
    settings: Option<UpstreamSettings>,
    /// Which settings: what was asked of others is nobody's answer.
    generation: u64,
    /// By component; the empty name, which no component has, is the core itself. With the turn it was last asked for.
    sessions: HashMap<String, (Arc<Session>, u64)>,
    turn: u64,
    /// The last failed connection, until when it is believed, and for how long the next one is.
    line: Option<(CredentialsError, Instant)>,
    pause: Duration,
}

/// Sessions of the core's role: one for the core itself and one for each component that asks.
pub struct Upstream {
    inside: StdMutex<Inside>,
    policies: SessionPolicies,
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
    /// An upstream; without settings every request is refused as not configured. Sessions of components have the role's own width.
    pub fn new(settings: Option<UpstreamSettings>, clock: SharedClock) -> Arc<Self> {
        Self::narrowed(settings, clock, Arc::new(|_| Ok(None)))
    }

    /// As [`Upstream::new`]; `policies` narrows the sessions of components.
    pub fn narrowed(settings: Option<UpstreamSettings>, clock: SharedClock, policies: SessionPolicies) -> Arc<Self> {
        let inside = StdMutex::new(Inside { settings, ..Inside::default() });
        Arc::new(Upstream { inside, policies, clock })
    }

    /// Other settings: nothing of what is kept holds any more.
    pub fn reconfigure(&self, settings: Option<UpstreamSettings>) {
        let mut inside = self.inside();
        let generation = inside.generation + 1;
        *inside = Inside { settings, generation, ..Inside::default() };
    }

    /// The line is up: errors of the connection are forgotten.
    pub fn line_is_up(&self) {
        let mut inside = self.inside();
        (inside.line, inside.pause) = (None, Duration::ZERO);
    }

    /// Forgets the sessions of components that are gone.
    pub fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.inside().sessions.retain(|name, _| name.is_empty() || is_there(name));
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session of `component`, with the settings it is asked for with.
    fn session(&self, component: Option<&str>) -> Result<(Arc<Session>, UpstreamSettings), CredentialsError> {
        let name = component.unwrap_or_default();
        let mut inside = self.inside();
        let settings = inside.settings.clone().ok_or(CredentialsError::NotConfigured)?;
        inside.turn += 1;
        let turn = inside.turn;
        if let Some((session, last)) = inside.sessions.get_mut(name) {
            *last = turn;
            return Ok((Arc::clone(session), settings));
        }
        if inside.sessions.len() > SESSIONS_MAX {
            let components = inside.sessions.iter().filter(|(name, _)| !name.is_empty());
            if let Some(oldest) = components.min_by_key(|(_, (_, last))| *last).map(|(name, _)| name.clone()) {
                inside.sessions.remove(&oldest);
            }
        }
        let session = Arc::new(Session { cache: Mutex::default(), generation: inside.generation });
        inside.sessions.insert(name.to_owned(), (Arc::clone(&session), turn));
        Ok((session, settings))
    }

    /// What the last failed connection says, as long as it is believed.
    fn trouble_of_the_line(&self) -> Option<CredentialsError> {
        let inside = self.inside();
        inside.line.as_ref().filter(|(_, until)| Instant::now() < *until).map(|(error, _)| error.clone())
    }

    /// A connection failed. Many that fail at once count as one.
    fn line_failed(&self, generation: u64, error: &CredentialsError) {
        let mut inside = self.inside();
        let now = Instant::now();
        if inside.generation != generation || inside.line.as_ref().is_some_and(|(_, until)| now < *until) {
            return;
        }
        inside.pause = (inside.pause * 2).clamp(BACKOFF.0, BACKOFF.1);
        inside.line = Some((error.clone(), now + inside.pause));
    }

    async fn ask(
        &self,
        settings: &UpstreamSettings,
        component: Option<&str>,
        policy: Option<&str>,
    ) -> Result<(AwsCredentials, Timestamp), CredentialsError> {
        let alias = utf8_percent_encode(&settings.role_alias, NON_ALPHANUMERIC);
        let url = format!("{}/role-aliases/{alias}/credentials", settings.endpoint.trim_end_matches('/'));
        let url: Uri = url.parse().map_err(|_| CredentialsError::Unavailable(format!("{url} is not a URL")))?;
        let mut headers = HeaderMap::new();
        let thing = HeaderValue::from_str(&settings.thing)
            .map_err(|_| CredentialsError::Unavailable("the thing name cannot be sent".to_owned()))?;
        headers.insert(HeaderName::from_static("x-amzn-iot-thingname"), thing);
        if let Some(component) = component {
            let component = HeaderValue::from_str(component)
                .map_err(|_| CredentialsError::Unavailable("the component's name cannot be sent".to_owned()))?;
            headers.insert(SESSION_FOR, component);
        }
        if let Some(policy) = policy {
            let policy = HeaderValue::try_from(STANDARD.encode(policy))
                .map_err(|_| CredentialsError::Unavailable("the session policy cannot be sent".to_owned()))?;
            headers.insert(SESSION_POLICY, policy);
        }
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
    fn credentials<'a>(&'a self, component: Option<&'a str>) -> Later<'a, AwsCredentials, CredentialsError> {
        Box::pin(async move {
            loop {
                let (session, settings) = self.session(component)?;
                let mut cache = session.cache.lock().await;
                // The settings may have changed while another one asked.
                if session.generation == self.inside().generation {
                    return self.kept_or_new(&mut cache, session.generation, &settings, component).await;
                }
            }
        })
    }
}

impl Upstream {
    async fn kept_or_new(
        &self,
        cache: &mut Cache,
        generation: u64,
        settings: &UpstreamSettings,
        component: Option<&str>,
    ) -> Result<AwsCredentials, CredentialsError> {
        // Nothing that looks narrowed and is not: without its policy a component gets no credentials.
        let policy =
            component.map(|name| (self.policies)(name)).transpose().map_err(CredentialsError::Unavailable)?.flatten();
        if cache.policy != policy {
            *cache = Cache { policy, ..Cache::default() };
        }
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
        let believed =
            cache.error.as_ref().filter(|(_, until)| Instant::now() < *until).map(|(error, _)| error.clone());
        if let Some(error) = believed.or_else(|| self.trouble_of_the_line()) {
            return still_good.ok_or(error);
        }
        match self.ask(settings, component, cache.policy.as_deref()).await {
            Ok((credentials, expiration)) => {
                cache.credentials = Some((credentials.clone(), expiration));
                cache.error = None;
                self.line_is_up();
                Ok(credentials)
            }
            Err(error) => {
                tracing::warn!(component, %error, "no credentials");
                match &error {
                    CredentialsError::Answered { status, .. } => {
                        let believed = settings.believed;
                        let kept = if *status < 500 { believed.refusal } else { believed.trouble };
                        cache.error = Some((error.clone(), Instant::now() + kept));
                    }
                    _ => self.line_failed(generation, &error),
                }
                still_good.ok_or(error)
            }
        }
    }
}
