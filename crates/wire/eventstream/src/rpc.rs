//! The remote procedure calls: three int32 headers on every message (CR 6.3), a few more on requests and answers (CR 6.5).

use crate::frame::{Frame, FrameError, MAX_HEADERS, MAX_MESSAGE, OVERHEAD, PRELUDE};
use crate::header::{self, HeaderError, Value};

/// Flag of a CONNECT_ACK that lets the client in.
pub const FLAG_CONNECTION_ACCEPTED: i32 = 1;
/// Flag of the last message a side sends on a stream.
pub const FLAG_TERMINATE_STREAM: i32 = 2;
/// The one protocol version that exists.
pub const VERSION: &str = "0.1.0";
/// Content type of requests, answers and modelled errors.
pub const JSON: &str = "application/json";

/// `:message-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum MessageType {
    /// Request, response, event.
    ApplicationMessage = 0,
    /// Error of an operation.
    ApplicationError = 1,
    /// Are you there?
    Ping = 2,
    /// Yes.
    PingResponse = 3,
    /// The client's first message.
    Connect = 4,
    /// The server's answer to it.
    ConnectAck = 5,
    /// The peer broke the protocol.
    ProtocolError = 6,
    /// The sender broke.
    InternalError = 7,
}

impl MessageType {
    fn of(number: i32) -> Option<Self> {
        Some(match number {
            0 => Self::ApplicationMessage,
            1 => Self::ApplicationError,
            2 => Self::Ping,
            3 => Self::PingResponse,
            4 => Self::Connect,
            5 => Self::ConnectAck,
            6 => Self::ProtocolError,
            7 => Self::InternalError,
            _ => return None,
        })
    }
}

/// Why a well-formed frame is no message of this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// A protocol header is missing, twice there, or not of its type.
    #[error("header `{0}` is missing, repeated or of another type")]
    Header(&'static str),
    /// A `:message-type` that does not exist.
    #[error("message type {0} does not exist")]
    UnknownType(i32),
    /// Types 2 to 7 belong on stream 0, types 0 and 1 on streams from 1.
    #[error("message type {kind} on stream {stream}")]
    Stream {
        /// `:message-type`.
        kind: i32,
        /// `:stream-id`.
        stream: i32,
    },
}

/// A frame with its protocol headers found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RpcFrame<'a> {
    /// `:message-type`.
    pub kind: MessageType,
    /// `:message-flags`.
    pub flags: i32,
    /// `:stream-id`, not negative.
    pub stream: u32,
    /// `operation`, on requests.
    pub operation: Option<&'a str>,
    /// `service-model-type`: the shape of the payload.
    pub model: Option<&'a str>,
    /// `:content-type`.
    pub content_type: Option<&'a str>,
    /// `:version`, on CONNECT.
    pub version: Option<&'a str>,
    /// The whole frame.
    pub frame: Frame<'a>,
}

impl<'a> RpcFrame<'a> {
    /// Finds the protocol headers, whatever their order.
    pub fn read(frame: Frame<'a>) -> Result<Self, RpcError> {
        let (mut kind, mut flags, mut stream) = (None, None, None);
        let (mut operation, mut model, mut content_type, mut version) = (None, None, None, None);
        for (name, value) in frame.headers {
            match name {
                ":message-type" => number(":message-type", value, &mut kind)?,
                ":message-flags" => number(":message-flags", value, &mut flags)?,
                ":stream-id" => number(":stream-id", value, &mut stream)?,
                "operation" => text("operation", value, &mut operation)?,
                "service-model-type" => text("service-model-type", value, &mut model)?,
                ":content-type" => text(":content-type", value, &mut content_type)?,
                ":version" => text(":version", value, &mut version)?,
                _ => {}
            }
        }
        let number = kind.ok_or(RpcError::Header(":message-type"))?;
        let flags = flags.ok_or(RpcError::Header(":message-flags"))?;
        let stream = stream.ok_or(RpcError::Header(":stream-id"))?;
        let kind = MessageType::of(number).ok_or(RpcError::UnknownType(number))?;
        let on_a_stream = matches!(kind, MessageType::ApplicationMessage | MessageType::ApplicationError);
        match u32::try_from(stream) {
            Ok(stream) if on_a_stream == (stream > 0) => {
                Ok(Self { kind, flags, stream, operation, model, content_type, version, frame })
            }
            _ => Err(RpcError::Stream { kind: number, stream }),
        }
    }

    /// Whether the sender ends the stream with this message.
    pub fn terminates(&self) -> bool {
        self.flags & FLAG_TERMINATE_STREAM != 0
    }

    /// The payload.
    pub fn payload(&self) -> &'a [u8] {
        self.frame.payload
    }
}

fn number(name: &'static str, value: Value<'_>, slot: &mut Option<i32>) -> Result<(), RpcError> {
    match (value, &slot) {
        (Value::Int32(number), None) => *slot = Some(number),
        _ => return Err(RpcError::Header(name)),
    }
    Ok(())
}

fn text<'a>(name: &'static str, value: Value<'a>, slot: &mut Option<&'a str>) -> Result<(), RpcError> {
    match (value, &slot) {
        (Value::Text(text), None) => *slot = Some(text),
        _ => return Err(RpcError::Header(name)),
    }
    Ok(())
}

/// Where the value of `:stream-id` stands in a frame of a [`Template`]: prelude, name length, name, type.
const STREAM_ID_AT: usize = PRELUDE + 1 + ":stream-id".len() + 1;

/// The headers of one sort of message, encoded once. `:stream-id` comes first, so that a finished frame can be addressed
/// to another stream by writing four bytes and the checksum anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Prelude without total length and checksum, then the header block.
    block: Box<[u8]>,
}

impl Template {
    /// A message of this kind with `texts` as further headers.
    ///
    /// # Errors
    /// A name or text does not fit its length field, or the block is too long.
    pub fn new(kind: MessageType, flags: i32, texts: &[(&str, &str)]) -> Result<Self, FrameError> {
        let mut block = Vec::with_capacity(192);
        header::write(&mut block, ":stream-id", Value::Int32(0))?;
        header::write(&mut block, ":message-type", Value::Int32(kind as i32))?;
        header::write(&mut block, ":message-flags", Value::Int32(flags))?;
        for (name, value) in texts {
            header::write(&mut block, name, Value::Text(value))?;
        }
        if block.len() > MAX_HEADERS {
            return Err(FrameError::HeadersTooLong(block.len() as u64));
        }
        Ok(Self { block: block.into() })
    }

    /// A JSON message of shape `model`.
    ///
    /// # Errors
    /// The shape's name is longer than a header value.
    pub fn json(kind: MessageType, flags: i32, model: &str) -> Result<Self, FrameError> {
        Self::new(kind, flags, &[(":content-type", JSON), ("service-model-type", model)])
    }

    /// Appends a frame for `stream`.
    ///
    /// # Errors
    /// The message is above [`MAX_MESSAGE`]; nothing is appended then.
    pub fn write(&self, out: &mut Vec<u8>, stream: u32, payload: &[u8]) -> Result<(), FrameError> {
        let total = OVERHEAD + self.block.len() + payload.len();
        if total > MAX_MESSAGE {
            return Err(FrameError::TooLong(total as u64));
        }
        let start = out.len();
        out.reserve(total);
        out.extend_from_slice(&(total as u32).to_be_bytes());
        out.extend_from_slice(&(self.block.len() as u32).to_be_bytes());
        let checksum = crc32fast::hash(&out[start..]);
        out.extend_from_slice(&checksum.to_be_bytes());
        out.extend_from_slice(&self.block);
        out[start + STREAM_ID_AT..start + STREAM_ID_AT + 4].copy_from_slice(&stream.to_be_bytes());
        out.extend_from_slice(payload);
        let checksum = crc32fast::hash(&out[start..]);
        out.extend_from_slice(&checksum.to_be_bytes());
        Ok(())
    }
}

/// Appends a copy of `frame`, which a [`Template`] wrote, for another stream: one encoding serves all receivers.
pub fn write_for_stream(out: &mut Vec<u8>, frame: &[u8], stream: u32) {
    let start = out.len();
    out.extend_from_slice(frame);
    out[start + STREAM_ID_AT..start + STREAM_ID_AT + 4].copy_from_slice(&stream.to_be_bytes());
    let end = out.len() - 4;
    let checksum = crc32fast::hash(&out[start..end]);
    out[end..].copy_from_slice(&checksum.to_be_bytes());
}

/// Appends a message of the connection itself (stream 0) without payload.
pub fn write_control(out: &mut Vec<u8>, kind: MessageType, flags: i32) {
    Template::new(kind, flags, &[])
        .and_then(|template| template.write(out, 0, &[]))
        .expect("three short headers fit every limit");
}

/// Appends the answer to a PING: its payload and its headers that do not start with `:` (CR 6.4).
///
/// # Errors
/// The echo would be above a limit.
pub fn write_pong(out: &mut Vec<u8>, ping: &RpcFrame<'_>) -> Result<(), FrameError> {
    let mut block = Vec::new();
    let mut add = |name: &str, value| -> Result<(), HeaderError> { header::write(&mut block, name, value) };
    add(":message-type", Value::Int32(MessageType::PingResponse as i32))?;
    add(":message-flags", Value::Int32(0))?;
    add(":stream-id", Value::Int32(0))?;
    for (name, value) in ping.frame.headers.into_iter().filter(|(name, _)| !name.starts_with(':')) {
        add(name, value)?;
    }
    crate::frame::write(out, &block, ping.payload())
}
