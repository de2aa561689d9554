//! Bytes to packets.

use bytes::{Buf, Bytes, BytesMut};

use super::decode_connect::{connack, connect};
use super::error::DecodeError;
use super::frame::{FixedHeader, next_frame};
use super::properties;
use super::read::Reader;
use crate::filter::TopicFilter;
use crate::packet::{
    Ack, Auth, Disconnect, Filter, Packet, QoS, RetainHandling, SubAck, Subscribe, SubscribeOptions, UnsubAck,
    Unsubscribe, Version,
};
use crate::publish::Publish;
use crate::reason::{Carrier, ReasonCode};

/// Takes the first packet off `buffer`. `Ok(None)`: more bytes are needed.
///
/// `version` is what the connection's CONNECT said; before that any value does, since CONNECT carries its own.
/// `maximum` is the largest packet in bytes the caller accepts.
pub fn decode(version: Version, buffer: &mut BytesMut, maximum: usize) -> Result<Option<Packet>, DecodeError> {
    let Some(frame) = next_frame(buffer, maximum)? else { return Ok(None) };
    let mut packet = buffer.split_to(frame.total_len);
    packet.advance(frame.header_len);
    decode_frame(version, frame.header, &packet.freeze()).map(Some)
}

/// Decodes the body of one packet found by [`next_frame`].
pub fn decode_frame(version: Version, header: FixedHeader, body: &Bytes) -> Result<Packet, DecodeError> {
    let mut reader = Reader::new(body);
    let packet = match header.kind {
        1 => Packet::Connect(Box::new(connect(&mut reader)?)),
        2 => Packet::ConnAck(Box::new(connack(version, &mut reader)?)),
        3 => return Publish::decode(version, header.flags, body).map(Packet::Publish),
        4 => Packet::PubAck(ack(version, Carrier::PubAckRec, &mut reader)?),
        5 => Packet::PubRec(ack(version, Carrier::PubAckRec, &mut reader)?),
        6 => Packet::PubRel(ack(version, Carrier::PubRelComp, &mut reader)?),
        7 => Packet::PubComp(ack(version, Carrier::PubRelComp, &mut reader)?),
        8 => Packet::Subscribe(subscribe(version, &mut reader)?),
        9 => Packet::SubAck(suback(version, &mut reader)?),
        10 => Packet::Unsubscribe(unsubscribe(version, &mut reader)?),
        11 => Packet::UnsubAck(unsuback(version, &mut reader)?),
        12 => Packet::PingReq,
        13 => Packet::PingResp,
        14 => Packet::Disconnect(disconnect(version, &mut reader)?),
        15 if version == Version::V5 => Packet::Auth(auth(&mut reader)?),
        _ => return Err(DecodeError::Malformed("a packet type the version does not have")),
    };
    reader.finish()?;
    Ok(packet)
}

fn reason(value: u8, carrier: Carrier) -> Result<ReasonCode, DecodeError> {
    ReasonCode::for_carrier(value, carrier).ok_or(DecodeError::Malformed("a reason code the packet does not have"))
}

fn ack(version: Version, carrier: Carrier, reader: &mut Reader<'_>) -> Result<Ack, DecodeError> {
    let mut ack = Ack::new(reader.packet_id()?, ReasonCode::SUCCESS);
    if version == Version::V5 && !reader.is_empty() {
        ack.reason = reason(reader.u8()?, carrier)?;
        if !reader.is_empty() {
            (ack.reason_string, ack.user_properties) = properties::words(reader)?;
        }
    }
    Ok(ack)
}

fn filter(reader: &mut Reader<'_>) -> Result<TopicFilter, DecodeError> {
    TopicFilter::new(reader.text()?).map_err(DecodeError::TopicFilter)
}

fn subscribe(version: Version, reader: &mut Reader<'_>) -> Result<Subscribe, DecodeError> {
    let packet_id = reader.packet_id()?;
    let (subscription_id, user_properties) = match version {
        Version::V4 => (None, Vec::new()),
        Version::V5 => properties::subscribe(reader)?,
    };
    let mut filters = Vec::new();
    while !reader.is_empty() {
        let filter = filter(reader)?;
        let options = options(version, reader.u8()?)?;
        if options.no_local && filter.shared().is_some() {
            // MQTT-3.8.3-4.
            return Err(DecodeError::Protocol("no local on a shared subscription"));
        }
        filters.push(Filter { filter, options });
    }
    if filters.is_empty() {
        return Err(DecodeError::Protocol("a SUBSCRIBE without a filter"));
    }
    Ok(Subscribe { packet_id, filters, subscription_id, user_properties })
}

fn options(version: Version, byte: u8) -> Result<SubscribeOptions, DecodeError> {
    let reserved = match version {
        Version::V4 => 0b1111_1100,
        Version::V5 => 0b1100_0000,
    };
    if byte & reserved != 0 {
        return Err(DecodeError::Malformed("reserved bits of the subscription options"));
    }
    Ok(SubscribeOptions {
        qos: QoS::from_bits(byte & 3).ok_or(DecodeError::Protocol("quality of service 3"))?,
        no_local: byte & 4 != 0,
        retain_as_published: byte & 8 != 0,
        retain_handling: match (byte >> 4) & 3 {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::Never,
            _ => return Err(DecodeError::Protocol("retain handling 3")),
        },
    })
}

fn suback(version: Version, reader: &mut Reader<'_>) -> Result<SubAck, DecodeError> {
    let packet_id = reader.packet_id()?;
    let (reason_string, user_properties) = match version {
        Version::V4 => (None, Vec::new()),
        Version::V5 => properties::words(reader)?,
    };
    let mut reasons = Vec::with_capacity(reader.remaining());
    while !reader.is_empty() {
        let code = reason(reader.u8()?, Carrier::SubAck)?;
        if version == Version::V4 && !matches!(code.value(), 0..=2 | 0x80) {
            return Err(DecodeError::Malformed("a return code SUBACK does not have"));
        }
        reasons.push(code);
    }
    if reasons.is_empty() {
        return Err(DecodeError::Malformed("a SUBACK without a code"));
    }
    Ok(SubAck { packet_id, reasons, reason_string, user_properties })
}

fn unsubscribe(version: Version, reader: &mut Reader<'_>) -> Result<Unsubscribe, DecodeError> {
    let packet_id = reader.packet_id()?;
    let user_properties = match version {
        Version::V4 => Vec::new(),
        Version::V5 => properties::users(reader)?,
    };
    let mut filters = Vec::new();
    while !reader.is_empty() {
        filters.push(filter(reader)?);
    }
    if filters.is_empty() {
        return Err(DecodeError::Protocol("an UNSUBSCRIBE without a filter"));
    }
    Ok(Unsubscribe { packet_id, filters, user_properties })
}

fn unsuback(version: Version, reader: &mut Reader<'_>) -> Result<UnsubAck, DecodeError> {
    let mut unsuback = UnsubAck {
        packet_id: reader.packet_id()?,
        reasons: Vec::new(),
        reason_string: None,
        user_properties: Vec::new(),
    };
    if version == Version::V5 {
        (unsuback.reason_string, unsuback.user_properties) = properties::words(reader)?;
        while !reader.is_empty() {
            unsuback.reasons.push(reason(reader.u8()?, Carrier::UnsubAck)?);
        }
        if unsuback.reasons.is_empty() {
            return Err(DecodeError::Malformed("an UNSUBACK without a code"));
        }
    }
    Ok(unsuback)
}

fn disconnect(version: Version, reader: &mut Reader<'_>) -> Result<Disconnect, DecodeError> {
    let mut packet = Disconnect::new(ReasonCode::SUCCESS);
    if version == Version::V5 && !reader.is_empty() {
        packet.reason = reason(reader.u8()?, Carrier::Disconnect)?;
        if !reader.is_empty() {
            let found = properties::disconnect(reader)?;
            packet.session_expiry_secs = found.session_expiry_secs;
            packet.reason_string = found.reason_string;
            packet.server_reference = found.server_reference;
            packet.user_properties = found.users;
        }
    }
    Ok(packet)
}

fn auth(reader: &mut Reader<'_>) -> Result<Auth, DecodeError> {
    let mut auth = Auth {
        reason: ReasonCode::SUCCESS,
        method: None,
        data: None,
        reason_string: None,
        user_properties: Vec::new(),
    };
    if !reader.is_empty() {
        auth.reason = reason(reader.u8()?, Carrier::Auth)?;
        if !reader.is_empty() {
            properties::auth(reader, &mut auth)?;
        }
        if auth.method.is_none() {
            return Err(DecodeError::Protocol("an AUTH without a method"));
        }
    }
    Ok(auth)
}
