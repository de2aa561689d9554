"""CR 4.8, 4.9, 4.13: a core stays manageable on a full disk, whatever fills it and whenever, and says that it is full.

The core's root is a small file system of its own. That takes the right to mount one: a run that is not root's repeats itself in a
namespace where it may.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import pytest

from edge_core import MARK, Site, recipe
from waiting import until

#: The folder with the small file system, when whoever started this run mounted it.
GIVEN = os.environ.get("MARRAM_SMALL_DISK")


def may_mount():
    """Root of a container may be root by name only."""
    with tempfile.TemporaryDirectory() as folder:
        made = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True).returncode == 0
        return made and subprocess.run(["umount", "-l", folder]).returncode == 0


MAY_MOUNT = bool(GIVEN) or may_mount()
SIZE = "size=60m,mode=755"
MEGABYTE = 1 << 20
#: Takes every byte that anybody gives back, for as long as it runs.
GREEDY = "for n in 1 2 3 4; do while :; do dd if=/dev/zero of=fill bs=64k oflag=append conv=notrunc 2>/dev/null; done & done; wait"
#: What the core keeps for itself, and what its own writes may take of that in one test.
RESERVE, SPENT = 8 * MEGABYTE, MEGABYTE
SMALL, HOG, GROUP = "full.Small", "full.Hog", "full-disks"


class Full(Site):
    """A core on a small disk with a component that does no harm."""

    versions = 0

    def __init__(self, folder):
        super().__init__(folder)
        self.root = self.core.root
        self.publish(SMALL, {"run": "exec sleep 86400"})
        assert self.end(self.deploy({SMALL: "1.0.0"}))[0] == "COMPLETED"
        until("the reserve", lambda: self.kept() == RESERVE)

    def publish(self, name, lifecycle, version="1.0.0"):
        marked = {"Setenv": {MARK: f"{self.root}|{name}|{version}"}, **lifecycle}
        self.gg.create_component_version(inlineRecipe=recipe(name, marked, version))

    def hog(self, lifecycle):
        """Another version of the component that fills the disk; answers what a deployment names."""
        self.versions += 1
        self.publish(HOG, lifecycle, f"1.0.{self.versions}")
        return {SMALL: "1.0.0", HOG: f"1.0.{self.versions}"}

    def running(self):
        return sorted(self.core.processes().values())

    def free(self):
        return shutil.disk_usage(self.root).free

    def kept(self):
        """Bytes of the reserve."""
        try:
            return sum(file.stat().st_size for file in (self.root / ".reserve").iterdir())
        except FileNotFoundError:
            return 0

    def is_full(self):
        return self.free() < MEGABYTE

    def health(self):
        return self.gg.get_core_device(coreDeviceThingName=self.core.thing)["status"]

    def own_reason(self):
        """What the core, which is one of its components, says is wrong with it."""
        shown = self.gg.list_installed_components(coreDeviceThingName=self.core.thing, topologyFilter="ALL")["installedComponents"]
        return [one["lifecycleStateDetails"] for one in shown
                if one["componentName"] == "aws.greengrass.Nucleus" and one["lifecycleState"] != "RUNNING"]

    def expect_sound(self):
        """As if nothing had happened."""
        until("the one process", lambda: {name for name, _ in self.running()} == {SMALL})
        until("room on the disk", lambda: self.free() > 30 * MEGABYTE)
        until("health", lambda: self.health() == "HEALTHY" and self.own_reason() == [])
        until("the whole reserve", lambda: self.kept() == RESERVE)
        doctor = self.ask("doctor")
        assert doctor.returncode == 0 and "error: " not in doctor.stdout, doctor

    def kill(self):
        """SIGKILL; another core is up when this returns."""
        starts = self.core.log_file.read_text(errors="replace").count('"ready":true')
        self.core.kill()
        until("another core", lambda: self.core.log_file.read_text(errors="replace").count('"ready":true') > starts, every=0.01)

    def lines(self, level):
        """How many lines of a level there are in the core's log."""
        return len(re.findall(rf" {level} ", self.core.log_file.read_text(errors="replace")))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    disk = pathlib.Path(GIVEN or tmp_path_factory.mktemp("full") / "core-0")
    if not GIVEN:
        disk.mkdir()
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", SIZE, "tmpfs", str(disk)], capture_output=True, text=True)
        assert made.returncode == 0, f"no small file system can be mounted, so nothing is proved: {made.stderr}"
    try:
        site = Full(disk.parent)
        yield site
        site.stop()
    finally:
        if not GIVEN:
            subprocess.run(["umount", "-l", str(disk)], check=True)


def expect_taken_back(site, deployment, place="work folder"):
    status, told = site.end(deployment)
    assert (status, told["coreDeviceExecutionStatus"]) == ("FAILED", "FAILED"), told
    assert told["statusDetails"]["errorStack"] == [
        "DEPLOYMENT_FAILURE", "COMPONENT_UPDATE_ERROR", "IO_ERROR", "DISK_SPACE_CRITICAL"], told
    assert told["statusDetails"]["errorTypes"] == ["DEVICE_ERROR"], told
    assert "the disk is full: " in told["reason"] and f"{HOG} ({place} " in told["reason"], told
    why = site.ask("why", deployment)
    assert "FAILED_ROLLBACK_COMPLETE" in why.stdout, why


# Most fill it in their `startup`: the component is not up before that is over, however long a slow machine takes. A `run` has a second.
@pytest.mark.parametrize("lifecycle", [
    {"startup": GREEDY},
    {"run": "dd if=/dev/zero of=fill bs=1M; exec sleep 86400"},
    {"install": f"timeout 100 sh -c '{GREEDY}'", "run": "exec sleep 86400"},
    {"startup": "dd if=/dev/zero of=fill bs=1M || exit 3"},
    {"startup": 'dd if=/dev/zero of="${TMPDIR:-/tmp}/fill" bs=1M count=200; exec sleep 86400'},
], ids=["greedy", "once", "install", "startup fails", "tmp"])
def test_what_fills_the_disk_during_its_activation_is_taken_back(site, lifecycle):
    before = site.running(), site.lines("WARN") + site.lines("ERROR")
    expect_taken_back(site, site.deploy(site.hog(lifecycle)), "/tmp" if "TMPDIR" in str(lifecycle) else "work folder")
    # Its folder was not there before, so nothing of anybody's is lost with it.
    until("the folder to be gone", lambda: not (site.root / "work" / HOG).exists())
    site.expect_sound()
    assert site.running() == before[0]
    assert site.lines("WARN") + site.lines("ERROR") - before[1] < 30, site.core.tail()
    assert site.end(site.deploy({SMALL: "1.0.0"}))[0] == "COMPLETED"


def test_a_deployment_of_a_group_is_taken_back_as_well(site):
    iot = site.plane.client("iot")
    group = iot.create_thing_group(thingGroupName=GROUP)["thingGroupArn"]
    iot.add_thing_to_thing_group(thingGroupName=GROUP, thingName=site.core.thing)
    components = {HOG: {"componentVersion": site.hog({"startup": GREEDY})[HOG]}}
    deployment = site.gg.create_deployment(targetArn=group, components=components)["deploymentId"]
    told = until("its end", lambda: (one := site.told(deployment)) and one["coreDeviceExecutionStatus"] == "FAILED" and one)
    assert told["statusDetails"]["errorStack"][-1] == "DISK_SPACE_CRITICAL", told
    site.expect_sound()
    iot.remove_thing_from_thing_group(thingGroupName=GROUP, thingName=site.core.thing)
    assert site.end(site.deploy({SMALL: "1.0.0"}))[0] == "COMPLETED"


@pytest.mark.parametrize("pause", [0, 0.3, 0.7])
def test_a_core_that_is_killed_while_a_deployment_fills_the_disk_takes_it_back(site, pause):
    deployment = site.deploy(site.hog({"startup": f"sleep {pause}; {GREEDY}"}))
    over = lambda: (told := site.told(deployment)) and told["coreDeviceExecutionStatus"] == "FAILED"
    until("the disk to be full", lambda: site.is_full() or over(), every=0.01)
    for _ in range(2):
        site.kill()
    expect_taken_back(site, deployment)
    until("the folder to be gone", lambda: not (site.root / "work" / HOG).exists())
    site.expect_sound()


def test_what_fills_the_disk_later_is_told_and_can_be_removed(site):
    assert site.end(site.deploy(site.hog({"run": f"until [ -e greed ]; do sleep 0.1; done; {GREEDY}"})))[0] == "COMPLETED"
    (site.root / "work" / HOG / "greed").touch()
    until("the disk to be full", site.is_full)
    lines = site.lines("WARN") + site.lines("ERROR")
    until("its state to be told", lambda: site.health() == "UNHEALTHY")
    [reason] = until("the reason", site.own_reason)
    assert reason.startswith("the disk is full: ") and f"most is held by {HOG} (work folder" in reason, reason

    def doctor():
        found = site.ask("doctor")
        assert found.returncode == 1, found
        assert f"error: the disk is full: {site.root} (tmpfs) has " in found.stdout, found
        assert f"most is held by {HOG} (work folder" in found.stdout, found
        assert str(site.root / "work" / HOG) in found.stdout, found
        return found.stdout

    assert f"deploy without {HOG}" in doctor()
    for _ in range(2):
        site.kill()
        assert site.is_full()
        doctor()
    until("a greedy component", lambda: HOG in {name for name, _ in site.running()})
    # Nobody gives it room, and it takes what it gets: still it can be removed.
    assert site.end(site.deploy({SMALL: "1.0.0"}))[0] == "COMPLETED"
    until("the one process", lambda: {name for name, _ in site.running()} == {SMALL})
    until("the list without it", lambda: site.installed(HOG) == [])
    assert site.kept() > RESERVE - SPENT, site.kept()
    # Its work folder outlives it: until somebody deletes it the disk is as full as before.
    assert site.is_full()
    until("its state to be told by the core that was started last", lambda: site.health() == "UNHEALTHY")
    assert f"deploy without {HOG}" not in doctor()
    # Local commands, too, are taken in.
    local = site.core.cli("deployment", "create", "--update-config", f'{{"{SMALL}":{{"MERGE":{{"asked":1}}}}}}')
    assert local.returncode == 0, local
    assert site.lines("WARN") + site.lines("ERROR") - lines < 60, site.core.tail()
    shutil.rmtree(site.root / "work" / HOG)
    site.expect_sound()


def test_a_new_version_that_fills_the_disk_goes_back_and_data_of_the_old_one_stay(site):
    old = site.hog({"run": "echo kept > data; exec sleep 86400"})
    assert site.end(site.deploy(old))[0] == "COMPLETED"
    expect_taken_back(site, site.deploy(site.hog({"startup": GREEDY})))
    until("the old version", lambda: (HOG, old[HOG]) in site.running())
    work = site.root / "work" / HOG
    assert (work / "data").read_text() == "kept\n" and site.is_full()
    until("its state to be told", lambda: site.health() == "UNHEALTHY")
    # A version that deletes what the other one wrote needs no room but the core's own, and nobody at the device.
    assert site.end(site.deploy(site.hog({"install": "rm fill", "run": "exec sleep 86400"})))[0] == "COMPLETED"
    assert (work / "data").read_text() == "kept\n" and not (work / "fill").exists()
    until("health", lambda: site.health() == "HEALTHY" and site.own_reason() == [])
    assert site.end(site.deploy({SMALL: "1.0.0"}))[0] == "COMPLETED"
    site.expect_sound()


def test_in_a_namespace_with_a_small_disk(tmp_path):
    """All of the above, for a run that is not root's."""
    disk = tmp_path / "core-0"
    disk.mkdir()
    own = f"--map-user={os.geteuid()} --map-group={os.getegid()}"
    script = f'mount -t tmpfs -o {SIZE} tmpfs "$1" && shift && exec unshare --user {own} "$@"'
    run = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(disk),
         sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__],
        env={**os.environ, "MARRAM_SMALL_DISK": str(disk)}, capture_output=True, text=True, timeout=3600)
    passed = re.search(r"(\d+) passed", run.stdout)
    assert run.returncode == 0 and passed and int(passed[1]) > 5, f"not root, and in a namespace of its own:\n{run.stdout[-8000:]}\n{run.stderr[-2000:]}"


for one in [one for name, one in globals().items() if name.startswith("test_")]:
    one.__test__ = MAY_MOUNT != (one is test_in_a_namespace_with_a_small_disk)
del one
