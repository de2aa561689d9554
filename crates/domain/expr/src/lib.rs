//! TDM expressions: values, types, parser, typed evaluator, templates (TG 4).
//!
//! A document's attribute strings are classified once ([`classify`]) into a [`ValueExpr`]; strings in expression
//! positions go through [`parse_expr`]. The result evaluates against a [`Scope`], which alone knows the outside: the evaluator never touches a
//! clock, a socket or a file.
//!
//! Every parsed form serialises as its canonical text and parses back on the way in, so a stored snapshot is
//! readable and no deeper than the document it came from.

pub mod ast;
pub mod error;
pub mod functions;
mod parser;
mod print;
pub mod scope;
pub mod types;
pub mod value;

pub use ast::{
    BinaryOp, EventExpr, Expr, ExprKind, MapRule, Span, Step, Stmt, Template, TemplatePart,
    UnaryOp, ValueExpr,
};
pub use error::{EvalError, EvalErrorKind, ParseError};
pub use parser::{
    MAX_DEPTH, MAX_SOURCE_CHARS, classify, parse_event_expr, parse_expr, parse_map_rule,
    parse_stmt, parse_template,
};
pub use scope::{MapScope, Scope};
pub use types::{ComplexType, DataType, EnumMember, EnumType, Field, PropertyType};
pub use value::{ComplexValue, EnumValue, Object, Occurrence, Value};
