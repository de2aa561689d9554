//! This side of the synchronisation: reading and changing a shadow together with what was agreed (core-components.md 3.5).

use marram_shadow::{Applied, Limits, MAX_DOCUMENT_BYTES_RAISED, Shadow, TopicBase, Update};
use marram_store::Tx;
use marram_types::ThingName;
use serde_json::{Map, Value, json};

use crate::answer::Refusal;
use crate::rows::{self, Agreed, Intent};
use crate::shadows::{Shadows, payload, push};
use crate::sync::merge::{State, state_of};

/// A shadow here, at one moment.
pub(crate) struct Here {
    /// None: there is none.
    pub(crate) state: Option<State>,
    /// Its version; that of the deleted one when there is none.
    pub(crate) version: u64,
    pub(crate) agreed: Option<Agreed>,
    /// Something was asked of the cloud, and its answer was not written down.
    pub(crate) intent: Option<Intent>,
}

impl Here {
    /// Changed since both sides agreed.
    pub(crate) fn is_changed(&self) -> bool {
        self.agreed.as_ref().is_none_or(|agreed| agreed.local_version != self.version)
    }
}

/// The shadow was changed meanwhile: look again.
pub(crate) struct Overtaken;

impl Shadows {
    /// The first `limit` names of a thing's named shadows.
    pub(crate) fn names_here(&self, thing: &ThingName, limit: i64) -> Result<Vec<String>, Refusal> {
        self.store().read(|snapshot| Ok(rows::names(snapshot, thing, "", limit)?))
    }

    pub(crate) fn here(&self, id: &TopicBase, keep_empty: bool) -> Result<Here, Refusal> {
        self.store().read(|snapshot| {
            let (shadow, version) = rows::load(snapshot, id)?;
            let agreed = rows::agreed(snapshot, id)?;
            let version = shadow.as_ref().map_or(version, |shadow| shadow.version);
            let state = shadow.map(|shadow| state_of(&shadow.document(0), keep_empty));
            let intent = rows::intent(snapshot, id)?;
            Ok(Here { state, version, agreed, intent })
        })
    }

    /// Keeps what both sides hold now.
    pub(crate) async fn agree(&self, id: &TopicBase, agreed: Option<Agreed>) -> Result<(), Refusal> {
        let id = id.clone();
        self.store().write(move |tx| Ok::<_, Refusal>(rows::agree(tx, &id, agreed.as_ref())?)).await
    }

    /// Writes down what the cloud is about to be asked for; none: it did not come to it.
    pub(crate) async fn intend(&self, id: &TopicBase, intent: Option<Intent>) -> Result<(), Refusal> {
        let id = id.clone();
        self.store().write(move |tx| Ok::<_, Refusal>(rows::intend(tx, &id, intent.as_ref())?)).await
    }

    /// Applies `patch` to the shadow as it was `seen`, and keeps `agreed` as what both sides hold, at the version the shadow
    /// then has unless another is named.
    pub(crate) async fn take_over(
        &self,
        id: &TopicBase,
        seen: &Here,
        patch: State,
        (state, cloud_version): (State, u64),
        local_version: Option<u64>,
    ) -> Result<Result<(), Overtaken>, Refusal> {
        let mut body = Map::new();
        body.insert("state".to_owned(), Value::Object(patch));
        // What the control plane took is taken here, whatever the limit for components is.
        let limits = Limits { document_bytes: MAX_DOCUMENT_BYTES_RAISED, ..Limits::default() };
        let update = Update::from_object(body, &limits)?;
        let update = if self.settings().strict_empty_objects { update } else { update.with_empty_as_missing() };
        let (id, untold, now) = (id.clone(), self.untold(), self.clock().now());
        let (version, existed) = (seen.version, seen.state.is_some());
        let done = self.store().write(move |tx: &mut Tx<'_>| {
            let (previous, last_version) = rows::load(tx, &id)?;
            if previous.as_ref().map_or(last_version, |shadow| shadow.version) != version
                || previous.is_some() != existed
            {
                return Ok(Err(Overtaken));
            }
            let applied = Shadow::apply(previous.as_ref(), last_version, &update, &limits, now.as_secs())?;
            let Applied { shadow, accepted, delta, mut documents } = applied;
            if previous.is_none() {
                documents["previous"] = Value::Null;
            }
            rows::put(tx, &id, &shadow, now)?;
            let local_version = local_version.unwrap_or(shadow.version);
            let agreed = Agreed { base: Some(state), local_version, cloud_version };
            rows::agree(tx, &id, Some(&agreed))?;
            let messages = [
                delta.map(|delta| (id.topic("update/delta"), payload(&delta))),
                Some((id.topic("update/documents"), payload(&documents))),
                Some((id.topic("update/accepted"), payload(&accepted))),
            ];
            tx.after_commit(move || push(&untold, messages.into_iter().flatten()));
            Ok::<_, Refusal>(Ok(()))
        });
        let done = done.await?;
        self.tell();
        Ok(done)
    }

    /// Deletes the shadow as it was `seen`, because the other side did.
    pub(crate) async fn give_up(
        &self,
        id: &TopicBase,
        seen: &Here,
        cloud_version: u64,
    ) -> Result<Result<(), Overtaken>, Refusal> {
        let (id, untold, now, version) = (id.clone(), self.untold(), self.clock().now(), seen.version);
        let done = self.store().write(move |tx: &mut Tx<'_>| {
            match rows::load(tx, &id)? {
                (Some(shadow), _) if shadow.version == version => {}
                _ => return Ok(Err(Overtaken)),
            }
            rows::bury(tx, &id, now)?;
            let agreed = Agreed { base: None, local_version: version + 1, cloud_version };
            rows::agree(tx, &id, Some(&agreed))?;
            let message = payload(&json!({"version": version, "timestamp": now.as_secs()}));
            tx.after_commit(move || push(&untold, [(id.topic("delete/accepted"), message)]));
            Ok::<_, Refusal>(Ok(()))
        });
        let done = done.await?;
        self.tell();
        Ok(done)
    }
}
