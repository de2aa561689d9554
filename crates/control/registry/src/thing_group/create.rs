//! `CreateThingGroup`.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::{Tx, params};
use marram_types::{GroupName, Timestamp};
use serde_json::{Value, json};

use super::{MAX_CHILDREN, MAX_DEPTH, find, resource};
use crate::attribute::{self, AttributeChange, Attributes, MAX_WITH_TYPE};
use crate::input::Input;
use crate::realm::Realm;
use crate::service::Registry;
use crate::tag::{self, Tags};

struct NewGroup {
    realm: Realm,
    name: GroupName,
    arn: String,
    parent: Option<GroupName>,
    description: Option<String>,
    attributes: String,
    tags: Tags,
    now: Timestamp,
}

/// Creates a group, below a parent or as a root. Repeated with the same properties it answers the existing one.
pub(crate) async fn create_thing_group(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: GroupName = input.parse("thingGroupName")?;
    let arn = realm.thing_group_arn(name.as_str());
    let tags = tag::read_tags(&input)?;
    let grant = ctx.authorize(ctx.operation.iam_action, &arn, |conditions| {
        conditions.request_tags(tag::pairs(&tags));
    })?;
    let properties = input.object("thingGroupProperties");
    let payload = properties.and_then(|p| p.get("attributePayload")).and_then(Value::as_object);
    let attributes = AttributeChange::read(payload)?.map(|change| change.apply(Attributes::new())).unwrap_or_default();
    attribute::check_count(&attributes, MAX_WITH_TYPE)?;
    let group = NewGroup {
        parent: input.parse_opt("parentGroupName")?,
        description: properties.and_then(|p| p.get("thingGroupDescription")).and_then(Value::as_str).map(str::to_owned),
        attributes: attribute::to_column(&attributes),
        realm,
        name,
        arn,
        tags,
        now: ctx.now,
    };
    ctx.commit(grant, move |tx| insert(tx, &group)).await
}

fn insert(tx: &mut Tx<'_>, group: &NewGroup) -> Result<Value, CallError> {
    let NewGroup { realm, name, arn, parent, description, attributes, tags, now } = group;
    let answer = |id: String| json!({"thingGroupName": name.as_str(), "thingGroupArn": arn, "thingGroupId": id});
    if let Some(existing) = find(tx, realm, name.as_str())? {
        let same = existing.parent.as_deref() == parent.as_ref().map(GroupName::as_str)
            && existing.description == *description
            && existing.attributes == *attributes;
        if same {
            return Ok(answer(existing.id));
        }
        return Err(ApiError::already_exists(format!(
            "Thing group {name} already exists in account with different properties"
        ))
        .with("resourceId", name.as_str())
        .with("resourceArn", arn.as_str())
        .into());
    }
    let (root, depth) = match parent {
        None => (name.to_string(), 1),
        Some(parent) => below(tx, realm, parent)?,
    };
    let id = uuid::Uuid::new_v4().to_string();
    tx.execute(
        "INSERT INTO iot_thing_group
         (account, region, name, id, parent, root, depth, description, attributes, version, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10)",
        params![realm.account, realm.region, name, id, parent, root, depth, description, attributes, now],
    )?;
    tag::insert_tags(tx, realm, &resource(name.as_str()), tags)?;
    Ok(answer(id))
}

/// Root and depth of a new child of `parent`.
fn below(tx: &Tx<'_>, realm: &Realm, parent: &GroupName) -> Result<(String, i64), CallError> {
    // The model lists no ResourceNotFoundException for this operation.
    let row = find(tx, realm, parent.as_str())?
        .ok_or_else(|| ApiError::invalid_request(format!("Parent thing group {parent} does not exist")))?;
    if row.depth >= MAX_DEPTH {
        return Err(ApiError::invalid_request(format!("A group hierarchy has at most {MAX_DEPTH} levels")).into());
    }
    let children: i64 = tx.query_one(
        "SELECT COUNT(*) FROM iot_thing_group WHERE account = $1 AND region = $2 AND parent = $3",
        params![realm.account, realm.region, parent],
        |row| Ok::<_, CallError>(row.get(0)?),
    )?;
    if children >= MAX_CHILDREN {
        return Err(ApiError::invalid_request(format!("A group has at most {MAX_CHILDREN} direct children")).into());
    }
    Ok((row.root, row.depth + 1))
}
