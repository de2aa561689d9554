//! The shadows: requests, the transaction of each, and what is told afterwards.

use std::collections::{HashSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use marram_edge_ports::{Later, LocalShadows, PortError, ShadowOperation, ShadowPage, ShadowRequest};
use marram_parts::ShadowSettings;
use marram_shadow::{Applied, Operation, Shadow, ShadowError, ShadowTopic, TopicBase, Update, client_token};
use marram_store::{Store, StoreError, StoreOptions};
use marram_types::{ShadowName, SharedClock, ThingName};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use crate::answer::Refusal;
use crate::page::Pages;
use crate::rate::Rates;
use crate::rows;
use crate::sync::{Apart, Ledger};

/// Names on a page when the request does not say (core-components.md section 3.2).
const PAGE_DEFAULT: u32 = 25;
/// Most names on a page.
const PAGE_MAX: u32 = 100;

/// Changed shadows that are remembered for the synchronisation; it looks at all of them when it starts.
const CHANGED_MAX: usize = 10_000;

/// Bytes the file of shadows may grow to: what a runaway component can take from the disk.
const STORE_MAX_BYTES: u64 = 256 << 20;

/// Where answers and notifications go: the core's local publish/subscribe.
pub trait ShadowEvents: Send + Sync {
    /// Hands a message on; must not wait.
    fn publish(&self, topic: &str, payload: Bytes);
}

/// The shadows of one core. A cheap clone.
#[derive(Clone)]
pub struct Shadows {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    clock: SharedClock,
    events: Arc<dyn ShadowEvents>,
    settings: RwLock<ShadowSettings>,
    rates: Mutex<Rates>,
    pages: Pages,
    /// What is committed and not yet told, in the order of the commits.
    untold: Arc<Mutex<VecDeque<(String, Bytes)>>>,
    /// Held while telling, so that two tellers do not change the order.
    telling: Mutex<()>,
    /// What was changed here and not by the synchronisation.
    changed: Arc<Changed>,
    /// What the synchronisation could not bring together.
    apart: Ledger,
}

/// Shadows that were changed since somebody looked.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    ids: Mutex<HashSet<TopicBase>>,
    news: Notify,
}

impl Changed {
    fn add(&self, id: TopicBase) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody looks on a core without synchronisation.
        if ids.len() < CHANGED_MAX {
            ids.insert(id);
        }
        drop(ids);
        self.news.notify_one();
    }

    /// Waits for changes and takes them.
    pub(crate) async fn take(&self) -> HashSet<TopicBase> {
        loop {
            let ids = std::mem::take(&mut *self.ids.lock().unwrap_or_else(PoisonError::into_inner));
            if !ids.is_empty() {
                return ids;
            }
            self.news.notified().await;
        }
    }
}

/// The answers of a finished request.
struct Done {
    /// The payload of `accepted`.
    accepted: Bytes,
}

impl Shadows {
    /// Opens or creates the store in `dir`, `<root>/work/aws.greengrass.ShadowManager`, made when missing (0700).
    ///
    /// # Errors
    /// The store's.
    pub fn open(
        dir: &Path,
        settings: ShadowSettings,
        events: Arc<dyn ShadowEvents>,
        clock: SharedClock,
    ) -> Result<Self, StoreError> {
        let options = StoreOptions {
            read_connections: 1,
            read_cache_kib: 128,
            write_cache_kib: 256,
            queue: 256,
            max_bytes: Some(STORE_MAX_BYTES),
            ..StoreOptions::default()
        };
        let store = Store::open(dir, options)?;
        store.migrate(rows::MIGRATIONS)?;
        Ok(Self::new(store, settings, events, clock))
    }

    /// Shadows in a store that others may share; [`crate::MIGRATIONS`] must have been applied.
    pub fn new(store: Store, settings: ShadowSettings, events: Arc<dyn ShadowEvents>, clock: SharedClock) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                clock,
                events,
                settings: RwLock::new(settings),
                rates: Mutex::default(),
                pages: Pages::new(),
                untold: Arc::default(),
                telling: Mutex::default(),
                changed: Arc::default(),
                apart: Ledger::default(),
            }),
        }
    }

    /// Other settings from the next request on.
    pub fn configure(&self, settings: ShadowSettings) {
        *self.inner.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    /// Shadows that the synchronisation cannot bring together until a person changes something, by name.
    pub fn apart(&self) -> Vec<Apart> {
        self.inner.apart.all()
    }

    /// Nothing is synchronised any more.
    pub fn forget_apart(&self) {
        self.inner.apart.retain(|_| false);
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.inner.apart
    }

    /// Commits what is queued and closes the file.
    pub fn close(&self) {
        self.inner.store.close();
    }

    async fn run_get(&self, id: &TopicBase, body: &[u8]) -> Result<Done, Refusal> {
        let outcome = (|| {
            self.admit(&id.thing)?;
            let token = client_token(body)?;
            let now = self.now();
            let (shadow, _) = self.inner.store.read(|snapshot| rows::load(snapshot, id))?;
            let mut document = shadow.ok_or_else(|| Refusal::not_found(id))?.document(now);
            if let Some(token) = token {
                document["clientToken"] = token.into();
            }
            Ok(payload(&document))
        })();
        if let Ok(accepted) = &outcome {
            self.queue([(id.topic("get/accepted"), accepted.clone())]);
        }
        self.finish(id, Operation::Get, body, outcome)
    }

    async fn run_update(&self, id: &TopicBase, body: Bytes) -> Result<Done, Refusal> {
        let outcome = self.apply(id, &body).await;
        self.finish(id, Operation::Update, &body, outcome)
    }

    async fn apply(&self, id: &TopicBase, body: &[u8]) -> Result<Bytes, Refusal> {
        self.admit(&id.thing)?;
        let settings = self.settings();
        let (update, version) = parse(body, &settings)?;
        let (id, untold, now) = (id.clone(), Arc::clone(&self.inner.untold), self.inner.clock.now());
        let changed = Arc::clone(&self.inner.changed);
        let limits = settings.limits;
        let change = move |tx: &mut marram_store::Tx<'_>| {
            let (previous, last_version) = rows::load(tx, &id)?;
            let mut update = update;
            update.version = match (version, &previous) {
                (None, _) => None,
                (Some(expected), Some(shadow)) if expected == shadow.version => Some(expected),
                (Some(_), Some(_)) => return Err(ShadowError::VersionConflict.into()),
                // A shadow that is not there can be expected at version 1 only, and starts where the last one ended.
                (Some(1), None) => None,
                (Some(_), None) => return Err(ShadowError::InvalidVersion.into()),
            };
            let applied = Shadow::apply(previous.as_ref(), last_version, &update, &limits, now.as_secs())?;
            let Applied { shadow, accepted, delta, mut documents } = applied;
            if previous.is_none() {
                documents["previous"] = Value::Null;
            }
            rows::put(tx, &id, &shadow, now)?;
            let accepted = payload(&accepted);
            let messages = [
                delta.map(|delta| (id.topic("update/delta"), payload(&delta))),
                Some((id.topic("update/documents"), payload(&documents))),
                Some((id.topic("update/accepted"), accepted.clone())),
            ];
            // On the writer thread: in the order of the commits, and only when they are durable.
            tx.after_commit(move || {
                push(&untold, messages.into_iter().flatten());
                changed.add(id);
            });
            Ok::<_, Refusal>(accepted)
        };
        self.inner.store.write(change).await
    }

    async fn run_delete(&self, id: &TopicBase, body: &[u8]) -> Result<Done, Refusal> {
        let outcome = self.remove(id, body).await;
        self.finish(id, Operation::Delete, body, outcome)
    }

    async fn remove(&self, id: &TopicBase, body: &[u8]) -> Result<Bytes, Refusal> {
        self.admit(&id.thing)?;
        let token = client_token(body)?;
        let (id, untold, now) = (id.clone(), Arc::clone(&self.inner.untold), self.inner.clock.now());
        let changed = Arc::clone(&self.inner.changed);
        let change = move |tx: &mut marram_store::Tx<'_>| {
            let (Some(shadow), _) = rows::load(tx, &id)? else { return Err(Refusal::not_found(&id)) };
            rows::bury(tx, &id, now)?;
            let mut accepted = json!({"version": shadow.version, "timestamp": now.as_secs()});
            if let Some(token) = token {
                accepted["clientToken"] = token.into();
            }
            let accepted = payload(&accepted);
            let message = (id.topic("delete/accepted"), accepted.clone());
            tx.after_commit(move || {
                push(&untold, [message]);
                changed.add(id);
            });
            Ok(accepted)
        };
        self.inner.store.write(change).await
    }

    /// Tells what is to be told: the refusal of this request, or what was committed, this request's messages among it.
    fn finish(
        &self,
        id: &TopicBase,
        operation: Operation,
        body: &[u8],
        outcome: Result<Bytes, Refusal>,
    ) -> Result<Done, Refusal> {
        if let Err(refusal) = &outcome {
            let token = client_token(body).ok().flatten();
            let rejected = payload(&refusal.body(self.now(), token.as_deref()));
            self.queue([(id.topic(format_args!("{}/rejected", operation.as_str())), rejected)]);
        }
        self.tell();
        Ok(Done { accepted: outcome? })
    }

    fn queue(&self, messages: impl IntoIterator<Item = (String, Bytes)>) {
        push(&self.inner.untold, messages);
    }

    pub(crate) fn tell(&self) {
        let _turn = self.inner.telling.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let next = self.inner.untold.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some((topic, payload)) = next else { return };
            self.inner.events.publish(&topic, payload);
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn changed(&self) -> &Changed {
        &self.inner.changed
    }

    pub(crate) fn untold(&self) -> Arc<Mutex<VecDeque<(String, Bytes)>>> {
        Arc::clone(&self.inner.untold)
    }

    pub(crate) fn clock(&self) -> &SharedClock {
        &self.inner.clock
    }

    fn admit(&self, thing: &ThingName) -> Result<(), Refusal> {
        let limits = self.settings().rates;
        let mut rates = self.inner.rates.lock().unwrap_or_else(PoisonError::into_inner);
        if rates.admit(limits, thing, self.now()) { Ok(()) } else { Err(Refusal::TooManyRequests) }
    }

    pub(crate) fn settings(&self) -> ShadowSettings {
        *self.inner.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> i64 {
        self.inner.clock.now().as_secs()
    }

    fn page(&self, thing: &str, next_token: Option<&str>, page_size: Option<u32>) -> Result<ShadowPage, Refusal> {
        let thing = thing_name(thing)?;
        let size = page_size.unwrap_or(PAGE_DEFAULT);
        if !(1..=PAGE_MAX).contains(&size) {
            return Err(Refusal::Argument(format!("pageSize argument must be between 1 and {PAGE_MAX}")));
        }
        let after = match next_token.filter(|token| !token.is_empty()) {
            None => String::new(),
            Some(token) => {
                self.inner.pages.read(&thing, token).ok_or_else(|| Refusal::Argument("Invalid nextToken".to_owned()))?
            }
        };
        let wanted = i64::from(size) + 1;
        let mut results = self.inner.store.read(|snapshot| rows::names(snapshot, &thing, &after, wanted))?;
        let has_more = results.len() > size as usize;
        results.truncate(size as usize);
        let next_token = results.last().filter(|_| has_more).map(|last| self.inner.pages.token(&thing, last));
        Ok(ShadowPage { results, timestamp: self.now() as f64, next_token })
    }
}

impl LocalShadows for Shadows {
    fn get<'a>(&'a self, thing: &'a str, shadow: &'a str) -> Later<'a, Bytes> {
        Box::pin(async move { Ok(self.run_get(&base(thing, shadow)?, b"").await?.accepted) })
    }

    fn update<'a>(&'a self, thing: &'a str, shadow: &'a str, payload: Bytes) -> Later<'a, Bytes> {
        Box::pin(async move { Ok(self.run_update(&base(thing, shadow)?, payload).await?.accepted) })
    }

    fn delete<'a>(&'a self, thing: &'a str, shadow: &'a str) -> Later<'a, Bytes> {
        Box::pin(async move {
            self.run_delete(&base(thing, shadow)?, b"").await?;
            // The original answers no bytes here; version and time stand in `delete/accepted`.
            Ok(Bytes::new())
        })
    }

    fn list<'a>(
        &'a self,
        thing: &'a str,
        next_token: Option<&'a str>,
        page_size: Option<u32>,
    ) -> Later<'a, ShadowPage> {
        Box::pin(async move { self.page(thing, next_token, page_size).map_err(PortError::from) })
    }

    fn request_of(&self, topic: &str) -> Option<ShadowRequest> {
        let ShadowTopic { base, operation } = ShadowTopic::parse(topic)?;
        let operation = match operation {
            Operation::Get => ShadowOperation::Get,
            Operation::Update => ShadowOperation::Update,
            Operation::Delete => ShadowOperation::Delete,
        };
        Some(ShadowRequest { resource: base.to_string(), operation })
    }

    /// Other topics, answers included, are passed over.
    fn request<'a>(&'a self, topic: &'a str, payload: Bytes, allowed: bool) -> Later<'a, ()> {
        Box::pin(async move {
            let Some(ShadowTopic { base, operation }) = ShadowTopic::parse(topic) else { return Ok(()) };
            // A refusal is told to subscribers; there is nobody else to answer.
            let _ = match operation {
                _ if !allowed => self.finish(&base, operation, &payload, Err(Refusal::Unauthorized)),
                Operation::Get => self.run_get(&base, &payload).await,
                Operation::Update => self.run_update(&base, payload).await,
                Operation::Delete => self.run_delete(&base, &payload).await,
            };
            Ok(())
        })
    }
}

impl std::fmt::Debug for Shadows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shadows").field("store", &self.inner.store).finish_non_exhaustive()
    }
}

/// A request's update, and the version it expects, which the rules of a core treat otherwise than the control plane.
fn parse(body: &[u8], settings: &ShadowSettings) -> Result<(Update, Option<u64>), Refusal> {
    if body.is_empty() {
        return Err(Refusal::Argument("Missing update payload".to_owned()));
    }
    if body.len() > settings.limits.document_bytes.saturating_mul(4) {
        return Err(ShadowError::TooLarge.into());
    }
    let text = std::str::from_utf8(body).map_err(|_| ShadowError::NotUtf8)?;
    let mut body: Map<String, Value> = match serde_json::from_str(text) {
        Ok(Value::Object(body)) => body,
        _ => return Err(ShadowError::InvalidJson.into()),
    };
    let version = match body.remove("version") {
        None | Some(Value::Null) => None,
        Some(version) => Some(version.as_u64().ok_or(ShadowError::InvalidVersion)?),
    };
    // Devices send back what they were sent, the difference included.
    if let Some(Value::Object(state)) = body.get_mut("state") {
        state.remove("delta");
    }
    let update = Update::from_object(body, &settings.limits)?;
    Ok((if settings.strict_empty_objects { update } else { update.with_empty_as_missing() }, version))
}

fn base(thing: &str, shadow: &str) -> Result<TopicBase, Refusal> {
    let name = if shadow.is_empty() { None } else { Some(shadow_name(shadow)?) };
    Ok(TopicBase { thing: thing_name(thing)?, name })
}

fn thing_name(text: &str) -> Result<ThingName, Refusal> {
    match text {
        "" => Err(Refusal::Argument("ThingName is missing".to_owned())),
        text if text.len() > 128 => Err(Refusal::Argument("ThingName has a maximum length of 128".to_owned())),
        text => text.parse().map_err(|_| Refusal::Argument("ThingName must match pattern [a-zA-Z0-9:_-]+".to_owned())),
    }
}

fn shadow_name(text: &str) -> Result<ShadowName, Refusal> {
    if text.len() > 64 {
        return Err(Refusal::Argument("ShadowName has a maximum length of 64".to_owned()));
    }
    text.parse().map_err(|_| Refusal::Argument("ShadowName must match pattern [a-zA-Z0-9:_-]+".to_owned()))
}

pub(crate) fn push(untold: &Mutex<VecDeque<(String, Bytes)>>, messages: impl IntoIterator<Item = (String, Bytes)>) {
    untold.lock().unwrap_or_else(PoisonError::into_inner).extend(messages);
}

pub(crate) fn payload(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}
