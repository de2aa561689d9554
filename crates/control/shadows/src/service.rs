//! The shadow operations of `iot-data`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use marram_aws_api::{ApiError, Operation, ServiceId};
use marram_identity::{BoxFuture, CallContext, Grant, Service};
use marram_registry::Realm;
use marram_shadow::{TopicBase, Update};
use serde_json::{Value, json};

use crate::error::api;
use crate::shadows::{Shadows, read_document, read_names};

/// Names in a page when the caller names no number.
const DEFAULT_PAGE: i64 = 25;

/// Answers `GetThingShadow`, `UpdateThingShadow`, `DeleteThingShadow` and `ListNamedShadowsForThing`.
#[derive(Clone, Debug)]
pub struct ShadowsService {
    shadows: Shadows,
}

impl ShadowsService {
    /// The operations on these shadows.
    pub fn new(shadows: Shadows) -> Self {
        Self { shadows }
    }

    async fn answer(&self, ctx: &CallContext, name: &str, input: &Value) -> Result<Value, ApiError> {
        let realm = Realm::of(ctx);
        let id = TopicBase { thing: parse(input, "thingName")?, name: parse_opt(input, "shadowName")? };
        let grant = authorize(ctx, &realm, &id)?;
        let _flight = self.shadows.enter(&realm, &id.thing)?;
        let now = ctx.now;
        match name {
            "GetThingShadow" => {
                drop(grant);
                payload(&ctx.read(|snapshot| read_document(snapshot, &realm, &id, now))?)
            }
            "UpdateThingShadow" => {
                let body = input["payload"].as_str().and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
                let update = Update::parse(&body, self.shadows.limits()).map_err(|error| api(&error))?;
                let change = self.shadows.change(&realm, &id, update);
                payload(&ctx.commit(grant, move |tx| change(tx, now)).await?)
            }
            "DeleteThingShadow" => {
                let removal = self.shadows.removal(&realm, &id, None);
                payload(&ctx.commit(grant, move |tx| removal(tx, now)).await?)
            }
            _ => {
                drop(grant);
                self.list(ctx, &realm, &id, input)
            }
        }
    }

    fn list(&self, ctx: &CallContext, realm: &Realm, id: &TopicBase, input: &Value) -> Result<Value, ApiError> {
        let filter = id.thing.as_str();
        let after = match input["nextToken"].as_str().filter(|token| !token.is_empty()) {
            Some(token) => ctx.open_page_token(filter, token)?,
            None => String::new(),
        };
        let limit = input["pageSize"].as_i64().unwrap_or(DEFAULT_PAGE);
        let mut names = ctx.read(|snapshot| read_names(snapshot, realm, &id.thing, &after, limit + 1))?;
        let more = i64::try_from(names.len()).unwrap_or(i64::MAX) > limit;
        names.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let mut answer = json!({"results": names, "timestamp": ctx.now.as_secs()});
        if let Some(last) = names.last().filter(|_| more) {
            answer["nextToken"] = ctx.page_token(filter, last).into();
        }
        Ok(answer)
    }
}

/// `thing/{name}`; in the policies of devices a named shadow also goes by `thing/{name}/{shadow}` (CP 5.6).
fn authorize(ctx: &CallContext, realm: &Realm, id: &TopicBase) -> Result<Grant, ApiError> {
    let action = ctx.operation.iam_action;
    let thing = realm.arn(format_args!("thing/{}", id.thing));
    match &id.name {
        Some(name) if ctx.principal.device_things().is_some() => {
            ctx.authorize_any(action, &[&thing, &format!("{thing}/{name}")])
        }
        _ => ctx.authorize(action, &thing, |_| ()),
    }
}

/// A document as the blob that is the answer's body.
fn payload(document: &Value) -> Result<Value, ApiError> {
    Ok(json!({"payload": STANDARD.encode(document.to_string())}))
}

fn parse<T: std::str::FromStr>(input: &Value, member: &str) -> Result<T, ApiError> {
    parse_opt(input, member)?.ok_or_else(|| ApiError::invalid_request(format!("{member} is required")))
}

fn parse_opt<T: std::str::FromStr>(input: &Value, member: &str) -> Result<Option<T>, ApiError> {
    let text = input.get(member).and_then(Value::as_str);
    text.map(|text| text.parse().map_err(|_| ApiError::invalid_request(format!("Invalid {member}")))).transpose()
}

impl Service for ShadowsService {
    fn id(&self) -> ServiceId {
        ServiceId::IotData
    }

    fn offers(&self, operation: &'static Operation) -> bool {
        operation.service == ServiceId::IotData
            && matches!(
                operation.name,
                "GetThingShadow" | "UpdateThingShadow" | "DeleteThingShadow" | "ListNamedShadowsForThing"
            )
    }

    fn call<'a>(
        &'a self,
        ctx: &'a CallContext,
        operation: &'static Operation,
        input: Value,
    ) -> BoxFuture<'a, Result<Value, ApiError>> {
        Box::pin(async move { self.answer(ctx, operation.name, &input).await })
    }
}
