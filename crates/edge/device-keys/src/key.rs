//! A private key in the token: signatures for TLS, a wrapping key for the secret store.
//!
//! Messages are hashed here and the token signs the hash, because that is what every token can do.

use aws_lc_rs::{digest, hkdf};
use cryptoki::error::Error;
use cryptoki::mechanism::elliptic_curve::{EcKdf, Ecdh1DeriveParams};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use marram_tls::{RemoteKey, SignatureScheme};
use marram_types::SecretBytes;

use crate::provider::{Provider, TokenError};
use crate::uri::KeyUri;

/// `ECParameters` of the named curves.
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
/// `DigestInfo` in front of a hash (RFC 8017, 9.2).
const SHA256_INFO: &[u8] =
    &[0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];
const SHA384_INFO: &[u8] =
    &[0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30];
const SHA512_INFO: &[u8] =
    &[0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40];

const WRAPPING: &[u8] = b"marram secret store: token root";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
}

/// A private key that stays in its token.
#[derive(Debug, Clone)]
pub struct TokenKey {
    provider: Provider,
    uri: KeyUri,
    kind: Kind,
}

impl TokenKey {
    pub(crate) fn find(provider: Provider, uri: &KeyUri) -> Result<Self, TokenError> {
        let kind = provider.find("private key", uri, |session, object| {
            let attributes = session.get_attributes(object, &[AttributeType::KeyType])?;
            if attributes.contains(&Attribute::KeyType(KeyType::RSA)) {
                return Ok(Some(Kind::Rsa));
            }
            if !attributes.contains(&Attribute::KeyType(KeyType::EC)) {
                return Ok(None);
            }
            let attributes = session.get_attributes(object, &[AttributeType::EcParams])?;
            Ok(attributes.into_iter().find_map(|attribute| match attribute {
                Attribute::EcParams(curve) if curve == P256 => Some(Kind::P256),
                Attribute::EcParams(curve) if curve == P384 => Some(Kind::P384),
                _ => None,
            }))
        })?;
        let kind = kind.ok_or_else(|| TokenError::Kind(uri.label.clone()))?;
        Ok(Self { provider, uri: uri.clone(), kind })
    }

    /// 32 bytes that only this key can produce for `salt`: HKDF over a deterministic signature (RSA), or over the key's
    /// agreement with its own public half (EC; the key needs the right to derive).
    ///
    /// # Errors
    /// The token refused.
    pub fn wrapping_key(&self, salt: &[u8; 32]) -> Result<SecretBytes, TokenError> {
        let material = match self.kind {
            Kind::Rsa => {
                let message = [WRAPPING, salt.as_slice()].concat();
                self.signature(SignatureScheme::RsaPkcs1Sha256, &message)?
            }
            Kind::P256 | Kind::P384 => self.agreement()?,
        };
        let material = SecretBytes::new(material);
        let mut key = vec![0; 32];
        hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
            .extract(material.expose())
            .expand(&[WRAPPING], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut key))
            .expect("32 bytes are the length of the hash");
        Ok(SecretBytes::new(key))
    }

    fn signature(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        let (mechanism, data) = plan(scheme, message);
        let raw = self.provider.find("private key", &self.uri, |session, key| session.sign(&mechanism, key, &data))?;
        Ok(match self.kind {
            Kind::Rsa => raw,
            Kind::P256 | Kind::P384 => der_of(&raw),
        })
    }

    /// The key's Diffie-Hellman agreement with its own public half.
    fn agreement(&self) -> Result<Vec<u8>, TokenError> {
        let length = if self.kind == Kind::P256 { 32 } else { 48 };
        self.provider.find("private key", &self.uri, |session, key| {
            let point = own_point(session, key, 2 * length + 1)?;
            let mechanism = Mechanism::Ecdh1Derive(Ecdh1DeriveParams::new(EcKdf::null(), &point));
            let template = [
                Attribute::Class(ObjectClass::SECRET_KEY),
                Attribute::KeyType(KeyType::GENERIC_SECRET),
                Attribute::Token(false),
                Attribute::Sensitive(false),
                Attribute::Extractable(true),
                Attribute::ValueLen((length as u64).into()),
            ];
            let derived = session.derive_key(&mechanism, key, &template)?;
            let value = session.get_attributes(derived, &[AttributeType::Value]);
            session.destroy_object(derived)?;
            let value = value?.into_iter().find_map(|attribute| match attribute {
                Attribute::Value(value) => Some(value),
                _ => None,
            });
            value.filter(|value| !value.is_empty()).ok_or(Error::InvalidValue)
        })
    }
}

impl RemoteKey for TokenKey {
    fn schemes(&self) -> Vec<SignatureScheme> {
        match self.kind {
            Kind::P256 => vec![SignatureScheme::EcdsaP256Sha256],
            Kind::P384 => vec![SignatureScheme::EcdsaP384Sha384],
            Kind::Rsa => vec![
                SignatureScheme::RsaPssSha256,
                SignatureScheme::RsaPssSha384,
                SignatureScheme::RsaPssSha512,
                SignatureScheme::RsaPkcs1Sha256,
                SignatureScheme::RsaPkcs1Sha384,
                SignatureScheme::RsaPkcs1Sha512,
            ],
        }
    }

    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, String> {
        self.signature(scheme, message).map_err(|error| error.to_string())
    }
}

/// The mechanism for a scheme and what it is given.
fn plan(scheme: SignatureScheme, message: &[u8]) -> (Mechanism<'static>, Vec<u8>) {
    use SignatureScheme as S;
    let hash = |algorithm| digest::digest(algorithm, message).as_ref().to_vec();
    let pss = |hash_alg, mgf, length: u64| Mechanism::RsaPkcsPss(PkcsPssParams { hash_alg, mgf, s_len: length.into() });
    let with_info = |info: &[u8], hash: Vec<u8>| (Mechanism::RsaPkcs, [info, &hash].concat());
    match scheme {
        S::EcdsaP256Sha256 => (Mechanism::Ecdsa, hash(&digest::SHA256)),
        S::EcdsaP384Sha384 => (Mechanism::Ecdsa, hash(&digest::SHA384)),
        S::RsaPssSha256 => (pss(MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, 32), hash(&digest::SHA256)),
        S::RsaPssSha384 => (pss(MechanismType::SHA384, PkcsMgfType::MGF1_SHA384, 48), hash(&digest::SHA384)),
        S::RsaPssSha512 => (pss(MechanismType::SHA512, PkcsMgfType::MGF1_SHA512, 64), hash(&digest::SHA512)),
        S::RsaPkcs1Sha256 => with_info(SHA256_INFO, hash(&digest::SHA256)),
        S::RsaPkcs1Sha384 => with_info(SHA384_INFO, hash(&digest::SHA384)),
        S::RsaPkcs1Sha512 => with_info(SHA512_INFO, hash(&digest::SHA512)),
    }
}

/// The uncompressed point of the public key with the same label and id.
fn own_point(session: &Session, key: ObjectHandle, length: usize) -> Result<Vec<u8>, Error> {
    let mut template = vec![Attribute::Class(ObjectClass::PUBLIC_KEY)];
    template.extend(session.get_attributes(key, &[AttributeType::Label, AttributeType::Id])?);
    let public = session.find_objects(&template)?.into_iter().next().ok_or(Error::InvalidValue)?;
    let point =
        session.get_attributes(public, &[AttributeType::EcPoint])?.into_iter().find_map(|attribute| match attribute {
            // Wrapped in an OCTET STRING by most tokens, bare by some.
            Attribute::EcPoint(point) if point.len() >= length => Some(point[point.len() - length..].to_vec()),
            _ => None,
        });
    point.filter(|point| point.first() == Some(&4)).ok_or(Error::InvalidValue)
}

/// `r` and `s` side by side become a DER SEQUENCE of two INTEGERs; for P-256 and P-384 every length fits one byte.
fn der_of(raw: &[u8]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len().saturating_sub(1));
        let bytes = &bytes[start..];
        let mut der = vec![0x02];
        let pad = bytes.first().is_some_and(|first| first & 0x80 != 0);
        der.push(u8::try_from(bytes.len() + usize::from(pad)).unwrap_or(u8::MAX));
        if pad {
            der.push(0);
        }
        der.extend_from_slice(bytes);
        der
    };
    let (r, s) = raw.split_at(raw.len() / 2);
    let body = [integer(r), integer(s)].concat();
    let mut der = vec![0x30, u8::try_from(body.len()).unwrap_or(u8::MAX)];
    der.extend(body);
    der
}
