//! The document a device gets (control-plane-api 7.3).

use marram_registry::Realm;
use serde_json::{Map, Value, json};

use super::Deployment;
use crate::signature::DeploymentKey;

/// The named shadow that carries deployments to a thing.
pub(crate) const SHADOW: &str = "AWSManagedGreengrassV2Deployment";

/// Characters of a document that a job takes, with room for what the service adds (control-plane-api 7.3).
pub(crate) const MAX_IN_JOB: usize = 31_000;
/// Bytes of a document that a shadow takes: it stands there as a text, its quotes escaped (control-plane-api 7.3).
pub(crate) const MAX_IN_SHADOW: usize = 7_000;

/// The whole document, signed.
pub(crate) fn whole(realm: &Realm, key: &DeploymentKey, deployment: &Deployment) -> Value {
    let mut document = frame(realm, deployment);
    let mut components = Map::new();
    let mut limits = false;
    for (name, entry) in deployment.request["components"].as_object().into_iter().flatten() {
        let mut component = Map::new();
        component.insert("version".to_owned(), entry["componentVersion"].clone());
        if let Some(run_with) = entry["runWith"].as_object() {
            limits |= run_with.contains_key("systemResourceLimits");
            component.insert("runWith".to_owned(), Value::Object(run_with.clone()));
        }
        if let Some(update) = entry["configurationUpdate"].as_object() {
            let mut changed = Map::new();
            // Text in the API, an object here. It was checked when it came.
            if let Some(merge) = update.get("merge").and_then(Value::as_str) {
                changed.insert("merge".to_owned(), serde_json::from_str(merge).unwrap_or_default());
            }
            if let Some(reset) = update.get("reset") {
                changed.insert("reset".to_owned(), reset.clone());
            }
            component.insert("configurationUpdate".to_owned(), Value::Object(changed));
        }
        components.insert(name.clone(), Value::Object(component));
    }
    document.insert("components".to_owned(), Value::Object(components));
    let mut capabilities = Vec::new();
    if limits {
        capabilities.push("LINUX_RESOURCE_LIMITS");
    }
    if deployment.parent.is_some() {
        capabilities.push("SUB_DEPLOYMENTS");
    }
    document.insert("requiredCapabilities".to_owned(), json!(capabilities));
    key.sign(&mut document);
    Value::Object(document)
}

/// What stands in for a document that is too large: the device fetches the whole (control-plane-api 7.3).
pub(crate) fn reference(realm: &Realm, key: &DeploymentKey, deployment: &Deployment) -> Value {
    let mut document = frame(realm, deployment);
    document.insert("requiredCapabilities".to_owned(), json!(["LARGE_CONFIGURATION"]));
    key.sign(&mut document);
    Value::Object(document)
}

fn frame(realm: &Realm, deployment: &Deployment) -> Map<String, Value> {
    let policies = &deployment.request["deploymentPolicies"];
    let update = &policies["componentUpdatePolicy"];
    let mut document = Map::new();
    let mut put = |name: &str, value: Value| drop(document.insert(name.to_owned(), value));
    put("deploymentId", json!(deployment.id));
    if let Some(name) = &deployment.name {
        put("deploymentName", json!(name));
    }
    put("configurationArn", json!(deployment.configuration_arn(realm)));
    put("creationTimestamp", json!(deployment.created_at.as_millis()));
    put("failureHandlingPolicy", policies["failureHandlingPolicy"].clone());
    put("componentUpdatePolicy", json!({"timeout": update["timeoutInSeconds"], "action": update["action"]}));
    put(
        "configurationValidationPolicy",
        json!({"timeout": policies["configurationValidationPolicy"]["timeoutInSeconds"]}),
    );
    if let Some(parent) = &deployment.parent {
        put("parentTargetArn", json!(realm.arn(parent)));
        put("onBehalfOf", json!(parent.strip_prefix("thinggroup/").unwrap_or(parent)));
    }
    put("targetArn", json!(realm.arn(&deployment.target)));
    document
}
