//! Calls of the services from inside the process, as an administrator would make them over the wire.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use anyhow::Context;
use marram_aws_api::{ApiError, Operation, ServiceId};
use marram_identity::{CallContext, CallFacts, Identity, Principal, Service, TlsDetails};
use marram_types::{AccountId, Clock, Region, RequestId, SystemClock};
use serde_json::Value;

/// One principal with the services it may call.
pub struct Caller {
    identity: Identity,
    principal: Principal,
    region: Region,
    services: Vec<Arc<dyn Service>>,
}

impl Caller {
    /// Calls go to `services` in the name of `principal`.
    pub fn new(identity: Identity, principal: Principal, region: Region, services: Vec<Arc<dyn Service>>) -> Self {
        Self { identity, principal, region, services }
    }

    /// The account calls are made in.
    pub fn account(&self) -> &AccountId {
        &self.principal.account
    }

    /// The region calls are made in.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// One call: authorized, executed, audited.
    ///
    /// # Errors
    /// What the service answers.
    pub async fn call(&self, service: ServiceId, operation: &str, input: Value) -> Result<Value, ApiError> {
        let missing = || ApiError::not_supported(operation);
        let operation = service.operation(operation).ok_or_else(missing)?;
        let service =
            self.services.iter().find(|one| one.id() == service && one.offers(operation)).ok_or_else(missing)?;
        let context = self.context(operation, &input);
        let answer = service.call(&context, operation, input).await;
        context.finish(&answer);
        answer
    }

    /// The context of a call that is not made through a [`Service`].
    pub fn context(&self, operation: &'static Operation, input: &Value) -> CallContext {
        let facts = CallFacts {
            region: self.region.clone(),
            request_id: RequestId::fresh(),
            source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            user_agent: concat!("marram-demo/", env!("CARGO_PKG_VERSION")).to_owned(),
            now: SystemClock.now(),
            operation,
            request_parameters: input.clone(),
            tls: TlsDetails::default(),
        };
        self.identity.context(self.principal.clone(), facts)
    }

    /// As [`Caller::call`]; the error names the operation.
    ///
    /// # Errors
    /// What the service answers, as a sentence.
    pub async fn must(&self, service: ServiceId, operation: &str, input: Value) -> anyhow::Result<Value> {
        self.call(service, operation, input)
            .await
            .map_err(|error| anyhow::anyhow!("{}: {}", error.code, error.message))
            .with_context(|| operation.to_owned())
    }

    /// As [`Caller::must`] for something that may be there already: then `None`.
    ///
    /// # Errors
    /// What the service answers, as a sentence.
    pub async fn ensure(&self, service: ServiceId, operation: &str, input: Value) -> anyhow::Result<Option<Value>> {
        match self.call(service, operation, input).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if matches!(&*error.code, "ResourceAlreadyExistsException" | "EntityAlreadyExists") => Ok(None),
            Err(error) => Err(anyhow::anyhow!("{}: {}", error.code, error.message).context(operation.to_owned())),
        }
    }
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").field("principal", &self.principal.arn).finish_non_exhaustive()
    }
}
