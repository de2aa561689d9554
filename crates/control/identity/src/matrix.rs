//! Which permission each operation needs, with a resource to try it on: the table authorization tests derive from.
//!
//! Anonymous, bad signature, expired, wrong account, no permission, explicit deny, allowed: each operation is put through
//! all of them (style: "security reads first"). Source: control-plane-api.md section 3.7, things-graph.md section 11.1.

use marram_aws_api::{Operation, ServiceId};

/// What one operation needs.
#[derive(Clone, Debug)]
pub struct OperationNeed {
    /// The operation.
    pub operation: &'static Operation,
    /// Actions with the resource each is asked on; names in the resources are `example`.
    pub needs: Vec<(&'static str, String)>,
    /// Nobody who has proven who it is can be refused: `GetCallerIdentity`, `GetSessionToken`.
    pub always_allowed: bool,
}

/// Every operation whose shapes are known, in the order of services and names.
pub fn operation_needs(partition: &str, region: &str, account: &str) -> Vec<OperationNeed> {
    ServiceId::ALL
        .into_iter()
        .flat_map(|service| service.table().operations)
        .filter(|operation| operation.has_shapes)
        .map(|operation| OperationNeed {
            operation,
            needs: vec![(operation.iam_action, resource(operation, partition, region, account))],
            always_allowed: matches!(operation.name, "GetCallerIdentity" | "GetSessionToken")
                && operation.service == ServiceId::Sts,
        })
        .collect()
}

/// The resource of an operation, its names replaced by `example`.
fn resource(operation: &Operation, partition: &str, region: &str, account: &str) -> String {
    let (service, path, in_region) = match operation.service {
        ServiceId::ThingsGraph => ("iotthingsgraph", things_graph(operation.name), true),
        ServiceId::Iot => ("iot", iot(operation.name), true),
        ServiceId::IotData => ("iot", iot_data(operation.name), true),
        ServiceId::IotJobsData => ("iot", Some("thing/example"), true),
        ServiceId::Iam => ("iam", iam(operation.name), false),
        ServiceId::Sts => ("iam", (operation.name == "AssumeRole").then_some("role/example"), false),
        _ => ("", None, false),
    };
    match path {
        None => "*".to_owned(),
        Some(path) if in_region => format!("arn:{partition}:{service}:{region}:{account}:{path}"),
        Some(path) => format!("arn:{partition}:{service}::{account}:{path}"),
    }
}

fn things_graph(name: &str) -> Option<&'static str> {
    match name {
        "GetFlowTemplate"
        | "GetFlowTemplateRevisions"
        | "UpdateFlowTemplate"
        | "DeleteFlowTemplate"
        | "DeprecateFlowTemplate" => Some("Workflow/default/example"),
        "GetSystemTemplate"
        | "GetSystemTemplateRevisions"
        | "UpdateSystemTemplate"
        | "DeleteSystemTemplate"
        | "DeprecateSystemTemplate" => Some("System/default/example"),
        "GetSystemInstance"
        | "DeploySystemInstance"
        | "UndeploySystemInstance"
        | "DeleteSystemInstance"
        | "SearchFlowExecutions"
        | "TagResource"
        | "UntagResource"
        | "ListTagsForResource" => Some("Deployment/default/example"),
        _ => None,
    }
}

fn iot(name: &str) -> Option<&'static str> {
    match name {
        "CreateThing"
        | "DescribeThing"
        | "UpdateThing"
        | "DeleteThing"
        | "ListThingPrincipals"
        | "ListThingPrincipalsV2"
        | "ListThingGroupsForThing"
        | "ListJobExecutionsForThing"
        | "UpdateThingGroupsForThing"
        | "AddThingToThingGroup"
        | "RemoveThingFromThingGroup"
        | "AddThingToBillingGroup"
        | "RemoveThingFromBillingGroup" => Some("thing/example"),
        "AttachThingPrincipal"
        | "DetachThingPrincipal"
        | "ListPrincipalThings"
        | "ListPrincipalThingsV2"
        | "DescribeCertificate"
        | "UpdateCertificate"
        | "DeleteCertificate"
        | "TransferCertificate"
        | "AttachPolicy"
        | "DetachPolicy"
        | "AttachPrincipalPolicy"
        | "DetachPrincipalPolicy"
        | "ListPrincipalPolicies" => Some("cert/example"),
        "DescribeCACertificate" | "UpdateCACertificate" | "DeleteCACertificate" | "ListCertificatesByCA" => {
            Some("cacert/example")
        }
        "CreateThingGroup"
        | "CreateDynamicThingGroup"
        | "DescribeThingGroup"
        | "UpdateThingGroup"
        | "UpdateDynamicThingGroup"
        | "DeleteThingGroup"
        | "DeleteDynamicThingGroup"
        | "ListThingsInThingGroup" => Some("thinggroup/example"),
        "CreateBillingGroup"
        | "DescribeBillingGroup"
        | "UpdateBillingGroup"
        | "DeleteBillingGroup"
        | "ListThingsInBillingGroup" => Some("billinggroup/example"),
        "CreateThingType" | "DescribeThingType" | "DeprecateThingType" | "DeleteThingType" | "UpdateThingType" => {
            Some("thingtype/example")
        }
        "CreatePolicy"
        | "GetPolicy"
        | "DeletePolicy"
        | "CreatePolicyVersion"
        | "GetPolicyVersion"
        | "DeletePolicyVersion"
        | "ListPolicyVersions"
        | "SetDefaultPolicyVersion"
        | "ListTargetsForPolicy"
        | "ListPolicyPrincipals" => Some("policy/example"),
        "CreateRoleAlias" | "DescribeRoleAlias" | "UpdateRoleAlias" | "DeleteRoleAlias" => Some("rolealias/example"),
        _ => None,
    }
}

fn iot_data(name: &str) -> Option<&'static str> {
    match name {
        "GetThingShadow" | "UpdateThingShadow" | "DeleteThingShadow" | "ListNamedShadowsForThing" => {
            Some("thing/example")
        }
        "Publish" | "GetRetainedMessage" => Some("topic/example"),
        "DeleteConnection" => Some("client/example"),
        _ => None,
    }
}

fn iam(name: &str) -> Option<&'static str> {
    match name {
        "ListPolicies"
        | "GetAccountSummary"
        | "ListAccountAliases"
        | "GetAccountAuthorizationDetails"
        | "SimulateCustomPolicy"
        | "GetContextKeysForCustomPolicy" => None,
        "ListUsers" => Some("user/*"),
        "ListRoles" => Some("role/*"),
        "ListGroups" => Some("group/*"),
        "CreateServiceLinkedRole" => Some("role/aws-service-role/example.amazonaws.com/AWSServiceRoleForExample"),
        "AddUserToGroup" | "RemoveUserFromGroup" | "GetGroup" | "CreateGroup" | "UpdateGroup" | "DeleteGroup" => {
            Some("group/example")
        }
        "ListGroupsForUser" => Some("user/example"),
        name if name.contains("AccessKey") => Some("user/example"),
        name if name.contains("User") => Some("user/example"),
        name if name.contains("Role") => Some("role/example"),
        name if name.contains("Group") => Some("group/example"),
        name if name.contains("Policy") => Some("policy/example"),
        _ => None,
    }
}
