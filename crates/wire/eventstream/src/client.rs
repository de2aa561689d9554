//! The client's end of a connection: CONNECT, requests, and reading what comes back (CR 6.4, 6.5).

use crate::frame::{FrameError, Message};
use crate::header::Value;
use crate::rpc::{FLAG_CONNECTION_ACCEPTED, JSON, MessageType, RpcFrame, Template, VERSION};

/// What a server's message means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// The answer to CONNECT.
    Connected {
        /// Whether the token was good.
        accepted: bool,
    },
    /// A response or an event of a stream.
    Message {
        /// Which.
        stream: u32,
        /// The shape's name, `aws.greengrass#...`.
        model: Option<&'a str>,
        /// JSON text.
        payload: &'a [u8],
        /// The stream ends with it.
        last: bool,
    },
    /// An error; the stream ends with it.
    Failure {
        /// Which.
        stream: u32,
        /// The error shape's name; none for faults outside the model.
        model: Option<&'a str>,
        /// JSON or plain text.
        payload: &'a [u8],
    },
    /// Answer with a PING_RESPONSE.
    Ping,
    /// Nothing to do.
    Ignore,
    /// The server gives the connection up.
    Broken,
}

/// Stream ids of one connection.
#[derive(Debug, Default)]
pub struct Session {
    last_stream: u32,
}

impl Session {
    /// No stream used yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a CONNECT whose payload is `{"authToken": ...}` as JSON text.
    ///
    /// # Errors
    /// The payload is above the limit.
    pub fn connect(out: &mut Vec<u8>, payload: &[u8]) -> Result<(), FrameError> {
        Message::new()
            .header(":version", Value::Text(VERSION))?
            .header(":message-type", Value::Int32(MessageType::Connect as i32))?
            .header(":message-flags", Value::Int32(0))?
            .header(":stream-id", Value::Int32(0))?
            .payload(payload)
            .write(out)
    }

    /// The headers of a request, to be reused for every call of the operation.
    ///
    /// # Errors
    /// The operation's name is too long.
    pub fn request_template(operation: &str) -> Result<Template, FrameError> {
        let model = format!("{operation}Request");
        let texts = [(":content-type", JSON), ("service-model-type", &*model), ("operation", operation)];
        Template::new(MessageType::ApplicationMessage, 0, &texts)
    }

    /// Appends a request on a new stream and answers its id.
    ///
    /// # Errors
    /// The payload is above the limit.
    pub fn request(&mut self, out: &mut Vec<u8>, template: &Template, payload: &[u8]) -> Result<u32, FrameError> {
        template.write(out, self.last_stream + 1, payload)?;
        self.last_stream += 1;
        Ok(self.last_stream)
    }

    /// What a server's message means.
    pub fn receive<'a>(&self, message: &RpcFrame<'a>) -> Event<'a> {
        let (stream, model, payload) = (message.stream, message.model, message.payload());
        match message.kind {
            MessageType::ConnectAck => Event::Connected { accepted: message.flags & FLAG_CONNECTION_ACCEPTED != 0 },
            MessageType::ApplicationMessage => Event::Message { stream, model, payload, last: message.terminates() },
            MessageType::ApplicationError => Event::Failure { stream, model, payload },
            MessageType::Ping => Event::Ping,
            MessageType::PingResponse => Event::Ignore,
            MessageType::Connect | MessageType::ProtocolError | MessageType::InternalError => Event::Broken,
        }
    }
}
