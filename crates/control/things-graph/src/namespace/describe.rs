//! `DescribeNamespace` (TG 9.2).

use marram_aws_api::ApiError;
use marram_identity::CallContext;
use marram_tdm::library;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::catalog::latest_version;
use crate::input::read;
use crate::realm::Realm;
use crate::service::ThingsGraph;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DescribeNamespace {
    namespace_name: Option<String>,
}

/// The caller's own namespace by default; `aws` is the public one; any other name does not exist for the caller.
pub(crate) fn describe(service: &ThingsGraph, ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let _grant = ctx.authorize(ctx.operation.iam_action, "*", |_| {})?;
    let request: DescribeNamespace = read(input)?;
    let realm = Realm::of(ctx);
    let own = realm.namespace();
    let name = request.namespace_name.as_deref().unwrap_or(own.as_str());
    if name.eq_ignore_ascii_case("aws") {
        return Ok(json!({
            "namespaceArn": format!("arn:{}:iotthingsgraph:{}:", realm.partition, realm.region),
            "namespaceName": "aws",
            "namespaceVersion": library::PUBLIC_VERSION,
        }));
    }
    let missing = || ApiError::not_found(format!("Namespace {name} does not exist"));
    if !name.eq_ignore_ascii_case(own.as_str()) {
        return Err(missing());
    }
    let view = ctx.read(|s| {
        let version = latest_version(s, realm.account.as_str(), realm.region.as_str())?.ok_or_else(missing)?;
        service.inner.catalog.view(s, &realm, Some(version))
    })?;
    Ok(json!({
        "namespaceArn": realm.namespace_arn(),
        "namespaceName": own.as_str(),
        "namespaceVersion": view.version,
        "trackingNamespaceName": "aws",
        "trackingNamespaceVersion": view.public_version,
    }))
}
