"""Failpoints: nothing without the variable, once with it, and each action as it is told."""

import errno
import os
import signal
import subprocess
import sys
import threading

import pytest

import failpoints

POINT = "host_run.ship.before"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(failpoints, "FOLDER", str(tmp_path))
    return tmp_path


def reach_elsewhere(folder, *environment):
    """Reach the point in a process of its own; returns it, ended or stopped."""
    variables = {**os.environ, "PYTHONPATH": os.path.dirname(failpoints.__file__), **dict(environment)}
    code = f"import failpoints; failpoints.reach({POINT!r}); print('went on', flush=True)"
    return subprocess.Popen([sys.executable, "-c", code], env=variables, stdout=subprocess.PIPE, text=True)


def test_nothing_happens_without_the_variable(tmp_path, monkeypatch):
    monkeypatch.setattr(failpoints, "FOLDER", None)
    (tmp_path / POINT).write_text("kill")
    monkeypatch.chdir(tmp_path)
    failpoints.reach(POINT)
    assert (tmp_path / POINT).exists()


def test_the_variable_is_read_at_the_start(tmp_path):
    (tmp_path / POINT).write_text("kill")
    bystander = reach_elsewhere(tmp_path)
    assert bystander.communicate(timeout=30)[0] == "went on\n"
    killed = reach_elsewhere(tmp_path, ("WINDLASS_FAILPOINTS", str(tmp_path)))
    assert killed.communicate(timeout=30)[0] == ""
    assert killed.returncode == -signal.SIGKILL


def test_a_point_that_is_not_armed_does_nothing(folder):
    failpoints.reach(POINT)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("action", "number"), [("enospc", errno.ENOSPC), ("eio", errno.EIO)])
def test_errors_are_raised_once(folder, action, number):
    (folder / POINT).write_text(action)
    with pytest.raises(OSError) as raised:
        failpoints.reach(POINT)
    assert raised.value.errno == number
    failpoints.reach(POINT)
    assert [path.name for path in folder.iterdir()] == [f"{POINT}.reached"]


def test_stop_stops_the_process_until_it_is_continued(folder):
    (folder / POINT).write_text("stop")
    stopped = reach_elsewhere(folder, ("WINDLASS_FAILPOINTS", str(folder)))
    _, status = os.waitpid(stopped.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    os.kill(stopped.pid, signal.SIGCONT)
    assert stopped.communicate(timeout=30)[0] == "went on\n"


def test_wait_ends_when_the_claimed_file_is_removed(folder):
    (folder / POINT).write_text("wait")
    waiting = threading.Thread(target=failpoints.reach, args=(POINT,))
    waiting.start()
    reached = folder / f"{POINT}.reached"
    while not reached.exists():
        assert waiting.is_alive()
    waiting.join(timeout=0.1)
    assert waiting.is_alive()
    reached.unlink()
    waiting.join(timeout=30)
    assert not waiting.is_alive()


def test_an_unknown_action_is_an_error(folder):
    (folder / POINT).write_text("explode")
    with pytest.raises(ValueError, match="explode"):
        failpoints.reach(POINT)
