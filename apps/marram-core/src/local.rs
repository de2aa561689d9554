//! Duties that a core takes on once their component is deployed: shadows and secrets.
//!
//! Both are opened at the first request after the deployment, so that a core without them pays nothing.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use marram_edge_ports::{
    Configuration, Credentials, Later, LocalShadows, Nucleus, PortError, SecretAnswer, SecretQuery, Secrets, ShadowPage,
};
use marram_local_shadows::{ShadowEvents, ShadowSettings, Shadows};
use marram_nucleus::NucleusHandle;
use marram_secret_store::{DeviceKeyFile, SecretSettings, SecretStore, Source, SourceSettings};
use marram_types::SharedClock;
use serde_json::Value;
use smol_str::SmolStr;

const SHADOW_MANAGER: &str = "aws.greengrass.ShadowManager";
const SECRET_MANAGER: &str = "aws.greengrass.SecretManager";
/// Settings that change together are taken up together.
const SETTLE: Duration = Duration::from_millis(300);

fn configuration_of(nucleus: &NucleusHandle, component: &str) -> Result<Value, PortError> {
    if nucleus.get(&["services", component]).is_none() {
        return Err(PortError::service(format!("{component} is not deployed on this core")));
    }
    Ok(nucleus.get(&["services", component, "configuration"]).unwrap_or(Value::Null))
}

/// Runs `take` at each change of a component's configuration.
fn follow(nucleus: &NucleusHandle, component: &'static str, take: impl Fn(Value) + Send + 'static) {
    let Ok(mut news) = nucleus.watch(component, &[]) else { return };
    let nucleus = nucleus.clone();
    tokio::spawn(async move {
        while news.recv().await.is_some() {
            tokio::time::sleep(SETTLE).await;
            while news.try_recv().is_ok() {}
            if let Ok(configuration) = configuration_of(&nucleus, component) {
                take(configuration);
            }
        }
    });
}

/// Shadows, once the shadow manager is deployed.
pub(crate) struct LateShadows {
    nucleus: NucleusHandle,
    dir: PathBuf,
    clock: SharedClock,
    opened: Mutex<Option<Shadows>>,
}

/// Notifications are not handed to local topics yet.
struct Untold;

impl ShadowEvents for Untold {
    fn publish(&self, topic: &str, _: Bytes) {
        tracing::trace!(topic, "a shadow changed");
    }
}

impl LateShadows {
    pub(crate) fn new(nucleus: &NucleusHandle, dir: PathBuf, clock: SharedClock) -> Arc<Self> {
        Arc::new(LateShadows { nucleus: nucleus.clone(), dir, clock, opened: Mutex::default() })
    }

    fn shadows(&self) -> Result<Shadows, PortError> {
        let configuration = configuration_of(&self.nucleus, SHADOW_MANAGER)?;
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shadows) = &*opened {
            return Ok(shadows.clone());
        }
        let settings = settings_of(&configuration);
        let shadows = Shadows::open(&self.dir, settings, Arc::new(Untold), self.clock.clone())
            .map_err(|error| PortError::service(format!("the shadows cannot be opened: {error}")))?;
        let followed = shadows.clone();
        follow(&self.nucleus, SHADOW_MANAGER, move |configuration| followed.configure(settings_of(&configuration)));
        Ok(opened.insert(shadows).clone())
    }
}

fn settings_of(configuration: &Value) -> ShadowSettings {
    ShadowSettings::from_configuration(configuration).unwrap_or_else(|error| {
        tracing::warn!(%error, "the shadow manager's configuration is passed over");
        ShadowSettings::default()
    })
}

impl LocalShadows for LateShadows {
    fn get<'a>(&'a self, thing: &'a str, shadow: &'a str) -> Later<'a, Bytes> {
        Box::pin(async move { self.shadows()?.get(thing, shadow).await })
    }
    fn update<'a>(&'a self, thing: &'a str, shadow: &'a str, payload: Bytes) -> Later<'a, Bytes> {
        Box::pin(async move { self.shadows()?.update(thing, shadow, payload).await })
    }
    fn delete<'a>(&'a self, thing: &'a str, shadow: &'a str) -> Later<'a, Bytes> {
        Box::pin(async move { self.shadows()?.delete(thing, shadow).await })
    }
    fn list<'a>(
        &'a self,
        thing: &'a str,
        next_token: Option<&'a str>,
        page_size: Option<u32>,
    ) -> Later<'a, ShadowPage> {
        Box::pin(async move { self.shadows()?.list(thing, next_token, page_size).await })
    }
}

/// Secrets, once the secret manager is deployed.
pub(crate) struct LateSecrets {
    nucleus: NucleusHandle,
    dir: PathBuf,
    clock: SharedClock,
    credentials: Arc<dyn Credentials>,
    /// A client that trusts the control plane, and `https://host:port` of its API.
    api: Option<(marram_http::Client, String)>,
    opened: Mutex<Option<Arc<SecretStore>>>,
}

impl LateSecrets {
    pub(crate) fn new(
        nucleus: &NucleusHandle,
        dir: PathBuf,
        clock: SharedClock,
        credentials: Arc<dyn Credentials>,
        api: Option<(marram_http::Client, String)>,
    ) -> Arc<Self> {
        Arc::new(LateSecrets { nucleus: nucleus.clone(), dir, clock, credentials, api, opened: Mutex::default() })
    }

    fn store(&self) -> Result<Arc<SecretStore>, PortError> {
        let configuration = configuration_of(&self.nucleus, SECRET_MANAGER)?;
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = &*opened {
            return Ok(Arc::clone(store));
        }
        let refused =
            |error: &dyn std::fmt::Display| PortError::service(format!("the secrets cannot be opened: {error}"));
        let key = self.nucleus.get(&["system", "privateKeyPath"]).and_then(|path| path.as_str().map(str::to_owned));
        let key = key.ok_or_else(|| PortError::service("the core has no device key to seal secrets with"))?;
        let key = key.strip_prefix("file://").or_else(|| key.strip_prefix("file:")).unwrap_or(&key);
        let root = DeviceKeyFile::open(key.as_ref()).map_err(|error| refused(&error))?;
        let region = self.nucleus.get(&["services", "aws.greengrass.Nucleus", "configuration", "awsRegion"]);
        let settings = self.api.as_ref().map(|(client, endpoint)| SourceSettings {
            client: client.clone(),
            endpoint: endpoint.clone(),
            region: region.as_ref().and_then(Value::as_str).unwrap_or("us-east-1").to_owned(),
        });
        let source = Source::new(settings, Arc::clone(&self.credentials), self.clock.clone());
        let settings = SecretSettings::from_configuration(&configuration);
        let store = SecretStore::open(&self.dir, Arc::new(root), source, settings).map_err(|error| refused(&error))?;
        let store = Arc::new(store);
        let fresh = Arc::clone(&store);
        tokio::spawn(async move { fresh.keep_fresh().await });
        let followed = Arc::clone(&store);
        follow(&self.nucleus, SECRET_MANAGER, move |configuration| {
            followed.configure(SecretSettings::from_configuration(&configuration));
        });
        Ok(Arc::clone(opened.insert(store)))
    }
}

impl Secrets for LateSecrets {
    fn arn_of(&self, secret_id: &str) -> Result<SmolStr, PortError> {
        self.store()?.arn_of(secret_id)
    }
    fn get(&self, query: SecretQuery) -> Later<'_, SecretAnswer> {
        Box::pin(async move { self.store()?.get(query).await })
    }
}
