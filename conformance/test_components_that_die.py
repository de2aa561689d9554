"""CR 2.12, 4.9, 4.11, 7: what dies as soon as it came up does not make a deployment a success; both sides learn which script ended how."""
import os
import subprocess

import pytest

from edge_core import MARK, MARRAM, MARRAM_CORE, Site, recipe
from waiting import PATIENCE, until

NAME = "proof.Mortal"


class Mortal(Site):
    """Versions of one component."""

    versions = 0

    def begin(self, lifecycle):
        """Deploys a new version; answers it and the deployment."""
        self.versions += 1
        version = f"1.0.{self.versions}"
        marked = {"Setenv": {MARK: f"{self.core.root}|{NAME}|{version}"}, **lifecycle}
        self.gg.create_component_version(inlineRecipe=recipe(NAME, marked, version))
        return version, self.deploy({NAME: version})

    def installed(self, name=NAME):
        return super().installed(name)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Mortal(tmp_path_factory.mktemp("mortal"))
    yield site
    site.stop()


def fails(site, lifecycle, words):
    _, deployment = site.begin(lifecycle)
    status, told = site.end(deployment)
    assert (status, told["coreDeviceExecutionStatus"]) == ("FAILED", "FAILED"), told
    assert told["reason"].startswith(f"component {NAME} broke: ") and told["reason"].endswith(words), told
    assert told["statusDetails"]["errorStack"] == ["DEPLOYMENT_FAILURE", "COMPONENT_UPDATE_ERROR", "COMPONENT_BROKEN"], told
    # The core says the same of the same deployment.
    why = site.ask("why", deployment)
    assert why.returncode == 0 and words in why.stdout and "FAILED_ROLLBACK_COMPLETE" in why.stdout, why
    assert f"last deployment: {deployment} FAILED" in site.ask("status").stdout
    return deployment


def test_a_first_deployment_that_dies_is_taken_back(site):
    fails(site, {"run": "exit 3"}, "The run script exited with code 3.")
    until("the truth about nothing", lambda: site.installed() == [])


@pytest.mark.parametrize("lifecycle, words", [
    ({"run": "exit 3"}, "The run script exited with code 3."),
    ({"run": "sleep 0.05; exit 4"}, "The run script exited with code 4."),
    ({"run": "exec /no/such/program"}, "The run script exited with code 127."),
    ({"startup": "exit 5"}, "The startup script exited with code 5."),
    ({"install": "exit 7", "run": "exec sleep 86400"}, "The install script exited with code 7."),
    ({"install": {"Script": "exec sleep 86400", "Timeout": 1}, "run": "exec sleep 86400"}, "The install script did not end within 1 s."),
])
def test_the_good_version_comes_back(site, lifecycle, words):
    if not site.installed():
        version, deployment = site.begin({"run": "exec sleep 86400"})
        assert site.end(deployment)[0] == "COMPLETED"
        site.good = version
    fails(site, lifecycle, words)
    until("the good version", lambda: sorted(site.core.processes().values()) == [(NAME, site.good)])
    until("the truth about it", lambda: site.installed() == [(site.good, "RUNNING")])


def test_what_runs_without_end_or_not_at_all_is_up(site):
    """A process that ends with 0 is FINISHED, a `startup` that ended with 0 is up without a process, one that stays is up after a second."""
    for lifecycle, state in [({"run": "true"}, "FINISHED"), ({"startup": "true"}, "RUNNING"), ({"run": "exec sleep 86400"}, "RUNNING")]:
        version, deployment = site.begin(lifecycle)
        assert site.end(deployment)[0] == "COMPLETED"
        until("its state", lambda: site.installed() == [(version, state)])


def test_the_last_words_of_a_flood_are_kept(site):
    """CR 2.8: more output than the log takes is dropped and counted, but for the last lines before the component ends or falls silent."""
    log = lambda: "".join(file.read_text() for file in (site.core.root / "logs").glob(f"{NAME}*.log"))
    for end in ("exit 3", "exec sleep 86400"):
        version, deployment = site.begin({"run": f"sleep 2; seq 1 200000; echo the reason of {end}; {end}"})
        site.end(deployment)
        said = until("the last words", lambda: (now := log()) and f"stdout. the reason of {end}. " in now and now)
        assert " lines were dropped: the component writes too fast" in said
        assert "stdout. 199999. " in said


def test_an_operator_follows_a_deployment_of_the_control_plane(site):
    """`status` and `why` know it while it is under way: what it waits for, where it came from."""
    _, deployment = site.begin({"install": "until [ -e known ]; do sleep 0.1; done", "run": "exec sleep 86400"})
    waits = f"components to come up: {NAME} (NEW)"
    why = until("the wait", lambda: (now := site.ask("why").stdout) and waits in now and now)
    assert why.startswith(f"{deployment}: IN_PROGRESS") and "From: the control plane\n" in why, why
    status = site.ask("status").stdout
    assert "deployments under way: 1" in status and f"{deployment} IN_PROGRESS" in status and waits in status, status
    (site.core.root / "work" / NAME / "known").touch()
    assert site.end(deployment)[0] == "COMPLETED"
    assert site.ask("why").stdout.startswith(f"{deployment}: SUCCEEDED")
    assert site.ask("why", "no-such-deployment").returncode == 1


def test_a_deployment_is_taken_back_while_its_components_come_up(site):
    """CR 10.3 (1): a cancel does not wait for an `install` to end; what ran before runs again."""
    before = site.installed()
    version, deployment = site.begin({"install": {"Script": "exec sleep 86400", "Timeout": 86400}, "run": "exec sleep 86400"})
    until("the install", lambda: (NAME, version) in site.core.processes().values())
    site.gg.cancel_deployment(deploymentId=deployment)
    until("the cancel", lambda: site.ask("why", deployment).stdout.startswith(f"{deployment}: CANCELED"))
    until("the old state", lambda: site.installed() == before and (NAME, version) not in site.core.processes().values())
    assert site.gg.get_deployment(deploymentId=deployment)["deploymentStatus"] == "CANCELED"


def test_printing_to_nobody_is_silent(site):
    """A reader that has seen enough: no panic, and no exit code that looks like success."""
    root = ["--root", str(site.core.root)]
    greengrass = [str(site.core.root / "bin/greengrass-cli"), "--ggcRootPath", str(site.core.root)]
    for words in (
        [MARRAM_CORE, "status", *root], [MARRAM_CORE, "why", *root], [MARRAM_CORE, "doctor", *root],
        [*greengrass, "component", "list"], [MARRAM, "audit-log", "verify", "--data", str(site.plane.data)],
    ):
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
        os.close(write)
        assert (done.returncode, done.stderr) == (141, ""), (words, done)
    for words in ([MARRAM_CORE, "--help"], [MARRAM, "--help"]):
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
        os.close(write)
        assert done.stderr == "", (words, done)


def test_the_help_lists_every_command():
    shown = subprocess.run([MARRAM_CORE, "--help"], capture_output=True, text=True, timeout=PATIENCE).stdout
    listed = {line.split()[0] for line in shown.splitlines() if line.startswith("  ") and line.strip()}
    assert {"run", "install", "loader", "status", "logs", "config", "why", "doctor", "cli"} <= listed, shown
