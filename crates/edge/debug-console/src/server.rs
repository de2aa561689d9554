//! The listener: TLS with a certificate of its own, one page, one user.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use bytes::Bytes;
use marram_edge_ports::Components;
use marram_http::{Handler, Head, HeaderValue, Method, Refusal, Response, ServerLimits, StatusCode, header, serve};
use marram_pki::{CertificateAuthority, Validity, pem};
use marram_tls::{Acceptor, AcceptorOptions, HandshakeGate, HandshakeLimits, Listener, ServerCertificate};
use marram_types::SharedClock;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::page;
use crate::passwords::Passwords;

/// Life of the certificate, seconds: longer than processes live, and no longer than browsers take.
const CERTIFICATE_SECONDS: i64 = 90 * 86_400;
/// Connections served at a time (our limit).
const CONNECTIONS_MAX: usize = 16;
/// Pause after the system refused a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why the console does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
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

/// The listening console; dropping it closes it.
#[derive(Debug)]
pub struct Console {
    address: SocketAddr,
    sha256: String,
    sha1: String,
    task: JoinHandle<()>,
}

impl Console {
    /// Listens on `address`, which should be loopback; `passwords` say who gets in.
    ///
    /// # Errors
    /// [`ConsoleError`].
    pub async fn start(
        address: SocketAddr,
        components: Arc<dyn Components>,
        passwords: Arc<Passwords>,
        clock: SharedClock,
    ) -> Result<Self, ConsoleError> {
        let failed = |cause| ConsoleError::Listen { address, cause };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let validity = Validity::starting(clock.now().as_millis() / 1_000, CERTIFICATE_SECONDS);
        let authority = CertificateAuthority::create("Greengrass debug console", validity)?;
        let names = ["localhost".to_owned(), address.ip().to_string()];
        let issued = authority.issue_server(&names, validity)?;
        let leaf = pem::certificates(&issued.chain_pem)?.into_iter().next().map(|der| der.to_vec()).unwrap_or_default();
        let certificate = ServerCertificate::from_pem(&issued.chain_pem, &issued.key_pem)?;
        let gate = HandshakeGate::new(HandshakeLimits::default());
        let acceptor = Acceptor::new(Listener::Api, &certificate, AcceptorOptions::default(), gate);
        let door = Arc::new(Door { components, passwords, clock });
        let task = tokio::spawn(async move {
            let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
            loop {
                let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
                let socket = match listener.accept().await {
                    Ok((socket, _)) => socket,
                    Err(error) => {
                        tracing::warn!(%error, "the system refused a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                };
                let (acceptor, door) = (acceptor.clone(), Arc::clone(&door));
                tokio::spawn(async move {
                    match acceptor.accept_tcp(socket).await {
                        Ok(accepted) => {
                            let limits =
                                ServerLimits { header_timeout: Duration::from_secs(10), ..ServerLimits::default() };
                            serve(accepted.stream, door, &limits, std::future::pending()).await;
                        }
                        Err(error) => tracing::debug!(%error, "handshake refused"),
                    }
                    drop(slot);
                });
            }
        });
        tracing::info!(%address, "the debug console listens");
        Ok(Self {
            address,
            sha256: fingerprint(&SHA256, &leaf),
            sha1: fingerprint(&SHA1_FOR_LEGACY_USE_ONLY, &leaf),
            task,
        })
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
    }
}

fn fingerprint(algorithm: &'static Algorithm, der: &[u8]) -> String {
    let bytes = digest(algorithm, der);
    let texts: Vec<String> = bytes.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    texts.join(":")
}

struct Door {
    components: Arc<dyn Components>,
    passwords: Arc<Passwords>,
    clock: SharedClock,
}

impl Handler for Door {
    fn body_limit(&self, _: &Head) -> usize {
        0
    }

    async fn handle(&self, head: &Head, _: Bytes) -> Response {
        let authorization = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let now = self.clock.now().as_millis() / 1_000;
        if !self.passwords.admits(authorization.unwrap_or_default(), now) {
            if authorization.is_some() {
                tracing::warn!(target: "audit", decision = "deny", operation = "DebugConsole", "a wrong or old password");
            }
            let mut refused = answer(StatusCode::UNAUTHORIZED, "text/plain", String::new());
            let challenge = HeaderValue::from_static("Basic realm=\"debug\", charset=\"UTF-8\"");
            refused.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            return refused;
        }
        if head.method != Method::GET {
            return answer(StatusCode::METHOD_NOT_ALLOWED, "text/plain", String::new());
        }
        match head.uri.path() {
            "/" => answer(StatusCode::OK, "text/html; charset=utf-8", page::html(&self.components.list())),
            "/components" => {
                answer(StatusCode::OK, "application/json", page::json(&self.components.list()).to_string())
            }
            _ => answer(StatusCode::NOT_FOUND, "text/plain", String::new()),
        }
    }

    fn refuse(&self, _: &Head, refusal: Refusal) -> Response {
        let status = match refusal {
            Refusal::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::Deadline => StatusCode::REQUEST_TIMEOUT,
            Refusal::Panic => StatusCode::INTERNAL_SERVER_ERROR,
        };
        answer(status, "text/plain", String::new())
    }
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
