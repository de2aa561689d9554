//! DescribeSecret, ListSecrets.

use std::collections::BTreeMap;

use marram_aws_api::ApiError;
use marram_identity::{CallContext, CallError};
use serde_json::{Value, json};

use crate::lookup::Asked;
use crate::row::{self, Place, Secret, Stages, all_secrets, stages, tags};
use crate::service::{invalid_parameter, text};

/// Secrets on a page when the caller does not say, and at most.
const PAGE_MAX: usize = 100;

/// DescribeSecret.
pub(crate) fn describe(ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let asked = Asked::find(ctx, text(input, "SecretId").unwrap_or_default())?;
    let (grant, secret) = asked.authorize(ctx, |_| {})?;
    drop(grant);
    let at = Place::of(ctx);
    let (tags, stages) =
        ctx.read(|snapshot| Ok((tags(snapshot, &at, &secret.name)?, stages(snapshot, &at, &secret.name)?)))?;
    Ok(facts(&at, secret, &tags, &stages, "VersionIdsToStages"))
}

/// ListSecretVersionIds: versions with labels, and those without when asked for. All of them fit one page.
pub(crate) fn versions(ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    let asked = Asked::find(ctx, text(input, "SecretId").unwrap_or_default())?;
    let (grant, secret) = asked.authorize(ctx, |_| {})?;
    drop(grant);
    if text(input, "NextToken").is_some() {
        return Err(ApiError::new("InvalidNextTokenException", 400, "The NextToken value is invalid."));
    }
    let at = Place::of(ctx);
    let with_all = input.get("IncludeDeprecated").and_then(Value::as_bool).unwrap_or(false);
    let (versions, stages) =
        ctx.read(|snapshot| Ok((row::versions(snapshot, &at, &secret.name)?, stages(snapshot, &at, &secret.name)?)))?;
    let versions: Vec<Value> = versions
        .into_iter()
        .filter(|(version, _)| with_all || stages.contains_key(version))
        .map(|(version, created)| {
            let mut entry = json!({"VersionId": version, "CreatedDate": created.epoch_seconds()});
            if let Some(carried) = stages.get(&version) {
                entry["VersionStages"] = json!(carried);
            }
            entry
        })
        .collect();
    Ok(json!({"ARN": asked.arn, "Name": secret.name, "Versions": versions}))
}

/// ListSecrets.
pub(crate) fn list(ctx: &CallContext, input: &Value) -> Result<Value, ApiError> {
    drop(ctx.authorize(ctx.operation.iam_action, "*", |_| {})?);
    let at = Place::of(ctx);
    let filters = filters(input)?;
    let with_deleted = input.get("IncludePlannedDeletion").and_then(Value::as_bool).unwrap_or(false);
    let limit = input.get("MaxResults").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let limit = limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let by_name = text(input, "SortBy") == Some("name");
    let by_change = text(input, "SortBy") == Some("last-changed-date");
    let ascending = text(input, "SortOrder") == Some("asc");
    // The order is part of the token: a page of another order does not continue this one.
    let listing = json!([input.get("Filters"), with_deleted, by_name, by_change, ascending]).to_string();
    let after = match text(input, "NextToken") {
        None => None,
        Some(token) => Some(
            ctx.open_page_token(&listing, token)
                .map_err(|_| ApiError::new("InvalidNextTokenException", 400, "The NextToken value is invalid."))?,
        ),
    };
    let order = |secret: &Secret| {
        let moment = match (by_name, by_change) {
            (true, _) => 0,
            (_, true) => secret.changed_at.as_micros(),
            _ => secret.created_at.as_micros(),
        };
        format!("{moment:020}/{}", secret.name)
    };
    let page = ctx.read(|snapshot| {
        let mut found = Vec::new();
        for secret in all_secrets(snapshot, &at)? {
            if secret.is_gone(ctx.now) || (secret.deleted_at.is_some() && !with_deleted) {
                continue;
            }
            let tags = tags(snapshot, &at, &secret.name)?;
            if filters.iter().all(|filter| filter.admits(&secret, &tags)) {
                found.push((order(&secret), secret, tags));
            }
        }
        found.sort_by(|a, b| if ascending { a.0.cmp(&b.0) } else { b.0.cmp(&a.0) });
        if let Some(after) = &after {
            found.retain(|(key, ..)| if ascending { key > after } else { key < after });
        }
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| has_more).map(|(key, ..)| key.clone());
        let mut entries = Vec::new();
        for (_, secret, tags) in found {
            let stages = stages(snapshot, &at, &secret.name)?;
            entries.push(facts(&at, &secret, &tags, &stages, "SecretVersionsToStages"));
        }
        Ok::<_, CallError>((entries, next))
    })?;
    let mut answer = json!({"SecretList": page.0});
    if let Some(key) = page.1 {
        answer["NextToken"] = ctx.page_token(&listing, &key).into();
    }
    Ok(answer)
}

fn facts(at: &Place, secret: &Secret, tags: &BTreeMap<String, String>, stages: &Stages, stages_member: &str) -> Value {
    let mut facts = json!({
        "ARN": at.arn(&secret.name, &secret.suffix),
        "Name": secret.name,
        "CreatedDate": secret.created_at.epoch_seconds(),
        "LastChangedDate": secret.changed_at.epoch_seconds(),
    });
    let mut put = |member: &str, value: Value| facts[member] = value;
    if let Some(description) = &secret.description {
        put("Description", description.as_str().into());
    }
    if let Some(key) = &secret.kms_key {
        put("KmsKeyId", key.as_str().into());
    }
    if let Some(moment) = secret.deleted_at {
        put("DeletedDate", moment.epoch_seconds().into());
    }
    if !tags.is_empty() {
        put("Tags", tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect());
    }
    if !stages.is_empty() {
        put(stages_member, json!(stages));
    }
    facts
}

/// One filter: its values are alternatives, `!` in front turns one round.
struct Filter {
    key: String,
    values: Vec<String>,
}

fn filters(input: &Value) -> Result<Vec<Filter>, ApiError> {
    let mut filters = Vec::new();
    for filter in input.get("Filters").and_then(Value::as_array).into_iter().flatten() {
        let key = text(filter, "Key").unwrap_or_default().to_owned();
        let values: Vec<String> = filter
            .get("Values")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        if values.is_empty() || matches!(key.as_str(), "primary-region" | "owning-service" | "") {
            return Err(invalid_parameter("Invalid filter."));
        }
        filters.push(Filter { key, values });
    }
    Ok(filters)
}

impl Filter {
    fn admits(&self, secret: &Secret, tags: &BTreeMap<String, String>) -> bool {
        self.values.iter().any(|value| match value.strip_prefix('!') {
            Some(value) => !self.matches(secret, tags, value),
            None => self.matches(secret, tags, value),
        })
    }

    /// Names and tags match by prefix and case; descriptions, and `all`, by words in any case.
    fn matches(&self, secret: &Secret, tags: &BTreeMap<String, String>, value: &str) -> bool {
        let holds = |text: &str| text.to_lowercase().contains(&value.to_lowercase());
        let description = || secret.description.as_deref().is_some_and(holds);
        match self.key.as_str() {
            "name" => secret.name.starts_with(value),
            "tag-key" => tags.keys().any(|key| key.starts_with(value)),
            "tag-value" => tags.values().any(|tag| tag.starts_with(value)),
            "description" => description(),
            _ => holds(&secret.name) || description() || tags.iter().any(|(key, tag)| holds(key) || holds(tag)),
        }
    }
}
