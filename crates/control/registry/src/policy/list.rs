//! `ListPolicies`, `ListAttachedPolicies`, `ListTargetsForPolicy`, `ListPrincipalPolicies`, `ListPolicyPrincipals`.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::{Row, params};
use marram_types::PolicyName;
use serde_json::{Value, json};

use super::attach::Target;
use super::{conditions, get};
use crate::input::Input;
use crate::page::Style;
use crate::realm::Realm;
use crate::service::Registry;

/// Lists every policy by name.
pub(crate) async fn list_policies(registry: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| ())?);
    let realm = Realm::of(ctx);
    let ascending = input.flag_opt("ascendingOrder").unwrap_or(true);
    let page = registry.tokens().page(ctx, &input, Style::Marker, &[if ascending { "ascending" } else { "" }])?;
    let (order, beyond) = if ascending { ("ASC", ">") } else { ("DESC", "<") };
    let sql = format!(
        "SELECT name FROM iot_policy WHERE account = $1 AND region = $2 AND name {beyond} $3
         ORDER BY name {order} LIMIT $4"
    );
    let rows = ctx.read(|snapshot| {
        snapshot.query_all(&sql, params![realm.account, realm.region, page.from(0, ascending), page.fetch()], |row| {
            policy_row(&realm, row)
        })
    })?;
    Ok(page.answer("policies", rows))
}

/// Lists the policies of a target; with `recursive` also those it inherits from groups and their parents.
pub(crate) async fn list_attached_policies(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| ())?);
    let realm = Realm::of(ctx);
    let target = Target::read(&realm, input.required("target")?)?;
    let recursive = input.flag("recursive");
    attached(registry, ctx, &input, &realm, &target, recursive, true)
}

/// `ListPrincipalPolicies`: the older form for certificates.
pub(crate) async fn list_principal_policies(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| ())?);
    let realm = Realm::of(ctx);
    let target = Target::read(&realm, input.required("principal")?)?;
    let ascending = input.flag_opt("ascendingOrder").unwrap_or(true);
    attached(registry, ctx, &input, &realm, &target, false, ascending)
}

fn attached(
    registry: &Registry,
    ctx: &CallContext,
    input: &Input,
    realm: &Realm,
    target: &Target,
    recursive: bool,
    ascending: bool,
) -> Result<Value, ApiError> {
    let resource = target.resource();
    let filter =
        [resource.as_str(), if recursive { "recursive" } else { "" }, if ascending { "ascending" } else { "" }];
    let page = registry.tokens().page(ctx, input, Style::Marker, &filter)?;
    let (order, beyond) = if ascending { ("ASC", ">") } else { ("DESC", "<") };
    let targets = match (recursive, target) {
        (false, _) => "SELECT $5",
        (true, Target::Certificate(_)) => TARGETS_OF_CERTIFICATE,
        (true, Target::Group(_)) => TARGETS_OF_GROUP,
    };
    let sql = format!(
        "SELECT DISTINCT policy FROM iot_policy_attachment
         WHERE account = $1 AND region = $2 AND policy {beyond} $3 AND target IN ({targets})
         ORDER BY policy {order} LIMIT $4"
    );
    let rows = ctx.read(|snapshot| {
        target.must_exist(snapshot, realm)?;
        snapshot.query_all(
            &sql,
            params![realm.account, realm.region, page.from(0, ascending), page.fetch(), resource],
            |row| policy_row(realm, row),
        )
    })?;
    Ok(page.answer("policies", rows))
}

/// A certificate, the groups of its things, and their ancestors.
const TARGETS_OF_CERTIFICATE: &str = "
    WITH RECURSIVE chain (name) AS (
        SELECT m.group_name FROM iot_thing_principal p JOIN iot_group_member m
          ON m.account = p.account AND m.region = p.region AND m.thing = p.thing
        WHERE p.account = $1 AND p.region = $2 AND p.principal = $5
        UNION
        SELECT g.parent FROM iot_thing_group g JOIN chain c ON g.name = c.name
        WHERE g.account = $1 AND g.region = $2 AND g.parent IS NOT NULL)
    SELECT $5 UNION ALL SELECT 'thinggroup/' || name FROM chain";

/// A group and its ancestors.
const TARGETS_OF_GROUP: &str = "
    WITH RECURSIVE chain (name) AS (
        SELECT substr($5, 12)
        UNION
        SELECT g.parent FROM iot_thing_group g JOIN chain c ON g.name = c.name
        WHERE g.account = $1 AND g.region = $2 AND g.parent IS NOT NULL)
    SELECT 'thinggroup/' || name FROM chain";

/// Lists the ARNs a policy is attached to.
pub(crate) async fn list_targets_for_policy(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    targets(registry, ctx, &input, "targets", "")
}

/// `ListPolicyPrincipals`: the older form, which knows certificates only.
pub(crate) async fn list_policy_principals(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    targets(registry, ctx, &input, "principals", "cert/")
}

fn targets(
    registry: &Registry,
    ctx: &CallContext,
    input: &Input,
    member: &str,
    prefix: &str,
) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: PolicyName = input.parse("policyName")?;
    let tags = conditions(ctx, &realm, &name)?;
    drop(ctx.authorize(ctx.operation.iam_action, &realm.policy_arn(name.as_str()), |c| *c = tags)?);
    let ascending = input.flag_opt("ascendingOrder").unwrap_or(true);
    let filter = [name.as_str(), if ascending { "ascending" } else { "" }];
    let page = registry.tokens().page(ctx, input, Style::Marker, &filter)?;
    let (order, beyond) = if ascending { ("ASC", ">") } else { ("DESC", "<") };
    let sql = format!(
        "SELECT target FROM iot_policy_attachment
         WHERE account = $1 AND region = $2 AND policy = $3 AND target {beyond} $4 AND target LIKE $6
         ORDER BY target {order} LIMIT $5"
    );
    let rows = ctx.read(|snapshot| {
        get(snapshot, &realm, name.as_str())?;
        let pattern = format!("{prefix}%");
        snapshot.query_all(
            &sql,
            params![realm.account, realm.region, name, page.from(0, ascending), page.fetch(), pattern],
            |row: &Row<'_>| {
                let target = row.text(0)?;
                Ok::<_, CallError>(([target.to_owned()], Value::from(realm.arn(target))))
            },
        )
    })?;
    Ok(page.answer(member, rows))
}

fn policy_row(realm: &Realm, row: &Row<'_>) -> Result<([String; 1], Value), CallError> {
    let name = row.text(0)?;
    Ok(([name.to_owned()], json!({"policyName": name, "policyArn": realm.policy_arn(name)})))
}
