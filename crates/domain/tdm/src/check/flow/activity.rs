//! Activities: device and service calls, choices, arguments and results.

use marram_diag::{Diagnostic, Span};
use marram_expr::types::PropertyType;
use marram_expr::{Assignability, DataType, Expr, Type, ValueExpr, assignable};
use smol_str::SmolStr;

use super::super::context::clip;
use super::super::device::is_ignore_marker;
use super::FlowChecker;
use crate::codes::*;
use crate::model::{Action, Activity, Argument, Call, Choice, ChoiceRule, Conversion, EntityKind, Field, Member};
use crate::model::{Metatype, Output, SetVariable, Urn, Variable};
use crate::syntax::ast::{Argument as WrittenArgument, Selection, Value};

/// What an activity calls.
struct Callee {
    /// Device model or service.
    owner: Urn,
    pinned: Option<Urn>,
    capability: Urn,
}

impl FlowChecker<'_, '_> {
    pub(super) fn activity(&mut self, written: &Selection) -> Option<Activity> {
        self.context.known_directives(&written.directives, &["device", "annotation", "position"]);
        if written.name.is("DeviceActivity") {
            self.context.known_arguments(written.arguments.as_ref(), &["deviceModel", "deviceId", "out", "name"]);
            let callee = self.device_callee(written);
            let argument = self.context.required_of(written, "deviceId");
            let device_id = argument.and_then(|argument| self.thing_name(&argument.value));
            let callee = callee?;
            let call = self.call(written, &callee)?;
            Some(Activity::Device { model: callee.owner, pinned: callee.pinned, device_id: device_id?, call })
        } else if written.name.is("WebServiceActivity") {
            self.context.known_arguments(written.arguments.as_ref(), &["webservice", "out", "name"]);
            let argument = self.context.required_of(written, "webservice")?;
            let service = self.context.reference(&argument.value, &[Metatype::Service])?;
            let capability = self.capability_of(&service)?;
            let callee = Callee { owner: service, pinned: None, capability };
            let call = self.call(written, &callee)?;
            Some(Activity::Service { service: callee.owner, call })
        } else if written.name.is("ChoiceActivity") {
            self.context.known_arguments(written.arguments.as_ref(), &["name"]);
            self.choice(written).map(Activity::Choice)
        } else {
            self.context.error(TDM4002, written.span(), format!("`{}` is no activity", written.name.text));
            None
        }
    }

    fn capability_of(&self, id: &Urn) -> Option<Urn> {
        match &self.context.entity(id)?.kind {
            EntityKind::Device(device) => Some(device.capability.clone()),
            EntityKind::DeviceModel(model) => Some(model.capability.clone()),
            EntityKind::Service(service) => Some(service.capability.clone()),
            _ => None,
        }
    }

    fn device_callee(&mut self, written: &Selection) -> Option<Callee> {
        let argument = self.context.required_of(written, "deviceModel")?;
        let id = self.context.reference(&argument.value, &[Metatype::DeviceModel, Metatype::Device])?;
        let capability = self.capability_of(&id)?;
        let (owner, mut pinned) = match &self.context.entity(&id)?.kind {
            EntityKind::Device(device) => (device.model.clone(), Some(id)),
            _ => (id, None),
        };
        self.context.references.insert(owner.clone());
        if let Some(directive) = written.directive("device") {
            let argument = self.context.required(directive, "id")?;
            let device = self.context.reference(&argument.value, &[Metatype::Device])?;
            let implements = match &self.context.entity(&device)?.kind {
                EntityKind::Device(device) => device.model == owner,
                _ => false,
            };
            if !implements {
                let message = format!("`{device}` does not implement `{owner}`");
                self.context.error(TDM3009, argument.value.span(), message);
            }
            pinned = Some(device);
        }
        Some(Callee { owner, pinned, capability })
    }

    /// `deviceId`: an expression that yields text.
    fn thing_name(&mut self, value: &Value) -> Option<ValueExpr> {
        let mut expr = self.context.value_expr(value)?;
        let ty = self.context.check_value(&mut expr, &self.scope, value, TDM4006);
        if let Assignability::Refused(message) = assignable(&ty, &DataType::String) {
            self.context.error(TDM3019, value.span(), message);
        }
        Some(expr)
    }

    /// The one action call in an activity's body.
    fn call_of<'s>(&mut self, written: &'s Selection, reports: bool) -> Option<&'s Selection> {
        let mut calls = written.children().iter().filter(|selection| !is_ignore_marker(selection));
        match (calls.next(), calls.next()) {
            (Some(call), None) => Some(call),
            (None, _) => {
                if reports {
                    self.context.error(TDM4002, written.span(), "the activity calls no action");
                }
                None
            }
            (Some(_), Some(further)) => {
                if reports {
                    self.context.error(TDM4002, further.span(), "an activity calls one action");
                }
                None
            }
        }
    }

    fn member(&self, capability: &Urn, name: &str) -> Option<(Member, Action)> {
        let entity = self.context.entity(capability)?;
        let EntityKind::Capability(capability) = &entity.kind else { return None };
        let member = capability.action(name)?.clone();
        match &self.context.entity(&member.id)?.kind {
            EntityKind::Action(action) => Some((member, action.clone())),
            _ => None,
        }
    }

    fn call(&mut self, written: &Selection, callee: &Callee) -> Option<Call> {
        let selection = self.call_of(written, true)?;
        let Some((member, action)) = self.member(&callee.capability, &selection.name.text) else {
            let message = format!("`{}` has no action `{}`", callee.owner, selection.name.text);
            self.context.error(TDM4005, selection.span(), message);
            return None;
        };
        let mut arguments: Vec<Argument> = Vec::new();
        for given in selection.arguments.iter().flat_map(|arguments| &arguments.items) {
            let Some(input) = action.input(&given.name.text) else {
                let message = format!("`{}` has no input `{}`", member.name, given.name.text);
                self.context.error(TDM4005, given.name.span(), message);
                continue;
            };
            if arguments.iter().any(|known| known.name == input.name) {
                let message = format!("the input `{}` is given twice", input.name);
                self.context.error(TDM4005, given.name.span(), message);
                continue;
            }
            arguments.extend(self.argument(given, input));
        }
        let position = |name: &SmolStr| action.inputs.iter().position(|input| input.name == *name);
        arguments.sort_by_key(|argument| position(&argument.name));
        for input in &action.inputs {
            let given = selection.arguments.iter().flat_map(|arguments| &arguments.items);
            if given.clone().any(|given| given.name.is(&input.name)) || input.default.is_some() {
                continue;
            }
            let message = format!("the input `{}` of `{}` is not given", input.name, member.name);
            if input.is_required {
                self.context.error(TDM4005, selection.span(), message);
            } else {
                self.context.warning(TDM4005, selection.span(), format!("{message}; it will be null"));
            }
        }
        let out = written.argument("out").and_then(|argument| self.output(argument, &action));
        let returns = action.returns.map(|field| field.property);
        Some(Call { name: member.name, action: member.id, arguments, returns, out })
    }

    fn argument(&mut self, given: &WrittenArgument, input: &Field) -> Option<Argument> {
        let at = given.value.span();
        let mut value = self.context.value_expr(&given.value)?;
        let ty = self.context.check_value(&mut value, &self.scope, &given.value, TDM4006);
        let mut conversion = Conversion::Coerce;
        let source = match &value {
            ValueExpr::Literal(text) => {
                self.context.check_literal(text, &input.property, input.is_list, at);
                None
            }
            ValueExpr::Typed(expr) | ValueExpr::Variable { path: expr, .. } => self.property_of(expr),
            ValueExpr::Template(_) => None,
        };
        match source {
            Some((property, is_list)) => {
                conversion = self.conversion(&property, is_list, &input.property, input.is_list, at)?;
            }
            None if !matches!(value, ValueExpr::Literal(_)) => self.check_assignable(&value, &ty, input, at),
            None => {}
        }
        Some(Argument { name: input.name.clone(), value, property: input.property.clone(), conversion })
    }

    /// The declared property an expression reads, and whether it is a list of it: a variable or a field below one.
    fn property_of(&self, expr: &Expr) -> Option<(Urn, bool)> {
        let path = expr.as_name_path()?;
        let (root, rest) = path.split_first()?;
        let variable = self.find_variable(root)?;
        let property = variable.property.clone()?;
        let below: Vec<SmolStr> = rest.iter().map(SmolStr::new).collect();
        let Some((last, above)) = below.split_last() else { return Some((property, variable.is_list)) };
        let holder = self.context.field_property(&property, above)?;
        let found = self.context.field_property(&holder, std::slice::from_ref(last))?;
        let is_list = self.context.property_type(&holder).is_some_and(|ty| match &ty.data_type {
            DataType::Complex(complex) => complex.field(last).is_some_and(|field| field.is_list),
            _ => false,
        });
        Some((found, is_list))
    }

    /// The conversion between two declared properties, or TDM3019.
    fn conversion(&mut self, from: &Urn, from_list: bool, to: &Urn, to_list: bool, at: Span) -> Option<Conversion> {
        let context = &*self.context;
        let planned = self.graph.plan(from, to, &|id| context.entity(id));
        let is_dynamic = self.context.is_json(from) || self.context.is_json(to);
        if from_list != to_list && !is_dynamic {
            let (one, other) = if from_list { ("a list of ", "") } else { ("", "a list of ") };
            let message = format!("{one}`{from}` is given where {other}`{to}` is needed");
            self.context.error(TDM3019, at, message);
            return None;
        }
        match planned {
            Ok(planned) => {
                if let Conversion::Mappings(hops) = &planned.conversion {
                    hops.iter().for_each(|hop| {
                        self.context.references.insert(hop.mapping.clone());
                    });
                }
                if let Some(warning) = planned.warning {
                    self.context.warning(TDM3019, at, warning);
                }
                Some(planned.conversion)
            }
            Err(error) => {
                let found = Diagnostic::error(TDM3019, at, error.to_string());
                self.context.findings.push(found.help("define a mapping between the two properties"));
                None
            }
        }
    }

    /// A computed value against an input: its static type, and its value when it is constant.
    fn check_assignable(&mut self, value: &ValueExpr, ty: &Type, input: &Field, at: Span) {
        let Some(property) = self.context.property_type(&input.property) else { return };
        let target = PropertyType::clone(&property);
        let wanted =
            if input.is_list { DataType::List(Box::new(target.data_type.clone())) } else { target.data_type.clone() };
        match assignable(ty, &wanted) {
            Assignability::Refused(message) => return self.context.error(TDM3019, at, message),
            Assignability::Warning(message) => self.context.warning(TDM3019, at, message),
            Assignability::Silent => {}
        }
        if let ValueExpr::Typed(expr) = value
            && let Some(constant) = super::super::mapping::literal(expr).filter(|constant| !constant.is_null())
            && let Err(error) = target.coerce_multi(&constant, input.is_list)
        {
            self.context.error(TDM3019, at, error.message);
        }
    }

    // ---- results

    /// `out`'s variable name, with or without `$`.
    fn out_name(argument: &WrittenArgument) -> Option<SmolStr> {
        let name = match &argument.value.kind {
            crate::syntax::ast::ValueKind::Variable(name) => name.clone(),
            _ => {
                let text = argument.value.as_text()?.trim();
                let text = text.strip_prefix("${").and_then(|text| text.strip_suffix('}')).unwrap_or(text);
                SmolStr::new(text.trim().trim_start_matches('$'))
            }
        };
        (!name.is_empty()).then_some(name)
    }

    /// Declares the variable an `out` names when nothing else does.
    pub(super) fn declare_by_use(&mut self, step: &Selection) {
        for activity in step.children() {
            let Some(argument) = activity.argument("out") else { continue };
            let Some(name) = Self::out_name(argument) else { continue };
            let is_word = name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
            if !is_word || self.scope.has(&name) {
                continue;
            }
            let callee = ["deviceModel", "webservice"].iter().find_map(|kind| activity.argument(kind));
            let callee = callee.and_then(|argument| Urn::parse(argument.value.as_text()?).ok());
            let capability = callee.and_then(|id| self.capability_of(&id));
            let call = self.call_of(activity, false);
            let action = capability.zip(call).and_then(|(capability, call)| self.member(&capability, &call.name.text));
            let Some((_, action)) = action else { continue };
            let message = format!("`{name}` is not declared; it becomes a variable with the action's return property");
            self.context.warning(TDM4006, argument.value.span(), message);
            self.names.take(&name, argument.value.span());
            let (property, is_list) = match action.returns {
                Some(field) => (Some(field.property), field.is_list),
                None => (None, false),
            };
            self.add_variable(Variable { name, property, is_list, default: None });
        }
    }

    fn output(&mut self, argument: &WrittenArgument, action: &Action) -> Option<Output> {
        let at = argument.value.span();
        let Some(name) = Self::out_name(argument) else {
            self.context.error(TDM4006, at, "`out` names a variable");
            return None;
        };
        let Some(variable) = self.find_variable(&name).cloned() else {
            let message = if self.scope.has(&name) {
                format!("`{}` is a parameter; a result goes into a variable", clip(&name))
            } else {
                format!("there is no variable `{}`", clip(&name))
            };
            self.context.error(TDM4006, at, message);
            return None;
        };
        let Some(returns) = &action.returns else {
            self.context.warning(TDM3019, at, format!("the action returns nothing; `{name}` becomes null"));
            return Some(Output { variable: variable.name, conversion: Conversion::Coerce });
        };
        let conversion = match &variable.property {
            Some(property) => self.conversion(&returns.property, returns.is_list, property, variable.is_list, at)?,
            None => Conversion::Coerce,
        };
        Some(Output { variable: variable.name, conversion })
    }

    // ---- choices

    fn choice(&mut self, written: &Selection) -> Option<Choice> {
        let mut rules = Vec::new();
        let mut default: Option<(ChoiceRule, Span)> = None;
        let mut is_whole = true;
        for arm in written.children().iter().filter(|selection| !is_ignore_marker(selection)) {
            if arm.name.is("default") {
                self.context.known_arguments(arm.arguments.as_ref(), &["name"]);
                let rule = self.arm(arm);
                match &default {
                    Some((_, first)) => {
                        let message = "a choice has one default".to_owned();
                        self.context.findings.push(super::super::context::twice(TDM4002, arm.span(), message, *first));
                    }
                    None => default = Some((rule, arm.span())),
                }
            } else if arm.name.is("rule") {
                self.context.known_arguments(arm.arguments.as_ref(), &["name", "expr"]);
                let argument = self.context.required_of(arm, "expr");
                let condition = argument.and_then(|argument| self.condition(&argument.value));
                is_whole &= condition.is_some();
                let rule = self.arm(arm);
                rules.push(ChoiceRule { condition, ..rule });
            } else {
                self.context.error(TDM3016, arm.span(), format!("unknown block `{}` in a choice", arm.name.text));
            }
        }
        let Some((default, _)) = default else {
            self.context.error(TDM4002, written.span(), "a choice needs a default");
            return None;
        };
        is_whole.then_some(Choice { rules, default })
    }

    /// An expression in Boolean context over parameters and variables.
    pub(super) fn condition(&mut self, value: &Value) -> Option<Expr> {
        let expr = self.context.expression(value)?;
        self.context.check_expr(&expr, &self.scope, value, TDM4006);
        Some(expr)
    }

    fn arm(&mut self, written: &Selection) -> ChoiceRule {
        let name = written.argument("name").and_then(|argument| argument.value.as_text()).cloned();
        let mut rule = ChoiceRule { name, condition: None, variables: Vec::new(), events: Vec::new() };
        for effect in written.children().iter().filter(|selection| !is_ignore_marker(selection)) {
            if effect.name.is("setEvent") {
                self.context.known_arguments(effect.arguments.as_ref(), &["name"]);
                if let Some(argument) = self.context.required_of(effect, "name") {
                    let events = self.context.names(&argument.value);
                    events.iter().for_each(|event| self.emit(event));
                    rule.events.extend(events);
                }
            } else if effect.name.is("setVariable") {
                self.context.known_arguments(effect.arguments.as_ref(), &["name", "value"]);
                rule.variables.extend(self.set_variable(effect));
            } else {
                self.context.error(TDM3016, effect.span(), format!("unknown block `{}` in a rule", effect.name.text));
            }
        }
        rule
    }

    fn set_variable(&mut self, written: &Selection) -> Option<SetVariable> {
        let name = self.context.required_of(written, "name")?;
        let value = self.context.required_of(written, "value")?;
        let text = Self::out_name(name)?;
        let Some(variable) = self.find_variable(&text).cloned() else {
            let message = format!("there is no variable `{}`", clip(&text));
            self.context.error(TDM4006, name.value.span(), message);
            return None;
        };
        let mut expr = self.context.value_expr(&value.value)?;
        let ty = self.context.check_value(&mut expr, &self.scope, &value.value, TDM4006);
        if let Some(property) = &variable.property {
            match &expr {
                ValueExpr::Literal(text) => {
                    self.context.check_literal(text, property, variable.is_list, value.value.span());
                }
                _ => {
                    let wanted = self.context.value_type(property, variable.is_list);
                    if let Type::Of(wanted) = wanted
                        && let Assignability::Refused(message) = assignable(&ty, &wanted)
                    {
                        self.context.error(TDM3019, value.value.span(), message);
                    }
                }
            }
        }
        Some(SetVariable { variable: variable.name, value: expr })
    }
}
