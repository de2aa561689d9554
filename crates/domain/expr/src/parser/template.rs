//! Templates and the classification of attribute strings (TG 4.1, 4.2).

use smol_str::{SmolStr, SmolStrBuilder};

use super::{MAX_SOURCE_CHARS, Parsed, Parser, check_length, is_name_byte, is_name_start};
use crate::ast::{Template, TemplatePart, ValueExpr};
use crate::error::ParseError;

/// Parses a template: `$macro(text)`, `macro(text)` or bare text with interpolations.
///
/// # Errors
/// An interpolation that is no expression, a `${` without its `}`, or a limit of TG 4.1.
pub fn parse_template(source: &str) -> Result<Template, ParseError> {
    // Literal text of a template may be a whole JSON document: only the interpolations count against the limit.
    reparse_template(source)
}

pub(crate) fn reparse_template(source: &str) -> Result<Template, ParseError> {
    let (start, end) = macro_text(source).unwrap_or((0, source.len()));
    let mut parser = Parser::new(&source[..end]);
    parser.at = start;
    let (template, _) = parser.template_parts(|_, _| false)?;
    Ok(template)
}

/// Classifies an attribute string in a value position. [`ValueExpr::Variable`] is left for the host to resolve: it alone
/// knows the names in scope.
///
/// # Errors
/// As for [`super::parse_expr`] and [`parse_template`].
pub fn classify(source: &str) -> Result<ValueExpr, ParseError> {
    let trimmed = source.trim_matches([' ', '\t', '\r', '\n']);
    let lead = source.len() - source.trim_start_matches([' ', '\t', '\r', '\n']).len();
    if macro_text(trimmed).is_some() {
        let template = parse_template(trimmed);
        return template.map(ValueExpr::Template).map_err(|error| shift(error, lead));
    }
    if trimmed.starts_with("${") && is_one_interpolation(trimmed) {
        check_length(trimmed)?;
        let expr = super::reparse_expr(trimmed).map_err(|error| shift(error, lead))?;
        return Ok(ValueExpr::Typed(expr));
    }
    if source.contains("${") {
        return parse_template(source).map(ValueExpr::Template);
    }
    if is_variable_form(trimmed) && trimmed.chars().count() <= MAX_SOURCE_CHARS {
        let path = super::reparse_expr(trimmed).map_err(|error| shift(error, lead))?;
        return Ok(ValueExpr::Variable { path, text: SmolStr::new(source) });
    }
    Ok(ValueExpr::Literal(SmolStr::new(source)))
}

fn shift(mut error: ParseError, by: usize) -> ParseError {
    error.offset += by;
    error
}

/// Byte range of the text of `macro( ... )` when the whole of `source` is one: it runs to the last bracket.
fn macro_text(source: &str) -> Option<(usize, usize)> {
    let word = source.strip_prefix('$').unwrap_or(source);
    let is_macro = word.get(..6).is_some_and(|head| head.eq_ignore_ascii_case("macro("));
    (is_macro && source.ends_with(')')).then(|| (source.len() - word.len() + 6, source.len() - 1))
}

/// Whether the `}` that closes the leading `${` is the last byte. An unparsable interpolation counts, so that its
/// own error is reported rather than one about a template.
fn is_one_interpolation(source: &str) -> bool {
    let mut parser = Parser::new(source);
    parser.at = 2;
    let parsed = parser.expr();
    parser.skip_space();
    match parsed {
        Ok(_) => parser.peek() == Some(b'}') && parser.at + 1 == source.len(),
        Err(_) => !source[2..].contains("${"),
    }
}

/// `$name` or `$name.path`.
fn is_variable_form(source: &str) -> bool {
    let Some(path) = source.strip_prefix('$') else {
        return false;
    };
    path.split('.').all(|name| name.bytes().next().is_some_and(is_name_start) && name.bytes().all(is_name_byte))
}

impl Parser<'_> {
    /// The text of a `macro(` inside an expression: up to the bracket that balances, which it consumes.
    pub(super) fn balanced_template(&mut self) -> Parsed<(Template, u32)> {
        let start = self.at;
        let mut open = 0_u32;
        let (template, height) = self.template_parts(|_, byte| match byte {
            b'(' => {
                open += 1;
                false
            }
            b')' if open == 0 => true,
            b')' => {
                open -= 1;
                false
            }
            _ => false,
        })?;
        if self.peek() != Some(b')') {
            return self.error(start, "`macro(` without its `)`");
        }
        self.at += 1;
        Ok((template, height))
    }

    /// Text and interpolations until `is_end` says so for a byte of text, or the end. Also the tallest expression.
    pub(super) fn template_parts(&mut self, mut is_end: impl FnMut(&Self, u8) -> bool) -> Parsed<(Template, u32)> {
        let mut parts = Vec::new();
        let mut text = SmolStrBuilder::new();
        let mut is_text_empty = true;
        let mut height = 0;
        loop {
            let rest = self.rest();
            if rest.starts_with("$${") {
                text.push_str("${");
                is_text_empty = false;
                self.at += 3;
            } else if rest.starts_with("${") {
                if !is_text_empty {
                    parts.push(TemplatePart::Text(std::mem::take(&mut text).finish()));
                    is_text_empty = true;
                }
                let start = self.at;
                self.at += 2;
                let inner = self.expr().map_err(|error| self.unclosed(start, error))?;
                self.skip_space();
                match self.peek() {
                    Some(b'}') => self.at += 1,
                    None => return self.error(start, "`${` without its `}`"),
                    Some(_) => return Err(self.unexpected("an operator or `}`")),
                }
                let source_chars = self.source[start..self.at].chars().count();
                if source_chars > MAX_SOURCE_CHARS {
                    return self.error(start, format!("expression longer than {MAX_SOURCE_CHARS} characters"));
                }
                height = height.max(inner.height);
                parts.push(TemplatePart::Interpolation(inner.expr));
            } else {
                let Some(byte) = self.peek() else { break };
                if is_end(self, byte) {
                    break;
                }
                let character = rest.chars().next().map_or(1, char::len_utf8);
                text.push_str(&rest[..character]);
                is_text_empty = false;
                self.at += character;
            }
        }
        if !is_text_empty {
            parts.push(TemplatePart::Text(text.finish()));
        }
        Ok((Template { parts }, height))
    }

    /// An error at the very end of the text means the interpolation was never closed.
    fn unclosed(&self, start: usize, error: ParseError) -> ParseError {
        if error.offset >= self.source.len() { ParseError::new(start, "`${` without its `}`") } else { error }
    }
}
