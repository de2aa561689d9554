"""A browser without pages: the console's contract in plain HTTP, with an authenticator app of its own."""
import base64
import hashlib
import hmac
import http.client
import json
import ssl
import struct
import time
import urllib.parse

COOKIE = "__Host-marram"
PASSWORD = "a gate in the dunes"


def totp(secret, at=None):
    """The six digits an authenticator app shows for this base32 secret (RFC 6238)."""
    step = int((time.time() if at is None else at) // 30)
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.new(key, struct.pack(">Q", step), hashlib.sha1).digest()
    offset = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[offset:offset + 4])[0] & 0x7FFFFFFF) % 10**6:06}"


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()
        try:
            self.document = json.loads(self.body)
        except ValueError:
            self.document = None

    @property
    def code(self):
        return (self.document or {}).get("error", {}).get("code")


class Browser:
    """One browser: a cookie, a CSRF token, nothing else. `url` is MARRAM_CONSOLE_URL or any address of the API port."""

    def __init__(self, url, ca):
        parts = urllib.parse.urlsplit(url)
        self.host = parts.netloc
        self.token = urllib.parse.parse_qs(parts.fragment.partition("?")[2]).get("token", [None])[0]
        self.context = ssl.create_default_context(cafile=ca)
        self.cookie = None
        self.csrf = ""
        self.secret = None
        self.used = 0

    def send(self, method, path, body=None, headers=None):
        """One request. Headers whose value is None are left out."""
        connection = http.client.HTTPSConnection(self.host, context=self.context, timeout=60)
        given = {"cookie": self.cookie and f"{COOKIE}={self.cookie}", **(headers or {})}
        connection.request(method, path, body, {name: value for name, value in given.items() if value is not None})
        answer = Answer(connection.getresponse())
        connection.close()
        cookie = answer.headers.get("set-cookie", "")
        if cookie.startswith(COOKIE + "="):
            self.cookie = cookie.split(";")[0].partition("=")[2]
        if isinstance(answer.document, dict) and "csrf" in answer.document:
            self.csrf = answer.document["csrf"]
        return answer

    def session(self):
        return self.send("GET", "/console/api/session").document

    def post(self, verb, body, **headers):
        """As the pages post; keyword arguments replace headers (underscores for dashes), None leaves one out."""
        given = {
            "content-type": "application/json",
            "origin": f"https://{self.host}",
            "sec-fetch-site": "same-origin",
            "x-marram-csrf": self.csrf,
        }
        given.update({name.replace("_", "-"): value for name, value in headers.items()})
        return self.send("POST", f"/console/api/{verb}", json.dumps(body), given)

    def code(self):
        """A code that was not used yet; waits for the next one when need be."""
        while int(time.time() // 30) <= self.used:
            time.sleep(0.2)
        self.used = int(time.time() // 30)
        return totp(self.secret)

    def enrol(self, token=None, password=PASSWORD):
        """Opens a one-time link, sets the password and the second factor."""
        self.session()
        opened = self.post("sign-in/link", {"token": token or self.token})
        if opened.status != 200:
            return opened
        self.secret = opened.document["secret"]
        return self.post("enrol", {"password": password, "code": self.code()})

    def sign_in(self, user="administrator", password=PASSWORD, account=None, code=None):
        self.session()
        body = {"user": user, "password": password, "code": code or self.code()}
        if account:
            body["account"] = account
        return self.post("sign-in/password", body)

    def call(self, service, operation, **given):
        return self.post("call", {"service": service, "operation": operation, "input": given})
