//! Property lists of MQTT 5 (section 2.2.2): which belong where, at most once, and their bytes.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::{BufMut, BytesMut};
use smol_str::SmolStr;

use super::error::{DecodeError, EncodeError};
use super::read::Reader;
use super::write::{put_bytes, put_varint};
use crate::packet::QoS;
use crate::property::{ConnAckProperties, ConnectProperties, PublishProperties, UserProperties};

/// Property identifiers (table 2-4).
pub(crate) mod id {
    pub(crate) const PAYLOAD_FORMAT: u8 = 0x01;
    pub(crate) const MESSAGE_EXPIRY: u8 = 0x02;
    pub(crate) const CONTENT_TYPE: u8 = 0x03;
    pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
    pub(crate) const CORRELATION_DATA: u8 = 0x09;
    pub(crate) const SUBSCRIPTION_ID: u8 = 0x0b;
    pub(crate) const SESSION_EXPIRY: u8 = 0x11;
    pub(crate) const ASSIGNED_CLIENT_ID: u8 = 0x12;
    pub(crate) const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub(crate) const AUTHENTICATION_METHOD: u8 = 0x15;
    pub(crate) const AUTHENTICATION_DATA: u8 = 0x16;
    pub(crate) const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
    pub(crate) const WILL_DELAY: u8 = 0x18;
    pub(crate) const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
    pub(crate) const RESPONSE_INFORMATION: u8 = 0x1a;
    pub(crate) const SERVER_REFERENCE: u8 = 0x1c;
    pub(crate) const REASON_STRING: u8 = 0x1f;
    pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
    pub(crate) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub(crate) const TOPIC_ALIAS: u8 = 0x23;
    pub(crate) const MAXIMUM_QOS: u8 = 0x24;
    pub(crate) const RETAIN_AVAILABLE: u8 = 0x25;
    pub(crate) const USER_PROPERTY: u8 = 0x26;
    pub(crate) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
    pub(crate) const WILDCARD_AVAILABLE: u8 = 0x28;
    pub(crate) const SUBSCRIPTION_IDS_AVAILABLE: u8 = 0x29;
    pub(crate) const SHARED_AVAILABLE: u8 = 0x2a;
}

const UNKNOWN: DecodeError = DecodeError::Malformed("a property that does not belong to the packet");
const ZERO: DecodeError = DecodeError::Protocol("a property that must not be 0");

/// Reads a property list, handing every property to `take`.
pub(crate) fn read<'a>(
    reader: &mut Reader<'a>,
    mut take: impl FnMut(u8, &mut Reader<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let length = reader.varint()? as usize;
    let mut part = reader.part(length)?;
    while !part.is_empty() {
        let id = u8::try_from(part.varint()?).map_err(|_| UNKNOWN)?;
        take(id, &mut part)?;
    }
    Ok(())
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), DecodeError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(DecodeError::Protocol("a property that stands twice")),
    }
}

fn user(list: &mut UserProperties, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let name = reader.string()?;
    list.push((name, reader.string()?));
    Ok(())
}

fn nonzero_u16(reader: &mut Reader<'_>) -> Result<NonZeroU16, DecodeError> {
    NonZeroU16::new(reader.u16()?).ok_or(ZERO)
}

fn nonzero_u32(reader: &mut Reader<'_>) -> Result<NonZeroU32, DecodeError> {
    NonZeroU32::new(reader.u32()?).ok_or(ZERO)
}

pub(crate) fn connect(reader: &mut Reader<'_>) -> Result<ConnectProperties, DecodeError> {
    let mut found = ConnectProperties::default();
    let (mut alias_maximum, mut response_information) = (None, None);
    read(reader, |id, reader| match id {
        id::SESSION_EXPIRY => once(&mut found.session_expiry_secs, reader.u32()?),
        id::RECEIVE_MAXIMUM => once(&mut found.receive_maximum, nonzero_u16(reader)?),
        id::MAXIMUM_PACKET_SIZE => once(&mut found.maximum_packet_size, nonzero_u32(reader)?),
        id::TOPIC_ALIAS_MAXIMUM => once(&mut alias_maximum, reader.u16()?),
        id::REQUEST_RESPONSE_INFORMATION => once(&mut response_information, reader.flag()?),
        id::REQUEST_PROBLEM_INFORMATION => once(&mut found.request_problem_information, reader.flag()?),
        id::USER_PROPERTY => user(&mut found.user_properties, reader),
        id::AUTHENTICATION_METHOD => once(&mut found.authentication_method, reader.string()?),
        id::AUTHENTICATION_DATA => once(&mut found.authentication_data, reader.binary()?),
        _ => Err(UNKNOWN),
    })?;
    if found.authentication_data.is_some() && found.authentication_method.is_none() {
        return Err(DecodeError::Protocol("authentication data without a method"));
    }
    found.topic_alias_maximum = alias_maximum.unwrap_or(0);
    found.request_response_information = response_information.unwrap_or(false);
    Ok(found)
}

pub(crate) fn connack(reader: &mut Reader<'_>) -> Result<ConnAckProperties, DecodeError> {
    let mut found = ConnAckProperties::default();
    read(reader, |id, reader| match id {
        id::SESSION_EXPIRY => once(&mut found.session_expiry_secs, reader.u32()?),
        id::RECEIVE_MAXIMUM => once(&mut found.receive_maximum, nonzero_u16(reader)?),
        id::MAXIMUM_QOS => {
            let qos = if reader.flag()? { QoS::AtLeastOnce } else { QoS::AtMostOnce };
            once(&mut found.maximum_qos, qos)
        }
        id::RETAIN_AVAILABLE => once(&mut found.retain_available, reader.flag()?),
        id::MAXIMUM_PACKET_SIZE => once(&mut found.maximum_packet_size, nonzero_u32(reader)?),
        id::ASSIGNED_CLIENT_ID => once(&mut found.assigned_client_id, reader.string()?),
        id::TOPIC_ALIAS_MAXIMUM => once(&mut found.topic_alias_maximum, reader.u16()?),
        id::REASON_STRING => once(&mut found.reason_string, reader.string()?),
        id::USER_PROPERTY => user(&mut found.user_properties, reader),
        id::WILDCARD_AVAILABLE => once(&mut found.wildcard_available, reader.flag()?),
        id::SUBSCRIPTION_IDS_AVAILABLE => once(&mut found.subscription_ids_available, reader.flag()?),
        id::SHARED_AVAILABLE => once(&mut found.shared_available, reader.flag()?),
        id::SERVER_KEEP_ALIVE => once(&mut found.server_keep_alive_secs, reader.u16()?),
        id::RESPONSE_INFORMATION => once(&mut found.response_information, reader.string()?),
        id::SERVER_REFERENCE => once(&mut found.server_reference, reader.string()?),
        id::AUTHENTICATION_METHOD => once(&mut found.authentication_method, reader.string()?),
        id::AUTHENTICATION_DATA => once(&mut found.authentication_data, reader.binary()?),
        _ => Err(UNKNOWN),
    })?;
    Ok(found)
}

/// Reads the properties of a PUBLISH, or with `will_delay` those of a will.
pub(crate) fn publish(
    reader: &mut Reader<'_>,
    mut will_delay: Option<&mut Option<u32>>,
) -> Result<PublishProperties, DecodeError> {
    let mut found = PublishProperties::default();
    let is_will = will_delay.is_some();
    read(reader, |id, reader| match id {
        id::PAYLOAD_FORMAT => once(&mut found.payload_is_utf8, reader.flag()?),
        id::MESSAGE_EXPIRY => once(&mut found.message_expiry_secs, reader.u32()?),
        id::CONTENT_TYPE => once(&mut found.content_type, reader.string()?),
        id::RESPONSE_TOPIC => {
            let text = reader.text()?;
            crate::topic::check_topic(text.as_bytes()).map_err(DecodeError::TopicName)?;
            once(&mut found.response_topic, SmolStr::new(text))
        }
        id::CORRELATION_DATA => once(&mut found.correlation_data, reader.binary()?),
        id::USER_PROPERTY => user(&mut found.user_properties, reader),
        id::TOPIC_ALIAS if !is_will => {
            let alias = NonZeroU16::new(reader.u16()?).ok_or(DecodeError::TopicAlias)?;
            once(&mut found.topic_alias, alias)
        }
        id::SUBSCRIPTION_ID if !is_will => match reader.varint()? {
            0 => Err(ZERO),
            value => {
                found.subscription_ids.push(value);
                Ok(())
            }
        },
        id::WILL_DELAY => match will_delay.as_deref_mut() {
            Some(slot) => once(slot, reader.u32()?),
            None => Err(UNKNOWN),
        },
        _ => Err(UNKNOWN),
    })?;
    Ok(found)
}

/// Reads a list that may hold a subscription identifier (SUBSCRIBE) and user properties.
pub(crate) fn subscribe(reader: &mut Reader<'_>) -> Result<(Option<u32>, UserProperties), DecodeError> {
    let (mut subscription_id, mut users) = (None, Vec::new());
    read(reader, |id, reader| match id {
        id::SUBSCRIPTION_ID => match reader.varint()? {
            0 => Err(ZERO),
            value => once(&mut subscription_id, value),
        },
        id::USER_PROPERTY => user(&mut users, reader),
        _ => Err(UNKNOWN),
    })?;
    Ok((subscription_id, users))
}

/// Reads a list of user properties only (UNSUBSCRIBE).
pub(crate) fn users(reader: &mut Reader<'_>) -> Result<UserProperties, DecodeError> {
    let mut users = Vec::new();
    read(reader, |id, reader| match id {
        id::USER_PROPERTY => user(&mut users, reader),
        _ => Err(UNKNOWN),
    })?;
    Ok(users)
}

/// Reads the words of an acknowledgement: reason string and user properties.
pub(crate) fn words(reader: &mut Reader<'_>) -> Result<(Option<SmolStr>, UserProperties), DecodeError> {
    let (mut reason_string, mut users) = (None, Vec::new());
    read(reader, |id, reader| match id {
        id::REASON_STRING => once(&mut reason_string, reader.string()?),
        id::USER_PROPERTY => user(&mut users, reader),
        _ => Err(UNKNOWN),
    })?;
    Ok((reason_string, users))
}

/// The properties of a DISCONNECT or AUTH.
#[derive(Default)]
pub(crate) struct Ending {
    pub(crate) session_expiry_secs: Option<u32>,
    pub(crate) reason_string: Option<SmolStr>,
    pub(crate) server_reference: Option<SmolStr>,
    pub(crate) users: UserProperties,
}

pub(crate) fn disconnect(reader: &mut Reader<'_>) -> Result<Ending, DecodeError> {
    let mut found = Ending::default();
    read(reader, |id, reader| match id {
        id::SESSION_EXPIRY => once(&mut found.session_expiry_secs, reader.u32()?),
        id::REASON_STRING => once(&mut found.reason_string, reader.string()?),
        id::SERVER_REFERENCE => once(&mut found.server_reference, reader.string()?),
        id::USER_PROPERTY => user(&mut found.users, reader),
        _ => Err(UNKNOWN),
    })?;
    Ok(found)
}

pub(crate) fn auth(reader: &mut Reader<'_>, into: &mut crate::packet::Auth) -> Result<(), DecodeError> {
    read(reader, |id, reader| match id {
        id::AUTHENTICATION_METHOD => once(&mut into.method, reader.string()?),
        id::AUTHENTICATION_DATA => once(&mut into.data, reader.binary()?),
        id::REASON_STRING => once(&mut into.reason_string, reader.string()?),
        id::USER_PROPERTY => user(&mut into.user_properties, reader),
        _ => Err(UNKNOWN),
    })
}

/// Collects properties and writes them with their length in front.
pub(crate) struct List(BytesMut);

impl List {
    pub(crate) fn new() -> Self {
        Self(BytesMut::new())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn u8(&mut self, id: u8, value: Option<u8>) {
        if let Some(value) = value {
            self.0.put_u8(id);
            self.0.put_u8(value);
        }
    }

    pub(crate) fn flag(&mut self, id: u8, value: Option<bool>) {
        self.u8(id, value.map(u8::from));
    }

    pub(crate) fn u16(&mut self, id: u8, value: Option<u16>) {
        if let Some(value) = value {
            self.0.put_u8(id);
            self.0.put_u16(value);
        }
    }

    pub(crate) fn u32(&mut self, id: u8, value: Option<u32>) {
        if let Some(value) = value {
            self.0.put_u8(id);
            self.0.put_u32(value);
        }
    }

    pub(crate) fn varint(&mut self, id: u8, value: u32) {
        self.0.put_u8(id);
        put_varint(&mut self.0, value as usize);
    }

    pub(crate) fn bytes(&mut self, id: u8, value: Option<&[u8]>) -> Result<(), EncodeError> {
        let Some(value) = value else { return Ok(()) };
        self.0.put_u8(id);
        put_bytes(&mut self.0, value)
    }

    pub(crate) fn text(&mut self, id: u8, value: Option<&SmolStr>) -> Result<(), EncodeError> {
        self.bytes(id, value.map(|text| text.as_bytes()))
    }

    pub(crate) fn users(&mut self, users: &UserProperties) -> Result<(), EncodeError> {
        for (name, value) in users {
            self.0.put_u8(id::USER_PROPERTY);
            put_bytes(&mut self.0, name.as_bytes())?;
            put_bytes(&mut self.0, value.as_bytes())?;
        }
        Ok(())
    }

    pub(crate) fn publish(&mut self, properties: &PublishProperties) -> Result<(), EncodeError> {
        self.flag(id::PAYLOAD_FORMAT, properties.payload_is_utf8);
        self.u32(id::MESSAGE_EXPIRY, properties.message_expiry_secs);
        self.u16(id::TOPIC_ALIAS, properties.topic_alias.map(NonZeroU16::get));
        self.text(id::RESPONSE_TOPIC, properties.response_topic.as_ref())?;
        self.bytes(id::CORRELATION_DATA, properties.correlation_data.as_deref())?;
        self.users(&properties.user_properties)?;
        for &subscription_id in &properties.subscription_ids {
            self.varint(id::SUBSCRIPTION_ID, subscription_id);
        }
        self.text(id::CONTENT_TYPE, properties.content_type.as_ref())
    }

    pub(crate) fn write(self, out: &mut BytesMut) {
        put_varint(out, self.0.len());
        out.put_slice(&self.0);
    }
}
