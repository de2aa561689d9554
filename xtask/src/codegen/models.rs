//! Reading a service model: the parts of it that the tables need.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A service model and its paginators.
pub struct Model {
    pub metadata: Metadata,
    pub operations: BTreeMap<String, Operation>,
    pub shapes: BTreeMap<String, Shape>,
    pub paginators: BTreeMap<String, Paginator>,
}

#[derive(Deserialize)]
struct ServiceFile {
    metadata: Metadata,
    operations: BTreeMap<String, Operation>,
    shapes: BTreeMap<String, Shape>,
}

#[derive(Deserialize)]
struct PaginatorFile {
    pagination: BTreeMap<String, Paginator>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    pub api_version: String,
    pub protocol: String,
    pub json_version: Option<String>,
    pub target_prefix: Option<String>,
    pub xml_namespace: Option<String>,
}

#[derive(Deserialize)]
pub struct Operation {
    pub http: Http,
    pub input: Option<ShapeRef>,
    pub output: Option<ShapeRef>,
    #[serde(default)]
    pub errors: Vec<ShapeRef>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Http {
    pub method: String,
    pub request_uri: String,
    pub response_code: Option<u16>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShapeRef {
    pub shape: String,
    pub location: Option<String>,
    pub location_name: Option<String>,
    #[serde(default)]
    pub jsonvalue: bool,
    pub timestamp_format: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shape {
    #[serde(rename = "type")]
    pub kind: String,
    /// In the order of the file.
    #[serde(default)]
    pub members: Members,
    #[serde(default)]
    pub required: Vec<String>,
    pub payload: Option<String>,
    pub member: Option<ShapeRef>,
    pub key: Option<ShapeRef>,
    pub value: Option<ShapeRef>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub pattern: Option<String>,
    #[serde(rename = "enum", default)]
    pub values: Vec<String>,
    #[serde(default)]
    pub sensitive: bool,
    #[serde(default)]
    pub flattened: bool,
    pub error: Option<ErrorTrait>,
    #[serde(default)]
    pub fault: bool,
    pub timestamp_format: Option<String>,
}

/// Members in file order: the order of the answers.
#[derive(Default)]
pub struct Members(pub Vec<(String, ShapeRef)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a map of members")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    members.push(entry);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorTrait {
    pub code: Option<String>,
    pub http_status_code: Option<u16>,
}

#[derive(Deserialize)]
pub struct Paginator {
    input_token: Value,
    output_token: Value,
    limit_key: Option<String>,
    result_key: Option<Value>,
}

impl Paginator {
    /// Input token, output token, limit key, first result key; nothing when the tokens are several.
    pub fn names(&self) -> Option<(&str, &str, &str, &str)> {
        let result = match &self.result_key {
            Some(Value::Array(items)) => items.first().and_then(Value::as_str).unwrap_or(""),
            Some(Value::String(text)) => text,
            _ => "",
        };
        Some((self.input_token.as_str()?, self.output_token.as_str()?, self.limit_key.as_deref().unwrap_or(""), result))
    }
}

/// Reads the newest version of the service called `name` below `folder`.
pub fn load(folder: &Path, name: &str) -> Result<Model> {
    let service = folder.join(name);
    let mut versions: Vec<_> = fs::read_dir(&service)
        .with_context(|| format!("no model of {name} in {}", folder.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_dir())
        .collect();
    versions.sort();
    let Some(version) = versions.last() else { bail!("no version of {name} in {}", folder.display()) };
    let file: ServiceFile = read(&version.join("service-2.json"))?;
    let paginators: PaginatorFile = read(&version.join("paginators-1.json"))?;
    Ok(Model {
        metadata: file.metadata,
        operations: file.operations,
        shapes: file.shapes,
        paginators: paginators.pagination,
    })
}

/// Reads a JSON file, or the gzip file of the same name with `.gz`.
fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = if path.exists() {
        fs::read(path)?
    } else {
        let packed = path.with_extension("json.gz");
        let output = Command::new("gzip").arg("-dc").arg(&packed).output().context("run gzip")?;
        if !output.status.success() {
            bail!("neither {} nor {} can be read", path.display(), packed.display());
        }
        output.stdout
    };
    serde_json::from_slice(&text).with_context(|| format!("read {}", path.display()))
}
