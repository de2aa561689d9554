//! What a step does when its activity fails: the clauses of OnError (TG 6.5).

use serde_json::{Value, json};

use super::Bench;
use super::sheet::{Lines, Patch};
use super::step::call_text;
use crate::LanguageError;
use crate::drawing::{catch, retry};
use crate::outline::Step;
use crate::request::Request;

/// Settings of a Retry and a Catch in the order they are written.
const RETRY: [&str; 6] = ["name", "errorEquals", "condition", "interval", "backoffRate", "maxAttempts"];
const CATCH: [&str; 5] = ["name", "errorEquals", "condition", "raiseEvent", "expr"];
/// Most clauses of one list.
const MAX_CLAUSES: usize = 100;

impl Bench<'_, '_> {
    pub(super) fn set_on_error(&self, edit: &Request<'_>) -> Result<Vec<Patch>, LanguageError> {
        let step = self.step(edit)?;
        let retries = read(edit, "retries", &RETRY)?;
        let catches = read(edit, "catches", &CATCH)?;
        if retries.is_empty() && catches.is_empty() {
            return Ok(step.on_error.map(|block| self.sheet.remove(block.place.0)).into_iter().collect());
        }
        let Some(_) = step.on_error else {
            let mut lines: Lines = vec![(0, "OnError {".to_owned())];
            for (list, word, settings, clauses) in
                [("Retries", "Retry", &RETRY[..], &retries), ("Catches", "Catch", &CATCH[..], &catches)]
            {
                if !clauses.is_empty() {
                    lines.push((1, format!("{list} {{")));
                    lines.extend(clauses.iter().map(|clause| (2, self.clause(word, settings, clause))));
                    lines.push((1, "}".to_owned()));
                }
            }
            lines.push((0, "}".to_owned()));
            return Ok(vec![self.sheet.append(step.written, &lines)]);
        };
        let mut patches = self.change_clauses(step, "Retries", "Retry", &RETRY, &retries);
        patches.extend(self.change_clauses(step, "Catches", "Catch", &CATCH, &catches));
        Ok(patches)
    }

    /// Settings that stay the same keep their text; surplus clauses are removed, new ones added.
    fn change_clauses(
        &self,
        step: &Step<'_>,
        list: &str,
        word: &str,
        settings: &[&str],
        wanted: &[Value],
    ) -> Vec<Patch> {
        let written = step.clauses(list, word);
        let mut patches = Vec::new();
        for (index, clause) in written.iter().enumerate() {
            let known = if word == "Retry" { retry(clause) } else { catch(clause) };
            match wanted.get(index) {
                None => patches.push(self.sheet.remove(clause.place.0)),
                Some(new) if is_same(new, &known) => {}
                Some(new) => {
                    let is_set =
                        |value: &&Value| !value.is_null() && value.as_array().is_none_or(|all| !all.is_empty());
                    let changed = settings.iter().filter(|setting| !is_same(&new[**setting], &known[**setting]));
                    let changed = changed.map(|setting| {
                        (*setting, Some(&new[*setting]).filter(is_set).and_then(|value| self.sheet.value(value)))
                    });
                    let changed: Vec<(&str, Option<String>)> = changed.collect();
                    let changed: Vec<(&str, Option<&str>)> =
                        changed.iter().map(|(name, value)| (*name, value.as_deref())).collect();
                    let name_end = clause.name.span().end as usize;
                    patches.extend(self.sheet.set_arguments(clause.arguments.as_ref(), name_end, &changed));
                }
            }
        }
        let added = wanted.get(written.len()..).unwrap_or_default();
        let added: Lines = added.iter().map(|clause| (0, self.clause(word, settings, clause))).collect();
        if !added.is_empty() {
            patches.extend(self.append_clauses(step, list, &added));
        }
        patches
    }

    /// Adds one clause to a list of OnError, which comes into being when it is not there.
    pub(super) fn append_clause(&self, step: &Step<'_>, list: &str, clause: &str) -> Vec<Patch> {
        self.append_clauses(step, list, &vec![(0, clause.to_owned())])
    }

    fn append_clauses(&self, step: &Step<'_>, list: &str, clauses: &Lines) -> Vec<Patch> {
        let within = |name: &str, lines: &Lines| {
            let mut block: Lines = vec![(0, format!("{name} {{"))];
            block.extend(lines.iter().map(|(depth, line)| (depth + 1, line.clone())));
            block.push((0, "}".to_owned()));
            block
        };
        let Some(on_error) = step.on_error else {
            return vec![self.sheet.append(step.written, &within("OnError", &within(list, clauses)))];
        };
        let block = on_error.children().iter().find(|block| block.name.is(list));
        vec![match block {
            Some(block) => self.sheet.append(block, clauses),
            None => self.sheet.append(on_error, &within(list, clauses)),
        }]
    }

    fn clause(&self, word: &str, settings: &[&str], clause: &Value) -> String {
        let written = settings.iter().filter_map(|setting| {
            let value = clause.get(*setting).filter(|value| !value.is_null())?;
            if value.as_array().is_some_and(Vec::is_empty) {
                return None;
            }
            Some(((*setting).to_owned(), self.sheet.value(value)?))
        });
        call_text(word, &written.collect::<Vec<_>>())
    }
}

/// The clauses of a request, every setting present.
fn read(edit: &Request<'_>, member: &str, settings: &[&str]) -> Result<Vec<Value>, LanguageError> {
    let clauses = edit.list(member)?;
    if clauses.len() > MAX_CLAUSES {
        return Err(LanguageError::about(member, format!("more than {MAX_CLAUSES} clauses")));
    }
    let one = |(index, clause): (usize, &Value)| {
        let read = || {
            let clause = Request::new(clause)?;
            let mut whole = json!({});
            for setting in settings {
                whole[*setting] = match *setting {
                    "errorEquals" | "raiseEvent" => json!(clause.strings(setting)?),
                    "backoffRate" | "maxAttempts" | "interval" => match clause.get(setting) {
                        Some(value) if value.is_number() || value.is_string() => value.clone(),
                        Some(_) => return Err(LanguageError::about(*setting, "expected a number or a string")),
                        None => Value::Null,
                    },
                    _ => json!(clause.optional(setting)?.filter(|text| !text.trim().is_empty())),
                };
            }
            if whole["errorEquals"].as_array().is_none_or(Vec::is_empty) && whole["condition"].is_null() {
                return Err(LanguageError::about("errorEquals", "expected the names of errors, or a condition"));
            }
            Ok(whole)
        };
        read().map_err(|error: LanguageError| error.within(&format!("{member}[{index}]")))
    };
    clauses.iter().enumerate().map(one).collect()
}

/// Equality of clauses: 2 and 2.0 are one number.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| is_same(value, other)))
        }
        _ => one == other,
    }
}
