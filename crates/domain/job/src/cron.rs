//! When maintenance windows open: `cron(minute hour day-of-month month day-of-week year)`, in UTC (CP 4.7).
//!
//! Lists, ranges, steps and names are read; days are given by date or by weekday, the other is `?`. A weekday may be the
//! n-th (`MON#1`) or the last (`FRIL`) of its month, a date the last (`L`). The nearest working day (`W`) is not known.

use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use marram_types::Timestamp;

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
/// Longest expression, in bytes: the model's.
const MAX_BYTES: usize = 256;
/// Days looked ahead: a 29th of February on a given weekday comes every 28 years, across a century after 40.
const HORIZON_DAYS: i64 = 41 * 366;

/// A schedule of moments, each a whole minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    /// Bit n: minute n.
    minutes: u64,
    hours: u64,
    months: u64,
    days: Days,
    /// First and last year, step; all when absent.
    years: Vec<(i64, i64, i64)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Days {
    /// Bit n: the n-th of the month.
    Dates(u64),
    LastDate,
    /// Bit n: the n-th day of the week, Sunday is 1.
    Weekdays(u64),
    /// The n-th such weekday of the month; `None`: the last.
    Nth(i64, Option<i64>),
}

impl Cron {
    /// Reads an expression, with or without `cron(..)` around it.
    ///
    /// # Errors
    /// What cannot be read, in words for whoever wrote it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("a cron expression has at most {MAX_BYTES} bytes"));
        }
        let bare = text.trim();
        let bare = bare.strip_prefix("cron(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(bare);
        let bare = bare.to_ascii_uppercase();
        let fields: Vec<&str> = bare.split_ascii_whitespace().collect();
        let &[minute, hour, date, month, weekday, year] = fields.as_slice() else {
            return Err("a cron expression has six fields: minute hour day-of-month month day-of-week year".to_owned());
        };
        let days = match (date, weekday) {
            ("?", "?") => return Err("day of month and day of week are both `?`".to_owned()),
            ("L", "?") => Days::LastDate,
            (_, "?") => Days::Dates(bits(date, 1, 31, &[])?),
            ("?", _) => weekdays(weekday)?,
            _ => return Err("either day of month or day of week is `?`".to_owned()),
        };
        Ok(Self {
            minutes: bits(minute, 0, 59, &[])?,
            hours: bits(hour, 0, 23, &[])?,
            months: bits(month, 1, 12, &MONTHS)?,
            days,
            years: if year == "*" { Vec::new() } else { ranges(year, 1970, 2199, &[])? },
        })
    }

    /// The latest moment in the day up to `at`, `at` included.
    pub(crate) fn last_within_a_day(&self, at: Timestamp) -> Option<Timestamp> {
        let (today, minute) = civil(at)?;
        let last =
            |date: Date, upto: i64| (0..=upto).rev().find(|minute| self.has(*minute)).filter(|_| self.is_day(date));
        if let Some(minute) = last(today, minute) {
            return moment(today, minute);
        }
        let yesterday = today.checked_sub(1.day()).ok()?;
        moment(yesterday, last(yesterday, 24 * 60 - 1)?)
    }

    /// The first moment after `at`; `None` when there is none in forty years.
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        let (today, minute) = civil(at)?;
        let first = |from: i64| (from..24 * 60).find(|minute| self.has(*minute));
        if let Some(minute) = first(minute + 1).filter(|_| self.is_day(today)) {
            return moment(today, minute);
        }
        let opening = first(0)?;
        let mut date = today;
        for _ in 0..HORIZON_DAYS {
            date = date.tomorrow().ok()?;
            if self.is_day(date) {
                return moment(date, opening);
            }
        }
        None
    }

    fn has(&self, minute: i64) -> bool {
        self.minutes >> (minute % 60) & 1 == 1 && self.hours >> (minute / 60) & 1 == 1
    }

    fn is_day(&self, date: Date) -> bool {
        let (year, day) = (i64::from(date.year()), i64::from(date.day()));
        let in_year =
            |(first, last, step): &(i64, i64, i64)| (*first..=*last).contains(&year) && (year - first) % step == 0;
        if self.months >> date.month() & 1 == 0 || !(self.years.is_empty() || self.years.iter().any(in_year)) {
            return false;
        }
        let weekday = i64::from(date.weekday().to_sunday_one_offset());
        let length = i64::from(date.days_in_month());
        match self.days {
            Days::Dates(dates) => dates >> day & 1 == 1,
            Days::LastDate => day == length,
            Days::Weekdays(weekdays) => weekdays >> weekday & 1 == 1,
            Days::Nth(wanted, Some(nth)) => weekday == wanted && (day - 1) / 7 + 1 == nth,
            Days::Nth(wanted, None) => weekday == wanted && day + 7 > length,
        }
    }
}

fn weekdays(text: &str) -> Result<Days, String> {
    if let Some((day, nth)) = text.split_once('#') {
        let nth = nth.parse().ok().filter(|nth| (1..=5).contains(nth));
        return Ok(Days::Nth(number(day, 1, 7, &WEEKDAYS)?, Some(nth.ok_or_else(|| unreadable(text))?)));
    }
    match text.strip_suffix('L') {
        Some("") => Ok(Days::Weekdays(1 << 7)),
        Some(day) => Ok(Days::Nth(number(day, 1, 7, &WEEKDAYS)?, None)),
        None => Ok(Days::Weekdays(bits(text, 1, 7, &WEEKDAYS)?)),
    }
}

fn unreadable(text: &str) -> String {
    format!("`{}` cannot be read in a cron expression", text.chars().take(32).collect::<String>())
}

fn number(text: &str, least: i64, most: i64, names: &[&str]) -> Result<i64, String> {
    if let Some(at) = names.iter().position(|name| *name == text) {
        return Ok(least + i64::try_from(at).unwrap_or_default());
    }
    let is_number = !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| is_number && (least..=most).contains(number));
    number.ok_or_else(|| unreadable(text))
}

/// First, last and step of each part of a list.
fn ranges(text: &str, least: i64, most: i64, names: &[&str]) -> Result<Vec<(i64, i64, i64)>, String> {
    let range = |part: &str| -> Result<(i64, i64, i64), String> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(number(step, 1, most.max(1), &[])?)),
            None => (part, None),
        };
        let (first, last) = match (range, range.split_once('-')) {
            ("*", _) => (least, most),
            (_, Some((first, last))) => (number(first, least, most, names)?, number(last, least, most, names)?),
            (single, None) => {
                let first = number(single, least, most, names)?;
                (first, if step.is_some() { most } else { first })
            }
        };
        if first > last { Err(unreadable(part)) } else { Ok((first, last, step.unwrap_or(1))) }
    };
    text.split(',').map(range).collect()
}

fn bits(text: &str, least: i64, most: i64, names: &[&str]) -> Result<u64, String> {
    let mut bits = 0;
    for (first, last, step) in ranges(text, least, most, names)? {
        let mut at = first;
        while at <= last {
            bits |= 1 << at;
            at += step;
        }
    }
    Ok(bits)
}

/// Date and minute of the day.
fn civil(at: Timestamp) -> Option<(Date, i64)> {
    let zoned = jiff::Timestamp::from_second(at.as_secs()).ok()?.to_zoned(TimeZone::UTC);
    Some((zoned.date(), i64::from(zoned.hour()) * 60 + i64::from(zoned.minute())))
}

fn moment(date: Date, minute: i64) -> Option<Timestamp> {
    let midnight = date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second();
    Some(Timestamp::from_secs(midnight + minute * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    /// CP 4.7: the next opening after a moment, for every form an expression can take.
    #[test]
    fn next_openings() {
        for (cron, after, wanted) in [
            ("cron(0 3 * * ? *)", "2026-11-22T02:59:59Z", Some("2026-11-22T03:00:00Z")),
            ("cron(0 3 * * ? *)", "2026-11-22T03:00:00Z", Some("2026-11-23T03:00:00Z")),
            ("0/20 8-9 ? * MON-FRI *", "2026-11-20T09:40:00Z", Some("2026-11-23T08:00:00Z")),
            ("cron(30 22 ? * sun,WED *)", "2026-11-22T22:30:01Z", Some("2026-11-25T22:30:00Z")),
            ("cron(0 0 L * ? *)", "2026-02-01T00:00:00Z", Some("2026-02-28T00:00:00Z")),
            ("cron(0 0 29 2 ? *)", "2026-02-01T00:00:00Z", Some("2028-02-29T00:00:00Z")),
            ("cron(0 12 ? * MON#1 *)", "2026-11-22T00:00:00Z", Some("2026-12-07T12:00:00Z")),
            ("cron(0 12 ? * 6L *)", "2026-11-22T00:00:00Z", Some("2026-11-27T12:00:00Z")),
            ("cron(0 12 ? * L *)", "2026-11-22T00:00:00Z", Some("2026-11-28T12:00:00Z")),
            ("cron(5 4 1 JAN ? 2027/2)", "2027-06-01T00:00:00Z", Some("2029-01-01T04:05:00Z")),
            ("cron(5 4 1 1 ? 2020-2025)", "2026-06-01T00:00:00Z", None),
            ("cron(0 0 31 2 ? *)", "2026-06-01T00:00:00Z", None),
        ] {
            let found = Cron::parse(cron).unwrap().next_after(at(after));
            assert_eq!(found, wanted.map(at), "{cron} after {after}");
        }
    }

    /// CP 4.7: what cannot be read is refused.
    #[test]
    fn wrong_expressions_are_refused() {
        for wrong in [
            "",
            "cron()",
            "cron(0 3 * * *)",
            "cron(0 3 * * * *)",
            "cron(0 3 ? * ? *)",
            "cron(60 3 * * ? *)",
            "cron(0 24 * * ? *)",
            "cron(0 3 0 * ? *)",
            "cron(0 3 15W * ? *)",
            "cron(0 3 ? * MON#6 *)",
            "cron(0 3 ? * MONDAY *)",
            "cron(9-5 3 * * ? *)",
            "cron(*/0 3 * * ? *)",
            "cron(0 3 * * ? 1969)",
            "cron(-1 3 * * ? *)",
            "rate(1 hour)",
        ] {
            assert!(Cron::parse(wrong).is_err(), "{wrong}");
        }
    }
}
