"""The registry through boto3: every T1 operation and the certificate authorities (CP 4)."""
import json
import subprocess

import pytest

from pages import all_pages

POLICY = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}]}
)
OTHER = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "iot:Connect", "Resource": "*"}]}
)


@pytest.fixture
def iot(client):
    return client("iot")


@pytest.fixture
def certificate(iot):
    made = iot.create_keys_and_certificate(setAsActive=True)
    yield made
    for policy in iot.list_attached_policies(target=made["certificateArn"])["policies"]:
        iot.detach_policy(policyName=policy["policyName"], target=made["certificateArn"])
    for thing in iot.list_principal_things(principal=made["certificateArn"])["things"]:
        iot.detach_thing_principal(thingName=thing, principal=made["certificateArn"])
    iot.update_certificate(certificateId=made["certificateId"], newStatus="INACTIVE")
    iot.delete_certificate(certificateId=made["certificateId"], forceDelete=True)


def openssl(*arguments, text=None):
    return subprocess.run(["openssl", *arguments], input=text, check=True, capture_output=True, text=True).stdout


def self_signed(tmp_path, name):
    key, certificate = tmp_path / f"{name}.key", tmp_path / f"{name}.pem"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(key),
            "-out", str(certificate), "-subj", f"/CN={name}", "-days", "30",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    return key, certificate


def signed_by(tmp_path, name, ca_key, ca_certificate):
    key, request, certificate = (tmp_path / f"{name}.{end}" for end in ("key", "csr", "pem"))
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(key),
            "-out", str(request), "-subj", f"/CN={name}")
    openssl("x509", "-req", "-in", str(request), "-CA", str(ca_certificate), "-CAkey", str(ca_key), "-CAcreateserial",
            "-out", str(certificate), "-days", "30")
    return certificate


def test_endpoint(iot):
    for kind in ("iot:Data-ATS", "iot:CredentialProvider", "iot:Jobs"):
        assert iot.describe_endpoint(endpointType=kind)["endpointAddress"]


def test_things(iot, marram, name):
    made = iot.create_thing(thingName=name, attributePayload={"attributes": {"floor": "3"}})
    assert made["thingArn"] == f"arn:aws:iot:{marram.region}:{marram.account}:thing/{name}"
    again = iot.create_thing(thingName=name, attributePayload={"attributes": {"floor": "3"}})
    assert again["thingId"] == made["thingId"], "the same thing twice is the same thing"
    with pytest.raises(iot.exceptions.ResourceAlreadyExistsException) as caught:
        iot.create_thing(thingName=name, attributePayload={"attributes": {"floor": "4"}})
    assert caught.value.response["resourceArn"] == made["thingArn"]
    iot.update_thing(thingName=name, attributePayload={"attributes": {"room": "12"}, "merge": True}, expectedVersion=1)
    thing = iot.describe_thing(thingName=name)
    assert (thing["attributes"], thing["version"]) == ({"floor": "3", "room": "12"}, 2)
    with pytest.raises(iot.exceptions.VersionConflictException):
        iot.update_thing(thingName=name, attributePayload={"attributes": {}}, expectedVersion=1)
    found = iot.list_things(attributeName="room", attributeValue="12")["things"]
    assert name in [thing["thingName"] for thing in found]
    iot.delete_thing(thingName=name)
    iot.delete_thing(thingName=name)
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_thing(thingName=name)


def test_thing_types(iot, name):
    iot.create_thing_type(thingTypeName=name, thingTypeProperties={"searchableAttributes": ["floor"]})
    iot.create_thing(thingName=name, thingTypeName=name)
    assert iot.describe_thing(thingName=name)["thingTypeName"] == name
    assert iot.describe_thing_type(thingTypeName=name)["thingTypeProperties"]["searchableAttributes"] == ["floor"]
    iot.update_thing_type(thingTypeName=name, thingTypeProperties={"searchableAttributes": ["floor"]})
    with pytest.raises(iot.exceptions.InvalidRequestException):
        iot.delete_thing_type(thingTypeName=name)
    iot.update_thing(thingName=name, removeThingType=True)
    iot.deprecate_thing_type(thingTypeName=name)
    assert iot.describe_thing_type(thingTypeName=name)["thingTypeMetadata"]["deprecated"] is True
    assert name in [one["thingTypeName"] for one in iot.list_thing_types(thingTypeName=name)["thingTypes"]]
    iot.deprecate_thing_type(thingTypeName=name, undoDeprecate=True)
    iot.delete_thing(thingName=name)


def test_thing_types_are_deleted_after_their_rest(iot, client, name):
    """A deprecated type can be deleted five minutes later, not before (CP 4.4)."""
    iot.create_thing_type(thingTypeName=name)
    iot.deprecate_thing_type(thingTypeName=name)
    with pytest.raises(iot.exceptions.InvalidRequestException):
        iot.delete_thing_type(thingTypeName=name)


def test_groups(iot, name):
    parent, child = f"{name}-parent", f"{name}-child"
    made = iot.create_thing_group(thingGroupName=parent)
    iot.create_thing_group(thingGroupName=child, parentGroupName=parent, tags=[{"Key": "k", "Value": "v"}])
    iot.create_thing(thingName=name)
    iot.add_thing_to_thing_group(thingName=name, thingGroupName=child)
    assert iot.list_things_in_thing_group(thingGroupName=child)["things"] == [name]
    assert iot.list_things_in_thing_group(thingGroupName=parent, recursive=True)["things"] == [name]
    assert [group["groupName"] for group in iot.list_thing_groups_for_thing(thingName=name)["thingGroups"]] == [child]
    iot.update_thing_groups_for_thing(thingName=name, thingGroupsToRemove=[child], thingGroupsToAdd=[parent])
    assert iot.list_things_in_thing_group(thingGroupName=child)["things"] == []
    iot.update_thing_group(thingGroupName=child, thingGroupProperties={"thingGroupDescription": "below"})
    described = iot.describe_thing_group(thingGroupName=child)
    assert described["thingGroupProperties"]["thingGroupDescription"] == "below"
    assert described["thingGroupMetadata"]["parentGroupName"] == parent
    names = [group["groupName"] for group in iot.list_thing_groups(parentGroup=parent)["thingGroups"]]
    assert names == [child]
    with pytest.raises(iot.exceptions.InvalidRequestException):
        iot.delete_thing_group(thingGroupName=parent)
    iot.remove_thing_from_thing_group(thingName=name, thingGroupName=parent)
    arn = made["thingGroupArn"]
    iot.tag_resource(resourceArn=arn, tags=[{"Key": "site", "Value": "north"}])
    assert iot.list_tags_for_resource(resourceArn=arn)["tags"] == [{"Key": "site", "Value": "north"}]
    iot.untag_resource(resourceArn=arn, tagKeys=["site"])
    assert iot.list_tags_for_resource(resourceArn=arn)["tags"] == []
    for group in (child, parent):
        iot.delete_thing_group(thingGroupName=group)
    iot.delete_thing(thingName=name)


def test_certificates(iot, tmp_path, certificate):
    identifier = certificate["certificateId"]
    described = iot.describe_certificate(certificateId=identifier)["certificateDescription"]
    assert described["status"] == "ACTIVE" and described["certificatePem"] == certificate["certificatePem"]
    assert identifier in [one["certificateId"] for one in iot.list_certificates()["certificates"]]
    with pytest.raises(iot.exceptions.CertificateStateException):
        iot.delete_certificate(certificateId=identifier)
    key = tmp_path / "device.key"
    request = openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                      str(key), "-subj", "/CN=device")
    signed = iot.create_certificate_from_csr(certificateSigningRequest=request, setAsActive=False)
    assert iot.describe_certificate(certificateId=signed["certificateId"])["certificateDescription"]["status"] == "INACTIVE"
    iot.delete_certificate(certificateId=signed["certificateId"])
    _, foreign = self_signed(tmp_path, "foreign")
    registered = iot.register_certificate_without_ca(certificatePem=foreign.read_text(), status="ACTIVE")
    iot.update_certificate(certificateId=registered["certificateId"], newStatus="INACTIVE")
    iot.delete_certificate(certificateId=registered["certificateId"])


def test_certificate_authorities(iot, tmp_path):
    ca_key, ca = self_signed(tmp_path, "own-ca")
    code = iot.get_registration_code()["registrationCode"]
    assert iot.get_registration_code()["registrationCode"] == code
    proof = signed_by(tmp_path, code, ca_key, ca)
    made = iot.register_ca_certificate(
        caCertificate=ca.read_text(), verificationCertificate=proof.read_text(), setAsActive=True
    )
    identifier = made["certificateId"]
    assert iot.describe_ca_certificate(certificateId=identifier)["certificateDescription"]["status"] == "ACTIVE"
    assert identifier in [one["certificateId"] for one in iot.list_ca_certificates()["certificates"]]
    device = signed_by(tmp_path, "device-of-own-ca", ca_key, ca)
    registered = iot.register_certificate(
        certificatePem=device.read_text(), caCertificatePem=ca.read_text(), status="INACTIVE"
    )
    by_ca = iot.list_certificates_by_ca(caCertificateId=identifier)["certificates"]
    assert [one["certificateId"] for one in by_ca] == [registered["certificateId"]]
    iot.delete_certificate(certificateId=registered["certificateId"])
    iot.update_ca_certificate(certificateId=identifier, newStatus="INACTIVE")
    iot.delete_ca_certificate(certificateId=identifier)
    iot.delete_registration_code()
    assert iot.get_registration_code()["registrationCode"] != code


def test_policies(iot, name, certificate):
    arn = certificate["certificateArn"]
    made = iot.create_policy(policyName=name, policyDocument=POLICY)
    assert made["policyVersionId"] == "1"
    assert iot.get_policy(policyName=name)["policyDocument"] == POLICY
    version = iot.create_policy_version(policyName=name, policyDocument=OTHER, setAsDefault=False)["policyVersionId"]
    iot.set_default_policy_version(policyName=name, policyVersionId=version)
    assert iot.get_policy_version(policyName=name, policyVersionId=version)["isDefaultVersion"] is True
    iot.delete_policy_version(policyName=name, policyVersionId="1")
    versions = iot.list_policy_versions(policyName=name)["policyVersions"]
    assert [one["versionId"] for one in versions] == [version]
    assert name in [policy["policyName"] for policy in iot.list_policies(pageSize=250)["policies"]]
    iot.attach_policy(policyName=name, target=arn)
    assert [policy["policyName"] for policy in iot.list_attached_policies(target=arn)["policies"]] == [name]
    assert iot.list_targets_for_policy(policyName=name)["targets"] == [arn]
    with pytest.raises(iot.exceptions.DeleteConflictException):
        iot.delete_policy(policyName=name)
    iot.detach_policy(policyName=name, target=arn)
    iot.attach_principal_policy(policyName=name, principal=arn)
    assert [policy["policyName"] for policy in iot.list_principal_policies(principal=arn)["policies"]] == [name]
    assert len(iot.list_policy_principals(policyName=name)["principals"]) == 1
    iot.detach_principal_policy(policyName=name, principal=arn)
    iot.delete_policy(policyName=name)


def test_thing_principals(iot, name, certificate):
    arn = certificate["certificateArn"]
    iot.create_thing(thingName=name)
    iot.attach_thing_principal(thingName=name, principal=arn)
    assert iot.list_thing_principals(thingName=name)["principals"] == [arn]
    assert iot.list_principal_things(principal=arn)["things"] == [name]
    assert [one["principal"] for one in iot.list_thing_principals_v2(thingName=name)["thingPrincipalObjects"]] == [arn]
    assert [one["thingName"] for one in iot.list_principal_things_v2(principal=arn)["principalThingObjects"]] == [name]
    with pytest.raises(iot.exceptions.InvalidRequestException):
        iot.delete_thing(thingName=name)
    iot.detach_thing_principal(thingName=name, principal=arn)
    iot.delete_thing(thingName=name)


def test_role_aliases(iot, client, name):
    role = client("iam").create_role(
        RoleName=name,
        AssumeRolePolicyDocument=json.dumps({
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"Service": "credentials.iot.amazonaws.com"},
                           "Action": "sts:AssumeRole"}],
        }),
    )["Role"]["Arn"]
    iot.create_role_alias(roleAlias=name, roleArn=role, credentialDurationSeconds=900)
    iot.update_role_alias(roleAlias=name, credentialDurationSeconds=1800)
    described = iot.describe_role_alias(roleAlias=name)["roleAliasDescription"]
    assert (described["roleArn"], described["credentialDurationSeconds"]) == (role, 1800)
    assert name in iot.list_role_aliases(pageSize=250)["roleAliases"]
    iot.delete_role_alias(roleAlias=name)
    client("iam").delete_role(RoleName=name)


def test_pages(iot, name):
    """CP 1.6: every list in pages of one or two gives the same as at once."""
    names = {f"{name}-{n}" for n in range(5)}
    for one in names:
        iot.create_thing(thingName=one)
        iot.create_thing_type(thingTypeName=one)
        iot.create_thing_group(thingGroupName=one)
        iot.create_policy(policyName=one, policyDocument=POLICY)
    for operation, results, key, limit, tokens in (
        ("list_things", "things", "thingName", "maxResults", ("nextToken", "nextToken")),
        ("list_thing_types", "thingTypes", "thingTypeName", "maxResults", ("nextToken", "nextToken")),
        ("list_thing_groups", "thingGroups", "groupName", "maxResults", ("nextToken", "nextToken")),
        ("list_policies", "policies", "policyName", "pageSize", ("marker", "nextMarker")),
    ):
        found = all_pages(getattr(iot, operation), *tokens, results, **{limit: 2})
        listed = [one[key] for one in found]
        assert len(listed) == len(set(listed)), f"{operation} lists something twice"
        assert names <= set(listed), operation
        paginator = iot.get_paginator(operation).paginate(PaginationConfig={"PageSize": 3})
        assert set(listed) == {one[key] for page in paginator for one in page[results]}
    for one in names:
        iot.delete_thing(thingName=one)
        iot.delete_thing_group(thingGroupName=one)
        iot.delete_policy(policyName=one)


def test_every_paginator(marram, client, certificate):
    """CP 1.6: every published paginator of an offered operation ends."""
    import botocore.session

    import operations
    import samples

    loader = botocore.session.get_session().get_component("data_loader")
    for service, offered in operations.OFFERED.items():
        try:
            paginators = loader.load_service_model(service, "paginators-1")["pagination"]
        except botocore.exceptions.UnknownServiceError:
            continue
        for operation in sorted(set(paginators) & set(offered)):
            parameters = samples.minimal(service, operation, marram.account, marram.region)
            if "principal" in parameters:
                parameters["principal"] = certificate["certificateArn"]
            if "target" in parameters:
                parameters["target"] = certificate["certificateArn"]
            paginator = client(service).get_paginator(botocore.xform_name(operation))
            try:
                for page, _ in zip(paginator.paginate(**parameters), range(500)):
                    assert page["ResponseMetadata"]["HTTPStatusCode"] == 200
            except botocore.exceptions.ClientError as error:
                code = error.response["Error"]["Code"]
                assert code in ("ResourceNotFoundException", "NoSuchEntity", "InvalidRequestException"), (operation, code)
