//! A server stream for many idle connections: rustls without its buffers.
//!
//! The usual stream keeps a 4 KiB read buffer and several queues per connection for as long as it lives. This one
//! lends rustls a buffer of the thread for the length of one call and keeps bytes only where it must: the beginning of
//! a record whose end has not arrived, and ciphertext the socket did not take.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

/// Ciphertext read at once, bytes; more than three full records.
const READ_LEN: usize = 64 * 1024;
/// Plaintext encrypted before a write, bytes.
const WRITE_LEN: usize = 64 * 1024;
/// Room for the framing of what one write encrypts.
const FRAMING: usize = 1024;
/// Ciphertext of one incomplete record or handshake flight a peer may make us keep, bytes.
const PARTIAL_MAX: usize = 80 * 1024;

thread_local! {
    /// Ciphertext on its way in and out, between calls.
    static SCRATCH: RefCell<(Vec<u8>, BytesMut)> = RefCell::default();
}

/// A TLS server connection over TCP, driven by polling.
pub struct LeanStream {
    socket: TcpStream,
    tls: UnbufferedServerConnection,
    /// The beginning of a record.
    partial: Vec<u8>,
    /// Plaintext that came with the end of the handshake.
    early: Vec<u8>,
    /// Ciphertext not yet written.
    unsent: BytesMut,
    established: bool,
    peer_closed: bool,
    said_goodbye: bool,
    /// The peer broke the protocol: rustls is not asked again.
    failed: bool,
}

impl std::fmt::Debug for LeanStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LeanStream")
    }
}

fn broken(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl LeanStream {
    /// A connection whose first bytes, `received`, were already read from the socket.
    pub(crate) fn new(socket: TcpStream, config: Arc<ServerConfig>, received: Vec<u8>) -> io::Result<Self> {
        let tls = UnbufferedServerConnection::new(config).map_err(broken)?;
        Ok(Self {
            socket,
            tls,
            partial: received,
            early: Vec::new(),
            unsent: BytesMut::new(),
            established: false,
            peer_closed: false,
            said_goodbye: false,
            failed: false,
        })
    }

    /// What rustls knows about the connection.
    pub(crate) fn tls(&self) -> &UnbufferedServerConnection {
        &self.tls
    }

    /// Completes the handshake. On an error the alert was sent as far as the socket took it.
    pub(crate) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What came with the ClientHello is worked through before anything is read.
        let mut received = std::mem::take(&mut self.partial);
        let mut fed = if received.is_empty() { Ok(()) } else { self.feed(&mut received, None) };
        loop {
            let flushed = self.poll_flush(cx);
            fed?;
            ready!(flushed)?;
            if self.established {
                return Poll::Ready(Ok(()));
            }
            fed = match ready!(self.poll_receive(cx, None)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
        }
    }

    /// Appends plaintext to `into`. `Ok(0)`: the peer will send no more.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>> {
        let before = into.len();
        into.extend_from_slice(&std::mem::take(&mut self.early));
        while into.len() == before {
            if self.peer_closed || ready!(self.poll_receive(cx, Some(into)))? == 0 {
                return Poll::Ready(Ok(0));
            }
        }
        Poll::Ready(Ok(into.len() - before))
    }

    /// Encrypts and writes bytes from the front of `out`; ready when all of it is with the kernel.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, out: &mut BytesMut) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_flush(cx))?;
            if out.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let count = out.len().min(WRITE_LEN);
            self.encrypt(&out[..count])?;
            out.advance(count);
        }
    }

    /// Says goodbye and closes the sending side.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.said_goodbye {
            self.said_goodbye = true;
            let mut goodbye = [0; 128];
            if !self.failed
                && let UnbufferedStatus { state: Ok(ConnectionState::WriteTraffic(mut traffic)), .. } =
                    self.tls.process_tls_records(&mut [])
                && let Ok(count) = traffic.queue_close_notify(&mut goodbye)
            {
                self.unsent.extend_from_slice(&goodbye[..count]);
            }
        }
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    /// Reads once from the socket and works through what came. `Ok(0)`: end of the stream.
    fn poll_receive(&mut self, cx: &mut Context<'_>, mut into: Option<&mut BytesMut>) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.socket.poll_read_ready(cx))?;
            let mut buffer = SCRATCH.with_borrow_mut(|(read, _)| std::mem::take(read));
            let held = self.partial.len();
            if buffer.len() < held + READ_LEN {
                buffer.resize(held + READ_LEN, 0);
            }
            buffer[..held].copy_from_slice(&self.partial);
            let result = match self.socket.try_read(&mut buffer[held..]) {
                Ok(0) => Ok(0),
                Ok(count) => {
                    self.partial = Vec::new();
                    self.feed(&mut buffer[..held + count], into.as_deref_mut()).map(|()| count)
                }
                Err(error) => Err(error),
            };
            SCRATCH.with_borrow_mut(|(read, _)| *read = buffer);
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Hands ciphertext to rustls, keeps what is not yet a whole record.
    fn feed(&mut self, ciphertext: &mut [u8], mut into: Option<&mut BytesMut>) -> io::Result<()> {
        if self.failed {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let mut at = 0;
        let mut failed = None;
        loop {
            let UnbufferedStatus { mut discard, state } = self.tls.process_tls_records(&mut ciphertext[at..]);
            let mut idle = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(broken)?;
                        discard += record.discard;
                        match into.as_deref_mut() {
                            Some(into) => into.extend_from_slice(record.payload),
                            None => self.early.extend_from_slice(record.payload),
                        }
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(&mut self.unsent, |room| match data.encode(room) {
                        Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => {
                            Err(required_size)
                        }
                        Err(EncodeError::AlreadyEncoded) => Ok(0),
                        Ok(count) => Ok(count),
                    })
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    self.peer_closed = true;
                    at = ciphertext.len();
                    discard = 0;
                    idle = true;
                }
                Ok(ConnectionState::WriteTraffic(_)) => {
                    self.established = true;
                    idle = true;
                }
                Ok(_) => idle = true,
                Err(error) => {
                    // Once more with nothing: rustls may have an alert to send.
                    at = ciphertext.len();
                    discard = 0;
                    idle = failed.replace(error).is_some();
                }
            }
            at += discard;
            // Once the alert is out: messages that rustls still holds lie in bytes that it is not given again, and it would panic.
            if idle || (failed.is_some() && !self.tls.wants_write()) {
                break;
            }
        }
        if let Some(error) = failed {
            self.failed = true;
            return Err(broken(error));
        }
        let rest = &ciphertext[at..];
        if rest.len() > PARTIAL_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "TLS record or flight too long"));
        }
        if !rest.is_empty() {
            self.partial = rest.to_vec();
        }
        Ok(())
    }

    fn encrypt(&mut self, plaintext: &[u8]) -> io::Result<()> {
        if self.failed {
            return Err(io::ErrorKind::NotConnected.into());
        }
        loop {
            match self.tls.process_tls_records(&mut []).state.map_err(broken)? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    let mut outcome = Ok(());
                    encode(&mut self.unsent, |room| match traffic.encrypt(plaintext, room) {
                        Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => {
                            Err(required_size)
                        }
                        Err(error @ EncryptError::EncryptExhausted) => {
                            outcome = Err(broken(error));
                            Ok(0)
                        }
                        Ok(count) => Ok(count),
                    });
                    return outcome;
                }
                ConnectionState::EncodeTlsData(mut data) => encode(&mut self.unsent, |room| match data.encode(room) {
                    Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => Err(required_size),
                    Err(EncodeError::AlreadyEncoded) => Ok(0),
                    Ok(count) => Ok(count),
                }),
                ConnectionState::TransmitTlsData(data) => data.done(),
                _ => return Err(io::ErrorKind::NotConnected.into()),
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            match self.socket.try_write(&self.unsent) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => self.unsent.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.socket.poll_write_ready(cx))?,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        give_back(&mut self.unsent);
        Poll::Ready(Ok(()))
    }
}

/// Lets `write` append to `unsent`; it answers the room it needs if there is too little.
fn encode(unsent: &mut BytesMut, mut write: impl FnMut(&mut [u8]) -> Result<usize, usize>) {
    if unsent.capacity() == 0 {
        SCRATCH.with_borrow_mut(|(_, out)| *unsent = std::mem::take(out));
    }
    let start = unsent.len();
    let mut room = FRAMING;
    loop {
        unsent.resize(start + room, 0);
        match write(&mut unsent[start..]) {
            Ok(count) => return unsent.truncate(start + count),
            Err(needed) => room = needed,
        }
    }
}

/// An empty buffer goes back to the thread.
fn give_back(unsent: &mut BytesMut) {
    if unsent.capacity() > 0 {
        let buffer = std::mem::take(unsent);
        SCRATCH.with_borrow_mut(|(_, out)| {
            if out.capacity() < buffer.capacity() && buffer.capacity() <= 4 * WRITE_LEN {
                *out = buffer;
            }
        });
    }
}
