//! The names of a script against what it runs: an answer for an action that does not exist would never be given, and the run
//! would look as if a device were silent.

use smol_str::SmolStr;

use super::script::{Answer, Script, ScriptError, Stimulus};
use crate::program::{Activity, Flow};
use crate::snapshot::{Condition, Snapshot, StartFlow};

/// Names listed in a message.
const LISTED: usize = 8;

/// Every line of `script` that names a flow, parameter, role, event, action, thing or service which `snapshot` does not have,
/// by line.
pub fn unknown_names(snapshot: &Snapshot, script: &Script) -> Vec<ScriptError> {
    let mut found = Vec::new();
    let mut refuse = |line: usize, message: String| found.push(ScriptError { line, message });
    for (trigger, line) in script.triggers.iter().zip(&script.trigger_lines) {
        if let Condition::Event { events, .. } = &trigger.condition {
            for message in events.iter().filter_map(|(role, event)| unknown_event(snapshot, role, event)) {
                refuse(*line, message);
            }
        }
        for message in trigger.actions.iter().filter_map(|action| unknown_start(snapshot, action)) {
            refuse(*line, message);
        }
    }
    for stimulus in &script.stimuli {
        match stimulus {
            Stimulus::Start { line, flow, params, .. } => {
                let flow = match flow {
                    None => snapshot.flows.first(),
                    Some(role) => snapshot.flow(role).and_then(|index| snapshot.flows.get(index)),
                };
                let Some(role) = flow else {
                    refuse(*line, unknown_flow(snapshot));
                    continue;
                };
                for name in params.keys() {
                    if let Some(message) = unknown_parameter(&role.flow, name) {
                        refuse(*line, message);
                    }
                }
            }
            Stimulus::Event { line, role, event, .. } => {
                if let Some(message) = unknown_event(snapshot, role, event) {
                    refuse(*line, message);
                }
            }
        }
    }
    for answer in &script.answers {
        for message in unknown_answer(snapshot, answer) {
            refuse(answer.line, message);
        }
    }
    found.sort_by_key(|error| error.line);
    found
}

fn unknown_flow(snapshot: &Snapshot) -> String {
    format!("no such flow: there is {}", listed(snapshot.flows.iter().map(|flow| &flow.role)))
}

fn unknown_start(snapshot: &Snapshot, start: &StartFlow) -> Option<String> {
    let Some(flow) = snapshot.flow(&start.role).and_then(|index| snapshot.flows.get(index)) else {
        return Some(unknown_flow(snapshot));
    };
    let (given, taken) = (start.arguments.len(), flow.flow.parameters.len());
    (given > taken).then(|| format!("the flow `{}` has {taken} parameters, not {given}", start.role))
}

fn unknown_parameter(flow: &Flow, name: &str) -> Option<String> {
    let bare = name.trim_start_matches('$');
    let is_known = flow.parameters.iter().any(|parameter| parameter.name.eq_ignore_ascii_case(bare));
    let known = || listed(flow.parameters.iter().map(|parameter| &parameter.name));
    (!is_known).then(|| format!("the flow has no parameter `{name}`: it has {}", known()))
}

fn unknown_event(snapshot: &Snapshot, role: &str, event: &str) -> Option<String> {
    let Some(device) = snapshot.thing(role).and_then(|thing| snapshot.device(thing)) else {
        let roles = listed(snapshot.bindings.iter().map(|binding| &binding.role));
        return Some(format!("no thing has the role `{role}`: there is {roles}"));
    };
    let events = || listed(device.events.iter().map(|event| &event.name));
    let is_known = device.events.iter().any(|known| known.name.eq_ignore_ascii_case(event));
    (!is_known).then(|| format!("the device of `{role}` has no event `{event}`: it has {}", events()))
}

fn unknown_answer(snapshot: &Snapshot, answer: &Answer) -> Vec<String> {
    let site = &snapshot.site;
    let mut messages = Vec::new();
    let devices = site.devices.iter().flat_map(|device| &device.actions);
    let services = site.services.iter().flat_map(|service| &service.actions);
    let mut offered = devices.chain(services).map(|action| &action.name).chain(called(snapshot));
    if !offered.any(|name| name.eq_ignore_ascii_case(&answer.action)) {
        messages.push(format!("there is no action `{}`: the flow calls {}", answer.action, listed(called(snapshot))));
    }
    if let Some(target) = &answer.target {
        let is_thing = site.things.keys().any(|thing| thing.eq_ignore_ascii_case(target));
        let is_service = site.services.iter().any(|service| service.id.eq_ignore_ascii_case(target));
        if !is_thing && !is_service {
            let known = listed(site.things.keys().chain(site.services.iter().map(|service| &service.id)));
            messages.push(format!("there is no thing or service `{target}`: there is {known}"));
        }
    }
    messages
}

/// The actions that steps call.
fn called(snapshot: &Snapshot) -> impl Iterator<Item = &SmolStr> {
    snapshot.flows.iter().flat_map(|flow| &flow.flow.steps).filter_map(|step| match &step.activity {
        Activity::Device { call, .. } | Activity::Service { call, .. } => Some(&call.action),
        Activity::Choice { .. } => None,
    })
}

/// `a`, `b` and so on, each once; `nothing` for none.
fn listed<'n>(names: impl Iterator<Item = &'n SmolStr>) -> String {
    let mut shown: Vec<&SmolStr> = Vec::new();
    for name in names {
        if !shown.contains(&name) {
            shown.push(name);
        }
    }
    let more = if shown.len() > LISTED { ", .." } else { "" };
    let shown: Vec<String> = shown.iter().take(LISTED).map(|name| format!("`{name}`")).collect();
    if shown.is_empty() { "nothing".to_owned() } else { format!("{}{more}", shown.join(", ")) }
}
