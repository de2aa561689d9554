//! A core without an identity gets one with a claim certificate (CR 5.5, CP 5.10).
//!
//! It happens beside everything else: components and local deployments need no control plane. When it is done the program
//! starts anew as itself, because nearly every part is bound to the name of its thing.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use marram_claim::{Claim, ClaimSettings};
use marram_configuration::{Origin, Write};
use marram_edge_ports::Nucleus;
use marram_nucleus::NucleusHandle;
use marram_types::{Clock, SystemClock};
use serde_json::Value;
use tokio::sync::watch;

use crate::token::DeviceIdentity;

/// The component whose configuration holds the claim.
const COMPONENT: &str = "aws.greengrass.FleetProvisioningByClaim";

/// Why there is no identity yet, for the doctor. A cheap clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Obstacle(Arc<Mutex<Option<String>>>);

impl Obstacle {
    /// What the last try ended with; none when nothing was tried or the identity is there.
    pub(crate) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, why: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
}

/// Starts the claim of a core that has none of an identity; the receiver turns true when the configuration holds a new one.
pub(crate) fn start(nucleus: &NucleusHandle, identity: &DeviceIdentity, obstacle: &Obstacle) -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    let Some(configuration) = nucleus.get(&["services", COMPONENT, "configuration"]) else { return receiver };
    let thing = nucleus.get(&["system", "thingName"]);
    let has_identity = thing.as_ref().and_then(Value::as_str).is_some_and(|name| !name.is_empty());
    let settings = match ClaimSettings::from_configuration(&configuration) {
        Ok(settings) => settings,
        Err(error) if has_identity => {
            tracing::debug!(%error, "the claim that is not needed any more cannot be read");
            return receiver;
        }
        Err(error) => {
            tracing::error!(%error, "{COMPONENT}: this core has no identity and cannot get one");
            obstacle.set(Some(error.to_string()));
            return receiver;
        }
    };
    let identity = identity.clone();
    let find_key = move |uri: &str| identity.remote_key(uri).map_err(|error| format!("{error:#}"));
    let claim = Claim::new(settings).with_tokens(Box::new(find_key));
    if has_identity {
        // Power may have gone between the configuration and this.
        if let Err(error) = claim.finish() {
            tracing::warn!(%error, "what is left of the claim cannot be removed");
        }
        return receiver;
    }
    let (nucleus, obstacle) = (nucleus.clone(), obstacle.clone());
    tokio::spawn(async move {
        match provision(&claim, &nucleus, &obstacle).await {
            Ok(()) => drop(sender.send_replace(true)),
            Err(error) => tracing::error!("the new identity is not taken up: {error:#}"),
        }
    });
    receiver
}

async fn provision(claim: &Claim, nucleus: &NucleusHandle, obstacle: &Obstacle) -> anyhow::Result<()> {
    tracing::info!("this core has no identity: it asks for one with its claim");
    let provisioned = claim.run(|error| obstacle.set(Some(error.to_string()))).await;
    obstacle.set(None);
    let write = Write { time: SystemClock.now().as_millis(), origin: Origin::Runtime, force: true };
    let merge = |tree: &mut marram_configuration::Tree| {
        let nowhere: &[&str] = &[];
        tree.merge(nowhere, &provisioned.configuration(), &write)
    };
    // All of it or nothing: a thing name without endpoints would be a core that never asks again.
    nucleus.store().replace(merge).await.context("cannot keep the new identity")?;
    claim.finish().context("cannot remove what is left of the claim")
}
