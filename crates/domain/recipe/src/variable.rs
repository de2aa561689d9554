//! Recipe variables (CR 1.8): `{namespace:key}` and `{component:namespace:key}`. No nesting, no defaults, no escape.

use serde_json::Value;

/// A variable in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable<'a> {
    /// A direct dependency; none is the component itself.
    pub component: Option<&'a str>,
    /// `configuration`, `artifacts`, `work`, `kernel`, `iot`.
    pub namespace: &'a str,
    /// A JSON pointer for `configuration`, else a name.
    pub key: &'a str,
}

/// A text after substitution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpolated {
    /// The text.
    pub text: String,
    /// Variables that nothing answered; they stand in the text as written.
    pub unresolved: Vec<String>,
}

/// Replaces each variable by what `resolve` answers; what it does not know stays as written and is told.
pub fn interpolate(text: &str, mut resolve: impl FnMut(Variable<'_>) -> Option<Value>) -> Interpolated {
    let mut done = Interpolated { text: String::with_capacity(text.len()), unresolved: Vec::new() };
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        done.text.push_str(&rest[..start]);
        rest = &rest[start..];
        let Some((variable, length)) = variable_at(rest) else {
            done.text.push('{');
            rest = &rest[1..];
            continue;
        };
        let (written, after) = rest.split_at(length);
        match resolve(variable) {
            Some(value) => done.text.push_str(&render(&value)),
            None => {
                done.text.push_str(written);
                done.unresolved.push(written.to_owned());
            }
        }
        rest = after;
    }
    done.text.push_str(rest);
    done
}

/// Replaces the variables of every text in `value`, keys excepted; adds what was not resolved to `unresolved`.
pub fn interpolate_value(
    value: &Value,
    resolve: &mut dyn FnMut(Variable<'_>) -> Option<Value>,
    unresolved: &mut Vec<String>,
) -> Value {
    match value {
        Value::String(text) if text.contains('{') => {
            let done = interpolate(text, resolve);
            unresolved.extend(done.unresolved);
            Value::String(done.text)
        }
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| interpolate_value(item, resolve, unresolved)).collect())
        }
        Value::Object(map) => Value::Object(
            map.iter().map(|(key, value)| (key.clone(), interpolate_value(value, resolve, unresolved))).collect(),
        ),
        other => other.clone(),
    }
}

/// A value as it stands in a script: scalars plain, the rest JSON with sorted keys.
pub fn render(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => {
            let mut text = String::new();
            sorted_json(value, &mut text);
            text
        }
        scalar => scalar.to_string(),
    }
}

fn sorted_json(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (index, (key, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Value::String(key.clone()).to_string());
                text.push(':');
                sorted_json(value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                sorted_json(item, text);
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

/// The variable that `text`, which begins with `{`, begins with, and its length in bytes.
fn variable_at(text: &str) -> Option<(Variable<'_>, usize)> {
    let inside = &text[1..text.find('}')?];
    let is_word = |part: &&str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    };
    let mut parts = inside.splitn(4, ':');
    let first = parts.next().filter(is_word)?;
    let second = parts.next()?;
    let variable = match (parts.next(), parts.next()) {
        (None, _) => Variable { component: None, namespace: first, key: second },
        (Some(third), None) if is_word(&second) => Variable { component: Some(first), namespace: second, key: third },
        _ => return None,
    };
    Some((variable, inside.len() + 2))
}
