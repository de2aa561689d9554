//! Triggers as nodes: those of a deployment, and those stored with a flow (TG 3.13, 3.14).

use marram_expr::TriggerCondition;
use marram_tdm::syntax::ast::Selection;
use serde_json::{Value, json};

use super::{Members, set};
use crate::outline::{children, text_of};

/// A trigger as it is written.
pub(crate) struct Trigger<'t> {
    pub written: &'t Selection,
    pub condition: Option<&'t str>,
    pub actions: Vec<&'t str>,
}

/// A device role and one of its events that a condition names.
pub(crate) type Listened = (String, String);

impl<'t> Trigger<'t> {
    pub fn new(written: &'t Selection) -> Self {
        let part = |word: &'static str| children(written).filter(move |part| part.name.is(word));
        let text = |part: &'t Selection| text_of(part, "expr").map(|text| text.as_str());
        Trigger {
            written,
            condition: part("condition").next().and_then(text),
            actions: part("action").filter_map(text).collect(),
        }
    }

    pub fn name(&self) -> &'t str {
        self.written.name.text.as_str()
    }

    pub fn is_clock(&self) -> bool {
        matches!(
            marram_expr::parse_trigger_condition(self.condition.unwrap_or_default()),
            Ok(TriggerCondition::Clock(_))
        )
    }

    /// The events its condition names, each once.
    pub fn listens(&self) -> Vec<Listened> {
        let condition = marram_expr::parse_trigger_condition(self.condition.unwrap_or_default());
        let Ok(TriggerCondition::Event(expr)) = condition else { return Vec::new() };
        let mut all: Vec<Listened> = Vec::new();
        for (role, event) in expr.last_events() {
            if !all.iter().any(|(known, name)| known == role && name == event) {
                all.push((role.to_owned(), event.to_owned()));
            }
        }
        all
    }

    /// What to write large: the clock, or the events, else what is written.
    fn title(&self) -> String {
        let listened = self.listens();
        let condition = self.condition.unwrap_or_default().trim();
        if !listened.is_empty() {
            let events: Vec<String> = listened.iter().map(|(role, event)| format!("{role}.{event}")).collect();
            return events.join(", ");
        }
        // the designer stores short conditions over `lastEvent` (TG 3.14), and empty ones
        if condition.is_empty() { self.name().to_owned() } else { condition.to_owned() }
    }

    /// The members of a node that all triggers have.
    pub fn describe(&self, node: &mut Members) {
        set(node, "title", self.title());
        set(node, "description", text_of(self.written, "description").map(ToString::to_string));
        set(node, "condition", self.condition);
        let listens = self.listens().into_iter().map(|(role, event)| json!({ "role": role, "event": event }));
        set(node, "listens", listens.collect::<Vec<_>>());
        set(node, "starts", self.actions.iter().map(|text| action(text)).collect::<Vec<_>>());
    }
}

/// What an action starts and with which values; `null` for what is no `startFlow`.
fn action(text: &str) -> Value {
    match marram_expr::parse_start_flow(text) {
        Ok(start) => {
            let values: Vec<String> = start.args.iter().map(ToString::to_string).collect();
            json!({ "expr": text, "flow": start.flow.as_str(), "values": values })
        }
        Err(_) => json!({ "expr": text, "flow": null, "values": [] }),
    }
}
