//! Why an expression was refused: at parse time with a byte offset, at run time with the name `OnError` matches.

use std::fmt;

use crate::ast::Span;

/// `TDM3018`: a text that is not an expression, template, statement, rule or condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at byte {offset}")]
pub struct ParseError {
    /// Byte offset into the text that was parsed.
    pub offset: usize,
    /// What is wrong and, where known, what was expected.
    pub message: String,
}

impl ParseError {
    pub(crate) fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into() }
    }
}

/// An expression that failed while running.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EvalError {
    /// Which error name it carries.
    pub kind: EvalErrorKind,
    /// Where in the expression's text.
    pub span: Span,
    /// What happened, with the values' types but never their contents.
    pub message: String,
}

/// The error names of TG 6.5 the evaluator can raise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EvalErrorKind {
    /// `TG.ExpressionError`: overflow, division by zero, unknown name, wrong arity, a limit.
    Expression,
    /// `TG.TypeError`: a value cannot become the declared type.
    Type,
    /// `TG.PayloadInvalid`: a received value violates its property.
    Payload,
    /// `TG.RequestInvalid`: a template rendered to something that must not be sent.
    Request,
}

impl EvalErrorKind {
    /// The name `errorEquals` is matched against.
    pub fn name(self) -> &'static str {
        match self {
            Self::Expression => "TG.ExpressionError",
            Self::Type => "TG.TypeError",
            Self::Payload => "TG.PayloadInvalid",
            Self::Request => "TG.RequestInvalid",
        }
    }
}

impl fmt::Display for EvalErrorKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl EvalError {
    /// A `TG.ExpressionError`.
    pub fn expression(span: Span, message: impl Into<String>) -> Self {
        Self { kind: EvalErrorKind::Expression, span, message: message.into() }
    }

    /// A `TG.TypeError`.
    pub fn type_error(span: Span, message: impl Into<String>) -> Self {
        Self { kind: EvalErrorKind::Type, span, message: message.into() }
    }

    /// A `TG.PayloadInvalid`.
    pub fn payload(message: impl Into<String>) -> Self {
        Self { kind: EvalErrorKind::Payload, span: Span::default(), message: message.into() }
    }

    /// A `TG.RequestInvalid`.
    pub fn request(message: impl Into<String>) -> Self {
        Self { kind: EvalErrorKind::Request, span: Span::default(), message: message.into() }
    }
}
