//! An independent evaluator, written from the rules and not from the engine (SEC-110): it works on the JSON document
//! itself, tries every split of a wildcard, and looks at every statement in turn.

use std::collections::BTreeMap;

use serde_json::Value;

/// Context keys in lower case, each with its values.
pub type Context = BTreeMap<String, Vec<String>>;

/// Who asks.
pub struct Asker {
    pub account: &'static str,
    pub arn: &'static str,
    pub role: Option<&'static str>,
    pub service: Option<&'static str>,
}

pub struct Case<'a> {
    pub asker: &'a Asker,
    pub action: &'a str,
    pub resource: &'a str,
    pub context: &'a Context,
    pub strict: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Allow,
    ExplicitDeny,
    ImplicitDeny,
}

/// Documents of each layer; `None`: the layer is absent.
pub struct Sets<'a> {
    pub identity: Vec<&'a Value>,
    pub boundary: Option<&'a Value>,
    pub session: Option<Vec<&'a Value>>,
    pub guardrail: Option<&'a Value>,
    pub resource: Option<(&'a Value, &'a str, bool)>,
}

pub fn decide(case: &Case<'_>, sets: &Sets<'_>) -> Answer {
    let mut everything: Vec<&Value> = sets.identity.clone();
    everything.extend(sets.boundary);
    everything.extend(sets.session.iter().flatten());
    everything.extend(sets.guardrail);
    everything.extend(sets.resource.map(|(document, ..)| document));
    if everything.iter().any(|document| matching(case, document, "Deny").next().is_some()) {
        return Answer::ExplicitDeny;
    }
    let allows = |documents: &[&Value]| documents.iter().any(|d| matching(case, d, "Allow").next().is_some());
    if sets.guardrail.is_some_and(|document| !allows(&[document])) {
        return Answer::ImplicitDeny;
    }
    let identity = allows(&sets.identity);
    let boundary = sets.boundary.is_none_or(|document| allows(&[document]));
    let session = sets.session.as_ref().is_none_or(|documents| allows(documents));
    let own_side = identity && boundary && session;
    let allowed = match sets.resource {
        None => own_side,
        Some((document, owner, trust)) => {
            let names: Vec<&'static str> =
                matching(case, document, "Allow").map(|statement| closest(case.asker, statement)).collect();
            let named = |how: &str| names.contains(&how);
            let itself = named("itself");
            let role = named("role");
            let service = named("service");
            let anyone = named("anyone");
            if owner != case.asker.account {
                !names.is_empty() && (service || own_side)
            } else if trust {
                !names.is_empty() && (service || itself || (role && boundary && session) || own_side)
            } else {
                service || itself || ((role || anyone) && boundary && session) || own_side
            }
        }
    };
    if allowed { Answer::Allow } else { Answer::ImplicitDeny }
}

fn list(value: Option<&Value>) -> Vec<&Value> {
    match value {
        None => Vec::new(),
        Some(Value::Array(items)) => items.iter().collect(),
        Some(one) => vec![one],
    }
}

fn matching<'a>(case: &'a Case<'_>, document: &'a Value, effect: &'a str) -> impl Iterator<Item = &'a Value> {
    let variables = document["Version"] == "2012-10-17";
    list(document.get("Statement")).into_iter().filter(move |statement| {
        statement["Effect"] == effect
            && principal_matches(case.asker, statement)
            && action_matches(case.action, statement)
            && rest_matches(case, statement, variables, effect == "Deny")
    })
}

/// The closest way in which a statement names the asker.
fn closest(asker: &Asker, statement: &Value) -> &'static str {
    let mut best = "account";
    let rank = |how: &str| ["account", "anyone", "service", "role", "itself"].iter().position(|h| *h == how);
    for how in ways(asker, &statement["Principal"]) {
        if rank(how) > rank(best) {
            best = how;
        }
    }
    best
}

fn ways(asker: &Asker, principal: &Value) -> Vec<&'static str> {
    if principal == "*" {
        return vec!["anyone"];
    }
    let mut found = Vec::new();
    for text in list(principal.get("AWS")).into_iter().filter_map(Value::as_str) {
        if text == "*" {
            found.push("anyone");
        }
        if asker.service.is_some() {
            continue;
        }
        if text == asker.account || text.ends_with(&format!("{}:root", asker.account)) {
            found.push("account");
        }
        if text == asker.arn {
            found.push("itself");
        }
        if Some(text) == asker.role {
            found.push("role");
        }
    }
    for text in list(principal.get("Service")).into_iter().filter_map(Value::as_str) {
        if Some(text) == asker.service {
            found.push("service");
        }
    }
    found
}

fn principal_matches(asker: &Asker, statement: &Value) -> bool {
    if let Some(spared) = statement.get("NotPrincipal") {
        let found = ways(asker, spared);
        let has = |how: &str| found.contains(&how);
        let complete = has("account") && has("itself") && (asker.role.is_none() || has("role"));
        return !(has("anyone") || has("service") || complete);
    }
    statement.get("Principal").is_none_or(|principal| !ways(asker, principal).is_empty())
}

fn action_matches(action: &str, statement: &Value) -> bool {
    let hit = |name: &str| {
        list(statement.get(name))
            .into_iter()
            .filter_map(Value::as_str)
            .any(|pattern| pattern == "*" || wild(&chars(&pattern.to_lowercase()), &chars(&action.to_lowercase())))
    };
    if statement.get("NotAction").is_some() { !hit("NotAction") } else { hit("Action") }
}

/// One element of a pattern: a literal character, `*` or `?`.
#[derive(Clone, Copy, PartialEq)]
enum Sign {
    Char(char),
    Star,
    Mark,
}

fn chars(pattern: &str) -> Vec<Sign> {
    pattern
        .chars()
        .map(|c| match c {
            '*' => Sign::Star,
            '?' => Sign::Mark,
            c => Sign::Char(c),
        })
        .collect()
}

/// Replaces variables; `None` when one has no value.
fn signs(pattern: &str, context: &Context, variables: bool, wildcards: bool) -> Option<Vec<Sign>> {
    let all: Vec<char> = pattern.chars().collect();
    let mut out = Vec::new();
    let mut at = 0;
    while at < all.len() {
        if variables && all[at] == '$' && all.get(at + 1) == Some(&'{') {
            let end = (at..all.len()).find(|i| all[*i] == '}').unwrap();
            let inner: String = all[at + 2..end].iter().collect();
            at = end + 1;
            if ["*", "?", "$"].contains(&inner.as_str()) {
                out.push(Sign::Char(inner.chars().next().unwrap()));
                continue;
            }
            let (key, default) = match inner.split_once(',') {
                Some((key, default)) => (key.trim(), Some(default.trim().trim_matches('\'').to_owned())),
                None => (inner.as_str(), None),
            };
            let value = match context.get(&key.to_lowercase()).map(Vec::as_slice) {
                None | Some([]) => default?,
                Some([one]) => one.clone(),
                Some(_) => return None,
            };
            out.extend(value.chars().map(Sign::Char));
            continue;
        }
        out.push(match all[at] {
            '*' if wildcards => Sign::Star,
            '?' if wildcards => Sign::Mark,
            c => Sign::Char(c),
        });
        at += 1;
    }
    Some(out)
}

/// Tries every way to split the text: exponential in theory, plain to read.
fn wild(pattern: &[Sign], text: &[Sign]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((Sign::Star, rest)) => (0..=text.len()).any(|skip| wild(rest, &text[skip..])),
        Some((Sign::Mark, rest)) => !text.is_empty() && wild(rest, &text[1..]),
        Some((literal, rest)) => text.first() == Some(literal) && wild(rest, &text[1..]),
    }
}

fn plain(text: &str) -> Vec<Sign> {
    text.chars().map(Sign::Char).collect()
}

fn rest_matches(case: &Case<'_>, statement: &Value, variables: bool, deny: bool) -> bool {
    for (name, wanted) in [("Resource", true), ("NotResource", false)] {
        let Some(value) = statement.get(name) else { continue };
        let mut hit = false;
        let mut unknown = false;
        for pattern in list(Some(value)).into_iter().filter_map(Value::as_str) {
            match signs(pattern, case.context, variables, true) {
                Some(pattern) => hit |= wild(&pattern, &plain(case.resource)),
                None => unknown = true,
            }
        }
        if unknown && !deny {
            return false;
        }
        let matched = (unknown && case.strict) || hit == wanted;
        if !matched {
            return false;
        }
    }
    let Some(Value::Object(operators)) = statement.get("Condition") else { return true };
    operators.iter().all(|(operator, keys)| {
        keys.as_object().unwrap().iter().all(|(key, values)| {
            let wanted: Vec<&str> = list(Some(values)).into_iter().filter_map(Value::as_str).collect();
            let unknown = (operator.contains("String") || operator.contains("Arn"))
                && wanted.iter().any(|w| signs(w, case.context, variables, true).is_none());
            match (unknown, deny) {
                (true, false) => false,
                (true, true) if case.strict => true,
                _ => condition(operator, key, &wanted, case.context, variables),
            }
        })
    })
}

fn condition(operator: &str, key: &str, wanted: &[&str], context: &Context, variables: bool) -> bool {
    let values = context.get(&key.to_lowercase()).cloned().unwrap_or_default();
    if operator == "Null" {
        return wanted.iter().any(|w| (*w == "true") == values.is_empty());
    }
    let any = operator.starts_with("ForAnyValue:");
    let all = operator.starts_with("ForAllValues:");
    let name = operator.trim_start_matches("ForAnyValue:").trim_start_matches("ForAllValues:");
    let if_exists = name.ends_with("IfExists");
    let name = name.trim_end_matches("IfExists");
    let negated = name.contains("Not");
    let base = name.replace("Not", "");
    if values.is_empty() {
        return if_exists || all || (negated && !any);
    }
    let positive = |value: &str| wanted.iter().any(|w| holds(&base, w, value, context, variables));
    let results: Vec<bool> = values.iter().map(|value| positive(value) != negated).collect();
    if any {
        results.contains(&true)
    } else if all || negated {
        !results.contains(&false)
    } else {
        results.contains(&true)
    }
}

fn holds(base: &str, wanted: &str, value: &str, context: &Context, variables: bool) -> bool {
    let spelled = |wildcards| signs(wanted, context, variables, wildcards);
    let compare = |sign: &str| -> bool {
        let (Ok(w), Ok(v)) = (wanted.parse::<f64>(), value.parse::<f64>()) else { return false };
        match sign {
            "Equals" => v == w,
            "LessThan" => v < w,
            "LessThanEquals" => v <= w,
            "GreaterThan" => v > w,
            _ => v >= w,
        }
    };
    match base {
        "StringEquals" => spelled(false).is_some_and(|w| w == plain(value)),
        "StringEqualsIgnoreCase" => spelled(false).is_some_and(|w| {
            let lower = |signs: &[Sign]| -> String {
                signs.iter().map(|s| if let Sign::Char(c) = s { *c } else { ' ' }).collect::<String>().to_lowercase()
            };
            lower(&w) == value.to_lowercase()
        }),
        "StringLike" => spelled(true).is_some_and(|w| wild(&w, &plain(value))),
        "ArnEquals" | "ArnLike" => {
            let pattern: Vec<&str> = wanted.splitn(6, ':').collect();
            let fields: Vec<&str> = value.splitn(6, ':').collect();
            fields.len() == 6
                && pattern.iter().zip(&fields).all(|(pattern, field)| {
                    signs(pattern, context, variables, true).is_some_and(|p| wild(&p, &plain(field)))
                })
        }
        "Bool" => {
            let read = |text: &str| text.to_lowercase().parse::<bool>().ok();
            read(value).is_some() && read(value) == read(wanted)
        }
        name if name.starts_with("Numeric") => compare(name.trim_start_matches("Numeric")),
        other => panic!("the generator made {other}"),
    }
}
