"""CloudWatch Logs and metrics, as the log manager and the CloudWatch component use them (CP 9.3)."""
import datetime
import json
import os
import subprocess
import sys
import time

import botocore.exceptions
import pytest


def refused(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"]


def now_ms():
    return int(time.time() * 1000)


def test_log_manager(client, name):
    """CP 9.3: group and stream made when they are missing, events out of time told, read from both ends."""
    logs, group, stream = client("logs"), f"/aws/greengrass/UserComponent/us-east-1/{name}", "/2026/01/31/thing/core"
    place = {"logGroupName": group, "logStreamName": stream}
    at = now_ms()
    assert refused(logs.put_log_events, logEvents=[{"timestamp": at, "message": "x"}], **place) == "ResourceNotFoundException"
    assert refused(logs.create_log_stream, **place) == "ResourceNotFoundException"
    logs.create_log_group(logGroupName=group)
    assert refused(logs.create_log_group, logGroupName=group) == "ResourceAlreadyExistsException"
    logs.create_log_stream(**place)
    assert refused(logs.create_log_stream, **place) == "ResourceAlreadyExistsException"
    events = [{"timestamp": at + number, "message": f"{'ERROR' if number % 2 else 'INFO'} line {number}"} for number in range(10)]
    assert logs.put_log_events(logEvents=events, sequenceToken="ignored", **place)["nextSequenceToken"]
    old = logs.put_log_events(logEvents=[{"timestamp": at - 15 * 86_400_000, "message": "old"}], **place)
    assert old["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    new = logs.put_log_events(logEvents=[{"timestamp": at + 3 * 3_600_000, "message": "new"}], **place)
    assert new["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 0}
    assert refused(logs.put_log_events, logEvents=events[::-1], **place) == "InvalidParameterException"

    first = logs.get_log_events(startFromHead=True, limit=4, **place)
    assert [event["message"] for event in first["events"]] == [event["message"] for event in events[:4]]
    rest = logs.get_log_events(nextToken=first["nextForwardToken"], **place)
    assert [event["message"] for event in rest["events"]] == [event["message"] for event in events[4:]]
    end = logs.get_log_events(nextToken=rest["nextForwardToken"], **place)
    assert end["events"] == [] and end["nextForwardToken"] == rest["nextForwardToken"]
    tail = logs.get_log_events(limit=2, **place)
    assert [event["message"] for event in tail["events"]] == [event["message"] for event in events[8:]]
    before = logs.get_log_events(nextToken=tail["nextBackwardToken"], limit=2, **place)
    assert [event["message"] for event in before["events"]] == [event["message"] for event in events[6:8]]
    assert refused(logs.get_log_events, nextToken="nonsense", **place) == "InvalidParameterException"

    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=group, filterPattern="ERROR", PaginationConfig={"PageSize": 2})
    assert [event["message"] for page in pages for event in page["events"]] == [e["message"] for e in events if "ERROR" in e["message"]]
    assert refused(logs.filter_log_events, logGroupName=group, filterPattern="{ $.a = 1 }") == "InvalidParameterException"
    pages = logs.get_paginator("describe_log_streams").paginate(logGroupName=group, orderBy="LastEventTime", PaginationConfig={"PageSize": 1})
    assert [one["logStreamName"] for page in pages for one in page["logStreams"]] == [stream]
    pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix="/aws/greengrass/", PaginationConfig={"PageSize": 1})
    assert group in [one["logGroupName"] for page in pages for one in page["logGroups"]]
    logs.put_retention_policy(logGroupName=group, retentionInDays=30)
    assert refused(logs.put_retention_policy, logGroupName=group, retentionInDays=2) == "InvalidParameterException"
    assert logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]["retentionInDays"] == 30
    logs.delete_retention_policy(logGroupName=group)
    logs.delete_log_stream(**place)
    assert refused(logs.get_log_events, **place) == "ResourceNotFoundException"
    logs.delete_log_group(logGroupName=group)
    assert refused(logs.delete_log_group, logGroupName=group) == "ResourceNotFoundException"


def test_permissions(marram, client, make_user, name):
    """CP 3.7: policies end in `:*` more often than not."""
    arn = f"arn:aws:logs:{marram.region}:{marram.account}:log-group:/mine/{name}:*"
    allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "logs:*", "Resource": arn}]}
    logs = marram.client("logs", make_user(allowed))
    logs.create_log_group(logGroupName=f"/mine/{name}")
    logs.create_log_stream(logGroupName=f"/mine/{name}", logStreamName="s")
    logs.put_log_events(logGroupName=f"/mine/{name}", logStreamName="s", logEvents=[{"timestamp": now_ms(), "message": "m"}])
    assert refused(logs.create_log_group, logGroupName=f"/others/{name}") == "AccessDeniedException"
    assert refused(logs.describe_log_groups) == "AccessDeniedException"


def test_metrics(client, name):
    metrics, at = client("cloudwatch"), datetime.datetime.now(datetime.timezone.utc).replace(second=0, microsecond=0)
    dimensions = [{"Name": "core", "Value": name}]
    metrics.put_metric_data(Namespace=f"Test/{name}", MetricData=[
        {"MetricName": "m", "Dimensions": dimensions, "Timestamp": at, "Value": 1.0, "Unit": "Count"},
        {"MetricName": "m", "Dimensions": dimensions, "Timestamp": at, "Values": [2.0, 3.0], "Counts": [1.0, 2.0], "Unit": "Count"},
        {"MetricName": "m", "Dimensions": dimensions, "Timestamp": at, "Unit": "Count",
         "StatisticValues": {"SampleCount": 1, "Sum": 9, "Minimum": 9, "Maximum": 9}}])
    span = {"StartTime": at - datetime.timedelta(minutes=5), "EndTime": at + datetime.timedelta(minutes=5)}
    point, = metrics.get_metric_statistics(
        Namespace=f"Test/{name}", MetricName="m", Dimensions=dimensions, Period=60,
        Statistics=["Sum", "SampleCount", "Average", "Minimum", "Maximum"], **span)["Datapoints"]
    assert (point["Sum"], point["SampleCount"], point["Minimum"], point["Maximum"], point["Unit"]) == (18.0, 5.0, 1.0, 9.0, "Count")
    query = {"Id": "a", "MetricStat": {"Metric": {"Namespace": f"Test/{name}", "MetricName": "m", "Dimensions": dimensions}, "Period": 60, "Stat": "Average"}}
    result, = metrics.get_metric_data(MetricDataQueries=[query], **span)["MetricDataResults"]
    assert (result["Values"], result["Timestamps"], result["StatusCode"]) == ([3.6], [at], "Complete")
    pages = metrics.get_paginator("list_metrics").paginate(Namespace=f"Test/{name}")
    assert [one for page in pages for one in page["Metrics"]] == [
        {"Namespace": f"Test/{name}", "MetricName": "m", "Dimensions": dimensions}]
    assert refused(metrics.put_metric_data, Namespace="T", MetricData=[{"MetricName": "m"}]) == "InvalidParameterValue"
    assert refused(metrics.get_metric_data, MetricDataQueries=[{"Id": "a", "Expression": "1"}], **span) == "InvalidParameterValue"


def test_command_line(marram, client, name):
    logs = client("logs")
    logs.create_log_group(logGroupName=name)
    logs.create_log_stream(logGroupName=name, logStreamName="s")
    logs.put_log_events(logGroupName=name, logStreamName="s", logEvents=[{"timestamp": now_ms(), "message": "seen"}])
    environment = {**os.environ, **marram.environment, "AWS_EC2_METADATA_DISABLED": "true"}
    for arguments in (["logs", "filter-log-events", "--log-group-name", name], ["logs", "describe-log-groups"],
                      ["cloudwatch", "list-metrics"]):
        done = subprocess.run([sys.executable, "-m", "awscli", *arguments], env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert isinstance(json.loads(done.stdout), dict)
