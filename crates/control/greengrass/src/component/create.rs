//! `CreateComponentVersion` (control-plane-api 7.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use marram_aws_api::ApiError;
use marram_identity::CallContext;
use marram_objects::{Artifact, Objects};
use marram_recipe::{ArtifactUri, Finding, Recipe, Severity, publication_findings, read};
use marram_store::params;
use serde_json::{Map, Value, json};

use super::{Kept, find};
use crate::idempotency::Attempt;
use crate::place::{self, component_version};
use crate::{Greengrass, fault, tag};

/// Largest artifact (control-plane-api 10.4).
const MAX_ARTIFACT: u64 = 2 << 30;

/// Publishes a version: the recipe is checked, artifacts in the object store are read with the caller's rights, hashed and
/// kept. Answers `REQUESTED`, as the original does; `DescribeComponent` tells how it went.
pub(crate) async fn create(greengrass: &Greengrass, ctx: &CallContext, input: Value) -> Result<Value, ApiError> {
    let (realm, now) = (place::realm(ctx), ctx.now);
    let tags = tag::given(&input)?;
    let bytes = input["inlineRecipe"].as_str().and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
    let reading = read(&bytes);
    let name = reading.recipe.as_ref().map_or("*", |recipe| recipe.name.as_str());
    let grant = ctx.authorize(ctx.operation.iam_action, &place::component(&realm, name), |conditions| {
        conditions.request_tags(tag::pairs(&tags));
    })?;
    if !input["lambdaFunction"].is_null() {
        return Err(fault::field("lambdaFunction", "Importing a Lambda function is not supported by this endpoint."));
    }
    if bytes.is_empty() {
        return Err(fault::field("inlineRecipe", "A recipe is required."));
    }
    let mut findings: Vec<Finding> = reading.errors().cloned().collect();
    let mut warnings: Vec<Finding> = reading.warnings().cloned().collect();
    if let Some(recipe) = &reading.recipe {
        let (fatal, told) = rights(recipe).partition(|finding| finding.severity == Severity::Error);
        findings.extend::<Vec<Finding>>(fatal);
        warnings.extend::<Vec<Finding>>(told);
        findings.extend(publication_findings(bytes.len(), recipe));
        findings.extend(part_of_the_core(recipe));
        findings.extend(wrong_session(recipe));
        findings.extend(settings_findings(recipe));
    }
    let Some(mut recipe) = reading.recipe.filter(|_| findings.is_empty()) else {
        return Err(invalid(&findings));
    };
    let attempt = Attempt::of(ctx, &input);
    if let Some(answer) = ctx.read(|snapshot| attempt.earlier(snapshot, &realm, now))? {
        return Ok(answer);
    }
    let (name, version) = (recipe.name.to_string(), recipe.version.to_string());
    // Asked before artifacts are read: a version that stands is not worth the work.
    let existing = ctx.read(|snapshot| find(snapshot, &realm, &name, &version))?;
    if existing.is_some_and(|known| known.state != "FAILED") {
        return Err(taken(&name, &version));
    }
    let mut errors = Map::new();
    let artifacts = fetch(greengrass, ctx, &mut recipe, &mut errors).await;
    let arn = component_version(&realm, &name, &version);
    let told = message(&warnings);
    let answer = json!({
        "arn": arn, "componentName": name, "componentVersion": version, "creationTimestamp": now.epoch_seconds(),
        "status": {"componentState": "REQUESTED", "message": told, "errors": {}},
    });
    let (greengrass, answered) = (greengrass.clone(), answer.clone());
    ctx.commit(grant, move |tx| {
        if let Some(known) = find(tx, &realm, &name, &version)? {
            if known.state != "FAILED" {
                return Err(taken(&name, &version).into());
            }
            for kept in &known.artifacts {
                greengrass.parts.objects.unshare(tx, &realm.account, &kept.shared)?;
            }
        }
        let mut kept = Vec::new();
        for (name, artifact) in &artifacts {
            let shared = Objects::share(tx, &realm.account, artifact, now)?;
            kept.push(Kept { name: name.clone(), shared });
        }
        let (state, message) =
            if errors.is_empty() { ("DEPLOYABLE", told.as_str()) } else { ("FAILED", "One or more artifacts cannot be used.") };
        tx.execute(
            "INSERT INTO gg_component (account, region, name, version, state, message, errors, recipe, artifacts, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (account, region, name, version) DO UPDATE SET state = excluded.state,
             message = excluded.message, errors = excluded.errors, recipe = excluded.recipe,
             artifacts = excluded.artifacts, created_at = excluded.created_at",
            params![
                realm.account,
                realm.region,
                name,
                version,
                state,
                message,
                Value::Object(errors).to_string(),
                recipe.to_json().to_string(),
                serde_json::to_string(&kept).unwrap_or_default(),
                now
            ],
        )?;
        tag::insert(tx, &realm, &format!("components:{name}:versions:{version}"), &tags)?;
        attempt.remember(tx, &realm, &answered, now)?;
        Ok(answered)
    })
    .await
}

/// Cores have parts of their own that a component of the same name would never take the place of.
fn part_of_the_core(recipe: &Recipe) -> Option<Finding> {
    let is_part = marram_deploy::BUILTINS.iter().any(|part| part.name.eq_ignore_ascii_case(&recipe.name));
    // The vendors' own prefix is refused for itself.
    let is_new = is_part && !recipe.name.starts_with("aws.");
    is_new.then(|| Finding {
        severity: Severity::Error,
        field: "ComponentName".to_owned(),
        place: None,
        message: format!("`{}` is a part of every core", recipe.name),
        remedy: "use a name of your own, for example com.example.Name".to_owned(),
    })
}

/// A session policy that narrows nothing is the author's to mend now, not the device's to find (SEC-134).
fn wrong_session(recipe: &Recipe) -> Option<Finding> {
    let error = marram_deploy::session_policy(recipe.default_configuration.as_ref()?).err()?;
    Some(Finding {
        severity: Severity::Error,
        field: format!("ComponentConfiguration.DefaultConfiguration.{}", error.field),
        place: None,
        message: error.reason,
        remedy: error.remedy.to_owned(),
    })
}

/// What the core reads of a component's own configuration must be what the core knows.
fn settings_findings(recipe: &Recipe) -> impl Iterator<Item = Finding> {
    let check = |own| marram_deploy::check_component(&recipe.name, own, marram_deploy::Scope::Update);
    let faults = recipe.default_configuration.as_ref().map(check).unwrap_or_default();
    faults.into_iter().map(|fault| Finding {
        severity: Severity::Error,
        field: format!("ComponentConfiguration.DefaultConfiguration.{}", fault.path),
        place: None,
        message: fault.problem,
        remedy: "write one of the settings that the book's page on cores names, or leave it out".to_owned(),
    })
}

/// Rights that the core would refuse, or that grant nothing (CR 6.9).
fn rights(recipe: &Recipe) -> impl Iterator<Item = Finding> {
    let found = recipe.default_configuration.as_ref().map(marram_deploy::check_access).unwrap_or_default();
    found.into_iter().map(|problem| Finding {
        severity: if problem.fatal { Severity::Error } else { Severity::Warning },
        field: format!("ComponentConfiguration.DefaultConfiguration.{}", problem.place),
        place: None,
        message: problem.problem,
        remedy: problem.remedy,
    })
}

/// What `status.message` says of a component that can be deployed: the word for nothing, or every warning.
fn message(warnings: &[Finding]) -> String {
    if warnings.is_empty() {
        return "NONE".to_owned();
    }
    let told: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    format!("Warnings: {}", told.join(" | "))
}

fn taken(name: &str, version: &str) -> ApiError {
    let message = format!("Component [{name} : {version}] already exists with status: [DEPLOYABLE].");
    fault::conflict("component", &format!("{name}:{version}"), message)
}

/// What the author is told: every finding with its place and remedy.
fn invalid(findings: &[Finding]) -> ApiError {
    let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
    let fields =
        findings.iter().map(|finding| json!({"name": finding.field, "message": finding.to_string()})).collect();
    fault::fields(format!("The recipe is not valid: {}", told.join(" | ")), fields)
}

/// Reads the artifacts that stand in the object store, writes digests and places into the recipe and what went wrong into
/// `errors`, by URI.
async fn fetch(
    greengrass: &Greengrass,
    ctx: &CallContext,
    recipe: &mut Recipe,
    errors: &mut Map<String, Value>,
) -> Vec<(String, Artifact)> {
    let mut found: Vec<(String, Artifact)> = Vec::new();
    for artifact in recipe.artifacts_mut() {
        // Whatever the author wrote: digests are the service's to write (control-plane-api 7.2).
        (artifact.digest, artifact.algorithm) = (None, None);
        let Ok(ArtifactUri::S3 { bucket, key }) = artifact.place() else { continue };
        match greengrass.parts.objects.artifact(ctx, &bucket, &key).await {
            Err(error) => {
                let why = format!("{}: {}", error.code, error.message);
                errors.insert(artifact.uri.clone(), why.into());
            }
            Ok(read) if read.size > MAX_ARTIFACT => {
                errors.insert(artifact.uri.clone(), "The artifact is larger than 2 GB.".into());
            }
            Ok(read) => {
                artifact.digest = Some(STANDARD.encode(read.sha256));
                artifact.algorithm = Some("SHA-256".to_owned());
                // Two artifacts of one file name, of different manifests, must not meet.
                let file = key.rsplit('/').next().unwrap_or(&key);
                let name = format!("{}/{file}", hex::encode(read.sha256.get(..8).unwrap_or_default()));
                if greengrass.parts.rewrite_s3_artifacts {
                    artifact.uri = format!("greengrass:{name}");
                }
                if !found.iter().any(|(known, _)| *known == name) {
                    found.push((name, read));
                }
            }
        }
    }
    if errors.is_empty() { found } else { Vec::new() }
}
