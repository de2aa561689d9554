//! What a broker allows and how it reacts: one struct, defaults of the service we replace.

use std::time::Duration;

use marram_mqtt::session::Limits;

/// Settings of a broker. `Default` is what CP 5.2, 10.4 and security 12.2 ask for.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// Terms offered at CONNECT.
    pub session: Limits,
    /// Bytes of a topic name or filter (without `$share/{name}/`).
    pub topic_max_bytes: usize,
    /// Slashes of a topic name or filter (without `$share/{name}/` and `$aws/rules/{rule}/`).
    pub topic_max_slashes: usize,
    /// Bytes of a share name.
    pub share_name_max_bytes: usize,
    /// Bytes of a payload.
    pub payload_max_bytes: usize,
    /// Filters of one SUBSCRIBE or UNSUBSCRIBE.
    pub filters_per_packet: usize,
    /// Subscriptions of one session.
    pub subscriptions_per_session: usize,
    /// Bytes of all user properties of one message.
    pub user_properties_max_bytes: usize,
    /// Seconds a message may ask to be kept; longer is lowered.
    pub message_expiry_max_secs: u32,
    /// Bytes queued for a connected session before QoS 0 messages to it are dropped; a message that many sessions wait
    /// for counts for each of them.
    pub online_queue_bytes: usize,
    /// Bytes of QoS 1 messages queued for one session; beyond, the oldest are dropped.
    pub offline_queue_bytes: usize,
    /// Bytes of all messages in memory, those for sessions that are away included; a message counts once. Each queue may
    /// have a part of what is free: a quarter if its receiver reads, otherwise a sixteenth.
    pub queued_bytes: usize,
    /// Of these, bytes for QoS 0 and for what waits for a socket; a receiver nobody waits for may have a 64th of what is free.
    pub queued_qos0_bytes: usize,
    /// How long a publisher waits for a receiver that is full before it looks whether that one is still reading: a
    /// sixteenth of `online_queue_bytes` in this time. One that does not is not waited for again until it reads.
    pub patience: Duration,
    /// Time from the end of TLS to a complete CONNECT.
    pub connect_timeout: Duration,
    /// Seconds after a start before wills are published whose connections ended with the process before: subscribers,
    /// and the clients themselves, get that long to come back.
    pub restart_grace_secs: u32,
    /// CONNECTs of one client id; beyond, they are refused. It bounds what two devices with the same client id cost
    /// that keep taking the session from each other, and leaves a device that lost its line for a moment alone.
    pub connects_per_client: Rate,
    /// Sessions of one account, of clients that are away too (SEC 12.2); beyond, a client id without one is refused.
    pub sessions_per_account: usize,
    /// Retained messages of one account (SEC 12.2); beyond, a publish that would add one is refused.
    pub retained_messages: usize,
    /// Bytes of all retained messages of one account, topics and bookkeeping included. They live in memory.
    pub retained_bytes: usize,
    /// Metering quotas of the original. `None`: off.
    pub quotas: Option<Quotas>,
}

/// How often something may happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Times per second in the long run; at least 1.
    pub per_sec: u32,
    /// Times at once after a pause; at least 1.
    pub burst: u32,
}

/// Rates upstream meters.
#[derive(Clone, Debug)]
pub struct Quotas {
    /// PUBLISH packets per second and connection; beyond, reading pauses.
    pub publishes_per_sec: u32,
    /// Payload bytes per second and connection; beyond, reading pauses.
    pub bytes_per_sec: u32,
    /// CONNECTs of one client id; beyond, they are refused.
    pub connects_per_client: Rate,
    /// CONNECTs of one account; beyond, they are refused.
    pub connects_per_account: Rate,
    /// Changes of retained messages of one account; beyond, the publish is refused.
    pub retained: Rate,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            publishes_per_sec: 100,
            bytes_per_sec: 512 * 1024,
            connects_per_client: Rate { per_sec: 1, burst: 3 },
            connects_per_account: Rate { per_sec: 500, burst: 500 },
            retained: Rate { per_sec: 500, burst: 500 },
        }
    }
}

impl Default for BrokerOptions {
    fn default() -> Self {
        Self {
            session: Limits::default(),
            topic_max_bytes: 256,
            topic_max_slashes: 7,
            share_name_max_bytes: 128,
            payload_max_bytes: 131_072,
            filters_per_packet: 8,
            subscriptions_per_session: 50,
            user_properties_max_bytes: 8 * 1024,
            message_expiry_max_secs: 604_800,
            online_queue_bytes: 2 * 1024 * 1024,
            offline_queue_bytes: 10 * 1024 * 1024,
            queued_bytes: 256 * 1024 * 1024,
            queued_qos0_bytes: 16 * 1024 * 1024,
            patience: Duration::from_millis(20),
            connect_timeout: Duration::from_secs(10),
            restart_grace_secs: 10,
            connects_per_client: Rate { per_sec: 10, burst: 100 },
            sessions_per_account: 500_000,
            retained_messages: 500_000,
            retained_bytes: 1 << 30,
            quotas: None,
        }
    }
}

impl BrokerOptions {
    /// Whether a topic name or a filter without its share prefix is within the limits. The reserved prefix of Basic
    /// Ingest does not count (CP 5.2).
    pub(crate) fn admits_topic(&self, text: &str) -> bool {
        let counted =
            text.strip_prefix("$aws/rules/").and_then(|rest| rest.split_once('/')).map_or(text, |(_, topic)| topic);
        counted.len() <= self.topic_max_bytes
            && counted.bytes().filter(|&byte| byte == b'/').count() <= self.topic_max_slashes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CP 5.2: 256 bytes, 7 slashes, the prefix of Basic Ingest not counted.
    #[test]
    fn topics_are_short_and_flat() {
        let options = BrokerOptions::default();
        for (topic, wanted) in [
            ("1/2/3/4/5/6/7/8", true),
            ("1/2/3/4/5/6/7/8/9", false),
            ("$aws/rules/r/1/2/3/4/5/6/7/8", true),
            ("$aws/rules/r/1/2/3/4/5/6/7/8/9", false),
        ] {
            assert_eq!(options.admits_topic(topic), wanted, "{topic}");
        }
        assert!(options.admits_topic(&"x".repeat(256)));
        assert!(!options.admits_topic(&"x".repeat(257)));
    }
}
