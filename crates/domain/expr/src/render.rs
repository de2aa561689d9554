//! Rendering templates: JSON escaping, topic and URL rules (TG 4.8).

use std::fmt::Write;

use crate::ast::{Expr, ExprKind, Span, Template, TemplatePart};
use crate::error::{EvalError, EvalErrorKind};
use crate::eval::{PartValue, eval_parts};
use crate::scope::Scope;
use crate::text::{MAX_RESULT_BYTES, escape_json, text, write_text};
use crate::value::Value;

/// Renders a template. In a JSON template, one whose literal text starts with `{` or `[`, whatever is interpolated between
/// double quotes is escaped as the inside of a JSON string.
///
/// # Errors
/// As for [`crate::eval()`], and when the text exceeds 256 KiB.
pub fn render(template: &Template, scope: &dyn Scope) -> Result<String, EvalError> {
    let mut renderer = Renderer::new(template);
    eval_parts(template, scope, |part| match part {
        PartValue::Text(text) => renderer.text(text),
        PartValue::Value(expr, value) => renderer.value(expr.span, value),
    })?;
    Ok(renderer.finish())
}

/// Renders an MQTT topic. An interpolated value that is empty, holds `+`, `#` or U+0000, starts or ends with `/` or holds
/// an empty level is refused.
///
/// # Errors
/// As for [`render`]; `TG.RequestInvalid` for a refused value.
pub fn render_topic(template: &Template, scope: &dyn Scope) -> Result<String, EvalError> {
    let mut topic = String::new();
    eval_parts(template, scope, |part| {
        match part {
            PartValue::Text(text) => topic.push_str(text),
            PartValue::Value(expr, value) => {
                let value = value_text(expr, value)?;
                let has_wildcard = value.contains(['+', '#', '\0']);
                if has_wildcard
                    || value.is_empty()
                    || value.starts_with('/')
                    || value.ends_with('/')
                    || value.contains("//")
                {
                    return Err(refused(expr, "value must not change the levels of a topic"));
                }
                topic.push_str(&value);
            }
        }
        limit(&topic)
    })?;
    Ok(topic)
}

/// Renders a URL. Interpolated values are percent-encoded in path, query and fragment; in scheme, host and port only
/// `systemConfig` values of letters, digits, `-` and `.` may stand.
///
/// # Errors
/// As for [`render`]; `TG.RequestInvalid` for a refused value.
pub fn render_url(template: &Template, scope: &dyn Scope) -> Result<String, EvalError> {
    let mut url = String::new();
    eval_parts(template, scope, |part| {
        match part {
            PartValue::Text(text) => url.push_str(text),
            PartValue::Value(expr, value) => {
                let value = value_text(expr, value)?;
                if is_past_authority(&url) {
                    encode(&value, &mut url);
                } else if is_system_config(expr)
                    && !value.is_empty()
                    && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
                {
                    url.push_str(&value);
                } else {
                    return Err(refused(expr, "value must not stand in the scheme, host or port of a URL"));
                }
            }
        }
        limit(&url)
    })?;
    let path = url.split(['?', '#']).next().unwrap_or_default();
    // Literal text and values together could spell a dot segment that climbs out of the intended path.
    if path.split('/').skip(3).any(|segment| matches!(segment, "." | "..")) {
        return Err(EvalError::request("URL path holds a dot segment"));
    }
    Ok(url)
}

fn value_text(expr: &Expr, value: &Value) -> Result<String, EvalError> {
    text(value).map_err(|error| EvalError::expression(expr.span, error.message()))
}

fn refused(expr: &Expr, message: &str) -> EvalError {
    EvalError { kind: EvalErrorKind::Request, span: expr.span, message: message.to_owned() }
}

fn limit(text: &str) -> Result<(), EvalError> {
    if text.len() > MAX_RESULT_BYTES {
        return Err(EvalError::expression(Span::default(), "result larger than 256 KiB"));
    }
    Ok(())
}

/// Whether `scheme://authority` of the URL so far is followed by a path, query or fragment.
fn is_past_authority(url: &str) -> bool {
    url.split_once("://").is_some_and(|(_, rest)| rest.contains(['/', '?', '#']))
}

fn is_system_config(expr: &Expr) -> bool {
    expr.as_name_path().is_some_and(|names| names[0].eq_ignore_ascii_case("systemConfig"))
}

/// Percent-encodes everything but the unreserved characters of RFC 3986.
fn encode(value: &str, out: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

impl Template {
    /// Whether the literal text starts with `{` or `[`: the template makes JSON.
    pub fn is_json(&self) -> bool {
        let literals = self.parts.iter().filter_map(|part| match part {
            TemplatePart::Text(text) => text.trim_start().chars().next(),
            TemplatePart::Interpolation(_) => None,
        });
        literals.take(1).any(|first| matches!(first, '{' | '['))
    }

    /// Whether an interpolation reads anything but the roots `allowed` (any case) and the library.
    pub fn reads_other_than(&self, allowed: &[&str]) -> bool {
        let is_allowed = |name: &&str| allowed.iter().any(|root| root.eq_ignore_ascii_case(name));
        self.exprs().any(|expr| {
            let mut is_trigger_path = false;
            expr.walk(&mut |inner| {
                is_trigger_path |= matches!(inner.kind, ExprKind::LastEvent { .. } | ExprKind::BoundThing { .. });
            });
            is_trigger_path || !expr.roots().iter().all(is_allowed)
        })
    }
}

/// Puts a template together part by part.
pub(crate) struct Renderer {
    out: String,
    is_json: bool,
    is_in_string: bool,
}

impl Renderer {
    pub(crate) fn new(template: &Template) -> Self {
        Self { out: String::new(), is_json: template.is_json(), is_in_string: false }
    }

    pub(crate) fn text(&mut self, text: &str) -> Result<(), EvalError> {
        let mut is_escaped = false;
        for byte in text.bytes() {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' if self.is_in_string => is_escaped = true,
                b'"' => self.is_in_string = !self.is_in_string,
                _ => {}
            }
        }
        self.out.push_str(text);
        limit(&self.out)
    }

    pub(crate) fn value(&mut self, span: Span, value: &Value) -> Result<(), EvalError> {
        let written = if self.is_json && self.is_in_string {
            text(value).map(|text| escape_json(&text, &mut self.out))
        } else {
            write_text(value, &mut self.out)
        };
        written.map_err(|error| EvalError::expression(span, error.message()))?;
        limit(&self.out)
    }

    pub(crate) fn finish(self) -> String {
        self.out
    }
}
