"""A host's disk: full at each of the moments that matter, without inodes, read-only, or with what a dead deploy left on it."""

import contextlib
import json
import math
import os
import signal
import subprocess
import time

import pytest

from tests.deploying import applications
from tests.faults import oracle
from tests.fleet.keeper import NotAvailable

MEGABYTES = 16
PAGE = 4096
MANY = 100_000


@pytest.fixture(scope="module")
def hosts(stack, fleet_factory):
    """One host whose root is a small file system."""
    host = fleet_factory(1)[0]
    with contextlib.ExitStack() as mounted:
        try:
            mounted.enter_context(host.small_disk(MEGABYTES))
        except NotAvailable as missing:
            pytest.skip(f"needs: {missing}")
        stack.add_host(host)
        yield [host]
        host.stop_supervisord()


@pytest.fixture
def disk(hosts):
    """The host, whose disk is as it was at the end of the test."""
    yield hosts[0]
    hosts[0].free_disk()
    mount(hosts[0], f"remount,nr_inodes={MANY}")


@pytest.fixture
def large(stack, repository, name, first):
    """Release "two" with 3 MB of text; returns its version."""
    repository.commit({**applications.plain("two"), "large.txt": os.urandom(1_500_000).hex()})
    return stack.release(name)["version"]


def mount(host, options):
    """Mount the host's root anew with options."""
    subprocess.run(["mount", "-o", options, str(host.root)], check=True)


def held_at(stack, name, version, point):
    """Begin a deploy and hold its worker at a failpoint; returns the deploy's id."""
    stack.points.arm(point, "wait")
    deploy_id = stack.ask(name, version)
    stack.points.await_reached(point)
    return deploy_id


def partial_tree(host, name):
    """Return the tree that is being built on the host, once the room for it was checked."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for path in (host.root / name / "releases").glob("*.partial-*"):
            # Taken over from the release before: all that is left comes over the wire.
            if (path / "Procfile").exists():
                return path
        time.sleep(0.01)
    raise AssertionError("no tree is being built")


def check_failed(stack, disk, name, deploy_id, step, *words):
    """The deploy has failed at a step with these words, the host is as it was; returns the deploy."""
    deploy = oracle.await_rest(stack, deploy_id, states=("failed", "rolled_back"))
    assert deploy["reason"].startswith(f"{disk.name}: {step}: "), deploy["reason"]
    for word in (*words, "The release that ran before still serves." if deploy["state"] == "rolled_back" else ""):
        assert word in deploy["reason"], deploy["reason"]
    assert disk.get(server_name=f"{name}.example.com") == (200, "one")
    return deploy


@pytest.mark.fault("host's disk", "full before the upload", "refused with what is needed and free, nothing written")
def test_full_before_the_upload(stack, disk, hosts, name, large, first):
    disk.fill_disk(leave_bytes=500_000)
    deploy = check_failed(stack, disk, name, stack.ask(name, large), "ship", "needs", "are free", str(disk.root))
    disk.free_disk()
    oracle.check(stack, hosts, name, deploy["id"])


@pytest.mark.fault("host's disk", "full while files are unpacked", "said with the path, the half-made tree is gone")
def test_full_while_files_are_unpacked(stack, disk, hosts, name, large, first):
    deploy_id = held_at(stack, name, large, "host_run.ship.before")
    partial_tree(disk, name)
    disk.fill_disk(leave_bytes=1_000_000)
    stack.points.let_go("host_run.ship.before")
    check_failed(stack, disk, name, deploy_id, "ship", "no space left", "large.txt")
    disk.free_disk()
    oracle.check(stack, hosts, name, deploy_id)


@pytest.mark.fault("host's disk", "full when the tree is renamed into place", "said, the whole tree is taken away again")
def test_full_when_the_tree_is_complete(stack, disk, hosts, repository, name, large, first):
    deploy_id = held_at(stack, name, large, "host_run.ship.before")
    partial_tree(disk, name)
    sizes = [(repository.folder / path).stat().st_size for path in ("server.py", "large.txt")]
    # Not a byte for the list of files.
    disk.fill_disk(leave_bytes=sum(math.ceil(size / PAGE) * PAGE for size in sizes))
    stack.points.let_go("host_run.ship.before")
    check_failed(stack, disk, name, deploy_id, "ship", "no space left", "manifests")
    disk.free_disk()
    oracle.check(stack, hosts, name, deploy_id)


@pytest.mark.fault("host's disk", "full when the slot is filled", "said, the slot is emptied again")
def test_full_when_the_slot_is_filled(stack, disk, hosts, name, second, first):
    deploy_id = held_at(stack, name, second, "host_run.environment.before")
    disk.fill_disk()
    stack.points.let_go("host_run.environment.before")
    check_failed(stack, disk, name, deploy_id, "start", "no space left")
    disk.free_disk()
    oracle.check(stack, hosts, name, deploy_id)


@pytest.mark.fault("host's disk", "no inodes", "refused with how many are needed and free")
def test_no_inodes(stack, disk, hosts, name, second, first):
    room = os.statvfs(disk.root)
    mount(disk, f"remount,nr_inodes={room.f_files - room.f_ffree + 3}")
    deploy = check_failed(stack, disk, name, stack.ask(name, second), "ship", "inodes free")
    mount(disk, f"remount,nr_inodes={MANY}")
    oracle.check(stack, hosts, name, deploy["id"])


@pytest.mark.fault("host's disk", "read-only", "said before anything is touched")
def test_read_only(stack, disk, hosts, name, second, first):
    subprocess.run(["mount", "--bind", str(disk.root), str(disk.root)], check=True)
    try:
        mount(disk, "remount,bind,ro")
        deploy = check_failed(stack, disk, name, stack.ask(name, second), "preflight", "read-only file system", "writable")
    finally:
        subprocess.run(["umount", "-l", str(disk.root)], check=True)
    oracle.check(stack, hosts, name, deploy["id"])


@pytest.mark.fault("host's disk", "a tree half-made by an agent that was killed", "the next attempt takes it away and goes on")
def test_a_killed_agent_leaves_half_a_tree(stack, disk, hosts, name, large, first):
    deploy_id = held_at(stack, name, large, "host_run.ship.before")
    left = partial_tree(disk, name)
    os.kill(json.loads((disk.root / name / "state" / "lock").read_text())["pid"], signal.SIGKILL)
    stack.points.let_go("host_run.ship.before")
    deploy = oracle.await_rest(stack, deploy_id, states=("succeeded",))
    assert stack.host_runs(deploy)[disk.name]["attempt"] == 2 and not left.exists()
    oracle.check(stack, hosts, name, deploy_id)


@pytest.mark.fault("host's disk", "temporary links and files of a dead deploy", "taken away by the next deploy")
def test_what_a_dead_deploy_left(stack, disk, hosts, name, second, first):
    root = disk.root / name
    half = root / "releases" / f"{'0' * 64}.partial-4711"
    (half / "folder").mkdir(parents=True)
    (half / "folder" / "file").write_text("half")
    (half / "folder").chmod(0o555)
    half.chmod(0o555)
    os.symlink("b.sock", root / "run" / ".windlass-new-current.sock")
    os.symlink("releases/nowhere", root / ".windlass-new-current")
    (root / "state" / ".windlass-new-slot-b.json").write_text("{")
    sites = disk.folder / "nginx" / "sites"
    site = sites / f"windlass-{name}.conf"
    undo = {"text": site.read_text(), "switch": str(root / "run" / "current.sock"), "wanted": "b.sock", "reload": True}
    (sites / f".windlass-undo-{site.name}").write_text(json.dumps(undo))
    site.write_text("# a site that never was finished\n")
    oracle.check(stack, hosts, name, stack.ask(name, second), states=("succeeded",))
