//! Flows: parameters, variables and steps wired by events (TG 3.11, 6.3 to 6.6).

use marram_expr::{EventExpr, Expr, ValueExpr};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use smol_str::SmolStr;

use super::{Direction, Primitive, Urn};

/// A checked flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// Identity, in display form.
    pub id: Urn,
    /// The name after `query`.
    pub name: SmolStr,
    /// The `description` argument.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// In order; `startFlow` passes by position.
    pub parameters: Vec<Parameter>,
    /// Declared ones in order, then those an `out` declared by use.
    pub variables: Vec<Variable>,
    /// In document order; names distinct ignoring case.
    pub steps: Vec<Step>,
    /// Every entity named, sorted, without repetition.
    pub references: Vec<Urn>,
}

impl Flow {
    /// Device models its activities use (search filter DEVICE_MODEL_ID), sorted, without repetition.
    pub fn device_models(&self) -> Vec<&Urn> {
        let mut models: Vec<&Urn> = self
            .steps
            .iter()
            .filter_map(|step| match &step.activity {
                Activity::Device { model, .. } => Some(model),
                _ => None,
            })
            .collect();
        models.sort();
        models.dedup();
        models
    }

    /// Services its activities call, sorted, without repetition.
    pub fn services(&self) -> Vec<&Urn> {
        let mut services: Vec<&Urn> = self
            .steps
            .iter()
            .filter_map(|step| match &step.activity {
                Activity::Service { service, .. } => Some(service),
                _ => None,
            })
            .collect();
        services.sort();
        services.dedup();
        services
    }

    /// Mappings its conversions go through, sorted, without repetition.
    pub fn mappings(&self) -> Vec<&Urn> {
        let mut mappings = Vec::new();
        for step in &self.steps {
            let (Activity::Device { call, .. } | Activity::Service { call, .. }) = &step.activity else { continue };
            let arguments = call.arguments.iter().map(|argument| &argument.conversion);
            let out = call.out.iter().map(|out| &out.conversion);
            arguments.chain(out).for_each(|conversion| conversion.collect_mappings(&mut mappings));
        }
        mappings.sort();
        mappings.dedup();
        mappings
    }
}

/// A parameter of a flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Without the `$`.
    pub name: SmolStr,
    /// Type.
    pub ty: ParameterType,
    /// `T!`: a start without it is refused.
    pub is_required: bool,
    /// Taken when the start passes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Json>,
}

/// The type of a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterType {
    /// Each value; an unknown type word is `Json`.
    pub primitive: Primitive,
    /// `[T]`.
    pub is_list: bool,
}

/// A variable of a flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variable {
    /// Without the `$`.
    pub name: SmolStr,
    /// What it holds; `None` for the undeclared `out` of a void action, which is null.
    pub property: Option<Urn>,
    /// A list of the property.
    #[serde(default)]
    pub is_list: bool,
    /// Initial value; null when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Json>,
}

/// A step of a flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Any characters.
    pub name: SmolStr,
    /// The `description` argument.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// When it runs.
    pub activation: Activation,
    /// Emitted when it succeeds.
    pub out_events: Vec<SmolStr>,
    /// False: the step is skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Expr>,
    /// Milliseconds one attempt may take; `None`: the runtime's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// What it does.
    pub activity: Activity,
    /// `OnError` retries, in order.
    pub retries: Vec<Retry>,
    /// `OnError` catches, in order.
    pub catches: Vec<Catch>,
    /// `OnSuccess` checks, in order.
    pub checks: Vec<Check>,
}

/// When a step runs (TG 6.3). Event names compare ignoring case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Activation {
    /// Once, when the execution starts.
    AtStart,
    /// When every listed event has a token.
    All(Vec<SmolStr>),
    /// When the expression over available tokens holds.
    When(EventExpr),
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Activity {
    /// Calls an action of a device.
    Device {
        /// The model called; the model of the device when a Device URN was written.
        model: Urn,
        /// A Device the document pins, by `@device(id)` or by naming it as `deviceModel`.
        pinned: Option<Urn>,
        /// Yields the thing's name.
        device_id: ValueExpr,
        /// The call.
        call: Call,
    },
    /// Calls an action of a service.
    Service {
        /// The service.
        service: Urn,
        /// The call.
        call: Call,
    },
    /// Chooses events by conditions.
    Choice(Choice),
}

/// A call of an action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// As the capability spells it.
    pub name: SmolStr,
    /// The action type.
    pub action: Urn,
    /// One per given argument, in the order of the action type's inputs. Missing ones are null.
    pub arguments: Vec<Argument>,
    /// What the action returns; `None` is void.
    pub returns: Option<Urn>,
    /// Where the result goes.
    pub out: Option<Output>,
}

/// An argument of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Argument {
    /// As the action type spells it.
    pub name: SmolStr,
    /// The value given.
    pub value: ValueExpr,
    /// The input's property.
    pub property: Urn,
    /// How the value becomes one of that property.
    pub conversion: Conversion,
}

/// The variable a result is stored in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// As declared.
    pub variable: SmolStr,
    /// How the result becomes a value of the variable's property.
    pub conversion: Conversion,
}

/// How a value of one property becomes a value of another (TG 5.5).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Conversion {
    /// Coerced to the target property by the rules of TG 4.6; nothing to do when it already is one.
    #[default]
    Coerce,
    /// Through these mappings, first to last, then coerced.
    Mappings(Vec<MappingHop>),
    /// Complex to complex by equal field names.
    Fields(Vec<FieldConversion>),
}

impl Conversion {
    fn collect_mappings<'c>(&'c self, into: &mut Vec<&'c Urn>) {
        match self {
            Conversion::Coerce => {}
            Conversion::Mappings(hops) => into.extend(hops.iter().map(|hop| &hop.mapping)),
            Conversion::Fields(fields) => {
                fields.iter().for_each(|field| field.conversion.collect_mappings(into));
            }
        }
    }
}

/// One edge of the conversion graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappingHop {
    /// The mapping.
    pub mapping: Urn,
    /// Which way.
    pub direction: Direction,
}

/// How one field of a complex value is converted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldConversion {
    /// Field of the target, as it is spelled there; the source has one of the same name ignoring case.
    pub field: SmolStr,
    /// How.
    pub conversion: Conversion,
}

/// A `ChoiceActivity`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// In order; the first that holds is taken.
    pub rules: Vec<ChoiceRule>,
    /// Taken when none holds; its `condition` is absent.
    pub default: ChoiceRule,
}

/// One arm of a choice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChoiceRule {
    /// Optional name, for messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<SmolStr>,
    /// `None` in the default arm only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Expr>,
    /// Assigned before the events are emitted, in order.
    pub variables: Vec<SetVariable>,
    /// Emitted, in order.
    pub events: Vec<SmolStr>,
}

/// `setVariable(name, value)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetVariable {
    /// As declared.
    pub variable: SmolStr,
    /// The value.
    pub value: ValueExpr,
}

/// Which errors a clause is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ErrorMatch {
    /// `errorEquals`; wildcards by TG 6.5.
    Names(Vec<SmolStr>),
    /// `condition` over `Error` and `ErrorMessage`.
    Condition(Expr),
}

/// A `Retry` clause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// For messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<SmolStr>,
    /// Which errors.
    pub matches: ErrorMatch,
    /// Milliseconds before the first retry; default 1000.
    pub interval_ms: u64,
    /// Factor per further retry, at least 1; default 2.
    pub backoff_rate: f64,
    /// Retries at most; 0 is never; default 3.
    pub max_attempts: u32,
}

/// A `Catch` clause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Catch {
    /// For messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<SmolStr>,
    /// Which errors.
    pub matches: ErrorMatch,
    /// Runs first, in order; `raiseEvent` names are `Statement::Raise` at the end.
    pub statements: Vec<Statement>,
}

/// A `Check` of `OnSuccess`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// For messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<SmolStr>,
    /// What is tested.
    pub condition: Expr,
    /// When it holds, in order.
    pub on_pass: Vec<Statement>,
    /// When it does not.
    pub on_fail: Vec<Statement>,
}

/// An effect inside `Catch`, `OnPass` or `OnFail`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Statement {
    /// Emits an event: `$ev.IsTrue = true` or `raiseEvent`. `= false` leaves no statement.
    Raise(SmolStr),
    /// Assigns to a variable or a field of it.
    Assign {
        /// Variable, then field names.
        target: Vec<SmolStr>,
        /// The value.
        value: Expr,
    },
}
