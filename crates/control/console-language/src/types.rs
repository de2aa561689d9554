//! Entities by URN and types in words: what steps call, what their values are.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use marram_expr::{DataType, PropertyType, Type, TypeScope};
use marram_tdm::check::EntitySource;
use marram_tdm::model::{
    Action, Capability, Entity, EntityKind, Field, Member, Metatype, Model, Primitive, TypeTable, Urn,
};
use smol_str::SmolStr;

use crate::outline::{Flow, Step, StepKind, children};
use crate::{Known, World};

/// What the text defines over what the world holds.
#[derive(Clone, Copy)]
pub(crate) struct Entities<'w> {
    pub own: &'w Model,
    pub world: &'w dyn World,
}

impl EntitySource for Entities<'_> {
    fn entity(&self, id: &Urn) -> Option<Arc<Entity>> {
        self.own.get(id).cloned().or_else(|| self.world.entities().entity(id))
    }

    fn mappings(&self) -> Vec<Arc<Entity>> {
        self.own.mappings().cloned().chain(self.world.entities().mappings()).collect()
    }
}

impl Entities<'_> {
    /// The capability of a device, device model or service.
    pub fn capability_of(&self, id: &Urn) -> Option<(Urn, Capability)> {
        let id = match &self.entity(id)?.kind {
            EntityKind::Device(device) => device.capability.clone(),
            EntityKind::DeviceModel(model) => model.capability.clone(),
            EntityKind::Service(service) => service.capability.clone(),
            EntityKind::Capability(_) => id.clone(),
            _ => return None,
        };
        let entity = self.entity(&id)?;
        let EntityKind::Capability(capability) = &entity.kind else { return None };
        Some((entity.id.clone(), capability.clone()))
    }

    /// The device model of a model or device.
    pub fn model_of(&self, id: &Urn) -> Option<Urn> {
        let entity = self.entity(id)?;
        match &entity.kind {
            EntityKind::Device(device) => Some(device.model.clone()),
            EntityKind::DeviceModel(_) => Some(entity.id.clone()),
            _ => None,
        }
    }

    pub fn action(&self, capability: &Capability, name: &str) -> Option<(Member, Action)> {
        let member = capability.action(name)?.clone();
        match &self.entity(&member.id)?.kind {
            EntityKind::Action(action) => Some((member, action.clone())),
            _ => None,
        }
    }

    /// The action a step calls.
    pub fn action_of(&self, step: &Step<'_>) -> Option<(Member, Action)> {
        let (_, capability) = self.capability_of(&step.callee_urn()?)?;
        self.action(&capability, &step.call?.name.text)
    }

    /// The name in an entity's definition, else the last part of its URN.
    pub fn title(&self, id: &Urn) -> String {
        self.entity(id).map_or_else(|| id.name().to_owned(), |entity| entity.name.to_string())
    }

    /// Everything of these metatypes: the text's, then the namespace's, then the public ones, in the order asked for.
    pub fn known(&self, metatypes: &[Metatype]) -> Vec<Known> {
        let mut known = crate::world::known_in(self.own, metatypes);
        let own: std::collections::BTreeSet<Urn> = known.iter().map(|known| known.urn.clone()).collect();
        let mut others = self.world.known(metatypes);
        others.retain(|other| !own.contains(&other.urn));
        let rank = |known: &Known| metatypes.iter().position(|metatype| *metatype == known.urn.metatype());
        others.sort_by(|one, other| {
            let key = |known: &Known| (known.urn.is_public(), rank(known));
            key(one).cmp(&key(other)).then_with(|| one.urn.cmp(&other.urn))
        });
        known.extend(others);
        known
    }
}

/// Makes types of properties, each once.
pub(crate) struct Types<'w> {
    entities: Entities<'w>,
    made: RefCell<BTreeMap<Urn, Option<Arc<PropertyType>>>>,
}

impl<'w> Types<'w> {
    pub fn new(entities: Entities<'w>) -> Self {
        Types { entities, made: RefCell::default() }
    }

    pub fn entities(&self) -> Entities<'w> {
        self.entities
    }

    fn property(&self, id: &Urn) -> Option<Arc<PropertyType>> {
        if let Some(made) = self.made.borrow().get(id) {
            return made.clone();
        }
        let lookup = |id: &Urn| self.entities.entity(id);
        let made = TypeTable::new(&lookup).property(id);
        self.made.borrow_mut().insert(id.clone(), made.clone());
        made
    }

    /// The static type of a value of a property.
    pub fn of(&self, id: &Urn, is_list: bool) -> Type {
        match self.property(id) {
            Some(made) if is_list => Type::Of(DataType::List(Box::new(made.data_type.clone()))),
            Some(made) => Type::Of(made.data_type.clone()),
            None => Type::Unknown,
        }
    }

    /// The type of an input or result in words.
    pub fn of_field(&self, field: &Field) -> String {
        type_name(&self.of(&field.property, field.is_list)).unwrap_or_else(|| field.property.name().to_owned())
    }
}

/// A type in words; `None` when nothing is known.
pub(crate) fn type_name(ty: &Type) -> Option<String> {
    match ty {
        Type::Unknown => None,
        Type::Null => Some("null".to_owned()),
        Type::Of(data_type) => Some(data_type.to_string()),
        Type::Occurrence(_) => Some("event".to_owned()),
        Type::Record(_) => Some("group".to_owned()),
    }
}

/// Members of `systemRuntime` and `systemConfig` (TG 4.3).
const RUNTIME: [&str; 7] = ["deviceId", "executionId", "flowId", "systemId", "deploymentId", "stepName", "now"];
const CONFIG: [&str; 3] = ["awsRegion", "awsAccountId", "accountId"];

/// Names an expression may use, with their types, in the order they are offered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    roots: Vec<(SmolStr, Type)>,
    /// By lower-case name.
    index: BTreeMap<String, usize>,
}

impl TypeScope for Names {
    fn root(&self, name: &str) -> Option<Type> {
        let index = self.index.get(name.to_ascii_lowercase().as_str())?;
        Some(self.roots[*index].1.clone())
    }
}

impl Names {
    fn with(mut self, name: &str, ty: Type) -> Self {
        if let Entry::Vacant(entry) = self.index.entry(name.to_ascii_lowercase()) {
            entry.insert(self.roots.len());
            self.roots.push((SmolStr::new(name), ty));
        }
        self
    }

    fn with_record(self, name: &str, members: &[&str]) -> Self {
        let text = |member: &&str| (SmolStr::new(member), Type::Of(DataType::String));
        self.with(name, Type::Record(Arc::new(members.iter().map(text).collect())))
    }

    /// `systemRuntime` and `systemConfig`.
    pub fn with_system(self) -> Self {
        self.with_record("systemRuntime", &RUNTIME).with_record("systemConfig", &CONFIG)
    }

    /// What steps of a flow see; with `has_error` also `Error` and `ErrorMessage` (Retry and Catch).
    pub fn of_flow(flow: &Flow<'_>, types: &Types<'_>, has_error: bool) -> Self {
        let mut names = Names::default();
        for parameter in flow.parameters {
            names = names.with(&parameter.name.text, Type::Of(parameter_type(&parameter.ty)));
        }
        for variable in flow.variables() {
            names = names.with(&variable.name.text, types.of_variable(variable));
        }
        for step in &flow.steps {
            if let Some(out) = step.out()
                && is_word(&out)
                && let Some((_, action)) = types.entities.action_of(step)
            {
                let ty = action.returns.as_ref().map_or(Type::Null, |field| types.of(&field.property, field.is_list));
                names = names.with(&out, ty);
            }
        }
        if has_error {
            names = names.with("Error", Type::Of(DataType::String)).with("ErrorMessage", Type::Of(DataType::String));
        }
        names.with_system()
    }

    /// What the Request of an action sees: its inputs.
    pub fn of_inputs(action: &Action, types: &Types<'_>) -> Self {
        let inputs = action.inputs.iter();
        let names = inputs
            .fold(Names::default(), |names, input| names.with(&input.name, types.of(&input.property, input.is_list)));
        names.with_system()
    }

    pub fn roots(&self) -> &[(SmolStr, Type)] {
        &self.roots
    }

    /// The type of a dotted path of names.
    pub fn path(&self, path: &[&str]) -> Option<Type> {
        let (root, fields) = path.split_first()?;
        let mut ty = self.root(root)?;
        for field in fields {
            ty = members(&ty).into_iter().find(|(name, _)| name.eq_ignore_ascii_case(field))?.1;
        }
        Some(ty)
    }
}

/// The named members of a value.
pub(crate) fn members(ty: &Type) -> Vec<(SmolStr, Type)> {
    match ty {
        Type::Of(DataType::Complex(complex)) => {
            let field = |field: &marram_expr::Field| {
                let data_type = field.property.data_type.clone();
                let data_type = if field.is_list { DataType::List(Box::new(data_type)) } else { data_type };
                (field.name.clone(), Type::Of(data_type))
            };
            complex.fields.iter().map(field).collect()
        }
        Type::Record(members) => members.to_vec(),
        Type::Occurrence(payload) => members(payload),
        _ => Vec::new(),
    }
}

impl Types<'_> {
    /// The type of a declared variable.
    pub fn of_variable(&self, variable: &marram_tdm::syntax::ast::Selection) -> Type {
        variable_property(variable).map_or(Type::Unknown, |id| self.of(&id, false))
    }
}

/// The property of a declared variable.
pub(crate) fn variable_property(variable: &marram_tdm::syntax::ast::Selection) -> Option<Urn> {
    let id = variable.directive("property")?.argument("id")?;
    Urn::parse(id.value.as_text()?).ok()
}

/// The type of a flow's parameter: an unknown word is any JSON (TG 3.11).
pub(crate) fn parameter_type(ty: &marram_tdm::syntax::ast::TypeRef) -> DataType {
    let word = ty.word();
    let primitive = if word.is("DeviceId") {
        Primitive::String
    } else if word.is("Number") {
        Primitive::Float64
    } else {
        Primitive::parse(&word.text).unwrap_or(Primitive::Json)
    };
    let item = DataType::from(primitive);
    if ty.is_list() { DataType::List(Box::new(item)) } else { item }
}

/// `[_A-Za-z][_0-9A-Za-z]*`.
pub(crate) fn is_word(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|byte| byte == b'_' || byte.is_ascii_alphabetic())
        && bytes.all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}

/// Models the device steps of a flow call.
pub(crate) fn called_models(flow: &Flow<'_>, entities: Entities<'_>) -> Vec<Urn> {
    let devices = flow.steps.iter().filter(|step| step.kind == StepKind::Device);
    let mut models: Vec<Urn> =
        devices.filter_map(|step| step.callee_urn()).map(|id| entities.model_of(&id).unwrap_or(id)).collect();
    models.sort();
    models.dedup();
    models
}

/// The arguments of a step's call by lower-case name, as written.
pub(crate) fn given<'d>(step: &Step<'d>) -> Vec<&'d marram_tdm::syntax::ast::Argument> {
    step.call.and_then(|call| call.arguments.as_ref()).map_or(Vec::new(), |arguments| arguments.items.iter().collect())
}

/// The statements of one arm of a check, as text.
pub(crate) fn statements(check: &marram_tdm::syntax::ast::Selection, arm: &str) -> Vec<SmolStr> {
    let arms = children(check).filter(|inner| inner.name.is(arm));
    let statements = arms.flat_map(children).filter(|inner| inner.name.is("stmt"));
    statements.filter_map(|statement| crate::outline::text_of(statement, "expr").cloned()).collect()
}
