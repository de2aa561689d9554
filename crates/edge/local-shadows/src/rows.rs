//! The table: one row per shadow, living or deleted. The classic shadow has the empty name.

use marram_shadow::{Shadow, TopicBase};
use marram_store::{Migration, Snapshot, StoreError, Tx, params};
use marram_types::{ShadowName, ThingName, Timestamp};

/// The schema; [`crate::Shadows::new`] expects it to be there.
pub const MIGRATIONS: &[Migration] = &[Migration {
    component: "local-shadows",
    number: 1,
    sql: "CREATE TABLE local_shadow (
        thing TEXT NOT NULL, name TEXT NOT NULL,
        document TEXT, version BIGINT NOT NULL, updated_at BIGINT NOT NULL,
        PRIMARY KEY (thing, name)
    ) WITHOUT ROWID;
    CREATE INDEX local_shadow_deleted ON local_shadow (updated_at) WHERE document IS NULL",
}];

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

fn stored_name(id: &TopicBase) -> &str {
    id.name.as_ref().map_or("", ShadowName::as_str)
}
