//! Settings of a core, which deployments write: small languages on the first line, component configurations as JSON behind.

use marram_device_keys::{KeyUri, ObjectType, Pkcs11Settings};
use marram_flow_runtime::ModbusEndpoint;
use marram_parts::{DeviceSettings, Scope, SecretSettings, SelectionRule, ShadowSettings, SyncSettings};
use serde_json::{Value, json};

/// The line as key URI, selection rule, address; the JSON as the configuration of every part of a core.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
    for wanted in [ObjectType::Private, ObjectType::Certificate] {
        let _ = KeyUri::parse(line, wanted);
    }
    if let Ok(rule) = SelectionRule::parse(line) {
        rule.selects("press-7");
    }
    let _ = line.parse::<ModbusEndpoint>();
    let _ = marram_uplink::split_port(line);
    let Ok(configuration) = serde_json::from_str::<Value>(rest) else { return };
    // A seed is the groups themselves, which a configuration has at one place.
    for configuration in [configuration.clone(), json!({ "deviceGroups": configuration })] {
        let groups = DeviceSettings::read(&configuration, Scope::Core("core")).settings.groups;
        let allowed = groups.allows("press-7", "mqtt:publish", line);
        assert_eq!(allowed, groups.allows("press-7", "mqtt:publish", line));
        groups.may_receive("press-7", line);
    }
    let _ = Pkcs11Settings::from_configuration(&configuration, None);
    let _ = marram_claim::ClaimSettings::from_configuration(&configuration);
    let _ = ShadowSettings::read(&configuration);
    for scope in [Scope::Core("core"), Scope::Whole, Scope::Update] {
        let _ = SyncSettings::read(&configuration, scope);
        let _ = SecretSettings::read(&configuration, scope);
    }
    let _ = marram_edge_flows::Settings::read(&configuration);
}
