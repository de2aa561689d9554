//! Deployments of this core: the deployer over the running parts, its reports, its wish to restart.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use marram_deployer::{Deployer, FileDisk, News, OutcomeSource, Pace, Ports, Program, Reserve, Restart, Settings};
use marram_edge_ports::{CloudMessages, DeploymentReport, DeploymentReports, DeploymentSource, Nucleus};
use marram_nucleus::NucleusHandle;
use marram_recipe::Attributes;
use marram_types::SharedClock;
use tokio::sync::{broadcast, watch};

use crate::cloud::{Cloud, architecture};

/// Starts the deployer; `restart` is told when a deployment wants the program to end and be started again.
///
/// # Errors
/// Folders of the root cannot be made.
// Kept out of its caller: one frame with the futures of everything that starts would stay in memory for good.
#[inline(never)]
pub(crate) fn start(
    root: &Path,
    nucleus: &NucleusHandle,
    cloud: &Cloud,
    reserve: &Reserve,
    clock: SharedClock,
    restart: watch::Sender<Option<Restart>>,
    program: Option<Arc<dyn Program>>,
) -> anyhow::Result<Deployer> {
    let thing = nucleus.get(&["system", "thingName"]).and_then(|name| name.as_str().map(str::to_owned));
    let settings = Settings {
        root: root.to_owned(),
        thing_name: thing.unwrap_or_default(),
        platform: platform(),
        pace: Pace::default(),
    };
    let ports = Ports {
        nucleus: Arc::new(nucleus.clone()),
        data_plane: Arc::clone(&cloud.data_plane) as Arc<_>,
        messages: Arc::new(cloud.uplink.clone()) as Arc<dyn CloudMessages>,
        disk: Arc::new(FileDisk),
        room: Arc::new(reserve.clone()),
        clock: Arc::new(move || clock.now().as_millis()),
        restart: Arc::new(move |wish| {
            restart.send_replace(Some(wish));
        }),
        program,
        endpoints: Some(Arc::clone(&cloud.planes) as Arc<_>),
        token: Some(Arc::new(cloud.planes.token())),
    };
    let deployer = Deployer::open(settings, ports).context("cannot open the deployments")?;
    tokio::spawn(tell(deployer.news(), cloud.status.clone()));
    let working = deployer.clone();
    tokio::spawn(async move { working.run().await });
    Ok(deployer)
}

/// Beginnings and ends of deployments go into the fleet status.
async fn tell(mut news: broadcast::Receiver<News>, status: impl DeploymentReports) {
    loop {
        match news.recv().await {
            Ok(News::Began) => status.deployment_started(),
            Ok(News::WentBack) => status.control_plane_went_back(),
            Ok(News::Ended(outcome)) => status.deployment_ended(DeploymentReport {
                source: match outcome.source {
                    OutcomeSource::Local => DeploymentSource::Local,
                    OutcomeSource::Thing => DeploymentSource::Thing,
                    OutcomeSource::ThingGroup => DeploymentSource::ThingGroup,
                },
                record: outcome.record,
                configuration_arn: Some(outcome.configuration_arn).filter(|arn| !arn.is_empty()),
                unchanged_roots: outcome.unchanged_roots,
                removed: outcome.removed,
            }),
            Err(broadcast::error::RecvError::Lagged(lost)) => {
                tracing::warn!(lost, "news of deployments were not reported")
            }
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// What recipes may ask of this device (CR 1.5).
fn platform() -> Attributes {
    let mut attributes = Attributes::new();
    let mut set = |name: &str, value: &str| attributes.insert(name.to_owned(), value.to_owned());
    set("os", "linux");
    set("architecture", architecture());
    set("runtime", "marram");
    let machine = rustix::system::uname().machine().to_string_lossy().into_owned();
    if ["armv6l", "armv7l", "armv8l", "armv6b", "armv7b", "armv8b"].contains(&machine.as_str()) {
        set("architecture.detail", &machine);
    }
    attributes
}
