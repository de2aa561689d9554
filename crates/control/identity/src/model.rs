//! The entities of IAM as they are kept: names, documents verbatim, tags.

use std::collections::BTreeMap;

use marram_types::Timestamp;
use serde::{Deserialize, Serialize};

/// A tag. Keys are unique without regard to case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tag {
    pub key: String,
    pub value: String,
}

/// An IAM user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct User {
    pub name: String,
    pub path: String,
    pub id: String,
    pub created: Timestamp,
    pub boundary: Option<String>,
    pub tags: Vec<Tag>,
    /// Inline documents by name.
    pub inline: BTreeMap<String, String>,
}

/// A group of users.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    pub name: String,
    pub path: String,
    pub id: String,
    pub created: Timestamp,
    pub inline: BTreeMap<String, String>,
}

/// A role.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Role {
    pub name: String,
    pub path: String,
    pub id: String,
    pub created: Timestamp,
    pub description: Option<String>,
    /// Seconds, 3,600 to 43,200.
    pub max_session_secs: u32,
    pub trust: String,
    pub boundary: Option<String>,
    pub tags: Vec<Tag>,
    pub inline: BTreeMap<String, String>,
}

/// A customer-managed policy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ManagedPolicy {
    pub name: String,
    pub path: String,
    pub id: String,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub description: Option<String>,
    pub tags: Vec<Tag>,
    pub default_version: u32,
    /// Versions are numbered for ever; numbers are not used again.
    pub next_version: u32,
    pub versions: BTreeMap<u32, PolicyVersion>,
}

/// One version of a managed policy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PolicyVersion {
    pub document: String,
    pub created: Timestamp,
}

/// What can hold policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    User,
    Group,
    Role,
    Policy,
}

impl Kind {
    /// As it stands in the tables and in messages.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Kind::User => "user",
            Kind::Group => "group",
            Kind::Role => "role",
            Kind::Policy => "policy",
        }
    }
}

/// An entity of any kind.
#[derive(Clone, Debug)]
pub(crate) enum Entity {
    User(User),
    Group(Group),
    Role(Role),
    Policy(ManagedPolicy),
}

impl Entity {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Entity::User(_) => Kind::User,
            Entity::Group(_) => Kind::Group,
            Entity::Role(_) => Kind::Role,
            Entity::Policy(_) => Kind::Policy,
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Entity::User(e) => &e.name,
            Entity::Group(e) => &e.name,
            Entity::Role(e) => &e.name,
            Entity::Policy(e) => &e.name,
        }
    }

    pub(crate) fn to_json(&self) -> Result<String, serde_json::Error> {
        match self {
            Entity::User(e) => serde_json::to_string(e),
            Entity::Group(e) => serde_json::to_string(e),
            Entity::Role(e) => serde_json::to_string(e),
            Entity::Policy(e) => serde_json::to_string(e),
        }
    }

    pub(crate) fn from_json(kind: &str, body: &str) -> Option<Entity> {
        match kind {
            "user" => serde_json::from_str(body).ok().map(Entity::User),
            "group" => serde_json::from_str(body).ok().map(Entity::Group),
            "role" => serde_json::from_str(body).ok().map(Entity::Role),
            "policy" => serde_json::from_str(body).ok().map(Entity::Policy),
            _ => None,
        }
    }
}

/// The form in which names are compared.
pub(crate) fn fold(name: &str) -> String {
    name.to_lowercase()
}
