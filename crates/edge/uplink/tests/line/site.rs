//! A control plane's broker behind mTLS, and a network that can be cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use marram_broker::{
    Authenticating, Authenticator, Broker, BrokerOptions, ConnectAttributes, Decision, Denied, FullAuthority,
    LocalClient, PeerInfo, Ports, SessionAuthority, Tenant,
};
use marram_edge_ports::CloudPublish;
use marram_mqtt::{Connect, QoS, TopicFilter};
use marram_mqtt_net::listen_tls;
use marram_pki::{CertificateAuthority, DeviceKeyPair, Validity, pem};
use marram_tls::{Acceptor, AcceptorOptions, HandshakeGate, HandshakeLimits, Listener, ServerCertificate};
use marram_uplink::{DeviceTls, LineSettings, Proxy, Road};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub const DEADLINE: Duration = Duration::from_secs(30);

/// A day that begins so many days from now.
pub fn day(from_now: i64) -> Validity {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    Validity::starting(now + from_now * 86_400, 86_400)
}

/// What is wrong with a site, if anything.
pub struct Flaws {
    /// The name its certificate is for.
    pub name: &'static str,
    /// When the certificate of the control plane holds.
    pub server: Validity,
    /// When that of the core holds.
    pub device: Validity,
    /// Whom the control plane lets in; the others it denies.
    pub lets_in: bool,
}

impl Default for Flaws {
    fn default() -> Self {
        Self { name: "localhost", server: day(0), device: day(0), lets_in: true }
    }
}

struct Everybody(bool);

impl Authenticator for Everybody {
    fn authenticate<'a>(&'a self, _: &'a PeerInfo, _: &'a Connect) -> Authenticating<'a> {
        Box::pin(async {
            if !self.0 {
                return Err(Denied::NotAuthorized);
            }
            Ok(Arc::new(Guarded(FullAuthority::new(Tenant::new("a"), "core"))) as Arc<dyn SessionAuthority>)
        })
    }
}

/// May do everything but topics that begin with `bad`.
struct Guarded(Arc<FullAuthority>);

fn decide(name: &str) -> Decision {
    if name.starts_with("bad") { Decision::Deny } else { Decision::Allow }
}

impl SessionAuthority for Guarded {
    fn tenant(&self) -> &Tenant {
        self.0.tenant()
    }
    fn principal(&self) -> &str {
        self.0.principal()
    }
    fn version(&self) -> u64 {
        self.0.version()
    }
    fn connect(&self, _: &str, _: ConnectAttributes) -> Decision {
        Decision::Allow
    }
    fn publish(&self, topic: &str, _: bool) -> Decision {
        decide(topic)
    }
    fn subscribe(&self, filter: &str) -> Decision {
        decide(filter)
    }
    fn receive(&self, _: &str) -> Decision {
        Decision::Allow
    }
}

pub struct Site {
    pub broker: Broker,
    pub address: SocketAddr,
    road: Road,
    tls: DeviceTls,
}

impl Site {
    pub async fn start() -> Self {
        Self::with(Flaws::default()).await
    }

    pub async fn with(flaws: Flaws) -> Self {
        let authority = CertificateAuthority::create("site", day(0)).unwrap();
        let server = authority.issue_server(&[flaws.name.to_owned()], flaws.server).unwrap();
        let certificate = ServerCertificate::from_pem(&server.chain_pem, &server.key_pem).unwrap();
        let ports = Ports { authenticator: Arc::new(Everybody(flaws.lets_in)), interceptor: None, store: None };
        let broker = Broker::start(BrokerOptions::default(), ports).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gate = HandshakeGate::new(HandshakeLimits::default());
        let acceptor = Acceptor::new(Listener::DeviceMqtt, &certificate, AcceptorOptions::default(), gate);
        tokio::spawn(listen_tls(listener, acceptor, broker.clone(), std::future::pending()));
        let key = DeviceKeyPair::generate().unwrap();
        let device = authority.issue_device(key.public_key(), flaws.device).unwrap();
        let tls = DeviceTls {
            roots_pem: authority.certificate_pem(),
            chain_pem: pem::encode_certificate(device.der()),
            key_pem: key.private_pem().to_owned(),
        };
        Site { broker, address, road: Road::new(&tls, None).unwrap(), tls }
    }

    /// The road through a proxy.
    pub fn through(&self, url: &str) -> Road {
        Road::new(&self.tls, Some(Proxy::parse(url, None, None, "").unwrap())).unwrap()
    }

    pub fn settings(&self, port: u16) -> LineSettings {
        let mut settings = LineSettings::new("core", "localhost", port, self.road.clone());
        settings.backoff = (Duration::from_millis(5), Duration::from_millis(40));
        settings
    }

    pub fn reader(&self) -> LocalClient {
        let client = self.broker.local_client("reader", FullAuthority::new(Tenant::new("a"), "reader"));
        client.subscribe(&TopicFilter::new("#").unwrap(), QoS::AtLeastOnce).unwrap();
        client
    }
}

/// A network between the core and the control plane: `up` false cuts what is open and refuses what is new.
pub async fn network(to: SocketAddr, mut up: watch::Receiver<bool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            if !*up.borrow_and_update() {
                continue;
            }
            let mut up = up.clone();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(to).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    _ = up.wait_for(|up| !up) => {}
                }
            });
        }
    });
    port
}

pub fn message(topic: &str, n: usize) -> CloudPublish {
    CloudPublish { topic: topic.into(), qos: 1, payload: n.to_string().into_bytes().into(), ..CloudPublish::default() }
}
