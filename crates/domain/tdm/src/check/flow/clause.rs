//! OnError and OnSuccess: retries, catches, checks, statements (TG 6.5, 6.6).

use marram_expr::{Assignability, DataType, ExprKind, Type, Value as ExprValue, assignable};
use smol_str::SmolStr;

use super::super::device::is_ignore_marker;
use super::FlowChecker;
use crate::codes::*;
use crate::model::{Catch, Check, ErrorMatch, Retry, Statement};
use crate::syntax::ast::{Selection, Value, ValueKind};

/// Defaults of a Retry (TG 6.5).
const DEFAULT_INTERVAL_MS: u64 = 1_000;
const DEFAULT_BACKOFF_RATE: f64 = 2.0;
const DEFAULT_MAX_ATTEMPTS: u32 = 3;

impl FlowChecker<'_, '_> {
    /// A duration of at least a millisecond; a bare number counts seconds.
    pub(super) fn duration(&mut self, value: &Value) -> Option<u64> {
        let text = self.context.text_of(value)?;
        let seconds = text.trim().parse::<f64>().ok().filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates, the sign is tested
        let millis = seconds.map(|seconds| (seconds * 1000.0) as u64).or_else(|| marram_expr::duration_ms(&text));
        let millis = millis.filter(|millis| *millis > 0);
        if millis.is_none() {
            self.context.error(TDM3010, value.span(), "expected a duration such as `2 sec` or `PT2S`");
        }
        millis
    }

    pub(super) fn on_error(&mut self, block: &Selection) -> (Vec<Retry>, Vec<Catch>) {
        let (mut retries, mut catches) = (Vec::new(), Vec::new());
        let hidden = ["Error", "ErrorMessage"].map(|name| (name, self.scope.add(name, Type::Of(DataType::String))));
        for list in block.children().iter().filter(|selection| !is_ignore_marker(selection)) {
            for clause in list.children().iter().filter(|selection| !is_ignore_marker(selection)) {
                if list.name.is("Retries") && clause.name.is("Retry") {
                    retries.extend(self.retry(clause));
                } else if list.name.is("Catches") && clause.name.is("Catch") {
                    catches.extend(self.catch(clause));
                } else {
                    let message = format!("unknown clause `{}` in {}", clause.name.text, list.name.text);
                    self.context.error(TDM3016, clause.span(), message);
                }
            }
            if !list.name.is("Retries") && !list.name.is("Catches") {
                self.context.error(TDM3016, list.span(), format!("unknown block `{}` in OnError", list.name.text));
            }
        }
        for (name, ty) in hidden {
            self.scope.restore(name, ty);
        }
        (retries, catches)
    }

    fn error_match(&mut self, clause: &Selection) -> Option<ErrorMatch> {
        if let Some(argument) = clause.argument("condition") {
            return self.condition(&argument.value).map(ErrorMatch::Condition);
        }
        let Some(argument) = clause.argument("errorEquals") else {
            let message = format!("{} needs `errorEquals` or `condition`", clause.name.text);
            self.context.error(TDM3006, clause.span(), message);
            return None;
        };
        let names = self.context.names(&argument.value);
        (!names.is_empty()).then_some(ErrorMatch::Names(names))
    }

    fn clause_name(clause: &Selection) -> Option<SmolStr> {
        clause.argument("name").and_then(|argument| argument.value.as_text()).cloned()
    }

    fn retry(&mut self, clause: &Selection) -> Option<Retry> {
        let known = ["name", "errorEquals", "condition", "interval", "backoffRate", "maxAttempts"];
        self.context.known_arguments(clause.arguments.as_ref(), &known);
        let matches = self.error_match(clause);
        let interval = match clause.argument("interval") {
            Some(argument) => self.duration(&argument.value)?,
            None => DEFAULT_INTERVAL_MS,
        };
        let backoff_rate = match clause.argument("backoffRate") {
            Some(argument) => {
                let text = self.context.text_of(&argument.value)?;
                let rate = text.trim().parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate >= 1.0);
                if rate.is_none() {
                    self.context.error(TDM3010, argument.value.span(), "backoffRate is a number of at least 1.0");
                }
                rate?
            }
            None => DEFAULT_BACKOFF_RATE,
        };
        let max_attempts = match clause.argument("maxAttempts") {
            Some(argument) => {
                let attempts = self.context.integer(&argument.value, 0..=i64::from(u32::MAX), TDM3010)?;
                u32::try_from(attempts).ok()?
            }
            None => DEFAULT_MAX_ATTEMPTS,
        };
        Some(Retry {
            name: Self::clause_name(clause),
            matches: matches?,
            interval_ms: interval,
            backoff_rate,
            max_attempts,
        })
    }

    fn catch(&mut self, clause: &Selection) -> Option<Catch> {
        self.context
            .known_arguments(clause.arguments.as_ref(), &["name", "errorEquals", "condition", "raiseEvent", "expr"]);
        let matches = self.error_match(clause);
        let mut statements = Vec::new();
        if let Some(argument) = clause.argument("expr") {
            statements.extend(self.statement(&argument.value));
        }
        if let Some(argument) = clause.argument("raiseEvent") {
            let events = self.context.names(&argument.value);
            events.iter().for_each(|event| self.emit(event));
            statements.extend(events.into_iter().map(Statement::Raise));
        }
        Some(Catch { name: Self::clause_name(clause), matches: matches?, statements })
    }

    pub(super) fn on_success(&mut self, block: &Selection) -> Vec<Check> {
        let mut checks = Vec::new();
        for clause in block.children().iter().filter(|selection| !is_ignore_marker(selection)) {
            if !clause.name.is("Check") {
                self.context.error(
                    TDM3016,
                    clause.span(),
                    format!("unknown block `{}` in OnSuccess", clause.name.text),
                );
                continue;
            }
            self.context.known_arguments(clause.arguments.as_ref(), &["name", "condition"]);
            let argument = self.context.required_of(clause, "condition");
            let condition = argument.and_then(|argument| self.condition(&argument.value));
            let (mut on_pass, mut on_fail) = (Vec::new(), Vec::new());
            for arm in clause.children().iter().filter(|selection| !is_ignore_marker(selection)) {
                let statements = self.statements(arm);
                if arm.name.is("OnPass") {
                    on_pass.extend(statements);
                } else if arm.name.is("OnFail") {
                    on_fail.extend(statements);
                } else {
                    self.context.error(TDM3016, arm.span(), format!("unknown block `{}` in a Check", arm.name.text));
                }
            }
            let name = Self::clause_name(clause);
            checks.extend(condition.map(|condition| Check { name, condition, on_pass, on_fail }));
        }
        checks
    }

    fn statements(&mut self, arm: &Selection) -> Vec<Statement> {
        let mut statements = Vec::new();
        for statement in arm.children().iter().filter(|selection| !is_ignore_marker(selection)) {
            if !statement.name.is("stmt") {
                let message = format!("expected `stmt`, found `{}`", statement.name.text);
                self.context.error(TDM3016, statement.span(), message);
                continue;
            }
            self.context.known_arguments(statement.arguments.as_ref(), &["expr"]);
            if let Some(argument) = self.context.required_of(statement, "expr") {
                statements.extend(self.statement(&argument.value));
            }
        }
        statements
    }

    /// An assignment to a variable, or `$event.IsTrue = true`. `= false` says nothing.
    fn statement(&mut self, value: &Value) -> Option<Statement> {
        if matches!(value.kind, ValueKind::List(_) | ValueKind::Object(_)) {
            self.context.error(TDM3018, value.span(), "expected a statement");
            return None;
        }
        let statement = self.context.parse_text(value, marram_expr::parse_stmt)?;
        let (root, below) = statement.target.split_first()?;
        let variable = self.find_variable(root).cloned();
        let Some(variable) = variable else {
            if let [field] = below
                && field.eq_ignore_ascii_case("IsTrue")
                && !self.scope.has(root)
                && let ExprKind::Literal(ExprValue::Bool(raises)) = statement.value.kind
            {
                if raises {
                    self.emit(root);
                }
                return raises.then(|| Statement::Raise(root.clone()));
            }
            let message = if self.scope.has(root) {
                format!("`{root}` is a parameter; only variables are assigned")
            } else {
                format!("there is no variable `{root}`")
            };
            self.context.error(TDM4006, value.span(), message);
            return None;
        };
        let ty = self.context.check_expr(&statement.value, &self.scope, value, TDM4006);
        if let Some(property) = &variable.property {
            let target = self.context.field_property(property, below);
            let wanted = target.map(|target| self.context.value_type(&target, variable.is_list && below.is_empty()));
            if let Some(Type::Of(wanted)) = wanted
                && let Assignability::Refused(message) = assignable(&ty, &wanted)
            {
                self.context.error(TDM3019, value.span(), message);
            }
        }
        let mut target = statement.target.clone();
        target[0] = variable.name;
        Some(Statement::Assign { target, value: statement.value })
    }
}
