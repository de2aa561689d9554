//! A set of checked entities that answers by URN, and the closure of what refers to what.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Action, Capability, Device, DeviceModel, Entity, EntityKind, Enum, Event, Mapping, Property, Service};
use super::{State, Urn};

/// Checked entities by lower-case URN, alternate ids included. Cheap to clone and to extend: entities are shared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<Arc<Entity>>", into = "Vec<Arc<Entity>>")]
pub struct Model {
    entities: BTreeMap<Urn, Arc<Entity>>,
}

impl From<Vec<Arc<Entity>>> for Model {
    fn from(entities: Vec<Arc<Entity>>) -> Self {
        let mut model = Model::default();
        entities.into_iter().for_each(|entity| model.insert(entity));
        model
    }
}

impl From<Model> for Vec<Arc<Entity>> {
    fn from(model: Model) -> Self {
        model.entities.into_iter().filter(|(id, entity)| *id == entity.id).map(|(_, entity)| entity).collect()
    }
}

macro_rules! lookups {
    ($($method:ident, $kind:ident, $what:literal;)+) => {
        impl Model {
            $(
                #[doc = concat!("The ", $what, " of that id.")]
                pub fn $method(&self, id: &Urn) -> Option<&$kind> {
                    match &self.entities.get(id)?.kind {
                        EntityKind::$kind(found) => Some(found),
                        _ => None,
                    }
                }
            )+
        }
    };
}

lookups! {
    property, Property, "property";
    enum_type, Enum, "enum";
    state, State, "state";
    event, Event, "event type";
    action, Action, "action type";
    capability, Capability, "capability";
    mapping, Mapping, "mapping";
    device_model, DeviceModel, "device model";
    device, Device, "device";
    service, Service, "service";
}

impl Model {
    /// The entity of that id or alternate id.
    pub fn get(&self, id: &Urn) -> Option<&Arc<Entity>> {
        self.entities.get(id)
    }

    /// Adds or replaces an entity under its id and alternate ids.
    pub fn insert(&mut self, entity: Arc<Entity>) {
        for alias in &entity.aliases {
            self.entities.insert(alias.clone(), entity.clone());
        }
        self.entities.insert(entity.id.clone(), entity);
    }

    /// Every entity once, by lower-case URN ascending.
    pub fn entities(&self) -> impl Iterator<Item = &Arc<Entity>> {
        self.entities.iter().filter(|(id, entity)| **id == entity.id).map(|(_, entity)| entity)
    }

    /// Every mapping, by lower-case URN ascending.
    pub fn mappings(&self) -> impl Iterator<Item = &Arc<Entity>> {
        self.entities().filter(|entity| matches!(entity.kind, EntityKind::Mapping(_)))
    }

    /// Number of ids, alternate ids included.
    pub fn len(&self) -> usize {
        self.entities.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.entities.is_empty()
    }

    /// The capability of a Device, DeviceModel or Service.
    pub fn capability_of(&self, id: &Urn) -> Option<&Urn> {
        match &self.entities.get(id)?.kind {
            EntityKind::Device(device) => Some(&device.capability),
            EntityKind::DeviceModel(model) => Some(&model.capability),
            EntityKind::Service(service) => Some(&service.capability),
            _ => None,
        }
    }

    /// Everything reachable from `roots` through references, `roots` included, as a model of its own.
    /// Ids this model does not hold are left out.
    pub fn closure<'u>(&self, roots: impl IntoIterator<Item = &'u Urn>) -> Model {
        let mut reached = Model::default();
        let mut waiting: Vec<Urn> = roots.into_iter().cloned().collect();
        while let Some(id) = waiting.pop() {
            if reached.entities.contains_key(&id) {
                continue;
            }
            if let Some(entity) = self.entities.get(&id) {
                reached.insert(entity.clone());
                waiting.extend(entity.references.iter().cloned());
            }
        }
        reached
    }
}
