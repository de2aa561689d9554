//! The API port: accepts connections, serves those of the API plane, hands the others over.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use marram_http::{ServerLimits, serve};
use marram_tls::{AcceptError, Accepted, Acceptor, Plane};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::door::FrontDoor;

/// Pause after the system refused a connection (out of descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Takes connections whose plane is not the API's: devices that came by ALPN or server name.
pub type Handover = Arc<dyn Fn(Accepted<TcpStream>, SocketAddr) + Send + Sync>;

/// A bound API port.
pub struct ApiListener {
    listener: TcpListener,
    acceptor: Acceptor,
    door: Arc<FrontDoor>,
    handover: Option<Handover>,
    limits: ServerLimits,
}

impl fmt::Debug for ApiListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiListener").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl ApiListener {
    /// Binds `address`; port 0 takes a free one. Without `handover` only API connections are served.
    ///
    /// # Errors
    /// What the system says.
    pub async fn bind(
        address: SocketAddr,
        acceptor: Acceptor,
        door: Arc<FrontDoor>,
        handover: Option<Handover>,
    ) -> io::Result<ApiListener> {
        Ok(ApiListener::new(TcpListener::bind(address).await?, acceptor, door, handover))
    }

    /// As [`ApiListener::bind`], on a socket that is bound already.
    pub fn new(
        listener: TcpListener,
        acceptor: Acceptor,
        door: Arc<FrontDoor>,
        handover: Option<Handover>,
    ) -> ApiListener {
        ApiListener { listener, acceptor, door, handover, limits: ServerLimits::default() }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` turns true, then lets requests under way finish.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let stop = shutdown.clone();
        let shared =
            Arc::new(Shared { acceptor: self.acceptor, door: self.door, handover: self.handover, limits: self.limits });
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((socket, address)) => {
                        connections.spawn(Arc::clone(&shared).serve(socket, address, stop.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the system refused a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                () = stopped(&mut shutdown) => break,
            }
        }
        drop(self.listener);
        while connections.join_next().await.is_some() {}
    }
}

struct Shared {
    acceptor: Acceptor,
    door: Arc<FrontDoor>,
    handover: Option<Handover>,
    limits: ServerLimits,
}

impl Shared {
    async fn serve(self: Arc<Self>, socket: TcpStream, address: SocketAddr, mut shutdown: watch::Receiver<bool>) {
        let accepted = tokio::select! {
            accepted = self.acceptor.accept_tcp(socket) => accepted,
            () = stopped(&mut shutdown) => return,
        };
        match accepted {
            Ok(accepted) if accepted.plane == Plane::Api => {
                let connection = Connection::new(Arc::clone(&self.door), address.ip(), &accepted.peer, accepted.permit);
                let stop = async move { stopped(&mut shutdown).await };
                serve(accepted.stream, Arc::new(connection), &self.limits, stop).await;
            }
            Ok(accepted) => match &self.handover {
                Some(handover) => handover(accepted, address),
                None => tracing::debug!(%address, "a device came to the API port, which serves none"),
            },
            Err(error) => log_refusal(&error, address),
        }
    }
}

/// Resolves when the process is asked to stop, or nobody is left to ask.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

fn log_refusal(error: &AcceptError, address: SocketAddr) {
    tracing::debug!(%error, %address, "handshake refused");
}
