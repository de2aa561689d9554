//! Documents against a namespace: the one place that calls the compiler and words its findings.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use marram_aws_api::ApiError;
use marram_diag::{Diagnostic, LineIndex};
use marram_identity::CallError;
use marram_store::Snapshot;
use marram_tdm::check::{self, CheckOptions, Outcome, Target, Template, ThingDevice};
use marram_tdm::model::{Deployment, Flow, Metatype, System, Urn};
use marram_tdm::syntax;

use crate::association;
use crate::catalog::View;
use crate::ports::{ThingFacts, Things};
use crate::realm::Realm;
use crate::template::{self, Kind};

/// Everything wrong with a document, one sentence each.
pub(crate) type Complaints = Vec<String>;

/// Errors as `"<code> line:col <entity>: <message>"` (TG 8); warnings are left out.
pub(crate) fn findings(diagnostics: &[Diagnostic], texts: &[&str]) -> Complaints {
    let mut indices: BTreeMap<u32, LineIndex> = BTreeMap::new();
    let mut all = Vec::new();
    for found in diagnostics.iter().filter(|found| found.is_error()) {
        let text = texts.get(found.source as usize).copied().unwrap_or_default();
        let index = indices.entry(found.source).or_insert_with(|| LineIndex::new(text));
        let at = index.line_col(text, found.span.start);
        let entity = found.entity.as_deref().map_or_else(String::new, |entity| format!(" {entity}"));
        all.push(format!("{} {}:{}{entity}: {}", found.code, at.line, at.column, found.message));
    }
    all
}

/// `InvalidRequestException` with all complaints, joined by newlines.
pub(crate) fn refusal(complaints: Complaints) -> ApiError {
    ApiError::invalid_request(complaints.join("\n"))
}

fn options(realm: &Realm) -> CheckOptions {
    CheckOptions { namespace: realm.namespace(), is_bootstrap: false }
}

fn value<T>(outcome: Outcome<T>, text: &str) -> Result<T, Complaints> {
    outcome.value.ok_or_else(|| findings(&outcome.diagnostics, &[text]))
}

/// Checks a flow document.
pub(crate) fn flow(text: &str, view: &View, realm: &Realm) -> Result<Flow, Complaints> {
    value(check::check_flow(text, view, &options(realm)), text)
}

/// Checks a system document; its flows must exist and be in use.
pub(crate) fn system(text: &str, templates: &Templates<'_>, realm: &Realm) -> Result<System, Complaints> {
    let outcome = check::check_system(text, templates.view, templates, &options(realm));
    templates.or_trouble(value(outcome, text))
}

/// Checks a deployment document. Modbus on CLOUD is the caller's to judge: it depends on the bound thing.
pub(crate) fn deployment(
    text: &str,
    templates: &Templates<'_>,
    things: &BoundThings<'_>,
    realm: &Realm,
) -> Result<Deployment, Complaints> {
    let outcome = check::check_deployment(text, templates.view, templates, things, Target::Greengrass, &options(realm));
    templates.or_trouble(value(outcome, text))
}

/// What a deployment document says before it is checked: its id, its system, the namespace version it asks for.
#[derive(Debug, Default)]
pub(crate) struct Header {
    pub(crate) id: Option<Urn>,
    pub(crate) system: Option<Urn>,
    pub(crate) version: Option<i64>,
}

/// Reads the header of a deployment document; what cannot be read is left to the checker to complain of.
pub(crate) fn header(text: &str) -> Header {
    let (document, _) = syntax::parse(text);
    let Some(directive) = document.definitions.iter().find_map(|definition| definition.directive("deployment")) else {
        return Header::default();
    };
    let urn = |name: &str, metatype: Metatype| {
        let text = directive.argument(name)?.value.as_text()?;
        Urn::parse(text).ok().filter(|urn| urn.metatype() == metatype)
    };
    let version = directive.argument("namespaceVersion").and_then(|argument| match &argument.value.kind {
        syntax::ast::ValueKind::Number(number) => number.parse().ok(),
        _ => None,
    });
    Header { id: urn("id", Metatype::Deployment), system: urn("systemId", Metatype::System), version }
}

/// A template as it was compiled.
#[derive(Clone, Debug)]
pub(crate) struct Compiled<T> {
    pub(crate) template: Arc<T>,
    pub(crate) revision: i64,
}

/// The caller's flows and systems, compiled against one namespace version.
pub(crate) struct Templates<'s> {
    pub(crate) snapshot: &'s Snapshot<'s>,
    pub(crate) realm: &'s Realm,
    pub(crate) view: &'s View,
    flows: RefCell<BTreeMap<Urn, Option<Compiled<Flow>>>>,
    systems: RefCell<BTreeMap<Urn, Option<Compiled<System>>>>,
    /// Templates that no longer compile, and failures of the store.
    trouble: RefCell<Complaints>,
}

impl<'s> Templates<'s> {
    pub(crate) fn new(snapshot: &'s Snapshot<'s>, realm: &'s Realm, view: &'s View) -> Self {
        Self {
            snapshot,
            realm,
            view,
            flows: RefCell::default(),
            systems: RefCell::default(),
            trouble: RefCell::default(),
        }
    }

    /// The flow of that id as it was compiled for a check.
    pub(crate) fn compiled_flow(&self, id: &Urn) -> Option<Compiled<Flow>> {
        self.flows.borrow().get(id).cloned().flatten()
    }

    /// The system of that id as it was compiled for a check.
    pub(crate) fn compiled_system(&self, id: &Urn) -> Option<Compiled<System>> {
        self.systems.borrow().get(id).cloned().flatten()
    }

    fn or_trouble<T>(&self, checked: Result<T, Complaints>) -> Result<T, Complaints> {
        let mut trouble = self.trouble.take();
        if trouble.is_empty() {
            return checked;
        }
        trouble.extend(checked.err().unwrap_or_default());
        Err(trouble)
    }

    fn look_up<T>(
        &self,
        kind: Kind,
        id: &Urn,
        known: &RefCell<BTreeMap<Urn, Option<Compiled<T>>>>,
        compile: impl FnOnce(&str) -> Result<T, Complaints>,
    ) -> Template<T> {
        if let Some(Some(compiled)) = known.borrow().get(id) {
            return Template::Usable(compiled.template.clone());
        }
        let trouble = |text: String| self.trouble.borrow_mut().push(text);
        let found = template::find(self.snapshot, self.realm, kind, id).and_then(|found| match found {
            Some(found) if !found.is_deprecated => {
                template::revision(self.snapshot, self.realm, kind, id, found.revision).map(|row| Some((found, row)))
            }
            found => Ok(found.map(|found| (found, None))),
        });
        match found {
            Ok(None) => Template::Missing,
            Ok(Some((_, None))) => Template::Deprecated,
            Ok(Some((found, Some(revision)))) => match compile(&revision.definition) {
                Ok(compiled) => {
                    let template = Arc::new(compiled);
                    let compiled = Compiled { template: template.clone(), revision: found.revision };
                    known.borrow_mut().insert(id.clone(), Some(compiled));
                    Template::Usable(template)
                }
                Err(complaints) => {
                    let version = self.view.version;
                    trouble(format!("{id} no longer compiles against namespace version {version}:"));
                    complaints.into_iter().for_each(trouble);
                    Template::Missing
                }
            },
            Err(error) => {
                tracing::error!(%error, "a template could not be read");
                trouble(format!("{id} could not be read"));
                Template::Missing
            }
        }
    }
}

impl check::Templates for Templates<'_> {
    fn flow(&self, id: &Urn) -> Template<Flow> {
        self.look_up(Kind::Flow, id, &self.flows, |text| flow(text, self.view, self.realm))
    }

    fn system(&self, id: &Urn) -> Template<System> {
        self.look_up(Kind::System, id, &self.systems, |text| {
            let outcome = check::check_system(text, self.view, self, &options(self.realm));
            value(outcome, text)
        })
    }
}

/// The things a deployment binds, as they were found while it was checked.
pub(crate) struct BoundThings<'s> {
    snapshot: &'s Snapshot<'s>,
    realm: &'s Realm,
    things: &'s dyn Things,
    found: RefCell<BTreeMap<String, (ThingFacts, Urn)>>,
}

impl<'s> BoundThings<'s> {
    pub(crate) fn new(snapshot: &'s Snapshot<'s>, realm: &'s Realm, things: &'s dyn Things) -> Self {
        Self { snapshot, realm, things, found: RefCell::default() }
    }

    /// By thing name: what the registry knows and the associated device.
    pub(crate) fn into_found(self) -> BTreeMap<String, (ThingFacts, Urn)> {
        self.found.into_inner()
    }

    fn look_up(&self, name: &str) -> Result<ThingDevice, CallError> {
        let Some(facts) = self.things.find(self.snapshot, self.realm, name)? else {
            return Ok(ThingDevice::Missing);
        };
        let Some(device) = association::device_of(self.snapshot, self.realm, name)? else {
            return Ok(ThingDevice::Unassociated);
        };
        self.found.borrow_mut().insert(name.to_owned(), (facts, device.clone()));
        Ok(ThingDevice::Device(device))
    }
}

impl check::Things for BoundThings<'_> {
    fn thing(&self, name: &str) -> ThingDevice {
        self.look_up(name).unwrap_or_else(|error| {
            tracing::error!(%error, "a thing could not be read");
            ThingDevice::Missing
        })
    }
}
