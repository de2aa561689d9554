//! The listener: TLS with a certificate of its own, one page, one user.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use bytes::Bytes;
use marram_edge_ports::Components;
use marram_http::{Handler, Head, HeaderValue, Method, Refusal, Response, ServerLimits, StatusCode, header, serve};
use marram_pki::{CertificateAuthority, Validity, pem};
use marram_tls::{Acceptor, AcceptorOptions, HandshakeGate, HandshakeLimits, Listener, ServerCertificate};
use marram_types::SharedClock;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

use crate::attempts::{Attempts, Verdict};
use crate::page;
use crate::passwords::{LIFE, Moment, Passwords};
use crate::room::{Proof, Room, User};

/// Life of the certificate, seconds: longer than processes live, and no longer than browsers take.
const CERTIFICATE_SECONDS: i64 = 90 * 86_400;
/// Pause after the system refused a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Time between two complaints about a room that is full.
const COMPLAIN: Duration = Duration::from_secs(60);

/// What one connection, and all of them, may hold (our limits).
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Connections served at a time.
    pub(crate) places: usize,
    /// Pause after one had to give way: with the places it makes the least time that one of them is there.
    pub(crate) pause: Duration,
    /// Longest TLS handshake.
    pub(crate) handshake: Duration,
    /// How long a client may take to send a request, pauses between requests included.
    pub(crate) header: Duration,
    /// How long a connection lives that shows no good password.
    pub(crate) unproven: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            places: 32,
            pause: Duration::from_millis(20),
            handshake: Duration::from_secs(5),
            header: Duration::from_secs(10),
            unproven: Duration::from_secs(30),
        }
    }
}

/// Why the console does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// Its certificate is nobody's, so only this machine may be spoken to (core-components 10).
    #[error("{0} is not a loopback address")]
    NotLoopback(IpAddr),
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// No certificate could be made.
    #[error(transparent)]
    Certificate(#[from] marram_pki::PkiError),
    /// TLS refuses the certificate.
    #[error(transparent)]
    Tls(#[from] marram_tls::TlsError),
}

/// A password and until when it is good.
pub struct NewPassword {
    /// To be shown to the operator, once.
    pub password: String,
    /// Seconds since the epoch.
    pub expires: i64,
}

/// The listening console. Dropping it closes it: listener, connections, passwords.
#[derive(Debug)]
pub struct Console {
    address: SocketAddr,
    sha256: String,
    sha1: String,
    door: Arc<Door>,
    /// When the last password ends, and the console with it.
    ends: watch::Sender<Instant>,
    task: JoinHandle<()>,
}

impl Console {
    /// Listens on `address`, a loopback address; who gets in, the passwords that it makes say.
    ///
    /// # Errors
    /// [`ConsoleError`].
    pub async fn start(
        address: SocketAddr,
        components: Arc<dyn Components>,
        clock: SharedClock,
    ) -> Result<Self, ConsoleError> {
        Ok(Self::with(Limits::default(), address, components, clock).await?.0)
    }

    /// As [`Console::start`]; also answers the root of its certificate, PEM.
    pub(crate) async fn with(
        limits: Limits,
        address: SocketAddr,
        components: Arc<dyn Components>,
        clock: SharedClock,
    ) -> Result<(Self, String), ConsoleError> {
        if !address.ip().is_loopback() {
            return Err(ConsoleError::NotLoopback(address.ip()));
        }
        let failed = |cause| ConsoleError::Listen { address, cause };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let validity = Validity::starting(clock.now().as_millis() / 1_000, CERTIFICATE_SECONDS);
        let authority = CertificateAuthority::create("Greengrass debug console", validity)?;
        let names = ["localhost".to_owned(), address.ip().to_string()];
        let issued = authority.issue_server(&names, validity)?;
        let leaf = pem::certificates(&issued.chain_pem)?.into_iter().next().map(|der| der.to_vec()).unwrap_or_default();
        let certificate = ServerCertificate::from_pem(&issued.chain_pem, &issued.key_pem)?;
        let gate =
            HandshakeGate::new(HandshakeLimits { handshake_timeout: limits.handshake, ..HandshakeLimits::default() });
        let acceptor = Acceptor::new(Listener::Api, &certificate, AcceptorOptions::default(), gate);
        let door = Arc::new(Door {
            components,
            clock,
            hosts: hosts(address.ip()),
            passwords: Passwords::default(),
            attempts: Attempts::new(),
        });
        let (ends, end) = watch::channel(Instant::now() + LIFE);
        let task = tokio::spawn(listen(listener, acceptor, Arc::clone(&door), limits, end));
        tracing::info!(%address, "the debug console listens");
        let (sha256, sha1) = (fingerprint(&SHA256, &leaf), fingerprint(&SHA1_FOR_LEGACY_USE_ONLY, &leaf));
        Ok((Self { address, sha256, sha1, door, ends, task }, authority.certificate_pem()))
    }

    /// A fresh password, as long as the console listens; none when it does not any more, or the system has no random numbers.
    pub fn password(&self) -> Option<NewPassword> {
        let now = self.door.now();
        // Only while the listener holds the other end; it then looks again before it ends.
        self.ends.send(now.steady + LIFE).ok()?;
        let (password, expires) = self.door.passwords.make(now)?;
        Some(NewPassword { password, expires })
    }

    /// Closes it; its port is free when this resolves.
    pub async fn close(mut self) {
        self.task.abort();
        // It was cancelled, or had ended already.
        let _ = (&mut self.task).await;
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// SHA-256 and SHA-1 of its certificate, as browsers show them.
    pub fn fingerprints(&self) -> (String, String) {
        (self.sha256.clone(), self.sha1.clone())
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.task.abort();
        tracing::info!(address = %self.address, "the debug console is closed");
    }
}

/// Serves until the last password has ended. Connections are part of this future: whoever drops it closes them.
async fn listen(
    listener: TcpListener,
    acceptor: Acceptor,
    door: Arc<Door>,
    limits: Limits,
    mut end: watch::Receiver<Instant>,
) {
    let Ok(own) = listener.local_addr() else { return };
    let mut connections = JoinSet::new();
    let mut room = Room::new(limits.places, own);
    let mut complaints = Complaints::default();
    let mut next = Instant::now();
    loop {
        let until = *end.borrow_and_update();
        if until <= Instant::now() {
            return;
        }
        let newcomer = async {
            sleep_until(next).await;
            listener.accept().await
        };
        tokio::select! {
            accepted = newcomer, if room.takes_more() => match accepted {
                Ok((socket, peer)) => {
                    let proof = Proof::default();
                    let visit = visit(socket, acceptor.clone(), Arc::clone(&door), limits.clone(), proof.clone());
                    if let Some(user) = room.enter(connections.spawn(visit), peer, proof) {
                        complaints.about(user);
                        next = Instant::now() + limits.pause;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the system refused a connection");
                    next = Instant::now() + ACCEPT_PAUSE;
                }
            },
            Some(ended) = connections.join_next_with_id() => {
                room.leave(ended.map_or_else(|error| error.id(), |(id, ())| id));
            }
            changed = end.changed() => if changed.is_err() { return },
            () = sleep_until(until) => {}
        }
    }
}

/// One connection to its end, which comes soon where no good password is shown.
async fn visit(socket: TcpStream, acceptor: Acceptor, door: Arc<Door>, limits: Limits, proof: Proof) {
    let accepted = match acceptor.accept_tcp(socket).await {
        Ok(accepted) => accepted,
        Err(error) => return tracing::debug!(%error, "handshake refused"),
    };
    let server = ServerLimits { header_timeout: limits.header, ..ServerLimits::default() };
    let visitor = Arc::new(Visitor { door, proof: proof.clone() });
    let mut served = pin!(serve(accepted.stream, visitor, &server, std::future::pending()));
    tokio::select! {
        () = &mut served => return,
        () = sleep(limits.unproven) => {}
    }
    if proof.is_given() {
        served.await;
    }
}

/// Whose connections gave way, told now and then.
#[derive(Debug, Default)]
struct Complaints {
    count: u64,
    last: Option<Instant>,
}

impl Complaints {
    fn about(&mut self, user: User) {
        self.count += 1;
        if self.last.is_none_or(|last| last.elapsed() > COMPLAIN) {
            let user = user.map_or_else(|| "unknown".to_owned(), |user| user.to_string());
            let count = std::mem::take(&mut self.count);
            tracing::warn!(
                user,
                count,
                "the debug console is full: connections without a password are closed for new ones"
            );
            self.last = Some(Instant::now());
        }
    }
}

/// Names under which a browser on this machine reaches the console. Others are those of pages that had their own name lead here.
fn hosts(ip: IpAddr) -> [String; 2] {
    let literal = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
    ["localhost".to_owned(), literal]
}

fn fingerprint(algorithm: &'static Algorithm, der: &[u8]) -> String {
    let bytes = digest(algorithm, der);
    let texts: Vec<String> = bytes.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    texts.join(":")
}

struct Door {
    components: Arc<dyn Components>,
    clock: SharedClock,
    hosts: [String; 2],
    passwords: Passwords,
    attempts: Attempts,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Door")
    }
}

impl Door {
    fn now(&self) -> Moment {
        Moment { wall: self.clock.now().as_millis() / 1_000, steady: Instant::now() }
    }

    fn is_here(&self, head: &Head) -> bool {
        let host = head.headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        self.hosts.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// The door as one connection sees it.
struct Visitor {
    door: Arc<Door>,
    proof: Proof,
}

impl Handler for Visitor {
    fn body_limit(&self, _: &Head) -> usize {
        0
    }

    async fn handle(&self, head: &Head, _: Bytes) -> Response {
        let door = &self.door;
        if !door.is_here(head) {
            return plain(StatusCode::MISDIRECTED_REQUEST);
        }
        let shown = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let verdict = match shown {
            Some(shown) => door.attempts.show(|| door.passwords.admits(shown, door.now())).await,
            None => return challenge(),
        };
        match verdict {
            Verdict::Right => self.proof.give(),
            Verdict::Wrong => {
                tracing::warn!(target: "audit", event = "DebugConsoleDenied", "a wrong or old password");
                return challenge();
            }
            Verdict::TooMany => {
                let mut refused = plain(StatusCode::TOO_MANY_REQUESTS);
                refused.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
                return refused;
            }
        }
        if head.method != Method::GET {
            return plain(StatusCode::METHOD_NOT_ALLOWED);
        }
        match head.uri.path() {
            "/" => answer(StatusCode::OK, "text/html; charset=utf-8", page::html(&door.components.list())),
            "/components" => {
                answer(StatusCode::OK, "application/json", page::json(&door.components.list()).to_string())
            }
            _ => plain(StatusCode::NOT_FOUND),
        }
    }

    fn refuse(&self, _: &Head, refusal: Refusal) -> Response {
        let status = match refusal {
            Refusal::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::Deadline => StatusCode::REQUEST_TIMEOUT,
            Refusal::Panic => StatusCode::INTERNAL_SERVER_ERROR,
        };
        plain(status)
    }
}

fn challenge() -> Response {
    let mut refused = plain(StatusCode::UNAUTHORIZED);
    let challenge = HeaderValue::from_static("Basic realm=\"debug\", charset=\"UTF-8\"");
    refused.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    refused
}

fn plain(status: StatusCode) -> Response {
    answer(status, "text/plain", String::new())
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Response {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, page::CONTENT_POLICY),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests;
