//! `policy`: a document as each kind of policy, then decisions about it.

use std::sync::Arc;

use marram_authz::{ConditionValues, DeviceAction, DevicePolicies, Layers, Policy, PolicyKind, Request, Requester};

/// Whatever compiles must decide without panic, the same way twice, and the same way when it explains itself.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut facts = ConditionValues::new();
    facts.set("iot:ClientId", "pump*").set("aws:username", "anna").set_all("aws:TagKeys", ["a", "b"]);
    let arn = "arn:aws:iot:us-east-1:000000000000:topic/plant/pump";
    for kind in [PolicyKind::Identity, PolicyKind::Resource, PolicyKind::Trust, PolicyKind::Device] {
        let Ok(policy) = Policy::parse(kind, "fuzz", text) else { continue };
        let policy = Arc::new(policy);
        let _ = policy.lints();
        for strict_variables in [false, true] {
            let request = Request {
                requester: Requester::user("000000000000", "arn:aws:iam::000000000000:user/anna"),
                action: "iot:Publish",
                resource: arn,
                facts: &facts,
                strict_variables,
            };
            let own = [Arc::clone(&policy)];
            let layers = match kind {
                PolicyKind::Identity | PolicyKind::Device => Layers { identity: &own, ..Layers::default() },
                _ => Layers { resource: Some((&policy, "000000000000")), ..Layers::default() },
            };
            let decision = request.decide(&layers);
            assert_eq!(decision.outcome, request.explain(&layers).outcome);
            if kind == PolicyKind::Device {
                let prefix = "arn:aws:iot:us-east-1:000000000000:";
                let bound = DevicePolicies::bind(&own, prefix, &facts, strict_variables);
                assert_eq!(bound.decide(DeviceAction::Publish, "plant/pump", &facts), decision.outcome);
            }
        }
    }
}
