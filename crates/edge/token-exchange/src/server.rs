//! `GET /2016-11-01/credentialprovider/` on loopback: what AWS SDKs ask for credentials (CR 8.1).

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use marram_edge_ports::{Caller, Credentials, CredentialsError, Identities};
use marram_http::{Handler, Head, HeaderValue, Method, Refusal, Response, ServerLimits, StatusCode, header, serve};
use serde_json::json;
use smol_str::SmolStr;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::peer::{NOBODY, holders};

/// The one path.
const PATH: &str = "/2016-11-01/credentialprovider/";
/// A component waits no longer than this.
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections served at a time.
const CONNECTIONS_MAX: usize = 64;
/// Pause after the system refused a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Says whether a caller may have credentials (`aws.greengrass.TokenExchangeService:getCredentials`).
pub type Permission = Arc<dyn Fn(&Caller) -> bool + Send + Sync>;

/// The running endpoint; dropping it closes it.
pub struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
    inside: Inside,
}

/// The endpoint in the network of a sandboxed component; a cheap clone.
#[derive(Clone)]
pub struct Inside {
    endpoint: Endpoint,
    slots: Arc<Semaphore>,
}

impl Inside {
    /// Serves a connection that `component` made: only its own token is good here (SEC-134).
    pub async fn serve(&self, component: SmolStr, socket: TcpStream) {
        let Ok(slot) = self.slots.acquire().await else { return };
        let endpoint = Endpoint { from: Way::Network(component), ..self.endpoint.clone() };
        serve(socket, Arc::new(endpoint), &limits(), std::future::pending()).await;
        drop(slot);
    }
}

fn limits() -> ServerLimits {
    ServerLimits { header_timeout: Duration::from_secs(5), ..ServerLimits::default() }
}

impl Server {
    /// Listens on loopback at `port` (0: any).
    ///
    /// # Errors
    /// The port is taken.
    pub async fn start(
        port: u16,
        identities: Arc<dyn Identities>,
        permission: Permission,
        credentials: Arc<dyn Credentials>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let endpoint = Endpoint { identities, permission, credentials, from: Way::Loopback(address, address) };
        let inside = Inside { endpoint: endpoint.clone(), slots: Arc::new(Semaphore::new(CONNECTIONS_MAX)) };
        let task = tokio::spawn(async move {
            let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
            loop {
                let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
                match listener.accept().await {
                    Ok((socket, theirs)) => {
                        let from = Way::Loopback(theirs, address);
                        let handler = Arc::new(Endpoint { from, ..endpoint.clone() });
                        tokio::spawn(async move {
                            serve(socket, handler, &limits(), std::future::pending()).await;
                            drop(slot);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the system refused a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        });
        Ok(Server { address, task, inside })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint for the networks of sandboxed components.
    pub fn inside(&self) -> Inside {
        self.inside.clone()
    }

    /// `AWS_CONTAINER_CREDENTIALS_FULL_URI`; SDKs insist on the word `localhost`.
    pub fn uri(&self) -> String {
        format!("http://localhost:{}{PATH}", self.address.port())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Endpoint {
    identities: Arc<dyn Identities>,
    permission: Permission,
    credentials: Arc<dyn Credentials>,
    from: Way,
}

/// Where a connection comes from.
#[derive(Clone)]
enum Way {
    /// The network of this component, which nobody else is in.
    Network(SmolStr),
    /// Any process of the machine: the peer's end of the connection, and ours.
    Loopback(SocketAddr, SocketAddr),
}

impl Endpoint {
    /// Whose token it is, when that component shows it (SEC-133): a token alone is worth nothing to another.
    async fn caller(&self, token: &str) -> Option<Caller> {
        // Only a token that is one is worth the work.
        let owner = self.identities.owner_of(token).filter(|caller| (self.permission)(caller))?;
        match self.from.clone() {
            Way::Network(component) => (component == owner.name).then_some(owner),
            Way::Loopback(theirs, ours) => {
                let found = tokio::task::spawn_blocking(move || holders(theirs, ours)).await.unwrap_or_default();
                // Components that no check ties to a process are known by their token alone, as at the IPC door.
                found.into_iter().chain([NOBODY]).find_map(|peer| self.identities.authenticate(token, peer))
            }
        }
    }
}

impl Handler for Endpoint {
    fn body_limit(&self, _: &Head) -> usize {
        0
    }

    async fn handle(&self, head: &Head, _: Bytes) -> Response {
        if head.method != Method::GET {
            return answer(StatusCode::METHOD_NOT_ALLOWED, Bytes::new());
        }
        if head.uri.path() != PATH {
            return answer(StatusCode::BAD_REQUEST, Bytes::new());
        }
        let token = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let Some(caller) = self.caller(token).await else {
            tracing::warn!(target: "audit", decision = "deny", operation = "getCredentials", "credentials refused");
            return answer(StatusCode::FORBIDDEN, Bytes::new());
        };
        let outcome = tokio::time::timeout(PATIENCE, self.credentials.credentials(Some(&caller.name)))
            .await
            .unwrap_or(Err(CredentialsError::Deadline));
        match outcome {
            Ok(credentials) => answer(
                StatusCode::OK,
                Bytes::from(
                    json!({
                        "AccessKeyId": credentials.access_key_id,
                        "SecretAccessKey": credentials.secret_access_key,
                        "Expiration": credentials.expiration,
                        "Token": credentials.session_token,
                    })
                    .to_string(),
                ),
            ),
            Err(CredentialsError::Deadline) => answer(StatusCode::GATEWAY_TIMEOUT, Bytes::new()),
            Err(error @ CredentialsError::Answered { status, .. }) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
                answer(status, Bytes::from(error.to_string()))
            }
            Err(error) => answer(StatusCode::INTERNAL_SERVER_ERROR, Bytes::from(error.to_string())),
        }
    }

    fn refuse(&self, _: &Head, refusal: Refusal) -> Response {
        answer(
            match refusal {
                Refusal::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                Refusal::Deadline => StatusCode::GATEWAY_TIMEOUT,
                Refusal::Panic => StatusCode::INTERNAL_SERVER_ERROR,
            },
            Bytes::new(),
        )
    }
}

/// One exchange a connection, as the original does (CR 8.1).
fn answer(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
