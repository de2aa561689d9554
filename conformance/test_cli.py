"""The AWS CLI with nothing but what `marram env` exports (design.md section 2): one call of each family."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

AWS = pathlib.Path(sys.executable).parent / "aws"


@pytest.fixture
def aws(marram, tmp_path):
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_PAGER": "", "AWS_MAX_ATTEMPTS": "1", **marram.environment
    }

    def run(*arguments, check=True):
        done = subprocess.run(
            [sys.executable, AWS, *arguments, "--output", "json"], env=environment, capture_output=True, text=True, timeout=180
        )
        if check:
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout) if done.stdout.strip() else None
        return done

    return run


def test_sts(aws, marram):
    assert aws("sts", "get-caller-identity")["Account"] == marram.account


def test_iot(aws, name):
    assert aws("iot", "create-thing", "--thing-name", name)["thingName"] == name
    assert name in [thing["thingName"] for thing in aws("iot", "list-things", "--max-items", "1000")["things"]]
    aws("iot", "delete-thing", "--thing-name", name)


def test_iam(aws, name):
    assert aws("iam", "create-user", "--user-name", name)["User"]["UserName"] == name
    assert name in [user["UserName"] for user in aws("iam", "list-users")["Users"]]
    aws("iam", "delete-user", "--user-name", name)


def test_iot_data(aws, name):
    aws("iot-data", "publish", "--topic", f"{name}/t", "--retain", "--qos", "1", "--cli-binary-format", "raw-in-base64-out",
        "--payload", "hello", check=False)
    aws("iot-data", "list-retained-messages")


def test_things_graph(aws):
    found = aws("iotthingsgraph", "search-entities", "--entity-types", "DEVICE_MODEL")
    assert "urn:tdm:aws/examples:DeviceModel:Camera" in [one["id"] for one in found["descriptions"]]


def test_cloudtrail(aws, name):
    aws("iot", "create-thing", "--thing-name", name)
    attribute = "AttributeKey=EventName,AttributeValue=CreateThing"
    assert aws("cloudtrail", "lookup-events", "--lookup-attributes", attribute, "--max-items", "1")["Events"]


def test_errors_reach_the_user(aws):
    done = aws("iot", "describe-thing", "--thing-name", "absent", check=False)
    assert done.returncode != 0 and "ResourceNotFoundException" in done.stderr
