//! `CreateProvisioningClaim`: a trusted user gets a certificate good for five minutes and for this template only.

use marram_aws_api::ApiError;
use marram_identity::CallContext;
use marram_pki::{Certificate, DeviceKeyPair, Validity, pem};
use marram_registry::{Realm, insert_claim_certificate};
use marram_store::params;
use marram_types::Timestamp;
use serde_json::{Value, json};

use super::{authorize, name_of};
use crate::provisioning::Provisioning;
use crate::row::get_template;

/// Life of a claim, in seconds (CP 5.10).
const CLAIM_SECS: i64 = 300;

pub(super) async fn create(provisioning: &Provisioning, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let name = name_of(&input)?;
    let grant = authorize(ctx, &realm, &name)?;
    let pair = tokio::task::spawn_blocking(DeviceKeyPair::generate)
        .await
        .map_err(|_| ApiError::internal())?
        .map_err(|_| ApiError::internal())?;
    let registry = provisioning.registry().clone();
    let validity = Validity::starting(ctx.now.as_secs(), CLAIM_SECS);
    let certificate: Certificate =
        registry.options().authority.issue_device(pair.public_key(), validity).map_err(|error| {
            tracing::error!(%error, "claim certificate not issued");
            ApiError::internal()
        })?;
    let now = ctx.now;
    let expires = Timestamp::from_secs(now.as_secs() + CLAIM_SECS);
    let mut answer = ctx
        .commit(grant, move |tx| {
            get_template(tx, &realm, name.as_str())?;
            let id = certificate.id().to_string();
            let policy = format!("ProvisioningClaim_{name}");
            insert_claim_certificate(
                &registry,
                tx,
                &realm,
                &certificate,
                (&policy, &document(&realm, name.as_str())),
                now,
            )?;
            // Nobody owns a claim: it is swept like a certificate that nobody took.
            tx.execute(
                "INSERT INTO iot_certificate_ownership (account, region, certificate, token, principal, expires_at)
                 VALUES ($1, $2, $3, $4, '', $5)",
                params![realm.account, realm.region, id, id.as_bytes().to_vec(), expires],
            )?;
            Ok(json!({
                "certificateId": id,
                "certificatePem": pem::encode_certificate(certificate.der()),
                "expiration": expires.as_secs(),
            }))
        })
        .await?;
    // Added after the commit, so that no audit record can hold it.
    answer["keyPair"] = json!({"PublicKey": pair.public_pem(), "PrivateKey": pair.private_pem()});
    Ok(answer)
}

/// What a claim may do: ask for a certificate and provision by one template.
fn document(realm: &Realm, template: &str) -> String {
    let topics = |kind: &str| -> Vec<String> {
        [
            "$aws/certificates/create/*".to_owned(),
            "$aws/certificates/create-from-csr/*".to_owned(),
            format!("$aws/provisioning-templates/{template}/provision/*"),
        ]
        .iter()
        .map(|topic| realm.arn(format_args!("{kind}/{topic}")))
        .collect()
    };
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "iot:Connect", "Resource": realm.arn("client/*")},
            {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": topics("topic")},
            {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": topics("topicfilter")},
        ],
    })
    .to_string()
}
