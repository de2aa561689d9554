"""Well-formed inputs that name nothing: what the authorization matrix and the refusals are sent with."""
import functools
import json

import botocore.session

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "iotthingsgraph.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)
IOT_POLICY = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}]}
)

#: By member name, lower case; {account} and {region} are filled in.
VALUES = {
    "arn": "arn:aws:iot:{region}:{account}:thinggroup/absent",
    "assumerolepolicydocument": TRUST,
    "accesskeyid": "AKIAABSENTABSENTABSE",
    "awsservicename": "absent.amazonaws.com",
    "cacertificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "certificateid": "0" * 64,
    "cacertificateid": "0" * 64,
    "certificatepem": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "certificatesigningrequest": "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
    "entityid": "urn:tdm:{region}/{account}/default:Device:Absent",
    "entitytype": "DEVICE",
    "entitytypes": ["DEVICE"],
    "flowexecutionid": "absent",
    "id": "urn:tdm:{region}/{account}/default:Workflow:Absent",
    "ids": ["urn:tdm:{region}/{account}/default:Device:Absent"],
    "permissionsboundary": "arn:aws:iam::{account}:policy/absent",
    "policydocument": IOT_POLICY,
    "policyversionid": "1",
    "principal": "arn:aws:iot:{region}:{account}:cert/" + "0" * 64,
    "resourcearn": "arn:aws:iot:{region}:{account}:thinggroup/absent",
    "rolearn": "arn:aws:iam::{account}:role/absent",
    "rolesessionname": "absent",
    "status": "Inactive",
    "newstatus": "INACTIVE",
    "provisioningrolearn": "arn:aws:iam::{account}:role/absent",
    "targetarn": "arn:aws:iot:{region}:{account}:thing/absent",
    "templatebody": '{"Resources": {"thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": "absent"}}}}',
    "systeminstanceid": "urn:tdm:{region}/{account}/default:Deployment:Absent",
    "tagkeys": ["absent"],
    "target": "arn:aws:iot:{region}:{account}:cert/" + "0" * 64,
    "thinggroupproperties": {"thingGroupDescription": "none"},
    "topic": "absent/topic",
    "uploadid": "absent",
    "versionid": "v1",
    "verificationcertificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
}

#: Where one name means different things.
SPECIAL = {
    ("iotthingsgraph", "resourcearn"): "arn:aws:iotthingsgraph:{region}:{account}:Deployment/default/Absent",
    ("iotthingsgraph", "definition"): {
        "language": "GRAPHQL",
        "text": "query Absent @workflowType(id: \"urn:tdm:{region}/{account}/default:Workflow:Absent\") {{ }}",
    },
    ("iotthingsgraph", "target"): "CLOUD",
    ("secretsmanager", "tags"): [{"Key": "absent", "Value": "absent"}],
    ("greengrassv2", "arn"): "arn:aws:greengrass:{region}:{account}:components:Absent:versions:1.0.0",
    ("greengrassv2", "resourcearn"): "arn:aws:greengrass:{region}:{account}:components:Absent:versions:1.0.0",
    ("greengrassv2", "ListComponentVersions", "arn"): "arn:aws:greengrass:{region}:{account}:components:Absent",
    ("greengrassv2", "tags"): {"absent": "absent"},
    ("greengrassv2", "targetarn"): "arn:aws:iot:{region}:{account}:thinggroup/absent",
    ("greengrassv2", "rolearn"): "nothing",
    ("iam", "policyarn"): "arn:aws:iam::{account}:policy/absent",
    ("iam", "policydocument"): IOT_POLICY,
    ("iot", "policyname"): "absent",
    ("iot", "policyversionid"): "1",
    ("iot", "versionid"): 1,
    ("iot-jobs-data", "status"): "IN_PROGRESS",
}

#: Members that are not required by the model but by the operation.
ALSO = {
    ("iotthingsgraph", "DeploySystemInstance"): ["id"],
    ("iotthingsgraph", "UndeploySystemInstance"): ["id"],
    ("iotthingsgraph", "DeleteSystemInstance"): ["id"],
    ("iotthingsgraph", "UploadEntityDefinitions"): ["document"],
    ("iot", "AddThingToThingGroup"): ["thingName", "thingGroupName"],
    ("iot", "RemoveThingFromThingGroup"): ["thingName", "thingGroupName"],
    ("iot", "UpdateThingGroupsForThing"): ["thingName"],
    ("iam", "GetUser"): ["UserName"],
    ("iam", "CreateAccessKey"): ["UserName"],
    ("iam", "ListAccessKeys"): ["UserName"],
    ("iam", "UpdateAccessKey"): ["UserName"],
    ("iam", "DeleteAccessKey"): ["UserName"],
}


@functools.cache
def model(service):
    return botocore.session.get_session().get_service_model(service)


def minimal(service, operation, account, region):
    """Every required member with a well-formed value that names nothing."""
    shape = model(service).operation_model(operation).input_shape
    if shape is None:
        return {}
    wanted = [*shape.required_members, *ALSO.get((service, operation), [])]
    return {member: _value(service, member, shape.members[member], account, region, operation) for member in wanted}


def _value(service, member, shape, account, region, operation=""):
    key = member.lower()
    known = SPECIAL.get((service, operation, key)) or SPECIAL.get((service, key), VALUES.get(key))
    if (service, key) == ("iotthingsgraph", "id"):
        metatype = "Deployment" if "SystemInstance" in operation else "System" if "System" in operation else "Workflow"
        known = known.replace("Workflow", metatype)
    # Names of other services may mean something else altogether.
    fits = {"structure": dict, "map": dict, "list": list}.get(shape.type_name, (str, int))
    if isinstance(known, fits):
        return _fill(known, account, region)
    kind = shape.type_name
    if kind == "structure":
        return {name: _value(service, name, shape.members[name], account, region) for name in shape.required_members}
    if kind == "list":
        return [_value(service, shape.member.name, shape.member, account, region)]
    if kind == "map":
        return {}
    if kind == "boolean":
        return False
    if kind in ("integer", "long"):
        return max(1, shape.metadata.get("min", 1))
    if kind in ("float", "double", "timestamp"):
        return 1
    if kind == "blob":
        return b"{}"
    if getattr(shape, "enum", None):
        return shape.enum[0]
    return "absent"


def _fill(value, account, region):
    if isinstance(value, str):
        # JSON texts hold braces of their own.
        return value.replace("{account}", account).replace("{region}", region).replace("{{", "{").replace("}}", "}") \
            if "{account}" in value or "{region}" in value else value
    if isinstance(value, list):
        return [_fill(item, account, region) for item in value]
    if isinstance(value, dict):
        return {key: _fill(item, account, region) for key, item in value.items()}
    return value


def fill(value, account, region):
    """The same for inputs given by hand."""
    return _fill(value, account, region)
