//! What is written about one call: the fields of a CloudTrail event (control-plane-api.md 10.2).

use marram_types::{AccountId, Region, RequestId, Timestamp};
use serde_json::{Map, Value};
use smol_str::SmolStr;

use crate::canonical::{write_members, write_string};
use crate::redact::{write_redacted, write_redacted_text};

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
    /// Who is behind it, kept when one role assumes another; for a component of a core the id of the core's certificate.
    pub source_identity: Option<SmolStr>,
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
    pub version: SmolStr,
    /// `TLS_AES_128_GCM_SHA256`.
    pub cipher_suite: SmolStr,
    /// The `Host` the client asked for.
    pub host: SmolStr,
}

/// `eventType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// Somebody called an operation.
    ApiCall,
    /// The house did it by itself.
    ServiceEvent,
    /// Somebody signed in to the console, or tried to.
    ConsoleSignIn,
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

    /// The record's canonical text but for its place in the chain and for an answer that comes later.
    ///
    /// Members are written in the order of their names, which is the canonical one.
    pub(crate) fn render(&self, event_id: &str) -> Rendered {
        let mut text = String::with_capacity(RECORD_BYTES);
        let mut before = Members::part(&mut text, false);
        if !self.additional.is_empty() {
            write_members(before.name("additionalEventData"), &self.additional, |text, _, value| {
                write_redacted(text, value);
            });
        }
        before.text("awsRegion", self.region.as_str());
        if let Some((code, message)) = &self.error {
            before.text("errorCode", code);
            write_redacted_text(before.name("errorMessage"), message);
        }
        before.text("eventCategory", if self.management { "Management" } else { "Data" });
        before.text("eventID", event_id);
        before.text("eventName", &self.event_name);
        before.text("eventSource", &self.event_source);
        before.text("eventTime", &self.time.rfc3339());
        before.text(
            "eventType",
            match self.event_type {
                EventType::ApiCall => "AwsApiCall",
                EventType::ServiceEvent => "AwsServiceEvent",
                EventType::ConsoleSignIn => "AwsConsoleSignIn",
            },
        );
        // things-graph.md 11.8 gives its own version, control-plane-api.md 10.2 that of all others.
        let of_things_graph = self.event_source == "iotthingsgraph.amazonaws.com";
        before.text("eventVersion", if of_things_graph { "1.05" } else { "1.08" });
        before.flag("managementEvent", self.management);
        before.name("marram").push('{');
        let before_end = text.len();

        let mut marram = Members::part(&mut text, false);
        marram.text("class", if self.management { "management" } else { "data" });
        marram.text("decision", self.decision.as_str());
        let statements = marram.name("matchedStatements");
        statements.push('[');
        for (index, statement) in self.matched_statements.iter().enumerate() {
            if index > 0 {
                statements.push(',');
            }
            write_string(statements, statement);
        }
        statements.push(']');
        let marram_end = text.len();

        let mut between = Members::part(&mut text, true);
        between.flag("readOnly", self.read_only);
        between.text("recipientAccountId", self.account.as_str());
        if let Some(id) = &self.request_id {
            between.text("requestID", &id.to_string());
        }
        write_redacted(between.name("requestParameters"), &self.request_parameters);
        if !self.resources.is_empty() {
            let text = between.name("resources");
            text.push('[');
            for (index, resource) in self.resources.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                let mut entry = Members::open(text);
                entry.text("ARN", &resource.arn);
                entry.text("accountId", self.account.as_str());
                entry.text_opt("type", resource.kind.as_deref());
                entry.close();
            }
            text.push(']');
        }

        let between_end = text.len();
        if self.read_only {
            text.push_str("null");
        } else {
            write_redacted(&mut text, &self.response_elements);
        }
        let response_end = text.len();

        let mut after = Members::part(&mut text, true);
        after.text("sourceIPAddress", &self.source_ip_address);
        if let Some(tls) = &self.tls {
            let mut details = Members::open(after.name("tlsDetails"));
            details.text("cipherSuite", &tls.cipher_suite);
            details.text("clientProvidedHostHeader", &tls.host);
            details.text("tlsVersion", &tls.version);
            details.close();
        }
        after.text("userAgent", &self.user_agent);
        self.user_identity.write(after.name("userIdentity"));
        Rendered { text, ends: [before_end, marram_end, between_end, response_end] }
    }
}

/// Room for the text of most records, so that it does not grow piece by piece.
const RECORD_BYTES: usize = 2048;

/// A record's canonical text in five pieces: the members up to `marram` and the brace that opens it, those of `marram` that
/// sort before its place, the members behind it up to `responseElements`, the value of that, and the rest. The third and the
/// last begin with a comma.
#[derive(Debug, Clone)]
pub(crate) struct Rendered {
    text: String,
    ends: [usize; 4],
}

impl Rendered {
    /// The pieces in their order.
    pub(crate) fn pieces(&self) -> [&str; 5] {
        let [before, marram, between, response] = self.ends;
        let text = self.text.as_str();
        [&text[..before], &text[before..marram], &text[marram..between], &text[between..response], &text[response..]]
    }
}

/// Members of an object, written one behind the other.
struct Members<'t> {
    text: &'t mut String,
    separate: bool,
}

impl<'t> Members<'t> {
    /// Of an object that begins here.
    fn open(text: &'t mut String) -> Members<'t> {
        text.push('{');
        Members { text, separate: false }
    }

    /// Of an object begun before; `separate`: members stand in front.
    fn part(text: &'t mut String, separate: bool) -> Members<'t> {
        Members { text, separate }
    }

    fn close(self) {
        self.text.push('}');
    }

    /// Writes a member's name and hands over the text for its value. Names need no escapes.
    fn name(&mut self, name: &str) -> &mut String {
        if std::mem::replace(&mut self.separate, true) {
            self.text.push(',');
        }
        self.text.push('"');
        self.text.push_str(name);
        self.text.push_str("\":");
        self.text
    }

    fn text(&mut self, name: &str, value: &str) {
        write_string(self.name(name), value);
    }

    fn text_opt(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    fn flag(&mut self, name: &str, value: bool) {
        self.name(name).push_str(if value { "true" } else { "false" });
    }
}

impl UserIdentity {
    fn write(&self, text: &mut String) {
        let mut identity = Members::open(text);
        identity.text_opt("accessKeyId", self.access_key_id.as_deref());
        identity.text_opt("accountId", self.account_id.as_deref());
        identity.text_opt("arn", self.arn.as_deref());
        identity.text_opt("invokedBy", self.invoked_by.as_deref());
        identity.text_opt("principalId", self.principal_id.as_deref());
        if let Some(session) = &self.session {
            let mut context = Members::open(identity.name("sessionContext"));
            let mut attributes = Members::open(context.name("attributes"));
            attributes.text("creationDate", &session.created.rfc3339());
            attributes.text("mfaAuthenticated", if session.mfa { "true" } else { "false" });
            attributes.close();
            if let Some(issuer) = &session.issuer {
                let mut role = Members::open(context.name("sessionIssuer"));
                role.text("accountId", &issuer.account_id);
                role.text("arn", &issuer.arn);
                role.text("principalId", &issuer.principal_id);
                role.text("type", "Role");
                role.text("userName", &issuer.user_name);
                role.close();
            }
            context.text_opt("sourceIdentity", session.source_identity.as_deref());
            context.close();
        }
        identity.text("type", &self.kind);
        identity.text_opt("userName", self.user_name.as_deref());
        identity.close();
    }
}
