//! Certificates, signing requests and PEM text of strangers.

use marram_pki::{Certificate, PublicKey, SigningRequest, pem};

/// Reads the bytes as every kind of thing `marram-pki` reads; what parses must also survive its accessors.
pub fn run(data: &[u8]) {
    if let Ok(certificate) = Certificate::from_der(data) {
        let _ = certificate.verify_issued_by(&certificate);
        assert_eq!(certificate.der(), data);
        let spki = certificate.public_key().spki_der();
        assert!(PublicKey::from_spki_der(spki).is_ok(), "a key that was accepted is accepted again");
        for rdn in certificate.subject().rdns().iter().chain(certificate.issuer().rdns()) {
            let _ = rdn.kind.variable();
        }
    }
    let _ = SigningRequest::from_der(data);
    let _ = PublicKey::from_spki_der(data);
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(ders) = pem::certificates(text) {
            for der in ders {
                let _ = Certificate::from_der(&der);
            }
        }
        let _ = SigningRequest::from_pem(text);
        let _ = pem::private_key(text);
    }
}
