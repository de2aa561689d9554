//! `aws-chunked` bodies (control-plane-api 2.3): chunks with a length and perhaps a signature each, then perhaps trailers.
//!
//! The decoder takes bytes as they come; HTTP pieces and chunks are not aligned. Nothing of it may be trusted before
//! [`Decoder::finish`] answers.

use aws_lc_rs::digest::{self, Context, SHA256};
use marram_sigv4::{SigningKey, Streaming};

/// Longest header line of a chunk: 16 hex digits, a signature and their names.
const MAX_LINE: usize = 256;
/// Largest chunk (control-plane-api 2.3).
const MAX_CHUNK: u64 = 16 << 20;
/// Largest trailer section.
const MAX_TRAILERS: usize = 8 << 10;

/// Why a chunked body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// Not the framing that was announced.
    #[error("the chunks of the body cannot be read")]
    Malformed,
    /// A chunk or the trailer was signed by somebody else.
    #[error("the signature of a chunk does not match")]
    Signature,
    /// The body ended before its last chunk.
    #[error("the body is incomplete")]
    Incomplete,
}

/// What the signatures of chunks are computed with.
pub struct ChunkSigner {
    /// The key of the request's signature.
    pub key: SigningKey,
    /// `20260131T120000Z`.
    pub time: String,
    /// `20260131/eu-west-1/s3/aws4_request`.
    pub scope: String,
    /// The signature before: the request's, then each chunk's.
    pub previous: [u8; 32],
}

impl ChunkSigner {
    fn check(&mut self, kind: &str, middle: &str, hash: &[u8], signature: &[u8; 32]) -> Result<(), ChunkError> {
        let text = format!(
            "{kind}\n{}\n{}\n{}\n{middle}{}",
            self.time,
            self.scope,
            hex::encode(self.previous),
            hex::encode(hash)
        );
        if !self.key.verify(&text, signature) {
            return Err(ChunkError::Signature);
        }
        self.previous = *signature;
        Ok(())
    }
}

enum State {
    Header,
    Data { remaining: u64 },
    DataEnd,
    Trailer,
    Done,
}

/// Takes a chunked body apart.
pub struct Decoder {
    kind: Streaming,
    signer: Option<ChunkSigner>,
    state: State,
    line: Vec<u8>,
    chunk: Context,
    signature: [u8; 32],
    trailer_lines: String,
    trailers: Vec<(String, String)>,
    trailer_signed: bool,
}

impl Decoder {
    /// A decoder of `kind`; signed kinds need a signer.
    pub fn new(kind: Streaming, signer: Option<ChunkSigner>) -> Decoder {
        Decoder {
            kind,
            signer: if kind == Streaming::UnsignedTrailer { None } else { signer },
            state: State::Header,
            line: Vec::new(),
            chunk: Context::new(&SHA256),
            signature: [0; 32],
            trailer_lines: String::new(),
            trailers: Vec::new(),
            trailer_signed: false,
        }
    }

    /// Takes the next piece of the body and appends what it holds of the content to `out`.
    ///
    /// # Errors
    /// [`ChunkError`]; the decoder is of no use afterwards.
    pub fn push(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<(), ChunkError> {
        while !input.is_empty() {
            match self.state {
                State::Data { remaining } => {
                    let take = input.len().min(usize::try_from(remaining).unwrap_or(usize::MAX));
                    let (data, rest) = input.split_at(take);
                    out.extend_from_slice(data);
                    self.chunk.update(data);
                    input = rest;
                    let remaining = remaining - take as u64;
                    self.state = State::Data { remaining };
                    if remaining == 0 {
                        self.end_chunk()?;
                        self.state = State::DataEnd;
                    }
                }
                State::Header | State::DataEnd | State::Trailer => {
                    let Some(line) = self.take_line(&mut input)? else { return Ok(()) };
                    self.line_read(&line)?;
                }
                State::Done => return Err(ChunkError::Malformed),
            }
        }
        Ok(())
    }

    /// The trailers, lower-case names, once the body is over.
    ///
    /// # Errors
    /// [`ChunkError::Incomplete`] when it was cut off, [`ChunkError::Signature`] when the trailer should have been signed.
    pub fn finish(self) -> Result<Vec<(String, String)>, ChunkError> {
        match self.state {
            State::Done => {}
            // Some writers leave out the last empty line.
            State::Trailer if self.line.is_empty() => {}
            _ => return Err(ChunkError::Incomplete),
        }
        if self.kind == Streaming::SignedTrailer && !self.trailers.is_empty() && !self.trailer_signed {
            return Err(ChunkError::Signature);
        }
        Ok(self.trailers)
    }

    /// A whole line without its end, or `None` when more bytes are needed.
    fn take_line(&mut self, input: &mut &[u8]) -> Result<Option<Vec<u8>>, ChunkError> {
        let end = input.iter().position(|byte| *byte == b'\n');
        let (head, rest) = match end {
            Some(end) => (&input[..end], &input[end + 1..]),
            None => (*input, &input[input.len()..]),
        };
        let limit = if matches!(self.state, State::Trailer) { MAX_TRAILERS } else { MAX_LINE };
        if self.line.len() + head.len() > limit {
            return Err(ChunkError::Malformed);
        }
        self.line.extend_from_slice(head);
        *input = rest;
        if end.is_none() {
            return Ok(None);
        }
        let mut line = std::mem::take(&mut self.line);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(line))
    }

    fn line_read(&mut self, line: &[u8]) -> Result<(), ChunkError> {
        match self.state {
            State::Header => self.header(line),
            State::DataEnd if line.is_empty() => {
                self.state = State::Header;
                Ok(())
            }
            State::Trailer if line.is_empty() => {
                self.state = State::Done;
                Ok(())
            }
            State::Trailer => self.trailer(line),
            _ => Err(ChunkError::Malformed),
        }
    }

    fn header(&mut self, line: &[u8]) -> Result<(), ChunkError> {
        let line = std::str::from_utf8(line).map_err(|_| ChunkError::Malformed)?;
        let (length, extension) = line.split_once(';').unwrap_or((line, ""));
        let digits = !length.is_empty() && length.len() <= 16 && length.bytes().all(|byte| byte.is_ascii_hexdigit());
        let length = if digits { u64::from_str_radix(length, 16).ok() } else { None };
        let length = length.filter(|length| *length <= MAX_CHUNK).ok_or(ChunkError::Malformed)?;
        if self.kind != Streaming::UnsignedTrailer {
            let text = extension.strip_prefix("chunk-signature=").ok_or(ChunkError::Signature)?;
            hex::decode_to_slice(text.trim(), &mut self.signature).map_err(|_| ChunkError::Signature)?;
        }
        self.chunk = Context::new(&SHA256);
        if length == 0 {
            self.end_chunk()?;
            self.state = State::Trailer;
        } else {
            self.state = State::Data { remaining: length };
        }
        Ok(())
    }

    fn end_chunk(&mut self) -> Result<(), ChunkError> {
        let Some(signer) = &mut self.signer else {
            return if self.kind == Streaming::UnsignedTrailer { Ok(()) } else { Err(ChunkError::Signature) };
        };
        let chunk = std::mem::replace(&mut self.chunk, Context::new(&SHA256)).finish();
        let empty = format!("{}\n", hex::encode(digest::digest(&SHA256, b"")));
        signer.check("AWS4-HMAC-SHA256-PAYLOAD", &empty, chunk.as_ref(), &self.signature)
    }

    fn trailer(&mut self, line: &[u8]) -> Result<(), ChunkError> {
        if self.kind == Streaming::Signed {
            return Err(ChunkError::Malformed);
        }
        let line = std::str::from_utf8(line).map_err(|_| ChunkError::Malformed)?;
        let (name, value) = line.split_once(':').ok_or(ChunkError::Malformed)?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if name == "x-amz-trailer-signature" {
            let Some(signer) = &mut self.signer else { return Err(ChunkError::Malformed) };
            let mut signature = [0; 32];
            hex::decode_to_slice(value, &mut signature).map_err(|_| ChunkError::Signature)?;
            let hash = digest::digest(&SHA256, self.trailer_lines.as_bytes());
            signer.check("AWS4-HMAC-SHA256-TRAILER", "", hash.as_ref(), &signature)?;
            self.trailer_signed = true;
            return Ok(());
        }
        if self.trailer_signed || self.trailer_lines.len() + line.len() > MAX_TRAILERS {
            return Err(ChunkError::Malformed);
        }
        self.trailer_lines.push_str(&format!("{name}:{value}\n"));
        self.trailers.push((name, value.to_owned()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use marram_types::SecretString;
    use proptest::prelude::*;

    use super::*;

    type Decoded = Result<(Vec<u8>, Vec<(String, String)>), ChunkError>;

    fn decode(kind: Streaming, signer: Option<ChunkSigner>, body: &[u8], step: usize) -> Decoded {
        let mut decoder = Decoder::new(kind, signer);
        let mut out = Vec::new();
        for piece in body.chunks(step) {
            decoder.push(piece, &mut out)?;
        }
        Ok((out, decoder.finish()?))
    }

    fn signer() -> ChunkSigner {
        let scope = marram_sigv4::Scope { date: "20130524".into(), region: "us-east-1".into(), service: "s3".into() };
        let mut previous = [0; 32];
        hex::decode_to_slice("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9", &mut previous)
            .unwrap();
        ChunkSigner {
            key: SigningKey::derive(&SecretString::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), &scope),
            time: "20130524T000000Z".to_owned(),
            scope: "20130524/us-east-1/s3/aws4_request".to_owned(),
            previous,
        }
    }

    /// The published example of a signed upload of 66,560 bytes in two chunks.
    fn signed_example() -> Vec<u8> {
        let mut body = Vec::new();
        for (length, signature) in [
            (65_536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
            (1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
            (0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
        ] {
            body.extend_from_slice(format!("{length:x};chunk-signature={signature}\r\n").as_bytes());
            body.extend(std::iter::repeat_n(b'a', length));
            body.extend_from_slice(b"\r\n");
        }
        body
    }

    /// CP 2.3: the chain of chunk signatures holds, and one changed byte breaks it.
    #[test]
    fn signed_chunks_are_checked() {
        let body = signed_example();
        let (content, trailers) = decode(Streaming::Signed, Some(signer()), &body, 1000).unwrap();
        assert_eq!((content.len(), trailers.len()), (66_560, 0));
        let mut changed = body.clone();
        changed[40_000] = b'b';
        assert_eq!(decode(Streaming::Signed, Some(signer()), &changed, 1000), Err(ChunkError::Signature));
        let cut = &body[..body.len() - 100];
        assert_eq!(decode(Streaming::Signed, Some(signer()), cut, 1000), Err(ChunkError::Incomplete));
        assert_eq!(decode(Streaming::Signed, None, &body, 1000), Err(ChunkError::Signature));
    }

    /// CP 2.3: what is not the announced framing is refused.
    #[test]
    fn malformed_chunks_are_refused() {
        let long = format!("{}\r\n", "0".repeat(300));
        for body in
            ["zz\r\n", "5\r\nabcdeXX\r\n", "1000001\r\n", "\r\n", "0\r\nnocolon\r\n\r\n", "0\r\n\r\nmore", &long]
        {
            let got = decode(Streaming::UnsignedTrailer, None, body.as_bytes(), 3);
            assert_eq!(got, Err(ChunkError::Malformed), "{body:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// CP 2.3: HTTP pieces and chunks are not aligned; however the body is cut, the content is the same.
        #[test]
        fn pieces_may_end_anywhere(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..60), 0..6), step in 1usize..70) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n");
            let (content, trailers) = decode(Streaming::UnsignedTrailer, None, &body, step).unwrap();
            prop_assert_eq!(content, chunks.concat());
            prop_assert_eq!(trailers, vec![("x-amz-checksum-crc32".to_owned(), "AAAAAA==".to_owned())]);
        }
    }
}
