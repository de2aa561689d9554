//! `RegisterThing`: what a template body asks for, made in the caller's own name.

use std::collections::BTreeMap;

use marram_aws_api::ApiError;
use marram_identity::CallContext;
use marram_registry::Realm;
use serde_json::{Value, json};

use crate::apply::apply;
use crate::provisioning::Provisioning;
use crate::template::Template;

/// Every step needs the caller's permission for its own operation too: a template is no way around them.
pub(super) async fn register_thing(
    provisioning: &Provisioning,
    ctx: &CallContext,
    input: Value,
) -> Result<Value, ApiError> {
    let realm = Realm::of(ctx);
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| ())?);
    let parameters: BTreeMap<String, String> = serde_json::from_value(input["parameters"].clone()).unwrap_or_default();
    let plan = Template::parse(input["templateBody"].as_str().unwrap_or_default())
        .and_then(|template| template.plan(&parameters, &BTreeMap::new()))
        .map_err(|error| ApiError::invalid_request(error.to_string()))?;
    let made = apply(provisioning, &realm, &ctx.principal, &plan).await?;
    let mut answer = json!({"resourceArns": made.arns});
    if let Some(pem) = made.certificate_pem {
        answer["certificatePem"] = pem.into();
    }
    Ok(answer)
}
