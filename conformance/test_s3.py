"""The object store through boto3, the transfer manager and the AWS CLI (CP 9.1, 2.3, 2.4)."""
import datetime
import hashlib
import io
import json
import os
import subprocess
import sys
import threading

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.exceptions
import pytest
import s3transfer.manager
import urllib3

MIB = 1 << 20


@pytest.fixture
def s3(client):
    return client("s3")


@pytest.fixture
def bucket(s3, name):
    bucket = f"bucket-{name}"
    s3.create_bucket(Bucket=bucket)
    return bucket


def code(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        call(**arguments)
    return refused.value.response["Error"]["Code"]


def http(marram):
    return urllib3.PoolManager(ca_certs=marram.environment["AWS_CA_BUNDLE"], retries=False)


def cli(marram, *arguments, check=True):
    environment = {**os.environ, **marram.environment, "AWS_EC2_METADATA_DISABLED": "true"}
    command = [sys.executable, "-m", "awscli", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert not check or done.returncode == 0, done.stderr
    return done


def test_buckets(s3, marram, name):
    bucket = f"bucket-{name}"
    assert code(s3.get_bucket_location, Bucket=bucket) == "NoSuchBucket"
    assert s3.create_bucket(Bucket=bucket)["Location"] == f"/{bucket}"
    assert code(s3.create_bucket, Bucket=bucket) == "BucketAlreadyOwnedByYou"
    wrong = {"LocationConstraint": "mars-north-1"}
    assert code(s3.create_bucket, Bucket=f"{bucket}-x", CreateBucketConfiguration=wrong) \
        == "IllegalLocationConstraintException"
    assert code(s3.create_bucket, Bucket=f"{bucket}-x", ACL="public-read") == "AccessControlListNotSupported"
    assert code(s3.create_bucket, Bucket="ab") == "InvalidBucketName"
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    assert s3.head_bucket(Bucket=bucket)["BucketRegion"] == marram.region
    assert bucket in [held["Name"] for held in s3.list_buckets()["Buckets"]]
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert code(s3.delete_bucket, Bucket=bucket) == "BucketNotEmpty"
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)
    assert code(s3.head_bucket, Bucket=bucket) == "404"
    assert code(s3.get_bucket_versioning, Bucket=bucket) in ("NoSuchBucket", "NotImplemented")


def test_another_account_sees_nothing(s3, marram, bucket):
    """SEC 3: names are unique in the installation, contents belong to one account."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"secret")
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": [
            f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]}]}))
    _, keys = marram.create_account(f"stranger-{bucket}")
    stranger = marram.client("s3", keys)
    assert code(stranger.create_bucket, Bucket=bucket) == "BucketAlreadyExists"
    assert code(stranger.get_object, Bucket=bucket, Key="k") == "AccessDenied"
    assert code(stranger.put_object, Bucket=bucket, Key="k", Body=b"mine") == "AccessDenied"
    assert code(stranger.list_objects_v2, Bucket=bucket) == "AccessDenied"
    assert stranger.list_buckets()["Buckets"] == []
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"secret"


@pytest.mark.parametrize("key", ["plain", "a//b c/ä+&<>%25.txt", "/lead", "dots/../x", "x" * 1024])
def test_object_round_trip(s3, bucket, key):
    body = os.urandom(70_000)
    put = s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="text/x-mine", ContentEncoding="gzip",
                        CacheControl="no-cache", Metadata={"who": "me"})
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key=key)
    assert got["Body"].read() == body
    assert (got["ContentType"], got["ContentEncoding"], got["CacheControl"], got["Metadata"]) == \
        ("text/x-mine", "gzip", "no-cache", {"who": "me"})
    head = s3.head_object(Bucket=bucket, Key=key)
    assert (head["ContentLength"], head["ETag"]) == (len(body), put["ETag"])
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert [(item["Key"], item["Size"], item["ETag"]) for item in listed] == [(key, len(body), put["ETag"])]


def test_empty_and_overwritten(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b""
    s3.put_object(Bucket=bucket, Key="k", Body=b"one")
    s3.put_object(Bucket=bucket, Key="other", Body=b"one")
    s3.put_object(Bucket=bucket, Key="k", Body=b"two")
    assert s3.get_object(Bucket=bucket, Key="other")["Body"].read() == b"one"
    s3.delete_object(Bucket=bucket, Key="other")
    assert code(s3.get_object, Bucket=bucket, Key="other") == "NoSuchKey"
    assert code(s3.head_object, Bucket=bucket, Key="other") == "404"
    assert code(s3.get_object, Bucket=bucket, Key="k", VersionId="absent") == "NoSuchVersion"


def test_ranges_and_conditions(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")["ETag"]
    for asked, body, told in [("bytes=2-4", b"234", "bytes 2-4/10"), ("bytes=7-", b"789", "bytes 7-9/10"),
                              ("bytes=-2", b"89", "bytes 8-9/10")]:
        got = s3.get_object(Bucket=bucket, Key="k", Range=asked)
        assert (got["Body"].read(), got["ContentRange"], got["ResponseMetadata"]["HTTPStatusCode"]) == (body, told, 206)
    assert code(s3.get_object, Bucket=bucket, Key="k", Range="bytes=10-") == "InvalidRange"
    assert code(s3.get_object, Bucket=bucket, Key="k", IfNoneMatch=etag) == "304"
    assert code(s3.get_object, Bucket=bucket, Key="k", IfMatch='"other"') == "PreconditionFailed"
    later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    assert code(s3.get_object, Bucket=bucket, Key="k", IfModifiedSince=later) == "304"
    assert code(s3.put_object, Bucket=bucket, Key="k", Body=b"x", IfNoneMatch="*") == "PreconditionFailed"
    s3.put_object(Bucket=bucket, Key="k", Body=b"y", IfMatch=etag)


def test_conditions_on_what_goes(s3, bucket):
    """CP 9.1: what is deleted, overwritten or copied over is what the client knows, or nothing happens."""
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"known")["ETag"]
    assert code(s3.delete_object, Bucket=bucket, Key="k", IfMatch='"other"') == "PreconditionFailed"
    assert code(s3.delete_object, Bucket=bucket, Key="absent", IfMatch="*") == "PreconditionFailed"
    told = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k", "ETag": "other"}, {"Key": "absent"}]})
    assert [(entry["Key"], entry["Code"]) for entry in told["Errors"]] == [("k", "PreconditionFailed")]
    assert [entry["Key"] for entry in told["Deleted"]] == ["absent"]
    s3.put_object(Bucket=bucket, Key="from", Body=b"from")
    source = {"Bucket": bucket, "Key": "from"}
    assert code(s3.copy_object, Bucket=bucket, Key="k", CopySource=source, IfNoneMatch="*") == "PreconditionFailed"
    assert code(s3.copy_object, Bucket=bucket, Key="k", CopySource=source, IfMatch='"other"') == "PreconditionFailed"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"known"
    s3.copy_object(Bucket=bucket, Key="k", CopySource=source, IfMatch=etag)
    etag = s3.head_object(Bucket=bucket, Key="k")["ETag"]
    s3.delete_object(Bucket=bucket, Key="k", IfMatch=etag)
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "from", "ETag": etag}]})
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_the_expected_owner(s3, marram, bucket):
    """CP 9.1: a bucket of somebody else by the same name gets and gives nothing."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"kept", ExpectedBucketOwner=marram.account)
    place, wrong = {"Bucket": bucket, "Key": "k"}, {"ExpectedBucketOwner": "111111111111"}
    for call, arguments in [
        (s3.put_object, {**place, "Body": b"x"}), (s3.get_object, place), (s3.delete_object, place),
        (s3.delete_objects, {"Bucket": bucket, "Delete": {"Objects": [{"Key": "k"}]}}),
        (s3.list_objects_v2, {"Bucket": bucket}), (s3.delete_bucket, {"Bucket": bucket}),
        (s3.put_bucket_policy, {"Bucket": bucket, "Policy": "{}"}), (s3.create_multipart_upload, place),
        (s3.copy_object, {**place, "CopySource": {"Bucket": bucket, "Key": "x"}}),
    ]:
        assert code(call, **arguments, **wrong) == "AccessDenied", call.__name__
    assert code(s3.copy_object, Bucket=bucket, Key="x", CopySource=place, ExpectedSourceBucketOwner="111111111111") \
        == "AccessDenied"
    assert s3.get_object(**place, ExpectedBucketOwner=marram.account)["Body"].read() == b"kept"


def test_pages_of_buckets(s3, bucket):
    for letter in "abc":
        s3.create_bucket(Bucket=f"{bucket}-page-{letter}")
    pages = s3.get_paginator("list_buckets").paginate(Prefix=f"{bucket}-page-", PaginationConfig={"PageSize": 2})
    assert [[held["Name"][-1] for held in page["Buckets"]] for page in pages] == [["a", "b"], ["c"]]
    assert s3.list_buckets(BucketRegion="mars-north-1")["Buckets"] == []


@pytest.mark.parametrize("name", ["console", "healthz", "metrics", "mqtt", "favicon.ico", "robots.txt"])
def test_paths_of_ours_are_no_buckets(s3, name):
    """SEC-97: nothing of a tenant answers below the console, or where the installation does."""
    assert code(s3.create_bucket, Bucket=name) == "InvalidBucketName"
    assert code(s3.put_object, Bucket=name, Key="sw.js", Body=b"x") == "InvalidBucketName"
    assert code(s3.get_object, Bucket=name, Key="sw.js") == "InvalidBucketName"


#: What makes an answer data for every browser (SEC-97).
INERT = {"content-security-policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
         "x-content-type-options": "nosniff", "cross-origin-resource-policy": "same-origin"}


def test_no_answer_runs_in_a_browser(marram, s3, bucket):
    """SEC-97: objects share the console's origin; a browser saves them or looks at them, and runs none."""
    s3.put_object(Bucket=bucket, Key="p.html", Body=b"<script>1</script>", ContentType="text/html",
                  ContentDisposition='inline; filename="p.html"')
    v4 = marram.client("s3", signature_version="s3v4")
    url = v4.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "p.html"})
    pool = http(marram)
    opened = pool.request("GET", url, headers={"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"})
    assert (opened.status, opened.headers["content-disposition"]) == (200, 'attachment; filename="p.html"')
    plain = pool.request("GET", url)
    assert (plain.status, plain.headers["content-disposition"]) == (200, 'inline; filename="p.html"')
    for destination in ("script", "serviceworker", "sharedworker", "worker", "style", "object", "embed", "frame",
                        "iframe", "manifest", "font", "xslt", "audioworklet", "not-invented-yet"):
        refused = pool.request("GET", url, headers={"sec-fetch-dest": destination})
        assert refused.status == 403 and b"<Code>AccessDenied</Code>" in refused.data, destination
    assert pool.request("GET", url, headers={"service-worker": "script"}).status == 403
    endpoint = marram.environment["AWS_ENDPOINT_URL"]
    forged = url.replace("Signature=", "Signature=0")
    nowhere = v4.generate_presigned_url("get_object", Params={"Bucket": "console", "Key": "sw.js"})
    for path in (url, forged, nowhere, f"{endpoint}/healthz", f"{endpoint}/metrics", f"{endpoint}/things/x/shadow",
                 f"{endpoint}/nothing", f"{endpoint}/-/shared/x"):
        answer = pool.request("GET", path)
        assert {name: answer.headers.get(name) for name in INERT} == INERT, path
    assert pool.request("GET", nowhere).status == 400
    assert pool.request("GET", f"{endpoint}/console/", headers={"service-worker": "script"}).status == 403
    # Where the host names a bucket, no path is the console's.
    hosted = pool.request("GET", f"{endpoint}/console/", headers={"host": f"{bucket}.localhost"})
    assert hosted.status == 403 and hosted.headers["content-security-policy"] == INERT["content-security-policy"]


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums_come_back(s3, bucket, algorithm):
    """CP 2.3: the trailer is checked, kept and answered; the client checks it once more."""
    put = s3.put_object(Bucket=bucket, Key="k", Body=io.BytesIO(b"123456789"), ChecksumAlgorithm=algorithm)
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got[f"Checksum{algorithm}"] == put[f"Checksum{algorithm}"] and got["Body"].read() == b"123456789"


def test_wrong_checksums_are_refused(s3, bucket):
    assert code(s3.put_object, Bucket=bucket, Key="k", Body=b"x", ChecksumSHA256="A" * 43 + "=") == "BadDigest"
    assert code(s3.put_object, Bucket=bucket, Key="k", Body=b"x", ContentMD5="AAAAAAAAAAAAAAAAAAAAAA==") == "BadDigest"
    assert code(s3.put_object, Bucket=bucket, Key="k", Body=b"x", ContentMD5="AA==") == "InvalidDigest"
    assert code(s3.get_object, Bucket=bucket, Key="k") == "NoSuchKey"


def test_what_is_not_built_says_so(s3, bucket):
    """CP 9.1, 13: refused, and nothing done."""
    assert code(s3.put_object, Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="AES256") == "NotImplemented"
    assert code(s3.put_object, Bucket=bucket, Key="k", Body=b"x", Tagging="a=b") == "NotImplemented"
    assert code(s3.get_bucket_versioning, Bucket=bucket) == "NotImplemented"
    assert code(s3.get_object_tagging, Bucket=bucket, Key="k") == "NotImplemented"
    s3.put_object(Bucket=bucket, Key="kept", Body=b"kept")
    other = {"Bucket": bucket, "Key": "kept"}
    for call, arguments in [
        (s3.put_object_annotation, {**other, "AnnotationName": "a", "AnnotationPayload": b"note"}),
        (s3.delete_object_annotation, {**other, "AnnotationName": "a"}),
        (s3.rename_object, {**other, "RenameSource": f"/{bucket}/absent"}),
        (s3.put_object, {**other, "Body": b"x", "WriteOffsetBytes": 4}),
        (s3.put_object, {**other, "Body": b"x", "ChecksumSHA512": "x"}),
        (s3.delete_object, {**other, "IfMatchSize": 1}),
        (s3.delete_objects, {"Bucket": bucket, "Delete": {"Objects": [{"Key": "kept", "Size": 1}]}}),
        (s3.delete_bucket_metadata_table_configuration, {"Bucket": bucket}),
        (s3.create_bucket, {"Bucket": f"{bucket}-x", "ObjectOwnership": "ObjectWriter"}),
        (s3.create_bucket, {"Bucket": f"{bucket}-x",
                            "CreateBucketConfiguration": {"Tags": [{"Key": "a", "Value": "b"}]}}),
    ]:
        assert code(call, **arguments) == "NotImplemented", (call.__name__, arguments)
    assert s3.get_object(**other)["Body"].read() == b"kept"
    assert code(s3.get_bucket_location, Bucket=f"{bucket}-x") == "NoSuchBucket"
    assert code(s3.put_object, Bucket=bucket, Key="k" * 1025, Body=b"x") == "KeyTooLongError"
    assert code(s3.put_object, Bucket=bucket, Key="k", Body=b"x", Metadata={"m": "x" * 3000}) == "MetadataTooLarge"


def test_copy_and_delete_many(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a b", Body=b"x", Metadata={"m": "1"})
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "a b"})
    s3.delete_object(Bucket=bucket, Key="a b")
    got = s3.get_object(Bucket=bucket, Key="copy")
    assert (got["Body"].read(), got["Metadata"]) == (b"x", {"m": "1"})
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "copy"},
                   MetadataDirective="REPLACE", Metadata={"m": "2"})
    assert s3.head_object(Bucket=bucket, Key="copy")["Metadata"] == {"m": "2"}
    assert code(s3.copy_object, Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "copy"}) == "InvalidRequest"
    assert code(s3.copy_object, Bucket=bucket, Key="c", CopySource={"Bucket": bucket, "Key": "absent"}) == "NoSuchKey"
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "copy"}, {"Key": "absent"}]})
    assert {item["Key"] for item in done["Deleted"]} == {"copy", "absent"}
    assert code(s3.delete_objects, Bucket=bucket, Delete={"Objects": []}) == "MalformedXML"
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_listings(s3, bucket):
    keys = ["a", "b/1", "b/2", "b/c/1", "d&<\u00e4", "e/"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2})
    assert [item["Key"] for page in pages for item in page["Contents"]] == keys
    pages = s3.get_paginator("list_objects").paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 1})
    seen = [entry for page in pages for entry in [item["Key"] for item in page.get("Contents", [])] +
            [prefix["Prefix"] for prefix in page.get("CommonPrefixes", [])]]
    assert seen == ["a", "b/", "d&<\u00e4", "e/"]
    below = s3.list_objects_v2(Bucket=bucket, Prefix="b/", Delimiter="/")
    assert [item["Key"] for item in below["Contents"]] == ["b/1", "b/2"]
    assert [item["Prefix"] for item in below["CommonPrefixes"]] == ["b/c/"]
    assert [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, StartAfter="b/2")["Contents"]] == keys[3:]
    assert code(s3.list_objects_v2, Bucket=bucket, ContinuationToken="\u2603") == "InvalidArgument"


def test_multipart(s3, bucket):
    """CP 9.1: parts, their checks, the entity tag of tags, and an object that spans them."""
    parts = [os.urandom(5 * MIB), os.urandom(5 * MIB), b"tail"]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="CRC32", ContentType="x/y")["UploadId"]
    place = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    assert code(s3.upload_part, PartNumber=10001, Body=b"x", **place) == "InvalidArgument"
    assert code(s3.upload_part, PartNumber=1, Body=b"x", **{**place, "UploadId": "absent"}) == "NoSuchUpload"
    done = [s3.upload_part(PartNumber=n, Body=body, ChecksumAlgorithm="CRC32", **place) for n, body in enumerate(parts, 1)]
    pages = s3.get_paginator("list_parts").paginate(**place, PaginationConfig={"PageSize": 2})
    assert [part["PartNumber"] for page in pages for part in page["Parts"]] == [1, 2, 3]
    pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, PaginationConfig={"PageSize": 1})
    assert [held["UploadId"] for page in pages for held in page.get("Uploads", [])] == [upload]
    named = [{"PartNumber": n, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]}
             for n, part in enumerate(done, 1)]
    assert code(s3.complete_multipart_upload, MultipartUpload={"Parts": named[::-1]}, **place) == "InvalidPartOrder"
    assert code(s3.complete_multipart_upload, MultipartUpload={"Parts": [{**named[0], "ETag": '"0"'}]}, **place) == "InvalidPart"
    whole = s3.complete_multipart_upload(MultipartUpload={"Parts": named}, **place)
    digests = b"".join(hashlib.md5(part).digest() for part in parts)
    assert whole["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-3"'
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got["ChecksumType"] == "COMPOSITE" and got["ChecksumCRC32"].endswith("-3") and got["ContentType"] == "x/y"
    assert got["Body"].read() == b"".join(parts)
    over = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={5 * MIB - 2}-{5 * MIB + 1}")["Body"].read()
    assert over == parts[0][-2:] + parts[1][:2]
    assert code(s3.complete_multipart_upload, MultipartUpload={"Parts": named}, **place) == "NoSuchUpload"

    small = s3.create_multipart_upload(Bucket=bucket, Key="s")["UploadId"]
    place = {"Bucket": bucket, "Key": "s", "UploadId": small}
    tags = [s3.upload_part(PartNumber=n, Body=b"x", **place)["ETag"] for n in (1, 2)]
    named = [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, 1)]
    assert code(s3.complete_multipart_upload, MultipartUpload={"Parts": named}, **place) == "EntityTooSmall"
    s3.abort_multipart_upload(**place)
    assert code(s3.abort_multipart_upload, **place) == "NoSuchUpload"
    assert code(s3.list_parts, **place) == "NoSuchUpload"


def test_transfer_manager(s3, bucket, tmp_path):
    """CP 12, 1: 20 MB up in parts and down in ranges, at once."""
    source, target = tmp_path / "up", tmp_path / "down"
    source.write_bytes(os.urandom(20 * MIB + 5))
    with s3transfer.manager.TransferManager(s3) as manager:
        manager.upload(str(source), bucket, "big").result()
        manager.download(bucket, "big", str(target)).result()
    assert source.read_bytes() == target.read_bytes()


def test_command_line(marram, bucket, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "one.txt").write_text("one")
    (tmp_path / "in" / "big").write_bytes(os.urandom(9 * MIB))
    cli(marram, "s3", "sync", str(tmp_path / "in"), f"s3://{bucket}/in")
    assert "one.txt" in cli(marram, "s3", "ls", f"s3://{bucket}/in/").stdout
    cli(marram, "s3", "cp", f"s3://{bucket}/in", str(tmp_path / "out"), "--recursive")
    for name in ("one.txt", "big"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "in" / name).read_bytes()
    url = cli(marram, "s3", "presign", f"s3://{bucket}/in/one.txt").stdout.strip()
    got = http(marram).request("GET", url)
    assert (got.status, got.data) == (200, b"one") or b"s3v4" in got.data
    cli(marram, "s3", "rm", f"s3://{bucket}", "--recursive")
    cli(marram, "s3", "rb", f"s3://{bucket}")
    assert "NoSuchBucket" in cli(marram, "s3api", "get-bucket-location", "--bucket", bucket, check=False).stderr


def test_presigned(marram, s3, bucket):
    """CP 2.4: v4 URLs read and write what they name; v2 URLs are refused with the way out."""
    v4 = marram.client("s3", signature_version="s3v4")
    pool = http(marram)
    url = v4.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "p"})
    assert pool.request("PUT", url, body=b"signed").status == 200
    url = v4.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "p"})
    assert pool.request("GET", url).data == b"signed"
    assert pool.request("GET", url.replace("/p?", "/q?")).status == 403
    assert pool.request("GET", url, headers={"x-amz-meta-x": "1"}).status == 403
    v2 = marram.client("s3", signature_version="s3")
    got = pool.request("GET", v2.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "p"}))
    assert got.status == 400 and b"s3v4" in got.data
    assert pool.request("GET", f"{marram.environment['AWS_ENDPOINT_URL']}/{bucket}/p").status in (403, 404)


class SignedChunks(botocore.auth.S3SigV4Auth):
    """Signs as clients do that sign each chunk."""

    def payload(self, request):
        return "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"


def test_signed_chunks(marram, s3, bucket):
    """CP 2.3: the chain of chunk signatures; a changed byte is refused and nothing is stored."""
    keys = marram.administrator
    credentials = botocore.credentials.Credentials(keys.access_key, keys.secret_key)

    def send(tamper):
        body = b"a" * 9000
        url = f"{marram.environment['AWS_ENDPOINT_URL']}/{bucket}/chunked"
        request = botocore.awsrequest.AWSRequest("PUT", url, headers={
            "x-amz-decoded-content-length": str(len(body)), "content-encoding": "aws-chunked"})
        signer = SignedChunks(credentials, "s3", marram.region)
        signer.add_auth(request)
        previous = request.headers["Authorization"].rsplit("Signature=", 1)[1]
        scope = signer.credential_scope(request)
        wire = b""
        for chunk in (body[:8192], body[8192:], b""):
            text = "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", request.context["timestamp"], scope, previous,
                              hashlib.sha256(b"").hexdigest(), hashlib.sha256(chunk).hexdigest()])
            previous = signer.signature(text, request)
            wire += f"{len(chunk):x};chunk-signature={previous}\r\n".encode() + chunk + b"\r\n"
        if tamper:
            wire = wire.replace(b"aaaa", b"aaab", 1)
        return http(marram).request("PUT", url, body=wire, headers=dict(request.headers.items()))

    assert send(tamper=True).status == 403
    assert code(s3.get_object, Bucket=bucket, Key="chunked") == "NoSuchKey"
    assert send(tamper=False).status == 200
    got = s3.get_object(Bucket=bucket, Key="chunked")
    assert got["Body"].read() == b"a" * 9000 and "ContentEncoding" not in got


def test_policies(marram, s3, make_user, bucket):
    """A bucket's policy gives to whom it names, and takes from everybody it names."""
    s3.put_object(Bucket=bucket, Key="open/k", Body=b"x")
    s3.put_object(Bucket=bucket, Key="shut/k", Body=b"x")
    nobody = marram.client("s3", make_user())
    assert code(nobody.get_object, Bucket=bucket, Key="open/k") == "AccessDenied"
    assert code(nobody.get_object, Bucket=bucket, Key="absent") == "AccessDenied"
    assert code(s3.get_bucket_policy, Bucket=bucket) == "NoSuchBucketPolicy"
    foreign = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::other/*"}]}
    assert code(s3.put_bucket_policy, Bucket=bucket, Policy=json.dumps(foreign)) == "MalformedPolicy"
    policy = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{marram.account}:root"}, "Action": "s3:GetObject",
         "Resource": f"arn:aws:s3:::{bucket}/open/*"},
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/open/*"},
        {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/shut/*"}]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"]) == policy
    assert nobody.get_object(Bucket=bucket, Key="open/k")["Body"].read() == b"x"
    assert code(s3.get_object, Bucket=bucket, Key="shut/k") == "AccessDenied"
    s3.delete_bucket_policy(Bucket=bucket)
    assert s3.get_object(Bucket=bucket, Key="shut/k")["Body"].read() == b"x"
    assert code(nobody.get_object, Bucket=bucket, Key="open/k") == "AccessDenied"


def test_signatures(marram, s3, make_user, bucket):
    keys = marram.administrator
    keys.secret_key = keys.secret_key[::-1]
    assert code(marram.client("s3", keys, record=False).list_buckets) == "SignatureDoesNotMatch"
    keys = marram.administrator
    keys.access_key = "AKIAABSENTABSENTABSE"
    assert code(marram.client("s3", keys, record=False).list_buckets) == "InvalidAccessKeyId"
    nobody = marram.client("s3", make_user())
    assert code(nobody.list_buckets) == "AccessDenied"
    assert code(nobody.put_object, Bucket=bucket, Key="k", Body=b"x") == "AccessDenied"
    assert code(nobody.delete_object, Bucket=bucket, Key="k") == "AccessDenied"
    assert code(nobody.delete_objects, Bucket=bucket, Delete={"Objects": [{"Key": "k"}]}) == "AccessDenied"
    assert code(nobody.get_bucket_versioning, Bucket=bucket) == "NotImplemented"


def test_concurrent_writers_of_one_content(s3, bucket):
    """The same content written, shared and deleted at once is never lost while a name holds it."""
    body = os.urandom(100_000)

    def churn(number):
        for _ in range(10):
            s3.put_object(Bucket=bucket, Key=f"k{number}", Body=body)
            assert s3.get_object(Bucket=bucket, Key=f"k{number}")["Body"].read() == body
            s3.delete_object(Bucket=bucket, Key=f"k{number}")

    threads = [threading.Thread(target=churn, args=(number,)) for number in range(4)]
    failures = []
    threading.excepthook, previous = lambda args: failures.append(args.exc_value), threading.excepthook
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    threading.excepthook = previous
    assert failures == []
