//! `DeleteComponent`.

use marram_aws_api::ApiError;
use marram_identity::CallContext;
use marram_store::params;
use serde_json::{Value, json};

use super::{find, permitted};
use crate::{Greengrass, tag};

/// Deletes a version with its copies of artifacts; objects in buckets stay, and cores keep what they have.
pub(crate) async fn delete(greengrass: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let (grant, realm, component) = permitted(ctx, &input)?;
    let greengrass = greengrass.clone();
    ctx.commit(grant, move |tx| {
        let Some(known) = find(tx, &realm, &component.name, &component.version)? else { return Ok(json!({})) };
        for kept in &known.artifacts {
            greengrass.parts.objects.unshare(tx, &realm.account, &kept.shared)?;
        }
        tx.execute(
            "DELETE FROM gg_component WHERE account = $1 AND region = $2 AND name = $3 AND version = $4",
            params![realm.account, realm.region, known.name, known.version],
        )?;
        tag::forget(tx, &realm, &format!("components:{}:versions:{}", known.name, known.version))?;
        Ok(json!({}))
    })
    .await
}
