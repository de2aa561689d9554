"""TG 6.10, 7, 10; CC 2: flows on a core and the devices around it, with and without a line to the control plane."""
import base64
import gzip
import hashlib
import io
import json
import pathlib
import shutil
import tarfile
import threading
import zlib

import pytest

from device import Device
from edge import Core, SerialUnit, until
from test_things_graph import document, upload

SECONDS = 60
DEMO = pathlib.Path(__file__).parent.parent / "apps/marram/demo/motion"


@pytest.fixture(scope="module")
def core(marram, client, tmp_path_factory):
    """A core in a group of its own."""
    made = Core(marram, tmp_path_factory.mktemp("edge-core"), "floor-core")
    client("iot").create_thing_group(thingGroupName="floor")
    client("iot").add_thing_to_thing_group(thingGroupName="floor", thingName=made.thing)
    client("s3").create_bucket(Bucket="floor-flows")
    yield made
    made.close()


@pytest.fixture(scope="module")
def graph(client):
    return client("iotthingsgraph")


class Around:
    """The device's certificate, the core's broker."""

    def __init__(self, device, core):
        self.device, self.core = device, core

    def connect(self):
        device = self.device
        device.host, device.port, device.ca = self.core.host, self.core.port, str(self.core.ca)
        return device.connect()


def only_itself(arn):
    return [{"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{arn}:client/${{iot:Connection.Thing.ThingName}}"}]


def documents(marram, names):
    """The motion example with things and templates of other names."""
    texts = {}
    for kind in ("flow", "system", "deployment"):
        text = (DEMO / f"{kind}.tdm").read_text().replace("REGION/ACCOUNT/", f"{marram.region}/{marram.account}/")
        for old, new in names.items():
            text = text.replace(old, new)
        texts[kind] = text
    return texts


@pytest.fixture(scope="module")
def lobby(marram, client, graph, core, tmp_path_factory):
    """The lobby on the core: its deployment's id and its three devices."""
    names = {"MotionAlert": "FloorAlert", "Deployment:Lobby": "Deployment:Floor",
             "demo-motion": "floor-motion", "demo-camera": "floor-camera", "demo-screen": "floor-screen"}
    kinds = {"floor-motion": "HCSR501MotionSensor", "floor-camera": "RaspberryPiCamera", "floor-screen": "RaspberryPiScreen"}
    folder = tmp_path_factory.mktemp("floor-devices")
    devices = {}
    for thing, kind in kinds.items():
        devices[thing] = Around(Device(marram, client("iot"), folder, thing, only_itself), core)
        graph.associate_entity_to_thing(thingName=thing, entityId=f"urn:tdm:aws/examples:Device:{kind}")
    texts = documents(marram, names)
    graph.create_flow_template(definition=document(texts["flow"]))
    graph.create_system_template(definition=document(texts["system"]))
    deploy = {"definition": document(texts["deployment"]), "target": "GREENGRASS", "greengrassGroupName": "floor"}
    with pytest.raises(graph.exceptions.InvalidRequestException, match="bucket absent-bucket"):
        graph.create_system_instance(**deploy, s3BucketName="absent-bucket")
    made = graph.create_system_instance(**deploy, s3BucketName="floor-flows")["summary"]
    graph.deploy_system_instance(id=made["id"])
    until("the deployment", lambda: status(graph, made["id"]) == "DEPLOYED_IN_TARGET")
    return made["id"], devices


def status(graph, deployment):
    return graph.get_system_instance(id=deployment)["description"]["summary"]["status"]


def executions(graph, deployment):
    """All of them, oldest first."""
    found, token = [], {}
    while True:
        page = graph.search_flow_executions(systemInstanceId=deployment, **token)
        found += page["summaries"]
        if not page.get("nextToken"):
            return found[::-1]
        token = {"nextToken": page["nextToken"]}


def messages(graph, execution):
    found, token = [], {}
    while True:
        page = graph.list_flow_execution_messages(flowExecutionId=execution, **token)
        found += page["messages"]
        if not page.get("nextToken"):
            return found
        token = {"nextToken": page["nextToken"]}


class Shooting:
    """A camera that answers and a screen that shows, while the sensor is told when to see something."""

    def __init__(self, devices, pictures=0):
        self.pictures = pictures
        connect = lambda name: until(name, lambda: self.attempt(devices[name]))
        self.motion, self.camera, self.screen = (connect(f"floor-{kind}") for kind in ("motion", "camera", "screen"))
        self.camera.client.on_message = self.shoot
        self.camera.subscribe("floor-camera/capture")
        self.screen.subscribe("floor-screen/display")

    def attempt(self, device):
        """None: the broker is not there yet, or does not know the device yet."""
        try:
            return device.connect()
        except (OSError, AssertionError):
            return None

    def shoot(self, client, _, message):
        assert json.loads(message.payload) == {}
        self.pictures += 1
        client.publish("floor-camera/capture/finished", json.dumps({"lastClickedImage": f"https://pictures.example/{self.pictures}"}))

    def move(self, times):
        for _ in range(times):
            wanted = self.pictures + 1
            self.motion.publish("floor-motion/motion", {"isMotionDetected": True})
            assert self.screen.next("floor-screen/display") == {"imageUri": f"https://pictures.example/{wanted}"}

    def close(self):
        for one in (self.motion, self.camera, self.screen):
            one.client.disconnect()
            one.client.loop_stop()


def test_flows_go_on_without_a_line(graph, core, lobby):
    """TG 6.8, 6.10, 7.1; CC 2.5.5: with the line cut devices drive the flow, over a kill of the core and with new
    connections; when the line is back every execution is told once, whole and in order."""
    deployment, devices = lobby
    first = Shooting(devices)
    first.move(3)
    until("the first executions", lambda: len(executions(graph, deployment)) == 3)
    core.cut()
    first.move(20)
    assert len(executions(graph, deployment)) == 3, "there is no line"
    core.kill()
    first.close()
    core.start()
    second = Shooting(devices, first.pictures)
    second.move(20)
    assert len(executions(graph, deployment)) == 3, "there is no line"
    core.mend()
    found = until("all executions", lambda: (lambda all: all if len(all) >= 43 and all[-1]["status"] != "RUNNING" else None)(executions(graph, deployment)))
    second.close()
    assert len(found) == 43 and {one["status"] for one in found} == {"SUCCEEDED"}
    assert [one["createdAt"] for one in found] == sorted(one["createdAt"] for one in found)
    for one in found:
        told = messages(graph, one["flowExecutionId"])
        assert [int(message["messageId"]) for message in told] == list(range(1, len(told) + 1))
        assert told[-1]["eventType"] == "EXECUTION_SUCCEEDED"
    shown = [json.loads(message["payload"]) for one in found for message in messages(graph, one["flowExecutionId"])
             if message["eventType"] == "THING_ACTION_TASK" and "display" in message["payload"]]
    assert len(shown) == 43


def test_an_altered_artifact_changes_nothing(client, graph, core, lobby):
    """TG 7.3, SEC-154: what a core runs came signed with its deployment. Whoever can write the bucket gets nothing carried out, not
    even by a core that has lost all it had accepted; nor does one who alters the package and its hash."""
    deployment, devices = lobby
    s3, key = client("s3"), "flow-FloorAlert.tar.gz"
    kept = s3.get_object(Bucket="floor-flows", Key=key)["Body"].read()
    evil = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(kept)) as archive, tarfile.open(fileobj=evil, mode="w:gz") as altered:
        for one in archive:
            content = archive.extractfile(one).read().replace(b"display", b"explode")
            one.size = len(content)
            altered.addfile(one, io.BytesIO(content))
    s3.put_object(Bucket="floor-flows", Key=key, Body=evil.getvalue())
    core.kill()
    shutil.rmtree(core.root / "work/marram.FlowRuntime")
    core.start()
    shooting = Shooting(devices)
    shooting.move(2)
    # By a local deployment, which bears no signature: another flow under the same name, with a hash that is true.
    found = json.loads(core.cli("config", "explain", "marram.FlowRuntime/targets", "--json"))["value"]["thinggroup/floor"]
    name, package = next((name, one) for name, one in found.items() if name != "devices")
    assert package["signature"]
    true = zlib.decompress(base64.b64decode(package["snapshot"]), -15)
    content = true.replace(b"/display", b"/explode")
    assert content != true
    deflate = zlib.compressobj(wbits=-15)
    forged = {**package, "sha256": hashlib.sha256(content).hexdigest(),
              "snapshot": base64.b64encode(deflate.compress(content) + deflate.flush()).decode()}
    merge = {"targets": {"thinggroup/floor": {name: forged}}}
    core.cli("deployment", "create", "-c", json.dumps({"marram.FlowRuntime": {"MERGE": merge}}), of="bin/greengrass-cli")
    until("the refusal", lambda: "not signed by a known deployment key" in core.log())
    shooting.move(2)
    shooting.close()
    s3.put_object(Bucket="floor-flows", Key=key, Body=kept)
    merge["targets"]["thinggroup/floor"][name] = package
    core.cli("deployment", "create", "-c", json.dumps({"marram.FlowRuntime": {"MERGE": merge}}), of="bin/greengrass-cli")
    until("the true one", lambda: status(graph, deployment) == "DEPLOYED_IN_TARGET")


def test_the_artifact_is_in_the_bucket(client, graph, lobby):
    """TG 7.3: manifest, sources, compiled form and signature in the bucket; hashes are true; undeploying removes it."""
    s3 = client("s3")
    packed = s3.get_object(Bucket="floor-flows", Key="flow-FloorAlert.tar.gz")["Body"].read()
    assert gzip.decompress(packed)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        files = {one.name: archive.extractfile(one).read() for one in archive}
    manifest = json.loads(files["manifest.json"])
    assert {name: hashlib.sha256(files[name]).hexdigest() for name in manifest["files"]} == manifest["files"]
    assert set(files) - set(manifest["files"]) == {"manifest.json", "manifest.sig"}
    assert manifest["deploymentId"] == lobby[0]
    assert manifest["topics"] == {"publish": ["floor-camera/capture", "floor-screen/display"],
                                  "subscribe": ["floor-camera/capture/finished", "floor-motion/motion"]}
    assert {one["thing"] for one in manifest["bindings"]} == {"floor-motion", "floor-camera", "floor-screen"}
    assert {"system.graphql", "deployment.graphql", "compiled.json"} <= set(files)
    assert "entities/aws.examples.DeviceModel.Camera.graphql" in files
    assert any(name.startswith("flows/") for name in files)
    assert json.loads(files["manifest.sig"])["signatures"][0]["sig"]
    graph.undeploy_system_instance(id=lobby[0])
    keys = lambda: [one["Key"] for one in s3.list_objects_v2(Bucket="floor-flows").get("Contents", [])]
    until("the removal", lambda: keys() == [])
    until("the undeployment", lambda: status(graph, lobby[0]) == "DELETED_IN_TARGET")


ENTITIES = """
type Level @propertyType(id: "{ns}Property:EdgeLevel", dataType: uint16) {{ ignore: void }}
type ReadLevel @actionType(id: "{ns}Action:ReadEdgeLevel") {{ return: Level @property(id: "{ns}Property:EdgeLevel") }}
type Level @capabilityType(id: "{ns}Capability:EdgeLevel") {{ read: ReadLevel @action(id: "{ns}Action:ReadEdgeLevel") }}
type Gauge @deviceModel(id: "{ns}DeviceModel:EdgeGauge", capability: "{ns}Capability:EdgeLevel") {{ ignore: void }}
query Gauge @device(id: "{ns}Device:EdgeGauge", deviceModel: "{ns}DeviceModel:EdgeGauge") {{
  Modbus(serverId: "3") {{ Level(id: "{ns}Capability:EdgeLevel") {{ Action(name: "read") {{ params
    ReadInputRegisters {{ Request(Address: 0, ReadCount: 1)
      Response {{ responsePayload(property: "{ns}Property:EdgeLevel") }} }} }} }} }}
}}
type WhoAmI @actionType(id: "{ns}Action:EdgeWhoAmI") {{ return: String @property(id: "urn:tdm:aws:Property:String") }}
type Identity @capabilityType(id: "{ns}Capability:EdgeIdentity") {{ whoAmI: WhoAmI @action(id: "{ns}Action:EdgeWhoAmI") }}
query Identity @service(id: "{ns}Service:EdgeIdentity") {{
  REST {{ Identity(id: "{ns}Capability:EdgeIdentity") {{ Action(name: "whoAmI") {{ params
    HttpPost {{ Request(url: "{url}/", auth: "SigV4", awsServiceName: "sts") {{
        headerParams {{ param(name: "Content-Type", property: "urn:tdm:aws:Property:String", value: "application/x-www-form-urlencoded") }}
        bodyParams {{
          param(name: "Action", property: "urn:tdm:aws:Property:String", value: "GetCallerIdentity")
          param(name: "Version", property: "urn:tdm:aws:Property:String", value: "2011-06-15")
        }} }}
      Response {{ responsePayload(property: "urn:tdm:aws:Property:String") }} }} }} }} }}
}}
"""
FLOW = """
query Measure($gauge: string!) @workflowType(id: "{ns}Workflow:EdgeMeasure") {{
  variables {{ level @property(id: "{ns}Property:EdgeLevel") who @property(id: "urn:tdm:aws:Property:String") }}
  steps {{
    step(name: "measure", outEvent: ["measured"]) {{
      DeviceActivity(deviceModel: "{ns}DeviceModel:EdgeGauge", deviceId: "${{gauge}}", out: "level") {{ read }} }}
    step(name: "ask", inEvent: ["measured"]) {{
      WebServiceActivity(webservice: "{ns}Service:EdgeIdentity", out: "who") {{ whoAmI }} }}
  }}
}}
"""
SYSTEM = """
type Measured @systemType(id: "{ns}System:EdgeMeasured", description: "d") {{
  gauge: Gauge @thing(id: "{ns}DeviceModel:EdgeGauge")
  Measure: Flow @workflow(id: "{ns}Workflow:EdgeMeasure")
}}
"""
DEPLOYMENT = """
query Here @deployment(id: "{ns}Deployment:EdgeMeasured", systemId: "{ns}System:EdgeMeasured") {{
  gauge(deviceId: "edge-gauge")
  triggers {{ Often {{ condition(expr: "every 1 second")
    action(expr: "ThingsGraph.startFlow('Measure', bindings[name == 'gauge'].deviceId)") }} }}
}}
"""


def test_serial_lines_and_web_services(marram, client, graph, core):
    """TG 7.1, 10.3, 10.4: on a core a flow reads a register over a serial line and calls a web service with the core's
    role; what the operator configured for the flow component stays when flows are deployed."""
    unit = SerialUnit(3)
    ns = f"urn:tdm:{marram.region}/{marram.account}/default:"
    iot, gg = client("iot"), client("greengrassv2")
    group = iot.describe_thing_group(thingGroupName="floor")["thingGroupArn"]
    settings = {"modbus": {"default": f"rtu:{unit.path}?baud=115200&parity=even&timeout=30000"}, "http": {"allow": ["127.0.0.1"]}}
    update = {"merge": json.dumps(settings)}
    gg.create_deployment(targetArn=group, components={"marram.FlowRuntime": {"componentVersion": "1.0.0", "configurationUpdate": update}})
    url = f"https://127.0.0.1:{marram.environment['AWS_ENDPOINT_URL'].rsplit(':', 1)[1]}"
    fill = lambda text: document(text.format(ns=ns, url=url))
    told = upload(graph, document=fill(ENTITIES))
    assert told["uploadStatus"] == "SUCCEEDED", told
    iot.create_thing(thingName="edge-gauge")
    graph.associate_entity_to_thing(thingName="edge-gauge", entityId=f"{ns}Device:EdgeGauge")
    graph.create_flow_template(definition=fill(FLOW))
    graph.create_system_template(definition=fill(SYSTEM))
    deployment = graph.create_system_instance(
        definition=fill(DEPLOYMENT), target="GREENGRASS", greengrassGroupName="floor", s3BucketName="floor-flows")["summary"]["id"]
    graph.deploy_system_instance(id=deployment)
    until("the deployment", lambda: status(graph, deployment) == "DEPLOYED_IN_TARGET")

    def ended():
        return [one for one in executions(graph, deployment) if one["status"] != "RUNNING"]

    one = until("an execution", ended)[0]
    told = messages(graph, one["flowExecutionId"])
    assert one["status"] == "SUCCEEDED", told[-4:]
    values = {json.loads(message["payload"])["stepName"]: message["payload"] for message in told
              if message["eventType"] == "ACTIVITY_SUCCEEDED"}
    assert json.loads(values["measure"])["value"] >= 1 and unit.reads >= 1
    assert "assumed-role/MarramCoreTokenExchange" in values["ask"], values
    assert not any("AWS4-HMAC-SHA256" in message["payload"] for message in told)
    graph.undeploy_system_instance(id=deployment)
    until("the undeployment", lambda: status(graph, deployment) == "DELETED_IN_TARGET")


def discover(marram, device):
    """What the unmodified discovery client of the device SDK gets."""
    from awscrt import io as crt
    from awsiot import greengrass_discovery

    tls = crt.TlsContextOptions.create_client_with_mtls_from_path(str(device.certificate), str(device.key))
    tls.override_default_trust_store_from_path(None, marram.environment["AWS_CA_BUNDLE"])
    group = crt.EventLoopGroup(1)
    bootstrap = crt.ClientBootstrap(group, crt.DefaultHostResolver(group))
    host, port = marram.environment["MARRAM_DEVICE_ENDPOINT"].rsplit(":", 1)
    discovery = greengrass_discovery.DiscoveryClient(
        bootstrap, crt.SocketOptions(), crt.ClientTlsContext(tls), marram.region, gg_server_name=host)
    # It knows no other ports than 443 and 8443.
    discovery.port = int(port)
    return discovery.discover(device.name).result(SECONDS)


def test_a_device_discovers_its_core(marram, client, core, tmp_path):
    """CC 2.1, 2.2, 2.5, 2.6; CP 6.2, 6.5: association, discovery with the SDK's client, MQTT with what it answered; devices
    that are not associated any more are refused."""
    from awscrt import mqtt
    from awscrt.exceptions import AwsCrtError
    from awsiot import greengrass_discovery, mqtt_connection_builder

    gg, iot = client("greengrassv2"), client("iot")
    may_discover = lambda arn: [{"Effect": "Allow", "Action": "greengrass:Discover", "Resource": f"{arn}:thing/*"}]
    device = Device(marram, iot, tmp_path, "floor-lathe", may_discover)
    with pytest.raises(greengrass_discovery.DiscoveryException) as refused:
        discover(marram, device)
    assert refused.value.http_response_code == 404
    allowed = {"mqtt:connect": "mqtt:clientId:${iot:Connection.Thing.ThingName}",
               "mqtt:publish": "mqtt:topic:${iot:Connection.Thing.ThingName}/*",
               "mqtt:subscribe": "mqtt:topicfilter:${iot:Connection.Thing.ThingName}/*"}
    policy = {str(number): {"operations": [operation], "resources": [resource]}
              for number, (operation, resource) in enumerate(allowed.items())}
    groups = {"formatVersion": "2021-03-05", "definitions": {"lathes": {"selectionRule": "thingName: floor-*", "policyName": "own"}},
              "policies": {"own": policy}}
    target = iot.describe_thing(thingName=core.thing)["thingArn"]
    made = gg.create_deployment(targetArn=target, components={
        "aws.greengrass.clientdevices.Auth": {"componentVersion": "2.5.7", "configurationUpdate": {"merge": json.dumps({"deviceGroups": groups})}},
        "aws.greengrass.clientdevices.mqtt.Moquette": {
            "componentVersion": "2.3.11", "configurationUpdate": {"merge": json.dumps({"moquette": {"ssl_port": str(core.port)}})}},
        "aws.greengrass.clientdevices.IPDetector": {"componentVersion": "2.2.5"},
    })["deploymentId"]
    until("the deployment", lambda: gg.get_deployment(deploymentId=made)["deploymentStatus"] == "COMPLETED")
    entry = [{"thingName": device.name}]
    assert gg.batch_associate_client_device_with_core_device(coreDeviceThingName=core.thing, entries=entry)["errorEntries"] == []

    def found():
        try:
            return discover(marram, device)
        except greengrass_discovery.DiscoveryException:
            return None

    answer = until("core authority and addresses", found)
    group = answer.gg_groups[0]
    place = group.cores[0].connectivity[0]
    assert (place.host_address, place.port) == ("127.0.0.1", core.port)
    assert group.certificate_authorities == [core.ca.read_text()]

    def connection():
        return mqtt_connection_builder.mtls_from_path(
            cert_filepath=str(device.certificate), pri_key_filepath=str(device.key),
            ca_bytes=group.certificate_authorities[0].encode(), endpoint=place.host_address, port=place.port,
            client_id=device.name, clean_session=True, keep_alive_secs=30)

    heard, topic = threading.Event(), f"{device.name}/echo"
    line = connection()
    line.connect().result(SECONDS)
    subscribed, _ = line.subscribe(topic, mqtt.QoS.AT_LEAST_ONCE, lambda topic, payload, **_: heard.set())
    assert subscribed.result(SECONDS)["qos"] == mqtt.QoS.AT_LEAST_ONCE
    line.publish(topic, b"turning", mqtt.QoS.AT_LEAST_ONCE)[0].result(SECONDS)
    assert heard.wait(SECONDS)
    line.disconnect().result(SECONDS)

    gg.batch_disassociate_client_device_from_core_device(coreDeviceThingName=core.thing, entries=entry)
    with pytest.raises(AwsCrtError):
        connection().connect().result(SECONDS)
    stranger = Device(marram, iot, tmp_path, "floor-stranger", may_discover)
    with pytest.raises(AssertionError, match="Not authorized"):
        Around(stranger, core).connect()


def test_verification_is_about_devices_of_the_core(marram, client, core, tmp_path):
    """CP 6.2, 6.4: a core learns of devices associated with it, and of no others; others learn nothing."""
    gg, iot = client("greengrassv2"), client("iot")
    allow = lambda arn: [{"Effect": "Allow", "Action": "greengrass:*", "Resource": "*"}]
    own, other = (Device(marram, iot, tmp_path, name, allow) for name in ("verify-own", "verify-other"))
    asking = Device(marram, iot, tmp_path, "verify-core", allow)
    gg.batch_associate_client_device_with_core_device(coreDeviceThingName=asking.name, entries=[{"thingName": own.name}])

    def ask(caller, operation, **body):
        return caller.https("POST", f"/greengrass/v2/{operation}", json.dumps(body))

    identity = lambda caller, device: ask(caller, "verifyClientDeviceIdentity", clientDeviceCertificate=device.certificate.read_text())
    association = lambda caller, thing, device: ask(
        caller, "verifyClientDeviceIoTCertificateAssociation", clientDeviceThingName=thing, clientDeviceCertificateId=device.certificate_id)
    assert identity(asking, own)[::2] == (200, {"clientDeviceCertificateId": own.certificate_id})
    assert identity(asking, other)[:2] == (404, "ResourceNotFoundException")
    assert identity(other, own)[:2] == (404, "ResourceNotFoundException")
    assert ask(asking, "verifyClientDeviceIdentity", clientDeviceCertificate="nonsense")[:2] == (400, "ValidationException")
    assert association(asking, own.name, own)[0] == 200
    assert association(asking, own.name, other)[:2] == (404, "ResourceNotFoundException")
    assert association(asking, other.name, other)[:2] == (404, "ResourceNotFoundException")
    assert association(other, own.name, own)[:2] == (404, "ResourceNotFoundException")
    iot.update_certificate(certificateId=own.certificate_id, newStatus="INACTIVE")
    assert identity(asking, own)[0] == 404
    assert association(asking, own.name, own)[0] == 404


def test_the_local_core_is_found(marram, client):
    """CC 2.2: what `marram up` tells devices of its core is where the core's broker is."""
    told = client("greengrassv2").get_connectivity_info(thingName="marram-local-core")["connectivityInfo"]
    host, port = marram.environment["MARRAM_CORE_MQTT_ENDPOINT"].rsplit(":", 1)
    assert [(one["hostAddress"], one["portNumber"]) for one in told] == [(host, int(port))]
