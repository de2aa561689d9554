//! Condition blocks: operators, quantifiers, and what an absent key means.
//!
//! | key | positive | negated | `IfExists` | `ForAllValues` | `ForAnyValue` | `Null` |
//! |---|---|---|---|---|---|---|
//! | absent or empty | false | **true** | true | true | false | equals the wanted value |
//!
//! Values of one key are OR'ed (NOR for negated operators); keys and operators are AND'ed by the statement.
//! Source: control-plane-api.md section 3.3.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use smol_str::{SmolStr, StrExt};

use crate::facts::Facts;
use crate::pattern::{Match, Pattern, Reading};

/// Result of one condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It holds.
    Holds,
    /// It does not hold.
    Fails,
    /// A variable in its values has no usable value. The flag tells whether it holds when that value counts as
    /// different from everything.
    Unresolved(bool),
}

/// One operator on one key.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    /// Lower case.
    pub key: SmolStr,
    quantifier: Option<Quantifier>,
    if_exists: bool,
    negated: bool,
    test: Test,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantifier {
    AnyValue,
    AllValues,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// An operator with its values, compiled.
#[derive(Clone, Debug)]
enum Test {
    /// Wildcards are in the patterns already when the operator is a `Like`.
    Text(Vec<Pattern>),
    TextIgnoreCase(Vec<Pattern>),
    /// The six fields of each ARN pattern.
    Arn(Vec<[Pattern; 6]>),
    Number(Order, Vec<f64>),
    Moment(Order, Vec<Timestamp>),
    Bool(Vec<bool>),
    Binary(Vec<Vec<u8>>),
    Network(Vec<Network>),
    /// The key is wanted absent (`true`) or present.
    Null(Vec<bool>),
}

/// `192.0.2.0/24`, `2001:db8::/32`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u8,
}

impl Condition {
    /// Compiles one operator, key and list of values.
    ///
    /// # Errors
    /// Unknown operator, no value, or a value the operator cannot read.
    pub(crate) fn parse(
        operator: &str,
        key: &str,
        values: &[String],
        variables: bool,
        device: bool,
    ) -> Result<Condition, String> {
        if key.is_empty() {
            return Err("a condition key is empty".to_owned());
        }
        if values.is_empty() {
            return Err(format!("condition key `{key}` has no value"));
        }
        let (quantifier, name) = if let Some(name) = operator.strip_prefix("ForAnyValue:") {
            (Some(Quantifier::AnyValue), name)
        } else if let Some(name) = operator.strip_prefix("ForAllValues:") {
            (Some(Quantifier::AllValues), name)
        } else {
            (None, operator)
        };
        let (name, if_exists) = match name.strip_suffix("IfExists") {
            Some(name) if name != "Null" => (name, true),
            Some(_) => return Err(format!("unknown operator `{operator}`")),
            None => (name, false),
        };
        let exact = Reading { wildcards: false, variables, plain_values_only: device };
        let like = Reading { wildcards: true, ..exact };
        let (negated, test) = match name {
            "StringEquals" => (false, Test::Text(patterns(values, exact)?)),
            "StringNotEquals" => (true, Test::Text(patterns(values, exact)?)),
            "StringEqualsIgnoreCase" => (false, Test::TextIgnoreCase(patterns(values, exact)?)),
            "StringNotEqualsIgnoreCase" => (true, Test::TextIgnoreCase(patterns(values, exact)?)),
            "StringLike" => (false, Test::Text(patterns(values, like)?)),
            "StringNotLike" => (true, Test::Text(patterns(values, like)?)),
            "ArnEquals" | "ArnLike" => (false, Test::Arn(arns(values, like)?)),
            "ArnNotEquals" | "ArnNotLike" => (true, Test::Arn(arns(values, like)?)),
            "NumericEquals" => (false, Test::Number(Order::Equal, all(values, number)?)),
            "NumericNotEquals" => (true, Test::Number(Order::Equal, all(values, number)?)),
            "NumericLessThan" => (false, Test::Number(Order::Less, all(values, number)?)),
            "NumericLessThanEquals" => (false, Test::Number(Order::LessOrEqual, all(values, number)?)),
            "NumericGreaterThan" => (false, Test::Number(Order::Greater, all(values, number)?)),
            "NumericGreaterThanEquals" => (false, Test::Number(Order::GreaterOrEqual, all(values, number)?)),
            "DateEquals" => (false, Test::Moment(Order::Equal, all(values, moment)?)),
            "DateNotEquals" => (true, Test::Moment(Order::Equal, all(values, moment)?)),
            "DateLessThan" => (false, Test::Moment(Order::Less, all(values, moment)?)),
            "DateLessThanEquals" => (false, Test::Moment(Order::LessOrEqual, all(values, moment)?)),
            "DateGreaterThan" => (false, Test::Moment(Order::Greater, all(values, moment)?)),
            "DateGreaterThanEquals" => (false, Test::Moment(Order::GreaterOrEqual, all(values, moment)?)),
            "Bool" => (false, Test::Bool(all(values, boolean)?)),
            "BinaryEquals" => (false, Test::Binary(all(values, binary)?)),
            "IpAddress" => (false, Test::Network(all(values, network)?)),
            "NotIpAddress" => (true, Test::Network(all(values, network)?)),
            "Null" if quantifier.is_none() => (false, Test::Null(all(values, boolean)?)),
            _ => return Err(format!("unknown operator `{operator}`")),
        };
        Ok(Condition { key: key.to_lowercase_smolstr(), quantifier, if_exists, negated, test })
    }

    /// Whether this is `ForAllValues`, which is true of an absent key.
    pub(crate) fn is_for_all_values(&self) -> bool {
        self.quantifier == Some(Quantifier::AllValues)
    }

    /// Whether the condition can tell two moments apart, so that its result must not be kept.
    pub(crate) fn depends_on_time(&self) -> bool {
        matches!(self.key.as_str(), "aws:currenttime" | "aws:epochtime" | "aws:multifactorauthage")
    }

    /// Decides the condition; notes absent keys in `missing` when it is given.
    pub(crate) fn evaluate(&self, facts: &dyn Facts, missing: Option<&mut Vec<SmolStr>>) -> Verdict {
        let unresolved = self.unresolved(facts);
        let fact = facts.get(&self.key);
        let values = fact.as_ref().map(|f| f.values()).unwrap_or_default();
        if let Some(missing) = missing {
            if values.is_empty() && !matches!(self.test, Test::Null(_)) {
                missing.push(self.key.clone());
            }
            missing.extend(unresolved.iter().cloned());
        }
        let holds = if let Test::Null(wanted) = &self.test {
            wanted.contains(&values.is_empty())
        } else if values.is_empty() {
            match self.quantifier {
                _ if self.if_exists => true,
                Some(Quantifier::AllValues) => true,
                Some(Quantifier::AnyValue) => false,
                None => self.negated,
            }
        } else {
            let mut each = values.iter().map(|value| self.test.matches(value, facts) != self.negated);
            match (self.quantifier, self.negated) {
                (Some(Quantifier::AnyValue), _) | (None, false) => each.any(|ok| ok),
                // Without a quantifier a negated operator must hold for every value, so that it stays the opposite of
                // the positive one.
                (Some(Quantifier::AllValues), _) | (None, true) => each.all(|ok| ok),
            }
        };
        match (unresolved.is_empty(), holds) {
            (false, holds) => Verdict::Unresolved(holds),
            (true, true) => Verdict::Holds,
            (true, false) => Verdict::Fails,
        }
    }

    fn unresolved(&self, facts: &dyn Facts) -> Vec<SmolStr> {
        let of = |patterns: &[Pattern]| -> Vec<SmolStr> {
            let with_variables = patterns.iter().filter(|p| p.has_variables());
            with_variables.flat_map(|p| p.unresolved(facts).cloned().collect::<Vec<_>>()).collect()
        };
        match &self.test {
            Test::Text(patterns) | Test::TextIgnoreCase(patterns) => of(patterns),
            Test::Arn(arns) => arns.iter().flat_map(|fields| of(fields)).collect(),
            _ => Vec::new(),
        }
    }
}

impl Test {
    /// The positive form of the operator on one value of the request: does any policy value match?
    fn matches(&self, value: &str, facts: &dyn Facts) -> bool {
        match self {
            Test::Text(patterns) => patterns.iter().any(|p| p.matches(value, facts) == Match::Yes),
            Test::TextIgnoreCase(patterns) => {
                let value = value.to_lowercase();
                patterns.iter().any(|p| p.text(facts).is_some_and(|text| text.to_lowercase() == value))
            }
            Test::Arn(arns) => {
                let Some(fields) = arn_fields(value) else { return false };
                arns.iter().any(|wanted| {
                    wanted.iter().zip(fields).all(|(pattern, field)| pattern.matches(field, facts) == Match::Yes)
                })
            }
            Test::Number(order, wanted) => {
                number(value).is_some_and(|value| wanted.iter().any(|w| order.holds(value.partial_cmp(w))))
            }
            Test::Moment(order, wanted) => {
                moment(value).is_some_and(|value| wanted.iter().any(|w| order.holds(Some(value.cmp(w)))))
            }
            Test::Bool(wanted) => boolean(value).is_some_and(|value| wanted.contains(&value)),
            Test::Binary(wanted) => binary(value).is_some_and(|value| wanted.contains(&value)),
            Test::Network(wanted) => value
                .parse::<IpAddr>()
                .is_ok_and(|address| wanted.iter().any(|network| network.contains(address.to_canonical()))),
            Test::Null(_) => false,
        }
    }
}

impl Order {
    fn holds(self, found: Option<std::cmp::Ordering>) -> bool {
        use std::cmp::Ordering::{Equal, Greater, Less};
        match (self, found) {
            (_, None) => false,
            (Order::Equal, Some(found)) => found == Equal,
            (Order::Less, Some(found)) => found == Less,
            (Order::LessOrEqual, Some(found)) => matches!(found, Less | Equal),
            (Order::Greater, Some(found)) => found == Greater,
            (Order::GreaterOrEqual, Some(found)) => matches!(found, Greater | Equal),
        }
    }
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = mask(u32::BITS, self.bits) as u32;
                (u32::from(network) ^ u32::from(address)) & mask == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = mask(u128::BITS, self.bits);
                (u128::from(network) ^ u128::from(address)) & mask == 0
            }
            _ => false,
        }
    }
}

/// The upper `bits` of a `width` bit number, as its low `width` bits.
fn mask(width: u32, bits: u8) -> u128 {
    let ones = if width == u128::BITS { u128::MAX } else { u128::from(u32::MAX) };
    let low = width.saturating_sub(u32::from(bits));
    ones & u128::MAX.checked_shl(low).unwrap_or(0)
}

/// The six fields of an ARN; the last keeps its colons.
fn arn_fields(text: &str) -> Option<[&str; 6]> {
    let mut parts = text.splitn(6, ':');
    let fields = [parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    Some(fields)
}

fn patterns(values: &[String], reading: Reading) -> Result<Vec<Pattern>, String> {
    values.iter().map(|value| Pattern::parse(value, reading).map_err(str::to_owned)).collect()
}

fn arns(values: &[String], reading: Reading) -> Result<Vec<[Pattern; 6]>, String> {
    values
        .iter()
        .map(|value| {
            let fields = split_outside_variables(value).ok_or_else(|| format!("`{value}` is not an ARN pattern"))?;
            let compiled: Result<Vec<Pattern>, &str> = fields.iter().map(|f| Pattern::parse(f, reading)).collect();
            compiled?.try_into().map_err(|_| format!("`{value}` is not an ARN pattern"))
        })
        .collect()
}

/// As [`arn_fields`], but the colons inside `${…}` do not count.
fn split_outside_variables(text: &str) -> Option<[&str; 6]> {
    let mut fields: [&str; 6] = [""; 6];
    let mut count = 0_usize;
    let mut start = 0;
    let mut inside = false;
    let mut previous = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '{' if previous == '$' => inside = true,
            '}' => inside = false,
            ':' if !inside && count < 5 => {
                *fields.get_mut(count)? = text.get(start..at)?;
                count = count.saturating_add(1);
                start = at.saturating_add(1);
            }
            _ => {}
        }
        previous = c;
    }
    *fields.last_mut()? = text.get(start..)?;
    (count == 5).then_some(fields)
}

fn all<T>(values: &[String], read: fn(&str) -> Option<T>) -> Result<Vec<T>, String> {
    values.iter().map(|value| read(value).ok_or_else(|| format!("condition value `{value}` cannot be read"))).collect()
}

fn number(text: &str) -> Option<f64> {
    let plain = |b: u8| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E');
    if !text.bytes().all(plain) {
        return None;
    }
    text.parse().ok().filter(|n: &f64| n.is_finite())
}

/// Seconds since the epoch, an RFC 3339 moment, or a day (its first moment in UTC).
fn moment(text: &str) -> Option<Timestamp> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Timestamp::from_second(text.parse().ok()?).ok();
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment);
    }
    let day: Date = if text.len() == 10 { text.parse().ok()? } else { return None };
    Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

fn binary(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

fn network(text: &str) -> Option<Network> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => {
            let digits = !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit());
            (address, Some(if digits { bits.parse::<u8>().ok()? } else { return None }))
        }
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(width);
    (bits <= width).then_some(Network { address, bits })
}
