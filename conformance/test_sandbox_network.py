"""SEC-132, SEC-134, SEC-138, SEC-139: a component reaches the hosts that it declares and nothing else, with ordinary clients that
know nothing of it; what it is refused is counted, and leads to the declaration it lacks."""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

import botocore.exceptions
import pytest

from edge_core import MARRAM_CORE, Core, Plane
from waiting import PATIENCE, until

NOBODY = 65534
#: What a component of any user can run: the interpreter of the tests may lie in a private home.
PYTHON = {False: sys.executable, True: shutil.which("python3", path="/usr/bin:/bin")}
#: Told to components that only look at sockets.
LOOK = r"""
import json, os, socket, ssl, sys, time
T = json.loads(os.environ["TARGETS"])
def talk(host, port, wrap=None):
    try:
        with socket.create_connection((host, port), 60) as plain:
            plain.settimeout(60)
            if wrap:
                context = ssl._create_unverified_context()
                with context.wrap_socket(plain, server_hostname=wrap) as secured:
                    return "tls"
            plain.sendall(b"x")
            return "ok" if plain.recv(1) == b"x" else "closed"
    except OSError as error:
        return type(error).__name__
def shout(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        try:
            out.settimeout(60)
            out.connect((host, port))
            out.send(b"x")
            return "ok" if out.recv(1) else "closed"
        except OSError as error:
            return type(error).__name__
"""
HELD = LOOK + r"""
api = T["api"]
found = {
    "declared": talk("localhost", T["echo"]), "name": talk("press.plant.localhost", T["echo"]),
    "above the wildcard": talk("plant.localhost", T["echo"]), "unknown name": talk("tunnel.undeclared.example", 443),
    "other port": talk("localhost", T["other"]), "by address": talk("192.0.2.7", T["echo"]),
    "link": talk("169.254.169.254", 80), "datagram": shout("127.0.0.1", T["datagrams"]),
    "datagram out": shout("192.0.2.7", 53), "api in the clear": talk("localhost", api),
    "api for another": talk("localhost", api, "other.example"), "api": talk("localhost", api, "localhost"),
}
print("FOUND", json.dumps(found), flush=True)
time.sleep(86400)
"""
EXPECTED = {
    "declared": "ok", "name": "ok", "above the wildcard": "gaierror", "unknown name": "gaierror",
    "other port": "ConnectionRefusedError", "by address": "ConnectionResetError", "link": "ConnectionRefusedError",
    "datagram": "ConnectionRefusedError", "datagram out": "ConnectionRefusedError", "api in the clear": "ConnectionResetError",
    "api for another": "ConnectionResetError", "api": "tls",
}
#: An SDK and an MQTT client, as everybody writes them.
CLIENTS = r"""
import json, os, queue, time
import boto3
import paho.mqtt.client as mqtt
T = json.loads(os.environ["TARGETS"])
who = boto3.client("sts", endpoint_url=T["endpoint"], verify=T["ca"], region_name="us-east-1").get_caller_identity()["Arn"]
heard = queue.Queue()
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="inside")
client.tls_set(ca_certs=T["ca"], certfile=T["certificate"], keyfile=T["key"])
client.on_connect = lambda client, *_: client.subscribe("inside/1", 1)
client.on_subscribe = lambda client, *_: client.publish("inside/1", "hello", 1)
client.on_message = lambda client, data, message: heard.put(message.payload.decode())
client.connect("localhost", T["mqtt"])
client.loop_start()
print("FOUND", json.dumps([who, heard.get(timeout=60)]), flush=True)
time.sleep(86400)
"""
LEARNS = LOOK + r"""
while True:
    print("FOUND", json.dumps([talk("a.plant.localhost", T["echo"]), talk("b.plant.localhost", T["known"])]), flush=True)
    time.sleep(1)
"""


def serve(port=0, datagrams=False):
    """A server of the host that gives back what it gets; answers its port."""
    if datagrams:
        out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        out.bind(("127.0.0.1", 0))

        def answer():
            while True:
                data, whom = out.recvfrom(100)
                out.sendto(data, whom)
        threading.Thread(target=answer, daemon=True).start()
        return out.getsockname()[1]
    listener = socket.create_server(("127.0.0.1", port))

    def echo(near):
        with near:
            try:
                while data := near.recv(65536):
                    near.sendall(data)
            except OSError:
                pass

    def accept():
        while True:
            threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def free_known_port():
    """One of those that are open while a component is learned about."""
    for port in (44818, 4840, 9093, 9200, 27017, 5672, 8086, 4222):
        try:
            return serve(port)
        except OSError:
            continue
    raise AssertionError("every port that is open while learning is taken here")


class Site:
    """A control plane, a core, and what is deployed to it."""

    def __init__(self, folder, user):
        self.folder, self.user = folder, user
        self.plane = Plane(folder)
        self.core = Core(self.plane, folder, "held-core", user=user)
        self.gg, self.iot = self.plane.client("greengrassv2"), self.plane.client("iot")
        self.target = until("the thing", lambda: self.iot.describe_thing(thingName="held-core"))["thingArn"]
        self.python = PYTHON[user is not None]
        api, _, mqtt = self.plane.ports
        self.targets = {
            "api": api, "mqtt": mqtt, "echo": serve(), "other": serve(), "datagrams": serve(datagrams=True),
            "endpoint": self.plane.env["AWS_ENDPOINT_URL"], "ca": self.plane.env["AWS_CA_BUNDLE"],
        }
        self.deployed, self.versions = {}, 0

    def publish(self, name, script, sandbox, needs=(), **targets):
        """A new version of a component."""
        self.versions += 1
        version = f"1.0.{self.versions}"
        needed = {one: {"VersionRequirement": ">=0.0.0"} for one in needs}
        self.gg.create_component_version(inlineRecipe=json.dumps({
            "RecipeFormatVersion": "2020-01-25", "ComponentName": name, "ComponentVersion": version,
            "ComponentDependencies": needed,
            "ComponentConfiguration": {"DefaultConfiguration": {"marram": {"sandbox": sandbox}}},
            "Manifests": [{"Platform": {"os": "linux"}, "Lifecycle": {
                "Setenv": {"TARGETS": json.dumps(self.targets | targets)},
                "run": f"exec {self.python} -u - <<'END'\n{script}\nEND"}}]}))
        self.deployed[name] = {"componentVersion": version}

    def deploy(self, **updates):
        for name, update in updates.items():
            self.deployed[name.replace("_", ".")]["configurationUpdate"] = {"merge": update}
        made = self.gg.create_deployment(targetArn=self.target, components=self.deployed)["deploymentId"]
        core = lambda: self.gg.get_deployment(deploymentId=made)["deploymentStatus"]
        until("the end of the deployment", lambda: core() in ("COMPLETED", "FAILED"))
        return core()

    def log(self, name):
        path = self.core.root / "logs" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def found(self, name):
        """What the component told last."""
        told = [line.split("FOUND ", 1)[1] for line in self.log(name).splitlines() if "FOUND " in line]
        return json.JSONDecoder().raw_decode(told[-1])[0] if told else None

    def ask(self, *arguments):
        """A verb of `marram-core`, as the user of the core."""
        command = [MARRAM_CORE, *arguments, "--root", str(self.core.root)]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, user=self.user, group=self.user)

    def _of_processes(self, own, read):
        found, mark = set(), str(self.core.root / "ipc.socket").encode()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if not own or mark in pathlib.Path(f"/proc/{pid}/environ").read_bytes():
                    found.add(read(pid))
            except OSError:
                continue
        return found

    def namespaces(self, own=False):
        """Network namespaces of this host's processes, or of those of the core's components."""
        return self._of_processes(own, lambda pid: os.readlink(f"/proc/{pid}/ns/net"))

    def processes(self):
        """Processes of the core's components, each with the time of its start."""
        started = lambda pid: pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
        return self._of_processes(True, lambda pid: (pid, started(pid)))


@pytest.fixture(scope="module", params=[None, NOBODY] if os.geteuid() == 0 else [None], ids=lambda user: f"user-{user}")
def site(request):
    assert PYTHON[request.param is not None], "no Python that every user can run"
    # Outside of pytest's folder, which is its owner's alone.
    folder = pathlib.Path(tempfile.mkdtemp(prefix="marram-network-"))
    folder.chmod(0o755)
    site = Site(folder, request.param)
    findings = lambda: site.ask("doctor", "--json").stdout
    told = until("the doctor", lambda: "network namespaces" in findings() or "cannot be held" in findings())
    assert told
    if "cannot be held to them" in findings():
        site.core.stop()
        site.plane.stop()
        pytest.fail(f"no networks for components here: {findings()}")
    yield site
    assert site.core.stop() == 0
    site.plane.stop()
    shutil.rmtree(folder, ignore_errors=True)


def held(site):
    api = {"host": "localhost", "port": site.targets["api"], "tls": "required"}
    return [api, {"host": "localhost", "port": site.targets["echo"]}, {"host": "*.plant.localhost", "port": site.targets["echo"]}]


@pytest.mark.parametrize("profile", ["standard", "strict"])
def test_only_declared_hosts_are_reached(site, profile):
    """SEC-132: by name, wildcard and TLS; nothing else of the host or of the world."""
    name = f"net.Held.{profile}"
    site.publish(name, HELD, {"profile": profile, "egress": held(site)})
    assert site.deploy() == "COMPLETED", site.core.tail()
    found = until("the component's word", lambda: site.found(name))
    assert found == EXPECTED, site.log(name)
    # SEC-139: refusals are counted, and told in the component's log.
    seen = {(one["host"], one["port"]): one for one in json.loads(site.ask("sandbox", "learn", name, "--json").stdout)["seen"]}
    assert seen[("localhost", site.targets["other"])]["refused"] == 1
    assert seen[("tunnel.undeclared.example", None)]["reason"] == "the name is not declared"
    assert seen[("192.0.2.7", site.targets["echo"])]["refused"] == 1
    assert seen[("localhost", site.targets["api"])]["refused"] == 2 and seen[("localhost", site.targets["api"])]["tls"]
    assert seen[("192.0.2.7", 53)]["reason"] == "UDP is not forwarded"
    assert f"localhost:{site.targets['other']}: host and port are not declared" in site.log(name)


@pytest.mark.parametrize("site", [None], indirect=True, ids=["user-None"])
def test_ordinary_clients_work_inside(site, tmp_path):
    """SEC-134: an SDK gets its credentials in the component's own network and calls the API; an MQTT client speaks TLS.

    As the tests' own user: the clients may lie in a folder that others cannot enter.
    """
    made = site.iot.create_keys_and_certificate(setAsActive=True)
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
    site.iot.create_policy(policyName="inside", policyDocument=json.dumps(policy))
    site.iot.attach_policy(policyName="inside", target=made["certificateArn"])
    folder = site.folder / "identity"
    folder.mkdir()
    (folder / "certificate.pem").write_text(made["certificatePem"])
    (folder / "key.pem").write_text(made["keyPair"]["PrivateKey"])
    trust = folder / "ca.pem"
    trust.write_text(pathlib.Path(site.targets["ca"]).read_text())
    rules = [{"host": "localhost", "port": site.targets[one], "tls": "required"} for one in ("api", "mqtt")]
    rules += [{"host": "127.0.0.1", "port": site.targets["api"]}] if "//127.0.0.1" in site.targets["endpoint"] else []
    site.publish("net.Clients", CLIENTS, {"egress": rules, "read": [str(folder)]}, ["aws.greengrass.TokenExchangeService"],
                 ca=str(trust), certificate=str(folder / "certificate.pem"), key=str(folder / "key.pem"))
    assert site.deploy() == "COMPLETED", site.core.tail()
    who, heard = until("the clients' word", lambda: site.found("net.Clients"))
    assert "assumed-role/MarramCoreTokenExchange" in who and heard == "hello"


def test_what_a_component_needs_is_learned(site):
    """SEC-139: everything works or is noted, the proposal is printed, deployed by a person, and is enough."""
    known = free_known_port()
    site.publish("net.Learns", LEARNS, {"egress": "learn"}, known=known)
    assert site.deploy() == "COMPLETED", site.core.tail()
    # A port that nobody expects is refused, and told all the same.
    until("its first try", lambda: site.found("net.Learns") == ["ConnectionRefusedError", "ok"])
    assert "net.Learns reaches every host, to learn which it needs" in site.ask("doctor").stdout
    learned = until("the count", lambda: (lambda done: done if "a.plant.localhost" in done.stdout else None)(site.ask("sandbox", "learn", "net.Learns")))
    expected = [{"host": "a.plant.localhost", "port": site.targets["echo"]}, {"host": "b.plant.localhost", "port": known}]
    assert json.loads(learned.stdout) == {"marram": {"sandbox": {"egress": expected}}}
    assert site.deploy(net_Learns=learned.stdout) == "COMPLETED", site.core.tail()
    until("its work", lambda: site.found("net.Learns") == ["ok", "ok"])
    again = site.ask("sandbox", "learn", "net.Learns", "--json")
    assert json.loads(again.stdout)["network"] == "declared"


@pytest.mark.parametrize("site", [None], indirect=True, ids=["user-None"])
def test_a_declaration_that_cannot_be_read_goes_nowhere(site):
    """SEC-131: refused where it is created, and by the core where nobody looked before, with the place and what to do."""
    wrong = [{"host": "a.plant", "port": 53, "proto": "udp"}]
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        site.publish("net.Wrong", "pass", {"egress": wrong})
    told = {one["name"]: one["message"] for one in caught.value.response["fields"]}
    place = "ComponentConfiguration.DefaultConfiguration.marram.sandbox.egress[0].proto"
    assert "only tcp is" in told[place], told
    update = {"net.Held.standard": {"MERGE": {"marram": {"sandbox": {"egress": wrong}}}}}
    made = site.core.cli("deployment", "create", "--update-config", json.dumps(update))
    assert made.returncode == 0, made
    deployment = made.stdout.rsplit(maxsplit=1)[-1]
    status = until("the refusal", lambda: "FAILED" in (said := site.core.cli("deployment", "status", "-i", deployment).stdout) and said)
    assert "marram.sandbox.egress[0].proto: " in status, status
    assert site.found("net.Held.standard") == EXPECTED


def test_a_killed_core_leaves_no_namespace(site):
    """SEC-138: no helper is left, nothing holds a network without its component; the next core makes them anew."""
    name = "net.Held.standard"
    before, foreign = site.processes(), site.namespaces() - site.namespaces(own=True)
    assert site.namespaces(own=True) - {os.readlink("/proc/self/ns/net")}
    words = site.log(name).count("FOUND ")
    site.core.kill()
    until("the component of the next core", lambda: site.log(name).count("FOUND ") > words)
    assert site.found(name) == EXPECTED
    # The kernel gives numbers of namespaces anew: what counts is that nobody of before is left, and that each one now has its component.
    assert not before & site.processes()
    until("a component to each namespace", lambda: site.namespaces() - site.namespaces(own=True) <= foreign)
