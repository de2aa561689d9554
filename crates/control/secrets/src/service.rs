//! The face of the service: which operation is answered where.

use marram_aws_api::{ApiError, Operation, ServiceId};
use marram_identity::{BoxFuture, CallContext, Service};
use serde_json::Value;

use crate::{describe, lifecycle, tag, value};

/// The service. Everything it keeps is in the store.
#[derive(Debug, Default)]
pub struct SecretsService;

impl SecretsService {
    /// The service; the tables must have been migrated ([`crate::MIGRATIONS`]).
    pub fn new() -> Self {
        Self
    }
}

impl Service for SecretsService {
    fn id(&self) -> ServiceId {
        ServiceId::SecretsManager
    }

    fn call<'a>(
        &'a self,
        ctx: &'a CallContext,
        operation: &'static Operation,
        input: Value,
    ) -> BoxFuture<'a, Result<Value, ApiError>> {
        Box::pin(async move {
            match operation.name {
                "CreateSecret" => lifecycle::create(ctx, &input).await,
                "UpdateSecret" => lifecycle::update(ctx, &input).await,
                "DeleteSecret" => lifecycle::delete(ctx, &input).await,
                "RestoreSecret" => lifecycle::restore(ctx, &input).await,
                "UpdateSecretVersionStage" => value::update_stage(ctx, &input).await,
                "ListSecretVersionIds" => describe::versions(ctx, &input),
                "GetSecretValue" => value::get(ctx, &input),
                "PutSecretValue" => value::put(ctx, &input).await,
                "DescribeSecret" => describe::describe(ctx, &input),
                "ListSecrets" => describe::list(ctx, &input),
                "TagResource" => tag::tag(ctx, &input).await,
                "UntagResource" => tag::untag(ctx, &input).await,
                name => Err(ApiError::not_supported(name)),
            }
        })
    }
}

pub(crate) fn text<'i>(input: &'i Value, member: &str) -> Option<&'i str> {
    input.get(member).and_then(Value::as_str)
}

pub(crate) fn invalid_parameter(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterException", 400, message)
}

pub(crate) fn resource_exists(message: impl Into<String>) -> ApiError {
    ApiError::new("ResourceExistsException", 400, message)
}

pub(crate) fn not_found(message: impl Into<String>) -> ApiError {
    ApiError::new("ResourceNotFoundException", 400, message)
}
