//! Headers of a frame: `u8 name length, name, u8 type, value` (CR 6.2).

/// Longest header name in bytes (CR 6.2).
pub const MAX_NAME: usize = 127;

/// Why a header block is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The block ends inside a header.
    #[error("the header block ends inside a header")]
    Truncated,
    /// A name of 0 or more than 127 bytes.
    #[error("a header name of {0} bytes")]
    NameLength(usize),
    /// A name or string value that is not UTF-8.
    #[error("header text is not UTF-8")]
    NotUtf8,
    /// A type above 9.
    #[error("header type {0} does not exist")]
    UnknownType(u8),
    /// A value too long for its length field.
    #[error("a header value of {0} bytes")]
    ValueLength(usize),
}

/// The value of a header, borrowed from the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Types 0 (true) and 1 (false).
    Bool(bool),
    /// Type 2.
    Int8(i8),
    /// Type 3.
    Int16(i16),
    /// Type 4.
    Int32(i32),
    /// Type 5.
    Int64(i64),
    /// Type 6, at most 65,535 bytes.
    Bytes(&'a [u8]),
    /// Type 7, at most 65,535 bytes.
    Text(&'a str),
    /// Type 8, milliseconds since the Unix epoch.
    Timestamp(i64),
    /// Type 9.
    Uuid([u8; 16]),
}

/// The headers of a decoded frame in their order. Made from checked bytes only, so reading cannot fail.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Headers<'a>(&'a [u8]);

impl<'a> Headers<'a> {
    /// Checks the whole block.
    pub fn parse(block: &'a [u8]) -> Result<Self, HeaderError> {
        let mut rest = block;
        while !rest.is_empty() {
            rest = split(rest)?.2;
        }
        Ok(Self(block))
    }

    /// The encoded block.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The first header of this name.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        (*self).into_iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }
}

impl std::fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(*self).finish()
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = (&'a str, Value<'a>);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        Iter(self.0)
    }
}

/// Iterator over [`Headers`].
#[derive(Clone)]
pub struct Iter<'a>(&'a [u8]);

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let (name, value, rest) = split(self.0).ok()?;
        self.0 = rest;
        Some((name, value))
    }
}

/// The first header and what follows it.
fn split(block: &[u8]) -> Result<(&str, Value<'_>, &[u8]), HeaderError> {
    let (&length, rest) = block.split_first().ok_or(HeaderError::Truncated)?;
    let length = usize::from(length);
    if length == 0 || length > MAX_NAME {
        return Err(HeaderError::NameLength(length));
    }
    let (name, rest) = rest.split_at_checked(length).ok_or(HeaderError::Truncated)?;
    let name = std::str::from_utf8(name).map_err(|_| HeaderError::NotUtf8)?;
    let (&kind, rest) = rest.split_first().ok_or(HeaderError::Truncated)?;
    let (value, rest) = match kind {
        0 | 1 => (Value::Bool(kind == 0), rest),
        2 => fixed(rest).map(|(bytes, rest)| (Value::Int8(i8::from_be_bytes(bytes)), rest))?,
        3 => fixed(rest).map(|(bytes, rest)| (Value::Int16(i16::from_be_bytes(bytes)), rest))?,
        4 => fixed(rest).map(|(bytes, rest)| (Value::Int32(i32::from_be_bytes(bytes)), rest))?,
        5 => fixed(rest).map(|(bytes, rest)| (Value::Int64(i64::from_be_bytes(bytes)), rest))?,
        6 => sized(rest).map(|(bytes, rest)| (Value::Bytes(bytes), rest))?,
        7 => {
            let (bytes, rest) = sized(rest)?;
            (Value::Text(std::str::from_utf8(bytes).map_err(|_| HeaderError::NotUtf8)?), rest)
        }
        8 => fixed(rest).map(|(bytes, rest)| (Value::Timestamp(i64::from_be_bytes(bytes)), rest))?,
        9 => fixed(rest).map(|(bytes, rest)| (Value::Uuid(bytes), rest))?,
        other => return Err(HeaderError::UnknownType(other)),
    };
    Ok((name, value, rest))
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), HeaderError> {
    let (head, rest) = bytes.split_first_chunk().ok_or(HeaderError::Truncated)?;
    Ok((*head, rest))
}

fn sized(bytes: &[u8]) -> Result<(&[u8], &[u8]), HeaderError> {
    let (length, rest) = fixed(bytes)?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(length))).ok_or(HeaderError::Truncated)
}

/// Appends one header.
///
/// # Errors
/// The name or value does not fit its length field.
pub fn write(out: &mut Vec<u8>, name: &str, value: Value<'_>) -> Result<(), HeaderError> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(HeaderError::NameLength(name.len()));
    }
    let length = match value {
        Value::Bytes(bytes) => bytes.len(),
        Value::Text(text) => text.len(),
        _ => 0,
    };
    let length = u16::try_from(length).map_err(|_| HeaderError::ValueLength(length))?;
    out.push(name.len() as u8);
    out.extend_from_slice(name.as_bytes());
    let kind = match value {
        Value::Bool(true) => 0,
        Value::Bool(false) => 1,
        Value::Int8(_) => 2,
        Value::Int16(_) => 3,
        Value::Int32(_) => 4,
        Value::Int64(_) => 5,
        Value::Bytes(_) => 6,
        Value::Text(_) => 7,
        Value::Timestamp(_) => 8,
        Value::Uuid(_) => 9,
    };
    out.push(kind);
    match value {
        Value::Bool(_) => {}
        Value::Int8(number) => out.extend_from_slice(&number.to_be_bytes()),
        Value::Int16(number) => out.extend_from_slice(&number.to_be_bytes()),
        Value::Int32(number) => out.extend_from_slice(&number.to_be_bytes()),
        Value::Int64(number) | Value::Timestamp(number) => out.extend_from_slice(&number.to_be_bytes()),
        Value::Bytes(bytes) => {
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(bytes);
        }
        Value::Text(text) => {
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        Value::Uuid(bytes) => out.extend_from_slice(&bytes),
    }
    Ok(())
}
