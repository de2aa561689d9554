//! Certificates and requests of other makers, made here by the `openssl` program.

use std::fs;
use std::path::Path;
use std::process::Command;

use marram_pki::{
    Certificate, CertificateAuthority, DeviceKeyPair, KeyKind, PkiError, RdnKind, SigningRequest, Validity,
    check_verification_certificate, pem,
};

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

fn openssl(dir: &Path, line: &str) -> String {
    let output = Command::new("openssl")
        .args(line.split_whitespace())
        .current_dir(dir)
        .output()
        .expect("these tests need the openssl program");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {line}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn read(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).unwrap()
}

fn certificate(dir: &Path, file: &str) -> Certificate {
    Certificate::from_der(&pem::certificate(&read(dir, file)).unwrap()).unwrap()
}

/// CP 4.5: RSA of at least 2048 bits and EC P-256/384/521 are certified, everything else is refused.
#[test]
fn signing_requests_are_accepted_by_key_and_signature() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    type Wanted = Result<Option<KeyKind>, PkiError>;
    let cases: [(&str, &str, Wanted); 10] = [
        ("rsa:2048", "-sha256", Ok(Some(KeyKind::Rsa { bits: 2048 }))),
        ("rsa:3072", "-sha512", Ok(Some(KeyKind::Rsa { bits: 3072 }))),
        ("rsa:2048", "-sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest", Ok(None)),
        ("ec -pkeyopt ec_paramgen_curve:P-256", "-sha256", Ok(Some(KeyKind::EcP256))),
        ("ec -pkeyopt ec_paramgen_curve:P-384", "-sha384", Ok(Some(KeyKind::EcP384))),
        ("ec -pkeyopt ec_paramgen_curve:P-521", "-sha512", Ok(Some(KeyKind::EcP521))),
        ("rsa:1024", "-sha256", Err(PkiError::WeakKey("RSA keys need at least 2048 bits"))),
        ("rsa:2048", "-sha1", Err(PkiError::UnsupportedSignature)),
        (
            "ec -pkeyopt ec_paramgen_curve:secp256k1",
            "-sha256",
            Err(PkiError::WeakKey("EC curves are P-256, P-384 and P-521")),
        ),
        ("ed25519", "", Err(PkiError::WeakKey("neither RSA nor EC on a NIST curve"))),
    ];
    for (key, digest, wanted) in cases {
        openssl(dir, &format!("req -new -newkey {key} -nodes -keyout k.pem -out r.pem -subj /CN=self {digest}"));
        let request = SigningRequest::from_pem(&read(dir, "r.pem"));
        match wanted {
            Ok(kind) => {
                let request = request.unwrap_or_else(|error| panic!("{key} {digest}: {error}"));
                assert!(kind.is_none_or(|kind| kind == request.public_key().kind()), "{key}");
                assert_eq!(request.subject().common_name(), Some("self"));
            }
            Err(error) => assert_eq!(request.unwrap_err(), error, "{key} {digest}"),
        }
    }
}

/// SEC-31: a request signed by another key than the one it names proves nothing.
#[test]
fn a_request_with_a_foreign_signature_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    openssl(dir.path(), "req -new -newkey rsa:2048 -nodes -keyout k.pem -out r.der -outform DER -subj /CN=x -sha256");
    let mut der = fs::read(dir.path().join("r.der")).unwrap();
    let last = der.len() - 1;
    der[last] ^= 1;
    assert_eq!(SigningRequest::from_der(&der).unwrap_err(), PkiError::BadSignature);
    der[last] ^= 1;
    der.push(0);
    assert_eq!(SigningRequest::from_der(&der).unwrap_err(), PkiError::Malformed("certificate signing request"));
}

/// SEC-31: X.509 v1, as `openssl x509 -req` writes it by the guides' recipe, is read; and the certificate id is the
/// SHA-256 that openssl prints.
#[test]
fn version_1_certificates_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    openssl(dir, "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=maker -days 10");
    openssl(
        dir,
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout d.key -out d.csr \
         -subj /C=DE/O=Acme/OU=one/OU=two/CN=press-7/serialNumber=42",
    );
    openssl(dir, "x509 -req -in d.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out d.pem -days 5 -sha256");
    let device = certificate(dir, "d.pem");
    assert_eq!(device.version(), 1, "this openssl no longer writes v1 by default");
    assert_eq!(device.public_key().kind(), KeyKind::EcP256);
    let subject = device.subject();
    assert_eq!(subject.values(RdnKind::OrganizationalUnit).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(subject.values(RdnKind::SerialNumber).next(), Some("42"));
    assert_eq!(subject.values(RdnKind::Country).next(), Some("DE"));
    assert_eq!(device.issuer().common_name(), Some("maker"));
    device.verify_issued_by(&certificate(dir, "ca.pem")).unwrap();
    let printed = openssl(dir, "x509 -in d.pem -noout -fingerprint -sha256");
    let wanted = printed.split('=').nth(1).unwrap().trim().replace(':', "").to_lowercase();
    assert_eq!(device.id().to_string(), wanted);
}

/// CP 4.5: the verification certificate carries the registration code and the CA's signature.
#[test]
fn a_ca_is_registered_only_with_proof_of_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let code = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    for name in ["mine", "other"] {
        openssl(
            dir,
            &format!("req -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.pem -subj /CN=ca -days 10"),
        );
    }
    openssl(dir, &format!("req -new -newkey rsa:2048 -nodes -keyout v.key -out v.csr -subj /CN={code}"));
    for name in ["mine", "other"] {
        openssl(
            dir,
            &format!(
                "x509 -req -in v.csr -CA {name}.pem -CAkey {name}.key -CAcreateserial -out v-{name}.pem -days 5 -sha256"
            ),
        );
    }
    let mine = certificate(dir, "mine.pem");
    let now = mine.not_before() + 60;
    let check = |verification: &str, code: &str, now: i64| {
        check_verification_certificate(&mine, &certificate(dir, verification), code, now)
    };
    assert_eq!(check("v-mine.pem", code, now), Ok(()));
    assert_eq!(check("v-mine.pem", "another code", now), Err(PkiError::WrongCommonName));
    assert_eq!(check("v-other.pem", code, now), Err(PkiError::BadSignature));
    assert_eq!(check("v-mine.pem", code, now + 30 * DAY), Err(PkiError::NotValidNow));
}

/// CP 4.5: what we issue is what openssl calls a valid chain for its purpose; serials are long and differ.
#[test]
fn issued_certificates_satisfy_openssl() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let ca = CertificateAuthority::create("Marram CA", Validity::starting(NOW, 3650 * DAY)).unwrap();
    let ca = CertificateAuthority::load(&ca.certificate_pem(), &ca.key_pem()).unwrap();
    fs::write(dir.join("ca.pem"), ca.certificate_pem()).unwrap();
    let names = ["edge.example".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let server = ca.issue_server(&names, Validity::starting(NOW, 30 * DAY)).unwrap();
    fs::write(dir.join("server.pem"), &server.chain_pem).unwrap();
    let pair = DeviceKeyPair::generate().unwrap();
    let device = ca.issue_device(pair.public_key(), Validity::starting(NOW, 365 * DAY)).unwrap();
    let again = ca.issue_device(pair.public_key(), Validity::starting(NOW, 365 * DAY)).unwrap();
    fs::write(dir.join("device.pem"), pem::encode_certificate(device.der())).unwrap();
    fs::write(dir.join("device.key"), pair.private_pem()).unwrap();

    let verify = format!("verify -attime {NOW} -x509_strict -CAfile ca.pem");
    openssl(dir, &format!("{verify} -purpose sslserver -verify_hostname edge.example server.pem"));
    openssl(dir, &format!("{verify} -purpose sslserver -verify_ip 127.0.0.1 server.pem"));
    openssl(dir, &format!("{verify} -purpose sslclient device.pem"));
    assert!(pair.private_pem().starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
    assert_eq!(openssl(dir, "x509 -in device.pem -noout -pubkey"), openssl(dir, "pkey -in device.key -pubout"));
    assert_eq!(openssl(dir, "pkey -in device.key -pubout"), pair.public_pem());
    assert_eq!(device.subject().common_name(), Some("Marram device certificate"));
    assert!(device.serial_hex().len() >= 16 && device.serial_hex() != again.serial_hex());
    assert!(!format!("{pair:?}").contains("PRIVATE"));
    device.verify_issued_by(ca.certificate()).unwrap();
    assert!(device.verify_issued_by(&device).is_err(), "a device certificate signs nothing");
}

/// A key that belongs to another certificate is not the authority's.
#[test]
fn an_authority_needs_its_own_key() {
    let validity = Validity::starting(NOW, DAY);
    let one = CertificateAuthority::create("one", validity).unwrap();
    let two = CertificateAuthority::create("two", validity).unwrap();
    let error = CertificateAuthority::load(&one.certificate_pem(), &two.key_pem()).unwrap_err();
    assert_eq!(error, PkiError::BadSignature);
}

/// Which certificate of a bundle is meant is never guessed, and armour is bounded.
#[test]
fn pem_with_several_or_no_certificates_is_refused() {
    let ca = CertificateAuthority::create("one", Validity::starting(NOW, DAY)).unwrap();
    let text = ca.certificate_pem();
    assert!(text.ends_with("-----END CERTIFICATE-----\n"));
    assert_eq!(pem::certificate(&text).unwrap().as_ref(), ca.certificate().der());
    assert_eq!(pem::certificate(&text.repeat(2)), Err(PkiError::Pem("more than one certificate")));
    assert_eq!(pem::certificate("hello"), Err(PkiError::Pem("no certificate")));
    let long = "x".repeat(pem::MAX_PEM + 1);
    assert!(matches!(pem::certificate(&long), Err(PkiError::TooLong { .. })));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]
    /// Bytes flipped anywhere in a certificate never panic, and what still parses has another id.
    #[test]
    fn damaged_certificates_do_not_panic(at in 0usize..400, flip in 1u8..) {
        let ca = sample();
        let mut der = ca.der().to_vec();
        let index = at % der.len();
        der[index] ^= flip;
        if let Ok(parsed) = Certificate::from_der(&der) {
            proptest::prop_assert_ne!(parsed.id(), ca.id());
            let _ = parsed.verify_issued_by(ca);
        }
    }
}

fn sample() -> &'static Certificate {
    static SAMPLE: std::sync::OnceLock<Certificate> = std::sync::OnceLock::new();
    SAMPLE.get_or_init(|| {
        CertificateAuthority::create("sample", Validity::starting(NOW, DAY)).unwrap().certificate().clone()
    })
}
