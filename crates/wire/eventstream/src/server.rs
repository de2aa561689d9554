//! The server's end of a connection: what a client may say next (CR 6.4, 6.5).

use crate::rpc::{MessageType, RpcFrame, VERSION};

/// A client that broke the protocol; its connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Anything but CONNECT came first.
    #[error("the first message is not a CONNECT")]
    NotConnected,
    /// A second CONNECT.
    #[error("a second CONNECT")]
    ConnectedTwice,
    /// Another version than `0.1.0`.
    #[error("the protocol version is not 0.1.0")]
    Version,
    /// A message that only servers send.
    #[error("a message type that only servers send")]
    Direction,
    /// A request on a stream id that is not above all earlier ones.
    #[error("stream {0} was used before")]
    StreamReused(u32),
    /// A message without `operation` on a stream that never was.
    #[error("stream {0} does not exist")]
    UnknownStream(u32),
}

/// What a message means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// The first message: its payload holds the token. Answer with CONNECT_ACK, then [`Session::accept`].
    Connect {
        /// JSON text.
        payload: &'a [u8],
    },
    /// Answer with a PING_RESPONSE.
    Ping,
    /// A request that opens a stream.
    Request {
        /// The new stream.
        stream: u32,
        /// `aws.greengrass#...`.
        operation: &'a str,
        /// JSON text.
        payload: &'a [u8],
    },
    /// The client ends a stream; it may be long gone.
    Close {
        /// Which.
        stream: u32,
    },
    /// Nothing to do.
    Ignore,
    /// The client tells that it gives up.
    PeerFailed,
}

/// One connection's protocol state.
#[derive(Debug, Default)]
pub struct Session {
    connected: bool,
    last_stream: u32,
}

impl Session {
    /// Before CONNECT.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the client was let in.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// The token was good.
    pub fn accept(&mut self) {
        self.connected = true;
    }

    /// What `message` means here.
    ///
    /// # Errors
    /// The client broke the protocol.
    pub fn receive<'a>(&mut self, message: &RpcFrame<'a>) -> Result<Event<'a>, Fault> {
        if !self.connected {
            return match message.kind {
                MessageType::Connect if message.version == Some(VERSION) => {
                    Ok(Event::Connect { payload: message.payload() })
                }
                MessageType::Connect => Err(Fault::Version),
                _ => Err(Fault::NotConnected),
            };
        }
        match message.kind {
            MessageType::ApplicationMessage | MessageType::ApplicationError => self.on_stream(message),
            MessageType::Ping => Ok(Event::Ping),
            MessageType::PingResponse => Ok(Event::Ignore),
            MessageType::Connect => Err(Fault::ConnectedTwice),
            MessageType::ConnectAck => Err(Fault::Direction),
            MessageType::ProtocolError | MessageType::InternalError => Ok(Event::PeerFailed),
        }
    }

    fn on_stream<'a>(&mut self, message: &RpcFrame<'a>) -> Result<Event<'a>, Fault> {
        let stream = message.stream;
        match message.operation {
            Some(operation) if stream > self.last_stream => {
                self.last_stream = stream;
                // A request that is its own end asks for nothing (CR 6.5).
                if message.terminates() || message.kind == MessageType::ApplicationError {
                    return Ok(Event::Ignore);
                }
                Ok(Event::Request { stream, operation, payload: message.payload() })
            }
            Some(_) => Err(Fault::StreamReused(stream)),
            None if message.terminates() => Ok(Event::Close { stream }),
            // None of the operations takes a stream of messages from the client.
            None if stream <= self.last_stream => Ok(Event::Ignore),
            None => Err(Fault::UnknownStream(stream)),
        }
    }
}
