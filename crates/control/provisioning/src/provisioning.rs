//! The handle: what operations and topics share.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use marram_aws_api::{ApiError, ServiceId};
use marram_identity::{CallFacts, Identity, Principal, Service, ServiceAssume, SystemContext, TlsDetails};
use marram_registry::{Realm, Registry, remove_certificate};
use marram_store::params;
use marram_types::{RequestId, Timestamp};
use serde_json::Value;

/// Who works when no caller of the API does, and whom the roles of templates trust.
pub(crate) const ACTOR: &str = "iot.amazonaws.com";
/// Life of a role session that makes what one template asks for.
const SESSION: Duration = Duration::from_secs(900);
/// How often certificates that nobody took are looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// Provisioning of every account. A cheap clone.
#[derive(Clone, Debug)]
pub struct Provisioning {
    identity: Identity,
    registry: Registry,
}

impl Provisioning {
    /// Provisioning into `registry`; the tables must have been migrated ([`crate::MIGRATIONS`]). Spawn
    /// [`Provisioning::run`] once.
    pub fn new(identity: Identity, registry: Registry) -> Self {
        Self { identity, registry }
    }

    /// Deletes certificates whose ownership token or claim expired unused; runs until dropped.
    pub async fn run(&self) {
        loop {
            if let Err(error) = self.sweep().await {
                tracing::error!(%error, "certificates that nobody took stay for another minute");
            }
            tokio::time::sleep(SWEEP).await;
        }
    }

    async fn sweep(&self) -> Result<(), ApiError> {
        let now = self.identity.now();
        for account in self.identity.accounts() {
            for region in self.identity.regions() {
                let partition = self.identity.partition().clone();
                let realm = Realm { partition, account: account.clone(), region: region.clone() };
                let system = self.system(&realm);
                let due = system.read(|snapshot| {
                    snapshot.query_opt(
                        "SELECT 1 FROM iot_certificate_ownership WHERE account = $1 AND region = $2 AND expires_at < $3 LIMIT 1",
                        params![realm.account, realm.region, now],
                        |row| Ok::<_, marram_identity::CallError>(row.get::<i64>(0)?),
                    )
                })?;
                if due.is_none() {
                    continue;
                }
                let registry = self.registry.clone();
                system
                    .commit("DeleteUnclaimedCertificates", move |tx| {
                        let expired = tx.query_all(
                            "SELECT certificate FROM iot_certificate_ownership
                             WHERE account = $1 AND region = $2 AND expires_at < $3 LIMIT 1000",
                            params![realm.account, realm.region, now],
                            |row| Ok::<_, marram_identity::CallError>(row.get::<String>(0)?),
                        )?;
                        for certificate in expired {
                            tx.execute(
                                "DELETE FROM iot_certificate_ownership
                                 WHERE account = $1 AND region = $2 AND certificate = $3",
                                params![realm.account, realm.region, certificate],
                            )?;
                            remove_certificate(&registry, tx, &realm, &certificate)?;
                        }
                        Ok(())
                    })
                    .await?;
            }
        }
        Ok(())
    }

    /// The principal that a template's role gives: only what it may, a template can.
    /// `source` names the template or the CA it is assumed for.
    pub(crate) fn assume(&self, realm: &Realm, role_arn: &str, source: &str) -> Result<Principal, ApiError> {
        let source = realm.arn(source);
        let assumed = self.identity.assume_service_role(&ServiceAssume {
            account: &realm.account,
            region: &realm.region,
            role_arn,
            service: ACTOR,
            session_name: "provisioning",
            source_arn: &source,
            duration: SESSION,
            session_facts: &[],
        })?;
        Ok(assumed.principal)
    }

    /// One registry operation in the name of `principal`: authorized and audited like a call from outside.
    pub(crate) async fn call(
        &self,
        realm: &Realm,
        principal: &Principal,
        name: &'static str,
        input: Value,
    ) -> Result<Value, ApiError> {
        let operation = ServiceId::Iot.operation(name).ok_or_else(ApiError::unknown_operation)?;
        let shape = operation.input;
        let facts = CallFacts {
            region: realm.region.clone(),
            request_id: RequestId::fresh(),
            source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            user_agent: ACTOR.to_owned(),
            now: self.identity.now(),
            operation,
            request_parameters: shape.map_or(Value::Null, |shape| marram_aws_api::redact::redact(shape, &input)),
            tls: TlsDetails::default(),
        };
        let ctx = self.identity.context(principal.clone(), facts);
        let answer = self.registry.call(&ctx, operation, input).await;
        ctx.finish(&answer);
        answer
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.identity.now()
    }

    pub(crate) fn system(&self, realm: &Realm) -> SystemContext {
        self.identity.system(ACTOR, realm.account.clone(), realm.region.clone())
    }
}
