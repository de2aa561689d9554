//! A raw client: one connection, one request under way, signed by hand, read with the least work.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};
use marram_sigv4::{AmzTime, Credentials, PayloadHash, Signer, ToSign};
use marram_tls::{ClientOptions, Connector};
use marram_types::SecretString;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// What signs.
#[derive(Clone)]
pub struct Keys {
    credentials: Credentials,
    region: String,
}

impl Keys {
    fn from_environment() -> Result<Keys> {
        Keys::from_prefixed_environment("")
    }

    /// `{prefix}AWS_ACCESS_KEY_ID`, `{prefix}AWS_SECRET_ACCESS_KEY` and, where set, `{prefix}AWS_SESSION_TOKEN`.
    pub fn from_prefixed_environment(prefix: &str) -> Result<Keys> {
        let need = |name: &str| {
            let name = format!("{prefix}{name}");
            std::env::var(&name).with_context(|| format!("{name} is not set; see `marram env`"))
        };
        Ok(Keys {
            credentials: Credentials {
                access_key_id: need("AWS_ACCESS_KEY_ID")?,
                secret: SecretString::new(need("AWS_SECRET_ACCESS_KEY")?),
                session_token: need("AWS_SESSION_TOKEN").ok().filter(|token| !token.is_empty()),
            },
            region: std::env::var("AWS_DEFAULT_REGION").unwrap_or_else(|_| "us-east-1".to_owned()),
        })
    }

    /// A peer may check nothing; it still reads the scope to find the service.
    pub fn from_environment_or_dummy() -> Keys {
        Keys::from_environment().unwrap_or_else(|_| Keys::dummy())
    }

    fn dummy() -> Keys {
        Keys {
            credentials: Credentials {
                access_key_id: "AKIDEXAMPLE".to_owned(),
                secret: SecretString::new("example"),
                session_token: None,
            },
            region: "us-east-1".to_owned(),
        }
    }
}

/// A server to measure.
#[derive(Clone)]
pub struct Target {
    name: String,
    tls: Option<Connector>,
    host: String,
    port: u16,
    keys: Keys,
}

impl Target {
    /// The endpoint that `marram env` names.
    pub fn from_environment(name: &str) -> Result<Target> {
        let url = std::env::var("AWS_ENDPOINT_URL").context("AWS_ENDPOINT_URL is not set; see `marram env`")?;
        Target::new(name, &url, Keys::from_environment()?)
    }

    /// Any `http` or `https` URL; the latter with the roots of `AWS_CA_BUNDLE`.
    pub fn new(name: &str, url: &str, keys: Keys) -> Result<Target> {
        let (host, port, encrypted) = parse_url(url)?;
        let tls = if encrypted { Some(connector()?) } else { None };
        Ok(Target { name: name.to_owned(), tls, host, port, keys })
    }

    /// A server behind these roots, which checks no signature.
    pub fn trusting(name: &str, host: &str, port: u16, roots_pem: String) -> Result<Target> {
        let tls = Connector::new(ClientOptions { roots_pem, ..ClientOptions::default() })?;
        Ok(Target { name: name.to_owned(), tls: Some(tls), host: host.to_owned(), port, keys: Keys::dummy() })
    }

    /// For the results.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens a connection, Nagle off.
    pub async fn connect(&self) -> Result<Connection> {
        let host = match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        };
        let stream = self.dial().await?;
        Ok(Connection {
            target: self.clone(),
            stream,
            host,
            closing: false,
            input: Vec::with_capacity(16 << 10),
            body: 0..0,
        })
    }

    /// The same server with other keys.
    pub fn with_keys(&self, keys: Keys) -> Target {
        Target { keys, ..self.clone() }
    }

    async fn dial(&self) -> Result<Box<dyn Stream>> {
        let socket = TcpStream::connect((self.host.as_str(), self.port)).await?;
        socket.set_nodelay(true)?;
        Ok(match &self.tls {
            Some(connector) => Box::new(connector.connect(&self.host, socket).await?),
            None => Box::new(socket),
        })
    }
}

/// Host, port and whether it is encrypted.
pub fn parse_url(url: &str) -> Result<(String, u16, bool)> {
    let (encrypted, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => bail!("{url} is neither http nor https"),
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().context("port")?),
        _ => (authority, if encrypted { 443 } else { 80 }),
    };
    Ok((host.trim_start_matches('[').trim_end_matches(']').to_owned(), port, encrypted))
}

/// Trust in `AWS_CA_BUNDLE`.
pub fn connector() -> Result<Connector> {
    let bundle = std::env::var("AWS_CA_BUNDLE").context("AWS_CA_BUNDLE is not set; see `marram env`")?;
    let roots_pem = std::fs::read_to_string(&bundle).with_context(|| format!("read {bundle}"))?;
    Ok(Connector::new(ClientOptions { roots_pem, ..ClientOptions::default() })?)
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An open connection.
pub struct Connection {
    target: Target,
    stream: Box<dyn Stream>,
    host: String,
    /// The server has said that it closes after the last answer.
    closing: bool,
    /// The last answer.
    input: Vec<u8>,
    body: std::ops::Range<usize>,
}

impl Connection {
    /// Sends one signed `iot` request and reads its answer; gives the status.
    pub async fn call(&mut self, method: &str, target: &str, body: &[u8]) -> Result<u16> {
        let request = self.sign(method, target, body)?;
        self.exchange(&request).await
    }

    /// The bytes of one signed `iot` request, good for five minutes: signing need not share the measured time.
    pub fn sign(&self, method: &str, target: &str, body: &[u8]) -> Result<Vec<u8>> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let time = AmzTime::from_epoch(i64::try_from(seconds)?).ok_or_else(|| anyhow!("the clock is off"))?;
        let keys = &self.target.keys;
        let signer = Signer { credentials: &keys.credentials, region: &keys.region, service: "iot" };
        let headers: [(&str, &[u8]); 1] = [("host", self.host.as_bytes())];
        let signed = signer.sign(&ToSign { method, target, headers: &headers, payload: PayloadHash::Of(body) }, &time);
        let mut output = Vec::with_capacity(512);
        output.extend_from_slice(format!("{method} {target} HTTP/1.1\r\nhost: {}\r\n", self.host).as_bytes());
        for (name, value) in &signed {
            output.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if !body.is_empty() {
            output.extend_from_slice(
                format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()).as_bytes(),
            );
        }
        output.extend_from_slice(b"\r\n");
        output.extend_from_slice(body);
        output.shrink_to_fit();
        Ok(output)
    }

    /// Sends the bytes of one request and reads its answer; gives the status.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<u16> {
        if self.closing {
            self.stream = self.target.dial().await?;
            self.closing = false;
        }
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.read().await
    }

    /// The body of the last answer.
    pub fn body_text(&self) -> String {
        String::from_utf8_lossy(&self.input[self.body.clone()]).into_owned()
    }

    async fn read(&mut self) -> Result<u16> {
        self.input.clear();
        let mut head = None;
        loop {
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            if head.is_none() {
                head = Head::read(&self.input)?;
            }
            let Some(head) = &head else { continue };
            if self.input.len() >= head.length + head.body_length {
                self.closing = head.closing;
                self.body = head.length..head.length + head.body_length;
                return Ok(head.status);
            }
        }
    }
}

/// What of an answer's head matters here.
struct Head {
    status: u16,
    /// Bytes up to the body.
    length: usize,
    body_length: usize,
    closing: bool,
}

impl Head {
    /// `None` when the head is not complete.
    fn read(input: &[u8]) -> Result<Option<Head>> {
        let mut head = Head { status: 0, length: 0, body_length: usize::MAX, closing: false };
        for line in input.split_inclusive(|byte| *byte == b'\n') {
            head.length += line.len();
            if line == b"\r\n" {
                if head.body_length == usize::MAX {
                    bail!("the answer announces no length");
                }
                return Ok(Some(head));
            }
            if head.status == 0 {
                let status = line.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
                head.status = status.and_then(|digits| digits.parse().ok()).context("the answer has no status")?;
            } else if let Some(value) = value_of(line, b"content-length:") {
                head.body_length = value.parse().context("content-length")?;
            } else if let Some(value) = value_of(line, b"connection:") {
                head.closing = value.eq_ignore_ascii_case("close");
            }
        }
        Ok(None)
    }
}

fn value_of<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l str> {
    let (start, value) = line.split_at_checked(name.len())?;
    if start.eq_ignore_ascii_case(name) { std::str::from_utf8(value).ok().map(str::trim) } else { None }
}
