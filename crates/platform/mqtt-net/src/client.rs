//! An MQTT client for demo devices, benchmarks and the flow runtime's remote brokers.
//!
//! A task owns the socket and the [`ClientSession`]; [`Client`] talks to it over channels. After a lost connection it
//! connects again with a growing, jittered pause, subscribes again if the server forgot the session, and sends
//! unacknowledged messages once more.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use marram_mqtt::session::{ClientEvent, ClientSession, SendError};
use marram_mqtt::{
    ConnAck, Connect, Disconnect, Filter, Packet, PacketId, Publish, QoS, ReasonCode, Subscribe, SubscribeOptions,
    TopicFilter, Unsubscribe, decode, encode_puback,
};
use marram_tls::Connector;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::transport::{Io, ReadBuffer, Transport};

/// Time for TCP, TLS and CONNACK together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// First pause after a lost connection.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// Longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Requests queued between [`Client`] and its task.
const REQUESTS: usize = 256;
/// Messages queued for [`Client::recv`]; beyond, the socket is not read.
const MESSAGES: usize = 1024;
/// Requests that may be unanswered at a time.
const WINDOW: usize = 100;
/// Largest packet accepted from the server, bytes.
const PACKET_MAX: usize = 1024 * 1024;

/// Where and as whom to connect.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// TLS with roots and client certificate; `None`: plain TCP, for tests.
    pub tls: Option<Connector>,
    /// CONNECT to send, on every connection.
    pub connect: Connect,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The socket or TLS failed.
    #[error("connection failed")]
    Io(#[from] io::Error),
    /// TLS failed.
    #[error("connection failed")]
    Tls(#[from] marram_tls::TlsError),
    /// Too long.
    #[error("no answer in time")]
    Timeout,
    /// The server refused the connection.
    #[error("server refused the connection: {0}")]
    Refused(ReasonCode),
    /// The server broke the protocol.
    #[error("server broke the protocol: {0}")]
    Protocol(#[from] marram_mqtt::DecodeError),
    /// The server refused the request.
    #[error("server refused the request: {0}")]
    Denied(ReasonCode),
    /// The request cannot be sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The client was closed.
    #[error("client is closed")]
    Closed,
}

enum Request {
    Publish(Publish, Option<oneshot::Sender<Result<(), ClientError>>>),
    Subscribe(Vec<Filter>, oneshot::Sender<Result<Vec<ReasonCode>, ClientError>>),
    Unsubscribe(TopicFilter, oneshot::Sender<Result<(), ClientError>>),
    Disconnect,
}

/// A connected client. Dropping it closes the connection without DISCONNECT, so that its will is published.
#[derive(Debug)]
pub struct Client {
    requests: mpsc::Sender<Request>,
    messages: mpsc::Receiver<Publish>,
    task: tokio::task::JoinHandle<()>,
    session_present: bool,
}

impl Client {
    /// Connects once; fails if the first connection does. Later ones are repeated until they succeed.
    pub async fn connect(options: ClientOptions) -> Result<Self, ClientError> {
        let (wire, connack) = dial(&options).await?;
        let connect = options.connect.clone();
        Self::start(wire, &connack, &connect, Some(options))
    }

    /// Connects over a stream that somebody else opened: through a proxy, say. It is closed for good when the stream is lost.
    ///
    /// # Errors
    /// The server refused, or did not answer in time.
    pub async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        connect: Connect,
    ) -> Result<Self, ClientError> {
        let wire: Wire = Box::pin(Io::new(stream));
        let (wire, connack) =
            timeout(CONNECT_TIMEOUT, greet(wire, &connect)).await.map_err(|_| ClientError::Timeout)??;
        Self::start(wire, &connack, &connect, None)
    }

    fn start(
        wire: Wire,
        connack: &ConnAck,
        connect: &Connect,
        options: Option<ClientOptions>,
    ) -> Result<Self, ClientError> {
        let mut session = ClientSession::new(connect.version, WINDOW);
        let mut out = BytesMut::new();
        session.connected(connack, &mut out).map_err(SendError::from)?;
        let (requests, receiver) = mpsc::channel(REQUESTS);
        let (sender, messages) = mpsc::channel(MESSAGES);
        let keep_alive = keep_alive(connect, connack);
        let driver = Driver {
            options,
            session,
            requests: receiver,
            messages: sender,
            held: None,
            next: None,
            waiting: HashMap::new(),
            filters: HashMap::new(),
            keep_alive,
        };
        let session_present = connack.session_present;
        let task = tokio::spawn(driver.run(wire, out));
        Ok(Self { requests, messages, task, session_present })
    }

    /// Whether the server resumed a session on the first connection.
    pub fn session_present(&self) -> bool {
        self.session_present
    }

    /// Publishes. QoS 1: waits for the acknowledgement; QoS 0: until the message is queued.
    pub async fn publish(&self, publish: Publish) -> Result<(), ClientError> {
        if publish.qos == QoS::AtMostOnce {
            return self.request(Request::Publish(publish, None)).await;
        }
        let (done, answer) = oneshot::channel();
        self.request(Request::Publish(publish, Some(done))).await?;
        answer.await.map_err(|_| ClientError::Closed)?
    }

    /// Subscribes to one filter and waits for the answer: the granted QoS, or the refusal as an error.
    pub async fn subscribe(&self, filter: TopicFilter, qos: QoS) -> Result<QoS, ClientError> {
        let options = SubscribeOptions { qos, ..SubscribeOptions::default() };
        let reasons = self.subscribe_all(vec![Filter { filter, options }]).await?;
        match reasons.first() {
            Some(reason) => QoS::from_bits(reason.value()).ok_or(ClientError::Denied(*reason)),
            None => Err(ClientError::Denied(ReasonCode::UNSPECIFIED_ERROR)),
        }
    }

    /// Subscribes to several filters in one packet; one reason per filter.
    pub async fn subscribe_all(&self, filters: Vec<Filter>) -> Result<Vec<ReasonCode>, ClientError> {
        let (done, answer) = oneshot::channel();
        self.request(Request::Subscribe(filters, done)).await?;
        answer.await.map_err(|_| ClientError::Closed)?
    }

    /// Ends a subscription and waits for the answer.
    pub async fn unsubscribe(&self, filter: TopicFilter) -> Result<(), ClientError> {
        let (done, answer) = oneshot::channel();
        self.request(Request::Unsubscribe(filter, done)).await?;
        answer.await.map_err(|_| ClientError::Closed)?
    }

    /// The next message; `None` once the client is closed.
    pub async fn recv(&mut self) -> Option<Publish> {
        self.messages.recv().await
    }

    /// Sends DISCONNECT and waits until the connection is closed.
    pub async fn disconnect(mut self) {
        if self.request(Request::Disconnect).await.is_ok() {
            self.messages.close();
            // A panicked task has closed the connection as well.
            let _: Result<(), tokio::task::JoinError> = (&mut self.task).await;
        }
    }

    async fn request(&self, request: Request) -> Result<(), ClientError> {
        self.requests.send(request).await.map_err(|_| ClientError::Closed)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Wire = Pin<Box<dyn Transport>>;

impl Transport for Wire {
    fn poll_read(
        &mut self,
        cx: &mut std::task::Context<'_>,
        into: &mut ReadBuffer,
    ) -> std::task::Poll<io::Result<usize>> {
        (**self).poll_read(cx, into)
    }
    fn poll_write(&mut self, cx: &mut std::task::Context<'_>, out: &mut BytesMut) -> std::task::Poll<io::Result<()>> {
        (**self).poll_write(cx, out)
    }
    fn poll_shutdown(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
        (**self).poll_shutdown(cx)
    }
}

fn keep_alive(connect: &Connect, connack: &ConnAck) -> Duration {
    let seconds = connack.properties.server_keep_alive_secs.unwrap_or(connect.keep_alive_secs);
    Duration::from_secs(if seconds == 0 { 1200 } else { seconds.into() })
}

async fn dial(options: &ClientOptions) -> Result<(Wire, ConnAck), ClientError> {
    timeout(CONNECT_TIMEOUT, async {
        let socket = TcpStream::connect((options.host.as_str(), options.port)).await?;
        socket.set_nodelay(true)?;
        let wire: Wire = match &options.tls {
            None => Box::pin(socket),
            Some(connector) => Box::pin(Io::new(connector.connect(&options.host, socket).await?)),
        };
        greet(wire, &options.connect).await
    })
    .await
    .map_err(|_| ClientError::Timeout)?
}

/// CONNECT and its answer.
async fn greet(mut wire: Wire, connect: &Connect) -> Result<(Wire, ConnAck), ClientError> {
    let mut out = BytesMut::new();
    let version = connect.version;
    Packet::Connect(Box::new(connect.clone())).encode(version, &mut out).map_err(SendError::from)?;
    std::future::poll_fn(|cx| wire.poll_write(cx, &mut out)).await?;
    let mut read = ReadBuffer::default();
    loop {
        match decode(version, &mut read.bytes, PACKET_MAX)? {
            Some(Packet::ConnAck(connack)) if connack.reason == ReasonCode::SUCCESS => return Ok((wire, *connack)),
            Some(Packet::ConnAck(connack)) => return Err(ClientError::Refused(connack.reason)),
            Some(_) => return Err(marram_mqtt::DecodeError::Protocol("not a CONNACK").into()),
            None => {}
        }
        if std::future::poll_fn(|cx| wire.poll_read(cx, &mut read)).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}

enum Waiting {
    Publish(oneshot::Sender<Result<(), ClientError>>),
    Subscribe(oneshot::Sender<Result<Vec<ReasonCode>, ClientError>>),
    Unsubscribe(oneshot::Sender<Result<(), ClientError>>),
}

struct Driver {
    /// None: the stream was given, there is no way to another.
    options: Option<ClientOptions>,
    session: ClientSession,
    requests: mpsc::Receiver<Request>,
    messages: mpsc::Sender<Publish>,
    /// A message the user has no room for: nothing more is read until it has.
    held: Option<Publish>,
    /// A request the window had no room for.
    next: Option<Request>,
    waiting: HashMap<PacketId, Waiting>,
    /// What to subscribe to again if the server forgot.
    filters: HashMap<TopicFilter, SubscribeOptions>,
    keep_alive: Duration,
}

/// What a connected driver waits for.
enum Event {
    Request(Option<Request>),
    Room,
    Received(io::Result<usize>),
    Quiet,
}

/// Why a connection is over.
enum Over {
    Lost,
    Closed,
}

impl Driver {
    async fn run(mut self, mut wire: Wire, mut out: BytesMut) {
        loop {
            match self.converse(&mut wire, out).await {
                Over::Closed => return,
                Over::Lost => {}
            }
            let Some((next, again)) = self.redial().await else { return };
            (wire, out) = (next, again);
        }
    }

    /// Connects again, however long it takes. `None`: nobody wants the client any more.
    async fn redial(&mut self) -> Option<(Wire, BytesMut)> {
        let options = self.options.clone()?;
        let mut pause = BACKOFF_MIN;
        loop {
            tokio::time::sleep(jitter(pause)).await;
            pause = (pause * 2).min(BACKOFF_MAX);
            if self.messages.is_closed() {
                return None;
            }
            match dial(&options).await {
                Ok((wire, connack)) => {
                    self.keep_alive = keep_alive(&options.connect, &connack);
                    let mut again = BytesMut::new();
                    self.session.connected(&connack, &mut again).ok()?;
                    // Subscriptions first: what is sent again may be meant for this very client.
                    let mut out = BytesMut::new();
                    if !connack.session_present && !self.filters.is_empty() {
                        self.subscribe_again(&mut out);
                    }
                    out.extend_from_slice(&again);
                    return Some((wire, out));
                }
                Err(error) => tracing::debug!(%error, "mqtt client cannot connect"),
            }
        }
    }

    fn subscribe_again(&mut self, out: &mut BytesMut) {
        let filters: Vec<Filter> =
            self.filters.iter().map(|(filter, options)| Filter { filter: filter.clone(), options: *options }).collect();
        for filters in filters.chunks(8) {
            let packet = subscribe(filters.to_vec());
            if let Err(error) = self.session.subscribe(packet, out) {
                tracing::warn!(%error, "mqtt client cannot subscribe again");
            }
        }
    }

    async fn converse(&mut self, wire: &mut Wire, mut out: BytesMut) -> Over {
        let mut read = ReadBuffer::default();
        let mut last_sent = Instant::now();
        let mut last_heard = Instant::now();
        loop {
            let had = out.len();
            while let Some(request) = self.take_request() {
                if matches!(request, Request::Disconnect) {
                    self.goodbye(wire, out).await;
                    return Over::Closed;
                }
                self.send(request, &mut out);
            }
            if std::future::poll_fn(|cx| wire.poll_write(cx, &mut out)).await.is_err() {
                return Over::Lost;
            }
            if had > 0 {
                last_sent = Instant::now();
            }
            let room = self.session.unanswered() < WINDOW && self.next.is_none();
            let quiet = last_sent + self.keep_alive;
            let event = tokio::select! {
                request = self.requests.recv(), if room => Event::Request(request),
                permit = self.messages.reserve(), if self.held.is_some() => match (permit, self.held.take()) {
                    (Ok(permit), Some(message)) => {
                        permit.send(message);
                        Event::Room
                    }
                    _ => return Over::Closed,
                },
                received = std::future::poll_fn(|cx| wire.poll_read(cx, &mut read)), if self.held.is_none() => {
                    Event::Received(received)
                }
                () = tokio::time::sleep_until(quiet) => Event::Quiet,
            };
            let worked = match event {
                Event::Request(Some(request)) => {
                    self.next = Some(request);
                    Ok(())
                }
                Event::Request(None) => return Over::Closed,
                Event::Room => self.work(&mut read, &mut out),
                Event::Received(Ok(count)) if count > 0 => {
                    last_heard = Instant::now();
                    self.work(&mut read, &mut out)
                }
                Event::Received(_) => return Over::Lost,
                Event::Quiet if last_heard.elapsed() > self.keep_alive * 2 => return Over::Lost,
                Event::Quiet => {
                    last_sent = Instant::now();
                    out.extend_from_slice(&[0xc0, 0]);
                    Ok(())
                }
            };
            if let Err(error) = worked {
                tracing::debug!(%error, "mqtt client gives its connection up");
                return Over::Lost;
            }
        }
    }

    fn take_request(&mut self) -> Option<Request> {
        if self.session.unanswered() >= WINDOW {
            return None;
        }
        self.next.take().or_else(|| self.requests.try_recv().ok())
    }

    fn send(&mut self, request: Request, out: &mut BytesMut) {
        match request {
            Request::Publish(publish, done) => match (self.session.publish(publish.clone(), out), done) {
                (Ok(Some(id)), Some(done)) => drop(self.waiting.insert(id, Waiting::Publish(done))),
                (Err(SendError::WindowFull), done) => self.next = Some(Request::Publish(publish, done)),
                (Err(error), Some(done)) => drop(done.send(Err(error.into()))),
                _ => {}
            },
            Request::Subscribe(filters, done) => match self.session.subscribe(subscribe(filters.clone()), out) {
                Ok(Some(id)) => {
                    self.filters.extend(filters.into_iter().map(|filter| (filter.filter, filter.options)));
                    self.waiting.insert(id, Waiting::Subscribe(done));
                }
                Ok(None) => {}
                Err(SendError::WindowFull) => self.next = Some(Request::Subscribe(filters, done)),
                Err(error) => drop(done.send(Err(error.into()))),
            },
            Request::Unsubscribe(filter, done) => {
                let packet = Unsubscribe {
                    packet_id: PacketId::MIN,
                    filters: vec![filter.clone()],
                    user_properties: Vec::new(),
                };
                match self.session.unsubscribe(packet, out) {
                    Ok(Some(id)) => {
                        self.filters.remove(&filter);
                        self.waiting.insert(id, Waiting::Unsubscribe(done));
                    }
                    Ok(None) => {}
                    Err(SendError::WindowFull) => self.next = Some(Request::Unsubscribe(filter, done)),
                    Err(error) => drop(done.send(Err(error.into()))),
                }
            }
            Request::Disconnect => {}
        }
    }

    /// Works through what was read. An error ends the connection.
    fn work(&mut self, read: &mut ReadBuffer, out: &mut BytesMut) -> Result<(), marram_mqtt::DecodeError> {
        while self.held.is_none()
            && let Some(packet) = decode(self.session.version(), &mut read.bytes, PACKET_MAX)?
        {
            match self.session.receive(packet)? {
                Some(ClientEvent::Message(message)) => {
                    if let Some(id) = message.packet_id {
                        encode_puback(out, id);
                    }
                    if let Err(mpsc::error::TrySendError::Full(message)) = self.messages.try_send(message) {
                        self.held = Some(message);
                    }
                }
                Some(ClientEvent::Published(id, reason)) => {
                    if let Some(Waiting::Publish(done)) = self.waiting.remove(&id) {
                        drop(done.send(if reason.is_error() { Err(ClientError::Denied(reason)) } else { Ok(()) }));
                    }
                }
                Some(ClientEvent::Subscribed(id, reasons)) => {
                    if let Some(Waiting::Subscribe(done)) = self.waiting.remove(&id) {
                        drop(done.send(Ok(reasons)));
                    }
                }
                Some(ClientEvent::Unsubscribed(id, _)) => {
                    if let Some(Waiting::Unsubscribe(done)) = self.waiting.remove(&id) {
                        drop(done.send(Ok(())));
                    }
                }
                Some(ClientEvent::Closed(disconnect)) => {
                    tracing::debug!(reason = %disconnect.reason, "mqtt server disconnected");
                    return Err(marram_mqtt::DecodeError::Protocol("closed by the server"));
                }
                Some(ClientEvent::Pong) | None => {}
            }
        }
        Ok(())
    }

    async fn goodbye(&mut self, wire: &mut Wire, mut out: BytesMut) {
        let packet = Packet::Disconnect(Disconnect::new(ReasonCode::SUCCESS));
        if packet.encode(self.session.version(), &mut out).is_err() {
            return;
        }
        let last = async {
            std::future::poll_fn(|cx| wire.poll_write(cx, &mut out)).await?;
            std::future::poll_fn(|cx| wire.poll_shutdown(cx)).await?;
            // The server closes after DISCONNECT: its end means that it has worked everything through.
            let mut rest = ReadBuffer::default();
            while std::future::poll_fn(|cx| wire.poll_read(cx, &mut rest)).await? > 0 {
                rest.bytes.clear();
            }
            Ok::<(), io::Error>(())
        };
        // A server that does not answer is left.
        let _: Result<io::Result<()>, _> = timeout(Duration::from_secs(2), last).await;
    }
}

fn subscribe(filters: Vec<Filter>) -> Subscribe {
    Subscribe { packet_id: PacketId::MIN, filters, subscription_id: None, user_properties: Vec::new() }
}

/// Between half and the whole of `pause`, so that a fleet does not come back in step.
fn jitter(pause: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(Arc::as_ptr(&Arc::new(0_u8)).addr());
    pause / 2 + pause.mul_f64((random % 1000) as f64 / 2000.0)
}
