//! The limit: the same HTTP and TLS under a handler that answers a constant, in a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use bytes::Bytes;
use marram_http::{Handler, Head, Refusal, Response, ServerLimits, serve};
use marram_pki::{CertificateAuthority, Validity};
use marram_tls::{Acceptor, AcceptorOptions, HandshakeGate, HandshakeLimits, Listener, ServerCertificate};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::client::Target;

/// As long as the answer of DescribeThing for a thing without attributes.
const ANSWER: &[u8] = &[b' '; 230];

struct Constant;

impl Handler for Constant {
    fn body_limit(&self, _: &Head) -> usize {
        1 << 20
    }

    async fn handle(&self, _: &Head, _: Bytes) -> Response {
        Response::new(Bytes::from_static(ANSWER))
    }

    fn refuse(&self, _: &Head, _: Refusal) -> Response {
        Response::default()
    }
}

#[derive(Serialize, Deserialize)]
struct Ready {
    port: u16,
    roots_pem: String,
}

/// Serves until standard input ends; prints where, and what to trust.
pub fn run() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let authority = CertificateAuthority::create("bench", Validity::starting(now, 86_400))?;
        let server = authority.issue_server(&["127.0.0.1".to_owned()], Validity::starting(now, 86_400))?;
        let certificate = ServerCertificate::from_pem(&server.chain_pem, &server.key_pem)?;
        let gate = HandshakeGate::new(HandshakeLimits::default());
        let acceptor = Acceptor::new(Listener::Api, &certificate, AcceptorOptions::default(), gate);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let ready = Ready { port: listener.local_addr()?.port(), roots_pem: authority.certificate_pem().to_owned() };
        println!("{}", serde_json::to_string(&ready)?);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Ok(accepted) = acceptor.accept_tcp(socket).await {
                        let limits = ServerLimits::default();
                        serve(accepted.stream, Arc::new(Constant), &limits, std::future::pending()).await;
                    }
                });
            }
        });
        tokio::task::spawn_blocking(|| std::io::stdin().lines().for_each(drop)).await?;
        Ok(())
    })
}

/// The process; ends with this value.
pub struct Limit {
    process: Child,
}

impl Limit {
    /// Starts it.
    pub fn start() -> Result<(Limit, Target)> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["api", "--serve-constant"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the constant server")?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("its standard output")?).read_line(&mut line)?;
        let ready: Ready = serde_json::from_str(&line).context("the constant server did not say where it is")?;
        let target = Target::trusting("limit", "127.0.0.1", ready.port, ready.roots_pem)?;
        Ok((Limit { process }, target))
    }

    /// For its processor time.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        // The process is ours and may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
