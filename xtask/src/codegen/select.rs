//! Which services, and of which operations the shapes (the names and routes of all operations are always there).
//!
//! The tiers are those of control-plane-api 3.6 and 4.2.

/// A service to generate.
pub struct Selection {
    /// The botocore id.
    pub name: &'static str,
    /// Variant of `ServiceId`.
    pub variant: &'static str,
    /// Names accepted in the SigV4 scope.
    pub signing_names: &'static [&'static str],
    /// Prefix of IAM actions.
    pub iam_prefix: &'static str,
    /// `eventSource` of audit records.
    pub event_source: &'static str,
    /// Operations with shapes.
    pub shapes: Shapes,
}

/// Operations whose shapes are generated.
pub enum Shapes {
    All,
    None,
    /// Names between blanks.
    Named(&'static str),
}

impl Shapes {
    /// The shapes of `operation` are wanted.
    pub fn include(&self, operation: &str) -> bool {
        match self {
            Shapes::All => true,
            Shapes::None => false,
            Shapes::Named(list) => list.split_whitespace().any(|name| name == operation),
        }
    }
}

/// The services, sorted by name.
pub const SERVICES: &[Selection] = &[
    Selection {
        name: "cloudtrail",
        variant: "CloudTrail",
        signing_names: &["cloudtrail"],
        iam_prefix: "cloudtrail",
        event_source: "cloudtrail.amazonaws.com",
        shapes: Shapes::Named("LookupEvents"),
    },
    Selection {
        name: "cloudwatch",
        variant: "CloudWatch",
        signing_names: &["monitoring"],
        iam_prefix: "cloudwatch",
        event_source: "monitoring.amazonaws.com",
        shapes: Shapes::Named("PutMetricData GetMetricData GetMetricStatistics ListMetrics"),
    },
    Selection {
        name: "greengrass",
        variant: "Greengrass",
        signing_names: &["greengrass"],
        iam_prefix: "greengrass",
        event_source: "greengrass.amazonaws.com",
        shapes: Shapes::None,
    },
    Selection {
        name: "greengrassv2",
        variant: "GreengrassV2",
        signing_names: &["greengrass"],
        iam_prefix: "greengrass",
        event_source: "greengrass.amazonaws.com",
        shapes: Shapes::All,
    },
    Selection {
        name: "iam",
        variant: "Iam",
        signing_names: &["iam"],
        iam_prefix: "iam",
        event_source: "iam.amazonaws.com",
        shapes: Shapes::Named(IAM),
    },
    Selection {
        name: "iot",
        variant: "Iot",
        signing_names: &["iot"],
        iam_prefix: "iot",
        event_source: "iot.amazonaws.com",
        shapes: Shapes::Named(IOT),
    },
    Selection {
        name: "iot-data",
        variant: "IotData",
        signing_names: &["iotdata", "iotdevicegateway"],
        iam_prefix: "iot",
        event_source: "iot.amazonaws.com",
        shapes: Shapes::All,
    },
    Selection {
        name: "iot-jobs-data",
        variant: "IotJobsData",
        signing_names: &["iot-jobs-data"],
        iam_prefix: "iotjobsdata",
        event_source: "iot.amazonaws.com",
        shapes: Shapes::All,
    },
    Selection {
        name: "iotthingsgraph",
        variant: "ThingsGraph",
        signing_names: &["iotthingsgraph"],
        iam_prefix: "iotthingsgraph",
        event_source: "iotthingsgraph.amazonaws.com",
        shapes: Shapes::All,
    },
    Selection {
        name: "logs",
        variant: "Logs",
        signing_names: &["logs"],
        iam_prefix: "logs",
        event_source: "logs.amazonaws.com",
        shapes: Shapes::Named(
            "CreateLogGroup CreateLogStream PutLogEvents DescribeLogGroups DescribeLogStreams GetLogEvents FilterLogEvents
             DeleteLogGroup DeleteLogStream PutRetentionPolicy DeleteRetentionPolicy",
        ),
    },
    Selection {
        name: "secretsmanager",
        variant: "SecretsManager",
        signing_names: &["secretsmanager"],
        iam_prefix: "secretsmanager",
        event_source: "secretsmanager.amazonaws.com",
        shapes: Shapes::Named(
            "CreateSecret GetSecretValue PutSecretValue UpdateSecret DescribeSecret ListSecrets DeleteSecret
             TagResource UntagResource RestoreSecret UpdateSecretVersionStage ListSecretVersionIds",
        ),
    },
    Selection {
        name: "sts",
        variant: "Sts",
        signing_names: &["sts"],
        iam_prefix: "sts",
        event_source: "sts.amazonaws.com",
        shapes: Shapes::Named(
            "GetCallerIdentity AssumeRole GetSessionToken
             GetFederationToken AssumeRoleWithWebIdentity GetAccessKeyInfo DecodeAuthorizationMessage",
        ),
    },
];

const IOT: &str = "
    DescribeEndpoint
    CreateThing DescribeThing UpdateThing DeleteThing ListThings
    CreateThingType DescribeThingType UpdateThingType DeprecateThingType DeleteThingType ListThingTypes
    CreateThingGroup DescribeThingGroup UpdateThingGroup DeleteThingGroup ListThingGroups
    AddThingToThingGroup RemoveThingFromThingGroup UpdateThingGroupsForThing ListThingGroupsForThing ListThingsInThingGroup
    CreateKeysAndCertificate CreateCertificateFromCsr RegisterCertificate RegisterCertificateWithoutCA
    DescribeCertificate UpdateCertificate DeleteCertificate ListCertificates
    CreatePolicy GetPolicy DeletePolicy ListPolicies
    CreatePolicyVersion GetPolicyVersion ListPolicyVersions DeletePolicyVersion SetDefaultPolicyVersion
    AttachPolicy DetachPolicy ListAttachedPolicies ListTargetsForPolicy
    AttachPrincipalPolicy DetachPrincipalPolicy ListPrincipalPolicies ListPolicyPrincipals
    AttachThingPrincipal DetachThingPrincipal ListThingPrincipals ListPrincipalThings
    ListThingPrincipalsV2 ListPrincipalThingsV2
    CreateRoleAlias DescribeRoleAlias UpdateRoleAlias DeleteRoleAlias ListRoleAliases
    TagResource UntagResource ListTagsForResource

    CreateJob DescribeJob UpdateJob CancelJob DeleteJob ListJobs GetJobDocument AssociateTargetsWithJob
    DescribeJobExecution CancelJobExecution DeleteJobExecution ListJobExecutionsForJob ListJobExecutionsForThing
    CreateJobTemplate DescribeJobTemplate ListJobTemplates DeleteJobTemplate DescribeManagedJobTemplate
    ListManagedJobTemplates
    CreateDynamicThingGroup UpdateDynamicThingGroup DeleteDynamicThingGroup
    CreateProvisioningTemplate DescribeProvisioningTemplate UpdateProvisioningTemplate DeleteProvisioningTemplate
    ListProvisioningTemplates CreateProvisioningTemplateVersion DescribeProvisioningTemplateVersion
    DeleteProvisioningTemplateVersion ListProvisioningTemplateVersions CreateProvisioningClaim RegisterThing
    RegisterCACertificate DescribeCACertificate UpdateCACertificate DeleteCACertificate ListCACertificates
    ListCertificatesByCA GetRegistrationCode DeleteRegistrationCode
    DescribeEventConfigurations UpdateEventConfigurations GetEffectivePolicies TestAuthorization
    CreateBillingGroup DescribeBillingGroup UpdateBillingGroup DeleteBillingGroup ListBillingGroups
    AddThingToBillingGroup RemoveThingFromBillingGroup ListThingsInBillingGroup
";

const IAM: &str = "
    CreateRole GetRole ListRoles DeleteRole UpdateRole UpdateAssumeRolePolicy UpdateRoleDescription
    PutRolePolicy GetRolePolicy ListRolePolicies DeleteRolePolicy
    AttachRolePolicy DetachRolePolicy ListAttachedRolePolicies TagRole UntagRole ListRoleTags
    PutRolePermissionsBoundary DeleteRolePermissionsBoundary
    CreatePolicy GetPolicy ListPolicies DeletePolicy
    CreatePolicyVersion GetPolicyVersion ListPolicyVersions DeletePolicyVersion SetDefaultPolicyVersion
    ListEntitiesForPolicy TagPolicy UntagPolicy ListPolicyTags
    CreateUser GetUser ListUsers UpdateUser DeleteUser TagUser UntagUser ListUserTags
    PutUserPermissionsBoundary DeleteUserPermissionsBoundary
    CreateAccessKey ListAccessKeys UpdateAccessKey DeleteAccessKey GetAccessKeyLastUsed
    AttachUserPolicy DetachUserPolicy ListAttachedUserPolicies
    PutUserPolicy GetUserPolicy ListUserPolicies DeleteUserPolicy
    CreateGroup GetGroup ListGroups DeleteGroup UpdateGroup AddUserToGroup RemoveUserFromGroup ListGroupsForUser
    AttachGroupPolicy DetachGroupPolicy ListAttachedGroupPolicies
    PutGroupPolicy GetGroupPolicy ListGroupPolicies DeleteGroupPolicy
    CreateServiceLinkedRole GetAccountSummary ListAccountAliases ListInstanceProfilesForRole
    SimulatePrincipalPolicy SimulateCustomPolicy GetContextKeysForCustomPolicy GetContextKeysForPrincipalPolicy
    GetAccountAuthorizationDetails
";
