//! The text of a table.

use std::collections::BTreeSet;
use std::fmt::Write;

use anyhow::{Context, Result, bail};

use super::models::{Model, Operation, Shape, ShapeRef};
use super::select::Selection;

/// Patterns that no linear-time engine can hold, and what stands for them.
const PATTERN_OVERRIDES: &[(&str, &str)] = &[
    // A look-ahead against `--`; the length stands beside it in the model.
    ("^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$", "^[a-z0-9](-?[a-z0-9])*$"),
    // Java reads the last range as U+1000 and a zero; the supplementary planes are meant.
    (
        r"[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]+",
        r"[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]+",
    ),
];

/// Java's ASCII classes; the models use them inside brackets only.
const POSIX_CLASSES: &[(&str, &str)] = &[
    (r"\p{Alnum}", "a-zA-Z0-9"),
    (r"\p{Alpha}", "a-zA-Z"),
    (r"\p{Digit}", "0-9"),
    (r"\p{Graph}", "!-~"),
    (r"\p{Upper}", "A-Z"),
];

/// Shapes that hold credentials though their model does not say so: session tokens and one-time codes.
const SENSITIVE_EXTRAS: &[&str] = &["tokenType", "tokenCodeType", "authenticationCodeType"];

/// Operations without a telling verb that change nothing.
const READ_ONLY_EXTRAS: &[&str] = &["sts:GetCallerIdentity", "sts:GetAccessKeyInfo", "sts:DecodeAuthorizationMessage"];

/// The Rust source of one service's tables.
pub fn service(model: &Model, selection: &Selection) -> Result<String> {
    let mut emitter = Emitter { model, reached: BTreeSet::new(), patterns: Vec::new() };
    let mut operations = String::new();
    let mut paginators = String::new();
    let mut errors = BTreeSet::new();
    for (name, operation) in &model.operations {
        for error in &operation.errors {
            errors.insert(error.shape.as_str());
        }
        let with_shapes = selection.shapes.include(name);
        if with_shapes {
            for shape in operation.input.iter().chain(&operation.output) {
                emitter.reach(&shape.shape)?;
            }
        }
        let paginated = match model.paginators.get(name).and_then(|paginator| paginator.names()) {
            Some((input, output, limit, result)) => {
                writeln!(
                    paginators,
                    "static P_{name}: Pagination = Pagination {{ input_token: {input:?}, output_token: {output:?}, \
                     limit_key: {limit:?}, result_key: {result:?} }};"
                )?;
                format!("Some(&P_{name})")
            }
            None => "None".to_owned(),
        };
        emit_operation(&mut operations, &emitter, selection, name, operation, with_shapes, &paginated)?;
    }

    let mut shapes = String::new();
    for name in emitter.reached.clone() {
        emitter.shape(&mut shapes, &name)?;
    }
    let mut text = format!(
        "//! The tables of {}, API version {}. Written by `cargo xtask codegen`; do not edit.\n\n\
         #![allow(non_upper_case_globals, unused_imports)]\n\n\
         use super::build::*;\n\n",
        selection.name, model.metadata.api_version
    );
    let protocol = match (model.metadata.protocol.as_str(), model.metadata.json_version.as_deref()) {
        // The model prefers cbor; SDKs that know JSON 1.0 speak that (control-plane-api 1.1).
        ("json" | "smithy-rpc-v2-cbor", Some("1.0")) => "Json10",
        ("json", _) => "Json11",
        ("rest-json", _) => "RestJson",
        ("query", _) => "Query",
        (other, _) => bail!("{} speaks {other}", selection.name),
    };
    let mut by_code: Vec<_> = errors.iter().map(|name| (code(model, name), *name)).collect();
    by_code.sort();
    write!(
        text,
        "/// The service.\npub static SERVICE: Service = Service {{\n    id: ServiceId::{},\n    name: {:?},\n    protocol: Protocol::{protocol},\n    \
         api_version: {:?},\n    signing_names: &{:?},\n    target_prefix: {:?},\n    xml_namespace: {:?},\n    event_source: {:?},\n    \
         operations: &OPERATIONS,\n    errors: &[{}],\n}};\n\n",
        selection.variant,
        selection.name,
        model.metadata.api_version,
        selection.signing_names,
        model.metadata.target_prefix.as_deref().unwrap_or(""),
        model.metadata.xml_namespace.as_deref().unwrap_or(""),
        selection.event_source,
        by_code.iter().map(|(_, name)| format!("&E_{name}")).collect::<Vec<_>>().join(", "),
    )?;
    write!(text, "static OPERATIONS: [Operation; {}] = [\n{operations}];\n\n", model.operations.len())?;
    for (_, name) in &by_code {
        emit_error(&mut text, model, name)?;
    }
    write!(text, "\n{paginators}\n{shapes}")?;
    for (index, pattern) in emitter.patterns.iter().enumerate() {
        writeln!(text, "static R{index}: Pattern = Pattern::new({});", raw(pattern))?;
    }
    Ok(text)
}

fn emit_operation(
    out: &mut String,
    emitter: &Emitter,
    selection: &Selection,
    name: &str,
    operation: &Operation,
    with_shapes: bool,
    paginated: &str,
) -> Result<()> {
    let shape = |reference: &Option<ShapeRef>| match reference {
        Some(reference) if with_shapes => format!("Some(&{})", ident(&reference.shape)),
        _ => "None".to_owned(),
    };
    let errors: Vec<_> = operation.errors.iter().map(|error| format!("&E_{}", error.shape)).collect();
    // Started by the jobs data plane, decided by the registry's own action (control-plane-api 3.7).
    let prefix = if name == "StartCommandExecution" { "iot" } else { selection.iam_prefix };
    writeln!(
        out,
        "    Operation {{ service: ServiceId::{}, name: {name:?}, method: {:?}, path: {:?}, status: {}, input: {}, output: {}, \
         errors: &[{}], read_only: {}, iam_action: {:?}, paginated: {paginated}, body_limit: {}, has_shapes: {with_shapes} }},",
        selection.variant,
        operation.http.method,
        operation.http.request_uri,
        operation.http.response_code.unwrap_or(200),
        shape(&operation.input),
        shape(&operation.output),
        errors.join(", "),
        read_only(selection.name, name),
        format!("{prefix}:{name}"),
        body_limit(emitter.model, selection.name, name, operation),
    )?;
    Ok(())
}

fn emit_error(out: &mut String, model: &Model, name: &str) -> Result<()> {
    let shape = model.shapes.get(name).with_context(|| format!("error {name}"))?;
    let status =
        shape.error.as_ref().and_then(|error| error.http_status_code).unwrap_or(if shape.fault { 500 } else { 400 });
    let members: Vec<_> = shape
        .members
        .0
        .iter()
        .map(|(member, reference)| reference.location_name.as_deref().unwrap_or(member))
        .filter(|member| !member.eq_ignore_ascii_case("message"))
        .collect();
    writeln!(
        out,
        "static E_{name}: ErrorShape = ErrorShape {{ code: {:?}, status: {status}, members: &{members:?} }};",
        code(model, name)
    )?;
    Ok(())
}

/// The wire code of an error shape.
fn code<'a>(model: &'a Model, name: &'a str) -> &'a str {
    model
        .shapes
        .get(name)
        .and_then(|shape| shape.error.as_ref())
        .and_then(|error| error.code.as_deref())
        .unwrap_or(name)
}

fn read_only(service: &str, name: &str) -> bool {
    let verb =
        ["Get", "List", "Describe", "Search", "Lookup", "Simulate", "Test"].iter().any(|verb| name.starts_with(verb));
    match service {
        // The rest of sts makes credentials.
        "sts" => READ_ONLY_EXTRAS.contains(&format!("sts:{name}").as_str()),
        _ => verb,
    }
}

/// control-plane-api 10.4: 512 KiB for policies, 2 MiB for definitions.
fn body_limit(model: &Model, service: &str, name: &str, operation: &Operation) -> &'static str {
    let input = operation.input.as_ref().and_then(|input| model.shapes.get(&input.shape));
    let carries_definition =
        |shape: &Shape| shape.members.0.iter().any(|(_, member)| member.shape == "DefinitionDocument");
    if service == "iotthingsgraph" && input.is_some_and(carries_definition) {
        return "DEFINITION_BODY_LIMIT";
    }
    if matches!(service, "iot" | "iam") && name.contains("Policy") {
        return "POLICY_BODY_LIMIT";
    }
    match (service, name) {
        ("greengrassv2", "CreateDeployment") => "DEPLOYMENT_BODY_LIMIT",
        ("greengrassv2", "CreateComponentVersion") => "POLICY_BODY_LIMIT",
        ("logs", "PutLogEvents") | ("cloudwatch", "PutMetricData") => "BULK_BODY_LIMIT",
        _ => "DEFAULT_BODY_LIMIT",
    }
}

/// The name of a shape's table row.
fn ident(shape: &str) -> String {
    format!("S_{shape}")
}

/// A raw string literal with enough hashes.
fn raw(text: &str) -> String {
    let mut hashes = String::new();
    while text.contains(&format!("\"{hashes}")) {
        hashes.push('#');
    }
    format!("r{hashes}\"{text}\"{hashes}")
}

struct Emitter<'a> {
    model: &'a Model,
    reached: BTreeSet<String>,
    patterns: Vec<String>,
}

impl Emitter<'_> {
    /// Marks a shape and everything below it.
    fn reach(&mut self, name: &str) -> Result<()> {
        if !self.reached.insert(name.to_owned()) {
            return Ok(());
        }
        let shape = self.model.shapes.get(name).with_context(|| format!("shape {name}"))?;
        let below: Vec<&ShapeRef> = shape
            .members
            .0
            .iter()
            .map(|(_, reference)| reference)
            .chain(&shape.member)
            .chain(&shape.key)
            .chain(&shape.value)
            .collect();
        for reference in below {
            self.reach(&reference.shape)?;
        }
        Ok(())
    }

    fn shape(&mut self, out: &mut String, name: &str) -> Result<()> {
        let shape = &self.model.shapes[name];
        let kind = self.kind(name, shape)?;
        writeln!(
            out,
            "static {}: Shape = Shape {{ name: {name:?}, kind: {kind}, sensitive: {} }};",
            ident(name),
            shape.sensitive || SENSITIVE_EXTRAS.contains(&name)
        )?;
        Ok(())
    }

    fn kind(&mut self, name: &str, shape: &Shape) -> Result<String> {
        let reference = |reference: &Option<ShapeRef>| -> Result<String> {
            let reference = reference.as_ref().with_context(|| format!("shape {name} lacks its element"))?;
            Ok(format!("&{}", ident(&reference.shape)))
        };
        let length = format!("{}, {}", bound(shape.min), bound(shape.max));
        Ok(match shape.kind.as_str() {
            "structure" => {
                let mut text = String::from("Kind::Structure { members: &[");
                for (member, reference) in &shape.members.0 {
                    text.push_str(&self.member(shape, member, reference)?);
                    text.push_str(", ");
                }
                text.push_str("] }");
                text
            }
            "list" => {
                let element =
                    shape.member.as_ref().and_then(|member| member.location_name.as_deref()).unwrap_or("member");
                format!("list({}, {element:?}, {}, {length})", reference(&shape.member)?, shape.flattened)
            }
            "map" => format!("map({}, {}, {length})", reference(&shape.key)?, reference(&shape.value)?),
            "string" => {
                let pattern = match &shape.pattern {
                    Some(pattern) => format!("Some(&R{})", self.pattern(pattern)),
                    None => "None".to_owned(),
                };
                format!("text({length}, {pattern}, &{:?})", shape.values)
            }
            "integer" => format!("Kind::Integer(Number {{ min: {}, max: {} }})", bound(shape.min), bound(shape.max)),
            "long" => format!("Kind::Long(Number {{ min: {}, max: {} }})", bound(shape.min), bound(shape.max)),
            "float" => "Kind::Float".to_owned(),
            "double" => "Kind::Double".to_owned(),
            "boolean" => "Kind::Boolean".to_owned(),
            "timestamp" => format!("Kind::Timestamp({})", format_of(shape.timestamp_format.as_deref())?),
            "blob" => format!("blob({length})"),
            other => bail!("shape {name} is a {other}"),
        })
    }

    fn member(&self, shape: &Shape, name: &str, reference: &ShapeRef) -> Result<String> {
        if reference.timestamp_format.is_some() {
            bail!("member {name} has a timestamp format of its own");
        }
        let location = match reference.location.as_deref() {
            None if shape.payload.as_deref() == Some(name) => "Payload",
            None => "Body",
            Some("uri") => "Uri",
            Some("querystring") => "Query",
            Some("header") => "Header",
            Some("statusCode") => "StatusCode",
            Some(other) => bail!("member {name} stands in {other}"),
        };
        let wire = reference.location_name.as_deref().unwrap_or(name);
        let required = shape.required.iter().any(|required| required == name);
        let call = if reference.jsonvalue { "json_member" } else { "member" };
        Ok(format!("{call}({name:?}, {wire:?}, Location::{location}, &{}, {required})", ident(&reference.shape)))
    }

    fn pattern(&mut self, pattern: &str) -> usize {
        let pattern = PATTERN_OVERRIDES.iter().find(|(from, _)| *from == pattern).map_or(pattern, |(_, to)| to);
        let pattern = POSIX_CLASSES.iter().fold(pattern.to_owned(), |text, (from, to)| text.replace(from, to));
        match self.patterns.iter().position(|known| *known == pattern) {
            Some(index) => index,
            None => {
                self.patterns.push(pattern);
                self.patterns.len() - 1
            }
        }
    }
}

fn bound(bound: Option<f64>) -> String {
    match bound {
        Some(number) => format!("Some({})", number as i64),
        None => "None".to_owned(),
    }
}

fn format_of(format: Option<&str>) -> Result<&'static str> {
    Ok(match format {
        None => "TimestampFormat::Default",
        Some("iso8601") => "TimestampFormat::Iso8601",
        Some("unixTimestamp") => "TimestampFormat::Unix",
        Some(other) => bail!("timestamp format {other}"),
    })
}
