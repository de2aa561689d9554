//! One frame: prelude, headers, payload, two checksums (CR 6.2).
//!
//! The decoder looks at the first 12 bytes before anything else: lengths above the limits or a wrong prelude checksum are
//! refused before a byte of the body is waited for.

use crate::header::{self, HeaderError, Headers, Value};

/// Longest message in bytes, everything included (CR 6.2).
pub const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// Longest header block in bytes (CR 6.2).
pub const MAX_HEADERS: usize = 64 * 1024;
/// Length fields and their checksum.
pub const PRELUDE: usize = 12;
/// Bytes of a frame that are neither header nor payload.
pub const OVERHEAD: usize = 16;

/// Why a frame is refused; the connection it came on cannot be read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The lengths contradict each other.
    #[error("a frame of {total} bytes cannot hold {headers} bytes of headers")]
    Lengths {
        /// Stated length of the message.
        total: u32,
        /// Stated length of the headers.
        headers: u32,
    },
    /// Above [`MAX_MESSAGE`].
    #[error("a message of {0} bytes is too long")]
    TooLong(u64),
    /// Above [`MAX_HEADERS`].
    #[error("{0} bytes of headers are too many")]
    HeadersTooLong(u64),
    /// The prelude's checksum is wrong.
    #[error("the checksum of the prelude is wrong")]
    PreludeChecksum,
    /// The message's checksum is wrong.
    #[error("the checksum of the message is wrong")]
    MessageChecksum,
    /// A header cannot be read.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

/// A decoded frame, borrowed from the buffer it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Headers in their order.
    pub headers: Headers<'a>,
    /// The rest.
    pub payload: &'a [u8],
}

/// The length of the message that starts `buffer`; none while the prelude is not complete.
pub fn message_length(buffer: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(prelude) = buffer.first_chunk::<PRELUDE>() else {
        return Ok(None);
    };
    Ok(Some(check_prelude(prelude)?.0))
}

/// Total length and header length.
fn check_prelude(prelude: &[u8; PRELUDE]) -> Result<(usize, usize), FrameError> {
    let word = |at: usize| u32::from_be_bytes([prelude[at], prelude[at + 1], prelude[at + 2], prelude[at + 3]]);
    let (total, headers) = (word(0), word(4));
    if total as usize > MAX_MESSAGE {
        return Err(FrameError::TooLong(total.into()));
    }
    if headers as usize > MAX_HEADERS {
        return Err(FrameError::HeadersTooLong(headers.into()));
    }
    if (total as usize) < OVERHEAD + headers as usize {
        return Err(FrameError::Lengths { total, headers });
    }
    if crc32fast::hash(&prelude[..8]) != word(8) {
        return Err(FrameError::PreludeChecksum);
    }
    Ok((total as usize, headers as usize))
}

/// The frame that starts `buffer` and its length; none when more bytes are needed.
pub fn decode(buffer: &[u8]) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let Some(prelude) = buffer.first_chunk::<PRELUDE>() else {
        return Ok(None);
    };
    let (total, headers) = check_prelude(prelude)?;
    let Some(message) = buffer.get(..total) else {
        return Ok(None);
    };
    let (body, checksum) = message.split_at(total - 4);
    if crc32fast::hash(body).to_be_bytes() != checksum {
        return Err(FrameError::MessageChecksum);
    }
    let (block, payload) = body[PRELUDE..].split_at(headers);
    Ok(Some((Frame { headers: Headers::parse(block)?, payload }, total)))
}

/// Appends a frame with an encoded header block.
///
/// # Errors
/// Headers or message above the limits; nothing is appended then.
pub fn write(out: &mut Vec<u8>, headers: &[u8], payload: &[u8]) -> Result<(), FrameError> {
    if headers.len() > MAX_HEADERS {
        return Err(FrameError::HeadersTooLong(headers.len() as u64));
    }
    let total = OVERHEAD + headers.len() + payload.len();
    if total > MAX_MESSAGE {
        return Err(FrameError::TooLong(total as u64));
    }
    let start = out.len();
    out.reserve(total);
    out.extend_from_slice(&(total as u32).to_be_bytes());
    out.extend_from_slice(&(headers.len() as u32).to_be_bytes());
    let checksum = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&checksum.to_be_bytes());
    out.extend_from_slice(headers);
    out.extend_from_slice(payload);
    let checksum = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&checksum.to_be_bytes());
    Ok(())
}

/// A message under construction, for the rare frames; frequent ones use [`crate::Template`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    headers: Vec<u8>,
    payload: Vec<u8>,
}

impl Message {
    /// Without headers and payload.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more header.
    ///
    /// # Errors
    /// The name or value does not fit its length field.
    pub fn header(mut self, name: &str, value: Value<'_>) -> Result<Self, HeaderError> {
        header::write(&mut self.headers, name, value)?;
        Ok(self)
    }

    /// With this payload.
    pub fn payload(mut self, payload: impl Into<Vec<u8>>) -> Self {
        self.payload = payload.into();
        self
    }

    /// Appends the frame.
    ///
    /// # Errors
    /// Headers or message above the limits.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        write(out, &self.headers, &self.payload)
    }
}
