//! Registry, authority, broker and TLS together: real sockets, real handshakes, real cuts (SEC-31, SEC-39; CP 5.3).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use marram_broker::{Broker, BrokerOptions, Fingerprint, PeerInfo, Ports};
use marram_mqtt_net::*;
use marram_pki::{CertificateAuthority, Validity};
use marram_tls::{
    Acceptor, AcceptorOptions, ClientIdentity, ClientOptions, ClientStream, Connector, HandshakeGate, HandshakeLimits,
    Listener, ServerCertificate,
};
use marram_types::{Clock, SystemClock};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::bench::Bench;

/// SEC-39: the cloud has two seconds.
const DEADLINE: Duration = Duration::from_secs(30);
const NOT_AUTHORIZED: u8 = 5;

struct House {
    bench: Bench,
    address: SocketAddr,
    roots_pem: String,
}

impl House {
    async fn new() -> Self {
        let bench = Bench::new();
        let now = SystemClock.now();
        bench.clock.set(now);
        let ca = CertificateAuthority::create("server CA", Validity::starting(now.as_secs(), 86_400)).unwrap();
        let server = ca.issue_server(&["localhost".to_owned()], Validity::starting(now.as_secs(), 86_400)).unwrap();
        let certificate = ServerCertificate::from_pem(&server.chain_pem, &server.key_pem).unwrap();
        let gate = HandshakeGate::new(HandshakeLimits::default());
        let acceptor = Acceptor::new(Listener::DeviceMqtt, &certificate, AcceptorOptions::default(), gate);
        let authority = bench.authority();
        let ports = Ports { authenticator: Arc::new(authority.clone()), interceptor: None, store: None };
        let broker = Broker::start(BrokerOptions::default(), ports).unwrap();
        tokio::spawn({
            let broker = Arc::new(broker.clone());
            async move { authority.watch(broker).await }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((socket, remote)) = listener.accept().await {
                let (acceptor, broker) = (acceptor.clone(), broker.clone());
                tokio::spawn(async move {
                    let Ok(accepted) = acceptor.accept_tcp(socket).await else { return };
                    let certificate = accepted.peer.client_certificate.unwrap();
                    let peer = PeerInfo {
                        remote,
                        fingerprint: Some(Fingerprint(*certificate.id.as_bytes())),
                        chain: Arc::from([certificate.der.to_vec()]),
                        server_name: accepted.peer.server_name,
                        alpn: accepted.peer.alpn,
                    };
                    broker.serve(Io::new(accepted.stream), peer, move || drop(accepted.permit)).await;
                });
            }
        });
        Self { bench, address, roots_pem: ca.certificate_pem() }
    }

    /// A device with a certificate in this state and a policy for its own client id and topic `t`.
    async fn device(&self, name: &str, active: bool) -> (Value, ClientIdentity) {
        let answer = self.bench.ok("CreateKeysAndCertificate", json!({"setAsActive": active})).await;
        let document = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "iot:Connect", "Resource": format!("arn:aws:iot:us-east-1:000000000000:client/{name}")},
            {"Effect": "Allow", "Action": "iot:Publish", "Resource": "arn:aws:iot:us-east-1:000000000000:topic/t"},
        ]});
        self.bench.ok("CreatePolicy", json!({"policyName": name, "policyDocument": document.to_string()})).await;
        self.bench.ok("AttachPolicy", json!({"policyName": name, "target": answer["certificateArn"]})).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let identity = ClientIdentity {
            chain_pem: text(&answer["certificatePem"]),
            key_pem: text(&answer["keyPair"]["PrivateKey"]),
        };
        (answer, identity)
    }

    /// Connects with MQTT 3.1.1; the stream and the CONNACK's return code.
    async fn connect(&self, identity: ClientIdentity, client_id: &str) -> (ClientStream<TcpStream>, u8) {
        let options = ClientOptions { roots_pem: self.roots_pem.clone(), identity: Some(identity), alpn: Vec::new() };
        let socket = TcpStream::connect(self.address).await.unwrap();
        let mut stream = Connector::new(options).unwrap().connect("localhost", socket).await.unwrap();
        let mut packet = vec![0x10, u8::try_from(12 + client_id.len()).unwrap(), 0, 4];
        packet.extend_from_slice(b"MQTT\x04\x02\x00\x3c\x00");
        packet.push(u8::try_from(client_id.len()).unwrap());
        packet.extend_from_slice(client_id.as_bytes());
        stream.write_all(&packet).await.unwrap();
        let mut answer = [0; 4];
        tokio::time::timeout(DEADLINE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(answer[..2], [0x20, 2], "not a CONNACK");
        (stream, answer[3])
    }
}

/// Waits until the server has closed the stream.
async fn closed(stream: &mut ClientStream<TcpStream>) {
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("the connection lives on");
}

/// SEC-31: INACTIVE and unknown certificates, and client ids the policy does not give, are refused after the handshake.
#[tokio::test]
async fn connections_are_decided_by_the_registry() {
    let house = House::new().await;
    let (_, good) = house.device("good", true).await;
    let (_, idle) = house.device("idle", false).await;
    let copy = ClientIdentity { chain_pem: good.chain_pem.clone(), key_pem: good.key_pem.clone() };
    assert_eq!(house.connect(good, "good").await.1, 0);
    assert_eq!(house.connect(copy, "other").await.1, NOT_AUTHORIZED);
    assert_eq!(house.connect(idle, "idle").await.1, NOT_AUTHORIZED);
    let stranger =
        CertificateAuthority::create("stranger", Validity::starting(SystemClock.now().as_secs(), 60)).unwrap();
    let pair = marram_pki::DeviceKeyPair::generate().unwrap();
    let leaf = stranger.issue_device(pair.public_key(), Validity::starting(SystemClock.now().as_secs(), 60)).unwrap();
    let unknown = ClientIdentity {
        chain_pem: marram_pki::pem::encode_certificate(leaf.der()),
        key_pem: pair.private_pem().to_owned(),
    };
    assert_eq!(house.connect(unknown, "good").await.1, NOT_AUTHORIZED);
}

/// SEC-39, CP 5.3: a live connection ends within two seconds of losing its certificate or its policy, whichever way;
/// a bystander stays.
#[tokio::test]
async fn revocation_cuts_live_connections() {
    let house = House::new().await;
    let (_, identity) = house.device("bystander", true).await;
    let (mut bystander, code) = house.connect(identity, "bystander").await;
    assert_eq!(code, 0);
    for way in ["INACTIVE", "REVOKED", "detach", "narrow"] {
        let (answer, identity) = house.device(way, true).await;
        let (mut stream, code) = house.connect(identity, way).await;
        assert_eq!(code, 0, "{way}");
        match way {
            "detach" => {
                house.bench.ok("DetachPolicy", json!({"policyName": way, "target": answer["certificateArn"]})).await;
            }
            "narrow" => {
                let nothing = json!({"Version": "2012-10-17", "Statement": [
                    {"Effect": "Deny", "Action": "iot:*", "Resource": "*"}]});
                let version = json!({"policyName": way, "policyDocument": nothing.to_string(), "setAsDefault": true});
                house.bench.ok("CreatePolicyVersion", version).await;
            }
            status => {
                let update = json!({"certificateId": answer["certificateId"], "newStatus": status});
                house.bench.ok("UpdateCertificate", update).await;
            }
        }
        closed(&mut stream).await;
    }
    bystander.write_all(&[0xc0, 0]).await.unwrap();
    let mut pong = [0; 2];
    tokio::time::timeout(DEADLINE, bystander.read_exact(&mut pong)).await.unwrap().unwrap();
    assert_eq!(pong, [0xd0, 0]);
}
