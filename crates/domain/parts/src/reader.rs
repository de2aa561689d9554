//! One pass over a configuration: settings are read, and what is wrong with them is collected with its place.

use std::fmt;
use std::ops::RangeInclusive;

use serde_json::Value;

use crate::near::{Known, known};

/// Keys that any component's configuration may hold beside its own.
const EVERYWHERE: &[&str] = &["accessControl", "logging", "marram", "runtime", "startupTimeoutSeconds"];

/// A setting that cannot be what was meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SettingFault {
    /// Where: a JSON pointer, or keys from the configuration's root with dots between them.
    pub path: String,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

impl fmt::Display for SettingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.problem)
    }
}

/// A key that nobody reads, in a map whose keys are known. No mistake: the original passes over keys as well, and other versions have others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKey {
    /// Where: as in [`SettingFault`].
    pub path: String,
    /// What it most likely is, misspelt.
    pub near: Option<&'static str>,
    /// Those that there are beside it; empty where they are too many to name.
    pub known: Vec<&'static str>,
}

impl UnknownKey {
    /// A sentence about this key of `component`.
    pub fn told(&self, component: &str) -> String {
        let right = match self.near {
            Some(right) => format!("; did you mean `{right}`?"),
            None if self.known.is_empty() => String::new(),
            None => format!("; there are {}", self.known.join(", ")),
        };
        format!("the setting `{}` of {component} is not known and passed over{right}", self.path)
    }
}

/// Settings that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct Faults(pub Vec<SettingFault>);

/// What is known of where a configuration will hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// It is merged into one that is not known here: what is missing may stand there.
    Update,
    /// It is all there will be. Variables of recipes are not resolved yet, and the core is not known.
    Whole,
    /// A core goes by it: the name of its thing, empty where it has none.
    Core(&'a str),
}

impl Scope<'_> {
    /// Whether `text` holds a variable of recipes, which only a core can resolve.
    fn is_open(self, text: &str) -> bool {
        !matches!(self, Scope::Core(_)) && text.contains('{')
    }
}

/// Settings with what is wrong about them.
#[derive(Debug, Clone)]
pub struct Reading<T> {
    /// The settings; what is wrong has its default.
    pub settings: T,
    /// Everything that is wrong.
    pub faults: Vec<SettingFault>,
    /// Keys that are passed over.
    pub unknown: Vec<UnknownKey>,
    /// A part can go by the settings all the same.
    pub is_usable: bool,
}

impl<T> Reading<T> {
    /// The settings, where a part can go by them.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn usable(self) -> Result<T, Faults> {
        if self.is_usable { Ok(self.settings) } else { Err(Faults(self.faults)) }
    }
}

/// A value and its JSON pointer.
#[derive(Debug, Clone)]
pub(crate) struct Place<'a> {
    pub(crate) value: &'a Value,
    pub(crate) pointer: String,
}

impl<'a> Place<'a> {
    pub(crate) fn root(value: &'a Value) -> Self {
        Self { value, pointer: String::new() }
    }

    /// What stands at this key; none where it is null.
    pub(crate) fn member(&self, key: &str) -> Option<Self> {
        let (name, value) = self.value.as_object()?.iter().find(|(name, _)| name.eq_ignore_ascii_case(key))?;
        (!value.is_null()).then(|| self.below(name, value))
    }

    /// The members of a map that are not null.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&'a str, Self)> {
        let all = self.value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        all.map(|(name, value)| (name.as_str(), self.below(name, value)))
    }

    fn items(&self) -> Vec<Self> {
        let all = self.value.as_array().into_iter().flatten().enumerate();
        all.map(|(nth, value)| self.below(&nth.to_string(), value)).collect()
    }

    fn below(&self, key: &str, value: &'a Value) -> Self {
        let key = key.replace('~', "~0").replace('/', "~1");
        Self { value, pointer: format!("{}/{key}", self.pointer) }
    }
}

/// Collects faults.
#[derive(Debug)]
pub(crate) struct Reader<'s> {
    pub(crate) scope: Scope<'s>,
    faults: Vec<SettingFault>,
    unknown: Vec<UnknownKey>,
    is_usable: bool,
    /// What is wrong now does not make the whole unusable.
    pub(crate) is_lenient: bool,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(scope: Scope<'s>) -> Self {
        Self { scope, faults: Vec::new(), unknown: Vec::new(), is_usable: true, is_lenient: false }
    }

    pub(crate) fn end<T>(self, settings: T) -> Reading<T> {
        Reading { settings, faults: self.faults, unknown: self.unknown, is_usable: self.is_usable }
    }

    /// Something is wrong with the value itself.
    pub(crate) fn wrong(&mut self, place: &Place<'_>, problem: impl fmt::Display) {
        /// Characters of a value that are shown.
        const SHOWN: usize = 80;
        let text = place.value.to_string();
        let shown: String = text.chars().take(SHOWN).collect();
        let dots = if shown.len() < text.len() { "..." } else { "" };
        self.fault(place, format!("{shown}{dots} {problem}"));
        self.is_usable &= self.is_lenient;
    }

    fn fault(&mut self, place: &Place<'_>, problem: String) {
        let path = if place.pointer.is_empty() { "/".to_owned() } else { place.pointer.clone() };
        self.faults.push(SettingFault { path, problem });
    }

    /// `key` is not there, and nobody else can say it. `is_needed`: the part cannot do without.
    pub(crate) fn missing(&mut self, place: &Place<'_>, key: &str, remedy: &str, is_needed: bool) {
        if self.scope != Scope::Update {
            self.fault(place, format!("there is no {key}; {remedy}"));
            self.is_usable &= self.is_lenient || !is_needed;
        }
    }

    /// Whether this is a map; misspelt keys are faults, others that are not known are passed over and told.
    pub(crate) fn map(&mut self, place: &Place<'_>, keys: &[&'static str]) -> bool {
        self.keys(place, keys, false)
    }

    /// Whether this is a map; any other key is a fault.
    pub(crate) fn exact_map(&mut self, place: &Place<'_>, keys: &[&'static str]) -> bool {
        self.keys(place, keys, true)
    }

    fn keys(&mut self, place: &Place<'_>, keys: &[&'static str], is_exact: bool) -> bool {
        if !place.value.is_object() {
            self.wrong(place, "is no object");
            return false;
        }
        for (name, member) in place.members() {
            if place.pointer.is_empty() && known(EVERYWHERE, name) == Known::Yes {
                continue;
            }
            let problem = match known(keys, name) {
                Known::Yes => continue,
                Known::Nearly(right) => format!("there is no such setting; write {right}"),
                Known::No if is_exact => format!("there is no such setting; there are {}", keys.join(", ")),
                Known::No => {
                    self.unknown.push(UnknownKey { path: member.pointer, near: None, known: keys.to_vec() });
                    continue;
                }
            };
            self.fault(&member, problem);
        }
        true
    }

    /// A map at `key`.
    pub(crate) fn part<'a>(&mut self, of: &Place<'a>, key: &str, keys: &[&'static str]) -> Option<Place<'a>> {
        of.member(key).filter(|part| self.map(part, keys))
    }

    /// The members of a map whose keys are names.
    pub(crate) fn named<'a>(&mut self, of: &Place<'a>, key: &str) -> Vec<(&'a str, Place<'a>)> {
        let Some(part) = of.member(key) else { return Vec::new() };
        if !part.value.is_object() {
            self.wrong(&part, "is no object");
        }
        part.members().collect()
    }

    /// The items of a list.
    pub(crate) fn list<'a>(&mut self, of: &Place<'a>, key: &str, remedy: &str) -> Vec<Place<'a>> {
        let Some(list) = of.member(key) else { return Vec::new() };
        if !list.value.is_array() {
            self.wrong(&list, format_args!("is no list; {remedy}"));
        }
        list.items()
    }

    /// The texts of a list, with their places.
    pub(crate) fn texts<'a>(&mut self, of: &Place<'a>, key: &str) -> Vec<(&'a str, Place<'a>)> {
        let items = self.list(of, key, "write texts in square brackets");
        items.into_iter().filter_map(|item| Some((self.text_of(&item)?, item))).collect()
    }

    pub(crate) fn text<'a>(&mut self, of: &Place<'a>, key: &str) -> Option<(&'a str, Place<'a>)> {
        let place = of.member(key)?;
        Some((self.text_of(&place)?, place))
    }

    fn text_of<'a>(&mut self, place: &Place<'a>) -> Option<&'a str> {
        let text = place.value.as_str();
        if text.is_none() {
            self.wrong(place, "is no text");
        }
        text
    }

    /// Whether `text` can be judged: a core alone knows what variables stand for.
    pub(crate) fn is_settled(&self, text: &str) -> bool {
        !self.scope.is_open(text)
    }

    pub(crate) fn flag(&mut self, of: &Place<'_>, key: &str) -> Option<bool> {
        let place = of.member(key)?;
        let flag = match place.value {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
            Value::String(text) if self.scope.is_open(text) => return None,
            _ => None,
        };
        if flag.is_none() {
            self.wrong(&place, "is not true or false");
        }
        flag
    }

    /// A whole number within bounds. One that is out of them is a fault.
    pub(crate) fn whole(&mut self, of: &Place<'_>, key: &str, bounds: RangeInclusive<i64>) -> Option<i64> {
        let place = of.member(key)?;
        let found = number(place.value).filter(|number| number.fract() == 0.0).map(|number| number as i64);
        let found = found.filter(|number| bounds.contains(number));
        if found.is_none() && self.is_judged(place.value) {
            let (least, most) = (bounds.start(), bounds.end());
            let wanted = match (*least, *most) {
                (i64::MIN, i64::MAX) => "is not a whole number".to_owned(),
                (least, i64::MAX) => format!("is not a whole number of at least {least}"),
                _ => format!("is not a whole number from {least} to {most}"),
            };
            self.wrong(&place, wanted);
        }
        found
    }

    /// A number from 0 on, whole or not.
    pub(crate) fn amount(&mut self, of: &Place<'_>, key: &str) -> Option<f64> {
        let place = of.member(key)?;
        let found = number(place.value).filter(|number| *number >= 0.0);
        if found.is_none() && self.is_judged(place.value) {
            self.wrong(&place, "is not a number from 0 on");
        }
        found
    }

    fn is_judged(&self, value: &Value) -> bool {
        value.as_str().is_none_or(|text| self.is_settled(text))
    }

    /// Which of these words stands there; `any_case`: whatever its case.
    pub(crate) fn word(&mut self, of: &Place<'_>, key: &str, words: &[&str], any_case: bool) -> Option<usize> {
        let place = of.member(key)?;
        let is_it = |word: &&str| {
            place.value.as_str().is_some_and(|text| text == *word || any_case && text.eq_ignore_ascii_case(word))
        };
        let found = words.iter().position(is_it);
        if found.is_none() && self.is_judged(place.value) {
            self.wrong(&place, format_args!("is not one of {}", words.join(", ")));
        }
        found
    }
}

/// Keys at the top of a configuration that are none of these.
pub(crate) fn unknown(configuration: &Value, keys: &[&'static str]) -> Vec<UnknownKey> {
    let root = Place::root(configuration);
    let all = root.members().filter(|(name, _)| known(EVERYWHERE, name) != Known::Yes);
    let told = all.filter_map(|(name, member)| {
        let near = match known(keys, name) {
            Known::Yes => return None,
            Known::Nearly(right) => Some(right),
            Known::No => None,
        };
        Some(UnknownKey { path: member.pointer, near, known: keys.to_vec() })
    });
    told.collect()
}

/// Numbers may come as text, as in every component configuration.
fn number(value: &Value) -> Option<f64> {
    let found = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    found.filter(|number| number.is_finite())
}
