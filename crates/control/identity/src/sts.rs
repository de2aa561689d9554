//! STS: who am I, and temporary credentials.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use marram_audit::{AuditRecord, Decision as Recorded};
use marram_authz::{ConditionValues, Layers, Outcome, Policy, PolicyKind, Request};
use marram_aws_api::{ApiError, Operation, ServiceId};
use marram_store::{Tx, params};
use marram_types::{AccountId, Region, RequestId, Timestamp};
use serde_json::{Value, json};
use smol_str::SmolStr;

use crate::context::{CallContext, denial};
use crate::directory::{Directory, Held};
use crate::error::CallError;
use crate::facts::CallFactsView;
use crate::gate::principal_of;
use crate::iam::args::Args;
use crate::identity::Identity;
use crate::model::{Role, fold};
use crate::principal::{COMPONENT_KEY, Principal, PrincipalKind};
use crate::service::{BoxFuture, Service};
use crate::session::{Claims, Issuer, KeptSession, SessionDocuments, TemporaryCredentials, compile_documents};

/// Shortest session (control-plane-api.md section 3.6).
const MIN_SESSION_SECS: i64 = 900;
/// Length of a session unless asked otherwise, and longest one when roles are chained.
const DEFAULT_SESSION_SECS: i64 = 3600;
/// Length of a GetSessionToken session unless asked otherwise; root's are an hour at most.
const TOKEN_SESSION_SECS: i64 = 43_200;
/// Longest GetSessionToken session.
const MAX_TOKEN_SESSION_SECS: i64 = 129_600;
/// Most managed policies a session can be started with.
const MAX_SESSION_POLICY_ARNS: usize = 10;
/// Longest inline session policy, in characters.
const MAX_SESSION_POLICY_CHARS: usize = 2048;
/// Most session tags.
const MAX_SESSION_TAGS: usize = 50;

/// Answers the operations of STS.
#[derive(Clone, Debug)]
pub struct StsService {
    identity: Identity,
}

/// A role assumed by one of our services.
#[derive(Clone, Debug)]
pub struct AssumedRole {
    /// The session, ready for [`Identity::context`].
    pub principal: Principal,
    /// Credentials of the session, for calls over HTTP and for devices.
    pub temporary: TemporaryCredentials,
}

/// What one of our services assumes a role for.
#[derive(Clone, Debug)]
pub struct ServiceAssume<'a> {
    /// Account on whose behalf it works; the role must be this account's own.
    pub account: &'a AccountId,
    /// Region it works in.
    pub region: &'a Region,
    /// ARN of the role.
    pub role_arn: &'a str,
    /// The service's host name: `iotthingsgraph.amazonaws.com`.
    pub service: &'a str,
    /// Name of the session, 2 to 64 characters of `[\w+=,.@-]`.
    pub session_name: &'a str,
    /// ARN of the resource the work is for: deployment, rule, role alias. Becomes `aws:SourceArn`.
    pub source_arn: &'a str,
    /// Life of the session, within 15 minutes and the role's maximum.
    pub duration: Duration,
    /// Keys for the trust policy and for the session's own policies: `credentials-iot:ThingName`.
    pub session_facts: &'a [(&'a str, &'a str)],
}

/// What marks and bounds a session beyond the role (SEC-134).
#[derive(Clone, Copy, Debug, Default)]
pub struct SessionBounds<'a> {
    /// `SourceIdentity`: stays with every session begun from this one.
    pub source_identity: Option<&'a str>,
    /// A session policy: the session may do what both the role and this document allow.
    pub policy: Option<&'a str>,
}

impl StsService {
    /// STS over these identities.
    pub fn new(identity: Identity) -> StsService {
        StsService { identity }
    }

    async fn answer(&self, ctx: &CallContext, operation: &Operation, input: &Value) -> Result<Value, ApiError> {
        let args = Args::new(input);
        match operation.name {
            "GetCallerIdentity" => self.get_caller_identity(ctx),
            "AssumeRole" => self.assume_role(ctx, &args).await,
            "GetSessionToken" => self.get_session_token(ctx, &args).await,
            "GetAccessKeyInfo" => self.get_access_key_info(ctx, &args),
            name => Err(ApiError::not_supported(name)),
        }
    }

    /// Never denied (control-plane-api.md section 3.4).
    fn get_caller_identity(&self, ctx: &CallContext) -> Result<Value, ApiError> {
        let _ = ctx.authorize("sts:GetCallerIdentity", "*", |_| {})?;
        Ok(json!({
            "UserId": ctx.principal.unique_id.as_str(),
            "Account": ctx.account.as_str(),
            "Arn": ctx.principal.arn.as_str(),
        }))
    }

    /// Answers for the caller's own keys; keys of other accounts look like keys nobody has.
    fn get_access_key_info(&self, ctx: &CallContext, args: &Args<'_>) -> Result<Value, ApiError> {
        let _ = ctx.authorize("sts:GetAccessKeyInfo", "*", |_| {})?;
        let id = args.text("AccessKeyId")?;
        let directory = self.identity.directory();
        let own = directory.keys.get(id).filter(|key| key.account == ctx.account);
        let key = own.ok_or_else(|| ApiError::validation("The access key ID is not known."))?;
        Ok(json!({"Account": key.account.as_str()}))
    }

    async fn assume_role(&self, ctx: &CallContext, args: &Args<'_>) -> Result<Value, ApiError> {
        const ACTION: &str = "sts:AssumeRole";
        let role_arn = args.text("RoleArn")?;
        let session_name = args.text("RoleSessionName")?;
        check_session_name(session_name)?;
        let tags = args.tags("Tags")?;
        check_tags(&tags)?;
        let source_identity = args.opt("SourceIdentity").map(str::to_owned).or_else(|| {
            // A source identity, once set, stays with every session begun from this one.
            ctx.principal.source_identity.as_ref().map(ToString::to_string)
        });
        if ctx.principal.is_root() {
            ctx.note(role_arn, Recorded::ImplicitDeny, Vec::new());
            return Err(ApiError::access_denied("Roles may not be assumed by root accounts."));
        }
        let directory = self.identity.directory();
        let found = role_account(role_arn).and_then(|account| {
            let dir = directory.account(&account)?;
            dir.role_by_arn(role_arn).map(|role| (account, role.clone()))
        });
        let denied = |outcome| denial(&ctx.principal.arn, ACTION, role_arn, outcome);
        let missing = Outcome::ImplicitDeny(marram_authz::Layer::Identity);
        // A role that does not exist looks like one that may not be assumed.
        let Some((account, role)) = found else {
            ctx.note(role_arn, Recorded::ImplicitDeny, Vec::new());
            return Err(denied(missing));
        };
        let mut values = ConditionValues::new();
        values.set("sts:RoleSessionName", session_name);
        if let Some(external) = args.opt("ExternalId") {
            values.set("sts:ExternalId", external);
        }
        if let Some(source) = &source_identity {
            values.set("sts:SourceIdentity", source.as_str());
        }
        let transitive = args.list("TransitiveTagKeys")?;
        if !tags.is_empty() {
            values.request_tags(tags.iter().map(|(k, v)| (k.as_str(), v.as_str())));
            values.set_all("sts:TransitiveTagKeys", transitive.iter().map(String::as_str));
        }
        values.resource_tags(role.entity.tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str())));
        let trust = role.trust.as_deref().ok_or_else(ApiError::internal)?;
        let mut actions = vec![ACTION];
        if !tags.is_empty() {
            actions.push("sts:TagSession");
        }
        if args.opt("SourceIdentity").is_some() {
            actions.push("sts:SetSourceIdentity");
        }
        for action in actions {
            let decision = ctx.evaluate_against(action, role_arn, &values, Some((trust, account.as_str())));
            let matched = decision.matched.iter().map(|m| format!("{}#{}", m.policy, m.statement)).collect();
            if !decision.is_allowed() {
                let explicit = matches!(decision.outcome, Outcome::ExplicitDeny(_));
                let recorded = if explicit { Recorded::ExplicitDeny } else { Recorded::ImplicitDeny };
                ctx.note(role_arn, recorded, matched);
                // Which side refused is the role owner's business, not the caller's.
                let outcome = if explicit { Outcome::ExplicitDeny(marram_authz::Layer::Identity) } else { missing };
                return Err(denial(&ctx.principal.arn, action, role_arn, outcome));
            }
            ctx.note(role_arn, Recorded::Allowed, matched);
        }
        let chained = matches!(ctx.principal.kind, PrincipalKind::RoleSession { .. });
        let longest = if chained { DEFAULT_SESSION_SECS } else { i64::from(role.entity.max_session_secs) };
        let duration = args.number("DurationSeconds")?.unwrap_or(DEFAULT_SESSION_SECS.min(longest));
        if duration < MIN_SESSION_SECS || duration > longest {
            let text = if chained {
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
            } else {
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
            };
            return Err(ApiError::validation(text));
        }
        let documents = self.session_documents(&directory, &account, args)?;
        let mut session_tags: BTreeMap<String, String> = BTreeMap::new();
        if chained {
            // Tags marked transitive pass on; they are not asked for again and cannot be replaced.
            session_tags.extend(self.transitive_tags(ctx));
        }
        for (key, value) in tags {
            if session_tags.keys().any(|known| known.eq_ignore_ascii_case(&key)) {
                return Err(ApiError::new(
                    "InvalidParameterValue",
                    400,
                    "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key \
                     from the calling session.",
                ));
            }
            session_tags.insert(key, value);
        }
        let mut passing_on: Vec<String> = transitive;
        passing_on.extend(ctx.principal.transitive.iter().map(ToString::to_string).filter(|_| chained));
        let began = ctx.now.as_secs();
        let claims = Claims {
            account: account.clone(),
            issuer: Issuer::Role(fold(&role.entity.name), role.entity.id.clone(), session_name.to_owned()),
            began,
            expires: began + duration,
            mfa_at: None,
            source_identity,
            tags: session_tags,
            transitive: passing_on,
            facts: lasting_facts(&ctx.principal),
            has_policies: documents.is_some(),
        };
        let grant = ctx.granted();
        let (temporary, packed) = issue(&claims, &self.identity)?;
        let assumed = format!(
            "arn:{}:sts::{account}:assumed-role/{}/{session_name}",
            self.identity.partition(),
            role.entity.name
        );
        let mut output = json!({
            "Credentials": credentials_json(&temporary),
            "AssumedRoleUser": {"AssumedRoleId": format!("{}:{session_name}", role.entity.id), "Arn": assumed},
            "PackedPolicySize": packed,
        });
        if let Some(source) = &claims.source_identity {
            output["SourceIdentity"] = source.as_str().into();
        }
        self.store_session(ctx, grant, &temporary, &claims, documents, output).await
    }

    async fn get_session_token(&self, ctx: &CallContext, args: &Args<'_>) -> Result<Value, ApiError> {
        // Needs no permission, but a long-term identity (a session cannot renew itself).
        let issuer = match &ctx.principal.kind {
            _ if ctx.principal.session_started.is_some() => None,
            PrincipalKind::Root => Some((Issuer::Root, DEFAULT_SESSION_SECS)),
            PrincipalKind::User { name } => {
                Some((Issuer::User(fold(name), ctx.principal.unique_id.to_string()), MAX_TOKEN_SESSION_SECS))
            }
            _ => None,
        };
        let Some((issuer, longest)) = issuer else {
            return Err(ApiError::access_denied("Cannot call GetSessionToken with session credentials"));
        };
        if args.opt("SerialNumber").is_some() || args.opt("TokenCode").is_some() {
            // There are no MFA devices yet, so no code can be right.
            return Err(ApiError::access_denied(
                "MultiFactorAuthentication failed with invalid MFA one time pass code.",
            ));
        }
        let duration = args.number("DurationSeconds")?.unwrap_or(TOKEN_SESSION_SECS).min(longest);
        if duration < MIN_SESSION_SECS {
            return Err(ApiError::validation("DurationSeconds must be at least 900."));
        }
        let began = ctx.now.as_secs();
        let claims = Claims {
            account: ctx.account.clone(),
            issuer,
            began,
            expires: began + duration,
            mfa_at: None,
            source_identity: None,
            tags: BTreeMap::new(),
            transitive: Vec::new(),
            facts: BTreeMap::new(),
            has_policies: false,
        };
        ctx.note("*", Recorded::Allowed, Vec::new());
        let (temporary, _) = issue(&claims, &self.identity)?;
        let output = json!({"Credentials": credentials_json(&temporary)});
        self.store_session(ctx, ctx.granted(), &temporary, &claims, None, output).await
    }

    fn transitive_tags(&self, ctx: &CallContext) -> Vec<(String, String)> {
        let passes = |key: &SmolStr| ctx.principal.transitive.iter().any(|t| t.eq_ignore_ascii_case(key));
        let tags = ctx.principal.tags.iter().filter(|(key, _)| passes(key));
        tags.map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    /// The policies a session is started with; `None` without any.
    fn session_documents(
        &self,
        directory: &Directory,
        account: &AccountId,
        args: &Args<'_>,
    ) -> Result<Option<SessionDocuments>, ApiError> {
        let mut documents: SessionDocuments = Vec::new();
        if let Some(text) = args.opt("Policy") {
            check_session_policy(text)?;
            documents.push(("session".to_owned(), text.to_owned()));
        }
        let arns = args.structures("PolicyArns")?;
        if arns.len() > MAX_SESSION_POLICY_ARNS {
            return Err(packed_too_large(100));
        }
        let dir = directory.account(account).ok_or_else(ApiError::internal)?;
        for entry in arns {
            let arn = entry.text("arn")?;
            let document = match dir.policy(arn) {
                Some(held) => {
                    held.entity.versions.get(&held.entity.default_version).map(|version| version.document.clone())
                }
                None => crate::managed::find(self.identity.partition().as_str(), arn).map(|p| p.document.to_owned()),
            };
            let text = document.ok_or_else(|| ApiError::validation(format!("Policy {arn} does not exist.")))?;
            documents.push((arn.to_owned(), text));
        }
        Ok((!documents.is_empty()).then_some(documents))
    }

    async fn store_session(
        &self,
        ctx: &CallContext,
        grant: crate::context::Grant,
        temporary: &TemporaryCredentials,
        claims: &Claims,
        documents: Option<SessionDocuments>,
        output: Value,
    ) -> Result<Value, ApiError> {
        let identity = self.identity.clone();
        let id = SmolStr::new(&temporary.credentials.access_key_id);
        let (now, expires) = (ctx.now, temporary.expires);
        let (account, issuer) = (claims.account.clone(), claims.issuer.id().to_owned());
        ctx.commit(grant, move |tx| {
            tx.execute("DELETE FROM sts_session WHERE expires_at < $1", params![now])?;
            if let Some(documents) = documents {
                keep_documents(tx, identity, id, (account, issuer), (now, expires), &documents)?;
            }
            Ok(output)
        })
        .await
    }
}

/// Stores the policies of a session by its key id, and knows them once they are durable. `of`: account and issuer; `times`: now and end.
fn keep_documents(
    tx: &mut Tx<'_>,
    identity: Identity,
    id: SmolStr,
    of: (AccountId, String),
    times: (Timestamp, Timestamp),
    documents: &SessionDocuments,
) -> Result<(), CallError> {
    let policies = compile_documents(documents).ok_or_else(ApiError::internal)?;
    let text = serde_json::to_string(documents).map_err(|_| ApiError::internal())?;
    let ((account, issuer), (now, expires)) = (of, times);
    tx.execute(
        "INSERT INTO sts_session (access_key_id, account, issuer_id, created_at, expires_at, policies, revoked)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        params![id, account, issuer, now, expires, text, false],
    )?;
    tx.after_commit(move || {
        identity.keep_session(id, KeptSession { policies, revoked: false, expires });
    });
    Ok(())
}

/// What a session hands on to those begun from it, whatever they ask for: the component it belongs to.
fn lasting_facts(principal: &Principal) -> BTreeMap<String, String> {
    let component = principal.component();
    component.map(|component| (COMPONENT_KEY.to_owned(), component.to_string())).into_iter().collect()
}

impl Service for StsService {
    fn id(&self) -> ServiceId {
        ServiceId::Sts
    }

    fn call<'a>(
        &'a self,
        ctx: &'a CallContext,
        operation: &'static Operation,
        input: Value,
    ) -> BoxFuture<'a, Result<Value, ApiError>> {
        Box::pin(async move { self.answer(ctx, operation, &input).await })
    }
}

impl Identity {
    /// Assumes a role in the name of one of our services. The trust policy must name the service; it sees
    /// `aws:SourceArn` and `aws:SourceAccount` of the work the role is assumed for (SEC-104).
    ///
    /// # Errors
    /// `AccessDeniedException`, the same whether the role is missing, of another account, or does not trust the service.
    pub fn assume_service_role(&self, asked: &ServiceAssume<'_>) -> Result<AssumedRole, ApiError> {
        self.begin_session(asked, &SessionBounds::default()).map(|(assumed, _)| assumed)
    }

    /// As [`Identity::assume_service_role`], with bounds. A session policy is kept beside the session, which spends the grant of the
    /// call that asked for it.
    ///
    /// # Errors
    /// As there; `MalformedPolicyDocument` and `PackedPolicyTooLarge` about the policy; the store's.
    pub async fn assume_bounded_role(
        &self,
        ctx: &CallContext,
        grant: crate::context::Grant,
        asked: &ServiceAssume<'_>,
        bounds: &SessionBounds<'_>,
    ) -> Result<AssumedRole, ApiError> {
        let (assumed, claims) = self.begin_session(asked, bounds)?;
        let Some(policy) = bounds.policy else { return Ok(assumed) };
        let documents: SessionDocuments = vec![("session".to_owned(), policy.to_owned())];
        let identity = self.clone();
        let id = SmolStr::new(&assumed.temporary.credentials.access_key_id);
        let of = (claims.account.clone(), claims.issuer.id().to_owned());
        let times = (ctx.now, assumed.temporary.expires);
        ctx.commit(grant, move |tx| {
            tx.execute("DELETE FROM sts_session WHERE expires_at < $1", params![times.0])?;
            keep_documents(tx, identity, id, of, times, &documents)
        })
        .await?;
        Ok(assumed)
    }

    fn begin_session(
        &self,
        asked: &ServiceAssume<'_>,
        bounds: &SessionBounds<'_>,
    ) -> Result<(AssumedRole, Claims), ApiError> {
        const ACTION: &str = "sts:AssumeRole";
        check_session_name(asked.session_name)?;
        let policies = bounds.policy.map(check_session_policy).transpose()?;
        let now = self.now();
        let directory = self.directory();
        let own = role_account(asked.role_arn).filter(|account| account == asked.account);
        let role = own.and_then(|account| directory.account(&account)?.role_by_arn(asked.role_arn).cloned());
        let outcome = self.service_decision(asked, role.as_deref(), now);
        let service = Principal::service(asked.account.clone(), asked.service);
        let mut record = AuditRecord::new(
            asked.account.clone(),
            asked.region.clone(),
            now,
            "sts.amazonaws.com",
            "AssumeRole",
            service.user_identity(),
        );
        record.source_ip_address = asked.service.to_owned();
        record.user_agent = asked.service.to_owned();
        record.request_id = Some(RequestId::fresh());
        record.request_parameters = json!({
            "roleArn": asked.role_arn,
            "roleSessionName": asked.session_name,
            "sourceArn": asked.source_arn,
        });
        if let Some(source) = bounds.source_identity {
            record.request_parameters["sourceIdentity"] = source.into();
        }
        if let Some(policy) = bounds.policy {
            record.request_parameters["policy"] = policy.into();
        }
        // On whose behalf: for credentials of a device its certificate and thing (CP 6.1).
        for (key, value) in asked.session_facts {
            record.additional.insert((*key).to_owned(), (*value).into());
        }
        let (Some(role), Outcome::Allowed) = (role, outcome) else {
            let error =
                denial(asked.service, ACTION, asked.role_arn, Outcome::ImplicitDeny(marram_authz::Layer::Identity));
            record.decision = if matches!(outcome, Outcome::ExplicitDeny(_)) {
                Recorded::ExplicitDeny
            } else {
                Recorded::ImplicitDeny
            };
            record.error = Some((error.code.to_string(), error.message.clone()));
            self.audit().enqueue(record);
            return Err(error);
        };
        let longest = i64::from(role.entity.max_session_secs);
        let duration = i64::try_from(asked.duration.as_secs()).unwrap_or(longest).clamp(MIN_SESSION_SECS, longest);
        let began = now.as_secs();
        let claims = Claims {
            account: asked.account.clone(),
            issuer: Issuer::Role(fold(&role.entity.name), role.entity.id.clone(), asked.session_name.to_owned()),
            began,
            expires: began + duration,
            mfa_at: None,
            source_identity: bounds.source_identity.map(str::to_owned),
            tags: BTreeMap::new(),
            transitive: Vec::new(),
            facts: asked.session_facts.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            has_policies: bounds.policy.is_some(),
        };
        let (temporary, _) = issue(&claims, self)?;
        let mut principal =
            principal_of(&directory, &claims, self.partition().as_str()).ok_or_else(ApiError::internal)?;
        principal.access_key_id = Some(SmolStr::new(&temporary.credentials.access_key_id));
        principal.authority.session = policies.map(|policy| [Arc::new(policy)].into());
        record.response_elements = json!({
            "assumedRoleUser": {"arn": principal.arn.as_str()},
            "credentials": {"accessKeyId": temporary.credentials.access_key_id, "expiration": temporary.expires.rfc3339()},
        });
        self.audit().enqueue(record);
        Ok((AssumedRole { principal, temporary }, claims))
    }

    /// Whether [`Identity::assume_service_role`] would succeed now. Issues nothing, records nothing: for services that
    /// check a role when they are given one.
    pub fn service_may_assume(&self, asked: &ServiceAssume<'_>) -> bool {
        let directory = self.directory();
        let own = role_account(asked.role_arn).filter(|account| account == asked.account);
        let role = own.and_then(|account| directory.account(&account)?.role_by_arn(asked.role_arn).cloned());
        matches!(self.service_decision(asked, role.as_deref(), self.now()), Outcome::Allowed)
    }

    fn service_decision(&self, asked: &ServiceAssume<'_>, role: Option<&Held<Role>>, now: Timestamp) -> Outcome {
        let nobody = Outcome::ImplicitDeny(marram_authz::Layer::Resource);
        let Some(trust) = role.and_then(|role| role.trust.as_deref()) else { return nobody };
        let mut values = ConditionValues::new();
        for (key, value) in asked.session_facts {
            values.set(key, *value);
        }
        values
            .set("aws:SourceArn", asked.source_arn)
            .set("aws:SourceAccount", asked.account.as_str())
            .set("sts:RoleSessionName", asked.session_name);
        let principal = Principal::service(asked.account.clone(), asked.service);
        let facts = CallFactsView {
            values: &values,
            principal: &principal,
            region: asked.region,
            now,
            source_ip: None,
            user_agent: "",
            resource: asked.role_arn,
            called_via: None,
        };
        let layers = Layers { resource: Some((trust, asked.account.as_str())), ..Layers::default() };
        let request = Request {
            requester: principal.requester(),
            action: "sts:AssumeRole",
            resource: asked.role_arn,
            facts: &facts,
            strict_variables: self.strict_variables(),
        };
        request.decide(&layers).outcome
    }
}

/// The account in the ARN of a role.
fn role_account(arn: &str) -> Option<AccountId> {
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    match fields.as_slice() {
        ["arn", _, "iam", "", account, resource] if resource.starts_with("role/") => account.parse().ok(),
        _ => None,
    }
}

fn check_session_name(name: &str) -> Result<(), ApiError> {
    let good = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    let length = name.chars().count();
    if (2..=64).contains(&length) && name.chars().all(good) {
        return Ok(());
    }
    Err(ApiError::validation(
        "1 validation error detected: Value at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular \
         expression pattern: [\\w+=,.@-]* and have length between 2 and 64",
    ))
}

fn check_session_policy(text: &str) -> Result<Policy, ApiError> {
    if text.chars().count() > MAX_SESSION_POLICY_CHARS {
        return Err(packed_too_large(100));
    }
    Policy::parse(PolicyKind::Identity, "session", text)
        .map_err(|error| ApiError::malformed_policy_document(error.reason))
}

fn check_tags(tags: &[(String, String)]) -> Result<(), ApiError> {
    if tags.len() > MAX_SESSION_TAGS {
        return Err(packed_too_large(100));
    }
    for (index, (key, _)) in tags.iter().enumerate() {
        if key.to_lowercase().starts_with("aws:") {
            return Err(ApiError::validation("Tag keys beginning with aws: are reserved."));
        }
        if tags.iter().take(index).any(|(earlier, _)| earlier.to_lowercase() == key.to_lowercase()) {
            return Err(ApiError::new(
                "InvalidParameterValue",
                400,
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
            ));
        }
    }
    Ok(())
}

fn issue(claims: &Claims, identity: &Identity) -> Result<(TemporaryCredentials, u64), ApiError> {
    claims.issue(identity.keyring()).map_err(|too_long| packed_too_large(too_long.percent))
}

fn packed_too_large(percent: u64) -> ApiError {
    ApiError::new(
        "PackedPolicyTooLarge",
        400,
        format!("Packed size of session tags and policies consumes {percent}% of allotted space."),
    )
}

fn credentials_json(temporary: &TemporaryCredentials) -> Value {
    json!({
        "AccessKeyId": temporary.credentials.access_key_id,
        "SecretAccessKey": temporary.credentials.secret.expose(),
        "SessionToken": temporary.credentials.session_token,
        "Expiration": temporary.expires.as_secs(),
    })
}
