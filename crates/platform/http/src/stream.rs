//! Bodies that are larger than memory: read and written piece by piece.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::mpsc;

/// An answer whose body may be a stream.
pub type StreamResponse = hyper::Response<ResponseBody>;

/// Why a body ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The connection broke or the framing is wrong.
    #[error("the body broke off")]
    Broken,
    /// Nothing came for too long.
    #[error("the body stalled")]
    Stalled,
}

/// The body of a request, unread. `Expect: 100-continue` is answered when the first piece is asked for.
#[derive(Debug)]
pub struct RequestBody {
    incoming: Incoming,
    patience: Duration,
}

impl RequestBody {
    pub(crate) fn new(incoming: Incoming, patience: Duration) -> RequestBody {
        RequestBody { incoming, patience }
    }

    /// The length the head announces, in bytes; `None` with chunked framing.
    pub fn announced(&self) -> Option<u64> {
        self.incoming.size_hint().exact()
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// [`BodyError`]; nothing comes after it.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            let frame = tokio::time::timeout(self.patience, self.incoming.frame()).await;
            match frame.map_err(|_| BodyError::Stalled)? {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

/// The body of an answer: bytes, or pieces that a task sends.
#[derive(Debug)]
pub struct ResponseBody(Inner);

#[derive(Debug)]
enum Inner {
    Whole(Option<Bytes>),
    Pieces { remaining: u64, pieces: mpsc::Receiver<io::Result<Bytes>> },
    Open(mpsc::Receiver<Bytes>),
}

impl ResponseBody {
    /// Bytes in memory.
    pub fn whole(bytes: Bytes) -> ResponseBody {
        ResponseBody(Inner::Whole(Some(bytes).filter(|bytes| !bytes.is_empty())))
    }

    /// Exactly `length` bytes in pieces. When the sender fails or goes away before that, the connection is cut off, so that the
    /// client knows.
    pub fn pieces(length: u64, pieces: mpsc::Receiver<io::Result<Bytes>>) -> ResponseBody {
        ResponseBody(Inner::Pieces { remaining: length, pieces })
    }

    /// Pieces until the sender goes away, however many: events. The sender learns that the client left from its closed
    /// channel.
    pub fn open(pieces: mpsc::Receiver<Bytes>) -> ResponseBody {
        ResponseBody(Inner::Open(pieces))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut self.0 {
            Inner::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Inner::Open(pieces) => pieces.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece)))),
            Inner::Pieces { remaining: 0, .. } => Poll::Ready(None),
            Inner::Pieces { remaining, pieces } => match std::task::ready!(pieces.poll_recv(cx)) {
                Some(Ok(piece)) => {
                    *remaining = remaining.saturating_sub(piece.len() as u64);
                    Poll::Ready(Some(Ok(Frame::data(piece))))
                }
                Some(Err(error)) => Poll::Ready(Some(Err(error))),
                None => Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Inner::Whole(None) | Inner::Pieces { remaining: 0, .. })
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Inner::Pieces { remaining, .. } => SizeHint::with_exact(*remaining),
            Inner::Open(_) => SizeHint::default(),
        }
    }
}
