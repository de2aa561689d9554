//! Certificates and their authorities (CP 4.5).

use std::fs;
use std::path::Path;
use std::process::Command;

use marram_pki::{CertificateAuthority, DeviceKeyPair, Validity, pem};
use serde_json::{Value, json};

use crate::bench::{Bench, OTHER};

const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

fn openssl(dir: &Path, line: &str) -> String {
    let output = Command::new("openssl")
        .args(line.split_whitespace())
        .current_dir(dir)
        .output()
        .expect("these tests need the openssl program");
    assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn id(answer: &Value) -> String {
    answer["certificateId"].as_str().unwrap().to_owned()
}

/// SEC-28, CP 4.5: keys are made once and kept nowhere; the certificate is the answer's and is for the answer's key.
#[tokio::test]
async fn keys_leave_the_house_once() {
    let bench = Bench::new();
    let answer = bench.ok("CreateKeysAndCertificate", json!({"setAsActive": true})).await;
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("c.pem"), answer["certificatePem"].as_str().unwrap()).unwrap();
    fs::write(dir.path().join("k.pem"), answer["keyPair"]["PrivateKey"].as_str().unwrap()).unwrap();
    let public = openssl(dir.path(), "x509 -in c.pem -noout -pubkey");
    assert_eq!(openssl(dir.path(), "pkey -in k.pem -pubout"), public);
    assert_eq!(answer["keyPair"]["PublicKey"], public);
    let described = bench.ok("DescribeCertificate", json!({"certificateId": id(&answer)})).await;
    let description = &described["certificateDescription"];
    assert_eq!(description["status"], "ACTIVE");
    assert_eq!(description["certificatePem"], answer["certificatePem"]);
    assert_eq!(description["ownedBy"], "000000000000");
    let validity = &description["validity"];
    assert_eq!(validity["notAfter"].as_i64().unwrap(), NOW + 365 * DAY);

    // The secret exponent must not be in any file of the store, in any of the forms it could be written in.
    bench.store.close();
    let text = openssl(dir.path(), "rsa -in k.pem -noout -text");
    let exponent = text.split("privateExponent:").nth(1).unwrap().split("prime1:").next().unwrap();
    let digits: String = exponent.chars().filter(char::is_ascii_hexdigit).collect();
    let bytes = (0..digits.len() / 2).map(|n| u8::from_str_radix(&digits[2 * n..2 * n + 2], 16).unwrap());
    let needle: Vec<u8> = bytes.skip(8).take(64).collect();
    let pem_line = answer["keyPair"]["PrivateKey"].as_str().unwrap().lines().nth(5).unwrap();
    for entry in fs::read_dir(bench.store.dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let data = fs::read(&path).unwrap();
            assert!(!data.windows(needle.len()).any(|window| window == needle), "{path:?} holds the private key");
            assert!(!data.windows(pem_line.len()).any(|window| window == pem_line.as_bytes()), "{path:?}");
        }
    }
}

/// CP 4.5: a signing request keeps its key; bad ones are refused.
#[tokio::test]
async fn certificates_from_signing_requests() {
    let bench = Bench::new();
    let dir = tempfile::tempdir().unwrap();
    openssl(
        dir.path(),
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -out r.pem -subj /CN=me",
    );
    let request = fs::read_to_string(dir.path().join("r.pem")).unwrap();
    let answer = bench.ok("CreateCertificateFromCsr", json!({"certificateSigningRequest": request})).await;
    fs::write(dir.path().join("c.pem"), answer["certificatePem"].as_str().unwrap()).unwrap();
    let public = openssl(dir.path(), "x509 -in c.pem -noout -pubkey");
    assert_eq!(public, openssl(dir.path(), "pkey -in k.pem -pubout"));
    assert!(openssl(dir.path(), "x509 -in c.pem -noout -subject").contains("Marram device certificate"));
    let described = bench.ok("DescribeCertificate", json!({"certificateId": id(&answer)})).await;
    assert_eq!(described["certificateDescription"]["status"], "INACTIVE");
    openssl(dir.path(), "req -new -newkey rsa:1024 -nodes -keyout k.pem -out weak.pem -subj /CN=me");
    let weak = fs::read_to_string(dir.path().join("weak.pem")).unwrap();
    for bad in [weak.as_str(), "nonsense"] {
        bench
            .refused("CreateCertificateFromCsr", json!({"certificateSigningRequest": bad}), "InvalidRequestException")
            .await;
    }
}

/// CP 4.5: the status machine and what guards a deletion.
#[tokio::test]
async fn states_and_deletion() {
    let bench = Bench::new();
    let answer = bench.ok("CreateKeysAndCertificate", json!({"setAsActive": true})).await;
    let (id, arn) = (id(&answer), answer["certificateArn"].as_str().unwrap().to_owned());
    let set = |status: &str| json!({"certificateId": id, "newStatus": status});
    let delete = |force: bool| json!({"certificateId": id, "forceDelete": force});
    bench.ok("UpdateCertificate", set("ACTIVE")).await;
    bench.refused("DeleteCertificate", delete(true), "CertificateStateException").await;
    for status in ["INACTIVE", "ACTIVE", "INACTIVE", "REVOKED", "REVOKED"] {
        bench.ok("UpdateCertificate", set(status)).await;
    }
    for status in ["ACTIVE", "INACTIVE"] {
        bench.refused("UpdateCertificate", set(status), "CertificateStateException").await;
    }
    for status in ["PENDING_TRANSFER", "PENDING_ACTIVATION"] {
        bench.refused("UpdateCertificate", set(status), "InvalidRequestException").await;
    }
    bench.ok("CreateThing", json!({"thingName": "t"})).await;
    bench.ok("AttachThingPrincipal", json!({"thingName": "t", "principal": arn})).await;
    let document = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}"#;
    bench.ok("CreatePolicy", json!({"policyName": "p", "policyDocument": document})).await;
    bench.ok("AttachPolicy", json!({"policyName": "p", "target": arn})).await;
    let error = bench.refused("DeleteCertificate", delete(true), "DeleteConflictException").await;
    assert_eq!(error.message, format!("Things must be detached before deletion (arn: {arn})"));
    bench.ok("DetachThingPrincipal", json!({"thingName": "t", "principal": arn})).await;
    bench.refused("DeleteCertificate", delete(false), "DeleteConflictException").await;
    bench.ok("DeleteCertificate", delete(true)).await;
    bench.ok("DeletePolicy", json!({"policyName": "p"})).await;
    for (operation, input) in [
        ("DescribeCertificate", json!({"certificateId": id})),
        ("UpdateCertificate", set("ACTIVE")),
        ("DeleteCertificate", delete(false)),
    ] {
        bench.refused(operation, input, "ResourceNotFoundException").await;
    }
    bench.refused("DescribeCertificate", json!({"certificateId": "g".repeat(64)}), "InvalidRequestException").await;
}

/// CP 4.5: registered without a CA, once per installation, whoever asks first.
#[tokio::test]
async fn foreign_certificates_are_registered_once() {
    let bench = Bench::new();
    let maker = CertificateAuthority::create("maker", Validity::starting(NOW, 10 * DAY)).unwrap();
    let pair = DeviceKeyPair::generate().unwrap();
    let device = maker.issue_device(pair.public_key(), Validity::starting(NOW, DAY)).unwrap();
    let text = pem::encode_certificate(device.der());
    let register = json!({"certificatePem": text, "status": "ACTIVE"});
    let answer = bench.ok("RegisterCertificateWithoutCA", register.clone()).await;
    assert_eq!(id(&answer), device.id().to_string());
    let described = bench.ok("DescribeCertificate", json!({"certificateId": format!("0x{}", id(&answer))})).await;
    assert_eq!(described["certificateDescription"]["certificateMode"], "SNI_ONLY");
    let error = bench.refused("RegisterCertificateWithoutCA", register.clone(), "ResourceAlreadyExistsException").await;
    assert_eq!(error.members["resourceArn"], answer["certificateArn"]);
    let error = bench.call_as(OTHER, "RegisterCertificateWithoutCA", register).await.unwrap_err();
    assert_eq!(error.code, "ResourceAlreadyExistsException");
    assert!(!error.members.contains_key("resourceArn"), "another account's ARN is not told");
    let expired = maker.issue_device(pair.public_key(), Validity { not_before: NOW - 9, not_after: NOW - 1 }).unwrap();
    let expired = pem::encode_certificate(expired.der());
    for bad in [expired.as_str(), "nonsense"] {
        let input = json!({"certificatePem": bad});
        bench.refused("RegisterCertificateWithoutCA", input, "CertificateValidationException").await;
    }
    let pending = json!({"certificatePem": text, "status": "PENDING_ACTIVATION"});
    bench.refused("RegisterCertificateWithoutCA", pending, "InvalidRequestException").await;
    bench.refused("RegisterCertificate", json!({"certificatePem": text}), "CertificateValidationException").await;
}

/// CP 4.5: a CA is registered with proof, vouches while ACTIVE, and goes when INACTIVE.
#[tokio::test]
async fn authorities_vouch_for_certificates() {
    let bench = Bench::new();
    let code = bench.ok("GetRegistrationCode", json!({})).await["registrationCode"].as_str().unwrap().to_owned();
    assert_eq!(bench.ok("GetRegistrationCode", json!({})).await["registrationCode"], code);
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let key = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    // Far-reaching validity, because the clock of these tests stands in 2027.
    openssl(dir, &format!("{key} -x509 -keyout ca.key -out ca.pem -subj /CN=maker -days 3000"));
    openssl(dir, &format!("{key} -keyout v.key -out v.csr -subj /CN={code}"));
    openssl(dir, "x509 -req -in v.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out v.pem -days 3000 -sha256");
    openssl(dir, &format!("{key} -keyout w.key -out w.csr -subj /CN=wrong"));
    openssl(dir, "x509 -req -in w.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out w.pem -days 3000 -sha256");
    let read = |file: &str| fs::read_to_string(dir.join(file)).unwrap();
    let register = |verification: &str| {
        json!({"caCertificate": read("ca.pem"), "verificationCertificate": read(verification), "setAsActive": true,
               "allowAutoRegistration": true})
    };
    bench.refused("RegisterCACertificate", register("w.pem"), "RegistrationCodeValidationException").await;
    bench.refused("RegisterCACertificate", register("ca.pem"), "RegistrationCodeValidationException").await;
    bench.refused("RegisterCACertificate", json!({"caCertificate": read("ca.pem")}), "InvalidRequestException").await;
    // CP 4.8: a CA's certificate is public; without proof nobody is handed the devices it vouches for.
    let mut unproven = json!({"caCertificate": read("ca.pem"), "certificateMode": "SNI_ONLY", "setAsActive": true,
                              "allowAutoRegistration": true});
    bench.refused("RegisterCACertificate", unproven.clone(), "InvalidRequestException").await;
    unproven["allowAutoRegistration"] = json!(false);
    let named = bench.call_as(OTHER, "RegisterCACertificate", unproven).await.unwrap();
    let enable = json!({"certificateId": id(&named), "newAutoRegistrationStatus": "ENABLE"});
    assert_eq!(bench.call_as(OTHER, "UpdateCACertificate", enable).await.unwrap_err().code, "InvalidRequestException");
    let ca = bench.ok("RegisterCACertificate", register("v.pem")).await;
    let ca_id = id(&ca);
    bench.refused("RegisterCACertificate", register("v.pem"), "ResourceAlreadyExistsException").await;
    let described = bench.ok("DescribeCACertificate", json!({"certificateId": ca_id})).await;
    assert_eq!(described["certificateDescription"]["status"], "ACTIVE");
    assert_eq!(described["certificateDescription"]["autoRegistrationStatus"], "ENABLE");

    let input = json!({"certificatePem": read("w.pem"), "caCertificatePem": read("ca.pem"), "setAsActive": true});
    let device = bench.ok("RegisterCertificate", input).await;
    let described = bench.ok("DescribeCertificate", json!({"certificateId": id(&device)})).await;
    assert_eq!(described["certificateDescription"]["caCertificateId"], ca_id);
    assert_eq!(described["certificateDescription"]["certificateMode"], "DEFAULT");
    let by_ca = bench.pages("ListCertificatesByCA", json!({"caCertificateId": ca_id}), "certificates", 1).await;
    assert_eq!(by_ca.len(), 1);

    bench.refused("DeleteCACertificate", json!({"certificateId": ca_id}), "CertificateStateException").await;
    bench
        .ok(
            "UpdateCACertificate",
            json!({"certificateId": ca_id, "newStatus": "INACTIVE", "removeAutoRegistration": true}),
        )
        .await;
    let described = bench.ok("DescribeCACertificate", json!({"certificateId": ca_id})).await;
    assert_eq!(described["certificateDescription"]["autoRegistrationStatus"], "DISABLE");
    bench.refused("RegisterCertificate", json!({"certificatePem": read("v.pem")}), "CertificateStateException").await;
    assert_eq!(bench.pages("ListCACertificates", json!({}), "certificates", 1).await.len(), 1);
    bench.ok("DeleteCACertificate", json!({"certificateId": ca_id})).await;
    for operation in ["DescribeCACertificate", "UpdateCACertificate", "DeleteCACertificate"] {
        bench.refused(operation, json!({"certificateId": ca_id}), "ResourceNotFoundException").await;
    }
    bench.ok("DescribeCertificate", json!({"certificateId": id(&device)})).await;
    bench.ok("DeleteRegistrationCode", json!({})).await;
    bench.refused("DeleteRegistrationCode", json!({}), "ResourceNotFoundException").await;
    assert_ne!(bench.ok("GetRegistrationCode", json!({})).await["registrationCode"], code);
}

/// CP 1.6: certificates are listed by age, both ways.
#[tokio::test]
async fn certificates_are_listed_by_age() {
    let bench = Bench::new();
    let maker = CertificateAuthority::create("maker", Validity::starting(NOW, 10 * DAY)).unwrap();
    let pair = DeviceKeyPair::generate().unwrap();
    let mut ids = Vec::new();
    for number in 0..7 {
        let device = maker.issue_device(pair.public_key(), Validity::starting(NOW, DAY)).unwrap();
        let text = pem::encode_certificate(device.der());
        ids.push(id(&bench.ok("RegisterCertificateWithoutCA", json!({"certificatePem": text})).await));
        if number % 2 == 0 {
            bench.advance(1);
        }
    }
    let found = |items: Vec<Value>| items.iter().map(id).collect::<Vec<_>>();
    let ascending = found(bench.pages("ListCertificates", json!({"ascendingOrder": true}), "certificates", 2).await);
    let mut descending = found(bench.pages("ListCertificates", json!({}), "certificates", 3).await);
    descending.reverse();
    assert_eq!(ascending, descending);
    assert_eq!(ascending[0], ids[0]);
    let mut sorted = ascending;
    sorted.sort();
    ids.sort();
    assert_eq!(sorted, ids);
}
