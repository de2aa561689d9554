//! A small HTTP/1.1 client: one request, one answer, connections kept for the next.
//!
//! What it never does: follow redirects, decode content, hold more than a handful of idle connections, wait beyond the
//! caller's deadline, or read beyond its limits. Where it connects is the [`Dial`] port's business, so a caller can pin roots,
//! refuse private addresses, or stay inside the process.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderMap, HeaderValue};
use hyper::http::uri::Scheme;
use hyper::{Method, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use marram_tls::Connector;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Idle connections kept for one origin.
const MAX_IDLE_PER_ORIGIN: usize = 8;
/// Origins with idle connections.
const MAX_ORIGINS: usize = 64;

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// `https`.
    pub tls: bool,
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Origin {
    fn of(url: &Uri) -> Result<Origin, ClientError> {
        let tls = match url.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(ClientError::Url("the scheme is neither http nor https")),
        };
        let host = url.host().filter(|host| !host.is_empty()).ok_or(ClientError::Url("the host is missing"))?;
        if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(ClientError::Url("a user name has no place in it"));
        }
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        Ok(Origin { tls, host, port: url.port_u16().unwrap_or(if tls { 443 } else { 80 }) })
    }
}

/// A connected byte stream.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection in the making.
pub type Dialling<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + 'a>>;

/// Opens connections.
pub trait Dial: Send + Sync {
    /// A stream to `origin`, encrypted when the origin says so.
    fn dial<'a>(&'a self, origin: &'a Origin) -> Dialling<'a>;
}

/// Dials over TCP, with TLS where a connector is given.
#[derive(Debug, Clone, Default)]
pub struct Direct {
    /// Trust for `https`; without it such origins are refused.
    pub tls: Option<Connector>,
}

impl Dial for Direct {
    fn dial<'a>(&'a self, origin: &'a Origin) -> Dialling<'a> {
        Box::pin(async move {
            let socket = TcpStream::connect((origin.host.as_str(), origin.port)).await?;
            socket.set_nodelay(true)?;
            if !origin.tls {
                return Ok(Box::new(socket) as Box<dyn Stream>);
            }
            let Some(connector) = &self.tls else {
                return Err(io::Error::new(io::ErrorKind::Unsupported, "no roots are configured for https"));
            };
            let stream = connector.connect(&origin.host, socket).await.map_err(io::Error::other)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

/// What an answer may cost.
#[derive(Debug, Clone)]
pub struct ClientLimits {
    /// Largest body of an answer, in bytes.
    pub body: usize,
    /// Largest header block of an answer, in bytes.
    pub header_block: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        ClientLimits { body: 1 << 20, header_block: 16 << 10 }
    }
}

/// A request.
#[derive(Debug, Clone)]
pub struct ClientRequest {
    /// Method.
    pub method: Method,
    /// Absolute URL; the path and query are sent as they stand.
    pub url: Uri,
    /// Headers beside `Host` and `Content-Length`.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct ClientResponse {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// An answer whose body is still on its way.
#[derive(Debug)]
pub struct StreamedResponse {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    body: hyper::body::Incoming,
    _connection: SendRequest<Full<Bytes>>,
}

impl StreamedResponse {
    /// The next piece of the body; none at its end. `timeout` is for this piece.
    ///
    /// # Errors
    /// [`ClientError::Exchange`], [`ClientError::Timeout`].
    pub async fn chunk(&mut self, timeout: Duration) -> Result<Option<Bytes>, ClientError> {
        loop {
            let frame = tokio::time::timeout(timeout, self.body.frame())
                .await
                .map_err(|_| ClientError::Timeout { after: timeout })?;
            match frame {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame.map_err(ClientError::Exchange)?.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The URL cannot be called.
    #[error("the URL cannot be called: {0}")]
    Url(&'static str),
    /// No connection. The request was not sent.
    #[error("cannot connect to {host}:{port}")]
    Connect {
        /// Host of the URL.
        host: String,
        /// Port of the URL.
        port: u16,
        /// What the system or the handshake said.
        #[source]
        cause: io::Error,
    },
    /// The connection broke after the request was (perhaps) sent.
    #[error("the exchange failed")]
    Exchange(#[source] hyper::Error),
    /// The answer is larger than the limit.
    #[error("the answer is larger than {limit} bytes")]
    TooLarge {
        /// In bytes.
        limit: usize,
    },
    /// No complete answer within the caller's time.
    #[error("no answer within {} ms", .after.as_millis())]
    Timeout {
        /// The caller's time.
        after: Duration,
    },
}

/// Makes requests. A cheap clone; clones share idle connections.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    dial: Box<dyn Dial>,
    limits: ClientLimits,
    idle: Mutex<HashMap<Origin, Vec<SendRequest<Full<Bytes>>>>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("limits", &self.inner.limits).finish_non_exhaustive()
    }
}

impl Client {
    /// A client that connects through `dial`.
    pub fn new(dial: impl Dial + 'static, limits: ClientLimits) -> Client {
        Client { inner: Arc::new(Inner { dial: Box::new(dial), limits, idle: Mutex::default() }) }
    }

    /// Sends `request` and reads the whole answer, all within `timeout`.
    ///
    /// # Errors
    /// [`ClientError`]. After [`ClientError::Exchange`] and [`ClientError::Timeout`] the server may have acted.
    pub async fn send(&self, request: ClientRequest, timeout: Duration) -> Result<ClientResponse, ClientError> {
        match tokio::time::timeout(timeout, self.exchange(request)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ClientError::Timeout { after: timeout }),
        }
    }

    async fn exchange(&self, request: ClientRequest) -> Result<ClientResponse, ClientError> {
        let origin = Origin::of(&request.url)?;
        let (response, sender) = self.answer(&origin, wire_request(request)?).await?;
        let (head, mut body) = response.into_parts();
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(ClientError::Exchange)?.into_data() else { continue };
            if whole.len() + data.len() > self.inner.limits.body {
                return Err(ClientError::TooLarge { limit: self.inner.limits.body });
            }
            whole.extend_from_slice(&data);
        }
        self.keep(origin, sender);
        Ok(ClientResponse { status: head.status, headers: head.headers, body: whole.freeze() })
    }

    /// Sends `request`; `timeout` bounds the time until the head of the answer is there. The body is read piece by piece, its
    /// connection is not kept for others.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn open(&self, request: ClientRequest, timeout: Duration) -> Result<StreamedResponse, ClientError> {
        let opening = async {
            let origin = Origin::of(&request.url)?;
            let (response, sender) = self.answer(&origin, wire_request(request)?).await?;
            let (head, body) = response.into_parts();
            Ok(StreamedResponse { status: head.status, headers: head.headers, body, _connection: sender })
        };
        match tokio::time::timeout(timeout, opening).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ClientError::Timeout { after: timeout }),
        }
    }

    /// Sends a request over an idle connection or a new one. The peer may close an idle one in the very moment that it is taken:
    /// what was not sent goes over the next.
    async fn answer(
        &self,
        origin: &Origin,
        mut wire: Wire,
    ) -> Result<(hyper::Response<hyper::body::Incoming>, SendRequest<Full<Bytes>>), ClientError> {
        while let Some(mut sender) = self.take(origin) {
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.try_send_request(wire).await {
                Ok(response) => return Ok((response, sender)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => wire = unsent,
                    None => return Err(ClientError::Exchange(error.into_error())),
                },
            }
        }
        let mut sender = self.connect(origin).await?;
        let response = sender.send_request(wire).await.map_err(ClientError::Exchange)?;
        Ok((response, sender))
    }

    async fn connect(&self, origin: &Origin) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let failed = |cause| ClientError::Connect { host: origin.host.clone(), port: origin.port, cause };
        let stream = self.inner.dial.dial(origin).await.map_err(failed)?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(self.inner.limits.header_block.max(8 << 10))
            .handshake(TokioIo::new(stream))
            .await
            .map_err(ClientError::Exchange)?;
        // Ends by itself: when the sender is dropped or the peer closes.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "outgoing connection ended");
            }
        });
        Ok(sender)
    }

    fn take(&self, origin: &Origin) -> Option<SendRequest<Full<Bytes>>> {
        self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner).get_mut(origin)?.pop()
    }

    fn keep(&self, origin: Origin, sender: SendRequest<Full<Bytes>>) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() >= MAX_ORIGINS && !idle.contains_key(&origin) {
            idle.clear();
        }
        let kept = idle.entry(origin).or_default();
        if kept.len() < MAX_IDLE_PER_ORIGIN {
            kept.push(sender);
        }
    }
}

/// A request as it goes over the wire.
type Wire = hyper::Request<Full<Bytes>>;

/// Origin form, with `Host`.
fn wire_request(request: ClientRequest) -> Result<Wire, ClientError> {
    let authority = request.url.authority().ok_or(ClientError::Url("the host is missing"))?;
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| ClientError::Url("the host is not text"))?;
    let target = request.url.path_and_query().map_or("/", |target| target.as_str());
    let target = Uri::try_from(target).map_err(|_| ClientError::Url("the path cannot be sent"))?;
    let mut wire = hyper::Request::new(Full::new(request.body));
    *wire.method_mut() = request.method;
    *wire.uri_mut() = target;
    *wire.headers_mut() = request.headers;
    wire.headers_mut().insert(HOST, host);
    Ok(wire)
}
