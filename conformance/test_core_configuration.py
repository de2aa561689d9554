"""CR 3.7, 5.1, 7.5, SEC-131: the first configuration of a core: mistakes are named with their line, what does not count is told of, and what
a component wrote of its own bounds with an older core does not outlive the next start."""
import json
import os
import signal
import sqlite3
import subprocess

import pytest

from edge_core import MARRAM_CORE
from waiting import LOGS, PATIENCE, until

NAME = "proof.Bound"


class Plain:
    """A core that is started and stopped by hand."""

    def __init__(self, folder, text):
        folder.chmod(0o755)
        self.root, self.file, self.log = folder / "root", folder / "config.yaml", folder / "core.log"
        self.file.write_text(text)
        LOGS["the core"] = self.log

    def run(self, *flags):
        """To its end, which is near."""
        return subprocess.run(self.command(flags), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)

    def command(self, flags):
        return [MARRAM_CORE, "run", "--root", str(self.root), "--init-config", str(self.file), *flags]

    def start(self, *flags):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command(flags), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        assert self.process.stdout.readline()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE) == 0
        self.process.stdout.close()

    def ask(self, *verb):
        return subprocess.run([MARRAM_CORE, *verb, "--root", str(self.root)], capture_output=True, text=True, timeout=PATIENCE)


@pytest.mark.parametrize("text, words", [
    ("sytem:\n  thingName: a\n", "line 1: there is no `sytem`; write `system`"),
    ("system: hello\n", "line 1: system is not a map of settings"),
    ("services: [a]\n", "line 1: services is not a map of settings"),
    ("services:\n  aws.greengrass.Nuclues:\n    configuration: {}\n", "line 2: there is no `services.aws.greengrass.Nuclues`; write `aws.greengrass.Nucleus`"),
    ("services:\n  aws.greengrass.Nucleus:\n    configuration:\n      mqtt:\n        port: abc\n", 'line 5: aws.greengrass.Nucleus: mqtt.port: "abc" is not a port'),
    ("services:\n  aws.greengrass.Nucleus:\n    configuration:\n      mqtt:\n        spooler:\n          storageTyp: Disk\n", "line 6: there is no `mqtt.spooler.storageTyp` of aws.greengrass.Nucleus; write `storageType`"),
    ("system:\n  certificateFilePath: /c\n  thingName: a\n  rootCaPath: /r\n", "certificateFilePath is given, and these are missing for a control plane: system.privateKeyPath"),
])
def test_mistakes_are_refused_at_the_first_start(tmp_path, text, words):
    core = Plain(tmp_path, text)
    done = core.run()
    assert done.returncode == 2 and words in done.stderr, done
    # Corrected, the same root starts: nothing was taken in.
    core.file.write_text("system: {}\n")
    core.start()
    core.stop()


def test_a_file_that_does_not_count_is_told_of(tmp_path):
    """It is read at the first start only: a correction later on is no silent one, and there is a way to make it count."""
    core = Plain(tmp_path, "services:\n  aws.greengrass.Nucleus:\n    configuration:\n      awsRegoin: x\n")
    words = "changed since it was taken in, and does not count"
    core.start()
    told = core.ask("doctor").stdout
    assert "the setting `awsRegoin` of aws.greengrass.Nucleus is not known and passed over; did you mean `awsRegion`?" in told and words not in told, told
    core.stop()
    assert "line 4: the setting `awsRegoin`" in core.log.read_text()
    core.file.write_text("services:\n  aws.greengrass.Nucleus:\n    configuration:\n      awsRegion: x\n")
    core.start()
    assert words in core.ask("doctor").stdout and words in core.log.read_text()
    core.stop()
    core.start("--update-config")
    assert words not in core.ask("doctor").stdout
    core.stop()


def test_what_a_component_wrote_of_its_own_bounds_does_not_count(tmp_path):
    """SEC-131: an older core took it in; this one drops it at its start, says so, and runs the component in its sandbox."""
    own = {"aws.greengrass.Nucleus": {"configuration": {"runWithDefault": {"posixUser": "root"}}}} if os.geteuid() == 0 else {}
    service = {"componentType": "GENERIC", "version": "1.0.0", "dependencies": [], "configuration": {"rate": 1, "marram": {"sandbox": {"pids": 99}}},
               "lifecycle": {"run": "exec sleep 86400"}}
    core = Plain(tmp_path, json.dumps({"services": {**own, NAME: service, "main": {"dependencies": [f"{NAME}:HARD"]}}}))
    core.start()
    core.stop()
    with sqlite3.connect(next(core.root.glob("config/*.db"))) as table:
        (place,) = table.execute("SELECT path FROM configuration_node WHERE path LIKE ?", (f"%{NAME}/configuration/marram/sandbox/pids",)).fetchone()
        for key, value in (("profile", '"off"'), ("write", '["/"]')):
            table.execute("INSERT INTO configuration_node VALUES (?, ?, 2, ?)", (place.replace("pids", key), value, f"ipc {NAME}"))
    table.close()
    core.start()
    shown = core.ask("config", "explain", f"{NAME}/marram", "--json").stdout
    assert "pids" in shown and "profile" not in shown and "write" not in shown, shown
    assert core.log.read_text().count("wrote of its own bounds does not count any more") == 2
    until("the component", lambda: NAME in core.ask("status").stdout)
    assert f"{NAME} runs without a sandbox" not in core.ask("doctor").stdout
    core.stop()
    core.start()
    assert core.log.read_text().count("wrote of its own bounds does not count any more") == 2
    core.stop()
