"""A running `marram up` and unmodified clients for it."""
import collections
import dataclasses
import json
import os
import pathlib
import re
import selectors
import shlex
import signal
import subprocess
import time

import botocore.config
import botocore.session

from waiting import PATIENCE

ROOT = pathlib.Path(__file__).parent.parent
READY_SECONDS = 120
STOP_SECONDS = 120

#: What a client got back: HTTP status and error code (None: success).
Answer = collections.namedtuple("Answer", "status code")


@dataclasses.dataclass
class Keys:
    """Access keys as a client takes them."""

    access_key: str
    secret_key: str
    token: str | None = None


class Installation:
    """Started with the built binary on free ports, in a directory of its own."""

    def __init__(self, data, *flags, demo=False):
        self.data = pathlib.Path(data)
        self.program = os.environ.get("MARRAM_BIN", str(ROOT / "target/debug/marram"))
        #: Every answer a client of ours got: {(service, operation): [Answer]}
        self.answers = collections.defaultdict(list)
        self.flags = flags if demo else ("--no-demo", *flags)
        # One session: reading the service models is most of the cost of a client.
        self.session = botocore.session.Session()
        self.start()

    def start(self):
        listen = [f"--{name}=127.0.0.1:0" for name in ("api", "device-api", "mqtt")]
        self.log = open(self.data.parent / (self.data.name + ".log"), "ab")
        command = [self.program, "up", "--data", str(self.data), "--no-view", *listen, *self.flags]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log)
        self.ready = self._ready_line()
        self.environment = self._environment()

    def _ready_line(self):
        """The JSON line that tells the listeners are open."""
        deadline = time.monotonic() + READY_SECONDS
        os.set_blocking(self.process.stdout.fileno(), False)
        text = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while time.monotonic() < deadline:
                selector.select(timeout=deadline - time.monotonic())
                chunk = self.process.stdout.read()
                if chunk == b"":
                    raise RuntimeError(f"marram ended: {self._tail()}")
                text += chunk or b""
                for line in text.splitlines(keepends=True):
                    if line.startswith(b"{") and line.endswith(b"\n"):
                        return json.loads(line)
        raise RuntimeError(f"marram is not ready after {READY_SECONDS} s: {self._tail()}")

    def _tail(self):
        return pathlib.Path(self.log.name).read_text()[-2000:]

    def _environment(self):
        """What `marram env` exports, read as a shell would."""
        out = self.run("env", "--data", str(self.data)).stdout
        pairs = (re.fullmatch(r"export (\w+)=(.*)", line) for line in out.splitlines())
        return {pair[1]: "".join(shlex.split(pair[2])) for pair in pairs if pair}

    def run(self, *arguments, check=True):
        """A verb of the program, to its end."""
        return subprocess.run([self.program, *arguments], check=check, capture_output=True, text=True, timeout=PATIENCE)

    @property
    def account(self):
        return self.environment["MARRAM_ACCOUNT"]

    @property
    def region(self):
        return self.environment["AWS_DEFAULT_REGION"]

    @property
    def administrator(self):
        return Keys(self.environment["AWS_ACCESS_KEY_ID"], self.environment["AWS_SECRET_ACCESS_KEY"])

    def client(self, service, keys=None, record=True, **config):
        """A botocore client, configured by what `marram env` says and nothing else."""
        keys = keys or self.administrator
        client = self.session.create_client(
            service,
            region_name=self.region,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            verify=self.environment["AWS_CA_BUNDLE"],
            aws_access_key_id=keys.access_key,
            aws_secret_access_key=keys.secret_key,
            aws_session_token=keys.token,
            config=botocore.config.Config(
                retries={"total_max_attempts": 1}, connect_timeout=60, read_timeout=60, parameter_validation=False, **config
            ),
        )
        if record:
            client.meta.events.register("after-call", self._record)
        return client

    def _record(self, http_response, parsed, model, **_):
        code = parsed.get("Error", {}).get("Code") if http_response.status_code >= 300 else None
        self.answers[model.service_model.service_name, model.name].append(Answer(http_response.status_code, code))

    def create_account(self, name):
        """A further account: its id and its administrator's keys."""
        made = json.loads(self.run("account", "create", name, "--data", str(self.data), "--json").stdout)
        lower = {key.lower().replace("_", ""): value for key, value in made.items()}
        account = lower.get("accountid") or lower["account"]
        return account, Keys(lower["accesskeyid"], lower["secretaccesskey"])

    def stop(self):
        """As a service manager does it. Answers the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=STOP_SECONDS)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.process.stdout.close()
            self.log.close()
