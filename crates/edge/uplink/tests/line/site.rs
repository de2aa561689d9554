//! A control plane's broker behind mTLS, and a network that can be cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use marram_broker::{
    Authenticating, Authenticator, Broker, BrokerOptions, ConnectAttributes, Decision, FullAuthority, LocalClient,
    PeerInfo, Ports, SessionAuthority, Tenant,
};
use marram_edge_ports::CloudPublish;
use marram_mqtt::{Connect, QoS, TopicFilter};
use marram_mqtt_net::listen_tls;
use marram_pki::{CertificateAuthority, DeviceKeyPair, Validity, pem};
use marram_tls::{Acceptor, AcceptorOptions, HandshakeGate, HandshakeLimits, Listener, ServerCertificate};
use marram_uplink::{DeviceTls, LineSettings, Road};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub const DEADLINE: Duration = Duration::from_secs(30);

fn day() -> Validity {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    Validity::starting(now, 86_400)
}

struct Everybody;

impl Authenticator for Everybody {
    fn authenticate<'a>(&'a self, _: &'a PeerInfo, _: &'a Connect) -> Authenticating<'a> {
        Box::pin(async {
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
}

impl Site {
    pub async fn start() -> Self {
        let authority = CertificateAuthority::create("site", day()).unwrap();
        let server = authority.issue_server(&["localhost".to_owned()], day()).unwrap();
        let certificate = ServerCertificate::from_pem(&server.chain_pem, &server.key_pem).unwrap();
        let ports = Ports { authenticator: Arc::new(Everybody), interceptor: None, store: None };
        let broker = Broker::start(BrokerOptions::default(), ports).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gate = HandshakeGate::new(HandshakeLimits::default());
        let acceptor = Acceptor::new(Listener::DeviceMqtt, &certificate, AcceptorOptions::default(), gate);
        tokio::spawn(listen_tls(listener, acceptor, broker.clone(), std::future::pending()));
        let key = DeviceKeyPair::generate().unwrap();
        let device = authority.issue_device(key.public_key(), day()).unwrap();
        let tls = DeviceTls {
            roots_pem: authority.certificate_pem(),
            chain_pem: pem::encode_certificate(device.der()),
            key_pem: key.private_pem().to_owned(),
        };
        Site { broker, address, road: Road::new(&tls, None).unwrap() }
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
