//! How the uplink reaches a host: TLS with the device's key, through a proxy where one is set (CR 5.6).

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use marram_http::{Dial, Dialling, Origin, Stream};
use marram_tls::{ClientIdentity, ClientOptions, Connector, RemoteIdentity, TlsError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};

use crate::trouble::{RoadError, address};

/// Port on which MQTT and HTTPS are told apart by ALPN (CR 5.1).
const SHARED_PORT: u16 = 443;
/// ALPN of MQTT with a client certificate.
const ALPN_MQTT: &[u8] = b"x-amzn-mqtt-ca";
/// ALPN of HTTPS with a client certificate.
const ALPN_HTTP: &[u8] = b"x-amzn-http-ca";
/// Longest answer of a proxy to CONNECT, bytes.
const PROXY_HEAD_MAX: usize = 8 * 1024;

/// A proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// The proxy itself speaks TLS.
    pub tls: bool,
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User and password.
    pub login: Option<(String, String)>,
    /// Hosts that are reached directly.
    pub except: Vec<String>,
}

impl Proxy {
    /// Reads `scheme://[user[:pass]@]host[:port]` and a comma list of exceptions.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub fn parse(url: &str, user: Option<&str>, password: Option<&str>, except: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("the address of the proxy has no scheme")?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            other => return Err(format!("the scheme `{other}` of the proxy is neither http nor https")),
        };
        let rest = rest.trim_end_matches('/');
        let (info, address) = rest.rsplit_once('@').map_or((None, rest), |(info, address)| (Some(info), address));
        let (host, port) = split_port(address).ok_or("the port of the proxy is not a number")?;
        if host.is_empty() {
            return Err("the address of the proxy has no host".to_owned());
        }
        let login = match (info, user) {
            (Some(info), _) => {
                let (user, password) = info.split_once(':').unwrap_or((info, ""));
                Some((user.to_owned(), password.to_owned()))
            }
            (None, Some(user)) => Some((user.to_owned(), password.unwrap_or_default().to_owned())),
            (None, None) => None,
        };
        Ok(Proxy {
            tls,
            host: host.to_owned(),
            port: port.unwrap_or(if tls { 443 } else { 80 }),
            login,
            except: except.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        })
    }

    fn serves(&self, host: &str) -> bool {
        !self.except.iter().any(|name| {
            let name = name.trim_start_matches('.');
            host.eq_ignore_ascii_case(name)
                || host.len() > name.len()
                    && host.as_bytes()[host.len() - name.len() - 1] == b'.'
                    && host[host.len() - name.len()..].eq_ignore_ascii_case(name)
        })
    }
}

/// `host[:port]`, `[v6]:port`; none when the port is not a number.
pub fn split_port(address: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None => Some((host, None)),
        };
    }
    match address.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => Some((host, Some(port.parse().ok()?))),
        _ => Some((address, None)),
    }
}

/// The device's certificate, key and trust, as PEM texts.
#[derive(Clone)]
pub struct DeviceTls {
    /// Roots; nothing else is trusted.
    pub roots_pem: String,
    /// Certificate, leaf first.
    pub chain_pem: String,
    /// Key.
    pub key_pem: String,
}

impl std::fmt::Debug for DeviceTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeviceTls")
    }
}

/// What a stream is for: which certificate and which ALPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// MQTT with the device's certificate.
    Mqtt,
    /// HTTPS with the device's certificate.
    DeviceHttps,
    /// HTTPS without one: presigned URLs, signed requests.
    PlainHttps,
}

/// Opens streams. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Road {
    inner: Arc<Connectors>,
}

#[derive(Debug)]
struct Connectors {
    mqtt: Connector,
    mqtt_shared: Connector,
    https: Connector,
    https_shared: Connector,
    bare: Connector,
    proxy: Option<Proxy>,
}

impl Road {
    /// Prepares trust and certificate.
    ///
    /// # Errors
    /// The texts are not what they should be.
    pub fn new(tls: &DeviceTls, proxy: Option<Proxy>) -> Result<Self, TlsError> {
        Self::build(proxy, |with_identity| {
            Connector::new(ClientOptions {
                roots_pem: tls.roots_pem.clone(),
                identity: with_identity
                    .then(|| ClientIdentity { chain_pem: tls.chain_pem.clone(), key_pem: tls.key_pem.clone() }),
                alpn: Vec::new(),
            })
        })
    }

    /// As [`Road::new`] for a device key that is in a hardware token.
    ///
    /// # Errors
    /// The texts are not what they should be.
    pub fn with_remote_identity(
        roots_pem: &str,
        identity: &RemoteIdentity,
        proxy: Option<Proxy>,
    ) -> Result<Self, TlsError> {
        Self::build(proxy, |with_identity| {
            let options = ClientOptions { roots_pem: roots_pem.to_owned(), identity: None, alpn: Vec::new() };
            match with_identity {
                true => Connector::with_remote_identity(options, identity),
                false => Connector::new(options),
            }
        })
    }

    fn build(proxy: Option<Proxy>, connector: impl Fn(bool) -> Result<Connector, TlsError>) -> Result<Self, TlsError> {
        let mqtt = connector(true)?;
        Ok(Road {
            inner: Arc::new(Connectors {
                https: mqtt.clone(),
                mqtt_shared: mqtt.with_alpn(vec![ALPN_MQTT.to_vec()]),
                https_shared: mqtt.with_alpn(vec![ALPN_HTTP.to_vec(), b"http/1.1".to_vec()]),
                bare: connector(false)?,
                mqtt,
                proxy,
            }),
        })
    }

    /// A stream to `host:port`, encrypted.
    ///
    /// # Errors
    /// Name, network, proxy or handshake.
    pub async fn open(&self, purpose: Purpose, host: &str, port: u16) -> io::Result<Box<dyn Stream>> {
        let tls = match (purpose, port) {
            (Purpose::Mqtt, SHARED_PORT) => &self.inner.mqtt_shared,
            (Purpose::Mqtt, _) => &self.inner.mqtt,
            (Purpose::DeviceHttps, SHARED_PORT) => &self.inner.https_shared,
            (Purpose::DeviceHttps, _) => &self.inner.https,
            (Purpose::PlainHttps, _) => &self.inner.bare,
        };
        let road = self.reach(host, port).await?;
        Ok(Box::new(tls.connect(host, road).await.map_err(RoadError::Tls)?))
    }

    /// The proxy on the way to `host`, as `host:port`.
    pub(crate) fn proxy_for(&self, host: &str) -> Option<String> {
        let proxy = self.inner.proxy.as_ref().filter(|proxy| proxy.serves(host))?;
        Some(address(&proxy.host, proxy.port))
    }

    async fn reach(&self, host: &str, port: u16) -> Result<Box<dyn Stream>, RoadError> {
        let proxy = match &self.inner.proxy {
            Some(proxy) if proxy.serves(host) => proxy,
            _ => return Ok(Box::new(socket(host, port).await?)),
        };
        let name = address(&proxy.host, proxy.port);
        let mut stream = self.enter(proxy).await.map_err(|cause| RoadError::proxy(&name, cause))?;
        let authority = address(host, port);
        let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
        if let Some((user, password)) = &proxy.login {
            request
                .push_str(&format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(format!("{user}:{password}"))));
        }
        request.push_str("\r\n");
        let answer = async {
            stream.write_all(request.as_bytes()).await?;
            stream.flush().await?;
            proxy_answer(&mut stream).await
        };
        match answer.await {
            Ok(status) if status.starts_with('2') => Ok(stream),
            Ok(status) => Err(RoadError::ProxyAnswered { proxy: name, status }),
            Err(cause) => Err(RoadError::proxy(&name, RoadError::Socket { address: name.clone(), cause })),
        }
    }

    /// A stream to the proxy itself.
    async fn enter(&self, proxy: &Proxy) -> Result<Box<dyn Stream>, RoadError> {
        let socket = socket(&proxy.host, proxy.port).await?;
        Ok(match proxy.tls {
            true => Box::new(self.inner.bare.connect(&proxy.host, socket).await?),
            false => Box::new(socket),
        })
    }
}

/// A connection in the clear, to the first address of the name that answers.
async fn socket(host: &str, port: u16) -> Result<TcpStream, RoadError> {
    let found = lookup_host((host, port)).await;
    let found: Vec<_> = found.map_err(|cause| RoadError::Name { name: host.to_owned(), cause })?.collect();
    let failed = |cause| RoadError::Socket { address: address(host, port), cause };
    let socket = TcpStream::connect(&found[..]).await.map_err(failed)?;
    socket.set_nodelay(true).map_err(failed)?;
    Ok(socket)
}

/// Reads a proxy's answer to CONNECT, down to its status. Byte by byte: what follows the head belongs to the handshake.
async fn proxy_answer(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= PROXY_HEAD_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the proxy's answer is too long"));
        }
        head.push(stream.read_u8().await?);
    }
    let status = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    Ok(String::from_utf8_lossy(status).into_owned())
}

/// Entry of the fuzz target: a proxy's answer. What follows an answer that agrees is left for the handshake.
pub fn fuzz_proxy_answer(data: &[u8]) {
    let mut rest = data;
    // Bytes in memory are never waited for.
    let answered = pin!(proxy_answer(&mut rest)).poll(&mut Context::from_waker(Waker::noop()));
    if let Poll::Ready(Ok(_)) = answered {
        let head = &data[..data.len() - rest.len()];
        assert!(head.ends_with(b"\r\n\r\n") && head.len() <= PROXY_HEAD_MAX);
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(proxy) = Proxy::parse(text, Some("user"), None, text)
    {
        proxy.serves(text);
        assert!(!proxy.host.is_empty());
    }
}

/// A road for one purpose, for the HTTP client.
#[derive(Debug, Clone)]
pub struct Via {
    /// The road.
    pub road: Road,
    /// What for.
    pub purpose: Purpose,
}

impl Dial for Via {
    fn dial<'a>(&'a self, origin: &'a Origin) -> Dialling<'a> {
        Box::pin(async move {
            if !origin.tls {
                return Err(io::Error::new(io::ErrorKind::Unsupported, "the uplink speaks https only"));
            }
            self.road.open(self.purpose, &origin.host, origin.port).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CR 5.6: forms of the proxy URL.
    #[test]
    fn proxy_urls() {
        let login = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        for (url, user, tls, host, port, expected) in [
            ("http://proxy", None, false, "proxy", 80, None),
            ("https://proxy/", None, true, "proxy", 443, None),
            ("http://u:p@proxy:3128", Some("other"), false, "proxy", 3128, login("u", "p")),
            ("http://[::1]:3128", Some("u"), false, "::1", 3128, login("u", "secret")),
        ] {
            let proxy = Proxy::parse(url, user, Some("secret"), "localhost, .plant.example").unwrap();
            assert_eq!((proxy.tls, proxy.host.as_str(), proxy.port, proxy.login.clone()), (tls, host, port, expected));
            assert!(!proxy.serves("LOCALHOST") && !proxy.serves("a.plant.example") && proxy.serves("badplant.example"));
        }
        for url in ["proxy", "socks5://proxy", "http://:80", "http://proxy:no"] {
            assert!(Proxy::parse(url, None, None, "").is_err(), "{url}");
        }
    }
}
