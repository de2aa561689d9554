"""CR 6.8, 10.2: the unmodified IPC client runs all 35 operations against a core: one success and one modelled error each.

The core is provisioned, under the control plane, and its line can be cut. The clients are its components'; what an operation
says it did is looked at from the other side.
"""
import concurrent.futures
import datetime
import json
import re
import socket
import subprocess
import time

import pytest
from awsiot import eventstreamrpc, greengrasscoreipc
from awsiot.greengrasscoreipc import clientv2, model

import driven
from debug_console import DebugConsole, is_cut
from device import Device, everything
from driven import SECONDS, Count, Driven, Operator, deployed
from edge import Core
from waiting import free_port, until

ONE, TWO, DENIED = "com.example.One", "com.example.Two", "com.example.Denied"
STREAMS = "aws.greengrass.StreamManager"
LOCAL = "com.example.Local"
BUCKET = "ipc-parts"
#: A name that nothing has.
NONE = "com.example.None"
NO_DEPLOYMENT = "00000000-0000-4000-8000-000000000000"


class Site:
    """The core, its components' clients, the operator, and what was counted."""

    def __init__(self, core, marram, client, folder):
        self.core, self.client, self.count = core, client, Count()
        self.thing, self.root = self.core.thing, self.core.root
        self.target = client("iot").describe_thing(thingName=self.thing)["thingArn"]
        s3 = client("s3")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key=driven.DRIVER.name, Body=driven.DRIVER.read_bytes())
        self.uri = f"s3://{BUCKET}/{driven.DRIVER.name}"
        rights = {"accessControl": driven.EVERYTHING, "rate": 5, "deep": {"a": {"b": 1}}}
        for name, configuration in ((ONE, rights), (TWO, rights), (DENIED, {})):
            arn = client("greengrassv2").create_component_version(inlineRecipe=driven.recipe(name, "1.0.0", self.uri, configuration))["arn"]
            until(name, lambda: client("greengrassv2").describe_component(arn=arn)["status"]["componentState"] == "DEPLOYABLE")
        self.secret = client("secretsmanager").create_secret(Name="greengrass/ipc-database", SecretString="hunter2")["ARN"]
        self.device = Device(marram, client("iot"), folder, "ipc-lathe", everything)
        client("greengrassv2").batch_associate_client_device_with_core_device(
            coreDeviceThingName=self.thing, entries=[{"thingName": self.device.name}])
        groups = {"formatVersion": "2021-03-05", "definitions": {"all": {"selectionRule": f"thingName: {self.device.name}", "policyName": "own"}},
                  "policies": {"own": {"1": {"operations": ["mqtt:publish"], "resources": ["mqtt:topic:lathe/*"]}}}}
        part = lambda version, configuration: {"componentVersion": version, "configurationUpdate": {"merge": json.dumps(configuration)}}
        self.components = {
            **{name: {"componentVersion": "1.0.0"} for name in (ONE, TWO, DENIED)},
            "aws.greengrass.SecretManager": part("2.2.9", {"cloudSecrets": [{"arn": self.secret}]}),
            "aws.greengrass.ShadowManager": part("2.3.14", {"synchronize": {"coreThing": {"classic": True, "namedShadows": ["*"]}}}),
            "aws.greengrass.clientdevices.Auth": part("2.5.7", {"deviceGroups": groups}),
        }
        assert deployed(client("greengrassv2"), self.deploy()) == "COMPLETED", self.core.log()
        self.one, self.two, self.denied, self.streams = (Driven(self.root, name, self.count) for name in (ONE, TWO, DENIED, STREAMS))
        self.operator = Operator(self.root, self.count)
        # Names that begin with `aws.` are not for components of the control plane's users, but an operator has the core.
        self.install(folder / "streams", STREAMS, {})

    def install(self, folder, name, configuration, **options):
        """A local deployment of the driver under this name; answers its id."""
        recipes, artifacts = folder / "recipes", folder / "artifacts" / name / "1.0.0"
        for made in (recipes, artifacts):
            made.mkdir(parents=True)
        (artifacts / driven.DRIVER.name).write_bytes(driven.DRIVER.read_bytes())
        (recipes / "recipe.json").write_text(driven.recipe(name, "1.0.0", f"s3://nowhere/{driven.DRIVER.name}", configuration))
        made = self.operator.create_local_deployment(
            root_component_versions_to_add={name: "1.0.0"}, recipe_directory_path=str(recipes),
            artifacts_directory_path=str(folder / "artifacts"), **options)["deployment_id"]
        until("the local deployment", lambda: self.local_status(made) == "SUCCEEDED")
        return made

    def local_status(self, deployment):
        return self.operator.get_local_deployment_status(deployment_id=deployment)["deployment"]["status"]

    def deploy(self, **options):
        """A deployment of the control plane."""
        return self.client("greengrassv2").create_deployment(targetArn=self.target, components=self.components, **options)

    def configured(self, name, merge):
        """The components with another configuration of one of them."""
        self.components[name] = {**self.components[name], "configurationUpdate": {"merge": json.dumps(merge)}}

    def state(self, name):
        return self.operator.get_component_details(component_name=name)["component_details"]["state"]

    def cli(self, *arguments):
        """`greengrass-cli` of the core: exit code, output, words."""
        done = subprocess.run([self.root / "bin/greengrass-cli", *arguments], capture_output=True, text=True, timeout=2 * SECONDS)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def site(marram, client, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ipc")
    core = Core(marram, folder, "ipc-core")
    try:
        made = Site(core, marram, client, folder)
        yield made
        made.operator.quit()
    finally:
        core.close()


def text(words):
    return model.PublishMessage(binary_message=model.BinaryMessage(message=words))


def test_components_are_paused_restarted_and_stopped(site):
    """CR 2.4, 2.11: what is paused does not run, what is restarted is another process, what is stopped stays so."""
    one, two, denied = site.one, site.two, site.denied
    first = two.order("pid")
    one.pause_component(component_name=TWO)
    assert two.is_silent(1)
    one.resume_component(component_name=TWO)
    assert two.order("pid") == first
    for operation in ("pause_component", "resume_component", "restart_component", "stop_component", "get_component_details"):
        one.refuse(model.ResourceNotFoundError, operation, component_name=NONE)
        denied.refuse(model.UnauthorizedError, operation, component_name=TWO)
    assert one.restart_component(component_name=TWO)["restart_status"] == "SUCCEEDED"
    until("another process", lambda: not two.is_silent(SECONDS) and two.order("pid") != first)
    # ERRORED, told by the component itself, is answered with a new start.
    second = two.order("pid")
    two.update_state(state="ERRORED")
    until("another process", lambda: not two.is_silent(SECONDS) and two.order("pid") != second)
    two.refuse(model.InvalidArgumentsError, "update_state", state="BROKEN")
    site.operator.refuse(model.ResourceNotFoundError, "update_state", state="RUNNING")
    assert one.stop_component(component_name=TWO)["stop_status"] == "SUCCEEDED"
    until("the end", lambda: site.state(TWO) == "FINISHED")
    assert two.is_silent(1)
    listed = {found["component_name"]: found["state"] for found in one.list_components()["components"]}
    assert {name: listed[name] for name in (ONE, TWO, DENIED)} == {ONE: "RUNNING", TWO: "FINISHED", DENIED: "RUNNING"}
    denied.refuse(model.UnauthorizedError, "list_components")
    one.restart_component(component_name=TWO)
    until("the start", lambda: site.state(TWO) == "RUNNING")
    details = one.get_component_details(component_name=TWO)["component_details"]
    assert (details["version"], details["configuration"]["rate"]) == ("1.0.0", 5)


def test_configuration_is_read_merged_and_guarded_by_time(site):
    one, two = site.one, site.two
    assert one.get_configuration(key_path=["deep", "a"]) == {"component_name": ONE, "value": {"b": 1}}
    assert one.get_configuration(component_name=TWO, key_path=["rate"]) == {"component_name": TWO, "value": {"rate": 5}}
    one.refuse(model.ResourceNotFoundError, "get_configuration", key_path=["none"])
    one.refuse(model.ResourceNotFoundError, "get_configuration", component_name=NONE)
    _, changes = one.subscribe("subscribe_to_configuration_update", component_name=TWO, key_path=["deep"])
    one.refuse(model.ResourceNotFoundError, "subscribe_to_configuration_update", key_path=["none"])
    now = datetime.datetime.now()
    two.update_configuration(key_path=["deep", "a"], timestamp=now, value_to_merge={"b": 2})
    assert changes.take() == {"configuration_update_event": {"component_name": TWO, "key_path": ["deep", "a", "b"]}}
    assert one.get_configuration(component_name=TWO, key_path=["deep"])["value"] == {"a": {"b": 2}}
    two.refuse(model.FailedUpdateConditionCheckError, "update_configuration", key_path=["deep", "a"],
               timestamp=now - datetime.timedelta(1), value_to_merge={"b": 3})
    two.refuse(model.InvalidArgumentsError, "update_configuration", timestamp=now, value_to_merge={"accessControl": {}})
    two.update_configuration(key_path=["deep", "a"], timestamp=datetime.datetime.now(), value_to_merge={"c": 4})
    assert changes.take()["configuration_update_event"]["key_path"] == ["deep", "a", "c"], "nothing of what was refused"


def test_local_messages(site):
    one, two = site.one, site.two
    response, heard = one.subscribe("subscribe_to_topic", topic="site/+/t")
    assert response["topic_name"] == "site/+/t"
    message = model.PublishMessage(json_message=model.JsonMessage(message={"x": [1, "ä"]}))
    two.publish_to_topic(topic="site/4/t", publish_message=message)
    assert heard.take() == {"json_message": {"message": {"x": [1, "ä"]}, "context": {"topic": "site/4/t"}}}
    two.publish_to_topic(topic="site/5/t", publish_message=text(b"\x00\xff"))
    assert heard.take() == {"binary_message": {"message": b"\x00\xff", "context": {"topic": "site/5/t"}}}
    heard.close()
    one.refuse(model.InvalidArgumentsError, "publish_to_topic", topic="a/#", publish_message=text(b"x"))
    one.refuse(model.InvalidArgumentsError, "subscribe_to_topic", topic="a/#/b")
    site.denied.refuse(model.UnauthorizedError, "subscribe_to_topic", topic="a")
    site.denied.refuse(model.UnauthorizedError, "publish_to_topic", topic="a", publish_message=text(b"x"))


def test_cloud_messages(site, client):
    """Through the control plane and back, with everything that MQTT 5 carries; and from an application."""
    base = f"{site.thing}/ipc"
    _, heard = site.one.subscribe("subscribe_to_iot_core", topic_name=f"{base}/#", qos="1")
    site.two.publish_to_iot_core(
        topic_name=f"{base}/d", qos="1", payload=b"hello", content_type="x/y", payload_format="1", correlation_data=b"\x01",
        user_properties=[model.UserProperty(key="k", value="v")], message_expiry_interval_seconds=900, response_topic="r")
    found = heard.take()["message"]
    assert 0 < found.pop("message_expiry_interval_seconds") <= 900
    assert found == {"topic_name": f"{base}/d", "payload": b"hello", "content_type": "x/y", "payload_format": "1",
                     "correlation_data": b"\x01", "user_properties": [{"key": "k", "value": "v"}], "response_topic": "r"}
    client("iot-data").publish(topic=f"{base}/application", qos=1, payload=b"from outside")
    assert heard.take()["message"]["payload"] == b"from outside"
    site.one.refuse(model.InvalidArgumentsError, "subscribe_to_iot_core", topic_name="a/#/b", qos="1")
    site.one.refuse(model.InvalidArgumentsError, "publish_to_iot_core", topic_name="a/+", qos="1", payload=b"x")
    site.denied.refuse(model.UnauthorizedError, "publish_to_iot_core", topic_name="a", qos="1", payload=b"x")
    heard.close()


def test_the_state_of_the_line_is_told(site):
    _, told = site.one.subscribe("subscribe_to_iot_core_connection_status")
    status = lambda: told.take()["connection_status_event"]["status"]
    assert status() == "CONNECTED"
    site.core.cut()
    assert status() == "DISCONNECTED"
    site.core.mend()
    assert status() == "CONNECTED"
    told.close()
    site.one.malformed(model.InvalidArgumentsError, "subscribe_to_iot_core_connection_status", [1])


def test_a_secret(site):
    wanted = {"secret_id": site.secret, "version_stage": ["AWSCURRENT"], "secret_value": {"secret_string": "hunter2"}}
    found = site.one.get_secret_value(secret_id="greengrass/ipc-database", refresh=True)
    assert found.pop("version_id") and found == wanted
    assert site.one.get_secret_value(secret_id=site.secret, version_stage="AWSCURRENT")["secret_value"] == wanted["secret_value"]
    site.one.refuse(model.ResourceNotFoundError, "get_secret_value", secret_id="none")
    site.one.refuse(model.InvalidArgumentsError, "get_secret_value", secret_id=site.secret, version_id="a", version_stage="b")
    site.denied.refuse(model.UnauthorizedError, "get_secret_value", secret_id=site.secret)


def test_shadows(site, client):
    """CC 3.1: all named shadows of the core are kept in agreement with the control plane's, those of other things are local."""
    one, data = site.one, client("iot-data")
    own = {"thing_name": site.thing, "shadow_name": "tank"}
    state = {"state": {"reported": {"level": 4}}}
    accepted = json.loads(one.update_thing_shadow(**own, payload=json.dumps(state).encode())["payload"])
    assert (accepted["version"], accepted["state"]) == (1, state["state"])
    assert json.loads(one.get_thing_shadow(**own)["payload"])["state"] == state["state"]

    def cloud():
        try:
            return json.loads(data.get_thing_shadow(thingName=site.thing, shadowName="tank")["payload"].read())["state"]
        except data.exceptions.ResourceNotFoundException:
            return {}

    until("the control plane's shadow", lambda: cloud() == state["state"])
    data.update_thing_shadow(thingName=site.thing, shadowName="valve", payload=json.dumps({"state": {"desired": {"open": True}}}))
    names = lambda: one.list_named_shadows_for_thing(thing_name=site.thing, page_size=5)["results"]
    until("the shadow from above", lambda: names() == ["tank", "valve"])
    one.refuse(model.ConflictError, "update_thing_shadow", **own, payload=json.dumps({**state, "version": 9}).encode())
    one.refuse(model.ResourceNotFoundError, "get_thing_shadow", thing_name="t", shadow_name="none")
    one.refuse(model.InvalidArgumentsError, "list_named_shadows_for_thing", thing_name=site.thing, next_token="x")
    assert one.delete_thing_shadow(**own)["payload"] == b""
    until("the end of the control plane's shadow", lambda: cloud() == {})
    one.refuse(model.ResourceNotFoundError, "delete_thing_shadow", **own)
    site.denied.refuse(model.UnauthorizedError, "get_thing_shadow", **own)


def test_local_deployments(site, tmp_path):
    """CR 4.5: recipes and artifacts come from folders; what waits can be taken back, what is over cannot."""
    one, operator = site.one, site.operator
    status = site.local_status
    made = site.install(
        tmp_path, LOCAL, {"accessControl": driven.EVERYTHING}, component_to_configuration={LOCAL: {"MERGE": {"rate": 9}}},
        component_to_run_with_info={LOCAL: model.RunWithInfo(system_resource_limits=model.SystemResourceLimits(memory=1 << 20, cpus=0.5))})
    local = Driven(site.root, LOCAL, site.count)
    assert local.get_configuration(key_path=["rate"])["value"] == {"rate": 9}
    # One that asks the component for its verdict holds the next one up.
    _, asked = local.subscribe("subscribe_to_validate_configuration_updates")
    configure = lambda rate: operator.create_local_deployment(component_to_configuration={LOCAL: {"MERGE": {"rate": rate}}})["deployment_id"]
    first = configure(10)
    event = asked.take()["validate_configuration_update_event"]
    assert (event["deployment_id"], event["configuration"]["rate"]) == (first, 10)
    second = configure(11)
    listed = {entry["deployment_id"]: entry["status"] for entry in one.list_local_deployments()["local_deployments"]}
    assert listed.items() >= {made: "SUCCEEDED", first: "IN_PROGRESS", second: "QUEUED"}.items()
    assert one.cancel_local_deployment(deployment_id=second)["message"]
    assert status(second) == "CANCELED"
    local.send_configuration_validity_report(
        configuration_validity_report=model.ConfigurationValidityReport(status="ACCEPTED", deployment_id=first))
    until("the first", lambda: status(first) == "SUCCEEDED")
    assert local.get_configuration(key_path=["rate"])["value"] == {"rate": 10}
    one.refuse(model.ServiceError, "cancel_local_deployment", deployment_id=first)
    for operation in ("cancel_local_deployment", "get_local_deployment_status"):
        one.refuse(model.ResourceNotFoundError, operation, deployment_id=NO_DEPLOYMENT)
        one.refuse(model.InvalidArgumentsError, operation, deployment_id="none")
    one.refuse(model.InvalidRecipeDirectoryPathError, "create_local_deployment", recipe_directory_path="/no/such/folder")
    one.refuse(model.InvalidArtifactsDirectoryPathError, "create_local_deployment", artifacts_directory_path="/no/such/folder")
    site.denied.refuse(model.UnauthorizedError, "list_local_deployments")
    removed = operator.create_local_deployment(root_components_to_remove=[LOCAL])["deployment_id"]
    until("the removal", lambda: status(removed) == "SUCCEEDED")
    operator.refuse(model.ResourceNotFoundError, "get_component_details", component_name=LOCAL)


def test_components_judge_their_configuration(site, client):
    """CR 3.6: a rejected configuration changes nothing, an accepted one is there when the deployment is over."""
    gg = client("greengrassv2")
    _, asked = site.one.subscribe("subscribe_to_validate_configuration_updates")
    site.operator.refuse(model.ResourceNotFoundError, "subscribe_to_validate_configuration_updates")
    report = lambda status, deployment: model.ConfigurationValidityReport(status=status, deployment_id=deployment, message="too fast")
    for rate, status, outcome in ((100, "REJECTED", "FAILED"), (6, "ACCEPTED", "COMPLETED")):
        site.configured(ONE, {"rate": rate})
        made = site.deploy()
        event = asked.take()["validate_configuration_update_event"]
        assert (event["deployment_id"], event["configuration"]["rate"]) == (made["deploymentId"], rate)
        site.one.refuse(model.InvalidArgumentsError, "send_configuration_validity_report",
                        configuration_validity_report=report("ACCEPTED", "another"))
        site.one.send_configuration_validity_report(configuration_validity_report=report(status, made["deploymentId"]))
        assert deployed(gg, made) == outcome
        wanted = 5 if status == "REJECTED" else rate
        assert site.one.get_configuration(key_path=["rate"])["value"] == {"rate": wanted}
    told = gg.list_effective_deployments(coreDeviceThingName=site.thing)["effectiveDeployments"]
    assert any("too fast" in one.get("reason", "") for one in told) or all(one["coreDeviceExecutionStatus"] == "SUCCEEDED" for one in told)
    asked.close()


def test_updates_are_deferred_by_who_was_asked(site, client):
    """CR 4.8: nothing happens while a component defers; it is asked again, and told when it is over."""
    _, asked = site.one.subscribe("subscribe_to_component_updates")
    site.operator.refuse(model.ResourceNotFoundError, "subscribe_to_component_updates")
    site.configured(TWO, {"rate": 8})
    made = site.deploy(deploymentPolicies={"componentUpdatePolicy": {"timeoutInSeconds": 600, "action": "NOTIFY_COMPONENTS"}})
    wanted = {"deployment_id": made["deploymentId"], "is_ggc_restarting": False}
    assert asked.take() == {"pre_update_event": wanted}
    defer = {"deployment_id": made["deploymentId"], "recheck_after_ms": 3000}
    site.one.refuse(model.InvalidArgumentsError, "defer_component_update", deployment_id="other", recheck_after_ms=1000)
    site.two.refuse(model.InvalidArgumentsError, "defer_component_update", **defer)
    began = time.monotonic()
    site.one.defer_component_update(**defer, message="not now")
    assert asked.take() == {"pre_update_event": wanted}
    assert time.monotonic() - began > 2.9
    assert site.one.get_configuration(component_name=TWO, key_path=["rate"])["value"] == {"rate": 5}
    site.one.defer_component_update(deployment_id=made["deploymentId"], recheck_after_ms=0)
    assert asked.take() == {"post_update_event": {"deployment_id": made["deploymentId"]}}
    assert deployed(client("greengrassv2"), made) == "COMPLETED"
    assert site.one.get_configuration(component_name=TWO, key_path=["rate"])["value"] == {"rate": 8}
    site.one.refuse(model.ServiceError, "defer_component_update", **defer)
    asked.close()


def test_client_devices(site, tmp_path):
    """CC 1.3: who an associated device is, and what its group lets it do."""
    one, pem = site.one, site.device.certificate.read_text()
    verify = lambda certificate: one.verify_client_device_identity(
        credential=model.ClientDeviceCredential(client_device_certificate=certificate))["is_valid_client_device"]
    until("the association", lambda: verify(pem))
    assert not verify(site.core.ca.read_text())
    one.refuse(model.InvalidArgumentsError, "verify_client_device_identity",
               credential=model.ClientDeviceCredential(client_device_certificate=""))
    credential = lambda client_id, certificate: {"credential": model.CredentialDocument(
        mqtt_credential=model.MQTTCredential(client_id=client_id, certificate_pem=certificate))}
    token = one.get_client_device_auth_token(**credential(site.device.name, pem))["client_device_auth_token"]
    one.refuse(model.InvalidCredentialError, "get_client_device_auth_token", **credential("somebody-else", pem))
    one.refuse(model.InvalidCredentialError, "get_client_device_auth_token", **credential(site.device.name, "x"))
    for topic, wanted in (("lathe/speed", True), ("press/speed", False)):
        asked = {"client_device_auth_token": token, "operation": "mqtt:publish", "resource": f"mqtt:topic:{topic}"}
        assert one.authorize_client_device_action(**asked)["is_authorized"] is wanted
    one.refuse(model.InvalidClientDeviceAuthTokenError, "authorize_client_device_action", **{**asked, "client_device_auth_token": "x"})
    site.denied.refuse(model.UnauthorizedError, "authorize_client_device_action", **asked)


def test_a_broker_gets_its_certificate(site, tmp_path):
    """CC 2.4: the first event is the present certificate; it belongs to its key and to the authority that devices trust."""
    import ssl

    options = lambda kind: {"certificate_options": model.CertificateOptions(certificate_type=kind)}
    _, updates = site.one.subscribe("subscribe_to_certificate_updates", **options("SERVER"))
    found = updates.take()["certificate_update"]
    assert found["ca_certificates"] == [site.core.ca.read_text()] and "PUBLIC KEY" in found["public_key"]
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_text(found["certificate"])
    key.write_text(found["private_key"])
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, key)
    verified = subprocess.run(["openssl", "verify", "-CAfile", site.core.ca, chain], capture_output=True, text=True)
    assert verified.returncode == 0, verified.stderr
    updates.close()
    site.one.refuse(model.InvalidArgumentsError, "subscribe_to_certificate_updates", **options("CLIENT"))
    site.denied.refuse(model.UnauthorizedError, "subscribe_to_certificate_updates", **options("SERVER"))


def test_tokens_are_validated_for_the_stream_manager(site):
    """CR 6.8, SEC-133: the stream manager learns whether a token is a component's; a token alone opens nothing."""
    token = site.one.order("token")
    assert site.streams.validate_authorization_token(token=token)["is_valid"] is True
    site.streams.refuse(model.InvalidTokenError, "validate_authorization_token", token="x")
    site.one.refuse(model.UnauthorizedError, "validate_authorization_token", token=token)
    for stolen in (token, "nobody"):
        with pytest.raises(eventstreamrpc.AccessDeniedError):
            greengrasscoreipc.connect(ipc_socket=site.operator.socket, authtoken=stolen, timeout=SECONDS)


def test_metrics_are_kept(site):
    """CR 7.4: values are added up by name until they are sent; more names than that are refused."""
    metric = lambda name, unit="COUNT": model.Metric(name=name, unit=unit, value=3.0)
    site.one.put_component_metric(metrics=[metric("m")])
    site.one.refuse(model.InvalidArgumentsError, "put_component_metric", metrics=[metric("m", "MILES")])
    site.denied.refuse(model.UnauthorizedError, "put_component_metric", metrics=[metric("m")])
    site.one.put_component_metric(metrics=[metric(f"n{number}") for number in range(900)])
    site.one.refuse(model.ServiceError, "put_component_metric", metrics=[metric(f"more{number}") for number in range(200)])
    site.one.put_component_metric(metrics=[metric("m")])


def test_the_debug_console(site, client):
    """CR 7.3: where it is deployed, a password opens it. A deployment that replaces or removes it closes it at once, with every
    connection, and its passwords are worth nothing then."""
    gg, part = client("greengrassv2"), "aws.greengrass.LocalDebugConsole"
    site.operator.refuse(model.ServiceError, "create_debug_password")
    site.denied.refuse(model.UnauthorizedError, "create_debug_password")

    def deploy(port):
        site.components[part] = {"componentVersion": "2.4.8", "configurationUpdate": {"merge": json.dumps({"port": str(port)})}}
        assert deployed(gg, site.deploy()) == "COMPLETED"
        return DebugConsole(port)

    console = deploy(free_port())
    assert console.is_closed(), "nobody has a password yet"
    began = time.time()
    made = site.one.create_debug_password()
    assert (made["username"], len(made["password"])) == ("debug", 43)
    assert began - 1 <= made["password_expiration"].timestamp() - 8 * 3600 <= time.time()
    assert (made["certificate_sha256_hash"], made["certificate_sha1_hash"]) == console.fingerprints()
    assert console.states(made["password"])[ONE] == "RUNNING"
    status, page = console.ask(made["password"], "/")
    assert status == 200 and ONE.encode() in page
    for password, headers, wanted in (
        (None, {}, 401), ("x" * 43, {}, 401), ("", {}, 401), (made["password"], {"Host": f"elsewhere.example:{console.port}"}, 421),
    ):
        assert console.ask(password, **headers)[0] == wanted, (password, headers)
    # Guesses keep their places at the door, so those that come at once are slow, and who knows the password gets in.
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(12) as crowd:
        assert {status for status, _ in crowd.map(console.ask, ["x"] * 12)} == {401}
    assert time.monotonic() - began > 3
    assert console.ask(made["password"])[0] == 200
    again = site.operator.create_debug_password()
    assert console.states(again["password"]) and console.states(made["password"]), "both are good"
    # Another port is another console.
    kept = console.connect()
    assert console.ask(made["password"], line=kept)[0] == 200
    other = deploy(free_port())
    assert is_cut(kept) and console.is_closed() and other.is_closed()
    code, output, _ = site.cli("get-debug-password")
    last = re.search(r"^Password: (\S+)$", output, re.MULTILINE)[1]
    assert (code, other.ask(last)[0], other.ask(made["password"])[0]) == (0, 200, 401)
    kept, silent = other.connect(), socket.create_connection(("127.0.0.1", other.port))
    assert other.ask(last, line=kept)[0] == 200
    del site.components[part]
    assert deployed(gg, site.deploy()) == "COMPLETED"
    assert is_cut(kept) and other.is_closed() and silent.recv(1) == b""
    assert part not in {found["component_name"] for found in site.operator.list_components()["components"]}
    site.operator.refuse(model.ServiceError, "create_debug_password")
    written = [site.core.folder / "core.log", *(site.root / "logs").iterdir()]
    told = "".join(path.read_text(errors="replace") for path in written)
    assert "DebugPasswordCreated" in told
    assert not any(password in told for password in (made["password"], again["password"], last))


def test_the_command_line(site):
    """CR 7.1: names, versions, states, configuration; exit codes 0, 1 and 2."""
    code, output, _ = site.cli("component", "list")
    assert code == 0
    assert f"Component Name: {ONE}\n    Version: 1.0.0\n    State: RUNNING\n    Configuration: {{" in output
    code, output, _ = site.cli("component", "details", "-n", ONE)
    assert (code, output.count("Component Name:")) == (0, 1)
    code, _, words = site.cli("component", "restart", "-n", f"{DENIED},{NONE}")
    assert code == 1 and "ResourceNotFoundError" in words
    assert site.cli("component", "stop", "-n", DENIED)[0] == 0
    until("the end", lambda: site.state(DENIED) == "FINISHED")
    code, output, _ = site.cli("deployment", "create", "-c", json.dumps({TWO: {"MERGE": {"from": "cli"}}}))
    assert code == 0
    deployment = output.split()[-1]
    until("the deployment", lambda: site.cli("deployment", "status", "-i", deployment)[:2] != (0, "") and
          site.cli("deployment", "status", "-i", deployment)[1].splitlines()[0] == f"{deployment}: SUCCEEDED")
    assert site.two.get_configuration(key_path=["from"])["value"] == {"from": "cli"}
    assert f"{deployment}: SUCCEEDED" in site.cli("deployment", "list")[1]
    assert site.cli("deployment", "cancel", "-i", deployment)[0] == 1
    assert site.cli("deployment", "status", "-i", "none")[0] == 1
    assert site.cli("deployment", "create", "-m", "no-version")[0] == 2
    assert site.cli("deployment", "status")[0] == 2
    assert site.cli("get-debug-password")[0] == 1
    assert site.cli("--ggcRootPath", "/no/such/root", "component", "list")[0] == 1


def test_the_command_line_publishes(site):
    _, heard = site.one.subscribe("subscribe_to_topic", topic="from/cli")
    assert site.cli("pubsub", "pub", "-t", "from/cli", "-m", '{"a": 1}')[0] == 0
    assert heard.take() == {"json_message": {"message": {"a": 1}, "context": {"topic": "from/cli"}}}
    topic = f"{site.thing}/cli"
    _, heard = site.one.subscribe("subscribe_to_iot_core", topic_name=topic, qos="0")
    assert site.cli("iotcore", "pub", "-t", topic, "-m", "hello", "-q", "1")[0] == 0
    assert heard.take()["message"]["payload"] == b"hello"


def test_all_operations_were_run(site):
    """Each of the client's 35 operations succeeded above, and was refused with an error of its model."""
    offered = {name for name in dir(clientv2.GreengrassCoreIPCClientV2) if not name.startswith("_")}
    offered = {name for name in offered if not name.endswith("_async") and name != "close"}
    assert len(offered) == 35
    assert site.count.refused == offered
    assert site.count.succeeded == offered
