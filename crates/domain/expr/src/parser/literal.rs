//! Number and string literals (TG 2.1, 4.1).

use smol_str::{SmolStr, SmolStrBuilder};

use super::{Parsed, Parser, is_name_byte};
use crate::value::Value;

impl Parser<'_> {
    /// A number at the cursor, negated when `is_negative`. `None` when `is_negative` and the suffix makes it unsigned:
    /// the minus is then an operator.
    pub(super) fn number(&mut self, is_negative: bool) -> Parsed<Option<Value>> {
        let start = self.at;
        let digits = |parser: &mut Self| {
            while parser.peek().is_some_and(|byte| byte.is_ascii_digit()) {
                parser.at += 1;
            }
        };
        digits(self);
        if self.at > start + 1 && self.source.as_bytes()[start] == b'0' {
            return self.error(start, "a number must not start with 0");
        }
        let mut is_float = false;
        if self.peek() == Some(b'.') && self.peek_at(1).is_some_and(|byte| byte.is_ascii_digit()) {
            is_float = true;
            self.at += 1;
            digits(self);
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.peek_at(1), Some(b'+' | b'-')));
            if self.peek_at(1 + sign).is_some_and(|byte| byte.is_ascii_digit()) {
                is_float = true;
                self.at += 1 + sign;
                digits(self);
            }
        }
        let text = &self.source[start..self.at];
        let suffix_start = self.at;
        while self.peek().is_some_and(is_name_byte) {
            self.at += 1;
        }
        let suffix = self.source[suffix_start..self.at].to_ascii_lowercase();
        let out_of_range = |parser: &Self| parser.error(start, format!("`{text}` is out of range"));

        if is_float || suffix == "f" || suffix == "d" {
            let Ok(number) = text.parse::<f64>() else {
                return out_of_range(self);
            };
            let number = if is_negative { -number } else { number };
            let value = match suffix.as_str() {
                "" | "d" | "l" => Value::Float64(number),
                "f" => Value::Float32(number as f32),
                _ => {
                    return self.error(suffix_start, format!("`{suffix}` is no suffix of a number with a fraction"));
                }
            };
            return match value.as_f64() {
                Some(finite) if finite.is_finite() => Ok(Some(value)),
                _ => out_of_range(self),
            };
        }
        let Ok(number) = text.parse::<i128>() else {
            return out_of_range(self);
        };
        let number = if is_negative { -number } else { number };
        let value = match suffix.as_str() {
            "u" | "ul" if is_negative => {
                self.at = start;
                return Ok(None);
            }
            "" => match i32::try_from(number) {
                Ok(small) => Some(Value::Int32(small)),
                Err(_) => i64::try_from(number).ok().map(Value::Int64),
            },
            "l" => i64::try_from(number).ok().map(Value::Int64),
            "u" => u32::try_from(number).ok().map(Value::UInt32),
            "ul" => u64::try_from(number).ok().map(Value::UInt64),
            _ => return self.error(suffix_start, format!("`{suffix}` is no suffix of a number")),
        };
        match value {
            Some(value) => Ok(Some(value)),
            None => out_of_range(self),
        }
    }

    /// A quoted string at the cursor.
    pub(super) fn string(&mut self) -> Parsed<SmolStr> {
        let start = self.at;
        let quote = self.source.as_bytes()[start];
        self.at += 1;
        let mut text = SmolStrBuilder::new();
        let mut run = self.at;
        loop {
            match self.peek() {
                None | Some(b'\n' | b'\r') => {
                    return self.error(start, "string without its closing quote");
                }
                Some(byte) if byte == quote => {
                    text.push_str(&self.source[run..self.at]);
                    self.at += 1;
                    return Ok(text.finish());
                }
                Some(b'\\') => {
                    text.push_str(&self.source[run..self.at]);
                    text.push(self.escape()?);
                    run = self.at;
                }
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Parsed<char> {
        let start = self.at;
        let simple = match self.peek_at(1) {
            Some(byte @ (b'"' | b'\'' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 2;
                return self.unicode_escape(start);
            }
            _ => return self.error(start, "unknown escape"),
        };
        self.at += 2;
        Ok(simple)
    }

    fn unicode_escape(&mut self, start: usize) -> Parsed<char> {
        let high = self.hex4(start)?;
        if !(0xd800..0xdc00).contains(&high) {
            return match char::from_u32(high) {
                Some(character) => Ok(character),
                None => self.error(start, "lone low surrogate in an escape"),
            };
        }
        if !self.rest().starts_with("\\u") {
            return self.error(start, "lone high surrogate in an escape");
        }
        self.at += 2;
        let low = self.hex4(start)?;
        if !(0xdc00..0xe000).contains(&low) {
            return self.error(start, "lone high surrogate in an escape");
        }
        let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        char::from_u32(code).map_or_else(|| self.error(start, "bad surrogate pair"), Ok)
    }

    fn hex4(&mut self, start: usize) -> Parsed<u32> {
        let digits =
            self.source.get(self.at..self.at + 4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(code) = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) else {
            return self.error(start, "`\\u` needs four hexadecimal digits");
        };
        self.at += 4;
        Ok(code)
    }
}
