//! The HTTP contract of the token exchange, case by case (CR 8.1), and what is kept how long (CR 8.2).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use marram_edge_ports::{AwsCredentials, Caller, CallerKind, Credentials, CredentialsError, Identities, Later, Peer};
use marram_http::{
    Client, ClientLimits, ClientRequest, ClientResponse, Dial, Dialling, Direct, Handler, Head, HeaderMap, HeaderValue,
    Method, Origin, Refusal, Response, ServerLimits, serve,
};
use marram_token_exchange::{Believed, Server, SessionPolicies, Upstream, UpstreamSettings};
use marram_types::{ManualClock, Timestamp};

struct Tokens;

impl Identities for Tokens {
    fn authenticate(&self, token: &str, _: Peer) -> Option<Caller> {
        self.owner_of(token)
    }
    fn owner_of(&self, token: &str) -> Option<Caller> {
        let name = token.strip_prefix("token-of-")?;
        Some(Caller { name: name.into(), kind: CallerKind::Component })
    }
}

struct Fixed(Result<AwsCredentials, CredentialsError>);

impl Credentials for Fixed {
    fn credentials<'a>(&'a self, _: Option<&'a str>) -> Later<'a, AwsCredentials, CredentialsError> {
        Box::pin(async { self.0.clone() })
    }
}

fn some() -> AwsCredentials {
    AwsCredentials {
        access_key_id: "ASIA1".into(),
        secret_access_key: "secret".into(),
        session_token: "session".into(),
        expiration: "2026-07-20T12:00:00Z".into(),
    }
}

async fn ask(server: &Server, method: Method, path: &str, token: Option<&str>) -> ClientResponse {
    let client = Client::new(Direct::default(), ClientLimits::default());
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        headers.insert("authorization", HeaderValue::from_str(token).unwrap());
    }
    let url = format!("http://{}{path}", server.address()).parse().unwrap();
    client.send(ClientRequest { method, url, headers, body: Bytes::new() }, Duration::from_secs(5)).await.unwrap()
}

async fn server(outcome: Result<AwsCredentials, CredentialsError>) -> Server {
    let permission = Arc::new(|caller: &Caller| caller.name != "forbidden");
    Server::start(0, Arc::new(Tokens), permission, Arc::new(Fixed(outcome))).await.unwrap()
}

const PATH: &str = "/2016-11-01/credentialprovider/";

/// CR 8.1: the table, and SEC-134: a component without the right gets nothing.
#[tokio::test]
async fn every_case_has_its_status() {
    let up = server(Ok(some())).await;
    let cases = [
        (Method::GET, PATH, Some("token-of-a"), 200),
        (Method::POST, PATH, Some("token-of-a"), 405),
        (Method::GET, "/2016-11-01/credentialprovider", Some("token-of-a"), 400),
        (Method::GET, PATH, None, 403),
        (Method::GET, PATH, Some("stolen"), 403),
        (Method::GET, PATH, Some("token-of-forbidden"), 403),
    ];
    for (method, path, token, status) in cases {
        let response = ask(&up, method.clone(), path, token).await;
        assert_eq!(response.status.as_u16(), status, "{method} {path} {token:?}");
        if status == 200 {
            let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
            assert_eq!(
                body,
                serde_json::json!({"AccessKeyId": "ASIA1", "SecretAccessKey": "secret", "Token": "session", "Expiration": "2026-07-20T12:00:00Z"})
            );
        } else {
            assert!(response.body.is_empty());
        }
    }
    for (error, status, text) in [
        (CredentialsError::Answered { status: 403, body: "no".into() }, 403, "TES responded with status code: 403"),
        (CredentialsError::Answered { status: 503, body: "no".into() }, 503, "TES responded with status code: 503"),
        (CredentialsError::Unavailable("the line is down".into()), 500, "the line is down"),
        (CredentialsError::Deadline, 504, ""),
    ] {
        let down = server(Err(error)).await;
        let response = ask(&down, Method::GET, PATH, Some("token-of-a")).await;
        assert_eq!(response.status.as_u16(), status);
        assert!(String::from_utf8_lossy(&response.body).starts_with(text));
    }
}

/// SEC-134: in the network of a component only its own token is good.
#[tokio::test]
async fn inside_a_network_a_stolen_token_is_worth_nothing() {
    let server = server(Ok(some())).await;
    for (component, status) in [("a", 200), ("b", 403)] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inside = server.inside();
        tokio::spawn(async move { inside.serve(component.into(), listener.accept().await.unwrap().0).await });
        let client = Client::new(Direct::default(), ClientLimits::default());
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("token-of-a"));
        let url = format!("http://{address}{PATH}").parse().unwrap();
        let request = ClientRequest { method: Method::GET, url, headers, body: Bytes::new() };
        let response = client.send(request, Duration::from_secs(5)).await.unwrap();
        assert_eq!(response.status.as_u16(), status, "{component}");
    }
}

/// Tokens of one process.
struct Of(u32);

impl Identities for Of {
    fn authenticate(&self, token: &str, peer: Peer) -> Option<Caller> {
        (peer.pid == self.0).then(|| self.owner_of(token)).flatten()
    }
    fn owner_of(&self, token: &str) -> Option<Caller> {
        Tokens.owner_of(token)
    }
}

/// SEC-133: a token is good in the processes that it was given to; process 0 stands for those that nobody can name.
#[tokio::test]
async fn a_token_is_worth_nothing_to_another() {
    for (process, status) in [(std::process::id(), 200), (std::process::id() + 1, 403), (0, 200)] {
        let permission = Arc::new(|_: &Caller| true);
        let server = Server::start(0, Arc::new(Of(process)), permission, Arc::new(Fixed(Ok(some())))).await.unwrap();
        assert_eq!(ask(&server, Method::GET, PATH, Some("token-of-a")).await.status.as_u16(), status, "{process}");
    }
}

/// A credentials provider whose answers are told by the test.
struct Provider {
    asked: AtomicUsize,
    status: AtomicUsize,
    expiration: Mutex<&'static str>,
    /// For whom each was asked, and what was to narrow it.
    sessions: Mutex<Vec<(Option<String>, Option<String>)>>,
}

impl Provider {
    fn new() -> Arc<Self> {
        let expiration = Mutex::new("2026-07-20T12:00:00Z");
        let (asked, status) = (AtomicUsize::new(0), AtomicUsize::new(200));
        Arc::new(Self { asked, status, expiration, sessions: Mutex::default() })
    }

    /// The sessions asked for since the last call.
    fn sessions(&self) -> Vec<(Option<String>, Option<String>)> {
        std::mem::take(&mut *self.sessions.lock().unwrap())
    }

    fn settings(self: &Arc<Self>) -> UpstreamSettings {
        UpstreamSettings {
            client: Client::new(Pipe(Arc::clone(self)), ClientLimits::default()),
            endpoint: "http://provider".into(),
            role_alias: "alias".into(),
            thing: "core".into(),
            timeout: Duration::from_secs(60),
            believed: Believed::default(),
        }
    }
}

impl Handler for Provider {
    fn body_limit(&self, _: &Head) -> usize {
        0
    }
    async fn handle(&self, head: &Head, _: Bytes) -> Response {
        assert_eq!(head.uri.path(), "/role-aliases/alias/credentials");
        assert_eq!(head.headers["x-amzn-iot-thingname"], "core");
        self.asked.fetch_add(1, Ordering::SeqCst);
        let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let component = header("x-marram-session-for");
        self.sessions.lock().unwrap().push((component.clone(), header("x-marram-session-policy")));
        let key = component.map_or("ASIA1".to_owned(), |name| format!("ASIA-{name}"));
        let status = self.status.load(Ordering::SeqCst);
        let body = serde_json::json!({"credentials": {
            "accessKeyId": key, "secretAccessKey": "secret", "sessionToken": "session",
            "expiration": *self.expiration.lock().unwrap(),
        }});
        let mut response = Response::new(Bytes::from(if status == 200 { body.to_string() } else { "{}".to_owned() }));
        *response.status_mut() = u16::try_from(status).unwrap().try_into().unwrap();
        response
    }
    fn refuse(&self, _: &Head, _: Refusal) -> Response {
        Response::default()
    }
}

/// In-process road; cut while `status` is 0.
#[derive(Clone)]
struct Pipe(Arc<Provider>);

impl Dial for Pipe {
    fn dial<'a>(&'a self, _: &'a Origin) -> Dialling<'a> {
        Box::pin(async {
            if self.0.status.load(Ordering::SeqCst) == 0 {
                return Err(std::io::ErrorKind::NetworkUnreachable.into());
            }
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            let provider = Arc::clone(&self.0);
            tokio::spawn(async move {
                serve(theirs, provider, &ServerLimits::default(), std::future::pending()).await;
            });
            Ok(Box::new(ours) as Box<dyn marram_http::Stream>)
        })
    }
}

/// CR 8.2 and its [M]: one request upstream for many, refusals kept, connection errors not past the next connect, valid
/// credentials handed out while the upstream is in trouble.
#[tokio::test]
async fn what_is_kept_and_for_how_long() {
    let provider = Provider::new();
    let clock = Arc::new(ManualClock::new(Timestamp::parse_rfc3339("2026-07-20T11:00:00Z").unwrap()));
    let settings = provider.settings();
    let upstream = Upstream::new(Some(settings.clone()), clock.clone());
    let asked = || provider.asked.load(Ordering::SeqCst);

    let many: Vec<_> = (0..10)
        .map(|_| {
            let upstream = Arc::clone(&upstream);
            tokio::spawn(async move { upstream.credentials(None).await })
        })
        .collect();
    for one in many {
        assert_eq!(one.await.unwrap().unwrap().access_key_id, "ASIA1");
    }
    assert_eq!(asked(), 1, "one request for all");

    // Within five minutes of the end it asks again; trouble does not take away what is still valid.
    clock.advance(Duration::from_secs(56 * 60));
    provider.status.store(503, Ordering::SeqCst);
    assert!(upstream.credentials(None).await.is_ok());
    assert_eq!(asked(), 2);
    clock.advance(Duration::from_secs(4 * 60));
    assert_eq!(upstream.credentials(None).await, Err(CredentialsError::Answered { status: 503, body: "{}".into() }));
    assert_eq!(asked(), 2, "the trouble is believed for a minute");

    upstream.reconfigure(Some(settings));
    provider.status.store(0, Ordering::SeqCst);
    assert!(matches!(upstream.credentials(None).await, Err(CredentialsError::Unavailable(_))));
    provider.status.store(200, Ordering::SeqCst);
    clock.set(Timestamp::parse_rfc3339("2026-07-20T11:00:00Z").unwrap());
    upstream.line_is_up();
    assert!(upstream.credentials(None).await.is_ok(), "a connection error is not kept past the next connect");

    upstream.reconfigure(None);
    assert_eq!(upstream.credentials(None).await, Err(CredentialsError::NotConfigured));
}

/// CR 8.2, 9.6: without a line credentials hold as long as they are valid and no longer; after a week the first question behind the
/// line gets new ones.
#[tokio::test]
async fn credentials_end_with_their_time_and_come_back_with_the_line() {
    let provider = Provider::new();
    let clock = Arc::new(ManualClock::new(Timestamp::parse_rfc3339("2026-07-20T11:00:00Z").unwrap()));
    let upstream = Upstream::new(Some(provider.settings()), clock.clone());
    assert!(upstream.credentials(None).await.is_ok());
    provider.status.store(0, Ordering::SeqCst);
    for minutes in (5..7 * 24 * 60).step_by(5) {
        clock.advance(Duration::from_secs(5 * 60));
        let answer = upstream.credentials(None).await;
        assert_eq!(answer.is_ok(), minutes < 60, "{minutes} minutes: {answer:?}");
    }
    *provider.expiration.lock().unwrap() = "2026-07-27T12:00:00Z";
    provider.status.store(200, Ordering::SeqCst);
    upstream.line_is_up();
    assert_eq!(upstream.credentials(None).await.unwrap().expiration, "2026-07-27T12:00:00Z");
}

/// SEC-134, CR 8.2: each component has a session of its own, asked for once, under its name and with its policy; the core's own bears no
/// mark. What changed or is gone is asked for anew, and a policy that cannot be read gives nothing.
#[tokio::test]
async fn every_component_has_its_own_session() {
    let provider = Provider::new();
    let clock = Arc::new(ManualClock::new(Timestamp::parse_rfc3339("2026-07-20T11:00:00Z").unwrap()));
    let narrow = Arc::new(Mutex::new("{}"));
    let policies: SessionPolicies = {
        let narrow = Arc::clone(&narrow);
        Arc::new(move |component| match component {
            "broken" => Err("marram.session.policy: no".to_owned()),
            "narrow" => Ok(Some((*narrow.lock().unwrap()).to_owned())),
            _ => Ok(None),
        })
    };
    let upstream = Upstream::narrowed(Some(provider.settings()), clock, policies);
    let marked = |component: &str, policy: Option<&str>| (Some(component.to_owned()), policy.map(str::to_owned));

    let all = ["narrow", "wide", "Wide"].map(Some).into_iter().chain([None]);
    let many: Vec<_> = (0..5)
        .flat_map(|_| all.clone())
        .map(|name| {
            let upstream = Arc::clone(&upstream);
            tokio::spawn(async move { (name, upstream.credentials(name).await.unwrap().access_key_id) })
        })
        .collect();
    for one in many {
        let (name, key) = one.await.unwrap();
        assert_eq!(key, name.map_or("ASIA1".to_owned(), |name| format!("ASIA-{name}")));
    }
    let mut asked = provider.sessions();
    asked.sort();
    let mut expected = [(None, None), marked("Wide", None), marked("narrow", Some("e30=")), marked("wide", None)];
    expected.sort();
    assert_eq!(asked, expected, "one request for each, whatever the case of a name");

    *narrow.lock().unwrap() = "[]";
    assert!(upstream.credentials(Some("narrow")).await.is_ok());
    assert_eq!(provider.sessions(), [marked("narrow", Some("W10="))], "another policy is another session");
    assert_eq!(
        upstream.credentials(Some("broken")).await,
        Err(CredentialsError::Unavailable("marram.session.policy: no".to_owned()))
    );
    upstream.retain(|name| name != "wide");
    for name in [Some("narrow"), Some("wide"), Some("Wide"), None] {
        assert!(upstream.credentials(name).await.is_ok());
    }
    assert_eq!(provider.sessions(), [marked("wide", None)], "a component that was gone begins anew");

    // A refusal is one component's, trouble of the line is everybody's.
    provider.status.store(403, Ordering::SeqCst);
    assert!(matches!(upstream.credentials(Some("a")).await, Err(CredentialsError::Answered { status: 403, .. })));
    provider.status.store(200, Ordering::SeqCst);
    assert!(upstream.credentials(Some("b")).await.is_ok());
    assert!(upstream.credentials(Some("a")).await.is_err(), "believed for two minutes");
    provider.status.store(0, Ordering::SeqCst);
    assert!(matches!(upstream.credentials(Some("c")).await, Err(CredentialsError::Unavailable(_))));
    provider.status.store(200, Ordering::SeqCst);
    provider.sessions();
    assert!(upstream.credentials(Some("d")).await.is_err(), "nobody asks while the line is down");
    assert!(upstream.credentials(Some("b")).await.is_ok(), "who has credentials keeps them");
    assert_eq!(provider.sessions(), []);
    upstream.line_is_up();
    assert!(upstream.credentials(Some("d")).await.is_ok());
}

/// SEC-134: as many components as there may be; a core keeps no more sessions than its bound, and never forgets its own for them.
#[tokio::test]
async fn sessions_are_bounded() {
    const BOUND: usize = 256;
    let provider = Provider::new();
    let clock = Arc::new(ManualClock::new(Timestamp::parse_rfc3339("2026-07-20T11:00:00Z").unwrap()));
    let upstream = Upstream::new(Some(provider.settings()), clock);
    assert!(upstream.credentials(None).await.is_ok());
    for number in 0..=BOUND {
        assert!(upstream.credentials(Some(&format!("c{number}"))).await.is_ok());
    }
    assert_eq!(provider.sessions().len(), BOUND + 2);
    for name in [None, Some("c1"), Some("c256")] {
        assert!(upstream.credentials(name).await.is_ok());
    }
    assert_eq!(provider.sessions(), [], "these are kept");
    assert!(upstream.credentials(Some("c0")).await.is_ok());
    assert_eq!(provider.sessions().len(), 1, "the one asked for longest ago is not");
}
