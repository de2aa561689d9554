//! XML bodies of the S3 protocol.

/// One body, read as every request that has one.
pub fn run(data: &[u8]) {
    marram_objects::fuzz_xml(data);
}
