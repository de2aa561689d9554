//! Groups and who is in them.

use std::collections::BTreeMap;

use marram_aws_api::ApiError;
use serde_json::{Value, json};

use crate::account::unique_id;
use crate::directory::Held;
use crate::edit::{Edit, delete_conflict, limit_exceeded, no_such};
use crate::iam::user::user_json;
use crate::iam::{Iam, date};
use crate::model::{Entity, Group, Kind, fold};

/// Longest group name (control-plane-api.md section 3.1).
const MAX_NAME: usize = 128;
/// Most groups of a user.
const MAX_GROUPS_PER_USER: usize = 10;

impl Iam<'_> {
    fn group(&self, name: &str) -> Result<&Held<Group>, ApiError> {
        self.dir.groups.get(&fold(name)).map(|held| &**held).ok_or_else(|| no_such(Kind::Group, name))
    }

    pub(super) async fn create_group(&self) -> Result<Value, ApiError> {
        let name = self.new_name(Kind::Group, "GroupName", MAX_NAME)?;
        let path = self.path("Path")?;
        let arn = self.new_arn(Kind::Group, path, name);
        let grant = self.ctx.authorize(self.ctx.operation.iam_action, &arn, |_| {})?;
        let group = Group {
            name: name.to_owned(),
            path: path.to_owned(),
            id: unique_id("AGPA"),
            created: self.ctx.now,
            inline: BTreeMap::new(),
        };
        let output = json!({"Group": group_json(&group, &arn)});
        let (identity, account) = (self.ctx.identity().clone(), self.ctx.account.clone());
        self.ctx
            .commit(grant, move |tx| {
                let mut edit = Edit::new(tx, &identity, &account);
                edit.insert(Entity::Group(group))?;
                edit.finish()?;
                Ok(output)
            })
            .await
    }

    pub(super) fn get_group(&self) -> Result<Value, ApiError> {
        let name = self.name_of(Kind::Group)?;
        let _ = self.authorize_on(Kind::Group, name, &[])?;
        let held = self.group(name)?;
        let users = held.members.iter().filter_map(|key| self.dir.users.get(key).map(|user| (key, user)));
        let items = users.map(|(key, user)| (key.clone(), user_json(&user.entity, &user.arn, false)));
        let page = self.page(&fold(name), items)?;
        Ok(page.into_output([("Group", group_json(&held.entity, &held.arn)), ("Users", Value::Null)]))
    }

    pub(super) fn list_groups(&self) -> Result<Value, ApiError> {
        let prefix = self.args.opt("PathPrefix").unwrap_or("/");
        let arn = self.new_arn(Kind::Group, prefix, "*");
        let _ = self.ctx.authorize(self.ctx.operation.iam_action, &arn, |_| {})?;
        let groups = self.dir.groups.iter().filter(|(_, held)| held.entity.path.starts_with(prefix));
        self.listing("Groups", prefix, groups.map(|(key, held)| (key.clone(), group_json(&held.entity, &held.arn))))
    }

    pub(super) fn list_groups_for_user(&self) -> Result<Value, ApiError> {
        let name = self.name_of(Kind::User)?;
        let _ = self.authorize_on(Kind::User, name, &[])?;
        let groups = self.user(name)?.members.iter().filter_map(|key| self.dir.groups.get(key).map(|g| (key, g)));
        let items = groups.map(|(key, held)| (key.clone(), group_json(&held.entity, &held.arn)));
        self.listing("Groups", &fold(name), items)
    }

    pub(super) async fn update_group(&self) -> Result<Value, ApiError> {
        let name = self.name_of(Kind::Group)?;
        let grant = self.authorize_on(Kind::Group, name, &[])?;
        let new_path = self.args.opt("NewPath").map(|_| self.path("NewPath")).transpose()?;
        let new_name =
            self.args.opt("NewGroupName").map(|_| self.new_name(Kind::Group, "NewGroupName", MAX_NAME)).transpose()?;
        let (identity, account) = (self.ctx.identity().clone(), self.ctx.account.clone());
        let (name, new_name, new_path) = (name.to_owned(), new_name.map(str::to_owned), new_path.map(str::to_owned));
        self.ctx
            .commit(grant, move |tx| {
                let mut edit = Edit::new(tx, &identity, &account);
                let (mut group, ..) = edit.group(&name)?;
                group.path = new_path.unwrap_or(group.path);
                group.name = new_name.unwrap_or(group.name);
                edit.rename(&name, Entity::Group(group))?;
                edit.finish()?;
                Ok(json!({}))
            })
            .await
    }

    pub(super) async fn delete_group(&self) -> Result<Value, ApiError> {
        let name = self.name_of(Kind::Group)?;
        let grant = self.authorize_on(Kind::Group, name, &[])?;
        let (identity, account, name) = (self.ctx.identity().clone(), self.ctx.account.clone(), name.to_owned());
        self.ctx
            .commit(grant, move |tx| {
                let mut edit = Edit::new(tx, &identity, &account);
                let (group, attached, users) = edit.group(&name)?;
                for (in_the_way, what) in [
                    (!users.is_empty(), "must remove users from group first."),
                    (!group.inline.is_empty(), "must delete policies first."),
                    (!attached.is_empty(), "must detach all policies first."),
                ] {
                    if in_the_way {
                        return Err(delete_conflict(format!("Cannot delete entity, {what}")).into());
                    }
                }
                edit.remove(Kind::Group, &name)?;
                edit.finish()?;
                Ok(json!({}))
            })
            .await
    }

    pub(super) async fn add_user_to_group(&self) -> Result<Value, ApiError> {
        let (group, user) = (self.name_of(Kind::Group)?, self.name_of(Kind::User)?);
        let grant = self.authorize_on(Kind::Group, group, &[])?;
        let (identity, account) = (self.ctx.identity().clone(), self.ctx.account.clone());
        let (group, user) = (group.to_owned(), user.to_owned());
        self.ctx
            .commit(grant, move |tx| {
                let mut edit = Edit::new(tx, &identity, &account);
                edit.group(&group)?;
                let (_, _, groups) = edit.user(&user)?;
                if groups.len() >= MAX_GROUPS_PER_USER && !groups.contains(&fold(&group)) {
                    return Err(limit_exceeded("Cannot exceed quota for GroupsPerUser: 10").into());
                }
                edit.add_member(&group, &user)?;
                edit.finish()?;
                Ok(json!({}))
            })
            .await
    }

    pub(super) async fn remove_user_from_group(&self) -> Result<Value, ApiError> {
        let (group, user) = (self.name_of(Kind::Group)?, self.name_of(Kind::User)?);
        let grant = self.authorize_on(Kind::Group, group, &[])?;
        let (identity, account) = (self.ctx.identity().clone(), self.ctx.account.clone());
        let (group, user) = (group.to_owned(), user.to_owned());
        self.ctx
            .commit(grant, move |tx| {
                let mut edit = Edit::new(tx, &identity, &account);
                edit.group(&group)?;
                edit.user(&user)?;
                if !edit.remove_member(&group, &user)? {
                    return Err(ApiError::no_such_entity(format!("User {user} is not in group {group}.")).into());
                }
                edit.finish()?;
                Ok(json!({}))
            })
            .await
    }
}

fn group_json(group: &Group, arn: &str) -> Value {
    json!({
        "Path": group.path,
        "GroupName": group.name,
        "GroupId": group.id,
        "Arn": arn,
        "CreateDate": date(group.created),
    })
}
