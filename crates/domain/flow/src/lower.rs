//! From the checked model to what the engine runs: names resolved, types made, mapping chains unrolled.
//!
//! A checked model cannot fail to lower, short of an entity the caller left out: [`LowerError`] names it.

mod entity;
mod flow;

use std::sync::Arc;

use marram_expr::{DataType, PropertyType};
use marram_tdm::model::{Deployment, Entity, Flow as CheckedFlow, TriggerCondition, TypeTable, Urn};
use smol_str::SmolStr;

use crate::program::{Flow, Site, Thing};
use crate::snapshot::{Binding, Condition, FlowRole, Snapshot, StartFlow, Trigger};

/// Finds an entity of the deployment's closure.
pub type Lookup<'l> = &'l dyn Fn(&Urn) -> Option<Arc<Entity>>;

/// Why a model could not be lowered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LowerError {
    /// An entity the model refers to is not in the closure.
    #[error("TDM3004: `{0}` is not in the closure")]
    Missing(SmolStr),
    /// A variable the flow does not have.
    #[error("TDM4006: no variable `{0}`")]
    NoVariable(SmolStr),
    /// More steps, events or entities than an index can tell apart.
    #[error("TDM1005: more than 65535 {0}")]
    TooMany(&'static str),
}

/// A thing bound to a role and the device entity associated with it.
#[derive(Debug, Clone)]
pub struct BoundThing {
    /// Role in the system.
    pub role: SmolStr,
    /// Thing name.
    pub thing: SmolStr,
    /// The device entity.
    pub device: Urn,
    /// `host:port` of its Modbus TCP server.
    pub modbus_endpoint: Option<SmolStr>,
}

/// A flow in its role of the system.
#[derive(Debug, Clone)]
pub struct BoundFlow {
    /// Role in the system.
    pub role: SmolStr,
    /// The checked flow.
    pub flow: Arc<CheckedFlow>,
    /// Its revision.
    pub revision: i64,
}

/// Makes types and finds entities while lowering.
pub(crate) struct Lower<'l> {
    lookup: Lookup<'l>,
    types: TypeTable<'l>,
}

impl<'l> Lower<'l> {
    fn new(lookup: Lookup<'l>) -> Self {
        Self { lookup, types: TypeTable::new(lookup) }
    }

    fn entity(&self, id: &Urn) -> Result<Arc<Entity>, LowerError> {
        (self.lookup)(id).ok_or_else(|| missing(id))
    }

    /// The runtime type of a property; abstract ones hold anything.
    fn property(&self, id: &Urn, is_list: bool) -> Result<Arc<PropertyType>, LowerError> {
        self.entity(id)?;
        Ok(listed(self.types.property(id).unwrap_or_else(|| Arc::new(PropertyType::built_in(DataType::Json))), is_list))
    }

    /// Whether the property is tagged secret (TG 11.5).
    fn is_secret(&self, id: &Urn) -> bool {
        (self.lookup)(id).is_some_and(|entity| {
            entity
                .description
                .as_deref()
                .is_some_and(|text| text.trim_start().get(..7).is_some_and(|head| head.eq_ignore_ascii_case("secret:")))
        })
    }
}

fn missing(id: &Urn) -> LowerError {
    LowerError::Missing(id.as_str().into())
}

/// A list of the property, when it is one.
fn listed(property: Arc<PropertyType>, is_list: bool) -> Arc<PropertyType> {
    if !is_list {
        return property;
    }
    let data_type = DataType::List(Box::new(property.data_type.clone()));
    Arc::new(PropertyType::new(property.id.clone(), data_type))
}

fn index<T>(items: &[T], what: &'static str) -> Result<u16, LowerError> {
    u16::try_from(items.len()).map_err(|_| LowerError::TooMany(what))
}

/// A checked flow as the engine runs it.
///
/// # Errors
/// [`LowerError`].
pub fn flow(lookup: Lookup<'_>, flow: &CheckedFlow, revision: i64) -> Result<Flow, LowerError> {
    Lower::new(lookup).flow(flow, revision)
}

/// The snapshot of a deployment (TG 7.6). `things` are in the order of the system's roles; several roles may name one thing.
///
/// # Errors
/// [`LowerError`].
pub fn snapshot(
    lookup: Lookup<'_>,
    deployment: &Deployment,
    flows: &[BoundFlow],
    things: &[BoundThing],
    region: &str,
    account: &str,
) -> Result<Snapshot, LowerError> {
    let mut site = Site::new(region, account, deployment.id.as_str(), deployment.system.as_str());
    site.allow_insecure_http = deployment.allow_insecure_http;
    let mut snapshot = place(lookup, site, flows, things)?;
    snapshot.triggers = deployment.triggers.iter().map(trigger).collect();
    Ok(snapshot)
}

/// A snapshot without triggers: `flows` and `things` on `site`, whose devices and services are filled in.
///
/// # Errors
/// [`LowerError`].
pub fn place(
    lookup: Lookup<'_>,
    mut site: Site,
    flows: &[BoundFlow],
    things: &[BoundThing],
) -> Result<Snapshot, LowerError> {
    let lower = Lower::new(lookup);
    let mut bindings = Vec::with_capacity(things.len());
    for bound in things {
        let device = lower.site_device(&mut site, &bound.device)?;
        let endpoint = bound.modbus_endpoint.clone();
        let thing = Thing { device, roles: Vec::new(), modbus_endpoint: endpoint };
        site.things.entry(bound.thing.clone()).or_insert(thing).roles.push(bound.role.clone());
        bindings.push(Binding { role: bound.role.clone(), thing: bound.thing.clone() });
    }
    let mut roles = Vec::with_capacity(flows.len());
    for bound in flows {
        lower.site_activities(&mut site, &bound.flow)?;
        let flow = Arc::new(lower.flow(&bound.flow, bound.revision)?);
        roles.push(FlowRole { role: bound.role.clone(), flow });
    }
    Ok(Snapshot { site: Arc::new(site), flows: roles, bindings, triggers: Vec::new() })
}

fn trigger(trigger: &marram_tdm::model::Trigger) -> Trigger {
    let condition = match &trigger.condition {
        TriggerCondition::Clock { count, unit } => Condition::Clock { count: *count, unit: *unit },
        TriggerCondition::Event { expr, events } => Condition::Event {
            expr: expr.clone(),
            events: events.iter().map(|event| (event.role.clone(), event.event.clone())).collect(),
        },
    };
    let actions = trigger.actions.iter();
    let actions = actions.map(|action| StartFlow { role: action.role.clone(), arguments: action.arguments.clone() });
    Trigger { name: trigger.name.clone(), condition, actions: actions.collect() }
}
