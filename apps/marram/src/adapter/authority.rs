//! The flow runtime's authority port, answered by the identities of this installation (TG 11.3).
//!
//! A deployment acts as its flow role. The role is assumed in the name of `iotthingsgraph.amazonaws.com`, so its trust policy is
//! asked, with `aws:SourceArn` and `aws:SourceAccount` of the deployment (SEC-104). No role, no trust, no permission: no.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use marram_aws_api::{ApiError, ServiceId};
use marram_flow_runtime::{Authority, FlowAction, FlowPrincipal, Pending};
use marram_identity::{AssumedRole, CallContext, CallFacts, Identity, ServiceAssume, TlsDetails};
use marram_sigv4::Credentials;
use marram_things_graph::SERVICE_PRINCIPAL;
use marram_types::{AccountId, Region, RequestId, Timestamp};
use serde_json::Value;
use smol_str::SmolStr;

/// Life of a session of a flow role (TG 11.3).
const SESSION: Duration = Duration::from_secs(3600);
/// A session this close to its end is replaced.
const RENEW: Duration = Duration::from_secs(300);
/// Digits of the execution's hash in the session name.
const SESSION_NAME_DIGITS: usize = 16;

/// Flow roles, assumed and remembered.
pub struct RoleAuthority {
    identity: Identity,
    contexts: Mutex<HashMap<FlowPrincipal, Kept>>,
}

struct Kept {
    version: u64,
    renew_at: Timestamp,
    /// `None`: the role could not be assumed at this version.
    context: Option<Arc<CallContext>>,
}

impl RoleAuthority {
    /// Roles of these identities.
    pub fn new(identity: Identity) -> RoleAuthority {
        RoleAuthority { identity, contexts: Mutex::default() }
    }

    fn assume(&self, principal: &FlowPrincipal, session: &str) -> Result<(AssumedRole, Region), ApiError> {
        let refused = |text: &str| ApiError::access_denied(text.to_owned());
        let role_arn = principal.role_arn.as_deref().ok_or_else(|| refused("the deployment has no flow role"))?;
        let account: AccountId = principal.account.parse().map_err(|_| ApiError::internal())?;
        let region: Region = principal.region.parse().map_err(|_| ApiError::internal())?;
        let source_arn = deployment_arn(&self.identity, &account, &region, &principal.deployment);
        let assumed = self.identity.assume_service_role(&ServiceAssume {
            account: &account,
            region: &region,
            role_arn,
            service: SERVICE_PRINCIPAL,
            session_name: session,
            source_arn: &source_arn,
            duration: SESSION,
            session_facts: &[],
        })?;
        Ok((assumed, region))
    }

    /// The context decisions of this principal are made in; assumed anew when identities changed or time ran out.
    fn context(&self, principal: &FlowPrincipal) -> Option<Arc<CallContext>> {
        let (version, now) = (self.identity.version(), self.identity.now());
        let mut contexts = self.contexts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = contexts.get(principal).filter(|kept| kept.version == version && kept.renew_at > now) {
            return kept.context.clone();
        }
        let context = match self.assume(principal, &session_name(&principal.deployment)) {
            Ok((assumed, region)) => ServiceId::IotData.operation("Publish").map(|operation| {
                let facts = CallFacts {
                    region,
                    request_id: RequestId::fresh(),
                    source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
                    user_agent: SERVICE_PRINCIPAL.to_owned(),
                    now,
                    operation,
                    request_parameters: Value::Null,
                    tls: TlsDetails::default(),
                };
                Arc::new(self.identity.context(assumed.principal, facts))
            }),
            Err(error) => {
                tracing::warn!(deployment = %principal.deployment, %error, "the flow role cannot be assumed");
                None
            }
        };
        let renew_at = now.saturating_add(SESSION - RENEW);
        contexts.insert(principal.clone(), Kept { version, renew_at, context: context.clone() });
        context
    }
}

impl Authority for RoleAuthority {
    fn allows(&self, principal: &FlowPrincipal, action: FlowAction<'_>) -> bool {
        let Some(context) = self.context(principal) else { return false };
        let arn = |service: &str, resource: &str| {
            format!("arn:{}:{service}:{}:{}:{resource}", self.identity.partition(), principal.region, principal.account)
        };
        if let FlowAction::Receive(filter) = action
            && !context.may("iot:Subscribe", &arn("iot", &format!("topicfilter/{filter}")), |_| {})
        {
            return false;
        }
        let (service, resource) = action.resource();
        context.may(action.name(), &arn(service, &resource), |_| {})
    }

    fn version(&self) -> u64 {
        self.identity.version()
    }

    fn credentials<'a>(
        &'a self,
        principal: &'a FlowPrincipal,
        execution: &'a str,
    ) -> Pending<'a, Result<Arc<Credentials>, String>> {
        Box::pin(async move {
            let (assumed, _) = self.assume(principal, &session_name(execution)).map_err(|error| error.message)?;
            Ok(Arc::new(assumed.temporary.credentials))
        })
    }
}

/// A session name made of a hash: the names of deployments and executions hold characters that sessions may not.
fn session_name(of: &str) -> String {
    let digest = marram_types::CertificateId::of_der(of.as_bytes()).to_string();
    format!("flow-{}", digest.get(..SESSION_NAME_DIGITS).unwrap_or_default())
}

/// The deployment's ARN, from its URN (TG 1.3).
fn deployment_arn(identity: &Identity, account: &AccountId, region: &Region, urn: &SmolStr) -> String {
    let name = urn.rsplit(':').next().unwrap_or_default();
    format!("arn:{}:iotthingsgraph:{region}:{account}:Deployment/default/{name}", identity.partition())
}
