//! Who hears of things that join or leave groups: continuous jobs follow their target groups.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use marram_identity::CallError;
use marram_store::{Tx, params};
use marram_types::Timestamp;

use crate::realm::Realm;

/// Things that joined or left one group. The tables tell the new memberships; the group itself still exists.
#[derive(Debug, Clone)]
pub struct MembershipChange<'a> {
    /// The group.
    pub group: &'a str,
    /// The things.
    pub things: &'a [String],
    /// They joined; else they left.
    pub joined: bool,
}

/// Hears of changes inside their transaction. An error undoes the change.
pub trait MembershipWatch: Send + Sync {
    /// Memberships changed.
    ///
    /// # Errors
    /// The store's.
    fn on_membership_changed(
        &self,
        tx: &mut Tx<'_>,
        realm: &Realm,
        change: &MembershipChange<'_>,
        now: Timestamp,
    ) -> Result<(), CallError>;
}

/// Those who want to hear.
#[derive(Default)]
pub(crate) struct MembershipWatches(RwLock<Vec<Arc<dyn MembershipWatch>>>);

impl fmt::Debug for MembershipWatches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MembershipWatches")
    }
}

impl MembershipWatches {
    pub(crate) fn add(&self, watch: Arc<dyn MembershipWatch>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(watch);
    }

    /// Tells of things that joined or left.
    pub(crate) fn tell(
        &self,
        tx: &mut Tx<'_>,
        realm: &Realm,
        change: &MembershipChange<'_>,
        now: Timestamp,
    ) -> Result<(), CallError> {
        if change.things.is_empty() {
            return Ok(());
        }
        let watches = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        watches.iter().try_for_each(|watch| watch.on_membership_changed(tx, realm, change, now))
    }

    /// Takes a thing out of all its groups.
    pub(crate) fn leave_all(
        &self,
        tx: &mut Tx<'_>,
        realm: &Realm,
        thing: &str,
        now: Timestamp,
    ) -> Result<(), CallError> {
        let groups = tx.query_all(
            "SELECT group_name FROM iot_group_member WHERE account = $1 AND region = $2 AND thing = $3",
            params![realm.account, realm.region, thing],
            |row| Ok::<_, CallError>(row.get::<String>(0)?),
        )?;
        tx.execute(
            "DELETE FROM iot_group_member WHERE account = $1 AND region = $2 AND thing = $3",
            params![realm.account, realm.region, thing],
        )?;
        for group in groups {
            let change = MembershipChange { group: &group, things: &[thing.to_owned()], joined: false };
            self.tell(tx, realm, &change, now)?;
        }
        Ok(())
    }

    /// Takes every thing out of a group that is about to go.
    pub(crate) fn empty_group(
        &self,
        tx: &mut Tx<'_>,
        realm: &Realm,
        group: &str,
        now: Timestamp,
    ) -> Result<(), CallError> {
        let things = tx.query_all(
            "SELECT thing FROM iot_group_member WHERE account = $1 AND region = $2 AND group_name = $3",
            params![realm.account, realm.region, group],
            |row| Ok::<_, CallError>(row.get::<String>(0)?),
        )?;
        tx.execute(
            "DELETE FROM iot_group_member WHERE account = $1 AND region = $2 AND group_name = $3",
            params![realm.account, realm.region, group],
        )?;
        self.tell(tx, realm, &MembershipChange { group, things: &things, joined: false }, now)
    }
}
