//! The core's end of a component's network: answers its questions for names, and takes its connections where they may go.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::net::{Shutdown, shutdown, sockopt};
use smol_str::{SmolStr, ToSmolStr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket, lookup_host};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::attempts::attempts;
use crate::book::{Book, INSIDE};
use crate::dns::{self, Answer, Malformed};
use crate::hello::{HELLO_MAX_BYTES, Hello, server_name};
use crate::ledger::{Ledger, Outcome};
use marram_reach::{Policy, Tls};

/// Connections of one component at a time; further ones wait in the kernel.
const CONNECTIONS_MAX: usize = 512;
/// Moved at once. A connection holds this much only while something passes.
const COPY_BYTES: usize = 64 * 1024;
/// After so many the other tasks of the core have their turn.
const COPIES_AT_ONCE: usize = 8;
/// For each address of a host.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;
/// For the first message where TLS is required.
const HELLO_PATIENCE: Duration = Duration::from_secs(10);
/// For a question on a connection.
const QUESTION_PATIENCE: Duration = Duration::from_secs(5);
/// Pause after the system refused a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A dead host is noticed, though the component's own probes end here.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// One report of the kernel.
const REPORT_BYTES: usize = 4096;

/// Serves a connection of a component inside the core.
pub type LocalService = Arc<dyn Fn(SmolStr, TcpStream) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A service of the core that listens on the loopback inside the namespace.
#[derive(Clone)]
pub struct Local {
    /// Its port.
    pub port: u16,
    /// What it does.
    pub serve: LocalService,
}

/// The sockets that the launcher made inside.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Where questions for names come.
    pub questions: Option<OwnedFd>,
    /// The same for connections.
    pub question_connections: Option<OwnedFd>,
    /// At the declared ports.
    pub listeners: Vec<OwnedFd>,
    /// Reports of attempts at other ports.
    pub attempts: Option<OwnedFd>,
}

/// The network of a component; dropping it closes its doors and its connections.
#[derive(Debug)]
pub struct Network {
    tasks: Vec<JoinHandle<()>>,
    /// Its end ends the connections.
    _open: watch::Sender<()>,
}

struct Inner {
    component: SmolStr,
    policy: Arc<Policy>,
    book: Mutex<Book>,
    local: Vec<Local>,
    ledger: Arc<Ledger>,
    slots: Arc<Semaphore>,
    open: watch::Receiver<()>,
}

impl Network {
    /// Serves `sockets` until it is dropped.
    ///
    /// # Errors
    /// A socket is not what it should be.
    pub fn open(
        component: &SmolStr,
        policy: Arc<Policy>,
        sockets: Sockets,
        local: Vec<Local>,
        ledger: Arc<Ledger>,
    ) -> io::Result<Self> {
        let (sender, open) = watch::channel(());
        let inner = Arc::new(Inner {
            component: component.clone(),
            book: Mutex::new(Book::of(&policy)),
            policy,
            local,
            ledger,
            slots: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            open,
        });
        let mut network = Self { tasks: Vec::with_capacity(sockets.listeners.len() + 3), _open: sender };
        for listener in sockets.listeners {
            let listener = listening(listener)?;
            network.tasks.push(tokio::spawn(accept(Arc::clone(&inner), listener, carry)));
        }
        if let Some(listener) = sockets.question_connections {
            let listener = listening(listener)?;
            network.tasks.push(tokio::spawn(accept(Arc::clone(&inner), listener, converse)));
        }
        if let Some(socket) = sockets.questions {
            let socket = std::net::UdpSocket::from(socket);
            socket.set_nonblocking(true)?;
            network.tasks.push(tokio::spawn(answer_questions(Arc::clone(&inner), UdpSocket::from_std(socket)?)));
        }
        if let Some(reports) = sockets.attempts {
            // Not UDP, but read in the same way: one datagram at a time.
            let reports = std::net::UdpSocket::from(reports);
            reports.set_nonblocking(true)?;
            network.tasks.push(tokio::spawn(hear_attempts(inner, UdpSocket::from_std(reports)?)));
        }
        Ok(network)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn listening(listener: OwnedFd) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::from(listener);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

async fn accept<F>(inner: Arc<Inner>, listener: TcpListener, serve: impl Fn(Arc<Inner>, TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let Ok(slot) = Arc::clone(&inner.slots).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let served = serve(Arc::clone(&inner), stream);
                let mut open = inner.open.clone();
                tokio::spawn(async move {
                    // The other end may say nothing for as long as it likes, also after the component is gone.
                    tokio::select! {
                        () = served => {}
                        _ = open.changed() => {}
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(component = %inner.component, %error, "the system refused a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Where a connection was made to.
#[derive(Clone)]
enum Target {
    Name(SmolStr),
    Address(IpAddr),
}

impl Inner {
    fn target(&self, address: IpAddr) -> Target {
        let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.name_of(address).map_or(Target::Address(address), |name| Target::Name(name.clone()))
    }

    fn allowed(&self, target: &Target, port: u16) -> Option<Tls> {
        match target {
            Target::Name(name) if name == "localhost" => {
                let by_address = self.policy.of_address(Ipv4Addr::LOCALHOST.into(), port);
                self.policy.of_name(name, port).or(by_address)
            }
            Target::Name(name) => self.policy.of_name(name, port),
            Target::Address(address) => self.policy.of_address(*address, port),
        }
    }

    fn answer(&self, message: &[u8]) -> Option<Vec<u8>> {
        let question = match dns::question(message) {
            Ok(question) => question,
            Err(Malformed::Silent) => return None,
            Err(Malformed::Refused) => return Some(dns::reply(message, None, Answer::Failure)),
        };
        let name = &question.name;
        let answer = if name == "localhost" || self.policy.knows(name) {
            let address = || self.book.lock().unwrap_or_else(PoisonError::into_inner).address_of(name);
            match question.wants_address.then(address) {
                None => Answer::Nothing,
                Some(Some(address)) => Answer::Address(address),
                Some(None) => Answer::Failure,
            }
        } else {
            // Who looks for the name of an address, or for a service beside a host, is not looking for a host.
            if question.wants_address {
                self.ledger.note(name, 0, Outcome::UnknownName);
            }
            Answer::NoName
        };
        Some(dns::reply(message, Some(&question), answer))
    }
}

impl Target {
    fn word(&self) -> SmolStr {
        match self {
            Self::Name(name) => name.clone(),
            Self::Address(address) => address.to_smolstr(),
        }
    }
}

/// Ends a connection so that the component sees a reset, not an empty answer.
fn reset(stream: &TcpStream) {
    let _ = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

async fn carry(inner: Arc<Inner>, mut near: TcpStream) {
    let Ok(at) = near.local_addr() else { return };
    let (address, port) = (at.ip().to_canonical(), at.port());
    if address.is_loopback()
        && let Some(local) = inner.local.iter().find(|local| local.port == port)
    {
        return (local.serve)(inner.component.clone(), near).await;
    }
    let target = inner.target(address);
    let word = target.word();
    let Some(tls) = inner.allowed(&target, port) else {
        inner.ledger.note(&word, port, Outcome::Undeclared);
        return reset(&near);
    };
    let mut first = Vec::new();
    if tls == Tls::Required && !is_tls_for(&target, &mut near, &mut first).await {
        inner.ledger.note(&word, port, Outcome::NotTls);
        return reset(&near);
    }
    let mut far = match dial(&target, port, inner.policy.learn).await {
        Ok(far) => far,
        Err(outcome) => {
            inner.ledger.note(&word, port, outcome);
            return reset(&near);
        }
    };
    inner.ledger.note(&word, port, Outcome::Allowed);
    if tls == Tls::Required {
        inner.ledger.note_tls(&word, port);
    }
    let _ = near.set_nodelay(true);
    let _ = far.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(&far, true).and_then(|()| sockopt::set_tcp_keepidle(&far, KEEP_ALIVE));
    if !first.is_empty() && far.write_all(&first).await.is_err() {
        return reset(&near);
    }
    // What is learned about proposes TLS where it was seen.
    let see = |bytes: &[u8]| {
        if inner.policy.learn && server_name(bytes) == Hello::For(Some(word.clone())) {
            inner.ledger.note_tls(&word, port);
        }
    };
    if let Err(error) = tokio::try_join!(copy(&near, &far, see), copy(&far, &near, |_| ())) {
        tracing::debug!(component = %inner.component, host = %word, port, %error, "a forwarded connection broke");
        reset(&near);
        reset(&far);
    }
}

/// Reads the first message into `first`, and tells whether it is TLS for the target.
async fn is_tls_for(target: &Target, near: &mut TcpStream, first: &mut Vec<u8>) -> bool {
    let read = async {
        loop {
            match server_name(first) {
                Hello::NotTls => return false,
                // No server name can be an address.
                Hello::For(name) => return matches!(target, Target::Address(_)) || name == Some(target.word()),
                Hello::Incomplete if first.len() > HELLO_MAX_BYTES => return false,
                Hello::Incomplete => {}
            }
            if !matches!(near.read_buf(first).await, Ok(1..)) {
                return false;
            }
        }
    };
    timeout(HELLO_PATIENCE, read).await.unwrap_or(false)
}

/// Addresses that a name of the outside must not lead to, lest whoever answers for it opens the core's own machine.
fn is_inward(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            address.is_loopback()
                || address.is_unspecified()
                || address.is_link_local()
                || address.is_multicast()
                || address.is_broadcast()
        }
        IpAddr::V6(address) => {
            address.is_loopback()
                || address.is_unspecified()
                || address.is_unicast_link_local()
                || address.is_multicast()
        }
    }
}

/// Whether a name is the machine itself by its very meaning (RFC 6761 6.3).
fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

async fn dial(target: &Target, port: u16, learn: bool) -> Result<TcpStream, Outcome> {
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let addresses: Vec<SocketAddr> = match target {
        Target::Address(address) => vec![SocketAddr::new(*address, port)],
        Target::Name(name) if is_localhost(name) => loopback.map(|address| SocketAddr::new(address, port)).to_vec(),
        Target::Name(name) => {
            let found = timeout(CONNECT_PATIENCE, lookup_host((name.as_str(), port))).await;
            let found: Vec<_> = found.ok().and_then(Result::ok).into_iter().flatten().collect();
            let outward: Vec<_> = found.iter().copied().filter(|found| learn || !is_inward(found.ip())).collect();
            if outward.is_empty() && !found.is_empty() {
                return Err(Outcome::Inward);
            }
            outward
        }
    };
    for address in addresses.into_iter().take(ADDRESSES_MAX) {
        if let Ok(Ok(far)) = timeout(CONNECT_PATIENCE, TcpStream::connect(address)).await {
            return Ok(far);
        }
    }
    Err(Outcome::Failed)
}

/// Moves bytes until the one end closes, then closes the other. `see` is shown the first of them.
async fn copy(from: &TcpStream, to: &TcpStream, see: impl Fn(&[u8])) -> io::Result<()> {
    let mut is_first = true;
    loop {
        from.readable().await?;
        let mut buffer = Vec::with_capacity(COPY_BYTES);
        for _ in 0..COPIES_AT_ONCE {
            buffer.clear();
            match from.try_read_buf(&mut buffer) {
                Ok(0) => {
                    // The other side may be closed already.
                    let _ = shutdown(to.as_fd(), Shutdown::Write);
                    return Ok(());
                }
                Ok(_) => {
                    if std::mem::take(&mut is_first) {
                        see(&buffer);
                    }
                    send(to, &buffer).await?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        drop(buffer);
        tokio::task::yield_now().await;
    }
}

async fn send(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.try_write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => to.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn answer_questions(inner: Arc<Inner>, socket: UdpSocket) {
    loop {
        let mut message = [0; dns::MESSAGE_MAX_BYTES];
        match socket.recv_from(&mut message).await {
            Ok((count, from)) => {
                if let Some(reply) = inner.answer(&message[..count]) {
                    // Who does not read the answer asks again.
                    let _ = socket.try_send_to(&reply, from);
                }
            }
            // The kernel tells that an earlier answer found nobody.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
        tokio::task::yield_now().await;
    }
}

/// Questions on a connection, each after its length (RFC 7766 8).
async fn converse(inner: Arc<Inner>, mut stream: TcpStream) {
    let one = async |stream: &mut TcpStream| -> io::Result<()> {
        let length = usize::from(stream.read_u16().await?);
        if length > dns::MESSAGE_MAX_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut message = vec![0; length];
        stream.read_exact(&mut message).await?;
        let reply = inner.answer(&message).ok_or(io::ErrorKind::InvalidData)?;
        let framed = [&(reply.len() as u16).to_be_bytes()[..], &reply].concat();
        stream.write_all(&framed).await
    };
    while matches!(timeout(QUESTION_PATIENCE, one(&mut stream)).await, Ok(Ok(()))) {}
}

/// Counts attempts at ports where nobody listens.
async fn hear_attempts(inner: Arc<Inner>, reports: UdpSocket) {
    loop {
        if reports.readable().await.is_err() {
            return;
        }
        let mut packet = vec![0; REPORT_BYTES];
        // An error tells that some were lost.
        let count = reports.try_recv(&mut packet).unwrap_or_default();
        for attempt in attempts(&packet[..count]) {
            let address = attempt.to.ip();
            if address == IpAddr::V4(INSIDE) || (attempt.is_udp && address.is_loopback()) {
                continue;
            }
            let outcome = if attempt.is_udp { Outcome::Datagram } else { Outcome::Undeclared };
            inner.ledger.note(&inner.target(address).word(), attempt.to.port(), outcome);
        }
        tokio::task::yield_now().await;
    }
}
