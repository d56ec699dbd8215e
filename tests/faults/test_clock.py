"""A worker whose clock is an hour off, as on a machine of its own: what counts is the database's time."""

import contextlib
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.faults import oracle
from tests.faults.stack import PartedStack, running_fault_stack
from tests.fleet.fixtures import skipped_if_unavailable
from tests.fleet.services import postgresql

SHIFTED = Path(__file__).parent / "shifted"
NEAR = timedelta(minutes=1)


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A Windlass on PostgreSQL, whose time all workers share."""
    with contextlib.ExitStack() as services:
        with skipped_if_unavailable():
            database = services.enter_context(postgresql())
        folder = tmp_path_factory.mktemp("stack")
        yield services.enter_context(running_fault_stack(folder, {"WINDLASS_DATABASE_URL": database}, PartedStack))


@pytest.fixture
def shifted(stack):
    """Start a worker whose clock is off by so many seconds: shifted(3600) -> Process; it is ended with the test."""
    started = []

    def start(seconds):
        started.append(stack.start_worker(PYTHONPATH=str(SHIFTED), SHIFTED_BY_S=str(seconds)))
        return started[-1]

    yield start
    for process in started:
        process.stop()


@pytest.mark.fault("clock", "The only worker's clock is off by {seconds} s", "the rollout succeeds, its times are the database's")
@pytest.mark.parametrize("seconds", [3600, -3600])
def test_the_only_worker_is_off(stack, hosts, name, second, first, shifted, seconds):
    stack.worker.stop()
    shifted(seconds)
    deploy_id = stack.ask(name, second)
    deploy = oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    steps = stack.host_runs(deploy)[hosts[0].name]["steps"]
    begun, ended = datetime.fromisoformat(deploy["created_at"]), datetime.fromisoformat(deploy["ended_at"])
    shown = [event["at"] for event in oracle.history(stack, deploy_id)] + [step["started_at"] for step in steps]
    times = [datetime.fromisoformat(at) for at in shown]
    assert begun - NEAR <= min(times) <= max(times) <= ended + NEAR, times
    stack.worker = stack.start_worker()


@pytest.mark.fault("clock", "One of two workers is off by {seconds} s and dies at work", "its lease ends in the database's time")
@pytest.mark.parametrize("seconds", [3600, -3600])
def test_one_of_two_is_off_and_dies(stack, hosts, name, second, first, shifted, seconds):
    stack.worker.stop()
    shifted(seconds)
    stack.points.arm("host_run.ship.after")
    deploy_id = stack.ask(name, second)
    stack.points.await_reached("host_run.ship.after")
    stack.worker = stack.start_worker()
    deploy = oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    assert stack.host_runs(deploy)[hosts[0].name]["attempt"] == 2


@pytest.mark.fault("clock", "A right worker and one off by {seconds} s share the work", "neither takes over what the other does")
@pytest.mark.parametrize("seconds", [3600, -3600])
def test_one_right_and_one_off_share_the_work(stack, hosts, name, second, first, shifted, seconds):
    shifted(seconds)
    for _ in range(2):
        for release in (second, "v1"):
            deploy = stack.deploy(release, name)
            assert stack.host_runs(deploy)[hosts[0].name]["attempt"] == 1
    oracle.check(stack, hosts, name, deploy["id"], states=("succeeded",))
