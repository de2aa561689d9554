//! A door on a loopback port with two known keys and one small service, and a client that signs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use marram_audit::{Audit, LookupQuery, lookup};
use marram_aws_api::{ApiError, Operation, ServiceId};
use marram_front::{ApiListener, FrontDoor, FrontOptions, IdentityGate, KeyRing};
use marram_http::{Client, ClientLimits, ClientRequest, ClientResponse, Direct, HeaderMap, HeaderName, HeaderValue};
use marram_identity::{BoxFuture, CallContext, Identity, Principal, Service};
use marram_pki::{CertificateAuthority, Validity};
use marram_sigv4::{AmzTime, AuthFailure, Credentials, PayloadHash, Signer, ToSign};
use marram_store::{Store, StoreOptions};
use marram_tls::{
    Acceptor, AcceptorOptions, ClientOptions, Connector, HandshakeGate, HandshakeLimits, Listener, ServerCertificate,
};
use marram_types::{AccountId, Partition, Region, SecretString, SharedClock, SystemClock, Timestamp};
use serde_json::{Value, json};
use tokio::sync::watch;

pub const KEY: &str = "AKIDFIRST00000000000";
pub const OTHER_KEY: &str = "AKIDOTHER00000000000";
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// Both accounts' root keys.
struct TwoKeys;

impl KeyRing for TwoKeys {
    fn find(
        &self,
        access_key_id: &str,
        _: Option<&str>,
        _: Timestamp,
    ) -> Result<Option<(Principal, SecretString)>, AuthFailure> {
        Ok(self.account_of(access_key_id).map(|account| (Principal::root(account, "aws"), SecretString::new(SECRET))))
    }

    fn account_of(&self, access_key_id: &str) -> Option<AccountId> {
        match access_key_id {
            KEY => Some(AccountId::first()),
            OTHER_KEY => Some("000000000001".parse().unwrap()),
            _ => None,
        }
    }
}

/// Knows every thing but `ghost`.
struct Things;

impl Service for Things {
    fn id(&self) -> ServiceId {
        ServiceId::Iot
    }

    fn call<'a>(
        &'a self,
        ctx: &'a CallContext,
        operation: &'static Operation,
        input: Value,
    ) -> BoxFuture<'a, Result<Value, ApiError>> {
        Box::pin(async move {
            match (operation.name, input["thingName"].as_str()) {
                ("DescribeThing", Some("panic")) => panic!("asked to"),
                ("DescribeThing", Some("ghost")) => Err(ApiError::not_found("no thing by that name")),
                ("DescribeThing", Some("account")) => Ok(json!({"thingId": ctx.account.as_str()})),
                ("DescribeThing", Some(name)) => Ok(json!({"thingName": name, "version": 1, "thingTypeName": null})),
                _ => Err(ApiError::not_supported(operation.name)),
            }
        })
    }
}

/// A request to be signed and sent.
#[derive(Clone)]
pub struct Call<'a> {
    pub scope: &'a str,
    pub method: &'a str,
    pub target: &'a str,
    pub headers: Vec<(&'static str, &'a str)>,
    pub body: &'a str,
    /// Key id and secret; `None`: unsigned.
    pub key: Option<(&'a str, &'a str)>,
    pub region: &'a str,
    /// Signing time; now when absent.
    pub time: Option<AmzTime>,
    /// Sent instead of `target` after signing.
    pub tamper: Option<&'a str>,
}

impl<'a> Call<'a> {
    pub fn rest(scope: &'a str, method: &'a str, target: &'a str) -> Call<'a> {
        Call {
            scope,
            method,
            target,
            headers: Vec::new(),
            body: "",
            key: Some((KEY, SECRET)),
            region: "us-east-1",
            time: None,
            tamper: None,
        }
    }

    pub fn target(target: &'a str, body: &'a str) -> Call<'a> {
        let headers = vec![("x-amz-target", target), ("content-type", "application/x-amz-json-1.1")];
        Call { headers, body, ..Call::rest("iotthingsgraph", "POST", "/") }
    }

    pub fn form(scope: &'a str, body: &'a str) -> Call<'a> {
        let headers = vec![("content-type", "application/x-www-form-urlencoded")];
        Call { headers, body, ..Call::rest(scope, "POST", "/") }
    }

    pub fn unsigned(self) -> Call<'a> {
        Call { key: None, ..self }
    }

    pub fn signed_by(self, key: &'a str, secret: &'a str) -> Call<'a> {
        Call { key: Some((key, secret)), ..self }
    }

    pub fn in_region(self, region: &'a str) -> Call<'a> {
        Call { region, ..self }
    }

    /// Signed `seconds` from now.
    pub fn at(self, seconds: i64) -> Call<'a> {
        let time = AmzTime::from_epoch(SystemClock::shared().now().as_secs() + seconds);
        Call { time, ..self }
    }
}

pub struct Bench {
    address: SocketAddr,
    client: Client,
    store: Store,
    audit: Audit,
    _stop: watch::Sender<bool>,
    _dir: tempfile::TempDir,
}

impl Bench {
    pub async fn start() -> Bench {
        Bench::with_clock(SystemClock::shared()).await
    }

    pub async fn with_clock(clock: SharedClock) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        let audit = Audit::open(store.clone(), dir.path(), clock.clone()).unwrap();
        let identity = Identity::new(store.clone(), clock.clone(), Partition::aws());
        let gate = Arc::new(IdentityGate::new(identity, audit.clone(), Arc::new(TwoKeys)));
        let options = FrontOptions::new(Region::default_region(), clock);
        let door = Arc::new(FrontDoor::new(gate, vec![Arc::new(Things)], options));

        let now = SystemClock::shared().now().as_secs();
        let ca = CertificateAuthority::create("test CA", Validity::starting(now, 86_400)).unwrap();
        let server = ca.issue_server(&["127.0.0.1".to_owned()], Validity::starting(now, 86_400)).unwrap();
        let certificate = ServerCertificate::from_pem(&server.chain_pem, &server.key_pem).unwrap();
        let handshakes = HandshakeGate::new(HandshakeLimits::default());
        let acceptor = Acceptor::new(Listener::Api, &certificate, AcceptorOptions::default(), handshakes);
        let listener = ApiListener::bind(([127, 0, 0, 1], 0).into(), acceptor, door, None).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(listener.run(stopped));

        let options = ClientOptions { roots_pem: ca.certificate_pem(), ..ClientOptions::default() };
        let direct = Direct { tls: Some(Connector::new(options).unwrap()) };
        let client = Client::new(direct, ClientLimits::default());
        Bench { address, client, store, audit, _stop: stop, _dir: dir }
    }

    pub async fn send(&self, call: Call<'_>) -> ClientResponse {
        let host = self.address.to_string();
        let mut headers: Vec<(&str, &[u8])> = vec![("host", host.as_bytes())];
        headers.extend(call.headers.iter().map(|(name, value)| (*name, value.as_bytes())));
        let mut map = HeaderMap::new();
        for (name, value) in &headers[1..] {
            map.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value).unwrap());
        }
        if let Some((key, secret)) = call.key {
            let credentials =
                Credentials { access_key_id: key.to_owned(), secret: SecretString::new(secret), session_token: None };
            let now = AmzTime::from_epoch(SystemClock::shared().now().as_secs()).unwrap();
            let signer = Signer { credentials: &credentials, region: call.region, service: call.scope };
            let request = ToSign {
                method: call.method,
                target: call.target,
                headers: &headers,
                payload: PayloadHash::Of(call.body.as_bytes()),
            };
            for (name, value) in signer.sign(&request, &call.time.clone().unwrap_or(now)) {
                map.insert(HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap());
            }
        }
        let url = format!("https://{host}{}", call.tamper.unwrap_or(call.target));
        let request = ClientRequest {
            method: call.method.parse().unwrap(),
            url: url.parse().unwrap(),
            headers: map,
            body: Bytes::copy_from_slice(call.body.as_bytes()),
        };
        self.client.send(request, Duration::from_secs(10)).await.unwrap()
    }

    /// Every audit record of an account, as the CloudTrail event it is.
    pub fn records(&self, account: &AccountId) -> Vec<Value> {
        self.audit.flush();
        let query = LookupQuery { limit: 50, ..LookupQuery::default() };
        let page = self.store.read(|snapshot| lookup(snapshot, account, &Region::default_region(), &query)).unwrap();
        page.records.into_iter().map(|record| serde_json::from_str(&record.record).unwrap()).collect()
    }
}
