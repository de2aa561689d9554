//! One attempt of an activity: arguments in, request out, reply decoded, `out` assigned (TG 6.4).

use std::sync::Arc;

use marram_expr::Value;
use serde_json::{Value as Json, json};
use smol_str::SmolStr;

use super::Machine;
use super::recover::At;
use crate::exchange::{self, Target};
use crate::execution::{Effect, Phase, Sink, Stage, TaskId};
use crate::fault::{self, Fault};
use crate::message::EventType;
use crate::program::{Action, Activity, Call, Rule};
use crate::request::{Reply, Request};
use crate::scope;

/// A request ready to go, and what is needed to understand its reply.
struct Prepared {
    request: Request,
    thing: SmolStr,
    entity: u16,
    action: u16,
    inputs: Json,
    timeout_ms: u64,
}

impl<'a, S: Sink> Machine<'a, S> {
    /// Makes an attempt: of a choice at once, of an action by dispatching its request.
    pub(super) fn run_activity(&mut self, step: u16) {
        let attempt = {
            let Some(run) = &mut self.exec.steps[usize::from(step)].run else { return };
            run.attempts += 1;
            run.attempts
        };
        match &self.flow_step(step).activity {
            Activity::Choice { rules, default } => {
                self.scheduled(step, attempt, "ChoiceActivity", json!({}));
                self.say(
                    EventType::ActivityStarted,
                    |machine| json!({"stepName": machine.flow_step(step).name, "attempt": attempt}),
                );
                let mut events = Vec::new();
                match self.choose(step, rules).and_then(|rule| {
                    let acts = rule.map_or(default, |rule| &rule.acts);
                    self.act(step, acts, None, &mut events).map(|()| rule)
                }) {
                    Err(fault) => self.step_failed(step, fault, At::Activity),
                    Ok(rule) => {
                        self.say(EventType::ActivitySucceeded, |machine| {
                            let name = rule.map_or(Some("default"), |rule| rule.name.as_deref());
                            json!({"stepName": machine.flow_step(step).name, "rule": name,
                                   "events": machine.event_names(&events)})
                        });
                        self.step_succeeded(step, events);
                    }
                }
            }
            Activity::Device { .. } | Activity::Service { .. } => match self.prepare(step) {
                Err(fault) => self.step_failed(step, fault, At::Activity),
                Ok(prepared) => self.dispatch(step, attempt, prepared),
            },
        }
    }

    fn scheduled(&mut self, step: u16, attempt: u32, activity: &str, inputs: Json) {
        self.say(EventType::ActivityScheduled, |machine| {
            json!({"stepName": machine.flow_step(step).name, "activity": activity, "attempt": attempt, "inputs": inputs})
        });
    }

    /// The first rule that holds; `None` for the default.
    fn choose(&self, step: u16, rules: &'a [Rule]) -> Result<Option<&'a Rule>, Fault> {
        for rule in rules {
            if scope::test(&rule.expr, &self.scope(step, "", None))? {
                return Ok(Some(rule));
            }
        }
        Ok(None)
    }

    fn prepare(&self, step: u16) -> Result<Prepared, Fault> {
        let site = &*self.program.site;
        let definition = self.flow_step(step);
        let (thing, entity, actions, call, timeout_ms) = match &definition.activity {
            Activity::Device { model, pinned, thing, call } => {
                let name = scope::eval_text(thing, &self.scope(step, "", None))?;
                let bound = site.things.get(&name).ok_or_else(|| {
                    Fault::new(fault::DEVICE_NOT_BOUND, format!("thing `{name}` is bound to no role of the deployment"))
                })?;
                let entity = match pinned {
                    None => Some(bound.device),
                    Some(pin) => (site.devices.iter().zip(0..))
                        .find_map(|(device, index)| device.id.eq_ignore_ascii_case(pin).then_some(index)),
                };
                let device = entity.and_then(|entity| site.devices.get(usize::from(entity)));
                let implements = |id: &SmolStr| id.eq_ignore_ascii_case(model);
                let (Some(entity), Some(device)) =
                    (entity, device.filter(|device| implements(&device.id) || device.models.iter().any(implements)))
                else {
                    let message = format!("thing `{name}` does not implement `{model}`");
                    return Err(Fault::new(fault::DEVICE_NOT_BOUND, message));
                };
                (name, entity, &device.actions, call, site.device_timeout_ms)
            }
            Activity::Service { service, call } => {
                let (entity, service) = (site.services.iter().zip(0..))
                    .find_map(|(entry, index)| entry.id.eq_ignore_ascii_case(service).then_some((index, entry)))
                    .ok_or_else(|| {
                        Fault::new(fault::REQUEST_INVALID, format!("no service `{service}` in the deployment"))
                    })?;
                (SmolStr::default(), entity, &service.actions, call, site.service_timeout_ms)
            }
            Activity::Choice { .. } => unreachable!("a choice is not dispatched"),
        };
        let (action, index) = find_action(actions, call)?;
        let inputs = self.inputs(step, &thing, action, call)?;
        let target = Target { program: self.program, exec: self.exec, step: &definition.name, thing: &thing, entity };
        let request = exchange::request(&target, action, &inputs)?;
        let trace = if S::TRACE { exchange::inputs_json(action, &inputs) } else { Json::Null };
        let timeout_ms = definition.timeout_ms.unwrap_or(timeout_ms);
        Ok(Prepared { request, thing, entity, action: index, inputs: trace, timeout_ms })
    }

    /// Evaluates and coerces the arguments, one value per input of the action.
    fn inputs(&self, step: u16, thing: &str, action: &Action, call: &Call) -> Result<Vec<Value>, Fault> {
        let scope = self.scope(step, thing, None);
        let value = |input: &crate::program::ActionInput| {
            let given = match call.args.iter().find(|arg| arg.name.eq_ignore_ascii_case(&input.name)) {
                None => Value::Null,
                Some(arg) => arg.conversion.apply(scope::eval_value(&arg.value, &scope)?, &input.property)?,
            };
            match (given, &input.default) {
                (Value::Null, Some(default)) => Ok(default.clone()),
                (Value::Null, None) if input.is_required => {
                    Err(Fault::new(fault::TYPE_ERROR, format!("argument `{}` is required", input.name)))
                }
                (value, _) => Ok(value),
            }
        };
        action.inputs.iter().map(value).collect()
    }

    fn dispatch(&mut self, step: u16, attempt: u32, prepared: Prepared) {
        let activity = match self.flow_step(step).activity {
            Activity::Service { .. } => "WebServiceActivity",
            _ => "DeviceActivity",
        };
        self.scheduled(step, attempt, activity, prepared.inputs);
        let task = self.exec.next_task;
        self.exec.next_task += 1;
        let request = Arc::new(prepared.request);
        let now = self.exec.now;
        if let Some(run) = &mut self.exec.steps[usize::from(step)].run {
            run.phase = Phase::InFlight {
                task,
                since: now,
                deadline: now.plus(prepared.timeout_ms),
                stage: None,
                request: Arc::clone(&request),
                thing: prepared.thing,
                entity: prepared.entity,
                action: prepared.action,
            };
        }
        self.sink.effect(Effect::Dispatch { task, request });
    }

    /// Tells of every stage up to `reached` that was not told yet.
    pub(super) fn catch_up(&mut self, step: u16, reached: Stage) {
        let Some(run) = &mut self.exec.steps[usize::from(step)].run else { return };
        let attempt = run.attempts;
        let Phase::InFlight { task, stage, .. } = &mut run.phase else { return };
        let (task, told) = (*task, *stage);
        *stage = told.max(Some(reached));
        for next in [Stage::Started, Stage::Sent, Stage::Accepted] {
            if Some(next) <= told || next > reached {
                continue;
            }
            match next {
                Stage::Started => self.say(
                    EventType::ActivityStarted,
                    |machine| json!({"stepName": machine.flow_step(step).name, "attempt": attempt}),
                ),
                Stage::Sent => self.say(EventType::ThingActionTask, |machine| machine.request_json(step, task)),
                Stage::Accepted => {
                    self.say(EventType::AcknowledgeTaskMessage, |_| json!({"taskId": task.to_string()}));
                }
            }
        }
    }

    fn request_json(&self, step: u16, task: TaskId) -> Json {
        match &self.exec.steps[usize::from(step)].run.as_deref().map(|run| &run.phase) {
            Some(Phase::InFlight { request, .. }) => {
                let mut payload = request.to_json();
                payload["taskId"] = task.to_string().into();
                payload
            }
            _ => Json::Null,
        }
    }

    /// The transport took the request: the end of an action that declares no response.
    pub(super) fn accepted(&mut self, step: u16) {
        let expects_reply = match &self.exec.steps[usize::from(step)].run.as_deref().map(|run| &run.phase) {
            Some(Phase::InFlight { request, .. }) => request.expects_reply(),
            _ => true,
        };
        if !expects_reply {
            self.attempt_succeeded(step, &Reply::Empty);
        }
    }

    pub(super) fn replied(&mut self, task: TaskId, reply: &Reply) {
        let Some(step) = self.step_of(task) else { return };
        self.catch_up(step, Stage::Accepted);
        self.attempt_succeeded(step, reply);
    }

    pub(super) fn failed(&mut self, task: TaskId, fault: Fault) {
        let Some(step) = self.step_of(task) else { return };
        self.attempt_failed(step, fault);
    }

    /// The action a step's attempt in flight called, and when it was dispatched.
    fn action_in_flight(&self, step: u16) -> Option<(&'a Action, crate::Time)> {
        let run = self.exec.steps[usize::from(step)].run.as_deref()?;
        let Phase::InFlight { entity, action, since, .. } = &run.phase else { return None };
        let site = &self.program.site;
        let (entity, action) = (usize::from(*entity), usize::from(*action));
        let actions = match self.flow_step(step).activity {
            Activity::Service { .. } => &site.services.get(entity)?.actions,
            _ => &site.devices.get(entity)?.actions,
        };
        Some((actions.get(action)?, *since))
    }

    fn attempt_succeeded(&mut self, step: u16, reply: &Reply) {
        let Some((action, since)) = self.action_in_flight(step) else { return };
        let value = match exchange::decode(action, reply) {
            Ok(value) => value,
            Err(fault) => return self.attempt_failed(step, fault),
        };
        let duration_ms = self.exec.now.since(since);
        self.say(
            EventType::ThingActionTaskSucceeded,
            |_| json!({"result": scope::json(&value), "durationMs": duration_ms}),
        );
        let out = match &self.flow_step(step).activity {
            Activity::Device { call, .. } | Activity::Service { call, .. } => call.out.as_ref(),
            Activity::Choice { .. } => None,
        };
        if let Some(out) = out
            && let Err(fault) = self.assign(out.variable, &[], &out.conversion, value.clone())
        {
            return self.step_failed(step, fault, At::Activity);
        }
        self.say(EventType::ActivitySucceeded, |machine| {
            let variable = out.map(|out| &machine.program.flow.variables[usize::from(out.variable)].name);
            json!({"stepName": machine.flow_step(step).name, "out": variable, "value": scope::json(&value)})
        });
        self.step_succeeded(step, Vec::new());
    }

    pub(super) fn attempt_failed(&mut self, step: u16, fault: Fault) {
        self.catch_up(step, Stage::Started);
        if let Some((_, since)) = self.action_in_flight(step) {
            let duration_ms = self.exec.now.since(since);
            self.say(
                EventType::ThingActionTaskFailed,
                |_| json!({"error": fault.name, "errorMessage": fault.message, "durationMs": duration_ms}),
            );
        }
        self.step_failed(step, fault, At::Activity);
    }
}

fn find_action<'s>(actions: &'s [Action], call: &Call) -> Result<(&'s Action, u16), Fault> {
    (actions.iter().zip(0..))
        .find(|(action, _)| action.name.eq_ignore_ascii_case(&call.action))
        .ok_or_else(|| Fault::new(fault::REQUEST_INVALID, format!("no action `{}` is implemented", call.action)))
}
