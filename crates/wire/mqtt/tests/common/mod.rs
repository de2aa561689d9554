//! Arbitrary packets that the standards allow.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use marram_mqtt::*;
use proptest::option::of;
use proptest::prelude::*;
use smol_str::SmolStr;

fn text() -> impl Strategy<Value = SmolStr> {
    "[ -~äß€😀]{0,12}".prop_map(SmolStr::from)
}

fn users() -> impl Strategy<Value = UserProperties> {
    prop::collection::vec((text(), text()), 0..3)
}

fn binary() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn topic() -> impl Strategy<Value = Topic> {
    "[a-z$/ é]{1,20}".prop_map(|text| Topic::new(&text).unwrap())
}

fn filter() -> impl Strategy<Value = TopicFilter> {
    ("([a-z]{0,3}|\\+)(/([a-z]{0,3}|\\+)){0,3}(/#)?").prop_filter_map("a filter", |text| TopicFilter::new(&text).ok())
}

fn id() -> impl Strategy<Value = PacketId> {
    any::<PacketId>()
}

fn qos() -> impl Strategy<Value = QoS> {
    (0_u8..3).prop_map(|bits| QoS::from_bits(bits).unwrap())
}

fn publish_properties(version: Version) -> BoxedStrategy<PublishProperties> {
    if version == Version::V4 {
        return Just(PublishProperties::default()).boxed();
    }
    (of(any::<bool>()), of(any::<u32>()), of(topic()), of(binary()), users(), of(text()))
        .prop_map(
            |(payload_is_utf8, message_expiry_secs, response, correlation_data, user_properties, content_type)| {
                PublishProperties {
                    payload_is_utf8,
                    message_expiry_secs,
                    response_topic: response.map(|topic| topic.as_str().into()),
                    correlation_data,
                    user_properties,
                    content_type,
                    ..PublishProperties::default()
                }
            },
        )
        .boxed()
}

fn publish(version: Version) -> impl Strategy<Value = Packet> {
    (topic(), qos(), any::<bool>(), any::<bool>(), id(), publish_properties(version), of(any::<NonZeroU16>()), binary())
        .prop_map(move |(topic, qos, dup, retain, id, mut properties, alias, payload)| {
            properties.topic_alias = alias.filter(|_| version == Version::V5);
            Packet::Publish(Publish {
                dup: dup && qos > QoS::AtMostOnce,
                qos,
                retain,
                topic: Some(topic),
                packet_id: (qos > QoS::AtMostOnce).then_some(id),
                properties,
                payload,
            })
        })
}

fn connect(version: Version) -> impl Strategy<Value = Packet> {
    let will = (topic(), binary(), qos(), any::<bool>(), any::<u32>(), publish_properties(version)).prop_map(
        move |(topic, payload, qos, retain, delay, properties)| Will {
            topic,
            payload,
            qos,
            retain,
            delay_secs: if version == Version::V5 { delay } else { 0 },
            properties,
        },
    );
    let properties = (
        of(any::<u32>()),
        of(any::<NonZeroU16>()),
        of(any::<NonZeroU32>()),
        any::<u16>(),
        any::<bool>(),
        of(any::<bool>()),
        users(),
        of((text(), binary())),
    )
        .prop_map(|(expiry, receive, size, alias, response, problem, user_properties, auth)| ConnectProperties {
            session_expiry_secs: expiry,
            receive_maximum: receive,
            maximum_packet_size: size,
            topic_alias_maximum: alias,
            request_response_information: response,
            request_problem_information: problem,
            user_properties,
            authentication_method: auth.as_ref().map(|(method, _)| method.clone()),
            authentication_data: auth.map(|(_, data)| data),
        });
    (any::<bool>(), any::<u16>(), text(), of(will), of(text()), of(binary()), properties).prop_map(
        move |(clean_start, keep_alive_secs, client_id, will, user_name, password, properties)| {
            Packet::Connect(Box::new(Connect {
                version,
                clean_start,
                keep_alive_secs,
                client_id,
                will,
                password: password.filter(|_| version == Version::V5 || user_name.is_some()),
                user_name,
                properties: if version == Version::V5 { properties } else { ConnectProperties::default() },
            }))
        },
    )
}

fn connack(version: Version) -> impl Strategy<Value = Packet> {
    let properties =
        (of(any::<u32>()), of(any::<NonZeroU16>()), of(any::<bool>()), of(text()), of(any::<u16>()), users()).prop_map(
            |(expiry, receive, qos, words, keep_alive, user_properties)| ConnAckProperties {
                session_expiry_secs: expiry,
                receive_maximum: receive,
                maximum_qos: qos.map(|one| if one { QoS::AtLeastOnce } else { QoS::AtMostOnce }),
                reason_string: words.clone(),
                assigned_client_id: words,
                server_keep_alive_secs: keep_alive,
                shared_available: qos,
                user_properties,
                ..ConnAckProperties::default()
            },
        );
    (any::<bool>(), prop::sample::select(vec![ReasonCode::SUCCESS, ReasonCode::NOT_AUTHORIZED]), properties).prop_map(
        move |(present, reason, properties)| {
            Packet::ConnAck(Box::new(ConnAck {
                session_present: present && reason == ReasonCode::SUCCESS,
                reason,
                properties: if version == Version::V5 { properties } else { ConnAckProperties::default() },
            }))
        },
    )
}

fn words(version: Version) -> BoxedStrategy<(Option<SmolStr>, UserProperties)> {
    if version == Version::V4 { Just((None, Vec::new())).boxed() } else { (of(text()), users()).boxed() }
}

fn ack(version: Version, reasons: Vec<ReasonCode>) -> impl Strategy<Value = Ack> {
    (id(), prop::sample::select(reasons), words(version)).prop_map(move |(packet_id, reason, words)| Ack {
        packet_id,
        reason: if version == Version::V5 { reason } else { ReasonCode::SUCCESS },
        reason_string: words.0,
        user_properties: words.1,
    })
}

fn subscribe(version: Version) -> impl Strategy<Value = Packet> {
    let handling = prop::sample::select(vec![RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::Never]);
    let options = (qos(), any::<bool>(), any::<bool>(), handling).prop_map(
        move |(qos, no_local, retain_as_published, retain_handling)| match version {
            Version::V4 => SubscribeOptions { qos, ..SubscribeOptions::default() },
            Version::V5 => SubscribeOptions { qos, no_local, retain_as_published, retain_handling },
        },
    );
    let filters = prop::collection::vec((filter(), options), 1..5)
        .prop_map(|list| list.into_iter().map(|(filter, options)| Filter { filter, options }).collect());
    (id(), filters, of(1_u32..268_435_455), words(version)).prop_map(
        move |(packet_id, filters, subscription_id, words)| {
            let subscription_id = subscription_id.filter(|_| version == Version::V5);
            Packet::Subscribe(Subscribe { packet_id, filters, subscription_id, user_properties: words.1 })
        },
    )
}

fn others(version: Version) -> impl Strategy<Value = Packet> {
    let granted = vec![ReasonCode::SUCCESS, ReasonCode::GRANTED_QOS_1, ReasonCode::UNSPECIFIED_ERROR];
    let suback = (id(), prop::collection::vec(prop::sample::select(granted), 1..5), words(version)).prop_map(
        |(packet_id, reasons, (reason_string, user_properties))| {
            Packet::SubAck(SubAck { packet_id, reasons, reason_string, user_properties })
        },
    );
    let unsubscribe =
        (id(), prop::collection::vec(filter(), 1..5), words(version)).prop_map(|(packet_id, filters, words)| {
            Packet::Unsubscribe(Unsubscribe { packet_id, filters, user_properties: words.1 })
        });
    let codes = vec![ReasonCode::SUCCESS, ReasonCode::NO_SUBSCRIPTION_EXISTED, ReasonCode::NOT_AUTHORIZED];
    let unsuback = (id(), prop::collection::vec(prop::sample::select(codes), 1..5), words(version)).prop_map(
        move |(packet_id, reasons, (reason_string, user_properties))| {
            let reasons = if version == Version::V5 { reasons } else { Vec::new() };
            Packet::UnsubAck(UnsubAck { packet_id, reasons, reason_string, user_properties })
        },
    );
    let ends = vec![ReasonCode::SUCCESS, ReasonCode::SESSION_TAKEN_OVER, ReasonCode::QOS_NOT_SUPPORTED];
    let disconnect = (prop::sample::select(ends), of(any::<u32>()), words(version)).prop_map(
        move |(reason, session_expiry_secs, (reason_string, user_properties))| {
            let mut packet = Disconnect::new(ReasonCode::SUCCESS);
            if version == Version::V5 {
                packet = Disconnect { reason, session_expiry_secs, reason_string, user_properties, ..packet };
            }
            Packet::Disconnect(packet)
        },
    );
    prop_oneof![suback, unsubscribe, unsuback, disconnect, Just(Packet::PingReq), Just(Packet::PingResp)]
}

/// Any packet of the version except AUTH.
pub fn packet(version: Version) -> impl Strategy<Value = Packet> {
    let failures = vec![ReasonCode::SUCCESS, ReasonCode::NOT_AUTHORIZED, ReasonCode::QUOTA_EXCEEDED];
    let missing = vec![ReasonCode::SUCCESS, ReasonCode::PACKET_ID_NOT_FOUND];
    prop_oneof![
        3 => publish(version),
        2 => connect(version),
        1 => connack(version),
        1 => ack(version, failures.clone()).prop_map(Packet::PubAck),
        1 => ack(version, failures).prop_map(Packet::PubRec),
        1 => ack(version, missing.clone()).prop_map(Packet::PubRel),
        1 => ack(version, missing).prop_map(Packet::PubComp),
        2 => subscribe(version),
        3 => others(version),
    ]
}
