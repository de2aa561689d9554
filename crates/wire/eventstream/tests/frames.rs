//! Captured vectors, a second implementation and round trips judge the codec (CR 6.2 to 6.4).

use aws_smithy_eventstream::frame::{read_message_from, write_message_to};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message as Theirs};
use bytes::Bytes;
use marram_eventstream::client;
use marram_eventstream::frame::{self, FrameError, MAX_HEADERS, MAX_MESSAGE, Message};
use marram_eventstream::header::{self, Value};
use marram_eventstream::rpc::{self, MessageType, RpcFrame, Template};
use marram_eventstream::server::{Event, Fault, Session};
use marram_eventstream::{FLAG_TERMINATE_STREAM, RpcError, decode};
use proptest::prelude::*;

const CONNECT: &str = "0000007100000048d997dfb4083a76657273696f6e070005302e312e300d3a6d6573736167652d7479706504000000040e3a6d6573736167652d666c6167730400000000\
0a3a73747265616d2d696404000000007b2261757468546f6b656e223a2022544f4b454e313233227d216d94c9";
const ACCEPTED: &str = "0000004700000037374cfe3f0d3a6d6573736167652d7479706504000000050e3a6d6573736167652d666c61677304000000010a3a73747265616d2d69640400000000e237e27d";
const REFUSED: &str = "0000004700000037374cfe3f0d3a6d6573736167652d7479706504000000050e3a6d6573736167652d666c61677304000000000a3a73747265616d2d696404000000006591293e";
const PING: &str = "0000004700000037374cfe3f0d3a6d6573736167652d7479706504000000020e3a6d6573736167652d666c61677304000000000a3a73747265616d2d6964040000000051a340e1";
const CLOSE_3: &str = "0000004700000037374cfe3f0d3a6d6573736167652d7479706504000000000e3a6d6573736167652d666c61677304000000020a3a73747265616d2d69640400000003c607a9e3";
const PUBLISH: &str = "00000116000000bc830991490d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e12736572766963652d6d6f64656c2d7479706507\
00246177732e677265656e6772617373235075626c697368546f546f706963526571756573740d3a6d6573736167652d7479706504000000000e3a6d6573736167\
652d666c61677304000000000a3a73747265616d2d69640400000001096f7065726174696f6e07001d6177732e677265656e6772617373235075626c697368546f\
546f7069637b22746f706963223a2022612f62222c20227075626c6973684d657373616765223a207b226a736f6e4d657373616765223a207b226d657373616765\
223a207b2278223a20317d7d7d7d9f50220a";

fn three(kind: i32, flags: i32, stream: i32) -> Message {
    with_three(Message::new(), kind, flags, stream)
}

fn with_three(message: Message, kind: i32, flags: i32, stream: i32) -> Message {
    let add = |message: Message, name, number| message.header(name, Value::Int32(number)).unwrap();
    add(add(add(message, ":message-type", kind), ":message-flags", flags), ":stream-id", stream)
}

/// CR 6.4: every captured message, byte for byte, in both directions.
#[test]
fn captured_messages_are_written_and_read_byte_for_byte() {
    let mut connect = Vec::new();
    client::Session::connect(&mut connect, br#"{"authToken": "TOKEN123"}"#).unwrap();
    let publish = with_three(
        Message::new()
            .header(":content-type", Value::Text("application/json"))
            .and_then(|m| m.header("service-model-type", Value::Text("aws.greengrass#PublishToTopicRequest")))
            .unwrap(),
        0,
        0,
        1,
    )
    .header("operation", Value::Text("aws.greengrass#PublishToTopic"))
    .unwrap()
    .payload(*br#"{"topic": "a/b", "publishMessage": {"jsonMessage": {"message": {"x": 1}}}}"#);
    let written = |message: Message| {
        let mut out = Vec::new();
        message.write(&mut out).unwrap();
        out
    };
    for (bytes, hex) in [
        (connect, CONNECT),
        (written(three(5, 1, 0)), ACCEPTED),
        (written(three(5, 0, 0)), REFUSED),
        (written(three(2, 0, 0)), PING),
        (written(three(0, 2, 3)), CLOSE_3),
        (written(publish), PUBLISH),
    ] {
        assert_eq!(hex::encode(&bytes), hex);
        let (frame, length) = decode(&bytes).unwrap().unwrap();
        assert_eq!(length, bytes.len());
        let mut again = Vec::new();
        frame::write(&mut again, frame.headers.as_bytes(), frame.payload).unwrap();
        assert_eq!(again, bytes);
        assert_eq!(decode(&bytes[..bytes.len() - 1]), Ok(None));
        let mut broken = bytes;
        *broken.last_mut().unwrap() ^= 1;
        assert_eq!(decode(&broken), Err(FrameError::MessageChecksum));
    }
}

/// CR 6.2: a length above the limits is refused from the prelude alone, before anything is waited for.
#[test]
fn limits_hold_before_the_body_arrives() {
    let prelude = |total: u32, headers: u32| {
        let mut bytes = [total.to_be_bytes(), headers.to_be_bytes()].concat();
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_be_bytes());
        bytes
    };
    let (most, most_headers) = (MAX_MESSAGE as u32, MAX_HEADERS as u32);
    assert_eq!(decode(&prelude(most, most_headers)), Ok(None));
    assert_eq!(decode(&prelude(most + 1, 0)), Err(FrameError::TooLong(u64::from(most) + 1)));
    let too_many = u64::from(most_headers) + 1;
    assert_eq!(decode(&prelude(most, most_headers + 1)), Err(FrameError::HeadersTooLong(too_many)));
    assert_eq!(decode(&prelude(99, 84)), Err(FrameError::Lengths { total: 99, headers: 84 }));
    assert_eq!(decode(&prelude(15, 0)), Err(FrameError::Lengths { total: 15, headers: 0 }));
    let mut wrong = prelude(100, 10);
    wrong[11] ^= 1;
    assert_eq!(decode(&wrong), Err(FrameError::PreludeChecksum));
    assert!(frame::write(&mut Vec::new(), &[], &vec![0; MAX_MESSAGE]).is_err());
}

/// CR 6.5: one encoding, addressed to another stream, equals encoding it for that stream.
#[test]
fn a_shared_frame_is_readdressed() {
    let template = Template::json(MessageType::ApplicationMessage, 0, "aws.greengrass#IoTCoreMessage").unwrap();
    let (mut shared, mut copy, mut direct) = (Vec::new(), b"before".to_vec(), b"before".to_vec());
    template.write(&mut shared, 0, b"{}").unwrap();
    rpc::write_for_stream(&mut copy, &shared, 70_000);
    template.write(&mut direct, 70_000, b"{}").unwrap();
    assert_eq!(copy, direct);
    let message = RpcFrame::read(decode(&copy[6..]).unwrap().unwrap().0).unwrap();
    assert_eq!((message.stream, message.model), (70_000, Some("aws.greengrass#IoTCoreMessage")));
}

/// CR 6.3, 6.4: what a client may say, and when.
#[test]
fn the_server_accepts_only_the_protocol() {
    let mut session = Session::new();
    let mut feed = |message: Message, accept: bool| {
        let mut bytes = Vec::new();
        message.write(&mut bytes).unwrap();
        let message = RpcFrame::read(decode(&bytes).unwrap().unwrap().0).unwrap();
        let outcome = session.receive(&message).map(|event| match event {
            Event::Connect { .. } => "connect",
            Event::Ping => "ping",
            Event::Request { .. } => "request",
            Event::Close { .. } => "close",
            Event::Ignore => "ignore",
            Event::PeerFailed => "failed",
        });
        if accept {
            session.accept();
        }
        outcome
    };
    let version = |text| with_three(Message::new().header(":version", Value::Text(text)).unwrap(), 4, 0, 0);
    let request = |flags, stream| three(0, flags, stream).header("operation", Value::Text("x#Y")).unwrap();
    assert_eq!(feed(three(2, 0, 0), false), Err(Fault::NotConnected));
    assert_eq!(feed(three(4, 0, 0), false), Err(Fault::Version));
    assert_eq!(feed(version("0.1.1"), false), Err(Fault::Version));
    assert_eq!(feed(version("0.1.0"), true), Ok("connect"));
    assert_eq!(feed(version("0.1.0"), false), Err(Fault::ConnectedTwice));
    assert_eq!(feed(three(2, 0, 0), false), Ok("ping"));
    assert_eq!(feed(three(5, 1, 0), false), Err(Fault::Direction));
    assert_eq!(feed(three(6, 0, 0), false), Ok("failed"));
    assert_eq!(feed(request(0, 1), false), Ok("request"));
    assert_eq!(feed(request(0, 7), false), Ok("request"));
    assert_eq!(feed(request(0, 7), false), Err(Fault::StreamReused(7)));
    assert_eq!(feed(request(0, 6), false), Err(Fault::StreamReused(6)));
    assert_eq!(feed(request(FLAG_TERMINATE_STREAM, 8), false), Ok("ignore"));
    assert_eq!(feed(three(0, 0, 7), false), Ok("ignore"));
    assert_eq!(feed(three(0, 0, 9), false), Err(Fault::UnknownStream(9)));
    assert_eq!(feed(three(0, FLAG_TERMINATE_STREAM, 9), false), Ok("close"));
}

/// CR 6.3: protocol headers are int32, there once, and the stream fits the type.
#[test]
fn protocol_headers_are_checked() {
    let read = |message: Message| {
        let mut bytes = Vec::new();
        message.write(&mut bytes).unwrap();
        RpcFrame::read(decode(&bytes).unwrap().unwrap().0).map(|frame| frame.stream)
    };
    assert_eq!(read(three(0, 0, 5)), Ok(5));
    assert_eq!(read(three(0, 0, 0)), Err(RpcError::Stream { kind: 0, stream: 0 }));
    assert_eq!(read(three(2, 0, 1)), Err(RpcError::Stream { kind: 2, stream: 1 }));
    assert_eq!(read(three(0, 0, -1)), Err(RpcError::Stream { kind: 0, stream: -1 }));
    assert_eq!(read(three(8, 0, 0)), Err(RpcError::UnknownType(8)));
    assert_eq!(read(Message::new()), Err(RpcError::Header(":message-type")));
    let twice = three(0, 0, 5).header(":stream-id", Value::Int32(6)).unwrap();
    assert_eq!(read(twice), Err(RpcError::Header(":stream-id")));
    let long = Message::new().header(":message-type", Value::Int64(0)).unwrap();
    assert_eq!(read(long), Err(RpcError::Header(":message-type")));
}

/// CR 6.4: a PING comes back with its payload and its own headers, without the protocol's.
#[test]
fn a_ping_is_echoed() {
    let ping = three(2, 0, 0).header("mine", Value::Uuid([7; 16])).unwrap();
    let ping = ping.header(":theirs", Value::Bool(true)).unwrap().payload(*b"payload");
    let (mut bytes, mut pong) = (Vec::new(), Vec::new());
    ping.write(&mut bytes).unwrap();
    rpc::write_pong(&mut pong, &RpcFrame::read(decode(&bytes).unwrap().unwrap().0).unwrap()).unwrap();
    let mut wanted = Vec::new();
    three(3, 0, 0).header("mine", Value::Uuid([7; 16])).unwrap().payload(*b"payload").write(&mut wanted).unwrap();
    assert_eq!(pong, wanted);
}

#[derive(Debug, Clone)]
enum Owned {
    Bool(bool),
    Int8(i8),
    Int16(i16),
    Int32(i32),
    Int64(i64),
    Bytes(Vec<u8>),
    Text(String),
    Uuid([u8; 16]),
}

impl Owned {
    fn ours(&self) -> Value<'_> {
        match self {
            Self::Bool(flag) => Value::Bool(*flag),
            Self::Int8(number) => Value::Int8(*number),
            Self::Int16(number) => Value::Int16(*number),
            Self::Int32(number) => Value::Int32(*number),
            Self::Int64(number) => Value::Int64(*number),
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::Text(text) => Value::Text(text),
            Self::Uuid(bytes) => Value::Uuid(*bytes),
        }
    }

    fn theirs(&self) -> HeaderValue {
        match self.clone() {
            Self::Bool(flag) => HeaderValue::Bool(flag),
            Self::Int8(number) => HeaderValue::Byte(number),
            Self::Int16(number) => HeaderValue::Int16(number),
            Self::Int32(number) => HeaderValue::Int32(number),
            Self::Int64(number) => HeaderValue::Int64(number),
            Self::Bytes(bytes) => HeaderValue::ByteArray(bytes.into()),
            Self::Text(text) => HeaderValue::String(text.into()),
            Self::Uuid(bytes) => HeaderValue::Uuid(u128::from_be_bytes(bytes)),
        }
    }
}

fn any_headers() -> impl Strategy<Value = Vec<(String, Owned)>> {
    let value = prop_oneof![
        any::<bool>().prop_map(Owned::Bool),
        any::<i8>().prop_map(Owned::Int8),
        any::<i16>().prop_map(Owned::Int16),
        any::<i32>().prop_map(Owned::Int32),
        any::<i64>().prop_map(Owned::Int64),
        proptest::collection::vec(any::<u8>(), 0..64).prop_map(Owned::Bytes),
        ".{0,20}".prop_map(Owned::Text),
        any::<[u8; 16]>().prop_map(Owned::Uuid),
    ];
    proptest::collection::vec(("[ -~]{1,30}", value), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// CR 6.2: both codecs write the same bytes and read each other's.
    #[test]
    fn another_implementation_agrees(
        headers in any_headers(),
        payload in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut theirs = Theirs::new(Bytes::from(payload.clone()));
        let mut block = Vec::new();
        for (name, value) in &headers {
            theirs = theirs.add_header(Header::new(name.clone(), value.theirs()));
            header::write(&mut block, name, value.ours()).unwrap();
        }
        let (mut our_bytes, mut their_bytes) = (Vec::new(), Vec::new());
        frame::write(&mut our_bytes, &block, &payload).unwrap();
        write_message_to(&theirs, &mut their_bytes).unwrap();
        prop_assert_eq!(&our_bytes, &their_bytes);
        let (frame, length) = decode(&their_bytes).unwrap().unwrap();
        prop_assert_eq!(length, their_bytes.len());
        prop_assert_eq!(frame.payload, &payload[..]);
        let read: Vec<_> = frame.headers.into_iter().collect();
        let wanted: Vec<_> = headers.iter().map(|(name, value)| (&**name, value.ours())).collect();
        prop_assert_eq!(read, wanted);
        prop_assert_eq!(read_message_from(Bytes::from(our_bytes)).unwrap(), theirs);
    }

    /// CR 6.2: whatever one flipped bit does, it is noticed.
    #[test]
    fn a_flipped_bit_is_noticed(headers in any_headers(), at in any::<proptest::sample::Index>(), bit in 0..8_u8) {
        let mut block = Vec::new();
        for (name, value) in &headers {
            header::write(&mut block, name, value.ours()).unwrap();
        }
        let mut bytes = Vec::new();
        frame::write(&mut bytes, &block, b"payload").unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(!matches!(decode(&bytes), Ok(Some(_))));
    }
}
