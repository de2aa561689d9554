//! Tokens of callers on the IPC socket (CR 6.1, SEC-133).
//!
//! A component's token is 256 bits, made when its first process is started and worthless once its last one is dead. It is
//! looked up by its digest, so that comparing takes the same time however much of a guess is right.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use aws_lc_rs::digest::{SHA256, digest};
use marram_edge_ports::{Caller, CallerKind};
use marram_types::{SecretString, random_hex};
use smol_str::{SmolStr, format_smolstr};
use tokio::sync::watch;

/// 256 bits.
const TOKEN_BYTES: usize = 32;

type Digest = [u8; 32];

/// Who holds a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) caller: Caller,
    /// Uid an operator's token is for.
    pub(crate) uid: Option<u32>,
}

#[derive(Debug, Default)]
pub(crate) struct Tokens {
    holders: RwLock<HashMap<Digest, Holder>>,
    /// The tokens as given out, for further steps of a running component.
    issued: RwLock<HashMap<SmolStr, SecretString>>,
    /// Told after each [`Tokens::revoke`] that took one away.
    revoked: watch::Sender<()>,
}

impl Tokens {
    /// The token of a component, made when it has none.
    pub(crate) fn of_component(&self, component: &SmolStr) -> String {
        let mut issued = self.issued.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = issued.get(component) {
            return token.expose().to_owned();
        }
        let caller = Caller { name: component.clone(), kind: CallerKind::Component };
        let token = self.issue(Holder { caller, uid: None });
        issued.insert(component.clone(), SecretString::new(token.clone()));
        token
    }

    /// A token for a person.
    pub(crate) fn of_operator(&self, uid: u32) -> String {
        let name = format_smolstr!("greengrass-cli#user-{uid}");
        self.issue(Holder { caller: Caller { name, kind: CallerKind::Operator }, uid: Some(uid) })
    }

    /// Makes the token of a component worthless.
    pub(crate) fn revoke(&self, component: &str) {
        let token = self.issued.write().unwrap_or_else(PoisonError::into_inner).remove(component);
        if let Some(token) = token {
            self.holders.write().unwrap_or_else(PoisonError::into_inner).remove(&of(token.expose()));
            self.revoked.send_replace(());
        }
    }

    /// Told when a token has become worthless.
    pub(crate) fn revocations(&self) -> watch::Receiver<()> {
        self.revoked.subscribe()
    }

    pub(crate) fn holder(&self, token: &str) -> Option<Holder> {
        self.holders.read().unwrap_or_else(PoisonError::into_inner).get(&of(token)).cloned()
    }

    fn issue(&self, holder: Holder) -> String {
        let token = random_hex(TOKEN_BYTES);
        self.holders.write().unwrap_or_else(PoisonError::into_inner).insert(of(&token), holder);
        token
    }
}

fn of(token: &str) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEC-133: 256 bits, one instance each, worthless afterwards.
    #[test]
    fn a_token_lives_as_long_as_its_instance() {
        let tokens = Tokens::default();
        let first = tokens.of_component(&"a".into());
        assert_eq!(first.len(), 64);
        assert_eq!(tokens.of_component(&"a".into()), first);
        assert_ne!(tokens.of_component(&"b".into()), first);
        assert_eq!(tokens.holder(&first).unwrap().caller.name, "a");
        tokens.revoke("a");
        assert_eq!(tokens.holder(&first), None);
        assert_ne!(tokens.of_component(&"a".into()), first);
        let operator = tokens.of_operator(1000);
        let holder = tokens.holder(&operator).unwrap();
        assert_eq!((holder.caller.name.as_str(), holder.uid), ("greengrass-cli#user-1000", Some(1000)));
        assert_eq!(tokens.holder(""), None);
    }
}
