//! Passwords: argon2id, long rather than colourful.

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::constant_time;
use marram_aws_api::ApiError;
use marram_types::random_bytes;

use crate::fault;

/// Fewest characters; no rules beside it (security 3.7).
pub(crate) const MIN_CHARS: usize = 14;
/// Most bytes: hashing must not cost more than it has to.
pub(crate) const MAX_BYTES: usize = 1024;

/// Memory of one hash, in KiB.
const COST_KIB: u32 = 19 * 1024;
/// Passes over the memory.
const PASSES: u32 = 2;
/// Bytes of a salt and of a hash.
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// What is kept of a password, with the cost it was hashed at.
#[derive(Clone, Debug)]
pub(crate) struct PasswordHash {
    pub(crate) cost_kib: u32,
    pub(crate) passes: u32,
    pub(crate) salt: Vec<u8>,
    pub(crate) hash: Vec<u8>,
}

/// Refuses passwords that are too short or too long to hash.
///
/// # Errors
/// `ValidationException`.
pub(crate) fn check_new(password: &str) -> Result<(), ApiError> {
    if password.chars().count() < MIN_CHARS {
        return Err(fault::invalid("password", format!("A password has at least {MIN_CHARS} characters.")));
    }
    if password.len() > MAX_BYTES {
        return Err(fault::invalid("password", format!("A password has at most {MAX_BYTES} bytes.")));
    }
    Ok(())
}

impl PasswordHash {
    /// Hashes a password. Blocks for tens of milliseconds.
    pub(crate) fn of(password: &str) -> Option<PasswordHash> {
        let salt = random_bytes::<SALT_BYTES>().to_vec();
        let hash = derive(password, &salt, COST_KIB, PASSES)?;
        Some(PasswordHash { cost_kib: COST_KIB, passes: PASSES, salt, hash })
    }

    /// What is compared against when there is no such user: nothing matches it, at the usual cost.
    pub(crate) fn of_nobody() -> PasswordHash {
        PasswordHash { cost_kib: COST_KIB, passes: PASSES, salt: vec![0; SALT_BYTES], hash: Vec::new() }
    }

    /// Whether this is the password. Blocks for tens of milliseconds, whatever the answer.
    pub(crate) fn matches(&self, password: &str) -> bool {
        derive(password, &self.salt, self.cost_kib, self.passes)
            .is_some_and(|hash| constant_time::verify_slices_are_equal(&hash, &self.hash).is_ok())
    }
}

fn derive(password: &str, salt: &[u8], cost_kib: u32, passes: u32) -> Option<Vec<u8>> {
    let params = Params::new(cost_kib, passes, 1, Some(HASH_BYTES)).ok()?;
    let mut hash = vec![0; HASH_BYTES];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.as_bytes(), salt, &mut hash)
        .ok()?;
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEC-64: a password matches itself and nothing else; nobody's matches nothing; only length is asked for.
    #[test]
    fn a_password_matches_itself() {
        let kept = PasswordHash::of("correct horse battery").unwrap();
        assert!(kept.matches("correct horse battery"));
        assert!(!kept.matches("correct horse batterz"));
        assert!(!PasswordHash::of_nobody().matches(""));
        assert_ne!(kept.hash, PasswordHash::of("correct horse battery").unwrap().hash, "salts differ");
        assert!(check_new("ääääääääääääää").is_ok());
        assert_eq!(check_new("aaaaaaaaaaaaa").unwrap_err().code, "ValidationException");
        assert_eq!(check_new(&"a".repeat(MAX_BYTES + 1)).unwrap_err().code, "ValidationException");
    }
}
