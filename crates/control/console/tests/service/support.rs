//! A console on a loopback port with two accounts, and a browser that keeps its cookie.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use bytes::Bytes;
use marram_audit::{Audit, LookupQuery, lookup};
use marram_aws_api::{ApiError, Operation, ServiceId};
use marram_broker::{Authenticating, Authenticator, Broker, BrokerOptions, Denied, PeerInfo, Ports};
use marram_console::{Console, ConsoleOptions, Devices, Endpoints, Files, Language, SurveyedDevices};
use marram_flow_runtime::History;
use marram_front::{ApiListener, FrontDoor, FrontOptions, IdentityGate};
use marram_http::{
    Client, ClientLimits, ClientRequest, ClientResponse, Direct, HeaderMap, HeaderName, HeaderValue, StreamedResponse,
};
use marram_identity::{
    BoxFuture, CallContext, CallFacts, IamService, Identity, IdentityOptions, Service, StsService, TlsDetails,
};
use marram_obs::Metrics;
use marram_pki::{CertificateAuthority, Validity};
use marram_store::{Store, StoreOptions};
use marram_tls::{
    Acceptor, AcceptorOptions, ClientOptions, Connector, HandshakeGate, HandshakeLimits, Listener, ServerCertificate,
};
use marram_types::{AccountId, Clock, ManualClock, Region, RequestId, SystemClock};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Headers of a request, by name.
pub type Headers<'h> = &'h [(&'h str, &'h str)];

/// A policy that gives nothing of what tests ask for.
pub fn nothing() -> Value {
    json!({"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "iot:Nothing", "Resource": "*"}})
}

pub const PASSWORD: &str = "a gate in the dunes";
/// Where `Things` finds its things: an account sees its own.
const THING_ARN: &str = "arn:aws:iot:us-east-1";

/// Knows one thing per account, and tells whose it is.
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
            let name = input["thingName"].as_str().unwrap_or_default().to_owned();
            let arn = format!("{THING_ARN}:{}:thing/{name}", ctx.account);
            let _grant = ctx.authorize(operation.iam_action, &arn, |_| {})?;
            match operation.name {
                "DescribeThing" if name == "ghost" => Err(ApiError::not_found("no thing by that name")),
                "DescribeThing" => Ok(json!({"thingName": name, "thingId": ctx.account.as_str()})),
                "DeleteThing" => Ok(json!({})),
                name => Err(ApiError::not_supported(name)),
            }
        })
    }
}

/// Answers the verb and whose namespace was asked.
struct Echo;

impl Language for Echo {
    fn answer(&self, account: &AccountId, _: &Region, verb: &str, input: &Value) -> Result<Value, ApiError> {
        Ok(json!({"verb": verb, "account": account.as_str(), "bytes": input["text"].as_str().map_or(0, str::len)}))
    }
}

/// One certificate, which may do anything on `hall`.
struct OneDevice;

/// Its ARN.
pub const CERTIFICATE: &str = "arn:aws:iot:us-east-1:000000000000:cert/c1";

impl Devices for OneDevice {
    fn survey(
        &self,
        account: &AccountId,
        _: &Region,
        _: &str,
        resource: &str,
        _: usize,
    ) -> Result<SurveyedDevices, ApiError> {
        let devices = if account.as_str() == "000000000000" && resource.ends_with("hall") {
            vec![(CERTIFICATE.to_owned(), true, vec![("Hall".to_owned(), "0".to_owned())])]
        } else {
            Vec::new()
        };
        Ok(SurveyedDevices { devices, more: false })
    }

    fn documents(&self, _: &AccountId, _: &Region, arn: &str) -> Result<Option<Vec<(String, String)>>, ApiError> {
        let document = r#"{"Statement":{"Effect":"Allow","Action":"iot:Publish","Resource":"hall"}}"#;
        Ok((arn == CERTIFICATE).then(|| vec![("Hall".to_owned(), document.to_owned())]))
    }
}

/// No device connects.
struct Nobody;

impl Authenticator for Nobody {
    fn authenticate<'a>(&'a self, _: &'a PeerInfo, _: &'a marram_mqtt::Connect) -> Authenticating<'a> {
        Box::pin(async { Err(Denied::NotAuthorized) })
    }
}

/// Pages of a test.
#[derive(Default)]
pub struct Pages(pub HashMap<&'static str, &'static [u8]>);

impl Files for Pages {
    fn file(&self, path: &str) -> Option<(Cow<'static, [u8]>, [u8; 32])> {
        self.0.get(path).map(|data| (Cow::Borrowed(*data), [u8::try_from(data.len()).unwrap(); 32]))
    }
}

pub struct Bench {
    pub console: Console,
    pub identity: Identity,
    pub clock: Arc<ManualClock>,
    pub account: AccountId,
    pub other: AccountId,
    pub address: SocketAddr,
    pub broker: Broker,
    pub history: History,
    store: Store,
    audit: Audit,
    client: Client,
    _stop: watch::Sender<bool>,
    running: JoinHandle<()>,
    dir: Arc<tempfile::TempDir>,
}

impl Bench {
    pub async fn start() -> Bench {
        Bench::with_pages(Pages::default()).await
    }

    pub async fn with_pages(pages: Pages) -> Bench {
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        Bench::open(Arc::new(tempfile::tempdir().unwrap()), clock, pages).await
    }

    /// Ends this run and starts another one over the same data.
    pub async fn restart(self) -> Bench {
        let (dir, clock) = (Arc::clone(&self.dir), Arc::clone(&self.clock));
        let mut over = self;
        over.running.abort();
        let _ = (&mut over.running).await;
        over.audit.close();
        over.store.close();
        drop(over);
        Bench::open(dir, clock, Pages::default()).await
    }

    async fn open(dir: Arc<tempfile::TempDir>, clock: Arc<ManualClock>, pages: Pages) -> Bench {
        let store = open_store(dir.path()).await;
        let audit = Audit::open(store.clone(), dir.path(), clock.clone()).unwrap();
        let identity = Identity::open(store.clone(), audit.clone(), clock.clone(), IdentityOptions::default()).unwrap();
        let account = AccountId::first();
        if identity.accounts().is_empty() {
            identity.create_account("first", Some(account.clone())).await.unwrap();
            identity.create_account("other", None).await.unwrap();
        }
        let other = identity.accounts().into_iter().find(|other| *other != account).unwrap();
        store.migrate(marram_console::MIGRATIONS).unwrap();
        store.migrate(marram_flow_runtime::history::MIGRATIONS).unwrap();
        let ports = Ports { authenticator: Arc::new(Nobody), interceptor: None, store: None };
        let broker = Broker::start(BrokerOptions::default(), ports).unwrap();
        let history = History::new(store.clone());
        let options = ConsoleOptions {
            home: account.clone(),
            region: Region::default_region(),
            secret: b"secret of the test".to_vec(),
            files: Arc::new(pages),
            broker: broker.clone(),
            history: history.clone(),
            language: Arc::new(Echo),
            devices: Arc::new(OneDevice),
            metrics: Metrics::new(),
        };
        let console = Console::open(store.clone(), identity.clone(), options).unwrap();
        console.set_endpoints(Endpoints { api: "api:1".into(), mqtt: "mqtt:2".into(), device: "device:3".into() });
        let services: Vec<Arc<dyn Service>> = vec![
            Arc::new(Things),
            Arc::new(IamService::new(identity.clone())),
            Arc::new(StsService::new(identity.clone())),
        ];
        let mut options = FrontOptions::new(Region::default_region(), clock.clone());
        options.streams = vec![Arc::new(console.clone())];
        let door = Arc::new(FrontDoor::new(Arc::new(IdentityGate::new(identity.clone())), services, options));
        console.call_through(&door);

        let now = SystemClock.now().as_secs();
        let ca = CertificateAuthority::create("test CA", Validity::starting(now, 86_400)).unwrap();
        let server = ca.issue_server(&["127.0.0.1".to_owned()], Validity::starting(now, 86_400)).unwrap();
        let certificate = ServerCertificate::from_pem(&server.chain_pem, &server.key_pem).unwrap();
        let handshakes = HandshakeGate::new(HandshakeLimits::default());
        let acceptor = Acceptor::new(Listener::Api, &certificate, AcceptorOptions::default(), handshakes);
        let listener = ApiListener::bind(([127, 0, 0, 1], 0).into(), acceptor, door, None).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(listener.run(stopped));
        let options = ClientOptions { roots_pem: ca.certificate_pem(), ..ClientOptions::default() };
        let direct = Direct { tls: Some(Connector::new(options).unwrap()) };
        let client = Client::new(direct, ClientLimits::default());
        Bench {
            console,
            identity,
            clock,
            account,
            other,
            address,
            broker,
            history,
            store,
            audit,
            client,
            _stop: stop,
            running,
            dir,
        }
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> ClientResponse {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let request = ClientRequest {
            method: method.parse().unwrap(),
            url: format!("https://{}{path}", self.address).parse().unwrap(),
            headers: map,
            body: Bytes::copy_from_slice(body.as_bytes()),
        };
        self.client.send(request, Duration::from_secs(20)).await.unwrap()
    }

    /// A browser that has opened the console.
    pub async fn browser(&self) -> Browser<'_> {
        let mut browser = Browser { bench: self, cookie: None, csrf: String::new() };
        browser.session().await;
        browser
    }

    /// A stream of a browser, opened.
    pub async fn watch(&self, path: &str, cookie: &str) -> StreamedResponse {
        let mut headers = HeaderMap::new();
        headers.insert("cookie", HeaderValue::from_str(cookie).unwrap());
        let url = format!("https://{}/console/api/live/{path}", self.address).parse().unwrap();
        let request = ClientRequest { method: "GET".parse().unwrap(), url, headers, body: Bytes::new() };
        self.client.open(request, Duration::from_secs(20)).await.unwrap()
    }

    pub async fn first_token(&self) -> String {
        token_of(self.console.first_link().await.unwrap().unwrap())
    }

    /// A person of an account who has enrolled, and the secret of the second factor.
    pub async fn person(&self, account: &AccountId, user: &str) -> (Browser<'_>, Vec<u8>) {
        let token = token_of(self.console.link_for(account, user).await.unwrap().unwrap());
        let mut browser = self.browser().await;
        let enrolling = browser.post("sign-in/link", json!({"token": token})).await;
        assert_eq!(enrolling.document["state"], "enrolling", "{}", enrolling.document);
        let secret = unbase32(enrolling.document["secret"].as_str().unwrap());
        let code = self.code(&secret);
        let signed_in = browser.post("enrol", json!({"password": PASSWORD, "code": code})).await;
        assert_eq!(signed_in.document["state"], "signed-in", "{}", signed_in.document);
        (browser, secret)
    }

    /// The code of the present step, after moving on to a step nobody has used.
    pub fn next_code(&self, secret: &[u8]) -> String {
        self.clock.advance(Duration::from_secs(30));
        self.code(secret)
    }

    pub fn code(&self, secret: &[u8]) -> String {
        let step = self.clock.now().as_secs().div_euclid(30);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let at = usize::from(tag.as_ref()[19] & 15);
        let word = u32::from_be_bytes(tag.as_ref()[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
        format!("{:06}", word % 1_000_000)
    }

    /// An IAM user of the first account with this inline policy.
    pub async fn user(&self, name: &str, policy: Value) {
        self.iam("CreateUser", json!({"UserName": name})).await;
        let document = policy.to_string();
        let input = json!({"UserName": name, "PolicyName": "only", "PolicyDocument": document});
        self.iam("PutUserPolicy", input).await;
    }

    pub async fn iam(&self, operation: &str, input: Value) -> Value {
        let operation = ServiceId::Iam.operation(operation).unwrap();
        let facts = CallFacts {
            region: Region::default_region(),
            request_id: RequestId::fresh(),
            source_ip: [127, 0, 0, 1].into(),
            user_agent: "test".to_owned(),
            now: self.clock.now(),
            operation,
            request_parameters: Value::Null,
            tls: TlsDetails::default(),
        };
        let administrator = self.identity.user_principal(&self.account, "administrator").unwrap();
        let context = self.identity.context(administrator, facts);
        IamService::new(self.identity.clone()).call(&context, operation, input).await.unwrap()
    }

    /// Audit records of an account with this event name, newest first.
    pub fn records(&self, account: &AccountId, event: &str) -> Vec<Value> {
        self.audit.flush();
        let query = LookupQuery { limit: 200, ..LookupQuery::default() };
        let page = self.store.read(|snapshot| lookup(snapshot, account, &Region::default_region(), &query)).unwrap();
        let records = page.records.into_iter().map(|record| serde_json::from_str::<Value>(&record.record).unwrap());
        records.filter(|record| record["eventName"] == event).collect()
    }

    /// Waits until the audit log holds what is due by now.
    pub fn flush(&self) {
        self.audit.flush();
    }

    pub fn checkpoint(&self) {
        self.audit.checkpoint();
    }

    /// Changes a record behind the log's back.
    pub async fn tamper(&self) {
        let sql = "UPDATE audit_record SET record = REPLACE(record, 'CreateUser', 'CreateFoes') WHERE account = '000000000000'";
        self.store.write(move |tx| tx.execute_script(sql)).await.unwrap();
    }

    /// Everything the tables of the console hold, as text.
    pub fn rows(&self) -> String {
        let files = ["marram.db", "marram.db-wal"];
        let read = |name| std::fs::read(self.dir.path().join(name)).unwrap_or_default();
        files.iter().map(|name| String::from_utf8_lossy(&read(name)).into_owned()).collect()
    }
}

/// The lock of a run that has just ended may take a moment to go.
async fn open_store(dir: &Path) -> Store {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        match Store::open(dir, StoreOptions::default()) {
            Ok(store) => return store,
            Err(error) if std::time::Instant::now() > deadline => panic!("{error}"),
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

pub fn token_of(link: marram_console::FirstLink) -> String {
    link.url("https://x").rsplit_once("token=").unwrap().1.to_owned()
}

pub fn unbase32(text: &str) -> Vec<u8> {
    let (mut out, mut buffer, mut bits) = (Vec::new(), 0_u32, 0);
    for c in text.bytes() {
        let five = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|known| *known == c).unwrap();
        buffer = buffer << 5 | u32::try_from(five).unwrap();
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push((buffer >> bits) as u8);
        }
        buffer &= (1 << bits) - 1;
    }
    out
}

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub document: Value,
}

impl Answer {
    fn of(response: ClientResponse) -> Answer {
        let document = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
        Answer { status: response.status.as_u16(), headers: response.headers, document }
    }

    /// Status and code of an error.
    pub fn error(&self) -> (u16, &str) {
        (self.status, self.document["error"]["code"].as_str().unwrap_or("no error"))
    }
}

pub struct Browser<'b> {
    pub bench: &'b Bench,
    pub cookie: Option<String>,
    pub csrf: String,
}

impl Browser<'_> {
    pub async fn session(&mut self) -> Value {
        let answer = self.get("session").await;
        self.keep(&answer);
        answer.document
    }

    pub async fn get(&self, verb: &str) -> Answer {
        let cookie = self.cookie.clone().unwrap_or_default();
        let headers: &[(&str, &str)] = if cookie.is_empty() { &[] } else { &[("cookie", &cookie)] };
        Answer::of(self.bench.send("GET", &format!("/console/api/{verb}"), headers, "").await)
    }

    /// What the pages send; the cookie and the CSRF token of the answer are taken over.
    pub async fn post(&mut self, verb: &str, body: Value) -> Answer {
        let origin = format!("https://{}", self.bench.address);
        let answer = self.post_with(verb, body, &[("origin", &origin), ("sec-fetch-site", "same-origin")]).await;
        self.keep(&answer);
        answer
    }

    /// As [`Browser::post`] with other headers on top; an empty value leaves one out.
    pub async fn post_with(&self, verb: &str, body: Value, headers: &[(&str, &str)]) -> Answer {
        let cookie = self.cookie.clone().unwrap_or_default();
        let mut all = vec![("content-type", "application/json"), ("x-marram-csrf", &self.csrf), ("cookie", &cookie)];
        all.retain(|(name, _)| !headers.iter().any(|(other, _)| other == name));
        all.extend(headers.iter().filter(|(_, value)| !value.is_empty()));
        Answer::of(self.bench.send("POST", &format!("/console/api/{verb}"), &all, &body.to_string()).await)
    }

    pub async fn call(&mut self, service: &str, operation: &str, input: Value) -> Answer {
        self.post("call", json!({"service": service, "operation": operation, "input": input})).await
    }

    fn keep(&mut self, answer: &Answer) {
        if let Some(cookie) = answer.headers.get("set-cookie") {
            self.cookie = Some(cookie.to_str().unwrap().split(';').next().unwrap().to_owned());
        }
        if let Some(csrf) = answer.document["csrf"].as_str() {
            self.csrf = csrf.to_owned();
        }
    }
}
