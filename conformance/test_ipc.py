"""CR 6.8, 10.2: the unmodified IPC client runs all 35 operations against a core: one success and one modelled error each."""
import json
import os
import pathlib
import queue
import subprocess

import pytest
from awsiot import eventstreamrpc, greengrasscoreipc
from awsiot.greengrasscoreipc import clientv2, model

ROOT = pathlib.Path(__file__).parent.parent
SECONDS = 20
#: What the core in memory knows.
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nvalid\n-----END CERTIFICATE-----\n"
SECRET = "arn:aws:secretsmanager:us-east-1:000000000000:secret:database-AbCdEf"
FIRST_DEPLOYMENT = "00000000-0000-4000-8000-000000000001"
ONE, TWO, DENIED, STREAMS = "com.example.One", "com.example.Two", "com.example.Denied", "aws.greengrass.StreamManager"


class Core:
    """A running IPC server and clients for its components."""

    def __init__(self, root):
        self.root = root
        program = os.environ.get("MARRAM_IPC_SERVER", str(ROOT / "target/debug/examples/ipc_server"))
        command = [program, "--root", str(root), ONE, TWO, DENIED, STREAMS]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.socket = json.loads(self.process.stdout.readline())["socket"]
        operator = json.loads((root / "cli_ipc_info" / f"user-{os.geteuid()}").read_text())
        self.tokens = {"operator": operator["cli_auth_token"]}
        self.clients = {}

    def client(self, name):
        """One connection per component."""
        if name not in self.clients:
            token = self.tokens.get(name, f"{name}-token")
            connection = greengrasscoreipc.connect(ipc_socket=self.socket, authtoken=token, timeout=SECONDS)
            self.clients[name] = clientv2.GreengrassCoreIPCClientV2(client=connection)
        return self.clients[name]

    def close(self):
        for client in self.clients.values():
            client.close().result(SECONDS)
        self.process.terminate()
        return self.process.wait(SECONDS)


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    running = Core(tmp_path_factory.mktemp("core"))
    yield running
    assert running.close() == 0, "the server did not end cleanly"


def plain(shape):
    """A response as plain data: {member: value}, members that are absent left out."""
    if isinstance(shape, list):
        return [plain(item) for item in shape]
    if not hasattr(shape, "_to_payload"):
        return shape
    return {name: plain(value) for name, value in vars(shape).items() if value is not None}


def mqtt_credential(pem):
    return model.CredentialDocument(mqtt_credential=model.MQTTCredential(client_id="d", certificate_pem=pem))


def report(deployment):
    return model.ConfigurationValidityReport(status="ACCEPTED", deployment_id=deployment)


def metric(unit):
    return [model.Metric(name="m", unit=unit, value=3.0)]


def binary(text):
    return model.PublishMessage(binary_message=model.BinaryMessage(message=text))


#: (operation, who, arguments, some of the response, arguments that are refused, error). In the order they run.
UNARY = [
    ("update_state", ONE, {"state": "RUNNING"}, {}, {"state": "BROKEN"}, model.InvalidArgumentsError),
    ("pause_component", ONE, {"component_name": ONE}, {}, {"component_name": "none"}, model.ResourceNotFoundError),
    ("resume_component", ONE, {"component_name": ONE}, {}, {"component_name": "none"}, model.ResourceNotFoundError),
    ("restart_component", "operator", {"component_name": ONE}, {"restart_status": "SUCCEEDED"}, {"component_name": "none"}, model.ResourceNotFoundError),
    ("stop_component", "operator", {"component_name": TWO}, {"stop_status": "SUCCEEDED"}, {"component_name": "none"}, model.ResourceNotFoundError),
    ("get_component_details", "operator", {"component_name": ONE}, {"component_details": {"component_name": ONE, "version": "1.0.0", "state": "RUNNING"}},
     {"component_name": "none"}, model.ResourceNotFoundError),
    ("list_components", "operator", {}, {}, (DENIED, {}), model.UnauthorizedError),
    ("get_configuration", ONE, {"key_path": ["deep", "a"]}, {"component_name": ONE, "value": {"b": 1}}, {"key_path": ["none"]}, model.ResourceNotFoundError),
    ("get_configuration", ONE, {"component_name": TWO, "key_path": ["rate"]}, {"component_name": TWO, "value": {"rate": 5}}, {"component_name": "none"}, model.ResourceNotFoundError),
    ("send_configuration_validity_report", ONE, {"configuration_validity_report": report("asking")}, {},
     {"configuration_validity_report": report("late")}, model.InvalidArgumentsError),
    ("publish_to_topic", ONE, {"topic": "a/b", "publish_message": binary(b"hello")}, {}, {"topic": "a/#", "publish_message": binary(b"x")}, model.InvalidArgumentsError),
    ("publish_to_iot_core", ONE, {"topic_name": "a", "qos": "1", "payload": b"x"}, {}, {"topic_name": "a/+", "qos": "1", "payload": b"x"}, model.InvalidArgumentsError),
    ("get_secret_value", ONE, {"secret_id": "database"}, {"secret_id": SECRET, "version_stage": ["AWSCURRENT"], "secret_value": {"secret_string": "hunter2"}},
     {"secret_id": "none"}, model.ResourceNotFoundError),
    ("update_thing_shadow", ONE, {"thing_name": "t", "shadow_name": "s", "payload": b'{"state":{}}'}, {"payload": b'{"state":{}}'},
     {"thing_name": "t", "shadow_name": "s", "payload": b'{"version":9}'}, model.ConflictError),
    ("get_thing_shadow", ONE, {"thing_name": "t", "shadow_name": "s"}, {"payload": b'{"state":{}}'}, {"thing_name": "t"}, model.ResourceNotFoundError),
    ("list_named_shadows_for_thing", ONE, {"thing_name": "t", "page_size": 5}, {"results": ["s"]}, {"thing_name": "t", "next_token": "x"}, model.InvalidArgumentsError),
    ("delete_thing_shadow", ONE, {"thing_name": "t", "shadow_name": "s"}, {}, {"thing_name": "t", "shadow_name": "s"}, model.ResourceNotFoundError),
    ("create_local_deployment", "operator", {"root_component_versions_to_add": {"c": "1.0.0"}, "component_to_configuration": {"c": {"MERGE": {"a": 1}}},
     "component_to_run_with_info": {"c": model.RunWithInfo(posix_user="u", system_resource_limits=model.SystemResourceLimits(memory=1024, cpus=0.5))}},
     {"deployment_id": FIRST_DEPLOYMENT}, {"recipe_directory_path": "/no/such/folder"}, model.InvalidRecipeDirectoryPathError),
    ("create_local_deployment", "operator", {}, {}, {"artifacts_directory_path": "/no/such/folder"}, model.InvalidArtifactsDirectoryPathError),
    ("get_local_deployment_status", "operator", {"deployment_id": FIRST_DEPLOYMENT}, {"deployment": {"deployment_id": FIRST_DEPLOYMENT, "status": "QUEUED"}},
     {"deployment_id": "none"}, model.ResourceNotFoundError),
    ("list_local_deployments", "operator", {}, {}, (DENIED, {}), model.UnauthorizedError),
    ("cancel_local_deployment", "operator", {"deployment_id": FIRST_DEPLOYMENT}, {}, {"deployment_id": "none"}, model.ResourceNotFoundError),
    ("create_debug_password", "operator", {}, {"username": "debug"}, (DENIED, {}), model.UnauthorizedError),
    ("verify_client_device_identity", ONE, {"credential": model.ClientDeviceCredential(client_device_certificate=CERTIFICATE)}, {"is_valid_client_device": True},
     {"credential": model.ClientDeviceCredential(client_device_certificate="x")}, model.InvalidArgumentsError),
    ("get_client_device_auth_token", ONE, {"credential": mqtt_credential(CERTIFICATE)}, {"client_device_auth_token": "device-token"},
     {"credential": mqtt_credential("x")}, model.InvalidCredentialError),
    ("authorize_client_device_action", ONE, {"client_device_auth_token": "device-token", "operation": "mqtt:publish", "resource": "mqtt:topic:a"}, {"is_authorized": True},
     {"client_device_auth_token": "x", "operation": "mqtt:publish", "resource": "r"}, model.InvalidClientDeviceAuthTokenError),
    ("validate_authorization_token", STREAMS, {"token": f"{ONE}-token"}, {"is_valid": True}, {"token": "x"}, model.InvalidTokenError),
    ("put_component_metric", ONE, {"metrics": metric("COUNT")}, {}, {"metrics": metric("MILES")}, model.InvalidArgumentsError),
]


@pytest.mark.parametrize("case", UNARY, ids=lambda case: case[0])
def test_operations_answer_and_refuse(core, case):
    operation, who, arguments, wanted, bad, error = case
    answer = plain(getattr(core.client(who), operation)(**arguments))
    for member, value in wanted.items():
        found = answer[member]
        if isinstance(value, dict) and operation != "get_configuration":
            found = {name: found[name] for name in value}
        assert found == value
    refused, bad = bad if isinstance(bad, tuple) else (who, bad)
    with pytest.raises(error):
        getattr(core.client(refused), operation)(**bad)


def test_configuration_is_merged_and_guarded_by_time(core):
    import datetime

    client = core.client(ONE)
    at = datetime.datetime.fromtimestamp(1784000000.5)
    client.update_configuration(key_path=["deep"], timestamp=at, value_to_merge={"c": 2})
    assert client.get_configuration(key_path=["deep"]).value == {"a": {"b": 1}, "c": 2}
    with pytest.raises(model.FailedUpdateConditionCheckError):
        client.update_configuration(timestamp=at - datetime.timedelta(1), value_to_merge={"c": 3})
    with pytest.raises(model.InvalidArgumentsError):
        client.update_configuration(timestamp=at, value_to_merge={"accessControl": {}})


def subscribe(client, operation, **arguments):
    """Subscribes; answers the response, a queue of plain events and the operation."""
    events = queue.Queue()
    closed = lambda: events.put("closed")
    failed = lambda error: events.put(error) or True
    response, stream = getattr(client, operation)(
        on_stream_event=events.put, on_stream_error=failed, on_stream_closed=closed, **arguments)
    return response, events, stream


def take(events):
    return plain(events.get(timeout=SECONDS))


#: Subscriptions whose first event comes by itself.
FIRST_EVENTS = [
    ("subscribe_to_component_updates", {}, {"pre_update_event": {"deployment_id": "asking", "is_ggc_restarting": False}}),
    ("subscribe_to_validate_configuration_updates", {}, {"validate_configuration_update_event": {"configuration": {"rate": 7}, "deployment_id": "asking"}}),
    ("subscribe_to_iot_core_connection_status", {}, {"connection_status_event": {"status": "CONNECTED"}}),
    ("subscribe_to_certificate_updates", {"certificate_options": model.CertificateOptions(certificate_type="SERVER")},
     {"certificate_update": {"private_key": "private", "public_key": "public", "certificate": "certificate", "ca_certificates": ["authority"]}}),
]


@pytest.mark.parametrize("operation, arguments, event", FIRST_EVENTS, ids=lambda value: value if isinstance(value, str) else "")
def test_subscriptions_bring_their_first_event(core, operation, arguments, event):
    _, events, stream = subscribe(core.client(ONE), operation, **arguments)
    assert take(events) == event
    stream.close().result(SECONDS)
    if operation == "subscribe_to_certificate_updates":
        with pytest.raises(model.InvalidArgumentsError):
            subscribe(core.client(ONE), operation, certificate_options=model.CertificateOptions(certificate_type="CLIENT"))


def test_updates_are_deferred_by_who_was_asked(core):
    client = core.client(ONE)
    _, events, _ = subscribe(client, "subscribe_to_component_updates")
    take(events)
    client.defer_component_update(deployment_id="asking", recheck_after_ms=1000)
    with pytest.raises(model.InvalidArgumentsError):
        client.defer_component_update(deployment_id="other", recheck_after_ms=1000)


def test_local_messages(core):
    response, events, stream = subscribe(core.client(ONE), "subscribe_to_topic", topic="site/+/t")
    assert response.topic_name == "site/+/t"
    publish = core.client(TWO).publish_to_topic
    publish(topic="site/4/t", publish_message=model.PublishMessage(json_message=model.JsonMessage(message={"x": [1, "ä"]})))
    assert take(events) == {"json_message": {"message": {"x": [1, "ä"]}, "context": {"topic": "site/4/t"}}}
    publish(topic="site/5/t", publish_message=binary(b"\x00\xff"))
    assert take(events) == {"binary_message": {"message": b"\x00\xff", "context": {"topic": "site/5/t"}}}
    stream.close().result(SECONDS)
    with pytest.raises(model.InvalidArgumentsError):
        subscribe(core.client(ONE), "subscribe_to_topic", topic="a/#/b")
    with pytest.raises(model.UnauthorizedError):
        subscribe(core.client(DENIED), "subscribe_to_topic", topic="a")


def test_cloud_messages(core):
    _, events, _ = subscribe(core.client(ONE), "subscribe_to_iot_core", topic_name="c/#", qos="1")
    core.client(TWO).publish_to_iot_core(
        topic_name="c/d", qos="0", payload=b"hello", content_type="x/y", payload_format="1", correlation_data=b"\x01",
        user_properties=[model.UserProperty(key="k", value="v")], message_expiry_interval_seconds=9, response_topic="r")
    assert take(events) == {"message": {
        "topic_name": "c/d", "payload": b"hello", "content_type": "x/y", "payload_format": "1", "correlation_data": b"\x01",
        "user_properties": [{"key": "k", "value": "v"}], "message_expiry_interval_seconds": 9, "response_topic": "r"}}
    with pytest.raises(model.InvalidArgumentsError):
        subscribe(core.client(ONE), "subscribe_to_iot_core", topic_name="a/#/b", qos="1")


def test_configuration_changes_are_told(core):
    import datetime

    _, events, _ = subscribe(core.client(ONE), "subscribe_to_configuration_update", component_name=TWO, key_path=["deep"])
    core.client(TWO).update_configuration(key_path=["deep", "a"], timestamp=datetime.datetime.now(), value_to_merge={"b": 2})
    assert take(events) == {"configuration_update_event": {"component_name": TWO, "key_path": ["deep", "a"]}}
    with pytest.raises(model.ResourceNotFoundError):
        subscribe(core.client(ONE), "subscribe_to_configuration_update", key_path=["none"])


def test_a_wrong_token_is_refused(core):
    with pytest.raises(eventstreamrpc.AccessDeniedError):
        greengrasscoreipc.connect(ipc_socket=core.socket, authtoken="nobody", timeout=SECONDS)


def command(core, *arguments):
    """`greengrass-cli`, by the link that bears its name: exit code, output, words."""
    program = pathlib.Path(os.environ.get("MARRAM_CORE_BIN", ROOT / "target/debug/marram-core")).resolve()
    link = core.root / "bin" / "greengrass-cli"
    if not link.exists():
        link.parent.mkdir()
        link.symlink_to(program)
    done = subprocess.run([link, *arguments], capture_output=True, text=True, timeout=SECONDS)
    return done.returncode, done.stdout, done.stderr


def test_the_command_line(core):
    """CR 7.1: names, versions, states, configuration; exit codes 0, 1 and 2."""
    code, output, _ = command(core, "component", "list")
    assert code == 0
    assert f"Component Name: {ONE}\n    Version: 1.0.0\n    State: RUNNING\n    Configuration: {{" in output
    code, output, _ = command(core, "component", "details", "-n", ONE)
    assert (code, output.count("Component Name:")) == (0, 1)
    code, _, words = command(core, "component", "restart", "-n", f"{ONE},none")
    assert code == 1 and "ResourceNotFoundError" in words
    assert command(core, "component", "stop", "-n", TWO)[0] == 0
    code, output, _ = command(core, "deployment", "create", "-m", "c=1.0.0", "-c", '{"c": {"MERGE": {"a": 1}}}')
    assert code == 0
    deployment = output.split()[-1]
    code, output, _ = command(core, "deployment", "status", "-i", deployment)
    assert (code, output.splitlines()[0]) == (0, f"{deployment}: QUEUED")
    assert command(core, "deployment", "cancel", "-i", deployment)[0] == 0
    assert f"{deployment}: CANCELED" in command(core, "deployment", "list")[1]
    assert command(core, "deployment", "status", "-i", "none")[0] == 1
    assert command(core, "deployment", "create", "-m", "no-version")[0] == 2
    assert command(core, "deployment", "status")[0] == 2
    assert "Password: " in command(core, "get-debug-password")[1]
    assert command(core, "--ggcRootPath", "/no/such/root", "component", "list")[0] == 1


def test_the_command_line_publishes(core):
    _, events, _ = subscribe(core.client(ONE), "subscribe_to_topic", topic="from/cli")
    assert command(core, "pubsub", "pub", "-t", "from/cli", "-m", '{"a": 1}')[0] == 0
    assert take(events) == {"json_message": {"message": {"a": 1}, "context": {"topic": "from/cli"}}}
    _, events, _ = subscribe(core.client(ONE), "subscribe_to_iot_core", topic_name="from/cli", qos="0")
    assert command(core, "iotcore", "pub", "-t", "from/cli", "-m", "hello", "-q", "1")[0] == 0
    assert take(events)["message"]["payload"] == b"hello"


def test_all_operations_are_covered():
    """Nothing of the client's 35 operations is left out above."""
    offered = {name for name in dir(clientv2.GreengrassCoreIPCClientV2) if not name.startswith("_")}
    offered = {name for name in offered if not name.endswith("_async") and name != "close"}
    streams = {name for name, _, _ in FIRST_EVENTS}
    others = {"update_configuration", "defer_component_update", "subscribe_to_topic", "subscribe_to_iot_core",
              "subscribe_to_configuration_update"}
    assert offered == {case[0] for case in UNARY} | streams | others
    assert len(offered) == 35
