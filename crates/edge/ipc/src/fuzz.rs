//! Entries of the fuzz targets: what reaches a component's side of the door.

use std::future::poll_fn;
use std::task::Poll;

use marram_edge_ports::Caller;

use crate::operation::{self, Answer, Call, Operation};
use crate::pattern::Pattern;
use crate::server::{Door, Options, Ports};

/// Resource rules of any text against any text.
pub fn fuzz_pattern(rule: &str, text: &str) {
    for mqtt in [false, true] {
        if let Ok(pattern) = Pattern::parse(rule, mqtt) {
            pattern.matches(text);
        }
    }
}

/// A request of any text to an operation, by its name on the wire; carried out as far as it goes without waiting. Whatever
/// is answered at once is JSON.
pub async fn fuzz_request(ports: Ports, caller: &Caller, operation: &str, payload: &[u8]) {
    let Some(operation) = Operation::of(operation) else { return };
    let door = Door::new(ports, Options::default());
    if let Some(configuration) = &door.ports.configuration {
        door.obey(&configuration.access_control().borrow().clone());
    }
    let mut body = Vec::new();
    let answer = operation::run(&mut Call { door: &door, caller, operation, payload, body: &mut body });
    let text = match answer {
        Ok(Answer::Written | Answer::Topic { .. }) => body,
        Ok(Answer::Later(mut later)) => match poll_fn(|cx| Poll::Ready(later.as_mut().poll(cx))).await {
            Poll::Ready(Ok(text)) => text,
            _ => return,
        },
        Ok(Answer::FeedLater { mut feed, .. }) => {
            let _ = poll_fn(|cx| Poll::Ready(feed.as_mut().poll(cx))).await;
            return;
        }
        _ => return,
    };
    if !text.is_empty() {
        assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok(), "the answer is no JSON");
    }
}
