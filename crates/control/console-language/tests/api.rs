//! The examples of `crates/control/console/API.md` are true.

use marram_console_language::{PublicWorld, VERBS, answer};
use serde_json::Value;

const API: &str = include_str!("../../console/API.md");

/// The fenced blocks that start with `opening`, with the rest of the opening line.
fn blocks(opening: &str) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for part in API.split(opening).skip(1) {
        let (head, rest) = part.split_once('\n').expect("an opening line ends");
        let (body, _) = rest.split_once("```").expect("a block is closed");
        let value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{head}: {error}\n{body}"));
        found.push((head.trim().to_owned(), value));
    }
    found
}

/// Whether `actual` is what the example says. A string of dots stands for anything; at the end of a list for the rest.
fn agrees(example: &Value, actual: &Value, path: &str) -> Result<(), String> {
    let is_anything = |value: &Value| value.as_str().is_some_and(|text| text.starts_with("..."));
    match (example, actual) {
        (example, _) if is_anything(example) => Ok(()),
        (Value::Object(example), Value::Object(actual)) => {
            let known: Vec<&String> = actual.keys().collect();
            if let Some(missing) = example.keys().find(|key| !actual.contains_key(*key)) {
                return Err(format!("{path}: no `{missing}` in {known:?}"));
            }
            if let Some(surplus) = actual.keys().find(|key| !example.contains_key(*key)) {
                return Err(format!("{path}: the example lacks `{surplus}`: {}", actual[surplus]));
            }
            example.iter().try_for_each(|(key, value)| agrees(value, &actual[key], &format!("{path}.{key}")))
        }
        (Value::Array(example), Value::Array(actual)) => {
            let open = example.last().is_some_and(is_anything);
            let listed = if open { &example[..example.len() - 1] } else { &example[..] };
            if actual.len() < listed.len() || (!open && actual.len() > listed.len()) {
                return Err(format!("{path}: {} items, not {}", actual.len(), listed.len()));
            }
            let mut pairs = listed.iter().zip(actual).enumerate();
            pairs.try_for_each(|(index, (one, other))| agrees(one, other, &format!("{path}[{index}]")))
        }
        (example, actual) if example == actual => Ok(()),
        (example, actual) => Err(format!("{path}: the example says {example}, the service {actual}")),
    }
}

/// API.md: every verb has an example, and the service answers as it says.
#[test]
fn the_examples_hold() {
    let (requests, responses) = (blocks("```json request "), blocks("```json response"));
    let verbs: Vec<&str> = requests.iter().map(|(verb, _)| verb.as_str()).collect();
    assert_eq!(verbs, ["check", "format", "complete", "flow", "edit", "simulate", "scope"]);
    assert_eq!(verbs, VERBS);
    let mut problems = Vec::new();
    for ((verb, request), (_, response)) in requests.iter().zip(&responses) {
        let answered = answer(verb, request, &PublicWorld).unwrap_or_else(|error| panic!("{verb}: {error}"));
        if let Err(problem) = agrees(response, &answered, verb) {
            problems.push(format!("{problem}\n{answered}"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}
