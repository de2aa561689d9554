//! An authenticator in software, and what a browser makes of its answers; every piece can be bent.

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minicbor::Encoder;
use serde_json::{Value, json};

use crate::support::{Answer, Browser};

/// Where the test's console says it is, and the host of it.
pub const ORIGIN: &str = "https://api:1";
pub const HOST: &str = "api";

pub const PRESENT: u8 = 1;
pub const VERIFIED: u8 = 4;
pub const MAY_BE_COPIED: u8 = 8;

/// One credential and the way its answers are told.
pub struct SoftKey {
    key: EcdsaKeyPair,
    pub id: Vec<u8>,
    pub handle: Value,
    pub counter: u32,
    pub host: String,
    pub origin: String,
    pub flags: u8,
    /// Members put over those of the client data.
    pub client: Value,
    /// COSE number it claims.
    pub algorithm: i64,
}

impl SoftKey {
    pub fn new() -> SoftKey {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let id = digest::digest(&digest::SHA256, key.public_key().as_ref()).as_ref().to_vec();
        let (host, origin) = (HOST.to_owned(), ORIGIN.to_owned());
        let (client, flags) = (json!({}), PRESENT | VERIFIED);
        SoftKey { key, id, handle: Value::Null, counter: 0, host, origin, flags, client, algorithm: -7 }
    }

    pub fn id_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.id)
    }

    fn client_data(&self, kind: &str, challenge: &Value) -> Vec<u8> {
        let mut data = json!({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false});
        for (name, value) in self.client.as_object().unwrap() {
            data[name] = value.clone();
        }
        data.to_string().into_bytes()
    }

    fn head(&self, flags: u8) -> Vec<u8> {
        let mut data = digest::digest(&digest::SHA256, self.host.as_bytes()).as_ref().to_vec();
        data.push(flags);
        data.extend_from_slice(&self.counter.to_be_bytes());
        data
    }

    /// The answer to `navigator.credentials.create`, for these options.
    pub fn register(&mut self, options: &Value, name: &str) -> Value {
        self.handle = options["user"]["id"].clone();
        let mut data = self.head(self.flags | 0x40);
        data.extend_from_slice(&[0; 16]);
        data.extend_from_slice(&u16::try_from(self.id.len()).unwrap().to_be_bytes());
        data.extend_from_slice(&self.id);
        let point = self.key.public_key().as_ref();
        let mut cose = Encoder::new(Vec::new());
        cose.map(5).unwrap().i64(1).unwrap().i64(2).unwrap().i64(3).unwrap().i64(self.algorithm).unwrap();
        cose.i64(-1).unwrap().i64(1).unwrap().i64(-2).unwrap().bytes(&point[1..33]).unwrap();
        cose.i64(-3).unwrap().bytes(&point[33..]).unwrap();
        data.extend_from_slice(cose.writer());
        let mut object = Encoder::new(Vec::new());
        object.map(3).unwrap().str("fmt").unwrap().str("none").unwrap().str("attStmt").unwrap().map(0).unwrap();
        object.str("authData").unwrap().bytes(&data).unwrap();
        json!({
            "name": name, "attestationObject": URL_SAFE_NO_PAD.encode(object.writer()),
            "clientDataJSON": URL_SAFE_NO_PAD.encode(self.client_data("webauthn.create", &options["challenge"])),
        })
    }

    /// The answer to `navigator.credentials.get`, for these options.
    pub fn sign(&mut self, options: &Value) -> Value {
        self.counter = self.counter.saturating_add(u32::from(self.counter > 0));
        let (data, client) = (self.head(self.flags), self.client_data("webauthn.get", &options["challenge"]));
        let message = [&data, digest::digest(&digest::SHA256, &client).as_ref()].concat();
        let signature = self.key.sign(&SystemRandom::new(), &message).unwrap();
        json!({
            "id": self.id_text(), "clientDataJSON": URL_SAFE_NO_PAD.encode(client),
            "authenticatorData": URL_SAFE_NO_PAD.encode(data),
            "signature": URL_SAFE_NO_PAD.encode(signature.as_ref()), "userHandle": self.handle,
        })
    }
}

impl Browser<'_> {
    pub async fn challenge(&mut self, purpose: &str) -> Value {
        let answer = self.post("passkey/challenge", json!({"purpose": purpose})).await;
        assert_eq!(answer.status, 200, "{}", answer.document);
        answer.document
    }

    /// Signs in with a passkey, whoever it is of.
    pub async fn sign_in_with(&mut self, key: &mut SoftKey) -> Answer {
        let options = self.challenge("sign-in").await;
        self.post("sign-in/passkey", key.sign(&options)).await
    }

    /// Adds a passkey to whoever is signed in.
    pub async fn add(&mut self, key: &mut SoftKey, name: &str) -> Answer {
        let options = self.challenge("add").await;
        self.post("my/passkey-add", key.register(&options, name)).await
    }
}
