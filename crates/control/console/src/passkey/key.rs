//! COSE public keys (RFC 9053) of the three algorithms authenticators use, and their signatures.

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use minicbor::Decoder;
use minicbor::data::Type;

use super::ceremony::Refusal;

/// COSE numbers of the algorithms, the preferred first; what a browser is asked for.
pub(crate) const ALGORITHMS: [i64; 3] = [ES256, EDDSA, RS256];
const ES256: i64 = -7;
const EDDSA: i64 = -8;
const RS256: i64 = -257;

/// Most members of a key: those of an elliptic curve.
const MAX_MEMBERS: u64 = 5;
/// RSA moduli, in bytes: 2,048 to 4,096 bits.
const RSA_MODULUS: std::ops::RangeInclusive<usize> = 256..=512;
/// Longest RSA exponent, in bytes.
const MAX_EXPONENT: usize = 4;

/// A key that signatures are checked with. Points are on their curves.
#[derive(Debug)]
pub(crate) enum PublicKey {
    /// ES256 or EdDSA.
    Curve(ParsedPublicKey),
    /// RS256: modulus and exponent, big endian.
    Rsa(PublicKeyComponents<Vec<u8>>),
}

/// A member's value.
enum Member<'a> {
    Number(i64),
    Bytes(&'a [u8]),
}

/// The members of a key by label; each at most once.
#[derive(Default)]
struct Members<'a>(Vec<(i64, Member<'a>)>);

impl<'a> Members<'a> {
    fn number(&self, label: i64) -> Result<i64, Refusal> {
        match self.0.iter().find(|(known, _)| *known == label) {
            Some((_, Member::Number(number))) => Ok(*number),
            _ => Err(WRONG),
        }
    }

    fn bytes(&self, label: i64) -> Result<&'a [u8], Refusal> {
        match self.0.iter().find(|(known, _)| *known == label) {
            Some((_, Member::Bytes(bytes))) => Ok(bytes),
            _ => Err(WRONG),
        }
    }
}

const WRONG: Refusal = Refusal::Malformed("public key");

impl PublicKey {
    /// The key that is exactly these bytes.
    ///
    /// # Errors
    /// [`Refusal::Malformed`], [`Refusal::Algorithm`].
    pub(crate) fn parse(bytes: &[u8]) -> Result<PublicKey, Refusal> {
        let (key, length) = PublicKey::parse_prefix(bytes)?;
        if length == bytes.len() { Ok(key) } else { Err(WRONG) }
    }

    /// The key these bytes begin with, and its length.
    ///
    /// # Errors
    /// [`Refusal::Malformed`], [`Refusal::Algorithm`].
    pub(crate) fn parse_prefix(bytes: &[u8]) -> Result<(PublicKey, usize), Refusal> {
        let mut decoder = Decoder::new(bytes);
        let members = read(&mut decoder)?;
        let key = match (members.number(1)?, members.number(3)?) {
            (2, ES256) if members.number(-1)? == 1 && members.0.len() == 5 => {
                let (x, y) = (members.bytes(-2)?, members.bytes(-3)?);
                if x.len() != 32 || y.len() != 32 {
                    return Err(WRONG);
                }
                let point = [&[4], x, y].concat();
                PublicKey::Curve(ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).map_err(|_| WRONG)?)
            }
            (1, EDDSA) if members.number(-1)? == 6 && members.0.len() == 4 => {
                PublicKey::Curve(ParsedPublicKey::new(&ED25519, members.bytes(-2)?).map_err(|_| WRONG)?)
            }
            (3, RS256) if members.0.len() == 4 => {
                let (n, e) = (members.bytes(-1)?, members.bytes(-2)?);
                let odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
                let sound = RSA_MODULUS.contains(&n.len()) && n[0] >= 0x80 && odd(n);
                if !sound || !(1..=MAX_EXPONENT).contains(&e.len()) || e[0] == 0 || e == [1] || !odd(e) {
                    return Err(WRONG);
                }
                PublicKey::Rsa(PublicKeyComponents { n: n.to_vec(), e: e.to_vec() })
            }
            (1..=3, ES256 | EDDSA | RS256) => return Err(WRONG),
            _ => return Err(Refusal::Algorithm),
        };
        Ok((key, decoder.position()))
    }

    /// Whether this key's secret half signed the message.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            PublicKey::Curve(key) => key.verify_sig(message, signature).is_ok(),
            PublicKey::Rsa(key) => key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok(),
        }
    }
}

fn read<'a>(decoder: &mut Decoder<'a>) -> Result<Members<'a>, Refusal> {
    let count = decoder.map().map_err(|_| WRONG)?.filter(|count| *count <= MAX_MEMBERS).ok_or(WRONG)?;
    let mut members = Members::default();
    for _ in 0..count {
        let label = decoder.i64().map_err(|_| WRONG)?;
        if members.0.iter().any(|(known, _)| *known == label) {
            return Err(WRONG);
        }
        let member = match decoder.datatype().map_err(|_| WRONG)? {
            Type::Bytes => Member::Bytes(decoder.bytes().map_err(|_| WRONG)?),
            _ => Member::Number(decoder.i64().map_err(|_| WRONG)?),
        };
        members.0.push((label, member));
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeyPair as RsaKey, KeySize};
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    };
    use minicbor::Encoder;

    use super::*;

    fn curve(kty: i64, alg: i64, crv: i64, x: &[u8], y: Option<&[u8]>) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new());
        encoder.map(if y.is_some() { 5 } else { 4 }).unwrap();
        encoder.i64(1).unwrap().i64(kty).unwrap().i64(3).unwrap().i64(alg).unwrap();
        encoder.i64(-1).unwrap().i64(crv).unwrap().i64(-2).unwrap().bytes(x).unwrap();
        if let Some(y) = y {
            encoder.i64(-3).unwrap().bytes(y).unwrap();
        }
        encoder.into_writer()
    }

    fn rsa(n: &[u8], e: &[u8]) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new());
        encoder.map(4).unwrap().i64(1).unwrap().i64(3).unwrap().i64(3).unwrap().i64(RS256).unwrap();
        encoder.i64(-1).unwrap().bytes(n).unwrap().i64(-2).unwrap().bytes(e).unwrap();
        encoder.into_writer()
    }

    /// SEC-64: each of the three algorithms verifies its own signature and no other message's.
    #[test]
    fn signatures_of_three_algorithms() {
        let random = SystemRandom::new();
        let message = b"authenticator data and hash";
        let ecdsa = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let point = ecdsa.public_key().as_ref();
        let ed = Ed25519KeyPair::generate().unwrap();
        let big = RsaKey::generate(KeySize::Rsa2048).unwrap();
        let public = big.public_key();
        let (n, e) = (public.modulus().big_endian_without_leading_zero(), public.exponent());
        let mut rsa_signature = vec![0; big.public_modulus_len()];
        big.sign(&RSA_PKCS1_SHA256, &random, message, &mut rsa_signature).unwrap();
        for (cose, signature) in [
            (
                curve(2, ES256, 1, &point[1..33], Some(&point[33..])),
                ecdsa.sign(&random, message).unwrap().as_ref().to_vec(),
            ),
            (curve(1, EDDSA, 6, ed.public_key().as_ref(), None), ed.sign(message).as_ref().to_vec()),
            (rsa(n, e.big_endian_without_leading_zero()), rsa_signature),
        ] {
            let key = PublicKey::parse(&cose).unwrap();
            assert!(key.verifies(message, &signature));
            assert!(!key.verifies(b"another message", &signature));
            assert!(!key.verifies(message, &signature[1..]));
            let long = [&cose[..], &[0]].concat();
            assert_eq!(PublicKey::parse(&long).unwrap_err(), WRONG);
            assert_eq!(PublicKey::parse_prefix(&long).unwrap().1, cose.len());
        }
    }

    /// SEC-64: keys that are weak, off their curve, of another kind or said twice are none.
    #[test]
    fn keys_that_are_none() {
        let (zero, good) = ([0; 32], [0xff; 256]);
        let twice = [0xa5, 1, 2, 3, 0x26, 0x20, 1, 1, 2, 3, 0x26];
        let endless = [0xbf, 1, 2, 3, 0x26, 0xff];
        for (cose, refusal) in [
            (curve(2, ES256, 1, &zero, Some(&zero)), WRONG),
            (curve(2, ES256, 2, &zero, Some(&zero)), WRONG),
            (curve(2, ES256, 1, &zero[1..], Some(&zero)), WRONG),
            (curve(2, -35, 1, &zero, Some(&zero)), Refusal::Algorithm),
            (curve(1, EDDSA, 7, &zero, None), WRONG),
            (curve(1, EDDSA, 6, &zero[1..], None), WRONG),
            (curve(3, EDDSA, 6, &zero, None), WRONG),
            (rsa(&good[1..], &[1, 0, 1]), WRONG),
            (rsa(&good, &[1]), WRONG),
            (rsa(&good, &[2]), WRONG),
            (rsa(&good, &[]), WRONG),
            (rsa(&[0; 256], &[1, 0, 1]), WRONG),
            (twice.to_vec(), WRONG),
            (endless.to_vec(), WRONG),
            (Vec::new(), WRONG),
        ] {
            assert_eq!(PublicKey::parse(&cose).unwrap_err(), refusal, "{cose:02x?}");
        }
    }
}
