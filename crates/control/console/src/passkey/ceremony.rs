//! The two ceremonies: registering a credential (WebAuthn 7.1) and signing in with one (7.2), without I/O.

use aws_lc_rs::{constant_time, digest};

use super::client::ClientData;
use super::data::{self, AuthenticatorData};
use super::key::{ALGORITHMS, PublicKey};
use super::{MAX_CREDENTIAL_ID, MAX_PIECE};

/// Who asks: the console under its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Party {
    /// The host of the console's address; a credential belongs to it.
    pub(crate) id: String,
    /// `https://host[:port]`, as browsers write it.
    pub(crate) origin: String,
}

impl Party {
    /// The party of a console at `host:port`; none for an IP address, to which browsers bind no credentials.
    pub(crate) fn at(address: &str) -> Option<Party> {
        let (host, port) = address.rsplit_once(':')?;
        let id = host.to_ascii_lowercase();
        let is_label = |label: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
            !label.is_empty() && label.chars().all(plain) && !label.starts_with('-') && !label.ends_with('-')
        };
        // A last label of digits makes browsers read an address.
        let is_domain = id.split('.').all(is_label)
            && id.rsplit('.').next().is_some_and(|last| last.contains(|c: char| c.is_ascii_alphabetic()))
            && !id.rsplit('.').next().is_some_and(|last| last.starts_with("0x"));
        let origin = if port == "443" { format!("https://{id}") } else { format!("https://{id}:{port}") };
        (is_domain && id.len() <= 253).then_some(Party { id, origin })
    }

    /// COSE numbers of the algorithms it takes, the preferred first.
    pub(crate) fn algorithms() -> &'static [i64] {
        &ALGORITHMS
    }
}

/// Why an answer is not accepted. For the log and the tests; strangers are told less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the {0} cannot be read")]
    Malformed(&'static str),
    #[error("the answer is of another kind")]
    Kind,
    #[error("the challenge is not one of this browser's, too old, or answered already")]
    Challenge,
    #[error("the page that asked is not this console's")]
    Origin,
    #[error("the credential is of another host")]
    Party,
    #[error("nobody was there")]
    Presence,
    #[error("the authenticator did not check who was there")]
    Verification,
    #[error("the algorithm is not one of those asked for")]
    Algorithm,
    #[error("the passkey is not known")]
    Unknown,
    #[error("the passkey is somebody else's")]
    Person,
    #[error("the signature is wrong")]
    Signature,
    #[error("the counter of the passkey went back: it may have been copied")]
    Counter,
    #[error("the passkey says otherwise than before whether it may be copied")]
    Backup,
}

/// A browser's answer to being asked for a new credential.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) client_data: Vec<u8>,
    pub(crate) attestation: Vec<u8>,
}

/// A new credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) id: Vec<u8>,
    /// COSE.
    pub(crate) key: Vec<u8>,
    pub(crate) aaguid: [u8; 16],
    pub(crate) counter: u32,
    pub(crate) backup_eligible: bool,
    pub(crate) backed_up: bool,
}

/// A browser's answer to being asked to sign in.
#[derive(Debug)]
pub(crate) struct Assertion {
    pub(crate) id: Vec<u8>,
    pub(crate) client_data: Vec<u8>,
    pub(crate) data: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    /// Whose credential the authenticator takes it for.
    pub(crate) handle: Option<Vec<u8>>,
}

/// What is kept of the credential that answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    /// COSE.
    pub(crate) key: &'a [u8],
    pub(crate) counter: u32,
    pub(crate) backup_eligible: bool,
    /// Whose it is.
    pub(crate) handle: &'a [u8],
    /// The answer must say whose it is: nobody named the person before.
    pub(crate) is_discovered: bool,
}

/// What is to be kept of a use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) counter: u32,
    pub(crate) backed_up: bool,
}

impl Registration {
    /// The credential that was made, if everything about it is right. `spend` uses up the challenge.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn verify(&self, party: &Party, spend: impl FnOnce(&[u8]) -> bool) -> Result<Made, Refusal> {
        check_client(&self.client_data, "webauthn.create", party, spend)?;
        let data = data::attested(&self.attestation)?;
        check_data(&data, party)?;
        let made = data.made.ok_or(Refusal::Malformed("attestation object"))?;
        Ok(Made {
            id: made.id.to_vec(),
            key: made.key.to_vec(),
            aaguid: made.aaguid,
            counter: data.counter,
            backup_eligible: data.backup_eligible,
            backed_up: data.backed_up,
        })
    }
}

impl Assertion {
    /// What the use changes, if everything about the answer is right. `spend` uses up the challenge; `known` is the
    /// credential by that id. Whatever is wrong, the challenge is spent.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn verify(
        &self,
        party: &Party,
        known: Option<Known<'_>>,
        spend: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Used, Refusal> {
        check_client(&self.client_data, "webauthn.get", party, spend)?;
        let known = known.ok_or(Refusal::Unknown)?;
        if self.data.len() > MAX_PIECE || self.id.len() > MAX_CREDENTIAL_ID {
            return Err(Refusal::Malformed("authenticator data"));
        }
        let data = AuthenticatorData::parse(&self.data)?;
        check_data(&data, party)?;
        let is_theirs = match &self.handle {
            Some(handle) => constant_time::verify_slices_are_equal(handle, known.handle).is_ok(),
            None => !known.is_discovered,
        };
        if !is_theirs {
            return Err(Refusal::Person);
        }
        let hash = digest::digest(&digest::SHA256, &self.client_data);
        let message = [&self.data, hash.as_ref()].concat();
        if !PublicKey::parse(known.key)?.verifies(&message, &self.signature) {
            return Err(Refusal::Signature);
        }
        if data.backup_eligible != known.backup_eligible {
            return Err(Refusal::Backup);
        }
        // Zero on both sides: an authenticator that does not count (WebAuthn 6.1.1).
        if (data.counter != 0 || known.counter != 0) && data.counter <= known.counter {
            return Err(Refusal::Counter);
        }
        Ok(Used { counter: data.counter, backed_up: data.backed_up })
    }
}

fn check_client(bytes: &[u8], kind: &str, party: &Party, spend: impl FnOnce(&[u8]) -> bool) -> Result<(), Refusal> {
    let client = ClientData::parse(bytes)?;
    if !spend(&client.challenge) {
        return Err(Refusal::Challenge);
    }
    if client.kind != kind {
        return Err(Refusal::Kind);
    }
    if client.origin != party.origin || client.cross_origin {
        return Err(Refusal::Origin);
    }
    Ok(())
}

fn check_data(data: &AuthenticatorData<'_>, party: &Party) -> Result<(), Refusal> {
    if data.rp_id_hash != digest::digest(&digest::SHA256, party.id.as_bytes()).as_ref() {
        return Err(Refusal::Party);
    }
    if !data.user_present {
        return Err(Refusal::Presence);
    }
    if !data.user_verified {
        return Err(Refusal::Verification);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WebAuthn 5.1.2: credentials belong to domains; `localhost` is one, addresses are none.
    #[test]
    fn parties_are_domains() {
        let at = |address: &str| Party::at(address).map(|party| (party.id, party.origin));
        let party = |id: &str, origin: &str| Some((id.to_owned(), origin.to_owned()));
        assert_eq!(at("localhost:8443"), party("localhost", "https://localhost:8443"));
        assert_eq!(at("Marram.Example:443"), party("marram.example", "https://marram.example"));
        for address in
            ["127.0.0.1:8443", "[::1]:8443", "10.1:1", "127.0.0.0x1:1", "a..b:1", "-a:1", "a_b:1", ":1", "localhost"]
        {
            assert_eq!(at(address), None, "{address}");
        }
    }
}
