//! Managed policies that come with the house: the names tools ask for, our own documents (SEC-61).

use std::sync::{Arc, LazyLock};

use marram_authz::{Policy, PolicyKind};

/// A policy every account can attach and none can change.
#[derive(Debug)]
pub(crate) struct VendorPolicy {
    /// `/` or `/service-role/`.
    pub path: &'static str,
    pub name: &'static str,
    pub id: &'static str,
    pub description: &'static str,
    pub document: &'static str,
    pub compiled: Arc<Policy>,
}

impl VendorPolicy {
    pub(crate) fn arn(&self, partition: &str) -> String {
        format!("arn:{partition}:iam::aws:policy{}{}", self.path, self.name)
    }
}

/// The policy behind `arn:{partition}:iam::aws:policy/…`.
pub(crate) fn find(partition: &str, arn: &str) -> Option<&'static VendorPolicy> {
    let rest = arn.strip_prefix("arn:")?.strip_prefix(partition)?.strip_prefix(":iam::aws:policy")?;
    ALL.iter().find(|policy| rest.strip_prefix(policy.path) == Some(policy.name))
}

/// All of them, in the order of their names.
pub(crate) fn all() -> &'static [VendorPolicy] {
    &ALL
}

static ALL: LazyLock<Vec<VendorPolicy>> = LazyLock::new(|| {
    TEXTS
        .iter()
        .map(|(path, name, id, description, document)| VendorPolicy {
            path,
            name,
            id,
            description,
            document,
            compiled: Arc::new(
                Policy::parse(PolicyKind::Identity, &format!("arn:aws:iam::aws:policy{path}{name}"), document)
                    .expect("the house's own policies are well formed; a test reads them all"),
            ),
        })
        .collect()
});

type Text = (&'static str, &'static str, &'static str, &'static str, &'static str);

#[rustfmt::skip]
static TEXTS: &[Text] = &[
    ("/", "AWSGreengrassFullAccess", "ANPAMARRAMGREENGRASSFUL", "Everything in greengrass.",
     r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"greengrass:*","Resource":"*"}]}"#),
    ("/", "AWSGreengrassReadOnlyAccess", "ANPAMARRAMGREENGRASSREA", "Reads everything in greengrass.",
     r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["greengrass:List*","greengrass:Get*","greengrass:Describe*"],"Resource":"*"}]}"#),
    ("/service-role/", "AWSGreengrassResourceAccessRolePolicy", "ANPAMARRAMGREENGRASSRES", "For the role greengrass acts with.",
     r#"{"Version":"2012-10-17","Statement":[
{"Sid":"Shadows","Effect":"Allow","Action":["iot:GetThingShadow","iot:UpdateThingShadow","iot:DeleteThingShadow"],"Resource":["arn:aws:iot:*:*:thing/GG_*","arn:aws:iot:*:*:thing/*-gcm","arn:aws:iot:*:*:thing/*-gda","arn:aws:iot:*:*:thing/*-gci"]},
{"Sid":"Things","Effect":"Allow","Action":"iot:DescribeThing","Resource":"arn:aws:iot:*:*:thing/*"},
{"Sid":"Certificates","Effect":"Allow","Action":"iot:DescribeCertificate","Resource":"arn:aws:iot:*:*:cert/*"},
{"Sid":"Greengrass","Effect":"Allow","Action":"greengrass:*","Resource":"*"},
{"Sid":"Functions","Effect":"Allow","Action":["lambda:GetFunction","lambda:GetFunctionConfiguration"],"Resource":"*"},
{"Sid":"Secrets","Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:*:*:secret:greengrass-*"},
{"Sid":"Objects","Effect":"Allow","Action":"s3:GetObject","Resource":["arn:aws:s3:::*Greengrass*","arn:aws:s3:::*GreenGrass*","arn:aws:s3:::*greengrass*","arn:aws:s3:::*Sagemaker*","arn:aws:s3:::*SageMaker*","arn:aws:s3:::*sagemaker*"]},
{"Sid":"Buckets","Effect":"Allow","Action":"s3:GetBucketLocation","Resource":"*"}]}"#),
    ("/", "AWSIoTConfigAccess", "ANPAMARRAMIOTCONFIGACCE", "Configures iot: registry, certificates, policies, rules.",
     r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iot:AcceptCertificateTransfer","iot:Add*","iot:Associate*","iot:Attach*","iot:Cancel*","iot:Confirm*","iot:Create*","iot:Delete*","iot:Deprecate*","iot:Describe*","iot:Detach*","iot:Disable*","iot:Enable*","iot:Get*","iot:List*","iot:Register*","iot:Reject*","iot:Remove*","iot:Replace*","iot:Search*","iot:Set*","iot:Start*","iot:Stop*","iot:Tag*","iot:Test*","iot:Transfer*","iot:Untag*","iot:Update*","iot:Validate*"],"Resource":"*"}]}"#),
    ("/", "AWSIoTConfigReadOnlyAccess", "ANPAMARRAMIOTCONFIGREAD", "Reads the configuration of iot.",
     r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iot:Describe*","iot:GetEffectivePolicies","iot:GetIndexingConfiguration","iot:GetJobDocument","iot:GetLoggingOptions","iot:GetPolicy","iot:GetPolicyVersion","iot:GetRegistrationCode","iot:GetStatistics","iot:GetTopicRule","iot:GetV2LoggingOptions","iot:List*","iot:SearchIndex","iot:TestAuthorization","iot:TestInvokeAuthorizer"],"Resource":"*"}]}"#),
    ("/", "AWSIoTDataAccess", "ANPAMARRAMIOTDATAACCESS", "Messages, shadows and jobs.",
     r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iot:Connect","iot:Publish","iot:Subscribe","iot:Receive","iot:RetainPublish","iot:GetRetainedMessage","iot:ListRetainedMessages","iot:GetThingShadow","iot:UpdateThingShadow","iot:DeleteThingShadow","iot:ListNamedShadowsForThing","iotjobsdata:*"],"Resource":"*"}]}"#),
    ("/", "AWSIoTFullAccess", "ANPAMARRAMIOTFULLACCESS", "Everything in iot and its data planes.",
     r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iot:*","iotjobsdata:*"],"Resource":"*"}]}"#),
    ("/service-role/", "AWSIoTLogging", "ANPAMARRAMIOTLOGGINGROL", "For the role iot writes logs with.",
     r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["logs:CreateLogGroup","logs:CreateLogStream","logs:PutLogEvents","logs:PutMetricFilter","logs:PutRetentionPolicy","logs:GetLogEvents","logs:DeleteLogStream"],"Resource":"*"}]}"#),
    ("/service-role/", "AWSIoTRuleActions", "ANPAMARRAMIOTRULEACTION", "For the role rule actions run with.",
     r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["dynamodb:PutItem","kinesis:PutRecord","iot:Publish","s3:PutObject","sns:Publish","sqs:SendMessage*","cloudwatch:SetAlarmState","cloudwatch:PutMetricData","firehose:PutRecord"],"Resource":"*"}]}"#),
    ("/service-role/", "AWSIoTThingsRegistration", "ANPAMARRAMIOTTHINGSREGI", "For the role that provisions things.",
     r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iot:AddThingToBillingGroup","iot:AddThingToThingGroup","iot:AttachPolicy","iot:AttachPrincipalPolicy","iot:AttachThingPrincipal","iot:CreateCertificateFromCsr","iot:CreatePolicy","iot:CreateThing","iot:DescribeCertificate","iot:DescribeThing","iot:DescribeThingGroup","iot:DescribeThingType","iot:DetachPolicy","iot:DetachThingPrincipal","iot:GetPolicy","iot:ListAttachedPolicies","iot:ListPolicyPrincipals","iot:ListPrincipalPolicies","iot:ListPrincipalThings","iot:ListTargetsForPolicy","iot:ListThingGroupsForThing","iot:ListThingPrincipals","iot:RegisterCertificate","iot:RegisterThing","iot:RemoveThingFromBillingGroup","iot:RemoveThingFromThingGroup","iot:UpdateCertificate","iot:UpdateThing","iot:UpdateThingGroupsForThing"],"Resource":"*"}]}"#),
    ("/", "AWSIoTThingsGraphFullAccess", "ANPAMARRAMTHINGSGRAPHFU", "Everything in iotthingsgraph, and what its console reads.",
     r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iotthingsgraph:*","Resource":"*"},{"Effect":"Allow","Action":["iot:DescribeThing","iot:DescribeThingGroup","iot:ListThings","iot:ListThingGroups","iot:ListThingPrincipals"],"Resource":"*"}]}"#),
    ("/", "AdministratorAccess", "ANPAMARRAMADMINISTRATOR", "Everything.",
     r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#),
    ("/", "ReadOnlyAccess", "ANPAMARRAMREADONLYACCES", "Reads everything but secrets and messages.",
     r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["cloudtrail:LookupEvents","greengrass:Describe*","greengrass:Get*","greengrass:List*","iam:Get*","iam:List*","iam:Simulate*","iot:Describe*","iot:Get*","iot:List*","iot:SearchIndex","iot:TestAuthorization","iotthingsgraph:Describe*","iotthingsgraph:Get*","iotthingsgraph:List*","iotthingsgraph:Search*","sts:GetAccessKeyInfo"],"Resource":"*"}]}"#),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// SEC-61, CP 3.6: every managed policy compiles and is found by its ARN, path included.
    #[test]
    fn vendor_policies_are_sound() {
        for policy in all() {
            assert!(find("aws", &policy.arn("aws")).is_some_and(|p| p.name == policy.name));
            assert!(policy.id.starts_with("ANPA") && policy.id.len() <= 24, "{}", policy.name);
        }
        assert!(find("aws", "arn:aws:iam::aws:policy/GreengrassV2TokenExchangeRoleAccess").is_none());
        assert!(find("aws", "arn:aws:iam::aws:policy/AWSIoTLogging").is_none(), "the path is part of the name");
    }
}
