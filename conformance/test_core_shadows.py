"""CC 3: shadows of a core: local requests and notifications over the unmodified IPC client, agreement with the control plane."""
import concurrent.futures
import json
import os
import pathlib
import queue
import subprocess
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


def test_a_shadow_that_is_too_large_to_agree_is_told(marram, client, shadows, operator):
    """CC 3.5: the core may be allowed more than the control plane takes: then each side keeps its own, and the core's doctor says which shadow it
    is, until something is taken out of it."""
    gg, iot, data = client("greengrassv2"), client("iot"), client("iot-data")
    limit = {"componentVersion": "2.3.14", "configurationUpdate": {"merge": json.dumps({"shadowDocumentSizeLimitBytes": 30720})}}
    made = gg.create_deployment(targetArn=iot.describe_thing(thingName=THING)["thingArn"], components={"aws.greengrass.ShadowManager": limit})
    until("the deployment", lambda: gg.get_deployment(deploymentId=made["deploymentId"])["deploymentStatus"] == "COMPLETED")
    program = os.environ.get("MARRAM_CORE_BIN", str(pathlib.Path(__file__).parent.parent / "target/debug/marram-core"))
    doctor = lambda: subprocess.run([program, "doctor", "--root", marram.environment["MARRAM_CORE_ROOT"]], capture_output=True, text=True, timeout=60)
    update = lambda text: operator.publish_to_topic(topic=f"$aws/things/{THING}/shadow/name/tank/update", publish_message=model.PublishMessage(
        json_message=model.JsonMessage(message={"state": {"reported": {"text": text}}})))
    words = f"error: the shadow {THING}/tank is not synchronised since "
    assert words not in doctor().stdout
    # The limit is taken up a moment after the deployment; nobody hears of a refusal here.
    found = until("the doctor's word", lambda: update("a" * 9000) and words in (done := doctor()).stdout and done, 60)
    assert found.returncode == 1 and "hold 9011 bytes (9011 on this core, " in found.stdout, found
    update("b")
    until("the agreement", lambda: words not in doctor().stdout)
    cloud = json.loads(data.get_thing_shadow(thingName=THING, shadowName="tank")["payload"].read())["state"]
    assert cloud["reported"] == {"text": "b"}, cloud
