//! Scripts of the simulator: JSON lines, strict, with the line number in every error.

use marram_expr::TriggerCondition;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use smol_str::SmolStr;

use crate::fault::Fault;
use crate::snapshot::{Condition, StartFlow, Trigger};

/// Longest script, bytes.
pub const MAX_SCRIPT_BYTES: usize = 16 * 1024 * 1024;

/// A parsed script.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// Things and what they are.
    pub things: Vec<ScriptThing>,
    /// Triggers to arm.
    pub triggers: Vec<Trigger>,
    /// Where the triggers stand, from 1, in their order.
    pub trigger_lines: Vec<usize>,
    /// Starts and events.
    pub stimuli: Vec<Stimulus>,
    /// How calls are answered.
    pub answers: Vec<Answer>,
    /// Virtual end, milliseconds.
    pub until: Option<u64>,
}

/// A thing of the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptThing {
    /// Thing name.
    pub thing: SmolStr,
    /// URN of its device entity.
    pub device: SmolStr,
    /// Role it plays.
    pub role: SmolStr,
}

/// What happens to the deployment from outside.
#[derive(Debug, Clone)]
pub enum Stimulus {
    /// A start by hand.
    Start {
        /// Where it stands, from 1.
        line: usize,
        /// Virtual milliseconds.
        at: u64,
        /// Flow role; `None`: the first.
        flow: Option<SmolStr>,
        /// By parameter name.
        params: Map<String, Json>,
    },
    /// An event of a device.
    Event {
        /// Where it stands, from 1.
        line: usize,
        /// Virtual milliseconds.
        at: u64,
        /// Role of the device.
        role: SmolStr,
        /// Event name.
        event: SmolStr,
        /// What the device sends.
        payload: Json,
    },
}

impl Stimulus {
    /// When, in virtual milliseconds.
    pub fn at(&self) -> u64 {
        match self {
            Self::Start { at, .. } | Self::Event { at, .. } => *at,
        }
    }
}

/// How calls of an action are answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Where it stands, from 1.
    pub line: usize,
    /// Action name.
    pub action: SmolStr,
    /// Thing name or service URN; `None`: any.
    pub target: Option<SmolStr>,
    /// Delay, milliseconds.
    pub after: u64,
    /// Calls it serves before the next answer's turn.
    pub times: u32,
    /// The answer.
    pub outcome: Outcome,
}

/// An answer.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// A response.
    Reply {
        /// Payload or body.
        payload: Json,
        /// HTTP status.
        status: u16,
    },
    /// A failure.
    Fail(Fault),
    /// None.
    Silent,
}

/// A line that is no script line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScriptError {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Row {
    Until(Until),
    Trigger(TriggerRow),
    Start(StartRow),
    Event(EventRow),
    Answer(AnswerRow),
    Thing(ThingRow),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Until {
    until: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TriggerRow {
    trigger: SmolStr,
    condition: String,
    actions: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StartRow {
    #[serde(default)]
    at: u64,
    start: Map<String, Json>,
    flow: Option<SmolStr>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventRow {
    #[serde(default)]
    at: u64,
    event: SmolStr,
    role: SmolStr,
    #[serde(default)]
    payload: Json,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerRow {
    on: SmolStr,
    thing: Option<SmolStr>,
    service: Option<SmolStr>,
    #[serde(default)]
    after: u64,
    times: Option<u32>,
    reply: Option<Json>,
    status: Option<u16>,
    fail: Option<SmolStr>,
    #[serde(default)]
    message: String,
    #[serde(default)]
    silent: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ThingRow {
    thing: SmolStr,
    device: SmolStr,
    role: Option<SmolStr>,
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// [`ScriptError`] for the first line that is none.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        if text.len() > MAX_SCRIPT_BYTES {
            return Err(ScriptError { line: 1, message: "script larger than 16 MiB".to_owned() });
        }
        let mut script = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            script.take(index + 1, line).map_err(|message| ScriptError { line: index + 1, message })?;
        }
        Ok(script)
    }

    fn take(&mut self, line: usize, text: &str) -> Result<(), String> {
        let json: Json = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        let row = serde_json::from_value(json)
            .map_err(|_| "not a thing, trigger, start, event, answer (`on`) or `until`".to_owned())?;
        match row {
            Row::Until(row) => self.until = Some(row.until),
            Row::Thing(row) => {
                let role = row.role.unwrap_or_else(|| row.thing.clone());
                self.things.push(ScriptThing { thing: row.thing, device: row.device, role });
            }
            Row::Start(row) => {
                self.stimuli.push(Stimulus::Start { line, at: row.at, flow: row.flow, params: row.start });
            }
            Row::Event(row) => {
                let EventRow { at, event, role, payload } = row;
                self.stimuli.push(Stimulus::Event { line, at, role, event, payload });
            }
            Row::Answer(row) => self.answers.push(answer(line, row)?),
            Row::Trigger(row) => {
                self.triggers.push(trigger(row)?);
                self.trigger_lines.push(line);
            }
        }
        Ok(())
    }
}

fn answer(line: usize, row: AnswerRow) -> Result<Answer, String> {
    let outcome = match (row.reply, row.fail, row.silent) {
        (Some(payload), None, false) => Outcome::Reply { payload, status: row.status.unwrap_or(200) },
        (None, Some(name), false) => Outcome::Fail(Fault::new(name, row.message)),
        (None, None, true) => Outcome::Silent,
        (None, None, false) if row.status.is_some() => {
            Outcome::Reply { payload: Json::Null, status: row.status.unwrap_or(200) }
        }
        _ => return Err("an answer has exactly one of `reply`, `fail`, `silent`".to_owned()),
    };
    let target = row.thing.or(row.service);
    Ok(Answer { line, action: row.on, target, after: row.after, times: row.times.unwrap_or(1), outcome })
}

fn trigger(row: TriggerRow) -> Result<Trigger, String> {
    let condition = match marram_expr::parse_trigger_condition(&row.condition).map_err(|error| error.to_string())? {
        TriggerCondition::Clock(clock) => Condition::Clock { count: clock.count, unit: clock.unit },
        TriggerCondition::Event(expr) => {
            let events = expr.last_events().iter().map(|(role, event)| ((*role).into(), (*event).into())).collect();
            Condition::Event { expr, events }
        }
    };
    let actions = row.actions.iter().map(|action| {
        let start = marram_expr::parse_start_flow(action).map_err(|error| error.to_string())?;
        Ok(StartFlow { role: start.flow, arguments: start.args })
    });
    let actions = actions.collect::<Result<Vec<_>, String>>()?;
    if actions.is_empty() {
        return Err("a trigger has at least one action".to_owned());
    }
    Ok(Trigger { name: row.trigger, condition, actions })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wrong line is named by its number and says what would be right.
    #[test]
    fn wrong_lines_are_named() {
        let table = [
            ("# ok\n{\"until\": 5}\n{\"at\": 1}", 3, "not a thing"),
            ("{\"on\": \"x\"}", 1, "exactly one"),
            ("{\"on\": \"x\", \"reply\": 1, \"silent\": true}", 1, "exactly one"),
            ("{\"trigger\": \"t\", \"condition\": \"every 1 hour\", \"actions\": []}", 1, "at least one"),
            ("{\"trigger\": \"t\", \"condition\": \"1 +\", \"actions\": [\"x\"]}", 1, "at byte"),
            ("\n\nnope", 3, "not JSON"),
        ];
        for (text, line, part) in table {
            let error = Script::parse(text).unwrap_err();
            assert_eq!(error.line, line, "{text}");
            assert!(error.message.contains(part), "{error}");
        }
    }
}
