//! Lifecycle events: the broker tells on `$aws/events/...` who came, went and subscribed (CP 5.4).

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use marram_mqtt::{ClientId, Topic};
use serde_json::{Map, Value, json};

use crate::authorize::SessionAuthority;
use crate::broker::Core;
use crate::message::Message;
use crate::tenant::World;

/// Why a connection ended, as events name it (CP 5.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DisconnectReason {
    /// The client broke the protocol or a limit.
    ClientError,
    /// The client sent DISCONNECT.
    ClientInitiated,
    /// The socket closed.
    ConnectionLost,
    /// A newer connection has the client id.
    DuplicateClientId,
    /// A policy denied a publish, or the certificate is no longer active.
    ForbiddenAccess,
    /// The principal may no longer connect.
    AuthError,
    /// Nothing was heard for one and a half keep alive periods.
    KeepAliveTimeout,
    /// Something of ours failed.
    ServerError,
    /// The broker shut down.
    ServerInitiated,
    /// An administrator closed it.
    ApiInitiated,
    /// A quota of the account is spent, and the client's protocol has no other word for it.
    Throttled,
}

impl DisconnectReason {
    /// The name in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientError => "CLIENT_ERROR",
            Self::ClientInitiated => "CLIENT_INITIATED_DISCONNECT",
            Self::ConnectionLost => "CONNECTION_LOST",
            Self::DuplicateClientId => "DUPLICATE_CLIENTID",
            Self::ForbiddenAccess => "FORBIDDEN_ACCESS",
            Self::AuthError => "AUTH_ERROR",
            Self::KeepAliveTimeout => "MQTT_KEEP_ALIVE_TIMEOUT",
            Self::ServerError => "SERVER_ERROR",
            Self::ServerInitiated => "SERVER_INITIATED_DISCONNECT",
            Self::ApiInitiated => "API_INITIATED_DISCONNECT",
            Self::Throttled => "THROTTLED",
        }
    }
}

/// Whose events these are.
pub(crate) struct Subject<'a> {
    pub(crate) client_id: &'a ClientId,
    pub(crate) authority: &'a dyn SessionAuthority,
    /// The connection's number; events call it session identifier and want a UUID.
    pub(crate) connection: uuid::Uuid,
}

pub(crate) fn connected(core: &Core, world: &World, subject: &Subject<'_>, address: IpAddr) {
    emit(core, world, subject, "presence/connected", "connected", json!({ "ipAddress": address.to_string() }));
}

pub(crate) fn disconnected(core: &Core, world: &World, subject: &Subject<'_>, reason: DisconnectReason) {
    let details = json!({
        "clientInitiatedDisconnect": reason == DisconnectReason::ClientInitiated,
        "disconnectReason": reason.name(),
    });
    emit(core, world, subject, "presence/disconnected", "disconnected", details);
}

pub(crate) fn subscribed(core: &Core, world: &World, subject: &Subject<'_>, filters: &[&str]) {
    emit(core, world, subject, "subscriptions/subscribed", "subscribed", json!({ "topics": filters }));
}

pub(crate) fn unsubscribed(core: &Core, world: &World, subject: &Subject<'_>, filters: &[&str]) {
    emit(core, world, subject, "subscriptions/unsubscribed", "unsubscribed", json!({ "topics": filters }));
}

fn emit(core: &Core, world: &World, subject: &Subject<'_>, path: &str, kind: &str, details: Value) {
    let version = world.next_version(subject.client_id);
    // Client ids with `+` or `#` cannot stand in a topic and cause no events.
    let Ok(topic) = Topic::new(&format!("$aws/events/{path}/{}", subject.client_id)) else { return };
    let route = world.routes.find(&topic);
    if route.direct.is_empty() && route.shared.is_empty() {
        return;
    }
    let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    let mut event = Map::new();
    event.insert("clientId".into(), subject.client_id.as_str().into());
    event.insert("timestamp".into(), timestamp.into());
    event.insert("eventType".into(), kind.into());
    if let Value::Object(details) = details {
        event.extend(details);
    }
    event.insert("sessionIdentifier".into(), subject.connection.to_string().into());
    event.insert("principalIdentifier".into(), subject.authority.principal().into());
    event.insert("versionNumber".into(), version.into());
    if let Some(thing) = subject.authority.thing_name() {
        event.insert("thingName".into(), thing.into());
    }
    let event = Message::new(topic, Value::Object(event).to_string());
    core.publish(world, event, None).expect("only retaining is refused");
}
