//! The provisioning operations of `iot` (CP 4.2, 4.8): the table from operation to function.

mod claim;
mod register;
mod template;
mod version;

use marram_aws_api::{ApiError, Operation, ServiceId};
use marram_identity::{BoxFuture, CallContext, Grant, Service};
use marram_registry::{Realm, tag_pairs, tags_of};
use marram_types::ProvisioningTemplateName;
use serde_json::{Map, Value};

use crate::provisioning::Provisioning;

/// Items of a page when the caller names no number.
const DEFAULT_PAGE: i64 = 25;

/// Answers the provisioning operations of the table `iot`.
#[derive(Clone, Debug)]
pub struct ProvisioningService {
    provisioning: Provisioning,
}

impl ProvisioningService {
    /// The operations of this provisioning.
    pub fn new(provisioning: Provisioning) -> Self {
        Self { provisioning }
    }
}

marram_identity::operations! {
    Provisioning, Value;
    "CreateProvisioningTemplate" => template::create,
    "DescribeProvisioningTemplate" => template::describe,
    "UpdateProvisioningTemplate" => template::update,
    "DeleteProvisioningTemplate" => template::delete,
    "ListProvisioningTemplates" => template::list,
    "CreateProvisioningTemplateVersion" => version::create,
    "DescribeProvisioningTemplateVersion" => version::describe,
    "DeleteProvisioningTemplateVersion" => version::delete,
    "ListProvisioningTemplateVersions" => version::list,
    "CreateProvisioningClaim" => claim::create,
    "RegisterThing" => register::register_thing,
}

impl Service for ProvisioningService {
    fn id(&self) -> ServiceId {
        ServiceId::Iot
    }

    fn offers(&self, operation: &'static Operation) -> bool {
        operation.service == ServiceId::Iot && OFFERED.contains(&operation.name)
    }

    fn call<'a>(
        &'a self,
        ctx: &'a CallContext,
        operation: &'static Operation,
        input: Value,
    ) -> BoxFuture<'a, Result<Value, ApiError>> {
        answer(&self.provisioning, ctx, operation.name, input)
    }
}

fn name_of(input: &Value) -> Result<ProvisioningTemplateName, ApiError> {
    let text = input["templateName"].as_str().unwrap_or_default();
    text.parse().map_err(|_| ApiError::invalid_request("Invalid templateName"))
}

fn resource(name: &ProvisioningTemplateName) -> String {
    format!("provisioningtemplate/{name}")
}

/// Asks for an existing template.
fn authorize(ctx: &CallContext, realm: &Realm, name: &ProvisioningTemplateName) -> Result<Grant, ApiError> {
    let tags = ctx.read(|snapshot| tags_of(snapshot, realm, &resource(name)))?;
    ctx.authorize(ctx.operation.iam_action, &realm.arn(resource(name)), |conditions| {
        conditions.resource_tags(tag_pairs(&tags));
    })
}

/// A page of rows, each with its key.
fn page(
    ctx: &CallContext,
    input: &Value,
    filter: &str,
    member: &str,
    read: impl FnOnce(&str, i64) -> Result<Vec<(String, Value)>, ApiError>,
) -> Result<Value, ApiError> {
    let after = match input["nextToken"].as_str().filter(|token| !token.is_empty()) {
        Some(token) => ctx.open_page_token(filter, token)?,
        None => String::new(),
    };
    let limit = input["maxResults"].as_i64().unwrap_or(DEFAULT_PAGE).clamp(1, 250);
    let mut rows = read(&after, limit + 1)?;
    let more = i64::try_from(rows.len()).unwrap_or(i64::MAX) > limit;
    rows.truncate(usize::try_from(limit).unwrap_or(1));
    let mut answer = Map::new();
    if let Some((key, _)) = rows.last().filter(|_| more) {
        answer.insert("nextToken".to_owned(), ctx.page_token(filter, key).into());
    }
    answer.insert(member.to_owned(), rows.into_iter().map(|(_, row)| row).collect());
    Ok(Value::Object(answer))
}
