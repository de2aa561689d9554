//! The MQTT port, and what reaches MQTT through the API port by ALPN.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use marram_broker::{Broker, Fingerprint, PeerInfo};
use marram_mqtt_net::Io;
use marram_tls::{Accepted, Acceptor, Plane};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Pause after the system refused a connection (out of descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts MQTT connections until `shutdown` turns true.
pub async fn mqtt(listener: TcpListener, acceptor: Acceptor, broker: Broker, mut shutdown: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, address)) => {
                    let (acceptor, broker) = (acceptor.clone(), broker.clone());
                    tokio::spawn(async move {
                        // Boxed and dropped: the handshake's state must not live as long as the connection.
                        match Box::pin(acceptor.accept_tcp(socket)).await {
                            Ok(accepted) => serve(accepted, address, broker).await,
                            Err(error) => tracing::debug!(%error, %address, "handshake refused"),
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the system refused a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            _ = stopped(&mut shutdown) => return,
        }
    }
}

/// Resolves once the program is stopping. (`wait_for` lends a lock guard, which must not be held across other waits.)
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// Serves an accepted device connection to its end.
pub async fn serve(accepted: Accepted<TcpStream>, address: SocketAddr, broker: Broker) {
    if accepted.plane != Plane::DeviceMqtt {
        tracing::debug!(%address, "a connection that is not MQTT reached the MQTT plane");
        return;
    }
    let Accepted { stream, peer, permit, .. } = accepted;
    let certificate = peer.client_certificate;
    let peer = PeerInfo {
        remote: address,
        fingerprint: certificate.as_ref().map(|certificate| Fingerprint(*certificate.id.as_bytes())),
        chain: certificate.map_or_else(|| Arc::from([]), |certificate| Arc::from([certificate.der.to_vec()])),
        server_name: peer.server_name,
        alpn: peer.alpn,
    };
    broker.serve(Io::new(stream), peer, move || drop(permit)).await;
}
