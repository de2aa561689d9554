"""Device clients as people use them: paho, the AWS IoT SDK v2 for Python, the older AWSIoTPythonSDK (CP 5.5)."""
import json
import queue
import uuid

import pytest

WAIT_SECONDS = 60


@pytest.fixture
def device(client, marram, tmp_path, name):
    """A thing with certificate and a policy for its own topics: endpoint and files as a device gets them."""
    iot = client("iot")
    iot.create_thing(thingName=name)
    made = iot.create_keys_and_certificate(setAsActive=True)
    arn = f"arn:aws:iot:{marram.region}:{marram.account}"
    iot.create_policy(policyName=name, policyDocument=json.dumps({
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{arn}:client/{name}*"},
            {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": f"{arn}:topic/{name}/*"},
            {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": f"{arn}:topicfilter/{name}/*"},
        ],
    }))
    iot.attach_policy(policyName=name, target=made["certificateArn"])
    iot.attach_thing_principal(thingName=name, principal=made["certificateArn"])
    files = {"certificate": tmp_path / "certificate.pem", "key": tmp_path / "key.pem"}
    files["certificate"].write_text(made["certificatePem"])
    files["key"].write_text(made["keyPair"]["PrivateKey"])
    host, port = marram.environment["MARRAM_MQTT_ENDPOINT"].rsplit(":", 1)
    return {"name": name, "host": host, "port": int(port), "ca": marram.environment["AWS_CA_BUNDLE"],
            "certificate": str(files["certificate"]), "key": str(files["key"])}


def paho(device, client_id, protocol):
    import paho.mqtt.client as mqtt

    made = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=protocol)
    made.tls_set(ca_certs=device["ca"], certfile=device["certificate"], keyfile=device["key"])
    made.events = queue.Queue()
    made.on_connect = lambda client, _, flags, reason, properties: client.events.put(("connect", reason))
    made.on_subscribe = lambda client, _, mid, reasons, properties: client.events.put(("subscribe", reasons))
    made.on_message = lambda client, _, message: client.events.put(("message", message))
    made.on_disconnect = lambda client, _, flags, reason, properties: client.events.put(("disconnect", reason))
    made.connect(device["host"], device["port"])
    made.loop_start()
    return made


def expect(client, kind):
    found, value = client.events.get(timeout=WAIT_SECONDS)
    assert found == kind, (found, value)
    return value


@pytest.mark.parametrize("version", [4, 5], ids=["3.1.1", "5"])
def test_paho(device, version):
    client = paho(device, device["name"], version)
    try:
        assert expect(client, "connect").value == 0
        client.subscribe(f"{device['name']}/+", qos=1)
        assert [reason.value for reason in expect(client, "subscribe")] == [1]
        payload = uuid.uuid4().bytes
        client.publish(f"{device['name']}/up", payload, qos=1)
        message = expect(client, "message")
        assert (message.topic, message.payload, message.qos) == (f"{device['name']}/up", payload, 1)
    finally:
        client.disconnect()
        client.loop_stop()


def test_what_the_policy_does_not_name_is_refused(device):
    """CP 5.3: a subscription elsewhere fails; a publish elsewhere ends the connection."""
    client = paho(device, device["name"], 5)
    try:
        assert expect(client, "connect").value == 0
        client.subscribe("somebody/else", qos=0)
        assert all(reason.is_failure for reason in expect(client, "subscribe"))
        client.publish("somebody/else", b"x", qos=0)
        expect(client, "disconnect")
    finally:
        client.loop_stop()


def test_iot_sdk_v2(device):
    from awscrt import mqtt
    from awsiot import mqtt_connection_builder

    connection = mqtt_connection_builder.mtls_from_path(
        cert_filepath=device["certificate"], pri_key_filepath=device["key"], ca_filepath=device["ca"],
        endpoint=device["host"], port=device["port"], client_id=device["name"], clean_session=True, keep_alive_secs=30,
    )
    messages = queue.Queue()
    connection.connect().result(WAIT_SECONDS)
    subscribed, _ = connection.subscribe(
        f"{device['name']}/echo", mqtt.QoS.AT_LEAST_ONCE, lambda topic, payload, **_: messages.put((topic, payload))
    )
    assert subscribed.result(WAIT_SECONDS)["qos"] == mqtt.QoS.AT_LEAST_ONCE
    published, _ = connection.publish(f"{device['name']}/echo", b"hello", mqtt.QoS.AT_LEAST_ONCE)
    published.result(WAIT_SECONDS)
    assert messages.get(timeout=WAIT_SECONDS) == (f"{device['name']}/echo", b"hello")
    connection.disconnect().result(WAIT_SECONDS)


def test_iot_sdk_v1(device):
    from AWSIoTPythonSDK.MQTTLib import AWSIoTMQTTClient

    client = AWSIoTMQTTClient(device["name"])
    client.configureEndpoint(device["host"], device["port"])
    client.configureCredentials(device["ca"], device["key"], device["certificate"])
    client.configureConnectDisconnectTimeout(WAIT_SECONDS)
    client.configureMQTTOperationTimeout(WAIT_SECONDS)
    messages = queue.Queue()
    assert client.connect()
    assert client.subscribe(f"{device['name']}/echo", 1, lambda _, __, message: messages.put(message.payload))
    assert client.publish(f"{device['name']}/echo", "hello", 1)
    assert messages.get(timeout=WAIT_SECONDS) == b"hello"
    assert client.disconnect()


def https_publish(device, marram, path, body=b"{}", certificate=True):
    """One POST to the device HTTPS port; the status and the error code."""
    import http.client
    import ssl

    context = ssl.create_default_context(cafile=device["ca"])
    if certificate:
        context.load_cert_chain(device["certificate"], device["key"])
    host, port = marram.environment["MARRAM_DEVICE_ENDPOINT"].rsplit(":", 1)
    connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=WAIT_SECONDS)
    connection.request("POST", path, body)
    answer = connection.getresponse()
    return answer.status, answer.getheader("x-amzn-errortype"), json.loads(answer.read())


def test_https_publish(device, marram, client):
    """CP 5.11: a device publishes with its certificate; policies and revocation hold here as on MQTT."""
    listener = paho(device, device["name"], 4)
    try:
        expect(listener, "connect")
        listener.subscribe(f"{device['name']}/#", 1)
        expect(listener, "subscribe")
        status, _, body = https_publish(device, marram, f"/topics/{device['name']}%2Fover%20https?qos=1", b"hello")
        assert (status, body["message"]) == (200, "OK")
        message = expect(listener, "message")
        assert (message.topic, message.payload) == (f"{device['name']}/over https", b"hello")
    finally:
        listener.loop_stop()
        listener.disconnect()
    assert https_publish(device, marram, "/topics/other%2Ftopic")[:2] == (403, "ForbiddenException")
    assert https_publish(device, marram, f"/topics/{device['name']}%2F%23")[:2] == (400, "InvalidRequestException")
    try:
        refused = https_publish(device, marram, f"/topics/{device['name']}%2Fx", b"x" * 131073)
        assert refused[:2] == (413, "RequestEntityTooLargeException")
    except OSError:
        pass  # the refusal closed the connection while the client was still sending
    assert https_publish(device, marram, "/things/x/shadow")[:2] == (403, "ForbiddenException")
    assert https_publish(device, marram, "/policies/x")[:2] == (404, "UnknownOperationException")
    with pytest.raises(OSError):
        https_publish(device, marram, f"/topics/{device['name']}%2Fx", certificate=False)
    principal = client("iot").list_thing_principals(thingName=device["name"])["principals"][0]
    client("iot").update_certificate(certificateId=principal.rsplit("/", 1)[1], newStatus="INACTIVE")
    assert https_publish(device, marram, f"/topics/{device['name']}%2Fx")[:2] == (403, "ForbiddenException")


def test_mqtt_by_alpn_on_the_api_port(device, marram):
    """SEC-20: MQTT with a client certificate is also offered on the API port, chosen by ALPN."""
    import ssl
    import urllib.parse

    import paho.mqtt.client as mqtt

    context = ssl.create_default_context(cafile=device["ca"])
    context.load_cert_chain(device["certificate"], device["key"])
    context.set_alpn_protocols(["x-amzn-mqtt-ca"])
    api = urllib.parse.urlparse(marram.environment["AWS_ENDPOINT_URL"])
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=device["name"])
    client.tls_set_context(context)
    client.events = queue.Queue()
    client.on_connect = lambda client, _, flags, reason, properties: client.events.put(("connect", reason))
    client.connect(api.hostname, api.port)
    client.loop_start()
    try:
        assert expect(client, "connect") == 0
    finally:
        client.loop_stop()
        client.disconnect()


def test_metrics_page(device, marram):
    """SEC-70: counters carry the names of the originals; the page needs no signature and shows no account."""
    import ssl
    import urllib.request

    context = ssl.create_default_context(cafile=device["ca"])
    url = marram.environment["AWS_ENDPOINT_URL"] + "/metrics"
    text = urllib.request.urlopen(url, context=context, timeout=WAIT_SECONDS).read().decode()
    assert 'marram_mqtt_events_total{event="Connect.Success"}' in text
    assert text.endswith("# EOF\n")
    assert marram.account not in text
