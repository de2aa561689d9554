//! Which shadows are synchronised, which way, and when (core-components.md section 3.1).

use std::collections::BTreeSet;
use std::time::Duration;

use marram_shadow::TopicBase;
use marram_types::{ShadowName, ThingName};
use serde_json::Value;

use crate::settings::{SettingsError, number};

/// The shadow that carries deployments: never synchronised.
pub(super) const RESERVED: &str = "AWSManagedGreengrassV2Deployment";
/// Requests to the control plane a second when the configuration does not say.
const RATE: u32 = 100;
/// Most shadows that are synchronised (our limit).
pub(super) const SHADOWS_MAX: usize = 5_000;
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
    pub(crate) fn base(&self) -> Option<TopicBase> {
        let name = if self.name.is_empty() { None } else { Some(self.name.parse().ok()?) };
        Some(TopicBase { thing: self.thing.parse().ok()?, name })
    }
}

impl SyncSettings {
    /// Nothing is synchronised.
    pub fn is_empty(&self) -> bool {
        self.shadows.is_empty() && self.whole.is_empty()
    }

    /// Reads the component's configuration; `core` is the thing of the core itself.
    ///
    /// # Errors
    /// A member of the wrong type or range; a name that is none.
    pub fn from_configuration(configuration: &Value, core: &str) -> Result<Self, SettingsError> {
        let rate = number(configuration, "/rateLimits/maxOutboundSyncUpdatesPerSecond", 1, u64::from(u32::MAX))?;
        let mut settings = Self {
            rate: rate.map_or(RATE, |rate| u32::try_from(rate).unwrap_or(u32::MAX)),
            every: strategy(configuration)?,
            keep_empty: crate::ShadowSettings::from_configuration(configuration)?.strict_empty_objects,
            ..Self::default()
        };
        let synchronize = match configuration.get("synchronize") {
            None | Some(Value::Null) => return Ok(settings),
            Some(Value::Object(all)) => all,
            Some(_) => return Err(wrong("/synchronize", "an object")),
        };
        settings.direction = match synchronize.get("direction") {
            None | Some(Value::Null) => Direction::default(),
            Some(Value::String(word)) => match word.as_str() {
                "betweenDeviceAndCloud" => Direction::BetweenDeviceAndCloud,
                "deviceToCloud" => Direction::DeviceToCloud,
                "cloudToDevice" => Direction::CloudToDevice,
                _ => return Err(wrong("/synchronize/direction", DIRECTIONS)),
            },
            Some(_) => return Err(wrong("/synchronize/direction", DIRECTIONS)),
        };
        if let Some(listed) = synchronize.get("coreThing").filter(|listed| !listed.is_null()) {
            settings.add(core, core, listed, "/synchronize/coreThing")?;
        }
        match synchronize.get("shadowDocumentsMap") {
            None | Some(Value::Null) => {}
            Some(Value::Object(all)) => {
                for (thing, listed) in all {
                    let thing = if thing == CORE { core } else { thing };
                    settings.add(thing, core, listed, "/synchronize/shadowDocumentsMap")?;
                }
            }
            Some(_) => return Err(wrong("/synchronize/shadowDocumentsMap", "an object")),
        }
        match synchronize.get("shadowDocuments") {
            None | Some(Value::Null) => {}
            Some(Value::Array(all)) => {
                for listed in all {
                    let member = "/synchronize/shadowDocuments";
                    let thing = listed.get("thingName").and_then(Value::as_str).unwrap_or_default();
                    settings.add(thing, core, listed, member)?;
                }
            }
            Some(_) => return Err(wrong("/synchronize/shadowDocuments", "a list")),
        }
        Ok(settings)
    }

    fn add(&mut self, thing: &str, core: &str, listed: &Value, member: &'static str) -> Result<(), SettingsError> {
        if thing.parse::<ThingName>().is_err() {
            return Err(wrong(member, "things by their names"));
        }
        if !listed.is_object() {
            return Err(wrong(member, "an object for each thing"));
        }
        let classic = match listed.get("classic") {
            None | Some(Value::Null) => true,
            Some(Value::Bool(classic)) => *classic,
            Some(Value::String(text)) if text == "true" || text == "false" => text == "true",
            Some(_) => return Err(wrong(member, "`classic` true or false")),
        };
        let mut add = |name: &str| self.shadows.insert(SyncedShadow { thing: thing.to_owned(), name: name.to_owned() });
        if classic {
            add("");
        }
        let names = match listed.get("namedShadows") {
            None | Some(Value::Null) => &[][..],
            Some(Value::Array(names)) => names,
            Some(_) => return Err(wrong(member, "`namedShadows` a list")),
        };
        for name in names {
            let name = name.as_str().unwrap_or_default();
            if name == ALL {
                self.whole.insert(thing.to_owned());
                continue;
            }
            if name.parse::<ShadowName>().is_err() || (thing == core && name == RESERVED) {
                return Err(wrong(member, "`namedShadows` names of shadows that applications may use"));
            }
            add(name);
        }
        if self.shadows.len() > SHADOWS_MAX {
            return Err(wrong(member, "fewer than 5000 shadows"));
        }
        Ok(())
    }
}

const DIRECTIONS: &str = "betweenDeviceAndCloud, deviceToCloud or cloudToDevice";

fn strategy(configuration: &Value) -> Result<Option<Duration>, SettingsError> {
    match configuration.pointer("/strategy/type") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(kind)) if kind == "realTime" => Ok(None),
        Some(Value::String(kind)) if kind == "periodic" => {
            match number(configuration, "/strategy/delay", 1, 86_400 * 365)? {
                Some(seconds) => Ok(Some(Duration::from_secs(seconds))),
                None => Err(wrong("/strategy/delay", "the seconds between synchronisations")),
            }
        }
        Some(_) => Err(wrong("/strategy/type", "realTime or periodic")),
    }
}

fn wrong(member: &'static str, wanted: &str) -> SettingsError {
    SettingsError { member, wanted: wanted.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// CC 3.1: every form names the same shadows; what is wrong is refused by its place.
    #[test]
    fn the_configuration_is_read_or_refused_by_name() {
        let shadows = |configuration: &Value| -> Vec<String> {
            let read = SyncSettings::from_configuration(configuration, "core").unwrap();
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
        let read = SyncSettings::from_configuration(&whole, "core").unwrap();
        assert_eq!(read.whole.iter().map(String::as_str).collect::<Vec<_>>(), ["core", "fan"]);
        let read = SyncSettings::from_configuration(
            &json!({"strategy": {"type": "periodic", "delay": "30"}, "synchronize": {"direction": "deviceToCloud"}}),
            "core",
        );
        let read = read.unwrap();
        assert_eq!(
            (read.every, read.direction, read.rate),
            (Some(Duration::from_secs(30)), Direction::DeviceToCloud, 100)
        );
        #[rustfmt::skip]
        let table = [
            (json!({"strategy": {"type": "sometimes"}}), "/strategy/type"),
            (json!({"strategy": {"type": "periodic"}}), "/strategy/delay"),
            (json!({"strategy": {"type": "periodic", "delay": 0}}), "/strategy/delay"),
            (json!({"synchronize": {"direction": "BETWEEN_DEVICE_AND_CLOUD"}}), "/synchronize/direction"),
            (json!({"synchronize": {"coreThing": true}}), "/synchronize/coreThing"),
            (json!({"synchronize": {"coreThing": {"namedShadows": [RESERVED]}}}), "/synchronize/coreThing"),
            (json!({"synchronize": {"coreThing": {"namedShadows": ["a*"]}}}), "/synchronize/coreThing"),
            (json!({"synchronize": {"shadowDocumentsMap": {"": {}}}}), "/synchronize/shadowDocumentsMap"),
            (json!({"synchronize": {"shadowDocuments": [{}]}}), "/synchronize/shadowDocuments"),
            (json!({"rateLimits": {"maxOutboundSyncUpdatesPerSecond": 0}}), "/rateLimits/maxOutboundSyncUpdatesPerSecond"),
        ];
        for (configuration, member) in table {
            let error = SyncSettings::from_configuration(&configuration, "core").unwrap_err();
            assert_eq!(error.member, member, "{configuration}");
        }
    }
}
