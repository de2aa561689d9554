//! Paths that need no signature (control-plane-api 1.8, step 2).

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode};
use marram_http::Response;

/// An unsigned answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// Body.
    pub body: Vec<u8>,
}

impl Page {
    /// A JSON document.
    pub fn json(status: u16, document: &serde_json::Value) -> Page {
        Page { status, content_type: "application/json", body: document.to_string().into_bytes() }
    }

    /// Prometheus text.
    pub fn metrics(text: String) -> Page {
        Page { status: 200, content_type: "text/plain; version=0.0.4; charset=utf-8", body: text.into_bytes() }
    }

    pub(crate) fn into_response(self, method: &Method) -> Response {
        let body = if method == Method::HEAD { Bytes::new() } else { Bytes::from(self.body) };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        response.headers_mut().insert("cache-control", HeaderValue::from_static("no-store"));
        response
    }
}

/// What is shown without a signature: `/healthz`, `/metrics` and, where there is one, the console.
pub trait Pages: Send + Sync {
    /// The page at `path` for an unsigned `GET` or `HEAD`; `None` when there is none. Must not tell anything of an account.
    fn page(&self, path: &str) -> Option<Page>;
}

/// `/healthz` alone.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Health;

impl Pages for Health {
    fn page(&self, path: &str) -> Option<Page> {
        (path == "/healthz").then(|| Page::json(200, &serde_json::json!({"status": "ok"})))
    }
}
