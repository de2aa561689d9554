//! Reading requests: unknown members ignored, null means absent, blobs base64 (CR 6.5).

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;
use marram_edge_ports::PortError;
use serde::{Deserialize, Serialize, Serializer};

/// Text that is borrowed where the JSON has no escapes.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// Reads a request; an empty payload is `{}`.
pub(super) fn parse<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, PortError> {
    let payload = if payload.is_empty() { b"{}" } else { payload };
    serde_json::from_slice(payload).map_err(|error| PortError::InvalidArguments(format!("malformed request: {error}")))
}

/// A member that must be there.
pub(super) fn required<T>(value: Option<T>, member: &str) -> Result<T, PortError> {
    value.ok_or_else(|| PortError::InvalidArguments(format!("`{member}` must not be null")))
}

/// A text member that must be there and not empty.
pub(super) fn required_text(value: Option<String>, member: &str) -> Result<String, PortError> {
    match value {
        Some(text) if !text.is_empty() => Ok(text),
        Some(_) => Err(PortError::InvalidArguments(format!("`{member}` must not be empty"))),
        None => required(None, member),
    }
}

/// A blob.
pub(super) fn blob(text: &str, member: &str) -> Result<Bytes, PortError> {
    STANDARD
        .decode(text)
        .or_else(|_| STANDARD_NO_PAD.decode(text))
        .map(Bytes::from)
        .map_err(|_| PortError::InvalidArguments(format!("`{member}` is not base64")))
}

/// Bytes written as base64 text.
pub(super) struct Blob<'a>(pub(super) &'a [u8]);

impl Serialize for Blob<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&base64::display::Base64Display::new(self.0, &STANDARD))
    }
}
