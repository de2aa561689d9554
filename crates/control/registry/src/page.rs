//! Pages of lists: keyset positions in signed, opaque tokens (CP 1.6).
//!
//! A token holds the last key of its page and a MAC over service, operation, account, region, filter, expiry and key.
//! Replayed on another list, filter or account, or a day later, it is refused.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use marram_aws_api::ApiError;
use marram_identity::CallContext;
use serde_json::{Map, Value};

use crate::input::Input;

/// Items of a page when the caller names no number.
const DEFAULT_PAGE: i64 = 25;
/// Largest page (CP 1.6).
const MAX_PAGE: i64 = 250;
/// Life of a token, in seconds (CP 1.6).
const TOKEN_LIFE_SECS: i64 = 86_400;
/// Bytes of the MAC kept: 128 bits.
const MAC_BYTES: usize = 16;
/// Longest key part of a token, in bytes: an attribute value has 800.
const MAX_PART: usize = 1024;
/// Sorts behind every name; where a descending list begins.
pub(crate) const BEHIND_ALL: &str = "\u{10ffff}";

/// How an operation spells its paging members.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Style {
    /// `nextToken`, `maxResults` and `nextToken`.
    NextToken,
    /// `marker`, `pageSize` and `nextMarker`.
    Marker,
}

/// Signs and reads tokens.
#[derive(Debug)]
pub(crate) struct Tokens {
    key: hmac::Key,
}

/// The page a caller asked for.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    tokens: &'a Tokens,
    scope: Vec<u8>,
    style: Style,
    now: i64,
    /// Items wanted.
    pub(crate) limit: usize,
    after: Vec<String>,
}

impl Tokens {
    /// Derives the signing key from a secret of the installation, so that tokens survive a restart.
    pub(crate) fn derived_from(secret: &[u8]) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = hmac::sign(&root, b"marram registry page tokens v1");
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()) }
    }

    /// Reads the paging members of a request. `filter` is everything that narrows or orders the list.
    pub(crate) fn page<'a>(
        &'a self,
        ctx: &CallContext,
        input: &Input,
        style: Style,
        filter: &[&str],
    ) -> Result<Page<'a>, ApiError> {
        let (token, limit) = match style {
            Style::NextToken => (input.text("nextToken"), input.integer("maxResults")),
            Style::Marker => (input.text("marker"), input.integer("pageSize")),
        };
        let limit = limit.unwrap_or(DEFAULT_PAGE);
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(ApiError::invalid_request(format!("The page size must be from 1 to {MAX_PAGE}")));
        }
        let mut scope = Vec::with_capacity(128);
        for part in [ctx.operation.service.as_str(), ctx.operation.name, ctx.account.as_str(), ctx.region.as_str()]
            .iter()
            .chain(filter)
        {
            put(&mut scope, part);
        }
        let mut page = Page {
            tokens: self,
            scope,
            style,
            now: ctx.now.as_secs(),
            limit: usize::try_from(limit).unwrap_or(1),
            after: Vec::new(),
        };
        if let Some(token) = token.filter(|token| !token.is_empty()) {
            page.after = page.open(token).ok_or_else(|| ApiError::invalid_request("invalid nextToken"))?;
        }
        Ok(page)
    }
}

impl Page<'_> {
    /// Rows to ask of the store: one more than wanted, which tells whether there is another page.
    pub(crate) fn fetch(&self) -> i64 {
        i64::try_from(self.limit).unwrap_or(MAX_PAGE) + 1
    }

    /// Part `index` of the position, empty at the start of an ascending list.
    pub(crate) fn after(&self, index: usize) -> &str {
        self.after.get(index).map_or("", String::as_str)
    }

    /// As [`Page::after`] for lists of either direction.
    pub(crate) fn from(&self, index: usize, ascending: bool) -> &str {
        self.after.get(index).map_or(if ascending { "" } else { BEHIND_ALL }, String::as_str)
    }

    /// Part `index` of the position as a number; the far end of the direction at the start.
    pub(crate) fn number_from(&self, index: usize, ascending: bool) -> i64 {
        let start = if ascending { i64::MIN } else { i64::MAX };
        self.after.get(index).and_then(|text| text.parse().ok()).unwrap_or(start)
    }

    /// The answer: the items under `member`, and a token when `rows` holds more than the page. Each row comes with the
    /// parts of its key.
    pub(crate) fn answer<K: AsRef<[String]>>(&self, member: &str, mut rows: Vec<(K, Value)>) -> Value {
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let token = match rows.last() {
            Some((key, _)) if more => Some(self.seal(key.as_ref())),
            _ => None,
        };
        let mut answer = Map::new();
        answer.insert(member.to_owned(), rows.into_iter().map(|(_, item)| item).collect());
        if let Some(token) = token {
            let name = match self.style {
                Style::NextToken => "nextToken",
                Style::Marker => "nextMarker",
            };
            answer.insert(name.to_owned(), token.into());
        }
        Value::Object(answer)
    }

    fn seal(&self, key: &[String]) -> String {
        let mut body = (self.now + TOKEN_LIFE_SECS).to_be_bytes().to_vec();
        for part in key {
            put(&mut body, part);
        }
        let mut sealed = self.mac(&body).as_ref()[..MAC_BYTES].to_vec();
        sealed.extend_from_slice(&body);
        STANDARD.encode(sealed)
    }

    fn open(&self, token: &str) -> Option<Vec<String>> {
        let sealed = STANDARD.decode(token).ok()?;
        let (mac, body) = sealed.split_at_checked(MAC_BYTES)?;
        let wanted = self.mac(body);
        aws_lc_rs::constant_time::verify_slices_are_equal(mac, &wanted.as_ref()[..MAC_BYTES]).ok()?;
        let (expiry, mut rest) = body.split_first_chunk::<8>()?;
        if i64::from_be_bytes(*expiry) < self.now {
            return None;
        }
        let mut parts = Vec::new();
        while !rest.is_empty() {
            let (length, after) = rest.split_first_chunk::<2>()?;
            let (part, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            parts.push(String::from_utf8(part.to_vec()).ok()?);
            rest = after;
        }
        Some(parts)
    }

    fn mac(&self, body: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.tokens.key);
        context.update(&u32::try_from(self.scope.len()).unwrap_or(u32::MAX).to_be_bytes());
        context.update(&self.scope);
        context.update(body);
        context.sign()
    }
}

/// Appends a text with its length in front, so that parts cannot run into each other.
fn put(bytes: &mut Vec<u8>, part: &str) {
    let cut = part.floor_char_boundary(MAX_PART);
    let length = u16::try_from(cut).unwrap_or(0);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&part.as_bytes()[..cut]);
}
