//! Passkeys as rows.

use marram_identity::CallError;
use marram_store::{Row, Snapshot, StoreError, Tx, params};
use marram_types::{AccountId, Timestamp};
use smol_str::SmolStr;

use super::ceremony::{Made, Used};

/// A passkey that is kept.
#[derive(Clone, Debug)]
pub(crate) struct Passkey {
    /// Id of the credential: the only one of the installation.
    pub(crate) id: Vec<u8>,
    pub(crate) account: AccountId,
    /// Folded name.
    pub(crate) user: SmolStr,
    /// `AIDA..` of the user it was made for.
    pub(crate) user_id: SmolStr,
    /// The host it was made at.
    pub(crate) party: String,
    /// What its person calls it.
    pub(crate) name: String,
    /// COSE.
    pub(crate) key: Vec<u8>,
    pub(crate) counter: u32,
    pub(crate) backup_eligible: bool,
    pub(crate) backed_up: bool,
    pub(crate) created: Timestamp,
    pub(crate) used: Option<Timestamp>,
}

const COLUMNS: &str = "credential, account, user_folded, user_id, party, name, public_key, counter, backup_eligible, \
    backed_up, created_at, used_at";

fn of_row(row: &Row<'_>) -> Result<Passkey, StoreError> {
    Ok(Passkey {
        id: row.get(0)?,
        account: row.parse(1)?,
        user: row.get(2)?,
        user_id: row.get(3)?,
        party: row.get(4)?,
        name: row.get(5)?,
        key: row.get(6)?,
        counter: row.get(7)?,
        backup_eligible: row.get(8)?,
        backed_up: row.get(9)?,
        created: row.get(10)?,
        used: row.get(11)?,
    })
}

impl Passkey {
    /// The passkey with this id.
    pub(crate) fn find(snapshot: &Snapshot<'_>, id: &[u8]) -> Result<Option<Passkey>, CallError> {
        let sql = format!("SELECT {COLUMNS} FROM console_passkey WHERE credential = $1");
        Ok(snapshot.query_opt(&sql, params![id], of_row)?)
    }

    /// The passkeys of a user, the oldest first.
    pub(crate) fn of_user(
        snapshot: &Snapshot<'_>,
        account: &AccountId,
        user: &str,
        user_id: &str,
    ) -> Result<Vec<Passkey>, CallError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM console_passkey WHERE account = $1 AND user_folded = $2 AND user_id = $3
             ORDER BY created_at, credential"
        );
        Ok(snapshot.query_all(&sql, params![account, user, user_id], of_row)?)
    }

    /// Stores a new one; `false` when the installation has a credential by that id already.
    pub(crate) fn insert(&self, tx: &mut Tx<'_>, made: &Made) -> Result<bool, StoreError> {
        let stored = tx.execute(
            "INSERT INTO console_passkey
               (credential, account, user_folded, user_id, party, name, public_key, aaguid, counter, backup_eligible,
                backed_up, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
             ON CONFLICT (credential) DO NOTHING",
            params![
                self.id,
                self.account,
                self.user,
                self.user_id,
                self.party,
                self.name,
                self.key,
                made.aaguid,
                self.counter,
                self.backup_eligible,
                self.backed_up,
                self.created
            ],
        )?;
        Ok(stored > 0)
    }

    /// Notes a use; `false` when the passkey is gone or was used with that counter or a later one meanwhile.
    pub(crate) fn note_use(tx: &mut Tx<'_>, id: &[u8], used: Used, now: Timestamp) -> Result<bool, StoreError> {
        let changed = tx.execute(
            "UPDATE console_passkey SET counter = $1, backed_up = $2, used_at = $3
             WHERE credential = $4 AND (counter < $1 OR (counter = 0 AND $1 = 0))",
            params![used.counter, used.backed_up, now, id],
        )?;
        Ok(changed > 0)
    }

    /// Calls it something else; `false` when the user has no such passkey.
    pub(crate) fn rename(
        tx: &mut Tx<'_>,
        account: &AccountId,
        user_id: &str,
        id: &[u8],
        name: &str,
    ) -> Result<bool, StoreError> {
        let changed = tx.execute(
            "UPDATE console_passkey SET name = $1 WHERE credential = $2 AND account = $3 AND user_id = $4",
            params![name, id, account, user_id],
        )?;
        Ok(changed > 0)
    }

    /// Removes it; `false` when the user has no such passkey.
    pub(crate) fn remove(tx: &mut Tx<'_>, account: &AccountId, user_id: &str, id: &[u8]) -> Result<bool, StoreError> {
        let changed = tx.execute(
            "DELETE FROM console_passkey WHERE credential = $1 AND account = $2 AND user_id = $3",
            params![id, account, user_id],
        )?;
        Ok(changed > 0)
    }

    /// Removes all that bear the name of a user, whoever it was.
    pub(crate) fn remove_all(tx: &mut Tx<'_>, account: &AccountId, user: &str) -> Result<u64, StoreError> {
        tx.execute("DELETE FROM console_passkey WHERE account = $1 AND user_folded = $2", params![account, user])
    }
}
