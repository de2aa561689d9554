//! The MQTT decoder, both versions, and the session machines behind it.

use bytes::BytesMut;
use marram_mqtt::session::{ClientSession, Limits, negotiate};
use marram_mqtt::{Packet, PublishView, Version, decode, decode_frame, next_frame};

/// Packets above this are refused by their header; small, so that the limit is met often.
const MAXIMUM: usize = 4096;

/// Decodes everything there is, writes back what was accepted, and lets both ends of a session see it.
pub fn run(data: &[u8]) {
    for version in [Version::V4, Version::V5] {
        let mut session = ClientSession::new(version, 4);
        let mut buffer = BytesMut::from(data);
        while let Ok(Some(packet)) = decode(version, &mut buffer, MAXIMUM) {
            let spoken = if let Packet::Connect(connect) = &packet { connect.version } else { version };
            let mut again = BytesMut::new();
            packet.encode(spoken, &mut again).expect("what was accepted can be written");
            let reread = decode(spoken, &mut again, usize::MAX).expect("what was written can be read");
            assert_eq!(reread.as_ref(), Some(&packet));
            if let Packet::Connect(connect) = &packet
                && let Ok(terms) = negotiate(connect, &Limits::default(), "assigned")
            {
                let connack = terms.connack(connect, &Limits::default(), false);
                let mut out = BytesMut::new();
                Packet::ConnAck(Box::new(connack)).encode(spoken, &mut out).expect("our answers can be written");
            }
            // Refusing is fine, panicking is not.
            drop(session.receive(packet));
        }
        view(version, data);
    }
}

/// The broker's shortcut for PUBLISH accepts exactly what the full decoder accepts.
fn view(version: Version, data: &[u8]) {
    let Ok(Some(frame)) = next_frame(data, MAXIMUM) else { return };
    if frame.header.kind != 3 {
        return;
    }
    let body = BytesMut::from(&data[frame.header_len..frame.total_len]).freeze();
    let short = PublishView::parse(version, frame.header.flags, &body)
        .and_then(|view| Ok((view.topic()?, view.properties()?, view.payload())));
    let long = decode_frame(version, frame.header, &body);
    match (short, long) {
        (Ok((topic, properties, payload)), Ok(Packet::Publish(publish))) => {
            assert_eq!((topic, properties, payload), (publish.topic, publish.properties, publish.payload));
        }
        (short, long) => assert!(short.is_err() && long.is_err()),
    }
}
