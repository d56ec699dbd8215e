"""Fault tests: a Windlass with failpoints a module, its hosts, and an application that is asked for all the time."""

import pytest

from tests.deploying import applications
from tests.deploying.conftest import cli, hammer, hosts, name, repository
from tests.faults.stack import running_fault_stack

__all__ = ["cli", "hosts", "name", "repository"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A running Windlass with failpoints, on SQLite and the embedded broker."""
    with running_fault_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(autouse=True)
def disarmed(request):
    """No point stays armed after a test, whatever happened in it."""
    yield
    if "stack" in request.fixturenames:
        request.getfixturevalue("stack").points.disarm()


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
def second(stack, repository, name, first):
    """Release "two", ready to be deployed; returns its version."""
    repository.commit(applications.plain("two"))
    return stack.release(name)["version"]
