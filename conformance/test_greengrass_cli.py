"""CR 7.1: every command of `greengrass-cli` against a core: what it does, what it prints, how it fails.

Exit code 0 is success, 1 failure, 2 a command line that makes no sense; data is on standard output, words are on standard error.
"""
import json
import os
import queue
import re
import socket
import subprocess
import threading

import pytest
from awsiot.greengrasscoreipc import model

import driven
from debug_console import DebugConsole
from driven import SECONDS, Driven
from edge_core import Site
from lone import Lone
from waiting import free_port, until

ONE, TWO, LOCAL = "com.example.One", "com.example.Two", "com.example.Local"
CONSOLE = "aws.greengrass.LocalDebugConsole"
NONE = "com.example.None"
NO_DEPLOYMENT = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    made = Lone(tmp_path_factory.mktemp("cli"), {name: driven.EVERYTHING for name in (ONE, TWO)})
    yield made
    if made.process.poll() is None:
        made.close()


def good(core, *arguments):
    """What a command that succeeds prints."""
    done = core.cli(*arguments)
    assert (done.returncode, done.stderr) == (0, ""), (arguments, done)
    return done.stdout


def bad(core, code, words, *arguments):
    """A command that fails with this code and prints nothing but words, among them these."""
    done = core.cli(*arguments)
    assert (done.returncode, done.stdout) == (code, "") and words in done.stderr, (arguments, done)


class Listener:
    """A command that prints until it is interrupted; each line is waited for no longer than SECONDS."""

    def __init__(self, core, *arguments):
        command = [core.root / "bin/greengrass-cli", *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)

    def line(self):
        return self.lines.get(timeout=SECONDS)

    def end(self):
        """How it ended by itself: exit code and last words."""
        code = self.process.wait(SECONDS)
        return code, self.process.stderr.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(SECONDS)


def test_command_lines_that_make_no_sense(core):
    for arguments in (
        (), ("nothing",), ("component",), ("component", "details"), ("component", "restart"), ("component", "stop"),
        ("deployment", "status"), ("deployment", "cancel"), ("deployment", "create", "-m", "no-version"),
        ("deployment", "create", "-fp", "SOMETIMES"), ("deployment", "create", "-c", '{"a": {"merge": {}}}'),
        ("deployment", "create", "-c", '{"a":'), ("deployment", "create", "--systemLimits", "[]"),
        ("deployment", "create", "--runWith", "a:user=u"), ("deployment", "create", "--systemLimits", "{"),
        ("deployment", "list", "-i", "x"), ("get-debug-password", "x"), ("logs", "list-keywords", "-t", "x"), ("logs", "get", "-t", "yesterday-ish"), ("logs", "get", "-f", "("),
        ("logs", "get", "-m", "x"), ("iotcore", "pub"), ("iotcore", "pub", "-t", "a", "-q", "2"), ("iotcore", "sub"),
        ("pubsub", "pub"), ("pubsub", "sub"), ("component", "list", "--unknown"),
    ):
        done = core.cli(*arguments)
        assert (done.returncode, done.stdout) == (2, "") and done.stderr, (arguments, done)
    assert "deployment" in good(core, "--help") and re.search(r"\d+\.\d+\.\d+", good(core, "--version"))
    assert "restart" in good(core, "component", "--help")


def test_components(core):
    one, two = core.clients[ONE], core.clients[TWO]
    until("both", lambda: one.order("pid") and two.order("pid"))
    listed = good(core, "component", "list")
    assert {ONE, TWO, "aws.greengrass.Nucleus"} <= set(re.findall(r"^Component Name: (\S+)$", listed, re.MULTILINE))
    shown = good(core, "component", "details", "-n", ONE)
    assert re.search(rf"^Component Name: {ONE}\n    Version: 1.0.0\n    State: RUNNING\n    Configuration: {{.*\"rate\":1.*}}\n$", shown)
    bad(core, 1, "ResourceNotFoundError", "component", "details", "-n", NONE)
    before = one.order("pid"), two.order("pid")
    assert good(core, "component", "restart", "-n", f"{ONE},{TWO}") == f"{ONE}: SUCCEEDED\n{TWO}: SUCCEEDED\n"
    for client, old in zip((one, two), before):
        until("another process", lambda: not client.is_silent(SECONDS) and client.order("pid") != old)
    done = core.cli("component", "stop", "-n", f"{TWO},{NONE}")
    assert (done.returncode, done.stdout) == (1, f"{TWO}: SUCCEEDED\n") and f"{NONE}: ResourceNotFoundError" in done.stderr
    until("the end", lambda: "State: FINISHED" in good(core, "component", "details", "-n", TWO))
    bad(core, 1, "ResourceNotFoundError", "component", "restart", "-n", NONE)
    bad(core, 1, "part of the runtime", "component", "stop", "-n", "aws.greengrass.Nucleus")
    good(core, "component", "restart", "-n", TWO)
    until("the start", lambda: "State: RUNNING" in good(core, "component", "details", "-n", TWO))


def test_a_reader_may_have_seen_enough(core):
    """A closed pipe is the end, without a word; the code is the one a shell shows for it."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([core.root / "bin/greengrass-cli", "component", "list"], stdout=write, stderr=subprocess.PIPE, text=True, timeout=SECONDS)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_local_messages(core):
    """Those of other commands too, which are the same caller to the core."""
    with Listener(core, "pubsub", "sub", "-t", "cli/+") as heard:
        until("the subscription", lambda: core.ipc()["subscriptions"] == 1)
        good(core, "pubsub", "pub", "-t", "cli/a", "-m", '{"n": 1}')
        assert heard.line() == 'cli/a: {"n":1}\n'
        good(core, "pubsub", "pub", "--topic", "cli/b", "--message", "plain words")
        assert heard.line() == "cli/b: plain words\n"
        core.clients[ONE].publish_to_topic(topic="cli/c", publish_message=model.PublishMessage(
            binary_message=model.BinaryMessage(message=b"from a component")))
        assert heard.line() == "cli/c: from a component\n"
    until("its end", lambda: core.ipc()["subscriptions"] == 0)
    bad(core, 1, "InvalidArgumentsError", "pubsub", "pub", "-t", "cli/#", "-m", "x")
    bad(core, 1, "InvalidArgumentsError", "pubsub", "sub", "-t", "cli/#/x")


def test_cloud_messages(core):
    """This core has no control plane, and nothing is wrong with that: what need not arrive is refused, what must is kept."""
    asked = lambda *verb: subprocess.run([core.program, *verb, "--root", core.root], capture_output=True, text=True, timeout=SECONDS).stdout
    assert asked("status").startswith("control plane: not configured\n") and json.loads(asked("status", "--json"))["outage"] is None
    found = json.loads(asked("doctor", "--json"))["findings"]
    assert "no control plane is configured" in [one["finding"] for one in found if one["severity"] == "note"] and "the line to" not in str(found), found
    good(core, "iotcore", "pub", "-t", "cli/a", "-m", "x", "-q", "1")
    bad(core, 1, "ServiceError", "iotcore", "pub", "-t", "cli/a", "-m", "x")
    bad(core, 1, "InvalidArgumentsError", "iotcore", "pub", "-t", "cli/#", "-m", "x", "-q", "1")
    bad(core, 1, "InvalidArgumentsError", "iotcore", "sub", "-t", "cli/#/x")


def test_messages_of_a_control_plane(tmp_path):
    """The other side of the test above."""
    site = Site(tmp_path)
    try:
        own = f"{site.core.thing}/cli"
        with Listener(site.core, "iotcore", "sub", "-t", f"{own}/+", "-q", "1") as heard:
            site.plane.client("iot-data").publish(topic=f"{own}/first", qos=1, payload=b"probe")
            published = []

            def arrives():
                # Whether the subscription stands is known by what arrives.
                published.append(site.core.cli("iotcore", "pub", "-t", f"{own}/a", "-m", "from the core", "-q", "1").returncode)
                return not heard.lines.empty()

            until("a message", arrives, every=0.5)
            lines = {heard.line()}
            while f"{own}/a: from the core\n" not in lines:
                lines.add(heard.line())
            assert set(published) == {0} and lines <= {f"{own}/a: from the core\n", f"{own}/first: probe\n"}, lines
    finally:
        site.stop()


def test_logs(core, tmp_path):
    until("a log", lambda: ONE in good(core, "logs", "list-log-files"))
    files = good(core, "logs", "list-log-files").splitlines()
    assert files == sorted(files) and str(core.root / "logs" / f"{ONE}.log") in files
    bad(core, 1, "no-such-folder", "logs", "list-log-files", "-ld", tmp_path / "no-such-folder")
    bad(core, 1, "no-such-folder", "logs", "get", "-ld", tmp_path / "no-such-folder")
    bad(core, 1, "none.log", "logs", "get", "-lf", tmp_path / "none.log")
    words = lambda *arguments: good(core, "logs", "get", "-lf", core.root / "logs" / f"{ONE}.log", *arguments).splitlines()
    ready = words("-f", "driver ready")
    assert ready and all("driver ready" in line for line in ready)
    assert words("-f", "driver\\s+re.dy") == ready and words("-f", f"serviceName={ONE},nothing", "-f", "driver ready") == ready
    assert words("-f", f"serviceName={TWO}") == [] and words("-m", "1", "-f", "driver ready") == ready[:1]
    assert len(words("-m", "1", "-f", "driver ready", "-b", "1")) == 2
    all_lines = words()
    behind = all_lines[all_lines.index(ready[0]):][:2]
    assert words("-m", "1", "-f", "driver ready", "-a", "1") == behind and words("-nc", "-f", "driver ready") == ready
    assert any("driver ready" in line for line in words("-v", "-f", "driver ready"))
    folder = good(core, "logs", "get", "-ld", core.root / "logs", "-f", "driver ready").splitlines()
    assert set(ready) < set(folder), "those of both components"
    assert words("-t", "1h,", "-f", "driver ready") == ready and words("-t", ",1h", "-f", "driver ready") == []
    assert "level" in good(core, "logs", "list-keywords").split() and "priority" in good(core, "logs", "list-keywords", "-s").split()
    system = tmp_path / "syslog"
    system.write_text("<34>Oct 11 22:14:15 core su: failed\nOct 11 22:14:16 core sshd[9]: in\nno line of a system log\n")
    found = lambda *arguments: good(core, "logs", "get", "-s", "-lf", system, *arguments).splitlines()
    assert len(found()) == 2 and found("-f", "logger=sshd") == ["Oct 11 22:14:16 core sshd[9]: in"]
    assert found("-f", "priority=34") == ["<34>Oct 11 22:14:15 core su: failed"]
    with Listener(core, "logs", "get", "-lf", str(system), "-s", "-f", "later", "-fol", "-m", "1") as followed:
        with open(system, "a") as file:
            file.write("Oct 11 22:14:17 core su: later\n")
        assert followed.line() == "Oct 11 22:14:17 core su: later\n" and followed.end() == (0, "")


def created(core, *arguments):
    """The id of a deployment made here."""
    return re.fullmatch(r"Local deployment submitted! Deployment Id: (\S+)\n", good(core, "deployment", "create", *arguments))[1]


def ended(core, deployment):
    """How it ended: the status, and all that is said of it."""
    text = until("the end", lambda: None if re.search(": (QUEUED|IN_PROGRESS)$", told := good(core, "deployment", "status", "-i", deployment),
                                                      re.MULTILINE) else told)
    return re.match(rf"{deployment}: (\w+)\n", text)[1], text


def test_deployments(core, tmp_path):
    """The last of those that need the components of before: a local deployment is the whole of what a lone core runs."""
    recipes, artifacts = tmp_path / "recipes", tmp_path / "artifacts" / LOCAL / "1.0.0"
    for made in (recipes, artifacts):
        made.mkdir(parents=True)
    (artifacts / driven.DRIVER.name).write_bytes(driven.DRIVER.read_bytes())
    rights = {"accessControl": driven.EVERYTHING, "rate": 1}
    (recipes / "recipe.json").write_text(driven.recipe(LOCAL, "1.0.0", f"s3://nowhere/{driven.DRIVER.name}", rights))
    folders = ("-r", recipes, "-a", tmp_path / "artifacts")
    (tmp_path / "update.json").write_text(json.dumps({LOCAL: {"MERGE": {"rate": 2}}}))
    limits = json.dumps({LOCAL: {"cpus": 0.5, "memory": 1 << 20}})
    made = created(core, "-m", f"{LOCAL}=1.0.0", *folders, "-c", tmp_path / "update.json", "--systemLimits", limits,
                   "--runWith", f"{LOCAL}:posixUser={os.geteuid()}:{os.getegid()}", "-fp", "ROLLBACK")
    assert ended(core, made)[0] == "SUCCEEDED"
    assert '"rate":2' in good(core, "component", "details", "-n", LOCAL)
    bad(core, 1, "ResourceNotFoundError", "component", "details", "-n", ONE)
    assert ended(core, created(core, "--update-config", json.dumps({LOCAL: {"RESET": ["/rate"]}})))[0] == "SUCCEEDED"
    assert '"rate":1' in good(core, "component", "details", "-n", LOCAL)
    # One that asks the component for its verdict holds the next one up.
    local = Driven(core.root, LOCAL, core.operator.count)
    _, asked = local.subscribe("subscribe_to_validate_configuration_updates")
    configure = lambda rate: created(core, "-c", json.dumps({LOCAL: {"MERGE": {"rate": rate}}}))
    first = configure(3)
    assert asked.take()["validate_configuration_update_event"]["deployment_id"] == first
    second = configure(4)
    assert f"{second}: QUEUED\n" in good(core, "deployment", "list")
    assert good(core, "deployment", "cancel", "-i", second).strip()
    report = model.ConfigurationValidityReport(status="ACCEPTED", deployment_id=first)
    local.send_configuration_validity_report(configuration_validity_report=report)
    assert (ended(core, first)[0], ended(core, second)[0]) == ("SUCCEEDED", "CANCELED")
    assert f"{first}: SUCCEEDED\n" in good(core, "deployment", "list")
    status, told = ended(core, created(core, "-m", f"{NONE}=1.0.0"))
    assert status == "FAILED" and "Detailed Status: FAILED_NO_STATE_CHANGE" in told and f"Failure Cause: {NONE}" in told
    bad(core, 1, "ServiceError", "deployment", "cancel", "-i", first)
    for verb in ("status", "cancel"):
        bad(core, 1, "ResourceNotFoundError", "deployment", verb, "-i", NO_DEPLOYMENT)
        bad(core, 1, "InvalidArgumentsError", "deployment", verb, "-i", "none")
    bad(core, 1, "InvalidRecipeDirectoryPathError", "deployment", "create", "-r", tmp_path / "none")
    bad(core, 1, "InvalidArtifactsDirectoryPathError", "deployment", "create", "-a", tmp_path / "none")
    bad(core, 1, "InvalidArgumentsError", "deployment", "create", "-m", "a=latest")
    bad(core, 1, "none.json", "deployment", "create", "-c", tmp_path / "none.json")


def test_the_debug_console(core):
    bad(core, 1, "ServiceError", "get-debug-password")
    console = DebugConsole(free_port())
    configuration = json.dumps({CONSOLE: {"MERGE": {"port": str(console.port)}}})
    assert ended(core, created(core, "-m", f"{CONSOLE}=2.4.8", "-c", configuration))[0] == "SUCCEEDED"
    told = dict(line.split(": ", 1) for line in good(core, "get-debug-password").splitlines())
    assert told["Username"] == "debug" and (told["SHA-256"], told["SHA-1"]) == console.fingerprints()
    assert console.states(told["Password"])[LOCAL] == "RUNNING"
    # A process that opens one connection after the other, and says nothing on any, keeps nobody out.
    crowd = [socket.create_connection(("127.0.0.1", console.port)) for _ in range(200)]
    assert console.states(told["Password"])[LOCAL] == "RUNNING"
    for line in crowd:
        line.close()
    assert ended(core, created(core, "--remove", f"{CONSOLE},{LOCAL}"))[0] == "SUCCEEDED"
    assert console.is_closed()
    bad(core, 1, "ServiceError", "get-debug-password")
    bad(core, 1, "ResourceNotFoundError", "component", "details", "-n", LOCAL)


def test_without_a_core(core):
    """Whoever listens hears that it is over; whoever comes later is told that nobody is there."""
    with Listener(core, "pubsub", "sub", "-t", "a") as heard:
        until("the subscription", lambda: core.ipc()["subscriptions"] == 1)
        core.close()
        code, told = heard.end()
        assert code == 1 and "the connection to the core broke" in told
    bad(core, 1, "cannot reach the core", "component", "list")
    bad(core, 1, "no token for this user", "--ggcRootPath", core.folder / "none", "component", "list")
    assert ONE in good(core, "logs", "list-log-files")
