//! A recipe as a model, and its canonical JSON.

use indexmap::IndexMap;
use marram_version::{Requirement, RequirementError, Version};
use serde_json::{Map, Value, json};
use smol_str::SmolStr;

use crate::artifact::{ArtifactUri, ArtifactUriError};

/// `ComponentType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ComponentType {
    /// `aws.greengrass.generic`: runs scripts.
    #[default]
    Generic,
    /// `aws.greengrass.lambda`.
    Lambda,
    /// `aws.greengrass.plugin`: runs inside the original's JVM.
    Plugin,
    /// `aws.greengrass.nucleus`.
    Nucleus,
}

impl ComponentType {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Generic, Self::Lambda, Self::Plugin, Self::Nucleus];

    /// The word of the recipe.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Generic => "aws.greengrass.generic",
            Self::Lambda => "aws.greengrass.lambda",
            Self::Plugin => "aws.greengrass.plugin",
            Self::Nucleus => "aws.greengrass.nucleus",
        }
    }

    /// The word of the configuration tree (CR 3.2).
    pub fn store_word(self) -> &'static str {
        match self {
            Self::Generic => "GENERIC",
            Self::Lambda => "LAMBDA",
            Self::Plugin => "PLUGIN",
            Self::Nucleus => "NUCLEUS",
        }
    }
}

/// `DependencyType` (CR 1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DependencyType {
    /// The dependent starts when the dependency is ready and restarts with it.
    #[default]
    Hard,
    /// Only deployed together.
    Soft,
}

impl DependencyType {
    /// The word of the recipe and of the configuration tree.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hard => "HARD",
            Self::Soft => "SOFT",
        }
    }
}

/// A dependency on another component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// npm range, as written.
    pub requirement: String,
    /// Kind.
    pub kind: DependencyType,
}

impl Dependency {
    /// The range as a rule.
    ///
    /// # Errors
    /// Not an npm range; a core answers `COMPONENT_DEPENDENCY_NOT_VALID`.
    pub fn range(&self) -> Result<Requirement, RequirementError> {
        self.requirement.parse()
    }
}

/// `Unarchive`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Unarchive {
    /// Stays as it is.
    #[default]
    None,
    /// Unpacked into a folder named as the file without its extension.
    Zip,
}

/// Who gets a right on an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grant {
    /// Nobody but the runtime.
    None,
    /// The component's user and group.
    Owner,
    /// Everybody.
    All,
}

impl Grant {
    fn as_str(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Owner => "OWNER",
            Self::All => "ALL",
        }
    }
}

/// `Permission` of an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Permission {
    /// `Read`.
    pub read: Grant,
    /// `Execute`; implies the matching read.
    pub execute: Grant,
}

impl Default for Permission {
    fn default() -> Self {
        Self { read: Grant::Owner, execute: Grant::None }
    }
}

impl Permission {
    /// POSIX mode of the file (CR 1.6): the owner always reads.
    pub fn mode(self) -> u32 {
        let read = match self.read {
            Grant::None => 0o400,
            Grant::Owner => 0o440,
            Grant::All => 0o444,
        };
        let execute = match self.execute {
            Grant::None => 0,
            Grant::Owner => 0o550,
            Grant::All => 0o555,
        };
        read | execute
    }
}

/// One artifact of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// As written; see [`Artifact::place`].
    pub uri: String,
    /// Unpacked?
    pub unarchive: Unarchive,
    /// Rights.
    pub permission: Permission,
    /// Digest of the file, standard base64; set by the cloud.
    pub digest: Option<String>,
    /// Its algorithm, `SHA-256`; set by the cloud.
    pub algorithm: Option<String>,
}

impl Artifact {
    /// The URI understood.
    ///
    /// # Errors
    /// Empty, without a scheme, of an unknown scheme, or malformed.
    pub fn place(&self) -> Result<ArtifactUri, ArtifactUriError> {
        self.uri.parse()
    }
}

/// One manifest: what to do on a kind of platform.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Manifest {
    /// Label for people.
    pub name: Option<String>,
    /// Attributes wanted; none matches every device.
    pub platform: Option<IndexMap<String, String>>,
    /// Lifecycle object; when not empty it replaces the global one.
    pub lifecycle: Map<String, Value>,
    /// Keywords for the global lifecycle.
    pub selections: Vec<String>,
    /// Artifacts.
    pub artifacts: Vec<Artifact>,
}

/// A component's recipe.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// `ComponentName`.
    pub name: SmolStr,
    /// `ComponentVersion`.
    pub version: Version,
    /// `ComponentType`.
    pub component_type: ComponentType,
    /// `ComponentDescription`.
    pub description: Option<String>,
    /// `ComponentPublisher`.
    pub publisher: Option<String>,
    /// `ComponentSource`.
    pub source: Option<String>,
    /// `DefaultConfiguration`: any JSON, normally an object.
    pub default_configuration: Option<Value>,
    /// `ComponentDependencies` in the author's order.
    pub dependencies: IndexMap<SmolStr, Dependency>,
    /// `Manifests` in the author's order.
    pub manifests: Vec<Manifest>,
    /// Global `Lifecycle`.
    pub lifecycle: Map<String, Value>,
}

impl Recipe {
    /// All artifacts of all manifests, for settings by the cloud (`digest`, `algorithm`, `uri`).
    pub fn artifacts_mut(&mut self) -> impl Iterator<Item = &mut Artifact> {
        self.manifests.iter_mut().flat_map(|manifest| &mut manifest.artifacts)
    }

    /// All artifacts of all manifests.
    pub fn artifacts(&self) -> impl Iterator<Item = &Artifact> {
        self.manifests.iter().flat_map(|manifest| &manifest.artifacts)
    }

    /// Canonical JSON: known keys in their official spelling, sorted, nothing that says the default.
    pub fn to_json(&self) -> Value {
        let mut top = Map::new();
        let mut put = |key: &str, value: Value| drop(top.insert(key.to_owned(), value));
        put("RecipeFormatVersion", json!(FORMAT_VERSION));
        put("ComponentName", json!(self.name.as_str()));
        put("ComponentVersion", json!(self.version.to_string()));
        put("ComponentType", json!(self.component_type.as_str()));
        for (key, text) in [
            ("ComponentDescription", &self.description),
            ("ComponentPublisher", &self.publisher),
            ("ComponentSource", &self.source),
        ] {
            if let Some(text) = text {
                put(key, json!(text));
            }
        }
        if let Some(defaults) = &self.default_configuration {
            put("ComponentConfiguration", json!({ "DefaultConfiguration": defaults }));
        }
        if !self.dependencies.is_empty() {
            let all = self.dependencies.iter().map(|(name, dependency)| {
                let value =
                    json!({ "VersionRequirement": dependency.requirement, "DependencyType": dependency.kind.as_str() });
                (name.to_string(), value)
            });
            put("ComponentDependencies", Value::Object(all.collect()));
        }
        put("Manifests", Value::Array(self.manifests.iter().map(manifest_json).collect()));
        if !self.lifecycle.is_empty() {
            put("Lifecycle", Value::Object(self.lifecycle.clone()));
        }
        Value::Object(top)
    }
}

/// The only format there is.
pub(crate) const FORMAT_VERSION: &str = "2020-01-25";

fn manifest_json(manifest: &Manifest) -> Value {
    let mut all = Map::new();
    if let Some(name) = &manifest.name {
        all.insert("Name".to_owned(), json!(name));
    }
    if let Some(platform) = &manifest.platform {
        all.insert("Platform".to_owned(), json!(platform));
    }
    if !manifest.lifecycle.is_empty() {
        all.insert("Lifecycle".to_owned(), Value::Object(manifest.lifecycle.clone()));
    }
    if !manifest.selections.is_empty() {
        all.insert("Selections".to_owned(), json!(manifest.selections));
    }
    if !manifest.artifacts.is_empty() {
        all.insert("Artifacts".to_owned(), Value::Array(manifest.artifacts.iter().map(artifact_json).collect()));
    }
    Value::Object(all)
}

fn artifact_json(artifact: &Artifact) -> Value {
    let mut all = Map::new();
    all.insert("Uri".to_owned(), json!(artifact.uri));
    let unarchive = match artifact.unarchive {
        Unarchive::None => "NONE",
        Unarchive::Zip => "ZIP",
    };
    all.insert("Unarchive".to_owned(), json!(unarchive));
    let Permission { read, execute } = artifact.permission;
    all.insert("Permission".to_owned(), json!({ "Read": read.as_str(), "Execute": execute.as_str() }));
    if let Some(digest) = &artifact.digest {
        all.insert("Digest".to_owned(), json!(digest));
    }
    if let Some(algorithm) = &artifact.algorithm {
        all.insert("Algorithm".to_owned(), json!(algorithm));
    }
    Value::Object(all)
}
