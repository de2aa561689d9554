//! The steps, each durable before the next.

use std::path::PathBuf;
use std::time::Duration;

use marram_pki::RequestedKey;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::ClaimError;
use crate::exchange::Exchange;
use crate::files::{Folder, OPEN, SECRET, read};
use crate::own_request::{FindKey, checked};
use crate::settings::ClaimSettings;

/// Folder of what is under way, below the root path.
const UNDER_WAY: &str = "claim";
/// Names the plugin of the original gives these files.
const KEY: &str = "privKey.key";
const CERTIFICATE: &str = "thingCert.crt";
const ROOTS: &str = "rootCA.pem";

const REQUEST: &str = "request.csr";
const GRANTED: &str = "granted.json";
const OUTCOME: &str = "outcome.json";

const CREATE: &str = "$aws/certificates/create-from-csr/json";

/// First and longest pause after a failure.
const PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// A certificate that waits for its thing.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Granted {
    certificate_pem: String,
    certificate_ownership_token: String,
}

/// What the device is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provisioned {
    /// Its thing.
    pub thing_name: String,
    /// Certificate, PEM file.
    pub certificate_path: PathBuf,
    /// Private key, PEM file (0600).
    pub key_path: PathBuf,
    /// Roots, PEM file.
    pub root_ca_path: PathBuf,
    /// `deviceConfiguration` of the template.
    pub device_configuration: Value,
    region: String,
    data_endpoint: String,
    credential_endpoint: String,
    role_alias: String,
    mqtt_port: u16,
}

impl Provisioned {
    /// What to merge into the core's configuration, durably, before [`Claim::finish`].
    pub fn configuration(&self) -> Value {
        json!({
            "system": {
                "certificateFilePath": self.certificate_path,
                "privateKeyPath": self.key_path,
                "rootCaPath": self.root_ca_path,
                "thingName": self.thing_name,
            },
            "services": {"aws.greengrass.Nucleus": {"configuration": {
                "awsRegion": self.region,
                "iotDataEndpoint": self.data_endpoint,
                "iotCredEndpoint": self.credential_endpoint,
                "iotRoleAlias": self.role_alias,
                "mqtt": {"port": self.mqtt_port},
            }}},
        })
    }
}

/// A claim under way.
pub struct Claim {
    settings: ClaimSettings,
    folder: Folder,
    home: Folder,
    client_id: String,
    find_key: Option<FindKey>,
}

impl Claim {
    /// A claim with these settings; nothing is done yet.
    pub fn new(settings: ClaimSettings) -> Self {
        let client_id = settings.device_id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let home = Folder(settings.root_path.clone());
        Self { folder: Folder(home.path(UNDER_WAY)), home, client_id, settings, find_key: None }
    }

    /// The same, for a request whose key may be in a token.
    #[must_use]
    pub fn with_tokens(self, find_key: FindKey) -> Self {
        Self { find_key: Some(find_key), ..self }
    }

    /// Tries until the device is provisioned; pauses grow and differ between devices. `told` hears of each failure.
    pub async fn run(&self, told: impl Fn(&ClaimError)) -> Provisioned {
        let mut pause = PAUSE.0;
        loop {
            match self.attempt().await {
                Ok(provisioned) => return provisioned,
                Err(error) => {
                    tracing::warn!(%error, again_in_secs = pause.as_secs(), "the device is not provisioned yet");
                    told(&error);
                }
            }
            let share = u32::try_from(marram_types::random_u64() % 500).unwrap_or(0);
            tokio::time::sleep(pause / 2 + pause * share / 1000).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Goes on from where it was, once.
    ///
    /// # Errors
    /// [`ClaimError`]; what was reached is kept.
    pub async fn attempt(&self) -> Result<Provisioned, ClaimError> {
        self.home.make()?;
        self.folder.make()?;
        if let Some(provisioned) = self.folder.read_json(OUTCOME)? {
            return Ok(provisioned);
        }
        let request = self.request()?;
        let mut exchange = Exchange::open(&self.settings, &self.client_id).await?;
        let outcome = self.converse(&mut exchange, &request).await;
        exchange.close().await;
        let (granted, answer) = outcome?;
        self.settle(&granted, &answer)
    }

    /// The configuration holds it: what was under way is forgotten. The key stays at its final place.
    ///
    /// # Errors
    /// The disk.
    pub fn finish(&self) -> Result<(), ClaimError> {
        // The outcome goes last: until then a restart finds it again.
        for name in [KEY, REQUEST, GRANTED, OUTCOME] {
            self.folder.remove(name)?;
        }
        Ok(())
    }

    /// The request to certify the device's key, made once; an operator's own is looked at before each try.
    fn request(&self) -> Result<String, ClaimError> {
        if let Some((request, key)) = &self.settings.request {
            return checked(request, key, self.find_key.as_ref());
        }
        if let (Some(_), Some(request)) = (self.folder.read(KEY)?, self.folder.read(REQUEST)?) {
            return Ok(request);
        }
        // The request is written last: a key without one was never shown to anybody.
        let made = RequestedKey::generate("marram-core")?;
        self.folder.remove(GRANTED)?;
        self.folder.write(KEY, SECRET, &made.private_pem)?;
        self.folder.write(REQUEST, OPEN, &made.request_pem)?;
        Ok(made.request_pem)
    }

    async fn converse(&self, exchange: &mut Exchange, request: &str) -> Result<(Granted, Value), ClaimError> {
        if let Some(granted) = self.folder.read_json::<Granted>(GRANTED)? {
            match self.provision(exchange, &granted).await {
                // The token was used or is too old: another certificate for the same key.
                Err(ClaimError::Refused { code, message, .. }) => {
                    tracing::info!(code, message, "a kept certificate was not taken, asking for another");
                    self.folder.remove(GRANTED)?;
                }
                outcome => return Ok((granted, outcome?)),
            }
        }
        let answer = exchange.ask(CREATE, &json!({"certificateSigningRequest": request})).await?;
        let granted: Granted =
            serde_json::from_value(answer).map_err(|_| ClaimError::Answer { topic: CREATE.to_owned() })?;
        let text = serde_json::to_string(&granted).expect("texts can be written");
        self.folder.write(GRANTED, SECRET, &text)?;
        let answer = self.provision(exchange, &granted).await?;
        Ok((granted, answer))
    }

    async fn provision(&self, exchange: &mut Exchange, granted: &Granted) -> Result<Value, ClaimError> {
        let topic = format!("$aws/provisioning-templates/{}/provision/json", self.settings.template);
        let question = json!({
            "certificateOwnershipToken": granted.certificate_ownership_token,
            "parameters": self.settings.parameters,
        });
        let answer = exchange.ask(&topic, &question).await?;
        match answer["thingName"].as_str() {
            Some(thing) if !thing.is_empty() => Ok(answer),
            _ => Err(ClaimError::Answer { topic }),
        }
    }

    /// Puts everything at its final place, then the outcome.
    fn settle(&self, granted: &Granted, answer: &Value) -> Result<Provisioned, ClaimError> {
        let settings = &self.settings;
        let key_path = match &settings.request {
            Some((_, key)) => key.clone(),
            None => {
                let key = self.folder.read(KEY)?.ok_or_else(|| ClaimError::File {
                    path: self.folder.path(KEY),
                    source: std::io::ErrorKind::NotFound.into(),
                })?;
                self.home.write(KEY, SECRET, &key)?;
                self.home.path(KEY)
            }
        };
        self.home.write(CERTIFICATE, OPEN, &granted.certificate_pem)?;
        self.home.write(ROOTS, OPEN, &read(&settings.root_ca)?)?;
        let provisioned = Provisioned {
            thing_name: answer["thingName"].as_str().unwrap_or_default().to_owned(),
            certificate_path: self.home.path(CERTIFICATE),
            key_path,
            root_ca_path: self.home.path(ROOTS),
            device_configuration: answer.get("deviceConfiguration").cloned().unwrap_or_else(|| json!({})),
            region: settings.region.clone(),
            data_endpoint: settings.data_endpoint.clone(),
            credential_endpoint: settings.credential_endpoint.clone(),
            role_alias: settings.role_alias.clone(),
            mqtt_port: settings.mqtt_port,
        };
        let text = serde_json::to_string(&provisioned).expect("texts can be written");
        self.folder.write(OUTCOME, SECRET, &text)?;
        tracing::info!(thing = provisioned.thing_name, "the device is provisioned");
        Ok(provisioned)
    }
}
