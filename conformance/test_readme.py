"""The walk of README.md as it stands there: each of its shell blocks, against the built program with the demo alive."""
import os
import re
import shutil
import subprocess
import sys
import textwrap

import pytest

import installation
from edge import until

BED = "urn:tdm:{}/{}/default:Deployment:HerbBed"
#: What each numbered step must have said; the steps a terminal cannot show (1: start, 3: browser) are left out.
SAYS = {
    "2": [r"Deployment:HerbBed\s+DEPLOYED_IN_TARGET", r"Deployment:LobbyOnCore\s", r'"dryBelow":35', r"EXECUTION_SUCCEEDED"],
    "4": [r'"dryBelow":55.*"revision":2'],
    "5": [r'"dryBelow":45.*"revision":3', r"EXECUTION_SUCCEEDED"],
    "6": [r'pump/pressure \{"bar": 2.4\}', r"refused as told"],
    "7": [r"2 files: 0 errors, 0 warnings", r"TG\.Timeout", r'THING_ACTION_TASK_SUCCEEDED\s+\{"durationMs":40,"result":20\}'],
    "8": [r"thing/pump"],
}


@pytest.fixture
def home(tmp_path):
    """A folder that looks as the repository does after `make build` and `tools/ready .venv`, with `marram up` running in ./var."""
    binary = os.environ.get("MARRAM_BIN", str(installation.ROOT / "target/debug/marram"))
    (tmp_path / "target/release").mkdir(parents=True)
    (tmp_path / "target/release/marram").symlink_to(binary)
    (tmp_path / "apps").symlink_to(installation.ROOT / "apps")
    shutil.copytree(installation.ROOT / "docs/examples", tmp_path / "docs/examples")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    running = installation.Installation(tmp_path / "var", demo=True)
    graph = running.client("iotthingsgraph", record=False)
    bed = BED.format(running.region, running.account)

    def watered():
        """The demo is made after the listeners are open."""
        made = [one["id"] for one in graph.search_system_instances()["summaries"]]
        if bed not in made or not any(one.endswith(":LobbyOnCore") for one in made):
            return False
        runs = graph.search_flow_executions(systemInstanceId=bed)["summaries"]
        return any(one["status"] == "SUCCEEDED" for one in runs)

    until("the first execution", watered)
    yield tmp_path
    assert running.stop() == 0


def steps():
    """The blocks of each numbered step: {"2": [(language, text)]}."""
    text = (installation.ROOT / "README.md").read_text().split("## From clone to a changed flow")[1].split("\n## ")[0]
    parts = re.split(r"^\*\*(\d)\. ", text, flags=re.M)
    found = {number: re.findall(r"^```(\w*)\n(.*?)^```", body, re.S | re.M) for number, body in zip(parts[1::2], parts[2::2])}
    return {number: blocks for number, blocks in found.items() if number in SAYS}


#: What takes a newcomer's second, or the ten that a flow waits, takes as long as it takes here.
WAIT = r"""
shown() {
  until newest > var/newest && grep -q -- "$1" var/newest && grep -q EXECUTION_SUCCEEDED var/newest; do sleep 1; done
  cat var/newest
}
"""


def without_haste(block):
    """The block with states to wait for in the place of pauses."""
    block = re.sub(r"^newest$", "shown '\"dryBelow\":35'", block, flags=re.M)
    block = block.replace("sleep 11; newest", "shown '\"revision\":2'")
    # Published until the reader has got one and ends.
    block = re.sub(r"sleep 1; (mosquitto_pub .*); wait$", r"while kill -0 $! 2>/dev/null; do \1; sleep 1; done; wait", block, flags=re.M)
    head, pause, rest = block.partition("time.sleep(11)\n")
    if pause:
        block = f"""{head}
import builtins
told, print = [], lambda *words: told.append(" ".join(words))
while not ('"revision":3' in str(told) and "EXECUTION_SUCCEEDED" in told[-1]):
    told.clear()
{textwrap.indent(rest, "    ")}
    time.sleep(1)
builtins.print(*told, sep="\\n")
"""
    return block


def test_the_walk(home):
    """design.md 2, README: a newcomer changes a flow and sees it, with the AWS CLI, boto3 and mosquitto clients."""
    script = ["set -eu", WAIT]
    for number, blocks in steps().items():
        script.append(f"echo '@@{number}'")
        for language, block in blocks:
            block = without_haste(block)
            if language == "python":
                (home / "change.py").write_text(block)
                script.append("cp change.py var/change.py; python var/change.py")
            else:
                # The refusal is what step 6 shows.
                script.append(re.sub(r"^(.*?)\s*# the policy says no.*$", r"if \1; then exit 9; fi; echo refused as told", block, flags=re.M))
    environment = {**os.environ, "AWS_PAGER": "", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
    ran = subprocess.run(["bash", "-c", "\n".join(script)], cwd=home, env=environment, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1200)
    assert ran.returncode == 0, ran.stdout[-4000:]
    said = re.split(r"^@@(\d)$", ran.stdout, flags=re.M)
    said = dict(zip(said[1::2], said[2::2]))
    for number, patterns in SAYS.items():
        for pattern in patterns:
            assert re.search(pattern, said[number]), f"step {number} did not say {pattern}:\n{said[number][-3000:]}"
