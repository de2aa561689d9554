//! Pages of lists: the last key of a page in an authenticated, opaque token (TG 9.1, CP 1.6).
//!
//! The token's MAC covers operation, account, region, the request without its paging members, expiry and key. Replayed
//! on another list, filter or account, or a day later, it is refused.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use marram_aws_api::ApiError;
use marram_identity::CallContext;
use marram_types::Timestamp;
use serde_json::{Map, Value};

/// Items of a page when the caller names no number (TG 9.1).
const DEFAULT_PAGE: usize = 50;
/// Largest page (TG 9.1).
const MAX_PAGE: usize = 250;
/// Life of a token (CP 1.6).
const TOKEN_LIFE: Duration = Duration::from_secs(86_400);
/// Bytes of the MAC kept: 128 bits.
const MAC_BYTES: usize = 16;

/// Signs and reads tokens.
#[derive(Debug)]
pub(crate) struct Tokens {
    key: hmac::Key,
}

/// The page a caller asked for.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    tokens: &'a Tokens,
    scope: String,
    expires: Timestamp,
    /// Items wanted.
    pub(crate) limit: usize,
    /// Key of the last item of the page before; `None` on the first.
    pub(crate) after: Option<String>,
}

impl Tokens {
    /// Derives the signing key from a secret of the installation, so that tokens survive a restart.
    pub(crate) fn derived_from(secret: &[u8]) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = hmac::sign(&root, b"marram things-graph page tokens v1");
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()) }
    }

    /// Reads the paging members of a request.
    pub(crate) fn page<'a>(&'a self, ctx: &CallContext, input: &Value) -> Result<Page<'a>, ApiError> {
        let limit = input.get("maxResults").and_then(Value::as_u64);
        let limit = limit.map_or(DEFAULT_PAGE, |limit| usize::try_from(limit).unwrap_or(MAX_PAGE));
        let mut filter = input.as_object().cloned().unwrap_or_default();
        filter.remove("nextToken");
        filter.remove("maxResults");
        let scope = serde_json::json!([ctx.operation.name, ctx.account, ctx.region, filter]).to_string();
        let mut page = Page {
            tokens: self,
            scope,
            expires: ctx.now.saturating_add(TOKEN_LIFE),
            limit: limit.clamp(1, MAX_PAGE),
            after: None,
        };
        if let Some(token) = input.get("nextToken").and_then(Value::as_str) {
            let key = page.open(token, ctx.now);
            page.after = Some(key.ok_or_else(|| ApiError::invalid_request("invalid nextToken"))?);
        }
        Ok(page)
    }
}

impl Page<'_> {
    /// Rows to ask of the store: one more than wanted, which tells whether there is another page.
    pub(crate) fn fetch(&self) -> i64 {
        i64::try_from(self.limit).unwrap_or(0) + 1
    }

    /// The position as text, empty on the first page.
    pub(crate) fn after_text(&self) -> &str {
        self.after.as_deref().unwrap_or_default()
    }

    /// The answer: the items under `member`, and a token when `rows` holds more than the page. Each comes with its key.
    pub(crate) fn answer(&self, member: &str, mut rows: Vec<(String, Value)>) -> Value {
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let token = rows.last().filter(|_| more).map(|(key, _)| self.seal(key));
        let mut answer = Map::new();
        answer.insert(member.to_owned(), rows.into_iter().map(|(_, item)| item).collect());
        if let Some(token) = token {
            answer.insert("nextToken".to_owned(), token.into());
        }
        Value::Object(answer)
    }

    fn seal(&self, key: &str) -> String {
        let mut body = self.expires.as_micros().to_be_bytes().to_vec();
        body.extend_from_slice(key.as_bytes());
        let mut sealed = self.mac(&body).as_ref()[..MAC_BYTES].to_vec();
        sealed.extend_from_slice(&body);
        URL_SAFE_NO_PAD.encode(sealed)
    }

    fn open(&self, token: &str, now: Timestamp) -> Option<String> {
        let sealed = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (mac, body) = sealed.split_at_checked(MAC_BYTES)?;
        let wanted = self.mac(body);
        aws_lc_rs::constant_time::verify_slices_are_equal(mac, &wanted.as_ref()[..MAC_BYTES]).ok()?;
        let (expires, key) = body.split_first_chunk::<8>()?;
        if i64::from_be_bytes(*expires) < now.as_micros() {
            return None;
        }
        String::from_utf8(key.to_vec()).ok()
    }

    fn mac(&self, body: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.tokens.key);
        let length = u64::try_from(self.scope.len()).unwrap_or(u64::MAX);
        context.update(&length.to_be_bytes());
        context.update(self.scope.as_bytes());
        context.update(body);
        context.sign()
    }
}
