//! Passwords: made on demand, good for eight hours, kept as digests.

use std::sync::{Mutex, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// The only user.
pub const USER: &str = "debug";
/// How long a password is good for.
pub const LIFE_SECONDS: i64 = 8 * 3600;
/// Passwords good at a time; the oldest goes first (our limit).
const PASSWORDS_MAX: usize = 16;
/// Random bytes of a password: 43 characters.
const BYTES: usize = 32;

/// The passwords of a core's console. They end with the process.
#[derive(Default)]
pub struct Passwords(Mutex<Vec<(Vec<u8>, i64)>>);

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords")
    }
}

impl Passwords {
    /// A fresh password and when it ends, seconds since the epoch; none when the system has no random numbers.
    pub fn make(&self, now: i64) -> Option<(String, i64)> {
        let mut bytes = [0; BYTES];
        aws_lc_rs::rand::fill(&mut bytes).ok()?;
        let (password, expires) = (URL_SAFE_NO_PAD.encode(bytes), now.saturating_add(LIFE_SECONDS));
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(_, expires)| *expires > now);
        if known.len() >= PASSWORDS_MAX {
            known.remove(0);
        }
        known.push((hashed(&password), expires));
        Some((password, expires))
    }

    /// Whether the value of an `Authorization` header shows a password that is good now.
    pub(crate) fn admits(&self, authorization: &str, now: i64) -> bool {
        let shown = || {
            let (scheme, value) = authorization.split_once(' ')?;
            let text = STANDARD.decode(value.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("Basic"))?;
            let (user, password) = std::str::from_utf8(&text).ok()?.split_once(':')?;
            (user == USER).then(|| hashed(password))
        };
        let Some(shown) = shown() else { return false };
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().any(|(digest, expires)| *expires > now && verify_slices_are_equal(digest, &shown).is_ok())
    }
}

fn hashed(password: &str) -> Vec<u8> {
    digest(&SHA256, password.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CR 7.3: user `debug`, 43 characters, eight hours; nobody else gets in.
    #[test]
    fn a_password_is_good_for_eight_hours() {
        let passwords = Passwords::default();
        let (password, expires) = passwords.make(1_000).unwrap();
        assert_eq!((password.len(), expires), (43, 1_000 + 8 * 3600));
        let basic = |user: &str, password: &str| format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        assert!(passwords.admits(&basic(USER, &password), expires - 1));
        for (header, now) in [
            (basic(USER, &password), expires),
            (basic("root", &password), 1_000),
            (basic(USER, "x"), 1_000),
            (format!("Bearer {password}"), 1_000),
            (String::new(), 1_000),
        ] {
            assert!(!passwords.admits(&header, now), "{header}");
        }
        for _ in 0..PASSWORDS_MAX {
            passwords.make(1_000).unwrap();
        }
        assert!(!passwords.admits(&basic(USER, &password), 1_000), "the oldest goes first");
    }
}
