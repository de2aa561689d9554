//! The TDM language: lexer to checked model, formatter, public library.
//!
//! [`syntax`] reads a document into a tree, the checker turns trees into the [`model`] other crates build on.
//! Everything is a pure function of its arguments.

pub mod check;
pub mod cli;
pub mod codes;
pub mod library;
pub mod mapping;
pub mod model;
pub mod syntax;
pub mod units;

pub use marram_diag::{Diagnostic, LineIndex, Severity, Span, has_errors, one_line};
