//! `RegisterCACertificate`.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_pki::{Certificate, PkiError, check_verification_certificate, pem};
use marram_store::params;
use serde_json::{Value, json};

use super::registration_code::code_of;
use super::{MAX_PER_SUBJECT, PASSED_TO, resource, with_subject};
use crate::certificate::{ACTIVE, INACTIVE, MODE_DEFAULT, invalid_certificate};
use crate::input::Input;
use crate::realm::Realm;
use crate::service::Registry;
use crate::tag;

/// Registers a CA whose key the caller has proven to hold (mode `DEFAULT`), or one that is used by server name only
/// (`SNI_ONLY`, no proof asked).
pub(crate) async fn register_ca_certificate(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let tags = tag::read_tags(&input)?;
    let registration = input.object("registrationConfig").cloned();
    let role = registration.as_ref().and_then(|r| r.get("roleArn")).and_then(Value::as_str);
    let grant = ctx.authorize(ctx.operation.iam_action, "*", |conditions| {
        conditions.request_tags(tag::pairs(&tags));
    })?;
    if let Some(role) = role {
        ctx.authorize_pass_role(role, PASSED_TO)?;
    }

    let parse = |text: &str| {
        pem::certificate(text).and_then(|der| Certificate::from_der(&der)).map_err(|error| invalid_certificate(&error))
    };
    let authority = parse(input.required("caCertificate")?)?;
    if !authority.is_ca() {
        return Err(invalid_certificate(&PkiError::NotAuthority));
    }
    if !authority.is_valid_at(ctx.now.as_secs()) {
        return Err(invalid_certificate(&PkiError::NotValidNow));
    }
    let mode = input.text("certificateMode").unwrap_or(MODE_DEFAULT).to_owned();
    let verification = match (mode.as_str(), input.text("verificationCertificate")) {
        ("DEFAULT", Some(text)) => Some(parse(text)?),
        ("DEFAULT", None) => {
            return Err(ApiError::invalid_request("verificationCertificate is required in mode DEFAULT"));
        }
        (_, Some(_)) => return Err(ApiError::invalid_request("verificationCertificate is for mode DEFAULT only")),
        (_, None) => None,
    };
    if mode != MODE_DEFAULT && input.flag("allowAutoRegistration") {
        return Err(needs_proof());
    }
    let status = if input.flag("setAsActive") { ACTIVE } else { INACTIVE };
    let auto = if input.flag("allowAutoRegistration") { "ENABLE" } else { "DISABLE" };
    let (realm, now) = (Realm::of(ctx), ctx.now);
    ctx.commit(grant, move |tx| {
        if let Some(verification) = &verification {
            let code =
                code_of(tx, &realm)?.ok_or_else(|| registration_error("the account has no registration code"))?;
            check_verification_certificate(&authority, verification, &code, now.as_secs()).map_err(|error| {
                CallError::from(match error {
                    PkiError::WrongCommonName => registration_error(&error.to_string()),
                    other => invalid_certificate(&other),
                })
            })?;
        }
        let id = authority.id().to_string();
        let arn = realm.ca_arn(&id);
        let siblings = with_subject(tx, &realm, authority.subject().der())?;
        if siblings.iter().any(|ca| ca.id == id) {
            return Err(ApiError::already_exists("The CA certificate is already registered")
                .with("resourceId", id)
                .with("resourceArn", arn)
                .into());
        }
        if i64::try_from(siblings.len()).unwrap_or(i64::MAX) >= MAX_PER_SUBJECT {
            return Err(ApiError::limit_exceeded(format!(
                "At most {MAX_PER_SUBJECT} CA certificates may have the same subject"
            ))
            .into());
        }
        tx.execute(
            "INSERT INTO iot_ca_certificate (account, region, id, der, subject, status, mode, auto_registration,
                 registration, not_before, not_after, customer_version, generation, created_at, modified_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1, $12, $13, $13)",
            params![
                realm.account,
                realm.region,
                id,
                *authority.der(),
                *authority.subject().der(),
                *status,
                mode,
                *auto,
                registration.map(|r| Value::Object(r).to_string()),
                authority.not_before(),
                authority.not_after(),
                uuid::Uuid::new_v4().to_string(),
                now
            ],
        )?;
        tag::insert_tags(tx, &realm, &resource(&id), &tags)?;
        Ok(json!({"certificateArn": arn, "certificateId": id}))
    })
    .await
}

/// A CA's certificate is public: whoever registers it without proof must not be handed the devices it vouches for.
pub(super) fn needs_proof() -> ApiError {
    ApiError::invalid_request(
        "Automatic registration is for CAs in certificateMode DEFAULT, whose key was proven to be held",
    )
}

fn registration_error(why: &str) -> ApiError {
    ApiError::new("RegistrationCodeValidationException", 400, format!("The registration code is not valid: {why}"))
}
