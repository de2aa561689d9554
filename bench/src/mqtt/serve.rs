//! Our broker in a child process, with a policy check per topic, and the certificates of a run.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use marram_broker::{
    Authenticating, Authenticator, Broker, BrokerOptions, ConnectAttributes, Decision, PeerInfo, Ports,
    SessionAuthority, Tenant,
};
use marram_mqtt::Connect;
use marram_mqtt_net::{listen_plain, listen_tls};
use marram_pki::{Certificate, CertificateAuthority, DeviceKeyPair, Validity, pem};
use marram_tls::{
    Acceptor, AcceptorOptions, ClientIdentity, ClientOptions, Connector, HandshakeGate, HandshakeLimits, Listener,
    ServerCertificate,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::Options;

/// Allows what a device's policy would: its topics, as patterns that end in `*`.
struct Patterns {
    tenant: Tenant,
    principal: String,
    allowed: Vec<String>,
}

impl Patterns {
    fn check(&self, text: &str) -> Decision {
        let is_match = |pattern: &String| match pattern.strip_suffix('*') {
            Some(prefix) => text.starts_with(prefix),
            None => text == pattern,
        };
        if self.allowed.iter().any(is_match) { Decision::Allow } else { Decision::Deny }
    }
}

impl SessionAuthority for Patterns {
    fn tenant(&self) -> &Tenant {
        &self.tenant
    }
    fn principal(&self) -> &str {
        &self.principal
    }
    fn version(&self) -> u64 {
        1
    }
    fn connect(&self, client_id: &str, _: ConnectAttributes) -> Decision {
        self.check(&format!("client/{client_id}"))
    }
    fn publish(&self, topic: &str, _: bool) -> Decision {
        self.check(topic)
    }
    fn subscribe(&self, filter: &str) -> Decision {
        self.check(filter)
    }
    fn receive(&self, topic: &str) -> Decision {
        self.check(topic)
    }
}

struct Everybody;

impl Authenticator for Everybody {
    fn authenticate<'a>(&'a self, peer: &'a PeerInfo, _: &'a Connect) -> Authenticating<'a> {
        let principal = peer.fingerprint.map(|fingerprint| fingerprint.to_string()).unwrap_or_default();
        let allowed = ["client/*", "bench/*"].map(str::to_owned).to_vec();
        let authority = Patterns { tenant: Tenant::new("bench"), principal, allowed };
        Box::pin(async move { Ok(Arc::new(authority) as Arc<dyn SessionAuthority>) })
    }
}

/// Serves until the parent is gone: prints the address, then waits for standard input to end.
pub(super) fn run(folder: &Path, options: &Options) -> anyhow::Result<()> {
    let tls = options.tls;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(options.broker_threads).enable_all().build()?;
    runtime.block_on(async {
        let ports = Ports { authenticator: Arc::new(Everybody), interceptor: None, store: None };
        let broker = Broker::start(BrokerOptions::default(), ports)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        if tls {
            let read = |name: &str| std::fs::read_to_string(folder.join(name));
            let certificate = ServerCertificate::from_pem(&read("server.pem")?, &read("server.key")?)?;
            let gate = HandshakeGate::new(HandshakeLimits::default());
            let acceptor = Acceptor::new(Listener::DeviceMqtt, &certificate, AcceptorOptions::default(), gate);
            if options.limit {
                tokio::spawn(least(listener, acceptor));
            } else {
                tokio::spawn(listen_tls(listener, acceptor, broker, std::future::pending()));
            }
        } else {
            tokio::spawn(listen_plain(listener, broker, std::future::pending()));
        }
        tokio::task::spawn_blocking(|| std::io::stdin().lines().for_each(drop)).await?;
        Ok(())
    })
}

/// The least a server can do: the handshake, one read, a CONNACK that looks at nothing. What a broker adds is measured
/// against it.
async fn least(listener: TcpListener, acceptor: Acceptor) {
    while let Ok((socket, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let Ok(mut accepted) = acceptor.accept_tcp(socket).await else { return };
            let mut received = [0; 1024];
            while let Ok(1..) = accepted.stream.read(&mut received).await {
                if accepted.stream.write_all(&[0x20, 2, 0, 0]).await.is_err() || accepted.stream.flush().await.is_err()
                {
                    return;
                }
            }
        });
    }
}

/// The broker's process; ends with this value.
pub(super) struct Child {
    process: std::process::Child,
    folder: std::path::PathBuf,
    pub(super) address: SocketAddr,
}

impl Child {
    pub(super) fn start(tls: bool, options: &Options) -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("marram-bench-mqtt-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        write_certificates(&folder, options.rsa)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["mqtt", "serve", "--broker-threads", &options.broker_threads.to_string(), "--out"]).arg(&folder);
        if options.limit {
            command.arg("--limit");
        }
        if tls {
            command.arg("--tls");
        }
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("standard output of the broker")?).read_line(&mut line)?;
        let address = line.trim().parse().context("the broker did not print its address")?;
        Ok(Self { process, folder, address })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // The process is ours and may have ended by itself; the folder holds throw-away keys.
        drop(self.process.kill());
        drop(self.process.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// Writes `ca.pem`, `server.pem`, `server.key`, `device.pem` and `device.key`; `rsa`: the device's key is RSA-2048, as the
/// control plane's own, instead of P-256.
pub(super) fn write_certificates(folder: &Path, rsa: bool) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as i64;
    let validity = || Validity::starting(now, 86_400);
    let authority = CertificateAuthority::create("bench", validity())?;
    let server = authority.issue_server(&["127.0.0.1".to_owned(), "localhost".to_owned()], validity())?;
    let (key, device) = if rsa {
        let key = DeviceKeyPair::generate()?;
        let device = authority.issue_device(key.public_key(), validity())?;
        (key.private_pem().to_owned(), device)
    } else {
        // A fresh P-256 pair, as devices make them: that of a certificate nobody uses.
        let pair = authority.issue_server(&["device".to_owned()], validity())?;
        let chain = pem::certificates(&pair.chain_pem)?;
        let leaf = Certificate::from_der(chain.first().context("a chain begins with its leaf")?)?;
        (pair.key_pem, authority.issue_device(leaf.public_key(), validity())?)
    };
    for (name, content) in [
        ("ca.pem", authority.certificate_pem()),
        ("server.pem", server.chain_pem),
        ("server.key", server.key_pem),
        ("device.pem", pem::encode_certificate(device.der())),
        ("device.key", key),
    ] {
        std::fs::write(folder.join(name), content)?;
    }
    Ok(())
}

/// A client with the folder's device certificate.
pub(super) fn connector(folder: &Path) -> anyhow::Result<Connector> {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).with_context(|| format!("cannot read {name}"));
    let identity = ClientIdentity { chain_pem: read("device.pem")?, key_pem: read("device.key")? };
    Ok(Connector::new(ClientOptions { roots_pem: read("ca.pem")?, identity: Some(identity), alpn: Vec::new() })?)
}
