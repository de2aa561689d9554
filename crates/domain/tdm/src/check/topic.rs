//! Topics, URLs and function ARNs: templates whose targets are known once a thing is bound (TG 10.1, 10.4, 10.5).

use marram_diag::Span;
use marram_expr::{Template, TemplatePart};

use super::context::Context;
use crate::codes::*;
use crate::syntax::ast::Value;

/// Longest topic, in bytes (AWS IoT broker).
const MAX_TOPIC_BYTES: usize = 256;
/// Most `/` in a topic (AWS IoT broker).
const MAX_TOPIC_SLASHES: usize = 7;

/// What an interpolation may read in a topic.
fn is_topic_root(path: &[&str]) -> bool {
    let is = |word: &str, other: &str| word.eq_ignore_ascii_case(other);
    match path {
        [root, field] if is(root, "systemRuntime") => is(field, "deviceId"),
        [root, _] => is(root, "systemConfig"),
        _ => false,
    }
}

impl Context<'_> {
    /// A topic, or with `is_filter` a topic filter.
    pub fn topic(&mut self, value: &Value, is_filter: bool) -> Option<Template> {
        let template = self.template(value)?;
        // each interpolation stands for one character of a level
        let mut text = String::new();
        for part in &template.parts {
            match part {
                TemplatePart::Text(literal) => text.push_str(literal),
                TemplatePart::Interpolation(expr) => {
                    if !expr.as_name_path().is_some_and(|path| is_topic_root(&path)) {
                        let at = self.place_in(value, expr.span.start as usize);
                        let message = "a topic may use systemRuntime.deviceId and systemConfig only";
                        self.error(TDM3017, at, message);
                        return None;
                    }
                    text.push('x');
                }
            }
        }
        if let Some(problem) = topic_problem(&text, is_filter) {
            self.error(TDM3017, value.span(), problem);
            return None;
        }
        Some(template)
    }

    /// An `https` or `http` URL. Only `systemConfig` may take part in scheme, host and port (TG 4.8).
    pub fn url(&mut self, value: &Value) -> Option<Template> {
        let template = self.template(value)?;
        let mut text = String::new();
        for part in &template.parts {
            match part {
                TemplatePart::Text(literal) => text.push_str(literal),
                TemplatePart::Interpolation(expr) => {
                    let after_scheme = text.split_once("://").map(|(_, rest)| rest);
                    let is_in_path = after_scheme.is_some_and(|rest| rest.contains(['/', '?', '#']));
                    let is_config =
                        expr.as_name_path().is_some_and(|path| path[0].eq_ignore_ascii_case("systemConfig"));
                    if !is_in_path && !is_config {
                        let at = self.place_in(value, expr.span.start as usize);
                        self.error(TDM3017, at, "scheme, host and port of a url may use systemConfig only");
                        return None;
                    }
                    text.push('x');
                }
            }
        }
        if let Some(problem) = url_problem(&text) {
            self.error(TDM3017, value.span(), problem);
            return None;
        }
        if is_unencrypted(&text) {
            let message = "http:// is not encrypted: a deployment needs allowInsecureHttp: true to use it";
            self.warning(TDM3017, value.span(), message);
        }
        Some(template)
    }

    /// `arn:aws:lambda:<region>:<account>:function:<name>[:<version or alias>]`.
    pub fn function_arn(&mut self, value: &Value) -> Option<Template> {
        let template = self.template(value)?;
        let text: String = template
            .parts
            .iter()
            .map(|part| match part {
                TemplatePart::Text(literal) => literal.as_str(),
                TemplatePart::Interpolation(_) => "x",
            })
            .collect();
        if !is_function_arn(&text) {
            let message = "expected arn:aws:lambda:<region>:<account>:function:<name>[:<version or alias>]";
            self.error(TDM3017, value.span(), message);
            return None;
        }
        Some(template)
    }

    /// An address or count of a Modbus request.
    pub fn modbus_number(&mut self, value: &Value, range: std::ops::RangeInclusive<i64>) -> Option<u16> {
        self.integer(value, range, TDM3017).and_then(|number| u16::try_from(number).ok())
    }

    /// Reports a Modbus count that does not fit.
    pub fn bad_count(&mut self, at: Span, message: String) {
        self.error(TDM3017, at, message);
    }
}

/// What is wrong with a topic whose interpolations are replaced by one character each.
fn topic_problem(text: &str, is_filter: bool) -> Option<String> {
    if text.is_empty() {
        return Some("the topic is empty".to_owned());
    }
    if text.len() > MAX_TOPIC_BYTES {
        return Some(format!("the topic has more than {MAX_TOPIC_BYTES} bytes"));
    }
    if text.matches('/').count() > MAX_TOPIC_SLASHES {
        return Some(format!("the topic has more than {MAX_TOPIC_SLASHES} slashes"));
    }
    if text.starts_with('$') && !text.starts_with("$aws/rules/") {
        return Some("a topic starts with `$` only as `$aws/rules/...`".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Some("the topic holds a control character".to_owned());
    }
    let levels: Vec<&str> = text.split('/').collect();
    for (index, level) in levels.iter().enumerate() {
        let is_wildcard = match *level {
            "+" => true,
            "#" => index + 1 == levels.len(),
            _ => false,
        };
        if is_wildcard && !is_filter {
            return Some("wildcards are for Subscribe topics only".to_owned());
        }
        if !is_wildcard && level.contains(['+', '#']) {
            return Some("`+` stands for a whole level, `#` for the last one".to_owned());
        }
    }
    None
}

/// Whether a URL that [`url_problem`] has no complaint about is not https.
fn is_unencrypted(text: &str) -> bool {
    !text.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
}

fn url_problem(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let Some(rest) = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://")) else {
        return Some("a url starts with https://".to_owned());
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if authority.contains('@') {
        return Some("a url carries no user name".to_owned());
    }
    let is_host =
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte));
    let is_port = port.is_none_or(|port| port == "x" || port.parse::<u16>().is_ok());
    if !is_host || !is_port {
        return Some("the url has no valid host and port".to_owned());
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Some("the url holds a space or control character".to_owned());
    }
    None
}

fn is_function_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    let is_word =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_$".contains(&b));
    match parts.as_slice() {
        ["arn", partition, "lambda", region, account, "function", name] => {
            [partition, region, account, name].iter().all(|part| is_word(part))
        }
        ["arn", partition, "lambda", region, account, "function", name, version] => {
            [partition, region, account, name, version].iter().all(|part| is_word(part))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TG 10.1: wildcards, levels, length and the leading `$`.
    #[test]
    fn topics_are_judged_by_the_broker_limits() {
        let long = "x".repeat(257);
        for (text, is_filter, is_good) in [
            ("a/b", false, true),
            ("x/motion)", false, true),
            ("a/+/c", true, true),
            ("a/+/c", false, false),
            ("a/#", true, true),
            ("#/a", true, false),
            ("a/b+", true, false),
            ("$aws/rules/r/x", false, true),
            ("$aws/things/x", false, false),
            ("1/2/3/4/5/6/7/8", false, true),
            ("1/2/3/4/5/6/7/8/9", false, false),
            ("", false, false),
            (long.as_str(), false, false),
        ] {
            assert_eq!(topic_problem(text, is_filter).is_none(), is_good, "{text}");
        }
    }

    /// TG 10.4, 10.5: scheme and host of a url, shape of a function's arn.
    #[test]
    fn urls_and_arns_need_their_shape() {
        for (text, is_good) in [
            ("https://rekognition.x.amazonaws.com", true),
            ("https://host:8443/a?b=x", true),
            ("http://[::1]/", true),
            ("ftp://host/", false),
            ("https:///path", false),
            ("https://user@host/", false),
            ("https://host:99999/", false),
            ("https://host/a b", false),
        ] {
            assert_eq!(url_problem(text).is_none(), is_good, "{text}");
        }
        for (text, is_good) in [
            ("arn:aws:lambda:x:x:function:GetS3Object:1", true),
            ("arn:aws:lambda:x:x:function:F", true),
            ("arn:aws:lambda:x:x:layer:F", false),
            ("arn:aws:lambda:x:x:function:", false),
            ("F", false),
        ] {
            assert_eq!(is_function_arn(text), is_good, "{text}");
        }
    }
}
