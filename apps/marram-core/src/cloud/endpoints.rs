//! Another control plane: tried, waited for, and the old one told (core-runtime 4.10, endpoint switch).

use std::sync::Arc;
use std::time::Duration;

use marram_deployer::{EndpointError, Endpoints};
use marram_edge_ports::{CloudPublish, Credentials, DataPlane, DataPlaneError, Later};
use marram_nucleus::NucleusHandle;
use marram_token_exchange::Upstream;
use marram_types::SharedClock;
use marram_uplink::{Greengrass, LineSettings, standalone};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Settings;
use crate::token::DeviceIdentity;
use crate::token::trial::TokenTrial;

/// `mqtt.standaloneMqttTimeoutMs`.
const STANDALONE: Duration = Duration::from_secs(60);

/// Control planes as the deployer asks for them.
pub(crate) struct Planes {
    pub(super) nucleus: NucleusHandle,
    pub(super) identity: DeviceIdentity,
    pub(super) clock: SharedClock,
    /// Settings that the line has taken up.
    pub(super) taken: watch::Receiver<Value>,
    pub(super) connection: watch::Receiver<bool>,
}

impl Planes {
    /// The token of the identity that they are shown.
    pub(crate) fn token(&self) -> TokenTrial {
        TokenTrial { nucleus: self.nucleus.clone(), identity: self.identity.clone() }
    }

    fn settings(&self, configuration: Option<Value>) -> Settings {
        Settings::new(&self.nucleus, &self.identity, configuration)
    }

    fn endpoints(&self, configuration: Value) -> Result<(super::Endpoints, Duration), EndpointError> {
        let settings = self.settings(Some(configuration));
        let limit = settings.millis(&["mqtt", "standaloneMqttTimeoutMs"], STANDALONE);
        let settings_error = |why: String| EndpointError::Settings(why);
        let all = settings.endpoints().map_err(|error| settings_error(format!("{error:#}")))?;
        all.map(|all| (all, limit)).ok_or_else(|| settings_error("the settings name no control plane".to_owned()))
    }
}

async fn connect(line: &LineSettings, message: Option<&CloudPublish>, limit: Duration) -> Result<(), EndpointError> {
    let host = format!("{}:{}", line.host, line.port);
    standalone(line, message, limit).await.map_err(|error| EndpointError::Messages(format!("{host}: {error}")))
}

impl Endpoints for Planes {
    fn attempt(&self, configuration: Value) -> Later<'_, (), EndpointError> {
        Box::pin(async move {
            let (all, limit) = self.endpoints(configuration)?;
            connect(&all.line, None, limit).await?;
            let endpoint = all.credentials.endpoint.clone();
            let has_role = !all.credentials.role_alias.is_empty();
            let upstream: Arc<Upstream> = Upstream::new(Some(all.credentials), self.clock.clone());
            if has_role {
                let failed = |why: String| EndpointError::Credentials(format!("{endpoint}: {why}"));
                let asked = timeout(limit, upstream.credentials(None)).await;
                asked
                    .map_err(|_| failed("no answer in time".to_owned()))?
                    .map_err(|error| failed(error.to_string()))?;
            }
            // Without the data plane no further deployment could be prepared, not even the one that sets it right.
            let place = format!("{}:{}", all.data_plane.host, all.data_plane.port);
            let failed = |why: &str| EndpointError::DataPlane(format!("{place}: {why}"));
            let data_plane = Greengrass::new(Some(all.data_plane), upstream, self.clock.clone());
            match timeout(limit, data_plane.thing_groups()).await {
                Err(_) => Err(failed("no answer in time")),
                Ok(Err(error @ (DataPlaneError::Unreachable(_) | DataPlaneError::Malformed(_)))) => {
                    Err(failed(&error.to_string()))
                }
                Ok(_) => Ok(()),
            }
        })
    }

    fn settle(&self, limit: Duration) -> Later<'_, (), EndpointError> {
        Box::pin(async move {
            let (mut taken, mut connection) = (self.taken.clone(), self.connection.clone());
            let settings = self.settings(None);
            let whole = async {
                let wanted = settings.fingerprint();
                taken.wait_for(|now| *now == wanted).await.is_ok() && connection.wait_for(|up| *up).await.is_ok()
            };
            match timeout(limit, whole).await {
                Ok(true) => Ok(()),
                Ok(false) => Err(EndpointError::Messages("the core is shutting down".to_owned())),
                Err(_) => Err(EndpointError::Messages(format!("no line within {} s", limit.as_secs()))),
            }
        })
    }

    fn tell(&self, configuration: Value, message: CloudPublish) -> Later<'_, (), EndpointError> {
        Box::pin(async move {
            let (all, limit) = self.endpoints(configuration)?;
            connect(&all.line, Some(&message), limit).await
        })
    }
}
