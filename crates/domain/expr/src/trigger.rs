//! Trigger conditions and actions (TG 3.14).

use std::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::ast::{Expr, ExprKind, Step};
use crate::error::ParseError;
use crate::parser::{parse_expr, reparse_expr};
use crate::value::Value;

/// When a trigger fires.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum TriggerCondition {
    /// `every 2 hours`.
    Clock(ClockCondition),
    /// True on an occurrence of one of the events it mentions.
    Event(Expr),
}

/// A fixed interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockCondition {
    /// How many units; at least 1.
    pub count: u32,
    /// The unit.
    pub unit: ClockUnit,
}

/// Units of a clock trigger. Days and longer are calendar arithmetic in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClockUnit {
    /// Monotonic.
    Second,
    /// Monotonic.
    Minute,
    /// Monotonic.
    Hour,
    /// Calendar, UTC.
    Day,
    /// Calendar, UTC.
    Week,
    /// Calendar, UTC, clamped to the month's end.
    Month,
    /// Calendar, UTC, clamped to the month's end.
    Year,
}

/// `ThingsGraph.startFlow('role', args..)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct StartFlow {
    /// Flow role in the system, as written.
    pub flow: SmolStr,
    /// One per flow parameter, by position.
    pub args: Vec<Expr>,
}

const UNITS: [(&str, ClockUnit); 7] = [
    ("second", ClockUnit::Second),
    ("minute", ClockUnit::Minute),
    ("hour", ClockUnit::Hour),
    ("day", ClockUnit::Day),
    ("week", ClockUnit::Week),
    ("month", ClockUnit::Month),
    ("year", ClockUnit::Year),
];

/// Parses a trigger condition. `devices.<role>.<event>` reads as the full path (TG 3.14).
///
/// # Errors
/// Neither a clock nor an expression, or an expression that mentions no event.
pub fn parse_trigger_condition(source: &str) -> Result<TriggerCondition, ParseError> {
    match parse_clock(source)? {
        Some(clock) => Ok(TriggerCondition::Clock(clock)),
        None => event_condition(parse_expr(source)?),
    }
}

fn event_condition(mut expr: Expr) -> Result<TriggerCondition, ParseError> {
    expand_shorthand(&mut expr);
    if expr.last_events().is_empty() {
        return Err(ParseError::new(
            0,
            "a condition is `every ..` or mentions `devices[name == '..'].events[name == '..']`",
        ));
    }
    Ok(TriggerCondition::Event(expr))
}

/// Parses a trigger action.
///
/// # Errors
/// Anything but one call of `ThingsGraph.startFlow` whose first argument is a string.
pub fn parse_start_flow(source: &str) -> Result<StartFlow, ParseError> {
    start_flow(parse_expr(source)?)
}

fn start_flow(expr: Expr) -> Result<StartFlow, ParseError> {
    let refuse = || Err(ParseError::new(0, "an action is `ThingsGraph.startFlow('<flow>', ..)`"));
    let ExprKind::Path { base, mut steps } = expr.kind else { return refuse() };
    let is_root = matches!(&base.kind, ExprKind::Name(root) if root.eq_ignore_ascii_case("ThingsGraph"));
    let args = match steps.pop() {
        Some(Step::Method { name, args }) if is_root && steps.is_empty() && name.eq_ignore_ascii_case("startFlow") => {
            args
        }
        _ => return refuse(),
    };
    let mut args = args.into_iter();
    let flow = match args.next().map(|first| first.kind) {
        Some(ExprKind::Literal(Value::String(flow))) => flow,
        _ => return refuse(),
    };
    let mut args: Vec<Expr> = args.collect();
    args.iter_mut().for_each(expand_shorthand);
    Ok(StartFlow { flow, args })
}

/// `None`: the text does not start with `every`.
fn parse_clock(source: &str) -> Result<Option<ClockCondition>, ParseError> {
    let text = source.trim();
    let text = text.strip_prefix("${").and_then(|inner| inner.strip_suffix('}')).unwrap_or(text);
    let mut words = text.split_ascii_whitespace();
    if !words.next().is_some_and(|word| word.eq_ignore_ascii_case("every")) {
        return Ok(None);
    }
    let bad = || ParseError::new(0, "a clock is `every [<count>] second|minute|hour|day|week|month|year`");
    let word = words.next().ok_or_else(bad)?;
    let (count, unit) = match word.bytes().next() {
        Some(b'0'..=b'9') => (word.parse().map_err(|_| bad())?, words.next().ok_or_else(bad)?),
        _ => (1, word),
    };
    let unit = UNITS.iter().find(|(name, _)| {
        unit.eq_ignore_ascii_case(name)
            || unit.strip_suffix(['s', 'S']).is_some_and(|one| one.eq_ignore_ascii_case(name))
    });
    match (unit, words.next(), count) {
        (Some((_, unit)), None, 1..) => Ok(Some(ClockCondition { count, unit: *unit })),
        _ => Err(bad()),
    }
}

/// Rewrites `devices.<role>.<event>` in place.
fn expand_shorthand(expr: &mut Expr) {
    let span = expr.span;
    match &mut expr.kind {
        ExprKind::Path { base, steps } => {
            let is_devices = matches!(&base.kind, ExprKind::Name(root) if root.eq_ignore_ascii_case("devices"));
            if is_devices && let [Step::Field(role), Step::Field(event), ..] = steps.as_slice() {
                let last = ExprKind::LastEvent { role: role.clone(), event: event.clone() };
                let rest = steps.split_off(2);
                expr.kind = match rest.is_empty() {
                    true => last,
                    false => ExprKind::Path { base: Box::new(Expr { kind: last, span }), steps: rest },
                };
                return;
            }
            expand_shorthand(base);
            for step in steps {
                match step {
                    Step::Field(_) => {}
                    Step::Filter(inner) => expand_shorthand(inner),
                    Step::Method { args, .. } => args.iter_mut().for_each(expand_shorthand),
                }
            }
        }
        ExprKind::Call { args, .. } | ExprKind::Library { args, .. } | ExprKind::List(args) => {
            args.iter_mut().for_each(expand_shorthand);
        }
        ExprKind::Unary { operand, .. } | ExprKind::Cast { operand, .. } => expand_shorthand(operand),
        ExprKind::Binary { left, right, .. } => {
            expand_shorthand(left);
            expand_shorthand(right);
        }
        ExprKind::Conditional { test, then, otherwise } => {
            expand_shorthand(test);
            expand_shorthand(then);
            expand_shorthand(otherwise);
        }
        _ => {}
    }
}

impl fmt::Display for ClockCondition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = UNITS.iter().find(|(_, unit)| *unit == self.unit).map_or("second", |(name, _)| name);
        write!(out, "every {} {name}{}", self.count, if self.count == 1 { "" } else { "s" })
    }
}

impl fmt::Display for TriggerCondition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clock(clock) => clock.fmt(out),
            Self::Event(expr) => expr.fmt(out),
        }
    }
}

impl fmt::Display for StartFlow {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ThingsGraph.startFlow({}", Expr::synthetic(ExprKind::Literal(Value::String(self.flow.clone()))))?;
        self.args.iter().try_for_each(|arg| write!(out, ", {arg}"))?;
        out.write_str(")")
    }
}

impl From<TriggerCondition> for String {
    fn from(condition: TriggerCondition) -> Self {
        condition.to_string()
    }
}

impl TryFrom<String> for TriggerCondition {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        match parse_clock(&text)? {
            Some(clock) => Ok(Self::Clock(clock)),
            None => event_condition(reparse_expr(&text)?),
        }
    }
}

impl From<StartFlow> for String {
    fn from(action: StartFlow) -> Self {
        action.to_string()
    }
}

impl TryFrom<String> for StartFlow {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        start_flow(reparse_expr(&text)?)
    }
}
