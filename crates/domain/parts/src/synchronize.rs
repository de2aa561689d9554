//! Which shadows are synchronised, which way, and when (core-components.md section 3.1).

use std::collections::BTreeSet;
use std::time::Duration;

use marram_shadow::TopicBase;
use marram_types::{ShadowName, ThingName};
use serde_json::Value;

use crate::reader::{Place, Reader, Reading, Scope};
use crate::shadows::{self, RATE_LIMITS, RATES, ShadowSettings};

/// The shadow that carries deployments: never synchronised.
pub const RESERVED: &str = "AWSManagedGreengrassV2Deployment";
/// Requests to the control plane a second when the configuration does not say.
const RATE: u32 = 100;
/// Most shadows that are synchronised (our limit).
pub const SHADOWS_MAX: usize = 5_000;
/// In `namedShadows`: all of the thing's (ours; the original wants names).
const ALL: &str = "*";
/// The core's own thing, as a key of `shadowDocumentsMap`.
const CORE: &str = "$core";

/// Whose changes count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Both sides'.
    #[default]
    BetweenDeviceAndCloud,
    /// The device's; the cloud is overwritten.
    DeviceToCloud,
    /// The cloud's; the device is overwritten.
    CloudToDevice,
}

/// What the component's configuration asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncSettings {
    /// The shadows.
    pub shadows: BTreeSet<SyncedShadow>,
    /// Things of which all named shadows are meant that exist on either side.
    pub whole: BTreeSet<String>,
    /// Whose changes count.
    pub direction: Direction,
    /// None: at once; else all together each time this has passed.
    pub every: Option<Duration>,
    /// Requests to the control plane a second.
    pub rate: u32,
    /// An empty object is a value.
    pub keep_empty: bool,
}

/// One shadow: thing and name, the classic one without name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SyncedShadow {
    /// The thing.
    pub thing: String,
    /// Its name; empty: the classic one.
    pub name: String,
}

impl SyncedShadow {
    /// Where its messages go; none for a name that is none.
    pub fn base(&self) -> Option<TopicBase> {
        let name = if self.name.is_empty() { None } else { Some(self.name.parse().ok()?) };
        Some(TopicBase { thing: self.thing.parse().ok()?, name })
    }
}

impl SyncSettings {
    /// Nothing is synchronised.
    pub fn is_empty(&self) -> bool {
        self.shadows.is_empty() && self.whole.is_empty()
    }

    /// Reads the component's configuration.
    pub fn read(configuration: &Value, scope: Scope<'_>) -> Reading<Self> {
        let mut reader = Reader::new(scope);
        let mut settings = Self { rate: RATE, ..Self::default() };
        if configuration.is_null() {
            return reader.end(settings);
        }
        let root = Place::root(configuration);
        if !reader.map(&root, &["strategy", "synchronize", RATE_LIMITS, "shadowDocumentSizeLimitBytes"]) {
            return reader.end(settings);
        }
        settings.keep_empty = ShadowSettings::read_with(&mut reader, &root).strict_empty_objects;
        if let Some(rates) = root.member(RATE_LIMITS).filter(|rates| rates.value.is_object()) {
            settings.rate = shadows::rate(&mut reader, &rates, RATES[2]).unwrap_or(RATE);
        }
        settings.every = strategy(&mut reader, &root);
        let keys = ["coreThing", "shadowDocumentsMap", "shadowDocuments", "direction"];
        let Some(synchronize) = reader.part(&root, "synchronize", &keys) else { return reader.end(settings) };
        settings.direction = match reader.word(&synchronize, "direction", &DIRECTIONS, false) {
            Some(1) => Direction::DeviceToCloud,
            Some(2) => Direction::CloudToDevice,
            _ => Direction::BetweenDeviceAndCloud,
        };
        if let Some(listed) = synchronize.member("coreThing") {
            settings.add(&mut reader, CORE, &listed);
        }
        for (thing, listed) in reader.named(&synchronize, "shadowDocumentsMap") {
            settings.add(&mut reader, thing, &listed);
        }
        for listed in reader.list(&synchronize, "shadowDocuments", "write [{\"thingName\": \"pump\"}]") {
            match reader.text(&listed, "thingName") {
                Some((thing, _)) => settings.add(&mut reader, thing, &listed),
                None if listed.value.is_object() && listed.member("thingName").is_some() => {}
                // Lists are never merged: nobody else can say it.
                None => reader.wrong(&listed, "has no thingName"),
            }
        }
        if settings.shadows.len() > SHADOWS_MAX {
            reader.wrong(&synchronize, format_args!("lists more than {SHADOWS_MAX} shadows"));
        }
        reader.end(settings)
    }

    fn add(&mut self, reader: &mut Reader<'_>, thing: &str, listed: &Place<'_>) {
        if !reader.map(listed, &["thingName", "classic", "namedShadows"]) {
            return;
        }
        let own = if let Scope::Core(own) = reader.scope { own } else { "" };
        let is_core = thing == CORE || !own.is_empty() && thing == own;
        if !is_core && reader.is_settled(thing) && thing.parse::<ThingName>().is_err() {
            reader.wrong(listed, format_args!("is for `{thing}`, which is no name of a thing"));
            return;
        }
        let thing = if is_core { own } else { thing };
        let mut found = Vec::new();
        if reader.flag(listed, "classic").unwrap_or(true) {
            found.push("");
        }
        for (name, place) in reader.texts(listed, "namedShadows") {
            if name == ALL {
                self.whole.extend((!thing.is_empty()).then(|| thing.to_owned()));
            } else if is_core && name == RESERVED {
                reader.wrong(&place, "carries deployments and cannot be synchronised; leave it out");
            } else if name.parse::<ShadowName>().is_ok() {
                found.push(name);
            } else if reader.is_settled(name) {
                reader
                    .wrong(&place, "is no name of a shadow; write 1 to 64 letters, digits, `:`, `_` or `-`, or \"*\"");
            }
        }
        // A core without a name has nothing to synchronise with.
        let found = found.into_iter().filter(|_| !thing.is_empty());
        self.shadows.extend(found.map(|name| SyncedShadow { thing: thing.to_owned(), name: name.to_owned() }));
    }
}

const DIRECTIONS: [&str; 3] = ["betweenDeviceAndCloud", "deviceToCloud", "cloudToDevice"];

/// None: at once.
fn strategy(reader: &mut Reader<'_>, root: &Place<'_>) -> Option<Duration> {
    let strategy = reader.part(root, "strategy", &["type", "delay"])?;
    let is_periodic = reader.word(&strategy, "type", &["realTime", "periodic"], false) == Some(1);
    if !is_periodic {
        return None;
    }
    if strategy.member("delay").is_none() {
        reader.missing(&strategy, "delay", "write the seconds between two synchronisations", true);
    }
    let seconds = reader.whole(&strategy, "delay", 1..=86_400 * 365)?;
    Some(Duration::from_secs(seconds.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// CC 3.1: every form names the same shadows.
    #[test]
    fn the_configuration_is_read() {
        let shadows = |configuration: &Value| -> Vec<String> {
            let read = SyncSettings::read(configuration, Scope::Core("core")).usable().unwrap();
            read.shadows.iter().map(|one| format!("{}/{}", one.thing, one.name)).collect()
        };
        assert_eq!(shadows(&json!({})), Vec::<String>::new());
        assert_eq!(shadows(&json!({"synchronize": {"coreThing": {}}})), ["core/"]);
        let all = json!({"synchronize": {
            "coreThing": {"classic": false, "namedShadows": ["a"]},
            "shadowDocumentsMap": {"pump": {"namedShadows": ["b"]}, "$core": {"classic": false, "namedShadows": ["c"]}},
            "shadowDocuments": [{"thingName": "fan", "classic": "false", "namedShadows": ["d"]}],
        }});
        assert_eq!(shadows(&all), ["core/a", "core/c", "fan/d", "pump/", "pump/b"]);
        let whole = json!({"synchronize": {"coreThing": {"namedShadows": ["*"]}, "shadowDocumentsMap": {"fan": {"namedShadows": ["*", "x"]}}}});
        assert_eq!(shadows(&whole), ["core/", "fan/", "fan/x"]);
        let read = SyncSettings::read(&whole, Scope::Core("core")).usable().unwrap();
        assert_eq!(read.whole.iter().map(String::as_str).collect::<Vec<_>>(), ["core", "fan"]);
        let periodic =
            json!({"strategy": {"type": "periodic", "delay": "30"}, "synchronize": {"direction": "deviceToCloud"}});
        let read = SyncSettings::read(&periodic, Scope::Core("core")).usable().unwrap();
        assert_eq!(
            (read.every, read.direction, read.rate),
            (Some(Duration::from_secs(30)), Direction::DeviceToCloud, 100)
        );
        let nameless = SyncSettings::read(&json!({"synchronize": {"coreThing": {}}}), Scope::Core(""));
        assert!(nameless.usable().unwrap().is_empty());
    }
}
