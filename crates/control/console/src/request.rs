//! What is read of a request before anything is believed of it: cookie, origin, content type, body.

use std::net::IpAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::header::{CONTENT_TYPE, COOKIE, HOST, HeaderName, ORIGIN, REFERER, USER_AGENT};
use marram_aws_api::ApiError;
use marram_aws_api::decode::json;
use marram_front::Peer;
use marram_http::{Head, RequestBody};
use marram_identity::{SignInFacts, TlsDetails};
use marram_types::{Region, RequestId, Timestamp};
use serde_json::{Map, Value};

use crate::fault;
use crate::site;
use crate::token::Token;

/// The cookie of a session. The prefix makes browsers insist on `Secure`, `Path=/` and no `Domain`.
pub(crate) const COOKIE_NAME: &str = "__Host-marram";
/// Header of the CSRF token.
const CSRF_HEADER: HeaderName = HeaderName::from_static("x-marram-csrf");
/// Where a request comes from, as the browser says.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What the answer is for, as the browser says.
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
/// Longest `User-Agent` that is kept, in characters.
const MAX_USER_AGENT: usize = 1024;
/// Longest time a body may take.
const BODY_DEADLINE: Duration = Duration::from_secs(60);

/// One request with what its head says.
pub(crate) struct Asked<'a> {
    pub(crate) head: &'a Head,
    pub(crate) peer: &'a Peer,
    pub(crate) now: Timestamp,
    pub(crate) request_id: RequestId,
    /// The token of the cookie, whatever it opens.
    pub(crate) token: Option<Token>,
}

impl<'a> Asked<'a> {
    pub(crate) fn of(head: &'a Head, peer: &'a Peer, now: Timestamp) -> Asked<'a> {
        let mut cookies = head.headers.get_all(COOKIE).iter();
        let token = cookies.next().and_then(|value| value.to_str().ok()).and_then(token_of);
        // Several cookie headers are nothing a browser sends over HTTP/1.1.
        let token = token.filter(|_| cookies.next().is_none());
        Asked { head, peer, now, request_id: RequestId::fresh(), token }
    }

    fn text(&self, name: &HeaderName) -> Option<&'a str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn host(&self) -> &'a str {
        self.text(&HOST).unwrap_or("")
    }

    pub(crate) fn user_agent(&self) -> String {
        self.text(&USER_AGENT).unwrap_or("").chars().take(MAX_USER_AGENT).collect()
    }

    pub(crate) fn source_ip(&self) -> IpAddr {
        self.peer.source_ip
    }

    pub(crate) fn csrf(&self) -> Option<&'a str> {
        self.text(&CSRF_HEADER)
    }

    pub(crate) fn tls(&self) -> TlsDetails {
        TlsDetails {
            version: self.peer.tls_version.into(),
            cipher_suite: self.peer.cipher_suite.into(),
            host: self.host().into(),
        }
    }

    pub(crate) fn sign_in_facts(&self, region: &Region) -> SignInFacts {
        SignInFacts {
            region: region.clone(),
            request_id: self.request_id,
            source_ip: self.source_ip(),
            user_agent: self.user_agent(),
            now: self.now,
            tls: self.tls(),
        }
    }

    /// Refuses requests that a browser says came from other pages than the console's. Pages of the console send no
    /// `Referer`; another page of this origin does unless it takes care.
    ///
    /// # Errors
    /// `AccessDeniedException`.
    pub(crate) fn check_origin(&self, is_navigation: bool) -> Result<(), ApiError> {
        let site = self.head.headers.get(&FETCH_SITE).map(|value| value.as_bytes());
        let same_site = match site {
            None | Some(b"same-origin") => true,
            Some(b"none") => is_navigation,
            Some(_) => false,
        };
        let same_origin = match self.head.headers.get(&ORIGIN) {
            None => true,
            Some(origin) => {
                let host = origin.to_str().ok().and_then(|origin| origin.strip_prefix("https://"));
                host.is_some_and(|host| !host.is_empty() && host.eq_ignore_ascii_case(self.host()))
            }
        };
        let asked_by_script = match self.head.headers.get(&FETCH_DEST).map(|value| value.as_bytes()) {
            None | Some(b"empty") => true,
            Some(b"document") => is_navigation && site != Some(b"same-origin"),
            Some(_) => false,
        };
        let from_console = self.head.headers.get_all(REFERER).iter().all(|page| {
            let page = page.to_str().ok().and_then(|page| page.strip_prefix("https://"));
            let (host, path) = page.and_then(|page| page.split_at_checked(page.find('/')?)).unwrap_or_default();
            host.eq_ignore_ascii_case(self.host()) && path.starts_with(site::ROOT)
        });
        if same_site && same_origin && asked_by_script && from_console { Ok(()) } else { Err(fault::foreign()) }
    }

    /// Refuses bodies that are not announced as JSON: forms of other sites cannot announce it (CSRF).
    ///
    /// # Errors
    /// `UnsupportedMediaTypeException`.
    pub(crate) fn check_content_type(&self) -> Result<(), ApiError> {
        let kind = self.text(&CONTENT_TYPE).unwrap_or("");
        let (kind, parameters) = kind.split_once(';').unwrap_or((kind, ""));
        let utf8 = parameters.trim().is_empty() || parameters.trim().eq_ignore_ascii_case("charset=utf-8");
        let json = kind.trim().eq_ignore_ascii_case("application/json");
        if json && utf8 { Ok(()) } else { Err(fault::wrong_content_type()) }
    }

    /// The value of a parameter of the query, decoded; the first of several.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        query_value(self.head.uri.query().unwrap_or(""), name)
    }
}

/// The whole body, at most `limit` bytes.
pub(crate) async fn read_body(mut body: RequestBody, limit: usize) -> Result<Bytes, ApiError> {
    if body.announced().is_some_and(|length| length > limit as u64) {
        return Err(fault::too_large(limit));
    }
    let reading = async {
        let mut whole = BytesMut::new();
        while let Some(piece) = body.next().await.map_err(|_| broken())? {
            if whole.len() + piece.len() > limit {
                return Err(fault::too_large(limit));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    };
    tokio::time::timeout(BODY_DEADLINE, reading).await.map_err(|_| broken())?
}

fn broken() -> ApiError {
    ApiError::new("RequestTimeout", 408, "The body did not arrive.")
}

/// A body as a JSON object; an empty one is an empty object.
///
/// # Errors
/// `ValidationException`.
pub(crate) fn object(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    match json::parse_body(body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(ApiError::new("ValidationException", 400, "The body must be a JSON object.")),
        Err(why) => Err(ApiError::new("ValidationException", 400, format!("The {}.", why.reason))),
    }
}

/// A text member of at most `max` bytes that must be there.
///
/// # Errors
/// `ValidationException` naming it.
pub(crate) fn text<'m>(members: &'m Map<String, Value>, name: &str, max: usize) -> Result<&'m str, ApiError> {
    match members.get(name) {
        Some(Value::String(text)) if text.len() <= max => Ok(text),
        Some(Value::String(_)) => Err(fault::invalid(name, format!("{name} has at most {max} bytes."))),
        _ => Err(fault::invalid(name, format!("{name} must be a string."))),
    }
}

/// The token in a `Cookie` header; `None` unless the cookie is there exactly once: a second one would be somebody else's.
fn token_of(header: &str) -> Option<Token> {
    let mut values = header.split(';').filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE_NAME).then_some(value)
    });
    let value = values.next()?;
    if values.next().is_some() { None } else { Token::parse(value) }
}

fn query_value(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then_some(value)
    })?;
    percent_decode(value)
}

/// Percent escapes of a query value; `None` when they are malformed or not UTF-8. A plus is a space, as forms write it.
fn percent_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                u8::try_from(high << 4 | low).ok()?
            }
            b'+' => b' ',
            plain => plain,
        });
    }
    String::from_utf8(out).ok()
}

/// Fuzzing: everything that reads bytes of strangers. The first line is a cookie header, the second a query, the rest a body.
pub fn fuzz_request(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(3, '\n');
    if let Some(token) = lines.next().and_then(token_of) {
        assert_eq!(Token::parse(&token.text()).map(|again| again.hash()), Some(token.hash()));
    }
    let _ = query_value(lines.next().unwrap_or(""), "filter");
    if let Ok(members) = object(lines.next().unwrap_or("").as_bytes()) {
        for name in ["token", "password", "code", "user"] {
            assert!(text_is_bounded(&members, name));
        }
    }
}

fn text_is_bounded(members: &Map<String, Value>, name: &str) -> bool {
    text(members, name, 16).map_or(true, |text| text.len() <= 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEC-97: the cookie counts only when it is there once and whole.
    #[test]
    fn cookies_of_a_stranger() {
        let token = Token::fresh();
        let value = token.text();
        let found = |header: &str| token_of(header).map(|found| found.hash());
        assert_eq!(found(&format!("a=b; {COOKIE_NAME}={}; c=d", *value)), Some(token.hash()));
        for header in [
            String::new(),
            "x".to_owned(),
            format!("{COOKIE_NAME}="),
            format!("{COOKIE_NAME}={}x", *value),
            format!("__host-marram={}", *value),
            format!("{COOKIE_NAME}={v}; {COOKIE_NAME}={v}", v = *value),
        ] {
            assert!(found(&header).is_none(), "{header}");
        }
    }

    /// Query values arrive as browsers write them.
    #[test]
    fn query_values_are_decoded() {
        assert_eq!(query_value("a=1&filter=a%2F%23&filter=x", "filter").as_deref(), Some("a/#"));
        assert_eq!(query_value("filter=%zz", "filter"), None);
        assert_eq!(query_value("filter=%ff", "filter"), None);
        assert_eq!(query_value("filtr=1", "filter"), None);
    }
}
