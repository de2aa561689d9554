//! Making what a plan asks for, by registry operations in the name of a principal.
//!
//! Every step may be repeated: a device that lost the connection in the middle asks again and the same things are found.

use std::collections::BTreeMap;

use marram_aws_api::ApiError;
use marram_identity::Principal;
use marram_registry::{Realm, shown};
use serde_json::{Map, Value, json};

use crate::provisioning::Provisioning;
use crate::template::{CertificatePlan, CertificateSource, Override, Plan, ThingPlan};

/// What was made.
#[derive(Debug, Default)]
pub(crate) struct Made {
    pub(crate) thing: Option<String>,
    pub(crate) certificate_pem: Option<String>,
    /// ARNs by logical id.
    pub(crate) arns: Map<String, Value>,
}

/// Makes thing, certificate, policies and attachments.
pub(crate) async fn apply(
    provisioning: &Provisioning,
    realm: &Realm,
    principal: &Principal,
    plan: &Plan,
) -> Result<Made, ApiError> {
    let work = Apply { provisioning, realm, principal };
    let mut made = Made::default();
    if let Some(thing) = &plan.thing {
        let arn = work.thing(thing).await?;
        made.arns.insert(thing.logical_id.clone(), arn.into());
        made.thing = Some(thing.name.clone());
    }
    let Some(certificate) = &plan.certificate else {
        return match plan.policies.is_empty() {
            true => Ok(made),
            false => {
                Err(ApiError::invalid_request("Policies are attached to a certificate, and the template has none"))
            }
        };
    };
    let (id, arn, pem) = work.certificate(certificate).await?;
    made.arns.insert(certificate.logical_id.clone(), arn.clone().into());
    made.certificate_pem = pem;
    for policy in &plan.policies {
        if let Some(document) = &policy.document {
            let input = json!({"policyName": policy.name, "policyDocument": document});
            match work.call("CreatePolicy", input).await {
                // The name is the document's digest: what is there already is the same.
                Err(error) if error.code != "ResourceAlreadyExistsException" => return Err(error),
                _ => {}
            }
        }
        work.call("AttachPolicy", json!({"policyName": policy.name, "target": arn})).await?;
        made.arns.insert(policy.logical_id.clone(), realm.arn(format_args!("policy/{}", policy.name)).into());
    }
    if let Some(thing) = &plan.thing {
        let kind = if certificate.exclusive { "EXCLUSIVE_THING" } else { "NON_EXCLUSIVE_THING" };
        let input = json!({"thingName": thing.name, "principal": arn, "thingPrincipalType": kind});
        work.call("AttachThingPrincipal", input).await?;
    }
    // Last: the certificate works only once everything behind it stands.
    work.call("UpdateCertificate", json!({"certificateId": id, "newStatus": certificate.status})).await?;
    Ok(made)
}

struct Apply<'a> {
    provisioning: &'a Provisioning,
    realm: &'a Realm,
    principal: &'a Principal,
}

impl Apply<'_> {
    async fn call(&self, name: &'static str, input: Value) -> Result<Value, ApiError> {
        self.provisioning.call(self.realm, self.principal, name, input).await
    }

    async fn thing(&self, plan: &ThingPlan) -> Result<String, ApiError> {
        if let Some(group) = &plan.billing_group {
            return Err(ApiError::invalid_request(format!("Billing group {} is not supported", shown(group))));
        }
        let mut input = json!({"thingName": plan.name, "attributePayload": {"attributes": plan.attributes}});
        if let Some(type_name) = &plan.type_name {
            input["thingTypeName"] = type_name.as_str().into();
        }
        let arn = self.realm.arn(format_args!("thing/{}", plan.name));
        let existed = match self.call("CreateThing", input).await {
            Ok(_) => false,
            Err(error) if error.code == "ResourceAlreadyExistsException" => true,
            Err(error) => return Err(error),
        };
        if existed {
            self.adjust(plan).await?;
        }
        let [_, _, groups] = plan.overrides;
        self.join_groups(plan, existed, groups).await?;
        Ok(arn)
    }

    /// A thing that is there with another type or other attributes.
    async fn adjust(&self, plan: &ThingPlan) -> Result<(), ApiError> {
        let found = self.call("DescribeThing", json!({"thingName": plan.name})).await?;
        let [type_rule, attribute_rule, _] = plan.overrides;
        let differs = |what: &str| {
            ApiError::invalid_request(format!(
                "Thing {} exists with another {what}, and the template forbids that",
                plan.name
            ))
        };
        let mut update = json!({"thingName": plan.name});
        let mut changes = false;
        if found["thingTypeName"].as_str() != plan.type_name.as_deref() {
            match (type_rule, &plan.type_name) {
                (Override::Fail, _) => return Err(differs("type")),
                (Override::Replace, Some(type_name)) => {
                    update["thingTypeName"] = type_name.as_str().into();
                    changes = true;
                }
                (Override::Replace, None) => {
                    update["removeThingType"] = true.into();
                    changes = true;
                }
                _ => {}
            }
        }
        let attributes: BTreeMap<String, String> =
            serde_json::from_value(found["attributes"].clone()).unwrap_or_default();
        if attributes != plan.attributes {
            match attribute_rule {
                Override::Fail => return Err(differs("attributes")),
                Override::DoNothing => {}
                rule => {
                    let merge = rule == Override::Merge;
                    update["attributePayload"] = json!({"attributes": plan.attributes, "merge": merge});
                    changes = true;
                }
            }
        }
        if changes {
            self.call("UpdateThing", update).await?;
        }
        Ok(())
    }

    async fn join_groups(&self, plan: &ThingPlan, existed: bool, rule: Override) -> Result<(), ApiError> {
        if !existed {
            for group in &plan.groups {
                self.call("AddThingToThingGroup", json!({"thingGroupName": group, "thingName": plan.name})).await?;
            }
            return Ok(());
        }
        if rule == Override::DoNothing {
            return Ok(());
        }
        let listed = self.call("ListThingGroupsForThing", json!({"thingName": plan.name})).await?;
        let current: Vec<&str> = listed["thingGroups"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|group| group["groupName"].as_str())
            .collect();
        let add: Vec<&String> = plan.groups.iter().filter(|group| !current.contains(&group.as_str())).collect();
        let remove: Vec<&&str> =
            current.iter().filter(|group| !plan.groups.iter().any(|wanted| wanted == *group)).collect();
        if add.is_empty() && remove.is_empty() {
            return Ok(());
        }
        if rule == Override::Fail {
            return Err(ApiError::invalid_request(format!(
                "Thing {} exists in other groups, and the template forbids that",
                plan.name
            )));
        }
        let input = json!({"thingName": plan.name, "thingGroupsToAdd": add, "thingGroupsToRemove": remove});
        self.call("UpdateThingGroupsForThing", input).await.map(drop)
    }

    /// Id, ARN, and the PEM where there is one to tell.
    async fn certificate(&self, plan: &CertificatePlan) -> Result<(String, String, Option<String>), ApiError> {
        let (name, input) = match &plan.source {
            CertificateSource::Id(id) => ("DescribeCertificate", json!({"certificateId": id})),
            CertificateSource::Pem(pem) => {
                ("RegisterCertificateWithoutCA", json!({"certificatePem": pem, "status": "INACTIVE"}))
            }
            CertificateSource::Request(request) => {
                ("CreateCertificateFromCsr", json!({"certificateSigningRequest": request}))
            }
        };
        let answer = self.call(name, input).await?;
        let described = answer.get("certificateDescription").unwrap_or(&answer);
        let text = |member: &str| described[member].as_str().map(str::to_owned);
        let (Some(id), Some(arn)) = (text("certificateId"), text("certificateArn")) else {
            return Err(ApiError::internal());
        };
        let pem = text("certificatePem").or(match &plan.source {
            CertificateSource::Pem(pem) => Some(pem.clone()),
            _ => None,
        });
        Ok((id, arn, pem))
    }
}
