//! A checked deployment as the snapshot the flow runtime runs (TG 7.6): names become indices, references become types.

mod device;
mod flow;

use std::collections::BTreeMap;
use std::sync::Arc;

use marram_expr::{DataType, PropertyType};
use marram_flow::program::{Site, Thing};
use marram_flow::snapshot::{Binding, ClockUnit, Condition, FlowRole, Snapshot, StartFlow, Trigger};
use marram_tdm::check::EntitySource;
use marram_tdm::model::{self, Activity, Entity, EntityKind, RoleKind, TriggerCondition, TypeTable, Urn};
use smol_str::SmolStr;

use super::prepare::{MODBUS_ATTRIBUTE, Prepared};
use crate::catalog::View;
use crate::realm::Realm;

/// A part of the checked model that the rest refers to is not there: the check and the lowering disagree.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct LowerError(String);

/// The entities and types of one namespace version.
struct World<'w> {
    view: &'w View,
    types: &'w TypeTable<'w>,
}

impl World<'_> {
    fn entity(&self, id: &Urn) -> Result<Arc<Entity>, LowerError> {
        self.view.entity(id).ok_or_else(|| LowerError(format!("{id} is missing from the closure")))
    }

    fn property(&self, id: &Urn, is_list: bool) -> Result<Arc<PropertyType>, LowerError> {
        let property = self.types.property(id).ok_or_else(|| LowerError(format!("{id} is no usable property")))?;
        Ok(if is_list { listed(&property) } else { property })
    }

    fn optional_property(&self, id: Option<&Urn>) -> Result<Option<Arc<PropertyType>>, LowerError> {
        id.map(|id| self.property(id, false)).transpose()
    }

    /// Whether values of the property must not show in messages: its description starts with `secret:` (TG 11.5).
    fn is_secret(&self, id: &Urn) -> bool {
        let entity = self.view.entity(id);
        entity
            .and_then(|entity| entity.description.clone())
            .is_some_and(|text| text.trim_start().starts_with("secret:"))
    }

    fn action(&self, id: &Urn) -> Result<model::Action, LowerError> {
        match &self.entity(id)?.kind {
            EntityKind::Action(action) => Ok(action.clone()),
            _ => Err(LowerError(format!("{id} is no action type"))),
        }
    }
}

/// A list of a property's values, as a property.
fn listed(property: &PropertyType) -> Arc<PropertyType> {
    let list = DataType::List(Box::new(property.data_type.clone()));
    Arc::new(PropertyType::new(property.id.clone(), list))
}

/// Freezes a deployment.
pub(super) fn lower(prepared: &Prepared, realm: &Realm, allow_insecure_http: bool) -> Result<Snapshot, LowerError> {
    let lookup = |id: &Urn| prepared.view.entity(id);
    let types = TypeTable::new(&lookup);
    let world = World { view: &prepared.view, types: &types };
    let mut site = Site::new(
        realm.region.as_str(),
        realm.account.as_str(),
        prepared.deployment.id.as_str(),
        prepared.system.id.as_str(),
    );
    site.allow_insecure_http = allow_insecure_http;

    let mut devices: BTreeMap<Urn, u16> = BTreeMap::new();
    let mut device_index = |site: &mut Site, id: &Urn| -> Result<u16, LowerError> {
        if let Some(index) = devices.get(id) {
            return Ok(*index);
        }
        let index = u16::try_from(site.devices.len()).map_err(|_| LowerError("too many devices".to_owned()))?;
        site.devices.push(device::device(&world, id)?);
        devices.insert(id.clone(), index);
        Ok(index)
    };
    for binding in &prepared.deployment.bindings {
        let name = binding.thing.as_str();
        let (facts, id) =
            prepared.things.get(name).ok_or_else(|| LowerError(format!("the thing {name} was not looked up")))?;
        let index = device_index(&mut site, id)?;
        let modbus_endpoint = facts.attributes.get(MODBUS_ATTRIBUTE).map(SmolStr::new);
        let thing = site.things.entry(binding.thing.clone()).or_insert_with(|| Thing {
            device: index,
            roles: Vec::new(),
            modbus_endpoint,
        });
        thing.roles.push(binding.role.clone());
    }
    let mut flows = Vec::with_capacity(prepared.flows.len());
    for (role, compiled) in &prepared.flows {
        for step in &compiled.template.steps {
            match &step.activity {
                Activity::Device { pinned: Some(pinned), .. } => {
                    device_index(&mut site, pinned)?;
                }
                Activity::Service { service, .. } => {
                    if !site.services.iter().any(|known| known.id.eq_ignore_ascii_case(service.as_str())) {
                        site.services.push(device::service(&world, service)?);
                    }
                }
                _ => {}
            }
        }
        let flow = flow::flow(&world, &compiled.template, compiled.revision)?;
        flows.push(FlowRole { role: role.clone(), flow: Arc::new(flow) });
    }
    let bindings = prepared.system.roles.iter().filter(|role| matches!(role.kind, RoleKind::Thing(_)));
    let bindings = bindings.filter_map(|role| {
        let bound = prepared.deployment.bindings.iter().find(|bound| bound.role.eq_ignore_ascii_case(&role.name))?;
        Some(Binding { role: role.name.clone(), thing: bound.thing.clone() })
    });
    let bindings = bindings.collect();
    let triggers = prepared.deployment.triggers.iter().map(trigger).collect();
    Ok(Snapshot { site: Arc::new(site), flows, bindings, triggers })
}

fn trigger(trigger: &model::Trigger) -> Trigger {
    let condition = match &trigger.condition {
        TriggerCondition::Clock { count, unit } => Condition::Clock { count: *count, unit: clock_unit(*unit) },
        TriggerCondition::Event { expr, events } => Condition::Event {
            expr: expr.clone(),
            events: events.iter().map(|event| (event.role.clone(), event.event.clone())).collect(),
        },
    };
    let action =
        |action: &model::StartFlow| StartFlow { role: action.role.clone(), arguments: action.arguments.clone() };
    Trigger { name: trigger.name.clone(), condition, actions: trigger.actions.iter().map(action).collect() }
}

fn clock_unit(unit: model::ClockUnit) -> ClockUnit {
    match unit {
        model::ClockUnit::Second => ClockUnit::Second,
        model::ClockUnit::Minute => ClockUnit::Minute,
        model::ClockUnit::Hour => ClockUnit::Hour,
        model::ClockUnit::Day => ClockUnit::Day,
        model::ClockUnit::Week => ClockUnit::Week,
        model::ClockUnit::Month => ClockUnit::Month,
        model::ClockUnit::Year => ClockUnit::Year,
    }
}
