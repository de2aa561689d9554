//! Packets to bytes, in the shortest form the standards allow.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::{BufMut, BytesMut};
use smol_str::SmolStr;

use super::error::EncodeError;
use super::properties::{List, id};
use super::write::{put_bytes, put_packet};
use crate::packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, Packet, PacketId, QoS, SubAck, Subscribe, SubscribeOptions, UnsubAck,
    Unsubscribe, Version,
};
use crate::property::UserProperties;
use crate::publish::{PublishHead, encode_publish};
use crate::reason::ReasonCode;

impl Packet {
    /// Appends the packet's bytes to `out`. On an error `out` is unchanged.
    pub fn encode(&self, version: Version, out: &mut BytesMut) -> Result<(), EncodeError> {
        let mut body = BytesMut::new();
        let first = match self {
            Self::Connect(packet) => connect(packet, &mut body).map(|()| 0x10),
            Self::ConnAck(packet) => connack(version, packet, &mut body).map(|()| 0x20),
            Self::Publish(publish) => {
                let head = PublishHead {
                    dup: publish.dup,
                    qos: publish.qos,
                    retain: publish.retain,
                    packet_id: publish.packet_id,
                };
                let topic = publish.topic.as_deref().unwrap_or("");
                return encode_publish(version, out, head, topic, Some(&publish.properties), &publish.payload);
            }
            Self::PubAck(packet) => ack(version, packet, &mut body).map(|()| 0x40),
            Self::PubRec(packet) => ack(version, packet, &mut body).map(|()| 0x50),
            Self::PubRel(packet) => ack(version, packet, &mut body).map(|()| 0x62),
            Self::PubComp(packet) => ack(version, packet, &mut body).map(|()| 0x70),
            Self::Subscribe(packet) => subscribe(version, packet, &mut body).map(|()| 0x82),
            Self::SubAck(packet) => suback(version, packet, &mut body).map(|()| 0x90),
            Self::Unsubscribe(packet) => unsubscribe(version, packet, &mut body).map(|()| 0xa2),
            Self::UnsubAck(packet) => unsuback(version, packet, &mut body).map(|()| 0xb0),
            Self::PingReq => Ok(0xc0),
            Self::PingResp => Ok(0xd0),
            Self::Disconnect(packet) => disconnect(version, packet, &mut body).map(|()| 0xe0),
            Self::Auth(packet) => auth(packet, &mut body).map(|()| 0xf0),
        }?;
        put_packet(out, first, &body)
    }
}

/// Appends a PUBACK that says success: four bytes in both versions.
#[inline]
pub fn encode_puback(out: &mut BytesMut, packet_id: PacketId) {
    let [high, low] = packet_id.get().to_be_bytes();
    out.put_slice(&[0x40, 2, high, low]);
}

fn connect(packet: &Connect, out: &mut BytesMut) -> Result<(), EncodeError> {
    let version = packet.version;
    put_bytes(out, b"MQTT")?;
    out.put_u8(match version {
        Version::V4 => 4,
        Version::V5 => 5,
    });
    let will_flags = packet.will.as_ref().map_or(0, |will| 0x04 | (will.qos as u8) << 3 | u8::from(will.retain) << 5);
    out.put_u8(
        u8::from(packet.clean_start) << 1
            | will_flags
            | u8::from(packet.password.is_some()) << 6
            | u8::from(packet.user_name.is_some()) << 7,
    );
    out.put_u16(packet.keep_alive_secs);
    if version == Version::V5 {
        let properties = &packet.properties;
        let mut list = List::new();
        list.u32(id::SESSION_EXPIRY, properties.session_expiry_secs);
        list.u16(id::RECEIVE_MAXIMUM, properties.receive_maximum.map(NonZeroU16::get));
        list.u32(id::MAXIMUM_PACKET_SIZE, properties.maximum_packet_size.map(NonZeroU32::get));
        list.u16(id::TOPIC_ALIAS_MAXIMUM, Some(properties.topic_alias_maximum).filter(|&maximum| maximum > 0));
        list.flag(
            id::REQUEST_RESPONSE_INFORMATION,
            Some(properties.request_response_information).filter(|&wanted| wanted),
        );
        list.flag(id::REQUEST_PROBLEM_INFORMATION, properties.request_problem_information);
        list.users(&properties.user_properties)?;
        list.text(id::AUTHENTICATION_METHOD, properties.authentication_method.as_ref())?;
        list.bytes(id::AUTHENTICATION_DATA, properties.authentication_data.as_deref())?;
        list.write(out);
    }
    put_bytes(out, packet.client_id.as_bytes())?;
    if let Some(will) = &packet.will {
        if version == Version::V5 {
            let mut list = List::new();
            list.u32(id::WILL_DELAY, Some(will.delay_secs).filter(|&delay| delay > 0));
            list.publish(&will.properties)?;
            list.write(out);
        }
        put_bytes(out, will.topic.as_bytes())?;
        put_bytes(out, &will.payload)?;
    }
    if let Some(user_name) = &packet.user_name {
        put_bytes(out, user_name.as_bytes())?;
    }
    if let Some(password) = &packet.password {
        put_bytes(out, password)?;
    }
    Ok(())
}

fn connack(version: Version, packet: &ConnAck, out: &mut BytesMut) -> Result<(), EncodeError> {
    out.put_u8(packet.session_present.into());
    if version == Version::V4 {
        out.put_u8(packet.reason.connect_return_code());
        return Ok(());
    }
    out.put_u8(packet.reason.value());
    let properties = &packet.properties;
    let mut list = List::new();
    list.u32(id::SESSION_EXPIRY, properties.session_expiry_secs);
    list.u16(id::RECEIVE_MAXIMUM, properties.receive_maximum.map(NonZeroU16::get));
    // The property says 0 or 1; QoS 2 is said by leaving it out.
    list.u8(id::MAXIMUM_QOS, properties.maximum_qos.filter(|&qos| qos < QoS::ExactlyOnce).map(|qos| qos as u8));
    list.flag(id::RETAIN_AVAILABLE, properties.retain_available);
    list.u32(id::MAXIMUM_PACKET_SIZE, properties.maximum_packet_size.map(NonZeroU32::get));
    list.text(id::ASSIGNED_CLIENT_ID, properties.assigned_client_id.as_ref())?;
    list.u16(id::TOPIC_ALIAS_MAXIMUM, properties.topic_alias_maximum);
    list.text(id::REASON_STRING, properties.reason_string.as_ref())?;
    list.users(&properties.user_properties)?;
    list.flag(id::WILDCARD_AVAILABLE, properties.wildcard_available);
    list.flag(id::SUBSCRIPTION_IDS_AVAILABLE, properties.subscription_ids_available);
    list.flag(id::SHARED_AVAILABLE, properties.shared_available);
    list.u16(id::SERVER_KEEP_ALIVE, properties.server_keep_alive_secs);
    list.text(id::RESPONSE_INFORMATION, properties.response_information.as_ref())?;
    list.text(id::SERVER_REFERENCE, properties.server_reference.as_ref())?;
    list.text(id::AUTHENTICATION_METHOD, properties.authentication_method.as_ref())?;
    list.bytes(id::AUTHENTICATION_DATA, properties.authentication_data.as_deref())?;
    list.write(out);
    Ok(())
}

fn words(reason_string: Option<&SmolStr>, users: &UserProperties) -> Result<List, EncodeError> {
    let mut list = List::new();
    list.text(id::REASON_STRING, reason_string)?;
    list.users(users)?;
    Ok(list)
}

fn ack(version: Version, packet: &Ack, out: &mut BytesMut) -> Result<(), EncodeError> {
    out.put_u16(packet.packet_id.get());
    if version == Version::V5 {
        let list = words(packet.reason_string.as_ref(), &packet.user_properties)?;
        tail(packet.reason, list, out);
    }
    Ok(())
}

/// Reason and properties of packets that may leave them out (sections 3.4.2.1, 3.14.2.1).
fn tail(reason: ReasonCode, list: List, out: &mut BytesMut) {
    if list.is_empty() && reason == ReasonCode::SUCCESS {
        return;
    }
    out.put_u8(reason.value());
    if !list.is_empty() {
        list.write(out);
    }
}

fn options_byte(version: Version, options: SubscribeOptions) -> u8 {
    match version {
        Version::V4 => options.qos as u8,
        Version::V5 => {
            options.qos as u8
                | u8::from(options.no_local) << 2
                | u8::from(options.retain_as_published) << 3
                | (options.retain_handling as u8) << 4
        }
    }
}

fn subscribe(version: Version, packet: &Subscribe, out: &mut BytesMut) -> Result<(), EncodeError> {
    out.put_u16(packet.packet_id.get());
    if version == Version::V5 {
        let mut list = List::new();
        if let Some(subscription_id) = packet.subscription_id {
            list.varint(id::SUBSCRIPTION_ID, subscription_id);
        }
        list.users(&packet.user_properties)?;
        list.write(out);
    }
    for filter in &packet.filters {
        put_bytes(out, filter.filter.as_str().as_bytes())?;
        out.put_u8(options_byte(version, filter.options));
    }
    Ok(())
}

fn suback(version: Version, packet: &SubAck, out: &mut BytesMut) -> Result<(), EncodeError> {
    out.put_u16(packet.packet_id.get());
    if version == Version::V5 {
        words(packet.reason_string.as_ref(), &packet.user_properties)?.write(out);
    }
    for reason in &packet.reasons {
        let failure = version == Version::V4 && reason.is_error();
        out.put_u8(if failure { 0x80 } else { reason.value() });
    }
    Ok(())
}

fn unsubscribe(version: Version, packet: &Unsubscribe, out: &mut BytesMut) -> Result<(), EncodeError> {
    out.put_u16(packet.packet_id.get());
    if version == Version::V5 {
        words(None, &packet.user_properties)?.write(out);
    }
    packet.filters.iter().try_for_each(|filter| put_bytes(out, filter.as_str().as_bytes()))
}

fn unsuback(version: Version, packet: &UnsubAck, out: &mut BytesMut) -> Result<(), EncodeError> {
    out.put_u16(packet.packet_id.get());
    if version == Version::V5 {
        words(packet.reason_string.as_ref(), &packet.user_properties)?.write(out);
        packet.reasons.iter().for_each(|reason| out.put_u8(reason.value()));
    }
    Ok(())
}

fn disconnect(version: Version, packet: &Disconnect, out: &mut BytesMut) -> Result<(), EncodeError> {
    if version == Version::V5 {
        let mut list = List::new();
        list.u32(id::SESSION_EXPIRY, packet.session_expiry_secs);
        list.text(id::REASON_STRING, packet.reason_string.as_ref())?;
        list.users(&packet.user_properties)?;
        list.text(id::SERVER_REFERENCE, packet.server_reference.as_ref())?;
        tail(packet.reason, list, out);
    }
    Ok(())
}

fn auth(packet: &Auth, out: &mut BytesMut) -> Result<(), EncodeError> {
    let mut list = List::new();
    list.text(id::AUTHENTICATION_METHOD, packet.method.as_ref())?;
    list.bytes(id::AUTHENTICATION_DATA, packet.data.as_deref())?;
    list.text(id::REASON_STRING, packet.reason_string.as_ref())?;
    list.users(&packet.user_properties)?;
    tail(packet.reason, list, out);
    Ok(())
}
