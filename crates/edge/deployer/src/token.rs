//! Another token, or another PIN for it: tried before anything is touched (CC 11). What cannot be used would cut the core off at its next
//! start, and the deployment that mends it would never arrive.

use std::collections::BTreeMap;

use marram_deploy::{ErrorCode, Failure, setting};
use serde_json::Value;
use smol_str::SmolStr;

use crate::Inner;

/// The component whose configuration names library, slot and PIN.
const PROVIDER: &str = "aws.greengrass.crypto.Pkcs11Provider";
/// What leads to the key.
const KEYS: [&str; 3] = ["library", "slot", "userPin"];

/// Whether the deployment changes the way to the device's key. One that does not lead there fails it here.
pub(crate) async fn attempt(inner: &Inner, trees: &BTreeMap<SmolStr, Value>) -> Result<(), Failure> {
    let Some(port) = &inner.ports.token else { return Ok(()) };
    // A deployment that does not list the provider leaves it as it is.
    let Some(new) = trees.get(PROVIDER).and_then(|tree| tree.get("configuration")) else { return Ok(()) };
    let before = inner.ports.nucleus.get(&["services", PROVIDER, "configuration"]).unwrap_or_default();
    if KEYS.iter().all(|key| setting(&before, &[key]) == setting(new, &[key])) {
        return Ok(());
    }
    inner.waiting("the token to open with its new settings");
    let tried = port.attempt(new.clone()).await;
    inner.waiting_over();
    tried.map_err(|why| {
        let cause = format!("the token cannot be used with the new settings of {PROVIDER}: {why}");
        Failure::new(ErrorCode::ComponentConfigurationNotValid, cause)
    })
}
