"""CC 3: shadows of a core: local requests and notifications over the unmodified IPC client, agreement with the control plane."""
import concurrent.futures
import json
import os
import pathlib
import queue
import time

import pytest
from awsiot import greengrasscoreipc
from awsiot.greengrasscoreipc import clientv2, model

from waiting import until

THING = "marram-local-core"
SECONDS = 60


@pytest.fixture(scope="module")
def shadows(marram, client):
    """The shadow manager on the local core, synchronising two of its shadows."""
    gg, iot = client("greengrassv2"), client("iot")
    until("the core", lambda: any(one["coreDeviceThingName"] == THING for one in gg.list_core_devices(maxResults=100)["coreDevices"]))
    configuration = {"synchronize": {"coreThing": {"classic": True, "namedShadows": ["tank"]}}}
    made = gg.create_deployment(targetArn=iot.describe_thing(thingName=THING)["thingArn"], components={
        "aws.greengrass.ShadowManager": {"componentVersion": "2.3.14", "configurationUpdate": {"merge": json.dumps(configuration)}}})
    until("the deployment", lambda: gg.get_deployment(deploymentId=made["deploymentId"])["deploymentStatus"] == "COMPLETED")
    yield
    gg.create_deployment(targetArn=iot.describe_thing(thingName=THING)["thingArn"], components={})


@pytest.fixture(scope="module")
def operator(marram):
    """The IPC client of who commands the core."""
    root = pathlib.Path(marram.environment["MARRAM_CORE_ROOT"])
    known = json.loads((root / "cli_ipc_info" / f"user-{os.geteuid()}").read_text())
    connection = greengrasscoreipc.connect(ipc_socket=known["domain_socket_path"], authtoken=known["cli_auth_token"], timeout=SECONDS)
    # The SDK's own pool has several threads, which may swap two events.
    client = clientv2.GreengrassCoreIPCClientV2(client=connection, executor=concurrent.futures.ThreadPoolExecutor(max_workers=1))
    yield client
    client.close().result(SECONDS)


def test_local_requests_reach_the_cloud_and_back(client, shadows, operator):
    data = client("iot-data")
    base = f"$aws/things/{THING}/shadow/name/tank"
    heard = queue.Queue()
    operator.subscribe_to_topic(topic=f"{base}/#", on_stream_event=lambda event: heard.put(
        (event.binary_message.context.topic.removeprefix(base + "/"), json.loads(event.binary_message.message))))

    def publish(operation, body):
        operator.publish_to_topic(topic=f"{base}/{operation}", publish_message=model.PublishMessage(
            json_message=model.JsonMessage(message=body)))

    def next_of(topic):
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            found, body = heard.get(timeout=SECONDS)
            if found == topic:
                return body
        raise AssertionError(f"nothing on {topic}")

    cloud = lambda: json.loads(data.get_thing_shadow(thingName=THING, shadowName="tank")["payload"].read())["state"]
    publish("get", {"clientToken": "t"})
    assert next_of("get/rejected")["code"] == 404
    publish("update", {"state": {"reported": {"level": 4}, "desired": {"valve": "open"}}})
    assert next_of("update/delta")["state"] == {"valve": "open"}
    assert next_of("update/documents")["current"]["state"]["reported"] == {"level": 4}
    assert next_of("update/accepted")["version"] == 1

    def is_there(state):
        try:
            found = cloud()
        except data.exceptions.ResourceNotFoundException:
            return state is None
        found.pop("delta", None)
        return found == state

    until("the cloud's shadow", lambda: is_there({"reported": {"level": 4}, "desired": {"valve": "open"}}))
    data.update_thing_shadow(thingName=THING, shadowName="tank", payload=json.dumps({"state": {"desired": {"valve": "shut"}}}).encode())
    assert next_of("update/delta")["state"] == {"valve": "shut"}
    publish("update", {"state": {"reported": {"valve": "shut", "level": 5}}})
    until("the cloud's shadow", lambda: is_there({"reported": {"level": 5, "valve": "shut"}, "desired": {"valve": "shut"}}))
    data.delete_thing_shadow(thingName=THING, shadowName="tank")
    next_of("delete/accepted")
    publish("get", {})
    assert next_of("get/rejected")["code"] == 404


def test_the_classic_shadow_comes_down(client, shadows, operator):
    data = client("iot-data")
    base = f"$aws/things/{THING}/shadow"
    heard = queue.Queue()
    operator.subscribe_to_topic(topic=f"{base}/get/accepted", on_stream_event=lambda event: heard.put(json.loads(event.binary_message.message)))
    data.update_thing_shadow(thingName=THING, payload=json.dumps({"state": {"desired": {"mode": "eco"}}}).encode())

    def local():
        operator.publish_to_topic(topic=f"{base}/get", publish_message=model.PublishMessage(json_message=model.JsonMessage(message={})))
        try:
            return heard.get(timeout=1)["state"]["desired"] == {"mode": "eco"}
        except queue.Empty:
            return False

    until("the shadow on the core", local)
