//! The host that a TLS connection is for: the server name of a ClientHello (RFC 8446 4.1.2, RFC 6066 3).

use smol_str::SmolStr;

use marram_reach::normal;

/// Bytes of a ClientHello that are waited for; browsers with keys of quantum-safe kinds send 2 KiB.
pub(crate) const HELLO_MAX_BYTES: usize = 16 * 1024;

const RECORD_HEADER: usize = 5;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hello {
    /// The beginning of a ClientHello.
    Incomplete,
    /// A ClientHello; the host it names.
    For(Option<SmolStr>),
    /// Something else.
    NotTls,
}

/// Looks at the first bytes of a connection.
pub(crate) fn server_name(bytes: &[u8]) -> Hello {
    let mut message = Vec::new();
    let mut rest = bytes;
    loop {
        match rest.first() {
            Some(&HANDSHAKE) => {}
            Some(_) => return Hello::NotTls,
            None => return Hello::Incomplete,
        }
        if rest.get(1).is_some_and(|major| *major != 3) {
            return Hello::NotTls;
        }
        let Some(length) = rest.get(3..RECORD_HEADER) else { return Hello::Incomplete };
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        if length == 0 || message.len() + length > HELLO_MAX_BYTES {
            return Hello::NotTls;
        }
        let body = &rest[RECORD_HEADER..];
        message.extend(&body[..length.min(body.len())]);
        if message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
            return Hello::NotTls;
        }
        if let Some(&[_, high, middle, low]) = message.first_chunk() {
            let needed = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            if needed + 4 > HELLO_MAX_BYTES {
                return Hello::NotTls;
            }
            if let Some(hello) = message.get(4..4 + needed) {
                return named(hello).map_or(Hello::NotTls, Hello::For);
            }
        }
        match body.get(length..) {
            Some(next) => rest = next,
            None => return Hello::Incomplete,
        }
    }
}

/// Takes `length` bytes off the front.
fn take<'a>(from: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(taken)
}

/// A vector whose length stands before it in `width` bytes.
fn vector<'a>(from: &mut &'a [u8], width: usize) -> Option<&'a [u8]> {
    let length = take(from, width)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    take(from, length)
}

fn named(mut hello: &[u8]) -> Option<Option<SmolStr>> {
    const VERSION_AND_RANDOM: usize = 2 + 32;
    take(&mut hello, VERSION_AND_RANDOM)?;
    for width in [1, 2, 1] {
        vector(&mut hello, width)?;
    }
    if hello.is_empty() {
        return Some(None);
    }
    let mut extensions = vector(&mut hello, 2)?;
    while !extensions.is_empty() {
        let kind = take(&mut extensions, 2)?;
        let mut extension = vector(&mut extensions, 2)?;
        if u16::from_be_bytes([kind[0], kind[1]]) != SERVER_NAME {
            continue;
        }
        let mut names = vector(&mut extension, 2)?;
        let [HOST_NAME] = take(&mut names, 1)? else { return None };
        return Some(Some(normal(std::str::from_utf8(vector(&mut names, 2)?).ok()?)));
    }
    Some(None)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A ClientHello for `name`, split into records of at most `size` bytes.
    pub(crate) fn hello(name: Option<&str>, size: usize) -> Vec<u8> {
        let with = |width: usize, bytes: &[u8]| {
            let length = (bytes.len() as u64).to_be_bytes();
            [&length[8 - width..], bytes].concat()
        };
        let mut body = [3u8, 3].to_vec();
        body.extend([7; 32]);
        body.extend(with(1, &[]));
        body.extend(with(2, &[0x13, 1]));
        body.extend(with(1, &[0]));
        let mut extensions = [&[0, 43][..], &with(2, &[2, 3, 4])].concat();
        if let Some(name) = name {
            let entry = [&[0][..], &with(2, name.as_bytes())].concat();
            extensions.extend([&[0, 0][..], &with(2, &with(2, &entry))].concat());
        }
        body.extend(with(2, &extensions));
        let message = [&[1][..], &with(3, &body)].concat();
        message.chunks(size).flat_map(|part| [&[22, 3, 1][..], &with(2, part)].concat()).collect()
    }

    /// SEC-132: the host of a TLS connection is found however its first message is cut; nothing else is taken for one.
    #[test]
    fn the_host_of_a_hello_is_found() {
        for size in [3, 20, 4096] {
            let whole = hello(Some("Api.Vendor.com"), size);
            assert_eq!(server_name(&whole), Hello::For(Some("api.vendor.com".into())));
            for end in 0..whole.len() {
                assert_eq!(server_name(&whole[..end]), Hello::Incomplete, "{end} of {size}");
            }
        }
        assert_eq!(server_name(&hello(None, 4096)), Hello::For(None));
        let plain = [
            &b"GET / HTTP/1.1"[..],
            b"\x10\x0e\0\x04MQTT",
            b"\x16\x02\0\0\x01\x01",
            b"\x16\x03\x01\0\x01\x02",
            b"\x16\x03\x01\0\0",
        ];
        for bytes in plain {
            assert_eq!(server_name(bytes), Hello::NotTls, "{bytes:?}");
        }
        assert_eq!(server_name(b"\x16\x03\x01\x40\0\x01\xff\xff\xff"), Hello::NotTls, "longer than is waited for");
    }
}
