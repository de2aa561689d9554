//! SEC-63: whatever is changed after signing, the request is refused.

use marram_sigv4::canonical::{decode_query, path_double_encoded, split_target};
use marram_sigv4::{
    AmzTime, AuthFailure, Credentials, ErrorStyle, Expectation, Payload, PayloadHash, Presented, Request, Signer,
    ToSign,
};
use marram_types::SecretString;

const NOW: i64 = 1_769_860_800;
const MUTANTS: usize = 20_000;

#[derive(Clone, PartialEq, Debug)]
struct Message {
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

fn credentials(token: Option<&str>) -> Credentials {
    Credentials {
        access_key_id: "AKIAEXAMPLEEXAMPLE22".into(),
        secret: SecretString::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        session_token: token.map(str::to_owned),
    }
}

fn originals() -> Vec<Message> {
    let time = AmzTime::from_epoch(NOW).unwrap();
    let mut out = Vec::new();
    for (service, method, target, body, token) in [
        ("iotthingsgraph", "POST", "/", &b"{\"definition\":{\"language\":\"GRAPHQL\",\"text\":\"x\"}}"[..], None),
        ("iot", "PATCH", "/things/pump-7?x=%2F&y=a%20b", b"{\"attributePayload\":{}}", Some("FwoGZXIvYXdzEA==")),
        ("sts", "POST", "/", b"Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws", None),
        ("s3", "PUT", "/bk/a//b%20c.txt", b"payload", None),
    ] {
        let credentials = credentials(token);
        let signer = Signer { credentials: &credentials, region: "eu-west-1", service };
        let sent: [(&str, &[u8]); 3] = [
            ("host", b"marram.example:8443"),
            ("content-type", b"application/x-amz-json-1.1"),
            ("x-amz-target", b"IotThingsGraphFrontEndService.CreateFlowTemplate"),
        ];
        let to_sign = ToSign { method, target, headers: &sent, payload: PayloadHash::Of(body) };
        let mut headers: Vec<(String, Vec<u8>)> = sent.iter().map(|(n, v)| ((*n).to_owned(), v.to_vec())).collect();
        headers.extend(signer.sign(&to_sign, &time).into_iter().map(|(n, v)| (n.to_owned(), v.into_bytes())));
        out.push(Message { method: method.into(), target: target.into(), headers, body: body.to_vec() });
        if service == "sts" {
            let host = &sent[..1];
            let to_sign = ToSign {
                method: "GET",
                target: "/?Action=GetCallerIdentity&Version=2011-06-15",
                headers: host,
                payload: PayloadHash::Of(b""),
            };
            let target = signer.presign(&to_sign, &time, 60);
            out.push(Message {
                method: "GET".into(),
                target,
                headers: vec![("host".into(), b"marram.example:8443".to_vec())],
                body: Vec::new(),
            });
        }
    }
    out
}

fn verify_at(message: &Message, now: i64, known: bool) -> Result<(), AuthFailure> {
    let headers: Vec<(&str, &[u8])> = message.headers.iter().map(|(n, v)| (n.as_str(), v.as_slice())).collect();
    let request = Request { method: &message.method, target: &message.target, headers: &headers };
    let presented = Presented::parse(&request)?;
    let secret = SecretString::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    let known = known && presented.access_key_id() == "AKIAEXAMPLEEXAMPLE22";
    let expect = Expectation { regions: &["eu-west-1"], services: &[], unsigned_payload: false };
    presented.verify(&request, Payload::Bytes(&message.body), known.then_some(&secret), now, &expect).map(|_| ())
}

/// What a request means once it is routed: the same meaning may be spelled in several ways.
fn meaning(message: &Message) -> impl PartialEq + std::fmt::Debug + use<> {
    let (path, query) = split_target(&message.target);
    let path = if message.headers.iter().any(|(_, v)| String::from_utf8_lossy(v).contains("/s3/")) {
        path.to_owned()
    } else {
        path_double_encoded(path)
    };
    let mut query = decode_query(query);
    query.sort();
    let mut headers: Vec<(String, Vec<u8>)> = message
        .headers
        .iter()
        .map(|(n, v)| {
            let words: Vec<&[u8]> = v.split(|b| *b == b' ' || *b == b'\t').filter(|w| !w.is_empty()).collect();
            (n.to_lowercase(), words.join(&b' '))
        })
        .collect();
    headers.sort();
    (message.method.clone(), path, query, headers, message.body.clone())
}

/// xorshift: the same mutants on every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

fn flip(bytes: &mut [u8], dice: &mut Dice) {
    let at = dice.below(bytes.len());
    bytes[at] ^= 1 << dice.below(8);
}

fn mutate(original: &Message, dice: &mut Dice) -> Option<Message> {
    let mut mutant = original.clone();
    let text = |text: &str, dice: &mut Dice| {
        let mut bytes = text.as_bytes().to_vec();
        flip(&mut bytes, dice);
        String::from_utf8(bytes).ok()
    };
    match dice.below(8) {
        0 => mutant.method = text(&mutant.method, dice)?,
        1 | 2 => mutant.target = text(&mutant.target, dice)?,
        3 | 4 => {
            let index = dice.below(mutant.headers.len());
            flip(&mut mutant.headers[index].1, dice);
        }
        5 => {
            let index = dice.below(mutant.headers.len());
            mutant.headers[index].0 = text(&mutant.headers[index].0.clone(), dice)?;
        }
        6 if !mutant.body.is_empty() => flip(&mut mutant.body, dice),
        6 => mutant.body.push(0),
        _ => {
            let index = dice.below(mutant.headers.len());
            match dice.below(2) {
                0 => drop(mutant.headers.remove(index)),
                _ => mutant.headers.push(mutant.headers[index].clone()),
            }
        }
    }
    Some(mutant)
}

/// SEC-63: 20,000 requests with one bit of something signed flipped, or a header dropped or doubled: all refused.
#[test]
fn every_mutant_is_refused() {
    let originals = originals();
    for original in &originals {
        assert_eq!(verify_at(original, NOW, true), Ok(()), "{original:?}");
    }
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut tried = 0;
    while tried < MUTANTS {
        let original = &originals[dice.below(originals.len())];
        let Some(mutant) = mutate(original, &mut dice) else { continue };
        if meaning(&mutant) == meaning(original) {
            continue;
        }
        // The blanks and commas between the parts of Authorization are no part of what is signed.
        let auth = |m: &Message| {
            m.headers
                .iter()
                .find(|(n, _)| n.eq_ignore_ascii_case("authorization"))
                .map(|(_, v)| String::from_utf8_lossy(v).replace([' ', ','], ""))
        };
        if auth(&mutant).is_some() && auth(&mutant) == auth(original) && mutant.headers.len() == original.headers.len()
        {
            let strip = |m: &Message| {
                let mut m = m.clone();
                m.headers.retain(|(n, _)| !n.eq_ignore_ascii_case("authorization"));
                meaning(&m)
            };
            if strip(&mutant) == strip(original) {
                continue;
            }
        }
        tried += 1;
        assert!(verify_at(&mutant, NOW, true).is_err(), "accepted {mutant:?}\nof {original:?}");
    }
}

/// CP 2.6: five minutes either way, fifteen for s3; a presigned request lives as long as it says.
#[test]
fn the_clock_decides_to_the_second() {
    let all = originals();
    for (index, before, after) in [(0, 300, 300), (4, 900, 900), (3, 300, 60)] {
        let message = &all[index];
        assert_eq!(verify_at(message, NOW - before, true), Ok(()));
        assert_eq!(verify_at(message, NOW + after, true), Ok(()));
        assert!(matches!(verify_at(message, NOW - before - 1, true), Err(AuthFailure::NotYetValid { .. })));
        let late = verify_at(message, NOW + after + 1, true);
        assert!(matches!(late, Err(AuthFailure::Expired { .. } | AuthFailure::PresignExpired)), "{late:?}");
    }
}

/// CP 2.1: an unknown key is told as such only after the same work, whatever the signature.
#[test]
fn unknown_keys_are_unknown_right_or_wrong() {
    for message in originals() {
        assert_eq!(verify_at(&message, NOW, false), Err(AuthFailure::UnknownKey));
        let mut changed = message.clone();
        changed.body.push(b'x');
        assert_eq!(verify_at(&changed, NOW, false), Err(AuthFailure::UnknownKey));
    }
}

fn with_header(mut message: Message, name: &str, value: &str) -> Message {
    message.headers.push((name.into(), value.into()));
    message
}

fn without(mut message: Message, name: &str) -> Message {
    message.headers.retain(|(n, _)| n != name);
    message
}

fn with_authorization(mut message: Message, change: impl Fn(&str) -> String) -> Message {
    for (name, value) in &mut message.headers {
        if name == "authorization" {
            *value = change(&String::from_utf8(value.clone()).unwrap()).into_bytes();
        }
    }
    message
}

/// CP 2.7: the exact code and status of each condition in each protocol.
#[test]
fn failure_codes() {
    use ErrorStyle::{Json, Query, RestJson, S3};
    let json = || originals()[0].clone();
    let s3 = || originals()[4].clone();
    let styles = [Json, RestJson, Query, S3];
    type Row = (Message, [(&'static str, u16); 4]);
    let table: Vec<Row> = vec![
        (
            without(json(), "authorization"),
            [
                ("MissingAuthenticationTokenException", 403),
                ("MissingAuthenticationTokenException", 403),
                ("MissingAuthenticationToken", 403),
                ("AccessDenied", 403),
            ],
        ),
        (
            with_authorization(json(), |a| a.replace("SignedHeaders", "Signed")),
            [
                ("IncompleteSignatureException", 400),
                ("IncompleteSignatureException", 403),
                ("IncompleteSignature", 400),
                ("AuthorizationHeaderMalformed", 400),
            ],
        ),
        (
            with_authorization(json(), |a| a.replace("AKIAEXAMPLEEXAMPLE22", "AKIAEXAMPLEEXAMPLE33")),
            [
                ("UnrecognizedClientException", 400),
                ("UnrecognizedClientException", 403),
                ("InvalidClientTokenId", 403),
                ("InvalidAccessKeyId", 403),
            ],
        ),
        (
            with_header(json(), "x-amz-extra", "1"),
            [
                ("InvalidSignatureException", 400),
                ("InvalidSignatureException", 403),
                ("SignatureDoesNotMatch", 403),
                ("AccessDenied", 403),
            ],
        ),
        (
            with_authorization(json(), |a| a.replace("eu-west-1", "eu-west-2")),
            [
                ("InvalidSignatureException", 400),
                ("InvalidSignatureException", 403),
                ("SignatureDoesNotMatch", 403),
                ("AuthorizationHeaderMalformed", 400),
            ],
        ),
        (
            with_header(
                without(s3(), "x-amz-content-sha256"),
                "x-amz-content-sha256",
                "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
            ),
            [
                ("IncompleteSignatureException", 400),
                ("IncompleteSignatureException", 403),
                ("IncompleteSignature", 400),
                ("NotImplemented", 501),
            ],
        ),
        (
            Message { body: b"other".to_vec(), ..s3() },
            [
                ("InvalidSignatureException", 400),
                ("InvalidSignatureException", 403),
                ("SignatureDoesNotMatch", 403),
                ("XAmzContentSHA256Mismatch", 400),
            ],
        ),
        (
            Message {
                target: "/bk/k?AWSAccessKeyId=AKIAEXAMPLEEXAMPLE22&Signature=x%3D&Expires=1769860900".into(),
                ..without(s3(), "authorization")
            },
            [
                ("IncompleteSignatureException", 400),
                ("IncompleteSignatureException", 403),
                ("IncompleteSignature", 400),
                ("InvalidRequest", 400),
            ],
        ),
    ];
    for (message, wanted) in table {
        let failure = verify_at(&message, NOW, true).unwrap_err();
        for (style, (code, status)) in styles.into_iter().zip(wanted) {
            let refusal = failure.refusal(style);
            assert_eq!((refusal.code, refusal.status), (code, status), "{failure:?} {style:?}");
        }
    }
    let token: Vec<_> =
        styles.iter().map(|s| AuthFailure::TokenExpired.refusal(*s)).map(|r| (r.code, r.status)).collect();
    assert_eq!(
        token,
        [("ExpiredTokenException", 400), ("ExpiredTokenException", 403), ("ExpiredToken", 403), ("ExpiredToken", 400)]
    );
    let skew = verify_at(&json(), NOW + 301, true).unwrap_err().refusal(S3);
    assert_eq!((skew.code, skew.status), ("RequestTimeTooSkewed", 403));
    let skew = verify_at(&json(), NOW + 301, true).unwrap_err().refusal(Json);
    assert!(skew.message.starts_with("Signature expired: 20260131T120000Z is now earlier than"), "{}", skew.message);
}

/// CP 2.2: an unsigned payload is for s3 and for operations whose model says so.
#[test]
fn unsigned_payloads_only_where_allowed() {
    let time = AmzTime::from_epoch(NOW).unwrap();
    let credentials = credentials(None);
    for (service, allowed_by_model, ok) in [("iot", false, false), ("iot", true, true), ("s3", false, true)] {
        let signer = Signer { credentials: &credentials, region: "eu-west-1", service };
        let sent: [(&str, &[u8]); 1] = [("host", b"h")];
        let to_sign = ToSign { method: "PUT", target: "/x", headers: &sent, payload: PayloadHash::Unsigned };
        let added = signer.sign(&to_sign, &time);
        let mut headers = sent.to_vec();
        headers.extend(added.iter().map(|(n, v)| (*n, v.as_bytes())));
        let request = Request { method: "PUT", target: "/x", headers: &headers };
        let expect = Expectation { regions: &["eu-west-1"], services: &[], unsigned_payload: allowed_by_model };
        let got = Presented::parse(&request).unwrap().verify(
            &request,
            Payload::Bytes(b"anything"),
            Some(&credentials.secret),
            NOW,
            &expect,
        );
        assert_eq!(got.is_ok(), ok, "{service} {allowed_by_model} {got:?}");
        assert!(ok || got == Err(AuthFailure::UnsignedPayload));
    }
}
