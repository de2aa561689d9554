//! Passwords: made on demand, good for eight hours, kept as digests.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use tokio::time::Instant;

/// The only user.
pub const USER: &str = "debug";
/// How long a password is good for.
pub const LIFE: Duration = Duration::from_hours(8);
/// Passwords good at a time; the oldest goes first (our limit).
const PASSWORDS_MAX: usize = 16;
/// Random bytes of a password: 43 characters.
const BYTES: usize = 32;

/// The present moment on both clocks: the wall's is what people are told, the other cannot be set back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Seconds since the epoch.
    pub(crate) wall: i64,
    /// Of the machine's own clock.
    pub(crate) steady: Instant,
}

struct Known {
    digest: Vec<u8>,
    /// Seconds since the epoch.
    expires: i64,
    ends: Instant,
}

impl Known {
    fn is_good(&self, now: Moment) -> bool {
        self.expires > now.wall && self.ends > now.steady
    }
}

/// The passwords of one console; they end with it.
#[derive(Default)]
pub(crate) struct Passwords(Mutex<Vec<Known>>);

impl Passwords {
    /// A fresh password and when it ends, seconds since the epoch; none when the system has no random numbers.
    pub(crate) fn make(&self, now: Moment) -> Option<(String, i64)> {
        let mut bytes = [0; BYTES];
        aws_lc_rs::rand::fill(&mut bytes).ok()?;
        let (password, expires) =
            (URL_SAFE_NO_PAD.encode(bytes), now.wall.saturating_add(LIFE.as_secs().cast_signed()));
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|one| one.is_good(now));
        if known.len() >= PASSWORDS_MAX {
            known.remove(0);
        }
        known.push(Known { digest: hashed(&password), expires, ends: now.steady + LIFE });
        Some((password, expires))
    }

    /// Whether the value of an `Authorization` header shows a password that is good now. Every password is compared, in a time
    /// that does not depend on which of them fits.
    pub(crate) fn admits(&self, authorization: &str, now: Moment) -> bool {
        let shown = || {
            let (scheme, value) = authorization.split_once(' ')?;
            let text = STANDARD.decode(value.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("Basic"))?;
            let (user, password) = std::str::from_utf8(&text).ok()?.split_once(':')?;
            (user == USER).then(|| hashed(password))
        };
        let Some(shown) = shown() else { return false };
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().fold(false, |admitted, one| {
            admitted | (verify_slices_are_equal(&one.digest, &shown).is_ok() & one.is_good(now))
        })
    }
}

fn hashed(password: &str) -> Vec<u8> {
    digest(&SHA256, password.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CR 7.3: user `debug`, 43 characters, eight hours on either clock; nobody else gets in.
    #[test]
    fn a_password_is_good_for_eight_hours() {
        let passwords = Passwords::default();
        let began = Instant::now();
        let at = |wall: i64, hours: u64| Moment { wall, steady: began + Duration::from_hours(hours) };
        let (password, expires) = passwords.make(at(1_000, 0)).unwrap();
        assert_eq!((password.len(), expires), (43, 1_000 + 8 * 3600));
        let basic = |user: &str, password: &str| format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        assert!(passwords.admits(&basic(USER, &password), at(expires - 1, 7)));
        for (header, now) in [
            (basic(USER, &password), at(expires, 7)),
            // Somebody set the wall's clock back.
            (basic(USER, &password), at(1_000, 8)),
            (basic("root", &password), at(1_000, 0)),
            (basic(USER, "x"), at(1_000, 0)),
            (basic(USER, ""), at(1_000, 0)),
            (format!("Bearer {password}"), at(1_000, 0)),
            (String::new(), at(1_000, 0)),
        ] {
            assert!(!passwords.admits(&header, now), "{header} {now:?}");
        }
        for _ in 0..PASSWORDS_MAX {
            passwords.make(at(1_000, 0)).unwrap();
        }
        assert!(!passwords.admits(&basic(USER, &password), at(1_000, 0)), "the oldest goes first");
    }
}
