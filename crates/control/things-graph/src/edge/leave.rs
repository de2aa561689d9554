//! Cores that leave a target: nobody waits for their word any more (TG 7.5).

use marram_identity::CallError;
use marram_registry::{MembershipChange, MembershipWatch};
use marram_store::Tx;
use marram_types::Timestamp;

use super::report;
use crate::realm::Realm;
use crate::service::ThingsGraph;

impl MembershipWatch for ThingsGraph {
    fn on_membership_changed(
        &self,
        tx: &mut Tx<'_>,
        realm: &marram_registry::Realm,
        change: &MembershipChange<'_>,
        now: Timestamp,
    ) -> Result<(), CallError> {
        let Some(port) = self.inner.greengrass.get().filter(|_| !change.joined) else { return Ok(()) };
        let realm = Realm::from(realm);
        for thing in change.things {
            let keys = report::told_by(tx, &realm, thing)?;
            report::release(tx, &**port, &*self.inner.things, &realm, &keys, now)?;
        }
        Ok(())
    }
}

impl ThingsGraph {
    /// A core device was deleted: what it said of its flows is forgotten, until it speaks again.
    ///
    /// # Errors
    /// The store's.
    pub fn on_core_deleted(
        &self,
        tx: &mut Tx<'_>,
        realm: &marram_registry::Realm,
        thing: &str,
        now: Timestamp,
    ) -> Result<(), CallError> {
        let Some(port) = self.inner.greengrass.get() else { return Ok(()) };
        let realm = Realm::from(realm);
        let keys = report::told_by(tx, &realm, thing)?;
        report::forget(tx, &realm, thing)?;
        report::release(tx, &**port, &*self.inner.things, &realm, &keys, now)
    }
}
