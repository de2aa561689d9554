//! Carrying out an upload: sync, deprecate, document; all of it or nothing, one after another per namespace (TG 8).

use std::collections::BTreeSet;
use std::sync::Arc;

use marram_identity::CallError;
use marram_store::{StoreError, Tx, params};
use marram_tdm::check::{CheckOptions, check_upload};
use marram_tdm::library;
use marram_tdm::model::{Entity, Model, Urn};
use marram_types::{AccountId, Partition, Region};

use crate::catalog::{self, Entities, View, insert_entity, set_version};
use crate::realm::Realm;
use crate::service::ThingsGraph;

/// What an upload asks for.
#[derive(Debug)]
struct Job {
    document: Option<String>,
    sync: bool,
    deprecate: bool,
}

/// What an upload will change.
#[derive(Debug)]
struct Plan {
    version: i64,
    public_version: i64,
    /// Every existing entity ends with the version before.
    ends_all: bool,
    /// Entities new or different from this version on.
    written: Vec<Arc<Entity>>,
}

/// Starts the task of one upload.
pub(crate) fn spawn(service: ThingsGraph, realm: Realm, id: String) {
    tokio::spawn(async move {
        if let Err(error) = run(&service, &realm, &id).await {
            // The row stays IN_PROGRESS and is taken up again at the next start.
            tracing::error!(upload = %id, %error, "an upload could not be carried out");
        }
    });
}

/// Takes up every upload a crash interrupted, in the order they were accepted.
pub(crate) fn run_pending(service: &ThingsGraph, partition: &Partition) -> Result<usize, CallError> {
    let pending = service.inner.store.read(|s| {
        s.query_all(
            "SELECT account, region, id FROM tg_upload WHERE status = 'IN_PROGRESS' ORDER BY account, region, seq",
            params![],
            |row| Ok::<_, CallError>((row.parse::<AccountId>(0)?, row.parse::<Region>(1)?, row.get::<String>(2)?)),
        )
    })?;
    let count = pending.len();
    for (account, region, id) in pending {
        spawn(service.clone(), Realm { partition: partition.clone(), account, region }, id);
    }
    Ok(count)
}

async fn run(service: &ThingsGraph, realm: &Realm, id: &str) -> Result<(), CallError> {
    let lock = service.namespace_lock(realm);
    let _serial = lock.lock().await;
    // Uploads of a namespace may reach the lock in any order after a restart: each turn takes the oldest.
    let oldest = service.inner.store.read(|s| {
        s.query_opt(
            "SELECT id, document, sync_public, deprecate_existing FROM tg_upload
             WHERE account = $1 AND region = $2 AND status = 'IN_PROGRESS' ORDER BY seq LIMIT 1",
            params![realm.account, realm.region],
            |row| {
                let job = Job { document: row.get(1)?, sync: row.get(2)?, deprecate: row.get(3)? };
                Ok::<_, CallError>((row.get::<String>(0)?, job))
            },
        )
    })?;
    let Some((id, job)) = oldest else {
        tracing::debug!(upload = %id, "the upload was carried out already");
        return Ok(());
    };
    let planner = (service.clone(), realm.clone());
    let planned = tokio::task::spawn_blocking(move || {
        let (service, realm) = planner;
        let view = service.inner.store.read(|s| service.inner.catalog.view(s, &realm, None))?;
        let public = service.inner.store.read(|s| service.inner.catalog.public(s, library::PUBLIC_VERSION))?;
        Ok::<_, CallError>(plan(&job, &view, &public, &realm, service.inner.quotas.entities))
    })
    .await;
    let planned = match planned {
        Ok(planned) => planned?,
        // A document that brings the checker down must not be tried at every start.
        Err(_) => Err(vec!["the document could not be processed".to_owned()]),
    };
    let now = service.now();
    let (row_realm, event) = (realm.clone(), if planned.is_ok() { "EntitiesUploaded" } else { "UploadFailed" });
    let changed = service
        .system(realm)
        .commit(event, move |tx| {
            match planned {
                Ok(plan) => {
                    apply(tx, &row_realm, &plan, now)?;
                    finish(tx, &row_realm, &id, "SUCCEEDED", Some(plan.version), None)?;
                }
                Err(reasons) => {
                    let reasons = serde_json::to_string(&reasons).unwrap_or_default();
                    finish(tx, &row_realm, &id, "FAILED", None, Some(reasons))?;
                }
            }
            Ok(())
        })
        .await;
    changed.map_err(CallError::from)
}

/// Decides what the upload changes, or says everything that is wrong with it.
fn plan(
    job: &Job,
    view: &View,
    latest_public: &Arc<Entities>,
    realm: &Realm,
    most: usize,
) -> Result<Plan, Vec<String>> {
    let is_new = view.version == 0;
    let (public, public_version) = match job.sync || is_new {
        true => (latest_public, library::PUBLIC_VERSION),
        false => (&view.public, view.public_version),
    };
    let empty = Model::default();
    let kept = if job.deprecate { &empty } else { &view.own.model };
    let options = CheckOptions { namespace: realm.namespace(), is_bootstrap: false };
    let document = job.document.as_deref().unwrap_or_default();
    let uploaded = check_upload(document, kept, &public.model, &options);
    if !uploaded.reasons.is_empty() {
        return Err(uploaded.reasons);
    }
    let total = uploaded.model.entities().count();
    if total > most {
        return Err(vec![format!("TDM1005: the namespace would hold {total} entities, {most} are allowed")]);
    }
    let unchanged: BTreeSet<&Urn> = uploaded.unchanged.iter().collect();
    let changed: BTreeSet<&Urn> = uploaded.changed.iter().collect();
    // An entity nobody touched may compile to something else beside its new neighbours.
    let is_written = |entity: &Entity| match kept.get(&entity.id) {
        None => true,
        Some(_) if changed.contains(&entity.id) => true,
        Some(_) if unchanged.contains(&entity.id) => false,
        Some(old) => old.kind != entity.kind || old.references != entity.references,
    };
    let written = uploaded.model.entities().filter(|entity| is_written(entity)).cloned().collect();
    let increments = is_new || job.sync || job.deprecate || !uploaded.changed.is_empty();
    Ok(Plan {
        version: if increments { view.version + 1 } else { view.version },
        public_version,
        ends_all: job.deprecate,
        written,
    })
}

fn apply(tx: &mut Tx<'_>, realm: &Realm, plan: &Plan, now: marram_types::Timestamp) -> Result<(), CallError> {
    let (account, region) = (realm.account.as_str(), realm.region.as_str());
    let before = catalog::latest_version(tx, account, region)?.unwrap_or(0);
    if plan.ends_all {
        tx.execute(
            "UPDATE tg_entity SET last_version = $3 WHERE account = $1 AND region = $2 AND last_version IS NULL",
            params![account, region, before],
        )?;
    }
    for entity in &plan.written {
        let key = entity.id.key();
        // A version that is extended in place may hold the entity already.
        tx.execute(
            "DELETE FROM tg_entity WHERE account = $1 AND region = $2 AND urn_key = $3 AND first_version = $4",
            params![account, region, key, plan.version],
        )?;
        tx.execute(
            "UPDATE tg_entity SET last_version = $4
             WHERE account = $1 AND region = $2 AND urn_key = $3 AND last_version IS NULL",
            params![account, region, key, plan.version - 1],
        )?;
        insert_entity(tx, account, region, plan.version, entity, now)?;
    }
    set_version(tx, account, region, plan.version, plan.public_version, now)?;
    Ok(())
}

fn finish(
    tx: &mut Tx<'_>,
    realm: &Realm,
    id: &str,
    status: &str,
    version: Option<i64>,
    failure: Option<String>,
) -> Result<(), StoreError> {
    // The document has done its work; the row stays for the status (TG 8: 30 days).
    tx.execute(
        "UPDATE tg_upload SET status = $4, version = $5, failure = $6, document = NULL
         WHERE account = $1 AND region = $2 AND id = $3",
        params![realm.account, realm.region, id, status, version, failure],
    )?;
    Ok(())
}
