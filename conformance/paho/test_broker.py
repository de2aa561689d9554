"""The broker as paho-mqtt and mosquitto's programs see it: what a general MQTT client may rely on (CP 5.2).

The same ground as the interoperability cases of the Paho project, with QoS 0 and 1 and with the rules of the service
we replace: no QoS 2, retained messages for exact filters only, `a/#` without `a`.
"""
import queue
import shutil
import subprocess
import uuid

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

WAIT_SECONDS = 60
VERSIONS = pytest.mark.parametrize("version", [mqtt.MQTTv311, mqtt.MQTTv5], ids=["3.1.1", "5"])


class Client:
    """paho-mqtt with its callbacks turned into queues."""

    def __init__(self, device, version, client_id, clean=True, expiry=None, will=None, aliases=None):
        five = version == mqtt.MQTTv5
        clean_session = {} if five else {"clean_session": clean}
        self.version = version
        self.events, self.messages = queue.Queue(), queue.Queue()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=version,
                                  **clean_session)
        self.client.tls_set(ca_certs=device.ca, certfile=device.certificate, keyfile=device.key)
        if will:
            self.client.will_set(*will, qos=1)
        self.client.on_connect = lambda c, u, flags, reason, p: self.events.put(("connect", (flags, reason, p)))
        self.client.on_subscribe = lambda c, u, mid, reasons, p: self.events.put(("subscribe", reasons))
        self.client.on_unsubscribe = lambda c, u, mid, reasons, p: self.events.put(("unsubscribe", reasons))
        self.client.on_publish = lambda c, u, mid, reason, p: self.events.put(("publish", reason))
        self.client.on_disconnect = lambda c, u, flags, reason, p: self.events.put(("disconnect", reason))
        self.client.on_message = lambda c, u, message: self.messages.put(message)
        options = {}
        if five:
            properties = Properties(PacketTypes.CONNECT)
            if expiry is not None:
                properties.SessionExpiryInterval = expiry
            if aliases is not None:
                properties.TopicAliasMaximum = aliases
            options = {"clean_start": clean, "properties": properties}
        self.client.connect(device.host, device.port, **options)
        self.client.loop_start()
        self.flags, self.reason, self.properties = self.event("connect")

    def event(self, kind):
        found, value = self.events.get(timeout=WAIT_SECONDS)
        assert found == kind, (found, value)
        return value

    def subscribe(self, topic, qos=0, options=None):
        self.client.subscribe(topic, qos=qos, options=options)
        return [reason.value for reason in self.event("subscribe")]

    def publish(self, topic, payload, qos=1, retain=False, properties=None):
        self.client.publish(topic, payload, qos=qos, retain=retain, properties=properties)
        self.event("publish")

    def message(self):
        return self.messages.get(timeout=WAIT_SECONDS)

    def texts(self, count):
        return [self.message().payload.decode() for _ in range(count)]

    def drop(self):
        """Ends the connection without DISCONNECT."""
        self.client.loop_stop()
        self.client._sock_close()

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def connect(broker_device):
    """`connect(version, ...)`: a client with an id of its own, closed afterwards."""
    made = []

    def start(version, client_id=None, **options):
        client = Client(broker_device, version, client_id or f"conformance-{uuid.uuid4()}", **options)
        made.append(client)
        return client

    yield start
    for client in made:
        client.close()


@pytest.fixture
def topic():
    """A topic nobody else uses."""
    return f"conformance/{uuid.uuid4()}"


@VERSIONS
def test_messages_come_back_whole_and_in_order(connect, topic, version):
    client = connect(version)
    assert client.reason.value == 0 and not client.flags.session_present
    assert client.subscribe(topic, qos=1) == [1]
    payloads = [b"", b"x", bytes(range(256)), b"y" * 131_072]
    for payload in payloads:
        client.publish(topic, payload, qos=1)
    assert [client.message().payload for _ in payloads] == payloads


@VERSIONS
def test_qos_2_is_granted_as_1_and_its_publish_ends_the_connection(connect, topic, version):
    client = connect(version)
    assert client.subscribe(topic, qos=2) == [1]
    client.client.publish(topic, b"x", qos=2)
    reason = client.event("disconnect")
    assert version == mqtt.MQTTv311 or reason.value == 0x9B


@VERSIONS
def test_wildcards(connect, topic, version):
    client = connect(version)
    client.subscribe(f"{topic}/+/c", qos=1)
    client.subscribe(f"{topic}/d/#", qos=1)
    for end in ("b/c", "b/x", "d", "d/e", "d/e/f", "b/c/d"):
        client.publish(f"{topic}/{end}", end)
    assert client.texts(3) == ["b/c", "d/e", "d/e/f"]
    client.client.unsubscribe(f"{topic}/d/#")
    client.event("unsubscribe")
    client.publish(f"{topic}/d/e", "no more")
    client.publish(f"{topic}/z/c", "last")
    assert client.texts(1) == ["last"]


@VERSIONS
def test_retained_messages(connect, topic, version):
    publisher = connect(version)
    publisher.publish(f"{topic}/a", "kept", retain=True)
    wild = connect(version)
    wild.subscribe(f"{topic}/+", qos=1)
    exact = connect(version)
    exact.subscribe(f"{topic}/a", qos=1)
    kept = exact.message()
    assert (kept.payload, kept.retain) == (b"kept", True)
    publisher.publish(f"{topic}/a", "", retain=True)
    # The wildcard subscriber sees the deletion as its first message, without RETAIN.
    seen = wild.message()
    assert (seen.payload, seen.retain) == (b"", False)
    assert exact.texts(1) == [""]
    late = connect(version)
    late.subscribe(f"{topic}/a", qos=1)
    publisher.publish(f"{topic}/a", "live")
    assert late.texts(1) == ["live"]


@VERSIONS
def test_offline_messages_wait(connect, topic, version):
    client_id = f"conformance-{uuid.uuid4()}"
    sleeper = connect(version, client_id, clean=False, expiry=600)
    sleeper.subscribe(topic, qos=1)
    sleeper.close()
    publisher = connect(version)
    for number in range(20):
        publisher.publish(topic, str(number), qos=1)
    publisher.publish(topic, "not kept", qos=0)
    again = connect(version, client_id, clean=False, expiry=600)
    assert again.flags.session_present
    assert again.texts(20) == [str(number) for number in range(20)]
    publisher.publish(topic, "next", qos=1)
    assert again.texts(1) == ["next"]
    again.close()
    fresh = connect(version, client_id, clean=True)
    assert not fresh.flags.session_present


@VERSIONS
def test_the_newest_connection_wins(connect, version):
    client_id = f"conformance-{uuid.uuid4()}"
    old = connect(version, client_id)
    old.client.reconnect_delay_set(min_delay=3600, max_delay=3600)
    new = connect(version, client_id)
    reason = old.event("disconnect")
    assert version == mqtt.MQTTv311 or reason.value == 0x8E
    assert new.client.is_connected()


@VERSIONS
def test_a_will_is_published_when_the_client_is_lost(connect, topic, version):
    watcher = connect(version)
    watcher.subscribe(topic, qos=1)
    polite = connect(version, will=(topic, "polite"))
    polite.close()
    lost = connect(version, will=(topic, "lost"))
    lost.drop()
    assert watcher.texts(1) == ["lost"]


@VERSIONS
def test_shared_subscriptions(connect, topic, version):
    members = [connect(version) for _ in range(3)]
    for member in members:
        assert member.subscribe(f"$share/workers/{topic}", qos=1) == [1]
    publisher = connect(version)
    for number in range(30):
        publisher.publish(topic, str(number))
    got = []
    for member in members:
        share = member.texts(10)
        assert share == sorted(share, key=int)
        got += share
    assert sorted(got, key=int) == [str(number) for number in range(30)]


def test_a_client_without_a_name_gets_one(broker_device):
    client = Client(broker_device, mqtt.MQTTv5, "")
    try:
        assert client.reason.value == 0
        assert len(client.properties.AssignedClientIdentifier) > 8
    finally:
        client.close()


def test_properties_travel_with_the_message(connect, topic):
    client = connect(mqtt.MQTTv5)
    client.subscribe(topic, qos=1)
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = [("a", "1"), ("a", "2")]
    properties.ContentType = "text/plain"
    properties.ResponseTopic = f"{topic}/answer"
    properties.CorrelationData = b"\x00\x01"
    properties.PayloadFormatIndicator = 1
    properties.MessageExpiryInterval = 60
    client.publish(topic, "hello", properties=properties)
    got = client.message().properties
    assert got.UserProperty == [("a", "1"), ("a", "2")]
    assert (got.ContentType, got.ResponseTopic, got.CorrelationData) == ("text/plain", f"{topic}/answer", b"\x00\x01")
    assert got.PayloadFormatIndicator == 1 and got.MessageExpiryInterval <= 60


def test_subscription_options(connect, topic):
    client = connect(mqtt.MQTTv5)
    client.publish(topic, "kept", retain=True)
    client.subscribe(topic, options=SubscribeOptions(qos=1, noLocal=True, retainHandling=2))
    client.publish(topic, "own")
    other = connect(mqtt.MQTTv5)
    other.publish(topic, "other", retain=True)
    message = client.message()
    assert (message.payload, message.retain) == (b"other", False)
    client.subscribe(topic, options=SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=2))
    other.publish(topic, "marked", retain=True)
    assert client.message().retain
    other.publish(topic, "", retain=True)


def test_what_the_server_offers(connect):
    offer = connect(mqtt.MQTTv5, expiry=2**32 - 1).properties
    assert offer.MaximumQoS == 1
    assert offer.SubscriptionIdentifierAvailable == 0
    assert offer.SharedSubscriptionAvailable == 1
    assert offer.TopicAliasMaximum == 8
    assert offer.ReceiveMaximum == 100
    assert offer.SessionExpiryInterval == 604_800


def mosquitto(program, device, *arguments):
    if shutil.which(program) is None:
        pytest.fail(f"{program} is not installed; tools/ready installs it")
    return [program, "-h", device.host, "-p", str(device.port), "--cafile", device.ca, "--cert", device.certificate,
            "--key", device.key, *arguments]


@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_mosquitto_programs(connect, broker_device, topic, version):
    """mosquitto_pub to mosquitto_sub, with the retained message as the sign that the subscription stands."""
    connect(mqtt.MQTTv5).publish(f"{topic}/ready", "ready", retain=True)
    listen = mosquitto("mosquitto_sub", broker_device, "-V", version, "-q", "1", "-t", f"{topic}/#",
                       "-t", f"{topic}/ready", "-C", "4", "-W", str(WAIT_SECONDS))
    with subprocess.Popen(listen, stdout=subprocess.PIPE, text=True) as subscriber:
        assert subscriber.stdout.readline() == "ready\n"
        say = mosquitto("mosquitto_pub", broker_device, "-V", version, "-q", "1", "-t", f"{topic}/say", "-l")
        subprocess.run(say, input="one\ntwo\nthree\n", text=True, check=True, timeout=WAIT_SECONDS)
        assert subscriber.stdout.read() == "one\ntwo\nthree\n"
