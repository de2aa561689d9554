//! HTTP (TG 10.4): hyper over TCP or TLS, SigV4, an SSRF guard that checks the very address it connects to.

use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::Uri;
use hyper::body::Body as _;
use hyper_util::rt::TokioIo;
use marram_flow::request::HttpCall;
use marram_flow::{Fault, Reply, Stage, fault};
use marram_sigv4::{AmzTime, PayloadHash, Signer, ToSign};
use marram_tls::{ClientOptions, Connector, TlsError};
use smol_str::SmolStr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::Job;
use crate::port::Authority;

/// Largest response body, bytes (TG 10.4).
const MAX_RESPONSE_BYTES: usize = 6 * 1024 * 1024;

/// Where systems keep their trusted roots, most common first.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// What HTTPS trusts besides the system's roots.
#[derive(Debug, Clone, Default)]
pub struct HttpOptions {
    /// Further root certificates, PEM.
    pub roots_pem: String,
    /// Leave the system's roots out: only `roots_pem` is trusted.
    pub only_given_roots: bool,
}

pub(crate) struct HttpConnector {
    options: HttpOptions,
    /// Made at the first https call: reading the system's roots would otherwise be most of a runtime's start.
    tls: OnceLock<Result<Connector, String>>,
}

impl HttpConnector {
    /// # Errors
    /// `roots_pem` is not PEM.
    pub fn new(options: HttpOptions) -> Result<Self, TlsError> {
        if !options.roots_pem.trim().is_empty() {
            Connector::new(ClientOptions { roots_pem: options.roots_pem.clone(), ..ClientOptions::default() })?;
        }
        Ok(Self { options, tls: OnceLock::new() })
    }

    fn tls(&self) -> Result<&Connector, Fault> {
        let made = self.tls.get_or_init(|| {
            let mut roots_pem = self.options.roots_pem.clone();
            if !self.options.only_given_roots
                && let Some(system) = SYSTEM_ROOTS.iter().find_map(|path| std::fs::read_to_string(path).ok())
            {
                roots_pem.push('\n');
                roots_pem.push_str(&system);
            }
            let options = ClientOptions { roots_pem, ..ClientOptions::default() };
            Connector::new(options).map_err(|error| error.to_string())
        });
        made.as_ref().map_err(|error| failed(format!("trusted roots: {error}")))
    }

    pub async fn perform(
        &self,
        workers: &Semaphore,
        authority: &dyn Authority,
        job: &Job,
        call: &HttpCall,
    ) -> Result<Reply, Fault> {
        let _worker = workers.acquire().await;
        (job.progress)(Stage::Started);
        let target = Destination::parse(&call.url)?;
        let request = signed(authority, job, call, &target).await?;
        let stream = connect(&target, &job.http_allow).await?;
        if target.is_tls {
            let stream = self.tls()?.connect(&target.host, stream).await.map_err(|error| failed(error.to_string()))?;
            exchange(stream, request, job).await
        } else {
            exchange(stream, request, job).await
        }
    }
}

fn failed(message: impl Into<String>) -> Fault {
    Fault::new(fault::TASK_FAILED, message)
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::new(fault::REQUEST_INVALID, message)
}

/// Scheme, host, port and target of a URL.
struct Destination {
    is_tls: bool,
    /// Without brackets.
    host: String,
    port: u16,
    /// The `Host` header.
    authority: String,
    /// Path and query.
    target: String,
}

impl Destination {
    fn parse(url: &str) -> Result<Self, Fault> {
        let uri: Uri = url.parse().map_err(|error| invalid(format!("URL: {error}")))?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(invalid("the URL is not http or https")),
        };
        let authority = uri.authority().ok_or_else(|| invalid("the URL has no host"))?;
        if authority.as_str().contains('@') {
            return Err(invalid("the URL holds credentials"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let target = uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        Ok(Self { is_tls, host, port, authority: authority.as_str().to_owned(), target })
    }
}

/// Resolves once, checks, connects to what was checked: a second answer of the name server changes nothing.
async fn connect(target: &Destination, allow: &[SmolStr]) -> Result<TcpStream, Fault> {
    let addresses: Vec<SocketAddr> = match target.host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, target.port)],
        Err(_) => {
            let found = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
            found.map_err(|error| failed(format!("`{}`: {error}", target.host)))?.collect()
        }
    };
    let named = allow.iter().any(|entry| {
        entry.eq_ignore_ascii_case(&target.host)
            || *entry == format!("{}:{}", target.host.to_ascii_lowercase(), target.port)
    });
    let mut last = None;
    for address in addresses {
        if !named && !is_public(address.ip()) {
            let message = format!("`{}` leads to an address that is not public and not on the allow-list", target.host);
            return Err(Fault::new(fault::PERMISSION, message));
        }
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(|error| failed(error.to_string()))?;
                return Ok(stream);
            }
            Err(error) => last = Some(error),
        }
    }
    Err(failed(last.map_or_else(|| format!("`{}` has no address", target.host), |error| error.to_string())))
}

/// Whether an address is one of the public internet: not loopback, private, link-local (metadata services among them),
/// shared, benchmark, documentation, multicast, reserved, nor an IPv6 form that carries such an IPv4 address.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(a == 0
                || a == 10
                || a == 127
                || a >= 224
                || (a == 100 && (64..128).contains(&b))
                || (a == 169 && b == 254)
                || (a == 172 && (16..32).contains(&b))
                || (a == 192 && b == 168)
                || (a == 192 && b == 0 && (c == 0 || c == 2))
                || (a == 192 && b == 88 && c == 99)
                || (a == 198 && (b == 18 || b == 19))
                || (a == 198 && b == 51 && c == 100)
                || (a == 203 && b == 0 && c == 113))
        }
        IpAddr::V6(v6) => {
            if let Some(v4) = v6.to_ipv4_mapped() {
                return is_public(IpAddr::V4(v4));
            }
            let segments = v6.segments();
            match segments {
                // NAT64 and 6to4 lead to the IPv4 address they carry.
                [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
                    let [a, b] = high.to_be_bytes();
                    let [c, d] = low.to_be_bytes();
                    is_public(IpAddr::from([a, b, c, d]))
                }
                [0x2001, 0x0db8, ..] | [0x2001, 0, ..] => false,
                [first, ..] => first & 0xe000 == 0x2000,
            }
        }
    }
}

async fn signed(
    authority: &dyn Authority,
    job: &Job,
    call: &HttpCall,
    target: &Destination,
) -> Result<hyper::Request<Full<Bytes>>, Fault> {
    let mut headers: Vec<(&str, Vec<u8>)> = vec![("host", target.authority.clone().into_bytes())];
    headers.extend(call.headers.iter().map(|(name, value)| (name.as_str(), value.clone().into_bytes())));
    let mut added = Vec::new();
    if let Some((service, region)) = &call.sigv4 {
        let credentials = authority
            .credentials(&job.principal, &job.execution)
            .await
            .map_err(|reason| Fault::new(fault::PERMISSION, reason))?;
        let lower: Vec<(String, &[u8])> =
            headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_slice())).collect();
        let views: Vec<(&str, &[u8])> = lower.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let time = AmzTime::from_epoch(crate::clock::wall().0 / 1_000).ok_or_else(|| failed("the clock is off"))?;
        let request = ToSign {
            method: &call.method,
            target: &target.target,
            headers: &views,
            payload: PayloadHash::Of(&call.body),
        };
        added = Signer { credentials: &credentials, region, service }.sign(&request, &time);
    }
    let mut request = hyper::Request::builder().method(call.method.as_str()).uri(target.target.as_str());
    for (name, value) in &headers {
        request = request.header(*name, value.as_slice());
    }
    for (name, value) in added {
        request = request.header(name, value);
    }
    let body = Full::new(Bytes::copy_from_slice(&call.body));
    request.body(body).map_err(|error| invalid(error.to_string()))
}

async fn exchange<IO>(stream: IO, request: hyper::Request<Full<Bytes>>, job: &Job) -> Result<Reply, Fault>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let error = |error: hyper::Error| failed(error.to_string());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(error)?;
    // The connection is driven here, beside the request: giving up the request closes it.
    let talk = async {
        (job.progress)(Stage::Accepted);
        let response = sender.send_request(request).await.map_err(error)?;
        let status = response.status().as_u16();
        let too_long = || Fault::new(fault::PAYLOAD_INVALID, "the response exceeds 6 MiB");
        if response.body().size_hint().lower() > MAX_RESPONSE_BYTES as u64 {
            return Err(too_long());
        }
        let body = Limited::new(response.into_body(), MAX_RESPONSE_BYTES)
            .collect()
            .await
            .map_err(|cause| if cause.is::<LengthLimitError>() { too_long() } else { failed(cause.to_string()) })?;
        Ok(Reply::Http { status, body: body.to_bytes().to_vec() })
    };
    tokio::pin!(talk, connection);
    let mut open = true;
    loop {
        tokio::select! {
            answer = &mut talk => return answer,
            _ = &mut connection, if open => open = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TG 10.4, 11.6: loopback, link-local, private and metadata addresses are refused in every spelling.
    #[test]
    fn guard_knows_what_is_not_public() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "::127.0.0.1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["1.1.1.1", "172.32.0.1", "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    /// TG 10.4: what a URL may be.
    #[test]
    fn urls_are_checked() {
        let ok = Destination::parse("https://[2606:4700::1111]:8443/a?b=c").unwrap();
        assert_eq!((ok.host.as_str(), ok.port, ok.target.as_str()), ("2606:4700::1111", 8443, "/a?b=c"));
        for wrong in ["ftp://h/", "https://user:pw@h/", "/only/path", "https:///x"] {
            assert!(Destination::parse(wrong).is_err(), "{wrong}");
        }
    }
}
