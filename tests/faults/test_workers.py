"""Workers that leave, sleep through their lease, compete, and hold what others need."""

import contextlib
import signal
import sqlite3
import threading
import time

import pytest

from tests.deploying import applications
from tests.faults import oracle
from tests.faults.stack import PartedStack, running_fault_stack
from tests.fleet.keeper import is_running
from tests.fleet.reaper import send

SLOW_START_S = 8
HANDED_OVER_WITHIN_S = 5
ASLEEP_WITHIN_S = 60


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A Windlass whose workers are started one by one."""
    with running_fault_stack(tmp_path_factory.mktemp("stack"), kind=PartedStack) as running:
        yield running


@pytest.fixture(autouse=True)
def worker(stack):
    """One worker at the start of each test; returns it. A test that fails must not leave it asleep for the next."""
    if not stack.worker.is_running:
        stack.worker = stack.start_worker()
    yield stack.worker
    if stack.worker.is_running:
        send(stack.worker.pid, signal.SIGCONT)


@pytest.fixture
def other(stack, worker):
    """A second worker that tests start: other() -> Process; it is ended with the test."""
    started = []

    def start(**environment):
        started.append(stack.start_worker(**environment))
        oracle.await_true(lambda: started[-1].pid in pids_of_workers(stack), "sign of life of the second worker")
        return started[-1]

    yield start
    for process in started:
        send(process.pid, signal.SIGCONT)
        process.stop()


def pids_of_workers(stack):
    """Return the ids of the processes that have told the database of themselves."""
    with contextlib.closing(sqlite3.connect(f"file:{stack.data}/windlass.db?mode=ro", uri=True)) as database:
        return [int(name.rpartition(":")[2]) for (name,) in database.execute("SELECT name FROM worker")]


def await_stopped(pid):
    """Wait until a process is stopped by a signal."""
    oracle.await_true(lambda: state_of(pid) == "T", f"process {pid} to be stopped")


def put_to_sleep(stack, pid):
    """Stop a process at a moment at which it does not write: with SQLite's one write lock in its hands nobody else could."""
    deadline = time.monotonic() + ASLEEP_WITHIN_S
    while True:
        send(pid, signal.SIGSTOP)
        await_stopped(pid)
        if is_writable(stack):
            return
        assert time.monotonic() < deadline, f"process {pid} writes all the time"
        send(pid, signal.SIGCONT)
        time.sleep(0.05)


def is_writable(stack):
    """Say whether the database takes a write."""
    with contextlib.closing(sqlite3.connect(f"{stack.data}/windlass.db", timeout=2, isolation_level=None)) as database:
        try:
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        database.execute("ROLLBACK")
        return True


def state_of(pid):
    """Return a process's state as proc_pid_stat(5) has it."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


@pytest.fixture
def slow(stack, repository, name, first):
    """Release "two", which takes long to start; returns its version."""
    repository.commit(applications.plain("two", before=f"import time; time.sleep({SLOW_START_S})"))
    return stack.release(name)["version"]


@pytest.mark.fault(
    "worker", "SIGTERM in the middle of a rollout", "gone within 5 s; the next worker goes on, no attempt used up"
)
def test_a_worker_that_is_told_to_end_hands_over(stack, hosts, name, slow, worker):
    deploy_id = stack.ask(name, slow)
    stack.step_of(deploy_id, "check")
    begun = time.monotonic()
    send(worker.pid, signal.SIGTERM)
    oracle.await_true(lambda: not is_running(worker.pid), "end of the worker", HANDED_OVER_WITHIN_S)
    print(f"gone after {time.monotonic() - begun:.1f} s")
    stack.worker = stack.start_worker()
    deploy = oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    assert stack.host_runs(deploy)[hosts[0].name]["attempt"] == 1


@pytest.mark.fault(
    "worker",
    "SIGSTOP {point} until another has taken over, then SIGCONT",
    "the sleeper is fenced and does nothing more",
)
@pytest.mark.parametrize(
    "point", ["hostrun.connect.after", "hostrun.ship.before", "hostrun.check.before", "hostrun.switch.after"]
)
def test_a_worker_sleeps_through_its_lease(stack, hosts, name, second, worker, other, point):
    stack.points.arm(point, "wait")
    deploy_id = stack.ask(name, second)
    stack.points.await_reached(point)
    put_to_sleep(stack, worker.pid)
    other()
    deploy = oracle.await_rest(stack, deploy_id, ("succeeded",))
    run = stack.host_runs(deploy)[hosts[0].name]
    assert run["attempt"] == 2
    stack.points.let_go(point)
    send(worker.pid, signal.SIGCONT)
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    send(worker.pid, signal.SIGTERM)
    oracle.await_true(lambda: not is_running(worker.pid), "end of the sleeper")
    assert stack.host_runs(deploy)[hosts[0].name] == run, "the sleeper changed what another worker had ended"
    oracle.check_history(stack, deploy_id)


@pytest.mark.fault("conductor", "Two conductors at once, twelve ticks each", "every host run is claimed once")
def test_two_conductors_at_once(stack, hosts, repository, name, first, other):
    other()
    once = hosts[0].folder / f"{name}.ran"
    repository.commit(applications.plain("two", processes={"release": f"echo once >> {once}"}))
    version = stack.release(name)["version"]
    deploy_id = stack.ask(name, version)
    threads = [threading.Thread(target=stack.ring, args=("windlass.conduct", [deploy_id] * 12)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    deploy = oracle.check(stack, hosts, name, deploy_id, states=("succeeded",), once=once)
    assert stack.host_runs(deploy)[hosts[0].name]["attempt"] == 1
    begun = [event for event in oracle.history(stack, deploy_id) if event["kind"] == "deploy"]
    assert [event["data"]["state"] for event in begun] == ["queued", "running", "succeeded"]


@pytest.mark.fault(
    "locks", "The agent that holds the host's lock is frozen, its worker dead", "the next attempt ends it and goes on"
)
def test_a_dead_holder_of_the_hosts_lock(stack, hosts, name, second, worker):
    stack.points.arm("hostrun.ship.before", "stop")
    deploy_id = stack.ask(name, second)
    await_stopped(worker.pid)
    holder = int(oracle.holder(hosts[0], name)["pid"])
    send(holder, signal.SIGSTOP)
    send(worker.pid, signal.SIGKILL)
    oracle.await_true(lambda: not is_running(worker.pid), "end of the worker")
    stack.worker = stack.start_worker()
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    assert not is_running(holder)
