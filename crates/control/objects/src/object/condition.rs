//! Conditional requests and ranges (RFC 9110, as S3 reads it).

use marram_aws_api::ApiError;
use marram_types::Timestamp;

use super::Object;
use crate::fault;
use crate::service::Call;

/// `If-Match` and its like on a read.
pub(super) fn check_read(call: &Call<'_>, object: &Object) -> Result<(), ApiError> {
    check(call, "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", object, fault::not_modified)
}

/// The same on the source of a copy.
pub(super) fn check_copy_source(call: &Call<'_>, object: &Object) -> Result<(), ApiError> {
    check(
        call,
        "x-amz-copy-source-if-match",
        "x-amz-copy-source-if-none-match",
        "x-amz-copy-source-if-modified-since",
        "x-amz-copy-source-if-unmodified-since",
        object,
        fault::precondition_failed,
    )
}

fn check(
    call: &Call<'_>,
    if_match: &str,
    if_none_match: &str,
    if_modified: &str,
    if_unmodified: &str,
    object: &Object,
    unchanged: fn() -> ApiError,
) -> Result<(), ApiError> {
    match call.header(if_match) {
        Some(tags) if !names(tags, &object.etag) => return Err(fault::precondition_failed()),
        // A matching tag outweighs the date.
        Some(_) => {}
        None if moment(call, if_unmodified).is_some_and(|limit| object.modified_at.as_secs() > limit) => {
            return Err(fault::precondition_failed());
        }
        None => {}
    }
    match call.header(if_none_match) {
        Some(tags) if names(tags, &object.etag) => Err(unchanged()),
        Some(_) => Ok(()),
        None if moment(call, if_modified).is_some_and(|limit| object.modified_at.as_secs() <= limit) => {
            Err(unchanged())
        }
        None => Ok(()),
    }
}

/// `If-None-Match: *` and `If-Match` on a write.
pub(crate) fn check_write(
    if_match: Option<&str>,
    if_none_match: Option<&str>,
    existing: Option<&Object>,
) -> Result<(), ApiError> {
    if let Some(tags) = if_none_match {
        if tags != "*" {
            return Err(fault::not_implemented("If-None-Match with an entity tag"));
        }
        if existing.is_some() {
            return Err(fault::precondition_failed());
        }
    }
    match (if_match, existing) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(fault::no_such_key()),
        (Some(tags), Some(object)) if names(tags, &object.etag) => Ok(()),
        _ => Err(fault::precondition_failed()),
    }
}

/// `If-Range`: whether the part that is asked for is one of the object as the client knows it.
pub(super) fn is_known_version(call: &Call<'_>, object: &Object) -> bool {
    match call.header("if-range") {
        None => true,
        Some(tag) if tag.starts_with('"') => tag.trim_matches('"') == object.etag,
        Some(_) => moment(call, "if-range") == Some(object.modified_at.as_secs()),
    }
}

/// `If-Match` on a deletion; what is not there matches nothing (RFC 9110).
pub(super) fn may_go(if_match: Option<&str>, existing: Option<&Object>) -> bool {
    if_match.is_none_or(|tags| existing.is_some_and(|object| names(tags, &object.etag)))
}

/// Whether a list of entity tags names this one.
fn names(tags: &str, etag: &str) -> bool {
    tags.split(',')
        .map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'))
        .any(|tag| tag == "*" || tag == etag)
}

fn moment(call: &Call<'_>, header: &str) -> Option<i64> {
    let text = call.header(header)?;
    let zoned = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok();
    zoned.map(|moment| Timestamp::from_secs(moment.as_second()).as_secs())
}

/// The bytes a `Range` header asks for: offset and length; `None` when the whole is meant.
///
/// # Errors
/// `InvalidRange` when it lies outside the object.
pub(crate) fn range(header: Option<&str>, size: u64) -> Result<Option<(u64, u64)>, ApiError> {
    // Several ranges, and other units, are answered with the whole.
    let Some(spec) = header.and_then(|text| text.strip_prefix("bytes=")).filter(|spec| !spec.contains(',')) else {
        return Ok(None);
    };
    let Some((first, last)) = spec.trim().split_once('-') else { return Ok(None) };
    let number = |text: &str| text.parse::<u64>().ok();
    match (first, last) {
        ("", suffix) => match number(suffix) {
            None => Ok(None),
            Some(0) => Err(fault::invalid_range()),
            Some(_) if size == 0 => Err(fault::invalid_range()),
            Some(count) => {
                let count = count.min(size);
                Ok(Some((size - count, count)))
            }
        },
        (first, last) => {
            let Some(first) = number(first) else { return Ok(None) };
            let last = if last.is_empty() { Some(u64::MAX) } else { number(last) };
            match last {
                None => Ok(None),
                Some(last) if last < first => Ok(None),
                Some(_) if first >= size => Err(fault::invalid_range()),
                Some(last) => Ok(Some((first, last.min(size - 1) - first + 1))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CP 9.1: ranges as RFC 9110 reads them; what lies outside is 416.
    #[test]
    fn ranges() {
        for (header, size, wanted) in [
            ("bytes=0-3", 10, Ok(Some((0, 4)))),
            ("bytes=4-", 10, Ok(Some((4, 6)))),
            ("bytes=-3", 10, Ok(Some((7, 3)))),
            ("bytes=-30", 10, Ok(Some((0, 10)))),
            ("bytes=8-99", 10, Ok(Some((8, 2)))),
            ("bytes=10-", 10, Err(416)),
            ("bytes=-0", 10, Err(416)),
            ("bytes=0-", 0, Err(416)),
            ("bytes=3-1", 10, Ok(None)),
            ("bytes=0-1,3-4", 10, Ok(None)),
            ("lines=0-1", 10, Ok(None)),
        ] {
            assert_eq!(range(Some(header), size).map_err(|error| error.status), wanted, "{header} of {size}");
        }
    }
}
