"""The disk of Windlass itself is full: where releases are kept, the database, the folders' broker, the logs."""

import contextlib
import errno
import os
import subprocess

import pytest

from tests.deploying import applications
from tests.faults import oracle
from tests.faults.stack import running_fault_stack

MEGABYTES = {".": 64, "store": 16, "scratch": 32, "broker": 1, "log": 8}
BALLAST = "ballast"
MOST_WRITES = 5000
CHUNK = b"\0" * 4096


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A Windlass whose data folder, and the folders in it that grow, are small file systems of their own."""
    folder = tmp_path_factory.mktemp("stack")
    with contextlib.ExitStack() as mounted:
        for name, megabytes in MEGABYTES.items():
            mount(mounted, folder / "data" / name, megabytes)
        with running_fault_stack(folder) as running:
            yield running


def mount(mounted, folder, megabytes):
    """Mount a small file system, until the stack of contexts ends; skips where that is not allowed."""
    folder.mkdir(parents=True)
    argv = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "windlass-test", str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs: root and the right to mount a small file system: {done.stderr.strip()}")
    mounted.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def full(stack, name):
    """Fill the file system of a folder of Windlass's data to the last byte for the length of the block."""
    folder = stack.data / name
    assert os.path.ismount(folder), "only a small file system is filled, never the machine's own"
    ballast = folder / BALLAST
    try:
        with open(ballast, "wb", buffering=0) as file:
            with contextlib.suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, max(1, free_bytes(folder)))
            file.seek(0, os.SEEK_END)
            with pytest.raises(OSError) as refused:
                while True:
                    file.write(CHUNK)
            assert refused.value.errno == errno.ENOSPC
        yield
    finally:
        ballast.unlink()


def free_bytes(folder):
    """Return how much room a file system has."""
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize


def files(folder):
    """Return all files below a folder."""
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.fault("disk of Windlass", "the store is full while a release is built", "failed, with what to do; then it is built")
def test_the_store_is_full(stack, hosts, repository, name, first):
    before = files(stack.data / "store")
    repository.commit({**applications.plain("two"), "large.txt": os.urandom(2_000_000).hex()})
    with full(stack, "store"):
        failed = stack.release(name, state="failed")
    assert "disk is full: make room below" in failed["error"]
    assert {path for path in files(stack.data / "store") - before if "objects" not in path.parts} == set()
    deploy_id = stack.ask(name, stack.release(name)["version"])
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))


@pytest.mark.fault("disk of Windlass", "no room to check a release out", "failed, with what to do; then it is built")
def test_there_is_no_room_to_work(stack, hosts, repository, name, first):
    repository.commit({**applications.plain("two"), "large.txt": os.urandom(2_000_000).hex()})
    with full(stack, "scratch"):
        failed = stack.release(name, state="failed")
    assert "disk is full" in failed["error"], failed["error"]
    assert files(stack.data / "scratch") == set()
    deploy_id = stack.ask(name, stack.release(name)["version"])
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))


def refusal(stack):
    """Write through the API until there is no room even in what the database had set aside; returns the answer."""
    for number in range(MOST_WRITES):
        answer = stack.request("POST", "/tokens", json={"name": f"token {number}"})
        if answer.status_code != 201:
            return answer
    raise AssertionError("a full disk takes whatever is written")


@pytest.mark.fault("disk of Windlass", "no room for the database", "503 says so, reading works; the rollout goes on afterwards")
def test_the_database_has_no_room(stack, hosts, name, second, first):
    workers = stack.workers()
    stack.points.arm("host_run.check.before", "wait")
    deploy_id = stack.ask(name, second)
    stack.points.await_reached("host_run.check.before")
    with full(stack, "."):
        answer = refusal(stack)
        stack.points.let_go("host_run.check.before")
        first.await_version("two")
        assert stack.request("GET", f"/deploys/{deploy_id}").status_code == 200
    assert (answer.status_code, answer.json()["code"]) == (503, "disk-full"), answer.text
    assert "make room" in answer.json()["detail"]
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    assert stack.workers() == workers, "a full disk is no reason for a worker to die"


@pytest.mark.fault("disk of Windlass", "the broker's folder is full", "201; the rollout begins when there is room")
def test_the_broker_has_no_room(stack, hosts, name, second, first):
    with full(stack, "broker"):
        deploy_id = stack.ask(name, second)
        assert stack.call("GET", f"/deploys/{deploy_id}")["state"] == "queued"
    oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    assert not list((stack.data / "broker").glob(".*")), "half-written messages stay behind"


@pytest.mark.fault("disk of Windlass", "no room for logs", "the rollout goes on, and what is logged is lost")
def test_the_log_has_no_room(stack, hosts, name, second, first):
    workers = stack.workers()
    with full(stack, "log"):
        deploy_id = stack.ask(name, second)
        oracle.check(stack, hosts, name, deploy_id, states=("succeeded",))
    assert stack.workers() == workers, "a log that cannot be written is no reason for a worker to die"
