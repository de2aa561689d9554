//! Subscriptions: receive modes, policies that change, slow readers, leavers (CR 6.9, 6.10).

use marram_eventstream::{FLAG_TERMINATE_STREAM, MessageType, Template};
use marram_ipc::Options;
use marram_memory_core::allow_everything;
use serde_json::{Value, json};

use crate::client::{Client, Door, Got, PATIENCE};

fn message(topic: &str, number: u64) -> Value {
    json!({"topic": topic, "publishMessage": {"jsonMessage": {"message": {"n": number}}}})
}

fn number(event: &Value) -> u64 {
    event["jsonMessage"]["message"]["n"].as_u64().unwrap()
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the condition holds in time");
}

/// CR 6.10: which filters a topic reaches; `a/#` does not match `a`.
#[tokio::test]
async fn filters_match_as_local_topics_do() {
    let door = Door::open();
    let filters = ["a", "a/b", "a/+", "a/#", "#", "+/b", "+", "a/b/#", "+/+/c"];
    let mut reader = door.component("two").await;
    for filter in filters {
        reader.call("SubscribeToTopic", json!({"topic": filter})).await.unwrap();
    }
    let mut writer = door.component("one").await;
    for (topic, wanted) in [
        ("a", vec!["#", "+", "a"]),
        ("a/b", vec!["#", "+/b", "a/#", "a/+", "a/b"]),
        ("a/", vec!["#", "a/#", "a/+"]),
        ("a/b/c", vec!["#", "+/+/c", "a/#", "a/b/#"]),
        ("b", vec!["#", "+"]),
        ("$x/b", vec!["#", "+/b"]),
    ] {
        writer.call("PublishToTopic", message(topic, 1)).await.unwrap();
        let mut got = Vec::new();
        for _ in 0..wanted.len() {
            got.push(filters[reader.event().await.0 as usize - 1]);
        }
        got.sort_unstable();
        assert_eq!(got, wanted, "{topic}");
    }
}

/// CR 6.10: without a receive mode, filters with wildcards leave out a component's own messages; another connection of
/// the same component is not "other".
#[tokio::test]
async fn receive_modes() {
    let door = Door::open();
    let mut client = door.component("one").await;
    for (filter, mode) in [
        ("a/+", Value::Null),
        ("a/b", Value::Null),
        ("+/b", json!("RECEIVE_ALL_MESSAGES")),
        ("a/b", json!("RECEIVE_MESSAGES_FROM_OTHERS")),
    ] {
        client.call("SubscribeToTopic", json!({"topic": filter, "receiveMode": mode})).await.unwrap();
    }
    let bad = json!({"topic": "a", "receiveMode": "SOME"});
    assert_eq!(client.refusal("SubscribeToTopic", bad).await, "InvalidArgumentsError");
    for (who, wanted) in [("one", vec![2, 3]), ("two", vec![1, 2, 3, 4])] {
        door.component(who).await.call("PublishToTopic", message("a/b", 1)).await.unwrap();
        let mut got = Vec::new();
        for _ in 0..wanted.len() {
            got.push(client.event().await.0);
        }
        got.sort_unstable();
        assert_eq!(got, wanted);
    }
}

/// CR 6.9: without a grant nothing goes, and the sentence names principal, operation and resource; an operator needs none.
#[tokio::test]
async fn policies_decide() {
    let door = Door::with(Options::default(), |core| {
        core.add_component("one", json!({}));
        core.add_operator("operator");
    });
    let mut client = door.component("one").await;
    let (shape, body) = client.call("PublishToTopic", message("a/b", 1)).await.unwrap_err();
    assert_eq!(shape, "UnauthorizedError");
    let sentence = "Principal one is not authorized to perform \
        aws.greengrass.ipc.pubsub:aws.greengrass#PublishToTopic on resource a/b";
    assert_eq!(body["message"], sentence);
    for (operation, request) in [
        ("SubscribeToTopic", json!({"topic": "a"})),
        ("PublishToIoTCore", json!({"topicName": "a", "qos": "0"})),
        ("GetSecretValue", json!({"secretId": "none"})),
        ("GetThingShadow", json!({"thingName": "t"})),
        ("ListComponents", json!({})),
        ("CancelLocalDeployment", json!({"deploymentId": "x"})),
        ("PauseComponent", json!({"componentName": "one"})),
        ("ValidateAuthorizationToken", json!({"token": "x"})),
        ("PutComponentMetric", json!({"metrics": [{"name": "m", "unit": "COUNT", "value": 1}]})),
    ] {
        assert_eq!(client.refusal(operation, request).await, "UnauthorizedError", "{operation}");
    }
    let mut operator = door.client("operator").await;
    operator.call("SubscribeToTopic", json!({"topic": "a/b"})).await.unwrap();
    operator.call("ListComponents", json!({})).await.unwrap();
    assert_eq!(operator.refusal("GetSecretValue", json!({"secretId": "database"})).await, "UnauthorizedError");
}

/// CR 3.5: in the hardened profile other components' configuration needs a policy.
#[tokio::test]
async fn configuration_of_others_can_be_closed() {
    let options = Options { open_configuration_read: false, ..Options::default() };
    let door = Door::with(options, |core| {
        let policy = json!({"aws.marram.config": {"p": {"operations": ["*"], "resources": ["three"]}}});
        core.add_component("one", json!({"accessControl": policy}));
        core.add_component("two", json!({}));
        core.add_component("three", json!({}));
    });
    let mut client = door.component("one").await;
    for operation in ["GetConfiguration", "SubscribeToConfigurationUpdate"] {
        client.call(operation, json!({})).await.unwrap();
        client.call(operation, json!({"componentName": "three"})).await.unwrap();
        assert_eq!(client.refusal(operation, json!({"componentName": "two"})).await, "UnauthorizedError");
    }
}

/// CR 6.9: a subscription that the policies no longer grant is ended with an error; the others go on.
#[tokio::test]
async fn a_policy_change_ends_what_it_no_longer_grants() {
    let door = Door::open();
    let mut reader = door.component("two").await;
    reader.call("SubscribeToTopic", json!({"topic": "a"})).await.unwrap();
    reader.call("SubscribeToTopic", json!({"topic": "b"})).await.unwrap();
    reader.call("SubscribeToIoTCore", json!({"topicName": "c", "qos": "0"})).await.unwrap();
    let mut policies = allow_everything();
    policies["aws.greengrass.ipc.pubsub"]["all"]["resources"] = json!(["b"]);
    policies["aws.greengrass.ipc.mqttproxy"] = json!({});
    door.core.set_access_control("two", policies);
    let mut ended = Vec::new();
    for _ in 0..2 {
        let Some(Got::Failure { stream, model, .. }) = reader.raw.receive().await else { panic!() };
        ended.push((stream, model));
    }
    ended.sort();
    assert_eq!(ended, [(1, "UnauthorizedError".to_owned()), (3, "UnauthorizedError".to_owned())]);
    let mut writer = door.component("one").await;
    writer.call("PublishToTopic", message("a", 1)).await.unwrap();
    writer.call("PublishToTopic", message("b", 2)).await.unwrap();
    let (stream, _, event) = reader.event().await;
    assert_eq!((stream, number(&event)), (2, 2));
    assert_eq!(door.handle.counters().subscriptions(), 1);
}

/// CR 6.5: a client closes a stream with an empty message; nothing more arrives on it.
#[tokio::test]
async fn a_client_closes_a_subscription() {
    let door = Door::open();
    let mut reader = door.component("two").await;
    let gone = reader.start("SubscribeToTopic", json!({"topic": "a"})).await;
    reader.event().await;
    let mut out = Vec::new();
    let close = Template::new(MessageType::ApplicationMessage, FLAG_TERMINATE_STREAM, &[]).unwrap();
    close.write(&mut out, gone, b"").unwrap();
    reader.raw.send(&out).await;
    until(|| door.handle.counters().subscriptions() == 0).await;
    reader.call("SubscribeToTopic", json!({"topic": "a"})).await.unwrap();
    door.component("one").await.call("PublishToTopic", message("a", 1)).await.unwrap();
    assert_eq!(reader.event().await.0, 2);
}

/// Publishes `count` messages, 50 at a time.
async fn publish_many(writer: &mut Client, topic: &str, count: u64) {
    let mut sent = 0;
    while sent < count {
        let batch = (count - sent).min(50);
        for number in sent..sent + batch {
            writer.start("PublishToTopic", message(topic, number)).await;
        }
        for _ in 0..batch {
            assert!(matches!(writer.raw.receive().await, Some(Got::Message { last: true, .. })));
        }
        sent += batch;
    }
}

/// CR 6.10: a subscriber that does not read loses its oldest messages, counted; another misses nothing.
#[tokio::test]
async fn a_stalled_subscriber_hurts_nobody_but_itself() {
    const COUNT: u64 = 6000;
    let door = Door::open();
    let (mut stalled, mut reader) = (door.component("two").await, door.component("two").await);
    stalled.call("SubscribeToTopic", json!({"topic": "a"})).await.unwrap();
    reader.call("SubscribeToTopic", json!({"topic": "a"})).await.unwrap();
    let mut writer = door.component("one").await;
    let read = async {
        for wanted in 0..COUNT {
            assert_eq!(number(&reader.event().await.2), wanted);
        }
    };
    tokio::join!(publish_many(&mut writer, "a", COUNT), read);
    let dropped = door.handle.counters().dropped_total();
    assert!(dropped > 0, "the stalled one must have lost something");
    let mut got = Vec::new();
    while got.last() != Some(&(COUNT - 1)) {
        got.push(number(&stalled.event().await.2));
    }
    assert!(got.is_sorted() && got.len() as u64 == COUNT - dropped, "{} of {COUNT}, dropped {dropped}", got.len());
}

/// CR 6.10, our limit: however many streams a component does not read, what waits for it is bounded; another misses nothing.
#[tokio::test]
async fn streams_that_nobody_reads_are_bounded_together() {
    const STREAMS: usize = 8;
    let door = Door::open();
    let (mut stalled, mut reader) = (door.component("two").await, door.component("one").await);
    for number in 0..STREAMS {
        stalled.call("SubscribeToTopic", json!({"topic": format!("a/{number}")})).await.unwrap();
    }
    reader.call("SubscribeToTopic", json!({"topic": "a/+", "receiveMode": "RECEIVE_ALL_MESSAGES"})).await.unwrap();
    let mut writer = door.component("one").await;
    // Two of these fill a stream, so that every stream loses some, and all together more than that.
    let text = "x".repeat(3_900_000);
    let mut alone = 0;
    for round in 0..3 {
        for number in 0..STREAMS {
            let request = json!({"topic": format!("a/{number}"), "publishMessage": {"jsonMessage": {"message": {"n": round, "t": text}}}});
            writer.call("PublishToTopic", request).await.unwrap();
            assert_eq!(self::number(&reader.event().await.2), round);
            alone += usize::from(round >= 2);
        }
    }
    let dropped = door.handle.counters().dropped_total();
    assert!(dropped as usize > alone + STREAMS / 2, "{dropped} lost, {alone} by the streams' own limits");
    drop(stalled);
    until(|| door.handle.counters().subscriptions() == 1).await;
    // What it held is given back.
    let mut again = door.component("two").await;
    again.call("SubscribeToTopic", json!({"topic": "a/0"})).await.unwrap();
    writer.call("PublishToTopic", message("a/0", 7)).await.unwrap();
    assert_eq!(number(&again.event().await.2), 7);
}

/// CR 6.5: clients that vanish take their subscriptions with them, in whatever state they were.
#[tokio::test]
async fn abrupt_leavers_leave_nothing_behind() {
    let door = Door::open();
    let mut writer = door.component("one").await;
    for round in 0..300 {
        let mut leaver = door.component("two").await;
        leaver.start("SubscribeToTopic", json!({"topic": "a"})).await;
        leaver.start("SubscribeToTopic", json!({"topic": "a/#"})).await;
        leaver.start("SubscribeToIoTCore", json!({"topicName": "x", "qos": "0"})).await;
        leaver.start("PauseComponent", json!({"componentName": "one"})).await;
        if round % 2 == 0 {
            leaver.raw.receive().await;
            writer.call("PublishToTopic", message("a", round)).await.unwrap();
        }
    }
    until(|| door.handle.counters().connections() == 1 && door.handle.counters().subscriptions() == 0).await;
    writer.call("PublishToTopic", message("a", 1)).await.unwrap();
}
