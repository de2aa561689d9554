"""A device as tests need it: registered, with its files on disk; plain HTTPS and MQTT with its certificate."""
import http.client
import json
import queue
import ssl
import time

import paho.mqtt.client as mqtt

WAIT_SECONDS = 60


class Device:
    """A thing with an active certificate and a policy made of `statements(arn)`."""

    def __init__(self, marram, iot, folder, name, statements, thing=True, made=None):
        self.marram, self.name = marram, name
        arn = f"arn:aws:iot:{marram.region}:{marram.account}"
        self.arn = f"{arn}:thing/{name}"
        if thing:
            iot.create_thing(thingName=name)
        made = made or iot.create_keys_and_certificate(setAsActive=True)
        self.certificate_arn, self.certificate_id = made.get("certificateArn"), made["certificateId"]
        if statements:
            document = {"Version": "2012-10-17", "Statement": statements(arn)}
            iot.create_policy(policyName=name, policyDocument=json.dumps(document))
            iot.attach_policy(policyName=name, target=self.certificate_arn)
        if thing:
            iot.attach_thing_principal(thingName=name, principal=self.certificate_arn)
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate, self.key = folder / f"{name}.crt", folder / f"{name}.key"
        self.certificate.write_text(made["certificatePem"])
        self.key.write_text(made["keyPair"]["PrivateKey"])
        self.ca = marram.environment["AWS_CA_BUNDLE"]
        host, port = marram.environment["MARRAM_MQTT_ENDPOINT"].rsplit(":", 1)
        self.host, self.port = host, int(port)

    def https(self, method, path, body=None, headers=None):
        """One request on the device HTTPS port: status, error code, JSON body."""
        context = ssl.create_default_context(cafile=self.ca)
        context.load_cert_chain(self.certificate, self.key)
        host, port = self.marram.environment["MARRAM_DEVICE_ENDPOINT"].rsplit(":", 1)
        connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=WAIT_SECONDS)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, answer.getheader("x-amzn-errortype"), json.loads(text) if text else None
        finally:
            connection.close()

    def connect(self, client_id=None, version=mqtt.MQTTv5):
        return Connection(self, client_id or self.name, version)


def everything(arn):
    """A policy that leaves decisions to what is tested."""
    return [{"Effect": "Allow", "Action": ["iot:*", "iotjobsdata:*"], "Resource": "*"}]


class Connection:
    """An MQTT connection that waits for what a test expects."""

    def __init__(self, device, client_id, version):
        self.events = queue.Queue()
        self.messages = queue.Queue()
        made = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=version)
        made.tls_set(ca_certs=device.ca, certfile=str(device.certificate), keyfile=str(device.key))
        made.on_connect = lambda c, _, flags, reason, properties: self.events.put(("connect", reason))
        made.on_subscribe = lambda c, _, mid, reasons, properties: self.events.put(("subscribe", reasons))
        made.on_disconnect = lambda c, _, flags, reason, properties: self.events.put(("disconnect", reason))
        made.on_message = lambda c, _, message: self.messages.put((message.topic, message.payload))
        self.client = made
        made.connect(device.host, device.port)
        made.loop_start()
        reason = self.expect("connect")
        if reason.is_failure:
            # It would go on trying, and take the place of a later connection.
            made.disconnect()
            made.loop_stop()
        assert not reason.is_failure, reason

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()

    def expect(self, kind):
        found, value = self.events.get(timeout=WAIT_SECONDS)
        assert found == kind, (found, value)
        return value

    def subscribe(self, *filters):
        for one in filters:
            self.client.subscribe(one, qos=1)
            assert not any(reason.is_failure for reason in self.expect("subscribe")), one

    def publish(self, topic, body, qos=1):
        payload = body if isinstance(body, (bytes, str)) else json.dumps(body)
        self.client.publish(topic, payload, qos)

    def next(self, topic):
        """The next message, which must be on `topic`; its JSON."""
        found, payload = self.messages.get(timeout=WAIT_SECONDS)
        assert found == topic, (found, payload)
        return json.loads(payload)

    def until(self, topic):
        """The first message on `topic`, others before it are passed over."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            found, payload = self.messages.get(timeout=max(0.1, deadline - time.monotonic()))
            if found == topic:
                return json.loads(payload)
        raise AssertionError(f"nothing on {topic}")

    def silent(self, topic, probe):
        """Nothing is on its way to `topic`: `probe()` makes a later message, answered by (topic, body), arrive first."""
        last = probe()
        seen = []
        while True:
            found, payload = self.messages.get(timeout=WAIT_SECONDS)
            if found == last:
                break
            seen.append(found)
        assert topic not in seen, seen
