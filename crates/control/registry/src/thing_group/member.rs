//! Which things are in which groups: `AddThingToThingGroup`, `RemoveThingFromThingGroup`, `UpdateThingGroupsForThing`.

use std::sync::Arc;

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError, ConditionValues, Need};
use marram_store::{Tx, params};
use marram_types::{GroupName, ThingName, Timestamp};
use serde_json::{Value, json};

use super::{MAX_GROUPS_PER_THING, conditions, get};
use crate::change::Change;
use crate::input::Input;
use crate::membership::MembershipChange;
use crate::realm::{Realm, shown};
use crate::service::Registry;
use crate::thing;

/// A name given by itself or inside an ARN; both must agree.
fn named<T: std::str::FromStr>(
    realm: &Realm,
    input: &Input,
    (name, arn, kind): (&str, &str, &str),
) -> Result<T, ApiError> {
    let from_arn = match input.text(arn) {
        None => None,
        Some(text) => {
            let resource = realm.resource(text)?;
            let name = resource.strip_prefix(kind).map(str::to_owned);
            Some(name.ok_or_else(|| ApiError::invalid_request(format!("Invalid {arn}: {}", shown(text))))?)
        }
    };
    let text = match (input.text(name), from_arn) {
        (Some(name), None) => name.to_owned(),
        (None, Some(name)) => name,
        (Some(given), Some(from_arn)) if given == from_arn => from_arn,
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid_request(format!("{name} and {arn} name different resources")));
        }
        (None, None) => return Err(ApiError::invalid_request(format!("Either {name} or {arn} is required"))),
    };
    text.parse().map_err(|_| ApiError::invalid_request(format!("Invalid {name}: {}", shown(&text))))
}

const GROUP: (&str, &str, &str) = ("thingGroupName", "thingGroupArn", "thinggroup/");
const THING: (&str, &str, &str) = ("thingName", "thingArn", "thing/");

/// Adds a thing to a group; repeated, nothing changes.
pub(crate) async fn add_thing_to_thing_group(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let (group, thing) = (named::<GroupName>(&realm, &input, GROUP)?, named::<ThingName>(&realm, &input, THING)?);
    change_groups(registry, ctx, realm, thing, vec![group], Vec::new()).await
}

/// Takes a thing out of a group; one that is not in it is out already.
pub(crate) async fn remove_thing_from_thing_group(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let (group, thing) = (named::<GroupName>(&realm, &input, GROUP)?, named::<ThingName>(&realm, &input, THING)?);
    change_groups(registry, ctx, realm, thing, Vec::new(), vec![group]).await
}

/// Adds and removes several groups of one thing at once; all or nothing.
pub(crate) async fn update_thing_groups_for_thing(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let names = |member: &str| {
        let parse = |text: String| {
            text.parse::<GroupName>().map_err(|error| ApiError::invalid_request(format!("Invalid {member}: {error}")))
        };
        input.texts(member).into_iter().map(parse).collect::<Result<Vec<_>, _>>()
    };
    let (add, remove) = (names("thingGroupsToAdd")?, names("thingGroupsToRemove")?);
    let thing: ThingName = input.parse("thingName")?;
    if let Some(both) = add.iter().find(|name| remove.contains(name)) {
        return Err(ApiError::invalid_request(format!("Thing group {both} is to be added and removed")));
    }
    change_groups(registry, ctx, realm, thing, add, remove).await
}

async fn change_groups(
    registry: &Registry,
    ctx: &CallContext,
    realm: Realm,
    thing: ThingName,
    add: Vec<GroupName>,
    remove: Vec<GroupName>,
) -> Result<Value, ApiError> {
    let action = ctx.operation.iam_action;
    let thing_arn = realm.thing_arn(&thing);
    let mut groups = Vec::new();
    for group in add.iter().chain(&remove) {
        groups.push((realm.thing_group_arn(group.as_str()), conditions(ctx, &realm, group)?));
    }
    let mut needs = vec![Need { action, resource: &thing_arn, conditions: ConditionValues::new() }];
    needs.extend(groups.iter().map(|(arn, conditions)| Need { action, resource: arn, conditions: conditions.clone() }));
    let grant = ctx.authorize_all(needs)?;
    let (changes, now) = (registry.changes().clone(), ctx.now);
    let memberships = Arc::clone(registry.memberships());
    ctx.commit(grant, move |tx| {
        thing::get(tx, &realm, thing.as_str())?;
        let mut left = Vec::new();
        for group in &remove {
            get(tx, &realm, group.as_str())?;
            let gone = tx.execute(
                "DELETE FROM iot_group_member WHERE account = $1 AND region = $2 AND group_name = $3 AND thing = $4",
                params![realm.account, realm.region, group, thing],
            )?;
            left.extend((gone > 0).then(|| group.as_str()));
        }
        let mut joined = Vec::new();
        for group in &add {
            if insert(tx, &realm, group, &thing, now)? {
                joined.push(group.as_str());
            }
        }
        // Told when all memberships stand: a thing that moves inside a hierarchy stays a target of its root.
        let things = [thing.to_string()];
        for (groups, joined) in [(left, false), (joined, true)] {
            for group in groups {
                memberships.tell(tx, &realm, &MembershipChange { group, things: &things, joined }, now)?;
            }
        }
        changes.announce(tx, Change::Thing(realm, thing.to_string()));
        Ok(json!({}))
    })
    .await
}

/// Whether the thing is new to the group.
fn insert(
    tx: &mut Tx<'_>,
    realm: &Realm,
    group: &GroupName,
    thing: &ThingName,
    now: Timestamp,
) -> Result<bool, CallError> {
    let row = get(tx, realm, group.as_str())?;
    let memberships = tx.query_all(
        "SELECT m.group_name, g.root FROM iot_group_member m JOIN iot_thing_group g
         ON g.account = m.account AND g.region = m.region AND g.name = m.group_name
         WHERE m.account = $1 AND m.region = $2 AND m.thing = $3 LIMIT $4",
        params![realm.account, realm.region, thing, MAX_GROUPS_PER_THING + 1],
        |row| Ok::<_, CallError>((row.get::<String>(0)?, row.get::<String>(1)?)),
    )?;
    if memberships.iter().any(|(name, _)| name == group.as_str()) {
        return Ok(false);
    }
    if let Some((other, _)) = memberships.iter().find(|(_, root)| *root == row.root) {
        return Err(ApiError::invalid_request(format!(
            "Thing {thing} is already in thing group {other} of the same hierarchy as {group}"
        ))
        .into());
    }
    if i64::try_from(memberships.len()).unwrap_or(i64::MAX) >= MAX_GROUPS_PER_THING {
        return Err(ApiError::invalid_request(format!("A thing is in at most {MAX_GROUPS_PER_THING} groups")).into());
    }
    tx.execute(
        "INSERT INTO iot_group_member (account, region, group_name, thing, added_at) VALUES ($1, $2, $3, $4, $5)",
        params![realm.account, realm.region, group, thing, now],
    )?;
    Ok(true)
}
