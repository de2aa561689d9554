//! Lifecycles: choosing from the global one by selections, and reading of steps (CR 1.7).

use std::collections::HashSet;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::model::{Manifest, Recipe};

/// Keyword that every selection falls back to.
const ALL: &str = "all";
/// Seconds of the window of the error counter when a recipe names none.
pub const DEFAULT_ERROR_RESET_SECS: u64 = 3600;

/// The steps of a lifecycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StepName {
    /// During a deployment, before activation.
    Bootstrap,
    /// When NEW.
    Install,
    /// STARTING: must exit 0.
    Startup,
    /// The component's process.
    Run,
    /// STOPPING.
    Shutdown,
    /// After an error.
    Recover,
    /// After the component left.
    Uninstall,
}

impl StepName {
    /// All of them.
    pub const STEPS: [Self; 7] =
        [Self::Bootstrap, Self::Install, Self::Startup, Self::Run, Self::Shutdown, Self::Recover, Self::Uninstall];

    /// Its key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::Install => "install",
            Self::Startup => "startup",
            Self::Run => "run",
            Self::Shutdown => "shutdown",
            Self::Recover => "recover",
            Self::Uninstall => "uninstall",
        }
    }

    /// Seconds a step may take when the recipe does not say; none for `run`.
    pub fn default_timeout_secs(self) -> Option<u64> {
        match self {
            Self::Run => None,
            Self::Shutdown => Some(15),
            Self::Recover => Some(60),
            Self::Bootstrap | Self::Install | Self::Startup | Self::Uninstall => Some(120),
        }
    }
}

/// `Skipif`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SkipIf {
    /// Skip when a command is (not) on the path.
    OnPath {
        /// Name or path of the command.
        command: String,
        /// `!` was before it.
        negated: bool,
    },
    /// Skip when a path does (not) exist.
    Exists {
        /// The path.
        path: String,
        /// `!` was before it.
        negated: bool,
    },
}

impl SkipIf {
    /// Reads `[!]onpath COMMAND` or `[!]exists PATH`; none for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (negated, text) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest.trim_start()));
        let (word, rest) = text.split_once(char::is_whitespace)?;
        let rest = Some(rest.trim()).filter(|rest| !rest.is_empty())?.to_owned();
        match word.to_ascii_lowercase().as_str() {
            "onpath" => Some(Self::OnPath { command: rest, negated }),
            "exists" => Some(Self::Exists { path: rest, negated }),
            _ => None,
        }
    }
}

/// One step, ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Given to the shell as one argument.
    pub script: String,
    /// Runs as the runtime's own user.
    pub requires_privilege: bool,
    /// When to leave it out.
    pub skip_if: Option<SkipIf>,
    /// Seconds; none means the step's default.
    pub timeout_secs: Option<u64>,
    /// Environment of this step.
    pub setenv: IndexMap<String, String>,
}

/// Why a step cannot run: the component goes to ERRORED with `<STEP>_CONFIG_NOT_VALID`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// Neither text nor object.
    #[error("a step is a script or an object with `Script`")]
    Shape,
    /// An object without `Script`.
    #[error("the step has no `Script`")]
    NoScript,
    /// `Skipif` says something else than `onpath` or `exists`.
    #[error("`Skipif` is `{0}`; it takes `onpath COMMAND` or `exists PATH`")]
    SkipIf(String),
    /// `Timeout` is not a number of seconds.
    #[error("`Timeout` is not a positive number of seconds")]
    Timeout,
    /// `Setenv` is not a map of scalars.
    #[error("`Setenv` is not a map of names to values")]
    Setenv,
}

impl Step {
    /// Reads a step; none for null. Keys in any case, scalars also as text.
    ///
    /// # Errors
    /// [`StepError`].
    pub fn read(value: &Value) -> Result<Option<Self>, StepError> {
        let mut step = Self {
            script: String::new(),
            requires_privilege: false,
            skip_if: None,
            timeout_secs: None,
            setenv: IndexMap::new(),
        };
        match value {
            Value::Null => return Ok(None),
            Value::String(script) => step.script.clone_from(script),
            Value::Object(map) => {
                step.script = member(map, "Script").and_then(scalar_text).ok_or(StepError::NoScript)?;
                step.requires_privilege = member(map, "RequiresPrivilege")
                    .and_then(scalar_text)
                    .is_some_and(|text| text.eq_ignore_ascii_case("true"));
                if let Some(text) = member(map, "Skipif").and_then(scalar_text) {
                    step.skip_if = Some(SkipIf::parse(&text).ok_or(StepError::SkipIf(text))?);
                }
                if let Some(value) = member(map, "Timeout").filter(|value| !value.is_null()) {
                    step.timeout_secs = Some(seconds(value).ok_or(StepError::Timeout)?);
                }
                if let Some(value) = member(map, "Setenv") {
                    step.setenv = environment(value).ok_or(StepError::Setenv)?;
                }
            }
            _ => return Err(StepError::Shape),
        }
        Ok(Some(step))
    }
}

/// A lifecycle object, read lazily: each step answers for itself.
#[derive(Debug, Clone, Copy)]
pub struct Lifecycle<'a>(pub &'a Map<String, Value>);

impl Lifecycle<'_> {
    /// One step, if it is there.
    ///
    /// # Errors
    /// [`StepError`].
    pub fn step(&self, name: StepName) -> Result<Option<Step>, StepError> {
        member(self.0, name.as_str()).map_or(Ok(None), Step::read)
    }

    /// The environment of every step.
    ///
    /// # Errors
    /// Not a map of scalars.
    pub fn setenv(&self) -> Result<IndexMap<String, String>, StepError> {
        member(self.0, "setenv").map_or(Some(IndexMap::new()), environment).ok_or(StepError::Setenv)
    }

    /// Seconds of the window of the error counter.
    pub fn error_reset_secs(&self) -> u64 {
        member(self.0, "errorResetTime").and_then(seconds).unwrap_or(DEFAULT_ERROR_RESET_SECS)
    }
}

/// What a bootstrap step's exit code asks for (CR 1.7).
pub mod bootstrap {
    /// No restart needed by this step.
    pub const DONE: i32 = 0;
    /// Restart the runtime.
    pub const RESTART: i32 = 100;
    /// Reboot the device.
    pub const REBOOT: i32 = 101;
}

impl Recipe {
    /// The lifecycle for `manifest`: its own when it has one, else what its selections choose from the global one.
    pub fn lifecycle_for(&self, manifest: &Manifest) -> Map<String, Value> {
        if !manifest.lifecycle.is_empty() {
            return manifest.lifecycle.clone();
        }
        let mut keywords: HashSet<String> = HashSet::from([ALL.to_owned()]);
        keywords.extend(
            self.manifests.iter().flat_map(|manifest| &manifest.selections).map(|word| word.to_ascii_lowercase()),
        );
        match select(&Value::Object(self.lifecycle.clone()), &keywords, &manifest.selections) {
            Some(Value::Object(map)) => map,
            _ => Map::new(),
        }
    }
}

/// Filters one level: a level with keywords is replaced by what the first fitting selection names.
fn select(value: &Value, keywords: &HashSet<String>, selections: &[String]) -> Option<Value> {
    let Value::Object(map) = value else { return Some(value.clone()) };
    if map.keys().any(|key| keywords.contains(&key.to_ascii_lowercase())) {
        let chosen = selections
            .iter()
            .map(String::as_str)
            .chain([ALL])
            .find_map(|word| member(map, word).filter(|value| !value.is_null()))?;
        return select(chosen, keywords, selections);
    }
    let chosen = map.iter().filter_map(|(key, value)| Some((key.clone(), select(value, keywords, selections)?)));
    Some(Value::Object(chosen.collect()))
}

/// A member whatever the case of its key.
pub(crate) fn member<'a>(map: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    map.get(key).or_else(|| map.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value))
}

fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

fn seconds(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|seconds| *seconds > 0)
}

fn environment(value: &Value) -> Option<IndexMap<String, String>> {
    match value {
        Value::Null => Some(IndexMap::new()),
        Value::Object(map) => {
            // a variable without a value is the empty text
            map.iter()
                .map(|(name, value)| {
                    let text = if value.is_null() { Some(String::new()) } else { scalar_text(value) };
                    Some((name.clone(), text?))
                })
                .collect()
        }
        _ => None,
    }
}
