//! Flows (TG 3.11): header, variables, steps, and how events connect the steps.

mod activity;
mod clause;
mod event;

use marram_diag::Span;
use marram_expr::{DataType, Type};
use smol_str::SmolStr;
use std::collections::BTreeMap;

use super::context::{Context, twice};
use super::declare::Taken;
use super::device::is_ignore_marker;
use super::scope::Scope;
use super::{CheckOptions, EntitySource, Outcome};
use crate::codes::*;
use crate::mapping::ConversionGraph;
use crate::model::{Flow, Metatype, Parameter, ParameterType, Primitive, Step, Urn, Variable};
use crate::syntax::ast::{Body, Selection, VariableDefinition};

/// Most steps of a flow. An execution runs 10 000 at most (TG 6.3).
const MAX_STEPS: usize = 1_000;

/// Checks a flow document: exactly one `@workflowType` (TDM2005), against the entities of `source`.
pub fn check_flow(document: &str, source: &dyn EntitySource, options: &CheckOptions) -> Outcome<Flow> {
    let mut context = Context::new(source, options);
    context.text = document;
    let (parsed, found) = crate::syntax::parse(document);
    found.into_iter().for_each(|diagnostic| context.findings.push(diagnostic));
    let flow = context.single(&parsed, Metatype::Workflow).and_then(|(definition, directive, id)| {
        context.known_arguments(directive.arguments.as_ref(), &["id", "SemTypeId", "description", "name"]);
        let Body::Query { variables, selections } = &definition.body else { return None };
        let graph = ConversionGraph::new(&source.mappings());
        let checker = FlowChecker {
            parameters: Vec::new(),
            variables: Vec::new(),
            by_name: BTreeMap::new(),
            names: Taken::default(),
            scope: Scope::system(),
            graph,
            steps: Taken::default(),
            emitted: BTreeMap::new(),
            waited: Vec::new(),
            places: Vec::new(),
            context: &mut context,
        };
        let mut flow = checker.check(variables, selections, definition.name.span(), id)?;
        flow.name = definition.name.text.clone();
        flow.description = context.description(definition, directive);
        if let Some(triggers) = definition.directive("triggers") {
            context.stored_triggers(triggers);
        }
        Some(flow)
    });
    Outcome::new(flow, context.findings.into_sorted())
}

/// State of checking one flow.
struct FlowChecker<'f, 'a> {
    context: &'f mut Context<'a>,
    parameters: Vec<Parameter>,
    variables: Vec<Variable>,
    /// Index of each variable by lower-case name.
    by_name: BTreeMap<String, usize>,
    /// Names of parameters and variables.
    names: Taken,
    /// What expressions of steps see.
    scope: Scope,
    graph: ConversionGraph,
    /// Names of steps.
    steps: Taken,
    /// Emitted events by lower-case name, as first spelled.
    emitted: BTreeMap<String, SmolStr>,
    /// Events waited for, with where.
    waited: Vec<(SmolStr, Span)>,
    /// Where each step's name stands.
    places: Vec<Span>,
}

impl FlowChecker<'_, '_> {
    fn check(mut self, header: &[VariableDefinition], body: &[Selection], at: Span, id: Urn) -> Option<Flow> {
        for parameter in header {
            self.parameter(parameter);
        }
        let mut blocks: [Option<&Selection>; 2] = [None, None];
        for block in body.iter().filter(|selection| !is_ignore_marker(selection)) {
            let Some(slot) = ["variables", "steps"].iter().position(|name| block.name.is(name)) else {
                let message = format!("unknown block `{}` in a flow", block.name.text);
                self.context.error(TDM3016, block.span(), message);
                continue;
            };
            if let Some(first) = blocks[slot] {
                let message = format!("only one block `{}` is allowed", block.name.text);
                self.context.findings.push(twice(TDM3005, block.span(), message, first.span()));
                continue;
            }
            blocks[slot] = Some(block);
        }
        let [variables, steps] = blocks;
        for variable in variables.map_or(&[][..], Selection::children) {
            self.variable(variable);
        }
        let written: Vec<&Selection> = steps.map_or(&[][..], Selection::children).iter().collect();
        if steps.is_none() {
            self.context.error(TDM3006, at, "a flow needs a block `steps`");
        }
        if written.len() > MAX_STEPS {
            self.context.error(TDM1005, at, format!("the flow has more than {MAX_STEPS} steps"));
            return None;
        }
        // results may be stored in variables nobody declared; they are visible in every step
        for step in &written {
            self.declare_by_use(step);
        }
        let mut checked: Vec<Step> = Vec::new();
        for step in written {
            if is_ignore_marker(step) {
                continue;
            }
            if !step.name.is("step") {
                let message = format!("expected `step`, found `{}`", step.name.text);
                self.context.error(TDM3016, step.span(), message);
                continue;
            }
            if let Some(step) = self.step(step) {
                checked.push(step);
            }
        }
        self.check_events(&checked);
        let mut references = std::mem::take(&mut self.context.references);
        references.remove(&id);
        let references: Vec<Urn> = references.into_iter().collect();
        Some(Flow {
            id,
            name: SmolStr::default(),
            description: None,
            parameters: self.parameters,
            variables: self.variables,
            steps: checked,
            references,
        })
    }

    fn take_name(&mut self, name: &str, at: Span) -> bool {
        let first = self.names.take(name, at);
        if let Some(first) = first {
            let message = format!("`{name}` is already a parameter or variable of the flow");
            self.context.findings.push(twice(TDM4006, at, message, first));
        }
        first.is_none()
    }

    fn parameter(&mut self, written: &VariableDefinition) {
        self.context.known_directives(&written.directives, &["property", "annotation", "position"]);
        if !self.take_name(&written.name.text, written.name.span()) {
            return;
        }
        let word = written.ty.word();
        let primitive = match word.text.as_str() {
            text if text.eq_ignore_ascii_case("DeviceId") => Primitive::String,
            text if text.eq_ignore_ascii_case("Number") => Primitive::Float64,
            text => Primitive::parse(text).unwrap_or_else(|| {
                let message = format!("there is no data type `{text}`; the parameter takes any JSON");
                self.context.warning(TDM3007, word.span(), message);
                Primitive::Json
            }),
        };
        let ty = ParameterType { primitive, is_list: written.ty.is_list() };
        let data_type = ty.data_type();
        let default = written.default.as_ref().and_then(|value| {
            let json = self.context.constant(value)?;
            let as_value = marram_expr::Value::from_json(&json);
            if !as_value.is_null()
                && let Err(error) = marram_expr::coerce(&as_value, &data_type)
            {
                self.context.error(TDM3010, value.span(), format!("not a value of {data_type}: {}", error.message));
            }
            Some(json)
        });
        self.scope.add(&written.name.text, Type::Of(data_type));
        let is_required = written.ty.is_required;
        self.parameters.push(Parameter { name: written.name.text.clone(), ty, is_required, default });
    }

    fn variable(&mut self, written: &Selection) {
        if is_ignore_marker(written) {
            return;
        }
        self.context.known_arguments(written.arguments.as_ref(), &["default"]);
        self.context.known_directives(&written.directives, &["property", "annotation", "position"]);
        let Some(directive) = written.directive("property") else {
            let message = format!("the variable `{}` needs `@property(id: ...)`", written.name.text);
            self.context.error(TDM3006, written.span(), message);
            return;
        };
        self.context.known_arguments(directive.arguments.as_ref(), &["id", "default", "description"]);
        if !self.take_name(&written.name.text, written.span()) {
            return;
        }
        let id = self.context.required(directive, "id");
        let Some(property) = id.and_then(|id| self.context.value_property(&id.value)) else {
            // it exists although nothing is known of it: its uses are not reported again
            self.scope.add(&written.name.text, Type::Unknown);
            return;
        };
        let default = written.argument("default").or_else(|| directive.argument("default"));
        let default = default.and_then(|argument| {
            let value = self.context.constant(&argument.value)?;
            self.context.check_constant(&value, &property, false, argument.value.span());
            Some(value)
        });
        self.add_variable(Variable {
            name: written.name.text.clone(),
            property: Some(property),
            is_list: false,
            default,
        });
    }

    fn add_variable(&mut self, variable: Variable) {
        let ty = match &variable.property {
            Some(property) => self.context.value_type(property, variable.is_list),
            None => Type::Null,
        };
        self.scope.add(&variable.name, ty);
        self.by_name.insert(variable.name.to_ascii_lowercase(), self.variables.len());
        self.variables.push(variable);
    }

    fn find_variable(&self, name: &str) -> Option<&Variable> {
        self.by_name.get(&name.to_ascii_lowercase()).map(|index| &self.variables[*index])
    }

    fn step(&mut self, written: &Selection) -> Option<Step> {
        self.context.known_arguments(
            written.arguments.as_ref(),
            &["name", "description", "inEvent", "outEvent", "condition", "timeout"],
        );
        self.context.known_directives(&written.directives, &["annotation", "position"]);
        let name = self.step_name(written);
        let mut activities: Vec<&Selection> = Vec::new();
        let (mut on_error, mut on_success) = (None, None);
        for inner in written.children().iter().filter(|selection| !is_ignore_marker(selection)) {
            if inner.name.is("OnError") || inner.name.is("OnSuccess") {
                let slot = if inner.name.is("OnError") { &mut on_error } else { &mut on_success };
                if let Some(first) = slot.replace(inner) {
                    let message = format!("only one {} is allowed", inner.name.text);
                    self.context.findings.push(twice(TDM3005, inner.span(), message, Selection::span(first)));
                }
            } else {
                activities.push(inner);
            }
        }
        let activation = self.activation(written.argument("inEvent"));
        let out_events = written.argument("outEvent").map(|argument| self.context.names(&argument.value));
        let out_events = out_events.unwrap_or_default();
        out_events.iter().for_each(|event| self.emit(event));
        let condition = written.argument("condition").and_then(|argument| self.condition(&argument.value));
        let timeout_ms = written.argument("timeout").and_then(|argument| self.duration(&argument.value));
        let activity = match activities.as_slice() {
            [] => {
                self.context.error(TDM4002, written.span(), "the step has no activity");
                None
            }
            [only] => self.activity(only),
            [first, further @ ..] => {
                for activity in further {
                    let message = "a step has one activity".to_owned();
                    self.context.findings.push(twice(TDM4002, activity.span(), message, first.span()));
                }
                None
            }
        };
        let (retries, catches) = on_error.map(|block| self.on_error(block)).unwrap_or_default();
        let checks = on_success.map(|block| self.on_success(block)).unwrap_or_default();
        let step = Step {
            name: name?,
            description: written
                .argument("description")
                .and_then(|argument| argument.value.as_text())
                .map(ToString::to_string),
            activation: activation?,
            out_events,
            condition,
            timeout_ms,
            activity: activity?,
            retries,
            catches,
            checks,
        };
        self.places.push(written.span());
        Some(step)
    }

    fn step_name(&mut self, written: &Selection) -> Option<SmolStr> {
        let argument = written.argument("name");
        let name = argument.and_then(|argument| argument.value.as_text()).filter(|name| !name.trim().is_empty());
        let Some(name) = name else {
            self.context.error(TDM4001, written.span(), "the step needs a name");
            return None;
        };
        let at = argument.map_or(written.span(), |argument| argument.value.span());
        if let Some(first) = self.steps.take(name, at) {
            let message = format!("two steps have the name `{}`", super::context::clip(name));
            self.context.findings.push(twice(TDM4001, at, message, first));
        }
        Some(name.clone())
    }
}

impl ParameterType {
    /// The type in the words of the expression language.
    pub fn data_type(&self) -> DataType {
        let item = DataType::from(self.primitive);
        if self.is_list { DataType::List(Box::new(item)) } else { item }
    }
}
