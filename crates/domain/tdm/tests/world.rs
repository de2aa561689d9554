//! The life of the documents of TG 3.1 to 3.14: entities, flow, system, deployment, all accepted without a warning.

#[path = "support/world.rs"]
mod world;

use marram_tdm::model::{Activation, Activity, Model, RoleKind, TriggerCondition, Urn};
use world::{World, lines, urn};

/// TG 3.1 to 3.13: the examples compile, without so much as a warning.
#[test]
fn the_examples_of_the_language_compile() {
    let world = World::new();
    assert_eq!(lines(&world.entity_findings, &world.entity_text), Vec::<String>::new());
    for (kind, text) in [
        ("flow", include_str!("world/flow.tdm")),
        ("system", include_str!("world/system.tdm")),
        ("deployment", include_str!("world/deployment.tdm")),
    ] {
        let text = world::expand(text);
        assert_eq!(lines(&world.check(kind, &text), &text), Vec::<String>::new(), "{kind}");
    }
}

/// TG 3.11: what the flow engine reads off a checked flow.
#[test]
fn a_checked_flow_is_resolved() {
    let world = World::new();
    let flow = &world.flow;
    assert_eq!(flow.id.as_str(), urn("Workflow:Irrigate").as_str());
    let parameters: Vec<_> = flow.parameters.iter().map(|p| (p.name.as_str(), p.is_required)).collect();
    assert_eq!(parameters, [("probe", true), ("valve", true), ("litres", false)]);
    assert_eq!(flow.device_models(), [&urn("DeviceModel:Valve")]);
    assert_eq!(flow.steps[0].activation, Activation::AtStart);
    assert_eq!(flow.steps[1].activation, Activation::All(vec!["got".into()]));
    let Activity::Device { call, .. } = &flow.steps[2].activity else { panic!("a device activity") };
    assert_eq!((call.name.as_str(), &call.action), ("dose", &urn("Action:Dose")));
    assert_eq!(flow.steps[2].retries[0].interval_ms, 2000);
    assert!(
        matches!(&world.system.role("PROBE1").unwrap().kind, RoleKind::Thing(id) if *id == urn("DeviceModel:Valve"))
    );
    let deployment = &world.deployment;
    assert_eq!(deployment.bindings[1].device, urn("Device:AcmeValve"));
    let TriggerCondition::Event { events, .. } = &deployment.triggers[1].condition else { panic!("an event") };
    assert_eq!((events[0].role.as_str(), events[0].event.as_str()), ("probe1", "reading"));
    assert_eq!(deployment.triggers[1].actions[0].arguments.len(), 3);
}

/// TG 7.3, 7.6: checked models survive the deployment snapshot, and the closure holds what is reachable and no more.
#[test]
fn models_survive_serialisation_and_close_over_their_references() {
    let world = World::new();
    let json = serde_json::to_string(&world.model).unwrap();
    assert_eq!(serde_json::from_str::<Model>(&json).unwrap(), world.model);
    macro_rules! survives {
        ($($value:expr => $ty:ty),+) => {$(
            assert_eq!(serde_json::from_str::<$ty>(&serde_json::to_string(&$value).unwrap()).unwrap(), $value);
        )+};
    }
    survives!(world.flow => marram_tdm::model::Flow, world.system => marram_tdm::model::System,
              world.deployment => marram_tdm::model::Deployment);

    let closure = world.model.closure([&urn("Device:AcmeValve")]);
    let ids: Vec<&str> = closure.entities().map(|entity| entity.id.path()).collect();
    assert!(
        ids.contains(&"moisture/percent") && ids.contains(&"ProbeReading") && !ids.contains(&"ModeEnum"),
        "{ids:?}"
    );
    let device = world.model.get(&urn("device:acmevalve")).unwrap();
    assert!(
        device.references.contains(&urn("DeviceModel:Valve")) && device.references.contains(&urn("Capability:Valve"))
    );
    assert!(device.source.starts_with("query AcmeValve") && device.source.ends_with('}'), "{}", device.source);
    assert_eq!(device.id, Urn::parse(device.id.key()).unwrap());
}
