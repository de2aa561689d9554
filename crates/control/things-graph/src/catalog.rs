//! Namespace versions as models, loaded once and shared (TG 8).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use marram_aws_api::ApiError;
use marram_identity::CallError;
use marram_store::{Snapshot, StoreError, Tx, params};
use marram_tdm::check::EntitySource;
use marram_tdm::library;
use marram_tdm::model::{Entity, Model, Urn};
use marram_types::Timestamp;

use crate::realm::Realm;

/// Account under which versions of the public namespace are kept.
const PUBLIC_ACCOUNT: &str = "aws";
/// Region under which versions of the public namespace are kept.
const PUBLIC_REGION: &str = "";
/// Namespace versions held in memory; beyond it the cache starts anew.
const MAX_CACHED: usize = 64;

/// The entities of one namespace at one version.
#[derive(Debug, Default)]
pub(crate) struct Entities {
    pub(crate) model: Model,
    /// When each entity was first defined.
    pub(crate) created: BTreeMap<Urn, Timestamp>,
}

/// A private version over the public version it tracks.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// Version of the private namespace; 0: there is none.
    pub(crate) version: i64,
    pub(crate) public_version: i64,
    pub(crate) own: Arc<Entities>,
    pub(crate) public: Arc<Entities>,
}

impl View {
    /// The entity of that id or alternate id, and when it was defined.
    pub(crate) fn find(&self, id: &Urn) -> Option<(&Arc<Entity>, Timestamp)> {
        let side = if id.is_public() { &self.public } else { &self.own };
        let entity = side.model.get(id)?;
        Some((entity, side.created.get(&entity.id).copied().unwrap_or(Timestamp::from_micros(0))))
    }
}

impl EntitySource for View {
    fn entity(&self, id: &Urn) -> Option<Arc<Entity>> {
        self.find(id).map(|(entity, _)| entity.clone())
    }

    fn mappings(&self) -> Vec<Arc<Entity>> {
        self.own.model.mappings().chain(self.public.model.mappings()).cloned().collect()
    }
}

/// Account, region, version.
type Key = (String, String, i64);

/// Loads versions and remembers them.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    cached: Mutex<HashMap<Key, (i64, Arc<Entities>)>>,
}

impl Catalog {
    /// The caller's namespace at `version`, the latest when `None`. Without a namespace: nothing over the latest public one.
    ///
    /// # Errors
    /// `InvalidRequestException` when that version does not exist.
    pub(crate) fn view(&self, snapshot: &Snapshot<'_>, realm: &Realm, version: Option<i64>) -> Result<View, CallError> {
        let (account, region) = (realm.account.as_str(), realm.region.as_str());
        let wanted = match version {
            Some(version) => Some(version),
            None => latest_version(snapshot, account, region)?,
        };
        let Some(wanted) = wanted else {
            let public_version = library::PUBLIC_VERSION;
            let public = self.public(snapshot, public_version)?;
            return Ok(View { version: 0, public_version, own: Arc::default(), public });
        };
        let row = snapshot.query_opt(
            "SELECT public_version, generation FROM tg_namespace_version
             WHERE account = $1 AND region = $2 AND version = $3",
            params![account, region, wanted],
            |row| Ok::<_, CallError>((row.get::<i64>(0)?, row.get::<i64>(1)?)),
        )?;
        let Some((public_version, generation)) = row else {
            return Err(ApiError::invalid_request(format!("namespace version {wanted} does not exist")).into());
        };
        let own = self.load(snapshot, account, region, wanted, generation)?;
        let public = self.public(snapshot, public_version)?;
        Ok(View { version: wanted, public_version, own, public })
    }

    /// A version of the public namespace.
    pub(crate) fn public(&self, snapshot: &Snapshot<'_>, version: i64) -> Result<Arc<Entities>, CallError> {
        self.load(snapshot, PUBLIC_ACCOUNT, PUBLIC_REGION, version, 0)
    }

    fn load(
        &self,
        snapshot: &Snapshot<'_>,
        account: &str,
        region: &str,
        version: i64,
        generation: i64,
    ) -> Result<Arc<Entities>, CallError> {
        let key = (account.to_owned(), region.to_owned(), version);
        if let Some((known, entities)) = self.lock().get(&key)
            && *known == generation
        {
            return Ok(entities.clone());
        }
        let entities = Arc::new(read_version(snapshot, account, region, version)?);
        let mut cached = self.lock();
        if cached.len() >= MAX_CACHED {
            cached.clear();
        }
        cached.insert(key, (generation, entities.clone()));
        Ok(entities)
    }

    /// Forgets a namespace that was deleted: its version numbers start again.
    pub(crate) fn forget(&self, realm: &Realm) {
        self.lock()
            .retain(|(account, region, _), _| account != realm.account.as_str() || region != realm.region.as_str());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, (i64, Arc<Entities>)>> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The version in force; `None`: no namespace.
pub(crate) fn latest_version(snapshot: &Snapshot<'_>, account: &str, region: &str) -> Result<Option<i64>, CallError> {
    snapshot.query_opt(
        "SELECT version FROM tg_namespace WHERE account = $1 AND region = $2",
        params![account, region],
        |row| Ok::<_, CallError>(row.get(0)?),
    )
}

fn read_version(snapshot: &Snapshot<'_>, account: &str, region: &str, version: i64) -> Result<Entities, CallError> {
    let mut entities = Entities::default();
    snapshot.query_each(
        "SELECT body, created_at FROM tg_entity WHERE account = $1 AND region = $2
         AND first_version <= $3 AND (last_version IS NULL OR last_version >= $3)",
        params![account, region, version],
        |row| {
            let entity: Entity = serde_json::from_str(row.text(0)?).map_err(|error| {
                StoreError::Corrupt(format!("an entity of namespace version {version} cannot be read: {error}"))
            })?;
            entities.created.insert(entity.id.clone(), row.get(1)?);
            entities.model.insert(Arc::new(entity));
            Ok::<_, CallError>(true)
        },
    )?;
    Ok(entities)
}

/// Stores the shipped public version when it is new: namespaces that track an older one keep it.
pub(crate) fn install_public(tx: &mut Tx<'_>, now: Timestamp) -> Result<(), StoreError> {
    let stored = tx.query_opt(
        "SELECT version FROM tg_namespace WHERE account = $1 AND region = $2",
        params![PUBLIC_ACCOUNT, PUBLIC_REGION],
        |row| row.get::<i64>(0),
    )?;
    let version = library::PUBLIC_VERSION;
    if stored.is_some_and(|stored| stored >= version) {
        return Ok(());
    }
    if let Some(stored) = stored {
        tx.execute(
            "UPDATE tg_entity SET last_version = $3 WHERE account = $1 AND region = $2 AND last_version IS NULL",
            params![PUBLIC_ACCOUNT, PUBLIC_REGION, stored],
        )?;
    }
    for entity in library::public().model.entities() {
        insert_entity(tx, PUBLIC_ACCOUNT, PUBLIC_REGION, version, entity, now)?;
    }
    set_version(tx, PUBLIC_ACCOUNT, PUBLIC_REGION, version, version, now)
}

/// Makes `version` the latest of a namespace, or one more generation of it when it is that already.
pub(crate) fn set_version(
    tx: &mut Tx<'_>,
    account: &str,
    region: &str,
    version: i64,
    public_version: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO tg_namespace (account, region, version, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (account, region) DO UPDATE SET version = excluded.version",
        params![account, region, version, now],
    )?;
    tx.execute(
        "INSERT INTO tg_namespace_version (account, region, version, public_version, generation, created_at)
         VALUES ($1, $2, $3, $4, 0, $5)
         ON CONFLICT (account, region, version) DO UPDATE SET generation = tg_namespace_version.generation + 1",
        params![account, region, version, public_version, now],
    )?;
    Ok(())
}

/// Adds an entity from `version` on.
pub(crate) fn insert_entity(
    tx: &mut Tx<'_>,
    account: &str,
    region: &str,
    version: i64,
    entity: &Entity,
    created: Timestamp,
) -> Result<(), StoreError> {
    let body = serde_json::to_string(entity).map_err(|error| StoreError::Statement(error.to_string()))?;
    tx.execute(
        "INSERT INTO tg_entity (account, region, urn_key, first_version, body, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        params![account, region, entity.id.key(), version, body, created],
    )?;
    Ok(())
}
