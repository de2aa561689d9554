//! Bytes to packets and back. Strict in: what the standards forbid is refused. Plain out: the shortest form.

pub(crate) mod decode;
pub(crate) mod decode_connect;
pub(crate) mod encode;
pub(crate) mod error;
pub(crate) mod frame;
pub(crate) mod properties;
pub(crate) mod read;
pub(crate) mod write;
