"""Clients of streams that read one byte a second, or nothing at all, while a rollout says a lot."""

import contextlib
import re
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.deploying import applications
from tests.faults import oracle

SLOW = 50
BUFFER = 2048  # As little as the kernel keeps for a client, so that the server feels at once how slow it is.
LINES, LINE, LEAST_BYTES = 900, 4000, 1_000_000
MOST_GROWTH = 120_000_000
# Says some megabytes before the switch, in too few lines to be thinned out.
TALKS = f"""python -c 'for number in range({LINES}): print(number, "x" * {LINE})'"""


class Reader:
    """A client of a deploy's stream over a bare socket; it reads only when it is told to."""

    def __init__(self, stack, path):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self.socket.connect(("127.0.0.1", stack.port))
        lines = f"GET /api/v1{path} HTTP/1.1", "Host: windlass", f"Authorization: Bearer {stack.token}", "", ""
        self.socket.sendall("\r\n".join(lines).encode())
        self.seen = b""

    def read(self):
        """Read one byte if one is there."""
        with contextlib.suppress(BlockingIOError):
            self.seen += self.socket.recv(1, socket.MSG_DONTWAIT)


@contextlib.contextmanager
def slow_readers(stack, path):
    """Let SLOW clients read a stream by one byte a second, and one not at all, for the length of the block; yields them."""
    readers = [Reader(stack, path) for _ in range(SLOW + 1)]
    over = threading.Event()

    def read_on():
        while not over.wait(1):
            for reader in readers[:SLOW]:
                reader.read()

    reading = threading.Thread(target=read_on)
    reading.start()
    try:
        yield readers
    finally:
        over.set()
        reading.join()
        for reader in readers:
            reader.socket.close()


def memory_of(pids):
    """Return the bytes of memory that processes hold together."""
    texts = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
    return sum(int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) * 1024 for text in texts)


@pytest.mark.fault(
    "streams",
    "fifty clients at one byte a second, one that never reads",
    "others are answered, memory is bounded, the rollout ends",
)
def test_fifty_slow_clients(stack, hosts, repository, name, first):
    repository.commit(applications.plain("two", processes={"release": TALKS}))
    version = stack.release(name)["version"]
    stack.points.arm("host_run.preflight.before", "wait")
    deploy_id = stack.ask(name, version)
    stack.points.await_reached("host_run.preflight.before")
    web = stack.processes("gunicorn")
    before = memory_of(web)
    with slow_readers(stack, f"/deploys/{deploy_id}/stream") as readers:
        stack.points.let_go("host_run.preflight.before")
        while stack.call("GET", f"/deploys/{deploy_id}")["state"] not in oracle.RESTING:
            assert stack.request("GET", "/applications").status_code == 200
            assert memory_of(web) - before < MOST_GROWTH
        deadline = time.monotonic() + 10
        while any(not reader.seen.startswith(b"HTTP") for reader in readers[:SLOW]) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert all(b"HTTP".startswith(reader.seen[:4]) and reader.seen for reader in readers[:SLOW])
        assert memory_of(web) - before < MOST_GROWTH
    log = stack.request("GET", f"/deploys/{deploy_id}/log").text
    assert len(log) > LEAST_BYTES, "this is too little to fill what the kernel keeps for a slow client"
    assert stack.processes("gunicorn") == web
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
