//! Access keys of users. A secret is shown once, when it is made.

use marram_aws_api::ApiError;
use serde_json::{Value, json};

use crate::account::new_key;
use crate::edit::{Edit, limit_exceeded};
use crate::iam::{Iam, date};
use crate::model::{Kind, fold};

/// Most keys of a user (security.md section 3.7).
const MAX_KEYS: i64 = 2;

impl Iam<'_> {
    pub(super) async fn create_access_key(&self) -> Result<Value, ApiError> {
        let name = self.user_or_caller()?;
        let grant = self.authorize_on(Kind::User, name, &[])?;
        let spelled = self.user(name)?.entity.name.clone();
        let (id, secret) = new_key();
        let now = self.ctx.now;
        let output = json!({"AccessKey": {
            "UserName": spelled,
            "AccessKeyId": id,
            "Status": "Active",
            "SecretAccessKey": secret.expose(),
            "CreateDate": date(now),
        }});
        let (identity, account) = (self.ctx.identity().clone(), self.ctx.account.clone());
        self.ctx
            .commit(grant, move |tx| {
                let mut edit = Edit::new(tx, &identity, &account);
                edit.user(&spelled)?;
                if edit.key_count(&spelled)? >= MAX_KEYS {
                    return Err(limit_exceeded("Cannot exceed quota for AccessKeysPerUser: 2").into());
                }
                edit.insert_key(&id, &spelled, secret, now)?;
                edit.finish()?;
                Ok(output)
            })
            .await
    }

    pub(super) fn list_access_keys(&self) -> Result<Value, ApiError> {
        let name = self.user_or_caller()?;
        let _ = self.authorize_on(Kind::User, name, &[])?;
        let user = self.user(name)?;
        let keys = self.ctx.identity().directory().keys_of(&self.ctx.account, &fold(name));
        let items = keys.into_iter().map(|key| {
            let item = json!({
                "UserName": user.entity.name,
                "AccessKeyId": key.id.as_str(),
                "Status": if key.active { "Active" } else { "Inactive" },
                "CreateDate": date(key.created),
            });
            (format!("{:020} {}", key.created.as_micros(), key.id), item)
        });
        self.listing("AccessKeyMetadata", &fold(name), items)
    }

    pub(super) async fn update_access_key(&self) -> Result<Value, ApiError> {
        let (name, id) = (self.user_or_caller()?, self.args.text("AccessKeyId")?);
        let active = match self.args.text("Status")? {
            "Active" => true,
            "Inactive" => false,
            _ => return Err(ApiError::validation("Status must be Active or Inactive.")),
        };
        let grant = self.authorize_on(Kind::User, name, &[])?;
        let (identity, account) = (self.ctx.identity().clone(), self.ctx.account.clone());
        let (name, id) = (name.to_owned(), id.to_owned());
        self.ctx
            .commit(grant, move |tx| {
                let mut edit = Edit::new(tx, &identity, &account);
                edit.user(&name)?;
                if !edit.set_key_active(&id, &name, active)? {
                    return Err(no_such_key(&id).into());
                }
                edit.finish()?;
                Ok(json!({}))
            })
            .await
    }

    pub(super) async fn delete_access_key(&self) -> Result<Value, ApiError> {
        let (name, id) = (self.user_or_caller()?, self.args.text("AccessKeyId")?);
        let grant = self.authorize_on(Kind::User, name, &[])?;
        let (identity, account) = (self.ctx.identity().clone(), self.ctx.account.clone());
        let (name, id) = (name.to_owned(), id.to_owned());
        self.ctx
            .commit(grant, move |tx| {
                let mut edit = Edit::new(tx, &identity, &account);
                edit.user(&name)?;
                if !edit.remove_key(&id, &name)? {
                    return Err(no_such_key(&id).into());
                }
                edit.finish()?;
                Ok(json!({}))
            })
            .await
    }

    pub(super) fn get_access_key_last_used(&self) -> Result<Value, ApiError> {
        let id = self.args.text("AccessKeyId")?;
        let directory = self.ctx.identity().directory();
        let key = directory.keys.get(id).filter(|key| key.account == self.ctx.account);
        let owner = key.map_or("*", |key| key.user.as_str());
        let _ = self.authorize_on(Kind::User, owner, &[])?;
        let key = key.ok_or_else(|| no_such_key(id))?;
        let name = self.dir.users.get(&key.user).map(|held| held.entity.name.clone());
        let used = match key.usage.last() {
            Some((at, service, region)) => {
                json!({"LastUsedDate": date(at), "ServiceName": service, "Region": region})
            }
            None => json!({"ServiceName": "N/A", "Region": "N/A"}),
        };
        Ok(json!({"UserName": name, "AccessKeyLastUsed": used}))
    }
}

fn no_such_key(id: &str) -> ApiError {
    ApiError::no_such_entity(format!("The Access Key with id {id} cannot be found."))
}
