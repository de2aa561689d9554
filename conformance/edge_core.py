"""A control plane and cores as processes of their own, started, killed and looked at from outside."""
import json
import os
import pathlib
import signal
import subprocess
import threading
import time

import boto3
from botocore.config import Config

from waiting import LOGS, PATIENCE, free_port, until

ROOT = pathlib.Path(__file__).parent.parent
MARRAM = os.environ.get("MARRAM_BIN", str(ROOT / "target/debug/marram"))
MARRAM_CORE = os.environ.get("MARRAM_CORE_BIN", str(ROOT / "target/debug/marram-core"))
STOP_SECONDS = 120
#: Environment variable that tells a component's processes from all others: ROOT|component|version.
MARK = "PROOF_MARK"


def recipe(name, lifecycle, version="1.0.0", **more):
    """A recipe for this platform, as JSON; `manifest` and all others are further members."""
    manifest = {"Platform": {"os": "linux"}, "Lifecycle": lifecycle, **more.pop("manifest", {})}
    return json.dumps({"RecipeFormatVersion": "2020-01-25", "ComponentName": name, "ComponentVersion": version, "Manifests": [manifest], **more})


class Plane:
    """`marram up` without core and demo, on ports that stay the same across restarts."""

    def __init__(self, folder, ports=None):
        """`ports`: of API, device API and MQTT, where a client takes no others than its own."""
        self.data = folder / "data"
        self.log = open(folder / "marram.log", "ab")
        LOGS["the control plane"] = folder / "marram.log"
        self.ports = ports or [free_port() for _ in range(3)]
        self.process = None
        self.start()
        self.env = json.loads((self.data / "env.json").read_text())

    def start(self):
        flags = [f"--{name}=127.0.0.1:{port}" for name, port in zip(("api", "device-api", "mqtt"), self.ports)]
        self.process = subprocess.Popen(
            [MARRAM, "up", "--data", str(self.data), "--no-core", "--no-demo", "--no-view", *flags],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        assert line, f"marram ended with {self.process.wait()}"
        return json.loads(line)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def client(self, service):
        return boto3.client(
            service, endpoint_url=self.env["AWS_ENDPOINT_URL"], verify=self.env["AWS_CA_BUNDLE"],
            region_name=self.env["AWS_DEFAULT_REGION"], aws_access_key_id=self.env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.env["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"max_attempts": 1}, connect_timeout=60, read_timeout=60, max_pool_connections=20))

    def run(self, *arguments):
        return subprocess.run([MARRAM, *arguments, "--data", str(self.data)], capture_output=True, text=True, timeout=PATIENCE)


class Core:
    """`marram-core run`, started again whenever it ends, as an init system does it."""

    def __init__(self, plane, folder, thing, configuration="", user=None):
        """`user`: a number to run as, for a test that is root; such a core has no control groups."""
        self.thing, self.root, self.user = thing, folder / thing, user
        credentials = folder / f"{thing}-credentials"
        made = plane.run("core", "provision", "--thing", thing, "--out", str(credentials))
        assert made.returncode == 0, made.stderr
        self.config = credentials / "config.yaml"
        if os.geteuid() == 0 and user is None:
            # A temporary directory is its owner's alone: other users could not enter a component's folder.
            configuration = f'      runWithDefault:\n        posixUser: "0:0"\n{configuration}'
        with open(self.config, "a") as file:
            file.write(configuration)
        if user is not None:
            self.root.mkdir()
            for path in (self.root, credentials, *credentials.iterdir()):
                os.chown(path, user, user)
        self.log_file = folder / f"{thing}.log"
        self.log = open(self.log_file, "ab")
        self.process, self.exits = None, []
        self.lock = threading.Lock()
        self.start()

    def start(self):
        """Again, after `stop`."""
        LOGS[self.thing] = self.log_file
        self.wanted = True
        self.keeper = threading.Thread(target=self._keep, daemon=True)
        self.keeper.start()

    def _keep(self):
        while self.wanted:
            process = subprocess.Popen(
                [MARRAM_CORE, "run", "--root", str(self.root), "--init-config", str(self.config)],
                stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, user=self.user, group=self.user)
            with self.lock:
                self.process = process
            self.exits.append(process.wait())
            time.sleep(0.05)

    def kill(self):
        """SIGKILL; the keeper starts it again."""
        with self.lock:
            if self.process and self.process.poll() is None:
                self.process.kill()

    def stop(self):
        """In order. Answers the exit code."""
        LOGS.pop(self.thing, None)
        self.wanted = False
        with self.lock:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
        self.keeper.join(STOP_SECONDS)
        assert not self.keeper.is_alive(), "the core does not stop"
        return self.exits[-1]

    def cli(self, *arguments):
        """`greengrass-cli` of this core."""
        return subprocess.run([str(self.root / "bin/greengrass-cli"), "--ggcRootPath", str(self.root), *arguments],
                              capture_output=True, text=True, timeout=PATIENCE)

    def processes(self):
        """Processes of components that bear a mark: {pid: (component, version)}."""
        wanted, found = f"{MARK}={self.root}|".encode(), {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                alive = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
            except OSError:
                continue
            marks = [one for one in environment if one.startswith(wanted)]
            if marks and alive:
                found[int(pid)] = tuple(marks[0][len(wanted):].decode().split("|"))
        return found

    def tail(self):
        return self.log_file.read_text(errors="replace")[-12000:]


class Site:
    """A control plane with one core that has told of itself."""

    def __init__(self, folder, configuration=""):
        self.folder, self.plane = folder, Plane(folder)
        self.core = Core(self.plane, folder, "core-0", configuration)
        self.gg = self.plane.client("greengrassv2")
        self.target = self.plane.client("iot").describe_thing(thingName=self.core.thing)["thingArn"]
        until("the core's first words", lambda: self.gg.list_core_devices()["coreDevices"])

    def deploy(self, components):
        """Components by name, each a version or an entry of `CreateDeployment`; answers the deployment."""
        wanted = {name: {"componentVersion": one} if isinstance(one, str) else one for name, one in components.items()}
        return self.gg.create_deployment(targetArn=self.target, components=wanted)["deploymentId"]

    def told(self, deployment):
        """What the core last said of a deployment; none if it said nothing."""
        shown = self.gg.list_effective_deployments(coreDeviceThingName=self.core.thing)["effectiveDeployments"]
        return next((one for one in shown if one["deploymentId"] == deployment), None)

    def end(self, deployment):
        """Waits for it; answers its status and the core's last words."""
        over = lambda: self.gg.get_deployment(deploymentId=deployment)["deploymentStatus"]
        return until("the end of the deployment", lambda: over() != "ACTIVE" and over()), self.told(deployment)

    def installed(self, name):
        """Versions and states of a component, as the control plane knows them."""
        shown = self.gg.list_installed_components(coreDeviceThingName=self.core.thing, topologyFilter="ALL")["installedComponents"]
        return [(one["componentVersion"], one["lifecycleState"]) for one in shown if one["componentName"] == name]

    def ask(self, *verb):
        """A verb of `marram-core` to the running core."""
        return subprocess.run([MARRAM_CORE, *verb, "--root", str(self.core.root)], capture_output=True, text=True, timeout=PATIENCE)

    def stop(self):
        assert self.core.stop() == 0
        assert self.plane.stop() == 0
