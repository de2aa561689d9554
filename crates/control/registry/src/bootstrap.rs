//! A device in one go: thing, keys, certificate, policy and attachments, for `marram thing` and the demo.
//!
//! Each step is an ordinary call of the service with its own permission and audit record, in the name of whoever asks.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use marram_aws_api::{ApiError, ServiceId};
use marram_identity::{CallFacts, Identity, Principal, Service, TlsDetails};
use marram_types::{PolicyName, Region, RequestId, SecretString, ThingName};
use serde_json::{Value, json};

use crate::realm::Realm;
use crate::service::Registry;

/// What is to be made.
#[derive(Debug, Clone)]
pub struct NewDevice {
    /// The thing; one that exists with the same attributes is taken.
    pub thing: ThingName,
    /// Its attributes, at most three.
    pub attributes: BTreeMap<String, String>,
    /// The policy; one that exists is attached as it is.
    pub policy: PolicyName,
    /// Its document when it does not exist yet; see [`minimal_device_policy`].
    pub policy_document: String,
}

/// What was made.
#[derive(Debug)]
pub struct ProvisionedDevice {
    /// ARN of the thing.
    pub thing_arn: String,
    /// ARN of the certificate.
    pub certificate_arn: String,
    /// 64 hex digits.
    pub certificate_id: String,
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// The private key, PEM. It stands here and nowhere else.
    pub private_key_pem: SecretString,
}

/// A policy for any device of a realm: connect as the attached thing, publish and receive below the thing's own name.
pub fn minimal_device_policy(realm: &Realm) -> String {
    const THING: &str = "${iot:Connection.Thing.ThingName}";
    let own = |kind: &str| realm.arn(format_args!("{kind}/{THING}/*"));
    let attached = json!({"Bool": {"iot:Connection.Thing.IsAttached": "true"}});
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "iot:Connect", "Resource": realm.arn(format_args!("client/{THING}")),
             "Condition": attached},
            {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": own("topic")},
            {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": own("topicfilter")},
        ],
    })
    .to_string()
}

/// Makes a device in the name of `principal`.
///
/// # Errors
/// The first refusal; what was made before stays, and asking again takes it up, but for the certificate.
pub async fn provision_device(
    registry: &Registry,
    identity: &Identity,
    principal: &Principal,
    region: &Region,
    device: &NewDevice,
) -> Result<ProvisionedDevice, ApiError> {
    let call = async |name: &'static str, input: Value| {
        let operation = ServiceId::Iot.operation(name).ok_or_else(ApiError::unknown_operation)?;
        let facts = CallFacts {
            region: region.clone(),
            request_id: RequestId::fresh(),
            source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            user_agent: "marram".to_owned(),
            now: identity.now(),
            operation,
            request_parameters: input.clone(),
            tls: TlsDetails::default(),
        };
        let ctx = identity.context(principal.clone(), facts);
        let answer = registry.call(&ctx, operation, input).await;
        ctx.finish(&answer);
        answer
    };
    let text = |answer: &Value, member: &str| answer[member].as_str().unwrap_or_default().to_owned();
    let (thing, policy) = (device.thing.as_str(), device.policy.as_str());
    let attributes = json!({"attributes": device.attributes});
    let made = call("CreateThing", json!({"thingName": thing, "attributePayload": attributes})).await?;
    match call("CreatePolicy", json!({"policyName": policy, "policyDocument": device.policy_document})).await {
        Err(error) if error.code != "ResourceAlreadyExistsException" => return Err(error),
        _ => {}
    }
    let keys = call("CreateKeysAndCertificate", json!({"setAsActive": true})).await?;
    let certificate_arn = text(&keys, "certificateArn");
    call("AttachPolicy", json!({"policyName": policy, "target": certificate_arn})).await?;
    call("AttachThingPrincipal", json!({"thingName": thing, "principal": certificate_arn})).await?;
    Ok(ProvisionedDevice {
        thing_arn: text(&made, "thingArn"),
        certificate_id: text(&keys, "certificateId"),
        certificate_pem: text(&keys, "certificatePem"),
        private_key_pem: SecretString::new(text(&keys["keyPair"], "PrivateKey")),
        certificate_arn,
    })
}
