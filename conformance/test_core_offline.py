"""CR 4.5, 7.6, 9.6: a core whose line is cut, killed several times: it is deployed to locally, publishes, and keeps all of it when the
line is back."""
import json
import sys

import pytest

from device import Device
from edge import Core
from waiting import until

LOCAL, FLEET = "proof.Teller", "proof.Fleet"
#: Publishes numbers with QoS 1, at a steady pace, each after the one before was taken; begins where it ended. How far it came
#: is written after the core's answer: a kill between the two repeats a number, and nothing else may.
TELLER = """
import os, pathlib, sys, time
from awsiot.greengrasscoreipc import clientv2
from awsiot.greengrasscoreipc.model import QOS
client = clientv2.GreengrassCoreIPCClientV2()
kept, topic, stop = pathlib.Path("number"), sys.argv[1], pathlib.Path("stop")
number = int(kept.read_text()) if kept.exists() else 0
while not stop.exists():
    number += 1
    client.publish_to_iot_core(topic_name=topic, qos=QOS.AT_LEAST_ONCE, payload=str(number).encode())
    fresh = kept.with_suffix(".new")
    fresh.write_text(str(number))
    os.replace(fresh, kept)
    time.sleep(0.02)
pathlib.Path("done").touch()
time.sleep(86400)
"""
KILLS = 4


@pytest.fixture
def core(marram, client, tmp_path, name):
    tmp_path.chmod(0o755)
    made = Core(marram, tmp_path, f"{name}-offline")
    yield made
    made.close()


class Local:
    """Local deployments of the teller, as an operator at the device makes them."""

    def __init__(self, core, folder):
        self.core, self.folder, self.root = core, folder, core.root
        self.number, self.stop, self.done = (self.root / "work" / LOCAL / file for file in ("number", "stop", "done"))

    def cli(self, *arguments):
        return self.core.greengrass_cli(*arguments).stdout

    def deploy(self, version):
        recipes, artifacts = self.folder / f"recipes-{version}", self.folder / f"artifacts-{version}" / LOCAL / version
        recipes.mkdir(), artifacts.mkdir(parents=True)
        (artifacts / "teller.py").write_text(TELLER)
        allowed = {"1": {"operations": ["aws.greengrass#PublishToIoTCore"], "resources": [f"{self.core.thing}/*"]}}
        run = f"exec {sys.executable} -u {{artifacts:path}}/teller.py {self.core.thing}/told"
        (recipes / f"{LOCAL}-{version}.json").write_text(json.dumps({
            "RecipeFormatVersion": "2020-01-25", "ComponentName": LOCAL, "ComponentVersion": version,
            "ComponentConfiguration": {"DefaultConfiguration": {"accessControl": {"aws.greengrass.ipc.mqttproxy": allowed}}},
            "Manifests": [{"Platform": {"os": "linux"}, "Lifecycle": {"run": run},
                           "Artifacts": [{"Uri": f"s3://local/{LOCAL}/{version}/teller.py"}]}]}))
        said = self.cli("deployment", "create", "--recipeDir", str(recipes), "--artifactDir", str(self.folder / f"artifacts-{version}"),
                        "--merge", f"{LOCAL}={version}")
        id = said.split()[-1]
        until(f"the local deployment of {version}", lambda: "SUCCEEDED" in self.cli("deployment", "status", "-i", id))

    def runs(self, version):
        shown = self.cli("component", "details", "-n", LOCAL)
        return version in shown and "RUNNING" in shown

    def told(self):
        return int(self.number.read_text()) if self.number.exists() else 0


def test_what_is_done_without_a_line_stays(marram, client, core, tmp_path, name):
    """Components are deployed and updated locally, their messages are spooled over kills of the core; when the line is back all
    arrive in order, a deployment of the control plane that waited is carried out, and what was deployed locally stays."""
    gg, iot = client("greengrassv2"), client("iot")
    group = iot.create_thing_group(thingGroupName=f"{name}-group")["thingGroupArn"]
    iot.add_thing_to_thing_group(thingGroupName=f"{name}-group", thingName=core.thing)
    gg.create_component_version(inlineRecipe=json.dumps({
        "RecipeFormatVersion": "2020-01-25", "ComponentName": FLEET, "ComponentVersion": "1.0.0",
        "Manifests": [{"Platform": {"os": "linux"}, "Lifecycle": {"run": "exec sleep 86400"}}]}))
    until("the core", lambda: any(one["coreDeviceThingName"] == core.thing for one in gg.list_core_devices(maxResults=100)["coreDevices"]))
    hears = lambda arn: [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]
    listener = Device(marram, iot, tmp_path / "listener", f"{name}-listener", hears).connect()
    listener.subscribe(f"{core.thing}/told")
    arrived = []

    def heard():
        while not listener.messages.empty():
            arrived.append(int(listener.messages.get()[1]))
        return arrived

    core.cut()
    made = gg.create_deployment(targetArn=group, components={FLEET: {"componentVersion": "1.0.0"}})
    local = Local(core, tmp_path)
    local.deploy("1.0.0")
    for kill in range(KILLS):
        goal = local.told() + 40
        until("more messages", lambda: local.told() >= goal)
        if kill == KILLS // 2:
            local.deploy("1.1.0")
        core.kill()
        core.start()
    until("the teller after the last kill", lambda: local.runs("1.1.0"))
    goal = local.told() + 20
    until("more messages", lambda: local.told() >= goal)
    local.stop.touch()
    until("the last message", local.done.exists)
    last = local.told()
    assert heard() == [], "there is no line"
    assert FLEET not in local.cli("component", "list"), "there is no line"

    core.mend()
    until("all messages", lambda: heard()[-1:] == [last])
    assert arrived == sorted(arrived), "in order"
    assert set(arrived) == set(range(1, last + 1)), "none lost"
    repeats = len(arrived) - last
    print(f"{last} messages over {KILLS} kills, {repeats} repeated")
    # What the core had taken when it was killed, and the component did not know of.
    assert repeats <= KILLS + 1, arrived
    execution = lambda: iot.describe_job_execution(jobId=made["iotJobId"], thingName=core.thing)["execution"]["status"]
    until("the deployment that waited", lambda: execution() == "SUCCEEDED")
    running = lambda: {
        one["componentName"]: (one["componentVersion"], one["lifecycleState"])
        for one in gg.list_installed_components(coreDeviceThingName=core.thing, topologyFilter="ALL")["installedComponents"]}
    until("both", lambda: [running().get(one) for one in (FLEET, LOCAL)] == [("1.0.0", "RUNNING"), ("1.1.0", "RUNNING")])
    listener.client.disconnect()
    listener.client.loop_stop()
