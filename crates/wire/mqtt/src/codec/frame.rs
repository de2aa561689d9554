//! The fixed header (section 2.1): where one packet ends and the next begins.

use super::error::DecodeError;

/// Largest remaining length: four bytes of seven bits.
pub const MAX_REMAINING_LENGTH: usize = 268_435_455;

/// First byte of a packet, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FixedHeader {
    /// Packet type, 1 to 15.
    pub kind: u8,
    /// The four flag bits.
    pub flags: u8,
}

/// A complete packet at the start of a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Type and flags.
    pub header: FixedHeader,
    /// Bytes before the body: 2 to 5.
    pub header_len: usize,
    /// Bytes of header and body.
    pub total_len: usize,
}

/// Finds the packet at the start of `buffer`. `Ok(None)`: more bytes are needed.
///
/// Refuses packet types and flags that do not exist, remaining lengths that are not in their shortest form, and
/// packets of more than `maximum` bytes, as early as the bytes at hand allow.
#[inline]
pub fn next_frame(buffer: &[u8], maximum: usize) -> Result<Option<Frame>, DecodeError> {
    let Some(&first) = buffer.first() else { return Ok(None) };
    let header = FixedHeader { kind: first >> 4, flags: first & 0x0f };
    check_flags(header)?;
    let Some((remaining, length_len)) = varint(&buffer[1..])? else { return Ok(None) };
    let header_len = 1 + length_len;
    let total_len = header_len + remaining as usize;
    if total_len > maximum {
        return Err(DecodeError::TooLarge { announced: total_len, maximum });
    }
    Ok((buffer.len() >= total_len).then_some(Frame { header, header_len, total_len }))
}

fn check_flags(header: FixedHeader) -> Result<(), DecodeError> {
    let FixedHeader { kind, flags } = header;
    let good = match kind {
        0 => return Err(DecodeError::Malformed("packet type 0")),
        3 => match (flags >> 1) & 3 {
            // MQTT-3.3.1-2: DUP must be 0 for QoS 0.
            0 => flags & 8 == 0,
            1 | 2 => true,
            _ => return Err(DecodeError::Malformed("quality of service 3")),
        },
        6 | 8 | 10 => flags == 2,
        _ => flags == 0,
    };
    if good { Ok(()) } else { Err(DecodeError::Malformed("reserved flags of the fixed header")) }
}

/// A variable byte integer and its length; `None` if the bytes end before it does (section 1.5.5).
#[inline]
pub(crate) fn varint(bytes: &[u8]) -> Result<Option<(u32, usize)>, DecodeError> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            // MQTT-1.5.5-1: the fewest bytes that can hold the value.
            if byte == 0 && index > 0 {
                return Err(DecodeError::Malformed("length not in its shortest form"));
            }
            return Ok(Some((value, index + 1)));
        }
    }
    if bytes.len() >= 4 { Err(DecodeError::Malformed("length of more than four bytes")) } else { Ok(None) }
}
