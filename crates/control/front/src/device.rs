//! The device HTTPS port: the same services behind a client certificate instead of a signature (CP 5.11, 6).
//!
//! ```text
//! mTLS -> certificate id -> CertificateGate (registered, ACTIVE) -> method and path, allow-listed -> decode -> Service
//! ```
//!
//! The registered certificate is the caller; its IoT policies decide inside [`marram_identity::CallContext::authorize`]. It is
//! looked up anew for every request: one that was revoked a moment ago gets nothing. Paths that two services share belong
//! to the data plane here (CP 1.8). Requests below `/greengrass/v2/` that nobody answers are logged, because part of that
//! plane has no published model (CP 6.2).

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use marram_aws_api::model::DEFAULT_BODY_LIMIT;
use marram_aws_api::route::{Matched, route_device};
use marram_aws_api::{ApiError, Response as ApiResponse, ServiceId, encode};
use marram_http::{Handler, Head, Refusal, Response, ServerLimits, serve};
use marram_identity::Principal;
use marram_sigv4::Request as SignedRequest;
use marram_tls::{Accepted, Acceptor, Plane, UnauthenticatedPermit};
use marram_types::{CertificateId, RequestId};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::browser::tame;
use crate::door::{FrontDoor, Peer, Reading, to_http};

/// Largest payload of a publish, as on MQTT (CP 5.2).
const MAX_PAYLOAD: usize = 131_072;
/// Largest body of any other request of a device.
const MAX_BODY: usize = DEFAULT_BODY_LIMIT as usize;
/// Pause after the system refused a connection, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Member names of a body that are logged.
const LOGGED_MEMBERS: usize = 32;

/// What devices may call besides the operations without a model, in order of precedence.
const OFFERED: &[(ServiceId, &[&str])] = &[
    (
        ServiceId::IotData,
        &[
            "DeleteThingShadow",
            "GetRetainedMessage",
            "GetThingShadow",
            "ListNamedShadowsForThing",
            "ListRetainedMessages",
            "Publish",
            "UpdateThingShadow",
        ],
    ),
    (
        ServiceId::IotJobsData,
        &["DescribeJobExecution", "GetPendingJobExecutions", "StartNextPendingJobExecution", "UpdateJobExecution"],
    ),
    (
        ServiceId::GreengrassV2,
        &["GetComponentVersionArtifact", "GetConnectivityInfo", "ResolveComponentCandidates", "UpdateConnectivityInfo"],
    ),
];

/// Who a client certificate is.
pub trait CertificateGate: Send + Sync {
    /// The caller behind a certificate whose key was proved.
    ///
    /// # Errors
    /// 403 when it is not registered and ACTIVE, 503 when that cannot be found out now.
    fn admit(&self, certificate: &CertificateId, source_ip: IpAddr) -> Result<Principal, ApiError>;
}

/// The door of the device HTTPS plane. Shared by all connections.
pub struct DeviceDoor {
    door: FrontDoor,
    gate: Arc<dyn CertificateGate>,
}

impl std::fmt::Debug for DeviceDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeviceDoor")
    }
}

/// A header of ours that cannot be read or is there twice. They narrow what the caller gets (SEC-134): such a one is not absent.
fn doubtful<'a>(headers: &[(&'a str, &[u8])]) -> Option<&'a str> {
    let ours = || headers.iter().filter(|(name, _)| name.starts_with("x-marram-"));
    let is_text = |value: &[u8]| std::str::from_utf8(value).is_ok();
    let is_once = |name: &str| ours().filter(|(other, _)| *other == name).count() == 1;
    ours().find(|(name, value)| !is_text(value) || !is_once(name)).map(|(name, _)| *name)
}

impl DeviceDoor {
    /// The services of `door` for callers that `gate` knows.
    pub fn new(door: FrontDoor, gate: Arc<dyn CertificateGate>) -> DeviceDoor {
        DeviceDoor { door, gate }
    }

    /// Accepts connections until `shutdown` turns true.
    pub async fn listen(
        self: Arc<Self>,
        listener: TcpListener,
        acceptor: Acceptor,
        mut shutdown: watch::Receiver<bool>,
    ) {
        loop {
            let stopping = async {
                let _ = shutdown.wait_for(|stop| *stop).await;
            };
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((socket, address)) => {
                        let (door, acceptor) = (Arc::clone(&self), acceptor.clone());
                        tokio::spawn(async move {
                            match acceptor.accept_tcp(socket).await {
                                Ok(accepted) => door.serve(accepted, address).await,
                                Err(error) => tracing::debug!(%error, %address, "handshake refused"),
                            }
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the system refused a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                () = stopping => return,
            }
        }
    }

    /// Serves an accepted connection to its end; connections that reached this plane by ALPN on another port too.
    pub async fn serve(self: Arc<Self>, accepted: Accepted<TcpStream>, address: SocketAddr) {
        let Accepted { plane: Plane::DeviceHttps, stream, peer, permit } = accepted else { return };
        let Some(certificate) = peer.client_certificate else { return };
        let connection = Connection {
            door: self,
            certificate: certificate.id,
            peer: Peer { source_ip: address.ip(), tls_version: peer.version, cipher_suite: peer.cipher_suite },
            permit: Mutex::new(Some(permit)),
        };
        serve(stream, Arc::new(connection), &ServerLimits::default(), std::future::pending()).await;
    }

    async fn answer(&self, head: &Head, body: &[u8], principal: Principal, peer: &Peer) -> ApiResponse {
        let request_id = RequestId::fresh();
        let headers: Vec<(&str, &[u8])> =
            head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let texts: Vec<(&str, &str)> =
            headers.iter().filter_map(|(name, value)| Some((*name, std::str::from_utf8(value).ok()?))).collect();
        let signed = SignedRequest {
            method: head.method.as_str(),
            target: head.uri.path_and_query().map_or("/", |target| target.as_str()),
            headers: &headers,
        };
        let reading = Reading::of(head, &texts, signed, body);
        let Some(matched) = route_device(&reading.api, OFFERED) else {
            log_unmatched(head, body);
            return encode::error(ServiceId::IotData, &ApiError::unknown_operation(), &request_id.to_string());
        };
        if let Some(name) = doubtful(&headers) {
            let error = ApiError::invalid_request(format!("{name} must be there once, as text"));
            let response = encode::error(ServiceId::Iot, &error, &request_id.to_string());
            return plane_answer(&matched, response, &request_id.to_string());
        }
        let now = self.door.now();
        // A device lives where its certificate is; `authorize` asks for ARNs of that region.
        let region = self.door.home_region();
        let response = self.door.call(&reading, &matched, Arc::new(principal), region, request_id, now, peer).await;
        plane_answer(&matched, response, &request_id.to_string())
    }
}

/// What this plane says differently from the signed API: the body of a publish, the code of a denial, `traceId` (CP 5.11).
fn plane_answer(matched: &Matched, mut response: ApiResponse, request_id: &str) -> ApiResponse {
    if matched.operation.service != ServiceId::IotData {
        return response;
    }
    if response.status == 200 {
        if matched.operation.name == "Publish" {
            response.content_type = Some("application/json");
            response.body = json!({"message": "OK", "traceId": request_id}).to_string().into_bytes();
        }
        return response;
    }
    let denied = response
        .headers
        .iter_mut()
        .find(|(name, value)| name.as_ref() == "x-amzn-errortype" && value.as_str() == "AccessDeniedException");
    let denied = denied.map(|(_, value)| *value = FORBIDDEN.to_owned()).is_some();
    if let Ok(Value::Object(mut body)) = serde_json::from_slice(&response.body) {
        if denied {
            body.insert("__type".to_owned(), FORBIDDEN.into());
        }
        body.insert("traceId".to_owned(), request_id.into());
        response.body = Value::Object(body).to_string().into_bytes();
    }
    response
}

/// How iot-data models a denial (CP 1.4).
const FORBIDDEN: &str = "ForbiddenException";

/// Whether a body is missing from the published models is found out from real clients (CP 6.2): names only, no values.
fn log_unmatched(head: &Head, body: &[u8]) {
    let path = head.uri.path();
    if !path.starts_with("/greengrass/") {
        return;
    }
    let members: Vec<String> = match serde_json::from_slice(body) {
        Ok(Value::Object(body)) => body.keys().take(LOGGED_MEMBERS).cloned().collect(),
        _ => Vec::new(),
    };
    tracing::warn!(method = %head.method, path, ?members, body_bytes = body.len(), "an unknown Greengrass request");
}

struct Connection {
    door: Arc<DeviceDoor>,
    certificate: CertificateId,
    peer: Peer,
    /// Held until the certificate proved to be a registered one: strangers are counted (SEC 12.2).
    permit: Mutex<Option<UnauthenticatedPermit>>,
}

impl Handler for Connection {
    fn body_limit(&self, head: &Head) -> usize {
        if head.uri.path().starts_with("/topics/") { MAX_PAYLOAD } else { MAX_BODY }
    }

    async fn handle(&self, head: &Head, body: Bytes) -> Response {
        let mut response = match self.door.gate.admit(&self.certificate, self.peer.source_ip) {
            Ok(principal) => {
                self.permit.lock().unwrap_or_else(PoisonError::into_inner).take();
                to_http(self.door.answer(head, &body, principal, &self.peer).await)
            }
            Err(error) => refusal(&error),
        };
        tame(response.headers_mut());
        response
    }

    fn refuse(&self, _: &Head, cause: Refusal) -> Response {
        refusal(&match cause {
            Refusal::BodyTooLarge => ApiError::new("RequestEntityTooLargeException", 413, "The payload is too large"),
            Refusal::Deadline => ApiError::new("RequestTimeoutException", 408, "The request took too long"),
            Refusal::Panic => ApiError::internal(),
        })
    }
}

fn refusal(error: &ApiError) -> Response {
    let id = RequestId::fresh().to_string();
    to_http(encode::error(ServiceId::IotData, &error.clone().with("traceId", id.as_str()), &id))
}
