//! The canonical request: path, query, headers. Every byte that is signed passes through here, in both directions.

/// `A-Za-z0-9-_.~`: the characters that are never percent-encoded (RFC 3986 section 2.3).
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')
}

/// Appends `bytes` with everything but unreserved characters as `%XX`.
pub fn encode_into(out: &mut String, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if is_unreserved(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                out.push(char::from(HEX.get(usize::from(nibble)).copied().unwrap_or(b'0')));
            }
        }
    }
}

/// Percent-encodes a whole value (blank is `%20`, `/` is `%2F`).
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    encode_into(&mut out, bytes);
    out
}

/// Undoes percent-encoding. A `%` that two hex digits do not follow stays as it is; `+` stays a plus.
pub fn decode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut ahead = bytes.clone();
            let pair = (ahead.next().and_then(hex_value), ahead.next().and_then(hex_value));
            if let (Some(high), Some(low)) = pair {
                out.push((high << 4) | low);
                bytes = ahead;
                continue;
            }
        }
        out.push(byte);
    }
    out
}

fn hex_value(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The parameters of a raw query string, decoded, in the order sent. `a` and `a=` both have an empty value.
pub fn decode_query(raw: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    raw.split('&')
        .filter(|piece| !piece.is_empty())
        .map(|piece| {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// Splits a request target into raw path and raw query.
pub fn split_target(target: &str) -> (&str, &str) {
    target.split_once('?').unwrap_or((target, ""))
}

/// The path as all services but S3 sign it: dot segments and empty segments removed, then each segment of the already
/// encoded path encoded once more.
pub fn path_double_encoded(raw_path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in raw_path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    let mut out = String::with_capacity(raw_path.len());
    for segment in &kept {
        out.push('/');
        encode_into(&mut out, segment.as_bytes());
    }
    let ends_open = ["/", "/.", "/.."].iter().any(|end| raw_path.ends_with(end));
    if kept.is_empty() || ends_open {
        out.push('/');
    }
    out
}

/// The path as S3 signs it: as sent.
pub fn path_as_sent(raw_path: &str) -> String {
    if raw_path.is_empty() { "/".to_owned() } else { raw_path.to_owned() }
}

/// Sorted, re-encoded parameters joined by `&`; `skip` names the parameters that are left out.
pub fn canonical_query(parameters: &[(Vec<u8>, Vec<u8>)], skip: &[&str]) -> String {
    let mut encoded: Vec<(String, String)> = parameters
        .iter()
        .filter(|(name, _)| !skip.iter().any(|s| s.as_bytes() == name.as_slice()))
        .map(|(name, value)| (encode(name), encode(value)))
        .collect();
    encoded.sort_unstable();
    let mut out = String::new();
    for (name, value) in &encoded {
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        out.push_str(value);
    }
    out
}

/// Appends a header value trimmed, with inner runs of blanks collapsed to one.
fn push_header_value(out: &mut Vec<u8>, value: &[u8]) {
    let blank = |b: &u8| matches!(*b, b' ' | b'\t');
    let mut gap = false;
    let mut started = false;
    for byte in value {
        if blank(byte) {
            gap = started;
            continue;
        }
        if gap {
            out.push(b' ');
            gap = false;
        }
        started = true;
        out.push(*byte);
    }
}

/// One `name:value LF` line per signed header, repeated headers joined by `,` in order of arrival.
/// `None` when a signed header is not in the request.
pub fn canonical_headers(headers: &[(&str, &[u8])], signed: &[String]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(256);
    for name in signed {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        let mut found = false;
        for (_, value) in headers.iter().filter(|(candidate, _)| candidate.eq_ignore_ascii_case(name)) {
            if found {
                out.push(b',');
            }
            push_header_value(&mut out, value);
            found = true;
        }
        if !found {
            return None;
        }
        out.push(b'\n');
    }
    Some(out)
}

/// Lower-case hex of the SHA-256 of the canonical request made of these parts.
pub fn request_hash(
    method: &str,
    path: &str,
    query: &str,
    headers: &[u8],
    signed: &[String],
    body_hash: &str,
) -> String {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    context.update(method.as_bytes());
    context.update(b"\n");
    context.update(path.as_bytes());
    context.update(b"\n");
    context.update(query.as_bytes());
    context.update(b"\n");
    context.update(headers);
    context.update(b"\n");
    for (index, name) in signed.iter().enumerate() {
        if index > 0 {
            context.update(b";");
        }
        context.update(name.as_bytes());
    }
    context.update(b"\n");
    context.update(body_hash.as_bytes());
    hex_of(context.finish().as_ref())
}

/// Lower-case hex of a SHA-256.
pub(crate) fn hex_of(digest: &[u8]) -> String {
    let mut digits = vec![0; digest.len().saturating_mul(2)];
    // The room is exactly what the digits take, and digits are ASCII.
    let _ = hex::encode_to_slice(digest, &mut digits);
    String::from_utf8(digits).unwrap_or_default()
}

/// Lower-case hex of the SHA-256 of `bytes`.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex_of(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref())
}

/// The string to sign.
pub fn string_to_sign(time: &str, scope: &str, request_hash: &str) -> String {
    ["AWS4-HMAC-SHA256\n", time, "\n", scope, "\n", request_hash].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CP 2.1, table row "Path".
    #[test]
    fn paths_are_normalised_then_encoded_again() {
        for (raw, want) in [
            ("/", "/"),
            ("", "/"),
            ("//", "/"),
            ("/example/..", "/"),
            ("/example1/example2/../..", "/"),
            ("/./example", "/example"),
            ("//example//", "/example/"),
            ("/a/.", "/a/"),
            ("/a/b/..", "/a/"),
            ("/../../x", "/x"),
            ("/tags/arn%3Aaws%3Ax", "/tags/arn%253Aaws%253Ax"),
            ("/a:b", "/a%3Ab"),
            ("/ሴ", "/%E1%88%B4"),
        ] {
            assert_eq!(path_double_encoded(raw), want, "{raw}");
        }
    }

    #[test]
    fn decoding_keeps_what_is_not_an_escape() {
        assert_eq!(decode("a%2Fb%20c+%zz%4"), b"a/b c+%zz%4");
        assert_eq!(decode("%e1%88%B4"), "ሴ".as_bytes());
    }
}
