//! CONNECT and CONNACK (sections 3.1 and 3.2).

use smol_str::SmolStr;

use super::error::DecodeError;
use super::properties;
use super::read::Reader;
use crate::packet::{ConnAck, Connect, QoS, Version, Will};
use crate::property::{ConnAckProperties, ConnectProperties};
use crate::reason::{Carrier, ReasonCode};
use crate::topic::Topic;

const CLEAN_START: u8 = 0x02;
const WILL: u8 = 0x04;
const WILL_RETAIN: u8 = 0x20;
const PASSWORD: u8 = 0x40;
const USER_NAME: u8 = 0x80;

pub(crate) fn connect(reader: &mut Reader<'_>) -> Result<Connect, DecodeError> {
    let name = reader.text()?;
    let level = reader.u8()?;
    let version = match (name, level) {
        ("MQTT", 4) => Version::V4,
        ("MQTT", 5) => Version::V5,
        _ => return Err(DecodeError::UnsupportedVersion(level)),
    };
    let flags = reader.u8()?;
    check_flags(version, flags)?;
    let keep_alive_secs = reader.u16()?;
    let properties = match version {
        Version::V4 => ConnectProperties::default(),
        Version::V5 => properties::connect(reader)?,
    };
    let client_id = reader.string()?;
    let will = match flags & WILL {
        0 => None,
        _ => Some(will(version, flags, reader)?),
    };
    let user_name: Option<SmolStr> = if flags & USER_NAME != 0 { Some(reader.string()?) } else { None };
    let password = if flags & PASSWORD != 0 { Some(reader.binary()?) } else { None };
    Ok(Connect {
        version,
        clean_start: flags & CLEAN_START != 0,
        keep_alive_secs,
        client_id,
        will,
        user_name,
        password,
        properties,
    })
}

fn check_flags(version: Version, flags: u8) -> Result<(), DecodeError> {
    if flags & 1 != 0 {
        return Err(DecodeError::Malformed("reserved connect flag"));
    }
    // MQTT-3.1.2-11, -13, -15.
    if flags & WILL == 0 && flags & 0x38 != 0 {
        return Err(DecodeError::Malformed("will flags without a will"));
    }
    // MQTT-3.1.2-22 of 3.1.1; MQTT 5 allows a password alone.
    if version == Version::V4 && flags & USER_NAME == 0 && flags & PASSWORD != 0 {
        return Err(DecodeError::Malformed("a password without a user name"));
    }
    Ok(())
}

fn will(version: Version, flags: u8, reader: &mut Reader<'_>) -> Result<Will, DecodeError> {
    let qos = QoS::from_bits((flags >> 3) & 3).ok_or(DecodeError::Malformed("will with quality of service 3"))?;
    let mut delay_secs = None;
    let properties = match version {
        Version::V4 => Default::default(),
        Version::V5 => properties::publish(reader, Some(&mut delay_secs))?,
    };
    let topic = Topic::new(reader.text()?).map_err(DecodeError::TopicName)?;
    Ok(Will {
        topic,
        payload: reader.binary()?,
        qos,
        retain: flags & WILL_RETAIN != 0,
        delay_secs: delay_secs.unwrap_or(0),
        properties,
    })
}

pub(crate) fn connack(version: Version, reader: &mut Reader<'_>) -> Result<ConnAck, DecodeError> {
    let session_present = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return Err(DecodeError::Malformed("reserved bits of the CONNACK flags")),
    };
    let code = reader.u8()?;
    let reason = match version {
        Version::V4 => ReasonCode::from_connect_return_code(code),
        Version::V5 => ReasonCode::for_carrier(code, Carrier::ConnAck),
    }
    .ok_or(DecodeError::Malformed("a code CONNACK does not have"))?;
    // MQTT-3.2.2-4 of 3.1.1, MQTT-3.2.2-6 of 5.
    if session_present && reason != ReasonCode::SUCCESS {
        return Err(DecodeError::Protocol("a session with a refused connection"));
    }
    let properties = match version {
        Version::V4 => ConnAckProperties::default(),
        Version::V5 => properties::connack(reader)?,
    };
    Ok(ConnAck { session_present, reason, properties })
}
