//! `ListThingGroups`, `ListThingGroupsForThing`, `ListThingsInThingGroup`.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::{Row, params};
use marram_types::{GroupName, ThingName};
use serde_json::{Value, json};

use super::{conditions, get};
use crate::input::Input;
use crate::page::{BEHIND_ALL, Style};
use crate::realm::Realm;
use crate::service::Registry;
use crate::thing;

/// Every group.
const ALL: &str = "SELECT name FROM iot_thing_group
    WHERE account = $1 AND region = $2 AND name > $3 AND name >= $5 AND name < $6 ORDER BY name LIMIT $4";
/// Groups without a parent.
const ROOTS: &str = "SELECT name FROM iot_thing_group
    WHERE account = $1 AND region = $2 AND parent IS NULL AND name > $3 AND name >= $5 AND name < $6
    ORDER BY name LIMIT $4";
/// Children of `$7`.
const CHILDREN: &str = "SELECT name FROM iot_thing_group
    WHERE account = $1 AND region = $2 AND parent = $7 AND name > $3 AND name >= $5 AND name < $6
    ORDER BY name LIMIT $4";
/// All below `$7`.
const DESCENDANTS: &str = "WITH RECURSIVE below (name) AS (
        SELECT name FROM iot_thing_group WHERE account = $1 AND region = $2 AND parent = $7
        UNION ALL
        SELECT g.name FROM iot_thing_group g JOIN below b ON g.parent = b.name WHERE g.account = $1 AND g.region = $2)
    SELECT name FROM below WHERE name > $3 AND name >= $5 AND name < $6 ORDER BY name LIMIT $4";
const MEMBERS: &str = "SELECT group_name, thing FROM iot_group_member
    WHERE account = $1 AND region = $2 AND group_name = $3 AND thing > $5 AND group_name >= $4
    ORDER BY thing LIMIT $6";
/// Members of a group and of all below it; a thing is in one group of a hierarchy, so none comes twice.
const MEMBERS_BELOW: &str = "WITH RECURSIVE tree (name) AS (
        SELECT $3
        UNION ALL
        SELECT g.name FROM iot_thing_group g JOIN tree t ON g.parent = t.name WHERE g.account = $1 AND g.region = $2)
    SELECT group_name, thing FROM iot_group_member
    WHERE account = $1 AND region = $2 AND group_name IN (SELECT name FROM tree) AND (group_name, thing) > ($4, $5)
    ORDER BY group_name, thing LIMIT $6";

/// Lists groups by name: all, the roots, or those below a parent; with `recursive` (the default) all levels.
pub(crate) async fn list_thing_groups(registry: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| ())?);
    let realm = Realm::of(ctx);
    let parent: Option<GroupName> = input.parse_opt("parentGroup")?;
    let parent = parent.as_ref().map_or("", GroupName::as_str);
    let prefix = input.text("namePrefixFilter").unwrap_or("");
    let recursive = input.flag_opt("recursive").unwrap_or(true);
    let filter = [parent, prefix, if recursive { "recursive" } else { "" }];
    let page = registry.tokens().page(ctx, &input, Style::NextToken, &filter)?;
    let behind = format!("{prefix}{BEHIND_ALL}");
    let rows = ctx.read(|snapshot| {
        let item = |row: &Row<'_>| {
            let name = row.text(0)?;
            Ok::<_, CallError>(([name.to_owned()], group_item(&realm, name)))
        };
        let (account, region, after, limit) = (&realm.account, &realm.region, page.after(0), page.fetch());
        if parent.is_empty() {
            let sql = if recursive { ALL } else { ROOTS };
            return snapshot.query_all(sql, params![account, region, after, limit, prefix, behind], item);
        }
        get(snapshot, &realm, parent)?;
        let sql = if recursive { DESCENDANTS } else { CHILDREN };
        snapshot.query_all(sql, params![account, region, after, limit, prefix, behind, parent], item)
    })?;
    Ok(page.answer("thingGroups", rows))
}

/// Lists the groups a thing is in.
pub(crate) async fn list_thing_groups_for_thing(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: ThingName = input.parse("thingName")?;
    drop(ctx.authorize(ctx.operation.iam_action, &realm.thing_arn(&name), |_| ())?);
    let page = registry.tokens().page(ctx, &input, Style::NextToken, &[name.as_str()])?;
    let rows = ctx.read(|snapshot| {
        thing::get(snapshot, &realm, name.as_str())?;
        snapshot.query_all(
            "SELECT group_name FROM iot_group_member
             WHERE account = $1 AND region = $2 AND thing = $3 AND group_name > $4 ORDER BY group_name LIMIT $5",
            params![realm.account, realm.region, name, page.after(0), page.fetch()],
            |row: &Row<'_>| {
                let group = row.text(0)?;
                Ok::<_, CallError>(([group.to_owned()], group_item(&realm, group)))
            },
        )
    })?;
    Ok(page.answer("thingGroups", rows))
}

/// Lists the things in a group, with `recursive` also those in the groups below it.
pub(crate) async fn list_things_in_thing_group(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: GroupName = input.parse("thingGroupName")?;
    let tags = conditions(ctx, &realm, &name)?;
    drop(ctx.authorize(ctx.operation.iam_action, &realm.thing_group_arn(name.as_str()), |c| *c = tags)?);
    let recursive = input.flag("recursive");
    let filter = [name.as_str(), if recursive { "recursive" } else { "" }];
    let page = registry.tokens().page(ctx, &input, Style::NextToken, &filter)?;
    let rows = ctx.read(|snapshot| {
        get(snapshot, &realm, name.as_str())?;
        let sql = if recursive { MEMBERS_BELOW } else { MEMBERS };
        snapshot.query_all(
            sql,
            params![realm.account, realm.region, name, page.after(0), page.after(1), page.fetch()],
            |row: &Row<'_>| {
                let (group, thing) = (row.get::<String>(0)?, row.get::<String>(1)?);
                Ok::<_, CallError>(([group, thing.clone()], Value::from(thing)))
            },
        )
    })?;
    Ok(page.answer("things", rows))
}

fn group_item(realm: &Realm, name: &str) -> Value {
    json!({"groupName": name, "groupArn": realm.thing_group_arn(name)})
}
