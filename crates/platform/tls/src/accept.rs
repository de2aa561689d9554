//! From a socket to a session: ClientHello first, then the plane, then the handshake.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::{fmt, io};

use rustls::server::{Acceptor as HelloReader, ClientHello};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use crate::error::AcceptError;
use crate::lean::LeanStream;
use crate::limit::{HandshakeGate, UnauthenticatedPermit};
use crate::peer::PeerInfo;
use crate::server::{Listener, Plane, PlaneConfigs, ServerCertificate};
use crate::{ALPN_HTTP_CA, ALPN_MQTT, ALPN_MQTT_CA};

/// Plaintext and ciphertext rustls may hold back per direction of one connection, in bytes: one
/// full record and its framing. More would let a slow reader pin memory.
const CONNECTION_BUFFER: usize = 18 * 1024;

/// The encrypted stream of an accepted connection.
pub type ServerStream<IO> = tokio_rustls::server::TlsStream<IO>;

/// How a listener treats server names (SEC-21).
#[derive(Debug, Clone, Default)]
pub struct AcceptorOptions {
    /// Names served, lower case. Empty: any name.
    pub server_names: HashSet<String>,
    /// Whether a connection without a server name is refused (`legacy_no_sni = false`). Clients
    /// that dial an IP address send none.
    pub require_server_name: bool,
    /// Names that mean the HTTPS device plane on an [`Listener::Api`] port, lower case.
    pub device_names: HashSet<String>,
}

/// A finished handshake.
pub struct Accepted<IO> {
    /// What is spoken on the stream.
    pub plane: Plane,
    /// The stream.
    pub stream: ServerStream<IO>,
    /// What the handshake established.
    pub peer: PeerInfo,
    /// Drop it when the peer has authenticated.
    pub permit: UnauthenticatedPermit,
}

impl<IO> fmt::Debug for Accepted<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted").field("plane", &self.plane).field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// A finished handshake on a [`LeanStream`].
#[derive(Debug)]
pub struct LeanAccepted {
    /// What is spoken on the stream.
    pub plane: Plane,
    /// The stream.
    pub stream: LeanStream,
    /// What the handshake established.
    pub peer: PeerInfo,
    /// Drop it when the peer has authenticated.
    pub permit: UnauthenticatedPermit,
}

/// Accepts TLS connections of one listener. Cheap to clone.
#[derive(Clone)]
pub struct Acceptor {
    listener: Listener,
    configs: Arc<PlaneConfigs>,
    options: Arc<AcceptorOptions>,
    gate: Arc<HandshakeGate>,
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Acceptor({:?})", self.listener)
    }
}

impl Acceptor {
    /// An acceptor for one listener.
    pub fn new(
        listener: Listener,
        certificate: &ServerCertificate,
        options: AcceptorOptions,
        gate: Arc<HandshakeGate>,
    ) -> Self {
        Self { listener, configs: Arc::new(PlaneConfigs::new(certificate)), options: Arc::new(options), gate }
    }

    /// Accepts on a TCP socket, with Nagle's algorithm off (it costs 40 ms per small exchange).
    ///
    /// # Errors
    /// As [`Acceptor::accept`].
    pub async fn accept_tcp(&self, socket: TcpStream) -> Result<Accepted<TcpStream>, AcceptError> {
        let source = socket.peer_addr().map_err(AcceptError::Handshake)?.ip();
        socket.set_nodelay(true).map_err(AcceptError::Handshake)?;
        self.accept(socket, source).await
    }

    /// Runs the handshake on any byte stream that came from `source`.
    ///
    /// # Errors
    /// [`AcceptError`]; the stream is closed, with an alert where TLS has one.
    pub async fn accept<IO>(&self, io: IO, source: IpAddr) -> Result<Accepted<IO>, AcceptError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let permit = self.gate.admit(source).await?;
        let handshake = self.handshake(io);
        let (plane, stream) = tokio::time::timeout(self.gate.limits().handshake_timeout, handshake)
            .await
            .map_err(|_| AcceptError::Timeout)??;
        let peer = PeerInfo::of(stream.get_ref().1);
        Ok(Accepted { plane, stream, peer, permit })
    }

    /// Accepts on a TCP socket like [`Acceptor::accept_tcp`], with a stream made for many idle connections.
    ///
    /// # Errors
    /// As [`Acceptor::accept`].
    pub async fn accept_lean(&self, mut socket: TcpStream) -> Result<LeanAccepted, AcceptError> {
        let source = socket.peer_addr().map_err(AcceptError::Handshake)?.ip();
        socket.set_nodelay(true).map_err(AcceptError::Handshake)?;
        let permit = self.gate.admit(source).await?;
        let handshake = async {
            let (received, plane, server_name) = self.read_hello(&mut socket).await?;
            let mut stream =
                LeanStream::new(socket, self.configs.of(plane), received).map_err(AcceptError::Handshake)?;
            std::future::poll_fn(|cx| stream.poll_handshake(cx)).await.map_err(AcceptError::Handshake)?;
            let peer = PeerInfo::new(stream.tls(), server_name);
            Ok((plane, stream, peer))
        };
        // Boxed: the accepted connection outlives this future by far and should not keep its room.
        let (plane, stream, peer) = tokio::time::timeout(self.gate.limits().handshake_timeout, Box::pin(handshake))
            .await
            .map_err(|_| AcceptError::Timeout)??;
        Ok(LeanAccepted { plane, stream, peer, permit })
    }

    /// Reads up to the end of the ClientHello: the bytes, the plane it asks for and its server name.
    async fn read_hello(&self, socket: &mut TcpStream) -> Result<(Vec<u8>, Plane, Option<String>), AcceptError> {
        let mut reader = HelloReader::default();
        let mut received = Vec::new();
        let mut chunk = [0; 2048];
        loop {
            let count = socket.read(&mut chunk).await.map_err(AcceptError::Handshake)?;
            if count == 0 {
                return Err(AcceptError::Handshake(io::ErrorKind::UnexpectedEof.into()));
            }
            received.extend_from_slice(&chunk[..count]);
            let mut unread = &chunk[..count];
            while !unread.is_empty() {
                reader.read_tls(&mut unread).map_err(AcceptError::Handshake)?;
            }
            match reader.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => {
                    let hello = accepted.client_hello();
                    let name = hello.server_name().map(str::to_ascii_lowercase);
                    if let Some(plane) = self.plane(&hello) {
                        return Ok((received, plane, name));
                    }
                    if let Err((_, mut alert)) = accepted.into_connection(Arc::clone(&self.configs.refuse)) {
                        say(socket, |out| alert.write_all(out)).await;
                    }
                    return Err(AcceptError::ServerName);
                }
                Err((error, mut alert)) => {
                    say(socket, |out| alert.write_all(out)).await;
                    return Err(AcceptError::Handshake(io::Error::new(io::ErrorKind::InvalidData, error)));
                }
            }
        }
    }

    async fn handshake<IO>(&self, io: IO) -> Result<(Plane, ServerStream<IO>), AcceptError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let start = LazyConfigAcceptor::new(HelloReader::default(), io).await.map_err(AcceptError::Handshake)?;
        let Some(plane) = self.plane(&start.client_hello()) else {
            refuse(start, &self.configs).await;
            return Err(AcceptError::ServerName);
        };
        let stream = start
            .into_stream_with(self.configs.of(plane), |connection| {
                connection.set_buffer_limit(Some(CONNECTION_BUFFER));
            })
            .await
            .map_err(AcceptError::Handshake)?;
        Ok((plane, stream))
    }

    /// The plane a ClientHello asks for, `None` when its server name is not served.
    fn plane(&self, hello: &ClientHello<'_>) -> Option<Plane> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        if !self.serves(name.as_deref()) {
            return None;
        }
        Some(match self.listener {
            Listener::DeviceMqtt => Plane::DeviceMqtt,
            Listener::DeviceHttps => Plane::DeviceHttps,
            Listener::Api => {
                let offers = |protocol: &[u8]| hello.alpn().is_some_and(|mut offered| offered.any(|p| p == protocol));
                if offers(ALPN_MQTT_CA) || offers(ALPN_MQTT) {
                    Plane::DeviceMqtt
                } else if offers(ALPN_HTTP_CA) || name.is_some_and(|name| self.options.device_names.contains(&name)) {
                    Plane::DeviceHttps
                } else {
                    Plane::Api
                }
            }
        })
    }

    fn serves(&self, name: Option<&str>) -> bool {
        match name {
            None => !self.options.require_server_name,
            Some(name) => {
                self.options.server_names.is_empty()
                    || self.options.server_names.contains(name)
                    || self.options.device_names.contains(name)
            }
        }
    }
}

/// Writes an alert; the peer may be gone already, and nothing is owed to it.
async fn say(socket: &mut TcpStream, alert: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) {
    let mut bytes = Vec::new();
    if alert(&mut bytes).is_ok() {
        let _: io::Result<()> = socket.write_all(&bytes).await;
    }
}

/// Ends the handshake with an alert instead of a silent close.
async fn refuse<IO>(start: StartHandshake<IO>, configs: &PlaneConfigs)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let _: io::Result<_> = start.into_stream(Arc::clone(&configs.refuse)).await;
}
