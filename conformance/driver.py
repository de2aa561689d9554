"""Runs as a component: carries out on its own IPC connection what a test asks for over a socket in its folder.

One connection for each order: a pickled (kind, operation, arguments), answered by a pickled (whether it went well, what).
"""
import concurrent.futures
import os
import pickle
import queue
import signal
import socket
import threading
import time

from awsiot import greengrasscoreipc
from awsiot.greengrasscoreipc import client as operations
from awsiot.greengrasscoreipc import clientv2, model

SECONDS = 60
#: The core kills what does not end by itself soon after it was asked to, seconds.
FAREWELL = 3
SOCKET = "driver.socket"
#: Calls under way; each is answered before the component ends.
calls = set()


class Driver:
    def __init__(self):
        # The SDK's own pool has several threads, which may swap two events.
        self.client = clientv2.GreengrassCoreIPCClientV2(
            client=greengrasscoreipc.connect(timeout=SECONDS), executor=concurrent.futures.ThreadPoolExecutor(max_workers=1))
        self.streams = []

    def pid(self, *_):
        return os.getpid()

    def token(self, *_):
        return os.environ["SVCUID"]

    def call(self, operation, arguments):
        return getattr(self.client, operation)(**arguments)

    def subscribe(self, operation, arguments):
        """The response and the stream's number."""
        events = queue.Queue()
        response, stream = getattr(self.client, operation)(
            on_stream_event=events.put, on_stream_error=lambda error: events.put(error) or True,
            on_stream_closed=lambda: events.put("closed"), **arguments)
        self.streams.append((events, stream))
        return response, len(self.streams) - 1

    def take(self, stream, seconds):
        """The next event."""
        return self.streams[stream][0].get(timeout=seconds)

    def take_many(self, stream, count):
        """The next events."""
        return [self.take(stream, SECONDS) for _ in range(count)]

    def publish_many(self, topic, messages):
        """Local messages of bytes, in order; answers when all were acknowledged."""
        asked = []
        for text in messages:
            message = model.PublishMessage(binary_message=model.BinaryMessage(message=text))
            asked.append(self.client.publish_to_topic_async(topic=topic, publish_message=message))
        for one in asked:
            one.result(SECONDS)

    def leave_early(self, operation, arguments):
        """Asks for a stream and closes it without waiting for the response."""
        name = "".join(word.capitalize() for word in operation.split("_")).replace("Iot", "IoT")
        asked = getattr(self.client.client, f"new_{operation}")(getattr(operations, f"{name}StreamHandler")())
        asked.activate(getattr(model, f"{name}Request")(**arguments))
        asked.close().result(SECONDS)

    def close(self, stream, _):
        self.streams[stream][1].close().result(SECONDS)

    def malformed(self, operation, payload):
        """A request whose members are not what the operation has."""
        name = "".join(word.capitalize() for word in operation.split("_")).replace("Iot", "IoT")

        class Request(getattr(model, f"{name}Request")):
            def _to_payload(self):
                return payload

        make = getattr(self.client.client, f"new_{operation}")
        streams = name.startswith("Subscribe")
        asked = make(getattr(operations, f"{name}StreamHandler")()) if streams else make()
        asked.activate(Request())
        return asked.get_response().result(SECONDS)


def answer(driver, connection):
    with connection:
        kind, operation, arguments = pickle.load(connection.makefile("rb"))
        if kind == "call":
            calls.add(connection)
        try:
            result = True, getattr(driver, kind)(operation, arguments)
        except Exception as error:  # whatever it is, the test judges it
            result = False, error
        try:
            text = pickle.dumps(result)
        except Exception:
            text = pickle.dumps((False, RuntimeError(repr(result))))
        try:
            connection.sendall(text)
        except OSError:
            pass
        calls.discard(connection)


def leave():
    """Who ends the component by an order still hears that it was carried out."""
    began = time.monotonic()
    while calls and time.monotonic() - began < FAREWELL:
        time.sleep(0.01)
    os._exit(0)


def main():
    driver = Driver()
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=leave).start())
    if os.path.exists(SOCKET):
        os.unlink(SOCKET)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(SOCKET)
    listener.listen()
    print("driver ready", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(driver, connection), daemon=True).start()


if __name__ == "__main__":
    main()
