//! Canonical text of every parsed form: what it prints parses back to the same tree.

use std::fmt::{self, Display, Formatter, Write};

use crate::ast::{BinaryOp, EventExpr, Expr, ExprKind, MapRule, Step, Stmt, Template, TemplatePart, UnaryOp};
use crate::value::Value;

/// Binding power of prefix operators and casts; one above the tightest infix operator.
const UNARY_POWER: u8 = 8;
/// Binding power of a path and its base.
const POSTFIX_POWER: u8 = 9;

impl Display for Expr {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        print(self, 0, out)
    }
}

/// How tightly the outermost operator of `expr` binds.
fn power(expr: &Expr) -> u8 {
    match &expr.kind {
        ExprKind::Conditional { .. } => 0,
        ExprKind::Binary { op, .. } => op.binding_power(),
        ExprKind::Unary { .. } | ExprKind::Cast { .. } => UNARY_POWER,
        ExprKind::Literal(value) if is_negative(value) => UNARY_POWER,
        _ => POSTFIX_POWER,
    }
}

fn is_negative(value: &Value) -> bool {
    match value {
        Value::Float32(number) => number.is_sign_negative(),
        Value::Float64(number) => number.is_sign_negative(),
        other => other.as_i128().is_some_and(|number| number < 0),
    }
}

fn print(expr: &Expr, min: u8, out: &mut Formatter<'_>) -> fmt::Result {
    if power(expr) < min {
        out.write_char('(')?;
        print(expr, 0, out)?;
        return out.write_char(')');
    }
    match &expr.kind {
        ExprKind::Literal(value) => literal(value, out),
        // The `$` keeps a variable called `true` or `macro` from reading as a keyword.
        ExprKind::Name(name) if is_keyword(name) => write!(out, "${name}"),
        ExprKind::Name(name) => out.write_str(name),
        ExprKind::Path { base, steps } => {
            // A number before a dot would read as the start of a fraction or suffix.
            let is_number = matches!(&base.kind, ExprKind::Literal(value) if value.is_number());
            print(base, if is_number { u8::MAX } else { POSTFIX_POWER }, out)?;
            steps.iter().try_for_each(|step| print_step(step, out))
        }
        ExprKind::Call { name, args } => {
            write!(out, "{name}(")?;
            separated(args, out)?;
            out.write_char(')')
        }
        ExprKind::Library { function, is_short, args } => {
            if !is_short {
                out.write_str("tdm.lib.")?;
            }
            if !function.group().is_empty() {
                write!(out, "{}.", function.group())?;
            }
            write!(out, "{}(", function.name())?;
            separated(args, out)?;
            out.write_char(')')
        }
        ExprKind::Unary { op, operand } => {
            out.write_str(match op {
                UnaryOp::Not => "!",
                UnaryOp::Negate => "-",
                UnaryOp::Plus => "+",
            })?;
            // `-5` would read back as one literal.
            let is_number = matches!(&operand.kind, ExprKind::Literal(value) if value.is_number());
            print(operand, if is_number { u8::MAX } else { UNARY_POWER }, out)
        }
        ExprKind::Binary { op, left, right } => {
            let own = op.binding_power();
            let (left_min, right_min) = if *op == BinaryOp::Coalesce { (own + 1, own) } else { (own, own + 1) };
            print(left, left_min, out)?;
            write!(out, " {} ", op.symbol())?;
            print(right, right_min, out)
        }
        ExprKind::Cast { to, operand } => {
            write!(out, "({to})")?;
            print(operand, UNARY_POWER, out)
        }
        ExprKind::Conditional { test, then, otherwise } => {
            print(test, 1, out)?;
            out.write_str(" ? ")?;
            print(then, 0, out)?;
            out.write_str(" : ")?;
            print(otherwise, 0, out)
        }
        ExprKind::List(items) => {
            out.write_char('[')?;
            separated(items, out)?;
            out.write_char(']')
        }
        ExprKind::Template(template) => write!(out, "macro({})", Parts(template)),
        ExprKind::LastEvent { role, event } => {
            out.write_str("devices[name == ")?;
            string(role, out)?;
            out.write_str("].events[name == ")?;
            string(event, out)?;
            out.write_str("].lastEvent")
        }
        ExprKind::BoundThing { role } => {
            out.write_str("bindings[name == ")?;
            string(role, out)?;
            out.write_str("].deviceId")
        }
    }
}

fn is_keyword(name: &str) -> bool {
    ["true", "false", "null", "in"].iter().any(|word| name.eq_ignore_ascii_case(word))
}

fn print_step(step: &Step, out: &mut Formatter<'_>) -> fmt::Result {
    match step {
        Step::Field(name) => write!(out, ".{name}"),
        Step::Filter(inner) => write!(out, "[{inner}]"),
        Step::Method { name, args } => {
            write!(out, ".{name}(")?;
            separated(args, out)?;
            out.write_char(')')
        }
    }
}

fn separated(items: &[Expr], out: &mut Formatter<'_>) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.write_str(", ")?;
        }
        print(item, 0, out)?;
    }
    Ok(())
}

fn literal(value: &Value, out: &mut Formatter<'_>) -> fmt::Result {
    match value {
        Value::Bool(flag) => write!(out, "{flag}"),
        Value::Int32(number) => write!(out, "{number}"),
        // Only an Int64 that would fit Int32 needs its suffix; on every one it does no harm.
        Value::Int64(number) => write!(out, "{number}L"),
        Value::UInt32(number) => write!(out, "{number}U"),
        Value::UInt64(number) => write!(out, "{number}UL"),
        Value::Float32(number) => write!(out, "{number:?}F"),
        Value::Float64(number) => write!(out, "{number:?}D"),
        Value::String(text) => string(text, out),
        _ => out.write_str("null"),
    }
}

fn string(text: &str, out: &mut Formatter<'_>) -> fmt::Result {
    out.write_char('\'')?;
    for character in text.chars() {
        match character {
            '\'' => out.write_str("\\'")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            control if control.is_control() => {
                let mut units = [0; 2];
                for unit in control.encode_utf16(&mut units) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
            plain => out.write_char(plain)?,
        }
    }
    out.write_char('\'')
}

/// The inside of `macro( )`.
struct Parts<'t>(&'t Template);

impl Display for Parts<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        for part in &self.0.parts {
            match part {
                TemplatePart::Text(text) => out.write_str(&text.replace("${", "$${"))?,
                TemplatePart::Interpolation(expr) => write!(out, "${{{expr}}}")?,
            }
        }
        Ok(())
    }
}

impl Display for Template {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "$macro({})", Parts(self))
    }
}

impl Display for Stmt {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "${} = {}", self.target.join("."), self.value)
    }
}

impl Display for MapRule {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{} => {}", self.left, self.right)
    }
}

impl Display for EventExpr {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        fn print(expr: &EventExpr, min: u8, out: &mut Formatter<'_>) -> fmt::Result {
            let power = match expr {
                EventExpr::Or(..) => 0,
                EventExpr::And(..) => 1,
                EventExpr::Not(_) | EventExpr::Event(_) => 2,
            };
            if power < min {
                out.write_char('(')?;
                print(expr, 0, out)?;
                return out.write_char(')');
            }
            match expr {
                EventExpr::Event(name) => out.write_str(name),
                EventExpr::Not(inner) => {
                    out.write_char('!')?;
                    print(inner, 2, out)
                }
                EventExpr::And(left, right) | EventExpr::Or(left, right) => {
                    print(left, power, out)?;
                    out.write_str(if power == 0 { " || " } else { " && " })?;
                    print(right, power + 1, out)
                }
            }
        }
        print(self, 0, out)
    }
}
