//! One HTTP/1.1 connection, served within limits.
//!
//! What a stranger can hold: 100 headers in a block of 16 KiB for at most [`ServerLimits::header_timeout`], then a body of what the
//! handler allows for at most [`ServerLimits::request_deadline`]. `Expect: 100-continue` is answered when the body is first
//! wanted, so a request that is refused for its announced length never sends it. Each answer carries an exact `Date`.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::stream::{RequestBody, ResponseBody, StreamResponse};

/// An answer with its whole body.
pub type Response = hyper::Response<Bytes>;

/// Bounds of a connection.
#[derive(Debug, Clone)]
pub struct ServerLimits {
    /// Largest header block, in bytes (control-plane-api 10.4).
    pub header_block: usize,
    /// Longest wait for a complete header block, idle time between requests included.
    pub header_timeout: Duration,
    /// Longest time from the header block to the answer (control-plane-api 10.4).
    pub request_deadline: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        ServerLimits {
            header_block: 16 << 10,
            header_timeout: Duration::from_secs(30),
            request_deadline: Duration::from_secs(60),
        }
    }
}

/// Why a request never reached [`Handler::handle`], or never came back from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The body is larger than [`Handler::body_limit`].
    BodyTooLarge,
    /// The body was not complete, or the answer not ready, within the deadline.
    Deadline,
    /// The handler panicked.
    Panic,
}

/// Answers the requests of one connection.
pub trait Handler: Send + Sync + 'static {
    /// Largest body of this request, in bytes. Nothing of the head is authenticated yet.
    fn body_limit(&self, head: &Parts) -> usize;

    /// The answer to a whole request.
    fn handle(&self, head: &Parts, body: Bytes) -> impl Future<Output = Response> + Send;

    /// Whether this request goes to [`Handler::stream`], its body unread.
    fn streams(&self, _head: &Parts) -> bool {
        false
    }

    /// The answer to a request whose body is read, and whose answer is written, piece by piece. No deadline holds for the
    /// whole; each piece must come within the deadline of a request.
    fn stream(&self, head: &Parts, body: RequestBody) -> impl Future<Output = StreamResponse> + Send {
        drop(body);
        std::future::ready(self.refuse(head, Refusal::Panic).map(ResponseBody::whole))
    }

    /// The answer to a request that was refused; `head` is the request's.
    fn refuse(&self, head: &Parts, refusal: Refusal) -> Response;
}

/// Serves requests on `io` until the peer leaves, a limit is met, or `shutdown` resolves (then after the request under way).
pub async fn serve<IO, H, S>(io: IO, handler: Arc<H>, limits: &ServerLimits, shutdown: S)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
    H: Handler,
    S: Future<Output = ()>,
{
    let deadline = limits.request_deadline;
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let handler = Arc::clone(&handler);
        async move { Ok::<_, Infallible>(answer(&*handler, request, deadline).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.header_block.max(8 << 10))
        .serve_connection(TokioIo::new(io), service);
    let mut connection = pin!(connection);
    let mut shutdown = pin!(shutdown.fuse());
    loop {
        tokio::select! {
            outcome = connection.as_mut() => {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            () = &mut shutdown => connection.as_mut().graceful_shutdown(),
        }
    }
}

async fn answer<H: Handler>(handler: &H, request: hyper::Request<Incoming>, deadline: Duration) -> StreamResponse {
    let (head, body) = request.into_parts();
    if handler.streams(&head) {
        let work = AssertUnwindSafe(handler.stream(&head, RequestBody::new(body, deadline))).catch_unwind();
        return match work.await {
            Ok(response) => response,
            Err(_) => handler.refuse(&head, Refusal::Panic).map(ResponseBody::whole),
        };
    }
    let limit = handler.body_limit(&head);
    let until = tokio::time::Instant::now() + deadline;
    let (response, body_read) = match tokio::time::timeout_at(until, read(body, limit)).await {
        Err(_) => (handler.refuse(&head, Refusal::Deadline), false),
        Ok(Err(Unread::TooLarge)) => (handler.refuse(&head, Refusal::BodyTooLarge), false),
        // The peer is gone; nobody reads this.
        Ok(Err(Unread::Broken)) => (Response::default(), false),
        Ok(Ok(body)) => {
            let work = AssertUnwindSafe(handler.handle(&head, body)).catch_unwind();
            let response = match tokio::time::timeout_at(until, work).await {
                Ok(Ok(response)) => response,
                Ok(Err(_)) => handler.refuse(&head, Refusal::Panic),
                Err(_) => handler.refuse(&head, Refusal::Deadline),
            };
            (response, true)
        }
    };
    let mut response = response.map(ResponseBody::whole);
    if !body_read {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

enum Unread {
    TooLarge,
    Broken,
}

/// The whole body, at most `limit` bytes.
async fn read(mut body: Incoming, limit: usize) -> Result<Bytes, Unread> {
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        return Err(Unread::TooLarge);
    }
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
        if first.len() + whole.len() + data.len() > limit {
            return Err(Unread::TooLarge);
        }
        // Most bodies come in one piece: no copy then.
        if whole.is_empty() && first.is_empty() {
            first = data;
            continue;
        }
        if whole.is_empty() {
            whole.extend_from_slice(&std::mem::take(&mut first));
        }
        whole.extend_from_slice(&data);
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}
