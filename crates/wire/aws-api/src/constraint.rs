//! The model's constraints, checked on a decoded object: presence, lengths, patterns, enumerations, ranges.
//!
//! Lengths of text count characters. Values never stand in the findings: they may be secret.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::decode::Violation;
use crate::decode::json::Path;
use crate::model::{Kind, Number, Shape};

/// Most violations that are told at once.
const MAX_VIOLATIONS: usize = 10;

/// What `value` violates of `shape`, in model order; empty when it is right.
pub fn check(shape: &'static Shape, value: &Value) -> Vec<Violation> {
    let mut found = Vec::new();
    walk(shape, value, &mut Path::default(), &mut found);
    found
}

fn walk(shape: &'static Shape, value: &Value, path: &mut Path, found: &mut Vec<Violation>) {
    if found.len() >= MAX_VIOLATIONS {
        return;
    }
    match &shape.kind {
        Kind::Structure { members } => {
            for member in *members {
                let length = path.push(member.name);
                match value.get(member.name) {
                    Some(held) => walk(member.shape, held, path, found),
                    None if member.required && found.len() < MAX_VIOLATIONS => {
                        found.push(path.violation("must not be null"));
                    }
                    None => {}
                }
                path.truncate(length);
            }
        }
        Kind::List { member, min, max, .. } => {
            let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
            length_of(items.len(), *min, *max, path, found);
            for (index, item) in items.iter().enumerate() {
                let length = path.push_index(index);
                walk(member, item, path, found);
                path.truncate(length);
            }
        }
        Kind::Map { key, value: element, min, max } => {
            let Some(entries) = value.as_object() else { return };
            length_of(entries.len(), *min, *max, path, found);
            for (name, held) in entries {
                text(key, name, path, found);
                let length = path.push(name);
                walk(element, held, path, found);
                path.truncate(length);
            }
        }
        Kind::String { .. } => text(shape, value.as_str().unwrap_or_default(), path, found),
        Kind::Integer(range) => {
            let limits = Number { min: range.min.or(Some(i32::MIN.into())), max: range.max.or(Some(i32::MAX.into())) };
            number(value, limits, path, found);
        }
        Kind::Long(range) => number(value, *range, path, found),
        Kind::Blob { min: None, max: None } => {}
        Kind::Blob { min, max } => {
            let bytes = STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default();
            length_of(bytes.len(), *min, *max, path, found);
        }
        Kind::Boolean | Kind::Float | Kind::Double | Kind::Timestamp(_) => {}
    }
}

fn text(shape: &'static Shape, text: &str, path: &Path, found: &mut Vec<Violation>) {
    let Kind::String { min, max, pattern, values } = &shape.kind else { return };
    let before = found.len();
    if min.is_some() || max.is_some() {
        length_of(text.chars().count(), *min, *max, path, found);
    }
    if !values.is_empty() && !values.contains(&text) {
        found.push(path.violation(format!("must satisfy enum value set: [{}]", values.join(", "))));
    }
    // The length was told already: a huge text need not be matched as well.
    if found.len() == before
        && let Some(pattern) = pattern
        && !pattern.is_match(text)
    {
        found.push(path.violation(format!("must satisfy regular expression pattern: {}", pattern.as_str())));
    }
}

fn length_of(length: usize, min: Option<u32>, max: Option<u32>, path: &Path, found: &mut Vec<Violation>) {
    if let Some(min) = min
        && length < min as usize
    {
        found.push(path.violation(format!("must have length greater than or equal to {min}")));
    }
    if let Some(max) = max
        && length > max as usize
    {
        found.push(path.violation(format!("must have length less than or equal to {max}")));
    }
}

fn number(value: &Value, range: Number, path: &Path, found: &mut Vec<Violation>) {
    let Some(number) = value.as_i64() else { return };
    if let Some(min) = range.min
        && number < min
    {
        found.push(path.violation(format!("must have value greater than or equal to {min}")));
    }
    if let Some(max) = range.max
        && number > max
    {
        found.push(path.violation(format!("must have value less than or equal to {max}")));
    }
}
