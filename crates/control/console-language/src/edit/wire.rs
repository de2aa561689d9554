//! Edges: connecting steps through events, and taking such connections apart again.
//!
//! An edge is an event that one port emits and one step waits for, and events are shared: adding or removing a name
//! may add or remove other edges. Both directions therefore look who else emits and who else waits, and use a name of
//! their own where a shared one would say more than was asked.

use std::collections::BTreeMap;

use marram_expr::EventExpr;
use marram_tdm::Span;
use marram_tdm::syntax::ast::{Argument, Selection};
use smol_str::SmolStr;

use super::sheet::{Lines, Patch};
use super::{Bench, fresh_name};
use crate::LanguageError;
use crate::outline::{PortId, Step, StepKind, Waits, Written};
use crate::request::{Request, clip};
use crate::types::is_word;

/// Where the events of a new edge leave.
enum Outlet {
    /// A port that exists, by index.
    Port(usize),
    /// A rule of a choice with this condition.
    NewRule(String),
    /// The default of a choice that has none.
    NewDefault,
    /// A Catch of every error.
    NewCatch,
    /// An OnSuccess check with this condition.
    NewCheck(String),
}

impl Bench<'_, '_> {
    pub(super) fn connect(&self, edit: &Request<'_>) -> Result<Vec<Patch>, LanguageError> {
        let (source, target) = (self.step_index(edit, "source")?, self.step_index(edit, "target")?);
        let (from, to) = (&self.flow.steps[source], &self.flow.steps[target]);
        let condition = edit.optional("condition")?.filter(|text| !text.trim().is_empty());
        let outlet = self.outlet(from, edit.optional("port")?, condition)?;
        let joins_any = match edit.optional("join")? {
            None | Some("all") => false,
            Some("any") => true,
            Some(_) => return Err(LanguageError::about("join", "expected all or any")),
        };
        // a statement names its event in an expression
        let needs_word = match outlet {
            Outlet::Port(port) => matches!(from.ports[port].id, PortId::Pass(_) | PortId::Fail(_)),
            Outlet::NewCheck(_) => true,
            _ => false,
        };
        let is_fit = |event: &str| !needs_word || is_word(event);
        let (event, is_waited) = match edit.optional("event")? {
            Some(event) => {
                let event = event.trim();
                let is_name =
                    !event.is_empty() && !event.contains(['$', '&', '|', '!', '(', ')', '{', '}', '\n', '\r']);
                if !is_name || !is_fit(event) {
                    return Err(LanguageError::about("event", "expected the name of an event"));
                }
                (SmolStr::new(event), false)
            }
            None => self.shared_event(&outlet, from, to, target, joins_any, &is_fit),
        };
        let key = event.to_lowercase();
        let waits = is_waited || to.waits.events().any(|waited| waited.to_lowercase() == key);
        let emits = match outlet {
            Outlet::Port(port) => from.ports[port].emissions.iter().any(|emitted| emitted.event.to_lowercase() == key),
            _ => false,
        };
        let mut patches = if emits { Vec::new() } else { self.start_emitting(from, &outlet, &event)? };
        if !waits {
            patches.extend(self.start_waiting(to, &event, joins_any)?);
        }
        Ok(patches)
    }

    fn outlet(&self, from: &Step<'_>, port: Option<&str>, condition: Option<&str>) -> Result<Outlet, LanguageError> {
        let is_choice = from.kind == StepKind::Choice;
        let existing = |id: PortId| from.ports.iter().position(|port| port.id == id);
        let Some(port) = port else {
            return Ok(match condition {
                Some(condition) if is_choice => Outlet::NewRule(condition.to_owned()),
                Some(condition) => Outlet::NewCheck(condition.to_owned()),
                None if is_choice => existing(PortId::Default).map_or(Outlet::NewDefault, Outlet::Port),
                None => Outlet::Port(0),
            });
        };
        if port == "error" {
            let catches_all = from.ports.iter().position(|port| {
                let Some(catch) = port.holder.filter(|_| matches!(port.id, PortId::Catch(_))) else { return false };
                let names = catch.argument("errorEquals").map(|argument| crate::outline::names(&argument.value));
                names.unwrap_or_default().iter().any(|(name, _)| name == "States.ALL")
            });
            return Ok(catches_all.map_or(Outlet::NewCatch, Outlet::Port));
        }
        let found = PortId::parse(port).and_then(existing);
        match found {
            Some(found) => Ok(Outlet::Port(found)),
            None if port == "default" && is_choice => Ok(Outlet::NewDefault),
            None => Err(LanguageError::about("port", format!("the step has no port `{}`", clip(port)))),
        }
    }

    /// An event that makes the edge and no other one, and whether the target waits for it already.
    fn shared_event(
        &self,
        outlet: &Outlet,
        from: &Step<'_>,
        to: &Step<'_>,
        target: usize,
        joins_any: bool,
        is_fit: &dyn Fn(&str) -> bool,
    ) -> (SmolStr, bool) {
        let (consumers, producers) = (self.flow.consumers(), self.flow.producers());
        let waiting = |event: &str| consumers.get(&event.to_lowercase()).map_or(&[][..], Vec::as_slice);
        // something it waits for that nobody emits
        let mut waited = to.waits.events();
        let unheard = waited.find(|event| {
            !producers.contains_key(&event.to_lowercase()) && waiting(event) == [target] && is_fit(event)
        });
        if let Some(event) = unheard {
            return (event.clone(), true);
        }
        if joins_any
            && let Waits::All { events, .. } = &to.waits
            && let [(event, _)] = events.as_slice()
            && waiting(event) == [target]
            && is_fit(event)
        {
            return (event.clone(), true);
        }
        if let Outlet::Port(port) = outlet {
            let own = from.ports[*port].emissions.iter().map(|emission| &emission.event).find(|event| {
                let all = producers.get(&event.to_lowercase()).map_or(0, Vec::len);
                all == 1
            });
            if let Some(event) = own {
                return (event.clone(), false);
            }
        }
        let (base, suffix) = match outlet {
            Outlet::Port(port) => match from.ports[*port].id {
                PortId::Success => (&from.name, "Done"),
                PortId::Rule(_) => (&to.name, ""),
                PortId::Default => (&from.name, "Otherwise"),
                PortId::Catch(_) => (&from.name, "Failed"),
                PortId::Pass(_) => (&from.name, "Passed"),
                PortId::Fail(_) => (&from.name, "NotPassed"),
            },
            Outlet::NewRule(_) => (&to.name, ""),
            Outlet::NewDefault => (&from.name, "Otherwise"),
            Outlet::NewCatch => (&from.name, "Failed"),
            Outlet::NewCheck(_) => (&from.name, "Passed"),
        };
        (SmolStr::new(self.fresh_event(base, suffix)), false)
    }

    /// An event name nothing uses; also no parameter or variable, so that statements may raise it.
    pub(super) fn fresh_event(&self, base: &str, suffix: &str) -> String {
        let mut taken: std::collections::BTreeSet<String> =
            self.flow.events().iter().map(|event| event.to_lowercase()).collect();
        taken.extend(self.flow.parameters.iter().map(|parameter| parameter.name.text.to_lowercase()));
        taken.extend(self.flow.variables().map(|variable| variable.name.text.to_lowercase()));
        taken.extend(self.flow.steps.iter().filter_map(Step::out).map(|out| out.to_lowercase()));
        fresh_name(base, suffix, |name| taken.contains(&name.to_lowercase()))
    }

    fn start_emitting(&self, from: &Step<'_>, outlet: &Outlet, event: &str) -> Result<Vec<Patch>, LanguageError> {
        let sheet = self.sheet;
        let quoted = sheet.quoted(event);
        let set_event: Lines = vec![(0, format!("setEvent(name: {quoted})"))];
        let raise = sheet.quoted(&format!("${event}.IsTrue = true"));
        let missing = || LanguageError::about("source", "the step has no such activity");
        Ok(match outlet {
            Outlet::Port(port) => self.emit_at(from, *port, event),
            Outlet::NewRule(condition) => {
                let choice = from.activity.ok_or_else(missing)?;
                let rule = format!("rule(expr: {}) {{ setEvent(name: {quoted}) }}", sheet.quoted(condition));
                let Some(block) = sheet.block(choice) else { return Ok(vec![sheet.append(choice, &vec![(0, rule)])]) };
                // rules are tried in order, so the new one goes last; the default stands behind them
                let is_rule = |index: &usize| choice.children()[*index].name.is("rule");
                let last = (0..block.children.len()).rev().find(is_rule);
                vec![sheet.insert_child(&block, last, &vec![(0, rule)])]
            }
            Outlet::NewDefault => {
                let choice = from.activity.ok_or_else(missing)?;
                vec![sheet.append(choice, &vec![(0, format!("default {{ {} }}", set_event[0].1))])]
            }
            Outlet::NewCatch => {
                let all = sheet.list(&["States.ALL"]);
                let catch = format!("Catch(errorEquals: {all}, raiseEvent: [{quoted}])");
                self.append_clause(from, "Catches", &catch)
            }
            Outlet::NewCheck(condition) => {
                let check = format!("Check(condition: {})", sheet.quoted(condition));
                let lines: Lines = vec![
                    (0, format!("{check} {{")),
                    (1, format!("OnPass {{ stmt(expr: {raise}) }}")),
                    (0, "}".to_owned()),
                ];
                match from.on_success {
                    Some(block) => vec![sheet.append(block, &lines)],
                    None => {
                        let mut whole: Lines = vec![(0, "OnSuccess {".to_owned())];
                        whole.extend(lines.into_iter().map(|(depth, line)| (depth + 1, line)));
                        whole.push((0, "}".to_owned()));
                        vec![sheet.append(from.written, &whole)]
                    }
                }
            }
        })
    }

    /// Makes a port that exists emit one more event.
    fn emit_at(&self, from: &Step<'_>, port: usize, event: &str) -> Vec<Patch> {
        let sheet = self.sheet;
        let port = &from.ports[port];
        let Some(holder) = port.holder else { return Vec::new() };
        let list = |name: &str| match holder.argument(name) {
            Some(argument) => sheet.change_names(&argument.value, &[], &[event]).unwrap_or_default(),
            None => sheet.set_of(holder, name, Some(&sheet.list(&[event]))),
        };
        match port.id {
            PortId::Success => list("outEvent"),
            PortId::Catch(_) => list("raiseEvent"),
            PortId::Rule(_) | PortId::Default => {
                vec![sheet.append(holder, &vec![(0, format!("setEvent(name: {})", sheet.quoted(event)))])]
            }
            PortId::Pass(_) | PortId::Fail(_) => {
                let raise = sheet.quoted(&format!("${event}.IsTrue = true"));
                vec![sheet.append(holder, &vec![(0, format!("stmt(expr: {raise})"))])]
            }
        }
    }

    fn start_waiting(&self, to: &Step<'_>, event: &str, joins_any: bool) -> Result<Vec<Patch>, LanguageError> {
        let sheet = self.sheet;
        let combined = |old: String| {
            let operator = if joins_any { "||" } else { "&&" };
            let text = format!("${{{old} {operator} {event}}}");
            let is_good = is_word(event) && marram_expr::parse_event_expr(&text).is_ok();
            let refused = || {
                LanguageError::about("target", "what the step waits for cannot be combined: event names are no words")
            };
            is_good.then(|| sheet.quoted(&text)).ok_or_else(refused)
        };
        Ok(match &to.waits {
            Waits::Nothing => sheet.set_of(to.written, "inEvent", Some(&sheet.list(&[event]))),
            Waits::All { argument, .. } if !joins_any => {
                sheet.change_names(&argument.value, &[], &[event]).unwrap_or_default()
            }
            Waits::All { argument, events } => {
                let names: Vec<&str> = events.iter().map(|(event, _)| event.as_str()).collect();
                let old = if names.len() > 1 { format!("({})", names.join(" && ")) } else { names.concat() };
                vec![Patch::replace(argument.value.span(), combined(old)?)]
            }
            Waits::Expression { value, text, .. } => {
                let inner = text.trim();
                let inner = inner.strip_prefix("${").and_then(|inner| inner.strip_suffix('}')).unwrap_or(inner);
                vec![Patch::replace(value.span(), combined(format!("({})", inner.trim()))?)]
            }
        })
    }

    // ---- taking apart

    pub(super) fn disconnect(&self, edit: &Request<'_>) -> Result<Vec<Patch>, LanguageError> {
        let id = edit.string("edge")?;
        let missing = || LanguageError::about("edge", format!("the flow has no edge `{}`", clip(id)));
        let edge = self.flow.edge(id).ok_or_else(missing)?;
        let (from, to) = (&self.flow.steps[edge.source], &self.flow.steps[edge.target]);
        let event = from.ports[edge.port].emissions[edge.emission].event.clone();
        let key = event.to_lowercase();
        let (consumers, producers) = (self.flow.consumers(), self.flow.producers());
        let is_only_consumer = consumers.get(&key).is_none_or(|all| all.len() <= 1);
        let others = producers.get(&key).into_iter().flatten();
        let mut others: Vec<(usize, usize)> = others.map(|(step, port, _)| (*step, *port)).collect();
        others.retain(|other| *other != (edge.source, edge.port));
        others.dedup();
        if is_only_consumer {
            let mut patches = self.stop_emitting(from, Some(edge.port), std::slice::from_ref(&key));
            if others.is_empty() {
                patches.extend(self.stop_waiting(to, std::slice::from_ref(&key)));
            }
            return Ok(patches);
        }
        if !others.is_empty() {
            // the other sources keep their edges through an event of their own
            let own = self.fresh_event(&to.name, "Ready");
            let mut patches = self.wait_instead(to, &key, &own);
            for (step, port) in others {
                patches.extend(self.emit_at(&self.flow.steps[step], port, &own));
            }
            return Ok(patches);
        }
        let patches = self.stop_waiting(to, std::slice::from_ref(&key));
        if !patches.is_empty() {
            return Ok(patches);
        }
        let own = self.fresh_event(&to.name, "Ready");
        Ok(self.wait_instead(to, &key, &own))
    }

    /// Waits for `new` where it waited for `old` (lower case).
    fn wait_instead(&self, step: &Step<'_>, old: &str, new: &str) -> Vec<Patch> {
        match &step.waits {
            Waits::Nothing => Vec::new(),
            Waits::All { events, .. } => {
                let old = events.iter().filter(|(event, _)| event.to_lowercase() == old);
                old.map(|(_, value)| Patch::replace(value.span(), self.sheet.quoted(new))).collect()
            }
            Waits::Expression { value, text, .. } => {
                let Ok(parsed) = marram_expr::parse_event_expr(text) else { return Vec::new() };
                let text = format!("${{{}}}", String::from(renamed(parsed, old, new)));
                vec![Patch::replace(value.span(), self.sheet.quoted(&text))]
            }
        }
    }

    /// Takes events (lower case) out of what a step, or one port of it, emits.
    pub(super) fn stop_emitting(&self, step: &Step<'_>, port: Option<usize>, events: &[String]) -> Vec<Patch> {
        let mut patches = Vec::new();
        let mut lists: BTreeMap<u32, (&Selection, &Argument, bool, Vec<Span>)> = BTreeMap::new();
        let ports = step.ports.iter().enumerate().filter(|(index, _)| port.is_none_or(|port| port == *index));
        for (_, port) in ports {
            let gone = port.emissions.iter().filter(|emission| events.contains(&emission.event.to_lowercase()));
            for emission in gone {
                match &emission.written {
                    Written::Name { owner, argument, value } => {
                        let is_effect = owner.name.is("setEvent");
                        let entry = lists.entry(argument.value.span().start);
                        entry.or_insert((owner, argument, is_effect, Vec::new())).3.push(value.span());
                    }
                    Written::Statement(statement) => patches.push(self.sheet.remove(statement.place.0)),
                    Written::CatchExpr { owner, argument } => {
                        patches.extend(self.sheet.set_of(owner, &argument.name.text, None));
                    }
                }
            }
        }
        for (owner, argument, is_effect, gone) in lists.into_values() {
            match self.sheet.change_names(&argument.value, &gone, &[]) {
                Some(changed) => patches.extend(changed),
                None if is_effect => patches.push(self.sheet.remove(owner.place.0)),
                None => patches.extend(self.sheet.set_of(owner, &argument.name.text, None)),
            }
        }
        patches
    }

    // ---- conditions

    pub(super) fn set_condition(&self, edit: &Request<'_>) -> Result<Vec<Patch>, LanguageError> {
        let id = edit.string("edge")?;
        let missing = || LanguageError::about("edge", format!("the flow has no edge `{}`", clip(id)));
        let edge = self.flow.edge(id).ok_or_else(missing)?;
        let port = &self.flow.steps[edge.source].ports[edge.port];
        let condition = edit.optional("condition")?.filter(|text| !text.trim().is_empty());
        let quoted = condition.map(|condition| self.sheet.quoted(condition));
        let needed = || LanguageError::about("condition", "expected an expression");
        let holder = port.holder.ok_or_else(missing)?;
        match port.id {
            PortId::Rule(_) => {
                let quoted = quoted.ok_or_else(needed)?;
                Ok(self.sheet.set_of(holder, "expr", Some(&quoted)))
            }
            PortId::Pass(index) | PortId::Fail(index) => {
                let quoted = quoted.ok_or_else(needed)?;
                let checks = self.flow.steps[edge.source].checks();
                let check = checks.get(index).copied().ok_or_else(missing)?;
                Ok(self.sheet.set_of(check, "condition", Some(&quoted)))
            }
            PortId::Catch(_) => {
                // without a condition a Catch needs names
                let all = self.sheet.list(&["States.ALL"]);
                let names = holder.argument("errorEquals").is_none() && quoted.is_none();
                let mut changes = vec![("condition", quoted.as_deref())];
                if names {
                    changes.push(("errorEquals", Some(all.as_str())));
                }
                let name_end = holder.name.span().end as usize;
                Ok(self.sheet.set_arguments(holder.arguments.as_ref(), name_end, &changes))
            }
            PortId::Success | PortId::Default => Err(LanguageError::about(
                "edge",
                "an edge of this kind has no condition: set the node's, or put a choice between",
            )),
        }
    }
}

/// The expression without the events `is_gone` names; `None`: nothing is left of it.
pub(super) fn without(expr: EventExpr, is_gone: &dyn Fn(&str) -> bool) -> Option<EventExpr> {
    match expr {
        EventExpr::Event(event) => (!is_gone(&event)).then_some(EventExpr::Event(event)),
        EventExpr::Not(inner) => without(*inner, is_gone).map(|inner| EventExpr::Not(Box::new(inner))),
        EventExpr::And(left, right) => match (without(*left, is_gone), without(*right, is_gone)) {
            (Some(left), Some(right)) => Some(EventExpr::And(Box::new(left), Box::new(right))),
            (left, right) => left.or(right),
        },
        EventExpr::Or(left, right) => match (without(*left, is_gone), without(*right, is_gone)) {
            (Some(left), Some(right)) => Some(EventExpr::Or(Box::new(left), Box::new(right))),
            (left, right) => left.or(right),
        },
    }
}

fn renamed(expr: EventExpr, old: &str, new: &str) -> EventExpr {
    let both = |left: Box<EventExpr>, right: Box<EventExpr>| {
        (Box::new(renamed(*left, old, new)), Box::new(renamed(*right, old, new)))
    };
    match expr {
        EventExpr::Event(event) if event.to_lowercase() == old => EventExpr::Event(SmolStr::new(new)),
        EventExpr::Event(event) => EventExpr::Event(event),
        EventExpr::Not(inner) => EventExpr::Not(Box::new(renamed(*inner, old, new))),
        EventExpr::And(left, right) => {
            let (left, right) = both(left, right);
            EventExpr::And(left, right)
        }
        EventExpr::Or(left, right) => {
            let (left, right) = both(left, right);
            EventExpr::Or(left, right)
        }
    }
}

/// The names of an expression that only joins events: `a && b` is the list `["a", "b"]`.
pub(super) fn plain_join(expr: &EventExpr) -> Option<Vec<&str>> {
    match expr {
        EventExpr::Event(event) => Some(vec![event.as_str()]),
        EventExpr::And(left, right) => {
            let mut names = plain_join(left)?;
            names.extend(plain_join(right)?);
            Some(names)
        }
        _ => None,
    }
}
