"""PostgreSQL stops at once, is away for a minute, hangs, and ends every session: rollouts go on, and end with the truth."""

import contextlib
import signal
import time

import psycopg
import pytest

from tests.faults import oracle
from tests.faults.stack import running_fault_stack
from tests.fleet.fixtures import skipped_if_unavailable
from tests.fleet.reaper import descendants, send
from tests.fleet.services import postgresql_service

OUTAGE_S = 60
HANG_S = 5  # Longer than a lease lasts here.
ENDED_SESSIONS, ENDED_WITHIN_S = 10, 60
OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'windlass' AND pid <> pg_backend_pid()"


@pytest.fixture(scope="module")
def server():
    """The PostgreSQL of this module."""
    with contextlib.ExitStack() as services:
        with skipped_if_unavailable():
            service = services.enter_context(postgresql_service())
        yield service


@pytest.fixture(scope="module")
def stack(tmp_path_factory, server):
    """A Windlass on that PostgreSQL."""
    with running_fault_stack(tmp_path_factory.mktemp("stack"), {"WINDLASS_DATABASE_URL": server.url}) as running:
        yield running


@pytest.fixture(autouse=True)
def up_again(server):
    """Whatever a test did to it, PostgreSQL runs afterwards."""
    yield
    if not server.process.is_running:
        server.start()


def hold_at(stack, point, name, release):
    """Begin a rollout and hold it at a point; returns the deploy's id."""
    stack.points.arm(point, "wait")
    deploy_id = stack.ask(name, release)
    stack.points.await_reached(point)
    return deploy_id


def refused(stack):
    """Ask the API for something while the database is away; returns the problem, which says what is the matter."""
    answer = stack.request("GET", "/deploys")
    assert answer.status_code == 503, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert stack.request("GET", "/health").status_code == 200
    return answer.json()


@pytest.mark.fault("postgresql", "stopped at once before {step}, started again", "the rollout goes on from the rows")
@pytest.mark.parametrize("step", ["ship", "switch"])
def test_postgresql_is_stopped_and_started(stack, hosts, name, second, first, server, step):
    deploy_id = hold_at(stack, f"host_run.{step}.before", name, second)
    server.stop(signal.SIGQUIT)
    refused(stack)
    server.start()
    stack.points.let_go(f"host_run.{step}.before")
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))


@pytest.mark.fault("postgresql", "stopped at once, away while the host ends", "the end is written, or found, when it is back")
def test_postgresql_is_away_while_a_host_ends(stack, hosts, name, second, first, server):
    workers = stack.workers()
    deploy_id = hold_at(stack, "host_run.check.before", name, second)
    server.stop(signal.SIGQUIT)
    stack.points.let_go("host_run.check.before")
    first.await_version("two")
    server.start()
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    assert stack.workers() == workers, "a database that is away is no reason for a worker to die"


@pytest.mark.fault("postgresql", "away for 60 s", "503 meanwhile, the application serves; then the rollout goes on")
def test_postgresql_is_away_for_a_minute(stack, hosts, name, second, first, server):
    workers = stack.workers()
    deploy_id = hold_at(stack, "host_run.configure.before", name, second)
    server.stop(signal.SIGQUIT)
    back_at = time.monotonic() + OUTAGE_S
    stack.points.let_go("host_run.configure.before")
    while time.monotonic() < back_at:
        refused(stack)
        assert stack.request("GET", "/ready").status_code == 503
        time.sleep(1)
    server.start()
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    assert stack.workers() == workers, "a database that is away is no reason for a worker to die"


@pytest.mark.fault("postgresql", "hangs for longer than a lease", "the rollout goes on")
def test_postgresql_hangs(stack, hosts, name, second, first, server):
    deploy_id = hold_at(stack, "host_run.check.before", name, second)
    frozen = [server.process.pid, *descendants(server.process.pid)]
    for pid in frozen:
        send(pid, signal.SIGSTOP)
    stack.points.let_go("host_run.check.before")
    time.sleep(HANG_S)
    for pid in frozen:
        send(pid, signal.SIGCONT)
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))


@pytest.mark.fault("postgresql", "every session terminated, again and again", "the rollout goes on")
def test_every_session_is_terminated_again_and_again(stack, hosts, name, second, first, server):
    deploy_id = hold_at(stack, "host_run.preflight.before", name, second)
    with psycopg.connect(server.url, autocommit=True) as ours:
        ended, deadline = 0, time.monotonic() + ENDED_WITHIN_S
        while ended < ENDED_SESSIONS:
            assert time.monotonic() < deadline, f"{ended} sessions were there to be ended within {ENDED_WITHIN_S} s"
            found = len(ours.execute(OTHERS).fetchall())
            ended += found
            if ended > found:  # The second time, in the middle of it.
                stack.points.let_go("host_run.preflight.before")
            time.sleep(0.2)
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
