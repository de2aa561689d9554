"""Waiting for what another process does."""
import random
import socket
import time

#: How much of a log tells why something did not happen, characters.
TAIL = 6000
#: Logs of the cores that tests started, and of their control planes, by name: what did not happen is explained there.
LOGS = {}
#: How long what must happen may take, seconds: nobody is told that a machine is slow, and what is right is over long before.
PATIENCE = 180
#: Linux hands out ports from here on (`net.ipv4.ip_local_port_range`).
LOWEST_HANDED_OUT = 32_768


def tails():
    """The last words of each."""
    shown = []
    for name, path in LOGS.items():
        text = path.read_text(errors="replace") if path.exists() else ""
        shown.append(f"--- the end of {name}'s log\n{text[-TAIL:]}")
    return "\n".join(shown)


def until(what, look, seconds=PATIENCE, every=0.1):
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
    """A port that is free and stays so while a server of ours is down: none that systems hand out by themselves, as
    another process' outgoing connection might hold it when the server comes back."""
    while True:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", random.SystemRandom().randrange(15_000, LOWEST_HANDED_OUT)))
            except OSError:
                continue
            return probe.getsockname()[1]
