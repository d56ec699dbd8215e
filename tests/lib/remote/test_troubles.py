"""Whatever is wrong with a host is told with a code, a step, a sentence that names the place and a remedy, and the old release
serves on; when it is mended, the next deploy needs no cleaning up."""

import os
import socket
import subprocess
import zlib
from pathlib import Path

import pytest

from remote.agent.failures import Failure
from remote.agent.machine import commands
from remote.session import AgentError
from tests.fleet.keeper import NotAvailable
from tests.lib.remote.driver import Controller, Tree, living, release_tree


def failing(controller, version="2", **changes):
    """Deploy what must fail; return the error, which must be fit to be shown."""
    with pytest.raises(AgentError) as caught:
        controller.deploy(version, **changes)
    assert caught.value.step and caught.value.message and caught.value.remedy
    assert "Traceback" not in caught.value.message and "trace" not in caught.value.detail
    return caught.value


def altered(settings, part, **changes):
    """Return settings with changes in one part."""
    return {**settings, part: {**settings[part], **changes}}


@pytest.fixture
def small_disk(host):
    """A controller whose application is on a disk of 8 MB, version 1 deployed."""
    try:
        with host.small_disk(8):
            controller = Controller(host)
            controller.deploy("1")
            yield controller
            host.free_disk()
            controller.restore(None)
    except NotAvailable as missing:
        pytest.skip(f"needs: {missing}")


def test_a_tree_that_cannot_fit_is_refused_before_anything_is_written(small_disk):
    error = failing(small_disk, tree=Tree({"web.py": "", "large": os.urandom(20_000_000)}))
    assert (error.code, error.step) == ("disk-full", "ship")
    assert error.detail["needed"] > 20_000_000 > error.detail["free"] and str(small_disk.host.root) in error.message
    assert small_disk.get() == (200, "1") and small_disk.leftovers() == []


def test_a_disk_that_fills_up_on_the_way(small_disk):
    tree = Tree({**release_tree("2").contents, "large": os.urandom(3_000_000)})
    small_disk.open(2)
    answer = small_disk.ask("ship", kind="release", name=tree.digest, digest=tree.digest, blobs=[zlib.compress(tree.manifest)])
    small_disk.host.fill_disk(leave_bytes=1_000_000)
    with pytest.raises(AgentError) as caught:
        small_disk.ask("files", blobs=tree.blobs(answer["lacks"]))
    small_disk.close()
    assert (caught.value.code, caught.value.step) == ("disk-full", "ship")
    assert small_disk.get() == (200, "1") and small_disk.leftovers() == []
    small_disk.host.free_disk()
    small_disk.deploy("2", tree=tree)
    assert small_disk.get() == (200, "2")


def test_going_back_works_on_a_full_disk(small_disk):
    small_disk.deploy("2")
    small_disk.host.fill_disk()
    assert small_disk.restore("a")["warm"] is True
    assert small_disk.get() == (200, "1")
    assert small_disk.deploy("2", deploy=3)["warm"] is True
    assert small_disk.get() == (200, "2")
    assert small_disk.restore("a")["warm"] is True
    error = failing(small_disk, "3")
    assert error.code == "disk-full"
    assert small_disk.get() == (200, "1") and small_disk.leftovers() == []


def test_a_disk_without_inodes(host):
    if os.getuid() != 0:
        pytest.skip("needs: root, to mount a small file system")
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=110,mode=0755", "windlass-test", str(host.root)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs: the right to mount a file system")
    try:
        controller = Controller(host)
        controller.deploy("1")
        error = failing(controller, tree=Tree({"web.py": "", **{f"file{number}": str(number) for number in range(200)}}))
        assert (error.code, error.step) == ("disk-full", "ship") and "inodes" in error.message
        assert controller.get() == (200, "1") and controller.leftovers() == []
        controller.restore(None)
    finally:
        subprocess.run(["umount", "-l", str(host.root)], check=True)


def test_a_read_only_disk(host):
    try:
        with host.small_disk(8):
            subprocess.run(["mount", "-o", "remount,ro", str(host.root)], check=True)
            controller = Controller(host)
            error = failing(controller)
            assert (error.code, error.step) == ("read-only", "preflight") and str(host.root) in error.message
            assert "read-only" in [problem["code"] for problem in controller.observe()["problems"]]
            subprocess.run(["mount", "-o", "remount,rw", str(host.root)], check=True)
            controller.deploy("1")
            controller.restore(None)
    except NotAvailable as missing:
        pytest.skip(f"needs: {missing}")


def test_supervisord_is_down(host):
    controller = Controller(host)
    controller.deploy("1")
    host.stop_supervisord(programs=False)
    error = failing(controller)
    assert error.code == "supervisor-unreachable" and "supervisor.sock" in error.message
    assert "supervisor-unreachable" in [problem["code"] for problem in controller.observe()["problems"]]
    assert controller.get() == (200, "1")
    host.start_supervisord()
    controller.deploy("2")
    assert controller.get() == (200, "2")


def test_nginx_is_down(host):
    controller = Controller(host)
    controller.deploy("1")
    host.stop_nginx()
    error = failing(controller)
    assert (error.code, error.step, error.restored) == ("not-served", "switch", True)
    host.start_nginx()
    assert controller.get() == (200, "1")
    controller.deploy("2")
    assert controller.get() == (200, "2")


def test_a_host_without_nginx_or_supervisor(shared_host):
    controller = Controller(shared_host, app="nothing")
    controller.settings = altered(shared_host.without_nginx(), "supervisor", command=["/nowhere/supervisorctl-other"])
    problems = {problem["code"]: problem for problem in controller.observe()["problems"]}
    assert {"nginx-missing", "supervisor-missing"} <= set(problems)
    assert all(problem["message"] and problem["remedy"] for problem in problems.values())
    controller.settings = shared_host.without_nginx()
    error = failing(controller)
    assert (error.code, error.step, error.restored) == ("command-missing", "configure", True)
    assert "nginx-that-is-not-there" in error.message
    controller.settings = shared_host.settings
    controller.deploy("1")
    controller.restore(None)


@pytest.mark.parametrize(
    "part, key, code", [("supervisor", "programs", "programs-dir-missing"), ("nginx", "sites", "sites-dir-missing")]
)
def test_a_folder_that_is_missing(controller, part, key, code):
    controller.deploy("1")
    right = controller.settings
    controller.settings = altered(right, part, **{key: "/nowhere/at/all"})
    error = failing(controller)
    assert (error.code, error.step) == (code, "configure") and "/nowhere/at/all" in error.message
    assert code in [problem["code"] for problem in controller.observe()["problems"]]
    controller.settings = right
    assert controller.get() == (200, "1")


def test_a_folder_that_supervisord_does_not_read(controller, tmp_path):
    controller.deploy("1")
    right = controller.settings
    controller.settings = altered(right, "supervisor", programs=str(tmp_path))
    error = failing(controller)
    assert (error.code, error.step, error.restored) == ("supervisor-ignores-programs", "start", True)
    assert str(tmp_path) in error.message and list(tmp_path.iterdir()) == []
    controller.settings = right
    assert controller.get() == (200, "1")


def test_a_broken_program_file_of_somebody_else(controller):
    controller.deploy("1")
    other = Path(controller.settings["supervisor"]["programs"]) / "zz-broken.conf"
    other.write_text("[program:broken]\nno command here\n")
    try:
        error = failing(controller)
        assert (error.code, error.step, error.restored) == ("supervisor-config-broken", "start", True)
        assert "zz-broken.conf" in error.message or "broken" in error.message
    finally:
        other.unlink()
    assert controller.get() == (200, "1")
    controller.deploy("2")


def test_a_broken_site_of_somebody_else(controller):
    controller.deploy("1")
    other = Path(controller.settings["nginx"]["sites"]) / "zz-broken.conf"
    other.write_text("nonsense {\n")
    try:
        assert "nginx-config-broken" in [problem["code"] for problem in controller.observe(deep=True)["problems"]]
        controller.deploy("2")  # Nothing in nginx has to change, so this is no obstacle.
        assert controller.get() == (200, "2")
    finally:
        other.unlink()


def test_a_port_that_somebody_else_took(controllers):
    controller = controllers(binding="port")
    controller.deploy("1")
    controller.open(2)
    spec = controller.prepare("2")
    with socket.create_server(("127.0.0.1", controller.seen["application"]["ports"]["b"])):
        with pytest.raises(AgentError) as caught:
            controller.activate(spec)
        controller.close()
        assert (caught.value.code, caught.value.step, caught.value.restored) == ("port-in-use", "start", True)
        assert controller.get() == (200, "1")
        controller.deploy("2")  # A new session finds another port.
    assert controller.get() == (200, "2")


def test_a_socket_on_which_somebody_else_listens(controller):
    controller.deploy("1")
    path = controller.base / "run" / "b.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        error = failing(controller)
        assert (error.code, error.step, error.restored) == ("socket-in-use", "start", True) and str(path) in error.message
    controller.deploy("2")  # What is left is a socket file without a server, which is no obstacle.
    assert controller.get() == (200, "2")


def test_a_command_that_hangs_is_ended(tmp_path):
    pid = tmp_path / "pid"
    script = tmp_path / "nginx"
    script.write_text(f"#!/bin/sh\necho $$ > {pid}\ntrap '' TERM\n(trap '' TERM; sleep 600) &\nwait; sleep 600\n")
    script.chmod(0o755)
    with pytest.raises(Failure) as caught:
        commands.run_command([str(script), "-t"], limit_s=0.5)
    assert caught.value.code == "command-timeout" and str(script) in caught.value.message
    assert living(int(pid.read_text())) == []


def test_a_command_whose_child_keeps_its_output_open_does_not_hold_us_up(tmp_path):
    pid = tmp_path / "pid"
    status, text = commands.run_command(["/bin/sh", "-c", f"setsid sleep 600 & echo $! > {pid}; echo said"], limit_s=30)
    assert (status, text) == (0, "said")
    os.kill(int(pid.read_text()), 9)


def test_the_supervisorctl_command_does_where_the_interface_cannot_be_spoken(controller):
    """As with ["sudo", "supervisorctl"]; here by way of another harmless program in front of it."""
    command = controller.settings["supervisor"]["command"]
    controller.settings = altered(controller.settings, "supervisor", command=["env", *command])
    controller.deploy("1")
    assert controller.deploy("2")["active"] == "b"
    assert set(controller.states()) == {"a-web", "b-web"}
    # Each look starts a Python, and on a busy machine a process takes longer than a second to crash.
    patient = {"timeout_s": 60, "expect_status": 200}
    programs = {
        slot: {
            "path": f"windlass-{controller.app}-{slot}.conf",
            "text": controller.program(slot, ["web"], startsecs=20),
        }
        for slot in "ab"
    }
    error = failing(controller, "3", variables={"CRASH": "broken"}, health=patient, supervisor=programs)
    assert (error.code, error.restored) == ("process-failed", True) and "broken" in error.message
    assert controller.get() == (200, "2")
    controller.restore(None)
    assert controller.states() == {}
