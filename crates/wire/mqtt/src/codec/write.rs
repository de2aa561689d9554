//! The data types of section 1.5, written.

use bytes::{BufMut, BytesMut};

use super::error::EncodeError;
use super::frame::MAX_REMAINING_LENGTH;

/// Bytes a variable byte integer takes.
#[inline]
pub(crate) const fn varint_len(value: usize) -> usize {
    match value {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        _ => 4,
    }
}

#[inline]
pub(crate) fn put_varint(out: &mut BytesMut, mut value: usize) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.put_u8(byte);
            return;
        }
        out.put_u8(byte | 0x80);
    }
}

pub(crate) fn put_bytes(out: &mut BytesMut, bytes: &[u8]) -> Result<(), EncodeError> {
    let length = u16::try_from(bytes.len()).map_err(|_| EncodeError::FieldTooLong)?;
    out.put_u16(length);
    out.put_slice(bytes);
    Ok(())
}

/// First byte and remaining length, then the body.
pub(crate) fn put_packet(out: &mut BytesMut, first: u8, body: &[u8]) -> Result<(), EncodeError> {
    if body.len() > MAX_REMAINING_LENGTH {
        return Err(EncodeError::PacketTooLong);
    }
    out.reserve(5 + body.len());
    out.put_u8(first);
    put_varint(out, body.len());
    out.put_slice(body);
    Ok(())
}
