//! The device HTTPS port: publishing with a client certificate (CP 5.11).
//!
//! `POST /topics/{topic}?qos=0|1&retain=true` with the payload as body. The same registry lookup and the same policies decide as on
//! MQTT. Everything else of this plane is not built and says so.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use marram_broker::{Broker, Denied, LocalError, Message};
use marram_http::{Handler, Head, HeaderName, HeaderValue, Method, Refusal, Response, ServerLimits, StatusCode, serve};
use marram_mqtt::{QoS, Topic};
use marram_registry::DeviceAuthority;
use marram_tls::{Accepted, Acceptor, Plane, UnauthenticatedPermit};
use marram_types::{CertificateId, RequestId};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Largest payload, as on MQTT (CP 5.2).
const MAX_PAYLOAD: usize = 131_072;
/// Name of the publishing client inside the broker.
const CLIENT_NAME: &str = "device-https";
/// Pause after the system refused a connection, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a connection of this port needs.
#[derive(Clone)]
pub struct DevicePlane {
    /// Decides for certificates.
    pub devices: DeviceAuthority,
    /// Takes the messages.
    pub broker: Broker,
}

impl DevicePlane {
    /// Accepts connections until `shutdown` turns true.
    pub async fn listen(self, listener: TcpListener, acceptor: Acceptor, mut shutdown: watch::Receiver<bool>) {
        loop {
            let stopping = async {
                let _ = shutdown.wait_for(|stop| *stop).await;
            };
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((socket, address)) => {
                        let (plane, acceptor) = (self.clone(), acceptor.clone());
                        tokio::spawn(async move {
                            match acceptor.accept_tcp(socket).await {
                                Ok(accepted) => plane.serve(accepted, address).await,
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
    pub async fn serve(self, accepted: Accepted<TcpStream>, address: SocketAddr) {
        let Accepted { plane: Plane::DeviceHttps, stream, peer, permit } = accepted else { return };
        let Some(certificate) = peer.client_certificate else { return };
        let connection = Connection {
            plane: self,
            certificate: certificate.id,
            source: address.ip(),
            permit: Mutex::new(Some(permit)),
        };
        serve(stream, Arc::new(connection), &ServerLimits::default(), std::future::pending()).await;
    }
}

struct Connection {
    plane: DevicePlane,
    certificate: CertificateId,
    source: IpAddr,
    /// Held until the certificate proved to be a registered one: strangers are counted (SEC 12.2).
    permit: Mutex<Option<UnauthenticatedPermit>>,
}

impl Handler for Connection {
    fn body_limit(&self, _: &Head) -> usize {
        MAX_PAYLOAD
    }

    async fn handle(&self, head: &Head, body: Bytes) -> Response {
        // Asked again for every request: a certificate that was revoked a moment ago publishes nothing.
        let session = match self.plane.devices.session(&self.certificate, None, self.source) {
            Ok(session) => session,
            Err(Denied::Unavailable) => return error(503, "ServiceUnavailableException", "try again"),
            Err(_) => return error(403, "ForbiddenException", "the certificate is not registered and active"),
        };
        self.permit.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(topic) = head.uri.path().strip_prefix("/topics/").filter(|_| head.method == Method::POST) else {
            return error(404, "UnknownOperationException", "this endpoint offers POST /topics/{topic}");
        };
        let Some(topic) =
            decode(topic).and_then(|topic| Topic::new(&topic).ok()).filter(|topic| !topic.starts_with('$'))
        else {
            return error(400, "InvalidRequestException", "the topic is malformed or reserved");
        };
        let (mut qos, mut retain) = (QoS::AtMostOnce, false);
        for pair in head.uri.query().unwrap_or_default().split('&') {
            match pair {
                "qos=1" => qos = QoS::AtLeastOnce,
                "retain=true" => retain = true,
                "" | "qos=0" | "retain=false" => {}
                _ => return error(400, "InvalidRequestException", "the query takes qos=0|1 and retain=true|false"),
            }
        }
        let message = Message::new(topic, body).with_qos(qos);
        let message = if retain { message.retained() } else { message };
        match self.plane.broker.local_client(CLIENT_NAME, session).publish(message).await {
            Ok(()) => answer(200, None, &json!({ "message": "OK", "traceId": RequestId::fresh().to_string() })),
            Err(LocalError::Denied(_)) => {
                error(403, "ForbiddenException", "the certificate's policies do not allow it")
            }
            Err(LocalError::Topic(text)) => error(400, "InvalidRequestException", &text),
            Err(LocalError::Payload { .. }) => error(413, "RequestEntityTooLargeException", "the payload is too large"),
            Err(_) => error(500, "InternalFailureException", "the message could not be kept"),
        }
    }

    fn refuse(&self, _: &Head, refusal: Refusal) -> Response {
        match refusal {
            Refusal::BodyTooLarge => error(413, "RequestEntityTooLargeException", "the payload is too large"),
            Refusal::Deadline => error(408, "RequestTimeoutException", "the request took too long"),
            Refusal::Panic => error(500, "InternalFailureException", "an internal failure"),
        }
    }
}

/// Percent-decoding of a path; `None` when it is not UTF-8 or an escape is cut off.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok())?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = tail.get(2..)?;
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

fn error(status: u16, code: &'static str, message: &str) -> Response {
    answer(status, Some(code), &json!({ "message": message, "traceId": RequestId::fresh().to_string() }))
}

fn answer(status: u16, code: Option<&'static str>, body: &serde_json::Value) -> Response {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    if let Some(code) = code {
        headers.insert(HeaderName::from_static("x-amzn-errortype"), HeaderValue::from_static(code));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::decode;

    /// CP 1.7: topics arrive percent-encoded, with raw or encoded slashes; a cut-off escape is refused.
    #[test]
    fn topics_are_decoded_once() {
        assert_eq!(decode("a%2Fb%20c/d").as_deref(), Some("a/b c/d"));
        assert_eq!(decode("a%252F").as_deref(), Some("a%2F"));
        assert_eq!(decode("a%2"), None);
        assert_eq!(decode("%ff"), None);
    }
}
