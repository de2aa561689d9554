"""Jobs: boto3 on both planes, the device SDK's jobs client, raw MQTT with namespaces (CP 4.7, 5.9)."""
import json
import time

import botocore.exceptions
import pytest

from device import WAIT_SECONDS, Device, everything

DOCUMENT = json.dumps({"operation": "reboot"})


@pytest.fixture
def device(marram, client, tmp_path, name):
    return Device(marram, client("iot"), tmp_path, name, everything)


def refused(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**arguments)
    error = caught.value.response
    return error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Code"]


def eventually(check, wanted):
    """Polls until `check()` answers `wanted`: work of the clockwork."""
    deadline = time.monotonic() + WAIT_SECONDS
    while (found := check()) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def status_of(client, job):
    return lambda: client("iot").describe_job(jobId=job)["job"]["status"]


def test_a_job_from_both_sides(client, device):
    """CP 4.7, 1.9: create, hand out, report, complete; counters; the document as text over HTTPS."""
    iot, data, name = client("iot"), client("iot-jobs-data"), device.name
    made = iot.create_job(jobId=name, targets=[device.arn], document=DOCUMENT, description="d", tags=[{"Key": "k", "Value": "v"}])
    assert made["jobId"] == name and made["jobArn"].endswith(f":job/{name}")
    assert iot.list_tags_for_resource(resourceArn=made["jobArn"])["tags"] == [{"Key": "k", "Value": "v"}]
    assert refused(iot.create_job, jobId=name, targets=[device.arn], document=DOCUMENT) == (409, "ResourceAlreadyExistsException")
    job = iot.describe_job(jobId=name)["job"]
    assert (job["status"], job["targetSelection"], job["targets"]) == ("IN_PROGRESS", "SNAPSHOT", [device.arn])
    assert job["jobProcessDetails"]["numberOfQueuedThings"] == 1
    assert json.loads(iot.get_job_document(jobId=name)["document"]) == json.loads(DOCUMENT)

    pending = data.get_pending_job_executions(thingName=name)
    assert [one["jobId"] for one in pending["queuedJobs"]] == [name] and pending["inProgressJobs"] == []
    started = data.start_next_pending_job_execution(thingName=name, statusDetails={"step": "1"})["execution"]
    assert (started["status"], started["versionNumber"], started["jobDocument"]) == ("IN_PROGRESS", 2, DOCUMENT)
    assert refused(data.update_job_execution, jobId=name, thingName=name, status="SUCCEEDED", expectedVersion=1) == (
        409, "InvalidStateTransitionException")
    told = data.update_job_execution(
        jobId=name, thingName=name, status="IN_PROGRESS", statusDetails={"step": "2"}, expectedVersion=2,
        includeJobExecutionState=True, includeJobDocument=True)
    assert told["executionState"] == {"status": "IN_PROGRESS", "statusDetails": {"step": "2"}, "versionNumber": 3}
    assert told["jobDocument"] == DOCUMENT
    described = data.describe_job_execution(jobId="$next", thingName=name)["execution"]
    assert (described["jobId"], described["statusDetails"]) == (name, {"step": "2"})
    data.update_job_execution(jobId=name, thingName=name, status="SUCCEEDED")
    assert refused(data.update_job_execution, jobId=name, thingName=name, status="FAILED") == (409, "InvalidStateTransitionException")
    assert refused(data.describe_job_execution, jobId=name, thingName=name) == (410, "TerminalStateException")
    assert "execution" not in data.describe_job_execution(jobId="$next", thingName=name)
    job = iot.describe_job(jobId=name)["job"]
    assert job["status"] == "COMPLETED" and job["completedAt"] and job["jobProcessDetails"]["numberOfSucceededThings"] == 1
    execution = iot.describe_job_execution(jobId=name, thingName=name)["execution"]
    assert (execution["status"], execution["statusDetails"]["detailsMap"]) == ("SUCCEEDED", {"step": "2"})
    summaries = iot.list_job_executions_for_job(jobId=name, status="SUCCEEDED")["executionSummaries"]
    assert [one["thingArn"] for one in summaries] == [device.arn]
    assert [one["jobId"] for one in iot.list_job_executions_for_thing(thingName=name)["executionSummaries"]] == [name]
    assert refused(iot.cancel_job, jobId=name) == (400, "InvalidRequestException")
    iot.delete_job_execution(jobId=name, thingName=name, executionNumber=1)
    iot.delete_job(jobId=name)
    assert refused(iot.describe_job, jobId=name) == (404, "ResourceNotFoundException")


def test_mqtt(client, device):
    """CP 5.9: every request topic, its answers, notify and notify-next; integer seconds; the document as JSON."""
    iot, name = client("iot"), device.name
    base = f"$aws/things/{name}/jobs"
    with device.connect() as connection:
        connection.subscribe(f"{base}/#")
        connection.publish(f"{base}/$next/get", {"clientToken": "0"})
        nothing = connection.next(f"{base}/$next/get/accepted")
        assert "execution" not in nothing and nothing["clientToken"] == "0" and isinstance(nothing["timestamp"], int)

        iot.create_job(jobId=f"{name}-1", targets=[device.arn], document=DOCUMENT)
        notify = connection.next(f"{base}/notify")
        assert [one["jobId"] for one in notify["jobs"]["QUEUED"]] == [f"{name}-1"]
        assert isinstance(notify["jobs"]["QUEUED"][0]["queuedAt"], int)
        upcoming = connection.next(f"{base}/notify-next")["execution"]
        assert (upcoming["jobId"], upcoming["status"], upcoming["jobDocument"]) == (f"{name}-1", "QUEUED", json.loads(DOCUMENT))
        iot.create_job(jobId=f"{name}-2", targets=[device.arn], document=DOCUMENT)
        assert len(connection.next(f"{base}/notify")["jobs"]["QUEUED"]) == 2, "the next one is still the first: no notify-next"

        connection.publish(f"{base}/start-next", {"statusDetails": {"a": "b"}, "clientToken": "1"})
        started = connection.next(f"{base}/start-next/accepted")["execution"]
        assert (started["jobId"], started["status"], started["statusDetails"]) == (f"{name}-1", "IN_PROGRESS", {"a": "b"})
        connection.publish(f"{base}/get", {})
        lists = connection.next(f"{base}/get/accepted")
        assert [one["jobId"] for one in lists["inProgressJobs"]] == [f"{name}-1"]
        assert [one["jobId"] for one in lists["queuedJobs"]] == [f"{name}-2"]

        update = f"{base}/{name}-1/update"
        for body, code in [
            ("{", "InvalidJson"),
            ({"status": "DONE"}, "InvalidRequest"),
            ({"status": "TIMED_OUT"}, "InvalidRequest"),
            ({"status": "IN_PROGRESS", "statusDetails": {str(n): "x" for n in range(11)}}, "InvalidRequest"),
            ({"status": "IN_PROGRESS", "stepTimeoutInMinutes": 10081}, "InvalidRequest"),
            ({"status": "IN_PROGRESS", "expectedVersion": 9, "clientToken": "2"}, "VersionMismatch"),
        ]:
            connection.publish(update, body)
            rejected = connection.next(f"{update}/rejected")
            assert rejected["code"] == code, body
        assert rejected["executionState"]["versionNumber"] == 2 and rejected["clientToken"] == "2"
        connection.publish(f"{base}/absent/update", {"status": "FAILED"})
        assert connection.next(f"{base}/absent/update/rejected")["code"] == "ResourceNotFound"

        connection.publish(update, {"status": "IN_PROGRESS", "stepTimeoutInMinutes": 5, "includeJobExecutionState": True})
        assert connection.next(f"{update}/accepted")["executionState"]["versionNumber"] == 3
        connection.publish(f"{base}/{name}-1/get", {"includeJobDocument": False})
        execution = connection.next(f"{base}/{name}-1/get/accepted")["execution"]
        assert "jobDocument" not in execution and 0 < execution["approximateSecondsBeforeTimedOut"] <= 300
        connection.publish(update, {"status": "SUCCEEDED"})
        seen = {}
        for _ in range(3):
            topic, payload = connection.messages.get(timeout=WAIT_SECONDS)
            seen[topic] = json.loads(payload)
        assert set(seen) == {f"{update}/accepted", f"{base}/notify", f"{base}/notify-next"}
        assert seen[f"{base}/notify-next"]["execution"]["jobId"] == f"{name}-2"
        connection.publish(update, {"status": "FAILED"})
        assert connection.next(f"{update}/rejected")["code"] == "InvalidStateTransition"
        connection.publish(f"{base}/{name}-1/get", {})
        assert connection.next(f"{base}/{name}-1/get/rejected")["code"] == "TerminalStateReached"
        iot.cancel_job(jobId=f"{name}-2")
        assert connection.next(f"{base}/notify")["jobs"] == {}
        assert "execution" not in connection.next(f"{base}/notify-next")


def test_answers_reach_the_session_that_asked(client, device):
    """CP 5.8: without a subscription too, and only once with one."""
    base = f"$aws/things/{device.name}/jobs"
    with device.connect() as connection:
        connection.publish(f"{base}/get", {"clientToken": "1"})
        assert connection.next(f"{base}/get/accepted")["clientToken"] == "1"
        connection.subscribe(f"{base}/get/accepted")
        for token in ("2", "3"):
            connection.publish(f"{base}/get", {"clientToken": token})
            assert connection.next(f"{base}/get/accepted")["clientToken"] == token


def test_namespaces_are_queues_of_their_own(client, device):
    """CP 5.9: jobs of a namespace are invisible to the default queue and the other way round."""
    iot, name = client("iot"), device.name
    base, space = f"$aws/things/{name}/jobs", "namespace-aws-gg-deployment"
    with device.connect() as connection:
        connection.subscribe(f"{base}/#")
        iot.create_job(jobId=name, targets=[device.arn], document=DOCUMENT, namespaceId="aws-gg-deployment")
        assert [one["jobId"] for one in connection.next(f"{base}/notify-{space}")["jobs"]["QUEUED"]] == [name]
        assert connection.next(f"{base}/notify-next-{space}")["execution"]["jobId"] == name
        connection.publish(f"{base}/get", {})
        assert connection.next(f"{base}/get/accepted")["queuedJobs"] == []
        connection.publish(f"{base}/{name}/get", {})
        assert connection.next(f"{base}/{name}/get/rejected")["code"] == "ResourceNotFound"
        connection.publish(f"{base}/$next/{space}/get", {"includeJobDocument": True})
        assert connection.next(f"{base}/$next/{space}/get/accepted")["execution"]["jobId"] == name
        update = f"{base}/{name}/{space}/update"
        connection.publish(update, {"status": "IN_PROGRESS", "statusDetails": {"detailed-deployment-status": "x"}})
        connection.next(f"{update}/accepted")
        # Cancellation empties the list: how a core learns that its deployment is off.
        iot.cancel_job(jobId=name, force=True)
        assert connection.next(f"{base}/notify-{space}")["jobs"] == {}
        connection.next(f"{base}/notify-next-{space}")
    assert iot.describe_job(jobId=name)["job"]["namespaceId"] == "aws-gg-deployment"
    assert [one["jobId"] for one in iot.list_jobs(namespaceId="aws-gg-deployment")["jobs"]].count(name) == 1
    assert refused(iot.delete_job, jobId=name, namespaceId="other") == (404, "ResourceNotFoundException")
    iot.delete_job(jobId=name, namespaceId="aws-gg-deployment")


def test_continuous_jobs_follow_their_groups(client, marram, name):
    """CP 4.7: joining a target group hands the job out, leaving it takes it back; child groups count."""
    iot = client("iot")
    parent = iot.create_thing_group(thingGroupName=f"{name}-p")
    iot.create_thing_group(thingGroupName=f"{name}-c", parentGroupName=f"{name}-p")
    things = [f"{name}-{number}" for number in range(3)]
    for thing in things:
        iot.create_thing(thingName=thing)
    iot.add_thing_to_thing_group(thingGroupName=f"{name}-p", thingName=things[0])
    iot.create_job(jobId=name, targets=[parent["thingGroupArn"]], document=DOCUMENT, targetSelection="CONTINUOUS")
    executions = lambda: {
        one["thingArn"].rsplit("/", 1)[1]: one["jobExecutionSummary"]["status"]
        for one in iot.list_job_executions_for_job(jobId=name)["executionSummaries"]}
    assert executions() == {things[0]: "QUEUED"}
    iot.add_thing_to_thing_group(thingGroupName=f"{name}-c", thingName=things[1])
    assert executions() == {things[0]: "QUEUED", things[1]: "QUEUED"}
    iot.remove_thing_from_thing_group(thingGroupName=f"{name}-p", thingName=things[0])
    assert executions() == {things[0]: "REMOVED", things[1]: "QUEUED"}
    iot.add_thing_to_thing_group(thingGroupName=f"{name}-p", thingName=things[0])
    latest = iot.list_job_executions_for_thing(thingName=things[0])["executionSummaries"]
    assert sorted(one["jobExecutionSummary"]["executionNumber"] for one in latest) == [1, 2]
    iot.associate_targets_with_job(jobId=name, targets=[f"arn:aws:iot:{marram.region}:{marram.account}:thing/{things[2]}"])
    assert executions()[things[2]] == "QUEUED"
    assert status_of(client, name)() == "IN_PROGRESS"
    iot.cancel_job(jobId=name, reasonCode="ENOUGH", comment="c")
    job = iot.describe_job(jobId=name)["job"]
    assert (job["status"], job["reasonCode"], job["comment"], job["forceCanceled"]) == ("CANCELED", "ENOUGH", "c", False)
    assert refused(iot.associate_targets_with_job, jobId=name, targets=[parent["thingGroupArn"]]) == (400, "InvalidRequestException")


def test_a_thing_that_comes_back_gets_the_job_again(client, device, name):
    """CP 4.7: a continuous job that was done is done again by a thing that left the group and came back, under the next number."""
    iot = client("iot")
    group = iot.create_thing_group(thingGroupName=f"{name}-g")
    member = {"thingGroupName": f"{name}-g", "thingName": device.name}
    iot.add_thing_to_thing_group(**member)
    iot.create_job(jobId=name, targets=[group["thingGroupArn"]], document=DOCUMENT, targetSelection="CONTINUOUS")
    data = client("iot-jobs-data")
    data.update_job_execution(jobId=name, thingName=device.name, status="SUCCEEDED")
    executions = lambda: sorted(
        (one["jobExecutionSummary"]["executionNumber"], one["jobExecutionSummary"]["status"])
        for one in iot.list_job_executions_for_thing(thingName=device.name)["executionSummaries"])
    iot.remove_thing_from_thing_group(**member)
    assert executions() == [(1, "SUCCEEDED")]
    iot.add_thing_to_thing_group(**member)
    assert executions() == [(1, "SUCCEEDED"), (2, "QUEUED")]
    started = data.start_next_pending_job_execution(thingName=device.name)["execution"]
    assert (started["jobId"], started["executionNumber"]) == (name, 2)
    data.update_job_execution(jobId=name, thingName=device.name, status="SUCCEEDED")
    assert iot.describe_job(jobId=name)["job"]["jobProcessDetails"]["numberOfSucceededThings"] == 1


def test_abort_and_retry(client, marram, name):
    """CP 4.7: failures beyond the threshold call the job off; retries come first."""
    iot, data = client("iot"), client("iot-jobs-data")
    things = [f"{name}-{number}" for number in range(4)]
    for thing in things:
        iot.create_thing(thingName=thing)
    targets = [f"arn:aws:iot:{marram.region}:{marram.account}:thing/{thing}" for thing in things]
    iot.create_job(
        jobId=name, targets=targets, document=DOCUMENT,
        abortConfig={"criteriaList": [{"failureType": "FAILED", "action": "CANCEL", "thresholdPercentage": 50.0, "minNumberOfExecutedThings": 2}]},
        jobExecutionsRetryConfig={"criteriaList": [{"failureType": "FAILED", "numberOfRetries": 1}]})
    for thing in things[:2]:
        for attempt in (1, 2):
            told = data.start_next_pending_job_execution(thingName=thing)["execution"]
            assert told["executionNumber"] == attempt
            data.update_job_execution(jobId=name, thingName=thing, status="FAILED")
    assert status_of(client, name)() == "CANCELED"
    details = iot.describe_job(jobId=name)["job"]["jobProcessDetails"]
    assert (details["numberOfFailedThings"], details["numberOfCanceledThings"]) == (2, 2)


def test_rollout_rate(client, marram, name):
    """CP 4.7: with a rate, executions are handed out over time, the first at once."""
    iot = client("iot")
    things = [f"{name}-{number}" for number in range(4)]
    for thing in things:
        iot.create_thing(thingName=thing)
    targets = [f"arn:aws:iot:{marram.region}:{marram.account}:thing/{thing}" for thing in things]
    iot.create_job(jobId=name, targets=targets, document=DOCUMENT, jobExecutionsRolloutConfig={"maximumPerMinute": 60})
    queued = lambda: iot.describe_job(jobId=name)["job"]["jobProcessDetails"]["numberOfQueuedThings"]
    assert queued() < 4
    eventually(queued, 4)


def test_cancel_and_templates(client, marram, device):
    """CP 4.2: CancelJobExecution, UpdateJob, templates with parameters, refusals."""
    iot, name = client("iot"), device.name
    iot.create_job_template(
        jobTemplateId=name, description="d", document='{"path": "${aws:iot:parameter:path}"}',
        timeoutConfig={"inProgressTimeoutInMinutes": 7})
    template = iot.describe_job_template(jobTemplateId=name)
    assert template["timeoutConfig"] == {"inProgressTimeoutInMinutes": 7}
    assert name in [one["jobTemplateId"] for one in iot.list_job_templates(maxResults=250)["jobTemplates"]]
    assert refused(iot.create_job_template, jobTemplateId=name, description="d", document="{}") == (409, "ConflictException")
    arn = template["jobTemplateArn"]
    assert refused(iot.create_job, jobId=name, targets=[device.arn], jobTemplateArn=arn) == (400, "InvalidRequestException")
    iot.create_job(jobId=name, targets=[device.arn], jobTemplateArn=arn, documentParameters={"path": 'a"b'})
    assert json.loads(iot.get_job_document(jobId=name)["document"]) == {"path": 'a"b'}
    iot.update_job(jobId=name, description="new")
    assert iot.describe_job(jobId=name)["job"]["description"] == "new"
    client("iot-jobs-data").start_next_pending_job_execution(thingName=name)
    left = iot.describe_job_execution(jobId=name, thingName=name)["execution"]["approximateSecondsBeforeTimedOut"]
    assert 0 < left <= 420
    cancel = iot.cancel_job_execution
    assert refused(cancel, jobId=name, thingName=name) == (409, "InvalidStateTransitionException")
    assert refused(cancel, jobId=name, thingName=name, force=True, expectedVersion=9) == (409, "VersionConflictException")
    cancel(jobId=name, thingName=name, force=True, statusDetails={"why": "test"})
    assert status_of(client, name)() == "COMPLETED"
    iot.delete_job_template(jobTemplateId=name)
    assert refused(iot.describe_job_template, jobTemplateId=name) == (404, "ResourceNotFoundException")
    assert iot.list_managed_job_templates()["managedJobTemplates"] == []
    assert refused(iot.describe_managed_job_template, templateName="x") == (404, "ResourceNotFoundException")
    pages = iot.list_jobs(maxResults=1)
    assert len(pages["jobs"]) == 1


def test_https_with_a_certificate(marram, client, tmp_path, name):
    """CP 1.8, 3.7: on the device port the shared path is the data plane's, and IoT policies say `iot:`."""
    statements = lambda arn: [{"Effect": "Allow", "Action": ["iot:DescribeJobExecution", "iot:GetPendingJobExecutions"],
                               "Resource": f"{arn}:thing/{name}"}]
    device = Device(marram, client("iot"), tmp_path, name, statements)
    client("iot").create_job(jobId=name, targets=[device.arn], document=DOCUMENT)
    status, _, answer = device.https("GET", f"/things/{name}/jobs/$next")
    assert status == 200 and answer["execution"]["jobDocument"] == DOCUMENT
    assert [one["jobId"] for one in device.https("GET", f"/things/{name}/jobs")[2]["queuedJobs"]] == [name]
    assert device.https("POST", f"/things/{name}/jobs/{name}", json.dumps({"status": "FAILED"}))[0] == 403
    assert device.https("GET", "/things/other/jobs")[0] == 403


def test_device_sdk(client, device):
    """The unmodified jobs client of awsiotsdk."""
    import queue

    from awscrt import mqtt
    from awsiot import iotjobs, mqtt_connection_builder

    connection = mqtt_connection_builder.mtls_from_path(
        cert_filepath=str(device.certificate), pri_key_filepath=str(device.key), ca_filepath=device.ca,
        endpoint=device.host, port=device.port, client_id=device.name, clean_session=True, keep_alive_secs=30,
    )
    connection.connect().result(WAIT_SECONDS)
    jobs, answers, once = iotjobs.IotJobsClient(connection), queue.Queue(), mqtt.QoS.AT_LEAST_ONCE
    for subscribe, request in [
        (jobs.subscribe_to_next_job_execution_changed_events, iotjobs.NextJobExecutionChangedSubscriptionRequest),
        (jobs.subscribe_to_start_next_pending_job_execution_accepted, iotjobs.StartNextPendingJobExecutionSubscriptionRequest),
    ]:
        subscribed, _ = subscribe(request(thing_name=device.name), once, answers.put)
        subscribed.result(WAIT_SECONDS)
    subscribed, _ = jobs.subscribe_to_update_job_execution_accepted(
        iotjobs.UpdateJobExecutionSubscriptionRequest(thing_name=device.name, job_id=device.name), once, answers.put)
    subscribed.result(WAIT_SECONDS)
    client("iot").create_job(jobId=device.name, targets=[device.arn], document=DOCUMENT)
    assert answers.get(timeout=WAIT_SECONDS).execution.job_document == json.loads(DOCUMENT)
    jobs.publish_start_next_pending_job_execution(
        iotjobs.StartNextPendingJobExecutionRequest(thing_name=device.name), once).result(WAIT_SECONDS)
    started = answers.get(timeout=WAIT_SECONDS).execution
    assert (started.job_id, started.status) == (device.name, iotjobs.JobStatus.IN_PROGRESS)
    jobs.publish_update_job_execution(iotjobs.UpdateJobExecutionRequest(
        thing_name=device.name, job_id=device.name, status=iotjobs.JobStatus.SUCCEEDED,
        expected_version=started.version_number), once).result(WAIT_SECONDS)
    kinds = {type(answers.get(timeout=WAIT_SECONDS)).__name__ for _ in range(2)}
    assert kinds == {"UpdateJobExecutionResponse", "NextJobExecutionChangedEvent"}
    eventually(status_of(client, device.name), "COMPLETED")
    connection.disconnect().result(WAIT_SECONDS)


def test_events(marram, client, device, tmp_path):
    """CP 4.9: `$aws/events/..` for jobs and executions, once the account asked for them."""
    iot, name = client("iot"), device.name
    kinds = iot.describe_event_configurations()["eventConfigurations"]
    assert kinds["THING"] == {"Enabled": False} and len(kinds) == 11
    listener = Device(marram, iot, tmp_path, f"{name}-listener", everything)
    with listener.connect() as connection:
        connection.subscribe(f"$aws/events/job/{name}/#", f"$aws/events/jobExecution/{name}/#")
        iot.update_event_configurations(eventConfigurations={"JOB": {"Enabled": True}, "JOB_EXECUTION": {"Enabled": True}})
        try:
            assert iot.describe_event_configurations()["eventConfigurations"]["JOB"] == {"Enabled": True}
            iot.create_job(jobId=name, targets=[device.arn], document=DOCUMENT, description="d")
            data = client("iot-jobs-data")
            data.update_job_execution(jobId=name, thingName=name, status="FAILED", statusDetails={"why": "x"})
        finally:
            iot.update_event_configurations(eventConfigurations={"JOB": {"Enabled": False}, "JOB_EXECUTION": {"Enabled": False}})
        execution = connection.next(f"$aws/events/jobExecution/{name}/failed")
        assert (execution["eventType"], execution["operation"], execution["status"]) == ("JOB_EXECUTION", "failed", "FAILED")
        assert (execution["thingArn"], execution["statusDetails"], execution["accountId"]) == (
            device.arn, {"why": "x"}, marram.account)
        job = connection.next(f"$aws/events/job/{name}/completed")
        assert (job["eventType"], job["jobId"], job["status"], job["description"]) == ("JOB", name, "COMPLETED", "d")
        assert job["jobProcessDetails"]["numberOfFailedThings"] == 1 and job["targets"] == [device.arn]
        assert job["createdAt"] <= job["completedAt"] <= time.time() * 1000 + 60_000


def test_maintenance_windows(client, device):
    """CP 4.7: a job with windows waits for the next one and says when it opens; a template passes its windows on."""
    iot, name = client("iot"), device.name
    # In ten hours at the earliest, whenever this runs.
    hour = (time.gmtime().tm_hour + 12) % 24
    windows = [{"startTime": f"cron(0 {hour} ? * * *)", "durationInMinutes": 30}]
    job = {"targets": [device.arn], "document": DOCUMENT, "targetSelection": "CONTINUOUS"}
    for wrong in ({"startTime": "soon", "durationInMinutes": 30}, {"startTime": windows[0]["startTime"], "durationInMinutes": 1431}):
        assert refused(iot.create_job, jobId=name, **job, schedulingConfig={"maintenanceWindows": [wrong]}) == (
            400, "InvalidRequestException")
    iot.create_job_template(jobTemplateId=name, description="d", document=DOCUMENT, maintenanceWindows=windows)
    template = iot.describe_job_template(jobTemplateId=name)
    assert template["maintenanceWindows"] == windows
    iot.create_job(jobId=name, targets=[device.arn], targetSelection="CONTINUOUS", jobTemplateArn=template["jobTemplateArn"])
    described = iot.describe_job(jobId=name)["job"]
    assert (described["status"], described["schedulingConfig"]["maintenanceWindows"]) == ("SCHEDULED", windows)
    assert described["scheduledJobRollouts"][0]["startTime"].endswith(f"T{hour:02}:00")
    assert client("iot-jobs-data").get_pending_job_executions(thingName=name)["queuedJobs"] == []
    iot.cancel_job(jobId=name)
