"""The console of a fresh `marram up`: first run, sign-in, calls, and what strangers get (SEC-64, SEC-65, SEC-97)."""
import json
import pathlib

import pytest

import console
import installation


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """An installation nobody has signed in to."""
    running = installation.Installation(tmp_path_factory.mktemp("console") / "data", "--no-core")
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def first_link(fresh):
    return fresh.environment["MARRAM_CONSOLE_URL"]


@pytest.fixture
def browser(fresh):
    """A browser that nobody has used."""
    made = console.Browser(fresh.environment["AWS_ENDPOINT_URL"], fresh.environment["AWS_CA_BUNDLE"])
    made.session()
    return made


@pytest.fixture(scope="module")
def administrator(fresh, first_link):
    """The browser of the first person, signed in by the link."""
    made = console.Browser(first_link, fresh.environment["AWS_CA_BUNDLE"])
    assert made.session()["firstRun"] is True
    assert made.token and "/console/#/welcome?token=" in first_link
    enrolled = made.enrol()
    assert enrolled.status == 200, enrolled.body
    assert enrolled.document["state"] == "signed-in"
    return made


def test_the_first_link_works_once(fresh, administrator, first_link, browser):
    again = console.Browser(first_link, fresh.environment["AWS_CA_BUNDLE"])
    refused = again.enrol()
    assert (refused.status, refused.code) == (403, "AccessDeniedException")
    written = json.loads((pathlib.Path(fresh.data) / "env.json").read_text())
    assert "token" not in written["MARRAM_CONSOLE_URL"], "a used link does not lie around"
    assert browser.session()["firstRun"] is False


def test_password_and_code_sign_in(fresh, administrator, browser):
    code = administrator.code()
    signed_in = browser.sign_in(code=code)
    assert signed_in.document["state"] == "signed-in"
    assert signed_in.document["arn"] == f"arn:aws:iam::{fresh.account}:user/administrator"
    assert signed_in.document["endpoints"]["mqtt"] == fresh.environment["MARRAM_MQTT_ENDPOINT"]
    stranger = console.Browser(fresh.environment["AWS_ENDPOINT_URL"], fresh.environment["AWS_CA_BUNDLE"])
    assert stranger.sign_in(code=code).status == 403, "a code works once"
    kept = browser.cookie, browser.csrf
    assert browser.post("sign-out", {}).document["state"] == "signed-out"
    browser.cookie, browser.csrf = kept
    assert browser.call("sts", "GetCallerIdentity").status == 401


def test_calls_are_the_api(fresh, administrator):
    identity = administrator.call("sts", "GetCallerIdentity").document["output"]
    assert identity["Account"] == fresh.account
    made = administrator.call("iot", "CreateThing", thingName="console-lamp", attributePayload={"attributes": {"a": "b"}})
    assert made.document["output"]["thingArn"].endswith(":thing/console-lamp")
    signed = fresh.client("iot", record=False).describe_thing(thingName="console-lamp")
    assert signed["attributes"] == {"a": "b"}, "the console and boto3 see the same thing"
    wrong = administrator.call("iot", "CreateThing", thingName="not a name")
    assert (wrong.status, wrong.code) == (400, "InvalidRequestException")
    assert wrong.document["error"]["field"] == "thingName"
    assert administrator.call("iot", "DescribeThing", thingName="ghost").code == "ResourceNotFoundException"
    events = fresh.client("cloudtrail", record=False).lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "CreateThing"}]
    )["Events"]
    record = json.loads(events[-1]["CloudTrailEvent"])
    assert record["userIdentity"]["sessionContext"]["attributes"]["mfaAuthenticated"] == "true"


def test_may(administrator):
    checks = [{"action": "iot:CreateThing", "resource": "*"}, {"action": "iam:CreateUser"}]
    assert administrator.post("may", {"checks": checks}).document == {"allowed": [True, True]}


def test_sign_in_is_on_the_record(fresh, administrator):
    events = fresh.client("cloudtrail", record=False).lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "ConsoleEnrolment"}]
    )["Events"]
    record = json.loads(events[0]["CloudTrailEvent"])
    assert record["eventType"] == "AwsConsoleSignIn"
    assert record["responseElements"] == {"ConsoleEnrolment": "Success"}


@pytest.mark.parametrize(
    "headers,status,code",
    [
        ({"x_marram_csrf": None}, 403, "InvalidCsrfTokenException"),
        ({"x_marram_csrf": "wrong"}, 403, "InvalidCsrfTokenException"),
        ({"origin": "https://evil.example"}, 403, "AccessDeniedException"),
        ({"sec_fetch_site": "cross-site"}, 403, "AccessDeniedException"),
        ({"referer": "https://{host}/bucket/report.html"}, 403, "AccessDeniedException"),
        ({"referer": "https://evil.example/console/"}, 403, "AccessDeniedException"),
        ({"sec_fetch_dest": "iframe"}, 403, "AccessDeniedException"),
        ({"content_type": "text/plain"}, 415, "UnsupportedMediaTypeException"),
        ({"cookie": None}, 403, "InvalidCsrfTokenException"),
    ],
)
def test_foreign_requests_are_refused(administrator, headers, status, code):
    body = {"service": "iam", "operation": "CreateUser", "input": {"UserName": "mallory"}}
    kept = administrator.cookie, administrator.csrf
    headers = {name: value and value.replace("{host}", administrator.host) for name, value in headers.items()}
    refused = administrator.post("call", body, **headers)
    administrator.cookie, administrator.csrf = kept
    assert (refused.status, refused.code) == (status, code)


@pytest.mark.parametrize("path,status", [("/", 302), ("/console/", None), ("/console/api/session", 200), ("/console/assets/x", 404)])
def test_headers(browser, path, status):
    answer = browser.send("GET", path)
    assert answer.status == status or (status is None and answer.status in (200, 503))
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["strict-transport-security"]


def test_other_people_get_links(fresh, administrator):
    """SEC-65: whoever runs the installation lets others in; what they may is what their policies say."""
    administrator.call("iam", "CreateUser", UserName="anna")
    link = fresh.run("account", "console-link", "--user", "anna", "--data", str(fresh.data)).stdout.strip()
    anna = console.Browser(link, fresh.environment["AWS_CA_BUNDLE"])
    assert anna.enrol().document["user"] == "anna"
    refused = anna.call("iot", "ListThings")
    assert (refused.status, refused.code) == (403, "AccessDeniedException")
    assert anna.post("may", {"checks": [{"action": "iot:ListThings"}]}).document == {"allowed": [False]}
    assert fresh.run("account", "console-link", "--user", "ghost", "--data", str(fresh.data), check=False).returncode != 0


def test_desk(fresh, administrator):
    who = administrator.post("who-can", {"action": "iot:CreateThing", "resource": "*"}).document
    arns = [one["arn"] for one in who["principals"] if one["decision"] == "allow"]
    assert f"arn:aws:iam::{fresh.account}:user/administrator" in arns
    audit = administrator.post("audit", {"limit": 5}).document
    assert len(audit["records"]) == 5 and audit["proof"]["state"] == "verified"
    text = administrator.post("tdm/check", {"text": "query F { }"}).document
    assert text["diagnostics"][0]["code"].startswith("TDM")
    series = administrator.post("series", {"names": ["memory_mb", "api_calls"], "since": 0}).document["series"]
    assert [one["name"] for one in series] == ["memory_mb", "api_calls"]


def test_guesses_are_slowed_down(browser):
    """MA-IAM-14. A name of its own: the administrator must not be delayed by this test."""
    guess = lambda: browser.post("sign-in/password", {"user": "guess", "password": "x" * 14, "code": "000000"}).code
    assert [guess() for _ in range(4)] == ["AccessDeniedException"] * 4
    # Each that comes when the delay is over doubles it.
    assert "ThrottlingException" in [guess() for _ in range(5)]


def test_a_restart_signs_nobody_out(fresh, administrator):
    assert fresh.stop() == 0
    fresh.start()
    administrator.host = fresh.environment["AWS_ENDPOINT_URL"].removeprefix("https://")
    assert administrator.call("sts", "GetCallerIdentity").status == 200
    assert "token" not in fresh.environment["MARRAM_CONSOLE_URL"], "somebody is in: no link is made"
