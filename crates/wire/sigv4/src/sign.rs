//! The signer: headers for a request, or a presigned target. Used by our CLI and by flow connectors.

use crate::canonical::{self, canonical_headers, canonical_query, decode_query, encode, split_target};
use crate::key::{Credentials, SigningKey};
use crate::scope::{AmzTime, Scope};

/// Headers that proxies and HTTP stacks change on the way; never signed (control-plane-api.md section 2.1).
const NEVER_SIGNED: [&str; 14] = [
    "authorization",
    "baggage",
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// What stands for the body in the canonical request.
#[derive(Clone, Copy, Debug)]
pub enum PayloadHash<'a> {
    /// SHA-256 of these bytes.
    Of(&'a [u8]),
    /// `UNSIGNED-PAYLOAD`.
    Unsigned,
    /// A `STREAMING-…` literal.
    Literal(&'a str),
}

/// The request to be signed, exactly as it will be sent.
#[derive(Clone, Copy, Debug)]
pub struct ToSign<'a> {
    /// Upper-case method.
    pub method: &'a str,
    /// Path and query, already percent-encoded.
    pub target: &'a str,
    /// Headers that will be sent, `host` among them.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The body.
    pub payload: PayloadHash<'a>,
}

/// Signs for one service in one region.
#[derive(Clone, Debug)]
pub struct Signer<'a> {
    /// Who signs.
    pub credentials: &'a Credentials,
    /// For example `eu-west-1`.
    pub region: &'a str,
    /// Signing name; `s3` keeps the path as it is and announces the body hash.
    pub service: &'a str,
}

impl Signer<'_> {
    /// The headers to add: `x-amz-date`, `x-amz-security-token` and `x-amz-content-sha256` where needed, `authorization`.
    pub fn sign(&self, request: &ToSign<'_>, time: &AmzTime) -> Vec<(&'static str, String)> {
        let body_hash = body_hash(request.payload);
        let mut added: Vec<(&'static str, String)> = vec![("x-amz-date", time.text().to_owned())];
        if let Some(token) = &self.credentials.session_token {
            added.push(("x-amz-security-token", token.clone()));
        }
        if self.service == "s3" || !matches!(request.payload, PayloadHash::Of(_)) {
            added.push(("x-amz-content-sha256", body_hash.clone()));
        }
        let mut all: Vec<(&str, &[u8])> = request.headers.to_vec();
        all.extend(added.iter().map(|(name, value)| (*name, value.as_bytes())));
        let signed = signed_names(&all);
        let (raw_path, raw_query) = split_target(request.target);
        let query = canonical_query(&decode_query(raw_query), &[]);
        let signature = self.signature(request.method, raw_path, &query, &all, &signed, &body_hash, time);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={}, Signature={signature}",
            self.credentials.access_key_id,
            self.scope(time).text(),
            signed.join(";")
        );
        added.push(("authorization", authorization));
        added
    }

    /// The target with signing parameters, good for `expires_secs` (1 to 604800) from `time`.
    pub fn presign(&self, request: &ToSign<'_>, time: &AmzTime, expires_secs: u32) -> String {
        let token = self.credentials.session_token.as_deref();
        self.presigned_target(request, time, Some(expires_secs), token, None)
    }

    /// The target of an MQTT WebSocket upgrade: no lifetime, and the token appended after signing.
    pub fn presign_websocket(&self, request: &ToSign<'_>, time: &AmzTime) -> String {
        self.presigned_target(request, time, None, None, self.credentials.session_token.as_deref())
    }

    fn presigned_target(
        &self,
        request: &ToSign<'_>,
        time: &AmzTime,
        expires_secs: Option<u32>,
        signed_token: Option<&str>,
        appended_token: Option<&str>,
    ) -> String {
        let (raw_path, raw_query) = split_target(request.target);
        let signed = signed_names(request.headers);
        let credential = format!("{}/{}", self.credentials.access_key_id, self.scope(time).text());
        let mut query = decode_query(raw_query);
        let mut put = |name: &str, value: &str| query.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        put("X-Amz-Algorithm", "AWS4-HMAC-SHA256");
        put("X-Amz-Credential", &credential);
        put("X-Amz-Date", time.text());
        if let Some(secs) = expires_secs {
            put("X-Amz-Expires", &secs.to_string());
        }
        put("X-Amz-SignedHeaders", &signed.join(";"));
        if let Some(token) = signed_token {
            put("X-Amz-Security-Token", token);
        }
        let query = canonical_query(&query, &[]);
        let body_hash = match request.payload {
            PayloadHash::Of(_) if self.service == "s3" => "UNSIGNED-PAYLOAD".to_owned(),
            payload => body_hash(payload),
        };
        let signature = self.signature(request.method, raw_path, &query, request.headers, &signed, &body_hash, time);
        let mut target = format!("{raw_path}?{query}");
        if let Some(token) = appended_token {
            target.push_str("&X-Amz-Security-Token=");
            target.push_str(&encode(token.as_bytes()));
        }
        target.push_str("&X-Amz-Signature=");
        target.push_str(&signature);
        target
    }

    fn scope(&self, time: &AmzTime) -> Scope {
        Scope { date: time.date().to_owned(), region: self.region.to_owned(), service: self.service.to_owned() }
    }

    #[expect(clippy::too_many_arguments, reason = "the seven parts of a canonical request")]
    fn signature(
        &self,
        method: &str,
        raw_path: &str,
        query: &str,
        headers: &[(&str, &[u8])],
        signed: &[String],
        body_hash: &str,
        time: &AmzTime,
    ) -> String {
        let path = match self.service {
            "s3" => canonical::path_as_sent(raw_path),
            _ => canonical::path_double_encoded(raw_path),
        };
        // Every signed name was taken from `headers`, so none can be missing.
        let lines = canonical_headers(headers, signed).unwrap_or_default();
        let hash = canonical::request_hash(method, &path, query, &lines, signed, body_hash);
        let scope = self.scope(time);
        let text = canonical::string_to_sign(time.text(), &scope.text(), &hash);
        hex::encode(SigningKey::derive(&self.credentials.secret, &scope).sign(&text))
    }
}

fn body_hash(payload: PayloadHash<'_>) -> String {
    match payload {
        PayloadHash::Of(bytes) => canonical::sha256_hex(bytes),
        PayloadHash::Unsigned => "UNSIGNED-PAYLOAD".to_owned(),
        PayloadHash::Literal(text) => text.to_owned(),
    }
}

fn signed_names(headers: &[(&str, &[u8])]) -> Vec<String> {
    let mut names: Vec<String> = headers
        .iter()
        .map(|(name, _)| name.to_ascii_lowercase())
        .filter(|name| !NEVER_SIGNED.contains(&name.as_str()) && name != "x-amzn-trace-id")
        .filter(|name| !name.starts_with("amz-sdk-"))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}
