//! What a step checks after its activity succeeded: the checks of OnSuccess (TG 6.6).

use marram_tdm::syntax::ast::Selection;
use serde_json::Value;

use super::Bench;
use super::sheet::{Lines, Patch};
use super::step::call_text;
use crate::LanguageError;
use crate::outline::{children, text_of};
use crate::request::Request;
use crate::types::statements;

/// Most checks of a step, and statements of an arm.
const MAX_CHECKS: usize = 100;
/// Member of a request and the block it stands for.
const ARMS: [(&str, &str); 2] = [("pass", "OnPass"), ("fail", "OnFail")];

/// A check as a request tells it.
struct Check {
    name: Option<String>,
    condition: String,
    /// Statements of `OnPass` and `OnFail`.
    arms: [Vec<String>; 2],
}

impl Bench<'_, '_> {
    pub(super) fn set_on_success(&self, edit: &Request<'_>) -> Result<Vec<Patch>, LanguageError> {
        let step = self.step(edit)?;
        let checks = read(edit)?;
        if checks.is_empty() {
            return Ok(step.on_success.map(|block| self.sheet.remove(block.place.0)).into_iter().collect());
        }
        let written = step.checks();
        let mut patches = Vec::new();
        for (index, known) in written.iter().enumerate() {
            match checks.get(index) {
                Some(wanted) => patches.extend(self.change_check(known, wanted)),
                None => patches.push(self.sheet.remove(known.place.0)),
            }
        }
        let added = checks.get(written.len()..).unwrap_or_default();
        let lines: Lines = added.iter().flat_map(|check| self.check_lines(check)).collect();
        match step.on_success {
            _ if lines.is_empty() => {}
            Some(block) => patches.push(self.sheet.append(block, &lines)),
            None => {
                let mut whole: Lines = vec![(0, "OnSuccess {".to_owned())];
                whole.extend(lines.into_iter().map(|(depth, line)| (depth + 1, line)));
                whole.push((0, "}".to_owned()));
                patches.push(self.sheet.append(step.written, &whole));
            }
        }
        Ok(patches)
    }

    /// Name, condition and statements one by one: what stays the same keeps its text.
    fn change_check(&self, known: &Selection, wanted: &Check) -> Vec<Patch> {
        let sheet = self.sheet;
        let name = wanted.name.as_deref().filter(|name| !name.is_empty());
        let mut changes: Vec<(&str, Option<String>)> = Vec::new();
        if text_of(known, "name").map(|text| text.as_str()) != name {
            changes.push(("name", name.map(|name| sheet.quoted(name))));
        }
        if text_of(known, "condition").is_none_or(|text| *text != wanted.condition) {
            changes.push(("condition", Some(sheet.quoted(&wanted.condition))));
        }
        let changes: Vec<(&str, Option<&str>)> =
            changes.iter().map(|(name, value)| (*name, value.as_deref())).collect();
        let mut patches = sheet.set_arguments(known.arguments.as_ref(), known.name.span().end as usize, &changes);
        let mut missing = Lines::new();
        for ((_, arm), wanted) in ARMS.iter().zip(&wanted.arms) {
            let same = statements(known, arm).iter().map(|text| text.as_str()).eq(wanted.iter().map(String::as_str));
            let blocks: Vec<&Selection> = children(known).filter(|block| block.name.is(arm)).collect();
            match blocks.as_slice() {
                _ if same => {}
                [] => missing.push((0, self.arm(arm, wanted))),
                all if wanted.is_empty() => patches.extend(all.iter().map(|block| sheet.remove(block.place.0))),
                all => patches.extend(self.change_arm(all, wanted)),
            }
        }
        if !missing.is_empty() {
            patches.push(sheet.append(known, &missing));
        }
        patches
    }

    fn change_arm(&self, blocks: &[&Selection], wanted: &[String]) -> Vec<Patch> {
        let sheet = self.sheet;
        let known: Vec<&Selection> =
            blocks.iter().flat_map(|block| children(block)).filter(|inner| inner.name.is("stmt")).collect();
        let mut patches = Vec::new();
        for (index, statement) in known.iter().enumerate() {
            match wanted.get(index) {
                Some(text) => patches.extend(sheet.set_of(statement, "expr", Some(&sheet.quoted(text)))),
                None => patches.push(sheet.remove(statement.place.0)),
            }
        }
        let added = wanted.get(known.len()..).unwrap_or_default();
        let lines: Lines = added.iter().map(|text| (0, self.statement(text))).collect();
        if let (Some(last), false) = (blocks.last(), lines.is_empty()) {
            patches.push(sheet.append(last, &lines));
        }
        patches
    }

    fn statement(&self, text: &str) -> String {
        format!("stmt(expr: {})", self.sheet.quoted(text))
    }

    fn arm(&self, word: &str, wanted: &[String]) -> String {
        let statements: Vec<String> = wanted.iter().map(|text| self.statement(text)).collect();
        format!("{word} {{ {} }}", statements.join(" "))
    }

    fn check_lines(&self, check: &Check) -> Lines {
        let mut settings = Vec::new();
        if let Some(name) = check.name.as_deref().filter(|name| !name.is_empty()) {
            settings.push(("name".to_owned(), self.sheet.quoted(name)));
        }
        settings.push(("condition".to_owned(), self.sheet.quoted(&check.condition)));
        let mut lines: Lines = vec![(0, format!("{} {{", call_text("Check", &settings)))];
        let arms = ARMS.iter().zip(&check.arms).filter(|(_, wanted)| !wanted.is_empty());
        lines.extend(arms.map(|((_, word), wanted)| (1, self.arm(word, wanted))));
        lines.push((0, "}".to_owned()));
        lines
    }
}

fn read(edit: &Request<'_>) -> Result<Vec<Check>, LanguageError> {
    let checks = edit.list("checks")?;
    if checks.len() > MAX_CHECKS {
        return Err(LanguageError::about("checks", format!("more than {MAX_CHECKS} checks")));
    }
    let one = |(index, check): (usize, &Value)| {
        let read = || {
            let check = Request::new(check)?;
            let arm = |member: &str| -> Result<Vec<String>, LanguageError> {
                let texts = check.strings(member)?;
                if texts.len() > MAX_CHECKS {
                    return Err(LanguageError::about(member, format!("more than {MAX_CHECKS} statements")));
                }
                for text in &texts {
                    let refused = |error: marram_expr::ParseError| LanguageError::about(member, error.message);
                    marram_expr::parse_stmt(text).map_err(refused)?;
                }
                Ok(texts.into_iter().map(str::to_owned).collect())
            };
            let condition = check.string("condition")?;
            if condition.trim().is_empty() {
                return Err(LanguageError::about("condition", "a check needs a condition"));
            }
            let arms = [arm(ARMS[0].0)?, arm(ARMS[1].0)?];
            Ok(Check { name: check.optional("name")?.map(str::to_owned), condition: condition.to_owned(), arms })
        };
        read().map_err(|error: LanguageError| error.within(&format!("checks[{index}]")))
    };
    checks.iter().enumerate().map(one).collect()
}
