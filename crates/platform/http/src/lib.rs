//! HTTP/1.1, server and client, on hyper, with limits.
//!
//! * [`serve`] runs one connection on any byte stream: header block, body, time and panics are bounded here, so that a
//!   [`Handler`] sees whole requests only. Paths arrive as they were sent: no dot segment is removed, no slash merged.
//! * [`Client`] makes small calls to other services through a [`Dial`] port, keeping idle connections.
//!
//! Bodies are bytes in memory on both sides, except for requests that a handler wants as a stream ([`RequestBody`],
//! [`ResponseBody`]): objects that are larger than memory.

mod client;
mod server;
mod stream;

pub use client::{
    Client, ClientError, ClientLimits, ClientRequest, ClientResponse, Dial, Dialling, Direct, Origin, Stream,
    StreamedResponse,
};
pub use hyper::http::request::Parts as Head;
pub use hyper::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
pub use server::{Handler, Refusal, Response, ServerLimits, serve};
pub use stream::{BodyError, RequestBody, ResponseBody, StreamResponse};
