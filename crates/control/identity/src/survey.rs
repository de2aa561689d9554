//! The whole account asked at once: who could do this, and which documents speak for whom.
//!
//! Answers come from the directory in memory and the engine that decides calls. Conditions see what is known without a
//! call: the account, the time, tags of the principal.

use std::collections::BTreeMap;
use std::sync::Arc;

use marram_authz::{ConditionValues, Decision, Layers, Outcome, Request};
use marram_types::{AccountId, Region};
use smol_str::SmolStr;

use crate::directory::{AccountDir, Authority};
use crate::facts::CallFactsView;
use crate::identity::Identity;
use crate::managed;
use crate::model::fold;
use crate::principal::{Principal, PrincipalKind};

/// What was decided for one principal of a [`Identity::survey`].
#[derive(Clone, Debug)]
pub struct Surveyed {
    /// Its ARN.
    pub arn: String,
    /// `user`, `role` or `group`.
    pub kind: &'static str,
    /// Yes, or a statement that says no.
    pub decision: Decision,
}

/// A policy document and where it hangs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpeakingDocument {
    /// Name or ARN of the policy; of a group's, with the group in front.
    pub policy: String,
    /// As stored.
    pub document: String,
}

impl Identity {
    /// Every user, role and group of an account that a statement allows or forbids `action` on `resource`, in the order
    /// of kinds and names. Whom no statement speaks of is left out.
    pub fn survey(&self, account: &AccountId, region: &Region, action: &str, resource: &str) -> Vec<Surveyed> {
        let directory = self.directory();
        let Some(dir) = directory.account(account) else { return Vec::new() };
        let partition = self.partition().as_str();
        let mut found = Vec::new();
        let mut ask = |kind: &'static str, principal: &Principal, authority: &Authority| {
            let decision = self.decide_for(principal, authority, region, action, resource);
            if !matches!(decision.outcome, Outcome::ImplicitDeny(_)) {
                found.push(Surveyed { arn: principal.arn.to_string(), kind, decision });
            }
        };
        for name in dir.users.keys() {
            if let Some(principal) = dir.user_principal(name) {
                ask("user", principal, &principal.authority);
            }
        }
        for (name, role) in &dir.roles {
            let kind = PrincipalKind::RoleSession {
                role_arn: SmolStr::new(&role.arn),
                role_name: SmolStr::new(&role.entity.name),
                role_id: SmolStr::new(&role.entity.id),
                session_name: SmolStr::new_static("survey"),
            };
            let mut principal =
                Principal::bare(account.clone(), kind, SmolStr::new(&role.arn), SmolStr::new(&role.entity.id));
            principal.tags =
                Arc::new(role.entity.tags.iter().map(|tag| ((&tag.key).into(), (&tag.value).into())).collect());
            if let Some(authority) = dir.role_authority(name) {
                ask("role", &principal, authority);
            }
        }
        for group in dir.groups.values() {
            let mut policies = group.inline.clone();
            policies.extend(group.attached.iter().filter_map(|arn| dir.managed(arn, partition)));
            let kind = PrincipalKind::User { name: SmolStr::new_static("survey") };
            let principal = Principal::bare(account.clone(), kind, SmolStr::new(&group.arn), SmolStr::default());
            ask("group", &principal, &Authority { identity: policies.into(), boundary: None, session: None });
        }
        found
    }

    fn decide_for(
        &self,
        principal: &Principal,
        authority: &Authority,
        region: &Region,
        action: &str,
        resource: &str,
    ) -> Decision {
        let values = ConditionValues::new();
        let facts = CallFactsView {
            values: &values,
            principal,
            region,
            now: self.now(),
            source_ip: None,
            user_agent: "",
            resource,
            called_via: None,
        };
        let layers =
            Layers { identity: &authority.identity, boundary: authority.boundary.as_deref(), ..Layers::default() };
        let strict_variables = self.strict_variables();
        Request { requester: principal.requester(), action, resource, facts: &facts, strict_variables }.decide(&layers)
    }

    /// The documents that speak for a user, role or group of an account; `None` when it has none of this ARN.
    pub fn documents_of(&self, account: &AccountId, arn: &str) -> Option<Vec<SpeakingDocument>> {
        let directory = self.directory();
        let dir = directory.account(account)?;
        let resource = arn.splitn(6, ':').nth(5)?;
        let name = fold(resource.rsplit('/').next()?);
        let partition = self.partition().as_str();
        let mut documents = Vec::new();
        let mut add = |before: &str, inline: &BTreeMap<String, String>, attached: &[String]| {
            let inline = inline.iter().map(|(name, text)| (name.clone(), text.clone()));
            let attached = attached.iter().filter_map(|arn| Some((arn.clone(), text_of(dir, arn, partition)?)));
            documents.extend(
                inline
                    .chain(attached)
                    .map(|(policy, document)| SpeakingDocument { policy: format!("{before}{policy}"), document }),
            );
        };
        match resource.split('/').next()? {
            "user" => {
                let user = dir.users.get(&name).filter(|user| user.arn == arn)?;
                add("", &user.entity.inline, &user.attached);
                for group in user.members.iter().filter_map(|name| dir.groups.get(name)) {
                    add(&format!("group {}: ", group.entity.name), &group.entity.inline, &group.attached);
                }
            }
            "role" => {
                let role = dir.roles.get(&name).filter(|role| role.arn == arn)?;
                add("", &role.entity.inline, &role.attached);
            }
            "group" => {
                let group = dir.groups.get(&name).filter(|group| group.arn == arn)?;
                add("", &group.entity.inline, &group.attached);
            }
            _ => return None,
        }
        Some(documents)
    }
}

/// The default version of a managed policy, the account's own or the house's.
fn text_of(dir: &AccountDir, arn: &str, partition: &str) -> Option<String> {
    if let Some(held) = dir.policy(arn) {
        return held.entity.versions.get(&held.entity.default_version).map(|version| version.document.clone());
    }
    managed::find(partition, arn).map(|vendor| vendor.document.to_owned())
}
