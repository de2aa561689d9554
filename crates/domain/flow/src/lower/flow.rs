//! Flows: events and variables by index, conversions unrolled, secrets followed from where they are used.

use std::sync::Arc;

use marram_expr::{DataType, EventExpr, PropertyType, Value, ValueExpr};
use marram_tdm::model::{
    Activation, Activity as CheckedActivity, Call as CheckedCall, ChoiceRule, Conversion as Checked, EntityKind,
    ErrorMatch, Flow as CheckedFlow, MappingHop, MappingRule, Statement, Step as CheckedStep,
};
use smol_str::SmolStr;

use super::{Lower, LowerError, index, listed, missing};
use crate::convert::{Conversion, FieldConversion, Hop, HopRule};
use crate::event::{Gate, Join};
use crate::program::{
    Act, Activity, Argument, Call, Catch, Check, Flow, Out, Parameter, Retry, Rule, Selector, Step, Variable,
};

/// Names of a flow on their way to indices.
struct Names {
    events: Vec<SmolStr>,
    variables: Vec<SmolStr>,
    /// Names whose value reached a secret input.
    secret: Vec<SmolStr>,
}

impl Names {
    fn event(&mut self, name: &SmolStr) -> Result<u16, LowerError> {
        let known = self.events.iter().position(|known| known.eq_ignore_ascii_case(name));
        match known {
            Some(at) => Ok(u16::try_from(at).expect("indices are handed out below 65536")),
            None => {
                let at = index(&self.events, "events")?;
                self.events.push(name.clone());
                Ok(at)
            }
        }
    }

    fn variable(&self, name: &str) -> Result<u16, LowerError> {
        let name = name.trim_start_matches('$');
        let at = self.variables.iter().position(|known| known.eq_ignore_ascii_case(name));
        at.and_then(|at| u16::try_from(at).ok()).ok_or_else(|| LowerError::NoVariable(name.into()))
    }

    fn is_secret(&self, name: &str) -> bool {
        self.secret.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

impl Lower<'_> {
    pub(super) fn flow(&self, flow: &CheckedFlow, revision: i64) -> Result<Flow, LowerError> {
        index(&flow.steps, "steps")?;
        index(&flow.variables, "variables")?;
        let variables = flow.variables.iter().map(|variable| variable.name.clone()).collect();
        let mut names = Names { events: Vec::new(), variables, secret: Vec::new() };
        let mut steps = Vec::with_capacity(flow.steps.len());
        for step in &flow.steps {
            steps.push(self.step(step, &mut names)?);
        }
        let parameters = flow.parameters.iter().map(|parameter| {
            let property = Arc::new(PropertyType::built_in(parameter.ty.primitive.into()));
            let property = listed(property, parameter.ty.is_list);
            let default = parameter.default.as_ref().map(Value::from_json);
            Parameter {
                name: parameter.name.clone(),
                default: default.and_then(|value| property.coerce(&value).ok()),
                property,
                is_required: parameter.is_required,
                is_secret: names.is_secret(&parameter.name),
            }
        });
        let parameters = parameters.collect();
        let mut variables = Vec::with_capacity(flow.variables.len());
        for variable in &flow.variables {
            let (property, is_secret) = match &variable.property {
                Some(id) => (self.property(id, variable.is_list)?, self.is_secret(id)),
                None => (Arc::new(PropertyType::built_in(DataType::Json)), false),
            };
            let initial = variable.default.as_ref().map(Value::from_json);
            variables.push(Variable {
                name: variable.name.clone(),
                initial: initial.and_then(|value| property.coerce(&value).ok()).unwrap_or_default(),
                property,
                is_secret: is_secret || names.is_secret(&variable.name),
            });
        }
        Ok(Flow { id: flow.id.as_str().into(), revision, parameters, variables, events: names.events, steps })
    }

    fn step(&self, step: &CheckedStep, names: &mut Names) -> Result<Step, LowerError> {
        let mut inlets = Vec::new();
        let join = match &step.activation {
            Activation::AtStart => Join::Start,
            Activation::All(events) => {
                for event in events {
                    inlets.push(names.event(event)?);
                }
                inlets.sort_unstable();
                inlets.dedup();
                Join::All((0..index(&inlets, "events")?).collect())
            }
            Activation::When(expr) => Join::Expr(gate(expr, &mut inlets, names)?),
        };
        let activity = match &step.activity {
            CheckedActivity::Device { model, pinned, device_id, call } => Activity::Device {
                model: model.as_str().into(),
                pinned: pinned.as_ref().map(|pinned| pinned.as_str().into()),
                thing: device_id.clone(),
                call: self.call(call, names)?,
            },
            CheckedActivity::Service { service, call } => {
                Activity::Service { service: service.as_str().into(), call: self.call(call, names)? }
            }
            CheckedActivity::Choice(choice) => {
                let mut rules = Vec::with_capacity(choice.rules.len());
                for rule in &choice.rules {
                    let Some(expr) = rule.condition.clone() else { continue };
                    rules.push(Rule { name: rule.name.clone(), expr, acts: choice_acts(rule, names)? });
                }
                Activity::Choice { rules, default: choice_acts(&choice.default, names)? }
            }
        };
        let retries = step.retries.iter().map(|retry| Retry {
            name: retry.name.clone(),
            selector: selector(&retry.matches),
            interval_ms: retry.interval_ms,
            backoff_rate: retry.backoff_rate,
            max_attempts: retry.max_attempts,
        });
        let retries = retries.collect();
        let mut catches = Vec::with_capacity(step.catches.len());
        for catch in &step.catches {
            let acts = statements(&catch.statements, names)?;
            catches.push(Catch { name: catch.name.clone(), selector: selector(&catch.matches), acts });
        }
        let mut checks = Vec::with_capacity(step.checks.len());
        for check in &step.checks {
            checks.push(Check {
                name: check.name.clone(),
                condition: check.condition.clone(),
                on_pass: statements(&check.on_pass, names)?,
                on_fail: statements(&check.on_fail, names)?,
            });
        }
        let mut out_events = Vec::with_capacity(step.out_events.len());
        for event in &step.out_events {
            out_events.push(names.event(event)?);
        }
        Ok(Step {
            name: step.name.clone(),
            inlets,
            join,
            out_events,
            condition: step.condition.clone(),
            timeout_ms: step.timeout_ms,
            activity,
            retries,
            catches,
            checks,
        })
    }

    fn call(&self, call: &CheckedCall, names: &mut Names) -> Result<Call, LowerError> {
        let mut args = Vec::with_capacity(call.arguments.len());
        for argument in &call.arguments {
            if self.is_secret(&argument.property) {
                let roots = argument.value.exprs().into_iter().flat_map(|expr| expr.roots());
                names.secret.extend(roots.map(|root| SmolStr::new(root.trim_start_matches('$'))));
            }
            args.push(Argument {
                name: argument.name.clone(),
                value: argument.value.clone(),
                conversion: self.conversion(&argument.conversion)?,
            });
        }
        let out = match &call.out {
            None => None,
            Some(out) => {
                Some(Out { variable: names.variable(&out.variable)?, conversion: self.conversion(&out.conversion)? })
            }
        };
        Ok(Call { action: call.name.clone(), args, out })
    }

    fn conversion(&self, conversion: &Checked) -> Result<Conversion, LowerError> {
        Ok(match conversion {
            Checked::Coerce => Conversion::Coerce,
            Checked::Mappings(hops) => {
                Conversion::Mappings(hops.iter().map(|hop| self.hop(hop)).collect::<Result<_, _>>()?)
            }
            Checked::Fields(fields) => {
                let fields = fields.iter().map(|field| {
                    let conversion = self.conversion(&field.conversion)?;
                    Ok(FieldConversion { field: field.field.clone(), conversion })
                });
                Conversion::Fields(fields.collect::<Result<_, LowerError>>()?)
            }
        })
    }

    fn hop(&self, hop: &MappingHop) -> Result<Hop, LowerError> {
        let entity = self.entity(&hop.mapping)?;
        let EntityKind::Mapping(mapping) = &entity.kind else { return Err(missing(&hop.mapping)) };
        let rules = mapping.rules(hop.direction).ok_or_else(|| missing(&hop.mapping))?;
        let (source, target) = mapping.ends(hop.direction);
        let mut lowered = Vec::with_capacity(rules.len());
        for rule in rules {
            match rule {
                MappingRule::Value { guard, value } => {
                    lowered.push(HopRule::Value { guard: guard.clone(), value: value.clone() });
                }
                MappingRule::Field { source, target, conversion } => lowered.push(HopRule::Field {
                    source: source.clone(),
                    path: target.clone(),
                    conversion: self.conversion(conversion)?,
                }),
                MappingRule::Skip { .. } => {}
            }
        }
        Ok(Hop {
            mapping: entity.id.as_str().into(),
            alias: source.alias.clone(),
            target: self.property(&target.property, false)?,
            rules: lowered,
        })
    }
}

/// An event expression over inlets; each event is one inlet however often it is mentioned.
fn gate(expr: &EventExpr, inlets: &mut Vec<u16>, names: &mut Names) -> Result<Gate, LowerError> {
    Ok(match expr {
        EventExpr::Event(name) => {
            let event = names.event(name)?;
            let known = inlets.iter().position(|known| *known == event);
            let at = known.unwrap_or(inlets.len());
            if known.is_none() {
                inlets.push(event);
            }
            Gate::Event(u16::try_from(at).map_err(|_| LowerError::TooMany("events"))?)
        }
        EventExpr::Not(inner) => Gate::Not(Box::new(gate(inner, inlets, names)?)),
        EventExpr::And(a, b) => Gate::And(Box::new(gate(a, inlets, names)?), Box::new(gate(b, inlets, names)?)),
        EventExpr::Or(a, b) => Gate::Or(Box::new(gate(a, inlets, names)?), Box::new(gate(b, inlets, names)?)),
    })
}

fn selector(matches: &ErrorMatch) -> Selector {
    match matches {
        ErrorMatch::Names(errors) => Selector::Errors(errors.clone()),
        ErrorMatch::Condition(condition) => Selector::Condition(condition.clone()),
    }
}

fn choice_acts(rule: &ChoiceRule, names: &mut Names) -> Result<Vec<Act>, LowerError> {
    let mut acts = Vec::with_capacity(rule.variables.len() + rule.events.len());
    for set in &rule.variables {
        acts.push(Act::Assign {
            variable: names.variable(&set.variable)?,
            path: Vec::new(),
            value: set.value.clone(),
            conversion: Conversion::Coerce,
        });
    }
    for event in &rule.events {
        acts.push(Act::Emit(names.event(event)?));
    }
    Ok(acts)
}

fn statements(statements: &[Statement], names: &mut Names) -> Result<Vec<Act>, LowerError> {
    let lowered = statements.iter().map(|statement| match statement {
        Statement::Raise(event) => Ok(Act::Emit(names.event(event)?)),
        Statement::Assign { target, value } => {
            let [variable, path @ ..] = target.as_slice() else { return Err(LowerError::NoVariable("".into())) };
            Ok(Act::Assign {
                variable: names.variable(variable)?,
                path: path.to_vec(),
                value: ValueExpr::Typed(value.clone()),
                conversion: Conversion::Coerce,
            })
        }
    });
    lowered.collect()
}
