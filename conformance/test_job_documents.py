"""Job documents from S3 and with presigned URLs: boto3 on one side, raw MQTT and HTTPS on the other (CP 4.7, 3.5)."""
import json
import ssl

import pytest
import urllib3

from device import Device, everything
from test_jobs import refused

TRUST = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "iot.amazonaws.com"}, "Action": "sts:AssumeRole"}]}


def allow(action, resource):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]})


@pytest.fixture
def device(marram, client, tmp_path, name):
    return Device(marram, client("iot"), tmp_path, name, everything)


@pytest.fixture
def bucket(client, name):
    bucket = f"parts-{name}"
    client("s3").create_bucket(Bucket=bucket)
    client("s3").put_object(Bucket=bucket, Key="dir/a b.bin", Body=b"contents")
    return bucket


@pytest.fixture
def role(client, name, bucket):
    """A role that the jobs service may assume and that reads the bucket."""
    arn = client("iam").create_role(RoleName=f"jobs-{name}", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    client("iam").put_role_policy(
        RoleName=f"jobs-{name}", PolicyName="read", PolicyDocument=allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*"))
    return arn


def fetch(marram, url):
    """A device's plain GET: no credentials but the URL."""
    pool = urllib3.PoolManager(ssl_context=ssl.create_default_context(cafile=marram.environment["AWS_CA_BUNDLE"]))
    answer = pool.request("GET", url, retries=False)
    return answer.status, answer.data


def test_presigned_urls(marram, client, device, bucket, role, name):
    """Placeholders are replaced on every way to a device, with URLs that the role's permissions of the moment decide about."""
    iot, data = client("iot"), client("iot-jobs-data")
    urls = [f"https://s3.{marram.region}.amazonaws.com/{bucket}/dir/a b.bin",
            f"https://{bucket}.s3.{marram.region}.amazonaws.com/dir/a%20b.bin",
            f"{marram.environment['AWS_ENDPOINT_URL']}/{bucket}/dir/a%20b.bin"]
    document = json.dumps({"files": [f"${{aws:iot:s3-presigned-url:{url}}}" for url in urls], "n": 1})
    base = f"$aws/things/{name}/jobs"
    config = {"roleArn": role, "expiresInSec": 120}
    with device.connect() as connection:
        connection.subscribe(f"{base}/#")
        iot.create_job(jobId=name, targets=[device.arn], document=document, presignedUrlConfig=config)
        assert iot.describe_job(jobId=name)["job"]["presignedUrlConfig"] == config
        assert iot.get_job_document(jobId=name)["document"] == document
        connection.next(f"{base}/notify")
        seen = [connection.next(f"{base}/notify-next")]
        for request in ("$next/get", f"{name}/get", "start-next"):
            connection.publish(f"{base}/{request}", {})
            seen.append(connection.until(f"{base}/{request}/accepted"))
        connection.publish(f"{base}/{name}/update", {"status": "IN_PROGRESS", "includeJobDocument": True})
        seen.append({"execution": connection.until(f"{base}/{name}/update/accepted")})
    documents = [one["execution"]["jobDocument"] for one in seen]
    documents.append(json.loads(data.describe_job_execution(jobId=name, thingName=name)["execution"]["jobDocument"]))
    for found in documents:
        assert found["n"] == 1 and len(found["files"]) == 3
        for url in found["files"]:
            assert "X-Amz-Expires=120&" in url
            assert fetch(marram, url) == (200, b"contents")
    url = documents[0]["files"][0]
    assert fetch(marram, url.replace("a%20b.bin", "other"))[0] == 403, "the signature holds for one object"
    client("iam").delete_role_policy(RoleName=f"jobs-{name}", PolicyName="read")
    assert fetch(marram, url)[0] == 403, "the role may no longer read"


def test_namespaced_queues(marram, client, device, bucket, role, name):
    """Queues of a namespace hand the same documents out."""
    document = json.dumps({"file": f"${{aws:iot:s3-presigned-url-v2:https://s3.amazonaws.com/{bucket}/dir/a%20b.bin}}"})
    client("iot").create_job(jobId=name, targets=[device.arn], document=document, presignedUrlConfig={"roleArn": role},
                             namespaceId="apart")
    topic = f"$aws/things/{name}/jobs/$next/namespace-apart/get"
    with device.connect() as connection:
        connection.publish(topic, {})
        url = connection.next(f"{topic}/accepted")["execution"]["jobDocument"]["file"]
    assert "X-Amz-Expires=3600&" in url and fetch(marram, url) == (200, b"contents")


def test_what_is_refused(marram, client, make_user, device, bucket, role, name):
    """Wrong placeholders, roles that are none of the service's or none of the caller's to give."""
    iot = client("iot")
    place = f"${{aws:iot:s3-presigned-url:https://s3.amazonaws.com/{bucket}/a}}"
    create = dict(jobId=name, targets=[device.arn])
    good = {"roleArn": role, "expiresInSec": 60}
    client("iam").create_role(RoleName=f"other-{name}", AssumeRolePolicyDocument=json.dumps(TRUST).replace("iot.", "lambda."))
    for document, config in [
        (place, None),
        (place, {"expiresInSec": 60}),
        (place, {"roleArn": role, "expiresInSec": 59}),
        (place, {"roleArn": role, "expiresInSec": 3601}),
        (place, {"roleArn": role.replace("jobs-", "other-")}),
        (place, {"roleArn": role.replace("jobs-", "absent-")}),
        (place * 11, good),
        (place.replace("https:", "http:"), good),
        (place.replace("s3.amazonaws.com", "evil.example"), good),
        (place.replace("}", "?versionId=1}"), good),
        ("${aws:iot:s3-presigned-url:https://s3", good),
    ]:
        arguments = dict(create, document=json.dumps({"u": document}))
        if config:
            arguments["presignedUrlConfig"] = config
        assert refused(iot.create_job, **arguments) == (400, "InvalidRequestException"), (document, config)

    document = json.dumps({"u": place})
    low = marram.client("iot", make_user(json.loads(allow("iot:*", "*"))))
    arguments = dict(create, document=document, presignedUrlConfig=good)
    assert refused(low.create_job, **arguments)[0] == 403, "the caller may not pass the role"
    template = dict(jobTemplateId=name, description="d", document=document, presignedUrlConfig=good)
    assert refused(low.create_job_template, **template)[0] == 403
    iot.create_job_template(**template)
    arn = iot.describe_job_template(jobTemplateId=name)["jobTemplateArn"]
    assert refused(low.create_job, **create, jobTemplateArn=arn)[0] == 403, "not through a template either"
    iot.create_job(**create, jobTemplateArn=arn)
    assert refused(low.update_job, jobId=name, presignedUrlConfig=good)[0] == 403
    assert refused(iot.update_job, jobId=name, presignedUrlConfig={"expiresInSec": 60}) == (400, "InvalidRequestException")
    iot.update_job(jobId=name, presignedUrlConfig={"roleArn": role, "expiresInSec": 90})
    execution = client("iot-jobs-data").describe_job_execution(jobId=name, thingName=name)["execution"]
    assert "X-Amz-Expires=90&" in execution["jobDocument"]


def test_document_source(marram, client, make_user, device, bucket, name):
    """The document is an object read once, with the caller's own rights; parameters are filled in."""
    iot, s3 = client("iot"), client("s3")
    text = '{"reboot": "${aws:iot:parameter:when}"}'
    s3.put_object(Bucket=bucket, Key="job.json", Body=text)
    source = f"https://{bucket}.s3.{marram.region}.amazonaws.com/job.json"
    create = dict(jobId=name, targets=[device.arn], documentSource=source, documentParameters={"when": 'no"w'})
    for change in [
        {"document": "{}"},
        {"documentSource": source.replace("https", "http")},
        {"documentSource": f"s3://{bucket}/job.json"},
        {"documentSource": source + "x"},
        {"documentSource": f"https://s3.amazonaws.com/absent-{name}/job.json"},
        {"documentParameters": {}},
    ]:
        assert refused(iot.create_job, **{**create, **change}) == (400, "InvalidRequestException"), change
    for body in (b"x" * 32769, b"\xff\xfe", b"not JSON", b""):
        s3.put_object(Bucket=bucket, Key="bad", Body=body)
        assert refused(iot.create_job, **{**create, "documentSource": source.replace("job.json", "bad")}) == (
            400, "InvalidRequestException"), body[:10]
    low = marram.client("iot", make_user(json.loads(allow("iot:*", "*"))))
    assert refused(low.create_job, **create)[0] == 403, "the caller may not read the object"
    iot.create_job(**create)
    s3.delete_object(Bucket=bucket, Key="job.json")
    described = iot.describe_job(jobId=name)
    assert described["documentSource"] == source and described["job"]["documentParameters"] == {"when": 'no"w'}
    assert json.loads(iot.get_job_document(jobId=name)["document"]) == {"reboot": 'no"w'}
    assert iot.get_job_document(jobId=name, beforeSubstitution=True)["document"] == text
    execution = client("iot-jobs-data").describe_job_execution(jobId=name, thingName=name)["execution"]
    assert json.loads(execution["jobDocument"]) == {"reboot": 'no"w'}
