//! Bytes of a [`Record`]. A message is written as the MQTT 5 PUBLISH that carries it, behind the second it was accepted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use marram_mqtt::{
    ClientId, Packet, PacketId, PublishHead, QoS, RetainHandling, SubscribeOptions, Topic, TopicFilter, Version,
    encode_publish,
};

use super::Record;
use crate::authorize::Tenant;
use crate::broker::epoch_secs;
use crate::budget::Charge;
use crate::message::Message;

const OPENED: u8 = 1;
const DETACHED: u8 = 2;
const CLOSED: u8 = 3;
const SUBSCRIBED: u8 = 4;
const UNSUBSCRIBED: u8 = 5;
const ENQUEUED: u8 = 6;
const SETTLED: u8 = 7;
const RETAINED: u8 = 8;
const RETAIN_CLEARED: u8 = 9;
const WILL_LEFT: u8 = 10;
const WILL_GONE: u8 = 11;

pub(super) fn encode(record: &Record, out: &mut Vec<u8>) {
    match record {
        Record::SessionOpened { session, tenant, client_id, expiry_secs } => {
            out.push(OPENED);
            put_u64(out, *session);
            put_text(out, tenant.as_str());
            put_text(out, client_id);
            put_u64(out, u64::from(*expiry_secs));
        }
        Record::SessionDetached { session, at_secs } => {
            out.push(DETACHED);
            put_u64(out, *session);
            put_u64(out, *at_secs);
        }
        Record::SessionClosed { session } => {
            out.push(CLOSED);
            put_u64(out, *session);
        }
        Record::Subscribed { session, filter, options } => {
            out.push(SUBSCRIBED);
            put_u64(out, *session);
            put_text(out, filter.as_str());
            out.push(
                options.qos as u8
                    | u8::from(options.no_local) << 2
                    | u8::from(options.retain_as_published) << 3
                    | (options.retain_handling as u8) << 4,
            );
        }
        Record::Unsubscribed { session, filter } => {
            out.push(UNSUBSCRIBED);
            put_u64(out, *session);
            put_text(out, filter.as_str());
        }
        Record::Enqueued { targets, message } => {
            out.push(ENQUEUED);
            put_u64(out, targets.len() as u64);
            for (session, sequence) in targets {
                put_u64(out, *session);
                put_u64(out, *sequence);
            }
            put_message(out, message);
        }
        Record::Settled { session, sequences } => {
            out.push(SETTLED);
            put_u64(out, *session);
            put_u64(out, sequences.len() as u64);
            sequences.iter().for_each(|sequence| put_u64(out, *sequence));
        }
        Record::Retained { tenant, message } => {
            out.push(RETAINED);
            put_text(out, tenant.as_str());
            put_message(out, message);
        }
        Record::RetainCleared { tenant, topic } => {
            out.push(RETAIN_CLEARED);
            put_text(out, tenant.as_str());
            put_text(out, topic);
        }
        Record::WillLeft { tenant, client_id, message, delay_secs } => {
            out.push(WILL_LEFT);
            put_text(out, tenant.as_str());
            put_text(out, client_id);
            put_u64(out, u64::from(*delay_secs));
            put_message(out, message);
        }
        Record::WillGone { tenant, client_id } => {
            out.push(WILL_GONE);
            put_text(out, tenant.as_str());
            put_text(out, client_id);
        }
    }
}

/// `None`: not a record of ours.
pub(super) fn decode(body: &[u8]) -> Option<Record> {
    let mut body = Bytes::copy_from_slice(body);
    let record = match body.try_get_u8().ok()? {
        OPENED => Record::SessionOpened {
            session: get_u64(&mut body)?,
            tenant: Tenant::new(&get_text(&mut body)?),
            client_id: ClientId::new(&get_text(&mut body)?).ok()?,
            expiry_secs: u32::try_from(get_u64(&mut body)?).ok()?,
        },
        DETACHED => Record::SessionDetached { session: get_u64(&mut body)?, at_secs: get_u64(&mut body)? },
        CLOSED => Record::SessionClosed { session: get_u64(&mut body)? },
        SUBSCRIBED => Record::Subscribed {
            session: get_u64(&mut body)?,
            filter: TopicFilter::new(&get_text(&mut body)?).ok()?,
            options: options(body.try_get_u8().ok()?)?,
        },
        UNSUBSCRIBED => {
            Record::Unsubscribed { session: get_u64(&mut body)?, filter: TopicFilter::new(&get_text(&mut body)?).ok()? }
        }
        ENQUEUED => {
            let count = get_u64(&mut body)?;
            let targets =
                (0..count).map(|_| Some((get_u64(&mut body)?, get_u64(&mut body)?))).collect::<Option<Vec<_>>>()?;
            Record::Enqueued { targets, message: get_message(&mut body)? }
        }
        SETTLED => {
            let session = get_u64(&mut body)?;
            let count = get_u64(&mut body)?;
            Record::Settled { session, sequences: (0..count).map(|_| get_u64(&mut body)).collect::<Option<_>>()? }
        }
        RETAINED => Record::Retained { tenant: Tenant::new(&get_text(&mut body)?), message: get_message(&mut body)? },
        RETAIN_CLEARED => Record::RetainCleared {
            tenant: Tenant::new(&get_text(&mut body)?),
            topic: Topic::new(&get_text(&mut body)?).ok()?,
        },
        WILL_LEFT => Record::WillLeft {
            tenant: Tenant::new(&get_text(&mut body)?),
            client_id: ClientId::new(&get_text(&mut body)?).ok()?,
            delay_secs: u32::try_from(get_u64(&mut body)?).ok()?,
            message: get_message(&mut body)?,
        },
        WILL_GONE => Record::WillGone {
            tenant: Tenant::new(&get_text(&mut body)?),
            client_id: ClientId::new(&get_text(&mut body)?).ok()?,
        },
        _ => return None,
    };
    body.is_empty().then_some(record)
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_u64(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn put_message(out: &mut Vec<u8>, message: &Message) {
    let age = message.at.elapsed().as_secs();
    put_u64(out, epoch_secs().saturating_sub(age));
    let packet_id = (message.qos > QoS::AtMostOnce).then_some(PacketId::MIN);
    let head = PublishHead { dup: false, qos: message.qos, retain: message.retain, packet_id };
    let mut bytes = BytesMut::new();
    // Accepted messages came through the codec or through a local client's limits: they fit.
    encode_publish(Version::V5, &mut bytes, head, &message.topic, message.properties.as_deref(), &message.payload)
        .expect("an accepted message can be written");
    out.extend_from_slice(&bytes);
}

fn get_u64(body: &mut Bytes) -> Option<u64> {
    body.try_get_u64_le().ok()
}

fn get_text(body: &mut Bytes) -> Option<String> {
    let length = usize::try_from(get_u64(body)?).ok()?;
    if body.len() < length {
        return None;
    }
    String::from_utf8(body.split_to(length).to_vec()).ok()
}

fn get_message(body: &mut Bytes) -> Option<Arc<Message>> {
    let accepted = get_u64(body)?;
    let mut bytes = BytesMut::from(&std::mem::take(body)[..]);
    let Ok(Some(Packet::Publish(publish))) = marram_mqtt::decode(Version::V5, &mut bytes, usize::MAX) else {
        return None;
    };
    *body = bytes.freeze();
    let age = Duration::from_secs(epoch_secs().saturating_sub(accepted));
    let message = Message {
        topic: publish.topic?,
        payload: publish.payload,
        qos: publish.qos,
        retain: publish.retain,
        properties: (!publish.properties.is_empty()).then(|| Box::new(publish.properties)),
        at: Instant::now().checked_sub(age).unwrap_or_else(Instant::now),
        charge: Charge::default(),
    };
    Some(Arc::new(message))
}

fn options(byte: u8) -> Option<SubscribeOptions> {
    Some(SubscribeOptions {
        qos: QoS::from_bits(byte & 3)?,
        no_local: byte & 4 != 0,
        retain_as_published: byte & 8 != 0,
        retain_handling: match byte >> 4 {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::Never,
            _ => return None,
        },
    })
}
