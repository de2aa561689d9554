//! What brokers and cores find on their disks after a power cut: session logs and spooled messages, their checksums right.

/// The parts as records of a session log, the whole as a spooled message.
pub fn run(data: &[u8]) {
    marram_broker::fuzz_session_log(data);
    marram_uplink::fuzz_spool_record(data);
}
