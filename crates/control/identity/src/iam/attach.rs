//! Managed policies of users, groups and roles, and the boundaries of users and roles.

use marram_aws_api::ApiError;
use serde_json::{Value, json};

use crate::edit::{Edit, limit_exceeded, no_such};
use crate::error::CallError;
use crate::iam::Iam;
use crate::model::{Entity, Kind, fold};

/// Most managed policies of one entity (control-plane-api.md section 3.1).
const MAX_ATTACHED: usize = 10;

impl Iam<'_> {
    pub(super) async fn attach(&self, kind: Kind) -> Result<Value, ApiError> {
        let (name, arn) = (self.name_of(kind)?.to_owned(), self.args.text("PolicyArn")?.to_owned());
        let grant = self.authorize_on(kind, &name, &[("iam:PolicyARN", &arn)])?;
        let vendor = crate::managed::find(self.partition(), &arn).is_some();
        let own = self.dir.policy(&arn).map(|held| held.entity.name.clone());
        let (identity, account, now) = (self.ctx.identity().clone(), self.ctx.account.clone(), self.ctx.now);
        self.ctx
            .commit(grant, move |tx| {
                let mut edit = Edit::new(tx, &identity, &account);
                let attached = match kind {
                    Kind::User => edit.user(&name)?.1,
                    Kind::Group => edit.group(&name)?.1,
                    Kind::Role => edit.role(&name)?.1,
                    Kind::Policy => return Err(no_such(kind, &name).into()),
                };
                // The policy may have gone since the call began.
                let exists = vendor || own.is_some_and(|own| edit.policy(&own).is_ok());
                if !exists {
                    return Err(no_such(Kind::Policy, &arn).into());
                }
                if attached.len() >= MAX_ATTACHED && !attached.contains(&arn) {
                    let mut title = kind.as_str().to_owned();
                    title.get_mut(..1).map(str::make_ascii_uppercase);
                    let text = format!("Cannot exceed quota for PoliciesPer{title}: {MAX_ATTACHED}");
                    return Err(limit_exceeded(text).into());
                }
                edit.attach(kind, &name, &arn, now)?;
                edit.finish()?;
                Ok(json!({}))
            })
            .await
    }

    pub(super) async fn detach(&self, kind: Kind) -> Result<Value, ApiError> {
        let (name, arn) = (self.name_of(kind)?.to_owned(), self.args.text("PolicyArn")?.to_owned());
        let grant = self.authorize_on(kind, &name, &[("iam:PolicyARN", &arn)])?;
        self.must_exist(kind, &name)?;
        let (identity, account) = (self.ctx.identity().clone(), self.ctx.account.clone());
        self.ctx
            .commit(grant, move |tx| {
                let mut edit = Edit::new(tx, &identity, &account);
                if !edit.detach(kind, &name, &arn)? {
                    return Err(ApiError::no_such_entity(format!("Policy {arn} was not found.")).into());
                }
                edit.finish()?;
                Ok(json!({}))
            })
            .await
    }

    pub(super) fn list_attached(&self, kind: Kind) -> Result<Value, ApiError> {
        let name = self.name_of(kind)?;
        let _ = self.authorize_on(kind, name, &[])?;
        let key = fold(name);
        let attached = match kind {
            Kind::User => self.dir.users.get(&key).map(|held| &held.attached),
            Kind::Group => self.dir.groups.get(&key).map(|held| &held.attached),
            Kind::Role => self.dir.roles.get(&key).map(|held| &held.attached),
            Kind::Policy => None,
        };
        let attached = attached.ok_or_else(|| no_such(kind, name))?;
        let prefix = self.args.opt("PathPrefix").unwrap_or("/");
        let items = attached.iter().filter_map(|arn| {
            let (_, path_and_name) = arn.split_once(":policy")?;
            let policy = path_and_name.rsplit('/').next()?;
            path_and_name.starts_with(prefix).then(|| (arn.clone(), json!({"PolicyName": policy, "PolicyArn": arn})))
        });
        self.listing("AttachedPolicies", &format!("{key} {prefix}"), items)
    }

    pub(super) async fn put_boundary(&self, kind: Kind) -> Result<Value, ApiError> {
        let (name, boundary) = (self.name_of(kind)?, self.args.text("PermissionsBoundary")?);
        let grant = self.authorize_on(kind, name, &[("iam:PermissionsBoundary", boundary)])?;
        self.check_boundary(boundary)?;
        self.set_boundary(grant, kind, name, Some(boundary.to_owned())).await
    }

    pub(super) async fn delete_boundary(&self, kind: Kind) -> Result<Value, ApiError> {
        let name = self.name_of(kind)?;
        let key = fold(name);
        let present = match kind {
            Kind::User => self.dir.users.get(&key).and_then(|held| held.entity.boundary.as_deref()),
            _ => self.dir.roles.get(&key).and_then(|held| held.entity.boundary.as_deref()),
        };
        let grant = self.authorize_on(kind, name, &[("iam:PermissionsBoundary", present.unwrap_or_default())])?;
        self.set_boundary(grant, kind, name, None).await
    }

    async fn set_boundary(
        &self,
        grant: crate::context::Grant,
        kind: Kind,
        name: &str,
        boundary: Option<String>,
    ) -> Result<Value, ApiError> {
        let (identity, account, name) = (self.ctx.identity().clone(), self.ctx.account.clone(), name.to_owned());
        self.ctx
            .commit(grant, move |tx| {
                let mut edit = Edit::new(tx, &identity, &account);
                let entity = match kind {
                    Kind::User => {
                        let (mut user, ..) = edit.user(&name)?;
                        replace(&mut user.boundary, boundary, &name)?;
                        Entity::User(user)
                    }
                    _ => {
                        let (mut role, ..) = edit.role(&name)?;
                        replace(&mut role.boundary, boundary, &name)?;
                        Entity::Role(role)
                    }
                };
                edit.update(entity)?;
                edit.finish()?;
                Ok(json!({}))
            })
            .await
    }
}

fn replace(slot: &mut Option<String>, boundary: Option<String>, name: &str) -> Result<(), CallError> {
    if boundary.is_none() && slot.is_none() {
        return Err(ApiError::no_such_entity(format!("{name} does not have a permissions boundary.")).into());
    }
    *slot = boundary;
    Ok(())
}
