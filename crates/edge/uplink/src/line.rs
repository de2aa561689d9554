//! The line: one MQTT connection to the control plane, kept up for ever.
//!
//! One task owns socket and session. While the line is down it waits with a growing, jittered pause and still answers
//! commands; when it is up it subscribes again, sends from the spool within the window, and hands messages to subscribers
//! without ever waiting for one of them.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use marram_edge_ports::{CloudMessage, CloudPublish, Hurdle, PortError, Trouble};
use marram_mqtt::session::{ClientEvent, ClientSession, SendError};
use marram_mqtt::{
    ConnAck, Connect, DecodeError, Disconnect, Filter, Packet, PacketId, Publish, PublishProperties, QoS, ReasonCode,
    Subscribe, SubscribeOptions, Topic, TopicFilter, Unsubscribe, Version, decode, encode_puback,
};
use marram_mqtt_net::{Io, ReadBuffer, Transport};
use smol_str::SmolStr;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use crate::breaker::{Breaker, SUSPICION};
use crate::messages::Shared;
use crate::road::{Purpose, Road};
use crate::trouble;

/// Time for TCP, proxy, TLS and CONNACK together.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest packet from the control plane, bytes.
pub(crate) const PACKET_MAX: usize = 4 * 1024 * 1024;
/// Most requests unanswered at a time, subscriptions included.
const WINDOW: usize = 100;
/// Messages without an answer that are looked after at a time.
const WINDOW_UNANSWERABLE: usize = 64;
/// Pause before a refused subscription is tried again (CR 5.2), without its jitter.
const RESUBSCRIBE: Duration = Duration::from_secs(120);
/// A connection that held this long starts the pauses anew.
const STABLE: Duration = Duration::from_secs(20);

/// Whom to connect to and how; `services/aws.greengrass.Nucleus/configuration/mqtt` and `system` (CR 7.5).
#[derive(Debug, Clone)]
pub struct LineSettings {
    /// Thing name: the client id.
    pub client_id: String,
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How to reach it.
    pub road: Road,
    /// MQTT 5 rather than 3.1.1.
    pub mqtt5: bool,
    /// `keepAliveTimeoutMs`.
    pub keep_alive: Duration,
    /// `pingTimeoutMs`.
    pub ping_timeout: Duration,
    /// `maxInFlightPublishes`.
    pub in_flight: usize,
    /// `maxPublishRetry`; none: for ever.
    pub max_publish_retry: Option<u32>,
    /// `sessionExpirySeconds`.
    pub session_expiry_secs: u32,
    /// `receiveMaximum`.
    pub receive_maximum: u16,
    /// Shortest and longest pause between attempts.
    pub backoff: (Duration, Duration),
}

impl LineSettings {
    /// Settings with the defaults of CR 7.5.
    pub fn new(client_id: &str, host: &str, port: u16, road: Road) -> Self {
        LineSettings {
            client_id: client_id.to_owned(),
            host: host.to_owned(),
            port,
            road,
            mqtt5: true,
            keep_alive: Duration::from_secs(60),
            ping_timeout: Duration::from_secs(30),
            in_flight: 5,
            max_publish_retry: Some(100),
            session_expiry_secs: 604_800,
            receive_maximum: 100,
            backoff: (Duration::from_secs(1), Duration::from_secs(60)),
        }
    }

    pub(crate) fn version(&self) -> Version {
        if self.mqtt5 { Version::V5 } else { Version::V4 }
    }
}

/// What the handle asks of the line.
pub(crate) enum Command {
    Publish(CloudPublish, oneshot::Sender<Result<(), PortError>>),
    Subscribe(SmolStr, u8, oneshot::Sender<Result<(), PortError>>),
    Unsubscribe(SmolStr),
    Settings(Option<Arc<LineSettings>>),
    Stop(oneshot::Sender<()>),
}

enum Waiting {
    Spooled { id: u64, topic: SmolStr, sent: Instant },
    Unspooled { done: oneshot::Sender<Result<(), PortError>> },
    Subscribe { filter: SmolStr, sent: Instant, done: Option<oneshot::Sender<Result<(), PortError>>> },
    Unsubscribe,
}

/// Why a connection is over.
enum Over {
    Lost(Trouble),
    Settings,
    Stopped,
}

pub(crate) type Wire = Io<Box<dyn marram_http::Stream>>;

pub(crate) struct Line {
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: mpsc::Receiver<Command>,
    settings: Option<Arc<LineSettings>>,
    breaker: Breaker,
    /// The first connection of a process starts clean, later ones go on (CR 5.2).
    fresh: bool,
    stopped: Option<oneshot::Sender<()>>,
}

impl Line {
    pub(crate) fn new(
        shared: Arc<Shared>,
        commands: mpsc::Receiver<Command>,
        settings: Option<Arc<LineSettings>>,
    ) -> Self {
        Line { shared, commands, settings, breaker: Breaker::default(), fresh: true, stopped: None }
    }

    pub(crate) async fn run(mut self) {
        let mut pause = Duration::ZERO;
        loop {
            if !self.wait(pause).await {
                return;
            }
            let Some(settings) = self.settings.clone() else { continue };
            let started = Instant::now();
            match connect(&settings, self.fresh).await {
                Ok((wire, connack)) => {
                    tracing::info!(host = %settings.host, resumed = connack.session_present, "connected to the control plane");
                    let over = self.converse(&settings, wire, &connack).await;
                    self.shared.standing().down(None);
                    self.shared.connected.send_replace(false);
                    self.shared.spool.put_all_back();
                    match over {
                        Over::Stopped => {
                            if let Some(stopped) = self.stopped.take() {
                                // Whoever asked may have given up waiting.
                                let _ = stopped.send(());
                            }
                            return;
                        }
                        Over::Settings => {
                            self.fresh = true;
                            pause = Duration::ZERO;
                            continue;
                        }
                        Over::Lost(trouble) => {
                            let Trouble { reason, detail, .. } = &trouble;
                            tracing::info!(%reason, %detail, "the line to the control plane is down");
                            self.shared.standing().down(Some(trouble));
                        }
                    }
                    if started.elapsed() > STABLE {
                        pause = Duration::ZERO;
                    }
                }
                Err(error) => {
                    let trouble = trouble::of_connect(&error, &settings, self.shared.time());
                    let Trouble { reason, detail, .. } = &trouble;
                    tracing::info!(%reason, error = %detail, host = %settings.host, "cannot connect to the control plane");
                    self.shared.standing().down(Some(trouble));
                }
            }
            let (shortest, longest) = settings.backoff;
            pause = (pause * 2).clamp(shortest, longest);
        }
    }

    /// Lets `pause` pass, answering commands meanwhile; without settings it waits for some. False: stop.
    async fn wait(&mut self, pause: Duration) -> bool {
        let until = Instant::now() + jitter(pause);
        loop {
            let command = tokio::select! {
                command = self.commands.recv() => command,
                () = sleep_until(until), if self.settings.is_some() => return true,
            };
            match command {
                None => return false,
                Some(Command::Stop(done)) => {
                    let _ = done.send(());
                    return false;
                }
                Some(Command::Publish(_, done)) => {
                    let _ = done.send(Err(offline()));
                }
                // It is in the table of subscriptions and takes effect with the next connection.
                Some(Command::Subscribe(_, _, done)) => {
                    let _ = done.send(Ok(()));
                }
                Some(Command::Unsubscribe(_)) => {}
                Some(Command::Settings(settings)) => {
                    self.settings = settings;
                    self.fresh = true;
                    if self.settings.is_some() {
                        return true;
                    }
                }
            }
        }
    }

    async fn converse(&mut self, settings: &LineSettings, wire: Wire, connack: &ConnAck) -> Over {
        let keep_alive = connack
            .properties
            .server_keep_alive_secs
            .map_or(settings.keep_alive, |seconds| Duration::from_secs(seconds.max(1).into()));
        let mut session = ClientSession::new(settings.version(), WINDOW);
        let mut out = BytesMut::new();
        if let Err(error) = session.connected(connack, &mut out) {
            return Over::Lost(trouble::of_protocol(&error, settings));
        }
        self.fresh = false;
        let mut talk = Talk {
            settings,
            session,
            wire,
            out,
            waiting: HashMap::new(),
            publishing: 0,
            unanswerable: VecDeque::new(),
            denied: None,
            refused: HashMap::new(),
            keep_alive,
        };
        let calm = self.breaker.begin(Instant::now());
        if !calm.is_zero() {
            let seconds = calm.as_secs();
            tracing::warn!(
                seconds,
                "the control plane keeps hanging up over messages: those to topics it never took wait"
            );
        }
        for (filter, qos) in self.shared.filters() {
            if let Err(error) = talk.subscribe(&filter, qos, None) {
                tracing::warn!(%error, filter = %filter, "cannot subscribe again");
            }
        }
        self.shared.standing().up();
        self.shared.connected.send_replace(true);
        let mut over = self.talk(&mut talk).await;
        if let Over::Lost(trouble) = &mut over {
            let unanswered: Vec<(SmolStr, Instant)> = talk
                .waiting
                .values()
                .filter_map(|waiting| match waiting {
                    Waiting::Spooled { topic, sent, .. } => Some((topic.clone(), *sent)),
                    Waiting::Subscribe { filter, sent, .. } => Some((filter.clone(), *sent)),
                    Waiting::Unspooled { .. } | Waiting::Unsubscribe => None,
                })
                .collect();
            self.blame(&mut talk.denied, trouble, &unanswered, &talk.unanswerable, settings);
            for waiting in talk.waiting.into_values() {
                match waiting {
                    Waiting::Subscribe { done: Some(done), .. } => {
                        let _ =
                            done.send(Err(PortError::service("the line broke before the subscription was confirmed")));
                    }
                    Waiting::Unspooled { done } => {
                        let _ =
                            done.send(Err(PortError::service("the line broke before the message was acknowledged")));
                    }
                    Waiting::Subscribe { .. } | Waiting::Spooled { .. } | Waiting::Unsubscribe => {}
                }
            }
        }
        over
    }

    /// Finds out whether the control plane hung up over a message, and over which: MQTT 5 names the topic, or at least the reason;
    /// 3.1.1 only hangs up, and the same topic tells twice.
    fn blame(
        &mut self,
        denied: &mut Option<SmolStr>,
        trouble: &mut Trouble,
        unanswered: &[(SmolStr, Instant)],
        unanswerable: &VecDeque<(SmolStr, Instant)>,
        settings: &LineSettings,
    ) {
        let now = Instant::now();
        let mut topic = denied.take();
        if topic.is_none() && trouble.hurdle == Hurdle::Denied {
            topic = unanswerable.back().or(unanswered.last()).map(|(topic, _)| topic.clone());
            match &topic {
                Some(only) if unanswered.len() + unanswerable.len() == 1 => self.breaker.refused(only, now),
                Some(_) => {}
                None => self.breaker.doubt_all(),
            }
        } else if topic.is_none() {
            topic = self.breaker.blame(unanswered, now).first().cloned();
        }
        if let Some(topic) = topic {
            self.breaker.hung_up();
            *trouble = trouble::of_topic(&topic, settings);
            self.shared.standing().denied(&topic);
        }
    }

    async fn talk(&mut self, talk: &mut Talk<'_>) -> Over {
        let mut read = ReadBuffer::default();
        let mut last_sent = Instant::now();
        let mut ping_due: Option<Instant> = None;
        loop {
            self.fill(talk);
            if !talk.out.is_empty() {
                if let Err(error) = std::future::poll_fn(|cx| talk.wire.poll_write(cx, &mut talk.out)).await {
                    return Over::Lost(trouble::of_break(Some(&error), talk.settings));
                }
                last_sent = Instant::now();
            }
            let quiet = ping_due.unwrap_or(last_sent + talk.keep_alive);
            let wake = talk.wake(&self.breaker);
            let again = talk.refused.values().map(|(at, _)| *at).min();
            enum Event {
                Command(Option<Command>),
                Spool,
                Received(std::io::Result<usize>),
                Quiet,
                Again,
                Calm,
            }
            let room = talk.has_room(&self.breaker);
            let shared = Arc::clone(&self.shared);
            let event = tokio::select! {
                command = self.commands.recv() => Event::Command(command),
                () = shared.spool.news(), if room => Event::Spool,
                received = std::future::poll_fn(|cx| talk.wire.poll_read(cx, &mut read)) => Event::Received(received),
                () = sleep_until(quiet) => Event::Quiet,
                () = sleep_until(again.unwrap_or(quiet)), if again.is_some() => Event::Again,
                () = sleep_until(wake.unwrap_or(quiet)), if wake.is_some() => Event::Calm,
            };
            match event {
                Event::Command(None) => return Over::Stopped,
                Event::Command(Some(command)) => {
                    if let Some(over) = self.obey(talk, command).await {
                        return over;
                    }
                }
                Event::Spool | Event::Calm => {}
                Event::Received(Ok(count)) if count > 0 => {
                    ping_due = None;
                    loop {
                        match decode(talk.session.version(), &mut read.bytes, PACKET_MAX) {
                            Ok(Some(packet)) => {
                                if let Err(trouble) = self.receive(talk, packet) {
                                    return Over::Lost(trouble);
                                }
                            }
                            Ok(None) => break,
                            Err(error) => return Over::Lost(trouble::of_protocol(&error, talk.settings)),
                        }
                    }
                    read.release();
                }
                Event::Received(end) => return Over::Lost(trouble::of_break(end.err().as_ref(), talk.settings)),
                Event::Quiet if ping_due.is_some() => return Over::Lost(trouble::of_silence(talk.settings)),
                Event::Quiet => {
                    talk.out.extend_from_slice(&[0xc0, 0]);
                    ping_due = Some(Instant::now() + talk.settings.ping_timeout);
                }
                Event::Again => {
                    let now = Instant::now();
                    let due: Vec<(SmolStr, u8)> = talk
                        .refused
                        .iter()
                        .filter(|(_, (at, _))| *at <= now)
                        .map(|(filter, (_, qos))| (filter.clone(), *qos))
                        .collect();
                    for (filter, qos) in due {
                        talk.refused.remove(&filter);
                        if let Err(error) = talk.subscribe(&filter, qos, None) {
                            tracing::warn!(%error, filter = %filter, "cannot subscribe again");
                        }
                    }
                }
            }
        }
    }

    /// Sends from the spool while there is room.
    fn fill(&mut self, talk: &mut Talk<'_>) {
        talk.believe(&mut self.breaker);
        while talk.has_room(&self.breaker) {
            let now = Instant::now();
            let unsure = talk.is_unsure(&self.breaker);
            let breaker = &mut self.breaker;
            let alone = talk.waiting.is_empty();
            let wanted = |topic: &str| breaker.may_send(topic, unsure, now) && (alone || !breaker.is_suspect(topic));
            let spooled = match self.shared.spool.take(self.shared.now(), wanted) {
                Ok(Some(spooled)) => spooled,
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, "the spool cannot be read");
                    return;
                }
            };
            if talk.settings.max_publish_retry.is_some_and(|most| spooled.attempts > most) {
                tracing::warn!(topic = %spooled.message.topic, "a message was refused too often and is dropped");
                self.shared.spool.settle(spooled.id);
                continue;
            }
            let elapsed = (self.shared.now() - spooled.at).max(0) / 1000;
            let Some(publish) = publish_of(&spooled.message, u32::try_from(elapsed).unwrap_or(u32::MAX)) else {
                tracing::warn!(topic = %spooled.message.topic, "a spooled message cannot be sent and is dropped");
                self.shared.spool.settle(spooled.id);
                continue;
            };
            let qos = publish.qos;
            match talk.session.publish(publish, &mut talk.out) {
                Ok(Some(id)) => {
                    talk.publishing += 1;
                    let topic = spooled.message.topic.as_str().into();
                    talk.waiting.insert(id, Waiting::Spooled { id: spooled.id, topic, sent: Instant::now() });
                }
                Ok(None) => {
                    debug_assert_eq!(qos, QoS::AtMostOnce);
                    talk.went(&spooled.message.topic, &self.breaker);
                    self.shared.spool.settle(spooled.id);
                }
                Err(SendError::WindowFull) => {
                    self.shared.spool.put_back(spooled.id, false);
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, topic = %spooled.message.topic, "a spooled message cannot be sent and is dropped");
                    self.shared.spool.settle(spooled.id);
                }
            }
        }
    }

    /// Whether a message to this topic might end the connection.
    fn holds_back(&mut self, talk: &mut Talk<'_>, topic: &str) -> bool {
        talk.believe(&mut self.breaker);
        let unsure = talk.is_unsure(&self.breaker);
        !self.breaker.may_send(topic, unsure, Instant::now())
    }

    async fn obey(&mut self, talk: &mut Talk<'_>, command: Command) -> Option<Over> {
        match command {
            Command::Publish(message, done) if message.qos == 0 && self.holds_back(talk, &message.topic) => {
                let _ = done.send(Err(PortError::service(format!(
                    "the control plane hangs up over messages that this core may not publish: {} is held back for a while",
                    message.topic
                ))));
            }
            Command::Publish(message, done) => {
                if message.qos == 0 {
                    talk.went(&message.topic, &self.breaker);
                }
                let outcome = match publish_of(&message, 0) {
                    Some(publish) => match talk.session.publish(publish, &mut talk.out) {
                        Ok(Some(id)) => {
                            talk.waiting.insert(id, Waiting::Unspooled { done });
                            return None;
                        }
                        Ok(None) => Ok(()),
                        Err(error @ SendError::WindowFull) => Err(PortError::service(error.to_string())),
                        Err(error) => Err(PortError::InvalidArguments(error.to_string())),
                    },
                    None => Err(PortError::InvalidArguments("the topic is malformed".to_owned())),
                };
                let _ = done.send(outcome);
            }
            Command::Subscribe(filter, qos, done) => {
                if self.breaker.is_quarantined(&filter, Instant::now()) {
                    let _ = done.send(Err(PortError::service(format!(
                        "the control plane hangs up over {filter}: it is set aside for a while"
                    ))));
                } else if let Err(error) = talk.subscribe(&filter, qos, Some(done)) {
                    tracing::warn!(%error, filter = %filter, "cannot subscribe");
                }
            }
            Command::Unsubscribe(filter) => {
                talk.refused.remove(&filter);
                if let Ok(filter) = TopicFilter::new(&filter) {
                    let packet =
                        Unsubscribe { packet_id: PacketId::MIN, filters: vec![filter], user_properties: Vec::new() };
                    if let Ok(Some(id)) = talk.session.unsubscribe(packet, &mut talk.out) {
                        talk.waiting.insert(id, Waiting::Unsubscribe);
                    }
                }
            }
            Command::Settings(settings) => {
                self.settings = settings;
                talk.goodbye().await;
                return Some(Over::Settings);
            }
            Command::Stop(done) => {
                talk.goodbye().await;
                self.stopped = Some(done);
                return Some(Over::Stopped);
            }
        }
        None
    }

    /// What a packet means; why the connection is over with it, where it is.
    fn receive(&mut self, talk: &mut Talk<'_>, packet: Packet) -> Result<(), Trouble> {
        match talk.session.receive(packet).map_err(|error| trouble::of_protocol(&error, talk.settings))? {
            Some(ClientEvent::Message(publish)) => {
                if let Some(id) = publish.packet_id {
                    encode_puback(&mut talk.out, id);
                }
                if let Some(message) = message_of(publish) {
                    self.shared.deliver(&message);
                }
            }
            Some(ClientEvent::Published(id, reason)) => match talk.waiting.remove(&id) {
                Some(Waiting::Unspooled { done }) => {
                    let refused =
                        || Err(PortError::service(format!("the control plane refused the message: {reason}")));
                    let _ = done.send(if reason.is_error() { refused() } else { Ok(()) });
                }
                Some(Waiting::Spooled { id, topic, .. }) => {
                    talk.publishing -= 1;
                    self.breaker.absolve(&topic);
                    if is_final(reason) {
                        if reason == ReasonCode::NOT_AUTHORIZED {
                            self.breaker.refused(&topic, Instant::now());
                            talk.denied = Some(topic.clone());
                        }
                        if reason.is_error() {
                            tracing::warn!(%topic, %reason, "the control plane refused a message for good");
                        } else {
                            self.breaker.took(&topic);
                        }
                        self.shared.spool.settle(id);
                    } else {
                        tracing::debug!(%topic, %reason, "the control plane refused a message, it is sent again");
                        self.shared.spool.put_back(id, true);
                    }
                }
                _ => {}
            },
            Some(ClientEvent::Subscribed(id, reasons)) => {
                if let Some(Waiting::Subscribe { filter, done, .. }) = talk.waiting.remove(&id) {
                    self.breaker.absolve(&filter);
                    let reason = reasons.first().copied().unwrap_or(ReasonCode::UNSPECIFIED_ERROR);
                    let outcome = if reason.is_error() {
                        if done.is_none() {
                            let qos = self.shared.qos_of(&filter);
                            talk.refused
                                .insert(filter.clone(), (Instant::now() + RESUBSCRIBE + jitter(RESUBSCRIBE / 12), qos));
                        }
                        Err(PortError::InvalidArguments(format!("the control plane refused {filter}: {reason}")))
                    } else {
                        Ok(())
                    };
                    if let Some(done) = done {
                        let _ = done.send(outcome);
                    }
                }
            }
            Some(ClientEvent::Unsubscribed(id, _)) => drop(talk.waiting.remove(&id)),
            Some(ClientEvent::Closed(disconnect)) => {
                return Err(trouble::of_disconnect(disconnect.reason, talk.settings));
            }
            Some(ClientEvent::Pong) | None => {}
        }
        Ok(())
    }
}

/// One connection's state.
struct Talk<'a> {
    settings: &'a LineSettings,
    session: ClientSession,
    wire: Wire,
    out: BytesMut,
    waiting: HashMap<PacketId, Waiting>,
    publishing: usize,
    /// Topics of messages of QoS 0 that were sent a moment ago and were never taken before.
    unanswerable: VecDeque<(SmolStr, Instant)>,
    /// The topic that the control plane named as one that may not be published to.
    denied: Option<SmolStr>,
    /// Filters the control plane refused, when to try again, and their QoS.
    refused: HashMap<SmolStr, (Instant, u8)>,
    keep_alive: Duration,
}

impl Talk<'_> {
    /// A message without an answer is on its way.
    fn went(&mut self, topic: &str, breaker: &Breaker) {
        if self.unanswerable.len() < WINDOW_UNANSWERABLE && !breaker.is_taken(topic) {
            self.unanswerable.push_back((topic.into(), Instant::now()));
        }
    }

    /// Messages without an answer over which nobody hung up were taken.
    fn believe(&mut self, breaker: &mut Breaker) {
        while let Some((topic, _)) = self.unanswerable.pop_front_if(|(_, sent)| sent.elapsed() > SUSPICION) {
            breaker.took(&topic);
        }
    }

    /// Whether a message is under way to a topic that was never taken; looked at only where it matters.
    fn is_unsure(&self, breaker: &Breaker) -> bool {
        let is_new = |waiting: &Waiting| matches!(waiting, Waiting::Spooled { topic, .. } if !breaker.is_taken(topic));
        breaker.is_wary() && (!self.unanswerable.is_empty() || self.waiting.values().any(is_new))
    }

    /// When more may be sent without anything new.
    fn wake(&self, breaker: &Breaker) -> Option<Instant> {
        let believed = self.unanswerable.front().map(|(_, sent)| *sent + SUSPICION + Duration::from_millis(1));
        believed.into_iter().chain(breaker.calm_until(Instant::now())).min()
    }

    /// Suspects travel alone: while any is known, one request at a time.
    fn has_room(&self, breaker: &Breaker) -> bool {
        let most = if breaker.has_suspects() { 1 } else { self.settings.in_flight.clamp(1, WINDOW - 1) };
        self.publishing < most && self.session.unanswered() < WINDOW
    }

    fn subscribe(
        &mut self,
        filter: &SmolStr,
        qos: u8,
        done: Option<oneshot::Sender<Result<(), PortError>>>,
    ) -> Result<(), SendError> {
        let Ok(parsed) = TopicFilter::new(filter) else {
            if let Some(done) = done {
                let _ = done.send(Err(PortError::InvalidArguments(format!("{filter} is not a topic filter"))));
            }
            return Ok(());
        };
        let options = SubscribeOptions { qos: qos_of(qos), ..SubscribeOptions::default() };
        let packet = Subscribe {
            packet_id: PacketId::MIN,
            filters: vec![Filter { filter: parsed, options }],
            subscription_id: None,
            user_properties: Vec::new(),
        };
        match self.session.subscribe(packet, &mut self.out) {
            Ok(Some(id)) => {
                self.waiting.insert(id, Waiting::Subscribe { filter: filter.clone(), sent: Instant::now(), done });
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(error) => {
                self.refused.insert(filter.clone(), (Instant::now() + Duration::from_secs(1), qos));
                if let Some(done) = done {
                    let _ = done.send(Ok(()));
                }
                Err(error)
            }
        }
    }

    async fn goodbye(&mut self) {
        let packet = Packet::Disconnect(Disconnect::new(ReasonCode::SUCCESS));
        if packet.encode(self.session.version(), &mut self.out).is_err() {
            return;
        }
        let last = async {
            std::future::poll_fn(|cx| self.wire.poll_write(cx, &mut self.out)).await?;
            std::future::poll_fn(|cx| self.wire.poll_shutdown(cx)).await
        };
        // A peer that does not take it is left.
        let _: Result<std::io::Result<()>, _> = timeout(Duration::from_secs(2), last).await;
    }
}

/// Reasons after which a message is not sent again (CR 7.6, 5).
fn is_final(reason: ReasonCode) -> bool {
    !reason.is_error()
        || [ReasonCode::TOPIC_NAME_INVALID, ReasonCode::PAYLOAD_FORMAT_INVALID, ReasonCode::NOT_AUTHORIZED]
            .contains(&reason)
}

fn offline() -> PortError {
    PortError::service("the client is offline and QoS is 0")
}

fn qos_of(qos: u8) -> QoS {
    if qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce }
}

pub(crate) fn publish_of(message: &CloudPublish, elapsed_secs: u32) -> Option<Publish> {
    let topic = Topic::new(&message.topic).ok()?;
    let mut publish = Publish::new(topic, message.payload.clone());
    publish.qos = qos_of(message.qos);
    publish.retain = message.retain;
    publish.properties = PublishProperties {
        payload_is_utf8: message.payload_is_text,
        message_expiry_secs: message.message_expiry_seconds.map(|seconds| seconds.saturating_sub(elapsed_secs).max(1)),
        response_topic: message.response_topic.as_deref().map(SmolStr::new),
        correlation_data: message.correlation_data.clone(),
        user_properties: message
            .user_properties
            .iter()
            .map(|(key, value)| (SmolStr::new(key), SmolStr::new(value)))
            .collect(),
        content_type: message.content_type.as_deref().map(SmolStr::new),
        ..PublishProperties::default()
    };
    Some(publish)
}

fn message_of(publish: Publish) -> Option<CloudMessage> {
    let topic = publish.topic?;
    let properties = publish.properties;
    Some(CloudMessage {
        topic: topic.to_string(),
        qos: if publish.qos == QoS::AtMostOnce { 0 } else { 1 },
        payload: publish.payload,
        retain: publish.retain,
        user_properties: properties
            .user_properties
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
        message_expiry_seconds: properties.message_expiry_secs,
        correlation_data: properties.correlation_data,
        response_topic: properties.response_topic.map(|topic| topic.to_string()),
        payload_is_text: properties.payload_is_utf8,
        content_type: properties.content_type.map(|kind| kind.to_string()),
    })
}

pub(crate) async fn connect(settings: &LineSettings, fresh: bool) -> Result<(Wire, ConnAck), ConnectError> {
    let version = settings.version();
    let mut connect = Connect::new(version, settings.client_id.as_str());
    connect.clean_start = fresh;
    connect.keep_alive_secs = u16::try_from(settings.keep_alive.as_secs()).unwrap_or(u16::MAX);
    if settings.mqtt5 {
        connect.properties.session_expiry_secs = Some(settings.session_expiry_secs);
        connect.properties.receive_maximum = NonZeroU16::new(settings.receive_maximum);
    }
    timeout(CONNECT_TIMEOUT, async {
        let stream = settings.road.open(Purpose::Mqtt, &settings.host, settings.port).await?;
        let mut wire = Io::new(stream);
        let mut out = BytesMut::new();
        Packet::Connect(Box::new(connect)).encode(version, &mut out).map_err(SendError::from)?;
        std::future::poll_fn(|cx| wire.poll_write(cx, &mut out)).await?;
        let mut read = ReadBuffer::default();
        loop {
            match decode(version, &mut read.bytes, PACKET_MAX)? {
                Some(Packet::ConnAck(connack)) if connack.reason == ReasonCode::SUCCESS => return Ok((wire, *connack)),
                Some(Packet::ConnAck(connack)) => return Err(ConnectError::Refused(connack.reason)),
                Some(_) => return Err(DecodeError::Protocol("not a CONNACK").into()),
                None => {}
            }
            if std::future::poll_fn(|cx| wire.poll_read(cx, &mut read)).await? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
        }
    })
    .await
    .map_err(|_| ConnectError::Timeout)?
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the control plane broke the protocol: {0}")]
    Protocol(#[from] DecodeError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("the control plane refused the connection: {0}")]
    Refused(ReasonCode),
    #[error("no connection in time")]
    Timeout,
}

/// Between half and the whole of `pause`, so that a fleet does not come back in step.
fn jitter(pause: Duration) -> Duration {
    let mut random = [0; 2];
    // Without randomness the fleet comes back in step; that is all.
    let _ = aws_lc_rs::rand::fill(&mut random);
    pause / 2 + pause.mul_f64(f64::from(u16::from_le_bytes(random)) / 131_072.0)
}
