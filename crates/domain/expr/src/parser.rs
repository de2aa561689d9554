//! Parser of expressions, templates, statements, mapping rules and event expressions (TG 4.1, 4.2, 6.3).
//!
//! Scannerless and Pratt-shaped: templates inside expressions and the path slash make tokens depend on what
//! surrounds them. One pass, no backtracking; recursion is bounded by [`MAX_DEPTH`] and the height of the tree by
//! [`MAX_HEIGHT`], so neither parsing, evaluating nor dropping a tree can exhaust the stack.

mod forms;
mod literal;
mod template;

pub use forms::{parse_event_expr, parse_map_rule, parse_stmt};
pub(crate) use forms::{reparse_event_expr, reparse_map_rule, reparse_stmt};
pub(crate) use template::reparse_template;
pub use template::{classify, parse_template};

use smol_str::SmolStr;

use crate::ast::{BinaryOp, Expr, ExprKind, Span, Step, UnaryOp};
use crate::error::ParseError;
use crate::functions::LibraryFn;
use crate::types::DataType;
use crate::value::Value;

/// Longest expression text, characters (TG 4.1).
pub const MAX_SOURCE_CHARS: usize = 4096;
/// Deepest nesting of brackets, unary operators and right-associative operators (TG 4.1).
pub const MAX_DEPTH: u32 = 64;
/// Tallest tree, long left-associative chains included.
const MAX_HEIGHT: u32 = 256;

type Parsed<T> = Result<T, ParseError>;

/// Parses a text in an expression position. One outer `${ ... }` around the whole is stripped.
///
/// # Errors
/// Syntax, or a limit of TG 4.1; the offset is into `source`.
pub fn parse_expr(source: &str) -> Result<Expr, ParseError> {
    check_length(source)?;
    reparse_expr(source)
}

/// [`parse_expr`] without the length limit: canonical text may be longer than the text it was parsed from.
pub(crate) fn reparse_expr(source: &str) -> Result<Expr, ParseError> {
    let mut parser = Parser::new(source);
    let expr = parser.expr()?.expr;
    parser.expect_end()?;
    Ok(expr)
}

fn check_length(source: &str) -> Parsed<()> {
    match source.char_indices().nth(MAX_SOURCE_CHARS) {
        Some((offset, _)) => {
            Err(ParseError::new(offset, format!("expression longer than {MAX_SOURCE_CHARS} characters")))
        }
        None => Ok(()),
    }
}

/// A parsed expression and the height of its tree.
struct Node {
    expr: Expr,
    height: u32,
}

struct Parser<'s> {
    source: &'s str,
    at: usize,
    depth: u32,
}

/// Infix operators with binding power; longer spellings first.
const OPERATORS: [(&str, BinaryOp); 15] = [
    ("??", BinaryOp::Coalesce),
    ("||", BinaryOp::Or),
    ("&&", BinaryOp::And),
    ("==", BinaryOp::Equal),
    ("!=", BinaryOp::NotEqual),
    ("<=", BinaryOp::LessOrEqual),
    (">=", BinaryOp::GreaterOrEqual),
    ("<", BinaryOp::Less),
    (">", BinaryOp::Greater),
    ("+", BinaryOp::Add),
    ("-", BinaryOp::Subtract),
    ("*", BinaryOp::Multiply),
    ("/", BinaryOp::Divide),
    ("%", BinaryOp::Remainder),
    ("IN", BinaryOp::In),
];

impl<'s> Parser<'s> {
    fn new(source: &'s str) -> Self {
        Self { source, at: 0, depth: 0 }
    }

    fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.source.as_bytes().get(self.at).copied()
    }

    fn peek_at(&self, ahead: usize) -> Option<u8> {
        self.source.as_bytes().get(self.at + ahead).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, token: &str) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn expect(&mut self, token: &str) -> Parsed<()> {
        if self.eat(token) { Ok(()) } else { Err(self.unexpected(&format!("`{token}`"))) }
    }

    fn expect_end(&mut self) -> Parsed<()> {
        self.skip_space();
        if self.at == self.source.len() { Ok(()) } else { Err(self.unexpected("an operator or the end")) }
    }

    fn unexpected(&self, wanted: &str) -> ParseError {
        let found = match self.rest().chars().next() {
            Some(found) => format!("`{}`", found.escape_default()),
            None => "the end".to_owned(),
        };
        ParseError::new(self.at, format!("expected {wanted}, found {found}"))
    }

    fn error<T>(&self, offset: usize, message: impl Into<String>) -> Parsed<T> {
        Err(ParseError::new(offset, message))
    }

    fn span_from(&self, start: usize) -> Span {
        Span { start: start as u32, end: self.at as u32 }
    }

    fn node(&self, start: usize, kind: ExprKind, height: u32) -> Parsed<Node> {
        if height > MAX_HEIGHT {
            return self.error(start, format!("expression has more than {MAX_HEIGHT} chained or nested operations"));
        }
        Ok(Node { expr: Expr { kind, span: self.span_from(start) }, height })
    }

    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth == MAX_DEPTH {
            return self.error(self.at, format!("expression nested deeper than {MAX_DEPTH}"));
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    fn name(&mut self) -> Option<SmolStr> {
        let bytes = self.rest().as_bytes();
        if !bytes.first().is_some_and(|byte| is_name_start(*byte)) {
            return None;
        }
        let length = bytes.iter().position(|byte| !is_name_byte(*byte)).unwrap_or(bytes.len());
        let name = SmolStr::new(&self.rest()[..length]);
        self.at += length;
        Some(name)
    }

    /// `Expr`: the conditional operator and everything that binds tighter.
    fn expr(&mut self) -> Parsed<Node> {
        self.nested(|parser| {
            parser.skip_space();
            let start = parser.at;
            let test = parser.unary().and_then(|left| parser.infix(start, left, 0))?;
            parser.skip_space();
            if parser.peek() != Some(b'?') {
                return Ok(test);
            }
            parser.at += 1;
            let then = parser.expr()?;
            parser.expect(":")?;
            let otherwise = parser.expr()?;
            let height = 1 + test.height.max(then.height).max(otherwise.height);
            let kind = ExprKind::Conditional {
                test: Box::new(test.expr),
                then: Box::new(then.expr),
                otherwise: Box::new(otherwise.expr),
            };
            parser.node(start, kind, height)
        })
    }

    fn operator(&mut self) -> Option<(usize, BinaryOp)> {
        self.skip_space();
        let rest = self.rest().as_bytes();
        let (text, op) = OPERATORS
            .iter()
            .find(|(text, _)| rest.len() >= text.len() && rest[..text.len()].eq_ignore_ascii_case(text.as_bytes()))?;
        let is_word_prefix = *op == BinaryOp::In && rest.get(2).is_some_and(|byte| is_name_byte(*byte));
        (!is_word_prefix).then_some((text.len(), *op))
    }

    /// Continues `left` with every infix operator that binds at least as tightly as `min`.
    fn infix(&mut self, start: usize, mut left: Node, min: u8) -> Parsed<Node> {
        while let Some((length, op)) = self.operator() {
            let power = op.binding_power();
            if power < min {
                break;
            }
            self.at += length;
            self.skip_space();
            let right_start = self.at;
            let right = match op {
                BinaryOp::Coalesce => {
                    self.nested(|parser| parser.unary().and_then(|right| parser.infix(right_start, right, power)))?
                }
                BinaryOp::In if self.peek() == Some(b'(') => self.in_list(power)?,
                _ => {
                    let right = self.unary()?;
                    self.infix(right_start, right, power + 1)?
                }
            };
            let height = 1 + left.height.max(right.height);
            let kind = ExprKind::Binary { op, left: Box::new(left.expr), right: Box::new(right.expr) };
            left = self.node(start, kind, height)?;
        }
        Ok(left)
    }

    /// What follows `IN` when it starts with `(`: a list, or an ordinary operand that starts with a bracket.
    fn in_list(&mut self, power: u8) -> Parsed<Node> {
        let start = self.at;
        if self.type_name_in_parens().is_some() {
            let right = self.unary()?;
            return self.infix(start, right, power + 1);
        }
        self.at += 1;
        let first = self.expr()?;
        if self.eat(",") {
            let mut height = first.height;
            let mut items = vec![first.expr];
            loop {
                let item = self.expr()?;
                height = height.max(item.height);
                items.push(item.expr);
                if !self.eat(",") {
                    break;
                }
            }
            self.expect(")")?;
            return self.node(start, ExprKind::List(items), height + 1);
        }
        self.expect(")")?;
        let operand = self.postfix(start, first, false)?;
        self.infix(start, operand, power + 1)
    }

    fn unary(&mut self) -> Parsed<Node> {
        self.skip_space();
        let start = self.at;
        let op = match self.peek() {
            Some(b'!') => UnaryOp::Not,
            Some(b'-') => UnaryOp::Negate,
            Some(b'+') => UnaryOp::Plus,
            _ => return self.cast(),
        };
        self.at += 1;
        if op == UnaryOp::Negate
            && let Some(literal) = self.negative_literal(start)?
        {
            return Ok(literal);
        }
        let operand = self.nested(Self::unary)?;
        let height = operand.height + 1;
        self.node(start, ExprKind::Unary { op, operand: Box::new(operand.expr) }, height)
    }

    /// `-5` is one literal, so that the least integers can be written; `-5.toString()` is not.
    fn negative_literal(&mut self, start: usize) -> Parsed<Option<Node>> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Ok(None);
        }
        let Some(value) = self.number(true)? else {
            return Ok(None);
        };
        let after_digits = self.at;
        let literal = self.node(start, ExprKind::Literal(value), 1)?;
        self.skip_space();
        if matches!(self.peek(), Some(b'.' | b'[')) {
            self.at = start + 1;
            return Ok(None);
        }
        self.at = after_digits;
        Ok(Some(literal))
    }

    fn cast(&mut self) -> Parsed<Node> {
        let start = self.at;
        let Some((to, length)) = self.type_name_in_parens() else {
            let (primary, is_path) = self.primary()?;
            return self.postfix(start, primary, is_path);
        };
        self.at += length;
        let operand = self.nested(Self::unary)?;
        let height = operand.height + 1;
        self.node(start, ExprKind::Cast { to, operand: Box::new(operand.expr) }, height)
    }

    /// `(TypeName)` when an operand follows; its byte length includes the brackets.
    fn type_name_in_parens(&self) -> Option<(DataType, usize)> {
        let inner = self.rest().strip_prefix('(')?;
        let close = inner.find(')')?;
        let word = inner[..close].trim_matches([' ', '\t', '\r', '\n']);
        if word.eq_ignore_ascii_case("number") {
            return None;
        }
        let to = DataType::from_name(word)?;
        let after = inner[close + 1..].trim_start_matches([' ', '\t', '\r', '\n']).as_bytes();
        let starts_operand = match after.first()? {
            b'!' => after.get(1) != Some(&b'='),
            b'-' | b'+' | b'(' | b'[' | b'\'' | b'"' | b'$' => true,
            b'i' | b'I' if after.len() >= 2 && after[1].eq_ignore_ascii_case(&b'n') => {
                after.get(2).is_some_and(|byte| is_name_byte(*byte))
            }
            byte => is_name_byte(*byte),
        };
        starts_operand.then_some((to, close + 2))
    }

    /// A primary and whether it is a path a slash may continue.
    fn primary(&mut self) -> Parsed<(Node, bool)> {
        let start = self.at;
        match self.peek() {
            Some(b'\'' | b'"') => {
                let text = self.string()?;
                Ok((self.node(start, ExprKind::Literal(Value::String(text)), 1)?, false))
            }
            Some(b'0'..=b'9') => match self.number(false)? {
                Some(value) => Ok((self.node(start, ExprKind::Literal(value), 1)?, false)),
                None => Err(self.unexpected("a number")),
            },
            Some(b'(') => {
                self.at += 1;
                let inner = self.expr()?;
                self.expect(")")?;
                Ok((inner, false))
            }
            Some(b'[') => {
                self.at += 1;
                let (items, height) = self.list_until("]")?;
                Ok((self.node(start, ExprKind::List(items), height + 1)?, false))
            }
            Some(b'$') if self.peek_at(1) == Some(b'{') => {
                self.at += 2;
                let inner = self.expr()?;
                self.skip_space();
                if self.peek().is_none() {
                    return self.error(start, "`${` without its `}`");
                }
                self.expect("}")?;
                Ok((inner, false))
            }
            Some(b'$') => {
                self.at += 1;
                match self.name() {
                    Some(name) => self.name_primary(start, name, true),
                    None => Err(self.unexpected("a name after `$`")),
                }
            }
            _ => match self.name() {
                Some(name) => self.name_primary(start, name, false),
                None => Err(self.unexpected("a value")),
            },
        }
    }

    fn name_primary(&mut self, start: usize, name: SmolStr, is_dollar: bool) -> Parsed<(Node, bool)> {
        let after_name = self.at;
        if name.eq_ignore_ascii_case("macro") && self.eat("(") {
            let (template, height) = self.nested(Self::balanced_template)?;
            return Ok((self.node(start, ExprKind::Template(template), height + 1)?, false));
        }
        if !is_dollar {
            let literal = match name.as_str() {
                word if word.eq_ignore_ascii_case("true") => Some(Value::Bool(true)),
                word if word.eq_ignore_ascii_case("false") => Some(Value::Bool(false)),
                word if word.eq_ignore_ascii_case("null") => Some(Value::Null),
                _ => None,
            };
            if let Some(value) = literal {
                return Ok((self.node(start, ExprKind::Literal(value), 1)?, false));
            }
        }
        self.at = after_name;
        self.skip_space();
        if self.peek() == Some(b'(') {
            self.at += 1;
            let (args, height) = self.list_until(")")?;
            return Ok((self.node(start, ExprKind::Call { name, args }, height + 1)?, false));
        }
        self.at = after_name;
        Ok((self.node(start, ExprKind::Name(name), 1)?, true))
    }

    /// Comma-separated expressions up to and including `close`, and the tallest one's height.
    fn list_until(&mut self, close: &str) -> Parsed<(Vec<Expr>, u32)> {
        let (mut items, mut height) = (Vec::new(), 0);
        if self.eat(close) {
            return Ok((items, height));
        }
        loop {
            let item = self.expr()?;
            height = height.max(item.height);
            items.push(item.expr);
            if self.eat(close) {
                return Ok((items, height));
            }
            if !self.eat(",") {
                return Err(self.unexpected(&format!("`,` or `{close}`")));
            }
        }
    }

    fn postfix(&mut self, start: usize, base: Node, mut is_path: bool) -> Parsed<Node> {
        let mut steps = Vec::new();
        let mut height = base.height;
        let mut end = self.at;
        loop {
            let is_slash_step = is_path && self.peek() == Some(b'/') && self.peek_at(1).is_some_and(is_name_start);
            if is_slash_step {
                self.at += 1;
                if let Some(name) = self.name() {
                    steps.push(Step::Field(name));
                }
                end = self.at;
                continue;
            }
            self.skip_space();
            match self.peek() {
                Some(b'.') => {
                    self.at += 1;
                    self.skip_space();
                    let Some(name) = self.name() else {
                        return Err(self.unexpected("a name after `.`"));
                    };
                    end = self.at;
                    self.skip_space();
                    if self.peek() == Some(b'(') {
                        self.at += 1;
                        let (args, args_height) = self.list_until(")")?;
                        height = height.max(args_height);
                        end = self.at;
                        steps.push(Step::Method { name, args });
                        is_path = false;
                    } else {
                        steps.push(Step::Field(name));
                    }
                }
                Some(b'[') => {
                    self.at += 1;
                    let filter = self.expr()?;
                    self.expect("]")?;
                    height = height.max(filter.height);
                    end = self.at;
                    steps.push(Step::Filter(filter.expr));
                }
                _ => break,
            }
            self.at = end;
        }
        self.at = end;
        if steps.is_empty() {
            return Ok(base);
        }
        let expr = Expr { kind: recognise(base.expr, steps), span: self.span_from(start) };
        if height + 1 > MAX_HEIGHT {
            return self.error(start, format!("expression has more than {MAX_HEIGHT} chained or nested operations"));
        }
        Ok(Node { expr, height: height + 1 })
    }
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The kind of a path: library calls and the fixed trigger paths get kinds of their own.
fn recognise(base: Expr, mut steps: Vec<Step>) -> ExprKind {
    let ExprKind::Name(root) = &base.kind else {
        return path(base, steps);
    };
    if let Some((function, is_short, at)) = library_call(root, &steps) {
        let Step::Method { args, .. } = &mut steps[at] else {
            return path(base, steps);
        };
        let args = std::mem::take(args);
        let rest = steps.split_off(at + 1);
        let call = ExprKind::Library { function, is_short, args };
        if rest.is_empty() {
            return call;
        }
        return ExprKind::Path { base: Box::new(Expr { kind: call, span: base.span }), steps: rest };
    }
    let is_devices = root.eq_ignore_ascii_case("devices");
    if !is_devices && !root.eq_ignore_ascii_case("bindings") {
        return path(base, steps);
    }
    let known = match steps.as_slice() {
        [Step::Filter(role), Step::Field(field), ..] if field.eq_ignore_ascii_case("deviceId") => {
            name_filter(role).map(|role| (ExprKind::BoundThing { role }, 2))
        }
        [Step::Filter(role), Step::Field(events), Step::Filter(event), Step::Field(last), ..]
            if is_devices && events.eq_ignore_ascii_case("events") && last.eq_ignore_ascii_case("lastEvent") =>
        {
            name_filter(role).zip(name_filter(event)).map(|(role, event)| (ExprKind::LastEvent { role, event }, 4))
        }
        _ => None,
    };
    match known {
        Some((kind, used)) if used == steps.len() => kind,
        Some((kind, used)) => {
            ExprKind::Path { base: Box::new(Expr { kind, span: base.span }), steps: steps.split_off(used) }
        }
        None => path(base, steps),
    }
}

fn path(base: Expr, steps: Vec<Step>) -> ExprKind {
    ExprKind::Path { base: Box::new(base), steps }
}

/// The literal of `name == 'literal'`.
fn name_filter(filter: &Expr) -> Option<SmolStr> {
    let ExprKind::Binary { op: BinaryOp::Equal, left, right } = &filter.kind else {
        return None;
    };
    match (&left.kind, &right.kind) {
        (ExprKind::Name(name), ExprKind::Literal(Value::String(text))) if name.eq_ignore_ascii_case("name") => {
            Some(text.clone())
        }
        _ => None,
    }
}

/// A library function called by `root` and the first steps, whether it was written short, and the index of the call.
fn library_call(root: &str, steps: &[Step]) -> Option<(LibraryFn, bool, usize)> {
    let is_field =
        |at: usize, word: &str| matches!(steps.get(at), Some(Step::Field(name)) if name.eq_ignore_ascii_case(word));
    let (is_short, group_at) = if root.eq_ignore_ascii_case("tdm") && is_field(0, "lib") {
        (false, 1)
    } else if root.eq_ignore_ascii_case("lib") {
        (false, 0)
    } else if root.eq_ignore_ascii_case("Math") {
        let Some(Step::Method { name, .. }) = steps.first() else {
            return None;
        };
        return Some((LibraryFn::find("Math", name)?, true, 0));
    } else {
        return None;
    };
    match (steps.get(group_at)?, steps.get(group_at + 1)) {
        (Step::Method { name, .. }, _) => Some((LibraryFn::find("", name)?, is_short, group_at)),
        (Step::Field(group), Some(Step::Method { name, .. })) => {
            Some((LibraryFn::find(group, name)?, is_short, group_at + 1))
        }
        _ => None,
    }
}

impl BinaryOp {
    /// Higher binds tighter (TG 4.1).
    pub(crate) fn binding_power(self) -> u8 {
        match self {
            Self::Coalesce => 1,
            Self::Or => 2,
            Self::And => 3,
            Self::Equal | Self::NotEqual => 4,
            Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual | Self::In => 5,
            Self::Add | Self::Subtract => 6,
            Self::Multiply | Self::Divide | Self::Remainder => 7,
        }
    }

    /// The operator's spelling.
    pub fn symbol(self) -> &'static str {
        OPERATORS.iter().find(|(_, op)| *op == self).map_or("IN", |(text, _)| text)
    }
}
