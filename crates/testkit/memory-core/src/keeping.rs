//! Shadows, secrets, client devices, metrics, the debug console's password.

use bytes::Bytes;
use marram_edge_ports::{
    CertificateUpdate, ClientDevices, ComponentMetric, DebugPassword, DebugPasswords, Later, LocalShadows, Metrics,
    MqttCredential, PortError, SecretAnswer, SecretPayload, SecretQuery, Secrets, ShadowPage,
};
use serde_json::Value;
use smol_str::SmolStr;
use tokio::sync::mpsc;

use super::{DEVICE_CERTIFICATE, MemoryCore, SECRET_ARN, SECRET_NAME, missing};

const DEVICE_TOKEN: &str = "device-token";

impl LocalShadows for MemoryCore {
    fn get<'a>(&'a self, thing: &'a str, shadow: &'a str) -> Later<'a, Bytes> {
        Box::pin(async move {
            let state = self.state();
            let document = state.shadows.get(&(thing.to_owned(), shadow.to_owned()));
            document.cloned().ok_or_else(|| missing("shadow", thing, "No shadow found"))
        })
    }

    fn update<'a>(&'a self, thing: &'a str, shadow: &'a str, payload: Bytes) -> Later<'a, Bytes> {
        Box::pin(async move {
            let document: Value =
                serde_json::from_slice(&payload).map_err(|error| PortError::InvalidArguments(error.to_string()))?;
            if document.get("version").is_some_and(|version| version != 1) {
                return Err(PortError::Conflict("Version conflict".to_owned()));
            }
            self.state().shadows.insert((thing.to_owned(), shadow.to_owned()), payload.clone());
            Ok(payload)
        })
    }

    fn delete<'a>(&'a self, thing: &'a str, shadow: &'a str) -> Later<'a, Bytes> {
        Box::pin(async move {
            let gone = self.state().shadows.remove(&(thing.to_owned(), shadow.to_owned()));
            gone.map(|_| Bytes::from_static(b"{}")).ok_or_else(|| missing("shadow", thing, "No shadow found"))
        })
    }

    fn list<'a>(
        &'a self,
        thing: &'a str,
        next_token: Option<&'a str>,
        _page_size: Option<u32>,
    ) -> Later<'a, ShadowPage> {
        Box::pin(async move {
            if next_token.is_some() {
                return Err(PortError::InvalidArguments("the token belongs to no list".to_owned()));
            }
            let state = self.state();
            let named = state.shadows.keys().filter(|(of, name)| of == thing && !name.is_empty());
            let results = named.map(|(_, name)| name.clone()).collect();
            Ok(ShadowPage { results, timestamp: 1_784_000_000.5, next_token: None })
        })
    }
}

impl Secrets for MemoryCore {
    fn arn_of(&self, secret_id: &str) -> Result<SmolStr, PortError> {
        match secret_id {
            SECRET_NAME | SECRET_ARN => Ok(SECRET_ARN.into()),
            other => Err(missing("secret", other, "no such secret")),
        }
    }

    fn get(&self, query: SecretQuery) -> Later<'_, SecretAnswer> {
        Box::pin(async move {
            if query.version_stage.as_deref().is_some_and(|stage| stage != "AWSCURRENT") {
                return Err(missing("secret", &query.secret_id, "no such version"));
            }
            Ok(SecretAnswer {
                arn: SECRET_ARN.to_owned(),
                version_id: "v1".to_owned(),
                version_stages: vec!["AWSCURRENT".to_owned()],
                value: SecretPayload::Text("hunter2".to_owned()),
            })
        })
    }
}

impl ClientDevices for MemoryCore {
    fn certificates(&self, _component: &str) -> Result<mpsc::Receiver<CertificateUpdate>, PortError> {
        let (sender, receiver) = mpsc::channel(4);
        let present = CertificateUpdate {
            private_key: "private".to_owned(),
            public_key: "public".to_owned(),
            certificate: "certificate".to_owned(),
            ca_certificates: vec!["authority".to_owned()],
        };
        assert!(sender.try_send(present).is_ok(), "the channel has just been made");
        tokio::spawn(async move { sender.closed().await });
        Ok(receiver)
    }

    fn verify<'a>(&'a self, certificate_pem: &'a str) -> Later<'a, bool> {
        Box::pin(async move {
            if !certificate_pem.starts_with("-----BEGIN CERTIFICATE-----") {
                return Err(PortError::InvalidArguments("not a certificate".to_owned()));
            }
            Ok(certificate_pem == DEVICE_CERTIFICATE)
        })
    }

    fn auth_token(&self, credential: MqttCredential) -> Later<'_, String> {
        Box::pin(async move {
            if credential.certificate_pem.as_deref() == Some(DEVICE_CERTIFICATE) {
                return Ok(DEVICE_TOKEN.to_owned());
            }
            Err(PortError::InvalidCredential("the device is not known".to_owned()))
        })
    }

    fn authorize<'a>(&'a self, token: &'a str, operation: &'a str, _resource: &'a str) -> Later<'a, bool> {
        Box::pin(async move {
            if token != DEVICE_TOKEN {
                return Err(PortError::InvalidClientDeviceAuthToken("the token is not valid".to_owned()));
            }
            Ok(operation == "mqtt:publish")
        })
    }
}

impl Metrics for MemoryCore {
    fn put(&self, component: &str, metrics: Vec<ComponentMetric>) -> Result<(), PortError> {
        self.state().metrics.extend(metrics.into_iter().map(|metric| (component.to_owned(), metric)));
        Ok(())
    }
}

impl DebugPasswords for MemoryCore {
    fn create(&self) -> Later<'_, DebugPassword> {
        Box::pin(async {
            Ok(DebugPassword {
                username: "debug".to_owned(),
                password: "0123456789".to_owned(),
                expires: 1_784_000_000,
                certificate_sha256: None,
                certificate_sha1: None,
            })
        })
    }
}
