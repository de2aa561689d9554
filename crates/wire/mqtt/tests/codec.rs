//! The codec against itself and against the words of the standards.

mod common;

use bytes::{Bytes, BytesMut};
use marram_mqtt::{DecodeError, Packet, ReasonCode, Version, decode, next_frame};
use proptest::prelude::*;

const MAXIMUM: usize = 1 << 20;

fn versions() -> impl Strategy<Value = Version> {
    prop::sample::select(vec![Version::V4, Version::V5])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// `decode(encode(packet)) == packet`, whatever follows in the buffer, and no prefix decodes to anything.
    #[test]
    fn what_is_written_reads_back((version, packet) in versions().prop_flat_map(|version| (Just(version), common::packet(version)))) {
        let mut bytes = BytesMut::new();
        packet.encode(version, &mut bytes).unwrap();
        for cut in 0..bytes.len() {
            prop_assert_eq!(decode(version, &mut BytesMut::from(&bytes[..cut]), MAXIMUM), Ok(None));
        }
        bytes.extend_from_slice(&[0xc0, 0]);
        prop_assert_eq!(decode(version, &mut bytes, MAXIMUM), Ok(Some(packet)));
        prop_assert_eq!(decode(version, &mut bytes, MAXIMUM), Ok(Some(Packet::PingReq)));
        prop_assert!(bytes.is_empty());
    }

    /// Whatever we accept, we write back as the very same bytes or a shorter form that reads the same.
    #[test]
    fn what_reads_writes_back(version in versions(), bytes in prop::collection::vec(any::<u8>(), 0..60), packet in common::packet(Version::V5), at in any::<prop::sample::Index>()) {
        let mut mutated = BytesMut::new();
        packet.encode(Version::V5, &mut mutated).unwrap();
        let at = at.index(mutated.len());
        for (offset, byte) in bytes.iter().take(2).enumerate() {
            if let Some(slot) = mutated.get_mut(at + offset) { *slot = *byte; }
        }
        for input in [Bytes::from(bytes), mutated.freeze()] {
            if let Ok(Some(packet)) = decode(version, &mut BytesMut::from(&input[..]), MAXIMUM) {
                let version = if let Packet::Connect(connect) = &packet { connect.version } else { version };
                let mut again = BytesMut::new();
                packet.encode(version, &mut again).unwrap();
                let length = next_frame(&input, MAXIMUM).unwrap().unwrap().total_len;
                prop_assert!(again.len() <= length);
                prop_assert_eq!(decode(version, &mut again, MAXIMUM), Ok(Some(packet)));
            }
        }
    }
}

fn hex(text: &str) -> BytesMut {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pairs = digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
    pairs.collect()
}

/// Every MUST about the shape of packets, as bytes that break it: version (4, 5 or 0 for both), requirement,
/// bytes, and the reason MQTT 5 gives.
const FORBIDDEN: &[(u8, &str, &str, ReasonCode)] = {
    use ReasonCode as R;
    &[
        (0, "2.1.2 packet type 0", "00 00", R::MALFORMED_PACKET),
        (4, "2.1.2 AUTH does not exist in 3.1.1", "f0 00", R::MALFORMED_PACKET),
        (0, "MQTT-2.1.3-1 flags of PINGREQ", "c1 00", R::MALFORMED_PACKET),
        (0, "MQTT-2.1.3-1 flags of CONNECT", "11 00", R::MALFORMED_PACKET),
        (0, "MQTT-3.8.1-1 flags of SUBSCRIBE", "80 06 0001 0001 61 00", R::MALFORMED_PACKET),
        (0, "MQTT-3.10.1-1 flags of UNSUBSCRIBE", "a0 05 0001 0001 61", R::MALFORMED_PACKET),
        (0, "MQTT-3.6.1-1 flags of PUBREL", "60 02 0001", R::MALFORMED_PACKET),
        (0, "MQTT-1.5.5-1 length not shortest", "c0 80 00", R::MALFORMED_PACKET),
        (0, "1.5.5 length of five bytes", "c0 ff ff ff ff 01", R::MALFORMED_PACKET),
        (0, "PINGREQ with a body", "c0 01 00", R::MALFORMED_PACKET),
        (0, "MQTT-3.3.1-2 DUP with QoS 0", "38 03 0001 61", R::MALFORMED_PACKET),
        (0, "MQTT-3.3.1-4 QoS 3", "36 05 0001 61 0001", R::MALFORMED_PACKET),
        (4, "MQTT-2.2.1-3 packet id 0", "32 05 0001 61 0000", R::PROTOCOL_ERROR),
        (0, "MQTT-2.2.1-3 packet id 0 in PUBACK", "40 02 0000", R::PROTOCOL_ERROR),
        (4, "MQTT-3.3.2-2 wildcard in a topic", "30 03 0001 2b", R::TOPIC_NAME_INVALID),
        (5, "MQTT-3.3.2-2 wildcard in a topic", "30 04 0001 23 00", R::TOPIC_NAME_INVALID),
        (4, "MQTT-4.7.3-1 empty topic", "30 02 0000", R::TOPIC_NAME_INVALID),
        (5, "3.3.2.1 empty topic without alias", "30 03 0000 00", R::PROTOCOL_ERROR),
        (4, "MQTT-1.5.4-2 U+0000 in a topic", "30 05 0003 61 00 62", R::TOPIC_NAME_INVALID),
        (4, "MQTT-1.5.4-1 topic not UTF-8", "30 03 0001 ff", R::MALFORMED_PACKET),
        (4, "MQTT-1.5.4-1 surrogate", "30 05 0003 eda080", R::MALFORMED_PACKET),
        (0, "topic longer than the packet", "30 03 0009 61", R::MALFORMED_PACKET),
        (5, "MQTT-3.3.2-8 topic alias 0", "30 07 0001 61 03 23 0000", R::TOPIC_ALIAS_INVALID),
        (5, "MQTT-3.3.2-14 wildcard in the response topic", "30 08 0001 61 04 08 0001 2b", R::TOPIC_NAME_INVALID),
        (5, "3.3.2.3.8 subscription identifier 0", "30 06 0001 61 02 0b 00", R::PROTOCOL_ERROR),
        (5, "3.3.2.3.2 payload format 2", "30 06 0001 61 02 01 02", R::PROTOCOL_ERROR),
        (5, "2.2.2.2 property twice", "30 08 0001 61 04 01 00 01 00", R::PROTOCOL_ERROR),
        (5, "2.2.2.2 property of another packet", "30 09 0001 61 05 11 00000000", R::MALFORMED_PACKET),
        (5, "2.2.2.2 unknown property", "30 06 0001 61 02 7f 00", R::MALFORMED_PACKET),
        (5, "property list longer than the packet", "30 04 0001 61 05", R::MALFORMED_PACKET),
        (5, "property cut by its list", "30 06 0001 61 02 02 00", R::MALFORMED_PACKET),
        (0, "3.1.2.1 protocol name", "10 0c 0004 4d515454 03 02 003c 0000", R::UNSUPPORTED_VERSION),
        (0, "3.1.2.1 MQTT 3.1", "10 0e 0006 4d5149736470 03 02 003c 0000", R::UNSUPPORTED_VERSION),
        (0, "MQTT-3.1.2-3 reserved connect flag", "10 0c 0004 4d515454 04 03 003c 0000", R::MALFORMED_PACKET),
        (0, "MQTT-3.1.2-11 will QoS without will", "10 0c 0004 4d515454 04 0a 003c 0000", R::MALFORMED_PACKET),
        (0, "MQTT-3.1.2-13 will retain without will", "10 0c 0004 4d515454 04 22 003c 0000", R::MALFORMED_PACKET),
        (0, "MQTT-3.1.2-12 will QoS 3", "10 12 0004 4d515454 04 1e 003c 0000 0001 61 0001 62", R::MALFORMED_PACKET),
        (0, "3.1.1 password without user name", "10 0e 0004 4d515454 04 42 003c 0000 0000", R::MALFORMED_PACKET),
        (0, "3.1.3 bytes after the last field", "10 0d 0004 4d515454 04 02 003c 0000 00", R::MALFORMED_PACKET),
        (0, "3.1.3 will wildcard", "10 12 0004 4d515454 04 06 003c 0000 0001 23 0001 62", R::TOPIC_NAME_INVALID),
        (0, "3.1.2.11.3 receive maximum 0", "10 10 0004 4d515454 05 02 003c 03 21 0000 0000", R::PROTOCOL_ERROR),
        (
            0,
            "3.1.2.11.4 maximum packet size 0",
            "10 12 0004 4d515454 05 02 003c 05 27 00000000 0000",
            R::PROTOCOL_ERROR,
        ),
        (0, "3.1.2.11.10 data without method", "10 11 0004 4d515454 05 02 003c 04 16 0001 61 0000", R::PROTOCOL_ERROR),
        (4, "MQTT-3.8.3-2 SUBSCRIBE without filter", "82 02 0001", R::PROTOCOL_ERROR),
        (4, "3.8.3.1 QoS 3", "82 06 0001 0001 61 03", R::PROTOCOL_ERROR),
        (4, "MQTT-3.8.3-4 reserved option bits", "82 06 0001 0001 61 04", R::MALFORMED_PACKET),
        (5, "MQTT-3.8.3-5 reserved option bits", "82 07 0001 00 0001 61 40", R::MALFORMED_PACKET),
        (5, "3.8.3.1 retain handling 3", "82 07 0001 00 0001 61 30", R::PROTOCOL_ERROR),
        (
            5,
            "MQTT-3.8.3-4 no local on a shared subscription",
            "82 10 0001 00 000a 2473686172652f672f61 04",
            R::PROTOCOL_ERROR,
        ),
        (4, "MQTT-4.7.1-2 filter a#", "82 07 0001 0002 6123 00", R::TOPIC_FILTER_INVALID),
        (4, "MQTT-4.7.1-3 filter a+", "82 07 0001 0002 612b 00", R::TOPIC_FILTER_INVALID),
        (4, "MQTT-4.7.3-1 empty filter", "82 05 0001 0000 00", R::TOPIC_FILTER_INVALID),
        (4, "MQTT-3.10.3-2 UNSUBSCRIBE without filter", "a2 02 0001", R::PROTOCOL_ERROR),
        (4, "3.14 DISCONNECT with a body", "e0 01 00", R::MALFORMED_PACKET),
        (5, "3.14.2.1 reason of another packet", "e0 01 01", R::MALFORMED_PACKET),
        (5, "3.4.2.1 reason of another packet", "40 03 0001 8e", R::MALFORMED_PACKET),
        (5, "3.15.2.2.2 AUTH without method", "f0 02 18 00", R::PROTOCOL_ERROR),
        (4, "3.2.2.1 reserved CONNACK flags", "20 02 02 00", R::MALFORMED_PACKET),
        (4, "MQTT-3.2.2-4 session with a refusal", "20 02 01 05", R::PROTOCOL_ERROR),
        (4, "3.2.2.3 return code 6", "20 02 00 06", R::MALFORMED_PACKET),
        (4, "3.9.3 return code 3", "90 03 0001 03", R::MALFORMED_PACKET),
    ]
};

/// MQTT sections 1.5, 2 and 3: what the standards forbid is refused, with the reason they name.
#[test]
fn what_the_standards_forbid_is_refused() {
    for &(version, rule, bytes, reason) in FORBIDDEN {
        for (number, version_value) in [(4, Version::V4), (5, Version::V5)] {
            if version == 0 || version == number {
                let got = decode(version_value, &mut hex(bytes), MAXIMUM);
                assert_eq!(got.as_ref().map_err(|error| error.reason()), Err(reason), "{rule} ({number}): {got:?}");
            }
        }
    }
}

/// CP 5.2, security 12.2: a packet above the maximum is refused from its header alone.
#[test]
fn too_large_is_said_early() {
    let got = decode(Version::V4, &mut hex("30 ff ff ff 7f"), 131_072);
    assert_eq!(got, Err(DecodeError::TooLarge { announced: 268_435_460, maximum: 131_072 }));
}
