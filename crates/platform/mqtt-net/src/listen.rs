//! Accept loops: from a listening socket to [`Serve::serve`], one task per connection.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use marram_tls::{Acceptor, LeanStream, Plane};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::peer::{Fingerprint, PeerInfo};
use crate::transport::{Io, Transport};

/// Pause after the system refused a socket (no descriptors left), so that the loop does not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// Connections without TLS that may be waiting for their CONNECT (SEC 12.2; with TLS the acceptor's gate counts).
const UNAUTHENTICATED_MAX: usize = 5_000;

/// What speaks MQTT on accepted connections: the broker.
pub trait Serve: Clone + Send + Sync + 'static {
    /// Serves one connection to its end. Calls `authenticated` once CONNECT was accepted.
    fn serve<T: Transport>(
        &self,
        transport: T,
        peer: PeerInfo,
        authenticated: impl FnOnce() + Send + 'static,
    ) -> impl Future<Output = ()> + Send;
}

impl From<marram_tls::PeerInfo> for PeerInfo {
    fn from(peer: marram_tls::PeerInfo) -> Self {
        let certificate = peer.client_certificate;
        Self {
            remote: SocketAddr::from(([0, 0, 0, 0], 0)),
            fingerprint: certificate.as_ref().map(|certificate| Fingerprint(*certificate.id.as_bytes())),
            chain: certificate.map(|certificate| certificate.der.to_vec()).into_iter().collect(),
            server_name: peer.server_name,
            alpn: peer.alpn,
        }
    }
}

/// Accepts TLS connections until `stop` is done, then ends those that are open.
///
/// Connections whose plane is not MQTT are closed: such a listener is not shared with HTTP.
pub async fn listen_tls(
    listener: TcpListener,
    acceptor: Acceptor,
    service: impl Serve,
    stop: impl Future<Output = ()>,
) {
    accept_loop(listener, stop, move |socket, remote| {
        let (acceptor, service) = (acceptor.clone(), service.clone());
        async move {
            match Box::pin(acceptor.accept_lean(socket)).await {
                Ok(accepted) if accepted.plane == Plane::DeviceMqtt => {
                    let peer = PeerInfo { remote, ..accepted.peer.into() };
                    let permit = accepted.permit;
                    service.serve(accepted.stream, peer, move || drop(permit)).await;
                }
                Ok(_) => tracing::debug!(%remote, "not an mqtt connection"),
                Err(error) => tracing::debug!(%remote, reason = error.reason(), "tls refused"),
            }
        }
    })
    .await;
}

/// Accepts connections without TLS, for tests on loopback and transports that bring their own.
pub async fn listen_plain(listener: TcpListener, service: impl Serve, stop: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(UNAUTHENTICATED_MAX));
    accept_loop(listener, stop, move |socket: TcpStream, remote| {
        let (service, place) = (service.clone(), Arc::clone(&places).try_acquire_owned());
        async move {
            let Ok(place) = place else { return };
            if socket.set_nodelay(true).is_ok() {
                service.serve(socket, PeerInfo::plain(remote), move || drop(place)).await;
            }
        }
    })
    .await;
}

/// Serves a stream whose TLS handshake somebody else did: MQTT by ALPN on a shared port.
pub async fn serve_stream<S>(
    stream: S,
    remote: SocketAddr,
    peer: marram_tls::PeerInfo,
    permit: marram_tls::UnauthenticatedPermit,
    service: &impl Serve,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let peer = PeerInfo { remote, ..peer.into() };
    service.serve(Io::new(stream), peer, move || drop(permit)).await;
}

async fn accept_loop<F>(
    listener: TcpListener,
    stop: impl Future<Output = ()>,
    handle: impl Fn(TcpStream, SocketAddr) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut stop = std::pin::pin!(stop);
    // Owned here, so that the connections end with the loop.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut stop => return,
            accepted = listener.accept() => match accepted {
                Ok((socket, remote)) => {
                    connections.spawn(handle(socket, remote));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            },
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended
                    && error.is_panic()
                {
                    tracing::error!("a connection's task panicked");
                }
            }
        }
    }
}

impl Transport for LeanStream {
    fn poll_read(
        &mut self,
        cx: &mut std::task::Context<'_>,
        into: &mut crate::transport::ReadBuffer,
    ) -> std::task::Poll<io::Result<usize>> {
        LeanStream::poll_read(self, cx, &mut into.bytes)
    }

    fn poll_write(
        &mut self,
        cx: &mut std::task::Context<'_>,
        out: &mut bytes::BytesMut,
    ) -> std::task::Poll<io::Result<()>> {
        LeanStream::poll_write(self, cx, out)
    }

    fn poll_shutdown(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
        LeanStream::poll_shutdown(self, cx)
    }
}
