//! The types written as text: URN, ARN, URI, instants, dates, durations (TG 1.4).

use jiff::{SpanRelativeTo, Timestamp, Unit, civil};

use super::Refusal;
use crate::types::DataType;
use crate::value::Value;

/// Text held against its type; what is stored is the text as written.
pub(super) fn normalise(text: &str, to: &DataType) -> Result<Value, Refusal> {
    let is_valid = match to {
        DataType::Urn => is_urn(text),
        DataType::Arn => text.splitn(6, ':').count() == 6 && text.starts_with("arn:") && is_plain(text),
        DataType::Uri => is_uri(text),
        DataType::DateTime => is_date_time(text),
        DataType::Date => text.parse::<civil::Date>().is_ok() && !text.contains(['T', 't', ' ']),
        DataType::Duration => duration_ms(text).is_some(),
        _ => true,
    };
    if is_valid { Ok(Value::string(text)) } else { Err(format!("text is no {to}")) }
}

fn is_plain(text: &str) -> bool {
    !text.chars().any(|character| character.is_whitespace() || character.is_control())
}

fn is_urn(text: &str) -> bool {
    let mut parts = text.splitn(3, ':');
    let is_scheme = parts.next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("urn"));
    let is_identifier = |nid: &str| {
        (2..=32).contains(&nid.len()) && nid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    is_scheme
        && parts.next().is_some_and(is_identifier)
        && parts.next().is_some_and(|nss| !nss.is_empty())
        && is_plain(text)
}

/// Characters of RFC 3986 and complete percent escapes; relative references pass.
fn is_uri(text: &str) -> bool {
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes.iter().enumerate().all(|(at, byte)| match byte {
            b'%' => bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)),
            byte => byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=".contains(byte),
        })
}

fn is_date_time(text: &str) -> bool {
    text.parse::<Timestamp>().is_ok() || text.parse::<civil::DateTime>().is_ok()
}

/// An instant given as milliseconds since the epoch.
pub(super) fn date_time(value: &Value) -> Result<Value, Refusal> {
    let millis = value.as_i128().and_then(|millis| i64::try_from(millis).ok());
    let time = millis.and_then(|millis| Timestamp::from_millisecond(millis).ok());
    let time = time.ok_or_else(|| "value is out of the range of DateTime".to_owned())?;
    Ok(Value::string(time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()))
}

/// Milliseconds of a duration: `30 minutes`, `2 hours, 5 sec`, ISO 8601. Days have 24 hours; months and years are
/// counted from 1 January 2000. `None`: not a duration, or negative.
pub fn duration_ms(text: &str) -> Option<u64> {
    let span: jiff::Span = text.trim().parse().ok()?;
    let start = civil::date(2000, 1, 1);
    let total = span.total((Unit::Millisecond, SpanRelativeTo::from(start))).ok()?;
    // Within jiff's range a duration has fewer than 2^53 milliseconds, so the float is exact.
    (total >= 0.0).then_some(total as u64)
}
