//! Role aliases: what a device names to get credentials of a role (CP 4.1).

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::{Row, Snapshot, params};
use marram_types::{Arn, RoleAliasName, Timestamp};
use serde_json::{Value, json};

use crate::input::Input;
use crate::page::Style;
use crate::realm::{Realm, shown};
use crate::service::Registry;
use crate::tag;

/// Life of credentials when none is asked for, in seconds.
const DEFAULT_DURATION_SECS: i64 = 3600;
/// Shortest and longest life of credentials, in seconds (CP 4.1).
const DURATION_SECS: std::ops::RangeInclusive<i64> = 900..=43_200;
/// Role aliases of an account (CP 10.4).
const MAX_ROLE_ALIASES: i64 = 100;
/// Who assumes the role: `iam:PassedToService`.
pub(crate) const ASSUMED_BY: &str = "credentials.iot.amazonaws.com";

/// A role alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleAlias {
    /// `arn:…:rolealias/{name}`.
    pub arn: String,
    /// The role behind it.
    pub role_arn: String,
    /// Life of its credentials, in seconds.
    pub duration_secs: i64,
}

struct RoleAliasRow {
    role_arn: String,
    duration_secs: i64,
    created_at: Timestamp,
    modified_at: Timestamp,
}

impl Realm {
    fn role_alias_arn(&self, name: &str) -> String {
        self.arn(resource(name))
    }
}

fn resource(name: &str) -> String {
    format!("rolealias/{name}")
}

/// The role alias of an account, for the credentials provider; `None` when there is none by that name.
///
/// # Errors
/// The store's.
pub fn find_role_alias(
    snapshot: &Snapshot<'_>,
    realm: &Realm,
    name: &RoleAliasName,
) -> Result<Option<RoleAlias>, CallError> {
    Ok(find(snapshot, realm, name)?.map(|row| RoleAlias {
        arn: realm.role_alias_arn(name.as_str()),
        role_arn: row.role_arn,
        duration_secs: row.duration_secs,
    }))
}

fn find(snapshot: &Snapshot<'_>, realm: &Realm, name: &RoleAliasName) -> Result<Option<RoleAliasRow>, CallError> {
    snapshot.query_opt(
        "SELECT role_arn, duration_secs, created_at, modified_at FROM iot_role_alias
         WHERE account = $1 AND region = $2 AND name = $3",
        params![realm.account, realm.region, name],
        |row| {
            Ok(RoleAliasRow {
                role_arn: row.get(0)?,
                duration_secs: row.get(1)?,
                created_at: row.get(2)?,
                modified_at: row.get(3)?,
            })
        },
    )
}

fn get(snapshot: &Snapshot<'_>, realm: &Realm, name: &RoleAliasName) -> Result<RoleAliasRow, CallError> {
    find(snapshot, realm, name)?.ok_or_else(|| ApiError::not_found(format!("Role alias {name} does not exist")).into())
}

/// A role of this account, or a refusal.
fn check_role(realm: &Realm, text: &str) -> Result<String, ApiError> {
    text.parse::<Arn>()
        .ok()
        .filter(|arn| arn.is_in("iam", &realm.account, None) && arn.resource().starts_with("role/"))
        .map(|arn| arn.as_str().to_owned())
        .ok_or_else(|| ApiError::invalid_request(format!("Invalid roleArn: {}", shown(text))))
}

fn check_duration(duration: i64) -> Result<i64, ApiError> {
    if DURATION_SECS.contains(&duration) {
        return Ok(duration);
    }
    Err(ApiError::invalid_request(format!(
        "credentialDurationSeconds must be from {} to {}",
        DURATION_SECS.start(),
        DURATION_SECS.end()
    )))
}

/// `CreateRoleAlias`.
pub(crate) async fn create_role_alias(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: RoleAliasName = input.parse("roleAlias")?;
    let arn = realm.role_alias_arn(name.as_str());
    let role = check_role(&realm, input.required("roleArn")?)?;
    let duration = check_duration(input.integer("credentialDurationSeconds").unwrap_or(DEFAULT_DURATION_SECS))?;
    let tags = tag::read_tags(&input)?;
    let grant = ctx.authorize(ctx.operation.iam_action, &arn, |conditions| {
        conditions.request_tags(tag::pairs(&tags));
    })?;
    ctx.authorize_pass_role(&role, ASSUMED_BY)?;
    let now = ctx.now;
    ctx.commit(grant, move |tx| {
        if find(tx, &realm, &name)?.is_some() {
            return Err(ApiError::already_exists(format!("Role alias {name} already exists"))
                .with("resourceId", name.as_str())
                .with("resourceArn", arn)
                .into());
        }
        let count: i64 = tx.query_one(
            "SELECT COUNT(*) FROM iot_role_alias WHERE account = $1 AND region = $2",
            params![realm.account, realm.region],
            |row| Ok::<_, CallError>(row.get(0)?),
        )?;
        if count >= MAX_ROLE_ALIASES {
            return Err(ApiError::limit_exceeded(format!("At most {MAX_ROLE_ALIASES} role aliases are allowed")).into());
        }
        tx.execute(
            "INSERT INTO iot_role_alias (account, region, name, role_arn, duration_secs, created_at, modified_at)
             VALUES ($1, $2, $3, $4, $5, $6, $6)",
            params![realm.account, realm.region, name, role, duration, now],
        )?;
        tag::insert_tags(tx, &realm, &resource(name.as_str()), &tags)?;
        Ok(json!({"roleAlias": name.as_str(), "roleAliasArn": arn}))
    })
    .await
}

/// `UpdateRoleAlias`.
pub(crate) async fn update_role_alias(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: RoleAliasName = input.parse("roleAlias")?;
    let arn = realm.role_alias_arn(name.as_str());
    let role = input.text("roleArn").map(|text| check_role(&realm, text)).transpose()?;
    let duration = input.integer("credentialDurationSeconds").map(check_duration).transpose()?;
    let conditions = tag::resource_conditions(ctx, &realm, &resource(name.as_str()))?;
    let grant = ctx.authorize(ctx.operation.iam_action, &arn, |c| *c = conditions)?;
    if let Some(role) = &role {
        ctx.authorize_pass_role(role, ASSUMED_BY)?;
    }
    let now = ctx.now;
    ctx.commit(grant, move |tx| {
        let row = get(tx, &realm, &name)?;
        tx.execute(
            "UPDATE iot_role_alias SET role_arn = $4, duration_secs = $5, modified_at = $6
             WHERE account = $1 AND region = $2 AND name = $3",
            params![
                realm.account,
                realm.region,
                name,
                role.unwrap_or(row.role_arn),
                duration.unwrap_or(row.duration_secs),
                now
            ],
        )?;
        Ok(json!({"roleAlias": name.as_str(), "roleAliasArn": arn}))
    })
    .await
}

/// `DescribeRoleAlias`.
pub(crate) async fn describe_role_alias(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: RoleAliasName = input.parse("roleAlias")?;
    let arn = realm.role_alias_arn(name.as_str());
    let conditions = tag::resource_conditions(ctx, &realm, &resource(name.as_str()))?;
    drop(ctx.authorize(ctx.operation.iam_action, &arn, |c| *c = conditions)?);
    let row = ctx.read(|snapshot| get(snapshot, &realm, &name))?;
    Ok(json!({"roleAliasDescription": {
        "roleAlias": name.as_str(),
        "roleAliasArn": arn,
        "roleArn": row.role_arn,
        "owner": realm.account.as_str(),
        "credentialDurationSeconds": row.duration_secs,
        "creationDate": row.created_at.epoch_seconds(),
        "lastModifiedDate": row.modified_at.epoch_seconds(),
    }}))
}

/// `DeleteRoleAlias`.
pub(crate) async fn delete_role_alias(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name: RoleAliasName = input.parse("roleAlias")?;
    let conditions = tag::resource_conditions(ctx, &realm, &resource(name.as_str()))?;
    let grant = ctx.authorize(ctx.operation.iam_action, &realm.role_alias_arn(name.as_str()), |c| *c = conditions)?;
    ctx.commit(grant, move |tx| {
        get(tx, &realm, &name)?;
        tag::delete_tags(tx, &realm, &resource(name.as_str()))?;
        tx.execute(
            "DELETE FROM iot_role_alias WHERE account = $1 AND region = $2 AND name = $3",
            params![realm.account, realm.region, name],
        )?;
        Ok(json!({}))
    })
    .await
}

/// `ListRoleAliases`: names.
pub(crate) async fn list_role_aliases(registry: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| ())?);
    let realm = Realm::of(ctx);
    let ascending = input.flag_opt("ascendingOrder").unwrap_or(true);
    let page = registry.tokens().page(ctx, &input, Style::Marker, &[if ascending { "ascending" } else { "" }])?;
    let (order, beyond) = if ascending { ("ASC", ">") } else { ("DESC", "<") };
    let sql = format!(
        "SELECT name FROM iot_role_alias WHERE account = $1 AND region = $2 AND name {beyond} $3
         ORDER BY name {order} LIMIT $4"
    );
    let rows = ctx.read(|snapshot| {
        snapshot.query_all(
            &sql,
            params![realm.account, realm.region, page.from(0, ascending), page.fetch()],
            |row: &Row<'_>| {
                let name = row.text(0)?;
                Ok::<_, CallError>(([name.to_owned()], Value::from(name)))
            },
        )
    })?;
    Ok(page.answer("roleAliases", rows))
}
