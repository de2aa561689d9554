//! The decisions: who a client device is and what it may (CC 2.5.3 to 2.5.5).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use marram_edge_ports::{CertificateUpdate, ClientDevices, DeviceCloud, Later, MqttCredential, PortError};
use marram_flow::topics::ThingTopics;
use marram_parts::{DeviceSettings, Faults, Scope};
use marram_pki::{Certificate, pem};
use marram_types::SharedClock;
use serde_json::Value;
use smol_str::SmolStr;
use tokio::sync::mpsc;

use crate::authority::{CoreAuthority, CoreAuthorityError};
use crate::known::{KnownDevices, Verdict};
use crate::session::Sessions;

/// The broker's tenant in which client devices and flows of a core meet.
pub const TENANT: &str = "core";

/// Longest thing name, bytes.
const MAX_THING_NAME: usize = 128;
/// Certificate updates a slow component may be behind.
const UPDATES_PENDING: usize = 4;

/// Topics of bound things, by thing.
pub type FlowTopics = BTreeMap<SmolStr, ThingTopics>;

/// Certificate ids of bound things, by thing.
pub type BoundDevices = BTreeMap<SmolStr, std::collections::BTreeSet<SmolStr>>;

/// What the decisions need.
pub struct DevicesOptions {
    /// `<root>/work/aws.greengrass.clientdevices.Auth`, for its owner only.
    pub dir: PathBuf,
    /// The time.
    pub clock: SharedClock,
    /// The control plane; `None`: what is remembered, and own authorities.
    pub cloud: Option<Arc<dyn DeviceCloud>>,
    /// Authorities whose certificates are accepted without the control plane, PEM. The client id is the thing name.
    pub trusted_authorities_pem: String,
}

/// The client devices of a core. A cheap clone.
#[derive(Clone)]
pub struct Devices {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    authority: CoreAuthority,
    known: KnownDevices,
    clock: SharedClock,
    trusted: Vec<Certificate>,
    settings: RwLock<Arc<DeviceSettings>>,
    flows: RwLock<Arc<FlowTopics>>,
    bound: RwLock<Arc<BoundDevices>>,
    version: AtomicU64,
    hosts: RwLock<Vec<String>>,
    /// Changes with `hosts`.
    hosts_version: AtomicU64,
    sessions: Mutex<Sessions>,
    listeners: Mutex<Vec<mpsc::Sender<CertificateUpdate>>>,
}

impl std::fmt::Debug for Devices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Devices")
    }
}

/// A device that is who it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) thing: SmolStr,
    pub(crate) certificate_id: SmolStr,
    /// It was accepted for its issuer: nobody can take it back but its certificate's end.
    pub(crate) is_own: bool,
    /// Seconds since the epoch.
    pub(crate) not_after: i64,
}

impl Devices {
    /// Opens authority and memory.
    ///
    /// # Errors
    /// [`CoreAuthorityError`].
    pub fn open(options: DevicesOptions) -> Result<Self, CoreAuthorityError> {
        let authority = CoreAuthority::open(&options.dir, options.clock.clone())?;
        let path = options.dir.join("devices.json");
        let known = KnownDevices::open(&path, options.clock.clone(), options.cloud)
            .map_err(|cause| CoreAuthorityError::Io { path, cause })?;
        let mut trusted = Vec::new();
        if !options.trusted_authorities_pem.trim().is_empty() {
            for der in pem::certificates(&options.trusted_authorities_pem)? {
                trusted.push(Certificate::from_der(&der)?);
            }
        }
        let inner = Inner {
            authority,
            known,
            clock: options.clock,
            trusted,
            settings: RwLock::default(),
            flows: RwLock::default(),
            bound: RwLock::default(),
            version: AtomicU64::new(1),
            hosts: RwLock::default(),
            hosts_version: AtomicU64::new(1),
            sessions: Mutex::default(),
            listeners: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Takes a configuration of `aws.greengrass.clientdevices.Auth`; null when the component is not deployed.
    ///
    /// # Errors
    /// The device groups cannot be read: the configuration before stays in force.
    pub fn configure(&self, configuration: &Value) -> Result<(), Faults> {
        let reading = DeviceSettings::read(configuration, Scope::Core(""));
        for fault in reading.faults.iter().filter(|_| reading.is_usable) {
            tracing::warn!(%fault, "a setting of the client devices is passed over");
        }
        let settings = Arc::new(reading.usable()?);
        *self.inner.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
        self.changed();
        Ok(())
    }

    /// Bound things of flows may use exactly these topics, beside what their groups allow.
    pub fn set_flow_topics(&self, topics: Arc<FlowTopics>) {
        *self.inner.flows.write().unwrap_or_else(PoisonError::into_inner) = topics;
        self.changed();
    }

    /// Certificates that came with the flows of this core: these things are let in without the control plane, as long as
    /// the deployment lists them.
    pub fn set_bound_devices(&self, devices: Arc<BoundDevices>) {
        *self.inner.bound.write().unwrap_or_else(PoisonError::into_inner) = devices;
        self.changed();
    }

    fn is_bound(&self, thing: &str, certificate_id: &str) -> bool {
        let bound = self.inner.bound.read().unwrap_or_else(PoisonError::into_inner);
        bound.get(thing).is_some_and(|ids| ids.contains(certificate_id))
    }

    /// Hosts and addresses of this core: what server certificates name. Answers whether they changed.
    pub fn set_hosts(&self, hosts: Vec<String>) -> bool {
        let mut known = self.inner.hosts.write().unwrap_or_else(PoisonError::into_inner);
        let is_changed = *known != hosts;
        *known = hosts;
        if is_changed {
            self.inner.hosts_version.fetch_add(1, Ordering::Release);
        }
        is_changed
    }

    /// Changes when server certificates must name other hosts.
    pub(crate) fn hosts_version(&self) -> u64 {
        self.inner.hosts_version.load(Ordering::Acquire)
    }

    /// The remembered associations, for whoever hears of them from the control plane.
    pub fn known(&self) -> &KnownDevices {
        &self.inner.known
    }

    /// What devices trust, PEM: for discovery and `PutCertificateAuthorities`.
    pub fn authority_pem(&self) -> String {
        self.inner.authority.certificate_pem()
    }

    /// Changes with every answer that may have changed.
    pub fn version(&self) -> u64 {
        self.inner.version.load(Ordering::Acquire) + self.inner.known.version()
    }

    fn changed(&self) {
        self.inner.version.fetch_add(1, Ordering::Release);
    }

    fn settings(&self) -> Arc<DeviceSettings> {
        Arc::clone(&self.inner.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How long the control plane's word is trusted.
    fn trust(&self) -> Duration {
        Duration::from_secs(self.settings().trust_minutes * 60)
    }

    /// A server certificate as of now, and its life in seconds.
    pub(crate) fn issue_server(&self) -> Result<(marram_pki::IssuedServer, i64), marram_pki::PkiError> {
        let hosts = self.inner.hosts.read().unwrap_or_else(PoisonError::into_inner).clone();
        let seconds = self.settings().server_seconds;
        Ok((self.inner.authority.issue(&hosts, seconds)?, seconds))
    }

    /// Hands a new server certificate to the components that asked for it.
    pub(crate) fn announce(&self, issued: &marram_pki::IssuedServer) {
        let update = self.update(issued);
        let mut listeners = self.inner.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners
            .retain(|listener| !matches!(listener.try_send(update.clone()), Err(mpsc::error::TrySendError::Closed(_))));
    }

    fn update(&self, issued: &marram_pki::IssuedServer) -> CertificateUpdate {
        let leaf = pem::certificates(&issued.chain_pem).ok().and_then(|chain| chain.into_iter().next());
        let public_key = leaf
            .and_then(|der| Certificate::from_der(&der).ok())
            .map(|leaf| pem::encode("PUBLIC KEY", leaf.public_key().spki_der()))
            .unwrap_or_default();
        CertificateUpdate {
            private_key: issued.key_pem.clone(),
            public_key,
            certificate: issued.chain_pem.clone(),
            ca_certificates: vec![self.authority_pem()],
        }
    }

    /// What a certificate must be before anybody is asked about it (CC 2.5.4).
    fn sound(&self, der: &[u8]) -> Option<Certificate> {
        let certificate = Certificate::from_der(der).ok()?;
        let now = self.inner.clock.now().as_millis() / 1_000;
        let is_sound = certificate.version() == 3 && !certificate.is_ca() && certificate.is_valid_at(now);
        is_sound.then_some(certificate)
    }

    fn is_of_own_authority(&self, certificate: &Certificate) -> bool {
        self.inner.trusted.iter().any(|authority| certificate.verify_issued_by(authority).is_ok())
    }

    /// The device behind a certificate and a client id.
    pub(crate) async fn identify(&self, der: &[u8], client_id: &str) -> Result<Device, Verdict> {
        let settings = self.settings();
        let thing =
            if settings.is_name_client_id { client_id } else { client_id.split('/').next().unwrap_or_default() };
        let is_name = !thing.is_empty()
            && thing.len() <= MAX_THING_NAME
            && thing.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":_-".contains(&byte));
        let certificate = self.sound(der).filter(|_| is_name).ok_or(Verdict::Unknown)?;
        let id = certificate.id().to_string();
        let is_own = self.is_of_own_authority(&certificate);
        if !is_own && !self.is_bound(thing, &id) {
            let pem = pem::encode_certificate(der);
            match self.inner.known.verify(thing, &id, &pem, self.trust()).await {
                Verdict::Known => {}
                refused => return Err(refused),
            }
        }
        Ok(Device { thing: thing.into(), certificate_id: id.into(), is_own, not_after: certificate.not_after() })
    }

    /// Whether the device is still who it said.
    pub(crate) fn is_current(&self, device: &Device) -> bool {
        let now = self.inner.clock.now().as_millis() / 1_000;
        let remembered = || self.inner.known.remembered(&device.thing, &device.certificate_id, self.trust());
        let is_bound = || self.is_bound(&device.thing, &device.certificate_id);
        now <= device.not_after && (device.is_own || is_bound() || remembered() == Verdict::Known)
    }

    /// Whether `thing` may do this (CC 2.5.3), by its groups or by a flow it is bound to.
    pub fn allows(&self, thing: &str, operation: &str, resource: &str) -> bool {
        if self.settings().groups.allows(thing, operation, resource) {
            return true;
        }
        let flows = Arc::clone(&self.inner.flows.read().unwrap_or_else(PoisonError::into_inner));
        let Some(topics) = flows.get(thing) else { return false };
        match (operation, resource.split_once(':').and_then(|(_, rest)| rest.split_once(':'))) {
            ("mqtt:connect", Some(("clientId", client_id))) => client_id == thing,
            ("mqtt:publish", Some(("topic", topic))) => {
                topics.publishes.iter().any(|filter| marram_mqtt::matches(filter, topic))
            }
            ("mqtt:subscribe", Some(("topicfilter", filter))) => topics.receives.contains(filter),
            _ => false,
        }
    }

    /// Whether a message on `topic` may reach `thing`.
    pub fn may_receive(&self, thing: &str, topic: &str) -> bool {
        if self.settings().groups.may_receive(thing, topic) {
            return true;
        }
        let flows = self.inner.flows.read().unwrap_or_else(PoisonError::into_inner);
        flows.get(thing).is_some_and(|topics| topics.receives.contains(topic))
    }
}

/// DER of a certificate given as PEM, or as base64 without armour.
fn der_of(text: &str) -> Option<Vec<u8>> {
    let armoured = if text.contains("-----BEGIN") {
        text.to_owned()
    } else {
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", text.trim())
    };
    pem::certificate(&armoured).ok().map(|der| der.to_vec())
}

impl ClientDevices for Devices {
    fn certificates(&self, _: &str) -> Result<mpsc::Receiver<CertificateUpdate>, PortError> {
        let (issued, _) = self.issue_server().map_err(|error| PortError::service(error.to_string()))?;
        let (sender, receiver) = mpsc::channel(UPDATES_PENDING);
        // The channel is new and has room.
        let _: Result<(), _> = sender.try_send(self.update(&issued));
        self.inner.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        Ok(receiver)
    }

    fn verify<'a>(&'a self, certificate_pem: &'a str) -> Later<'a, bool> {
        Box::pin(async move {
            let Some(der) = der_of(certificate_pem) else { return Ok(false) };
            let Some(certificate) = self.sound(&der) else { return Ok(false) };
            if self.is_of_own_authority(&certificate) {
                return Ok(true);
            }
            let (id, pem) = (certificate.id().to_string(), pem::encode_certificate(&der));
            Ok(self.inner.known.is_known(&id, &pem, self.trust()).await)
        })
    }

    fn auth_token(&self, credential: MqttCredential) -> Later<'_, String> {
        Box::pin(async move {
            let refused =
                || PortError::InvalidCredential("the client device is not associated with this core".to_owned());
            let der = credential.certificate_pem.as_deref().and_then(der_of).ok_or_else(refused)?;
            let client_id = credential.client_id.unwrap_or_default();
            let device = self.identify(&der, &client_id).await.map_err(|_| refused())?;
            let most = self.settings().max_sessions;
            Ok(self.inner.sessions.lock().unwrap_or_else(PoisonError::into_inner).open(device, most))
        })
    }

    fn authorize<'a>(&'a self, token: &'a str, operation: &'a str, resource: &'a str) -> Later<'a, bool> {
        Box::pin(async move {
            let device = self.inner.sessions.lock().unwrap_or_else(PoisonError::into_inner).get(token);
            let device = device.filter(|device| self.is_current(device)).ok_or_else(|| {
                PortError::InvalidClientDeviceAuthToken("the client device has no session with this token".to_owned())
            })?;
            Ok(self.allows(&device.thing, operation, resource))
        })
    }
}
