"""Every operation of every client, once by nobody and once by an administrator: no answer is an accident (CP 1.8, 4.2, 9.1, 13).

What is built succeeds or refuses as its model says; what is not built says so and does nothing. An account of its own takes the
effects.
"""
import botocore.exceptions
import pytest

import installation
import samples

SERVICES = ["cloudtrail", "cloudwatch", "greengrassv2", "iam", "iot", "iot-data", "iot-jobs-data", "iotthingsgraph", "logs",
            "secretsmanager", "sts"]

#: The object store's operations that are built (CP 9.1); test_s3 tries them.
OBJECTS = """
AbortMultipartUpload CompleteMultipartUpload CopyObject CreateBucket CreateMultipartUpload DeleteBucket DeleteBucketPolicy
DeleteObject DeleteObjects GetBucketLocation GetBucketPolicy GetObject HeadBucket HeadObject ListBuckets ListMultipartUploads
ListObjects ListObjectsV2 ListParts PutBucketPolicy PutObject UploadPart
""".split()

#: Every service's own words for a caller who may not, and for input that cannot be (CP 1.4, 1.5, 1.7).
COMMON = {
    "AccessDenied", "AccessDeniedException", "ForbiddenException", "InvalidInput", "InvalidParameterException",
    "InvalidParameterValue", "InvalidRequestException", "MalformedPolicyDocument", "MissingParameter", "UnauthorizedException",
    "ValidationError", "ValidationException",
}
#: What the models leave out.
BESIDE_THE_MODEL = {
    ("greengrassv2", "GetServiceRoleForAccount"): "ResourceNotFoundException",
    ("iam", "GetAccessKeyLastUsed"): "NoSuchEntity",
}
NOT_SUPPORTED = "is not supported by this endpoint"

#: What nobody needs a permission for.
FREE = {("sts", "GetCallerIdentity"), ("sts", "GetSessionToken"), ("sts", "GetAccessKeyInfo")}


@pytest.fixture(scope="module")
def callers(marram):
    """An account of its own: `(its id, {"nobody": keys, "administrator": keys})`."""
    account, administrator = marram.create_account("sweep")
    iam = marram.client("iam", administrator, record=False)
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]
    nobody = installation.Keys(key["AccessKeyId"], key["SecretAccessKey"])
    return account, {"nobody": nobody, "administrator": administrator}


def answer(client, operation, parameters):
    """`(status, code, message)`; the code of a success is None."""
    try:
        told = client._make_api_call(operation, parameters)
        return told["ResponseMetadata"]["HTTPStatusCode"], None, ""
    except botocore.exceptions.ClientError as error:
        told = error.response
        return told["ResponseMetadata"]["HTTPStatusCode"], told["Error"]["Code"], told["Error"].get("Message", "")


def accident(service, operation, who, told):
    """What is wrong with an answer; None when nothing is."""
    status, code, message = told
    if code is None:
        return "a success of nobody" if who == "nobody" and (service, operation) not in FREE else None
    if status >= 500:
        return "the server's fault"
    if NOT_SUPPORTED in message:
        return None
    model = samples.model(service).operation_model(operation)
    if model.auth_type == "none" and code == "MissingAuthenticationToken":
        return None
    modelled = {shape.metadata.get("error", {}).get("code", shape.name) for shape in model.error_shapes}
    known = code in modelled | COMMON or BESIDE_THE_MODEL.get((service, operation)) == code
    return None if known else "not modelled"


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_has_an_answer(marram, callers, service):
    account, keys = callers
    accidents = []
    for who in ("nobody", "administrator"):
        client = marram.client(service, keys[who], record=False, inject_host_prefix=False)
        for operation in samples.model(service).operation_names:
            parameters = samples.minimal(service, operation, account, marram.region)
            told = answer(client, operation, parameters)
            why = accident(service, operation, who, told)
            if why:
                accidents.append((why, operation, who, *told))
    assert not accidents, "\n".join(map(str, accidents))


def test_what_is_not_built_of_the_object_store_does_nothing(marram, callers):
    """Whoever asks, and whatever the operation is called: buckets and objects stay as they are, byte by byte."""
    _, keys = callers
    mine = marram.client("s3", keys["administrator"], record=False)
    mine.create_bucket(Bucket="swept")
    mine.put_object(Bucket="swept", Key="k", Body=b"precious", Metadata={"kept": "too"})

    def state():
        got = mine.get_object(Bucket="swept", Key="k")
        listed = mine.list_objects_v2(Bucket="swept")
        names = [bucket["Name"] for bucket in mine.list_buckets()["Buckets"]]
        return got["Body"].read(), got["ETag"], got["LastModified"], got["Metadata"], listed["Contents"], names

    before = state()
    accidents = []
    for who in ("nobody", "administrator"):
        client = marram.client("s3", keys[who], record=False, inject_host_prefix=False)
        for operation in samples.model("s3").operation_names:
            if operation in OBJECTS and who == "administrator":
                continue
            parameters = samples.minimal("s3", operation, *callers[:1], marram.region)
            given = {"Bucket": "swept", "Key": "k"}
            members = samples.model("s3").operation_model(operation).input_shape
            parameters.update({name: value for name, value in given.items() if members and name in members.members})
            told = answer(client, operation, parameters)
            wanted = {"NotImplemented"}
            if operation in OBJECTS:
                # HEAD has no body to name an error in.
                wanted = {"403"} if operation.startswith("Head") else {"AccessDenied"}
            if told[1] not in wanted or state() != before:
                accidents.append((operation, who, *told))
                assert state() == before, accidents
    assert not accidents, "\n".join(map(str, accidents))


def test_what_a_simulation_would_leave_out_is_refused(marram, callers):
    """CP 3.5: policies of an organization are not asked here, so there is no answer that counts them in."""
    _, keys = callers
    iam = marram.client("iam", keys["administrator"], record=False)
    guardrails = [{"ServiceControlPolicyInputList": [samples.IOT_POLICY]}]
    told = answer(iam, "SimulateCustomPolicy", {
        "PolicyInputList": [samples.IOT_POLICY], "ActionNames": ["iot:Connect"],
        "OrderedOrganizationPolicyInputList": guardrails})
    assert told[1] == "InvalidInput" and NOT_SUPPORTED in told[2]
