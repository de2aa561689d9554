"""A browser's side of a core's debug console."""
import base64
import hashlib
import http.client
import json
import ssl

from driver import SECONDS



class DebugConsole:
    """The console on this port of this machine, behind a certificate that nobody vouches for."""

    def __init__(self, port):
        self.port = port
        self.context = ssl.create_default_context()
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE

    def connect(self):
        """A connection that stays open."""
        line = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context, timeout=SECONDS)
        line.connect()
        return line

    def fingerprints(self):
        """Of the certificate it shows: SHA-256 and SHA-1."""
        line = self.connect()
        certificate = line.sock.getpeercert(binary_form=True)
        line.close()
        return tuple(":".join(f"{byte:02X}" for byte in hashlib.new(name, certificate).digest()) for name in ("sha256", "sha1"))

    def ask(self, password, path="/components", line=None, **headers):
        """Status and body."""
        line = line or self.connect()
        if password is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(f"debug:{password}".encode()).decode()
        line.request("GET", path, headers=headers)
        answer = line.getresponse()
        return answer.status, answer.read()

    def states(self, password):
        """The states of all components by name."""
        status, body = self.ask(password)
        assert status == 200
        return {one["componentName"]: one["state"] for one in json.loads(body)["components"]}

    def is_closed(self):
        try:
            self.connect().close()
        except ConnectionRefusedError:
            return True
        return False


def is_cut(line):
    """Whether the other end has closed this connection, which had nothing more to say."""
    try:
        return line.sock.recv(1) == b""
    except (ConnectionError, ssl.SSLError):
        return True
