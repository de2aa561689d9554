"""iotthingsgraph through boto3: all 35 operations, on models of our own (TG 9)."""
import json
import time

import pytest

from pages import all_pages

WAIT_SECONDS = 60


@pytest.fixture(scope="module")
def graph(client):
    return client("iotthingsgraph")


def document(text):
    return {"language": "GRAPHQL", "text": text}


class Names:
    """Ids of one test's own entities."""

    def __init__(self, marram, name):
        self.namespace = f"{marram.region}/{marram.account}/default"
        self.arn = f"arn:aws:iotthingsgraph:{marram.region}:{marram.account}"
        self.name = name

    def id(self, metatype, suffix=""):
        return f"urn:tdm:{self.namespace}:{metatype}:{self.name}{suffix}"

    def entities(self, extra=""):
        return f"""
        type Level @propertyType(id: "{self.id('Property')}", dataType: int32, minValue: 0 {extra}) {{ ignore: void }}
        type Read @actionType(id: "{self.id('Action')}") {{ return: Level @property(id: "{self.id('Property')}") }}
        type Tank @capabilityType(id: "{self.id('Capability')}") {{ read: Read @action(id: "{self.id('Action')}") }}
        type Tank @deviceModel(id: "{self.id('DeviceModel')}", capability: "{self.id('Capability')}") {{ ignore: void }}
        query Tank @device(id: "{self.id('Device')}", deviceModel: "{self.id('DeviceModel')}") {{
          MQTT {{ Tank(id: "{self.id('Capability')}") {{
            Action(name: "read") {{ params Publish {{
              Request(topic: "$macro(${{systemRuntime.deviceId}}/read)") {{ params }}
              Response(topic: "$macro(${{systemRuntime.deviceId}}/level)") {{ responsePayload(property: "{self.id('Property')}") }}
            }} }}
          }} }}
        }}"""

    def flow(self, suffix="", extra=""):
        return f"""
        query Ask($tank: string!) @workflowType(id: "{self.id('Workflow', suffix)}") {{
          variables {{ level @property(id: "{self.id('Property')}") }}
          steps {{ step(name: "ask{extra}") {{
            DeviceActivity(deviceModel: "{self.id('DeviceModel')}", deviceId: "${{tank}}", out: "level") {{ read }}
          }} }}
        }}"""

    def system(self, suffix="", description="d"):
        return f"""
        type Site @systemType(id: "{self.id('System', suffix)}", description: "{description}") {{
          tank: Tank @thing(id: "{self.id('DeviceModel')}")
          Ask: Flow @workflow(id: "{self.id('Workflow')}")
        }}"""

    def deployment(self, thing, suffix=""):
        return f"""
        query Here @deployment(id: "{self.id('Deployment', suffix)}", systemId: "{self.id('System')}") {{
          tank(deviceId: "{thing}")
          triggers {{ Often {{ condition(expr: "every 1 second")
            action(expr: "ThingsGraph.startFlow('Ask', bindings[name == 'tank'].deviceId)") }} }}
        }}"""


def upload(graph, **parameters):
    identifier = graph.upload_entity_definitions(**parameters)["uploadId"]
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        status = graph.get_upload_status(uploadId=identifier)
        if status["uploadStatus"] != "IN_PROGRESS":
            return status
        time.sleep(0.05)
    raise AssertionError("the upload does not end")


@pytest.fixture
def names(marram, name):
    return Names(marram, f"Tank{name}")


@pytest.fixture
def model(graph, names):
    status = upload(graph, document=document(names.entities()))
    assert status["uploadStatus"] == "SUCCEEDED", status
    return names


@pytest.fixture(scope="module")
def role(client, marram):
    iam = client("iam")
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
             "Principal": {"Service": "iotthingsgraph.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*",
             "Action": ["iot:Connect", "iot:Publish", "iot:Subscribe", "iot:Receive"]}]}
    arn = iam.create_role(RoleName="graph-flows", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName="graph-flows", PolicyName="devices", PolicyDocument=json.dumps(allow))
    return arn


def test_entities(graph, model, marram):
    assert upload(graph, syncWithPublicNamespace=True)["uploadStatus"] == "SUCCEEDED"
    described = graph.get_entities(ids=[model.id("DeviceModel"), "urn:tdm:aws/examples:DeviceModel:Camera"])
    assert [one["type"] for one in described["descriptions"]] == ["DEVICE_MODEL", "DEVICE_MODEL"]
    assert described["descriptions"][0]["definition"]["language"] == "GRAPHQL"
    found = all_pages(graph.search_entities, "nextToken", "nextToken", "descriptions",
                      entityTypes=["DEVICE_MODEL", "CAPABILITY"], maxResults=3)
    ids = [one["id"] for one in found]
    assert model.id("DeviceModel") in ids and "urn:tdm:aws/examples:DeviceModel:Camera" in ids
    assert len(ids) == len(set(ids)) and ids == sorted(ids, key=str.lower)
    by_name = graph.search_entities(entityTypes=["DEVICE"], filters=[{"name": "NAME", "value": [model.name]}])
    assert [one["id"] for one in by_name["descriptions"]] == [model.id("Device")]
    namespace = graph.describe_namespace()
    assert namespace["namespaceName"] == model.namespace
    assert graph.describe_namespace(namespaceName="aws")["namespaceVersion"] >= 1


def test_a_refused_upload_says_why(graph, names):
    status = upload(graph, document=document(names.entities("unknownFacet: 1 dataType: nothing")))
    assert status["uploadStatus"] == "FAILED"
    assert any("TDM" in reason for reason in status["failureReason"])


def test_a_changed_entity_makes_a_new_version(graph, model):
    before = graph.describe_namespace()["namespaceVersion"]
    assert upload(graph, document=document(model.entities()))["namespaceVersion"] == before
    assert upload(graph, document=document(model.entities(", maxValue: 9")))["namespaceVersion"] == before + 1


@pytest.fixture
def templates(graph, model):
    graph.create_flow_template(definition=document(model.flow()))
    graph.create_system_template(definition=document(model.system()))
    return model


def test_templates(graph, templates):
    names = templates
    for kind, text, other in (
        ("flow", names.flow(), names.flow(extra=" again")),
        ("system", names.system(), names.system(description="other")),
    ):
        identifier = names.id("Workflow" if kind == "flow" else "System")
        call = lambda verb, end="": getattr(graph, f"{verb}_{kind}_template{end}")
        with pytest.raises(graph.exceptions.ResourceAlreadyExistsException):
            call("create")(definition=document(text))
        summary = call("update")(id=identifier, definition=document(other))["summary"]
        assert (summary["id"], summary["revisionNumber"]) == (identifier, 2)
        assert summary["arn"] == f"{names.arn}:{'Workflow' if kind == 'flow' else 'System'}/default/{names.name}"
        assert call("get")(id=identifier)["description"]["definition"]["text"] == other
        assert call("get")(id=identifier, revisionNumber=1)["description"]["definition"]["text"] == text
        revisions = all_pages(call("get", "_revisions"), "nextToken", "nextToken", "summaries", id=identifier, maxResults=1)
        assert [one["revisionNumber"] for one in revisions] == [2, 1]
    found = graph.search_flow_templates(filters=[{"name": "DEVICE_MODEL_ID", "value": [names.id("DeviceModel")]}])
    assert [one["id"] for one in found["summaries"]] == [names.id("Workflow")]
    found = graph.search_system_templates(filters=[{"name": "FLOW_TEMPLATE_ID", "value": [names.id("Workflow")]}])
    assert [one["id"] for one in found["summaries"]] == [names.id("System")]
    for kind, identifier in (("system", names.id("System")), ("flow", names.id("Workflow"))):
        with pytest.raises(graph.exceptions.InvalidRequestException):
            getattr(graph, f"delete_{kind}_template")(id=identifier)
        getattr(graph, f"deprecate_{kind}_template")(id=identifier)
        getattr(graph, f"delete_{kind}_template")(id=identifier)
        with pytest.raises(graph.exceptions.ResourceNotFoundException):
            getattr(graph, f"get_{kind}_template")(id=identifier)


def test_associations(graph, client, model, name):
    client("iot").create_thing(thingName=name)
    graph.associate_entity_to_thing(thingName=name, entityId=model.id("Device"))
    for entity in ("Device", "DeviceModel"):
        things = graph.search_things(entityId=model.id(entity))["things"]
        assert [thing["thingName"] for thing in things] == [name]
    graph.dissociate_entity_from_thing(thingName=name, entityType="DEVICE")
    assert graph.search_things(entityId=model.id("Device"))["things"] == []


def test_a_deployment_runs_and_ends(graph, client, templates, role, name):
    """TG 7.5: from nothing to executions with their messages, and back to nothing."""
    names = templates
    client("iot").create_thing(thingName=name)
    identifier = names.id("Deployment")
    target = {"target": "CLOUD", "flowActionsRoleArn": role}
    with pytest.raises(graph.exceptions.InvalidRequestException, match="TDM5002"):
        graph.create_system_instance(definition=document(names.deployment(name)), **target)
    graph.associate_entity_to_thing(thingName=name, entityId=names.id("Device"))
    made = graph.create_system_instance(
        definition=document(names.deployment(name)), tags=[{"key": "site", "value": "north"}], **target
    )["summary"]
    assert (made["status"], made["target"]) == ("NOT_DEPLOYED", "CLOUD")
    graph.tag_resource(resourceArn=made["arn"], tags=[{"key": "floor", "value": "3"}])
    graph.untag_resource(resourceArn=made["arn"], tagKeys=["site"])
    assert graph.list_tags_for_resource(resourceArn=made["arn"])["tags"] == [{"key": "floor", "value": "3"}]
    with pytest.raises(graph.exceptions.InvalidRequestException):
        graph.undeploy_system_instance(id=identifier)
    graph.deploy_system_instance(id=identifier)
    wait_for_status(graph, identifier, "DEPLOYED_IN_TARGET")
    with pytest.raises(graph.exceptions.ResourceInUseException):
        graph.delete_system_instance(id=identifier)
    description = graph.get_system_instance(id=identifier)["description"]
    assert description["flowActionsRoleArn"] == role
    revisions = {one["id"]: one["revisionNumber"] for one in description["validatedDependencyRevisions"]}
    assert revisions == {names.id("System"): 1, names.id("Workflow"): 1}
    filters = [{"name": "SYSTEM_TEMPLATE_ID", "value": [names.id("System")]}]
    assert [one["id"] for one in graph.search_system_instances(filters=filters)["summaries"]] == [identifier]
    execution = wait_for_execution(graph, identifier)
    assert execution["flowTemplateId"] == names.id("Workflow")
    messages = all_pages(graph.list_flow_execution_messages, "nextToken", "nextToken", "messages",
                         flowExecutionId=execution["flowExecutionId"], maxResults=2)
    types = {message["eventType"] for message in messages}
    assert {"EXECUTION_STARTED", "STEP_STARTED"} <= types and messages[0]["eventType"] == "START_FLOW_EXECUTION_TASK"
    graph.undeploy_system_instance(id=identifier)
    wait_for_status(graph, identifier, "DELETED_IN_TARGET")
    graph.delete_system_instance(id=identifier)
    with pytest.raises(graph.exceptions.ResourceNotFoundException):
        graph.get_system_instance(id=identifier)


def wait_for_status(graph, identifier, wanted):
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        status = graph.get_system_instance(id=identifier)["description"]["summary"]["status"]
        if status == wanted:
            return
        assert status != "FAILED"
        time.sleep(0.05)
    raise AssertionError(f"still {status}, not {wanted}")


def wait_for_execution(graph, identifier):
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        found = graph.search_flow_executions(systemInstanceId=identifier)["summaries"]
        if found:
            return found[-1]
        time.sleep(0.05)
    raise AssertionError("no execution was started")


def test_a_namespace_is_deleted_as_a_whole(marram):
    """TG 8: refused while a flow is there, then gone with everything in it; in an account of its own."""
    account, keys = marram.create_account("namespace-deletion")
    graph = marram.client("iotthingsgraph", keys)
    names = Names(marram, "Short")
    names.namespace = names.namespace.replace(marram.account, account)
    with pytest.raises(graph.exceptions.ResourceNotFoundException):
        graph.describe_namespace()
    upload(graph, document=document(names.entities()))
    graph.create_flow_template(definition=document(names.flow()))
    assert deletion(graph)["status"] == "FAILED"
    graph.deprecate_flow_template(id=names.id("Workflow"))
    graph.delete_flow_template(id=names.id("Workflow"))
    assert deletion(graph)["status"] == "SUCCEEDED"
    with pytest.raises(graph.exceptions.ResourceNotFoundException):
        graph.get_entities(ids=[names.id("Device")])


def deletion(graph):
    graph.delete_namespace()
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        status = graph.get_namespace_deletion_status()
        if status["status"] != "IN_PROGRESS":
            return status
        time.sleep(0.05)
    raise AssertionError("the deletion does not end")
