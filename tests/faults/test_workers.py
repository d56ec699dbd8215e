"""Workers that leave, sleep through their lease, compete, and hold what others need."""

import contextlib
import signal
import sqlite3
import time

import pytest

from tests.deploying import applications
from tests.faults import cases, oracle
from tests.faults.stack import PartedStack, running_fault_stack
from tests.fleet.keeper import is_running
from tests.fleet.reaper import send

SLOW_START_S = 8
HANDED_OVER_WITHIN_S = 5
ASLEEP_WITHIN_S = 60
HANDED_OVER = "gone within 5 s; the next worker goes on, no attempt used up"


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


@pytest.fixture
def unhurried(stack, worker):
    """A worker whose lease is as long as in production instead; it need not wait for a beat of it to hand over."""
    send(worker.pid, signal.SIGTERM)
    await_end(worker, oracle.BOUND_S)
    stack.worker = stack.start_worker(WINDLASS_WORKER_LEASE_S="15")
    return stack.worker


def await_end(worker, timeout_s=HANDED_OVER_WITHIN_S):
    """Wait until the worker's process is gone."""
    oracle.await_true(lambda: not is_running(worker.pid), "end of the worker", timeout_s)


def replace(stack, worker):
    """Tell the worker to end, which it must do soon, and start another."""
    send(worker.pid, signal.SIGTERM)
    await_end(worker)
    stack.worker = stack.start_worker()


def check_handed_over(stack, hosts, name, deploy_id):
    """The oracle holds, and no attempt was used up."""
    deploy = oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    assert stack.host_runs(deploy)[hosts[0].name]["attempt"] == 1


def replace_at(stack, worker, point, noticed):
    """Tell the worker to end while it is held at a point, let it go on once it has noticed, and start another."""
    stack.points.await_reached(point)
    stack.points.arm(noticed, "wait")
    send(worker.pid, signal.SIGTERM)
    stack.points.await_reached(noticed, HANDED_OVER_WITHIN_S)
    stack.points.let_go(noticed)
    stack.points.let_go(point)
    await_end(worker)
    stack.worker = stack.start_worker()


@pytest.mark.fault("worker", "SIGTERM before step ship", HANDED_OVER)
def test_a_worker_hands_over_before_it_ships(stack, hosts, name, second, worker):
    stack.points.arm("host_run.ship.before", "wait")
    deploy_id = stack.ask(name, second)
    replace_at(stack, worker, "host_run.ship.before", "host_run.stop.handed-over")
    check_handed_over(stack, hosts, name, deploy_id)


@pytest.mark.fault("worker", "SIGTERM while the release process runs", f"{HANDED_OVER}; it runs on, once")
def test_a_worker_hands_over_while_the_release_process_runs(stack, hosts, repository, name, first, worker, tmp_path):
    waiting = f"until [ -e {tmp_path}/go-on ]; do sleep 0.1; done"
    files = applications.plain("two", processes={"release": f"{oracle.leave_mark(hosts, name)}; {waiting}"})
    repository.commit(files)
    deploy_id = stack.ask(name, stack.release(name)["version"])
    oracle.await_true(oracle.marks(hosts, name).exists, "release process")
    replace(stack, worker)
    (tmp_path / "go-on").touch()
    check_handed_over(stack, hosts, name, deploy_id)


@pytest.mark.fault("worker", "SIGTERM while the application starts", HANDED_OVER)
def test_a_worker_hands_over_while_the_application_starts(stack, hosts, name, slow, unhurried):
    deploy_id = stack.ask(name, slow)
    stack.step_of(deploy_id, "check")
    replace(stack, unhurried)
    check_handed_over(stack, hosts, name, deploy_id)


@pytest.mark.fault("build", "SIGTERM of the worker", HANDED_OVER)
def test_a_worker_hands_a_build_over(stack, hosts, repository, name, first, unhurried):
    repository.commit(applications.plain("two"))
    stack.points.arm("build.checked-out", "wait")
    version = stack.call("POST", f"/applications/{name}/releases", {"ref": "main"})["version"]
    replace_at(stack, unhurried, "build.checked-out", "build.stop")
    path = f"/applications/{name}/releases/{version}"
    assert stack.wait(path, lambda release: release["state"] != "building")["state"] == "ready"
    assert "attempt" not in str(stack.call("GET", f"{path}/events")["items"])
    oracle.check(stack, hosts, name, stack.ask(name, version), states=("succeeded",))


@pytest.mark.fault(
    "worker",
    "SIGSTOP {point} until another has taken over, then SIGCONT",
    "the sleeper is fenced and does nothing more",
)
@pytest.mark.parametrize(
    "point", ["host_run.connect.after", "host_run.ship.before", "host_run.check.before", "host_run.switch.after"]
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


@pytest.mark.fault(
    "worker", "SIGSTOP, then SIGCONT while another worker is at work", "the sleeper is refused; the other one goes on"
)
def test_a_sleeper_wakes_while_another_worker_is_at_work(stack, hosts, name, second, worker, other):
    asleep, at_work, refused = "host_run.ship.before", "host_run.check.before", "host_run.stop.fenced"
    stack.points.arm(asleep, "wait")
    deploy_id = stack.ask(name, second)
    stack.points.await_reached(asleep)
    put_to_sleep(stack, worker.pid)
    stack.points.arm(at_work, "wait")
    stack.points.arm(refused, "wait")
    other()
    stack.points.await_reached(at_work)
    (before,), holder = stack.host_runs({"id": deploy_id}).values(), oracle.holder(hosts[0], name)
    send(worker.pid, signal.SIGCONT)
    stack.points.await_reached(refused)
    stack.points.let_go(refused)
    stack.points.let_go(asleep)
    send(worker.pid, signal.SIGTERM)
    oracle.await_true(lambda: not is_running(worker.pid), "end of the sleeper")
    (after,) = stack.host_runs({"id": deploy_id}).values()
    assert (before["state"], before["attempt"]) == (after["state"], after["attempt"]) == ("running", 2)
    assert oracle.holder(hosts[0], name) == holder, "the sleeper's agent took the host's lock"
    stack.points.let_go(at_work)
    deploy = oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    assert stack.host_runs(deploy)[hosts[0].name]["attempt"] == 2


@pytest.mark.fault("reconciler", "Two reconcilers at once, twelve passes each", "every host run is claimed once")
def test_two_reconcilers_at_once(stack, hosts, name, second, other):
    other()
    cases.two_reconcilers_at_once(stack, hosts, name, second)


@pytest.mark.fault(
    "locks", "The agent that holds the host's lock is frozen, its worker dead", "the next attempt ends it and goes on"
)
def test_a_dead_holder_of_the_hosts_lock(stack, hosts, name, second, worker):
    stack.points.arm("host_run.ship.before", "stop")
    deploy_id = stack.ask(name, second)
    await_stopped(worker.pid)
    holder = int(oracle.holder(hosts[0], name)["pid"])
    send(holder, signal.SIGSTOP)
    send(worker.pid, signal.SIGKILL)
    oracle.await_true(lambda: not is_running(worker.pid), "end of the worker")
    stack.worker = stack.start_worker()
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    assert not is_running(holder)
