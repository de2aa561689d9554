//! Components: a recipe each version, with its artifacts kept beside it (control-plane-api 7.2).

mod create;
mod lite;
mod read;
mod remove;
mod resolve;
mod within;

pub(crate) use create::create;
pub(crate) use read::{artifact, describe, get, list, list_versions};
pub(crate) use remove::delete;
pub(crate) use resolve::resolve;
pub(crate) use within::NUCLEUS_LITE;

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use marram_registry::Realm;
use marram_store::{Row, Snapshot, params};
use marram_types::Timestamp;
use marram_version::Version;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{fault, place};

/// Versions of a component.
const MAX_VERSIONS: i64 = 10_000;

/// An artifact as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The name in `GetComponentVersionArtifact`.
    pub(crate) name: String,
    /// The id in the object store.
    pub(crate) shared: String,
}

/// A component version's row.
#[derive(Clone, Debug)]
pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) state: String,
    pub(crate) message: String,
    pub(crate) errors: Map<String, Value>,
    /// JSON text.
    pub(crate) recipe: String,
    pub(crate) artifacts: Vec<Kept>,
    pub(crate) created_at: Timestamp,
}

const COLUMNS: &str = "SELECT name, version, state, message, errors, recipe, artifacts, created_at FROM gg_component";

impl Component {
    fn read(row: &Row<'_>) -> Result<Component, CallError> {
        Ok(Component {
            name: row.get(0)?,
            version: row.get(1)?,
            state: row.get(2)?,
            message: row.get(3)?,
            errors: serde_json::from_str(row.text(4)?).unwrap_or_default(),
            recipe: row.get(5)?,
            artifacts: serde_json::from_str(row.text(6)?).unwrap_or_default(),
            created_at: row.get(7)?,
        })
    }

    pub(crate) fn is_deployable(&self) -> bool {
        self.state == "DEPLOYABLE"
    }

    fn status(&self) -> Value {
        json!({
            "componentState": self.state, "message": self.message, "errors": self.errors,
            "vendorGuidance": "ACTIVE", "vendorGuidanceMessage": "",
        })
    }

    fn arn(&self, realm: &Realm) -> String {
        place::component_version(realm, &self.name, &self.version)
    }

    /// What the recipe says, read leniently: it was checked when it came.
    fn parsed(&self) -> Value {
        serde_json::from_str(&self.recipe).unwrap_or_default()
    }

    fn platforms(&self) -> Value {
        let manifests = self.parsed()["Manifests"].as_array().cloned().unwrap_or_default();
        manifests
            .iter()
            .map(|manifest| {
                let attributes = manifest.get("Platform").cloned().unwrap_or_else(|| json!({}));
                match manifest["Name"].as_str() {
                    Some(name) => json!({"name": name, "attributes": attributes}),
                    None => json!({"attributes": attributes}),
                }
            })
            .collect()
    }
}

/// One version.
pub(crate) fn find(
    snapshot: &Snapshot<'_>,
    realm: &Realm,
    name: &str,
    version: &str,
) -> Result<Option<Component>, CallError> {
    snapshot.query_opt(
        &format!("{COLUMNS} WHERE account = $1 AND region = $2 AND name = $3 AND version = $4"),
        params![realm.account, realm.region, name, version],
        Component::read,
    )
}

/// Every version, newest first by precedence.
pub(crate) fn versions(snapshot: &Snapshot<'_>, realm: &Realm, name: &str) -> Result<Vec<Component>, CallError> {
    let all = snapshot.query_all(
        &format!("{COLUMNS} WHERE account = $1 AND region = $2 AND name = $3 LIMIT {MAX_VERSIONS}"),
        params![realm.account, realm.region, name],
        Component::read,
    )?;
    let mut all: Vec<(Option<Version>, Component)> =
        all.into_iter().map(|component| (component.version.parse().ok(), component)).collect();
    all.sort_by(|(a, _), (b, _)| match (a, b) {
        (Some(a), Some(b)) => b.cmp_precedence(a),
        (a, b) => b.is_some().cmp(&a.is_some()),
    });
    Ok(all.into_iter().map(|(_, component)| component).collect())
}

/// The component version of an ARN in the input, once the caller may `action` on it.
fn permitted(ctx: &CallContext, input: &Value) -> Result<(marram_identity::Grant, Realm, Component), ApiError> {
    let realm = place::realm(ctx);
    let text = input["arn"].as_str().unwrap_or_default();
    let named = place::component_of(&realm, text);
    let tags = match &named {
        Some((name, Some(version))) => {
            let resource = format!("components:{name}:versions:{version}");
            ctx.read(|snapshot| crate::tag::of(snapshot, &realm, &resource))?
        }
        _ => crate::tag::Tags::new(),
    };
    let grant = ctx.authorize(ctx.operation.iam_action, text, |conditions| {
        conditions.resource_tags(crate::tag::pairs(&tags));
    })?;
    let Some((name, Some(version))) = named else {
        return Err(fault::not_found("component", text));
    };
    let found = ctx.read(|snapshot| find(snapshot, &realm, &name, &version))?;
    let found = found.ok_or_else(|| fault::not_found("component", text))?;
    Ok((grant, realm, found))
}
