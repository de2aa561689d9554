//! Who may do what: the port through which the broker asks.
//!
//! [`Authenticator`] is asked once per connection, between CONNECT and CONNACK, and may take its time.
//! The [`SessionAuthority`] it returns belongs to that connection and is asked on the hot path: it
//! answers from memory, without blocking. The broker remembers its answers per connection and topic for
//! as long as [`SessionAuthority::version`] stays the same.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use marram_mqtt::Connect;
use marram_mqtt_net::PeerInfo;

/// One isolated world of topics, client ids, sessions and retained messages: an account in a region.
/// Nothing crosses tenants.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// Any text that names the account and region, such as `000000000000/us-east-1`.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tenant({})", self.0)
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The answer to a question of permission. There is no third one: unknown means no.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Yes.
    Allow,
    /// No.
    Deny,
}

impl Decision {
    /// Whether this is a yes.
    pub fn is_allow(self) -> bool {
        self == Self::Allow
    }
}

/// `iot:ConnectAttributes` of a connection (CP 5.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ConnectAttributes {
    /// `PersistentConnect`: the session is to outlive the connection.
    pub persistent: bool,
    /// `LastWill`: the connection carries a will.
    pub last_will: bool,
}

/// Why a connection was refused before it had an authority.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Denied {
    /// No such certificate or credential, not active, or not permitted: CONNACK 0x87, or 5 for 3.1.1.
    #[error("not authorized")]
    NotAuthorized,
    /// User name or password wrong (custom authorizers): CONNACK 0x86, or 4 for 3.1.1.
    #[error("bad user name or password")]
    BadCredentials,
    /// The backend that decides cannot be reached; unknown means no: CONNACK 0x88, or 3 for 3.1.1.
    #[error("cannot decide now")]
    Unavailable,
}

/// What [`Authenticator::authenticate`] returns.
pub type Authenticating<'a> = Pin<Box<dyn Future<Output = Result<Arc<dyn SessionAuthority>, Denied>> + Send + 'a>>;

/// Turns a peer and its CONNECT into an authority. The CONNECT was checked against the standard, nothing else.
pub trait Authenticator: Send + Sync + 'static {
    /// Decides who this is. Connect permission itself is asked afterwards through [`SessionAuthority::connect`],
    /// with the client id the broker settled on.
    fn authenticate<'a>(&'a self, peer: &'a PeerInfo, connect: &'a Connect) -> Authenticating<'a>;
}

/// The permissions of one connection. Every method but the first three is a policy decision; all must be fast
/// and must not block. Auditing of denials is the implementation's: the broker calls once per new question,
/// not once per message, while `version` stands still.
pub trait SessionAuthority: Send + Sync + 'static {
    /// The account and region this connection lives in.
    fn tenant(&self) -> &Tenant;

    /// Certificate id or principal: shown in lifecycle events, target of `Broker::reauthorize` and `disconnect`.
    fn principal(&self) -> &str;

    /// Changes whenever an answer below may have changed. One atomic load.
    fn version(&self) -> u64;

    /// The thing of an exclusive attachment, for lifecycle events.
    fn thing_name(&self) -> Option<&str> {
        None
    }

    /// When the connection has to end at the latest: the certificate's end of validity.
    fn valid_until(&self) -> Option<SystemTime> {
        None
    }

    /// `iot:Connect` on `client/{client_id}`. Asked at CONNECT, and again by `Broker::reauthorize`: answer
    /// `Deny` once the certificate is inactive or the policy is gone.
    fn connect(&self, client_id: &str, attributes: ConnectAttributes) -> Decision;

    /// `iot:Publish` on `topic/{topic}`, and `iot:RetainPublish` as well if `retain`.
    fn publish(&self, topic: &str, retain: bool) -> Decision;

    /// `iot:Subscribe` on `topicfilter/{filter}`; `filter` includes `$share/{name}/`.
    fn subscribe(&self, filter: &str) -> Decision;

    /// `iot:Receive` on `topic/{topic}`.
    fn receive(&self, topic: &str) -> Decision;
}

/// An authority that allows everything in one tenant: the control plane's own local clients, and tests.
#[derive(Debug)]
pub struct FullAuthority {
    tenant: Tenant,
    principal: String,
}

impl FullAuthority {
    /// Allows everything in `tenant`, under the name `principal`.
    pub fn new(tenant: Tenant, principal: &str) -> Arc<Self> {
        Arc::new(Self { tenant, principal: principal.to_owned() })
    }
}

impl SessionAuthority for FullAuthority {
    fn tenant(&self) -> &Tenant {
        &self.tenant
    }
    fn principal(&self) -> &str {
        &self.principal
    }
    fn version(&self) -> u64 {
        0
    }
    fn connect(&self, _: &str, _: ConnectAttributes) -> Decision {
        Decision::Allow
    }
    fn publish(&self, _: &str, _: bool) -> Decision {
        Decision::Allow
    }
    fn subscribe(&self, _: &str) -> Decision {
        Decision::Allow
    }
    fn receive(&self, _: &str) -> Decision {
        Decision::Allow
    }
}
