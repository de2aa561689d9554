"""Fleet provisioning: templates and claims by boto3, devices by the SDK's identity client and raw MQTT (CP 4.8, 5.10)."""
import json

import botocore.exceptions
import pytest

from device import WAIT_SECONDS, Device

CREATE = "$aws/certificates/create/json"
FROM_CSR = "$aws/certificates/create-from-csr/json"


def refused(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**arguments)
    error = caught.value.response
    return error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Code"]


def body(name):
    return {
        "Parameters": {"Serial": {"Type": "String"}, "AWS::IoT::Certificate::Id": {"Type": "String"}},
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "OverrideSettings": {"AttributePayload": "MERGE"}, "Properties": {
                "ThingName": {"Fn::Join": ["-", [name, {"Ref": "Serial"}]]}, "ThingGroups": [f"{name}-group"],
                "AttributePayload": {"serial": {"Ref": "Serial"}}}},
            "certificate": {"Type": "AWS::IoT::Certificate", "Properties": {
                "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"}},
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": f"{name}-device"}},
        },
        "DeviceConfiguration": {"url": {"Fn::Sub": "https://${Serial}.example"}},
    }


@pytest.fixture
def role(client, name):
    """A role that the service may use to register things."""
    iam = client("iam")
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
             "Principal": {"Service": "iot.amazonaws.com"}}]}
    arn = iam.create_role(RoleName=f"fleet-{name}", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
    iam.put_role_policy(RoleName=f"fleet-{name}", PolicyName="all", PolicyDocument=json.dumps(allowed))
    return arn


@pytest.fixture
def template(client, role, name):
    iot = client("iot")
    iot.create_thing_group(thingGroupName=f"{name}-group")
    iot.create_policy(policyName=f"{name}-device", policyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}))
    iot.create_provisioning_template(
        templateName=name, templateBody=json.dumps(body(name)), provisioningRoleArn=role, enabled=True, description="d")
    return name


def claim_statements(template):
    topics = [f"$aws/certificates/create/{encoding}" for encoding in ("json", "cbor")]
    topics += [f"$aws/certificates/create-from-csr/{encoding}" for encoding in ("json", "cbor")]
    topics += [f"$aws/provisioning-templates/{template}/provision/{encoding}" for encoding in ("json", "cbor")]
    return lambda arn: [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"},
        {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": [f"{arn}:topic/{topic}*" for topic in topics]},
        {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": [f"{arn}:topicfilter/{topic}*" for topic in topics]},
    ]


@pytest.fixture
def claim(marram, client, tmp_path, template):
    return Device(marram, client("iot"), tmp_path, f"claim-{template}", claim_statements(template), thing=False)


def test_templates(client, role, name):
    """CP 4.2, 4.8: templates, their versions, and what is refused."""
    iot = client("iot")
    text = json.dumps(body(name))
    made = iot.create_provisioning_template(templateName=name, templateBody=text, provisioningRoleArn=role)
    assert (made["templateName"], made["defaultVersionId"]) == (name, 1)
    again = dict(templateName=name, templateBody=text, provisioningRoleArn=role)
    assert refused(iot.create_provisioning_template, **again) == (409, "ResourceAlreadyExistsException")
    assert refused(iot.create_provisioning_template, templateName=f"{name}x", templateBody='{"Resources": {}}',
                   provisioningRoleArn=role) == (400, "InvalidRequestException")
    found = iot.describe_provisioning_template(templateName=name)
    assert (found["enabled"], found["type"], found["provisioningRoleArn"]) == (False, "FLEET_PROVISIONING", role)
    assert json.loads(found["templateBody"]) == body(name)
    version = iot.create_provisioning_template_version(templateName=name, templateBody=text, setAsDefault=True)
    assert (version["versionId"], version["isDefaultVersion"]) == (2, True)
    listed = iot.list_provisioning_template_versions(templateName=name)["versions"]
    assert [(one["versionId"], one["isDefaultVersion"]) for one in listed] == [(1, False), (2, True)]
    assert json.loads(iot.describe_provisioning_template_version(templateName=name, versionId=1)["templateBody"]) == body(name)
    assert refused(iot.delete_provisioning_template_version, templateName=name, versionId=2) == (409, "DeleteConflictException")
    iot.delete_provisioning_template_version(templateName=name, versionId=1)
    iot.update_provisioning_template(templateName=name, enabled=True, description="new")
    found = iot.describe_provisioning_template(templateName=name)
    assert (found["enabled"], found["description"], found["defaultVersionId"]) == (True, "new", 2)
    assert name in [one["templateName"] for one in iot.list_provisioning_templates(maxResults=250)["templates"]]
    iot.delete_provisioning_template(templateName=name)
    assert refused(iot.describe_provisioning_template, templateName=name) == (404, "ResourceNotFoundException")


def test_passing_the_role_needs_permission(client, marram, make_user, role, name):
    """CP 3.7: CreateProvisioningTemplate needs iam:PassRole on its role."""
    keys = make_user({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]})
    create = marram.client("iot", keys).create_provisioning_template
    assert refused(create, templateName=name, templateBody=json.dumps(body(name)), provisioningRoleArn=role)[1] == "AccessDeniedException"


def test_a_device_provisions_itself(client, marram, claim, template, tmp_path):
    """CP 5.10: keys, token, provisioning; the new certificate works, the token does not work again."""
    iot = client("iot")
    provision = f"$aws/provisioning-templates/{template}/provision/json"
    with claim.connect("factory-1") as connection:
        connection.subscribe(f"{CREATE}/accepted", f"{CREATE}/rejected", f"{provision}/accepted", f"{provision}/rejected")
        connection.publish(CREATE, {})
        made = connection.next(f"{CREATE}/accepted")
        assert set(made) == {"certificateId", "certificatePem", "privateKey", "certificateOwnershipToken"}
        described = iot.describe_certificate(certificateId=made["certificateId"])["certificateDescription"]
        assert described["status"] == "PENDING_ACTIVATION"
        ask = {"certificateOwnershipToken": made["certificateOwnershipToken"], "parameters": {"Serial": "7"}}

        for wrong, status, code in [
            ({}, 400, "InvalidParameters"),
            ({"certificateOwnershipToken": "nonsense"}, 400, "InvalidCertificateOwnershipToken"),
            (ask | {"parameters": {}}, 400, "InvalidParameters"),
            (ask | {"parameters": {"Serial": 7}}, 400, "InvalidParameters"),
        ]:
            connection.publish(provision, wrong)
            rejected = connection.next(f"{provision}/rejected")
            assert (rejected["statusCode"], rejected["errorCode"]) == (status, code), rejected
        connection.publish(provision, ask)
        accepted = connection.next(f"{provision}/accepted")
        assert accepted == {"deviceConfiguration": {"url": "https://7.example"}, "thingName": f"{template}-7"}
        connection.publish(provision, ask)
        assert connection.next(f"{provision}/rejected")["errorCode"] == "InvalidCertificateOwnershipToken"

    thing = f"{template}-7"
    assert iot.describe_thing(thingName=thing)["attributes"] == {"serial": "7"}
    assert [one["groupName"] for one in iot.list_thing_groups_for_thing(thingName=thing)["thingGroups"]] == [f"{template}-group"]
    described = iot.describe_certificate(certificateId=made["certificateId"])["certificateDescription"]
    assert described["status"] == "ACTIVE"
    assert [one["policyName"] for one in iot.list_attached_policies(target=described["certificateArn"])["policies"]] == [f"{template}-device"]
    own = Device(marram, iot, tmp_path, thing, None, thing=False, made={
        "certificateId": made["certificateId"], "certificatePem": made["certificatePem"], "keyPair": {"PrivateKey": made["privateKey"]}})
    with own.connect() as connection:
        connection.subscribe(f"{thing}/#")


def test_a_device_that_speaks_cbor(client, marram, claim, template, tmp_path):
    """CP 5.10: the same in CBOR, refusals too: keys, signing request, provisioning."""
    import subprocess

    import cbor2

    create, from_csr = "$aws/certificates/create/cbor", "$aws/certificates/create-from-csr/cbor"
    provision = f"$aws/provisioning-templates/{template}/provision/cbor"
    subprocess.run(["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "cbor.key",
                    "-subj", "/CN=device", "-out", tmp_path / "cbor.csr"], check=True, capture_output=True)

    with claim.connect("factory-cbor") as connection:

        def answered(topic):
            found, payload = connection.messages.get(timeout=WAIT_SECONDS)
            assert found == topic, (found, payload)
            return cbor2.loads(payload)

        connection.subscribe(f"{create}/accepted", f"{create}/rejected", f"{provision}/accepted", f"{provision}/rejected")
        for request in (b"", cbor2.dumps({})):
            connection.publish(create, request)
            made = answered(f"{create}/accepted")
            assert set(made) == {"certificateId", "certificatePem", "privateKey", "certificateOwnershipToken"}
        connection.publish(from_csr, cbor2.dumps({"certificateSigningRequest": (tmp_path / "cbor.csr").read_text()}))
        signed = answered(f"{from_csr}/accepted")
        assert set(signed) == {"certificateId", "certificatePem", "certificateOwnershipToken"}

        ask = {"certificateOwnershipToken": made["certificateOwnershipToken"], "parameters": {"Serial": "c7"}}
        deep = {"parameters": [[[[[[[[]]]]]]]]}
        for wrong, code in [
            (b"{}", "InvalidParameters"),
            (cbor2.dumps([]), "InvalidParameters"),
            (cbor2.dumps(ask) + b"\0", "InvalidParameters"),
            (cbor2.dumps(ask)[:-1], "InvalidParameters"),
            (cbor2.dumps(deep), "InvalidParameters"),
            (cbor2.dumps({**ask, "parameters": {"Serial": b"bytes"}}), "InvalidParameters"),
            (cbor2.dumps({**ask, "parameters": {7: "Serial"}}), "InvalidParameters"),
            (cbor2.dumps({"certificateOwnershipToken": "nonsense"}), "InvalidCertificateOwnershipToken"),
        ]:
            connection.publish(provision, wrong)
            rejected = answered(f"{provision}/rejected")
            assert (rejected["statusCode"], rejected["errorCode"]) == (400, code), (wrong, rejected)
        connection.publish(provision, cbor2.dumps(ask))
        accepted = {"deviceConfiguration": {"url": "https://c7.example"}, "thingName": f"{template}-c7"}
        assert answered(f"{provision}/accepted") == accepted
        # A certificate that was asked for in one encoding is provisioned in the other as well.
        provision = f"$aws/provisioning-templates/{template}/provision/json"
        ask = {"certificateOwnershipToken": signed["certificateOwnershipToken"], "parameters": {"Serial": "c8"}}
        connection.publish(provision, ask)
        assert connection.next(f"{provision}/accepted")["thingName"] == f"{template}-c8"

    own = Device(marram, client("iot"), tmp_path, f"{template}-c7", None, thing=False, made={
        "certificateId": made["certificateId"], "certificatePem": made["certificatePem"], "keyPair": {"PrivateKey": made["privateKey"]}})
    with own.connect() as connection:
        connection.subscribe(f"{template}-c7/#")


def test_tokens_belong_to_the_claim_they_were_given_to(client, marram, claim, template, tmp_path):
    """CP 5.10: another claim cannot use a token, and hears nothing of another session's keys."""
    other = Device(marram, client("iot"), tmp_path, f"other-{template}", claim_statements(template), thing=False)
    provision = f"$aws/provisioning-templates/{template}/provision/json"
    with claim.connect("a") as first, claim.connect("b") as neighbour, other.connect("c") as second:
        neighbour.subscribe(f"{CREATE}/accepted")
        first.publish(CREATE, {})
        made = first.next(f"{CREATE}/accepted")
        second.publish(provision, {"certificateOwnershipToken": made["certificateOwnershipToken"], "parameters": {"Serial": "8"}})
        assert second.next(f"{provision}/rejected")["errorCode"] == "InvalidCertificateOwnershipToken"
        neighbour.publish(CREATE, {})
        assert neighbour.next(f"{CREATE}/accepted")["certificateId"] != made["certificateId"]


def test_the_role_bounds_what_a_template_makes(client, claim, template):
    """SEC 3.7: without permission of the template's role nothing is provisioned; a disabled template neither."""
    provision = f"$aws/provisioning-templates/{template}/provision/json"
    with claim.connect("factory-2") as connection:
        connection.publish(CREATE, {})
        made = connection.next(f"{CREATE}/accepted")
        ask = {"certificateOwnershipToken": made["certificateOwnershipToken"], "parameters": {"Serial": "9"}}
        client("iam").delete_role_policy(RoleName=f"fleet-{template}", PolicyName="all")
        connection.publish(provision, ask)
        rejected = connection.next(f"{provision}/rejected")
        assert (rejected["statusCode"], rejected["errorCode"]) == (403, "AccessDenied")
        client("iot").update_provisioning_template(templateName=template, enabled=False)
        connection.publish(provision, ask)
        assert connection.next(f"{provision}/rejected")["statusCode"] == 403
    status = client("iot").describe_certificate(certificateId=made["certificateId"])["certificateDescription"]["status"]
    assert status == "PENDING_ACTIVATION"


def test_claims_of_trusted_users(client, marram, template, tmp_path):
    """CP 5.10: CreateProvisioningClaim gives a certificate for this template and for five minutes."""
    made = client("iot").create_provisioning_claim(templateName=template)
    claim = Device(marram, client("iot"), tmp_path, f"user-{template}", None, thing=False, made=made)
    provision = f"$aws/provisioning-templates/{template}/provision/json"
    with claim.connect("phone") as connection:
        connection.publish(CREATE, {})
        token = connection.next(f"{CREATE}/accepted")["certificateOwnershipToken"]
        connection.publish(provision, {"certificateOwnershipToken": token, "parameters": {"Serial": "10"}})
        assert connection.next(f"{provision}/accepted")["thingName"] == f"{template}-10"
        connection.client.subscribe("somewhere/else", 1)
        assert all(reason.is_failure for reason in connection.expect("subscribe"))
    assert refused(client("iot").create_provisioning_claim, templateName="absent") == (404, "ResourceNotFoundException")


def test_register_thing(client, marram, name):
    """CP 4.8: RegisterThing makes what a body asks for; repeated, the same."""
    iot = client("iot")
    made = iot.create_keys_and_certificate()
    text = json.dumps({
        "Parameters": {"Name": {"Type": "String"}, "Id": {"Type": "String"}},
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "Name"}}},
            "certificate": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": {"Ref": "Id"}}},
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": json.dumps(
                {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}]})}},
        },
    })
    for _ in range(2):
        answer = iot.register_thing(templateBody=text, parameters={"Name": name, "Id": made["certificateId"]})
        assert answer["resourceArns"]["thing"].endswith(f":thing/{name}")
        assert answer["certificatePem"] == made["certificatePem"]
    assert iot.list_thing_principals(thingName=name)["principals"] == [made["certificateArn"]]
    assert refused(iot.register_thing, templateBody="{") == (400, "InvalidRequestException")


def test_device_sdk(claim, template, tmp_path):
    """The unmodified identity client of awsiotsdk, with a key that never leaves the device."""
    import queue
    import subprocess

    from awscrt import mqtt
    from awsiot import iotidentity, mqtt_connection_builder

    subprocess.run(["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "own.key",
                    "-subj", "/CN=device", "-out", tmp_path / "own.csr"], check=True, capture_output=True)
    connection = mqtt_connection_builder.mtls_from_path(
        cert_filepath=str(claim.certificate), pri_key_filepath=str(claim.key), ca_filepath=claim.ca,
        endpoint=claim.host, port=claim.port, client_id="sdk", clean_session=True, keep_alive_secs=30,
    )
    connection.connect().result(WAIT_SECONDS)
    identity, answers, once = iotidentity.IotIdentityClient(connection), queue.Queue(), mqtt.QoS.AT_LEAST_ONCE
    for subscribe, request in [
        (identity.subscribe_to_create_certificate_from_csr_accepted, iotidentity.CreateCertificateFromCsrSubscriptionRequest()),
        (identity.subscribe_to_create_certificate_from_csr_rejected, iotidentity.CreateCertificateFromCsrSubscriptionRequest()),
        (identity.subscribe_to_register_thing_accepted, iotidentity.RegisterThingSubscriptionRequest(template_name=template)),
        (identity.subscribe_to_register_thing_rejected, iotidentity.RegisterThingSubscriptionRequest(template_name=template)),
    ]:
        subscribed, _ = subscribe(request, once, answers.put)
        subscribed.result(WAIT_SECONDS)
    csr = (tmp_path / "own.csr").read_text()
    identity.publish_create_certificate_from_csr(
        iotidentity.CreateCertificateFromCsrRequest(certificate_signing_request=csr), once).result(WAIT_SECONDS)
    made = answers.get(timeout=WAIT_SECONDS)
    assert made.certificate_pem.startswith("-----BEGIN CERTIFICATE-----")
    identity.publish_register_thing(iotidentity.RegisterThingRequest(
        template_name=template, certificate_ownership_token=made.certificate_ownership_token, parameters={"Serial": "11"},
    ), once).result(WAIT_SECONDS)
    assert answers.get(timeout=WAIT_SECONDS).thing_name == f"{template}-11"
    connection.disconnect().result(WAIT_SECONDS)


def registered_ca(client, tmp_path, name, **more):
    """A CA of ours, registered with automatic registration: key, certificate, id."""
    import test_iot

    iot = client("iot")
    key, certificate = test_iot.self_signed(tmp_path, f"ca-{name}")
    proof = test_iot.signed_by(tmp_path, iot.get_registration_code()["registrationCode"], key, certificate)
    made = iot.register_ca_certificate(
        caCertificate=certificate.read_text(), verificationCertificate=proof.read_text(), setAsActive=True,
        allowAutoRegistration=True, **more)
    return key, certificate, made["certificateId"]


def own_device(marram, client, tmp_path, name, ca_key, ca):
    """A device with a certificate of its maker's CA, unknown to the registry."""
    import hashlib
    import ssl

    import test_iot

    certificate = test_iot.signed_by(tmp_path, name, ca_key, ca)
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    made = {"certificateId": hashlib.sha256(der).hexdigest(), "certificatePem": certificate.read_text(),
            "keyPair": {"PrivateKey": (tmp_path / f"{name}.key").read_text()}}
    return Device(marram, client("iot"), tmp_path / "device", name, None, thing=False, made=made)


def test_just_in_time_provisioning(client, marram, role, name, tmp_path):
    """CP 4.8 JITP: the first connection is refused, the template is run, the next one is let in."""
    iot = client("iot")
    iot.create_policy(policyName=f"{name}-jitp", policyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}))
    text = json.dumps({
        "Parameters": {"AWS::IoT::Certificate::CommonName": {"Type": "String"}, "AWS::IoT::Certificate::Id": {"Type": "String"}},
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "AWS::IoT::Certificate::CommonName"}}},
            "certificate": {"Type": "AWS::IoT::Certificate", "Properties": {
                "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"}},
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": f"{name}-jitp"}},
        },
    })
    ca_key, ca, _ = registered_ca(client, tmp_path, name, registrationConfig={"templateBody": text, "roleArn": role})
    device = own_device(marram, client, tmp_path, name, ca_key, ca)
    with pytest.raises(AssertionError):
        device.connect()
    with device.connect() as connection:
        connection.subscribe(f"{name}/#")
    assert iot.list_thing_principals(thingName=name)["principals"] == [
        f"arn:aws:iot:{marram.region}:{marram.account}:cert/{device.certificate_id}"]


def test_just_in_time_registration(client, marram, name, tmp_path):
    """CP 4.8 JITR: without a template the certificate waits, and its arrival is announced; strangers are not taken up."""
    import test_iot

    ca_key, ca, ca_id = registered_ca(client, tmp_path, name)
    listener = Device(marram, client("iot"), tmp_path, f"{name}-listener", lambda arn: [
        {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}])
    device = own_device(marram, client, tmp_path, name, ca_key, ca)
    with listener.connect() as connection:
        topic = f"$aws/events/certificates/registered/{ca_id}"
        connection.subscribe(topic)
        with pytest.raises(AssertionError):
            device.connect()
        event = connection.next(topic)
        assert (event["certificateId"], event["certificateStatus"]) == (device.certificate_id, "PENDING_ACTIVATION")
        assert (event["caCertificateId"], event["awsAccountId"]) == (ca_id, marram.account)
    described = client("iot").describe_certificate(certificateId=device.certificate_id)["certificateDescription"]
    assert (described["status"], described["caCertificateId"]) == ("PENDING_ACTIVATION", ca_id)
    with pytest.raises(AssertionError):
        device.connect()
    # The same subject, another key: a name is no proof.
    forged = tmp_path / "forged"
    forged.mkdir()
    false_key, false_ca = test_iot.self_signed(forged, f"ca-{name}")
    stranger = own_device(marram, client, forged, f"{name}-stranger", false_key, false_ca)
    with pytest.raises(AssertionError):
        stranger.connect()
    assert refused(client("iot").describe_certificate, certificateId=stranger.certificate_id) == (404, "ResourceNotFoundException")
