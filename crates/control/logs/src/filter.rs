//! `FilterLogEvents`: the events of a group in the order of time, by words (control-plane-api 9.3).

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::params;
use serde_json::{Value, json};

use crate::group::{Place, invalid, must_exist, name_of, permitted};

/// Events of a page.
const PAGE: i64 = 10_000;
/// Rows looked at for one page.
const MAX_SCANNED: i64 = 50_000;

/// Words of a pattern.
#[derive(Debug, Default, PartialEq)]
struct Pattern {
    all: Vec<String>,
    any: Vec<String>,
    none: Vec<String>,
}

impl Pattern {
    /// Words and quoted phrases; `?` before a word makes it one of several, `-` one that must not be there.
    fn parse(text: &str) -> Result<Pattern, ApiError> {
        let text = text.trim();
        if text.starts_with(['{', '[', '%']) {
            return Err(invalid("Structured filter patterns are not supported by this endpoint."));
        }
        let mut pattern = Pattern::default();
        let mut rest = text;
        while !rest.is_empty() {
            let (list, word) = match rest.split_at_checked(1) {
                Some(("?", word)) => (&mut pattern.any, word),
                Some(("-", word)) => (&mut pattern.none, word),
                _ => (&mut pattern.all, rest),
            };
            let (word, after) = match word.strip_prefix('"') {
                Some(quoted) => {
                    quoted.split_once('"').ok_or_else(|| invalid("Invalid filter pattern: an open quote."))?
                }
                None => word.split_once(char::is_whitespace).unwrap_or((word, "")),
            };
            if word.is_empty() {
                return Err(invalid("Invalid filter pattern: a word is missing."));
            }
            list.push(word.to_owned());
            rest = after.trim_start();
        }
        Ok(pattern)
    }

    fn matches(&self, message: &str) -> bool {
        let has = |word: &String| message.contains(word.as_str());
        self.all.iter().all(has) && !self.none.iter().any(has) && (self.any.is_empty() || self.any.iter().any(has))
    }
}

/// Entry of the fuzz target: a pattern on the first line, a message behind it.
pub fn fuzz_pattern(text: &str) {
    let (pattern, message) = text.split_once('\n').unwrap_or((text, ""));
    if let Ok(pattern) = Pattern::parse(pattern) {
        pattern.matches(message);
    }
}

/// Answers a page; it may hold few events and still have a next one.
pub(crate) async fn filter(ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let group = name_of(&input).to_owned();
    drop(permitted(ctx, &group)?);
    let place = Place::of(ctx);
    let pattern = Pattern::parse(input["filterPattern"].as_str().unwrap_or(""))?;
    let prefix = input["logStreamNamePrefix"].as_str().unwrap_or("");
    let streams: Vec<&str> =
        input["logStreamNames"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let limit = usize::try_from(input["limit"].as_i64().unwrap_or(PAGE).clamp(1, PAGE)).unwrap_or(1);
    let (from, until) =
        (input["startTime"].as_i64().unwrap_or(i64::MIN), input["endTime"].as_i64().unwrap_or(i64::MAX));
    let key = format!("{group}\u{1f}{prefix}\u{1f}{}\u{1f}{from}\u{1f}{until}", streams.join(","));
    let start = match input["nextToken"].as_str() {
        None => (i64::MIN, String::new(), i64::MIN),
        Some(token) => {
            let bad = || invalid("The specified nextToken is invalid.");
            let opened = ctx.open_page_token(&key, token).map_err(|_| bad())?;
            let mut parts = opened.splitn(3, '/');
            let mut number = || parts.next().and_then(|text| text.parse::<i64>().ok()).ok_or_else(bad);
            let (at, event) = (number()?, number()?);
            (at, parts.next().unwrap_or_default().to_owned(), event)
        }
    };
    let mut events = Vec::new();
    let mut last = None;
    let mut scanned = 0;
    ctx.read(|snapshot| {
        must_exist(snapshot, &place, &group)?;
        snapshot.query_each(
            "SELECT at_ms, stream, number, message, ingested_ms FROM log_event
             WHERE account = $1 AND region = $2 AND group_name = $3 AND at_ms >= $4 AND at_ms <= $5
             AND (at_ms > $6 OR (at_ms = $6 AND (stream > $7 OR (stream = $7 AND number > $8))))
             AND substr(stream, 1, length($9)) = $9 ORDER BY at_ms, stream, number LIMIT $10",
            params![place.account, place.region, group, from, until, start.0, start.1, start.2, prefix, MAX_SCANNED],
            |row| {
                scanned += 1;
                let (at, stream, number): (i64, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
                let message: String = row.get(3)?;
                if (streams.is_empty() || streams.contains(&stream.as_str())) && pattern.matches(&message) {
                    events.push(json!({
                        "logStreamName": stream, "timestamp": at, "message": message,
                        "ingestionTime": row.get::<i64>(4)?, "eventId": format!("{at:020}{number:020}"),
                    }));
                }
                last = Some(format!("{at}/{number}/{stream}"));
                Ok::<_, CallError>(events.len() < limit)
            },
        )
    })?;
    let mut answer = json!({"searchedLogStreams": []});
    if let Some(last) = last.filter(|_| events.len() >= limit || scanned >= MAX_SCANNED) {
        answer["nextToken"] = json!(ctx.page_token(&key, &last));
    }
    answer["events"] = Value::Array(events);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CP 9.3: words are all wanted, `?` gives a choice, `-` excludes, quotes hold words together.
    #[test]
    fn patterns() {
        for (pattern, message, wanted) in [
            ("", "anything", true),
            ("ERROR disk", "ERROR: disk full", true),
            ("ERROR disk", "ERROR: net", false),
            ("?WARN ?ERROR", "WARN x", true),
            ("?WARN ?ERROR", "INFO x", false),
            ("ERROR -disk", "ERROR disk", false),
            ("\"disk full\"", "the disk full", true),
            ("\"disk full\"", "full disk", false),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(message), wanted, "{pattern:?} on {message:?}");
        }
        for wrong in ["{ $.a = 1 }", "\"open", "?"] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
    }
}
