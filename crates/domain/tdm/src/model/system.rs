//! Systems and deployments (TG 3.12 to 3.14).

use marram_expr::{ClockUnit, Expr};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::Urn;

/// A checked system: a set of named roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// Identity, in display form.
    pub id: Urn,
    /// The name after `type`.
    pub name: SmolStr,
    /// The `description` argument.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// In document order; roles of a nested system follow its own role as `outer.inner`. Names distinct ignoring case.
    pub roles: Vec<Role>,
    /// Every entity, flow and system named, sorted, without repetition.
    pub references: Vec<Urn>,
}

impl Deployment {
    /// What the deployment builds on besides the system: the devices of its things, sorted, without repetition.
    pub fn devices(&self) -> Vec<&Urn> {
        let mut devices: Vec<&Urn> = self.bindings.iter().map(|binding| &binding.device).collect();
        devices.sort();
        devices.dedup();
        devices
    }
}

impl System {
    /// The role of that name, exact first, then ignoring case (TG 3.14).
    pub fn role(&self, name: &str) -> Option<&Role> {
        let exact = self.roles.iter().find(|role| role.name == name);
        exact.or_else(|| self.roles.iter().find(|role| role.name.eq_ignore_ascii_case(name)))
    }

    /// Roles that a deployment binds to a thing.
    pub fn thing_roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.iter().filter(|role| matches!(role.kind, RoleKind::Thing(_)))
    }

    /// Role name and URN of every flow.
    pub fn flows(&self) -> impl Iterator<Item = (&SmolStr, &Urn)> {
        self.roles.iter().filter_map(|role| match &role.kind {
            RoleKind::Flow(flow) => Some((&role.name, flow)),
            _ => None,
        })
    }
}

/// A named slot of a system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// As written, `outer.inner` below a nested system.
    pub name: SmolStr,
    /// What fills it.
    pub kind: RoleKind,
}

/// What fills a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoleKind {
    /// A thing of this Device or DeviceModel.
    Thing(Urn),
    /// This flow.
    Flow(Urn),
    /// This service; redundant.
    Service(Urn),
    /// This system; its roles follow.
    System(Urn),
}

/// A checked deployment document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// Identity, in display form.
    pub id: Urn,
    /// The name after `query`.
    pub name: SmolStr,
    /// The `description` argument.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The system deployed.
    pub system: Urn,
    /// Namespace version the document asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_version: Option<i64>,
    /// Its flows may call web services over `http:` (TG 10.4).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_insecure_http: bool,
    /// One per thing role, in document order.
    pub bindings: Vec<Binding>,
    /// In document order.
    pub triggers: Vec<Trigger>,
}

/// A role bound to a thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// As the system spells it.
    pub role: SmolStr,
    /// Thing name, `[a-zA-Z0-9:_-]{1,128}`.
    pub thing: SmolStr,
    /// The device the thing was associated with when the document was checked; what the role asks for when the check
    /// knew nothing of things.
    pub device: Urn,
}

/// What starts flows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    /// As written; part of execution ids.
    pub name: SmolStr,
    /// The `description` argument.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// When.
    pub condition: TriggerCondition,
    /// What, in order.
    pub actions: Vec<StartFlow>,
}

/// When a trigger fires.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TriggerCondition {
    /// `every [count] unit`.
    Clock {
        /// At least 1.
        count: u32,
        /// The unit.
        unit: ClockUnit,
    },
    /// Evaluated at each occurrence of one of `events`.
    Event {
        /// Boolean context.
        expr: Expr,
        /// At least one, first mention first.
        events: Vec<EventReference>,
    },
}

/// An event of a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventReference {
    /// As the system spells it.
    pub role: SmolStr,
    /// As the capability spells it.
    pub event: SmolStr,
}

/// `ThingsGraph.startFlow('role', ...)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartFlow {
    /// Role of the flow, as the system spells it.
    pub role: SmolStr,
    /// The flow.
    pub flow: Urn,
    /// By position.
    pub arguments: Vec<Expr>,
}
