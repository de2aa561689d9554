//! Attaching certificates to things, and the lists of both directions, v1 and v2.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::{Row, Tx, params};
use marram_types::{ThingName, Timestamp};
use serde_json::{Value, json};

use crate::certificate;
use crate::change::Change;
use crate::input::Input;
use crate::page::Style;
use crate::realm::{Realm, shown};
use crate::service::Registry;

/// An attachment that forbids any other of the same principal (CP 4.5).
pub(crate) const EXCLUSIVE: &str = "EXCLUSIVE_THING";
/// The ordinary attachment.
pub(crate) const NON_EXCLUSIVE: &str = "NON_EXCLUSIVE_THING";

/// The certificate an ARN in a request names: `cert/{id}`.
fn principal(realm: &Realm, input: &Input) -> Result<String, ApiError> {
    let arn = input.required("principal")?;
    let resource = realm.resource(arn)?;
    if certificate::id_of_resource(&resource).is_none() {
        return Err(ApiError::invalid_request(format!("Invalid principal: {}", shown(arn))));
    }
    Ok(resource)
}

/// `AttachThingPrincipal`: idempotent; an exclusive principal belongs to one thing only.
pub(crate) async fn attach_thing_principal(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: ThingName = input.parse("thingName")?;
    let principal = principal(&realm, &input)?;
    let exclusive = match input.text("thingPrincipalType") {
        None | Some(NON_EXCLUSIVE) => false,
        Some(EXCLUSIVE) => true,
        Some(other) => {
            return Err(ApiError::invalid_request(format!("Invalid thingPrincipalType: {}", shown(other))));
        }
    };
    let grant = ctx.authorize(ctx.operation.iam_action, &realm.arn(&principal), |conditions| {
        conditions.set("iot:thingArn", realm.thing_arn(&name));
    })?;
    let (changes, now) = (registry.changes().clone(), ctx.now);
    ctx.commit(grant, move |tx| {
        attach(tx, &realm, &name, &principal, exclusive, now)?;
        changes.announce(tx, certificate::changed(&realm, &principal));
        Ok(json!({}))
    })
    .await
}

fn attach(
    tx: &mut Tx<'_>,
    realm: &Realm,
    name: &ThingName,
    principal: &str,
    exclusive: bool,
    now: Timestamp,
) -> Result<(), CallError> {
    super::get(tx, realm, name.as_str())?;
    certificate::must_exist(tx, realm, principal)?;
    // Two rows tell all: the attachment to this thing, and any other.
    let attached = tx.query_all(
        "SELECT thing, type FROM iot_thing_principal WHERE account = $1 AND region = $2 AND principal = $3
         ORDER BY thing = $4 DESC LIMIT 2",
        params![realm.account, realm.region, principal, name],
        |row| Ok::<_, CallError>((row.get::<String>(0)?, row.get::<String>(1)?)),
    )?;
    let elsewhere = attached.iter().any(|(thing, _)| thing != name.as_str());
    let was_exclusive = attached.iter().any(|(_, type_)| type_ == EXCLUSIVE);
    if elsewhere && (exclusive || was_exclusive) {
        return Err(ApiError::invalid_request(format!(
            "Principal {} is attached to another thing, so it cannot be attached exclusively",
            realm.arn(principal)
        ))
        .into());
    }
    tx.execute(
        "INSERT INTO iot_thing_principal (account, region, thing, principal, type, attached_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (account, region, thing, principal) DO UPDATE SET type = excluded.type",
        params![realm.account, realm.region, name, principal, if exclusive { EXCLUSIVE } else { NON_EXCLUSIVE }, now],
    )?;
    Ok(())
}

/// `DetachThingPrincipal`.
pub(crate) async fn detach_thing_principal(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: ThingName = input.parse("thingName")?;
    let principal = principal(&realm, &input)?;
    let grant = ctx.authorize(ctx.operation.iam_action, &realm.arn(&principal), |conditions| {
        conditions.set("iot:thingArn", realm.thing_arn(&name));
    })?;
    let changes = registry.changes().clone();
    ctx.commit(grant, move |tx| {
        super::get(tx, &realm, name.as_str())?;
        certificate::must_exist(tx, &realm, &principal)?;
        let gone = tx.execute(
            "DELETE FROM iot_thing_principal WHERE account = $1 AND region = $2 AND thing = $3 AND principal = $4",
            params![realm.account, realm.region, name, principal],
        )?;
        if gone == 0 {
            return Err(ApiError::not_found(format!(
                "Principal {} is not attached to thing {name}",
                realm.arn(&principal)
            ))
            .into());
        }
        let change: Change = certificate::changed(&realm, &principal);
        changes.announce(tx, change);
        Ok(json!({}))
    })
    .await
}

/// `ListThingPrincipals`: ARNs.
pub(crate) async fn list_thing_principals(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    principals(registry, ctx, &input, "principals", |realm, principal, _| realm.arn(principal).into())
}

/// `ListThingPrincipalsV2`: ARNs and how they are attached.
pub(crate) async fn list_thing_principals_v2(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    principals(
        registry,
        ctx,
        &input,
        "thingPrincipalObjects",
        |realm, principal, type_| json!({"principal": realm.arn(principal), "thingPrincipalType": type_}),
    )
}

fn principals(
    registry: &Registry,
    ctx: &CallContext,
    input: &Input,
    member: &str,
    item: impl Fn(&Realm, &str, &str) -> Value,
) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: ThingName = input.parse("thingName")?;
    drop(ctx.authorize(ctx.operation.iam_action, &realm.thing_arn(&name), |_| ())?);
    let type_ = input.text("thingPrincipalType").unwrap_or("");
    let page = registry.tokens().page(ctx, input, Style::NextToken, &[name.as_str(), type_])?;
    let rows = ctx.read(|snapshot| {
        if super::find(snapshot, &realm, name.as_str())?.is_none() {
            return Err(ApiError::not_found(format!(
                "Failed to list principals for thing {name} because the thing does not exist in your account"
            ))
            .into());
        }
        snapshot.query_all(
            "SELECT principal, type FROM iot_thing_principal
             WHERE account = $1 AND region = $2 AND thing = $3 AND principal > $4 AND ($6 = '' OR type = $6)
             ORDER BY principal LIMIT $5",
            params![realm.account, realm.region, name, page.after(0), page.fetch(), type_],
            |row: &Row<'_>| {
                let principal = row.text(0)?;
                Ok::<_, CallError>(([principal.to_owned()], item(&realm, principal, row.text(1)?)))
            },
        )
    })?;
    Ok(page.answer(member, rows))
}

/// `ListPrincipalThings`: names.
pub(crate) async fn list_principal_things(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    things(registry, ctx, &input, "things", |thing, _| thing.into())
}

/// `ListPrincipalThingsV2`: names and how they are attached.
pub(crate) async fn list_principal_things_v2(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    things(
        registry,
        ctx,
        &input,
        "principalThingObjects",
        |thing, type_| json!({"thingName": thing, "thingPrincipalType": type_}),
    )
}

fn things(
    registry: &Registry,
    ctx: &CallContext,
    input: &Input,
    member: &str,
    item: impl Fn(&str, &str) -> Value,
) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let principal = principal(&realm, input)?;
    drop(ctx.authorize(ctx.operation.iam_action, &realm.arn(&principal), |_| ())?);
    let type_ = input.text("thingPrincipalType").unwrap_or("");
    let page = registry.tokens().page(ctx, input, Style::NextToken, &[&principal, type_])?;
    let rows = ctx.read(|snapshot| {
        certificate::must_exist(snapshot, &realm, &principal)?;
        snapshot.query_all(
            "SELECT thing, type FROM iot_thing_principal
             WHERE account = $1 AND region = $2 AND principal = $3 AND thing > $4 AND ($6 = '' OR type = $6)
             ORDER BY thing LIMIT $5",
            params![realm.account, realm.region, principal, page.after(0), page.fetch(), type_],
            |row: &Row<'_>| {
                let thing = row.text(0)?;
                Ok::<_, CallError>(([thing.to_owned()], item(thing, row.text(1)?)))
            },
        )
    })?;
    Ok(page.answer(member, rows))
}
