//! Static thing groups: a forest of named groups with things in them (CP 4.4).

mod create;
mod delete;
mod describe;
mod list;
mod member;
mod update;

pub(crate) use create::create_thing_group;
pub(crate) use delete::delete_thing_group;
pub(crate) use describe::describe_thing_group;
pub(crate) use list::{list_thing_groups, list_thing_groups_for_thing, list_things_in_thing_group};
pub(crate) use member::{add_thing_to_thing_group, remove_thing_from_thing_group, update_thing_groups_for_thing};
pub(crate) use update::update_thing_group;

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError, ConditionValues};
use marram_store::{Snapshot, params};
use marram_types::{GroupName, Timestamp};

use crate::realm::Realm;
use crate::tag;

/// Levels of a hierarchy, the root included (CP 4.4).
const MAX_DEPTH: i64 = 7;
/// Direct children of a group (CP 4.4).
const MAX_CHILDREN: i64 = 100;
/// Groups of a thing (CP 4.4).
const MAX_GROUPS_PER_THING: i64 = 10;

/// A group's row without its name.
#[derive(Debug, Clone)]
pub(crate) struct GroupRow {
    /// UUID.
    pub(crate) id: String,
    /// Name of the parent; fixed at creation.
    pub(crate) parent: Option<String>,
    /// Name of the root of its hierarchy; its own for a root.
    pub(crate) root: String,
    /// 1 for a root.
    pub(crate) depth: i64,
    description: Option<String>,
    attributes: String,
    version: i64,
    created_at: Timestamp,
}

impl Realm {
    /// `arn:…:thinggroup/{name}`.
    pub(crate) fn thing_group_arn(&self, name: &str) -> String {
        self.arn(resource(name))
    }
}

/// `thinggroup/{name}`.
pub(crate) fn resource(name: &str) -> String {
    format!("thinggroup/{name}")
}

/// A group, if there is one by that name.
pub(crate) fn find(snapshot: &Snapshot<'_>, realm: &Realm, name: &str) -> Result<Option<GroupRow>, CallError> {
    snapshot.query_opt(
        "SELECT id, parent, root, depth, description, attributes, version, created_at FROM iot_thing_group
         WHERE account = $1 AND region = $2 AND name = $3",
        params![realm.account, realm.region, name],
        |row| {
            Ok(GroupRow {
                id: row.get(0)?,
                parent: row.get(1)?,
                root: row.get(2)?,
                depth: row.get(3)?,
                description: row.get(4)?,
                attributes: row.get(5)?,
                version: row.get(6)?,
                created_at: row.get(7)?,
            })
        },
    )
}

/// A group that must be there.
pub(crate) fn get(snapshot: &Snapshot<'_>, realm: &Realm, name: &str) -> Result<GroupRow, CallError> {
    find(snapshot, realm, name)?
        .ok_or_else(|| ApiError::not_found(format!("Thing group {name} cannot be found.")).into())
}

/// The ancestors of a group, root first, itself excluded.
pub(crate) fn ancestors(snapshot: &Snapshot<'_>, realm: &Realm, group: &GroupRow) -> Result<Vec<String>, CallError> {
    let mut path = Vec::new();
    let mut parent = group.parent.clone();
    while let Some(name) = parent {
        parent = find(snapshot, realm, &name)?.and_then(|row| row.parent);
        path.push(name);
    }
    path.reverse();
    Ok(path)
}

/// Tags of the group at hand, for the authorizer.
fn conditions(ctx: &CallContext, realm: &Realm, name: &GroupName) -> Result<ConditionValues, ApiError> {
    tag::resource_conditions(ctx, realm, &resource(name.as_str()))
}
