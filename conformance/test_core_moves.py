"""CR 4.10, endpoint switch: a core between two control planes, each a process with a CA of its own."""
import json
import re

import pytest

from edge_core import Plane
from test_core_identity import Core, endpoints, is_known
from waiting import LOGS, until

NUCLEUS = "aws.greengrass.Nucleus"
#: How long the new control plane may take to answer, and then the line to come up.
PATIENCE_MS = 30_000


class Other(Plane):
    """The control plane that is moved to."""

    @property
    def environment(self):
        return self.env

    @property
    def region(self):
        return self.env["AWS_DEFAULT_REGION"]


@pytest.fixture
def other(tmp_path):
    plane = Other(tmp_path)
    yield plane
    assert plane.stop() == 0


def provision(run, name, folder):
    """`marram core provision`: certificate, key and CA go to `folder`; answers the deployment key."""
    run("core", "provision", "--thing", name, "--out", str(folder))
    return re.search(r'deploymentPublicKey: "(.+)"', (folder / "config.yaml").read_text()).group(1)


def test_a_core_moves_to_another_control_plane(marram, client, other, tmp_path, name):
    """A control plane that cannot be reached, whose CA is unknown, that refuses the certificate or its role leaves the core where
    it is; one that turns out not to hold gives it back; one that holds gets it, and the old one is told. `doctor` tells each."""
    gg, iot, there = client("greengrassv2"), client("iot"), other.client("iot")
    own, foreign = tmp_path / "own", tmp_path / "foreign"
    here = lambda *arguments: marram.run(*arguments, "--data", str(marram.data))
    keys = [provision(here, name, own), provision(other.run, name, foreign)]
    core = Core(tmp_path / "core", {
        "system": {
            "certificateFilePath": str(own / "device.pem.crt"), "privateKeyPath": str(own / "private.pem.key"),
            "rootCaPath": str(own / "rootCA.pem"), "thingName": name, "deploymentPublicKey": keys,
        },
        "services": {NUCLEUS: {"configuration": endpoints(marram)}},
    })
    LOGS[name] = core.log
    core.start()
    until("the core", lambda: is_known(client, name))
    target = iot.describe_thing(thingName=name)["thingArn"]
    home = endpoints(marram)["mqtt"]["port"]

    def begin(gg, target, **settings):
        merge = json.dumps(settings)
        return gg.create_deployment(targetArn=target, components={
            NUCLEUS: {"componentVersion": "2.17.0", "configurationUpdate": {"merge": merge}}})["deploymentId"]

    def ended(made, gg=gg):
        status = lambda: gg.get_deployment(deploymentId=made)["deploymentStatus"]
        until("the end of the deployment", lambda: status() != "ACTIVE")
        told = next(one for one in gg.list_effective_deployments(coreDeviceThingName=name)["effectiveDeployments"] if one["deploymentId"] == made)
        return status(), told.get("statusDetails", {}).get("errorStack", [])

    def move(**settings):
        plane = endpoints(other) | settings
        plane["mqtt"] = plane["mqtt"] | {"standaloneMqttTimeoutMs": PATIENCE_MS}
        return begin(gg, target, **plane)

    moves = lambda: [one["finding"] for one in core.ask("doctor")["findings"] if one["finding"].startswith("deployment ")]

    def stays(codes, why, made):
        assert ended(made) == ("FAILED", ["DEPLOYMENT_FAILURE", *codes]), why
        until("the line", lambda: core.ask("status")["connected"])
        port = core.ask("config", "explain", f"{NUCLEUS}/mqtt/port")["value"]
        assert int(port) == home, why
        [found] = moves()
        assert found.startswith(f"deployment {made} did not move the core to control plane"), (why, found)

    assert moves() == []
    stays(["MQTT_CONNECTION_FAILED"], "nobody listens", move(iotDataEndpoint="127.0.0.1:9"))
    stays(["MQTT_CONNECTION_FAILED"], "another CA", move())
    bundle = own / "rootCA.pem"
    bundle.write_text(bundle.read_text() + (foreign / "rootCA.pem").read_text())
    stays(["MQTT_CONNECTION_FAILED"], "an unknown certificate", move())

    known = there.register_certificate_without_ca(certificatePem=(own / "device.pem.crt").read_text(), status="ACTIVE")["certificateArn"]
    there.attach_thing_principal(thingName=name, principal=known)
    arn = f"arn:aws:iot:{other.region}:{other.env['MARRAM_ACCOUNT']}"

    def allow(policy, action, resource):
        document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": f"{arn}:{resource}"}]}
        there.create_policy(policyName=policy, policyDocument=json.dumps(document))
        there.attach_policy(policyName=policy, target=known)

    allow("probe", "iot:Connect", f"client/{name}#endpoint-switch")
    stays(["CREDENTIAL_ENDPOINT_AUTH_FAILURE"], "no role", move())
    allow("role", "iot:AssumeRoleWithCertificate", "rolealias/MarramCoreTokenExchangeAlias")
    # Everything that is tried answers; then the core's own connection is refused.
    made = move()
    until("the move", lambda: [one for one in moves() if one.startswith(f"deployment {made} moves the core from control plane")])
    stays(["MQTT_CONNECTION_FAILED"], "a line that does not come up", made)

    there.attach_policy(policyName="MarramCorePolicy", target=known)
    assert ended(move()) == ("COMPLETED", []), "the old control plane is told"
    gg_there = other.client("greengrassv2")
    until("the core over there", lambda: any(one["coreDeviceThingName"] == name for one in gg_there.list_core_devices()["coreDevices"]))
    assert moves() == []
    # It is the new one's now, over a kill as well.
    core.kill()
    core.start()
    made = begin(gg_there, there.describe_thing(thingName=name)["thingArn"], envStage="there")
    assert ended(made, gg_there) == ("COMPLETED", [])
    assert core.ask("config", "explain", f"{NUCLEUS}/envStage")["value"] == "there"
    core.stop()
    LOGS.pop(name)
