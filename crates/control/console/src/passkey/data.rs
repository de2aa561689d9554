//! Authenticator data and attestation objects (WebAuthn 6.1, 6.5): lengths and flags in fixed places, then CBOR.

use minicbor::Decoder;
use minicbor::data::Type;

use super::ceremony::Refusal;
use super::key::PublicKey;
use super::{MAX_ATTESTATION, MAX_CREDENTIAL_ID, MAX_PIECE};

const USER_PRESENT: u8 = 1;
const USER_VERIFIED: u8 = 1 << 2;
const BACKUP_ELIGIBLE: u8 = 1 << 3;
const BACKED_UP: u8 = 1 << 4;
const ATTESTED: u8 = 1 << 6;
const EXTENDED: u8 = 1 << 7;
/// Bits the specification keeps for later.
const RESERVED: u8 = 1 << 1 | 1 << 5;

/// RP id hash, flags and counter.
const HEAD: usize = 32 + 1 + 4;
/// AAGUID and length of the id.
const CREDENTIAL_HEAD: usize = 16 + 2;

/// What an authenticator says of itself and of what it did.
#[derive(Debug)]
pub(crate) struct AuthenticatorData<'a> {
    /// SHA-256 of the id of the party it answered.
    pub(crate) rp_id_hash: [u8; 32],
    /// Somebody was there.
    pub(crate) user_present: bool,
    /// It was the right one: a PIN, a finger, a face.
    pub(crate) user_verified: bool,
    /// The key may leave the device.
    pub(crate) backup_eligible: bool,
    /// The key has left it.
    pub(crate) backed_up: bool,
    /// Uses of the key so far; zero where it does not count.
    pub(crate) counter: u32,
    /// The credential it made.
    pub(crate) made: Option<MadeCredential<'a>>,
}

/// A credential as it is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MadeCredential<'a> {
    pub(crate) aaguid: [u8; 16],
    pub(crate) id: &'a [u8],
    /// COSE, exactly.
    pub(crate) key: &'a [u8],
}

impl<'a> AuthenticatorData<'a> {
    /// Reads all of it.
    ///
    /// # Errors
    /// [`Refusal::Malformed`], [`Refusal::Algorithm`].
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<AuthenticatorData<'a>, Refusal> {
        const WRONG: Refusal = Refusal::Malformed("authenticator data");
        if bytes.len() > MAX_ATTESTATION {
            return Err(WRONG);
        }
        let (head, mut rest) = bytes.split_at_checked(HEAD).ok_or(WRONG)?;
        let flags = head[32];
        if flags & RESERVED != 0 || (flags & BACKED_UP != 0 && flags & BACKUP_ELIGIBLE == 0) {
            return Err(WRONG);
        }
        let mut made = None;
        if flags & ATTESTED != 0 {
            let (head, after) = rest.split_at_checked(CREDENTIAL_HEAD).ok_or(WRONG)?;
            let length = usize::from(u16::from_be_bytes([head[16], head[17]]));
            if length == 0 || length > MAX_CREDENTIAL_ID {
                return Err(WRONG);
            }
            let (id, after) = after.split_at_checked(length).ok_or(WRONG)?;
            let (_, key_length) = PublicKey::parse_prefix(after)?;
            let (key, after) = after.split_at(key_length);
            made = Some(MadeCredential { aaguid: head[..16].try_into().expect("sixteen bytes"), id, key });
            rest = after;
        }
        if flags & EXTENDED != 0 {
            let mut decoder = Decoder::new(rest);
            if !matches!(decoder.datatype(), Ok(Type::Map)) || decoder.skip().is_err() {
                return Err(WRONG);
            }
            rest = rest.get(decoder.position()..).ok_or(WRONG)?;
        }
        if !rest.is_empty() {
            return Err(WRONG);
        }
        Ok(AuthenticatorData {
            rp_id_hash: head[..32].try_into().expect("thirty-two bytes"),
            user_present: flags & USER_PRESENT != 0,
            user_verified: flags & USER_VERIFIED != 0,
            backup_eligible: flags & BACKUP_ELIGIBLE != 0,
            backed_up: flags & BACKED_UP != 0,
            counter: u32::from_be_bytes(head[33..].try_into().expect("four bytes")),
            made,
        })
    }
}

/// The authenticator data of an attestation object, which must hold a credential. The statement is read and believed in
/// nothing: none was asked for, and without it a made-up authenticator could only harm its own person.
///
/// # Errors
/// [`Refusal::Malformed`], [`Refusal::Algorithm`].
pub(crate) fn attested(bytes: &[u8]) -> Result<AuthenticatorData<'_>, Refusal> {
    const WRONG: Refusal = Refusal::Malformed("attestation object");
    if bytes.len() > MAX_ATTESTATION {
        return Err(WRONG);
    }
    let mut decoder = Decoder::new(bytes);
    let (mut data, mut format, mut statement) = (None, None, None);
    if decoder.map().map_err(|_| WRONG)? != Some(3) {
        return Err(WRONG);
    }
    for _ in 0..3 {
        let twice = match decoder.str().map_err(|_| WRONG)? {
            "authData" => data.replace(decoder.bytes().map_err(|_| WRONG)?).is_some(),
            "fmt" => format.replace(decoder.str().map_err(|_| WRONG)?).is_some(),
            "attStmt" => {
                let start = decoder.position();
                if !matches!(decoder.datatype(), Ok(Type::Map)) || decoder.skip().is_err() {
                    return Err(WRONG);
                }
                statement.replace(decoder.position() - start).is_some()
            }
            _ => true,
        };
        if twice {
            return Err(WRONG);
        }
    }
    let (Some(data), Some(format), Some(statement)) = (data, format, statement) else { return Err(WRONG) };
    // An empty map is one byte, and the format `none` has no other statement (WebAuthn 8.7).
    if decoder.position() != bytes.len() || (format == "none" && statement != 1) || data.len() > MAX_PIECE {
        return Err(WRONG);
    }
    let data = AuthenticatorData::parse(data)?;
    if data.made.is_some() { Ok(data) } else { Err(WRONG) }
}
