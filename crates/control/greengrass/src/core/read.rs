//! Core devices and what they run, read; forgetting one.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_registry::Realm;
use marram_store::{Snapshot, params};
use marram_types::Timestamp;
use serde_json::{Value, json};

use super::{COLUMNS, Core, known, own_thing, permitted};
use crate::page::Page;
use crate::place::{self, Target};
use crate::{Greengrass, deployment, fault, tag};

/// Ancestors of a group: hierarchies have seven levels.
const ANCESTORS: &str = "WITH RECURSIVE chain (name, parent, level) AS (
        SELECT name, parent, 0 FROM iot_thing_group WHERE account = $1 AND region = $2 AND name = $3
        UNION ALL
        SELECT g.name, g.parent, c.level + 1 FROM iot_thing_group g JOIN chain c ON g.name = c.parent
        WHERE g.account = $1 AND g.region = $2)
    SELECT name FROM chain ORDER BY level DESC";

/// The groups of a thing: for each, its line from the root to itself.
pub(crate) fn groups_of(snapshot: &Snapshot<'_>, realm: &Realm, thing: &str) -> Result<Vec<Vec<String>>, CallError> {
    let direct = snapshot.query_all(
        "SELECT group_name FROM iot_group_member WHERE account = $1 AND region = $2 AND thing = $3
         ORDER BY group_name LIMIT 100",
        params![realm.account, realm.region, thing],
        |row| Ok::<_, CallError>(row.get::<String>(0)?),
    )?;
    let line = |group: String| {
        snapshot.query_all(ANCESTORS, params![realm.account, realm.region, group], |row| {
            Ok::<_, CallError>(row.get::<String>(0)?)
        })
    };
    direct.into_iter().map(line).collect()
}

/// `ListCoreDevices`.
pub(crate) async fn list(_: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = place::realm(ctx);
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| {})?);
    let text = |member: &str| input[member].as_str();
    let (group_arn, status, runtime) = (text("thingGroupArn"), text("status"), text("runtime"));
    let filter = [group_arn.unwrap_or(""), status.unwrap_or(""), runtime.unwrap_or("")];
    let page = Page::of(ctx, &input, &filter)?;
    let group = match group_arn {
        None => None,
        Some(arn) => match Target::parse(&realm, arn) {
            Some(Target::Group(name)) => Some(name),
            _ => return Err(fault::field("thingGroupArn", "The ARN must name a thing group of this account.")),
        },
    };
    let rows = ctx.read(|snapshot| {
        snapshot.query_all(
            &format!(
                "{COLUMNS} WHERE account = $1 AND region = $2 AND thing > $3 AND ($4 IS NULL OR status = $4)
                 AND ($5 IS NULL OR runtime = $5)
                 AND ($6 IS NULL OR EXISTS (SELECT 1 FROM iot_group_member m WHERE m.account = $1 AND m.region = $2
                     AND m.group_name = $6 AND m.thing = gg_core.thing))
                 ORDER BY thing LIMIT $7"
            ),
            params![realm.account, realm.region, page.after, status, runtime, group, page.fetch()],
            |row| {
                let core = Core::read(row)?;
                Ok::<_, CallError>((core.thing.clone(), core.summary()))
            },
        )
    })?;
    Ok(page.answer(ctx, "coreDevices", rows))
}

/// `GetCoreDevice`.
pub(crate) async fn get(_: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let (grant, realm, thing) = permitted(ctx, &input)?;
    drop(grant);
    let core = known(ctx, &realm, &thing)?;
    let tags = ctx.read(|snapshot| tag::of(snapshot, &realm, &format!("coreDevices:{thing}")))?;
    let mut answer = core.summary();
    answer["coreVersion"] = json!(core.version);
    answer["tags"] = json!(tags);
    Ok(answer)
}

/// `DeleteCoreDevice`: what it reported is forgotten; thing and certificate stay.
pub(crate) async fn delete(service: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let (grant, realm, thing) = permitted(ctx, &input)?;
    let (watch, now) = (service.core_watch(), ctx.now);
    ctx.commit(grant, move |tx| {
        super::find(tx, &realm, &thing)?.ok_or_else(|| fault::not_found("coreDevice", &thing))?;
        let busy = tx.query_opt(
            "SELECT 1 FROM gg_effective WHERE account = $1 AND region = $2 AND thing = $3
             AND status IN ('QUEUED', 'IN_PROGRESS') LIMIT 1",
            params![realm.account, realm.region, thing],
            |row| Ok::<_, CallError>(row.get::<i64>(0)?),
        )?;
        if busy.is_some() {
            let message = format!("Core device {thing} has a deployment under way.");
            return Err(fault::conflict("coreDevice", &thing, message).into());
        }
        for (table, column) in
            [("gg_core", "thing"), ("gg_installed", "thing"), ("gg_effective", "thing"), ("gg_client_device", "core")]
        {
            let sql = format!("DELETE FROM {table} WHERE account = $1 AND region = $2 AND {column} = $3");
            tx.execute(&sql, params![realm.account, realm.region, thing])?;
        }
        tag::forget(tx, &realm, &format!("coreDevices:{thing}"))?;
        if let Some(watch) = &watch {
            watch.on_core_deleted(tx, &realm, &thing, now)?;
        }
        Ok(json!({}))
    })
    .await
}

/// `ListInstalledComponents`: root components unless all are asked for.
pub(crate) async fn installed(_: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let (grant, realm, thing) = permitted(ctx, &input)?;
    drop(grant);
    let topology = input["topologyFilter"].as_str().unwrap_or("ROOT");
    let page = Page::of(ctx, &input, &[&thing, topology])?;
    known(ctx, &realm, &thing)?;
    let rows = ctx.read(|snapshot| {
        snapshot.query_all(
            "SELECT component, version, state, details, codes, root, source, changed_at, reported_at FROM gg_installed
             WHERE account = $1 AND region = $2 AND thing = $3 AND component > $4 AND ($5 = 0 OR root = 1)
             ORDER BY component LIMIT $6",
            params![realm.account, realm.region, thing, page.after, topology == "ROOT", page.fetch()],
            |row| {
                let name: String = row.get(0)?;
                let codes: Value = serde_json::from_str(row.text(4)?).unwrap_or_else(|_| json!([]));
                let item = json!({
                    "componentName": name, "componentVersion": row.get::<String>(1)?,
                    "lifecycleState": row.get::<String>(2)?, "lifecycleStateDetails": row.get::<String>(3)?,
                    "lifecycleStatusCodes": codes, "isRoot": row.get::<bool>(5)?,
                    "lastInstallationSource": row.get::<String>(6)?,
                    "lastStatusChangeTimestamp": row.get::<Timestamp>(7)?.epoch_seconds(),
                    "lastReportedTimestamp": row.get::<Timestamp>(8)?.epoch_seconds(),
                });
                Ok::<_, CallError>((name, item))
            },
        )
    })?;
    Ok(page.answer(ctx, "installedComponents", rows))
}

/// `ListEffectiveDeployments`.
pub(crate) async fn effective(_: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let (grant, realm, thing) = permitted(ctx, &input)?;
    drop(grant);
    let page = Page::of(ctx, &input, &[&thing])?;
    let rows = ctx.read(|snapshot| {
        let rows = snapshot.query_all(
            "SELECT deployment, status, reason, stack, types, created_at, modified_at FROM gg_effective
             WHERE account = $1 AND region = $2 AND thing = $3 AND deployment > $4 ORDER BY deployment LIMIT $5",
            params![realm.account, realm.region, thing, page.after, page.fetch()],
            |row| {
                let id: String = row.get(0)?;
                let list = |column: usize| -> Result<Value, CallError> {
                    Ok(serde_json::from_str(row.text(column)?).unwrap_or_else(|_| json!([])))
                };
                let item = json!({
                    "deploymentId": id, "coreDeviceExecutionStatus": row.get::<String>(1)?,
                    "reason": row.get::<String>(2)?,
                    "statusDetails": {"errorStack": list(3)?, "errorTypes": list(4)?},
                    "creationTimestamp": row.get::<Timestamp>(5)?.epoch_seconds(),
                    "modifiedTimestamp": row.get::<Timestamp>(6)?.epoch_seconds(),
                });
                Ok::<_, CallError>((id, item))
            },
        )?;
        let groups = groups_of(snapshot, &realm, &thing)?;
        let mut told = Vec::new();
        for (id, mut item) in rows {
            // A deployment that has been deleted has no target to tell.
            let Some(found) = deployment::find(snapshot, &realm, &id)? else { continue };
            // What a core says of a group that it has left, or had said before, is not in force on it.
            if let Target::Group(name) = found.target()
                && !groups.iter().flatten().any(|group| *group == name)
            {
                continue;
            }
            item["targetArn"] = json!(realm.arn(&found.target));
            item["deploymentName"] = json!(found.name.unwrap_or_default());
            if let Some(job) = found.job {
                item["iotJobArn"] = json!(realm.arn(format_args!("job/{job}")));
                item["iotJobId"] = json!(job);
            }
            told.push((id, item));
        }
        Ok::<_, CallError>(told)
    })?;
    if rows.is_empty() {
        known(ctx, &realm, &thing)?;
    }
    Ok(page.answer(ctx, "effectiveDeployments", rows))
}

/// `ListThingGroupsForCoreDevice` (control-plane-api 6.2).
pub(crate) async fn thing_groups(_: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = place::realm(ctx);
    let thing = input["coreDeviceThingName"].as_str().unwrap_or_default();
    drop(ctx.authorize(ctx.operation.iam_action, &realm.arn(format_args!("thing/{thing}")), |_| {})?);
    own_thing(ctx, thing, ctx.operation.iam_action)?;
    let page = Page::of(ctx, &input, &[thing])?;
    let lines = ctx.read(|snapshot| {
        let mut lines = groups_of(snapshot, &realm, thing)?;
        // A core that listens to jobs keeps what its groups gave it, each under its name, and drops what no group in this
        // list gave it. What a deployment to itself gave it stands there under its own name.
        if super::find(snapshot, &realm, thing)?.is_some_and(|core| core.listens_to_jobs())
            && deployment::came_as_job(snapshot, &realm, thing)?
            && !lines.iter().any(|line| line.last().is_some_and(|group| group == thing))
        {
            lines.push(vec![thing.to_owned()]);
        }
        Ok::<_, CallError>(lines)
    })?;
    let items = lines
        .into_iter()
        .filter_map(|mut line| {
            let name = line.pop()?;
            let parents: Vec<Value> = line.iter().map(|parent| json!({"thingGroupName": parent})).collect();
            Some((name.clone(), json!({"thingGroupName": name, "rootToParentThingGroups": parents})))
        })
        .collect();
    Ok(page.of_all(ctx, "thingGroups", items))
}
