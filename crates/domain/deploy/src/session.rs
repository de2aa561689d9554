//! What narrows the credentials of one component: `marram.session.policy` in its configuration (SEC-134, CR 8.3).
//!
//! An IAM document, as an object or as text. The component then may do what both the role and this document allow. Checked where a
//! recipe or a deployment is made, where a core takes it up, and once more by the control plane that begins the session.

use marram_authz::{Policy, PolicyKind};
use serde_json::Value;

/// Longest document, in characters without the blanks of its layout: what STS takes (control-plane-api 3.6).
pub const SESSION_POLICY_MAX_CHARS: usize = 2048;

/// Why a component's session cannot be narrowed the way its configuration says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}; {remedy}")]
pub struct SessionPolicyError {
    /// Place below the configuration: `marram.session.policy`.
    pub field: &'static str,
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub remedy: &'static str,
}

/// The document in a component's configuration, as compact JSON; none when it is not narrowed. Names of settings are compared without
/// case, as a core does.
///
/// # Errors
/// [`SessionPolicyError`]: a setting nobody knows, or no policy. Nothing is narrowed by half.
pub fn session_policy(configuration: &Value) -> Result<Option<String>, SessionPolicyError> {
    let is_there = |value: &&Value| !value.is_null();
    let Some(session) = member(configuration, "marram").and_then(|marram| member(marram, "session")).filter(is_there)
    else {
        return Ok(None);
    };
    let wrong = |field, reason, remedy| Err(SessionPolicyError { field, reason, remedy });
    let Some(members) = session.as_object() else {
        return wrong("marram.session", "is not an object".to_owned(), "write {\"policy\": {..}}");
    };
    if let Some(unknown) = members.keys().find(|name| !name.eq_ignore_ascii_case("policy")) {
        return wrong("marram.session", format!("`{}` is no setting of sessions", shown(unknown)), "write `policy`");
    }
    let Some(policy) = member(session, "policy").filter(is_there) else { return Ok(None) };
    let refused = |reason: String| {
        let remedy = "give one whole IAM document, {\"Version\": \"2012-10-17\", \"Statement\": [..]}";
        Err(SessionPolicyError { field: "marram.session.policy", reason, remedy })
    };
    let text = match policy {
        Value::Object(_) => policy.to_string(),
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            // Repeated members are the parser's to find: it sees the text as it is written.
            Ok(_) if text.chars().count() <= SESSION_POLICY_MAX_CHARS => text.clone(),
            Ok(value) => value.to_string(),
            Err(error) => return refused(format!("the policy is not valid JSON: {error}")),
        },
        _ => return refused("the policy is not an object".to_owned()),
    };
    let length = text.chars().count();
    if length > SESSION_POLICY_MAX_CHARS {
        return refused(format!("the policy has {length} characters, at most {SESSION_POLICY_MAX_CHARS} are allowed"));
    }
    match Policy::parse(PolicyKind::Identity, "session", &text) {
        Ok(_) => Ok(Some(text)),
        Err(error) => refused(error.reason),
    }
}

fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// A name that may be anything, short enough for a message.
fn shown(name: &str) -> String {
    name.chars().take(64).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// SEC-134: a document is taken whole or refused with place and remedy; there is no configuration that looks narrowed and is not.
    #[test]
    fn a_policy_is_taken_whole_or_refused() {
        let read = json!({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"});
        let document = json!({"Version": "2012-10-17", "Statement": [read]});
        let narrowed = |policy: Value| json!({"marram": {"session": {"policy": policy}}});
        for (configuration, expected) in [
            (json!({}), None),
            (json!(null), None),
            (json!({"marram": {"sandbox": {"profile": "strict"}}}), None),
            (narrowed(json!(null)), None),
            (narrowed(document.clone()), Some(document.to_string())),
            (narrowed(json!(document.to_string())), Some(document.to_string())),
            (json!({"Marram": {"SESSION": {"Policy": document}}}), Some(document.to_string())),
        ] {
            assert_eq!(session_policy(&configuration), Ok(expected), "{configuration}");
        }
        let long = json!({"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "x".repeat(SESSION_POLICY_MAX_CHARS)}});
        for (configuration, field, reason) in [
            (json!({"marram": {"session": "narrow"}}), "marram.session", "not an object"),
            (json!({"marram": {"session": {"polcy": document}}}), "marram.session", "`polcy` is no setting"),
            (narrowed(json!([document])), "marram.session.policy", "not an object"),
            (narrowed(json!("{")), "marram.session.policy", "not valid JSON"),
            (narrowed(json!({"Version": "2012-10-17"})), "marram.session.policy", "no statement"),
            (narrowed(json!({"statement": [read]})), "marram.session.policy", "unknown element"),
            (
                narrowed(json!({"Statement": {"Effect": "Permit", "Action": "*", "Resource": "*"}})),
                "marram.session.policy",
                "Effect",
            ),
            (
                narrowed(json!({"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}})),
                "marram.session.policy",
                "Principal",
            ),
            (narrowed(long), "marram.session.policy", "at most 2048"),
        ] {
            let error = session_policy(&configuration).unwrap_err();
            assert!(error.field == field && error.reason.contains(reason) && !error.remedy.is_empty(), "{error}");
        }
    }
}
