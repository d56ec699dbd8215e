"""A command that somebody runs by hand: once for its key, with its output, its end and its time limit, whatever happens."""

import itertools
import json
import os
import signal
import time
from pathlib import Path

import pytest

from remote.local import open_local
from remote.session import AgentError, ConnectionLost
from tests.lib.remote.driver import in_background, living

KEYS = (f"key{number}" for number in itertools.count(1))


class Bench:
    """Runs one command on the shared host, as often as a test asks for it."""

    def __init__(self, host, argv, app=None, time_limit_s=30):
        self.host, self.argv, self.app, self.time_limit_s = host, argv, app, time_limit_s
        self.key, self.epoch, self.events, self.session = next(KEYS), 0, [], None
        self.folder = Path(host.root) / ".commands" / self.key

    def run(self, **more):
        """Run it in a session of its own; return the agent's answer."""
        self.epoch += 1
        with open_local(self.host.python) as self.session:
            return self.session.request(
                "run",
                on_event=self.events.append,
                root=str(self.host.root),
                app=self.app,
                settings=self.host.settings,
                argv=self.argv,
                time_limit_s=self.time_limit_s,
                **{"key": self.key, "epoch": self.epoch, "lock_wait_s": 5, **more},
            )

    def output(self):
        return "".join(event["text"] for event in self.events if event["event"] == "output")

    def told(self):
        """Return up to which byte of the output everything was sent."""
        return max([event["offset"] for event in self.events if event["event"] == "told"], default=0)

    def begun(self):
        """Return what the keeper wrote, once the command has begun."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            path = self.folder / "record"
            if path.exists() and path.read_text().strip():
                return json.loads(path.read_text())
            time.sleep(0.01)
        raise AssertionError("it does not begin")


@pytest.fixture
def bench(shared_host):
    """`bench("echo", "hello")` makes a command."""
    return lambda *argv, **more: Bench(shared_host, list(argv), **more)


@pytest.fixture
def marks(tmp_path):
    """A file in which each run of a command leaves a line: its process number."""
    return tmp_path / "marks"


def await_marks(marks):
    """Wait until the command is at work; return the numbers of its processes."""
    deadline = time.monotonic() + 20
    while not (marks.exists() and marks.read_text().endswith("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return [int(line) for line in marks.read_text().splitlines()]


def test_words_are_words_and_no_shell_reads_them(bench):
    told = bench("printf", "%s|", "a b", "$HOME", "; rm -rf /", "`x`", "\n")
    assert told.run() == {"status": 0, "why": None, "said": None}
    assert told.output() == "a b|$HOME|; rm -rf /|`x`|\n|\n"


def test_it_runs_as_the_user_in_their_home_and_sees_nothing_of_windlass(bench, monkeypatch):
    monkeypatch.setenv("WINDLASS_ADMIN_TOKEN", "hush-hush")
    told = bench("sh", "-c", "pwd; env; cat; trap")
    told.run()
    lines = told.output().splitlines()
    assert lines[0] == os.path.expanduser("~") and "LANG=C.UTF-8" in lines
    assert "hush-hush" not in told.output() and "WINDLASS" not in told.output()


def test_it_reads_what_it_is_given_which_stands_in_no_file_afterwards(bench):
    command, given = bench("wc", "-c"), "tea, grün\n" * 20_000
    assert command.run(input=given)["status"] == 0
    assert int(command.output()) == len(given.encode())
    assert not [path for path in command.folder.iterdir() if path.name == "input"]


@pytest.mark.parametrize("argv, status", [(["false"], 1), (["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -9 $$"], 137)])
def test_its_status_is_told(bench, argv, status):
    assert bench(*argv).run()["status"] == status


def test_a_program_that_is_not_there_is_named_before_anything_is_written(bench):
    told = bench("no-such-program")
    with pytest.raises(AgentError) as caught:
        told.run()
    assert caught.value.code == "command-missing" and "no-such-program" in caught.value.message
    assert not (told.folder / "record").exists()


def test_what_hinders_it_says_for_certain_that_it_has_not_begun(bench, tmp_path):
    told = bench("no-such-program")
    for _ in range(2):
        with pytest.raises(AgentError) as caught:
            told.run()
        assert caught.value.detail["begun"] is False


def test_where_it_is_too_late_it_is_followed_and_not_begun(bench, marks):
    never, told = bench("sh", "-c", f"echo $$ >> {marks}"), bench("sh", "-c", f"echo $$ >> {marks}; exit 3")
    with pytest.raises(AgentError) as caught:
        never.run(late=True)
    assert (caught.value.code, caught.value.detail["begun"]) == ("too-late", False)
    assert not marks.exists()
    assert told.run()["status"] == 3
    assert told.run(late=True)["status"] == 3 and len(await_marks(marks)) == 1


def test_a_program_that_cannot_be_run_is_said_so(bench, tmp_path):
    program = tmp_path / "program"
    program.write_text("\x7fELF nonsense")
    program.chmod(0o755)
    ended = bench(str(program)).run()
    assert (ended["status"], ended["why"]) == (None, "not-started") and "format" in ended["said"].lower()


def test_it_is_not_repeated_and_its_output_is_not_sent_again(bench, marks):
    told = bench("sh", "-c", f"echo $$ >> {marks}; echo once; exit 3")
    assert told.run()["status"] == 3
    assert told.run(offset=told.told())["status"] == 3
    assert len(await_marks(marks)) == 1 and told.output() == "once\n"


def test_the_next_agent_follows_one_that_outlived_its_own(bench, marks, tmp_path):
    go_on = tmp_path / "go on"
    told = bench("sh", "-c", f"echo began; echo $$ >> {marks}; until [ -e '{go_on}' ]; do sleep 0.05; done; echo ended")
    thread, results = in_background(told.run)
    await_marks(marks)
    while not told.told():
        time.sleep(0.01)
    told.session.process.kill()
    thread.join()
    assert isinstance(results[0], ConnectionLost)
    go_on.touch()
    assert told.run(offset=told.told())["status"] == 0
    assert told.output() == "began\nended\n" and len(await_marks(marks)) == 1


def test_one_that_is_handed_over_goes_on(bench, marks, tmp_path):
    go_on = tmp_path / "go on"
    told = bench("sh", "-c", f"echo $$ >> {marks}; until [ -e '{go_on}' ]; do sleep 0.05; done")
    thread, results = in_background(told.run)
    await_marks(marks)
    told.session.abort("handed-over")
    thread.join()
    assert results[0].code == "handed-over"
    go_on.touch()
    assert told.run()["status"] == 0 and len(await_marks(marks)) == 1


def test_a_newer_agent_takes_over_from_one_that_is_frozen_and_an_older_one_is_refused(bench, marks, tmp_path):
    go_on = tmp_path / "go on"
    told = bench("sh", "-c", f"echo $$ >> {marks}; until [ -e '{go_on}' ]; do sleep 0.05; done")
    thread, results = in_background(told.run)
    await_marks(marks)
    frozen = told.session.process
    os.kill(frozen.pid, signal.SIGSTOP)
    go_on.touch()
    assert told.run(lock_wait_s=0.3)["status"] == 0
    thread.join()
    assert isinstance(results[0], ConnectionLost) and frozen.wait(20) == -signal.SIGKILL
    with pytest.raises(AgentError) as caught:
        told.run(epoch=1)
    assert caught.value.code == "fenced" and len(await_marks(marks)) == 1


def test_one_whose_keeper_was_never_started_is_started(bench, marks):
    told = bench("sh", "-c", f"echo $$ >> {marks}")
    told.folder.mkdir(parents=True)
    (told.folder / "record").write_text(" " * 1024)  # What an agent that was killed just before leaves.
    assert told.run()["status"] == 0 and len(await_marks(marks)) == 1


def test_one_that_vanished_is_unclear_and_stays_so(bench, marks):
    told = bench("sh", "-c", f"echo $$ >> {marks}; sleep 60")
    thread, results = in_background(told.run)
    (group,) = await_marks(marks)
    os.kill(told.begun()["pid"], signal.SIGKILL)  # As when the machine lost its power.
    os.killpg(group, signal.SIGKILL)
    thread.join()
    assert results[0].code == "unclear"
    for _ in range(2):
        with pytest.raises(AgentError) as caught:
            told.run()
        assert caught.value.code == "unclear" and caught.value.remedy
    assert len(await_marks(marks)) == 1


STUBBORN = "trap '' TERM; echo $$ >> {}; (trap '' TERM; sleep 60) & sleep 60; wait"


def test_one_that_takes_too_long_ends_with_all_its_children_also_when_no_agent_is_there(bench, marks):
    told = bench("sh", "-c", STUBBORN.format(marks), time_limit_s=1)
    thread, _ = in_background(told.run)
    (group,) = await_marks(marks)
    told.session.process.kill()
    thread.join()
    ended = told.run()
    assert ended["why"] == "timeout" and ended["status"] == 137 and living(group) == []


@pytest.mark.parametrize("is_adopted", [False, True])
def test_a_cancelled_one_ends_with_all_its_children(bench, marks, is_adopted):
    told = bench("sh", "-c", STUBBORN.format(marks))
    thread, results = in_background(told.run)
    (group,) = await_marks(marks)
    if is_adopted:
        told.session.process.kill()
        thread.join()
        ended = told.run(cancel=True)
    else:
        told.session.abort()
        thread.join()
        (ended,) = results
    assert ended["why"] == "cancelled" and living(group) == []


def test_one_that_is_cancelled_before_it_began_never_begins(bench, marks):
    told = bench("sh", "-c", f"echo $$ >> {marks}")
    assert told.run(cancel=True)["why"] == "cancelled"
    assert not marks.exists()


def test_what_it_leaves_running_in_its_group_ends_with_it(bench, marks):
    told = bench("sh", "-c", f"echo $$ >> {marks}; sleep 60 & echo done")
    assert told.run()["status"] == 0
    (group,) = await_marks(marks)
    assert living(group) == [] and told.output() == "done\n"


def test_a_flood_is_thinned_out_and_bytes_that_are_no_text_do_no_harm(bench):
    script = 'import sys; o = sys.stdout.buffer; o.write(b"a\\0b\\xff\\n"); o.write(b"a line\\n" * 100000)'
    told = bench("python3", "-c", script)
    assert told.run()["status"] == 0
    output = told.output()
    assert output.startswith("a\ufffdb\ufffd\n") and output.count("a line\n") < 20_000
    assert "lines left out" in output
    assert told.told() == os.path.getsize(told.folder / "log")


def test_with_an_application_it_runs_in_the_release_with_its_variables_and_without_its_lock(bench, controller):
    controller.deploy("7", variables={"GREETING": "it's $HOME"})
    controller.open(9)  # A rollout at work, which holds the application's lock.
    told = bench("python", "-c", "import os; print(os.getcwd(), os.environ['GREETING'])", app=controller.app)
    assert told.run()["status"] == 0
    current = controller.observe()["application"]["current"]
    assert told.output() == f"{controller.base}/releases/{current} it's $HOME\n"


def test_an_application_of_which_nothing_runs_is_refused(bench):
    with pytest.raises(AgentError) as caught:
        bench("true", app="nothing-here").run()
    assert caught.value.code == "nothing-deployed"


def test_what_is_left_of_old_commands_is_removed(bench):
    old, new = bench("true"), bench("true")
    old.run()
    for path in (old.folder / "record", old.folder):
        os.utime(path, (1, 1))
    new.run()
    assert not old.folder.exists() and new.folder.exists()


@pytest.mark.parametrize("key", ["../x", "", "a/b", ".hidden"])
def test_a_key_that_is_no_name_is_refused(bench, key):
    with pytest.raises(AgentError) as caught:
        bench("true").run(key=key)
    assert caught.value.code == "bad-request"
