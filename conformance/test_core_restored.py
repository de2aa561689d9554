"""CR 4.4, 4.13: a control plane from its backup, and a core with an older disk or none, find each other again.

What is deployed after that is carried out, what the core lost is given to it again, and nobody is told anything that is not so.
"""
import shutil

import pytest

from edge_core import Site, recipe
from waiting import until

APP, OTHER = "proof.App", "proof.Other"


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        for name in (APP, OTHER):
            site.gg.create_component_version(inlineRecipe=recipe(name, {"run": "exec sleep 86400"}, version))
    yield site
    site.stop()


def done(site, version):
    return site.end(site.deploy({APP: version}))[0]


def test_a_control_plane_from_its_backup(site):
    assert done(site, "1.0.0") == "COMPLETED"
    site.plane.stop()
    backup = site.folder / "backup"
    shutil.copytree(site.plane.data, backup, symlinks=True)
    site.plane.start()
    assert [done(site, version) for version in ("2.0.0", "3.0.0")] == ["COMPLETED", "COMPLETED"]
    site.plane.kill()
    shutil.rmtree(site.plane.data)
    shutil.copytree(backup, site.plane.data, symlinks=True)
    site.plane.start()
    # It knows of 1.0.0 alone, and hears from the core what runs there.
    until("the truth", lambda: site.installed(APP) == [("3.0.0", "RUNNING")])
    # The next revision has a number that was there before.
    assert done(site, "2.0.0") == "COMPLETED"
    until("its component", lambda: site.installed(APP) == [("2.0.0", "RUNNING")])
    assert len(site.core.exits) == 0, "the core went on all the time"


@pytest.mark.parametrize("disk", ["older", "empty"])
def test_a_core_with_another_disk(site, disk):
    iot, thing = site.plane.client("iot"), site.core.thing
    group = iot.create_thing_group(thingGroupName="proof")["thingGroupArn"]
    iot.add_thing_to_thing_group(thingGroupName="proof", thingName=thing)
    effective = lambda: {
        one["deploymentId"]: one["coreDeviceExecutionStatus"]
        for one in site.gg.list_effective_deployments(coreDeviceThingName=thing)["effectiveDeployments"]}

    def deploy(version):
        deployment = site.gg.create_deployment(targetArn=group, components={OTHER: {"componentVersion": version}})["deploymentId"]
        until("the group's deployment", lambda: effective().get(deployment) == "SUCCEEDED")
        assert done(site, version) == "COMPLETED"
        return deployment

    deploy("1.0.0")
    image = site.folder / "image"
    site.core.stop()
    shutil.copytree(site.core.root, image, symlinks=True, ignore=shutil.ignore_patterns("ipc.socket*"))
    site.core.start()
    deployment = deploy("3.0.0")
    site.core.stop()
    shutil.rmtree(site.core.root)
    if disk == "older":
        shutil.copytree(image, site.core.root, symlinks=True)
    site.core.start()
    job = site.gg.get_deployment(deploymentId=deployment)["iotJobId"]
    given = lambda: iot.describe_job_execution(jobId=job, thingName=thing)["execution"]["executionNumber"]
    until("the deployment once more", lambda: given() == 2 and effective().get(deployment) == "SUCCEEDED")
    for name in (APP, OTHER):
        until(name, lambda: site.installed(name) == [("3.0.0", "RUNNING")])
    # What stands is left alone by another start.
    site.core.stop()
    site.core.start()
    assert done(site, "2.0.0") == "COMPLETED"
    assert given() == 2
