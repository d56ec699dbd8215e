"""Fault tests: a Windlass with failpoints a module, its hosts, and an application that is asked for all the time."""

import contextlib
import signal

import pytest

from tests.deploying import applications
from tests.deploying.conftest import cli, hammer, hosts, name, repository
from tests.faults import oracle
from tests.faults.stack import running_fault_stack
from tests.fleet.fixtures import skipped_if_unavailable
from tests.fleet.reaper import send
from tests.fleet.services import postgresql
from tests.selection import IS_THOROUGH

__all__ = ["cli", "hosts", "name", "repository"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A running Windlass with failpoints, on SQLite and the embedded broker."""
    with running_fault_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="module")
def database_url():
    """The URL of a PostgreSQL of the module's own."""
    with contextlib.ExitStack() as services:
        with skipped_if_unavailable():
            url = services.enter_context(postgresql())
        yield url


@pytest.fixture
def other(stack):
    """One worker more that tests start: other() -> Process; it is ended with the test."""
    started = []

    def start(**environment):
        started.append(stack.start_worker(**environment))
        oracle.await_true(lambda: started[-1].pid in stack.known_workers(), "sign of life of the second worker")
        return started[-1]

    yield start
    for process in started:
        send(process.pid, signal.SIGCONT)
        process.stop()


@pytest.fixture(autouse=True)
def disarmed(request):
    """No point stays armed after a test, whatever happened in it."""
    yield
    if "stack" in request.fixturenames:
        request.getfixturevalue("stack").points.disarm()


@pytest.fixture(autouse=True)
def thoroughness(request, monkeypatch):
    """The oracle tries whether the next deploy and rollback work after the cases that tests/selection.py picks."""
    monkeypatch.setattr(oracle, "IS_THOROUGH", request.node.stash[IS_THOROUGH])


@pytest.fixture
def first(stack, hosts, repository, name):
    """Release "one" runs on the hosts, and is asked for until the end of the test; no request may fail."""
    stack.set_target(hosts, name)
    repository.commit(applications.plain("one"))
    stack.deploy(stack.release(name)["version"], name)
    with hammer(hosts[0], name) as asking:
        asking.await_version("one")
        yield asking
        asking.await_requests(3)
    assert asking.failures == [], asking.failures


@pytest.fixture
def second(stack, hosts, repository, name, first):
    """Release "two", ready to be deployed; the oracle counts how often its `release` process runs. Returns its version."""
    repository.commit(applications.plain("two", processes={"release": oracle.leave_mark(hosts, name)}))
    return stack.release(name)["version"]
