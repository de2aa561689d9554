//! Requests to a core's shadows and what subscribers see of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use marram_edge_ports::{LocalShadows, PortError, ShadowOperation};
use marram_local_shadows::{ShadowEvents, Shadows};
use marram_parts::{RateLimits, ShadowSettings};
use marram_types::{ManualClock, Timestamp};
use serde_json::{Value, json};

#[derive(Default)]
struct Seen(Mutex<Vec<(String, Value)>>);

impl ShadowEvents for Seen {
    fn publish(&self, topic: &str, payload: Bytes) {
        self.0.lock().unwrap().push((topic.to_owned(), serde_json::from_slice(&payload).unwrap()));
    }
}

struct Bench {
    shadows: Shadows,
    seen: Arc<Seen>,
    clock: Arc<ManualClock>,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new(settings: ShadowSettings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (seen, clock) =
            (Arc::new(Seen::default()), Arc::new(ManualClock::new(Timestamp::from_secs(1_700_000_000))));
        let shadows = Shadows::open(&dir.path().join("shadows"), settings, seen.clone(), clock.clone()).unwrap();
        Self { shadows, seen, clock, dir }
    }

    fn take(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut *self.seen.0.lock().unwrap())
    }

    async fn update(&self, body: Value) -> Result<Value, PortError> {
        let answer = self.shadows.update("pump", "", Bytes::from(body.to_string())).await?;
        Ok(serde_json::from_slice(&answer).unwrap())
    }

    async fn state(&self) -> Value {
        let document: Value = serde_json::from_slice(&self.shadows.get("pump", "").await.unwrap()).unwrap();
        document["state"].clone()
    }
}

fn topics(seen: &[(String, Value)]) -> Vec<&str> {
    seen.iter().map(|(topic, _)| topic.strip_prefix("$aws/things/pump/shadow/").unwrap_or(topic)).collect()
}

/// CC 3.2: an update is told as delta, documents, accepted; the answer is the accepted document.
#[tokio::test]
async fn an_update_tells_delta_documents_accepted() {
    let bench = Bench::new(ShadowSettings::default());
    let answer = bench.update(json!({"state": {"desired": {"on": true}}, "clientToken": "t"})).await.unwrap();
    let seen = bench.take();
    assert_eq!(topics(&seen), ["update/delta", "update/documents", "update/accepted"]);
    assert_eq!(seen[0].1["state"], json!({"on": true}));
    assert_eq!(seen[1].1["previous"], Value::Null);
    assert_eq!(seen[1].1["current"]["version"], 1);
    assert_eq!(seen[2].1, answer);
    assert_eq!(
        answer,
        json!({"state": {"desired": {"on": true}}, "metadata": {"desired": {"on": {"timestamp": 1_700_000_000}}},
               "version": 1, "timestamp": 1_700_000_000, "clientToken": "t"})
    );
    bench.update(json!({"state": {"reported": {"on": true}}})).await.unwrap();
    assert_eq!(topics(&bench.take()), ["update/documents", "update/accepted"]);
}

/// CC 3.2: requests that come as local publishes are answered on `accepted` and `rejected`; answers are no requests.
#[tokio::test]
async fn a_local_publish_is_a_request() {
    let bench = Bench::new(ShadowSettings::default());
    let request = async |topic: &str, body: &str| {
        let topic = format!("$aws/things/pump/shadow/{topic}");
        bench.shadows.request(&topic, Bytes::from(body.to_owned()), true).await.unwrap();
        bench.take()
    };
    let seen = request("name/valve/get", r#"{"clientToken":"x"}"#).await;
    assert_eq!(topics(&seen), ["name/valve/get/rejected"]);
    assert_eq!(
        seen[0].1,
        json!({"code": 404, "message": "No shadow exists with name: valve", "timestamp": 1_700_000_000, "clientToken": "x"})
    );
    assert_eq!(request("get", "").await[0].1["message"], "No shadow exists with name: Unnamed Shadow");
    assert_eq!(topics(&request("update", r#"{"state":{"reported":{"a":1}}}"#).await).len(), 2);
    assert_eq!(topics(&request("get", "").await), ["get/accepted"]);
    let seen = request("delete", r#"{"clientToken":"d"}"#).await;
    assert_eq!(seen[0].1, json!({"version": 1, "timestamp": 1_700_000_000, "clientToken": "d"}));
    for ignored in ["update/accepted", "update/delta", "get/rejected", "update/documents", "unknown"] {
        assert!(request(ignored, "{}").await.is_empty(), "{ignored}");
    }
    let asked = bench.shadows.request_of("$aws/things/pump/shadow/name/v/get").unwrap();
    assert_eq!((asked.resource.as_str(), asked.operation), ("$aws/things/pump/shadow/name/v", ShadowOperation::Get));
    assert_eq!(bench.shadows.request_of("$aws/things/pump/shadow/name/v/get/accepted"), None);
    // Who may publish but not act on the shadow is told so where the answer would be.
    bench.shadows.request("$aws/things/pump/shadow/get", Bytes::new(), false).await.unwrap();
    let seen = bench.take();
    assert_eq!((topics(&seen), &seen[0].1["code"]), (vec!["get/rejected"], &json!(401)));
}

/// CC 3.3: deleting counts, and a shadow made again goes on from there, after a restart too.
#[tokio::test]
async fn versions_outlive_deletion_and_restart() {
    let bench = Bench::new(ShadowSettings::default());
    let conflict = |error: PortError| assert_eq!(error, PortError::Conflict("Version conflict".to_owned()));
    let wrong = |error: PortError| assert_eq!(error, PortError::InvalidArguments("Invalid version".to_owned()));
    wrong(bench.update(json!({"state": {}, "version": 2})).await.unwrap_err());
    assert_eq!(bench.update(json!({"state": {"reported": {"a": 1}}, "version": 1})).await.unwrap()["version"], 1);
    conflict(bench.update(json!({"state": {}, "version": 2})).await.unwrap_err());
    conflict(bench.update(json!({"state": {}, "version": 0})).await.unwrap_err());
    wrong(bench.update(json!({"state": {}, "version": -1})).await.unwrap_err());
    assert_eq!(bench.update(json!({"state": {}, "version": 1})).await.unwrap()["version"], 2);
    assert!(bench.shadows.delete("pump", "").await.unwrap().is_empty());
    let missing = bench.shadows.delete("pump", "").await.unwrap_err();
    assert!(matches!(&missing, PortError::ResourceNotFound { resource_type: Some(kind), .. } if kind == "shadow"));
    bench.shadows.close();
    let Bench { shadows, seen, clock, dir } = bench;
    drop(shadows);
    let shadows = Shadows::open(&dir.path().join("shadows"), ShadowSettings::default(), seen.clone(), clock.clone());
    let bench = Bench { shadows: shadows.unwrap(), seen, clock, dir };
    assert_eq!(bench.update(json!({"state": {"reported": {"a": 1}}, "version": 1})).await.unwrap()["version"], 4);
}

/// CC 3.3: an empty object counts as missing on a core, unless `marram.strictEmptyObjects`.
#[tokio::test]
async fn empty_objects_count_as_missing_unless_strict() {
    let start = json!({"state": {"desired": {"a": {"b": 1}, "keep": 1}, "reported": {"x": 1}}});
    let table = [
        (json!({"desired": {"a": {}}}), json!({"desired": {"keep": 1}, "reported": {"x": 1}, "delta": {"keep": 1}})),
        (json!({"reported": {}}), json!({"desired": {"a": {"b": 1}, "keep": 1}, "delta": {"a": {"b": 1}, "keep": 1}})),
        (
            json!({"desired": {"a": {"b": null}, "new": {"deep": {"er": null}}}}),
            json!({"desired": {"keep": 1}, "reported": {"x": 1}, "delta": {"keep": 1}}),
        ),
        (
            json!({}),
            json!({"desired": {"a": {"b": 1}, "keep": 1}, "reported": {"x": 1}, "delta": {"a": {"b": 1}, "keep": 1}}),
        ),
        (json!(null), json!({})),
    ];
    for (state, after) in table {
        let bench = Bench::new(ShadowSettings::default());
        bench.update(start.clone()).await.unwrap();
        bench.update(json!({"state": state.clone()})).await.unwrap();
        assert_eq!(bench.state().await, after, "{state}");
    }
    let strict = Bench::new(ShadowSettings { strict_empty_objects: true, ..ShadowSettings::default() });
    strict.update(start).await.unwrap();
    strict.update(json!({"state": {"desired": {"new": {}, "keep": null, "a": null}}})).await.unwrap();
    assert_eq!(strict.state().await["desired"], json!({"new": {}}));
}

/// CC 3.2: texts of refusals, as clients know them.
#[tokio::test]
async fn refusals_have_their_texts() {
    let bench = Bench::new(ShadowSettings::default());
    let deep = json!({"state": {"desired": {"1": {"2": {"3": {"4": {"5": {"6": {"7": 1}}}}}}}}}).to_string();
    let large = json!({"state": {"desired": {"a": "x".repeat(8192)}}}).to_string();
    let token = json!({"state": {}, "clientToken": "x".repeat(65)}).to_string();
    for (body, message) in [
        ("", "Missing update payload"),
        ("[]", "Invalid JSON"),
        ("{}", "Missing required node: state"),
        (r#"{"state":1}"#, "State node must be an object"),
        (deep.as_str(), "JSON contains too many levels of nesting; maximum is 6"),
        (large.as_str(), "The payload exceeds the maximum size allowed"),
        (token.as_str(), "Invalid clientToken"),
    ] {
        let refused = bench.shadows.update("pump", "", Bytes::from(body.to_owned())).await;
        assert_eq!(refused.unwrap_err(), PortError::InvalidArguments(message.to_owned()), "{body}");
        assert_eq!(bench.take().last().unwrap().1["message"], message);
    }
    bench.clock.advance(Duration::from_secs(1));
    for (thing, shadow, message) in [
        ("", "", "ThingName is missing"),
        ("a/b", "", "ThingName must match pattern [a-zA-Z0-9:_-]+"),
        ("a", "b c", "ShadowName must match pattern [a-zA-Z0-9:_-]+"),
    ] {
        let refused = bench.shadows.get(thing, shadow).await.unwrap_err();
        assert_eq!(refused, PortError::InvalidArguments(message.to_owned()));
    }
}

/// CC 3.1: so many a second, of one thing and of all, whichever way they come.
#[tokio::test]
async fn too_many_requests_of_a_second_are_refused() {
    let rates = RateLimits { total: 4, per_thing: 2 };
    let bench = Bench::new(ShadowSettings { rates, ..ShadowSettings::default() });
    let too_many = PortError::service("Too Many Requests");
    for _ in 0..2 {
        bench.update(json!({"state": {}})).await.unwrap();
    }
    assert_eq!(bench.update(json!({"state": {}})).await.unwrap_err(), too_many);
    bench.take();
    bench.shadows.request("$aws/things/pump/shadow/get", Bytes::new(), true).await.unwrap();
    assert_eq!(bench.take()[0].1["code"], 429);
    for thing in ["b", "c"] {
        assert!(matches!(bench.shadows.get(thing, "").await, Err(PortError::ResourceNotFound { .. })));
    }
    assert_eq!(bench.shadows.get("d", "").await.unwrap_err(), too_many);
    bench.clock.advance(Duration::from_secs(1));
    bench.update(json!({"state": {}})).await.unwrap();
}

/// CR 6.8: pages of names; a token is good for its thing only.
#[tokio::test]
async fn names_come_in_pages() {
    let bench = Bench::new(ShadowSettings::default());
    for name in ["", "c", "a", "b", "gone"] {
        bench.shadows.update("pump", name, Bytes::from_static(br#"{"state":{}}"#)).await.unwrap();
    }
    bench.shadows.delete("pump", "gone").await.unwrap();
    let first = bench.shadows.list("pump", None, Some(2)).await.unwrap();
    assert_eq!(first.results, ["a", "b"]);
    let token = first.next_token.unwrap();
    let second = bench.shadows.list("pump", Some(&token), Some(2)).await.unwrap();
    assert_eq!((second.results, second.next_token), (vec!["c".to_owned()], None));
    for (thing, token, size) in [("other", token.as_str(), 2), ("pump", "AAAA", 2), ("pump", "", 0), ("pump", "", 101)]
    {
        let refused = bench.shadows.list(thing, Some(token), Some(size)).await.unwrap_err();
        assert!(matches!(refused, PortError::InvalidArguments(_)), "{thing} {token} {size}");
    }
}
