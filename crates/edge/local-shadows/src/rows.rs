//! The table: one row per shadow, living or deleted. The classic shadow has the empty name.

use marram_shadow::{Shadow, TopicBase};
use marram_store::{Migration, Snapshot, StoreError, Tx, params};
use marram_types::{ShadowName, ThingName, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The schema; [`crate::Shadows::new`] expects it to be there.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        component: "local-shadows",
        number: 1,
        sql: "CREATE TABLE local_shadow (
        thing TEXT NOT NULL, name TEXT NOT NULL,
        document TEXT, version BIGINT NOT NULL, updated_at BIGINT NOT NULL,
        PRIMARY KEY (thing, name)
    ) WITHOUT ROWID;
    CREATE INDEX local_shadow_deleted ON local_shadow (updated_at) WHERE document IS NULL",
    },
    Migration {
        component: "local-shadows",
        number: 2,
        sql: "CREATE TABLE local_shadow_sync (
            thing TEXT NOT NULL, name TEXT NOT NULL,
            base TEXT, local_version BIGINT NOT NULL, cloud_version BIGINT NOT NULL,
            PRIMARY KEY (thing, name)
        ) WITHOUT ROWID;
        CREATE TABLE local_shadow_intent (
            thing TEXT NOT NULL, name TEXT NOT NULL, intent TEXT NOT NULL, PRIMARY KEY (thing, name)
        ) WITHOUT ROWID",
    },
];

/// Deleted shadows whose version is remembered; the oldest are forgotten first.
pub(crate) const DELETED_MAX: i64 = 4096;

/// The document, and the version to go on from when it is gone.
pub(crate) fn load(snapshot: &Snapshot<'_>, id: &TopicBase) -> Result<(Option<Shadow>, u64), StoreError> {
    let row = snapshot.query_opt(
        "SELECT document, version FROM local_shadow WHERE thing = $1 AND name = $2",
        params![id.thing, stored_name(id)],
        |row| Ok::<_, StoreError>((row.get::<Option<String>>(0)?, row.get::<u64>(1)?)),
    )?;
    match row {
        None => Ok((None, 0)),
        Some((None, version)) => Ok((None, version)),
        Some((Some(text), version)) => {
            let unreadable = StoreError::Column { column: 0, expected: "a shadow document" };
            Ok((Some(serde_json::from_str(&text).map_err(|_| unreadable)?), version))
        }
    }
}

pub(crate) fn put(tx: &mut Tx<'_>, id: &TopicBase, shadow: &Shadow, now: Timestamp) -> Result<(), StoreError> {
    let text = serde_json::to_string(shadow).expect("trees of JSON values can be written");
    tx.execute(
        "INSERT INTO local_shadow (thing, name, document, version, updated_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (thing, name) DO UPDATE
         SET document = excluded.document, version = excluded.version, updated_at = excluded.updated_at",
        params![id.thing, stored_name(id), text, i64::try_from(shadow.version).unwrap_or(i64::MAX), now],
    )?;
    Ok(())
}

/// The document goes, its version stays, one higher: deleting counts as a change.
pub(crate) fn bury(tx: &mut Tx<'_>, id: &TopicBase, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE local_shadow SET document = NULL, version = version + 1, updated_at = $3 WHERE thing = $1 AND name = $2",
        params![id.thing, stored_name(id), now],
    )?;
    tx.execute(
        "DELETE FROM local_shadow WHERE document IS NULL AND updated_at < coalesce((SELECT updated_at FROM local_shadow
            WHERE document IS NULL ORDER BY updated_at DESC LIMIT 1 OFFSET $1), 0)",
        params![DELETED_MAX],
    )?;
    Ok(())
}

/// Names of named shadows behind `after`.
pub(crate) fn names(
    snapshot: &Snapshot<'_>,
    thing: &ThingName,
    after: &str,
    limit: i64,
) -> Result<Vec<String>, StoreError> {
    snapshot.query_all(
        "SELECT name FROM local_shadow WHERE thing = $1 AND name > $2 AND document IS NOT NULL ORDER BY name LIMIT $3",
        params![thing, after, limit],
        |row| row.get(0),
    )
}

/// What both sides held when they last agreed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Agreed {
    /// The state; none: both had no shadow.
    pub(crate) base: Option<Map<String, Value>>,
    /// Version here.
    pub(crate) local_version: u64,
    /// Version there.
    pub(crate) cloud_version: u64,
}

pub(crate) fn agreed(snapshot: &Snapshot<'_>, id: &TopicBase) -> Result<Option<Agreed>, StoreError> {
    snapshot.query_opt(
        "SELECT base, local_version, cloud_version FROM local_shadow_sync WHERE thing = $1 AND name = $2",
        params![id.thing, stored_name(id)],
        |row| {
            let base = row.get::<Option<String>>(0)?.map(|text| serde_json::from_str(&text)).transpose();
            let unreadable = StoreError::Column { column: 0, expected: "a state" };
            Ok(Agreed { base: base.map_err(|_| unreadable)?, local_version: row.get(1)?, cloud_version: row.get(2)? })
        },
    )
}

/// What the cloud was asked for and may hold by now, without this side knowing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Intent {
    /// State and version here when it was asked.
    pub(crate) local: Map<String, Value>,
    pub(crate) local_version: u64,
    /// State and version there; 0: there was none.
    pub(crate) cloud: Map<String, Value>,
    pub(crate) cloud_version: u64,
    /// The state both sides are to have.
    pub(crate) target: Map<String, Value>,
}

pub(crate) fn intent(snapshot: &Snapshot<'_>, id: &TopicBase) -> Result<Option<Intent>, StoreError> {
    snapshot.query_opt(
        "SELECT intent FROM local_shadow_intent WHERE thing = $1 AND name = $2",
        params![id.thing, stored_name(id)],
        |row| {
            let unreadable = StoreError::Column { column: 0, expected: "an intent" };
            serde_json::from_str(&row.get::<String>(0)?).map_err(|_| unreadable)
        },
    )
}

pub(crate) fn intend(tx: &mut Tx<'_>, id: &TopicBase, intent: Option<&Intent>) -> Result<(), StoreError> {
    match intent {
        None => tx.execute(
            "DELETE FROM local_shadow_intent WHERE thing = $1 AND name = $2",
            params![id.thing, stored_name(id)],
        )?,
        Some(intent) => tx.execute(
            "INSERT INTO local_shadow_intent (thing, name, intent) VALUES ($1, $2, $3)
             ON CONFLICT (thing, name) DO UPDATE SET intent = excluded.intent",
            params![
                id.thing,
                stored_name(id),
                serde_json::to_string(intent).expect("trees of JSON values can be written")
            ],
        )?,
    };
    Ok(())
}

/// Writes down the agreement; what was intended is done with it.
pub(crate) fn agree(tx: &mut Tx<'_>, id: &TopicBase, agreed: Option<&Agreed>) -> Result<(), StoreError> {
    intend(tx, id, None)?;
    let Some(agreed) = agreed else {
        tx.execute("DELETE FROM local_shadow_sync WHERE thing = $1 AND name = $2", params![id.thing, stored_name(id)])?;
        return Ok(());
    };
    let base = agreed.base.as_ref().map(|base| Value::Object(base.clone()).to_string());
    let whole = |version: u64| i64::try_from(version).unwrap_or(i64::MAX);
    tx.execute(
        "INSERT INTO local_shadow_sync (thing, name, base, local_version, cloud_version) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (thing, name) DO UPDATE
         SET base = excluded.base, local_version = excluded.local_version, cloud_version = excluded.cloud_version",
        params![id.thing, stored_name(id), base, whole(agreed.local_version), whole(agreed.cloud_version)],
    )?;
    Ok(())
}

fn stored_name(id: &TopicBase) -> &str {
    id.name.as_ref().map_or("", ShadowName::as_str)
}
