//! Flows: events, variables and mappings by index.

use std::sync::Arc;

use marram_expr::{DataType, EventExpr, PropertyType, Value, ValueExpr};
use marram_flow::convert::{Conversion, FieldConversion, Hop, HopRule};
use marram_flow::event::{Gate, Join};
use marram_flow::program::{
    Act, Activity, Argument, Call, Catch, Check, Flow, Out, Parameter, Retry, Rule, Selector, Step, Variable,
};
use marram_tdm::model::{self, Activation, EntityKind, ErrorMatch, MappingRule, Statement};
use smol_str::SmolStr;

use super::{LowerError, World, listed};

/// A compiled flow.
pub(super) fn flow(world: &World<'_>, source: &model::Flow, revision: i64) -> Result<Flow, LowerError> {
    let mut lowering = Lowering { world, variables: Vec::new(), events: Vec::new() };
    let parameters = source.parameters.iter().map(parameter).collect::<Result<_, _>>()?;
    for variable in &source.variables {
        let lowered = lowering.variable(variable)?;
        lowering.variables.push(lowered);
    }
    let steps = source.steps.iter().map(|step| lowering.step(step)).collect::<Result<_, _>>()?;
    Ok(Flow {
        id: SmolStr::new(source.id.as_str()),
        revision,
        parameters,
        variables: lowering.variables,
        events: lowering.events,
        steps,
    })
}

fn parameter(source: &model::Parameter) -> Result<Parameter, LowerError> {
    let property = PropertyType::built_in(source.ty.primitive.to_data_type());
    let property = if source.ty.is_list { listed(&property) } else { Arc::new(property) };
    let default = source.default.as_ref().map(|default| property.coerce(&Value::from_json(default)));
    Ok(Parameter {
        name: source.name.clone(),
        property,
        is_required: source.is_required,
        default: default.transpose().map_err(|error| LowerError(error.message))?,
        is_secret: false,
    })
}

struct Lowering<'l, 'w> {
    world: &'l World<'w>,
    variables: Vec<Variable>,
    /// As first spelled.
    events: Vec<SmolStr>,
}

impl Lowering<'_, '_> {
    fn variable(&self, source: &model::Variable) -> Result<Variable, LowerError> {
        let property = match &source.property {
            Some(id) => self.world.property(id, source.is_list)?,
            None => Arc::new(PropertyType::built_in(DataType::Json)),
        };
        let initial = source.default.as_ref().map(|default| property.coerce(&Value::from_json(default)));
        Ok(Variable {
            name: source.name.clone(),
            initial: initial.transpose().map_err(|error| LowerError(error.message))?.unwrap_or_default(),
            is_secret: source.property.as_ref().is_some_and(|id| self.world.is_secret(id)),
            property,
        })
    }

    fn event(&mut self, name: &SmolStr) -> Result<u16, LowerError> {
        let known = self.events.iter().position(|event| event.eq_ignore_ascii_case(name));
        let index = known.unwrap_or_else(|| {
            self.events.push(name.clone());
            self.events.len() - 1
        });
        u16::try_from(index).map_err(|_| LowerError("too many events".to_owned()))
    }

    fn variable_index(&self, name: &str) -> Result<u16, LowerError> {
        let known = self.variables.iter().position(|variable| variable.name.eq_ignore_ascii_case(name));
        known
            .and_then(|index| u16::try_from(index).ok())
            .ok_or_else(|| LowerError(format!("the variable {name} is not declared")))
    }

    fn events_of(&mut self, names: &[SmolStr]) -> Result<Vec<u16>, LowerError> {
        names.iter().map(|name| self.event(name)).collect()
    }

    fn step(&mut self, source: &model::Step) -> Result<Step, LowerError> {
        let mut inlets = Vec::new();
        let join = match &source.activation {
            Activation::AtStart => Join::Start,
            Activation::All(names) => {
                let events = self.events_of(names)?;
                let mut all: Vec<u16> = events.into_iter().map(|event| inlet(&mut inlets, event)).collect();
                all.sort_unstable();
                all.dedup();
                Join::All(all)
            }
            Activation::When(expr) => Join::Expr(self.gate(expr, &mut inlets)?),
        };
        Ok(Step {
            name: source.name.clone(),
            inlets,
            join,
            out_events: self.events_of(&source.out_events)?,
            condition: source.condition.clone(),
            timeout_ms: source.timeout_ms,
            activity: self.activity(&source.activity)?,
            retries: source.retries.iter().map(retry).collect(),
            catches: source.catches.iter().map(|clause| self.catch(clause)).collect::<Result<_, _>>()?,
            checks: source.checks.iter().map(|check| self.check(check)).collect::<Result<_, _>>()?,
        })
    }

    fn gate(&mut self, expr: &EventExpr, inlets: &mut Vec<u16>) -> Result<Gate, LowerError> {
        Ok(match expr {
            EventExpr::Event(name) => Gate::Event(inlet(inlets, self.event(name)?)),
            EventExpr::Not(inner) => Gate::Not(Box::new(self.gate(inner, inlets)?)),
            EventExpr::And(left, right) => {
                Gate::And(Box::new(self.gate(left, inlets)?), Box::new(self.gate(right, inlets)?))
            }
            EventExpr::Or(left, right) => {
                Gate::Or(Box::new(self.gate(left, inlets)?), Box::new(self.gate(right, inlets)?))
            }
        })
    }

    fn activity(&mut self, source: &model::Activity) -> Result<Activity, LowerError> {
        Ok(match source {
            model::Activity::Device { model, pinned, device_id, call } => Activity::Device {
                model: SmolStr::new(model.as_str()),
                pinned: pinned.as_ref().map(|pinned| SmolStr::new(pinned.as_str())),
                thing: device_id.clone(),
                call: self.call(call)?,
            },
            model::Activity::Service { service, call } => {
                Activity::Service { service: SmolStr::new(service.as_str()), call: self.call(call)? }
            }
            model::Activity::Choice(choice) => {
                let rules = choice.rules.iter().map(|rule| {
                    let expr = rule.condition.clone();
                    let expr = expr.ok_or_else(|| LowerError("a rule has no condition".to_owned()))?;
                    Ok(Rule { name: rule.name.clone(), expr, acts: self.arm(rule)? })
                });
                let rules = rules.collect::<Result<_, LowerError>>()?;
                Activity::Choice { rules, default: self.arm(&choice.default)? }
            }
        })
    }

    /// Variables first, then events (TG 6.4).
    fn arm(&mut self, rule: &model::ChoiceRule) -> Result<Vec<Act>, LowerError> {
        let mut acts = Vec::new();
        for set in &rule.variables {
            acts.push(Act::Assign {
                variable: self.variable_index(&set.variable)?,
                path: Vec::new(),
                value: set.value.clone(),
                conversion: Conversion::Coerce,
            });
        }
        for event in &rule.events {
            acts.push(Act::Emit(self.event(event)?));
        }
        Ok(acts)
    }

    fn statements(&mut self, statements: &[Statement]) -> Result<Vec<Act>, LowerError> {
        let acts = statements.iter().map(|statement| {
            Ok(match statement {
                Statement::Raise(event) => Act::Emit(self.event(event)?),
                Statement::Assign { target, value } => {
                    let (variable, path) =
                        target.split_first().ok_or_else(|| LowerError("an assignment has no target".to_owned()))?;
                    Act::Assign {
                        variable: self.variable_index(variable)?,
                        path: path.to_vec(),
                        value: ValueExpr::Typed(value.clone()),
                        conversion: Conversion::Coerce,
                    }
                }
            })
        });
        acts.collect()
    }

    fn catch(&mut self, clause: &model::Catch) -> Result<Catch, LowerError> {
        Ok(Catch {
            name: clause.name.clone(),
            selector: selector(&clause.matches),
            acts: self.statements(&clause.statements)?,
        })
    }

    fn check(&mut self, check: &model::Check) -> Result<Check, LowerError> {
        Ok(Check {
            name: check.name.clone(),
            condition: check.condition.clone(),
            on_pass: self.statements(&check.on_pass)?,
            on_fail: self.statements(&check.on_fail)?,
        })
    }

    fn call(&self, call: &model::Call) -> Result<Call, LowerError> {
        let args = call.arguments.iter().map(|argument| {
            Ok(Argument {
                name: argument.name.clone(),
                value: argument.value.clone(),
                conversion: self.conversion(&argument.conversion)?,
            })
        });
        let args = args.collect::<Result<_, LowerError>>()?;
        let out = call.out.as_ref().map(|out| {
            Ok::<_, LowerError>(Out {
                variable: self.variable_index(&out.variable)?,
                conversion: self.conversion(&out.conversion)?,
            })
        });
        Ok(Call { action: call.name.clone(), args, out: out.transpose()? })
    }

    fn conversion(&self, conversion: &model::Conversion) -> Result<Conversion, LowerError> {
        Ok(match conversion {
            model::Conversion::Coerce => Conversion::Coerce,
            model::Conversion::Mappings(hops) => {
                Conversion::Mappings(hops.iter().map(|hop| self.hop(hop)).collect::<Result<_, _>>()?)
            }
            model::Conversion::Fields(fields) => {
                let fields = fields.iter().map(|field| {
                    let conversion = self.conversion(&field.conversion)?;
                    Ok(FieldConversion { field: field.field.clone(), conversion })
                });
                Conversion::Fields(fields.collect::<Result<_, LowerError>>()?)
            }
        })
    }

    fn hop(&self, hop: &model::MappingHop) -> Result<Hop, LowerError> {
        let entity = self.world.entity(&hop.mapping)?;
        let EntityKind::Mapping(mapping) = &entity.kind else {
            return Err(LowerError(format!("{} is no mapping", hop.mapping)));
        };
        let (source, target) = mapping.ends(hop.direction);
        let rules = mapping.rules(hop.direction);
        let rules = rules.ok_or_else(|| LowerError(format!("{} has no rules in that direction", hop.mapping)))?;
        let rules = rules.iter().filter_map(|rule| match rule {
            MappingRule::Value { guard, value } => {
                Some(Ok(HopRule::Value { guard: guard.clone(), value: value.clone() }))
            }
            MappingRule::Field { source, target, conversion } => {
                Some(self.conversion(conversion).map(|conversion| HopRule::Field {
                    source: source.clone(),
                    path: target.clone(),
                    conversion,
                }))
            }
            MappingRule::Skip { .. } => None,
        });
        Ok(Hop {
            mapping: SmolStr::new(entity.id.as_str()),
            alias: source.alias.clone(),
            target: self.world.property(&target.property, false)?,
            rules: rules.collect::<Result<_, LowerError>>()?,
        })
    }
}

/// Index of `event` among the inlets of a step.
fn inlet(inlets: &mut Vec<u16>, event: u16) -> u16 {
    let index = inlets.iter().position(|known| *known == event).unwrap_or_else(|| {
        inlets.push(event);
        inlets.len() - 1
    });
    // Never more than there are events, whose indices fit.
    u16::try_from(index).unwrap_or(u16::MAX)
}

fn retry(source: &model::Retry) -> Retry {
    Retry {
        name: source.name.clone(),
        selector: selector(&source.matches),
        interval_ms: source.interval_ms,
        backoff_rate: source.backoff_rate,
        max_attempts: source.max_attempts,
    }
}

fn selector(matches: &ErrorMatch) -> Selector {
    match matches {
        ErrorMatch::Names(names) => Selector::Errors(names.clone()),
        ErrorMatch::Condition(condition) => Selector::Condition(condition.clone()),
    }
}
