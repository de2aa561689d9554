//! `DescribeCACertificate` and `ListCACertificates`.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_pki::pem;
use marram_store::{Row, params};
use marram_types::Timestamp;
use serde_json::{Value, json};

use super::{conditions, not_found, read_id};
use crate::input::Input;
use crate::page::Style;
use crate::realm::Realm;
use crate::service::Registry;

/// Answers a CA with its state, dates and PEM.
pub(crate) async fn describe_ca_certificate(_: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let id = read_id(&input)?;
    let arn = realm.ca_arn(&id);
    let tags = conditions(ctx, &realm, &id)?;
    drop(ctx.authorize(ctx.operation.iam_action, &arn, |c| *c = tags)?);
    let found = ctx.read(|snapshot| {
        snapshot.query_opt(
            "SELECT der, status, mode, auto_registration, registration, not_before, not_after, customer_version,
                 generation, created_at, modified_at
             FROM iot_ca_certificate WHERE account = $1 AND region = $2 AND id = $3",
            params![realm.account, realm.region, id],
            |row| {
                let mut answer = json!({"certificateDescription": {
                    "certificateArn": arn,
                    "certificateId": id,
                    "certificatePem": pem::encode_certificate(row.blob(0)?),
                    "status": row.text(1)?,
                    "certificateMode": row.text(2)?,
                    "autoRegistrationStatus": row.text(3)?,
                    "ownedBy": realm.account.as_str(),
                    "validity": {"notBefore": row.get::<i64>(5)?, "notAfter": row.get::<i64>(6)?},
                    "customerVersion": row.get::<i64>(7)?,
                    "generationId": row.text(8)?,
                    "creationDate": row.get::<Timestamp>(9)?.epoch_seconds(),
                    "lastModifiedDate": row.get::<Timestamp>(10)?.epoch_seconds(),
                }});
                if let Some(registration) = row.get::<Option<String>>(4)? {
                    answer["registrationConfig"] = serde_json::from_str(&registration).unwrap_or_default();
                }
                Ok::<_, CallError>(answer)
            },
        )
    })?;
    found.ok_or_else(|| not_found(&id))
}

/// Lists CAs by date; newest first unless `ascendingOrder`. `templateName` narrows to those that provision with it.
pub(crate) async fn list_ca_certificates(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| ())?);
    let realm = Realm::of(ctx);
    let ascending = input.flag("ascendingOrder");
    let template = input.text("templateName").unwrap_or("");
    let filter = [template, if ascending { "ascending" } else { "" }];
    let page = registry.tokens().page(ctx, &input, Style::Marker, &filter)?;
    let (order, beyond) = if ascending { ("ASC", ">") } else { ("DESC", "<") };
    let sql = format!(
        "SELECT id, status, created_at, registration FROM iot_ca_certificate
         WHERE account = $1 AND region = $2 AND (created_at, id) {beyond} ($3, $4)
         ORDER BY created_at {order}, id {order}"
    );
    let (created, id) = (page.number_from(0, ascending), page.from(1, ascending));
    let rows = ctx.read(|snapshot| {
        let mut rows = Vec::new();
        snapshot.query_each(&sql, params![realm.account, realm.region, created, id], |row: &Row<'_>| {
            if template.is_empty() || uses_template(row, template)? {
                let (id, created) = (row.text(0)?, row.get::<Timestamp>(2)?);
                let item = json!({
                    "certificateArn": realm.ca_arn(id),
                    "certificateId": id,
                    "status": row.text(1)?,
                    "creationDate": created.epoch_seconds(),
                });
                rows.push(([created.as_micros().to_string(), id.to_owned()], item));
            }
            Ok::<_, CallError>(rows.len() <= page.limit)
        })?;
        Ok(rows)
    })?;
    Ok(page.answer("certificates", rows))
}

fn uses_template(row: &Row<'_>, template: &str) -> Result<bool, CallError> {
    let registration: Option<String> = row.get(3)?;
    let registration: Value = registration.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    Ok(registration.get("templateName").and_then(Value::as_str) == Some(template))
}
