//! What an account's namespace holds, as compiled parts: for tools that read a document without storing it.

use std::sync::Arc;

use marram_identity::CallError;
use marram_store::params;
use marram_tdm::check::{Template, Templates as _};
use marram_tdm::model::{Flow, Model, Namespace, System, Urn};

use crate::language::Templates;
use crate::realm::Realm;
use crate::service::ThingsGraph;
use crate::template::Kind;

/// Templates of each kind that are compiled for a tool; the rest is unknown to it.
const MAX_TEMPLATES: i64 = 2_000;

/// A namespace at one moment. Templates that no longer compile are left out.
#[derive(Clone, Debug)]
pub struct Library {
    /// The namespace itself.
    pub namespace: Namespace,
    /// Its own entities; the public ones are everybody's.
    pub entities: Model,
    /// Flows that are not deprecated, at their current revisions.
    pub flows: Vec<Arc<Flow>>,
    /// Systems that are not deprecated, at their current revisions.
    pub systems: Vec<Arc<System>>,
}

impl ThingsGraph {
    /// Changes whenever [`ThingsGraph::library`] may answer something else. A few indexed reads.
    ///
    /// # Errors
    /// The store's.
    pub fn library_stamp(&self, realm: &Realm) -> Result<String, CallError> {
        self.inner.store.read(|snapshot| {
            let namespace = snapshot.query_opt(
                "SELECT n.version, v.generation, n.created_at FROM tg_namespace n JOIN tg_namespace_version v
                   ON v.account = n.account AND v.region = n.region AND v.version = n.version
                 WHERE n.account = $1 AND n.region = $2",
                params![realm.account, realm.region],
                |row| Ok::<_, CallError>((row.get::<i64>(0)?, row.get::<i64>(1)?, row.get::<i64>(2)?)),
            )?;
            let templates = snapshot.query_one(
                "SELECT COUNT(*), COALESCE(SUM(revision), 0), COALESCE(SUM(deprecated), 0), COALESCE(MAX(created_at), 0)
                 FROM tg_template WHERE account = $1 AND region = $2",
                params![realm.account, realm.region],
                |row| Ok::<_, CallError>([row.get::<i64>(0)?, row.get(1)?, row.get(2)?, row.get(3)?]),
            )?;
            Ok(format!("{namespace:?} {templates:?}"))
        })
    }

    /// The namespace of an account, compiled. Takes as long as its templates take to compile: keep what it answers.
    ///
    /// # Errors
    /// The store's.
    pub fn library(&self, realm: &Realm) -> Result<Library, CallError> {
        self.inner.store.read(|snapshot| {
            let view = self.inner.catalog.view(snapshot, realm, None)?;
            let templates = Templates::new(snapshot, realm, &view);
            let ids = |kind: Kind| {
                snapshot.query_all(
                    "SELECT id FROM tg_template WHERE account = $1 AND region = $2 AND kind = $3 AND deprecated = 0
                     ORDER BY urn_key LIMIT $4",
                    params![realm.account, realm.region, kind.as_str(), MAX_TEMPLATES],
                    |row| Ok::<Urn, CallError>(row.parse(0)?),
                )
            };
            let flows = ids(Kind::Flow)?.into_iter().filter_map(|id| usable(templates.flow(&id))).collect();
            let systems = ids(Kind::System)?.into_iter().filter_map(|id| usable(templates.system(&id))).collect();
            Ok(Library { namespace: realm.namespace(), entities: view.own.model.clone(), flows, systems })
        })
    }
}

fn usable<T>(template: Template<T>) -> Option<Arc<T>> {
    match template {
        Template::Usable(template) => Some(template),
        _ => None,
    }
}
