//! HTTP (TG 10.4): hyper over TCP or TLS, SigV4, an SSRF guard that checks the very address it connects to.

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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;

use super::reach::{self, Reach};
use super::{Job, permitted};
use crate::port::{Authority, FlowAction};

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
        permitted(authority, job, FlowAction::InvokeWebService(&target.place()))?;
        let request = signed(authority, job, call, &target).await?;
        let stream = reach::connect(&target.host, target.port, Reach::Public(&job.http_allow)).await?;
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

    /// `host:port`, as policies and allow-lists write it.
    fn place(&self) -> String {
        reach::place(&self.host, self.port)
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
