//! The admin socket: how commands reach a running installation.
//!
//! A Unix socket in the data directory (which only its owner can enter). A connection is served when the kernel says that
//! its process runs as the same user or as root. One JSON object a line in, one out: `{"ok": ..}` or `{"error": ".."}`.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// Longest request line.
const MAX_REQUEST: u64 = 64 * 1024;
/// How long a command waits for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Answers one request.
pub type Handler = Arc<dyn Fn(Value) -> Pin<Box<dyn Future<Output = anyhow::Result<Value>> + Send>> + Send + Sync>;

/// Listens at `path` until dropped. A socket left by a dead process is replaced: the data directory's lock has already
/// told that no other process lives here.
pub fn listen(path: &Path, handler: Handler) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot replace {}", path.display())),
    }
    let listener = UnixListener::bind(path).with_context(|| format!("cannot listen at {}", path.display()))?;
    Ok(tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            if !is_own_user(&stream) {
                tracing::warn!("admin socket: a process of another user was turned away");
                continue;
            }
            tokio::spawn(serve(stream, Arc::clone(&handler)));
        }
    }))
}

fn is_own_user(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

async fn serve(stream: UnixStream, handler: Handler) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read.take(MAX_REQUEST)).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let answer = match serde_json::from_str(&line) {
            Ok(request) => match handler(request).await {
                Ok(value) => json!({ "ok": value }),
                Err(error) => json!({ "error": crate::command::one_line(&error) }),
            },
            Err(_) => json!({ "error": "the request is not JSON" }),
        };
        if write.write_all(format!("{answer}\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Sends one request to the installation at `path`; `None` when nobody listens there.
pub async fn ask(path: &Path, request: &Value) -> anyhow::Result<Option<Value>> {
    let stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error).with_context(|| format!("cannot reach {}", path.display())),
    };
    let (read, mut write) = stream.into_split();
    write.write_all(format!("{request}\n").as_bytes()).await.context("the installation hung up")?;
    let mut line = String::new();
    tokio::time::timeout(ANSWER_TIMEOUT, BufReader::new(read).read_line(&mut line))
        .await
        .context("the installation did not answer in time")?
        .context("the installation hung up")?;
    let mut answer: Value =
        serde_json::from_str(&line).context("the installation answered with something else than JSON")?;
    if let Some(error) = answer.get("error").and_then(Value::as_str) {
        anyhow::bail!("{error}");
    }
    Ok(Some(answer["ok"].take()))
}
