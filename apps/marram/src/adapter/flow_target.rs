//! Flows on cores: the target GREENGRASS, answered by the deployments of Greengrass (TG 7.4).
//!
//! Every step is a call of the service in the caller's name: authorized, audited, as if the caller had made it. What the
//! target's latest deployment has stays; only the flow component's own member of the configuration is replaced.

use marram_aws_api::{ApiError, ServiceId};
use marram_greengrass::{CoreWatch, Greengrass};
use marram_identity::{BoxFuture, CallContext, CallError, CallFacts, Identity, Service};
use marram_objects::Objects;
use marram_store::{Snapshot, Tx};
use marram_things_graph::{FlowComponent, FlowTarget, GreengrassTarget, GroupMembers, Realm, Sent, ThingsGraph};
use marram_types::{RequestId, Timestamp};
use serde_json::{Value, json};

/// Members of a deployment that the next one of the target takes over.
const KEPT: [&str; 5] = ["deploymentName", "deploymentPolicies", "iotJobConfiguration", "parentTargetArn", "tags"];

/// The DSSE payload type of an artifact's manifest.
const ARTIFACT_TYPE: &str = "application/vnd.marram.flow-artifact+json";

/// Deployments of Greengrass.
pub struct GreengrassFlows {
    identity: Identity,
    greengrass: Greengrass,
    objects: Objects,
}

impl GreengrassFlows {
    /// Deployments go to `greengrass`, artifacts to `objects`.
    pub fn new(identity: Identity, greengrass: Greengrass, objects: Objects) -> GreengrassFlows {
        GreengrassFlows { identity, greengrass, objects }
    }

    /// A call of the same caller to another service.
    fn context(
        &self,
        ctx: &CallContext,
        service: ServiceId,
        operation: &str,
        input: &Value,
    ) -> Result<CallContext, ApiError> {
        let operation = service.operation(operation).ok_or_else(|| ApiError::not_supported(operation))?;
        let facts = CallFacts {
            region: ctx.region.clone(),
            request_id: RequestId::fresh(),
            source_ip: ctx.source_ip,
            user_agent: ctx.user_agent.clone(),
            now: ctx.now,
            operation,
            request_parameters: input.clone(),
            tls: ctx.tls.clone(),
        };
        Ok(self.identity.context(ctx.principal.clone(), facts))
    }

    async fn call(&self, ctx: &CallContext, operation: &str, input: Value) -> Result<Value, ApiError> {
        let own = self.context(ctx, ServiceId::GreengrassV2, operation, &input)?;
        let answer = self.greengrass.call(&own, own.operation, input).await;
        own.finish(&answer);
        answer
    }

    /// The latest deployment of the target that is or was meant to be in force.
    async fn latest(&self, ctx: &CallContext, target: &FlowTarget) -> Result<Value, ApiError> {
        let list = self.call(ctx, "ListDeployments", json!({ "targetArn": target.arn })).await?;
        match list.pointer("/deployments/0/deploymentId").and_then(Value::as_str) {
            Some(id) => self.call(ctx, "GetDeployment", json!({ "deploymentId": id })).await,
            None => Ok(json!({})),
        }
    }
}

impl std::fmt::Debug for GreengrassFlows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GreengrassFlows")
    }
}

impl GreengrassTarget for GreengrassFlows {
    fn resolve(&self, snapshot: &Snapshot<'_>, realm: &Realm, name: &str) -> Result<Option<FlowTarget>, CallError> {
        GroupMembers.resolve(snapshot, realm, name)
    }

    fn includes(&self, snapshot: &Snapshot<'_>, realm: &Realm, resource: &str, thing: &str) -> Result<bool, CallError> {
        GroupMembers.includes(snapshot, realm, resource, thing)
    }

    fn may_store(&self, ctx: &CallContext, bucket: &str, key: &str) -> Result<(), ApiError> {
        let own = self.context(ctx, ServiceId::S3, "PutObject", &place(bucket, key))?;
        self.objects.may_write(&own, bucket, key)
    }

    fn store<'a>(
        &'a self,
        ctx: &'a CallContext,
        bucket: &'a str,
        key: &'a str,
        bytes: Vec<u8>,
    ) -> BoxFuture<'a, Result<(), ApiError>> {
        Box::pin(async move {
            let own = self.context(ctx, ServiceId::S3, "PutObject", &place(bucket, key))?;
            let answer = self.objects.put(&own, bucket, key, "application/gzip", bytes).await.map(|()| json!({}));
            own.finish(&answer);
            answer.map(drop)
        })
    }

    fn discard<'a>(
        &'a self,
        ctx: &'a CallContext,
        bucket: &'a str,
        key: &'a str,
    ) -> BoxFuture<'a, Result<(), ApiError>> {
        Box::pin(async move {
            let own = self.context(ctx, ServiceId::S3, "DeleteObject", &place(bucket, key))?;
            let answer = self.objects.delete(&own, bucket, key).await.map(|()| json!({}));
            own.finish(&answer);
            answer.map(drop)
        })
    }

    fn sign(&self, manifest: &[u8]) -> Value {
        self.greengrass.sign_detached(ARTIFACT_TYPE, manifest)
    }

    fn sign_package(&self, message: &[u8]) -> Vec<u8> {
        self.greengrass.sign_bare(message)
    }

    fn send<'a>(
        &'a self,
        ctx: &'a CallContext,
        target: &'a FlowTarget,
        component: FlowComponent,
    ) -> BoxFuture<'a, Result<Option<Sent>, ApiError>> {
        Box::pin(async move {
            let before = self.latest(ctx, target).await?;
            let mut components = before["components"].as_object().cloned().unwrap_or_default();
            let own = components.remove(component.name);
            if component.value.is_none() && own.is_none() {
                return Ok(None);
            }
            components.insert(component.name.to_owned(), merged(own, &component));
            let mut input = json!({ "targetArn": target.arn, "components": components });
            for member in KEPT {
                if !before[member].is_null() {
                    input[member] = before[member].clone();
                }
            }
            let made = self.call(ctx, "CreateDeployment", input).await?;
            let deployment_id = made["deploymentId"].as_str().unwrap_or_default().to_owned();
            let list = self.call(ctx, "GetDeployment", json!({ "deploymentId": deployment_id })).await?;
            let revision = list["revisionId"].as_str().unwrap_or_default().to_owned();
            Ok(Some(Sent { deployment_id, revision }))
        })
    }
}

/// Tells flows of core devices that were deleted.
#[derive(Debug)]
pub struct FlowCores(pub ThingsGraph);

impl CoreWatch for FlowCores {
    fn on_core_deleted(
        &self,
        tx: &mut Tx<'_>,
        realm: &marram_registry::Realm,
        thing: &str,
        now: Timestamp,
    ) -> Result<(), CallError> {
        self.0.on_core_deleted(tx, realm, thing, now)
    }
}

/// The members of a request for one object.
fn place(bucket: &str, key: &str) -> Value {
    json!({ "bucketName": bucket, "key": key })
}

/// The component's entry of the next deployment. It stays when nothing is left: a part of the runtime that is listed no more keeps
/// its configuration on the core, and the reset would never arrive.
fn merged(own: Option<Value>, component: &FlowComponent) -> Value {
    let mut entry = own.unwrap_or_else(|| json!({}));
    let update = &entry["configurationUpdate"];
    let merge = update["merge"].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let mut merge = merge.filter(Value::is_object).unwrap_or_else(|| json!({}));
    let mut resets = update["reset"].as_array().cloned().unwrap_or_default();
    let pointer = format!("/targets/{}", component.member.replace('~', "~0").replace('/', "~1"));
    if !resets.iter().any(|reset| reset == pointer.as_str()) {
        resets.push(pointer.into());
    }
    let mut targets = merge["targets"].as_object().cloned().unwrap_or_default();
    match &component.value {
        Some(value) => targets.insert(component.member.clone(), value.clone()),
        None => targets.remove(&component.member),
    };
    if targets.is_empty() {
        merge.as_object_mut().map(|merge| merge.remove("targets"));
    } else {
        merge["targets"] = Value::Object(targets);
    }
    if entry["componentVersion"].is_null() {
        entry["componentVersion"] = component.version.into();
    }
    entry["configurationUpdate"] = json!({ "merge": merge.to_string(), "reset": resets });
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(value: Option<Value>) -> FlowComponent {
        FlowComponent { name: "marram.FlowRuntime", version: "1.0.0", member: "thinggroup/a".to_owned(), value }
    }

    /// TG 7.4: what somebody configured by hand stays; the target's member is replaced as a whole, and taken back when nothing
    /// is left.
    #[test]
    fn the_entry_of_the_component_keeps_what_is_not_ours() {
        let first = merged(None, &component(Some(json!({"k": 1}))));
        assert_eq!(first["componentVersion"], "1.0.0");
        assert_eq!(first["configurationUpdate"]["reset"], json!(["/targets/thinggroup~1a"]));
        let merge: Value = serde_json::from_str(first["configurationUpdate"]["merge"].as_str().unwrap()).unwrap();
        assert_eq!(merge, json!({"targets": {"thinggroup/a": {"k": 1}}}));
        let gone = merged(Some(first), &component(None));
        assert_eq!(gone["configurationUpdate"], json!({"merge": "{}", "reset": ["/targets/thinggroup~1a"]}));

        let by_hand = json!({"componentVersion": "1.0.1", "configurationUpdate":
            {"merge": r#"{"modbus":{"default":"rtu:/dev/ttyS0"}}"#, "reset": ["/x"]}});
        let next = merged(Some(by_hand), &component(Some(json!({"k": 2}))));
        assert_eq!(next["componentVersion"], "1.0.1");
        let gone = merged(Some(next), &component(None));
        assert_eq!(gone["configurationUpdate"]["merge"], r#"{"modbus":{"default":"rtu:/dev/ttyS0"}}"#);
        assert_eq!(gone["configurationUpdate"]["reset"], json!(["/x", "/targets/thinggroup~1a"]));
    }
}
