//! Users.

use std::collections::BTreeMap;

use marram_aws_api::ApiError;
use serde_json::{Value, json};

use crate::account::unique_id;
use crate::directory::Held;
use crate::edit::{Edit, delete_conflict, no_such};
use crate::iam::{Iam, boundary_json, date, tags_json};
use crate::model::{Entity, Kind, User, fold};
use crate::principal::PrincipalKind;

/// Longest user name (control-plane-api.md section 3.1).
const MAX_NAME: usize = 64;

impl<'a> Iam<'a> {
    pub(super) async fn create_user(&self) -> Result<Value, ApiError> {
        let name = self.new_name(Kind::User, "UserName", MAX_NAME)?;
        let path = self.path("Path")?;
        let tags = self.new_tags()?;
        let boundary = self.args.opt("PermissionsBoundary");
        let arn = self.new_arn(Kind::User, path, name);
        let grant = self.ctx.authorize(self.ctx.operation.iam_action, &arn, |c| {
            c.request_tags(tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str())));
            if let Some(boundary) = boundary {
                c.set("iam:PermissionsBoundary", boundary);
            }
        })?;
        if let Some(boundary) = boundary {
            self.check_boundary(boundary)?;
        }
        let user = User {
            name: name.to_owned(),
            path: path.to_owned(),
            id: unique_id("AIDA"),
            created: self.ctx.now,
            boundary: boundary.map(str::to_owned),
            tags,
            inline: BTreeMap::new(),
        };
        let output = json!({"User": user_json(&user, &arn, true)});
        let (identity, account) = (self.ctx.identity().clone(), self.ctx.account.clone());
        self.ctx
            .commit(grant, move |tx| {
                let mut edit = Edit::new(tx, &identity, &account);
                edit.insert(Entity::User(user))?;
                edit.finish()?;
                Ok(output)
            })
            .await
    }

    /// The user named in the request, or the calling user.
    pub(super) fn user_or_caller(&self) -> Result<&'a str, ApiError> {
        if let Some(name) = self.args.opt("UserName") {
            return Ok(name);
        }
        match &self.ctx.principal.kind {
            PrincipalKind::User { name } => Ok(name.as_str()),
            _ => Err(ApiError::validation("Must specify userName when calling with non-User credentials")),
        }
    }

    pub(super) fn user(&self, name: &str) -> Result<&Held<User>, ApiError> {
        self.dir.users.get(&fold(name)).map(|held| &**held).ok_or_else(|| no_such(Kind::User, name))
    }

    pub(super) fn get_user(&self) -> Result<Value, ApiError> {
        if self.args.opt("UserName").is_none() && self.ctx.principal.is_root() {
            let _ = self.ctx.authorize(self.ctx.operation.iam_action, &self.ctx.principal.arn, |_| {})?;
            let (arn, id) = (self.ctx.principal.arn.as_str(), self.ctx.account.as_str());
            return Ok(json!({"User": {
                "Path": "/", "UserName": "root", "UserId": id, "Arn": arn, "CreateDate": date(self.dir.created),
            }}));
        }
        let name = self.user_or_caller()?;
        let _ = self.authorize_on(Kind::User, name, &[])?;
        let held = self.user(name)?;
        Ok(json!({"User": user_json(&held.entity, &held.arn, true)}))
    }

    pub(super) fn list_users(&self) -> Result<Value, ApiError> {
        let prefix = self.args.opt("PathPrefix").unwrap_or("/");
        let arn = self.new_arn(Kind::User, prefix, "*");
        let _ = self.ctx.authorize(self.ctx.operation.iam_action, &arn, |_| {})?;
        let users = self.dir.users.iter().filter(|(_, held)| held.entity.path.starts_with(prefix));
        self.listing("Users", prefix, users.map(|(key, held)| (key.clone(), user_json(&held.entity, &held.arn, false))))
    }

    pub(super) async fn update_user(&self) -> Result<Value, ApiError> {
        let name = self.args.text("UserName")?;
        let grant = self.authorize_on(Kind::User, name, &[])?;
        let new_path = self.args.opt("NewPath").map(|_| self.path("NewPath")).transpose()?;
        let new_name =
            self.args.opt("NewUserName").map(|_| self.new_name(Kind::User, "NewUserName", MAX_NAME)).transpose()?;
        // Renaming needs the permission under the new name as well.
        let arn = self.new_arn(
            Kind::User,
            new_path.or_else(|| self.user(name).ok().map(|held| held.entity.path.as_str())).unwrap_or("/"),
            new_name.unwrap_or(name),
        );
        let _ = self.ctx.authorize(self.ctx.operation.iam_action, &arn, |_| {})?;
        let (identity, account) = (self.ctx.identity().clone(), self.ctx.account.clone());
        let (name, new_name, new_path) = (name.to_owned(), new_name.map(str::to_owned), new_path.map(str::to_owned));
        self.ctx
            .commit(grant, move |tx| {
                let mut edit = Edit::new(tx, &identity, &account);
                let (mut user, ..) = edit.user(&name)?;
                user.path = new_path.unwrap_or(user.path);
                user.name = new_name.unwrap_or(user.name);
                edit.rename(&name, Entity::User(user))?;
                edit.finish()?;
                Ok(json!({}))
            })
            .await
    }

    pub(super) async fn delete_user(&self) -> Result<Value, ApiError> {
        let name = self.args.text("UserName")?;
        let grant = self.authorize_on(Kind::User, name, &[])?;
        let (identity, account, name) = (self.ctx.identity().clone(), self.ctx.account.clone(), name.to_owned());
        self.ctx
            .commit(grant, move |tx| {
                let mut edit = Edit::new(tx, &identity, &account);
                let (user, attached, groups) = edit.user(&name)?;
                for (in_the_way, what) in [
                    (edit.key_count(&name)? > 0, "must delete access keys first."),
                    (!user.inline.is_empty(), "must delete policies first."),
                    (!attached.is_empty(), "must detach all policies first."),
                    (!groups.is_empty(), "must remove users from group first."),
                ] {
                    if in_the_way {
                        return Err(delete_conflict(format!("Cannot delete entity, {what}")).into());
                    }
                }
                edit.remove(Kind::User, &name)?;
                edit.finish()?;
                Ok(json!({}))
            })
            .await
    }
}

/// A user as it goes out; listings leave tags and boundary out.
pub(super) fn user_json(user: &User, arn: &str, whole: bool) -> Value {
    let mut json = json!({
        "Path": user.path,
        "UserName": user.name,
        "UserId": user.id,
        "Arn": arn,
        "CreateDate": date(user.created),
    });
    if whole {
        if let Some(boundary) = &user.boundary {
            json["PermissionsBoundary"] = boundary_json(boundary);
        }
        if !user.tags.is_empty() {
            json["Tags"] = tags_json(&user.tags);
        }
    }
    json
}
