//! `GetComponent`, `DescribeComponent`, `ListComponents`, `ListComponentVersions`, `GetComponentVersionArtifact`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_store::params;
use serde_json::{Value, json};
use std::time::Duration;

use super::{permitted, versions};
use crate::page::Page;
use crate::place;
use crate::{Greengrass, fault, tag};

/// How long an artifact's URL can be used.
const URL_LIFE: Duration = Duration::from_secs(3600);

/// `GetComponent`. JSON is YAML too, so one text serves both formats.
pub(crate) async fn get(_: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let (grant, realm, component) = permitted(ctx, &input)?;
    drop(grant);
    let resource = format!("components:{}:versions:{}", component.name, component.version);
    let tags = ctx.read(|snapshot| tag::of(snapshot, &realm, &resource))?;
    let format = input["recipeOutputFormat"].as_str().unwrap_or("JSON");
    let text = serde_json::to_string_pretty(&component.parsed()).unwrap_or(component.recipe);
    Ok(json!({"recipeOutputFormat": format, "recipe": STANDARD.encode(text), "tags": tags}))
}

/// `DescribeComponent`.
pub(crate) async fn describe(_: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let (grant, realm, component) = permitted(ctx, &input)?;
    drop(grant);
    let resource = format!("components:{}:versions:{}", component.name, component.version);
    let tags = ctx.read(|snapshot| tag::of(snapshot, &realm, &resource))?;
    let recipe = component.parsed();
    Ok(json!({
        "arn": component.arn(&realm), "componentName": component.name, "componentVersion": component.version,
        "creationTimestamp": component.created_at.epoch_seconds(), "publisher": recipe["ComponentPublisher"],
        "description": recipe["ComponentDescription"], "status": component.status(),
        "platforms": component.platforms(), "tags": tags,
    }))
}

/// `ListComponents`: own ones; there are no public ones here.
pub(crate) async fn list(_: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = place::realm(ctx);
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| {})?);
    let scope = input["scope"].as_str().unwrap_or("PRIVATE");
    let page = Page::of(ctx, &input, &[scope])?;
    if scope == "PUBLIC" {
        return Ok(page.answer(ctx, "components", Vec::new()));
    }
    let rows = ctx.read(|snapshot| {
        let names = snapshot.query_all(
            "SELECT DISTINCT name FROM gg_component WHERE account = $1 AND region = $2 AND name > $3
             ORDER BY name LIMIT $4",
            params![realm.account, realm.region, page.after, page.fetch()],
            |row| Ok::<_, CallError>(row.get::<String>(0)?),
        )?;
        let mut rows = Vec::new();
        for name in names {
            let Some(latest) = versions(snapshot, &realm, &name)?.into_iter().next() else { continue };
            let recipe = latest.parsed();
            let item = json!({
                "arn": place::component(&realm, &name), "componentName": name,
                "latestVersion": {
                    "arn": latest.arn(&realm), "componentVersion": latest.version,
                    "creationTimestamp": latest.created_at.epoch_seconds(), "publisher": recipe["ComponentPublisher"],
                    "description": recipe["ComponentDescription"], "platforms": latest.platforms(),
                },
            });
            rows.push((name, item));
        }
        Ok::<_, CallError>(rows)
    })?;
    Ok(page.answer(ctx, "components", rows))
}

/// `ListComponentVersions`, newest first: GDK takes the first for its next patch (control-plane-api 7, `gdk component publish`).
pub(crate) async fn list_versions(_: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let realm = place::realm(ctx);
    let text = input["arn"].as_str().unwrap_or_default();
    drop(ctx.authorize(ctx.operation.iam_action, text, |_| {})?);
    let page = Page::of(ctx, &input, &[text])?;
    let Some((name, None)) = place::component_of(&realm, text) else {
        return Err(fault::not_found("component", text));
    };
    // A component that nobody made yet has no versions: GDK asks so before it publishes the first.
    let items = ctx
        .read(|snapshot| versions(snapshot, &realm, &name))?
        .into_iter()
        .map(|component| {
            let arn = component.arn(&realm);
            let item = json!({"componentName": component.name, "componentVersion": component.version, "arn": arn});
            (component.version, item)
        })
        .collect();
    Ok(page.of_all(ctx, "componentVersions", items))
}

/// `GetComponentVersionArtifact`: a short URL that needs no credentials.
pub(crate) async fn artifact(greengrass: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let (grant, realm, component) = permitted(ctx, &input)?;
    drop(grant);
    let name = input["artifactName"].as_str().unwrap_or_default();
    let kept = component.artifacts.iter().find(|kept| kept.name == name);
    let kept = kept.ok_or_else(|| fault::not_found("artifact", name))?;
    let url = greengrass.parts.objects.shared_url(&realm.account, &kept.shared, ctx.now.saturating_add(URL_LIFE));
    Ok(json!({"preSignedUrl": url}))
}
