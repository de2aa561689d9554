"""TG 7.4, CR 4.6: a core in two groups with flows: what goes when it leaves one, what nobody waits for then."""
import json
import socket
import threading

import pytest

from edge_core import Site, recipe
from waiting import until

ENTITIES = """
type Level @propertyType(id: "{ns}Property:GroupLevel", dataType: uint16) {{ ignore: void }}
type ReadLevel @actionType(id: "{ns}Action:ReadGroupLevel") {{ return: Level @property(id: "{ns}Property:GroupLevel") }}
type Level @capabilityType(id: "{ns}Capability:GroupLevel") {{ read: ReadLevel @action(id: "{ns}Action:ReadGroupLevel") }}
type Gauge @deviceModel(id: "{ns}DeviceModel:GroupGauge", capability: "{ns}Capability:GroupLevel") {{ ignore: void }}
query Gauge @device(id: "{ns}Device:GroupGauge", deviceModel: "{ns}DeviceModel:GroupGauge") {{
  Modbus(serverId: "3") {{ Level(id: "{ns}Capability:GroupLevel") {{ Action(name: "read") {{ params
    ReadInputRegisters {{ Request(Address: 0, ReadCount: 1)
      Response {{ responsePayload(property: "{ns}Property:GroupLevel") }} }} }} }} }}
}}
"""
FLOW = """
query Measure($gauge: string!) @workflowType(id: "{ns}Workflow:GroupMeasure") {{
  variables {{ level @property(id: "{ns}Property:GroupLevel") }}
  steps {{ step(name: "measure") {{
    DeviceActivity(deviceModel: "{ns}DeviceModel:GroupGauge", deviceId: "${{gauge}}", out: "level") {{ read }} }} }}
}}
"""
SYSTEM = """
type Measured @systemType(id: "{ns}System:GroupMeasured", description: "d") {{
  gauge: Gauge @thing(id: "{ns}DeviceModel:GroupGauge")
  Measure: Flow @workflow(id: "{ns}Workflow:GroupMeasure")
}}
"""
DEPLOYMENT = """
query Here @deployment(id: "{ns}Deployment:{name}", systemId: "{ns}System:GroupMeasured") {{
  gauge(deviceId: "{gauge}")
  triggers {{ Often {{ condition(expr: "every 1 second")
    action(expr: "ThingsGraph.startFlow('Measure', bindings[name == 'gauge'].deviceId)") }} }}
}}
"""


class Meter:
    """A Modbus server that counts what it is asked and says 7."""

    def __init__(self):
        self.reads, self.listener = 0, socket.create_server(("127.0.0.1", 0))
        self.place = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            line, _ = self.listener.accept()
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line):
        with line:
            while len(asked := line.recv(260)) >= 12:
                self.reads += 1
                line.sendall(asked[:4] + bytes([0, 5, asked[6], 4, 2, 0, 7]))

    def is_read(self):
        before = self.reads
        until("readings", lambda: self.reads > before + 1)

    def is_still(self, other):
        """Nothing is read here any more while the same core goes on with another meter."""

        def is_over():
            before, beside = self.reads, other.reads
            until("readings beside it", lambda: other.reads > beside + 3)
            return self.reads == before

        until("the last reading", is_over)


class Hall:
    """The core's groups `left` and `stays`, each with a flow that reads a meter of its own every second."""

    def __init__(self, site):
        self.site, self.iot, self.graph = site, site.plane.client("iot"), site.plane.client("iotthingsgraph")
        account = site.target.split(":")[4]
        self.ns = f"urn:tdm:{site.plane.env['AWS_DEFAULT_REGION']}/{account}/default:"
        upload = self.graph.upload_entity_definitions(document=self.text(ENTITIES))["uploadId"]
        until("the entities", lambda: self.graph.get_upload_status(uploadId=upload)["uploadStatus"] == "SUCCEEDED")
        self.graph.create_flow_template(definition=self.text(FLOW))
        self.graph.create_system_template(definition=self.text(SYSTEM))
        site.plane.client("s3").create_bucket(Bucket="group-flows")
        self.meters, self.flows = {}, {}

    def text(self, text, **more):
        return {"language": "GRAPHQL", "text": text.format(ns=self.ns, **more)}

    def join(self, group, parent=None):
        """A new group with the core in it, or in a group below it, and a flow."""
        meter, gauge, iot = Meter(), f"gauge-{group}", self.iot
        iot.create_thing_group(thingGroupName=group)
        if parent:
            iot.create_thing_group(thingGroupName=parent, parentGroupName=group)
        iot.add_thing_to_thing_group(thingGroupName=parent or group, thingName=self.site.core.thing)
        iot.create_thing(thingName=gauge, attributePayload={"attributes": {"modbusTcp": meter.place}})
        self.graph.associate_entity_to_thing(thingName=gauge, entityId=f"{self.ns}Device:GroupGauge")
        made = self.graph.create_system_instance(
            definition=self.text(DEPLOYMENT, name=group, gauge=gauge), target="GREENGRASS", greengrassGroupName=group, s3BucketName="group-flows")
        self.meters[group], self.flows[group] = meter, made["summary"]["id"]
        self.graph.deploy_system_instance(id=self.flows[group])
        until("the flow", lambda: self.status(group) == "DEPLOYED_IN_TARGET")
        meter.is_read()

    def leave(self, group):
        self.iot.remove_thing_from_thing_group(thingGroupName=group, thingName=self.site.core.thing)

    def status(self, group):
        return self.graph.get_system_instance(id=self.flows[group])["description"]["summary"]["status"]

    def targets(self):
        told = until("an answer of the core", lambda: self.site.ask("config", "explain", "marram.FlowRuntime/targets", "--json").stdout)
        return set(json.loads(told)["value"])


@pytest.fixture(scope="module")
def hall(tmp_path_factory):
    folder = tmp_path_factory.mktemp("groups")
    folder.chmod(0o755)
    site = Site(folder)
    yield Hall(site)
    if site.core.wanted:
        site.core.stop()
    assert site.plane.stop() == 0


def test_flows_of_a_group_go_with_it(hall):
    """CR 4.6: with the core's next deployment, as its components do; what stays goes on; a kill brings nothing back."""
    site, gg = hall.site, hall.site.gg
    gg.create_component_version(inlineRecipe=recipe("com.example.OfGroup", {"run": "exec sleep 600"}))
    hall.join("left")
    hall.join("stays")
    target = hall.iot.describe_thing_group(thingGroupName="left")["thingGroupArn"]
    latest = gg.get_deployment(deploymentId=gg.list_deployments(targetArn=target)["deployments"][0]["deploymentId"])
    more = {**latest["components"], "com.example.OfGroup": {"componentVersion": "1.0.0"}}
    gg.create_deployment(targetArn=target, components=more)
    until("the component", lambda: site.installed("com.example.OfGroup") == [("1.0.0", "RUNNING")])
    hall.leave("left")
    hall.meters["left"].is_read()
    assert hall.targets() == {"thinggroup/left", "thinggroup/stays"}, "nothing tells the core before its next deployment"

    status, told = site.end(site.deploy({"aws.greengrass.Nucleus": "2.17.0"}))
    assert status == "COMPLETED", told
    assert hall.targets() == {"thinggroup/stays"}
    until("the component gone", lambda: site.installed("com.example.OfGroup") == [])
    left, stays = hall.meters["left"], hall.meters["stays"]
    left.is_still(stays)
    before, beside = left.reads, stays.reads
    site.core.kill()
    until("readings after the kill", lambda: stays.reads > beside + 4)
    assert left.reads == before
    # Nobody waits for a core that left.
    hall.graph.undeploy_system_instance(id=hall.flows["left"])
    assert hall.status("left") == "DELETED_IN_TARGET"
    hall.graph.delete_system_instance(id=hall.flows["left"])


def test_flows_of_a_parent_group_go_when_the_child_group_is_deleted(hall):
    """CP 4.4, CR 4.6: a core belongs to a group through those below it, and no longer when these are gone."""
    hall.join("plant", "plant-line-1")
    hall.iot.delete_thing_group(thingGroupName="plant-line-1")
    status, told = hall.site.end(hall.site.deploy({"aws.greengrass.Nucleus": "2.17.0"}))
    assert status == "COMPLETED", told
    assert hall.targets() == {"thinggroup/stays"}
    hall.meters["plant"].is_still(hall.meters["stays"])


def test_a_kill_between_deployment_and_flows(hall):
    """TG 7.4: wherever the core is killed while a deployment takes flows away, it ends as the deployment says."""
    for nth, pause in enumerate((0.05, 0.15, 0.25, 0.4)):
        group = f"killed{nth}"
        hall.join(group)
        hall.leave(group)
        made = hall.site.deploy({"aws.greengrass.Nucleus": "2.17.0"})
        threading.Event().wait(pause)
        hall.site.core.kill()
        status, told = hall.site.end(made)
        assert status == "COMPLETED", told
        assert hall.targets() == {"thinggroup/stays"}
        hall.meters[group].is_still(hall.meters["stays"])


def test_nobody_waits_for_a_deleted_core(hall):
    """TG 7.5: an undeployment waits for no core that left the group, then or before, whose core device was deleted, or whose group was."""
    hall.join("waiting")
    hall.join("deleted")
    hall.site.core.stop()
    hall.graph.undeploy_system_instance(id=hall.flows["waiting"])
    assert hall.status("waiting") == "PENDING_DELETE"
    with pytest.raises(hall.graph.exceptions.ResourceInUseException, match=f"until {hall.site.core.thing} told"):
        hall.graph.delete_system_instance(id=hall.flows["waiting"])
    hall.leave("waiting")
    assert hall.status("waiting") == "DELETED_IN_TARGET"
    hall.site.gg.delete_core_device(coreDeviceThingName=hall.site.core.thing)
    hall.graph.undeploy_system_instance(id=hall.flows["deleted"])
    assert hall.status("deleted") == "DELETED_IN_TARGET"
    hall.iot.delete_thing_group(thingGroupName="stays")
    hall.graph.undeploy_system_instance(id=hall.flows["stays"])
    assert hall.status("stays") == "DELETED_IN_TARGET"
    for group in ("waiting", "deleted", "stays"):
        hall.graph.delete_system_instance(id=hall.flows[group])
