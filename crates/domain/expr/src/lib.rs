//! TDM expressions: values, types, parser, typed evaluator, templates (TG 4).
//!
//! A document's attribute strings are classified once ([`classify`]) into a [`ValueExpr`]; strings in expression
//! positions go through [`parse_expr`]. The result evaluates against a [`Scope`], which alone knows the outside: the evaluator never touches a
//! clock, a socket or a file.
//!
//! Every parsed form serialises as its canonical text and parses back on the way in, so a stored snapshot is
//! readable and no deeper than the document it came from.

pub mod ast;
pub mod check;
mod coerce;
pub mod error;
mod eval;
pub mod functions;
mod json;
mod number;
mod parser;
mod print;
mod render;
pub mod scope;
mod text;
mod trigger;
pub mod types;
pub mod value;

pub use ast::{
    BinaryOp, EventExpr, Expr, ExprKind, MapRule, Span, Step, Stmt, Template, TemplatePart, UnaryOp, ValueExpr,
};
pub use check::{Assignability, Finding, Type, TypeScope, assignable, check};
pub use coerce::{MAX_PAYLOAD_BYTES, coerce, decode_payload, duration_ms, to_dynamic};
pub use error::{EvalError, EvalErrorKind, ParseError};
pub use eval::{MAX_STEPS, eval, eval_bool, eval_stmt, eval_value, is_equal, is_true};
pub use functions::LibraryFn;
pub use parser::{
    MAX_DEPTH, MAX_SOURCE_CHARS, classify, parse_event_expr, parse_expr, parse_map_rule, parse_stmt, parse_template,
};
pub use render::{render, render_topic, render_url};
pub use scope::{MapScope, Scope};
pub use text::MAX_RESULT_BYTES;
pub use trigger::{ClockCondition, ClockUnit, StartFlow, TriggerCondition, parse_start_flow, parse_trigger_condition};
pub use types::{ComplexType, DataType, EnumMember, EnumType, Field, Primitive, PropertyType};
pub use value::{ComplexValue, EnumValue, Object, Occurrence, Value};
