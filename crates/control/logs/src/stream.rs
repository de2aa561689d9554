//! Log streams.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::params;
use serde_json::{Value, json};

use crate::group::{Place, absent, arn, exists, invalid, must_exist, name_of, page, permitted};

/// Streams of a page.
const PAGE: i64 = 50;

/// `CreateLogStream`.
pub(crate) async fn create(ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let (group, name) = (name_of(&input).to_owned(), input["logStreamName"].as_str().unwrap_or_default().to_owned());
    let grant = permitted(ctx, &group)?;
    let (place, now) = (Place::of(ctx), ctx.now.as_millis());
    ctx.commit(grant, move |tx| {
        must_exist(tx, &place, &group)?;
        let made = tx.execute(
            "INSERT INTO log_stream (account, region, group_name, name, created_ms, next) VALUES ($1, $2, $3, $4, $5, 0)
             ON CONFLICT (account, region, group_name, name) DO NOTHING",
            params![place.account, place.region, group, name, now],
        )?;
        if made == 0 { Err(exists("log stream").into()) } else { Ok(json!({})) }
    })
    .await
}

/// `DescribeLogStreams`, by name or by their last event.
pub(crate) async fn describe(ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let group = name_of(&input).to_owned();
    drop(permitted(ctx, &group)?);
    let place = Place::of(ctx);
    let prefix = input["logStreamNamePrefix"].as_str().unwrap_or("");
    let by_time = input["orderBy"].as_str() == Some("LastEventTime");
    if by_time && !prefix.is_empty() {
        return Err(invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
    }
    let descending = input["descending"].as_bool().unwrap_or(false);
    let filter = format!("{group}\u{1f}{prefix}\u{1f}{by_time}\u{1f}{descending}");
    let start = match input["nextToken"].as_str() {
        Some(token) => {
            let key =
                ctx.open_page_token(&filter, token).map_err(|_| invalid("The specified nextToken is invalid."))?;
            key.parse::<i64>().unwrap_or(0)
        }
        None => 0,
    };
    let limit = input["limit"].as_i64().unwrap_or(PAGE).clamp(1, PAGE);
    let order = if by_time { "COALESCE(last_ms, 0)" } else { "name" };
    let direction = if descending { "DESC" } else { "ASC" };
    let mut position = start;
    let mut rows = ctx.read(|snapshot| {
        must_exist(snapshot, &place, &group)?;
        snapshot.query_all(
            &format!(
                "SELECT name, created_ms, first_ms, last_ms, ingested_ms FROM log_stream
                 WHERE account = $1 AND region = $2 AND group_name = $3 AND substr(name, 1, length($4)) = $4
                 ORDER BY {order} {direction}, name LIMIT $5 OFFSET $6"
            ),
            params![place.account, place.region, group, prefix, limit + 1, start],
            |row| {
                let name: String = row.get(0)?;
                let mut item = json!({
                    "logStreamName": name, "creationTime": row.get::<i64>(1)?, "storedBytes": 0,
                    "arn": format!("{}:log-stream:{name}", arn(ctx, &group)), "uploadSequenceToken": "1",
                });
                for (member, column) in
                    [("firstEventTimestamp", 2), ("lastEventTimestamp", 3), ("lastIngestionTime", 4)]
                {
                    if let Some(at) = row.get::<Option<i64>>(column)? {
                        item[member] = json!(at);
                    }
                }
                position += 1;
                Ok::<_, CallError>((position.to_string(), item))
            },
        )
    })?;
    Ok(page(ctx, "logStreams", &filter, &mut rows, limit))
}

/// `DeleteLogStream`, with its events.
pub(crate) async fn delete(ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let (group, name) = (name_of(&input).to_owned(), input["logStreamName"].as_str().unwrap_or_default().to_owned());
    let grant = permitted(ctx, &group)?;
    let place = Place::of(ctx);
    ctx.commit(grant, move |tx| {
        must_exist(tx, &place, &group)?;
        let gone = tx.execute(
            "DELETE FROM log_stream WHERE account = $1 AND region = $2 AND group_name = $3 AND name = $4",
            params![place.account, place.region, group, name],
        )?;
        if gone == 0 {
            return Err(absent("log stream").into());
        }
        tx.execute(
            "DELETE FROM log_event WHERE account = $1 AND region = $2 AND group_name = $3 AND stream = $4",
            params![place.account, place.region, group, name],
        )?;
        Ok(json!({}))
    })
    .await
}
