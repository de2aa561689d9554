//! The checked model: what a document means once every rule of TG section 3 holds.
//!
//! References are [`Urn`]s, resolved against the [`Model`] they were checked with; a model that
//! [`closes over`](Model::closure) a deployment is self-contained and serialises into its snapshot. Expressions are
//! kept in the parsed forms of `marram_expr`.

mod bound;
mod device;
mod entity;
mod flow;
mod mapping;
mod resolve;
mod system;
mod types;
mod urn;

pub use bound::Bound;
pub use device::{
    Device, DeviceAction, DeviceEvent, FunctionHost, HttpMethod, Input, ModbusFunction, ModbusRequest, Operation,
    Protocol, RequestParam, Response, Service, StateBinding,
};
pub use entity::{
    Action, Capability, DeviceModel, Entity, EntityKind, Enum, EnumMember, Event, Field, Member, Property,
    PropertyShape, State,
};
pub use flow::{
    Activation, Activity, Argument, Call, Catch, Check, Choice, ChoiceRule, Conversion, ErrorMatch, FieldConversion,
    Flow, MappingHop, Output, Parameter, ParameterType, Retry, SetVariable, Statement, Step, Variable,
};
pub use mapping::{Direction, Mapping, MappingEnd, MappingRule};
pub use marram_expr::{ClockUnit, Primitive};
pub use resolve::Model;
pub use system::{Binding, Deployment, EventReference, Role, RoleKind, StartFlow, System, Trigger, TriggerCondition};
pub(crate) use types::MadeTypes;
pub use types::TypeTable;
pub use urn::{MAX_URN_CHARS, Metatype, Namespace, Urn, UrnError};
