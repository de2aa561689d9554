//! The artifact of a deployment to cores: what was deployed, for people and for other tools (TG 7.3).
//!
//! A gzipped tar of source slices, the compiled form and a manifest that names and hashes every file; the manifest is
//! signed by the deployment key. Cores do not read it: what they run came with their deployment. The same deployment makes
//! the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use flate2::Compression;
use flate2::write::GzEncoder;
use marram_flow_runtime::Deployment;
use marram_identity::CallError;
use marram_store::Snapshot;
use marram_tdm::check::EntitySource as _;
use marram_tdm::model::Urn;
use marram_types::Timestamp;
use serde_json::{Value, json};

use crate::catalog::View;
use crate::instance::prepare::Prepared;
use crate::realm::Realm;
use crate::template::{self, Kind};

/// The form of the manifest.
const VERSION: u64 = 1;
/// Bytes of a tar block.
const BLOCK: usize = 512;
/// Longest name of a file in a tar header, bytes.
const NAME_BYTES: usize = 100;

/// The object an artifact becomes: named after the first flow, in document order.
pub(crate) fn key(flows: &[(smol_str::SmolStr, crate::language::Compiled<marram_tdm::model::Flow>)]) -> String {
    format!("flow-{}.tar.gz", flows.first().map_or("none", |(_, flow)| flow.template.id.name()))
}

/// Makes the artifact; `sign` answers the signature of the manifest.
pub(crate) fn build(
    s: &Snapshot<'_>,
    realm: &Realm,
    prepared: &Prepared,
    definition: &str,
    deployment: &Deployment,
    now: Timestamp,
    sign: &dyn Fn(&[u8]) -> Value,
) -> Result<Vec<u8>, CallError> {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for id in closure(prepared) {
        if let Some(entity) = prepared.view.entity(&id) {
            files.insert(format!("entities/{}", file_name(&entity.id)), entity.source.clone().into_bytes());
        }
    }
    for (_, flow) in &prepared.flows {
        if let Some(row) = template::revision(s, realm, Kind::Flow, &flow.template.id, flow.revision)? {
            files.insert(format!("flows/{}", file_name(&flow.template.id)), row.definition.into_bytes());
        }
    }
    if let Some(found) = template::find(s, realm, Kind::System, &prepared.system.id)?
        && let Some(row) = template::revision(s, realm, Kind::System, &prepared.system.id, found.revision)?
    {
        files.insert("system.graphql".to_owned(), row.definition.into_bytes());
    }
    files.insert("deployment.graphql".to_owned(), definition.as_bytes().to_vec());
    let compiled = serde_json::to_vec(deployment).map_err(|error| {
        tracing::error!(%error, "a snapshot has no JSON form");
        marram_aws_api::ApiError::internal()
    })?;
    files.insert("compiled.json".to_owned(), compiled);
    let manifest = manifest(prepared, deployment, &files, now).to_string().into_bytes();
    files.insert("manifest.sig".to_owned(), sign(&manifest).to_string().into_bytes());
    files.insert("manifest.json".to_owned(), manifest);
    Ok(pack(&files, now))
}

fn manifest(prepared: &Prepared, deployment: &Deployment, files: &BTreeMap<String, Vec<u8>>, now: Timestamp) -> Value {
    let snapshot = &deployment.snapshot;
    let topics = snapshot.topics().unwrap_or_default();
    // From the side of the runtime: what things receive is what it publishes.
    let publishes: BTreeSet<_> = topics.values().flat_map(|topics| topics.receives.iter().cloned()).collect();
    let subscribes: BTreeSet<_> = topics.values().flat_map(|topics| topics.publishes.iter().cloned()).collect();
    let flows = prepared.flows.iter().map(
        |(role, flow)| json!({ "id": flow.template.id.as_str(), "revision": flow.revision, "role": role.as_str() }),
    );
    let bindings = snapshot.bindings.iter().map(|binding| {
        let device = prepared.things.get(binding.thing.as_str()).map(|(_, device)| device.as_str());
        json!({ "role": binding.role.as_str(), "thing": binding.thing.as_str(), "deviceId": device })
    });
    let modbus = snapshot.site.things.iter().filter_map(|(thing, bound)| {
        let endpoint = bound.modbus_endpoint.as_ref()?;
        Some(json!({ "thing": thing.as_str(), "endpoint": endpoint.as_str() }))
    });
    let hashes: BTreeMap<&str, String> =
        files.iter().map(|(name, bytes)| (name.as_str(), hex::encode(digest(&SHA256, bytes)))).collect();
    json!({
        "version": VERSION,
        "deploymentId": deployment.id().as_str(),
        "systemId": prepared.system.id.as_str(),
        "flows": flows.collect::<Vec<_>>(),
        "namespaceVersion": prepared.view.version,
        "publicVersion": prepared.view.public_version,
        "bindings": bindings.collect::<Vec<_>>(),
        "triggers": snapshot.triggers.iter().map(|trigger| trigger.name.as_str()).collect::<Vec<_>>(),
        "topics": { "publish": publishes, "subscribe": subscribes },
        "modbus": modbus.collect::<Vec<_>>(),
        "functions": [],
        "files": hashes,
        "createdAt": now.rfc3339_millis(),
    })
}

/// Everything the deployment's devices and flows refer to, and the mappings between properties that are in it.
fn closure(prepared: &Prepared) -> BTreeSet<Urn> {
    let mut waiting: Vec<Urn> = prepared.things.values().map(|(_, device)| device.clone()).collect();
    waiting.extend(prepared.flows.iter().flat_map(|(_, flow)| flow.template.references.iter().cloned()));
    waiting.extend(prepared.system.references.iter().cloned());
    let mut found = BTreeSet::new();
    reach(&prepared.view, waiting, &mut found);
    loop {
        let mappings = prepared.view.mappings();
        let fitting = mappings.iter().filter(|mapping| !found.contains(&mapping.id));
        let fitting: Vec<Urn> = fitting
            .filter(|mapping| {
                mapping
                    .references
                    .iter()
                    .all(|id| prepared.view.entity(id).is_some_and(|known| found.contains(&known.id)))
            })
            .map(|mapping| mapping.id.clone())
            .collect();
        if fitting.is_empty() {
            return found;
        }
        reach(&prepared.view, fitting, &mut found);
    }
}

fn reach(view: &View, mut waiting: Vec<Urn>, found: &mut BTreeSet<Urn>) {
    while let Some(id) = waiting.pop() {
        let Some(entity) = view.entity(&id) else { continue };
        if found.insert(entity.id.clone()) {
            waiting.extend(entity.references.iter().cloned());
        }
    }
}

/// An id as a file name: without `urn:tdm:`, its separators as dots; too long, its hash.
fn file_name(id: &Urn) -> String {
    let text = id.as_str();
    let name: String = text.trim_start_matches("urn:tdm:").replace([':', '/'], ".");
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if is_plain && name.len() + "entities/.graphql".len() <= NAME_BYTES {
        return format!("{name}.graphql");
    }
    format!("{}.graphql", hex::encode(digest(&SHA256, text.as_bytes())))
}

/// A gzipped ustar archive, files in the order of their names.
fn pack(files: &BTreeMap<String, Vec<u8>>, now: Timestamp) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    for (name, bytes) in files {
        let padding = vec![0; bytes.len().next_multiple_of(BLOCK) - bytes.len()];
        for part in [&header(name, bytes.len(), now)[..], bytes, &padding] {
            // A vector takes everything.
            let _ = packed.write_all(part);
        }
    }
    let _ = packed.write_all(&[0; 2 * BLOCK]);
    packed.finish().unwrap_or_default()
}

/// A ustar header (POSIX.1-1988): name, mode, owner, group, size, time, checksum, type, magic.
fn header(name: &str, size: usize, now: Timestamp) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| {
        if let Some(field) = block.get_mut(at..at + text.len()) {
            field.copy_from_slice(text);
        }
    };
    put(0, name.as_bytes().get(..name.len().min(NAME_BYTES)).unwrap_or_default());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, format!("{:011o}\0", now.as_secs().max(0)).as_bytes());
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    if let Some(field) = block.get_mut(148..156) {
        field.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    block
}
