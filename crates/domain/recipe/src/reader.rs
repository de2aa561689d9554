//! From values with places to a recipe and everything an author should know about it (CR 1.2 to 1.7, 1.10).

use indexmap::IndexMap;
use marram_version::{Requirement, Version};
use serde_json::{Map, Value};
use smol_str::SmolStr;

use crate::document::{self, Kind, Node};
use crate::finding::{Finding, Place, Severity};
use crate::lifecycle::{Lifecycle, StepName};
use crate::model::{
    Artifact, ComponentType, Dependency, DependencyType, FORMAT_VERSION, Grant, Manifest, Permission, Recipe, Unarchive,
};
use crate::name::{check_component_name, shown, unpacked_name};
use crate::platform;
use crate::variable::{Variable, interpolate};

/// Largest recipe that the cloud takes, in bytes (CP 7.2).
pub const MAX_PUBLISHED_RECIPE: usize = 16 * 1024;
/// Largest recipe that is read at all, in bytes: local recipes and those with digests added.
pub const MAX_RECIPE: usize = 256 * 1024;
/// Members of a lifecycle that keep their type; all others are text as written.
const TYPED: &[&str] = &["Timeout", "RequiresPrivilege", "errorResetTime"];

/// Members that only tell people something. Unknown members are ignored, as the original does, and where one of these was meant no
/// more is lost than that; where another was meant, the component would be deployed with success and do something else.
const TELLS: &[&str] =
    &["ComponentDescription", "ComponentPublisher", "ComponentSource", "Name", "Digest", "Algorithm"];
/// Values of `os` that a core may claim, and those that fit every one (CR 1.5).
const SYSTEMS: &[&str] = &["linux", "windows", "darwin", "any", "all"];
/// Values of `architecture` that a core may claim, and those that fit every one (CR 1.5).
const ARCHITECTURES: &[&str] = &["amd64", "x86", "arm", "aarch64", "any", "all"];
/// Other names of architectures, and what cores call them.
const ARCHITECTURE_NAMES: &[(&str, &str)] = &[
    ("arm64", "aarch64"),
    ("armv8", "aarch64"),
    ("x86_64", "amd64"),
    ("x64", "amd64"),
    ("armhf", "arm"),
    ("armv7", "arm"),
    ("armv7l", "arm"),
    ("i386", "x86"),
    ("i686", "x86"),
];

/// A recipe as far as it could be understood.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The model; none when the document cannot be a recipe at all (`RECIPE_PARSE_ERROR` on a core).
    pub recipe: Option<Recipe>,
    /// Everything worth telling, in the order of the text.
    pub findings: Vec<Finding>,
}

impl Reading {
    /// Findings that an author is told of a recipe that can be published.
    pub fn warnings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Warning)
    }

    /// Findings that forbid publication.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error)
    }
}

/// Reads a recipe, JSON or YAML. Never fails: what is wrong stands in the findings.
pub fn read(bytes: &[u8]) -> Reading {
    let mut reader = Reader { findings: Vec::new() };
    let recipe = reader.document(bytes);
    reader.findings.sort_by_key(|finding| finding.place);
    Reading { recipe, findings: reader.findings }
}

/// Whether only AWS' own components have names like this. What it shows in public as samples is published by users, under the names by
/// which the recipes there know one another. Whatever the case: a core takes names that differ in nothing else for one.
pub fn is_reserved(name: &str) -> bool {
    let begins = |start: &str| name.get(..start.len()).is_some_and(|first| first.eq_ignore_ascii_case(start));
    begins("aws.") && !begins("aws.greengrass.labs.")
}

/// What the cloud refuses beyond the format: size, reserved names and types (CP 7.2).
pub fn publication_findings(bytes: usize, recipe: &Recipe) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut refuse = |field: &str, message: String, remedy: &str| {
        findings.push(Finding {
            severity: Severity::Error,
            field: field.to_owned(),
            place: None,
            message,
            remedy: remedy.to_owned(),
        });
    };
    if bytes > MAX_PUBLISHED_RECIPE {
        let message = format!("the recipe has {bytes} bytes, at most {MAX_PUBLISHED_RECIPE} are allowed");
        refuse("", message, "move long scripts into an artifact");
    }
    if is_reserved(&recipe.name) {
        let message = format!("`{}` begins with `aws.`, which is reserved", recipe.name);
        refuse("ComponentName", message, "use a name of your own, for example com.example.Name");
    }
    for (at, manifest) in recipe.manifests.iter().enumerate() {
        for (number, artifact) in manifest.artifacts.iter().enumerate() {
            if matches!(artifact.place(), Ok(crate::ArtifactUri::Docker(_))) {
                let message =
                    format!("`{}` is a container image, and container images are not supported", shown(&artifact.uri));
                let field = format!("Manifests[{at}].Artifacts[{number}].URI");
                refuse(&field, message, "put the program into an archive in the object store");
            }
        }
    }
    if recipe.component_type == ComponentType::Nucleus {
        refuse("ComponentType", "aws.greengrass.nucleus is reserved".to_owned(), "leave ComponentType out");
    }
    findings
}

struct Reader {
    findings: Vec<Finding>,
}

/// Members of a map by their official keys.
struct Members<'a> {
    field: String,
    place: Place,
    found: Vec<(&'static str, &'a Node)>,
}

impl<'a> Members<'a> {
    fn get(&self, key: &str) -> Option<&'a Node> {
        self.found.iter().find(|(name, _)| *name == key).map(|(_, node)| *node).filter(|node| !node.is_null())
    }

    fn field(&self, key: &str) -> String {
        join(&self.field, key)
    }
}

fn join(field: &str, key: &str) -> String {
    if field.is_empty() { key.to_owned() } else { format!("{field}.{key}") }
}

impl Reader {
    fn say(&mut self, severity: Severity, field: &str, place: Place, message: impl Into<String>, remedy: &str) {
        self.findings.push(Finding {
            severity,
            field: field.to_owned(),
            place: Some(place),
            message: message.into(),
            remedy: remedy.to_owned(),
        });
    }

    fn error(&mut self, field: &str, place: Place, message: impl Into<String>, remedy: &str) {
        self.say(Severity::Error, field, place, message, remedy);
    }

    fn warn(&mut self, field: &str, place: Place, message: impl Into<String>, remedy: &str) {
        self.say(Severity::Warning, field, place, message, remedy);
    }

    fn document(&mut self, bytes: &[u8]) -> Option<Recipe> {
        let start = Place { line: 1, column: 1 };
        if bytes.len() > MAX_RECIPE {
            let message = format!("the recipe has {} bytes, at most {MAX_RECIPE} are read", bytes.len());
            self.error("", start, message, "move long scripts into an artifact");
            return None;
        }
        let Ok(text) = std::str::from_utf8(bytes) else {
            self.error("", start, "the recipe is not UTF-8 text", "save it as UTF-8");
            return None;
        };
        match document::parse(text) {
            Ok(root) => self.recipe(&root),
            Err(error) => {
                self.error("", error.place, error.message, "a recipe is one JSON object or one YAML document");
                None
            }
        }
    }

    fn recipe(&mut self, root: &Node) -> Option<Recipe> {
        let keys = [
            "RecipeFormatVersion",
            "ComponentName",
            "ComponentVersion",
            "ComponentType",
            "ComponentDescription",
            "ComponentPublisher",
            "ComponentSource",
            "ComponentConfiguration",
            "ComponentDependencies",
            "Manifests",
            "Lifecycle",
        ];
        let top = self.members("", root, &keys)?;
        // every part is read even when an earlier one is hopeless, so that an author learns everything at once
        let format = self.format_version(&top);
        let name = self.name(&top);
        let version = self.version(&top);
        let component_type = self.component_type(&top);
        let [description, publisher, source] = ["ComponentDescription", "ComponentPublisher", "ComponentSource"]
            .map(|key| top.get(key).and_then(|node| self.text(key, node)));
        let default_configuration = self.configuration(&top);
        let dependencies = self.dependencies(&top);
        if let (Some(name), Some(all), Some(node)) = (&name, &dependencies, top.get("ComponentDependencies"))
            && all.keys().any(|dependency| dependency.eq_ignore_ascii_case(name))
        {
            let field = format!("ComponentDependencies.{name}");
            self.error(
                &field,
                node.place,
                format!("`{name}` depends on itself"),
                "remove it from its own dependencies",
            );
        }
        let manifests = self.manifests(&top);
        let lifecycle = self.global_lifecycle(&top, manifests.as_deref().unwrap_or_default());
        if let Some(dependencies) = &dependencies {
            self.variables_of(&top, dependencies);
        }
        format?;
        let recipe = Recipe {
            name: name?,
            version: version?,
            component_type: component_type?,
            description,
            publisher,
            source,
            default_configuration: default_configuration?,
            dependencies: dependencies?,
            manifests: manifests?,
            lifecycle: lifecycle?,
        };
        self.selected(&top, &recipe);
        Some(recipe)
    }

    /// What selections choose from the global lifecycle must be steps.
    fn selected(&mut self, top: &Members<'_>, recipe: &Recipe) {
        let Some(Kind::List(items)) = top.get("Manifests").map(|node| &node.kind) else { return };
        for (index, (manifest, node)) in recipe.manifests.iter().zip(items).enumerate() {
            if manifest.selections.is_empty() || !manifest.lifecycle.is_empty() || recipe.lifecycle.is_empty() {
                continue;
            }
            let chosen = recipe.lifecycle_for(manifest);
            let steps = StepName::STEPS.map(|name| Lifecycle(&chosen).step(name));
            let wrong = steps.iter().find_map(|step| step.as_ref().err());
            let message = match wrong {
                Some(error) => format!("the selections choose no step: {error}"),
                None if steps.iter().all(|step| matches!(step, Ok(None))) => "the selections choose nothing".to_owned(),
                None => continue,
            };
            let remedy = "name a keyword of the global Lifecycle, or give the manifest a Lifecycle of its own";
            self.error(&format!("Manifests[{index}].Selections"), node.place, message, remedy);
        }
    }

    /// Variables in lifecycles that nothing will ever answer.
    fn variables_of(&mut self, top: &Members<'_>, dependencies: &IndexMap<SmolStr, Dependency>) {
        let manifests = match top.get("Manifests").map(|node| &node.kind) {
            Some(Kind::List(items)) => items.as_slice(),
            _ => &[],
        };
        let own = manifests.iter().enumerate().filter_map(|(index, node)| match &node.kind {
            Kind::Map(members) => {
                let found = members.iter().find(|(name, _)| name.text.eq_ignore_ascii_case("Lifecycle"));
                found.map(|(_, node)| (format!("Manifests[{index}].Lifecycle"), node))
            }
            _ => None,
        });
        let all = top.get("Lifecycle").map(|node| ("Lifecycle".to_owned(), node));
        for (field, node) in own.chain(all) {
            self.variables(&field, node, dependencies);
        }
    }

    fn variables(&mut self, field: &str, node: &Node, dependencies: &IndexMap<SmolStr, Dependency>) {
        match &node.kind {
            Kind::List(items) => items.iter().for_each(|item| self.variables(field, item, dependencies)),
            Kind::Map(members) => {
                for (name, node) in members {
                    self.variables(&join(field, &name.text), node, dependencies);
                }
            }
            Kind::Scalar { text, .. } => {
                let mut told: Vec<(String, String)> = Vec::new();
                interpolate(text, |variable| {
                    if let Some(remedy) = unanswered(&variable, dependencies) {
                        let component = variable.component.map(|name| format!("{name}:")).unwrap_or_default();
                        told.push((format!("{{{component}{}:{}}}", variable.namespace, variable.key), remedy));
                    }
                    None
                });
                for (variable, remedy) in told {
                    let message = format!("nothing answers `{}`, it stays in the text as it is", shown(&variable));
                    self.warn(field, node.place, message, &remedy);
                }
            }
        }
    }

    fn format_version(&mut self, top: &Members<'_>) -> Option<()> {
        let key = "RecipeFormatVersion";
        let remedy = "write RecipeFormatVersion: 2020-01-25";
        match top.get(key) {
            None => self.error(key, top.place, "RecipeFormatVersion is missing", remedy),
            Some(node) => match self.text(key, node)? {
                text if text == FORMAT_VERSION => return Some(()),
                text => self.error(key, node.place, format!("the format version `{text}` does not exist"), remedy),
            },
        }
        None
    }

    fn name(&mut self, top: &Members<'_>) -> Option<SmolStr> {
        let key = "ComponentName";
        let Some(node) = top.get(key) else {
            self.error(key, top.place, "ComponentName is missing", "write for example com.example.Name");
            return None;
        };
        let text = self.text(key, node)?;
        match check_component_name(&text) {
            Ok(()) => Some(text.into()),
            Err(error) => {
                self.error(key, node.place, error.to_string(), error.remedy());
                None
            }
        }
    }

    fn version(&mut self, top: &Members<'_>) -> Option<Version> {
        let key = "ComponentVersion";
        let remedy = "use three numbers as in 1.0.0, each at most 999999";
        let Some(node) = top.get(key) else {
            self.error(key, top.place, "ComponentVersion is missing", remedy);
            return None;
        };
        let text = self.text(key, node)?;
        match text.parse() {
            Ok(version) => Some(version),
            Err(error) => {
                self.error(key, node.place, error.to_string(), remedy);
                None
            }
        }
    }

    fn component_type(&mut self, top: &Members<'_>) -> Option<ComponentType> {
        let key = "ComponentType";
        let Some(node) = top.get(key) else { return Some(ComponentType::default()) };
        let text = self.text(key, node)?;
        let found = ComponentType::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(&text));
        if found.is_none() {
            let remedy = "leave ComponentType out, or use aws.greengrass.generic";
            self.error(key, node.place, format!("the component type `{}` does not exist", shown(&text)), remedy);
        }
        found
    }

    /// The outer option is none when the field is hopeless.
    fn configuration(&mut self, top: &Members<'_>) -> Option<Option<Value>> {
        let key = "ComponentConfiguration";
        let Some(node) = top.get(key) else { return Some(None) };
        let inner = self.members(key, node, &["DefaultConfiguration"])?;
        let Some(node) = inner.get("DefaultConfiguration") else { return Some(None) };
        let field = inner.field("DefaultConfiguration");
        if !matches!(node.kind, Kind::Map(_)) {
            self.warn(&field, node.place, "the default configuration is not an object", "make it a map of keys");
        }
        self.same_key_twice(&field, node, Severity::Warning);
        Some(Some(node.to_value()))
    }

    fn dependencies(&mut self, top: &Members<'_>) -> Option<IndexMap<SmolStr, Dependency>> {
        let key = "ComponentDependencies";
        let mut all = IndexMap::new();
        let Some(node) = top.get(key) else { return Some(all) };
        let Kind::Map(members) = &node.kind else {
            self.error(key, node.place, "this is not a map", "write the name of each dependency as a key");
            return None;
        };
        for (name, node) in members {
            let field = join(key, &name.text);
            if let Err(error) = check_component_name(&name.text) {
                self.error(&field, name.place, error.to_string(), error.remedy());
                return None;
            }
            let inner = self.members(&field, node, &["VersionRequirement", "DependencyType"])?;
            let requirement = self.requirement(&inner);
            let kind = match inner.get("DependencyType") {
                None => DependencyType::Hard,
                Some(node) => self.choice(
                    &inner.field("DependencyType"),
                    node,
                    &[("HARD", DependencyType::Hard), ("SOFT", DependencyType::Soft)],
                )?,
            };
            all.insert(SmolStr::from(&name.text), Dependency { requirement: requirement?, kind });
        }
        Some(all)
    }

    fn requirement(&mut self, members: &Members<'_>) -> Option<String> {
        let field = members.field("VersionRequirement");
        let Some(node) = members.get("VersionRequirement") else {
            // an empty text is a range that fits everything; nothing at all is an oversight
            let remedy = "write the range of versions, for example ^1.0.0";
            self.error(&field, members.place, "VersionRequirement is missing", remedy);
            return Some(String::new());
        };
        let text = self.text(&field, node)?;
        if let Err(error) = text.parse::<Requirement>() {
            self.error(&field, node.place, error.to_string(), "use an npm range");
        }
        Some(text)
    }

    fn manifests(&mut self, top: &Members<'_>) -> Option<Vec<Manifest>> {
        let key = "Manifests";
        let remedy = "add a manifest; one without Platform fits every device";
        let Some(node) = top.get(key) else {
            self.error(key, top.place, "the recipe has no manifest, so no device can run it", remedy);
            return Some(Vec::new());
        };
        let Kind::List(items) = &node.kind else {
            self.error(key, node.place, "this is not a list", "begin each manifest with `- `");
            return None;
        };
        if items.is_empty() {
            self.error(key, node.place, "the recipe has no manifest, so no device can run it", remedy);
        }
        let mut all: Vec<Manifest> = Vec::new();
        for (index, node) in items.iter().enumerate() {
            let field = format!("{key}[{index}]");
            if all.iter().any(|earlier| earlier.platform.as_ref().is_none_or(IndexMap::is_empty)) {
                let message = "an earlier manifest fits every device, so this one is never chosen";
                self.warn(&field, node.place, message, "put manifests with a Platform first");
            }
            all.push(self.manifest(&field, node)?);
        }
        Some(all)
    }

    fn manifest(&mut self, field: &str, node: &Node) -> Option<Manifest> {
        let members = self.members(field, node, &["Name", "Platform", "Lifecycle", "Selections", "Artifacts"])?;
        let name = members.get("Name").and_then(|node| self.text(&members.field("Name"), node));
        let platform = match members.get("Platform") {
            None => None,
            Some(node) => Some(self.platform(&members.field("Platform"), node)?),
        };
        let lifecycle = match members.get("Lifecycle") {
            None => Map::new(),
            Some(node) => {
                let field = members.field("Lifecycle");
                let lifecycle = self.lifecycle(&field, node)?;
                self.steps(&field, node, &lifecycle);
                lifecycle
            }
        };
        let selections = match members.get("Selections") {
            None => Vec::new(),
            Some(node) => self.texts(&members.field("Selections"), node)?,
        };
        let artifacts = match members.get("Artifacts") {
            None => Vec::new(),
            Some(node) => self.artifacts(&members.field("Artifacts"), node)?,
        };
        Some(Manifest { name, platform, lifecycle, selections, artifacts })
    }

    fn platform(&mut self, field: &str, node: &Node) -> Option<IndexMap<String, String>> {
        let Kind::Map(members) = &node.kind else {
            self.error(field, node.place, "this is not a map", "write attributes as `os: linux`");
            return None;
        };
        let mut all = IndexMap::new();
        for (name, node) in members {
            let field = join(field, &name.text);
            // an attribute without a value fits everything
            let text = if node.is_null() { "*".to_owned() } else { self.text(&field, node)? };
            if let Some(pattern) = platform::pattern_of(&text) {
                if platform::compile(pattern).is_none() {
                    let remedy = "use a pattern without look-around and back-references";
                    self.error(&field, node.place, format!("`{}` is not a usable pattern", shown(&text)), remedy);
                }
            } else if text != "*" && !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
                let message = format!("`{}` never matches", shown(&text));
                self.warn(&field, node.place, message, "begin with a letter or digit, or use * or /pattern/");
            }
            self.never_claimed(&field, &name.text, node.place, &text);
            all.insert(name.text.clone(), text);
        }
        Some(all)
    }

    /// A value that no core claims unless its own settings say so.
    fn never_claimed(&mut self, field: &str, attribute: &str, place: Place, text: &str) {
        let known = match attribute {
            "os" => SYSTEMS,
            "architecture" => ARCHITECTURES,
            _ => return,
        };
        if known.contains(&text) || !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return;
        }
        let lower = text.to_ascii_lowercase();
        let renamed = ARCHITECTURE_NAMES.iter().find(|(other, _)| *other == lower).map(|(_, name)| *name);
        let meant = known.iter().copied().find(|name| *name == lower).or(renamed);
        let remedy = match meant {
            Some(name) => format!("write {name}"),
            None => format!("known here: {}", known.join(", ")),
        };
        let message = format!("no core claims to be `{}` by itself", shown(text));
        self.warn(field, place, message, &remedy);
    }

    fn artifacts(&mut self, field: &str, node: &Node) -> Option<Vec<Artifact>> {
        let Kind::List(items) = &node.kind else {
            self.error(field, node.place, "this is not a list", "begin each artifact with `- `");
            return None;
        };
        let mut all: Vec<Artifact> = Vec::new();
        for (index, node) in items.iter().enumerate() {
            let artifact = self.artifact(&format!("{field}[{index}]"), node)?;
            let file = |artifact: &Artifact| artifact.place().ok().and_then(|uri| uri.file_name().map(str::to_owned));
            if let Some(name) = file(&artifact)
                && all.iter().any(|other| file(other).as_ref() == Some(&name))
            {
                let message = format!("two artifacts of this manifest are stored as `{}`", shown(&name));
                self.warn(&format!("{field}[{index}]"), node.place, message, "give them different file names");
            }
            all.push(artifact);
        }
        Some(all)
    }

    fn artifact(&mut self, field: &str, node: &Node) -> Option<Artifact> {
        let members = self.members(field, node, &["URI", "Unarchive", "Permission", "Digest", "Algorithm"])?;
        let uri_field = members.field("URI");
        let uri = match members.get("URI") {
            Some(node) => {
                let uri = self.text(&uri_field, node)?;
                if let Err(error) = uri.parse::<crate::ArtifactUri>() {
                    self.error(&uri_field, node.place, error.to_string(), "write for example s3://BUCKET/KEY");
                }
                uri
            }
            None => {
                self.error(&uri_field, node.place, "the artifact has no URI", "write for example s3://BUCKET/KEY");
                String::new()
            }
        };
        let unarchive = match members.get("Unarchive") {
            None => Unarchive::None,
            Some(node) => {
                let choices = [("NONE", Unarchive::None), ("ZIP", Unarchive::Zip)];
                self.choice(&members.field("Unarchive"), node, &choices)?
            }
        };
        if let Some(node) = members.get("URI").filter(|_| unarchive == Unarchive::Zip)
            && let Ok(place) = uri.parse::<crate::ArtifactUri>()
            && let Some(file) = place.file_name()
            && unpacked_name(file).is_none()
        {
            let message =
                format!("`{}` has no name before its ending, and none for the folder it is unpacked into", shown(file));
            self.error(&uri_field, node.place, message, "name the archive as in app.zip");
        }
        let permission = match members.get("Permission") {
            None => Permission::default(),
            Some(node) => self.permission(&members.field("Permission"), node)?,
        };
        let [digest, algorithm] =
            ["Digest", "Algorithm"].map(|key| members.get(key).and_then(|node| self.text(&members.field(key), node)));
        Some(Artifact { uri, unarchive, permission, digest, algorithm })
    }

    fn permission(&mut self, field: &str, node: &Node) -> Option<Permission> {
        let members = self.members(field, node, &["Read", "Execute"])?;
        let choices = [("NONE", Grant::None), ("OWNER", Grant::Owner), ("ALL", Grant::All)];
        let mut permission = Permission::default();
        if let Some(node) = members.get("Read") {
            permission.read = self.choice(&members.field("Read"), node, &choices)?;
        }
        if let Some(node) = members.get("Execute") {
            permission.execute = self.choice(&members.field("Execute"), node, &choices)?;
        }
        Some(permission)
    }

    fn global_lifecycle(&mut self, top: &Members<'_>, manifests: &[Manifest]) -> Option<Map<String, Value>> {
        let key = "Lifecycle";
        let Some(node) = top.get(key) else { return Some(Map::new()) };
        let lifecycle = self.lifecycle(key, node)?;
        let selected = manifests.iter().any(|manifest| !manifest.selections.is_empty());
        if !selected && !format!("{:?}", lifecycle.keys()).to_ascii_lowercase().contains("\"all\"") {
            // without selections and keywords the global lifecycle holds plain steps
            let mut plain = Vec::new();
            for name in StepName::STEPS {
                if let Some(value) = crate::lifecycle::member(&lifecycle, name.as_str())
                    && crate::lifecycle::member(value.as_object().unwrap_or(&Map::new()), "all").is_none()
                {
                    plain.push((name.as_str().to_owned(), value.clone()));
                }
            }
            self.steps(key, node, &plain.into_iter().collect());
        }
        Some(lifecycle)
    }

    fn lifecycle(&mut self, field: &str, node: &Node) -> Option<Map<String, Value>> {
        self.same_key_twice(field, node, Severity::Error);
        match node.to_text_value(TYPED) {
            Value::Object(map) => Some(map),
            _ => {
                self.error(field, node.place, "this is not a map of steps", "write steps as `run: SCRIPT`");
                None
            }
        }
    }

    /// Checks each step and its keys.
    fn steps(&mut self, field: &str, node: &Node, lifecycle: &Map<String, Value>) {
        let Kind::Map(members) = &node.kind else { return };
        for (name, node) in members {
            if !lifecycle.contains_key(&name.text) {
                continue;
            }
            let field = join(field, &name.text);
            let Some(step) = StepName::STEPS.into_iter().find(|step| step.as_str().eq_ignore_ascii_case(&name.text))
            else {
                if !["setenv", "errorResetTime"].iter().any(|key| key.eq_ignore_ascii_case(&name.text)) {
                    let steps = StepName::STEPS.map(StepName::as_str);
                    let message = format!("`{}` is not a lifecycle step", shown(&name.text));
                    let is_there = |step: &str| members.iter().any(|(other, _)| other.text.eq_ignore_ascii_case(step));
                    match misspelt(&name.text, steps).filter(|step| !is_there(step)) {
                        Some(step) => self.error(&field, name.place, message, &format!("write {step}")),
                        None => {
                            self.warn(&field, name.place, message, &format!("the steps are {}", steps.join(", ")));
                        }
                    }
                }
                continue;
            };
            if let Err(error) = Lifecycle(lifecycle).step(step) {
                self.error(&field, node.place, error.to_string(), "see the keys Script, Timeout, Skipif, Setenv");
            }
            if matches!(node.kind, Kind::Map(_)) {
                self.members(&field, node, &["Script", "RequiresPrivilege", "Skipif", "Timeout", "Setenv"]);
            }
        }
        if Lifecycle(lifecycle).setenv().is_err() {
            self.error(
                &join(field, "setenv"),
                node.place,
                "setenv is not a map of names to values",
                "write NAME: value",
            );
        }
    }

    /// The members of a map by official key; says which are unknown, mis-cased or double.
    fn members<'a>(&mut self, field: &str, node: &'a Node, keys: &[&'static str]) -> Option<Members<'a>> {
        let Kind::Map(members) = &node.kind else {
            let remedy = format!("write a map with {}", keys.join(", "));
            self.error(field, node.place, "this is not a map", &remedy);
            return None;
        };
        let mut found: Vec<(&'static str, &'a Node)> = Vec::new();
        for (name, node) in members {
            let field = join(field, &name.text);
            let Some(key) = keys.iter().find(|key| key.eq_ignore_ascii_case(&name.text)) else {
                let is_there = |key: &str| members.iter().any(|(other, _)| other.text.eq_ignore_ascii_case(key));
                let message = format!("the key `{}` is not known and is ignored", shown(&name.text));
                let meant = || keys.iter().copied().filter(|key| !TELLS.contains(key) && !is_there(key));
                match misspelt(&name.text, meant()).or_else(|| meant().find(|key| is_form_of(&name.text, key))) {
                    Some(key) => self.error(&field, name.place, message, &format!("write {key}")),
                    None => self.warn(&field, name.place, message, &format!("known here: {}", keys.join(", "))),
                }
                continue;
            };
            if found.iter().any(|(earlier, _)| earlier == key) {
                let message = format!("`{key}` is written twice with different case");
                self.error(&field, name.place, message, "keep one of them");
                return None;
            }
            if *key != name.text && !(*key == "URI" && name.text == "Uri") {
                let message = format!("`{}` is spelled `{key}`; other readers compare case", shown(&name.text));
                self.warn(&field, name.place, message, &format!("write {key}"));
            }
            found.push((key, node));
        }
        Some(Members { field: field.to_owned(), place: node.place, found })
    }

    fn text(&mut self, field: &str, node: &Node) -> Option<String> {
        match &node.kind {
            Kind::Scalar { text, .. } => Some(text.clone()),
            _ => {
                self.error(field, node.place, "this is not a text", "write one value");
                None
            }
        }
    }

    fn texts(&mut self, field: &str, node: &Node) -> Option<Vec<String>> {
        match &node.kind {
            Kind::List(items) => items.iter().map(|item| self.text(field, item)).collect(),
            _ => {
                self.error(field, node.place, "this is not a list", "write the values in [ ]");
                None
            }
        }
    }

    fn choice<T: Copy>(&mut self, field: &str, node: &Node, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(field, node)?;
        let found = choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text)).map(|(_, choice)| *choice);
        if found.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            let remedy = format!("use {}", words.join(" or "));
            self.error(field, node.place, format!("`{}` is not possible here", shown(&text)), &remedy);
        }
        found
    }

    /// Keys that differ in case only are one key in the configuration tree, and of two steps one would never run. Names of
    /// variables are the author's.
    fn same_key_twice(&mut self, field: &str, node: &Node, severity: Severity) {
        match &node.kind {
            Kind::Scalar { .. } => {}
            Kind::List(items) => items.iter().for_each(|item| self.same_key_twice(field, item, severity)),
            Kind::Map(members) => {
                for (index, (name, node)) in members.iter().enumerate() {
                    let field = join(field, &name.text);
                    if members[..index].iter().any(|(earlier, _)| earlier.text.eq_ignore_ascii_case(&name.text)) {
                        let message = format!(
                            "`{}` is there already in another case; a core takes both as one",
                            shown(&name.text)
                        );
                        self.say(severity, &field, name.place, message, "keep one of them");
                    }
                    let inner = if name.text.eq_ignore_ascii_case("setenv") { Severity::Warning } else { severity };
                    self.same_key_twice(&field, node, inner);
                }
            }
        }
    }
}

/// Why a variable will not be answered: what to write instead. None for what may be, and for braces that are no variables.
fn unanswered(variable: &Variable<'_>, dependencies: &IndexMap<SmolStr, Dependency>) -> Option<String> {
    const KEYS: &[(&str, &[&str])] = &[
        ("configuration", &[]),
        ("artifacts", &["path", "decompressedPath"]),
        ("work", &["path"]),
        ("kernel", &["rootPath"]),
        ("iot", &["thingName"]),
    ];
    let Some((namespace, keys)) = KEYS.iter().find(|(name, _)| *name == variable.namespace) else {
        // Braces with a colon stand in many scripts: only what is nearly a name of ours was meant as one.
        let long = KEYS.iter().map(|(name, _)| *name).filter(|name| name.len() > 5);
        return misspelt(variable.namespace, long).map(|name| format!("write {name}"));
    };
    if let Some(component) = variable.component
        && !dependencies.keys().any(|name| name == component)
    {
        return Some(format!("name {component} in ComponentDependencies"));
    }
    if *namespace == "configuration" {
        let is_pointer = variable.key.is_empty() || variable.key.starts_with('/');
        return (!is_pointer).then(|| format!("write a JSON pointer, for example {{configuration:/{}}}", variable.key));
    }
    (!keys.contains(&variable.key)).then(|| format!("known here: {}", keys.join(", ")))
}

/// Whether one word is the other with more before or behind it: `Dependencies`, `DefaultConfig`, `TimeoutSeconds`.
fn is_form_of(text: &str, key: &str) -> bool {
    let (text, key) = (text.to_ascii_lowercase(), key.to_ascii_lowercase());
    let same = text.bytes().zip(key.bytes()).take_while(|(a, b)| a == b).count();
    let (least, most) = (text.len().min(key.len()), text.len().max(key.len()));
    least >= 6 && (text.contains(&key) || key.contains(&text) || same * 5 >= most * 4)
}

/// The word that was most likely meant: at most two letters wrong, one in a short word.
fn misspelt(text: &str, words: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
    let text = text.to_ascii_lowercase();
    let most = |word: &str| if word.len() < 5 { 1 } else { 2 };
    words.into_iter().find(|word| distance(&text, &word.to_ascii_lowercase(), most(word)) <= most(word))
}

/// Letters to insert, delete or change; anything above `most` is as good as far away.
fn distance(a: &str, b: &str, most: usize) -> usize {
    if a.len().abs_diff(b.len()) > most {
        return most + 1;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, right) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
