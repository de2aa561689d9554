//! `DescribeEndpoint` (CP 4.3): which host a client dials for what.

use marram_aws_api::ApiError;
use marram_identity::CallContext;
use serde_json::{Value, json};

use crate::input::Input;
use crate::realm::shown;
use crate::service::Registry;

/// Public host names: no scheme, and no port for what MQTT clients read. One name may serve all.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// `iot:Data`, `iot:Data-ATS` and the absent type.
    pub data: String,
    /// `iot:CredentialProvider`; `host:port` is understood by the nucleus here and only here.
    pub credential_provider: String,
    /// `iot:Jobs`.
    pub jobs: String,
}

impl Endpoints {
    /// One name for everything.
    pub fn single(host: &str) -> Self {
        Self { data: host.to_owned(), credential_provider: host.to_owned(), jobs: host.to_owned() }
    }
}

/// `DescribeEndpoint`.
pub(crate) async fn describe_endpoint(registry: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| ())?);
    let endpoints = &registry.options().endpoints;
    let host = match input.text("endpointType").unwrap_or("iot:Data") {
        "iot:Data" | "iot:Data-ATS" => &endpoints.data,
        "iot:CredentialProvider" => &endpoints.credential_provider,
        "iot:Jobs" => &endpoints.jobs,
        other => return Err(ApiError::invalid_request(format!("Invalid endpoint type: {}", shown(other)))),
    };
    Ok(json!({"endpointAddress": host}))
}
