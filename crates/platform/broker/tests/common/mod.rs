//! A broker on loopback and a client that says exactly what a test wants said.
#![allow(dead_code)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use marram_broker::{
    Authenticating, Authenticator, Broker, BrokerOptions, ConnectAttributes, Decision, Denied, Interceptor, PeerInfo,
    Ports, SessionAuthority, SessionStore, Tenant,
};
use marram_mqtt::{
    Ack, ConnAck, Connect, Filter, Packet, PacketId, Publish, QoS, ReasonCode, Subscribe, SubscribeOptions, Topic,
    TopicFilter, Unsubscribe, Version, decode,
};
use marram_mqtt_net::listen_plain;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// Everything a test waits for happens within this.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Denies what stands in the list: `connect client/x`, `publish t`, `retain t`, `subscribe f`, `receive t`.
#[derive(Debug, Default)]
pub struct Policy {
    denied: Mutex<Vec<String>>,
    version: AtomicU64,
}

impl Policy {
    pub fn deny(&self, what: &str) {
        self.denied.lock().unwrap().push(what.to_owned());
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    fn decide(&self, what: String) -> Decision {
        if self.denied.lock().unwrap().contains(&what) { Decision::Deny } else { Decision::Allow }
    }
}

struct Authority {
    policy: Arc<Policy>,
    tenant: Tenant,
    principal: String,
}

impl SessionAuthority for Authority {
    fn tenant(&self) -> &Tenant {
        &self.tenant
    }
    fn principal(&self) -> &str {
        &self.principal
    }
    fn version(&self) -> u64 {
        self.policy.version.load(Ordering::SeqCst)
    }
    fn connect(&self, client_id: &str, _: ConnectAttributes) -> Decision {
        self.policy.decide(format!("connect client/{client_id}"))
    }
    fn publish(&self, topic: &str, retain: bool) -> Decision {
        let plain = self.policy.decide(format!("publish {topic}"));
        if retain && plain.is_allow() { self.policy.decide(format!("retain {topic}")) } else { plain }
    }
    fn subscribe(&self, filter: &str) -> Decision {
        self.policy.decide(format!("subscribe {filter}"))
    }
    fn receive(&self, topic: &str) -> Decision {
        self.policy.decide(format!("receive {topic}"))
    }
}

/// Tenant by user name (`a` if there is none), principal `p-{client id}`; the user `nobody` is refused.
struct ByUserName(Arc<Policy>);

impl Authenticator for ByUserName {
    fn authenticate<'a>(&'a self, _: &'a PeerInfo, connect: &'a Connect) -> Authenticating<'a> {
        Box::pin(async move {
            let user = connect.user_name.as_deref().unwrap_or("a");
            match user {
                "nobody" => Err(Denied::NotAuthorized),
                "wrong" => Err(Denied::BadCredentials),
                _ => Ok(Arc::new(Authority {
                    policy: Arc::clone(&self.0),
                    tenant: Tenant::new(user),
                    principal: format!("p-{}", connect.client_id),
                }) as Arc<dyn SessionAuthority>),
            }
        })
    }
}

pub struct TestBroker {
    pub broker: Broker,
    pub address: SocketAddr,
    pub policy: Arc<Policy>,
}

#[derive(Default)]
pub struct Setup {
    pub options: BrokerOptions,
    pub store: Option<Arc<dyn SessionStore>>,
    pub interceptor: Option<Arc<dyn Interceptor>>,
    /// The kernel buffers little of what clients do not read: it would swallow megabytes for each.
    pub narrow: bool,
}

pub async fn start() -> TestBroker {
    start_with(Setup::default()).await
}

pub async fn start_with(setup: Setup) -> TestBroker {
    let policy = Arc::new(Policy::default());
    let ports = Ports {
        authenticator: Arc::new(ByUserName(Arc::clone(&policy))),
        interceptor: setup.interceptor,
        store: setup.store,
    };
    let broker = Broker::start(setup.options, ports).unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    if setup.narrow {
        socket.set_send_buffer_size(8192).unwrap();
    }
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(1024).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(listen_plain(listener, broker.clone(), std::future::pending()));
    TestBroker { broker, address, policy }
}

impl TestBroker {
    pub fn tenant(&self) -> Tenant {
        Tenant::new("a")
    }

    /// Connects with clean start and expects success.
    pub async fn client(&self, version: Version, id: &str) -> Peer {
        self.client_with(Connect::new(version, id)).await.0
    }

    pub async fn client_with(&self, connect: Connect) -> (Peer, ConnAck) {
        let mut peer = Peer::dial(self.address, connect.version).await;
        let connack = peer.connect(connect).await;
        assert_eq!(connack.reason, ReasonCode::SUCCESS);
        (peer, connack)
    }
}

/// A client with nothing automatic about it.
pub struct Peer {
    pub stream: TcpStream,
    pub version: Version,
    buffer: BytesMut,
    last_id: u16,
}

impl Peer {
    pub async fn dial(address: SocketAddr, version: Version) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, version, buffer: BytesMut::new(), last_id: 0 }
    }

    /// A connection whose buffers are soon full when nobody reads.
    pub async fn dial_narrow(address: SocketAddr, version: Version) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(address).await.unwrap();
        Self { stream, version, buffer: BytesMut::new(), last_id: 0 }
    }

    pub async fn connect(&mut self, connect: Connect) -> ConnAck {
        self.send(Packet::Connect(Box::new(connect))).await;
        match self.recv().await {
            Some(Packet::ConnAck(connack)) => *connack,
            other => panic!("not a CONNACK: {other:?}"),
        }
    }

    pub async fn send(&mut self, packet: Packet) {
        let mut bytes = BytesMut::new();
        packet.encode(self.version, &mut bytes).unwrap();
        self.send_bytes(&bytes).await;
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        // The broker may have closed already; what it said is read by the test.
        let _ = self.stream.write_all(bytes).await;
    }

    /// The next packet; `None` when the broker closed.
    pub async fn recv(&mut self) -> Option<Packet> {
        self.recv_for(DEADLINE).await
    }

    /// The same, with another deadline.
    pub async fn recv_for(&mut self, deadline: Duration) -> Option<Packet> {
        loop {
            if let Some(packet) = decode(self.version, &mut self.buffer, 1 << 24).unwrap() {
                return Some(packet);
            }
            let read = timeout(deadline, self.stream.read_buf(&mut self.buffer)).await.expect("a packet in time");
            if !matches!(read, Ok(count) if count > 0) {
                return None;
            }
        }
    }

    pub fn next_id(&mut self) -> PacketId {
        self.last_id += 1;
        PacketId::new(self.last_id).unwrap()
    }

    pub async fn subscribe(&mut self, filter: &str, qos: u8) -> ReasonCode {
        let options = SubscribeOptions { qos: QoS::from_bits(qos).unwrap(), ..SubscribeOptions::default() };
        self.subscribe_all(vec![(filter, options)]).await[0]
    }

    pub async fn subscribe_all(&mut self, filters: Vec<(&str, SubscribeOptions)>) -> Vec<ReasonCode> {
        let packet_id = self.next_id();
        let filters = filters
            .into_iter()
            .map(|(filter, options)| Filter { filter: TopicFilter::new(filter).unwrap(), options })
            .collect();
        self.send(Packet::Subscribe(Subscribe { packet_id, filters, subscription_id: None, user_properties: vec![] }))
            .await;
        match self.recv().await {
            Some(Packet::SubAck(suback)) if suback.packet_id == packet_id => suback.reasons,
            other => panic!("not the SUBACK: {other:?}"),
        }
    }

    pub async fn unsubscribe(&mut self, filter: &str) {
        let packet_id = self.next_id();
        let filters = vec![TopicFilter::new(filter).unwrap()];
        self.send(Packet::Unsubscribe(Unsubscribe { packet_id, filters, user_properties: vec![] })).await;
        let got = self.recv().await;
        assert!(matches!(&got, Some(Packet::UnsubAck(ack)) if ack.packet_id == packet_id), "{got:?}");
    }

    /// Unsubscribes without reading the answer.
    pub async fn unsubscribe_unheard(&mut self, filter: &str) {
        let packet_id = self.next_id();
        let filters = vec![TopicFilter::new(filter).unwrap()];
        self.send(Packet::Unsubscribe(Unsubscribe { packet_id, filters, user_properties: vec![] })).await;
    }

    pub async fn publish(&mut self, topic: &str, payload: &str) {
        self.send(Packet::Publish(message(topic, payload))).await;
    }

    /// Publishes with QoS 1 and waits for success.
    pub async fn publish1(&mut self, topic: &str, payload: &str) {
        let packet_id = self.next_id();
        let publish = Publish { qos: QoS::AtLeastOnce, packet_id: Some(packet_id), ..message(topic, payload) };
        self.send(Packet::Publish(publish)).await;
        assert_eq!(self.recv().await, Some(Packet::PubAck(Ack::new(packet_id, ReasonCode::SUCCESS))));
    }

    /// The next message, acknowledged.
    pub async fn message(&mut self) -> Publish {
        match self.recv().await {
            Some(Packet::Publish(publish)) => {
                if let Some(id) = publish.packet_id {
                    self.send(Packet::PubAck(Ack::new(id, ReasonCode::SUCCESS))).await;
                }
                publish
            }
            other => panic!("not a message: {other:?}"),
        }
    }

    /// Asserts that exactly the `wanted` payloads are on their way. A PINGRESP may overtake them, a second one not.
    pub async fn expect_only(&mut self, wanted: &[&str]) {
        let mut got = Vec::new();
        for _ in 0..2 {
            self.send(Packet::PingReq).await;
            loop {
                match self.recv().await {
                    Some(Packet::Publish(publish)) => {
                        if let Some(id) = publish.packet_id {
                            self.send(Packet::PubAck(Ack::new(id, ReasonCode::SUCCESS))).await;
                        }
                        got.push(String::from_utf8(publish.payload.to_vec()).unwrap());
                    }
                    Some(Packet::PingResp) => break,
                    other => panic!("neither message nor PINGRESP: {other:?}"),
                }
            }
        }
        assert_eq!(got, wanted);
    }

    /// Asserts that the connection ends, for 5 with this DISCONNECT reason, for 3.1.1 without a word.
    pub async fn expect_closed(&mut self, reason: ReasonCode) {
        match (self.version, self.recv().await) {
            (Version::V5, Some(Packet::Disconnect(disconnect))) => {
                assert_eq!(disconnect.reason, reason);
                assert_eq!(self.recv().await, None);
            }
            (Version::V4, None) => {}
            (_, other) => panic!("not closed with {reason}: {other:?}"),
        }
    }
}

pub fn message(topic: &str, payload: &str) -> Publish {
    Publish::new(Topic::new(topic).unwrap(), Bytes::copy_from_slice(payload.as_bytes()))
}

/// Polls until `condition` holds.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub const BOTH: [Version; 2] = [Version::V4, Version::V5];
