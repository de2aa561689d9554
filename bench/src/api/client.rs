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
        let need = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set; see `marram env`"));
        Ok(Keys {
            credentials: Credentials {
                access_key_id: need("AWS_ACCESS_KEY_ID")?,
                secret: SecretString::new(need("AWS_SECRET_ACCESS_KEY")?),
                session_token: std::env::var("AWS_SESSION_TOKEN").ok().filter(|token| !token.is_empty()),
            },
            region: std::env::var("AWS_DEFAULT_REGION").unwrap_or_else(|_| "us-east-1".to_owned()),
        })
    }

    /// A peer may check nothing; it still reads the scope to find the service.
    pub fn from_environment_or_dummy() -> Keys {
        Keys::from_environment().unwrap_or_else(|_| Keys {
            credentials: Credentials {
                access_key_id: "AKIDEXAMPLE".to_owned(),
                secret: SecretString::new("example"),
                session_token: None,
            },
            region: "us-east-1".to_owned(),
        })
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
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let time = AmzTime::from_epoch(i64::try_from(seconds)?).ok_or_else(|| anyhow!("the clock is off"))?;
        let keys = &self.target.keys;
        let signer = Signer { credentials: &keys.credentials, region: &keys.region, service: "iot" };
        let headers: [(&str, &[u8]); 1] = [("host", self.host.as_bytes())];
        let signed = signer.sign(&ToSign { method, target, headers: &headers, payload: PayloadHash::Of(body) }, &time);
        let mut output = Vec::with_capacity(1024);
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
        if self.closing {
            self.stream = self.target.dial().await?;
            self.closing = false;
        }
        self.stream.write_all(&output).await?;
        self.stream.flush().await?;
        self.read().await
    }

    /// The body of the last answer.
    pub fn body_text(&self) -> String {
        String::from_utf8_lossy(&self.input[self.body.clone()]).into_owned()
    }

    async fn read(&mut self) -> Result<u16> {
        self.input.clear();
        let mut head_end = None;
        loop {
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            if head_end.is_none() {
                head_end = self.input.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
            }
            let Some(head_end) = head_end else { continue };
            let head = std::str::from_utf8(&self.input[..head_end])?;
            let length = content_length(head).ok_or_else(|| anyhow!("the answer announces no length:\n{head}"))?;
            if self.input.len() >= head_end + length {
                self.closing = head.to_ascii_lowercase().contains("\r\nconnection: close");
                self.body = head_end..head_end + length;
                let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
                return status.ok_or_else(|| anyhow!("no status in {head}"));
            }
        }
    }
}

fn content_length(head: &str) -> Option<usize> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
}
