//! One-time links: how somebody who has no password yet gets in (SEC-65).

use std::time::Duration;

use marram_aws_api::ApiError;
use marram_identity::{CallError, Identity, Principal};
use marram_store::{Tx, params};
use marram_types::{AccountId, Region, Timestamp};
use serde_json::json;
use smol_str::SmolStr;

use crate::fault;
use crate::session::folded_name;
use crate::token::{Token, TokenHash};

/// Who makes links, in the audit log.
const ACTOR: &str = "signin.amazonaws.com";
/// How long a link works (SEC-65).
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
    identity
        .system(ACTOR, account.clone(), region.clone())
        .commit_with("CreateConsoleLink", details, move |tx| {
            tx.execute("DELETE FROM console_link WHERE account = $1 AND user_folded = $2", params![account, user])?;
            tx.execute(
                "INSERT INTO console_link (hash, account, user_folded, user_id, expires_at, used)
                 VALUES ($1, $2, $3, $4, $5, 0)",
                params![hash, account, user, user_id, expires],
            )?;
            Ok(())
        })
        .await?;
    Ok(FirstLink { token })
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
