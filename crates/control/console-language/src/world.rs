//! What a text is read in: the account's namespace over the public library.

use std::collections::BTreeMap;
use std::sync::Arc;

use marram_tdm::check::{
    CheckOptions, EntitySource, Layered, Mixed, Offline, Surroundings, Target, Template, Templates, ThingDevice,
    Things, check_mixed,
};
use marram_tdm::library;
use marram_tdm::model::{Entity, Flow, Metatype, Model, Namespace, System, Urn};

/// Something a text may refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its URN, in display form.
    pub urn: Urn,
    /// The name in its definition.
    pub name: String,
}

/// What a text is read in. The host answers from what the caller may see.
pub trait World: Sync {
    /// The caller's namespace; ids of the text must lie in it (TDM3001). `None`: anywhere.
    fn namespace(&self) -> Option<Namespace>;

    /// Every entity, the public ones included.
    fn entities(&self) -> &dyn EntitySource;

    /// Flows and systems.
    fn templates(&self) -> &dyn Templates;

    /// Things and their devices.
    fn things(&self) -> &dyn Things;

    /// Everything of one of these metatypes, in any order. Asked by `complete` and by `simulate` without a script.
    fn known(&self, metatypes: &[Metatype]) -> Vec<Known>;
}

/// The public library alone: what a page sees before anybody signed in, and what tests need.
#[derive(Clone, Copy, Debug, Default)]
pub struct PublicWorld;

impl World for PublicWorld {
    fn namespace(&self) -> Option<Namespace> {
        None
    }

    fn entities(&self) -> &dyn EntitySource {
        library::public()
    }

    fn templates(&self) -> &dyn Templates {
        &Offline
    }

    fn things(&self) -> &dyn Things {
        &Offline
    }

    fn known(&self, metatypes: &[Metatype]) -> Vec<Known> {
        known_in(&library::public().model, metatypes)
    }
}

/// A namespace whose documents the host holds, over the public library.
#[derive(Clone, Debug)]
pub struct NamespaceWorld {
    namespace: Namespace,
    own: OwnEntities,
    flows: BTreeMap<Urn, Arc<Flow>>,
    systems: BTreeMap<Urn, Arc<System>>,
    /// `None`: nothing is known of things.
    things: Option<BTreeMap<String, Option<Urn>>>,
}

#[derive(Clone, Debug)]
struct OwnEntities(Model);

impl EntitySource for OwnEntities {
    fn entity(&self, id: &Urn) -> Option<Arc<Entity>> {
        Layered { own: &self.0, public: library::public() }.entity(id)
    }

    fn mappings(&self) -> Vec<Arc<Entity>> {
        Layered { own: &self.0, public: library::public() }.mappings()
    }
}

impl NamespaceWorld {
    /// The namespace of an account with these documents in it, entities, flows and systems in any order. Documents
    /// with errors are left out as far as they have them.
    pub fn from_documents(region: &str, account: &str, texts: &[&str]) -> Self {
        let options = CheckOptions::private(region, account);
        let around = Surroundings {
            entities: library::public(),
            templates: &Offline,
            things: &Offline,
            target: Target::Greengrass,
        };
        let Mixed { model, flows, systems, .. } = check_mixed(texts, &around, &options);
        Self::from_parts(options.namespace, model, flows, systems)
    }

    /// The namespace with what was checked before.
    pub fn from_parts(namespace: Namespace, entities: Model, flows: Vec<Arc<Flow>>, systems: Vec<Arc<System>>) -> Self {
        NamespaceWorld {
            namespace,
            own: OwnEntities(entities),
            flows: flows.into_iter().map(|flow| (flow.id.clone(), flow)).collect(),
            systems: systems.into_iter().map(|system| (system.id.clone(), system)).collect(),
            things: None,
        }
    }

    /// The account's things, each with the Device it is associated with. Without this call every thing name counts as
    /// good.
    #[must_use]
    pub fn with_things(mut self, things: impl IntoIterator<Item = (String, Option<Urn>)>) -> Self {
        self.things = Some(things.into_iter().collect());
        self
    }
}

impl Templates for NamespaceWorld {
    fn flow(&self, id: &Urn) -> Template<Flow> {
        self.flows.get(id).map_or(Template::Missing, |flow| Template::Usable(flow.clone()))
    }

    fn system(&self, id: &Urn) -> Template<System> {
        self.systems.get(id).map_or(Template::Missing, |system| Template::Usable(system.clone()))
    }
}

impl Things for NamespaceWorld {
    fn thing(&self, name: &str) -> ThingDevice {
        match self.things.as_ref().map(|things| things.get(name)) {
            None => ThingDevice::Unknown,
            Some(None) => ThingDevice::Missing,
            Some(Some(None)) => ThingDevice::Unassociated,
            Some(Some(Some(device))) => ThingDevice::Device(device.clone()),
        }
    }
}

impl World for NamespaceWorld {
    fn namespace(&self) -> Option<Namespace> {
        Some(self.namespace.clone())
    }

    fn entities(&self) -> &dyn EntitySource {
        &self.own
    }

    fn templates(&self) -> &dyn Templates {
        self
    }

    fn things(&self) -> &dyn Things {
        self
    }

    fn known(&self, metatypes: &[Metatype]) -> Vec<Known> {
        let mut known = known_in(&self.own.0, metatypes);
        let flows = self.flows.values().map(|flow| Known { urn: flow.id.clone(), name: flow.name.to_string() });
        let systems =
            self.systems.values().map(|system| Known { urn: system.id.clone(), name: system.name.to_string() });
        known.extend(flows.chain(systems).filter(|known| metatypes.contains(&known.urn.metatype())));
        known.extend(PublicWorld.known(metatypes));
        known
    }
}

pub(crate) fn known_in(model: &Model, metatypes: &[Metatype]) -> Vec<Known> {
    let wanted = model.entities().filter(|entity| metatypes.contains(&entity.metatype()));
    wanted.map(|entity| Known { urn: entity.id.clone(), name: entity.name.to_string() }).collect()
}
