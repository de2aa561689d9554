//! Making accounts: `marram account create`, and the first one at the first start.

use std::collections::BTreeMap;

use marram_audit::{AuditRecord, Decision, EventType};
use marram_aws_api::ApiError;
use marram_sigv4::Credentials;
use marram_types::{AccountId, SecretString, random_base32, random_base64_alphabet, random_u64};
use serde_json::json;

use crate::edit::Edit;
use crate::error::CallError;
use crate::identity::Identity;
use crate::model::{Entity, Kind, User};
use crate::principal::Principal;

/// Name of the first user of an account.
pub const ADMINISTRATOR: &str = "administrator";
/// Longest display name of an account, in characters.
const MAX_NAME_CHARS: usize = 128;
/// Characters after `AIDA` and its like (control-plane-api.md section 3.1).
const UNIQUE_ID_CHARS: usize = 17;
/// Characters after `AKIA`.
const KEY_ID_CHARS: usize = 16;
/// Characters of a secret access key.
const SECRET_CHARS: usize = 40;
/// Who makes accounts, in the audit log.
const ACTOR: &str = "iam.amazonaws.com";

/// A new account with its administrator.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Its id.
    pub account: AccountId,
    /// A user with `AdministratorAccess`.
    pub user_arn: String,
    /// The administrator's key. The secret is shown here and never again.
    pub credentials: Credentials,
}

/// A fresh unique id: `AIDA…`, `AROA…`.
pub(crate) fn unique_id(prefix: &str) -> String {
    format!("{prefix}{}", random_base32(UNIQUE_ID_CHARS))
}

/// A fresh long-term key id and secret.
pub(crate) fn new_key() -> (String, SecretString) {
    (format!("AKIA{}", random_base32(KEY_ID_CHARS)), SecretString::new(random_base64_alphabet(SECRET_CHARS)))
}

impl Identity {
    /// Makes an account with an administrator and an access key. Without `id` a free random one is taken.
    ///
    /// # Errors
    /// `EntityAlreadyExists` when there is an account of this id; `ValidationError` for an empty or long name.
    pub async fn create_account(&self, name: &str, id: Option<AccountId>) -> Result<NewAccount, ApiError> {
        if name.is_empty() || name.chars().count() > MAX_NAME_CHARS || name.chars().any(char::is_control) {
            return Err(ApiError::validation("an account's name has 1 to 128 printable characters"));
        }
        let directory = self.directory();
        let account = match id {
            Some(id) => id,
            None => loop {
                let digits = format!("{:012}", random_u64() % 1_000_000_000_000);
                let candidate: AccountId = digits.parse().map_err(|_| ApiError::internal())?;
                if directory.account(&candidate).is_none() && candidate != AccountId::first() {
                    break candidate;
                }
            },
        };
        let (key_id, secret) = new_key();
        let now = self.now();
        let user = User {
            name: ADMINISTRATOR.to_owned(),
            path: "/".to_owned(),
            id: unique_id("AIDA"),
            created: now,
            boundary: None,
            tags: Vec::new(),
            inline: BTreeMap::new(),
        };
        let partition = self.partition().as_str();
        let policy = format!("arn:{partition}:iam::aws:policy/AdministratorAccess");
        let user_arn = format!("arn:{partition}:iam::{account}:user/{ADMINISTRATOR}");
        let mut record = AuditRecord::new(
            account.clone(),
            self.regions()[0].clone(),
            now,
            ACTOR,
            "CreateAccount",
            Principal::service(account.clone(), ACTOR).user_identity(),
        );
        record.source_ip_address = ACTOR.to_owned();
        record.user_agent = ACTOR.to_owned();
        record.request_parameters = json!({"accountName": name});
        record.response_elements = json!({"accountId": account.as_str(), "userArn": user_arn, "accessKeyId": key_id});
        record.event_type = EventType::ServiceEvent;
        record.decision = Decision::NotEvaluated;

        let (identity, name) = (self.clone(), name.to_owned());
        let (edited, id, kept) = (account.clone(), key_id.clone(), secret.clone());
        let write = move |tx: &mut marram_store::Tx<'_>| {
            let mut edit = Edit::new(tx, &identity, &edited);
            edit.create_account(&name, now).map_err(|error| match error {
                CallError::Store(error) if error.is_unique_violation() => {
                    ApiError::entity_already_exists(format!("Account {edited} already exists.")).into()
                }
                other => other,
            })?;
            edit.insert(Entity::User(user))?;
            edit.attach(Kind::User, ADMINISTRATOR, &policy, now)?;
            edit.insert_key(&id, ADMINISTRATOR, kept, now)?;
            marram_audit::append(edit.tx, record)?;
            edit.finish()
        };
        self.store().write::<(), CallError, _>(write).await?;
        let credentials = Credentials { access_key_id: key_id, secret, session_token: None };
        Ok(NewAccount { account, user_arn, credentials })
    }

    /// The display name of an account.
    pub fn account_name(&self, account: &AccountId) -> Option<String> {
        self.directory().account(account).map(|dir| dir.name.clone())
    }
}
