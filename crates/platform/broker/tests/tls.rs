//! The broker behind mTLS, and our own client against it (CP 5.1; SEC-31).

mod common;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{DEADLINE, eventually};
use marram_broker::{
    Authenticating, Authenticator, Broker, BrokerOptions, Denied, FullAuthority, PeerInfo, Ports, Selector,
    SessionAuthority, Tenant,
};
use marram_mqtt::{Connect, Publish, QoS, ReasonCode, Topic, TopicFilter, Version};
use marram_mqtt_net::{Client, ClientError, ClientOptions, listen_tls};
use marram_pki::{CertificateAuthority, DeviceKeyPair, Validity, pem};
use marram_tls::{
    Acceptor, AcceptorOptions, ClientIdentity, ClientOptions as TlsOptions, Connector, HandshakeGate, HandshakeLimits,
    Listener, ServerCertificate,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Lets certificates in that are in the list: the registry's part.
#[derive(Default)]
struct Known(Mutex<Vec<String>>);

impl Authenticator for Known {
    fn authenticate<'a>(&'a self, peer: &'a PeerInfo, _: &'a Connect) -> Authenticating<'a> {
        Box::pin(async move {
            let id = peer.fingerprint.ok_or(Denied::NotAuthorized)?.to_string();
            assert_eq!(peer.server_name.as_deref(), Some("localhost"));
            assert_eq!(peer.chain.len(), 1);
            if !self.0.lock().unwrap().contains(&id) {
                return Err(Denied::NotAuthorized);
            }
            Ok(FullAuthority::new(Tenant::new("a"), &id) as Arc<dyn SessionAuthority>)
        })
    }
}

struct Site {
    authority: CertificateAuthority,
    known: Arc<Known>,
    broker: Broker,
    address: SocketAddr,
    gate: Arc<HandshakeGate>,
}

fn day() -> Validity {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    Validity::starting(now, 86_400)
}

impl Site {
    async fn start(limits: HandshakeLimits) -> Self {
        let authority = CertificateAuthority::create("site", day()).unwrap();
        let server = authority.issue_server(&["localhost".to_owned()], day()).unwrap();
        let certificate = ServerCertificate::from_pem(&server.chain_pem, &server.key_pem).unwrap();
        let known = Arc::new(Known::default());
        let ports = Ports { authenticator: known.clone(), interceptor: None, store: None };
        let options = BrokerOptions { connect_timeout: limits.handshake_timeout, ..BrokerOptions::default() };
        let broker = Broker::start(options, ports).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gate = HandshakeGate::new(limits);
        let acceptor = Acceptor::new(Listener::DeviceMqtt, &certificate, AcceptorOptions::default(), Arc::clone(&gate));
        tokio::spawn(listen_tls(listener, acceptor, broker.clone(), std::future::pending()));
        Self { authority, known, broker, address, gate }
    }

    /// A device with a certificate of its own; `known`: the registry has it.
    fn device(&self, client_id: &str, known: bool) -> (ClientOptions, String) {
        let key = DeviceKeyPair::generate().unwrap();
        let certificate = self.authority.issue_device(key.public_key(), day()).unwrap();
        let id = certificate.id().to_string();
        if known {
            self.known.0.lock().unwrap().push(id.clone());
        }
        let identity =
            ClientIdentity { chain_pem: pem::encode_certificate(certificate.der()), key_pem: key.private_pem().into() };
        let tls = Connector::new(TlsOptions {
            roots_pem: self.authority.certificate_pem(),
            identity: Some(identity),
            alpn: vec![b"x-amzn-mqtt-ca".to_vec()],
        })
        .unwrap();
        let connect = Connect { clean_start: false, ..Connect::new(Version::V5, client_id) };
        (ClientOptions { host: "localhost".into(), port: self.address.port(), tls: Some(tls), connect }, id)
    }
}

fn publish(payload: Vec<u8>) -> Publish {
    Publish { qos: QoS::AtLeastOnce, ..Publish::new(Topic::new("t").unwrap(), payload) }
}

/// CP 5.1, SEC-31: a registered certificate connects, payloads of every size arrive whole and in order, an unknown
/// certificate is refused with 0x87.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_pass_through_mtls() {
    let site = Site::start(HandshakeLimits::default()).await;
    let (options, _) = site.device("one", true);
    let mut one = Client::connect(options).await.unwrap();
    assert_eq!(one.subscribe(TopicFilter::new("t").unwrap(), QoS::AtLeastOnce).await.unwrap(), QoS::AtLeastOnce);
    let (options, _) = site.device("two", true);
    let two = Client::connect(options).await.unwrap();
    let sizes = [0, 1, 100, 16_383, 16_384, 16_385, 70_000, 131_072, 5];
    let sending = tokio::spawn(async move {
        for (number, size) in sizes.into_iter().enumerate() {
            two.publish(publish(vec![number as u8; size])).await.unwrap();
        }
        two
    });
    for (number, size) in sizes.into_iter().enumerate() {
        let message = timeout(DEADLINE, one.recv()).await.unwrap().unwrap();
        assert_eq!(message.payload, vec![number as u8; size]);
    }
    sending.await.unwrap().disconnect().await;
    eventually("two is gone", || site.broker.connected() == 1).await;

    let (options, _) = site.device("three", false);
    let refused = Client::connect(options).await;
    assert!(matches!(refused, Err(ClientError::Refused(ReasonCode::NOT_AUTHORIZED))), "{refused:?}");
}

/// SEC-39 and the client's promise: a connection cut by the server comes back by itself, subscribes again, and what
/// was published meanwhile arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_comes_back() {
    let site = Site::start(HandshakeLimits::default()).await;
    let (options, id) = site.device("one", true);
    let mut one = Client::connect(options).await.unwrap();
    one.subscribe(TopicFilter::new("t").unwrap(), QoS::AtLeastOnce).await.unwrap();
    for round in 0..3_u8 {
        assert_eq!(site.broker.disconnect(&Selector::Principal(&id)), 1);
        eventually("cut", || site.broker.connected() == 0).await;
        timeout(DEADLINE, one.publish(publish(vec![round]))).await.unwrap().unwrap();
        assert_eq!(timeout(DEADLINE, one.recv()).await.unwrap().unwrap().payload, vec![round]);
    }
}

/// SEC 12.2: strangers that stall in the handshake or before CONNECT are counted, do not keep a device out, and are closed in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_handshakes_hurt_nobody() {
    const STRANGERS: usize = 100;
    for patience in [DEADLINE * 10, Duration::from_millis(500)] {
        let limits = HandshakeLimits { handshake_timeout: patience, ..HandshakeLimits::default() };
        let site = Site::start(limits).await;
        let mut strangers = Vec::new();
        for _ in 0..STRANGERS {
            strangers.push(TcpStream::connect(site.address).await.unwrap());
        }
        if patience > DEADLINE {
            eventually("they are counted", || site.gate.unauthenticated() == STRANGERS).await;
            let (options, _) = site.device("one", true);
            let one = timeout(DEADLINE, Client::connect(options)).await.unwrap().unwrap();
            timeout(DEADLINE, one.publish(publish(vec![1]))).await.unwrap().unwrap();
            assert_eq!(site.gate.unauthenticated(), STRANGERS, "and they are still there");
        } else {
            for mut stranger in strangers {
                let end = timeout(DEADLINE, tokio::io::AsyncReadExt::read(&mut stranger, &mut [0])).await.unwrap();
                assert!(!matches!(end, Ok(1..)), "{end:?}");
            }
            eventually("they are gone", || site.gate.unauthenticated() == 0).await;
        }
    }
}
