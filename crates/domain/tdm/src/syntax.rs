//! From text to tree: lexer, parser, tree, formatter.
//!
//! [`parse`] always answers a [`Document`] and everything it found wrong with the text. The document keeps the whole
//! token list, trivia included, so a formatter or an editor loses nothing.

pub mod ast;
mod format;
mod lexer;
mod normalise;
mod parser;
mod strings;
mod token;

use marram_diag::Diagnostic;

pub use ast::Document;
pub use format::{FormatOptions, format};
pub use normalise::normalise;
pub use strings::{escape, quote};
pub use token::{Token, TokenKind};

use crate::codes::Findings;

/// Longest document, in characters (TG section 2).
pub const MAX_CHARS: usize = 1_048_576;
/// Most tokens of a document, trivia not counted (TG 2.5).
pub const MAX_TOKENS: usize = 400_000;
/// Deepest nesting of blocks, lists and objects (TG 2.5).
pub const MAX_NESTING: usize = 64;
/// Most definitions of a document (TG 2.5).
pub const MAX_DEFINITIONS: usize = 5_000;

/// Parses a document.
pub fn parse(source: &str) -> (Document, Vec<Diagnostic>) {
    let mut findings = Findings::default();
    let tokens = lexer::lex(source, &mut findings);
    let document = parser::Parser::new(source, &tokens, &mut findings).document();
    (Document { tokens: ast::Tokens(tokens), ..document }, findings.into_sorted())
}

/// Parses a fragment: the selections an editor edits one at a time, or the text of `@triggers` (TG 2.2).
pub fn parse_fragment(source: &str) -> (Vec<ast::Selection>, Vec<Diagnostic>) {
    let mut findings = Findings::default();
    let tokens = lexer::lex(source, &mut findings);
    let selections = parser::Parser::new(source, &tokens, &mut findings).fragment();
    (selections, findings.into_sorted())
}
