//! A door on a loopback port with two known keys and one small service, and a client that signs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use marram_audit::{Audit, LookupQuery, lookup};
use marram_aws_api::{ApiError, Operation, ServiceId};
use marram_front::{ApiListener, FrontDoor, FrontOptions, Handover, IdentityGate};
use marram_http::{Client, ClientLimits, ClientRequest, ClientResponse, Direct, HeaderMap, HeaderName, HeaderValue};
use marram_identity::{BoxFuture, CallContext, Identity, IdentityOptions, Service, StsService};
use marram_pki::{CertificateAuthority, DeviceKeyPair, Validity, pem};
use marram_sigv4::{AmzTime, Credentials, PayloadHash, Signer, ToSign};
use marram_store::{Store, StoreOptions};
use marram_tls::{
    Acceptor, AcceptorOptions, ClientIdentity, ClientOptions, Connector, HandshakeGate, HandshakeLimits, Listener,
    Plane, ServerCertificate,
};
use marram_types::{AccountId, Region, SecretString, SharedClock, SystemClock};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

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

/// Who signs.
#[derive(Clone, Copy)]
pub enum By<'a> {
    Nobody,
    /// The administrator of the first account.
    First,
    /// The administrator of the other account.
    Other,
    /// The first administrator's key id with a wrong secret.
    Forger,
    /// A key id nobody knows.
    Stranger(&'a str),
}

/// A request to be signed and sent.
#[derive(Clone)]
pub struct Call<'a> {
    pub scope: &'a str,
    pub method: &'a str,
    pub target: &'a str,
    pub headers: Vec<(&'static str, &'a str)>,
    pub body: &'a str,
    pub signer: By<'a>,
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
            signer: By::First,
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

    pub fn signed_by(self, signer: By<'a>) -> Call<'a> {
        Call { signer, ..self }
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
    first: Credentials,
    other: Credentials,
    store: Store,
    audit: Audit,
    ca: CertificateAuthority,
    handed: mpsc::UnboundedReceiver<Plane>,
    stop: watch::Sender<bool>,
    running: JoinHandle<()>,
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
        let identity = Identity::open(store.clone(), audit.clone(), clock.clone(), IdentityOptions::default()).unwrap();
        let first = identity.create_account("first", Some(AccountId::first())).await.unwrap().credentials;
        let other = identity.create_account("other", None).await.unwrap().credentials;
        let services: Vec<Arc<dyn Service>> = vec![Arc::new(Things), Arc::new(StsService::new(identity.clone()))];
        let options = FrontOptions::new(Region::default_region(), clock);
        let door = Arc::new(FrontDoor::new(Arc::new(IdentityGate::new(identity)), services, options));

        let now = SystemClock::shared().now().as_secs();
        let ca = CertificateAuthority::create("test CA", Validity::starting(now, 86_400)).unwrap();
        let server = ca.issue_server(&["127.0.0.1".to_owned()], Validity::starting(now, 86_400)).unwrap();
        let certificate = ServerCertificate::from_pem(&server.chain_pem, &server.key_pem).unwrap();
        let handshakes = HandshakeGate::new(HandshakeLimits::default());
        let acceptor = Acceptor::new(Listener::Api, &certificate, AcceptorOptions::default(), handshakes);
        let (hand, handed) = mpsc::unbounded_channel();
        let handover: Handover = Arc::new(move |accepted, _| hand.send(accepted.plane).unwrap());
        let listener = ApiListener::bind(([127, 0, 0, 1], 0).into(), acceptor, door, Some(handover)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(listener.run(stopped));

        let options = ClientOptions { roots_pem: ca.certificate_pem(), ..ClientOptions::default() };
        let direct = Direct { tls: Some(Connector::new(options).unwrap()) };
        let client = Client::new(direct, ClientLimits::default());
        Bench { address, client, first, other, store, audit, ca, handed, stop, running, _dir: dir }
    }

    pub async fn send(&self, call: Call<'_>) -> ClientResponse {
        let host = self.address.to_string();
        let mut headers: Vec<(&str, &[u8])> = vec![("host", host.as_bytes())];
        headers.extend(call.headers.iter().map(|(name, value)| (*name, value.as_bytes())));
        let mut map = HeaderMap::new();
        for (name, value) in &headers[1..] {
            map.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value).unwrap());
        }
        let credentials = match call.signer {
            By::Nobody => None,
            By::First => Some(self.first.clone()),
            By::Other => Some(self.other.clone()),
            By::Forger => Some(Credentials { secret: SecretString::new("wrong"), ..self.first.clone() }),
            By::Stranger(id) => Some(Credentials { access_key_id: id.to_owned(), ..self.first.clone() }),
        };
        if let Some(credentials) = credentials {
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

    /// Connects as a device that offers `alpn`; the plane its connection is handed over as.
    pub async fn connect_device(&mut self, alpn: &[u8]) -> Option<Plane> {
        let pair = DeviceKeyPair::generate().unwrap();
        let now = SystemClock::shared().now().as_secs();
        let leaf = self.ca.issue_device(pair.public_key(), Validity::starting(now, 86_400)).unwrap();
        let identity =
            ClientIdentity { chain_pem: pem::encode_certificate(leaf.der()), key_pem: pair.private_pem().to_owned() };
        let connector = Connector::new(ClientOptions {
            roots_pem: self.ca.certificate_pem(),
            identity: Some(identity),
            alpn: vec![alpn.to_vec()],
        })
        .unwrap();
        let socket = TcpStream::connect(self.address).await.unwrap();
        let _stream = connector.connect("127.0.0.1", socket).await.unwrap();
        tokio::time::timeout(Duration::from_secs(10), self.handed.recv()).await.unwrap()
    }

    /// Stops the listener and waits until it has ended; whether a connection is still accepted afterwards.
    pub async fn stop(&mut self) -> bool {
        self.stop.send(true).unwrap();
        tokio::time::timeout(Duration::from_secs(10), &mut self.running).await.unwrap().unwrap();
        TcpStream::connect(self.address).await.is_ok()
    }

    /// Every audit record of an account, as the CloudTrail event it is.
    pub fn records(&self, account: &AccountId) -> Vec<Value> {
        self.records_up_to(account, 50)
    }

    /// Bytes of the store's write-ahead log.
    #[allow(dead_code, reason = "not every test binary fills a disk")]
    pub fn log_bytes(&self) -> u64 {
        std::fs::metadata(self.store.dir().join("marram.db-wal")).unwrap().len()
    }

    /// The newest audit records of an account, as the CloudTrail events they are.
    pub fn records_up_to(&self, account: &AccountId, limit: usize) -> Vec<Value> {
        self.audit.flush();
        let query = LookupQuery { limit, ..LookupQuery::default() };
        let page = self.store.read(|snapshot| lookup(snapshot, account, &Region::default_region(), &query)).unwrap();
        page.records.into_iter().map(|record| serde_json::from_str(&record.record).unwrap()).collect()
    }
}
