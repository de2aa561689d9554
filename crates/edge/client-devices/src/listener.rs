//! The local broker: mutual TLS in front, client devices inside (CC 2.6).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use marram_broker::{
    Authenticating, Authenticator, Broker, BrokerOptions, ConnectAttributes, Decision, Denied, Interception,
    Interceptor, Message, Origin, PeerInfo, Ports, Selector, SessionAuthority, Tenant,
};
use marram_mqtt::Connect;
use marram_tls::{Acceptor, AcceptorOptions, HandshakeGate, HandshakeLimits, Listener, ServerCertificate};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::devices::{Device, Devices, TENANT};
use crate::known::Verdict;

/// Part of a certificate's life after which it is replaced, in thirds.
const ROTATE_THIRDS: u64 = 2;
/// How often the listener looks whether decisions changed.
const LOOK: Duration = Duration::from_millis(500);
/// Bytes kept for a connected client that does not read.
const ONLINE_QUEUE_BYTES: usize = 256 * 1024;
/// Bytes of QoS 1 messages kept for a session.
const OFFLINE_QUEUE_BYTES: usize = 2 * 1024 * 1024;
/// Bytes of all messages in memory: a gateway has less to give than a server.
const QUEUED_BYTES: usize = 32 * 1024 * 1024;
/// Of these, for QoS 0 and what waits for sockets.
const QUEUED_QOS0_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of all retained messages.
const RETAINED_BYTES: usize = 16 * 1024 * 1024;

/// Where the broker listens.
#[derive(Debug, Clone)]
pub struct LocalBrokerOptions {
    /// Address and port; port 0 is any. Default `0.0.0.0:8883`.
    pub listen: SocketAddr,
}

impl Default for LocalBrokerOptions {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([0, 0, 0, 0], 8883)) }
    }
}

/// Why the broker does not listen.
#[derive(Debug, thiserror::Error)]
pub enum LocalBrokerError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// No server certificate.
    #[error(transparent)]
    Certificate(#[from] marram_pki::PkiError),
    /// TLS refuses the certificate.
    #[error(transparent)]
    Tls(#[from] marram_tls::TlsError),
    /// The broker did not start.
    #[error(transparent)]
    Store(#[from] marram_broker::StoreError),
}

/// A listening local broker; it ends with [`LocalBroker::stop`].
#[derive(Debug)]
pub struct LocalBroker {
    broker: Broker,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    listening: JoinHandle<()>,
    watching: JoinHandle<()>,
}

impl LocalBroker {
    /// The broker of a core, without a listener: flows and bridges meet in it (tenant [`TENANT`]) whether or not client
    /// devices may connect.
    ///
    /// # Errors
    /// [`LocalBrokerError::Store`].
    pub fn broker(devices: &Devices) -> Result<Broker, LocalBrokerError> {
        let options = BrokerOptions {
            online_queue_bytes: ONLINE_QUEUE_BYTES,
            offline_queue_bytes: OFFLINE_QUEUE_BYTES,
            queued_bytes: QUEUED_BYTES,
            queued_qos0_bytes: QUEUED_QOS0_BYTES,
            sessions_per_account: 10_000,
            retained_messages: 10_000,
            retained_bytes: RETAINED_BYTES,
            ..BrokerOptions::default()
        };
        let ports = Ports {
            authenticator: Arc::new(Door { devices: devices.clone(), tenant: Tenant::new(TENANT) }),
            interceptor: Some(Arc::new(Reserved)),
            store: None,
        };
        Ok(Broker::start(options, ports)?)
    }

    /// Opens the listener of `broker`.
    ///
    /// # Errors
    /// [`LocalBrokerError`].
    pub async fn listen(
        broker: Broker,
        devices: Devices,
        options: &LocalBrokerOptions,
    ) -> Result<Self, LocalBrokerError> {
        let failed = |cause| LocalBrokerError::Listen { address: options.listen, cause };
        let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (issued, seconds) = devices.issue_server()?;
        let certificate = ServerCertificate::from_pem(&issued.chain_pem, &issued.key_pem)?;
        let gate = HandshakeGate::new(HandshakeLimits::default());
        let acceptor = Acceptor::new(Listener::DeviceMqtt, &certificate, AcceptorOptions::default(), gate);
        let (stop, stopped) = oneshot::channel();
        let service = broker.clone();
        let listening = tokio::spawn(async move {
            let stopped = async {
                // An error is the handle going: the same.
                let _ = stopped.await;
            };
            marram_mqtt_net::listen_tls(listener, acceptor, service, stopped).await;
        });
        let watching = tokio::spawn(watch(broker.clone(), devices, certificate, seconds));
        Ok(Self { broker, address, stop, listening, watching })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The broker behind the listener.
    pub fn inner(&self) -> &Broker {
        &self.broker
    }

    /// Closes the listener and ends its connections.
    pub async fn stop(self) {
        // It may have stopped by itself.
        let _ = self.stop.send(());
        let _ = self.listening.await;
        self.watching.abort();
    }
}

/// Replaces the certificate in time and when hosts changed; asks connections again when decisions changed.
async fn watch(broker: Broker, devices: Devices, certificate: ServerCertificate, seconds: i64) {
    let life = Duration::from_secs(seconds.unsigned_abs() * ROTATE_THIRDS / 3);
    let mut rotate = tokio::time::Instant::now() + life;
    let (mut version, mut hosts) = (devices.version(), devices.hosts_version());
    let tenant = Tenant::new(TENANT);
    loop {
        tokio::time::sleep(LOOK).await;
        let now = devices.version();
        if now != version {
            version = now;
            for session in broker.sessions(&tenant).into_iter().filter(|session| session.connected) {
                broker.reauthorize(&Selector::Principal(&session.principal));
            }
        }
        let named = devices.hosts_version();
        if named != hosts || tokio::time::Instant::now() >= rotate {
            hosts = named;
            match devices.issue_server() {
                Ok((issued, seconds)) => {
                    if let Err(error) = certificate.replace(&issued.chain_pem, &issued.key_pem) {
                        tracing::error!(%error, "the local broker keeps its old certificate");
                    }
                    devices.announce(&issued);
                    rotate =
                        tokio::time::Instant::now() + Duration::from_secs(seconds.unsigned_abs() * ROTATE_THIRDS / 3);
                }
                Err(error) => {
                    tracing::error!(%error, "no new certificate for the local broker");
                    rotate = tokio::time::Instant::now() + LOOK * 60;
                }
            }
        }
    }
}

/// Lets client devices in.
struct Door {
    devices: Devices,
    tenant: Tenant,
}

impl Authenticator for Door {
    fn authenticate<'a>(&'a self, peer: &'a PeerInfo, connect: &'a Connect) -> Authenticating<'a> {
        Box::pin(async move {
            let leaf = peer.chain.first().ok_or(Denied::NotAuthorized)?;
            match self.devices.identify(leaf, &connect.client_id).await {
                Ok(device) => {
                    let authority: Arc<dyn SessionAuthority> =
                        Arc::new(Session { devices: self.devices.clone(), tenant: self.tenant.clone(), device });
                    Ok(authority)
                }
                Err(verdict) => {
                    tracing::warn!(client_id = %connect.client_id, remote = %peer.remote, ?verdict, "a client device is refused");
                    Err(if verdict == Verdict::Stale { Denied::Unavailable } else { Denied::NotAuthorized })
                }
            }
        })
    }
}

/// One connection of a client device.
struct Session {
    devices: Devices,
    tenant: Tenant,
    device: Device,
}

impl Session {
    fn decide(&self, operation: &str, resource: &str) -> Decision {
        if self.devices.allows(&self.device.thing, operation, resource) {
            Decision::Allow
        } else {
            tracing::warn!(thing = %self.device.thing, operation, resource, "a client device is denied");
            Decision::Deny
        }
    }
}

impl SessionAuthority for Session {
    fn tenant(&self) -> &Tenant {
        &self.tenant
    }
    fn principal(&self) -> &str {
        &self.device.certificate_id
    }
    fn version(&self) -> u64 {
        self.devices.version()
    }
    fn thing_name(&self) -> Option<&str> {
        Some(&self.device.thing)
    }
    fn valid_until(&self) -> Option<SystemTime> {
        u64::try_from(self.device.not_after).ok().map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds))
    }
    fn connect(&self, client_id: &str, _: ConnectAttributes) -> Decision {
        if !self.devices.is_current(&self.device) {
            return Decision::Deny;
        }
        self.decide("mqtt:connect", &format!("mqtt:clientId:{client_id}"))
    }
    fn publish(&self, topic: &str, _: bool) -> Decision {
        self.decide("mqtt:publish", &format!("mqtt:topic:{topic}"))
    }
    fn subscribe(&self, filter: &str) -> Decision {
        self.decide("mqtt:subscribe", &format!("mqtt:topicfilter:{filter}"))
    }
    fn receive(&self, topic: &str) -> Decision {
        if self.devices.may_receive(&self.device.thing, topic) { Decision::Allow } else { Decision::Deny }
    }
}

/// Nothing on a core owns `$aws/...`: whoever subscribes, a bridge for instance, gets it.
struct Reserved;

impl Interceptor for Reserved {
    fn publish(&self, _: Origin, _: &Message) -> Interception {
        Interception::Route
    }
}

#[cfg(test)]
mod tests {
    use marram_mqtt::{QoS, TopicFilter, Version};
    use marram_mqtt_net::{Client, ClientError};
    use marram_pki::{CertificateAuthority, DeviceKeyPair, Validity, pem};
    use marram_tls::{ClientIdentity, Connector};
    use marram_types::{Clock, ManualClock, SystemClock};
    use serde_json::json;

    use super::*;
    use crate::devices::DevicesOptions;
    use crate::word::Word;

    /// CC 2.5.4, 2.5.5: when the control plane refuses a device that connects again, or at the daily check, its open
    /// connection ends too; a revoked certificate ends those of every thing that uses it, a lost association only the
    /// thing's own.
    #[tokio::test]
    async fn a_refusal_ends_the_open_connection() {
        let dir = tempfile::tempdir().unwrap();
        let word = Arc::new(Word::default());
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let devices = Devices::open(DevicesOptions {
            dir: dir.path().join("auth"),
            clock: clock.clone(),
            cloud: Some(word.clone()),
            trusted_authorities_pem: String::new(),
        })
        .unwrap();
        let all = json!({"effect": "ALLOW", "operations": ["*"], "resources": ["*"]});
        let groups = json!({
            "definitions": {"all": {"selectionRule": "thingName: *", "policyName": "all"}},
            "policies": {"all": {"all": all}},
        });
        devices.configure(&json!({"deviceGroups": groups})).unwrap();
        let broker = LocalBroker::broker(&devices).unwrap();
        let listen = LocalBrokerOptions { listen: ([127, 0, 0, 1], 0).into() };
        let listening = LocalBroker::listen(broker.clone(), devices.clone(), &listen).await.unwrap();

        let now = SystemClock.now().as_millis() / 1_000;
        let authority = CertificateAuthority::create("cloud", Validity::starting(now, 8 * 86_400)).unwrap();
        let key = DeviceKeyPair::generate().unwrap();
        let certificate = authority.issue_device(key.public_key(), Validity::starting(now, 8 * 86_400)).unwrap();
        let connect = async |thing: &str| {
            let identity = ClientIdentity {
                chain_pem: pem::encode_certificate(certificate.der()),
                key_pem: key.private_pem().to_owned(),
            };
            let tls = Connector::new(marram_tls::ClientOptions {
                roots_pem: devices.authority_pem(),
                identity: Some(identity),
                alpn: vec![],
            });
            let connect = Connect::new(Version::V5, thing);
            let socket = tokio::net::TcpStream::connect(listening.address()).await.unwrap();
            Client::over(tls.unwrap().connect("localhost", socket).await.unwrap(), connect).await
        };
        let ended = async |client: &mut Client| {
            let end = tokio::time::timeout(Duration::from_secs(10), client.recv()).await;
            assert!(end.expect("the connection ends").is_none());
        };

        let (mut lathe, mut drill) = (connect("lathe").await.unwrap(), connect("drill").await.unwrap());
        word.dissociate("lathe");
        assert!(matches!(connect("lathe").await, Err(ClientError::Refused(_))));
        ended(&mut lathe).await;
        drill.subscribe(TopicFilter::new("a").unwrap(), QoS::AtLeastOnce).await.expect("the drill is still associated");

        // The daily check finds the same, without anybody connecting.
        let mut mill = connect("mill").await.unwrap();
        word.dissociate("mill");
        clock.advance(Duration::from_secs(86_400));
        devices.check().await.unwrap();
        ended(&mut mill).await;
        drill.subscribe(TopicFilter::new("b").unwrap(), QoS::AtLeastOnce).await.expect("the drill is still associated");

        word.set_revoked(true);
        assert!(matches!(connect("lathe").await, Err(ClientError::Refused(_))));
        ended(&mut drill).await;
        listening.stop().await;
    }
}
