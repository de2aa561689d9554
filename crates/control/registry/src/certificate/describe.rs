//! `DescribeCertificate`.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_pki::pem;
use marram_store::params;
use marram_types::Timestamp;
use serde_json::{Value, json};

use super::{not_found, read_id};
use crate::input::Input;
use crate::realm::Realm;
use crate::service::Registry;

/// Answers a certificate with its state, dates and PEM.
pub(crate) async fn describe_certificate(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let id = read_id(&input, "certificateId")?;
    let arn = realm.certificate_arn(&id);
    drop(ctx.authorize(ctx.operation.iam_action, &arn, |_| ())?);
    let found = ctx.read(|snapshot| {
        snapshot.query_opt(
            "SELECT der, status, mode, ca_id, not_before, not_after, customer_version, generation, created_at,
                 modified_at
             FROM iot_certificate WHERE account = $1 AND region = $2 AND id = $3",
            params![realm.account, realm.region, id],
            |row| {
                let mut description = json!({
                    "certificateArn": arn,
                    "certificateId": id,
                    "certificatePem": pem::encode_certificate(row.blob(0)?),
                    "status": row.text(1)?,
                    "certificateMode": row.text(2)?,
                    "ownedBy": realm.account.as_str(),
                    "validity": {"notBefore": row.get::<i64>(4)?, "notAfter": row.get::<i64>(5)?},
                    "customerVersion": row.get::<i64>(6)?,
                    "generationId": row.text(7)?,
                    "creationDate": row.get::<Timestamp>(8)?.epoch_seconds(),
                    "lastModifiedDate": row.get::<Timestamp>(9)?.epoch_seconds(),
                });
                if let Some(ca_id) = row.get::<Option<String>>(3)? {
                    description["caCertificateId"] = ca_id.into();
                }
                Ok::<_, CallError>(description)
            },
        )
    })?;
    let description = found.ok_or_else(|| not_found(&id))?;
    Ok(json!({"certificateDescription": description}))
}
