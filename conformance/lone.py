"""A core by itself, without a control plane: its components run the driver, an operator commands it."""
import json
import os
import pathlib
import socket
import subprocess
import sys

import driven
from driven import SECONDS, Count, Driven, Operator
from waiting import LOGS

ROOT = pathlib.Path(__file__).parent.parent


class Lone:
    """Started with the built program; `rights`: the `accessControl` of each component, `nucleus`: configuration of the core."""

    def __init__(self, folder, rights, nucleus=None):
        folder.chmod(0o755)
        self.folder, self.root, count = folder, folder / "root", Count()
        self.program = os.environ.get("MARRAM_CORE_BIN", str(ROOT / "target/debug/marram-core"))
        script = f"exec {sys.executable} -u - <<'END'\n{driven.DRIVER.read_text()}\nEND"
        services = {name: {
            "componentType": "GENERIC", "version": "1.0.0", "dependencies": [], "configuration": {"accessControl": access, "rate": 1},
            "lifecycle": {"run": {"Script": script}},
        } for name, access in rights.items()}
        services["main"] = {"dependencies": [f"{name}:HARD" for name in rights]}
        own = {"runWithDefault": {"posixUser": "root"}} if os.geteuid() == 0 else {}
        services["aws.greengrass.Nucleus"] = {"configuration": {**own, **(nucleus or {})}}
        (folder / "init.yaml").write_text(json.dumps({"services": services}))
        self.log = folder / "core.log"
        LOGS["the core"] = self.log
        self.start()
        self.clients = {name: Driven(self.root, name, count) for name in rights}
        self.operator = Operator(self.root, count)

    def start(self):
        command = [self.program, "run", "--root", str(self.root), "--init-config", str(self.folder / "init.yaml")]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        self.socket = json.loads(self.process.stdout.readline())["ipcSocket"]

    def knock(self):
        """A connection that has not said anything."""
        path = pathlib.Path(self.socket)
        folder = os.open(path.parent, os.O_PATH)
        line = socket.socket(socket.AF_UNIX)
        try:
            # Shorter than any path, and so than the longest address.
            line.connect(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)
        return line

    def ipc(self):
        """What the core counts at its socket."""
        command = [self.program, "status", "--json", "--root", self.root]
        found = subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS)
        return json.loads(found.stdout)["ipc"]

    def cli(self, *arguments):
        """`greengrass-cli` of the core, to its end."""
        command = [self.root / "bin/greengrass-cli", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=2 * SECONDS)

    def close(self):
        LOGS.pop("the core", None)
        self.operator.quit()
        self.process.terminate()
        try:
            assert self.process.wait(SECONDS) == 0, "the core did not end cleanly"
        finally:
            self.process.kill()
