//! `aws-chunked` bodies: however they are cut, what comes out is the same.

use marram_objects::Decoder;
use marram_sigv4::Streaming;

/// Decodes the bytes at once and byte by byte.
pub fn run(data: &[u8]) {
    for kind in [Streaming::UnsignedTrailer, Streaming::Signed, Streaming::SignedTrailer] {
        let decode = |step: usize| {
            let mut decoder = Decoder::new(kind, None);
            let mut content = Vec::new();
            for piece in data.chunks(step) {
                decoder.push(piece, &mut content)?;
            }
            decoder.finish().map(|trailers| (content, trailers))
        };
        assert_eq!(decode(data.len().max(1)).ok(), decode(1).ok());
    }
}
