"""A core of its own beside the installation, with a line that can be cut; devices around it."""
import base64
import json
import os
import pathlib
import selectors
import socket
import subprocess
import threading
import time

from waiting import LOGS, free_port, until

ROOT = pathlib.Path(__file__).parent.parent
READY_SECONDS = 120


def carry(one, other):
    """What one end says goes to the other, until either is gone; then both are."""
    try:
        while block := one.recv(65536):
            other.sendall(block)
    except OSError:
        pass
    for end in (one, other):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Wire:
    """A TCP way to a port of the installation that can be cut and mended. While it is cut nothing gets through and what
    was open is gone."""

    def __init__(self, port):
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.is_cut, self.lock, self.open = False, threading.Lock(), set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                if self.is_cut:
                    near.close()
                    continue
                try:
                    far = socket.create_connection(("127.0.0.1", self.target))
                except OSError:
                    near.close()
                    continue
                self.open |= {near, far}
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=carry, args=(one, other), daemon=True).start()

    def cut(self):
        with self.lock:
            self.is_cut = True
            for end in self.open:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                end.close()
            self.open.clear()

    def mend(self):
        with self.lock:
            self.is_cut = False

    def close(self):
        self.cut()
        self.listener.close()


class Proxy:
    """An HTTP proxy that lets through who shows its login; what it was asked for stands in `asked`."""

    def __init__(self, user, password):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.login = base64.b64encode(f"{user}:{password}".encode()).decode()
        self.asked = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = near.recv(1)
            if not byte:
                return near.close()
            head += byte
        method, authority, _ = head.decode().split("\r\n")[0].split(" ")
        if method != "CONNECT" or f"Proxy-Authorization: Basic {self.login}\r\n" not in head.decode():
            near.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            return near.close()
        self.asked.append(authority)
        host, port = authority.rsplit(":", 1)
        far = socket.create_connection((host, int(port)))
        near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = threading.Thread(target=carry, args=(far, near), daemon=True)
        back.start()
        carry(near, far)
        back.join()
        near.close()
        far.close()

    def close(self):
        self.listener.close()


class Core:
    """Provisioned by `marram core provision`, run by the built `marram-core`."""

    def __init__(self, marram, folder, thing):
        self.marram, self.thing, self.folder = marram, thing, pathlib.Path(folder)
        self.program = os.environ.get("MARRAM_CORE_BIN", str(ROOT / "target/debug/marram-core"))
        marram.run("core", "provision", "--thing", thing, "--out", str(self.folder / "keys"), "--data", str(marram.data))
        self.root, self.host, self.port = self.folder / "root", "127.0.0.1", free_port()
        self.ca = self.root / "work/aws.greengrass.clientdevices.Auth/ca.pem"
        names = ("AWS_ENDPOINT_URL", "MARRAM_MQTT_ENDPOINT", "MARRAM_DEVICE_ENDPOINT")
        ports = [int(marram.environment[name].rsplit(":", 1)[1]) for name in names]
        self.wires = [Wire(port) for port in ports]
        text = (self.folder / "keys/config.yaml").read_text()
        for port, wire in zip(ports, self.wires):
            text = text.replace(str(port), str(wire.port))
        text += f'        localBroker: "127.0.0.1:{self.port}"\n'
        if os.geteuid() == 0:
            text += '      runWithDefault:\n        posixUser: "0:0"\n'
        self.config = self.folder / "config.yaml"
        self.config.write_text(text)
        self.process = None
        LOGS[thing], LOGS["marram"] = self.folder / "core.log", pathlib.Path(marram.log.name)
        self.start()

    def start(self):
        command = [self.program, "run", "--root", str(self.root), "--init-config", str(self.config)]
        with open(self.folder / "core.log", "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            assert selector.select(timeout=READY_SECONDS), self.log()
            assert json.loads(self.process.stdout.readline())["ready"], self.log()

    def greengrass_cli(self, *arguments):
        """`greengrass-cli` of this core."""
        command = [str(self.root / "bin/greengrass-cli"), "--ggcRootPath", str(self.root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=READY_SECONDS)

    def log(self):
        return (self.folder / "core.log").read_text()[-4000:]

    def cli(self, *arguments, of=None):
        """What a command of the core says; `of`: the program's link below the root, which knows its root."""
        command = [self.root / of, *arguments] if of else [self.program, *arguments, "--root", self.root]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=READY_SECONDS).stdout

    def kill(self):
        self.process.kill()
        self.process.wait()

    def cut(self):
        for wire in self.wires:
            wire.cut()

    def mend(self):
        for wire in self.wires:
            wire.mend()

    def close(self):
        LOGS.pop(self.thing, None)
        self.process.terminate()
        try:
            assert self.process.wait(READY_SECONDS) == 0, self.log()
        finally:
            self.process.kill()
            for wire in self.wires:
                wire.close()


def crc(frame):
    """CRC-16/MODBUS."""
    value = 0xFFFF
    for byte in frame:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ 0xA001 if value & 1 else value >> 1
    return value.to_bytes(2, "little")


class SerialUnit:
    """A unit on a serial line: one input register that counts how often it was read."""

    def __init__(self, unit):
        self.unit, self.reads = unit, 0
        self.line, other = os.openpty()
        self.path = os.ttyname(other)
        os.close(other)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        frame = b""
        while True:
            try:
                frame += os.read(self.line, 64)
            except OSError:
                # Nobody has the line open.
                time.sleep(0.01)
                continue
            while len(frame) >= 8:
                request, frame = frame[:8], frame[8:]
                if request[0] != self.unit or request[1] != 4 or crc(request[:6]) != request[6:]:
                    continue
                self.reads += 1
                answer = bytes([self.unit, 4, 2]) + self.reads.to_bytes(2, "big")
                os.write(self.line, answer + crc(answer))
