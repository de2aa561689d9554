//! What a core asks about the devices that knock at its broker (control-plane-api 6.2, 6.4; core-components 2.5.4).
//!
//! The answers are about devices associated with one of the caller's own things; of any other device a core learns nothing.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_pki::{Certificate, pem};
use marram_registry::{Realm, active_certificate_things};
use marram_store::{Snapshot, params};
use serde_json::{Value, json};

use crate::{Greengrass, fault, place};

/// Whether the device is associated with one of the things the caller is. Callers that are no devices have no cores.
fn is_associated(snapshot: &Snapshot<'_>, realm: &Realm, ctx: &CallContext, thing: &str) -> Result<bool, CallError> {
    for core in ctx.principal.device_things().unwrap_or_default() {
        let found = snapshot.query_opt(
            "SELECT 1 FROM gg_client_device WHERE account = $1 AND region = $2 AND core = $3 AND thing = $4",
            params![realm.account, realm.region, core.as_str(), thing],
            |row| Ok::<_, CallError>(row.get::<i64>(0)?),
        )?;
        if found.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The id of a certificate in PEM.
fn certificate_id(text: &str) -> Option<String> {
    let der = pem::certificate(text).ok()?;
    Some(Certificate::from_der(&der).ok()?.id().to_string())
}

/// `VerifyClientDeviceIdentity`: the certificate is registered, ACTIVE, and that of a device of this core.
pub(crate) async fn verify_identity(_: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = place::realm(ctx);
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| {})?);
    let id = input["clientDeviceCertificate"].as_str().and_then(certificate_id);
    let id = id.ok_or_else(|| fault::field("clientDeviceCertificate", "A certificate in PEM is required."))?;
    let is_known = ctx.read(|snapshot| {
        for thing in active_certificate_things(snapshot, &realm, &id)? {
            if is_associated(snapshot, &realm, ctx, &thing)? {
                return Ok(true);
            }
        }
        Ok::<_, CallError>(false)
    })?;
    if is_known { Ok(json!({ "clientDeviceCertificateId": id })) } else { Err(fault::not_found("certificate", &id)) }
}

/// `VerifyClientDeviceIoTCertificateAssociation`: the certificate is ACTIVE and attached to the device of this core.
pub(crate) async fn verify_association(_: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = place::realm(ctx);
    let thing = input["clientDeviceThingName"].as_str().unwrap_or_default();
    let id = input["clientDeviceCertificateId"].as_str().unwrap_or_default().to_ascii_lowercase();
    drop(ctx.authorize(ctx.operation.iam_action, &realm.arn(format_args!("thing/{thing}")), |_| {})?);
    let is_known = ctx.read(|snapshot| {
        let things = active_certificate_things(snapshot, &realm, &id)?;
        Ok::<_, CallError>(
            things.iter().any(|attached| attached == thing) && is_associated(snapshot, &realm, ctx, thing)?,
        )
    })?;
    if is_known { Ok(json!({})) } else { Err(fault::not_found("clientDevice", thing)) }
}
