//! Roles and their trust policies.

use std::collections::BTreeMap;

use marram_authz::{Policy, PolicyKind, TRUST_POLICY_MAX_CHARS};
use marram_aws_api::ApiError;
use serde_json::{Value, json};

use crate::account::unique_id;
use crate::directory::Held;
use crate::edit::{Edit, delete_conflict, no_such};
use crate::iam::{Iam, boundary_json, check_length, date, encoded, tags_json};
use crate::model::{Entity, Kind, Role, fold};

/// Longest role name (control-plane-api.md section 3.1).
const MAX_NAME: usize = 64;
/// Limits of `MaxSessionDuration`, in seconds.
const SESSION_SECS: std::ops::RangeInclusive<i64> = 3600..=43_200;
/// Services that can have a service-linked role, in the order of names.
const LINKED_SERVICES: [&str; 8] = [
    "credentials.iot.amazonaws.com",
    "greengrass.amazonaws.com",
    "iot.amazonaws.com",
    "iotthingsgraph.amazonaws.com",
    "lambda.amazonaws.com",
    "logs.amazonaws.com",
    "s3.amazonaws.com",
    "secretsmanager.amazonaws.com",
];
/// Where service-linked roles live; they are changed by their service only.
const SERVICE_LINKED: &str = "/aws-service-role/";

impl Iam<'_> {
    fn role(&self, name: &str) -> Result<&Held<Role>, ApiError> {
        self.dir.roles.get(&fold(name)).map(|held| &**held).ok_or_else(|| no_such(Kind::Role, name))
    }

    fn max_session(&self) -> Result<Option<u32>, ApiError> {
        match self.args.number("MaxSessionDuration")? {
            None => Ok(None),
            Some(secs) if SESSION_SECS.contains(&secs) => Ok(u32::try_from(secs).ok()),
            Some(_) => Err(ApiError::validation("MaxSessionDuration must be between 3600 and 43200 seconds.")),
        }
    }

    pub(super) async fn create_role(&self) -> Result<Value, ApiError> {
        let name = self.new_name(Kind::Role, "RoleName", MAX_NAME)?;
        let path = self.path("Path")?;
        if path.starts_with(SERVICE_LINKED) {
            return Err(ApiError::validation("The path /aws-service-role/ is reserved for service-linked roles."));
        }
        let trust = self.args.text("AssumeRolePolicyDocument")?;
        let tags = self.new_tags()?;
        let boundary = self.args.opt("PermissionsBoundary");
        let arn = self.new_arn(Kind::Role, path, name);
        let grant = self.ctx.authorize(self.ctx.operation.iam_action, &arn, |c| {
            c.request_tags(tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str())));
            if let Some(boundary) = boundary {
                c.set("iam:PermissionsBoundary", boundary);
            }
        })?;
        check_trust(trust, &arn)?;
        if let Some(boundary) = boundary {
            self.check_boundary(boundary)?;
        }
        let role = Role {
            name: name.to_owned(),
            path: path.to_owned(),
            id: unique_id("AROA"),
            created: self.ctx.now,
            description: self.args.opt("Description").map(str::to_owned),
            max_session_secs: self.max_session()?.unwrap_or(3600),
            trust: trust.to_owned(),
            boundary: boundary.map(str::to_owned),
            tags,
            inline: BTreeMap::new(),
        };
        self.insert_role(grant, role, &arn).await
    }

    async fn insert_role(&self, grant: crate::context::Grant, role: Role, arn: &str) -> Result<Value, ApiError> {
        let output = json!({"Role": role_json(&role, arn, true)});
        let (identity, account) = (self.ctx.identity().clone(), self.ctx.account.clone());
        self.ctx
            .commit(grant, move |tx| {
                let mut edit = Edit::new(tx, &identity, &account);
                edit.insert(Entity::Role(role))?;
                edit.finish()?;
                Ok(output)
            })
            .await
    }

    /// Records the role a service would act with; none of our services needs one.
    pub(super) async fn create_service_linked_role(&self) -> Result<Value, ApiError> {
        let host = self.args.text("AWSServiceName")?;
        let label = host.split('.').next().unwrap_or_default();
        let mut name = String::from("AWSServiceRoleFor");
        for word in label.split('-') {
            let mut letters = word.chars();
            name.extend(letters.next().map(|c| c.to_ascii_uppercase()));
            name.push_str(letters.as_str());
        }
        if let Some(suffix) = self.args.opt("CustomSuffix") {
            name = format!("{name}_{suffix}");
        }
        let path = format!("{SERVICE_LINKED}{host}/");
        let arn = self.new_arn(Kind::Role, &path, &name);
        let grant = self.ctx.authorize(self.ctx.operation.iam_action, &arn, |c| {
            c.set("iam:AWSServiceName", host);
        })?;
        if LINKED_SERVICES.binary_search(&host).is_err() {
            let text = format!("{host} is not the name of a service with a service-linked role.");
            return Err(ApiError::new("InvalidInput", 400, text));
        }
        let good = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
        if name.len() > MAX_NAME || !name.bytes().all(good) {
            return Err(ApiError::new("InvalidInput", 400, "CustomSuffix is not valid."));
        }
        if self.dir.roles.contains_key(&fold(&name)) {
            let text =
                format!("Service role name {name} has been taken in this account, please try a different suffix.");
            return Err(ApiError::new("InvalidInput", 400, text));
        }
        let trust = json!({
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"Service": host}, "Action": "sts:AssumeRole"}],
        });
        let role = Role {
            name,
            path,
            id: unique_id("AROA"),
            created: self.ctx.now,
            description: self.args.opt("Description").map(str::to_owned),
            max_session_secs: 3600,
            trust: trust.to_string(),
            boundary: None,
            tags: Vec::new(),
            inline: BTreeMap::new(),
        };
        self.insert_role(grant, role, &arn).await
    }

    pub(super) fn get_role(&self) -> Result<Value, ApiError> {
        let name = self.name_of(Kind::Role)?;
        let _ = self.authorize_on(Kind::Role, name, &[])?;
        let held = self.role(name)?;
        Ok(json!({"Role": role_json(&held.entity, &held.arn, true)}))
    }

    pub(super) fn list_roles(&self) -> Result<Value, ApiError> {
        let prefix = self.args.opt("PathPrefix").unwrap_or("/");
        let arn = self.new_arn(Kind::Role, prefix, "*");
        let _ = self.ctx.authorize(self.ctx.operation.iam_action, &arn, |_| {})?;
        let roles = self.dir.roles.iter().filter(|(_, held)| held.entity.path.starts_with(prefix));
        self.listing("Roles", prefix, roles.map(|(key, held)| (key.clone(), role_json(&held.entity, &held.arn, false))))
    }

    pub(super) fn list_instance_profiles_for_role(&self) -> Result<Value, ApiError> {
        let name = self.name_of(Kind::Role)?;
        let _ = self.authorize_on(Kind::Role, name, &[])?;
        self.role(name)?;
        Ok(json!({"InstanceProfiles": [], "IsTruncated": false}))
    }

    /// Changes one role; `change` sees it as the transaction does.
    async fn change_role(
        &self,
        name: &str,
        change: impl FnOnce(&mut Role) -> Result<(), ApiError> + Send + 'static,
        output: impl FnOnce(&Role) -> Value + Send + 'static,
    ) -> Result<Value, ApiError> {
        let grant = self.authorize_on(Kind::Role, name, &[])?;
        let (identity, account, name) = (self.ctx.identity().clone(), self.ctx.account.clone(), name.to_owned());
        self.ctx
            .commit(grant, move |tx| {
                let mut edit = Edit::new(tx, &identity, &account);
                let (mut role, ..) = edit.role(&name)?;
                if role.path.starts_with(SERVICE_LINKED) {
                    return Err(protected(&role.name).into());
                }
                change(&mut role)?;
                let output = output(&role);
                edit.update(Entity::Role(role))?;
                edit.finish()?;
                Ok(output)
            })
            .await
    }

    pub(super) async fn update_role(&self) -> Result<Value, ApiError> {
        let name = self.name_of(Kind::Role)?;
        let description = self.args.opt("Description").map(str::to_owned);
        let max_session = self.max_session()?;
        let change = move |role: &mut Role| {
            role.description = description.or(role.description.take());
            role.max_session_secs = max_session.unwrap_or(role.max_session_secs);
            Ok(())
        };
        self.change_role(name, change, |_| json!({})).await
    }

    pub(super) async fn update_role_description(&self) -> Result<Value, ApiError> {
        let name = self.name_of(Kind::Role)?;
        let description = self.args.text("Description")?.to_owned();
        let arn = self.arn_of(Kind::Role, name);
        let change = move |role: &mut Role| {
            role.description = Some(description);
            Ok(())
        };
        self.change_role(name, change, move |role| json!({"Role": role_json(role, &arn, true)})).await
    }

    pub(super) async fn update_assume_role_policy(&self) -> Result<Value, ApiError> {
        let name = self.name_of(Kind::Role)?;
        let trust = self.args.text("PolicyDocument")?.to_owned();
        let arn = self.arn_of(Kind::Role, name);
        let change = move |role: &mut Role| {
            check_trust(&trust, &arn)?;
            role.trust = trust;
            Ok(())
        };
        self.change_role(name, change, |_| json!({})).await
    }

    pub(super) async fn delete_role(&self) -> Result<Value, ApiError> {
        let name = self.name_of(Kind::Role)?;
        let grant = self.authorize_on(Kind::Role, name, &[])?;
        let (identity, account, name) = (self.ctx.identity().clone(), self.ctx.account.clone(), name.to_owned());
        self.ctx
            .commit(grant, move |tx| {
                let mut edit = Edit::new(tx, &identity, &account);
                let (role, attached, _) = edit.role(&name)?;
                if role.path.starts_with(SERVICE_LINKED) {
                    return Err(protected(&role.name).into());
                }
                for (in_the_way, what) in [
                    (!role.inline.is_empty(), "must delete policies first."),
                    (!attached.is_empty(), "must detach all policies first."),
                ] {
                    if in_the_way {
                        return Err(delete_conflict(format!("Cannot delete entity, {what}")).into());
                    }
                }
                edit.remove(Kind::Role, &name)?;
                edit.finish()?;
                Ok(json!({}))
            })
            .await
    }
}

fn protected(name: &str) -> ApiError {
    ApiError::new("UnmodifiableEntity", 400, format!("Cannot perform the operation on the protected role '{name}'"))
}

fn check_trust(document: &str, arn: &str) -> Result<(), ApiError> {
    check_length(document, TRUST_POLICY_MAX_CHARS, "ACLSizePerRole")?;
    Policy::parse(PolicyKind::Trust, arn, document)
        .map(|_| ())
        .map_err(|error| ApiError::malformed_policy_document(error.reason))
}

/// A role as it goes out; listings leave tags and boundary out.
fn role_json(role: &Role, arn: &str, whole: bool) -> Value {
    let mut json = json!({
        "Path": role.path,
        "RoleName": role.name,
        "RoleId": role.id,
        "Arn": arn,
        "CreateDate": date(role.created),
        "AssumeRolePolicyDocument": encoded(&role.trust),
        "MaxSessionDuration": role.max_session_secs,
    });
    if let Some(description) = &role.description {
        json["Description"] = description.as_str().into();
    }
    if whole {
        if let Some(boundary) = &role.boundary {
            json["PermissionsBoundary"] = boundary_json(boundary);
        }
        if !role.tags.is_empty() {
            json["Tags"] = tags_json(&role.tags);
        }
        json["RoleLastUsed"] = json!({});
    }
    json
}
