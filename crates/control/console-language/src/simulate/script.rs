//! A script for somebody who has none yet: a thing for every device model, one start, an answer for every action.

use std::collections::BTreeSet;

use marram_expr::{DataType, ValueExpr};
use marram_tdm::check::EntitySource;
use marram_tdm::model::{Activity, DeviceAction, EntityKind, Flow, Metatype, Operation, Primitive, PropertyShape, Urn};
use serde_json::{Map, Value, json};

use crate::types::Entities;

/// How deep sample values of complex properties go.
const MAX_SAMPLE_DEPTH: usize = 4;
/// Devices looked at to find one of a model.
const MAX_DEVICES: usize = 2_000;

/// The lines of a script that runs `flow` once.
pub(super) fn made_up(flow: &Flow, entities: Entities<'_>) -> Vec<Value> {
    let mut maker = Maker { entities, devices: None, rows: Vec::new(), answered: BTreeSet::new(), things: Vec::new() };
    let mut start = Map::new();
    let mut answers = Vec::new();
    for step in &flow.steps {
        match &step.activity {
            Activity::Device { model, pinned, device_id, call } => {
                let Some((thing, device)) = maker.thing(model, pinned.as_ref()) else { continue };
                if let ValueExpr::Typed(expr) | ValueExpr::Variable { path: expr, .. } = device_id
                    && let Some([name]) = expr.as_name_path().as_deref()
                {
                    let parameter = flow.parameters.iter().find(|parameter| parameter.name.eq_ignore_ascii_case(name));
                    if let Some(parameter) = parameter {
                        start.entry(parameter.name.to_string()).or_insert_with(|| json!(thing));
                    }
                }
                let entity = entities.entity(&device);
                if let Some(EntityKind::Device(device)) = entity.as_ref().map(|entity| &entity.kind) {
                    answers.extend(device.action(&call.name).and_then(|action| maker.answer(action)));
                }
            }
            Activity::Service { service, call } => {
                let entity = entities.entity(service);
                if let Some(EntityKind::Service(service)) = entity.as_ref().map(|entity| &entity.kind) {
                    answers.extend(service.action(&call.name).and_then(|action| maker.answer(action)));
                }
            }
            Activity::Choice(_) => {}
        }
    }
    for parameter in &flow.parameters {
        if parameter.default.is_none() && !start.contains_key(parameter.name.as_str()) {
            let one = sample_primitive(parameter.ty.primitive);
            let value = if parameter.ty.is_list { json!([one]) } else { one };
            start.insert(parameter.name.to_string(), value);
        }
    }
    let mut rows = maker.rows;
    rows.push(json!({ "at": 0, "start": start }));
    rows.extend(answers);
    rows
}

struct Maker<'w> {
    entities: Entities<'w>,
    /// Every device there is, once somebody asked.
    devices: Option<Vec<Urn>>,
    rows: Vec<Value>,
    answered: BTreeSet<String>,
    /// Model or pinned device, thing, its device.
    things: Vec<(Urn, String, Urn)>,
}

impl Maker<'_> {
    /// The thing that stands for a model: its name and device.
    fn thing(&mut self, model: &Urn, pinned: Option<&Urn>) -> Option<(String, Urn)> {
        let key = pinned.unwrap_or(model);
        if let Some((_, thing, device)) = self.things.iter().find(|(known, ..)| known == key) {
            return Some((thing.clone(), device.clone()));
        }
        let device = match pinned {
            Some(pinned) => pinned.clone(),
            None => self.device_of(model)?,
        };
        let thing = format!("{}-{}", model.name().to_ascii_lowercase(), self.things.len() + 1);
        self.rows.push(json!({ "thing": thing, "role": thing, "device": device.as_str() }));
        self.things.push((key.clone(), thing.clone(), device.clone()));
        Some((thing, device))
    }

    fn device_of(&mut self, model: &Urn) -> Option<Urn> {
        let entities = self.entities;
        let devices = self.devices.get_or_insert_with(|| {
            entities.known(&[Metatype::Device]).into_iter().take(MAX_DEVICES).map(|known| known.urn).collect()
        });
        devices.iter().find(|id| entities.model_of(id).as_ref() == Some(model)).cloned()
    }

    /// The line that answers an action, once.
    fn answer(&mut self, action: &DeviceAction) -> Option<Value> {
        if !self.answered.insert(action.name.to_ascii_lowercase()) {
            return None;
        }
        let reply = match &action.operation {
            Operation::Modbus(request) if request.function.is_read() => {
                let count = usize::from(request.read_count.unwrap_or(1));
                if request.function.is_coil() { json!(vec![true; count]) } else { json!(vec![1; count]) }
            }
            Operation::Modbus(_) => json!(true),
            _ => {
                let response = action.response.as_ref()?;
                response.property.as_ref().map_or(Value::Null, |property| self.sample(property, 0))
            }
        };
        Some(json!({ "on": action.name.as_str(), "after": 100, "reply": reply }))
    }

    /// A value of a property.
    fn sample(&self, property: &Urn, depth: usize) -> Value {
        let Some(entity) = self.entities.entity(property) else { return Value::Null };
        let EntityKind::Property(property) = &entity.kind else { return Value::Null };
        match &property.shape {
            PropertyShape::Primitive(primitive) => {
                let least = property.min_value.map(|bound| bound.as_f64());
                match (sample_primitive(*primitive), least) {
                    (sample, Some(least)) if sample.as_f64().is_some_and(|sample| sample < least) => {
                        json!(least.ceil())
                    }
                    (sample, _) => sample,
                }
            }
            PropertyShape::Enum(id) => {
                let entity = self.entities.entity(id);
                match entity.as_ref().map(|entity| &entity.kind) {
                    Some(EntityKind::Enum(members)) => {
                        json!(members.members.first().map(|member| member.name.as_str()))
                    }
                    _ => Value::Null,
                }
            }
            PropertyShape::Complex(state) if depth < MAX_SAMPLE_DEPTH => {
                let entity = self.entities.entity(state);
                let Some(EntityKind::State(state)) = entity.as_ref().map(|entity| &entity.kind) else {
                    return Value::Null;
                };
                let fields = state.fields.iter().map(|field| {
                    let one = self.sample(&field.property, depth + 1);
                    (field.name.to_string(), if field.is_list { json!([one]) } else { one })
                });
                Value::Object(fields.collect())
            }
            PropertyShape::Complex(_) | PropertyShape::Abstract => Value::Null,
        }
    }
}

fn sample_primitive(primitive: Primitive) -> Value {
    match DataType::from(primitive) {
        DataType::Boolean => json!(true),
        DataType::DateTime => json!("2026-01-01T00:00:00Z"),
        DataType::Date => json!("2026-01-01"),
        DataType::Duration => json!("1 minute"),
        DataType::Urn => json!("urn:example:sample"),
        DataType::Arn => json!("arn:aws:iot:us-east-1:000000000000:thing/sample"),
        DataType::Uri => json!("https://example.com/sample"),
        DataType::Json => json!({}),
        ty if ty.is_number() => json!(1),
        _ => json!("sample"),
    }
}
