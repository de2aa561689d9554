//! Timestamps of the protocols: epoch seconds inside, text where a protocol wants text.

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde_json::{Number, Value};

/// Epoch seconds of an ISO 8601 or RFC 822 text, or of a plain number. `None` for anything else.
pub fn parse(text: &str) -> Option<Value> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Timestamp::from_second(seconds).ok().map(|_| Value::from(seconds));
    }
    let parsed =
        text.parse::<Timestamp>().ok().or_else(|| rfc2822::DateTimeParser::new().parse_timestamp(text).ok())?;
    Some(epoch_seconds(parsed))
}

/// Epoch seconds with the fraction kept to the millisecond; a whole number when there is none.
pub fn epoch_seconds(at: Timestamp) -> Value {
    let millis = at.as_millisecond();
    if millis % 1000 == 0 {
        return Value::from(millis / 1000);
    }
    Number::from_f64(millis as f64 / 1000.0).map_or(Value::Null, Value::Number)
}

/// `2026-03-02T08:14:02Z`, with milliseconds when there are any.
pub fn iso8601(seconds: &Value) -> Option<String> {
    Some(from_value(seconds)?.to_string())
}

/// `Mon, 02 Mar 2026 08:14:02 GMT`.
pub fn http_date(seconds: &Value) -> Option<String> {
    rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&from_value(seconds)?).ok()
}

/// The instant of a JSON number of epoch seconds, when it lies in the years 1 to 9999.
pub fn from_value(seconds: &Value) -> Option<Timestamp> {
    if let Some(whole) = seconds.as_i64() {
        return Timestamp::from_second(whole).ok();
    }
    let millis = (seconds.as_f64()? * 1000.0).round();
    // 2^53: beyond it a float no longer counts milliseconds.
    if millis.abs() > 9_007_199_254_740_992.0 {
        return None;
    }
    Timestamp::from_millisecond(millis as i64).ok()
}
