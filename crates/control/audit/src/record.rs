//! What is written about one call: the fields of a CloudTrail event (control-plane-api.md 10.2).

use marram_types::{AccountId, Region, RequestId, Timestamp};
use serde_json::{Map, Value, json};
use smol_str::SmolStr;

use crate::redact::redact;

/// One call or one event of the house, before it has a place in the chain.
#[derive(Debug, Clone)]
pub struct AuditRecord {
    /// Whose log it goes to; `recipientAccountId`.
    pub account: AccountId,
    /// `awsRegion`.
    pub region: Region,
    /// `eventTime`: when the call was accepted.
    pub time: Timestamp,
    /// `iot.amazonaws.com`.
    pub event_source: SmolStr,
    /// Operation in model casing: `CreateThing`.
    pub event_name: SmolStr,
    /// Who called.
    pub user_identity: UserIdentity,
    /// Address of the peer, or the host name of the service that called.
    pub source_ip_address: String,
    /// As sent.
    pub user_agent: String,
    /// The input, or null. Secrets are hidden and long texts replaced when the record is made.
    pub request_parameters: Value,
    /// The answer of a call that changed something, else null.
    pub response_elements: Value,
    /// `errorCode` and `errorMessage` of a call that failed.
    pub error: Option<(String, String)>,
    /// The same as in the answer's header.
    pub request_id: Option<RequestId>,
    /// The call changes nothing.
    pub read_only: bool,
    /// What it touched.
    pub resources: Vec<Resource>,
    /// An API call or something the house did by itself.
    pub event_type: EventType,
    /// Management events are `true`; data events (shadow, publish) `false`.
    pub management: bool,
    /// `additionalEventData`: free members.
    pub additional: Map<String, Value>,
    /// How the connection was protected.
    pub tls: Option<Tls>,
    /// What the authorizer said.
    pub decision: Decision,
    /// `{policy}#{statement}` of every statement that decided.
    pub matched_statements: Vec<String>,
}

/// `userIdentity`.
#[derive(Debug, Clone, Default)]
pub struct UserIdentity {
    /// `Root`, `IAMUser`, `AssumedRole`, `AWSService`, `Unknown`, ..
    pub kind: SmolStr,
    /// `AIDA..`, `AROA..:session`, the account id for root.
    pub principal_id: Option<SmolStr>,
    /// The principal's ARN.
    pub arn: Option<SmolStr>,
    /// The account it belongs to.
    pub account_id: Option<SmolStr>,
    /// The key that signed.
    pub access_key_id: Option<SmolStr>,
    /// Name of an IAM user; LookupEvents filters by it, or by the session's name.
    pub user_name: Option<SmolStr>,
    /// The service that acted on somebody's behalf.
    pub invoked_by: Option<SmolStr>,
    /// For temporary credentials.
    pub session: Option<SessionContext>,
}

/// `userIdentity.sessionContext`.
#[derive(Debug, Clone)]
pub struct SessionContext {
    /// The role behind a role session.
    pub issuer: Option<SessionIssuer>,
    /// When the session began.
    pub created: Timestamp,
    /// Whether multi-factor authentication took place.
    pub mfa: bool,
}

/// `userIdentity.sessionContext.sessionIssuer`, a role.
#[derive(Debug, Clone)]
pub struct SessionIssuer {
    /// `AROA..`
    pub principal_id: SmolStr,
    /// The role's ARN.
    pub arn: SmolStr,
    /// The role's account.
    pub account_id: SmolStr,
    /// The role's name.
    pub user_name: SmolStr,
}

/// One entry of `resources`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// What was touched.
    pub arn: String,
    /// `AWS::IoT::Thing`, when known.
    pub kind: Option<SmolStr>,
}

/// `tlsDetails`.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// `TLSv1.3`.
    pub version: String,
    /// `TLS_AES_128_GCM_SHA256`.
    pub cipher_suite: String,
    /// The `Host` the client asked for.
    pub host: String,
}

/// `eventType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// Somebody called an operation.
    ApiCall,
    /// The house did it by itself.
    ServiceEvent,
}

/// What the authorizer said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Allowed.
    Allowed,
    /// No statement allowed it.
    ImplicitDeny,
    /// A statement denied it.
    ExplicitDeny,
    /// The caller could not prove who it is.
    Unauthenticated,
    /// The call ended before there was anything to decide.
    NotEvaluated,
}

impl Decision {
    /// As it stands in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::ImplicitDeny => "implicitDeny",
            Self::ExplicitDeny => "explicitDeny",
            Self::Unauthenticated => "unauthenticated",
            Self::NotEvaluated => "notEvaluated",
        }
    }
}

impl AuditRecord {
    /// A record with the members every record has; the others start out empty and an API call that was allowed.
    pub fn new(
        account: AccountId,
        region: Region,
        time: Timestamp,
        event_source: impl Into<SmolStr>,
        event_name: impl Into<SmolStr>,
        user_identity: UserIdentity,
    ) -> Self {
        Self {
            account,
            region,
            time,
            event_source: event_source.into(),
            event_name: event_name.into(),
            user_identity,
            source_ip_address: String::new(),
            user_agent: String::new(),
            request_parameters: Value::Null,
            response_elements: Value::Null,
            error: None,
            request_id: None,
            read_only: false,
            resources: Vec::new(),
            event_type: EventType::ApiCall,
            management: true,
            additional: Map::new(),
            tls: None,
            decision: Decision::Allowed,
            matched_statements: Vec::new(),
        }
    }

    /// What LookupEvents calls the user: the IAM user's name, or the session's.
    pub(crate) fn username(&self) -> Option<&str> {
        let identity = &self.user_identity;
        identity.user_name.as_deref().or_else(|| {
            let id = identity.principal_id.as_deref()?;
            id.split_once(':').map(|(_, session)| session)
        })
    }

    /// The members of the record as JSON, `marram` apart.
    pub(crate) fn into_members(self, event_id: &str) -> Map<String, Value> {
        let mut members = Map::new();
        let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
        // things-graph.md 11.8 gives its own version, control-plane-api.md 10.2 that of all others.
        let version = if self.event_source == "iotthingsgraph.amazonaws.com" { "1.05" } else { "1.08" };
        put("eventVersion", version.into());
        put("userIdentity", self.user_identity.into_json());
        put("eventTime", self.time.rfc3339().into());
        put("eventSource", self.event_source.as_str().into());
        put("eventName", self.event_name.as_str().into());
        put("awsRegion", self.region.as_str().into());
        put("sourceIPAddress", self.source_ip_address.into());
        put("userAgent", self.user_agent.into());
        put("requestParameters", redact(self.request_parameters));
        put("responseElements", if self.read_only { Value::Null } else { redact(self.response_elements) });
        if let Some((code, message)) = self.error {
            put("errorCode", code.into());
            put("errorMessage", redact(message.into()));
        }
        if !self.additional.is_empty() {
            put("additionalEventData", redact(Value::Object(self.additional)));
        }
        if let Some(id) = self.request_id {
            put("requestID", id.to_string().into());
        }
        put("eventID", event_id.into());
        put("readOnly", self.read_only.into());
        if !self.resources.is_empty() {
            let account = self.account.as_str();
            let entries = self.resources.into_iter().map(|resource| {
                let mut entry = json!({"ARN": resource.arn, "accountId": account});
                if let Some(kind) = resource.kind {
                    entry["type"] = kind.as_str().into();
                }
                entry
            });
            put("resources", entries.collect());
        }
        put(
            "eventType",
            match self.event_type {
                EventType::ApiCall => "AwsApiCall".into(),
                EventType::ServiceEvent => "AwsServiceEvent".into(),
            },
        );
        put("managementEvent", self.management.into());
        put("eventCategory", if self.management { "Management".into() } else { "Data".into() });
        put("recipientAccountId", self.account.as_str().into());
        if let Some(tls) = self.tls {
            put(
                "tlsDetails",
                json!({"tlsVersion": tls.version, "cipherSuite": tls.cipher_suite, "clientProvidedHostHeader": tls.host}),
            );
        }
        members
    }
}

impl UserIdentity {
    fn into_json(self) -> Value {
        let mut identity = Map::new();
        identity.insert("type".to_owned(), self.kind.as_str().into());
        for (name, value) in [
            ("principalId", self.principal_id),
            ("arn", self.arn),
            ("accountId", self.account_id),
            ("accessKeyId", self.access_key_id),
            ("userName", self.user_name),
            ("invokedBy", self.invoked_by),
        ] {
            if let Some(value) = value {
                identity.insert(name.to_owned(), value.as_str().into());
            }
        }
        if let Some(session) = self.session {
            let mut context = json!({
                "attributes": {
                    "creationDate": session.created.rfc3339(),
                    "mfaAuthenticated": if session.mfa { "true" } else { "false" },
                }
            });
            if let Some(issuer) = session.issuer {
                context["sessionIssuer"] = json!({
                    "type": "Role",
                    "principalId": issuer.principal_id.as_str(),
                    "arn": issuer.arn.as_str(),
                    "accountId": issuer.account_id.as_str(),
                    "userName": issuer.user_name.as_str(),
                });
            }
            identity.insert("sessionContext".to_owned(), context);
        }
        identity.into()
    }
}
