//! One deployment at a time, from the queue to its end (CR 4.1, 4.8).

use marram_deploy::{DeploymentStatus, DetailedStatus};
use marram_types::Sparse;
use tokio::sync::watch;

use crate::activate::{self, End};
use crate::record::{News, Record, Source, Stage, folder_of, place};
use crate::store::retention;
use crate::{Current, Inner, disk, listeners, lock, prepare, update};

/// Progress that cannot be written is tried again after the poll's time, then twice as long, so often.
const MOST_DOUBLINGS: u32 = 5;

/// Works for ever.
pub(crate) async fn run(inner: &Inner) {
    let (mut told, mut failed) = (Sparse::default(), 0);
    if lock(&inner.ledger).next().is_none() {
        update::free(inner).await;
    }
    loop {
        let next = lock(&inner.ledger).next().cloned();
        match next {
            Some(record) => {
                let done = work(inner, &record).await;
                *lock(&inner.current) = None;
                if let Err(error) = done {
                    // the stage is durable, so trying again is safe; the store may recover
                    if told.is_worth_telling(&error.to_string()) {
                        tracing::error!(deployment = record.id, %error, "the deployment's progress cannot be written");
                    }
                    tokio::time::sleep(inner.settings.pace.poll * 2u32.pow(failed)).await;
                    failed = MOST_DOUBLINGS.min(failed + 1);
                } else {
                    (told, failed) = (Sparse::default(), 0);
                }
            }
            None => inner.work.notified().await,
        }
    }
}

async fn work(inner: &Inner, record: &Record) -> Result<(), activate::Interrupted> {
    let key = &record.key;
    let patient = record.source != Source::Local;
    let (cancel, canceled) = watch::channel(false);
    let cancelable = matches!(record.stage, Stage::Queued | Stage::Preparing);
    *lock(&inner.current) = Some(Current { key: key.clone(), cancel, cancelable, patient, waiting_for: None });
    let _ = inner.news.send(News::Began);
    if cancelable {
        inner
            .update(key, |record| {
                record.stage = Stage::Preparing;
                record.status = DeploymentStatus::InProgress.as_str().to_owned();
                record.unreported = record.source != Source::Local;
            })
            .await?;
        inner.reports.notify_one();
        let prepared = tokio::select! {
            biased;
            () = is_canceled(canceled) => None,
            prepared = prepare::prepare(inner, record) => Some(prepared),
        };
        // from here on a cancel comes too late
        if let Some(current) = lock(&inner.current).as_mut() {
            current.cancelable = false;
        }
        match prepared {
            None => return finish(inner, key, DeploymentStatus::Canceled, None).await,
            Some(Err(refusal)) => {
                tracing::warn!(deployment = record.id, failure = %refusal.failure, "the deployment changes nothing");
                let end = End::failed(refusal.detailed, &refusal.failure);
                return finish(inner, key, refusal.detailed.status(), Some(end)).await;
            }
            Some(Ok(activation)) => {
                if let Err(failure) = activate::commit(inner, key, &activation).await {
                    let detailed = DetailedStatus::FailedNoStateChange;
                    return finish(inner, key, detailed.status(), Some(End::failed(detailed, &failure))).await;
                }
            }
        }
    }
    let end = activate::carry_on(inner, key).await?;
    let was_canceled = lock(&inner.ledger).get(key).is_some_and(|record| record.canceled);
    if was_canceled && end.detailed == DetailedStatus::FailedRollbackComplete {
        return finish(inner, key, DeploymentStatus::Canceled, None).await;
    }
    finish(inner, key, end.detailed.status(), Some(end)).await
}

async fn is_canceled(mut canceled: watch::Receiver<bool>) {
    if canceled.wait_for(|canceled| *canceled).await.is_err() {
        std::future::pending().await
    }
}

async fn finish(
    inner: &Inner,
    key: &str,
    status: DeploymentStatus,
    end: Option<End>,
) -> Result<(), activate::Interrupted> {
    inner
        .update(key, |record| {
            record.stage = Stage::Done;
            record.status = status.as_str().to_owned();
            record.unreported = record.source != Source::Local;
            if let Some(end) = end {
                record.detailed = end.detailed.as_str().to_owned();
                record.failure = end.failure;
                record.notes = end.notes;
            }
        })
        .await?;
    let Some(record) = lock(&inner.ledger).get(key).cloned() else { return Ok(()) };
    tracing::info!(deployment = record.id, status = record.status, detailed = record.detailed, "a deployment ended");
    listeners::tell_done(inner, &record.id);
    let mut outcome = record.outcome();
    if status == DeploymentStatus::Succeeded
        && let Ok(activation) = activate::load(inner, key)
    {
        outcome.unchanged_roots = activation.unchanged_roots.iter().map(Into::into).collect();
        outcome.removed = activation.removed.iter().map(Into::into).collect();
    }
    // Nobody may be listening.
    let _ = inner.news.send(News::Ended(Box::new(outcome)));
    inner.reports.notify_one();
    let updated = status != DeploymentStatus::Succeeded
        && activate::load(inner, key).is_ok_and(|activation| activation.update.is_some());
    clean(inner, status == DeploymentStatus::Succeeded, updated).await;
    Ok(())
}

/// Forgets what nobody needs any more. Waiting deployments may need anything, so it waits for the last of them.
async fn clean(inner: &Inner, succeeded: bool, updated: bool) {
    let (surplus, waiting) = {
        let ledger = lock(&inner.ledger);
        (ledger.surplus(), ledger.next().is_some())
    };
    if !surplus.is_empty() {
        let value = {
            let mut ledger = lock(&inner.ledger);
            surplus.iter().for_each(|key| ledger.forget(key));
            ledger.to_value()
        };
        if let Err(error) = inner.ports.nucleus.put(&place(), value).await {
            tracing::warn!(%error, "old deployments cannot be forgotten");
        }
        for key in surplus {
            let _ = std::fs::remove_dir_all(folder_of(&inner.settings.root, &key));
        }
    }
    if succeeded && !waiting {
        let root = inner.settings.root.clone();
        let kept = retention::kept(&inner.ports.nucleus.get(&["services"]).unwrap_or_default());
        inner.ports.disk.step("retention").await;
        disk::blocking(move || retention::clean(&root, &kept)).await;
    } else if updated && !waiting {
        update::free(inner).await;
    }
}
