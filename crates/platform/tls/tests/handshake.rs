//! Handshakes over real sockets, with certificates of many makers and with `openssl s_client` as a stranger.

use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use marram_pki::{CertificateAuthority, CertificateId, Validity, pem};
use marram_tls::{
    AcceptError, Accepted, Acceptor, AcceptorOptions, ClientIdentity, ClientOptions, Connector, HandshakeGate,
    HandshakeLimits, Listener, Plane, ServerCertificate, ServerStream,
};
use rustls::NamedGroup;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const DAY: i64 = 86_400;
/// Error of a handshake that never began because `openssl` did not take its own flags.
const CLIENT_REFUSED: &str = "the client refused its own flags";

/// Whether the server, and not the client, ended the handshake.
fn refused_by_server(answer: &Result<Accepted<TcpStream>, AcceptError>) -> bool {
    matches!(answer, Err(AcceptError::Handshake(error)) if error.to_string() != CLIENT_REFUSED)
}

/// Longest a single handshake of a test may take.
const PATIENCE: Duration = Duration::from_secs(20);

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

fn openssl(dir: &Path, line: &str) {
    let output = Command::new("openssl")
        .args(line.split_whitespace())
        .current_dir(dir)
        .output()
        .expect("these tests need the openssl program");
    assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
}

struct Bench {
    dir: tempfile::TempDir,
    ca: CertificateAuthority,
    certificate: ServerCertificate,
    gate: Arc<HandshakeGate>,
}

impl Bench {
    fn new() -> Self {
        Self::with_limits(HandshakeLimits::default())
    }

    fn with_limits(limits: HandshakeLimits) -> Self {
        let ca = CertificateAuthority::create("test CA", Validity::starting(now(), 30 * DAY)).unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let server = ca.issue_server(&names, Validity::starting(now(), DAY)).unwrap();
        Self {
            dir: tempfile::tempdir().unwrap(),
            certificate: ServerCertificate::from_pem(&server.chain_pem, &server.key_pem).unwrap(),
            gate: HandshakeGate::new(limits),
            ca,
        }
    }

    fn acceptor(&self, listener: Listener, options: AcceptorOptions) -> Acceptor {
        Acceptor::new(listener, &self.certificate, options, Arc::clone(&self.gate))
    }

    fn connector(&self, identity: Option<ClientIdentity>, alpn: &[&str]) -> Connector {
        Connector::new(ClientOptions {
            roots_pem: self.ca.certificate_pem(),
            identity,
            alpn: alpn.iter().map(|name| name.as_bytes().to_vec()).collect(),
        })
        .unwrap()
    }

    /// A device certificate of our own CA.
    fn device(&self) -> ClientIdentity {
        let pair = marram_pki::DeviceKeyPair::generate().unwrap();
        let leaf = self.ca.issue_device(pair.public_key(), Validity::starting(now(), DAY)).unwrap();
        ClientIdentity { chain_pem: pem::encode_certificate(leaf.der()), key_pem: pair.private_pem().to_owned() }
    }

    /// Runs one handshake of ours against ours; the server's answer.
    async fn shake(
        &self,
        acceptor: &Acceptor,
        connector: Connector,
        host: &'static str,
    ) -> Result<Accepted<TcpStream>, AcceptError> {
        let (listener, address) = listen().await;
        let client = tokio::spawn(async move {
            let socket = TcpStream::connect(address).await.unwrap();
            let mut stream = connector.connect(host, socket).await.ok()?;
            let mut end = Vec::new();
            let _ = stream.read_to_end(&mut end).await;
            Some(())
        });
        let (socket, _) = listener.accept().await.unwrap();
        let answer = tokio::time::timeout(PATIENCE, acceptor.accept_tcp(socket)).await.expect("a handshake hangs");
        client.abort();
        answer
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// SEC-31: certificates of every recipe in the guides prove their key, v1 included, over TLS 1.2 and 1.3, against a
/// CA nobody knows; the fingerprint is handed on for the registry to judge.
#[tokio::test]
async fn foreign_certificates_prove_possession() {
    let bench = Bench::new();
    let dir = bench.dir.path();
    fs::write(dir.join("roots.pem"), bench.ca.certificate_pem()).unwrap();
    openssl(dir, "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=maker -days 10");
    let keys = [
        ("rsa:2048", "-sha256"),
        ("rsa:3072", "-sha384"),
        ("rsa:4096", "-sha512"),
        ("ec -pkeyopt ec_paramgen_curve:P-256", "-sha256"),
        ("ec -pkeyopt ec_paramgen_curve:P-384", "-sha384"),
        ("ec -pkeyopt ec_paramgen_curve:P-521", "-sha512"),
    ];
    fs::write(dir.join("v3.ext"), "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n").unwrap();
    let acceptor = bench.acceptor(Listener::DeviceMqtt, AcceptorOptions::default());
    for (key, digest) in keys {
        for extensions in ["", "-extfile v3.ext"] {
            openssl(dir, &format!("req -new -newkey {key} -nodes -keyout d.key -out d.csr -subj /CN=device"));
            openssl(
                dir,
                &format!(
                    "x509 -req -in d.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out d.pem -days 5 {digest} {extensions}"
                ),
            );
            let der = pem::certificate(&fs::read_to_string(dir.join("d.pem")).unwrap()).unwrap();
            for version in ["-tls1_2", "-tls1_3"] {
                let accepted = s_client(dir, &acceptor, &format!("{version} -cert d.pem -key d.key"))
                    .await
                    .unwrap_or_else(|error| panic!("{key} {digest} {extensions} {version}: {error:?}"));
                let certificate = accepted.peer.client_certificate.expect("a device plane has a certificate");
                assert_eq!(certificate.id, CertificateId::of_der(&der));
                assert_eq!(accepted.peer.version, if version == "-tls1_2" { "TLSv1.2" } else { "TLSv1.3" });
            }
        }
    }
}

/// SEC-24, SEC-31: no certificate, an expired one, one of the future, a weak key and a key that is not the
/// certificate's all end in the handshake.
#[tokio::test]
async fn devices_without_proof_are_refused() {
    let bench = Bench::new();
    let acceptor = bench.acceptor(Listener::DeviceMqtt, AcceptorOptions::default());
    let pair = marram_pki::DeviceKeyPair::generate().unwrap();
    let other = marram_pki::DeviceKeyPair::generate().unwrap();
    let issue = |not_before: i64, not_after: i64, key_pem: &str| {
        let leaf = bench.ca.issue_device(pair.public_key(), Validity { not_before, not_after }).unwrap();
        ClientIdentity { chain_pem: pem::encode_certificate(leaf.der()), key_pem: key_pem.to_owned() }
    };
    let cases = [
        ("expired", issue(now() - 2 * DAY, now() - DAY, pair.private_pem())),
        ("not yet valid", issue(now() + DAY, now() + 2 * DAY, pair.private_pem())),
    ];
    for (name, identity) in cases {
        let (chain_pem, key_pem) = (identity.chain_pem, identity.key_pem);
        let connector = || {
            let identity = ClientIdentity { chain_pem: chain_pem.clone(), key_pem: key_pem.clone() };
            bench.connector(Some(identity), &[])
        };
        let answer = bench.shake(&acceptor, connector(), "localhost").await;
        assert!(matches!(answer, Err(AcceptError::Handshake(_))), "{name}: {answer:?}");
        // The listener of devices: rustls holds the rest of the client's flight when it refuses the certificate.
        let (listener, address) = listen().await;
        let client = async {
            let socket = TcpStream::connect(address).await.unwrap();
            let mut stream = connector().connect("localhost", socket).await.unwrap();
            stream.read_u8().await.unwrap_err().to_string()
        };
        let server = async { acceptor.accept_lean(listener.accept().await.unwrap().0).await };
        let both = async { tokio::join!(client, server) };
        let (told, answer) = tokio::time::timeout(PATIENCE, both).await.expect("a handshake hangs");
        assert!(matches!(answer, Err(AcceptError::Handshake(_))), "{name}: {answer:?}");
        assert!(told.contains("alert"), "{name}: the client is told: {told}");
    }
    let answer = bench.shake(&acceptor, bench.connector(None, &[]), "localhost").await;
    assert!(matches!(answer, Err(AcceptError::Handshake(_))), "no certificate: {answer:?}");

    let leaf = issue(now() - DAY, now() + DAY, pair.private_pem());
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let answer = shake_with_key(&bench, &acceptor, version, &leaf.chain_pem, pair.private_pem()).await;
        assert!(answer.is_ok(), "{version:?}, right key: {answer:?}");
        let answer = shake_with_key(&bench, &acceptor, version, &leaf.chain_pem, other.private_pem()).await;
        assert!(matches!(answer, Err(AcceptError::Handshake(_))), "{version:?}, wrong key: {answer:?}");
    }

    let dir = bench.dir.path();
    fs::write(dir.join("roots.pem"), bench.ca.certificate_pem()).unwrap();
    openssl(dir, "req -x509 -newkey rsa:1024 -nodes -keyout weak.key -out weak.pem -subj /CN=weak -days 5");
    let answer = s_client(dir, &acceptor, "-tls1_2 -cipher DEFAULT@SECLEVEL=0 -cert weak.pem -key weak.key").await;
    assert!(refused_by_server(&answer), "weak key: {answer:?}");
}

/// A client that shows `chain_pem` and signs with `key_pem`, whether or not they belong together.
async fn shake_with_key(
    bench: &Bench,
    acceptor: &Acceptor,
    version: &'static rustls::SupportedProtocolVersion,
    chain_pem: &str,
    key_pem: &str,
) -> Result<Accepted<TcpStream>, AcceptError> {
    use rustls::sign::{CertifiedKey, SingleCertAndKey};
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = provider.key_provider.load_private_key(pem::private_key(key_pem).unwrap()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(pem::certificate(&bench.ca.certificate_pem()).unwrap()).unwrap();
    let pair = CertifiedKey::new(pem::certificates(chain_pem).unwrap(), key);
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
    let (listener, address) = listen().await;
    let client = tokio::spawn(async move {
        let socket = TcpStream::connect(address).await.unwrap();
        let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
        let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, socket).await.ok()?;
        stream.read_u8().await.ok()
    });
    let (socket, _) = listener.accept().await.unwrap();
    let answer = tokio::time::timeout(PATIENCE, acceptor.accept_tcp(socket)).await.expect("a handshake hangs");
    client.abort();
    answer
}

/// CP 1.8, 5.1: on the API port ALPN or the server name chooses the plane; only device planes ask for a certificate.
#[tokio::test]
async fn alpn_and_server_name_choose_the_plane() {
    type Case<'a> = (&'a [&'a str], Plane, Option<&'a [u8]>);
    let bench = Bench::new();
    let options =
        AcceptorOptions { device_names: HashSet::from(["device.localhost".to_owned()]), ..AcceptorOptions::default() };
    let api = bench.acceptor(Listener::Api, options.clone());
    let cases: [Case<'_>; 6] = [
        (&[], Plane::Api, None),
        (&["h2", "http/1.1"], Plane::Api, Some(b"http/1.1")),
        (&["x-amzn-mqtt-ca"], Plane::DeviceMqtt, Some(b"x-amzn-mqtt-ca")),
        (&["mqtt"], Plane::DeviceMqtt, Some(b"mqtt")),
        (&["x-amzn-http-ca"], Plane::DeviceHttps, Some(b"x-amzn-http-ca")),
        (&["x-amzn-http-ca", "http/1.1"], Plane::DeviceHttps, Some(b"x-amzn-http-ca")),
    ];
    for (alpn, plane, chosen) in cases {
        let accepted = bench
            .shake(&api, bench.connector(Some(bench.device()), alpn), "localhost")
            .await
            .unwrap_or_else(|error| panic!("{alpn:?}: {error:?}"));
        assert_eq!(accepted.plane, plane, "{alpn:?}");
        assert_eq!(accepted.peer.alpn.as_deref(), chosen, "{alpn:?}");
        assert_eq!(accepted.peer.client_certificate.is_some(), plane != Plane::Api, "{alpn:?}");
        assert_eq!(accepted.peer.server_name.as_deref(), Some("localhost"));
    }
    // A name that the certificate does not carry is the client's to refuse, so ask with openssl.
    let dir = bench.dir.path();
    fs::write(dir.join("roots.pem"), bench.ca.certificate_pem()).unwrap();
    let device = bench.device();
    fs::write(dir.join("d.pem"), &device.chain_pem).unwrap();
    fs::write(dir.join("d.key"), &device.key_pem).unwrap();
    let accepted = s_client(dir, &api, "-servername Device.Localhost -cert d.pem -key d.key").await.unwrap();
    assert_eq!(accepted.plane, Plane::DeviceHttps);
    let mqtt = bench.acceptor(Listener::DeviceMqtt, AcceptorOptions::default());
    assert!(s_client(dir, &mqtt, "-alpn h2 -cert d.pem -key d.key").await.is_err(), "h2 on the MQTT port");
}

/// SEC-21: with names configured, another name is refused with an alert, and a missing one when names are required.
#[tokio::test]
async fn server_names_are_enforced_when_configured() {
    let bench = Bench::new();
    let dir = bench.dir.path();
    fs::write(dir.join("roots.pem"), bench.ca.certificate_pem()).unwrap();
    let named = AcceptorOptions { server_names: HashSet::from(["localhost".to_owned()]), ..AcceptorOptions::default() };
    let strict = AcceptorOptions { require_server_name: true, ..named.clone() };
    let cases = [
        (&named, "-servername localhost", true),
        (&named, "-servername elsewhere", false),
        (&named, "-noservername", true),
        (&strict, "-servername localhost", true),
        (&strict, "-noservername", false),
    ];
    for (options, flags, served) in cases {
        let acceptor = bench.acceptor(Listener::Api, options.clone());
        let answer = s_client(dir, &acceptor, flags).await;
        match served {
            true => assert!(answer.is_ok(), "{flags}: {answer:?}"),
            false => assert!(matches!(answer, Err(AcceptError::ServerName)), "{flags}: {answer:?}"),
        }
    }
}

/// SEC-23, SEC-24: every listed version and suite connects, no other does.
#[tokio::test]
async fn only_the_listed_suites_connect() {
    let bench = Bench::new();
    let dir = bench.dir.path();
    fs::write(dir.join("roots.pem"), bench.ca.certificate_pem()).unwrap();
    let ecdsa = bench.acceptor(Listener::Api, AcceptorOptions::default());
    openssl(dir, "req -x509 -newkey rsa:2048 -nodes -keyout rsa.key -out rsa.pem -subj /CN=localhost -days 5");
    let rsa_certificate = ServerCertificate::from_pem(
        &fs::read_to_string(dir.join("rsa.pem")).unwrap(),
        &fs::read_to_string(dir.join("rsa.key")).unwrap(),
    )
    .unwrap();
    let rsa = Acceptor::new(Listener::Api, &rsa_certificate, AcceptorOptions::default(), Arc::clone(&bench.gate));

    let tls13 = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
    for suite in tls13 {
        let accepted = s_client(dir, &ecdsa, &format!("-tls1_3 -ciphersuites {suite}")).await.unwrap();
        assert_eq!(accepted.peer.cipher_suite, suite);
    }
    let tls12 = [
        (&ecdsa, "ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
        (&ecdsa, "ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
        (&ecdsa, "ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
        (&rsa, "ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        (&rsa, "ECDHE-RSA-AES256-GCM-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
        (&rsa, "ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
    ];
    let offered: HashSet<&str> = tls12.iter().map(|(_, suite, _)| *suite).collect();
    for (acceptor, suite, iana) in tls12 {
        let accepted = s_client(dir, acceptor, &format!("-tls1_2 -cipher {suite}")).await.unwrap();
        assert_eq!((accepted.peer.cipher_suite, accepted.peer.version), (iana, "TLSv1.2"));
    }

    // Everything else this openssl can speak, at its lowest security level.
    let all =
        Command::new("openssl").args(["ciphers", "-s", "-tls1_2", "ALL:COMPLEMENTOFALL@SECLEVEL=0"]).output().unwrap();
    let all = String::from_utf8(all.stdout).unwrap();
    let refused: Vec<&str> = all.trim().split(':').filter(|suite| !offered.contains(suite)).collect();
    assert!(refused.len() > 20, "this openssl knows too few suites for the test to mean anything: {all}");
    let mut by_server = 0;
    for suite in refused {
        for acceptor in [&ecdsa, &rsa] {
            let answer = s_client(dir, acceptor, &format!("-tls1_2 -cipher {suite}@SECLEVEL=0")).await;
            assert!(answer.is_err(), "{suite} connected");
            by_server += usize::from(refused_by_server(&answer));
        }
    }
    assert!(by_server > 40, "openssl refused most suites itself: {by_server} reached the server");
    for suite in ["TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"] {
        let answer = s_client(dir, &ecdsa, &format!("-tls1_3 -ciphersuites {suite}")).await;
        assert!(refused_by_server(&answer), "{suite}: {answer:?}");
    }
    for version in ["-tls1", "-tls1_1"] {
        let answer = s_client(dir, &ecdsa, &format!("{version} -cipher ALL@SECLEVEL=0")).await;
        assert!(refused_by_server(&answer), "{version}: {answer:?}");
    }
}

/// SEC-25: between two of ours the keys are agreed on with the hybrid group, and a stranger without it still connects.
#[tokio::test]
async fn the_hybrid_group_comes_first() {
    let bench = Bench::new();
    let api = bench.acceptor(Listener::Api, AcceptorOptions::default());
    let group =
        |stream: &ServerStream<TcpStream>| stream.get_ref().1.negotiated_key_exchange_group().map(|group| group.name());
    let ours = bench.shake(&api, bench.connector(None, &[]), "localhost").await.unwrap();
    assert_eq!(group(&ours.stream), Some(NamedGroup::X25519MLKEM768));
    fs::write(bench.dir.path().join("roots.pem"), bench.ca.certificate_pem()).unwrap();
    for (flags, wanted) in [
        ("-groups X25519", NamedGroup::X25519),
        ("-groups P-256", NamedGroup::secp256r1),
        ("-groups P-384", NamedGroup::secp384r1),
    ] {
        let stranger = s_client(bench.dir.path(), &api, flags).await.unwrap();
        assert_eq!(group(&stranger.stream), Some(wanted), "{flags}");
    }
}

/// SEC-35: handshakes after a swap see the new certificate, connections from before go on.
#[tokio::test]
async fn a_certificate_swap_keeps_live_connections() {
    let bench = Bench::new();
    let acceptor = bench.acceptor(Listener::Api, AcceptorOptions::default());
    let connector = bench.connector(None, &[]);
    let (listener, address) = listen().await;
    let connect = |connector: Connector| async move {
        let socket = TcpStream::connect(address).await.unwrap();
        connector.connect("localhost", socket).await
    };
    let first = tokio::spawn(connect(connector.clone()));
    let (socket, _) = listener.accept().await.unwrap();
    let mut server_side = acceptor.accept_tcp(socket).await.unwrap();
    let mut client_side = first.await.unwrap().unwrap();
    let serial = |stream: &marram_tls::ClientStream<TcpStream>| {
        let leaf = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
        marram_pki::Certificate::from_der(&leaf).unwrap().serial_hex().to_owned()
    };
    let old = serial(&client_side);

    let fresh = bench.ca.issue_server(&["localhost".to_owned()], Validity::starting(now(), DAY)).unwrap();
    bench.certificate.replace(&fresh.chain_pem, &fresh.key_pem).unwrap();
    assert!(bench.certificate.replace("no certificate", &fresh.key_pem).is_err());

    let second = tokio::spawn(connect(connector));
    let (socket, _) = listener.accept().await.unwrap();
    let _later = acceptor.accept_tcp(socket).await.unwrap();
    assert_ne!(serial(&second.await.unwrap().unwrap()), old);

    client_side.write_all(b"still here").await.unwrap();
    let mut heard = [0; 10];
    tokio::time::timeout(PATIENCE, server_side.stream.read_exact(&mut heard)).await.unwrap().unwrap();
    assert_eq!(&heard, b"still here");
}

/// SEC 12.2: a peer that does not finish is cut, and takes its place only until then; more strangers than places are
/// turned away at once.
#[tokio::test]
async fn stalled_handshakes_are_cut_and_counted() {
    let limits = HandshakeLimits {
        handshake_timeout: Duration::from_millis(200),
        max_unauthenticated: 2,
        ..HandshakeLimits::default()
    };
    let bench = Bench::with_limits(limits);
    let acceptor = bench.acceptor(Listener::Api, AcceptorOptions::default());
    let (listener, address) = listen().await;
    let mut silent = Vec::new();
    let mut pending = Vec::new();
    for _ in 0..2 {
        silent.push(TcpStream::connect(address).await.unwrap());
        let (socket, _) = listener.accept().await.unwrap();
        let acceptor = acceptor.clone();
        pending.push(tokio::spawn(async move { acceptor.accept_tcp(socket).await.map(|_| ()) }));
    }
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while bench.gate.unauthenticated() < 2 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    silent.push(TcpStream::connect(address).await.unwrap());
    let (socket, _) = listener.accept().await.unwrap();
    assert!(matches!(acceptor.accept_tcp(socket).await, Err(AcceptError::TooManyPending)));
    for task in pending {
        assert!(matches!(task.await.unwrap(), Err(AcceptError::Timeout)));
    }
    assert_eq!(bench.gate.unauthenticated(), 0);
}

/// One handshake of `openssl s_client` with these flags; the server's answer.
async fn s_client(dir: &Path, acceptor: &Acceptor, flags: &str) -> Result<Accepted<TcpStream>, AcceptError> {
    let (listener, address) = listen().await;
    let mut client = Command::new("openssl")
        .args(["s_client", "-connect", &address.to_string(), "-CAfile", "roots.pem", "-quiet"])
        .args(flags.split_whitespace())
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("these tests need the openssl program");
    // A client that refuses its own flags never connects.
    let answer = match tokio::time::timeout(PATIENCE, wait_for(&listener, &mut client)).await {
        Ok(Some(socket)) => {
            tokio::time::timeout(PATIENCE, acceptor.accept_tcp(socket)).await.expect("a handshake hangs")
        }
        Ok(None) => Err(AcceptError::Handshake(std::io::Error::other(CLIENT_REFUSED))),
        Err(_) => panic!("s_client {flags} neither connects nor ends"),
    };
    let _ = client.kill();
    let _ = client.wait();
    answer
}

async fn wait_for(listener: &TcpListener, client: &mut std::process::Child) -> Option<TcpStream> {
    loop {
        if let Ok(accepted) = tokio::time::timeout(Duration::from_millis(20), listener.accept()).await {
            return Some(accepted.unwrap().0);
        }
        if client.try_wait().unwrap().is_some() {
            return None;
        }
    }
}
