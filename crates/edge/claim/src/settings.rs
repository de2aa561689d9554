//! Configuration of `aws.greengrass.FleetProvisioningByClaim` (CR 5.5).

use std::path::PathBuf;

use marram_uplink::Proxy;
use serde_json::{Map, Value};

/// The port of MQTT with a client certificate.
const MQTT_PORT: u16 = 8883;

/// What the component's configuration says.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimSettings {
    /// `rootPath`: where certificate, key and roots are put.
    pub root_path: PathBuf,
    /// `awsRegion`.
    pub region: String,
    /// `iotDataEndpoint`: a host.
    pub data_endpoint: String,
    /// `iotCredentialEndpoint`: a host.
    pub credential_endpoint: String,
    /// `iotRoleAlias`.
    pub role_alias: String,
    /// `provisioningTemplate`.
    pub template: String,
    /// `claimCertificatePath`.
    pub claim_certificate: PathBuf,
    /// `claimCertificatePrivateKeyPath`.
    pub claim_key: PathBuf,
    /// `rootCaPath`.
    pub root_ca: PathBuf,
    /// `templateParameters`; values are texts.
    pub parameters: Map<String, Value>,
    /// `deviceId`: the MQTT client id; none: a random one.
    pub device_id: Option<String>,
    /// `mqttPort`.
    pub mqtt_port: u16,
    /// `proxyUrl` with `proxyUserName` and `proxyPassword`: for this conversation alone, the core's own is `networkProxy`.
    pub proxy: Option<Proxy>,
    /// `csrPath` and `csrPrivateKeyPath`: an operator's own request and the place of its key, a file or a `pkcs11:` URI.
    pub request: Option<(PathBuf, PathBuf)>,
}

/// A member that is missing or cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// Required, or not a text.
    #[error("{0} is missing or not a text")]
    Member(&'static str),
    /// Out of range.
    #[error("mqttPort is not a port")]
    Port,
    /// One of two that belong together.
    #[error("csrPath and csrPrivateKeyPath belong together")]
    HalfRequest,
    /// A member of `templateParameters` is not a text.
    #[error("the template parameter `{0}` is not a text")]
    Parameter(String),
    /// No proxy can be meant by it.
    #[error("proxyUrl: {0}")]
    Proxy(String),
}

impl ClaimSettings {
    /// Reads the component's configuration.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn from_configuration(configuration: &Value) -> Result<Self, SettingsError> {
        let given = |member: &str| configuration.get(member).and_then(Value::as_str).filter(|text| !text.is_empty());
        let required = |member: &'static str| given(member).map(str::to_owned).ok_or(SettingsError::Member(member));
        let path = |member: &'static str| required(member).map(|text| PathBuf::from(plain(&text)));
        let proxy = given("proxyUrl").map(|url| Proxy::parse(url, given("proxyUserName"), given("proxyPassword"), ""));
        let proxy = proxy.transpose().map_err(SettingsError::Proxy)?;
        let mqtt_port = match configuration.get("mqttPort") {
            None | Some(Value::Null) => MQTT_PORT,
            Some(Value::String(text)) => text.parse().map_err(|_| SettingsError::Port)?,
            Some(number) => number.as_u64().and_then(|number| u16::try_from(number).ok()).ok_or(SettingsError::Port)?,
        };
        let parameters = match configuration.get("templateParameters") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(parameters)) => parameters.clone(),
            Some(_) => return Err(SettingsError::Member("templateParameters")),
        };
        if let Some((name, _)) = parameters.iter().find(|(_, value)| !value.is_string()) {
            return Err(SettingsError::Parameter(name.clone()));
        }
        let request = match (given("csrPath"), given("csrPrivateKeyPath")) {
            (None, None) => None,
            (Some(request), Some(key)) => Some((PathBuf::from(plain(request)), PathBuf::from(plain(key)))),
            _ => return Err(SettingsError::HalfRequest),
        };
        Ok(Self {
            root_path: path("rootPath")?,
            region: required("awsRegion")?,
            data_endpoint: required("iotDataEndpoint")?,
            credential_endpoint: required("iotCredentialEndpoint")?,
            role_alias: required("iotRoleAlias")?,
            template: required("provisioningTemplate")?,
            claim_certificate: path("claimCertificatePath")?,
            claim_key: path("claimCertificatePrivateKeyPath")?,
            root_ca: path("rootCaPath")?,
            parameters,
            device_id: given("deviceId").map(str::to_owned),
            mqtt_port,
            proxy,
            request,
        })
    }
}

/// Paths come plain or as `file:` URIs.
fn plain(path: &str) -> &str {
    path.strip_prefix("file://").or_else(|| path.strip_prefix("file:")).unwrap_or(path)
}
