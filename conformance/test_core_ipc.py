"""CR 6, 7.2: a component of a real core speaks IPC with the unmodified client; its token is worth nothing outside of it."""
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import pytest
from awsiot import eventstreamrpc, greengrasscoreipc

ROOT = pathlib.Path(__file__).parent.parent
SECONDS = 60
NAME = "com.example.Echo"
#: Reads its configuration, hears its own message, tells its token, and stays.
SCRIPT = """
import os, queue, time
from awsiot.greengrasscoreipc import clientv2, model
client = clientv2.GreengrassCoreIPCClientV2()
heard = queue.Queue()
client.subscribe_to_topic(topic="echo/1", on_stream_event=heard.put)
rate = client.get_configuration(key_path=["rate"]).value["rate"]
message = model.PublishMessage(json_message=model.JsonMessage(message={"rate": rate}))
client.publish_to_topic(topic="echo/1", publish_message=message)
event = heard.get(timeout=60).json_message
try:
    client.publish_to_topic(topic="other", publish_message=message)
except model.UnauthorizedError:
    print("heard", event.message, event.context.topic, "token", os.environ["SVCUID"], flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    """A core with one component: its process, its root."""
    folder = tmp_path_factory.mktemp("real-core")
    folder.chmod(0o755)
    program = os.environ.get("MARRAM_CORE_BIN", str(ROOT / "target/debug/marram-core"))
    policy = {"echo": {"operations": ["*"], "resources": ["echo/*"]}}
    component = {
        "componentType": "GENERIC",
        "version": "1.0.0",
        "dependencies": [],
        "configuration": {"rate": 7, "accessControl": {"aws.greengrass.ipc.pubsub": policy}},
        "lifecycle": {"run": {"Script": f"exec {sys.executable} - <<'END'\n{SCRIPT}\nEND"}},
    }
    services = {NAME: component, "main": {"dependencies": [f"{NAME}:HARD"]}}
    if os.geteuid() == 0:
        services["aws.greengrass.Nucleus"] = {"configuration": {"runWithDefault": {"posixUser": "root"}}}
    (folder / "init.yaml").write_text(json.dumps({"services": services}))
    command = [program, "run", "--root", str(folder / "root"), "--init-config", str(folder / "init.yaml")]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    ready = json.loads(process.stdout.readline())
    yield pathlib.Path(ready["root"]), ready["ipcSocket"]
    process.terminate()
    assert process.wait(SECONDS) == 0, "the core did not end cleanly"
    assert not pathlib.Path(ready["ipcSocket"]).exists()


@pytest.fixture(scope="module")
def heard(core):
    """What the component told in its log: message, topic, token."""
    log = core[0] / "logs" / f"{NAME}.log"
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        text = log.read_text() if log.exists() else ""
        found = re.search(r"heard (\{.*?\}) (\S+) token ([\w-]+)", text)
        if found:
            return found.groups()
        time.sleep(0.05)
    raise AssertionError(f"the component said nothing: {text}")


def test_a_component_speaks_ipc(heard):
    assert heard[:2] == ("{'rate': 7}", "echo/1")


def test_its_token_is_refused_to_another_process(core, heard):
    """SEC-133: token and process must both fit."""
    with pytest.raises(eventstreamrpc.AccessDeniedError):
        greengrasscoreipc.connect(ipc_socket=core[1], authtoken=heard[2], timeout=SECONDS)


def test_the_operator_sees_it(core, heard):
    def command(*arguments):
        link = core[0] / "bin" / "greengrass-cli"
        return subprocess.run([link, *arguments], capture_output=True, text=True, timeout=SECONDS)

    details = command("component", "details", "-n", NAME)
    assert (details.returncode, "State: RUNNING" in details.stdout) == (0, True)
    assert command("component", "details", "-n", "none").returncode == 1


def test_the_core_explains_a_setting(core, heard):
    """A value comes with its time and its origin."""
    program = (core[0] / "bin" / "greengrass-cli").resolve()
    command = [program, "config", "explain", f"{NAME}/rate", "--json", "--root", core[0]]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True).stdout)
    assert found["value"] == 7
    assert [origin["keyPath"] for origin in found["origins"]] == [["rate"]]
    assert found["origins"][0]["source"].startswith("file ")
