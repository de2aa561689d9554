"""CP 6, CR 4.9, 4.10: kill -9 at a random instant of a deployment, of the core, of a component or of the control plane.

Each core must end where the deployment says (the new state, or the old one when the new one cannot work), the control plane
must tell the truth about it, and each component must have exactly its processes. `MARRAM_KILLS` sets the number of kills,
`MARRAM_SEED` replays a run as far as time allows.
"""
import json
import os
import pathlib
import random
import signal
import tempfile
import threading
import time
import uuid

import botocore.exceptions
import pytest

from edge_core import MARK, Core, Plane, until

CORES = int(os.environ.get("MARRAM_CORES", "5"))
KILLS = int(os.environ.get("MARRAM_KILLS", "20"))
SECONDS = 300
#: How long a kill may be after the deployment was asked for, at most.
WINDOW = 2.5
#: Two processes a component: its own and one that it started.
RUN = 'test "$(wc -c < {artifacts:path}/part.bin)" = 65536 || exit 9\nsleep 86401 &\nexec sleep 86400'
#: What a version does, and whether a deployment of it can succeed.
KINDS = {
    "plain": ({"run": RUN}, True),
    "slow": ({"install": "sleep 0.7", "startup": "sleep 0.4\nsleep 86401 &\nsleep 86400 &"}, True),
    "bootstrap": ({"bootstrap": "exit 100", "run": RUN}, True),
    "install fails": ({"install": "exit 7", "run": RUN}, False),
    "startup fails": ({"startup": "sleep 0.1; exit 5"}, False),
    "bootstrap fails": ({"bootstrap": "sleep 0.2; exit 3", "run": RUN}, False),
    "removed": (None, True),
}


class Site:
    """One core, what was deployed to it, and what it must therefore be."""

    def __init__(self, plane, folder, number, dice):
        self.thing, self.dice, self.number = f"core-{number}", random.Random(dice.random()), number
        # Every other core is nobody's, so that components are held without control groups too.
        nobody = 65534 if os.geteuid() == 0 and number % 2 else None
        self.core = Core(plane, folder, self.thing, user=nobody)
        self.gg = plane.client("greengrassv2")
        self.iot = plane.client("iot")
        # One component comes with the thing's own deployments (shadow), one with its group's (jobs).
        self.iot.create_thing_group(thingGroupName=f"group-{number}")
        self.iot.add_thing_to_thing_group(thingGroupName=f"group-{number}", thingName=self.thing)
        self.targets = {
            f"proof.Own{number}": self.iot.describe_thing(thingName=self.thing)["thingArn"],
            f"proof.Group{number}": self.iot.describe_thing_group(thingGroupName=f"group-{number}")["thingGroupArn"],
        }
        self.state, self.counter = {}, 0

    def publish(self):
        """Makes the version of the next deployment."""
        self.counter += 1
        self.name = self.dice.choice(sorted(self.targets))
        self.kind = self.dice.choice(sorted(KINDS))
        lifecycle, self.succeeds = KINDS[self.kind]
        self.version = f"1.0.{self.counter}"
        if lifecycle is None:
            return
        mark = f"{self.core.root}|{self.name}|{self.version}"
        self.gg.create_component_version(inlineRecipe=json.dumps({
            "RecipeFormatVersion": "2020-01-25", "ComponentName": self.name, "ComponentVersion": self.version,
            "Manifests": [{"Platform": {"os": "linux"}, "Lifecycle": {"Setenv": {MARK: mark}, **lifecycle},
                           "Artifacts": [{"Uri": "s3://proof-parts/part.bin"}]}]}))

    def deploy(self):
        """Asks until it is answered: the token makes it one deployment. Answers its id."""
        token = uuid.UUID(int=self.dice.getrandbits(128)).hex
        components = {} if KINDS[self.kind][0] is None else {self.name: {"componentVersion": self.version}}

        def ask():
            try:
                return self.gg.create_deployment(
                    targetArn=self.targets[self.name], components=components, clientToken=token)["deploymentId"]
            except botocore.exceptions.BotoCoreError:
                return None  # the control plane is being killed

        self.deployment = until("the deployment to be taken", ask, SECONDS)
        wanted = dict(self.state)
        wanted.pop(self.name, None)
        if components:
            wanted[self.name] = self.version
        if self.succeeds:
            self.state = wanted

    def effective(self):
        pages = self.gg.get_paginator("list_effective_deployments").paginate(coreDeviceThingName=self.thing)
        shown = (one for page in pages for one in page["effectiveDeployments"])
        return next((one for one in shown if one["deploymentId"] == self.deployment), {})

    def is_over(self):
        try:
            return self.effective().get("coreDeviceExecutionStatus") in ("SUCCEEDED", "COMPLETED", "FAILED", "REJECTED")
        except botocore.exceptions.BotoCoreError:
            return False

    def told(self):
        shown = self.gg.list_installed_components(coreDeviceThingName=self.thing, topologyFilter="ALL")["installedComponents"]
        ours = [one for one in shown if one["componentName"].startswith("proof.")]
        return {one["componentName"]: one["componentVersion"] for one in ours if one["lifecycleState"] == "RUNNING"}, len(ours)

    def running(self):
        processes = sorted(self.core.processes().values())
        return processes == sorted((name, version) for name, version in self.state.items() for _ in range(2))

    def check(self):
        """Everybody tells the same, and it is so."""
        what = f"{self.thing}: {self.kind} {self.name} {self.version} ({self.deployment}, killed: {self.victim} at {self.at:.2f} s)"
        try:
            until(f"{what}: its end", self.is_over, SECONDS)
            self.check_end(what)
        except AssertionError as error:
            raise AssertionError(f"{error}\nprocesses {self.core.processes()}\ntold {self.told()}\nlog {self.core.tail()}") from None

    def check_end(self, what):
        shown = self.effective()
        succeeded = shown["coreDeviceExecutionStatus"] in ("SUCCEEDED", "COMPLETED")
        assert succeeded == self.succeeds, (what, shown)
        status = self.gg.get_deployment(deploymentId=self.deployment)["deploymentStatus"]
        if ":thing/" in self.targets[self.name]:
            assert status == ("COMPLETED" if self.succeeds else "FAILED"), (what, status)
        else:
            # A group's deployment stays in force for things that join later.
            assert status in ("ACTIVE", "COMPLETED" if self.succeeds else "FAILED"), (what, status)
        if not self.succeeds:
            assert shown["statusDetails"]["errorStack"], (what, shown)
        until(f"{what}: processes of {self.state}", self.running)
        until(f"{what}: the truth about {self.state}", lambda: self.told() == (self.state, len(self.state)))
        until(f"{what}: health", lambda: self.gg.get_core_device(coreDeviceThingName=self.thing)["status"] == "HEALTHY")

    def kill(self, start):
        """Kills what the dice say at the instant they say."""
        time.sleep(max(0, start + self.at - time.monotonic()))
        if self.victim == "core":
            self.core.kill()
        elif self.victim == "core twice":
            self.core.kill()
            time.sleep(self.dice.uniform(0, 0.6))
            self.core.kill()
        elif self.victim == "component":
            for pid in self.dice.sample(sorted(found := self.core.processes()), min(1, len(found))):
                try:
                    # Its session's leader: what it started must go with it.
                    os.kill(os.getsid(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass


@pytest.fixture
def folder():
    """A temporary directory that others may enter."""
    with tempfile.TemporaryDirectory(prefix="kills-") as path:
        os.chmod(path, 0o755)
        yield pathlib.Path(path)


def test_deployments_survive_kills_at_random_instants(folder):
    seed = int(os.environ.get("MARRAM_SEED", random.randrange(1 << 30)))
    print(f"MARRAM_SEED={seed}")
    dice = random.Random(seed)
    plane = Plane(folder)
    s3 = plane.client("s3")
    s3.create_bucket(Bucket="proof-parts")
    s3.put_object(Bucket="proof-parts", Key="part.bin", Body=random.Random(seed).randbytes(65536))
    sites = [Site(plane, folder, number, dice) for number in range(min(CORES, KILLS))]
    kills = rounds = 0
    began = time.monotonic()
    try:
        for site in sites:
            until(f"{site.thing}'s first words", lambda: any(
                one["coreDeviceThingName"] == site.thing for one in site.gg.list_core_devices()["coreDevices"]))
        while kills < KILLS:
            rounds += 1
            for site in sites:
                site.publish()
                site.victim = site.dice.choice(["core", "core", "component", "core twice", "nobody"])
                site.at = site.dice.uniform(0, WINDOW)
            plane_at = dice.uniform(0, WINDOW) if dice.random() < 0.4 else None
            start = time.monotonic()
            threads = [threading.Thread(target=site.deploy) for site in sites]
            threads += [threading.Thread(target=site.kill, args=[start]) for site in sites]
            for thread in threads:
                thread.start()
            if plane_at is not None:
                time.sleep(plane_at)
                plane.kill()
                time.sleep(dice.uniform(0, 0.5))
                plane.start()
                kills += 1
            for thread in threads:
                thread.join()
            kills += sum({"nobody": 0, "core twice": 2}.get(site.victim, 1) for site in sites)
            for site in sites:
                site.check()
            print(f"round {rounds}: {kills} kills, {time.monotonic() - began:.0f} s", flush=True)
        for site in sites:
            assert site.core.stop() == 0, site.core.tail()
            assert site.core.processes() == {}, "a component outlived its core"
        assert plane.stop() == 0
        verified = plane.run("audit-log", "verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr
    finally:
        for site in sites:
            site.core.wanted = False
            site.core.kill()
        if plane.process.poll() is None:
            plane.kill()
