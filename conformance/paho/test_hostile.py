"""The broker under clients that break rules on purpose: raw bytes over TLS, and a client beside them that notices nothing.

What ends a connection, and with which word, is MQTT's (3.1.1 and 5) where no limit of ours is concerned (CP 5.2, 5.3).
"""
import itertools
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
import uuid

import pytest

WAIT_SECONDS = 60
#: Longer than any test: nobody here has to say that it is alive.
KEEP_ALIVE = 1200
V4, V5 = 4, 5
CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = 1, 2, 3, 4, 8, 9, 10, 11
PINGREQ, PINGRESP, DISCONNECT, AUTH = 12, 13, 14, 15
TOPIC = "conformance/hostile"


def text(value):
    value = value.encode() if isinstance(value, str) else value
    return struct.pack(">H", len(value)) + value


def varint(number):
    out = b""
    while True:
        number, low = divmod(number, 128)
        out += bytes([low | (128 if number else 0)])
        if not number:
            return out


def packet(kind, body=b"", flags=None):
    flags = {SUBSCRIBE: 2, UNSUBSCRIBE: 2, 6: 2}.get(kind, 0) if flags is None else flags
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


def properties(version, content=b""):
    return varint(len(content)) + content if version == V5 else b""


def connect(version, client_id="", flags=2, keep_alive=KEEP_ALIVE, props=b"", rest=b"", name="MQTT", level=None):
    head = text(name) + bytes([level or version, flags]) + struct.pack(">H", keep_alive)
    return packet(CONNECT, head + properties(version, props) + text(client_id) + rest)


def publish(version, topic=TOPIC, payload=b"x", qos=0, flags=None, packet_id=1, props=b""):
    number = struct.pack(">H", packet_id) if qos else b""
    body = text(topic) + number + properties(version, props) + payload
    return packet(PUBLISH, body, qos << 1 if flags is None else flags)


def subscribe(version, *filters, packet_id=1, props=b"", options=1):
    body = struct.pack(">H", packet_id) + properties(version, props)
    return packet(SUBSCRIBE, body + b"".join(text(name) + bytes([options]) for name in filters))


class Raw:
    """A TLS connection that sends what it is told and reads packet by packet."""

    def __init__(self, device, receive_buffer=None):
        plain = socket.socket()
        if receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        plain.settimeout(WAIT_SECONDS)
        plain.connect((device.host, device.port))
        context = ssl.create_default_context(cafile=device.ca)
        context.load_cert_chain(device.certificate, device.key)
        self.socket = context.wrap_socket(plain, server_hostname=device.host)
        self.buffer = b""

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (OSError, ssl.SSLError):
            pass  # The broker closed before it read everything: what it said is still to be read.

    def packet(self):
        """Kind, flags and body of the next packet; None when the broker closed."""
        while True:
            for digits in range(1, 5):
                if len(self.buffer) > digits and self.buffer[digits] < 128:
                    length = sum((byte & 127) << 7 * at for at, byte in enumerate(self.buffer[1:digits + 1]))
                    end = 1 + digits + length
                    if len(self.buffer) >= end:
                        first, body, self.buffer = self.buffer[0], self.buffer[1 + digits:end], self.buffer[end:]
                        return first >> 4, first & 15, body
                    break
            try:
                data = self.socket.recv(65_536)
            except (ConnectionError, ssl.SSLError):
                return None
            if not data:
                return None
            self.buffer += data

    def open(self, version, client_id=None, **options):
        """CONNECT and its CONNACK: session present, reason, properties."""
        self.send(connect(version, f"hostile-{uuid.uuid4()}" if client_id is None else client_id, **options))
        kind, _, body = self.packet()
        assert kind == CONNACK
        return body[0], body[1], body[2:]

    def close(self):
        try:
            # Whoever waits in another thread is told as well.
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()


@pytest.fixture
def raw(broker_device):
    """`raw(...)`: a connection, closed afterwards."""
    made = []

    def start(**options):
        made.append(Raw(broker_device, **options))
        return made[-1]

    yield start
    for connection in made:
        connection.close()


@pytest.fixture
def bystander(raw):
    """A well-behaved client that still gets its messages when the test is over."""
    client = raw()
    assert client.open(V5)[1] == 0
    client.send(subscribe(V5, "conformance/bystander"))
    assert client.packet()[0] == SUBACK
    yield client
    client.send(publish(V5, "conformance/bystander", b"still here", qos=1, packet_id=7))
    kinds = sorted(client.packet()[0] for _ in range(2))
    assert kinds == [PUBLISH, PUBACK]


def user_property(name, value):
    return b"\x26" + text(name) + text(value)


#: Refused before there is a session: what the bytes are, and the CONNACK code (None: closed without a word).
CONNECTS = {
    "not MQTT": (b"GET / HTTP/1.1\r\n\r\n", None),
    "PUBLISH first": (publish(V5), None),
    "length of five bytes": (b"\x10\xff\xff\xff\xff\x01", None),
    "length not in its shortest form": (b"\x10\x80\x00", None),
    "an announced 256 MB": (b"\x10\xff\xff\xff\x7f", None),
    "flags in the fixed header": (bytes([0x11]) + connect(V4, "x")[1:], None),
    "MQTT 3.1": (connect(V4, "x", name="MQIsdp", level=3), 1),
    "level 6": (connect(V5, "x", level=6), 0x84),
    "wrong protocol name": (connect(V4, "x", name="MQTX"), 1),
    "reserved flag": (connect(V4, "x", flags=3), None),
    "will QoS without will": (connect(V4, "x", flags=2 | 8), None),
    "will QoS 3": (connect(V4, "x", flags=2 | 4 | 24, rest=text("conformance/w") + text("x")), None),
    "password without user, 3.1.1": (connect(V4, "x", flags=2 | 64, rest=text("p")), None),
    "bytes behind the end": (connect(V4, "x", rest=b"more"), None),
    "client id cut off": (packet(CONNECT, connect(V4, "abcdef")[2:-3]), None),
    "client id with NUL": (connect(V4, "a\0b"), None),
    "client id with half a surrogate": (connect(V4, b"a\xed\xa0\x80"), None),
    "client id from `$`": (connect(V5, "$a"), 0x85),
    "client id from `$`, 3.1.1": (connect(V4, "$a"), 2),
    "client id of 129 bytes": (connect(V5, "x" * 129), 0x85),
    "no client id, session kept, 3.1.1": (connect(V4, "", flags=0), 2),
    "receive maximum 0": (connect(V5, "x", props=b"\x21\0\0"), None),
    "packet maximum 0": (connect(V5, "x", props=b"\x27\0\0\0\0"), None),
    "a property twice": (connect(V5, "x", props=b"\x11\0\0\0\1" * 2), None),
    "a property of PUBLISH": (connect(V5, "x", props=b"\x23\0\1"), None),
    "request problem information 2": (connect(V5, "x", props=b"\x17\2"), None),
    "authentication method": (connect(V5, "x", props=b"\x15" + text("SCRAM-SHA-1")), 0x8C),
    "authentication data without method": (connect(V5, "x", props=b"\x16" + text("data")), None),
    "will with a wildcard": (connect(V5, "x", flags=6, rest=b"\0" + text("conformance/+") + text("x")), None),
    "will on a reserved topic": (connect(V5, "x", flags=6, rest=b"\0" + text("$aws/things/x/shadow/update") + text("{}")), 0x87),
    "will where its client may not publish": (connect(V5, "x", flags=6, rest=b"\0" + text("elsewhere") + text("x")), 0x87),
    "will with QoS 2": (connect(V5, "x", flags=6 | 16, rest=b"\0" + text("conformance/w") + text("x")), 0x9B),
    "will too deep": (connect(V5, "x", flags=6, rest=b"\0" + text("conformance" + "/x" * 8) + text("x")), 0x90),
}


@pytest.mark.parametrize("name", CONNECTS)
def test_refused_at_the_door(raw, bystander, name):
    data, code = CONNECTS[name]
    client = raw()
    client.send(data)
    answer = client.packet()
    if code is None:
        # MQTT 5 lets a server say why before it closes; it has to close in any case.
        assert answer is None or (answer[0] == CONNACK and answer[2][1] >= 0x80)
    else:
        assert answer is not None and (answer[0], answer[2][1]) == (CONNACK, code)
    assert client.packet() is None


MALFORMED, PROTOCOL, NO_TOPIC = 0x81, 0x82, 0x90

#: Ends a session: bytes for 3.1.1 and 5 (None: only the other), and what 5 is told.
OFFENCES = {
    "packet type 0": (lambda v: b"\x00\x00", MALFORMED),
    "packet type 15, AUTH": (lambda v: packet(AUTH), {V4: None, V5: PROTOCOL}),
    "a second CONNECT": (lambda v: connect(v, "x"), PROTOCOL),
    "CONNACK": (lambda v: packet(CONNACK, b"\0\0" + properties(v)), PROTOCOL),
    "SUBACK": (lambda v: packet(SUBACK, b"\0\1" + properties(v) + b"\0"), PROTOCOL),
    "UNSUBACK": (lambda v: packet(UNSUBACK, b"\0\1" + (b"\0\0" if v == V5 else b"")), PROTOCOL),
    "PINGRESP": (lambda v: packet(PINGRESP), PROTOCOL),
    "PINGREQ with a body": (lambda v: packet(PINGREQ, b"x"), MALFORMED),
    "PINGREQ with flags": (lambda v: packet(PINGREQ, flags=1), MALFORMED),
    "SUBSCRIBE without its flags": (lambda v: packet(SUBSCRIBE, subscribe(v, TOPIC)[2:], flags=0), MALFORMED),
    "length of five bytes": (lambda v: b"\x30\xff\xff\xff\xff\x01", MALFORMED),
    "length not in its shortest form": (lambda v: b"\x30\x8a\x80\x00", MALFORMED),
    "an announced 256 MB": (lambda v: b"\x30\xff\xff\xff\x7f", 0x95),
    "an announced 149,505 bytes": (lambda v: b"\x30" + varint(149_501), 0x95),
    "payload of 131,073 bytes": (lambda v: publish(v, payload=b"x" * 131_073), 0x95),
    "QoS 3": (lambda v: publish(v, qos=3), MALFORMED),
    "QoS 2": (lambda v: publish(v, qos=2), 0x9B),
    "PUBREL": (lambda v: packet(6, b"\0\1"), {V4: None, V5: 0x9B}),
    "PUBREC": (lambda v: packet(5, b"\0\1"), {V4: None, V5: 0x9B}),
    "DUP with QoS 0": (lambda v: publish(v, flags=8), MALFORMED),
    "packet identifier 0": (lambda v: publish(v, qos=1, packet_id=0), PROTOCOL),
    "PUBACK of identifier 0": (lambda v: packet(PUBACK, b"\0\0"), PROTOCOL),
    "PUBACK of one byte": (lambda v: packet(PUBACK, b"\0"), MALFORMED),
    "`+` in a topic": (lambda v: publish(v, "conformance/+"), NO_TOPIC),
    "`#` in a topic": (lambda v: publish(v, "conformance/#"), NO_TOPIC),
    "a topic of 257 bytes": (lambda v: publish(v, "conformance/" + "x" * 245), NO_TOPIC),
    "a topic of 65,535 bytes": (lambda v: publish(v, "conformance/" + "x" * 65_523), NO_TOPIC),
    "a topic of 8 slashes": (lambda v: publish(v, "conformance" + "/" * 8), NO_TOPIC),
    "a topic with NUL": (lambda v: publish(v, "conformance/\0"), {MALFORMED, NO_TOPIC}),
    "a topic that is not UTF-8": (lambda v: publish(v, b"conformance/\xff"), MALFORMED),
    "a topic in overlong UTF-8": (lambda v: publish(v, b"conformance/\xc0\xaf"), MALFORMED),
    "a topic with half a surrogate": (lambda v: publish(v, b"conformance/\xed\xa0\x80"), MALFORMED),
    "no topic": (lambda v: publish(v, ""), {PROTOCOL, NO_TOPIC}),
    "a topic longer than its packet": (lambda v: packet(PUBLISH, b"\x01\x00short"), MALFORMED),
    "a topic nobody may publish on": (lambda v: publish(v, "elsewhere"), 0x87),
    "a reserved topic": (lambda v: publish(v, "$aws/nothing"), 0x87),
    "another client's `$SYS`": (lambda v: publish(v, "$SYS/broker/load"), 0x87),
    "alias 0": (lambda v: v == V5 and publish(v, props=b"\x23\0\0"), 0x94),
    "alias 9 of 8": (lambda v: v == V5 and publish(v, props=b"\x23\0\x09"), 0x94),
    "an alias never defined": (lambda v: v == V5 and publish(v, "", props=b"\x23\0\1"), PROTOCOL),
    "an alias twice": (lambda v: v == V5 and publish(v, props=b"\x23\0\1" * 2), PROTOCOL),
    "an unknown property": (lambda v: v == V5 and publish(v, props=b"\x7f\0"), MALFORMED),
    "a property of CONNECT": (lambda v: v == V5 and publish(v, props=b"\x11\0\0\0\1"), {MALFORMED, PROTOCOL}),
    "payload format 2": (lambda v: v == V5 and publish(v, props=b"\x01\2"), PROTOCOL),
    "a response topic with a wildcard": (lambda v: v == V5 and publish(v, props=b"\x08" + text("a/#")), {PROTOCOL, NO_TOPIC}),
    "a subscription identifier from a client": (lambda v: v == V5 and publish(v, props=b"\x0b\1"), PROTOCOL),
    "properties longer than the packet": (lambda v: v == V5 and packet(PUBLISH, text(TOPIC) + b"\x7f"), MALFORMED),
    "user properties of more than 8 KB": (lambda v: v == V5 and publish(v, props=user_property("k", "v" * 8192)), 0x97),
    "a user property that is not UTF-8": (lambda v: v == V5 and publish(v, props=user_property(b"\xff", "v")), MALFORMED),
    "SUBSCRIBE without filters": (lambda v: packet(SUBSCRIBE, b"\0\1" + properties(v)), PROTOCOL),
    "SUBSCRIBE with identifier 0": (lambda v: subscribe(v, TOPIC, packet_id=0), PROTOCOL),
    "SUBSCRIBE with QoS 3": (lambda v: subscribe(v, TOPIC, options=3), {MALFORMED, PROTOCOL}),
    "SUBSCRIBE with reserved options": (lambda v: subscribe(v, TOPIC, options=0x41), {MALFORMED, PROTOCOL}),
    "retain handling 3": (lambda v: v == V5 and subscribe(v, TOPIC, options=0x31), {MALFORMED, PROTOCOL}),
    "no local on a shared subscription": (lambda v: v == V5 and subscribe(v, "$share/g/" + TOPIC, options=5), PROTOCOL),
    "a subscription identifier": (lambda v: v == V5 and subscribe(v, TOPIC, props=b"\x0b\1"), 0xA1),
    "subscription identifier 0": (lambda v: v == V5 and subscribe(v, TOPIC, props=b"\x0b\0"), PROTOCOL),
    "nine filters": (lambda v: subscribe(v, *(f"{TOPIC}/{n}" for n in range(9))), 0x97),
    "a filter that is not UTF-8": (lambda v: subscribe(v, b"conformance/\xff"), MALFORMED),
    "UNSUBSCRIBE without filters": (lambda v: packet(UNSUBSCRIBE, b"\0\1" + properties(v)), PROTOCOL),
    "DISCONNECT that prolongs a session": (lambda v: v == V5 and packet(DISCONNECT, b"\0\x05\x11\0\0\0\1"), PROTOCOL),
}


#: Offences with the versions that know them: a builder answers nothing for the other.
COMMITTED = [pytest.param(name, version, id=f"{name}-{'5' if version == V5 else '3.1.1'}")
             for name, (build, _) in OFFENCES.items() for version in (V4, V5) if build(version)]


@pytest.mark.parametrize("name, version", COMMITTED)
def test_ends_the_session(raw, bystander, name, version):
    build, wanted = OFFENCES[name]
    data = build(version)
    client = raw()
    assert client.open(version)[1] == 0
    client.send(data)
    answer = client.packet()
    if version == V5:
        wanted = wanted.get(V5) if isinstance(wanted, dict) else wanted
        wanted = wanted if isinstance(wanted, set) else {wanted}
        assert answer is not None and answer[0] == DISCONNECT and answer[2][0] in wanted, answer
        answer = client.packet()
    assert answer is None, answer


#: Filters that are none: MQTT 5 is told so in the SUBACK or by the end of the connection, 3.1.1 by its end or 0x80.
NO_FILTERS = ["", "a/#/b", "conformance/x#", "conformance/+x", "a\0b", "$share/g", "$share//conformance/x", "$share/g/",
              "$share/+/conformance/x", "$share/" + "g" * 129 + "/conformance/x", "conformance" + "/" * 8,
              "conformance/" + "x" * 245]


@pytest.mark.parametrize("version", [V4, V5], ids=["3.1.1", "5"])
@pytest.mark.parametrize("name", NO_FILTERS)
def test_not_a_filter(raw, bystander, name, version):
    client = raw()
    assert client.open(version)[1] == 0
    client.send(subscribe(version, name))
    answer = client.packet()
    if answer is not None and answer[0] == SUBACK:
        assert answer[2][-1] >= 0x80
    else:
        assert answer is None or (answer[0] == DISCONNECT and answer[2][0] in (MALFORMED, PROTOCOL, 0x8F))


@pytest.mark.parametrize("version", [V4, V5], ids=["3.1.1", "5"])
def test_fifty_subscriptions_and_not_one_more(raw, bystander, version):
    """Ten thousand are asked for, eight at a time (CP 5.2); the fifty work, and taking one back makes room for one."""
    client = raw()
    client.open(version)
    granted, refused = 0, 0
    for first in range(0, 10_000, 8):
        client.send(subscribe(version, *(f"{TOPIC}/{n}" for n in range(first, first + 8))))
        reasons = client.packet()[2][-8:]
        granted += sum(reason == 1 for reason in reasons)
        refused += sum(reason == (0x97 if version == V5 else 0x80) for reason in reasons)
    assert (granted, refused) == (50, 9950)
    client.send(packet(UNSUBSCRIBE, b"\0\1" + properties(version) + text(f"{TOPIC}/0")))
    assert client.packet()[0] == UNSUBACK
    client.send(subscribe(version, f"{TOPIC}/new"))
    assert client.packet()[2][-1] == 1


@pytest.mark.parametrize("asked, granted", [(1, 30), (0, 1200), (65_535, 1200), (60, None)])
def test_keep_alive_is_what_the_server_says(raw, asked, granted):
    """CP 5.2: 30 to 1200 seconds, none is the longest; told where it differs (Server Keep Alive, 0x13)."""
    _, reason, offer = raw().open(V5, keep_alive=asked)
    assert reason == 0
    assert (b"\x13" + struct.pack(">H", granted) in offer) if granted else (b"\x13\0\x3c" not in offer)


def test_an_identifier_may_come_again(raw, bystander):
    """Packet identifiers belong to their sender: the same one a hundred times is a hundred answers, and an
    acknowledgement of nothing is no offence."""
    client = raw()
    client.open(V5)
    client.send(packet(PUBACK, b"\x12\x34"))
    client.send(publish(V5, qos=1, packet_id=9) * 100)
    assert [client.packet()[::2] for _ in range(100)] == [(PUBACK, b"\0\x09")] * 100


def test_more_in_flight_than_agreed(raw, bystander):
    """Ten thousand QoS 1 messages without reading one answer: the broker stops reading, not working."""
    client = raw()
    client.open(V5)
    client.send(publish(V5, qos=1, packet_id=9) * 10_000)
    assert all(client.packet()[0] == PUBACK for _ in range(10_000))


def test_sessions_taken_over_in_a_storm(raw, bystander):
    """Sixty connections in a row with one client id: each ends the one before with 0x8E, the last one works."""
    client_id = f"hostile-{uuid.uuid4()}"
    clients = [raw() for _ in range(60)]
    for client in clients:
        assert client.open(V5, client_id)[1] == 0
    for client in clients[:-1]:
        kind, _, body = client.packet()
        assert (kind, body[0]) == (DISCONNECT, 0x8E)
    clients[-1].send(packet(PINGREQ))
    assert clients[-1].packet()[0] == PINGRESP


def test_clean_and_kept_sessions_in_turns(raw):
    """A clean start ends the kept session for good; what was subscribed in it does not come back."""
    client_id, keep = f"hostile-{uuid.uuid4()}", b"\x11\0\0\0\x3c"
    for flags, props, present in [(0, keep, 0), (0, keep, 1), (2, b"", 0), (0, keep, 0), (2, keep, 0), (0, keep, 1), (0, b"", 1), (0, keep, 0)]:
        client = raw()
        assert client.open(V5, client_id, flags=flags, props=props)[:2] == (present, 0), (flags, props)
        client.send(packet(DISCONNECT))
        assert client.packet() is None


def test_half_a_connect_is_not_waited_for(raw, bystander):
    """SEC 12.2: ten seconds for CONNECT, however slowly it drips; a hundred that drip keep nobody out, and none is waited for."""
    clients, data = [raw() for _ in range(100)], connect(V5, "slow")
    start = time.monotonic()
    for byte in data[:-1]:
        for client in clients:
            client.send(bytes([byte]))
        if time.monotonic() - start > 11:
            break
        time.sleep(0.6)
    assert all(client.packet() is None for client in clients)


def test_retained_messages_come_and_go(raw, bystander):
    """Two thousand topics are retained and cleared; the last word on each holds."""
    client = raw()
    client.open(V5)
    base = f"conformance/flood/{uuid.uuid4()}"
    for payload in (b"kept", b""):
        flood = b"".join(publish(V5, f"{base}/{n}", payload, flags=3, qos=1, packet_id=n + 1) for n in range(2000))
        client.send(flood)
        assert all(client.packet()[::2] == (PUBACK, struct.pack(">H", n + 1)) for n in range(2000))
        client.send(subscribe(V5, f"{base}/7", options=0))
        assert client.packet()[0] == SUBACK
        if payload:
            assert client.packet()[2].endswith(payload)
        client.send(packet(UNSUBSCRIBE, b"\0\1\0" + text(f"{base}/7")) + packet(PINGREQ))
        assert [client.packet()[0] for _ in range(2)] == [UNSUBACK, PINGRESP]


def test_members_of_a_share_leave(raw, bystander):
    """Each message reaches one member. One that leaves is asked no more, however it goes; the last takes all."""
    topic = f"conformance/share/{uuid.uuid4()}"
    members = [raw() for _ in range(6)]
    witness = raw()
    witness.open(V5)
    witness.send(subscribe(V5, f"{topic}/lost"))
    assert witness.packet()[0] == SUBACK
    for member in members:
        member.open(V5, flags=6, rest=b"\0" + text(f"{topic}/lost") + text("gone"))
        member.send(subscribe(V5, f"$share/workers/{topic}"))
        assert member.packet()[2][-1] == 1
    members[0].send(packet(DISCONNECT))
    members[1].close()
    assert witness.packet()[0] == PUBLISH, "the broker has noticed"
    members[2].send(packet(UNSUBSCRIBE, b"\0\2\0" + text(f"$share/workers/{topic}")))
    assert members[2].packet()[0] == UNSUBACK
    members[3].send(publish(V5, "conformance/+"))
    assert members[3].packet()[0] == DISCONNECT and members[0].packet() is None
    publisher = raw()
    publisher.open(V5)
    for number in range(40):
        publisher.send(publish(V5, topic, b"%d" % number, qos=1))
        assert publisher.packet()[0] == PUBACK
    got = []
    for member in members[4:]:
        # What lay in front of the first answer is written by the second one.
        for _ in range(2):
            member.send(packet(PINGREQ))
            while (answer := member.packet())[0] == PUBLISH:
                got.append(int(answer[2][len(text(topic)) + 3:]))
            assert answer[0] == PINGRESP
    assert sorted(got) == list(range(40))


def test_a_reader_that_stops_disturbs_nobody(raw, broker_device):
    """Ten subscribers stop reading; mosquitto's programs beside them lose nothing (design 5)."""
    topic = f"conformance/stop/{uuid.uuid4()}"
    stopped = [raw(receive_buffer=4096) for _ in range(10)]
    for number, client in enumerate(stopped):
        client.open(V5)
        client.send(subscribe(V5, topic, options=number % 2))
        assert client.packet()[0] == SUBACK
    publisher = raw()
    publisher.open(V5)
    stop, listen = threading.Event(), None

    def flood():
        while not stop.is_set():
            publisher.send(publish(V5, topic, b"x" * 8192))

    flooder = threading.Thread(target=flood)
    flooder.start()
    try:
        work = f"{topic}/work"
        for client in stopped:
            client.send(subscribe(V5, work, packet_id=2))
        common = ["-h", broker_device.host, "-p", str(broker_device.port), "--cafile", broker_device.ca,
                  "--cert", broker_device.certificate, "--key", broker_device.key, "-q", "1", "-t", work]
        for program in ("mosquitto_sub", "mosquitto_pub"):
            if shutil.which(program) is None:
                pytest.fail(f"{program} is not installed; tools/ready installs it")
        # mosquitto_sub says nothing when it is subscribed: the sign is a message that comes until it does.
        listen = subprocess.Popen(["mosquitto_sub", *common, "-W", "600"], stdout=subprocess.PIPE, text=True)
        ready = threading.Event()

        def call():
            while not ready.wait(0.2):
                subprocess.run(["mosquitto_pub", *common, "-m", "ready"], check=True, timeout=WAIT_SECONDS)

        caller = threading.Thread(target=call)
        caller.start()
        assert listen.stdout.readline() == "ready\n"
        ready.set()
        caller.join()
        wanted = [str(number) for number in range(1000)]
        subprocess.run(["mosquitto_pub", *common, "-l"], input="\n".join([*wanted, "end\n"]), text=True, check=True, timeout=600)
        heard = [line.strip() for line in itertools.takewhile(lambda line: line != "end\n", listen.stdout)]
        assert [line for line in heard if line != "ready"] == wanted
    finally:
        if listen:
            listen.kill()
            listen.wait()
        stop.set()
        publisher.close()
        flooder.join()
