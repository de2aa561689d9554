//! The calls of the data plane that are about client devices (CC 2.3, 2.5.4 to 2.5.6; CP 6.2).

use marram_edge_ports::{CoreEndpoint, DataPlaneError, DeviceCloud, Later};
use marram_http::Method;
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Greengrass, Ready, SEGMENT, malformed};

#[derive(Deserialize)]
struct Connectivity {
    #[serde(rename = "ConnectivityInfo", default)]
    places: Vec<Place>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Place {
    #[serde(default)]
    id: String,
    host_address: String,
    #[serde(default = "Place::default_port")]
    port_number: u16,
    #[serde(default)]
    metadata: String,
}

impl Place {
    fn default_port() -> u16 {
        8883
    }
}

fn connectivity(ready: &Ready) -> String {
    format!("/greengrass/things/{}/connectivityInfo", utf8_percent_encode(&ready.settings.thing, SEGMENT))
}

/// What is not valid or not there is a no; everything else could not be found out.
fn verdict(answer: Result<Value, DataPlaneError>) -> Result<bool, DataPlaneError> {
    match answer {
        Ok(_) => Ok(true),
        Err(DataPlaneError::Answered { status: 400 | 404, .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

impl DeviceCloud for Greengrass {
    fn is_registered<'a>(&'a self, certificate_pem: &'a str) -> Later<'a, bool, DataPlaneError> {
        Box::pin(async move {
            let body = json!({ "clientDeviceCertificate": certificate_pem });
            let target = "/greengrass/v2/verifyClientDeviceIdentity";
            verdict(self.ready()?.ask(Method::POST, target, Some(body)).await)
        })
    }

    fn is_associated<'a>(&'a self, thing: &'a str, certificate_id: &'a str) -> Later<'a, bool, DataPlaneError> {
        Box::pin(async move {
            let body = json!({ "clientDeviceThingName": thing, "clientDeviceCertificateId": certificate_id });
            let target = "/greengrass/v2/verifyClientDeviceIoTCertificateAssociation";
            verdict(self.ready()?.ask(Method::POST, target, Some(body)).await)
        })
    }

    fn put_authorities(&self, certificates: Vec<String>) -> Later<'_, (), DataPlaneError> {
        Box::pin(async move {
            let ready = self.ready()?;
            let thing = utf8_percent_encode(&ready.settings.thing, SEGMENT);
            let target = format!("/greengrass/v2/coreDevices/{thing}/certificateAuthorities");
            let body = json!({ "coreDeviceCertificates": certificates });
            ready.ask(Method::PUT, &target, Some(body)).await.map(drop)
        })
    }

    fn endpoints(&self) -> Later<'_, Vec<CoreEndpoint>, DataPlaneError> {
        Box::pin(async move {
            let ready = self.ready()?;
            let answer = ready.ask(Method::GET, &connectivity(&ready), None).await?;
            let known: Connectivity = serde_json::from_value(answer).map_err(malformed)?;
            let endpoint = |place: Place| CoreEndpoint {
                id: place.id,
                host: place.host_address,
                port: place.port_number,
                metadata: place.metadata,
            };
            Ok(known.places.into_iter().map(endpoint).collect())
        })
    }

    fn put_endpoints(&self, endpoints: Vec<CoreEndpoint>) -> Later<'_, (), DataPlaneError> {
        Box::pin(async move {
            let ready = self.ready()?;
            let place = |endpoint: &CoreEndpoint| {
                json!({
                    "Id": endpoint.id,
                    "HostAddress": endpoint.host,
                    "PortNumber": endpoint.port,
                    "Metadata": endpoint.metadata,
                })
            };
            let body = json!({ "ConnectivityInfo": endpoints.iter().map(place).collect::<Vec<_>>() });
            ready.ask(Method::PUT, &connectivity(&ready), Some(body)).await.map(drop)
        })
    }
}
