"""What is offered, and what each operation refuses: one row per operation.

OFFERED derives nothing from the implementation: it is the T1 tables of the specification (CP 3.6, 4.2, TG 9).
REFUSALS tells for each operation an input with a modelled error and its code. Inputs that are not given are made up by
`samples.minimal`: well-formed, naming nothing that exists.
"""

BAD_TOKEN = "bm90IGEgdG9rZW4="

ABSENT_CERTIFICATE = "0" * 64

THINGS_GRAPH = """
AssociateEntityToThing CreateFlowTemplate CreateSystemInstance CreateSystemTemplate DeleteFlowTemplate DeleteNamespace
DeleteSystemInstance DeleteSystemTemplate DeploySystemInstance DeprecateFlowTemplate DeprecateSystemTemplate
DescribeNamespace DissociateEntityFromThing GetEntities GetFlowTemplate GetFlowTemplateRevisions
GetNamespaceDeletionStatus GetSystemInstance GetSystemTemplate GetSystemTemplateRevisions GetUploadStatus
ListFlowExecutionMessages ListTagsForResource SearchEntities SearchFlowExecutions SearchFlowTemplates
SearchSystemInstances SearchSystemTemplates SearchThings TagResource UndeploySystemInstance UntagResource
UpdateFlowTemplate UpdateSystemTemplate UploadEntityDefinitions
""".split()

IOT = """
DescribeEndpoint
CreateThing DescribeThing UpdateThing DeleteThing ListThings
CreateThingType DescribeThingType UpdateThingType DeprecateThingType DeleteThingType ListThingTypes
CreateThingGroup DescribeThingGroup UpdateThingGroup DeleteThingGroup ListThingGroups AddThingToThingGroup
RemoveThingFromThingGroup UpdateThingGroupsForThing ListThingGroupsForThing ListThingsInThingGroup
CreateKeysAndCertificate CreateCertificateFromCsr RegisterCertificate RegisterCertificateWithoutCA DescribeCertificate
UpdateCertificate DeleteCertificate ListCertificates
CreatePolicy GetPolicy DeletePolicy ListPolicies CreatePolicyVersion GetPolicyVersion ListPolicyVersions
DeletePolicyVersion SetDefaultPolicyVersion AttachPolicy DetachPolicy ListAttachedPolicies ListTargetsForPolicy
AttachPrincipalPolicy DetachPrincipalPolicy ListPrincipalPolicies ListPolicyPrincipals
AttachThingPrincipal DetachThingPrincipal ListThingPrincipals ListPrincipalThings ListThingPrincipalsV2
ListPrincipalThingsV2
CreateRoleAlias DescribeRoleAlias UpdateRoleAlias DeleteRoleAlias ListRoleAliases
TagResource UntagResource ListTagsForResource
RegisterCACertificate DescribeCACertificate UpdateCACertificate DeleteCACertificate ListCACertificates
ListCertificatesByCA GetRegistrationCode DeleteRegistrationCode
CreateJob DescribeJob UpdateJob CancelJob DeleteJob ListJobs GetJobDocument AssociateTargetsWithJob
DescribeJobExecution CancelJobExecution DeleteJobExecution ListJobExecutionsForJob ListJobExecutionsForThing
CreateJobTemplate DescribeJobTemplate ListJobTemplates DeleteJobTemplate DescribeManagedJobTemplate
ListManagedJobTemplates
CreateProvisioningTemplate DescribeProvisioningTemplate UpdateProvisioningTemplate DeleteProvisioningTemplate
ListProvisioningTemplates CreateProvisioningTemplateVersion DescribeProvisioningTemplateVersion
DeleteProvisioningTemplateVersion ListProvisioningTemplateVersions CreateProvisioningClaim RegisterThing
DescribeEventConfigurations UpdateEventConfigurations
""".split()

IAM = """
CreateRole GetRole ListRoles DeleteRole UpdateRole UpdateAssumeRolePolicy PutRolePolicy GetRolePolicy ListRolePolicies
DeleteRolePolicy AttachRolePolicy DetachRolePolicy ListAttachedRolePolicies TagRole UntagRole ListRoleTags
PutRolePermissionsBoundary DeleteRolePermissionsBoundary
CreatePolicy GetPolicy ListPolicies DeletePolicy CreatePolicyVersion GetPolicyVersion ListPolicyVersions
DeletePolicyVersion SetDefaultPolicyVersion ListEntitiesForPolicy TagPolicy UntagPolicy ListPolicyTags
CreateUser GetUser ListUsers UpdateUser DeleteUser CreateAccessKey ListAccessKeys UpdateAccessKey DeleteAccessKey
GetAccessKeyLastUsed AttachUserPolicy DetachUserPolicy ListAttachedUserPolicies PutUserPolicy GetUserPolicy
ListUserPolicies DeleteUserPolicy
CreateGroup GetGroup ListGroups DeleteGroup AddUserToGroup RemoveUserFromGroup ListGroupsForUser PutGroupPolicy
GetGroupPolicy ListGroupPolicies DeleteGroupPolicy AttachGroupPolicy DetachGroupPolicy ListAttachedGroupPolicies
CreateServiceLinkedRole GetAccountSummary ListAccountAliases ListInstanceProfilesForRole
""".split()

STS = "GetCallerIdentity AssumeRole GetSessionToken".split()

IOT_DATA = """
Publish GetRetainedMessage ListRetainedMessages
GetThingShadow UpdateThingShadow DeleteThingShadow ListNamedShadowsForThing
""".split()

IOT_JOBS_DATA = """
GetPendingJobExecutions StartNextPendingJobExecution DescribeJobExecution UpdateJobExecution
""".split()

CLOUDTRAIL = ["LookupEvents"]

GREENGRASS = """
CreateComponentVersion GetComponent DescribeComponent ListComponents ListComponentVersions GetComponentVersionArtifact
DeleteComponent ResolveComponentCandidates CreateDeployment GetDeployment ListDeployments CancelDeployment
DeleteDeployment ListCoreDevices GetCoreDevice DeleteCoreDevice ListInstalledComponents ListEffectiveDeployments
BatchAssociateClientDeviceWithCoreDevice BatchDisassociateClientDeviceFromCoreDevice
ListClientDevicesAssociatedWithCoreDevice AssociateServiceRoleToAccount GetServiceRoleForAccount
DisassociateServiceRoleFromAccount GetConnectivityInfo UpdateConnectivityInfo ListTagsForResource TagResource
UntagResource
""".split()

SECRETS = """
CreateSecret GetSecretValue PutSecretValue UpdateSecret DescribeSecret ListSecrets DeleteSecret TagResource UntagResource
RestoreSecret UpdateSecretVersionStage ListSecretVersionIds
""".split()

OFFERED = {
    "iotthingsgraph": THINGS_GRAPH,
    "iot": IOT,
    "iam": IAM,
    "sts": STS,
    "iot-data": IOT_DATA,
    "iot-jobs-data": IOT_JOBS_DATA,
    "cloudtrail": CLOUDTRAIL,
    "greengrassv2": GREENGRASS,
    "secretsmanager": SECRETS,
}

#: Operations whose model knows no error a well-behaved caller can provoke, or none at all.
WITHOUT_REFUSAL = {
    ("iotthingsgraph", "DeleteNamespace"): "models throttling only",
    ("sts", "GetCallerIdentity"): "models no error",
    ("iam", "GetAccountSummary"): "takes no input",
    ("iot", "GetRegistrationCode"): "takes no input",
    ("iot", "DeleteRegistrationCode"): "takes no input",
    ("iot", "DescribeEventConfigurations"): "takes no input",
    ("iot", "CreateKeysAndCertificate"): "a Boolean is all it takes",
    ("greengrassv2", "DisassociateServiceRoleFromAccount"): "takes no input",
}

#: Operations that cannot succeed, or not within a test's patience.
WITHOUT_SUCCESS = {
    ("iot", "DeleteThingType"): "a type rests for five minutes; the registry's own tests move the clock",
    ("iot", "DescribeManagedJobTemplate"): "there are no managed templates here",
}

TEXT = {"language": "GRAPHQL", "text": "query {"}


def _things_graph():
    invalid, absent = "InvalidRequestException", "ResourceNotFoundException"
    rows = {operation: (None, absent) for operation in THINGS_GRAPH}
    for operation in ("CreateFlowTemplate", "CreateSystemTemplate"):
        rows[operation] = ({"definition": TEXT}, invalid)
    rows["CreateSystemInstance"] = ({"definition": TEXT, "target": "CLOUD"}, invalid)
    rows["UploadEntityDefinitions"] = ({}, invalid)
    for operation in ("DeploySystemInstance", "UndeploySystemInstance", "DeleteSystemInstance"):
        rows[operation] = ({}, invalid)
    for operation in ("DeleteFlowTemplate", "DeleteSystemTemplate"):
        rows[operation] = ({"id": "urn:tdm:not a urn"}, invalid)
    rows["SearchEntities"] = ({"entityTypes": []}, invalid)
    for operation in ("SearchFlowTemplates", "SearchSystemInstances", "SearchSystemTemplates"):
        rows[operation] = ({"nextToken": BAD_TOKEN}, invalid)
    for operation in ("TagResource", "UntagResource", "ListTagsForResource"):
        rows[operation] = (None, invalid)
    rows["GetNamespaceDeletionStatus"] = ({}, invalid)
    rows["DescribeNamespace"] = ({"namespaceName": "us-east-1/999999999999/default"}, absent)
    return rows


def _iot():
    invalid, absent = "InvalidRequestException", "ResourceNotFoundException"
    rows = {operation: (None, absent) for operation in IOT}
    rows["DescribeEndpoint"] = ({"endpointType": "iot:Nothing"}, invalid)
    rows["CreatePolicy"] = ({"policyName": "absent", "policyDocument": "{"}, "MalformedPolicyException")
    rows["CreateThing"] = ({"thingName": "absent", "thingTypeName": "absent-type"}, absent)
    rows["CreateThingType"] = ({"thingTypeName": "not a name"}, invalid)
    rows["CreateThingGroup"] = ({"thingGroupName": "absent", "parentGroupName": "absent-parent"}, invalid)
    rows["CreateRoleAlias"] = (
        {"roleAlias": "absent", "roleArn": "arn:aws:iam::{account}:role/absent", "credentialDurationSeconds": 1},
        invalid,
    )
    for operation, member in (
        ("ListThings", "nextToken"),
        ("ListThingTypes", "nextToken"),
        ("ListThingGroups", "nextToken"),
        ("ListCertificates", "marker"),
        ("ListPolicies", "marker"),
        ("ListRoleAliases", "marker"),
        ("ListCACertificates", "marker"),
        ("ListCertificatesByCA", "marker"),
        ("ListJobs", "nextToken"),
        ("ListJobTemplates", "nextToken"),
        ("ListManagedJobTemplates", "nextToken"),
        ("ListProvisioningTemplates", "nextToken"),
        ("ListPrincipalThings", "nextToken"),
        ("ListPrincipalThingsV2", "nextToken"),
        ("ListPrincipalPolicies", "marker"),
        ("ListAttachedPolicies", "marker"),
    ):
        rows[operation] = ({member: BAD_TOKEN}, invalid)
    rows["CreateCertificateFromCsr"] = ({"certificateSigningRequest": "not a request"}, invalid)
    for operation in ("RegisterCertificate", "RegisterCertificateWithoutCA"):
        rows[operation] = ({"certificatePem": "not a certificate"}, ("CertificateValidationException", invalid))
    rows["RegisterCACertificate"] = (
        {"caCertificate": "not a certificate", "verificationCertificate": "not a certificate"},
        ("CertificateValidationException", invalid),
    )
    rows["AddThingToThingGroup"] = ({"thingGroupName": "absent", "thingName": "absent"}, absent)
    rows["RemoveThingFromThingGroup"] = ({"thingGroupName": "absent", "thingName": "absent"}, absent)
    rows["UpdateThingGroupsForThing"] = ({"thingName": "absent", "thingGroupsToAdd": ["absent"]}, absent)
    for operation in ("TagResource", "UntagResource", "ListTagsForResource"):
        rows[operation] = (None, (absent, invalid))
    for operation in ("DetachPrincipalPolicy", "DetachThingPrincipal"):
        rows[operation] = (None, (absent, invalid))
    rows["CreateJob"] = ({"jobId": "absent", "targets": ["nothing"], "document": "{}"}, invalid)
    rows["CreateJobTemplate"] = ({"jobTemplateId": "absent", "description": "none"}, invalid)
    rows["CreateProvisioningTemplate"] = (
        {"templateName": "absent", "templateBody": "{", "provisioningRoleArn": "arn:aws:iam::{account}:role/absent"},
        invalid,
    )
    rows["CreateProvisioningTemplateVersion"] = ({"templateName": "absent", "templateBody": "{"}, invalid)
    rows["UpdateEventConfigurations"] = ({"eventConfigurations": {"THING": {"Enabled": True}}}, invalid)
    rows["RegisterThing"] = ({"templateBody": "{"}, invalid)
    # What is not there is deleted or detached already (CP 4.4, 4.5): only nonsense is refused.
    rows["DeleteThing"] = ({"thingName": "not a name"}, invalid)
    rows["DeleteThingGroup"] = ({"thingGroupName": "not a name"}, invalid)
    rows["DetachPolicy"] = ({"policyName": "absent", "target": "nothing"}, invalid)
    return rows


def _iam():
    rows = {operation: (None, "NoSuchEntity") for operation in IAM}
    rows["CreateRole"] = ({"RoleName": "absent", "AssumeRolePolicyDocument": "{"}, "MalformedPolicyDocument")
    rows["CreatePolicy"] = ({"PolicyName": "absent", "PolicyDocument": "{"}, "MalformedPolicyDocument")
    rows["CreateUser"] = ({"UserName": "not a name!"}, "ValidationError")
    rows["CreateGroup"] = ({"GroupName": "not a name!"}, "ValidationError")
    rows["CreateAccessKey"] = ({"UserName": "absent"}, "NoSuchEntity")
    rows["CreateServiceLinkedRole"] = ({"AWSServiceName": "not a host!"}, ("InvalidInput", "ValidationError"))
    rows["GetUser"] = ({"UserName": "absent"}, "NoSuchEntity")
    rows["ListAccessKeys"] = ({"UserName": "absent"}, "NoSuchEntity")
    rows["GetAccessKeyLastUsed"] = (None, ("NoSuchEntity", "AccessDenied"))
    rows["UpdateAccessKey"] = ({"UserName": "absent", "AccessKeyId": "AKIAABSENTABSENTABSE", "Status": "Inactive"}, "NoSuchEntity")
    rows["DeleteAccessKey"] = ({"UserName": "absent", "AccessKeyId": "AKIAABSENTABSENTABSE"}, "NoSuchEntity")
    for operation in ("ListRoles", "ListPolicies", "ListUsers", "ListGroups", "ListAccountAliases"):
        rows[operation] = ({"MaxItems": 0}, "ValidationError")
    return rows


def _greengrass():
    invalid, absent = "ValidationException", "ResourceNotFoundException"
    rows = {operation: (None, absent) for operation in GREENGRASS}
    for operation in ("CreateComponentVersion", "ResolveComponentCandidates", "AssociateServiceRoleToAccount",
                      "GetConnectivityInfo", "UpdateConnectivityInfo"):
        rows[operation] = (None, invalid)
    for operation in ("ListComponents", "ListComponentVersions", "ListDeployments", "ListCoreDevices"):
        rows[operation] = ({"nextToken": BAD_TOKEN}, invalid)
    return rows


REFUSALS = {
    "greengrassv2": _greengrass(),
    "iotthingsgraph": _things_graph(),
    "iot": _iot(),
    "iam": _iam(),
    "sts": {
        "AssumeRole": (None, ("AccessDenied", "NoSuchEntity")),
        "GetSessionToken": ({"DurationSeconds": 1}, "ValidationError"),
    },
    "iot-data": {
        "Publish": ({"topic": "a/#/b", "payload": b"{}"}, "InvalidRequestException"),
        "GetRetainedMessage": (None, "ResourceNotFoundException"),
        "ListRetainedMessages": ({"nextToken": BAD_TOKEN}, "InvalidRequestException"),
        "GetThingShadow": (None, "ResourceNotFoundException"),
        "UpdateThingShadow": ({"thingName": "absent", "payload": b"{}"}, "InvalidRequestException"),
        "DeleteThingShadow": (None, "ResourceNotFoundException"),
        "ListNamedShadowsForThing": ({"thingName": "absent", "nextToken": BAD_TOKEN}, "InvalidRequestException"),
    },
    "iot-jobs-data": {
        "GetPendingJobExecutions": ({"thingName": "not a name"}, "InvalidRequestException"),
        "StartNextPendingJobExecution": (
            {"thingName": "absent", "stepTimeoutInMinutes": 10081}, "InvalidRequestException"),
        "DescribeJobExecution": (None, "ResourceNotFoundException"),
        "UpdateJobExecution": (None, "ResourceNotFoundException"),
    },
    "secretsmanager": {
        **{operation: (None, "ResourceNotFoundException") for operation in SECRETS},
        "CreateSecret": ({"Name": "not a name"}, "InvalidParameterException"),
        "ListSecrets": ({"NextToken": BAD_TOKEN}, "InvalidNextTokenException"),
    },
    "cloudtrail": {"LookupEvents": ({"NextToken": BAD_TOKEN}, "InvalidNextTokenException")},
}
for _service, _operation in WITHOUT_REFUSAL:
    REFUSALS[_service].pop(_operation, None)


def all_operations():
    return [(service, operation) for service, operations in OFFERED.items() for operation in operations]
