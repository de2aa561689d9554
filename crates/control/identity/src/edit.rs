//! Changing identities inside a transaction, and the directory after it.
//!
//! Every check that must hold when the change is durable (a name is free, nothing is attached any more) is made here,
//! against the transaction. [`Edit::finish`] reads back what was touched and hands it to the directory once committed.

use std::sync::Arc;

use marram_aws_api::ApiError;
use marram_store::{Tx, params};
use marram_types::{AccountId, SecretString, Timestamp};
use smol_str::SmolStr;

use crate::directory::{AccessKey, Change, KeyUse, Loaded, load_entity};
use crate::error::CallError;
use crate::identity::Identity;
use crate::keyring::Purpose;
use crate::model::{Entity, Group, Kind, ManagedPolicy, Role, User, fold};

/// A change of one account under way.
pub(crate) struct Edit<'t, 'c> {
    pub tx: &'t mut Tx<'c>,
    identity: Identity,
    account: AccountId,
    touched: Vec<(Kind, String)>,
    changes: Vec<Change>,
}

/// `NoSuchEntity` in the words clients know.
pub(crate) fn no_such(kind: Kind, name: &str) -> ApiError {
    let text = match kind {
        Kind::User => format!("The user with name {name} cannot be found."),
        Kind::Group => format!("The group with name {name} cannot be found."),
        Kind::Role => format!("The role with name {name} cannot be found."),
        Kind::Policy => format!("Policy {name} does not exist or is not attachable."),
    };
    ApiError::no_such_entity(text)
}

/// `DeleteConflict`.
pub(crate) fn delete_conflict(text: impl Into<String>) -> ApiError {
    ApiError::new("DeleteConflict", 409, text)
}

/// `LimitExceeded`.
pub(crate) fn limit_exceeded(text: impl Into<String>) -> ApiError {
    ApiError::new("LimitExceeded", 409, text)
}

macro_rules! load_as {
    ($method:ident, $variant:ident, $type:ty) => {
        /// The entity of this name, with attachments and members.
        pub(crate) fn $method(&self, name: &str) -> Result<($type, Vec<String>, Vec<String>), CallError> {
            match self.load(Kind::$variant, name)? {
                Some((Entity::$variant(entity), attached, members)) => Ok((entity, attached, members)),
                _ => Err(no_such(Kind::$variant, name).into()),
            }
        }
    };
}

impl<'t, 'c> Edit<'t, 'c> {
    pub(crate) fn new(tx: &'t mut Tx<'c>, identity: &Identity, account: &AccountId) -> Edit<'t, 'c> {
        Edit { tx, identity: identity.clone(), account: account.clone(), touched: Vec::new(), changes: Vec::new() }
    }

    fn load(&self, kind: Kind, name: &str) -> Result<Option<Loaded>, CallError> {
        Ok(load_entity(self.tx, &self.account, kind.as_str(), &fold(name))?)
    }

    load_as!(user, User, User);
    load_as!(group, Group, Group);
    load_as!(role, Role, Role);
    load_as!(policy, Policy, ManagedPolicy);

    /// A new account.
    pub(crate) fn create_account(&mut self, name: &str, now: Timestamp) -> Result<(), CallError> {
        self.tx.execute(
            "INSERT INTO account (account, name, created_at) VALUES ($1, $2, $3)",
            params![self.account, name, now],
        )?;
        self.changes.push(Change::Account(self.account.clone(), name.to_owned(), now));
        Ok(())
    }

    /// A new entity; its name must be free.
    pub(crate) fn insert(&mut self, entity: Entity) -> Result<(), CallError> {
        let kind = entity.kind();
        let done = self.tx.execute(
            "INSERT INTO iam_entity (account, kind, folded, name, body) VALUES ($1, $2, $3, $4, $5)",
            params![self.account, kind.as_str(), fold(entity.name()), entity.name(), body(&entity)],
        );
        match done {
            Ok(_) => self.touch(kind, entity.name()),
            Err(error) if error.is_unique_violation() => {
                let kind = match kind {
                    Kind::User => "User",
                    Kind::Group => "Group",
                    Kind::Role => "Role",
                    Kind::Policy => "Policy",
                };
                let text = format!("{kind} with name {} already exists.", entity.name());
                return Err(ApiError::entity_already_exists(text).into());
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Stores an entity that exists.
    pub(crate) fn update(&mut self, entity: Entity) -> Result<(), CallError> {
        self.tx.execute(
            "UPDATE iam_entity SET body = $1 WHERE account = $2 AND kind = $3 AND folded = $4",
            params![body(&entity), self.account, entity.kind().as_str(), fold(entity.name())],
        )?;
        self.touch(entity.kind(), entity.name());
        Ok(())
    }

    /// Stores an entity under another name, with everything that refers to it.
    pub(crate) fn rename(&mut self, old: &str, entity: Entity) -> Result<(), CallError> {
        let (kind, from, to) = (entity.kind(), fold(old), fold(entity.name()));
        if from != to {
            let (_, _, members) = self.load(kind, old)?.ok_or_else(|| no_such(kind, old))?;
            self.insert(entity.clone())?;
            self.tx.execute(
                "DELETE FROM iam_entity WHERE account = $1 AND kind = $2 AND folded = $3",
                params![self.account, kind.as_str(), from],
            )?;
            self.tx.execute(
                "UPDATE iam_attachment SET folded = $1 WHERE account = $2 AND kind = $3 AND folded = $4",
                params![to, self.account, kind.as_str(), from],
            )?;
            let (member_sql, other) = match kind {
                Kind::User => {
                    ("UPDATE iam_member SET user_folded = $1 WHERE account = $2 AND user_folded = $3", Kind::Group)
                }
                _ => ("UPDATE iam_member SET group_folded = $1 WHERE account = $2 AND group_folded = $3", Kind::User),
            };
            self.tx.execute(member_sql, params![to, self.account, from])?;
            for member in members {
                self.touch(other, &member);
            }
            if kind == Kind::User {
                self.tx.execute(
                    "UPDATE iam_access_key SET user_folded = $1 WHERE account = $2 AND user_folded = $3",
                    params![to, self.account, from],
                )?;
                for key in self.identity.directory().keys_of(&self.account, &from) {
                    let moved = AccessKey::new(
                        key.id.clone(),
                        key.account.clone(),
                        to.clone(),
                        key.active,
                        key.created,
                        key.secret.clone(),
                        Arc::clone(&key.usage),
                    );
                    self.changes.push(Change::PutKey(Arc::new(moved)));
                }
            }
            self.touch(kind, old);
        }
        self.tx.execute(
            "UPDATE iam_entity SET name = $1 WHERE account = $2 AND kind = $3 AND folded = $4",
            params![entity.name(), self.account, kind.as_str(), to],
        )?;
        self.update(entity)
    }

    /// Removes an entity. Attachments, members and keys must be gone already.
    pub(crate) fn remove(&mut self, kind: Kind, name: &str) -> Result<(), CallError> {
        self.tx.execute(
            "DELETE FROM iam_entity WHERE account = $1 AND kind = $2 AND folded = $3",
            params![self.account, kind.as_str(), fold(name)],
        )?;
        self.touch(kind, name);
        Ok(())
    }

    pub(crate) fn attach(&mut self, kind: Kind, name: &str, arn: &str, now: Timestamp) -> Result<(), CallError> {
        self.tx.execute(
            "INSERT INTO iam_attachment (account, kind, folded, policy_arn, attached_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT DO NOTHING",
            params![self.account, kind.as_str(), fold(name), arn, now],
        )?;
        self.touch(kind, name);
        Ok(())
    }

    /// Whether the policy was attached.
    pub(crate) fn detach(&mut self, kind: Kind, name: &str, arn: &str) -> Result<bool, CallError> {
        let gone = self.tx.execute(
            "DELETE FROM iam_attachment WHERE account = $1 AND kind = $2 AND folded = $3 AND policy_arn = $4",
            params![self.account, kind.as_str(), fold(name), arn],
        )?;
        self.touch(kind, name);
        Ok(gone > 0)
    }

    /// How many principals and groups the policy is attached to.
    pub(crate) fn attachments_of(&self, arn: &str) -> Result<i64, CallError> {
        Ok(self.tx.query_one(
            "SELECT COUNT(*) FROM iam_attachment WHERE account = $1 AND policy_arn = $2",
            params![self.account, arn],
            |row| row.get::<i64>(0),
        )?)
    }

    pub(crate) fn add_member(&mut self, group: &str, user: &str) -> Result<(), CallError> {
        self.tx.execute(
            "INSERT INTO iam_member (account, group_folded, user_folded) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            params![self.account, fold(group), fold(user)],
        )?;
        self.touch(Kind::Group, group);
        self.touch(Kind::User, user);
        Ok(())
    }

    /// Whether the user was in the group.
    pub(crate) fn remove_member(&mut self, group: &str, user: &str) -> Result<bool, CallError> {
        let gone = self.tx.execute(
            "DELETE FROM iam_member WHERE account = $1 AND group_folded = $2 AND user_folded = $3",
            params![self.account, fold(group), fold(user)],
        )?;
        self.touch(Kind::Group, group);
        self.touch(Kind::User, user);
        Ok(gone > 0)
    }

    /// How many keys the user has, as the transaction sees it.
    pub(crate) fn key_count(&self, user: &str) -> Result<i64, CallError> {
        Ok(self.tx.query_one(
            "SELECT COUNT(*) FROM iam_access_key WHERE account = $1 AND user_folded = $2",
            params![self.account, fold(user)],
            |row| row.get::<i64>(0),
        )?)
    }

    /// Stores a new key, its secret sealed.
    pub(crate) fn insert_key(
        &mut self,
        id: &str,
        user: &str,
        secret: SecretString,
        now: Timestamp,
    ) -> Result<(), CallError> {
        let sealed = self.identity.keyring().seal(Purpose::AccessKey, id.as_bytes(), secret.expose().as_bytes());
        self.tx.execute(
            "INSERT INTO iam_access_key (access_key_id, account, user_folded, active, created_at, sealed)
             VALUES ($1, $2, $3, $4, $5, $6)",
            params![id, self.account, fold(user), true, now, sealed],
        )?;
        let usage = Arc::new(KeyUse::default());
        let key = AccessKey::new(SmolStr::new(id), self.account.clone(), fold(user), true, now, secret, usage);
        self.changes.push(Change::PutKey(Arc::new(key)));
        Ok(())
    }

    /// Switches a key on or off; `false` when the user has no such key.
    pub(crate) fn set_key_active(&mut self, id: &str, user: &str, active: bool) -> Result<bool, CallError> {
        let changed = self.tx.execute(
            "UPDATE iam_access_key SET active = $1 WHERE access_key_id = $2 AND account = $3 AND user_folded = $4",
            params![active, id, self.account, fold(user)],
        )?;
        if changed == 0 {
            return Ok(false);
        }
        if let Some(key) = self.identity.directory().keys.get(id) {
            let switched = AccessKey::new(
                key.id.clone(),
                key.account.clone(),
                key.user.clone(),
                active,
                key.created,
                key.secret.clone(),
                Arc::clone(&key.usage),
            );
            self.changes.push(Change::PutKey(Arc::new(switched)));
        }
        Ok(true)
    }

    /// Removes a key; `false` when the user has no such key.
    pub(crate) fn remove_key(&mut self, id: &str, user: &str) -> Result<bool, CallError> {
        let gone = self.tx.execute(
            "DELETE FROM iam_access_key WHERE access_key_id = $1 AND account = $2 AND user_folded = $3",
            params![id, self.account, fold(user)],
        )?;
        self.tx.execute("DELETE FROM iam_key_use WHERE access_key_id = $1", params![id])?;
        self.changes.push(Change::RemoveKey(SmolStr::new(id)));
        Ok(gone > 0)
    }

    fn touch(&mut self, kind: Kind, name: &str) {
        let entry = (kind, fold(name));
        if !self.touched.contains(&entry) {
            self.touched.push(entry);
        }
    }

    /// Reads back what was touched and arranges for the directory to follow once the transaction is durable.
    pub(crate) fn finish(mut self) -> Result<(), CallError> {
        for (kind, folded) in std::mem::take(&mut self.touched) {
            let change = match load_entity(self.tx, &self.account, kind.as_str(), &folded)? {
                Some((entity, attached, members)) => {
                    Change::Put(self.account.clone(), Box::new(entity), attached, members)
                }
                None => Change::Remove(self.account.clone(), kind, folded),
            };
            self.changes.push(change);
        }
        let (identity, changes) = (self.identity, self.changes);
        self.tx.after_commit(move || identity.apply(changes));
        Ok(())
    }
}

fn body(entity: &Entity) -> String {
    entity.to_json().expect("entities are strings, numbers and maps with string keys")
}
