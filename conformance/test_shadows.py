"""Device shadows: boto3, device HTTPS, the device SDK's shadow client, raw MQTT (CP 5.7)."""
import json

import botocore.exceptions
import pytest

from device import WAIT_SECONDS, Device, everything
from waiting import until

OVER = "x" * 8193


@pytest.fixture
def device(marram, client, tmp_path, name):
    return Device(marram, client("iot"), tmp_path, name, everything)


def code(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**arguments)
    error = caught.value.response
    return error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Code"], error["Error"]["Message"]


def test_boto3(client, name):
    """CP 1.9, 5.7: get, update, delete and list with modelled errors; raw JSON both ways."""
    data = client("iot-data")
    missing = (404, "ResourceNotFoundException", f"No shadow exists with name: '{name}'")
    assert code(data.get_thing_shadow, thingName=name) == missing
    assert code(data.delete_thing_shadow, thingName=name) == missing

    def update(body, **shadow):
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        return json.loads(data.update_thing_shadow(thingName=name, payload=payload, **shadow)["payload"].read())

    accepted = update({"state": {"desired": {"on": True}, "reported": {"on": False}}, "clientToken": "t"})
    assert accepted["version"] == 1 and accepted["clientToken"] == "t"
    assert accepted["state"] == {"desired": {"on": True}, "reported": {"on": False}}
    document = json.loads(data.get_thing_shadow(thingName=name)["payload"].read())
    assert document["state"]["delta"] == {"on": True} and document["version"] == 1
    assert set(document["metadata"]) == {"desired", "reported", "delta"}

    for body, wanted in [
        (b"[", (400, "InvalidRequestException", "Invalid JSON")),
        ({}, (400, "InvalidRequestException", "Missing required node: state")),
        ({"state": {"other": 1}}, (400, "InvalidRequestException", "State contains an invalid node")),
        ({"state": {}, "version": 7}, (409, "ConflictException", "Version conflict")),
        ({"state": {"desired": {"a": OVER}}}, (413, "RequestEntityTooLargeException", "The payload exceeds the maximum size allowed")),
        (b"\xff{}", (415, "UnsupportedDocumentEncodingException", "Unsupported documented encoding; supported encoding is UTF-8")),
    ]:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        assert code(data.update_thing_shadow, thingName=name, payload=payload) == wanted

    for shadow in ("b", "a", "c"):
        assert update({"state": {"reported": {"n": shadow}}}, shadowName=shadow)["version"] == 1
    first = data.list_named_shadows_for_thing(thingName=name, pageSize=2)
    assert first["results"] == ["a", "b"] and first["timestamp"]
    rest = data.list_named_shadows_for_thing(thingName=name, pageSize=2, nextToken=first["nextToken"])
    assert rest["results"] == ["c"] and "nextToken" not in rest
    bad = data.list_named_shadows_for_thing
    assert code(bad, thingName=name, nextToken="bm90IGEgdG9rZW4=")[:2] == (400, "InvalidRequestException")

    gone = json.loads(data.delete_thing_shadow(thingName=name, shadowName="a")["payload"].read())
    assert gone["version"] == 1
    assert update({"state": {"reported": {}}}, shadowName="a")["version"] == 2, "the counter goes on within 48 hours"


def test_mqtt_messages(device, client):
    """CP 5.7: accepted, delta and documents for everybody, in order; rejected with code, text, token."""
    base = f"$aws/things/{device.name}/shadow"
    with device.connect() as connection:
        connection.subscribe(f"{base}/#")
        connection.publish(f"{base}/get", {"clientToken": "1"})
        assert connection.until(f"{base}/get/rejected") | {"timestamp": 0} == {
            "code": 404, "message": f"No shadow exists with name: '{device.name}'", "timestamp": 0, "clientToken": "1"}
        connection.publish(f"{base}/update", {"state": {"desired": {"a": 1, "b": {"c": 2}}}, "clientToken": "2"})
        accepted = connection.until(f"{base}/update/accepted")
        assert (accepted["version"], accepted["clientToken"]) == (1, "2")
        delta = connection.until(f"{base}/update/delta")
        assert (delta["state"], delta["version"]) == ({"a": 1, "b": {"c": 2}}, 1)
        documents = connection.until(f"{base}/update/documents")
        assert documents["previous"]["state"] == {} and documents["current"]["version"] == 1

        # Whoever changes it, the device hears of it.
        payload = json.dumps({"state": {"reported": {"a": 1, "b": {"c": 2}}}}).encode()
        client("iot-data").update_thing_shadow(thingName=device.name, payload=payload)
        assert connection.until(f"{base}/update/documents")["current"]["version"] == 2
        connection.publish(f"{base}/update", {"state": {"desired": {"a": 5}}, "version": 1, "clientToken": "3"})
        rejected = connection.until(f"{base}/update/rejected")
        assert (rejected["code"], rejected["message"], rejected["clientToken"]) == (409, "Version conflict", "3")
        connection.publish(f"{base}/update", "{", qos=0)
        assert connection.until(f"{base}/update/rejected")["message"] == "Invalid JSON"

        # Twenty requests, one after the other: versions in order, nothing lost.
        for number in range(20):
            connection.publish(f"{base}/update", {"state": {"reported": {"n": number}}})
            assert connection.until(f"{base}/update/accepted")["version"] == 3 + number
        connection.publish(f"{base}/delete", {"clientToken": "4"})
        assert connection.until(f"{base}/delete/accepted")["clientToken"] == "4"
        connection.publish(f"{base}/delete", b"")
        assert connection.until(f"{base}/delete/rejected")["code"] == 404

        named = f"{base}/name/config"
        connection.publish(f"{named}/update", {"state": {"desired": {"x": 1}}})
        assert connection.until(f"{named}/update/delta")["state"] == {"x": 1}
        # CP 5.8: an unknown reserved topic ends the connection.
        connection.publish(f"{base}/nonsense", {})
        connection.expect("disconnect")


def test_device_sdk(device):
    """The unmodified shadow client of awsiotsdk."""
    import queue

    from awscrt import mqtt
    from awsiot import iotshadow, mqtt_connection_builder

    connection = mqtt_connection_builder.mtls_from_path(
        cert_filepath=str(device.certificate), pri_key_filepath=str(device.key), ca_filepath=device.ca,
        endpoint=device.host, port=device.port, client_id=device.name, clean_session=True, keep_alive_secs=30,
    )
    connection.connect().result(WAIT_SECONDS)
    shadows, answers, once = iotshadow.IotShadowClient(connection), queue.Queue(), mqtt.QoS.AT_LEAST_ONCE
    for subscribe, request in [
        (shadows.subscribe_to_update_named_shadow_accepted, iotshadow.UpdateNamedShadowSubscriptionRequest),
        (shadows.subscribe_to_named_shadow_delta_updated_events, iotshadow.NamedShadowDeltaUpdatedSubscriptionRequest),
        (shadows.subscribe_to_get_named_shadow_accepted, iotshadow.GetNamedShadowSubscriptionRequest),
    ]:
        subscribed, _ = subscribe(request(thing_name=device.name, shadow_name="lamp"), once, answers.put)
        subscribed.result(WAIT_SECONDS)
    state = iotshadow.ShadowState(desired={"color": "red"}, reported={"color": "blue"})
    shadows.publish_update_named_shadow(
        iotshadow.UpdateNamedShadowRequest(thing_name=device.name, shadow_name="lamp", state=state, client_token="sdk"), once
    ).result(WAIT_SECONDS)
    found = [answers.get(timeout=WAIT_SECONDS) for _ in range(2)]
    kinds = {type(one).__name__: one for one in found}
    assert kinds["UpdateShadowResponse"].client_token == "sdk"
    assert kinds["ShadowDeltaUpdatedEvent"].state == {"color": "red"}
    shadows.publish_get_named_shadow(
        iotshadow.GetNamedShadowRequest(thing_name=device.name, shadow_name="lamp"), once
    ).result(WAIT_SECONDS)
    assert answers.get(timeout=WAIT_SECONDS).state.delta == {"color": "red"}
    connection.disconnect().result(WAIT_SECONDS)


def test_https_with_a_certificate(marram, client, tmp_path, name):
    """CP 5.6, 5.11: the certificate's policies decide; a named shadow may be granted by its own name."""
    def statements(arn):
        return [
            {"Effect": "Allow", "Action": "iot:GetThingShadow", "Resource": f"{arn}:thing/${{iot:Connection.Thing.ThingName}}"},
            {"Effect": "Allow", "Action": "iot:UpdateThingShadow", "Resource": f"{arn}:thing/{name}/own"},
            {"Effect": "Allow", "Action": "iot:ListNamedShadowsForThing", "Resource": f"{arn}:thing/{name}"},
        ]

    device = Device(marram, client("iot"), tmp_path, name, statements)
    path = f"/things/{name}/shadow"
    assert device.https("GET", path)[:2] == (404, "ResourceNotFoundException")
    assert device.https("POST", path, b'{"state":{}}')[:2] == (403, "ForbiddenException")
    status, _, accepted = device.https("POST", f"{path}?name=own", b'{"state":{"reported":{"a":1}}}')
    assert (status, accepted["version"]) == (200, 1)
    assert device.https("GET", f"{path}?name=own")[2]["state"] == {"reported": {"a": 1}}
    assert device.https("DELETE", f"{path}?name=own")[:2] == (403, "ForbiddenException")
    assert device.https("GET", f"/api/things/shadow/ListNamedShadowsForThing/{name}")[2]["results"] == ["own"]
    assert device.https("GET", "/things/somebody-else/shadow")[:2] == (403, "ForbiddenException")
    # Registry operations are not offered to devices, whatever their policy says.
    assert device.https("GET", f"/things/{name}")[:2] == (404, "UnknownOperationException")
    client("iot").update_certificate(certificateId=device.certificate_id, newStatus="INACTIVE")
    assert device.https("GET", f"{path}?name=own")[:2] == (403, "ForbiddenException")


def test_credentials_provider(marram, client, tmp_path, name):
    """CP 6.1: certificate, attached thing, policy, trust, and what the session may do; denied otherwise."""
    iot, iam = client("iot"), client("iam")
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
             "Principal": {"Service": "credentials.iot.amazonaws.com"}}]}
    role = iam.create_role(RoleName=f"tes-{name}", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    arn = f"arn:aws:iot:{marram.region}:{marram.account}"
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:DescribeThing",
              "Resource": f"{arn}:thing/${{credentials-iot:ThingName}}"}]}
    iam.put_role_policy(RoleName=f"tes-{name}", PolicyName="own", PolicyDocument=json.dumps(policy))
    iot.create_role_alias(roleAlias=f"alias-{name}", roleArn=role, credentialDurationSeconds=900)
    statements = lambda arn: [{"Effect": "Allow", "Action": "iot:AssumeRoleWithCertificate",
                               "Resource": f"{arn}:rolealias/alias-{name}"}]
    device = Device(marram, iot, tmp_path, name, statements)
    path = f"/role-aliases/alias-{name}/credentials"
    status, _, answer = device.https("GET", path, headers={"x-amzn-iot-thingname": name})
    assert status == 200 and set(answer["credentials"]) == {"accessKeyId", "secretAccessKey", "sessionToken", "expiration"}
    assert answer["credentials"]["expiration"].endswith("Z") and answer["credentials"]["accessKeyId"].startswith("ASIA")
    import installation

    keys = installation.Keys(*(answer["credentials"][part] for part in ("accessKeyId", "secretAccessKey", "sessionToken")))
    session = marram.client("iot", keys)
    assert session.describe_thing(thingName=name)["thingName"] == name
    iot.create_thing(thingName=f"{name}-other")
    assert code(session.describe_thing, thingName=f"{name}-other")[1] == "AccessDeniedException"

    other = {"x-amzn-iot-thingname": f"{name}-other"}
    assert device.https("GET", path, headers=other)[0] == 403
    assert device.https("GET", "/role-aliases/unknown/credentials")[0] == 403
    iam.update_assume_role_policy(RoleName=f"tes-{name}", PolicyDocument=json.dumps(
        json.loads(json.dumps(trust).replace("credentials.iot", "greengrass"))))
    assert device.https("GET", path)[0] == 403

    def audited():
        events = client("cloudtrail").lookup_events(LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "AssumeRole"}])
        return any(device.certificate_id in event["CloudTrailEvent"] for event in events["Events"])

    until("the exchange in the audit log, with its certificate", audited)
