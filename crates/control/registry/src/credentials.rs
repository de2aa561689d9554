//! The credentials provider: a device turns its certificate into a role's temporary credentials (CP 6.1).
//!
//! Certificate ACTIVE (the gate) -> named thing attached -> `iot:AssumeRoleWithCertificate` on the role alias -> the role
//! trusts `credentials.iot.amazonaws.com` -> a session that knows thing, thing type and certificate. The audit record of the
//! exchange names the certificate.
//!
//! A core says for which of its components it asks (`x-marram-session-for`), and what bounds that component
//! (`x-marram-session-policy`, base64). Such a session bears the component's name and the key `marram:Component`, and so does every
//! session begun from it (SEC-134). Without the header it is as in the original: a session of the core itself.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use marram_aws_api::{ApiError, Operation, ServiceId};
use marram_identity::{
    BoxFuture, COMPONENT_KEY, CallContext, Identity, PrincipalKind, Service, ServiceAssume, SessionBounds,
};
use marram_types::{RoleAliasName, ThingName};
use serde_json::{Value, json};

use crate::input::Input;
use crate::realm::{Realm, shown};
use crate::role_alias::{ASSUMED_BY, find_role_alias};
use crate::thing;

/// Header of the component that a session is for.
const COMPONENT_HEADER: &str = "x-marram-session-for";
/// Header of the policy that bounds it.
const POLICY_HEADER: &str = "x-marram-session-policy";
/// Longest name of a component (core-runtime 1.2).
const COMPONENT_MAX: usize = 128;
/// Longest and shortest name of a session (control-plane-api.md section 3.6).
const SESSION_NAME: std::ops::RangeInclusive<usize> = 2..=64;
/// Hex digits that tell names apart whose beginnings are the same.
const HASH_DIGITS: usize = 16;

/// Answers `GET /role-aliases/{alias}/credentials`. A cheap clone.
#[derive(Clone, Debug)]
pub struct CredentialsService {
    identity: Identity,
}

impl CredentialsService {
    /// A provider of sessions of these identities.
    pub fn new(identity: Identity) -> Self {
        Self { identity }
    }

    async fn assume(&self, ctx: &CallContext, input: Input) -> Result<Value, ApiError> {
        let PrincipalKind::Device { certificate_id, things } = &ctx.principal.kind else {
            return Err(ApiError::access_denied("Credentials are given for a client certificate"));
        };
        let realm = Realm::of(ctx);
        let alias: RoleAliasName = input.parse("roleAlias")?;
        let named: Option<ThingName> = input.parse_opt("thingName")?;
        if let Some(name) = named.as_ref().filter(|name| !things.iter().any(|thing| thing == name.as_str())) {
            return Err(ApiError::access_denied(format!("Thing {name} is not attached to the certificate")));
        }
        let component = input.text("component").map(component_name).transpose()?;
        let policy = input.text("sessionPolicy").map(session_policy).transpose()?;
        if policy.is_some() && component.is_none() {
            return Err(ApiError::invalid_request(format!("{POLICY_HEADER} needs {COMPONENT_HEADER}")));
        }
        let grant = ctx.authorize(ctx.operation.iam_action, &realm.arn(format_args!("rolealias/{alias}")), |_| ())?;
        // Without the header the only thing there is; several without a name give no thing keys.
        let thing = named.map(|name| name.to_string()).or_else(|| match &things[..] {
            [only] => Some(only.to_string()),
            _ => None,
        });
        let (alias, thing_type) = ctx.read(|snapshot| {
            let found = find_role_alias(snapshot, &realm, &alias)?
                .ok_or_else(|| ApiError::not_found(format!("Role alias {} does not exist", shown(alias.as_str()))))?;
            let row = thing.as_deref().map(|name| thing::find(snapshot, &realm, name)).transpose()?.flatten();
            Ok((found, row.and_then(|row| row.type_name)))
        })?;
        let mut facts = vec![("credentials-iot:AwsCertificateId", certificate_id.as_str())];
        facts.extend(thing.as_deref().map(|name| ("credentials-iot:ThingName", name)));
        facts.extend(thing_type.as_deref().map(|name| ("credentials-iot:ThingTypeName", name)));
        facts.extend(component.map(|name| (COMPONENT_KEY, name)));
        let named_after = component.map(session_name);
        let asked = ServiceAssume {
            account: &realm.account,
            region: &realm.region,
            role_arn: &alias.role_arn,
            service: ASSUMED_BY,
            // The certificate id is 64 characters: as long as a session name may be.
            session_name: named_after.as_deref().unwrap_or(certificate_id),
            source_arn: &alias.arn,
            duration: Duration::from_secs(alias.duration_secs.unsigned_abs()),
            session_facts: &facts,
        };
        // Which core it was stays on every record of the session, and of those begun from it.
        let source_identity = component.is_some().then_some(certificate_id.as_str());
        let bounds = SessionBounds { source_identity, policy: policy.as_deref() };
        let assumed = self.identity.assume_bounded_role(ctx, grant, &asked, &bounds).await?;
        let credentials = &assumed.temporary.credentials;
        Ok(json!({"credentials": {
            "accessKeyId": credentials.access_key_id,
            "secretAccessKey": credentials.secret.expose(),
            "sessionToken": credentials.session_token,
            "expiration": assumed.temporary.expires.rfc3339(),
        }}))
    }
}

impl Service for CredentialsService {
    fn id(&self) -> ServiceId {
        ServiceId::Iot
    }

    fn offers(&self, operation: &'static Operation) -> bool {
        operation.service == ServiceId::Iot && operation.name == "AssumeRoleWithCertificate"
    }

    fn call<'a>(
        &'a self,
        ctx: &'a CallContext,
        _: &'static Operation,
        input: Value,
    ) -> BoxFuture<'a, Result<Value, ApiError>> {
        Box::pin(async move { self.assume(ctx, Input::new(input)?).await })
    }
}

/// A component's name as a core sends it. It becomes a condition value, a session's name and part of ARNs.
fn component_name(name: &str) -> Result<&str, ApiError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=COMPONENT_MAX).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(name);
    }
    Err(ApiError::invalid_request(format!("{COMPONENT_HEADER} is not the name of a component")))
}

/// The document of the header. What it says is checked where the session begins.
fn session_policy(encoded: &str) -> Result<String, ApiError> {
    let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.ok_or_else(|| ApiError::invalid_request(format!("{POLICY_HEADER} is not base64 of a text")))
}

/// The component as far as a session's name can tell it. `=` is in no component's name, so no two components share one.
fn session_name(component: &str) -> String {
    if component.len() > *SESSION_NAME.end() {
        let hash = hex::encode(digest(&SHA256, component.as_bytes()));
        let kept = SESSION_NAME.end() - HASH_DIGITS - 1;
        return format!("{}={}", &component[..kept], &hash[..HASH_DIGITS]);
    }
    if component.len() < *SESSION_NAME.start() { format!("{component}=") } else { component.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEC-134: every component has a session name of its own that STS takes, whatever the length of its name.
    #[test]
    fn session_names_fit_and_differ() {
        let long = "c".repeat(COMPONENT_MAX);
        let (fits, one_more) = (&long[..64], &long[..65]);
        let names = ["a", "aa", "A", fits, one_more, &long, "com.example.Press"];
        let sessions: std::collections::BTreeSet<String> = names.iter().map(|name| session_name(name)).collect();
        assert_eq!(sessions.len(), names.len());
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        assert!(
            sessions.iter().all(|name| SESSION_NAME.contains(&name.len()) && name.chars().all(allowed)),
            "{sessions:?}"
        );
        assert_eq!(session_name("com.example.Press"), "com.example.Press");
        for wrong in ["", "a b", "a=", "a\u{e9}", "a/b", &"c".repeat(COMPONENT_MAX + 1)] {
            assert!(component_name(wrong).is_err(), "{wrong}");
        }
    }
}
