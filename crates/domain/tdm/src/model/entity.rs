//! Entities of a namespace except devices, services and mappings (TG 3.1 to 3.7).

use marram_expr::Expr;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use smol_str::SmolStr;

use super::{Bound, Device, Mapping, Metatype, Primitive, Service, Urn};

/// One checked entity with the text that defined it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    /// Identity, in display form.
    pub id: Urn,
    /// Alternate ids of a property, resolving to this entity (TG 3.1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Urn>,
    /// The name after `type`, `query` or `enum`.
    pub name: SmolStr,
    /// The `description` argument.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it is.
    pub kind: EntityKind,
    /// The author's text of this definition, leading comments included (TG 2.4).
    pub source: String,
    /// Every other entity it names, sorted, without repetition (search filter REFERENCED_ENTITY_ID).
    pub references: Vec<Urn>,
}

impl Entity {
    /// The metatype of its URN.
    pub fn metatype(&self) -> Metatype {
        self.id.metatype()
    }

    /// The `EntityType` of the API.
    pub fn entity_type(&self) -> &'static str {
        self.metatype().entity_type().expect("an entity's urn has an entity metatype")
    }
}

/// The ten kinds of entity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // each variant is documented at its content
pub enum EntityKind {
    Property(Property),
    Enum(Enum),
    State(State),
    Event(Event),
    Action(Action),
    Capability(Capability),
    Mapping(Mapping),
    DeviceModel(DeviceModel),
    Device(Device),
    Service(Service),
}

/// A named kind of value (TG 3.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Property {
    /// What its values look like.
    pub shape: PropertyShape,
    /// Unit of measurement; metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uom: Option<Urn>,
    /// Accuracy; metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// May be referenced only as is-a parent or mapping end.
    #[serde(default)]
    pub is_abstract: bool,
    /// Metadata.
    #[serde(default)]
    pub is_global_id: bool,
    /// Least length in bytes of UTF-8, default 0; textual types only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u64>,
    /// Greatest length in bytes of UTF-8, default 4096; textual types only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u64>,
    /// Least value, inclusive; numeric types only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_value: Option<Bound>,
    /// Greatest value, inclusive; numeric types only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_value: Option<Bound>,
}

/// What the values of a property look like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PropertyShape {
    /// A built-in type.
    Primitive(Primitive),
    /// A member of this enum.
    Enum(Urn),
    /// The fields of this state (EntityType).
    Complex(Urn),
    /// None: an abstract property without a data type.
    Abstract,
}

/// A closed set of names (TG 3.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enum {
    /// In document order; names distinct ignoring case, values distinct.
    pub members: Vec<EnumMember>,
}

/// One name of an enum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnumMember {
    /// As written; the wire form.
    pub name: SmolStr,
    /// Integer accepted on input.
    pub value: i32,
}

/// A set of named fields (TG 3.3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// States it `implements`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<Urn>,
    /// All fields, inherited ones first; names distinct ignoring case.
    pub fields: Vec<Field>,
}

/// A named value of a state, or an input or the result of an action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// As written.
    pub name: SmolStr,
    /// What each value is.
    pub property: Urn,
    /// Typed `[T]`: a list of the property.
    #[serde(default)]
    pub is_list: bool,
    /// Null is refused unless `default` is given. `T!` or `isRequired`.
    #[serde(default)]
    pub is_required: bool,
    /// Taken when nothing was received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Json>,
    /// False: the value is `default` or null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Expr>,
    /// Computed from the sibling fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expr: Option<Expr>,
    /// Not writable: said so, computed or conditional.
    #[serde(default)]
    pub is_read_only: bool,
}

/// Something a device reports (TG 3.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What the report carries.
    pub payload: Option<Urn>,
}

/// A kind of thing a device or service can do (TG 3.5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// In document order.
    pub inputs: Vec<Field>,
    /// The result; `None` is void.
    pub returns: Option<Field>,
}

impl Action {
    /// The input of that name, ignoring case.
    pub fn input(&self, name: &str) -> Option<&Field> {
        self.inputs.iter().find(|input| input.name.eq_ignore_ascii_case(name))
    }
}

/// What a device model or service offers (TG 3.6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// Capabilities it `implements`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<Urn>,
    /// At most one state.
    pub state: Option<Member>,
    /// Own and inherited actions.
    pub actions: Vec<Member>,
    /// Own and inherited events.
    pub events: Vec<Member>,
}

impl Capability {
    /// The action of that name, ignoring case.
    pub fn action(&self, name: &str) -> Option<&Member> {
        self.actions.iter().find(|member| member.name.eq_ignore_ascii_case(name))
    }

    /// The event of that name, ignoring case.
    pub fn event(&self, name: &str) -> Option<&Member> {
        self.events.iter().find(|member| member.name.eq_ignore_ascii_case(name))
    }
}

/// A named part of a capability.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// As written; unique in the capability ignoring case.
    pub name: SmolStr,
    /// State, action type or event type.
    pub id: Urn,
}

/// A kind of device, without protocol or vendor (TG 3.7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceModel {
    /// Its one capability.
    pub capability: Urn,
}
