//! Live streams: what is published and what flows do, to those who may see it, at nobody else's cost.

use std::time::Duration;

use marram_broker::{FullAuthority, Message, Tenant};
use marram_flow::{EventType, Status, Time};
use marram_flow_runtime::{ExecutionRecord, HistoryBatch, HistorySink, MessageRecord};
use marram_http::StreamedResponse;
use marram_mqtt::Topic;
use serde_json::{Value, json};

use crate::support::{Bench, nothing};

const PATIENCE: Duration = Duration::from_secs(20);

/// A stream taken apart into events.
struct Stream {
    response: StreamedResponse,
    text: String,
}

impl Stream {
    async fn open(bench: &Bench, path: &str, cookie: &str) -> Stream {
        let response = bench.watch(path, cookie).await;
        assert_eq!(response.status, 200);
        assert_eq!(response.headers["content-type"], "text/event-stream");
        let mut stream = Stream { response, text: String::new() };
        assert_eq!(stream.next().await.unwrap(), ("ready".to_owned(), json!({})));
        stream
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = event.to_owned();
                self.text = rest.to_owned();
                if event.starts_with(':') {
                    continue;
                }
                let (name, data) = event.split_once('\n').unwrap();
                let data = data.strip_prefix("data: ").unwrap();
                return Some((name.strip_prefix("event: ").unwrap().to_owned(), serde_json::from_str(data).unwrap()));
            }
            let chunk = self.response.chunk(PATIENCE).await.unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

async fn publish(bench: &Bench, account: &str, topic: &str, payload: Vec<u8>) {
    let tenant = Tenant::new(&format!("{account}/us-east-1"));
    let client = bench.broker.local_client("test", FullAuthority::new(tenant, "test"));
    client.publish(Message::new(Topic::new(topic).unwrap(), payload)).await.unwrap();
}

fn batch(account: &str, deployment: &str, number: u64) -> HistoryBatch {
    let execution = ExecutionRecord {
        account: account.into(),
        region: "us-east-1".into(),
        execution: format!("execution-{account}-{number}").into(),
        deployment: format!("urn:tdm:us-east-1/{account}/default:Deployment:{deployment}").into(),
        flow: "urn:tdm:x:Workflow:F".into(),
        status: Status::Running,
        created: Time(1_000),
        updated: Time(2_500),
    };
    let message = MessageRecord {
        execution: 0,
        seq: 7,
        event_type: EventType::StepStarted,
        at: Time(2_500),
        payload: json!({"stepName": "snap"}).to_string(),
    };
    HistoryBatch { executions: vec![execution], messages: vec![message] }
}

/// SEC-66, CP 5.6: messages reach who may subscribe and receive, of the own account alone, retained ones marked.
#[tokio::test]
async fn messages_are_streamed_to_those_who_may() {
    let bench = Bench::start().await;
    let policy = |resources: Value| {
        json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": "*"},
            {"Effect": "Allow", "Action": "iot:Receive", "Resource": resources},
        ]})
    };
    let prefix = "arn:aws:iot:us-east-1:000000000000:topic";
    bench.user("hall", policy(json!([format!("{prefix}/hall/*"), format!("{prefix}/hall/#")]))).await;
    bench.user("deaf", policy(json!(["arn:aws:iot:us-east-1:000000000000:topic/none"]))).await;
    let (administrator, _) = bench.person(&bench.account, "administrator").await;
    let (other, _) = bench.person(&bench.other.clone(), "administrator").await;
    let (hall, _) = bench.person(&bench.account, "hall").await;
    let (deaf, _) = bench.person(&bench.account, "deaf").await;
    let cookie = |browser: &crate::support::Browser<'_>| browser.cookie.clone().unwrap();

    let mut all = Stream::open(&bench, "mqtt?filter=%23", &cookie(&administrator)).await;
    let mut foreign = Stream::open(&bench, "mqtt?filter=%23", &cookie(&other)).await;
    let mut part = Stream::open(&bench, "mqtt?filter=hall%2F%23", &cookie(&hall)).await;
    assert_eq!(deaf.get("live/mqtt?filter=hall%2F%23").await.error(), (403, "AccessDeniedException"));
    assert_eq!(hall.get("live/mqtt?filter=yard%2F%23").await.error(), (403, "AccessDeniedException"));
    for filter in ["", "a%2F%23%2Fb", "%24share%2Fg%2Fa", "%ff"] {
        let answer = administrator.get(&format!("live/mqtt?filter={filter}")).await;
        assert_eq!(answer.error(), (400, "ValidationException"), "{filter}");
    }

    publish(&bench, "000000000000", "yard/lamp", b"off".to_vec()).await;
    publish(&bench, "000000000000", "hall/lamp", b"on".to_vec()).await;
    publish(&bench, bench.other.as_str(), "hall/lamp", b"secret".to_vec()).await;
    let expected = [("yard/lamp", "b2Zm"), ("hall/lamp", "b24="), ("hall/lamp", "b24="), ("hall/lamp", "c2VjcmV0")];
    for (number, (topic, payload)) in expected.into_iter().enumerate() {
        let stream = [&mut all, &mut part, &mut foreign].into_iter().nth(number.saturating_sub(1)).unwrap();
        let (event, data) = stream.next().await.unwrap();
        assert_eq!((event.as_str(), &data["topic"], &data["payload"]), ("message", &json!(topic), &json!(payload)));
        assert_eq!((&data["qos"], &data["retained"]), (&json!(0), &json!(false)));
        assert!(data["at"].as_f64().unwrap() > 1e9);
    }
}

/// TG 6.9, SEC-66: each message of an execution is an event; other deployments and accounts are silent.
#[tokio::test]
async fn executions_are_streamed_as_they_become_durable() {
    let bench = Bench::start().await;
    let (administrator, _) = bench.person(&bench.account, "administrator").await;
    bench.user("outsider", nothing()).await;
    let (outsider, _) = bench.person(&bench.account, "outsider").await;
    let arn = "live/executions?deployment=arn%3Aaws%3Aiotthingsgraph%3Aus-east-1%3A000000000000%3ADeployment%2Fdefault%2FRoom";
    assert_eq!(outsider.get(arn).await.error(), (403, "AccessDeniedException"));
    let cookie = administrator.cookie.clone().unwrap();
    let mut one = Stream::open(&bench, arn.trim_start_matches("live/"), &cookie).await;
    let mut all = Stream::open(&bench, "executions", &cookie).await;
    bench.history.write(batch(bench.other.as_str(), "Room", 1)).await.unwrap();
    bench.history.write(batch("000000000000", "Attic", 2)).await.unwrap();
    bench.history.write(batch("000000000000", "room", 3)).await.unwrap();
    let (event, data) = one.next().await.unwrap();
    assert_eq!(event, "execution");
    assert_eq!(
        data,
        json!({
            "execution": "execution-000000000000-3", "deployment": "urn:tdm:us-east-1/000000000000/default:Deployment:room",
            "flow": "urn:tdm:x:Workflow:F", "step": "snap", "state": "RUNNING", "event": "STEP_STARTED",
            "messageId": "7", "at": 2.5, "payload": "{\"stepName\":\"snap\"}",
        })
    );
    for number in ["2", "3"] {
        let (_, data) = all.next().await.unwrap();
        assert_eq!(data["execution"], format!("execution-000000000000-{number}"));
    }
}

/// Contract "Live": a reader that does not read delays neither the publisher nor another reader, and learns what it missed.
#[tokio::test]
async fn a_slow_reader_delays_nobody() {
    let bench = Bench::start().await;
    let (administrator, _) = bench.person(&bench.account, "administrator").await;
    let cookie = administrator.cookie.clone().unwrap();
    let mut slow = Stream::open(&bench, "mqtt?filter=%23", &cookie).await;
    let mut quick = Stream::open(&bench, "mqtt?filter=%23", &cookie).await;
    let payload = vec![b'x'; 100_000];
    let mut seen = 0;
    // Far more than sockets, TLS and the queue of the slow one hold together.
    for _ in 0..300 {
        publish(&bench, "000000000000", "flood", payload.clone()).await;
        let (event, _) = quick.next().await.unwrap();
        assert_eq!(event, "message", "whoever reads misses nothing");
        seen += 1;
    }
    assert_eq!(seen, 300);
    let mut messages = 0;
    let lost = loop {
        match slow.next().await.unwrap() {
            (event, data) if event == "lost" => break data["count"].as_u64().unwrap(),
            _ => messages += 1,
        }
        // The telling comes with the next sign of anything.
        publish(&bench, "000000000000", "tick", Vec::new()).await;
    };
    assert!(lost > 0 && messages < 300, "{messages} read, {lost} lost");
}

/// SEC 12.2: eight streams a session, a place is free again when its browser leaves; a stream ends with its session.
#[tokio::test]
async fn streams_are_counted_and_end_with_the_session() {
    let bench = Bench::start().await;
    let (mut administrator, _) = bench.person(&bench.account, "administrator").await;
    let cookie = administrator.cookie.clone().unwrap();
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(Stream::open(&bench, "mqtt?filter=%23", &cookie).await);
    }
    assert_eq!(administrator.get("live/executions").await.error(), (429, "LimitExceededException"));
    open.pop();
    let deadline = std::time::Instant::now() + PATIENCE;
    let again = loop {
        let response = bench.watch("executions", &cookie).await;
        if response.status == 200 {
            break response;
        }
        assert!(std::time::Instant::now() < deadline, "the place of a closed stream stays taken");
        tokio::task::yield_now().await;
    };
    drop(again);
    assert_eq!(administrator.post("sign-out", json!({})).await.status, 200);
    let stale = bench.send("GET", "/console/api/live/executions", &[("cookie", &cookie)], "").await;
    assert_eq!(stale.status, 401);
    let ended = open[0].next().await;
    assert_eq!(ended, None, "whoever signs out sees no more");
}
