//! REST requests: labels, query parameters, headers, and a body that is JSON or the payload itself.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::query::Form;
use super::{Violation, json};
use crate::message::Request;
use crate::model::{Kind, Location, Member, Shape};
use crate::route::Matched;
use crate::timestamp;

/// Gathers the members of `shape` from wherever the model puts them.
pub(super) fn structure(shape: &'static Shape, matched: &Matched, request: &Request<'_>) -> Result<Value, Violation> {
    let mut into = Map::new();
    let mut body_wanted = false;
    let query = Form::parse(request.query).ok_or_else(|| Violation::new("", "query string cannot be read"))?;
    for member in shape.members() {
        let found = match member.location {
            Location::Uri => matched
                .labels
                .iter()
                .find(|(name, _)| *name == member.wire)
                .map(|(_, text)| scalar(member, text))
                .transpose()?,
            Location::Query => from_query(member, &query)?,
            Location::Header => request.header(member.wire).map(|text| header(member, text)).transpose()?,
            Location::Payload => payload(member, request.body)?,
            Location::Body => {
                body_wanted = true;
                None
            }
            Location::StatusCode => None,
        };
        if let Some(found) = found {
            into.insert(member.name.to_owned(), found);
        }
    }
    if body_wanted {
        json::body_members(shape, json::parse_body(request.body)?, &mut into)?;
    }
    Ok(Value::Object(into))
}

fn from_query(member: &'static Member, query: &Form) -> Result<Option<Value>, Violation> {
    match &member.shape.kind {
        Kind::List { member: element, .. } => {
            let items: Vec<Value> =
                query.all(member.wire).map(|text| typed(element, text, member.name)).collect::<Result<_, _>>()?;
            Ok((!items.is_empty()).then_some(Value::Array(items)))
        }
        _ => query.get(member.wire).map(|text| scalar(member, text)).transpose(),
    }
}

fn header(member: &'static Member, text: &str) -> Result<Value, Violation> {
    if !member.json_value {
        return scalar(member, text.trim());
    }
    let bytes = STANDARD.decode(text.trim()).map_err(|_| Violation::new(member.name, "must be base64"))?;
    let decoded = String::from_utf8(bytes).map_err(|_| Violation::new(member.name, "must be base64 of JSON"))?;
    // boto3 given a string encodes it once more, so the JSON may be a string that holds JSON (control-plane-api 1.2).
    match json::parse_body(decoded.as_bytes()) {
        Ok(Value::String(inner)) => Ok(Value::String(inner)),
        Ok(_) => Ok(Value::String(decoded)),
        Err(_) => Err(Violation::new(member.name, "must be base64 of JSON")),
    }
}

/// A payload member is the body: bytes become base64, text and structures are themselves. An empty body is an absent one.
fn payload(member: &'static Member, body: &[u8]) -> Result<Option<Value>, Violation> {
    if body.is_empty() {
        return Ok(None);
    }
    match &member.shape.kind {
        Kind::Blob { .. } => Ok(Some(Value::String(STANDARD.encode(body)))),
        Kind::String { .. } => match std::str::from_utf8(body) {
            Ok(text) => Ok(Some(Value::from(text))),
            Err(_) => Err(Violation::new(member.name, "must be UTF-8")),
        },
        _ => json::structure(member.shape, json::parse_body(body)?).map(Some),
    }
}

fn scalar(member: &'static Member, text: &str) -> Result<Value, Violation> {
    typed(member.shape, text, member.name)
}

/// Text of a label, query parameter or header as the type its shape says.
pub(super) fn typed(shape: &'static Shape, text: &str, path: &str) -> Result<Value, Violation> {
    let wrong = || Violation::new(path, json::expectation(shape));
    match &shape.kind {
        Kind::String { .. } => Ok(Value::from(text)),
        Kind::Boolean => match text {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(wrong()),
        },
        Kind::Integer(_) | Kind::Long(_) => text.parse::<i64>().map(Value::from).map_err(|_| wrong()),
        Kind::Float | Kind::Double => {
            let number = text.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
            number.map(Value::Number).ok_or_else(wrong)
        }
        Kind::Timestamp(_) => timestamp::parse(text).ok_or_else(wrong),
        Kind::Blob { .. } => match STANDARD.decode(text) {
            Ok(_) => Ok(Value::from(text)),
            Err(_) => Err(wrong()),
        },
        Kind::Structure { .. } | Kind::List { .. } | Kind::Map { .. } => Err(wrong()),
    }
}
