//! Objects: put, get, head, copy, delete (control-plane-api 9.1).

mod condition;
mod get;
mod put;
mod remove;

pub(crate) use condition::{check_write, range};
pub(crate) use get::get;
pub(crate) use put::{Stored, column, copy, put, stored_headers, write};
pub(crate) use remove::{delete, delete_many, remove};

use marram_identity::CallError;
use marram_store::{Snapshot, params};
use marram_types::{AccountId, Timestamp};
use serde_json::{Map, Value};

use crate::blob::Segment;
use crate::checksum::Checksum;

/// An object's row.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) size: u64,
    /// Without quotes.
    pub(crate) etag: String,
    pub(crate) segments: Vec<Segment>,
    /// Lower-case names.
    pub(crate) headers: Map<String, Value>,
    pub(crate) checksum: Option<Checksum>,
    pub(crate) modified_at: Timestamp,
}

/// The object called `key`, if there is one.
pub(crate) fn find(
    snapshot: &Snapshot<'_>,
    account: &AccountId,
    bucket: &str,
    key: &str,
) -> Result<Option<Object>, CallError> {
    snapshot.query_opt(
        "SELECT size, etag, segments, headers, checksum, modified_at FROM s3_object
         WHERE account = $1 AND bucket = $2 AND key = $3",
        params![account, bucket, key],
        |row| {
            Ok(Object {
                size: u64::try_from(row.get::<i64>(0)?).unwrap_or(0),
                etag: row.get(1)?,
                segments: serde_json::from_str(row.text(2)?).unwrap_or_default(),
                headers: serde_json::from_str(row.text(3)?).unwrap_or_default(),
                checksum: row.get::<Option<String>>(4)?.and_then(|text| serde_json::from_str(&text).ok()),
                modified_at: row.get(5)?,
            })
        },
    )
}

/// A moment as headers carry it.
pub(crate) fn http_date(moment: Timestamp) -> String {
    marram_aws_api::timestamp::http_date(&Value::from(moment.as_secs())).unwrap_or_default()
}
