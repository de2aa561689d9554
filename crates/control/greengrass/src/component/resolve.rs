//! `ResolveComponentCandidates` (control-plane-api 6.3): one version for each candidate, dependencies not expanded.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use marram_aws_api::ApiError;
use marram_deploy::SIGNATURE_MEMBER;
use marram_identity::{CallContext, CallError};
use marram_recipe::read;
use marram_registry::{Realm, shown};
use marram_store::Snapshot;
use marram_version::{Requirement, Version};
use serde_json::{Value, json};
use smol_str::SmolStr;

use super::within::within;
use super::{Component, lite, versions};
use crate::{Greengrass, fault, place};

/// Why a candidate has no version.
enum Unresolved {
    /// None satisfies the ranges.
    Versions,
    /// None is for this platform.
    Platform,
}

/// Resolves each candidate. Devices are asked for the action on `*`, others on the version found (control-plane-api 3.7, 6.4).
pub(crate) async fn resolve(greengrass: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = place::realm(ctx);
    let is_device = ctx.principal.device_things().is_some();
    let things = ctx.principal.device_things().unwrap_or_default();
    if is_device {
        drop(ctx.authorize(ctx.operation.iam_action, "*", |_| {})?);
    }
    let attributes: BTreeMap<String, String> = input["platform"]["attributes"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect();
    let candidates = input["componentCandidates"].as_array().cloned().unwrap_or_default();
    if candidates.is_empty() {
        drop(ctx.authorize(ctx.operation.iam_action, "*", |_| {})?);
        return Err(fault::field("componentCandidates", "At least one component candidate is required."));
    }
    let mut resolved = Vec::new();
    for candidate in &candidates {
        let name = candidate["componentName"].as_str().unwrap_or_default();
        let ranges = requirements(candidate);
        let found = match &ranges {
            Ok(ranges) => ctx.read(|snapshot| choose(snapshot, &realm, name, ranges, &attributes, things))?,
            Err(_) => Err(Unresolved::Versions),
        };
        if !is_device {
            let version = found.as_ref().map_or("*", |component| component.version.as_str());
            let arn = place::component_version(&realm, name, version);
            drop(ctx.authorize(ctx.operation.iam_action, &arn, |_| {})?);
        }
        ranges?;
        let mut component = found.map_err(|why| refusal(name, candidate, &why))?;
        if lite::is_lite(&attributes) {
            component.recipe = lite::shaped(&component.recipe);
        }
        let arn = component.arn(&realm);
        let signature =
            greengrass.parts.key.sign_recipe(&arn, &component.name, &component.version, component.recipe.as_bytes());
        resolved.push(json!({
            "arn": arn, "componentName": component.name, "componentVersion": component.version,
            "recipe": STANDARD.encode(&component.recipe), "vendorGuidance": "ACTIVE",
            SIGNATURE_MEMBER: signature,
        }));
    }
    Ok(json!({"resolvedComponentVersions": resolved}))
}

/// The ranges that all must hold.
fn requirements(candidate: &Value) -> Result<Vec<Requirement>, ApiError> {
    candidate["versionRequirements"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(who, range)| {
            let text = range.as_str().unwrap_or_default();
            text.parse().map_err(|_| {
                let message = format!("The version requirement {} of {} cannot be read.", shown(text), shown(who));
                fault::field("versionRequirements", message)
            })
        })
        .collect()
}

/// The highest deployable version within all ranges whose manifests know the platform.
fn choose(
    snapshot: &Snapshot<'_>,
    realm: &Realm,
    name: &str,
    ranges: &[Requirement],
    attributes: &BTreeMap<String, String>,
    things: &[SmolStr],
) -> Result<Result<Component, Unresolved>, CallError> {
    let mut why = Unresolved::Versions;
    for component in versions(snapshot, realm, name)? {
        let Ok(version) = component.version.parse::<Version>() else { continue };
        if !component.is_deployable() || !ranges.iter().all(|range| range.matches(&version)) {
            continue;
        }
        let fits = read(component.recipe.as_bytes()).recipe.is_some_and(|recipe| match lite::is_lite(attributes) {
            false => recipe.manifests.is_empty() || recipe.manifest_for(attributes).is_some(),
            true => recipe.manifests.iter().any(|one| lite::takes(one, attributes)),
        });
        if fits {
            return Ok(Ok(component));
        }
        why = Unresolved::Platform;
    }
    let own = within(snapshot, realm, name, ranges, attributes, things)?;
    Ok(own.ok_or(why))
}

/// Both nuclei choose the error they show by words in the message (control-plane-api 6.3).
fn refusal(name: &str, candidate: &Value, why: &Unresolved) -> ApiError {
    let shown_name = shown(name);
    let asked = candidate["versionRequirements"].as_object().into_iter().flatten();
    let ranges = asked.map(|(who, range)| format!("{} of {who}", range.as_str().unwrap_or_default()));
    let ranges = shown(&ranges.collect::<Vec<_>>().join(", "));
    let message = match why {
        Unresolved::Versions => {
            format!("Component {shown_name} has no usable version satisfying the requirements {ranges}.")
        }
        Unresolved::Platform => {
            format!(
                "The versions of component {shown_name} within the requirements {ranges} do not claim platform compatibility."
            )
        }
    };
    ApiError::not_found(message).with("resourceId", name).with("resourceType", "component")
}
