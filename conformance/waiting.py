"""Waiting for what another process does."""
import socket
import time

#: How much of a log tells why something did not happen, characters.
TAIL = 6000
#: Logs of the cores that tests started, and of their control planes, by name: what did not happen is explained there.
LOGS = {}


def tails():
    """The last words of each."""
    shown = []
    for name, path in LOGS.items():
        text = path.read_text(errors="replace") if path.exists() else ""
        shown.append(f"--- the end of {name}'s log\n{text[-TAIL:]}")
    return "\n".join(shown)


def until(what, look, seconds=60, every=0.1):
    """Waits for a condition; names it when it does not come true, with what the processes had to say."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {seconds} s: {found!r}\n{tails()}")
        time.sleep(every)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
