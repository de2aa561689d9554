//! The parts of a core that face the control plane: uplink, data plane, credentials, reports; told anew when the settings change.

mod endpoints;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use marram_core_status::{CoreFacts, FleetStatus, FleetStatusParts, Telemetry, TelemetrySettings};
use marram_deploy::session_policy;
use marram_deployer::Reserve;
use marram_edge_ports::{
    Caller, CallerKind, CloudMessages, Components, Configuration, Credentials, Identities, Nucleus,
};
use marram_http::{Client, ClientLimits};
use marram_nucleus::{NUCLEUS_VERSION, NucleusHandle};
use marram_supervisor::Local;
use marram_token_exchange::{Believed, Server, SessionPolicies, Upstream, UpstreamSettings};
use marram_types::SharedClock;
use marram_uplink::{
    DataPlaneSettings, Greengrass, LineSettings, Proxy, PublishLimits, Purpose, SpoolOptions, Uplink, Via, split_port,
};
use serde_json::{Value, json};
use tokio::sync::watch;

pub(crate) use endpoints::Planes;

use crate::token::DeviceIdentity;

/// Name of the component that holds the settings.
const NUCLEUS: &str = "aws.greengrass.Nucleus";
/// What a control plane says that does not know this core's components. It bears the thing's name, whatever that is by then.
const STATUS_REQUEST: &str = "$aws/things/+/greengrassv2/health/json/request";
/// Settings that change together are taken up together.
const SETTLE: Duration = Duration::from_millis(300);
/// Between tries to use a certificate or a token that was not there (CR 9.2: 5 to 30 s).
const RETRY: Duration = Duration::from_secs(15);
/// Largest spool when nothing is configured, bytes.
const SPOOL_BYTES: u64 = 2_621_440;

/// The running parts.
pub(crate) struct Cloud {
    /// Messages.
    pub(crate) uplink: Uplink,
    /// The Greengrass data plane.
    pub(crate) data_plane: Arc<Greengrass>,
    /// Credentials of the core's role.
    pub(crate) credentials: Arc<Upstream>,
    /// Fleet status: told about deployments.
    pub(crate) status: FleetStatus,
    /// Metrics of components.
    pub(crate) telemetry: Telemetry,
    /// The control plane's API, for calls signed with the core's role.
    pub(crate) api: watch::Receiver<Option<Api>>,
    /// Other control planes.
    pub(crate) planes: Arc<Planes>,
    _tokens: Server,
}

impl Cloud {
    /// Starts all of them; nothing waits for the network. The token exchange listens when this returns.
    ///
    /// # Errors
    /// The spool cannot be opened, loopback has no free port.
    pub(crate) async fn start(
        root: &Path,
        nucleus: &NucleusHandle,
        identity: &DeviceIdentity,
        reserve: &Reserve,
        clock: SharedClock,
    ) -> anyhow::Result<Self> {
        let settings = Settings::new(nucleus, identity, None);
        let first = settings.read();
        let spool = SpoolOptions {
            dir: root.join("work/aws.greengrass.DiskSpooler"),
            max_bytes: settings.number(&["mqtt", "spooler", "maxSizeInBytes"]).unwrap_or(SPOOL_BYTES),
        };
        let uplink = Uplink::start(first.as_ref().map(|all| all.line.clone()), spool, clock.clone())
            .context("cannot open the spool")?;
        uplink.set_limits(settings.publish_limits());
        if let Some(why) = settings.unusable() {
            uplink.set_trouble(why);
        }
        let provider = first.as_ref().map(|all| all.credentials.clone());
        let credentials = Upstream::narrowed(provider, clock.clone(), session_policies(nucleus));
        let (api_sender, api) = watch::channel(first.as_ref().and_then(Endpoints::api));
        let data_plane = Arc::new(Greengrass::new(
            first.map(|all| all.data_plane),
            Arc::clone(&credentials) as Arc<dyn Credentials>,
            clock.clone(),
        ));
        let tokens = token_exchange(&settings, nucleus, Arc::clone(&credentials)).await?;
        nucleus.set_credentials_uri(Some(tokens.uri()));
        let inside = tokens.inside();
        nucleus.serve_inside(Local {
            port: tokens.address().port(),
            serve: Arc::new(move |component, socket| {
                let inside = inside.clone();
                Box::pin(async move { inside.serve(component, socket).await })
            }),
        });

        let (facts_sender, facts) = watch::channel(settings.facts());
        let (cadence_sender, cadence) = watch::channel(settings.cadence());
        let (telemetry_sender, telemetry_settings) = watch::channel(settings.telemetry());
        let components: Arc<dyn Components> = Arc::new(nucleus.clone());
        let messages: Arc<dyn CloudMessages> = Arc::new(uplink.clone());
        let status = FleetStatus::start(FleetStatusParts {
            components: Arc::clone(&components),
            nucleus: Arc::new(nucleus.clone()),
            cloud: Arc::clone(&messages),
            facts: facts.clone(),
            cadence,
            trouble: reserve.trouble(),
            clock: clock.clone(),
        });
        let telemetry = Telemetry::start(components, messages, facts, telemetry_settings, clock.clone());
        let (mut requests, asked) = (uplink.unasked(STATUS_REQUEST), status.clone());
        tokio::spawn(async move {
            while requests.recv().await.is_some() {
                asked.asked();
            }
        });
        let (taken_sender, taken) = watch::channel(settings.fingerprint());
        let planes = Planes {
            nucleus: nucleus.clone(),
            identity: identity.clone(),
            clock,
            taken,
            connection: uplink.connection(),
        };
        let keeper = Keeper {
            taken: taken_sender,
            settings,
            uplink: uplink.clone(),
            data_plane: Arc::clone(&data_plane),
            credentials: Arc::clone(&credentials),
            facts: facts_sender,
            cadence: cadence_sender,
            telemetry: telemetry_sender,
            status: status.clone(),
            api: api_sender,
        };
        tokio::spawn(keeper.run(nucleus.clone()));
        Ok(Cloud { uplink, data_plane, credentials, status, telemetry, api, planes: Arc::new(planes), _tokens: tokens })
    }
}

/// What the configuration of each component narrows its session with (SEC-134).
fn session_policies(nucleus: &NucleusHandle) -> SessionPolicies {
    let nucleus = nucleus.clone();
    Arc::new(move |component| {
        let configuration = nucleus.get(&["services", component, "configuration"]).unwrap_or_default();
        session_policy(&configuration).map_err(|error| format!("the configuration of {component}: {error}"))
    })
}

/// Listens where it listened before, if that port is free: components that outlive a restart keep their variable.
async fn token_exchange(
    settings: &Settings,
    nucleus: &NucleusHandle,
    credentials: Arc<Upstream>,
) -> anyhow::Result<Server> {
    const NAME: &str = "aws.greengrass.TokenExchangeService";
    let port = |key: &str| {
        let value = nucleus.get(&["services", NAME, "configuration", key])?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok()).and_then(|port| u16::try_from(port).ok())
    };
    let components = nucleus.clone();
    let permission = Arc::new(move |caller: &Caller| {
        caller.kind == CallerKind::Component && components.may_have_credentials(&caller.name)
    });
    let start = |port: u16| {
        let identities: Arc<dyn Identities> = Arc::new(nucleus.clone());
        Server::start(port, identities, permission.clone(), Arc::clone(&credentials) as Arc<dyn Credentials>)
    };
    let wished = port("port").unwrap_or(0);
    let server = if wished == 0 {
        match port("activePort") {
            Some(before) => match start(before).await {
                Ok(server) => server,
                Err(_) => start(0).await?,
            },
            None => start(0).await?,
        }
    } else {
        start(wished).await.with_context(|| format!("the token exchange cannot listen at port {wished}"))?
    };
    let active = server.address().port();
    if port("activePort") != Some(active) {
        nucleus
            .put(&["services", NAME, "configuration", "activePort"], json!(active))
            .await
            .map_err(|error| anyhow::anyhow!("cannot keep the port of the token exchange: {error}"))?;
    }
    tracing::debug!(port = active, thing = %settings.facts().thing, "token exchange listens");
    Ok(server)
}

/// A client of the control plane's API, and where that is.
pub(crate) type Api = (Client, String);

/// Takes up changed settings, and forgets connection errors when the line is up.
struct Keeper {
    settings: Settings,
    uplink: Uplink,
    data_plane: Arc<Greengrass>,
    credentials: Arc<Upstream>,
    facts: watch::Sender<CoreFacts>,
    cadence: watch::Sender<Duration>,
    telemetry: watch::Sender<TelemetrySettings>,
    status: FleetStatus,
    taken: watch::Sender<Value>,
    api: watch::Sender<Option<Api>>,
}

impl Keeper {
    async fn run(self, nucleus: NucleusHandle) {
        let mut connection = self.uplink.connection();
        let mut news = match nucleus.watch(NUCLEUS, &[]) {
            Ok(news) => news,
            Err(error) => {
                tracing::warn!(%error, "changes of the settings will not be seen");
                return;
            }
        };
        let mut before = self.settings.fingerprint();
        let mut sets = nucleus.sets();
        loop {
            tokio::select! {
                changed = connection.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    if *connection.borrow_and_update() {
                        self.credentials.line_is_up();
                    }
                }
                change = news.recv() => {
                    if change.is_none() {
                        return;
                    }
                    tokio::time::sleep(SETTLE).await;
                    while news.try_recv().is_ok() {}
                    self.uplink.set_limits(self.settings.publish_limits());
                    self.facts.send_replace(self.settings.facts());
                    self.cadence.send_replace(self.settings.cadence());
                    self.telemetry.send_replace(self.settings.telemetry());
                    let now = self.settings.fingerprint();
                    if now != before {
                        before = now;
                        tracing::info!("the settings of the line changed: connecting anew");
                        self.connect_anew().await;
                    }
                }
                changed = sets.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.credentials.retain(|name| nucleus.get(&["services", name]).is_some());
                }
                () = tokio::time::sleep(RETRY), if self.settings.unusable().is_some() => {
                    before = self.settings.fingerprint();
                    self.connect_anew().await;
                }
            }
        }
    }
}

impl Keeper {
    async fn connect_anew(&self) {
        let all = self.settings.read();
        if let Some(why) = self.settings.unusable() {
            // What is in use stays in use.
            if !*self.uplink.connection().borrow() {
                self.uplink.set_trouble(why);
            }
            return;
        }
        self.credentials.reconfigure(all.as_ref().map(|all| all.credentials.clone()));
        self.api.send_replace(all.as_ref().and_then(Endpoints::api));
        self.data_plane.reconfigure(all.as_ref().map(|all| all.data_plane.clone()));
        self.uplink.reconfigure(all.map(|all| all.line)).await;
        self.status.reconfigured();
        self.taken.send_replace(self.settings.fingerprint());
    }
}

struct Endpoints {
    line: LineSettings,
    data_plane: DataPlaneSettings,
    credentials: UpstreamSettings,
}

impl Endpoints {
    fn api(&self) -> Option<Api> {
        let via = Via { road: self.data_plane.road.clone(), purpose: Purpose::PlainHttps };
        Some((Client::new(via, ClientLimits::default()), self.data_plane.s3_endpoint.clone()?))
    }
}

/// Reads `system` and the nucleus' configuration (CR 5.1, 7.5).
struct Settings {
    nucleus: NucleusHandle,
    identity: DeviceIdentity,
    /// Why what is configured could not be used at the last try: a file or a token was not there.
    unusable: Mutex<Option<String>>,
    /// A configuration of the nucleus to read in place of the one in force.
    instead: Option<Value>,
}

impl Settings {
    fn new(nucleus: &NucleusHandle, identity: &DeviceIdentity, instead: Option<Value>) -> Self {
        Settings { nucleus: nucleus.clone(), identity: identity.clone(), unusable: Mutex::default(), instead }
    }

    fn unusable(&self) -> Option<String> {
        self.unusable.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn value(&self, path: &[&str]) -> Option<Value> {
        if let Some(instead) = &self.instead {
            return path
                .iter()
                .try_fold(instead, |value, key| value.get(key))
                .filter(|value| !value.is_null())
                .cloned();
        }
        let at: Vec<&str> = ["services", NUCLEUS, "configuration"].iter().chain(path).copied().collect();
        self.nucleus.get(&at).filter(|value| !value.is_null())
    }

    fn text(&self, path: &[&str]) -> Option<String> {
        match self.value(path)? {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            _ => None,
        }
        .filter(|text| !text.is_empty())
    }

    fn number(&self, path: &[&str]) -> Option<u64> {
        self.text(path)?.parse::<f64>().ok().filter(|number| *number >= 0.0).map(|number| number as u64)
    }

    fn millis(&self, path: &[&str], default: Duration) -> Duration {
        self.number(path).map_or(default, Duration::from_millis)
    }

    fn system(&self, key: &str) -> Option<String> {
        self.nucleus.get(&["system", key])?.as_str().map(str::to_owned).filter(|text| !text.is_empty())
    }

    /// Everything that makes the line what it is: a change means connecting anew.
    fn fingerprint(&self) -> Value {
        json!([
            self.nucleus.get(&["system"]),
            self.value(&["awsRegion"]),
            self.value(&["iotRoleAlias"]),
            self.value(&["iotDataEndpoint"]),
            self.value(&["iotCredEndpoint"]),
            self.value(&["greengrassDataPlaneEndpoint"]),
            self.value(&["greengrassDataPlanePort"]),
            self.value(&["s3EndpointType"]),
            self.value(&["mqtt"]),
            self.value(&["networkProxy"]),
            self.identity.configuration(),
        ])
    }

    /// None when the core is not configured for a control plane, or its files cannot be used (that is logged).
    fn read(&self) -> Option<Endpoints> {
        match self.endpoints() {
            Ok(all) => {
                *self.unusable.lock().unwrap_or_else(PoisonError::into_inner) = None;
                all
            }
            Err(error) => {
                tracing::error!("the control plane cannot be used: {error:#}");
                *self.unusable.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{error:#}"));
                None
            }
        }
    }

    fn endpoints(&self) -> anyhow::Result<Option<Endpoints>> {
        let (Some(thing), Some(certificate), Some(key), Some(root), Some(data), Some(cred), Some(region)) = (
            self.system("thingName"),
            self.system("certificateFilePath"),
            self.system("privateKeyPath"),
            self.system("rootCaPath"),
            self.text(&["iotDataEndpoint"]),
            self.text(&["iotCredEndpoint"]),
            self.text(&["awsRegion"]),
        ) else {
            let nucleus = self.value(&[]).unwrap_or_default();
            match crate::initial::half_configured(&self.nucleus.get(&["system"]).unwrap_or_default(), &nucleus) {
                Some(missing) => tracing::warn!("{missing}: this core runs by itself"),
                None => tracing::info!("no control plane is configured: this core runs by itself"),
            }
            return Ok(None);
        };
        let proxy = match self.text(&["networkProxy", "proxy", "url"]) {
            None => None,
            Some(url) => {
                let user = self.text(&["networkProxy", "proxy", "username"]);
                let password = self.text(&["networkProxy", "proxy", "password"]);
                let except = self.text(&["networkProxy", "noProxyAddresses"]).unwrap_or_default();
                let proxy = Proxy::parse(&url, user.as_deref(), password.as_deref(), &except);
                Some(proxy.map_err(anyhow::Error::msg).context("networkProxy.proxy.url")?)
            }
        };
        let road = self.identity.road(&key, &certificate, &root, proxy)?;
        let (data_host, data_port) = split_port(&data).context("iotDataEndpoint: the port is not a number")?;
        let mqtt_port = data_port.or_else(|| self.port(&["mqtt", "port"])).unwrap_or(8883);
        let mut line = LineSettings::new(&thing, data_host, mqtt_port, road.clone());
        line.mqtt5 = self.text(&["mqtt", "version"]).is_none_or(|version| !version.eq_ignore_ascii_case("mqtt3"));
        line.keep_alive = self.millis(&["mqtt", "keepAliveTimeoutMs"], line.keep_alive);
        line.ping_timeout = self.millis(&["mqtt", "pingTimeoutMs"], line.ping_timeout);
        let small = |path: &[&str]| self.number(path).and_then(|number| u32::try_from(number).ok());
        line.in_flight =
            small(&["mqtt", "maxInFlightPublishes"]).map_or(line.in_flight, |number| number.clamp(1, 100) as usize);
        line.max_publish_retry = match self.text(&["mqtt", "maxPublishRetry"]).as_deref() {
            Some("-1") => None,
            Some(text) => text.parse().ok().or(line.max_publish_retry),
            None => line.max_publish_retry,
        };
        line.session_expiry_secs = small(&["mqtt", "sessionExpirySeconds"]).unwrap_or(line.session_expiry_secs);
        line.receive_maximum = small(&["mqtt", "receiveMaximum"])
            .and_then(|number| u16::try_from(number).ok())
            .unwrap_or(line.receive_maximum);
        let seconds = |path: &[&str], default| self.number(path).map_or(default, Duration::from_secs);
        line.backoff = (
            seconds(&["mqtt", "minimumReconnectDelaySeconds"], line.backoff.0),
            seconds(&["mqtt", "maximumReconnectDelaySeconds"], line.backoff.1),
        );

        let plane = self.text(&["greengrassDataPlaneEndpoint"]).filter(|host| host != "iotdata");
        let plane = plane.unwrap_or_else(|| data_host.to_owned());
        let plane = plane.strip_prefix("https://").unwrap_or(&plane).trim_end_matches('/').to_owned();
        let (plane_host, plane_port) =
            split_port(&plane).context("greengrassDataPlaneEndpoint: the port is not a number")?;
        let regional = self.text(&["s3EndpointType"]).is_some_and(|kind| kind.eq_ignore_ascii_case("REGIONAL"));
        let data_plane = DataPlaneSettings {
            thing: thing.clone(),
            region,
            host: plane_host.to_owned(),
            port: plane_port.or_else(|| self.port(&["greengrassDataPlanePort"])).unwrap_or(8443),
            s3_endpoint: self.text(&["marram", "apiEndpoint"]),
            s3_endpoint_type: if regional { "REGIONAL" } else { "GLOBAL" },
            road: road.clone(),
        };
        let client = Client::new(Via { road, purpose: Purpose::DeviceHttps }, ClientLimits::default());
        let credentials = UpstreamSettings {
            client,
            endpoint: format!("https://{cred}"),
            role_alias: self.text(&["iotRoleAlias"]).unwrap_or_default(),
            thing,
            timeout: self.millis(&["credentialEndpointTimeoutMs"], Duration::from_secs(60)),
            believed: Believed::default(),
        };
        Ok(Some(Endpoints { line, data_plane, credentials }))
    }

    fn port(&self, path: &[&str]) -> Option<u16> {
        self.number(path).and_then(|port| u16::try_from(port).ok())
    }

    fn publish_limits(&self) -> PublishLimits {
        let default = PublishLimits::default();
        PublishLimits {
            message_bytes: self
                .number(&["mqtt", "maxMessageSizeInBytes"])
                .and_then(|bytes| usize::try_from(bytes).ok())
                .unwrap_or(default.message_bytes),
            keep_qos0_offline: self
                .text(&["mqtt", "spooler", "keepQos0WhenOffline"])
                .is_some_and(|text| text.eq_ignore_ascii_case("true")),
        }
    }

    fn facts(&self) -> CoreFacts {
        CoreFacts {
            thing: self.system("thingName").unwrap_or_default(),
            version: NUCLEUS_VERSION.to_owned(),
            platform: "linux".to_owned(),
            architecture: architecture().to_owned(),
            runtime: "marram".to_owned(),
        }
    }

    fn cadence(&self) -> Duration {
        let configured = ["fleetStatus", "fleetstatus"]
            .iter()
            .find_map(|name| self.number(&[name, "periodicStatusPublishIntervalSeconds"]));
        Duration::from_secs(configured.unwrap_or(86_400))
    }

    fn telemetry(&self) -> TelemetrySettings {
        let default = TelemetrySettings::default();
        let seconds = |key: &str, default| self.number(&["telemetry", key]).map_or(default, Duration::from_secs);
        TelemetrySettings {
            enabled: self.text(&["telemetry", "enabled"]).is_none_or(|text| !text.eq_ignore_ascii_case("false")),
            aggregate: seconds("periodicAggregateMetricsIntervalSeconds", default.aggregate),
            publish: seconds("periodicPublishMetricsIntervalSeconds", default.publish),
        }
    }
}

/// The name recipes know this machine's processor by (CR 1.5).
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "x86",
        "aarch64" => "aarch64",
        "arm" => "arm",
        _ => "unknown",
    }
}
