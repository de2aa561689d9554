//! `audit`: the account's own log, newest first, with a proof that nothing was taken out or changed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use marram_audit::{Audit, Covered, Filter, LookupQuery, PublicKey, lookup, read_checkpoints, verify_account};
use marram_aws_api::ApiError;
use marram_identity::CallError;
use marram_store::Store;
use marram_types::{AccountId, Timestamp};
use serde_json::{Map, Value, json};

use crate::console::Console;
use crate::door::Person;
use crate::fault;
use crate::request::{Asked, text};

/// What one must be allowed to do.
const ACTION: &str = "cloudtrail:LookupEvents";
/// Records in a page: unless asked otherwise, and at most.
const DEFAULT_PAGE: usize = 50;
const MAX_PAGE: u64 = 200;
/// Longest value of a filter, in bytes.
const MAX_VALUE: usize = 2048;
/// A proof is good for this long: recomputing a long log takes a while.
const PROOF_LIFE: Duration = Duration::from_secs(60);

/// The newest proof of each account's log. One is made at a time.
#[derive(Debug, Default)]
pub(crate) struct Proofs {
    known: Mutex<HashMap<AccountId, (Timestamp, Value)>>,
    making: tokio::sync::Mutex<()>,
}

impl Proofs {
    fn fresh(&self, account: &AccountId, now: Timestamp) -> Option<Value> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(account).filter(|(at, _)| now.since(*at) < PROOF_LIFE).map(|(_, proof)| proof.clone())
    }
}

impl Console {
    /// A page of the log and the newest proof.
    pub(crate) async fn audit(
        &self,
        asked: &Asked<'_>,
        person: &Person,
        members: &Map<String, Value>,
    ) -> Result<Value, ApiError> {
        let query = query(members)?;
        let context = self.context(asked, person)?;
        if !context.may(ACTION, "*", |_| {}) {
            return Err(ApiError::not_authorized(&person.principal.arn, ACTION, "*", false));
        }
        let page = context
            .read(|snapshot| lookup(snapshot, &context.account, &context.region, &query).map_err(CallError::from))?;
        let records: Vec<Value> = page
            .records
            .iter()
            .filter_map(|record| {
                let mut value: Value = serde_json::from_str(&record.record).ok()?;
                value["sequence"] = record.seq.into();
                Some(value)
            })
            .collect();
        let mut answer = json!({"records": records, "proof": self.proof(&context.account, asked.now).await?});
        if let Some(next) = page.next {
            answer["next"] = next.into();
        }
        Ok(answer)
    }

    async fn proof(&self, account: &AccountId, now: Timestamp) -> Result<Value, ApiError> {
        let proofs = &self.inner.proofs;
        if let Some(proof) = proofs.fresh(account, now) {
            return Ok(proof);
        }
        let _turn = proofs.making.lock().await;
        if let Some(proof) = proofs.fresh(account, now) {
            return Ok(proof);
        }
        let (store, audit) = (self.inner.store.clone(), self.inner.identity.audit().clone());
        let of = account.clone();
        let made = tokio::task::spawn_blocking(move || prove(&store, &audit, &of, now)).await;
        let proof = made.map_err(|_| ApiError::internal())?;
        let mut known = proofs.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(account.clone(), (now, proof.clone()));
        Ok(proof)
    }
}

/// Recomputes a log. What cannot be read is unchecked, never verified.
fn prove(store: &Store, audit: &Audit, account: &AccountId, now: Timestamp) -> Value {
    let at = now.epoch_seconds();
    let unchecked = |reason: String| {
        tracing::warn!(%reason, "the audit log could not be verified");
        json!({"state": "unchecked", "records": 0, "head": "", "checkpoint": 0, "at": at})
    };
    let covered = match store.read(Covered::read) {
        Ok(covered) => covered,
        Err(error) => return unchecked(error.to_string()),
    };
    // Checkpoints first: what is appended meanwhile is covered by none of them yet.
    let key = match PublicKey::load(audit.dir()) {
        Ok(key) => key,
        Err(error) => return unchecked(error.to_string()),
    };
    let checkpoints = match std::fs::read_to_string(audit.checkpoint_file()) {
        Ok(text) => read_checkpoints(&text, &key),
        Err(error) => return unchecked(error.to_string()),
    };
    // A note that cannot be read may have been this account's.
    let unreadable = checkpoints.iter().filter(|checkpoint| checkpoint.is_err()).count();
    match store.read(|snapshot| verify_account(snapshot, account, &checkpoints, &covered)) {
        Err(error) => unchecked(error.to_string()),
        Ok(found) => {
            let sound = found.report.findings.is_empty() && unreadable == 0;
            let problems: Vec<Value> = found
                .report
                .findings
                .iter()
                .take(10)
                .map(|finding| json!({"sequence": finding.seq, "problem": finding.problem.to_string()}))
                .collect();
            let head: String = found.head.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({
                "state": if sound { "verified" } else { "broken" },
                "records": found.report.records,
                "head": head,
                "checkpoint": found.checkpoint,
                "at": at,
                "problems": problems,
            })
        }
    }
}

fn query(members: &Map<String, Value>) -> Result<LookupQuery, ApiError> {
    let number = |name: &'static str| match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            value.as_u64().map(Some).ok_or_else(|| fault::invalid(name, format!("{name} must be a number.")))
        }
    };
    let limit = match number("limit")? {
        None => DEFAULT_PAGE,
        Some(limit @ 1..=MAX_PAGE) => usize::try_from(limit).unwrap_or(DEFAULT_PAGE),
        Some(_) => return Err(fault::invalid("limit", format!("limit is between 1 and {MAX_PAGE}."))),
    };
    let before_seq = number("before")?.map(|before| i64::try_from(before).unwrap_or(i64::MAX));
    let mut query = LookupQuery { limit, before_seq, ..LookupQuery::default() };
    let empty = Map::new();
    let filter = match members.get("filter") {
        None | Some(Value::Null) => &empty,
        Some(Value::Object(filter)) => filter,
        Some(_) => return Err(fault::invalid("filter", "filter must be an object.")),
    };
    for (name, value) in filter {
        let moment = || {
            let seconds = value.as_f64().and_then(|seconds| Timestamp::from_epoch_seconds(seconds).ok());
            seconds.ok_or_else(|| fault::invalid("filter", format!("{name} must be epoch seconds.")))
        };
        let given = || text(filter, name, MAX_VALUE).map(str::to_owned);
        if value.is_null() || value.as_str() == Some("") {
            continue;
        }
        match name.as_str() {
            "start" => query.start = Some(moment()?),
            "end" => query.end = Some(moment()?),
            "readOnly" => {
                let flag =
                    value.as_bool().ok_or_else(|| fault::invalid("filter", "readOnly must be true or false."))?;
                query.filters.push(Filter::ReadOnly(flag));
            }
            "eventId" => query.filters.push(Filter::EventId(given()?)),
            "eventName" => query.filters.push(Filter::EventName(given()?)),
            "eventSource" => query.filters.push(Filter::EventSource(given()?)),
            "userName" => query.filters.push(Filter::Username(given()?)),
            "accessKeyId" => query.filters.push(Filter::AccessKeyId(given()?)),
            "resourceType" => query.filters.push(Filter::ResourceType(given()?)),
            "resourceName" => query.filters.push(Filter::ResourceName(given()?)),
            other => return Err(fault::invalid("filter", format!("There is no filter `{other}`."))),
        }
    }
    Ok(query)
}
