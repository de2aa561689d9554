"""CP 7, CR 4, 6, 8: boto3 deploys an ordinary component to the local core; it speaks IPC, gets credentials, is changed, fails, is rolled back."""
import json
import pathlib
import subprocess
import sys

import pytest

from edge_core import MARRAM_CORE
from waiting import PATIENCE, until

THING = "marram-local-core"
#: A component as its author wrote it for the original: IPC client, token exchange through an ordinary SDK.
SCRIPT = """
import time
import boto3
from awsiot.greengrasscoreipc import clientv2
client = clientv2.GreengrassCoreIPCClientV2()
print("message", client.get_configuration(key_path=["message"]).value["message"], flush=True)
print("role", boto3.client("sts").get_caller_identity()["Arn"], flush=True)
time.sleep(600)
"""


#: What a component finds out about credentials; the port of the token exchange is told to it.
CURIOUS = """
import os, sys, urllib.error, urllib.request
import boto3
uri = os.environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
print("uri", uri, flush=True)
place = f"http://localhost:{sys.argv[1]}/2016-11-01/credentialprovider/"
try:
    asked = urllib.request.Request(place, headers={"Authorization": os.environ["SVCUID"]})
    print("asked", urllib.request.urlopen(asked).status, flush=True)
except urllib.error.HTTPError as error:
    print("asked", error.code, flush=True)
if uri:
    print("role", boto3.client("sts").get_caller_identity()["Arn"], flush=True)
"""


@pytest.fixture(scope="module")
def core(marram, client):
    """The local core, once it has told the control plane of itself."""
    gg = client("greengrassv2")
    until("the first fleet status", lambda: any(one["coreDeviceThingName"] == THING for one in gg.list_core_devices()["coreDevices"]))
    return pathlib.Path(marram.environment["MARRAM_CORE_ROOT"])


@pytest.fixture(scope="module")
def component(marram, client):
    """`component(version, run)`: creates a version of the component."""
    s3, gg = client("s3"), client("greengrassv2")
    s3.create_bucket(Bucket="edge-parts")
    s3.put_object(Bucket="edge-parts", Key="client/main.py", Body=SCRIPT.encode())
    environment = {name: marram.environment[name] for name in ("AWS_ENDPOINT_URL", "AWS_CA_BUNDLE")}

    def create(version, lifecycle):
        recipe = {
            "RecipeFormatVersion": "2020-01-25",
            "ComponentName": "com.example.Client",
            "ComponentVersion": version,
            "ComponentConfiguration": {"DefaultConfiguration": {"message": "default"}},
            "ComponentDependencies": {"aws.greengrass.TokenExchangeService": {"VersionRequirement": ">=2.0.0"}},
            "Manifests": [{
                "Platform": {"os": "linux"},
                "Lifecycle": {"Setenv": environment, **lifecycle},
                "Artifacts": [{"Uri": "s3://edge-parts/client/main.py"}],
            }],
        }
        arn = gg.create_component_version(inlineRecipe=json.dumps(recipe))["arn"]
        until("the component", lambda: gg.describe_component(arn=arn)["status"]["componentState"] == "DEPLOYABLE")

    return create


@pytest.fixture(scope="module")
def deploy(marram, client, core):
    """`deploy(components)`: a deployment to the core, waited for; answers its last words."""
    gg, iot = client("greengrassv2"), client("iot")
    target = iot.describe_thing(thingName=THING)["thingArn"]

    def run(components):
        made = gg.create_deployment(targetArn=target, components=components)["deploymentId"]
        status = lambda: gg.get_deployment(deploymentId=made)["deploymentStatus"]
        until("the end of the deployment", lambda: status() in ("COMPLETED", "FAILED"))
        shown = gg.list_effective_deployments(coreDeviceThingName=THING)["effectiveDeployments"]
        return status(), next(one for one in shown if one["deploymentId"] == made)

    return run


def log(core, name="com.example.Client"):
    file = core / f"logs/{name}.log"
    return file.read_text() if file.exists() else ""


def processes(path):
    """What the kernel says of processes with this path among their arguments."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if str(path).encode() in (folder / "cmdline").read_bytes():
                found.append((folder / "status").read_text())
        except OSError:
            pass
    return found


def test_another_control_plane_is_tried_first(core, deploy):
    """CR 4.10: endpoints that do not answer change nothing."""
    merge = json.dumps({"iotDataEndpoint": "127.0.0.1:9"})
    nucleus = {"componentVersion": "2.17.0", "configurationUpdate": {"merge": merge}}
    status, told = deploy({"aws.greengrass.Nucleus": nucleus})
    assert status == "FAILED" and "MQTT_CONNECTION_FAILED" in told["statusDetails"]["errorStack"], told
    assert deploy({})[0] == "COMPLETED"


def test_the_cores_credentials_are_not_for_all(marram, client, core, component, deploy):
    """CR 8.1, 8.3, SEC-133: no credentials without the declared dependency."""
    gg = client("greengrassv2")
    client("s3").put_object(Bucket="edge-parts", Key="curious/main.py", Body=CURIOUS.encode())
    explain = [MARRAM_CORE, "config", "explain", "aws.greengrass.TokenExchangeService/activePort", "--json", "--root", str(core)]
    port = json.loads(subprocess.run(explain, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout)["value"]
    environment = {name: marram.environment[name] for name in ("AWS_ENDPOINT_URL", "AWS_CA_BUNDLE")}
    needs = {"aws.greengrass.TokenExchangeService": {"VersionRequirement": ">=2.0.0"}}
    for name, dependencies in (("com.example.Without", {}), ("com.example.With", needs)):
        gg.create_component_version(inlineRecipe=json.dumps({
            "RecipeFormatVersion": "2020-01-25", "ComponentName": name, "ComponentVersion": "1.0.0", "ComponentDependencies": dependencies,
            "Manifests": [{"Platform": {"os": "linux"},
                           "Lifecycle": {"Setenv": environment, "run": f"{sys.executable} -u {{artifacts:path}}/main.py {port}"},
                           "Artifacts": [{"Uri": "s3://edge-parts/curious/main.py"}]}]}))
    assert deploy({name: {"componentVersion": "1.0.0"} for name in ("com.example.Without", "com.example.With")})[0] == "COMPLETED"
    without = until("its words", lambda: "asked" in (words := log(core, "com.example.Without")) and words)
    assert "uri None" in without and "asked 403" in without, without
    told = until("the other's words", lambda: "role" in (words := log(core, "com.example.With")) and words)
    assert "asked 200" in told and "assumed-role/MarramCoreTokenExchange" in told, told
    assert deploy({})[0] == "COMPLETED"


def test_life_of_a_component(client, core, component, deploy):
    gg = client("greengrassv2")
    python = f"exec {sys.executable} -u {{artifacts:path}}/main.py"
    component("1.0.0", {"run": python})
    name = "com.example.Client"
    # It runs, reads its configuration over IPC, and acts with the core's role.
    status, _ = deploy({name: {"componentVersion": "1.0.0", "configurationUpdate": {"merge": json.dumps({"message": "from boto3"})}}})
    assert status == "COMPLETED"
    until("the component's words", lambda: "message from boto3" in log(core))
    until("credentials", lambda: "assumed-role/MarramCoreTokenExchange" in log(core))
    # It does so inside its sandbox (SEC-130).
    held = until("the process", lambda: processes(core / "packages/artifacts" / name))
    assert all("NoNewPrivs:\t1" in status and "CapEff:\t0000000000000000" in status for status in held), held
    installed = lambda: {
        one["componentName"]: (one["componentVersion"], one["lifecycleState"])
        for one in gg.list_installed_components(coreDeviceThingName=THING, topologyFilter="ALL")["installedComponents"]
    }
    until("the fleet status", lambda: installed().get(name) == ("1.0.0", "RUNNING"))
    # A version that cannot be installed is rolled back, and the report tells why.
    component("1.1.0", {"install": "exit 7", "run": python})
    status, told = deploy({name: {"componentVersion": "1.1.0"}})
    assert status == "FAILED" and told["coreDeviceExecutionStatus"] == "FAILED"
    assert "COMPONENT_BROKEN" in told["statusDetails"]["errorStack"], told
    until("the old version", lambda: installed().get(name) == ("1.0.0", "RUNNING"))
    # The CLI on the core sees the same, and an empty deployment takes it away.
    cli = [str(core / "bin/greengrass-cli"), "--ggcRootPath", str(core)]
    details = subprocess.run([*cli, "component", "details", "-n", name], capture_output=True, text=True, timeout=PATIENCE)
    assert details.returncode == 0 and "1.0.0" in details.stdout and "RUNNING" in details.stdout
    status, _ = deploy({})
    assert status == "COMPLETED"
    gone = subprocess.run([*cli, "component", "details", "-n", name], capture_output=True, text=True, timeout=PATIENCE)
    assert gone.returncode == 1
