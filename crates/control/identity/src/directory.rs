//! Everything that is needed to authenticate and authorize, in memory: no database and no lock on the way of a call.
//!
//! A [`Directory`] is immutable and shared; a commit that changes identities puts a new one in its place right after it
//! is durable, before its caller is told. What an entity looks like is kept with its compiled policies; what a principal
//! may do ([`Authority`]) is worked out when the directory is made, so that a call only picks it up.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use marram_authz::{Policy, PolicyKind};
use marram_sigv4::{Scope, SigningKey};
use marram_store::{Snapshot, StoreError, params};
use marram_types::{AccountId, SecretString, Timestamp};
use smol_str::SmolStr;

use crate::keyring::{Keyring, Purpose};
use crate::managed;
use crate::model::{Entity, Group, Kind, ManagedPolicy, Role, User, fold};
use crate::principal::{Principal, PrincipalKind};

/// Signing keys kept per access key: one per day, region and service in use.
const KEPT_SIGNING_KEYS: usize = 8;

/// The policies that speak for a principal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Authority {
    pub identity: Arc<[Arc<Policy>]>,
    pub boundary: Option<Arc<Policy>>,
    /// The policies a session was started with.
    pub session: Option<Arc<[Arc<Policy>]>>,
}

/// All accounts and keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    pub accounts: HashMap<AccountId, Arc<AccountDir>>,
    pub keys: HashMap<SmolStr, Arc<AccessKey>>,
}

/// One account. Entities are keyed by their folded names.
#[derive(Clone, Debug)]
pub(crate) struct AccountDir {
    pub account: AccountId,
    pub name: String,
    pub created: Timestamp,
    pub users: BTreeMap<String, Arc<Held<User>>>,
    pub groups: BTreeMap<String, Arc<Held<Group>>>,
    pub roles: BTreeMap<String, Arc<Held<Role>>>,
    pub policies: BTreeMap<String, Arc<HeldPolicy>>,
    /// Policies by ARN, as attachments name them.
    by_arn: HashMap<String, Arc<HeldPolicy>>,
    authorities: HashMap<(Kind2, String), Authority>,
    /// The users as callers, each made once and shared by their calls.
    principals: HashMap<String, Arc<Principal>>,
}

/// `Kind` restricted to what can act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind2 {
    User,
    Role,
}

/// A user, group or role with its attachments and compiled documents.
#[derive(Clone, Debug)]
pub(crate) struct Held<T> {
    pub entity: T,
    pub arn: String,
    /// ARNs of attached managed policies, in order of ARN.
    pub attached: Vec<String>,
    /// Folded names of the groups of a user, or of the users of a group.
    pub members: Vec<String>,
    pub inline: Vec<Arc<Policy>>,
    /// The trust policy of a role.
    pub trust: Option<Arc<Policy>>,
}

/// A customer-managed policy, its default version compiled.
#[derive(Clone, Debug)]
pub(crate) struct HeldPolicy {
    pub entity: ManagedPolicy,
    pub arn: String,
    pub compiled: Arc<Policy>,
}

/// A long-term key.
#[derive(Debug)]
pub(crate) struct AccessKey {
    pub id: SmolStr,
    pub account: AccountId,
    /// Folded.
    pub user: String,
    pub active: bool,
    pub created: Timestamp,
    pub secret: SecretString,
    pub usage: Arc<KeyUse>,
    derived: ArcSwap<Vec<(Scope, SigningKey)>>,
    caller: ArcSwapOption<KeyCaller>,
}

/// A user as the caller that signs with a key, kept while the user is as it was.
#[derive(Debug)]
struct KeyCaller {
    user: Arc<Principal>,
    caller: Arc<Principal>,
}

/// When a key was last used; shared by all generations of the directory.
#[derive(Debug, Default)]
pub(crate) struct KeyUse {
    /// Microseconds; 0 means never.
    at: AtomicI64,
    place: ArcSwap<(String, String)>,
}

impl KeyUse {
    pub(crate) fn note(&self, now: Timestamp, service: &str, region: &str) {
        // Told by the second: calls of one moment need not pass the number around between processors.
        if now.as_micros() - self.at.load(Ordering::Relaxed) >= 1_000_000 {
            self.at.fetch_max(now.as_micros(), Ordering::Relaxed);
        }
        let place = self.place.load();
        if place.0 != service || place.1 != region {
            self.place.store(Arc::new((service.to_owned(), region.to_owned())));
        }
    }

    /// Moment, service and region of the last use.
    pub(crate) fn last(&self) -> Option<(Timestamp, String, String)> {
        let at = self.at.load(Ordering::Relaxed);
        let place = self.place.load();
        (at != 0).then(|| (Timestamp::from_micros(at), place.0.clone(), place.1.clone()))
    }
}

impl AccessKey {
    pub(crate) fn new(
        id: SmolStr,
        account: AccountId,
        user: String,
        active: bool,
        created: Timestamp,
        secret: SecretString,
        usage: Arc<KeyUse>,
    ) -> AccessKey {
        let (derived, caller) = (ArcSwap::default(), ArcSwapOption::empty());
        AccessKey { id, account, user, active, created, secret, usage, derived, caller }
    }

    /// The key's user as a caller that signed with it. Calls share one: a copy would count up and down what all of them hold.
    pub(crate) fn caller(&self, user: &Arc<Principal>) -> Arc<Principal> {
        if let Some(kept) = self.caller.load().as_ref().filter(|kept| Arc::ptr_eq(&kept.user, user)) {
            return Arc::clone(&kept.caller);
        }
        let mut caller = Principal::clone(user);
        caller.access_key_id = Some(self.id.clone());
        let caller = Arc::new(caller);
        self.caller.store(Some(Arc::new(KeyCaller { user: Arc::clone(user), caller: Arc::clone(&caller) })));
        caller
    }

    /// The signing key of a scope, derived once.
    pub(crate) fn signing_key(&self, scope: &Scope) -> SigningKey {
        let kept = self.derived.load();
        if let Some((_, key)) = kept.iter().find(|(candidate, _)| candidate == scope) {
            return key.clone();
        }
        let key = SigningKey::derive(&self.secret, scope);
        // Two calls may derive at once; whichever is kept, both keys are the same.
        let mut next: Vec<(Scope, SigningKey)> = kept.iter().take(KEPT_SIGNING_KEYS - 1).cloned().collect();
        next.insert(0, (scope.clone(), key.clone()));
        self.derived.store(Arc::new(next));
        key
    }
}

/// One change of a directory, made by a commit.
#[derive(Debug)]
pub(crate) enum Change {
    /// A new account.
    Account(AccountId, String, Timestamp),
    /// An entity as it is now, with attachments and members.
    Put(AccountId, Box<Entity>, Vec<String>, Vec<String>),
    /// An entity that is gone.
    Remove(AccountId, Kind, String),
    /// A key as it is now.
    PutKey(Arc<AccessKey>),
    /// A key that is gone.
    RemoveKey(SmolStr),
}

/// The ARN of an entity.
pub(crate) fn arn(partition: &str, account: &AccountId, kind: Kind, path: &str, name: &str) -> String {
    format!("arn:{partition}:iam::{account}:{}{path}{name}", kind.as_str())
}

impl Directory {
    pub(crate) fn account(&self, account: &AccountId) -> Option<&Arc<AccountDir>> {
        self.accounts.get(account)
    }

    /// Reads everything; used once, at start.
    pub(crate) fn load(snapshot: &Snapshot<'_>, keyring: &Keyring, partition: &str) -> Result<Directory, StoreError> {
        let mut directory = Directory::default();
        let accounts = snapshot.query_all("SELECT account, name, created_at FROM account", params![], |row| {
            Ok::<_, StoreError>((row.parse::<AccountId>(0)?, row.get::<String>(1)?, row.get::<Timestamp>(2)?))
        })?;
        let mut changes = Vec::new();
        for (account, name, created) in accounts {
            changes.push(Change::Account(account, name, created));
        }
        let names = snapshot.query_all("SELECT account, kind, folded FROM iam_entity", params![], |row| {
            Ok::<_, StoreError>((row.parse::<AccountId>(0)?, row.get::<String>(1)?, row.get::<String>(2)?))
        })?;
        for (account, kind, folded) in names {
            if let Some((entity, attached, members)) = load_entity(snapshot, &account, &kind, &folded)? {
                changes.push(Change::Put(account, Box::new(entity), attached, members));
            }
        }
        let keys = snapshot.query_all(
            "SELECT k.access_key_id, k.account, k.user_folded, k.active, k.created_at, k.sealed,
                    u.used_at, u.service, u.region
             FROM iam_access_key k LEFT JOIN iam_key_use u ON u.access_key_id = k.access_key_id",
            params![],
            |row| {
                let id: SmolStr = row.get(0)?;
                let usage = Arc::new(KeyUse::default());
                if let (Some(at), Some(service), Some(region)) =
                    (row.get::<Option<Timestamp>>(6)?, row.get::<Option<String>>(7)?, row.get::<Option<String>>(8)?)
                {
                    usage.note(at, &service, &region);
                }
                let sealed: Vec<u8> = row.get(5)?;
                let secret = open_secret(keyring, &id, &sealed);
                Ok::<_, StoreError>(secret.map(|secret| (row.parse::<AccountId>(1), id, secret, usage)).map(
                    |(account, id, secret, usage)| {
                        Ok::<_, StoreError>(AccessKey::new(
                            id,
                            account?,
                            row.get(2)?,
                            row.get(3)?,
                            row.get(4)?,
                            secret,
                            usage,
                        ))
                    },
                ))
            },
        )?;
        for key in keys.into_iter().flatten() {
            changes.push(Change::PutKey(Arc::new(key?)));
        }
        directory.apply(changes, partition);
        Ok(directory)
    }

    /// Takes over changes and works out the authorities of the accounts they touch.
    pub(crate) fn apply(&mut self, changes: Vec<Change>, partition: &str) {
        let mut touched: Vec<AccountId> = Vec::new();
        for change in changes {
            let account = match change {
                Change::PutKey(key) => {
                    self.keys.insert(key.id.clone(), key);
                    continue;
                }
                Change::RemoveKey(id) => {
                    self.keys.remove(&id);
                    continue;
                }
                Change::Account(account, name, created) => {
                    let dir = AccountDir::new(account.clone(), name, created);
                    self.accounts.insert(account.clone(), Arc::new(dir));
                    account
                }
                Change::Put(account, entity, attached, members) => {
                    if let Some(dir) = self.accounts.get_mut(&account) {
                        Arc::make_mut(dir).put(*entity, attached, members, partition);
                    }
                    account
                }
                Change::Remove(account, kind, folded) => {
                    if let Some(dir) = self.accounts.get_mut(&account) {
                        Arc::make_mut(dir).remove(kind, &folded);
                    }
                    account
                }
            };
            if !touched.contains(&account) {
                touched.push(account);
            }
        }
        for account in touched {
            if let Some(dir) = self.accounts.get_mut(&account) {
                Arc::make_mut(dir).work_out_authorities(partition);
            }
        }
    }

    /// Keys of a user, oldest first.
    pub(crate) fn keys_of(&self, account: &AccountId, user: &str) -> Vec<Arc<AccessKey>> {
        let mut keys: Vec<Arc<AccessKey>> =
            self.keys.values().filter(|key| key.account == *account && key.user == user).cloned().collect();
        keys.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        keys
    }
}

/// Unseals a secret; a row that does not open is left out, so that its key authenticates nobody.
fn open_secret(keyring: &Keyring, id: &str, sealed: &[u8]) -> Option<SecretString> {
    let plain = keyring.open_sealed(Purpose::AccessKey, id.as_bytes(), sealed);
    let secret = plain.and_then(|plain| std::str::from_utf8(&plain).ok().map(SecretString::new));
    if secret.is_none() {
        tracing::error!(access_key_id = id, "a stored secret does not open with the master key");
    }
    secret
}

/// An entity with its attachments and members, as the transaction sees it.
pub(crate) type Loaded = (Entity, Vec<String>, Vec<String>);

pub(crate) fn load_entity(
    snapshot: &Snapshot<'_>,
    account: &AccountId,
    kind: &str,
    folded: &str,
) -> Result<Option<Loaded>, StoreError> {
    let body = snapshot.query_opt(
        "SELECT body FROM iam_entity WHERE account = $1 AND kind = $2 AND folded = $3",
        params![account, kind, folded],
        |row| row.get::<String>(0),
    )?;
    let Some(body) = body else { return Ok(None) };
    let Some(entity) = Entity::from_json(kind, &body) else {
        return Err(StoreError::Corrupt(format!("{kind} `{folded}` of account {account} cannot be read")));
    };
    let attached = snapshot.query_all(
        "SELECT policy_arn FROM iam_attachment WHERE account = $1 AND kind = $2 AND folded = $3 ORDER BY policy_arn",
        params![account, kind, folded],
        |row| row.get::<String>(0),
    )?;
    let members = match entity.kind() {
        Kind::User => snapshot.query_all(
            "SELECT group_folded FROM iam_member WHERE account = $1 AND user_folded = $2 ORDER BY group_folded",
            params![account, folded],
            |row| row.get::<String>(0),
        )?,
        Kind::Group => snapshot.query_all(
            "SELECT user_folded FROM iam_member WHERE account = $1 AND group_folded = $2 ORDER BY user_folded",
            params![account, folded],
            |row| row.get::<String>(0),
        )?,
        Kind::Role | Kind::Policy => Vec::new(),
    };
    Ok(Some((entity, attached, members)))
}

/// Compiles a document that was checked when it was stored. One that no longer compiles denies everything, rather than
/// being left out: it may have held a `Deny`.
fn compile(kind: PolicyKind, id: &str, document: &str) -> Arc<Policy> {
    const DENY_ALL: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#;
    const TRUST_NOBODY: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"*"}}"#;
    let compiled = Policy::parse(kind, id, document).or_else(|error| {
        tracing::error!(policy = id, %error, "a stored policy does not compile; it denies everything");
        Policy::parse(kind, id, if kind == PolicyKind::Trust { TRUST_NOBODY } else { DENY_ALL })
    });
    Arc::new(compiled.expect("the fallback documents are well formed"))
}

fn compile_inline(inline: &BTreeMap<String, String>) -> Vec<Arc<Policy>> {
    inline.iter().map(|(name, text)| compile(PolicyKind::Identity, &format!("inline:{name}"), text)).collect()
}

impl AccountDir {
    fn new(account: AccountId, name: String, created: Timestamp) -> AccountDir {
        AccountDir {
            account,
            name,
            created,
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            roles: BTreeMap::new(),
            policies: BTreeMap::new(),
            by_arn: HashMap::new(),
            authorities: HashMap::new(),
            principals: HashMap::new(),
        }
    }

    fn put(&mut self, entity: Entity, attached: Vec<String>, members: Vec<String>, partition: &str) {
        let key = fold(entity.name());
        match entity {
            Entity::User(user) => {
                let held = Held {
                    arn: arn(partition, &self.account, Kind::User, &user.path, &user.name),
                    attached,
                    members,
                    inline: compile_inline(&user.inline),
                    trust: None,
                    entity: user,
                };
                self.users.insert(key, Arc::new(held));
            }
            Entity::Group(group) => {
                let held = Held {
                    arn: arn(partition, &self.account, Kind::Group, &group.path, &group.name),
                    attached,
                    members,
                    inline: compile_inline(&group.inline),
                    trust: None,
                    entity: group,
                };
                self.groups.insert(key, Arc::new(held));
            }
            Entity::Role(role) => {
                let arn = arn(partition, &self.account, Kind::Role, &role.path, &role.name);
                let held = Held {
                    attached,
                    members,
                    inline: compile_inline(&role.inline),
                    trust: Some(compile(PolicyKind::Trust, &arn, &role.trust)),
                    arn,
                    entity: role,
                };
                self.roles.insert(key, Arc::new(held));
            }
            Entity::Policy(policy) => {
                let arn = arn(partition, &self.account, Kind::Policy, &policy.path, &policy.name);
                // A policy without its default version cannot be stored; an empty document compiles to "deny all".
                let document = policy.versions.get(&policy.default_version).map(|v| v.document.as_str());
                let compiled = compile(PolicyKind::Identity, &arn, document.unwrap_or_default());
                let held = Arc::new(HeldPolicy { arn: arn.clone(), compiled, entity: policy });
                self.by_arn.insert(arn, Arc::clone(&held));
                self.policies.insert(key, held);
            }
        }
    }

    fn remove(&mut self, kind: Kind, folded: &str) {
        match kind {
            Kind::User => drop(self.users.remove(folded)),
            Kind::Group => drop(self.groups.remove(folded)),
            Kind::Role => drop(self.roles.remove(folded)),
            Kind::Policy => {
                if let Some(held) = self.policies.remove(folded) {
                    self.by_arn.remove(&held.arn);
                }
            }
        }
    }

    fn work_out_authorities(&mut self, partition: &str) {
        let mut authorities = HashMap::with_capacity(self.users.len() + self.roles.len());
        for (key, user) in &self.users {
            let mut policies = self.policies_of(&user.inline, &user.attached, partition);
            for group in user.members.iter().filter_map(|name| self.groups.get(name)) {
                policies.extend(self.policies_of(&group.inline, &group.attached, partition));
            }
            let boundary = self.boundary(user.entity.boundary.as_deref(), partition);
            authorities
                .insert((Kind2::User, key.clone()), Authority { identity: policies.into(), boundary, session: None });
        }
        for (key, role) in &self.roles {
            let policies = self.policies_of(&role.inline, &role.attached, partition);
            let boundary = self.boundary(role.entity.boundary.as_deref(), partition);
            authorities
                .insert((Kind2::Role, key.clone()), Authority { identity: policies.into(), boundary, session: None });
        }
        self.authorities = authorities;
        let principals = self.users.iter().map(|(key, user)| (key.clone(), Arc::new(self.principal_of(key, user))));
        self.principals = principals.collect();
    }

    fn principal_of(&self, folded: &str, user: &Held<User>) -> Principal {
        let kind = PrincipalKind::User { name: SmolStr::new(&user.entity.name) };
        let mut principal =
            Principal::bare(self.account.clone(), kind, SmolStr::new(&user.arn), SmolStr::new(&user.entity.id));
        principal.tags =
            Arc::new(user.entity.tags.iter().map(|tag| ((&tag.key).into(), (&tag.value).into())).collect());
        principal.authority = self.user_authority(folded).cloned().unwrap_or_default();
        principal
    }

    /// The user of this folded name as a caller.
    pub(crate) fn user_principal(&self, folded: &str) -> Option<&Arc<Principal>> {
        self.principals.get(folded)
    }

    fn policies_of(&self, inline: &[Arc<Policy>], attached: &[String], partition: &str) -> Vec<Arc<Policy>> {
        let mut policies = inline.to_vec();
        policies.extend(attached.iter().filter_map(|arn| self.managed(arn, partition)));
        policies
    }

    /// A boundary that is set but cannot be found allows nothing.
    fn boundary(&self, arn: Option<&str>, partition: &str) -> Option<Arc<Policy>> {
        arn.map(|arn| self.managed(arn, partition).unwrap_or_else(|| compile(PolicyKind::Identity, arn, "")))
    }

    /// The compiled default version of a managed policy, the account's own or the house's.
    pub(crate) fn managed(&self, arn: &str, partition: &str) -> Option<Arc<Policy>> {
        if let Some(held) = self.by_arn.get(arn) {
            return Some(Arc::clone(&held.compiled));
        }
        managed::find(partition, arn).map(|vendor| Arc::clone(&vendor.compiled))
    }

    /// The account's own policy of this ARN.
    pub(crate) fn policy(&self, arn: &str) -> Option<&Arc<HeldPolicy>> {
        self.by_arn.get(arn)
    }

    fn user_authority(&self, folded: &str) -> Option<&Authority> {
        self.authorities.get(&(Kind2::User, folded.to_owned()))
    }

    pub(crate) fn role_authority(&self, folded: &str) -> Option<&Authority> {
        self.authorities.get(&(Kind2::Role, folded.to_owned()))
    }

    /// The role of this ARN, spelled exactly so.
    pub(crate) fn role_by_arn(&self, arn: &str) -> Option<&Arc<Held<Role>>> {
        let name = arn.rsplit('/').next()?;
        self.roles.get(&fold(name)).filter(|role| role.arn == arn)
    }
}
