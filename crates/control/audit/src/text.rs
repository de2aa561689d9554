//! A record read back from its text: the members that lookups filter by and verification compares.

use marram_types::Timestamp;
use serde::Deserialize;

use crate::chain::resource_lines;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Text<'t> {
    #[serde(borrow)]
    pub(crate) event_time: std::borrow::Cow<'t, str>,
    pub(crate) aws_region: &'t str,
    #[serde(rename = "eventID")]
    pub(crate) event_id: &'t str,
    pub(crate) event_source: &'t str,
    pub(crate) event_name: &'t str,
    pub(crate) read_only: bool,
    pub(crate) management_event: bool,
    pub(crate) user_identity: Identity,
    #[serde(default)]
    resources: Vec<TouchedResource>,
    pub(crate) marram: Place<'t>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Identity {
    user_name: Option<String>,
    principal_id: Option<String>,
    pub(crate) access_key_id: Option<String>,
}

#[derive(Deserialize)]
struct TouchedResource {
    #[serde(rename = "ARN")]
    arn: String,
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Place<'t> {
    pub(crate) seq: u64,
    pub(crate) prev: &'t str,
}

impl Text<'_> {
    /// Name of the user, or of the session.
    pub(crate) fn username(&self) -> Option<&str> {
        let identity = &self.user_identity;
        let session = || identity.principal_id.as_deref().and_then(|id| Some(id.split_once(':')?.1));
        identity.user_name.as_deref().or_else(session)
    }

    /// As in the column `resources`.
    pub(crate) fn resources(&self) -> String {
        resource_lines(self.resources.iter().map(|resource| (resource.arn.as_str(), resource.kind.as_deref())))
    }

    /// The moment of the call to the millisecond, which the id begins with; the text tells whole seconds only.
    pub(crate) fn moment(&self) -> Option<Timestamp> {
        moment_of_id(self.event_id)
    }
}

/// The moment that a version 7 id begins with.
pub(crate) fn moment_of_id(id: &str) -> Option<Timestamp> {
    let id = uuid::Uuid::try_parse(id).ok()?;
    let (secs, nanos) = id.get_timestamp()?.to_unix();
    Some(Timestamp::from_millis(i64::try_from(secs).ok()? * 1000 + i64::from(nanos / 1_000_000)))
}
