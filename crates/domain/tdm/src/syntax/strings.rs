//! String literals: escapes, block strings, and writing a value back.

use marram_diag::Span;

/// `“ ” ‘ ’`, which word processors put where a quote was typed.
pub(super) fn is_typographic(c: char) -> bool {
    matches!(c, '\u{201C}' | '\u{201D}' | '\u{2018}' | '\u{2019}')
}

/// The plain quote a typographic one stands for.
pub(super) fn plain_quote(c: char) -> char {
    if matches!(c, '\u{201C}' | '\u{201D}') { '"' } else { '\'' }
}

/// Reads the inside of a quoted string. `bad` hears the range (relative to `raw`) of every escape that is none;
/// such an escape stays in the value as written.
pub(super) fn unescape(raw: &str, mut bad: impl FnMut(Span)) -> String {
    let mut value = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        value.push_str(&rest[..at]);
        let start = raw.len() - rest.len() + at;
        let escape = &rest[at..];
        let (character, length) = read_escape(escape);
        match character {
            Some(character) => value.push(character),
            None => {
                bad(Span::new(start, start + length));
                value.push_str(&escape[..length]);
            }
        }
        rest = &escape[length..];
    }
    value.push_str(rest);
    value
}

/// One escape at the start of `text`: its character, unless it is wrong, and its length in bytes.
fn read_escape(text: &str) -> (Option<char>, usize) {
    let Some(letter) = text[1..].chars().next() else { return (None, 1) };
    let plain = match letter {
        '"' | '\'' | '\\' | '/' => letter,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => return read_unicode_escape(text),
        _ => return (None, 1 + letter.len_utf8()),
    };
    (Some(plain), 2)
}

fn read_unicode_escape(text: &str) -> (Option<char>, usize) {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        let all_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        all_hex.then(|| u16::from_str_radix(digits, 16).ok())?
    };
    let Some(first) = unit(0) else { return (None, 2) };
    if let Some(character) = char::from_u32(first.into()) {
        return (Some(character), 6);
    }
    let pair = unit(6).and_then(|second| char::decode_utf16([first, second]).next()?.ok());
    (pair, if pair.is_some() { 12 } else { 6 })
}

/// The value of a block string: the text between the triple quotes with the common indentation and the blank first
/// and last lines removed, `\"""` read as `"""` (GraphQL, "Block Strings").
pub(super) fn dedent(raw: &str) -> String {
    let raw = raw.replace("\r\n", "\n").replace('\r', "\n").replace("\\\"\"\"", "\"\"\"");
    let lines: Vec<&str> = raw.split('\n').collect();
    let indent_of = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let is_blank = |line: &str| indent_of(line) == line.len();
    let common = lines.iter().skip(1).filter(|line| !is_blank(line)).map(|line| indent_of(line)).min().unwrap_or(0);
    let cut: Vec<&str> = lines
        .iter()
        .enumerate()
        .map(|(number, line)| if number == 0 { *line } else { line.get(common..).unwrap_or("") })
        .collect();
    let first = cut.iter().position(|line| !is_blank(line)).unwrap_or(cut.len());
    let last = cut.iter().rposition(|line| !is_blank(line)).map_or(first, |at| at + 1);
    cut[first..last].join("\n")
}

/// Writes `value` as a string literal: in the quotes that are `preferred`, `"` or `'`, or in the others when that saves
/// escapes.
pub fn quote(value: &str, preferred: char) -> String {
    let other = if preferred == '"' { '\'' } else { '"' };
    let quote = if value.contains(preferred) && !value.contains(other) { other } else { preferred };
    format!("{quote}{}{quote}", escape(value, quote))
}

/// What stands between the quotes of a string literal.
pub fn escape(value: &str, quote: char) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            c if c == quote => text.extend(['\\', c]),
            c if c.is_control() => text.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => text.push(c),
        }
    }
    text
}
