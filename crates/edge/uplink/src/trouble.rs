//! Why there is no line, in words for people: a short reason, the kind of it, and what those said who refused.

use std::io;

use marram_edge_ports::{Hurdle, Trouble};
use marram_mqtt::ReasonCode;
use marram_tls::{Fault, TlsError};
use marram_types::Timestamp;

use crate::line::{CONNECT_TIMEOUT, ConnectError, LineSettings};

/// Where on its way to a host a connection ended. Says everything itself: who gets it as an I/O error prints one line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoadError {
    #[error("the name {name} was not found: {cause}")]
    Name { name: String, cause: io::Error },
    #[error("{cause}")]
    Socket { address: String, cause: io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the proxy {proxy}: {cause}")]
    Proxy { proxy: String, cause: Box<RoadError> },
    #[error("the proxy answered {status}")]
    ProxyAnswered { proxy: String, status: String },
}

impl RoadError {
    pub(crate) fn proxy(proxy: &str, cause: RoadError) -> Self {
        Self::Proxy { proxy: proxy.to_owned(), cause: Box::new(cause) }
    }
}

impl From<RoadError> for io::Error {
    fn from(error: RoadError) -> Self {
        let kind = |error: &RoadError| match error {
            RoadError::Name { cause, .. } | RoadError::Socket { cause, .. } => cause.kind(),
            RoadError::ProxyAnswered { .. } => io::ErrorKind::ConnectionRefused,
            RoadError::Tls(_) | RoadError::Proxy { .. } => io::ErrorKind::Other,
        };
        let kind = match &error {
            RoadError::Proxy { cause, .. } => kind(cause),
            other => kind(other),
        };
        io::Error::new(kind, error)
    }
}

/// An error with what is behind it: whose certificate is not valid, and since when, stands there.
pub(crate) fn causes(error: &ConnectError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}

/// What a connection ended with that did not come up; `now` is what the device's clock shows.
pub(crate) fn of_connect(error: &ConnectError, settings: &LineSettings, now: Timestamp) -> Trouble {
    let at = address(&settings.host, settings.port);
    let (hurdle, reason) = match error {
        ConnectError::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<RoadError>()) {
            Some(road) => of_road(road, &at, now),
            None => of_stream(error, &at),
        },
        ConnectError::Protocol(_) | ConnectError::Send(_) => {
            (Hurdle::Protocol, format!("{at} does not answer as MQTT"))
        }
        ConnectError::Refused(reason) => of_reason(*reason, &at),
        ConnectError::Timeout => {
            let proxy = settings.road.proxy_for(&settings.host);
            let through = proxy.map(|proxy| format!(" through the proxy {proxy}")).unwrap_or_default();
            let seconds = CONNECT_TIMEOUT.as_secs();
            (Hurdle::Unreachable, format!("{at} did not answer{through} within {seconds} s"))
        }
    };
    Trouble { hurdle, reason, detail: causes(error) }
}

fn of_road(error: &RoadError, at: &str, now: Timestamp) -> (Hurdle, String) {
    match error {
        RoadError::Name { name, .. } => (Hurdle::Name, format!("the name {name} was not found")),
        RoadError::Socket { address, cause } if cause.kind() == io::ErrorKind::ConnectionRefused => {
            (Hurdle::Refused, format!("nobody listens at {address}"))
        }
        RoadError::Socket { address, .. } => (Hurdle::Unreachable, format!("{address} cannot be reached")),
        RoadError::Tls(error) => of_handshake(error, at, now),
        RoadError::Proxy { proxy, cause } => (Hurdle::Proxy, format!("the proxy: {}", of_road(cause, proxy, now).1)),
        RoadError::ProxyAnswered { proxy, status } => {
            let words = match status.as_str() {
                "407" => ": it wants a user and a password, or others than these",
                "403" => ": it does not allow this host or port",
                "502" | "503" | "504" => ": it does not reach the host",
                _ => "",
            };
            (Hurdle::Proxy, format!("the proxy {proxy} answered {status}{words}"))
        }
    }
}

fn of_handshake(error: &TlsError, at: &str, now: Timestamp) -> (Hurdle, String) {
    let by_clock = |state: &str| {
        (
            Hurdle::Clock,
            format!("the certificate of {at} {state} by this device's clock, which shows {}", now.rfc3339()),
        )
    };
    match Fault::of(error) {
        Some(Fault::PeerExpired) => by_clock("is over"),
        Some(Fault::PeerNotYet) => by_clock("is not valid yet"),
        Some(Fault::PeerName) => (Hurdle::Trust, format!("the certificate of {at} is for another name")),
        Some(Fault::PeerUntrusted) => {
            (Hurdle::Trust, format!("the certificate of {at} is not from an authority in `rootCaPath`"))
        }
        Some(Fault::OwnRefused) => (Hurdle::Denied, refused_certificate(at)),
        Some(Fault::NotTls) => (Hurdle::Protocol, format!("{at} does not speak TLS")),
        Some(_) => (Hurdle::Protocol, format!("{at} and this core have no encryption in common")),
        None if matches!(error, TlsError::HostName(_)) => (Hurdle::Settings, error.to_string()),
        None => (Hurdle::Unreachable, format!("the connection to {at} was cut during the TLS handshake")),
    }
}

/// With TLS 1.3 a refused certificate shows with the first read; some control planes refuse by hanging up.
fn of_stream(error: &io::Error, at: &str) -> (Hurdle, String) {
    match Fault::of(error) {
        Some(Fault::OwnRefused) => (Hurdle::Denied, refused_certificate(at)),
        Some(_) => (Hurdle::Protocol, format!("{at} broke the encryption")),
        None => (Hurdle::Denied, format!("{at} hung up on this core without an answer")),
    }
}

fn refused_certificate(at: &str) -> String {
    format!("{at} does not take the certificate of this core")
}

/// What a CONNACK or DISCONNECT says.
fn of_reason(reason: ReasonCode, at: &str) -> (Hurdle, String) {
    match reason {
        ReasonCode::SESSION_TAKEN_OVER => {
            (Hurdle::Replaced, "another client connected with the name of this core".to_owned())
        }
        ReasonCode::SERVER_UNAVAILABLE
        | ReasonCode::SERVER_BUSY
        | ReasonCode::SERVER_SHUTTING_DOWN
        | ReasonCode::QUOTA_EXCEEDED
        | ReasonCode::CONNECTION_RATE_EXCEEDED => (Hurdle::Busy, format!("{at} takes no connection now: {reason}")),
        ReasonCode::BAD_USER_OR_PASSWORD
        | ReasonCode::NOT_AUTHORIZED
        | ReasonCode::BANNED
        | ReasonCode::CLIENT_ID_NOT_VALID
        | ReasonCode::BAD_AUTHENTICATION_METHOD
        | ReasonCode::ADMINISTRATIVE_ACTION => (Hurdle::Denied, format!("{at} does not let this core in: {reason}")),
        _ => (Hurdle::Protocol, format!("{at} refused the connection: {reason}")),
    }
}

/// A connection that the peer ended in words.
pub(crate) fn of_disconnect(reason: ReasonCode, settings: &LineSettings) -> Trouble {
    let (hurdle, reason) = of_reason(reason, &address(&settings.host, settings.port));
    Trouble { hurdle, reason, detail: String::new() }
}

/// A connection that the peer ended over a message to `topic`.
pub(crate) fn of_topic(topic: &str, settings: &LineSettings) -> Trouble {
    let at = address(&settings.host, settings.port);
    let reason = format!("{at} hung up over a message to {topic}, which this core may not publish to");
    Trouble { hurdle: Hurdle::Topic, reason, detail: String::new() }
}

/// A connection that ended without words.
pub(crate) fn of_break(error: Option<&io::Error>, settings: &LineSettings) -> Trouble {
    let at = address(&settings.host, settings.port);
    let refused = error.and_then(|error| Fault::of(error)) == Some(Fault::OwnRefused);
    let (hurdle, reason) = match error {
        Some(_) if refused => (Hurdle::Denied, refused_certificate(&at)),
        Some(_) => (Hurdle::Broken, format!("the connection to {at} broke")),
        None => (Hurdle::Broken, format!("{at} hung up")),
    };
    Trouble { hurdle, reason, detail: error.map(io::Error::to_string).unwrap_or_default() }
}

/// A peer that does not answer any more.
pub(crate) fn of_silence(settings: &LineSettings) -> Trouble {
    let reason = format!("{} does not answer any more", address(&settings.host, settings.port));
    Trouble { hurdle: Hurdle::Unreachable, reason, detail: String::new() }
}

/// A peer that does not keep to MQTT.
pub(crate) fn of_protocol(error: &impl std::fmt::Display, settings: &LineSettings) -> Trouble {
    let reason = format!("{} broke the rules of MQTT", address(&settings.host, settings.port));
    Trouble { hurdle: Hurdle::Protocol, reason, detail: error.to_string() }
}

/// `host:port` as a URL has it.
pub(crate) fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
