//! Operations of the device HTTPS plane that stand in no published model: the credentials provider (control-plane-api 6.1)
//! and those of the Greengrass data plane (6.2). The paths of GetDeploymentConfiguration, PutCertificateAuthorities
//! and the two verifications are our own: the original's are not published. Routed by path for callers with a client certificate, never by signature.

use crate::model::{DEFAULT_BODY_LIMIT, Kind, Location, Member, Operation, Shape};
use crate::service::ServiceId;

/// The operations, each under the service whose dialect and audit source it uses.
pub static OPERATIONS: &[Operation] = &[
    Operation {
        service: ServiceId::Iot,
        name: "AssumeRoleWithCertificate",
        method: "GET",
        path: "/role-aliases/{roleAlias}/credentials",
        status: 200,
        input: Some(&CREDENTIALS_REQUEST),
        output: Some(&CREDENTIALS_RESPONSE),
        errors: &[],
        read_only: false,
        iam_action: "iot:AssumeRoleWithCertificate",
        paginated: None,
        body_limit: DEFAULT_BODY_LIMIT,
        has_shapes: true,
    },
    Operation {
        service: ServiceId::GreengrassV2,
        name: "Discover",
        method: "GET",
        path: "/greengrass/discover/thing/{thingName}",
        status: 200,
        input: Some(&DISCOVER_REQUEST),
        output: Some(&DOCUMENT),
        errors: &[],
        read_only: true,
        iam_action: "greengrass:Discover",
        paginated: None,
        body_limit: DEFAULT_BODY_LIMIT,
        has_shapes: true,
    },
    Operation {
        service: ServiceId::GreengrassV2,
        name: "GetDeploymentConfiguration",
        method: "GET",
        path: "/greengrass/v2/coreDevices/{coreDeviceThingName}/deployments/{deploymentId}/configuration",
        status: 200,
        input: Some(&CONFIGURATION_REQUEST),
        output: Some(&CONFIGURATION_RESPONSE),
        errors: &[],
        read_only: true,
        iam_action: "greengrass:GetDeploymentConfiguration",
        paginated: None,
        body_limit: DEFAULT_BODY_LIMIT,
        has_shapes: true,
    },
    Operation {
        service: ServiceId::GreengrassV2,
        name: "ListThingGroupsForCoreDevice",
        method: "GET",
        path: "/greengrass/v2/coreDevices/{coreDeviceThingName}/thingGroups",
        status: 200,
        input: Some(&THING_GROUPS_REQUEST),
        output: Some(&THING_GROUPS_RESPONSE),
        errors: &[],
        read_only: true,
        iam_action: "greengrass:ListThingGroupsForCoreDevice",
        paginated: None,
        body_limit: DEFAULT_BODY_LIMIT,
        has_shapes: true,
    },
    Operation {
        service: ServiceId::GreengrassV2,
        name: "PutCertificateAuthorities",
        method: "PUT",
        path: "/greengrass/v2/coreDevices/{coreDeviceThingName}/certificateAuthorities",
        status: 200,
        input: Some(&AUTHORITIES_REQUEST),
        output: None,
        errors: &[],
        read_only: false,
        iam_action: "greengrass:PutCertificateAuthorities",
        paginated: None,
        body_limit: DEFAULT_BODY_LIMIT,
        has_shapes: true,
    },
    Operation {
        service: ServiceId::GreengrassV2,
        name: "VerifyClientDeviceIdentity",
        method: "POST",
        path: "/greengrass/v2/verifyClientDeviceIdentity",
        status: 200,
        input: Some(&IDENTITY_REQUEST),
        output: Some(&IDENTITY_RESPONSE),
        errors: &[],
        read_only: true,
        iam_action: "greengrass:VerifyClientDeviceIdentity",
        paginated: None,
        body_limit: DEFAULT_BODY_LIMIT,
        has_shapes: true,
    },
    Operation {
        service: ServiceId::GreengrassV2,
        name: "VerifyClientDeviceIoTCertificateAssociation",
        method: "POST",
        path: "/greengrass/v2/verifyClientDeviceIoTCertificateAssociation",
        status: 200,
        input: Some(&ASSOCIATION_REQUEST),
        output: None,
        errors: &[],
        read_only: true,
        iam_action: "greengrass:VerifyClientDeviceIoTCertificateAssociation",
        paginated: None,
        body_limit: DEFAULT_BODY_LIMIT,
        has_shapes: true,
    },
];

const fn member(
    name: &'static str,
    wire: &'static str,
    location: Location,
    shape: &'static Shape,
    required: bool,
) -> Member {
    Member { name, wire, location, shape, required, json_value: false }
}

const fn text(name: &'static str, max: u32, sensitive: bool) -> Shape {
    Shape { name, kind: Kind::String { min: Some(1), max: Some(max), pattern: None, values: &[] }, sensitive }
}

const fn structure(name: &'static str, members: &'static [Member]) -> Shape {
    Shape { name, kind: Kind::Structure { members }, sensitive: false }
}

/// Names are checked by the service; the longest is a role alias or thing name of 128 characters.
static NAME: Shape = text("Name", 128, false);
static TOKEN: Shape = text("NextToken", 8192, false);
static PLAIN: Shape = text("Text", 8192, false);
static SECRET: Shape = text("Secret", 8192, true);
/// Base64 of 2,048 characters of four bytes each.
static SESSION_POLICY: Shape = text("SessionPolicy", 10_924, false);

static CREDENTIALS_REQUEST: Shape = structure(
    "AssumeRoleWithCertificateRequest",
    &[
        member("roleAlias", "roleAlias", Location::Uri, &NAME, true),
        member("thingName", "x-amzn-iot-thingname", Location::Header, &NAME, false),
        // Ours, unknown to the original and to AWS: for which component of the core, and bounded by which policy (base64).
        member("component", "x-marram-session-for", Location::Header, &NAME, false),
        member("sessionPolicy", "x-marram-session-policy", Location::Header, &SESSION_POLICY, false),
    ],
);
static CREDENTIALS_RESPONSE: Shape = structure(
    "AssumeRoleWithCertificateResponse",
    &[member("credentials", "credentials", Location::Body, &CREDENTIALS, false)],
);
static CREDENTIALS: Shape = structure(
    "Credentials",
    &[
        member("accessKeyId", "accessKeyId", Location::Body, &PLAIN, false),
        member("secretAccessKey", "secretAccessKey", Location::Body, &SECRET, false),
        member("sessionToken", "sessionToken", Location::Body, &SECRET, false),
        member("expiration", "expiration", Location::Body, &PLAIN, false),
    ],
);

static DISCOVER_REQUEST: Shape =
    structure("DiscoverRequest", &[member("thingName", "thingName", Location::Uri, &NAME, true)]);
/// The discovery document is made by the service as a whole: it is the body.
static DOCUMENT: Shape =
    structure("DiscoverResponse", &[member("document", "document", Location::Payload, &PLAIN, false)]);

static CONFIGURATION_REQUEST: Shape = structure(
    "GetDeploymentConfigurationRequest",
    &[
        member("coreDeviceThingName", "coreDeviceThingName", Location::Uri, &NAME, true),
        member("deploymentId", "deploymentId", Location::Uri, &NAME, true),
    ],
);
static CONFIGURATION_RESPONSE: Shape = structure(
    "GetDeploymentConfigurationResponse",
    &[
        member("preSignedUrl", "preSignedUrl", Location::Body, &PLAIN, false),
        member("integrityCheck", "integrityCheck", Location::Body, &INTEGRITY, false),
    ],
);
static INTEGRITY: Shape = structure(
    "IntegrityCheck",
    &[
        member("algorithm", "algorithm", Location::Body, &PLAIN, false),
        member("digest", "digest", Location::Body, &PLAIN, false),
    ],
);
static PEM: Shape = text("Certificate", 16_384, false);
static AUTHORITIES: Shape = list("Certificates", &PEM);
static AUTHORITIES_REQUEST: Shape = structure(
    "PutCertificateAuthoritiesRequest",
    &[
        member("coreDeviceThingName", "coreDeviceThingName", Location::Uri, &NAME, true),
        member("coreDeviceCertificates", "coreDeviceCertificates", Location::Body, &AUTHORITIES, true),
    ],
);

static IDENTITY_REQUEST: Shape = structure(
    "VerifyClientDeviceIdentityRequest",
    &[member("clientDeviceCertificate", "clientDeviceCertificate", Location::Body, &PEM, true)],
);
static IDENTITY_RESPONSE: Shape = structure(
    "VerifyClientDeviceIdentityResponse",
    &[member("clientDeviceCertificateId", "clientDeviceCertificateId", Location::Body, &PLAIN, false)],
);
static ASSOCIATION_REQUEST: Shape = structure(
    "VerifyClientDeviceIoTCertificateAssociationRequest",
    &[
        member("clientDeviceThingName", "clientDeviceThingName", Location::Body, &NAME, true),
        member("clientDeviceCertificateId", "clientDeviceCertificateId", Location::Body, &NAME, true),
    ],
);

static THING_GROUPS_REQUEST: Shape = structure(
    "ListThingGroupsForCoreDeviceRequest",
    &[
        member("coreDeviceThingName", "coreDeviceThingName", Location::Uri, &NAME, true),
        member("nextToken", "nextToken", Location::Query, &TOKEN, false),
        member("maxResults", "maxResults", Location::Query, &COUNT, false),
    ],
);
static COUNT: Shape = Shape {
    name: "MaxResults",
    kind: Kind::Integer(crate::model::Number { min: Some(1), max: Some(100) }),
    sensitive: false,
};
static THING_GROUPS_RESPONSE: Shape = structure(
    "ListThingGroupsForCoreDeviceResponse",
    &[
        member("thingGroups", "thingGroups", Location::Body, &THING_GROUPS, false),
        member("nextToken", "nextToken", Location::Body, &TOKEN, false),
    ],
);
static THING_GROUPS: Shape = list("ThingGroupList", &THING_GROUP);
static THING_GROUP: Shape = structure(
    "ThingGroup",
    &[
        member("thingGroupName", "thingGroupName", Location::Body, &NAME, false),
        member("rootToParentThingGroups", "rootToParentThingGroups", Location::Body, &PARENTS, false),
    ],
);
static PARENTS: Shape = list("ThingGroupParents", &PARENT);
static PARENT: Shape =
    structure("ThingGroupParent", &[member("thingGroupName", "thingGroupName", Location::Body, &NAME, false)]);

const fn list(name: &'static str, element: &'static Shape) -> Shape {
    let kind = Kind::List { member: element, element: "member", flattened: false, min: None, max: None };
    Shape { name, kind, sensitive: false }
}
