//! Exact sets of the values a guard lets through (TG 5.3).
//!
//! Every domain is an interval of integers: positions of enum members, false and true as 0 and 1, integers as
//! themselves, floats as their rank among the representable values. Rank makes `<` and `<=` exact on floats, so a gap
//! of a single value is found and an impossible one is not invented.

use marram_expr::{BinaryOp, DataType, EnumType, Expr, ExprKind, PropertyType, Step, UnaryOp, Value};

/// Sorted, disjoint, non-adjacent closed intervals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Set(Vec<(i128, i128)>);

impl Set {
    fn interval(from: i128, to: i128) -> Self {
        Set(if from <= to { vec![(from, to)] } else { Vec::new() })
    }

    /// The least element.
    pub fn first(&self) -> Option<i128> {
        self.0.first().map(|(from, _)| *from)
    }

    pub fn union(&self, other: &Set) -> Set {
        let mut all: Vec<(i128, i128)> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        let mut merged: Vec<(i128, i128)> = Vec::with_capacity(all.len());
        for (from, to) in all {
            match merged.last_mut() {
                Some(last) if from <= last.1.saturating_add(1) => last.1 = last.1.max(to),
                _ => merged.push((from, to)),
            }
        }
        Set(merged)
    }

    pub fn intersection(&self, other: &Set) -> Set {
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut common = Vec::new();
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            let (from, to) = (a.0.max(b.0), a.1.min(b.1));
            if from <= to {
                common.push((from, to));
            }
            if a.1 < b.1 {
                left.next();
            } else {
                right.next();
            }
        }
        Set(common)
    }

    /// What `domain` holds and `self` does not.
    pub fn complement(&self, domain: &Set) -> Set {
        let mut rest = Vec::new();
        for (from, to) in &domain.0 {
            let mut at = *from;
            for (start, end) in self.0.iter().filter(|(start, end)| end >= from && start <= to) {
                if *start > at {
                    rest.push((at, start - 1));
                }
                at = at.max(end + 1);
            }
            if at <= *to {
                rest.push((at, *to));
            }
        }
        Set(rest)
    }
}

/// The values of a simple property, as ranks.
#[derive(Clone, Debug)]
pub(crate) struct Domain<'p> {
    kind: DomainKind<'p>,
    pub all: Set,
}

#[derive(Clone, Copy, Debug)]
enum DomainKind<'p> {
    Enum(&'p EnumType),
    Boolean,
    Integer,
    Float32,
    Float64,
}

/// A constant of a guard.
enum Constant {
    /// Position of an enum member.
    Member(i128),
    Boolean(bool),
    Integer(i128),
    Float(f64),
    /// Equal to nothing in the domain.
    Nothing,
}

impl<'p> Domain<'p> {
    /// The domain of a property; `None` when it is not an enum, Boolean or number.
    pub fn of(property: &'p PropertyType) -> Option<Self> {
        let float = |value: &Option<Value>, default: f64| match value {
            Some(Value::Float32(bound)) => f64::from(*bound),
            Some(Value::Float64(bound)) => *bound,
            _ => default,
        };
        let (kind, from, to) = match &property.data_type {
            DataType::Enum(members) => {
                let last = i128::try_from(members.members.len()).ok()? - 1;
                (DomainKind::Enum(members), 0, last)
            }
            DataType::Boolean => (DomainKind::Boolean, 0, 1),
            DataType::Float32 => {
                let limit = f64::from(f32::MAX);
                let (least, most) = (float(&property.min_value, -limit), float(&property.max_value, limit));
                (DomainKind::Float32, ceil32(least), floor32(most))
            }
            DataType::Float64 => {
                let (least, most) = (float(&property.min_value, f64::MIN), float(&property.max_value, f64::MAX));
                (DomainKind::Float64, rank64(least), rank64(most))
            }
            other => {
                let (least, most) = other.integer_range()?;
                let bound = |value: &Option<Value>, default| value.as_ref().and_then(Value::as_i128).unwrap_or(default);
                (DomainKind::Integer, bound(&property.min_value, least), bound(&property.max_value, most))
            }
        };
        Some(Domain { kind, all: Set::interval(from, to) })
    }

    /// A readable value of that rank.
    pub fn show(&self, rank: i128) -> String {
        match self.kind {
            DomainKind::Enum(members) => {
                let member = usize::try_from(rank).ok().and_then(|index| members.members.get(index));
                member.map_or_else(String::new, |member| member.name.to_string())
            }
            DomainKind::Boolean => (rank != 0).to_string(),
            DomainKind::Integer => rank.to_string(),
            DomainKind::Float32 => format!("{:?}", unrank32(rank)),
            DomainKind::Float64 => format!("{:?}", unrank64(rank)),
        }
    }

    /// The values for which `guard` holds; `None` when it is outside the provable forms.
    pub fn set(&self, guard: &Expr, alias: &str) -> Option<Set> {
        match &guard.kind {
            ExprKind::Literal(Value::Bool(value)) => Some(if *value { self.all.clone() } else { Set(Vec::new()) }),
            ExprKind::Unary { op: UnaryOp::Not, operand } => Some(self.set(operand, alias)?.complement(&self.all)),
            ExprKind::Binary { op: BinaryOp::And, left, right } => {
                Some(self.set(left, alias)?.intersection(&self.set(right, alias)?))
            }
            ExprKind::Binary { op: BinaryOp::Or, left, right } => {
                Some(self.set(left, alias)?.union(&self.set(right, alias)?))
            }
            ExprKind::Binary { op, left, right } => self.comparison(*op, left, right, alias),
            _ if is_source(guard, alias) && matches!(self.kind, DomainKind::Boolean) => Some(Set::interval(1, 1)),
            _ => None,
        }
    }

    fn comparison(&self, op: BinaryOp, left: &Expr, right: &Expr, alias: &str) -> Option<Set> {
        if is_source(left, alias) {
            if op == BinaryOp::In {
                let ExprKind::List(items) = &right.kind else { return None };
                return items.iter().try_fold(Set(Vec::new()), |union, item| {
                    Some(union.union(&self.compare(BinaryOp::Equal, &self.constant(item)?)?))
                });
            }
            return self.compare(op, &self.constant(right)?);
        }
        if is_source(right, alias) {
            let mirrored = match op {
                BinaryOp::Less => BinaryOp::Greater,
                BinaryOp::LessOrEqual => BinaryOp::GreaterOrEqual,
                BinaryOp::Greater => BinaryOp::Less,
                BinaryOp::GreaterOrEqual => BinaryOp::LessOrEqual,
                BinaryOp::Equal | BinaryOp::NotEqual => op,
                _ => return None,
            };
            return self.compare(mirrored, &self.constant(left)?);
        }
        None
    }

    /// The values `x` of the domain with `x op constant`.
    fn compare(&self, op: BinaryOp, constant: &Constant) -> Option<Set> {
        // the greatest rank not above the constant and the least not below it
        let (floor, ceil) = match (self.kind, constant) {
            (_, Constant::Nothing) => {
                return match op {
                    BinaryOp::Equal => Some(Set(Vec::new())),
                    BinaryOp::NotEqual => Some(self.all.clone()),
                    _ => None,
                };
            }
            (DomainKind::Enum(_), Constant::Member(index)) => (*index, *index),
            (DomainKind::Boolean, Constant::Boolean(value)) => (i128::from(*value), i128::from(*value)),
            (DomainKind::Integer, Constant::Integer(value)) => (*value, *value),
            (DomainKind::Integer, Constant::Float(value)) => (whole(value.floor()), whole(value.ceil())),
            (DomainKind::Float32, constant) => {
                let value = constant.as_f64()?;
                (floor32(value), ceil32(value))
            }
            (DomainKind::Float64, constant) => {
                let rank = rank64(constant.as_f64()?);
                (rank, rank)
            }
            _ => return None,
        };
        let is_ordered = !matches!(self.kind, DomainKind::Enum(_) | DomainKind::Boolean);
        let (least, most) = (i128::MIN / 2, i128::MAX / 2);
        let equal = Set::interval(ceil, floor);
        let set = match op {
            BinaryOp::Equal => equal,
            BinaryOp::NotEqual => return Some(equal.complement(&self.all)),
            BinaryOp::Less if is_ordered => Set::interval(least, ceil - 1),
            BinaryOp::LessOrEqual if is_ordered => Set::interval(least, floor),
            BinaryOp::Greater if is_ordered => Set::interval(floor + 1, most),
            BinaryOp::GreaterOrEqual if is_ordered => Set::interval(ceil, most),
            _ => return None,
        };
        Some(set.intersection(&self.all))
    }

    fn constant(&self, expr: &Expr) -> Option<Constant> {
        if let DomainKind::Enum(members) = self.kind {
            let index = match &expr.kind {
                ExprKind::Literal(Value::String(name)) => members.find(name),
                ExprKind::Literal(value) => {
                    i32::try_from(value.as_i128()?).ok().and_then(|value| members.find_value(value))
                }
                _ => Some(enum_member(expr, members)?),
            };
            let member = index.and_then(|index| i128::try_from(index).ok());
            return Some(member.map_or(Constant::Nothing, Constant::Member));
        }
        match &expr.kind {
            ExprKind::Literal(Value::Bool(value)) => Some(Constant::Boolean(*value)),
            ExprKind::Literal(Value::Null | Value::String(_)) => Some(Constant::Nothing),
            ExprKind::Literal(Value::Float32(value)) => Some(Constant::Float(f64::from(*value))),
            ExprKind::Literal(Value::Float64(value)) => Some(Constant::Float(*value)),
            ExprKind::Literal(value) => value.as_i128().map(Constant::Integer),
            ExprKind::Unary { op: UnaryOp::Negate, operand } => match self.constant(operand)? {
                Constant::Integer(value) => Some(Constant::Integer(-value)),
                Constant::Float(value) => Some(Constant::Float(-value)),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Constant {
    #[allow(clippy::cast_precision_loss)] // literals are at most 64 bits wide; beyond 2^53 the nearest float decides
    fn as_f64(&self) -> Option<f64> {
        match self {
            Constant::Integer(value) => Some(*value as f64),
            Constant::Float(value) => Some(*value),
            _ => None,
        }
    }
}

/// `alias` or `alias.value`.
fn is_source(expr: &Expr, alias: &str) -> bool {
    match expr.as_name_path().as_deref() {
        Some([name]) => name.eq_ignore_ascii_case(alias),
        Some([name, step]) => name.eq_ignore_ascii_case(alias) && step.eq_ignore_ascii_case("value"),
        _ => false,
    }
}

/// The member a bare name or `Enum.member` names.
pub(crate) fn enum_member(expr: &Expr, members: &EnumType) -> Option<usize> {
    match &expr.kind {
        ExprKind::Name(name) => members.find(name),
        ExprKind::Path { base, steps } => match (&base.kind, steps.as_slice()) {
            (ExprKind::Name(root), [Step::Field(name)]) if root.eq_ignore_ascii_case(&members.name) => {
                members.find(name)
            }
            _ => None,
        },
        _ => None,
    }
}

#[allow(clippy::cast_possible_truncation)] // `as` saturates, which is what a bound far outside any type needs
fn whole(value: f64) -> i128 {
    value.clamp(-1e30, 1e30) as i128
}

/// Position of a finite float among all of them; both zeros have rank 0.
fn rank64(value: f64) -> i128 {
    let magnitude = i128::from(value.abs().to_bits());
    if value < 0.0 { -magnitude } else { magnitude }
}

fn unrank64(rank: i128) -> f64 {
    let magnitude = f64::from_bits(u64::try_from(rank.unsigned_abs()).unwrap_or(u64::MAX));
    if rank < 0 { -magnitude } else { magnitude }
}

fn rank32(value: f32) -> i128 {
    let magnitude = i128::from(value.abs().to_bits());
    if value < 0.0 { -magnitude } else { magnitude }
}

fn unrank32(rank: i128) -> f32 {
    let magnitude = f32::from_bits(u32::try_from(rank.unsigned_abs()).unwrap_or(u32::MAX));
    if rank < 0 { -magnitude } else { magnitude }
}

/// Rank of the greatest `f32` not above `value`.
#[allow(clippy::cast_possible_truncation)] // rounds to nearest; corrected below
fn floor32(value: f64) -> i128 {
    let near = value.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
    rank32(near) - i128::from(f64::from(near) > value)
}

/// Rank of the least `f32` not below `value`.
#[allow(clippy::cast_possible_truncation)] // rounds to nearest; corrected below
fn ceil32(value: f64) -> i128 {
    let near = value.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
    rank32(near) + i128::from(f64::from(near) < value)
}

#[cfg(test)]
mod tests {
    use marram_expr::parse_expr;
    use std::sync::Arc;

    use super::*;
    use marram_expr::EnumMember;

    fn property(data_type: DataType) -> PropertyType {
        PropertyType::new("urn:tdm:aws:Property:T", data_type)
    }

    /// What the guards leave over, and where two of them meet, as readable values.
    fn judge(property: &PropertyType, guards: &[&str]) -> (Option<String>, Option<String>) {
        let domain = Domain::of(property).unwrap();
        let mut union = Set(Vec::new());
        let mut overlap = None;
        for guard in guards {
            let set = domain.set(&parse_expr(guard).unwrap(), "s").unwrap();
            let common = set.intersection(&union);
            overlap = overlap.or(common.first());
            union = union.union(&set);
        }
        let gap = union.complement(&domain.all).first();
        (gap.map(|rank| domain.show(rank)), overlap.map(|rank| domain.show(rank)))
    }

    /// TG 5.3: sets are exact over integers, floats of both widths, Booleans and enums.
    #[test]
    fn gaps_and_overlaps_are_exact() {
        let mut percent = property(DataType::Int32);
        percent.min_value = Some(Value::Int32(0));
        percent.max_value = Some(Value::Int32(100));
        let mut ratio = property(DataType::Float64);
        ratio.min_value = Some(Value::Float64(0.0));
        ratio.max_value = Some(Value::Float64(1.0));
        let mode = property(DataType::Enum(Arc::new(EnumType {
            id: "urn:tdm:aws:Enum:Mode".into(),
            name: "Mode".into(),
            members: ["OFF", "AUTO", "ON"]
                .into_iter()
                .enumerate()
                .map(|(value, name)| EnumMember { name: name.into(), value: value as i32 })
                .collect(),
        })));
        let some = |text: &str| Some(text.to_owned());
        for (property, guards, gap, overlap) in [
            (&percent, &["s < 34", "s >= 34 && s < 67", "s >= 67"][..], None, None),
            (&percent, &["s <= 34", "34 <= s"], None, some("34")),
            (&percent, &["s < 34", "s > 34.5"], some("34"), None),
            (&percent, &["s < 34.5", "s >= 34.5"], None, None),
            (&percent, &["s IN [1, 2, 3]", "!(s IN [1, 2, 3])"], None, None),
            (&percent, &["s != 7"], some("7"), None),
            (&percent, &["s.value <= 200"], None, None),
            (&ratio, &["s < 0.5", "s > 0.5"], some("0.5"), None),
            (&ratio, &["s <= 0.5", "s > 0.5"], None, None),
            (&property(DataType::Float32), &["s < 0.1", "s > 0.1"], None, None),
            (&property(DataType::Float32), &["s < 0.5", "s > 0.5"], some("0.5"), None),
            (&property(DataType::Float64), &["s < 0", "s >= -0.0"], None, None),
            (&property(DataType::Boolean), &["s", "!s"], None, None),
            (&property(DataType::Boolean), &["s == true"], some("false"), None),
            (&property(DataType::UInt64), &["s < 18446744073709551615UL"], some("18446744073709551615"), None),
            (&mode, &["s == OFF", "s == 'auto' || s == 2"], None, None),
            (&mode, &["s == Mode.OFF", "s != AUTO"], some("AUTO"), some("OFF")),
        ] {
            assert_eq!(judge(property, guards), (gap, overlap), "{guards:?}");
        }
    }

    /// TG 5.3: a guard outside the forms is not provable, never silently wrong.
    #[test]
    fn other_guards_are_not_provable() {
        let number = property(DataType::Int32);
        let domain = Domain::of(&number).unwrap();
        for guard in ["s % 2 == 0", "s == s", "Math.abs(s) < 3", "other == 1", "s + 1 > 2"] {
            assert_eq!(domain.set(&parse_expr(guard).unwrap(), "s"), None, "{guard}");
        }
        assert!(Domain::of(&property(DataType::String)).is_none());
    }
}
