//! What expressions of a flow see (TG 4.3), and the engine's narrow door to the expression language.

use std::borrow::Cow;
use std::sync::Arc;

use marram_expr::{DataType, EnumType, EnumValue, EvalError, Expr, Object, PropertyType, Scope, Value, ValueExpr};
use serde_json::Value as Json;
use smol_str::SmolStr;

use crate::execution::Execution;
use crate::fault::{self, Fault};
use crate::program::{Program, Site};

/// Names visible to arguments, conditions, rules, checks and statements of a step.
pub(crate) struct FlowScope<'a> {
    pub program: &'a Program,
    pub exec: &'a Execution,
    pub step: &'a str,
    /// The thing of the current activity; empty when there is none.
    pub thing: &'a str,
    /// The failure a Retry or Catch looks at.
    pub fault: Option<&'a Fault>,
}

impl Scope for FlowScope<'_> {
    fn lookup(&self, name: &str) -> Option<Cow<'_, Value>> {
        let flow = &*self.program.flow;
        if let Some(index) = flow.variables.iter().position(|variable| variable.name.eq_ignore_ascii_case(name)) {
            return Some(Cow::Borrowed(&self.exec.variables[index]));
        }
        if let Some(index) = flow.parameters.iter().position(|parameter| parameter.name.eq_ignore_ascii_case(name)) {
            return Some(Cow::Borrowed(&self.exec.params[index]));
        }
        if let Some(fault) = self.fault {
            if name.eq_ignore_ascii_case("Error") {
                return Some(Cow::Owned(Value::string(fault.name.clone())));
            }
            if name.eq_ignore_ascii_case("ErrorMessage") {
                return Some(Cow::Owned(Value::string(fault.message.as_str())));
            }
        }
        system_name(name, || runtime_object(self.program, self.exec, self.step, self.thing), &self.program.site)
    }

    fn now_ms(&self) -> Option<i64> {
        Some(self.exec.now.0)
    }
}

/// `systemRuntime` and `systemConfig`.
pub(crate) fn system_name(name: &str, runtime: impl FnOnce() -> Object, site: &Site) -> Option<Cow<'static, Value>> {
    if name.eq_ignore_ascii_case("systemRuntime") {
        Some(Cow::Owned(Value::object(runtime())))
    } else if name.eq_ignore_ascii_case("systemConfig") {
        Some(Cow::Owned(Value::object(config_object(site))))
    } else {
        None
    }
}

pub(crate) fn runtime_object(program: &Program, exec: &Execution, step: &str, thing: &str) -> Object {
    let site = &program.site;
    Object::from_iter([
        ("deviceId", Value::string(thing)),
        ("executionId", Value::string(exec.id.clone())),
        ("flowId", Value::string(program.flow.id.clone())),
        ("systemId", Value::string(site.system.clone())),
        ("deploymentId", Value::string(site.deployment.clone())),
        ("stepName", Value::string(step)),
        ("now", Value::string(iso_time(exec.now.0))),
    ])
}

fn config_object(site: &Site) -> Object {
    Object::from_iter([
        ("awsRegion", Value::string(site.region.clone())),
        ("awsAccountId", Value::string(site.account.clone())),
        ("accountId", Value::string(site.account.clone())),
    ])
}

/// Names visible to an event's topic: the thing and the configuration (TG 4.3).
pub(crate) struct TopicScope<'a> {
    pub site: &'a Site,
    pub thing: &'a str,
}

impl Scope for TopicScope<'_> {
    fn lookup(&self, name: &str) -> Option<Cow<'_, Value>> {
        system_name(name, || Object::from_iter([("deviceId", Value::string(self.thing))]), self.site)
    }
}

/// ISO 8601 with milliseconds, UTC: the form of execution ids (TG 6.1).
pub(crate) fn iso_time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| format!("{time:.3}"))
}

pub(crate) fn fault_of(error: EvalError) -> Fault {
    Fault::new(error.kind.name(), error.message)
}

/// The value of `expr`.
pub(crate) fn eval(expr: &Expr, scope: &dyn Scope) -> Result<Value, Fault> {
    marram_expr::eval(expr, scope).map(Cow::into_owned).map_err(fault_of)
}

/// The value of an attribute string.
pub(crate) fn eval_value(value: &ValueExpr, scope: &dyn Scope) -> Result<Value, Fault> {
    marram_expr::eval_value(value, scope).map(Cow::into_owned).map_err(fault_of)
}

/// Whether `expr` is true in Boolean context (TG 4.7).
pub(crate) fn test(expr: &Expr, scope: &dyn Scope) -> Result<bool, Fault> {
    marram_expr::eval_bool(expr, scope).map_err(fault_of)
}

/// The text of an attribute string; null is an error.
pub(crate) fn eval_text(value: &ValueExpr, scope: &dyn Scope) -> Result<SmolStr, Fault> {
    match eval_value(value, scope)? {
        Value::String(text) => Ok(text),
        Value::Null => Err(Fault::new(fault::EXPRESSION_ERROR, "the value is null")),
        other => text(&other),
    }
}

/// `value` as a value of `property`.
pub(crate) fn coerce(value: &Value, property: &PropertyType) -> Result<Value, Fault> {
    property.coerce(value).map_err(fault_of)
}

/// The text form of a value (TG 4.6).
pub(crate) fn text(value: &Value) -> Result<SmolStr, Fault> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Enum(member) => Ok(member.name().clone()),
        Value::Occurrence(occurrence) => text(&occurrence.payload),
        other => other.to_json_string().map(SmolStr::from).map_err(fault_of),
    }
}

/// `value` as JSON for the trace. A number that JSON cannot hold shows as null: the trace must not fail a step.
pub(crate) fn json(value: &Value) -> Json {
    value.to_json().unwrap_or_default()
}

/// The member `name` of a value; null when it has none.
pub(crate) fn field(value: &Value, name: &str) -> Value {
    let found = match value {
        Value::Object(object) => object.get(name),
        Value::Complex(complex) => complex.fields.get(name),
        _ => None,
    };
    found.cloned().unwrap_or_default()
}

/// The enum type itself or its member called `name`: rules write `OFF` and `Mode.OFF`.
pub(crate) fn enum_name(ty: &Arc<EnumType>, name: &str) -> Option<Value> {
    let member = |member| Value::Enum(EnumValue { ty: Arc::clone(ty), member });
    if let Some(index) = ty.find(name) {
        return Some(member(index));
    }
    ty.name.eq_ignore_ascii_case(name).then(|| {
        Value::object(ty.members.iter().enumerate().map(|(index, entry)| (entry.name.clone(), member(index))).collect())
    })
}

/// `slot` with the field at `path` replaced. A null slot becomes an object.
pub(crate) fn with_field(
    slot: &Value,
    path: &[SmolStr],
    value: Value,
    property: &PropertyType,
) -> Result<Value, Fault> {
    let changed = set_field(slot, path, value)?;
    match &property.data_type {
        DataType::Complex(_) => coerce(&changed, property),
        _ => Ok(changed),
    }
}

fn set_field(slot: &Value, path: &[SmolStr], value: Value) -> Result<Value, Fault> {
    let [name, deeper @ ..] = path else { return Ok(value) };
    let mut object = match slot {
        Value::Null => Object::new(),
        Value::Object(object) => (**object).clone(),
        Value::Complex(complex) => complex.fields.clone(),
        other => {
            let message = format!("a value of type {} has no field `{name}`", other.type_name());
            return Err(Fault::new(fault::TYPE_ERROR, message));
        }
    };
    let spelled = object.iter().map(|(key, _)| key).find(|key| key.eq_ignore_ascii_case(name)).cloned();
    let inner = object.get(name).cloned().unwrap_or_default();
    object.insert(spelled.unwrap_or_else(|| name.clone()), set_field(&inner, deeper, value)?);
    Ok(Value::object(object))
}

/// The values that must not appear in messages (TG 11.5).
pub(crate) fn secrets(program: &Program, exec: &Execution) -> Vec<Json> {
    let parameters = program.flow.parameters.iter().map(|parameter| parameter.is_secret).zip(&exec.params);
    let variables = program.flow.variables.iter().map(|variable| variable.is_secret).zip(&exec.variables);
    let mut secrets = Vec::new();
    for (is_secret, value) in parameters.chain(variables) {
        if is_secret {
            leaves(json(value), &mut secrets);
        }
    }
    secrets
}

/// The scalar leaves of a secret; a Boolean or null gives nothing away that redacting could hide.
fn leaves(value: Json, into: &mut Vec<Json>) {
    match value {
        Json::Array(items) => items.into_iter().for_each(|item| leaves(item, into)),
        Json::Object(fields) => fields.into_iter().for_each(|(_, field)| leaves(field, into)),
        Json::String(_) | Json::Number(_) => into.push(value),
        Json::Null | Json::Bool(_) => {}
    }
}

/// The parameters as the trace shows them.
pub(crate) fn params_json(program: &Program, exec: &Execution) -> Json {
    let named = program.flow.parameters.iter().zip(&exec.params);
    Json::Object(named.map(|(parameter, value)| (parameter.name.to_string(), json(value))).collect())
}
