//! Static checking: unknown names, operand types, function arity (`TDM3019`, TG 4.3-4.6).

use std::sync::Arc;

use smol_str::SmolStr;

use crate::ast::{BinaryOp, Expr, ExprKind, Span, Step, UnaryOp};
use crate::types::{DataType, Field};
use crate::value::Value;

/// What is known of an expression's value before it runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// Nothing: it depends on dynamic data.
    Unknown,
    /// Always null.
    Null,
    /// A value of this data type, or null.
    Of(DataType),
    /// An event occurrence and its payload's type.
    Occurrence(Box<Type>),
    /// An object with exactly these members: `systemRuntime`, `systemConfig`, enum names.
    Record(Arc<Vec<(SmolStr, Type)>>),
}

/// The names a position can see (TG 4.3) and their types.
pub trait TypeScope {
    /// The type of root `name`, ignoring case; `None`: not in scope.
    fn root(&self, name: &str) -> Option<Type>;

    /// The type of `devices[name == role].events[name == event].lastEvent`, or why there is no such event.
    fn last_event(&self, _role: &str, _event: &str) -> Result<Type, String> {
        Err("`devices` is not visible here".to_owned())
    }

    /// Why `bindings[name == role].deviceId` does not exist; `Ok` when it does.
    fn bound_thing(&self, _role: &str) -> Result<(), String> {
        Err("`bindings` is not visible here".to_owned())
    }

    /// Whether `Math.abs(x)` may be written without `tdm.lib.` (mappings).
    fn allows_short_math(&self) -> bool {
        false
    }

    /// Whether `tdm.lib` is visible.
    fn allows_library(&self) -> bool {
        true
    }
}

/// A problem of one expression, to be reported as `TDM3019`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether the document is refused for it.
    pub is_error: bool,
    /// Where in the expression's text.
    pub span: Span,
    /// What is wrong.
    pub message: String,
}

/// How a value of one type may be assigned to another (TG 4.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assignability {
    /// Identical, widening, range-checked or dynamic: nothing to say.
    Silent,
    /// Allowed, worth a warning.
    Warning(String),
    /// `TDM3019`.
    Refused(String),
}

/// The type of `expr` in `scope` and everything wrong with it.
pub fn check(expr: &Expr, scope: &dyn TypeScope) -> (Type, Vec<Finding>) {
    let mut checker = Checker { scope, findings: Vec::new() };
    let ty = checker.check(expr, None);
    (ty, checker.findings)
}

impl Type {
    /// The type of a constant.
    pub fn of_value(value: &Value) -> Self {
        Self::Of(match value {
            Value::Null => return Self::Null,
            Value::Bool(_) => DataType::Boolean,
            Value::Int8(_) => DataType::Int8,
            Value::Int16(_) => DataType::Int16,
            Value::Int32(_) => DataType::Int32,
            Value::Int64(_) => DataType::Int64,
            Value::UInt8(_) => DataType::UInt8,
            Value::UInt16(_) => DataType::UInt16,
            Value::UInt32(_) => DataType::UInt32,
            Value::UInt64(_) => DataType::UInt64,
            Value::Float32(_) => DataType::Float32,
            Value::Float64(_) => DataType::Float64,
            Value::String(_) => DataType::String,
            Value::Enum(member) => DataType::Enum(member.ty.clone()),
            Value::Complex(complex) => DataType::Complex(complex.ty.clone()),
            Value::List(_) | Value::Object(_) => DataType::Json,
            Value::Occurrence(_) => return Self::Unknown,
        })
    }

    fn name(&self) -> String {
        match self {
            Self::Unknown => "unknown".to_owned(),
            Self::Null => "null".to_owned(),
            Self::Of(data_type) => data_type.to_string(),
            Self::Occurrence(_) => "an event occurrence".to_owned(),
            Self::Record(_) => "a group of names".to_owned(),
        }
    }

    /// Whether nothing can be said against an operand of this type.
    fn is_dynamic(&self) -> bool {
        matches!(self, Self::Unknown | Self::Null | Self::Of(DataType::Json))
    }

    fn is_number(&self) -> bool {
        self.is_dynamic() || matches!(self, Self::Of(data_type) if data_type.is_number())
    }

    fn is_text(&self) -> bool {
        matches!(self, Self::Of(data_type) if data_type.is_text())
    }
}

/// Whether a value of type `from` may be assigned to `to` (TG 4.6, without mappings).
pub fn assignable(from: &Type, to: &DataType) -> Assignability {
    let from = match from {
        Type::Unknown | Type::Null => return Assignability::Silent,
        Type::Occurrence(payload) => return assignable(payload, to),
        Type::Record(_) if *to == DataType::Json => return Assignability::Silent,
        Type::Record(_) => return Assignability::Refused(format!("a group of names is not assignable to {to}")),
        Type::Of(from) => from,
    };
    let warning = || Assignability::Warning(format!("{from} is converted to {to}"));
    let refused = || Assignability::Refused(format!("{from} is not assignable to {to}"));
    match (from, to) {
        (_, DataType::Json) | (DataType::Json, _) => Assignability::Silent,
        (from, to) if from == to || (from.is_integer() && to.is_number()) => Assignability::Silent,
        (DataType::Float32 | DataType::Float64, DataType::Float32 | DataType::Float64) => Assignability::Silent,
        (DataType::Float32 | DataType::Float64, to) if to.is_integer() => refused(),
        (DataType::Complex(from), DataType::Complex(to)) if from.id.eq_ignore_ascii_case(&to.id) => {
            Assignability::Silent
        }
        (DataType::Enum(from), DataType::Enum(to)) if from.id.eq_ignore_ascii_case(&to.id) => Assignability::Silent,
        (DataType::List(from), DataType::List(to)) => assignable(&Type::Of((**from).clone()), to),
        (from, to) if from.is_text() && to.is_text() => Assignability::Silent,
        (from, to) if from.is_text() && (to.is_number() || matches!(to, DataType::Boolean | DataType::Enum(_))) => {
            warning()
        }
        (from, to) if (from.is_number() || matches!(from, DataType::Boolean | DataType::Enum(_))) && to.is_text() => {
            warning()
        }
        (DataType::Boolean, to) if to.is_number() => warning(),
        (from, DataType::Boolean) if from.is_number() => warning(),
        (DataType::Enum(_), to) if to.is_number() => warning(),
        (from, DataType::Enum(_)) if from.is_integer() => warning(),
        _ => refused(),
    }
}

/// The element a filter's bare names see first.
struct Element<'e> {
    ty: &'e Type,
    outer: Option<&'e Element<'e>>,
}

struct Checker<'c> {
    scope: &'c dyn TypeScope,
    findings: Vec<Finding>,
}

const BOOLEAN: Type = Type::Of(DataType::Boolean);
const STRING: Type = Type::Of(DataType::String);

impl Checker<'_> {
    fn error(&mut self, span: Span, message: String) -> Type {
        self.findings.push(Finding { is_error: true, span, message });
        Type::Unknown
    }

    fn warning(&mut self, span: Span, message: String) -> Type {
        self.findings.push(Finding { is_error: false, span, message });
        Type::Unknown
    }

    fn check(&mut self, expr: &Expr, element: Option<&Element<'_>>) -> Type {
        match &expr.kind {
            ExprKind::Literal(value) => Type::of_value(value),
            ExprKind::Name(name) => self.name(name, expr.span, element),
            ExprKind::Path { base, steps } => self.path(expr.span, base, steps, element),
            ExprKind::Call { name, args } => {
                self.all(args, element);
                self.error(expr.span, format!("there is no function `{name}`"))
            }
            ExprKind::Library { function, is_short, args } => {
                let types = self.all(args, element);
                if !self.scope.allows_library() {
                    return self.error(expr.span, "`tdm.lib` is not visible here".to_owned());
                }
                if *is_short && !self.scope.allows_short_math() {
                    return self.error(expr.span, "`Math` alone is for mappings: write `tdm.lib.Math`".to_owned());
                }
                let (least, most) = function.arity();
                if !(least..=most).contains(&args.len()) {
                    let message = format!("`{}` takes {least} to {most} arguments", function.name());
                    return self.error(expr.span, message);
                }
                self.library(expr.span, function.group(), function.name(), &types)
            }
            ExprKind::Unary { op: UnaryOp::Not, operand } => {
                self.check(operand, element);
                BOOLEAN
            }
            ExprKind::Unary { operand, .. } => {
                let ty = self.check(operand, element);
                if ty.is_number() {
                    return ty;
                }
                self.error(expr.span, format!("a sign needs a number, not {}", ty.name()))
            }
            ExprKind::Binary { op, left, right } => {
                let (left, right) = (self.check(left, element), self.check(right, element));
                self.binary(expr.span, *op, &left, &right)
            }
            ExprKind::Cast { to, operand } => {
                self.check(operand, element);
                Type::Of(to.clone())
            }
            ExprKind::Conditional { test, then, otherwise } => {
                self.check(test, element);
                let (then, otherwise) = (self.check(then, element), self.check(otherwise, element));
                merge(then, otherwise)
            }
            ExprKind::List(items) => {
                self.all(items, element);
                Type::Of(DataType::Json)
            }
            ExprKind::Template(template) => {
                for inner in template.exprs() {
                    self.check(inner, element);
                }
                STRING
            }
            ExprKind::LastEvent { role, event } => match self.scope.last_event(role, event) {
                Ok(ty) => ty,
                Err(message) => self.error(expr.span, message),
            },
            ExprKind::BoundThing { role } => match self.scope.bound_thing(role) {
                Ok(()) => STRING,
                Err(message) => self.error(expr.span, message),
            },
        }
    }

    fn all(&mut self, exprs: &[Expr], element: Option<&Element<'_>>) -> Vec<Type> {
        exprs.iter().map(|expr| self.check(expr, element)).collect()
    }

    fn name(&mut self, name: &str, span: Span, element: Option<&Element<'_>>) -> Type {
        let mut next = element;
        let mut is_open = false;
        while let Some(here) = next {
            match here.ty {
                Type::Of(DataType::Complex(ty)) => match ty.field(name) {
                    Some(field) => return field_type(field),
                    None => is_open = true,
                },
                Type::Of(_) if name.eq_ignore_ascii_case("value") => return here.ty.clone(),
                _ => is_open = true,
            }
            next = here.outer;
        }
        match self.scope.root(name) {
            Some(ty) => ty,
            None if is_open => Type::Unknown,
            None => self.error(span, format!("unknown name `{name}`")),
        }
    }

    fn path(&mut self, span: Span, base: &Expr, steps: &[Step], element: Option<&Element<'_>>) -> Type {
        if matches!(&base.kind, ExprKind::Name(root) if root.eq_ignore_ascii_case("tdm") || root.eq_ignore_ascii_case("lib"))
            && element.is_none()
            && self.scope.root("tdm").is_none()
        {
            return self.error(span, "no such library function".to_owned());
        }
        let mut ty = self.check(base, element);
        for step in steps {
            ty = match step {
                Step::Field(name) => self.field(span, &ty, name),
                Step::Filter(filter) => {
                    let item = match &ty {
                        Type::Of(DataType::List(item)) => Type::Of((**item).clone()),
                        Type::Of(DataType::Json) | Type::Null => Type::Unknown,
                        other => other.clone(),
                    };
                    let filter_type = self.check(filter, Some(&Element { ty: &item, outer: element }));
                    match (filter_type, item) {
                        (Type::Of(index), item) if index.is_integer() => item,
                        (Type::Of(DataType::Boolean), Type::Of(item)) => Type::Of(DataType::List(Box::new(item))),
                        _ => Type::Unknown,
                    }
                }
                Step::Method { name, args } => {
                    let args = self.all(args, element);
                    self.method(span, &ty, name, &args)
                }
            };
        }
        ty
    }

    fn field(&mut self, span: Span, ty: &Type, name: &str) -> Type {
        let is_value = name.eq_ignore_ascii_case("value");
        match ty {
            Type::Unknown | Type::Null | Type::Of(DataType::Json) => Type::Unknown,
            Type::Occurrence(payload) if is_value => match &**payload {
                Type::Of(DataType::Complex(inner)) if inner.field(name).is_some() => self.field(span, payload, name),
                _ => (**payload).clone(),
            },
            Type::Occurrence(payload) => self.field(span, payload, name),
            Type::Of(DataType::Complex(complex)) => match complex.field(name) {
                Some(field) => field_type(field),
                None if is_value => ty.clone(),
                None => self.warning(span, format!("{} declares no field `{name}`", complex.name)),
            },
            Type::Of(DataType::List(_)) if is_value => ty.clone(),
            Type::Of(DataType::List(item)) => {
                self.field(span, &Type::Of((**item).clone()), name);
                Type::Unknown
            }
            Type::Record(members) => match members.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
                Some((_, ty)) => ty.clone(),
                None => self.error(span, format!("there is no `{name}` here")),
            },
            Type::Of(_) if is_value => ty.clone(),
            Type::Of(primitive) => self.warning(span, format!("{primitive} has no field `{name}`: this is null")),
        }
    }

    fn method(&mut self, span: Span, ty: &Type, name: &str, args: &[Type]) -> Type {
        let lower = name.to_ascii_lowercase();
        let (group, known): (&str, &[(&str, usize, usize)]) = match ty {
            Type::Of(data_type) if data_type.is_text() || matches!(data_type, DataType::Enum(_)) => {
                match crate::functions::LibraryFn::find("String", name) {
                    Some(function) if lower != "valueof" => {
                        let (least, most) = function.arity();
                        if !(least - 1..=most - 1).contains(&args.len()) {
                            let message = format!("`{name}` takes {} to {} arguments", least - 1, most - 1);
                            return self.error(span, message);
                        }
                        return string_result(&lower);
                    }
                    _ => ("String", &[("tostring", 0, 0), ("equals", 1, 1)]),
                }
            }
            Type::Of(DataType::Boolean) => ("Boolean", &[("tostring", 0, 0), ("equals", 1, 1)]),
            Type::Of(data_type) if data_type.is_number() => (
                "a number",
                &[
                    ("intvalue", 0, 0),
                    ("longvalue", 0, 0),
                    ("shortvalue", 0, 0),
                    ("bytevalue", 0, 0),
                    ("floatvalue", 0, 0),
                    ("doublevalue", 0, 0),
                    ("tostring", 0, 0),
                    ("compareto", 1, 1),
                    ("equals", 1, 1),
                ],
            ),
            Type::Of(DataType::Complex(_)) | Type::Record(_) | Type::Occurrence(_) => {
                return self.error(span, format!("{} has no methods", ty.name()));
            }
            _ => return Type::Unknown,
        };
        match known.iter().find(|(known, ..)| *known == lower) {
            None => self.error(span, format!("{group} has no method `{name}`")),
            Some((_, least, most)) if !(*least..=*most).contains(&args.len()) => {
                self.error(span, format!("`{name}` takes {most} arguments"))
            }
            Some((name, ..)) => Type::Of(match *name {
                "tostring" => DataType::String,
                "equals" => DataType::Boolean,
                "longvalue" => DataType::Int64,
                "shortvalue" => DataType::Int16,
                "bytevalue" => DataType::Int8,
                "floatvalue" => DataType::Float32,
                "doublevalue" => DataType::Float64,
                _ => DataType::Int32,
            }),
        }
    }

    fn library(&mut self, span: Span, group: &str, name: &str, args: &[Type]) -> Type {
        match group {
            "Math" => {
                if let Some(other) = args.iter().find(|arg| !arg.is_number()) {
                    return self.error(span, format!("`{name}` needs a number, not {}", other.name()));
                }
                match name {
                    "abs" | "min" | "max" | "round" | "signum" | "floorDiv" | "floorMod" => Type::Unknown,
                    _ => Type::Of(DataType::Float64),
                }
            }
            "String" if name == "valueOf" => STRING,
            "String" => match args.first() {
                Some(subject) if !subject.is_dynamic() && !subject.is_text() => {
                    self.error(span, format!("`{name}` needs a String, not {}", subject.name()))
                }
                _ => string_result(&name.to_ascii_lowercase()),
            },
            _ if name == "getDate" => STRING,
            _ => Type::Of(DataType::Int64),
        }
    }

    fn binary(&mut self, span: Span, op: BinaryOp, left: &Type, right: &Type) -> Type {
        match op {
            BinaryOp::And | BinaryOp::Or | BinaryOp::Equal | BinaryOp::NotEqual | BinaryOp::In => BOOLEAN,
            BinaryOp::Less | BinaryOp::LessOrEqual | BinaryOp::Greater | BinaryOp::GreaterOrEqual => {
                let number = |ty: &Type| matches!(ty, Type::Of(data_type) if data_type.is_number());
                if (number(left) && right.is_text()) || (left.is_text() && number(right)) {
                    let message = format!("{} and {} cannot be ordered: always false", left.name(), right.name());
                    self.warning(span, message);
                }
                BOOLEAN
            }
            BinaryOp::Coalesce => merge(left.clone(), right.clone()),
            BinaryOp::Add if left.is_text() || right.is_text() => STRING,
            _ => {
                for side in [left, right] {
                    if !side.is_number() {
                        return self.error(span, format!("`{}` needs numbers, not {}", op.symbol(), side.name()));
                    }
                }
                promoted(left, right)
            }
        }
    }
}

fn field_type(field: &Field) -> Type {
    let data_type = field.property.data_type.clone();
    Type::Of(if field.is_list { DataType::List(Box::new(data_type)) } else { data_type })
}

fn merge(left: Type, right: Type) -> Type {
    match (left, right) {
        (left, right) if left == right => left,
        (Type::Null, other) | (other, Type::Null) => other,
        _ => Type::Unknown,
    }
}

fn string_result(name: &str) -> Type {
    Type::Of(match name {
        "length" | "indexof" | "lastindexof" | "compareto" => DataType::Int32,
        "startswith" | "endswith" | "contains" | "equalsignorecase" | "isempty" => DataType::Boolean,
        _ => DataType::String,
    })
}

/// The static result of an arithmetic operator; unknown where only the values decide.
fn promoted(left: &Type, right: &Type) -> Type {
    let (Type::Of(left), Type::Of(right)) = (left, right) else { return Type::Unknown };
    let either = |data_type: DataType| *left == data_type || *right == data_type;
    let is_unsigned =
        |ty: &DataType| matches!(ty, DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64);
    let is_narrow = |ty: &DataType| {
        matches!(ty, DataType::Float32 | DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16)
    };
    if *left == DataType::Json || *right == DataType::Json {
        return Type::Unknown;
    }
    Type::Of(if either(DataType::Float64) {
        DataType::Float64
    } else if either(DataType::Float32) {
        if is_narrow(left) && is_narrow(right) { DataType::Float32 } else { DataType::Float64 }
    } else if either(DataType::UInt64) {
        if !(is_unsigned(left) && is_unsigned(right)) {
            return Type::Unknown;
        }
        DataType::UInt64
    } else if either(DataType::Int64) || either(DataType::UInt32) {
        DataType::Int64
    } else {
        DataType::Int32
    })
}
