//! `RegisterCertificate` and `RegisterCertificateWithoutCA`: certificates of other makers.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_pki::{Certificate, pem};
use serde_json::{Value, json};

use super::{
    ACTIVE, INACTIVE, MODE_DEFAULT, MODE_SNI_ONLY, NewCertificate, REGISTER_INACTIVE, REVOKED, insert,
    invalid_certificate, state_error,
};
use crate::ca::{self, CaRow};
use crate::input::Input;
use crate::realm::{Realm, shown};
use crate::service::Registry;

/// Registers a certificate of a CA that this account has registered and that is ACTIVE.
pub(crate) async fn register_certificate(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let grant = ctx.authorize(ctx.operation.iam_action, "*", |_| ())?;
    let certificate = read(&input, "certificatePem", ctx.now.as_secs())?;
    let named_ca = match input.text("caCertificatePem") {
        None => None,
        Some(text) => Some(parse(text)?.id().to_string()),
    };
    let status = wanted_status(&input)?;
    let (realm, now) = (Realm::of(ctx), ctx.now);
    ctx.commit(grant, move |tx| {
        let candidates = ca::with_subject(tx, &realm, certificate.issuer().der())?;
        let issuer = candidates
            .into_iter()
            .filter(|ca| named_ca.as_ref().is_none_or(|id| *id == ca.id))
            .find(|ca| issued_by(&certificate, ca))
            .ok_or_else(|| {
                ApiError::new(
                    "CertificateValidationException",
                    400,
                    "The CA that signed the certificate is not registered in this account",
                )
            })?;
        if issuer.status != ACTIVE {
            return Err(state_error(format!("CA certificate {} is not ACTIVE", issuer.id)).into());
        }
        let new = NewCertificate {
            realm: &realm,
            certificate: &certificate,
            status,
            mode: MODE_DEFAULT,
            ca_id: Some(&issuer.id),
            now,
        };
        insert(tx, &new)?;
        Ok::<_, CallError>(answer(&realm, &certificate))
    })
    .await
}

/// Registers any valid certificate, whoever signed it.
pub(crate) async fn register_certificate_without_ca(
    _: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    let grant = ctx.authorize(ctx.operation.iam_action, "*", |_| ())?;
    let certificate = read(&input, "certificatePem", ctx.now.as_secs())?;
    let status = wanted_status(&input)?;
    let (realm, now) = (Realm::of(ctx), ctx.now);
    ctx.commit(grant, move |tx| {
        let new =
            NewCertificate { realm: &realm, certificate: &certificate, status, mode: MODE_SNI_ONLY, ca_id: None, now };
        insert(tx, &new)?;
        Ok(answer(&realm, &certificate))
    })
    .await
}

fn issued_by(certificate: &Certificate, ca: &CaRow) -> bool {
    Certificate::from_der(&ca.der).is_ok_and(|ca| certificate.verify_issued_by(&ca).is_ok())
}

fn parse(text: &str) -> Result<Certificate, ApiError> {
    pem::certificate(text).and_then(|der| Certificate::from_der(&der)).map_err(|error| invalid_certificate(&error))
}

/// A certificate with an accepted key and signature algorithm that has not ended.
fn read(input: &Input, member: &str, now: i64) -> Result<Certificate, ApiError> {
    let certificate = parse(input.required(member)?)?;
    if certificate.signature_algorithm().is_none() {
        return Err(invalid_certificate(&marram_pki::PkiError::UnsupportedSignature));
    }
    if now > certificate.not_after() {
        return Err(invalid_certificate(&marram_pki::PkiError::NotValidNow));
    }
    Ok(certificate)
}

/// The state a registered certificate begins in; `INACTIVE` unless asked for more.
fn wanted_status(input: &Input) -> Result<&'static str, ApiError> {
    match input.text("status") {
        Some(ACTIVE) => Ok(ACTIVE),
        Some(REVOKED) => Ok(REVOKED),
        Some(INACTIVE | REGISTER_INACTIVE) => Ok(INACTIVE),
        None if input.flag("setAsActive") => Ok(ACTIVE),
        None => Ok(INACTIVE),
        Some(other) => Err(ApiError::invalid_request(format!("Certificates cannot be registered as {}", shown(other)))),
    }
}

fn answer(realm: &Realm, certificate: &Certificate) -> Value {
    let id = certificate.id().to_string();
    json!({"certificateArn": realm.certificate_arn(&id), "certificateId": id})
}
