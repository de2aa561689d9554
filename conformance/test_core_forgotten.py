"""CP 7.4, CR 4.13: a core that is deleted while it runs is not shown before all of it is known, and comes back by itself."""
import pytest

from edge_core import Site, recipe
from waiting import until


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("forgotten"))
    yield site
    site.stop()


def test_a_core_that_was_forgotten_tells_all(site):
    names = ("proof.One", "proof.Two")
    for name in names:
        site.gg.create_component_version(inlineRecipe=recipe(name, {"run": "exec sleep 86400"}))
    assert site.end(site.deploy({name: "1.0.0" for name in names}))[0] == "COMPLETED"
    shown = lambda: {name: site.installed(name) for name in names}
    running = {name: [("1.0.0", "RUNNING")] for name in names}
    until("both", lambda: shown() == running)
    site.gg.delete_core_device(coreDeviceThingName=site.core.thing)
    assert site.gg.list_core_devices()["coreDevices"] == []
    # One of them has something to tell: a part, of which the control plane makes no core without the other.
    assert site.core.cli("component", "restart", "--names", names[0]).returncode == 0

    def known():
        if not site.gg.list_core_devices()["coreDevices"]:
            return False
        # As soon as it is shown, all of it is.
        assert all((now := shown()).values()), now
        return now == running

    until("the whole truth", known)
