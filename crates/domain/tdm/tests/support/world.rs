//! The documents of `tests/world` checked, and a way to check any other document among them.
#![allow(dead_code)] // each test program uses a part

use std::sync::Arc;

use marram_tdm::check::{
    CheckOptions, Layered, Target, Template, Templates, ThingDevice, Things, check, check_deployment, check_flow,
    check_system,
};
use marram_tdm::library;
use marram_tdm::model::{Deployment, Flow, Model, System, Urn};
use marram_tdm::{Diagnostic, LineIndex, one_line};

const NAMESPACE: &str = "urn:tdm:eu-local-1/100200300400/default";

/// `NS:` spelled out.
pub fn expand(text: &str) -> String {
    text.replace("NS:", &format!("{NAMESPACE}:"))
}

/// An URN of the private namespace.
pub fn urn(rest: &str) -> Urn {
    Urn::parse(&format!("{NAMESPACE}:{rest}")).unwrap()
}

pub fn options() -> CheckOptions {
    CheckOptions::private("eu-local-1", "100200300400")
}

/// The findings in their one-line form.
pub fn lines(findings: &[Diagnostic], text: &str) -> Vec<String> {
    let index = LineIndex::new(text);
    findings.iter().map(|found| format!("{} {}", found.severity, one_line(found, text, &index))).collect()
}

pub struct World {
    pub entity_text: String,
    pub entity_findings: Vec<Diagnostic>,
    pub model: Model,
    pub flow: Flow,
    pub system: System,
    pub deployment: Deployment,
}

impl World {
    pub fn new() -> Self {
        let entity_text = expand(include_str!("../world/entities.tdm"));
        let checked = check(&[&entity_text], library::public(), &options());
        let model = checked.model;
        let source = Layered { own: &model, public: library::public() };
        let flow = check_flow(&expand(include_str!("../world/flow.tdm")), &source, &options());
        let flow = flow.value.unwrap_or_else(|| panic!("{:?}", flow.diagnostics));
        let shelf = Shelf { flow: Some(flow.clone()), system: None };
        let system = check_system(&expand(include_str!("../world/system.tdm")), &source, &shelf, &options());
        let system = system.value.unwrap_or_else(|| panic!("{:?}", system.diagnostics));
        let shelf = Shelf { flow: Some(flow.clone()), system: Some(system.clone()) };
        let text = expand(include_str!("../world/deployment.tdm"));
        let deployment = check_deployment(&text, &source, &shelf, &Shelf::default(), Target::Cloud, &options());
        let deployment = deployment.value.unwrap_or_else(|| panic!("{:?}", deployment.diagnostics));
        World { entity_text, entity_findings: checked.diagnostics, model, flow, system, deployment }
    }

    /// Checks a document of a kind: `entities`, `flow`, `system`, `deployment` (on CLOUD) or `core` (on GREENGRASS).
    pub fn check(&self, kind: &str, text: &str) -> Vec<Diagnostic> {
        let source = Layered { own: &self.model, public: library::public() };
        let shelf = Shelf { flow: Some(self.flow.clone()), system: Some(self.system.clone()) };
        match kind {
            "entities" => check(&[text], &source, &options()).diagnostics,
            "flow" => check_flow(text, &source, &options()).diagnostics,
            "system" => check_system(text, &source, &shelf, &options()).diagnostics,
            "deployment" => check_deployment(text, &source, &shelf, &shelf, Target::Cloud, &options()).diagnostics,
            "core" => check_deployment(text, &source, &shelf, &shelf, Target::Greengrass, &options()).diagnostics,
            other => panic!("no document kind {other}"),
        }
    }
}

/// Flows, systems and things: those of the world, `Old` ones that are deprecated, a relay system.
#[derive(Default)]
struct Shelf {
    flow: Option<Flow>,
    system: Option<System>,
}

impl Templates for Shelf {
    fn flow(&self, id: &Urn) -> Template<Flow> {
        match &self.flow {
            Some(flow) if flow.id == *id => Template::Usable(Arc::new(flow.clone())),
            _ if *id == urn("Workflow:Old") => Template::Deprecated,
            _ => Template::Missing,
        }
    }

    fn system(&self, id: &Urn) -> Template<System> {
        match &self.system {
            Some(system) if system.id == *id => Template::Usable(Arc::new(system.clone())),
            Some(system) if *id == urn("System:Relays") => {
                let mut relays = system.clone();
                relays.id = id.clone();
                relays.roles.truncate(1);
                relays.roles[0].name = "relay".into();
                relays.roles[0].kind = marram_tdm::model::RoleKind::Thing(urn("DeviceModel:Relay"));
                Template::Usable(Arc::new(relays))
            }
            Some(system) if *id == urn("System:Stale") => {
                let mut stale = system.clone();
                stale.id = id.clone();
                stale.roles.retain(|role| matches!(role.kind, marram_tdm::model::RoleKind::Flow(_)));
                stale.roles[0].kind = marram_tdm::model::RoleKind::Flow(urn("Workflow:Old"));
                Template::Usable(Arc::new(stale))
            }
            _ if *id == urn("System:Old") => Template::Deprecated,
            _ => Template::Missing,
        }
    }
}

impl Things for Shelf {
    fn thing(&self, name: &str) -> ThingDevice {
        match name {
            "probe-07" | "valve-07" => ThingDevice::Device(urn("Device:AcmeValve")),
            "relay-01" => ThingDevice::Device(urn("Device:BusRelay")),
            "bare-01" => ThingDevice::Unassociated,
            _ => ThingDevice::Missing,
        }
    }
}
