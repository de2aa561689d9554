//! Requests made from an action's inputs, replies decoded into its return property (TG 10).

use std::borrow::Cow;
use std::sync::Arc;

use marram_expr::{DataType, Expr, ExprKind, PropertyType, Scope, Template, TemplatePart, Value, ValueExpr};
use serde_json::Value as Json;
use smol_str::SmolStr;

use crate::execution::Execution;
use crate::fault::{self, Fault};
use crate::message::percent_encode;
use crate::program::{Action, ActionInput, HttpOperation, Operation, ParamValue, Program, RequestParam};
use crate::request::{FunctionCall, HttpCall, ModbusCall, Publish, Reply, Request};
use crate::{modbus, scope};

/// Largest MQTT payload, bytes (TG 10.2).
pub const MAX_PAYLOAD_BYTES: usize = 128 * 1024;

/// Who calls what.
pub(crate) struct Target<'a> {
    pub program: &'a Program,
    pub exec: &'a Execution,
    pub step: &'a SmolStr,
    /// Empty for services.
    pub thing: &'a SmolStr,
    /// Index into the site's devices or services.
    pub entity: u16,
}

/// Names visible to a Request (TG 4.3): the action's inputs, the system.
struct RequestScope<'a> {
    target: &'a Target<'a>,
    inputs: &'a [ActionInput],
    values: &'a [Value],
}

impl Scope for RequestScope<'_> {
    fn lookup(&self, name: &str) -> Option<Cow<'_, Value>> {
        if let Some(index) = self.inputs.iter().position(|input| input.name.eq_ignore_ascii_case(name)) {
            return Some(wrapped(&self.values[index]));
        }
        let Target { program, exec, step, thing, .. } = self.target;
        scope::system_name(name, || scope::runtime_object(program, exec, step, thing), &program.site)
    }

    fn now_ms(&self) -> Option<i64> {
        Some(self.target.exec.now.0)
    }
}

/// An input is read as `x.value` (TG 4.3). Primitives answer that by themselves; an object or list whose members hide
/// it gets a member `value` that is the whole.
fn wrapped(value: &Value) -> Cow<'_, Value> {
    let members = match value {
        Value::Object(object) if object.get("value").is_none() => &**object,
        Value::Complex(complex) if complex.fields.get("value").is_none() => &complex.fields,
        _ => return Cow::Borrowed(value),
    };
    let mut wrapper = members.clone();
    wrapper.insert("value", value.clone());
    Cow::Owned(Value::object(wrapper))
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::new(fault::REQUEST_INVALID, message)
}

/// The request of `action` with `inputs`, one value per declared input.
pub(crate) fn request(target: &Target<'_>, action: &Action, inputs: &[Value]) -> Result<Request, Fault> {
    let scope = RequestScope { target, inputs: &action.inputs, values: inputs };
    let service = || match &target.program.site.services.get(usize::from(target.entity)) {
        Some(service) if target.thing.is_empty() => service.id.clone(),
        _ => target.thing.clone(),
    };
    match &action.operation {
        Operation::Publish { topic, params, response } => {
            let payload = body(params, &scope)?;
            if payload.len() > MAX_PAYLOAD_BYTES {
                return Err(invalid(format!("a payload of {} bytes exceeds 128 KiB", payload.len())));
            }
            Ok(Request::Publish(Publish {
                thing: target.thing.clone(),
                action: action.name.clone(),
                topic: topic_text(topic, target.thing, &scope)?,
                payload,
                reply_topic: response
                    .as_ref()
                    .map(|response| topic_text(&response.topic, target.thing, &scope))
                    .transpose()?,
            }))
        }
        Operation::Modbus { unit, function, params } => {
            let thing = target.program.site.things.get(target.thing);
            let endpoint = thing
                .and_then(|thing| thing.modbus_endpoint.clone())
                .ok_or_else(|| invalid(format!("thing `{}` has no Modbus endpoint", target.thing)))?;
            let mut values = Vec::with_capacity(params.len());
            for param in params {
                values.push((param.name.as_str(), param_value(param, &scope)?));
            }
            let returns = action.returns.as_ref().map(|property| &property.data_type);
            let pdu = modbus::pdu(*function, &values, returns)?;
            let (thing, action) = (target.thing.clone(), action.name.clone());
            Ok(Request::Modbus(ModbusCall { thing, action, endpoint, unit: *unit, pdu }))
        }
        Operation::Http(operation) => {
            Ok(Request::Http(http_call(service(), action, operation, &scope, &target.program.site)?))
        }
        Operation::Function { arn, params, .. } => Ok(Request::Function(FunctionCall {
            service: service(),
            action: action.name.clone(),
            arn: render(arn, &scope)?,
            payload: body(params, &scope)?,
        })),
    }
}

fn render(template: &Template, scope: &dyn Scope) -> Result<SmolStr, Fault> {
    marram_expr::render(template, scope).map(SmolStr::from).map_err(scope::fault_of)
}

/// A topic. Nearly all are `${systemRuntime.deviceId}` and text: those need no evaluation.
fn topic_text(template: &Template, thing: &str, scope: &dyn Scope) -> Result<SmolStr, Fault> {
    // Thing names hold nothing a topic level may not (TG 3.13); anything else takes the long way and is refused there.
    let is_level =
        !thing.is_empty() && thing.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":_-".contains(&byte));
    let mut topic = smol_str::SmolStrBuilder::new();
    for part in &template.parts {
        match part {
            TemplatePart::Text(text) => topic.push_str(text),
            TemplatePart::Interpolation(expr) if is_level && is_device_id(expr) => topic.push_str(thing),
            TemplatePart::Interpolation(_) => {
                return marram_expr::render_topic(template, scope).map(SmolStr::from).map_err(scope::fault_of);
            }
        }
    }
    Ok(topic.finish())
}

/// Whether the expression is `systemRuntime.deviceId`.
fn is_device_id(expr: &Expr) -> bool {
    let ExprKind::Path { base, steps } = &expr.kind else { return false };
    let ExprKind::Name(root) = &base.kind else { return false };
    let [marram_expr::Step::Field(field)] = steps.as_slice() else { return false };
    root.eq_ignore_ascii_case("systemRuntime") && field.eq_ignore_ascii_case("deviceId")
}

/// The topic filter of an event of `thing`.
pub(crate) fn event_filter(template: &Template, site: &crate::program::Site, thing: &str) -> Result<SmolStr, Fault> {
    topic_text(template, thing, &scope::TopicScope { site, thing })
}

/// The value of a `param`, as its property when it fits (TG 3.9: it is not checked against it).
fn param_value(param: &RequestParam, scope: &RequestScope<'_>) -> Result<Value, Fault> {
    let value = match &param.value {
        ParamValue::Expr(value) => scope::eval_value(value, scope)?,
        ParamValue::Input => {
            let index = scope.inputs.iter().position(|input| input.name.eq_ignore_ascii_case(&param.name));
            index.map(|index| scope.values[index].clone()).unwrap_or_default()
        }
    };
    if let (Some(text), true) = (value.as_str(), is_json_template(param)) {
        let json: Json = serde_json::from_str(text)
            .map_err(|error| invalid(format!("the template of `{}` is not JSON: {error}", param.name)))?;
        return Ok(Value::from_json(&json));
    }
    Ok(match &param.property {
        Some(property) => scope::coerce(&value, property).unwrap_or(value),
        None => value,
    })
}

/// Whether the value is a JSON template (TG 4.8) for a place that takes JSON.
fn is_json_template(param: &RequestParam) -> bool {
    let ParamValue::Expr(ValueExpr::Template(template)) = &param.value else { return false };
    let takes_json = param.property.as_ref().is_none_or(|property| property.data_type == DataType::Json);
    takes_json && template.is_json()
}

/// A JSON body (TG 10.2): an object of the params in order; `{}` without params; one unnamed param is the body itself.
fn body(params: &[RequestParam], scope: &RequestScope<'_>) -> Result<Vec<u8>, Fault> {
    if let [only] = params
        && only.name.is_empty()
    {
        let value = param_value(only, scope)?;
        return Ok(value.to_json_string().map_err(scope::fault_of)?.into_bytes());
    }
    let mut out = Vec::with_capacity(64);
    out.push(b'{');
    for (index, param) in params.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        serde_json::to_writer(&mut out, &param.name).expect("writing to a Vec cannot fail");
        out.push(b':');
        let value = param_value(param, scope)?;
        out.extend_from_slice(value.to_json_string().map_err(scope::fault_of)?.as_bytes());
    }
    out.push(b'}');
    Ok(out)
}

/// Headers the runtime sets itself; given ones are ignored (TG 10.4).
fn is_runtime_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    matches!(name.as_str(), "host" | "content-length" | "authorization" | "transfer-encoding" | "connection")
        || (name.starts_with("x-amz-") && name != "x-amz-target")
}

fn http_call(
    service: SmolStr,
    action: &Action,
    operation: &HttpOperation,
    scope: &RequestScope<'_>,
    site: &crate::program::Site,
) -> Result<HttpCall, Fault> {
    let mut url = marram_expr::render_url(&operation.url, scope).map_err(scope::fault_of)?;
    check_scheme(&url, site.allow_insecure_http)?;
    for param in &operation.query {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(&percent_encode(&param.name));
        url.push('=');
        url.push_str(&percent_encode(&text(&param_value(param, scope)?)?));
    }
    let mut headers: Vec<(SmolStr, String)> = Vec::with_capacity(operation.headers.len() + 1);
    for param in &operation.headers {
        let value = text(&param_value(param, scope)?)?;
        if is_runtime_header(&param.name) {
            continue;
        }
        if value.bytes().any(|byte| byte < b' ' && byte != b'\t' || byte == 0x7F) {
            return Err(invalid(format!("the value of header `{}` holds a control character", param.name)));
        }
        headers.push((param.name.clone(), value.to_string()));
    }
    let content_type = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let is_form = content_type.is_some_and(|(_, value)| {
        value
            .split(';')
            .next()
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
    });
    let has_content_type = content_type.is_some();
    let body = match operation.body.as_slice() {
        [] => Vec::new(),
        [only] if only.name.is_empty() => match param_value(only, scope)? {
            Value::String(text) => text.as_bytes().to_vec(),
            Value::Null => Vec::new(),
            other => other.to_json_string().map_err(scope::fault_of)?.into_bytes(),
        },
        params if is_form => {
            let mut form = String::new();
            for param in params {
                if !form.is_empty() {
                    form.push('&');
                }
                form.push_str(&percent_encode(&param.name));
                form.push('=');
                form.push_str(&percent_encode(&text(&param_value(param, scope)?)?));
            }
            form.into_bytes()
        }
        params => body(params, scope)?,
    };
    if !body.is_empty() && !has_content_type {
        headers.push(("Content-Type".into(), "application/json".to_owned()));
    }
    let sigv4 = match &operation.sigv4 {
        None => None,
        Some(signing) => {
            let region = match &signing.region {
                None => site.region.clone(),
                Some(region) => render(region, scope)?,
            };
            Some((signing.service.clone(), region))
        }
    };
    Ok(HttpCall { service, action: action.name.clone(), method: operation.method.clone(), url, headers, body, sigv4 })
}

fn check_scheme(url: &str, allow_insecure: bool) -> Result<(), Fault> {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("https") => Ok(()),
        Some("http") if allow_insecure => Ok(()),
        _ => Err(invalid("the URL is not https")),
    }
}

/// The text of a header, query or form value; null is empty.
fn text(value: &Value) -> Result<SmolStr, Fault> {
    if value.is_null() { Ok(SmolStr::default()) } else { scope::text(value) }
}

/// The inputs as the trace shows them, secrets left out.
pub(crate) fn inputs_json(action: &Action, inputs: &[Value]) -> Json {
    let named = action.inputs.iter().zip(inputs).map(|(input, value)| {
        let shown = if input.is_secret { crate::message::REDACTED.into() } else { scope::json(value) };
        (input.name.to_string(), shown)
    });
    Json::Object(named.collect())
}

/// The value a reply carries for `action`; null for void actions.
pub(crate) fn decode(action: &Action, reply: &Reply) -> Result<Value, Fault> {
    let value = match (&action.operation, reply) {
        (_, Reply::Empty) => Value::Null,
        (Operation::Publish { response, .. }, Reply::Payload(bytes)) => {
            match response.as_ref().and_then(|response| response.property.as_ref()) {
                Some(property) => payload(bytes, property)?,
                None => Value::Null,
            }
        }
        (Operation::Function { response, .. }, Reply::Payload(bytes)) => match response {
            Some(property) => payload(bytes, property)?,
            None => Value::Null,
        },
        (Operation::Modbus { .. }, Reply::Bits(bits)) => match &action.returns {
            Some(property) => modbus::from_coils(bits, &property.data_type)?,
            None => Value::Null,
        },
        (Operation::Modbus { .. }, Reply::Registers(words)) => match &action.returns {
            Some(property) => modbus::from_registers(words, &property.data_type)?,
            None => Value::Null,
        },
        (Operation::Http(operation), Reply::Http { status, body }) => {
            if *status >= 400 {
                return Err(Fault::http(*status, String::from_utf8_lossy(&body[..body.len().min(512)])));
            }
            if !(200..300).contains(status) {
                return Err(Fault::new(
                    fault::TASK_FAILED,
                    format!("HTTP status {status}; redirects are not followed"),
                ));
            }
            match &operation.response {
                Some(property) => http_body(body, property)?,
                None => Value::Null,
            }
        }
        (_, other) => {
            let kind = match other {
                Reply::Payload(_) => "a payload",
                Reply::Bits(_) => "coils",
                Reply::Registers(_) => "registers",
                Reply::Http { .. } | Reply::Empty => "an HTTP answer",
            };
            return Err(Fault::new(fault::PAYLOAD_INVALID, format!("{kind} does not answer this operation")));
        }
    };
    match (&action.returns, value) {
        // A void action with a Response: decoded and dropped (TG 10.2).
        (None, _) => Ok(Value::Null),
        (Some(_), Value::Null) => Ok(Value::Null),
        (Some(property), value) => {
            scope::coerce(&value, property).map_err(|fault| Fault::new(fault::PAYLOAD_INVALID, fault.message))
        }
    }
}

/// An MQTT payload as a value of `property` (TG 10.2).
pub(crate) fn payload(bytes: &[u8], property: &Arc<PropertyType>) -> Result<Value, Fault> {
    marram_expr::decode_payload(bytes, property, false)
        .map_err(|error| Fault::new(fault::PAYLOAD_INVALID, error.message))
}

/// An HTTP body as a value of `property` (TG 10.4): Json parsed, text as is, the rest like a payload.
fn http_body(bytes: &[u8], property: &Arc<PropertyType>) -> Result<Value, Fault> {
    match &property.data_type {
        DataType::Json if bytes.is_empty() => Ok(Value::Null),
        data_type if data_type.is_text() => {
            let text =
                std::str::from_utf8(bytes).map_err(|_| Fault::new(fault::PAYLOAD_INVALID, "the body is not UTF-8"))?;
            scope::coerce(&Value::string(text), property)
                .map_err(|fault| Fault::new(fault::PAYLOAD_INVALID, fault.message))
        }
        _ => payload(bytes, property),
    }
}
