"""What the original cores send and expect, in the shapes that were recorded from them (CP 6, 7). `make peers-test` runs one of them."""
import base64
import json

import botocore.exceptions
import pytest

from device import Device
from test_greengrass import NAMESPACE, SHADOW, core_policy, eventually, publish, recipe

LITE, VERSION = "aws_nucleus_lite", "2.6.0"
NUCLEUS_LITE, TOKEN_EXCHANGE = "aws.greengrass.NucleusLite", "aws.greengrass.TokenExchangeService"


@pytest.fixture
def gg(client):
    return client("greengrassv2")


@pytest.fixture
def core(marram, client, tmp_path, name):
    return Device(marram, client("iot"), tmp_path, f"lite-{name}", core_policy)


class Lite:
    """A nucleus lite as the control plane sees it."""

    def __init__(self, core, line):
        self.core, self.line, self.sequence = core, line, 0
        self.jobs = f"$aws/things/{core.name}/jobs"
        self.next = f"{self.jobs}/notify-next-{NAMESPACE}"
        line.subscribe(self.next)

    def say(self, trigger, components=(), **information):
        """Its fleet status: one root after the other, QoS 0, empty information when there was no deployment."""
        self.sequence += 1
        kind = "COMPLETE" if trigger in ("NUCLEUS_LAUNCH", "CADENCE", "NETWORK_RECONFIGURE") else "PARTIAL"
        self.line.publish(f"$aws/things/{self.core.name}/greengrassv2/health/json", {
            "ggcVersion": VERSION, "platform": "linux", "architecture": "amd64", "runtime": LITE, "thing": self.core.name,
            "sequenceNumber": self.sequence, "timestamp": 1795363906123, "messageType": kind, "trigger": trigger,
            "overallDeviceStatus": "HEALTHY", "components": list(components), "deploymentInformation": information}, qos=0)

    def update(self, job, status):
        """Its word on a job; subscribes for each, and takes an answer that bears its token."""
        topic = f"{self.jobs}/{job}/{NAMESPACE}/update"
        self.line.subscribe(f"{topic}/+")
        self.line.publish(topic, {"status": status, "clientToken": "jobs-nucleus-lite"})
        assert self.line.until(f"{topic}/accepted")["clientToken"] == "jobs-nucleus-lite"

    def take(self, execution):
        """Runs a deployment to its good end: what was published is what the core says of it first."""
        document = execution["jobDocument"]
        assert isinstance(execution["queuedAt"], int) and execution["status"] == "QUEUED"
        self.update(execution["jobId"], "IN_PROGRESS")
        arn = document["configurationArn"]
        parts = [{"componentName": name, "version": one["version"], "fleetConfigArns": [arn], "isRoot": True, "status": "RUNNING"}
                 for name, one in document["components"].items()]
        self.say("THING_GROUP_DEPLOYMENT", parts, status="SUCCEEDED", fleetConfigurationArnForStatus=arn,
                 deploymentId=document["deploymentId"], statusDetails={"detailedStatus": "SUCCESSFUL"}, unchangedRootComponents=[])
        self.update(execution["jobId"], "SUCCEEDED")

    def groups(self):
        status, _, told = self.core.https("GET", f"/greengrass/v2/coreDevices/{self.core.name}/thingGroups")
        assert status == 200
        return [one["thingGroupName"] for one in told["thingGroups"]]


def known(gg, core):
    try:
        return gg.get_core_device(coreDeviceThingName=core.name)["runtime"]
    except botocore.exceptions.ClientError:
        return None


def ends(gg, made):
    return lambda: gg.get_deployment(deploymentId=made["deploymentId"])["deploymentStatus"]


def test_a_deployment_to_a_nucleus_lite_is_a_job(client, gg, core, name):
    """CP 5.9, 7.3: it has no eye for its shadow. What it got for itself outlasts a deployment to its group, which removes what
    no name in its list of groups gave it."""
    component, group = f"com.test.{name}", f"group-{name}"
    publish(gg, recipe(component))
    group_arn = client("iot").create_thing_group(thingGroupName=group)["thingGroupArn"]
    client("iot").add_thing_to_thing_group(thingGroupName=group, thingName=core.name)
    with core.connect() as line:
        lite = Lite(core, line)
        lite.say("NUCLEUS_LAUNCH")
        eventually(lambda: known(gg, core), LITE)
        assert lite.groups() == [group]
        made = gg.create_deployment(targetArn=core.arn, components={component: {"componentVersion": "1.0.0"}})
        assert made["iotJobId"] == gg.get_deployment(deploymentId=made["deploymentId"])["iotJobId"]
        execution = line.until(lite.next)["execution"]
        assert execution["jobId"] == made["iotJobId"]
        assert execution["jobDocument"]["configurationArn"].endswith(f":configuration:thing/{core.name}:1")
        lite.take(execution)
        eventually(ends(gg, made), "COMPLETED")
        told = gg.list_effective_deployments(coreDeviceThingName=core.name)["effectiveDeployments"]
        assert [(one["iotJobId"], one["coreDeviceExecutionStatus"]) for one in told] == [(made["iotJobId"], "COMPLETED")]
        assert lite.groups() == [group, core.name]
        shadows = client("iot-data").list_named_shadows_for_thing(thingName=core.name)["results"]
        assert SHADOW not in shadows
        # An uninstalled component has lost its version by the time it is told of.
        lite.say("THING_GROUP_DEPLOYMENT", [
            {"componentName": component, "version": "", "fleetConfigArns": [], "isRoot": True, "status": "UNINSTALLED"}])
        installed = lambda: gg.list_installed_components(coreDeviceThingName=core.name, topologyFilter="ALL")["installedComponents"]
        eventually(installed, [])
        # One job in the queue at a time: the second deployment takes back the first.
        first = gg.create_deployment(targetArn=core.arn, components={})
        second = gg.create_deployment(targetArn=core.arn, components={})
        eventually(ends(gg, first), "INACTIVE")
        assert gg.cancel_deployment(deploymentId=second["deploymentId"])["message"]
        assert client("iot").describe_job(jobId=second["iotJobId"])["job"]["status"] == "CANCELED"
        assert ends(gg, second)() == "CANCELED"
        failing = gg.create_deployment(targetArn=core.arn, components={})
        lite.update(failing["iotJobId"], "FAILED")
        eventually(ends(gg, failing), "FAILED")
    assert group_arn


def test_a_deployment_that_waited_for_a_nucleus_lite(gg, core, name):
    """CP 7.3: made for a core nobody knew; it goes to a job when the core says that it is one without an eye for shadows."""
    component = f"com.test.{name}"
    publish(gg, recipe(component))
    made = gg.create_deployment(targetArn=core.arn, components={component: {"componentVersion": "1.0.0"}})
    assert "iotJobId" not in made
    with core.connect() as line:
        lite = Lite(core, line)
        lite.say("NUCLEUS_LAUNCH")
        execution = line.until(lite.next)["execution"]
        assert execution["jobDocument"]["deploymentId"] == made["deploymentId"]
        lite.say("CADENCE")
        lite.take(execution)
        eventually(ends(gg, made), "COMPLETED")
        assert gg.get_deployment(deploymentId=made["deploymentId"])["iotJobId"] == execution["jobId"]


def resolve(core, attributes, name, version, who, recipe=None):
    body = {"componentCandidates": [{"componentName": name, "versionRequirements": {who: version}}],
            "platform": {"name": "linux", "attributes": {"os": "linux", "architecture": "amd64", **attributes}}}
    status, code, told = core.https("POST", "/greengrass/v2/resolveComponentCandidates", json.dumps(body))
    if status != 200:
        return status, code
    one, = told["resolvedComponentVersions"]
    got = json.loads(base64.b64decode(one["recipe"]))
    if recipe is not None:
        recipe.update(got)
    assert (got["ComponentName"], got["ComponentVersion"]) == (one["componentName"], one["componentVersion"])
    assert attributes.get("runtime") != LITE or got["Manifests"][0]["Artifacts"] == []
    return one["componentVersion"]


def test_recipes_as_a_nucleus_lite_reads_them(gg, core, name):
    """CP 6.3: keys of lifecycles in its spelling, a list of artifacts even where there are none, and only manifests that name its
    runtime: of others it is told that they are for another platform, as it would find out by failing."""
    lite, component = {"runtime": LITE, "architecture.detail": "x86_64"}, f"com.test.{name}"
    steps = {"Install": {"script": "true", "setenv": {"run": "kept"}}, "Run": {"Script": "sleep 1", "requiresPrivilege": True}}
    publish(gg, recipe(component, "1.0.0", Manifests=[{"Platform": {"os": "linux", "runtime": "*"}, "Lifecycle": steps}]))
    publish(gg, recipe(component, "1.1.0", Manifests=[{"Platform": {"os": "linux"}, "Lifecycle": steps}]))
    assert resolve(core, {}, component, "*", "g") == "1.1.0"
    got = {}
    assert resolve(core, lite, component, "*", "requirements", got) == "1.0.0"
    manifest = got["Manifests"][0]
    assert manifest["Artifacts"] == [] and manifest["Lifecycle"] == {
        "install": {"Script": "true", "Setenv": {"run": "kept"}}, "run": {"Script": "sleep 1", "RequiresPrivilege": True}}
    assert resolve(core, lite, component, ">=1.1.0", "requirements") == (404, "ResourceNotFoundException")


def test_what_cores_have_within_resolves(gg, core):
    """CP 6.3: settings of the nucleus lite are deployed under its own name, at the version it has; the other nucleus finds its
    token exchange service once the cloud has a recipe of that name."""
    lite, none = {"runtime": LITE, "architecture.detail": "x86_64"}, (404, "ResourceNotFoundException")
    assert resolve(core, lite, NUCLEUS_LITE, VERSION, "requirements") == none
    with core.connect() as line:
        Lite(core, line).say("NUCLEUS_LAUNCH")
        eventually(lambda: known(gg, core), LITE)
    assert resolve(core, lite, NUCLEUS_LITE, VERSION, "requirements") == VERSION
    assert resolve(core, lite, NUCLEUS_LITE, "2.5.0", "requirements") == none
    assert resolve(core, {}, NUCLEUS_LITE, VERSION, "requirements") == none
    assert resolve(core, {}, TOKEN_EXCHANGE, ">=2.0.0 <3.0.0", "com.test") == "2.0.3"
    assert resolve(core, {}, TOKEN_EXCHANGE, ">=3.0.0", "com.test") == none
    made = gg.create_deployment(targetArn=core.arn, components={NUCLEUS_LITE: {
        "componentVersion": VERSION, "configurationUpdate": {"merge": json.dumps({"fleetStatus": {}})}}})
    assert made["iotJobId"]
