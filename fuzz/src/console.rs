//! The console: cookie header, query and body of a request nobody has vouched for.

/// A line of cookies, a line of query, then a body.
pub fn run(data: &[u8]) {
    marram_console::fuzz_request(data);
}
