//! The documents: reading and changing them, and telling subscribers.

use std::sync::Arc;

use marram_aws_api::ApiError;
use marram_broker::Message;
use marram_identity::{CallError, Identity, SystemContext};
use marram_mqtt::{QoS, Topic};
use marram_registry::{Outbox, Realm};
use marram_shadow::{Applied, DELETED_VERSION_KEPT_SECS, Limits, Shadow, ShadowError, TopicBase, Update};
use marram_store::{Snapshot, Tx, params};
use marram_types::{ShadowName, ThingName, Timestamp};
use serde_json::{Value, json};

use crate::error::api;
use crate::flight::{Flight, Flights};

/// Who works when no caller of the API does.
const ACTOR: &str = "iot.amazonaws.com";

/// What an installation decides about shadows.
#[derive(Debug, Clone, Copy, Default)]
pub struct ShadowsOptions {
    /// Size and depth of documents.
    pub limits: Limits,
}

/// Shadows of every account. A cheap clone.
#[derive(Clone, Debug)]
pub struct Shadows {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    identity: Identity,
    outbox: Outbox,
    options: ShadowsOptions,
    flights: Arc<Flights>,
}

impl Shadows {
    /// Shadows whose messages go through `outbox`; the tables must have been migrated ([`crate::MIGRATIONS`]).
    pub fn new(identity: Identity, outbox: Outbox, options: ShadowsOptions) -> Self {
        Self { inner: Arc::new(Inner { identity, outbox, options, flights: Arc::default() }) }
    }

    /// The full document, with delta and metadata.
    ///
    /// # Errors
    /// `ResourceNotFoundException`, or the store's.
    pub fn get(&self, realm: &Realm, id: &TopicBase) -> Result<Value, ApiError> {
        let system = self.system(realm);
        Ok(system.read(|snapshot| read_document(snapshot, realm, id, system.now()))?)
    }

    /// Changes a shadow in the name of a service, as a device's update would: the same rules and the same messages. Answers
    /// the payload of `update/accepted`.
    ///
    /// # Errors
    /// The modelled exceptions of `UpdateThingShadow`.
    pub async fn update(&self, realm: &Realm, id: &TopicBase, body: Value) -> Result<Value, ApiError> {
        let Value::Object(body) = body else { return Err(api(&ShadowError::InvalidJson)) };
        let update = Update::from_object(body, self.limits()).map_err(|error| api(&error))?;
        self.apply(realm, id, update).await
    }

    /// Deletes a shadow in the name of a service. Answers the payload of `delete/accepted`.
    ///
    /// # Errors
    /// `ResourceNotFoundException`, or the store's.
    pub async fn delete(&self, realm: &Realm, id: &TopicBase) -> Result<Value, ApiError> {
        self.remove(realm, id, None).await
    }

    /// Applies a checked update.
    pub(crate) async fn apply(&self, realm: &Realm, id: &TopicBase, update: Update) -> Result<Value, ApiError> {
        let system = self.system(realm);
        let (now, change) = (system.now(), self.change(realm, id, update));
        // A change of data, not of control: the topic policy or the calling service has decided, and each message is no
        // audit event (CP 10.2).
        system.commit_unrecorded(move |tx| change(tx, now)).await
    }

    /// Deletes, echoing a token.
    pub(crate) async fn remove(&self, realm: &Realm, id: &TopicBase, token: Option<String>) -> Result<Value, ApiError> {
        let system = self.system(realm);
        let (now, removal) = (system.now(), self.removal(realm, id, token));
        system.commit_unrecorded(move |tx| removal(tx, now)).await
    }

    /// The transaction of an update; answers `update/accepted`.
    pub(crate) fn change(
        &self,
        realm: &Realm,
        id: &TopicBase,
        update: Update,
    ) -> impl FnOnce(&mut Tx<'_>, Timestamp) -> Result<Value, CallError> + Send + use<> {
        let (shadows, realm, id) = (self.clone(), realm.clone(), id.clone());
        move |tx, now| {
            let (previous, last_version) = load(tx, &realm, &id, now)?;
            let applied = Shadow::apply(previous.as_ref(), last_version, &update, shadows.limits(), now.as_secs())
                .map_err(|error| api(&error))?;
            store(tx, &realm, &id, &applied.shadow, now)?;
            let Applied { accepted, delta, documents, .. } = applied;
            let mut messages = vec![message(&id, "update/accepted", &accepted)];
            messages.extend(delta.map(|delta| message(&id, "update/delta", &delta)));
            messages.push(message(&id, "update/documents", &documents));
            shadows.inner.outbox.publish_after(tx, &realm, messages.into_iter().flatten().collect());
            Ok(accepted)
        }
    }

    /// The transaction of a deletion; answers `delete/accepted`.
    pub(crate) fn removal(
        &self,
        realm: &Realm,
        id: &TopicBase,
        token: Option<String>,
    ) -> impl FnOnce(&mut Tx<'_>, Timestamp) -> Result<Value, CallError> + Send + use<> {
        let (outbox, realm, id) = (self.inner.outbox.clone(), realm.clone(), id.clone());
        move |tx, now| {
            let (Some(shadow), _) = load(tx, &realm, &id, now)? else { return Err(not_found(&id).into()) };
            tx.execute(
                "UPDATE iot_shadow SET document = NULL, updated_at = $5
                 WHERE account = $1 AND region = $2 AND thing = $3 AND name = $4",
                params![realm.account, realm.region, id.thing, stored_name(&id), now],
            )?;
            tx.execute(
                "DELETE FROM iot_shadow WHERE document IS NULL AND updated_at < $1",
                params![Timestamp::from_secs(now.as_secs() - DELETED_VERSION_KEPT_SECS)],
            )?;
            let mut accepted = json!({"version": shadow.version, "timestamp": now.as_secs()});
            if let Some(token) = token {
                accepted["clientToken"] = token.into();
            }
            let message = message(&id, "delete/accepted", &accepted);
            outbox.publish_after(tx, &realm, message.into_iter().collect());
            Ok(accepted)
        }
    }

    /// Counts a request until the answer is dropped.
    pub(crate) fn enter(&self, realm: &Realm, thing: &ThingName) -> Result<Flight, ApiError> {
        self.inner.flights.enter(realm, thing).map_err(|error| api(&error))
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.inner.options.limits
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.inner.outbox
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    fn system(&self, realm: &Realm) -> SystemContext {
        self.inner.identity.system(ACTOR, realm.account.clone(), realm.region.clone())
    }
}

/// The document of `get`.
pub(crate) fn read_document(
    snapshot: &Snapshot<'_>,
    realm: &Realm,
    id: &TopicBase,
    now: Timestamp,
) -> Result<Value, CallError> {
    match load(snapshot, realm, id, now)?.0 {
        Some(shadow) => Ok(shadow.document(now.as_secs())),
        None => Err(not_found(id).into()),
    }
}

/// Names of the named shadows of a thing behind `after`.
pub(crate) fn read_names(
    snapshot: &Snapshot<'_>,
    realm: &Realm,
    thing: &ThingName,
    after: &str,
    limit: i64,
) -> Result<Vec<String>, CallError> {
    snapshot.query_all(
        "SELECT name FROM iot_shadow
         WHERE account = $1 AND region = $2 AND thing = $3 AND name > $4 AND document IS NOT NULL
         ORDER BY name LIMIT $5",
        params![realm.account, realm.region, thing, after, limit],
        |row| Ok(row.get(0)?),
    )
}

/// A message about a shadow. Answers are QoS 1, so that a session that was away for a moment still hears them.
pub(crate) fn message(id: &TopicBase, suffix: &str, body: &Value) -> Option<Message> {
    let topic = Topic::new(&id.topic(suffix)).ok()?;
    Some(Message::new(topic, body.to_string()).with_qos(QoS::AtLeastOnce))
}

/// The classic shadow has the empty name, which no named one can have.
fn stored_name(id: &TopicBase) -> &str {
    id.name.as_ref().map_or("", ShadowName::as_str)
}

fn not_found(id: &TopicBase) -> ApiError {
    api(&ShadowError::NotFound { name: id.shown() })
}

/// The document, and the version to go on from when it was deleted a short while ago.
fn load(
    snapshot: &Snapshot<'_>,
    realm: &Realm,
    id: &TopicBase,
    now: Timestamp,
) -> Result<(Option<Shadow>, u64), CallError> {
    let row = snapshot.query_opt(
        "SELECT document, version, updated_at FROM iot_shadow
         WHERE account = $1 AND region = $2 AND thing = $3 AND name = $4",
        params![realm.account, realm.region, id.thing, stored_name(id)],
        |row| Ok::<_, CallError>((row.get::<Option<String>>(0)?, row.get::<u64>(1)?, row.get::<Timestamp>(2)?)),
    )?;
    match row {
        None => Ok((None, 0)),
        Some((Some(text), version, _)) => {
            let shadow = serde_json::from_str(&text).map_err(|error| {
                tracing::error!(%error, thing = %id.thing, "a stored shadow cannot be read");
                ApiError::internal()
            })?;
            Ok((Some(shadow), version))
        }
        Some((None, version, deleted)) if now.as_secs() - deleted.as_secs() < DELETED_VERSION_KEPT_SECS => {
            Ok((None, version))
        }
        Some((None, ..)) => Ok((None, 0)),
    }
}

fn store(tx: &mut Tx<'_>, realm: &Realm, id: &TopicBase, shadow: &Shadow, now: Timestamp) -> Result<(), CallError> {
    let text = serde_json::to_string(shadow).map_err(|_| ApiError::internal())?;
    tx.execute(
        "INSERT INTO iot_shadow (account, region, thing, name, document, version, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (account, region, thing, name) DO UPDATE
         SET document = excluded.document, version = excluded.version, updated_at = excluded.updated_at",
        params![
            realm.account,
            realm.region,
            id.thing,
            stored_name(id),
            text,
            i64::try_from(shadow.version).unwrap_or(i64::MAX),
            now
        ],
    )?;
    Ok(())
}
