"""What was answered in this run, counted against what is offered. Runs last."""
import pytest

import operations


@pytest.fixture(autouse=True)
def whole_run(request):
    """A part of the suite cannot be complete."""
    ran = {item.fspath.basename for item in request.session.items}
    if not {"test_iot.py", "test_iam.py", "test_things_graph.py", "test_refusals.py"} <= ran or request.config.option.keyword:
        pytest.skip("only part of the suite was asked for")


@pytest.mark.parametrize("service", operations.OFFERED)
def test_every_operation_succeeded_once(marram, service):
    silent = [
        operation for operation in operations.OFFERED[service]
        if (service, operation) not in operations.WITHOUT_SUCCESS
        and not any(answer.code is None for answer in marram.answers[service, operation])
    ]
    assert silent == []


@pytest.mark.parametrize("service", operations.OFFERED)
def test_every_operation_refused_once(marram, service):
    silent = [
        operation for operation in operations.OFFERED[service]
        if (service, operation) not in operations.WITHOUT_REFUSAL
        and not any(answer.code is not None for answer in marram.answers[service, operation])
    ]
    assert silent == []


def told_in_s3_manner(key, answer):
    """S3 answers 501 where something is not offered, and HEAD has no body to name an error in."""
    service, operation = key
    return service == "s3" and (answer == (501, "NotImplemented") or (operation.startswith("Head") and answer.status == 404))


def test_nothing_broke(marram):
    """No answer of the server's fault, and no error without a name."""
    broken = {
        key: answer for key, answers in marram.answers.items() for answer in answers
        if (answer.status >= 500 or answer.code in ("", "?", "404", "500")) and not told_in_s3_manner(key, answer)
    }
    assert broken == {}
