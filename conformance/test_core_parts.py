"""CC 1.1: parts of a core come with a deployment and go with the last one that needs them, also over a kill."""
import json
import socket

import pytest

from edge_core import Site
from waiting import free_port, until

AUTH, BROKER = "aws.greengrass.clientdevices.Auth", "aws.greengrass.clientdevices.mqtt.Moquette"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    folder.chmod(0o755)
    site = Site(folder)
    yield site
    site.stop()


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def parts(site):
    """Those of this test that the core has now."""
    answer = site.ask("status")
    return {part for part in (AUTH, BROKER) if part in answer.stdout} if answer.returncode == 0 else None


def installed(site, topology="ALL"):
    """What the control plane shows of the core's own parts: version, whether a deployment named it, state."""
    shown = site.gg.list_installed_components(coreDeviceThingName=site.core.thing, topologyFilter=topology)["installedComponents"]
    return {one["componentName"]: (one["componentVersion"], one["isRoot"], one["lifecycleState"]) for one in shown}


def test_the_broker_goes_with_its_deployment(site):
    nucleus = {"aws.greengrass.Nucleus": ("2.17.0", False, "RUNNING")}
    until("the core itself", lambda: installed(site) == nucleus)
    assert installed(site, "ROOT") == {}
    port = free_port()
    moquette = {"componentVersion": "2.3.11", "configurationUpdate": {"merge": json.dumps({"moquette": {"ssl_port": str(port)}})}}
    status, told = site.end(site.deploy({AUTH: "2.5.7", BROKER: moquette}))
    assert status == "COMPLETED", told
    until("the broker", lambda: listens(port))
    assert parts(site) == {AUTH, BROKER}
    brought = {AUTH: ("2.5.7", True, "RUNNING"), BROKER: ("2.3.11", True, "RUNNING")}
    until("what the deployment brought", lambda: installed(site) == nucleus | brought)
    assert installed(site, "ROOT") == brought
    open_line = socket.create_connection(("127.0.0.1", port), 5)

    status, told = site.end(site.deploy({"aws.greengrass.Nucleus": "2.17.0"}))
    assert status == "COMPLETED", told
    until("the closed door", lambda: not listens(port))
    open_line.settimeout(10)
    try:
        assert open_line.recv(1) == b"", "an open connection ends as well"
    except ConnectionResetError:
        pass
    assert parts(site) == set()
    named = {"aws.greengrass.Nucleus": ("2.17.0", True, "RUNNING")}
    until("what is left", lambda: installed(site) == installed(site, "ROOT") == named)

    site.core.kill()
    until("the next life", lambda: parts(site) == set())
    until("the same", lambda: installed(site) == named)
    # It would open within a look at the configuration.
    with pytest.raises(AssertionError):
        until("a broker that should not be", lambda: listens(port), 6)

    # What comes back begins with what its deployment says: the old port was a setting of the component that went.
    port = free_port()
    moquette["configurationUpdate"] = {"merge": json.dumps({"moquette": {"ssl_port": str(port)}})}
    status, told = site.end(site.deploy({BROKER: moquette}))
    assert status == "COMPLETED", told
    until("the broker again", lambda: listens(port))
