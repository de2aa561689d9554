//! A flow of the text on virtual time (API.md, "simulate").

mod script;

use std::collections::BTreeMap;
use std::sync::Arc;

use marram_flow::Status;
use marram_flow::lower::{BoundFlow, BoundThing, place};
use marram_flow::simulate::{Bounds, Script, Timeline, simulate_within};
use marram_flow::{Site, fault::Fault};
use marram_tdm::check::EntitySource;
use marram_tdm::model::{Flow, Urn};
use serde_json::{Value, json};

use crate::analysis::{self, Findings};
use crate::offsets::Offsets;
use crate::request::{Request, clip};
use crate::scope::is_urn;
use crate::types::Entities;
use crate::{LanguageError, World};

/// Longest script, bytes.
const MAX_SCRIPT_BYTES: usize = 256 * 1024;
/// Where a simulation stops: enough for days of a real flow, little enough for a request.
const BOUNDS: Bounds = Bounds { messages: 20_000, payload_bytes: 8_000_000, happenings: 200_000, executions: 200 };

/// The answer of `simulate`.
pub(crate) fn answer(request: &Request<'_>, world: &dyn World) -> Result<Value, LanguageError> {
    let text = request.text()?;
    let checked = analysis::check(text, world);
    let findings = Findings::new(text, checked.diagnostics.clone());
    let diagnostics = findings.to_json(&Offsets::new(text));
    let Some(flow) = pick(text, &checked.flows, request.optional("flow")?)? else {
        let outcome = json!({ "status": "INVALID", "executions": [], "truncated": false });
        return Ok(json!({ "timeline": [], "outcome": outcome, "script": [], "diagnostics": diagnostics }));
    };
    let entities = Entities { own: &checked.model, world };
    let rows = match request.get("events") {
        Some(events) => given_rows(events)?,
        None => script::made_up(&flow, entities),
    };
    let timeline = run(&flow, &rows, entities).map_err(|message| LanguageError::about("events", message))?;
    Ok(json!({
        "timeline": lines(&timeline),
        "outcome": outcome(&timeline),
        "script": rows,
        "diagnostics": diagnostics,
    }))
}

/// The flow to run; `None` when it has errors.
fn pick(text: &str, good: &[Arc<Flow>], wanted: Option<&str>) -> Result<Option<Arc<Flow>>, LanguageError> {
    let (document, _) = marram_tdm::syntax::parse(text);
    let written = crate::outline::flows(&document);
    let index = crate::scope::pick_flow(&written, wanted)?;
    let id = written[index].urn.as_ref();
    Ok(good.iter().find(|flow| id.is_some_and(|id| flow.id == *id || is_urn(id, flow.id.as_str()))).cloned())
}

/// The lines of a request's script.
fn given_rows(events: &Value) -> Result<Vec<Value>, LanguageError> {
    let refused = |message: String| LanguageError::about("events", message);
    let rows = match events {
        Value::Array(rows) => rows.clone(),
        Value::String(text) => {
            if text.len() > MAX_SCRIPT_BYTES {
                return Err(refused(format!("the script is longer than {MAX_SCRIPT_BYTES} bytes")));
            }
            let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
            let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
            let rows = lines.map(|(number, line)| {
                serde_json::from_str(line).map_err(|error| refused(format!("line {number}: not JSON: {error}")))
            });
            rows.collect::<Result<_, _>>()?
        }
        Value::Object(members) => match members.get("lines") {
            Some(lines) if !lines.is_object() => return given_rows(lines),
            _ => vec![events.clone()],
        },
        _ => return Err(refused("expected a list of script lines".to_owned())),
    };
    Ok(rows)
}

fn run(flow: &Arc<Flow>, rows: &[Value], entities: Entities<'_>) -> Result<Timeline, String> {
    let text: Vec<String> = rows.iter().map(Value::to_string).collect();
    let text = text.join("\n");
    if text.len() > MAX_SCRIPT_BYTES {
        return Err(format!("the script is longer than {MAX_SCRIPT_BYTES} bytes"));
    }
    let script = Script::parse(&text).map_err(|error| error.to_string())?;
    let mut things = Vec::with_capacity(script.things.len());
    for thing in &script.things {
        let device = Urn::parse(&thing.device).map_err(|error| format!("thing `{}`: {error}", clip(&thing.thing)))?;
        // Modbus calls are answered by the script; the address only keeps calls of one thing in line
        let modbus_endpoint = Some(format!("{}:502", thing.thing).into());
        things.push(BoundThing { role: thing.role.clone(), thing: thing.thing.clone(), device, modbus_endpoint });
    }
    let mut home = flow.id.namespace().split('/');
    let region = home.next().filter(|region| !region.is_empty()).unwrap_or("us-east-1").to_owned();
    let account = home.next().unwrap_or("000000000000").to_owned();
    let namespace = format!("urn:tdm:{region}/{account}/default");
    let site = Site::new(
        region.as_str(),
        account.as_str(),
        format!("{namespace}:Deployment:Simulation"),
        format!("{namespace}:System:Simulation"),
    );
    let bound = BoundFlow { role: flow.name.clone(), flow: flow.clone(), revision: 1 };
    let snapshot = place(&|id| entities.entity(id), site, &[bound], &things).map_err(|error| error.to_string())?;
    simulate_within(&snapshot, &script, BOUNDS).map_err(|fault: Fault| fault.message)
}

fn lines(timeline: &Timeline) -> Vec<Value> {
    let details = timeline.lines.iter().map(|line| serde_json::from_str(line.payload.get()).unwrap_or(Value::Null));
    let details: Vec<Value> = details.collect();
    let steps = steps(timeline, &details);
    let mut all: Vec<(u64, Value)> = Vec::with_capacity(timeline.lines.len() + timeline.problems.len());
    for ((line, detail), step) in timeline.lines.iter().zip(details).zip(steps) {
        let value = json!({
            "at_ms": line.at, "kind": line.event_type, "execution": line.execution, "step": step, "detail": detail,
        });
        all.push((line.at, value));
    }
    for (at, problem) in &timeline.problems {
        let detail = json!({ "message": problem });
        let value = json!({ "at_ms": at, "kind": "PROBLEM", "execution": null, "step": null, "detail": detail });
        all.push((*at, value));
    }
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, value)| value).collect()
}

/// The step each message is about. Messages about a task do not name it: the task was made by the step whose activity
/// started last, and its end is told right before the activity's.
fn steps(timeline: &Timeline, details: &[Value]) -> Vec<Option<String>> {
    let named = |detail: &Value| detail.get("stepName").and_then(Value::as_str).map(ToOwned::to_owned);
    let task = |detail: &Value| detail.get("taskId").map(Value::to_string);
    let mut steps: Vec<Option<String>> = details.iter().map(named).collect();
    let mut started: BTreeMap<usize, String> = BTreeMap::new();
    let mut tasks: BTreeMap<(usize, String), String> = BTreeMap::new();
    for (index, line) in timeline.lines.iter().enumerate() {
        match (line.event_type, task(&details[index])) {
            ("ACTIVITY_STARTED", _) => started.extend(steps[index].clone().map(|step| (line.execution, step))),
            ("THING_ACTION_TASK", Some(task)) => {
                steps[index] = started.get(&line.execution).cloned();
                tasks.extend(steps[index].clone().map(|step| ((line.execution, task), step)));
            }
            (_, Some(task)) => steps[index] = tasks.get(&(line.execution, task)).cloned(),
            _ => {}
        }
    }
    let mut ends: BTreeMap<usize, String> = BTreeMap::new();
    for (index, line) in timeline.lines.iter().enumerate().rev() {
        match (line.event_type, &steps[index]) {
            ("ACTIVITY_SUCCEEDED" | "ACTIVITY_FAILED", Some(step)) => {
                ends.insert(line.execution, step.clone());
            }
            ("THING_ACTION_TASK_SUCCEEDED" | "THING_ACTION_TASK_FAILED", None) => {
                steps[index] = ends.get(&line.execution).cloned();
            }
            _ => {}
        }
    }
    steps
}

fn outcome(timeline: &Timeline) -> Value {
    // the worst of all executions is what the page says in one word
    let rank = |status: Status| match status {
        Status::Failed => 3,
        Status::Aborted => 2,
        Status::Running => 1,
        Status::Succeeded => 0,
    };
    let worst = timeline.executions.iter().map(|run| run.status).max_by_key(|status| rank(*status));
    let executions = timeline.executions.iter().map(|run| {
        let mut one = json!({ "id": run.id, "trigger": run.trigger, "status": run.status.as_str() });
        if let Some(error) = &run.error {
            one["error"] = json!({ "name": error.name, "message": error.message });
        }
        one
    });
    json!({
        "status": worst.map_or("NOT_STARTED", Status::as_str),
        "executions": executions.collect::<Vec<_>>(),
        "truncated": timeline.is_truncated,
    })
}
