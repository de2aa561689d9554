//! The evaluator: one walk over the tree, borrowed values wherever nothing is computed (TG 4.3-4.7).

mod function;
mod method;
mod path;

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;

use crate::ast::{BinaryOp, Expr, ExprKind, Span, Stmt, Template, UnaryOp, ValueExpr};
use crate::coerce;
use crate::error::EvalError;
use crate::number::{self, ArithmeticError};
use crate::scope::Scope;
use crate::text::{MAX_RESULT_BYTES, TextError, write_text};
use crate::value::{Object, Value};

/// Most evaluation steps of one expression (TG 4.1). A node, a filtered element and 1 KiB of text cost one step each.
pub const MAX_STEPS: u32 = 10_000;

/// Evaluates `expr`; the result keeps its type.
///
/// # Errors
/// `TG.ExpressionError`: unknown name, overflow, division by zero, wrong operand or argument, a limit, a result that is
/// not a finite number.
pub fn eval<'s>(expr: &'s Expr, scope: &'s dyn Scope) -> Result<Cow<'s, Value>, EvalError> {
    let value = Evaluator::new(scope).eval(expr, None)?;
    match &*value {
        Value::Float32(number) if !number.is_finite() => Err(not_finite(expr.span)),
        Value::Float64(number) if !number.is_finite() => Err(not_finite(expr.span)),
        Value::List(_) | Value::Object(_) if matches!(value, Cow::Owned(_)) => {
            let mut budget = MAX_RESULT_BYTES;
            if fits(&value, &mut budget) {
                Ok(value)
            } else {
                Err(EvalError::expression(expr.span, TextError::TooLarge.message()))
            }
        }
        _ => Ok(value),
    }
}

/// Evaluates `expr` in Boolean context (TG 4.7).
///
/// # Errors
/// As for [`eval`].
pub fn eval_bool(expr: &Expr, scope: &dyn Scope) -> Result<bool, EvalError> {
    Evaluator::new(scope).eval_bool(expr, None)
}

/// Evaluates a classified attribute string. A [`ValueExpr::Literal`] is its text: coerce it to the property it is for.
///
/// # Errors
/// As for [`eval`]; a template also when its text exceeds 256 KiB.
pub fn eval_value<'s>(value: &'s ValueExpr, scope: &'s dyn Scope) -> Result<Cow<'s, Value>, EvalError> {
    match value {
        ValueExpr::Typed(expr) => eval(expr, scope),
        ValueExpr::Template(template) => Ok(Cow::Owned(Value::string(crate::render::render(template, scope)?))),
        ValueExpr::Variable { path, text } => {
            let root = path.as_name_path().and_then(|names| scope.lookup(names[0]));
            if root.is_some() { eval(path, scope) } else { Ok(Cow::Owned(Value::String(text.clone()))) }
        }
        ValueExpr::Literal(text) => Ok(Cow::Owned(Value::String(text.clone()))),
    }
}

/// Evaluates the right side of a statement.
///
/// # Errors
/// As for [`eval`].
pub fn eval_stmt<'s>(stmt: &'s Stmt, scope: &'s dyn Scope) -> Result<Cow<'s, Value>, EvalError> {
    eval(&stmt.value, scope)
}

/// Evaluates the interpolations of a template one after another on one step budget.
pub(crate) fn eval_parts(
    template: &Template,
    scope: &dyn Scope,
    mut each: impl FnMut(PartValue<'_>) -> Result<(), EvalError>,
) -> Result<(), EvalError> {
    let evaluator = Evaluator::new(scope);
    for part in &template.parts {
        match part {
            crate::ast::TemplatePart::Text(text) => each(PartValue::Text(text))?,
            crate::ast::TemplatePart::Interpolation(expr) => {
                let value = evaluator.eval(expr, None)?;
                each(PartValue::Value(expr, &value))?;
            }
        }
    }
    Ok(())
}

/// One part of a template while it is rendered.
pub(crate) enum PartValue<'p> {
    Text(&'p str),
    Value(&'p Expr, &'p Value),
}

fn not_finite(span: Span) -> EvalError {
    EvalError::expression(span, TextError::NotFinite.message())
}

/// Whether a value built by the expression stays within the result limit.
fn fits(value: &Value, budget: &mut usize) -> bool {
    let own = match value {
        Value::String(text) => text.len() + 2,
        _ => 4,
    };
    if *budget < own {
        return false;
    }
    *budget -= own;
    match value {
        Value::List(items) => items.iter().all(|item| fits(item, budget)),
        Value::Object(object) => fits_object(object, budget),
        Value::Complex(complex) => fits_object(&complex.fields, budget),
        _ => true,
    }
}

fn fits_object(object: &Object, budget: &mut usize) -> bool {
    object.iter().all(|(_, value)| fits(value, budget))
}

/// Whether a value counts as true (TG 4.7). Enum members do, whatever their integer value.
pub fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::String(text) => !text.is_empty(),
        Value::Complex(complex) => match complex.ty.fields.as_slice() {
            [only] => complex.fields.get(&only.name).is_some_and(is_true),
            _ => true,
        },
        Value::Float32(number) => *number != 0.0,
        Value::Float64(number) => *number != 0.0,
        other => other.as_i128() != Some(0),
    }
}

/// Equality of TG 4.6: never fails; numbers by value, enum members by name or value, complex values by structure.
pub fn is_equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::String(left), Value::String(right)) => left == right,
        (Value::Enum(left), Value::Enum(right)) => left == right,
        (Value::Enum(member), Value::String(text)) | (Value::String(text), Value::Enum(member)) => {
            member.name().eq_ignore_ascii_case(text)
        }
        (Value::Enum(member), number) | (number, Value::Enum(member)) if number.is_integer() => {
            number.as_i128() == Some(member.number().into())
        }
        (Value::List(left), Value::List(right)) => {
            left.len() == right.len() && left.iter().zip(right.iter()).all(|(left, right)| is_equal(left, right))
        }
        (Value::Occurrence(left), Value::Occurrence(right)) => left == right,
        (left, right) => match (fields_of(left), fields_of(right)) {
            (Some(left), Some(right)) => {
                left.len() == right.len()
                    && left.iter().all(|(name, value)| right.get(name).is_some_and(|other| is_equal(value, other)))
            }
            (Some(_), None) => unwrap_single(left).is_some_and(|inner| is_equal(inner, right)),
            (None, Some(_)) => unwrap_single(right).is_some_and(|inner| is_equal(left, inner)),
            (None, None) => number::compare(left, right) == Some(Ordering::Equal),
        },
    }
}

fn fields_of(value: &Value) -> Option<&Object> {
    match value {
        Value::Object(object) => Some(object),
        Value::Complex(complex) => Some(&complex.fields),
        _ => None,
    }
}

/// The only declared field of a complex value (TG 4.7).
fn unwrap_single(value: &Value) -> Option<&Value> {
    static NULL: Value = Value::Null;
    match value {
        Value::Complex(complex) => match complex.ty.fields.as_slice() {
            [only] => Some(complex.fields.get(&only.name).unwrap_or(&NULL)),
            _ => None,
        },
        _ => None,
    }
}

/// Order of two comparable values: numbers by value, text by code point.
fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Complex(_), right) if fields_of(right).is_none() => order(unwrap_single(left)?, right),
        (left, Value::Complex(_)) if fields_of(left).is_none() => order(left, unwrap_single(right)?),
        _ => number::compare(left, right),
    }
}

/// Bare names inside a filter: fields of the element first, then the frame outside.
struct Frame<'f> {
    element: &'f Value,
    outer: Option<&'f Frame<'f>>,
}

struct Evaluator<'s> {
    scope: &'s dyn Scope,
    steps: Cell<u32>,
}

type Evaluated<'s> = Result<Cow<'s, Value>, EvalError>;

impl<'s> Evaluator<'s> {
    fn new(scope: &'s dyn Scope) -> Self {
        Self { scope, steps: Cell::new(0) }
    }

    fn charge(&self, span: Span, steps: usize) -> Result<(), EvalError> {
        let total = self.steps.get().saturating_add(u32::try_from(steps).unwrap_or(u32::MAX));
        self.steps.set(total);
        if total > MAX_STEPS {
            return Err(EvalError::expression(span, format!("more than {MAX_STEPS} evaluation steps")));
        }
        Ok(())
    }

    fn eval(&self, expr: &'s Expr, frame: Option<&Frame<'_>>) -> Evaluated<'s> {
        self.charge(expr.span, 1)?;
        match &expr.kind {
            ExprKind::Literal(value) => Ok(Cow::Borrowed(value)),
            ExprKind::Name(name) => self.name(name, expr.span, frame),
            ExprKind::Path { base, steps } => self.path(base, steps, frame),
            ExprKind::Binary { op, left, right } => self.binary(expr, *op, left, right, frame),
            ExprKind::Unary { op: UnaryOp::Not, operand } => Ok(owned(!self.eval_bool(operand, frame)?)),
            ExprKind::Unary { op, operand } => self.sign(*op, expr.span, operand, frame),
            ExprKind::Cast { to, operand } => {
                let value = self.eval(operand, frame)?;
                let cast = coerce::cast(&value, to).map_err(|message| EvalError::expression(expr.span, message))?;
                self.charge_text(expr.span, &cast)?;
                Ok(Cow::Owned(cast))
            }
            ExprKind::Conditional { test, then, otherwise } => {
                let chosen = if self.eval_bool(test, frame)? { then } else { otherwise };
                self.eval(chosen, frame)
            }
            ExprKind::List(items) => {
                let items = items.iter().map(|item| Ok(self.eval(item, frame)?.into_owned()));
                Ok(Cow::Owned(Value::list(items.collect::<Result<_, EvalError>>()?)))
            }
            ExprKind::Template(template) => self.template(template, frame),
            ExprKind::Library { function, args, .. } => self.library(*function, args, expr.span, frame),
            ExprKind::Call { name, .. } => {
                Err(EvalError::expression(expr.span, format!("there is no function `{name}`")))
            }
            ExprKind::LastEvent { role, event } => self.last_event(role, event, expr.span),
            ExprKind::BoundThing { role } => self.bound_thing(role, expr.span),
        }
    }

    fn eval_bool(&self, expr: &'s Expr, frame: Option<&Frame<'_>>) -> Result<bool, EvalError> {
        self.eval(expr, frame).map(|value| is_true(&value))
    }

    fn name(&self, name: &str, span: Span, frame: Option<&Frame<'_>>) -> Evaluated<'s> {
        let mut next = frame;
        while let Some(here) = next {
            if let Some(value) = path::element_field(here.element, name) {
                return Ok(Cow::Owned(value.clone()));
            }
            next = here.outer;
        }
        match self.scope.lookup(name) {
            Some(value) => Ok(value),
            None if frame.is_some() => {
                self.scope.warn(format_args!("no element field or variable `{name}`"));
                Ok(Cow::Owned(Value::Null))
            }
            None => Err(EvalError::expression(span, format!("unknown name `{name}`"))),
        }
    }

    fn sign(&self, op: UnaryOp, span: Span, operand: &'s Expr, frame: Option<&Frame<'_>>) -> Evaluated<'s> {
        let value = self.eval(operand, frame)?;
        if value.is_null() || (op == UnaryOp::Plus && value.is_number()) {
            return Ok(value);
        }
        match number::negate(&value) {
            Some(result) if op == UnaryOp::Negate => {
                result.map(Cow::Owned).map_err(|error| arithmetic_error(error, span))
            }
            _ => Err(EvalError::expression(span, format!("a sign needs a number, not {}", value.type_name()))),
        }
    }

    fn binary(
        &self,
        expr: &'s Expr,
        op: BinaryOp,
        left: &'s Expr,
        right: &'s Expr,
        frame: Option<&Frame<'_>>,
    ) -> Evaluated<'s> {
        match op {
            BinaryOp::And => return Ok(owned(self.eval_bool(left, frame)? && self.eval_bool(right, frame)?)),
            BinaryOp::Or => return Ok(owned(self.eval_bool(left, frame)? || self.eval_bool(right, frame)?)),
            BinaryOp::Coalesce => {
                let value = self.eval(left, frame)?;
                return if value.is_null() { self.eval(right, frame) } else { Ok(value) };
            }
            _ => {}
        }
        let (left, right) = (self.eval(left, frame)?, self.eval(right, frame)?);
        Ok(match op {
            BinaryOp::Equal => owned(self.equal(expr.span, &left, &right)?),
            BinaryOp::NotEqual => owned(!self.equal(expr.span, &left, &right)?),
            BinaryOp::In => owned(match &*right {
                Value::List(items) => {
                    let mut found = false;
                    for item in items.iter() {
                        found = found || self.equal(expr.span, &left, item)?;
                    }
                    found
                }
                other => self.equal(expr.span, &left, other)?,
            }),
            BinaryOp::Less | BinaryOp::LessOrEqual | BinaryOp::Greater | BinaryOp::GreaterOrEqual => {
                owned(self.relation(op, &left, &right))
            }
            _ => Cow::Owned(self.arithmetic(op, &left, &right, expr.span)?),
        })
    }

    fn equal(&self, span: Span, left: &Value, right: &Value) -> Result<bool, EvalError> {
        self.charge(span, weight(left).min(weight(right)))?;
        Ok(is_equal(left, right))
    }

    fn relation(&self, op: BinaryOp, left: &Value, right: &Value) -> bool {
        let Some(order) = order(left, right) else {
            self.scope.warn(format_args!("{} and {} cannot be ordered", left.type_name(), right.type_name()));
            return false;
        };
        match op {
            BinaryOp::Less => order.is_lt(),
            BinaryOp::LessOrEqual => order.is_le(),
            BinaryOp::Greater => order.is_gt(),
            _ => order.is_ge(),
        }
    }

    fn arithmetic(&self, op: BinaryOp, left: &Value, right: &Value, span: Span) -> Result<Value, EvalError> {
        if let Some(result) = number::arithmetic(op, left, right) {
            return result.map_err(|error| arithmetic_error(error, span));
        }
        let has_text = matches!(left, Value::String(_)) || matches!(right, Value::String(_));
        if op == BinaryOp::Add && has_text {
            let mut text = String::new();
            for side in [left, right] {
                write_text(side, &mut text).map_err(|error| EvalError::expression(span, error.message()))?;
            }
            self.charge(span, text.len() / 1024)?;
            return Ok(Value::string(text));
        }
        if left.is_null() || right.is_null() {
            return Ok(Value::Null);
        }
        let message = format!("`{}` needs numbers, not {} and {}", op.symbol(), left.type_name(), right.type_name());
        Err(EvalError::expression(span, message))
    }

    fn template(&self, template: &'s Template, frame: Option<&Frame<'_>>) -> Evaluated<'s> {
        let mut renderer = crate::render::Renderer::new(template);
        for part in &template.parts {
            match part {
                crate::ast::TemplatePart::Text(text) => renderer.text(text)?,
                crate::ast::TemplatePart::Interpolation(expr) => {
                    let value = self.eval(expr, frame)?;
                    renderer.value(expr.span, &value)?;
                }
            }
        }
        let value = Value::string(renderer.finish());
        self.charge_text(Span::default(), &value)?;
        Ok(Cow::Owned(value))
    }

    fn charge_text(&self, span: Span, value: &Value) -> Result<(), EvalError> {
        match value {
            Value::String(text) => self.charge(span, text.len() / 1024),
            _ => Ok(()),
        }
    }

    fn last_event(&self, role: &str, event: &str, span: Span) -> Evaluated<'s> {
        if let Some(value) = self.scope.last_event(role, event) {
            return Ok(value);
        }
        let devices = self.trigger_root("devices", span)?;
        let device = path::named(&devices, role);
        let events = path::field(self, &device, "events");
        let found = path::named(&events, event);
        Ok(Cow::Owned(path::field(self, &found, "lastEvent").into_owned()))
    }

    fn bound_thing(&self, role: &str, span: Span) -> Evaluated<'s> {
        if let Some(value) = self.scope.bound_thing(role) {
            return Ok(value);
        }
        let bindings = self.trigger_root("bindings", span)?;
        let binding = path::named(&bindings, role);
        Ok(Cow::Owned(path::field(self, &binding, "deviceId").into_owned()))
    }

    fn trigger_root(&self, name: &str, span: Span) -> Evaluated<'s> {
        self.scope.lookup(name).ok_or_else(|| EvalError::expression(span, format!("unknown name `{name}`")))
    }
}

/// Steps an equality test costs: text by the KiB, lists and objects by their members.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() / 1024,
        Value::List(items) => items.len(),
        Value::Object(object) => object.len(),
        Value::Complex(complex) => complex.fields.len(),
        _ => 0,
    }
}

fn owned<'s>(flag: bool) -> Cow<'s, Value> {
    Cow::Owned(Value::Bool(flag))
}

fn arithmetic_error(error: ArithmeticError, span: Span) -> EvalError {
    EvalError::expression(span, error.message())
}
