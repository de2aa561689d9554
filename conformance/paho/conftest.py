"""A device for the MQTT cases: from the environment, or made in the installation under test.

`MARRAM_MQTT_ENDPOINT` (host:port), `MARRAM_MQTT_CA`, `MARRAM_MQTT_CERT` and `MARRAM_MQTT_KEY` (PEM files) name a
running broker and a device that may use every topic below `conformance/`. Without them the harness starts `marram up`
and registers one.
"""
import collections
import json
import os

import pytest

Device = collections.namedtuple("Device", "host port ca certificate key")
VARIABLES = ("MARRAM_MQTT_ENDPOINT", "MARRAM_MQTT_CA", "MARRAM_MQTT_CERT", "MARRAM_MQTT_KEY")


@pytest.fixture(scope="session")
def broker_device(request, tmp_path_factory):
    if all(os.environ.get(variable) for variable in VARIABLES):
        endpoint, ca, certificate, key = (os.environ[variable] for variable in VARIABLES)
    else:
        endpoint, ca, certificate, key = register(request, tmp_path_factory.mktemp("device"))
    host, port = endpoint.rsplit(":", 1)
    return Device(host, int(port), ca, certificate, key)


def register(request, folder):
    """A certificate whose policy allows everything below `conformance/`."""
    marram, client = request.getfixturevalue("marram"), request.getfixturevalue("client")
    iot = client("iot")
    made = iot.create_keys_and_certificate(setAsActive=True)
    arn = f"arn:aws:iot:{marram.region}:{marram.account}"
    iot.create_policy(policyName="conformance-mqtt", policyDocument=json.dumps({
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{arn}:client/*"},
            {"Effect": "Allow", "Action": ["iot:Publish", "iot:RetainPublish", "iot:Receive"],
             "Resource": f"{arn}:topic/conformance/*"},
            {"Effect": "Allow", "Action": "iot:Subscribe",
             "Resource": [f"{arn}:topicfilter/conformance/*", f"{arn}:topicfilter/$share/*/conformance/*"]},
        ],
    }))
    iot.attach_policy(policyName="conformance-mqtt", target=made["certificateArn"])
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    certificate.write_text(made["certificatePem"])
    key.write_text(made["keyPair"]["PrivateKey"])
    environment = marram.environment
    return environment["MARRAM_MQTT_ENDPOINT"], environment["AWS_CA_BUNDLE"], str(certificate), str(key)
