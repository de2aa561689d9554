//! Duties that a core takes on once their component is deployed: shadows and secrets.
//!
//! Both are opened when they are first needed, so that a core without them pays nothing.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use marram_edge_ports::{
    CloudMessages, CloudShadows, Configuration, Credentials, Later, LocalShadows, Nucleus, PortError, SecretAnswer,
    SecretQuery, Secrets, ShadowPage, ShadowRequest,
};
use marram_local_shadows::{Apart, ShadowEvents, Shadows, synchronize};
use marram_nucleus::NucleusHandle;
use marram_parts::{SECRET_MANAGER, SHADOW_MANAGER, Scope, SecretSettings, ShadowSettings, SyncSettings};
use marram_secret_store::{SecretStore, Source, SourceSettings, Wherefrom};
use marram_types::SharedClock;
use serde_json::Value;
use smol_str::SmolStr;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cloud::Api;
use crate::token::DeviceIdentity;

/// How often it is looked whether shadows are to be synchronised, or secrets to be kept.
const LOOK: Duration = Duration::from_secs(2);
/// Settings that change together are taken up together.
const SETTLE: Duration = Duration::from_millis(300);

fn configuration_of(nucleus: &NucleusHandle, component: &str) -> Result<Value, PortError> {
    if nucleus.get(&["services", component]).is_none() {
        return Err(PortError::service(format!("{component} is not deployed on this core")));
    }
    Ok(nucleus.get(&["services", component, "configuration"]).unwrap_or(Value::Null))
}

/// Runs `take` at each change of a component's configuration, until the task is aborted.
fn follow(nucleus: &NucleusHandle, component: &'static str, take: impl Fn(Value) + Send + 'static) -> JoinHandle<()> {
    let news = nucleus.watch(component, &[]);
    let nucleus = nucleus.clone();
    tokio::spawn(async move {
        let Ok(mut news) = news else { return };
        while news.recv().await.is_some() {
            tokio::time::sleep(SETTLE).await;
            while news.try_recv().is_ok() {}
            if let Ok(configuration) = configuration_of(&nucleus, component) {
                take(configuration);
            }
        }
    })
}

/// Local topics, once the IPC door is open.
#[derive(Default)]
pub(crate) struct LocalTopics(OnceLock<marram_ipc::Handle>);

impl LocalTopics {
    /// The door is open.
    pub(crate) fn open(&self, door: marram_ipc::Handle) {
        // There is one door in a core's life.
        let _ = self.0.set(door);
    }
}

impl ShadowEvents for LocalTopics {
    fn publish(&self, topic: &str, payload: Bytes) {
        if let Some(door) = self.0.get() {
            door.publish(SHADOW_MANAGER, topic, &payload);
        }
    }
}

/// Shadows, once the shadow manager is deployed.
pub(crate) struct LateShadows {
    nucleus: NucleusHandle,
    dir: PathBuf,
    clock: SharedClock,
    topics: Arc<LocalTopics>,
    opened: Mutex<Option<Shadows>>,
}

/// The control plane's side of the shadows.
pub(crate) struct ShadowLine {
    /// Requests.
    pub(crate) cloud: Arc<dyn CloudShadows>,
    /// Notifications.
    pub(crate) messages: Arc<dyn CloudMessages>,
}

impl LateShadows {
    /// Shadows that tell `topics` of their changes, and are kept in agreement with those at the other end of `line`.
    pub(crate) fn new(
        nucleus: &NucleusHandle,
        dir: PathBuf,
        clock: SharedClock,
        topics: Arc<LocalTopics>,
        line: ShadowLine,
    ) -> Arc<Self> {
        let opened = Mutex::default();
        let shadows = Arc::new(LateShadows { nucleus: nucleus.clone(), dir, clock, topics, opened });
        tokio::spawn(Arc::clone(&shadows).keep_in_agreement(line));
        shadows
    }

    fn shadows(&self) -> Result<Shadows, PortError> {
        let configuration = configuration_of(&self.nucleus, SHADOW_MANAGER)?;
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shadows) = &*opened {
            return Ok(shadows.clone());
        }
        let settings = settings_of(&configuration);
        let events = Arc::clone(&self.topics) as Arc<dyn ShadowEvents>;
        let shadows = Shadows::open(&self.dir, settings, events, self.clock.clone())
            .map_err(|error| PortError::service(format!("the shadows cannot be opened: {error}")))?;
        let followed = shadows.clone();
        follow(&self.nucleus, SHADOW_MANAGER, move |configuration| followed.configure(settings_of(&configuration)));
        Ok(opened.insert(shadows).clone())
    }

    /// Shadows that are to be synchronised and will not be until a person changes something.
    pub(crate) fn apart(&self) -> Vec<Apart> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.as_ref().map(Shadows::apart).unwrap_or_default()
    }

    /// Synchronises what the configuration lists, while the shadow manager is deployed.
    async fn keep_in_agreement(self: Arc<Self>, line: ShadowLine) {
        let mut running: Option<(watch::Sender<SyncSettings>, JoinHandle<()>)> = None;
        let mut before = None;
        loop {
            let configuration = configuration_of(&self.nucleus, SHADOW_MANAGER).ok();
            if configuration != before {
                let settings = configuration.as_ref().and_then(|configuration| self.sync_settings(configuration));
                match (&running, settings.filter(|settings| !settings.is_empty())) {
                    (Some((sender, _)), Some(settings)) => drop(sender.send_replace(settings)),
                    (Some((_, task)), None) => {
                        task.abort();
                        running = None;
                        if let Some(shadows) = &*self.opened.lock().unwrap_or_else(PoisonError::into_inner) {
                            shadows.forget_apart();
                        }
                    }
                    (None, None) => {}
                    (None, Some(settings)) => match self.shadows() {
                        Ok(shadows) => {
                            let (sender, settings) = watch::channel(settings);
                            let (cloud, messages) = (Arc::clone(&line.cloud), Arc::clone(&line.messages));
                            let task = tokio::spawn(synchronize(shadows, cloud, messages, settings));
                            running = Some((sender, task));
                        }
                        Err(error) => {
                            tracing::error!(%error, "shadows are not synchronised");
                            tokio::time::sleep(LOOK).await;
                            continue;
                        }
                    },
                }
                before = configuration;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn sync_settings(&self, configuration: &Value) -> Option<SyncSettings> {
        let thing = self.nucleus.get(&["system", "thingName"]);
        let thing = thing.as_ref().and_then(Value::as_str).unwrap_or_default();
        match SyncSettings::read(configuration, Scope::Core(thing)).usable() {
            Ok(settings) => Some(settings),
            Err(error) => {
                tracing::error!(%error, "the shadow manager's configuration is refused: shadows are not synchronised");
                None
            }
        }
    }
}

fn settings_of(configuration: &Value) -> ShadowSettings {
    ShadowSettings::read(configuration).usable().unwrap_or_else(|error| {
        tracing::warn!(%error, "the shadow manager's configuration is passed over");
        ShadowSettings::default()
    })
}

/// None where the list is no list: the one before stays in force. Single entries that cannot be used are left out.
fn secrets_of(configuration: &Value) -> Option<SecretSettings> {
    let reading = SecretSettings::read(configuration, Scope::Core(""));
    for fault in &reading.faults {
        tracing::warn!(%fault, "a setting of the secret manager is passed over");
    }
    reading.usable().ok()
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
    fn request_of(&self, topic: &str) -> Option<ShadowRequest> {
        self.shadows().ok()?.request_of(topic)
    }
    fn request<'a>(&'a self, topic: &'a str, payload: Bytes, allowed: bool) -> Later<'a, ()> {
        Box::pin(async move { self.shadows()?.request(topic, payload, allowed).await })
    }
}

/// Secrets, once the secret manager is deployed.
pub(crate) struct LateSecrets {
    nucleus: NucleusHandle,
    dir: PathBuf,
    clock: SharedClock,
    credentials: Arc<dyn Credentials>,
    /// A client that trusts the control plane, and `https://host:port` of its API.
    api: watch::Receiver<Option<Api>>,
    identity: DeviceIdentity,
    opened: Mutex<Option<OpenSecrets>>,
}

/// Secrets that are kept fresh until this is dropped; what is kept on the disk stays.
struct OpenSecrets {
    store: Arc<SecretStore>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for OpenSecrets {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl LateSecrets {
    pub(crate) fn new(
        nucleus: &NucleusHandle,
        dir: PathBuf,
        clock: SharedClock,
        credentials: Arc<dyn Credentials>,
        api: watch::Receiver<Option<Api>>,
        identity: DeviceIdentity,
    ) -> Arc<Self> {
        let opened = Mutex::default();
        let secrets =
            Arc::new(LateSecrets { nucleus: nucleus.clone(), dir, clock, credentials, api, identity, opened });
        tokio::spawn(fetch_early(Arc::downgrade(&secrets)));
        secrets
    }

    fn store(&self) -> Result<Arc<SecretStore>, PortError> {
        let configuration = configuration_of(&self.nucleus, SECRET_MANAGER)?;
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = &*opened {
            return Ok(Arc::clone(&open.store));
        }
        let refused =
            |error: &dyn std::fmt::Display| PortError::service(format!("the secrets cannot be opened: {error}"));
        let key = self.nucleus.get(&["system", "privateKeyPath"]).and_then(|path| path.as_str().map(str::to_owned));
        let key = key.ok_or_else(|| PortError::service("the core has no device key to seal secrets with"))?;
        let root = self.identity.sealing_root(&key).map_err(|error| refused(&format_args!("{error:#}")))?;
        let (nucleus, api) = (self.nucleus.clone(), self.api.clone());
        let wherefrom: Wherefrom = Arc::new(move || {
            let region = nucleus.get(&["services", "aws.greengrass.Nucleus", "configuration", "awsRegion"]);
            let region = region.as_ref().and_then(Value::as_str).unwrap_or("us-east-1").to_owned();
            api.borrow().clone().map(|(client, endpoint)| SourceSettings { client, endpoint, region })
        });
        let source = Source::new(wherefrom, Arc::clone(&self.credentials), self.clock.clone());
        let settings = secrets_of(&configuration).unwrap_or_default();
        let store = SecretStore::open(&self.dir, root, source, settings).map_err(|error| refused(&error))?;
        let store = Arc::new(store);
        let fresh = Arc::clone(&store);
        let keeping = tokio::spawn(async move { fresh.keep_fresh().await });
        let followed = Arc::clone(&store);
        let following = follow(&self.nucleus, SECRET_MANAGER, move |configuration| {
            if let Some(settings) = secrets_of(&configuration) {
                followed.configure(settings);
            }
        });
        *opened = Some(OpenSecrets { store: Arc::clone(&store), tasks: [keeping, following] });
        Ok(store)
    }

    /// Configured secrets that the core's role may not read, each with the answer's words.
    pub(crate) fn denied(&self) -> Vec<(SmolStr, String)> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.as_ref().map(|open| open.store.denied()).unwrap_or_default()
    }

    fn close(&self) {
        drop(self.opened.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Opens the secrets once some are listed: they must be kept before the line is cut, not only after somebody asked for them. Without the
/// component nothing is fetched any more.
async fn fetch_early(secrets: Weak<LateSecrets>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(secrets) = secrets.upgrade() else { return };
        let Ok(configuration) = configuration_of(&secrets.nucleus, SECRET_MANAGER) else {
            secrets.close();
            continue;
        };
        let listed = marram_deploy::setting(&configuration, &["cloudSecrets"]).and_then(Value::as_array);
        if listed.is_some_and(|listed| !listed.is_empty()) {
            // What ails it is said to those that ask for a secret.
            let _ = secrets.store();
        }
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
