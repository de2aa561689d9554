//! Inline policies of users, groups and roles.

use std::collections::BTreeMap;

use marram_authz::{Policy, PolicyKind};
use marram_aws_api::ApiError;
use serde_json::{Value, json};

use crate::edit::{Edit, limit_exceeded, no_such};
use crate::error::CallError;
use crate::iam::{Iam, encoded};
use crate::model::{Entity, Kind, fold};

/// Longest name of an inline policy.
const MAX_NAME: usize = 128;

/// Quota of all inline policies of one entity together, in characters that are not blank
/// (control-plane-api.md section 3.1).
fn quota(kind: Kind) -> usize {
    match kind {
        Kind::User | Kind::Policy => 2048,
        Kind::Group => 5120,
        Kind::Role => 10_240,
    }
}

/// Name and inline documents of an entity that may be changed.
fn edit_inline(
    edit: &Edit<'_, '_>,
    kind: Kind,
    name: &str,
    change: impl FnOnce(&mut BTreeMap<String, String>) -> Result<(), ApiError>,
) -> Result<Entity, CallError> {
    Ok(match kind {
        Kind::User => {
            let (mut entity, ..) = edit.user(name)?;
            change(&mut entity.inline)?;
            Entity::User(entity)
        }
        Kind::Group => {
            let (mut entity, ..) = edit.group(name)?;
            change(&mut entity.inline)?;
            Entity::Group(entity)
        }
        Kind::Role => {
            let (mut entity, ..) = edit.role(name)?;
            change(&mut entity.inline)?;
            Entity::Role(entity)
        }
        Kind::Policy => return Err(no_such(kind, name).into()),
    })
}

impl Iam<'_> {
    fn inline_of(&self, kind: Kind, name: &str) -> Result<(&str, &BTreeMap<String, String>), ApiError> {
        let key = fold(name);
        let found = match kind {
            Kind::User => self.dir.users.get(&key).map(|h| (h.entity.name.as_str(), &h.entity.inline)),
            Kind::Group => self.dir.groups.get(&key).map(|h| (h.entity.name.as_str(), &h.entity.inline)),
            Kind::Role => self.dir.roles.get(&key).map(|h| (h.entity.name.as_str(), &h.entity.inline)),
            Kind::Policy => None,
        };
        found.ok_or_else(|| no_such(kind, name))
    }

    pub(super) async fn put_inline(&self, kind: Kind) -> Result<Value, ApiError> {
        let name = self.name_of(kind)?.to_owned();
        let policy = self.new_name(Kind::Policy, "PolicyName", MAX_NAME)?.to_owned();
        let document = self.args.text("PolicyDocument")?.to_owned();
        let grant = self.authorize_on(kind, &name, &[])?;
        Policy::parse(PolicyKind::Identity, "new", &document)
            .map_err(|error| ApiError::malformed_policy_document(error.reason))?;
        let (identity, account) = (self.ctx.identity().clone(), self.ctx.account.clone());
        self.ctx
            .commit(grant, move |tx| {
                let mut edit = Edit::new(tx, &identity, &account);
                let entity = edit_inline(&edit, kind, &name, |inline| {
                    inline.insert(policy, document);
                    let letters = |text: &String| text.chars().filter(|c| !c.is_whitespace()).count();
                    let total: usize = inline.values().map(letters).sum();
                    if total > quota(kind) {
                        let (kind, most) = (kind.as_str(), quota(kind));
                        let text = format!("Maximum policy size of {most} bytes exceeded for {kind} {name}");
                        return Err(limit_exceeded(text));
                    }
                    Ok(())
                })?;
                edit.update(entity)?;
                edit.finish()?;
                Ok(json!({}))
            })
            .await
    }

    pub(super) fn get_inline(&self, kind: Kind) -> Result<Value, ApiError> {
        let (name, policy) = (self.name_of(kind)?, self.args.text("PolicyName")?);
        let _ = self.authorize_on(kind, name, &[])?;
        let (spelled, inline) = self.inline_of(kind, name)?;
        let document = inline.get(policy).ok_or_else(|| no_such_inline(kind, policy))?;
        let member = match kind {
            Kind::User => "UserName",
            Kind::Group => "GroupName",
            Kind::Role | Kind::Policy => "RoleName",
        };
        Ok(json!({member: spelled, "PolicyName": policy, "PolicyDocument": encoded(document)}))
    }

    pub(super) async fn delete_inline(&self, kind: Kind) -> Result<Value, ApiError> {
        let (name, policy) = (self.name_of(kind)?.to_owned(), self.args.text("PolicyName")?.to_owned());
        let grant = self.authorize_on(kind, &name, &[])?;
        let (identity, account) = (self.ctx.identity().clone(), self.ctx.account.clone());
        self.ctx
            .commit(grant, move |tx| {
                let mut edit = Edit::new(tx, &identity, &account);
                let entity = edit_inline(&edit, kind, &name, |inline| {
                    inline.remove(&policy).map(|_| ()).ok_or_else(|| no_such_inline(kind, &policy))
                })?;
                edit.update(entity)?;
                edit.finish()?;
                Ok(json!({}))
            })
            .await
    }

    pub(super) fn list_inline(&self, kind: Kind) -> Result<Value, ApiError> {
        let name = self.name_of(kind)?;
        let _ = self.authorize_on(kind, name, &[])?;
        let (_, inline) = self.inline_of(kind, name)?;
        self.listing("PolicyNames", &fold(name), inline.keys().map(|policy| (policy.clone(), policy.as_str().into())))
    }
}

fn no_such_inline(kind: Kind, policy: &str) -> ApiError {
    ApiError::no_such_entity(format!("The {} policy with name {policy} cannot be found.", kind.as_str()))
}
