//! Components that the original cores have within themselves but ask the cloud for all the same (control-plane-api 6.3).

use std::collections::BTreeMap;

use marram_identity::CallError;
use marram_registry::Realm;
use marram_store::Snapshot;
use marram_types::Timestamp;
use marram_version::{Requirement, Version};
use serde_json::{Map, json};
use smol_str::SmolStr;

use super::Component;
use super::lite::is_lite;
use crate::core;

/// The nucleus lite itself: deployments carry its settings under this name, at the version that the core has.
pub(crate) const NUCLEUS_LITE: &str = "aws.greengrass.NucleusLite";
/// The other nucleus has this within, and knows it from its class once it has a recipe of that name.
const TOKEN_EXCHANGE: &str = "aws.greengrass.TokenExchangeService";

/// The recipe that lets the asking core find what it has within. `things` are those of its certificate.
pub(super) fn within(
    snapshot: &Snapshot<'_>,
    realm: &Realm,
    name: &str,
    ranges: &[Requirement],
    attributes: &BTreeMap<String, String>,
    things: &[SmolStr],
) -> Result<Option<Component>, CallError> {
    let mut candidates = Vec::new();
    match name {
        NUCLEUS_LITE if is_lite(attributes) => {
            for thing in things {
                candidates.extend(core::find(snapshot, realm, thing)?.map(|core| core.version().to_owned()));
            }
        }
        TOKEN_EXCHANGE => {
            candidates.extend(marram_deploy::builtin(name).map(|builtin| builtin.version.to_owned()));
        }
        _ => {}
    }
    let fits =
        |text: &String| text.parse::<Version>().is_ok_and(|version| ranges.iter().all(|range| range.matches(&version)));
    let Some(version) = candidates.into_iter().find(fits) else { return Ok(None) };
    let recipe = json!({
        "RecipeFormatVersion": "2020-01-25", "ComponentName": name, "ComponentVersion": version,
        "ComponentType": "aws.greengrass.generic", "Manifests": [{"Platform": {"os": "*", "runtime": "*"}, "Lifecycle": {}, "Artifacts": []}],
    });
    Ok(Some(Component {
        name: name.to_owned(),
        version,
        state: "DEPLOYABLE".to_owned(),
        message: String::new(),
        errors: Map::new(),
        recipe: recipe.to_string(),
        artifacts: Vec::new(),
        created_at: Timestamp::from_millis(0),
    }))
}
