//! What is known about a request when it is decided: the condition context.
//!
//! Keys are compared without regard to case, so they are kept and asked for in lower case. A key with no value counts
//! as absent everywhere (control-plane-api.md section 3.3).

use std::borrow::Cow;

use smol_str::{SmolStr, StrExt};

/// The values of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact<'a> {
    /// A single value.
    One(Cow<'a, str>),
    /// A key that can have several: `aws:TagKeys`, certificate `.List` variables.
    Many(Vec<Cow<'a, str>>),
}

impl<'a> Fact<'a> {
    /// A single value.
    pub fn one(value: impl Into<Cow<'a, str>>) -> Fact<'a> {
        Fact::One(value.into())
    }

    /// All values, in order.
    pub fn values(&self) -> &[Cow<'a, str>] {
        match self {
            Fact::One(value) => std::slice::from_ref(value),
            Fact::Many(values) => values,
        }
    }
}

/// Where a decision looks its context keys up. Values may be computed only when a policy asks for them.
pub trait Facts {
    /// The values of `key`, which is in lower case; `None` when it is absent.
    fn get(&self, key: &str) -> Option<Fact<'_>>;
}

/// A context without any key.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFacts;

impl Facts for NoFacts {
    fn get(&self, _key: &str) -> Option<Fact<'_>> {
        None
    }
}

/// The condition values an operation adds to the global ones: tags, thing ARNs, passed services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConditionValues {
    entries: Vec<(SmolStr, Values)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Values {
    One(SmolStr),
    Many(Vec<SmolStr>),
}

impl ConditionValues {
    /// An empty set.
    pub fn new() -> ConditionValues {
        ConditionValues::default()
    }

    /// Sets a single-valued key; a later call replaces an earlier one.
    pub fn set(&mut self, key: &str, value: impl Into<SmolStr>) -> &mut ConditionValues {
        self.put(key, Values::One(value.into()))
    }

    /// Sets a multi-valued key; no values means the key is absent.
    pub fn set_all<I>(&mut self, key: &str, values: I) -> &mut ConditionValues
    where
        I: IntoIterator,
        I::Item: Into<SmolStr>,
    {
        self.put(key, Values::Many(values.into_iter().map(Into::into).collect()))
    }

    /// `aws:ResourceTag/{key}` of each tag of the resource at hand.
    pub fn resource_tags<'t>(&mut self, tags: impl IntoIterator<Item = (&'t str, &'t str)>) -> &mut ConditionValues {
        for (key, value) in tags {
            self.set(&format!("aws:ResourceTag/{key}"), value);
        }
        self
    }

    /// `aws:RequestTag/{key}` of each tag in the request, and `aws:TagKeys`.
    pub fn request_tags<'t>(&mut self, tags: impl IntoIterator<Item = (&'t str, &'t str)>) -> &mut ConditionValues {
        let mut keys: Vec<SmolStr> = Vec::new();
        for (key, value) in tags {
            self.set(&format!("aws:RequestTag/{key}"), value);
            keys.push(key.into());
        }
        self.set_all("aws:TagKeys", keys)
    }

    /// Whether nothing was set.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Every key with its values, for the audit record and for tests.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        self.entries.iter().map(|(key, values)| {
            let values = match values {
                Values::One(value) => vec![value.as_str()],
                Values::Many(values) => values.iter().map(SmolStr::as_str).collect(),
            };
            (key.as_str(), values)
        })
    }

    fn put(&mut self, key: &str, values: Values) -> &mut ConditionValues {
        let key = key.to_lowercase_smolstr();
        match self.entries.iter_mut().find(|(existing, _)| *existing == key) {
            Some((_, slot)) => *slot = values,
            None => self.entries.push((key, values)),
        }
        self
    }
}

impl Facts for ConditionValues {
    fn get(&self, key: &str) -> Option<Fact<'_>> {
        let (_, values) = self.entries.iter().find(|(candidate, _)| candidate == key)?;
        match values {
            Values::One(value) => Some(Fact::One(Cow::Borrowed(value.as_str()))),
            Values::Many(values) if values.is_empty() => None,
            Values::Many(values) => Some(Fact::Many(values.iter().map(|v| Cow::Borrowed(v.as_str())).collect())),
        }
    }
}
