//! Managed policies and their versions.

use std::collections::BTreeMap;
use std::sync::Arc;

use marram_authz::{MANAGED_POLICY_MAX_CHARS, Policy, PolicyKind};
use marram_aws_api::ApiError;
use marram_types::Timestamp;
use serde_json::{Value, json};

use crate::account::unique_id;
use crate::directory::HeldPolicy;
use crate::edit::{Edit, delete_conflict, limit_exceeded};
use crate::iam::{Iam, check_length, date, encoded, tags_json};
use crate::managed::{self, VendorPolicy};
use crate::model::{Entity, Kind, ManagedPolicy, PolicyVersion, fold};

/// Longest policy name (control-plane-api.md section 3.1).
const MAX_NAME: usize = 128;
/// Most versions of a policy.
const MAX_VERSIONS: usize = 5;
/// Vendor-managed policies have one version, since the beginning.
const VENDOR_VERSION: &str = "v1";
const VENDOR_DATE: Timestamp = Timestamp::from_secs(1_762_000_000);

/// A policy that can be attached: the account's own, or the house's.
enum Found {
    Own(Arc<HeldPolicy>),
    Vendor(&'static VendorPolicy),
}

impl Iam<'_> {
    fn find_policy(&self, arn: &str) -> Result<Found, ApiError> {
        if let Some(held) = self.dir.policy(arn) {
            return Ok(Found::Own(Arc::clone(held)));
        }
        managed::find(self.partition(), arn)
            .map(Found::Vendor)
            .ok_or_else(|| ApiError::no_such_entity(format!("Policy {arn} was not found.")))
    }

    pub(super) async fn create_policy(&self) -> Result<Value, ApiError> {
        let name = self.new_name(Kind::Policy, "PolicyName", MAX_NAME)?;
        let path = self.path("Path")?;
        let document = self.args.text("PolicyDocument")?;
        let tags = self.new_tags()?;
        let arn = self.new_arn(Kind::Policy, path, name);
        let grant = self.ctx.authorize(self.ctx.operation.iam_action, &arn, |c| {
            c.request_tags(tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str())));
        })?;
        check_document(document)?;
        let version = PolicyVersion { document: document.to_owned(), created: self.ctx.now };
        let policy = ManagedPolicy {
            name: name.to_owned(),
            path: path.to_owned(),
            id: unique_id("ANPA"),
            created: self.ctx.now,
            updated: self.ctx.now,
            description: self.args.opt("Description").map(str::to_owned),
            tags,
            default_version: 1,
            next_version: 2,
            versions: BTreeMap::from([(1, version)]),
        };
        let output = json!({"Policy": own_json(&policy, &arn, 0, 0, true)});
        let (identity, account) = (self.ctx.identity().clone(), self.ctx.account.clone());
        self.ctx
            .commit(grant, move |tx| {
                let mut edit = Edit::new(tx, &identity, &account);
                edit.insert(Entity::Policy(policy)).map_err(|error| match error {
                    crate::error::CallError::Api(error) if error.code == "EntityAlreadyExists" => {
                        let name = arn.rsplit('/').next().unwrap_or_default();
                        let text = format!("A policy called {name} already exists. Duplicate names are not allowed.");
                        ApiError::entity_already_exists(text).into()
                    }
                    other => other,
                })?;
                edit.finish()?;
                Ok(output)
            })
            .await
    }

    pub(super) fn get_policy(&self) -> Result<Value, ApiError> {
        let arn = self.args.text("PolicyArn")?;
        let _ = self.authorize_on(Kind::Policy, arn, &[])?;
        let found = self.find_policy(arn)?;
        Ok(json!({"Policy": self.policy_json(&found, true)}))
    }

    pub(super) fn list_policies(&self) -> Result<Value, ApiError> {
        let _ = self.ctx.authorize(self.ctx.operation.iam_action, "*", |_| {})?;
        let scope = self.args.opt("Scope").unwrap_or("All");
        let prefix = self.args.opt("PathPrefix").unwrap_or("/");
        let usage = self.args.opt("PolicyUsageFilter").unwrap_or("");
        let attached_only = self.args.flag("OnlyAttached");
        let mut found: BTreeMap<String, Found> = BTreeMap::new();
        if scope != "AWS" {
            let own = self.dir.policies.values().filter(|held| held.entity.path.starts_with(prefix));
            found.extend(own.map(|held| (format!("0 {}", fold(&held.entity.name)), Found::Own(Arc::clone(held)))));
        }
        if scope != "Local" {
            let vendor = managed::all().iter().filter(|policy| policy.path.starts_with(prefix));
            found.extend(vendor.map(|policy| (format!("1 {}", fold(policy.name)), Found::Vendor(policy))));
        }
        let filter = format!("{scope} {prefix} {usage} {attached_only}");
        let items = found.into_iter().filter_map(|(key, found)| {
            let (attachments, boundaries) = self.usage(&self.arn_of_found(&found));
            let counted = match usage {
                "PermissionsPolicy" => attachments,
                "PermissionsBoundary" => boundaries,
                _ => attachments + boundaries,
            };
            let wanted = counted > 0 || (!attached_only && usage.is_empty());
            wanted.then(|| (key, self.policy_json(&found, false)))
        });
        self.listing("Policies", &filter, items)
    }

    fn arn_of_found(&self, found: &Found) -> String {
        match found {
            Found::Own(held) => held.arn.clone(),
            Found::Vendor(policy) => policy.arn(self.partition()),
        }
    }

    /// How often a policy is attached, and how often it is a boundary.
    fn usage(&self, arn: &str) -> (usize, usize) {
        let users = self.dir.users.values().map(|h| (&h.attached, h.entity.boundary.as_deref()));
        let roles = self.dir.roles.values().map(|h| (&h.attached, h.entity.boundary.as_deref()));
        let groups = self.dir.groups.values().map(|h| (&h.attached, None));
        let (mut attachments, mut boundaries) = (0, 0);
        for (attached, boundary) in users.chain(roles).chain(groups) {
            attachments += usize::from(attached.iter().any(|known| known == arn));
            boundaries += usize::from(boundary == Some(arn));
        }
        (attachments, boundaries)
    }

    fn policy_json(&self, found: &Found, whole: bool) -> Value {
        let (attachments, boundaries) = self.usage(&self.arn_of_found(found));
        match found {
            Found::Own(held) => own_json(&held.entity, &held.arn, attachments, boundaries, whole),
            Found::Vendor(policy) => {
                let mut json = json!({
                    "PolicyName": policy.name,
                    "PolicyId": policy.id,
                    "Arn": policy.arn(self.partition()),
                    "Path": policy.path,
                    "DefaultVersionId": VENDOR_VERSION,
                    "AttachmentCount": attachments,
                    "PermissionsBoundaryUsageCount": boundaries,
                    "IsAttachable": true,
                    "CreateDate": date(VENDOR_DATE),
                    "UpdateDate": date(VENDOR_DATE),
                });
                if whole {
                    json["Description"] = policy.description.into();
                }
                json
            }
        }
    }

    pub(super) async fn delete_policy(&self) -> Result<Value, ApiError> {
        let arn = self.args.text("PolicyArn")?;
        let grant = self.authorize_on(Kind::Policy, arn, &[])?;
        let name = self.own_policy(arn)?.entity.name.clone();
        let (used, account, identity, arn) =
            (self.usage(arn).1, self.ctx.account.clone(), self.ctx.identity().clone(), arn.to_owned());
        self.ctx
            .commit(grant, move |tx| {
                let mut edit = Edit::new(tx, &identity, &account);
                let (policy, ..) = edit.policy(&name)?;
                if edit.attachments_of(&arn)? > 0 || used > 0 {
                    return Err(delete_conflict("Cannot delete a policy attached to entities.").into());
                }
                if policy.versions.len() > 1 {
                    let text = "This policy has more than one version. Before you delete a policy, you must delete the \
                                policy's versions. The default version is deleted with the policy.";
                    return Err(delete_conflict(text).into());
                }
                edit.remove(Kind::Policy, &name)?;
                edit.finish()?;
                Ok(json!({}))
            })
            .await
    }

    /// The account's own policy; the house's cannot be changed.
    fn own_policy(&self, arn: &str) -> Result<Arc<HeldPolicy>, ApiError> {
        match self.find_policy(arn)? {
            Found::Own(held) => Ok(held),
            Found::Vendor(_) => Err(ApiError::access_denied("Policy is outside your own account.")),
        }
    }

    /// Changes one policy; `change` sees it as the transaction does and answers the output.
    async fn change_policy(
        &self,
        arn: &str,
        change: impl FnOnce(&mut ManagedPolicy) -> Result<Value, ApiError> + Send + 'static,
    ) -> Result<Value, ApiError> {
        let grant = self.authorize_on(Kind::Policy, arn, &[])?;
        let name = self.own_policy(arn)?.entity.name.clone();
        let (identity, account) = (self.ctx.identity().clone(), self.ctx.account.clone());
        self.ctx
            .commit(grant, move |tx| {
                let mut edit = Edit::new(tx, &identity, &account);
                let (mut policy, ..) = edit.policy(&name)?;
                let output = change(&mut policy)?;
                edit.update(Entity::Policy(policy))?;
                edit.finish()?;
                Ok(output)
            })
            .await
    }

    pub(super) async fn create_policy_version(&self) -> Result<Value, ApiError> {
        let arn = self.args.text("PolicyArn")?;
        let document = self.args.text("PolicyDocument")?.to_owned();
        let (as_default, now) = (self.args.flag("SetAsDefault"), self.ctx.now);
        let change = move |policy: &mut ManagedPolicy| {
            check_document(&document)?;
            if policy.versions.len() >= MAX_VERSIONS {
                return Err(limit_exceeded(
                    "A managed policy can have up to 5 versions. Before you create a new version, you must delete an \
                     existing version.",
                ));
            }
            let number = policy.next_version;
            policy.next_version += 1;
            policy.updated = now;
            policy.versions.insert(number, PolicyVersion { document, created: now });
            if as_default {
                policy.default_version = number;
            }
            Ok(json!({"PolicyVersion": {
                "VersionId": format!("v{number}"),
                "IsDefaultVersion": as_default,
                "CreateDate": date(now),
            }}))
        };
        self.change_policy(arn, change).await
    }

    pub(super) fn get_policy_version(&self) -> Result<Value, ApiError> {
        let (arn, id) = (self.args.text("PolicyArn")?, self.args.text("VersionId")?);
        let _ = self.authorize_on(Kind::Policy, arn, &[])?;
        let (document, is_default, created) = match self.find_policy(arn)? {
            Found::Own(held) => {
                let number = version_number(id).filter(|n| held.entity.versions.contains_key(n));
                let number = number.ok_or_else(|| no_such_version(arn, id))?;
                let version = held.entity.versions.get(&number).ok_or_else(ApiError::internal)?;
                (version.document.clone(), number == held.entity.default_version, version.created)
            }
            Found::Vendor(policy) if id == VENDOR_VERSION => (policy.document.to_owned(), true, VENDOR_DATE),
            Found::Vendor(_) => return Err(no_such_version(arn, id)),
        };
        Ok(json!({"PolicyVersion": {
            "Document": encoded(&document),
            "VersionId": id,
            "IsDefaultVersion": is_default,
            "CreateDate": date(created),
        }}))
    }

    pub(super) fn list_policy_versions(&self) -> Result<Value, ApiError> {
        let arn = self.args.text("PolicyArn")?;
        let _ = self.authorize_on(Kind::Policy, arn, &[])?;
        let versions: Vec<(u32, bool, Timestamp)> = match self.find_policy(arn)? {
            Found::Own(held) => {
                let policy = &held.entity;
                policy.versions.iter().map(|(n, v)| (*n, *n == policy.default_version, v.created)).collect()
            }
            Found::Vendor(_) => vec![(1, true, VENDOR_DATE)],
        };
        // Newest first, as tools expect.
        let items = versions.into_iter().rev().map(|(number, is_default, created)| {
            let item = json!({
                "VersionId": format!("v{number}"),
                "IsDefaultVersion": is_default,
                "CreateDate": date(created),
            });
            (format!("{:010}", u32::MAX - number), item)
        });
        self.listing("Versions", arn, items)
    }

    pub(super) async fn delete_policy_version(&self) -> Result<Value, ApiError> {
        let (arn, id) = (self.args.text("PolicyArn")?, self.args.text("VersionId")?.to_owned());
        let named = arn.to_owned();
        let change = move |policy: &mut ManagedPolicy| {
            let number = version_number(&id).filter(|n| policy.versions.contains_key(n));
            let number = number.ok_or_else(|| no_such_version(&named, &id))?;
            if number == policy.default_version {
                return Err(delete_conflict("Cannot delete the default version of a policy."));
            }
            policy.versions.remove(&number);
            Ok(json!({}))
        };
        self.change_policy(arn, change).await
    }

    pub(super) async fn set_default_policy_version(&self) -> Result<Value, ApiError> {
        let (arn, id) = (self.args.text("PolicyArn")?, self.args.text("VersionId")?.to_owned());
        let (named, now) = (arn.to_owned(), self.ctx.now);
        let change = move |policy: &mut ManagedPolicy| {
            let number = version_number(&id).filter(|n| policy.versions.contains_key(n));
            policy.default_version = number.ok_or_else(|| no_such_version(&named, &id))?;
            policy.updated = now;
            Ok(json!({}))
        };
        self.change_policy(arn, change).await
    }

    pub(super) fn list_entities_for_policy(&self) -> Result<Value, ApiError> {
        let arn = self.args.text("PolicyArn")?;
        let _ = self.authorize_on(Kind::Policy, arn, &[])?;
        self.find_policy(arn)?;
        let wanted = self.args.opt("EntityFilter").unwrap_or("");
        let prefix = self.args.opt("PathPrefix").unwrap_or("/");
        let usage = self.args.opt("PolicyUsageFilter").unwrap_or("");
        let uses = |attached: &[String], boundary: Option<&str>| {
            let attached = usage != "PermissionsBoundary" && attached.iter().any(|known| known == arn);
            attached || (usage != "PermissionsPolicy" && boundary == Some(arn))
        };
        let mut items: Vec<(String, Value)> = Vec::new();
        if wanted.is_empty() || wanted == "Group" {
            let held = self.dir.groups.iter().filter(|(_, h)| h.entity.path.starts_with(prefix));
            items.extend(
                held.filter(|(_, h)| uses(&h.attached, None))
                    .map(|(key, h)| (format!("0 {key}"), json!({"GroupName": h.entity.name, "GroupId": h.entity.id}))),
            );
        }
        if wanted.is_empty() || wanted == "Role" {
            let held = self.dir.roles.iter().filter(|(_, h)| h.entity.path.starts_with(prefix));
            items.extend(
                held.filter(|(_, h)| uses(&h.attached, h.entity.boundary.as_deref()))
                    .map(|(key, h)| (format!("1 {key}"), json!({"RoleName": h.entity.name, "RoleId": h.entity.id}))),
            );
        }
        if wanted.is_empty() || wanted == "User" {
            let held = self.dir.users.iter().filter(|(_, h)| h.entity.path.starts_with(prefix));
            items.extend(
                held.filter(|(_, h)| uses(&h.attached, h.entity.boundary.as_deref()))
                    .map(|(key, h)| (format!("2 {key}"), json!({"UserName": h.entity.name, "UserId": h.entity.id}))),
            );
        }
        let mut page = self.page(&format!("{arn} {wanted} {prefix} {usage}"), items)?;
        let all = std::mem::take(&mut page.items);
        let of = |member: &str| -> Value { all.iter().filter(|item| item.get(member).is_some()).cloned().collect() };
        let lists =
            [("PolicyGroups", of("GroupName")), ("PolicyRoles", of("RoleName")), ("PolicyUsers", of("UserName"))];
        Ok(page.into_output(lists))
    }
}

fn version_number(id: &str) -> Option<u32> {
    id.strip_prefix('v').filter(|digits| !digits.starts_with(['+', '0'])).and_then(|digits| digits.parse().ok())
}

fn no_such_version(arn: &str, id: &str) -> ApiError {
    ApiError::no_such_entity(format!("Policy {arn} version {id} does not exist or is not attachable."))
}

fn check_document(document: &str) -> Result<(), ApiError> {
    check_length(document, MANAGED_POLICY_MAX_CHARS, "PolicySize")?;
    Policy::parse(PolicyKind::Identity, "new", document)
        .map(|_| ())
        .map_err(|error| ApiError::malformed_policy_document(error.reason))
}

fn own_json(policy: &ManagedPolicy, arn: &str, attachments: usize, boundaries: usize, whole: bool) -> Value {
    let mut json = json!({
        "PolicyName": policy.name,
        "PolicyId": policy.id,
        "Arn": arn,
        "Path": policy.path,
        "DefaultVersionId": format!("v{}", policy.default_version),
        "AttachmentCount": attachments,
        "PermissionsBoundaryUsageCount": boundaries,
        "IsAttachable": true,
        "CreateDate": date(policy.created),
        "UpdateDate": date(policy.updated),
    });
    if whole {
        if let Some(description) = &policy.description {
            json["Description"] = description.as_str().into();
        }
        if !policy.tags.is_empty() {
            json["Tags"] = tags_json(&policy.tags);
        }
    }
    json
}
