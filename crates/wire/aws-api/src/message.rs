//! A request and an answer as the protocols see them: no socket, no HTTP library.

use std::borrow::Cow;

/// A request as it was received. Nothing is decoded: signatures are computed over what was sent.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `GET`.
    pub method: &'a str,
    /// Raw path, percent-encoding and all, without the query.
    pub path: &'a str,
    /// Raw query string, without the question mark; empty when there is none.
    pub query: &'a str,
    /// Lower-case names, in order of arrival.
    pub headers: &'a [(&'a str, &'a str)],
    /// The whole body.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// The first header called `name`, in any case.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// The media type of the body, without parameters.
    pub fn media_type(&self) -> &'a str {
        self.header("content-type").unwrap_or("").split(';').next().unwrap_or("").trim()
    }
}

/// An answer, ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`; `None` when there is no body.
    pub content_type: Option<&'static str>,
    /// Lower-case names; without `Content-Type`, `Content-Length` and `Date`.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header called `name` (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}
