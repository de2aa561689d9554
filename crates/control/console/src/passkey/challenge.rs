//! Challenges: made for one cookie and one purpose, good for minutes, used up by the first answer.
//!
//! A challenge carries its own proof (a MAC), so strangers who ask and never answer cost no memory. Only answered ones are
//! remembered, until they would have expired anyway.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;
use marram_types::{Timestamp, random_bytes};

use crate::token::TokenHash;

/// How long a person may take to answer.
pub(crate) const LIFE: Duration = Duration::from_secs(3 * 60);
/// Random bytes of a challenge; WebAuthn 13.4.3 asks for 16.
const NONCE: usize = 16;
/// Bytes of nonce, expiry and MAC.
const LENGTH: usize = NONCE + 8 + 32;
/// Answered challenges that are remembered. Answers are throttled per address, so this takes thousands of addresses.
const MAX_USED: usize = 65_536;

/// What an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Signing in: nobody is known yet.
    SignIn,
    /// Proving again to be there.
    Again,
    /// The first passkey of somebody who opened a link.
    Enrol,
    /// A further passkey of somebody who is signed in.
    Add,
}

/// Makes challenges and takes answered ones out of use.
pub(crate) struct Challenges {
    /// Made anew with each run: a challenge does not outlive what remembers that it was answered.
    key: hmac::Key,
    used: Mutex<HashMap<[u8; NONCE], Timestamp>>,
}

impl std::fmt::Debug for Challenges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Challenges")
    }
}

impl Challenges {
    pub(crate) fn new() -> Challenges {
        let secret: [u8; 32] = random_bytes();
        Challenges { key: hmac::Key::new(hmac::HMAC_SHA256, &secret), used: Mutex::default() }
    }

    /// A challenge for the browser with this cookie.
    pub(crate) fn make(&self, cookie: &TokenHash, purpose: Purpose, now: Timestamp) -> Vec<u8> {
        let nonce: [u8; NONCE] = random_bytes();
        let mut challenge = Vec::with_capacity(LENGTH);
        challenge.extend_from_slice(&nonce);
        challenge.extend_from_slice(&now.saturating_add(LIFE).as_micros().to_be_bytes());
        let tag = self.tag(&challenge, cookie, purpose);
        challenge.extend_from_slice(tag.as_ref());
        challenge
    }

    /// Uses a challenge up; `false` unless it was made here for this cookie and purpose, is young enough and unanswered.
    pub(crate) fn spend(&self, challenge: &[u8], cookie: &TokenHash, purpose: Purpose, now: Timestamp) -> bool {
        let Some((signed, tag)) = challenge.split_at_checked(LENGTH - 32) else { return false };
        let mut context = hmac::Context::with_key(&self.key);
        feed(&mut context, signed, cookie, purpose);
        if aws_lc_rs::constant_time::verify_slices_are_equal(context.sign().as_ref(), tag).is_err() {
            return false;
        }
        let (nonce, expires) = signed.split_at(NONCE);
        let nonce: [u8; NONCE] = nonce.try_into().expect("split there");
        let expires = Timestamp::from_micros(i64::from_be_bytes(expires.try_into().expect("eight bytes are left")));
        if expires <= now {
            return false;
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= MAX_USED {
            used.retain(|_, expires| *expires > now);
        }
        // Full of answers that could be given again: nobody passes until the oldest expire.
        used.len() < MAX_USED && used.insert(nonce, expires).is_none()
    }

    /// Forgets answered challenges that have expired.
    pub(crate) fn sweep(&self, now: Timestamp) {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, expires| *expires > now);
    }

    fn tag(&self, signed: &[u8], cookie: &TokenHash, purpose: Purpose) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        feed(&mut context, signed, cookie, purpose);
        context.sign()
    }
}

fn feed(context: &mut hmac::Context, signed: &[u8], cookie: &TokenHash, purpose: Purpose) {
    context.update(signed);
    context.update(cookie);
    context.update(match purpose {
        Purpose::SignIn => b"sign in",
        Purpose::Again => b"again",
        Purpose::Enrol => b"enrol",
        Purpose::Add => b"add",
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEC-64 (replay): a challenge is good once, for its cookie and purpose, for three minutes, in this run.
    #[test]
    fn a_challenge_is_spent_once() {
        let challenges = Challenges::new();
        let now = Timestamp::from_secs(1_000);
        let (mine, other) = ([1; 32], [2; 32]);
        let challenge = challenges.make(&mine, Purpose::SignIn, now);
        let mut bent = challenge.clone();
        bent[0] ^= 1;
        for (challenge, cookie, purpose, at) in [
            (&bent, &mine, Purpose::SignIn, now),
            (&challenge, &other, Purpose::SignIn, now),
            (&challenge, &mine, Purpose::Again, now),
            (&challenge, &mine, Purpose::SignIn, now.saturating_add(LIFE)),
            (&challenge[..40].to_vec(), &mine, Purpose::SignIn, now),
            (&Vec::new(), &mine, Purpose::SignIn, now),
        ] {
            assert!(!challenges.spend(challenge, cookie, purpose, at));
        }
        assert!(!Challenges::new().spend(&challenge, &mine, Purpose::SignIn, now), "another run");
        assert!(challenges.spend(&challenge, &mine, Purpose::SignIn, now));
        assert!(!challenges.spend(&challenge, &mine, Purpose::SignIn, now), "used up");
        challenges.sweep(now);
        assert!(!challenges.spend(&challenge, &mine, Purpose::SignIn, now), "sweeping forgets nothing that matters");
        challenges.sweep(now.saturating_add(LIFE));
        assert!(challenges.used.lock().unwrap().is_empty());
    }
}
