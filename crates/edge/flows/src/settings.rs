//! The configuration of the flow component.
//!
//! ```json
//! {"targets": {"thinggroup/floor-2": {"<key>": {package}}}, "deployments": {"<key>": {package}},
//!  "modbus": {"default": "10.0.0.5:502", "things": {"pump-1": "rtu:/dev/ttyS1?baud=19200"}, "allow": ["10.0.0.5:502"]},
//!  "http": {"allow": ["printer.local"], "allowInsecure": false}, "history": {"maxBytes": 33554432}}
//! ```
//!
//! A target's member `devices` lists certificate ids of bound things. `targets` is written by the control plane, one member for each target of deployments, replaced as a whole; `deployments`
//! by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use marram_flow::program::Operation;
use marram_flow_runtime::{Deployment, ModbusEndpoint};
use serde_json::Value;
use smol_str::SmolStr;

use crate::CORE_ENDPOINT;

/// Bytes of history kept unless the configuration says otherwise.
const HISTORY_BYTES: u64 = 32 * 1024 * 1024;
/// Least bytes of history.
const HISTORY_MIN_BYTES: u64 = 256 * 1024;

/// What the configuration says, without the packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Endpoint of Modbus things that name none.
    pub modbus_default: Option<SmolStr>,
    /// Endpoints by thing, before what the thing names itself.
    pub modbus_things: BTreeMap<SmolStr, SmolStr>,
    /// Endpoints that may be reached; `None`: those that the configuration and the signed snapshot name.
    pub modbus_allow: Option<BTreeSet<SmolStr>>,
    /// Hosts HTTP steps may reach although they are not public.
    pub http_allow: Vec<SmolStr>,
    /// `http:` URLs are allowed, whatever a deployment says for itself.
    pub http_insecure: bool,
    /// Bytes of history that are kept.
    pub history_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self::read(&Value::Null)
    }
}

impl Settings {
    /// Reads a configuration; what is missing or malformed takes its default.
    pub fn read(configuration: &Value) -> Self {
        let at = |path: &str| configuration.pointer(path);
        let texts = |value: &Value| -> Vec<SmolStr> {
            value.as_array().into_iter().flatten().filter_map(Value::as_str).map(SmolStr::new).collect()
        };
        let things = at("/modbus/things").and_then(Value::as_object).into_iter().flatten();
        // Booleans and numbers come as text too (core components 1.1).
        let is_true = |value: &Value| {
            value.as_bool().unwrap_or_else(|| value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("true")))
        };
        let number = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok());
        let bytes = at("/history/maxBytes").and_then(number).map_or(HISTORY_BYTES, |bytes| bytes as u64);
        Self {
            modbus_default: at("/modbus/default").and_then(Value::as_str).map(SmolStr::new),
            modbus_things: things
                .filter_map(|(name, endpoint)| Some((SmolStr::new(name), SmolStr::new(endpoint.as_str()?))))
                .collect(),
            modbus_allow: at("/modbus/allow")
                .filter(|value| value.is_array())
                .map(|value| texts(value).into_iter().collect()),
            http_allow: at("/http/allow").map(texts).unwrap_or_default(),
            http_insecure: at("/http/allowInsecure").is_some_and(is_true),
            history_bytes: bytes.max(HISTORY_MIN_BYTES),
        }
    }

    /// Makes a deployment this core's own: its endpoints, its allow-list, its authority.
    ///
    /// # Errors
    /// `TDM5006` with the thing whose endpoint is missing, malformed or not allowed.
    pub(crate) fn adapt(&self, deployment: &mut Deployment) -> Result<(), String> {
        deployment.principal.role_arn = None;
        deployment.http_allow.clone_from(&self.http_allow);
        deployment.metrics_enabled = false;
        let site = Arc::make_mut(&mut deployment.snapshot.site);
        site.allow_insecure_http |= self.http_insecure;
        for (name, thing) in &mut site.things {
            let device = site.devices.get(usize::from(thing.device));
            let is_modbus = device.is_some_and(|device| {
                device.actions.iter().any(|action| matches!(action.operation, Operation::Modbus { .. }))
            });
            if !is_modbus {
                continue;
            }
            let named = thing.modbus_endpoint.take().filter(|endpoint| endpoint != CORE_ENDPOINT);
            let endpoint = self.modbus_things.get(name).cloned().or(named).or_else(|| self.modbus_default.clone());
            let Some(endpoint) = endpoint else {
                return Err(format!("TDM5006: the core has no Modbus endpoint for the thing `{name}`"));
            };
            if let Err(error) = endpoint.parse::<ModbusEndpoint>() {
                return Err(format!("TDM5006: the Modbus endpoint of the thing `{name}`: {error}"));
            }
            if self.modbus_allow.as_ref().is_some_and(|allow| !allow.contains(&endpoint)) {
                return Err(format!("TDM5006: `{endpoint}` of the thing `{name}` is not on the core's allow-list"));
            }
            thing.modbus_endpoint = Some(endpoint);
        }
        Ok(())
    }
}

/// Certificate ids of bound things, by thing: who may be let in although nobody can be asked.
pub(crate) fn devices(configuration: &Value) -> BTreeMap<SmolStr, BTreeSet<SmolStr>> {
    let mut devices: BTreeMap<SmolStr, BTreeSet<SmolStr>> = BTreeMap::new();
    let targets =
        configuration.get("targets").and_then(Value::as_object).into_iter().flat_map(|targets| targets.values());
    for listed in targets.filter_map(|target| target.get("devices")?.as_object()) {
        for (thing, ids) in listed {
            let ids = ids.as_array().into_iter().flatten().filter_map(Value::as_str);
            devices.entry(thing.into()).or_default().extend(ids.map(SmolStr::new));
        }
    }
    devices
}

/// The packages of a configuration, whoever listed them.
pub(crate) fn packages(configuration: &Value) -> impl Iterator<Item = &Value> {
    let targets =
        configuration.get("targets").and_then(Value::as_object).into_iter().flat_map(|targets| targets.values());
    let own = configuration.get("deployments");
    targets.chain(own).filter_map(Value::as_object).flat_map(|packages| packages.values())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// CC 1.1: numbers and booleans as text are taken; TG 7.4: packages of all targets and local ones are found.
    #[test]
    fn configurations_are_read_leniently() {
        let configuration = json!({
            "targets": {"thinggroup/a": {"k": {"id": "1"}}, "thing/b": {"k": {"id": "2"}}},
            "deployments": {"x": {"id": "3"}},
            "modbus": {"things": {"pump": "10.0.0.5:502"}, "allow": ["10.0.0.5:502"]},
            "http": {"allow": ["a.local"], "allowInsecure": "True"},
            "history": {"maxBytes": "1048576"},
        });
        let settings = Settings::read(&configuration);
        assert!(settings.http_insecure);
        assert_eq!(settings.history_bytes, 1 << 20);
        assert_eq!(settings.modbus_things["pump"], "10.0.0.5:502");
        let mut ids: Vec<_> = packages(&configuration).map(|package| package["id"].as_str().unwrap()).collect();
        ids.sort_unstable();
        assert_eq!(ids, ["1", "2", "3"]);
        assert_eq!(Settings::default().modbus_allow, None);
        assert_eq!(packages(&Value::Null).count(), 0);
    }
}
