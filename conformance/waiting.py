"""Waiting for what another process does."""
import socket
import time


def until(what, look, seconds=60, every=0.1):
    """Waits for a condition; names it when it does not come true."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {seconds} s: {found!r}")
        time.sleep(every)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
