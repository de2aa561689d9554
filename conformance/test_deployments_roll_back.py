"""CR 4.8, 4.9, 4.11: a disk that is full and artifacts that are broken end a deployment in the old state, and the control plane is told why.

A disk is made full by a limit on the size of files: it needs no rights, can be lifted again, and refuses at any write.
"""
import io
import json
import os
import random
import resource
import time
import zipfile

import pytest

from edge_core import MARK, Core, Plane, until

NAME, BUCKET = "proof.Kept", "proof-files"
MEGABYTE = 1 << 20
#: Above the core's own files, below the large artifact.
LIMIT = 8 * MEGABYTE


class Site:
    def __init__(self, folder):
        self.plane = Plane(folder)
        self.core = Core(self.plane, folder, "core-0")
        self.s3, self.gg = self.plane.client("s3"), self.plane.client("greengrassv2")
        self.target = self.plane.client("iot").describe_thing(thingName=self.core.thing)["thingArn"]
        self.s3.create_bucket(Bucket=BUCKET)
        self.versions = 0
        until("the core's first words", lambda: self.gg.list_core_devices()["coreDevices"])

    def limit_files(self, size):
        """`None` lifts the limit."""
        hard = resource.prlimit(self.core.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self.core.process.pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))

    def publish(self, artifact=None, **more):
        """A version with one artifact; answers it and the artifact's key."""
        self.versions += 1
        version, key = f"1.0.{self.versions}", f"part-{self.versions}"
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=artifact if artifact is not None else b"part")
        self.gg.create_component_version(inlineRecipe=json.dumps({
            "RecipeFormatVersion": "2020-01-25", "ComponentName": NAME, "ComponentVersion": version,
            "Manifests": [{"Platform": {"os": "linux"},
                           "Lifecycle": {"Setenv": {MARK: f"{self.core.root}|{NAME}|{version}"}, "run": "exec sleep 86400"},
                           "Artifacts": [{"Uri": f"s3://{BUCKET}/{key}", **more}]}]}))
        return version, key

    def begin(self, version):
        return self.gg.create_deployment(
            targetArn=self.target, components={NAME: {"componentVersion": version}})["deploymentId"]

    def end(self, deployment):
        """How it ended: status and error codes."""
        over = lambda: self.gg.get_deployment(deploymentId=deployment)["deploymentStatus"]
        status = until("the end of the deployment", lambda: over() != "ACTIVE" and over())
        pages = self.gg.get_paginator("list_effective_deployments").paginate(coreDeviceThingName=self.core.thing)
        told = next(one for page in pages for one in page["effectiveDeployments"] if one["deploymentId"] == deployment)
        return status, told.get("statusDetails", {}).get("errorStack", [])

    def running(self):
        return sorted(version for _, version in self.core.processes().values())

    def told(self):
        shown = self.gg.list_installed_components(coreDeviceThingName=self.core.thing, topologyFilter="ALL")["installedComponents"]
        return [one["componentVersion"] for one in shown if one["componentName"] == NAME and one["lifecycleState"] == "RUNNING"]

    def expect(self, version):
        until(f"one process of {version}", lambda: self.running() == [version])
        until(f"the truth about {version}", lambda: self.told() == [version])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("rollback"))
    version, _ = site.publish()
    assert site.end(site.begin(version)) == ("COMPLETED", [])
    site.kept = version
    site.expect(version)
    yield site
    assert site.core.stop() == 0, site.core.tail()
    assert site.plane.stop() == 0


def broken_archive():
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("main.py", "print('whole')" * 1000)
    return whole.getvalue()[:-60]


def test_a_broken_archive(site):
    version, _ = site.publish(broken_archive(), Unarchive="ZIP")
    status, codes = site.end(site.begin(version))
    assert status == "FAILED" and "IO_UNZIP_ERROR" in codes, codes
    site.expect(site.kept)


def test_a_vanished_artifact(site):
    """The version took its artifacts in when it was made: what happens to the bucket later does not reach a core."""
    version, key = site.publish()
    site.s3.delete_object(Bucket=BUCKET, Key=key)
    assert site.end(site.begin(version)) == ("COMPLETED", [])
    site.expect(version)
    site.kept = version


def test_a_disk_too_small_for_the_artifact(site):
    version, _ = site.publish(os.urandom(LIMIT + MEGABYTE))
    site.limit_files(LIMIT)
    try:
        status, codes = site.end(site.begin(version))
    finally:
        site.limit_files(None)
    assert status == "FAILED" and "IO_WRITE_ERROR" in codes, codes
    site.expect(site.kept)
    # With room it is installed: nothing of the failed try is in the way.
    assert site.end(site.begin(version)) == ("COMPLETED", [])
    site.expect(version)
    site.kept = version


def test_a_disk_that_fills_at_any_instant(site):
    """No write at all for a while, begun at a random instant: the new state or the old one, and the truth about it."""
    seed = int(os.environ.get("MARRAM_SEED", random.randrange(1 << 30)))
    print(f"MARRAM_SEED={seed}")
    dice = random.Random(seed)
    for _ in range(int(os.environ.get("MARRAM_FULL_DISKS", "4"))):
        version, _ = site.publish()
        deployment = site.begin(version)
        time.sleep(dice.uniform(0, 0.8))
        site.limit_files(0)
        time.sleep(dice.uniform(0.1, 1.5))
        site.limit_files(None)
        status, codes = site.end(deployment)
        assert (status == "FAILED") == bool(codes), (status, codes)
        site.kept = version if status == "COMPLETED" else site.kept
        site.expect(site.kept)
