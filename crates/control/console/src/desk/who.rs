//! `who-can` and `can`: policies read from both ends.

use std::sync::Arc;

use marram_aws_api::ApiError;
use marram_identity::CallContext;
use marram_types::{AccountId, Region};
use serde_json::{Map, Value, json};

use crate::console::Console;
use crate::door::Person;
use crate::fault;
use crate::request::{Asked, text};

/// What one must be allowed to do: the answers tell of everybody's policies.
const ACTION: &str = "iam:SimulatePrincipalPolicy";
/// Longest action, in bytes.
const MAX_ACTION: usize = 256;
/// Longest ARN, in bytes.
const MAX_ARN: usize = 2048;
/// Certificates asked at a time.
const MAX_CERTIFICATES: usize = 500;
/// Rows answered to `can`.
const MAX_ROWS: usize = 2_000;

/// Policy and statement of each statement that decided.
pub type Reasons = Vec<(String, String)>;

/// What certificates answered: ARN, whether it may, and why.
#[derive(Clone, Debug)]
pub struct SurveyedDevices {
    /// ARN of each certificate that a statement speaks of.
    pub devices: Vec<(String, bool, Reasons)>,
    /// There are more certificates than were asked.
    pub more: bool,
}

/// What is known of device certificates.
pub trait Devices: Send + Sync {
    /// Asks the first `limit` active certificates. May block.
    ///
    /// # Errors
    /// The store's.
    fn survey(
        &self,
        account: &AccountId,
        region: &Region,
        action: &str,
        resource: &str,
        limit: usize,
    ) -> Result<SurveyedDevices, ApiError>;

    /// Name and document of each policy that speaks for a certificate; `None` when there is no such certificate.
    ///
    /// # Errors
    /// The store's.
    fn documents(
        &self,
        account: &AccountId,
        region: &Region,
        certificate_arn: &str,
    ) -> Result<Option<Vec<(String, String)>>, ApiError>;
}

impl Console {
    /// `who-can`: every principal of the account that a statement allows or forbids this.
    pub(crate) async fn who_can(
        &self,
        asked: &Asked<'_>,
        person: &Person,
        members: &Map<String, Value>,
    ) -> Result<Value, ApiError> {
        let action = text(members, "action", MAX_ACTION)?.to_owned();
        let resource = match members.get("resource") {
            None | Some(Value::Null) => "*".to_owned(),
            Some(_) => text(members, "resource", MAX_ARN)?.to_owned(),
        };
        if !action.contains(':') {
            return Err(fault::invalid("action", "An action is written as service:Name."));
        }
        let context = self.context(asked, person)?;
        permit(&context, "*")?;
        let (identity, devices) = (self.inner.identity.clone(), Arc::clone(&self.inner.options.devices));
        let (account, region) = (context.account.clone(), context.region.clone());
        let work = move || {
            let mut principals: Vec<Value> = identity
                .survey(&account, &region, &action, &resource)
                .into_iter()
                .map(|found| {
                    let because: Vec<_> =
                        found.decision.matched.iter().map(|one| (&*one.policy, &*one.statement)).collect();
                    row(&found.arn, found.kind, found.decision.is_allowed(), &because)
                })
                .collect();
            // Certificates speak of iot and greengrass alone.
            let device_action =
                ["iot:", "greengrass:", "iotjobsdata:"].iter().any(|service| action.starts_with(service));
            let mut more = false;
            if device_action {
                let surveyed = devices.survey(&account, &region, &action, &resource, MAX_CERTIFICATES)?;
                more = surveyed.more;
                principals.extend(surveyed.devices.iter().map(|(arn, allowed, because)| {
                    let because: Vec<_> = because.iter().map(|(policy, statement)| (&**policy, &**statement)).collect();
                    row(arn, "certificate", *allowed, &because)
                }));
            }
            Ok(json!({"principals": principals, "more": more}))
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| ApiError::internal())?
    }

    /// `can`: what the documents of a principal say, statement by statement.
    pub(crate) fn can(
        &self,
        asked: &Asked<'_>,
        person: &Person,
        members: &Map<String, Value>,
    ) -> Result<Value, ApiError> {
        let arn = text(members, "principal", MAX_ARN)?;
        let context = self.context(asked, person)?;
        permit(&context, arn)?;
        let documents = match self.inner.identity.documents_of(&context.account, arn) {
            Some(documents) => Some(documents.into_iter().map(|one| (one.policy, one.document)).collect()),
            None => self.inner.options.devices.documents(&context.account, &context.region, arn)?,
        };
        let Some(documents): Option<Vec<(String, String)>> = documents else {
            return Err(
                ApiError::not_found(format!("There is no principal {arn} in this account.")).with("field", "principal")
            );
        };
        let (mut allows, mut denies) = (Vec::new(), Vec::new());
        for (policy, document) in &documents {
            let Ok(document) = serde_json::from_str::<Value>(document) else { continue };
            for (index, statement) in many(&document["Statement"]).iter().enumerate() {
                let into = if statement["Effect"] == "Allow" { &mut allows } else { &mut denies };
                rows(policy, index, statement, into);
            }
        }
        Ok(json!({"allows": allows, "denies": denies}))
    }
}

fn permit(context: &CallContext, resource: &str) -> Result<(), ApiError> {
    if context.may(ACTION, resource, |_| {}) {
        return Ok(());
    }
    Err(ApiError::not_authorized(&context.principal.arn, ACTION, resource, false))
}

fn row(arn: &str, kind: &str, allowed: bool, because: &[(&str, &str)]) -> Value {
    let because: Vec<Value> =
        because.iter().map(|(policy, statement)| json!({"policy": policy, "statement": statement})).collect();
    json!({"arn": arn, "kind": kind, "decision": if allowed { "allow" } else { "deny" }, "because": because})
}

/// One row for each pair of action and resource of a statement; those it leaves out are marked with `not `.
fn rows(policy: &str, index: usize, statement: &Value, into: &mut Vec<Value>) {
    let name = statement["Sid"].as_str().map_or_else(|| index.to_string(), str::to_owned);
    let texts = |plain: &str, negated: &str| -> Vec<String> {
        let listed = many(&statement[plain]).into_iter().filter_map(|one| one.as_str().map(str::to_owned));
        let excluded =
            many(&statement[negated]).into_iter().filter_map(|one| one.as_str().map(|one| format!("not {one}")));
        listed.chain(excluded).collect()
    };
    for action in texts("Action", "NotAction") {
        for resource in texts("Resource", "NotResource") {
            if into.len() >= MAX_ROWS {
                return;
            }
            let mut row = json!({"action": action, "resource": resource, "policy": policy, "statement": name});
            if let Some(condition) = statement.get("Condition") {
                row["condition"] = condition.clone();
            }
            into.push(row);
        }
    }
}

/// A value that may stand alone or in a list.
fn many(value: &Value) -> Vec<&Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(items) => items.iter().collect(),
        alone => vec![alone],
    }
}
