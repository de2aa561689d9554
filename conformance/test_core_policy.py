"""CR 5.5: the policy of cores of an older installation becomes the present one, unless somebody altered it."""
import json
import pathlib
import subprocess

import pytest

from edge_core import MARRAM_CORE, Core, Plane
from waiting import PATIENCE, until

POLICY = "MarramCorePolicy"
OWN = "${iot:Connection.Thing.ThingName}"


@pytest.fixture
def plane(tmp_path):
    made = Plane(tmp_path)
    yield made
    assert made.stop() == 0


def earlier(environment):
    """As the program wrote it before cores had shadows of their own, and rights to list their groups."""
    region, account = environment["AWS_DEFAULT_REGION"], environment["MARRAM_ACCOUNT"]
    iot = lambda kind, name: f"arn:aws:iot:{region}:{account}:{kind}/{name}"
    allow = lambda actions, *resources: {"Effect": "Allow", "Action": actions, "Resource": list(resources)}
    own = lambda kind: (iot(kind, f"$aws/things/{OWN}/*"), iot(kind, f"{OWN}/*"))
    return {"Version": "2012-10-17", "Statement": [
        allow(["iot:Connect"], iot("client", OWN), iot("client", f"{OWN}#*")),
        allow(["iot:Publish", "iot:Receive"], *own("topic")),
        allow(["iot:Subscribe"], *own("topicfilter")),
        allow(["iot:AssumeRoleWithCertificate"], iot("rolealias", "MarramCoreTokenExchangeAlias")),
        allow(["greengrass:GetComponentVersionArtifact"], f"arn:aws:greengrass:{region}:*:components:*"),
        allow(["greengrass:ResolveComponentCandidates", "greengrass:GetDeploymentConfiguration",
               "greengrass:PutCertificateAuthorities", "greengrass:VerifyClientDeviceIdentity"], "*"),
        allow(["greengrass:ListThingGroupsForCoreDevice", "greengrass:GetConnectivityInfo", "greengrass:UpdateConnectivityInfo"],
              iot("thing", OWN)),
    ]}


def restart(plane):
    """What the log says of the start."""
    assert plane.stop() == 0
    log = pathlib.Path(plane.log.name)
    before = log.stat().st_size
    plane.start()
    return log.read_bytes()[before:].decode()


def present(plane):
    found = plane.client("iot").get_policy(policyName=POLICY)
    return found["defaultVersionId"], json.loads(found["policyDocument"])


def test_an_older_policy_becomes_the_present_one(plane, tmp_path):
    iot = plane.client("iot")
    written = earlier(plane.env)
    iot.create_policy(policyName=POLICY, policyDocument=json.dumps(written))
    assert "it is now the present one" in restart(plane)
    version, document = present(plane)
    assert version == "2" and "iot:ListNamedShadowsForThing" in json.dumps(document)
    assert POLICY not in restart(plane)
    assert present(plane) == (version, document)
    # Set back by somebody: they know why.
    iot.set_default_policy_version(policyName=POLICY, policyVersionId="1")
    assert "altered by hand" in restart(plane)
    assert present(plane) == ("1", written)
    # One that is nobody's of ours stays, and whoever provisions a core is told.
    written["Statement"].pop()
    iot.create_policy_version(policyName=POLICY, policyDocument=json.dumps(written), setAsDefault=True)
    assert "altered by hand" in restart(plane)
    assert present(plane) == ("3", written)
    made = plane.run("core", "provision", "--thing", "other", "--out", str(tmp_path / "other"))
    assert made.returncode == 0 and "altered by hand" in made.stderr, made.stderr
    # The core tells what it was denied.
    core = Core(plane, tmp_path, "lonely")
    try:
        shadows = {"aws.greengrass.ShadowManager": {"componentVersion": "2.3.14", "configurationUpdate": {
            "merge": json.dumps({"synchronize": {"coreThing": {"classic": True}}})}}}
        arn = iot.describe_thing(thingName="lonely")["thingArn"]
        plane.client("greengrassv2").create_deployment(targetArn=arn, components=shadows)
        told = lambda: subprocess.run([MARRAM_CORE, "doctor", "--root", core.root], capture_output=True, text=True, timeout=PATIENCE).stdout
        until("the doctor's word", lambda: "denies this core `GET /things/lonely/shadow`" in told())
    finally:
        core.stop()
