//! Keys in a SoftHSM token: TLS handshakes, certificates, wrapping keys. `tools/ready` installs SoftHSM.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use marram_device_keys::{KeyUri, ObjectType, Pkcs11Settings, Provider, TokenError, TokenKey, Trial, try_out};
use marram_pki::{CertificateAuthority, PublicKey, Validity, pem};
use marram_tls::{
    Acceptor, AcceptorOptions, ClientOptions, Connector, HandshakeGate, HandshakeLimits, Listener, RemoteIdentity,
    RemoteKey, ServerCertificate, SignatureScheme,
};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

const LIBRARIES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
];
const PIN: &str = "4711";

fn library() -> PathBuf {
    LIBRARIES
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
        .expect("SoftHSM is not installed: run tools/ready (package softhsm2)")
}

/// One token for the process, because the library reads its configuration once.
struct Token {
    slot: u64,
    dir: tempfile::TempDir,
}

fn run(program: &str, conf: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .env("SOFTHSM2_CONF", conf)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}: run tools/ready"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Token {
    fn conf(&self) -> PathBuf {
        self.dir.path().join("softhsm2.conf")
    }

    /// Makes a key of this kind with OpenSSL and puts it into the token under `label`; answers its public half.
    fn key(&self, label: &str, id: &str, openssl: &[&str]) -> PublicKey {
        let path = |name: &str| self.dir.path().join(format!("{label}.{name}")).display().to_string();
        let (private, public) = (path("pem"), path("der"));
        let mut arguments = vec!["genpkey"];
        arguments.extend(openssl);
        arguments.extend(["-out", &private]);
        run("openssl", &self.conf(), &arguments);
        run("openssl", &self.conf(), &["pkey", "-in", &private, "-pubout", "-outform", "DER", "-out", &public]);
        let slot = self.slot.to_string();
        run(
            "softhsm2-util",
            &self.conf(),
            &["--import", &private, "--slot", &slot, "--label", label, "--id", id, "--pin", PIN],
        );
        PublicKey::from_spki_der(&std::fs::read(public).unwrap()).unwrap()
    }
}

/// The test process must have been started with `SOFTHSM2_CONF`, because a process cannot change its own environment
/// safely; so every test runs in a child of its own.
fn in_child(test: &str, body: impl FnOnce(&Token)) {
    const SLOT: &str = "MARRAM_TEST_SLOT";
    if let (Ok(slot), Some(conf)) = (std::env::var(SLOT), std::env::var_os("SOFTHSM2_CONF")) {
        static TOKEN: OnceLock<()> = OnceLock::new();
        TOKEN.set(()).expect("one test a process");
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(conf, dir.path().join("softhsm2.conf")).unwrap();
        return body(&Token { slot: slot.parse().unwrap(), dir });
    }
    library();
    let dir = tempfile::tempdir().unwrap();
    let (conf, tokens) = (dir.path().join("softhsm2.conf"), dir.path().join("tokens"));
    std::fs::create_dir(&tokens).unwrap();
    std::fs::write(&conf, format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display())).unwrap();
    let said =
        run("softhsm2-util", &conf, &["--init-token", "--free", "--label", "marram", "--so-pin", "1234", "--pin", PIN]);
    let slot = said.rsplit("slot ").next().and_then(|rest| rest.split_whitespace().next()).unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("SOFTHSM2_CONF", &conf)
        .env(SLOT, slot)
        .status()
        .unwrap();
    assert!(status.success(), "{test} failed in its child");
}

fn settings(token: &Token, pin: &str) -> Pkcs11Settings {
    let configuration = serde_json::json!({
        "name": "softhsm", "library": library(), "slot": token.slot.to_string(), "userPin": pin,
    });
    Pkcs11Settings::from_configuration(&configuration, None).unwrap()
}

fn uri(label: &str) -> KeyUri {
    KeyUri::parse(&format!("pkcs11:object={label};type=private"), ObjectType::Private).unwrap()
}

const KINDS: [(&str, &[&str]); 4] = [
    ("rsa2048", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
    ("rsa3072", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"]),
    ("p256", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
    ("p384", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
];

/// SEC-52: a core whose key is in a token shows its certificate and proves it, with every kind of key; a token without PSS
/// is served by TLS 1.2. The server learns the same identity as with a key in a file.
#[test]
fn a_key_in_a_token_proves_the_device() {
    in_child("a_key_in_a_token_proves_the_device", |token| {
        let provider = {
            let keys: Vec<_> = KINDS
                .iter()
                .zip(10..)
                .map(|((label, kind), id)| (*label, token.key(label, &id.to_string(), kind)))
                .collect();
            let provider = Provider::open(&settings(token, PIN)).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            for (label, public) in &keys {
                let key = provider.key(&uri(label)).unwrap();
                assert_eq!(runtime.block_on(handshake(label, key.clone(), public)), "TLSv1.3", "{label}");
                if label.starts_with("rsa") {
                    assert_eq!(runtime.block_on(handshake(label, WithoutPss(key), public)), "TLSv1.2", "{label}");
                }
            }
            provider
        };
        let refused = provider.key(&uri("p256")).unwrap().wrapping_key(&[1; 32]).unwrap_err();
        assert!(matches!(refused, TokenError::Token { .. }), "an EC key without the right to derive");
        allow_derivation(token);
        wrapping_keys(&provider);
    });
}

/// A token that knows PKCS#1 v1.5 padding only.
#[derive(Debug)]
struct WithoutPss(TokenKey);

impl RemoteKey for WithoutPss {
    fn schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::RsaPkcs1Sha256, SignatureScheme::RsaPkcs1Sha384, SignatureScheme::RsaPkcs1Sha512]
    }
    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, String> {
        self.0.sign(scheme, message)
    }
}

/// The version of TLS that was agreed on.
async fn handshake(label: &str, key: impl RemoteKey + 'static, public: &PublicKey) -> &'static str {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().cast_signed();
    let ca = CertificateAuthority::create("test CA", Validity::starting(now - 60, 86_400)).unwrap();
    let server = ca.issue_server(&["localhost".to_owned()], Validity::starting(now - 60, 3600)).unwrap();
    let leaf = ca.issue_device(public, Validity::starting(now - 60, 3600)).unwrap();
    let certificate = ServerCertificate::from_pem(&server.chain_pem, &server.key_pem).unwrap();
    let gate = HandshakeGate::new(HandshakeLimits::default());
    let acceptor = Acceptor::new(Listener::DeviceMqtt, &certificate, AcceptorOptions::default(), gate);
    let identity = RemoteIdentity { chain_pem: pem::encode_certificate(leaf.der()), key: Arc::new(key) };
    let options = ClientOptions { roots_pem: ca.certificate_pem(), ..ClientOptions::default() };
    let connector = Connector::with_remote_identity(options, &identity).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = tokio::spawn(async move {
        let socket = TcpStream::connect(address).await.unwrap();
        let mut stream = connector.connect("localhost", socket).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let (socket, _) = listener.accept().await.unwrap();
    let accepted = acceptor.accept_tcp(socket).await.unwrap_or_else(|error| panic!("{label}: {error:?}"));
    let shown = accepted.peer.client_certificate.as_ref().expect("a client certificate");
    assert_eq!(shown.id, leaf.id(), "{label}");
    client.abort();
    accepted.peer.version
}

/// Imported keys may only sign; a provisioned one may derive as well.
fn allow_derivation(token: &Token) {
    use cryptoki::context::Pkcs11;
    use cryptoki::object::{Attribute, ObjectClass};
    let session = Pkcs11::new(library()).unwrap().open_rw_session(token.slot.try_into().unwrap()).unwrap();
    for label in ["p256", "p384"] {
        let template = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Label(label.into())];
        for key in session.find_objects(&template).unwrap() {
            session.update_attributes(key, &[Attribute::Derive(true)]).unwrap();
        }
    }
}

/// SEC-169: a wrapping key depends on key and salt alone, and EC keys have one too.
fn wrapping_keys(provider: &Provider) {
    let mut seen = Vec::new();
    for (label, _) in KINDS {
        let key = provider.key(&uri(label)).unwrap();
        for salt in [[1; 32], [2; 32]] {
            let first = key.wrapping_key(&salt).unwrap();
            assert_eq!(first, provider.key(&uri(label)).unwrap().wrapping_key(&salt).unwrap(), "{label}");
            assert!(!seen.contains(&first), "{label}");
            seen.push(first);
        }
    }
}

/// CC 11: what is missing or wrong is named.
#[test]
fn wrong_pins_labels_and_slots_are_refused() {
    in_child("wrong_pins_labels_and_slots_are_refused", |token| {
        token.key("p256", "01", KINDS[2].1);
        assert!(matches!(Provider::open(&settings(token, "0000")), Err(TokenError::Pin(_))));
        let provider = Provider::open(&settings(token, PIN)).unwrap();
        provider.key(&uri("p256")).unwrap();
        let missing = provider.key(&uri("absent")).unwrap_err();
        assert_eq!(missing.to_string(), "the token holds no private key with the label `absent`");
        let other = KeyUri { slot: Some(token.slot + 1), ..uri("p256") };
        assert!(matches!(provider.key(&other), Err(TokenError::OtherSlot { .. })));
        let certificate = KeyUri::parse("pkcs11:object=p256;type=cert", ObjectType::Certificate).unwrap();
        assert!(matches!(provider.certificate_pem(&certificate), Err(TokenError::Missing { .. })));
        let unequal = KeyUri { label: "other".to_owned(), ..certificate };
        assert!(matches!(provider.identity(&uri("p256"), &unequal), Err(TokenError::Labels { .. })));
    });
}

/// CC 11: what is tried before it is taken is refused in words for people, without the PIN; what is right is taken.
#[test]
fn a_token_is_tried() {
    in_child("a_token_is_tried", |token| {
        let certificate = |label: &str| {
            let path = |name: &str| token.dir.path().join(format!("{label}.{name}")).display().to_string();
            let made = ["req", "-x509", "-new", "-key", &path("pem"), "-subj", "/CN=core", "-out", &path("crt")];
            run("openssl", &token.conf(), &made);
            std::fs::read_to_string(path("crt")).unwrap()
        };
        token.key("p256", "01", KINDS[2].1);
        token.key("rsa2048", "02", KINDS[0].1);
        let (own, other) = (certificate("p256"), certificate("rsa2048"));
        let right = || serde_json::json!({"name": "hsm", "library": library(), "slot": token.slot, "userPin": PIN});
        let with = |key: &str, value: serde_json::Value| {
            let mut configuration = right();
            configuration[key] = value;
            configuration
        };
        let key = "pkcs11:object=p256;type=private";
        #[rustfmt::skip]
        let table = [
            (with("library", "lib.so".into()), key, &own, "library must be an absolute path".to_owned()),
            (with("library", "/nowhere/lib.so".into()), key, &own, "there is no library /nowhere/lib.so".to_owned()),
            (with("slot", serde_json::Value::Null), key, &own, "slot is missing or of the wrong type".to_owned()),
            (with("slot", 987_654.into()), key, &own, "the library knows no slot 987654".to_owned()),
            (with("userPin", "wr0ng".into()), key, &own, "the token does not take userPin (it was tried once, because tokens lock)".to_owned()),
            (right(), "pkcs11:object=absent;type=private", &own, "the token holds no private key with the label `absent`".to_owned()),
            (right(), key, &other, "the key in the token is not the one that the certificate was issued for".to_owned()),
        ];
        for (configuration, key, certificate, why) in table {
            let trial = Trial { configuration: &configuration, credentials: None, key: Some(key), certificate };
            assert_eq!(try_out(&trial), Err(why), "{configuration}");
        }
        for (key, certificate) in [(key, &own), ("pkcs11:object=rsa2048;type=private", &other)] {
            let trial = Trial { configuration: &right(), credentials: None, key: Some(key), certificate };
            assert_eq!(try_out(&trial), Ok(None));
        }
        let unused = Trial { configuration: &right(), credentials: None, key: None, certificate: "" };
        assert_eq!(try_out(&unused), Ok(None), "a key in a file");
    });
}
