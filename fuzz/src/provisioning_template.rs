//! Provisioning templates: parsed and resolved, intrinsics nested at will.

use std::collections::BTreeMap;

use marram_provisioning::Template;

/// One body, with one parameter of a device and one of the service.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(template) = Template::parse(text) else { return };
    let given = BTreeMap::from([("Serial".to_owned(), "s-1".to_owned())]);
    let own = BTreeMap::from([("AWS::IoT::Certificate::Id".to_owned(), "0".repeat(64))]);
    if let Ok(plan) = template.plan(&given, &own) {
        assert!(plan.policies.iter().all(|policy| policy.document.is_none() || policy.name.len() == 64));
    }
}
