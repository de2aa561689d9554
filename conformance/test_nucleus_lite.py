"""The original nucleus lite against Marram, unmodified: provisioned, connected, deployed to, updated, failing, cancelled, emptied
(CP 5, 6, 7). Not part of `make test`, which needs nothing that is not in its registries: `make peers-test` runs it."""
import json
import pathlib
import subprocess
import sys

import pytest
import yaml

import nucleus_lite
from edge_core import Plane
from waiting import free_port, until

COMPONENT, ALONE, BUCKET, GROUP = "com.example.Peer", "com.example.Alone", "peer-files", "peers"
TES = "aws.greengrass.TokenExchangeService"
#: Compiled into the peer.
MQTT_PORT = 8883
SCRIPT = pathlib.Path(__file__).with_name("peer_component.py")


def core_configuration(host, region, device_port, alias, system):
    """What the peer is told: everything but its identity are endpoints."""
    return yaml.safe_dump({
        "system": {"rootPath": "/var/lib/greengrass", **system},
        "services": {"aws.greengrass.NucleusLite": {"componentType": "NUCLEUS", "configuration": {
            "awsRegion": region, "iotRoleAlias": alias, "greengrassDataPlanePort": str(device_port),
            "iotDataEndpoint": host, "iotCredEndpoint": f"{host}:{device_port}" if host else "",
            "runWithDefault": {"posixUser": "root:root"}, "platformOverride": {}}}}})


class Listener:
    """`mosquitto_sub` with a certificate of its own."""

    def __init__(self, plane, folder, name, topic):
        iot = plane.client("iot")
        made = iot.create_keys_and_certificate(setAsActive=True)
        document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
        iot.create_policy(policyName=name, policyDocument=json.dumps(document))
        iot.attach_policy(policyName=name, target=made["certificateArn"])
        (folder / "listener.crt").write_text(made["certificatePem"])
        (folder / "listener.key").write_text(made["keyPair"]["PrivateKey"])
        self.file = folder / "heard"
        with open(self.file, "wb") as heard:
            self.process = subprocess.Popen(
                ["mosquitto_sub", "-h", "localhost", "-p", str(MQTT_PORT), "-i", name, "-q", "1", "-t", topic, "-F", "%t %p",
                 "--cafile", plane.env["AWS_CA_BUNDLE"], "--cert", folder / "listener.crt", "--key", folder / "listener.key"],
                stdin=subprocess.DEVNULL, stdout=heard)

    def heard(self, topic):
        lines = self.file.read_text().splitlines()
        return [json.loads(line.split(" ", 1)[1]) for line in lines if line.split(" ", 1)[0] == topic]

    def close(self):
        self.process.terminate()
        self.process.wait()


class Site:
    """The installation, the peer provisioned by `marram core provision`, and who listens."""

    def __init__(self, folder):
        self.folder, self.thing = folder, "peer-1"
        self.plane = Plane(folder, ports=[free_port(), free_port(), MQTT_PORT])
        self.iot, self.gg, self.s3 = (self.plane.client(name) for name in ("iot", "greengrassv2", "s3"))
        keys = folder / "keys"
        made = self.plane.run("core", "provision", "--thing", self.thing, "--out", str(keys))
        assert made.returncode == 0, made.stderr
        ours = yaml.safe_load((keys / "config.yaml").read_text())
        nucleus = ours["services"]["aws.greengrass.Nucleus"]["configuration"]
        names = ("certificateFilePath", "privateKeyPath", "rootCaPath", "thingName")
        self.alias, self.host = nucleus["iotRoleAlias"], nucleus["iotDataEndpoint"]
        self.device_port = nucleus["greengrassDataPlanePort"]
        self.region = nucleus["awsRegion"]
        self.lite = nucleus_lite.Lite(folder / "lite", core_configuration(
            self.host, self.region, self.device_port, self.alias, {name: ours["system"][name] for name in names}))
        self.lite.trust(keys / "rootCA.pem")
        self.thing_arn = self.iot.describe_thing(thingName=self.thing)["thingArn"]
        self.group_arn = self.iot.create_thing_group(thingGroupName=GROUP)["thingGroupArn"]
        self.iot.add_thing_to_thing_group(thingGroupName=GROUP, thingName=self.thing)
        self.listener = Listener(self.plane, folder, "listener", f"{self.thing}/#")
        self.s3.create_bucket(Bucket=BUCKET)
        self.s3.put_object(Bucket=BUCKET, Key=SCRIPT.name, Body=SCRIPT.read_bytes())

    def publish_plain(self, version, name):
        """Without artifacts and dependencies, its keys as people write them."""
        self.gg.create_component_version(inlineRecipe=json.dumps({
            "RecipeFormatVersion": "2020-01-25", "ComponentName": name, "ComponentVersion": version,
            "Manifests": [{"Platform": {"os": "linux", "runtime": "*"},
                           "Lifecycle": {"Install": {"script": "true"}, "Run": {"script": "exec sleep 3600"}}}]}))

    def publish(self, version, name=COMPONENT, run=None, **lifecycle):
        run = run or f"exec {sys.executable} {{artifacts:path}}/{SCRIPT.name} {self.thing} {version}"
        env = {name: self.plane.env[name] for name in ("AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "AWS_DEFAULT_REGION")}
        exports = " ".join(f"{key}='{value}'" for key, value in env.items())
        rights = {
            "aws.greengrass.ipc.pubsub": {"peer:pubsub:1": {
                "policyDescription": "own topics", "operations": ["*"], "resources": ["local/*"]}},
            "aws.greengrass.ipc.mqttproxy": {"peer:mqttproxy:1": {
                "policyDescription": "own topics", "operations": ["*"], "resources": [f"{self.thing}/*"]}}}
        arn = self.gg.create_component_version(inlineRecipe=json.dumps({
            "RecipeFormatVersion": "2020-01-25", "ComponentName": name, "ComponentVersion": version,
            "ComponentDependencies": {TES: {"VersionRequirement": ">=0.0.0", "DependencyType": "HARD"}},
            "ComponentConfiguration": {"DefaultConfiguration": {"accessControl": rights, "word": "default"}},
            "Manifests": [{"Platform": {"os": "linux", "runtime": "*"},
                           "Lifecycle": {**lifecycle, "run": run.replace("exec ", f"export {exports}; exec ", 1)},
                           "Artifacts": [{"Uri": f"s3://{BUCKET}/{SCRIPT.name}"}]}]}))["arn"]
        until(f"{name} {version}", lambda: self.gg.describe_component(arn=arn)["status"]["componentState"] == "DEPLOYABLE")

    def deploy(self, target, components, **more):
        return self.gg.create_deployment(targetArn=target, components={
            name: {"componentVersion": version} if isinstance(version, str) else version
            for name, version in components.items()}, **more)

    def effective(self, deployment):
        shown = self.gg.list_effective_deployments(coreDeviceThingName=self.thing)["effectiveDeployments"]
        return next((one for one in shown if one["deploymentId"] == deployment["deploymentId"]), {}).get("coreDeviceExecutionStatus")

    def execution(self, deployment):
        """The state of the core's part of the job."""
        return self.iot.describe_job_execution(jobId=deployment["iotJobId"], thingName=self.thing)["execution"]["status"]

    def ended(self, deployment):
        return until("the end of the deployment", lambda: self.effective(deployment) not in (None, "QUEUED", "IN_PROGRESS")
                     and self.effective(deployment))

    def installed(self):
        """{component: (version, state)} as the control plane knows it."""
        shown = self.gg.list_installed_components(coreDeviceThingName=self.thing, topologyFilter="ALL")["installedComponents"]
        return {one["componentName"]: (one["componentVersion"], one["lifecycleState"]) for one in shown}

    def close(self):
        self.listener.close()
        self.lite.close()
        assert self.plane.stop() == 0


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("lite"))
    yield site
    site.close()


def test_it_starts(site):
    """CP 5.1, 5.5, 7.4: connected over mTLS on 8883, and known to the control plane."""
    site.publish_plain("1.0.0", ALONE)
    site.early = site.deploy(site.thing_arn, {ALONE: "1.0.0"})
    assert "iotJobId" not in site.early
    site.lite.start()
    core = until("the core's first words", lambda: site.gg.list_core_devices()["coreDevices"])[0]
    assert (core["coreDeviceThingName"], core["status"]) == (site.thing, "HEALTHY")
    core = site.gg.get_core_device(coreDeviceThingName=site.thing)
    assert (core["runtime"], core["platform"]) == ("aws_nucleus_lite", "linux"), core


def test_a_deployment_that_waited_for_it(site):
    """CP 7.3: made before anybody knew that this core has no eye for its shadow."""
    assert site.ended(site.early) == "COMPLETED"
    until("the truth", lambda: site.installed().get(ALONE) == ("1.0.0", "RUNNING"))


def test_a_group_deployment(site):
    """CP 5.9, 6.1, 6.2, 6.3, 7.3: job, groups, candidates, artifact, component; its credentials and its messages arrive."""
    site.publish("1.0.0")
    made = site.deploy(site.group_arn, {COMPONENT: "1.0.0"})
    assert site.ended(made) == "SUCCEEDED"
    until("the truth", lambda: site.installed().get(COMPONENT) == ("1.0.0", "RUNNING"))
    until("a local message on its way out", lambda: {"version": "1.0.0", "said": "default"} in site.listener.heard(f"{site.thing}/local"))
    who = until("the role", lambda: site.listener.heard(f"{site.thing}/role"))[-1]
    assert f"/{site.alias}" in who["arn"] or "assumed-role" in who["arn"], who


def test_an_update_with_settings(site):
    """CP 6.3, 7.3: the new version runs, the old one does not, and its settings are merged."""
    site.publish("1.1.0")
    made = site.deploy(site.group_arn, {COMPONENT: {"componentVersion": "1.1.0", "configurationUpdate": {"merge": '{"word": "merged"}'}}})
    assert site.ended(made) == "SUCCEEDED"
    until("the new version's word", lambda: {"version": "1.1.0", "said": "merged"} in site.listener.heard(f"{site.thing}/local"))
    until("the truth", lambda: site.installed().get(COMPONENT) == ("1.1.0", "RUNNING"))


def test_a_deployment_to_the_thing(site):
    """CP 6.3, 7.3: this core listens to jobs only, so a deployment to it alone comes as one; what its groups gave it stays. Its own
    settings come under its own name."""
    site.publish_plain("1.1.0", ALONE)
    version = site.gg.get_core_device(coreDeviceThingName=site.thing)["coreVersion"]
    settings = {"fleetStatus": {"periodicStatusPublishIntervalSeconds": 3600}}
    made = site.deploy(site.thing_arn, {ALONE: "1.1.0", "aws.greengrass.NucleusLite": {
        "componentVersion": version, "configurationUpdate": {"merge": json.dumps(settings)}}})
    assert site.ended(made) == "COMPLETED"
    assert site.gg.get_deployment(deploymentId=made["deploymentId"])["deploymentStatus"] == "COMPLETED"
    both = {COMPONENT: ("1.1.0", "RUNNING"), ALONE: ("1.1.0", "RUNNING")}
    until("both", lambda: {name: site.installed().get(name) for name in both} == both)


def test_an_install_step_that_fails(site):
    """CP 5.9, 7.3: the deployment has failed on this core, and so has the job's execution."""
    site.publish("1.2.0", install="exit 7")
    made = site.deploy(site.group_arn, {COMPONENT: "1.2.0"})
    assert site.ended(made) == "FAILED"
    execution = until("the job's end", lambda: site.execution(made) not in ("QUEUED", "IN_PROGRESS") and site.execution(made))
    assert execution == "FAILED"


def test_a_component_that_dies(site):
    """CP 7.3, 7.4: started again until it is broken: the control plane shows which one, and a core that is not well."""
    site.publish("1.3.0", install="true", run="exec false")
    made = site.deploy(site.group_arn, {COMPONENT: "1.3.0"})
    assert site.ended(made) == "FAILED"
    until("the truth", lambda: site.installed().get(COMPONENT, ("", ""))[1] == "BROKEN")
    assert site.gg.get_core_device(coreDeviceThingName=site.thing)["status"] == "UNHEALTHY"


def test_a_deployment_that_is_cancelled_while_the_core_is_away(site):
    """CP 5.9, 7.3: it never hears of it."""
    site.lite.stop_core()
    made = site.deploy(site.group_arn, {COMPONENT: "1.0.0"})
    site.gg.cancel_deployment(deploymentId=made["deploymentId"])
    taken = len(site.lite.said("Processing incoming deployment"))
    connected = len(site.lite.said("Connected to IoT core"))
    site.lite.start()
    until("its line", lambda: len(site.lite.said("Connected to IoT core")) > connected)
    # What comes after it has been asked for before.
    site.publish("1.4.0", install="true")
    assert site.ended(site.deploy(site.group_arn, {COMPONENT: "1.4.0"})) == "SUCCEEDED"
    assert len(site.lite.said("Processing incoming deployment")) == taken + 1
    assert site.effective(made) == "CANCELED"
    until("a healthy core", lambda: site.gg.get_core_device(coreDeviceThingName=site.thing)["status"] == "HEALTHY")


def test_a_deployment_that_is_cancelled_in_the_middle(site):
    """CP 5.9, 7.3: this core finishes what it began, and its word about a job that has ended is refused for good."""
    site.publish("1.5.0", install="sleep 4")
    made = site.deploy(site.group_arn, {COMPONENT: "1.5.0"})
    until("the middle", lambda: site.execution(made) == "IN_PROGRESS")
    site.gg.cancel_deployment(deploymentId=made["deploymentId"])
    assert site.gg.get_deployment(deploymentId=made["deploymentId"])["deploymentStatus"] == "CANCELED"
    until("the refusal", lambda: site.lite.said("Update permanently rejected"))
    assert site.execution(made) == "CANCELED"
    until("what it runs", lambda: site.installed().get(COMPONENT) == ("1.5.0", "RUNNING"))


def test_a_component_is_taken_away(site):
    """CP 7.3, 7.4: a deployment without the component removes it, and the control plane forgets it."""
    assert site.ended(site.deploy(site.group_arn, {})) == "SUCCEEDED"
    until("it gone", lambda: COMPONENT not in site.installed())
    assert not site.lite.sh(f"systemctl list-units --no-legend 'ggl.{COMPONENT}*'")
    assert site.installed()[ALONE] == ("1.1.0", "RUNNING")


def test_the_control_plane_dies(site):
    """CP 5.5, 7.4: it comes back by itself, and takes the next deployment."""
    connected = len(site.lite.said("Connected to IoT core"))
    site.plane.kill()
    site.plane.start()
    until("its line", lambda: len(site.lite.said("Connected to IoT core")) > connected)
    assert site.ended(site.deploy(site.group_arn, {COMPONENT: "1.5.0"})) == "SUCCEEDED"


def fleet_template(group):
    """What the peer's own guide makes, but for the function that looks at serial numbers."""
    return json.dumps({
        "Parameters": {"SerialNumber": {"Type": "String"}, "AWS::IoT::Certificate::Id": {"Type": "String"}},
        "Resources": {
            "certificate": {"Type": "AWS::IoT::Certificate", "Properties": {
                "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE", "ThingPrincipalType": "EXCLUSIVE_THING"}},
            "thing": {"Type": "AWS::IoT::Thing",
                      "OverrideSettings": {"AttributePayload": "MERGE", "ThingGroups": "DO_NOTHING", "ThingTypeName": "REPLACE"},
                      "Properties": {"AttributePayload": {}, "ThingName": {"Fn::Join": ["", ["gg_", {"Ref": "SerialNumber"}]]},
                                     "ThingGroups": [group]}},
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "fleet-core"}},
            "policy_tokenexchange": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "fleet-alias"}}}})


def test_fleet_provisioning_by_claim(site):
    """CP 4.8, 5.10: a core with a claim certificate and a template's name makes its key, gets its certificate, starts, and takes
    the deployment of the group that the template put it in."""
    site.lite.halt()
    arn = f"arn:aws:iot:{site.region}:{site.plane.env['MARRAM_ACCOUNT']}"
    iam, template, folder = site.plane.client("iam"), "PeerFleet", site.folder / "claim"
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "iot.amazonaws.com"}}]}
    role = iam.create_role(RoleName="fleet", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    iam.attach_role_policy(RoleName="fleet", PolicyArn="arn:aws:iam::aws:policy/service-role/AWSIoTThingsRegistration")
    allow = lambda action, resource: {"Effect": "Allow", "Action": action, "Resource": resource}
    topics = ["$aws/certificates/create-from-csr/*", f"$aws/provisioning-templates/{template}/provision/*"]
    for name, statements in {
        "fleet-claim": [allow("iot:Connect", "*"), allow(["iot:Publish", "iot:Receive"], [f"{arn}:topic/{topic}" for topic in topics]),
                        allow("iot:Subscribe", [f"{arn}:topicfilter/{topic}" for topic in topics])],
        "fleet-core": [allow("iot:Connect", f"{arn}:client/${{iot:Connection.Thing.ThingName}}*"),
                       allow(["iot:Publish", "iot:Subscribe", "iot:Receive", "greengrass:*"], "*")],
        "fleet-alias": [allow("iot:AssumeRoleWithCertificate", f"{arn}:rolealias/{site.alias}")],
    }.items():
        site.iot.create_policy(policyName=name, policyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}))
    group = site.iot.create_thing_group(thingGroupName="fleet")["thingGroupArn"]
    site.publish_plain("1.0.0", "com.example.Fleet")
    site.deploy(group, {"com.example.Fleet": "1.0.0"})
    site.iot.create_provisioning_template(
        templateName=template, templateBody=fleet_template("fleet"), provisioningRoleArn=role, enabled=True)
    claim = site.iot.create_keys_and_certificate(setAsActive=True)
    site.iot.attach_policy(policyName="fleet-claim", target=claim["certificateArn"])
    folder.mkdir()
    (folder / "claim.crt").write_text(claim["certificatePem"])
    (folder / "claim.key").write_text(claim["keyPair"]["PrivateKey"])
    empty = {name: "" for name in ("privateKeyPath", "certificateFilePath", "rootCaPath", "thingName")}
    configuration = yaml.safe_load(core_configuration("", site.region, site.device_port, site.alias, empty))
    configuration["services"]["aws.greengrass.fleet_provisioning"] = {"configuration": {
        "iotDataEndpoint": site.host, "iotCredEndpoint": f"{site.host}:{site.device_port}",
        "rootCaPath": str(site.folder / "keys/rootCA.pem"), "claimKeyPath": str(folder / "claim.key"),
        "claimCertPath": str(folder / "claim.crt"), "csrCommonName": "peer", "templateName": template,
        "templateParams": {"SerialNumber": "a2_b9_d2_5a_fd_f9"}}}
    lite = nucleus_lite.Lite(site.folder / "fleet", yaml.safe_dump(configuration))
    lite.trust(site.folder / "keys/rootCA.pem")
    try:
        lite.start()
        said = lite.program("fleet-provisioning")
        assert "Your device is now provisioned" in said, said
        lite.sh("systemctl restart greengrass-lite.target")
        site.thing = "gg_a2_b9_d2_5a_fd_f9"
        told = lambda: [one["coreDeviceThingName"] for one in site.gg.list_core_devices()["coreDevices"]]
        until("the new core", lambda: site.thing in told())
        until("its component", lambda: site.installed().get("com.example.Fleet") == ("1.0.0", "RUNNING"))
    finally:
        lite.close()
