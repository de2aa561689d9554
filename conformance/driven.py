"""Clients of a core's IPC as tests use them: inside its components, and the operator's beside it."""
import concurrent.futures
import json
import os
import pathlib
import pickle
import socket
import sys
import time

import pytest
from awsiot import greengrasscoreipc
from awsiot.greengrasscoreipc import clientv2

import driver
from waiting import until

SECONDS = driver.SECONDS
DRIVER = pathlib.Path(driver.__file__)
#: Everything that a policy can grant to a component.
SERVICES = ("ipc.pubsub", "ipc.mqttproxy", "SecretManager", "ShadowManager", "ipc.lifecycle", "clientdevices.Auth", "Cli",
            "ipc.componentmetric")
EVERYTHING = {f"aws.greengrass.{service}": {f"all {service}": {"operations": ["*"], "resources": ["*"]}} for service in SERVICES}


def recipe(name, version, uri, configuration, lifecycle=None):
    """The recipe of a component that the driver runs in."""
    run = f"exec {sys.executable} -u {{artifacts:path}}/{DRIVER.name}"
    return json.dumps({
        "RecipeFormatVersion": "2020-01-25", "ComponentName": name, "ComponentVersion": version,
        "ComponentConfiguration": {"DefaultConfiguration": configuration},
        "Manifests": [{"Lifecycle": lifecycle or {"run": run}, "Artifacts": [{"Uri": uri}]}],
    })


def plain(shape):
    """A shape as plain data: {member: value}, members that are absent left out."""
    if isinstance(shape, list):
        return [plain(item) for item in shape]
    if not hasattr(shape, "_to_payload"):
        return shape
    return {name: plain(value) for name, value in vars(shape).items() if value is not None}


class Count:
    """Which operations succeeded, and which were refused with a modelled error."""

    def __init__(self):
        self.succeeded, self.refused = set(), set()


class Client:
    """`client.get_configuration(...)` answers plain data or raises; `client.refuse(Error, "operation", ...)`."""

    def __init__(self, count):
        self.count = count

    def __getattr__(self, operation):
        if operation.startswith("_"):
            raise AttributeError(operation)

        def call(**arguments):
            answer = plain(self.order("call", operation, arguments))
            self.count.succeeded.add(operation)
            return answer

        return call

    def subscribe(self, name, /, **arguments):
        """The response and the stream."""
        response, number = self.order("subscribe", name, arguments)
        self.count.succeeded.add(name)
        return plain(response), Stream(self, number)

    def refuse(self, error, name, /, **arguments):
        """The operation is refused with exactly this error."""
        kind = "subscribe" if name.startswith("subscribe") else "call"
        with pytest.raises(error) as raised:
            self.order(kind, name, arguments)
        assert type(raised.value) is error, raised.value
        self.count.refused.add(name)

    def malformed(self, error, operation, payload):
        with pytest.raises(error):
            self.order("malformed", operation, payload)
        self.count.refused.add(operation)


class Stream:
    """Events of a subscription."""

    def __init__(self, client, number):
        self.client, self.number = client, number

    def take(self, seconds=SECONDS):
        """The next event as plain data."""
        return plain(self.client.order("take", self.number, seconds))

    def close(self):
        self.client.order("close", self.number, None)


class Operator(Client):
    """Who commands the core: a connection of this process."""

    def __init__(self, root, count):
        super().__init__(count)
        known = json.loads((root / "cli_ipc_info" / f"user-{os.geteuid()}").read_text())
        self.socket = known["domain_socket_path"]
        connection = greengrasscoreipc.connect(ipc_socket=self.socket, authtoken=known["cli_auth_token"], timeout=SECONDS)
        self.driver = driver.Driver.__new__(driver.Driver)
        in_order = concurrent.futures.ThreadPoolExecutor(max_workers=1)
        self.driver.client, self.driver.streams = clientv2.GreengrassCoreIPCClientV2(client=connection, executor=in_order), []

    def order(self, kind, operation, arguments):
        return getattr(self.driver, kind)(operation, arguments)

    def quit(self):
        self.driver.client.close().result(SECONDS)


class Driven(Client):
    """The client inside a component."""

    def __init__(self, root, name, count):
        super().__init__(count)
        self.name, self.folder = name, root / "work" / name

    def attempt(self, order, seconds):
        """None: the component is not there yet, or not any more."""
        try:
            place = os.open(self.folder, os.O_PATH)
        except OSError:
            return None
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(seconds)
            try:
                # Shorter than any path, and so than the longest address.
                line.connect(f"/proc/self/fd/{place}/{driver.SOCKET}")
                line.sendall(pickle.dumps(order))
                line.shutdown(socket.SHUT_WR)
                text = line.makefile("rb").read()
            except (FileNotFoundError, ConnectionError):
                return None
            finally:
                os.close(place)
        return pickle.loads(text) if text else None

    def order(self, kind, operation=None, arguments=None):
        patience = time.monotonic() + SECONDS
        while (answer := self.attempt((kind, operation, arguments), 3 * SECONDS)) is None:
            assert time.monotonic() < patience, f"{self.name} does not answer"
            time.sleep(0.05)
        good, value = answer
        if not good:
            raise value
        return value

    def is_silent(self, seconds):
        """It does not answer: it is paused, or gone."""
        try:
            return self.attempt(("pid", None, None), seconds) is None
        except TimeoutError:
            return True


def deployed(gg, made):
    """The last status of a deployment, once it is over."""
    status = lambda: gg.get_deployment(deploymentId=made["deploymentId"])["deploymentStatus"]
    return until("the end of the deployment", lambda: status() if status() in ("COMPLETED", "FAILED", "CANCELED") else None)
