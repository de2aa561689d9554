//! What is around a core: client devices, the local broker, flows.

mod announce;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use marram_broker::Tenant;
use marram_client_devices::{DeviceCloud, Devices, DevicesOptions, LocalBroker, LocalBrokerOptions, TENANT};
use marram_edge_flows::{EdgeFlows, EdgeFlowsOptions, EdgePorts, Trust, TrustedKey};
use marram_edge_ports::{CloudMessages, Configuration, Credentials, Nucleus};
use marram_nucleus::NucleusHandle;
use marram_parts::AUTH;
use marram_types::SharedClock;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cloud::Cloud;
use announce::Announcer;

/// Components that ask for the local broker, and where their configuration keeps the port.
const BROKERS: [(&str, &str); 2] = [
    ("aws.greengrass.clientdevices.mqtt.Moquette", "/moquette/ssl_port"),
    ("aws.greengrass.clientdevices.mqtt.EMQX", "/emqx/listener/ssl/external"),
];
/// Port of the local broker unless a broker component, the flows or the nucleus' `marram.localBroker` say otherwise.
const PORT: u16 = 8883;
/// How often configuration and addresses are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// The running parts.
pub(crate) struct Field {
    /// For the IPC door.
    pub(crate) devices: Devices,
    flows: EdgeFlows,
    tasks: [JoinHandle<()>; 3],
}

impl Field {
    /// Starts devices, broker and flows. The listener opens when a broker component is deployed or flows bind things.
    ///
    /// # Errors
    /// The core's certificate authority cannot be opened.
    // Kept out of its caller: one frame with the futures of everything that starts would stay in memory for good.
    #[inline(never)]
    pub(crate) fn start(
        root: &Path,
        nucleus: &NucleusHandle,
        cloud: &Cloud,
        clock: SharedClock,
    ) -> anyhow::Result<Self> {
        let system = |key: &str| nucleus.get(&["system", key]).and_then(|value| value.as_str().map(str::to_owned));
        let thing = system("thingName").unwrap_or_default();
        let plane = Arc::clone(&cloud.data_plane) as Arc<dyn DeviceCloud>;
        let devices = Devices::open(DevicesOptions {
            dir: root.join("work").join(AUTH),
            clock,
            cloud: Some(Arc::clone(&plane)),
            trusted_authorities_pem: String::new(),
        })
        .context("cannot open the core's certificate authority")?;
        let broker = LocalBroker::broker(&devices).context("cannot start the local broker")?;
        let ports = EdgePorts {
            configuration: Arc::new(nucleus.clone()),
            broker: broker.clone(),
            tenant: Tenant::new(TENANT),
            cloud: Some(Arc::new(cloud.uplink.clone()) as Arc<dyn CloudMessages>),
            credentials: Some(Arc::clone(&cloud.credentials) as Arc<dyn Credentials>),
        };
        let mut options = EdgeFlowsOptions::new(root.join("work").join(marram_edge_flows::COMPONENT), &thing);
        // Web services of the control plane are known by its root, others by the system's.
        options.runtime.http.roots_pem = system("rootCaPath").and_then(|path| root_of(&path)).unwrap_or_default();
        options.trust = flow_trust(nucleus.get(&["system", "deploymentPublicKey"]));
        let flows = EdgeFlows::start(options, ports, &marram_obs::Metrics::new());
        let (listening, listens) = watch::channel(None);
        let (names, named) = watch::channel(Vec::new());
        let keeper = Keeper {
            sets: nucleus.sets(),
            nucleus: nucleus.clone(),
            devices: devices.clone(),
            flows: flows.clone(),
            broker,
            listening,
            named,
        };
        let announcer = Announcer {
            thing,
            nucleus: nucleus.clone(),
            devices: devices.clone(),
            cloud: plane,
            messages: Arc::new(cloud.uplink.clone()),
            listening: listens.clone(),
            named: names,
        };
        let (line, deployed) = (CloudMessages::connection(&cloud.uplink), nucleus.clone());
        let is_wanted = move || listens.borrow().is_some() || Configuration::read(&deployed, AUTH, &[]).is_ok();
        let checking = devices.clone().check_daily(line, is_wanted);
        let tasks = [tokio::spawn(keeper.run()), tokio::spawn(announcer.run()), tokio::spawn(checking)];
        Ok(Self { devices, flows, tasks })
    }

    /// Stops flows where they stand and closes the listener.
    pub(crate) async fn close(self) {
        self.flows.stop().await;
        for task in self.tasks {
            task.abort();
        }
    }
}

/// Takes up what changes: device groups, topics of flows, addresses, the wish for a listener.
struct Keeper {
    nucleus: NucleusHandle,
    /// Components came or went: what is not deployed any more stops at once.
    sets: watch::Receiver<()>,
    devices: Devices,
    flows: EdgeFlows,
    broker: marram_broker::Broker,
    /// Where the broker listens.
    listening: watch::Sender<Option<SocketAddr>>,
    /// Further hosts that certificates name.
    named: watch::Receiver<Vec<String>>,
}

impl Keeper {
    async fn run(mut self) {
        let (mut topics, mut bound) = (self.flows.topics(), self.flows.devices());
        let mut groups = None;
        let mut listening: Option<(SocketAddr, LocalBroker)> = None;
        let mut complaint = String::new();
        loop {
            let mut hosts = hosts();
            hosts.extend(self.named.borrow().iter().filter(|name| is_host(name)).cloned());
            hosts.dedup();
            self.devices.set_hosts(hosts);
            let configuration = Configuration::read(&self.nucleus, AUTH, &[]).unwrap_or(Value::Null);
            if groups.as_ref() != Some(&configuration) {
                if let Err(error) = self.devices.configure(&configuration) {
                    tracing::error!(%error, "the device groups are refused; those before stay in force");
                }
                groups = Some(configuration);
            }
            let wished = self.wished(!topics.borrow().is_empty());
            if listening.as_ref().map(|(address, _)| *address) != wished {
                if let Some((_, broker)) = listening.take() {
                    broker.stop().await;
                    self.listening.send_replace(None);
                }
                if let Some(listen) = wished {
                    let options = LocalBrokerOptions { listen };
                    match LocalBroker::listen(self.broker.clone(), self.devices.clone(), &options).await {
                        Ok(broker) => {
                            tracing::info!(address = %broker.address(), "the local broker listens");
                            self.listening.send_replace(Some(broker.address()));
                            listening = Some((listen, broker));
                            complaint.clear();
                        }
                        Err(error) if error.to_string() != complaint => {
                            complaint = error.to_string();
                            tracing::warn!(%error, "client devices cannot connect; tried again");
                        }
                        Err(_) => {}
                    }
                }
            }
            tokio::select! {
                changed = topics.changed() => match changed {
                    Ok(()) => self.devices.set_flow_topics(Arc::clone(&topics.borrow_and_update())),
                    Err(_) => return,
                },
                changed = bound.changed() => match changed {
                    Ok(()) => self.devices.set_bound_devices(Arc::clone(&bound.borrow_and_update())),
                    Err(_) => return,
                },
                changed = self.named.changed() => if changed.is_err() {
                    return;
                },
                changed = self.sets.changed() => match changed {
                    Ok(()) => self.flows.refresh(),
                    Err(_) => return,
                },
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Where the broker should listen, if it should.
    fn wished(&self, has_flows: bool) -> Option<SocketAddr> {
        let number = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok()).map(|port| port as u16);
        let own = self.nucleus.get(&["services", "aws.greengrass.Nucleus", "configuration", "marram", "localBroker"]);
        let own = own.as_ref().and_then(Value::as_str).and_then(|address| address.parse::<SocketAddr>().ok());
        let address = own.unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)));
        let at = |port: Option<u16>| SocketAddr::new(address.ip(), port.unwrap_or(address.port()));
        for (component, pointer) in BROKERS {
            if let Ok(configuration) = Configuration::read(&self.nucleus, component, &[]) {
                return Some(at(configuration.pointer(pointer).and_then(number)));
            }
        }
        let flows = Configuration::read(&self.nucleus, marram_edge_flows::COMPONENT, &[]).ok();
        let port = flows.as_ref().and_then(|flows| flows.pointer("/broker/port")).and_then(number);
        has_flows.then(|| at(port))
    }
}

/// What packages of flows must show: a signature of one of the keys that deployments are signed with, where there are any
/// (SEC-154). A key that cannot be read does not turn the check off.
fn flow_trust(keys: Option<Value>) -> Trust {
    let texts = match keys {
        None | Some(Value::Null) => return Trust::Whole,
        Some(Value::Array(all)) if all.is_empty() => return Trust::Whole,
        Some(Value::Array(all)) => all,
        Some(one) => vec![one],
    };
    let read = |text: &Value| TrustedKey::from_base64(text.as_str().unwrap_or_default()).ok();
    let keys: Vec<TrustedKey> = texts.iter().filter_map(read).collect();
    if keys.len() != texts.len() {
        tracing::error!("system.deploymentPublicKey is not a base64 Ed25519 key: flows signed with it are refused");
    }
    Trust::Signed(keys)
}

/// The text of a certificate file named as a path or a `file:` URL.
fn root_of(name: &str) -> Option<String> {
    let path = name.strip_prefix("file://").or_else(|| name.strip_prefix("file:")).unwrap_or(name);
    match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) => {
            tracing::warn!(path, %error, "the control plane's root cannot be read");
            None
        }
    }
}

/// What a certificate can name.
fn is_host(name: &str) -> bool {
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    is_name || name.parse::<IpAddr>().is_ok()
}

/// Names and addresses that devices on the network find this core by.
fn hosts() -> Vec<String> {
    let mut hosts = Vec::new();
    if let Ok(name) = rustix::system::uname().nodename().to_str()
        && is_host(name)
    {
        hosts.push(name.to_owned());
    }
    hosts.extend(announce::outward(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).map(|address| address.to_string()));
    hosts
}
