//! Edits of one step: where it is drawn, its name, its settings, what it calls.

use std::collections::BTreeMap;

use marram_tdm::Span;
use marram_tdm::check::EntitySource;
use marram_tdm::model::Urn;
use marram_tdm::syntax::ast::{Directive, Selection};
use serde_json::Value;

use super::sheet::{Patch, header_end};
use super::{Bench, coordinate, position_text};
use crate::LanguageError;
use crate::outline::{Step, StepKind, Waits};
use crate::request::{Request, clip};
use crate::types::{given, is_word};

impl Bench<'_, '_> {
    pub(super) fn move_node(&self, edit: &Request<'_>) -> Result<Vec<Patch>, LanguageError> {
        let step = self.step(edit)?;
        let inner = step.activity.map_or(&[][..], |activity| &activity.directives);
        let own = step.written.directives.iter().chain(inner).find(|directive| directive.name.is("position"));
        match own {
            Some(directive) => move_directive(self.sheet, directive, edit),
            None => Ok(vec![Patch::insert(header_end(step.written), format!(" {}", position_text(edit)?))]),
        }
    }

    pub(super) fn rename_node(&self, edit: &Request<'_>) -> Result<Vec<Patch>, LanguageError> {
        let index = self.step_index(edit, "node")?;
        let step = &self.flow.steps[index];
        let to = edit.string("to")?;
        if to.trim().is_empty() {
            return Err(LanguageError::about("to", "a step needs a name"));
        }
        if self.flow.step(to).is_some_and(|other| other != index) {
            return Err(LanguageError::about("to", format!("another step has the name `{}`", clip(to))));
        }
        let quoted = self.sheet.quoted(to);
        let mut patches = self.sheet.set_of(step.written, "name", Some(&quoted));
        // the original console keeps drawing data in annotations with the step's name as their id
        for annotation in self.flow.definition.directives.iter().filter(|directive| directive.name.is("annotation")) {
            let id = annotation.argument("id");
            let is_its = |text: &str| text.eq_ignore_ascii_case(&step.name);
            if let Some(id) = id.filter(|id| id.value.as_text().is_some_and(|text| is_its(text))) {
                patches.push(Patch::replace(id.value.span(), quoted.clone()));
            }
        }
        Ok(patches)
    }

    pub(super) fn set_field(&self, edit: &Request<'_>) -> Result<Vec<Patch>, LanguageError> {
        let step = self.step(edit)?;
        let field = edit.string("field")?;
        let value = match edit.get("value") {
            None => None,
            Some(value) => {
                let is_list = value.is_array() && ["inEvent", "outEvent"].contains(&field);
                let is_plain = value.is_string() || (field == "timeout" && value.is_number());
                let written = self.sheet.value(value).filter(|_| is_list || is_plain);
                Some(written.ok_or_else(|| LanguageError::about("value", "expected a string or null"))?)
            }
        };
        let value = value.as_deref();
        let activity = || {
            let missing = || LanguageError::about("node", "the step has no such activity");
            step.activity.ok_or_else(missing)
        };
        match (field, step.kind) {
            ("description" | "condition" | "timeout" | "inEvent" | "outEvent", _) => {
                let value = value.filter(|value| *value != "[]");
                Ok(self.sheet.set_of(step.written, field, value))
            }
            ("deviceModel" | "deviceId", StepKind::Device) | ("webservice", StepKind::Service) => {
                if value.is_none() {
                    return Err(LanguageError::about("value", format!("`{field}` is required")));
                }
                Ok(self.sheet.set_of(activity()?, field, value))
            }
            ("out", StepKind::Device | StepKind::Service) => Ok(self.sheet.set_of(activity()?, field, value)),
            ("device", StepKind::Device) => Ok(self.pin(activity()?, value)),
            _ => Err(LanguageError::about("field", format!("this step has no field `{}`", clip(field)))),
        }
    }

    /// `@device(id)` of an activity.
    fn pin(&self, activity: &Selection, value: Option<&str>) -> Vec<Patch> {
        match (activity.directive("device"), value) {
            (Some(directive), Some(value)) => {
                let name_end = directive.name.span().end as usize;
                self.sheet.set_argument(directive.arguments.as_ref(), name_end, "id", Some(value))
            }
            (Some(directive), None) => vec![self.sheet.remove(directive.place.0)],
            (None, Some(value)) => vec![Patch::insert(header_end(activity), format!(" @device(id: {value})"))],
            (None, None) => Vec::new(),
        }
    }

    fn call_of<'s>(&self, step: &Step<'s>) -> Result<&'s Selection, LanguageError> {
        step.call.ok_or_else(|| LanguageError::about("node", "the step does not call one action"))
    }

    pub(super) fn set_argument(&self, edit: &Request<'_>) -> Result<Vec<Patch>, LanguageError> {
        let step = self.step(edit)?;
        let call = self.call_of(step)?;
        let name = edit.string("name")?;
        if !is_word(name) {
            return Err(LanguageError::about("name", "expected the name of an input"));
        }
        let value = match edit.get("value") {
            None => None,
            Some(value) => Some(self.plain_value(value).map_err(|error| error.within("value"))?),
        };
        Ok(self.sheet.set_of(call, name, value.as_deref()))
    }

    /// A string, number or Boolean as it is written.
    pub(super) fn plain_value(&self, value: &Value) -> Result<String, LanguageError> {
        let is_plain = value.is_string() || value.is_number() || value.is_boolean();
        let written = self.sheet.value(value).filter(|_| is_plain);
        written.ok_or_else(|| LanguageError::about("", "expected a string, a number, true, false or null"))
    }

    pub(super) fn set_action(&self, edit: &Request<'_>) -> Result<Vec<Patch>, LanguageError> {
        let step = self.step(edit)?;
        let activity = step.activity.filter(|_| matches!(step.kind, StepKind::Device | StepKind::Service));
        let activity = activity.ok_or_else(|| LanguageError::about("node", "the step calls no action"))?;
        let name = edit.string("action")?;
        if !is_word(name) {
            return Err(LanguageError::about("action", "expected the name of an action"));
        }
        let entities = self.entities();
        let capability = step.callee_urn().and_then(|urn| entities.capability_of(&urn));
        if let (Some(wanted), Some((known, _))) = (edit.optional("capability")?, &capability)
            && Urn::parse(wanted)
                .ok()
                .is_none_or(|wanted| entities.entity(&wanted).map_or(wanted, |entity| entity.id.clone()) != *known)
        {
            return Err(LanguageError::about("capability", format!("the step's capability is `{known}`")));
        }
        let action = capability.as_ref().and_then(|(_, capability)| entities.action(capability, name));
        if let (Some((id, _)), None) = (&capability, &action) {
            return Err(LanguageError::about("action", format!("`{id}` has no action `{}`", clip(name))));
        }
        let spelled = action.as_ref().map_or(name, |(member, _)| member.name.as_str());
        let wanted = self.arguments(edit)?;
        let Some(call) = step.call else {
            let text = call_text(spelled, &wanted);
            return match step.activity.and_then(|activity| activity.children().first()) {
                None => Ok(vec![self.sheet.append(activity, &vec![(0, text)])]),
                Some(_) => Err(LanguageError::about("node", "the step does not call one action")),
            };
        };
        let mut changes: Vec<(String, Option<String>)> = Vec::new();
        if let Some((_, action)) = &action {
            let foreign = given(step).into_iter().filter(|argument| action.input(&argument.name.text).is_none());
            changes.extend(foreign.map(|argument| (argument.name.text.to_string(), None)));
        }
        changes.extend(wanted.into_iter().map(|(name, value)| (name, Some(value))));
        let changes: Vec<(&str, Option<&str>)> =
            changes.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        let name_end = call.name.span().end as usize;
        let mut patches = self.sheet.set_arguments(call.arguments.as_ref(), name_end, &changes);
        if !call.name.is(spelled) {
            patches.push(Patch::replace(call.name.span(), spelled));
        }
        Ok(patches)
    }

    /// The member `arguments` of an edit, each value as it is written.
    pub(super) fn arguments(&self, edit: &Request<'_>) -> Result<Vec<(String, String)>, LanguageError> {
        let Some(given) = edit.object("arguments")? else { return Ok(Vec::new()) };
        let mut arguments = Vec::new();
        for (name, value) in given.members() {
            if !is_word(name) {
                return Err(LanguageError::about("arguments", format!("`{}` is no name", clip(name))));
            }
            if !value.is_null() {
                let written = self.plain_value(value).map_err(|error| error.within(&format!("arguments.{name}")))?;
                arguments.push((name.clone(), written));
            }
        }
        Ok(arguments)
    }

    pub(super) fn remove_node(&self, edit: &Request<'_>) -> Result<Vec<Patch>, LanguageError> {
        let index = self.step_index(edit, "node")?;
        let step = &self.flow.steps[index];
        let (consumers, producers) = (self.flow.consumers(), self.flow.producers());
        let mut patches = vec![self.sheet.remove(step.written.place.0)];
        // events only it emitted: who waits for several of them waits for the others
        let mut unheard: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for (_, _, event) in step.emissions() {
            let key = event.to_lowercase();
            let emitted_elsewhere = producers.get(&key).is_some_and(|all| all.iter().any(|(step, ..)| *step != index));
            if emitted_elsewhere {
                continue;
            }
            for consumer in consumers.get(&key).into_iter().flatten().filter(|consumer| **consumer != index) {
                unheard.entry(*consumer).or_default().push(key.clone());
            }
        }
        for (consumer, events) in unheard {
            patches.extend(self.stop_waiting(&self.flow.steps[consumer], &events));
        }
        // events only it waited for
        let mut silent: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for event in step.waits.events() {
            let key = event.to_lowercase();
            if consumers.get(&key).is_some_and(|all| all.iter().any(|consumer| *consumer != index)) {
                continue;
            }
            for (source, ..) in producers.get(&key).into_iter().flatten().filter(|(source, ..)| *source != index) {
                silent.entry(*source).or_default().push(key.clone());
            }
        }
        for (source, events) in silent {
            patches.extend(self.stop_emitting(&self.flow.steps[source], None, &events));
        }
        Ok(patches)
    }

    /// Takes events out of what a step waits for. The last one stays: the step must not start by itself.
    pub(super) fn stop_waiting(&self, step: &Step<'_>, events: &[String]) -> Vec<Patch> {
        let is_gone = |event: &str| events.contains(&event.to_lowercase());
        match &step.waits {
            Waits::Nothing => Vec::new(),
            Waits::All { argument, events: waited } => {
                let gone: Vec<Span> =
                    waited.iter().filter(|(event, _)| is_gone(event)).map(|(_, value)| value.span()).collect();
                if gone.len() == waited.len() {
                    return Vec::new();
                }
                self.sheet.change_names(&argument.value, &gone, &[]).unwrap_or_default()
            }
            Waits::Expression { argument, value, text, .. } => {
                let Ok(parsed) = marram_expr::parse_event_expr(text) else { return Vec::new() };
                let Some(rest) = super::wire::without(parsed, &is_gone) else { return Vec::new() };
                match super::wire::plain_join(&rest) {
                    Some(names) => vec![Patch::replace(argument.value.span(), self.sheet.list(&names))],
                    None => {
                        let text = format!("${{{}}}", String::from(rest));
                        vec![Patch::replace(value.span(), self.sheet.quoted(&text))]
                    }
                }
            }
        }
    }
}

/// A new place in a `@position`.
pub(super) fn move_directive(
    sheet: &super::sheet::Sheet<'_>,
    directive: &Directive,
    edit: &Request<'_>,
) -> Result<Vec<Patch>, LanguageError> {
    let (x, y) = (coordinate(edit, "x")?, coordinate(edit, "y")?);
    let name_end = directive.name.span().end as usize;
    let changes = [("x", Some(x.as_str())), ("y", Some(y.as_str()))];
    Ok(sheet.set_arguments(directive.arguments.as_ref(), name_end, &changes))
}

/// `action(a: 1, b: "x")`.
pub(super) fn call_text(action: &str, arguments: &[(String, String)]) -> String {
    if arguments.is_empty() {
        return action.to_owned();
    }
    let written: Vec<String> = arguments.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    format!("{action}({})", written.join(", "))
}
