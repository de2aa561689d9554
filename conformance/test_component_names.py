"""SEC-157, CR 3.2, 10.3 (1): no name reaches above its folder or into a core's own configuration, what is not built is refused at once,
and whatever a core waits for can be taken back."""
import os
import subprocess

import pytest
from botocore.exceptions import ClientError

from edge_core import Site, recipe
from waiting import PATIENCE, until

NAMES = ["..", ".", "...", ".hidden", "-x", "main", "MAIN", "system", "DeploymentService", "fleetstatusservice", "TelemetryAgent",
         "UpdateSystemPolicyService", "_private", "marram.FlowRuntime", "aws.greengrass.Cli", "Aws.greengrass.Nucleus", "a/b", "a" * 129]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("names"))
    yield site
    site.stop()


def refused(call, **arguments):
    with pytest.raises(ClientError) as error:
        call(**arguments)
    told = error.value.response
    assert told["Error"]["Code"] == "ValidationException", told
    return told["Error"]["Message"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_refused_where_it_is_written(site, name):
    message = refused(site.gg.create_component_version, inlineRecipe=recipe(name, {"run": "true"}))
    assert "ComponentName" in message and ";" in message, message


def test_what_is_not_built_is_refused_where_it_is_asked_for(site):
    publish = site.gg.create_component_version
    image = {"manifest": {"Artifacts": [{"URI": "docker:hello-world"}]}}
    assert "container images" in refused(publish, inlineRecipe=recipe("proof.Image", {"run": "true"}, **image))
    slip = recipe("proof.Slip", {"run": "true"}).replace("Lifecycle", "Lifecycel")
    assert "Lifecycel" in refused(publish, inlineRecipe=slip)
    needs = lambda name: {"ComponentDependencies": {name: {"VersionRequirement": "^1.0.0"}}}
    assert "itself" in refused(publish, inlineRecipe=recipe("proof.Self", {"run": "true"}, **needs("proof.Self")))
    publish(inlineRecipe=recipe("proof.Streams", {"run": "true"}, **needs("aws.greengrass.StreamManager")))
    for name in ("aws.greengrass.clientdevices.mqtt.Bridge", "aws.greengrass.LogManager", "aws.greengrass.StreamManager",
                 "aws.greengrass.DockerApplicationManager", "proof.Streams"):
        message = refused(site.gg.create_deployment, targetArn=site.target, components={name: {"componentVersion": "1.0.0"}})
        assert name in message and "not supported" in message, message


def test_public_samples_keep_their_names(site):
    """Recipes of AWS' public samples name one another; users publish them in accounts of their own. What GG_ROOT_CA_PATH names can be read
    by a component with a user of its own, though the core's file is private (CR 2.9, 10.2)."""
    name = "aws.greengrass.labs.Probe"
    site.gg.create_component_version(inlineRecipe=recipe(name, {"install": 'grep -q BEGIN.CERTIFICATE "$GG_ROOT_CA_PATH"', "run": "exec sleep 86400"}))
    site.gg.create_component_version(inlineRecipe=recipe(
        "proof.OnProbe", {"run": "exec sleep 86400"}, ComponentDependencies={name: {"VersionRequirement": "^1.0.0"}}))
    assert site.end(site.deploy({"proof.OnProbe": "1.0.0"}))[0] == "COMPLETED", site.core.tail()


def test_a_local_recipe_gets_no_folder_above_its_own(site):
    root, cli = site.core.root, [str(site.core.root / "bin/greengrass-cli"), "--ggcRootPath", str(site.core.root)]
    owners = lambda: {path.name: os.lstat(path).st_uid for path in [root, *root.iterdir()]}
    before = owners()
    folder = site.folder / "recipes"
    folder.mkdir()
    for name in ("..", "main"):
        (folder / "one.json").write_text(recipe(name, {"run": "sleep 86400"}))
        done = subprocess.run([*cli, "deployment", "create", "--recipeDir", str(folder), "--merge", f"{name}=1.0.0"],
                              capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode != 0 and name in done.stdout + done.stderr, done
    assert owners() == before


def test_a_deployment_is_taken_back_while_a_component_installs(site):
    site.gg.create_component_version(inlineRecipe=recipe("proof.Slow", {"install": {"Script": "exec sleep 600", "Timeout": 900}, "run": "sleep 86400"}))
    deployment = site.deploy({"proof.Slow": "1.0.0"})
    says = lambda one: (site.told(one) or {}).get("coreDeviceExecutionStatus")
    until("the step", lambda: says(deployment) == "IN_PROGRESS" and (site.core.root / "work/proof.Slow").is_dir())
    site.gg.cancel_deployment(deploymentId=deployment)
    until("the end", lambda: says(deployment) == "CANCELED")
    installed = site.gg.list_installed_components(coreDeviceThingName=site.core.thing, topologyFilter="ALL")["installedComponents"]
    assert [one for one in installed if one["componentName"] == "proof.Slow"] == []
    # and the next one is not kept waiting
    site.gg.create_component_version(inlineRecipe=recipe("proof.Quick", {"run": "true"}))
    following = site.deploy({"proof.Quick": "1.0.0"})
    until("the next one", lambda: says(following) == "COMPLETED")


def test_topics_that_nobody_may_use_keep_no_deployment_away(site):
    """CR 7.6, 10.3 (4): messages to forbidden topics that are new each time leave the line up, and the doctor names the topic."""
    told = lambda: [line for line in site.ask("doctor").stdout.splitlines() if " times over messages " in line]
    for number in range(12):
        assert site.core.cli("iotcore", "pub", "-t", f"dev/{number}/temp", "-m", "x", "-q", "1").returncode == 0
    [line] = until("the doctor's word", told)
    assert line.startswith("error: the control plane hung up ") and "over one to dev/" in line, line
    site.gg.create_component_version(inlineRecipe=recipe("proof.Meanwhile", {"run": "exec sleep 86400"}))
    assert site.end(site.deploy({"proof.Meanwhile": "1.0.0"}))[0] == "COMPLETED", site.core.tail()
