//! `CreateKeysAndCertificate` and `CreateCertificateFromCsr`: certificates of our own CA.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, Grant};
use marram_pki::{Certificate, DeviceKeyPair, PublicKey, SigningRequest, Validity, pem};
use serde_json::{Value, json};

use super::{ACTIVE, INACTIVE, MODE_DEFAULT, NewCertificate, insert};
use crate::input::Input;
use crate::realm::Realm;
use crate::service::Registry;

/// Makes an RSA-2048 pair and its certificate. The private key stands in this answer and nowhere else (SEC-28).
pub(crate) async fn create_keys_and_certificate(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    let grant = ctx.authorize(ctx.operation.iam_action, "*", |_| ())?;
    // Up to hundreds of milliseconds of CPU: not on an async thread.
    let pair = tokio::task::spawn_blocking(DeviceKeyPair::generate)
        .await
        .map_err(|_| ApiError::internal())?
        .map_err(|_| ApiError::internal())?;
    let mut answer = issue(registry, ctx, grant, pair.public_key(), input.flag("setAsActive")).await?;
    // Added after the commit, so that no audit record can hold it.
    answer["keyPair"] = json!({"PublicKey": pair.public_pem(), "PrivateKey": pair.private_pem()});
    Ok(answer)
}

/// Certifies the key of a signing request; its subject and extensions are not taken over.
pub(crate) async fn create_certificate_from_csr(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    let grant = ctx.authorize(ctx.operation.iam_action, "*", |_| ())?;
    let request = SigningRequest::from_pem(input.required("certificateSigningRequest")?)
        .map_err(|error| ApiError::invalid_request(format!("The certificate signing request is refused: {error}")))?;
    issue(registry, ctx, grant, request.public_key(), input.flag("setAsActive")).await
}

async fn issue(
    registry: &Registry,
    ctx: &CallContext,
    grant: Grant,
    key: &PublicKey,
    active: bool,
) -> Result<Value, ApiError> {
    let options = registry.options();
    let validity = Validity::starting(ctx.now.as_secs(), options.device_certificate_secs);
    let certificate: Certificate = options.authority.issue_device(key, validity).map_err(|error| {
        tracing::error!(%error, "device certificate not issued");
        ApiError::internal()
    })?;
    let (realm, now) = (Realm::of(ctx), ctx.now);
    ctx.commit(grant, move |tx| {
        let status = if active { ACTIVE } else { INACTIVE };
        let new =
            NewCertificate { realm: &realm, certificate: &certificate, status, mode: MODE_DEFAULT, ca_id: None, now };
        insert(tx, &new)?;
        let id = certificate.id().to_string();
        Ok(json!({
            "certificateArn": realm.certificate_arn(&id),
            "certificateId": id,
            "certificatePem": pem::encode_certificate(certificate.der()),
        }))
    })
    .await
}
