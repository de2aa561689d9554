//! Limits of documents and requests (control-plane-api.md sections 5.7 and 10.4).

/// Largest document, state only, in bytes of compact JSON.
pub const MAX_DOCUMENT_BYTES: usize = 8192;
/// What the limit may be raised to.
pub const MAX_DOCUMENT_BYTES_RAISED: usize = 30 * 1024;
/// Deepest nesting below `desired` or `reported`.
pub const MAX_DEPTH: usize = 6;
/// Longest `clientToken`, in bytes.
pub const MAX_CLIENT_TOKEN_BYTES: usize = 64;
/// How long a deleted shadow's version is remembered: one that is made again meanwhile goes on counting.
pub const DELETED_VERSION_KEPT_SECS: i64 = 48 * 3600;

/// The limits an installation sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest document, in bytes of compact JSON without metadata.
    pub document_bytes: usize,
    /// Deepest nesting below `desired` or `reported`.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { document_bytes: MAX_DOCUMENT_BYTES, depth: MAX_DEPTH }
    }
}
