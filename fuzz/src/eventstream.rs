//! IPC frames, their protocol headers, and what a server makes of a whole stream of them.

use marram_eventstream::server::{Event, Session};
use marram_eventstream::{RpcFrame, decode, frame, header, rpc};

/// Reads frame after frame as a connection would; what was read is written back unchanged.
pub fn run(data: &[u8]) {
    let mut session = Session::new();
    let mut rest = data;
    while let Ok(Some((frame, length))) = decode(rest) {
        let mut block = Vec::new();
        for (name, value) in frame.headers {
            header::write(&mut block, name, value).expect("what was read can be written");
        }
        assert_eq!(block, frame.headers.as_bytes());
        let mut again = Vec::new();
        frame::write(&mut again, &block, frame.payload).expect("what was read can be written");
        assert_eq!(again, rest[..length]);
        rest = &rest[length..];
        let Ok(message) = RpcFrame::read(frame) else { continue };
        match session.receive(&message) {
            Ok(Event::Connect { .. }) => session.accept(),
            Ok(Event::Ping) => {
                let mut pong = Vec::new();
                if rpc::write_pong(&mut pong, &message).is_ok() {
                    assert!(matches!(decode(&pong), Ok(Some((_, length))) if length == pong.len()));
                }
            }
            _ => {}
        }
    }
}
