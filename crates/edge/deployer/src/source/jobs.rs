//! Thing-group deployments through IoT jobs in their own namespace (CR 4.3).

use marram_deploy::DeploymentStatus;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{admit, connected, due, is_online, jittered, patience, publish, reconnected, subscribe};
use crate::record::{Source, Stage};
use crate::store::sha256_base64;
use crate::{Inner, endpoints, local, lock, trust};

/// Namespace of deployment jobs.
pub(crate) const NAMESPACE: &str = "namespace-aws-gg-deployment";

/// Listens for ever.
pub(crate) async fn run(inner: &Inner) {
    if !is_online(inner) {
        std::future::pending::<()>().await;
    }
    let thing = &inner.settings.thing_name;
    let base = format!("$aws/things/{thing}/jobs");
    let mut connection = inner.ports.messages.connection();
    connected(&mut connection).await;
    let mut notify = subscribe(inner, &format!("{base}/notify-{NAMESPACE}")).await;
    let mut next = subscribe(inner, &format!("{base}/$next/{NAMESPACE}/get/accepted")).await;
    let mut question = Question::default();
    question.ask(inner, &base).await;
    loop {
        tokio::select! {
            () = reconnected(&mut connection) => question.ask(inner, &base).await,
            () = due(question.again), if question.again.is_some() => {
                question.again = None;
                // Without a line it would wait in the spool; when the line is back it is asked anyway.
                if *connection.borrow() {
                    question.ask(inner, &base).await;
                }
            }
            message = notify.messages.recv() => match message {
                // The list in it may be older than an answer that is here already: only the answer to a question tells.
                Some(message) => if !lists_nothing(&message.payload) || has_open_job(inner) {
                    question.ask(inner, &base).await;
                },
                None => {
                    notify = subscribe(inner, &format!("{base}/notify-{NAMESPACE}")).await;
                    question.ask(inner, &base).await;
                }
            },
            message = next.messages.recv() => match message {
                Some(message) => question.answered(inner, &message.payload).await,
                None => {
                    next = subscribe(inner, &format!("{base}/$next/{NAMESPACE}/get/accepted")).await;
                    question.ask(inner, &base).await;
                }
            },
        }
    }
}

/// Whether a notification says that the list of jobs is empty.
fn lists_nothing(payload: &[u8]) -> bool {
    let message = serde_json::from_slice::<Value>(payload).unwrap_or_default();
    let jobs = message.get("jobs").and_then(Value::as_object);
    jobs.is_some_and(|jobs| jobs.values().all(|list| list.as_array().is_none_or(Vec::is_empty)))
}

fn has_open_job(inner: &Inner) -> bool {
    let ledger = lock(&inner.ledger);
    ledger.all().any(|record| matches!(record.source, Source::Job { .. }) && record.stage != Stage::Done)
}

/// What is the next job?
#[derive(Default)]
struct Question {
    /// Of the last one that was sent.
    token: Option<String>,
    /// When it is asked again: there was no answer, or what came could not be kept, a full disk for example.
    again: Option<Instant>,
    /// Asked without an answer, one time after the other.
    unanswered: u32,
}

impl Question {
    async fn ask(&mut self, inner: &Inner, base: &str) {
        let token = uuid::Uuid::new_v4().to_string();
        let request = json!({
            "jobId": "$next", "thingName": inner.settings.thing_name, "includeJobDocument": true, "clientToken": token,
        });
        let patience = match publish(inner, &format!("{base}/$next/{NAMESPACE}/get"), &request).await {
            Ok(()) => {
                self.token = Some(token);
                let patience = patience(inner, self.unanswered);
                self.unanswered = self.unanswered.saturating_add(1);
                patience
            }
            Err(error) => {
                if lock(&inner.told_source).is_worth_telling(&error.to_string()) {
                    tracing::warn!(%error, "the next deployment job cannot be asked for");
                }
                jittered(inner)
            }
        };
        self.again = Some(Instant::now() + patience);
    }

    /// Answers to earlier questions may be late or repeated: they take nothing back and bring nothing back.
    async fn answered(&mut self, inner: &Inner, payload: &[u8]) {
        let Ok(answer) = serde_json::from_slice::<Value>(payload) else { return };
        let token = answer.get("clientToken").and_then(Value::as_str);
        let is_newest = token.is_some() && token == self.token.as_deref();
        if is_newest {
            (self.again, self.unanswered) = (None, 0);
        }
        if !take(inner, &answer, is_newest).await {
            self.again = Some(Instant::now() + jittered(inner));
        }
    }
}

/// Takes back the deployments of jobs that are gone, up to `last`: one that is being activated goes on when a younger job waits behind
/// it, as with the original (CR 4.8), and back when nothing does.
async fn take_back(inner: &Inner, last: Stage, is_gone: impl Fn(&str, i64) -> bool) {
    let gone: Vec<String> = lock(&inner.ledger)
        .all()
        .filter(|record| match record.stage {
            Stage::Queued | Stage::Preparing => true,
            // a rollback that nobody asked for any more is not waited out
            Stage::Bootstrapping | Stage::Activating | Stage::RollingBack => {
                last == Stage::Activating && !record.canceled && !record.abandoned
            }
            Stage::Done => false,
        })
        .filter(|record| !endpoints::is_moving(inner, record))
        .filter(|record| match &record.source {
            Source::Job { job_id, queued_at } => is_gone(job_id, *queued_at),
            Source::Shadow | Source::Local => false,
        })
        .map(|record| record.key.clone())
        .collect();
    for key in gone {
        if let Err(error) = local::cancel(inner, &key).await {
            tracing::info!(%error, key, "a removed job's deployment goes on");
        }
    }
}

/// Takes up an answer. False: there is a job that could not be kept, so it must be asked for again.
async fn take(inner: &Inner, answer: &Value, is_newest: bool) -> bool {
    let execution = answer.get("execution").filter(|execution| execution.is_object());
    let Some((execution, job_id)) = execution.and_then(|one| Some((one, one.get("jobId")?.as_str()?))) else {
        if is_newest {
            take_back(inner, Stage::Activating, |_, _| true).await;
        }
        return true;
    };
    let queued_at = execution.get("queuedAt").and_then(Value::as_i64).unwrap_or(0);
    // What is in progress comes before what is queued, and that by its age: an older one that was next once is gone.
    if is_newest && execution.get("status").and_then(Value::as_str) == Some("QUEUED") {
        take_back(inner, Stage::Preparing, |other, since| other != job_id && since <= queued_at).await;
    }
    let source = Source::Job { job_id: job_id.to_owned(), queued_at };
    let document = execution.get("jobDocument").cloned().unwrap_or(Value::Null);
    // some planes send the document as a text
    let document = match document {
        Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        other => other,
    };
    let bytes = document.to_string().into_bytes();
    let sha256 = sha256_base64(&bytes);
    // One that was taken back and is offered again is begun anew: taking it back was a misunderstanding.
    let known = lock(&inner.ledger)
        .all()
        .filter(|record| record.source == source && record.is_of(&sha256))
        .find(|record| !is_newest || record.status() != DeploymentStatus::Canceled)
        .map(|record| record.key.clone());
    if let Some(key) = known {
        // the control plane missed how it ended: tell it again
        let is_done = lock(&inner.ledger).get(&key).is_some_and(|record| record.stage == Stage::Done);
        if is_done && inner.update(&key, |record| record.unreported = true).await.is_ok() {
            inner.reports.notify_one();
        }
        return true;
    }
    // Before anything of it is used.
    let verdict = trust::judge(inner, &document);
    let text = |key: &str| {
        let map = document.as_object();
        let value = map.and_then(|map| map.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)));
        value.and_then(|(_, value)| value.as_str()).unwrap_or_default().to_owned()
    };
    let (id, arn) = (text("deploymentId"), text("configurationArn"));
    let id = if id.is_empty() { job_id.to_owned() } else { id };
    let key = uuid::Uuid::new_v4().to_string();
    let record = local::new_record(&key, &id, source, &arn, inner.now());
    if let Err(error) = admit(inner, record, bytes, verdict).await {
        if lock(&inner.told_source).is_worth_telling(&format!("{job_id} {error}")) {
            tracing::error!(%error, job_id, "a deployment job cannot be kept; it is asked for again");
        }
        return false;
    }
    true
}
