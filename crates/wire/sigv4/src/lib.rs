//! AWS Signature Version 4, both directions: verify what clients send, sign what we send.
//!
//! Pure: the time is an argument, secrets are arguments, nothing is read or written. A request is verified in two
//! steps, because the secret is found with the key id the request names:
//!
//! 1. [`Presented::parse`] reads the header, query-string or WebSocket form and answers who claims to have signed what;
//! 2. [`Presented::verify`] recomputes the signature with the secret (or with a dummy one when there is none, so that
//!    time tells nothing) and answers [`Verified`] or an [`AuthFailure`].
//!
//! The path is tried in two canonical forms only: normalised and encoded twice (every service but S3), then as sent.
//! A `+` in a query string is a plus, never a blank; routers must use [`canonical::decode_query`], so that what was
//! signed is what is executed. Source: control-plane-api.md section 2.
//!
//! Not here: looking up keys, opening session tokens, `aws-chunked` bodies (the caller is told when one follows).

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

pub mod canonical;
mod failure;
mod key;
mod scope;
mod sign;
mod verify;

pub use failure::{AuthFailure, ErrorStyle, Refusal};
pub use key::{Credentials, SigningKey};
pub use scope::{AmzTime, Scope};
pub use sign::{PayloadHash, Signer, ToSign};
pub use verify::{
    BodyCheck, CanonicalForm, Expectation, Form, MAX_PRESIGN_SECS, MAX_SKEW_S3_SECS, MAX_SKEW_SECS, Payload, Presented,
    Request, Streaming, Verified,
};
