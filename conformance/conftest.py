"""Boots one installation for the whole run; every test makes names of its own in it."""
import itertools
import json
import os

import pytest

import installation

#: Needs a peer that was built elsewhere, and root: `make peers-test` names it.
collect_ignore = [] if "MARRAM_NUCLEUS_LITE" in os.environ else ["test_nucleus_lite.py"]


@pytest.fixture(scope="session")
def marram(tmp_path_factory):
    """The running installation. It must end cleanly when asked to."""
    running = installation.Installation(tmp_path_factory.mktemp("marram") / "data")
    yield running
    assert running.stop() == 0, "marram did not end cleanly"


@pytest.fixture(scope="session")
def client(marram):
    """`client("iot")`: the administrator's client, one per service."""
    made = {}

    def get(service):
        if service not in made:
            made[service] = marram.client(service)
        return made[service]

    return get


@pytest.fixture(scope="session")
def numbers():
    return itertools.count(1)


@pytest.fixture
def name(numbers):
    """A name nobody else uses."""
    return f"t{next(numbers)}"


@pytest.fixture(scope="session")
def make_user(marram, client, numbers):
    """`make_user(policy)`: keys of a fresh IAM user with this inline policy, or with none."""

    def make(policy=None, iam=None):
        iam = iam or client("iam")
        name = f"user-{next(numbers)}"
        iam.create_user(UserName=name)
        if policy is not None:
            iam.put_user_policy(UserName=name, PolicyName="only", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return installation.Keys(key["AccessKeyId"], key["SecretAccessKey"])

    return make


def pytest_collection_modifyitems(items):
    """What was answered is counted after everything else has run."""
    items.sort(key=lambda item: "test_coverage" in item.nodeid)
