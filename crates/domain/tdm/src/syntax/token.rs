//! Tokens: a kind and a byte range.

use marram_diag::Span;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the punctuators are their names
pub enum TokenKind {
    /// Spaces, tabs, line breaks, byte order marks.
    Space,
    /// `#` to the end of the line.
    Comment,
    /// Ignored everywhere.
    Comma,
    Name,
    Number,
    /// `"..."` or `'...'`.
    String,
    /// `"""..."""`.
    BlockString,
    /// A string with a typographic quote at either end, or such a quote alone.
    TypographicString,
    Bang,
    Dollar,
    ParenOpen,
    ParenClose,
    Colon,
    Equals,
    At,
    BracketOpen,
    BracketClose,
    BraceOpen,
    BraceClose,
    Pipe,
    Ampersand,
    /// Characters that belong nowhere.
    Illegal,
}

impl TokenKind {
    /// Whether the grammar does not see it.
    pub fn is_trivia(self) -> bool {
        matches!(self, TokenKind::Space | TokenKind::Comment | TokenKind::Comma | TokenKind::Illegal)
    }

    /// Whether it is one of the string forms.
    pub fn is_string(self) -> bool {
        matches!(self, TokenKind::String | TokenKind::BlockString | TokenKind::TypographicString)
    }

    /// The kind of a one-byte punctuator.
    pub(crate) fn punctuator(byte: u8) -> Option<Self> {
        Some(match byte {
            b'!' => TokenKind::Bang,
            b'$' => TokenKind::Dollar,
            b'(' => TokenKind::ParenOpen,
            b')' => TokenKind::ParenClose,
            b':' => TokenKind::Colon,
            b'=' => TokenKind::Equals,
            b'@' => TokenKind::At,
            b'[' => TokenKind::BracketOpen,
            b']' => TokenKind::BracketClose,
            b'{' => TokenKind::BraceOpen,
            b'}' => TokenKind::BraceClose,
            b'|' => TokenKind::Pipe,
            b'&' => TokenKind::Ampersand,
            _ => return None,
        })
    }
}

/// A token of the source. The tokens of a source follow each other without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where it is.
    pub span: Span,
}
