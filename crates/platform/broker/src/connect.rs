//! From an accepted socket to an attached session: CONNECT, authentication, takeover, CONNACK.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use marram_mqtt::session::{InboundAliases, Negotiated, OutboundAliases, Refusal, negotiate};
use marram_mqtt::{
    ClientId, ConnAck, Connect, DecodeError, Packet, QoS, ReasonCode, Version, Will, decode_frame, next_frame,
};
use marram_mqtt_net::{PeerInfo, ReadBuffer, Transport};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::authorize::{ConnectAttributes, Denied, SessionAuthority};
use crate::broker::Core;
use crate::budget::Charge;
use crate::connection::{Connection, PendingWill};
use crate::lifecycle::{self, Subject};
use crate::message::Message;
use crate::rate::Throttled;
use crate::session::{Session, Signal};
use crate::store::Record;
use crate::sweep;
use crate::tenant::World;

/// How long a connection may take to make room for its successor.
const TAKEOVER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the last bytes to a peer may take.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes of a CONNECT that every stranger may send: all but a large will fits.
const CONNECT_SMALL: usize = 4 * 1024;
/// Bytes of larger ones that all strangers together may have sent and not finished. Five thousand may be connected
/// (SEC 12.2), and a CONNECT may be as large as any packet.
const CONNECTS_LARGE_MAX: usize = 16 * 1024 * 1024;

/// Serves a connection from its first byte to its last.
pub(crate) async fn serve<T: Transport>(
    core: Arc<Core>,
    transport: T,
    peer: PeerInfo,
    authenticated: impl FnOnce() + Send + 'static,
) {
    // Boxed, so that an established connection does not keep the room this needs.
    let Some(mut connection) = Box::pin(establish(core, transport, peer, authenticated)).await else { return };
    let end = std::future::poll_fn(|cx| connection.poll(cx)).await;
    Box::pin(connection.finish(end)).await;
}

async fn establish<T: Transport>(
    core: Arc<Core>,
    mut transport: T,
    peer: PeerInfo,
    authenticated: impl FnOnce() + Send,
) -> Option<Connection<T>> {
    let limit = core.options.connect_timeout;
    let mut read = ReadBuffer::default();
    let mut stranger = Stranger { core: Arc::clone(&core), counted: 0 };
    let received = timeout(limit, read_connect(&mut stranger, &mut transport, &mut read)).await.ok()?;
    let connect = match received {
        Ok(connect) => connect,
        Err(answer) => {
            core.metrics.connect_client_error.increment();
            if let Some((version, reason)) = answer {
                refuse(&mut transport, version, reason).await;
            }
            return None;
        }
    };
    let admitted = match timeout(limit, admit(&core, &peer, &connect)).await {
        Ok(admitted) => admitted,
        Err(_) => Err(Refusal(ReasonCode::SERVER_UNAVAILABLE)),
    };
    let attached = match admitted {
        Ok((terms, authority, will)) => attach(&core, &connect, terms, authority, will, peer.remote).await,
        Err(refusal) => Err(refusal),
    };
    match attached {
        Ok(attached) => {
            authenticated();
            core.metrics.connect_success.increment();
            core.metrics.connections.increment();
            Some(attached.into_connection(core, &connect, transport, read))
        }
        Err(Refusal(reason)) => {
            match reason {
                ReasonCode::NOT_AUTHORIZED | ReasonCode::BAD_USER_OR_PASSWORD => {
                    core.metrics.connect_auth_error.increment();
                }
                ReasonCode::SERVER_UNAVAILABLE => core.metrics.connect_server_error.increment(),
                // Counted where the reason is known.
                ReasonCode::QUOTA_EXCEEDED => {}
                _ => core.metrics.connect_client_error.increment(),
            }
            tracing::info!(remote = %peer.remote, client_id = %connect.client_id, %reason, "mqtt connect refused");
            refuse(&mut transport, connect.version, reason).await;
            None
        }
    }
}

/// Reads the first packet, which has to be CONNECT. `Err(Some(..))`: what to answer before closing.
async fn read_connect<T: Transport>(
    stranger: &mut Stranger,
    transport: &mut T,
    read: &mut ReadBuffer,
) -> Result<Connect, Option<(Version, ReasonCode)>> {
    let maximum = stranger.core.options.session.maximum_packet_size.get() as usize;
    loop {
        // Something that is not MQTT is recognized by its first byte, not after the timeout.
        if read.bytes.first().is_some_and(|&first| first != 0x10) {
            return Err(None);
        }
        match next_frame(&read.bytes, maximum) {
            Err(_) => return Err(None),
            Ok(Some(frame)) => {
                let mut packet = read.bytes.split_to(frame.total_len);
                packet.advance(frame.header_len);
                return match decode_frame(Version::V5, frame.header, &packet.freeze()) {
                    Ok(Packet::Connect(connect)) => Ok(*connect),
                    // MQTT-3.1.2-2: 3.1.1 answers with code 1, 5 with 0x84.
                    Err(DecodeError::UnsupportedVersion(level)) => {
                        let version = if level < 5 { Version::V4 } else { Version::V5 };
                        Err(Some((version, ReasonCode::UNSUPPORTED_VERSION)))
                    }
                    _ => Err(None),
                };
            }
            Ok(None) => {}
        }
        match std::future::poll_fn(|cx| transport.poll_read(cx, read)).await {
            Ok(0) | Err(_) => return Err(None),
            Ok(_) => {}
        }
        if !stranger.may_hold(read.bytes.len()) {
            return Err(None);
        }
    }
}

/// Somebody who has not been let in, and what is kept for them.
struct Stranger {
    core: Arc<Core>,
    counted: usize,
}

impl Stranger {
    /// Whether `bytes` of a CONNECT may be kept; not less than the last time.
    fn may_hold(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(CONNECT_SMALL).saturating_sub(self.counted);
        self.counted += more;
        self.core.connecting.fetch_add(more, Ordering::Relaxed) + more <= CONNECTS_LARGE_MAX || more == 0
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.core.connecting.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

async fn refuse<T: Transport>(transport: &mut T, version: Version, reason: ReasonCode) {
    let mut out = BytesMut::new();
    let connack = Packet::ConnAck(Box::new(Refusal(reason).connack()));
    if connack.encode(version, &mut out).is_ok() {
        farewell(transport, out).await;
    }
}

/// Writes the last bytes and closes; a peer that does not read them is left alone after a while.
pub(crate) async fn farewell<T: Transport>(transport: &mut T, mut out: BytesMut) {
    let goodbye = async {
        std::future::poll_fn(|cx| transport.poll_write(cx, &mut out)).await?;
        std::future::poll_fn(|cx| transport.poll_shutdown(cx)).await
    };
    // The peer may be gone already: nothing is owed to it.
    let _: Result<std::io::Result<()>, _> = timeout(FAREWELL_TIMEOUT, goodbye).await;
}

type Admitted = (Negotiated, Arc<dyn SessionAuthority>, Option<PendingWill>);

/// Terms, identity, permission to connect and to leave a will.
async fn admit(core: &Core, peer: &PeerInfo, connect: &Connect) -> Result<Admitted, Refusal> {
    let assigned = if connect.client_id.is_empty() { format!("auto-{}", uuid::Uuid::new_v4()) } else { String::new() };
    let terms = negotiate(connect, &core.options.session, &assigned)?;
    let authority = core.authenticator.authenticate(peer, connect).await.map_err(|denied| {
        Refusal(match denied {
            Denied::NotAuthorized => ReasonCode::NOT_AUTHORIZED,
            Denied::BadCredentials => ReasonCode::BAD_USER_OR_PASSWORD,
            Denied::Unavailable => ReasonCode::SERVER_UNAVAILABLE,
        })
    })?;
    let attributes = ConnectAttributes { persistent: terms.session_expiry_secs > 0, last_will: connect.will.is_some() };
    if !authority.connect(&terms.client_id, attributes).is_allow() {
        return Err(Refusal(ReasonCode::NOT_AUTHORIZED));
    }
    let will = match &connect.will {
        Some(will) => Some(check_will(core, &*authority, will)?),
        None => None,
    };
    throttle(core, &*authority, &terms.client_id)?;
    Ok((terms, authority, will))
}

/// Counts a CONNECT against the rates of its client id and account. Only here, where the client may connect: a stranger
/// does not use up the rate of somebody else's client id.
fn throttle(core: &Core, authority: &dyn SessionAuthority, client_id: &ClientId) -> Result<(), Refusal> {
    let (per_client, per_account) = match &core.options.quotas {
        Some(quotas) => (quotas.connects_per_client, Some(quotas.connects_per_account)),
        None => (core.options.connects_per_client, None),
    };
    let admitted = core.world(authority.tenant()).connects().admit(client_id, per_client, per_account, Instant::now());
    admitted.map_err(|throttled| {
        match throttled {
            Throttled::ClientId => core.metrics.connect_client_id_throttle.increment(),
            Throttled::Account => core.metrics.connect_throttle.increment(),
        }
        Refusal(ReasonCode::QUOTA_EXCEEDED)
    })
}

fn check_will(core: &Core, authority: &dyn SessionAuthority, will: &Will) -> Result<PendingWill, Refusal> {
    if !core.options.admits_topic(&will.topic) {
        return Err(Refusal(ReasonCode::TOPIC_NAME_INVALID));
    }
    if will.payload.len() > core.options.payload_max_bytes {
        core.metrics.connect_client_error.increment();
        return Err(Refusal(ReasonCode::QUOTA_EXCEEDED));
    }
    if !authority.publish(&will.topic, will.retain).is_allow() || will.topic.starts_with("$aws/") {
        return Err(Refusal(ReasonCode::NOT_AUTHORIZED));
    }
    let message = Message {
        topic: will.topic.clone(),
        payload: bytes::Bytes::copy_from_slice(&will.payload),
        qos: will.qos.min(QoS::AtLeastOnce),
        retain: will.retain,
        properties: (!will.properties.is_empty()).then(|| Box::new(will.properties.clone())),
        at: Instant::now(),
        charge: Charge::default(),
    };
    Ok(PendingWill { message: Box::new(message), delay_secs: will.delay_secs })
}

struct Attached {
    world: Arc<World>,
    session: Arc<Session>,
    permit: OwnedSemaphorePermit,
    authority: Arc<dyn SessionAuthority>,
    terms: Negotiated,
    will: Option<PendingWill>,
    present: bool,
    /// Position that has to be durable before the client may believe in its session.
    position: u64,
    number: u64,
    id: uuid::Uuid,
}

/// Makes the session of the client id ours: the newest connection wins (CP 5.2).
async fn attach(
    core: &Arc<Core>,
    connect: &Connect,
    terms: Negotiated,
    authority: Arc<dyn SessionAuthority>,
    will: Option<PendingWill>,
    remote: SocketAddr,
) -> Result<Attached, Refusal> {
    let world = core.world(authority.tenant());
    let number = core.connections.fetch_add(1, Ordering::Relaxed) + 1;
    let window = usize::from(terms.send_maximum);
    let (session, permit, existed) = loop {
        let (session, existed) = {
            let mut sessions = world.sessions();
            match sessions.get(&terms.client_id) {
                Some(session) => (Arc::clone(session), true),
                None => {
                    if sessions.len() >= core.options.sessions_per_account {
                        core.metrics.connect_throttle.increment();
                        return Err(Refusal(ReasonCode::QUOTA_EXCEEDED));
                    }
                    let session = Arc::new(Session::new(terms.client_id.clone(), window));
                    sessions.insert(terms.client_id.clone(), Arc::clone(&session));
                    (session, false)
                }
            }
        };
        session.newest.fetch_max(number, Ordering::AcqRel);
        if existed {
            session.signal(Signal::TakenOver);
        }
        let permit = timeout(TAKEOVER_TIMEOUT, Arc::clone(&session.attach).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return Err(Refusal(ReasonCode::SERVER_UNAVAILABLE)) };
        if session.inbox().closed {
            continue;
        }
        if session.newest.load(Ordering::Acquire) > number {
            // A newer connection waits for this very session: leave it to that one.
            return Err(Refusal(ReasonCode::SERVER_UNAVAILABLE));
        }
        break (session, permit, existed);
    };

    let present = existed && !connect.clean_start && session.is_persistent();
    let pending = session.standing().pending_will.take();
    if !present {
        // The old session ends here, and with it the wait of its will (MQTT 5 3.1.3.2.2).
        if let Some((message, _)) = pending {
            core.publish_will(&world, *message);
        }
        sweep::reset(core, &world, &session);
    }
    let mut position = open(core, &world, &session, &terms);
    match &will {
        Some(will) => position = position.max(core.keep_will(&world, &session, will)),
        None => core.forget_will(&world, &session),
    }
    prepare(core, &session, &terms, &*authority);
    let id = uuid::Uuid::new_v4();
    let subject = Subject { client_id: &session.client_id, authority: &*authority, connection: id };
    lifecycle::connected(core, &world, &subject, remote.ip());
    Ok(Attached { world, session, permit, authority, terms, will, present, position, number, id })
}

/// Records a persistent session, or that its expiry changed.
fn open(core: &Core, world: &World, session: &Session, terms: &Negotiated) -> u64 {
    let expiry_secs = terms.session_expiry_secs;
    let changed = {
        let mut standing = session.standing();
        standing.expires_at = None;
        std::mem::replace(&mut standing.expiry_secs, expiry_secs) != expiry_secs
    };
    let known = session.number.load(Ordering::Acquire);
    if expiry_secs == 0 || (known != 0 && !changed) {
        return 0;
    }
    let number = if known != 0 { known } else { core.next_session_number() };
    session.number.store(number, Ordering::Release);
    core.record(Record::SessionOpened {
        session: number,
        tenant: world.tenant.clone(),
        client_id: session.client_id.clone(),
        expiry_secs,
    })
}

fn prepare(core: &Core, session: &Session, terms: &Negotiated, authority: &dyn SessionAuthority) {
    let keep_alive = u32::from(terms.keep_alive_secs);
    // One and a half times, rounded up, and one for the clock's coarseness.
    session.patience_secs.store((keep_alive * 3).div_ceil(2) + 1, Ordering::Relaxed);
    session.last_heard.store(core.clock.now(), Ordering::Relaxed);
    session.ends_at.store(authority.valid_until().map_or(0, |until| core.clock.at(until)), Ordering::Relaxed);
    session.set_principal(authority.principal());
    session.flight().window.set_limit(terms.send_maximum.into());
    session.inbox().online = true;
}

impl Attached {
    fn into_connection<T: Transport>(
        self,
        core: Arc<Core>,
        connect: &Connect,
        transport: T,
        read: ReadBuffer,
    ) -> Connection<T> {
        let limits = &core.options.session;
        let connack: ConnAck = self.terms.connack(connect, limits, self.present);
        let terms = &self.terms;
        let aliases = terms.version == Version::V5;
        let mut connection = Connection::new(core, self.world, self.session, self.authority, transport);
        connection.version = terms.version;
        connection.number = self.number;
        connection.id = self.id;
        connection.send_packet_maximum = terms.send_packet_maximum;
        connection.permit = Some(self.permit);
        connection.will = self.will;
        // A client may send on before it has seen the CONNACK.
        connection.leftover = !read.bytes.is_empty();
        connection.read = read;
        connection.expiry_asked = terms.session_expiry_secs > 0;
        if aliases {
            connection.in_aliases = Some(Box::new(InboundAliases::new(marram_mqtt::session::alias::TOPIC_ALIAS_MAX)));
        }
        if terms.send_alias_maximum > 0 {
            connection.out_aliases = Some(Box::new(OutboundAliases::new(terms.send_alias_maximum)));
        }
        connection.greet(connack, self.position);
        connection
    }
}
