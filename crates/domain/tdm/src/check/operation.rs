//! Action blocks: input declarations, operations, requests and responses (TG 3.8, 3.9, 10.2 to 10.5).

use marram_diag::Span;
use smol_str::SmolStr;

use super::context::{Context, clip, twice};
use super::declare::Taken;
use super::device::is_ignore_marker;
use super::scope::Scope;
use crate::codes::*;
use crate::model::{Action, Capability, DeviceAction, EntityKind, FunctionHost, HttpMethod, Input, Metatype};
use crate::model::{ModbusFunction, ModbusRequest, Operation, Primitive, PropertyShape, Protocol, RequestParam};
use crate::model::{Response, Urn};
use crate::syntax::ast::Selection;

/// Most coils one Modbus request reads (Modbus application protocol 1.1b3).
const MAX_COILS: i64 = 2000;
/// Most registers one Modbus request reads.
const MAX_REGISTERS: i64 = 125;

/// What an action block must fit.
struct Signature<'m> {
    name: &'m SmolStr,
    id: &'m Urn,
    action: Action,
}

/// An operation block taken apart.
struct Parts<'d> {
    request: Option<&'d Selection>,
    response: Option<&'d Selection>,
}

impl Context<'_> {
    pub fn action_blocks(
        &mut self,
        blocks: &[&Selection],
        capability: &Capability,
        protocol: Protocol,
        owner: Span,
    ) -> Vec<DeviceAction> {
        let mut names = Taken::default();
        let mut actions = Vec::new();
        for block in blocks {
            self.known_arguments(block.arguments.as_ref(), &["name", "description"]);
            let Some(name) = self.required_of(block, "name").and_then(|argument| argument.value.as_text()) else {
                continue;
            };
            let Some(member) = capability.action(name) else {
                let message = format!("the capability has no action `{}`", clip(name));
                self.error(TDM3009, block.span(), message);
                continue;
            };
            if let Some(first) = names.take(name, block.span()) {
                let message = format!("the action `{name}` is implemented twice");
                self.findings.push(twice(TDM3005, block.span(), message, first));
                continue;
            }
            let entity = self.entity(&member.id);
            let Some(EntityKind::Action(action)) = entity.as_ref().map(|entity| &entity.kind) else { continue };
            let signature = Signature { name: &member.name, id: &member.id, action: action.clone() };
            actions.extend(self.action_block(block, &signature, protocol));
        }
        for member in &capability.actions {
            if names.take(&member.name, owner).is_none() {
                self.error(TDM3008, owner, format!("the action `{}` is not implemented", member.name));
            }
        }
        actions
    }

    fn action_block(
        &mut self,
        block: &Selection,
        signature: &Signature<'_>,
        protocol: Protocol,
    ) -> Option<DeviceAction> {
        let mut declaration = None;
        let mut operation: Option<&Selection> = None;
        for inner in block.children().iter().filter(|selection| !is_ignore_marker(selection)) {
            if inner.name.is("params") {
                declaration = Some(inner);
            } else if let Some(first) = operation {
                let message = "an action has one operation".to_owned();
                self.findings.push(twice(TDM2001, inner.span(), message, first.span()));
            } else {
                operation = Some(inner);
            }
        }
        self.input_declaration(declaration, signature, block.span());
        let inputs = signature.action.inputs.iter().map(|input| Input {
            name: input.name.clone(),
            property: input.property.clone(),
            is_list: input.is_list,
        });
        let inputs: Vec<Input> = inputs.collect();
        let Some(operation) = operation else {
            self.error(TDM3006, block.span(), format!("the action `{}` needs an operation", signature.name));
            return None;
        };
        let scope = inputs.iter().fold(Scope::system(), |scope, input| {
            let ty = self.value_type(&input.property, input.is_list);
            scope.with(&input.name, ty)
        });
        let parts = self.operation_parts(operation)?;
        let response = match parts.response {
            Some(response) => Some(self.response(response, signature, protocol)?),
            None => None,
        };
        let read = match protocol {
            Protocol::Mqtt if operation.name.is("Publish") || operation.name.is("Payload") => {
                self.publish(operation, &parts, &scope)?
            }
            Protocol::Modbus { .. } => match ModbusFunction::parse(&operation.name.text) {
                Some(function) => self.modbus(operation, &parts, function, &scope, response.as_ref())?,
                None => return self.unknown_operation(operation),
            },
            Protocol::Http | Protocol::Rest => match http_method(&operation.name.text) {
                Some(method) => self.http(operation, &parts, method, &scope)?,
                None => return self.unknown_operation(operation),
            },
            Protocol::AwsLambda => match function_host(&operation.name.text) {
                Some(host) => self.function(operation, &parts, host, &scope)?,
                None => return self.unknown_operation(operation),
            },
            Protocol::Mqtt => return self.unknown_operation(operation),
        };
        self.check_return(block, signature, protocol, response.is_some());
        Some(DeviceAction {
            name: signature.name.clone(),
            action: signature.id.clone(),
            inputs,
            operation: read,
            response,
        })
    }

    fn unknown_operation<T>(&mut self, operation: &Selection) -> Option<T> {
        let message = format!("`{}` is no operation of this protocol", operation.name.text);
        self.error(TDM3016, operation.span(), message);
        None
    }

    /// The optional `params` of an action: exactly the action type's inputs by name.
    fn input_declaration(&mut self, declaration: Option<&Selection>, signature: &Signature<'_>, owner: Span) {
        let declared = declaration.map_or(&[][..], Selection::children);
        if declared.is_empty() {
            if !signature.action.inputs.is_empty() {
                let message = format!("the inputs of `{}` are taken from its action type", signature.name);
                self.warning(TDM3006, declaration.map_or(owner, Selection::span), message);
            }
            return;
        }
        let mut names = Taken::default();
        for param in declared.iter().filter(|selection| !is_ignore_marker(selection)) {
            if !self.is_param(param, &["name", "property", "description"]) {
                continue;
            }
            let Some(name) = self.required_of(param, "name").and_then(|argument| argument.value.as_text()) else {
                continue;
            };
            let Some(input) = signature.action.input(name) else {
                let message = format!("`{}` has no input `{}`", signature.id, clip(name));
                self.error(TDM3009, param.span(), message);
                continue;
            };
            if let Some(first) = names.take(name, param.span()) {
                let message = format!("the input `{name}` is declared twice");
                self.findings.push(twice(TDM3005, param.span(), message, first));
            }
            if let Some(argument) = param.argument("property")
                && let Some(property) = self.reference(&argument.value, &[Metatype::Property])
                && !is_related(&property, &input.property)
            {
                let message = format!("the input `{}` is `{}` in the action type", input.name, input.property);
                self.warning(TDM3009, argument.value.span(), message);
            }
        }
        for input in &signature.action.inputs {
            if names.take(&input.name, owner).is_none() {
                let message = format!("the input `{}` of `{}` is not declared", input.name, signature.id);
                self.error(TDM3009, declaration.map_or(owner, Selection::span), message);
            }
        }
    }

    fn is_param(&mut self, param: &Selection, arguments: &[&str]) -> bool {
        if !param.name.is("param") {
            self.error(TDM3016, param.span(), format!("expected `param`, found `{}`", param.name.text));
            return false;
        }
        self.known_arguments(param.arguments.as_ref(), arguments);
        true
    }

    fn operation_parts<'d>(&mut self, operation: &'d Selection) -> Option<Parts<'d>> {
        self.known_arguments(operation.arguments.as_ref(), &[]);
        let mut parts = Parts { request: None, response: None };
        for inner in operation.children().iter().filter(|selection| !is_ignore_marker(selection)) {
            let slot = if inner.name.is("Request") {
                &mut parts.request
            } else if inner.name.is("Response") {
                &mut parts.response
            } else {
                self.error(TDM3016, inner.span(), format!("unknown block `{}` in an operation", inner.name.text));
                return None;
            };
            match slot {
                Some(first) => {
                    let message = format!("only one {} is allowed", inner.name.text);
                    self.findings.push(twice(TDM3005, inner.span(), message, first.span()));
                }
                None => *slot = Some(inner),
            }
        }
        Some(parts)
    }

    fn request<'d>(&mut self, operation: &Selection, parts: &Parts<'d>) -> Option<&'d Selection> {
        if parts.request.is_none() {
            self.error(TDM3006, operation.span(), format!("`{}` needs a Request", operation.name.text));
        }
        parts.request
    }

    fn publish(&mut self, operation: &Selection, parts: &Parts<'_>, scope: &Scope) -> Option<Operation> {
        let request = self.request(operation, parts)?;
        self.known_arguments(request.arguments.as_ref(), &["topic"]);
        let topic = self.required_of(request, "topic")?;
        let topic = self.topic(&topic.value, false);
        let [params] = self.param_lists(request, ["params"], scope);
        Some(Operation::Publish { topic: topic?, params })
    }

    fn http(
        &mut self,
        operation: &Selection,
        parts: &Parts<'_>,
        method: HttpMethod,
        scope: &Scope,
    ) -> Option<Operation> {
        let request = self.request(operation, parts)?;
        self.known_arguments(request.arguments.as_ref(), &["url", "auth", "awsServiceName", "region"]);
        let url = self.required_of(request, "url")?;
        let template = self.url(&url.value);
        if let Some(template) = &template {
            template.exprs().for_each(|expr| {
                self.check_expr(expr, scope, &url.value, TDM3019);
            });
        }
        let auth = request.argument("auth");
        let signs = match auth.and_then(|argument| argument.value.as_text()).map(SmolStr::as_str) {
            None | Some("") => false,
            Some(word) if word.eq_ignore_ascii_case("SigV4") => true,
            Some(word) => {
                let message = format!("unknown auth `{}`; it is SigV4 or absent", clip(word));
                self.error(TDM3016, auth.map_or(request.span(), |argument| argument.value.span()), message);
                return None;
            }
        };
        let service = request.argument("awsServiceName").and_then(|argument| self.text_of(&argument.value));
        if signs && service.as_ref().is_none_or(|service| service.is_empty()) {
            self.error(TDM3006, request.span(), "auth SigV4 needs the argument `awsServiceName`");
        }
        let region = match request.argument("region") {
            Some(argument) => Some(self.scoped_template(&argument.value, scope)?),
            None => None,
        };
        let lists = ["headerParams", "queryParams", "bodyParams"];
        let [headers, query, body] = self.param_lists(request, lists, scope);
        if method == HttpMethod::Get && !body.is_empty() {
            self.error(TDM3016, request.span(), "a GET has no body");
        }
        let sign_for = service.filter(|_| signs);
        Some(Operation::Http { method, url: template?, sign_for, region, headers, query, body })
    }

    fn scoped_template(&mut self, value: &crate::syntax::ast::Value, scope: &Scope) -> Option<marram_expr::Template> {
        let template = self.template(value)?;
        template.exprs().for_each(|expr| {
            self.check_expr(expr, scope, value, TDM3019);
        });
        Some(template)
    }

    fn function(
        &mut self,
        operation: &Selection,
        parts: &Parts<'_>,
        host: FunctionHost,
        scope: &Scope,
    ) -> Option<Operation> {
        let request = self.request(operation, parts)?;
        self.known_arguments(request.arguments.as_ref(), &["arn"]);
        let argument = self.required_of(request, "arn")?;
        let arn = self.function_arn(&argument.value);
        if let Some(arn) = &arn {
            arn.exprs().for_each(|expr| {
                self.check_expr(expr, scope, &argument.value, TDM3019);
            });
        }
        let [params] = self.param_lists(request, ["params"], scope);
        Some(Operation::Function { host, arn: arn?, params })
    }

    fn modbus(
        &mut self,
        operation: &Selection,
        parts: &Parts<'_>,
        function: ModbusFunction,
        scope: &Scope,
        response: Option<&Response>,
    ) -> Option<Operation> {
        let mut read = ModbusRequest {
            function,
            address: 0,
            read_count: None,
            write_address: None,
            write_count: None,
            params: Vec::new(),
        };
        let needs_request = !function.is_read() || function == ModbusFunction::ReadWriteMultipleRegisters;
        let request = match parts.request {
            Some(request) => request,
            None if needs_request => return self.request(operation, parts).and(None),
            // one sample reads without a Request: address 0
            None => return Some(Operation::Modbus(read)),
        };
        let both = function == ModbusFunction::ReadWriteMultipleRegisters;
        let known: &[&str] = match (both, function.is_read()) {
            (true, _) => &["ReadAddress", "ReadCount", "WriteAddress", "WriteCount"],
            (_, true) => &["Address", "ReadCount"],
            _ => &["Address", "WriteCount"],
        };
        self.known_arguments(request.arguments.as_ref(), known);
        let address = self.required_of(request, if both { "ReadAddress" } else { "Address" })?;
        read.address = self.modbus_number(&address.value, 0..=0xFFFF)?;
        if both {
            let address = self.required_of(request, "WriteAddress")?;
            read.write_address = Some(self.modbus_number(&address.value, 0..=0xFFFF)?);
        }
        let most = if function.is_coil() { MAX_COILS } else { MAX_REGISTERS };
        if let Some(count) = request.argument("ReadCount") {
            read.read_count = Some(self.modbus_number(&count.value, 1..=most)?);
        }
        if let Some(count) = request.argument("WriteCount") {
            read.write_count = Some(self.modbus_number(&count.value, 1..=most)?);
        }
        if let Some(property) = response.and_then(|response| response.property.as_ref())
            && function.is_read()
        {
            self.check_read_size(&read, property, request)?;
        }
        let [params] = self.param_lists(request, ["params"], scope);
        if function == ModbusFunction::MaskWriteRegister {
            for mask in ["and_mask", "or_mask"] {
                if !params.iter().any(|param| param.name.eq_ignore_ascii_case(mask)) {
                    self.error(TDM3006, request.span(), format!("MaskWriteRegister needs the param `{mask}`"));
                }
            }
        } else if !function.is_read() && params.is_empty() {
            self.error(TDM3006, request.span(), format!("{} needs a param", function.as_str()));
        }
        read.params = params;
        Some(Operation::Modbus(read))
    }

    /// A read must bring at least what the response property needs (TG 10.3).
    fn check_read_size(&mut self, read: &ModbusRequest, property: &Urn, request: &Selection) -> Option<()> {
        let entity = self.entity(property)?;
        let EntityKind::Property(checked) = &entity.kind else { return None };
        let primitive = match &checked.shape {
            PropertyShape::Primitive(primitive) => *primitive,
            PropertyShape::Enum(_) => return Some(()),
            PropertyShape::Complex(_) | PropertyShape::Abstract => {
                self.error(TDM3019, request.span(), format!("registers cannot carry `{property}`"));
                return None;
            }
        };
        let size = match primitive {
            Primitive::Json | Primitive::DateTime | Primitive::Date | Primitive::Duration => {
                self.error(TDM3019, request.span(), format!("registers cannot carry {primitive}"));
                return None;
            }
            _ if read.function.is_coil() => 1,
            Primitive::Int32 | Primitive::UInt32 | Primitive::Float32 => 2,
            Primitive::Int64 | Primitive::UInt64 | Primitive::Float64 => 4,
            _ => 1,
        };
        if let Some(count) = read.read_count.filter(|count| *count < size) {
            let message = format!("`{property}` needs {size} registers, ReadCount is {count}");
            self.bad_count(request.span(), message);
            return None;
        }
        Some(())
    }

    /// The parameter lists of a Request, by name; other blocks are TDM3016.
    fn param_lists<const N: usize>(
        &mut self,
        request: &Selection,
        lists: [&str; N],
        scope: &Scope,
    ) -> [Vec<RequestParam>; N] {
        let mut read = [const { Vec::new() }; N];
        for block in request.children().iter().filter(|selection| !is_ignore_marker(selection)) {
            let Some(index) = lists.iter().position(|name| block.name.is(name)) else {
                self.error(TDM3016, block.span(), format!("unknown block `{}` in a Request", block.name.text));
                continue;
            };
            for param in block.children().iter().filter(|selection| !is_ignore_marker(selection)) {
                if self.is_param(param, &["name", "property", "value", "description"]) {
                    read[index].extend(self.request_param(param, scope));
                }
            }
        }
        read
    }

    fn request_param(&mut self, param: &Selection, scope: &Scope) -> Option<RequestParam> {
        let name = self.required_of(param, "name")?;
        let name = self.text_of(&name.value)?;
        let property = match param.argument("property") {
            Some(argument) => Some(self.reference(&argument.value, &[Metatype::Property])?),
            None => None,
        };
        let value = match param.argument("value") {
            Some(argument) => {
                let mut value = self.value_expr(&argument.value)?;
                self.check_value(&mut value, scope, &argument.value, TDM3019);
                Some(value)
            }
            None => {
                if !scope.has(&name) {
                    self.error(TDM3006, param.span(), format!("`{name}` is no input, so the param needs a `value`"));
                }
                None
            }
        };
        Some(RequestParam { name, property, value })
    }

    fn response(&mut self, response: &Selection, signature: &Signature<'_>, protocol: Protocol) -> Option<Response> {
        let topic = if protocol == Protocol::Mqtt {
            self.known_arguments(response.arguments.as_ref(), &["topic"]);
            let argument = self.required_of(response, "topic")?;
            Some(self.topic(&argument.value, false)?)
        } else {
            self.known_arguments(response.arguments.as_ref(), &[]);
            None
        };
        let payload = self.response_payload(response);
        let wanted = signature.action.returns.as_ref().map(|field| field.property.clone());
        if let (Some((written, at)), Some(wanted)) = (&payload, &wanted)
            && !self.may_answer(written, wanted)
        {
            self.error(TDM3009, *at, format!("`{}` returns `{wanted}`", signature.id));
        }
        Some(Response { topic, property: payload.map(|(id, _)| id).or(wanted) })
    }

    /// `responsePayload(property)` and where its property stands.
    pub fn response_payload(&mut self, block: &Selection) -> Option<(Urn, Span)> {
        let mut found = None;
        for inner in block.children().iter().filter(|selection| !is_ignore_marker(selection)) {
            if !inner.name.is("responsePayload") {
                self.error(TDM3016, inner.span(), format!("unknown block `{}` in a response", inner.name.text));
                continue;
            }
            self.known_arguments(inner.arguments.as_ref(), &["property", "name", "description"]);
            if found.is_some() {
                self.error(TDM3005, inner.span(), "only one responsePayload is allowed");
                continue;
            }
            if let Some(argument) = self.required_of(inner, "property")
                && let Some(id) = self.value_property(&argument.value)
            {
                found = Some((id, argument.value.span()));
            }
        }
        found
    }

    /// Whether something decoded as `written` may stand for `wanted`: equal, is-a related, or Json.
    pub fn may_answer(&self, written: &Urn, wanted: &Urn) -> bool {
        is_related(written, wanted) || self.is_json(written)
    }

    /// Whether the property's values are any JSON.
    pub fn is_json(&self, property: &Urn) -> bool {
        self.entity(property).is_some_and(|entity| match &entity.kind {
            EntityKind::Property(property) => property.shape == PropertyShape::Primitive(Primitive::Json),
            _ => false,
        })
    }

    fn check_return(&mut self, block: &Selection, signature: &Signature<'_>, protocol: Protocol, has_response: bool) {
        if has_response || signature.action.returns.is_none() {
            return;
        }
        let message = format!("`{}` returns a value, so a Response is needed", signature.id);
        if protocol == Protocol::Mqtt {
            self.error(TDM3009, block.span(), message);
        } else {
            self.warning(TDM3009, block.span(), message);
        }
    }
}

/// Equal or one below the other on the is-a path.
pub(crate) fn is_related(one: &Urn, other: &Urn) -> bool {
    one.is_a(other) || other.is_a(one)
}

fn http_method(name: &str) -> Option<HttpMethod> {
    const METHODS: [(&str, HttpMethod); 5] = [
        ("HttpGet", HttpMethod::Get),
        ("HttpPost", HttpMethod::Post),
        ("HttpPut", HttpMethod::Put),
        ("HttpPatch", HttpMethod::Patch),
        ("HttpDelete", HttpMethod::Delete),
    ];
    METHODS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, method)| *method)
}

fn function_host(name: &str) -> Option<FunctionHost> {
    if name.eq_ignore_ascii_case("InvokeCloudLambda") {
        Some(FunctionHost::Cloud)
    } else {
        name.eq_ignore_ascii_case("InvokeGreengrassLambda").then_some(FunctionHost::Greengrass)
    }
}
