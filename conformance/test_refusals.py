"""Each operation refuses what it must with the modelled error, its status and its words (CP 1.4, TG 9.1)."""
import botocore.exceptions
import pytest

import operations
import samples

ROWS = [
    (service, operation, *row)
    for service, rows in operations.REFUSALS.items()
    for operation, row in rows.items()
]

#: CP 1.4: statuses of the iot services per code; things graph 400; iam by its model.
STATUS = {
    "iot": {"ResourceNotFoundException": 404, "InvalidRequestException": 400, "MalformedPolicyException": 400,
            "CertificateValidationException": 400},
    "iot-data": {"ResourceNotFoundException": 404, "InvalidRequestException": 400},
    "iotthingsgraph": {"ResourceNotFoundException": 400, "InvalidRequestException": 400},
    "iam": {"NoSuchEntity": 404, "ValidationError": 400, "MalformedPolicyDocument": 400, "InvalidInput": 400},
    "cloudtrail": {"InvalidNextTokenException": 400},
    "secretsmanager": {"ResourceNotFoundException": 400, "InvalidParameterException": 400,
                       "InvalidNextTokenException": 400},
}


@pytest.mark.parametrize("service,operation,given,codes", ROWS, ids=[f"{row[0]}.{row[1]}" for row in ROWS])
def test_refusal(marram, client, service, operation, given, codes):
    made = samples.minimal(service, operation, marram.account, marram.region)
    parameters = made if given is None else {**made, **samples.fill(given, marram.account, marram.region)}
    if given == {}:
        parameters = {}
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        client(service)._make_api_call(operation, parameters)
    error = caught.value.response
    code = error["Error"]["Code"]
    assert code in ((codes,) if isinstance(codes, str) else codes), error
    assert error["Error"]["Message"], "an error without words"
    assert error["ResponseMetadata"]["RequestId"]
    expected = STATUS.get(service, {}).get(code)
    assert expected in (None, error["ResponseMetadata"]["HTTPStatusCode"])


def test_unknown_operations_are_named(marram, client):
    """CP 1.8: an operation that is not offered is a client's error and says its name."""
    for service, operation, parameters in (
        ("iot", "CreateStream", {"streamId": "s", "files": [], "roleArn": f"arn:aws:iam::{marram.account}:role/absent"}),
        ("iam", "CreateSAMLProvider", {"SAMLMetadataDocument": "x" * 1000, "Name": "n"}),
        ("sts", "AssumeRoleWithSAML", {"RoleArn": f"arn:aws:iam::{marram.account}:role/absent",
                                       "PrincipalArn": f"arn:aws:iam::{marram.account}:saml-provider/absent",
                                       "SAMLAssertion": "aGVsbG8="}),
        ("cloudtrail", "ListTrails", {}),
    ):
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            client(service)._make_api_call(operation, parameters)
        status = caught.value.response["ResponseMetadata"]["HTTPStatusCode"]
        assert 400 <= status < 500, (service, operation, caught.value.response)
