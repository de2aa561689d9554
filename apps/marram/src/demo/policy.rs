//! The permissions of the demo: each device its own topics and no other, the flows what they need and no more.

use marram_types::{AccountId, Region};
use serde_json::{Value, json};

use super::bootstrap::MqttDevice;

/// What one device may do: connect under its own name, use its own topics.
pub(super) fn device(device: &MqttDevice, region: &Region, account: &AccountId) -> Value {
    let arn = |kind: &str, name: &str| format!("arn:aws:iot:{region}:{account}:{kind}/{name}");
    let all = |kind: &str, suffixes: &[&str]| {
        suffixes.iter().map(|suffix| arn(kind, &format!("{}/{suffix}", device.thing))).collect::<Vec<_>>()
    };
    let mut statements = vec![allow("iot:Connect", &[arn("client", device.thing)])];
    if !device.publishes.is_empty() {
        statements.push(allow("iot:Publish", &all("topic", device.publishes)));
    }
    if !device.subscribes.is_empty() {
        statements.push(allow("iot:Subscribe", &all("topicfilter", device.subscribes)));
        statements.push(allow("iot:Receive", &all("topic", device.subscribes)));
    }
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// What the flows may do: ask the camera and the screen, hear the sensor and the camera, read and set the things on Modbus.
pub(super) fn flows(devices: &[MqttDevice], modbus: &[&str], region: &Region, account: &AccountId) -> Value {
    let mut publishes = Vec::new();
    let (mut filters, mut topics) = (Vec::new(), Vec::new());
    for device in devices {
        let arn = |kind: &str, suffix: &str| format!("arn:aws:iot:{region}:{account}:{kind}/{}/{suffix}", device.thing);
        publishes.extend(device.subscribes.iter().map(|suffix| arn("topic", suffix)));
        filters.extend(device.publishes.iter().map(|suffix| arn("topicfilter", suffix)));
        topics.extend(device.publishes.iter().map(|suffix| arn("topic", suffix)));
    }
    let buses: Vec<_> = modbus.iter().map(|thing| format!("arn:aws:iot:{region}:{account}:thing/{thing}")).collect();
    json!({
        "Version": "2012-10-17",
        "Statement": [
            allow("iotthingsgraph:ReadModbus", &buses),
            allow("iotthingsgraph:WriteModbus", &buses),
            allow("iot:Publish", &publishes),
            allow("iot:Subscribe", &filters),
            allow("iot:Receive", &topics),
        ],
    })
}

/// Who may take the flow role on: the flow service, for this account's deployments only.
pub(super) fn flow_trust(account: &AccountId) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"Service": "iotthingsgraph.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": account.as_str()}},
        }],
    })
}

fn allow(action: &str, resources: &[String]) -> Value {
    json!({"Effect": "Allow", "Action": action, "Resource": resources})
}

#[cfg(test)]
mod tests {
    use super::super::bootstrap::{CORE_DEVICES, MQTT_DEVICES};
    use super::*;

    /// SEC 12.1: a device's policy names its own topics, without wildcards.
    #[test]
    fn device_policies_hold_no_wildcard_and_no_other_device() {
        let all = || MQTT_DEVICES.iter().chain(CORE_DEVICES);
        for one in all() {
            let policy = device(one, &Region::default_region(), &AccountId::first()).to_string();
            assert!(!policy.contains('*'), "{policy}");
            for other in all().filter(|other| other.thing != one.thing) {
                assert!(!policy.contains(other.thing), "{policy}");
            }
        }
    }
}
