//! The verifier: what a request presents, and whether it holds.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use marram_types::SecretString;

use crate::canonical::{self, canonical_headers, canonical_query, decode_query, split_target};
use crate::failure::AuthFailure;
use crate::key::SigningKey;
use crate::scope::{AmzTime, Scope};

/// Allowed distance between the signing time and ours (control-plane-api.md section 2.6).
pub const MAX_SKEW_SECS: i64 = 300;
/// The same for scope `s3`.
pub const MAX_SKEW_S3_SECS: i64 = 900;
/// Longest life of a presigned URL, 7 days (control-plane-api.md section 2.4).
pub const MAX_PRESIGN_SECS: i64 = 604_800;
/// Most headers one signature may name; far above what any client sends.
const MAX_SIGNED_HEADERS: usize = 100;
/// Longest `Authorization` header or query string read: tokens are at most 2 KiB, header blocks 16 KiB.
const MAX_AUTH_BYTES: usize = 16 * 1024;
/// Longest session token (control-plane-api.md section 2.5).
const MAX_TOKEN_BYTES: usize = 4096;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// The service name under which MQTT WebSocket URLs are presigned.
const WEBSOCKET_SERVICE: &str = "iotdevicegateway";

/// A request exactly as it arrived: nothing decoded, nothing normalised.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Upper-case method.
    pub method: &'a str,
    /// Path and query as sent.
    pub target: &'a str,
    /// Headers in order of arrival, `host` among them.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// What is known of the body when the signature is checked.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// The whole body.
    Bytes(&'a [u8]),
    /// The SHA-256 of the whole body.
    Sha256([u8; 32]),
    /// Not read yet: the signature is checked over the announced hash and the caller compares later.
    Later,
}

/// Where the signature stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `Authorization` header.
    Header,
    /// Query string (presigned, WebSocket).
    Query,
}

/// Which canonical form the signer used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CanonicalForm {
    /// Normalised path, encoded twice.
    DoubleEncoded,
    /// Path as sent: the S3 form.
    AsSent,
}

/// The kinds of `aws-chunked` body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streaming {
    /// `STREAMING-UNSIGNED-PAYLOAD-TRAILER`.
    UnsignedTrailer,
    /// `STREAMING-AWS4-HMAC-SHA256-PAYLOAD`.
    Signed,
    /// `STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER`.
    SignedTrailer,
}

/// What the signature says about the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyCheck {
    /// The body was compared and is the signed one.
    Verified,
    /// The body must have this SHA-256; refuse with [`AuthFailure::BodyMismatch`] otherwise.
    MustHash([u8; 32]),
    /// The signer left the body out, and the service allows it.
    Unsigned,
    /// An `aws-chunked` body follows.
    Chunked(Streaming),
}

/// What this listener serves.
#[derive(Clone, Copy, Debug)]
pub struct Expectation<'a> {
    /// Accepted regions, the first is named in refusals.
    pub regions: &'a [&'a str],
    /// Accepted signing names, the first is named in refusals. Empty: any, the caller routes by the scope.
    pub services: &'a [&'a str],
    /// Whether the operation's model marks the body unsigned.
    pub unsigned_payload: bool,
}

/// Proof that the holder of the secret made this request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The path form that matched; worth a debug log when it is not the service's own.
    pub canonical: CanonicalForm,
    /// What is left to do for the body.
    pub body: BodyCheck,
    /// The verified signature, the seed of chunk signatures and the key of a replay cache.
    pub signature: [u8; 32],
}

/// What a request claims about its signer. Nothing of it is proven before [`Presented::verify`].
#[derive(Clone, Debug)]
pub struct Presented {
    form: Form,
    access_key_id: String,
    scope: Scope,
    signed_headers: Vec<String>,
    signature: [u8; 32],
    time: AmzTime,
    expires_secs: Option<i64>,
    token: Option<String>,
    content_sha256: Option<String>,
}

impl Presented {
    /// Reads the credentials of a request in whichever form they come.
    ///
    /// # Errors
    /// [`AuthFailure::Missing`] without any, [`AuthFailure::Malformed`] when they cannot be read or come twice.
    pub fn parse(request: &Request<'_>) -> Result<Presented, AuthFailure> {
        let (path, raw_query) = split_target(request.target);
        if !path.starts_with('/') {
            return Err(AuthFailure::Malformed("the request target is not a path"));
        }
        if raw_query.len() > MAX_AUTH_BYTES {
            return Err(AuthFailure::Malformed("the query string is too long"));
        }
        let header = only_header(request, "authorization", "Authorization is repeated")?;
        let in_query = ["X-Amz-Algorithm", "X-Amz-Signature", "X-Amz-Credential"];
        let query = if raw_query.is_empty() { Vec::new() } else { decode_query(raw_query) };
        let has_query = query.iter().any(|(name, _)| in_query.iter().any(|n| n.as_bytes() == name.as_slice()));
        match (header, has_query) {
            (Some(_), true) => Err(AuthFailure::Malformed("credentials stand both in header and query string")),
            (Some(header), false) => Presented::from_header(request, header),
            (None, true) => Presented::from_query(request, &query),
            (None, false) => {
                let legacy = |name: &str| query.iter().any(|(n, _)| n.as_slice() == name.as_bytes());
                if legacy("AWSAccessKeyId") && legacy("Signature") {
                    return Err(AuthFailure::LegacySignature);
                }
                Err(AuthFailure::Missing)
            }
        }
    }

    fn from_header(request: &Request<'_>, header: &str) -> Result<Presented, AuthFailure> {
        if header.len() > MAX_AUTH_BYTES {
            return Err(AuthFailure::Malformed("Authorization is too long"));
        }
        let (algorithm, fields) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        check_algorithm(algorithm)?;
        let (mut credential, mut signed, mut signature) = (None, None, None);
        for field in fields.split(',') {
            let (name, value) =
                field.trim().split_once('=').ok_or(AuthFailure::Malformed("Authorization has a part without '='"))?;
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed,
                "Signature" => &mut signature,
                _ => return Err(AuthFailure::Malformed("Authorization has an unknown part")),
            };
            if slot.replace(value).is_some() {
                return Err(AuthFailure::Malformed("Authorization repeats a part"));
            }
        }
        let credential = credential.ok_or(AuthFailure::Malformed("Authorization requires 'Credential'"))?;
        let signed = signed.ok_or(AuthFailure::Malformed("Authorization requires 'SignedHeaders'"))?;
        let signature = signature.ok_or(AuthFailure::Malformed("Authorization requires 'Signature'"))?;
        let time = match only_header(request, "x-amz-date", "X-Amz-Date is repeated")? {
            Some(text) => AmzTime::parse_basic(text.trim()),
            None => only_header(request, "date", "Date is repeated")?
                .ok_or(AuthFailure::Malformed("'X-Amz-Date' or 'Date' is required"))
                .map(|text| AmzTime::parse_date_header(text.trim()))?,
        }
        .ok_or(AuthFailure::Malformed("the signing date cannot be read"))?;
        let token = only_header(request, "x-amz-security-token", "X-Amz-Security-Token is repeated")?;
        let parts = Parts { credential, signed, signature, time, token: token.map(str::to_owned), expires_secs: None };
        Presented::assemble(request, Form::Header, parts)
    }

    fn from_query(request: &Request<'_>, query: &[(Vec<u8>, Vec<u8>)]) -> Result<Presented, AuthFailure> {
        let only = |name: &str| -> Result<Option<&str>, AuthFailure> {
            let mut found = query.iter().filter(|(n, _)| n.as_slice() == name.as_bytes());
            let first = found.next();
            if found.next().is_some() {
                return Err(AuthFailure::Malformed("a signing parameter is repeated"));
            }
            let text = first.map(|(_, value)| std::str::from_utf8(value)).transpose();
            text.map_err(|_| AuthFailure::Malformed("a signing parameter is not text"))
        };
        let need = |name: &str, missing: &'static str| only(name)?.ok_or(AuthFailure::Malformed(missing));
        check_algorithm(need("X-Amz-Algorithm", "X-Amz-Algorithm is required")?)?;
        let credential = need("X-Amz-Credential", "X-Amz-Credential is required")?;
        let signed = need("X-Amz-SignedHeaders", "X-Amz-SignedHeaders is required")?;
        let signature = need("X-Amz-Signature", "X-Amz-Signature is required")?;
        let time = AmzTime::parse_basic(need("X-Amz-Date", "X-Amz-Date is required")?)
            .ok_or(AuthFailure::Malformed("the signing date cannot be read"))?;
        let expires_secs = match only("X-Amz-Expires")? {
            None => None,
            Some(text) => {
                let digits = !text.is_empty() && text.len() <= 6 && text.bytes().all(|b| b.is_ascii_digit());
                let secs = if digits { text.parse().unwrap_or(0) } else { 0 };
                if !(1..=MAX_PRESIGN_SECS).contains(&secs) {
                    return Err(AuthFailure::Malformed("X-Amz-Expires must be 1 to 604800 seconds"));
                }
                Some(secs)
            }
        };
        let token = only("X-Amz-Security-Token")?.map(str::to_owned);
        let parts = Parts { credential, signed, signature, time, token, expires_secs };
        let presented = Presented::assemble(request, Form::Query, parts)?;
        // Only WebSocket URLs may leave the lifetime out: they are good for the clock skew.
        if presented.expires_secs.is_none() && presented.scope.service != WEBSOCKET_SERVICE {
            return Err(AuthFailure::Malformed("X-Amz-Expires is required"));
        }
        Ok(presented)
    }

    fn assemble(request: &Request<'_>, form: Form, parts: Parts<'_>) -> Result<Presented, AuthFailure> {
        let (access_key_id, scope) = parse_credential(parts.credential)?;
        let signed_headers = parse_signed_headers(parts.signed)?;
        if scope.date != parts.time.date() {
            return Err(AuthFailure::Malformed("the credential date is not the signing date"));
        }
        if parts.token.as_ref().is_some_and(|t| t.is_empty() || t.len() > MAX_TOKEN_BYTES) {
            return Err(AuthFailure::TokenInvalid);
        }
        let mut signature = [0; 32];
        let lower = parts.signature.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !lower || hex::decode_to_slice(parts.signature, &mut signature).is_err() {
            return Err(AuthFailure::Malformed("the signature is not 64 lower-case hex digits"));
        }
        let content_sha256 = only_header(request, "x-amz-content-sha256", "x-amz-content-sha256 is repeated")?;
        Ok(Presented {
            form,
            access_key_id,
            scope,
            signed_headers,
            signature,
            time: parts.time,
            expires_secs: parts.expires_secs,
            token: parts.token,
            content_sha256: content_sha256.map(|v| v.trim().to_owned()),
        })
    }

    /// The key id the signer names.
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// The claimed scope: good for choosing a route, not for trusting it.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The session token, if one was sent.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The claimed signing time.
    pub fn time(&self) -> &AmzTime {
        &self.time
    }

    /// Where the signature stood.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Checks scope, clock, headers, signature and body, in this order.
    ///
    /// `secret` is `None` when the key id is unknown: the same work is done with a dummy secret and the answer is
    /// [`AuthFailure::UnknownKey`]. `now` is in seconds since the epoch.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn verify(
        &self,
        request: &Request<'_>,
        payload: Payload<'_>,
        secret: Option<&SecretString>,
        now: i64,
        expect: &Expectation<'_>,
    ) -> Result<Verified, AuthFailure> {
        let dummy;
        let used = match secret {
            Some(secret) => secret,
            None => {
                dummy = SecretString::new("0000000000000000000000000000000000000000");
                &dummy
            }
        };
        let key = SigningKey::derive(used, &self.scope);
        self.verify_with(request, payload, Some(&key), now, expect)
            .and_then(|verified| match secret {
                Some(_) => Ok(verified),
                None => Err(AuthFailure::UnknownKey),
            })
            .map_err(|failure| match (failure, secret) {
                (AuthFailure::SignatureMismatch | AuthFailure::BodyMismatch, None) => AuthFailure::UnknownKey,
                (other, _) => other,
            })
    }

    /// As [`Presented::verify`], with a signing key that was derived for exactly this scope and kept by the caller.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn verify_with(
        &self,
        request: &Request<'_>,
        payload: Payload<'_>,
        key: Option<&SigningKey>,
        now: i64,
        expect: &Expectation<'_>,
    ) -> Result<Verified, AuthFailure> {
        self.check_scope(expect)?;
        self.check_clock(now)?;
        self.check_signed_headers(request)?;
        let plan = self.body_plan(&payload, expect)?;
        let Some(key) = key else { return Err(AuthFailure::UnknownKey) };

        let (raw_path, raw_query) = split_target(request.target);
        let query = decode_query(raw_query);
        let headers = canonical_headers(request.headers, &self.signed_headers).ok_or(AuthFailure::SignatureMismatch)?;
        let scope = self.scope.text();
        for canonical in self.path_forms() {
            let path = match canonical {
                CanonicalForm::DoubleEncoded => canonical::path_double_encoded(raw_path),
                CanonicalForm::AsSent => canonical::path_as_sent(raw_path),
            };
            for skip in self.query_forms() {
                let query_text = canonical_query(&query, skip);
                let hash = canonical::request_hash(
                    request.method,
                    &path,
                    &query_text,
                    &headers,
                    &self.signed_headers,
                    &plan.signed_hash,
                );
                let text = canonical::string_to_sign(self.time.text(), &scope, &hash);
                if key.verify(&text, &self.signature) {
                    let body = plan.finish()?;
                    return Ok(Verified { canonical: *canonical, body, signature: self.signature });
                }
            }
        }
        Err(AuthFailure::SignatureMismatch)
    }

    fn path_forms(&self) -> &'static [CanonicalForm] {
        if self.is_s3() { &[CanonicalForm::AsSent] } else { &[CanonicalForm::DoubleEncoded, CanonicalForm::AsSent] }
    }

    /// WebSocket signers append the token after signing, so it is first left out of the canonical query.
    fn query_forms(&self) -> &'static [&'static [&'static str]] {
        match self.form {
            Form::Header => &[&[]],
            Form::Query if self.scope.service == WEBSOCKET_SERVICE && self.token.is_some() => {
                &[&["X-Amz-Signature", "X-Amz-Security-Token"], &["X-Amz-Signature"]]
            }
            Form::Query => &[&["X-Amz-Signature"]],
        }
    }

    fn is_s3(&self) -> bool {
        self.scope.service == "s3"
    }

    fn check_scope(&self, expect: &Expectation<'_>) -> Result<(), AuthFailure> {
        let first = |list: &[&str]| list.first().copied().unwrap_or_default().to_owned();
        if !expect.services.is_empty() && !expect.services.contains(&self.scope.service.as_str()) {
            return Err(AuthFailure::WrongService { expected: first(expect.services) });
        }
        if !expect.regions.contains(&self.scope.region.as_str()) {
            return Err(AuthFailure::WrongRegion { expected: first(expect.regions) });
        }
        Ok(())
    }

    fn check_clock(&self, now: i64) -> Result<(), AuthFailure> {
        let skew = if self.is_s3() { MAX_SKEW_S3_SECS } else { MAX_SKEW_SECS };
        let age = now.saturating_sub(self.time.seconds());
        let now_text = || AmzTime::from_epoch(now).map(|t| t.text().to_owned()).unwrap_or_default();
        let minutes = skew / 60;
        if age < skew.saturating_neg() {
            return Err(AuthFailure::NotYetValid { signed: self.time.text().to_owned(), now: now_text(), minutes });
        }
        match self.expires_secs {
            Some(life) if age > life => Err(AuthFailure::PresignExpired),
            None if age > skew => {
                Err(AuthFailure::Expired { signed: self.time.text().to_owned(), now: now_text(), minutes })
            }
            _ => Ok(()),
        }
    }

    /// `host` and everything `x-amz-*`/`x-amzn-*` must be signed: operations read those headers.
    fn check_signed_headers(&self, request: &Request<'_>) -> Result<(), AuthFailure> {
        let signed = |name: &str| self.signed_headers.iter().any(|s| s.eq_ignore_ascii_case(name));
        if !signed("host") {
            return Err(AuthFailure::Malformed("'host' must be a signed header"));
        }
        let mut hosts = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("host"));
        if hosts.next().is_none() || hosts.next().is_some() {
            return Err(AuthFailure::Malformed("the request must carry one 'host'"));
        }
        for (name, _) in request.headers {
            let amazon = starts_with_ignore_case(name, "x-amz-") || starts_with_ignore_case(name, "x-amzn-");
            if amazon && !name.eq_ignore_ascii_case("x-amzn-trace-id") && !signed(name) {
                return Err(AuthFailure::UnsignedHeader(name.to_ascii_lowercase()));
            }
        }
        Ok(())
    }

    fn body_plan(&self, payload: &Payload<'_>, expect: &Expectation<'_>) -> Result<BodyPlan, AuthFailure> {
        let actual = match payload {
            Payload::Bytes(bytes) => Some(sha256(bytes)),
            Payload::Sha256(hash) => Some(*hash),
            Payload::Later => None,
        };
        let unsigned_allowed = self.is_s3() || expect.unsigned_payload;
        let Some(announced) = self.content_sha256.as_deref() else {
            if self.is_s3() {
                return match self.form {
                    Form::Header => Err(AuthFailure::MissingContentSha256),
                    Form::Query => Ok(BodyPlan::literal(UNSIGNED, BodyCheck::Unsigned)),
                };
            }
            return Ok(match actual {
                Some(hash) => BodyPlan { signed_hash: canonical::hex_of(&hash), outcome: Ok(BodyCheck::Verified) },
                // Nothing announced and nothing read: only an empty body can have been signed.
                None => {
                    BodyPlan { signed_hash: EMPTY_SHA256.to_owned(), outcome: Ok(BodyCheck::MustHash(sha256(b""))) }
                }
            });
        };
        let streaming = match announced {
            UNSIGNED if unsigned_allowed => return Ok(BodyPlan::literal(announced, BodyCheck::Unsigned)),
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Some(Streaming::UnsignedTrailer),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Some(Streaming::Signed),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => Some(Streaming::SignedTrailer),
            other if other.starts_with("STREAMING-AWS4-ECDSA-") => return Err(AuthFailure::UnsupportedAlgorithm),
            _ => None,
        };
        if let Some(kind) = streaming {
            if !self.is_s3() {
                return Err(AuthFailure::UnsignedPayload);
            }
            return Ok(BodyPlan::literal(announced, BodyCheck::Chunked(kind)));
        }
        if announced == UNSIGNED {
            return Err(AuthFailure::UnsignedPayload);
        }
        let mut wanted = [0; 32];
        hex::decode_to_slice(announced, &mut wanted)
            .map_err(|_| AuthFailure::Malformed("x-amz-content-sha256 is not a SHA-256"))?;
        let outcome = match actual {
            None => Ok(BodyCheck::MustHash(wanted)),
            Some(hash) if verify_slices_are_equal(&hash, &wanted).is_ok() => Ok(BodyCheck::Verified),
            Some(_) => Err(AuthFailure::BodyMismatch),
        };
        Ok(BodyPlan { signed_hash: announced.to_owned(), outcome })
    }
}

struct Parts<'a> {
    credential: &'a str,
    signed: &'a str,
    signature: &'a str,
    time: AmzTime,
    token: Option<String>,
    expires_secs: Option<i64>,
}

/// The hash text that was signed, and what to say of the body once the signature holds.
struct BodyPlan {
    signed_hash: String,
    outcome: Result<BodyCheck, AuthFailure>,
}

impl BodyPlan {
    fn literal(text: &str, check: BodyCheck) -> BodyPlan {
        BodyPlan { signed_hash: text.to_owned(), outcome: Ok(check) }
    }

    fn finish(self) -> Result<BodyCheck, AuthFailure> {
        self.outcome
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}

fn starts_with_ignore_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn check_algorithm(algorithm: &str) -> Result<(), AuthFailure> {
    match algorithm {
        ALGORITHM => Ok(()),
        _ if algorithm.starts_with("AWS4-ECDSA-") => Err(AuthFailure::UnsupportedAlgorithm),
        "AWS" => Err(AuthFailure::LegacySignature),
        _ => Err(AuthFailure::Malformed("the algorithm is not AWS4-HMAC-SHA256")),
    }
}

/// The value of a header that may come once at most.
fn only_header<'a>(request: &Request<'a>, name: &str, repeated: &'static str) -> Result<Option<&'a str>, AuthFailure> {
    let mut found = request.headers.iter().filter(|(candidate, _)| candidate.eq_ignore_ascii_case(name));
    let first = found.next();
    if found.next().is_some() {
        return Err(AuthFailure::Malformed(repeated));
    }
    let text = first.map(|(_, value)| std::str::from_utf8(value)).transpose();
    text.map_err(|_| AuthFailure::Malformed("a signing header is not text"))
}

fn parse_credential(text: &str) -> Result<(String, Scope), AuthFailure> {
    let bad = AuthFailure::Malformed("the credential is not KEY/date/region/service/aws4_request");
    let parts: Vec<&str> = text.split('/').collect();
    let [key, date, region, service, "aws4_request"] = parts.as_slice() else { return Err(bad) };
    let key_ok = (4..=128).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let name_ok = |name: &str| {
        (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let date_ok = date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit());
    if !(key_ok && date_ok && name_ok(region) && name_ok(service)) {
        return Err(bad);
    }
    let scope = Scope { date: (*date).to_owned(), region: (*region).to_owned(), service: (*service).to_owned() };
    Ok(((*key).to_owned(), scope))
}

fn parse_signed_headers(text: &str) -> Result<Vec<String>, AuthFailure> {
    let bad = AuthFailure::Malformed("SignedHeaders must be sorted lower-case names joined by ';'");
    let names: Vec<String> = text.split(';').map(str::to_owned).collect();
    let name_ok = |name: &String| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase() && b != b':' && b != b',')
    };
    let sorted = names.is_sorted_by(|a, b| a < b);
    if names.len() > MAX_SIGNED_HEADERS || !names.iter().all(name_ok) || !sorted {
        return Err(bad);
    }
    Ok(names)
}
