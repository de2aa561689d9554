//! Path steps: fields, filters, safe navigation (TG 4.4).

use std::borrow::Cow;

use super::{Evaluated, Evaluator, Frame, is_true};
use crate::ast::{Expr, ExprKind, Step};
use crate::error::EvalError;
use crate::value::{Object, Value};

impl<'s> Evaluator<'s> {
    pub(super) fn path(&self, base: &'s Expr, steps: &'s [Step], frame: Option<&Frame<'_>>) -> Evaluated<'s> {
        let mut value = self.eval(base, frame)?;
        for step in steps {
            self.charge(base.span, 1)?;
            value = match step {
                Step::Field(name) => match value {
                    Cow::Borrowed(value) => {
                        self.charge_list(base, value)?;
                        field(self, value, name)
                    }
                    Cow::Owned(value) => {
                        self.charge_list(base, &value)?;
                        Cow::Owned(field(self, &value, name).into_owned())
                    }
                },
                Step::Filter(filter) => Cow::Owned(self.filter(&value, filter, frame)?),
                Step::Method { name, args } => Cow::Owned(self.method(&value, name, args, base.span, frame)?),
            };
        }
        Ok(value)
    }

    fn charge_list(&self, base: &Expr, value: &Value) -> Result<(), EvalError> {
        match value {
            Value::List(items) => self.charge(base.span, items.len()),
            // A lookup in a large object is linear.
            Value::Object(object) => self.charge(base.span, object.len() / 64),
            _ => Ok(()),
        }
    }

    fn filter(&self, base: &Value, filter: &'s Expr, frame: Option<&Frame<'_>>) -> Result<Value, EvalError> {
        let items = match base {
            Value::Null => return Ok(Value::Null),
            Value::List(items) => items.as_slice(),
            single => std::slice::from_ref(single),
        };
        if let Some(index) = self.index(items, filter, frame)? {
            let item = usize::try_from(index).ok().and_then(|index| items.get(index));
            if item.is_none() {
                self.scope.warn(format_args!("no element {index} in a list of {}", items.len()));
            }
            return Ok(item.cloned().unwrap_or_default());
        }
        let mut kept = Vec::new();
        for element in items {
            let here = Frame { element, outer: frame };
            if is_true(&*self.eval(filter, Some(&here))?) {
                kept.push(element.clone());
            }
        }
        Ok(Value::list(kept))
    }

    /// The index a filter stands for: an integer that does not depend on the element.
    fn index(&self, items: &[Value], filter: &'s Expr, frame: Option<&Frame<'_>>) -> Result<Option<i128>, EvalError> {
        match &filter.kind {
            ExprKind::Literal(value) => return Ok(value.as_i128()),
            ExprKind::Binary { op, .. } if op.is_predicate() => return Ok(None),
            ExprKind::Unary { op: crate::ast::UnaryOp::Not, .. } => return Ok(None),
            _ => {}
        }
        let depends_on_element = |name: &&str| items.iter().any(|item| element_field(item, name).is_some());
        let roots = filter.roots();
        let is_outside = |name: &&str| self.scope.lookup(name).is_some() || in_frames(frame, name);
        if roots.iter().any(depends_on_element) || !roots.iter().all(is_outside) {
            return Ok(None);
        }
        Ok(self.eval(filter, frame)?.as_i128())
    }
}

impl crate::ast::BinaryOp {
    /// Whether the operator's result is a Boolean.
    fn is_predicate(self) -> bool {
        (2..=5).contains(&self.binding_power())
    }
}

fn in_frames(frame: Option<&Frame<'_>>, name: &str) -> bool {
    frame.is_some_and(|frame| element_field(frame.element, name).is_some() || in_frames(frame.outer, name))
}

/// What a bare name inside a filter finds in the element itself.
pub(super) fn element_field<'v>(element: &'v Value, name: &str) -> Option<&'v Value> {
    match element {
        Value::Object(object) => object.get(name),
        Value::Complex(complex) => complex.fields.get(name),
        Value::Occurrence(occurrence) => element_field(&occurrence.payload, name),
        Value::List(_) | Value::Null => None,
        primitive => name.eq_ignore_ascii_case("value").then_some(primitive),
    }
}

/// The first element of `list` whose `name` is `name`, ignoring case.
pub(super) fn named(list: &Value, name: &str) -> Value {
    let is_named = |item: &&Value| match element_field(item, "name") {
        Some(Value::String(own)) => own.eq_ignore_ascii_case(name),
        _ => false,
    };
    match list {
        Value::List(items) => items.iter().find(is_named).cloned().unwrap_or_default(),
        single => Some(single).filter(is_named).cloned().unwrap_or_default(),
    }
}

static NULL: Value = Value::Null;

/// `.name` on a value (TG 4.4).
pub(super) fn field<'v>(evaluator: &Evaluator<'_>, value: &'v Value, name: &str) -> Cow<'v, Value> {
    let is_value = name.eq_ignore_ascii_case("value");
    let member = |object: &'v Object| match object.get(name) {
        Some(found) => Cow::Borrowed(found),
        // Inputs are read through a wrapper, `x.value`, whatever their type.
        None if is_value => Cow::Borrowed(value),
        None => missing(evaluator, value, name),
    };
    match value {
        Value::Null => Cow::Borrowed(&NULL),
        Value::Object(object) => member(object),
        Value::Complex(complex) => member(&complex.fields),
        Value::Occurrence(occurrence) => field(evaluator, &occurrence.payload, name),
        Value::List(items) => match items.as_slice() {
            _ if is_value && items.iter().all(|item| !has_member(item, name)) => Cow::Borrowed(value),
            [] => Cow::Borrowed(&NULL),
            [only] => field(evaluator, only, name),
            several => {
                let fields = several.iter().map(|item| field(evaluator, item, name).into_owned());
                Cow::Owned(Value::list(fields.collect()))
            }
        },
        _ if is_value => Cow::Borrowed(value),
        primitive => missing(evaluator, primitive, name),
    }
}

fn has_member(item: &Value, name: &str) -> bool {
    matches!(item, Value::Object(_) | Value::Complex(_)) && element_field(item, name).is_some()
}

fn missing<'v>(evaluator: &Evaluator<'_>, value: &Value, name: &str) -> Cow<'v, Value> {
    evaluator.scope.warn(format_args!("{} has no field `{name}`", value.type_name()));
    Cow::Borrowed(&NULL)
}
