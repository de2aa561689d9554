//! Answers of proxies to CONNECT, and proxy URLs.

/// One answer per input; the same text as a URL with its exceptions.
pub fn run(data: &[u8]) {
    marram_uplink::fuzz_proxy_answer(data);
}
