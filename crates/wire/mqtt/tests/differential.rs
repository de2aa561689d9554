//! The codec against two others. What we write they read, and write back as the very same bytes; what we accept they
//! accept. They accept more: that is the point of ours.

mod common;

use bytes::BytesMut;
use marram_mqtt::{Packet, Version, decode, next_frame};
use mqtt_protocol_core::mqtt::Arc;
use mqtt_protocol_core::mqtt::packet::{v3_1_1, v5_0};
use proptest::prelude::*;
use tokio_util::codec::{Decoder, Encoder};

/// The packet as `mqtt-protocol-core` reads and writes it again.
fn through_core(version: Version, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let frame = next_frame(bytes, usize::MAX).unwrap().unwrap();
    let (body, flags) = (&bytes[frame.header_len..frame.total_len], frame.header.flags);
    macro_rules! reread {
        ($packet:ty) => {
            <$packet>::parse(body)
                .map(|(packet, _)| packet.to_continuous_buffer())
                .map_err(|error| format!("{error:?}"))
        };
    }
    macro_rules! publish {
        ($packet:ty) => {
            <$packet>::parse(flags, Arc::from(body))
                .map(|(packet, _)| packet.to_continuous_buffer())
                .map_err(|error| format!("{error:?}"))
        };
    }
    match (version, frame.header.kind) {
        (Version::V4, 1) => reread!(v3_1_1::Connect),
        (Version::V4, 2) => reread!(v3_1_1::Connack),
        (Version::V4, 3) => publish!(v3_1_1::Publish),
        (Version::V4, 4) => reread!(v3_1_1::Puback),
        (Version::V4, 5) => reread!(v3_1_1::Pubrec),
        (Version::V4, 6) => reread!(v3_1_1::Pubrel),
        (Version::V4, 7) => reread!(v3_1_1::Pubcomp),
        (Version::V4, 8) => reread!(v3_1_1::Subscribe),
        (Version::V4, 9) => reread!(v3_1_1::Suback),
        (Version::V4, 10) => reread!(v3_1_1::Unsubscribe),
        (Version::V4, 11) => reread!(v3_1_1::Unsuback),
        (Version::V5, 1) => reread!(v5_0::Connect),
        (Version::V5, 2) => reread!(v5_0::Connack),
        (Version::V5, 3) => publish!(v5_0::Publish),
        (Version::V5, 4) => reread!(v5_0::Puback),
        (Version::V5, 5) => reread!(v5_0::Pubrec),
        (Version::V5, 6) => reread!(v5_0::Pubrel),
        (Version::V5, 7) => reread!(v5_0::Pubcomp),
        (Version::V5, 8) => reread!(v5_0::Subscribe),
        (Version::V5, 9) => reread!(v5_0::Suback),
        (Version::V5, 10) => reread!(v5_0::Unsubscribe),
        (Version::V5, 11) => reread!(v5_0::Unsuback),
        (Version::V5, 14) => reread!(v5_0::Disconnect),
        _ => Ok(bytes[..frame.total_len].to_vec()),
    }
}

/// The packet as `rmqtt-codec` reads and writes it again.
fn through_rmqtt(version: Version, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut input = BytesMut::from(bytes);
    let mut output = BytesMut::new();
    match version {
        Version::V4 => {
            let mut codec = rmqtt_codec::v3::Codec::new(0);
            let (packet, _) =
                codec.decode(&mut input).map_err(|error| format!("{error:?}"))?.ok_or("more bytes wanted")?;
            codec.encode(packet, &mut output).map_err(|error| format!("{error:?}"))?;
        }
        Version::V5 => {
            let mut codec = rmqtt_codec::v5::Codec::new(0, 0);
            let (packet, _) =
                codec.decode(&mut input).map_err(|error| format!("{error:?}"))?.ok_or("more bytes wanted")?;
            codec.encode(packet, &mut output).map_err(|error| format!("{error:?}"))?;
        }
    }
    Ok(output.to_vec())
}

fn read(version: Version, bytes: &[u8]) -> Option<Packet> {
    decode(version, &mut BytesMut::from(bytes), usize::MAX).ok().flatten()
}

/// Same bytes for 3.1.1. In 5 the order of properties is free and defaults may be spelled out or left out, so the same
/// meaning after reading it again.
fn check_same(version: Version, packet: &Packet, ours: &[u8], theirs: &[u8]) {
    match version {
        Version::V4 => assert_eq!(theirs, ours, "{packet:?}"),
        Version::V5 => {
            let again = read(version, theirs).map(without_defaults);
            assert_eq!(again, Some(without_defaults(packet.clone())), "{theirs:02x?}");
        }
    }
}

fn without_defaults(mut packet: Packet) -> Packet {
    match &mut packet {
        Packet::Connect(connect) => {
            let properties = &mut connect.properties;
            properties.request_problem_information = properties.request_problem_information.filter(|&wanted| !wanted);
            properties.session_expiry_secs = properties.session_expiry_secs.filter(|&secs| secs > 0);
        }
        Packet::ConnAck(connack) => {
            let properties = &mut connack.properties;
            for flag in [
                &mut properties.retain_available,
                &mut properties.wildcard_available,
                &mut properties.subscription_ids_available,
                &mut properties.shared_available,
            ] {
                *flag = flag.filter(|&available| !available);
            }
            properties.receive_maximum = properties.receive_maximum.filter(|maximum| maximum.get() < u16::MAX);
        }
        Packet::Publish(publish) => {
            publish.properties.payload_is_utf8 = publish.properties.payload_is_utf8.filter(|&utf8| utf8);
        }
        _ => {}
    }
    packet
}

/// An empty client id without clean session is well-formed; it is the broker that answers it with code 2
/// (MQTT-3.1.3-8). `rmqtt-codec` does not let the broker see it.
fn is_left_to_the_broker(packet: &Packet) -> bool {
    matches!(packet, Packet::Connect(connect) if connect.client_id.is_empty() && !connect.clean_start)
}

/// MQTT 5 allows a password without a user name (3.1.2.9); `mqtt-protocol-core` does not.
fn is_too_modern_for_core(packet: &Packet) -> bool {
    matches!(packet, Packet::Connect(connect) if connect.password.is_some() && connect.user_name.is_none())
}

fn any_packet() -> impl Strategy<Value = (Version, Packet)> {
    prop::sample::select(vec![Version::V4, Version::V5])
        .prop_flat_map(|version| (Just(version), common::packet(version)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Both codecs read what we write as what we meant.
    #[test]
    fn others_read_what_we_write((version, packet) in any_packet()) {
        let mut ours = BytesMut::new();
        packet.encode(version, &mut ours).unwrap();
        if !is_too_modern_for_core(&packet) {
            let core = through_core(version, &ours);
            prop_assert!(core.is_ok(), "{packet:?}: {core:?}");
            check_same(version, &packet, &ours, &core.unwrap());
        }
        if is_left_to_the_broker(&packet) {
            return Ok(());
        }
        let rmqtt = through_rmqtt(version, &ours);
        prop_assert!(rmqtt.is_ok(), "{packet:?}: {rmqtt:?}");
        check_same(version, &packet, &ours, &rmqtt.unwrap());
    }

    /// What we accept after random damage, both others accept too.
    #[test]
    fn we_accept_a_subset((version, packet) in any_packet(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = BytesMut::new();
        packet.encode(version, &mut bytes).unwrap();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(packet) = read(version, &bytes) {
            let version = if let Packet::Connect(connect) = &packet { connect.version } else { version };
            let core = through_core(version, &bytes);
            prop_assert!(is_too_modern_for_core(&packet) || core.is_ok(), "{packet:?}: {core:?}");
            let rmqtt = through_rmqtt(version, &bytes);
            prop_assert!(is_left_to_the_broker(&packet) || rmqtt.is_ok(), "{packet:?}: {rmqtt:?}");
        }
    }
}
