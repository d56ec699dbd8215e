"""A command that must run exactly once does so, whatever happens to the agent; where nobody can know, that is said."""

import json
import os
import time

import pytest

from remote.session import AgentError, ConnectionLost
from tests.lib.remote.driver import in_background, living


@pytest.fixture
def marks(tmp_path):
    """A file in which each run of a command leaves a line."""
    return tmp_path / "marks"


def once(command, key="1-release", timeout_s=30):
    """Return the `once` of an activation."""
    return {"name": "release", "command": command, "key": key, "timeout_s": timeout_s}


def runs(marks):
    """Return how often the command has begun."""
    return len(marks.read_text().splitlines()) if marks.exists() else 0


def await_mark(marks):
    """Wait until the command has begun."""
    while not runs(marks):
        time.sleep(0.01)


def await_noted(controller, marks, key="1-release"):
    """Wait until the command has begun and its agent has noted which process it is; return that note."""
    await_mark(marks)
    path = controller.base / "state" / "once" / f"{key}.json"
    while "pid" not in (entry := json.loads(path.read_text())):
        time.sleep(0.01)
    return entry


def test_it_runs_before_the_new_release_starts_with_its_environment(controller, marks):
    command = f'echo "$WINDLASS_RELEASE $VERSION $(pwd)" >> {marks}; echo migrating; env | cut -d= -f1; ls {controller.base}/run'
    os.environ["WINDLASS_DATABASE_URL"] = "postgresql://secret"
    try:
        answer = controller.deploy("1", once=once(command))
    finally:
        del os.environ["WINDLASS_DATABASE_URL"]
    assert marks.read_text() == f"{answer['current']} 1 {controller.base}/releases/{answer['current']}\n"
    output = controller.output().splitlines()
    assert "migrating" in output and "a-web" not in output and "WINDLASS_DATABASE_URL" not in output
    assert ("start", "done") in controller.steps()


def test_it_is_not_repeated(controller, marks):
    controller.deploy("1", once=once(f"echo x >> {marks}"))
    controller.deploy("1", once=once(f"echo x >> {marks}"))
    assert runs(marks) == 1
    said = [event["message"] for event in controller.events if event.get("step") == "start" and event["state"] == "done"]
    assert said[-1] == "'release' had run already"
    controller.deploy("1", once=once(f"echo x >> {marks}", key="2-release"))
    assert runs(marks) == 2


def test_a_failing_one_stops_the_deploy_and_is_not_repeated(controller, marks):
    controller.deploy("1")
    for _ in range(2):
        with pytest.raises(AgentError) as caught:
            controller.deploy("2", once=once(f"echo x >> {marks}; echo no such table; exit 4"))
        assert (caught.value.code, caught.value.step, caught.value.restored) == ("once-failed", "start", True)
        assert "status 4" in caught.value.message and "no such table" in caught.value.message
    assert runs(marks) == 1
    assert controller.get() == (200, "1")


def test_one_that_a_shell_cannot_even_read_failed(controller):
    with pytest.raises(AgentError) as caught:
        controller.deploy("1", once=once("if then ((( '"))
    assert caught.value.code == "once-failed"


def test_the_next_agent_waits_for_one_that_outlived_its_own(controller, marks, tmp_path):
    release = tmp_path / "go on"
    command = f"echo x >> {marks}; echo began; until [ -e '{release}' ]; do sleep 0.05; done; echo ended"
    controller.open(1)
    spec = controller.prepare("1")
    thread, results = in_background(lambda: controller.activate(spec, once=once(command)))
    await_noted(controller, marks)
    controller.session.process.kill()
    thread.join()
    assert isinstance(results[0], ConnectionLost)
    controller.events.clear()
    release.touch()
    controller.deploy("1", once=once(command))
    assert runs(marks) == 1
    assert controller.output() == "began\nended\n"
    assert controller.get() == (200, "1")


def test_a_handed_over_one_goes_on(controller, marks, tmp_path):
    release = tmp_path / "go on"
    command = f"echo x >> {marks}; until [ -e '{release}' ]; do sleep 0.05; done"
    controller.open(1)
    spec = controller.prepare("1")
    thread, results = in_background(lambda: controller.activate(spec, once=once(command)))
    await_mark(marks)
    controller.session.abort("handed-over")
    thread.join()
    assert results[0].code == "handed-over"
    controller.close()
    release.touch()
    controller.deploy("1", once=once(command))
    assert runs(marks) == 1


def assert_unclear(controller, marks, command):
    """Another attempt says that nobody knows, and does not run the command again."""
    for _ in range(2):
        with pytest.raises(AgentError) as caught:
            controller.deploy("1", once=once(command))
        assert (caught.value.code, caught.value.step) == ("unclear", "start")
        assert caught.value.remedy
    assert runs(marks) == 1


def test_one_that_vanished_is_unclear(controller, marks):
    command = f"echo x >> {marks}; sleep 60"
    controller.open(1)
    spec = controller.prepare("1")
    thread, _ = in_background(lambda: controller.activate(spec, once=once(command)))
    entry = await_noted(controller, marks)
    controller.session.process.kill()
    thread.join()
    os.killpg(entry["pid"], 9)  # As when the machine lost its power.
    assert_unclear(controller, marks, command)


def test_a_cancelled_one_ends_and_is_unclear(controller, marks):
    command = f"echo x >> {marks}; trap '' TERM; sleep 60 & wait; sleep 60"
    controller.open(1)
    spec = controller.prepare("1")
    thread, results = in_background(lambda: controller.activate(spec, once=once(command)))
    await_mark(marks)
    controller.session.abort()
    thread.join()
    assert results[0].code == "aborted"
    entry = json.loads((controller.base / "state" / "once" / "1-release.json").read_text())
    assert living(entry["pid"]) == []
    assert_unclear(controller, marks, command)


def test_one_that_takes_too_long_is_ended_and_unclear(controller, marks):
    command = f"echo x >> {marks}; sleep 60"
    with pytest.raises(AgentError) as caught:
        controller.deploy("1", once=once(command, timeout_s=0.3))
    assert (caught.value.code, caught.value.step) == ("once-timeout", "start")
    assert_unclear(controller, marks, command)


def test_one_whose_child_keeps_its_output_open_is_over_when_it_ends(controller, tmp_path):
    pid = tmp_path / "pid"
    controller.deploy("1", once=once(f"setsid sleep 60 & echo $! > {pid}; echo done"))
    assert "done" in controller.output()
    os.kill(int(pid.read_text()), 9)


PRINT = "python3 -c 'import sys; out = sys.stdout.buffer; {}'"


def test_a_flood_of_lines_is_thinned_out_and_said_so(controller):
    controller.deploy("1", once=once(PRINT.format('out.write(b"a line\\n" * 100000)')))
    output = controller.output()
    assert output.count("a line\n") <= 5 * 2000
    assert "lines left out" in output
    assert max(len(event["text"]) for event in controller.events if event["event"] == "output") < 64 << 10


def test_a_line_without_end_is_cut(controller):
    controller.deploy("1", once=once(PRINT.format('[out.write(b"x" * 1000000) for _ in range(50)]; out.write(b"\\nlast")')))
    lines = controller.output().splitlines()
    assert lines[0].startswith("x" * 8192 + " … [") and len(lines[0]) < 8300
    assert f"{50_000_000 - 8192} bytes" in lines[0] and lines[1] == "last"


def test_bytes_that_are_no_text_do_no_harm(controller):
    controller.deploy("1", once=once(PRINT.format(r'out.write(b"a\x00b\xff\xfec\r\n\xe2\x82\xac\x1b[31m\n")')))
    assert controller.output() == "a\ufffdb\ufffd\ufffdc\n€\x1b[31m\n"


@pytest.mark.parametrize("key", ["../x", "", "a/b", ".hidden"])
def test_a_key_that_is_no_name_is_refused(controller, key):
    with pytest.raises(AgentError) as caught:
        controller.deploy("1", once=once("true", key=key))
    assert caught.value.code == "bad-request"
