//! `StartFlowExecution`, `AbortFlowExecution`: Marram's own, for the command line and the console (TG 11.1).

use marram_aws_api::ApiError;
use marram_flow_runtime::StartError;
use marram_identity::CallContext;
use serde_json::{Map, Value, json};

use crate::instance;
use crate::realm::{Realm, urn};
use crate::service::ThingsGraph;
use crate::tag;

impl ThingsGraph {
    /// Starts the flow in `role` of a deployment by hand; `parameters` by name. Answers `{"flowExecutionId"}`. Needs
    /// `iotthingsgraph:StartFlowExecution` on the deployment.
    ///
    /// # Errors
    /// `ResourceNotFoundException`: no such deployment. `InvalidRequestException`: not deployed, or wrong arguments.
    pub async fn start_flow_execution(
        &self,
        ctx: &CallContext,
        system_instance_id: &str,
        role: &str,
        parameters: Map<String, Value>,
    ) -> Result<Value, ApiError> {
        let id = self.authorize_run(ctx, system_instance_id, "iotthingsgraph:StartFlowExecution")?;
        let started = self.inner.runtime.start(&id, role, parameters).await;
        let execution = started.map_err(|error| match error {
            StartError::NoDeployment(_) => ApiError::invalid_request(format!("{id} is not deployed")),
            StartError::Journal(_) | StartError::Closed => {
                tracing::error!(%error, "an execution could not be started");
                ApiError::internal()
            }
            wrong => ApiError::invalid_request(wrong.to_string()),
        })?;
        Ok(json!({ "flowExecutionId": execution.as_str() }))
    }

    /// Aborts a running execution. Needs `iotthingsgraph:AbortFlowExecution` on its deployment.
    ///
    /// # Errors
    /// `ResourceNotFoundException`: no such execution. `InvalidRequestException`: it is over.
    pub async fn abort_flow_execution(&self, ctx: &CallContext, execution: &str) -> Result<Value, ApiError> {
        let realm = Realm::of(ctx);
        let deployment = self.inner.history.deployment_of(realm.account.as_str(), realm.region.as_str(), execution);
        let deployment = deployment.map_err(|error| {
            tracing::error!(%error, "the history could not be read");
            ApiError::internal()
        })?;
        // An execution the index does not know yet still carries nothing that tells its deployment.
        let deployment = deployment.ok_or_else(|| ApiError::not_found("The flow execution does not exist"))?;
        let id = self.authorize_run(ctx, &deployment, "iotthingsgraph:AbortFlowExecution")?;
        let reason = format!("aborted by {}", ctx.principal.arn);
        if self.inner.runtime.abort(&id, execution, &reason).await {
            Ok(json!({}))
        } else {
            Err(ApiError::invalid_request("The flow execution is not running"))
        }
    }

    fn authorize_run(&self, ctx: &CallContext, id: &str, action: &str) -> Result<String, ApiError> {
        let realm = Realm::of(ctx);
        let urn = urn(id)?;
        let (found, tags) = ctx.read(|s| Ok((instance::find(s, &realm, &urn)?, tag::tags_of(s, &realm, &urn)?)))?;
        let named = found.as_ref().map_or(&urn, |found| &found.id);
        let _grant = ctx.authorize(action, &realm.arn(named), |values| tag::resource_conditions(values, &tags))?;
        match found {
            Some(found) => Ok(found.id.as_str().to_owned()),
            None => Err(instance::not_found(&urn)),
        }
    }
}
