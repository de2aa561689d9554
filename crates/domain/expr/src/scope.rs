//! What an expression can see: names, the clock, the trigger paths. Hosts implement [`Scope`]; [`MapScope`] is enough for most.

use std::borrow::Cow;
use std::fmt;

use smol_str::SmolStr;

use crate::value::{Object, Value};

/// Name lookup and host services of one evaluation. Names are ASCII case-insensitive; the scope sees to that.
pub trait Scope {
    /// The value of root name `name`, or `None` when nothing of that name is in scope (`TG.ExpressionError`).
    fn lookup(&self, name: &str) -> Option<Cow<'_, Value>>;

    /// `devices[name == role].events[name == event].lastEvent`: a [`Value::Occurrence`] or null.
    /// `None`: ask `lookup("devices")`, a list of objects, instead.
    fn last_event(&self, _role: &str, _event: &str) -> Option<Cow<'_, Value>> {
        None
    }

    /// `bindings[name == role].deviceId`. `None`: ask `lookup("bindings")`, a list of objects, instead.
    fn bound_thing(&self, _role: &str) -> Option<Cow<'_, Value>> {
        None
    }

    /// Milliseconds since the epoch for `getTime` and `getDate`. `None`: those functions fail.
    fn now_ms(&self) -> Option<i64> {
        None
    }

    /// Size in bytes for `fileSize`; the default is null, as the evaluator does no I/O (TG 4.5).
    fn file_size(&self, _uri: &str) -> Option<i64> {
        None
    }

    /// Takes a warning for the execution log: a missing field, an incomparable operand.
    fn warn(&self, _message: fmt::Arguments<'_>) {}
}

/// Names held in a small ordered map.
#[derive(Clone, Debug, Default)]
pub struct MapScope {
    names: Vec<(SmolStr, Value)>,
    now_ms: Option<i64>,
}

impl MapScope {
    /// An empty scope without a clock.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what `getTime` answers, milliseconds since the epoch.
    pub fn set_now(&mut self, now_ms: i64) {
        self.now_ms = Some(now_ms);
    }

    /// Sets `name`, replacing a name equal to it ignoring ASCII case.
    pub fn set(&mut self, name: impl Into<SmolStr>, value: Value) {
        let name = name.into();
        match self.names.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(&name)) {
            Some((_, old)) => *old = value,
            None => self.names.push((name, value)),
        }
    }

    /// [`Self::set`] in a chain.
    #[must_use]
    pub fn with(mut self, name: impl Into<SmolStr>, value: Value) -> Self {
        self.set(name, value);
        self
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.names.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Scope for MapScope {
    fn lookup(&self, name: &str) -> Option<Cow<'_, Value>> {
        self.get(name).map(Cow::Borrowed)
    }

    fn now_ms(&self) -> Option<i64> {
        self.now_ms
    }
}

impl Scope for Object {
    /// The members of an object as names: how sibling fields see each other.
    fn lookup(&self, name: &str) -> Option<Cow<'_, Value>> {
        self.get(name).map(Cow::Borrowed)
    }
}
