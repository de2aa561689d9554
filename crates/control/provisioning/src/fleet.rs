//! Fleet provisioning: a device with a claim gets a certificate, and by it becomes a thing (CP 5.10).
//!
//! A token proves ownership of a certificate that waits for activation. It is bound to the certificate of the connection it
//! was given to, lives an hour, and is stored as its digest. A certificate that nobody claims goes with its token.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use marram_aws_api::ApiError;
use marram_identity::CallError;
use marram_pki::{Certificate, DeviceKeyPair, PublicKey, SigningRequest, Validity, pem};
use marram_registry::{Realm, insert_pending_certificate};
use marram_store::params;
use marram_types::{Timestamp, random_base64_alphabet};
use serde_json::{Value, json};

use crate::apply::apply;
use crate::provisioning::Provisioning;
use crate::row::{find_template, get_version};
use crate::template::{CertificateSource, Template};

/// Life of an ownership token and of the certificate it stands for, in seconds.
const TOKEN_SECS: i64 = 3600;
/// Characters of a token: 384 bits.
const TOKEN_CHARS: usize = 64;
/// Certificates that one principal may have waiting: a claim that leaked must not fill the registry.
const MAX_WAITING: i64 = 100;

/// A refused request: what stands in `rejected`.
#[derive(Debug)]
pub(crate) struct FleetError {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl FleetError {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidParameters", message)
    }

    /// What a registry operation answered. Denials of the role are the operator's business, not the device's.
    fn of(error: &ApiError) -> Self {
        match error.status {
            403 => Self::new(403, "AccessDenied", "The template's role may not do this"),
            status if status >= 500 => Self::new(500, "InternalError", "An internal error occurred"),
            404 => Self::new(404, "ResourceNotFound", error.message.clone()),
            429 => Self::new(429, "Throttled", error.message.clone()),
            _ => Self::invalid(error.message.clone()),
        }
    }
}

/// Who asks: the connection's certificate and client id.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    pub(crate) realm: Realm,
    pub(crate) principal: String,
}

impl Provisioning {
    /// `create`: a key pair and its certificate. The private key stands in the answer and nowhere else.
    pub(crate) async fn create_keys(&self, asker: &Asker) -> Result<Value, FleetError> {
        let pair = tokio::task::spawn_blocking(DeviceKeyPair::generate)
            .await
            .map_err(|_| FleetError::of(&ApiError::internal()))?
            .map_err(|_| FleetError::of(&ApiError::internal()))?;
        let mut answer = self.issue(asker, pair.public_key(), "CreateKeysAndCertificate").await?;
        answer["privateKey"] = pair.private_pem().into();
        Ok(answer)
    }

    /// `create-from-csr`: a certificate for a key that stays with the device.
    pub(crate) async fn create_from_request(&self, asker: &Asker, body: &Value) -> Result<Value, FleetError> {
        let Some(text) = body["certificateSigningRequest"].as_str() else {
            return Err(FleetError::invalid("certificateSigningRequest is required"));
        };
        let request = SigningRequest::from_pem(text)
            .map_err(|error| FleetError::invalid(format!("The certificate signing request is refused: {error}")))?;
        self.issue(asker, request.public_key(), "CreateCertificateFromCsr").await
    }

    async fn issue(&self, asker: &Asker, key: &PublicKey, event: &'static str) -> Result<Value, FleetError> {
        let now = self.now();
        let options = self.registry().options();
        let validity = Validity::starting(now.as_secs(), options.device_certificate_secs);
        let certificate: Certificate = options.authority.issue_device(key, validity).map_err(|error| {
            tracing::error!(%error, "device certificate not issued");
            FleetError::of(&ApiError::internal())
        })?;
        let id = certificate.id().to_string();
        let answer = json!({"certificateId": id, "certificatePem": pem::encode_certificate(certificate.der())});
        let token = random_base64_alphabet(TOKEN_CHARS);
        let (asker_, digest, certificate_id) = (asker.clone(), token_digest(&token), id.clone());
        let details = json!({"claimCertificateId": asker.principal, "certificateId": id});
        self.system(&asker.realm)
            .commit_with(event, details, move |tx| {
                let Realm { account, region, .. } = &asker_.realm;
                let waiting: i64 = tx.query_one(
                    "SELECT COUNT(*) FROM iot_certificate_ownership
                     WHERE account = $1 AND region = $2 AND principal = $3 AND expires_at > $4",
                    params![account, region, asker_.principal, now],
                    |row| Ok::<_, CallError>(row.get(0)?),
                )?;
                if waiting >= MAX_WAITING {
                    return Err(ApiError::new("Throttled", 429, "Too many certificates wait for activation").into());
                }
                insert_pending_certificate(tx, &asker_.realm, &certificate, now)?;
                tx.execute(
                    "INSERT INTO iot_certificate_ownership (account, region, certificate, token, principal, expires_at)
                     VALUES ($1, $2, $3, $4, $5, $6)",
                    params![
                        account,
                        region,
                        certificate_id,
                        digest,
                        asker_.principal,
                        Timestamp::from_secs(now.as_secs() + TOKEN_SECS)
                    ],
                )?;
                Ok(())
            })
            .await
            .map_err(|error| FleetError::of(&error))?;
        let mut answer = answer;
        answer["certificateOwnershipToken"] = token.into();
        Ok(answer)
    }

    /// `provision`: makes what the template asks for and activates the certificate.
    pub(crate) async fn provision(&self, asker: &Asker, template: &str, body: &Value) -> Result<Value, FleetError> {
        let Some(token) = body["certificateOwnershipToken"].as_str() else {
            return Err(FleetError::invalid("certificateOwnershipToken is required"));
        };
        let given: BTreeMap<String, String> = match &body["parameters"] {
            Value::Null => BTreeMap::new(),
            parameters => serde_json::from_value(parameters.clone())
                .map_err(|_| FleetError::invalid("parameters must be an object of texts"))?,
        };
        let (realm, now) = (&asker.realm, self.now());
        let digest = token_digest(token);
        let (certificate, row, source) = self
            .system(realm)
            .read(|snapshot| {
                let certificate = snapshot.query_opt(
                    "SELECT certificate FROM iot_certificate_ownership
                     WHERE account = $1 AND region = $2 AND token = $3 AND principal = $4 AND expires_at > $5",
                    params![realm.account, realm.region, digest, asker.principal, now],
                    |row| Ok::<_, CallError>(row.get::<String>(0)?),
                )?;
                let row = find_template(snapshot, realm, template)?;
                let source = match &row {
                    Some(row) => Some(get_version(snapshot, realm, template, row.default_version)?.0),
                    None => None,
                };
                Ok((certificate, row, source))
            })
            .map_err(|error| FleetError::of(&ApiError::from(error)))?;
        let Some(certificate) = certificate else {
            return Err(FleetError::new(
                400,
                "InvalidCertificateOwnershipToken",
                "The token is not one of this connection's, or it has expired or been used",
            ));
        };
        let (Some(row), Some(source)) = (row, source) else {
            return Err(FleetError::new(404, "ResourceNotFound", "No such provisioning template"));
        };
        if !row.enabled || row.kind != "FLEET_PROVISIONING" {
            return Err(FleetError::new(403, "AccessDenied", "The template is not enabled for fleet provisioning"));
        }
        if row.hook.is_some() {
            // Without whoever answers the hook nobody has allowed anything: closed (CP 4.8).
            tracing::warn!(template, "a template names a pre-provisioning hook, and no function can be called");
            return Err(FleetError::new(403, "AccessDenied", "The pre-provisioning hook did not allow it"));
        }
        let own = [("AWS::IoT::Certificate::Id".to_owned(), certificate.clone())].into();
        let plan = Template::parse(&source)
            .and_then(|template| template.plan(&given, &own))
            .map_err(|error| FleetError::invalid(error.to_string()))?;
        let owns = |source: &CertificateSource| *source == CertificateSource::Id(certificate.clone());
        if plan.certificate.as_ref().is_none_or(|certificate| !owns(&certificate.source)) {
            return Err(FleetError::invalid("The template does not use the certificate AWS::IoT::Certificate::Id"));
        }
        let source = format!("provisioningtemplate/{template}");
        let role = self.assume(realm, &row.role_arn, &source).map_err(|error| FleetError::of(&error))?;
        let made = apply(self, realm, &role, &plan).await.map_err(|error| FleetError::of(&error))?;
        let (realm_, owned) = (realm.clone(), certificate.clone());
        let details = json!({
            "claimCertificateId": asker.principal,
            "certificateId": certificate,
            "templateName": template,
            "thingName": made.thing,
        });
        self.system(realm)
            .commit_with("RegisterThing", details, move |tx| {
                tx.execute(
                    "DELETE FROM iot_certificate_ownership WHERE account = $1 AND region = $2 AND certificate = $3",
                    params![realm_.account, realm_.region, owned],
                )?;
                Ok(())
            })
            .await
            .map_err(|error| FleetError::of(&error))?;
        let mut answer = json!({"deviceConfiguration": plan.device_configuration});
        if let Some(thing) = made.thing {
            answer["thingName"] = thing.into();
        }
        Ok(answer)
    }
}

fn token_digest(token: &str) -> Vec<u8> {
    digest(&SHA256, token.as_bytes()).as_ref().to_vec()
}
