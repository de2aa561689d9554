"""Greengrass v2: every operation through boto3, components with artifacts, deployments to groups and things, and the call
sequences of cores as raw clients (CP 6, 7)."""
import base64
import hashlib
import json
import os
import subprocess
import sys
import time
import uuid

import botocore.exceptions
import pytest
import s3transfer.manager
import urllib3

from device import WAIT_SECONDS, Device

SHADOW = "AWSManagedGreengrassV2Deployment"
NAMESPACE = "namespace-aws-gg-deployment"


@pytest.fixture
def gg(client):
    return client("greengrassv2")


def core_policy(arn):
    """What a core's certificate is given."""
    return [{"Effect": "Allow", "Action": ["iot:*", "iotjobsdata:*", "greengrass:*"], "Resource": "*"}]


@pytest.fixture
def core(marram, client, tmp_path, name):
    return Device(marram, client("iot"), tmp_path, f"core-{name}", core_policy)


def recipe(name, version="1.0.0", **more):
    return {
        "RecipeFormatVersion": "2020-01-25", "ComponentName": name, "ComponentVersion": version,
        "ComponentPublisher": "Tests", "ComponentDescription": "For tests",
        "Manifests": [{"Platform": {"os": "linux"}, "Lifecycle": {"Run": "true"}}], **more,
    }


def publish(gg, body, **more):
    return gg.create_component_version(inlineRecipe=json.dumps(body).encode(), **more)


def refused(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**arguments)
    return caught.value.response["ResponseMetadata"]["HTTPStatusCode"], caught.value.response["Error"]["Code"]


def eventually(check, wanted):
    deadline = time.monotonic() + WAIT_SECONDS
    while (found := check()) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def get(marram, url, **headers):
    pool = urllib3.PoolManager(ca_certs=marram.environment["AWS_CA_BUNDLE"], retries=False)
    return pool.request("GET", url, headers=headers)


def test_component_life(marram, gg, name):
    """CP 7.2: published, described, listed newest first, paged, tagged, deleted."""
    component = f"com.test.{name}"
    token = str(uuid.uuid4())
    first = publish(gg, recipe(component), tags={"k": "v"}, clientToken=token)
    assert first["ResponseMetadata"]["HTTPStatusCode"] == 201 and first["status"]["componentState"] == "REQUESTED"
    assert publish(gg, recipe(component), tags={"k": "v"}, clientToken=token)["arn"] == first["arn"]
    assert refused(publish, gg=gg, body=recipe(component, "9.0.0"), clientToken=token) == (409, "ConflictException")
    assert refused(publish, gg=gg, body=recipe(component)) == (409, "ConflictException")
    for version in ("1.2.0", "1.10.0", "1.10.0-rc.1"):
        publish(gg, recipe(component, version))
    described = gg.describe_component(arn=first["arn"])
    assert (described["status"]["componentState"], described["publisher"], described["tags"]) == ("DEPLOYABLE", "Tests", {"k": "v"})
    assert described["platforms"] == [{"attributes": {"os": "linux"}}]
    got = gg.get_component(arn=first["arn"], recipeOutputFormat="JSON")
    assert json.loads(got["recipe"])["ComponentName"] == component
    assert gg.get_component(arn=first["arn"], recipeOutputFormat="YAML")["recipeOutputFormat"] == "YAML"
    family = first["arn"].rsplit(":versions:", 1)[0]
    pages = gg.get_paginator("list_component_versions").paginate(arn=family, PaginationConfig={"PageSize": 3})
    listed = [item["componentVersion"] for page in pages for item in page["componentVersions"]]
    assert listed == ["1.10.0", "1.10.0-rc.1", "1.2.0", "1.0.0"]
    pages = gg.get_paginator("list_components").paginate(PaginationConfig={"PageSize": 1})
    latest = {item["componentName"]: item["latestVersion"]["componentVersion"] for page in pages for item in page["components"]}
    assert latest[component] == "1.10.0"
    assert gg.list_components(scope="PUBLIC")["components"] == []
    assert refused(gg.list_components, nextToken="bm8=") == (400, "ValidationException")
    gg.tag_resource(resourceArn=first["arn"], tags={"a": "b"})
    gg.untag_resource(resourceArn=first["arn"], tagKeys=["k"])
    assert gg.list_tags_for_resource(resourceArn=first["arn"])["tags"] == {"a": "b"}
    assert gg.delete_component(arn=first["arn"])["ResponseMetadata"]["HTTPStatusCode"] == 204
    for call in (gg.describe_component, gg.get_component, gg.delete_component):
        assert refused(call, arn=first["arn"]) == (404, "ResourceNotFoundException")
    assert gg.list_component_versions(arn=family + "x")["componentVersions"] == []
    assert refused(gg.list_component_versions, arn=first["arn"]) == (400, "ValidationException")
    for call, more in ((gg.tag_resource, {"tags": {"a": "b"}}), (gg.untag_resource, {"tagKeys": ["a"]}), (gg.list_tags_for_resource, {})):
        assert refused(call, resourceArn=first["arn"], **more) == (404, "ResourceNotFoundException")


def test_recipes_that_are_refused(gg, name):
    """CP 7.2: the author is told the field and what to do."""
    for change, field in (({"ComponentName": "aws.mine"}, "ComponentName"), ({"ComponentVersion": "one"}, "ComponentVersion")):
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            publish(gg, {**recipe(f"com.test.{name}"), **change})
        answer = caught.value.response
        assert answer["Error"]["Code"] == "ValidationException" and answer["reason"] == "FIELD_VALIDATION_FAILED"
        assert any(field in told["name"] for told in answer["fields"]), answer["fields"]
    assert refused(gg.create_component_version, inlineRecipe=b"{") == (400, "ValidationException")


@pytest.mark.parametrize("change, field", (
    ({"Dependencies": {}}, "Dependencies"),
    ({"ComponentConfiguration": {"DefaultConfig": {}}}, "ComponentConfiguration.DefaultConfig"),
    ({"Manifests": [{"Lifecycle": {"Install": "a", "install": "b", "Run": "c"}}]}, "Manifests[0].Lifecycle.install"),
    ({"Manifests": [{"Selections": ["linx"]}], "Lifecycle": {"run": {"linux": {"Script": "x"}}}}, "Manifests[0].Selections"),
    ({"ComponentConfiguration": {"DefaultConfiguration": {"accessControl": "x"}}}, "ComponentConfiguration.DefaultConfiguration.accessControl"),
    ({"ComponentConfiguration": {"DefaultConfiguration": {"marram": {"sandbox": {"egress": [{"host": "a b", "port": 1}]}}}}},
     "ComponentConfiguration.DefaultConfiguration.marram.sandbox.egress[0].host"),
))
def test_slips_in_recipes_are_refused(gg, name, change, field):
    """CP 7.2, CR 1.1, 6.9: what can never have been meant, with its place and what to write."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        publish(gg, {**recipe(f"com.test.{name}"), **change})
    told = {one["name"]: one["message"] for one in caught.value.response["fields"]}
    assert field in told and "; " in told[field], told


def test_warnings_reach_the_author(gg, name):
    """CR 1.1: a recipe that is taken but will probably not do what was meant says so where its state is asked for."""
    policy = {"operations": ["aws.greengrass#PublishToTopc"], "resources": ["*"]}
    body = recipe(
        f"com.test.{name}", Comment="x", Manifests=[{"Platform": {"os": "Linux"}, "Lifecycle": {"Run": "{artifacts:pth}/x"}}],
        ComponentConfiguration={"DefaultConfiguration": {"accessControl": {"aws.greengrass.ipc.pubsub": {"p": policy}}}})
    made = publish(gg, body)
    status = gg.describe_component(arn=made["arn"])["status"]
    assert status["componentState"] == "DEPLOYABLE" and status["errors"] == {}
    assert made["status"]["message"] == status["message"]
    for words in ("`Comment`", "write linux", "`{artifacts:pth}`", "`aws.greengrass#PublishToTopc`"):
        assert words in status["message"]
    clean = publish(gg, recipe(f"com.test.{name}", "2.0.0"))
    assert gg.describe_component(arn=clean["arn"])["status"]["message"] == "NONE"


def test_artifacts(marram, client, gg, core, name):
    """CP 7.2, 6.3: hashed once, kept whatever becomes of the object, fetched by a short URL with ranges."""
    s3, bucket, component = client("s3"), f"artifacts-{name}", f"com.test.{name}"
    body = os.urandom(300_000)
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key=f"{component}/1.0.0/app.bin", Body=body)
    uri = f"s3://{bucket}/{component}/1.0.0/app.bin"
    manifest = {"Platform": {"os": "linux"}, "Lifecycle": {"Run": "true"}, "Artifacts": [{"URI": uri, "Digest": "wrong"}]}
    arn = publish(gg, recipe(component, Manifests=[manifest]))["arn"]
    assert gg.describe_component(arn=arn)["status"]["componentState"] == "DEPLOYABLE"
    s3.put_object(Bucket=bucket, Key=f"{component}/1.0.0/app.bin", Body=b"changed")
    s3.delete_object(Bucket=bucket, Key=f"{component}/1.0.0/app.bin")
    artifact = json.loads(gg.get_component(arn=arn)["recipe"])["Manifests"][0]["Artifacts"][0]
    assert artifact["Digest"] == base64.b64encode(hashlib.sha256(body).digest()).decode()
    assert artifact["Algorithm"] == "SHA-256" and artifact["Uri"].startswith("greengrass:")
    file = artifact["Uri"].split(":", 1)[1]
    url = gg.get_component_version_artifact(arn=arn, artifactName=file)["preSignedUrl"]
    assert len(url) < 300
    assert get(marram, url).data == body
    part = get(marram, url, Range="bytes=10-19")
    assert (part.status, part.data, part.headers["content-range"]) == (206, body[10:20], "bytes 10-19/300000")
    assert get(marram, url[:-1] + ("0" if url[-1] != "0" else "1")).status == 403
    quoted = arn.replace(":", "%3A")
    status, _, told = core.https("GET", f"/greengrass/v2/components/{quoted}/artifacts/{file}?s3EndpointType=REGIONAL")
    assert status == 200 and get(marram, told["preSignedUrl"]).data == body
    assert refused(gg.get_component_version_artifact, arn=arn, artifactName="absent") == (404, "ResourceNotFoundException")
    gg.delete_component(arn=arn)
    assert get(marram, url).status == 404


def test_artifacts_that_cannot_be_read(marram, client, gg, make_user, name):
    """CP 7.2: a missing object makes a FAILED component, which may be replaced; the caller's rights count, not the service's."""
    s3, bucket, component = client("s3"), f"absent-{name}", f"com.test.{name}"
    uri = f"s3://{bucket}/a/app.bin"
    body = recipe(component, Manifests=[{"Lifecycle": {"Run": "true"}, "Artifacts": [{"URI": uri}]}])
    arn = publish(gg, body)["arn"]
    status = gg.describe_component(arn=arn)["status"]
    assert status["componentState"] == "FAILED" and "NoSuchBucket" in status["errors"][uri]
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="a/app.bin", Body=b"x")
    author = make_user({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "greengrass:*", "Resource": "*"}]})
    publish(marram.client("greengrassv2", author), body)
    assert "AccessDenied" in gg.describe_component(arn=arn)["status"]["errors"][uri]
    publish(gg, body)
    assert gg.describe_component(arn=arn)["status"]["componentState"] == "DEPLOYABLE"


def test_resolve(marram, gg, core, name):
    """CP 6.3: the highest version in all ranges for the platform; the words both nuclei look for in refusals."""
    component = f"com.test.{name}"
    for version in ("1.0.0", "1.5.0", "2.0.0", "2.1.0-rc.1"):
        publish(gg, recipe(component, version))

    def ask(system, **ranges):
        candidate = {"componentName": component, "versionRequirements": ranges}
        return {"platform": {"name": "linux", "attributes": {"os": system}}, "componentCandidates": [candidate]}

    found = gg.resolve_component_candidates(**ask("linux", a=">=1.0.0", b="<2.0.0"))["resolvedComponentVersions"]
    assert [(one["componentName"], one["componentVersion"]) for one in found] == [(component, "1.5.0")]
    assert json.loads(found[0]["recipe"])["ComponentVersion"] == "1.5.0"
    path = "/greengrass/v2/resolveComponentCandidates"
    status, _, told = core.https("POST", path, json.dumps(ask("linux", requirements=">=1.0.0")), {"content-type": "application/json"})
    assert status == 200 and [one["componentVersion"] for one in told["resolvedComponentVersions"]] == ["2.0.0"]
    assert json.loads(base64.b64decode(told["resolvedComponentVersions"][0]["recipe"]))["ComponentName"] == component
    for system, wanted, words in (("linux", ">3.0.0", "no usable version"), ("darwin", ">=1.0.0", "claim platform")):
        status, code, told = core.https("POST", path, json.dumps(ask(system, a=wanted)))
        assert (status, code) == (404, "ResourceNotFoundException") and words in told["message"]
    assert refused(gg.resolve_component_candidates, **ask("linux", a=">3.0.0")) == (404, "ResourceNotFoundException")


def test_group_deployment(marram, client, gg, core, name):
    """CP 7.3, 7.5: a continuous job in the namespace, the document as devices read it, status by the execution, revisions."""
    iot, group, component = client("iot"), f"group-{name}", f"com.test.{name}"
    publish(gg, recipe(component))
    group_arn = iot.create_thing_group(thingGroupName=group)["thingGroupArn"]
    iot.add_thing_to_thing_group(thingGroupName=group, thingName=core.name)
    base = f"$aws/things/{core.name}/jobs"
    with core.connect() as line:
        line.subscribe(f"{base}/notify-{NAMESPACE}", f"{base}/$next/{NAMESPACE}/get/accepted")
        made = gg.create_deployment(
            targetArn=group_arn, deploymentName="first", tags={"k": "v"},
            components={component: {"componentVersion": "1.0.0", "configurationUpdate": {
                "merge": json.dumps({"a": {"b": 1}}), "reset": ["/c"]}, "runWith": {"posixUser": "u:g"}}})
        assert made["ResponseMetadata"]["HTTPStatusCode"] == 201 and made["iotJobArn"].endswith(f"job/{made['iotJobId']}")
        line.until(f"{base}/notify-{NAMESPACE}")
        line.publish(f"{base}/$next/{NAMESPACE}/get", {"includeJobDocument": True, "clientToken": "t"})
        told = line.until(f"{base}/$next/{NAMESPACE}/get/accepted")
        document = told["execution"]["jobDocument"]
        assert document["deploymentId"] == made["deploymentId"]
        assert document["configurationArn"] == f"arn:aws:greengrass:{marram.region}:{marram.account}:configuration:thinggroup/{group}:1"
        assert document["components"] == {component: {"version": "1.0.0", "runWith": {"posixUser": "u:g"},
                                          "configurationUpdate": {"merge": {"a": {"b": 1}}, "reset": ["/c"]}}}
        assert (document["failureHandlingPolicy"], document["componentUpdatePolicy"], document["configurationValidationPolicy"]) == (
            "ROLLBACK", {"timeout": 60, "action": "NOTIFY_COMPONENTS"}, {"timeout": 30})
        assert document["marramSignature"]["signatures"][0]["sig"]
        status, _, groups = core.https("GET", f"/greengrass/v2/coreDevices/{core.name}/thingGroups")
        assert status == 200 and groups["thingGroups"] == [{"thingGroupName": group, "rootToParentThingGroups": []}]
        job = made["iotJobId"]
        details = {"detailed-deployment-status": "SUCCESSFUL"}
        line.subscribe(f"{base}/{job}/{NAMESPACE}/update/accepted")
        for state in ("IN_PROGRESS", "SUCCEEDED"):
            line.publish(f"{base}/{job}/{NAMESPACE}/update", {"status": state, "statusDetails": details})
            line.until(f"{base}/{job}/{NAMESPACE}/update/accepted")
    effective = gg.list_effective_deployments(coreDeviceThingName=core.name)["effectiveDeployments"]
    assert [(one["deploymentId"], one["coreDeviceExecutionStatus"], one["targetArn"], one["iotJobId"]) for one in effective] == [
        (made["deploymentId"], "SUCCEEDED", group_arn, job)]
    effective = lambda: [
        (one["deploymentId"], one["coreDeviceExecutionStatus"])
        for one in gg.list_effective_deployments(coreDeviceThingName=core.name)["effectiveDeployments"]]
    iot.remove_thing_from_thing_group(thingGroupName=group, thingName=core.name)
    # Nothing is in force on it, and as it never told its state nothing is known of it either.
    assert refused(gg.list_effective_deployments, coreDeviceThingName=core.name) == (404, "ResourceNotFoundException")
    iot.add_thing_to_thing_group(thingGroupName=group, thingName=core.name)
    assert effective() == [(made["deploymentId"], "QUEUED")]
    again = iot.describe_job_execution(jobId=job, thingName=core.name)["execution"]
    assert (again["executionNumber"], again["status"]) == (2, "QUEUED")
    got = gg.get_deployment(deploymentId=made["deploymentId"])
    assert (got["deploymentStatus"], got["revisionId"], got["isLatestForTarget"], got["tags"]) == ("ACTIVE", "1", True, {"k": "v"})
    assert got["components"][component]["configurationUpdate"]["merge"] == json.dumps({"a": {"b": 1}})
    assert got["deploymentPolicies"]["failureHandlingPolicy"] == "ROLLBACK"

    second = gg.create_deployment(targetArn=group_arn, components={})
    old = gg.get_deployment(deploymentId=made["deploymentId"])
    assert (old["deploymentStatus"], old["isLatestForTarget"]) == ("INACTIVE", False)
    assert iot.describe_job(jobId=job)["job"]["status"] == "CANCELED"
    latest = gg.list_deployments(targetArn=group_arn)["deployments"]
    assert [(one["deploymentId"], one["revisionId"]) for one in latest] == [(second["deploymentId"], "2")]
    pages = gg.get_paginator("list_deployments").paginate(targetArn=group_arn, historyFilter="ALL", PaginationConfig={"PageSize": 1})
    assert [one["revisionId"] for page in pages for one in page["deployments"]] == ["2", "1"]
    assert refused(gg.delete_deployment, deploymentId=second["deploymentId"]) == (409, "ConflictException")
    assert gg.cancel_deployment(deploymentId=second["deploymentId"])["message"]
    assert refused(gg.cancel_deployment, deploymentId=second["deploymentId"]) == (409, "ConflictException")
    assert gg.delete_deployment(deploymentId=second["deploymentId"])["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(gg.get_deployment, deploymentId=second["deploymentId"]) == (404, "ResourceNotFoundException")
    # A core that was away would take one with the revision of the deleted one for done.
    third = gg.create_deployment(targetArn=group_arn, components={})
    assert gg.get_deployment(deploymentId=third["deploymentId"])["revisionId"] == "3"


def test_large_group_deployment(marram, client, gg, core, name):
    """CP 7.3: a document beyond the job's limit is a reference; the core fetches the whole, and its digest holds."""
    iot, group, component = client("iot"), f"group-{name}", f"com.test.{name}"
    publish(gg, recipe(component))
    group_arn = iot.create_thing_group(thingGroupName=group)["thingGroupArn"]
    iot.add_thing_to_thing_group(thingGroupName=group, thingName=core.name)
    big = {"text": "x" * 200_000}
    made = gg.create_deployment(targetArn=group_arn, components={
        component: {"componentVersion": "1.0.0", "configurationUpdate": {"merge": json.dumps(big)}}})
    document = json.loads(iot.get_job_document(jobId=made["iotJobId"])["document"])
    assert document["requiredCapabilities"] == ["LARGE_CONFIGURATION"] and "components" not in document
    path = f"/greengrass/v2/coreDevices/{core.name}/deployments/{made['deploymentId']}/configuration"
    status, _, told = core.https("GET", path)
    assert status == 200, told
    whole = get(marram, told["preSignedUrl"]).data
    assert told["integrityCheck"] == {"algorithm": "SHA-256", "digest": base64.b64encode(hashlib.sha256(whole).digest()).decode()}
    assert json.loads(whole)["components"][component]["configurationUpdate"]["merge"] == big


def test_thing_deployment(marram, client, gg, core, name):
    """CP 7.3: the named shadow carries the document; the deployment ends by the device's report."""
    component = f"com.test.{name}"
    publish(gg, recipe(component))
    base = f"$aws/things/{core.name}/shadow/name/{SHADOW}"
    with core.connect() as line:
        line.subscribe(f"{base}/update/accepted")
        made = gg.create_deployment(targetArn=core.arn, components={component: {"componentVersion": "1.0.0"}})
        assert "iotJobId" not in made
        desired = line.until(f"{base}/update/accepted")["state"]["desired"]
        document = json.loads(desired["fleetConfig"])
        assert desired["desiredStatus"] == "SUCCEEDED" and document["deploymentId"] == made["deploymentId"]
        assert gg.get_deployment(deploymentId=made["deploymentId"])["deploymentStatus"] == "ACTIVE"
        for status, wanted in (("IN_PROGRESS", "ACTIVE"), ("SUCCEEDED", "COMPLETED")):
            line.publish(f"{base}/update", {"state": {"reported": {
                "fleetConfigurationArnForStatus": document["configurationArn"], "status": status,
                "statusDetails": {"detailedStatus": "SUCCESSFUL"}}}})
            eventually(lambda: gg.get_deployment(deploymentId=made["deploymentId"])["deploymentStatus"], wanted)
    effective = gg.list_effective_deployments(coreDeviceThingName=core.name)["effectiveDeployments"]
    assert [one["coreDeviceExecutionStatus"] for one in effective] == ["COMPLETED"]
    again = gg.create_deployment(targetArn=core.arn, components={})
    assert gg.get_deployment(deploymentId=made["deploymentId"])["deploymentStatus"] == "COMPLETED"
    gg.cancel_deployment(deploymentId=again["deploymentId"])
    shadow = json.loads(client("iot-data").get_thing_shadow(thingName=core.name, shadowName=SHADOW)["payload"].read())
    assert shadow["state"]["desired"]["desiredStatus"] == "CANCELED"
    assert gg.get_deployment(deploymentId=again["deploymentId"])["deploymentStatus"] == "CANCELED"


def test_deployments_that_are_refused(marram, client, gg, core, make_user, name):
    iot = f"arn:aws:iot:{marram.region}:{marram.account}"
    assert refused(gg.create_deployment, targetArn=f"{iot}:thing/absent-{name}") == (404, "ResourceNotFoundException")
    assert refused(gg.create_deployment, targetArn=core.arn, components={"com.absent": {"componentVersion": "1.0.0"}}) == (
        404, "ResourceNotFoundException")
    for entry in ({"componentVersion": "one"}, {"componentVersion": "1.0.0", "configurationUpdate": {"merge": "["}},
                  {"componentVersion": "1.0.0", "configurationUpdate": {"reset": ["a"]}},
                  {"componentVersion": "1.0.0", "configurationUpdate": {"merge": '{"marram": {"sandbox": {"egress": "all"}}}'}}):
        assert refused(gg.create_deployment, targetArn=core.arn, components={"com.x": entry}) == (400, "ValidationException")
    only = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "greengrass:*", "Resource": "*"}]}
    author = marram.client("greengrassv2", make_user(only))
    assert refused(author.create_deployment, targetArn=core.arn) == (403, "AccessDeniedException")
    for call in (gg.get_deployment, gg.cancel_deployment, gg.delete_deployment):
        assert refused(call, deploymentId="absent") == (404, "ResourceNotFoundException")
    assert refused(gg.list_deployments, targetArn="arn:aws:iot:mars:1:thing/x") == (400, "ValidationException")


def status_message(core, sequence, kind, components, **more):
    return {"ggcVersion": "2.16.0", "platform": "linux", "architecture": "amd64", "runtime": "aws_nucleus_classic",
            "thing": core.name, "sequenceNumber": sequence, "timestamp": int(time.time() * 1000), "messageType": kind,
            "trigger": "CADENCE" if kind == "COMPLETE" else "COMPONENT_STATUS_CHANGE",
            "overallDeviceStatus": "HEALTHY", "components": components, **more}


def component_status(name, state="RUNNING", root=True):
    return {"componentName": name, "version": "1.0.0", "fleetConfigArns": [], "isRoot": root, "status": state,
            "componentStatusDetails": {"statusCodes": [], "statusReason": "so"}}


def test_fleet_status(marram, client, gg, core):
    """CP 7.4: complete and partial messages, chunks, old sequence numbers, uninstalled components; the core's operations."""
    topic = f"$aws/things/{core.name}/greengrassv2/health/json"

    def names(topology="ALL"):
        listed = gg.list_installed_components(coreDeviceThingName=core.name, topologyFilter=topology)
        return sorted((one["componentName"], one["lifecycleState"]) for one in listed["installedComponents"])

    for call in (gg.get_core_device, gg.delete_core_device, gg.list_installed_components, gg.list_effective_deployments):
        assert refused(call, coreDeviceThingName=core.name) == (404, "ResourceNotFoundException")
    with core.connect() as line:
        line.publish(topic, status_message(core, 1, "COMPLETE", [component_status("a"), component_status("b", root=False)]))
        eventually(lambda: [one["coreDeviceThingName"] for one in gg.list_core_devices()["coreDevices"] if one["coreDeviceThingName"] == core.name], [core.name])
        eventually(names, [("a", "RUNNING"), ("b", "RUNNING")])
        assert names("ROOT") == [("a", "RUNNING")]
        line.publish(topic, status_message(core, 2, "PARTIAL", [component_status("a", "BROKEN"), component_status("c")], overallDeviceStatus="UNHEALTHY"))
        eventually(names, [("a", "BROKEN"), ("b", "RUNNING"), ("c", "RUNNING")])
        line.publish(topic, status_message(core, 2, "PARTIAL", [component_status("old")]))
        line.publish(topic, status_message(core, 3, "PARTIAL", [component_status("b", "UNINSTALLED")]))
        eventually(names, [("a", "BROKEN"), ("c", "RUNNING")])
        for chunk in (2, 1):
            line.publish(topic, status_message(core, 4, "COMPLETE", [component_status(f"chunk{chunk}")], chunkInfo={"chunkId": chunk, "totalChunks": 2}))
        eventually(names, [("chunk1", "RUNNING"), ("chunk2", "RUNNING")])
        line.publish(f"$aws/things/{core.name}/greengrass/health/json", {"Schema": "2020-07-30", "ADP": []})
    got = gg.get_core_device(coreDeviceThingName=core.name)
    assert (got["coreVersion"], got["platform"], got["architecture"], got["runtime"], got["status"]) == (
        "2.16.0", "linux", "amd64", "aws_nucleus_classic", "HEALTHY")
    assert gg.list_core_devices(status="UNHEALTHY").get("coreDevices") == []
    pages = gg.get_paginator("list_installed_components").paginate(
        coreDeviceThingName=core.name, topologyFilter="ALL", PaginationConfig={"PageSize": 1})
    assert len([one for page in pages for one in page["installedComponents"]]) == 2
    pages = gg.get_paginator("list_core_devices").paginate(PaginationConfig={"PageSize": 1})
    assert core.name in [one["coreDeviceThingName"] for page in pages for one in page["coreDevices"]]
    pages = gg.get_paginator("list_effective_deployments").paginate(coreDeviceThingName=core.name)
    assert [one for page in pages for one in page["effectiveDeployments"]] == []
    assert refused(gg.list_core_devices, thingGroupArn="arn:aws:iot:us-east-1:1:thinggroup/x") == (400, "ValidationException")
    arn = f"arn:aws:greengrass:{marram.region}:{marram.account}:coreDevices:{core.name}"
    gg.tag_resource(resourceArn=arn, tags={"a": "b"})
    assert gg.get_core_device(coreDeviceThingName=core.name)["tags"] == {"a": "b"}
    assert gg.delete_core_device(coreDeviceThingName=core.name)["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_a_part_is_no_core(gg, core):
    """CP 7.4: of an original that is not known, or was deleted while it ran, a partial message makes no healthy core without components:
    it is shown again when it told all, whatever number that message has."""
    topic = f"$aws/things/{core.name}/greengrassv2/health/json"
    known = lambda: core.name in [one["coreDeviceThingName"] for page in gg.get_paginator("list_core_devices").paginate() for one in page["coreDevices"]]
    names = lambda: [one["componentName"] for one in gg.list_installed_components(coreDeviceThingName=core.name, topologyFilter="ALL")["installedComponents"]]
    with core.connect() as line:
        for sequence in (7, 8):
            part = json.dumps(status_message(core, sequence, "PARTIAL", [component_status("a")]))
            line.client.publish(topic, part, 1).wait_for_publish(WAIT_SECONDS)
            assert not known()
            line.publish(topic, status_message(core, sequence + 10, "COMPLETE", [component_status("a"), component_status("b")]))
            eventually(known, True)
            assert sorted(names()) == ["a", "b"]
            gg.delete_core_device(coreDeviceThingName=core.name)
            assert not known()


def test_the_end_of_a_deployment_may_overtake_its_beginning(gg, core):
    """CP 7.3, 7.4: shadow and fleet status tell of the same deployment, in any order; how it ended stands."""
    made = gg.create_deployment(targetArn=core.arn, components={})["deploymentId"]
    shadow = f"$aws/things/{core.name}/shadow/name/AWSManagedGreengrassV2Deployment"
    told = lambda: [
        (one["coreDeviceExecutionStatus"], one["statusDetails"]["errorStack"])
        for one in gg.list_effective_deployments(coreDeviceThingName=core.name)["effectiveDeployments"] if one["deploymentId"] == made]
    with core.connect() as line:
        line.subscribe(f"{shadow}/get/accepted", f"{shadow}/update/accepted")
        line.publish(f"{shadow}/get", "")
        arn = line.until(f"{shadow}/get/accepted")["state"]["desired"]["fleetConfigurationArn"]
        details = {"detailedStatus": "FAILED_NO_STATE_CHANGE", "failureCause": "so", "errorStack": ["DEPLOYMENT_FAILURE"], "errorTypes": []}
        end = {"fleetConfigurationArnForStatus": arn, "status": "FAILED", "statusDetails": details}
        line.publish(f"$aws/things/{core.name}/greengrassv2/health/json",
                     status_message(core, 1, "COMPLETE", [component_status("a")], deploymentInformation={**end, "deploymentId": made}))
        eventually(lambda: gg.get_deployment(deploymentId=made)["deploymentStatus"], "FAILED")
        line.publish(f"{shadow}/update", {"state": {"reported": {"fleetConfigurationArnForStatus": arn, "status": "IN_PROGRESS"}}})
        line.until(f"{shadow}/update/accepted")
        assert told() == [("FAILED", ["DEPLOYMENT_FAILURE"])]
        line.publish(f"{shadow}/update", {"state": {"reported": {**end, "status": "SUCCEEDED"}}})
        eventually(lambda: [status for status, _ in told()], ["COMPLETED"])


def test_client_devices_and_discovery(marram, client, gg, core, tmp_path, name):
    """CP 6.5, 7.4: association, connectivity, core certificates, and the document a client device gets."""
    iot = client("iot")
    device = Device(marram, iot, tmp_path, f"client-{name}", core_policy)
    told = gg.batch_associate_client_device_with_core_device(
        coreDeviceThingName=core.name, entries=[{"thingName": device.name}, {"thingName": "absent"}])
    assert [(one["thingName"], one["code"]) for one in told["errorEntries"]] == [("absent", "ResourceNotFoundException")]
    pages = gg.get_paginator("list_client_devices_associated_with_core_device").paginate(coreDeviceThingName=core.name)
    assert [one["thingName"] for page in pages for one in page["associatedClientDevices"]] == [device.name]
    place = {"id": "ip-1", "hostAddress": "192.0.2.10", "portNumber": 8883, "metadata": ""}
    assert gg.update_connectivity_info(thingName=core.name, connectivityInfo=[place])["version"] == "1"
    assert gg.get_connectivity_info(thingName=core.name)["connectivityInfo"] == [place]
    gci = json.loads(client("iot-data").get_thing_shadow(thingName=f"{core.name}-gci")["payload"].read())
    assert gci["state"]["desired"] == {"version": "1"}
    pem = core.certificate.read_text()
    status, _, _ = core.https("PUT", f"/greengrass/v2/coreDevices/{core.name}/certificateAuthorities",
                              json.dumps({"coreDeviceCertificates": [pem]}))
    assert status == 200
    status, _, found = device.https("GET", f"/greengrass/discover/thing/{device.name}")
    assert status == 200 and found == {"GGGroups": [{
        "GGGroupId": f"greengrassV2-coreDevice-{core.name}", "CAs": [pem],
        "Cores": [{"thingArn": core.arn, "Connectivity": [
            {"Id": "ip-1", "HostAddress": "192.0.2.10", "PortNumber": 8883, "Metadata": ""}]}]}]}
    assert device.https("GET", f"/greengrass/discover/thing/{core.name}")[0] == 403
    assert core.https("GET", f"/greengrass/discover/thing/{core.name}")[0] == 404
    assert device.https("PUT", f"/greengrass/v2/coreDevices/{core.name}/certificateAuthorities",
                        json.dumps({"coreDeviceCertificates": [pem]}))[0] == 403
    gg.batch_disassociate_client_device_from_core_device(coreDeviceThingName=core.name, entries=[{"thingName": device.name}])
    assert gg.list_client_devices_associated_with_core_device(coreDeviceThingName=core.name)["associatedClientDevices"] == []
    for call in (gg.batch_associate_client_device_with_core_device, gg.batch_disassociate_client_device_from_core_device):
        assert refused(call, coreDeviceThingName="absent", entries=[{"thingName": device.name}]) == (404, "ResourceNotFoundException")
    assert refused(gg.list_client_devices_associated_with_core_device, coreDeviceThingName="absent") == (404, "ResourceNotFoundException")
    for call, more in ((gg.get_connectivity_info, {}), (gg.update_connectivity_info, {"connectivityInfo": [place]})):
        assert refused(call, thingName="absent", **more) == (400, "ValidationException")


def test_service_role(marram, client, gg, name):
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "greengrass.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    role = client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    assert refused(gg.associate_service_role_to_account, roleArn="nothing") == (400, "ValidationException")
    assert gg.associate_service_role_to_account(roleArn=role)["associatedAt"]
    assert gg.get_service_role_for_account()["roleArn"] == role
    assert gg.disassociate_service_role_from_account()["disassociatedAt"]
    assert refused(gg.get_service_role_for_account) == (404, "ResourceNotFoundException")


def test_development_kit(marram, client, gg, name, tmp_path):
    """CP 7.5: what `gdk component publish` calls, in its order."""
    sts, s3, component = client("sts"), client("s3"), f"com.test.{name}"
    account = sts.get_caller_identity()["Account"]
    bucket = f"gdk-{name}-{marram.region}-{account}"
    family = f"arn:aws:greengrass:{marram.region}:{account}:components:{component}"
    # GDK takes an error for a failure, also of a component that it is about to publish for the first time.
    assert gg.list_component_versions(arn=family)["componentVersions"] == []
    assert refused(s3.get_bucket_location, Bucket=bucket)[1] == "NoSuchBucket"
    s3.create_bucket(Bucket=bucket)
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    archive = tmp_path / "app.zip"
    archive.write_bytes(os.urandom(9 << 20))
    with s3transfer.manager.TransferManager(s3) as manager:
        manager.upload(str(archive), bucket, f"{component}/1.0.0/app.zip").result()
    uri = f"s3://{bucket}/{component}/1.0.0/app.zip"
    manifest = {"Platform": {"os": "*"}, "Lifecycle": {"Run": "true"}, "Artifacts": [{"URI": uri, "Unarchive": "ZIP"}]}
    arn = publish(gg, recipe(component, Manifests=[manifest]))["arn"]
    artifact = json.loads(gg.get_component(arn=arn)["recipe"])["Manifests"][0]["Artifacts"][0]
    assert artifact["Digest"] == base64.b64encode(hashlib.sha256(archive.read_bytes()).digest()).decode()
    assert gg.list_component_versions(arn=family)["componentVersions"][0]["componentVersion"] == "1.0.0"


def test_command_line(marram, gg, name):
    publish(gg, recipe(f"com.test.{name}"))
    environment = {**os.environ, **marram.environment, "AWS_EC2_METADATA_DISABLED": "true"}
    for arguments in (["list-components"], ["list-deployments"], ["list-core-devices"]):
        command = [sys.executable, "-m", "awscli", "greengrassv2", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert isinstance(json.loads(done.stdout), dict)
