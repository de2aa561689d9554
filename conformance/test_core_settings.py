"""CC 1.1, 2.5.1, 2.5.2, 3.1, 5.1: mistakes in the settings of a core's own parts are refused where they are made, and change nothing."""
import json
import subprocess

import pytest
from botocore.exceptions import ClientError

from device import Device
from edge import Core
from waiting import until

AUTH, SHADOWS, SECRETS = "aws.greengrass.clientdevices.Auth", "aws.greengrass.ShadowManager", "aws.greengrass.SecretManager"
CONSOLE = "aws.greengrass.LocalDebugConsole"
BROKER = "aws.greengrass.clientdevices.mqtt.Moquette"
VERSIONS = {AUTH: "2.5.7", SHADOWS: "2.3.14", SECRETS: "2.2.9", BROKER: "2.3.11", CONSOLE: "2.4.8"}
RESERVED = "AWSManagedGreengrassV2Deployment"
SECRET = "arn:aws:secretsmanager:us-east-1:000000000000:secret:greengrass/none"


def group(rule, policy="own"):
    return {"deviceGroups": {"definitions": {"lathes": {"selectionRule": rule, "policyName": policy}}}}


def entry(name, merge, *reset):
    return {"componentVersion": VERSIONS[name], "configurationUpdate": {"merge": json.dumps(merge), "reset": list(reset)}}


#: Mistakes, each with its place.
MISTAKES = [
    (AUTH, group("thingName lathe*"), "/deviceGroups/definitions/lathes/selectionRule: "),
    (AUTH, {"deviceGroups": "x"}, "/deviceGroups: "),
    (AUTH, {"deviceGroups": {"formatVersion": "1"}}, "/deviceGroups/formatVersion: "),
    (AUTH, {"deviceGroups": {"policies": {"own": {"s": {"operation": ["*"]}}}}}, "/deviceGroups/policies/own/s/operation: "),
    (AUTH, {"security": {"clientDeviceTrustDurationMinutes": "long"}}, "/security/clientDeviceTrustDurationMinutes: "),
    (SHADOWS, {"syncronize": {"coreThing": {}}}, "/syncronize: "),
    (SHADOWS, {"synchronize": {"direction": "BOTH"}}, "/synchronize/direction: "),
    (SHADOWS, {"synchronize": {"coreThing": "x"}}, "/synchronize/coreThing: "),
    (SHADOWS, {"synchronize": {"coreThing": {"namedShadows": [RESERVED]}}}, "/synchronize/coreThing/namedShadows/0: "),
    (SHADOWS, {"strategy": {"type": "sometimes"}}, "/strategy/type: "),
    (SHADOWS, {"rateLimits": {"maxOutboundSyncUpdatesPerSecond": -1}}, "/rateLimits/maxOutboundSyncUpdatesPerSecond: "),
    (SECRETS, {"cloudSecrets": "x"}, "/cloudSecrets: "),
    (SECRETS, {"cloudSecrets": ["arn:aws"]}, "/cloudSecrets/0: "),
    (SECRETS, {"cloudSecrets": [{"name": "a"}]}, "/cloudSecrets/0: "),
    (SECRETS, {"cloudSecrets": [{"arn": "nonsense"}]}, "/cloudSecrets/0/arn: "),
    (CONSOLE, {"httpsEnabled": False}, "/httpsEnabled: "),
    (CONSOLE, {"bindHostname": "0.0.0.0"}, "/bindHostname: "),
]


@pytest.mark.parametrize("component, merge, place", MISTAKES)
def test_a_mistake_is_refused_when_the_deployment_is_created(client, component, merge, place):
    gg, iot = client("greengrassv2"), client("iot")
    target = iot.create_thing(thingName="mistaken")["thingArn"]
    with pytest.raises(ClientError) as refused:
        gg.create_deployment(targetArn=target, components={component: entry(component, merge)})
    error = refused.value.response
    assert error["Error"]["Code"] == "ValidationException" and f"The merge of {component} has a setting that cannot be: {place}" in error["Error"]["Message"]
    assert error["fields"][0]["name"] == f"components.{component}.configurationUpdate.merge"


def test_what_may_stand_on_the_core_already_is_not_judged_before(client):
    """Of an update, the group's policy may have come before; after a reset of everything nothing came before."""
    gg, iot = client("greengrassv2"), client("iot")
    target = iot.create_thing(thingName="unjudged")["thingArn"]
    gg.create_deployment(targetArn=target, components={AUTH: entry(AUTH, group("thingName: lathe*"))})
    with pytest.raises(ClientError, match='policyName: "own" is the name of no policy; there are none'):
        gg.create_deployment(targetArn=target, components={AUTH: entry(AUTH, group("thingName: lathe*"), "")})


@pytest.fixture(scope="module")
def core(marram, tmp_path_factory):
    folder = tmp_path_factory.mktemp("settings")
    folder.chmod(0o755)
    made = Core(marram, folder, "core-of-settings")
    yield made
    made.close()


@pytest.fixture(scope="module")
def lathe(marram, client, core, tmp_path_factory):
    """A client device that its core lets in."""
    gg, iot = client("greengrassv2"), client("iot")
    device = Device(marram, iot, tmp_path_factory.mktemp("devices"), "settings-lathe", None)
    until("the core", lambda: any(one["coreDeviceThingName"] == core.thing for one in gg.list_core_devices(maxResults=100)["coreDevices"]))
    assert gg.batch_associate_client_device_with_core_device(coreDeviceThingName=core.thing, entries=[{"thingName": device.name}])["errorEntries"] == []
    groups = group("thingName: *lathe")
    groups["deviceGroups"]["policies"] = {"own": {"s": {"operations": ["mqtt:connect"], "resources": ["*"]}}}
    shadows = {"synchronize": {"coreThing": {"classic": True}}}
    target = iot.describe_thing(thingName=core.thing)["thingArn"]
    made = gg.create_deployment(targetArn=target, components={
        AUTH: entry(AUTH, groups), SHADOWS: entry(SHADOWS, shadows), SECRETS: entry(SECRETS, {"cloudSecrets": [{"arn": SECRET}]}),
        BROKER: entry(BROKER, {"moquette": {"ssl_port": str(core.port)}}), CONSOLE: entry(CONSOLE, {})})["deploymentId"]
    until("the deployment", lambda: gg.get_deployment(deploymentId=made)["deploymentStatus"] == "COMPLETED")
    device.host, device.port, device.ca = core.host, core.port, str(core.ca)
    until("the device", lambda: connects(device))
    return device


def connects(device):
    try:
        with device.connect():
            return True
    except (OSError, AssertionError):
        return False


def test_a_setting_that_nobody_reads_is_told(core, lathe):
    """CC 1.1: it is passed over and the deployment succeeds; log and `why` tell it once, `doctor` as long as it stands there."""
    words = f"the setting `/theme` of {SHADOWS} is not known and passed over; there are strategy, synchronize, rateLimits, shadowDocumentSizeLimitBytes"

    def deploy(update):
        made = core.greengrass_cli("deployment", "create", "--update-config", json.dumps({SHADOWS: update}))
        deployment = made.stdout.rsplit(maxsplit=1)[-1]
        until("the end", lambda: "SUCCEEDED" in core.greengrass_cli("deployment", "status", "-i", deployment).stdout)
        return core.cli("why", deployment)

    # It ends with 1 where something else is wrong.
    told = lambda: subprocess.run([core.program, "doctor", "--root", core.root], capture_output=True, text=True, timeout=60).stdout
    assert words not in told()
    assert words in deploy({"MERGE": {"theme": "dark"}}) and words in told()
    assert words not in deploy({"MERGE": {"theme": "light"}}) and words in told()
    deploy({"RESET": ["/theme"]})
    assert words not in told()


#: What only the core can judge.
ON_THE_CORE = [
    (AUTH, group("thingName: lathe*", "nope"), '/deviceGroups/definitions/lathes/policyName: "nope" is the name of no policy; there are own'),
    (SHADOWS, {"synchronize": {"shadowDocumentsMap": {"core-of-settings": {"namedShadows": [RESERVED]}}}},
     "/synchronize/shadowDocumentsMap/core-of-settings/namedShadows/0: "),
]


def test_a_mistake_fails_the_deployment_and_nothing_changes(client, core, lathe):
    """By the control plane or from beside the core; the configuration before stays in force, also over a kill."""
    gg, iot = client("greengrassv2"), client("iot")
    shown = lambda: [core.cli("config", "explain", name) for name in (AUTH, SHADOWS, SECRETS, CONSOLE)]
    before = shown()
    for component, merge, place in MISTAKES + ON_THE_CORE:
        made = core.greengrass_cli("deployment", "create", "--update-config", json.dumps({component: {"MERGE": merge}}))
        assert made.returncode == 0, made
        deployment = made.stdout.rsplit(maxsplit=1)[-1]
        status = until(place, lambda: "FAILED" in (said := core.greengrass_cli("deployment", "status", "-i", deployment).stdout) and said)
        assert f"the configuration of {component} has a setting that cannot be: {place}" in status, status
        assert "FAILED_NO_STATE_CHANGE" in status and "COMPONENT_CONFIGURATION_NOT_VALID" in status, status
    target = iot.describe_thing(thingName=core.thing)["thingArn"]
    component, merge, place = ON_THE_CORE[0]
    others = {name: {"componentVersion": version} for name, version in VERSIONS.items()}
    made = gg.create_deployment(targetArn=target, components={**others, component: entry(component, merge)})["deploymentId"]
    until("the end", lambda: gg.get_deployment(deploymentId=made)["deploymentStatus"] == "FAILED")
    told = lambda: gg.list_effective_deployments(coreDeviceThingName=core.thing)["effectiveDeployments"]
    until(place, lambda: any(one["deploymentId"] == made and place in one["reason"] for one in told()))
    assert shown() == before
    core.kill()
    core.start()
    until("the device", lambda: connects(lathe))
    assert shown() == before
