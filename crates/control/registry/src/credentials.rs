//! The credentials provider: a device turns its certificate into a role's temporary credentials (CP 6.1).
//!
//! Certificate ACTIVE (the gate) -> named thing attached -> `iot:AssumeRoleWithCertificate` on the role alias -> the role
//! trusts `credentials.iot.amazonaws.com` -> a session that knows thing, thing type and certificate. The audit record of the
//! exchange names the certificate.

use std::time::Duration;

use marram_aws_api::{ApiError, Operation, ServiceId};
use marram_identity::{BoxFuture, CallContext, Identity, PrincipalKind, Service, ServiceAssume};
use marram_types::{RoleAliasName, ThingName};
use serde_json::{Value, json};

use crate::input::Input;
use crate::realm::{Realm, shown};
use crate::role_alias::{ASSUMED_BY, find_role_alias};
use crate::thing;

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
        drop(ctx.authorize(ctx.operation.iam_action, &realm.arn(format_args!("rolealias/{alias}")), |_| ())?);
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
        let assumed = self.identity.assume_service_role(&ServiceAssume {
            account: &realm.account,
            region: &realm.region,
            role_arn: &alias.role_arn,
            service: ASSUMED_BY,
            // The certificate id is 64 characters: as long as a session name may be.
            session_name: certificate_id,
            source_arn: &alias.arn,
            duration: Duration::from_secs(alias.duration_secs.unsigned_abs()),
            session_facts: &facts,
        })?;
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
