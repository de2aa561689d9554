//! Which operation a request asks for (control-plane-api 1.8).
//!
//! The SigV4 scope names the service, the service's protocol says where the operation's name stands: `X-Amz-Target`, `Action`,
//! or method and path. The scope is attacker-chosen until the signature is verified; it only *selects*, and the caller
//! verifies the signature with the same name, so that a request signed for one service never runs on another.
//!
//! Paths are split on raw `/` first and each segment is decoded for itself: nothing is normalised or merged.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use percent_encoding::percent_decode_str;

use crate::decode::query::Form;
use crate::error::ApiError;
use crate::message::Request;
use crate::model::Operation;
use crate::service::{Protocol, ServiceId};

/// Longest path that is routed, in bytes: the longest label (a 2048 character ARN, percent-encoded) fits.
pub const MAX_PATH_BYTES: usize = 8 << 10;

/// A routed request.
#[derive(Debug, Clone)]
pub struct Matched {
    /// The operation.
    pub operation: &'static Operation,
    /// Decoded path labels by wire name.
    pub labels: Vec<(&'static str, String)>,
}

/// Why no operation was found, and in whose dialect to say so.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteError {
    /// Whose dialect.
    pub service: ServiceId,
    /// What to say.
    pub error: ApiError,
}

/// The services that sign with `name`, the preferred one first.
pub fn services_signing_as(name: &str) -> impl Iterator<Item = ServiceId> + '_ {
    ServiceId::ALL.into_iter().filter(move |service| service.table().signing_names.contains(&name))
}

/// Finds the operation that `request` asks for. `signing_name`: the service in the SigV4 scope.
pub fn route(request: &Request<'_>, signing_name: &str) -> Result<Matched, RouteError> {
    let mut services = services_signing_as(signing_name);
    let Some(first) = services.next() else {
        return Err(unknown(guess(request)));
    };
    if let (ServiceId::GreengrassV2, Some(ServiceId::Greengrass)) = (first, services.next()) {
        return route_greengrass(request);
    }
    route_in(request, first)
}

/// The operation that method and path name on the device HTTPS plane, where no signature tells the service: one of `allowed`
/// or of [`crate::device::OPERATIONS`]. Services earlier in `allowed` win where paths collide (control-plane-api 1.8).
pub fn route_device(request: &Request<'_>, allowed: &[(ServiceId, &[&str])]) -> Option<Matched> {
    let unmodelled = route_in_table(request, &DEVICE_TABLE, |_| true);
    unmodelled.or_else(|| {
        allowed
            .iter()
            .find_map(|(service, names)| route_in_table(request, TABLES.get(service)?, |name| names.contains(&name)))
    })
}

/// In whose dialect to answer a request without a usable scope (control-plane-api 1.8, steps 4 to 7).
pub fn guess(request: &Request<'_>) -> ServiceId {
    if let Some(target) = request.header("x-amz-target") {
        let prefix = target.rsplit_once('.').map_or(target, |(prefix, _)| prefix);
        return ServiceId::ALL
            .into_iter()
            .find(|service| target_prefix_matches(*service, prefix))
            .unwrap_or(ServiceId::ThingsGraph);
    }
    let form = Form::of(request);
    if form.as_ref().is_some_and(|form| form.get("Action").is_some())
        || request.media_type() == "application/x-www-form-urlencoded"
    {
        let version = form.as_ref().and_then(|form| form.get("Version"));
        return if version == Some(ServiceId::Iam.table().api_version) { ServiceId::Iam } else { ServiceId::Sts };
    }
    match request.media_type() {
        "application/x-amz-json-1.1" | "application/x-amz-json-1.0" => ServiceId::ThingsGraph,
        _ => ServiceId::Iot,
    }
}

fn unknown(service: ServiceId) -> RouteError {
    let error = match service.protocol() {
        Protocol::RestJson => ApiError::unknown_operation(),
        _ => ApiError { status: 400, ..ApiError::unknown_operation() },
    };
    RouteError { service, error }
}

fn route_in(request: &Request<'_>, service: ServiceId) -> Result<Matched, RouteError> {
    match service.protocol() {
        Protocol::Json10 | Protocol::Json11 => route_target(request, service),
        Protocol::Query => route_action(request, service),
        Protocol::RestJson if request.header("x-amz-target").is_some() => Err(unknown(service)),
        Protocol::RestJson => route_path(request, service).ok_or_else(|| unknown(service)),
        // Its requests are streams; they take another way through the door ([`crate::s3::route`]).
        Protocol::RestXml => Err(unknown(service)),
    }
}

/// `X-Amz-Target: Prefix.Operation`; the prefix must be the scope's.
fn route_target(request: &Request<'_>, service: ServiceId) -> Result<Matched, RouteError> {
    let found = request
        .header("x-amz-target")
        .and_then(|target| target.rsplit_once('.'))
        .filter(|(prefix, _)| target_prefix_matches(service, prefix))
        .and_then(|(_, name)| service.operation(name))
        .filter(|_| request.method == "POST" && request.path == "/");
    match found {
        Some(operation) => Ok(Matched { operation, labels: Vec::new() }),
        None => Err(unknown(service)),
    }
}

/// CloudTrail's prefix comes as `com.amazonaws...CloudTrail_20131101` and as its last word.
fn target_prefix_matches(service: ServiceId, prefix: &str) -> bool {
    let known = service.table().target_prefix;
    !known.is_empty() && (known == prefix || known.rsplit('.').next() == Some(prefix))
}

/// `Action` and `Version`, in the form or in the query string.
fn route_action(request: &Request<'_>, service: ServiceId) -> Result<Matched, RouteError> {
    let refuse = |error: ApiError| RouteError { service, error };
    if !matches!(request.method, "POST" | "GET") || request.path != "/" {
        return Err(unknown(service));
    }
    let form = Form::of(request)
        .ok_or_else(|| refuse(ApiError::new("MalformedQueryString", 400, "the form cannot be read")))?;
    let Some(action) = form.get("Action") else {
        return Err(refuse(ApiError::new("MissingAction", 400, "the request names no Action")));
    };
    let version = form.get("Version").unwrap_or("");
    match service.operation(action).filter(|_| version == service.table().api_version) {
        Some(operation) => Ok(Matched { operation, labels: Vec::new() }),
        None => Err(refuse(ApiError::new("InvalidAction", 400, "no operation goes by this Action in this Version"))),
    }
}

/// Both generations share a signing name and three paths (control-plane-api 1.8, path collisions).
fn route_greengrass(request: &Request<'_>) -> Result<Matched, RouteError> {
    let agent = request.header("user-agent").unwrap_or("").to_ascii_lowercase();
    let tags_of_v1 = request
        .path
        .strip_prefix("/tags/")
        .is_some_and(|arn| percent_decode_str(arn).decode_utf8_lossy().contains(":/greengrass/"));
    let v1_first = tags_of_v1 || (agent.contains("greengrass") && !agent.contains("greengrassv2"));
    let order = if v1_first {
        [ServiceId::Greengrass, ServiceId::GreengrassV2]
    } else {
        [ServiceId::GreengrassV2, ServiceId::Greengrass]
    };
    order.into_iter().find_map(|service| route_path(request, service)).ok_or_else(|| unknown(order[0]))
}

fn route_path(request: &Request<'_>, service: ServiceId) -> Option<Matched> {
    route_in_table(request, TABLES.get(&service)?, |_| true)
}

fn route_in_table(request: &Request<'_>, table: &Table, offered: impl Fn(&str) -> bool) -> Option<Matched> {
    if request.path.len() > MAX_PATH_BYTES {
        return None;
    }
    let segments: Vec<&str> = request.path.strip_prefix('/')?.split('/').collect();
    let first = decode_segment(segments.first()?)?;
    let routes = table.get(first.as_ref())?;
    routes
        .iter()
        .filter(|route| route.operation.method == request.method && offered(route.operation.name))
        .find_map(|route| route.match_segments(&segments).map(|labels| Matched { operation: route.operation, labels }))
}

/// One percent-decoding; `None` when the bytes are not UTF-8.
fn decode_segment(raw: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(raw).decode_utf8().ok()
}

type Table = HashMap<&'static str, Vec<Route>>;

/// Routes of each REST service by first literal, the most specific first.
static TABLES: LazyLock<HashMap<ServiceId, Table>> = LazyLock::new(|| {
    let rest = ServiceId::ALL.into_iter().filter(|service| service.protocol() == Protocol::RestJson);
    rest.map(|service| (service, table(service.table().operations))).collect()
});

static DEVICE_TABLE: LazyLock<Table> = LazyLock::new(|| table(crate::device::OPERATIONS));

fn table(operations: &'static [Operation]) -> Table {
    let mut table = Table::new();
    for operation in operations {
        let route = Route::new(operation);
        if let Some(Segment::Literal(first)) = route.segments.first() {
            table.entry(first).or_default().push(route);
        }
    }
    for routes in table.values_mut() {
        routes.sort_by(|a, b| a.segments.cmp(&b.segments));
    }
    table
}

struct Route {
    operation: &'static Operation,
    segments: Vec<Segment>,
}

/// In order of preference.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Literal(&'static str),
    Label(&'static str),
    Greedy(&'static str),
}

impl Route {
    fn new(operation: &'static Operation) -> Route {
        let path = operation.path.split('?').next().unwrap_or_default();
        // Topics come with raw slashes from clients that build the URL by hand (control-plane-api 1.7).
        let topic = |label: &str| operation.service == ServiceId::IotData && label == "topic";
        let segments = path
            .trim_start_matches('/')
            .split('/')
            .map(|segment| match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                Some(label) => match label.strip_suffix('+') {
                    Some(greedy) => Segment::Greedy(greedy),
                    None if topic(label) => Segment::Greedy(label),
                    None => Segment::Label(label),
                },
                None => Segment::Literal(segment),
            })
            .collect();
        Route { operation, segments }
    }

    /// The labels, when every segment matches. A label is never empty.
    fn match_segments(&self, raw: &[&str]) -> Option<Vec<(&'static str, String)>> {
        let mut labels = Vec::new();
        let mut position = 0;
        for segment in &self.segments {
            let part = raw.get(position)?;
            match segment {
                Segment::Literal(literal) => {
                    if decode_segment(part)? != *literal {
                        return None;
                    }
                    position += 1;
                }
                Segment::Label(name) => {
                    let text = decode_segment(part)?;
                    if text.is_empty() {
                        return None;
                    }
                    labels.push((*name, text.into_owned()));
                    position += 1;
                }
                Segment::Greedy(name) => {
                    let text = decode_segment(&raw[position..].join("/"))?.into_owned();
                    if text.is_empty() {
                        return None;
                    }
                    labels.push((*name, text));
                    position = raw.len();
                }
            }
        }
        (position == raw.len()).then_some(labels)
    }
}

#[cfg(test)]
mod tests;
