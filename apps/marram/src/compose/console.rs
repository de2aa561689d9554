//! The web console as part of the control plane.

use anyhow::Context;
use marram_console::{Console, ConsoleOptions};
use marram_identity::Identity;
use marram_store::Store;

/// Opens the console over its tables.
pub(super) fn open(store: &Store, identity: &Identity, options: ConsoleOptions) -> anyhow::Result<Console> {
    store.migrate(marram_console::MIGRATIONS).context("cannot prepare the console's tables")?;
    Console::open(store.clone(), identity.clone(), options).context("cannot open the console")
}
