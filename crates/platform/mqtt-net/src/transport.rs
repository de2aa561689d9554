//! Byte streams as a connection task wants them: read what is there, write what fits, hold nothing while idle.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// First read buffer of a connection that wakes up; doubled while reads fill it.
const READ_MIN: usize = 2 * 1024;
/// Largest read buffer.
const READ_MAX: usize = 64 * 1024;

/// A bidirectional byte stream driven by polling. Implementations keep no buffer while nothing is in flight.
pub trait Transport: Send + Unpin + 'static {
    /// Appends bytes that can be read now. `Ok(0)`: the peer will send no more.
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut ReadBuffer) -> Poll<io::Result<usize>>;

    /// Writes and removes bytes from the front of `out`; ready when `out` is empty and nothing is left inside.
    fn poll_write(&mut self, cx: &mut Context<'_>, out: &mut BytesMut) -> Poll<io::Result<()>>;

    /// Says goodbye (TLS close_notify, FIN). Call after everything was written.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// Bytes read and not yet consumed, with a size that follows the traffic.
#[derive(Debug)]
pub struct ReadBuffer {
    /// The bytes. Split complete packets off the front.
    pub bytes: BytesMut,
    chunk: usize,
}

impl Default for ReadBuffer {
    fn default() -> Self {
        Self { bytes: BytesMut::new(), chunk: READ_MIN }
    }
}

impl ReadBuffer {
    /// Makes room for one read.
    pub fn prepare(&mut self) -> &mut BytesMut {
        self.bytes.reserve(self.chunk);
        &mut self.bytes
    }

    /// Learns from a read of `count` bytes: busy connections get larger buffers, quiet ones smaller.
    pub fn learn(&mut self, count: usize) {
        if count >= self.chunk {
            self.chunk = (self.chunk * 2).min(READ_MAX);
        } else if count < self.chunk / 8 && self.chunk > READ_MIN {
            self.chunk /= 2;
        }
    }

    /// Gives the buffer back if it is empty.
    pub fn release(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
            self.chunk = READ_MIN;
        }
    }
}

impl Transport for TcpStream {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut ReadBuffer) -> Poll<io::Result<usize>> {
        loop {
            // Readiness first: no buffer exists while there is nothing to read.
            ready!(self.poll_read_ready(cx))?;
            match self.try_read_buf(into.prepare()) {
                Ok(count) => {
                    into.learn(count);
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, out: &mut BytesMut) -> Poll<io::Result<()>> {
        while !out.is_empty() {
            match self.try_write(out) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => out.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.poll_write_ready(cx))?,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(self), cx)
    }
}

thread_local! {
    /// Where [`Io`] reads into before it knows whether anything comes.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}
/// One TLS record and a bit.
const SCRATCH_LEN: usize = 20 * 1024;

/// Any tokio stream (TLS, WebSocket bridges, in-memory pipes) as a [`Transport`].
#[derive(Debug)]
pub struct Io<S> {
    stream: S,
    unflushed: bool,
}

impl<S> Io<S> {
    /// Wraps a stream.
    pub fn new(stream: S) -> Self {
        Self { stream, unflushed: false }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for Io<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut ReadBuffer) -> Poll<io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.resize(SCRATCH_LEN, 0);
            let mut filled = 0;
            loop {
                let mut buffer = ReadBuf::new(scratch);
                match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                    Poll::Ready(Ok(())) if buffer.filled().is_empty() => return Poll::Ready(Ok(filled)),
                    Poll::Ready(Ok(())) => {
                        into.bytes.extend_from_slice(buffer.filled());
                        filled += buffer.filled().len();
                        if filled >= READ_MAX {
                            return Poll::Ready(Ok(filled));
                        }
                    }
                    Poll::Ready(Err(error)) if filled == 0 => return Poll::Ready(Err(error)),
                    Poll::Pending if filled == 0 => return Poll::Pending,
                    // The waker is registered, or the error comes again with the next read.
                    Poll::Pending | Poll::Ready(Err(_)) => return Poll::Ready(Ok(filled)),
                }
            }
        })
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, out: &mut BytesMut) -> Poll<io::Result<()>> {
        while !out.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, out))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => out.advance(count),
            }
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
