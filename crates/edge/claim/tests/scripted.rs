//! A claim against a broker that answers by script, cut short at every step.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use marram_broker::{
    Authenticating, Authenticator, Broker, BrokerOptions, Denied, FullAuthority, Interception, Interceptor, Message,
    Origin, PeerInfo, Ports, SessionAuthority, Tenant,
};
use marram_claim::{Claim, ClaimError, ClaimSettings, SettingsError};
use marram_mqtt::{Connect, QoS, Topic};
use marram_mqtt_net::listen_tls;
use marram_pki::{CertificateAuthority, DeviceKeyPair, RequestedKey, SigningRequest, Validity, pem};
use marram_tls::{Acceptor, AcceptorOptions, HandshakeGate, HandshakeLimits, Listener, ServerCertificate};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

struct AnyCertificate;

impl Authenticator for AnyCertificate {
    fn authenticate<'a>(&'a self, peer: &'a PeerInfo, _: &'a Connect) -> Authenticating<'a> {
        Box::pin(async move {
            let id = peer.fingerprint.ok_or(Denied::NotAuthorized)?.to_string();
            Ok(FullAuthority::new(Tenant::new("a"), &id) as Arc<dyn SessionAuthority>)
        })
    }
}

/// Issues certificates and keeps what it was asked.
struct Control {
    authority: Arc<CertificateAuthority>,
    asked: Mutex<Vec<(String, Value)>>,
    tokens: AtomicU32,
    /// The next `provision` requests that are refused.
    refuse: AtomicU32,
}

impl Interceptor for Control {
    fn publish(&self, origin: Origin, message: &Message) -> Interception {
        let body: Value = serde_json::from_slice(&message.payload).unwrap();
        let topic = message.topic.to_string();
        self.asked.lock().unwrap().push((topic.clone(), body.clone()));
        let answer = if topic == "$aws/certificates/create-from-csr/json" {
            let request = SigningRequest::from_pem(body["certificateSigningRequest"].as_str().unwrap()).unwrap();
            let certificate = self.authority.issue_device(request.public_key(), day()).unwrap();
            let token = self.tokens.fetch_add(1, Ordering::SeqCst) + 1;
            Ok(
                json!({"certificateId": certificate.id().to_string(), "certificateOwnershipToken": format!("token-{token}"),
                      "certificatePem": pem::encode_certificate(certificate.der())}),
            )
        } else if self.refuse.load(Ordering::SeqCst) > 0 {
            self.refuse.fetch_sub(1, Ordering::SeqCst);
            Err(json!({"statusCode": 400, "errorCode": "InvalidCertificateOwnershipToken", "errorMessage": "no"}))
        } else {
            Ok(json!({"deviceConfiguration": {"a": "b"}, "thingName": "core-7"}))
        };
        let (kind, body) = match answer {
            Ok(body) => ("accepted", body),
            Err(body) => ("rejected", body),
        };
        let reply = Message::new(Topic::new(&format!("{topic}/{kind}")).unwrap(), body.to_string());
        origin.reply.deliver_privately(reply.with_qos(QoS::AtLeastOnce));
        Interception::Consumed
    }
}

fn day() -> Validity {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
    Validity::starting(now - 60, 86_400)
}

struct Site {
    control: Arc<Control>,
    dir: tempfile::TempDir,
    configuration: Value,
    _broker: Broker,
}

impl Site {
    async fn start() -> Self {
        let authority = Arc::new(CertificateAuthority::create("site", day()).unwrap());
        let server = authority.issue_server(&["localhost".to_owned()], day()).unwrap();
        let certificate = ServerCertificate::from_pem(&server.chain_pem, &server.key_pem).unwrap();
        let control = Arc::new(Control {
            authority: authority.clone(),
            asked: Mutex::default(),
            tokens: AtomicU32::new(0),
            refuse: AtomicU32::new(0),
        });
        let ports = Ports { authenticator: Arc::new(AnyCertificate), interceptor: Some(control.clone()), store: None };
        let broker = Broker::start(BrokerOptions::default(), ports).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let gate = HandshakeGate::new(HandshakeLimits::default());
        let acceptor = Acceptor::new(Listener::DeviceMqtt, &certificate, AcceptorOptions::default(), gate);
        tokio::spawn(listen_tls(listener, acceptor, broker.clone(), std::future::pending()));

        let dir = tempfile::tempdir().unwrap();
        let key = DeviceKeyPair::generate().unwrap();
        let claim = authority.issue_device(key.public_key(), day()).unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let configuration = json!({
            "rootPath": dir.path().join("root"), "awsRegion": "us-east-1", "iotDataEndpoint": "localhost",
            "iotCredentialEndpoint": "localhost", "iotRoleAlias": "alias", "provisioningTemplate": "fleet",
            "claimCertificatePath": write("claim.pem", &pem::encode_certificate(claim.der())),
            "claimCertificatePrivateKeyPath": format!("file://{}", write("claim.key", key.private_pem())),
            "rootCaPath": write("ca.pem", &authority.certificate_pem()),
            "templateParameters": {"SerialNumber": "7"}, "mqttPort": port, "deviceId": "device-7",
        });
        Self { control, dir, configuration, _broker: broker }
    }

    /// As after a restart.
    fn claim(&self) -> Claim {
        Claim::new(ClaimSettings::from_configuration(&self.configuration).unwrap())
    }

    fn asked(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut *self.control.asked.lock().unwrap())
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join("root").join(name)).unwrap()
    }
}

const CREATE: &str = "$aws/certificates/create-from-csr/json";
const PROVISION: &str = "$aws/provisioning-templates/fleet/provision/json";

/// CR 5.5: key and request are made on the device, the template is asked with its parameters, everything is at its place,
/// and the configuration says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_makes_a_device() {
    let site = Site::start().await;
    let claim = site.claim();
    let device = claim.attempt().await.unwrap();
    let asked = site.asked();
    assert_eq!(asked.iter().map(|(topic, _)| topic.as_str()).collect::<Vec<_>>(), [CREATE, PROVISION]);
    assert!(!asked[0].1.to_string().contains("PRIVATE KEY"));
    assert_eq!(asked[1].1, json!({"certificateOwnershipToken": "token-1", "parameters": {"SerialNumber": "7"}}));
    assert_eq!((device.thing_name.as_str(), &device.device_configuration), ("core-7", &json!({"a": "b"})));

    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&device.key_path).unwrap().permissions().mode() & 0o777, 0o600);
    let roots_pem = site.control.authority.certificate_pem();
    let identity =
        marram_tls::ClientIdentity { chain_pem: site.file("thingCert.crt"), key_pem: site.file("privKey.key") };
    let options = marram_tls::ClientOptions { roots_pem, identity: Some(identity), alpn: Vec::new() };
    marram_tls::Connector::new(options).expect("key and certificate fit each other");
    let configuration = device.configuration();
    assert_eq!(configuration["system"]["thingName"], "core-7");
    assert_eq!(configuration["services"]["aws.greengrass.Nucleus"]["configuration"]["iotRoleAlias"], "alias");

    assert_eq!(site.claim().attempt().await.unwrap(), device, "a restart before the configuration was written");
    assert!(site.asked().is_empty());
    claim.finish().unwrap();
    assert_eq!(std::fs::read_dir(site.dir.path().join("root/claim")).unwrap().count(), 0);
    assert!(device.key_path.exists());
}

/// CR 5.5: power may go after every step; the same key goes on, and a used token leads to another certificate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_goes_on_where_it_was() {
    let site = Site::start().await;
    site.control.refuse.store(1, Ordering::SeqCst);
    let refused = site.claim().attempt().await.unwrap_err();
    assert!(
        matches!(&refused, ClaimError::Refused { code, .. } if code == "InvalidCertificateOwnershipToken"),
        "{refused}"
    );
    let first = site.asked();
    let key = site.file("claim/privKey.key");
    // The kept token is tried first; when it is refused, another certificate is asked for in the same conversation.
    site.control.refuse.store(1, Ordering::SeqCst);
    site.claim().attempt().await.unwrap();
    let asked = site.asked();
    assert_eq!(asked.iter().map(|(topic, _)| topic.as_str()).collect::<Vec<_>>(), [PROVISION, CREATE, PROVISION]);
    assert_eq!(asked[0].1["certificateOwnershipToken"], "token-1");
    assert_eq!(asked[1].1, first[0].1, "the same request again");
    assert_eq!(asked[2].1["certificateOwnershipToken"], "token-2");
    assert_eq!(site.file("privKey.key"), key);

    // Cut before the outcome was written: the same again, without a new certificate.
    std::fs::remove_file(site.dir.path().join("root/claim/outcome.json")).unwrap();
    site.claim().attempt().await.unwrap();
    assert_eq!(site.asked().len(), 1);
    // Cut before the request was written: nobody has seen the key, a new one is made.
    for name in ["outcome.json", "request.csr"] {
        std::fs::remove_file(site.dir.path().join("root/claim").join(name)).unwrap();
    }
    site.claim().attempt().await.unwrap();
    assert_eq!(site.asked().len(), 2);
    assert_ne!(site.file("privKey.key"), key);
}

/// A proxy that wants a login: what it was asked for, and a way on to nobody else.
async fn proxy(to: u16, login: &str) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let (seen, wanted) = (Arc::clone(&asked), format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(login)));
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(near.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            seen.lock().unwrap().push(head.lines().next().unwrap().to_owned());
            if !head.contains(&wanted) {
                near.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await.unwrap();
                continue;
            }
            let mut far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
            tokio::spawn(async move { drop(tokio::io::copy_bidirectional(&mut near, &mut far).await) });
        }
    });
    (port, asked)
}

/// CR 5.5, 5.6: a device behind a proxy is provisioned through it, with its login; the TLS inside is the claim's own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_goes_through_a_proxy() {
    let mut site = Site::start().await;
    let broker = u16::try_from(site.configuration["mqttPort"].as_u64().unwrap()).unwrap();
    let (port, asked) = proxy(broker, "u:right").await;
    site.configuration["proxyUrl"] = json!(format!("http://localhost:{port}"));
    site.configuration["proxyUserName"] = json!("u");
    site.configuration["proxyPassword"] = json!("wrong");
    let refused = site.claim().attempt().await.unwrap_err();
    assert!(
        matches!(refused, ClaimError::Road(_)) && refused.to_string().contains("the proxy answered 407"),
        "{refused}"
    );
    site.configuration["proxyPassword"] = json!("right");
    assert_eq!(site.claim().attempt().await.unwrap().thing_name, "core-7");
    assert_eq!(*asked.lock().unwrap(), vec![format!("CONNECT localhost:{broker} HTTP/1.1"); 2]);
}

/// CR 5.5, 9.1: an operator's own request. A key that is not there, is readable by others, is none, or is that of another pair is named
/// with its member and path before anything is asked for; mended, the same claim goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_of_an_own_request_is_looked_at_first() {
    use std::os::unix::fs::PermissionsExt;
    let mut site = Site::start().await;
    let (request, key) = (site.dir.path().join("own.csr"), site.dir.path().join("own.key"));
    site.configuration["csrPath"] = json!(request);
    site.configuration["csrPrivateKeyPath"] = json!(format!("file://{}", key.display()));
    let own = RequestedKey::generate("own").unwrap();
    let other = RequestedKey::generate("other").unwrap();
    let rsa = DeviceKeyPair::generate().unwrap();
    let claim = site.claim();
    let put = |text: &str, mode: u32| {
        std::fs::write(&key, text).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let steps: [(&str, Option<(&str, u32)>, &str, &str); 7] = [
        ("garbage", None, "csrPath", "own.csr: "),
        (&own.request_pem, None, "csrPrivateKeyPath", "own.key cannot be read: No such file"),
        (
            &own.request_pem,
            Some((&own.private_pem, 0o644)),
            "csrPrivateKeyPath",
            "can be read by others (mode 0644); run `chmod go-rwx`",
        ),
        (
            &own.request_pem,
            Some((&own.request_pem, 0o600)),
            "csrPrivateKeyPath",
            "own.key is no private key that can be used",
        ),
        (
            &own.request_pem,
            Some((&other.private_pem, 0o600)),
            "csrPrivateKeyPath",
            "own.key is not the key of the request",
        ),
        (
            &own.request_pem,
            Some((rsa.private_pem(), 0o600)),
            "csrPrivateKeyPath",
            "own.key is not the key of the request",
        ),
        (
            &other.request_pem,
            Some((&own.private_pem, 0o600)),
            "csrPrivateKeyPath",
            "own.key is not the key of the request",
        ),
    ];
    for (request_pem, file, member, words) in steps {
        std::fs::write(&request, request_pem).unwrap();
        if let Some((text, mode)) = file {
            put(text, mode);
        }
        let error = claim.attempt().await.unwrap_err();
        let said = error.to_string();
        assert!(said.starts_with(&format!("{member}: ")) && said.contains(words), "{words}: {said}");
        assert!(matches!(error, ClaimError::OwnRequest { .. }) && site.asked().is_empty(), "{words}: {said}");
    }
    std::fs::write(&request, &own.request_pem).unwrap();
    let device = claim.attempt().await.unwrap();
    assert_eq!(site.asked().len(), 2);
    assert_eq!(device.key_path, key);
    let identity = marram_tls::ClientIdentity { chain_pem: site.file("thingCert.crt"), key_pem: own.private_pem };
    let roots_pem = site.control.authority.certificate_pem();
    let options = marram_tls::ClientOptions { roots_pem, identity: Some(identity), alpn: Vec::new() };
    marram_tls::Connector::new(options).expect("key and certificate fit each other");
}

/// CR 5.5: the parameter table.
#[tokio::test]
async fn settings_are_checked() {
    let site = Site::start().await;
    let with = |member: &str, value: Value| {
        let mut configuration = site.configuration.clone();
        configuration[member] = value;
        ClaimSettings::from_configuration(&configuration)
    };
    assert_eq!(with("mqttPort", Value::Null).unwrap().mqtt_port, 8883);
    assert_eq!(with("mqttPort", json!("443")).unwrap().mqtt_port, 443);
    for (member, value, error) in [
        ("awsRegion", json!(""), SettingsError::Member("awsRegion")),
        ("rootCaPath", json!(1), SettingsError::Member("rootCaPath")),
        ("mqttPort", json!(70_000), SettingsError::Port),
        ("csrPath", json!("/r.csr"), SettingsError::HalfRequest),
        ("templateParameters", json!({"a": 1}), SettingsError::Parameter("a".to_owned())),
        ("proxyUrl", json!("http://:80"), SettingsError::Proxy("the address of the proxy has no host".to_owned())),
    ] {
        assert_eq!(with(member, value).unwrap_err(), error, "{member}");
    }
}
