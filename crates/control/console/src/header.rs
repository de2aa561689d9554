//! Headers that every answer of the console carries (SEC-97).

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

/// Headers that are the same on every answer. HSTS is for two years (SEC 12.1).
const FIXED: [(&str, &str); 9] = [
    ("x-frame-options", "DENY"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("strict-transport-security", "max-age=63072000"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ("x-permitted-cross-domain-policies", "none"),
];

/// The policy of what pages may load and do: files of ours and nothing else. No inline script or style, no `eval`, no
/// other origin, no form that leaves, no frame around us, no HTML made from text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'none'; \
    connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// Puts them all on an answer.
pub(crate) fn secure(headers: &mut HeaderMap) {
    for (name, value) in FIXED {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.insert("content-security-policy", HeaderValue::from_static(POLICY));
}
