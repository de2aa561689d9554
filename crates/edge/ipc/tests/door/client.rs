//! A client that speaks frames, and a door to speak to.

use std::sync::Arc;
use std::time::Duration;

use marram_eventstream::client::{Event, Session};
use marram_eventstream::{RpcFrame, decode};
use marram_ipc::{Handle, Options, Ports, Server, Socket, SocketOptions};
use marram_memory_core::{MemoryCore, allow_everything};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Everything in a test happens within this.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running door; its task ends with the runtime of the test.
pub struct Door {
    pub core: Arc<MemoryCore>,
    pub handle: Handle,
    path: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

impl Door {
    /// With `one` and `two`, both allowed everything, and an operator.
    pub fn open() -> Self {
        Self::with(Options::default(), |core| {
            let policies = json!({"accessControl": allow_everything(), "rate": 5, "deep": {"a": {"b": 1}}});
            core.add_component("one", policies.clone());
            core.add_component("two", policies);
            core.add_operator("operator");
        })
    }

    pub fn with(options: Options, fill: impl FnOnce(&MemoryCore)) -> Self {
        let core = MemoryCore::new();
        fill(&core);
        let ports = Ports {
            identities: core.clone(),
            components: Some(core.clone()),
            configuration: Some(core.clone()),
            deployments: Some(core.clone()),
            cloud: Some(core.clone()),
            shadows: Some(core.clone()),
            secrets: Some(core.clone()),
            client_devices: Some(core.clone()),
            metrics: Some(core.clone()),
            debug_passwords: Some(core.clone()),
            checks: None,
            sandboxes: None,
        };
        Self::serve(core, ports, options)
    }

    pub fn serve(core: Arc<MemoryCore>, ports: Ports, options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ipc.socket");
        let socket = Socket::bind(&SocketOptions { path: path.clone(), open: false, group: None }).unwrap();
        let server = Server::new(socket, ports, options);
        let handle = server.handle();
        tokio::spawn(server.run());
        Self { core, handle, path, _folder: folder }
    }

    pub async fn raw(&self) -> Raw {
        Raw { socket: UnixStream::connect(&self.path).await.unwrap(), input: Vec::new() }
    }

    /// A client with this token, let in.
    pub async fn client(&self, token: &str) -> Client {
        let mut raw = self.raw().await;
        let mut out = Vec::new();
        Session::connect(&mut out, json!({"authToken": token}).to_string().as_bytes()).unwrap();
        raw.send(&out).await;
        assert_eq!(raw.receive().await, Some(Got::Connected(true)));
        Client { raw, session: Session::new() }
    }

    pub async fn component(&self, name: &str) -> Client {
        self.client(&format!("{name}-token")).await
    }
}

/// A message from the server, owned.
#[derive(Debug, Clone, PartialEq)]
pub enum Got {
    Connected(bool),
    Message { stream: u32, model: String, body: Value, last: bool },
    Failure { stream: u32, model: String, text: String },
    Other,
}

/// A socket that reads frame by frame.
pub struct Raw {
    pub socket: UnixStream,
    input: Vec<u8>,
}

impl Raw {
    pub async fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    /// The next message; none when the server closed.
    pub async fn receive(&mut self) -> Option<Got> {
        tokio::time::timeout(PATIENCE, self.next()).await.expect("the server answers in time")
    }

    async fn next(&mut self) -> Option<Got> {
        loop {
            if let Some((frame, length)) = decode(&self.input).unwrap() {
                let message = RpcFrame::read(frame).unwrap();
                let text = |payload: &[u8]| String::from_utf8(payload.to_vec()).unwrap();
                let model = |name: Option<&str>| {
                    name.map_or(String::new(), |n| n.strip_prefix("aws.greengrass#").unwrap_or(n).to_owned())
                };
                let got = match Session::new().receive(&message) {
                    Event::Connected { accepted } => Got::Connected(accepted),
                    Event::Message { stream, model: name, payload, last } => {
                        let body =
                            if payload.is_empty() { Value::Null } else { serde_json::from_slice(payload).unwrap() };
                        Got::Message { stream, model: model(name), body, last }
                    }
                    Event::Failure { stream, model: name, payload } => {
                        Got::Failure { stream, model: model(name), text: text(payload) }
                    }
                    Event::Ping | Event::Ignore | Event::Broken => Got::Other,
                };
                self.input.drain(..length);
                return Some(got);
            }
            let mut buffer = [0; 65_536];
            match self.socket.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
            }
        }
    }
}

/// A client that was let in.
pub struct Client {
    pub raw: Raw,
    session: Session,
}

impl Client {
    /// Sends a request; answers its stream.
    pub async fn start(&mut self, operation: &str, request: Value) -> u32 {
        let name = if operation.contains('#') { operation.to_owned() } else { format!("aws.greengrass#{operation}") };
        let template = Session::request_template(&name).unwrap();
        let mut out = Vec::new();
        let stream = self.session.request(&mut out, &template, request.to_string().as_bytes()).unwrap();
        self.raw.send(&out).await;
        stream
    }

    /// Sends a request and takes the next message, which must belong to it: shape without prefix, and body.
    pub async fn call(&mut self, operation: &str, request: Value) -> Result<Value, (String, Value)> {
        let wanted = self.start(operation, request).await;
        match self.raw.receive().await {
            Some(Got::Message { stream, model, body, .. }) if stream == wanted => {
                let short = operation.rsplit('#').next().unwrap();
                assert!(model.ends_with(&format!("{short}Response")), "{model}");
                Ok(body)
            }
            Some(Got::Failure { stream, model, text }) if stream == wanted => {
                Err((model, serde_json::from_str(&text).unwrap_or(Value::String(text))))
            }
            other => panic!("{operation}: {other:?}"),
        }
    }

    /// The error shape of a refused request.
    pub async fn refusal(&mut self, operation: &str, request: Value) -> String {
        self.call(operation, request).await.expect_err("a refusal").0
    }

    /// The next event.
    pub async fn event(&mut self) -> (u32, String, Value) {
        match self.raw.receive().await {
            Some(Got::Message { stream, model, body, last: false }) => (stream, model, body),
            other => panic!("no event: {other:?}"),
        }
    }
}
