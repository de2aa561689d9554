//! `cloudtrail`: LookupEvents, the audit log read by its owner (control-plane-api.md 10.2).
//!
//! The query lives in `marram-audit`; this crate is its face as a service. Management events of the last 90 days of the
//! caller's account and region, newest first, filtered by at most one attribute, 1 to 50 a page.

mod token;

use std::time::Duration;

use marram_audit::{Filter, LookupQuery, LookupRecord, lookup};
use marram_aws_api::{ApiError, Operation, ServiceId};
use marram_identity::{BoxFuture, CallContext, CallError, Service};
use marram_types::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::token::{PageKey, PageToken};

/// How far back LookupEvents looks (control-plane-api.md 10.2).
const RETENTION: Duration = Duration::from_secs(90 * 24 * 3600);

/// Events in a page when the caller does not say.
const DEFAULT_PAGE: usize = 50;

/// Most events in a page.
const MAX_PAGE: i64 = 50;

/// The service. Page tokens are signed with a key of its own that lives as long as the process.
#[derive(Debug)]
pub struct CloudTrail {
    key: PageKey,
}

impl CloudTrail {
    /// The service.
    pub fn new() -> Self {
        Self { key: PageKey::fresh() }
    }
}

impl Default for CloudTrail {
    fn default() -> Self {
        Self::new()
    }
}

impl Service for CloudTrail {
    fn id(&self) -> ServiceId {
        ServiceId::CloudTrail
    }

    fn call<'a>(
        &'a self,
        ctx: &'a CallContext,
        operation: &'static Operation,
        input: Value,
    ) -> BoxFuture<'a, Result<Value, ApiError>> {
        Box::pin(async move {
            match operation.name {
                "LookupEvents" => lookup_events(&self.key, ctx, input),
                name => Err(ApiError::not_supported(name)),
            }
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct LookupEvents {
    lookup_attributes: Vec<LookupAttribute>,
    start_time: Option<f64>,
    end_time: Option<f64>,
    event_category: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LookupAttribute {
    attribute_key: String,
    attribute_value: String,
}

fn lookup_events(key: &PageKey, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let _grant = ctx.authorize("cloudtrail:LookupEvents", "*", |_| {})?;
    let request: LookupEvents = serde_json::from_value(input)
        .map_err(|_| bad("InvalidLookupAttributesException", "The request is malformed"))?;
    let mut query = query(&request, ctx.now)?;
    // A token belongs to the account, region and filter it was given for.
    let subject = subject(ctx, &request);
    if let Some(token) = &request.next_token {
        let token = key.open(token, &subject, ctx.now);
        query.before_seq =
            Some(token.ok_or_else(|| bad("InvalidNextTokenException", "The token is not valid"))?.before);
    }
    let page = ctx.read(|s| lookup(s, &ctx.account, &ctx.region, &query).map_err(CallError::from))?;
    let mut answer = json!({"Events": page.records.into_iter().map(event).collect::<Vec<_>>()});
    if let Some(before) = page.next {
        answer["NextToken"] = key.seal(PageToken { before }, &subject, ctx.now).into();
    }
    Ok(answer)
}

fn query(request: &LookupEvents, now: Timestamp) -> Result<LookupQuery, ApiError> {
    if request.event_category.is_some() {
        return Err(bad("InvalidEventCategoryException", "Insight events are not recorded"));
    }
    let limit = match request.max_results {
        None => DEFAULT_PAGE,
        Some(n @ 1..=MAX_PAGE) => usize::try_from(n).unwrap_or(DEFAULT_PAGE),
        Some(_) => return Err(bad("InvalidMaxResultsException", "MaxResults must be between 1 and 50")),
    };
    if request.lookup_attributes.len() > 1 {
        return Err(bad("InvalidLookupAttributesException", "Only one lookup attribute may be given"));
    }
    let moment = |seconds: Option<f64>| {
        seconds
            .map(Timestamp::from_epoch_seconds)
            .transpose()
            .map_err(|_| bad("InvalidTimeRangeException", "A time is out of range"))
    };
    let (start, end) = (moment(request.start_time)?, moment(request.end_time)?);
    if start.zip(end).is_some_and(|(start, end)| start > end) {
        return Err(bad("InvalidTimeRangeException", "StartTime is after EndTime"));
    }
    let oldest = now.saturating_sub(RETENTION);
    let filters = request.lookup_attributes.iter().map(filter).collect::<Result<_, _>>()?;
    Ok(LookupQuery {
        filters,
        start: Some(start.map_or(oldest, |start| start.max(oldest))),
        // The end is given in whole seconds, and means all of its second.
        end: end.map(|end| Timestamp::from_micros(end.as_micros().saturating_add(999_999))),
        before_seq: None,
        limit,
    })
}

fn filter(attribute: &LookupAttribute) -> Result<Filter, ApiError> {
    let value = attribute.attribute_value.clone();
    Ok(match attribute.attribute_key.as_str() {
        "EventId" => Filter::EventId(value),
        "EventName" => Filter::EventName(value),
        "EventSource" => Filter::EventSource(value),
        "Username" => Filter::Username(value),
        "AccessKeyId" => Filter::AccessKeyId(value),
        "ResourceType" => Filter::ResourceType(value),
        "ResourceName" => Filter::ResourceName(value),
        "ReadOnly" => Filter::ReadOnly(
            value.parse().map_err(|_| bad("InvalidLookupAttributesException", "ReadOnly is true or false"))?,
        ),
        _ => return Err(bad("InvalidLookupAttributesException", "The attribute key is not known")),
    })
}

/// One event as LookupEvents answers it; the whole record stands in `CloudTrailEvent` as a text.
fn event(record: LookupRecord) -> Value {
    let resources: Vec<_> = record
        .resources
        .iter()
        .map(|(kind, arn)| {
            let mut entry = json!({"ResourceName": arn});
            if !kind.is_empty() {
                entry["ResourceType"] = kind.as_str().into();
            }
            entry
        })
        .collect();
    let mut event = json!({
        "EventId": record.event_id,
        "EventName": record.event_name,
        "ReadOnly": record.read_only.to_string(),
        "EventTime": record.time.as_secs(),
        "EventSource": record.event_source,
        "Resources": resources,
        "CloudTrailEvent": record.record,
    });
    for (name, value) in [("Username", record.username), ("AccessKeyId", record.access_key_id)] {
        if let Some(value) = value {
            event[name] = value.into();
        }
    }
    event
}

fn subject(ctx: &CallContext, request: &LookupEvents) -> String {
    let attributes: Vec<_> =
        request.lookup_attributes.iter().map(|a| (a.attribute_key.as_str(), a.attribute_value.as_str())).collect();
    json!([ctx.account, ctx.region, attributes, request.start_time, request.end_time]).to_string()
}

fn bad(code: &'static str, message: &str) -> ApiError {
    ApiError::new(code, 400, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(request: LookupEvents) -> String {
        query(&request, Timestamp::from_secs(1_772_439_242)).unwrap_err().code.into_owned()
    }

    fn attribute(key: &str, value: &str) -> LookupAttribute {
        LookupAttribute { attribute_key: key.to_owned(), attribute_value: value.to_owned() }
    }

    /// CP 10.2: which requests are refused, and how.
    #[test]
    fn wrong_requests_get_their_own_codes() {
        let base = LookupEvents::default;
        for (request, expected) in [
            (LookupEvents { max_results: Some(0), ..base() }, "InvalidMaxResultsException"),
            (LookupEvents { max_results: Some(51), ..base() }, "InvalidMaxResultsException"),
            (LookupEvents { event_category: Some("insight".to_owned()), ..base() }, "InvalidEventCategoryException"),
            (LookupEvents { start_time: Some(9.0), end_time: Some(8.0), ..base() }, "InvalidTimeRangeException"),
            (LookupEvents { start_time: Some(f64::MAX), ..base() }, "InvalidTimeRangeException"),
            (
                LookupEvents { lookup_attributes: vec![attribute("ReadOnly", "maybe")], ..base() },
                "InvalidLookupAttributesException",
            ),
            (
                LookupEvents {
                    lookup_attributes: vec![attribute("EventName", "A"), attribute("EventName", "B")],
                    ..base()
                },
                "InvalidLookupAttributesException",
            ),
        ] {
            assert_eq!(code(request), expected);
        }
    }

    /// CP 10.2: 90 days are served, whatever the caller asks for.
    #[test]
    fn nothing_older_than_ninety_days_is_served() {
        let now = Timestamp::from_secs(1_772_439_242);
        for start_time in [None, Some(0.0)] {
            let query = query(&LookupEvents { start_time, ..LookupEvents::default() }, now).unwrap();
            assert_eq!(query.start, Some(now.saturating_sub(RETENTION)));
        }
    }
}
