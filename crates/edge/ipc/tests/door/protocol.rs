//! Who is let in, what is refused, how connections end (CR 6.4, 6.5).

use marram_eventstream::client::Session;
use marram_eventstream::{Message, Value as Header};
use marram_ipc::{Options, Ports};
use marram_memory_core::MemoryCore;
use serde_json::json;

use crate::client::{Door, Got};

fn connect(payload: &str) -> Vec<u8> {
    let mut out = Vec::new();
    Session::connect(&mut out, payload.as_bytes()).unwrap();
    out
}

fn frame(kind: i32, stream: i32) -> Vec<u8> {
    let headers = [(":message-type", kind), (":message-flags", 0), (":stream-id", stream)];
    let add = |message: Message, (name, number)| message.header(name, Header::Int32(number)).unwrap();
    let mut out = Vec::new();
    headers.into_iter().fold(Message::new(), add).write(&mut out).unwrap();
    out
}

/// CR 6.4: a wrong token, version or first message is answered with a refusal and the end.
#[tokio::test]
async fn strangers_are_refused() {
    let door = Door::open();
    let mut wrong_checksum = connect(r#"{"authToken":"one-token"}"#);
    *wrong_checksum.last_mut().unwrap() ^= 1;
    for bytes in [
        connect(r#"{"authToken":"nobody"}"#),
        connect(r#"{"authToken":null}"#),
        connect("no JSON"),
        connect(&"x".repeat(20_000)),
        frame(2, 0),
        frame(0, 1),
        frame(4, 0),
        wrong_checksum,
    ] {
        let mut client = door.raw().await;
        client.send(&bytes).await;
        assert_eq!(client.receive().await, Some(Got::Connected(false)));
        assert_eq!(client.receive().await, None);
    }
}

/// CR 6.2, 6.5: a broken frame ends the connection; others never notice.
#[tokio::test]
async fn a_broken_frame_ends_one_connection() {
    let door = Door::open();
    let mut bystander = door.component("two").await;
    for bytes in [frame(5, 0), frame(0, 9), vec![0xff; 64], frame(6, 0)] {
        let mut client = door.component("one").await;
        client.raw.send(&bytes).await;
        while let Some(got) = client.raw.receive().await {
            assert_eq!(got, Got::Other);
        }
    }
    assert!(bystander.call("GetConfiguration", json!({})).await.is_ok());
}

/// CR 6.1: clients that do not say who they are make room for those that do; the oldest goes.
#[tokio::test]
async fn the_silent_make_room() {
    let door =
        Door::with(Options { max_unknown: 3, ..Options::default() }, |core| core.add_component("one", json!({})));
    let mut client = door.component("one").await;
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.push(door.raw().await);
    }
    for mut gone in silent.drain(..2) {
        assert_eq!(gone.receive().await, None);
    }
    assert!(door.component("one").await.call("GetConfiguration", json!({})).await.is_ok());
    assert!(client.call("GetConfiguration", json!({})).await.is_ok());
    let mut last = silent.pop().unwrap();
    last.send(&connect(r#"{"authToken":"one-token"}"#)).await;
    assert_eq!(last.receive().await, Some(Got::Connected(true)));
}

/// CR 6.1: one component's connections leave some for the others, and those that are gone count no more.
#[tokio::test]
async fn no_component_takes_every_connection() {
    let door = Door::with(Options { max_connections: 8, ..Options::default() }, |core| {
        core.add_component("one", json!({}));
        core.add_component("two", json!({}));
    });
    let mut taken = Vec::new();
    for _ in 0..6 {
        taken.push(door.component("one").await);
    }
    let mut refused = door.raw().await;
    refused.send(&connect(r#"{"authToken":"one-token"}"#)).await;
    assert_eq!(refused.receive().await, Some(Got::Connected(false)));
    assert_eq!(refused.receive().await, None);
    assert!(door.component("two").await.call("GetConfiguration", json!({})).await.is_ok());
    taken.pop();
    while door.handle.counters().connections() > 5 {
        tokio::task::yield_now().await;
    }
    assert!(door.component("one").await.call("GetConfiguration", json!({})).await.is_ok());
}

/// SEC-133: a connection lasts no longer than the token that opened it.
#[tokio::test]
async fn a_worthless_token_ends_its_connections() {
    let door = Door::open();
    let (mut one, mut two) = (door.component("one").await, door.component("two").await);
    let mut operator = door.client("operator").await;
    one.call("SubscribeToTopic", json!({"topic": "a"})).await.unwrap();
    door.core.revoke("one");
    assert_eq!(one.raw.receive().await, None);
    assert!(two.call("GetConfiguration", json!({})).await.is_ok());
    assert!(operator.call("ListComponents", json!({})).await.is_ok());
}

/// CR 6.4: frames may arrive in any pieces, and many at once.
#[tokio::test]
async fn frames_arrive_in_any_pieces() {
    let door = Door::open();
    let mut client = door.component("one").await;
    let template = Session::request_template("aws.greengrass#GetConfiguration").unwrap();
    let mut session = Session::new();
    let mut bytes = Vec::new();
    let large = json!({"keyPath": ["rate"], "extra": "x".repeat(40_000)}).to_string();
    for _ in 0..3 {
        session.request(&mut bytes, &template, br#"{"keyPath":["rate"]}"#).unwrap();
        session.request(&mut bytes, &template, large.as_bytes()).unwrap();
    }
    let (head, tail) = bytes.split_at(700);
    for byte in head {
        client.raw.send(&[*byte]).await;
    }
    client.raw.send(tail).await;
    for wanted in 1..=6 {
        let Some(Got::Message { stream, body, last: true, .. }) = client.raw.receive().await else { panic!() };
        assert_eq!((stream, &body["value"]), (wanted, &json!({"rate": 5})));
    }
}

/// CR 6.5: an unknown operation, and one whose part of the core is absent.
#[tokio::test]
async fn what_is_not_there_says_so() {
    let core = MemoryCore::new();
    core.add_component("one", json!({}));
    let door = Door::serve(core.clone(), Ports::new(core), Options::default());
    let mut client = door.component("one").await;
    let (shape, body) = client.call("NoSuchThing", json!({})).await.unwrap_err();
    assert_eq!(shape, "");
    let message = "aws.greengrass#NoSuchThing is an unsupported operation.";
    assert_eq!(body, json!({"error": "Unsupported Operation", "message": message}));
    let (shape, body) = client.call("UpdateState", json!({"state": "RUNNING"})).await.unwrap_err();
    assert_eq!(shape, "ServiceError");
    assert_eq!(body["message"], "Operation aws.greengrass#UpdateState is not supported by Greengrass");
}

/// The door closes: every client sees the end.
#[tokio::test]
async fn stopping_ends_every_connection() {
    let door = Door::open();
    let mut clients = [door.component("one").await, door.component("two").await];
    door.handle.stop();
    for client in &mut clients {
        assert_eq!(client.raw.receive().await, None);
    }
}
