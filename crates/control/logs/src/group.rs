//! Log groups.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError, Grant};
use marram_store::{Snapshot, params};
use serde_json::{Map, Value, json};

/// Days of retention that can be asked for, as the model's users know them.
const RETENTIONS: [i64; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];
/// Groups of a page.
const PAGE: i64 = 50;

/// A parameter that cannot be.
pub(crate) fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterException", 400, message)
}

/// No such group or stream.
pub(crate) fn absent(what: &str) -> ApiError {
    ApiError::new("ResourceNotFoundException", 400, format!("The specified {what} does not exist."))
}

/// There is one already.
pub(crate) fn exists(what: &str) -> ApiError {
    ApiError::new("ResourceAlreadyExistsException", 400, format!("The specified {what} already exists"))
}

/// `arn:…:logs:…:log-group:{group}`.
pub(crate) fn arn(ctx: &CallContext, group: &str) -> String {
    format!("arn:{}:logs:{}:{}:log-group:{group}", ctx.partition, ctx.region, ctx.account)
}

/// The group's name in a request: as it is, or inside an ARN.
pub(crate) fn name_of(input: &Value) -> &str {
    let text = input["logGroupName"].as_str().or_else(|| input["logGroupIdentifier"].as_str()).unwrap_or_default();
    match text.split_once(":log-group:") {
        Some((_, name)) => name.trim_end_matches(":*"),
        None => text,
    }
}

/// Decides about the operation on a group. Policies name it with and without `:*` at the end; either is meant.
pub(crate) fn permitted(ctx: &CallContext, group: &str) -> Result<Grant, ApiError> {
    let arn = arn(ctx, group);
    let below = format!("{arn}:*");
    let action = ctx.operation.iam_action;
    if ctx.may(action, &below, |_| {}) && !ctx.may(action, &arn, |_| {}) {
        return ctx.authorize(action, &below, |_| {});
    }
    ctx.authorize(action, &arn, |_| {})
}

pub(crate) fn must_exist(snapshot: &Snapshot<'_>, ctx: &Place, group: &str) -> Result<(), CallError> {
    let found = snapshot.query_opt(
        "SELECT 1 FROM log_group WHERE account = $1 AND region = $2 AND name = $3",
        params![ctx.account, ctx.region, group],
        |row| Ok::<_, CallError>(row.get::<i64>(0)?),
    )?;
    found.map(|_| ()).ok_or_else(|| absent("log group").into())
}

/// Account and region of a call, for transactions.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) account: marram_types::AccountId,
    pub(crate) region: marram_types::Region,
}

impl Place {
    pub(crate) fn of(ctx: &CallContext) -> Place {
        Place { account: ctx.account.clone(), region: ctx.region.clone() }
    }
}

/// `CreateLogGroup`.
pub(crate) async fn create(ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let name = name_of(&input).to_owned();
    let grant = permitted(ctx, &name)?;
    let (place, now) = (Place::of(ctx), ctx.now.as_millis());
    ctx.commit(grant, move |tx| {
        let made = tx.execute(
            "INSERT INTO log_group (account, region, name, bytes, created_ms) VALUES ($1, $2, $3, 0, $4)
             ON CONFLICT (account, region, name) DO NOTHING",
            params![place.account, place.region, name, now],
        )?;
        if made == 0 { Err(exists("log group").into()) } else { Ok(json!({})) }
    })
    .await
}

/// `DescribeLogGroups`.
pub(crate) async fn describe(ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    drop(ctx.authorize(ctx.operation.iam_action, &arn(ctx, "*"), |_| {})?);
    let prefix = input["logGroupNamePrefix"].as_str().unwrap_or("");
    let pattern = input["logGroupNamePattern"].as_str().unwrap_or("");
    let filter = format!("{prefix}\u{1f}{pattern}");
    let after = match input["nextToken"].as_str() {
        Some(token) => {
            ctx.open_page_token(&filter, token).map_err(|_| invalid("The specified nextToken is invalid."))?
        }
        None => String::new(),
    };
    let limit = input["limit"].as_i64().unwrap_or(PAGE).clamp(1, PAGE);
    let mut rows = ctx.read(|snapshot| {
        snapshot.query_all(
            "SELECT name, retention_days, bytes, created_ms FROM log_group
             WHERE account = $1 AND region = $2 AND name > $3 AND substr(name, 1, length($4)) = $4
             AND ($5 = '' OR instr(name, $5) > 0) ORDER BY name LIMIT $6",
            params![ctx.account, ctx.region, after, prefix, pattern, limit + 1],
            |row| {
                let name: String = row.get(0)?;
                let mut item = json!({
                    "logGroupName": name, "arn": format!("{}:*", arn(ctx, &name)), "logGroupArn": arn(ctx, &name),
                    "storedBytes": row.get::<i64>(2)?, "creationTime": row.get::<i64>(3)?, "metricFilterCount": 0,
                    "logGroupClass": "STANDARD",
                });
                if let Some(days) = row.get::<Option<i64>>(1)? {
                    item["retentionInDays"] = json!(days);
                }
                Ok::<_, CallError>((name, item))
            },
        )
    })?;
    Ok(page(ctx, "logGroups", &filter, &mut rows, limit))
}

/// The answer of a list: items, and a token when there are more.
pub(crate) fn page(
    ctx: &CallContext,
    member: &str,
    filter: &str,
    rows: &mut Vec<(String, Value)>,
    limit: i64,
) -> Value {
    let limit = usize::try_from(limit).unwrap_or(1);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let mut answer = Map::new();
    if let Some((key, _)) = rows.last().filter(|_| more) {
        answer.insert("nextToken".to_owned(), ctx.page_token(filter, key).into());
    }
    answer.insert(member.to_owned(), rows.drain(..).map(|(_, item)| item).collect());
    Value::Object(answer)
}

/// `DeleteLogGroup`, with everything in it.
pub(crate) async fn delete(ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let name = name_of(&input).to_owned();
    let grant = permitted(ctx, &name)?;
    let place = Place::of(ctx);
    ctx.commit(grant, move |tx| {
        must_exist(tx, &place, &name)?;
        for sql in [
            "DELETE FROM log_event WHERE account = $1 AND region = $2 AND group_name = $3",
            "DELETE FROM log_stream WHERE account = $1 AND region = $2 AND group_name = $3",
            "DELETE FROM log_group WHERE account = $1 AND region = $2 AND name = $3",
        ] {
            tx.execute(sql, params![place.account, place.region, name])?;
        }
        Ok(json!({}))
    })
    .await
}

/// `PutRetentionPolicy`.
pub(crate) async fn put_retention(ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let days = input["retentionInDays"].as_i64().unwrap_or(0);
    retention(ctx, &input, Some(days)).await
}

/// `DeleteRetentionPolicy`: events are kept until somebody deletes them.
pub(crate) async fn delete_retention(ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    retention(ctx, &input, None).await
}

async fn retention(ctx: &CallContext, input: &Value, days: Option<i64>) -> Result<Value, ApiError> {
    let name = name_of(input).to_owned();
    let grant = permitted(ctx, &name)?;
    if days.is_some_and(|days| !RETENTIONS.contains(&days)) {
        return Err(invalid("The retention must be one of the numbers of days the service knows."));
    }
    let place = Place::of(ctx);
    ctx.commit(grant, move |tx| {
        must_exist(tx, &place, &name)?;
        tx.execute(
            "UPDATE log_group SET retention_days = $4 WHERE account = $1 AND region = $2 AND name = $3",
            params![place.account, place.region, name, days],
        )?;
        Ok(json!({}))
    })
    .await
}
