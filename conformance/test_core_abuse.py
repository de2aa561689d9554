"""What a component must not reach, and what a core must not believe, one test for each word: another's token, topic, secret,
configuration; a forged or altered deployment, recipe, artifact; a wrong clock, an expired certificate, a revoked one.

All processes are real: a control plane, a core, its components. Each word in every case it can have is elsewhere: rights by operation in
test_ipc_strain, tokens in test_core_ipc, credentials in test_component_credentials, signatures in test_core_identity, packages of flows in
test_edge_flows.
"""
import base64
import hashlib
import http.client
import http.server
import io
import json
import os
import pathlib
import re
import ssl
import subprocess
import sys
import threading
import zipfile

import pytest

from edge_core import MARK, Site, recipe
from waiting import PATIENCE, until

VICTIM, THIEF, LATER, DISK = "proof.Victim", "proof.Thief", "proof.Later", "proof.Disk"
#: Tries all of it from inside a component's sandbox; one JSON line each.
ATTEMPTS = """
import datetime, json, os, time, urllib.request
from awsiot import greengrasscoreipc
from awsiot.greengrasscoreipc import clientv2, model

def told(what, call):
    try:
        call()
        answer = "done"
    except Exception as error:
        answer = f"{type(error).__name__} {getattr(error, 'code', '')}".strip()
    print(json.dumps([what, answer]), flush=True)

def credentials(token):
    place = os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    return urllib.request.urlopen(urllib.request.Request(place, headers={"Authorization": token}), timeout=60).read()

stolen, ipc = os.environ["STOLEN"], clientv2.GreengrassCoreIPCClientV2()
socket = os.environ["AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"]
message = model.PublishMessage(binary_message=model.BinaryMessage(message=b"x"))
told("own credentials", lambda: credentials(os.environ["SVCUID"]))
told("token at the socket", lambda: greengrasscoreipc.connect(ipc_socket=socket, authtoken=stolen, timeout=60))
told("token for credentials", lambda: credentials(stolen))
told("topic: publish", lambda: ipc.publish_to_topic(topic="victim/a", publish_message=message))
told("topic: subscribe", lambda: ipc.subscribe_to_topic(topic="victim/a", on_stream_event=print, on_stream_error=print, on_stream_closed=print))
told("topic: publish to the cloud", lambda: ipc.publish_to_iot_core(topic_name="victim/a", qos="1", payload=b"x"))
told("secret", lambda: ipc.get_secret_value(secret_id="greengrass-victim"))
told("configuration: change its rights", lambda: ipc.update_configuration(
    timestamp=datetime.datetime.now(), value_to_merge={"accessControl": {}}))
told("configuration: change its bounds", lambda: ipc.update_configuration(
    timestamp=datetime.datetime.now(), value_to_merge={"Marram": {"sandbox": {"profile": "off"}}}))
told("configuration: read another's", lambda: ipc.get_configuration(component_name="proof.Victim", key_path=["hidden"]))
told("configuration: by deployment", lambda: ipc.create_local_deployment(component_to_configuration={"proof.Victim": {"MERGE": {"hidden": "x"}}}))
told("the other itself", lambda: ipc.stop_component(component_name="proof.Victim"))
told("files: configuration", lambda: open(os.environ["ROOT"] + "/config/marram.db").read())
told("files: work", lambda: open(os.environ["ROOT"] + "/work/proof.Victim/own").read())
told("files: key", lambda: open(os.environ["KEY"]).read())
told("end", lambda: None)
time.sleep(86400)
"""
#: What each has to answer; all that is not said here is refused by a right that is missing.
ANSWERS = {
    "own credentials": "done", "end": "done", "token at the socket": "AccessDeniedError", "token for credentials": "HTTPError 403",
    "configuration: change its rights": "InvalidArgumentsError", "configuration: change its bounds": "InvalidArgumentsError",
    "files: configuration": "PermissionError", "files: work": "PermissionError", "files: key": "PermissionError",
}
#: The clock of one process, told by a file: the program is an ordinary one, and asks the C library for the time.
CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
static time_t off(void) {
    char text[32] = {0};
    int file = getenv("CLOCK_FILE") ? open(getenv("CLOCK_FILE"), O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    time_t found = read(file, text, sizeof text - 1) > 0 ? atoll(text) : 0;
    close(file);
    return found;
}
int clock_gettime(clockid_t id, struct timespec *ts) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int answer = real(id, ts);
    if (id == CLOCK_REALTIME) ts->tv_sec += off();
    return answer;
}
time_t time(time_t *into) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (into) *into = now.tv_sec;
    return now.tv_sec;
}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("abuse"), "      ipc:\n        openConfigurationRead: false\n")
    s3 = site.plane.client("s3")
    s3.create_bucket(Bucket="abuse")
    s3.put_object(Bucket="abuse", Key="attempts.py", Body=ATTEMPTS.encode())
    yield site
    site.stop()


def publish(site, name, lifecycle, version="1.0.0", **more):
    site.gg.create_component_version(inlineRecipe=recipe(name, lifecycle, version, **more))


@pytest.fixture(scope="module")
def told(site):
    """What the thief found out beside a victim that has a topic, a secret and a setting of its own."""
    secret = site.plane.client("secretsmanager").create_secret(Name="greengrass-victim", SecretString="hidden")["ARN"]
    needs = {f"aws.greengrass.{one}": {"VersionRequirement": ">=2.0.0"} for one in ("TokenExchangeService", "SecretManager")}
    rights = {"aws.greengrass.ipc.pubsub": {"p": {"operations": ["*"], "resources": ["victim/*"]}},
              "aws.greengrass.SecretManager": {"s": {"operations": ["*"], "resources": [secret]}}}
    mark = {MARK: f"{site.core.root}|{VICTIM}|1.0.0"}
    publish(site, VICTIM, {"Setenv": mark, "run": "echo own > own; exec sleep 86400"}, ComponentDependencies=needs,
            ComponentConfiguration={"DefaultConfiguration": {"hidden": "yes", "accessControl": rights}})
    manager = {"componentVersion": "2.2.9", "configurationUpdate": {"merge": json.dumps({"cloudSecrets": [{"arn": secret}]})}}
    assert site.end(site.deploy({VICTIM: "1.0.0", "aws.greengrass.SecretManager": manager}))[0] == "COMPLETED"
    pid = until("the victim", lambda: next(iter(site.core.processes()), None))
    environment = dict(one.split("=", 1) for one in pathlib.Path(f"/proc/{pid}/environ").read_text().split("\0") if "=" in one)
    setenv = {"STOLEN": environment["SVCUID"], "ROOT": str(site.core.root), "KEY": str(site.core.config.parent / "private.pem.key")}
    publish(site, THIEF, {"Setenv": setenv, "run": f"exec {sys.executable} -u {{artifacts:path}}/attempts.py"}, ComponentDependencies=needs,
            manifest={"Artifacts": [{"Uri": "s3://abuse/attempts.py"}]})
    assert site.end(site.deploy({VICTIM: "1.0.0", THIEF: "1.0.0", "aws.greengrass.SecretManager": manager}))[0] == "COMPLETED"
    log = site.core.root / f"logs/{THIEF}.log"

    def words():
        lines = [line[line.index('["'):] for line in log.read_text().splitlines() if '["' in line] if log.exists() else []
        found = dict(json.JSONDecoder().raw_decode(line)[0] for line in lines)
        return found if "end" in found else None

    found = until("the thief's words", words)
    site.manager = manager
    return found


@pytest.mark.parametrize("word", ["token", "topic", "secret", "configuration", "files", "other", "own"])
def test_a_component_cannot_use_what_is_anothers(told, word):
    """SEC-130, SEC-131, SEC-133, SEC-134, CR 6.9."""
    tried = {what: answer for what, answer in told.items() if word in what}
    assert tried == {what: ANSWERS.get(what, "UnauthorizedError") for what in tried} and tried, told


def refusal(site, deployment):
    """Why a deployment failed, and that nothing of it is there."""
    status, said = site.end(deployment)
    assert (status, said["coreDeviceExecutionStatus"]) == ("FAILED", "FAILED"), said
    assert site.installed(LATER) == [] and not list(site.core.root.glob("work/*/proof"))
    return said["statusDetails"]["errorStack"][-1], said["reason"]


def test_an_altered_deployment(site):
    """SEC-154: changed after it was signed, without a signature, signed by another."""
    data, shadow = site.plane.client("iot-data"), {"thingName": site.core.thing, "shadowName": "AWSManagedGreengrassV2Deployment"}
    assert site.end(site.deploy({}))[0] == "COMPLETED"
    state = lambda: json.loads(data.get_thing_shadow(**shadow)["payload"].read())["state"]
    desired = state()["desired"]
    document = json.loads(desired["fleetConfig"])
    altered = {**document, "components": {LATER: {"version": {"requiredVersion": "1.0.0"}}}}
    unsigned = {key: value for key, value in altered.items() if key != "marramSignature"}
    foreign = json.loads(json.dumps(altered).replace(json.dumps(document["marramSignature"])[10:20], json.dumps(document["marramSignature"])[10:20][::-1]))
    for number, (forged, words) in enumerate([(altered, "it was changed after it was signed"), (unsigned, "it bears no signature"), (foreign, "")]):
        arn = f"{desired['fleetConfigurationArn']}{number}"
        wish = {"fleetConfig": json.dumps(forged), "fleetConfigurationArn": arn, "desiredStatus": "SUCCEEDED"}
        data.update_thing_shadow(**shadow, payload=json.dumps({"state": {"desired": wish}}).encode())
        said = until("the refusal", lambda: (now := state()["reported"]).get("fleetConfigurationArnForStatus") == arn and now.get("status") in ("FAILED", "REJECTED") and now)
        assert said["status"] == "FAILED" and f"the deployment document is refused: {words}" in said["statusDetails"]["failureCause"], said


class Between(http.server.ThreadingHTTPServer):
    """Somebody with the control plane's own server key between it and the core, who alters what it answers."""

    daemon_threads = True

    def __init__(self, site, alter):
        folder, pki = site.core.config.parent, site.plane.data / "pki"
        host, port = site.plane.env["MARRAM_DEVICE_ENDPOINT"].rsplit(":", 1)
        inward = ssl.create_default_context(cafile=site.plane.env["AWS_CA_BUNDLE"])
        inward.load_cert_chain(folder / "device.pem.crt", folder / "private.pem.key")

        class Handler(http.server.BaseHTTPRequestHandler):
            def forward(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                line = http.client.HTTPSConnection(host, int(port), timeout=PATIENCE, context=inward)
                line.request(self.command, self.path, body, {name: value for name, value in self.headers.items() if name.lower() != "host"})
                answer = line.getresponse()
                content = alter(self.path, answer.read())
                self.send_response(200 if self.path == "/evil" else answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                        self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = forward

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        outward = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        outward.load_cert_chain(pki / "server.pem", pki / "server.key")
        self.socket = outward.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.site = site

    def __enter__(self):
        """From now on the core asks here."""
        explain = self.site.ask("config", "explain", "aws.greengrass.Nucleus/greengrassDataPlanePort", "--json")
        self.own = json.loads(explain.stdout)["value"]
        self.point_at(self.server_port)
        return self

    def __exit__(self, *_):
        self.point_at(self.own)
        self.shutdown()

    def point_at(self, port):
        anew = lambda: self.site.core.log_file.read_text(errors="replace").count("the settings of the line changed")
        before = anew()
        merge = json.dumps({"greengrassDataPlanePort": port})
        nucleus = {"componentVersion": "2.17.0", "configurationUpdate": {"merge": merge}}
        assert self.site.end(self.site.deploy({"aws.greengrass.Nucleus": nucleus}))[0] == "COMPLETED"
        until("the other line", lambda: anew() > before and is_connected(self.site))


def test_an_altered_recipe(site):
    """SEC-154: a recipe that is not as it was signed is refused, whoever is on the line and whatever key that one has."""
    publish(site, LATER, {"run": "exec sleep 86400"})
    changed = []

    def alter(path, body):
        if not path.startswith("/greengrass/v2/resolveComponentCandidates"):
            return body
        answer = json.loads(body)
        for one in [one for one in answer["resolvedComponentVersions"] if one["componentName"] == LATER]:
            true = base64.b64decode(one["recipe"])
            one["recipe"] = base64.b64encode(true.replace(b"sleep 86400", b"touch proof")).decode()
            changed.append(base64.b64decode(one["recipe"]) != true)
        return json.dumps(answer).encode()

    with Between(site, alter):
        code, why = refusal(site, site.deploy({LATER: "1.0.0"}))
    assert any(changed) and code == "RESOLVE_COMPONENT_CANDIDATES_BAD_RESPONSE", (changed, code, why)
    assert f"the recipe of {LATER} 1.0.0 is refused" in why, why


def test_an_altered_artifact(site):
    """SEC-154, SEC-157: neither who writes the bucket after the component was published nor who is on the line gets anything carried out."""
    s3, evil = site.plane.client("s3"), b"touch proof     "
    s3.put_object(Bucket="abuse", Key="later.sh", Body=b"exec sleep 86400")
    publish(site, LATER, {"run": "sh {artifacts:path}/later.sh"}, "2.0.0", manifest={"Artifacts": [{"Uri": "s3://abuse/later.sh"}]})
    s3.put_object(Bucket="abuse", Key="later.sh", Body=evil)
    asked, stored = [], site.core.root / f"packages/artifacts/{LATER}/2.0.0/later.sh"

    def alter(path, body):
        if "/artifacts/" not in path or LATER not in path or "honest" in asked:
            return evil if path == "/evil" else body
        asked.append(json.loads(body)["preSignedUrl"])
        return json.dumps({"preSignedUrl": f"https://localhost:{between.server_port}/evil"}).encode()

    with Between(site, alter) as between:
        deployment = site.deploy({LATER: "2.0.0"})
        until("the wait for a right copy", lambda: "a right copy of later.sh" in site.ask("why").stdout)
        assert asked and site.installed(LATER) == [] and not stored.exists()
        site.gg.cancel_deployment(deploymentId=deployment)
        until("the cancel", lambda: site.told(deployment)["coreDeviceExecutionStatus"] == "CANCELED")
        # Without lies: what was published, not what the bucket says now.
        asked.append("honest")
        assert site.end(site.deploy({LATER: "2.0.0"}))[0] == "COMPLETED"
        assert stored.read_bytes() == b"exec sleep 86400" and not list(site.core.root.glob("work/*/proof"))


def test_an_artifact_altered_on_the_disk(site):
    """CR 1.6, SEC-157: altered after it was taken in, as an archive's member as well: nothing of it is started, at an operator's restart or
    the core's, both sides learn why, and the same version deployed again mends it. What the component adds itself does not matter."""
    s3, packed = site.plane.client("s3"), io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("lib/words.sh", "word=true")
    s3.put_object(Bucket="abuse", Key="disk.sh", Body=b". $1/lib/words.sh; touch $1/lib/cache; echo $word > word; exec sleep 86400")
    s3.put_object(Bucket="abuse", Key="tree.zip", Body=packed.getvalue())
    mark = {MARK: f"{site.core.root}|{DISK}|1.0.0"}
    artifacts = [{"Uri": "s3://abuse/disk.sh"}, {"Uri": "s3://abuse/tree.zip", "Unarchive": "ZIP"}]
    run = "sh {artifacts:path}/disk.sh {artifacts:decompressedPath}/tree"
    publish(site, DISK, {"Setenv": mark, "run": {"Script": run, "RequiresPrivilege": True}}, manifest={"Artifacts": artifacts})
    wish = {DISK: "1.0.0", "aws.greengrass.Nucleus": {"componentVersion": "2.17.0", "configurationUpdate": {
        "merge": json.dumps({"security": {"allowPrivileged": [DISK]}})}}}
    assert site.end(site.deploy(wish))[0] == "COMPLETED"
    packages, lives = site.core.root / "packages", lambda: (DISK, "1.0.0") in site.core.processes().values()
    until("its start", lambda: lives() and site.installed(DISK) == [("1.0.0", "RUNNING")])
    assert os.geteuid() != 0 or (packages / f"artifacts-unarchived/{DISK}/1.0.0/tree/lib/cache").exists()
    assert site.core.cli("component", "restart", "-n", DISK).returncode == 0
    until("its restart", lambda: lives() and site.installed(DISK) == [("1.0.0", "RUNNING")])
    for place, content in (("artifacts/{}/1.0.0/disk.sh", "touch proof; exec sleep 86400"), ("artifacts-unarchived/{}/1.0.0/tree/lib/words.sh", "word=evil")):
        place = "packages/" + place.format(DISK)
        (site.core.root / place).unlink()
        (site.core.root / place).write_text(content)
        if content == "word=evil":
            # At the core's start this time, not at that of the component alone.
            site.core.kill()
        else:
            assert site.core.cli("component", "restart", "-n", DISK).returncode == 0
        until("what the control plane knows", lambda: site.installed(DISK) == [("1.0.0", "BROKEN")])
        assert not lives() and not list(site.core.root.glob("work/*/proof"))
        shown = site.gg.list_installed_components(coreDeviceThingName=site.core.thing, topologyFilter="ALL")["installedComponents"]
        details = next(one["lifecycleStateDetails"] for one in shown if one["componentName"] == DISK)
        assert f"{place} has another content than it came with (SHA-256 " in details and "; deploy it again" in details, details
        doctor = site.ask("doctor")
        assert doctor.returncode == 1 and f"error: files of {DISK} were changed on this device: {place}" in doctor.stdout, doctor
        assert site.gg.get_core_device(coreDeviceThingName=site.core.thing)["status"] == "UNHEALTHY"
        assert site.end(site.deploy(wish))[0] == "COMPLETED"
        until("the mended one", lambda: lives() and site.installed(DISK) == [("1.0.0", "RUNNING")])
        assert (site.core.root / f"work/{DISK}/word").read_text() == "true\n"
        until("the doctor's word", lambda: "were changed on this device" not in site.ask("doctor").stdout)


def test_a_local_artifact_altered_on_the_disk(site, tmp_path):
    """CR 4.9, SEC-157: nobody can fetch it anew. It stays BROKEN and fails no deployment that is not about it; one that names it says how to mend
    it, one with the files mends it, and one that removes it works."""
    name, other = "proof.Local", "proof.Beside"
    given = tmp_path / "artifacts" / name / "1.0.0"
    given.mkdir(parents=True)
    (given / "own.sh").write_text("exec sleep 86400")
    mark, recipes = {MARK: f"{site.core.root}|{name}|1.0.0"}, tmp_path / "recipes"
    recipes.mkdir()
    lifecycle = {"Setenv": mark, "run": "exec sh {artifacts:path}/own.sh", "shutdown": "true", "uninstall": "true"}
    (recipes / "local.json").write_text(recipe(name, lifecycle, manifest={"Artifacts": [{"Uri": "s3://nowhere/own.sh"}]}))
    (recipes / "beside.json").write_text(recipe(other, {"run": "exec sleep 86400"}))

    def deploy(*arguments):
        made = site.core.cli("deployment", "create", *arguments)
        assert made.returncode == 0, made
        number = made.stdout.split()[-1]
        def over():
            shown = site.core.cli("deployment", "status", "-i", number).stdout
            return not any(word in shown for word in ("QUEUED", "IN_PROGRESS")) and shown
        return until("the end", over)

    both = ("--recipeDir", str(recipes), "--artifactDir", str(tmp_path / "artifacts"))
    assert "SUCCEEDED" in deploy(*both, "--merge", f"{name}=1.0.0")
    lives = lambda: (name, "1.0.0") in site.core.processes().values()
    state = lambda: [word for word in ("RUNNING", "BROKEN") if word in site.core.cli("component", "details", "-n", name).stdout]
    stored = site.core.root / f"packages/artifacts/{name}/1.0.0/own.sh"
    until("its start", lives)
    stored.unlink()
    stored.write_text("exec sleep 1000")
    assert site.core.cli("component", "restart", "-n", name).returncode == 0
    until("its end", lambda: state() == ["BROKEN"])
    assert "SUCCEEDED" in deploy("--recipeDir", str(recipes), "--merge", f"{other}=1.0.0")
    assert site.end(site.deploy({"aws.greengrass.Nucleus": "2.17.0"}))[0] == "COMPLETED"
    assert state() == ["BROKEN"] and not lives()
    assert "FAILED" in deploy("--merge", f"{name}=1.0.0") and state() == ["BROKEN"]
    assert "SUCCEEDED" in deploy(*both, "--merge", f"{name}=1.0.0")
    until("the mended one", lives)
    stored.write_text("exec sleep 1000")
    assert site.core.cli("component", "restart", "-n", name).returncode == 0
    until("its end", lambda: state() == ["BROKEN"])
    assert "SUCCEEDED" in deploy("--remove", name)
    assert state() == [] and not lives()
    assert "SUCCEEDED" in deploy("--remove", other)


def test_the_doctor_tells_what_runs(site):
    """SEC-131: what a component runs in, not what it would run in once it is started again."""
    publish(site, "proof.Held", {"run": "exec sleep 86400"})
    wish = lambda profile: {"proof.Held": "1.0.0", "aws.greengrass.Nucleus": {"componentVersion": "2.17.0", "configurationUpdate": {
        "merge": json.dumps({"marram": {"sandbox": {"profile": profile}}})}}}
    told = lambda: [line for line in site.ask("doctor").stdout.splitlines() if "proof.Held runs" in line]
    without, later = "warning: proof.Held runs without a sandbox", " until it is restarted"
    for profile, at_once, restarted in (
        ("standard", [], []), ("off", [f"warning: proof.Held runs in its sandbox{later}, then without one"], [without]), ("standard", [without + later], []),
    ):
        assert site.end(site.deploy(wish(profile)))[0] == "COMPLETED"
        until(f"the doctor's word on {profile}", lambda: told() == at_once)
        assert site.core.cli("component", "restart", "-n", "proof.Held").returncode == 0
        until(f"its word after the restart with {profile}", lambda: told() == restarted)


def test_the_doctor_tells_of_a_denied_secret(site):
    """SEC-133: which of `cloudSecrets` the core's role may not read, until it may."""
    secrets = site.plane.client("secretsmanager")
    arn = secrets.create_secret(Name="for-others", SecretString="hidden")["ARN"]
    manager = {"componentVersion": "2.2.9", "configurationUpdate": {"merge": json.dumps({"cloudSecrets": [{"arn": arn}]})}}
    assert site.end(site.deploy({"aws.greengrass.SecretManager": manager}))[0] == "COMPLETED"
    told = lambda: f"warning: the control plane denies this core the secret {arn}: " in site.ask("doctor").stdout
    until("the doctor's word", told)
    secrets.tag_resource(SecretId=arn, Tags=[{"Key": "marram:for-cores", "Value": "true"}])
    until("its silence", lambda: not told())
    assert "with the whole network: marram" not in site.ask("doctor").stdout


def lives(site):
    return VICTIM in dict(site.core.processes().values())


def is_connected(site):
    """Whether the core says that it has its control plane; no answer while it starts."""
    done = site.ask("status", "--json")
    return json.loads(done.stdout)["connected"] if done.returncode == 0 else None


@pytest.fixture(scope="module")
def clock(site):
    """A way to start programs with another clock, and the file that tells how many seconds it is off."""
    folder = site.folder
    (folder / "clock.c").write_text(CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "clock.so", folder / "clock.c", "-ldl"], check=True, timeout=PATIENCE)
    (folder / "offset").write_text("0")
    return {"LD_PRELOAD": str(folder / "clock.so"), "CLOCK_FILE": str(folder / "offset")}


def test_a_wrong_clock(site, told, clock):
    """CR 9.6: years behind and years ahead no certificate of the control plane holds: the core stays away from it, its components run, and
    it comes back when its clock is right; nobody restarts anything."""
    offset = pathlib.Path(clock["CLOCK_FILE"])
    years = 30 * 365 * 86400
    assert site.end(site.deploy({VICTIM: "1.0.0", "aws.greengrass.SecretManager": site.manager}))[0] == "COMPLETED"
    os.environ.update(clock)
    try:
        for off, words in ((-years, "not valid yet"), (years, "expired")):
            offset.write_text(str(off))
            site.core.kill()
            until("the core, which has no control plane", lambda: is_connected(site) is False)
            until("its component", lambda: lives(site))
            until("its complaint", lambda: "cannot connect to the control plane" in site.core.tail() and words in site.core.tail())
            doctor = site.ask("doctor")
            assert doctor.returncode == 1 and "error: the core's certificate is " in doctor.stdout and "this device's clock shows " in doctor.stdout, doctor
            local = site.core.cli("deployment", "create", "-c", json.dumps({VICTIM: {"MERGE": {"hidden": str(off)}}}))
            deployment = local.stdout.rsplit(maxsplit=1)[-1]
            until("a local deployment", lambda: "SUCCEEDED" in site.core.cli("deployment", "status", "-i", deployment).stdout)
            offset.write_text("0")
            until("the line", lambda: is_connected(site) is True)
    finally:
        for name in clock:
            del os.environ[name]
    assert site.end(site.deploy({VICTIM: "1.0.0", "aws.greengrass.SecretManager": site.manager}))[0] == "COMPLETED"


def test_an_expired_certificate(site, told, clock, tmp_path):
    """SEC-31, CR 9.6: the same key with a certificate whose time is over opens no line, registered or not; what runs goes on, and a good
    one brings the line back."""
    folder = site.core.config.parent
    pathlib.Path(clock["CLOCK_FILE"]).write_text(str(-400 * 86400))
    expired = tmp_path / "expired.pem"
    subprocess.run(["openssl", "req", "-x509", "-new", "-key", folder / "private.pem.key", "-days", "30", "-subj", "/CN=core", "-out", expired],
                   check=True, capture_output=True, timeout=PATIENCE, env=os.environ | clock)
    over = subprocess.run(["openssl", "x509", "-in", expired, "-noout", "-checkend", "0"], capture_output=True, timeout=PATIENCE)
    assert over.returncode == 1, "it is expired"
    iot = site.plane.client("iot")
    try:
        arn = iot.register_certificate_without_ca(certificatePem=expired.read_text(), status="ACTIVE")["certificateArn"]
        iot.attach_policy(policyName="MarramCorePolicy", target=arn)
        iot.attach_thing_principal(thingName=site.core.thing, principal=arn)
    except iot.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == "CertificateValidationException", error
    own = folder / "device.pem.crt"
    good = own.read_bytes()
    own.write_bytes(expired.read_bytes())
    try:
        site.core.kill()
        until("the core, which has no control plane", lambda: is_connected(site) is False)
        until("its component", lambda: lives(site))
        until("its complaint", lambda: "CertificateExpired" in site.core.tail())
        doctor = site.ask("doctor")
        assert doctor.returncode == 1 and "error: the core's certificate is over since " in doctor.stdout, doctor
        assert "does not take the certificate of this core (" in doctor.stdout, doctor
        told = site.ask("status").stdout
        assert re.search(r"^control plane: not connected yet, tried since \S+Z: \S+:\d+ does not take the certificate of this core\n  look in the "
                         r"control plane .+\n  meanwhile: components run, ", told, re.MULTILINE), told
        assert json.loads(site.ask("status", "--json").stdout)["outage"]["kind"] == "denied"
    finally:
        own.write_bytes(good)
    site.core.kill()
    until("the line", lambda: is_connected(site) is True)
    assert lives(site)


def test_a_revoked_certificate(site, told):
    """SEC-39, CR 9.6: the line is cut at once and no credentials are given; what runs goes on, and starts again with its core. One that is
    only set inactive comes back; a revoked one does not."""
    iot, gone = site.plane.client("iot"), lambda: is_connected(site) is False
    certificate = hashlib.sha256(ssl.PEM_cert_to_DER_cert((site.core.config.parent / "device.pem.crt").read_text())).hexdigest()
    assert site.end(site.deploy({VICTIM: "1.0.0", "aws.greengrass.SecretManager": site.manager}))[0] == "COMPLETED"
    until("the component", lambda: lives(site))
    iot.update_certificate(certificateId=certificate, newStatus="INACTIVE")
    until("the cut", gone)
    outage = until("the reason", lambda: (found := json.loads(site.ask("status", "--json").stdout)["outage"]) and found.get("kind") == "denied" and found)
    assert outage["wasConnected"] and "does not let this core in: not authorized" in outage["reason"], outage
    iot.update_certificate(certificateId=certificate, newStatus="ACTIVE")
    until("the line again", lambda: is_connected(site) is True)
    iot.update_certificate(certificateId=certificate, newStatus="REVOKED")
    until("the cut", gone)
    before = site.core.processes()
    assert VICTIM in dict(before.values())
    site.core.kill()
    until("the core, which has no control plane", gone)
    until("its component", lambda: lives(site))
    until("no credentials", lambda: "403" in "".join(line for line in site.core.tail().splitlines() if "credentials" in line))
    local = site.core.cli("deployment", "create", "-c", json.dumps({VICTIM: {"MERGE": {"hidden": "local"}}})).stdout.rsplit(maxsplit=1)[-1]
    until("a local deployment", lambda: "SUCCEEDED" in site.core.cli("deployment", "status", "-i", local).stdout)
