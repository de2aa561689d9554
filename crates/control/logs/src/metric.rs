//! Metrics: data points gathered by minute (control-plane-api 9.3).

use std::collections::BTreeMap;

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::{Snapshot, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::group::Place;

/// Data points of one call.
const MAX_DATA: usize = 1000;
/// Values of one data point.
const MAX_VALUES: usize = 150;
/// Data points of one answer.
const MAX_POINTS: usize = 100_800;
/// How long minutes are kept: 15 days.
const KEPT_MINUTES: i64 = 15 * 24 * 60;
/// Metrics of a page.
const PAGE: i64 = 500;

/// What is known of a minute.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Statistics {
    sum: f64,
    count: f64,
    min: f64,
    max: f64,
}

impl Statistics {
    fn add(self, other: Statistics) -> Statistics {
        Statistics {
            sum: self.sum + other.sum,
            count: self.count + other.count,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }

    fn get(&self, name: &str) -> Option<f64> {
        Some(match name {
            "Sum" => self.sum,
            "SampleCount" => self.count,
            "Minimum" => self.min,
            "Maximum" => self.max,
            "Average" => self.sum / self.count,
            _ => return None,
        })
    }
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterValue", 400, message)
}

/// The dimensions of a metric as one text: sorted, JSON.
fn dimensions(value: &Value) -> String {
    let sorted: BTreeMap<&str, &str> = value
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| (one["Name"].as_str().unwrap_or_default(), one["Value"].as_str().unwrap_or_default()))
        .collect();
    serde_json::to_string(&sorted).unwrap_or_default()
}

fn listed(text: &str) -> Value {
    let sorted: BTreeMap<String, String> = serde_json::from_str(text).unwrap_or_default();
    sorted.into_iter().map(|(name, value)| json!({"Name": name, "Value": value})).collect()
}

fn reading(datum: &Value) -> Result<Statistics, ApiError> {
    let number = |value: &Value| value.as_f64().filter(|number| number.is_finite());
    let one = |value: f64, count: f64| Statistics { sum: value * count, count, min: value, max: value };
    if let Some(value) = number(&datum["Value"]) {
        return Ok(one(value, 1.0));
    }
    if let Some(set) = datum["StatisticValues"].as_object() {
        let get =
            |name: &str| set.get(name).and_then(number).ok_or_else(|| invalid("A statistic set needs four numbers."));
        return Ok(Statistics {
            sum: get("Sum")?,
            count: get("SampleCount")?,
            min: get("Minimum")?,
            max: get("Maximum")?,
        });
    }
    let values = datum["Values"].as_array().cloned().unwrap_or_default();
    let counts = datum["Counts"].as_array().cloned().unwrap_or_default();
    if values.is_empty() || values.len() > MAX_VALUES || (!counts.is_empty() && counts.len() != values.len()) {
        return Err(invalid("A data point needs Value, StatisticValues, or Values with as many Counts."));
    }
    let mut all: Option<Statistics> = None;
    for (index, value) in values.iter().enumerate() {
        let value = number(value).ok_or_else(|| invalid("A value is not a number."))?;
        let count = counts.get(index).and_then(number).unwrap_or(1.0);
        let this = one(value, count);
        all = Some(all.map_or(this, |known| known.add(this)));
    }
    all.ok_or_else(|| invalid("A data point needs a value."))
}

/// `PutMetricData`.
pub(crate) async fn put(ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let namespace = input["Namespace"].as_str().unwrap_or_default().to_owned();
    let grant = ctx.authorize(ctx.operation.iam_action, "*", |conditions| {
        conditions.set("cloudwatch:namespace", namespace.as_str());
    })?;
    let data = input["MetricData"].as_array().cloned().unwrap_or_default();
    if data.len() > MAX_DATA {
        return Err(invalid(format!("MetricData has at most {MAX_DATA} entries.")));
    }
    let now = ctx.now.as_secs();
    let mut rows = Vec::new();
    for datum in &data {
        let at = datum["Timestamp"].as_f64().map_or(now, |at| at as i64);
        let name = datum["MetricName"].as_str().unwrap_or_default().to_owned();
        let unit = datum["Unit"].as_str().unwrap_or("None").to_owned();
        rows.push((name, dimensions(&datum["Dimensions"]), at.div_euclid(60), unit, reading(datum)?));
    }
    let place = Place::of(ctx);
    ctx.commit(grant, move |tx| {
        for (name, dimensions, minute, unit, statistics) in rows {
            let known = tx.query_opt(
                "SELECT statistics FROM metric_minute WHERE account = $1 AND region = $2 AND namespace = $3 AND name = $4
                 AND dimensions = $5 AND minute = $6 AND unit = $7",
                params![place.account, place.region, namespace, name, dimensions, minute, unit],
                |row| Ok::<_, CallError>(serde_json::from_str::<Statistics>(row.text(0)?).ok()),
            )?;
            let whole = known.flatten().map_or(statistics, |known| known.add(statistics));
            tx.execute(
                "INSERT INTO metric_minute (account, region, namespace, name, dimensions, minute, unit, statistics)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                 ON CONFLICT (account, region, namespace, name, dimensions, minute, unit)
                 DO UPDATE SET statistics = excluded.statistics",
                params![
                    place.account,
                    place.region,
                    namespace,
                    name,
                    dimensions,
                    minute,
                    unit,
                    serde_json::to_string(&whole).unwrap_or_default()
                ],
            )?;
        }
        tx.execute("DELETE FROM metric_minute WHERE minute < $1", params![now.div_euclid(60) - KEPT_MINUTES])?;
        Ok(json!({}))
    })
    .await
}

/// One metric over a time, gathered by period: start of each period in seconds, unit, numbers.
fn gather(
    snapshot: &Snapshot<'_>,
    place: &Place,
    metric: (&str, &str, &str),
    time: (i64, i64),
    period: i64,
    unit: Option<&str>,
) -> Result<BTreeMap<i64, (String, Statistics)>, CallError> {
    let mut periods: BTreeMap<i64, (String, Statistics)> = BTreeMap::new();
    snapshot.query_each(
        "SELECT minute, unit, statistics FROM metric_minute WHERE account = $1 AND region = $2 AND namespace = $3
         AND name = $4 AND dimensions = $5 AND minute >= $6 AND minute < $7 AND ($8 IS NULL OR unit = $8) ORDER BY minute",
        params![
            place.account,
            place.region,
            metric.0,
            metric.1,
            metric.2,
            time.0.div_euclid(60),
            (time.1 + 59).div_euclid(60),
            unit
        ],
        |row| {
            let Ok(statistics) = serde_json::from_str::<Statistics>(row.text(2)?) else { return Ok::<_, CallError>(true) };
            let start = (row.get::<i64>(0)? * 60).div_euclid(period) * period;
            let unit: String = row.get(1)?;
            periods
                .entry(start)
                .and_modify(|(_, known)| *known = known.add(statistics))
                .or_insert((unit, statistics));
            Ok(periods.len() < MAX_POINTS)
        },
    )?;
    Ok(periods)
}

fn seconds(value: &Value) -> i64 {
    value.as_f64().unwrap_or(0.0) as i64
}

fn period(value: &Value) -> Result<i64, ApiError> {
    let period = value.as_i64().unwrap_or(60);
    if period < 60 || period % 60 != 0 {
        return Err(invalid("The period must be a multiple of 60 seconds."));
    }
    Ok(period)
}

/// `GetMetricStatistics`.
pub(crate) async fn statistics(ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| {})?);
    let (start, end, period) = (seconds(&input["StartTime"]), seconds(&input["EndTime"]), period(&input["Period"])?);
    if start >= end {
        return Err(ApiError::new(
            "InvalidParameterValue",
            400,
            "The parameter StartTime must be less than the parameter EndTime.",
        ));
    }
    let namespace = input["Namespace"].as_str().unwrap_or_default();
    let name = input["MetricName"].as_str().unwrap_or_default();
    let wanted: Vec<&str> = input["Statistics"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if wanted.is_empty() {
        return Err(invalid("At least one of the Statistics must be asked for."));
    }
    let place = Place::of(ctx);
    let of = dimensions(&input["Dimensions"]);
    let found = ctx.read(|snapshot| {
        gather(snapshot, &place, (namespace, name, &of), (start, end), period, input["Unit"].as_str())
    })?;
    let points: Vec<Value> = found
        .into_iter()
        .map(|(at, (unit, numbers))| {
            let mut point = json!({"Timestamp": at, "Unit": unit});
            for statistic in &wanted {
                if let Some(number) = numbers.get(statistic) {
                    point[*statistic] = json!(number);
                }
            }
            point
        })
        .collect();
    Ok(json!({"Label": name, "Datapoints": points}))
}

/// `GetMetricData`, without expressions.
pub(crate) async fn data(ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| {})?);
    let (start, end) = (seconds(&input["StartTime"]), seconds(&input["EndTime"]));
    let place = Place::of(ctx);
    let descending = input["ScanBy"].as_str() != Some("TimestampAscending");
    let mut results = Vec::new();
    for query in input["MetricDataQueries"].as_array().into_iter().flatten() {
        let stat = &query["MetricStat"];
        if !stat.is_object() {
            return Err(invalid("Expressions are not supported by this endpoint: each query needs a MetricStat."));
        }
        if query["ReturnData"].as_bool() == Some(false) {
            continue;
        }
        let period = period(&stat["Period"])?;
        let metric = &stat["Metric"];
        let (namespace, name) =
            (metric["Namespace"].as_str().unwrap_or_default(), metric["MetricName"].as_str().unwrap_or_default());
        let wanted = stat["Stat"].as_str().unwrap_or_default();
        let of = dimensions(&metric["Dimensions"]);
        let found = ctx.read(|snapshot| {
            gather(snapshot, &place, (namespace, name, &of), (start, end), period, stat["Unit"].as_str())
        })?;
        let mut points: Vec<(i64, f64)> = Vec::new();
        for (at, (_, numbers)) in found {
            let number =
                numbers.get(wanted).ok_or_else(|| invalid(format!("The statistic {wanted} is not supported.")))?;
            points.push((at, number));
        }
        if descending {
            points.reverse();
        }
        let (times, values): (Vec<i64>, Vec<f64>) = points.into_iter().unzip();
        let label = query["Label"].as_str().unwrap_or(name);
        results.push(json!({
            "Id": query["Id"], "Label": label, "Timestamps": times, "Values": values, "StatusCode": "Complete",
        }));
    }
    Ok(json!({"MetricDataResults": results, "Messages": []}))
}

/// `ListMetrics`.
pub(crate) async fn list(ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| {})?);
    let (namespace, name) = (input["Namespace"].as_str(), input["MetricName"].as_str());
    let filter = format!("{}\u{1f}{}", namespace.unwrap_or(""), name.unwrap_or(""));
    let after = match input["NextToken"].as_str() {
        None => 0,
        Some(token) => {
            let bad = || ApiError::new("InvalidParameterValue", 400, "invalid NextToken");
            ctx.open_page_token(&filter, token).map_err(|_| bad())?.parse::<i64>().map_err(|_| bad())?
        }
    };
    let wanted: Vec<(&str, Option<&str>)> = input["Dimensions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| (one["Name"].as_str().unwrap_or_default(), one["Value"].as_str()))
        .collect();
    let rows = ctx.read(|snapshot| {
        snapshot.query_all(
            "SELECT DISTINCT namespace, name, dimensions FROM metric_minute
             WHERE account = $1 AND region = $2 AND ($3 IS NULL OR namespace = $3) AND ($4 IS NULL OR name = $4)
             ORDER BY namespace, name, dimensions LIMIT $5 OFFSET $6",
            params![ctx.account, ctx.region, namespace, name, PAGE + 1, after],
            |row| Ok::<_, CallError>((row.get::<String>(0)?, row.get::<String>(1)?, row.get::<String>(2)?)),
        )
    })?;
    let more = i64::try_from(rows.len()).unwrap_or(0) > PAGE;
    let metrics: Vec<Value> = rows
        .into_iter()
        .take(usize::try_from(PAGE).unwrap_or(500))
        .map(|(namespace, name, dimensions)| json!({"Namespace": namespace, "MetricName": name, "Dimensions": listed(&dimensions)}))
        .filter(|metric| {
            wanted.iter().all(|(name, value)| {
                metric["Dimensions"].as_array().into_iter().flatten().any(|held| {
                    held["Name"].as_str() == Some(name) && value.is_none_or(|value| held["Value"].as_str() == Some(value))
                })
            })
        })
        .collect();
    let mut answer = json!({"Metrics": metrics});
    if more {
        answer["NextToken"] = json!(ctx.page_token(&filter, &(after + PAGE).to_string()));
    }
    Ok(answer)
}
