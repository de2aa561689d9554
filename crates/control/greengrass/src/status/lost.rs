//! Cores that lost what was deployed to them: a new disk, an older image (CR 4.13).
//!
//! The control plane holds a group's deployment for done on such a core, and nothing would ever come of it again. A core that starts tells all
//! its components with the configurations they came from: what is missing there is given once more. A deployment to the thing itself stands
//! in its shadow, where the core sees by itself that it did not do it.

use std::collections::BTreeSet;

use marram_identity::CallError;
use marram_registry::Realm;
use marram_store::Tx;
use marram_types::Timestamp;
use serde_json::Value;

use crate::Greengrass;
use crate::deployment::succeeded_on;
use crate::watch::texts;

/// Looks at what a core told at its start, all of it.
pub(super) fn give_again(
    greengrass: &Greengrass,
    tx: &mut Tx<'_>,
    realm: &Realm,
    thing: &str,
    status: &Value,
    now: Timestamp,
) -> Result<(), CallError> {
    let components = status["components"].as_array().map(Vec::as_slice).unwrap_or_default();
    let told: BTreeSet<(&str, String)> = components
        .iter()
        .filter_map(|component| Some((component["componentName"].as_str()?, texts(&component["fleetConfigArns"]))))
        .flat_map(|(name, arns)| arns.into_iter().map(move |arn| (name, arn)))
        .collect();
    for deployment in succeeded_on(tx, realm, thing)? {
        let arn = deployment.configuration_arn(realm);
        // Whether the core's own parts are told is the core's affair.
        let mut roots = deployment.roots().filter(|name| marram_deploy::builtin(name).is_none());
        let Some(job) = deployment.job.as_deref().filter(|_| roots.any(|name| !told.contains(&(name, arn.clone()))))
        else {
            continue;
        };
        tracing::warn!(thing, deployment = deployment.id, "a core lost a deployment: it is given again");
        greengrass.parts.jobs.give_again(tx, realm, job, thing, now)?;
    }
    Ok(())
}
