//! The checker: parsed documents to a checked [`Model`] plus everything wrong with them (TG sections 3 to 5).
//!
//! Entities are checked kind by kind, each after the kinds it needs to look into, so every rule sees finished
//! neighbours. References resolve against the documents themselves first, then against the [`EntitySource`].

mod capability;
mod constant;
mod context;
pub(crate) mod declare;
mod deployment;
mod device;
mod document;
mod flow;
mod mapping;
mod mixed;
mod operation;
mod property;
mod scope;
mod state;
mod system;
mod topic;
mod upload;

use std::sync::Arc;

use marram_diag::Diagnostic;

use crate::model::{Entity, Model, Namespace, Urn};
use context::Context;

pub use declare::definition_directive;
pub use deployment::check_deployment;
pub use document::{Outcome, Target, Template, Templates, ThingDevice, Things};
pub use flow::check_flow;
pub use mixed::{MAX_TEMPLATES, Mixed, Offline, Surroundings, check_mixed};
pub use system::check_system;
pub use upload::{Uploaded, check_upload, says_the_same};

/// Where references go that the documents do not answer themselves.
pub trait EntitySource: Sync {
    /// The entity of that id or alternate id.
    fn entity(&self, id: &Urn) -> Option<Arc<Entity>>;

    /// Every mapping, for the conversion graph.
    fn mappings(&self) -> Vec<Arc<Entity>>;
}

impl EntitySource for Model {
    fn entity(&self, id: &Urn) -> Option<Arc<Entity>> {
        self.get(id).cloned()
    }

    fn mappings(&self) -> Vec<Arc<Entity>> {
        Model::mappings(self).cloned().collect()
    }
}

/// The caller's namespace at one version over the public version it tracks.
#[derive(Clone, Copy)]
pub struct Layered<'m> {
    /// The private namespace.
    pub own: &'m dyn EntitySource,
    /// The public namespace.
    pub public: &'m dyn EntitySource,
}

impl EntitySource for Layered<'_> {
    fn entity(&self, id: &Urn) -> Option<Arc<Entity>> {
        if id.is_public() { self.public.entity(id) } else { self.own.entity(id) }
    }

    fn mappings(&self) -> Vec<Arc<Entity>> {
        let mut mappings = self.own.mappings();
        mappings.extend(self.public.mappings());
        mappings
    }
}

/// How documents are checked.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// Ids must lie in it (TDM3001).
    pub namespace: Namespace,
    /// The release loader's mode: TDM3001 is off.
    pub is_bootstrap: bool,
}

impl CheckOptions {
    /// Options for a caller's own namespace.
    pub fn private(region: &str, account: &str) -> Self {
        CheckOptions { namespace: Namespace::private(region, account), is_bootstrap: false }
    }

    /// Options of the release loader.
    pub fn bootstrap() -> Self {
        CheckOptions { namespace: Namespace::public(), is_bootstrap: true }
    }
}

/// What checking entity documents found out.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The entities the documents define and that could be built. Complete iff no diagnostic is an error.
    pub model: Model,
    /// By document (`source` is its index), then by position.
    pub diagnostics: Vec<Diagnostic>,
}

impl Checked {
    /// Whether the documents are accepted.
    pub fn is_ok(&self) -> bool {
        !marram_diag::has_errors(&self.diagnostics)
    }
}

/// Checks entity documents together. Flows, systems and deployments in them are TDM2002: they are not entities.
pub fn check(documents: &[&str], source: &dyn EntitySource, options: &CheckOptions) -> Checked {
    let mut parsed = Vec::with_capacity(documents.len());
    let mut context = Context::new(source, options);
    for (index, text) in documents.iter().enumerate() {
        context.findings.set_source(u32::try_from(index).unwrap_or(u32::MAX));
        let (document, found) = crate::syntax::parse(text);
        found.into_iter().for_each(|diagnostic| context.findings.push(diagnostic));
        parsed.push(document);
    }
    let definitions = context.declare(&parsed, documents);
    context.check_entities(&definitions);
    Checked { model: context.built, diagnostics: context.findings.into_sorted() }
}
