//! A connection for one purpose beside the line: does another control plane answer, and a last word to the old one
//! (core-runtime 4.10, endpoint switch).

use std::time::Duration;

use bytes::BytesMut;
use marram_edge_ports::CloudPublish;
use marram_mqtt::session::{ClientEvent, ClientSession};
use marram_mqtt::{Disconnect, Packet, ReasonCode, decode};
use marram_mqtt_net::{ReadBuffer, Transport};
use tokio::time::timeout;

use crate::line::{ConnectError, LineSettings, PACKET_MAX, connect, publish_of};

/// What a standalone connection is called beside the thing's own.
const SUFFIX: &str = "#endpoint-switch";
/// Requests unanswered at a time; one is ever sent.
const WINDOW: usize = 1;

/// Why the connection did not do what it was for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StandaloneError(String);

impl From<ConnectError> for StandaloneError {
    fn from(error: ConnectError) -> Self {
        Self(error.to_string())
    }
}

fn failed(error: impl std::fmt::Display) -> StandaloneError {
    StandaloneError(error.to_string())
}

/// Connects as `<thing>#endpoint-switch`, and, with a message, waits until it is acknowledged.
///
/// # Errors
/// [`StandaloneError`], also when `limit` is over.
pub async fn standalone(
    settings: &LineSettings,
    message: Option<&CloudPublish>,
    limit: Duration,
) -> Result<(), StandaloneError> {
    let settings = LineSettings {
        client_id: format!("{}{SUFFIX}", settings.client_id),
        session_expiry_secs: 0,
        ..settings.clone()
    };
    let whole = async {
        let (mut wire, connack) = connect(&settings, true).await?;
        let mut session = ClientSession::new(settings.version(), WINDOW);
        let mut out = BytesMut::new();
        session.connected(&connack, &mut out).map_err(failed)?;
        if let Some(message) = message {
            let publish = publish_of(message, 0).ok_or_else(|| failed("the topic is malformed"))?;
            let wanted = session.publish(publish, &mut out).map_err(failed)?;
            let mut read = ReadBuffer::default();
            while wanted.is_some() {
                std::future::poll_fn(|cx| wire.poll_write(cx, &mut out)).await.map_err(failed)?;
                match decode(session.version(), &mut read.bytes, PACKET_MAX).map_err(failed)? {
                    Some(packet) => match session.receive(packet).map_err(failed)? {
                        Some(ClientEvent::Published(id, reason)) if Some(id) == wanted => match reason.is_error() {
                            true => return Err(failed(format!("the control plane refused the message: {reason}"))),
                            false => break,
                        },
                        Some(ClientEvent::Closed(over)) => return Err(failed(over.reason)),
                        _ => {}
                    },
                    None => {
                        if std::future::poll_fn(|cx| wire.poll_read(cx, &mut read)).await.map_err(failed)? == 0 {
                            return Err(failed("the connection was closed"));
                        }
                    }
                }
            }
        }
        let goodbye = Packet::Disconnect(Disconnect::new(ReasonCode::SUCCESS));
        goodbye.encode(session.version(), &mut out).map_err(failed)?;
        // What was asked for is done; a peer that does not take the farewell is left.
        let _ = std::future::poll_fn(|cx| wire.poll_write(cx, &mut out)).await;
        let _ = std::future::poll_fn(|cx| wire.poll_shutdown(cx)).await;
        Ok(())
    };
    timeout(limit, whole).await.map_err(|_| failed("no answer in time"))?
}
