//! What would be decided: SimulatePrincipalPolicy and SimulateCustomPolicy, by the engine that decides.

use std::sync::Arc;

use marram_authz::{ConditionValues, Decision, Effect, Layers, Outcome, Policy, PolicyKind, Request, Requester};
use marram_aws_api::ApiError;
use serde_json::{Value, json};
use smol_str::SmolStr;

use crate::directory::Authority;
use crate::facts::CallFactsView;
use crate::iam::Iam;
use crate::identity::user_principal;
use crate::model::fold;
use crate::principal::{Principal, PrincipalKind};

/// What the answer would depend on and is not asked: a simulation without it would be of something else.
const NOT_ASKED: [&str; 2] = ["OrderedOrganizationPolicyInputList", "PolicyExclusionList"];
/// Most pairs of action and resource one call may ask about.
const MAX_PAIRS: usize = 1000;

impl Iam<'_> {
    /// Decides as the named user, group or role, with further policies if given.
    pub(super) fn simulate_principal_policy(&self) -> Result<Value, ApiError> {
        let source = self.args.text("PolicySourceArn")?;
        let _ = self.ctx.authorize(self.ctx.operation.iam_action, source, |_| {})?;
        let missing = || ApiError::no_such_entity(format!("The entity {source} cannot be found."));
        let (principal, mut authority) = self.source(source).ok_or_else(missing)?;
        let mut identity = authority.identity.to_vec();
        identity.extend(self.compile("PolicyInputList", PolicyKind::Identity)?);
        authority.identity = identity.into();
        self.simulate(&principal, &authority)
    }

    /// Decides by the policies in the request alone.
    pub(super) fn simulate_custom_policy(&self) -> Result<Value, ApiError> {
        let _ = self.ctx.authorize(self.ctx.operation.iam_action, "*", |_| {})?;
        let identity = self.compile("PolicyInputList", PolicyKind::Identity)?.into();
        let authority = Authority { identity, boundary: None, session: None };
        self.simulate(&self.ctx.principal, &authority)
    }

    /// The entity whose policies are asked, as a principal.
    fn source(&self, arn: &str) -> Option<(Principal, Authority)> {
        let (_, resource) = arn.split_once("::")?;
        let (account, resource) = resource.split_once(':')?;
        if account != self.ctx.account.as_str() {
            return None;
        }
        let key = fold(resource.rsplit('/').next()?);
        match resource.split('/').next()? {
            "user" => {
                let held = self.dir.users.get(&key).filter(|held| held.arn == arn)?;
                let directory = self.ctx.identity().directory();
                let principal = user_principal(&directory, &self.ctx.account, &fold(&held.entity.name))?;
                let authority = principal.authority.clone();
                Some((principal, authority))
            }
            "role" => {
                let held = self.dir.roles.get(&key).filter(|held| held.arn == arn)?;
                let kind = PrincipalKind::RoleSession {
                    role_arn: SmolStr::new(arn),
                    role_name: SmolStr::new(&held.entity.name),
                    role_id: SmolStr::new(&held.entity.id),
                    session_name: SmolStr::new_static("simulation"),
                };
                let id = SmolStr::new(&held.entity.id);
                let mut principal = Principal::bare(self.ctx.account.clone(), kind, SmolStr::new(arn), id);
                let tags = held.entity.tags.iter().map(|tag| ((&tag.key).into(), (&tag.value).into()));
                principal.tags = Arc::new(tags.collect());
                Some((principal, self.dir.role_authority(&key)?.clone()))
            }
            "group" => {
                let held = self.dir.groups.get(&key).filter(|held| held.arn == arn)?;
                let mut policies = held.inline.clone();
                policies.extend(held.attached.iter().filter_map(|arn| self.dir.managed(arn, self.partition())));
                let kind = PrincipalKind::User { name: SmolStr::new_static("simulation") };
                let principal = Principal::bare(self.ctx.account.clone(), kind, SmolStr::new(arn), SmolStr::default());
                Some((principal, Authority { identity: policies.into(), boundary: None, session: None }))
            }
            _ => None,
        }
    }

    fn compile(&self, member: &str, kind: PolicyKind) -> Result<Vec<Arc<Policy>>, ApiError> {
        let documents = self.args.list(member)?;
        let compiled = documents.iter().enumerate().map(|(index, document)| {
            Policy::parse(kind, &format!("{member}.{}", index + 1), document)
                .map(Arc::new)
                .map_err(|error| ApiError::new("InvalidInput", 400, error.reason))
        });
        compiled.collect()
    }

    fn simulate(&self, principal: &Principal, authority: &Authority) -> Result<Value, ApiError> {
        let actions = self.args.list("ActionNames")?;
        let mut resources = self.args.list("ResourceArns")?;
        if resources.is_empty() {
            resources.push("*".to_owned());
        }
        if actions.is_empty() || actions.len().saturating_mul(resources.len()) > MAX_PAIRS {
            return Err(ApiError::new("InvalidInput", 400, format!("Ask about 1 to {MAX_PAIRS} pairs at once.")));
        }
        for member in NOT_ASKED {
            if !self.args.structures(member)?.is_empty() {
                let message = format!("{member} is not supported by this endpoint");
                return Err(ApiError::new("InvalidInput", 400, message));
            }
        }
        let boundary = self.compile("PermissionsBoundaryPolicyInputList", PolicyKind::Identity)?.into_iter().next();
        let boundary = boundary.or_else(|| authority.boundary.clone());
        let resource_policy = match self.args.opt("ResourcePolicy") {
            None => None,
            Some(document) => Some(
                Policy::parse(PolicyKind::Resource, "ResourcePolicy", document)
                    .map_err(|error| ApiError::new("InvalidInput", 400, error.reason))?,
            ),
        };
        let owner = self.args.opt("ResourceOwner").and_then(|arn| arn.split(':').nth(4));
        let owner = owner.unwrap_or(self.ctx.account.as_str());
        let mut values = ConditionValues::new();
        for entry in self.args.structures("ContextEntries")? {
            values.set_all(entry.text("ContextKeyName")?, entry.list("ContextKeyValues")?);
        }
        let layers = Layers {
            identity: &authority.identity,
            boundary: boundary.as_deref(),
            session: None,
            guardrail: None,
            resource: resource_policy.as_ref().map(|policy| (policy, owner)),
        };
        let caller = self.args.opt("CallerArn").unwrap_or(principal.arn.as_str());
        let requester = match &principal.kind {
            PrincipalKind::RoleSession { role_arn, .. } => {
                Requester::session(principal.account.as_str(), caller, role_arn)
            }
            _ => Requester::user(principal.account.as_str(), caller),
        };
        let mut results: Vec<(String, Value)> = Vec::new();
        for action in &actions {
            for resource in &resources {
                let facts = CallFactsView {
                    values: &values,
                    principal,
                    region: &self.ctx.region,
                    now: self.ctx.now,
                    source_ip: None,
                    user_agent: "",
                    resource,
                    called_via: None,
                };
                let strict_variables = self.ctx.identity().strict_variables();
                let request = Request { requester, action, resource, facts: &facts, strict_variables };
                let decision = request.explain(&layers);
                results.push((format!("{:06}", results.len()), result(action, resource, &decision)));
            }
        }
        let filter = format!("{} {} {}", principal.arn, actions.join(","), resources.join(","));
        self.listing("EvaluationResults", &filter, results)
    }
}

fn result(action: &str, resource: &str, decision: &Decision) -> Value {
    let matched: Vec<Value> = decision
        .matched
        .iter()
        .filter(|matched| (matched.effect == Effect::Allow) == decision.is_allowed())
        .map(|matched| json!({"SourcePolicyId": matched.policy.as_str(), "SourcePolicyType": "IAM Policy"}))
        .collect();
    json!({
        "EvalActionName": action,
        "EvalResourceName": resource,
        "EvalDecision": match decision.outcome {
            Outcome::Allowed => "allowed",
            Outcome::ExplicitDeny(_) => "explicitDeny",
            Outcome::ImplicitDeny(_) => "implicitDeny",
        },
        "MatchedStatements": matched,
        "MissingContextValues": decision.missing.iter().map(SmolStr::as_str).collect::<Vec<_>>(),
    })
}
