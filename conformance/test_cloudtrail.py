"""The audit log through LookupEvents, and verified offline (SEC-72, CP 10.2, security.md 7.2)."""
import json
import time

import pytest

WAIT_SECONDS = 60


def lookup(client, key, value, **parameters):
    return client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": key, "AttributeValue": value}], **parameters
    )["Events"]


def wait_for(look):
    """Records of reads and refusals are written shortly after their answer."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def test_a_change_is_recorded_once(client, marram, name):
    client("iot").create_thing(thingName=name)
    arn = f"arn:aws:iot:{marram.region}:{marram.account}:thing/{name}"
    events = wait_for(lambda: lookup(client, "ResourceName", arn))
    assert [event["EventName"] for event in events] == ["CreateThing"]
    event = events[0]
    record = json.loads(event["CloudTrailEvent"])
    assert event["EventSource"] == "iot.amazonaws.com" and event["ReadOnly"] == "false"
    assert event["AccessKeyId"] == marram.administrator.access_key
    assert record["requestParameters"]["thingName"] == name
    assert record["recipientAccountId"] == marram.account
    assert record["marram"]["decision"] == "allowed"
    assert lookup(client, "EventId", event["EventId"]) == [event]


def test_a_refusal_is_recorded_with_its_reason(client, marram, make_user, name):
    keys = make_user()
    with pytest.raises(Exception, match="AccessDenied"):
        marram.client("iot", keys).create_thing(thingName=name)
    events = wait_for(lambda: lookup(client, "AccessKeyId", keys.access_key))
    record = json.loads(events[0]["CloudTrailEvent"])
    assert record["errorCode"].startswith("AccessDenied")
    assert record["marram"]["decision"] == "implicitDeny"


def test_secrets_are_not_recorded(client, make_user):
    keys = make_user()
    client("iot").create_keys_and_certificate()
    for name in ("CreateAccessKey", "CreateKeysAndCertificate"):
        events = wait_for(lambda: lookup(client, "EventName", name))
        assert events
        for event in events:
            assert keys.secret_key not in event["CloudTrailEvent"]
            assert "PRIVATE KEY-----" not in event["CloudTrailEvent"]


def test_pages_and_filters(client, name):
    for n in range(4):
        client("iot").create_thing(thingName=f"{name}-{n}")
    trail = client("cloudtrail")
    pages = trail.get_paginator("lookup_events").paginate(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "CreateThing"}],
        PaginationConfig={"PageSize": 2, "MaxItems": 6},
    )
    events = [event for page in pages for event in page["Events"]]
    assert len(events) >= 4 and len({event["EventId"] for event in events}) == len(events)
    times = [event["EventTime"] for event in events]
    assert times == sorted(times, reverse=True)
    assert all(event["ReadOnly"] == "true" for event in lookup(client, "ReadOnly", "true", MaxResults=5))
    with pytest.raises(trail.exceptions.InvalidLookupAttributesException):
        trail.lookup_events(LookupAttributes=[{"AttributeKey": "ReadOnly", "AttributeValue": "perhaps"}])
    # The model's own limit: refused before the service sees it.
    with pytest.raises(Exception, match="ValidationException"):
        trail.lookup_events(MaxResults=51)


def test_each_account_has_its_own_log(marram, client, name):
    """P2: another account's administrator finds nothing of ours."""
    client("iot").create_thing(thingName=name)
    account, keys = marram.create_account("reader")
    marram.client("iot", keys).create_thing(thingName="own")
    events = wait_for(lambda: marram.client("cloudtrail", keys).lookup_events()["Events"])
    assert {json.loads(event["CloudTrailEvent"])["recipientAccountId"] for event in events} == {account}
    assert not any(name in event["CloudTrailEvent"] for event in events)


def test_the_stored_log_is_sound(marram):
    """SEC-144: verified by another process while the installation runs."""
    done = marram.run("audit-log", "verify", "--data", str(marram.data), "--json", check=False)
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["ok"] and report["records"] > 0, report
