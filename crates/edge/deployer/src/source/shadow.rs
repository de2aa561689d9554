//! Thing deployments through the named shadow (CR 4.4).

use marram_deploy::{DeploymentDocument, DeploymentStatus};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{admit, connected, due, is_online, jittered, publish, reconnected, subscribe};
use crate::record::{News, Record, Source, Stage};
use crate::store::sha256_base64;
use crate::{Inner, local, lock, trust};

/// The shadow's name.
pub(crate) const SHADOW: &str = "AWSManagedGreengrassV2Deployment";

/// First part of its topics.
pub(crate) fn base(inner: &Inner) -> String {
    format!("$aws/things/{}/shadow/name/{SHADOW}", inner.settings.thing_name)
}

/// Listens for ever.
pub(crate) async fn run(inner: &Inner) {
    if !is_online(inner) {
        std::future::pending::<()>().await;
    }
    let base = base(inner);
    let (got_topic, updated_topic) = (format!("{base}/get/accepted"), format!("{base}/update/accepted"));
    let mut connection = inner.ports.messages.connection();
    connected(&mut connection).await;
    let mut got = subscribe(inner, &got_topic).await;
    let mut updated = subscribe(inner, &updated_topic).await;
    let mut is_done = ask(inner).await;
    let mut again: Option<Instant> = None;
    loop {
        if !is_done {
            again = Some(Instant::now() + jittered(inner));
        }
        is_done = tokio::select! {
            () = reconnected(&mut connection) => {
                lock(&inner.shadow_version).reconnected();
                ask(inner).await
            }
            () = due(again), if again.is_some() => {
                again = None;
                ask(inner).await
            }
            message = got.messages.recv() => match message {
                Some(message) => take(inner, &message.payload, true).await,
                None => {
                    got = subscribe(inner, &got_topic).await;
                    true
                }
            },
            message = updated.messages.recv() => match message {
                Some(message) => take(inner, &message.payload, false).await,
                None => {
                    updated = subscribe(inner, &updated_topic).await;
                    true
                }
            },
        };
    }
}

/// Asks for the whole shadow. False: the question was not kept, a full disk for example, so it must be asked again.
pub(crate) async fn ask(inner: &Inner) -> bool {
    let asked = publish(inner, &format!("{}/get", base(inner)), &Value::Null).await;
    if let Err(error) = &asked
        && lock(&inner.told_source).is_worth_telling(&error.to_string())
    {
        tracing::warn!(%error, "the deployment shadow cannot be asked for");
    }
    asked.is_ok()
}

/// Versions of the shadow as they came in.
#[derive(Debug, Default)]
pub(crate) struct Versions {
    /// The last one on this line.
    pub seen: Option<i64>,
    /// The last one on the line before, until this line's first answer.
    before: Option<i64>,
}

/// What a version is against those before it.
#[derive(Debug, PartialEq, Eq)]
enum Order {
    Next,
    /// Older than what came before it on this line: nothing is done with it.
    Old,
    /// Older than what was known before the line went: the control plane's own state is an earlier one, from a backup for example.
    WentBack,
}

impl Versions {
    fn reconnected(&mut self) {
        self.before = self.seen.take().max(self.before);
    }

    /// `is_answer`: to our own question.
    fn take(&mut self, version: i64, is_answer: bool) -> Order {
        if self.seen.is_some_and(|seen| version < seen) {
            return Order::Old;
        }
        self.seen = Some(version);
        match if is_answer { self.before.take() } else { None } {
            Some(before) if version < before => Order::WentBack,
            _ => Order::Next,
        }
    }
}

/// Whether the core is what this document made of it, as far as its target goes. A document that cannot be read makes nothing.
fn is_last_of_its_target(inner: &Inner, document: &Value) -> bool {
    let Ok(document) = DeploymentDocument::from_value(document) else { return true };
    let Ok(target) = document.group_key() else { return true };
    let path = ["services", "DeploymentService", "GroupToLastDeployment", &target, "configArn"];
    inner.ports.nucleus.get(&path).is_some_and(|last| last == document.configuration_arn)
}

/// False: there is a deployment that could not be kept, so the shadow must be asked for again.
async fn take(inner: &Inner, payload: &[u8], whole: bool) -> bool {
    let Ok(message) = serde_json::from_slice::<Value>(payload) else { return true };
    if let Some(version) = message.get("version").and_then(Value::as_i64) {
        let order = lock(&inner.shadow_version).take(version, whole);
        match order {
            Order::Old => return true,
            Order::WentBack => {
                tracing::warn!(version, "the control plane was put back to an earlier state: it is told all");
                // Nobody may be listening.
                let _ = inner.news.send(News::WentBack);
            }
            Order::Next => {}
        }
    }
    let empty = Map::new();
    let part = |key: &str| message.pointer(&format!("/state/{key}")).and_then(Value::as_object).unwrap_or(&empty);
    let (desired, reported) = (part("desired"), part("reported"));
    if desired.is_empty() {
        return true;
    }
    let text = |map: &Map<String, Value>, key: &str| map.get(key).and_then(Value::as_str).map(str::to_owned);
    let canceled = text(desired, "desiredStatus").as_deref() == Some("CANCELED");
    let document = text(desired, "fleetConfig");
    // The document names its configuration too; a control plane may leave the member beside it out.
    let arn = text(desired, "fleetConfigurationArn").or_else(|| {
        let document: Value = serde_json::from_str(document.as_deref()?).ok()?;
        Some(document.get("configurationArn")?.as_str()?.to_owned())
    });
    let (Some(arn), Some(document)) = (arn, document) else {
        if !whole && (canceled || desired.contains_key("fleetConfigurationArn") || desired.contains_key("fleetConfig"))
        {
            // an update names changed members only
            return ask(inner).await;
        }
        return true;
    };
    let sha256 = sha256_base64(document.as_bytes());
    let parsed: Value = serde_json::from_str(&document).unwrap_or(Value::Null);
    let id = parsed.get("deploymentId").and_then(Value::as_str).unwrap_or(&arn).to_owned();
    // Another control plane numbers its revisions from one as well: the same ARN may be another deployment.
    let of_arn: Vec<Record> = lock(&inner.ledger)
        .all()
        .filter(|record| record.source == Source::Shadow && record.arn == arn && record.id == id)
        .cloned()
        .collect();
    let known = of_arn.iter().rfind(|record| record.is_of(&sha256)).cloned();
    if canceled {
        // It is told again whenever the shadow is read: what goes back for it already may take its time.
        if let Some(record) = known.filter(|record| record.stage != Stage::Done && !record.canceled)
            && let Err(error) = local::cancel(inner, &record.key).await
        {
            tracing::info!(%error, deployment = record.id, "a canceled deployment goes on");
        }
        return true;
    }
    if known.is_some() {
        return true;
    }
    let reported_status = text(reported, "status").and_then(|word| DeploymentStatus::from_word(&word));
    // What was told of a forged document says nothing of the true one; and a core that was put back to an earlier state is not what it
    // told to be.
    let is_so = reported_status != Some(DeploymentStatus::Succeeded) || is_last_of_its_target(inner, &parsed);
    let over = reported_status.is_some_and(DeploymentStatus::is_terminal) && of_arn.is_empty() && is_so;
    if over && text(reported, "fleetConfigurationArnForStatus").as_ref() == Some(&arn) {
        return true;
    }
    // Before anything of it is used.
    let verdict = trust::judge(inner, &parsed);
    if verdict.is_ok() {
        cancel_older(inner).await;
    }
    let key = uuid::Uuid::new_v4().to_string();
    let record = local::new_record(&key, &id, Source::Shadow, &arn, inner.now());
    if let Err(error) = admit(inner, record, document.into_bytes(), verdict).await {
        if lock(&inner.told_source).is_worth_telling(&format!("{arn} {error}")) {
            tracing::error!(%error, arn, "a thing deployment cannot be kept; it is asked for again");
        }
        return false;
    }
    true
}

async fn cancel_older(inner: &Inner) {
    // a newer thing deployment takes the place of older ones
    let older: Vec<String> = lock(&inner.ledger)
        .all()
        .filter(|record| record.source == Source::Shadow && matches!(record.stage, Stage::Queued | Stage::Preparing))
        .map(|record| record.key.clone())
        .collect();
    for key in older {
        if let Err(error) = local::cancel(inner, &key).await {
            tracing::info!(%error, key, "an older thing deployment goes on");
        }
    }
}
