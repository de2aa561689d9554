"""CR 8, SEC-134: each component acts with a session of its own. It reads secrets through its core and not with its credentials, it is
narrowed by its session policy, the audit log names it, and no way leads from its session to one that is not marked."""
import http.client
import json
import ssl
import sys
import urllib.parse

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from edge_core import Site, recipe
from waiting import PATIENCE, until

ROLE, ALIAS, POLICY = "MarramCoreTokenExchange", "MarramCoreTokenExchangeAlias", "core"
BUCKET = "of-components"
#: What a component finds out by itself: one JSON line each.
PROBE = """
import json, time
import boto3
from awsiot.greengrasscoreipc import clientv2

def told(what, call):
    try:
        answer = call()
    except Exception as error:
        answer = getattr(error, "response", {}).get("Error", {}).get("Code") or type(error).__name__
    print(json.dumps([what, answer]), flush=True)

ipc, session = clientv2.GreengrassCoreIPCClientV2(), boto3.Session()
s3, secrets = session.client("s3"), session.client("secretsmanager")
told("ipc", lambda: ipc.get_secret_value(secret_id="greengrass-own").secret_value.secret_string)
told("ipc other", lambda: ipc.get_secret_value(secret_id="greengrass-other").secret_value.secret_string)
for name in ("greengrass-own", "greengrass-other", "tagged"):
    told("direct " + name, lambda: secrets.get_secret_value(SecretId=name)["SecretString"])
told("read", lambda: s3.get_object(Bucket="of-components", Key="open/a")["Body"].read().decode())
told("shut", lambda: s3.get_object(Bucket="of-components", Key="shut/a")["Body"].read().decode())
told("who", lambda: session.client("sts").get_caller_identity()["Arn"])
told("widen", lambda: ipc.update_configuration(key_path=["marram", "session"], timestamp=__import__("datetime").datetime.now(), value_to_merge={"policy": None}) and "widened")
told("keys", lambda: list(session.get_credentials().get_frozen_credentials()[:3]))
time.sleep(86400)
"""


def allow(action, resource="*"):
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("credentials"))
    s3, secrets, iam = (site.plane.client(one) for one in ("s3", "secretsmanager", "iam"))
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="probe/main.py", Body=PROBE.encode())
    for key in ("open/a", "shut/a"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    site.secrets = [secrets.create_secret(Name=name, SecretString=f"value of {name}", Tags=tags)["ARN"] for name, tags in (
        ("greengrass-own", []), ("greengrass-other", []), ("tagged", [{"Key": "marram:for-cores", "Value": "true"}]))]
    # The operator's own addition: every component may read the bucket, and assume a role.
    iam.put_role_policy(RoleName=ROLE, PolicyName="more", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"},
        {"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], "Resource": "*"}]}))
    yield site
    site.stop()


def probe(site, name, **marram):
    """Publishes the probe as a component of this name."""
    rights = {"aws.greengrass.SecretManager": {f"{name}:secrets": {
        "operations": ["aws.greengrass#GetSecretValue"], "resources": [site.secrets[0]]}}}
    environment = {one: site.plane.env[one] for one in ("AWS_ENDPOINT_URL", "AWS_CA_BUNDLE")}
    site.gg.create_component_version(inlineRecipe=recipe(
        name, {"Setenv": environment, "run": f"exec {sys.executable} -u {{artifacts:path}}/main.py"},
        ComponentDependencies={"aws.greengrass.TokenExchangeService": {"VersionRequirement": ">=2.0.0"},
                               "aws.greengrass.SecretManager": {"VersionRequirement": ">=2.0.0"}},
        ComponentConfiguration={"DefaultConfiguration": {"accessControl": rights, **({"marram": marram} if marram else {})}},
        manifest={"Artifacts": [{"Uri": f"s3://{BUCKET}/probe/main.py"}]}))


def words(site, name):
    """What the component's last process told; none until it told all."""
    file = site.core.root / f"logs/{name}.log"
    lines = [line[line.index("["):] for line in file.read_text().splitlines() if '["' in line] if file.exists() else []
    found = {}
    for line in lines:
        try:
            what, answer = json.JSONDecoder().raw_decode(line[line.index('["'):])[0]
        except ValueError:
            continue
        found[what] = answer
    return found if "keys" in found else None


@pytest.fixture(scope="module")
def told(site):
    """What two components found out: one of the role's width, one that is narrowed."""
    probe(site, "proof.Wide")
    probe(site, "proof.Narrow", session={"policy": allow("s3:GetObject", f"arn:aws:s3:::{BUCKET}/open/*")})
    manager = {"componentVersion": "2.2.9", "configurationUpdate": {"merge": json.dumps({"cloudSecrets": [{"arn": one} for one in site.secrets]})}}
    deployment = site.deploy({"proof.Wide": "1.0.0", "proof.Narrow": "1.0.0", "aws.greengrass.SecretManager": manager})
    assert site.end(deployment)[0] == "COMPLETED", site.core.tail()
    return {name: until(f"the words of {name}", lambda: words(site, name)) for name in ("proof.Wide", "proof.Narrow")}


def client(site, service, keys):
    return boto3.client(service, endpoint_url=site.plane.env["AWS_ENDPOINT_URL"], verify=site.plane.env["AWS_CA_BUNDLE"],
                        region_name=site.plane.env["AWS_DEFAULT_REGION"], aws_access_key_id=keys[0], aws_secret_access_key=keys[1], aws_session_token=keys[2],
                        config=Config(signature_version="s3v4" if service == "s3" else None))


def code(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return None


def records(site, event, **attribute):
    trail = site.plane.client("cloudtrail")
    ((key, value),) = attribute.items()
    found = trail.lookup_events(LookupAttributes=[{"AttributeKey": key, "AttributeValue": value}])["Events"]
    return [json.loads(one["CloudTrailEvent"]) for one in found if one["EventName"] == event]


def test_secrets_come_through_the_core(told):
    """SEC-134: what access control gives it comes by IPC; nothing comes with its credentials."""
    for name in ("proof.Wide", "proof.Narrow"):
        found = told[name]
        assert found["ipc"] == "value of greengrass-own" and found["ipc other"] == "UnauthorizedError", found
        for secret in ("greengrass-own", "greengrass-other", "tagged"):
            assert found[f"direct {secret}"] == "AccessDeniedException", found


def test_a_session_policy_narrows(told):
    """SEC-134: the role and the policy together; the component cannot take it away."""
    wide, narrow = told["proof.Wide"], told["proof.Narrow"]
    assert (wide["read"], wide["shut"]) == ("open/a", "shut/a"), wide
    assert (narrow["read"], narrow["shut"]) == ("open/a", "AccessDenied"), narrow
    assert wide["widen"] == narrow["widen"] == "InvalidArgumentsError"


def test_the_audit_log_names_the_component(site, told):
    """SEC-134: the session's name, its beginning, each of its calls; and which core it was."""
    for name, found in told.items():
        assert found["who"].endswith(f"assumed-role/{ROLE}/{name}")
        refused = until("the refusal", lambda: records(site, "GetSecretValue", AccessKeyId=found["keys"][0]))[0]
        assert refused["additionalEventData"]["marram:Component"] == name, refused
        source = refused["userIdentity"]["sessionContext"]["sourceIdentity"]
        begun = [one for one in records(site, "AssumeRole", EventName="AssumeRole") if one["requestParameters"]["roleSessionName"] == name]
        facts = begun[0]["additionalEventData"]
        assert facts["marram:Component"] == name and facts["credentials-iot:ThingName"] == site.core.thing, begun
        assert facts["credentials-iot:AwsCertificateId"] == source == begun[0]["requestParameters"]["sourceIdentity"], begun
    assert "open/*" in begun[0]["requestParameters"]["policy"]


def test_no_way_leads_to_an_unmarked_session(site, told):
    """SEC-134: roles in a chain, other doors of STS and IAM, certificates of its own, signed links."""
    iam, keys = site.plane.client("iam"), told["proof.Wide"]["keys"]
    account = site.plane.env["MARRAM_ACCOUNT"]
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
                                                     "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]}]}
    rights = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["secretsmanager:GetSecretValue"], "Resource": "*", "Condition": {"Null": {"marram:Component": "true"}}},
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/${{marram:Component}}/*"},
        {"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], "Resource": "*"}]}
    roles = []
    for name in ("first", "second"):
        roles.append(iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"])
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(rights))
    site.plane.client("s3").put_object(Bucket=BUCKET, Key="proof.Wide/a", Body=b"own")
    # One role after the other; it asks for another name, tags of ours, and no source of its own.
    for role in roles:
        tags = [{"Key": "marram:Component", "Value": ""}, {"Key": "component", "Value": "proof.Narrow"}]
        made = client(site, "sts", keys).assume_role(RoleArn=role, RoleSessionName="proof.Narrow", Tags=tags)
        assert "SourceIdentity" in made
        keys = [made["Credentials"][one] for one in ("AccessKeyId", "SecretAccessKey", "SessionToken")]
        assert code(client(site, "secretsmanager", keys).get_secret_value, SecretId="greengrass-own") == "AccessDeniedException"
        assert client(site, "s3", keys).get_object(Bucket=BUCKET, Key="proof.Wide/a")["Body"].read() == b"own"
        refused = until("the refusal", lambda: records(site, "GetSecretValue", AccessKeyId=keys[0]))[0]
        assert refused["additionalEventData"]["marram:Component"] == "proof.Wide", refused
    # The same role of an administrator is not marked: the condition is what refuses.
    made = site.plane.client("iam").create_user(UserName="auditor")
    iam.put_user_policy(UserName="auditor", PolicyName="p", PolicyDocument=json.dumps(allow("sts:AssumeRole")))
    key = iam.create_access_key(UserName="auditor")["AccessKey"]
    made = client(site, "sts", [key["AccessKeyId"], key["SecretAccessKey"], None]).assume_role(RoleArn=roles[0], RoleSessionName="auditor")
    unmarked = [made["Credentials"][one] for one in ("AccessKeyId", "SecretAccessKey", "SessionToken")]
    assert client(site, "secretsmanager", unmarked).get_secret_value(SecretId="greengrass-own")["SecretString"]
    # Every other door is shut to a session of the role.
    keys = told["proof.Wide"]["keys"]
    sts, iam, iot = (client(site, one, keys) for one in ("sts", "iam", "iot"))
    role = f"arn:aws:iam::{account}:role/{ROLE}"
    refusals = {
        "own role": code(sts.assume_role, RoleArn=role, RoleSessionName="proof.Wide"),
        "session token": code(sts.get_session_token),
        "access key": code(iam.create_access_key, UserName="auditor"),
        "role policy": code(iam.put_role_policy, RoleName=ROLE, PolicyName=POLICY, PolicyDocument=json.dumps(allow("*"))),
        "trust": code(iam.update_assume_role_policy, RoleName=ROLE, PolicyDocument=json.dumps(trust)),
        "role alias": code(iot.create_role_alias, roleAlias="own", roleArn=role),
        "certificate": code(iot.create_keys_and_certificate, setAsActive=True),
        "attach": code(iot.attach_policy, policyName="MarramCorePolicy", target=f"arn:aws:iot:us-east-1:{account}:cert/" + "0" * 64),
    }
    assert all(one in ("AccessDenied", "AccessDeniedException") for one in refusals.values()), refusals
    assert code(sts.get_federation_token, Name="proof") is not None
    # A signed link carries the session it was signed with.
    link = client(site, "s3", told["proof.Narrow"]["keys"]).generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "shut/a"})
    assert fetch(site, link)[0] == 403
    link = client(site, "s3", told["proof.Narrow"]["keys"]).generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "open/a"})
    assert fetch(site, link) == (200, "open/a")


def fetch(site, link):
    place = urllib.parse.urlsplit(link)
    line = http.client.HTTPSConnection(place.netloc, timeout=PATIENCE, context=ssl.create_default_context(cafile=site.plane.env["AWS_CA_BUNDLE"]))
    line.request("GET", f"{place.path}?{place.query}")
    answer = line.getresponse()
    return answer.status, answer.read().decode()


def provider(site, headers, certificate=True):
    """The credentials provider, asked directly; answers the status and what it gave."""
    context = ssl.create_default_context(cafile=site.plane.env["AWS_CA_BUNDLE"])
    if certificate:
        folder = site.core.config.parent
        context.load_cert_chain(folder / "device.pem.crt", folder / "private.pem.key")
    host, port = site.plane.env["MARRAM_DEVICE_ENDPOINT"].rsplit(":", 1)
    line = http.client.HTTPSConnection(host, int(port), timeout=PATIENCE, context=context)
    line.putrequest("GET", f"/role-aliases/{ALIAS}/credentials")
    for name, value in headers:
        line.putheader(name, value)
    line.endheaders()
    answer = line.getresponse()
    return answer.status, json.loads(answer.read() or b"{}")


def test_the_mark_is_the_cores_to_set(site, told):
    """SEC-134: without the core's key nobody is heard; with it a name is a name, a policy a policy; without a mark all is as it was."""
    try:
        refused = provider(site, [("x-marram-session-for", "proof.Wide")], certificate=False)[0]
    except (ssl.SSLError, ConnectionError):
        refused = 403
    assert refused == 403
    thing = ("x-amzn-iot-thingname", site.core.thing)
    # What an original core sends.
    status, given = provider(site, [thing])
    keys = [given["credentials"][one] for one in ("accessKeyId", "secretAccessKey", "sessionToken")]
    assert status == 200 and client(site, "secretsmanager", keys).get_secret_value(SecretId="greengrass-own")["SecretString"]
    assert len(client(site, "sts", keys).get_caller_identity()["Arn"].rsplit("/", 1)[1]) == 64, "the certificate"
    for headers, text in [
        ([("x-marram-session-for", "")], ""), ([("x-marram-session-for", "a b")], "x-marram-session-for"),
        ([("x-marram-session-for", "a\u00e9")], "once, as text"), ([("x-marram-session-for", "a" * 129)], ""),
        ([("x-marram-session-for", "proof.Wide"), ("X-Marram-Session-For", "proof.Narrow")], "once, as text"),
        ([("x-marram-session-policy", "e30=")], "needs x-marram-session-for"),
        ([("x-marram-session-for", "a"), ("x-marram-session-policy", "???")], "base64"),
        ([("x-marram-session-for", "a"), ("x-marram-session-policy", "e30=")], "no statement"),
    ]:
        status, told_ = provider(site, [thing, *headers])
        assert status == 400 and text in json.dumps(told_), (headers, status, told_)
    # Whatever the case of the header; a name's case is its own.
    for header, name in (("X-MARRAM-Session-For", "proof.wide"), ("x-marram-session-for", "PROOF.WIDE"), ("x-marram-session-for", "a")):
        status, given = provider(site, [thing, (header, name)])
        keys = [given["credentials"][one] for one in ("accessKeyId", "secretAccessKey", "sessionToken")]
        arn = client(site, "sts", keys).get_caller_identity()["Arn"]
        assert arn.rsplit("/", 1)[1] == (name if len(name) > 1 else f"{name}="), arn
        assert code(client(site, "secretsmanager", keys).get_secret_value, SecretId="greengrass-own") == "AccessDeniedException"


def test_a_policy_that_narrows_nothing_is_refused_at_once(site, told):
    """SEC-134: where it is written, with place and remedy: in a recipe, in a deployment, on the core for a local one."""
    wrong = {"policy": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject"}]}}
    with pytest.raises(ClientError) as error:
        probe(site, "proof.Wrong", session=wrong)
    message = error.value.response["Error"]["Message"]
    assert "ComponentConfiguration.DefaultConfiguration.marram.session.policy: " in message and "; give one whole IAM document" in message
    update = {"componentVersion": "1.0.0", "configurationUpdate": {"merge": json.dumps({"marram": {"session": wrong}})}}
    with pytest.raises(ClientError) as error:
        site.deploy({"proof.Wide": update})
    assert "marram.session.policy: " in error.value.response["Error"]["Message"]
    assert error.value.response["fields"][0]["name"] == "components.proof.Wide.configurationUpdate.merge"
    update = json.dumps({"proof.Wide": {"MERGE": {"marram": {"session": {"polcy": {}}}}}})
    made = site.core.cli("deployment", "create", "--update-config", update)
    assert made.returncode == 0, made
    deployment = made.stdout.rsplit(maxsplit=1)[-1]
    status = until("the refusal", lambda: "FAILED" in (said := site.core.cli("deployment", "status", "-i", deployment).stdout) and said)
    assert "marram.session: `polcy` is no setting of sessions; write `policy`" in status, status


def test_another_policy_and_another_life(site, told):
    """SEC-134, CR 8.2: a changed policy holds from the next request on, without a restart."""
    merge = json.dumps({"marram": {"session": {"policy": allow("s3:GetObject", f"arn:aws:s3:::{BUCKET}/shut/*")}}})
    before = told["proof.Narrow"]["keys"]
    update = {"componentVersion": "1.0.0", "configurationUpdate": {"merge": merge}}
    assert site.end(site.deploy({"proof.Narrow": update, "proof.Wide": "1.0.0"}))[0] == "COMPLETED"
    assert site.core.cli("component", "restart", "--names", "proof.Narrow").returncode == 0
    after = until("new words", lambda: (now := words(site, "proof.Narrow")) and now["keys"] != before and now)
    assert (after["read"], after["shut"]) == ("AccessDenied", "shut/a"), after


def test_the_role_of_an_older_installation(site, told):
    """SEC-134, CR 5.5: as an earlier program wrote it, it becomes the present one; altered by hand it stays, and whoever looks is told."""
    iam = site.plane.client("iam")
    present = iam.get_role_policy(RoleName=ROLE, PolicyName=POLICY)["PolicyDocument"]
    earlier = json.loads(json.dumps(present))
    for statement in earlier["Statement"]:
        if "Null" in statement.get("Condition", {}):
            del statement["Condition"]["Null"]
            if not statement["Condition"]:
                del statement["Condition"]
    assert earlier != present
    altered = {**earlier, "Statement": earlier["Statement"][1:]}
    for document, becomes, says in ((earlier, present, "the role of cores was an earlier version"), (altered, altered, "was altered by hand")):
        iam.put_role_policy(RoleName=ROLE, PolicyName=POLICY, PolicyDocument=json.dumps(document))
        log = site.folder / "marram.log"
        size = log.stat().st_size
        assert site.plane.stop() == 0
        site.plane.start()
        assert iam.get_role_policy(RoleName=ROLE, PolicyName=POLICY)["PolicyDocument"] == becomes
        assert says in log.read_bytes()[size:].decode()
    iam.put_role_policy(RoleName=ROLE, PolicyName=POLICY, PolicyDocument=json.dumps(present))
