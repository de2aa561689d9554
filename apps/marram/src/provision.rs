//! What a core needs in the control plane: thing, certificate, policies, role alias, role (CR 5.5).
//!
//! The same calls a user would make, in an administrator's name, each authorized and audited. Policies name the core's own
//! resources and no others: the original grants `*` here, on purpose we do not.

use anyhow::Context;
use marram_aws_api::ServiceId::Iot;
use serde_json::{Value, json};

use crate::core_policy::{self, POLICY, Standing};
use crate::core_role;
use crate::demo::Caller;

/// Name of the alias of the role that cores and their components act with.
pub const ROLE_ALIAS: &str = "MarramCoreTokenExchangeAlias";

/// What comes back to the core.
#[derive(Debug, Clone)]
pub struct Provisioned {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// Its ARN.
    pub certificate_arn: String,
    /// What whoever provisions is told: policies that are not as this program writes them.
    pub notes: Vec<&'static str>,
}

/// Makes what is missing for `thing` and certifies the key of `request_pem`. Doing it again gives a further certificate.
///
/// # Errors
/// What a service answered.
pub async fn core(caller: &Caller, thing: &str, request_pem: &str) -> anyhow::Result<Provisioned> {
    caller.ensure(Iot, "CreateThing", json!({ "thingName": thing })).await?;
    let (role, role_standing) = core_role::ensure(caller).await?;
    let alias = json!({ "roleAlias": ROLE_ALIAS, "roleArn": role, "credentialDurationSeconds": 3600 });
    caller.ensure(Iot, "CreateRoleAlias", alias).await?;
    let document = core_policy::document(caller.region(), caller.account()).to_string();
    caller.ensure(Iot, "CreatePolicy", json!({ "policyName": POLICY, "policyDocument": document })).await?;
    let standing = core_policy::keep_current(caller).await?;
    let input = json!({ "certificateSigningRequest": request_pem, "setAsActive": true });
    let made = caller.must(Iot, "CreateCertificateFromCsr", input).await?;
    let text = |name: &str| {
        made[name]
            .as_str()
            .map(str::to_owned)
            .with_context(|| format!("CreateCertificateFromCsr answered without {name}"))
    };
    let provisioned = Provisioned {
        certificate_pem: text("certificatePem")?,
        certificate_arn: text("certificateArn")?,
        notes: [(standing, core_policy::ALTERED), (role_standing, core_role::ALTERED)]
            .into_iter()
            .filter_map(|(standing, note)| (standing == Standing::Altered).then_some(note))
            .collect(),
    };
    let arn = &provisioned.certificate_arn;
    caller.must(Iot, "AttachPolicy", json!({ "policyName": POLICY, "target": arn })).await?;
    caller.must(Iot, "AttachThingPrincipal", json!({ "thingName": thing, "principal": arn })).await?;
    Ok(provisioned)
}

/// Where a core finds the control plane.
#[derive(Debug, Clone)]
pub struct CoreEndpoints {
    /// Region.
    pub region: String,
    /// Host of all listeners.
    pub host: String,
    /// MQTT port.
    pub mqtt_port: u16,
    /// Device HTTPS port: data plane and credentials.
    pub device_port: u16,
    /// API port: artifacts, secrets, logs with the core's role.
    pub api_port: u16,
    /// Public key that deployment documents are signed for, base64 (SEC-154).
    pub deployment_key: String,
}

/// The core's first configuration, YAML, in the form the original reads too (CR 5.5). `folder` holds the three files.
pub fn first_configuration(thing: &str, folder: &str, endpoints: &CoreEndpoints) -> String {
    let CoreEndpoints { region, host, mqtt_port, device_port, api_port, deployment_key } = endpoints;
    let api = Value::String(format!("https://{host}:{api_port}")).to_string();
    let quoted = |text: &str| Value::String(text.to_owned()).to_string();
    let (certificate, key, root) = (
        quoted(&format!("{folder}/device.pem.crt")),
        quoted(&format!("{folder}/private.pem.key")),
        quoted(&format!("{folder}/rootCA.pem")),
    );
    let (thing, region, host, credentials) =
        (quoted(thing), quoted(region), quoted(host), quoted(&format!("{host}:{device_port}")));
    let deployment_key = quoted(deployment_key);
    format!(
        "system:\n  certificateFilePath: {certificate}\n  privateKeyPath: {key}\n  rootCaPath: {root}\n  thingName: {thing}\n  \
         deploymentPublicKey: {deployment_key}\n\
         services:\n  aws.greengrass.Nucleus:\n    componentType: NUCLEUS\n    configuration:\n      awsRegion: {region}\n      \
         iotRoleAlias: {ROLE_ALIAS}\n      iotDataEndpoint: {host}\n      iotCredEndpoint: {credentials}\n      \
         greengrassDataPlaneEndpoint: {host}\n      greengrassDataPlanePort: {device_port}\n      mqtt:\n        port: {mqtt_port}\n      \
         marram:\n        apiEndpoint: {api}\n"
    )
}
