"""Writes the request fixtures of wire/aws-api: what botocore puts on the wire for a few dozen calls.

    python conformance/wire/make_requests.py

Each row holds the call's parameters as our decoder must find them (blobs as base64, timestamps as epoch seconds) and the bytes
botocore sends. Run it again when a row is added; the output is deterministic.
"""
import base64
import datetime
import json
import pathlib
from urllib.parse import urlsplit

import botocore.session
from botocore.awsrequest import prepare_request_dict
from botocore.serialize import create_serializer

OUT = pathlib.Path(__file__).parents[2] / "crates/wire/aws-api/tests/fixtures/requests.json"
WHEN = datetime.datetime(2026, 3, 2, 8, 14, 2, tzinfo=datetime.timezone.utc)
ARN = "arn:aws:iot:us-east-1:000000000000:cert/" + "ab" * 32

CALLS = [
    ("iot", "CreateThing", {"thingName": "lamp:1", "thingTypeName": "bulb", "attributePayload": {"attributes": {"colour": "red"}, "merge": True}}),
    ("iot", "DescribeThing", {"thingName": "lamp_1-a"}),
    ("iot", "UpdateThing", {"thingName": "lamp", "expectedVersion": 3, "removeThingType": True}),
    ("iot", "DeleteThing", {"thingName": "lamp", "expectedVersion": 7}),
    ("iot", "ListThings", {"maxResults": 25, "attributeName": "colour", "attributeValue": "a,b=c#d", "usePrefixAttributeValue": False, "nextToken": "a+b/c=="}),
    ("iot", "CreateThingGroup", {"thingGroupName": "hall", "thingGroupProperties": {"thingGroupDescription": "under the stairs"}, "tags": [{"Key": "k", "Value": "v"}, {"Key": "e"}]}),
    ("iot", "AttachThingPrincipal", {"thingName": "lamp", "principal": ARN, "thingPrincipalType": "EXCLUSIVE_THING"}),
    ("iot", "ListPrincipalThings", {"principal": ARN, "maxResults": 2}),
    ("iot", "AttachPrincipalPolicy", {"policyName": "p", "principal": ARN}),
    ("iot", "ListPolicyPrincipals", {"policyName": "p", "ascendingOrder": True}),
    ("iot", "CreatePolicy", {"policyName": "p=,.@-x", "policyDocument": '{"Version":"2012-10-17","Statement":[]}'}),
    ("iot", "CreatePolicyVersion", {"policyName": "p", "policyDocument": "{}", "setAsDefault": True}),
    ("iot", "ListAttachedPolicies", {"target": ARN, "recursive": True, "pageSize": 10}),
    ("iot", "UpdateCertificate", {"certificateId": "ab" * 32, "newStatus": "INACTIVE"}),
    ("iot", "CreateKeysAndCertificate", {"setAsActive": True}),
    ("iot", "ListTagsForResource", {"resourceArn": "arn:aws:iot:us-east-1:000000000000:thinggroup/hall"}),
    ("iot", "UntagResource", {"resourceArn": "arn:aws:iot:us-east-1:000000000000:thinggroup/hall", "tagKeys": ["a", "b"]}),
    ("iot", "DescribeEndpoint", {"endpointType": "iot:Data-ATS"}),
    ("iot", "RegisterThing", {"templateBody": "{}", "parameters": {"ThingName": "x"}}),
    ("iot-data", "Publish", {"topic": "a/b c/$x", "qos": 1, "retain": True, "payload": b"\x00\xff{", "messageExpiry": 60, "contentType": "text/plain", "correlationData": "YWJj"}),
    ("iot-data", "UpdateThingShadow", {"thingName": "lamp", "shadowName": "s", "payload": b'{"state":{}}'}),
    ("iot-data", "ListNamedShadowsForThing", {"thingName": "lamp", "pageSize": 3}),
    ("iot-jobs-data", "StartNextPendingJobExecution", {"thingName": "lamp", "statusDetails": {"a": "b"}, "stepTimeoutInMinutes": 5}),
    ("iot-jobs-data", "DescribeJobExecution", {"jobId": "$next", "thingName": "lamp", "includeJobDocument": True, "executionNumber": 4}),
    ("iotthingsgraph", "CreateFlowTemplate", {"definition": {"language": "GRAPHQL", "text": "query F @workflow(id: \"urn:tdm:aws:Workflow:F\") { ünder }"}, "compatibleNamespaceVersion": 3}),
    ("iotthingsgraph", "SearchEntities", {"entityTypes": ["DEVICE", "SERVICE"], "filters": [{"name": "NAME", "value": ["a", "b"]}], "maxResults": 5}),
    ("iotthingsgraph", "SearchFlowExecutions", {"systemInstanceId": "urn:tdm:us-east-1/000000000000/default:Deployment:D", "startTime": WHEN}),
    ("iotthingsgraph", "DeleteNamespace", {}),
    ("iotthingsgraph", "TagResource", {"resourceArn": "arn:aws:iotthingsgraph:us-east-1:000000000000:Workflow/default/F", "tags": [{"key": "k", "value": "v"}]}),
    ("cloudtrail", "LookupEvents", {"LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "CreateThing"}], "StartTime": WHEN, "MaxResults": 3}),
    ("sts", "GetCallerIdentity", {}),
    ("sts", "AssumeRole", {"RoleArn": "arn:aws:iam::000000000000:role/r", "RoleSessionName": "ci", "DurationSeconds": 900, "Tags": [{"Key": "a", "Value": "b c"}, {"Key": "d", "Value": "+@="}], "TransitiveTagKeys": ["a"], "PolicyArns": [{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}]}),
    ("iam", "CreateRole", {"RoleName": "r", "AssumeRolePolicyDocument": '{"Statement": [{"Effect":"Allow"}]}\n', "Path": "/x/", "MaxSessionDuration": 3600}),
    ("iam", "UntagUser", {"UserName": "u", "TagKeys": ["a", "b"]}),
    ("iam", "SimulateCustomPolicy", {"PolicyInputList": ["{}"], "ActionNames": ["iot:Publish"], "ContextEntries": [{"ContextKeyName": "aws:x", "ContextKeyValues": ["1", "2"], "ContextKeyType": "string"}]}),
    ("iam", "CreatePolicyVersion", {"PolicyArn": "arn:aws:iam::000000000000:policy/p", "PolicyDocument": "{}", "SetAsDefault": False}),
]


def plain(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.datetime):
        return int(value.timestamp())
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value


def row(session, service, operation, params):
    model = session.get_service_model(service)
    serializer = create_serializer(model.metadata["protocol"])
    request = serializer.serialize_to_request(params, model.operation_model(operation))
    prepare_request_dict(request, endpoint_url="https://marram.example", context={})
    from botocore.awsrequest import create_request_object

    sent = create_request_object(request).prepare()
    parts = urlsplit(sent.url)
    body = sent.body or b""
    if isinstance(body, str):
        body = body.encode()
    headers = {key.lower(): value if isinstance(value, str) else value.decode() for key, value in sent.headers.items()}
    headers.pop("content-length", None)
    headers.pop("user-agent", None)
    return {
        "service": service,
        "scope": model.signing_name,
        "operation": operation,
        "method": sent.method,
        "path": parts.path or "/",
        "query": parts.query,
        "headers": dict(sorted(headers.items())),
        "body": base64.b64encode(body).decode(),
        "input": plain(params),
    }


def main():
    session = botocore.session.get_session()
    rows = [row(session, *call) for call in CALLS]
    OUT.write_text("[\n" + ",\n".join(json.dumps(each, ensure_ascii=False) for each in rows) + "\n]\n")


if __name__ == "__main__":
    main()
