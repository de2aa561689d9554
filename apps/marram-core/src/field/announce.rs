//! What the control plane is told of the local broker, and what it tells: the core's authority, where devices find it, under
//! which names (CC 2.3, 2.4, 2.5.6).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use marram_client_devices::{DeviceCloud, Devices};
use marram_edge_ports::{CloudMessages, CloudPublish, CloudSubscription, Configuration, CoreEndpoint, DataPlaneError};
use marram_nucleus::NucleusHandle;
use serde_json::{Value, json};
use tokio::sync::watch;

/// The component that tells addresses.
const DETECTOR: &str = "aws.greengrass.clientdevices.IPDetector";
/// In whose name messages go.
const OWNER: &str = "aws.greengrass.clientdevices.Auth";
/// How often addresses are looked at (CC 2.4).
const LOOK: Duration = Duration::from_secs(60);
/// Pause after the control plane refused, at first and at most (CC 2.5.6).
const RETRY: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(300));

/// Keeps both sides equal while the broker listens and there is a line.
pub(super) struct Announcer {
    pub(super) thing: String,
    pub(super) nucleus: NucleusHandle,
    pub(super) devices: Devices,
    pub(super) cloud: Arc<dyn DeviceCloud>,
    pub(super) messages: Arc<dyn CloudMessages>,
    /// Where the broker listens.
    pub(super) listening: watch::Receiver<Option<SocketAddr>>,
    /// Hosts that somebody named in the control plane.
    pub(super) named: watch::Sender<Vec<String>>,
}

/// What the control plane has taken.
#[derive(Default)]
struct Told {
    authority: Option<String>,
    endpoints: Option<Vec<CoreEndpoint>>,
    /// The list it holds has been read since it last changed.
    is_read: bool,
}

impl Announcer {
    pub(super) async fn run(mut self) {
        let mut connection = self.messages.connection();
        let mut told = Told::default();
        let mut changes: Option<CloudSubscription> = None;
        let mut pause = RETRY.0;
        loop {
            let listens = self.listening.wait_for(Option::is_some).await.ok().and_then(|listens| *listens);
            let Some(address) = listens else { return };
            if !is(&mut connection, true).await {
                return;
            }
            if changes.is_none() {
                changes = self.messages.subscribe(OWNER, &self.shadow("update/delta"), 1).await.ok();
            }
            let next = match self.tell(&mut told, address).await {
                Ok(()) => {
                    pause = RETRY.0;
                    LOOK
                }
                Err(error) => {
                    tracing::info!(%error, "what concerns client devices is not with the control plane yet");
                    let now = pause;
                    pause = (pause * 2).min(RETRY.1);
                    now
                }
            };
            tokio::select! {
                version = changed(&mut changes) => match version {
                    Some(version) => {
                        told.is_read = false;
                        self.report(version).await;
                    }
                    None => changes = None,
                },
                // A line that was away may have missed a change.
                _ = is(&mut connection, false) => told.is_read = false,
                _ = self.listening.changed() => {}
                () = tokio::time::sleep(next) => {}
            }
        }
    }

    async fn tell(&self, told: &mut Told, address: SocketAddr) -> Result<(), DataPlaneError> {
        let authority = self.devices.authority_pem();
        if told.authority.as_ref() != Some(&authority) {
            self.cloud.put_authorities(vec![authority.clone()]).await?;
            told.authority = Some(authority);
        }
        if let Ok(configuration) = Configuration::read(&self.nucleus, DETECTOR, &[]) {
            let found = endpoints(&configuration, address);
            if !found.is_empty() && told.endpoints.as_ref() != Some(&found) {
                self.cloud.put_endpoints(found.clone()).await?;
                told.endpoints = Some(found);
            }
        }
        if !told.is_read {
            let known = self.cloud.endpoints().await?;
            self.named.send_replace(known.into_iter().map(|endpoint| endpoint.host).collect());
            told.is_read = true;
        }
        Ok(())
    }

    fn shadow(&self, rest: &str) -> String {
        format!("$aws/things/{}-gci/shadow/{rest}", self.thing)
    }

    /// The list of that version is taken up: for whoever looks at the shadow, nothing depends on it.
    async fn report(&self, version: Value) {
        let payload = json!({ "state": { "reported": { "version": version } } }).to_string();
        let message = CloudPublish { topic: self.shadow("update"), payload: payload.into(), ..CloudPublish::default() };
        if let Err(error) = self.messages.publish(OWNER, message).await {
            tracing::debug!(%error, "the shadow of the addresses is not told");
        }
    }
}

/// Waits until the line is up, or down; false: there is none any more.
async fn is(connection: &mut watch::Receiver<bool>, up: bool) -> bool {
    connection.wait_for(|now| *now == up).await.is_ok()
}

/// The version of the next change; `None`: the subscription ended. Never without one.
async fn changed(changes: &mut Option<CloudSubscription>) -> Option<Value> {
    let Some(changes) = changes else { return std::future::pending().await };
    let message = changes.messages.recv().await?;
    let delta: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
    Some(delta["state"]["version"].clone())
}

/// The addresses of this core as the detector's configuration wants them: those of the routes to the rest of the world. A
/// broker that listens at one address has that one.
fn endpoints(configuration: &Value, listening: SocketAddr) -> Vec<CoreEndpoint> {
    let wants = |key: &str, default: bool| match &configuration[key] {
        Value::Bool(wanted) => *wanted,
        Value::String(text) => text.eq_ignore_ascii_case("true"),
        _ => default,
    };
    let mut addresses = Vec::new();
    if listening.ip().is_unspecified() {
        if wants("includeIPv4Addrs", true) {
            addresses.extend(outward(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).into_iter().filter(|address| match address {
                IpAddr::V4(address) => !address.is_link_local() || wants("includeIPv4LinkLocalAddrs", false),
                IpAddr::V6(_) => false,
            }));
        }
        if wants("includeIPv4LoopbackAddrs", false) {
            addresses.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        if wants("includeIPv6Addrs", false) && listening.is_ipv6() {
            addresses.extend(outward(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
            if wants("includeIPv6LoopbackAddrs", false) {
                addresses.push(IpAddr::V6(Ipv6Addr::LOCALHOST));
            }
        }
    } else {
        addresses.push(listening.ip());
    }
    let endpoint = |address: IpAddr| CoreEndpoint {
        id: address.to_string(),
        host: address.to_string(),
        port: listening.port(),
        metadata: String::new(),
    };
    addresses.into_iter().map(endpoint).collect()
}

/// The address this machine would speak to the rest of the world from. Choosing a route sends nothing: a documentation
/// address stands for the world.
pub(super) fn outward(family: IpAddr) -> Option<IpAddr> {
    let world = match family {
        IpAddr::V4(_) => IpAddr::from([192, 0, 2, 1]),
        IpAddr::V6(_) => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]),
    };
    let socket = UdpSocket::bind((family, 0)).ok()?;
    socket.connect((world, 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|address| !address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CC 2.4: a broker that listens everywhere is told by the addresses that are wished for, one that does not by its own.
    #[test]
    fn addresses_follow_listener_and_configuration() {
        let hosts = |configuration: Value, listening: &str| {
            let found = endpoints(&configuration, listening.parse().unwrap());
            assert!(found.iter().all(|endpoint| endpoint.port == 8884 && endpoint.id == endpoint.host));
            found.into_iter().map(|endpoint| endpoint.host).collect::<Vec<_>>()
        };
        assert_eq!(hosts(json!({}), "192.0.2.7:8884"), ["192.0.2.7"]);
        assert!(!hosts(json!({}), "0.0.0.0:8884").contains(&"127.0.0.1".to_owned()));
        let loopback = json!({"includeIPv4LoopbackAddrs": "true", "includeIPv4Addrs": false});
        assert_eq!(hosts(loopback, "0.0.0.0:8884"), ["127.0.0.1"]);
    }
}
