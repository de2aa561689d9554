//! Secrets against a scripted Secrets Manager that checks every signature.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use marram_edge_ports::{
    AwsCredentials, Credentials, CredentialsError, Later, PortError, SecretAnswer, SecretPayload, SecretQuery, Secrets,
};
use marram_http::{Client, ClientLimits, Direct, Handler, Head, Refusal, Response, ServerLimits, StatusCode, serve};
use marram_parts::{Scope, SecretSettings};
use marram_secret_store::{DeviceKeyFile, SealingRoot, SecretStore, Source, SourceSettings};
use marram_sigv4::{Expectation, Payload, Presented, Request};
use marram_types::{SecretString, SystemClock};
use serde_json::{Value, json};

const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const DB: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:greengrass/db-AbCdEf";
const MARKER: &str = "planted-marker-4711";

struct Fixed;

impl Credentials for Fixed {
    fn credentials<'a>(&'a self, _: Option<&'a str>) -> Later<'a, AwsCredentials, CredentialsError> {
        Box::pin(async {
            Ok(AwsCredentials {
                access_key_id: "ASIA1".into(),
                secret_access_key: SECRET_KEY.into(),
                session_token: "session".into(),
                expiration: "2100-01-01T00:00:00Z".into(),
            })
        })
    }
}

/// Versions by label.
#[derive(Default)]
struct Cloud {
    versions: Mutex<HashMap<String, (String, String)>>,
    asked: AtomicUsize,
    failures: AtomicUsize,
}

impl Cloud {
    fn put(&self, label: &str, version: &str, value: &str) {
        self.versions.lock().unwrap().insert(label.to_owned(), (version.to_owned(), value.to_owned()));
    }

    fn answer(&self, head: &Head, body: &[u8]) -> (u16, Value) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let headers: Vec<(&str, &[u8])> =
            head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let request = Request { method: "POST", target: head.uri.path(), headers: &headers };
        let expect = Expectation { regions: &["us-east-1"], services: &["secretsmanager"], unsigned_payload: false };
        let now = SystemClock::shared().now().as_secs();
        let presented = Presented::parse(&request).unwrap();
        assert_eq!(presented.token(), Some("session"));
        presented.verify(&request, Payload::Bytes(body), Some(&SecretString::new(SECRET_KEY)), now, &expect).unwrap();
        assert_eq!(head.headers["x-amz-target"], "secretsmanager.GetSecretValue");
        if self.failures.load(Ordering::SeqCst) > 0 {
            self.failures.fetch_sub(1, Ordering::SeqCst);
            return (503, json!({"__type": "InternalServiceError"}));
        }
        let asked: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(asked["SecretId"], DB);
        let label = asked["VersionStage"].as_str().unwrap();
        match self.versions.lock().unwrap().get(label) {
            None => (400, json!({"__type": "ResourceNotFoundException", "message": "no"})),
            Some((version, value)) => (
                200,
                json!({"ARN": DB, "Name": "greengrass/db", "VersionId": version, "VersionStages": [label],
                       "SecretString": value, "CreatedDate": 1.7e9}),
            ),
        }
    }
}

struct Door(Arc<Cloud>);

impl Handler for Door {
    fn body_limit(&self, _: &Head) -> usize {
        4096
    }
    async fn handle(&self, head: &Head, body: Bytes) -> Response {
        let (status, body) = self.0.answer(head, &body);
        let mut response = Response::new(Bytes::from(body.to_string()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response
    }
    fn refuse(&self, _: &Head, _: Refusal) -> Response {
        Response::new(Bytes::new())
    }
}

struct Bench {
    cloud: Arc<Cloud>,
    endpoint: String,
    dir: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let cloud = Arc::new(Cloud::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let door = Arc::new(Door(cloud.clone()));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let door = door.clone();
                tokio::spawn(async move {
                    serve(socket, door, &ServerLimits::default(), std::future::pending()).await;
                });
            }
        });
        Self { cloud, endpoint, dir: tempfile::tempdir().unwrap() }
    }

    fn source(&self, online: bool) -> Source {
        let settings = SourceSettings {
            client: Client::new(Direct::default(), ClientLimits::default()),
            endpoint: if online { self.endpoint.clone() } else { "http://127.0.0.1:1".to_owned() },
            region: "us-east-1".to_owned(),
        };
        Source::new(Arc::new(move || Some(settings.clone())), Arc::new(Fixed), SystemClock::shared())
    }

    fn open(&self, key: &str, online: bool) -> SecretStore {
        let settings = read(&json!({"cloudSecrets": [{"arn": DB, "labels": ["blue"]}]}));
        SecretStore::open(self.dir.path(), root(key), self.source(online), settings).unwrap()
    }
}

fn read(configuration: &Value) -> SecretSettings {
    SecretSettings::read(configuration, Scope::Core("core")).usable().unwrap()
}

fn root(key: &str) -> Arc<dyn SealingRoot> {
    let pem = format!(
        "-----BEGIN EC PARAMETERS-----\nBgg=\n-----END EC PARAMETERS-----\n-----BEGIN EC PRIVATE KEY-----\n{key}\n-----END EC PRIVATE KEY-----\n"
    );
    Arc::new(DeviceKeyFile::from_pem(&pem).unwrap())
}

async fn get(store: &SecretStore, id: &str, stage: Option<&str>, refresh: bool) -> Result<SecretAnswer, PortError> {
    let version_stage = stage.map(str::to_owned);
    store.get(SecretQuery { secret_id: id.to_owned(), version_id: None, version_stage, refresh }).await
}

fn text(answer: &SecretAnswer) -> &str {
    let SecretPayload::Text(text) = &answer.value else { panic!("a binary value") };
    text
}

/// CC 5.2, SEC-165: fetched once, found by name and ARN, kept over a restart without a line, refreshed on demand.
#[tokio::test]
async fn a_secret_is_kept_for_the_time_without_a_line() {
    let bench = Bench::new().await;
    bench.cloud.put("AWSCURRENT", "v1", MARKER);
    bench.cloud.put("blue", "v0", "old");
    let store = bench.open("QUJD", true);
    assert_eq!(store.refresh().await.unwrap(), 0);
    for id in [DB, "greengrass/db"] {
        assert_eq!(store.arn_of(id).unwrap(), DB);
        let answer = get(&store, id, None, false).await.unwrap();
        assert_eq!((answer.arn.as_str(), answer.version_id.as_str(), text(&answer)), (DB, "v1", MARKER));
    }
    assert_eq!(text(&get(&store, DB, Some("blue"), false).await.unwrap()), "old");
    drop(store);

    let file = std::fs::read(bench.dir.path().join("secrets.sealed")).unwrap();
    assert!(!file.windows(MARKER.len()).any(|window| window == MARKER.as_bytes()), "SEC-184: no value on the disk");
    let asked = bench.cloud.asked.load(Ordering::SeqCst);
    let store = bench.open("QUJD", false);
    assert_eq!(text(&get(&store, "greengrass/db", None, false).await.unwrap()), MARKER);
    assert_eq!(text(&get(&store, DB, None, true).await.unwrap()), MARKER, "refresh falls back to what is kept");
    assert_eq!(bench.cloud.asked.load(Ordering::SeqCst), asked);

    bench.cloud.put("AWSCURRENT", "v2", "new");
    bench.cloud.failures.store(2, Ordering::SeqCst);
    store.set_source(bench.source(true));
    assert_eq!(text(&get(&store, DB, None, false).await.unwrap()), MARKER);
    assert_eq!(text(&get(&store, DB, None, true).await.unwrap()), "new", "three tries");
    let by_id = SecretQuery { secret_id: DB.to_owned(), version_id: Some("v1".to_owned()), ..SecretQuery::default() };
    assert!(matches!(store.get(by_id).await, Err(PortError::ResourceNotFound { .. })), "v1 has no label any more");
}

/// CC 5.2: what is refused, and how.
#[tokio::test]
async fn refusals_are_exact() {
    let bench = Bench::new().await;
    bench.cloud.put("AWSCURRENT", "v1", "x");
    let store = bench.open("QUJD", true);
    let not_found = |outcome: Result<SecretAnswer, PortError>| match outcome {
        Err(PortError::ResourceNotFound { resource_type, .. }) => assert_eq!(resource_type.as_deref(), Some("secret")),
        _ => panic!("not refused as missing"),
    };
    not_found(get(&store, "unknown", None, false).await);
    not_found(get(&store, DB, Some("green"), true).await);
    assert_eq!(bench.cloud.asked.load(Ordering::SeqCst), 0, "labels that are not configured are never fetched");
    not_found(get(&store, DB, Some("blue"), false).await);
    assert_eq!(bench.cloud.asked.load(Ordering::SeqCst), 1);
    let both = SecretQuery {
        secret_id: DB.to_owned(),
        version_id: Some("v1".to_owned()),
        version_stage: Some("AWSCURRENT".to_owned()),
        refresh: false,
    };
    let refused = store.get(both).await.err().unwrap();
    assert_eq!(refused, PortError::InvalidArguments("Both versionId and Stage are set in the request".to_owned()));
    assert_eq!(text(&get(&store, "greengrass/db", None, false).await.unwrap()), "x", "a miss asks once");
    store.configure(SecretSettings::default());
    not_found(get(&store, DB, None, false).await);
    let offline = bench.open("QUJD", false);
    let settings = read(&json!({"cloudSecrets": [{"arn": DB.replace("db", "other")}]}));
    offline.configure(settings);
    let failed = get(&offline, "greengrass/other", None, false).await;
    assert!(matches!(failed, Err(PortError::Service { .. })));
}

/// CC 5.3: another device key opens nothing, a changed file neither; a change of keys with both at hand loses nothing.
#[tokio::test]
async fn only_the_device_key_opens_what_is_kept() {
    let bench = Bench::new().await;
    bench.cloud.put("AWSCURRENT", "v1", MARKER);
    let store = bench.open("QUJD", true);
    store.refresh().await.unwrap();
    store.set_root(root("REVG")).await.unwrap();
    drop(store);
    let empty = |store: SecretStore| async move { get(&store, DB, None, false).await.is_err() };
    assert!(empty(bench.open("QUJD", false)).await);
    assert_eq!(text(&get(&bench.open("REVG", false), DB, None, false).await.unwrap()), MARKER);

    let path = bench.dir.path().join("secrets.sealed");
    let good = std::fs::read_to_string(&path).unwrap();
    let vault: Value = serde_json::from_str(&good).unwrap();
    for (place, other) in
        [("stages", json!(["blue"])), ("version", json!("v2")), ("arn", json!("arn:x")), ("sealed", json!("AAAA"))]
    {
        let mut changed = vault.clone();
        changed["secrets"][0][place] = other;
        std::fs::write(&path, changed.to_string()).unwrap();
        assert!(empty(bench.open("REVG", false)).await, "{place}");
    }
    std::fs::write(&path, &good[..good.len() / 2]).unwrap();
    assert!(empty(bench.open("REVG", false)).await);
}
