"""The authorization matrix, generated: every operation, asked by everybody who may not and by one who may (SEC 3.7).

Requests are made by botocore and sent as they are; inputs are well-formed and name nothing that exists, so an operation
that looks before it asks for permission betrays itself by another answer.
"""
import datetime
import re
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.session
import pytest
import urllib3

import operations
import samples

OPERATIONS = operations.all_operations()
IDS = [f"{service}.{operation}" for service, operation in OPERATIONS]

#: Answers to everybody whose signature holds.
OPEN = {("sts", "GetCallerIdentity")}
#: Guarded by the role's trust or by holding long-term keys, not by an identity policy alone.
GUARDED_OTHERWISE = {("sts", "AssumeRole"), ("sts", "GetSessionToken")}

SIGNING_NAMES = {"iotthingsgraph": "iotthingsgraph", "iot": "iot", "iam": "iam", "sts": "sts", "iot-data": "iotdata", "iot-jobs-data": "iot-jobs-data",
                 "cloudtrail": "cloudtrail", "greengrassv2": "greengrass", "secretsmanager": "secretsmanager"}

#: CP 2.7
NO_CREDENTIALS = {"MissingAuthenticationTokenException", "MissingAuthenticationToken"}
BAD_SIGNATURE = {"InvalidSignatureException", "SignatureDoesNotMatch"}
UNKNOWN_KEY = {"UnrecognizedClientException", "InvalidClientTokenId"}
DENIED = {"AccessDeniedException", "AccessDenied"}


class Wire:
    """Sends requests that botocore serialized, signed well, badly or not at all."""

    def __init__(self, marram):
        self.marram = marram
        self.pool = urllib3.PoolManager(ca_certs=marram.environment["AWS_CA_BUNDLE"], retries=False)
        self.clients = {}

    def request(self, service, operation, account=None):
        if service not in self.clients:
            self.clients[service] = self.marram.client(service, record=False)
        client = self.clients[service]
        parameters = samples.minimal(service, operation, account or self.marram.account, self.marram.region)
        model = client.meta.service_model.operation_model(operation)
        context = {"client_region": self.marram.region, "client_config": client.meta.config, "has_streaming_input": False}
        made = client._convert_to_request_dict(
            parameters, model, endpoint_url=self.marram.environment["AWS_ENDPOINT_URL"], context=context
        )
        return botocore.awsrequest.create_request_object(made)

    def sign(self, request, service, keys, at=None):
        credentials = botocore.credentials.Credentials(keys.access_key, keys.secret_key, keys.token)
        signer = botocore.auth.SigV4Auth(credentials, SIGNING_NAMES[service], self.marram.region)
        if at is None:
            signer.add_auth(request)
            return
        original = botocore.auth.get_current_datetime
        botocore.auth.get_current_datetime = lambda remove_tzinfo=True: at
        try:
            signer.add_auth(request)
        finally:
            botocore.auth.get_current_datetime = original

    def send(self, request):
        prepared = request.prepare()
        headers = {key: value.decode() if isinstance(value, bytes) else value for key, value in prepared.headers.items()}
        answer = self.pool.request(prepared.method, prepared.url, body=prepared.body, headers=headers)
        return answer.status, code_of(answer), answer.data.decode(errors="replace")


def code_of(answer):
    if answer.status < 300:
        return None
    text = answer.data.decode(errors="replace")
    found = re.search(r"<Code>([^<]+)</Code>", text) or re.search(r'"__type"\s*:\s*"([^"]+)"', text)
    code = answer.headers.get("x-amzn-errortype") or (found and found[1]) or "?"
    return code.split(":")[0].split("#")[-1]


@pytest.fixture(scope="module")
def wire(marram):
    return Wire(marram)


@pytest.fixture(scope="module")
def nobody(make_user):
    """A user without any permission."""
    return make_user()


@pytest.fixture(scope="module")
def refused(make_user):
    """A user who may do everything, and is denied everything."""
    return make_user(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": "*", "Resource": "*"},
                {"Effect": "Deny", "Action": "*", "Resource": "*"},
            ],
        }
    )


@pytest.fixture(scope="module")
def trusted(marram, make_user):
    """A user who may do everything, in an account where what the matrix makes disturbs nobody."""
    account, keys = marram.create_account("matrix")
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    return account, make_user(everything, marram.client("iam", keys))


@pytest.fixture(scope="module")
def stranger(marram):
    """The administrator of another account."""
    return marram.create_account("stranger")


@pytest.mark.parametrize("service,operation", OPERATIONS, ids=IDS)
def test_anonymous(wire, service, operation):
    status, code, text = wire.send(wire.request(service, operation))
    assert code in NO_CREDENTIALS and status in (400, 403), text


@pytest.mark.parametrize("service,operation", OPERATIONS, ids=IDS)
def test_bad_signature(wire, marram, service, operation):
    request = wire.request(service, operation)
    keys = marram.administrator
    keys.secret_key = keys.secret_key[::-1]
    wire.sign(request, service, keys)
    status, code, text = wire.send(request)
    assert code in BAD_SIGNATURE and status in (400, 403), text


@pytest.mark.parametrize("service,operation", OPERATIONS, ids=IDS)
def test_expired(wire, marram, service, operation):
    request = wire.request(service, operation)
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    wire.sign(request, service, marram.administrator, at=now - datetime.timedelta(minutes=20))
    status, code, text = wire.send(request)
    assert code in BAD_SIGNATURE and status in (400, 403) and "xpired" in text, text


@pytest.mark.parametrize("service,operation", OPERATIONS, ids=IDS)
def test_unknown_key(wire, marram, service, operation):
    request = wire.request(service, operation)
    keys = marram.administrator
    keys.access_key = "AKIAABSENTABSENTABSE"
    wire.sign(request, service, keys)
    status, code, text = wire.send(request)
    assert code in UNKNOWN_KEY and status in (400, 403), text


@pytest.mark.parametrize("service,operation", OPERATIONS, ids=IDS)
def test_no_permission(wire, nobody, service, operation):
    request = wire.request(service, operation)
    wire.sign(request, service, nobody)
    status, code, text = wire.send(request)
    if (service, operation) in OPEN | GUARDED_OTHERWISE:
        return
    assert code in DENIED and status in (400, 403), text
    assert "is not authorized to perform" in text


@pytest.mark.parametrize("service,operation", OPERATIONS, ids=IDS)
def test_explicit_deny(wire, refused, service, operation):
    request = wire.request(service, operation)
    wire.sign(request, service, refused)
    status, code, text = wire.send(request)
    if (service, operation) in OPEN | GUARDED_OTHERWISE:
        return
    assert code in DENIED and status in (400, 403) and "explicit deny" in text, text


@pytest.mark.parametrize("service,operation", OPERATIONS, ids=IDS)
def test_another_account(wire, marram, stranger, service, operation):
    """Whoever asks from another account is answered about that account, or not at all."""
    account, keys = stranger
    request = wire.request(service, operation)
    sent = urllib.parse.unquote(f"{request.url} {request.data} {request.headers} {request.params}")
    wire.sign(request, service, keys)
    status, code, text = wire.send(request)
    assert status < 500, text
    if operation == "LookupEvents":
        return  # the stranger's own log repeats what the stranger sent; test_cloudtrail.py holds the rest
    if marram.account not in sent:
        assert marram.account not in text.replace(account, ""), "another account's data"
    elif (service, operation) not in OPEN:
        assert status >= 300 or marram.account not in text, "another account's resource"


@pytest.mark.parametrize("service,operation", OPERATIONS, ids=IDS)
def test_allowed(wire, trusted, service, operation):
    """The same request, allowed: anything but a refusal of who asks."""
    account, keys = trusted
    request = wire.request(service, operation, account)
    wire.sign(request, service, keys)
    status, code, text = wire.send(request)
    assert status < 500 and code not in NO_CREDENTIALS | BAD_SIGNATURE | UNKNOWN_KEY, text
    if (service, operation) not in GUARDED_OTHERWISE:
        assert code not in DENIED, text
