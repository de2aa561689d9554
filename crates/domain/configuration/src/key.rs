//! Keys: spelled as written, compared without case (CR 3.1).

use std::fmt;
use std::hash::{Hash, Hasher};

use indexmap::Equivalent;
use smol_str::SmolStr;

/// A key of a map. Equal when it differs in ASCII case only.
#[derive(Clone)]
pub struct Key(SmolStr);

impl Key {
    /// As written by whoever wrote it first.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Runtime-private keys begin with `_` and are never persisted.
    pub fn is_private(&self) -> bool {
        self.0.starts_with('_')
    }

    pub(crate) fn spelled(&self) -> SmolStr {
        self.0.clone()
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_folded(&self.0, state);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A borrowed key for look-ups.
pub(crate) struct Folded<'a>(pub &'a str);

impl Hash for Folded<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_folded(self.0, state);
    }
}

impl Equivalent<Key> for Folded<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.0.eq_ignore_ascii_case(&key.0)
    }
}

fn hash_folded<H: Hasher>(text: &str, state: &mut H) {
    // Pieces rather than bytes: a hasher has a price per call.
    let mut folded = [0; 32];
    for piece in text.as_bytes().chunks(folded.len()) {
        let folded = &mut folded[..piece.len()];
        folded.copy_from_slice(piece);
        folded.make_ascii_lowercase();
        state.write(folded);
    }
    state.write_u8(0xff);
}
