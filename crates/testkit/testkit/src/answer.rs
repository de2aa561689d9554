//! What a service answers, held against the model of its operation.

use marram_aws_api::{ApiError, Kind, Operation, ServiceId, Shape};
use serde_json::{Map, Value};

/// Longest list that [`pages`] follows.
const LIST_MAX: usize = 10_000;

/// An answer has the modelled shape; an error is one the operation or its service models, with that status and no
/// members of its own.
pub fn check_answer(service: ServiceId, operation: &Operation, answer: &Result<Value, ApiError>) {
    let name = operation.name;
    match (answer, operation.output) {
        (Ok(value), Some(shape)) => conforms(shape, value, name),
        (Ok(value), None) => assert!(value.as_object().is_some_and(Map::is_empty), "{name} is void"),
        // The front door answers this one for every service.
        (Err(error), _) if error.code == "AccessDeniedException" => {}
        (Err(error), _) => {
            // CreateThingGroup below a parent that is not there answers a code its model leaves out.
            let modelled = operation.error(&error.code).or_else(|| service.table().error(&error.code));
            let modelled = modelled.unwrap_or_else(|| panic!("{name} does not model {error}"));
            assert_eq!(modelled.status, error.status, "{name}: {error}");
            assert!(error.message.chars().count() <= 2048, "{name}: {error}");
            for member in error.members.keys() {
                assert!(modelled.members.contains(&member.as_str()), "{name}: {member}");
            }
        }
    }
}

/// Every member of an answer is one the model knows, with the model's type. `at` is where it stands, for the failure.
pub fn conforms(shape: &'static Shape, value: &Value, at: &str) {
    let fits = match &shape.kind {
        Kind::Structure { .. } => {
            for (name, value) in value.as_object().unwrap_or_else(|| panic!("{at} is {value}")) {
                let member = shape.member(name).unwrap_or_else(|| panic!("{at} has no member {name}"));
                conforms(member.shape, value, &format!("{at}.{name}"));
            }
            true
        }
        Kind::List { member, .. } => {
            let items = value.as_array().unwrap_or_else(|| panic!("{at} is {value}"));
            items.iter().for_each(|item| conforms(member, item, at));
            true
        }
        Kind::Map { value: member, .. } => {
            let entries = value.as_object().unwrap_or_else(|| panic!("{at} is {value}"));
            entries.values().for_each(|held| conforms(member, held, at));
            true
        }
        Kind::String { values, pattern, .. } => value.as_str().is_some_and(|text| {
            (values.is_empty() || values.contains(&text)) && pattern.is_none_or(|pattern| pattern.is_match(text))
        }),
        Kind::Integer(_) | Kind::Long(_) => value.is_i64(),
        Kind::Boolean => value.is_boolean(),
        Kind::Timestamp(_) => value.is_number(),
        _ => true,
    };
    assert!(fits, "{at} is {value}");
}

/// Every item of the list `member`, `page` at a time; `call` makes the call. The operation's own names for tokens and
/// limits are found in its model.
pub async fn pages(
    operation: &Operation,
    mut input: Value,
    member: &str,
    page: i64,
    call: impl AsyncFn(Value) -> Value,
) -> Vec<Value> {
    let has_markers = operation.input.is_some_and(|shape| shape.member("marker").is_some());
    let (token_in, token_out, limit) =
        if has_markers { ("marker", "nextMarker", "pageSize") } else { ("nextToken", "nextToken", "maxResults") };
    input[limit] = page.into();
    let mut all = Vec::new();
    loop {
        let answer = call(input.clone()).await;
        let items = answer[member].as_array().unwrap_or_else(|| panic!("{}: {answer}", operation.name));
        assert!(usize::try_from(page).is_ok_and(|page| items.len() <= page), "{}: a page is too long", operation.name);
        all.extend(items.iter().cloned());
        match answer.get(token_out) {
            Some(token) => input[token_in] = token.clone(),
            None => return all,
        }
        assert!(all.len() < LIST_MAX, "{} does not end", operation.name);
    }
}
