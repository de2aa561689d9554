//! Thing groups of the registry as targets, and who is in them.

use marram_identity::CallError;
use marram_store::{Snapshot, params};

use crate::ports::FlowTarget;
use crate::realm::Realm;

/// Answers the two reading questions of [`crate::GreengrassTarget`] from the registry's tables.
#[derive(Clone, Copy, Debug, Default)]
pub struct GroupMembers;

impl GroupMembers {
    /// The thing group called `name`.
    ///
    /// # Errors
    /// The store's failure.
    pub fn resolve(self, s: &Snapshot<'_>, realm: &Realm, name: &str) -> Result<Option<FlowTarget>, CallError> {
        let id = s.query_opt(
            "SELECT id FROM iot_thing_group WHERE account = $1 AND region = $2 AND name = $3",
            params![realm.account, realm.region, name],
            |row| Ok::<_, CallError>(row.get::<String>(0)?),
        )?;
        let resource = format!("thinggroup/{name}");
        let arn = format!("arn:{}:iot:{}:{}:{resource}", realm.partition, realm.region, realm.account);
        Ok(id.map(|id| FlowTarget { resource, arn, id }))
    }

    /// Whether `thing` is `resource`, or a member of that group or of a group below it.
    ///
    /// # Errors
    /// The store's failure.
    pub fn includes(self, s: &Snapshot<'_>, realm: &Realm, resource: &str, thing: &str) -> Result<bool, CallError> {
        let Some(group) = resource.strip_prefix("thinggroup/") else {
            return Ok(resource.strip_prefix("thing/") == Some(thing));
        };
        let found = s.query_opt(
            "WITH RECURSIVE above (name) AS (
                 SELECT group_name FROM iot_group_member WHERE account = $1 AND region = $2 AND thing = $3
                 UNION
                 SELECT g.parent FROM iot_thing_group g JOIN above ON g.name = above.name
                 WHERE g.account = $1 AND g.region = $2 AND g.parent IS NOT NULL
             ) SELECT 1 FROM above WHERE name = $4",
            params![realm.account, realm.region, thing, group],
            |row| Ok::<_, CallError>(row.get::<i64>(0)?),
        )?;
        Ok(found.is_some())
    }
}
