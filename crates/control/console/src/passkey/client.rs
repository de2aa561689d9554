//! `clientDataJSON`: what the browser says about the page that asked.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use marram_aws_api::decode::json;
use serde_json::Value;

use super::MAX_PIECE;
use super::ceremony::Refusal;

/// The members that are believed (WebAuthn 5.8.1).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientData {
    /// `webauthn.create` or `webauthn.get`.
    pub(crate) kind: String,
    pub(crate) challenge: Vec<u8>,
    /// `https://host:port` of the page.
    pub(crate) origin: String,
    /// The page was in a frame of somebody else's.
    pub(crate) cross_origin: bool,
}

impl ClientData {
    /// Reads it; members nobody knows are left alone, as the specification demands.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub(crate) fn parse(bytes: &[u8]) -> Result<ClientData, Refusal> {
        const WRONG: Refusal = Refusal::Malformed("client data");
        if bytes.len() > MAX_PIECE {
            return Err(WRONG);
        }
        let Ok(Value::Object(members)) = json::parse_body(bytes) else { return Err(WRONG) };
        let text = |name: &str| members.get(name).and_then(Value::as_str).ok_or(WRONG);
        let cross_origin = match members.get("crossOrigin") {
            None => false,
            Some(Value::Bool(cross)) => *cross,
            Some(_) => return Err(WRONG),
        };
        Ok(ClientData {
            kind: text("type")?.to_owned(),
            challenge: URL_SAFE_NO_PAD.decode(text("challenge")?).map_err(|_| WRONG)?,
            origin: text("origin")?.to_owned(),
            // Only a page within somebody else's has a top origin of its own.
            cross_origin: cross_origin || members.contains_key("topOrigin"),
        })
    }
}
