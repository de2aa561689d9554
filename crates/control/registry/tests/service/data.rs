//! The service `iot-data` over a broker (CP 5.11).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use marram_broker::{Broker, BrokerOptions, FullAuthority, LocalClient, Ports, Tenant};
use marram_mqtt::{QoS, TopicFilter};
use marram_registry::{BrokerMessages, DataService};
use serde_json::{Value, json};

use crate::bench::{Bench, OTHER};

const ACCOUNT: &str = "000000000000";

fn start(bench: &Bench) -> (Broker, DataService) {
    let ports = Ports { authenticator: Arc::new(bench.authority()), interceptor: None, store: None };
    let broker = Broker::start(BrokerOptions::default(), ports).unwrap();
    let service = DataService::new(&bench.registry, Arc::new(BrokerMessages::new(broker.clone())));
    (broker, service)
}

fn subscriber(broker: &Broker, account: &str, filter: &str) -> LocalClient {
    let tenant = Tenant::new(&format!("{account}/us-east-1"));
    let client = broker.local_client("test", FullAuthority::new(tenant, "test"));
    client.subscribe(&TopicFilter::new(filter).unwrap(), QoS::AtLeastOnce).unwrap();
    client
}

/// CP 5.11: a publish reaches the subscribers of its account with everything it carries, and nobody else.
#[tokio::test]
async fn messages_are_published_into_their_account() {
    let bench = Bench::new();
    let (broker, service) = start(&bench);
    let mut ours = subscriber(&broker, ACCOUNT, "a/#");
    let mut theirs = subscriber(&broker, OTHER, "a/#");
    let input = json!({
        "topic": "a/b c", "qos": 1, "payload": STANDARD.encode(b"\x00binary"), "contentType": "x/y",
        "responseTopic": "r", "correlationData": STANDARD.encode(b"id"), "messageExpiry": 60,
        "payloadFormatIndicator": "UTF8_DATA", "userProperties": r#"[{"k":"1"},{"k":"2"}]"#,
    });
    bench.call_service(&service, ACCOUNT, "Publish", input).await.unwrap();
    let received = ours.recv().await.message;
    assert_eq!((received.topic.as_str(), &received.payload[..]), ("a/b c", &b"\x00binary"[..]));
    let properties = received.properties.as_ref().unwrap();
    assert_eq!(properties.content_type.as_deref(), Some("x/y"));
    assert_eq!(properties.response_topic.as_deref(), Some("r"));
    assert_eq!(properties.correlation_data.as_deref(), Some(&b"id"[..]));
    assert_eq!(properties.message_expiry_secs, Some(60));
    assert_eq!(properties.payload_is_utf8, Some(true));
    assert_eq!(properties.user_properties, [("k".into(), "1".into()), ("k".into(), "2".into())]);

    bench.call_service(&service, OTHER, "Publish", json!({"topic": "a/other"})).await.unwrap();
    assert_eq!(theirs.recv().await.message.topic.as_str(), "a/other", "the first message never reached this account");
}

/// CP 5.2, 5.11: what is no message.
#[tokio::test]
async fn refused_publishes() {
    let bench = Bench::new();
    let (_broker, service) = start(&bench);
    let long = STANDARD.encode(vec![0; 131_073]);
    for input in [
        json!({"topic": "a/+"}),
        json!({"topic": "#"}),
        json!({"topic": ""}),
        json!({"topic": "1/2/3/4/5/6/7/8/9"}),
        json!({"topic": "x".repeat(257)}),
        json!({"topic": "$aws/things/t/shadow/update"}),
        json!({"topic": "a", "payload": long}),
        json!({"topic": "a", "responseTopic": "b/#"}),
        json!({"topic": "a", "userProperties": "{}"}),
        json!({"topic": "a", "messageExpiry": -1}),
    ] {
        let shown = input.to_string().chars().take(80).collect::<String>();
        let error = bench.call_service(&service, ACCOUNT, "Publish", input).await.unwrap_err();
        assert_eq!(error.code, "InvalidRequestException", "{shown}");
    }
}

/// CP 5.11: retained messages are found, listed page by page, and gone when emptied.
#[tokio::test]
async fn retained_messages_are_read() {
    let bench = Bench::new();
    let (_broker, service) = start(&bench);
    let call = |operation: &'static str, input: Value| bench.call_service(&service, ACCOUNT, operation, input);
    for topic in ["b", "a", "c/d"] {
        let input = json!({"topic": topic, "retain": true, "qos": 1, "payload": STANDARD.encode(topic),
            "userProperties": r#"[{"from":"test"}]"#});
        call("Publish", input).await.unwrap();
    }
    let found = call("GetRetainedMessage", json!({"topic": "c/d"})).await.unwrap();
    assert_eq!((&found["payload"], &found["qos"]), (&json!(STANDARD.encode("c/d")), &json!(1)));
    let user = STANDARD.decode(found["userProperties"].as_str().unwrap()).unwrap();
    assert_eq!(user, br#"[{"from":"test"}]"#);
    let at = found["lastModifiedTime"].as_i64().unwrap();
    assert!((1_799_999_999_000..=1_800_000_000_000).contains(&at), "{at} is not in milliseconds");

    let mut topics = Vec::new();
    let mut input = json!({"maxResults": 2});
    loop {
        let page = call("ListRetainedMessages", input.clone()).await.unwrap();
        topics
            .extend(page["retainedTopics"].as_array().unwrap().iter().map(|t| t["topic"].as_str().unwrap().to_owned()));
        match page.get("nextToken") {
            Some(token) => input["nextToken"] = token.clone(),
            None => break,
        }
    }
    assert_eq!(topics, ["a", "b", "c/d"]);
    let theirs = bench.call_service(&service, OTHER, "ListRetainedMessages", json!({})).await.unwrap();
    assert_eq!(theirs["retainedTopics"], json!([]));
    call("Publish", json!({"topic": "c/d", "retain": true})).await.unwrap();
    assert_eq!(
        call("GetRetainedMessage", json!({"topic": "c/d"})).await.unwrap_err().code,
        "ResourceNotFoundException"
    );
    assert_eq!(
        call("GetThingShadow", json!({"thingName": "t"})).await.unwrap_err().message,
        "GetThingShadow is not supported by this endpoint"
    );
}
