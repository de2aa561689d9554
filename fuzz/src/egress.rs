//! The network of sandboxed components: questions to the resolver, first messages of TLS, reports of the kernel, declarations.

/// One message per input; the same bytes as the text of a declaration.
pub fn run(data: &[u8]) {
    marram_egress::fuzz(data);
    if let Ok(text) = std::str::from_utf8(data) {
        marram_reach::fuzz(text);
    }
}
