//! People at the console's door: they prove who they are without a signature, and what they do there is on the record.
//!
//! The console keeps passwords, second factors and sessions in tables of its own. It changes them through a [`SignIn`],
//! which writes the audit record (`AwsConsoleSignIn`) in the same transaction; attempts that change nothing are recorded by
//! [`Identity::note_failed_sign_in`].

use std::net::IpAddr;

use marram_audit::{AuditRecord, Decision, EventType, Tls, UserIdentity};
use marram_aws_api::ApiError;
use marram_store::{Snapshot, Tx};
use marram_types::{AccountId, Region, RequestId, Timestamp};
use serde_json::{Map, Value, json};
use smol_str::SmolStr;
use zeroize::Zeroizing;

use crate::context::TlsDetails;
use crate::error::CallError;
use crate::identity::Identity;
use crate::keyring::Purpose;
use crate::principal::Principal;

/// `eventSource` of the records.
const EVENT_SOURCE: &str = "signin.amazonaws.com";
/// Written instead of a name that is no user's: people type passwords into the wrong field.
const HIDDEN_NAME: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";

/// What is known of a request at the door.
#[derive(Clone, Debug)]
pub struct SignInFacts {
    /// Where the console is.
    pub region: Region,
    /// Noted in the record.
    pub request_id: RequestId,
    /// Address of the peer.
    pub source_ip: IpAddr,
    /// As sent, shortened.
    pub user_agent: String,
    /// The moment of the request.
    pub now: Timestamp,
    /// How the connection was protected.
    pub tls: TlsDetails,
}

/// One step of one person at the door.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// Whose step it is.
    pub principal: Principal,
    /// The moment of the request.
    pub now: Timestamp,
    facts: SignInFacts,
    identity: Identity,
    parameters: Value,
    details: Map<String, Value>,
}

impl Identity {
    /// A step of `principal`, who is known by now.
    pub fn sign_in(&self, principal: Principal, facts: SignInFacts) -> SignIn {
        let (parameters, details) = (Value::Null, Map::new());
        SignIn { principal, now: facts.now, facts, identity: self.clone(), parameters, details }
    }

    /// Records an attempt that failed. `principal` is the user that was asked for, if there is one.
    pub fn note_failed_sign_in(
        &self,
        account: &AccountId,
        principal: Option<&Principal>,
        facts: &SignInFacts,
        event: &'static str,
        reason: &str,
    ) {
        let user = match principal {
            Some(principal) => principal.user_identity(),
            None => UserIdentity {
                kind: SmolStr::new_static("IAMUser"),
                account_id: Some(SmolStr::new(account.as_str())),
                user_name: Some(SmolStr::new_static(HIDDEN_NAME)),
                ..UserIdentity::default()
            },
        };
        let mut record = record(account, user, facts, event, "Failure");
        record.error = Some(("AccessDenied".to_owned(), reason.to_owned()));
        record.decision = Decision::Unauthenticated;
        self.audit().enqueue(record);
    }

    /// Seals a second factor for its row; `bound` names the row.
    pub fn seal_factor(&self, bound: &[u8], plain: &[u8]) -> Vec<u8> {
        self.keyring().seal(Purpose::Factor, bound, plain)
    }

    /// Opens what [`Identity::seal_factor`] made for the same row; none for anything else.
    pub fn open_factor(&self, bound: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.keyring().open_sealed(Purpose::Factor, bound, sealed)
    }

    /// Reads from one consistent snapshot, before anybody is known.
    ///
    /// # Errors
    /// What the closure answered, or the store's failure.
    pub fn read_sign_in<T>(&self, read: impl FnOnce(&Snapshot<'_>) -> Result<T, CallError>) -> Result<T, CallError> {
        self.store().read(read)
    }
}

impl SignIn {
    /// Puts a member into the record's `additionalEventData`.
    pub fn detail(mut self, name: &'static str, value: impl Into<Value>) -> SignIn {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// What the step was asked to do: the record's `requestParameters`.
    pub fn parameters(mut self, parameters: Value) -> SignIn {
        self.parameters = parameters;
        self
    }

    /// Records that the step was refused to somebody who is known: `AccessDenied` with this message.
    pub fn refused(self, event: &'static str, message: &str) {
        let mut record = self.record(event, "Failure");
        record.error = Some(("AccessDenied".to_owned(), message.to_owned()));
        record.decision = Decision::ImplicitDeny;
        self.identity.audit().enqueue(record);
    }

    fn record(&self, event: &'static str, outcome: &'static str) -> AuditRecord {
        let mut record = record(&self.principal.account, self.principal.user_identity(), &self.facts, event, outcome);
        record.request_parameters = self.parameters.clone();
        record.additional.extend(self.details.clone());
        record
    }

    /// Runs a mutation and appends the record of the step in the same transaction.
    ///
    /// # Errors
    /// What the closure answered (then nothing is stored and nothing recorded), or the store's failure.
    pub async fn commit<T, F>(&self, event: &'static str, mutation: F) -> Result<T, ApiError>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, CallError> + Send + 'static,
        T: Send + 'static,
    {
        let record = self.record(event, "Success").prepare();
        let write = move |tx: &mut Tx<'_>| {
            let done = mutation(tx)?;
            marram_audit::append_prepared(tx, record, None)?;
            Ok::<T, CallError>(done)
        };
        self.identity.store().write(write).await.map_err(ApiError::from)
    }
}

fn record(
    account: &AccountId,
    user: UserIdentity,
    facts: &SignInFacts,
    event: &'static str,
    outcome: &'static str,
) -> AuditRecord {
    let mut record = AuditRecord::new(account.clone(), facts.region.clone(), facts.now, EVENT_SOURCE, event, user);
    record.source_ip_address = facts.source_ip.to_canonical().to_string();
    record.user_agent = facts.user_agent.clone();
    record.request_id = Some(facts.request_id);
    record.response_elements = json!({ event: outcome });
    record.event_type = EventType::ConsoleSignIn;
    record.additional = Map::from_iter([("MFAUsed".to_owned(), Value::from("Yes"))]);
    let tls = &facts.tls;
    record.tls =
        Some(Tls { version: tls.version.clone(), cipher_suite: tls.cipher_suite.clone(), host: tls.host.clone() });
    record
}
