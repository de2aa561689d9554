//! IAM: users, groups, roles, managed policies, access keys.
//!
//! Reads answer from the directory in memory; writes go through [`crate::edit::Edit`] in the transaction of the call. What
//! tools wrote they read back byte for byte: documents are kept verbatim and percent-encoded on the way out.

mod account;
pub(crate) mod args;
mod attach;
mod group;
mod inline;
mod key;
mod list;
mod policy;
mod role;
mod simulate;
mod tag;
mod user;

use marram_aws_api::{ApiError, Operation, ServiceId};
use marram_sigv4::canonical::encode;
use marram_types::Timestamp;
use serde_json::{Value, json};

use crate::context::CallContext;
use crate::directory::{AccountDir, arn};
use crate::edit::{limit_exceeded, no_such};
use crate::iam::args::Args;
use crate::identity::Identity;
use crate::model::{Kind, Tag, fold};
use crate::service::{BoxFuture, Service};

/// Most tags of an entity (control-plane-api.md section 3.1).
const MAX_TAGS: usize = 50;

/// Answers the operations of IAM.
#[derive(Clone, Debug)]
pub struct IamService {
    identity: Identity,
}

/// One call of IAM on its way: context, request, and the account as it was when the call began.
pub(crate) struct Iam<'a> {
    pub ctx: &'a CallContext,
    pub args: Args<'a>,
    pub dir: std::sync::Arc<AccountDir>,
}

impl IamService {
    /// IAM over these identities.
    pub fn new(identity: Identity) -> IamService {
        IamService { identity }
    }

    async fn answer(&self, ctx: &CallContext, operation: &Operation, input: &Value) -> Result<Value, ApiError> {
        let dir = self.identity.directory().account(&ctx.account).cloned().ok_or_else(ApiError::internal)?;
        let iam = Iam { ctx, args: Args::new(input), dir };
        match operation.name {
            "CreateUser" => iam.create_user().await,
            "GetUser" => iam.get_user(),
            "ListUsers" => iam.list_users(),
            "UpdateUser" => iam.update_user().await,
            "DeleteUser" => iam.delete_user().await,
            "CreateAccessKey" => iam.create_access_key().await,
            "ListAccessKeys" => iam.list_access_keys(),
            "UpdateAccessKey" => iam.update_access_key().await,
            "DeleteAccessKey" => iam.delete_access_key().await,
            "GetAccessKeyLastUsed" => iam.get_access_key_last_used(),
            "CreateGroup" => iam.create_group().await,
            "GetGroup" => iam.get_group(),
            "ListGroups" => iam.list_groups(),
            "UpdateGroup" => iam.update_group().await,
            "DeleteGroup" => iam.delete_group().await,
            "AddUserToGroup" => iam.add_user_to_group().await,
            "RemoveUserFromGroup" => iam.remove_user_from_group().await,
            "ListGroupsForUser" => iam.list_groups_for_user(),
            "CreateRole" => iam.create_role().await,
            "GetRole" => iam.get_role(),
            "ListRoles" => iam.list_roles(),
            "UpdateRole" => iam.update_role().await,
            "UpdateRoleDescription" => iam.update_role_description().await,
            "UpdateAssumeRolePolicy" => iam.update_assume_role_policy().await,
            "DeleteRole" => iam.delete_role().await,
            "CreateServiceLinkedRole" => iam.create_service_linked_role().await,
            "ListInstanceProfilesForRole" => iam.list_instance_profiles_for_role(),
            "CreatePolicy" => iam.create_policy().await,
            "GetPolicy" => iam.get_policy(),
            "ListPolicies" => iam.list_policies(),
            "DeletePolicy" => iam.delete_policy().await,
            "CreatePolicyVersion" => iam.create_policy_version().await,
            "GetPolicyVersion" => iam.get_policy_version(),
            "ListPolicyVersions" => iam.list_policy_versions(),
            "DeletePolicyVersion" => iam.delete_policy_version().await,
            "SetDefaultPolicyVersion" => iam.set_default_policy_version().await,
            "ListEntitiesForPolicy" => iam.list_entities_for_policy(),
            "PutUserPolicy" => iam.put_inline(Kind::User).await,
            "PutGroupPolicy" => iam.put_inline(Kind::Group).await,
            "PutRolePolicy" => iam.put_inline(Kind::Role).await,
            "GetUserPolicy" => iam.get_inline(Kind::User),
            "GetGroupPolicy" => iam.get_inline(Kind::Group),
            "GetRolePolicy" => iam.get_inline(Kind::Role),
            "DeleteUserPolicy" => iam.delete_inline(Kind::User).await,
            "DeleteGroupPolicy" => iam.delete_inline(Kind::Group).await,
            "DeleteRolePolicy" => iam.delete_inline(Kind::Role).await,
            "ListUserPolicies" => iam.list_inline(Kind::User),
            "ListGroupPolicies" => iam.list_inline(Kind::Group),
            "ListRolePolicies" => iam.list_inline(Kind::Role),
            "AttachUserPolicy" => iam.attach(Kind::User).await,
            "AttachGroupPolicy" => iam.attach(Kind::Group).await,
            "AttachRolePolicy" => iam.attach(Kind::Role).await,
            "DetachUserPolicy" => iam.detach(Kind::User).await,
            "DetachGroupPolicy" => iam.detach(Kind::Group).await,
            "DetachRolePolicy" => iam.detach(Kind::Role).await,
            "ListAttachedUserPolicies" => iam.list_attached(Kind::User),
            "ListAttachedGroupPolicies" => iam.list_attached(Kind::Group),
            "ListAttachedRolePolicies" => iam.list_attached(Kind::Role),
            "PutUserPermissionsBoundary" => iam.put_boundary(Kind::User).await,
            "PutRolePermissionsBoundary" => iam.put_boundary(Kind::Role).await,
            "DeleteUserPermissionsBoundary" => iam.delete_boundary(Kind::User).await,
            "DeleteRolePermissionsBoundary" => iam.delete_boundary(Kind::Role).await,
            "TagUser" => iam.tag(Kind::User).await,
            "TagRole" => iam.tag(Kind::Role).await,
            "TagPolicy" => iam.tag(Kind::Policy).await,
            "UntagUser" => iam.untag(Kind::User).await,
            "UntagRole" => iam.untag(Kind::Role).await,
            "UntagPolicy" => iam.untag(Kind::Policy).await,
            "ListUserTags" => iam.list_tags(Kind::User),
            "ListRoleTags" => iam.list_tags(Kind::Role),
            "ListPolicyTags" => iam.list_tags(Kind::Policy),
            "SimulatePrincipalPolicy" => iam.simulate_principal_policy(),
            "SimulateCustomPolicy" => iam.simulate_custom_policy(),
            "GetAccountSummary" => iam.get_account_summary(),
            "ListAccountAliases" => iam.list_account_aliases(),
            name => Err(ApiError::not_supported(name)),
        }
    }
}

impl Service for IamService {
    fn id(&self) -> ServiceId {
        ServiceId::Iam
    }

    fn call<'a>(
        &'a self,
        ctx: &'a CallContext,
        operation: &'static Operation,
        input: Value,
    ) -> BoxFuture<'a, Result<Value, ApiError>> {
        Box::pin(async move { self.answer(ctx, operation, &input).await })
    }
}

impl<'a> Iam<'a> {
    /// The member that names an entity of this kind.
    fn name_of(&self, kind: Kind) -> Result<&'a str, ApiError> {
        self.args.text(match kind {
            Kind::User => "UserName",
            Kind::Group => "GroupName",
            Kind::Role => "RoleName",
            Kind::Policy => "PolicyArn",
        })
    }

    /// The ARN under which an entity is authorized, whether or not it exists; policies are named by their ARN.
    fn arn_of(&self, kind: Kind, name: &str) -> String {
        let key = fold(name);
        let known = match kind {
            Kind::User => self.dir.users.get(&key).map(|held| held.arn.clone()),
            Kind::Group => self.dir.groups.get(&key).map(|held| held.arn.clone()),
            Kind::Role => self.dir.roles.get(&key).map(|held| held.arn.clone()),
            Kind::Policy => Some(name.to_owned()),
        };
        known.unwrap_or_else(|| self.new_arn(kind, "/", name))
    }

    fn new_arn(&self, kind: Kind, path: &str, name: &str) -> String {
        arn(self.partition(), &self.ctx.account, kind, path, name)
    }

    fn partition(&self) -> &str {
        self.ctx.partition.as_str()
    }

    /// Tags of an entity, for `aws:ResourceTag`.
    fn tags_of(&self, kind: Kind, name: &str) -> &[Tag] {
        let key = fold(name);
        let tags = match kind {
            Kind::User => self.dir.users.get(&key).map(|held| &held.entity.tags),
            Kind::Role => self.dir.roles.get(&key).map(|held| &held.entity.tags),
            Kind::Policy => self.dir.policy(name).map(|held| &held.entity.tags),
            Kind::Group => None,
        };
        tags.map(Vec::as_slice).unwrap_or_default()
    }

    /// Authorizes the operation on an entity, with the entity's tags and `extra` condition values.
    fn authorize_on(&self, kind: Kind, name: &str, extra: &[(&str, &str)]) -> Result<crate::context::Grant, ApiError> {
        let action = self.ctx.operation.iam_action;
        self.ctx.authorize(action, &self.arn_of(kind, name), |conditions| {
            let tags = self.tags_of(kind, name);
            conditions.resource_tags(tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str())));
            for (key, value) in extra {
                conditions.set(key, *value);
            }
        })
    }

    /// Refuses unless the entity exists, in the spelling asked for.
    fn must_exist(&self, kind: Kind, name: &str) -> Result<(), ApiError> {
        let key = fold(name);
        let exists = match kind {
            Kind::User => self.dir.users.contains_key(&key),
            Kind::Group => self.dir.groups.contains_key(&key),
            Kind::Role => self.dir.roles.contains_key(&key),
            Kind::Policy => self.dir.policy(name).is_some(),
        };
        if exists { Ok(()) } else { Err(no_such(kind, name)) }
    }

    /// The path of a new entity.
    fn path(&self, member: &str) -> Result<&'a str, ApiError> {
        let path = self.args.opt(member).unwrap_or("/");
        let shaped = path.starts_with('/') && path.ends_with('/') && path.len() <= 512 && !path.contains("//");
        if shaped && path.bytes().all(|b| b.is_ascii_graphic()) {
            return Ok(path);
        }
        Err(ApiError::validation(
            "The specified value for path is invalid. It must begin and end with / and contain only ASCII characters.",
        ))
    }

    /// A name for a new entity: `[\w+=,.@-]`, at most `longest` characters.
    fn new_name(&self, kind: Kind, member: &str, longest: usize) -> Result<&'a str, ApiError> {
        let name = self.args.text(member)?;
        let good = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
        if (1..=longest).contains(&name.len()) && name.bytes().all(good) {
            return Ok(name);
        }
        Err(ApiError::validation(format!(
            "The specified value for {}Name is invalid. It must contain only alphanumeric characters and/or the following: \
             +=,.@_- and at most {longest} characters",
            kind.as_str()
        )))
    }

    /// The tags of a create request, checked.
    fn new_tags(&self) -> Result<Vec<Tag>, ApiError> {
        let mut tags = Vec::new();
        tag::merge(&mut tags, self.args.tags("Tags")?)?;
        Ok(tags)
    }

    /// A boundary must be a managed policy that exists.
    fn check_boundary(&self, policy_arn: &str) -> Result<(), ApiError> {
        match self.dir.managed(policy_arn, self.partition()) {
            Some(_) => Ok(()),
            None => {
                Err(ApiError::no_such_entity(format!("Scope ARN: {policy_arn} does not exist or is not attachable.")))
            }
        }
    }
}

/// Refuses a document that is longer than a quota, in characters that are not blank.
fn check_length(document: &str, longest: usize, what: &str) -> Result<(), ApiError> {
    if document.chars().filter(|c| !c.is_whitespace()).count() > longest {
        return Err(limit_exceeded(format!("Cannot exceed quota for {what}: {longest}")));
    }
    Ok(())
}

/// A document as it goes out (control-plane-api.md section 3.1).
fn encoded(document: &str) -> Value {
    encode(document.as_bytes()).into()
}

/// A moment as it goes out: whole seconds.
fn date(moment: Timestamp) -> Value {
    moment.as_secs().into()
}

fn tags_json(tags: &[Tag]) -> Value {
    tags.iter().map(|tag| json!({"Key": tag.key, "Value": tag.value})).collect()
}

fn boundary_json(arn: &str) -> Value {
    json!({"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": arn})
}
