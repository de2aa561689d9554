//! What is around a core: client devices, the local broker, flows.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use marram_broker::Tenant;
use marram_client_devices::{Devices, DevicesOptions, LocalBroker, LocalBrokerOptions, TENANT};
use marram_edge_flows::{EdgeFlows, EdgeFlowsOptions, EdgePorts};
use marram_edge_ports::{CloudMessages, Configuration, Credentials, Nucleus};
use marram_nucleus::NucleusHandle;
use marram_types::SharedClock;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::cloud::Cloud;

/// Component with device groups and trust.
const AUTH: &str = "aws.greengrass.clientdevices.Auth";
/// Components that ask for the local broker, and where their configuration keeps the port.
const BROKERS: [(&str, &str); 2] = [
    ("aws.greengrass.clientdevices.mqtt.Moquette", "/moquette/ssl_port"),
    ("aws.greengrass.clientdevices.mqtt.EMQX", "/emqx/listener/ssl/external"),
];
/// Port of the local broker.
const PORT: u16 = 8883;
/// How often configuration and addresses are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// The running parts.
pub(crate) struct Field {
    /// For the IPC door.
    pub(crate) devices: Devices,
    flows: EdgeFlows,
    keeper: JoinHandle<()>,
}

impl Field {
    /// Starts devices, broker and flows. The listener opens when a broker component is deployed or flows bind things.
    ///
    /// # Errors
    /// The core's certificate authority cannot be opened.
    pub(crate) fn start(
        root: &Path,
        nucleus: &NucleusHandle,
        cloud: &Cloud,
        clock: SharedClock,
    ) -> anyhow::Result<Self> {
        let thing = nucleus.get(&["system", "thingName"]).and_then(|name| name.as_str().map(str::to_owned));
        let devices = Devices::open(DevicesOptions {
            dir: root.join("work").join(AUTH),
            clock,
            cloud: None,
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
        let options =
            EdgeFlowsOptions::new(root.join("work").join(marram_edge_flows::COMPONENT), &thing.unwrap_or_default());
        let flows = EdgeFlows::start(options, ports, &marram_obs::Metrics::new());
        let keeper = Keeper { nucleus: nucleus.clone(), devices: devices.clone(), flows: flows.clone(), broker };
        Ok(Self { devices, flows, keeper: tokio::spawn(keeper.run()) })
    }

    /// Stops flows where they stand and closes the listener.
    pub(crate) async fn close(self) {
        self.flows.stop().await;
        self.keeper.abort();
    }
}

/// Takes up what changes: device groups, topics of flows, addresses, the wish for a listener.
struct Keeper {
    nucleus: NucleusHandle,
    devices: Devices,
    flows: EdgeFlows,
    broker: marram_broker::Broker,
}

impl Keeper {
    async fn run(self) {
        let (mut topics, mut bound) = (self.flows.topics(), self.flows.devices());
        let mut groups = None;
        let mut listening: Option<(SocketAddr, LocalBroker)> = None;
        let mut complaint = String::new();
        loop {
            self.devices.set_hosts(hosts());
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
                }
                if let Some(listen) = wished {
                    let options = LocalBrokerOptions { listen };
                    match LocalBroker::listen(self.broker.clone(), self.devices.clone(), &options).await {
                        Ok(broker) => {
                            tracing::info!(address = %broker.address(), "the local broker listens");
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
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Where the broker should listen, if it should.
    fn wished(&self, has_flows: bool) -> Option<SocketAddr> {
        let number = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok()).map(|port| port as u16);
        for (component, pointer) in BROKERS {
            if let Ok(configuration) = Configuration::read(&self.nucleus, component, &[]) {
                let port = configuration.pointer(pointer).and_then(number).unwrap_or(PORT);
                return Some(SocketAddr::from(([0, 0, 0, 0], port)));
            }
        }
        let own = Configuration::read(&self.nucleus, marram_edge_flows::COMPONENT, &[]).ok();
        let port = own.as_ref().and_then(|own| own.pointer("/broker/port")).and_then(number).unwrap_or(PORT);
        has_flows.then(|| SocketAddr::from(([0, 0, 0, 0], port)))
    }
}

/// Names and addresses that devices on the network find this core by.
fn hosts() -> Vec<String> {
    let mut hosts = Vec::new();
    if let Ok(name) = rustix::system::uname().nodename().to_str()
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
    {
        hosts.push(name.to_owned());
    }
    // Choosing a route sends nothing: a documentation address stands for the rest of the world.
    let route = UdpSocket::bind(("0.0.0.0", 0)).and_then(|socket| {
        socket.connect((IpAddr::from([192, 0, 2, 1]), 9))?;
        socket.local_addr()
    });
    if let Ok(address) = route
        && !address.ip().is_unspecified()
    {
        hosts.push(address.ip().to_string());
    }
    hosts
}
