//! Log events: written in batches, read stream by stream.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::{Snapshot, params};
use serde_json::{Value, json};

use crate::group::{Place, absent, arn, invalid, must_exist, name_of, permitted};

/// Bytes of a batch, and what each event adds to its text (control-plane-api 9.3).
const MAX_BATCH: usize = 1_048_576;
const EVENT_OVERHEAD: usize = 26;
/// Largest event, in bytes.
const MAX_EVENT: usize = 256 << 10;
/// A batch spans at most a day.
const MAX_SPAN_MS: i64 = 86_400_000;
/// Oldest and newest events taken (control-plane-api 9.3).
const MAX_AGE_MS: i64 = 14 * 86_400_000;
const MAX_AHEAD_MS: i64 = 2 * 3_600_000;
/// Events of a page.
const PAGE: i64 = 10_000;
/// Bytes of messages in a page.
const PAGE_BYTES: usize = 1 << 20;

fn stream_exists(snapshot: &Snapshot<'_>, place: &Place, group: &str, stream: &str) -> Result<i64, CallError> {
    let found = snapshot.query_opt(
        "SELECT next FROM log_stream WHERE account = $1 AND region = $2 AND group_name = $3 AND name = $4",
        params![place.account, place.region, group, stream],
        |row| Ok::<_, CallError>(row.get::<i64>(0)?),
    )?;
    Ok(found.ok_or_else(|| absent("log stream"))?)
}

/// Decides about a stream, or about the group it is in: policies are written either way.
fn permitted_on_stream(ctx: &CallContext, group: &str, stream: &str) -> Result<marram_identity::Grant, ApiError> {
    let arn = format!("{}:log-stream:{stream}", arn(ctx, group));
    if ctx.may(ctx.operation.iam_action, &arn, |_| {}) {
        return ctx.authorize(ctx.operation.iam_action, &arn, |_| {});
    }
    permitted(ctx, group)
}

/// `PutLogEvents`: events out of time are told and left out, the others are durable when this answers.
pub(crate) async fn put(ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let (group, stream) = (name_of(&input).to_owned(), input["logStreamName"].as_str().unwrap_or_default().to_owned());
    let grant = permitted_on_stream(ctx, &group, &stream)?;
    let (place, now) = (Place::of(ctx), ctx.now.as_millis());
    let events: Vec<(i64, String)> = input["logEvents"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|event| {
            (event["timestamp"].as_i64().unwrap_or(0), event["message"].as_str().unwrap_or_default().to_owned())
        })
        .collect();
    let bytes: usize = events.iter().map(|(_, message)| message.len() + EVENT_OVERHEAD).sum();
    if bytes > MAX_BATCH {
        return Err(invalid(format!("Upload too large: {bytes} bytes exceeds limit of {MAX_BATCH}")));
    }
    if events.iter().any(|(_, message)| message.len() + EVENT_OVERHEAD > MAX_EVENT) {
        return Err(invalid("Log event too large."));
    }
    if !events.is_sorted_by_key(|(at, _)| *at) {
        return Err(invalid("Log events in a single PutLogEvents request must be in chronological order."));
    }
    if let (Some((first, _)), Some((last, _))) = (events.first(), events.last())
        && last - first > MAX_SPAN_MS
    {
        return Err(invalid(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        ));
    }
    let too_old = events.iter().take_while(|(at, _)| *at < now - MAX_AGE_MS).count();
    let good_end = events.iter().take_while(|(at, _)| *at <= now + MAX_AHEAD_MS).count();
    let mut rejected = json!({});
    if too_old > 0 {
        rejected["tooOldLogEventEndIndex"] = json!(too_old);
    }
    if good_end < events.len() {
        rejected["tooNewLogEventStartIndex"] = json!(good_end);
    }
    let kept: Vec<(i64, String)> = events.into_iter().take(good_end).skip(too_old).collect();
    ctx.commit(grant, move |tx| {
        must_exist(tx, &place, &group)?;
        let mut next = stream_exists(tx, &place, &group, &stream)?;
        let mut bytes = 0;
        for (at, message) in &kept {
            tx.execute(
                "INSERT INTO log_event (account, region, group_name, stream, at_ms, number, message, ingested_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                params![place.account, place.region, group, stream, at, next, message, now],
            )?;
            next += 1;
            bytes += i64::try_from(message.len() + EVENT_OVERHEAD).unwrap_or(0);
        }
        if let (Some((first, _)), Some((last, _))) = (kept.first(), kept.last()) {
            tx.execute(
                "UPDATE log_stream SET next = $5, ingested_ms = $6, first_ms = MIN(COALESCE(first_ms, $7), $7),
                 last_ms = MAX(COALESCE(last_ms, $8), $8)
                 WHERE account = $1 AND region = $2 AND group_name = $3 AND name = $4",
                params![place.account, place.region, group, stream, next, now, first, last],
            )?;
            tx.execute(
                "UPDATE log_group SET bytes = bytes + $4 WHERE account = $1 AND region = $2 AND name = $3",
                params![place.account, place.region, group, bytes],
            )?;
            // Events whose time is over go when new ones come.
            tx.execute(
                "DELETE FROM log_event WHERE account = $1 AND region = $2 AND group_name = $3 AND at_ms < $4 -
                 (SELECT retention_days FROM log_group WHERE account = $1 AND region = $2 AND name = $3) * 86400000",
                params![place.account, place.region, group, now],
            )?;
        }
        let mut answer = json!({"nextSequenceToken": next.to_string()});
        if rejected.as_object().is_some_and(|members| !members.is_empty()) {
            answer["rejectedLogEventsInfo"] = rejected;
        }
        Ok(answer)
    })
    .await
}

/// A place in a stream: `f/{at}/{number}` forward from there, `b/..` backward.
fn token(direction: char, at: i64, number: i64) -> String {
    format!("{direction}/{at}/{number}")
}

fn parse_token(text: &str) -> Option<(bool, i64, i64)> {
    let mut parts = text.splitn(3, '/');
    let forward = match parts.next()? {
        "f" => true,
        "b" => false,
        _ => return None,
    };
    Some((forward, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// `GetLogEvents`: at either end the token stays the same, which is how clients know.
pub(crate) async fn get(ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let (group, stream) = (name_of(&input).to_owned(), input["logStreamName"].as_str().unwrap_or_default().to_owned());
    drop(permitted_on_stream(ctx, &group, &stream)?);
    let place = Place::of(ctx);
    let limit = input["limit"].as_i64().unwrap_or(PAGE).clamp(1, PAGE);
    let (from, until) =
        (input["startTime"].as_i64().unwrap_or(i64::MIN), input["endTime"].as_i64().unwrap_or(i64::MAX));
    let at_token = match input["nextToken"].as_str() {
        None => None,
        Some(text) => Some(parse_token(text).ok_or_else(|| invalid("The specified nextToken is invalid."))?),
    };
    let from_head = input["startFromHead"].as_bool().unwrap_or(false);
    let (forward, at, number) = at_token.unwrap_or(match from_head {
        true => (true, i64::MIN, i64::MIN),
        false => (false, i64::MAX, i64::MAX),
    });
    let (comparison, order) = if forward { (">", "ASC") } else { ("<", "DESC") };
    let mut rows = ctx.read(|snapshot| {
        must_exist(snapshot, &place, &group)?;
        stream_exists(snapshot, &place, &group, &stream)?;
        let mut rows = Vec::new();
        let mut bytes = 0;
        snapshot.query_each(
            &format!(
                "SELECT at_ms, number, message, ingested_ms FROM log_event
                 WHERE account = $1 AND region = $2 AND group_name = $3 AND stream = $4
                 AND (at_ms {comparison} $5 OR (at_ms = $5 AND number {comparison} $6)) AND at_ms >= $7 AND at_ms < $8
                 ORDER BY at_ms {order}, number {order} LIMIT $9"
            ),
            params![place.account, place.region, group, stream, at, number, from, until, limit],
            |row| {
                let message: String = row.get(2)?;
                bytes += message.len() + EVENT_OVERHEAD;
                rows.push((row.get::<i64>(0)?, row.get::<i64>(1)?, message, row.get::<i64>(3)?));
                Ok::<_, CallError>(bytes < PAGE_BYTES)
            },
        )?;
        Ok::<_, CallError>(rows)
    })?;
    if !forward {
        rows.reverse();
    }
    let (first, last) = match (rows.first(), rows.last()) {
        (Some(first), Some(last)) => ((first.0, first.1), (last.0, last.1)),
        _ => ((at, number), (at, number)),
    };
    let events: Vec<Value> = rows
        .into_iter()
        .map(|(at, _, message, ingested)| json!({"timestamp": at, "message": message, "ingestionTime": ingested}))
        .collect();
    Ok(json!({
        "events": events, "nextForwardToken": token('f', last.0, last.1), "nextBackwardToken": token('b', first.0, first.1),
    }))
}
