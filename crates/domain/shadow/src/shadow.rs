//! The document and what a request makes of it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::delta::{Delta, delta};
use crate::error::ShadowError;
use crate::limits::Limits;
use crate::merge::{merge, stamps};
use crate::update::{Change, Update};

/// One section: `desired` or `reported`. Empty when absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// The tree.
    pub state: Map<String, Value>,
    /// Its mirror with `{"timestamp": seconds}` at the leaves.
    pub metadata: Map<String, Value>,
}

/// A shadow document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Shadow {
    /// What applications want.
    #[serde(rename = "d", default)]
    pub desired: Section,
    /// What the device says it is.
    #[serde(rename = "r", default)]
    pub reported: Section,
    /// Counts accepted updates; the first is 1.
    #[serde(rename = "v")]
    pub version: u64,
}

/// What an accepted update leads to; `to be published` in this order.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The new document.
    pub shadow: Shadow,
    /// Payload of `update/accepted`: the request's own fields.
    pub accepted: Value,
    /// Payload of `update/delta`, when there is a difference.
    pub delta: Option<Value>,
    /// Payload of `update/documents`.
    pub documents: Value,
}

impl Shadow {
    /// Applies an update at `now`, seconds since the epoch. `previous` is the stored document; `last_version` the version of
    /// one deleted not long ago, which the new one continues.
    ///
    /// # Errors
    /// [`ShadowError::VersionConflict`], [`ShadowError::TooLarge`].
    pub fn apply(
        previous: Option<&Shadow>,
        last_version: u64,
        update: &Update,
        limits: &Limits,
        now: i64,
    ) -> Result<Applied, ShadowError> {
        let current = previous.map_or(last_version, |shadow| shadow.version);
        // A shadow that is not there has version 0, which no request can expect.
        if update.version.is_some_and(|expected| previous.is_none() || expected != current) {
            return Err(ShadowError::VersionConflict);
        }
        let mut shadow = previous.cloned().unwrap_or_default();
        shadow.desired.change(&update.desired, update.empty_is_missing, now);
        shadow.reported.change(&update.reported, update.empty_is_missing, now);
        shadow.version = current + 1;
        if serde_json::to_vec(&shadow.state()).map_or(usize::MAX, |text| text.len()) > limits.document_bytes {
            return Err(ShadowError::TooLarge);
        }
        let token = update.client_token.as_deref();
        let delta = shadow.delta().map(|delta| {
            with_token(
                json!({"version": shadow.version, "timestamp": now, "state": delta.state, "metadata": delta.metadata}),
                token,
            )
        });
        let documents = with_token(
            json!({
                "previous": previous.map_or_else(|| json!({"state": {}, "metadata": {}}), Shadow::plain),
                "current": shadow.plain(),
                "timestamp": now,
            }),
            token,
        );
        let accepted = accepted(update, shadow.version, now);
        Ok(Applied { shadow, accepted, delta, documents })
    }

    /// The full document of `get`: state with the delta, metadata, version, timestamp.
    pub fn document(&self, now: i64) -> Value {
        let mut state = self.state();
        let mut metadata = self.metadata();
        if let Some(delta) = self.delta() {
            state.insert("delta".to_owned(), Value::Object(delta.state));
            metadata.insert("delta".to_owned(), Value::Object(delta.metadata));
        }
        json!({"state": state, "metadata": metadata, "version": self.version, "timestamp": now})
    }

    /// What is desired and not reported.
    pub fn delta(&self) -> Option<Delta> {
        delta(&self.desired.state, &self.desired.metadata, &self.reported.state)
    }

    /// The document without delta and timestamp, as `update/documents` shows it.
    fn plain(&self) -> Value {
        json!({"state": self.state(), "metadata": self.metadata(), "version": self.version})
    }

    fn state(&self) -> Map<String, Value> {
        self.sections(|section| &section.state)
    }

    fn metadata(&self) -> Map<String, Value> {
        self.sections(|section| &section.metadata)
    }

    /// Sections that are empty are not shown.
    fn sections(&self, part: impl Fn(&Section) -> &Map<String, Value>) -> Map<String, Value> {
        let sections = [("desired", &self.desired), ("reported", &self.reported)];
        sections
            .into_iter()
            .filter(|(_, section)| !section.state.is_empty())
            .map(|(name, section)| (name.to_owned(), Value::Object(part(section).clone())))
            .collect()
    }
}

impl Section {
    fn change(&mut self, change: &Change, drop_empty: bool, now: i64) {
        match change {
            Change::Keep => {}
            Change::Remove => *self = Self::default(),
            Change::Merge(tree) if tree.is_empty() && drop_empty => *self = Self::default(),
            Change::Merge(tree) => merge(&mut self.state, &mut self.metadata, tree, drop_empty, now),
        }
    }
}

/// `update/accepted`: the fields of the request, as they were sent.
fn accepted(update: &Update, version: u64, now: i64) -> Value {
    let (mut state, mut metadata) = (Map::new(), Map::new());
    for (name, change) in [("desired", &update.desired), ("reported", &update.reported)] {
        match change {
            Change::Keep => {}
            Change::Remove => {
                state.insert(name.to_owned(), Value::Null);
            }
            Change::Merge(tree) => {
                state.insert(name.to_owned(), Value::Object(tree.clone()));
                metadata.insert(name.to_owned(), Value::Object(stamps(tree, now)));
            }
        }
    }
    let state = if update.clears { Value::Null } else { Value::Object(state) };
    with_token(
        json!({"state": state, "metadata": metadata, "version": version, "timestamp": now}),
        update.client_token.as_deref(),
    )
}

pub(crate) fn with_token(mut body: Value, token: Option<&str>) -> Value {
    if let Some(token) = token {
        body["clientToken"] = token.into();
    }
    body
}
