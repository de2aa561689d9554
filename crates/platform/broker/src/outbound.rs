//! Messages to a client: out of the inbox, past permission, expiry and window, into the write buffer.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use marram_mqtt::session::{OutboundAliases, Outgoing};
use marram_mqtt::{PacketId, PublishHead, PublishProperties, QoS, Topic, Version, encode_publish};
use marram_mqtt_net::Transport;

use crate::authorize::{Decision, SessionAuthority};
use crate::budget::Class;
use crate::connection::Connection;
use crate::message::Message;
use crate::session::{Delivery, Flight};
use crate::topic_cache::{Entry, TopicCache};

/// QoS 1 messages taken out of the inbox while the window is full; QoS 0 messages behind them still go out.
const WAITING_MAX: usize = 256;

/// What a connection remembers of a topic it receives.
pub(crate) struct ReceiveEntry {
    topic: Topic,
    version: u64,
    decision: Decision,
}

impl Entry for ReceiveEntry {
    fn topic(&self) -> &Topic {
        &self.topic
    }
}

/// Asks the authority once per topic and version.
pub(crate) fn may_receive(
    cache: &mut TopicCache<ReceiveEntry>,
    authority: &dyn SessionAuthority,
    topic: &Topic,
) -> bool {
    let version = authority.version();
    if let Some(entry) = cache.find(topic.as_bytes()) {
        if entry.version != version {
            entry.version = version;
            entry.decision = authority.receive(topic);
        }
        return entry.decision.is_allow();
    }
    let decision = authority.receive(topic);
    cache.insert(ReceiveEntry { topic: topic.clone(), version, decision });
    decision.is_allow()
}

/// The parts of a connection that writing a message needs, apart from the session's locks.
struct Writer<'a> {
    out: &'a mut BytesMut,
    version: Version,
    packet_maximum: usize,
    aliases: Option<&'a mut OutboundAliases>,
}

/// What became of one delivery.
enum Fate {
    Sent,
    Denied,
    Expired,
    TooLarge,
}

impl<T: Transport> Connection<T> {
    /// Moves deliveries to the write buffer until it is full or there are none. Whether any moved.
    pub(crate) fn fill(&mut self) -> bool {
        if !self.has_room() {
            return false;
        }
        let session = Arc::clone(&self.session);
        let mut flight = session.flight();
        let now = Instant::now();
        let mut released = 0;
        let (mut sent, mut denied, mut expired, mut too_large) = (0, 0, 0, 0);
        let mut settled = Vec::new();
        let chunk = self.chunk();
        while self.out.len() < chunk {
            let Some(delivery) = self.next(&mut flight) else { break };
            released += delivery.weight();
            let sequence = delivery.sequence;
            let fate = self.write(&mut flight, delivery, now);
            match fate {
                Fate::Sent => sent += 1,
                Fate::Denied => denied += 1,
                Fate::Expired => expired += 1,
                Fate::TooLarge => too_large += 1,
            }
            if sequence != 0 && !matches!(fate, Fate::Sent) {
                settled.push(sequence);
            }
        }
        drop(flight);
        if released == 0 {
            return false;
        }
        session.release(released, self.core.queue_limits);
        let metrics = &self.core.metrics;
        metrics.publish_out_success.add(sent);
        metrics.publish_out_auth_error.add(denied);
        metrics.messages_expired.add(expired);
        metrics.publish_out_client_error.add(too_large);
        self.core.settle(&session, settled);
        true
    }

    /// The next delivery that may be sent now, in order within each QoS.
    fn next(&mut self, flight: &mut Flight) -> Option<Delivery> {
        loop {
            let is_full = self.is_window_full(flight);
            if !is_full && let Some(delivery) = flight.waiting.pop_front() {
                return Some(delivery);
            }
            self.window_blocked = flight.waiting.len() >= WAITING_MAX;
            if self.window_blocked {
                return None;
            }
            if self.backlog.is_empty() {
                self.session.take(&mut self.backlog);
            }
            let delivery = self.backlog.pop_front()?;
            if delivery.qos == QoS::AtMostOnce || !is_full {
                return Some(delivery);
            }
            flight.waiting.push_back(delivery);
        }
    }

    /// Whether a QoS 1 message has to wait for a PUBACK. With no room left for messages, one at a time is in flight:
    /// clients that acknowledge nothing do not keep a hundred large ones each.
    fn is_window_full(&self, flight: &Flight) -> bool {
        flight.window.is_full() || (!flight.window.is_empty() && self.core.queue_limits.budget.free(Class::Kept) == 0)
    }

    fn write(&mut self, flight: &mut Flight, delivery: Delivery, now: Instant) -> Fate {
        let message = &delivery.message;
        let Ok(expiry) = message.remaining_expiry(now) else { return Fate::Expired };
        if !may_receive(&mut self.received, &*self.authority, &message.topic) {
            return Fate::Denied;
        }
        let packet_id = match delivery.qos {
            QoS::AtMostOnce => None,
            _ => match flight.window.next_id() {
                Some(packet_id) => Some(packet_id),
                None => return Fate::TooLarge,
            },
        };
        let mut writer = Writer {
            out: &mut self.out,
            version: self.version,
            packet_maximum: self.send_packet_maximum,
            aliases: self.out_aliases.as_deref_mut(),
        };
        let head = PublishHead { dup: false, qos: delivery.qos, retain: delivery.retain, packet_id };
        if !writer.publish(message, head, expiry) {
            return Fate::TooLarge;
        }
        if packet_id.is_some() && flight.window.push(delivery).is_err() {
            return Fate::TooLarge;
        }
        Fate::Sent
    }

    /// The client has a message.
    pub(crate) fn acknowledge(&mut self, packet_id: PacketId) {
        // An unknown id is no offence: the message may have been sent before the client lost its session.
        if let Some(delivery) = self.session.flight().window.acknowledge(packet_id)
            && delivery.sequence != 0
        {
            self.settled.push(delivery.sequence);
        }
    }

    /// Tells the store, once per batch, which messages the client has.
    pub(crate) fn settle_acknowledged(&mut self) {
        if !self.settled.is_empty() {
            let settled = std::mem::take(&mut self.settled);
            self.core.settle(&self.session, settled);
        }
    }

    /// Sends again what an earlier connection sent and the client did not acknowledge (MQTT-4.4.0-1).
    pub(crate) fn resend(&mut self) {
        let session = Arc::clone(&self.session);
        let flight = session.flight();
        let mut writer = Writer {
            out: &mut self.out,
            version: self.version,
            packet_maximum: self.send_packet_maximum,
            aliases: self.out_aliases.as_deref_mut(),
        };
        for (packet_id, delivery) in flight.window.iter() {
            let expiry = delivery.message.remaining_expiry(Instant::now()).ok().flatten();
            let head =
                PublishHead { dup: true, qos: delivery.qos, retain: delivery.retain, packet_id: Some(packet_id) };
            writer.publish(&delivery.message, head, expiry);
        }
    }
}

impl Writer<'_> {
    /// Appends the message. `false`: the client does not accept packets of its size (MQTT-3.1.2-24).
    fn publish(&mut self, message: &Message, head: PublishHead, expiry: Option<u32>) -> bool {
        let start = self.out.len();
        let mut properties = None;
        let mut topic: &str = &message.topic;
        if self.version == Version::V5 {
            let alias = self.aliases.as_deref_mut().map_or(Outgoing::Full, |aliases| aliases.assign(&message.topic));
            let number: Option<NonZeroU16> = match alias {
                Outgoing::Full => None,
                Outgoing::Define(alias) => Some(alias),
                Outgoing::Alias(alias) => {
                    topic = "";
                    Some(alias)
                }
            };
            if message.properties.is_some() || number.is_some() {
                let mut own = message.properties.as_deref().cloned().unwrap_or_default();
                own.message_expiry_secs = expiry;
                own.topic_alias = number;
                properties = Some(own);
            }
        }
        let properties: Option<&PublishProperties> = properties.as_ref();
        let written = encode_publish(self.version, self.out, head, topic, properties, &message.payload);
        if written.is_err() || self.out.len() - start > self.packet_maximum {
            self.out.truncate(start);
            if let Some(aliases) = self.aliases.as_deref_mut() {
                // The client never saw the definition.
                aliases.reset();
            }
            return false;
        }
        true
    }
}
