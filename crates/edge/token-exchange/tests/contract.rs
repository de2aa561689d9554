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
use marram_token_exchange::{Believed, Server, Upstream, UpstreamSettings};
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

/// A credentials provider whose answers are told by the test.
struct Provider {
    asked: AtomicUsize,
    status: AtomicUsize,
    expiration: Mutex<&'static str>,
}

impl Provider {
    fn new() -> Arc<Self> {
        let expiration = Mutex::new("2026-07-20T12:00:00Z");
        Arc::new(Self { asked: AtomicUsize::new(0), status: AtomicUsize::new(200), expiration })
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
        let status = self.status.load(Ordering::SeqCst);
        let body = serde_json::json!({"credentials": {
            "accessKeyId": "ASIA1", "secretAccessKey": "secret", "sessionToken": "session",
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
            tokio::spawn(async move { upstream.credentials(Some("c")).await })
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

    upstream.reconfigure(Some(settings)).await;
    provider.status.store(0, Ordering::SeqCst);
    assert!(matches!(upstream.credentials(None).await, Err(CredentialsError::Unavailable(_))));
    provider.status.store(200, Ordering::SeqCst);
    clock.set(Timestamp::parse_rfc3339("2026-07-20T11:00:00Z").unwrap());
    upstream.line_is_up().await;
    assert!(upstream.credentials(None).await.is_ok(), "a connection error is not kept past the next connect");

    upstream.reconfigure(None).await;
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
    upstream.line_is_up().await;
    assert_eq!(upstream.credentials(None).await.unwrap().expiration, "2026-07-27T12:00:00Z");
}
