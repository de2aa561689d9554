//! Deployment documents: tolerant of case and unknown members (CR 4.2).

use indexmap::IndexMap;
use marram_version::Requirement;
use serde_json::{Map, Value};
use smol_str::SmolStr;

/// Largest document (CR 4.2).
pub const MAX_DOCUMENT: usize = 10 * 1024 * 1024;
/// Most components of a document (our limit).
const MAX_COMPONENTS: usize = 2_000;
/// What this runtime can do (CR 4.2).
pub const CAPABILITIES: [&str; 3] = ["LARGE_CONFIGURATION", "LINUX_RESOURCE_LIMITS", "SUB_DEPLOYMENTS"];

/// `failureHandlingPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailurePolicy {
    /// Back to the old state.
    #[default]
    Rollback,
    /// Stay in the failed state.
    DoNothing,
}

/// `componentUpdatePolicy.action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpdateAction {
    /// Ask components that listen.
    #[default]
    Notify,
    /// Just do it.
    Skip,
}

/// `systemResourceLimits`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    /// Kilobytes.
    pub memory: Option<u64>,
    /// Cores, with parts.
    pub cpus: Option<f64>,
}

/// `runWith`: an outer none leaves a member alone, an inner none goes back to the default.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunWith {
    /// `user[:group]`.
    pub posix_user: Option<Option<String>>,
    /// Limits.
    pub limits: Option<Option<Limits>>,
}

/// One component of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentEntry {
    /// Exact version in cloud documents; a range is taken as well.
    pub version: String,
    /// Pointers to forget.
    pub reset: Vec<String>,
    /// Deeply merged.
    pub merge: Option<Value>,
    /// How it runs.
    pub run_with: RunWith,
}

/// A deployment document.
#[derive(Debug, Clone, PartialEq)]
pub struct DeploymentDocument {
    /// Id shown to users.
    pub deployment_id: String,
    /// Name shown to users.
    pub deployment_name: Option<String>,
    /// What it configures, with its revision.
    pub configuration_arn: String,
    /// Group it acts for, when it is a sub-deployment.
    pub on_behalf_of: Option<String>,
    /// Milliseconds.
    pub creation_timestamp: i64,
    /// Root components.
    pub components: IndexMap<SmolStr, ComponentEntry>,
    /// On failure.
    pub failure_policy: FailurePolicy,
    /// What the runtime must be able to do.
    pub required_capabilities: Vec<String>,
    /// Seconds to wait for components' answers.
    pub update_timeout_secs: u64,
    /// Whether to ask them.
    pub update_action: UpdateAction,
    /// Seconds to wait for their judgement of configurations.
    pub validation_timeout_secs: u64,
}

/// Why a document is no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// `DEPLOYMENT_DOCUMENT_PARSE_ERROR`: not JSON or not of this shape.
    #[error("the deployment document cannot be read: {0}")]
    Parse(String),
    /// `DEPLOYMENT_DOCUMENT_NOT_VALID`: a member is missing or out of range.
    #[error("the deployment document is not valid: {0}")]
    NotValid(String),
    /// `DEPLOYMENT_DOCUMENT_SIZE_EXCEEDED`.
    #[error("the deployment document has {0} bytes, at most {MAX_DOCUMENT} are taken")]
    TooLarge(usize),
}

impl DeploymentDocument {
    /// Reads a document from its text.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DocumentError> {
        if bytes.len() > MAX_DOCUMENT {
            return Err(DocumentError::TooLarge(bytes.len()));
        }
        let value: Value = serde_json::from_slice(bytes).map_err(|error| DocumentError::Parse(error.to_string()))?;
        Self::from_value(&value)
    }

    /// Reads a document from JSON.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn from_value(value: &Value) -> Result<Self, DocumentError> {
        let top = value.as_object().ok_or_else(|| parse("it is no object"))?;
        let text = |key: &str| get(top, key).and_then(Value::as_str).map(str::to_owned);
        let configuration_arn = text("configurationArn")
            .ok_or_else(|| DocumentError::NotValid("configurationArn is missing".to_owned()))?;
        let mut components = IndexMap::new();
        if let Some(value) = get(top, "components") {
            let map = value.as_object().ok_or_else(|| parse("components is no map"))?;
            if map.len() > MAX_COMPONENTS {
                return Err(DocumentError::NotValid(format!("more than {MAX_COMPONENTS} components")));
            }
            for (name, value) in map {
                components.insert(SmolStr::from(name), component(name, value)?);
            }
        }
        let failure_policy = match text("failureHandlingPolicy").as_deref() {
            None => FailurePolicy::Rollback,
            Some(word) if word.eq_ignore_ascii_case("ROLLBACK") => FailurePolicy::Rollback,
            Some(word) if word.eq_ignore_ascii_case("DO_NOTHING") => FailurePolicy::DoNothing,
            Some(word) => return Err(DocumentError::NotValid(format!("failureHandlingPolicy {word} does not exist"))),
        };
        let empty = Map::new();
        let part = |key: &str| get(top, key).and_then(Value::as_object).unwrap_or(&empty);
        let (update, validation) = (part("componentUpdatePolicy"), part("configurationValidationPolicy"));
        let action = get(update, "action").and_then(Value::as_str).unwrap_or_default();
        // without a policy a core waits 20 s, without a limit in it 60 s (CR 3.6)
        let validation_default = if get(top, "configurationValidationPolicy").is_some() { 60 } else { 20 };
        Ok(Self {
            deployment_id: text("deploymentId").unwrap_or_else(|| configuration_arn.clone()),
            deployment_name: text("deploymentName"),
            on_behalf_of: text("onBehalfOf"),
            creation_timestamp: get(top, "creationTimestamp").and_then(whole).unwrap_or(0),
            components,
            failure_policy,
            required_capabilities: get(top, "requiredCapabilities")
                .and_then(Value::as_array)
                .map(|all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect())
                .unwrap_or_default(),
            update_timeout_secs: get(update, "timeout").and_then(seconds).unwrap_or(60),
            update_action: if action.eq_ignore_ascii_case("SKIP_NOTIFY_COMPONENTS") {
                UpdateAction::Skip
            } else {
                UpdateAction::Notify
            },
            validation_timeout_secs: get(validation, "timeout").and_then(seconds).unwrap_or(validation_default),
            configuration_arn,
        })
    }

    /// The group whose roots it sets: `thing/NAME` or `thinggroup/NAME`.
    ///
    /// # Errors
    /// No such part in the ARN.
    pub fn group_key(&self) -> Result<String, DocumentError> {
        let arn = match self.on_behalf_of.as_deref() {
            // the control plane names the group without its kind
            Some(group) if is_group_name(group) && !group.starts_with("thing") => {
                return Ok(format!("thinggroup/{group}"));
            }
            Some(arn) => arn,
            None => &self.configuration_arn,
        };
        group_key(arn).ok_or_else(|| DocumentError::NotValid(format!("{arn} names neither a thing nor a thing group")))
    }

    /// Capabilities it needs and this runtime lacks.
    pub fn missing_capabilities(&self) -> Vec<&str> {
        self.required_capabilities
            .iter()
            .map(String::as_str)
            .filter(|wanted| !CAPABILITIES.iter().any(|have| have.eq_ignore_ascii_case(wanted)))
            .collect()
    }

    /// The components were left out and must be fetched (CR 4.2).
    pub fn is_abridged(&self) -> bool {
        self.components.is_empty()
            && self.required_capabilities.iter().any(|one| one.eq_ignore_ascii_case("LARGE_CONFIGURATION"))
    }
}

/// The group key of an ARN: `...:configuration:thinggroup/a/b:3` gives `thinggroup/a/b`; also `...:thinggroup/a`.
pub fn group_key(arn: &str) -> Option<String> {
    let parts: Vec<&str> = arn.split(':').collect();
    let at = parts.iter().position(|part| part.starts_with("thing/") || part.starts_with("thinggroup/"))?;
    let revision =
        parts.len() > at + 1 && parts.last().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    // names of things may hold colons
    let end = if revision { parts.len() - 1 } else { parts.len() };
    let key = parts.get(at..end)?.join(":");
    key.split_once('/').is_some_and(|(_, name)| !name.is_empty()).then_some(key)
}

/// Whether a local deployment may name this group (CR 4.5).
pub fn is_group_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 128 && !name.contains(':')
}

fn component(name: &str, value: &Value) -> Result<ComponentEntry, DocumentError> {
    marram_recipe::check_component_name(name).map_err(|error| DocumentError::NotValid(error.to_string()))?;
    let map = value.as_object().ok_or_else(|| parse(format!("component {name} is no map")))?;
    let version = get(map, "version")
        .or_else(|| get(map, "componentVersion"))
        .and_then(Value::as_str)
        .ok_or_else(|| DocumentError::NotValid(format!("component {name} has no version")))?;
    if version.parse::<Requirement>().is_err() {
        return Err(DocumentError::NotValid(format!("component {name} has the version {version}, which is none")));
    }
    let empty = Map::new();
    let update = get(map, "configurationUpdate").and_then(Value::as_object).unwrap_or(&empty);
    let reset = match get(update, "reset").filter(|value| !value.is_null()) {
        None => Vec::new(),
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(_) => return Err(parse(format!("component {name}: reset is no list"))),
    };
    let merge = match get(update, "merge").filter(|value| !value.is_null()) {
        None => None,
        // some senders put the object into a text
        Some(Value::String(text)) if text.trim().is_empty() => None,
        Some(Value::String(text)) => {
            Some(serde_json::from_str(text).map_err(|error| parse(format!("component {name}: merge: {error}")))?)
        }
        Some(value) => Some(value.clone()),
    };
    if merge.as_ref().is_some_and(|merge| !merge.is_object()) {
        return Err(DocumentError::NotValid(format!("component {name}: merge is no object")));
    }
    let run_with = get(map, "runWith").and_then(Value::as_object).map(run_with).unwrap_or_default();
    Ok(ComponentEntry { version: version.to_owned(), reset, merge, run_with })
}

fn run_with(map: &Map<String, Value>) -> RunWith {
    let posix_user = get(map, "posixUser")
        .map(|value| value.as_str().map(str::trim).filter(|user| !user.is_empty()).map(str::to_owned));
    let limits = get(map, "systemResourceLimits").map(|value| {
        value.as_object().map(|limits| Limits {
            memory: get(limits, "memory").and_then(Value::as_u64),
            cpus: get(limits, "cpus").and_then(Value::as_f64),
        })
    });
    RunWith { posix_user, limits }
}

fn get<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    map.get(key).or_else(|| map.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value))
}

fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().filter(|number| number.is_finite()).map(|number| number as i64))
}

fn seconds(value: &Value) -> Option<u64> {
    whole(value).and_then(|seconds| u64::try_from(seconds).ok())
}

fn parse(message: impl Into<String>) -> DocumentError {
    DocumentError::Parse(message.into())
}
