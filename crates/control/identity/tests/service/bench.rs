//! An installation with one account, in a temporary directory, under a clock that moves when told.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use marram_audit::{Audit, LookupQuery, lookup};
use marram_aws_api::{ApiError, Kind, Operation, ServiceId, Shape};
use marram_identity::{
    Admission, CallContext, CallFacts, IamService, Identity, IdentityOptions, Principal, Service, StsService,
    TlsDetails,
};
use marram_sigv4::{
    AmzTime, AuthFailure, Credentials, Expectation, Payload, PayloadHash, Presented, Request, Signer, ToSign,
};
use marram_store::{Store, StoreOptions};
use marram_types::{AccountId, Clock, ManualClock, Region, RequestId, SecretString, Timestamp};
use serde_json::{Value, json};

pub const ACCOUNT: &str = "000000000000";

pub struct Bench {
    pub clock: Arc<ManualClock>,
    pub identity: Identity,
    pub store: Store,
    pub audit: Audit,
    pub admin: Credentials,
    pub dir: Arc<tempfile::TempDir>,
}

impl Bench {
    pub async fn new() -> Bench {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let (identity, store, audit) = open(dir.path().to_owned(), clock.clone());
        let made = identity.create_account("first", Some(AccountId::first())).await.unwrap();
        Bench { clock, identity, store, audit, admin: made.credentials, dir }
    }

    /// The same installation, stopped and started again.
    pub fn restart(self) -> Bench {
        let Bench { clock, identity, store, audit, admin, dir } = self;
        audit.close();
        store.close();
        drop((identity, store, audit));
        let (identity, store, audit) = open(dir.path().to_owned(), clock.clone());
        Bench { clock, identity, store, audit, admin, dir }
    }

    pub fn facts(&self, operation: &'static Operation, input: &Value) -> CallFacts {
        CallFacts {
            region: Region::default_region(),
            request_id: RequestId::fresh(),
            source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            user_agent: "test".to_owned(),
            now: self.clock.now(),
            operation,
            request_parameters: operation
                .input
                .map_or(Value::Null, |shape| marram_aws_api::redact::redact(shape, input)),
            tls: TlsDetails::default(),
        }
    }

    /// A call under way, for decisions without a service.
    pub fn context(&self, principal: impl Into<Arc<Principal>>, service: ServiceId, operation: &str) -> CallContext {
        let operation = service.operation(operation).unwrap();
        self.identity.context(principal, self.facts(operation, &Value::Null))
    }

    /// The principal of these credentials, by a signed request through the gate.
    pub fn admit(&self, credentials: &Credentials) -> Result<Arc<Principal>, AuthFailure> {
        let now = self.clock.now();
        let signer = Signer { credentials, region: "us-east-1", service: "sts" };
        let sent: [(&str, &[u8]); 1] = [("host", b"marram.example")];
        let body = b"Action=GetCallerIdentity&Version=2011-06-15";
        let to_sign = ToSign { method: "POST", target: "/", headers: &sent, payload: PayloadHash::Of(body) };
        let added = signer.sign(&to_sign, &AmzTime::from_epoch(now.as_secs()).unwrap());
        let mut headers = sent.to_vec();
        headers.extend(added.iter().map(|(name, value)| (*name, value.as_bytes())));
        let request = Request { method: "POST", target: "/", headers: &headers };
        let presented = Presented::parse(&request)?;
        let expect = Expectation { regions: &["us-east-1"], services: &["sts"], unsigned_payload: false };
        let asked = Admission {
            presented: &presented,
            request: &request,
            payload: Payload::Bytes(body),
            expect: &expect,
            source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            now,
        };
        self.identity.admit(&asked).map(|(principal, _)| principal)
    }

    /// Calls an operation of iam or sts with these credentials and checks the answer against the model.
    pub async fn call_as(&self, credentials: &Credentials, name: &str, input: Value) -> Result<Value, ApiError> {
        let (service, operation) = [ServiceId::Iam, ServiceId::Sts]
            .into_iter()
            .find_map(|service| service.operation(name).map(|operation| (service, operation)))
            .unwrap_or_else(|| panic!("no operation {name}"));
        let principal = self.admit(credentials).unwrap();
        let ctx = self.identity.context(principal, self.facts(operation, &input));
        let answer = match service {
            ServiceId::Iam => IamService::new(self.identity.clone()).call(&ctx, operation, input).await,
            _ => StsService::new(self.identity.clone()).call(&ctx, operation, input).await,
        };
        ctx.finish(&answer);
        match (&answer, operation.output) {
            (Ok(value), Some(shape)) => conforms(shape, value, name),
            (Ok(value), None) => assert_eq!(value, &json!({}), "{name} is void"),
            (Err(error), _) => {
                let common = ["AccessDeniedException", "ValidationError", "InvalidParameterValue", "NoSuchEntity"];
                let known = common.contains(&error.code.as_ref()) || operation.error(&error.code).is_some();
                assert!(known, "{name} does not model {error}");
            }
        }
        answer
    }

    /// Calls an operation as the administrator.
    pub async fn call(&self, name: &str, input: Value) -> Result<Value, ApiError> {
        self.call_as(&self.admin, name, input).await
    }

    pub async fn ok(&self, name: &str, input: Value) -> Value {
        self.call(name, input).await.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The error code of a call by the administrator.
    pub async fn code(&self, name: &str, input: Value) -> String {
        match self.call(name, input).await {
            Ok(value) => panic!("{name} answered {value}"),
            Err(error) => error.code.into_owned(),
        }
    }

    /// A user with a key and, when given, an inline policy.
    pub async fn user(&self, name: &str, policy: Option<Value>) -> Credentials {
        self.ok("CreateUser", json!({"UserName": name})).await;
        if let Some(policy) = policy {
            let document = policy.to_string();
            self.ok("PutUserPolicy", json!({"UserName": name, "PolicyName": "p", "PolicyDocument": document})).await;
        }
        credentials(&self.ok("CreateAccessKey", json!({"UserName": name})).await["AccessKey"])
    }

    /// A role that trusts `principal`, with an inline policy.
    pub async fn role(&self, name: &str, principal: Value, policy: Value) -> String {
        let trust = json!({"Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Principal": principal, "Action": ["sts:AssumeRole", "sts:TagSession"]}});
        let input = json!({"RoleName": name, "AssumeRolePolicyDocument": trust.to_string()});
        let role = self.ok("CreateRole", input).await;
        let input = json!({"RoleName": name, "PolicyName": "p", "PolicyDocument": policy.to_string()});
        self.ok("PutRolePolicy", input).await;
        role["Role"]["Arn"].as_str().unwrap().to_owned()
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Every record of the first account's log, newest first, as the CloudTrail event it is.
    pub fn records(&self) -> Vec<Value> {
        self.audit.flush();
        let query = LookupQuery { limit: 50, ..LookupQuery::default() };
        let (account, region) = (AccountId::first(), Region::default_region());
        let page = self.store.read(|snapshot| lookup(snapshot, &account, &region, &query)).unwrap();
        page.records.into_iter().map(|record| serde_json::from_str(&record.record).unwrap()).collect()
    }
}

fn open(dir: PathBuf, clock: Arc<ManualClock>) -> (Identity, Store, Audit) {
    let store = Store::open(&dir, StoreOptions::default()).unwrap();
    let audit = Audit::open(store.clone(), &dir, clock.clone()).unwrap();
    let identity = Identity::open(store.clone(), audit.clone(), clock, IdentityOptions::default()).unwrap();
    (identity, store, audit)
}

/// Credentials as CreateAccessKey or STS answer them.
pub fn credentials(json: &Value) -> Credentials {
    Credentials {
        access_key_id: json["AccessKeyId"].as_str().unwrap().to_owned(),
        secret: SecretString::new(json["SecretAccessKey"].as_str().unwrap()),
        session_token: json["SessionToken"].as_str().map(str::to_owned),
    }
}

pub fn allow(action: &str, resource: &str) -> Value {
    json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]})
}

pub fn deny(action: &str, resource: &str) -> Value {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": action, "Resource": resource}]})
}

/// Every member of an answer is one the model knows, with the model's type.
fn conforms(shape: &'static Shape, value: &Value, place: &str) {
    match (&shape.kind, value) {
        (Kind::Structure { members }, Value::Object(given)) => {
            for (name, held) in given {
                let member = members.iter().find(|member| member.name == name);
                let member = member.unwrap_or_else(|| panic!("{place}: the model has no {name}"));
                conforms(member.shape, held, &format!("{place}.{name}"));
            }
            for member in members.iter().filter(|member| member.required) {
                assert!(given.contains_key(member.name), "{place}.{} is required", member.name);
            }
        }
        (Kind::List { member, .. }, Value::Array(items)) => {
            items.iter().for_each(|item| conforms(member, item, place));
        }
        (Kind::Map { value: inner, .. }, Value::Object(entries)) => {
            entries.values().for_each(|held| conforms(inner, held, place));
        }
        (Kind::String { .. }, Value::String(_))
        | (Kind::Integer(_) | Kind::Long(_), Value::Number(_))
        | (Kind::Timestamp(_), Value::Number(_))
        | (Kind::Boolean, Value::Bool(_)) => {}
        (kind, value) => panic!("{place}: {value} is not {kind:?}"),
    }
}
