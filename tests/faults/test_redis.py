"""Redis, as broker and alarm clock of the streams, dies, restarts, forgets, flaps, refuses writes and hangs: nothing is lost."""

import contextlib
import signal
import time

import pytest
import redis

from tests.faults import cases, oracle
from tests.faults.stack import running_fault_stack
from tests.fleet.fixtures import skipped_if_unavailable
from tests.fleet.reaper import send
from tests.fleet.services import redis_service

HOSTS = 2
ONE_BY_ONE = {"kind": "rolling", "batch": 1}
FLAPS, FLAPPING_S = 5, 3
REFUSING = {
    "no replica": ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"),
    "a replica itself": ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
}


@pytest.fixture(scope="module")
def server():
    """The Redis of this module."""
    with contextlib.ExitStack() as services:
        with skipped_if_unavailable():
            service = services.enter_context(redis_service())
        yield service


@pytest.fixture(scope="module")
def stack(tmp_path_factory, database_url, server):
    """A Windlass on PostgreSQL whose broker is that Redis."""
    urls = {"WINDLASS_DATABASE_URL": database_url, "WINDLASS_BROKER_URL": server.url, "WINDLASS_REDIS_URL": server.url}
    with running_fault_stack(tmp_path_factory.mktemp("stack"), urls) as running:
        yield running


@pytest.fixture(autouse=True)
def up_again(server):
    """Whatever a test did to it, Redis runs and takes writes afterwards."""
    yield
    if not server.process.is_running:
        server.start()
    send(server.process.pid, signal.SIGCONT)
    for _, undo in REFUSING.values():
        run(server, undo)


def run(server, command):
    """Run one Redis command and return its answer."""
    with redis.from_url(server.url) as client:
        return client.execute_command(*command.split())


def hold_at(stack, point, name, release):
    """Begin a rollout over two hosts, one by one, and hold the first one at a point; returns the deploy's id."""
    stack.points.arm(point, "wait")
    deploy_id = stack.ask(name, release, strategy=ONE_BY_ONE)
    stack.points.await_reached(point)
    return deploy_id


@pytest.mark.fault("redis", "SIGKILL, away while a host ends", "that host ends; the next one begins when Redis is back")
def test_redis_is_killed(stack, hosts, name, second, first, server):
    deploy_id = hold_at(stack, "host_run.check.before", name, second)
    server.stop(signal.SIGKILL)
    stack.points.let_go("host_run.check.before")
    stack.wait(f"/deploys/{deploy_id}", lambda deploy: deploy["progress"]["done"] == 1)
    server.start()
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))


@pytest.mark.fault("redis", "restarted in the middle", "the rollout goes on")
def test_redis_is_restarted(stack, hosts, name, second, first, server):
    deploy_id = hold_at(stack, "host_run.ship.before", name, second)
    server.stop()
    server.start()
    stack.points.let_go("host_run.ship.before")
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))


@pytest.mark.fault("redis", "FLUSHALL with messages on their way", "the sweep enqueues it again")
def test_redis_forgets_everything(stack, hosts, name, second, first, server):
    stack.signal(signal.SIGSTOP, "celery", "worker")
    try:
        deploy_id = stack.ask(name, second)
        following = stack.ask(name, second)  # The first message may have gone to the worker's socket already.
        assert run(server, "LLEN windlass") > 0
        run(server, "FLUSHALL")
    finally:
        stack.signal(signal.SIGCONT, "celery", "worker")
    oracle.await_rest(stack, following, ("succeeded",))
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))


@pytest.mark.fault("redis", "five flaps in 3 s", "the rollout goes on")
def test_redis_flaps(stack, hosts, name, second, first, server):
    deploy_id = hold_at(stack, "host_run.configure.before", name, second)
    begun = time.monotonic()
    for number in range(1, FLAPS + 1):
        server.stop(signal.SIGKILL)
        server.start()
        if number == 2:
            stack.points.let_go("host_run.configure.before")
        time.sleep(max(0, begun + number * FLAPPING_S / FLAPS - time.monotonic()))
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))


@pytest.mark.fault("redis", "refuses writes: {why}", "the host under way ends, asking is answered; all goes on afterwards")
@pytest.mark.parametrize("why", REFUSING)
def test_redis_refuses_writes(stack, hosts, name, second, first, server, why):
    workers = stack.workers()
    deploy_id = hold_at(stack, "host_run.check.before", name, second)
    run(server, REFUSING[why][0])
    stack.points.let_go("host_run.check.before")
    stack.wait(f"/deploys/{deploy_id}", lambda deploy: deploy["progress"]["done"] == 1)
    queued = stack.ask(name, second)
    run(server, REFUSING[why][1])
    oracle.await_rest(stack, deploy_id, ("succeeded",))
    oracle.check(stack, hosts, name, queued, states=("succeeded",))
    assert stack.workers() == workers, "a broker that refuses is no reason for a worker to die"


@pytest.mark.fault("redis", "{how} when a deploy is asked for", "201 at once; it begins when Redis is back")
@pytest.mark.parametrize("how", ["killed", "hangs"])
def test_redis_is_away_at_submit(stack, hosts, name, second, first, server, how):
    if how == "killed":
        server.stop(signal.SIGKILL)
    else:
        send(server.process.pid, signal.SIGSTOP)
    deploy_id = stack.ask(name, second)
    assert stack.call("GET", f"/deploys/{deploy_id}")["state"] == "queued"
    if how == "killed":
        server.start()
    else:
        send(server.process.pid, signal.SIGCONT)
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))


# What every combination must stand, on this one.


@pytest.mark.fault("reconciler", "Two reconcilers at once on PostgreSQL and Redis", "every host run is claimed once")
def test_two_reconcilers_at_once(stack, hosts, name, second, other):
    other()
    cases.two_reconcilers_at_once(stack, hosts, name, second)


@pytest.mark.fault(
    "worker", "SIGKILL before step switch on PostgreSQL and Redis", "another attempt goes on from what the host is like"
)
def test_the_worker_dies_at_the_switch(stack, hosts, name, second):
    cases.worker_dies(stack, hosts, name, second, "host_run.switch.before")
