"""CR 6: what the socket does for those who may not, who say too much, who leave early, who do not listen, who want a lot.

A core by itself, without a control plane: whoever may not is turned away before anything is asked further.
"""
import datetime
import os
import resource

import pytest
from awsiot import eventstreamrpc, greengrasscoreipc
from awsiot.greengrasscoreipc import clientv2, model

import driven
from driven import SECONDS
from lone import Lone
from waiting import until

ONE, TWO, LIMITED, NOBODY = "com.example.One", "com.example.Two", "com.example.Limited", "com.example.Nobody"
#: The one resource that LIMITED has rights on, in every service.
OWN = "elsewhere"
DEPLOYMENT = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    limited = {service: {"own": {"operations": ["*"], "resources": [OWN]}} for service in driven.EVERYTHING}
    rights = {ONE: driven.EVERYTHING, TWO: driven.EVERYTHING, LIMITED: limited, NOBODY: {}}
    made = Lone(tmp_path_factory.mktemp("strain"), rights, {"ipc": {"withoutPeerCheck": [NOBODY]}})
    made.one, made.two, made.limited, made.nobody = (made.clients[name] for name in rights)
    yield made
    made.close()


def text(words):
    return model.PublishMessage(binary_message=model.BinaryMessage(message=words))


CREDENTIAL = model.CredentialDocument(mqtt_credential=model.MQTTCredential(client_id="a", certificate_pem="x"))
#: Each operation that a policy decides about: what is asked, the service of the policy without `aws.greengrass.`, the resource.
GUARDED = [
    ("publish_to_topic", {"topic": "a/b", "publish_message": text(b"x")}, "ipc.pubsub", "a/b"),
    ("subscribe_to_topic", {"topic": "a/#"}, "ipc.pubsub", "a/#"),
    ("publish_to_iot_core", {"topic_name": "a/b", "qos": "1", "payload": b"x"}, "ipc.mqttproxy", "a/b"),
    ("subscribe_to_iot_core", {"topic_name": "a/#", "qos": "1"}, "ipc.mqttproxy", "a/#"),
    ("get_secret_value", {"secret_id": "database"}, "SecretManager", "database"),
    ("get_thing_shadow", {"thing_name": "t"}, "ShadowManager", "$aws/things/t/shadow"),
    ("update_thing_shadow", {"thing_name": "t", "shadow_name": "s", "payload": b"{}"}, "ShadowManager", "$aws/things/t/shadow/name/s"),
    ("delete_thing_shadow", {"thing_name": "t", "shadow_name": ""}, "ShadowManager", "$aws/things/t/shadow"),
    ("list_named_shadows_for_thing", {"thing_name": "t"}, "ShadowManager", "t"),
    ("pause_component", {"component_name": ONE}, "ipc.lifecycle", ONE),
    ("resume_component", {"component_name": ONE}, "ipc.lifecycle", ONE),
    ("restart_component", {"component_name": ONE}, "Cli", ONE),
    ("stop_component", {"component_name": ONE}, "Cli", ONE),
    ("get_component_details", {"component_name": ONE}, "Cli", ONE),
    ("list_components", {}, "Cli", "*"),
    ("create_local_deployment", {"root_components_to_remove": [ONE]}, "Cli", "*"),
    ("cancel_local_deployment", {"deployment_id": DEPLOYMENT}, "Cli", DEPLOYMENT),
    ("get_local_deployment_status", {"deployment_id": DEPLOYMENT}, "Cli", DEPLOYMENT),
    ("list_local_deployments", {}, "Cli", "*"),
    ("create_debug_password", {}, "Cli", "*"),
    ("subscribe_to_certificate_updates", {"certificate_options": model.CertificateOptions(certificate_type="SERVER")},
     "clientdevices.Auth", "*"),
    ("verify_client_device_identity", {"credential": model.ClientDeviceCredential(client_device_certificate="x")},
     "clientdevices.Auth", "*"),
    ("get_client_device_auth_token", {"credential": CREDENTIAL}, "clientdevices.Auth", "*"),
    ("authorize_client_device_action", {"client_device_auth_token": "x", "operation": "mqtt:publish", "resource": "mqtt:topic:a"},
     "clientdevices.Auth", "*"),
    ("put_component_metric", {"metrics": [model.Metric(name="m", unit="COUNT", value=1.0)]}, "ipc.componentmetric", "m"),
]


def on_wire(operation):
    """`get_secret_value` -> `aws.greengrass#GetSecretValue`."""
    return "aws.greengrass#" + "".join(word.capitalize() for word in operation.split("_")).replace("Iot", "IoT")


@pytest.mark.parametrize(("operation", "arguments", "service", "resource"), GUARDED, ids=[row[0] for row in GUARDED])
def test_rights_on_one_resource_are_none_on_another(site, operation, arguments, service, resource):
    """CR 6.9: whoever may do it elsewhere, and whoever may do nothing, may not do it here; the words tell what was missing."""
    for client in (site.limited, site.nobody):
        with pytest.raises(model.UnauthorizedError) as refused:
            client.order("subscribe" if operation.startswith("subscribe") else "call", operation, arguments)
        wanted = f"Principal {client.name} is not authorized to perform aws.greengrass.{service}:{on_wire(operation)} on resource "
        # Who has no grant for secrets at all does not learn how they are named.
        assert refused.value.message in (wanted + resource, wanted + "null" if operation == "get_secret_value" else "")


def test_rights_on_one_resource_are_rights(site):
    """CR 6.9: the other side of the table above."""
    _, heard = site.limited.subscribe("subscribe_to_topic", topic=OWN)
    site.limited.publish_to_topic(topic=OWN, publish_message=text(b"x"))
    assert heard.take()["binary_message"]["message"] == b"x"
    heard.close()
    for operation in ("pause_component", "restart_component", "get_component_details"):
        site.limited.refuse(model.ResourceNotFoundError, operation, component_name=OWN)
    site.limited.refuse(model.InvalidArgumentsError, "get_local_deployment_status", deployment_id=OWN)
    assert site.limited.get_configuration()["component_name"] == LIMITED


def test_tokens_that_are_none(site):
    """CR 6.4, SEC-133: nothing but a living token of the process that it was given to opens the door, and knocking closes it for nobody."""
    until("every component", lambda: all(client.order("pid") for client in (site.one, site.two, site.limited, site.nobody)))
    before = site.ipc()["connections"]
    for token in ("nobody", "x" * 20_000, "\u00e4" * 32, site.two.order("token")):
        with pytest.raises(eventstreamrpc.AccessDeniedError):
            greengrasscoreipc.connect(ipc_socket=site.socket, authtoken=token, timeout=SECONDS)
    until("the refused ones to be gone", lambda: site.ipc()["connections"] <= before)


def test_a_connection_ends_with_its_token(site):
    """SEC-133: a process that no check ties to the component, as one in a container, is out when the component is stopped."""
    token = site.nobody.order("token")
    connection = greengrasscoreipc.connect(ipc_socket=site.socket, authtoken=token, timeout=SECONDS)
    outside = clientv2.GreengrassCoreIPCClientV2(client=connection)
    assert outside.get_configuration().component_name == NOBODY
    assert site.operator.stop_component(component_name=NOBODY)["stop_status"] == "SUCCEEDED"
    state = lambda: site.operator.get_component_details(component_name=NOBODY)["component_details"]["state"]
    until("the end", lambda: state() == "FINISHED")
    with pytest.raises(Exception) as refused:
        outside.get_configuration()
    assert not isinstance(refused.value, (TimeoutError, model.GreengrassCoreIPCError)), refused.value
    with pytest.raises(eventstreamrpc.AccessDeniedError):
        greengrasscoreipc.connect(ipc_socket=site.socket, authtoken=token, timeout=SECONDS)
    site.operator.restart_component(component_name=NOBODY)
    assert site.nobody.order("token") != token


def test_the_silent_keep_nobody_out(site):
    """CR 6.1: clients that never say who they are take no place from those who do."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    silent = [site.knock() for _ in range(1200)]
    assert site.cli("component", "list").returncode == 0
    assert site.one.get_configuration(key_path=["rate"])["value"] == {"rate": 1}
    silent[0].settimeout(SECONDS)
    assert silent[0].recv(1) == b"", "the oldest goes"
    for line in silent:
        line.close()


def test_configurations_do_not_grow_without_end(site):
    """CR 3.5, our limit: a component that fills its configuration is stopped there, and delays nobody meanwhile."""
    update = lambda value: {"timestamp": datetime.datetime.now(), "value_to_merge": {"fill": value}}
    site.one.refuse(model.InvalidArgumentsError, "update_configuration", **update("x" * (1 << 20)))
    site.one.refuse(model.InvalidArgumentsError, "update_configuration", **update({f"k{number}": number for number in range(100_000)}))
    site.one.update_configuration(**update({f"k{number}": number for number in range(9_000)}))
    site.one.update_configuration(**update({f"k{number}": 0 for number in range(9_000)}))
    site.one.refuse(model.InvalidArgumentsError, "update_configuration", **update({f"m{number}": number for number in range(2_000)}))
    assert len(site.two.get_configuration(component_name=ONE, key_path=["fill"])["value"]) == 9_000
    assert ONE in {found["component_name"] for found in site.operator.list_components()["components"]}


def test_messages_may_be_large(site):
    """CR 6.2: a frame holds 16 MiB; one that does not fit ends its own connection and no other."""
    topic = "strain/large"
    _, heard = site.one.subscribe("subscribe_to_topic", topic=topic)
    # As base64 this fills a frame but for its headers.
    large = os.urandom(12 * 1024 * 1024 - 3000)
    site.two.publish_to_topic(topic=topic, publish_message=text(large))
    assert heard.take()["binary_message"]["message"] == large
    before = site.two.order("pid")
    with pytest.raises(Exception) as refused:
        site.two.publish_to_topic(topic=topic, publish_message=text(os.urandom(12 * 1024 * 1024)))
    assert not isinstance(refused.value, TimeoutError), "the client is told"
    site.operator.publish_to_topic(topic=topic, publish_message=text(b"still here"))
    assert heard.take()["binary_message"]["message"] == b"still here"
    heard.close()
    site.one.restart_component(component_name=TWO)
    until("another process", lambda: not site.two.is_silent(SECONDS) and site.two.order("pid") != before)


def test_streams_that_are_left_early(site):
    """CR 6.5: a stream that is closed before its response, a frame that is never finished, a client that is killed: nothing stays open."""
    before = site.ipc()
    for _ in range(20):
        site.one.order("leave_early", "subscribe_to_topic", {"topic": "strain/left"})
        site.one.order("leave_early", "subscribe_to_iot_core_connection_status", {})
    for part in (b"\x00", b"\x00\x00\x00\x71\x00\x00\x00\x48\xd9\x97", b"\xff" * 100):
        with site.knock() as line:
            line.sendall(part)
    until("everything to be closed", lambda: {**site.ipc(), "dropped": 0} == {**before, "dropped": 0})
    _, heard = site.one.subscribe("subscribe_to_topic", topic="strain/left")
    site.two.publish_to_topic(topic="strain/left", publish_message=text(b"x"))
    assert heard.take()["binary_message"]["message"] == b"x"
    heard.close()


def test_whoever_does_not_listen_holds_nobody_up(site):
    """CR 6.10: a component that stands loses the oldest of what it does not take, in order, and the others lose nothing."""
    topic, size, batch = "strain/slow", 4096, 100
    _, slow = site.two.subscribe("subscribe_to_topic", topic=topic)
    _, quick = site.one.subscribe("subscribe_to_topic", topic=topic)
    lost = site.ipc()["dropped"]
    site.one.pause_component(component_name=TWO)
    numbers = iter(range(3000))
    for _ in range(30):
        sent = [next(numbers).to_bytes(4, "big").ljust(size, b".") for _ in range(batch)]
        site.one.order("publish_many", topic, sent)
        found = site.one.order("take_many", quick.number, batch)
        assert [event.binary_message.message for event in found] == sent
    site.one.resume_component(component_name=TWO)
    number = lambda: int.from_bytes(slow.take()["binary_message"]["message"][:4], "big")
    heard = [number()]
    while heard[-1] != 2999:
        heard.append(number())
    assert heard == sorted(set(heard)) and heard[-1000:] == list(range(2000, 3000))
    assert site.ipc()["dropped"] - lost == 3000 - len(heard) > 1000
    slow.close()
    quick.close()


def test_a_restart_ends_subscriptions(site):
    """CR 6.5: what the old process listened to, nobody listens to any more; the new one begins with nothing and can begin anew."""
    topic = "strain/restart"
    site.two.order("pid")
    before = site.ipc()
    for _ in range(10):
        site.two.subscribe("subscribe_to_topic", topic=topic)
        site.two.subscribe("subscribe_to_configuration_update", component_name=ONE, key_path=["rate"])
    assert site.ipc()["subscriptions"] == before["subscriptions"] + 20
    first = site.two.order("pid")
    site.one.restart_component(component_name=TWO)
    until("another process", lambda: not site.two.is_silent(SECONDS) and site.two.order("pid") != first)
    until("the end of its subscriptions", lambda: site.ipc()["subscriptions"] == before["subscriptions"])
    _, heard = site.two.subscribe("subscribe_to_topic", topic=topic)
    for word in (b"x", b"y"):
        site.one.publish_to_topic(topic=topic, publish_message=text(word))
    assert [heard.take()["binary_message"]["message"] for _ in range(2)] == [b"x", b"y"], "each once"
    heard.close()


def test_a_thousand_subscriptions(site):
    """CR 6.5: any number of streams is open at once, and each hears its own."""
    before = site.ipc()["subscriptions"]
    streams = [site.two.subscribe("subscribe_to_topic", topic=f"strain/many/{number}")[1] for number in range(1000)]
    assert site.ipc()["subscriptions"] == before + 1000
    for number in (999, 0, 500):
        site.one.publish_to_topic(topic=f"strain/many/{number}", publish_message=text(str(number).encode()))
        assert streams[number].take()["binary_message"]["message"] == str(number).encode()
    for stream in streams:
        stream.close()
    until("the end of all", lambda: site.ipc()["subscriptions"] == before)
