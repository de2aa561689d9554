"""botocore's own parsers read the answers that wire/aws-api's tests pin (CP 1.2, 1.4).

The Rust tests hold that we write exactly these bytes; this one holds that an unmodified client understands them.
"""
import base64
import datetime
import json
import pathlib

import botocore.session
import pytest
from botocore.parsers import create_parser

FIXTURES = pathlib.Path(__file__).parents[2] / "crates/wire/aws-api/tests/fixtures/responses.json"
ROWS = json.loads(FIXTURES.read_text())
SESSION = botocore.session.get_session()


def plain(value):
    """The parsed value in the words of the fixtures: epoch seconds, base64, no nulls."""
    if isinstance(value, datetime.datetime):
        seconds = value.timestamp()
        return int(seconds) if seconds == int(seconds) else seconds
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if hasattr(value, "read"):
        return base64.b64encode(value.read()).decode()
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value


@pytest.mark.parametrize("row", ROWS, ids=[f"{row['service']}.{row['operation']}.{row['status']}" for row in ROWS])
def test_botocore_reads_our_answers(row):
    model = SESSION.get_service_model(row["service"])
    operation = model.operation_model(row["operation"])
    parser = create_parser(model.metadata["protocol"])
    headers = {"x-amzn-requestid": "r-1", **row["headers"]}
    body = row["body"].encode()
    if operation.has_streaming_output:
        import io

        body = io.BytesIO(body)
    parsed = parser.parse({"status_code": row["status"], "headers": headers, "body": body}, operation.output_shape)
    assert parsed.pop("ResponseMetadata")["RequestId"] == "r-1"
    if "error" in row:
        modelled = {"AccessDeniedException": "AccessDenied", "InternalFailureException": "ServiceFailure"}
        code = row["error"]["code"]
        if row["service"] in ("iam", "sts"):
            code = modelled.get(code, code)
        assert parsed["Error"]["Code"] == code
        assert parsed["Error"]["Message"] == row["error"]["message"]
    else:
        assert plain(parsed) == plain(row["output"])
