//! A second implementation signs, ours verifies; and both signers agree.

use std::time::{Duration, SystemTime};

use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use marram_sigv4::{
    AmzTime, AuthFailure, Credentials, Expectation, Payload, PayloadHash, Presented, Request, Signer, ToSign,
};
use marram_types::SecretString;
use proptest::prelude::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const NOW: u64 = 1_769_860_800;

#[derive(Clone, Debug)]
struct Sample {
    method: &'static str,
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    token: Option<String>,
    service: &'static str,
}

fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9_.~-]{1,8}",
        Just("arn%3Aaws%3Aiot%3Aeu-west-1%3A1%3Athing%2Fx".to_owned()),
        Just("a%2Fb%20c".to_owned()),
        Just("%24aws".to_owned()),
        Just("%E1%88%B4".to_owned()),
    ]
    .prop_filter("dot segments have their own vectors", |s| s != "." && s != "..")
}

prop_compose! {
    fn sample()(
        method in prop_oneof![Just("GET"), Just("POST"), Just("PUT"), Just("DELETE")],
        path in prop::collection::vec(segment(), 0..5),
        query in prop::collection::vec(("[A-Za-z%0-9/ ሴ:~-]{1,6}", "[ -~ሴ]{0,8}"), 0..4),
        headers in prop::collection::btree_map("x-(amzn|custom)-[a-z]{1,6}", "[!-~]([ -~]{0,12}[!-~])?", 0..4),
        body in prop::collection::vec(any::<u8>(), 0..64),
        token in prop::option::of("[A-Za-z0-9+/=]{10,40}"),
        service in prop_oneof![Just("iot"), Just("iotthingsgraph"), Just("sts"), Just("s3")],
    ) -> Sample {
        Sample { method, path: format!("/{}", path.join("/")), query, headers: headers.into_iter().collect(), body, token, service }
    }
}

impl Sample {
    fn target(&self) -> String {
        use marram_sigv4::canonical::encode;
        let query: Vec<String> =
            self.query.iter().map(|(n, v)| format!("{}={}", encode(n.as_bytes()), encode(v.as_bytes()))).collect();
        if query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, query.join("&")) }
    }

    fn settings(&self, location: SignatureLocation) -> SigningSettings {
        let mut settings = SigningSettings::default();
        settings.signature_location = location;
        if self.service == "s3" {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        if matches!(settings.signature_location, SignatureLocation::QueryParams) {
            settings.expires_in = Some(Duration::from_secs(900));
            settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
        }
        settings
    }

    /// Signs with the other implementation; answers target and headers as they would be sent.
    fn sign_elsewhere(&self, location: SignatureLocation) -> (String, Vec<(String, String)>) {
        let presign = matches!(location, SignatureLocation::QueryParams);
        let identity = aws_credentials("AKIDEXAMPLE", self.token.clone()).into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("eu-west-1")
            .name(self.service)
            .time(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW))
            .settings(self.settings(location))
            .build()
            .unwrap()
            .into();
        let mut headers = self.headers.clone();
        headers.push(("host".into(), "marram.example:8443".into()));
        let uri = format!("https://marram.example:8443{}", self.target());
        let body = if presign && self.service == "s3" {
            SignableBody::UnsignedPayload
        } else {
            SignableBody::Bytes(&self.body)
        };
        let signable =
            SignableRequest::new(self.method, uri, headers.iter().map(|(n, v)| (n.as_str(), v.as_str())), body)
                .unwrap();
        let (instructions, _) = sign(signable, &params).unwrap().into_parts();
        let mut target = self.target();
        for (name, value) in instructions.params() {
            use marram_sigv4::canonical::encode;
            target.push(if target.contains('?') { '&' } else { '?' });
            target.push_str(&format!("{name}={}", encode(value.as_bytes())));
        }
        headers.extend(instructions.headers().map(|(n, v)| (n.to_owned(), v.to_owned())));
        (target, headers)
    }
}

fn aws_credentials(key: &str, token: Option<String>) -> aws_credential_types::Credentials {
    aws_credential_types::Credentials::new(key, SECRET, token, None, "test")
}

fn verify(method: &str, target: &str, headers: &[(String, String)], body: &[u8]) -> Result<(), AuthFailure> {
    let headers: Vec<(&str, &[u8])> = headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
    let request = Request { method, target, headers: &headers };
    let presented = Presented::parse(&request)?;
    let secret = SecretString::new(SECRET);
    let expect = Expectation { regions: &["eu-west-1"], services: &[], unsigned_payload: false };
    let now = i64::try_from(NOW).unwrap();
    presented.verify(&request, Payload::Bytes(body), Some(&secret), now, &expect).map(|_| ())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// SEC-63: what a foreign signer signs, in a header or in the query string, verifies.
    #[test]
    fn foreign_signatures_verify(sample in sample()) {
        for location in [SignatureLocation::Headers, SignatureLocation::QueryParams] {
            let (target, headers) = sample.sign_elsewhere(location);
            prop_assert_eq!(verify(sample.method, &target, &headers, &sample.body), Ok(()), "{}", target);
        }
    }

    /// Our signer produces the very signature of the other one, and our verifier accepts our presigned targets.
    #[test]
    fn both_signers_agree(sample in sample()) {
        let (_, foreign) = sample.sign_elsewhere(SignatureLocation::Headers);
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".into(),
            secret: SecretString::new(SECRET),
            session_token: sample.token.clone(),
        };
        let signer = Signer { credentials: &credentials, region: "eu-west-1", service: sample.service };
        let time = AmzTime::from_epoch(i64::try_from(NOW).unwrap()).unwrap();
        let mut plain = sample.headers.clone();
        plain.push(("host".into(), "marram.example:8443".into()));
        let borrowed: Vec<(&str, &[u8])> = plain.iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
        let target = sample.target();
        let to_sign =
            ToSign { method: sample.method, target: &target, headers: &borrowed, payload: PayloadHash::Of(&sample.body) };
        let ours = signer.sign(&to_sign, &time);
        let find = |list: Vec<(String, String)>| list.into_iter().find(|(n, _)| n == "authorization").map(|(_, v)| v);
        let ours = find(ours.into_iter().map(|(n, v)| (n.to_owned(), v)).collect());
        prop_assert_eq!(ours, find(foreign));
        let presigned = signer.presign(&to_sign, &time, 900);
        prop_assert_eq!(verify(sample.method, &presigned, &plain, &sample.body), Ok(()), "{}", presigned);
    }
}
