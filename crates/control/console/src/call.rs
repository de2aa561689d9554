//! The AWS API for people: any operation as JSON, under their own policies.

use std::net::IpAddr;
use std::sync::Arc;

use marram_aws_api::{ApiError, Operation, ServiceId};
use marram_front::Caller;
use marram_identity::{CallContext, CallFacts};
use serde_json::{Map, Value, json};

use crate::console::Console;
use crate::door::Person;
use crate::fault;
use crate::request::{Asked, text};

/// Checks of one `may`.
const MAX_CHECKS: usize = 200;
/// Longest name of a service, operation or action, in bytes.
const MAX_NAME: usize = 256;
/// Longest resource, in bytes.
const MAX_RESOURCE: usize = 2048;

impl Console {
    /// `call`: one operation. Constraints, rates, authorization and record are those of a signed call.
    pub(crate) async fn call(
        &self,
        asked: &Asked<'_>,
        person: &Person,
        mut members: Map<String, Value>,
    ) -> Result<Value, ApiError> {
        let input = members.remove("input").filter(|input| !input.is_null()).unwrap_or_else(|| json!({}));
        let service = text(&members, "service", MAX_NAME)?;
        let service = ServiceId::from_name(service)
            .ok_or_else(|| fault::invalid("service", format!("There is no service `{service}`.")))?;
        let name = text(&members, "operation", MAX_NAME)?;
        let operation = service.operation(name).ok_or_else(ApiError::unknown_operation)?;
        if needs_fresh_proof(operation) && !person.session.is_fresh(asked.now) {
            return Err(fault::stale());
        }
        let output = self.run_operation(asked, person, operation, input).await?;
        Ok(json!({ "output": output }))
    }

    /// Runs an operation in somebody's name, through the front door.
    pub(crate) async fn run_operation(
        &self,
        asked: &Asked<'_>,
        person: &Person,
        operation: &'static Operation,
        input: Value,
    ) -> Result<Value, ApiError> {
        let door = self.inner.door.get().and_then(std::sync::Weak::upgrade).ok_or_else(fault::unavailable)?;
        let user_agent = asked.user_agent();
        let caller = Caller {
            principal: Arc::new(person.principal.clone()),
            region: self.inner.options.region.clone(),
            request_id: asked.request_id,
            now: asked.now,
            peer: asked.peer,
            user_agent: &user_agent,
            host: asked.host(),
        };
        let bytes = length_of(&input);
        let mut outcome = door.call_as(caller, operation, input, bytes).await;
        if let Err(error) = &mut outcome
            && let Some(modelled) = operation.service.table().error(&error.code)
        {
            error.status = modelled.status;
        }
        outcome
    }

    /// `may`: what would be allowed, decided as for a call, without one and without a record.
    pub(crate) fn may(
        &self,
        asked: &Asked<'_>,
        person: &Person,
        members: &Map<String, Value>,
    ) -> Result<Value, ApiError> {
        let Some(Value::Array(checks)) = members.get("checks") else {
            return Err(fault::invalid("checks", "checks must be a list."));
        };
        if checks.len() > MAX_CHECKS {
            return Err(fault::invalid("checks", format!("At most {MAX_CHECKS} checks at a time.")));
        }
        let context = self.context(asked, person)?;
        let mut allowed = Vec::with_capacity(checks.len());
        for check in checks {
            let Value::Object(check) = check else {
                return Err(fault::invalid("checks", "A check must be an object."));
            };
            let action = text(check, "action", MAX_NAME)?;
            let resource = match check.get("resource") {
                None | Some(Value::Null) => "*",
                Some(_) => text(check, "resource", MAX_RESOURCE)?,
            };
            allowed.push(context.may(action, resource, |_| {}));
        }
        Ok(json!({ "allowed": allowed }))
    }

    /// A context to decide in, for what is no operation of the API. It leaves no record.
    pub(crate) fn context(&self, asked: &Asked<'_>, person: &Person) -> Result<CallContext, ApiError> {
        let operation = ServiceId::Sts.operation("GetCallerIdentity").ok_or_else(ApiError::internal)?;
        let facts = CallFacts {
            region: self.inner.options.region.clone(),
            request_id: asked.request_id,
            source_ip: source(asked),
            user_agent: asked.user_agent(),
            now: asked.now,
            operation,
            request_parameters: Value::Null,
            tls: asked.tls(),
        };
        Ok(self.inner.identity.context(person.principal.clone(), facts))
    }
}

fn source(asked: &Asked<'_>) -> IpAddr {
    asked.source_ip()
}

/// What cannot be undone, gives away keys or changes who may do what: stolen cookies must not be enough (security 2).
fn needs_fresh_proof(operation: &Operation) -> bool {
    let changes_identities = operation.service == ServiceId::Iam && !operation.read_only;
    let gives_keys = matches!(
        (operation.service, operation.name),
        (ServiceId::SecretsManager, "GetSecretValue" | "BatchGetSecretValue")
            | (ServiceId::Sts, "AssumeRole" | "GetSessionToken")
            | (ServiceId::Iot, "CreateKeysAndCertificate" | "CreateProvisioningClaim")
    );
    let changes_devices = matches!(
        (operation.service, operation.name),
        (
            ServiceId::Iot,
            "CreateCertificateFromCsr"
                | "RegisterCertificate"
                | "RegisterCertificateWithoutCA"
                | "RegisterCACertificate"
                | "UpdateCertificate"
                | "UpdateCACertificate"
                | "AttachPolicy"
                | "CreatePolicyVersion"
                | "SetDefaultPolicyVersion"
                | "CreateRoleAlias"
                | "UpdateRoleAlias"
        ) | (ServiceId::GreengrassV2, "CreateDeployment")
    );
    changes_identities || gives_keys || changes_devices || operation.name.starts_with("Delete")
}

/// Bytes of the JSON of a value, without making it.
fn length_of(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        Err(_) => usize::MAX,
    }
}
