//! What is kept of a person's password and second factor.

use marram_identity::{CallError, Identity, Principal};
use marram_store::{Snapshot, StoreError, Tx, params};
use marram_types::{AccountId, Timestamp};
use smol_str::SmolStr;

use crate::password::PasswordHash;

/// The credential of one IAM user.
#[derive(Clone, Debug)]
pub(crate) struct Credential {
    /// `AIDA..` of the user it was made for.
    pub(crate) user_id: SmolStr,
    pub(crate) password: PasswordHash,
    /// Sealed TOTP secret.
    pub(crate) factor: Vec<u8>,
    /// Codes of this step and earlier ones are used up.
    pub(crate) last_step: i64,
}

/// What a sealed second factor is bound to.
pub(crate) fn bound(account: &AccountId, user_id: &str) -> Vec<u8> {
    format!("{account}/{user_id}").into_bytes()
}

impl Credential {
    /// The credential of a user, by folded name.
    pub(crate) fn load(
        snapshot: &Snapshot<'_>,
        account: &AccountId,
        user: &str,
    ) -> Result<Option<Credential>, CallError> {
        snapshot.query_opt(
            "SELECT user_id, cost_kib, passes, salt, hash, factor, last_step FROM console_credential
             WHERE account = $1 AND user_folded = $2",
            params![account, user],
            |row| {
                Ok(Credential {
                    user_id: row.get(0)?,
                    password: PasswordHash {
                        cost_kib: row.get(1)?,
                        passes: row.get(2)?,
                        salt: row.get(3)?,
                        hash: row.get(4)?,
                    },
                    factor: row.get(5)?,
                    last_step: row.get(6)?,
                })
            },
        )
    }

    /// Whether anybody of the account can sign in, with a password or a passkey.
    pub(crate) fn any(identity: &Identity, account: &AccountId) -> Result<bool, CallError> {
        identity.read_sign_in(|snapshot| {
            let found = snapshot.query_opt(
                "SELECT user_folded FROM console_credential WHERE account = $1
                 UNION ALL SELECT user_folded FROM console_passkey WHERE account = $1 LIMIT 1",
                params![account],
                |row| row.get::<String>(0),
            )?;
            Ok(found.is_some())
        })
    }

    /// Stores it in place of what the user had.
    pub(crate) fn store(
        &self,
        tx: &mut Tx<'_>,
        account: &AccountId,
        user: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        tx.execute(
            "INSERT INTO console_credential
               (account, user_folded, user_id, cost_kib, passes, salt, hash, factor, last_step, changed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (account, user_folded) DO UPDATE
             SET user_id = excluded.user_id, cost_kib = excluded.cost_kib, passes = excluded.passes,
                 salt = excluded.salt, hash = excluded.hash, factor = excluded.factor,
                 last_step = excluded.last_step, changed_at = excluded.changed_at",
            params![
                account,
                user,
                self.user_id,
                self.password.cost_kib,
                self.password.passes,
                self.password.salt,
                self.password.hash,
                self.factor,
                self.last_step,
                now
            ],
        )?;
        Ok(())
    }

    /// Removes what bears the name of a user; `false` when there was nothing.
    pub(crate) fn remove(tx: &mut Tx<'_>, account: &AccountId, user: &str) -> Result<bool, StoreError> {
        let removed = tx.execute(
            "DELETE FROM console_credential WHERE account = $1 AND user_folded = $2",
            params![account, user],
        )?;
        Ok(removed > 0)
    }

    /// Uses up a step; `false` when it is used up already.
    pub(crate) fn use_step(tx: &mut Tx<'_>, account: &AccountId, user: &str, step: i64) -> Result<bool, StoreError> {
        let changed = tx.execute(
            "UPDATE console_credential SET last_step = $1 WHERE account = $2 AND user_folded = $3 AND last_step < $1",
            params![step, account, user],
        )?;
        Ok(changed > 0)
    }
}

/// The TOTP secret of a credential; a row that does not open signs nobody in.
pub(crate) fn secret_of(
    identity: &Identity,
    principal: &Principal,
    sealed: &[u8],
) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    let secret = identity.open_factor(&bound(&principal.account, &principal.unique_id), sealed);
    if secret.is_none() {
        tracing::error!(user = %principal.arn, "a stored second factor does not open with the master key");
    }
    secret
}
