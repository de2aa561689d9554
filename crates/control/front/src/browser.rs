//! What a browser may make of an answer: nothing but data, unless the answer is a page of ours.
//!
//! The console shares its origin with everything the API port answers, and much of that is written by tenants: objects,
//! payloads, documents. An answer that a browser ran would act as the person who is signed in to the console. Therefore every
//! answer carries headers that forbid it, requests that would run an answer are refused, and what a person opens is saved.

use hyper::header::{CONTENT_DISPOSITION, HeaderMap, HeaderName, HeaderValue};
use marram_http::Head;

/// Headers of every answer that has none of its own: it cannot run, be framed, be taken for another type or be embedded by
/// other sites (SEC-97).
const FIXED: [(&str, &str); 3] = [
    ("content-security-policy", "sandbox; default-src 'none'; frame-ancestors 'none'"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-resource-policy", "same-origin"),
];
/// What the answer is for, as the browser says (Fetch Metadata).
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
/// `navigate` when a person or a page goes there.
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
/// Sent when a service worker is installed or updated.
const SERVICE_WORKER: HeaderName = HeaderName::from_static("service-worker");
/// Destinations that only look at the bytes, and the navigation of a whole tab, whose answer is saved. What is not named
/// (scripts, workers, styles, fonts, frames, plug-ins, manifests and what is still to be invented) is refused.
const HARMLESS: [&[u8]; 6] = [b"empty", b"document", b"image", b"audio", b"video", b"track"];

/// Whether a browser asks for a service worker: no page of ours has one, and one of a stranger would answer in our place.
pub(crate) fn installs_worker(head: &Head) -> bool {
    head.headers.contains_key(SERVICE_WORKER)
}

/// Whether a browser would run or lay out the answer as part of a page.
pub(crate) fn would_run(head: &Head) -> bool {
    let mut destinations = head.headers.get_all(FETCH_DEST).iter();
    destinations.any(|destination| !HARMLESS.contains(&destination.as_bytes()))
}

/// Puts the fixed headers on an answer; those it has stay.
pub(crate) fn tame(headers: &mut HeaderMap) {
    for (name, value) in FIXED {
        headers.entry(HeaderName::from_static(name)).or_insert(HeaderValue::from_static(value));
    }
}

/// Makes a browser save what a person opens, under the name the answer gives it.
pub(crate) fn save(head: &Head, headers: &mut HeaderMap) {
    if head.headers.get(FETCH_MODE).is_none_or(|mode| mode.as_bytes() != b"navigate") {
        return;
    }
    let given = headers.get(CONTENT_DISPOSITION).and_then(|value| value.to_str().ok()).unwrap_or("");
    let parameters = given.split_once(';').map_or("", |(_, parameters)| parameters.trim());
    let text = if parameters.is_empty() { "attachment".to_owned() } else { format!("attachment; {parameters}") };
    let value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("attachment"));
    headers.insert(CONTENT_DISPOSITION, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEC-97: the name an object was given stays, how it is shown does not.
    #[test]
    fn what_is_opened_is_saved() {
        for (mode, given, wanted) in [
            ("navigate", None, Some("attachment")),
            ("navigate", Some("inline"), Some("attachment")),
            ("navigate", Some("inline; filename=\"a b.html\""), Some("attachment; filename=\"a b.html\"")),
            ("navigate", Some("ATTACHMENT; filename=x"), Some("attachment; filename=x")),
            ("cors", Some("inline"), Some("inline")),
            ("cors", None, None),
        ] {
            let mut head = hyper::Request::new(()).into_parts().0;
            head.headers.insert(FETCH_MODE, HeaderValue::from_static(mode));
            let mut headers = HeaderMap::new();
            if let Some(given) = given {
                headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(given));
            }
            save(&head, &mut headers);
            let got = headers.get(CONTENT_DISPOSITION).map(|value| value.to_str().unwrap());
            assert_eq!(got, wanted, "{mode} {given:?}");
        }
    }
}
