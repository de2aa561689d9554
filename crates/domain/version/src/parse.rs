//! Reading of npm ranges: each shorthand is reduced to comparators.
//!
//! ```text
//! range  = set *( "||" set )
//! set    = partial " - " partial / *comparator        ; blanks (or commas) between comparators; empty = any
//! comparator = [ "=" / "==" / ">" / ">=" / "<" / "<=" / "^" / "~" / "~>" ] partial
//! partial = [ "v" ] xr [ "." xr [ "." xr [ "-" pre ] [ "+" build ] ] ]
//! xr = "x" / "X" / "*" / number
//! ```

use crate::requirement::{Comparator, Operator, Requirement, RequirementError};
use crate::version::Version;

/// Largest number npm reads in a range: the largest integer of its language.
const MAX_RANGE_NUMBER: u64 = (1 << 53) - 1;

/// A version with open ends: `1.x` has a major only.
struct Partial {
    major: Option<u64>,
    minor: Option<u64>,
    patch: Option<u64>,
    pre: semver::Prerelease,
}

impl Partial {
    /// Missing parts are 0.
    fn lowest(&self) -> Version {
        Version(semver::Version {
            major: self.major.unwrap_or(0),
            minor: self.minor.unwrap_or(0),
            patch: self.patch.unwrap_or(0),
            pre: self.pre.clone(),
            build: semver::BuildMetadata::EMPTY,
        })
    }

    /// The first version above everything the open ends cover; none when it covers all or is complete.
    fn above(&self) -> Option<Version> {
        match (self.major, self.minor, self.patch) {
            (None, _, _) => None,
            (Some(major), None, _) => Some(Version::new(major + 1, 0, 0)),
            (Some(major), Some(minor), None) => Some(Version::new(major, minor + 1, 0)),
            (Some(_), Some(_), Some(_)) => None,
        }
    }
}

pub(crate) fn requirement(text: &str) -> Result<Requirement, RequirementError> {
    let alternatives = text.split("||").map(set).collect::<Result<Vec<_>, _>>()?;
    Ok(Requirement { alternatives })
}

fn set(text: &str) -> Result<Vec<Comparator>, RequirementError> {
    let words: Vec<&str> = text.split([' ', '\t', '\n', '\r', ',']).filter(|word| !word.is_empty()).collect();
    if let [from, "-", to] = words.as_slice() {
        return hyphen(from, to).and_then(|all| printable(all, text));
    }
    let mut all = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let (operator, rest) = split_operator(word);
        // npm allows blanks between an operator and its version
        let version =
            if rest.is_empty() && !operator.is_empty() { words.next().ok_or_else(|| malformed(word))? } else { rest };
        comparator(operator, &partial(version)?, &mut all);
    }
    printable(all, text)
}

/// What a shorthand was reduced to must be readable again: the number after the largest one is none.
fn printable(all: Vec<Comparator>, text: &str) -> Result<Vec<Comparator>, RequirementError> {
    let fits = |version: &Version| {
        [version.major(), version.minor(), version.patch()].iter().all(|one| *one <= MAX_RANGE_NUMBER)
    };
    if all.iter().all(|comparator| fits(&comparator.version)) { Ok(all) } else { Err(malformed(text.trim())) }
}

fn split_operator(word: &str) -> (&str, &str) {
    let end = word.find(|c| !matches!(c, '=' | '<' | '>' | '^' | '~')).unwrap_or(word.len());
    let operator = &word[..end];
    if matches!(operator, "" | "=" | "==" | ">" | ">=" | "<" | "<=" | "^" | "~" | "~>") {
        (operator, &word[end..])
    } else {
        // an unknown pile of operators stays with the version and is refused there
        ("", word)
    }
}

fn hyphen(from: &str, to: &str) -> Result<Vec<Comparator>, RequirementError> {
    let (from, to) = (partial(from)?, partial(to)?);
    let mut all = Vec::new();
    if from.major.is_some() {
        all.push(Comparator::new(Operator::GreaterOrEqual, from.lowest()));
    }
    match to.above() {
        Some(end) => all.push(Comparator::below(end)),
        None if to.major.is_some() => all.push(Comparator::new(Operator::LessOrEqual, to.lowest())),
        None => {}
    }
    Ok(all)
}

fn comparator(operator: &str, partial: &Partial, all: &mut Vec<Comparator>) {
    let from = |version| Comparator::new(Operator::GreaterOrEqual, version);
    match operator {
        "^" => caret(partial, all),
        "~" | "~>" => tilde(partial, all),
        ">" if partial.major.is_none() => all.push(nothing()),
        "<" if partial.major.is_none() => all.push(nothing()),
        _ if partial.major.is_none() => {}
        ">" => match partial.above() {
            Some(next) => all.push(from(next)),
            None => all.push(Comparator::new(Operator::Greater, partial.lowest())),
        },
        "<=" => match partial.above() {
            Some(next) => all.push(Comparator::below(next)),
            None => all.push(Comparator::new(Operator::LessOrEqual, partial.lowest())),
        },
        ">=" => all.push(from(partial.lowest())),
        "<" if partial.above().is_some() => all.push(Comparator::below(partial.lowest())),
        "<" => all.push(Comparator::new(Operator::Less, partial.lowest())),
        _ => match partial.above() {
            Some(next) => all.extend([from(partial.lowest()), Comparator::below(next)]),
            None => all.push(Comparator::new(Operator::Equal, partial.lowest())),
        },
    }
}

/// A comparator no version satisfies: `<0.0.0` without its pre-releases.
fn nothing() -> Comparator {
    Comparator::below(Version::new(0, 0, 0))
}

fn caret(partial: &Partial, all: &mut Vec<Comparator>) {
    let Some(major) = partial.major else { return };
    let end = match (major, partial.minor, partial.patch) {
        (0, Some(0), Some(patch)) => Version::new(0, 0, patch + 1),
        (0, Some(minor), _) => Version::new(0, minor + 1, 0),
        (major, _, _) => Version::new(major + 1, 0, 0),
    };
    all.extend([Comparator::new(Operator::GreaterOrEqual, partial.lowest()), Comparator::below(end)]);
}

fn tilde(partial: &Partial, all: &mut Vec<Comparator>) {
    let Some(major) = partial.major else { return };
    let end = match partial.minor {
        Some(minor) => Version::new(major, minor + 1, 0),
        None => Version::new(major + 1, 0, 0),
    };
    all.extend([Comparator::new(Operator::GreaterOrEqual, partial.lowest()), Comparator::below(end)]);
}

fn partial(word: &str) -> Result<Partial, RequirementError> {
    let text = word.strip_prefix('v').unwrap_or(word);
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    if build.is_some_and(|build| semver::BuildMetadata::new(build).is_err() || build.is_empty()) {
        return Err(malformed(word));
    }
    let (numbers, pre) = text.split_once('-').map_or((text, None), |(numbers, pre)| (numbers, Some(pre)));
    let mut parts = [None; 3];
    let mut count = 0;
    let mut open = false;
    for part in numbers.split('.') {
        let slot = parts.get_mut(count).ok_or_else(|| malformed(word))?;
        match part {
            "x" | "X" | "*" => open = true,
            // everything after an open part is open as well
            _ if open => drop(number(part).ok_or_else(|| malformed(word))?),
            _ => *slot = Some(number(part).ok_or_else(|| malformed(word))?),
        }
        count += 1;
    }
    let pre = match pre {
        None => semver::Prerelease::EMPTY,
        Some(pre) if count == 3 && !pre.is_empty() => {
            let pre = semver::Prerelease::new(pre).map_err(|_| malformed(word))?;
            if open { semver::Prerelease::EMPTY } else { pre }
        }
        Some(_) => return Err(malformed(word)),
    };
    let [major, minor, patch] = parts;
    Ok(Partial { major, minor, patch, pre })
}

fn number(part: &str) -> Option<u64> {
    let plain = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = part.len() == 1 || !part.starts_with('0');
    part.parse().ok().filter(|number| plain && canonical && *number <= MAX_RANGE_NUMBER)
}

fn malformed(part: &str) -> RequirementError {
    RequirementError::Malformed { part: part.chars().take(64).collect() }
}
