//! The future that owns a socket.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use marram_edge_ports::{CallerKind, Peer};
use marram_eventstream::server::{Event, Session};
use marram_eventstream::{FLAG_CONNECTION_ACCEPTED, MessageType, RpcFrame, decode, frame, rpc};
use marram_types::SecretString;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::time::Sleep;

use super::{Connection, Known};
use crate::server::CountedConnection;

/// Bytes read at once.
const READ_SIZE: usize = 64 * 1024;
/// A partial frame up to this is copied in front of the next read; longer ones are gathered in place.
const GATHER_FROM: usize = 16 * 1024;
/// Unsent bytes above which no further events are encoded: the rest waits, shared, in the queues.
const FLUSH_AT: usize = 64 * 1024;
/// Unsent bytes above which no further requests are read: a client that does not read answers stalls itself.
const STOP_READING_AT: usize = 256 * 1024;
/// Operations of one connection that may wait at the same time, for the same reason.
const MAX_RUNNING: usize = 1024;
/// Rounds of reading and writing before other connections get their turn.
const ROUNDS: usize = 4;
/// How long a refused client may take to read the refusal and leave: some report a closed socket instead of it otherwise.
const FAREWELL: Duration = Duration::from_millis(250);
/// How long a client may take to send CONNECT.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest first message: whoever is not known yet gets no large buffer.
const MAX_CONNECT: usize = 16 * 1024;

/// Buffers of the turn that runs; one set per thread.
struct Scratch {
    input: Box<[u8]>,
    output: Vec<u8>,
    body: Vec<u8>,
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

impl Scratch {
    fn take() -> Box<Self> {
        SCRATCH.take().unwrap_or_else(|| {
            Box::new(Self { input: vec![0; READ_SIZE + GATHER_FROM].into(), output: Vec::new(), body: Vec::new() })
        })
    }

    fn give_back(mut self: Box<Self>) {
        self.output.clear();
        self.output.shrink_to(4 * STOP_READING_AT);
        self.body.clear();
        self.body.shrink_to(STOP_READING_AT);
        SCRATCH.set(Some(self));
    }
}

/// Why a connection ends.
enum End {
    /// The peer left, or broke the protocol, or was not let in: what is unsent is sent if that needs no waiting.
    Now,
    /// The client was not let in; it is given time to read that.
    Refused,
    Io,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Io
    }
}

/// Drives one connection until it ends.
pub(crate) struct Driver {
    socket: UnixStream,
    peer: Peer,
    connection: Arc<Connection>,
    session: Session,
    /// The start of a frame whose rest has not arrived.
    partial: Vec<u8>,
    /// Encoded, not accepted by the socket yet, from `sent` on.
    unsent: Vec<u8>,
    sent: usize,
    /// When a client that was not let in yet has to be gone.
    connect_by: Option<Pin<Box<Sleep>>>,
    refused: bool,
    counted: CountedConnection,
}

impl Driver {
    pub(crate) fn new(socket: UnixStream, peer: Peer, connection: Arc<Connection>, counted: CountedConnection) -> Self {
        Self {
            socket,
            peer,
            connection,
            session: Session::new(),
            partial: Vec::new(),
            unsent: Vec::new(),
            sent: 0,
            connect_by: Some(Box::pin(tokio::time::sleep(CONNECT_TIMEOUT))),
            refused: false,
            counted,
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Result<(), End> {
        if self.unsent.is_empty() {
            std::mem::swap(&mut self.unsent, &mut scratch.output);
        }
        let result = self.rounds(cx, scratch);
        if self.unsent.is_empty() {
            std::mem::swap(&mut self.unsent, &mut scratch.output);
        }
        result
    }

    fn rounds(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Result<(), End> {
        for _ in 0..ROUNDS {
            let mut idle = true;
            if self.unsent.len() - self.sent < STOP_READING_AT && self.connection.running() < MAX_RUNNING {
                match self.read(cx, scratch) {
                    Poll::Ready(Ok(())) => idle = false,
                    Poll::Ready(Err(End::Refused)) => {
                        self.refused = true;
                        self.connect_by = Some(Box::pin(tokio::time::sleep(FAREWELL)));
                        idle = false;
                    }
                    Poll::Ready(Err(end)) => {
                        // An answer to what came last: refusal, protocol error.
                        let _ = self.write(cx);
                        return Err(end);
                    }
                    Poll::Pending => {}
                }
            }
            let ended = self.connection.collect(&mut self.unsent, self.sent + FLUSH_AT);
            let blocked = self.write(cx)?.is_pending();
            if ended {
                return Err(End::Now);
            }
            // Reading goes on while writing waits, up to the limit: a client may send before it reads.
            if idle && (blocked || !self.connection.has_output()) {
                return Ok(());
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, End> {
        while self.sent < self.unsent.len() {
            match Pin::new(&mut self.socket).poll_write(cx, &self.unsent[self.sent..]) {
                Poll::Ready(count) => self.sent += count?,
                Poll::Pending => {
                    if self.sent >= FLUSH_AT {
                        self.unsent.drain(..self.sent);
                        self.sent = 0;
                    }
                    return Ok(Poll::Pending);
                }
            }
        }
        self.unsent.clear();
        self.sent = 0;
        Ok(Poll::Ready(()))
    }

    fn read(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<Result<(), End>> {
        let before = if self.partial.len() < GATHER_FROM { self.partial.len() } else { 0 };
        scratch.input[..before].copy_from_slice(&self.partial[..before]);
        let mut buffer = ReadBuf::new(&mut scratch.input[before..before + READ_SIZE]);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer)).map_err(End::from)?;
        let count = buffer.filled().len();
        if count == 0 {
            return Poll::Ready(Err(End::Now));
        }
        let body = &mut scratch.body;
        if before == self.partial.len() {
            let input = &scratch.input[..before + count];
            let used = self.frames(cx, input, body)?;
            self.partial.clear();
            self.partial.extend_from_slice(&input[used..]);
        } else {
            let mut gathered = std::mem::take(&mut self.partial);
            gathered.extend_from_slice(&scratch.input[..count]);
            let used = self.frames(cx, &gathered, body)?;
            gathered.drain(..used);
            self.partial = gathered;
        }
        if self.partial.is_empty() {
            self.partial = Vec::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Handles every complete frame; answers how many bytes those were.
    fn frames(&mut self, cx: &mut Context<'_>, input: &[u8], body: &mut Vec<u8>) -> Result<usize, End> {
        if self.refused {
            return Ok(input.len());
        }
        let mut used = 0;
        loop {
            let rest = &input[used..];
            if !self.session.is_connected() && frame::message_length(rest).is_ok_and(|l| l > Some(MAX_CONNECT)) {
                return Err(self.fault("the first message is too long"));
            }
            match decode(rest) {
                Ok(None) => return Ok(used),
                Ok(Some((frame, length))) => {
                    let message = RpcFrame::read(frame).map_err(|error| self.fault(&error))?;
                    self.message(cx, &message, body)?;
                    used += length;
                }
                Err(error) => return Err(self.fault(&error)),
            }
        }
    }

    fn fault(&mut self, reason: &(impl std::fmt::Display + ?Sized)) -> End {
        let (component, pid) = (self.connection.caller_name(), self.peer.pid);
        if let Some(suppressed) = self.connection.door.faults.may_tell(&component.into()) {
            tracing::info!(component, pid, %reason, suppressed, "an IPC client broke the protocol");
        }
        if self.session.is_connected() {
            rpc::write_control(&mut self.unsent, MessageType::ProtocolError, 0);
            return End::Now;
        }
        rpc::write_control(&mut self.unsent, MessageType::ConnectAck, 0);
        End::Refused
    }

    fn message(&mut self, cx: &mut Context<'_>, message: &RpcFrame<'_>, body: &mut Vec<u8>) -> Result<(), End> {
        match self.session.receive(message) {
            Ok(Event::Request { stream, operation, payload }) => {
                Connection::request(&self.connection, cx, stream, operation, payload, &mut self.unsent, body);
                Ok(())
            }
            Ok(Event::Close { stream }) => {
                self.connection.close(stream);
                Ok(())
            }
            Ok(Event::Ping) => rpc::write_pong(&mut self.unsent, message).map_err(|error| self.fault(&error)),
            Ok(Event::Ignore) => Ok(()),
            Ok(Event::Connect { payload }) => self.connect(payload),
            Ok(Event::PeerFailed) => Err(End::Now),
            Err(fault) => Err(self.fault(&fault)),
        }
    }

    fn connect(&mut self, payload: &[u8]) -> Result<(), End> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Connect {
            auth_token: String,
        }
        let door = &self.connection.door;
        let token = serde_json::from_slice::<Connect>(payload).ok().map(|connect| connect.auth_token);
        let known = token.and_then(|token| {
            let caller = door.ports.identities.authenticate(&token, self.peer)?;
            let share = self.counted.introduce(&caller)?;
            let token = (caller.kind == CallerKind::Component).then(|| Box::new(SecretString::new(token)));
            Some(Known { caller, share, token })
        });
        let Some(known) = known else {
            door.denials.record(&"".into(), "ipc", "CONNECT", &format!("pid {} uid {}", self.peer.pid, self.peer.uid));
            rpc::write_control(&mut self.unsent, MessageType::ConnectAck, 0);
            return Err(End::Refused);
        };
        tracing::debug!(component = %known.caller.name, pid = self.peer.pid, "an IPC client connected");
        let _ = self.connection.known.set(known);
        // Its token may have been taken away between the look at it and now.
        self.connection.end_if_revoked();
        self.session.accept();
        self.connect_by = None;
        rpc::write_control(&mut self.unsent, MessageType::ConnectAck, FLAG_CONNECTION_ACCEPTED);
        Ok(())
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.connection.waker.register(cx.waker());
        let mut scratch = Scratch::take();
        let result = this.turn(cx, &mut scratch);
        scratch.give_back();
        if result.is_err() {
            return Poll::Ready(());
        }
        if let Some(deadline) = &mut this.connect_by
            && deadline.as_mut().poll(cx).is_ready()
        {
            if this.refused {
                return Poll::Ready(());
            }
            tracing::debug!(pid = this.peer.pid, "an IPC client did not introduce itself in time");
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.connection.abandon();
    }
}
