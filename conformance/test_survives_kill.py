"""The whole demo survives kill -9 of the control plane at random points (design: "crash is normal").

A writer changes things through boto3 while the process is killed again and again, also during start-up. Afterwards
every acknowledged change is there, the audit chain verifies, no execution is torn and flows run on. `MARRAM_KILLS`
sets the number of kills, `MARRAM_SEED` replays a run.
"""

import json
import os
import random
import signal
import subprocess
import threading
import time

import boto3
from botocore.config import Config

from waiting import LOGS, PATIENCE, free_port, tails, until

BINARY = os.environ.get("MARRAM_BIN")
KILLS = int(os.environ.get("MARRAM_KILLS", "200"))
TERMINAL = {"EXECUTION_SUCCEEDED", "EXECUTION_FAILED", "EXECUTION_ABORTED"}


class Stack:
    """`marram up` with the demo, on ports that stay the same across restarts."""

    def __init__(self, folder):
        self.data = folder / "data"
        self.log = open(folder / "log", "ab")
        LOGS["marram up"] = folder / "log"
        self.ports = [free_port() for _ in range(3)]
        self.process = None

    def start(self):
        api, device, mqtt = (f"127.0.0.1:{port}" for port in self.ports)
        self.process = subprocess.Popen(
            [BINARY, "up", "--data", str(self.data), "--api", api, "--device-api", device, "--mqtt", mqtt, "--no-view"],
            stdout=subprocess.PIPE, stderr=self.log, stdin=subprocess.DEVNULL, text=True)

    def wait_ready(self):
        line = self.process.stdout.readline()
        assert line, f"marram up ended with {self.process.wait()}\n{tails()}"
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        return json.loads(line)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def client(self, service):
        env = json.loads((self.data / "env.json").read_text())
        return boto3.client(
            service, endpoint_url=env["AWS_ENDPOINT_URL"], verify=env["AWS_CA_BUNDLE"],
            region_name=env["AWS_DEFAULT_REGION"], aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"max_attempts": 1}, connect_timeout=60, read_timeout=60))


class Writer(threading.Thread):
    """Creates things and counts one attribute up; remembers only what was acknowledged."""

    def __init__(self, iot, seed):
        super().__init__(daemon=True)
        self.iot, self.seed = iot, seed
        self.created, self.counter, self.stopped = [], 0, threading.Event()

    def run(self):
        number = 0
        while not self.stopped.is_set():
            number += 1
            name = f"kill-{self.seed}-{id(self)}-{number}"
            try:
                self.iot.create_thing(thingName=name)
                self.created.append(name)
                self.iot.update_thing(thingName="kill-counter", attributePayload={"attributes": {"n": f"{self.seed * 100000 + number}"}})
                self.counter = self.seed * 100000 + number
            except Exception:  # the process was killed under the call: nothing was acknowledged
                if self.stopped.wait(0.01):
                    return


def executions(graph):
    for page in graph.get_paginator("search_system_instances").paginate():
        for instance in page["summaries"]:
            for found in graph.get_paginator("search_flow_executions").paginate(systemInstanceId=instance["id"]):
                yield from found["summaries"]


def test_demo_survives_kill_at_random_points(tmp_path):
    seed = int(os.environ.get("MARRAM_SEED", random.randrange(1 << 30)))
    print(f"MARRAM_SEED={seed}")
    dice = random.Random(seed)
    stack = Stack(tmp_path)
    stack.start()
    stack.wait_ready()
    stack.client("iot").create_thing(thingName="kill-counter")
    created, counter = [], 0
    for round_number in range(KILLS):
        if dice.random() < 0.2:
            # Killed while starting, perhaps before the listener is there.
            stack.kill()
            stack.start()
            time.sleep(dice.uniform(0, 0.25))
        else:
            writer = Writer(stack.client("iot"), round_number + 1)
            writer.start()
            if dice.random() < 0.5:
                until("the first change", lambda: writer.created, every=0.01)
            time.sleep(dice.uniform(0.02, 0.5))
            writer.stopped.set()
            stack.kill()
            writer.join()
            created += writer.created
            counter = max(counter, writer.counter)
            stack.start()
        if stack.process.poll() is None and dice.random() < 0.8:
            stack.wait_ready()
        else:
            stack.kill()
            stack.start()
            stack.wait_ready()

    iot, graph = stack.client("iot"), stack.client("iotthingsgraph")
    names = {thing["thingName"] for page in iot.get_paginator("list_things").paginate() for thing in page["things"]}
    lost = [name for name in created if name not in names]
    assert created and not lost, f"{len(lost)} of {len(created)} acknowledged things are lost"
    assert int(iot.describe_thing(thingName="kill-counter")["attributes"]["n"]) >= counter

    # Flows go on: a new execution ends well after the last restart.
    before = {execution["flowExecutionId"] for execution in executions(graph)}
    until("a flow execution after the last restart",
          lambda: any(e["flowExecutionId"] not in before and e["status"] == "SUCCEEDED" for e in executions(graph)), every=0.5)

    # No torn history: an ended execution has exactly one terminal message, and it is the last one.
    ended = [e for e in executions(graph) if e["status"] != "RUNNING"]
    for execution in dice.sample(ended, min(len(ended), 200)):
        messages = [m for page in graph.get_paginator("list_flow_execution_messages").paginate(
            flowExecutionId=execution["flowExecutionId"]) for m in page["messages"]]
        kinds = [m["eventType"] for m in messages]
        assert kinds.count("EXECUTION_STARTED") == 1 and kinds[-1] in TERMINAL, (execution, kinds)
        assert sum(kind in TERMINAL for kind in kinds) == 1, (execution, kinds)

    stack.process.send_signal(signal.SIGTERM)
    assert stack.process.wait(PATIENCE) == 0
    verified = subprocess.run([BINARY, "audit-log", "verify", "--data", str(stack.data)], capture_output=True, text=True)
    assert verified.returncode == 0, verified.stdout + verified.stderr
