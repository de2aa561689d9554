//! The global condition keys of a call, worked out only when a policy asks for them.
//!
//! Source: control-plane-api.md section 3.3. What the operation adds comes first, then these.

use std::borrow::Cow;
use std::net::IpAddr;

use marram_authz::{ConditionValues, Fact, Facts};
use marram_types::{Region, Timestamp};

use crate::principal::{Principal, PrincipalKind};

/// Key of the tags of a resource, lower case, up to the tag's name.
const RESOURCE_TAG: &str = "aws:resourcetag/";

/// The context of one decision.
pub(crate) struct CallFactsView<'a> {
    pub values: &'a ConditionValues,
    pub principal: &'a Principal,
    pub region: &'a Region,
    pub now: Timestamp,
    pub source_ip: Option<IpAddr>,
    pub user_agent: &'a str,
    /// ARN of the resource, for `aws:ResourceAccount`.
    pub resource: &'a str,
    /// Host name of the service through which the call came, if any.
    pub called_via: Option<&'a str>,
}

impl Facts for CallFactsView<'_> {
    fn get(&self, key: &str) -> Option<Fact<'_>> {
        if let Some(fact) = self.values.get(key).or_else(|| self.principal.session_facts.get(key)) {
            return Some(fact);
        }
        match key.strip_prefix("aws:") {
            Some(name) => self.global(name),
            // `iotthingsgraph:ResourceTag/key` is another name of `aws:ResourceTag/key` (things-graph.md 11.2).
            None => {
                let (_, name) = key.split_once(':')?;
                let tag = name.strip_prefix("resourcetag/")?;
                self.values.get(&format!("{RESOURCE_TAG}{tag}"))
            }
        }
    }
}

impl CallFactsView<'_> {
    fn global(&self, name: &str) -> Option<Fact<'_>> {
        let principal = self.principal;
        let temporary = principal.session_started.is_some();
        let text = |flag: bool| Fact::one(if flag { "true" } else { "false" });
        if let Some(tag) = name.strip_prefix("principaltag/") {
            let found = principal.tags.iter().find(|(key, _)| key.to_lowercase() == tag);
            return found.map(|(_, value)| Fact::one(value.as_str()));
        }
        Some(match name {
            "currenttime" => Fact::one(self.now.rfc3339()),
            "epochtime" => Fact::one(self.now.as_secs().to_string()),
            "tokenissuetime" => Fact::one(principal.session_started?.rfc3339()),
            // Of a session, the role: policies are written about roles.
            "principalarn" => match &principal.kind {
                PrincipalKind::RoleSession { role_arn, .. } => Fact::one(role_arn.as_str()),
                PrincipalKind::Service { .. } | PrincipalKind::Device { .. } => return None,
                _ => Fact::one(principal.arn.as_str()),
            },
            "principalaccount" => match principal.kind {
                PrincipalKind::Service { .. } => return None,
                _ => Fact::one(principal.account.as_str()),
            },
            "principaltype" => Fact::one(match principal.kind {
                PrincipalKind::Root => "Account",
                PrincipalKind::User { .. } => "User",
                PrincipalKind::RoleSession { .. } => "AssumedRole",
                PrincipalKind::Service { .. } | PrincipalKind::Device { .. } => return None,
            }),
            "principalservicename" => match &principal.kind {
                PrincipalKind::Service { host } => Fact::one(host.as_str()),
                _ => return None,
            },
            "principalisawsservice" => text(matches!(principal.kind, PrincipalKind::Service { .. })),
            "userid" => Fact::one(principal.unique_id.as_str()),
            "username" => match &principal.kind {
                PrincipalKind::User { name } => Fact::one(name.as_str()),
                _ => return None,
            },
            "sourceip" => Fact::one(self.source_ip?.to_canonical().to_string()),
            "securetransport" => text(true),
            "useragent" if !self.user_agent.is_empty() => Fact::one(self.user_agent),
            "requestedregion" => Fact::one(self.region.as_str()),
            "resourceaccount" => {
                let account = self.resource.split(':').nth(4).filter(|account| !account.is_empty());
                Fact::one(account.unwrap_or(principal.account.as_str()))
            }
            "sourceidentity" => Fact::One(Cow::Borrowed(principal.source_identity.as_deref()?)),
            // Long-term keys have no such key at all, which is what `BoolIfExists` is for.
            "multifactorauthpresent" if temporary => text(principal.mfa_at.is_some()),
            "multifactorauthage" => Fact::one(self.now.since(principal.mfa_at?).as_secs().to_string()),
            "viaawsservice" => text(self.called_via.is_some()),
            "calledvia" => Fact::Many(vec![Cow::Borrowed(self.called_via?)]),
            "calledviafirst" | "calledvialast" => Fact::one(self.called_via?),
            _ => return None,
        })
    }
}
