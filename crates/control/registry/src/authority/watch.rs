//! Brings changes of the registry to live sessions, within milliseconds (SEC-39).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use marram_broker::Tenant;
use marram_identity::CallError;
use marram_types::CertificateId;
use smol_str::SmolStr;

use super::policies::PolicySet;
use super::principal::LivePrincipal;
use super::standing::{self, Standing};
use super::{Inner, LiveSessions};
use crate::change::Change;

/// A session that is being set up while it loses its permission could slip past the first notice: the broker asks it
/// again after this long.
const SECOND_NOTICE: Duration = Duration::from_secs(1);

/// Which connection: its tenant and client id.
type Connection = (Tenant, SmolStr);

pub(super) async fn run(authority: Arc<Inner>, sessions: Arc<dyn LiveSessions>) {
    loop {
        let changes = authority.changes.take().await;
        let worker = Arc::clone(&authority);
        // Reads the store and may touch every session: not on an async thread.
        let touched = match tokio::task::spawn_blocking(move || apply(&worker, &changes)).await {
            Ok(touched) => touched,
            Err(error) => {
                tracing::error!(%error, "changes of the registry were not applied");
                continue;
            }
        };
        if touched.is_empty() {
            continue;
        }
        notify(&*sessions, &touched);
        let sessions = Arc::clone(&sessions);
        tokio::spawn(async move {
            tokio::time::sleep(SECOND_NOTICE).await;
            notify(&*sessions, &touched);
        });
    }
}

fn notify(sessions: &dyn LiveSessions, connections: &[Connection]) {
    for (tenant, client_id) in connections {
        sessions.reauthorize(tenant, client_id);
    }
}

/// Binds every session that a change concerns; answers their connections.
fn apply(authority: &Inner, changes: &HashSet<Change>) -> Vec<Connection> {
    let mut reload: HashMap<CertificateId, Arc<LivePrincipal>> = HashMap::new();
    let mut touched = Vec::new();
    for change in changes {
        match concerned(authority, change) {
            Ok(principals) => reload.extend(principals.into_iter().map(|principal| (principal.id, principal))),
            Err(error) => {
                // Without the registry nobody can be told apart, so everybody of the realm is read again below.
                tracing::error!(%error, ?change, "the registry cannot be read");
                let all = authority.live.all(realm_of(change));
                reload.extend(all.into_iter().map(|principal| (principal.id, principal)));
            }
        }
    }
    for change in changes {
        if let Change::Policy(realm, name) = change {
            let mut replaced = HashMap::new();
            for principal in authority.live.all(realm) {
                if !reload.contains_key(&principal.id) {
                    replace_policy(authority, &principal, name, &mut replaced, &mut touched);
                }
            }
        }
    }
    for principal in reload.values() {
        reload_principal(authority, principal, &mut touched);
    }
    touched
}

fn realm_of(change: &Change) -> &crate::realm::Realm {
    match change {
        Change::Certificate(realm, _)
        | Change::Policy(realm, _)
        | Change::Group(realm, _)
        | Change::Thing(realm, _) => realm,
    }
}

/// The live principals whose standing must be read again.
fn concerned(authority: &Inner, change: &Change) -> Result<Vec<Arc<LivePrincipal>>, CallError> {
    Ok(match change {
        Change::Certificate(_, id) => id.parse().ok().and_then(|id| authority.live.get(&id)).into_iter().collect(),
        Change::Group(realm, name) => {
            let in_group = |principal: &Arc<LivePrincipal>| {
                let state = principal.lock();
                state.standing.as_ref().is_some_and(|standing| standing.groups.iter().any(|group| group == name))
            };
            authority.live.all(realm).into_iter().filter(in_group).collect()
        }
        Change::Thing(realm, name) => {
            let ids = authority.store.read(|snapshot| standing::certificates_of_thing(snapshot, realm, name))?;
            ids.iter().filter_map(|id| authority.live.get(id)).collect()
        }
        Change::Policy(..) => Vec::new(),
    })
}

/// Reads a certificate's standing again and binds its sessions.
fn reload_principal(authority: &Inner, principal: &LivePrincipal, touched: &mut Vec<Connection>) {
    let mut state = principal.lock();
    let sessions = state.sessions();
    let id = principal.id.to_string();
    let outcome = authority.store.read(|snapshot| {
        let standing = standing::read(snapshot, &authority.policies, &principal.realm, &id)?.map(Arc::new);
        for session in &sessions {
            session.rebind(snapshot, standing.as_ref())?;
        }
        Ok::<_, CallError>(standing)
    });
    match outcome {
        Ok(standing) => state.standing = standing,
        Err(error) => {
            tracing::error!(%error, certificate = %id, "the registry cannot be read: its sessions end");
            state.standing = None;
            sessions.iter().for_each(|session| session.close());
        }
    }
    touched.extend(sessions.iter().map(|session| (session.realm().tenant(), session.broker_client_id().into())));
}

/// Puts the version in force of one policy into a principal's set, without reading its whole standing: a policy may be
/// attached to every certificate there is. Principals with the same set share the new one.
fn replace_policy(
    authority: &Inner,
    principal: &LivePrincipal,
    name: &str,
    replaced: &mut HashMap<*const PolicySet, (Arc<PolicySet>, Arc<PolicySet>)>,
    touched: &mut Vec<Connection>,
) {
    let mut state = principal.lock();
    let Some(standing) = state.standing.clone().filter(|standing| standing.policies.contains(name)) else { return };
    let sessions = state.sessions();
    let outcome = authority.store.read(|snapshot| {
        let old = Arc::as_ptr(&standing.policies);
        let policies = match replaced.get(&old) {
            Some((_, set)) => Arc::clone(set),
            None => {
                let mut keys: Vec<_> =
                    standing.policies.keys().iter().filter(|key| key.name != name).cloned().collect();
                keys.extend(standing::policy_in_force(snapshot, &principal.realm, name)?);
                keys.sort();
                let realm = &principal.realm;
                let set = authority.policies.set(realm, keys, |key| standing::document(snapshot, realm, key))?;
                // The old set is kept as well, so that its address stays its own.
                replaced.insert(old, (Arc::clone(&standing.policies), Arc::clone(&set)));
                set
            }
        };
        let standing = Arc::new(Standing { policies, ..(*standing).clone() });
        for session in &sessions {
            session.rebind(snapshot, Some(&standing))?;
        }
        Ok::<_, CallError>(standing)
    });
    match outcome {
        Ok(standing) => state.standing = Some(standing),
        Err(error) => {
            tracing::error!(%error, certificate = %principal.id, "the registry cannot be read: its sessions end");
            state.standing = None;
            sessions.iter().for_each(|session| session.close());
        }
    }
    touched.extend(sessions.iter().map(|session| (session.realm().tenant(), session.broker_client_id().into())));
}
