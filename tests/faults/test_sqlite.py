"""SQLite with three writers under load: the API, the worker, and one more process that writes through the models."""

import concurrent.futures
import contextlib
import signal
import sys
import threading

import pytest

from tests.faults import oracle
from tests.stack import ROOT

CLIENTS = 4
DEPLOYS = 3
# Appends to a history in transactions like those of a rollout, with no pause, until it is told to end; says how often.
WRITER = """
import signal, config
config.load()
from config import settings
from controllers import events
from models import db
db.connect_to(settings.database.url)
over = []
signal.signal(signal.SIGTERM, lambda *_: over.append(True))
print("begun", flush=True)
while not over:
    with db.connection():
        newest = events.append("load", [{"kind": "output", "text": "x" * 200}] * 20)
print("wrote", newest, "events", flush=True)
"""


@pytest.fixture
def writer(stack):
    """A third process that writes all the time; yields its Process."""
    environment = {**stack.environment, "WINDLASS_DATA": str(stack.data)}
    process = stack.keeper.start(
        [sys.executable, "-c", WRITER],
        stack.folder / "writer.log",
        env=environment,
        cwd=ROOT,
        stop_signal=signal.SIGTERM,
    )
    yield process
    process.stop()


@contextlib.contextmanager
def clients_that_write(stack):
    """Let some clients write through the API for the length of the block; yields the list of status codes answered."""
    over, answered = threading.Event(), []

    def write(client):
        """Make tokens, one after the other."""
        number = 0
        while not over.is_set():
            number += 1
            answer = stack.request("POST", "/tokens", json={"name": f"load {client}-{number}"})
            answered.append(answer.status_code if answer.status_code < 400 else answer.text)

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        writing = [pool.submit(write, client) for client in range(CLIENTS)]
        try:
            yield answered
        finally:
            over.set()
    for done in writing:
        done.result()


@pytest.mark.fault("sqlite", "three processes write without a pause", "nobody is told that it is locked; deploys go on")
def test_three_writers(stack, hosts, name, second, first, writer):
    with clients_that_write(stack) as answered:
        deploy_ids = [stack.ask(name, second) for _ in range(DEPLOYS)]
        for deploy_id in deploy_ids:
            oracle.await_rest(stack, deploy_id, ("succeeded",))
    writer.stop()
    assert len(answered) > DEPLOYS and set(answered) == {201}
    assert "wrote" in writer.log() and "Error" not in writer.log(), writer.log()
    for log in ("web.log", "worker.log"):
        assert "locked" not in (stack.data / "log" / log).read_text()
    oracle.check(stack, hosts, name, deploy_ids[0], states=("succeeded",))
