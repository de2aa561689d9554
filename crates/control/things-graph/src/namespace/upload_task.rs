//! Carrying out an upload: sync, deprecate, document; all of it or nothing, one after another per namespace (TG 8).

use std::collections::BTreeSet;
use std::sync::Arc;

use marram_identity::CallError;
use marram_store::{StoreError, Tx, params};
use marram_tdm::check::{CheckOptions, Checked, EntitySource, check};
use marram_tdm::library;
use marram_tdm::model::{Entity, Model, Urn};
use marram_types::{AccountId, Partition, Region};

use crate::catalog::{self, Entities, View, insert_entity, set_version};
use crate::language::findings;
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
    /// Entities that end with the version before; `None`: all.
    ended: Option<BTreeSet<Urn>>,
    added: Vec<Arc<Entity>>,
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
    let use_latest = job.sync || is_new;
    let public = if use_latest { latest_public } else { &view.public };
    let public_version = if use_latest { library::PUBLIC_VERSION } else { view.public_version };
    let empty = Model::default();
    let kept = if job.deprecate { &empty } else { &view.own.model };
    let options = CheckOptions { namespace: realm.namespace(), is_bootstrap: false };

    let document = job.document.as_deref();
    let mut added = Vec::new();
    let mut changed = BTreeSet::new();
    let mut uploaded = Model::default();
    if let Some(text) = document {
        let checked = check(&[text], &Over { own: kept, public: &public.model }, &options);
        uploaded = accepted(checked, &[text])?;
        for entity in uploaded.entities() {
            match kept.get(&entity.id) {
                None => added.push(entity.clone()),
                Some(old) if is_same(old, entity) => {}
                Some(_) => {
                    changed.insert(entity.id.clone());
                    added.push(entity.clone());
                }
            }
        }
    }
    // Whatever was checked against something that changes is checked again: a new version is valid as a whole.
    let moves_public = public_version != view.public_version && !is_new;
    if (!changed.is_empty() || moves_public) && !kept.is_empty() {
        let mut texts: Vec<&str> = document.into_iter().collect();
        let untouched = kept.entities().filter(|entity| uploaded.get(&entity.id).is_none());
        texts.extend(untouched.map(|entity| entity.source.as_str()));
        let whole = accepted(check(&texts, &Over { own: &empty, public: &public.model }, &options), &texts)?;
        // Entities compiled against changed neighbours may themselves have changed.
        for entity in whole.entities() {
            let is_untouched = uploaded.get(&entity.id).is_none();
            if is_untouched && kept.get(&entity.id).is_none_or(|old| !is_same(old, entity)) {
                changed.insert(entity.id.clone());
                added.push(entity.clone());
            }
        }
    }
    let total = kept.len() + added.len() - changed.len();
    if total > most {
        return Err(vec![format!("TDM1005: the namespace would hold {total} entities, {most} are allowed")]);
    }
    let increments = is_new || job.sync || job.deprecate || !changed.is_empty();
    Ok(Plan {
        version: if increments { view.version + 1 } else { view.version },
        public_version,
        ended: if job.deprecate { None } else { Some(changed) },
        added,
    })
}

/// One model over another, by namespace.
struct Over<'m> {
    own: &'m Model,
    public: &'m Model,
}

impl EntitySource for Over<'_> {
    fn entity(&self, id: &Urn) -> Option<Arc<Entity>> {
        if id.is_public() { self.public.get(id).cloned() } else { self.own.get(id).cloned() }
    }

    fn mappings(&self) -> Vec<Arc<Entity>> {
        self.own.mappings().chain(self.public.mappings()).cloned().collect()
    }
}

fn accepted(checked: Checked, texts: &[&str]) -> Result<Model, Vec<String>> {
    if checked.is_ok() { Ok(checked.model) } else { Err(findings(&checked.diagnostics, texts)) }
}

/// Whether two definitions mean the same: comments, whitespace, commas, quotes and the case of keywords do not count.
fn is_same(old: &Entity, new: &Entity) -> bool {
    old.id.as_str() == new.id.as_str()
        && old.aliases == new.aliases
        && old.name == new.name
        && old.description == new.description
        && old.kind == new.kind
}

fn apply(tx: &mut Tx<'_>, realm: &Realm, plan: &Plan, now: marram_types::Timestamp) -> Result<(), CallError> {
    let (account, region) = (realm.account.as_str(), realm.region.as_str());
    let before = catalog::latest_version(tx, account, region)?.unwrap_or(0);
    match &plan.ended {
        None => {
            tx.execute(
                "UPDATE tg_entity SET last_version = $3 WHERE account = $1 AND region = $2 AND last_version IS NULL",
                params![account, region, before],
            )?;
        }
        Some(ended) => {
            for id in ended {
                tx.execute(
                    "UPDATE tg_entity SET last_version = $4
                     WHERE account = $1 AND region = $2 AND urn_key = $3 AND last_version IS NULL",
                    params![account, region, id.key(), before],
                )?;
            }
        }
    }
    for entity in &plan.added {
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
