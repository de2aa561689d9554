//! Rows, and values sealed and opened.

use std::collections::BTreeMap;

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::{Row, Snapshot, StoreError, Tx, params};
use marram_types::{AccountId, Partition, Region, Timestamp};
use zeroize::Zeroizing;

/// The account and region of a call.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    partition: Partition,
    pub(crate) account: AccountId,
    pub(crate) region: Region,
}

/// A secret without its values.
#[derive(Clone, Debug)]
pub(crate) struct Secret {
    pub(crate) name: String,
    /// Six random characters: a secret made again under its name has another ARN.
    pub(crate) suffix: String,
    pub(crate) description: Option<String>,
    pub(crate) kms_key: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) changed_at: Timestamp,
    pub(crate) deleted_at: Option<Timestamp>,
    pub(crate) delete_after: Option<Timestamp>,
}

/// A value in the clear: wiped when it goes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Plain {
    pub(crate) is_text: bool,
    pub(crate) bytes: Zeroizing<Vec<u8>>,
}

/// Versions of a secret with their stages.
pub(crate) type Stages = BTreeMap<String, Vec<String>>;

impl Place {
    pub(crate) fn of(ctx: &CallContext) -> Self {
        Self { partition: ctx.partition.clone(), account: ctx.account.clone(), region: ctx.region.clone() }
    }

    /// The ARN of a secret.
    pub(crate) fn arn(&self, name: &str, suffix: &str) -> String {
        format!("{}-{suffix}", self.bare_arn(name))
    }

    /// Without the random characters.
    pub(crate) fn bare_arn(&self, name: &str) -> String {
        format!("arn:{}:secretsmanager:{}:{}:secret:{name}", self.partition, self.region, self.account)
    }

    /// What a sealed value is bound to.
    pub(crate) fn bound(&self, secret: &Secret, version: &str) -> Vec<u8> {
        format!("{}\0{version}", self.arn(&secret.name, &secret.suffix)).into_bytes()
    }
}

impl Secret {
    /// Its time of recovery is over.
    pub(crate) fn is_gone(&self, now: Timestamp) -> bool {
        self.delete_after.is_some_and(|moment| moment <= now)
    }

    /// Refuses what cannot be done to a secret that waits for its end.
    pub(crate) fn must_live(&self) -> Result<(), ApiError> {
        if self.deleted_at.is_none() {
            return Ok(());
        }
        Err(ApiError::invalid_request(
            "You can't perform this operation on the secret because it was marked for deletion.",
        ))
    }
}

const COLUMNS: &str = "name, suffix, description, kms_key, created_at, changed_at, deleted_at, delete_after";

fn secret(row: &Row<'_>) -> Result<Secret, CallError> {
    Ok(Secret {
        name: row.get(0)?,
        suffix: row.get(1)?,
        description: row.get(2)?,
        kms_key: row.get(3)?,
        created_at: row.get(4)?,
        changed_at: row.get(5)?,
        deleted_at: row.get(6)?,
        delete_after: row.get(7)?,
    })
}

pub(crate) fn read_secret(snapshot: &Snapshot<'_>, at: &Place, name: &str) -> Result<Option<Secret>, CallError> {
    snapshot.query_opt(
        &format!("SELECT {COLUMNS} FROM secret WHERE account = $1 AND region = $2 AND name = $3"),
        params![at.account, at.region, name],
        secret,
    )
}

/// Every secret of the account and region, by name.
pub(crate) fn all_secrets(snapshot: &Snapshot<'_>, at: &Place) -> Result<Vec<Secret>, CallError> {
    snapshot.query_all(
        &format!("SELECT {COLUMNS} FROM secret WHERE account = $1 AND region = $2 ORDER BY name"),
        params![at.account, at.region],
        secret,
    )
}

pub(crate) fn count(snapshot: &Snapshot<'_>, at: &Place) -> Result<i64, CallError> {
    snapshot.query_one(
        "SELECT COUNT(*) FROM secret WHERE account = $1 AND region = $2",
        params![at.account, at.region],
        |row| Ok(row.get(0)?),
    )
}

pub(crate) fn put_secret(tx: &mut Tx<'_>, at: &Place, secret: &Secret) -> Result<(), CallError> {
    tx.execute(
        "INSERT INTO secret (account, region, name, suffix, description, kms_key, created_at, changed_at, deleted_at,
             delete_after)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (account, region, name) DO UPDATE SET description = excluded.description,
             kms_key = excluded.kms_key, changed_at = excluded.changed_at, deleted_at = excluded.deleted_at,
             delete_after = excluded.delete_after",
        params![
            at.account,
            at.region,
            secret.name,
            secret.suffix,
            secret.description,
            secret.kms_key,
            secret.created_at,
            secret.changed_at,
            secret.deleted_at,
            secret.delete_after
        ],
    )?;
    Ok(())
}

/// Removes a secret with its values, stages and tags.
pub(crate) fn erase(tx: &mut Tx<'_>, at: &Place, name: &str) -> Result<(), CallError> {
    for table in ["secret_tag", "secret_stage", "secret_version"] {
        tx.execute(
            &format!("DELETE FROM {table} WHERE account = $1 AND region = $2 AND secret = $3"),
            params![at.account, at.region, name],
        )?;
    }
    tx.execute(
        "DELETE FROM secret WHERE account = $1 AND region = $2 AND name = $3",
        params![at.account, at.region, name],
    )?;
    Ok(())
}

/// Erases what waited for its end long enough.
pub(crate) fn erase_gone(tx: &mut Tx<'_>, at: &Place, now: Timestamp) -> Result<(), CallError> {
    let gone: Vec<String> = tx.query_all(
        "SELECT name FROM secret WHERE account = $1 AND region = $2 AND delete_after <= $3",
        params![at.account, at.region, now],
        |row| Ok::<_, CallError>(row.get(0)?),
    )?;
    gone.iter().try_for_each(|name| erase(tx, at, name))
}

pub(crate) fn stages(snapshot: &Snapshot<'_>, at: &Place, name: &str) -> Result<Stages, CallError> {
    let mut stages = Stages::new();
    snapshot.query_each(
        "SELECT version, stage FROM secret_stage WHERE account = $1 AND region = $2 AND secret = $3 ORDER BY stage",
        params![at.account, at.region, name],
        |row| {
            stages.entry(row.get::<String>(0)?).or_default().push(row.get(1)?);
            Ok::<_, StoreError>(true)
        },
    )?;
    Ok(stages)
}

/// The sealed value of a version, and when it was made.
pub(crate) fn sealed(
    snapshot: &Snapshot<'_>,
    at: &Place,
    name: &str,
    version: &str,
) -> Result<Option<(bool, Vec<u8>, Timestamp)>, CallError> {
    snapshot.query_opt(
        "SELECT is_text, sealed, created_at FROM secret_version
         WHERE account = $1 AND region = $2 AND secret = $3 AND version = $4",
        params![at.account, at.region, name, version],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )
}

/// Versions and when they were made, the newest first.
pub(crate) fn versions(snapshot: &Snapshot<'_>, at: &Place, name: &str) -> Result<Vec<(String, Timestamp)>, CallError> {
    snapshot.query_all(
        "SELECT version, created_at FROM secret_version WHERE account = $1 AND region = $2 AND secret = $3
         ORDER BY created_at DESC, version",
        params![at.account, at.region, name],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

pub(crate) fn tags(snapshot: &Snapshot<'_>, at: &Place, name: &str) -> Result<BTreeMap<String, String>, CallError> {
    let rows: Vec<(String, String)> = snapshot.query_all(
        "SELECT key, value FROM secret_tag WHERE account = $1 AND region = $2 AND secret = $3 ORDER BY key",
        params![at.account, at.region, name],
        |row| Ok::<_, CallError>((row.get(0)?, row.get(1)?)),
    )?;
    Ok(rows.into_iter().collect())
}

pub(crate) fn put_tags(
    tx: &mut Tx<'_>,
    at: &Place,
    name: &str,
    tags: &BTreeMap<String, String>,
) -> Result<(), CallError> {
    for (key, value) in tags {
        tx.execute(
            "INSERT INTO secret_tag (account, region, secret, key, value) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (account, region, secret, key) DO UPDATE SET value = excluded.value",
            params![at.account, at.region, name, key, value],
        )?;
    }
    Ok(())
}

/// Opens a sealed value.
pub(crate) fn open(ctx: &CallContext, bound: &[u8], is_text: bool, sealed: &[u8]) -> Result<Plain, ApiError> {
    let bytes = ctx.open_secret(bound, sealed).ok_or_else(|| {
        tracing::error!("a stored secret cannot be opened with this installation's key");
        ApiError::new("DecryptionFailure", 400, "Secrets Manager can't decrypt the protected secret text.")
    })?;
    Ok(Plain { is_text, bytes })
}
