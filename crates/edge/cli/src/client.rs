//! One connection to the core's socket, blocking: a command line waits for nothing else.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use marram_eventstream::client::{Event, Session};
use marram_eventstream::{RpcFrame, decode};
use serde_json::{Value, json};

/// Where the core leaves a token for each user that may command it, below the root.
pub(crate) const TOKENS: &str = "cli_ipc_info";
/// Longest path a socket address holds.
const MAX_PATH: usize = 107;
/// Bytes read at once.
const READ_SIZE: usize = 16 * 1024;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The arguments make no sense.
    #[error("{0}")]
    Usage(String),
    /// The user has no file with a token.
    #[error(
        "no token for this user in {}: is the core running, is its root named right (`--root`, of `greengrass-cli` `--ggcRootPath`), may this user command it?",
        .0.display()
    )]
    NoToken(PathBuf),
    /// The core is not there.
    #[error("cannot reach the core at {}: {source}", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The token was not accepted.
    #[error("the core did not let this user in; it may have been restarted this moment")]
    Refused,
    /// The connection broke.
    #[error("the connection to the core broke: {0}")]
    Broken(String),
    /// The core answered an error.
    #[error("{shape}: {message}")]
    Answered {
        /// Error shape without namespace.
        shape: String,
        /// Its sentence.
        message: String,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The command did what it could, without success.
    #[error("{0}")]
    Failed(String),
}

fn broken(error: impl std::fmt::Display) -> CliError {
    CliError::Broken(error.to_string())
}

/// A connection that was let in.
pub struct Client {
    socket: UnixStream,
    session: Session,
    input: Vec<u8>,
}

impl Client {
    /// Connects with the token of the user's file, or of one of the user's groups (CR 7.2).
    pub fn connect(root: &Path) -> Result<Self, CliError> {
        let folder = root.join(TOKENS);
        let user = format!("user-{}", rustix::process::geteuid().as_raw());
        let groups = rustix::process::getgroups().unwrap_or_default();
        let own_group = rustix::process::getegid();
        let groups = std::iter::once(own_group).chain(groups).map(|group| format!("group-{}", group.as_raw()));
        let mut names = std::iter::once(user).chain(groups);
        let text = names.find_map(|name| std::fs::read_to_string(folder.join(name)).ok());
        let file: Value = text.and_then(|text| serde_json::from_str(&text).ok()).ok_or(CliError::NoToken(folder))?;
        let member = |name: &str| file.get(name).and_then(Value::as_str).unwrap_or_default();
        Self::open(Path::new(member("domain_socket_path")), member("cli_auth_token"))
    }

    /// Connects to a socket with a token.
    pub fn open(path: &Path, token: &str) -> Result<Self, CliError> {
        let socket = connect(path).map_err(|source| CliError::Unreachable { path: path.to_owned(), source })?;
        let mut client = Self { socket, session: Session::new(), input: Vec::new() };
        let mut out = Vec::new();
        Session::connect(&mut out, json!({"authToken": token}).to_string().as_bytes()).map_err(broken)?;
        client.socket.write_all(&out).map_err(broken)?;
        client.next(|event| match event {
            Event::Connected { accepted: true } => Ok(()),
            Event::Connected { accepted: false } => Err(CliError::Refused),
            other => Err(broken(format!("an unexpected message: {other:?}"))),
        })?;
        Ok(client)
    }

    /// Calls an operation, `aws.greengrass#` unless it names its namespace.
    pub fn call(&mut self, operation: &str, request: &Value) -> Result<Value, CliError> {
        let name = if operation.contains('#') { operation.to_owned() } else { format!("aws.greengrass#{operation}") };
        let template = Session::request_template(&name).map_err(broken)?;
        let mut out = Vec::new();
        self.session.request(&mut out, &template, request.to_string().as_bytes()).map_err(broken)?;
        self.socket.write_all(&out).map_err(broken)?;
        self.message()
    }

    /// The next response or event.
    pub fn message(&mut self) -> Result<Value, CliError> {
        self.next(|event| match event {
            Event::Message { payload: [], .. } => Err(broken("the core ended the subscription")),
            Event::Message { payload, .. } => serde_json::from_slice(payload).map_err(broken),
            Event::Failure { model, payload, .. } => Err(answered(model, payload)),
            other => Err(broken(format!("an unexpected message: {other:?}"))),
        })
    }

    fn next<T>(&mut self, read: impl FnOnce(Event<'_>) -> Result<T, CliError>) -> Result<T, CliError> {
        loop {
            if let Some((frame, length)) = decode(&self.input).map_err(broken)? {
                let result = read(self.session.receive(&RpcFrame::read(frame).map_err(broken)?));
                self.input.drain(..length);
                return result;
            }
            let mut buffer = [0; READ_SIZE];
            match self.socket.read(&mut buffer).map_err(broken)? {
                0 => return Err(broken("the core closed it")),
                count => self.input.extend_from_slice(&buffer[..count]),
            }
        }
    }
}

fn answered(model: Option<&str>, payload: &[u8]) -> CliError {
    let text = String::from_utf8_lossy(payload).into_owned();
    let message = match serde_json::from_slice::<Value>(payload) {
        Ok(body) => body.get("message").and_then(Value::as_str).unwrap_or(&text).to_owned(),
        Err(_) => text,
    };
    let shape = model.map_or("error", |name| name.rsplit('#').next().unwrap_or(name)).to_owned();
    CliError::Answered { shape, message }
}

/// Connects; through the open folder when the path does not fit a socket address.
fn connect(path: &Path) -> std::io::Result<UnixStream> {
    if path.as_os_str().len() <= MAX_PATH {
        return UnixStream::connect(path);
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(std::io::ErrorKind::InvalidInput.into());
    };
    let folder = std::fs::File::open(folder)?;
    UnixStream::connect(PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name))
}
