//! Text with wildcards and variables, compiled once and matched often.
//!
//! `*` is any run of characters (empty too), `?` exactly one; both cross `:` and `/`. `${key}` stands for a context
//! value and never becomes a wildcard itself; `${*}`, `${?}` and `${$}` are the plain characters.
//! Source: control-plane-api.md section 3.2, security.md section 4.

use std::borrow::Cow;

use smol_str::{SmolStr, StrExt};

use crate::facts::{Fact, Facts};

mod glob;

use glob::{AsPart, Case, Part};

/// How a pattern's text is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// `*` and `?` are wildcards.
    pub wildcards: bool,
    /// `${…}` is a variable (documents of version 2012-10-17).
    pub variables: bool,
    /// Values that hold `*`, `?`, `+`, `#` or `${`, or begin with `$`, do not substitute (IoT device policies).
    pub plain_values_only: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Text(SmolStr),
    Star,
    One,
    Variable { key: SmolStr, default: Option<SmolStr> },
}

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    tokens: Vec<Token>,
    has_variables: bool,
    plain_values_only: bool,
}

/// Outcome of one match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    Yes,
    No,
    /// A variable has no usable value.
    Unresolved,
}

/// Tokens of a pattern with variables that are matched without an allocation; longer patterns take one.
const PIECES_ON_STACK: usize = 12;

/// A token whose variables have been replaced.
enum Piece<'a> {
    Text(Cow<'a, str>),
    Star,
    One,
}

impl AsPart for Token {
    /// A variable that has not been replaced may be anything.
    fn part(&self) -> Part<'_> {
        match self {
            Token::Text(text) => Part::Literal(text.as_bytes()),
            Token::One => Part::One,
            Token::Star | Token::Variable { .. } => Part::Star,
        }
    }
}

impl AsPart for Piece<'_> {
    fn part(&self) -> Part<'_> {
        match self {
            Piece::Text(text) => Part::Literal(text.as_bytes()),
            Piece::Star => Part::Star,
            Piece::One => Part::One,
        }
    }
}

impl Pattern {
    /// Compiles `text`.
    ///
    /// # Errors
    /// A `${` without its `}`, an empty variable name, or a default that is not quoted.
    pub(crate) fn parse(text: &str, reading: Reading) -> Result<Pattern, &'static str> {
        let mut tokens: Vec<Token> = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        let mut has_variables = false;
        while let Some(c) = rest.chars().next() {
            let after = rest.get(c.len_utf8()..).unwrap_or_default();
            match c {
                '*' | '?' if reading.wildcards => {
                    flush(&mut tokens, &mut literal);
                    if c == '?' {
                        tokens.push(Token::One);
                    } else if tokens.last() != Some(&Token::Star) {
                        tokens.push(Token::Star);
                    }
                    rest = after;
                }
                '$' if reading.variables && after.starts_with('{') => {
                    let (token, remaining) = variable(after.get(1..).unwrap_or_default())?;
                    match token {
                        Token::Text(character) => literal.push_str(&character),
                        other => {
                            flush(&mut tokens, &mut literal);
                            has_variables = true;
                            tokens.push(other);
                        }
                    }
                    rest = remaining;
                }
                _ => {
                    literal.push(c);
                    rest = after;
                }
            }
        }
        flush(&mut tokens, &mut literal);
        Ok(Pattern { tokens, has_variables, plain_values_only: reading.plain_values_only })
    }

    /// Whether any variable stands in it.
    pub(crate) fn has_variables(&self) -> bool {
        self.has_variables
    }

    /// Whether it is `*` alone.
    pub(crate) fn is_any(&self) -> bool {
        self.tokens.as_slice() == [Token::Star]
    }

    /// The compiled tokens.
    pub(crate) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Matches the whole of `text`.
    pub(crate) fn matches(&self, text: &str, facts: &dyn Facts) -> Match {
        let matched = if self.has_variables {
            match self.matches_resolved(text, facts) {
                Some(matched) => matched,
                None => return Match::Unresolved,
            }
        } else {
            glob::matches(&self.tokens, text, Case::Exact)
        };
        if matched { Match::Yes } else { Match::No }
    }

    /// Whether it matches `text` for some values of its variables; exact when it has none. Asks for no value, so it is the
    /// cheap way to find out that a pattern does not matter.
    pub(crate) fn may_match(&self, text: &str) -> bool {
        glob::matches(&self.tokens, text, Case::Exact)
    }

    /// Matches with the variables replaced, on the stack where the pattern is as short as patterns are.
    fn matches_resolved(&self, text: &str, facts: &dyn Facts) -> Option<bool> {
        let mut room = [const { Piece::Star }; PIECES_ON_STACK];
        let Some(pieces) = room.get_mut(..self.tokens.len()) else {
            return self.resolve(facts).map(|pieces| glob::matches(&pieces, text, Case::Exact));
        };
        for (piece, token) in pieces.iter_mut().zip(&self.tokens) {
            *piece = self.piece(token, facts)?;
        }
        Some(glob::matches(pieces, text, Case::Exact))
    }

    /// Matches the whole of `text` without regard to ASCII case. Variables never match here.
    pub(crate) fn matches_ignore_case(&self, text: &str) -> bool {
        !self.has_variables && glob::matches(&self.tokens, text, Case::IgnoreAscii)
    }

    /// The text with its variables replaced, wildcards as written; `None` when one has no value.
    pub(crate) fn text(&self, facts: &dyn Facts) -> Option<String> {
        let mut out = String::new();
        for piece in self.resolve(facts)? {
            match piece {
                Piece::Text(text) => out.push_str(&text),
                Piece::Star => out.push('*'),
                Piece::One => out.push('?'),
            }
        }
        Some(out)
    }

    /// The pattern with its variables replaced by literal text; `None` when one has no value.
    pub(crate) fn bound(&self, facts: &dyn Facts) -> Option<Pattern> {
        let mut tokens: Vec<Token> = Vec::new();
        for piece in self.resolve(facts)? {
            match (piece, tokens.last_mut()) {
                (Piece::Text(text), Some(Token::Text(last))) => *last = SmolStr::new(format!("{last}{text}")),
                (Piece::Text(text), _) => tokens.push(Token::Text(text.into())),
                (Piece::Star, Some(Token::Star)) => {}
                (Piece::Star, _) => tokens.push(Token::Star),
                (Piece::One, _) => tokens.push(Token::One),
            }
        }
        Some(Pattern { tokens, has_variables: false, plain_values_only: self.plain_values_only })
    }

    /// Keys of the variables that have no usable value.
    pub(crate) fn unresolved<'a>(&'a self, facts: &'a dyn Facts) -> impl Iterator<Item = &'a SmolStr> {
        self.tokens.iter().filter_map(|token| match token {
            Token::Variable { key, .. } if self.value_of(token, facts).is_none() => Some(key),
            _ => None,
        })
    }

    fn resolve<'a>(&'a self, facts: &'a dyn Facts) -> Option<Vec<Piece<'a>>> {
        self.tokens.iter().map(|token| self.piece(token, facts)).collect()
    }

    fn piece<'a>(&self, token: &'a Token, facts: &'a dyn Facts) -> Option<Piece<'a>> {
        match token {
            Token::Text(text) => Some(Piece::Text(Cow::Borrowed(text.as_str()))),
            Token::Star => Some(Piece::Star),
            Token::One => Some(Piece::One),
            Token::Variable { .. } => self.value_of(token, facts).map(Piece::Text),
        }
    }

    fn value_of<'a>(&self, token: &'a Token, facts: &'a dyn Facts) -> Option<Cow<'a, str>> {
        let Token::Variable { key, default } = token else { return None };
        let value = match facts.get(key) {
            Some(Fact::One(value)) => Some(value),
            // A variable stands for one value; a key with several has none to offer.
            Some(Fact::Many(mut values)) if values.len() == 1 => values.pop(),
            Some(Fact::Many(_)) => None,
            None => default.as_ref().map(|text| Cow::Borrowed(text.as_str())),
        }?;
        // `+`, `#` and a leading `$` mean something in topics (SEC-44): a client id of `+` is not everybody's.
        let plain = !value.contains(['*', '?', '+', '#']) && !value.contains("${") && !value.starts_with('$');
        (plain || !self.plain_values_only).then_some(value)
    }

    /// A pattern of these tokens, which hold no variable.
    pub(crate) fn from_tokens(tokens: Vec<Token>) -> Pattern {
        Pattern { tokens, has_variables: false, plain_values_only: false }
    }
}

/// Reads a variable after its `${`; answers what it is and the text after its `}`.
fn variable(text: &str) -> Result<(Token, &str), &'static str> {
    const UNTERMINATED: &str = "a policy variable is not closed";
    for plain in ["*", "?", "$"] {
        if let Some(rest) = text.strip_prefix(plain).and_then(|t| t.strip_prefix('}')) {
            return Ok((Token::Text(SmolStr::new(plain)), rest));
        }
    }
    let end = text.find(['}', ',']).ok_or(UNTERMINATED)?;
    let (key, rest) = text.split_at(end);
    let key = key.trim();
    if key.is_empty() || key.contains(['$', '{', '*', '?']) || key.contains(char::is_whitespace) {
        return Err("a policy variable has no usable name");
    }
    let key = key.to_lowercase_smolstr();
    if let Some(rest) = rest.strip_prefix('}') {
        return Ok((Token::Variable { key, default: None }, rest));
    }
    let quoted = rest.strip_prefix(',').unwrap_or_default().trim_start();
    let inner = quoted.strip_prefix('\'').ok_or("the default of a policy variable stands in single quotes")?;
    let (default, rest) = inner.split_once('\'').ok_or(UNTERMINATED)?;
    let rest = rest.trim_start().strip_prefix('}').ok_or(UNTERMINATED)?;
    Ok((Token::Variable { key, default: Some(default.into()) }, rest))
}

fn flush(tokens: &mut Vec<Token>, literal: &mut String) {
    if !literal.is_empty() {
        tokens.push(Token::Text(SmolStr::new(&literal)));
        literal.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{ConditionValues, NoFacts};

    const GLOB: Reading = Reading { wildcards: true, variables: true, plain_values_only: false };

    fn check(pattern: &str, text: &str, facts: &dyn Facts) -> Match {
        Pattern::parse(pattern, GLOB).unwrap().matches(text, facts)
    }

    /// CP 3.2: `*` crosses every separator, `?` is one character, not one byte.
    #[test]
    fn wildcards() {
        for (pattern, text, want) in [
            ("*", "", true),
            ("a*", "a", true),
            ("a*c", "a/b:c", true),
            ("a*b*c", "abxbyc", true),
            ("a*b*c", "abxbyd", false),
            ("*ab", "aab", true),
            ("a?c", "aéc", true),
            ("a?c", "ac", false),
            ("a??", "aé", false),
            ("*?", "x", true),
            ("*?", "", false),
            ("", "", true),
            ("", "a", false),
            ("a/+", "a/b", false),
            ("a/#", "a/#", true),
            ("**a", "xa", true),
            ("*é*aé", "xéyaaé", true),
            ("*:b/*/c", "a:b:b/x/c", true),
            ("*:b/*/c", "a:b:b/x/cd", false),
        ] {
            let want = if want { Match::Yes } else { Match::No };
            assert_eq!(check(pattern, text, &NoFacts), want, "{pattern} ~ {text}");
        }
    }

    /// CP 3.2: substituted values are plain text; the three escapes are plain characters.
    #[test]
    fn variables() {
        let mut facts = ConditionValues::new();
        facts.set("aws:username", "a*b").set("aws:empty", "").set_all("aws:TagKeys", ["x", "y"]);
        for (pattern, text, want) in [
            ("home/${aws:UserName}/*", "home/a*b/x", Match::Yes),
            ("home/${aws:username}/*", "home/aXb/x", Match::No),
            ("x*${aws:empty}y", "xzy", Match::Yes),
            ("x*${aws:empty}", "xz", Match::Yes),
            ("${aws:missing}", "x", Match::Unresolved),
            ("${aws:missing, 'none'}", "none", Match::Yes),
            ("${aws:TagKeys}", "x", Match::Unresolved),
            ("${*}${?}${$}", "*?$", Match::Yes),
            ("${*}", "x", Match::No),
        ] {
            assert_eq!(check(pattern, text, &facts), want, "{pattern} ~ {text}");
        }
        let device = Reading { plain_values_only: true, ..GLOB };
        let pattern = Pattern::parse("${aws:username}", device).unwrap();
        assert_eq!(pattern.matches("a*b", &facts), Match::Unresolved);
        // SEC-44: what a filter or a reserved topic is made of never comes from a client.
        for value in ["+", "a/+", "#", "$aws", "?", "${x}"] {
            facts.set("aws:username", value);
            assert_eq!(pattern.matches(value, &facts), Match::Unresolved, "{value}");
        }
        for bad in ["${", "${aws:x", "${}", "${a b}", "${a,b}", "${a,'b}"] {
            assert!(Pattern::parse(bad, GLOB).is_err(), "{bad}");
        }
    }
}
