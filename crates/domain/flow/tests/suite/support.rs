//! Flows built by hand: a site with one MQTT thing, steps as short calls.
#![allow(dead_code)] // each test binary uses its part

use std::sync::Arc;

use marram_expr::{DataType, PropertyType, Value, classify, parse_event_expr, parse_expr, parse_template};
use marram_flow::convert::Conversion;
use marram_flow::event::{Gate, Join};
use marram_flow::program::*;
use marram_flow::{Effect, EventType, Execution, Fault, Input, Origin, Program, Reply, Request, TaskId, Time, step};

pub fn property(data_type: DataType) -> Arc<PropertyType> {
    Arc::new(PropertyType::built_in(data_type))
}

/// Thing `valve-1` with actions `ping()`, `sample() -> Int32`, `dose(litres Float32)`.
pub fn site() -> Site {
    let mut site = Site::new("eu-local-1", "100200300400", "urn:tdm:x:Deployment:Bed7", "urn:tdm:x:System:Irrigation");
    let action = |name: &str, inputs: Vec<ActionInput>, params: Vec<RequestParam>, returns: Option<DataType>| Action {
        name: name.into(),
        inputs,
        returns: returns.clone().map(property),
        operation: Operation::Publish {
            topic: parse_template(&format!("${{systemRuntime.deviceId}}/{name}")).unwrap(),
            params,
            response: returns.map(|data_type| PublishResponse {
                topic: parse_template(&format!("${{systemRuntime.deviceId}}/{name}/done")).unwrap(),
                property: Some(property(data_type)),
            }),
        },
    };
    let litres = ActionInput {
        name: "litres".into(),
        property: property(DataType::Float32),
        is_required: false,
        default: None,
        is_secret: false,
    };
    let l = RequestParam {
        name: "l".into(),
        property: Some(property(DataType::Float32)),
        value: ParamValue::Expr(classify("${litres.value}").unwrap()),
    };
    site.devices.push(Device {
        id: "urn:tdm:x:Device:AcmeValve".into(),
        models: vec!["urn:tdm:x:DeviceModel:Valve".into()],
        actions: vec![
            action("ping", vec![], vec![], None),
            action("sample", vec![], vec![], Some(DataType::Int32)),
            action("dose", vec![litres], vec![l], None),
        ],
        events: vec![],
    });
    site.things.insert("valve-1".into(), Thing { device: 0, roles: vec!["valve".into()], modbus_endpoint: None });
    site
}

/// A flow under construction.
pub struct Build {
    pub flow: Flow,
}

pub fn flow() -> Build {
    Build {
        flow: Flow {
            id: "urn:tdm:x:Workflow:Irrigate".into(),
            revision: 3,
            parameters: vec![],
            variables: vec![],
            events: vec![],
            steps: vec![],
        },
    }
}

/// A step by its texts; unset parts are absent.
#[derive(Default, Clone)]
pub struct S<'a> {
    pub name: &'a str,
    /// Comma list, or an expression when it holds an operator.
    pub when: &'a str,
    pub out: &'a [&'a str],
    pub condition: &'a str,
    pub timeout_ms: Option<u64>,
    /// `ping`, `sample`, `dose`; or empty for a choice.
    pub action: &'a str,
    pub thing: &'a str,
    pub args: &'a [(&'a str, &'a str)],
    pub result: &'a str,
    /// (expr, events); the default emits nothing.
    pub rules: &'a [(&'a str, &'a [&'a str])],
    pub default: &'a [&'a str],
    /// (errors, interval, rate, attempts)
    pub retries: &'a [(&'a [&'a str], u64, f64, u32)],
    /// (errors, events)
    pub catches: &'a [(&'a [&'a str], &'a [&'a str])],
    /// (condition, events on pass, events on fail)
    pub checks: &'a [(&'a str, &'a [&'a str], &'a [&'a str])],
}

impl Build {
    pub fn parameter(mut self, name: &str, data_type: DataType, is_required: bool, default: Option<Value>) -> Self {
        let is_secret = name.starts_with("secret");
        self.flow.parameters.push(Parameter {
            name: name.into(),
            property: property(data_type),
            is_required,
            default,
            is_secret,
        });
        self
    }

    pub fn variable(mut self, name: &str, data_type: DataType) -> Self {
        let property = property(data_type);
        self.flow.variables.push(Variable { name: name.into(), property, initial: Value::Null, is_secret: false });
        self
    }

    fn event(&mut self, name: &str) -> u16 {
        let name = name.trim();
        let at = self.flow.events.iter().position(|known| known == name).unwrap_or_else(|| {
            self.flow.events.push(name.into());
            self.flow.events.len() - 1
        });
        at.try_into().unwrap()
    }

    fn emits(&mut self, events: &[&str]) -> Vec<Act> {
        events.iter().map(|event| Act::Emit(self.event(event))).collect()
    }

    fn gate(&mut self, expr: &marram_expr::EventExpr, inlets: &mut Vec<u16>) -> Gate {
        use marram_expr::EventExpr as E;
        match expr {
            E::Event(name) => {
                let event = self.event(name);
                let at = inlets.iter().position(|known| *known == event).unwrap_or_else(|| {
                    inlets.push(event);
                    inlets.len() - 1
                });
                Gate::Event(at.try_into().unwrap())
            }
            E::Not(inner) => Gate::Not(Box::new(self.gate(inner, inlets))),
            E::And(a, b) => Gate::And(Box::new(self.gate(a, inlets)), Box::new(self.gate(b, inlets))),
            E::Or(a, b) => Gate::Or(Box::new(self.gate(a, inlets)), Box::new(self.gate(b, inlets))),
        }
    }

    pub fn step(mut self, s: S<'_>) -> Self {
        let mut inlets = Vec::new();
        let join = if s.when.is_empty() {
            Join::Start
        } else if s.when.contains(['&', '|', '!']) {
            let expr = parse_event_expr(s.when).unwrap();
            Join::Expr(self.gate(&expr, &mut inlets))
        } else {
            inlets = s.when.split(',').map(|event| self.event(event)).collect();
            Join::All((0..inlets.len() as u16).collect())
        };
        let activity = if s.action.is_empty() {
            let rules = s.rules.iter().map(|(expr, events)| Rule {
                name: Some(expr.to_string().into()),
                expr: parse_expr(expr).unwrap(),
                acts: self.emits(events),
            });
            Activity::Choice { rules: rules.collect(), default: self.emits(s.default) }
        } else {
            let variable = |name: &str| self.flow.variables.iter().position(|known| known.name == name).unwrap();
            let out = (!s.result.is_empty())
                .then(|| Out { variable: variable(s.result).try_into().unwrap(), conversion: Conversion::Coerce });
            let args = s.args.iter().map(|(name, value)| Argument {
                name: (*name).into(),
                value: classify(value).unwrap(),
                conversion: Conversion::Coerce,
            });
            Activity::Device {
                model: "urn:tdm:x:devicemodel:valve".into(),
                pinned: None,
                thing: classify(if s.thing.is_empty() { "valve-1" } else { s.thing }).unwrap(),
                call: Call { action: s.action.into(), args: args.collect(), out },
            }
        };
        let errors = |names: &[&str]| Selector::Errors(names.iter().map(|name| (*name).into()).collect());
        let retries = s.retries.iter().map(|(names, interval_ms, backoff_rate, max_attempts)| Retry {
            name: None,
            selector: errors(names),
            interval_ms: *interval_ms,
            backoff_rate: *backoff_rate,
            max_attempts: *max_attempts,
        });
        let retries = retries.collect();
        let catches = s.catches.iter().map(|(names, events)| Catch {
            name: Some(format!("catch {}", names.join("+")).into()),
            selector: errors(names),
            acts: self.emits(events),
        });
        let catches = catches.collect();
        let checks = s.checks.iter().map(|(condition, pass, fail)| Check {
            name: None,
            condition: parse_expr(condition).unwrap(),
            on_pass: self.emits(pass),
            on_fail: self.emits(fail),
        });
        let checks = checks.collect();
        let out_events = s.out.iter().map(|event| self.event(event)).collect();
        self.flow.steps.push(Step {
            name: s.name.into(),
            inlets,
            join,
            out_events,
            condition: (!s.condition.is_empty()).then(|| parse_expr(s.condition).unwrap()),
            timeout_ms: s.timeout_ms,
            activity,
            retries,
            catches,
            checks,
        });
        self
    }

    pub fn build(self) -> Program {
        Program::new(Arc::new(self.flow), Arc::new(site()))
    }
}

/// An execution and everything it said and did.
pub struct Run {
    pub program: Program,
    pub exec: Execution,
    pub now: Time,
    pub journal: Vec<(Input, Time)>,
    pub log: Vec<Effect>,
}

pub const START: Time = Time(1_772_341_200_000);

impl Run {
    pub fn new(program: Program, params: Vec<Value>) -> Self {
        let origin = Origin { id: "exec-1".into(), trigger: "Hourly".into(), params };
        let exec = Execution::new(&program, origin, START);
        Self { program, exec, now: START, journal: vec![], log: vec![] }
    }

    pub fn start(program: Program, params: Vec<Value>) -> Self {
        let mut run = Self::new(program, params);
        run.feed(Input::Start);
        run
    }

    pub fn feed(&mut self, input: Input) -> &mut Self {
        self.journal.push((input.clone(), self.now));
        self.log.extend(step(&self.program, &mut self.exec, input, self.now));
        self
    }

    pub fn after(&mut self, ms: u64) -> &mut Self {
        self.now = self.now.plus(ms);
        self
    }

    pub fn in_flight(&self) -> Vec<(TaskId, String)> {
        let action = |request: &Request| match request {
            Request::Publish(publish) => publish.action.to_string(),
            other => format!("{other:?}"),
        };
        self.exec.in_flight().map(|(task, request)| (task, action(request))).collect()
    }

    pub fn task(&self, action: &str) -> TaskId {
        let tasks = self.in_flight();
        tasks.iter().find(|(_, name)| name == action).unwrap_or_else(|| panic!("no {action} in {tasks:?}")).0
    }

    pub fn accept(&mut self, action: &str) -> &mut Self {
        let task = self.task(action);
        self.feed(Input::Progress { task, stage: marram_flow::Stage::Accepted })
    }

    pub fn reply(&mut self, action: &str, payload: &str) -> &mut Self {
        let task = self.task(action);
        self.feed(Input::Replied { task, reply: Reply::Payload(payload.into()) })
    }

    pub fn fail(&mut self, action: &str, error: &str) -> &mut Self {
        let task = self.task(action);
        self.feed(Input::Failed { task, fault: Fault::new(error, "as told") })
    }

    /// `EVENT_TYPE stepName` of every message.
    pub fn trace(&self) -> Vec<String> {
        let line = |effect: &Effect| match effect {
            Effect::Message(message) => {
                let payload: serde_json::Value = serde_json::from_str(&message.payload).unwrap();
                let step = payload.get("stepName").and_then(|name| name.as_str());
                Some([Some(message.event_type.as_str()), step].into_iter().flatten().collect::<Vec<_>>().join(" "))
            }
            _ => None,
        };
        self.log.iter().filter_map(line).collect()
    }

    /// Payload of the last message of that type.
    pub fn last(&self, event_type: EventType) -> serde_json::Value {
        let found = self.log.iter().rev().find_map(|effect| match effect {
            Effect::Message(message) if message.event_type == event_type => Some(&message.payload),
            _ => None,
        });
        serde_json::from_str(found.unwrap_or_else(|| panic!("no {event_type:?} in {:?}", self.trace()))).unwrap()
    }

    /// How often each step activated.
    pub fn activations(&self) -> Vec<u32> {
        self.exec.steps().iter().map(|state| state.activations).collect()
    }
}
