//! `ListCertificates` and `ListCertificatesByCA`, by date of creation.

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::{Row, params};
use marram_types::Timestamp;
use serde_json::{Value, json};

use super::read_id;
use crate::input::Input;
use crate::page::Style;
use crate::realm::Realm;
use crate::service::Registry;

/// Lists every certificate; newest first unless `ascendingOrder`.
pub(crate) async fn list_certificates(registry: &Registry, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| ())?);
    list(registry, ctx, &input, None)
}

/// Lists the certificates registered with a CA.
pub(crate) async fn list_certificates_by_ca(
    registry: &Registry,
    ctx: &CallContext,
    input: Input,
) -> Result<Value, ApiError> {
    let ca_id = read_id(&input, "caCertificateId")?;
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| ())?);
    list(registry, ctx, &input, Some(&ca_id))
}

fn list(registry: &Registry, ctx: &CallContext, input: &Input, ca_id: Option<&str>) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    let ascending = input.flag("ascendingOrder");
    let filter = [ca_id.unwrap_or(""), if ascending { "ascending" } else { "" }];
    let page = registry.tokens().page(ctx, input, Style::Marker, &filter)?;
    let (order, beyond) = if ascending { ("ASC", ">") } else { ("DESC", "<") };
    let by_ca = if ca_id.is_some() { "AND ca_id = $6" } else { "" };
    let sql = format!(
        "SELECT id, status, mode, created_at FROM iot_certificate
         WHERE account = $1 AND region = $2 AND (created_at, id) {beyond} ($3, $4) {by_ca}
         ORDER BY created_at {order}, id {order} LIMIT $5"
    );
    let (created, id) = (page.number_from(0, ascending), page.from(1, ascending));
    let item = |row: &Row<'_>| {
        let (id, created) = (row.text(0)?, row.get::<Timestamp>(3)?);
        let item = json!({
            "certificateArn": realm.certificate_arn(id),
            "certificateId": id,
            "status": row.text(1)?,
            "certificateMode": row.text(2)?,
            "creationDate": created.epoch_seconds(),
        });
        Ok::<_, CallError>(([created.as_micros().to_string(), id.to_owned()], item))
    };
    let rows = ctx.read(|snapshot| match ca_id {
        None => snapshot.query_all(&sql, params![realm.account, realm.region, created, id, page.fetch()], item),
        Some(ca_id) => {
            snapshot.query_all(&sql, params![realm.account, realm.region, created, id, page.fetch(), ca_id], item)
        }
    })?;
    Ok(page.answer("certificates", rows))
}
