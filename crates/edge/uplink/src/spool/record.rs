//! Records of the spool's segments.

use bytes::Bytes;
use marram_edge_ports::CloudPublish;
use minicbor::bytes::{ByteSlice, ByteVec};
use minicbor::{Decode, Encode};
use smol_str::SmolStr;

/// Largest record that is read back, bytes: the largest MQTT message and room for its properties.
pub(super) const RECORD_MAX: usize = 4 * 1024 * 1024;
/// What stands before a record's body: its length and its checksum.
pub(super) const HEAD_BYTES: usize = 8;

/// One record.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Record {
    /// A message that was taken in.
    Message { id: u64, owner: SmolStr, at: i64, message: CloudPublish },
    /// Messages that are settled.
    Settled(Vec<u64>),
}

#[derive(Encode, Decode)]
struct Stored {
    #[n(0)]
    id: u64,
    #[n(1)]
    owner: String,
    #[n(2)]
    at: i64,
    #[n(3)]
    topic: String,
    #[n(4)]
    qos: u8,
    #[n(5)]
    payload: ByteVec,
    #[n(6)]
    retain: bool,
    #[n(7)]
    user_properties: Vec<(String, String)>,
    #[n(8)]
    expiry: Option<u32>,
    #[n(9)]
    correlation: Option<ByteVec>,
    #[n(10)]
    response_topic: Option<String>,
    #[n(11)]
    is_text: Option<bool>,
    #[n(12)]
    content_type: Option<String>,
}

#[derive(Encode, Decode)]
enum Body {
    #[n(0)]
    Message(#[n(0)] Stored),
    #[n(1)]
    Settled(#[n(0)] Vec<u64>),
}

/// What the queue must know of a record that lies in a segment; nothing is copied.
#[derive(Decode)]
pub(super) enum Outline<'b> {
    #[n(0)]
    Message(#[b(0)] MessageOutline<'b>),
    #[n(1)]
    Settled(#[n(0)] Vec<u64>),
}

/// The members of [`Stored`] that the queue goes by.
#[derive(Decode)]
pub(super) struct MessageOutline<'b> {
    #[n(0)]
    pub(super) id: u64,
    #[b(1)]
    pub(super) owner: &'b str,
    #[n(2)]
    pub(super) at: i64,
    #[b(3)]
    pub(super) topic: &'b str,
    #[n(4)]
    pub(super) qos: u8,
    #[b(5)]
    pub(super) payload: &'b ByteSlice,
    #[n(8)]
    pub(super) expiry: Option<u32>,
}

/// Length and checksum of the body that follows; none when it cannot be one.
pub(super) fn body_of(head: [u8; HEAD_BYTES]) -> Option<(usize, u32)> {
    let [a, b, c, d, crc @ ..] = head;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    (length > 0 && length <= RECORD_MAX).then_some((length, u32::from_le_bytes(crc)))
}

impl<'b> Outline<'b> {
    /// Of a body; none when it is damaged.
    pub(super) fn decode(body: &'b [u8], crc: u32) -> Option<Self> {
        if crc32fast::hash(body) != crc {
            return None;
        }
        minicbor::decode(body).ok()
    }
}

impl Record {
    /// Appends `length, CRC, body`; answers the length of the whole.
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> u32 {
        let body = match self {
            Record::Settled(ids) => Body::Settled(ids.clone()),
            Record::Message { id, owner, at, message } => Body::Message(Stored {
                id: *id,
                owner: owner.to_string(),
                at: *at,
                topic: message.topic.clone(),
                qos: message.qos,
                payload: message.payload.to_vec().into(),
                retain: message.retain,
                user_properties: message.user_properties.clone(),
                expiry: message.message_expiry_seconds,
                correlation: message.correlation_data.as_ref().map(|data| data.to_vec().into()),
                response_topic: message.response_topic.clone(),
                is_text: message.payload_is_text,
                content_type: message.content_type.clone(),
            }),
        };
        let start = out.len();
        out.extend_from_slice(&[0; HEAD_BYTES]);
        minicbor::encode(&body, &mut *out).expect("a vector takes every write");
        let length = out.len() - start - HEAD_BYTES;
        let crc = crc32fast::hash(&out[start + HEAD_BYTES..]);
        let length = u32::try_from(length).expect("messages are far below 4 GiB");
        out[start..start + 4].copy_from_slice(&length.to_le_bytes());
        out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
        length + HEAD_BYTES as u32
    }

    /// The record at the front of `bytes` and its whole length; none when it is torn or damaged.
    pub(super) fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let (head, rest) = bytes.split_first_chunk()?;
        let (length, crc) = body_of(*head)?;
        let body = rest.get(..length)?;
        if crc32fast::hash(body) != crc {
            return None;
        }
        let record = match minicbor::decode::<Body>(body).ok()? {
            Body::Settled(ids) => Record::Settled(ids),
            Body::Message(stored) => Record::Message {
                id: stored.id,
                owner: stored.owner.into(),
                at: stored.at,
                message: CloudPublish {
                    topic: stored.topic,
                    qos: stored.qos,
                    payload: Vec::from(stored.payload).into(),
                    retain: stored.retain,
                    user_properties: stored.user_properties,
                    message_expiry_seconds: stored.expiry,
                    correlation_data: stored.correlation.map(|data| Bytes::from(Vec::from(data))),
                    response_topic: stored.response_topic,
                    payload_is_text: stored.is_text,
                    content_type: stored.content_type,
                },
            },
        };
        Some((record, length + HEAD_BYTES))
    }
}

/// Entry of the fuzz target: a record of any text whose checksum is right; what can be read is written and read again, and its
/// outline says the same.
pub fn fuzz_spool_record(body: &[u8]) {
    let framed =
        |body: &[u8]| [&(body.len() as u32).to_le_bytes(), &crc32fast::hash(body).to_le_bytes(), body].concat();
    let Some((record, _)) = Record::decode(&framed(body)) else { return };
    let mut written = Vec::new();
    let length = record.encode(&mut written) as usize;
    match (&record, Outline::decode(body, crc32fast::hash(body))) {
        (Record::Settled(ids), Some(Outline::Settled(outlined))) => assert_eq!(*ids, outlined),
        (Record::Message { id, owner, at, message }, Some(Outline::Message(outlined))) => {
            assert_eq!((*id, owner.as_str(), *at), (outlined.id, outlined.owner, outlined.at));
            assert_eq!((message.topic.as_str(), message.qos), (outlined.topic, outlined.qos));
            assert_eq!(
                (&message.payload[..], message.message_expiry_seconds),
                (&outlined.payload[..], outlined.expiry)
            );
        }
        _ => panic!("a record has no outline"),
    }
    assert!(Record::decode(&written).is_some_and(|(_, read)| read == length), "a record that is written is read");
}
