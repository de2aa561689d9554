//! The ways of a document to its devices: a continuous job for a group, a named shadow for a thing, a job of its own for a thing
//! whose core listens to nothing else (control-plane-api 7.3).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use marram_aws_api::ApiError;
use marram_identity::CallError;
use marram_jobs::NewJob;
use marram_registry::Realm;
use marram_shadows::ShadowId;
use marram_store::{Tx, params};
use marram_types::Timestamp;
use serde_json::{Map, Value, json};

use super::document::{MAX_IN_JOB, MAX_IN_SHADOW, SHADOW, reference, whole};
use super::{COLUMNS, Deployment, NAMESPACE};
use crate::Greengrass;
use crate::place::Target;
use crate::service::ACTOR;

/// Undelivered deployments taken up at a start.
const BATCH: i64 = 10_000;

/// Inside the transaction that makes a deployment: keeps a document that is too large for its way, and makes the job.
pub(super) fn prepare(
    greengrass: &Greengrass,
    tx: &mut Tx<'_>,
    realm: &Realm,
    deployment: &mut Deployment,
    now: Timestamp,
) -> Result<(), CallError> {
    let key = &greengrass.parts.key;
    let full = whole(realm, key, deployment).to_string();
    let too_large = match deployment.job {
        Some(_) => full.chars().count() > MAX_IN_JOB,
        // As a text inside JSON its quotes are escaped.
        None => Value::from(full.as_str()).to_string().len() > MAX_IN_SHADOW,
    };
    if too_large {
        let (shared, sha256) = greengrass.parts.objects.share_text(tx, &realm.account, &full, now)?;
        deployment.large = Some(shared);
        deployment.large_sha256 = Some(STANDARD.encode(sha256));
    }
    let document = if too_large { reference(realm, key, deployment).to_string() } else { full };
    make_job(greengrass, tx, realm, deployment, document, now)
}

/// The job of a deployment that has one: its devices find it in the queue for deployments.
fn make_job(
    greengrass: &Greengrass,
    tx: &mut Tx<'_>,
    realm: &Realm,
    deployment: &Deployment,
    document: String,
    now: Timestamp,
) -> Result<(), CallError> {
    let Some(job) = &deployment.job else { return Ok(()) };
    let mut config = Map::new();
    for (name, value) in deployment.request["iotJobConfiguration"].as_object().into_iter().flatten() {
        config.insert(name.clone(), value.clone());
    }
    let new = NewJob {
        id: job.parse().map_err(|_| ApiError::internal())?,
        namespace: NAMESPACE.parse().map_err(|_| ApiError::internal())?,
        targets: vec![realm.arn(&deployment.target)],
        continuous: matches!(deployment.target(), Target::Group(_)),
        document,
        unfilled: None,
        config: Value::Object(config),
        start_at: None,
        end_at: None,
    };
    greengrass.parts.jobs.create_in(tx, realm, &new, now)?;
    Ok(())
}

/// A core has said that it listens to jobs alone: a deployment that waits for it in its shadow goes to it as a job.
pub(crate) fn hand_over(
    greengrass: &Greengrass,
    tx: &mut Tx<'_>,
    realm: &Realm,
    thing: &str,
    now: Timestamp,
) -> Result<(), CallError> {
    let waiting = tx.query_opt(
        &format!(
            "{COLUMNS} WHERE account = $1 AND region = $2 AND target = $3 AND latest = 1 AND status = 'ACTIVE' AND job IS NULL"
        ),
        params![realm.account, realm.region, format!("thing/{thing}")],
        Deployment::read,
    )?;
    let Some(mut deployment) = waiting else { return Ok(()) };
    let job = uuid::Uuid::new_v4().to_string();
    tx.execute(
        "UPDATE gg_deployment SET job = $4, delivered = 1 WHERE account = $1 AND region = $2 AND id = $3",
        params![realm.account, realm.region, deployment.id, job],
    )?;
    deployment.job = Some(job);
    let key = &greengrass.parts.key;
    let full = whole(realm, key, &deployment).to_string();
    let document = if deployment.large.is_some() && full.chars().count() > MAX_IN_JOB {
        reference(realm, key, &deployment).to_string()
    } else {
        full
    };
    make_job(greengrass, tx, realm, &deployment, document, now)
}

/// Writes a thing's deployment into its shadow.
pub(super) async fn deliver(greengrass: &Greengrass, realm: &Realm, deployment: &Deployment) -> Result<(), ApiError> {
    let Target::Thing(thing) = deployment.target() else { return Ok(()) };
    let key = &greengrass.parts.key;
    let document =
        if deployment.large.is_some() { reference(realm, key, deployment) } else { whole(realm, key, deployment) };
    let desired = json!({
        "fleetConfig": document.to_string(), "desiredStatus": "SUCCEEDED",
        "fleetConfigurationArn": document["configurationArn"],
    });
    shadow(greengrass, realm, &thing, json!({"state": {"desired": desired}})).await?;
    let system = greengrass.parts.identity.system(ACTOR, realm.account.clone(), realm.region.clone());
    let (realm, id) = (realm.clone(), deployment.id.clone());
    system
        .commit_unrecorded(move |tx| {
            tx.execute(
                "UPDATE gg_deployment SET delivered = 1 WHERE account = $1 AND region = $2 AND id = $3",
                params![realm.account, realm.region, id],
            )?;
            Ok(())
        })
        .await
}

/// Changes a thing's deployment shadow.
pub(super) async fn shadow(greengrass: &Greengrass, realm: &Realm, thing: &str, body: Value) -> Result<(), ApiError> {
    let id = ShadowId {
        thing: thing.parse().map_err(|_| ApiError::internal())?,
        name: Some(SHADOW.parse().map_err(|_| ApiError::internal())?),
    };
    greengrass.parts.shadows.update(realm, &id, body).await.map(drop)
}

/// Hands out what a crash kept from its shadow.
pub(crate) async fn recover(greengrass: &Greengrass) -> Result<(), ApiError> {
    let identity = &greengrass.parts.identity;
    for account in identity.accounts() {
        for region in identity.regions() {
            let realm =
                Realm { partition: identity.partition().clone(), account: account.clone(), region: region.clone() };
            let system = identity.system(ACTOR, account.clone(), region.clone());
            let waiting = system.read(|snapshot| {
                snapshot.query_all(
                    &format!(
                        "{COLUMNS} WHERE account = $1 AND region = $2 AND delivered = 0 AND latest = 1
                         AND status = 'ACTIVE' ORDER BY created_at LIMIT {BATCH}"
                    ),
                    params![realm.account, realm.region],
                    Deployment::read,
                )
            })?;
            for deployment in waiting {
                deliver(greengrass, &realm, &deployment).await?;
            }
        }
    }
    Ok(())
}
