//! Tags of users, roles and managed policies.

use marram_aws_api::ApiError;
use serde_json::{Value, json};

use crate::edit::{Edit, limit_exceeded, no_such};
use crate::error::CallError;
use crate::iam::{Iam, MAX_TAGS};
use crate::model::{Entity, Kind, Tag, fold};

/// Adds tags or replaces their values; keys are the same whatever their case.
pub(super) fn merge(tags: &mut Vec<Tag>, added: Vec<(String, String)>) -> Result<(), ApiError> {
    for (index, (key, _)) in added.iter().enumerate() {
        if added.iter().take(index).any(|(earlier, _)| fold(earlier) == fold(key)) {
            let text = "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
            return Err(ApiError::new("InvalidInput", 400, text));
        }
    }
    for (key, value) in added {
        if fold(&key).starts_with("aws:") {
            let text = "Your tag keys begin with the reserved prefix \"aws:\".";
            return Err(ApiError::new("InvalidInput", 400, text));
        }
        tags.retain(|tag| fold(&tag.key) != fold(&key));
        tags.push(Tag { key, value });
    }
    if tags.len() > MAX_TAGS {
        return Err(limit_exceeded("The number of tags has reached the maximum limit."));
    }
    Ok(())
}

impl Iam<'_> {
    pub(super) async fn tag(&self, kind: Kind) -> Result<Value, ApiError> {
        let added = self.args.tags("Tags")?;
        let for_conditions = added.clone();
        self.change_tags(kind, for_conditions, move |tags| merge(tags, added)).await
    }

    pub(super) async fn untag(&self, kind: Kind) -> Result<Value, ApiError> {
        let keys = self.args.list("TagKeys")?;
        let for_conditions = keys.iter().map(|key| (key.clone(), String::new())).collect();
        let change = move |tags: &mut Vec<Tag>| {
            tags.retain(|tag| !keys.iter().any(|key| fold(key) == fold(&tag.key)));
            Ok(())
        };
        self.change_tags(kind, for_conditions, change).await
    }

    async fn change_tags(
        &self,
        kind: Kind,
        requested: Vec<(String, String)>,
        change: impl FnOnce(&mut Vec<Tag>) -> Result<(), ApiError> + Send + 'static,
    ) -> Result<Value, ApiError> {
        let name = self.name_of(kind)?;
        let untag = self.ctx.operation.name.starts_with("Untag");
        let grant = self.ctx.authorize(self.ctx.operation.iam_action, &self.arn_of(kind, name), |c| {
            let tags = self.tags_of(kind, name);
            c.resource_tags(tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str())));
            if untag {
                c.set_all("aws:TagKeys", requested.iter().map(|(key, _)| key.as_str()));
            } else {
                c.request_tags(requested.iter().map(|(key, value)| (key.as_str(), value.as_str())));
            }
        })?;
        self.must_exist(kind, name)?;
        let name = match kind {
            Kind::Policy => self.dir.policy(name).map(|held| held.entity.name.clone()).unwrap_or_default(),
            _ => name.to_owned(),
        };
        let (identity, account) = (self.ctx.identity().clone(), self.ctx.account.clone());
        self.ctx
            .commit(grant, move |tx| {
                let mut edit = Edit::new(tx, &identity, &account);
                let entity = match kind {
                    Kind::User => {
                        let (mut entity, ..) = edit.user(&name)?;
                        change(&mut entity.tags)?;
                        Entity::User(entity)
                    }
                    Kind::Role => {
                        let (mut entity, ..) = edit.role(&name)?;
                        change(&mut entity.tags)?;
                        Entity::Role(entity)
                    }
                    Kind::Policy => {
                        let (mut entity, ..) = edit.policy(&name)?;
                        change(&mut entity.tags)?;
                        Entity::Policy(entity)
                    }
                    Kind::Group => return Err(CallError::Api(no_such(kind, &name))),
                };
                edit.update(entity)?;
                edit.finish()?;
                Ok(json!({}))
            })
            .await
    }

    pub(super) fn list_tags(&self, kind: Kind) -> Result<Value, ApiError> {
        let name = self.name_of(kind)?;
        let _ = self.authorize_on(kind, name, &[])?;
        self.must_exist(kind, name)?;
        let mut tags: Vec<&Tag> = self.tags_of(kind, name).iter().collect();
        tags.sort_by_key(|tag| fold(&tag.key));
        let items = tags.into_iter().map(|tag| (fold(&tag.key), json!({"Key": tag.key, "Value": tag.value})));
        self.listing("Tags", &fold(name), items)
    }
}
