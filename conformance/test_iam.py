"""iam and sts through boto3: every T1 operation (CP 3.6)."""
import json

import pytest

import installation
from pages import all_pages


def trust(principal):
    return json.dumps({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}],
    })


def allow(action, resource="*"):
    return json.dumps({
        "Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]
    })


@pytest.fixture
def iam(client):
    return client("iam")


@pytest.fixture
def policy(iam, name):
    arn = iam.create_policy(PolicyName=f"{name}-managed", PolicyDocument=allow("iot:ListThings"), Path="/demo/")["Policy"]["Arn"]
    yield arn
    for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
    iam.delete_policy(PolicyArn=arn)


def test_roles(iam, marram, name, policy):
    document = trust({"AWS": f"arn:aws:iam::{marram.account}:root"})
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document, Tags=[{"Key": "a", "Value": "b"}])["Role"]
    assert role["Arn"] == f"arn:aws:iam::{marram.account}:role/{name}"
    assert role["RoleId"].startswith("AROA")
    assert iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"] == json.loads(document)
    with pytest.raises(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
    assert name in [one["RoleName"] for one in iam.list_roles()["Roles"]]
    iam.update_role(RoleName=name, Description="d", MaxSessionDuration=7200)
    assert iam.get_role(RoleName=name)["Role"]["MaxSessionDuration"] == 7200
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust({"Service": "iot.amazonaws.com"}))
    iam.put_role_policy(RoleName=name, PolicyName="inline", PolicyDocument=allow("iot:ListThings"))
    assert iam.get_role_policy(RoleName=name, PolicyName="inline")["PolicyDocument"] == json.loads(allow("iot:ListThings"))
    assert iam.list_role_policies(RoleName=name)["PolicyNames"] == ["inline"]
    iam.attach_role_policy(RoleName=name, PolicyArn=policy)
    assert [one["PolicyArn"] for one in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]] == [policy]
    entities = iam.list_entities_for_policy(PolicyArn=policy)
    assert [one["RoleName"] for one in entities["PolicyRoles"]] == [name]
    iam.tag_role(RoleName=name, Tags=[{"Key": "c", "Value": "d"}])
    iam.untag_role(RoleName=name, TagKeys=["a"])
    assert iam.list_role_tags(RoleName=name)["Tags"] == [{"Key": "c", "Value": "d"}]
    iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=policy)
    assert iam.get_role(RoleName=name)["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == policy
    iam.delete_role_permissions_boundary(RoleName=name)
    assert iam.list_instance_profiles_for_role(RoleName=name)["InstanceProfiles"] == []
    with pytest.raises(iam.exceptions.DeleteConflictException):
        iam.delete_role(RoleName=name)
    iam.delete_role_policy(RoleName=name, PolicyName="inline")
    iam.detach_role_policy(RoleName=name, PolicyArn=policy)
    iam.delete_role(RoleName=name)


def test_policies(iam, policy):
    made = iam.get_policy(PolicyArn=policy)["Policy"]
    assert (made["DefaultVersionId"], made["Path"]) == ("v1", "/demo/")
    version = iam.create_policy_version(PolicyArn=policy, PolicyDocument=allow("iot:*"), SetAsDefault=True)
    assert version["PolicyVersion"]["VersionId"] == "v2"
    assert iam.get_policy_version(PolicyArn=policy, VersionId="v2")["PolicyVersion"]["Document"] == json.loads(allow("iot:*"))
    iam.set_default_policy_version(PolicyArn=policy, VersionId="v1")
    iam.delete_policy_version(PolicyArn=policy, VersionId="v2")
    assert [one["VersionId"] for one in iam.list_policy_versions(PolicyArn=policy)["Versions"]] == ["v1"]
    assert policy in [one["Arn"] for one in iam.list_policies(Scope="Local")["Policies"]]
    iam.tag_policy(PolicyArn=policy, Tags=[{"Key": "k", "Value": "v"}])
    assert iam.list_policy_tags(PolicyArn=policy)["Tags"] == [{"Key": "k", "Value": "v"}]
    iam.untag_policy(PolicyArn=policy, TagKeys=["k"])
    assert iam.list_policy_tags(PolicyArn=policy)["Tags"] == []


def test_users(iam, marram, name, policy):
    user = iam.create_user(UserName=name)["User"]
    assert user["Arn"] == f"arn:aws:iam::{marram.account}:user/{name}" and user["UserId"].startswith("AIDA")
    assert iam.get_user(UserName=name)["User"]["UserId"] == user["UserId"]
    assert name in [one["UserName"] for one in iam.list_users()["Users"]]
    key = iam.create_access_key(UserName=name)["AccessKey"]
    assert key["AccessKeyId"].startswith("AKIA") and len(key["SecretAccessKey"]) == 40
    iam.create_access_key(UserName=name)
    with pytest.raises(iam.exceptions.LimitExceededException):
        iam.create_access_key(UserName=name)
    keys = iam.list_access_keys(UserName=name)["AccessKeyMetadata"]
    assert len(keys) == 2 and all("SecretAccessKey" not in one for one in keys)
    assert iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])["UserName"] == name
    iam.update_access_key(UserName=name, AccessKeyId=key["AccessKeyId"], Status="Inactive")
    for one in keys:
        iam.delete_access_key(UserName=name, AccessKeyId=one["AccessKeyId"])
    iam.put_user_policy(UserName=name, PolicyName="inline", PolicyDocument=allow("iot:*"))
    assert iam.get_user_policy(UserName=name, PolicyName="inline")["PolicyDocument"] == json.loads(allow("iot:*"))
    assert iam.list_user_policies(UserName=name)["PolicyNames"] == ["inline"]
    iam.delete_user_policy(UserName=name, PolicyName="inline")
    iam.attach_user_policy(UserName=name, PolicyArn=policy)
    assert [one["PolicyArn"] for one in iam.list_attached_user_policies(UserName=name)["AttachedPolicies"]] == [policy]
    with pytest.raises(iam.exceptions.DeleteConflictException):
        iam.delete_user(UserName=name)
    iam.detach_user_policy(UserName=name, PolicyArn=policy)
    iam.update_user(UserName=name, NewUserName=f"{name}-renamed")
    iam.delete_user(UserName=f"{name}-renamed")


def test_groups(iam, name, policy):
    iam.create_group(GroupName=name)
    iam.create_user(UserName=name)
    iam.add_user_to_group(GroupName=name, UserName=name)
    assert [one["UserName"] for one in iam.get_group(GroupName=name)["Users"]] == [name]
    assert [one["GroupName"] for one in iam.list_groups_for_user(UserName=name)["Groups"]] == [name]
    assert name in [one["GroupName"] for one in iam.list_groups()["Groups"]]
    iam.put_group_policy(GroupName=name, PolicyName="inline", PolicyDocument=allow("iot:*"))
    assert iam.get_group_policy(GroupName=name, PolicyName="inline")["PolicyDocument"] == json.loads(allow("iot:*"))
    assert iam.list_group_policies(GroupName=name)["PolicyNames"] == ["inline"]
    iam.delete_group_policy(GroupName=name, PolicyName="inline")
    iam.attach_group_policy(GroupName=name, PolicyArn=policy)
    assert [one["PolicyArn"] for one in iam.list_attached_group_policies(GroupName=name)["AttachedPolicies"]] == [policy]
    iam.detach_group_policy(GroupName=name, PolicyArn=policy)
    iam.remove_user_from_group(GroupName=name, UserName=name)
    iam.delete_user(UserName=name)
    iam.delete_group(GroupName=name)


def test_account(iam):
    assert iam.get_account_summary()["SummaryMap"]["Users"] >= 0
    assert iam.list_account_aliases()["AccountAliases"] == []


def test_service_linked_role(iam):
    made = iam.create_service_linked_role(AWSServiceName="iotthingsgraph.amazonaws.com")["Role"]
    assert made["Path"].startswith("/aws-service-role/")


def test_installer_behaviour(iam):
    """CP 3.6: the installer asks for a vendor policy that is not there, then for the account's own."""
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_policy(PolicyArn="arn:aws:iam::aws:policy/GreengrassV2TokenExchangeRoleAccess")


def test_pages(iam, name):
    """CP 1.6: `IsTruncated` is always there, markers move, nothing is listed twice."""
    names = {f"{name}-{n}" for n in range(4)}
    for one in names:
        iam.create_user(UserName=one)
    page = iam.list_users(MaxItems=1)
    assert page["IsTruncated"] is True and len(page["Users"]) == 1
    found = [user["UserName"] for user in all_pages(iam.list_users, "Marker", "Marker", "Users", MaxItems=2)]
    assert len(found) == len(set(found)) and names <= set(found)
    for one in names:
        iam.delete_user(UserName=one)


def test_caller_identity(client, marram, make_user):
    mine = client("sts").get_caller_identity()
    assert mine["Account"] == marram.account
    keys = make_user()
    user = marram.client("sts", keys).get_caller_identity()
    assert user["Arn"].startswith(f"arn:aws:iam::{marram.account}:user/"), "no permission is needed to ask who one is"


def test_assume_role(iam, client, marram, make_user, name):
    """CP 3.5: a role is taken on by whom its trust names, and the session has the role's permissions and no others."""
    keys = make_user(json.loads(allow("sts:AssumeRole")))
    stranger = make_user(json.loads(allow("sts:AssumeRole")))
    arn = marram.client("sts", keys).get_caller_identity()["Arn"]
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust({"AWS": arn}))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="inline", PolicyDocument=allow("iot:ListThings"))
    answer = marram.client("sts", keys).assume_role(RoleArn=role, RoleSessionName="s1", DurationSeconds=900)
    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{marram.account}:assumed-role/{name}/s1"
    made = answer["Credentials"]
    session = installation.Keys(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
    assert made["AccessKeyId"].startswith("ASIA")
    marram.client("iot", session).list_things()
    with pytest.raises(Exception, match="AccessDenied"):
        marram.client("iot", session).list_policies()
    with pytest.raises(Exception, match="AccessDenied"):
        marram.client("sts", stranger).assume_role(RoleArn=role, RoleSessionName="s1")
    broken = installation.Keys(session.access_key, session.secret_key, session.token[:-4] + "AAAA")
    with pytest.raises(Exception, match="UnrecognizedClient|InvalidClientToken|ExpiredToken|InvalidToken"):
        marram.client("iot", broken).list_things()


def test_session_token(marram, make_user):
    keys = make_user(json.loads(allow("iot:ListThings")))
    made = marram.client("sts", keys).get_session_token(DurationSeconds=900)["Credentials"]
    session = installation.Keys(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
    marram.client("iot", session).list_things()
