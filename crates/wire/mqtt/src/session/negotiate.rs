//! A server's answer to CONNECT: which values hold on this connection.
//!
//! | asked | granted | source |
//! | --- | --- | --- |
//! | client id empty | assigned if clean start, else refused | MQTT 3.1.3.1, CP 5.2 |
//! | client id over 128 bytes, `$...`, control characters | refused | CP 5.2 |
//! | keep alive 0 or above 1200 | 1200 | CP 5.2 |
//! | keep alive below 30 | 30 | CP 5.2 |
//! | session expiry (5) | at most the limit | CP 5.2 |
//! | clean session = 0 (3.1.1) | the default expiry | CP 5.2 |
//! | receive maximum | at most the limit | CP 5.2 |
//! | will with QoS 2 | refused, 0x9B | CP 5.2 |
//! | authentication method | refused, 0x8C | CP 5.2 |

use std::num::{NonZeroU16, NonZeroU32};

use crate::packet::{ConnAck, Connect, QoS, Version};
use crate::property::ConnAckProperties;
use crate::reason::ReasonCode;
use crate::session::alias::TOPIC_ALIAS_MAX;
use crate::topic::ClientId;

/// What a server is willing to grant. The defaults are upstream's (CP 5.2).
#[derive(Clone, Debug)]
pub struct Limits {
    /// Shortest keep alive, seconds.
    pub keep_alive_min_secs: u16,
    /// Longest keep alive, seconds; also what "none" becomes.
    pub keep_alive_max_secs: u16,
    /// Longest session expiry, seconds.
    pub session_expiry_max_secs: u32,
    /// Expiry of a 3.1.1 session without Clean Session, seconds.
    pub session_expiry_default_secs: u32,
    /// QoS 1 messages unacknowledged in each direction.
    pub receive_maximum: NonZeroU16,
    /// Bytes of the largest packet accepted.
    pub maximum_packet_size: NonZeroU32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            keep_alive_min_secs: 30,
            keep_alive_max_secs: 1200,
            session_expiry_max_secs: 604_800,
            session_expiry_default_secs: 3600,
            receive_maximum: const { NonZeroU16::new(100).unwrap() },
            maximum_packet_size: const { NonZeroU32::new(149_504).unwrap() },
        }
    }
}

/// Why a CONNECT is refused, as the CONNACK says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("connection refused: {0}")]
pub struct Refusal(pub ReasonCode);

impl Refusal {
    /// The CONNACK to send before closing.
    pub fn connack(self) -> ConnAck {
        ConnAck { session_present: false, reason: self.0, properties: ConnAckProperties::default() }
    }
}

/// What holds on an accepted connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Negotiated {
    /// Standard spoken.
    pub version: Version,
    /// The client's id, or the one it was assigned.
    pub client_id: ClientId,
    /// Whether the id was assigned.
    pub id_assigned: bool,
    /// Seconds without a packet from the client, times 1.5, end the connection.
    pub keep_alive_secs: u16,
    /// Seconds the session outlives the connection.
    pub session_expiry_secs: u32,
    /// QoS 1 messages we may have unacknowledged towards the client.
    pub send_maximum: u16,
    /// Aliases we may use towards the client.
    pub send_alias_maximum: u16,
    /// Bytes of the largest packet the client accepts.
    pub send_packet_maximum: usize,
    /// Whether reason strings may be sent with other packets than CONNACK and DISCONNECT.
    pub problem_information: bool,
}

/// Settles the terms of a connection. `assigned_id` is used if the client left the choice to the server: make it
/// unguessable.
pub fn negotiate(connect: &Connect, limits: &Limits, assigned_id: &str) -> Result<Negotiated, Refusal> {
    let id_assigned = connect.client_id.is_empty();
    if id_assigned && !connect.clean_start {
        return Err(Refusal(ReasonCode::CLIENT_ID_NOT_VALID));
    }
    let text = if id_assigned { assigned_id } else { connect.client_id.as_str() };
    let client_id = ClientId::new(text).map_err(|_| Refusal(ReasonCode::CLIENT_ID_NOT_VALID))?;
    if connect.properties.authentication_method.is_some() {
        return Err(Refusal(ReasonCode::BAD_AUTHENTICATION_METHOD));
    }
    if connect.will.as_ref().is_some_and(|will| will.qos == QoS::ExactlyOnce) {
        return Err(Refusal(ReasonCode::QOS_NOT_SUPPORTED));
    }
    let keep_alive_secs = match connect.keep_alive_secs {
        0 => limits.keep_alive_max_secs,
        asked => asked.clamp(limits.keep_alive_min_secs, limits.keep_alive_max_secs),
    };
    let session_expiry_secs = match connect.version {
        Version::V4 if connect.clean_start => 0,
        Version::V4 => limits.session_expiry_default_secs,
        Version::V5 => connect.properties.session_expiry_secs.unwrap_or(0),
    };
    let properties = &connect.properties;
    Ok(Negotiated {
        version: connect.version,
        client_id,
        id_assigned,
        keep_alive_secs,
        session_expiry_secs: session_expiry_secs.min(limits.session_expiry_max_secs),
        send_maximum: properties.receive_maximum.map_or(u16::MAX, NonZeroU16::get).min(limits.receive_maximum.get()),
        send_alias_maximum: properties.topic_alias_maximum.min(TOPIC_ALIAS_MAX),
        send_packet_maximum: properties.maximum_packet_size.map_or(usize::MAX, |size| size.get() as usize),
        problem_information: properties.request_problem_information.unwrap_or(true),
    })
}

impl Negotiated {
    /// The CONNACK that tells the client.
    pub fn connack(&self, connect: &Connect, limits: &Limits, session_present: bool) -> ConnAck {
        let asked_expiry = connect.properties.session_expiry_secs.unwrap_or(0);
        let properties = ConnAckProperties {
            session_expiry_secs: (asked_expiry != self.session_expiry_secs).then_some(self.session_expiry_secs),
            receive_maximum: Some(limits.receive_maximum),
            maximum_qos: Some(QoS::AtLeastOnce),
            retain_available: Some(true),
            maximum_packet_size: Some(limits.maximum_packet_size),
            assigned_client_id: self.id_assigned.then(|| self.client_id.as_str().into()),
            topic_alias_maximum: Some(TOPIC_ALIAS_MAX),
            wildcard_available: Some(true),
            subscription_ids_available: Some(false),
            shared_available: Some(true),
            server_keep_alive_secs: (connect.keep_alive_secs != self.keep_alive_secs).then_some(self.keep_alive_secs),
            ..ConnAckProperties::default()
        };
        ConnAck { session_present, reason: ReasonCode::SUCCESS, properties }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CP 5.2: keep alive 30 to 1200 s; 0 becomes 1200. MQTT 5 3.2.2.3.14: the CONNACK says so if it differs.
    #[test]
    fn keep_alive_is_clamped_and_told() {
        for (asked, granted) in [(0, 1200), (1, 30), (30, 30), (60, 60), (1200, 1200), (1201, 1200), (65_535, 1200)] {
            let mut connect = Connect::new(Version::V5, "c");
            connect.keep_alive_secs = asked;
            let limits = Limits::default();
            let terms = negotiate(&connect, &limits, "x").unwrap();
            assert_eq!(terms.keep_alive_secs, granted, "{asked}");
            let told = terms.connack(&connect, &limits, false).properties.server_keep_alive_secs;
            assert_eq!(told, (asked != granted).then_some(granted), "{asked}");
        }
    }

    /// CP 5.2: client id rules.
    #[test]
    fn an_empty_client_id_needs_a_clean_start() {
        for version in [Version::V4, Version::V5] {
            for (id, clean, wanted) in [
                ("c", false, Ok("c")),
                ("", true, Ok("assigned")),
                ("", false, Err(Refusal(ReasonCode::CLIENT_ID_NOT_VALID))),
                ("$c", true, Err(Refusal(ReasonCode::CLIENT_ID_NOT_VALID))),
            ] {
                let connect = Connect { clean_start: clean, ..Connect::new(version, id) };
                let got = negotiate(&connect, &Limits::default(), "assigned");
                assert_eq!(got.as_ref().map(|terms| terms.client_id.as_str()).map_err(|error| *error), wanted);
            }
        }
    }

    /// CP 5.2: expiry at most 604,800 s, 3600 s for 3.1.1 sessions that are not clean.
    #[test]
    fn session_expiry_is_lowered_and_told() {
        let limits = Limits::default();
        let expiry = |connect: &Connect| negotiate(connect, &limits, "x").unwrap().session_expiry_secs;
        let mut five = Connect::new(Version::V5, "c");
        assert_eq!(expiry(&five), 0);
        five.properties.session_expiry_secs = Some(u32::MAX);
        assert_eq!(expiry(&five), 604_800);
        let terms = negotiate(&five, &limits, "x").unwrap();
        assert_eq!(terms.connack(&five, &limits, false).properties.session_expiry_secs, Some(604_800));
        let four = Connect { clean_start: false, ..Connect::new(Version::V4, "c") };
        assert_eq!(expiry(&four), 3600);
    }
}
