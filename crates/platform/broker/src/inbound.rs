//! Packets from a client: what each of them does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::{Buf, Bytes};
use marram_mqtt::{
    Ack, DecodeError, Disconnect, Packet, PacketId, PublishProperties, PublishView, QoS, ReasonCode, RetainHandling,
    SubAck, Subscribe, Topic, UnsubAck, Unsubscribe, Version, decode_frame, encode_puback, next_frame,
};
use marram_mqtt_net::Transport;
use tokio::sync::oneshot;

use crate::authorize::Decision;
use crate::budget::Charge;
use crate::connection::{Connection, End, Owed};
use crate::deliver::deliver;
use crate::intercept::{Interception, Origin, Reply};
use crate::lifecycle::{self, DisconnectReason};
use crate::message::Message;
use crate::retained::RetainRefused;
use crate::routes::{Route, Routes};
use crate::session::{Delivery, QueueLimits, Session};
use crate::store::Record;
use crate::topic_cache::Entry;

/// What a connection remembers of a topic it publishes on. The text was checked once.
pub(crate) struct PublishEntry {
    topic: Topic,
    reserved: bool,
    /// Version of the authority the two decisions are from.
    version: u64,
    plain: Option<Decision>,
    retain: Option<Decision>,
    bucket: usize,
    stamp: u64,
    route: Option<Arc<Route>>,
}

impl Entry for PublishEntry {
    fn topic(&self) -> &Topic {
        &self.topic
    }
}

fn protocol(error: DecodeError) -> End {
    End::client_error(error.reason())
}

const PROTOCOL_ERROR: End =
    End { reason: DisconnectReason::ClientError, code: Some(ReasonCode::PROTOCOL_ERROR), will: true };

impl<T: Transport> Connection<T> {
    /// Works through the complete packets that were read. Whether there was any.
    pub(crate) fn work(&mut self) -> Result<bool, End> {
        let maximum = self.core.options.session.maximum_packet_size.get() as usize;
        self.read_at = Instant::now();
        let mut published = 0;
        let mut any = false;
        let result = loop {
            // A full receiver is waited for before the next packet: many publishers with a batch each would bury it.
            let waits = self.batch.congested.is_some() || self.pace.as_ref().is_some_and(|pace| pace.is_paused());
            if waits || !self.may_owe() {
                self.leftover = true;
                break Ok(any);
            }
            let frame = match next_frame(&self.read.bytes, maximum) {
                Ok(Some(frame)) => frame,
                Ok(None) => break Ok(any),
                Err(error) => break Err(protocol(error)),
            };
            any = true;
            let mut body = self.read.bytes.split_to(frame.total_len).freeze();
            body.advance(frame.header_len);
            let done = if frame.header.kind == 3 {
                self.on_publish(frame.header.flags, &body).map(|accepted| published += u64::from(accepted))
            } else if let (4, &[high, low]) = (frame.header.kind, &body[..]) {
                // PUBACK without words: one per delivered message, so it takes the short way.
                match PacketId::new(u16::from_be_bytes([high, low])) {
                    Some(packet_id) => {
                        self.acknowledge(packet_id);
                        Ok(())
                    }
                    None => Err(PROTOCOL_ERROR),
                }
            } else {
                decode_frame(self.version, frame.header, &body)
                    .map_err(protocol)
                    .and_then(|packet| self.on_packet(packet))
            };
            if let Err(end) = done {
                break Err(end);
            }
        };
        self.core.metrics.publish_in_success.add(published);
        self.settle_acknowledged();
        result
    }

    fn on_packet(&mut self, packet: Packet) -> Result<(), End> {
        match packet {
            Packet::PubAck(ack) => {
                self.acknowledge(ack.packet_id);
                Ok(())
            }
            Packet::Subscribe(subscribe) => self.on_subscribe(subscribe),
            Packet::Unsubscribe(unsubscribe) => self.on_unsubscribe(unsubscribe),
            Packet::PingReq => {
                self.core.metrics.ping_success.increment();
                self.answer(0, Packet::PingResp);
                Ok(())
            }
            Packet::Disconnect(disconnect) => Err(self.on_disconnect(&disconnect)),
            // QoS 2 is not spoken here, so its packets have nothing to refer to (CP 5.2).
            Packet::PubRec(_) | Packet::PubRel(_) | Packet::PubComp(_) => {
                Err(End::client_error(ReasonCode::QOS_NOT_SUPPORTED))
            }
            Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::Publish(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp
            | Packet::Auth(_) => Err(PROTOCOL_ERROR),
        }
    }

    /// Whether the message was accepted; one that was not is answered, and the connection goes on.
    fn on_publish(&mut self, flags: u8, body: &Bytes) -> Result<bool, End> {
        let view = PublishView::parse(self.version, flags, body).map_err(protocol)?;
        if view.qos == QoS::ExactlyOnce {
            self.core.metrics.publish_in_client_error.increment();
            return Err(End::client_error(ReasonCode::QOS_NOT_SUPPORTED));
        }
        if view.payload_len() > self.core.options.payload_max_bytes {
            self.core.metrics.publish_in_client_error.increment();
            return Err(End::client_error(ReasonCode::PACKET_TOO_LARGE));
        }
        if let Some(pace) = &mut self.pace
            && pace.spend(view.payload_len())
        {
            self.core.metrics.publish_in_throttle.increment();
        }
        let properties = if view.has_properties() { Some(self.properties(&view)?) } else { None };
        let (properties, aliased) = properties.unwrap_or_default();
        let bytes = aliased.as_ref().map_or(view.topic_bytes(), |topic| topic.as_bytes());
        if self.published.find(bytes).is_none() {
            let entry = self.new_entry(&view, aliased.as_ref())?;
            self.published.insert(entry);
        }
        let Some(entry) = self.published.find(bytes) else { return Err(PROTOCOL_ERROR) };

        let version = self.authority.version();
        if entry.version != version {
            (entry.version, entry.plain, entry.retain) = (version, None, None);
        }
        let decision = if view.retain { &mut entry.retain } else { &mut entry.plain };
        let decision = *decision.get_or_insert_with(|| self.authority.publish(&entry.topic, view.retain));
        if !decision.is_allow() {
            let topic = entry.topic.clone();
            return Err(self.publish_denied(&topic, view.packet_id));
        }
        let message = Message {
            topic: entry.topic.clone(),
            payload: view.payload(),
            qos: view.qos,
            retain: view.retain,
            properties,
            at: self.read_at,
            charge: Charge::default(),
        }
        .accepted(self.core.queue_limits.budget);
        if entry.reserved {
            return self.on_reserved(message, view.packet_id).map(|()| true);
        }
        let stamp = self.world.routes.stamp_of(entry.bucket);
        let route = match &entry.route {
            Some(route) if entry.stamp == stamp => route,
            _ => {
                entry.stamp = stamp;
                entry.route.insert(Arc::new(self.world.routes.find(&entry.topic)))
            }
        };
        let message = Arc::new(message);
        match deliver(&self.core, &self.world, route, &message, Some(&self.session), &mut self.batch) {
            Ok(position) => {
                self.owe(position, view.packet_id);
                Ok(true)
            }
            Err(refused) => self.not_retained(&message.topic, refused, view.packet_id).map(|()| false),
        }
    }

    /// The account's quota of retained messages is spent: QoS 1 is told with 0x97, for which 3.1.1 has no word but the
    /// end of the connection; QoS 0 promised nothing (SEC 12.2).
    fn not_retained(&mut self, topic: &Topic, refused: RetainRefused, packet_id: Option<PacketId>) -> Result<(), End> {
        tracing::warn!(client_id = %self.session.client_id, %topic, ?refused, "a message is not retained");
        match (packet_id, self.version) {
            (None, _) => Ok(()),
            (Some(_), Version::V4) => Err(End::told(DisconnectReason::Throttled, ReasonCode::QUOTA_EXCEEDED)),
            (Some(packet_id), Version::V5) => {
                self.answer(0, Packet::PubAck(Ack::new(packet_id, ReasonCode::QUOTA_EXCEEDED)));
                Ok(())
            }
        }
    }

    fn owe(&mut self, position: u64, packet_id: Option<PacketId>) {
        let Some(packet_id) = packet_id else { return };
        if position == 0 && self.owed.is_empty() {
            encode_puback(&mut self.out, packet_id);
        } else {
            self.owed.push_back(Owed::PubAck(position, packet_id));
        }
    }

    /// Checked properties, and the topic if an alias stands for it.
    #[allow(clippy::type_complexity)]
    fn properties(&mut self, view: &PublishView<'_>) -> Result<(Option<Box<PublishProperties>>, Option<Topic>), End> {
        let mut properties = view.properties().map_err(protocol)?;
        if !properties.subscription_ids.is_empty() {
            // MQTT-3.3.4-6: only servers send them.
            return Err(PROTOCOL_ERROR);
        }
        let users = &properties.user_properties;
        if users.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
            > self.core.options.user_properties_max_bytes
        {
            return Err(End::client_error(ReasonCode::QUOTA_EXCEEDED));
        }
        if let Some(expiry) = &mut properties.message_expiry_secs {
            *expiry = (*expiry).min(self.core.options.message_expiry_max_secs);
        }
        let mut aliased = None;
        if let Some(alias) = properties.topic_alias.take() {
            let aliases = self.in_aliases.as_deref_mut().ok_or(PROTOCOL_ERROR)?;
            match view.topic().map_err(protocol)? {
                Some(topic) => aliases.define(alias, topic).map_err(protocol)?,
                None => aliased = Some(aliases.resolve(alias).map_err(protocol)?.clone()),
            }
        }
        Ok(((!properties.is_empty()).then(|| Box::new(properties)), aliased))
    }

    fn new_entry(&self, view: &PublishView<'_>, aliased: Option<&Topic>) -> Result<PublishEntry, End> {
        let topic = match aliased {
            Some(topic) => topic.clone(),
            None => view.topic().map_err(protocol)?.ok_or(PROTOCOL_ERROR)?,
        };
        if !self.core.options.admits_topic(&topic) {
            self.core.metrics.publish_in_client_error.increment();
            return Err(End::client_error(ReasonCode::TOPIC_NAME_INVALID));
        }
        Ok(PublishEntry {
            reserved: topic.starts_with("$aws/"),
            version: self.authority.version(),
            plain: None,
            retain: None,
            bucket: Routes::bucket(&topic),
            stamp: 0,
            route: None,
            topic,
        })
    }

    /// CP 5.3: the connection ends; a v5 client first gets its PUBACK.
    fn publish_denied(&mut self, topic: &Topic, packet_id: Option<PacketId>) -> End {
        self.core.metrics.publish_in_auth_error.increment();
        tracing::info!(client_id = %self.session.client_id, %topic, "publish denied");
        if let (Version::V5, Some(packet_id)) = (self.version, packet_id) {
            let ack = Packet::PubAck(Ack::new(packet_id, ReasonCode::NOT_AUTHORIZED));
            if let Err(error) = ack.encode(self.version, &mut self.out) {
                tracing::error!(%error, "a PUBACK of ours cannot be written");
            }
        }
        End::told(DisconnectReason::ForbiddenAccess, ReasonCode::NOT_AUTHORIZED)
    }

    /// `$aws/...`: services answer, or nobody does and the connection ends (CP 5.8).
    fn on_reserved(&mut self, message: Message, packet_id: Option<PacketId>) -> Result<(), End> {
        let unknown = || {
            tracing::info!(client_id = %self.session.client_id, topic = %message.topic, "publish on an unknown reserved topic");
            End::told(DisconnectReason::ForbiddenAccess, ReasonCode::NOT_AUTHORIZED)
        };
        let Some(interceptor) = self.core.interceptor.clone() else { return Err(unknown()) };
        let reply = Arc::new(SessionReply { session: Arc::clone(&self.session), limits: self.core.queue_limits });
        let origin =
            Origin { client_id: self.session.client_id.clone(), authority: Arc::clone(&self.authority), reply };
        match interceptor.publish(origin, &message) {
            Interception::Unknown => Err(unknown()),
            Interception::Consumed => {
                self.owe(0, packet_id);
                Ok(())
            }
            Interception::Route => {
                let route = self.world.routes.find(&message.topic);
                let message = Arc::new(message);
                let session = Some(&self.session);
                match deliver(&self.core, &self.world, &route, &message, session, &mut self.batch) {
                    Ok(position) => {
                        self.owe(position, packet_id);
                        Ok(())
                    }
                    Err(refused) => self.not_retained(&message.topic, refused, packet_id),
                }
            }
            Interception::Pending(work) => {
                let (sender, receiver) = oneshot::channel();
                tokio::spawn(async move {
                    // The connection may be gone by now; then nobody waits for the answer.
                    let _: Result<(), ReasonCode> = sender.send(work.await);
                });
                if let Some(packet_id) = packet_id {
                    self.owed.push_back(Owed::Decision(packet_id, receiver));
                }
                Ok(())
            }
        }
    }

    fn on_subscribe(&mut self, packet: Subscribe) -> Result<(), End> {
        if packet.subscription_id.is_some() {
            return Err(End::client_error(ReasonCode::SUBSCRIPTION_IDS_NOT_SUPPORTED));
        }
        if packet.filters.len() > self.core.options.filters_per_packet {
            self.core.metrics.subscribe_client_error.increment();
            return Err(End::client_error(ReasonCode::QUOTA_EXCEEDED));
        }
        let mut position = 0;
        let mut retained = Vec::new();
        let mut reasons = Vec::with_capacity(packet.filters.len());
        for filter in &packet.filters {
            let reason = self.subscribe(filter, &mut position, &mut retained);
            let counter = match reason {
                ReasonCode::NOT_AUTHORIZED => &self.core.metrics.subscribe_auth_error,
                reason if reason.is_error() => &self.core.metrics.subscribe_client_error,
                _ => &self.core.metrics.subscribe_success,
            };
            counter.increment();
            reasons.push(reason);
        }
        let granted: Vec<&str> = packet
            .filters
            .iter()
            .zip(&reasons)
            .filter(|(_, reason)| !reason.is_error())
            .map(|(filter, _)| filter.filter.as_str())
            .collect();
        if !granted.is_empty() {
            lifecycle::subscribed(&self.core, &self.world, &self.subject(), &granted);
        }
        let suback = SubAck { packet_id: packet.packet_id, reasons, reason_string: None, user_properties: Vec::new() };
        self.answer(position, Packet::SubAck(suback));
        self.answer_retained(retained);
        Ok(())
    }

    /// One filter of a SUBSCRIBE: its SUBACK code.
    fn subscribe(&self, wanted: &marram_mqtt::Filter, position: &mut u64, retained: &mut Vec<Delivery>) -> ReasonCode {
        let filter = &wanted.filter;
        let options = &self.core.options;
        let share_fits = filter.shared().is_none_or(|shared| shared.share.len() <= options.share_name_max_bytes);
        if !options.admits_topic(filter.pattern()) || !share_fits || filter.pattern().starts_with("$aws/rules/") {
            return ReasonCode::TOPIC_FILTER_INVALID;
        }
        if !self.authority.subscribe(filter.as_str()).is_allow() {
            // Some 3.1.1 clients overlook 0x80 (CP 5.3), so it stands in the log.
            tracing::warn!(client_id = %self.session.client_id, %filter, "subscribe denied");
            return ReasonCode::NOT_AUTHORIZED;
        }
        let mut granted = wanted.options;
        granted.qos = granted.qos.min(QoS::AtLeastOnce);
        {
            let mut standing = self.session.standing();
            let subscriptions = &mut standing.subscriptions;
            match subscriptions.iter().position(|(known, _)| known == filter) {
                Some(index) => subscriptions[index].1 = granted,
                None if subscriptions.len() >= options.subscriptions_per_session => {
                    return ReasonCode::QUOTA_EXCEEDED;
                }
                None => {
                    subscriptions.reserve_exact(1);
                    subscriptions.push((filter.clone(), granted));
                }
            }
        }
        let is_new = self.world.routes.subscribe(filter, &self.session, granted);
        let session = self.session.number.load(Ordering::Acquire);
        if session != 0 {
            *position = self.core.record(Record::Subscribed { session, filter: filter.clone(), options: granted });
        }
        let wants_retained = match granted.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => is_new,
            RetainHandling::Never => false,
        };
        // CP 5.2: retained messages go to exact filters only, and not to shared ones.
        if wants_retained && filter.is_exact() && filter.shared().is_none() {
            let message = Topic::new(filter.as_str()).ok().and_then(|topic| self.world.retained().get(&topic));
            retained.extend(message.map(|message| {
                let qos = message.qos.min(granted.qos);
                Delivery::new(message, qos, true)
            }));
        }
        ReasonCode::granted(granted.qos)
    }

    fn on_unsubscribe(&mut self, packet: Unsubscribe) -> Result<(), End> {
        if packet.filters.len() > self.core.options.filters_per_packet {
            self.core.metrics.unsubscribe_client_error.increment();
            return Err(End::client_error(ReasonCode::QUOTA_EXCEEDED));
        }
        let session = self.session.number.load(Ordering::Acquire);
        let mut position = 0;
        let mut gone = Vec::new();
        for filter in &packet.filters {
            self.session.standing().subscriptions.retain(|(known, _)| known != filter);
            if self.world.routes.unsubscribe(filter, &self.session) {
                gone.push(filter.as_str());
                if session != 0 {
                    position = self.core.record(Record::Unsubscribed { session, filter: filter.clone() });
                }
            }
        }
        self.core.metrics.unsubscribe_success.add(packet.filters.len() as u64);
        if !gone.is_empty() {
            lifecycle::unsubscribed(&self.core, &self.world, &self.subject(), &gone);
        }
        // CP 5.2: upstream's UNSUBACK knows only success for a filter that was not there.
        let reasons = vec![ReasonCode::SUCCESS; packet.filters.len()];
        let unsuback =
            UnsubAck { packet_id: packet.packet_id, reasons, reason_string: None, user_properties: Vec::new() };
        self.answer(position, Packet::UnsubAck(unsuback));
        Ok(())
    }

    fn on_disconnect(&mut self, packet: &Disconnect) -> End {
        if let Some(asked) = packet.session_expiry_secs {
            // MQTT-3.14.2-2: a session that was to end with the connection cannot be prolonged.
            if !self.expiry_asked && asked > 0 {
                return PROTOCOL_ERROR;
            }
            let granted = asked.min(self.core.options.session.session_expiry_max_secs);
            self.session.standing().expiry_secs = granted;
            let session = self.session.number.load(Ordering::Acquire);
            if granted > 0 && session != 0 {
                self.core.record(Record::SessionOpened {
                    session,
                    tenant: self.world.tenant.clone(),
                    client_id: self.session.client_id.clone(),
                    expiry_secs: granted,
                });
            }
        }
        let will = packet.reason == ReasonCode::DISCONNECT_WITH_WILL;
        End { reason: DisconnectReason::ClientInitiated, code: None, will }
    }
}

/// Answers of services to the session that asked.
struct SessionReply {
    session: Arc<Session>,
    limits: QueueLimits,
}

impl Reply for SessionReply {
    fn deliver(&self, message: Message) {
        let reached = {
            let standing = self.session.standing();
            standing.subscriptions.iter().any(|(filter, _)| filter.shared().is_none() && filter.matches(&message.topic))
        };
        if reached {
            return;
        }
        self.deliver_privately(message);
    }

    fn deliver_privately(&self, message: Message) {
        let message = Message { qos: QoS::AtMostOnce, ..message }.accepted(self.limits.budget);
        let delivery = Delivery::new(Arc::new(message), QoS::AtMostOnce, false);
        if let Some(waker) = self.session.push(delivery, self.limits, false).wake {
            waker.wake();
        }
    }
}
