//! The door for policy documents: text in, [`Policy`] out, or the reason why not.
//!
//! Grammar: control-plane-api.md section 3.2. Element names are exact, unknown ones are refused, repeated keys too.

use smol_str::{SmolStr, StrExt};

use crate::condition::Condition;
use crate::json::Json;
use crate::legacy;
use crate::pattern::{Pattern, Reading};
use crate::policy::{ActionPattern, Effect, Policy, PolicyKind, ResourcePattern, Statement};
use crate::principal::{Named, Principals};

/// Longest document read at all, in bytes; the quotas of each kind are lower and are the caller's.
pub const MAX_DOCUMENT_BYTES: usize = 131_072;
/// Most statements of a document (security.md section 12.2).
pub const MAX_STATEMENTS: usize = 100;
/// Quota of an IoT policy document, in characters (security.md section 12.2).
pub const IOT_POLICY_MAX_CHARS: usize = 2048;
/// Quota of a managed policy, in characters that are not blank (control-plane-api.md section 3.1).
pub const MANAGED_POLICY_MAX_CHARS: usize = 6144;
/// Quota of a role's trust policy, in characters that are not blank (control-plane-api.md section 3.1).
pub const TRUST_POLICY_MAX_CHARS: usize = 2048;

/// Why a document is not a policy: `MalformedPolicyDocument` (iam, sts), `MalformedPolicyException` (iot).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct MalformedPolicy {
    /// What to change, for the author.
    pub reason: String,
}

fn bad<T>(reason: impl Into<String>) -> Result<T, MalformedPolicy> {
    Err(MalformedPolicy { reason: reason.into() })
}

impl From<String> for MalformedPolicy {
    fn from(reason: String) -> MalformedPolicy {
        MalformedPolicy { reason }
    }
}

pub(crate) fn policy(kind: PolicyKind, id: &str, document: &str) -> Result<Policy, MalformedPolicy> {
    if document.len() > MAX_DOCUMENT_BYTES {
        return bad("the policy document is too long");
    }
    let json: Json = serde_json::from_str(document)
        .map_err(|error| MalformedPolicy { reason: format!("the policy is not valid JSON: {error}") })?;
    let Json::Object(elements) = json else { return bad("the policy is not a JSON object") };
    let mut variables = false;
    let mut listed = None;
    for (name, value) in elements {
        match (name.as_str(), value) {
            ("Version", Json::String(version)) => match version.as_str() {
                "2012-10-17" => variables = true,
                "2008-10-17" => {}
                _ => return bad(format!("unknown policy version `{version}`")),
            },
            ("Id", Json::String(_)) => {}
            ("Statement", Json::Array(statements)) => listed = Some(statements),
            ("Statement", statement @ Json::Object(_)) => listed = Some(vec![statement]),
            ("Version" | "Id" | "Statement", _) => return bad(format!("element `{name}` has the wrong type")),
            _ => return bad(format!("unknown element `{name}`")),
        }
    }
    let listed = listed.unwrap_or_default();
    if listed.is_empty() {
        return bad("the policy has no statement");
    }
    if listed.len() > MAX_STATEMENTS {
        return bad(format!("the policy has more than {MAX_STATEMENTS} statements"));
    }
    let mut statements: Vec<Statement> = Vec::with_capacity(listed.len());
    let mut sids: Vec<SmolStr> = Vec::new();
    for (index, statement) in listed.into_iter().enumerate() {
        let (statement, sid) = parse_statement(kind, index, statement, variables)?;
        if let Some(sid) = sid {
            if sids.contains(&sid) {
                return bad(format!("statement ids must be unique: `{sid}`"));
            }
            sids.push(sid);
        }
        statements.push(statement);
    }
    Ok(Policy { id: id.into(), kind, statements })
}

fn parse_statement(
    kind: PolicyKind,
    index: usize,
    json: Json,
    variables: bool,
) -> Result<(Statement, Option<SmolStr>), MalformedPolicy> {
    let Json::Object(elements) = json else { return bad("a statement is not a JSON object") };
    let device = kind == PolicyKind::Device;
    let reading = Reading { wildcards: true, variables, plain_values_only: device };
    let mut sid = None;
    let mut effect = None;
    let (mut principals, mut not_principals) = (None, None);
    let (mut actions, mut resources) = (None, None);
    let (mut not_actions, mut not_resources) = (false, false);
    let mut conditions = Vec::new();
    for (name, value) in elements {
        match name.as_str() {
            "Sid" => match value {
                Json::String(text) if text.is_empty() => {}
                Json::String(text) => sid = Some(SmolStr::new(text)),
                _ => return bad("`Sid` is not a string"),
            },
            "Effect" => match value {
                Json::String(text) if text.eq_ignore_ascii_case("Allow") => effect = Some(Effect::Allow),
                Json::String(text) if text.eq_ignore_ascii_case("Deny") => effect = Some(Effect::Deny),
                _ => return bad("`Effect` is neither `Allow` nor `Deny`"),
            },
            "Principal" => principals = Some(parse_principals(value)?),
            "NotPrincipal" => not_principals = Some(parse_principals(value)?),
            "Action" | "NotAction" => {
                if actions.is_some() {
                    return bad("a statement has both `Action` and `NotAction`");
                }
                not_actions = name == "NotAction";
                let texts = strings(&name, value)?;
                actions = Some(texts.iter().map(|text| parse_action(text)).collect::<Result<Vec<_>, _>>()?);
            }
            "Resource" | "NotResource" => {
                if resources.is_some() {
                    return bad("a statement has both `Resource` and `NotResource`");
                }
                not_resources = name == "NotResource";
                let texts = strings(&name, value)?;
                let mut list = Vec::with_capacity(texts.len());
                for text in &texts {
                    push_resource(&mut list, text, reading)?;
                }
                resources = Some(list);
            }
            "Condition" => conditions = parse_conditions(value, variables, device)?,
            _ => return bad(format!("unknown element `{name}`")),
        }
    }
    let Some(effect) = effect else { return bad("a statement has no `Effect`") };
    let Some(actions) = actions else { return bad("a statement has no `Action`") };
    let needs_principal = matches!(kind, PolicyKind::Resource | PolicyKind::Trust);
    match (needs_principal, principals.is_some(), not_principals.is_some()) {
        (true, true, false) | (false, false, false) => {}
        (true, false, true) if effect == Effect::Deny => {}
        (true, false, true) => return bad("`NotPrincipal` goes only with `Deny`"),
        (true, true, true) => return bad("a statement has both `Principal` and `NotPrincipal`"),
        (true, false, false) => return bad("a statement has no `Principal`"),
        (false, ..) => return bad("this kind of policy has no `Principal`"),
    }
    let resources = match (kind == PolicyKind::Trust, resources) {
        (true, None) => Vec::new(),
        (true, Some(_)) => return bad("a trust policy has no `Resource`"),
        (false, Some(resources)) => resources,
        (false, None) => return bad("a statement has no `Resource`"),
    };
    let name = sid.clone().unwrap_or_else(|| SmolStr::new(index.to_string()));
    let statement = Statement {
        name,
        effect,
        principals,
        not_principals,
        actions,
        not_actions,
        resources,
        not_resources,
        conditions,
    };
    Ok((statement, sid))
}

/// One string, or a list of at least one.
fn strings(element: &str, value: Json) -> Result<Vec<String>, MalformedPolicy> {
    let list = match value {
        Json::String(text) => return Ok(vec![text]),
        Json::Array(list) if !list.is_empty() => list,
        _ => return bad(format!("`{element}` is neither a string nor a list of strings")),
    };
    list.into_iter()
        .map(|item| match item {
            Json::String(text) => Ok(text),
            _ => bad(format!("`{element}` holds something that is not a string")),
        })
        .collect()
}

fn parse_action(text: &str) -> Result<ActionPattern, MalformedPolicy> {
    if text == "*" || text == "*:*" {
        return Ok(ActionPattern::Everything);
    }
    let wrong = || MalformedPolicy { reason: format!("`{text}` is not an action: it must be `service:Name`") };
    let (service, name) = text.split_once(':').ok_or_else(wrong)?;
    let service_ok = !service.is_empty() && service.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let name_char = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'*' | b'?' | b'.' | b'-' | b'_');
    if !service_ok || name.is_empty() || !name.bytes().all(name_char) {
        return Err(wrong());
    }
    let reading = Reading { wildcards: true, variables: false, plain_values_only: false };
    let name = Pattern::parse(name, reading).map_err(|_| wrong())?;
    Ok(ActionPattern::Named { service: service.to_lowercase_smolstr(), name })
}

fn push_resource(list: &mut Vec<ResourcePattern>, text: &str, reading: Reading) -> Result<(), MalformedPolicy> {
    let pattern =
        Pattern::parse(text, reading).map_err(|why| MalformedPolicy { reason: format!("resource `{text}`: {why}") })?;
    if !pattern.is_any() && !looks_like_arn(text) {
        return bad(format!("resource `{text}` must be an ARN of six fields, or `*`"));
    }
    if let Some(current) = legacy::current_form(text) {
        let pattern = Pattern::parse(&current, reading).map_err(|why| MalformedPolicy { reason: why.to_owned() })?;
        list.push(ResourcePattern { pattern, legacy: true });
    } else {
        list.push(ResourcePattern { pattern, legacy: false });
    }
    Ok(())
}

/// `arn:` and at least six fields, not counting colons inside variables.
fn looks_like_arn(text: &str) -> bool {
    let mut colons = 0_usize;
    let mut inside = false;
    let mut previous = ' ';
    for c in text.chars() {
        match c {
            '{' if previous == '$' => inside = true,
            '}' => inside = false,
            ':' if !inside => colons = colons.saturating_add(1),
            _ => {}
        }
        previous = c;
    }
    text.starts_with("arn:") && colons >= 5
}

fn parse_principals(value: Json) -> Result<Principals, MalformedPolicy> {
    let entries = match value {
        Json::String(text) if text == "*" => return Ok(Principals(vec![Named::Everyone])),
        Json::Object(entries) if !entries.is_empty() => entries,
        _ => return bad("a principal is neither `*` nor an object"),
    };
    let mut list = Vec::new();
    for (kind, value) in entries {
        for text in strings(&kind, value)? {
            let named = match kind.as_str() {
                "AWS" => Named::parse_aws(&text),
                "Service" => {
                    let host = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
                    (host && text.contains('.')).then(|| Named::Service(text.to_lowercase_smolstr()))
                }
                "Federated" | "CanonicalUser" => (!text.is_empty()).then(|| Named::Federated(text.clone().into())),
                _ => return bad(format!("unknown kind of principal `{kind}`")),
            };
            match named {
                Some(named) => list.push(named),
                None => return bad(format!("invalid principal in policy: `{text}`")),
            }
        }
    }
    Ok(Principals(list))
}

fn parse_conditions(value: Json, variables: bool, device: bool) -> Result<Vec<Condition>, MalformedPolicy> {
    let Json::Object(operators) = value else { return bad("`Condition` is not an object") };
    let mut conditions = Vec::new();
    for (operator, keys) in operators {
        let Json::Object(keys) = keys else { return bad(format!("condition `{operator}` is not an object")) };
        for (key, values) in keys {
            let values = match values {
                Json::Array(list) => list,
                single => vec![single],
            };
            let texts = values
                .into_iter()
                .map(|value| match value {
                    Json::String(text) => Ok(text),
                    Json::Bool(flag) => Ok(flag.to_string()),
                    Json::Number(number) => Ok(number.to_string()),
                    _ => bad(format!("condition key `{key}` has a value that is not text, number or boolean")),
                })
                .collect::<Result<Vec<String>, _>>()?;
            conditions.push(Condition::parse(&operator, &key, &texts, variables, device)?);
        }
    }
    Ok(conditions)
}
