"""Secrets Manager as boto3 sees it (CP 9.2, SEC-165)."""
import json
import pathlib
import uuid

import botocore.exceptions
import pytest

MARKER = "planted-marker-8125"


@pytest.fixture
def secrets(client):
    return client("secretsmanager")


def refused(call, **given):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**given)
    return caught.value.response["Error"]["Code"]


def test_versions_and_stages(secrets, name):
    """CP 9.2: PutSecretValue moves AWSCURRENT and leaves AWSPREVIOUS behind; custom stages stay where they are put."""
    first = secrets.create_secret(Name=f"greengrass/{name}", SecretString="one", Description="d")
    assert first["ARN"].rsplit("-", 1)[0].endswith(f":secret:greengrass/{name}")
    assert len(first["ARN"].rsplit("-", 1)[1]) == 6
    second = secrets.put_secret_value(SecretId=first["ARN"], SecretBinary=b"\x00\xfftwo")
    assert second["VersionStages"] == ["AWSCURRENT"]
    bare = first["ARN"].rsplit("-", 1)[0]
    for secret_id in (f"greengrass/{name}", first["ARN"], bare):
        answer = secrets.get_secret_value(SecretId=secret_id)
        assert (answer["SecretBinary"], answer["ARN"]) == (b"\x00\xfftwo", first["ARN"])
        assert "SecretString" not in answer
    previous = secrets.get_secret_value(SecretId=bare, VersionStage="AWSPREVIOUS")
    assert (previous["SecretString"], previous["VersionId"]) == ("one", first["VersionId"])
    pending = secrets.put_secret_value(SecretId=bare, SecretString="three", VersionStages=["AWSPENDING"])
    assert secrets.get_secret_value(SecretId=bare)["VersionId"] == second["VersionId"]
    assert secrets.get_secret_value(SecretId=bare, VersionId=pending["VersionId"])["SecretString"] == "three"
    described = secrets.describe_secret(SecretId=bare)
    assert described["VersionIdsToStages"] == {
        first["VersionId"]: ["AWSPREVIOUS"], second["VersionId"]: ["AWSCURRENT"], pending["VersionId"]: ["AWSPENDING"]}
    updated = secrets.update_secret(SecretId=bare, SecretString="four", Description="e")
    assert secrets.get_secret_value(SecretId=bare)["VersionId"] == updated["VersionId"]
    assert secrets.describe_secret(SecretId=bare)["Description"] == "e"
    assert refused(secrets.get_secret_value, SecretId=bare, VersionStage="absent") == "ResourceNotFoundException"
    assert refused(secrets.get_secret_value, SecretId=bare, VersionId=first["VersionId"],
                   VersionStage="AWSPENDING") == "InvalidRequestException"


def test_labels_move_by_hand(secrets, name):
    """CP 9.2: a label moves only by who knows where it is; AWSCURRENT leaves AWSPREVIOUS behind and never goes."""
    one = secrets.create_secret(Name=name, SecretString="one")["VersionId"]
    two = secrets.put_secret_value(SecretId=name, SecretString="two", VersionStages=["next"])["VersionId"]
    move = dict(SecretId=name, VersionStage="AWSCURRENT", MoveToVersionId=two)
    assert refused(secrets.update_secret_version_stage, **move) == "InvalidParameterException"
    assert refused(secrets.update_secret_version_stage, **move, RemoveFromVersionId=two) == "InvalidParameterException"
    secrets.update_secret_version_stage(**move, RemoveFromVersionId=one)
    assert secrets.get_secret_value(SecretId=name)["SecretString"] == "two"
    assert secrets.get_secret_value(SecretId=name, VersionStage="AWSPREVIOUS")["SecretString"] == "one"
    assert refused(secrets.update_secret_version_stage, SecretId=name, VersionStage="AWSCURRENT",
                   RemoveFromVersionId=two) == "InvalidParameterException"
    secrets.update_secret_version_stage(SecretId=name, VersionStage="AWSPREVIOUS", RemoveFromVersionId=one)
    secrets.update_secret_version_stage(SecretId=name, VersionStage="next", RemoveFromVersionId=two)
    assert [v["VersionId"] for v in secrets.list_secret_version_ids(SecretId=name)["Versions"]] == [two]
    every = secrets.list_secret_version_ids(SecretId=name, IncludeDeprecated=True)["Versions"]
    assert {v["VersionId"]: v.get("VersionStages") for v in every} == {one: None, two: ["AWSCURRENT"]}


def test_tokens_make_requests_repeatable(secrets, name):
    """CP 9.2: the same token and value again changes nothing, another value is refused."""
    token = str(uuid.uuid4())
    made = secrets.create_secret(Name=name, SecretString="one", ClientRequestToken=token)
    again = secrets.create_secret(Name=name, SecretString="one", ClientRequestToken=token)
    assert (made["ARN"], made["VersionId"]) == (again["ARN"], again["VersionId"])
    assert refused(secrets.create_secret, Name=name, SecretString="two", ClientRequestToken=token) == "ResourceExistsException"
    token = str(uuid.uuid4())
    for _ in range(2):
        put = secrets.put_secret_value(SecretId=name, SecretString="two", ClientRequestToken=token)
        assert (put["VersionId"], put["VersionStages"]) == (token, ["AWSCURRENT"])
    assert refused(secrets.put_secret_value, SecretId=name, SecretString="three", ClientRequestToken=token) == "ResourceExistsException"


def test_deletion_waits_or_does_not(secrets, name):
    """CP 9.2: a secret that waits for its end is not read; its name is free only when it is gone, with another ARN."""
    arn = secrets.create_secret(Name=name, SecretString="one")["ARN"]
    assert refused(secrets.delete_secret, SecretId=name, RecoveryWindowInDays=6) == "InvalidParameterException"
    assert refused(secrets.delete_secret, SecretId=name, RecoveryWindowInDays=7,
                   ForceDeleteWithoutRecovery=True) == "InvalidParameterException"
    ended = secrets.delete_secret(SecretId=name, RecoveryWindowInDays=7)["DeletionDate"]
    assert 6 < (ended - secrets.describe_secret(SecretId=name)["DeletedDate"]).total_seconds() / 86400 < 8
    assert refused(secrets.get_secret_value, SecretId=name) == "InvalidRequestException"
    assert refused(secrets.put_secret_value, SecretId=name, SecretString="x") == "InvalidRequestException"
    assert refused(secrets.create_secret, Name=name, SecretString="x") == "InvalidRequestException"
    names = lambda **given: [s["Name"] for page in secrets.get_paginator("list_secrets").paginate(**given) for s in page["SecretList"]]
    assert name not in names() and name in names(IncludePlannedDeletion=True)
    secrets.restore_secret(SecretId=arn)
    assert secrets.get_secret_value(SecretId=name)["SecretString"] == "one"
    secrets.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    assert refused(secrets.get_secret_value, SecretId=arn) == "ResourceNotFoundException"
    assert secrets.create_secret(Name=name, SecretString="two")["ARN"] != arn
    assert refused(secrets.get_secret_value, SecretId=arn) == "ResourceNotFoundException"


def test_lists_are_filtered_and_paged(secrets, name):
    for index in range(5):
        secrets.create_secret(Name=f"{name}/{index}", SecretString="x", Tags=[{"Key": f"{name}-k{index % 2}", "Value": "v"}])
    secrets.tag_resource(SecretId=f"{name}/0", Tags=[{"Key": "extra", "Value": name}])
    secrets.untag_resource(SecretId=f"{name}/0", TagKeys=[f"{name}-k0"])
    assert secrets.describe_secret(SecretId=f"{name}/0")["Tags"] == [{"Key": "extra", "Value": name}]
    pages = secrets.get_paginator("list_secrets")

    def names(**given):
        return [s["Name"] for page in pages.paginate(PaginationConfig={"PageSize": 2}, **given) for s in page["SecretList"]]

    by_name = [{"Key": "name", "Values": [f"{name}/"]}]
    assert names(Filters=by_name, SortBy="name", SortOrder="asc") == [f"{name}/{index}" for index in range(5)]
    assert sorted(names(Filters=by_name)) == [f"{name}/{index}" for index in range(5)]
    assert names(Filters=[{"Key": "tag-key", "Values": [f"{name}-k0"]}], SortBy="name") == [f"{name}/4", f"{name}/2"]
    assert names(Filters=by_name + [{"Key": "name", "Values": [f"!{name}/1"]}], SortOrder="asc", SortBy="name") == [
        f"{name}/{index}" for index in (0, 2, 3, 4)]


def test_values_are_bounded(secrets, name):
    """CP 9.2: at most 65,536 bytes; text or binary, not both."""
    secrets.create_secret(Name=name)
    assert refused(secrets.get_secret_value, SecretId=name) == "ResourceNotFoundException"
    secrets.put_secret_value(SecretId=name, SecretString="x" * 65536)
    assert refused(secrets.put_secret_value, SecretId=name, SecretString="x" * 65537) in ("ValidationException", "InvalidParameterException")
    assert refused(secrets.put_secret_value, SecretId=name, SecretString="x", SecretBinary=b"x") == "InvalidParameterException"
    assert refused(secrets.put_secret_value, SecretId=name) == "InvalidRequestException"


def test_policies_reach_single_secrets(marram, secrets, make_user, name):
    """SEC 3.7: a policy names a secret by its name and a pattern for the random characters; nothing else opens."""
    mine = secrets.create_secret(Name=f"{name}-mine", SecretString="one")
    other = secrets.create_secret(Name=f"{name}-other", SecretString="two", Tags=[{"Key": "team", "Value": "a"}])
    pattern = mine["ARN"].rsplit("-", 1)[0] + "-??????"
    user = marram.client("secretsmanager", make_user({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": pattern},
        {"Effect": "Allow", "Action": "secretsmanager:DescribeSecret", "Resource": "*",
         "Condition": {"StringEquals": {"aws:ResourceTag/team": "a"}}}]}))
    assert user.get_secret_value(SecretId=f"{name}-mine")["SecretString"] == "one"
    assert user.describe_secret(SecretId=other["ARN"])["Name"] == f"{name}-other"
    for secret_id in (f"{name}-other", other["ARN"], f"{name}-absent"):
        assert refused(user.get_secret_value, SecretId=secret_id) == "AccessDeniedException"
    assert refused(user.describe_secret, SecretId=mine["ARN"]) == "AccessDeniedException"


def test_values_are_neither_on_the_disk_nor_in_the_log(marram, client, secrets, name):
    """SEC-184, SEC-168: every read leaves a record; no record and no file holds a value."""
    secrets.create_secret(Name=name, SecretString=MARKER)
    secrets.put_secret_value(SecretId=name, SecretString=MARKER + "2")
    assert secrets.get_secret_value(SecretId=name)["SecretString"] == MARKER + "2"
    trail = client("cloudtrail")
    found = []
    for _ in range(100):
        events = trail.lookup_events(LookupAttributes=[{"AttributeKey": "EventSource", "AttributeValue": "secretsmanager.amazonaws.com"}])
        found = [event for event in events["Events"] if name in event["CloudTrailEvent"]]
        if {event["EventName"] for event in found} >= {"CreateSecret", "PutSecretValue", "GetSecretValue"}:
            break
    assert {event["EventName"] for event in found} >= {"CreateSecret", "PutSecretValue", "GetSecretValue"}
    assert MARKER not in json.dumps([event["CloudTrailEvent"] for event in found])
    for path in pathlib.Path(marram.data).rglob("*"):
        if path.is_file():
            assert MARKER.encode() not in path.read_bytes(), path
