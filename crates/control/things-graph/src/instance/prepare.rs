//! Everything a deployment consists of, loaded and checked together (TG 7.2, 7.3).

use std::collections::BTreeMap;
use std::sync::Arc;

use marram_flow::Snapshot;
use marram_flow::lower::{self, BoundFlow, BoundThing};
use marram_identity::CallError;
use marram_tdm::check::EntitySource;
use marram_tdm::model::{Deployment, EntityKind, Flow, Protocol, System, Urn};
use serde_json::{Value, json};
use smol_str::SmolStr;

use crate::catalog::{Catalog, View};
use crate::language::{self, BoundThings, Compiled, Complaints, Templates};
use crate::ports::{ThingFacts, Things};
use crate::realm::Realm;
use crate::template::{self, Kind};

/// Registry attribute that makes a Modbus device reachable from the control plane: `host:port`.
const MODBUS_ATTRIBUTE: &str = "modbusTcp";

/// Endpoint of a Modbus thing whose core knows the way.
const CORE_ENDPOINT: &str = "core";

/// A checked deployment and all it needs.
pub(crate) struct Prepared {
    is_cloud: bool,
    pub(crate) deployment: Deployment,
    pub(crate) system: Arc<System>,
    /// Role and flow, in document order.
    pub(crate) flows: Vec<(SmolStr, Compiled<Flow>)>,
    /// By name: the bound things and their devices.
    pub(crate) things: BTreeMap<String, (ThingFacts, Urn)>,
    pub(crate) view: View,
    /// `validatedDependencyRevisions`.
    pub(super) dependencies: Value,
}

/// Loads and checks. The inner error lists everything wrong with the deployment.
pub(super) fn prepare(
    s: &marram_store::Snapshot<'_>,
    catalog: &Catalog,
    things: &dyn Things,
    realm: &Realm,
    text: &str,
    is_cloud: bool,
) -> Result<Result<Prepared, Complaints>, CallError> {
    let version = match version(s, realm, text)? {
        Ok(version) => version,
        Err(complaint) => return Ok(Err(vec![complaint])),
    };
    let view = match catalog.view(s, realm, version) {
        Err(CallError::Api(error)) => return Ok(Err(vec![error.message])),
        view => view?,
    };
    let bound = BoundThings::new(s, realm, things);
    let templates = Templates::new(s, realm, &view);
    let deployment = match language::deployment(text, &templates, &bound, realm) {
        Ok(deployment) => deployment,
        Err(complaints) => return Ok(Err(complaints)),
    };
    let Some(system) = templates.compiled_system(&deployment.system) else {
        return Ok(Err(vec![format!("TDM3004: {} does not exist", deployment.system)]));
    };
    let mut flows = Vec::new();
    let mut dependencies = vec![dependency(&system.template.id, system.revision)];
    for (role, id) in system.template.flows() {
        let Some(flow) = templates.compiled_flow(id) else {
            return Ok(Err(vec![format!("TDM3004: {id} does not exist")]));
        };
        let entry = dependency(&flow.template.id, flow.revision);
        if !dependencies.contains(&entry) {
            dependencies.push(entry);
        }
        flows.push((role.clone(), flow));
    }
    drop(templates);
    let system = system.template;
    let things = bound.into_found();
    // A core has its own way to its Modbus devices.
    let complaints = if is_cloud { unreachable(&deployment, &things, &view) } else { Complaints::new() };
    if !complaints.is_empty() {
        return Ok(Err(complaints));
    }
    Ok(Ok(Prepared { is_cloud, deployment, system, flows, things, view, dependencies: dependencies.into() }))
}

impl Prepared {
    /// The self-contained form the runtime runs (TG 7.6).
    pub(super) fn freeze(&self, realm: &Realm) -> Result<Snapshot, Complaints> {
        let lookup = |id: &Urn| self.view.entity(id);
        let flows: Vec<BoundFlow> = self
            .flows
            .iter()
            .map(|(role, flow)| BoundFlow { role: role.clone(), flow: flow.template.clone(), revision: flow.revision })
            .collect();
        let things: Vec<BoundThing> = self
            .system
            .thing_roles()
            .filter_map(|role| {
                let mut bindings = self.deployment.bindings.iter();
                let bound = bindings.find(|bound| bound.role.eq_ignore_ascii_case(&role.name))?;
                let (facts, device) = self.things.get(bound.thing.as_str())?;
                Some(BoundThing {
                    role: role.name.clone(),
                    thing: bound.thing.clone(),
                    device: device.clone(),
                    modbus_endpoint: facts
                        .attributes
                        .get(MODBUS_ATTRIBUTE)
                        .map(SmolStr::new)
                        .or_else(|| (!self.is_cloud).then(|| SmolStr::new_static(CORE_ENDPOINT))),
                })
            })
            .collect();
        let (region, account) = (realm.region.as_str(), realm.account.as_str());
        let snapshot = lower::snapshot(&lookup, &self.deployment, &flows, &things, region, account)
            .map_err(|error| vec![error.to_string()])?;
        // A core may allow it by its own configuration; here nobody but the deployment does.
        let insecure = match self.is_cloud && !self.deployment.allow_insecure_http {
            true => snapshot.insecure_calls(),
            false => Vec::new(),
        };
        if insecure.is_empty() {
            return Ok(snapshot);
        }
        Err(insecure
            .into_iter()
            .map(|(flow, step, service)| {
                format!(
                    "TDM5006: the step {step} of the flow {flow} calls {service} over http://, which is not encrypted: \
                     @deployment allows it with allowInsecureHttp: true"
                )
            })
            .collect())
    }
}

fn dependency(id: &Urn, revision: i64) -> Value {
    json!({ "id": id.as_str(), "revisionNumber": revision })
}

/// The namespace version to validate against: the document's, else the one its pinned templates agree on, else the
/// latest (TG 7.2).
fn version(
    s: &marram_store::Snapshot<'_>,
    realm: &Realm,
    text: &str,
) -> Result<Result<Option<i64>, String>, CallError> {
    let header = language::header(text);
    if header.version.is_some() {
        return Ok(Ok(header.version));
    }
    let Some(system) = header.system else { return Ok(Ok(None)) };
    let mut pinned: Option<(i64, Urn)> = None;
    let mut waiting = vec![(Kind::System, system)];
    let mut seen = std::collections::BTreeSet::new();
    while let Some((kind, id)) = waiting.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        let Ok((found, revision)) = template::current(s, realm, kind, &id)? else { continue };
        if revision.is_pinned {
            match &pinned {
                Some((version, first)) if *version != revision.version => {
                    return Ok(Err(format!(
                        "{first} is compatible with namespace version {version}, {} with {}",
                        found.id, revision.version
                    )));
                }
                _ => pinned = Some((revision.version, found.id.clone())),
            }
        }
        if kind == Kind::System {
            waiting.extend(template::uses(s, realm, kind, &id)?.into_iter().filter_map(|used| match used.metatype() {
                metatype if metatype == Kind::Flow.metatype() => Some((Kind::Flow, used)),
                metatype if metatype == Kind::System.metatype() => Some((Kind::System, used)),
                _ => None,
            }));
        }
    }
    Ok(Ok(pinned.map(|(version, _)| version)))
}

/// TDM5006: Modbus things whose endpoint the registry does not name.
fn unreachable(deployment: &Deployment, things: &BTreeMap<String, (ThingFacts, Urn)>, view: &View) -> Complaints {
    let mut complaints = Vec::new();
    for binding in &deployment.bindings {
        let Some((facts, device)) = things.get(binding.thing.as_str()) else { continue };
        let is_modbus = view.find(device).is_some_and(|(entity, _)| {
            matches!(&entity.kind, EntityKind::Device(device) if matches!(device.protocol, Protocol::Modbus { .. }))
        });
        let has_endpoint = facts.attributes.get(MODBUS_ATTRIBUTE).is_some_and(|at| is_endpoint(at));
        if is_modbus && !has_endpoint {
            complaints.push(format!(
                "TDM5006: the role {} is bound to {}, whose device speaks Modbus: CLOUD reaches it only when the thing \
                 has the attribute {MODBUS_ATTRIBUTE} = host:port",
                binding.role, binding.thing
            ));
        }
    }
    complaints
}

/// `host:port` or `[v6]:port`.
fn is_endpoint(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let is_host =
            !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte));
        is_host && port.parse::<u16>().is_ok_and(|port| port != 0)
    })
}
