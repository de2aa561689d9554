//! One-time links: how somebody who has no password yet gets in (SEC-65).

use std::time::Duration;

use marram_aws_api::ApiError;
use marram_identity::{CallError, Identity, Principal};
use marram_store::{StoreError, Tx, params};
use marram_types::{AccountId, Region, Timestamp};
use serde_json::json;
use smol_str::SmolStr;

use crate::fault;
use crate::session::folded_name;
use crate::token::{Token, TokenHash};

/// Who makes links, in the audit log.
const ACTOR: &str = "signin.amazonaws.com";
/// How long a link of the installation's keeper works (SEC-65); an invitation lasts as its maker says.
pub(crate) const LIFE: Duration = Duration::from_secs(15 * 60);

/// A link as it is printed: once, to whoever runs the installation.
pub struct FirstLink {
    token: Token,
}

impl std::fmt::Debug for FirstLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FirstLink(..)")
    }
}

impl FirstLink {
    /// The address to open, below `https://host:port`.
    pub fn url(&self, base: &str) -> String {
        format!("{base}/console/#/welcome?token={}", *self.token.text())
    }
}

/// Whose link it is.
#[derive(Debug)]
pub(crate) struct Linked {
    pub(crate) account: AccountId,
    pub(crate) user: SmolStr,
    pub(crate) user_id: SmolStr,
}

/// Makes a link for a user; links of the same user made before are void. On the record of the user's account.
///
/// # Errors
/// The store's.
pub(crate) async fn make(identity: &Identity, region: &Region, principal: &Principal) -> Result<FirstLink, ApiError> {
    let token = Token::fresh();
    let (hash, account, user) = (token.hash(), principal.account.clone(), folded_name(principal));
    let (user_id, expires) = (principal.unique_id.clone(), identity.now().saturating_add(LIFE));
    let details = json!({"userName": user.as_str(), "expires": expires.epoch_seconds()});
    let now = identity.now();
    identity
        .system(ACTOR, account.clone(), region.clone())
        .commit_with("CreateConsoleLink", details, move |tx| {
            let whom = Linked { account, user, user_id };
            store(tx, &hash, &whom, now, expires, None)?;
            Ok(())
        })
        .await?;
    Ok(FirstLink { token })
}

impl FirstLink {
    /// A link with this token.
    pub(crate) fn of(token: Token) -> FirstLink {
        FirstLink { token }
    }
}

/// Stores a link; those of the same user made before are void. `maker`: ARN of whoever made it in the console.
pub(crate) fn store(
    tx: &mut Tx<'_>,
    hash: &TokenHash,
    whom: &Linked,
    now: Timestamp,
    expires: Timestamp,
    maker: Option<&str>,
) -> Result<(), StoreError> {
    remove(tx, &whom.account, &whom.user)?;
    tx.execute(
        "INSERT INTO console_link (hash, account, user_folded, user_id, expires_at, used, created_at, made_by)
         VALUES ($1, $2, $3, $4, $5, 0, $6, $7)",
        params![*hash, whom.account, whom.user, whom.user_id, expires, now, maker],
    )?;
    Ok(())
}

/// Removes a user's links; whether one still worked, or might have.
pub(crate) fn remove(tx: &mut Tx<'_>, account: &AccountId, user: &str) -> Result<bool, StoreError> {
    let unused = tx.execute(
        "DELETE FROM console_link WHERE account = $1 AND user_folded = $2 AND used = 0",
        params![account, user],
    )?;
    tx.execute("DELETE FROM console_link WHERE account = $1 AND user_folded = $2", params![account, user])?;
    Ok(unused > 0)
}

/// A link that nobody has used yet.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) user: SmolStr,
    pub(crate) user_id: SmolStr,
    pub(crate) created: Option<Timestamp>,
    pub(crate) expires: Timestamp,
    /// ARN of whoever made it in the console.
    pub(crate) maker: Option<String>,
}

/// The links of an account that work.
pub(crate) fn waiting(identity: &Identity, account: &AccountId, now: Timestamp) -> Result<Vec<Waiting>, CallError> {
    identity.read_sign_in(|snapshot| {
        Ok(snapshot.query_all(
            "SELECT user_folded, user_id, created_at, expires_at, made_by FROM console_link
             WHERE account = $1 AND used = 0 AND expires_at > $2 ORDER BY user_folded",
            params![account, now],
            |row| {
                Ok::<_, StoreError>(Waiting {
                    user: row.get(0)?,
                    user_id: row.get(1)?,
                    created: row.get(2)?,
                    expires: row.get(3)?,
                    maker: row.get(4)?,
                })
            },
        )?)
    })
}

/// Whom a link is for, if it still works.
pub(crate) fn find(identity: &Identity, hash: &TokenHash, now: Timestamp) -> Result<Option<Linked>, CallError> {
    identity.read_sign_in(|snapshot| {
        snapshot.query_opt(
            "SELECT account, user_folded, user_id FROM console_link WHERE hash = $1 AND used = 0 AND expires_at > $2",
            params![*hash, now],
            |row| Ok(Linked { account: row.parse(0)?, user: row.get(1)?, user_id: row.get(2)? }),
        )
    })
}

/// Uses a link up.
///
/// # Errors
/// `AccessDeniedException` when somebody was faster.
pub(crate) fn spend(tx: &mut Tx<'_>, hash: &TokenHash) -> Result<(), CallError> {
    let changed = tx.execute("UPDATE console_link SET used = 1 WHERE hash = $1 AND used = 0", params![*hash])?;
    if changed == 0 { Err(CallError::from(fault::wrong_link())) } else { Ok(()) }
}

/// The answer for a link that is none.
pub(crate) fn refused() -> ApiError {
    fault::wrong_link()
}
