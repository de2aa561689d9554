//! Just-in-time registration and provisioning (CP 4.8).
//!
//! A certificate whose key was proved, signed by a registered CA that allows it, is stored as PENDING_ACTIVATION. Without a
//! template that is announced and somebody else decides; with one the template is run, and the device's next attempt is let in.

use std::collections::BTreeMap;
use std::sync::Arc;

use marram_aws_api::ApiError;
use marram_broker::Message;
use marram_identity::BoxFuture;
use marram_mqtt::{QoS, Topic};
use marram_pki::{Certificate, RdnKind};
use marram_registry::{Newcomers, Outbox, RegisteringCa, find_registering_ca, insert_newcomer, remove_certificate};
use serde_json::json;

use crate::apply::apply;
use crate::provisioning::Provisioning;
use crate::row::{find_template, get_version};
use crate::template::Template;

/// Takes up newcomers.
pub struct JustInTime {
    provisioning: Provisioning,
    outbox: Outbox,
}

impl JustInTime {
    /// Announces through `outbox`.
    pub fn new(provisioning: Provisioning, outbox: Outbox) -> Arc<Self> {
        Arc::new(Self { provisioning, outbox })
    }

    async fn take_up(&self, der: &[u8]) -> Result<(), ApiError> {
        let Ok(certificate) = Certificate::from_der(der) else { return Ok(()) };
        let provisioning = &self.provisioning;
        let (identity, now) = (provisioning.identity(), provisioning.now());
        if !certificate.is_valid_at(now.as_secs()) {
            return Ok(());
        }
        let Some(account) = identity.accounts().into_iter().next() else { return Ok(()) };
        let anywhere = identity.system(crate::provisioning::ACTOR, account, identity.regions()[0].clone());
        let found = anywhere.read(|snapshot| find_registering_ca(snapshot, identity.partition(), &certificate, now))?;
        let Some(ca) = found else { return Ok(()) };
        let id = certificate.id().to_string();
        let details = json!({"caCertificateId": ca.id, "certificateId": id});
        let (stored, signer) = (certificate.clone(), ca.clone());
        provisioning
            .system(&ca.realm)
            .commit_with("RegisterCertificate", details, move |tx| insert_newcomer(tx, &signer, &stored, now))
            .await?;
        let text = |name: &str| ca.registration[name].as_str().map(str::to_owned);
        match (text("templateName"), text("templateBody")) {
            (None, None) => self.announce(&ca, &id),
            (name, body) => {
                if let Err(error) = self.provision(&ca, &certificate, name, body).await {
                    // Forgotten, so that the next attempt tries again.
                    let (registry, realm, forgotten) = (provisioning.registry().clone(), ca.realm.clone(), id.clone());
                    provisioning
                        .system(&ca.realm)
                        .commit("DeleteCertificate", move |tx| remove_certificate(&registry, tx, &realm, &forgotten))
                        .await?;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// `$aws/events/certificates/registered/{ca}`.
    fn announce(&self, ca: &RegisteringCa, id: &str) {
        let at = self.provisioning.now().as_millis();
        let body = json!({
            "certificateId": id,
            "caCertificateId": ca.id,
            "timestamp": at,
            "certificateStatus": "PENDING_ACTIVATION",
            "awsAccountId": ca.realm.account.as_str(),
            "certificateRegistrationTimestamp": at.to_string(),
        });
        if let Ok(topic) = Topic::new(&format!("$aws/events/certificates/registered/{}", ca.id)) {
            let message = Message::new(topic, body.to_string()).with_qos(QoS::AtLeastOnce);
            self.outbox.publish(&ca.realm, message);
        }
    }

    async fn provision(
        &self,
        ca: &RegisteringCa,
        certificate: &Certificate,
        name: Option<String>,
        body: Option<String>,
    ) -> Result<(), ApiError> {
        let provisioning = &self.provisioning;
        let mut role = ca.registration["roleArn"].as_str().map(str::to_owned);
        let mut source = format!("cacert/{}", ca.id);
        let body = match name {
            None => body.unwrap_or_default(),
            Some(name) => {
                let (row, body) = provisioning.system(&ca.realm).read(|snapshot| {
                    let row = find_template(snapshot, &ca.realm, &name)?
                        .filter(|row| row.enabled && row.kind == "JITP")
                        .ok_or_else(|| ApiError::not_found("No enabled JITP template by this name"))?;
                    let (body, _) = get_version(snapshot, &ca.realm, &name, row.default_version)?;
                    Ok((row, body))
                })?;
                role = role.or(Some(row.role_arn));
                source = format!("provisioningtemplate/{name}");
                body
            }
        };
        let role = role.ok_or_else(|| ApiError::invalid_request("The CA's registration names no role"))?;
        let plan = Template::parse(&body)
            .and_then(|template| template.plan(&BTreeMap::new(), &parameters(certificate)))
            .map_err(|error| ApiError::invalid_request(error.to_string()))?;
        let principal = provisioning.assume(&ca.realm, &role, &source)?;
        apply(provisioning, &ca.realm, &principal, &plan).await.map(drop)
    }
}

/// `AWS::IoT::Certificate::*`: the id and what the subject says.
fn parameters(certificate: &Certificate) -> BTreeMap<String, String> {
    let subject = certificate.subject();
    let names = [
        ("Country", RdnKind::Country),
        ("Organization", RdnKind::Organization),
        ("OrganizationalUnit", RdnKind::OrganizationalUnit),
        ("DistinguishedNameQualifier", RdnKind::DistinguishedNameQualifier),
        ("StateName", RdnKind::State),
        ("CommonName", RdnKind::CommonName),
        ("SerialNumber", RdnKind::SerialNumber),
    ];
    let mut parameters: BTreeMap<String, String> = names
        .into_iter()
        .filter_map(|(name, kind)| {
            Some((format!("AWS::IoT::Certificate::{name}"), subject.values(kind).next()?.to_owned()))
        })
        .collect();
    parameters.insert("AWS::IoT::Certificate::Id".to_owned(), certificate.id().to_string());
    parameters
}

impl Newcomers for JustInTime {
    fn seen<'a>(&'a self, der: &'a [u8]) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Err(error) = self.take_up(der).await {
                tracing::warn!(%error, "a certificate of a registered CA could not be taken up");
            }
        })
    }
}
