"""CR 5.5, 9.2, CC 11, SEC-154: where a core's identity comes from, and whom it believes."""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from device import Device
from edge import Proxy
from test_provisioning import claim_statements
from waiting import PATIENCE, until

ROOT = pathlib.Path(__file__).parent.parent
SECONDS = 60
LOCAL = "marram-local-core"


class Core:
    """`marram-core run` with a root and a first configuration of its own."""

    def __init__(self, folder, configuration, **environment):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        self.root, self.log = folder / "root", folder / "core.log"
        nucleus = configuration["services"].setdefault("aws.greengrass.Nucleus", {}).setdefault("configuration", {})
        if os.geteuid() == 0:
            nucleus["runWithDefault"] = {"posixUser": "root"}
        (folder / "init.yaml").write_text(json.dumps(configuration))
        program = os.environ.get("MARRAM_CORE_BIN", str(ROOT / "target/debug/marram-core"))
        self.program = program
        self.command = [program, "run", "--root", str(self.root), "--init-config", str(folder / "init.yaml")]
        self.environment = os.environ | environment
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log.open("ab"), env=self.environment)
        assert json.loads(self.process.stdout.readline())["ready"]

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(SECONDS)

    def stop(self):
        self.process.terminate()
        assert self.process.wait(SECONDS) == 0, self.log.read_text()[-2000:]

    def ask(self, *arguments):
        """Our own command line: JSON."""
        done = subprocess.run([self.program, *arguments, "--json", "--root", str(self.root)], capture_output=True, text=True, timeout=PATIENCE)
        return json.loads(done.stdout)


def endpoints(marram):
    """The nucleus' part of a configuration for this installation."""
    mqtt_host, mqtt_port = marram.environment["MARRAM_MQTT_ENDPOINT"].rsplit(":", 1)
    host, port = marram.environment["MARRAM_DEVICE_ENDPOINT"].rsplit(":", 1)
    return {
        "awsRegion": marram.region, "iotRoleAlias": "MarramCoreTokenExchangeAlias", "iotDataEndpoint": mqtt_host,
        "iotCredEndpoint": f"{host}:{port}", "greengrassDataPlaneEndpoint": host, "greengrassDataPlanePort": int(port),
        "mqtt": {"port": int(mqtt_port)}, "marram": {"apiEndpoint": marram.environment["AWS_ENDPOINT_URL"]},
    }


def is_known(client, thing):
    return any(one["coreDeviceThingName"] == thing for one in client("greengrassv2").list_core_devices(maxResults=100)["coreDevices"])


@pytest.fixture
def provisioned(marram, tmp_path, name):
    """`marram core provision`: the folder of a fresh core, and its configuration as plain data."""
    folder = tmp_path / "provisioned"
    marram.run("core", "provision", "--thing", name, "--out", str(folder), "--data", str(marram.data))
    text = (folder / "config.yaml").read_text()
    key = re.search(r'deploymentPublicKey: "(.+)"', text).group(1)
    return folder, {
        "system": {
            "certificateFilePath": str(folder / "device.pem.crt"), "privateKeyPath": str(folder / "private.pem.key"),
            "rootCaPath": str(folder / "rootCA.pem"), "thingName": name, "deploymentPublicKey": key,
        },
        "services": {"aws.greengrass.Nucleus": {"configuration": endpoints(marram)}},
    }


def reported(client, thing):
    shadow = client("iot-data").get_thing_shadow(thingName=thing, shadowName="AWSManagedGreengrassV2Deployment")
    return json.loads(shadow["payload"].read())["state"]


def test_only_signed_deployments_are_carried_out(marram, client, provisioned, tmp_path, name):
    """SEC-154: a document that was changed on its way is refused and told; an older one is not taken again; a core without
    the key takes all, and says so."""
    gg, iot, data = client("greengrassv2"), client("iot"), client("iot-data")
    folder, configuration = provisioned
    core = Core(tmp_path / "core", configuration)
    core.start()
    until("the core", lambda: is_known(client, name))
    findings = lambda: [one["finding"] for one in core.ask("doctor")["findings"]]
    assert "deployments are accepted without a signature" not in findings()
    target = iot.describe_thing(thingName=name)["thingArn"]

    def create(**settings):
        return gg.create_deployment(targetArn=target, components={
            "aws.greengrass.Nucleus": {"componentVersion": "2.17.0", "configurationUpdate": {"merge": json.dumps(settings)}}})["deploymentId"]

    def ended(made):
        status = lambda: gg.get_deployment(deploymentId=made)["deploymentStatus"]
        until("the end", lambda: status() in ("COMPLETED", "FAILED"))
        assert status() == "COMPLETED"
        return reported(client, name)["desired"]

    ended(create(envStage="one"))
    core.stop()
    create(envStage="missed")
    missed = reported(client, name)["desired"]
    made = create(envStage="two")
    core.start()
    second = ended(made)
    stage = lambda: core.ask("config", "explain", "aws.greengrass.Nucleus/envStage")["value"]
    assert stage() == "two"

    def forge(document, arn):
        desired = {"fleetConfig": document, "fleetConfigurationArn": arn, "desiredStatus": "SUCCEEDED"}
        data.update_thing_shadow(thingName=name, shadowName="AWSManagedGreengrassV2Deployment",
                                 payload=json.dumps({"state": {"desired": desired}}).encode())
        told = until("the refusal", lambda: (lambda now: now if now.get("fleetConfigurationArnForStatus") == arn and now["status"] in ("FAILED", "REJECTED") else None)(
            reported(client, name)["reported"]))
        return told["status"], told["statusDetails"]["errorStack"][-1], told["statusDetails"]["failureCause"]

    changed = json.loads(second["fleetConfig"])
    changed["components"]["aws.greengrass.Nucleus"]["configurationUpdate"]["merge"]["envStage"] = "evil"
    arn = second["fleetConfigurationArn"]
    assert forge(json.dumps(changed), arn + "1") == (
        "FAILED", "DEPLOYMENT_DOCUMENT_NOT_VALID", "the deployment document is refused: it was changed after it was signed")
    del changed["marramSignature"]
    assert forge(json.dumps(changed), arn + "2")[2] == "the deployment document is refused: it bears no signature"
    assert forge(missed["fleetConfig"], missed["fleetConfigurationArn"])[:2] == ("REJECTED", "REJECTED_STALE_DEPLOYMENT")
    assert stage() == "two"
    core.stop()

    del configuration["system"]["deploymentPublicKey"]
    plain = Core(tmp_path / "plain", configuration)
    plain.start()
    until("the line", lambda: plain.ask("status")["connected"])
    assert "deployments are accepted without a signature" in [one["finding"] for one in plain.ask("doctor")["findings"]]
    plain.stop()


LIBRARIES = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
             "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so"]
#: Reads a secret over IPC.
READER = """
import time
from awsiot.greengrasscoreipc import clientv2
client = clientv2.GreengrassCoreIPCClientV2()
while True:
    try:
        print("secret", client.get_secret_value(secret_id="SECRET").secret_value.secret_string, flush=True)
        time.sleep(600)
    except Exception as error:
        print("not yet", error, flush=True)
        time.sleep(0.5)
"""


def softhsm(folder):
    """An empty token: its slot, the environment that it takes, and a way to run its tools."""
    tokens = folder / "tokens"
    tokens.mkdir(parents=True)
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {tokens}\nlog.level = ERROR\n")
    environment = {"SOFTHSM2_CONF": str(folder / "softhsm2.conf")}
    run = lambda *command: subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | environment).stdout
    said = run("softhsm2-util", "--init-token", "--free", "--label", "core", "--so-pin", "1234", "--pin", "4711")
    return re.search(r"slot (\d+)", said.splitlines()[-1]).group(1), environment, run


def moved_into_a_token(client, provisioned, tmp_path, name):
    """The core's key, from now on in a token of SoftHSM: its environment, the provider's configuration, the folder of tokens."""
    folder, configuration = provisioned
    slot, environment, run = softhsm(tmp_path)
    tokens = tmp_path / "tokens"
    # An RSA key: what is imported may sign, and an EC key needs the right to derive as well.
    key, request = folder / "private.pem.key", folder / "request.pem"
    run("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(request), "-subj", "/CN=core")
    iot = client("iot")
    made = iot.create_certificate_from_csr(certificateSigningRequest=request.read_text(), setAsActive=True)
    iot.attach_policy(policyName="MarramCorePolicy", target=made["certificateArn"])
    iot.attach_thing_principal(thingName=name, principal=made["certificateArn"])
    (folder / "device.pem.crt").write_text(made["certificatePem"])
    run("softhsm2-util", "--import", str(key), "--slot", slot, "--label", "core-key", "--id", "a1", "--pin", "4711")
    key.unlink()
    configuration["system"]["privateKeyPath"] = "pkcs11:object=core-key;type=private"
    token = {"name": "softhsm", "library": next(path for path in LIBRARIES if os.path.exists(path)), "slot": int(slot), "userPin": "4711"}
    configuration["services"]["aws.greengrass.crypto.Pkcs11Provider"] = {"configuration": token}
    return environment, token, tokens


def test_a_key_in_a_token(marram, client, provisioned, tmp_path, name):
    """CC 11, SEC-50: the key is in a PKCS#11 token and in no file; the core connects, acts with its role, keeps a secret that
    only the token opens again. The role reads secrets that are meant for cores and no others (SEC-165)."""
    _, configuration = provisioned
    environment, token, tokens = moved_into_a_token(client, provisioned, tmp_path, name)
    secrets = client("secretsmanager")
    good = secrets.create_secret(Name=f"greengrass/{name}", SecretString="opened")["ARN"]
    tagged = secrets.create_secret(Name=f"{name}-tagged", SecretString="opened", Tags=[{"Key": "marram:for-cores", "Value": "true"}])["ARN"]
    other = secrets.create_secret(Name=f"{name}-other", SecretString="closed")["ARN"]
    script = READER.replace("SECRET", tagged)
    configuration["services"] |= {
        "aws.greengrass.SecretManager": {"version": "2.2.9", "configuration": {"cloudSecrets": [{"arn": one} for one in (good, tagged, other)]}},
        "Reader": {
            "version": "1.0.0", "dependencies": [], "lifecycle": {"run": f"exec {sys.executable} -u - <<'END'\n{script}\nEND"},
            "configuration": {"accessControl": {"aws.greengrass.SecretManager": {"p": {"operations": ["*"], "resources": ["*"]}}}}},
        "main": {"dependencies": ["Reader:HARD"]},
    }
    core = Core(tmp_path / "core", configuration, **environment)
    # Tokens lock after a few wrong PINs: one that is refused is tried once, whoever asks for the key and however often.
    token["userPin"] = "0000"
    (tmp_path / "core/init.yaml").write_text(json.dumps(configuration))
    core.start()
    until("the second try of the line", lambda: core.log.read_text().count("refuses the PIN") > 1)
    assert core.log.read_text().count("userPin stands in the configuration") == 1
    assert "refuses the PIN" in str(core.ask("doctor")["findings"])
    core.stop()
    token["userPin"] = "4711"
    (tmp_path / "core/init.yaml").write_text(json.dumps(configuration))
    core.command.append("--update-config")
    # The token comes when the core runs already: nothing has to be started again for it.
    tokens.rename(tmp_path / "not there yet")
    before = len(core.log.read_text())
    core.start()
    until("the core without its token", lambda: "the control plane cannot be used" in core.log.read_text()[before:])
    (tmp_path / "not there yet").rename(tokens)
    until("the core", lambda: is_known(client, name))
    log = core.root / "logs/Reader.log"
    heard = lambda: log.read_text() if log.exists() else ""
    until("the secret", lambda: "secret opened" in heard())
    vault = core.root / "work/aws.greengrass.SecretManager"
    kept = lambda: b"".join(path.read_bytes() for path in vault.rglob("*") if path.is_file())
    text = until("the vault", lambda: kept() if b"greengrass/" in kept() and b"-tagged" in kept() else None)
    assert b"opened" not in text
    assert f"{name}-other" not in text.decode(), "the role may not read it"
    # Without the control plane: what was sealed is opened with the token.
    core.stop()
    log.unlink()
    cut = json.loads(json.dumps(configuration))
    cut["services"]["aws.greengrass.Nucleus"]["configuration"]["marram"]["apiEndpoint"] = "https://127.0.0.1:9"
    (tmp_path / "core/init.yaml").write_text(json.dumps(cut))
    core.start()
    until("the kept secret", lambda: "secret opened" in heard())
    core.stop()


def test_a_token_that_cannot_be_used_is_not_taken(marram, client, provisioned, tmp_path, name):
    """CC 11: another PIN, slot or library is tried before a deployment takes it; what cannot be used fails the deployment, and the core
    finds its key again after a kill."""
    _, configuration = provisioned
    environment, token, _ = moved_into_a_token(client, provisioned, tmp_path, name)
    gg, iot = client("greengrassv2"), client("iot")
    core = Core(tmp_path / "core", configuration, **environment)
    core.start()
    until("the core", lambda: is_known(client, name))
    target = iot.describe_thing(thingName=name)["thingArn"]

    def deployed(**settings):
        made = gg.create_deployment(targetArn=target, components={"aws.greengrass.crypto.Pkcs11Provider": {
            "componentVersion": "2.0.11", "configurationUpdate": {"merge": json.dumps(settings)}}})["deploymentId"]
        status = until("the end", lambda: (said := gg.get_deployment(deploymentId=made)["deploymentStatus"]) != "ACTIVE" and said)
        told = lambda: gg.list_effective_deployments(coreDeviceThingName=name)["effectiveDeployments"]
        return status, until("the reason", lambda: next((one["reason"] for one in told() if one["deploymentId"] == made), None))

    def comes_back():
        core.kill()
        core.start()
        until("the line", lambda: core.ask("status")["connected"])

    for settings, words in [
        ({"userPin": "wr0ng"}, "the token does not take userPin (it was tried once, because tokens lock)"),
        ({"slot": 987654}, "the library knows no slot 987654"),
        ({"library": "/nowhere/lib.so"}, "there is no library /nowhere/lib.so"),
    ]:
        status, reason = deployed(**settings)
        assert status == "FAILED" and words in reason and "wr0ng" not in reason, (settings, status, reason)
        comes_back()
    assert "wr0ng" not in core.log.read_text()
    link = tmp_path / "lib.so"
    link.symlink_to(token["library"])
    assert deployed(library=str(link))[0] == "COMPLETED"
    comes_back()
    assert core.ask("config", "explain", "aws.greengrass.crypto.Pkcs11Provider/library")["value"] == str(link)
    core.stop()


def template(name):
    """Things, policies and all that a core needs."""
    own = "${iot:Connection.Thing.ThingName}"
    return {
        "Parameters": {"Serial": {"Type": "String"}, "AWS::IoT::Certificate::Id": {"Type": "String"}},
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Fn::Join": ["-", [name, {"Ref": "Serial"}]]}}},
            "certificate": {"Type": "AWS::IoT::Certificate", "Properties": {
                "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"}},
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "MarramCorePolicy"}},
        },
    }


@pytest.fixture
def fleet(marram, client, tmp_path, name):
    """A template called as the test, and its claim: what a core is configured with to provision itself as thing `NAME-serial`."""
    iam, iot = client("iam"), client("iot")
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "iot.amazonaws.com"}}]}
    role = iam.create_role(RoleName=f"fleet-{name}", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
    iam.put_role_policy(RoleName=f"fleet-{name}", PolicyName="all", PolicyDocument=json.dumps(allowed))
    iot.create_provisioning_template(templateName=name, templateBody=json.dumps(template(name)), provisioningRoleArn=role, enabled=True)
    claim = Device(marram, iot, tmp_path, f"claim-{name}", claim_statements(name), thing=False)

    def configuration(serial, credentials, **more):
        nucleus = endpoints(marram)
        return {"services": {
            "aws.greengrass.Nucleus": {"configuration": nucleus},
            "aws.greengrass.FleetProvisioningByClaim": {"configuration": {
                "rootPath": str(credentials), "awsRegion": marram.region, "iotDataEndpoint": nucleus["iotDataEndpoint"],
                "iotCredentialEndpoint": nucleus["iotCredEndpoint"], "iotRoleAlias": nucleus["iotRoleAlias"], "provisioningTemplate": name,
                "claimCertificatePath": str(claim.certificate), "claimCertificatePrivateKeyPath": str(claim.key),
                "rootCaPath": marram.environment["AWS_CA_BUNDLE"], "mqttPort": nucleus["mqtt"]["port"],
                "templateParameters": {"Serial": serial}} | more},
        }}

    return configuration


def test_a_core_provisions_itself(client, fleet, tmp_path, name):
    """CR 5.5, CP 5.10: with a claim and no identity a core makes its key, gets its thing, and goes on under its name; killed
    at any moment it takes up where it was."""
    proxy = Proxy("plant", "secret")
    for nth, kills in enumerate([[], [0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4], []]):
        folder = tmp_path / f"core-{nth}"
        credentials = folder / "credentials"
        configuration = fleet(str(nth), credentials)
        nucleus = configuration["services"]["aws.greengrass.Nucleus"]["configuration"]
        if nth == 2:
            # Behind a proxy: the claim has its own settings for it, the core that comes out of it the nucleus' ones.
            url = proxy.url.replace("//", "//plant:secret@")
            nucleus["networkProxy"] = {"proxy": {"url": url}}
            configuration["services"]["aws.greengrass.FleetProvisioningByClaim"]["configuration"] |= {
                "proxyUrl": proxy.url, "proxyUserName": "plant", "proxyPassword": "secret"}
        core = Core(folder, configuration)
        for pause in kills:
            core.start()
            time.sleep(pause)
            core.kill()
        core.start()
        thing = f"{name}-{nth}"
        until("the core", lambda: is_known(client, thing))
        key = credentials / "privKey.key"
        assert key.stat().st_mode & 0o777 == 0o600 and "PRIVATE KEY" in key.read_text()
        assert list((credentials / "claim").iterdir()) == []
        until("the line", lambda: core.ask("status")["connected"])
        core.stop()
        # The identity stays.
        core.start()
        until("the line", lambda: core.ask("status")["connected"])
        core.stop()
        if nth == 2:
            assert proxy.asked.count(f"{nucleus['iotDataEndpoint']}:{nucleus['mqtt']['port']}") >= 3, proxy.asked
        else:
            assert proxy.asked == []
    proxy.close()


@pytest.mark.parametrize("place", ["file", "token"])
def test_the_key_of_an_own_request_is_looked_at_before_the_claim_is_spent(client, fleet, tmp_path, name, place):
    """CR 5.5, 9.1, CC 11: a claim with an operator's own request (`csrPath`) and a key that is not its own, in a file or in a token: log
    and doctor name member and place, the control plane issues nothing; mended, the same process goes on, with one certificate."""
    iot = client("iot")
    slot, environment, run = softhsm(tmp_path)
    for one in ("own", "other"):
        run("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", str(tmp_path / f"{one}.key"),
            "-out", str(tmp_path / f"{one}.csr"), "-subj", f"/CN={one}")
    key = tmp_path / "used.key"
    if place == "file":
        key.write_bytes((tmp_path / "other.key").read_bytes())
        key.chmod(0o600)
    else:
        run("softhsm2-util", "--import", str(tmp_path / "other.key"), "--slot", slot, "--label", "core-key", "--id", "b2", "--pin", "4711")
    named = str(key) if place == "file" else "pkcs11:object=core-key;type=private"
    credentials = tmp_path / "core/credentials"
    configuration = fleet("7", credentials, csrPath=str(tmp_path / "own.csr"), csrPrivateKeyPath=named)
    configuration["services"]["aws.greengrass.crypto.Pkcs11Provider"] = {"configuration": {
        "name": "softhsm", "library": next(path for path in LIBRARIES if os.path.exists(path)), "slot": int(slot), "userPin": "4711"}}
    core = Core(tmp_path / "core", configuration, **environment)
    issued = lambda: {one["certificateId"] for page in iot.get_paginator("list_certificates").paginate() for one in page["certificates"]}
    before = issued()
    core.start()
    first = core.process.pid
    wrong = f"csrPrivateKeyPath: {named} is not the key of the request {tmp_path / 'own.csr'}"
    until("the second try", lambda: core.log.read_text().count(wrong) > 1)
    assert wrong in str(core.ask("doctor")["findings"])
    if place == "file":
        key.unlink()
        until("a key that is not there", lambda: f"{named} cannot be read" in core.log.read_text())
        key.write_bytes((tmp_path / "own.key").read_bytes())
        key.chmod(0o600)
    else:
        assert issued() == before
        (tmp_path / "own.csr").write_bytes((tmp_path / "other.csr").read_bytes())
    until("the core", lambda: is_known(client, f"{name}-7"))
    until("the line", lambda: core.ask("status")["connected"])
    assert core.process.pid == first and core.process.poll() is None
    assert len(issued() - before) == 1
    assert iot.list_thing_principals(thingName=f"{name}-7")["principals"][0].rsplit("/")[-1] in issued() - before
    assert (credentials / "thingCert.crt").exists() and not (credentials / "privKey.key").exists()
    core.stop()
