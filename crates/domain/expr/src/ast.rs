//! The parsed forms: expressions, templates, classified attribute strings, statements, mapping rules, event expressions.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::error::ParseError;
use crate::types::DataType;
use crate::value::Value;

/// Byte range `start..end` of the text an expression was parsed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// An expression and where it stood. Equality ignores the place.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stood in the parsed text.
    pub span: Span,
}

/// The shapes of an expression (TG 4.1).
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// Null, Boolean, number or string.
    Literal(Value),
    /// A root name; `$x` and `x` are the same.
    Name(SmolStr),
    /// `base.step.step`: fields, filters and method calls, flat.
    Path {
        /// What the first step applies to.
        base: Box<Expr>,
        /// One or more steps.
        steps: Vec<Step>,
    },
    /// A bare call `name(args)`; no such function exists in the language, hosts may give one meaning.
    Call {
        /// The name called.
        name: SmolStr,
        /// Its arguments.
        args: Vec<Expr>,
    },
    /// A library function: `tdm.lib.Math.log(x)`, `lib.getDate()`, `Math.abs(x)`.
    Library {
        /// The canonical path after `tdm.lib.`, such as `Math.log` or `getDate`.
        function: crate::functions::LibraryFn,
        /// Written without `lib.`: allowed in mappings only.
        is_short: bool,
        /// Its arguments.
        args: Vec<Expr>,
    },
    /// Prefix operator.
    Unary {
        /// The operator.
        op: UnaryOp,
        /// What it applies to.
        operand: Box<Expr>,
    },
    /// Infix operator.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// Left side.
        left: Box<Expr>,
        /// Right side.
        right: Box<Expr>,
    },
    /// `(int8)x`; the type is a built-in one.
    Cast {
        /// Target type.
        to: DataType,
        /// What is cast.
        operand: Box<Expr>,
    },
    /// `a ? b : c`.
    Conditional {
        /// Tested in Boolean context.
        test: Box<Expr>,
        /// Value when true.
        then: Box<Expr>,
        /// Value when false.
        otherwise: Box<Expr>,
    },
    /// `[a, b]`, or a parenthesised list after IN.
    List(Vec<Expr>),
    /// `macro(text)`.
    Template(Template),
    /// `devices[name == 'role'].events[name == 'event'].lastEvent` with literal names; trigger texts only.
    LastEvent {
        /// Device role in the system.
        role: SmolStr,
        /// Event of the role's capability.
        event: SmolStr,
    },
    /// `bindings[name == 'role'].deviceId` with a literal name; trigger texts only.
    BoundThing {
        /// Device role in the system.
        role: SmolStr,
    },
}

/// A step of a path.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// `.name` or `/name`.
    Field(SmolStr),
    /// `[predicate]` or `[index]`.
    Filter(Expr),
    /// `.name(args)`.
    Method {
        /// Method name.
        name: SmolStr,
        /// Its arguments.
        args: Vec<Expr>,
    },
}

/// Prefix operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// `!`
    Not,
    /// `-`
    Negate,
    /// `+`
    Plus,
}

/// Infix operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `??`
    Coalesce,
    /// `||`
    Or,
    /// `&&`
    And,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `IN`
    In,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
}

/// Literal text with interpolations (TG 4.8).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Template {
    /// Text and expressions in order; no two texts are adjacent.
    pub parts: Vec<TemplatePart>,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq)]
pub enum TemplatePart {
    /// Literal text, escapes resolved.
    Text(SmolStr),
    /// `${ expr }`.
    Interpolation(Expr),
}

/// What an attribute string in a value position is (TG 4.2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ValueExpr {
    /// The whole string is one `${ expr }`: the result keeps its type.
    Typed(Expr),
    /// Text with interpolation: the result is a String.
    Template(Template),
    /// `$name` or `$name.path` alone: that variable if the root is in scope, else the text.
    Variable {
        /// The path.
        path: Expr,
        /// The string as written, the value when the root is not in scope.
        text: SmolStr,
    },
    /// The literal text, coerced to the property it is for.
    Literal(SmolStr),
}

/// `lvalue = expr` (stmt, Catch expr).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Stmt {
    /// The assigned path: a variable name and field names. One element or more.
    pub target: Vec<SmolStr>,
    /// What is assigned.
    pub value: Expr,
}

/// `left => right` (mappings, TG 5.2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct MapRule {
    /// Guard or source path.
    pub left: Expr,
    /// Constant, target path or `NULL`.
    pub right: Expr,
}

/// A Boolean combination of event names (TG 6.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum EventExpr {
    /// An unconsumed token of this event is available.
    Event(SmolStr),
    /// `!e`
    Not(Box<EventExpr>),
    /// `a && b`
    And(Box<EventExpr>, Box<EventExpr>),
    /// `a || b`
    Or(Box<EventExpr>, Box<EventExpr>),
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Expr {
    /// An expression that stands nowhere.
    pub fn synthetic(kind: ExprKind) -> Self {
        Self { kind, span: Span::default() }
    }

    /// Calls `visit` on this expression and every expression inside it, outermost first.
    pub fn walk<'e>(&'e self, visit: &mut dyn FnMut(&'e Self)) {
        visit(self);
        match &self.kind {
            ExprKind::Literal(_) | ExprKind::Name(_) | ExprKind::LastEvent { .. } | ExprKind::BoundThing { .. } => {}
            ExprKind::Path { base, steps } => {
                base.walk(visit);
                for step in steps {
                    match step {
                        Step::Field(_) => {}
                        Step::Filter(inner) => inner.walk(visit),
                        Step::Method { args, .. } => args.iter().for_each(|arg| arg.walk(visit)),
                    }
                }
            }
            ExprKind::Call { args, .. } | ExprKind::Library { args, .. } | ExprKind::List(args) => {
                args.iter().for_each(|arg| arg.walk(visit));
            }
            ExprKind::Unary { operand, .. } | ExprKind::Cast { operand, .. } => operand.walk(visit),
            ExprKind::Binary { left, right, .. } => {
                left.walk(visit);
                right.walk(visit);
            }
            ExprKind::Conditional { test, then, otherwise } => {
                test.walk(visit);
                then.walk(visit);
                otherwise.walk(visit);
            }
            ExprKind::Template(template) => template.exprs().for_each(|expr| expr.walk(visit)),
        }
    }

    /// The root names the expression reads, those inside filters included, spelled as written.
    pub fn roots(&self) -> BTreeSet<&str> {
        let mut roots = BTreeSet::new();
        self.walk(&mut |expr| {
            if let ExprKind::Name(name) = &expr.kind {
                roots.insert(name.as_str());
            }
        });
        roots
    }

    /// The events a trigger condition refers to, as (role, event), first mention first.
    pub fn last_events(&self) -> Vec<(&str, &str)> {
        let mut events = Vec::new();
        self.walk(&mut |expr| {
            if let ExprKind::LastEvent { role, event } = &expr.kind
                && !events.contains(&(role.as_str(), event.as_str()))
            {
                events.push((role.as_str(), event.as_str()));
            }
        });
        events
    }

    /// A bare path of names, `a.b.c`, or `None` when it is anything else.
    pub fn as_name_path(&self) -> Option<Vec<&str>> {
        match &self.kind {
            ExprKind::Name(name) => Some(vec![name]),
            ExprKind::Path { base, steps } => {
                let ExprKind::Name(root) = &base.kind else {
                    return None;
                };
                let mut names = vec![root.as_str()];
                for step in steps {
                    let Step::Field(name) = step else { return None };
                    names.push(name);
                }
                Some(names)
            }
            _ => None,
        }
    }
}

impl Template {
    /// The interpolated expressions in order.
    pub fn exprs(&self) -> impl Iterator<Item = &Expr> {
        self.parts.iter().filter_map(|part| match part {
            TemplatePart::Interpolation(expr) => Some(expr),
            TemplatePart::Text(_) => None,
        })
    }

    /// The text when nothing is interpolated.
    pub fn as_text(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [TemplatePart::Text(text)] => Some(text),
            _ => None,
        }
    }
}

impl ValueExpr {
    /// The expressions inside.
    pub fn exprs(&self) -> Vec<&Expr> {
        match self {
            Self::Typed(expr) | Self::Variable { path: expr, .. } => vec![expr],
            Self::Template(template) => template.exprs().collect(),
            Self::Literal(_) => Vec::new(),
        }
    }
}

impl EventExpr {
    /// Event names mentioned, as (name, positively), in order of mention.
    pub fn events(&self) -> Vec<(&SmolStr, bool)> {
        fn collect<'e>(expr: &'e EventExpr, positive: bool, out: &mut Vec<(&'e SmolStr, bool)>) {
            match expr {
                EventExpr::Event(name) => out.push((name, positive)),
                EventExpr::Not(inner) => collect(inner, !positive, out),
                EventExpr::And(left, right) | EventExpr::Or(left, right) => {
                    collect(left, positive, out);
                    collect(right, positive, out);
                }
            }
        }
        let mut out = Vec::new();
        collect(self, true, &mut out);
        out
    }

    /// Whether the expression holds when exactly the events for which `available` answers true have a token.
    pub fn holds(&self, available: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::Event(name) => available(name),
            Self::Not(inner) => !inner.holds(available),
            Self::And(left, right) => left.holds(available) && right.holds(available),
            Self::Or(left, right) => left.holds(available) || right.holds(available),
        }
    }
}

macro_rules! through_text {
    ($($form:ident => $parse:expr),* $(,)?) => {$(
        impl From<$form> for String {
            fn from(form: $form) -> Self {
                form.to_string()
            }
        }
        impl TryFrom<String> for $form {
            type Error = ParseError;
            fn try_from(text: String) -> Result<Self, ParseError> {
                $parse(&text)
            }
        }
    )*};
}

through_text! {
    Expr => crate::parser::reparse_expr,
    Template => crate::parser::reparse_template,
    Stmt => crate::parser::reparse_stmt,
    MapRule => crate::parser::reparse_map_rule,
    EventExpr => crate::parser::reparse_event_expr,
}
