//! The object store as part of the control plane.

use anyhow::Context;
use marram_identity::Identity;
use marram_objects::{DEFAULT_MAX_OBJECT, Objects, ObjectsOptions};
use marram_store::Store;
use marram_types::{Region, SharedClock};

use crate::data_dir::DataDir;
use crate::settings::Settings;

/// Opens the object store below the data directory.
pub(super) fn open(
    settings: &Settings,
    data: &DataDir,
    store: &Store,
    identity: &Identity,
    place: (&Region, &SharedClock),
    secret: Vec<u8>,
) -> anyhow::Result<Objects> {
    store.migrate(marram_objects::MIGRATIONS).context("cannot prepare the object store's tables")?;
    let options = ObjectsOptions {
        root: data.folder("objects")?,
        region: place.0.clone(),
        clock: place.1.clone(),
        hosts: settings.server_names().into_iter().filter(|name| name.parse::<std::net::IpAddr>().is_err()).collect(),
        max_object: DEFAULT_MAX_OBJECT,
        secret,
        base_url: format!("https://{}", settings.public_host()),
    };
    Objects::open(identity.clone(), store.clone(), options).context("cannot open the object store")
}
