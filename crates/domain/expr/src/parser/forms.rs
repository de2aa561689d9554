//! Statements, mapping rules and event expressions (TG 4.1, 5.2, 6.3).

use super::{Parsed, Parser, check_length};
use crate::ast::{EventExpr, MapRule, Stmt};
use crate::error::ParseError;

/// Parses `lvalue = expr`. One outer `${ ... }` around the whole is stripped.
///
/// # Errors
/// Syntax, or a limit of TG 4.1.
pub fn parse_stmt(source: &str) -> Result<Stmt, ParseError> {
    check_length(source)?;
    reparse_stmt(source)
}

/// Parses `left => right`.
///
/// # Errors
/// Syntax, or a limit of TG 4.1.
pub fn parse_map_rule(source: &str) -> Result<MapRule, ParseError> {
    check_length(source)?;
    reparse_map_rule(source)
}

/// Parses an inEvent expression: event names, `&&`, `||`, `!`, brackets. One outer `${ ... }` is stripped.
///
/// # Errors
/// Syntax, or a limit of TG 4.1.
pub fn parse_event_expr(source: &str) -> Result<EventExpr, ParseError> {
    check_length(source)?;
    reparse_event_expr(source)
}

pub(crate) fn reparse_stmt(source: &str) -> Result<Stmt, ParseError> {
    let mut parser = Parser::new(source);
    let is_wrapped = parser.eat("${");
    parser.skip_space();
    if parser.peek() == Some(b'$') {
        parser.at += 1;
    }
    let mut target = Vec::new();
    loop {
        parser.skip_space();
        match parser.name() {
            Some(name) => target.push(name),
            None => return Err(parser.unexpected("a variable name")),
        }
        if !parser.eat(".") {
            break;
        }
    }
    if parser.rest().starts_with("==") {
        return Err(parser.unexpected("a single `=`"));
    }
    parser.expect("=")?;
    let value = parser.expr()?.expr;
    if is_wrapped {
        parser.expect("}")?;
    }
    parser.expect_end()?;
    Ok(Stmt { target, value })
}

pub(crate) fn reparse_map_rule(source: &str) -> Result<MapRule, ParseError> {
    let mut parser = Parser::new(source);
    let left = parser.expr()?.expr;
    parser.expect("=>")?;
    let right = parser.expr()?.expr;
    parser.expect_end()?;
    Ok(MapRule { left, right })
}

pub(crate) fn reparse_event_expr(source: &str) -> Result<EventExpr, ParseError> {
    let mut parser = Parser::new(source);
    let is_wrapped = parser.eat("${");
    let mut events = 0;
    let expr = parser.event_or(&mut events)?;
    if is_wrapped {
        parser.expect("}")?;
    }
    parser.expect_end()?;
    Ok(expr)
}

/// Most event names in one expression; bounds the height of the tree.
const MAX_EVENTS: u32 = 128;

impl Parser<'_> {
    fn event_or(&mut self, events: &mut u32) -> Parsed<EventExpr> {
        let mut left = self.event_and(events)?;
        while self.eat("||") {
            left = EventExpr::Or(Box::new(left), Box::new(self.event_and(events)?));
        }
        Ok(left)
    }

    fn event_and(&mut self, events: &mut u32) -> Parsed<EventExpr> {
        let mut left = self.event_unary(events)?;
        while self.eat("&&") {
            left = EventExpr::And(Box::new(left), Box::new(self.event_unary(events)?));
        }
        Ok(left)
    }

    fn event_unary(&mut self, events: &mut u32) -> Parsed<EventExpr> {
        if self.eat("!") {
            let inner = self.nested(|parser| parser.event_unary(events))?;
            return Ok(EventExpr::Not(Box::new(inner)));
        }
        if self.eat("(") {
            let inner = self.nested(|parser| parser.event_or(events))?;
            self.expect(")")?;
            return Ok(inner);
        }
        self.skip_space();
        if self.peek() == Some(b'$') {
            self.at += 1;
        }
        match self.name() {
            Some(_) if *events == MAX_EVENTS => self.error(self.at, format!("more than {MAX_EVENTS} events")),
            Some(name) => {
                *events += 1;
                Ok(EventExpr::Event(name))
            }
            None => Err(self.unexpected("an event name")),
        }
    }
}
