//! The pages: files of the built console inside the binary.
//!
//! Files below `assets/` have their hash in the name and never change; everything else is asked for anew. A path that is no
//! file is an address inside the application and answers `index.html`.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use hyper::header::{
    ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, LOCATION,
    VARY,
};
use hyper::{Method, StatusCode};
use marram_http::{Head, Response};
use rust_embed::RustEmbed;

use crate::header::secure;

/// Where the pages are.
pub(crate) const ROOT: &str = "/console/";
/// The page of the application.
const INDEX: &str = "index.html";
/// Files that never change under their name.
const ASSETS: &str = "assets/";
/// Bytes of a file's hash in its tag.
const TAG_BYTES: usize = 18;

/// Contents of a file and their SHA-256.
pub type File = (Cow<'static, [u8]>, [u8; 32]);

/// Where the pages' files come from.
pub trait Files: Send + Sync {
    /// The file at `path`, `assets/index-3f2a.js`.
    fn file(&self, path: &str) -> Option<File>;
}

/// The files inside this binary; none when it was built without the console.
#[derive(Clone, Copy, Debug, Default)]
pub struct Embedded;

#[derive(RustEmbed)]
#[folder = "../../../apps/console/dist"]
#[allow_missing = true]
struct Dist;

impl Files for Embedded {
    fn file(&self, path: &str) -> Option<File> {
        Dist::get(path).map(|file| (file.data, file.metadata.sha256_hash()))
    }
}

/// The answer to a request for a page or a file of one.
pub(crate) fn answer(files: &dyn Files, head: &Head) -> Response {
    let mut response = match head.method {
        Method::GET | Method::HEAD => page(files, head),
        _ => {
            let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "pages are read with GET");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            refused
        }
    };
    if head.method == Method::HEAD {
        *response.body_mut() = Bytes::new();
    }
    response
}

fn page(files: &dyn Files, head: &Head) -> Response {
    let path = head.uri.path();
    let Some(name) = path.strip_prefix(ROOT) else { return redirect() };
    let named = files.file(name);
    if named.is_none() && name.starts_with(ASSETS) {
        return plain(StatusCode::NOT_FOUND, "there is no such file");
    }
    let (wanted, found) = match named {
        Some(found) => (name, Some(found)),
        // An address inside the application. It may hold names of things, so a dot in it means nothing.
        None => (INDEX, files.file(INDEX)),
    };
    let Some(plain_file) = found else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "the console was not built");
    };
    let packed = accepted_encodings(head)
        .into_iter()
        .flatten()
        .find_map(|(encoding, extension)| Some((files.file(&format!("{wanted}.{extension}"))?.0, encoding)));
    file(head, wanted, plain_file, packed)
}

/// A file as the client takes it: `packed` in place of the plain one where there is one.
fn file(head: &Head, name: &str, plain: File, packed: Option<(Cow<'static, [u8]>, &'static str)>) -> Response {
    let (data, hash) = plain;
    let (data, encoding) = packed.map_or((data, None), |(data, encoding)| (data, Some(encoding)));
    let cache = if name.starts_with(ASSETS) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let tag = format!("\"{}-{}\"", STANDARD_NO_PAD.encode(&hash[..TAG_BYTES]), encoding.unwrap_or("id"));
    let known = head.headers.get(IF_NONE_MATCH).is_some_and(|given| given.as_bytes() == tag.as_bytes());
    let mut response = Response::default();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(encoding) = encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    secure(headers);
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    *response.body_mut() = match data {
        Cow::Borrowed(data) => Bytes::from_static(data),
        Cow::Owned(data) => Bytes::from(data),
    };
    response
}

/// To the console's own place.
pub(crate) fn redirect() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::FOUND;
    response.headers_mut().insert(LOCATION, HeaderValue::from_static(ROOT));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    secure(response.headers_mut());
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    secure(response.headers_mut());
    response
}

/// Encodings the client takes, ours first: Brotli, then gzip, each with the extension of its files.
fn accepted_encodings(head: &Head) -> [Option<(&'static str, &'static str)>; 2] {
    let header = head.headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
    let takes = |name: &str| {
        header.split(',').any(|part| {
            let mut parts = part.split(';').map(str::trim);
            let named = parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case(name));
            let refused = parts.any(|parameter| {
                let quality = parameter.strip_prefix("q=").and_then(|quality| quality.parse::<f32>().ok());
                quality.is_some_and(|quality| quality <= 0.0)
            });
            named && !refused
        })
    };
    [takes("br").then_some(("br", "br")), takes("gzip").then_some(("gzip", "gz"))]
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "woff" => "font/woff",
        "ttf" => "font/ttf",
        "wasm" => "application/wasm",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
