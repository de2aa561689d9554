//! The data types of section 1.5, read from a packet's body.

use bytes::Bytes;
use smol_str::SmolStr;

use super::error::DecodeError;
use super::frame::varint;
use crate::packet::PacketId;

/// A cursor over one body. Binary fields share the body's buffer.
pub(crate) struct Reader<'a> {
    whole: &'a Bytes,
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(body: &'a Bytes) -> Self {
        Self { whole: body, at: 0, end: body.len() }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.end - self.at
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at == self.end
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        if self.remaining() < count {
            return Err(DecodeError::Malformed("packet ends inside a field"));
        }
        let bytes = &self.whole[self.at..self.at + count];
        self.at += count;
        Ok(bytes)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.take(4).map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    pub(crate) fn varint(&mut self) -> Result<u32, DecodeError> {
        let rest = &self.whole[self.at..self.end];
        let (value, used) = varint(rest)?.ok_or(DecodeError::Malformed("packet ends inside a length"))?;
        self.at += used;
        Ok(value)
    }

    /// A byte that is 0 or 1.
    pub(crate) fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Protocol("a flag property that is neither 0 nor 1")),
        }
    }

    pub(crate) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        PacketId::new(self.u16()?).ok_or(DecodeError::Protocol("packet identifier 0"))
    }

    /// UTF-8 text without U+0000 (section 1.5.4). Surrogates are not UTF-8.
    pub(crate) fn text(&mut self) -> Result<&'a str, DecodeError> {
        let length = usize::from(self.u16()?);
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Malformed("text that is not UTF-8"))?;
        if bytes.contains(&0) {
            return Err(DecodeError::Malformed("text with U+0000"));
        }
        Ok(text)
    }

    pub(crate) fn string(&mut self) -> Result<SmolStr, DecodeError> {
        self.text().map(SmolStr::new)
    }

    pub(crate) fn binary(&mut self) -> Result<Bytes, DecodeError> {
        let length = usize::from(self.u16()?);
        let start = self.at;
        self.take(length)?;
        Ok(self.whole.slice(start..start + length))
    }

    /// The next `length` bytes as a reader of their own.
    pub(crate) fn part(&mut self, length: usize) -> Result<Reader<'a>, DecodeError> {
        let start = self.at;
        self.take(length)?;
        Ok(Reader { whole: self.whole, at: start, end: start + length })
    }

    /// Refuses bytes after the last field.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.is_empty() { Ok(()) } else { Err(DecodeError::Malformed("bytes after the last field")) }
    }
}
