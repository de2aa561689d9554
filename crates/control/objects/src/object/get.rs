//! `GetObject` and `HeadObject`.

use marram_aws_api::ApiError;

use super::condition::{check_read, is_known_version, range};
use super::{find, http_date};
use crate::fault;
use crate::reply::{Content, Reply};
use crate::service::Call;

/// Headers of the answer that the request may replace.
const OVERRIDES: [(&str, &str); 6] = [
    ("response-cache-control", "cache-control"),
    ("response-content-disposition", "content-disposition"),
    ("response-content-encoding", "content-encoding"),
    ("response-content-language", "content-language"),
    ("response-content-type", "content-type"),
    ("response-expires", "expires"),
];

/// Answers the object, or the part of it that was asked for. HEAD goes the same way; its body is left out at the end.
pub(crate) fn get(call: &Call<'_>) -> Result<Reply, ApiError> {
    let (grant, bucket) = call.permit("s3:GetObject")?;
    drop(grant);
    let found = call.ctx.read(|snapshot| find(snapshot, &bucket.account, &bucket.name, &call.to.key))?;
    let Some(object) = found else {
        // Who may not list must not learn what is missing.
        let arn = crate::service::arn(call.ctx, &bucket.name, None);
        let policy = bucket.policy.as_ref().map(|policy| (policy, bucket.account.as_str()));
        return Err(match call.ctx.may_with_policy("s3:ListBucket", &arn, policy) {
            true => fault::no_such_key(),
            false => ApiError::access_denied("Access Denied"),
        });
    };
    if let Err(error) = check_read(call, &object) {
        if error.status == 304 {
            return Ok(Reply::empty(304)
                .with("etag", format!("\"{}\"", object.etag))
                .with("last-modified", http_date(object.modified_at)));
        }
        return Err(error);
    }
    let asked = match call.to.parameter("partNumber") {
        None => range(call.header("range").filter(|_| is_known_version(call, &object)), object.size)?,
        Some(number) => {
            let index = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
            let index = index.filter(|index| *index < object.segments.len().max(1));
            let index = index.ok_or_else(fault::invalid_range)?;
            let offset = object.segments.iter().take(index).map(|segment| segment.size).sum();
            Some((offset, object.segments.get(index).map_or(0, |segment| segment.size)))
        }
    };
    let mut reply = Reply::empty(200)
        .with("accept-ranges", "bytes")
        .with("etag", format!("\"{}\"", object.etag))
        .with("last-modified", http_date(object.modified_at));
    for (name, value) in &object.headers {
        reply = reply.with(name, value.as_str().unwrap_or_default());
    }
    for (parameter, header) in OVERRIDES {
        if let Some(value) = call.to.parameter(parameter) {
            reply = reply.with(header, value);
        }
    }
    let (offset, length) = asked.unwrap_or((0, object.size));
    if asked.is_some() && length > 0 {
        reply.status = 206;
        reply = reply.with("content-range", format!("bytes {offset}-{}/{}", offset + length - 1, object.size));
    }
    if call.to.parameter("partNumber").is_some() && object.segments.len() > 1 {
        reply = reply.with("x-amz-mp-parts-count", object.segments.len().to_string());
    }
    let wants_checksum = call.header("x-amz-checksum-mode").is_some_and(|mode| mode.eq_ignore_ascii_case("enabled"));
    if let Some(checksum) = object.checksum.filter(|_| wants_checksum && asked.is_none())
        && let Some(algorithm) = checksum.algorithm()
    {
        reply = reply.with("x-amz-checksum-type", checksum.kind()).with(algorithm.header(), checksum.value);
    }
    let account = bucket.account.as_str().to_owned();
    reply.content = Content::Segments { account, segments: object.segments, offset, length };
    Ok(reply)
}
